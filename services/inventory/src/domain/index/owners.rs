//! Suppliers as the index knows them: their names by number, and where each listing of theirs is found.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use stockade_model::SupplierId;

use super::table::Slots;

/// Listings in one run of a supplier's table.
const RUN_MAX: usize = 512;

/// Hash of a listing's id, and the number of its good. Other listings may have the same hash.
type Entry = (u32, u32);

/// Where the listings of a supplier are found: sorted runs, so that a listing costs hardly more than its entry.
#[derive(Default)]
struct Listed {
    runs: Vec<Vec<Entry>>,
}

impl Listed {
    /// The run where `entry` is, or belongs.
    fn run(&self, entry: Entry) -> usize {
        self.runs.partition_point(|run| run.first().is_some_and(|first| *first <= entry)).saturating_sub(1)
    }

    fn insert(&mut self, entry: Entry) {
        if self.runs.is_empty() {
            self.runs.reserve_exact(1);
            self.runs.push(Vec::new());
        }
        let number = self.run(entry);
        let run = &mut self.runs[number];
        if run.len() == run.capacity() {
            // Growth by a half would be a third of the memory.
            run.reserve_exact(1 + run.len() / 8);
        }
        let at = run.partition_point(|held| *held < entry);
        run.insert(at, entry);
        if run.len() >= RUN_MAX {
            let later = run.split_off(RUN_MAX / 2);
            run.shrink_to_fit();
            self.runs.insert(number + 1, later);
        }
    }

    /// Up to `limit` entries behind `after`, in order.
    fn behind(&self, after: Option<Entry>, limit: usize) -> Vec<Entry> {
        let run = after.map_or(0, |after| self.run(after));
        let entries = self.runs.iter().skip(run).flatten();
        entries.filter(|entry| after.is_none_or(|after| **entry > after)).take(limit).copied().collect()
    }

    fn find(&self, hash: u32) -> Vec<u32> {
        let mut goods = Vec::new();
        for run in self.runs.iter().skip(self.run((hash, 0))) {
            let from = run.partition_point(|(held, _)| *held < hash);
            let before = goods.len();
            goods.extend(run[from..].iter().take_while(|(held, _)| *held == hash).map(|(_, good)| *good));
            if goods.len() - before < run.len() - from {
                break;
            }
        }
        goods
    }
}

/// What a supplier has, all of it whatever restrictions say.
#[derive(Default)]
struct Own {
    listed: Listed,
    listings: u64,
    /// Those of them that are withdrawn.
    withdrawn: u64,
    units: i64,
}

/// A supplier.
pub(super) struct Owner {
    pub(super) name: SupplierId,
    own: Mutex<Own>,
}

impl Owner {
    /// A listing that was not there before, under the good with this number.
    pub(super) fn lists(&self, hash: u32, good: u32, units: i64, is_withdrawn: bool) {
        let mut own = self.own.lock();
        own.listed.insert((hash, good));
        own.listings += 1;
        own.withdrawn += u64::from(is_withdrawn);
        own.units += units;
    }

    /// A listing has more units, or fewer, or was withdrawn, or is not any more.
    pub(super) fn counts(&self, change: i64, (was_withdrawn, is_withdrawn): (bool, bool)) {
        if change != 0 || was_withdrawn != is_withdrawn {
            let mut own = self.own.lock();
            own.units += change;
            own.withdrawn =
                (own.withdrawn + u64::from(is_withdrawn)).saturating_sub(u64::from(was_withdrawn));
        }
    }

    /// Listings on the market, and all that are kept.
    pub(super) fn listings(&self) -> (u64, u64) {
        let own = self.own.lock();
        (own.listings - own.withdrawn, own.listings)
    }

    /// Listings and units.
    pub(super) fn totals(&self) -> (u64, i64) {
        let own = self.own.lock();
        (own.listings, own.units)
    }

    /// Numbers of the goods that a listing with this hash may be of.
    pub(super) fn goods_of(&self, hash: u32) -> Vec<u32> {
        self.own.lock().listed.find(hash)
    }

    /// Hashes of listings and numbers of their goods, up to `limit` of them behind `after`, in order. Several listings of one
    /// good may have one hash; they are one entry here, or more.
    pub(super) fn listed_behind(&self, after: Option<(u32, u32)>, limit: usize) -> Vec<(u32, u32)> {
        self.own.lock().listed.behind(after, limit)
    }

    /// Numbers of all goods it has a listing of, each once.
    pub(super) fn goods(&self) -> Vec<u32> {
        let mut goods: Vec<u32> =
            self.own.lock().listed.runs.iter().flatten().map(|(_, good)| *good).collect();
        goods.sort_unstable();
        goods.dedup();
        goods
    }
}

/// Suppliers by their number in the overlay.
#[derive(Default)]
pub(super) struct Owners {
    owners: Slots<Owner>,
    numbers: RwLock<HashTable<u32>>,
    hasher: RandomState,
}

impl Owners {
    /// The supplier with a number, noted now if it was not known.
    pub(super) fn meet(&self, number: u32, name: &SupplierId) -> &Owner {
        if let Some(owner) = self.owners.get(number) {
            return owner;
        }
        let owner = self.owners.get_or_set(number, || Owner { name: name.clone(), own: Mutex::default() });
        let hash_of = |number: &u32| self.hasher.hash_one(self.name(*number));
        let mut numbers = self.numbers.write();
        let hash = self.hasher.hash_one(name.as_str());
        if numbers.find(hash, |known| *known == number).is_none() {
            numbers.insert_unique(hash, number, hash_of);
        }
        owner
    }

    pub(super) fn get(&self, number: u32) -> Option<&Owner> {
        self.owners.get(number)
    }

    /// Its id; empty for a number that no offer has.
    pub(super) fn name(&self, number: u32) -> &str {
        self.owners.get(number).map_or("", |owner| owner.name.as_str())
    }

    /// Number of a supplier with offers.
    pub(super) fn number(&self, name: &SupplierId) -> Option<u32> {
        let hash = self.hasher.hash_one(name.as_str());
        self.numbers.read().find(hash, |number| self.name(*number) == name.as_str()).copied()
    }

    /// What listings of suppliers are found by.
    pub(super) fn hash(&self, listing: &str) -> u32 {
        self.hasher.hash_one(listing) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_found_however_many_share_a_hash() {
        let mut listed = Listed::default();
        let mut random = 7_u32;
        let mut expected = std::collections::BTreeMap::<u32, Vec<u32>>::new();
        for good in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Some hashes are those of more listings than fit into a run.
            let hash = if good % 10 == 0 { 5 } else { random >> 20 };
            listed.insert((hash, good));
            expected.entry(hash).or_default().push(good);
        }
        for hash in 0..5_000 {
            let mut found = listed.find(hash);
            found.sort_unstable();
            assert_eq!(found, expected.remove(&hash).unwrap_or_default(), "{hash}");
        }
    }
}
