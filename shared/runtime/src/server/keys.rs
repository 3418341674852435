//! How many connections of one kind are whose. Whoever has a valid key could else keep all of them: a place that is a caller's is
//! no longer one that makes room. So each caller, as limits know it, has a share, and what it opens beyond that is served, but kept
//! as if no key had been shown.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::Principal;

/// A caller as limits know it. A supplier and a buyer may have the same name.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Holder {
    role: &'static str,
    name: String,
}

struct Shares {
    counts: Mutex<HashMap<Holder, usize>>,
    max: usize,
    past_share: metrics::Counter,
}

/// Connections of one kind, by whose key was shown on them last. Cheap to clone.
#[derive(Clone)]
pub(super) struct ByKey(Arc<Shares>);

/// One connection among those of its caller; given back when this is dropped.
pub(super) struct OfKey {
    shares: Arc<Shares>,
    holder: Holder,
}

impl ByKey {
    /// A bound of `max` for each caller, which is not 0, and what counts the calls on connections beyond it.
    pub(super) fn new(max: usize, past_share: metrics::Counter) -> Self {
        Self(Arc::new(Shares { counts: Mutex::default(), max, past_share }))
    }

    /// Counts one more for a caller; `None` where it has as many as it may.
    pub(super) fn count(&self, by: &Principal) -> Option<OfKey> {
        let holder = Holder { role: by.role.name(), name: by.limited_as().to_owned() };
        let mut counts = self.0.counts.lock();
        let count = counts.entry(holder.clone()).or_default();
        // One that is at the bound has an entry already, for the bound is not 0.
        if *count >= self.0.max {
            self.0.past_share.increment(1);
            return None;
        }
        *count += 1;
        Some(OfKey { shares: self.0.clone(), holder })
    }

    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        self.0.counts.lock().len()
    }
}

impl OfKey {
    pub(super) fn is_of(&self, by: &Principal) -> bool {
        self.holder.role == by.role.name() && self.holder.name == by.limited_as()
    }
}

impl Drop for OfKey {
    fn drop(&mut self) {
        let mut counts = self.shares.counts.lock();
        if let Some(count) = counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.holder);
            }
        }
    }
}
