//! A quarantine store that can be lost, set back or away.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use stockade_model::{Position, SupplierId};
use stockade_quarantine::{Answer, Entry, Put, QuarantineStore, StoreError, Summary};

type Entries = BTreeMap<SupplierId, Entry>;

#[derive(Default)]
struct State {
    entries: Entries,
    dump: Entries,
    away: bool,
    /// Nobody may take a ghost out.
    ghosts_stay: bool,
}

/// The store of the simulation. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SimStore(Arc<Mutex<State>>);

impl SimStore {
    pub(super) fn entries(&self) -> Entries {
        self.0.lock().entries.clone()
    }
    pub(super) fn flush(&self) {
        self.0.lock().entries.clear();
    }
    pub(super) fn dump(&self) {
        let mut state = self.0.lock();
        state.dump = state.entries.clone();
    }
    pub(super) fn restore(&self) {
        let mut state = self.0.lock();
        state.entries = state.dump.clone();
    }
    pub(super) fn away(&self, away: bool) {
        self.0.lock().away = away;
    }
    pub(super) fn haunt(&self, ghost: Entry) {
        let mut state = self.0.lock();
        state.ghosts_stay = true;
        state.entries.entry(ghost.supplier.clone()).or_insert(ghost);
    }
    fn with<T>(&self, call: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let mut state = self.0.lock();
        if state.away { Err(StoreError("it is away".to_owned())) } else { Ok(call(&mut state)) }
    }
}

fn answer<'a, T: Send + 'a>(result: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}

impl QuarantineStore for SimStore {
    fn put(&self, entry: Entry) -> Answer<'_, Put> {
        answer(self.with(|state| match state.entries.get(&entry.supplier) {
            Some(held) if held.version.order() >= entry.version.order() => Put::Stale,
            _ => {
                state.entries.insert(entry.supplier.clone(), entry);
                Put::Applied
            }
        }))
    }
    fn get<'a>(&'a self, supplier: &'a SupplierId) -> Answer<'a, Option<Entry>> {
        answer(self.with(|state| state.entries.get(supplier).cloned()))
    }
    fn since(&self, version: Option<Position>) -> Answer<'_, Vec<Entry>> {
        answer(self.with(|state| {
            let after = |entry: &&Entry| version.as_ref().is_none_or(|v| entry.version.order() > v.order());
            let mut found: Vec<Entry> = state.entries.values().filter(after).cloned().collect();
            found.sort_by_key(|entry| entry.version.order());
            found
        }))
    }
    fn summary(&self) -> Answer<'_, Summary> {
        answer(self.with(|state| Summary {
            entries: state.entries.len(),
            last: state.entries.values().map(|entry| entry.version.clone()).max_by_key(Position::order),
        }))
    }
    fn forget<'a>(&'a self, supplier: &'a SupplierId, version: &'a Position) -> Answer<'a, ()> {
        answer(self.with(|state| {
            let same =
                state.entries.get(supplier).is_some_and(|held| held.version.order() == version.order());
            if same && !state.ghosts_stay {
                state.entries.remove(supplier);
            }
        }))
    }
}
