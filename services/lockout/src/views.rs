//! What this process knows besides the folds: rule sets in force, what waits for a person, recent decisions.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use stockade_model::{Decision, SupplierId};
use tokio::sync::watch;

use crate::{
    arbiter::{Exceeded, Kill, Review, ReviewChange, RuleDay},
    control::{ControlEffect, RuleVersion},
    evaluation::ShadowDay,
};

/// Decisions kept for listing; older ones are in the log for ever.
const DECISIONS_KEPT: usize = 20_000;

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

/// The versions of the rules, as the control fold tells of them.
#[derive(Clone, Default)]
pub struct RuleVersions(Arc<RwLock<Versions>>);

#[derive(Default)]
struct Versions {
    known: BTreeMap<String, Arc<RuleVersion>>,
    stack: Vec<String>,
    draft: Option<Arc<RuleVersion>>,
    four_eyes: bool,
}

impl RuleVersions {
    /// Takes what the control fold tells.
    pub fn see(&self, effect: ControlEffect) {
        let mut held = self.0.write();
        match effect {
            ControlEffect::Judged { .. } => {}
            ControlEffect::Version(version) => {
                held.known.insert(version.version.clone(), Arc::new(*version));
            }
            ControlEffect::Stack(stack) => held.stack = stack,
            ControlEffect::Draft(draft) => held.draft = draft.map(|draft| Arc::new(*draft)),
            ControlEffect::FourEyes(on) => held.four_eyes = on,
        }
    }
    /// A version that was ever in force.
    pub fn get(&self, version: &str) -> Option<Arc<RuleVersion>> {
        self.0.read().known.get(version).cloned()
    }
    /// All of them, the newest first.
    pub fn all(&self) -> Vec<Arc<RuleVersion>> {
        let mut all: Vec<Arc<RuleVersion>> = self.0.read().known.values().cloned().collect();
        all.sort_by(|a, b| b.at.cmp(&a.at).then(a.version.cmp(&b.version)));
        all
    }
    /// What rolling back goes through, the one in force last.
    pub fn stack(&self) -> Vec<String> {
        self.0.read().stack.clone()
    }
    /// The set that waits for a second pair of eyes.
    pub fn draft(&self) -> Option<Arc<RuleVersion>> {
        self.0.read().draft.clone()
    }
    /// Whether a second pair of eyes is asked for.
    pub fn four_eyes(&self) -> bool {
        self.0.read().four_eyes
    }
}

/// What waits for a person, how rules have fared, and what holds rules back, as the folds tell of them.
#[derive(Clone, Default)]
pub struct Desk(Arc<RwLock<DeskData>>);

#[derive(Default)]
struct DeskData {
    reviews: BTreeMap<String, Arc<Review>>,
    days: BTreeMap<(String, i64), RuleDay>,
    shadow: BTreeMap<(String, i64), BTreeMap<u32, ShadowDay>>,
    exceeded: BTreeMap<String, Exceeded>,
    kill: Option<Kill>,
}

impl Desk {
    /// A review opened, changed or closed.
    pub fn review(&self, change: ReviewChange) {
        let mut held = self.0.write();
        match change {
            ReviewChange::Open(review) => {
                held.reviews.insert(review.id.clone(), Arc::new(*review));
            }
            ReviewChange::Closed(id) => {
                held.reviews.remove(&id);
            }
        }
    }
    /// What became of a rule's proposals on a day.
    pub fn day(&self, rule: String, day: i64, counts: RuleDay) {
        self.0.write().days.insert((rule, day), counts);
    }
    /// How a rule in shadow compares on a day in a partition; returns its hits of that day in all partitions.
    pub fn shadow(&self, lane: u32, rule: String, day: i64, counts: ShadowDay) -> u64 {
        let mut held = self.0.write();
        let lanes = held.shadow.entry((rule, day)).or_default();
        lanes.insert(lane, counts);
        lanes.values().map(|counts| counts.hits).sum()
    }
    /// A rule exceeded a budget, or may act again.
    pub fn budget(&self, rule: String, exceeded: Option<Exceeded>) {
        let mut held = self.0.write();
        match exceeded {
            Some(exceeded) => drop(held.exceeded.insert(rule, exceeded)),
            None => drop(held.exceeded.remove(&rule)),
        }
    }
    /// The kill switch was turned.
    pub fn turned(&self, kill: Kill) {
        self.0.write().kill = Some(kill);
    }

    /// The kill switch, if it was ever turned.
    pub fn kill(&self) -> Option<Kill> {
        self.0.read().kill.clone()
    }
    /// Rules that exceeded a budget and have not been rearmed.
    pub fn exceeded(&self) -> BTreeMap<String, Exceeded> {
        self.0.read().exceeded.clone()
    }
    /// A review.
    pub fn get(&self, id: &str) -> Option<Arc<Review>> {
        self.0.read().reviews.get(id).cloned()
    }
    /// Open reviews in the order in which they are handed out.
    pub fn reviews(&self) -> Vec<Arc<Review>> {
        let mut all: Vec<Arc<Review>> = self.0.read().reviews.values().cloned().collect();
        all.sort_by(|a, b| (a.kind, a.due_at, &a.id).cmp(&(b.kind, b.due_at, &b.id)));
        all
    }
    /// How a rule has fared since a day: each day with what became of its proposals and how its shadow compares.
    pub fn fared(&self, rule: &str, since: i64) -> BTreeMap<i64, (RuleDay, ShadowDay)> {
        let held = self.0.read();
        let range = (rule.to_owned(), since)..=(rule.to_owned(), i64::MAX);
        let mut days: BTreeMap<i64, (RuleDay, ShadowDay)> = BTreeMap::new();
        for ((_, day), counts) in held.days.range(range.clone()) {
            days.entry(*day).or_default().0 = *counts;
        }
        for ((_, day), lanes) in held.shadow.range(range) {
            let sum = &mut days.entry(*day).or_default().1;
            for counts in lanes.values() {
                sum.hits += counts.hits;
                sum.suppliers += counts.suppliers;
                sum.agreed += counts.agreed;
                sum.only_shadow += counts.only_shadow;
                sum.only_live += counts.only_live;
            }
        }
        days
    }
    /// Rules of which anything is known.
    pub fn rules(&self) -> Vec<String> {
        let held = self.0.read();
        let mut rules: Vec<String> =
            held.days.keys().chain(held.shadow.keys()).map(|(rule, _)| rule.clone()).collect();
        rules.sort();
        rules.dedup();
        rules
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
    /// The decision that began a restriction, among those kept.
    pub fn beginning(&self, restriction: &str) -> Option<Arc<Decision>> {
        let kept = self.0.read();
        let began =
            |decision: &Arc<Decision>| decision.restriction.as_ref().is_some_and(|r| r.id == restriction);
        kept.recent.iter().map(|(_, decision)| decision).find(|decision| began(decision)).cloned()
    }
    /// Calls `each` with all decisions that are kept, oldest first.
    pub fn for_each(&self, mut each: impl FnMut(&Decision)) {
        self.0.read().recent.iter().for_each(|(_, decision)| each(decision));
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
