//! Order outcomes and account events, as CloudEvents, single and batch.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::value::RawValue;
use stockade_model::{
    Attribute, BuyerId, ClaimReason, Currency, Envelope, EventId, Invalid, LineId, ListingId, Money,
    OrderEvent, OrderEventKind, OrderId, OutcomeCause, Payload, Region, ReservationId, Sku, SupplierId,
    Timestamp, Topic,
    ids::{is_hidden, normalized},
    inventory::QUANTITY_MAX,
    time::{DAY_MS, SECOND_MS},
};
use stockade_runtime::{Caller, FieldError, Path, Problem, Role, body, http::path_segment};

use super::{
    cloudevents::{Sent, binary, fields_of, is_binary, place_in_binary, structured},
    fields::Fields,
    rows::Price,
    supplier::{let_others_by, traceparent, turn_of},
};
use crate::{
    app::{App, record},
    domain::{EventCode, EventStatus},
    fairness::{share_used, wait_s},
    promises::AHEAD_DAYS_MAX,
};

/// Attributes one event may show.
const ATTRIBUTES_MAX: usize = 16;
/// Longest category, part or tracking number, in characters.
const TEXT_CHARS_MAX: usize = 64;
/// Events in one request.
const EVENTS_MAX: usize = 1_000;
/// How far in the future an event may lie: clocks differ.
const FUTURE_MS: i64 = 300 * SECOND_MS;
/// How far in the past.
const PAST_MS: i64 = 90 * DAY_MS;
/// How far ahead of its order a promise may lie.
const PROMISE_AHEAD_MS: i64 = AHEAD_DAYS_MAX as i64 * DAY_MS;
/// How far before its order: a promise that is only a date may be written as the midnight before.
const PROMISE_BEFORE_MS: i64 = DAY_MS;

/// Everything that is wrong with one event.
pub type EventError = Vec<FieldError>;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EventData")]
pub(super) struct Data {
    /// Whom it is about.
    #[schemars(with = "SupplierId")]
    supplier: String,
    /// The order; every outcome of one names it.
    #[schemars(with = "Option<OrderId>")]
    order: Option<String>,
    /// The line of the order; all lines when nobody says.
    #[schemars(with = "Option<LineId>")]
    line: Option<String>,
    /// Tells apart two outcomes of the same kind and quantity.
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    part: Option<String>,
    /// The reservation that has become this order.
    #[schemars(with = "Option<ReservationId>")]
    reservation: Option<String>,
    /// Whose order it is, the same in every event of it: evidence counts buyers, and an outcome without the buyer that its order was
    /// placed with counts for hardly any rule. None for a guest's order, in all its events.
    #[schemars(with = "Option<BuyerId>")]
    buyer: Option<String>,
    #[schemars(with = "Option<ListingId>")]
    listing: Option<String>,
    #[schemars(with = "Option<Sku>")]
    sku: Option<String>,
    #[schemars(range(min = 1, max = QUANTITY_MAX))]
    quantity: Option<i64>,
    amount: Option<Price>,
    /// Whose doing it was; a cancellation must say it.
    cause: Option<OutcomeCause>,
    /// Of a review.
    #[schemars(range(min = 1, max = 5))]
    rating: Option<u8>,
    #[serde(default)]
    late: bool,
    #[serde(default)]
    new_device: bool,
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    category: Option<String>,
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    tracking: Option<String>,
    #[schemars(with = "Option<Region>")]
    region: Option<String>,
    /// By when hand-over was promised.
    #[schemars(with = "Option<Timestamp>")]
    ship_by: Option<String>,
    /// By when delivery was promised.
    #[schemars(with = "Option<Timestamp>")]
    deliver_by: Option<String>,
    /// Why a buyer claims something.
    reason: Option<ClaimReason>,
    /// What was seen of an account, as salted hashes.
    #[serde(default)]
    #[schemars(length(max = ATTRIBUTES_MAX))]
    attributes: Vec<Attribute>,
}

/// Reads and checks one CloudEvent as of `now`.
pub fn event_from_cloudevent(text: &[u8], now: Timestamp) -> Result<OrderEvent, EventError> {
    checked(structured(text)?, now)
}

