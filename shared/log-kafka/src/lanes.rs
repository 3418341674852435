//! Which lane each key is in while something of it is under way: two producers know nothing of each other's order, so a key
//! changes its lane only when everything of it has been acknowledged.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use stockade_log::{Lane, LogError};

/// A topic and a key of it.
type Key = (&'static str, Bytes);

/// What is under way, by key.
#[derive(Clone, Default)]
pub(crate) struct Lanes(Arc<Mutex<FxHashMap<Key, Held>>>);

struct Held {
    lane: Lane,
    under_way: usize,
    /// Records taken beside better ones than they should be.
    misplaced: usize,
}

/// So many records of a key are taken beside better ones than they should be, then it waits: whoever keeps something under way all
/// the time would never come into a worse lane otherwise.
const MISPLACED_MAX: usize = 256;

/// Keeps a key in its lane until dropped.
pub(crate) struct Passage {
    /// The lane.
    pub(crate) lane: Lane,
    lanes: Lanes,
    key: Key,
}

impl Lanes {
    /// The lane that a record of `key` takes: the one that others of it are under way in, `wanted` when none is. Refused when
    /// it has been too many times that what is under way is in a better one.
    pub(crate) fn enter(&self, topic: &'static str, key: &Bytes, wanted: Lane) -> Result<Passage, LogError> {
        let key = (topic, key.clone());
        let mut held = self.0.lock();
        let of_key = held.entry(key.clone()).or_insert(Held { lane: wanted, under_way: 0, misplaced: 0 });
        if wanted > of_key.lane {
            if of_key.misplaced >= MISPLACED_MAX {
                return Err(LogError::Full { records: of_key.under_way, bytes: 0 });
            }
            of_key.misplaced += 1;
        }
        of_key.under_way += 1;
        let lane = of_key.lane;
        drop(held);
        Ok(Passage { lane, lanes: self.clone(), key })
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
    use stockade_log::Remedy;

    use super::*;

    const TOPIC: &str = "supplier.events";

    #[test]
    fn a_key_changes_its_lane_only_when_nothing_of_it_is_under_way() {
        let lanes = Lanes::default();
        let (acme, other) = (Bytes::from_static(b"acme"), Bytes::from_static(b"other"));
        let enter = |key: &Bytes, wanted| lanes.enter(TOPIC, key, wanted).unwrap();
        let (one, two) = (enter(&acme, Lane::Trusted), enter(&acme, Lane::Suspect));
        assert_eq!((one.lane, two.lane), (Lane::Trusted, Lane::Trusted));
        let three = enter(&other, Lane::Suspect);
        assert_eq!(three.lane, Lane::Suspect, "keys do not wait for each other");
        drop(one);
        assert_eq!(enter(&acme, Lane::Suspect).lane, Lane::Trusted);
        drop(two);
        assert_eq!(enter(&acme, Lane::Suspect).lane, Lane::Suspect);
        drop(three);
        assert!(lanes.0.lock().is_empty(), "nothing is kept of a key at rest");
    }

    #[test]
    fn who_keeps_something_under_way_waits_before_it_comes_into_a_worse_lane_and_never_for_a_better_one() {
        let lanes = Lanes::default();
        let key = Bytes::from_static(b"acme");
        let mut under_way = vec![lanes.enter(TOPIC, &key, Lane::Probation).unwrap()];
        for _ in 0..MISPLACED_MAX {
            // The one before goes when the next has come.
            under_way.push(lanes.enter(TOPIC, &key, Lane::Suspect).unwrap());
            under_way.remove(0);
        }
        let refused = lanes.enter(TOPIC, &key, Lane::Suspect).err().unwrap();
        assert_eq!(refused.remedy(), Remedy::Retry, "{refused}");
        under_way.push(lanes.enter(TOPIC, &key, Lane::Trusted).unwrap());
        under_way.clear();
        assert_eq!(lanes.enter(TOPIC, &key, Lane::Suspect).unwrap().lane, Lane::Suspect);
    }
}
