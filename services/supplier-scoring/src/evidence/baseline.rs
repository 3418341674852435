//! What peers' orders bring: hazards by age of the order, learnt from suppliers that are not under suspicion, and how much
//! a region, a category, or a category in a region differs, lately or for long.
//!
//! A region is compared with what its mix of categories brings, and a category in a region is drawn towards both factors
//! multiplied: a kind of good that goes wrong three times as often by nature is known as such after days from all who sell
//! it, long before those of one region would show it.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use stockade_model::{EvidenceCounts, PeerFact, TestCounts, TestFact};

use super::{AGES, Test, age_width};

/// The cohort of all suppliers.
pub(crate) const ALL: &str = "*";
/// Orders that the published usual rates weigh as much as, before peers are known.
const PRIOR_ORDERS: f64 = 500.0;
/// Orders of all suppliers from which on claims are compared with peers; before that only attested facts count.
const WARM_ORDERS: f64 = 2_000.0;
/// Expected evidence of a cohort at which its own rate weighs as much as what is presumed without it.
const SHRINK: f64 = 10.0;
/// How far a cohort may differ.
const FACTOR: (f64, f64) = (0.25, 30.0);

/// A sum that a fact tells, where it can be one. What cannot (less than nothing, infinite, no number) is as if it had not been
/// told: the published usual rates stand in. Taken as it is it would stay in every statistic that it ever touched.
fn counted(sum: f64) -> f64 {
    if sum.is_finite() && sum >= 0.0 { sum } else { 0.0 }
}

/// The kinds of narrower cohort, told by their names: `DE`, `*/books` and `DE/books`.
fn parts(cohort: &str) -> (Option<&str>, Option<&str>) {
    match cohort.split_once('/') {
        None => (Some(cohort), None),
        Some((ALL, category)) => (None, Some(category)),
        Some((region, category)) => (Some(region), Some(category)),
    }
}

/// The cohorts of an order beside that of all suppliers: its region, its category, and both.
pub(crate) fn cohorts_of(region: Option<&str>, category: Option<&str>) -> Vec<String> {
    let category_of = |region: &str| category.map(|category| format!("{region}/{category}"));
    let both = region.and_then(category_of);
    region.map(str::to_owned).into_iter().chain(category_of(ALL)).chain(both).collect()
}

/// What was seen and what the rates of all suppliers would have brought, for long and lately, of one test.
#[derive(Clone, Copy, Debug, Default)]
struct Compared {
    seen: f64,
    expected: f64,
    lately: (f64, f64),
}

impl Compared {
    /// The factor, drawn towards `prior`.
    fn factor(&self, prior: f64) -> f64 {
        let long = (self.seen + SHRINK * prior) / (self.expected + SHRINK);
        // A wave of this week and the last raises what is expected; a lull does not lower it.
        let lately = (self.lately.0 + SHRINK * long) / (self.lately.1 + SHRINK);
        long.max(lately).clamp(FACTOR.0, FACTOR.1)
    }
}

/// Hazards as they are known in a scoring partition; derived from the facts of the peers fold, whatever their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hazards {
    /// By test, per order and day, by class of age.
    all: Vec<[f64; AGES]>,
    /// Orders that all suppliers' figures rest on.
    orders: f64,
    /// By cohort and test.
    compared: FxHashMap<String, Vec<Compared>>,
    /// By cohort and test.
    factors: FxHashMap<String, Vec<f64>>,
}

