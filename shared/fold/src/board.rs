//! Who has got how far: folds of this process report, requests wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::RwLock;
use stockade_model::Timestamp;
use tokio::sync::watch;

/// How far a fold is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// Everything before this offset is applied.
    pub next: u64,
    /// Record time of the last record applied.
    pub clock: Timestamp,
}

/// Progress of every fold partition in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Board(Arc<RwLock<Entries>>, Arc<RwLock<BTreeSet<(&'static str, u32)>>>);

type Entries = BTreeMap<(&'static str, u32), watch::Sender<Progress>>;

impl Board {
    /// Reports how far `fold` is in `partition`.
    pub fn report(&self, fold: &'static str, partition: u32, progress: Progress) {
        if let Some(sender) = self.0.read().get(&(fold, partition)) {
            sender.send_if_modified(|seen| std::mem::replace(seen, progress) != progress);
            return;
        }
        let mut entries = self.0.write();
        entries
            .entry((fold, partition))
            .or_insert_with(|| watch::Sender::new(progress))
            .send_replace(progress);
    }

    /// Says which partitions of `fold` this process owns, as far as its worker knows.
    pub(crate) fn report_owned(&self, fold: &'static str, owned: impl Iterator<Item = u32>) {
        let owned: BTreeSet<u32> = owned.collect();
        let held: BTreeSet<u32> =
            self.1.read().iter().filter(|(of, _)| *of == fold).map(|(_, it)| *it).collect();
        if held == owned {
            return;
        }
        let mut all = self.1.write();
        all.retain(|(of, _)| *of != fold);
        all.extend(owned.into_iter().map(|partition| (fold, partition)));
    }

    /// Whether this process owns `partition` of `fold`, as it knew up to half a second ago. Good for effects that may happen twice:
    /// the former owner learns of its end by its next flush at the latest.
    pub fn owns(&self, fold: &'static str, partition: u32) -> bool {
        self.1.read().contains(&(fold, partition))
    }

    /// How far `fold` is in `partition`; the beginning when it has not begun.
    pub fn progress(&self, fold: &'static str, partition: u32) -> Progress {
        self.0.read().get(&(fold, partition)).map_or_else(Progress::default, |sender| *sender.borrow())
    }

    /// Waits until `fold` has applied everything before `next` in `partition`.
    pub async fn wait(&self, fold: &'static str, partition: u32, next: u64) {
        let mut receiver = {
            let mut entries = self.0.write();
            entries
                .entry((fold, partition))
                .or_insert_with(|| watch::Sender::new(Progress::default()))
                .subscribe()
        };
        // The sender lives in the board that `self` keeps alive, so this cannot fail.
        let _ = receiver.wait_for(|seen| seen.next >= next).await;
    }

    /// Every fold partition that has reported.
    pub fn all(&self) -> Vec<(&'static str, u32, Progress)> {
        self.0
            .read()
            .iter()
            .map(|((fold, partition), sender)| (*fold, *partition, *sender.borrow()))
            .collect()
    }
}
