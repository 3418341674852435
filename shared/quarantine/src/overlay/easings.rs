//! The last easings, by number of the supplier, for readers that must not wait.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Easings of which it is known whom they concern.
const KEPT: u64 = 1_024;

/// A count that only grows, and a ring of the last suppliers it was raised for.
pub(super) struct Easings {
    count: AtomicU64,
    ring: Box<[AtomicU32]>,
}

impl Default for Easings {
    fn default() -> Self {
        Self { count: AtomicU64::new(0), ring: (0..KEPT).map(|_| AtomicU32::new(0)).collect() }
    }
}

impl Easings {
    /// Notes one. One caller at a time.
    pub(super) fn note(&self, supplier: u32) {
        let count = self.count.load(Ordering::Relaxed);
        // Released, so that a reader who meets a slot that was written again also finds the count that tells so.
        self.ring[(count % KEPT) as usize].store(supplier, Ordering::Release);
        self.count.store(count + 1, Ordering::Release);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Whether one after the first `seen` concerns somebody, or it is not known any more.
    pub(super) fn after(&self, seen: u64, concerns: impl Fn(u32) -> bool) -> bool {
        let count = self.count();
        if count == seen {
            return false;
        }
        // One slot short of the ring: the slot after the last may be being written again at this moment.
        let known = |count: u64| count - seen < KEPT;
        let concerned = !known(count)
            || (seen..count).any(|at| concerns(self.ring[(at % KEPT) as usize].load(Ordering::Acquire)));
        concerned || !known(self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easings_are_named_as_long_as_they_are_kept_and_concern_everybody_afterwards() {
        let easings = Easings::default();
        let is = |wanted: u32| move |number: u32| number == wanted;
        assert!(!easings.after(0, |_| true));
        easings.note(7);
        assert!(easings.after(0, is(7)) && !easings.after(0, is(8)) && !easings.after(1, is(7)));
        (0..KEPT - 2).for_each(|_| easings.note(9));
        assert!(!easings.after(0, is(8)), "all are known");
        easings.note(9);
        assert!(easings.after(0, is(8)), "the first may be forgotten at any moment");
        assert!(!easings.after(1, is(8)));
    }
}
