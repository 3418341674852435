//! Peers: how the orders of a supplier's region and category fare, so that a wave that hits everybody counts against
//! nobody.
//!
//! Scoring partitions gather counts per cohort and send them on at most every quarter of an hour of record time. The peers
//! fold, keyed by cohort, adds them up by week, and answers with a fact to every scoring partition when the picture has
//! changed. A scoring partition stamps every settled order with the share of bad orders that its peers had at that moment:
//! summed over a window that is what was to be expected of the supplier.

use std::collections::{BTreeMap, BTreeSet};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{CohortCounts, Payload, PeerFact, Timestamp, Topic, time::DAY_MS};

/// Expected bad orders are kept in thousandths.
pub(crate) const EXPECTED_SCALE: f64 = 1_000.0;
/// Weeks that say how peers fare: this one and three before it.
const WEEKS: i64 = 4;
/// How often a partition sends a cohort's counts on.
const SEND_EVERY_MS: i64 = 15 * 60_000;
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
}

/// What a scoring partition knows of peers, and what it has gathered for them.
pub(crate) struct PeerView {
    known: Table<String, PeerFact>,
    gathered: Table<String, Gathered>,
    /// Derived.
    due: BTreeSet<(Timestamp, String)>,
}

impl PeerView {
    pub(crate) fn new(known: u8, gathered: u8) -> Self {
        Self { known: Table::new(known), gathered: Table::new(gathered), due: BTreeSet::new() }
    }

    pub(crate) fn learn(&mut self, fact: &PeerFact) {
        self.known.insert(fact.cohort.clone(), fact.clone());
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
            let due = &mut self.due;
            let gathered = self.gathered.edit_or(&cohort, || {
                let due_at = now.plus_ms(SEND_EVERY_MS);
                due.insert((due_at, cohort.clone()));
                Gathered { week: week(now), due: due_at, ..Gathered::default() }
            });
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
        let Some(Gathered { week, settled, spoiled, due }) = self.gathered.remove(cohort) else { return };
        self.due.remove(&(due, cohort.clone()));
        let counts = CohortCounts { cohort: cohort.clone(), week, settled, spoiled, evidence: None };
        out.emit(Topic::ScoringRekeyed, Dest::Key(cohort.clone()), Payload::Cohort(counts));
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }
    pub(crate) fn tables(&mut self) -> [&mut dyn AnyTable; 2] {
        [&mut self.known, &mut self.gathered]
    }
    pub(crate) fn restored(&mut self) {
        self.due = self.gathered.iter().map(|(cohort, gathered)| (gathered.due, cohort.clone())).collect();
    }
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Cohort {
    /// Settled and spoiled by week.
    weeks: BTreeMap<i64, (u64, u64)>,
    /// As the last fact had it.
    told: (u64, u64),
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
        if changed(sum.0, cohort.told.0) || changed(sum.1, cohort.told.1) {
            cohort.told = sum;
            let fact = PeerFact {
                cohort: counts.cohort.clone(),
                settled: sum.0,
                spoiled: sum.1,
                evidence: BTreeMap::new(),
            };
            out.emit(Topic::SupplierEvents, Dest::All, Payload::Peers(fact));
        }
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.cohorts]
    }
    fn restored(&mut self, _: &mut Vec<()>) {}
}
