//! Reservations: units held for a buyer until confirmed, released or lapsed.
//!
//! A reservation belongs to the key that made it: by the key's name, which is its own. Its name holds 96 bits of a hash in which
//! the key itself went, so nobody else can guess it, and any other buyer is told that there is none. Answers say what is held, never what was asked for: a retry with the
//! same `Idempotency-Key` finds the reservation that the first one made.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use stockade_model::{
    BasketId, Command, Invalid, ListingId, OrderId, Region, ReservationId, Row, RowOutcome, RowStatus,
    SupplierId, Timestamp, time::SECOND_MS,
};
use stockade_runtime::{
    Caller, FieldError, ListQuery, Params, Path, Principal, Problem, Role, body, http::idempotency_key,
    limits::Allowance, list::PAGE_MAX,
};

use super::{
    baskets,
    buyer::admit,
    fields::Fields,
    supplier::{body_hash, traceparent},
    token::{POSITION, await_position, named, token},
};
use crate::{
    app::{App, Submitted},
    domain::{Offer, Reservation, ReservationState, TOO_MANY_UNITS_HELD},
};

/// How long a reservation may hold units, in seconds.
pub(super) const HOLD_SECONDS_MAX: i64 = 3_600;
/// How long it does unless the buyer says otherwise.
pub(super) const HOLD_SECONDS: i64 = 900;
/// Characters of a name that nobody can guess: 96 bits.
pub(super) const SECRET_LEN: usize = 24;

/// A reservation as its owner, order systems and analysts see it.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Reservation")]
pub(super) struct ReservationBody {
    pub(super) reservation: ReservationId,
    pub(super) supplier: SupplierId,
    pub(super) listing: ListingId,
    pub(super) quantity: i64,
    pub(super) state: ReservationState,
    /// Units that it keeps by itself: all until an order names it, then what no line of that order has taken.
    pub(super) kept: i64,
    /// When what it keeps lapses, unless it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    /// The order it has become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<OrderId>,
    /// Whether the promise may not be kept: buyers are not shown the offer any more, for whatever reason, or fewer units are
    /// there than it keeps. A confirmed reservation stands all the same; whether to ship is for the order system to say.
    pub(super) at_risk: bool,
    /// The basket that it is a line of.
    #[serde(skip_serializing_if = "Option::is_none")]
    basket: Option<BasketId>,
}

impl ReservationBody {
    pub(super) fn of(app: &App, name: ReservationId, supplier: SupplierId, row: Reservation) -> Self {
        use ReservationState::{Confirmed, Held, Ordered};
        let (kept, may_lapse) = (row.kept(), row.may_lapse());
        let Reservation { listing, quantity, region, state, expires_at, order, basket, .. } = row;
        let stands = matches!(state, Held | Confirmed | Ordered);
        let offer = app.own_listing(&supplier, &listing);
        // What is ordered may be picked already, and then the supplier's count does not hold it any more.
        let there = |offer: &Offer| state == Ordered || offer.on_hand >= quantity;
        let sound =
            |offer: &Offer| !offer.withdrawn && there(offer) && offer.left(&app.overlay, region).is_some();
        let at_risk = stands && !offer.as_ref().is_some_and(sound);
        let expires_at = may_lapse.then_some(expires_at);
        let basket = basket.map(|place| place.basket);
        Self {
            reservation: name,
            supplier,
            listing,
            quantity,
            state,
            kept,
            expires_at,
            order,
            at_risk,
            basket,
        }
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Reserve")]
pub(crate) struct ReserveBody {
    #[schemars(with = "SupplierId")]
    supplier: String,
    #[schemars(with = "ListingId")]
    listing: String,
    #[schemars(range(min = 1))]
    quantity: i64,
    /// How long the units are held; 900 when nobody says.
    #[schemars(range(min = 1, max = HOLD_SECONDS_MAX))]
    seconds: Option<i64>,
    /// Where the units are to go; needed where some regions that the listing serves are not available.
    #[schemars(with = "Option<Region>")]
    region: Option<String>,
}

pub(super) fn not_available() -> Problem {
    Problem::new(StatusCode::CONFLICT, "not_available", "these units are not available; ask for alternatives")
}

pub(super) fn key_reused() -> Problem {
    let detail = "this Idempotency-Key has a reservation for something else; use a fresh key for another one";
    Problem::new(StatusCode::CONFLICT, "idempotency_key_reused", detail)
}

/// With what is asked for the caller would hold more of a listing than one key may without confirming.
pub(super) fn too_many_units(detail: String) -> Problem {
    crate::metrics::hold_refused("units");
    Problem::new(StatusCode::CONFLICT, TOO_MANY_UNITS_HELD, detail)
}

fn no_reservation() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_reservation",
        "there is no such reservation of yours; it may have ended more than a day ago",
    )
}

