//! How much is open of whom: connections of an address or of a key, streams of a person.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;

struct Counts<K> {
    of: HashMap<K, usize>,
    all: usize,
}

struct Bounded<K> {
    counts: Mutex<Counts<K>>,
    of_one_max: usize,
    max: usize,
}

/// Counts what is open, by whose it is, within bounds. Cheap to clone.
pub struct Tally<K>(Arc<Bounded<K>>);

impl<K> Clone for Tally<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// One that is open; given back when this is dropped.
pub struct Counted<K: Clone + Eq + Hash> {
    tally: Tally<K>,
    whose: K,
}

impl<K: Clone + Eq + Hash> Tally<K> {
    /// At most so many of one, and of all together.
    pub fn new(of_one_max: usize, max: usize) -> Self {
        let counts = Mutex::new(Counts { of: HashMap::new(), all: 0 });
        Self(Arc::new(Bounded { counts, of_one_max, max }))
    }

    /// Counts one more; `None` where there are as many as there may be.
    pub fn count(&self, whose: K) -> Option<Counted<K>> {
        let mut counts = self.0.counts.lock();
        let of_one = counts.of.get(&whose).copied().unwrap_or(0);
        if of_one >= self.0.of_one_max || counts.all >= self.0.max {
            return None;
        }
        counts.of.insert(whose.clone(), of_one + 1);
        counts.all += 1;
        Some(Counted { tally: self.clone(), whose })
    }

    /// Whether nothing is open, and nobody remembered.
    pub fn is_empty(&self) -> bool {
        self.0.counts.lock().of.is_empty()
    }
}

impl<K: Clone + Eq + Hash> Counted<K> {
    /// Whose it is.
    pub fn whose(&self) -> &K {
        &self.whose
    }
}

impl<K: Clone + Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.tally.0.counts.lock();
        counts.all -= 1;
        if let Some(of_one) = counts.of.get_mut(&self.whose) {
            *of_one -= 1;
            if *of_one == 0 {
                counts.of.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_bounded_for_one_and_for_all_and_forgotten_when_it_ends() {
        let tally = Tally::new(2, 3);
        let mut open = vec![tally.count("ada"), tally.count("ada")];
        assert!(open.iter().all(Option::is_some));
        assert!(tally.count("ada").is_none(), "one has as many as it may");
        open.push(tally.count("ben"));
        assert!(tally.count("eve").is_none(), "all have");
        open.remove(0);
        open.push(tally.count("eve"));
        assert!(open.iter().all(Option::is_some) && tally.count("ada").is_none());
        drop(open);
        assert!(tally.is_empty());
    }
}
