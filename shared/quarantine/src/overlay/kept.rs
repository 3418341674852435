//! What is in force, as it is kept outside of a process and brought back where the decisions cannot be read.

use std::{collections::HashSet, sync::atomic::Ordering};

use stockade_model::{Level, Scope, SupplierId, Timestamp};

use super::{Overlay, Standing};

/// What is in force of one supplier, as far as it concerns what buyers see.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    /// The supplier.
    pub supplier: SupplierId,
    /// Order of the decision that made it so: a later one replaces it, an earlier one does nothing.
    pub version: (u32, u64, u32),
    /// What is covered, and how hard; nothing of whom everything was given back, so that no earlier decision counts again.
    pub in_force: Vec<(Scope, Level)>,
    /// Since when anything of it is withheld without a break; absent where nothing is.
    pub withheld_since: Option<Timestamp>,
}

impl Overlay {
    /// Every supplier that was ever decided on, in no order. Who is decided on meanwhile is in it as before the decision or as after it.
    pub fn kept(&self) -> Vec<Kept> {
        // One after the other, so that no two locks are held at once.
        let decided: HashSet<u32> = self.applied.iter().map(|entry| *entry.key()).collect();
        let entries =
            self.numbers.iter().map(|entry| (entry.key().clone(), Self::kept_under(*entry.value())));
        let named: Vec<(SupplierId, u32)> = entries.filter(|(_, number)| decided.contains(number)).collect();
        named.into_iter().map(|(supplier, number)| self.kept_of(supplier, number)).collect()
    }

    fn kept_of(&self, supplier: SupplierId, number: u32) -> Kept {
        // For one supplier at a time: a decision waits for no more than that.
        let _applying = self.applying.lock();
        let in_force = match self.standing(number) {
            Standing::Free => Vec::new(),
            Standing::Whole(level) => vec![(Scope::Supplier, level)],
            Standing::Narrower => self.narrower(number).map_or_else(Vec::new, |narrower| narrower.to_vec()),
        };
        let version = self.applied.get(&number).map(|applied| applied.version).unwrap_or_default();
        let withheld_since = self.withheld_since(number);
        Kept { supplier, version, in_force, withheld_since }
    }

    /// Brings back what was kept of a supplier; does nothing when a later decision was applied.
    pub fn bring_back(&self, kept: &Kept) {
        let number = Self::kept_under(self.number(&kept.supplier));
        let _applying = self.applying.lock();
        let mut applied = self.applied.entry(number).or_default();
        if kept.version < applied.version {
            return;
        }
        applied.version = kept.version;
        applied.hard = kept.in_force.iter().filter(|(_, level)| *level >= Level::Dim).cloned().collect();
        drop(applied);
        match kept.withheld_since {
            Some(since) => drop(self.withheld.insert(number, since)),
            None => drop(self.withheld.remove(&number)),
        }
        self.store(number, &kept.in_force);
        self.changes.fetch_add(1, Ordering::Release);
    }
}
