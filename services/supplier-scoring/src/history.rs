//! What is remembered of a supplier: one event log with all windows over it.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stockade_model::time::{DAY_MS, HOUR_MS};
use stockade_windows::{Entry, Measure, Plan, Reading, Snapshot, Windows, wilson_lower};

/// Standard deviations of the Wilson bound: 97.5 % one-sided.
const Z: f64 = 1.96;
/// Events remembered per supplier.
const ENTRIES_MAX: usize = 4_096;

/// Kinds of event in the log. Stored: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Placed = 0,
    Shipped = 1,
    Delivered = 2,
    Cancelled = 3,
    Disputed = 4,
    Fraud = 5,
    Refunded = 6,
    Reviewed = 7,
    Complaint = 8,
    NewListing = 11,
    ListingUpdate = 12,
    Stock = 13,
}

/// Properties of an event. Stored: never renumber.
pub(crate) mod flag {
    /// The supplier's own doing.
    pub(crate) const OWN: u8 = 1 << 0;
    /// Priced at two fifths of the market's median or less, with enough other offers to know.
    pub(crate) const LOW_PRICE: u8 = 1 << 1;
    /// Claims far more units than the market's median, with enough other offers to know.
    pub(crate) const IMPLAUSIBLE: u8 = 1 << 2;
    /// A claim by a buyer whose own history makes it credible.
    pub(crate) const CREDIBLE: u8 = 1 << 3;
    /// Missed its promise.
    pub(crate) const LATE: u8 = 1 << 4;
    /// A rating of 1 or 2.
    pub(crate) const LOW_RATING: u8 = 1 << 5;
    /// The market for it was known.
    pub(crate) const MARKET: u8 = 1 << 6;
}

/// What is counted. The order is that of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Orders,
    Shipped,
    Delivered,
    Cancellations,
    Claims,
    Frauds,
    Reviews,
    LowReviews,
    Late,
    NewListings,
    Submissions,
    LowPrices,
    Priced,
    Implausible,
    Claimed,
}

/// Over how long. The order is that of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Hour,
    Day,
    Week,
    Month,
}

static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| {
    let measure = |kinds: &[Kind], flags| Measure {
        kinds: kinds.iter().fold(0, |bits, kind| bits | 1 << *kind as u32),
        flags,
    };
    Arc::new(Plan {
        windows_ms: vec![HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS],
        measures: vec![
            measure(&[Kind::Placed], 0),
            measure(&[Kind::Shipped], 0),
            measure(&[Kind::Delivered], 0),
            measure(&[Kind::Cancelled], flag::OWN),
            measure(&[Kind::Disputed, Kind::Complaint], flag::CREDIBLE),
            measure(&[Kind::Fraud], 0),
            measure(&[Kind::Reviewed], 0),
            measure(&[Kind::Reviewed], flag::LOW_RATING),
            measure(&[Kind::Shipped], flag::LATE),
            measure(&[Kind::NewListing], 0),
            measure(&[Kind::NewListing, Kind::ListingUpdate, Kind::Stock], 0),
            measure(&[Kind::NewListing, Kind::ListingUpdate], flag::LOW_PRICE),
            measure(&[Kind::NewListing, Kind::ListingUpdate], flag::MARKET),
            measure(&[Kind::NewListing, Kind::ListingUpdate, Kind::Stock], flag::IMPLAUSIBLE),
            measure(&[Kind::NewListing, Kind::ListingUpdate, Kind::Stock], 0),
        ],
        entries_max: ENTRIES_MAX,
    })
});

/// Event log and windows of one supplier; stored as its events.
#[derive(Clone, Debug)]
pub(crate) struct History(Windows);

impl Default for History {
    fn default() -> Self {
        Self(Windows::new(PLAN.clone()))
    }
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.snapshot().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Snapshot::deserialize(deserializer).map(|snapshot| Self(Windows::restore(PLAN.clone(), snapshot)))
    }
}

impl History {
    pub(crate) fn advance(&mut self, now_ms: i64) {
        self.0.advance(now_ms);
    }
    /// Adds an event; what is too old for every window is left out.
    pub(crate) fn add(&mut self, kind: Kind, flags: u8, time_ms: i64, party: u64, value: i64) {
        self.0.insert(Entry { time_ms, kind: kind as u8, flags, party, value });
    }
    fn read(&self, count: Count, span: Span) -> Option<Reading> {
        Some(self.0.read(count as usize, span as usize)).filter(|reading| reading.exact)
    }
    pub(crate) fn count(&self, count: Count, span: Span) -> Option<f64> {
        self.read(count, span).map(|reading| reading.count as f64)
    }
    pub(crate) fn parties(&self, count: Count, span: Span) -> Option<f64> {
        self.read(count, span).map(|reading| reading.parties as f64)
    }
    pub(crate) fn sum(&self, count: Count, span: Span) -> Option<f64> {
        self.read(count, span).map(|reading| reading.sum as f64)
    }
    /// `hits` per `trials`, plain.
    pub(crate) fn rate(&self, hits: Count, trials: Count, span: Span) -> Option<f64> {
        let (hits, trials) = (self.read(hits, span)?, self.read(trials, span)?);
        (trials.count > 0).then(|| hits.count as f64 / trials.count as f64)
    }
    /// Lower bound of the rate of `hits` per `trials`; unknown without trials.
    pub(crate) fn rate_low(&self, hits: Count, trials: Count, span: Span) -> Option<f64> {
        wilson_lower(self.read(hits, span)?.count, self.read(trials, span)?.count, Z)
    }
}
