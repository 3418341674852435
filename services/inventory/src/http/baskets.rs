//! Baskets: reservations over several lines and suppliers, asked for at once, to be had as a whole or one by one.
//!
//! What is done to one is a course of steps (`domain::basket`). It goes on when its caller hangs up, so that nobody leaves a basket
//! in the middle of one by closing a page.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::value::RawValue;
use stockade_model::{
    BasketId, Gtin, ListingId, Money, OrderId, Region, ReservationId, Sku, SupplierId, Timestamp,
    time::SECOND_MS,
};
use stockade_runtime::{
    Caller, FieldError, ListQuery, Params, Path, Principal, Problem, body, http::idempotency_key,
    limits::Allowance,
};

use super::{
    answer::shapes,
    buyer::admit,
    fields::Fields,
    reservations::{
        HOLD_SECONDS, HOLD_SECONDS_MAX, ReservationBody, ReserveBody, SECRET_LEN, admit_buyer, admit_reader,
        key_reused, not_available, over, visible_owner,
    },
    supplier::{body_hash, traceparent},
    token::{POSITION, await_position, named, token},
};
use crate::{
    app::App,
    baskets::Ran,
    domain::{
        Answers, BasketAsked, BasketState, Course, Ended, LineAsked, LineKnown, Made, Making, Query,
        ReservationState, Said, Turning, Wish, basket_state,
    },
};

/// Lines of a basket.
const LINES_MAX: usize = 100;
/// Other offers that are named for a line that is not to be had.
const ALTERNATIVES_MAX: usize = 3;

