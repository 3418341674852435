//! Reservations: units held for a buyer until confirmed, released or lapsed.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;
use stockade_model::{
    Command, ListingId, OrderId, Region, Row, RowOutcome, RowStatus, SupplierId, time::SECOND_MS,
};
use stockade_runtime::{Caller, FieldError, Problem, body, http::idempotency_key};

use super::{
    buyer::admit,
    fields::Fields,
    supplier::{body_hash, traceparent},
    token::{POSITION, token},
};
use crate::app::{App, Submitted};

/// How long a reservation may hold units, in seconds.
const HOLD_SECONDS_MAX: i64 = 3_600;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReserveBody {
    supplier: String,
    listing: String,
    quantity: i64,
    seconds: Option<i64>,
    /// Where the units are to go; needed where some regions that the listing serves are not available.
    region: Option<String>,
}

/// Reservations carry their supplier, so that any replica finds their partition.
fn split(reservation: &str) -> Option<(SupplierId, OrderId)> {
    let (supplier, _) = reservation.rsplit_once("::")?;
    Some((SupplierId::new(supplier).ok()?, OrderId::new(reservation).ok()?))
}

pub(crate) async fn reserve(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    admit(&app, &caller, 1)?;
    let ReserveBody { supplier, listing, quantity, seconds, region } = body::parse(&text)?;
    let key = idempotency_key(&headers)?;
    let mut fields = Fields::default();
    let supplier = fields.check("/supplier", SupplierId::new(&supplier));
    let listing = fields.check("/listing", ListingId::new(&listing));
    fields.require(quantity >= 1, "/quantity", "quantity_range", "quantity must be 1 or more");
    let seconds = seconds.unwrap_or(900);
    let fine = (1..=HOLD_SECONDS_MAX).contains(&seconds);
    fields.require(fine, "/seconds", "hold_range", format!("seconds must be 1 to {HOLD_SECONDS_MAX}"));
    let region = fields.check_some("/region", region.as_deref().map(Region::new));
    let (supplier, listing) = fields.finish(supplier.zip(listing)).map_err(Problem::invalid)?;
    let gone = || {
        Problem::new(
            StatusCode::CONFLICT,
            "not_available",
            "these units are not available; ask for alternatives",
        )
    };
    // Withheld is unavailable; why is nobody's business here.
    let offer =
        app.own_listing(&supplier, &listing).filter(|offer| offer.left(&app.overlay, region).is_some());
    if offer.is_none() {
        return Err(gone());
    }
    let expires_at = app.now().plus_ms(seconds * SECOND_MS);
    // A retry with the same key names the same reservation.
    let name = match key {
        Some(key) => body_hash(&[b"reservation", caller.0.id.as_bytes(), key.as_bytes()])[..12].to_owned(),
        None => app.fresh_id(),
    };
    let reservation = OrderId::new(&format!("{supplier}::{name}")).map_err(|_| {
        Problem::invalid(vec![FieldError::new(
            "/supplier",
            "id_length",
            "this supplier's id is too long to reserve from",
        )])
    })?;
    let row = Row::Hold { reservation: reservation.clone(), listing, quantity, expires_at, region };
    let body = json!({ "reservation": reservation, "expires_at": expires_at, "quantity": quantity });
    let outcome = act(&app, &headers, supplier, row).await?;
    match outcome.status {
        RowStatus::Applied => Ok((StatusCode::CREATED, Json(body)).into_response()),
        _ if outcome.code.as_deref() == Some("reservation_exists") => Ok(Json(body).into_response()),
        _ if outcome.code.as_deref() == Some("region_required") => {
            let detail = outcome.detail.unwrap_or_default();
            Err(Problem::invalid(vec![FieldError::new("/region", "region_required", detail)]))
        }
        _ => Err(gone()),
    }
}

async fn act(app: &App, headers: &HeaderMap, supplier: SupplierId, row: Row) -> Result<RowOutcome, Problem> {
    let body_hash = body_hash(&[row.subject().as_bytes()]);
    let command = Command {
        supplier,
        idempotency_key: None,
        body_hash,
        rows: vec![row],
        precondition: None,
        places: Vec::new(),
    };
    let pending = || {
        Problem::unavailable(
            "pending",
            "it is durable and being decided; ask again with the same Idempotency-Key",
        )
    };
    match app.submit(command, traceparent(headers)).await? {
        Submitted::Decided { decided, .. } => {
            decided.rows.and_then(|rows| rows.first().cloned()).ok_or_else(pending)
        }
        Submitted::Pending { at, .. } => Err(pending().with_header(POSITION, token(at))),
    }
}

fn no_reservation() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_reservation", "there is no such reservation, or it has lapsed")
}

pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(reservation): Path<String>,
) -> Result<Response, Problem> {
    admit(&app, &caller, 1)?;
    let (supplier, reservation) =
        reservation.strip_suffix(":confirm").and_then(split).ok_or_else(no_reservation)?;
    let body = json!({ "reservation": reservation, "state": "confirmed" });
    let outcome = act(&app, &headers, supplier, Row::Confirm { reservation }).await?;
    match outcome.status {
        RowStatus::Applied | RowStatus::Replayed => Ok(Json(body).into_response()),
        _ => Err(no_reservation()),
    }
}

pub(crate) async fn release(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(reservation): Path<String>,
) -> Result<Response, Problem> {
    admit(&app, &caller, 1)?;
    let (supplier, reservation) = split(&reservation).ok_or_else(no_reservation)?;
    let outcome = act(&app, &headers, supplier, Row::ReleaseHold { reservation }).await?;
    match outcome.status {
        RowStatus::Applied | RowStatus::Replayed => Ok(StatusCode::NO_CONTENT.into_response()),
        _ => Err(Problem::new(
            StatusCode::CONFLICT,
            "already_confirmed",
            "a confirmed reservation is cancelled by the order system",
        )),
    }
}
