//! Rows of the inventory fold.

use std::collections::{BTreeMap, VecDeque};

use stockade_model::{
    Gtin, Level, LocationId, LocationPut, Money, Region, Scope, Sku, StockCounts, StockFigures,
    SupplierProfile, Timestamp,
};

use super::outcomes::Outcomes;

/// A supplier and its locations.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Supplier {
    pub(crate) profile: Option<SupplierProfile>,
    pub(crate) locations: BTreeMap<LocationId, LocationPut>,
    /// Level on the whole supplier, from decision facts in its own partition.
    pub(crate) level: Option<Level>,
    /// Narrower restrictions, from the same facts.
    #[serde(default)]
    pub(crate) narrow: Vec<(Scope, Level)>,
    /// Identities of requests whose outcome is remembered, oldest first.
    pub(crate) remembered: VecDeque<(Timestamp, String)>,
    /// The same of what buyers asked of its stock: they have room of their own, so that a rush of buyers does not push out what the
    /// supplier may still ask for.
    #[serde(default)]
    pub(crate) remembered_of_buyers: VecDeque<(Timestamp, String)>,
    /// What it offers.
    #[serde(default)]
    pub(crate) stock: StockFigures,
    /// What the arbiter was told of that last, and when.
    #[serde(default)]
    pub(crate) told: Option<(StockFigures, Timestamp)>,
    /// Units handed over in time, by day since 1970-01-01, of the last days.
    #[serde(default)]
    pub(crate) handed: Vec<(i64, i64)>,
    /// The payout account that most others share with it, as its salted hash, and how many do; none below [`CROWD`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crowd: Option<(Box<str>, u32)>,
}

/// Suppliers with one payout account, of which those that are new share an allowance: one operator with some shops is not many,
/// and an agency that pays out to hundreds loses nothing but the first days' haste.
pub(crate) const CROWD: u32 = 10;

/// Units that a capped supplier may owe before it has proven anything.
pub(crate) const GRANT: i64 = 5;
/// Days for which handing over in time proves what a supplier can do.
const PROVEN_DAYS: i64 = 14;

impl Supplier {
    /// Notes units handed over in time.
    pub(crate) fn hands_over(&mut self, day: i64, units: i64) {
        match self.handed.last_mut().filter(|(last, _)| *last >= day) {
            Some((_, sum)) => *sum = sum.saturating_add(units),
            None => self.handed.push((day, units)),
        }
        self.handed.retain(|(of, _)| day - of < PROVEN_DAYS);
    }

    /// Units it may owe at once while it is capped: a small grant, and what it has handed over in time lately.
    pub(crate) fn capacity(&self, day: i64) -> i64 {
        let lately = self.handed.iter().filter(|(of, _)| day - of < PROVEN_DAYS);
        lately.fold(GRANT, |sum, (_, units)| sum.saturating_add(*units))
    }

    /// Whether anything of it is capped.
    pub(crate) fn is_capped(&self) -> bool {
        self.in_force().any(|(_, level)| caps(level))
    }

    /// The restrictions in force on it.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = (&Scope, Level)> + Clone {
        let narrow = self.narrow.iter().map(|(scope, level)| (scope, *level));
        narrow.chain(self.level.map(|level| (&Scope::Supplier, level)))
    }

    /// What its stock figures count.
    pub(crate) fn stock_counts(&self) -> StockCounts {
        self.profile.as_ref().map(|profile| profile.stock_counts).unwrap_or_default()
    }
    /// Whether what it offers differs so much from what the arbiter was told that it should hear of it.
    pub(crate) fn has_news(&self) -> bool {
        let told = self.told.map(|(told, _)| told).unwrap_or_default();
        let differs = |now: u64, then: u64| now.abs_diff(then) * 20 > then || (now == 0) != (then == 0);
        differs(self.stock.units, told.units) || differs(self.stock.listings, told.listings)
    }
}

/// Whether no more can be had of what is under `level` than its supplier has proven: each level contains the milder ones.
pub(crate) fn caps(level: Level) -> bool {
    level >= Level::Cap
}

/// A listing.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Listing {
    pub(crate) sku: Sku,
    pub(crate) gtin: Option<Gtin>,
    pub(crate) location: LocationId,
    pub(crate) price: Money,
    pub(crate) regions: Vec<Region>,
    /// Units on the shelf, ordered or not, whatever the supplier's figures count. Below zero when more was shipped than the
    /// supplier said it had, so that a later delivery is reckoned right.
    pub(crate) on_hand: i64,
    /// Units held for buyers who have not confirmed yet.
    pub(crate) held: i64,
    /// Units of confirmed reservations that no order has named yet.
    #[serde(default)]
    pub(crate) confirmed: i64,
    /// Units ordered and neither shipped nor cancelled.
    pub(crate) committed: i64,
    pub(crate) listing_seq: Option<u64>,
    pub(crate) stock_seq: Option<u64>,
    pub(crate) withdrawn: bool,
    /// Units that count in what the supplier offers.
    #[serde(default)]
    pub(crate) counted: u64,
    /// Offset of the last change: its ETag.
    pub(crate) version: u64,
    pub(crate) updated: Timestamp,
}

impl Listing {
    /// Units a buyer can have: never below zero, though sales may run ahead of what the supplier said it has.
    pub(crate) fn available(&self) -> i64 {
        if self.withdrawn {
            return 0;
        }
        (self.on_hand - self.held - self.confirmed - self.committed).max(0)
    }
    /// Units that it owes: held, confirmed or ordered, and not shipped.
    pub(crate) fn owed(&self) -> i64 {
        (self.held + self.confirmed + self.committed).max(0)
    }
    /// The stock as the supplier counts it.
    pub(crate) fn count(&self, counts: StockCounts) -> i64 {
        self.on_hand - not_counted(counts, self.committed)
    }
    /// The supplier counted `units`.
    pub(crate) fn set_count(&mut self, counts: StockCounts, units: i64) {
        self.on_hand = units + not_counted(counts, self.committed);
    }
}

/// Units on the shelf that a supplier's figures leave out. It knows of orders, not of reservations.
fn not_counted(counts: StockCounts, committed: i64) -> i64 {
    match counts {
        StockCounts::IncludingOrdered => 0,
        StockCounts::ExcludingOrdered => committed,
    }
}

/// The remembered outcome of a request.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Remembered {
    pub(crate) body_hash: String,
    pub(crate) rows: Outcomes,
}