/// Whether lines are had all together or each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BasketMode")]
enum Mode {
    /// All of them are held, or none.
    AllOrNothing,
    /// Each is held if it can be.
    PerLine,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReserveBasket")]
pub(super) struct ReserveLinesBody {
    #[schemars(length(min = 1, max = LINES_MAX))]
    lines: Vec<ReserveLine>,
    mode: Mode,
    /// How long the units are held; 900 when nobody says.
    #[schemars(range(min = 1, max = HOLD_SECONDS_MAX))]
    seconds: Option<i64>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReserveLine {
    #[schemars(with = "SupplierId")]
    supplier: String,
    #[schemars(with = "ListingId")]
    listing: String,
    #[schemars(range(min = 1))]
    quantity: i64,
    /// Where the units are to go; needed where some regions that the listing serves are not available.
    #[schemars(with = "Option<Region>")]
    region: Option<String>,
}

/// One listing, or lines.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ReserveOneOrLines")]
#[expect(dead_code, reason = "it describes what is told apart by its member `lines`")]
pub(super) enum OneOrLines {
    One(ReserveBody),
    Lines(ReserveLinesBody),
}

/// What is held: one reservation, or a basket of them, as it was asked for.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Reserved")]
#[expect(dead_code, reason = "it describes either of two answers")]
pub(super) enum OneOrBasket {
    One(ReservationBody),
    Basket(BasketBody),
}

/// Whether a body asks for lines.
pub(super) fn asks_for_lines(text: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Peek<'a> {
        #[serde(borrow)]
        lines: Option<&'a RawValue>,
    }
    // Nearly nobody who asks for one writes that word, and then nothing is read twice.
    let word = b"\"lines\"";
    text.windows(word.len()).any(|part| part == word)
        && serde_json::from_slice::<Peek<'_>>(text).is_ok_and(|peek| peek.lines.is_some())
}

/// Another offer of the same good.
#[derive(serde::Serialize)]
struct Alternative {
    supplier: SupplierId,
    listing: ListingId,
    sku: Sku,
    gtin: Option<Gtin>,
    price: Money,
    available: i64,
    regions: Vec<Region>,
    lead_days: u16,
}

/// A line of a basket as its owner, order systems and analysts see it.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "BasketLine")]
pub(super) struct LineBody {
    /// Its place in the request, from 0.
    line: usize,
    supplier: SupplierId,
    listing: ListingId,
    quantity: i64,
    /// The reservation that it is; absent where nothing is held for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<ReservationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ReservationState>,
    /// Units that it keeps by itself.
    kept: i64,
    /// When what it keeps lapses, unless it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// The order it has become.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderId>,
    /// Whether the promise may not be kept.
    at_risk: bool,
    /// Stable code of the reason, where it is not as it was asked to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The reason for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Other offers of the same good in the same region with enough units, cheapest first, where the line is not to be had. Each
    /// is looked for by itself: two lines may be told of the same units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shapes::SeenOffer>", length(max = ALTERNATIVES_MAX))]
    alternatives: Vec<Alternative>,
}

/// A basket as its owner, order systems and analysts see it.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Basket")]
pub(super) struct BasketBody {
    basket: BasketId,
    mode: Mode,
    state: BasketState,
    /// When the first line lapses, unless it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// Whether the promise may not be kept for one of its lines.
    at_risk: bool,
    /// Lines that are as they were asked to be.
    succeeded: usize,
    failed: usize,
    /// In the order in which they were asked for.
    lines: Vec<LineBody>,
}

/// What a refusal of a basket says beside what every problem says.
#[derive(schemars::JsonSchema)]
#[schemars(rename = "BasketRefused")]
#[expect(dead_code, reason = "it describes a member of problems")]
pub(super) struct RefusedBody {
    /// Of a basket: what stood in the way of each line.
    lines: Option<Vec<LineBody>>,
}

/// Other offers of the good of `listing` that a buyer may have `quantity` units of.
fn alternatives(
    app: &App,
    (supplier, listing): (&SupplierId, &ListingId),
    quantity: i64,
    region: Option<Region>,
) -> Vec<Alternative> {
    let Some(own) = app.own_listing(supplier, listing) else { return Vec::new() };
    // Who does not say where it is to go has it sent to where the listing serves, if that is one region.
    let region = region.or_else(|| own.regions.first().copied().filter(|_| own.regions.len() == 1));
    let shared = own.gtin.filter(|gtin| !gtin.is_restricted());
    let mut skus = shared.map(|gtin| app.index.skus(gtin)).unwrap_or_default();
    if !skus.contains(&own.sku) {
        skus.push(own.sku);
    }
    let currency = Some(own.price.currency);
    // One more, for the listing itself may be among them.
    let limit = ALTERNATIVES_MAX + 1;
    let query = Query { region, min_qty: quantity, currency, limit, ..Query::default() };
    let found = app.index.query_all(&skus, &query, &app.overlay, None).offers.into_iter();
    let others = found.filter(|offer| offer.supplier != *supplier || offer.listing != *listing);
    let seen = others.filter_map(|offer| {
        let left = offer.left(&app.overlay, region)?;
        Some(Alternative {
            available: app.index.available(&offer, &left),
            regions: left.regions.unwrap_or(offer.regions).into_vec(),
            supplier: offer.supplier,
            listing: offer.listing,
            sku: offer.sku,
            gtin: offer.gtin,
            price: offer.price,
            lead_days: offer.lead_days,
        })
    });
    seen.take(ALTERNATIVES_MAX).collect()
}

impl LineBody {
    fn known(app: &App, line: &LineKnown) -> Self {
        let own = ReservationBody::of(app, line.reservation.clone(), line.supplier.clone(), line.row.clone());
        Self {
            line: usize::from(line.place.line),
            supplier: own.supplier,
            listing: own.listing,
            quantity: own.quantity,
            reservation: Some(own.reservation),
            state: Some(own.state),
            kept: own.kept,
            expires_at: own.expires_at,
            order: own.order,
            at_risk: own.at_risk,
            code: None,
            detail: None,
            alternatives: Vec::new(),
        }
    }

    /// A line that nothing is held for.
    fn asked(at: usize, asked: &LineAsked) -> Self {
        Self {
            line: at,
            supplier: asked.supplier.clone(),
            listing: asked.listing.clone(),
            quantity: asked.quantity,
            reservation: None,
            state: None,
            kept: 0,
            expires_at: None,
            order: None,
            at_risk: false,
            code: None,
            detail: None,
            alternatives: Vec::new(),
        }
    }

    fn because(self, code: &str, detail: impl Into<String>) -> Self {
        Self { code: Some(code.to_owned()), detail: Some(detail.into()), ..self }
    }