/// Only buyers reserve, confirm and release.
pub(super) fn admit_buyer(app: &App, caller: &Caller) -> Result<Option<Allowance>, Problem> {
    caller.must(|role| *role == Role::Buyer)?;
    admit(app, caller, 1)
}

/// Reservations carry their supplier, so that any replica finds their partition.
fn split(reservation: &str) -> Option<(SupplierId, ReservationId)> {
    let (supplier, _) = reservation.rsplit_once("::")?;
    Some((SupplierId::new(supplier).ok()?, ReservationId::new(reservation).ok()?))
}

/// The answer for a reservation as it is now; `replay` says that the call changed nothing.
fn answer(
    app: &App,
    name: ReservationId,
    status: StatusCode,
    replay: bool,
    at: (u32, u64),
    allowance: Option<Allowance>,
) -> Result<Response, Problem> {
    let (supplier, row) = app.reservations.get(&name).ok_or_else(no_reservation)?;
    let body = Json(ReservationBody::of(app, name, supplier, row));
    Ok(dress((status, body).into_response(), replay, [(&at.0, &at.1)], allowance))
}

/// Adds what a caller may go by: its allowance, the positions that were written, and whether nothing was changed.
pub(super) fn dress<'a>(
    mut response: Response,
    replay: bool,
    at: impl IntoIterator<Item = (&'a u32, &'a u64)>,
    allowance: Option<Allowance>,
) -> Response {
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    let at: Vec<String> = at.into_iter().map(|(partition, offset)| token((*partition, *offset))).collect();
    if !at.is_empty()
        && let Ok(value) = HeaderValue::from_str(&at.join(","))
    {
        response.headers_mut().insert(POSITION, value);
    }
    if replay {
        response.headers_mut().insert("idempotent-replay", HeaderValue::from_static("true"));
    }
    response
}

