//! Peers: how the orders of a supplier's region and category fare, so that a wave that hits everybody counts against
//! nobody.
//!
//! Scoring partitions gather counts per cohort and send them on every hour or six of record time. The peers
//! fold, keyed by cohort, adds them up by week, and answers with a fact to every scoring partition when the picture has
//! changed. A scoring partition stamps every settled order with the share of bad orders that its peers had at that moment:
//! summed over a window that is what was to be expected of the supplier.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    CohortCounts, Payload, PeerFact, Timestamp, Topic,
    time::{DAY_MS, HOUR_MS},
};

use crate::evidence::{self, AGES, Hazards, Sums, Test, Weeks};

/// Expected bad orders are kept in thousandths.
pub(crate) const EXPECTED_SCALE: f64 = 1_000.0;
/// Weeks that say how peers fare: this one and three before it.
const WEEKS: i64 = 4;
/// How often a partition sends the counts of all suppliers on, and those of a narrower cohort: there are many of these, and
/// what they tell is a matter of days.
const SEND_EVERY_MS: (i64, i64) = (HOUR_MS, 6 * HOUR_MS);
/// Orders of the cohort above at which a cohort's own rate weighs as much as that one's.
const SHRINK_ORDERS: f64 = 20.0;
/// Orders of all suppliers below which nothing is expected of anybody.
const ORDERS_MIN: u64 = 100;
/// Until then half of all orders may go wrong before anyone looks worse than the rest.
const UNKNOWN_RATE: f64 = 0.5;
/// A fact is sent when the orders seen have grown by this share.
const GROWN: f64 = 1.05;
/// The cohort of all suppliers.
const ALL: &str = "*";

/// Week of a time, from 1970-01-01.
pub(crate) fn week(at: Timestamp) -> i64 {
    at.ms().div_euclid(7 * DAY_MS)
}

