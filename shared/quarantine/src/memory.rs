//! In memory: for tests, and inside the file store.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use stockade_model::{Position, SupplierId};

use crate::{Answer, Entry, Put, QuarantineStore, Summary};

/// A store that forgets when dropped.
#[derive(Default)]
pub struct MemoryStore(RwLock<BTreeMap<SupplierId, Entry>>);

impl MemoryStore {
    pub(crate) fn put_now(&self, entry: Entry) -> Put {
        let mut entries = self.0.write();
        match entries.get(&entry.supplier) {
            Some(stored) if stored.version.order() >= entry.version.order() => Put::Stale,
            _ => {
                entries.insert(entry.supplier.clone(), entry);
                Put::Applied
            }
        }
    }
    pub(crate) fn get_now(&self, supplier: &SupplierId) -> Option<Entry> {
        self.0.read().get(supplier).cloned()
    }
    pub(crate) fn since_now(&self, version: Option<&Position>) -> Vec<Entry> {
        let entries = self.0.read();
        let after = |entry: &&Entry| version.is_none_or(|version| entry.version.order() > version.order());
        let mut found: Vec<Entry> = entries.values().filter(after).cloned().collect();
        found.sort_by_key(|entry| entry.version.order());
        found
    }
    /// Whether it was there in this version.
    pub(crate) fn forget_now(&self, supplier: &SupplierId, version: &Position) -> bool {
        let mut entries = self.0.write();
        let same = entries.get(supplier).is_some_and(|entry| entry.version.order() == version.order());
        same && entries.remove(supplier).is_some()
    }
    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }
}

impl QuarantineStore for MemoryStore {
    fn put(&self, entry: Entry) -> Answer<'_, Put> {
        Box::pin(async move { Ok(self.put_now(entry)) })
    }
    fn get<'a>(&'a self, supplier: &'a SupplierId) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.get_now(supplier)) })
    }
    fn since(&self, version: Option<Position>) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move { Ok(self.since_now(version.as_ref())) })
    }
    fn summary(&self) -> Answer<'_, Summary> {
        Box::pin(async move {
            let last = self.since_now(None).pop().map(|entry| entry.version);
            Ok(Summary { entries: self.len(), last })
        })
    }
    fn forget<'a>(&'a self, supplier: &'a SupplierId, version: &'a Position) -> Answer<'a, ()> {
        Box::pin(async move {
            self.forget_now(supplier, version);
            Ok(())
        })
    }
}
