//! The overlay: which offers buyers may see, as one atomic byte per supplier.
//!
//! Flipping a supplier is one store, testing it one load, however many offers it has. Restrictions on a region, a SKU
//! or a listing live in a side table that is looked at only when the supplier's byte says there are any.
//!
//! Who wants to remember that nothing of a group of suppliers is on show (a pile of withheld offers, say) need not be told of
//! each flip: only an easing, a change that may bring something back, can make that wrong. Easings are counted, and the last
//! ones are named, see [`Overlay::eased_since`].

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use dashmap::DashMap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use stockade_model::{Left, Level, Region, Scope, Subject, SupplierId, Timestamp};

use crate::Entry;

mod easings;
mod kept;
use easings::Easings;
pub use kept::Kept;

const CHUNK: usize = 4_096;
const CHUNKS: usize = 4_096;
/// Suppliers at most: 16,777,216.
const SUPPLIERS_MAX: u32 = (CHUNK * CHUNKS) as u32;

/// Low bits: level on the whole supplier plus one, 0 for none. This bit: there are narrower restrictions.
const NARROWER: u8 = 0b1000;

type Narrow = Arc<[(Scope, Level)]>;

/// What restrictions say of a supplier before any of its offers is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is in force.
    Free,
    /// This level on the whole supplier, and nothing narrower.
    Whole(Level),
    /// There are narrower restrictions: each offer has to be judged by itself, see [`Overlay::left`].
    Narrower,
}

/// What was last applied of a supplier.
#[derive(Default)]
struct Applied {
    /// Version of the decision, so that repeats and reordering do nothing.
    version: (u32, u64, u32),
    /// What it put in force from [`Level::Dim`] on: what takes an offer from its place.
    hard: Vec<(Scope, Level)>,
}

/// Restrictions in force, fed by `lockout.decisions` only.
pub struct Overlay {
    numbers: DashMap<SupplierId, u32>,
    next: AtomicU32,
    bytes: Box<[OnceLock<Box<[AtomicU8]>>]>,
    narrow: DashMap<u32, Narrow>,
    applied: DashMap<u32, Applied>,
    /// Suppliers of which anything is withheld, and since when without a break.
    withheld: DashMap<u32, Timestamp>,
    easings: Easings,
    changes: AtomicU64,
    applied_ms: AtomicI64,
    /// Decisions are applied one at a time, so that what is noted of them is in their order.
    applying: Mutex<()>,
}

impl Default for Overlay {
    fn default() -> Self {
        Self {
            numbers: DashMap::new(),
            next: AtomicU32::new(0),
            bytes: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            narrow: DashMap::new(),
            applied: DashMap::new(),
            withheld: DashMap::new(),
            easings: Easings::default(),
            changes: AtomicU64::new(0),
            applying: Mutex::new(()),
            applied_ms: AtomicI64::new(0),
        }
    }
}

fn code(level: Option<Level>) -> u8 {
    level.map_or(0, |level| 1 + level as u8)
}

fn level(byte: u8) -> Option<Level> {
    Level::ALL.get((byte & 0b111).checked_sub(1)? as usize).copied()
}

impl Overlay {
    /// The supplier's number in this replica, given out on first sight: 0, 1, 2 and so on.
    pub fn number(&self, supplier: &SupplierId) -> u32 {
        if let Some(number) = self.numbers.get(supplier).map(|entry| *entry) {
            return number;
        }
        *self.numbers.entry(supplier.clone()).or_insert_with(|| self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The number under which restrictions are kept. Past 16,777,216 suppliers all further ones share the last; a
    /// marketplace that large runs more than one cell.
    fn kept_under(number: u32) -> u32 {
        number.min(SUPPLIERS_MAX - 1)
    }

    fn byte(&self, number: u32) -> &AtomicU8 {
        let number = Self::kept_under(number);
        let chunk = &self.bytes[number as usize / CHUNK];
        &chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU8::new(0)).collect())[number as usize % CHUNK]
    }

    /// Brings a supplier to what `entry` says; does nothing when a later version was applied. Returns whether it did.
    pub fn apply(&self, entry: &Entry, now_ms: i64) -> bool {
        let number = Self::kept_under(self.number(&entry.supplier));
        let _applying = self.applying.lock();
        let mut applied = self.applied.entry(number).or_default();
        if entry.version.order() <= applied.version {
            return false;
        }
        applied.version = entry.version.order();
        let hard = entry.in_force.iter().filter(|r| r.level >= Level::Dim);
        let hard: Vec<(Scope, Level)> = hard.map(|r| (r.scope.clone(), r.level)).collect();
        let before = std::mem::replace(&mut applied.hard, hard);
        let keeps = |(scope, level): &(Scope, Level)| {
            applied.hard.iter().any(|(now, at)| now == scope && at >= level)
        };
        let eases = !before.iter().all(keeps);
        self.note_withheld(number, entry);
        let in_force: Vec<(Scope, Level)> =
            entry.in_force.iter().map(|r| (r.scope.clone(), r.level)).collect();
        self.store(number, &in_force);
        // After the byte: whoever sees the count before it is changed may still have seen the supplier as it was, and whoever
        // sees it afterwards has to look again.
        if eases {
            self.easings.note(number);
        }
        self.changes.fetch_add(1, Ordering::Release);
        self.applied_ms.store(now_ms, Ordering::Relaxed);
        true
    }

