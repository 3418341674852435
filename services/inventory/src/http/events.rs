//! Order outcomes and account events, as CloudEvents, single and batch.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{json, value::RawValue};
use stockade_model::{
    Attribute, BuyerId, Currency, Envelope, EventId, Invalid, ListingId, Money, OrderEvent, OrderEventKind,
    OrderId, OutcomeCause, Payload, Region, Sku, SupplierId, Timestamp, Topic,
    inventory::QUANTITY_MAX,
    time::{DAY_MS, SECOND_MS},
};
use stockade_runtime::{Caller, FieldError, Problem, Role, body};

use super::{fields::Fields, rows::Price, supplier::traceparent};
use crate::app::{App, record};

/// Attributes one event may show.
const ATTRIBUTES_MAX: usize = 16;
/// Longest category or tracking number.
const TEXT_BYTES_MAX: usize = 64;
/// Events in one request.
const EVENTS_MAX: usize = 1_000;
/// How far in the future an event may lie: clocks differ.
const FUTURE_MS: i64 = 300 * SECOND_MS;
/// How far in the past.
const PAST_MS: i64 = 90 * DAY_MS;

/// Everything that is wrong with one event.
pub type EventError = Vec<FieldError>;

/// CloudEvents 1.0, JSON format. Extension attributes are allowed by that specification and ignored here.
#[derive(serde::Deserialize)]
struct CloudEvent<'a> {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    time: Option<String>,
    /// Kept as text, so that its own fields are checked as strictly as the rest.
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    supplier: String,
    order: Option<String>,
    buyer: Option<String>,
    listing: Option<String>,
    sku: Option<String>,
    quantity: Option<i64>,
    amount: Option<Price>,
    cause: Option<OutcomeCause>,
    rating: Option<u8>,
    #[serde(default)]
    late: bool,
    #[serde(default)]
    new_device: bool,
    category: Option<String>,
    tracking: Option<String>,
    region: Option<String>,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

/// Reads and checks one CloudEvent as of `now`.
pub fn event_from_cloudevent(text: &[u8], now: Timestamp) -> Result<OrderEvent, EventError> {
    let problem = |problem: Problem| {
        if problem.errors.is_empty() {
            vec![FieldError::new("", problem.code, problem.detail)]
        } else {
            problem.errors
        }
    };
    let event: CloudEvent<'_> = body::parse_borrowed(text).map_err(problem)?;
    let data: Data = body::parse(event.data.get().as_bytes()).map_err(|wrong| {
        let mut errors = problem(wrong);
        errors.iter_mut().for_each(|error| error.field = format!("/data{}", error.field));
        errors
    })?;
    let mut fields = Fields::default();
    fields.require(event.specversion == "1.0", "/specversion", "specversion", "specversion must be 1.0");
    let source = (1..=200).contains(&event.source.len());
    fields.require(source, "/source", "source_length", "source must be 1 to 200 bytes");
    let kind = OrderEventKind::from_event_type(&event.kind);
    if kind.is_none() {
        let known: Vec<&str> = OrderEventKind::ALL.iter().map(|kind| kind.event_type()).collect();
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
    let checked = data.check(&mut fields, kind);
    let built = id.zip(kind).zip(time).zip(checked);
    let event = built.map(|(((id, kind), time), partial)| OrderEvent {
        id,
        source: event.source,
        kind,
        time,
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
    /// The event without id, source, kind and time.
    fn check(self, fields: &mut Fields, kind: Option<OrderEventKind>) -> Option<OrderEvent> {
        let supplier = fields.check("/data/supplier", SupplierId::new(&self.supplier));
        let order = fields.check_some("/data/order", self.order.as_deref().map(OrderId::new));
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
        for (field, text) in [("/data/category", &self.category), ("/data/tracking", &self.tracking)] {
            let fits = text.as_ref().is_none_or(|text| (1..=TEXT_BYTES_MAX).contains(&text.len()));
            fields.require(fits, field, "text_length", format!("must be 1 to {TEXT_BYTES_MAX} bytes"));
        }
        Some(OrderEvent {
            id: EventId::new("pending").ok()?,
            source: String::new(),
            kind: kind.unwrap_or(OrderEventKind::Placed),
            time: Timestamp::default(),
            supplier: supplier?,
            order,
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
            attributes: self.attributes,
        })
    }
}

/// Takes one CloudEvent, or a JSON array of them. What is accepted is durable when the answer is sent.
pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    caller.must("order_system", |role| *role == Role::OrderSystem)?;
    let batch = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let raw: Vec<&RawValue> =
        if batch { body::parse_borrowed(&text)? } else { vec![body::parse_borrowed(&text)?] };
    if raw.is_empty() || raw.len() > EVENTS_MAX {
        let detail = format!("send 1 to {EVENTS_MAX} events, got {}; split the batch", raw.len());
        return Err(Problem::invalid(vec![FieldError::new("", "batch_size", detail)]));
    }
    let allowance = app.limits.take("events", &caller.0.id, raw.len())?;
    let now = app.now();
    let (mut records, mut rows) = (Vec::with_capacity(raw.len()), Vec::with_capacity(raw.len()));
    for (row, raw) in raw.iter().enumerate() {
        match event_from_cloudevent(raw.get().as_bytes(), now) {
            Ok(event) => {
                rows.push(json!({ "row": row, "id": event.id, "status": "accepted" }));
                records.push(inbox_record(event, traceparent(&headers)));
            }
            Err(errors) if !batch => return Err(Problem::invalid(errors)),
            Err(errors) => {
                metrics::counter!("stockade_inventory_events_refused_total").increment(1);
                rows.push(json!({ "row": row, "status": "invalid", "errors": errors }));
            }
        }
    }
    let accepted = records.len();
    app.append_all(records).await?;
    metrics::counter!("stockade_inventory_events_accepted_total").increment(accepted as u64);
    let body = Json(json!({ "accepted": accepted, "refused": rows.len() - accepted, "rows": rows }));
    let mut response = (StatusCode::ACCEPTED, body).into_response();
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    Ok(response)
}

/// The record of an event for `events.inbox`.
fn inbox_record(event: OrderEvent, traceparent: Option<String>) -> stockade_log::NewRecord {
    let mut envelope = Envelope::new("stockade.order.event", event.id.as_str(), &event.source);
    envelope.traceparent = traceparent;
    let key = event.inbox_key().to_owned();
    record(Topic::EventsInbox, &key, &envelope, &Payload::OrderEvent(event))
}