pub(crate) async fn reserve(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    if baskets::asks_for_lines(&text) {
        return baskets::reserve(app, caller, headers, &text).await;
    }
    let allowance = admit_buyer(&app, &caller)?;
    let ReserveBody { supplier, listing, quantity, seconds, region } = body::parse(&text)?;
    let mut fields = Fields::default();
    let supplier = fields.check("/supplier", SupplierId::new(&supplier));
    let listing = fields.check("/listing", ListingId::new(&listing));
    fields.require(quantity >= 1, "/quantity", "quantity_range", "quantity must be 1 or more");
    let seconds = seconds.unwrap_or(HOLD_SECONDS);
    let fine = (1..=HOLD_SECONDS_MAX).contains(&seconds);
    fields.require(fine, "/seconds", "hold_range", format!("seconds must be 1 to {HOLD_SECONDS_MAX}"));
    let region = fields.check_some("/region", region.as_deref().map(Region::new));
    let (supplier, listing) = fields.finish(supplier.zip(listing)).map_err(Problem::invalid)?;
    let unique = idempotency_key(&headers)?.map_or_else(|| app.fresh_id(), |key| format!("key {key}"));
    let Principal { id: owner, fingerprint, .. } = caller.0;
    let mut secret = body_hash(&[b"reservation", fingerprint.as_bytes(), unique.as_bytes()]);
    secret.truncate(SECRET_LEN);
    let name = ReservationId::new(&format!("{supplier}::{secret}")).map_err(|_| no_reservation())?;
    let known = app.reservations.get(&name).is_some_and(|(_, row)| !row.is_free());
    // What is reserved already is answered for, whatever has become of the offer.
    let offered =
        app.own_listing(&supplier, &listing).is_some_and(|offer| offer.left(&app.overlay, region).is_some());
    if !known && !offered {
        return Err(not_available());
    }
    if !known {
        app.may_hold(&owner, 1)?;
    }
    let place = region.as_ref().map_or("", Region::as_str);
    let request = body_hash(&[
        listing.as_str().as_bytes(),
        &quantity.to_le_bytes(),
        &seconds.to_le_bytes(),
        place.as_bytes(),
    ]);
    let row = Row::Hold {
        reservation: name.clone(),
        listing,
        quantity,
        expires_at: app.now().plus_ms(seconds * SECOND_MS),
        region,
        owner: Some(owner),
        request: Some(request),
        bound: Some(app.hold_bound()),
    };
    let (outcome, at) = act(&app, &headers, supplier, row).await?;
    match (outcome.status, outcome.code.as_deref()) {
        (RowStatus::Applied, _) => answer(&app, name, StatusCode::CREATED, false, at, allowance),
        (RowStatus::Replayed, _) => answer(&app, name, StatusCode::OK, true, at, allowance),
        (_, Some("reservation_exists")) => Err(key_reused()),
        (_, Some(TOO_MANY_UNITS_HELD)) => Err(too_many_units(outcome.detail.unwrap_or_default())),
        (_, Some("region_required")) => {
            let detail = outcome.detail.unwrap_or_default();
            Err(Problem::invalid(vec![FieldError::new("/region", "region_required", detail)]))
        }
        _ => Err(not_available()),
    }
}

async fn act(
    app: &App,
    headers: &HeaderMap,
    supplier: SupplierId,
    row: Row,
) -> Result<(RowOutcome, (u32, u64)), Problem> {
    let body_hash = body_hash(&[row.subject().as_bytes()]);
    let command = Command {
        supplier,
        idempotency_key: None,
        body_hash,
        rows: vec![row],
        precondition: None,
        places: Vec::new(),
        refused: Vec::new(),
        forgets: None,
    };
    let pending = || {
        Problem::unavailable(
            "pending",
            "it is durable and being decided; ask again with the same Idempotency-Key",
        )
    };
    match app.submit_of_buyer(command, traceparent(headers)).await? {
        Submitted::Decided { decided, at, .. } => {
            let outcome = decided.rows.and_then(|rows| rows.rows().into_iter().next()).ok_or_else(pending)?;
            Ok((outcome, at))
        }
        Submitted::Pending { at, .. } => Err(pending().with_header(POSITION, token(at))),
    }
}

/// Confirms a hold. Confirming again is answered the same, and so is one that has become an order meanwhile.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(reservation): Path<String>,
) -> Result<Response, Problem> {
    let allowance = admit_buyer(&app, &caller)?;
    let (supplier, name) = reservation.strip_suffix(":confirm").and_then(split).ok_or_else(no_reservation)?;
    let row = Row::Confirm { reservation: name.clone(), owner: Some(caller.0.id) };
    let (outcome, at) = act(&app, &headers, supplier, row).await?;
    match (outcome.status, outcome.code.as_deref()) {
        (RowStatus::Applied, _) => answer(&app, name, StatusCode::OK, false, at, allowance),
        (RowStatus::Replayed, _) => answer(&app, name, StatusCode::OK, true, at, allowance),
        (_, Some("order_cancelled")) => Err(over(
            "order_cancelled",
            "the order that this reservation has become was cancelled; reserve again",
        )),
        (_, Some("reservation_lapsed")) => Err(lapsed()),
        (_, Some("reservation_released")) => Err(released()),
        (_, Some("part_of_basket")) => Err(part_of_basket()),
        _ => Err(no_reservation()),
    }
}

fn part_of_basket() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "part_of_basket",
        "it is a line of a basket that is had as a whole; confirm the basket, or give it back",
    )
}

pub(super) fn lapsed() -> Problem {
    over("reservation_lapsed", "its time was over, and its units are free; reserve again")
}