/// Checks an event as of `now`, however it came. Places are those of its JSON format.
fn checked(event: Sent<'_>, now: Timestamp) -> Result<OrderEvent, EventError> {
    let data: Data = body::parse(&event.data).map_err(|wrong| {
        let mut errors = fields_of(wrong);
        errors.iter_mut().for_each(|error| error.field = format!("/data{}", error.field));
        errors
    })?;
    let mut fields = Fields::default();
    fields.require(event.specversion == "1.0", "/specversion", "specversion", "specversion must be 1.0");
    let source = (1..=200).contains(&event.source.len()) && !event.source.contains(is_hidden);
    fields.require(source, "/source", "source_length", "source must be 1 to 200 bytes, none of which hides");
    let kind = OrderEventKind::from_event_type(&event.kind);
    if kind.is_none() {
        let sent = OrderEventKind::ALL.iter().filter(|kind| !kind.is_derived());
        let known: Vec<&str> = sent.map(|kind| kind.event_type()).collect();
        fields.require(
            false,
            "/type",
            "unknown_event_type",
            format!("{} is none of {}", event.kind, known.join(", ")),
        );
    }
    let time = match event.time.as_deref() {
        None => Some(now),
        Some(text) => fields.check("/time", Timestamp::parse(text).and_then(|time| within(time, now))),
    };
    let id = fields.check("/id", EventId::new(&event.id));
    let promised = data.promises(&mut fields, time.unwrap_or(now));
    let checked = data.check(&mut fields, kind);
    let built = id.zip(kind).zip(time).zip(checked);
    let event = built.map(|(((id, kind), time), partial)| OrderEvent {
        id,
        source: event.source.into_owned(),
        kind,
        time,
        ship_by: promised.0,
        deliver_by: promised.1,
        ..partial
    });
    fields.finish(event)
}

fn within(time: Timestamp, now: Timestamp) -> Result<Timestamp, Invalid> {
    let ahead_ms = time.ms() - now.ms();
    if ahead_ms > FUTURE_MS {
        return Err(Invalid::new(
            "time_in_future",
            format!("{time} is more than 5 minutes ahead of {now}; check the clock"),
        ));
    }
    if ahead_ms < -PAST_MS {
        return Err(Invalid::new(
            "time_too_old",
            format!("{time} is more than 90 days before {now}; use `stockade replay` for history"),
        ));
    }
    Ok(time)
}

