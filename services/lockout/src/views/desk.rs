//! What waits for a person, how rules have fared, and what holds rules back.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use parking_lot::RwLock;
use stockade_model::{SupplierId, Timestamp};
use tokio::sync::watch;

use crate::{
    arbiter::{Exceeded, Kill, Overrides, Review, ReviewChange, ReviewKind, RuleDay},
    evaluation::ShadowDay,
    metrics,
};

/// What waits for a person, how rules have fared, and what holds rules back, as the folds tell of them.
#[derive(Clone, Default)]
pub struct Desk(Arc<RwLock<DeskData>>);

/// Where a review stands in the order in which they are handed out.
type Place = (ReviewKind, Timestamp, String);

#[derive(Default)]
struct DeskData {
    reviews: BTreeMap<Place, Arc<Review>>,
    places: BTreeMap<String, Place>,
    /// How many of each kind are open.
    open: BTreeMap<ReviewKind, usize>,
    /// The open reviews of each supplier that has any.
    of: BTreeMap<SupplierId, BTreeSet<Place>>,
    days: BTreeMap<(String, i64), RuleDay>,
    shadow: BTreeMap<(String, i64), BTreeMap<u32, ShadowDay>>,
    /// What holds rules back, of each as it was written then.
    exceeded: BTreeMap<String, Exceeded>,
    /// Content hashes of the rules in force, by rule; none as long as nobody knows them.
    contents: Option<BTreeMap<String, String>>,
    kill: Option<Kill>,
    /// What people decided over the heads of rules, of those of whom they did.
    overrides: BTreeMap<SupplierId, Overrides>,
    /// How often any of it was changed.
    revision: u64,
    /// Wakes whoever shows what holds rules back.
    alarms: watch::Sender<()>,
}

impl DeskData {
    fn open(&mut self, review: Review) {
        let place = (review.kind, review.due_at, review.id.clone());
        self.of.entry(review.supplier.clone()).or_default().insert(place.clone());
        self.places.insert(review.id.clone(), place.clone());
        self.count(review.kind, |open| open + 1);
        self.reviews.insert(place, Arc::new(review));
    }
    fn count(&mut self, kind: ReviewKind, change: impl FnOnce(usize) -> usize) {
        let open = self.open.entry(kind).or_default();
        *open = change(*open);
        metrics::reviews_open(kind, *open);
    }
    fn close(&mut self, id: &str) {
        let Some(place) = self.places.remove(id) else { return };
        let Some(review) = self.reviews.remove(&place) else { return };
        self.count(review.kind, |open| open.saturating_sub(1));
        if let Some(of) = self.of.get_mut(&review.supplier) {
            of.remove(&place);
            if of.is_empty() {
                self.of.remove(&review.supplier);
            }
        }
    }
    /// What holds rules back that are in force: what held one back that is written otherwise by now, or gone, holds back none. As
    /// long as nobody knows which are in force, all of it.
    fn held_back(&self) -> impl Iterator<Item = (&String, &Exceeded)> + Clone {
        self.exceeded.iter().filter(|(rule, exceeded)| {
            let in_force =
                |contents: &BTreeMap<String, String>| contents.get(*rule) == Some(&exceeded.content);
            self.contents.as_ref().is_none_or(in_force)
        })
    }
    fn alarm(&self) {
        metrics::held_back(&self.held_back().map(|(_, exceeded)| exceeded));
        self.alarms.send_replace(());
    }
}

impl Desk {
    /// A review opened, changed or closed.
    pub fn review(&self, change: ReviewChange) {
        let mut held = self.0.write();
        held.revision += 1;
        match change {
            ReviewChange::Open(review) => {
                held.close(&review.id);
                held.open(*review);
            }
            ReviewChange::Closed(id) => held.close(&id),
        }
    }
    /// What became of a rule's proposals on a day.
    pub fn day(&self, rule: String, day: i64, counts: RuleDay) {
        self.0.write().days.insert((rule, day), counts);
    }
    /// How a rule in shadow compares on a day in a partition.
    pub fn shadow(&self, partition: u32, rule: String, day: i64, counts: ShadowDay) {
        self.0.write().shadow.entry((rule, day)).or_default().insert(partition, counts);
    }
    /// Something holds a rule back, or it may act again.
    pub fn budget(&self, rule: String, exceeded: Option<Exceeded>) {
        let mut held = self.0.write();
        match exceeded {
            Some(exceeded) => drop(held.exceeded.insert(rule, exceeded)),
            None => drop(held.exceeded.remove(&rule)),
        }
        held.alarm();
    }
    /// Other rules are in force: the content hash of each.
    pub fn rules_in_force(&self, contents: BTreeMap<String, String>) {
        let mut held = self.0.write();
        // Every partition tells of them, one after the other.
        if held.contents.as_ref() != Some(&contents) {
            held.contents = Some(contents);
            held.alarm();
        }
    }
    /// The kill switch was turned.
    pub fn turned(&self, kill: Kill) {
        metrics::kill_switch(&kill);
        let mut held = self.0.write();
        held.kill = Some(kill);
        held.alarms.send_replace(());
    }
    /// Told whenever a rule is held back or may act again, other rules are in force, or the kill switch is turned.
    pub fn alarms(&self) -> watch::Receiver<()> {
        self.0.read().alarms.subscribe()
    }
    /// What people decided of a supplier over the heads of rules is another.
    pub fn overridden(&self, supplier: SupplierId, overrides: Overrides) {
        let mut held = self.0.write();
        if overrides == Overrides::default() {
            held.overrides.remove(&supplier);
        } else {
            held.overrides.insert(supplier, overrides);
        }
    }

