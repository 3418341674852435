//! Which lane each key is in while something of it is under way: two producers know nothing of each other's order, so a key
//! changes its lane only when everything of it has been acknowledged.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use stockade_log::Lane;

/// A topic and a key of it.
type Key = (&'static str, Bytes);

/// What is under way, by key.
#[derive(Clone, Default)]
pub(crate) struct Lanes(Arc<Mutex<FxHashMap<Key, Held>>>);

struct Held {
    lane: Lane,
    under_way: usize,
}

/// Keeps a key in its lane until dropped.
pub(crate) struct Passage {
    lanes: Lanes,
    key: Key,
}

impl Lanes {
    /// The lane that a record of `key` takes: the one that others of it are under way in, `wanted` when none is.
    pub(crate) fn enter(&self, topic: &'static str, key: &Bytes, wanted: Lane) -> (Lane, Passage) {
        let key = (topic, key.clone());
        let mut held = self.0.lock();
        let of_key = held.entry(key.clone()).or_insert(Held { lane: wanted, under_way: 0 });
        of_key.under_way += 1;
        let lane = of_key.lane;
        drop(held);
        (lane, Passage { lanes: self.clone(), key })
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let mut held = self.lanes.0.lock();
        if let Some(of_key) = held.get_mut(&self.key) {
            of_key.under_way -= 1;
            if of_key.under_way == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "supplier.events";

    #[test]
    fn a_key_changes_its_lane_only_when_nothing_of_it_is_under_way() {
        let lanes = Lanes::default();
        let (acme, other) = (Bytes::from_static(b"acme"), Bytes::from_static(b"other"));
        let (first, one) = lanes.enter(TOPIC, &acme, Lane::Trusted);
        let (second, two) = lanes.enter(TOPIC, &acme, Lane::Suspect);
        assert_eq!((first, second), (Lane::Trusted, Lane::Trusted));
        let (elsewhere, _three) = lanes.enter(TOPIC, &other, Lane::Suspect);
        assert_eq!(elsewhere, Lane::Suspect, "keys do not wait for each other");
        drop(one);
        assert_eq!(lanes.enter(TOPIC, &acme, Lane::Suspect).0, Lane::Trusted);
        drop(two);
        assert_eq!(lanes.enter(TOPIC, &acme, Lane::Suspect).0, Lane::Suspect);
        drop(_three);
        assert!(lanes.0.lock().is_empty(), "nothing is kept of a key at rest");
    }
}
