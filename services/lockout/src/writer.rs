//! The quarantine writer: keeps the store equal to the fold of `lockout.decisions`, whatever happens to the store.
//!
//! It folds all decisions itself, so it knows what the store should hold. Each new decision is put at once. Every two
//! seconds it compares counts and last version, every minute all entries: a store that was emptied, restored from an old
//! dump or edited by hand is put right. Several writers may run: a put is compare-and-set, and an entry is only taken out
//! when this writer has read past the decision that would have made it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stockade_fold::{Tailed, tail};
use stockade_log::{LogError, SharedLog, failpoint};
use stockade_model::{Payload, Position, SupplierId, Topic};
use stockade_quarantine::{Entry, QuarantineStore, StoreError, Summary};
use tokio::sync::Mutex;

/// Pause before a store that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How often counts and last version are compared.
const LOOK: Duration = Duration::from_secs(2);
/// Every how many looks all entries are compared.
const LOOKS_PER_AUDIT: u32 = 30;

/// What the store should hold.
#[derive(Default)]
struct Wanted {
    entries: BTreeMap<SupplierId, Entry>,
    last: Option<Position>,
    /// Something could not be written.
    behind: bool,
}

/// Keeps a store equal to the decisions it is given; does nothing by itself.
pub struct Writer {
    store: Arc<dyn QuarantineStore>,
    /// Held while the store is written or compared, so that neither sees the other half-way.
    wanted: Mutex<Wanted>,
    /// Everything before this offset is folded.
    next: AtomicU64,
    /// The end when it started; nothing is written before everything up to it is folded.
    start_end: u64,
}

/// Keeps `store` equal to the decisions until `shutdown` resolves.
pub async fn write_quarantine(
    log: SharedLog,
    store: Arc<dyn QuarantineStore>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), LogError> {
    let start_end = log.bounds(Topic::LockoutDecisions.name(), 0)?.end;
    let writer = Arc::new(Writer::new(store, start_end));
    let watched = log.clone();
    let follow = {
        let writer = writer.clone();
        let each = move |batch| {
            let writer = writer.clone();
            async move { writer.take(batch).await }
        };
        tail(log, "quarantine", Topic::LockoutDecisions, 0, each, shutdown)
    };
    tokio::select! {
        ended = follow => ended,
        never = writer.watch(&watched) => match never {},
    }
}

impl Writer {
    /// A writer that writes nothing before it has been given every decision before `start_end`.
    pub fn new(store: Arc<dyn QuarantineStore>, start_end: u64) -> Self {
        Self { store, wanted: Mutex::default(), next: AtomicU64::new(0), start_end }
    }

    fn caught_up(&self) -> bool {
        self.next.load(Ordering::SeqCst) >= self.start_end
    }

    /// Takes decisions in order and writes what is new. What cannot be read is passed over; see
    /// [`DecisionsCheck`](crate::DecisionsCheck).
    pub async fn take(&self, batch: Vec<Tailed>) {
        let mut wanted = self.wanted.lock().await;
        for Tailed { offset, payload, .. } in batch {
            if let Ok(Payload::Decision(decision)) = payload {
                let entry = Entry::of(decision, offset);
                let known = wanted.entries.get(&entry.supplier);
                if known.is_none_or(|known| known.version.order() < entry.version.order()) {
                    if self.caught_up() && !wanted.behind {
                        wanted.behind = self.put(&entry).await.is_err();
                    }
                    wanted.last = Some(entry.version.clone());
                    wanted.entries.insert(entry.supplier.clone(), entry);
                }
            }
            self.next.store(offset + 1, Ordering::SeqCst);
        }
    }

    async fn put(&self, entry: &Entry) -> Result<(), StoreError> {
        failpoint::hit("redis-write", "before");
        let put = self.store.put(entry.clone()).await;
        failpoint::hit("redis-write", "after");
        put.map(drop).inspect_err(|error| {
            crate::metrics::quarantine_write_failure();
            tracing::warn!(%error, supplier = %entry.supplier, "the quarantine store did not take a decision; it is put right later");
        })
    }

    /// Compares and puts right, for ever.
    async fn watch(&self, log: &SharedLog) -> std::convert::Infallible {
        let (mut looks, mut pause) = (0u32, RETRY);
        loop {
            tokio::time::sleep(pause).await;
            if !self.caught_up() {
                continue;
            }
            let thorough = looks.is_multiple_of(LOOKS_PER_AUDIT);
            let end = async || {
                let (log, topic) = (log.clone(), Topic::LockoutDecisions.name());
                let end = tokio::task::spawn_blocking(move || log.bounds(topic, 0)).await;
                // With the log out of reach, nothing in the store can be called a ghost.
                end.ok().and_then(Result::ok).map_or(u64::MAX, |bounds| bounds.end)
            };
            match self.look(thorough, end).await {
                Ok(()) => (looks, pause) = (looks + 1, LOOK),
                Err(error) => {
                    tracing::warn!(%error, "the quarantine store cannot be compared; trying again");
                    // It may have been away for good reason, or come back as another: compare everything then.
                    (looks, pause) = (0, RETRY);
                }
            }
        }
    }

    /// Compares the store with what it should hold, counts and last version or all of it, and puts it right. `end` gives
    /// the end of the decisions and is asked after the store was.
    pub async fn look(&self, thorough: bool, end: impl AsyncFnOnce() -> u64) -> Result<(), StoreError> {
        if !self.caught_up() {
            return Ok(());
        }
        let mut wanted = self.wanted.lock().await;
        let expected = Summary { entries: wanted.entries.len(), last: wanted.last.clone() };
        if !thorough && !wanted.behind && self.store.summary().await? == expected {
            return Ok(());
        }
        let stored = self.store.since(None).await?;
        // What the store may rightly hold was in the log before.
        let end = end().await;
        let next = self.next.load(Ordering::SeqCst);
        let mut missing: BTreeMap<&SupplierId, &Entry> = wanted.entries.iter().collect();
        let mut ghosts = 0;
        for entry in &stored {
            if wanted.entries.get(&entry.supplier) == Some(entry) {
                missing.remove(&entry.supplier);
                continue;
            }
            let older = wanted
                .entries
                .get(&entry.supplier)
                .is_some_and(|known| known.version.order() > entry.version.order());
            // Another writer may be ahead of this one; what lies before `next` or past the end, no decision made.
            if !older && (entry.offset < next || entry.offset >= end) {
                self.store.forget(&entry.supplier, &entry.version).await?;
                ghosts += 1;
            }
        }
        let rebuilt = missing.len();
        for entry in missing.into_values() {
            self.store.put(entry.clone()).await?;
        }
        wanted.behind = false;
        if rebuilt + ghosts > 0 {
            crate::metrics::quarantine_repairs(rebuilt + ghosts);
            tracing::warn!(rebuilt, ghosts, "the quarantine store was put right from the decisions");
        }
        Ok(())
    }
}
