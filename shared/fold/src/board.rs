//! Who has got how far: folds of this process report, requests wait.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use tokio::sync::watch;

/// Progress of every fold partition in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Board(Arc<RwLock<Entries>>);

type Entries = BTreeMap<(&'static str, u32), watch::Sender<u64>>;

impl Board {
    /// Reports that `fold` has applied everything before `next` in `partition`.
    pub fn report(&self, fold: &'static str, partition: u32, next: u64) {
        if let Some(sender) = self.0.read().get(&(fold, partition)) {
            sender.send_if_modified(|seen| std::mem::replace(seen, next) != next);
            return;
        }
        self.0.write().entry((fold, partition)).or_insert_with(|| watch::Sender::new(next)).send_replace(next);
    }

    /// Next offset `fold` will apply in `partition`; 0 when it has not begun.
    pub fn next(&self, fold: &'static str, partition: u32) -> u64 {
        self.0.read().get(&(fold, partition)).map_or(0, |sender| *sender.borrow())
    }

    /// Waits until `fold` has applied everything before `next` in `partition`.
    pub async fn wait(&self, fold: &'static str, partition: u32, next: u64) {
        let mut receiver = {
            let mut entries = self.0.write();
            entries.entry((fold, partition)).or_insert_with(|| watch::Sender::new(0)).subscribe()
        };
        // The sender lives in the board that `self` keeps alive, so this cannot fail.
        let _ = receiver.wait_for(|seen| *seen >= next).await;
    }
}
