//! Recent decisions, and the last one of each supplier.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use stockade_model::{Decision, Position, SupplierId};
use tokio::sync::watch;

/// Decisions kept for listing; older ones are in the log for ever.
const DECISIONS_KEPT: usize = 20_000;

/// A decision with its offset.
type Kept = (u64, Arc<Decision>);

#[derive(Default)]
struct Held {
    recent: VecDeque<Kept>,
    /// The recent ones by supplier, oldest first.
    of: FxHashMap<SupplierId, VecDeque<Kept>>,
    latest: FxHashMap<SupplierId, Arc<Decision>>,
    /// Whose each restriction in force is.
    holders: FxHashMap<String, SupplierId>,
    next: u64,
}

/// The decisions, as they lie in the log. Cheap to clone.
#[derive(Clone)]
pub struct Decisions {
    held: Arc<RwLock<Held>>,
    /// Order of the last decision that is held.
    seen: watch::Sender<(u32, u64, u32)>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self { held: Arc::default(), seen: watch::Sender::new((0, 0, 0)) }
    }
}

impl Decisions {
    /// Adds the decision at `offset`; repeats are ignored.
    pub fn add(&self, offset: u64, decision: Decision) {
        let mut held = self.held.write();
        if offset < held.next {
            return;
        }
        held.next = offset + 1;
        let (order, supplier, decision) =
            (decision.version.order(), decision.supplier.clone(), Arc::new(decision));
        for restriction in &decision.in_force {
            held.holders.insert(restriction.id.clone(), supplier.clone());
        }
        if let Some(before) = held.latest.insert(supplier.clone(), decision.clone()) {
            let gone = |id: &String| decision.in_force.iter().all(|r| r.id != *id);
            for id in before.in_force.iter().map(|r| &r.id).filter(|id| gone(id)) {
                held.holders.remove(id);
            }
        }
        held.recent.push_back((offset, decision.clone()));
        held.of.entry(supplier).or_default().push_back((offset, decision));
        if held.recent.len() > DECISIONS_KEPT
            && let Some((_, oldest)) = held.recent.pop_front()
            && let Some(of) = held.of.get_mut(&oldest.supplier)
        {
            of.pop_front();
            if of.is_empty() {
                held.of.remove(&oldest.supplier);
            }
        }
        drop(held);
        self.seen.send_modify(|seen| *seen = order.max(*seen));
    }
    /// Waits until the decision at `version` is here, and so all before it.
    pub async fn wait(&self, version: &Position) {
        let mut receiver = self.seen.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = receiver.wait_for(|seen| *seen >= version.order()).await;
    }
    /// The last decision of a supplier.
    pub fn latest(&self, supplier: &SupplierId) -> Option<Arc<Decision>> {
        self.held.read().latest.get(supplier).cloned()
    }
    /// Up to `limit` decisions before offset `before`, newest first.
    pub fn list(&self, supplier: Option<&SupplierId>, before: Option<u64>, limit: usize) -> Vec<Kept> {
        let held = self.held.read();
        let none = VecDeque::new();
        let of = supplier.map_or(&held.recent, |supplier| held.of.get(supplier).unwrap_or(&none));
        // Offsets only grow, so where to begin is found by halving.
        let end = before.map_or(of.len(), |before| of.partition_point(|(offset, _)| *offset < before));
        of.range(..end).rev().take(limit).cloned().collect()
    }
    /// The decision that began a restriction, among those kept.
    pub fn beginning(&self, restriction: &str) -> Option<Arc<Decision>> {
        let held = self.held.read();
        let began =
            |decision: &Arc<Decision>| decision.restriction.as_ref().is_some_and(|r| r.id == restriction);
        held.recent.iter().map(|(_, decision)| decision).find(|decision| began(decision)).cloned()
    }
    /// Calls `each` with all decisions that are kept, oldest first.
    pub fn for_each(&self, mut each: impl FnMut(&Decision)) {
        self.held.read().recent.iter().for_each(|(_, decision)| each(decision));
    }
    /// Who a restriction in force belongs to.
    pub fn supplier_of(&self, restriction: &str) -> Option<SupplierId> {
        self.held.read().holders.get(restriction).cloned()
    }
}
