//! What is known of one supplier: its open orders by day, and the state of every test.

use stockade_model::hash;

use super::{
    AGES, ALTERNATIVES, DAY_FULL, STANDS_OUT, SUSPICION, TELLS_MAX, TESTS_MAX, Test, age_class, bounded,
};

/// Kinds of cohort kept of one supplier; further ones are judged as of the widest.
const COHORTS_MAX: usize = 64;

/// What peers bring, and where what happens is gathered for them. A cohort is the names of a region and of a category in
/// it, the widest first; none is all suppliers.
pub(crate) trait Peers {
    /// Adds to `sums`, by test, what `orders`, by class of age, bring on one day, and gathers that they were at risk.
    fn expect(&mut self, cohort: &[String], orders: &[f64; AGES], suspect: bool, sums: &mut [f64]);
    /// Gathers a piece of evidence.
    fn saw(&mut self, cohort: &[String], test: usize, class: usize, weight: f64, suspect: bool);
}

/// One test of one supplier.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct State {
    /// Which test it is of, by the hash of its name; earlier builds kept the name.
    #[serde(deserialize_with = "test_id")]
    test: u64,
    /// The statistic for each alternative.
    r: [f64; ALTERNATIVES.len()],
    /// Weighted evidence since it began to stand out.
    seen: f64,
    /// What peers would have brought since then.
    expected: f64,
    /// Evidence and expectation of the day in hand.
    today: f64,
    today_expected: f64,
    /// How much of its evidence may still tell what is usual among peers.
    tells: f64,
}

fn test_id<'de, D: serde::Deserializer<'de>>(row: D) -> Result<u64, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Id(u64),
        Name(String),
    }
    Ok(match serde::Deserialize::deserialize(row)? {
        Stored::Id(id) => id,
        Stored::Name(name) => hash::stable64(&name),
    })
}

/// Orders of one day and cohort.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Open {
    day: i64,
    cohort: u16,
    orders: u32,
}

/// Evidence against one supplier. Deterministic: a function of the records of its partition.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Evidence {
    /// The day up to which exposure is counted.
    day: i64,
    cohorts: Vec<Vec<String>>,
    open: Vec<Open>,
    tests: Vec<State>,
    /// Supplier-days: days on which something was at risk.
    days: u32,
}

impl Evidence {
    /// The states in the order of `tests`; a test that is new begins with nothing, one that is gone is forgotten.
    fn align(&mut self, tests: &[Test]) {
        let same = self.tests.len() == tests.len()
            && self.tests.iter().zip(tests).all(|(state, test)| state.test == test.id);
        if same {
            return;
        }
        let mut before = std::mem::take(&mut self.tests);
        for test in tests {
            let held = before.iter_mut().find(|state| state.test == test.id).map(std::mem::take);
            self.tests.push(held.unwrap_or_else(|| State::new(test)));
        }
    }

    /// Begins all tests anew, as after an alarm that was dealt with: what was seen before has had its answer. Orders that are
    /// open stay at risk.
    pub(crate) fn begin_anew(&mut self) {
        self.tests.clear();
        self.days = 0;
    }

    /// The day whose exposure is counted next, while there are orders that may still go wrong.
    pub(crate) fn next_day(&self) -> Option<i64> {
        (!self.open.is_empty()).then_some(self.day + 1)
    }

    /// Moves to `today`: each day gone by begins the tests anew and adds the exposure of that day. Returns whether a day
    /// had passed.
    pub(crate) fn advance(&mut self, today: i64, tests: &[Test], peers: &mut impl Peers) -> bool {
        self.align(tests);
        let moved = self.day < today;
        while self.day < today {
            if self.open.is_empty() {
                // Nothing at risk: the days in between are no supplier-days.
                self.day = today;
                break;
            }
            self.day += 1;
            self.days += 1;
            let day = self.day;
            self.open.retain(|open| age_class(day - open.day).is_some());
            if self.open.is_empty() {
                self.cohorts.clear();
            }
            self.tests.iter_mut().for_each(State::begin_day);
            self.expose(tests, peers);
            for (state, test) in self.tests.iter_mut().zip(tests) {
                state.renew(test);
            }
        }
        self.day = self.day.max(today);
        moved
    }