    /// Why it is not to be had, as buyers are told, and what is instead.
    fn not_to_be_had(self, app: &App, code: &str, detail: &str, region: Option<Region>) -> Self {
        if code == "region_required" {
            return self.because(code, detail);
        }
        // Whatever keeps the units, for a buyer they are not there.
        let alternatives = alternatives(app, (&self.supplier, &self.listing), self.quantity, region);
        let line = self.because("not_available", "these units are not available");
        Self { alternatives, ..line }
    }
}

impl BasketBody {
    /// Of lines of which there is at least one, in order of their places.
    fn of(app: &App, basket: BasketId, known: &[LineKnown]) -> Self {
        let whole = known.first().is_some_and(|line| line.place.whole);
        let mode = if whole { Mode::AllOrNothing } else { Mode::PerLine };
        let lines = known.iter().map(|line| LineBody::known(app, line)).collect();
        let mut body = Self {
            basket,
            mode,
            state: basket_state(known),
            expires_at: None,
            at_risk: false,
            succeeded: 0,
            failed: 0,
            lines,
        };
        body.sum_up();
        body
    }

    fn sum_up(&mut self) {
        self.lines.sort_by_key(|line| line.line);
        self.expires_at = self.lines.iter().filter_map(|line| line.expires_at).min();
        self.at_risk = self.lines.iter().any(|line| line.at_risk);
        self.failed = self.lines.iter().filter(|line| line.code.is_some()).count();
        self.succeeded = self.lines.len() - self.failed;
    }

    /// Says of each line why it is not as it was asked to be.
    fn blame(&mut self, said: &Answers) {
        for line in &mut self.lines {
            if let Some(Said::Refused(code, detail)) = said.get(&line.line) {
                (line.code, line.detail) = (Some(code.clone()), Some(detail.clone()));
            }
        }
        self.sum_up();
    }
}

fn no_basket() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_reservation",
        "there is no such basket of yours; it may have ended more than a day ago",
    )
}

fn doubtful(ran: Ran) -> Problem {
    ran.problem.unwrap_or_else(|| {
        Problem::unavailable(
            "pending",
            "it is being decided; ask again, a basket that is being made with the same Idempotency-Key",
        )
    })
}

fn with_lines(problem: Problem, lines: &[LineBody]) -> Problem {
    problem.with_member("lines", serde_json::to_value(lines).unwrap_or_default())
}

fn dress(mut response: Response, replay: bool, ran: &Ran, allowance: Option<Allowance>) -> Response {
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    let at: Vec<String> = ran.at.iter().map(|(partition, offset)| token((*partition, *offset))).collect();
    if !at.is_empty()
        && let Ok(value) = at.join(",").parse()
    {
        response.headers_mut().insert(POSITION, value);
    }
    if replay {
        response.headers_mut().insert("idempotent-replay", axum::http::HeaderValue::from_static("true"));
    }
    response
}

/// Goes through a course to its end, whether or not its caller waits.
async fn run<C: Course + Send + 'static>(
    app: &Arc<App>,
    headers: &HeaderMap,
    mut course: C,
) -> Result<(C, Ran), Problem> {
    let (app, traceparent) = (app.clone(), traceparent(headers));
    let running = tokio::spawn(async move {
        let ran = app.run(&mut course, traceparent.as_deref()).await;
        (course, ran)
    });
    running.await.map_err(|_| doubtful(Ran::default()))
}