    /// Up to `limit` suppliers after `after` of whom people decided something over the heads of rules, by their ids.
    pub fn overrides(&self, after: Option<&SupplierId>, limit: usize) -> Vec<(SupplierId, Overrides)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let held = self.0.read();
        let found = held.overrides.range::<SupplierId, _>((from, Bound::Unbounded)).take(limit);
        found.map(|(supplier, overrides)| (supplier.clone(), overrides.clone())).collect()
    }
    /// The kill switch, if it was ever turned.
    pub fn kill(&self) -> Option<Kill> {
        self.0.read().kill.clone()
    }
    /// What holds rules back that are in force.
    pub fn exceeded(&self) -> BTreeMap<String, Exceeded> {
        let held = self.0.read();
        held.held_back().map(|(rule, exceeded)| (rule.clone(), exceeded.clone())).collect()
    }
    /// A review.
    pub fn get(&self, id: &str) -> Option<Arc<Review>> {
        let held = self.0.read();
        held.places.get(id).and_then(|place| held.reviews.get(place)).cloned()
    }
    /// Differs when a review was opened, changed or closed, and begins anew with the process.
    pub fn revision(&self) -> u64 {
        self.0.read().revision
    }
    /// The first `limit` open reviews of a kind, of a supplier, or of all, in the order in which they are handed out, and
    /// how many there are.
    pub fn reviews(
        &self,
        kind: Option<ReviewKind>,
        supplier: Option<&SupplierId>,
        limit: usize,
    ) -> (Vec<Arc<Review>>, usize) {
        let held = self.0.read();
        let wanted = |place: &&Place| kind.is_none_or(|kind| kind == place.0);
        let none = BTreeSet::new();
        let (mut first, mut open) = (Vec::new(), 0);
        let mut take = |place: &Place| {
            if open < limit {
                first.extend(held.reviews.get(place).cloned());
            }
            open += 1;
        };
        match supplier {
            Some(supplier) => {
                held.of.get(supplier).unwrap_or(&none).iter().filter(wanted).for_each(&mut take)
            }
            None => held.reviews.keys().filter(wanted).for_each(&mut take),
        }
        (first, open)
    }
    /// How a rule has fared since a day: each day with what became of its proposals and how its shadow compares.
    pub fn fared(&self, rule: &str, since: i64) -> BTreeMap<i64, (RuleDay, ShadowDay)> {
        let held = self.0.read();
        let range = (rule.to_owned(), since)..=(rule.to_owned(), i64::MAX);
        let mut days: BTreeMap<i64, (RuleDay, ShadowDay)> = BTreeMap::new();
        for ((_, day), counts) in held.days.range(range.clone()) {
            days.entry(*day).or_default().0 = *counts;
        }
        for ((_, day), partitions) in held.shadow.range(range) {
            let sum = &mut days.entry(*day).or_default().1;
            for counts in partitions.values() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbiter::HeldBy;

    fn held(content: &str) -> Exceeded {
        Exceeded {
            at: Timestamp::from_ms(1),
            content: content.to_owned(),
            detail: "the budget of wide".to_owned(),
            suspect: None,
            stopped_by: None,
            caps: false,
        }
    }

    fn rules(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(rule, content)| ((*rule).to_owned(), (*content).to_owned())).collect()
    }

    #[test]
    fn what_held_a_rule_back_is_no_alert_once_the_rule_is_written_otherwise_or_gone() {
        let desk = Desk::default();
        let shown = || desk.exceeded().into_values().map(|held| held.content).collect::<Vec<_>>();
        desk.budget("wide".to_owned(), Some(held("a")));
        assert_eq!(shown(), ["a"], "all of it, as long as nobody knows which rules are in force");
        desk.rules_in_force(rules(&[("wide", "a"), ("other", "b")]));
        assert_eq!(shown(), ["a"]);
        let alarms = desk.alarms();
        assert!(!alarms.has_changed().unwrap());
        desk.rules_in_force(rules(&[("wide", "a"), ("other", "b")]));
        assert!(!alarms.has_changed().unwrap(), "the next partition tells the same");
        desk.rules_in_force(rules(&[("wide", "c"), ("other", "b")]));
        assert!(alarms.has_changed().unwrap() && shown().is_empty(), "it is written otherwise");
        // Late proposals of the former rule exceed a budget that is no longer in force.
        desk.budget("wide".to_owned(), Some(held("a")));
        assert!(shown().is_empty());
        desk.budget("wide".to_owned(), Some(held("c")));
        assert_eq!(shown(), ["c"], "the rewritten one is another alert");
        desk.rules_in_force(rules(&[("other", "b")]));
        assert!(shown().is_empty(), "it is gone, and nobody could rearm it");
        desk.rules_in_force(rules(&[("wide", "c")]));
        assert_eq!(shown(), ["c"], "rolled back to, it is held back as before");
        desk.budget("wide".to_owned(), None);
        assert!(shown().is_empty());
    }

    #[test]
    fn what_holds_a_rule_back_is_a_budget_suspect_evidence_or_a_person() {
        let (mut suspect, mut stopped) = (held("a"), held("a"));
        suspect.suspect = Some("evidence".to_owned());
        stopped.stopped_by = Some("ann".to_owned());
        let by = [held("a"), suspect, stopped].map(|held| held.held_by());
        assert_eq!(by, [HeldBy::Budget, HeldBy::Suspect, HeldBy::Stopped]);
    }
}