impl Data {
    /// By when hand-over and delivery were promised, of an order placed at `placed`.
    fn promises(&self, fields: &mut Fields, placed: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        let mut promise = |field: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(Timestamp::parse);
            let time = fields.check_some(field, parsed)?;
            let ahead_ms = time.ms() - placed.ms();
            let fits = (-PROMISE_BEFORE_MS..=PROMISE_AHEAD_MS).contains(&ahead_ms);
            let detail = format!(
                "{time} must be at most a day before and 400 days after the order of {placed}; check the date"
            );
            fields.require(fits, field, "promise_range", detail);
            Some(time)
        };
        let ship_by = promise("/data/ship_by", &self.ship_by);
        let deliver_by = promise("/data/deliver_by", &self.deliver_by);
        if let Some((ship_by, deliver_by)) = ship_by.zip(deliver_by) {
            let detail = format!("{deliver_by} is before the hand-over at {ship_by}; were the two swapped?");
            fields.require(ship_by <= deliver_by, "/data/deliver_by", "promise_range", detail);
        }
        (ship_by, deliver_by)
    }

    /// The event without id, source, kind and time.
    fn check(mut self, fields: &mut Fields, kind: Option<OrderEventKind>) -> Option<OrderEvent> {
        let supplier = fields.check("/data/supplier", SupplierId::new(&self.supplier));
        let order = fields.check_some("/data/order", self.order.as_deref().map(OrderId::new));
        let line = fields.check_some("/data/line", self.line.as_deref().map(LineId::new));
        let reservation =
            fields.check_some("/data/reservation", self.reservation.as_deref().map(ReservationId::new));
        let buyer = fields.check_some("/data/buyer", self.buyer.as_deref().map(BuyerId::new));
        let listing = fields.check_some("/data/listing", self.listing.as_deref().map(ListingId::new));
        let sku = fields.check_some("/data/sku", self.sku.as_deref().map(Sku::new));
        let amount = fields.check_some(
            "/data/amount",
            self.amount.map(|price| {
                Currency::new(&price.currency).and_then(|currency| Money::new(price.minor, currency))
            }),
        );
        let units = self.quantity.is_none_or(|units| (1..=QUANTITY_MAX).contains(&units));
        fields.require(
            units,
            "/data/quantity",
            "quantity_range",
            format!("quantity must be 1 to {QUANTITY_MAX}"),
        );
        let of_order = kind.is_none_or(OrderEventKind::is_account) || self.order.is_some();
        fields.require(of_order, "/data/order", "missing_field", "an order outcome names its order");
        let rated = kind != Some(OrderEventKind::Reviewed)
            || self.rating.is_some_and(|rating| (1..=5).contains(&rating));
        fields.require(rated, "/data/rating", "rating_range", "a review has a rating from 1 to 5");
        let caused = kind != Some(OrderEventKind::Cancelled) || self.cause.is_some();
        let causes = "a cancellation says whose doing it is: supplier, buyer, carrier, platform or unknown";
        fields.require(caused, "/data/cause", "missing_field", causes);
        let few = self.attributes.len() <= ATTRIBUTES_MAX;
        fields.require(few, "/data/attributes", "too_many", format!("at most {ATTRIBUTES_MAX} attributes"));
        for (index, attribute) in self.attributes.iter().enumerate().take(ATTRIBUTES_MAX) {
            fields.check(&format!("/data/attributes/{index}/hash"), attribute.check());
        }
        let region = fields.check_some("/data/region", self.region.as_deref().map(Region::new));
        for (field, text) in [
            ("/data/category", &mut self.category),
            ("/data/tracking", &mut self.tracking),
            ("/data/part", &mut self.part),
        ] {
            let Some(text) = text else { continue };
            *text = normalized(text).into_owned();
            let fits = (1..=TEXT_CHARS_MAX).contains(&text.chars().count());
            fields.require(fits, field, "text_length", format!("must be 1 to {TEXT_CHARS_MAX} characters"));
            let seen = !text.contains(is_hidden);
            fields.require(
                seen,
                field,
                "control_character",
                "it holds a character that nobody sees; leave it out",
            );
        }
        Some(OrderEvent {
            id: EventId::new("pending").ok()?,
            source: String::new(),
            kind: kind.unwrap_or(OrderEventKind::Placed),
            time: Timestamp::default(),
            supplier: supplier?,
            order,
            line,
            part: self.part,
            reservation,
            buyer,
            listing,
            sku,
            quantity: self.quantity,
            amount,
            cause: self.cause.unwrap_or_default(),
            rating: self.rating,
            late: self.late,
            new_device: self.new_device,
            category: self.category,
            tracking: self.tracking,
            region,
            ship_by: None,
            deliver_by: None,
            reason: self.reason,
            attributes: self.attributes,
        })
    }
}

/// What is answered of each event that was sent.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(untagged)]
enum EventRow {
    Accepted {
        row: usize,
        id: EventId,
        /// `accepted`: it is durable.
        status: &'static str,
        /// Where to ask what became of it.
        answer: String,
        /// What is remarkable about an event that counts all the same.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<FieldError>,
    },
    Invalid {
        row: usize,
        /// `invalid`: it was not taken.
        status: &'static str,
        errors: EventError,
    },
    HeldBack {
        row: usize,
        id: EventId,
        /// `held_back`: it was not taken, for the server is behind where it goes, and the key has had its share of that. Send it again.
        status: &'static str,
        /// `share_used`.
        code: &'static str,
        /// Seconds to wait before that.
        retry_after_s: u64,
    },
}

/// What is answered of a request.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "EventsReceipt")]
pub(super) struct Receipt {
    accepted: usize,
    /// Rows that were not taken, those held back included.
    refused: usize,
    /// Of these, rows to be sent again, for they were only held back.
    held_back: usize,
    /// Accepted rows with warnings.
    warned: usize,
    rows: Vec<EventRow>,
}

/// Orders placed in a request, each with whether its buyer is named.
type Placed = BTreeMap<(SupplierId, OrderId), bool>;