impl Hazards {
    /// What `tests` expect of peers by these facts.
    pub(crate) fn new<'a>(tests: &[Test], facts: impl Iterator<Item = &'a PeerFact>) -> Self {
        let mut hazards = Self::default();
        hazards.learn_all(tests, &PeerFact::default());
        for fact in facts {
            match fact.cohort == ALL {
                true => hazards.learn_all(tests, fact),
                false => hazards.compare(tests, fact),
            }
        }
        let cohorts: Vec<String> = hazards.compared.keys().cloned().collect();
        let (both, wide): (Vec<String>, Vec<String>) =
            cohorts.into_iter().partition(|cohort| matches!(parts(cohort), (Some(_), Some(_))));
        wide.iter().chain(&both).for_each(|cohort| hazards.derive(cohort));
        hazards
    }

    fn learn_all(&mut self, tests: &[Test], fact: &PeerFact) {
        let of = |test: &Test| {
            let empty = TestFact::default();
            let known = fact.evidence.get(&test.name).unwrap_or(&empty);
            std::array::from_fn(|class| {
                let at = |list: &[f64]| list.get(class).copied().map_or(0.0, counted);
                let width = age_width(class);
                (at(&known.seen) + PRIOR_ORDERS * test.usual[class] * width)
                    / (at(&known.at_risk) + PRIOR_ORDERS * width)
            })
        };
        self.all = tests.iter().map(of).collect();
        self.orders = fact
            .evidence
            .values()
            .filter_map(|test| test.at_risk.first())
            .fold(0.0, |most: f64, n| most.max(counted(*n)));
    }

    /// Takes what a fact says.
    pub(crate) fn learn(&mut self, tests: &[Test], fact: &PeerFact) {
        if fact.cohort == ALL {
            self.learn_all(tests, fact);
            return;
        }
        self.compare(tests, fact);
        self.derive(&fact.cohort);
        let within = |cohort: &str| match (parts(&fact.cohort), parts(cohort)) {
            ((Some(region), None), (of, Some(_))) => of == Some(region),
            ((None, category), (Some(_), of)) => of == category,
            _ => false,
        };
        let drawn: Vec<String> = self.compared.keys().filter(|cohort| within(cohort)).cloned().collect();
        drawn.iter().for_each(|cohort| self.derive(cohort));
    }

    fn compare(&mut self, tests: &[Test], fact: &PeerFact) {
        let of = |test: &Test| {
            let known = fact.evidence.get(&test.name);
            known.map_or_else(Compared::default, |known| Compared {
                seen: known.seen.first().copied().map_or(0.0, counted),
                expected: counted(known.expected),
                lately: (counted(known.lately.0), counted(known.lately.1)),
            })
        };
        self.compared.insert(fact.cohort.clone(), tests.iter().map(of).collect());
    }

    /// The factors of a cohort, from what is known of it and of those around it.
    fn derive(&mut self, cohort: &str) {
        let Some(compared) = self.compared.get(cohort) else { return };
        let (region, category) = parts(cohort);
        let factor = |(number, compared): (usize, &Compared)| {
            let prior = match (region, category) {
                (Some(region), Some(category)) => self.product(region, category, number),
                _ => 1.0,
            };
            compared.factor(prior)
        };
        let factors = compared.iter().enumerate().map(factor).collect();
        self.factors.insert(cohort.to_owned(), factors);
    }

    /// What is presumed of a category in a region.
    fn product(&self, region: &str, category: &str, test: usize) -> f64 {
        self.factor(region, test) * self.factor(&format!("{ALL}/{category}"), test)
    }

    pub(super) fn factor(&self, cohort: &str, test: usize) -> f64 {
        self.factors.get(cohort).and_then(|of| of.get(test)).copied().unwrap_or(1.0)
    }

    /// Whether enough is known of peers to hold claims against them.
    pub(crate) fn warm(&self) -> bool {
        self.orders >= WARM_ORDERS
    }

    /// Adds to `sums`, by test, what orders of a cohort bring on one day, and to `base` what they would bring if it were
    /// like all.
    pub(crate) fn expect(&self, cohort: &[String], orders: &[f64; AGES], sums: &mut [f64], base: &mut [f64]) {
        // The narrowest; until that is known, those around it.
        let narrow = cohort.last().and_then(|one| self.factors.get(one));
        for (number, hazard) in self.all.iter().enumerate() {
            let expected: f64 = orders.iter().zip(hazard).map(|(orders, hazard)| orders * hazard).sum();
            let factor = match narrow {
                Some(factors) => factors.get(number).copied().unwrap_or(1.0),
                None => cohort.iter().map(|one| self.factor(one, number)).product(),
            };
            sums[number] += expected * factor;
            base[number] = expected;
        }
    }

    /// What orders of a cohort of which all suppliers' rates would bring `base` are compared with: of a region, what its
    /// mix of categories brings.
    pub(crate) fn compared_with(&self, one: &str, cohort: &[String], test: usize, base: f64) -> f64 {
        let category = cohort.iter().find(|of| matches!(parts(of), (None, Some(_))));
        match (parts(one), category) {
            ((Some(_), None), Some(category)) => base * self.factor(category, test),
            _ => base,
        }
    }
}

/// What a scoring partition has gathered for a cohort since it last told the peers fold. By class of age for all
/// suppliers, in one sum for narrower cohorts.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sums {
    at_risk: Vec<f64>,
    at_risk_suspect: Vec<f64>,
    tests: Vec<TestCounts>,
}

impl Sums {
    fn shape(&mut self, tests: usize, classes: usize) {
        self.at_risk.resize(classes, 0.0);
        self.at_risk_suspect.resize(classes, 0.0);
        self.tests.resize(tests, TestCounts::default());
    }

    /// Orders of all suppliers that were at risk for a day.
    pub(crate) fn at_risk_by_age(&mut self, tests: usize, orders: &[f64; AGES], suspect: bool) {
        self.shape(tests, AGES);
        let sums = if suspect { &mut self.at_risk_suspect } else { &mut self.at_risk };
        sums.iter_mut().zip(orders).for_each(|(sum, orders)| *sum += orders);
    }

    /// Orders of a narrower cohort that were at risk for a day, and what they would have brought if it were like all.
    pub(crate) fn at_risk(
        &mut self,
        orders: &[f64; AGES],
        tests: usize,
        base: impl Iterator<Item = f64>,
        suspect: bool,
    ) {
        self.shape(tests, 1);
        let sums = if suspect { &mut self.at_risk_suspect } else { &mut self.at_risk };
        sums[0] += orders.iter().sum::<f64>();
        for (test, base) in self.tests.iter_mut().zip(base) {
            *(if suspect { &mut test.expected_suspect } else { &mut test.expected }) += base;
        }
    }