    /// Adds the exposure of the day in hand of all open orders.
    fn expose(&mut self, tests: &[Test], peers: &mut impl Peers) {
        let suspect = self.total() >= SUSPICION;
        let mut sums = [0.0; TESTS_MAX];
        for (number, cohort) in self.cohorts.iter().enumerate() {
            let mut orders = [0.0; AGES];
            for open in self.open.iter().filter(|open| usize::from(open.cohort) == number) {
                if let Some(class) = age_class(self.day - open.day) {
                    orders[class] += f64::from(open.orders);
                }
            }
            if orders.iter().any(|orders| *orders > 0.0) {
                peers.expect(cohort, &orders, suspect, &mut sums[..tests.len()]);
            }
        }
        self.expected(tests, &sums);
    }

    /// What peers would have brought passes, by test.
    fn expected(&mut self, tests: &[Test], sums: &[f64]) {
        for ((state, test), expected) in self.tests.iter_mut().zip(tests).zip(sums) {
            state.expose(*expected, test.tolerates);
        }
    }

    /// An order was placed on `day`, in a cohort.
    pub(crate) fn placed(&mut self, day: i64, cohort: &[String], tests: &[Test], peers: &mut impl Peers) {
        let Some(class) = age_class(self.day - day) else { return };
        let number = self.cohort(cohort);
        match self.open.iter_mut().find(|open| open.day == day && open.cohort == number) {
            Some(open) => open.orders += 1,
            None => self.open.push(Open { day, cohort: number, orders: 1 }),
        }
        // Its exposure of today; that of the others was counted when the day began.
        let mut orders = [0.0; AGES];
        orders[class] = 1.0;
        let (suspect, mut sums) = (self.total() >= SUSPICION, [0.0; TESTS_MAX]);
        let cohort = &self.cohorts[usize::from(number)];
        peers.expect(cohort, &orders, suspect, &mut sums[..tests.len()]);
        self.expected(tests, &sums);
    }

    fn cohort(&mut self, cohort: &[String]) -> u16 {
        let cohort = if self.cohorts.len() < COHORTS_MAX { cohort } else { &[] };
        let known = self.cohorts.iter().position(|known| known == cohort);
        known.unwrap_or_else(|| {
            self.cohorts.push(cohort.to_vec());
            self.cohorts.len() - 1
        }) as u16
    }

    /// A piece of evidence of weight `weight`, 0 to 1, about an order placed on `placed`, for the tests that ask for the flags
    /// `asked_for`.
    pub(crate) fn witness(
        &mut self,
        ((kind, flags), asked_for): ((u8, u16), u16),
        weight: f64,
        (placed, cohort): (i64, &[String]),
        tests: &[Test],
        peers: &mut impl Peers,
    ) {
        let Some(class) = age_class(self.day - placed) else { return };
        let suspect = self.total() >= SUSPICION;
        for (number, (state, test)) in self.tests.iter_mut().zip(tests).enumerate() {
            if test.counts(kind, flags) && test.all_of & asked_for == asked_for {
                // What one supplier can tell of what is usual is bounded, or a few frauds would make fraud usual.
                let told = weight.min(state.tells);
                state.tells -= told;
                peers.saw(cohort, number, class, told, suspect);
                state.witness(weight, test.tolerates);
            }
        }
    }

    /// Evidence that is taken back.
    pub(crate) fn withdraw(&mut self, (kind, flags): (u8, u16), weight: f64, tests: &[Test]) {
        for (state, test) in self.tests.iter_mut().zip(tests) {
            if test.counts(kind, flags) {
                state.withdraw(weight);
            }
        }
    }

    /// Odds of all tests together, in powers of ten, at least 0.
    pub(crate) fn total(&self) -> f64 {
        odds(self.tests.iter().map(State::sum).sum())
    }

    /// The evidence as an e-value, in powers of ten: the statistic is a sum over the days on which it began anew, so its mean
    /// over these days is at most one while the null holds; half of it is staked, so that silence costs little.
    pub(crate) fn e_value(&self) -> f64 {
        let sum: f64 = self.tests.iter().map(State::sum).sum();
        libm::log10(0.5 + 0.5 * sum / f64::from(self.days.max(1)))
    }

    /// Odds of all tests of it and of those it shares something with, in powers of ten, where these are known.
    pub(crate) fn with_others(&self, others: f64) -> f64 {
        (libm::log10(f64::from(self.days.max(1))) + self.e_value() + others).max(0.0)
    }