/// What nobody has heard of among what an event is about, and what it lacks to count for what it says; `placed` are orders that stand before it in the same request.
/// It is taken all the same: registrations and orders may come later, and by other ways.
fn warnings(app: &App, event: &OrderEvent, placed: &Placed) -> Vec<FieldError> {
    let supplier = &event.supplier;
    let mut warnings = Vec::new();
    if app.supplier(supplier).is_none() {
        crate::metrics::event_warned(UNKNOWN_SUPPLIER);
        let detail = format!(
            "no supplier {supplier} is registered; the event is kept and counts once it is. Check the id, or register it"
        );
        warnings.push(FieldError::new("/data/supplier", UNKNOWN_SUPPLIER, detail));
    }
    let Some(order) = event.order.as_ref().filter(|_| event.kind != OrderEventKind::Placed) else {
        return warnings;
    };
    let here = placed.get(&(supplier.clone(), order.clone()));
    if here.is_none() && !app.has_heard_of(supplier, order) && !is_of_a_reservation(app, event, order) {
        crate::metrics::event_warned(UNKNOWN_ORDER);
        let detail = format!(
            "nothing is known to be placed of order {order} of {supplier}; the event is kept and counts once it is. Check the id, or send what was placed"
        );
        warnings.push(FieldError::new("/data/order", UNKNOWN_ORDER, detail));
    }
    // Events are gathered by buyer, and evidence counts buyers: without one it is an outcome of nobody's order.
    if event.buyer.is_none() && here.copied().unwrap_or_else(|| app.has_named_buyer(supplier, order)) {
        crate::metrics::event_warned(BUYER_LEFT_OUT);
        let detail = format!(
            "order {order} of {supplier} was placed with a buyer and this leaves the buyer out, so it counts as one of nobody's and most rules do not see it. Send the same `buyer` with every event of an order"
        );
        warnings.push(FieldError::new("/data/buyer", BUYER_LEFT_OUT, detail));
    }
    warnings
}

/// Whether the event is about units that a reservation keeps, which it names or its order is named like: such an event counts at once.
fn is_of_a_reservation(app: &App, event: &OrderEvent, order: &OrderId) -> bool {
    let name = event.reservation.clone().or_else(|| ReservationId::of_record(order.as_str()).ok());
    let known = name.and_then(|name| app.reservation(&name));
    known
        .is_some_and(|(of, row)| of == event.supplier && (row.is_open() || row.order.as_ref() == Some(order)))
}

/// Which events of a request are held back, and for how long.
struct Held {
    waits: Vec<Option<Duration>>,
    count: usize,
}

impl Held {
    fn of(waits: Vec<Option<Duration>>) -> Self {
        let count = waits.iter().flatten().count();
        Self { waits, count }
    }

    /// How long the request has to wait, where all of it has to: it is not answered event by event then.
    fn whole_request(&self) -> Option<Duration> {
        let longest = self.waits.iter().flatten().max().copied();
        longest.filter(|_| self.count == self.waits.len())
    }
}

/// Codes of warnings.
const UNKNOWN_SUPPLIER: &str = "unknown_supplier";
const UNKNOWN_ORDER: &str = "unknown_order";
const BUYER_LEFT_OUT: &str = "buyer_left_out";

