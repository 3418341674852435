//! Evidence against a supplier, as sequential tests that may be looked at all the time.
//!
//! For each kind of bad outcome a test compares what was seen with what peers' orders of the same ages would have brought.
//! The null hypothesis is a rate up to `tolerates` times the peers'. For each alternative `r` a piece of evidence of weight
//! `w` multiplies by `1 + (r - 1) w`, and exposure `L` (the evidence peers would have brought) by `exp(-(r - 1) c L)`; under
//! the null both together have a mean of at most one. Beginning anew on every day makes it a change detector
//! (Shiryaev-Roberts): `R <- (R + p) * factor`, where the shares `p` of all tests and alternatives add up to one a day. So
//! `R` less the supplier-days gone by has no upward drift while the null holds, and the mean time between false alarms of
//! the threshold `R >= A` is at least `A` supplier-days, however often one looks. See Shiryaev (1963), Roberts (1966) and,
//! for the general theory, Shin, Ramdas and Rinaldo, "E-detectors" (2023).
//!
//! What would break that is bounded: repeat orders of one buyer add neither exposure nor evidence for 30 days, what one
//! day can add grows slowly beyond a first piece, and exposure is counted at the beginning of each day, before the evidence
//! of that day. Days without open orders do not count as supplier-days. Sums are taken in fixed order and `exp` and `log10`
//! come from `libm`, so that every machine agrees to the bit.

mod baseline;
mod subject;

pub(crate) use baseline::{Hazards, Sums, Weeks, cohorts_of};
pub(crate) use subject::{Evidence, Peers};

/// Alternatives: how many times the tolerated rate.
pub(crate) const ALTERNATIVES: [f64; 5] = [1.5, 2.5, 5.0, 10.0, 20.0];
/// Upper bounds of the classes of age of an order, in days; older orders are at no risk any more.
pub(crate) const AGES_DAYS: [i64; 12] = [1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90];
/// Tests that a declaration may have: each keeps ten numbers of every supplier.
pub(crate) const TESTS_MAX: usize = 16;
/// Number of classes of age.
pub(crate) const AGES: usize = AGES_DAYS.len();
/// From these odds on, in powers of ten, a supplier is under suspicion and its orders make no peers' baseline.
pub(crate) const SUSPICION: f64 = 2.5;
/// What a supplier may tell of what is usual grows with what it tolerably brings itself, and is saved up to so much: a quiet
/// supplier that is hit by a wave is heard, one that always does harm is not.
const TELLS_MAX: f64 = 3.0;
/// A test that is worth less than so many supplier-days does not stand out: what it counted is forgotten.
const STANDS_OUT: f64 = 20.0;
/// Evidence of one day and test that counts in full, beside twice what is tolerated; what is beyond counts as half the
/// logarithm of its number. One flooded warehouse is one incident.
const DAY_FULL: f64 = 2.0;

/// A test as declared, compiled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    /// Its name.
    pub(crate) name: String,
    /// Kinds of event, a bit each.
    pub(crate) kinds: u32,
    /// Flags an event must have.
    pub(crate) all_of: u16,
    /// Flags an event must not have.
    pub(crate) none_of: u16,
    /// Tolerated multiple of the peers' rate.
    pub(crate) tolerates: f64,
    /// The largest alternative that is tried.
    pub(crate) up_to: f64,
    /// Share of the supplier-day, all tests together one.
    pub(crate) share: f64,
    /// Published usual hazard by class of age, per order and day: what is expected until peers are known.
    pub(crate) usual: [f64; AGES],
}

impl Test {
    /// Whether an event is evidence of this test.
    pub(crate) fn counts(&self, kind: u8, flags: u16) -> bool {
        self.kinds & (1 << kind) != 0 && flags & self.all_of == self.all_of && flags & self.none_of == 0
    }
}

/// The class of an age in days, if orders of that age are still at risk.
pub(crate) fn age_class(days: i64) -> Option<usize> {
    AGES_DAYS.iter().position(|bound| days.max(0) < *bound)
}

/// Length of a class of age, in days.
pub(crate) fn age_width(class: usize) -> f64 {
    (AGES_DAYS[class] - class.checked_sub(1).map_or(0, |before| AGES_DAYS[before])) as f64
}

/// What `seen` pieces of evidence of one day count for, where `full` count in full.
fn bounded(seen: f64, full: f64) -> f64 {
    if seen <= full { seen } else { full + 0.5 * libm::log1p(seen - full) }
}

#[cfg(test)]
mod tests;
