//! Which suppliers there are: nobody is restricted, allowed or appealed for who was never registered.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::RwLock;
use stockade_model::{Change, ControlRecord, SupplierId};
use tokio::sync::watch;

/// Every supplier that was ever registered, as far as `control` was read.
#[derive(Clone)]
pub struct Suppliers {
    known: Arc<RwLock<BTreeSet<SupplierId>>>,
    next: watch::Sender<u64>,
}

impl Default for Suppliers {
    fn default() -> Self {
        Self { known: Arc::default(), next: watch::Sender::new(0) }
    }
}

impl Suppliers {
    /// Takes the record of `control` at `offset`; none for poison, which says nothing.
    pub fn see(&self, offset: u64, record: Option<&ControlRecord>) {
        let named = match record.map(|record| &record.change) {
            Some(Change::Register { registration, .. }) => Some(&registration.supplier),
            Some(Change::Supplier { profile }) => Some(&profile.supplier),
            _ => None,
        };
        if let Some(supplier) = named.filter(|supplier| !self.known.read().contains(*supplier)) {
            self.known.write().insert(supplier.clone());
        }
        self.next.send_replace(offset + 1);
    }
    /// Whether a supplier is registered, as far as is known.
    pub fn has(&self, supplier: &SupplierId) -> bool {
        self.known.read().contains(supplier)
    }
    /// Waits until everything before offset `next` of `control` is known.
    pub async fn wait(&self, next: u64) {
        let mut receiver = self.next.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = receiver.wait_for(|seen| *seen >= next).await;
    }
}