/// Takes one CloudEvent in either mode, or a JSON array of them. What is accepted is durable when the answer is sent.
pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    caller.must(|role| *role == Role::OrderSystem)?;
    let now = app.now();
    let in_headers = is_binary(&headers);
    let turn = turn_of(&app.turns, &caller.0.id, &text).await?;
    let gate = &app.gate_of_edge.events;
    let allowance;
    let (batch, events): (bool, Vec<_>) = if in_headers {
        gate.admits_any(&caller.0.id)?;
        allowance = app.limits.take("events", &caller.0.id, 1)?;
        let event = checked(binary(&headers, &text)?, now).map_err(|mut errors| {
            errors.iter_mut().for_each(|error| error.field = place_in_binary(&error.field));
            errors
        });
        (false, vec![event])
    } else {
        let batch = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let raw: Vec<&RawValue> =
            if batch { body::parse_borrowed(&text)? } else { vec![body::parse_borrowed(&text)?] };
        if raw.is_empty() || raw.len() > EVENTS_MAX {
            let detail = format!("send 1 to {EVENTS_MAX} events, got {}; split the batch", raw.len());
            return Err(Problem::invalid(vec![FieldError::new("", "batch_size", detail)]));
        }
        // Known before any of them is read: one too many costs no more than to be counted. They are taken once they are appended.
        gate.admits_any(&caller.0.id)?;
        allowance = app.limits.take("events", &caller.0.id, raw.len())?;
        let mut events = Vec::with_capacity(raw.len());
        for raw in &raw {
            let_others_by(events.len()).await;
            events.push(event_from_cloudevent(raw.get().as_bytes(), now));
        }
        (batch, events)
    };
    let trace = traceparent(&headers);
    let (mut records, mut rows) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
    let (mut placed, mut warned) = (Placed::new(), 0);
    // Where they go is reckoned only where that may hold something back.
    let ways: Vec<_> = if gate.is_behind() {
        events.iter().map(|event| event.as_ref().ok().map(|event| gate.way(event))).collect()
    } else {
        vec![None; events.len()]
    };
    let held = Held::of(gate.hold(&caller.0.id, &ways));
    if held.count > 0 {
        app.limits.give_back(("events", &caller.0.id), held.count);
        crate::metrics::events_held_back(held.count);
    }
    if let Some(wait) = held.whole_request() {
        return Err(share_used(wait));
    }
    for (row, (event, wait)) in events.into_iter().zip(&held.waits).enumerate() {
        let_others_by(row).await;
        match (event, wait) {
            (Ok(event), Some(wait)) => {
                let (id, retry_after_s) = (event.id, wait_s(*wait));
                rows.push(EventRow::HeldBack {
                    row,
                    id,
                    status: "held_back",
                    code: "share_used",
                    retry_after_s,
                });
            }
            (Ok(mut event), None) => {
                app.promises.stamp(&mut event);
                let answer = answer_path(&event);
                let mut warnings = warnings(&app, &event, &placed);
                if in_headers {
                    warnings.iter_mut().for_each(|warning| warning.field = place_in_binary(&warning.field));
                }
                warned += usize::from(!warnings.is_empty());
                if let Some(order) = event.order.as_ref().filter(|_| event.kind == OrderEventKind::Placed) {
                    placed.insert((event.supplier.clone(), order.clone()), event.buyer.is_some());
                }
                rows.push(EventRow::Accepted {
                    row,
                    id: event.id.clone(),
                    status: "accepted",
                    answer,
                    warnings,
                });
                records.push(inbox_record(event, trace.clone()));
            }
            (Err(errors), _) if !batch => return Err(Problem::invalid(errors)),
            (Err(errors), _) => {
                crate::metrics::event_refused();
                rows.push(EventRow::Invalid { row, status: "invalid", errors });
            }
        }
    }
    let accepted = records.len();
    drop(turn);
    // Nothing is waited for between this and the append, so whoever goes away meanwhile takes room of nobody.
    if let Err(full) = gate.admits(&caller.0.id, accepted) {
        gate.release(&caller.0.id, &ways, &held.waits);
        app.limits.give_back(("events", &caller.0.id), accepted);
        return Err(full);
    }
    app.append_all(records).await.inspect_err(|_| gate.give_back(&caller.0.id, accepted))?;
    placed.iter().for_each(|((supplier, order), named)| app.hear_of(supplier, order, *named));
    crate::metrics::events_accepted(accepted);
    let refused = rows.len() - accepted;
    let body = Json(Receipt { accepted, refused, held_back: held.count, warned, rows });
    let mut response = (StatusCode::ACCEPTED, body).into_response();
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    Ok(response)
}

/// Where to ask what became of an event. A source may be a URL, so what would end a path's part is escaped.
fn answer_path(event: &OrderEvent) -> String {
    format!("/v1/events/{}/{}", path_segment(&event.source), event.id)
}