/// Reads what is asked for. The same key and body mean the same basket at every replica.
fn read(
    app: &App,
    caller: &Principal,
    headers: &HeaderMap,
    asked: ReserveLinesBody,
) -> Result<BasketAsked, Problem> {
    let ReserveLinesBody { lines, mode, seconds } = asked;
    let mut fields = Fields::default();
    let fine = (1..=LINES_MAX).contains(&lines.len());
    fields.require(fine, "/lines", "batch_size", format!("a basket has 1 to {LINES_MAX} lines"));
    let seconds = seconds.unwrap_or(HOLD_SECONDS);
    let fine = (1..=HOLD_SECONDS_MAX).contains(&seconds);
    fields.require(fine, "/seconds", "hold_range", format!("seconds must be 1 to {HOLD_SECONDS_MAX}"));
    let mut read = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let supplier = fields.check(&format!("/lines/{at}/supplier"), SupplierId::new(&line.supplier));
        let listing = fields.check(&format!("/lines/{at}/listing"), ListingId::new(&line.listing));
        let quantity = format!("/lines/{at}/quantity");
        fields.require(line.quantity >= 1, &quantity, "quantity_range", "quantity must be 1 or more");
        let region = line.region.as_deref().map(Region::new);
        let region = fields.check_some(&format!("/lines/{at}/region"), region);
        read.extend(
            supplier.zip(listing).map(|(supplier, listing)| (supplier, listing, line.quantity, region)),
        );
    }
    fields.into_problem()?;
    let unique = idempotency_key(headers)?.map_or_else(|| app.fresh_id(), |key| format!("key {key}"));
    let whole = mode == Mode::AllOrNothing;
    let mut said = vec![seconds.to_string(), whole.to_string()];
    for (supplier, listing, quantity, region) in &read {
        let region = region.as_ref().map_or("", Region::as_str).to_owned();
        said.extend([supplier.to_string(), listing.to_string(), quantity.to_string(), region]);
    }
    let request = body_hash(&said.iter().map(String::as_bytes).collect::<Vec<_>>());
    let (fingerprint, unique) = (caller.fingerprint.as_bytes(), unique.as_bytes());
    let secret = |parts: &[&[u8]]| {
        let mut secret = body_hash(parts);
        secret.truncate(SECRET_LEN);
        secret
    };
    let of_key = secret(&[b"basket", fingerprint, unique]);
    let basket = BasketId::new(&format!("{}{}", prefix(&of_key), &request[..8])).map_err(|_| no_basket())?;
    let mut lines = Vec::with_capacity(read.len());
    for (at, (supplier, listing, quantity, region)) in read.into_iter().enumerate() {
        let place = at.to_le_bytes();
        let own = secret(&[b"basket line", fingerprint, unique, request.as_bytes(), &place]);
        let reservation = ReservationId::new(&format!("{supplier}::{own}")).map_err(|_| no_basket())?;
        lines.push(LineAsked { supplier, reservation, listing, quantity, region });
    }
    let (owner, hold_ms) = (caller.id.clone(), seconds * SECOND_MS);
    Ok(BasketAsked { basket, owner, request, whole, hold_ms, lines })
}

/// How the names of all baskets under one key begin: what follows is of the body.
fn prefix(of_key: &str) -> String {
    format!("basket-{of_key}-")
}

/// Whether the key of a request has a basket for something else that is not over.
fn is_key_taken(app: &App, basket: &BasketId) -> bool {
    let of_key = basket.as_str().rsplit_once('-').map_or("", |(of_key, _)| of_key);
    let others = app.reservations.baskets(None, &format!("{of_key}-"), None, 4);
    let stands = |lines: &[LineKnown]| lines.iter().any(|line| !line.row.is_free());
    others.iter().any(|(other, lines)| other != basket && stands(lines))
}