/// The cohorts of an order, the widest first.
fn cohorts(region: Option<&str>, category: Option<&str>) -> Vec<String> {
    let mut cohorts = vec![ALL.to_owned()];
    if let Some(region) = region {
        cohorts.push(region.to_owned());
        cohorts.extend(category.map(|category| format!("{region}/{category}")));
    }
    cohorts
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Gathered {
    week: i64,
    settled: u64,
    spoiled: u64,
    /// When it is to be sent.
    due: Timestamp,
    /// Evidence of the tests in force.
    #[serde(default)]
    evidence: Sums,
}

/// What a scoring partition knows of peers, and what it has gathered for them.
pub(crate) struct PeerView {
    known: Table<String, PeerFact>,
    gathered: Table<String, Gathered>,
    /// Derived.
    due: BTreeSet<(Timestamp, String)>,
    /// Derived: the tests in force, and what they expect of peers.
    tests: Arc<[Test]>,
    hazards: Hazards,
    /// Room for what a cohort would bring if it were like all.
    base: Vec<f64>,
}

impl PeerView {
    pub(crate) fn new(known: u8, gathered: u8, tests: Arc<[Test]>) -> Self {
        Self {
            known: Table::new(known),
            gathered: Table::new(gathered),
            due: BTreeSet::new(),
            hazards: Hazards::new(&tests, std::iter::empty()),
            base: vec![0.0; tests.len()],
            tests,
        }
    }

    pub(crate) fn learn(&mut self, fact: &PeerFact) {
        self.known.insert(fact.cohort.clone(), fact.clone());
        self.hazards.learn(&self.tests, fact);
    }

    /// Other tests come into force: what was gathered for those before is sent first.
    pub(crate) fn use_tests<E>(&mut self, tests: &Arc<[Test]>, out: &mut Out<E>) {
        if *self.tests != **tests {
            let all: BTreeSet<String> = self.gathered.iter().map(|(cohort, _)| cohort.clone()).collect();
            all.iter().for_each(|cohort| self.send(cohort, out));
            self.set_tests(tests);
        }
    }

    fn set_tests(&mut self, tests: &Arc<[Test]>) {
        self.tests = tests.clone();
        self.base = vec![0.0; tests.len()];
        self.hazards = Hazards::new(tests, self.known.iter().map(|(_, fact)| fact));
    }

    /// Whether enough is known of peers to hold claims against them.
    pub(crate) fn warm(&self) -> bool {
        self.hazards.warm()
    }

    /// The same view for the evidence of one supplier, at `now`.
    pub(crate) fn at(&mut self, now: Timestamp) -> PeersNow<'_> {
        PeersNow { view: self, now }
    }

    /// What is gathered of a cohort in the week of `now`; it is sent some hours later.
    fn of_cohort<'a>(
        (gathered, due): (&'a mut Table<String, Gathered>, &mut BTreeSet<(Timestamp, String)>),
        cohort: &String,
        now: Timestamp,
    ) -> &'a mut Gathered {
        gathered.edit_or(cohort, || {
            let every_ms = if cohort == ALL { SEND_EVERY_MS.0 } else { SEND_EVERY_MS.1 };
            let due_at = now.plus_ms(every_ms);
            due.insert((due_at, cohort.clone()));
            Gathered { week: week(now), due: due_at, ..Gathered::default() }
        })
    }

    /// The share of bad orders among peers: a cohort's own, drawn towards that of the cohort around it.
    pub(crate) fn expected(&self, region: Option<&str>, category: Option<&str>) -> f64 {
        let mut rate = UNKNOWN_RATE;
        for cohort in cohorts(region, category) {
            let Some(fact) = self.known.get(&cohort) else { break };
            if cohort == ALL {
                if fact.settled < ORDERS_MIN {
                    break;
                }
                rate = fact.spoiled as f64 / fact.settled as f64;
            } else {
                rate = (fact.spoiled as f64 + SHRINK_ORDERS * rate) / (fact.settled as f64 + SHRINK_ORDERS);
            }
        }
        rate.clamp(0.001, 1.0)
    }

    /// Counts an outcome for its cohorts.
    pub(crate) fn gather<E>(
        &mut self,
        (region, category): (Option<&str>, Option<&str>),
        (settles, spoils): (bool, bool),
        now: Timestamp,
        out: &mut Out<E>,
    ) {
        for cohort in cohorts(region, category) {
            if self.gathered.get(&cohort).is_some_and(|gathered| gathered.week != week(now)) {
                self.send(&cohort, out);
            }
            let gathered = Self::of_cohort((&mut self.gathered, &mut self.due), &cohort, now);
            gathered.settled += u64::from(settles);
            gathered.spoiled += u64::from(spoils);
        }
    }

    /// Sends what is due.
    pub(crate) fn settle<E>(&mut self, now: Timestamp, out: &mut Out<E>) {
        while let Some(first) = self.due.first().filter(|(due, _)| *due <= now).cloned() {
            // Removed first, so that nothing can make this loop turn on the spot.
            self.due.remove(&first);
            self.send(&first.1, out);
        }
    }

    fn send<E>(&mut self, cohort: &String, out: &mut Out<E>) {
        let Some(gathered) = self.gathered.remove(cohort) else { return };
        let Gathered { week, settled, spoiled, due, evidence } = gathered;
        self.due.remove(&(due, cohort.clone()));
        let evidence = evidence.counts(&self.tests);
        let counts = CohortCounts { cohort: cohort.clone(), week, settled, spoiled, evidence };
        out.emit(Topic::ScoringRekeyed, Dest::Key(cohort.clone()), Payload::Cohort(counts));
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }
    pub(crate) fn tables(&mut self) -> [&mut dyn AnyTable; 2] {
        [&mut self.known, &mut self.gathered]
    }
    /// Derives what is not stored, for the tests in force.
    pub(crate) fn restored(&mut self, tests: &Arc<[Test]>) {
        self.set_tests(tests);
        self.due = self.gathered.iter().map(|(cohort, gathered)| (gathered.due, cohort.clone())).collect();
    }
}