/// What became of an event.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "EventAnswer")]
pub(super) struct AnswerBody {
    source: String,
    id: String,
    answer: EventStatus,
    /// Why, or what is remarkable about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<EventCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// Whether the same source and id came again, and how: nothing of that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<AgainBody>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "EventAgain")]
struct AgainBody {
    /// `duplicate` or `conflict`.
    answer: &'static str,
    code: EventCode,
    detail: &'static str,
}

/// Answers what became of an event of the last day.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((source, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    caller.must(|role| *role == Role::OrderSystem || role.is_staff())?;
    app.limits.take(caller.0.role.class(), &caller.0.id, 1)?;
    let Some(found) = app.event_answer(&source, &id) else {
        let detail = "nothing is known of this event: it is still on its way, older than a day, or was not accepted; ask again or send it again under the same id";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_answer_yet", detail)
            .with_header(header::RETRY_AFTER, "1"));
    };
    let again = found.again.map(|code| AgainBody { answer: code.as_answer(), code, detail: code.detail() });
    let (code, detail) = (found.code, found.code.map(EventCode::detail));
    Ok(Json(AnswerBody { source, id, answer: found.status, code, detail, again }).into_response())
}

/// The record of an event for `events.inbox`.
fn inbox_record(event: OrderEvent, traceparent: Option<String>) -> stockade_log::NewRecord {
    let mut envelope = Envelope::new("stockade.order.event", event.id.as_str(), &event.source);
    envelope.traceparent = traceparent;
    let key = event.inbox_key().to_owned();
    record(Topic::EventsInbox, &key, &envelope, &Payload::OrderEvent(event))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn placed(promises: &serde_json::Value) -> Result<OrderEvent, EventError> {
        let mut data = json!({ "supplier": "acme", "order": "o-1" });
        for (name, value) in promises.as_object().unwrap() {
            data[name] = value.clone();
        }
        let event = json!({
            "specversion": "1.0", "id": "e-1", "source": "shop", "type": "stockade.order.placed",
            "time": "2026-11-22T10:00:00Z", "data": data,
        });
        let now = Timestamp::parse("2026-11-22T10:00:05Z").unwrap();
        event_from_cloudevent(event.to_string().as_bytes(), now)
    }

    #[test]
    fn a_type_that_nobody_may_send_is_not_offered_for_another() {
        let event = json!({
            "specversion": "1.0", "id": "e", "source": "t", "type": "stockade.order.overdue",
            "data": { "supplier": "acme", "order": "o" },
        });
        let errors = event_from_cloudevent(event.to_string().as_bytes(), Timestamp::default()).unwrap_err();
        let detail = errors[0].detail.split_once(" is none of ").unwrap().1;
        assert!(!detail.contains("overdue") && detail.contains("stockade.order.placed"), "{detail}");
    }

    #[test]
    fn promises_are_read_and_impossible_ones_are_refused_with_their_place() {
        let time = |text: &str| Some(Timestamp::parse(text).unwrap());
        let fine = json!({ "ship_by": "2026-11-24T23:59:59+01:00", "deliver_by": "2026-11-29T00:00:00Z" });
        let event = placed(&fine).unwrap();
        assert_eq!(
            (event.ship_by, event.deliver_by),
            (time("2026-11-24T22:59:59Z"), time("2026-11-29T00:00:00Z"))
        );
        assert_eq!(placed(&json!({})).unwrap().ship_by, None);
        // The same day as a mere date, and both at once.
        assert!(
            placed(&json!({ "ship_by": "2026-11-22T00:00:00Z", "deliver_by": "2026-11-22T00:00:00Z" }))
                .is_ok()
        );

        let refused = |promises: &serde_json::Value| {
            let errors = placed(promises).unwrap_err();
            errors.into_iter().map(|error| (error.field, error.code)).collect::<Vec<_>>()
        };
        let one = |field: &str, code: &str| vec![(field.to_owned(), code.to_owned())];
        let swapped = json!({ "ship_by": "2026-11-29T00:00:00Z", "deliver_by": "2026-11-24T00:00:00Z" });
        assert_eq!(refused(&swapped), one("/data/deliver_by", "promise_range"));
        assert_eq!(
            refused(&json!({ "deliver_by": "2028-11-24T00:00:00Z" })),
            one("/data/deliver_by", "promise_range")
        );
        assert_eq!(
            refused(&json!({ "ship_by": "2025-11-24T00:00:00Z" })),
            one("/data/ship_by", "promise_range")
        );
        assert_eq!(refused(&json!({ "ship_by": "24.11.2026" })), one("/data/ship_by", "time_format"));
    }
}
