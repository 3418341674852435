//! Rows of the inventory fold.

use std::collections::BTreeMap;

use stockade_model::{
    Gtin, Level, ListingId, LocationId, LocationPut, Money, Region, RowOutcome, Scope, Sku, StockFigures,
    SupplierId, SupplierProfile, Timestamp,
};

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
    pub(crate) remembered: std::collections::VecDeque<(Timestamp, String)>,
    /// What it offers.
    #[serde(default)]
    pub(crate) stock: StockFigures,
    /// What the arbiter was told of that last, and when.
    #[serde(default)]
    pub(crate) told: Option<(StockFigures, Timestamp)>,
}

impl Supplier {
    /// The restrictions in force on it.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = (&Scope, Level)> + Clone {
        let narrow = self.narrow.iter().map(|(scope, level)| (scope, *level));
        narrow.chain(self.level.map(|level| (&Scope::Supplier, level)))
    }

    /// Whether what it offers differs so much from what the arbiter was told that it should hear of it.
    pub(crate) fn has_news(&self) -> bool {
        let told = self.told.map(|(told, _)| told).unwrap_or_default();
        let differs = |now: u64, then: u64| now.abs_diff(then) * 20 > then || (now == 0) != (then == 0);
        differs(self.stock.units, told.units) || differs(self.stock.listings, told.listings)
    }
}

/// A listing.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Listing {
    pub(crate) supplier: SupplierId,
    pub(crate) listing: ListingId,
    pub(crate) sku: Sku,
    pub(crate) gtin: Option<Gtin>,
    pub(crate) location: LocationId,
    pub(crate) price: Money,
    pub(crate) regions: Vec<Region>,
    pub(crate) on_hand: i64,
    /// Units held for buyers who have not confirmed yet.
    pub(crate) held: i64,
    /// Units confirmed and not yet shipped.
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
        if self.withdrawn { 0 } else { (self.on_hand - self.held - self.committed).max(0) }
    }
}

/// What is known of one line of an order; its outcomes may come in any sequence.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct OrderLine {
    pub(crate) quantity: i64,
    pub(crate) placed: bool,
    pub(crate) shipped: bool,
    pub(crate) cancelled: bool,
    pub(crate) touched: Timestamp,
}

impl OrderLine {
    /// Units it keeps from other buyers.
    pub(crate) fn committed(&self) -> i64 {
        if self.placed && !self.shipped && !self.cancelled { self.quantity } else { 0 }
    }
    /// Units it has taken off the shelf.
    pub(crate) fn gone(&self) -> i64 {
        if self.shipped { self.quantity } else { 0 }
    }
}

/// A reservation.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Hold {
    pub(crate) supplier: SupplierId,
    pub(crate) listing: ListingId,
    pub(crate) quantity: i64,
    pub(crate) expires_at: Timestamp,
    /// Confirmed holds have become committed units and do not expire.
    pub(crate) confirmed: bool,
}

/// The remembered outcome of a request.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Remembered {
    pub(crate) body_hash: String,
    pub(crate) rows: Vec<RowOutcome>,
}
