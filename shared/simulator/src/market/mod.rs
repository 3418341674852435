//! A marketplace to judge verdicts by: honest trade with its accidents, odd but honest suppliers, and frauds that react.
//!
//! It is pure and seeded, in event time, and it knows nothing of rules or scores: whoever plays it hands on each
//! [`Step`] and answers, as a [`Shop`], what buyers find. So it is a closed loop: who is withheld gets no more orders,
//! orders in flight go on, and attackers see what everybody sees of their own level.
//!
//! Every supplier draws from a stream of its own: a decision about one changes nothing of what another does, attackers
//! that belong together excepted.
//!
//! What happens is what a marketplace could record: outcomes with whose doing they are where that would be known (who
//! cancelled, what scans say, the reason given for a return), and nothing else. That an order came to harm by intent is
//! told apart, in [`Market::deals`], for measuring.

mod attacks;
mod draw;
mod goods;
mod kinds;
mod odd;
mod orders;
mod play;
mod trader;

#[cfg(test)]
mod tests;

pub use goods::Spread;
pub use kinds::{Attack, Kind, Odd};
pub use play::{Market, Plan, Shop, Sight, Step};

use stockade_model::{SupplierId, Timestamp};

/// A supplier of the marketplace, as the one who measures knows it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id, which tells nothing.
    pub supplier: SupplierId,
    /// What it is.
    pub kind: Kind,
    /// When it came onto the platform, or when the play began if that is later; absent if it never did.
    pub opened: Option<Timestamp>,
}

/// An order that a buyer placed.
#[derive(Clone, Copy, Debug)]
pub struct Deal {
    /// Place of the supplier in [`Market::members`].
    pub supplier: usize,
    /// When it was placed.
    pub at: Timestamp,
    /// Its value in minor units.
    pub minor: i64,
    /// When the first sign that it came to harm, by its supplier's intent, is there to be seen: the promised day that
    /// passes, the cancellation, the delivery of what is not genuine. Absent for every other order.
    pub harmed: Option<Timestamp>,
}
