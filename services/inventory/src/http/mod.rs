//! The API of suppliers, buyers and order systems.

mod answer;
mod buyer;
mod cloudevents;
mod events;
mod fields;
mod lists;
mod reservations;
pub(crate) mod rows;
mod stream;
pub(crate) mod supplier;
mod token;

pub use events::{EventError, event_from_cloudevent};
pub use rows::{listing_put, stock_change};
pub use token::POSITION;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use stockade_runtime::http::{Readiness, reads_when_caught_up};

use crate::app::App;

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    let readiness: Readiness = {
        let app = app.clone();
        Arc::new(move || app.ready())
    };
    Router::new()
        .route("/v1/suppliers", get(lists::suppliers))
        .route("/v1/suppliers/{supplier}/listings", get(lists::listings))
        .route("/v1/suppliers/{supplier}/locations", get(lists::locations))
        .route("/v1/suppliers/{supplier}/operations", get(lists::operations))
        .route("/v1/suppliers/{supplier}", get(supplier::get).put(supplier::register))
        .route(
            "/v1/suppliers/{supplier}/locations/{location}",
            get(supplier::get_location).put(supplier::put_location),
        )
        .route(
            "/v1/suppliers/{supplier}/listings/{listing}",
            get(supplier::get_listing).put(supplier::put_listing).delete(supplier::withdraw),
        )
        .route("/v1/suppliers/{supplier}/listings/{listing}/stock", post(supplier::stock))
        .route("/v1/suppliers/{supplier}/inventory:batch", post(supplier::batch))
        .route("/v1/suppliers/{supplier}/operations/{key}", get(supplier::operation))
        .route("/v1/reservations", get(reservations::list).post(reservations::reserve))
        .route(
            "/v1/reservations/{reservation}",
            get(reservations::get).post(reservations::confirm).delete(reservations::release),
        )
        .route("/v1/events", post(events::receive))
        .route("/v1/events/{source}/{id}", get(events::answer))
        .layer(middleware::from_fn_with_state(readiness, reads_when_caught_up))
        // These look for themselves whether the replica has caught up, whoever asks and however.
        .route("/v1/availability", get(buyer::availability))
        .route("/v1/availability:query", post(buyer::query))
        .route("/v1/availability/stream", get(stream::stream))
        .with_state(app)
}

#[cfg(test)]
mod tests;