    fn note_withheld(&self, number: u32, entry: &Entry) {
        let withholding = entry.in_force.iter().filter(|r| r.level.withholds());
        match withholding.map(|r| r.since).min() {
            Some(since) => drop(self.withheld.entry(number).or_insert(since)),
            None => drop(self.withheld.remove(&number)),
        }
    }

    fn store(&self, number: u32, in_force: &[(Scope, Level)]) {
        let is_whole = |(scope, _): &&(Scope, Level)| *scope == Scope::Supplier;
        let whole = in_force.iter().filter(is_whole).map(|(_, level)| *level).max();
        if in_force.iter().all(|one| is_whole(&one)) {
            self.byte(number).store(code(whole), Ordering::Release);
            // After the byte: who still meets the former byte and finds nothing here looks at the byte again.
            self.narrow.remove(&number);
            return;
        }
        // In place before the byte points to it, and whole, so that nobody mixes two sets.
        self.narrow.insert(number, in_force.into());
        self.byte(number).store(code(whole) | NARROWER, Ordering::Release);
    }

    /// The level on the whole supplier.
    pub fn supplier_level(&self, number: u32) -> Option<Level> {
        level(self.byte(number).load(Ordering::Acquire))
    }

    /// What restrictions say of the supplier with this number, whatever it offers.
    pub fn standing(&self, number: u32) -> Standing {
        let byte = self.byte(number).load(Ordering::Acquire);
        match level(byte) {
            _ if byte & NARROWER != 0 => Standing::Narrower,
            Some(level) => Standing::Whole(level),
            None => Standing::Free,
        }
    }

    /// All restrictions on the supplier with this number, if any of them is narrower than the supplier.
    pub fn narrower(&self, number: u32) -> Option<Arc<[(Scope, Level)]>> {
        self.narrow.get(&Self::kept_under(number)).map(|entry| entry.value().clone())
    }

    /// Numbers of the suppliers of which anything is withheld.
    pub fn withheld(&self) -> Vec<u32> {
        self.withheld.iter().map(|entry| *entry.key()).collect()
    }

    /// Since when anything of a supplier is withheld without a break, by record time.
    pub fn withheld_since(&self, number: u32) -> Option<Timestamp> {
        self.withheld.get(&Self::kept_under(number)).map(|since| *since)
    }

    /// Changes applied so far.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Easings so far: changes that may have brought an offer back on show, or from the dimmed ones to its place.
    pub fn easings(&self) -> u64 {
        self.easings.count()
    }

    /// Whether an easing after the first `seen` concerns anybody for whom `concerns` holds, or may: of easings long past it is
    /// not known any more whom they concern. Suppliers are given by number.
    pub fn eased_since(&self, seen: u64, concerns: impl Fn(u32) -> bool) -> bool {
        // Those who share the last number may be meant by it.
        self.easings.after(seen, |number| number == SUPPLIERS_MAX - 1 || concerns(number))
    }

    /// What is left of an offer of the supplier with this number for a buyer in `asked`; see [`Subject::left`].
    pub fn left(&self, supplier: u32, subject: Subject<'_>, asked: Option<Region>) -> Option<Left> {
        loop {
            match self.standing(supplier) {
                Standing::Free => return subject.serves(asked).then(Left::default),
                Standing::Whole(level) => {
                    let seen = subject.serves(asked) && !level.withholds();
                    return seen.then_some(Left { level: Some(level), regions: None });
                }
                Standing::Narrower => {
                    if let Some(set) = self.narrower(supplier) {
                        return subject.left(asked, &set.iter().map(|(scope, level)| (scope, *level)));
                    }
                    // It was replaced between the two looks.
                }
            }
        }
    }

    /// Suppliers with a restriction on all of them, by level.
    pub fn suppliers_by_level(&self) -> FxHashMap<Level, u64> {
        let mut counts = FxHashMap::default();
        for number in 0..self.next.load(Ordering::Relaxed).min(SUPPLIERS_MAX) {
            if let Some(level) = self.supplier_level(number) {
                *counts.entry(level).or_insert(0) += 1;
            }
        }
        counts
    }

    /// When the last change was applied, by the clock given to [`Overlay::apply`]; 0 for never.
    pub fn applied_ms(&self) -> i64 {
        self.applied_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