pub(super) fn released() -> Problem {
    over("reservation_released", "it was given back, and its units are free; reserve again")
}

pub(super) fn over(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, detail)
}

/// Gives back what a reservation keeps that was not confirmed, or that no line of its order has taken. Giving it back again, or
/// what has lapsed, is answered the same.
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(reservation): Path<String>,
) -> Result<Response, Problem> {
    let allowance = admit_buyer(&app, &caller)?;
    let (supplier, name) = split(&reservation).ok_or_else(no_reservation)?;
    let row = Row::ReleaseHold { reservation: name, owner: Some(caller.0.id) };
    let (outcome, at) = act(&app, &headers, supplier, row).await?;
    let done =
        |replay| Ok(dress(StatusCode::NO_CONTENT.into_response(), replay, [(&at.0, &at.1)], allowance));
    match (outcome.status, outcome.code.as_deref()) {
        (RowStatus::Applied, _) => done(false),
        (RowStatus::Replayed, _) => done(true),
        (_, Some("already_confirmed")) => Err(Problem::new(
            StatusCode::CONFLICT,
            "already_confirmed",
            "a confirmed reservation is cancelled by the order system, with an event stockade.order.cancelled that names it in `reservation`; once an order has taken part of it, the rest can be given back",
        )),
        (_, Some("part_of_basket")) => Err(part_of_basket()),
        _ => Err(no_reservation()),
    }
}

/// Who may look: the buyer at its own, order systems and staff at all.
pub(super) fn admit_reader(app: &App, caller: &Caller) -> Result<Option<Allowance>, Problem> {
    let reads = |role: &Role| matches!(role, Role::Buyer | Role::OrderSystem) || role.is_staff();
    caller.must(reads)?;
    app.limits.take(caller.0.role.class(), &caller.0.id, 1)
}

/// The owner whose reservations the caller may see; `None` is everybody's.
pub(super) fn visible_owner(caller: &Caller) -> Option<&str> {
    (caller.0.role == Role::Buyer).then_some(caller.0.id.as_str())
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(reservation): Path<String>,
) -> Result<Response, Problem> {
    admit_reader(&app, &caller)?;
    if let Some(position) = named(&headers, None) {
        await_position(&app, &position).await?;
    }
    let (_, name) = split(&reservation).ok_or_else(no_reservation)?;
    let owner = visible_owner(&caller);
    let found = app.reservations.get(&name).filter(|(_, row)| owner.is_none() || row.is_owned_by(owner));
    let (supplier, row) = found.ok_or_else(no_reservation)?;
    Ok(Json(ReservationBody::of(&app, name, supplier, row)).into_response())
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReservationsQuery")]
pub(crate) struct ReservationsQuery {
    /// Only those of this supplier.
    #[schemars(with = "Option<SupplierId>")]
    supplier: Option<String>,
    /// Items on the page; 50 when nobody says.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lists reservations in order of their names, those that ended within a day included.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(ReservationsQuery { supplier, limit, cursor }): Params<ReservationsQuery>,
) -> Result<Response, Problem> {
    admit_reader(&app, &caller)?;
    let supplier = supplier.map(|supplier| SupplierId::new(&supplier)).transpose();
    let wrong =
        |error: Invalid| Problem::invalid(vec![FieldError::new("supplier", error.code, error.detail)]);
    let supplier = supplier.map_err(wrong)?;
    let of = supplier.as_ref().map_or_else(String::new, |supplier| format!(" of {supplier}"));
    let wanted = ListQuery::new(limit, cursor).of(format!("reservations{of}"))?;
    let (owner, after) = (visible_owner(&caller), wanted.after_as::<ReservationId>()?);
    let found = app.reservations.list(owner, supplier.as_ref(), after.as_ref(), wanted.look_for());
    let item = |(name, supplier, row): (ReservationId, SupplierId, Reservation)| {
        (name.to_string(), ReservationBody::of(&app, name, supplier, row))
    };
    let looked_to = found.looked_to.as_ref().map(ReservationId::as_str);
    Ok(wanted.answer_up_to(found.found.into_iter().map(item).collect(), looked_to))
}
