//! Yardsticks that go wrong in an honest marketplace: what is usual among peers, a clock, a model. Each ends in a watch and not in
//! lock-outs: no more suppliers are ever withheld at once than the arbiter allows for one kind of evidence.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::json;
use stockade_lockout::STARTER_RULES;
use stockade_log::{ReadLimit, SharedLog};
use stockade_model::{Action, Change, Payload, PeerFact, SupplierId, Timestamp, Topic, time::HOUR_MS};
use stockade_simulator::market::{Plan, Spread, Step};
use stockade_supplier_scoring::DEFAULT_FEATURES;

use super::play::{Mistake, Played, Right, run_with};
use crate::evaluate::run::opening;

const SUPPLIERS: usize = 60;
/// Two in five, the arbiter's bound for what one kind of evidence withholds within a month, and the one with whom it is passed.
const WITHHELD_MAX: usize = SUPPLIERS * 2 / 5 + 1;
/// As few as the arbiter never takes for too many.
const FEW: usize = 10;

fn plan() -> Plan {
    Plan {
        seed: 7,
        start: Timestamp::parse("2026-01-05T00:00:00Z").unwrap(),
        days: 60,
        plain: SUPPLIERS,
        of_each_odd: 0,
        of_each_attack: 0,
        spread: Spread::Wide,
    }
}

/// When things go wrong: peers have been compared for a month.
fn wrong_from() -> Timestamp {
    plan().start.plus_ms(30 * 24 * HOUR_MS)
}

fn starter() -> Vec<Change> {
    opening(DEFAULT_FEATURES, Some(STARTER_RULES), None)
}

/// Most suppliers that were withheld at once, those withheld at the end, and how often a finding was lowered to a watch.
fn came_of(played: &Played) -> (usize, usize, usize) {
    assert_eq!(played.dead_letters, 0, "every fold can read what happens there");
    let (mut withheld, mut most, mut lowered) = (BTreeSet::<&SupplierId>::new(), 0, 0);
    for decision in &played.decisions {
        match decision.in_force.iter().any(|restriction| restriction.level.withholds()) {
            true => drop(withheld.insert(&decision.supplier)),
            false => drop(withheld.remove(&decision.supplier)),
        }
        most = most.max(withheld.len());
        lowered += usize::from(decision.action == Action::Lowered);
    }
    (most, withheld.len(), lowered)
}

/// Each thing that is told of peers is told again at once, changed.
struct Peers {
    read: u64,
    /// What was told here, which is not told again.
    own: BTreeMap<String, PeerFact>,
    change: fn(&mut PeerFact),
}

impl Peers {
    fn told(change: fn(&mut PeerFact)) -> Self {
        Self { read: 0, own: BTreeMap::new(), change }
    }
}

impl Mistake for Peers {
    fn after(&mut self, log: &SharedLog) -> Result<Vec<Payload>> {
        let topic = Topic::SupplierEvents.name();
        self.read = self.read.max(log.bounds(topic, 0)?.first);
        let mut told = Vec::new();
        while let Some(record) =
            log.read(topic, 0, self.read, ReadLimit { records: 1, ..ReadLimit::default() })?.first()
        {
            self.read = record.offset + 1;
            if record.time_ms < wrong_from().ms() {
                continue;
            }
            let Ok(Payload::Peers(mut fact)) = Payload::decode("stockade.scoring.peers", &record.value)
            else {
                continue;
            };
            if self.own.get(&fact.cohort) == Some(&fact) {
                continue;
            }
            (self.change)(&mut fact);
            self.own.insert(fact.cohort.clone(), fact.clone());
            told.push(Payload::Peers(fact));
        }
        Ok(told)
    }
}

/// Every event says it happened at another time than it did.
struct Clock(i64);

impl Mistake for Clock {
    fn step(&mut self, step: Step) -> Step {
        match step {
            Step::Event(mut event) if event.time >= wrong_from() => {
                event.time = event.time.plus_ms(self.0);
                Step::Event(event)
            }
            step => step,
        }
    }
}

