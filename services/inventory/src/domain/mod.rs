//! Pure: no I/O, no clock, no randomness.

mod answer;
mod fold;
mod index;
mod key;
mod order;
mod outcomes;
mod packed;
mod reservation;
mod state;

pub use answer::{EventAnswer, EventCode, EventStatus};
pub use fold::{Effect, Inventory, event_identity};
pub use index::{Found, Impact, Index, Offer, Page, Query, Seen, Sort, SortKey};
pub use key::Of;
pub use outcomes::Outcomes;
pub use reservation::{Reservation, ReservationState};

#[cfg(test)]
mod scopes;
