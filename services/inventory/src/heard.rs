//! Which orders were placed, as far as this replica has heard: so that whoever sends an outcome of an order that nobody
//! placed is told at once. It decides nothing; what an outcome counts for is for the folds to say.

use std::{collections::HashSet, mem};

use dashmap::DashSet;
use parking_lot::Mutex;
use stockade_model::{OrderId, SupplierId, hash::identity128};

/// Orders noted for a while, in each of two generations: when one is full, the older is forgotten.
const PASSING_MAX: usize = 500_000;

/// An order of a supplier: half of a hash, even. A collision leaves out a warning.
pub(crate) fn order_identity(supplier: &SupplierId, order: &OrderId) -> u64 {
    (identity128(&[supplier.as_str(), order.as_str()]) >> 64) as u64 & !NAMED
}

/// Set in the identity of an order that is known to be a named buyer's.
const NAMED: u64 = 1;

/// Orders that were placed.
#[derive(Default)]
pub(crate) struct Heard {
    /// Those that the fold keeps, until it forgets them.
    kept: DashSet<u64>,
    /// Those on their way to it, and those that set no stock aside, which it does not keep.
    passing: Mutex<[HashSet<u64>; 2]>,
}

impl Heard {
    pub(crate) fn keep(&self, order: u64) {
        self.kept.insert(order);
    }
    pub(crate) fn forget(&self, order: u64) {
        self.kept.remove(&order);
    }
    /// An order was placed; `named` says whether its buyer was.
    pub(crate) fn note(&self, order: u64, named: bool) {
        let order = if named { order | NAMED } else { order };
        let mut passing = self.passing.lock();
        let [newer, older] = &mut *passing;
        if newer.len() >= PASSING_MAX {
            mem::swap(newer, older);
            newer.clear();
        }
        newer.insert(order);
    }
    pub(crate) fn has(&self, order: u64) -> bool {
        self.kept.contains(&order) || self.passes(&[order, order | NAMED])
    }
    /// Whether it is known that the order has a named buyer; of a guest's, or one that others took, it is not.
    pub(crate) fn is_named(&self, order: u64) -> bool {
        self.passes(&[order | NAMED])
    }
    fn passes(&self, any_of: &[u64]) -> bool {
        self.passing.lock().iter().any(|held| any_of.iter().any(|order| held.contains(order)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_bounded_and_what_is_kept_is_forgotten_when_it_is_said() {
        let heard = Heard::default();
        heard.keep(8);
        for order in 50..50 + 2 * PASSING_MAX as u64 + 1 {
            heard.note(2 * order, order % 2 == 1);
        }
        assert!(heard.has(8), "kept as long as the fold keeps it");
        let last = 100 + 4 * PASSING_MAX as u64;
        assert!(!heard.has(100) && heard.has(last) && heard.has(last - 2));
        assert!(!heard.is_named(last) && heard.is_named(last - 2));
        let held: usize = heard.passing.lock().iter().map(HashSet::len).sum();
        assert!(held <= 2 * PASSING_MAX);
        heard.forget(8);
        assert!(!heard.has(8));
    }
}
