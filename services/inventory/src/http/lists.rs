//! Lists of what there is, in pages: suppliers for operators; listings, locations and requests for a supplier and for people.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use stockade_model::{ListingId, LocationId, RowOutcome};
use stockade_runtime::{ListQuery, Operator, Params, Problem, SupplierOrStaff, http::path_segment};

use super::supplier::{ListingBody, known, succeeded};
use crate::app::App;

/// Every supplier that is registered, by its id.
pub(crate) async fn suppliers(
    State(app): State<Arc<App>>,
    _: Operator,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    let wanted = query.of("suppliers")?;
    let found = app.suppliers(wanted.after_as()?.as_ref(), wanted.look_for()).into_iter();
    Ok(wanted.answer(found.map(|view| (view.profile.supplier.to_string(), view.profile)).collect()))
}

/// What a supplier has listed, by its own names, withdrawn listings included.
pub(crate) async fn listings(
    State(app): State<Arc<App>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    known(&app, &supplier)?;
    let wanted = query.of(format!("listings of {supplier}"))?;
    let after = wanted.after_as::<ListingId>()?;
    let limit = wanted.look_for();
    // A supplier may have a hundred thousand, and all of them are looked at: not on the threads that answer buyers.
    let look = move || app.index.listings_of(&supplier, after.as_ref().map(ListingId::as_str), limit);
    let found = tokio::task::spawn_blocking(look)
        .await
        .map_err(|_| Problem::unavailable("list_failed", "the list could not be made; ask again"))?;
    Ok(wanted.answer(found.iter().map(|offer| (offer.listing.to_string(), ListingBody::of(offer))).collect()))
}

/// Where a supplier's stock lies, by its own names.
pub(crate) async fn locations(
    State(app): State<Arc<App>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    let view = known(&app, &supplier)?;
    let wanted = query.of(format!("locations of {supplier}"))?;
    let after = wanted.after_as::<LocationId>()?;
    let rest =
        view.locations.values().filter(|place| after.as_ref().is_none_or(|after| place.location > *after));
    let found = rest.take(wanted.look_for());
    Ok(wanted.answer(found.map(|place| (place.location.to_string(), place)).collect()))
}

/// A request of a supplier that was decided within a day.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "RequestDecided")]
pub(super) struct Operation {
    /// Its `Idempotency-Key`, or the id it was given.
    key: String,
    /// Where every row of it is answered for.
    operation: String,
    succeeded: usize,
    failed: usize,
}

/// What a supplier asked for within a day, by the keys.
pub(crate) async fn operations(
    State(app): State<Arc<App>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    known(&app, &supplier)?;
    let wanted = query.of(format!("operations of {supplier}"))?;
    let found = app.outcomes(&supplier, wanted.after.as_deref(), wanted.look_for()).into_iter();
    let items = found.map(|(key, rows)| {
        let good = rows.iter().filter(|row: &&RowOutcome| succeeded(row)).count();
        let operation = format!("/v1/suppliers/{supplier}/operations/{}", path_segment(&key));
        (key.clone(), Operation { key, operation, succeeded: good, failed: rows.len() - good })
    });
    Ok(wanted.answer(items.collect()))
}