/// Holds lines. The call of one line, which shares the path, has looked at nothing yet.
pub(super) async fn reserve(
    app: Arc<App>,
    caller: Caller,
    headers: HeaderMap,
    text: &[u8],
) -> Result<Response, Problem> {
    caller.must(|role| *role == stockade_runtime::Role::Buyer)?;
    let body: ReserveLinesBody = body::parse(text)?;
    let allowance = admit(&app, &caller, body.lines.len().max(1))?;
    let asked = read(&app, &caller.0, &headers, body)?;
    if is_key_taken(&app, &asked.basket) {
        return Err(key_reused());
    }
    let known = app.reservations.basket(&asked.basket);
    let at = |line: usize| known.iter().find(|known| usize::from(known.place.line) == line);
    let stands = known.iter().any(|line| !line.row.is_free());
    // What is reserved already is answered for, whatever has become of the offer.
    let missing = |(line, asked): (usize, &LineAsked)| {
        let own = app.own_listing(&asked.supplier, &asked.listing);
        let offered = own.is_some_and(|offer| offer.left(&app.overlay, asked.region).is_some());
        let held = at(line).is_some_and(|known| !known.row.is_free());
        (!offered && !held).then(|| (line, Said::Refused("not_available".to_owned(), String::new())))
    };
    let missing: Answers = asked.lines.iter().enumerate().filter_map(missing).collect();
    if asked.whole && !missing.is_empty() && !stands {
        return Err(refused(&app, &asked, &missing));
    }
    // Had one by one, a line that was given back or has lapsed stays so for a retry while others stand.
    let wanted = |line: &usize| {
        let over = at(*line).is_some_and(|known| known.row.is_free());
        !missing.contains_key(line) && !(stands && over)
    };
    let only = (!asked.whole).then(|| (0..asked.lines.len()).filter(wanted).collect::<Vec<_>>());
    if only.as_ref().is_some_and(Vec::is_empty) && !stands {
        return Err(refused(&app, &asked, &missing));
    }
    let making = Making::new(asked.clone(), only);
    let (making, ran) = run(&app, &headers, making).await?;
    let mut said = missing;
    said.extend(making.holds.clone());
    match making.end() {
        Made::Doubtful => Err(doubtful(ran)),
        Made::Reused => Err(key_reused()),
        Made::Refused => Err(refused(&app, &asked, &said)),
        Made::Held { again } => {
            let known = app.reservations.basket(&asked.basket);
            let mut body = BasketBody::of(&app, asked.basket.clone(), &known);
            if !asked.whole {
                body.lines.retain(|line| !matches!(said.get(&line.line), Some(Said::Refused(..))));
                body.lines.extend(lines_refused(&app, &asked, &said));
                body.sum_up();
            }
            let status = if again { StatusCode::OK } else { StatusCode::CREATED };
            Ok(dress((status, Json(body)).into_response(), again, &ran, allowance))
        }
    }
}

/// The lines that are not to be had.
fn lines_refused(app: &App, asked: &BasketAsked, said: &Answers) -> Vec<LineBody> {
    let refused = said.iter().filter_map(|(at, said)| match said {
        Said::Refused(code, detail) => {
            let line = asked.lines.get(*at)?;
            Some(LineBody::asked(*at, line).not_to_be_had(app, code, detail, line.region))
        }
        _ => None,
    });
    refused.collect()
}

/// Whether a line could be had by itself, as far as this replica sees.
fn is_to_be_had(app: &App, line: &LineAsked) -> bool {
    app.own_listing(&line.supplier, &line.listing).is_some_and(|offer| {
        let left = offer.left(&app.overlay, line.region);
        left.is_some_and(|left| app.index.available(&offer, &left) >= line.quantity)
    })
}

/// Nothing of what was asked for is to be had.
fn refused(app: &App, asked: &BasketAsked, said: &Answers) -> Problem {
    let region_required = said.iter().filter_map(|(line, said)| match said {
        Said::Refused(code, detail) if code == "region_required" => {
            Some(FieldError::new(format!("/lines/{line}/region"), "region_required", detail))
        }
        _ => None,
    });
    let region_required: Vec<FieldError> = region_required.collect();
    if !region_required.is_empty() {
        return Problem::invalid(region_required);
    }
    let mut lines = lines_refused(app, asked, said);
    // What nobody has tried, or what was to be had, is told by what this replica sees.
    let others = asked.lines.iter().enumerate().filter(|(at, _)| said.get(at).and_then(Said::code).is_none());
    lines.extend(others.map(|(at, line)| {
        let body = LineBody::asked(at, line);
        let known = matches!(said.get(&at), Some(Said::Applied(_) | Said::Replayed));
        if known || is_to_be_had(app, line) {
            return body.because("basket_refused", "it is not held, because not all lines are to be had");
        }
        body.not_to_be_had(app, "not_available", "", line.region)
    }));
    lines.sort_by_key(|line| line.line);
    with_lines(not_available(), &lines)
}

/// The basket that a caller may act on, with its lines.
async fn own(app: &App, owner: Option<&str>, basket: &str) -> Result<(BasketId, Vec<LineKnown>), Problem> {
    let name = BasketId::new(basket).map_err(|_| no_basket())?;
    let lines = app.find_basket(&name).await;
    let owned = |line: &LineKnown| owner.is_none() || line.row.is_owned_by(owner);
    if lines.first().is_some_and(owned) { Ok((name, lines)) } else { Err(no_basket()) }
}

/// Whether a whole basket can be acted on: all its lines have to be known.
fn is_complete(lines: &[LineKnown]) -> bool {
    lines.first().is_some_and(|line| !line.place.whole || lines.len() == usize::from(line.place.lines))
}

