//! How many connections of one kind are whose. Whoever has a valid key could else keep all of them: a place that is a caller's is
//! no longer one that makes room. So each caller, as limits know it, has a share, and what it opens beyond that is served, but kept
//! as if no key had been shown.

use crate::{
    Principal,
    tally::{Counted, Tally},
};

/// A caller as limits know it. A supplier and a buyer may have the same name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    role: &'static str,
    name: String,
}

impl Holder {
    pub(super) fn is(&self, by: &Principal) -> bool {
        self.role == by.role.name() && self.name == by.limited_as()
    }
}

/// Connections of one kind, by whose key was shown on them last. Cheap to clone.
#[derive(Clone)]
pub(super) struct ByKey {
    open: Tally<Holder>,
    past_share: metrics::Counter,
}

impl ByKey {
    /// A bound of `max` for each caller, and what counts the calls on connections beyond it.
    pub(super) fn new(max: usize, past_share: metrics::Counter) -> Self {
        Self { open: Tally::new(max, usize::MAX), past_share }
    }

    /// Counts one more for a caller; `None` where it has as many as it may.
    pub(super) fn count(&self, by: &Principal) -> Option<Counted<Holder>> {
        let counted = self.open.count(Holder { role: by.role.name(), name: by.limited_as().to_owned() });
        if counted.is_none() {
            self.past_share.increment(1);
        }
        counted
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
