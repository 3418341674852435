//! Pure: no I/O, no clock, no randomness.

mod answer;
mod basket;
mod choice;
mod fold;
mod index;
mod key;
mod order;
mod outcomes;
mod packed;
mod reservation;
mod state;
mod turns;

pub use answer::{EventAnswer, EventCode, EventStatus};
pub use basket::BasketState;
pub(crate) use basket::{
    Answers, BasketAsked, Course, Ended, Finish, LineAsked, LineKnown, Made, Making, Said, Sent, Turning,
    Wish, state as basket_state,
};
pub(crate) use choice::{Open, TURNS_MAX, choose};
pub(crate) use fold::only_reduces;
pub use fold::{Effect, Inventory, event_identity};
pub(crate) use fold::{TOO_MANY_UNITS_HELD, holds};
pub use index::{Found, Impact, Index, Offer, Page, Query, Seen, Sort, SortKey};
pub use key::Of;
pub use outcomes::Outcomes;
pub use reservation::{InBasket, Reservation, ReservationState};
pub(crate) use turns::{NOT_AVAILABLE, Turns};

#[cfg(test)]
mod scopes;
