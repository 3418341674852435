//! Pure: no I/O, no clock, no randomness.

mod fold;
mod index;
mod state;

pub use fold::{Effect, Inventory};
pub use index::{Found, Impact, Index, Offer, Query, Sort, SortKey};

#[cfg(test)]
mod scopes;