/// Confirms or gives back, and answers with what became of it.
async fn turn(
    app: &Arc<App>,
    caller: &Caller,
    headers: &HeaderMap,
    basket: &str,
    wish: Wish,
) -> Result<(BasketId, Turning, Ran), Problem> {
    if let Some(position) = named(headers, None) {
        await_position(app, &position).await?;
    }
    let (name, lines) = own(app, Some(&caller.0.id), basket).await?;
    // Some of it was never held, so it never was as a whole; what there is lapses in a moment.
    if !is_complete(&lines) {
        return Err(doubtful(Ran::default()));
    }
    let turning = Turning::new(lines, caller.0.id.clone(), wish);
    let (turning, ran) = run(app, headers, turning).await?;
    Ok((name, turning, ran))
}

/// Takes all that a basket holds.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(basket): Path<String>,
) -> Result<Response, Problem> {
    let allowance = admit_buyer(&app, &caller)?;
    let basket = basket.strip_suffix(":confirm").ok_or_else(no_basket)?;
    let (name, turning, ran) = turn(&app, &caller, &headers, basket, Wish::Confirm).await?;
    let known = app.reservations.basket(&name);
    let mut body = BasketBody::of(&app, name, &known);
    match turning.end() {
        Ended::Doubtful => Err(doubtful(ran)),
        Ended::Done { again } => {
            body.blame(&turning.said);
            Ok(dress(Json(body).into_response(), *again, &ran, allowance))
        }
        Ended::Refused(code) => {
            for (line, known) in body.lines.iter_mut().zip(&known) {
                let (supplier, listing) = (&line.supplier, &line.listing);
                if known.row.is_free() {
                    let code = if known.row.state == ReservationState::Lapsed { LAPSED } else { RELEASED };
                    line.code = Some(code.to_owned());
                    line.alternatives =
                        alternatives(&app, (supplier, listing), line.quantity, known.row.region);
                }
            }
            Err(with_lines(problem_of(code), &body.lines))
        }
    }
}

const LAPSED: &str = "reservation_lapsed";
const RELEASED: &str = "reservation_released";

fn problem_of(code: &str) -> Problem {
    match code {
        LAPSED => over("reservation_lapsed", "its time was over, and its units are free; reserve again"),
        RELEASED => over("reservation_released", "it was given back, and its units are free; reserve again"),
        "order_cancelled" => over(
            "order_cancelled",
            "an order that this basket has become was cancelled; reserve what is missing again",
        ),
        "already_confirmed" => over(
            "already_confirmed",
            "what is confirmed is cancelled by the order system; lines that are not confirmed were given back",
        ),
        _ => no_basket(),
    }
}

/// Gives back all that a basket holds and that was not confirmed.
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(basket): Path<String>,
) -> Result<Response, Problem> {
    let allowance = admit_buyer(&app, &caller)?;
    let (_, turning, ran) = turn(&app, &caller, &headers, &basket, Wish::Release).await?;
    match turning.end() {
        Ended::Doubtful => Err(doubtful(ran)),
        Ended::Done { again } => Ok(dress(StatusCode::NO_CONTENT.into_response(), *again, &ran, allowance)),
        Ended::Refused(code) => Err(problem_of(code)),
    }
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(basket): Path<String>,
) -> Result<Response, Problem> {
    admit_reader(&app, &caller)?;
    if let Some(position) = named(&headers, None) {
        await_position(&app, &position).await?;
    }
    let (name, lines) = own(&app, visible_owner(&caller), &basket).await?;
    Ok(Json(BasketBody::of(&app, name, &lines)).into_response())
}

/// Lists baskets by their names, those that ended within a day included.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    admit_reader(&app, &caller)?;
    let wanted = query.of("baskets")?;
    let after = wanted.after_as::<BasketId>()?;
    let found = app.reservations.baskets(visible_owner(&caller), "", after.as_ref(), wanted.look_for());
    let item =
        |(name, lines): (BasketId, Vec<LineKnown>)| (name.to_string(), BasketBody::of(&app, name, &lines));
    Ok(wanted.answer(found.into_iter().map(item).collect::<Vec<_>>()))
}
