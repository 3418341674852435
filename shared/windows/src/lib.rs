//! Exact sliding windows over one bounded event log, shared by all windows of one supplier.
//!
//! The log holds each event once, sorted by event time. Every window keeps a tail cursor into it; a measure keeps, per
//! window, the count, the sum and the sum of squares of the events inside, all in integers, so that evicting undoes adding
//! exactly. An event is added once and evicted once per window. A window of length `l` at time `now` holds the events with
//! `now - l < time <= now`; lengths and times are in milliseconds.
//!
//! What cannot be subtracted is kept once per measure and answers for all its windows:
//! * distinct parties: the latest occurrence of each party, see [`distinct`];
//! * smallest and largest value: a monotone queue that is searched, not unwound, see [`extremes`].
//!
//! Late and out-of-order events are placed where they belong if they are not older than the plan's bound, and are counted
//! beyond it. When the log is full its oldest events become buckets of counts (see [`lost`]): readings go on, and say how
//! far they may be off. The log is stored as chunks of at most 64 KiB of which only changed ones are written again, see
//! [`chunk`].

mod chunk;
mod distinct;
mod extremes;
mod lost;
mod windows;

pub use chunk::{CHUNK_ENTRIES_MAX, ChunkError};
pub use windows::{Head, Placement, Windows};

use serde::{Deserialize, Serialize};

/// One event of a supplier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Event time, milliseconds.
    pub time_ms: i64,
    /// What kind of event, 0 to 31.
    pub kind: u8,
    /// Properties a measure may require or exclude, one bit each.
    pub flags: u16,
    /// Who is counted as distinct: a hash of the buyer or listing; 0 is nobody.
    pub party: u64,
    /// What the event is about, such as a hash of the SKU; 0 is nothing.
    pub subject: u64,
    /// Where, such as a hash of the region; 0 is nowhere.
    pub place: u32,
    /// What is summed, such as minor units.
    pub value: i64,
}

/// What a measure is kept for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Entity {
    /// The supplier as a whole.
    #[default]
    Whole,
    /// Each of its subjects.
    Subject,
    /// Each of its places.
    Place,
}

/// What a measure counts distinct ones of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Counterparty {
    /// Parties.
    #[default]
    Party,
    /// Subjects.
    Subject,
    /// Places.
    Place,
}

impl Counterparty {
    pub(crate) fn of(self, entry: &Entry) -> u64 {
        match self {
            Self::Party => entry.party,
            Self::Subject => entry.subject,
            Self::Place => u64::from(entry.place),
        }
    }
}

/// What is counted: events of some kinds that have all of some flags and none of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Measure {
    /// Kinds counted, one bit each.
    pub kinds: u32,
    /// Flags required, all of them.
    pub all_of: u16,
    /// Flags excluded, each of them.
    pub none_of: u16,
    /// For each of what. Measures of an entity keep counts and sums only.
    pub entity: Entity,
    /// Windows it is kept for, one bit each, in the order of the plan.
    pub windows: u32,
    /// Whether distinct counterparties are counted.
    pub distinct: bool,
    /// Distinct what.
    pub distinct_of: Counterparty,
    /// Whether smallest and largest values are kept.
    pub extremes: bool,
}

impl Measure {
    /// Whether it counts `entry`.
    pub fn counts(&self, entry: &Entry) -> bool {
        self.kinds & (1 << (entry.kind & 31)) != 0
            && entry.flags & self.all_of == self.all_of
            && entry.flags & self.none_of == 0
    }
}

/// The windows and measures of a fold; one plan serves all suppliers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Lengths in milliseconds, at most 32 of them, the shortest first.
    pub windows_ms: Vec<i64>,
    /// Measures, at most 64.
    pub measures: Vec<Measure>,
    /// How long events are kept, at least the longest window: a measure that is declared later counts them too.
    pub retain_ms: i64,
    /// How late an event may be and still be placed.
    pub late_max_ms: i64,
    /// Events kept per supplier at most.
    pub entries_max: usize,
    /// Distinct parties counted exactly per measure; beyond it they are sampled.
    pub distinct_max: usize,
}

/// What a measure says about a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Events.
    pub count: u64,
    /// Sum of their values.
    pub sum: i128,
    /// Sum of the squares of their values, of the events in the log only; exact while it is below 2^127.
    pub squares: i128,
    /// Distinct parties, nobody not counted.
    pub parties: u64,
    /// Smallest value.
    pub min: Option<i64>,
    /// Largest value.
    pub max: Option<i64>,
    /// How far `count` may be off because the log was full; 0 is exact.
    pub error: u64,
    /// Whether every event of the window is still in the log.
    pub whole: bool,
    /// Whether `parties` is an estimate from a sample.
    pub sampled: bool,
}

/// Lower bound of Wilson's score interval for a proportion of `hits` among `trials`, at `z` standard deviations.
///
/// E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927), eq. for the
/// lower limit. Few trials give a low bound: three of three is 0.44 at z = 1.96, thirty of thirty is 0.89. `None`
/// without trials: no evidence is not a rate of zero. Trials may be fractions: exposure seen so far.
pub fn wilson_lower(hits: f64, trials: f64, z: f64) -> Option<f64> {
    if trials.is_nan() || trials <= 0.0 {
        return None;
    }
    let (n, p) = (trials, hits.min(trials) / trials);
    let z2 = z * z;
    let centre = p + z2 / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(((centre - spread) / (1.0 + z2 / n)).max(0.0))
}

/// Lower bound of a Poisson mean of which `count` events were seen, at `z` standard deviations.
///
/// Byar's approximation: Breslow and Day, "Statistical Methods in Cancer Research" II (1987), eq. 2.13. Divided by the
/// events expected it is the lower bound of the ratio of observed to expected.
pub fn poisson_lower(count: f64, z: f64) -> f64 {
    if count <= 0.0 {
        return 0.0;
    }
    (count * (1.0 - 1.0 / (9.0 * count) - z / (3.0 * count.sqrt())).powi(3)).max(0.0)
}

#[cfg(test)]
mod tests;
