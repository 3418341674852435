//! What is in force now: the store other systems ask, and the overlay buyers' answers are filtered by.
//!
//! # Contract of [`QuarantineStore`]
//! * **Compare and set.** `put` applies an entry only if its version is after the one stored for that supplier;
//!   otherwise it is `Stale` and nothing changes. So writes may be repeated and reordered.
//! * **Whole set.** An entry carries everything in force for its supplier; an empty set means nothing is.
//! * **Catch-up.** `since(v)` gives every entry with a version after `v`, oldest first, released suppliers included.
//! * **A view.** Losing it loses nothing: it is rebuilt from `lockout.decisions`. `summary` shows that it was lost or
//!   set back, `forget` removes what no decision made.

pub mod conformance;
mod file;
mod memory;
mod overlay;

pub use file::FileStore;
pub use memory::MemoryStore;
pub use overlay::{Kept, Overlay, Standing};

use std::{future::Future, pin::Pin};

use stockade_model::{Decision, Position, Restriction, SupplierId};

/// What is in force for one supplier.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// The supplier.
    pub supplier: SupplierId,
    /// Version of the decision that made it so.
    pub version: Position,
    /// Offset of that decision in `lockout.decisions`: where a reader goes on.
    pub offset: u64,
    /// Everything in force.
    pub in_force: Vec<Restriction>,
}

impl Entry {
    /// The entry a decision at `offset` makes.
    pub fn of(decision: Decision, offset: u64) -> Self {
        let Decision { supplier, version, in_force, .. } = decision;
        Self { supplier, version, offset, in_force }
    }
}

/// What became of a `put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is in force.
    Applied,
    /// A later version was there already.
    Stale,
}

/// How much a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Suppliers with an entry.
    pub entries: usize,
    /// The latest version among them.
    pub last: Option<Position>,
}

/// The store failed; what was asked may or may not have happened, and may be asked again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("quarantine store: {0}; the next write tries again, buyers are answered from the overlay meanwhile")]
pub struct StoreError(pub String);

/// A boxed future, so that the port can be used as a trait object.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where what is in force is kept for everything that does not fold the decisions itself.
pub trait QuarantineStore: Send + Sync + 'static {
    /// Puts an entry unless a later one is there.
    fn put(&self, entry: Entry) -> Answer<'_, Put>;
    /// The entry of a supplier.
    fn get<'a>(&'a self, supplier: &'a SupplierId) -> Answer<'a, Option<Entry>>;
    /// Every entry with a version after `version`, oldest first; all of them for `None`.
    fn since(&self, version: Option<Position>) -> Answer<'_, Vec<Entry>>;
    /// How much there is: what a writer compares with what it knows, to see that the store was lost or set back.
    fn summary(&self) -> Answer<'_, Summary>;
    /// Removes an entry that no decision made, if it still has this version.
    fn forget<'a>(&'a self, supplier: &'a SupplierId, version: &'a Position) -> Answer<'a, ()>;
}