/// What peers bring at a moment, and where what happens is gathered.
pub(crate) struct PeersNow<'a> {
    view: &'a mut PeerView,
    now: Timestamp,
}

impl PeersNow<'_> {
    /// What is gathered of a cohort; that of a week gone by waits to be sent, and is counted there.
    fn sums(&mut self, cohort: &String) -> &mut Sums {
        let PeerView { gathered, due, .. } = &mut *self.view;
        &mut PeerView::of_cohort((gathered, due), cohort, self.now).evidence
    }
}

impl evidence::Peers for PeersNow<'_> {
    fn expect(&mut self, cohort: &[String], orders: &[f64; AGES], suspect: bool, sums: &mut [f64]) {
        let mut base = std::mem::take(&mut self.view.base);
        self.view.hazards.expect(cohort, orders, sums, &mut base);
        self.sums(&ALL.to_owned()).at_risk_by_age(base.len(), orders, suspect);
        for one in cohort {
            let PeerView { gathered, due, hazards, .. } = &mut *self.view;
            let sums = &mut PeerView::of_cohort((gathered, due), one, self.now).evidence;
            let compared = |(test, base): (usize, &f64)| hazards.compared_with(one, cohort, test, *base);
            sums.at_risk(orders, base.len(), base.iter().enumerate().map(compared), suspect);
        }
        self.view.base = base;
    }

    fn saw(&mut self, cohort: &[String], test: usize, class: usize, weight: f64, suspect: bool) {
        let number = (self.view.tests.len(), test);
        self.sums(&ALL.to_owned()).saw(number, (AGES, class), weight, suspect);
        cohort.iter().for_each(|one| self.sums(one).saw(number, (1, 0), weight, suspect));
    }
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Cohort {
    /// Settled and spoiled by week.
    weeks: BTreeMap<i64, (u64, u64)>,
    /// As the last fact had it.
    told: (u64, u64),
    /// Evidence of the tests.
    #[serde(default)]
    evidence: Weeks,
    /// As the last fact had it.
    #[serde(default)]
    told_evidence: BTreeMap<String, stockade_model::TestFact>,
}

/// The fold: `scoring.rekeyed` by cohort, facts into every partition of `supplier.events`.
pub struct Peers {
    cohorts: Table<String, Cohort>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { cohorts: Table::new(1) }
    }
}

impl Fold for Peers {
    type Effect = ();

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<()>) {
        let Payload::Cohort(counts) = input.payload else { return };
        let cohort = self.cohorts.edit_or(&counts.cohort, Cohort::default);
        let of_week = cohort.weeks.entry(counts.week).or_default();
        of_week.0 += counts.settled;
        of_week.1 += counts.spoiled;
        let newest = cohort.weeks.last_key_value().map_or(counts.week, |(week, _)| *week);
        cohort.weeks.retain(|week, _| newest - week < WEEKS);
        let sum = cohort.weeks.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let changed =
            |now: u64, told: u64| now as f64 > told as f64 * GROWN || (now as f64) * GROWN < told as f64;
        let mut news = changed(sum.0, cohort.told.0) || changed(sum.1, cohort.told.1);
        if let Some(counts_of_tests) = &counts.evidence {
            cohort.evidence.add(counts.week, counts_of_tests);
            if let Some(facts) = cohort.evidence.news(counts.cohort == ALL) {
                (cohort.told_evidence, news) = (facts, true);
            }
        }
        if news {
            cohort.told = sum;
            let fact = PeerFact {
                cohort: counts.cohort.clone(),
                settled: sum.0,
                spoiled: sum.1,
                evidence: cohort.told_evidence.clone(),
            };
            out.emit(Topic::SupplierEvents, Dest::All, Payload::Peers(fact));
        }
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.cohorts]
    }
    fn restored(&mut self, _: &mut Vec<()>) {}
}
