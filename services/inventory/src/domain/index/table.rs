//! Numbered things that never move: found by number without a lock, given a number under one.

use std::{
    borrow::Borrow,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::OnceLock,
};

use hashbrown::HashTable;
use parking_lot::RwLock;

/// Things in the first bucket, as a power of two; each further bucket holds as many as all before it, and these.
const FIRST_BITS: u32 = 6;
/// Enough buckets for every `u32`.
const BUCKETS: usize = 27;

/// Things by number, in buckets of doubling size. What is set stays, at its place.
pub(super) struct Slots<T> {
    buckets: [OnceLock<Box<[OnceLock<T>]>>; BUCKETS],
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| OnceLock::new()) }
    }
}

/// The bucket of a number, and its place there.
fn place(number: u32) -> (usize, usize) {
    let at = u64::from(number) + (1 << FIRST_BITS);
    let bits = at.ilog2();
    ((bits - FIRST_BITS) as usize, (at - (1 << bits)) as usize)
}

impl<T> Slots<T> {
    /// The thing with a number, if it was set.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (bucket, at) = place(number);
        self.buckets[bucket].get()?[at].get()
    }

    /// The thing with a number; made now if it was not set before.
    pub(super) fn get_or_set(&self, number: u32, make: impl FnOnce() -> T) -> &T {
        let (bucket, at) = place(number);
        let size = 1_usize << (FIRST_BITS as usize + bucket);
        let bucket = self.buckets[bucket].get_or_init(|| (0..size).map(|_| OnceLock::new()).collect());
        bucket[at].get_or_init(make)
    }
}

/// Things that are kept once, under the number of their first sight.
pub(super) struct Interned<T> {
    things: Slots<T>,
    numbers: RwLock<HashTable<u32>>,
    hasher: RandomState,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { things: Slots::default(), numbers: RwLock::default(), hasher: RandomState::new() }
    }
}

impl<T: Hash + Eq> Interned<T> {
    /// The thing with a number.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.things.get(number)
    }

    /// The number of a thing, given out now if it was not known.
    pub(super) fn number<Q: Hash + Eq + ToOwned<Owned: Into<T>> + ?Sized>(&self, thing: &Q) -> u32
    where
        T: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(thing);
        let is_it = |number: &u32| self.things.get(*number).is_some_and(|held| held.borrow() == thing);
        if let Some(number) = self.numbers.read().find(hash, is_it) {
            return *number;
        }
        let mut numbers = self.numbers.write();
        if let Some(number) = numbers.find(hash, is_it) {
            return *number;
        }
        let number = numbers.len() as u32;
        self.things.get_or_set(number, || thing.to_owned().into());
        let hash_of =
            |number: &u32| self.things.get(*number).map_or(0, |held| self.hasher.hash_one(held.borrow()));
        numbers.insert_unique(hash, number, hash_of);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_place() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..10_000 {
            let (bucket, at) = place(number);
            assert!(at < 1 << (FIRST_BITS as usize + bucket) && seen.insert((bucket, at)));
        }
        assert_eq!(place(u32::MAX).0, BUCKETS - 1);
    }

    #[test]
    fn a_thing_keeps_its_number() {
        let interned = Interned::<String>::default();
        let numbers: Vec<u32> = (0..1_000).map(|n| interned.number(n.to_string().as_str())).collect();
        assert!(numbers.iter().copied().eq(0..1_000));
        assert_eq!((interned.number("77"), interned.get(77).map(String::as_str)), (77, Some("77")));
        assert_eq!(interned.get(1_000), None);
    }
}