#[test]
fn where_peers_are_told_to_have_no_bad_orders_at_all_findings_end_in_a_watch() {
    let zero = |fact: &mut PeerFact| {
        fact.spoiled = 0;
        for test in fact.evidence.values_mut() {
            test.seen.iter_mut().for_each(|seen| *seen = 0.0);
            (test.expected, test.lately) = (0.0, (0.0, 0.0));
        }
    };
    let mut peers = Peers::told(zero);
    let (most, last, lowered) = came_of(&run_with(&plan(), starter(), false, &mut peers).unwrap());
    assert!(!peers.own.is_empty(), "nothing was told of peers");
    assert!(most <= WITHHELD_MAX && last <= FEW, "{most} at once, {last} at the end, {lowered} lowered");
}

#[test]
fn where_peers_are_told_to_have_nothing_but_bad_orders_nobody_is_withheld_for_it() {
    let huge = |fact: &mut PeerFact| {
        fact.spoiled = fact.settled;
        for test in fact.evidence.values_mut() {
            test.seen.iter_mut().for_each(|seen| *seen = 1e300);
            (test.expected, test.lately) = (1e-300, (1e300, 1e-300));
        }
    };
    let right = came_of(&run_with(&plan(), starter(), false, &mut Right).unwrap());
    let mut peers = Peers::told(huge);
    let wrong = came_of(&run_with(&plan(), starter(), false, &mut peers).unwrap());
    assert!(!peers.own.is_empty(), "nothing was told of peers");
    assert!(wrong.0 <= right.0, "{wrong:?} where {right:?} come about by themselves");
}

#[test]
fn where_every_clock_is_an_hour_off_no_more_suppliers_are_withheld_than_otherwise() {
    let right = came_of(&run_with(&plan(), starter(), false, &mut Right).unwrap());
    assert!(right.0 <= FEW, "{right:?} of honest suppliers are withheld by themselves");
    for by_ms in [HOUR_MS, -HOUR_MS] {
        let wrong = came_of(&run_with(&plan(), starter(), false, &mut Clock(by_ms)).unwrap());
        assert!(
            wrong.0 <= right.0 + 1 && wrong.1 <= right.1 + 1,
            "{by_ms} ms off: {wrong:?}, else {right:?}"
        );
    }
}

#[test]
fn where_a_model_is_sure_of_everybody_all_but_a_few_end_in_a_watch() {
    let table = |feature: &str| json!({ "feature": feature, "cuts": [], "adds": [0.0], "unknown": 0.0, "shares": [1.0, 0.0] });
    let model = json!({
        "kind": "boosted_stumps/1",
        "origin": { "data": "", "features": "", "label_delay": "1d", "from": "", "until": "", "orders": 1, "bad": 1 },
        "held_out": { "orders": 1, "bad": 1, "average_precision": 1.0, "auc": 1.0, "log_loss": 0.0, "expected_to_seen": 1.0 },
        "base": 50.0, "tables": [], "score": table("score"), "calibration": [1.0, 0.0],
    });
    // By itself a model withholds nobody, for such a rule is not published. Beside a single attested cancellation, as here, it decides.
    let rules = format!(
        "{STARTER_RULES}\n  - id: sure\n    title: The model is sure\n    when: model.champion > 0.5 && cancellations.count_7d >= 1\n    floor: attested\n    level: lockout\n    for: 30d\n    reasons: [DEFECT_RATE]\n    evidence: model.champion\n    mode: live\n"
    );
    let played = run_with(
        &plan(),
        opening(DEFAULT_FEATURES, Some(&rules), Some(&model.to_string())),
        false,
        &mut Right,
    );
    let played = played.unwrap();
    let by_model = |restriction: &stockade_model::Restriction| {
        restriction.rule.as_ref().is_some_and(|rule| rule.id.as_str() == "sure")
    };
    let found = played.decisions.iter().filter(|decision| decision.in_force.iter().any(by_model));
    let found: BTreeSet<_> = found.map(|decision| &decision.supplier).collect();
    let (most, last, lowered) = came_of(&played);
    assert!(
        lowered > 0 && found.len() > WITHHELD_MAX,
        "the model found only {}: the play shows nothing",
        found.len()
    );
    assert!(most <= WITHHELD_MAX && last <= FEW, "{most} at once, {last} at the end, {lowered} lowered");
}
