//! What this process knows besides the folds: answers people wait for, rule sets in force, recent decisions.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use dashmap::DashMap;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use stockade_model::{Decision, SupplierId};
use tokio::sync::{oneshot, watch};

/// Decisions kept for listing; older ones are in the log for ever.
const DECISIONS_KEPT: usize = 20_000;

/// People's proposals whose verdict is being waited for, by record id.
#[derive(Clone, Default)]
pub struct Verdicts(Arc<DashMap<String, oneshot::Sender<Option<&'static str>>>>);

impl Verdicts {
    /// Call it before the proposal is appended.
    pub fn expect(&self, id: &str) -> oneshot::Receiver<Option<&'static str>> {
        let (sender, receiver) = oneshot::channel();
        self.0.insert(id.to_owned(), sender);
        receiver
    }
    /// The verdict is there; nobody may be waiting any more.
    pub fn give(&self, id: &str, refused: Option<&'static str>) {
        if let Some((_, sender)) = self.0.remove(id) {
            let _ = sender.send(refused);
        }
    }
    /// Stops waiting.
    pub fn forget(&self, id: &str) {
        self.0.remove(id);
    }
}

/// What is in force in which partition.
#[derive(Clone, Debug, Default)]
struct InForce {
    by_lane: BTreeMap<u32, String>,
    version: String,
    source: String,
}

/// Rule sets, or declarations of features, in force by partition.
#[derive(Clone)]
pub struct InForceStatus(watch::Sender<InForce>);

impl Default for InForceStatus {
    fn default() -> Self {
        Self(watch::Sender::new(InForce::default()))
    }
}

impl InForceStatus {
    /// It came into force in a partition.
    pub fn in_force(&self, lane: u32, version: String, source: String) {
        self.0.send_modify(|state| {
            state.by_lane.insert(lane, version.clone());
            (state.version, state.source) = (version, source);
        });
    }
    /// Version and source that came into force last; empty if none has.
    pub fn current(&self) -> (String, String) {
        let state = self.0.borrow();
        (state.version.clone(), state.source.clone())
    }
    /// Waits until `version` is in force in all of `lanes` partitions.
    pub async fn wait(&self, version: &str, lanes: u32) {
        let mut receiver = self.0.subscribe();
        let everywhere = |state: &InForce| {
            state.by_lane.len() >= lanes as usize && state.by_lane.values().all(|held| held == version)
        };
        // The sender lives in `self`, so this cannot fail.
        let _ = receiver.wait_for(everywhere).await;
    }
}

#[derive(Default)]
struct Kept {
    recent: VecDeque<(u64, Arc<Decision>)>,
    latest: FxHashMap<SupplierId, Arc<Decision>>,
    next: u64,
}

/// Recent decisions, and the last one of each supplier.
#[derive(Clone, Default)]
pub struct Decisions(Arc<RwLock<Kept>>);

impl Decisions {
    /// Adds the decision at `offset`; repeats are ignored.
    pub fn add(&self, offset: u64, decision: Decision) {
        let mut kept = self.0.write();
        if offset < kept.next {
            return;
        }
        kept.next = offset + 1;
        let decision = Arc::new(decision);
        kept.latest.insert(decision.supplier.clone(), decision.clone());
        kept.recent.push_back((offset, decision));
        if kept.recent.len() > DECISIONS_KEPT {
            kept.recent.pop_front();
        }
    }
    /// The last decision of a supplier.
    pub fn latest(&self, supplier: &SupplierId) -> Option<Arc<Decision>> {
        self.0.read().latest.get(supplier).cloned()
    }
    /// Up to `limit` decisions before offset `before`, newest first.
    pub fn list(
        &self,
        supplier: Option<&SupplierId>,
        before: Option<u64>,
        limit: usize,
    ) -> Vec<(u64, Arc<Decision>)> {
        let kept = self.0.read();
        let wanted = kept.recent.iter().rev().filter(|(offset, decision)| {
            before.is_none_or(|before| *offset < before) && supplier.is_none_or(|id| *id == decision.supplier)
        });
        wanted.take(limit).cloned().collect()
    }
    /// Who a restriction in force belongs to.
    pub fn supplier_of(&self, restriction: &str) -> Option<SupplierId> {
        let kept = self.0.read();
        let holds = |decision: &&Arc<Decision>| decision.in_force.iter().any(|r| r.id == restriction);
        kept.latest.values().find(holds).map(|decision| decision.supplier.clone())
    }
    /// Every supplier with anything in force, with its last decision.
    pub fn in_force(&self) -> Vec<Arc<Decision>> {
        self.0.read().latest.values().filter(|decision| !decision.in_force.is_empty()).cloned().collect()
    }
}