    /// A piece of evidence.
    pub(crate) fn saw(
        &mut self,
        (tests, test): (usize, usize),
        (classes, class): (usize, usize),
        weight: f64,
        suspect: bool,
    ) {
        self.shape(tests, classes);
        let of = &mut self.tests[test];
        let seen = if suspect { &mut of.seen_suspect } else { &mut of.seen };
        seen.resize(classes, 0.0);
        seen[class] += weight;
    }

    /// As it is sent; `None` when there is nothing.
    pub(crate) fn counts(self, tests: &[Test]) -> Option<EvidenceCounts> {
        if self.at_risk.is_empty() {
            return None;
        }
        let by_name = tests.iter().map(|test| test.name.clone()).zip(self.tests).collect();
        Some(EvidenceCounts { at_risk: self.at_risk, at_risk_suspect: self.at_risk_suspect, tests: by_name })
    }
}

/// What the peers fold keeps of a cohort: evidence by week.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Weeks {
    weeks: BTreeMap<i64, EvidenceCounts>,
    /// Sums as the last fact had them, to tell whether there is news.
    told: Vec<f64>,
}

/// Weeks of evidence that say how peers fare.
const WEEKS: i64 = 12;
/// Most of the exposure that may be left out because its suppliers are under suspicion: past it each one that is locked
/// would make the next look worse.
const LEFT_OUT: f64 = 0.1;
/// A sum is news when it has changed by this share.
const NEWS: f64 = 1.05;

fn add(sums: &mut Vec<f64>, more: &[f64]) {
    sums.resize(sums.len().max(more.len()), 0.0);
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// Adds counts to counts.
fn gather(sums: &mut EvidenceCounts, more: &EvidenceCounts) {
    add(&mut sums.at_risk, &more.at_risk);
    add(&mut sums.at_risk_suspect, &more.at_risk_suspect);
    for (name, more) in &more.tests {
        let test = sums.tests.entry(name.clone()).or_default();
        add(&mut test.seen, &more.seen);
        add(&mut test.seen_suspect, &more.seen_suspect);
        test.expected += more.expected;
        test.expected_suspect += more.expected_suspect;
    }
}

fn mixed(own: &[f64], suspect: &[f64], share: f64) -> Vec<f64> {
    let mut sums = own.to_vec();
    add(&mut sums, &suspect.iter().map(|value| value * share).collect::<Vec<_>>());
    sums
}

impl Weeks {
    /// Adds what a partition has gathered in a week.
    pub(crate) fn add(&mut self, week: i64, counts: &EvidenceCounts) {
        gather(self.weeks.entry(week).or_default(), counts);
        let newest = self.weeks.last_key_value().map_or(week, |(week, _)| *week);
        self.weeks.retain(|week, _| newest - week < WEEKS);
    }

    /// How evidence arises, by test, if that is news.
    pub(crate) fn news(&mut self, wide: bool) -> Option<BTreeMap<String, TestFact>> {
        let newest = *self.weeks.last_key_value()?.0;
        let mut all = EvidenceCounts::default();
        let mut lately: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        let sum = |list: &[f64]| list.iter().sum::<f64>();
        for (week, counts) in &self.weeks {
            gather(&mut all, counts);
            // A wave takes most suppliers with it, and so under suspicion: here all are counted.
            for (name, more) in counts.tests.iter().filter(|_| newest - week < 2) {
                let of = lately.entry(name).or_default();
                of.0 += sum(&more.seen) + sum(&more.seen_suspect);
                of.1 += more.expected + more.expected_suspect;
            }
        }
        let (own, suspect) = (sum(&all.at_risk), sum(&all.at_risk_suspect));
        let beyond = (suspect - LEFT_OUT * (own + suspect)).max(0.0);
        let share = if suspect > 0.0 { beyond / suspect } else { 0.0 };
        let at_risk = mixed(&all.at_risk, &all.at_risk_suspect, share);
        let mut sums = vec![sum(&at_risk)];
        let facts: BTreeMap<String, TestFact> = all
            .tests
            .iter()
            .map(|(name, test)| {
                let fact = TestFact {
                    at_risk: if wide { at_risk.clone() } else { Vec::new() },
                    seen: mixed(&test.seen, &test.seen_suspect, share),
                    expected: test.expected + test.expected_suspect * share,
                    lately: if wide {
                        (0.0, 0.0)
                    } else {
                        lately.get(name.as_str()).copied().unwrap_or_default()
                    },
                };
                sums.extend([sum(&fact.seen), fact.expected, fact.lately.0]);
                (name.clone(), fact)
            })
            .collect();
        // Small sums change by large shares and say little.
        let changed = |(now, told): (&f64, &f64)| {
            let (now, told) = (now + 1.0, told + 1.0);
            now > told * NEWS || now * NEWS < told
        };
        if self.told.len() == sums.len() && !sums.iter().zip(&self.told).any(changed) {
            return None;
        }
        self.told = sums;
        Some(facts)
    }
}
