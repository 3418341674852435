//! Goods by GTIN.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use parking_lot::RwLock;
use stockade_model::Gtin;

use super::goods::SHARD_BITS;

/// Upper and lower half of a GTIN's digits, and the number of a good: twelve bytes where a pair would take sixteen.
type Entry = [u32; 3];

/// Numbers of the goods that share a GTIN.
pub(super) struct Gtins {
    shards: Box<[RwLock<HashTable<Entry>>]>,
    hasher: RandomState,
}

impl Default for Gtins {
    fn default() -> Self {
        Self { shards: (0..1 << SHARD_BITS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }
    }
}

impl Gtins {
    fn entry(gtin: Gtin, good: u32) -> Entry {
        [(gtin.digits() >> 32) as u32, gtin.digits() as u32, good]
    }

    fn place(&self, gtin: Gtin) -> (u64, &RwLock<HashTable<Entry>>) {
        let hash = self.hasher.hash_one(&Self::entry(gtin, 0)[..2]);
        // Other bits than the table looks at.
        (hash, &self.shards[(hash >> 40) as usize % self.shards.len()])
    }

    /// A good has an offer with this GTIN.
    pub(super) fn insert(&self, gtin: Gtin, good: u32) {
        let (hash, shard) = self.place(gtin);
        let entry = Self::entry(gtin, good);
        if shard.read().find(hash, |held| *held == entry).is_some() {
            return;
        }
        let mut shard = shard.write();
        if shard.find(hash, |held| *held == entry).is_none() {
            shard.insert_unique(hash, entry, |held| self.hasher.hash_one(&held[..2]));
        }
    }

    /// Goods that have, or had, an offer with this GTIN, in the order of their numbers.
    pub(super) fn goods(&self, gtin: Gtin) -> Vec<u32> {
        let (hash, shard) = self.place(gtin);
        let wanted = Self::entry(gtin, 0);
        let shard = shard.read();
        let of_gtin = shard.iter_hash(hash).filter(|held| held[..2] == wanted[..2]);
        let mut goods: Vec<u32> = of_gtin.map(|held| held[2]).collect();
        goods.sort_unstable();
        goods
    }
}