    /// Odds of one test by itself, in powers of ten, at least 0.
    pub(crate) fn odds(&self, number: usize, test: &Test) -> f64 {
        self.tests.get(number).map_or(0.0, |state| odds(state.sum() / test.share))
    }

    /// What was seen and what peers would have brought, since the test began to stand out.
    pub(crate) fn counts(&self, number: usize) -> (f64, f64) {
        self.tests.get(number).map_or((0.0, 0.0), |state| (state.seen, state.expected))
    }
}

fn odds(statistic: f64) -> f64 {
    if statistic <= 1.0 { 0.0 } else { libm::log10(statistic) }
}

/// What the passing of exposure `tolerated` leaves of the statistic for each alternative `r`: `exp(-(r - 1) tolerated)`, as powers
/// of one root, for this is done for every test at every order.
fn passing(tolerated: f64) -> [f64; ALTERNATIVES.len()] {
    let root = libm::exp(-0.5 * tolerated);
    let second = root * root;
    let third = second * root;
    let eighth = third * third * second;
    let eighteenth = eighth * eighth * second;
    [root, third, eighth, eighteenth, eighteenth * eighteenth * second]
}

impl State {
    fn new(test: &Test) -> Self {
        Self { test: test.id, tells: 1.0, ..Self::default() }
    }
    fn sum(&self) -> f64 {
        self.r.iter().sum()
    }
    fn begin_day(&mut self) {
        (self.today, self.today_expected) = (0.0, 0.0);
    }
    /// Begins the test anew, its share of the day split between the alternatives; what was counted while it did not stand
    /// out is forgotten.
    fn renew(&mut self, test: &Test) {
        if self.sum() <= test.share * STANDS_OUT {
            (self.seen, self.expected) = (self.today, self.today_expected);
        }
        let tried = ALTERNATIVES.iter().filter(|times| **times <= test.up_to).count();
        let share = test.share / tried as f64;
        self.r.iter_mut().take(tried).for_each(|r| *r += share);
    }
    fn expose(&mut self, expected: f64, tolerates: f64) {
        if expected <= 0.0 {
            return;
        }
        self.expected += expected;
        self.today_expected += expected;
        self.tells = (self.tells + tolerates * expected).min(TELLS_MAX);
        self.r.iter_mut().zip(passing(tolerates * expected)).for_each(|(r, factor)| *r *= factor);
    }
    fn witness(&mut self, weight: f64, tolerates: f64) {
        let full = DAY_FULL + 2.0 * tolerates * self.today_expected;
        // A part of a piece is a root of its factor, so that many small parts are no more than the whole.
        let part = (bounded(self.today + weight, full) - bounded(self.today, full)) / weight;
        self.today += weight;
        self.seen += weight;
        for (r, times) in self.r.iter_mut().zip(ALTERNATIVES) {
            let factor = 1.0 + (times - 1.0) * weight;
            *r *= if part < 1.0 { libm::pow(factor, part) } else { factor };
        }
    }
    fn withdraw(&mut self, weight: f64) {
        self.seen = (self.seen - weight).max(0.0);
        for (r, times) in self.r.iter_mut().zip(ALTERNATIVES) {
            *r /= 1.0 + (times - 1.0) * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_names_its_test_is_read_as_one_that_has_its_number() {
        let row = serde_json::json!({ "test": "cancelled", "r": [0.0, 0.0, 0.0, 0.0, 0.0], "seen": 1.0, "expected": 0.5,
            "today": 0.0, "today_expected": 0.0, "tells": 1.0 });
        let former: State = rmp_serde::from_slice(&rmp_serde::to_vec_named(&row).unwrap()).unwrap();
        assert_eq!(former.test, hash::stable64("cancelled"));
        let again: State = rmp_serde::from_slice(&rmp_serde::to_vec_named(&former).unwrap()).unwrap();
        assert_eq!(again, former);
    }

    #[test]
    fn exposure_passes_as_the_formula_says() {
        for tolerated in [0.0, 1e-6, 0.01, 0.3, 2.0, 9.0] {
            for (factor, times) in passing(tolerated).into_iter().zip(ALTERNATIVES) {
                let exact = libm::exp(-(times - 1.0) * tolerated);
                assert!((factor - exact).abs() <= 1e-13 * exact, "{times} {tolerated}: {factor} {exact}");
            }
        }
    }
}
