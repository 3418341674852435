//! The overlay: which offers buyers may see, as one atomic byte per supplier.
//!
//! Flipping a supplier is one store, testing it one load, however many offers it has. Restrictions on a region, a SKU
//! or a listing live in a side table that is looked at only when the supplier's byte says there are any.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicI64, AtomicU8, AtomicU32, Ordering},
};

use dashmap::DashMap;
use rustc_hash::FxHashMap;
use stockade_model::{Left, Level, Region, Restriction, Scope, Subject, SupplierId};

use crate::Entry;

const CHUNK: usize = 4_096;
const CHUNKS: usize = 4_096;
/// Suppliers at most: 16,777,216.
const SUPPLIERS_MAX: u32 = (CHUNK * CHUNKS) as u32;

/// Low bits: level on the whole supplier plus one, 0 for none. This bit: there are narrower restrictions.
const NARROWER: u8 = 0b1000;

type Narrow = Arc<[(Scope, Level)]>;

/// Restrictions in force, fed by `lockout.decisions` only.
pub struct Overlay {
    numbers: DashMap<SupplierId, u32>,
    next: AtomicU32,
    bytes: Box<[OnceLock<Box<[AtomicU8]>>]>,
    narrow: DashMap<u32, Narrow>,
    /// Version of the last decision applied per supplier, so that repeats and reordering do nothing.
    versions: DashMap<u32, (u32, u64, u32)>,
    applied_ms: AtomicI64,
}

impl Default for Overlay {
    fn default() -> Self {
        Self {
            numbers: DashMap::new(),
            next: AtomicU32::new(0),
            bytes: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            narrow: DashMap::new(),
            versions: DashMap::new(),
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
    /// The supplier's number in this replica, given out on first sight. Past 16,777,216 suppliers all further ones
    /// share the last number; a marketplace that large runs more than one cell.
    pub fn number(&self, supplier: &SupplierId) -> u32 {
        if let Some(number) = self.numbers.get(supplier).map(|entry| *entry) {
            return number;
        }
        *self
            .numbers
            .entry(supplier.clone())
            .or_insert_with(|| self.next.fetch_add(1, Ordering::Relaxed).min(SUPPLIERS_MAX - 1))
    }

    fn byte(&self, number: u32) -> &AtomicU8 {
        let chunk = &self.bytes[number as usize / CHUNK];
        &chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU8::new(0)).collect())[number as usize % CHUNK]
    }

    /// Brings a supplier to what `entry` says; does nothing when a later version was applied. Returns whether it did.
    pub fn apply(&self, entry: &Entry, now_ms: i64) -> bool {
        let number = self.number(&entry.supplier);
        let mut version = self.versions.entry(number).or_insert((0, 0, 0));
        if entry.version.order() <= *version {
            return false;
        }
        *version = entry.version.order();
        let whole = |restriction: &&Restriction| restriction.scope == Scope::Supplier;
        let supplier_level = entry.in_force.iter().filter(whole).map(|r| r.level).max();
        let narrow: Narrow = entry
            .in_force
            .iter()
            .filter(|r| r.scope != Scope::Supplier)
            .map(|r| (r.scope.clone(), r.level))
            .collect();
        let mut byte = code(supplier_level);
        if narrow.is_empty() {
            self.narrow.remove(&number);
        } else {
            // In place before the byte points to it.
            self.narrow.insert(number, narrow);
            byte |= NARROWER;
        }
        self.byte(number).store(byte, Ordering::Release);
        self.applied_ms.store(now_ms, Ordering::Relaxed);
        true
    }

    /// The level on the whole supplier.
    pub fn supplier_level(&self, number: u32) -> Option<Level> {
        level(self.byte(number).load(Ordering::Acquire))
    }

    /// What is left of an offer of the supplier with this number for a buyer in `asked`; see [`Subject::left`].
    pub fn left(&self, supplier: u32, subject: Subject<'_>, asked: Option<Region>) -> Option<Left> {
        let byte = self.byte(supplier).load(Ordering::Acquire);
        if byte == 0 {
            return subject.serves(asked).then(Left::default);
        }
        let whole = level(byte);
        if byte & NARROWER == 0 {
            let seen = subject.serves(asked) && !whole.is_some_and(Level::withholds);
            return seen.then_some(Left { level: whole, regions: None });
        }
        let narrow = self.narrow.get(&supplier).map(|entry| entry.value().clone());
        let narrow = narrow.iter().flat_map(|narrow| narrow.iter()).map(|(scope, level)| (scope, *level));
        subject.left(asked, &narrow.chain(whole.map(|level| (&Scope::Supplier, level))))
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
