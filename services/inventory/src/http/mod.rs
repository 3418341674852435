//! The API of suppliers, buyers and order systems.

mod answer;
mod baskets;
mod buyer;
mod cloudevents;
mod events;
mod fields;
mod lists;
mod reservations;
mod routes;
pub(crate) mod rows;
mod stream;
pub(crate) mod supplier;
mod token;

pub use events::{EventError, event_from_cloudevent};
pub use routes::{router, routes};
pub use rows::{listing_put, stock_change};
pub use token::POSITION;

#[cfg(test)]
mod tests;
