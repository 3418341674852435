//! Inventory commands: what a supplier asks for, and what became of it.

use serde::de::MapAccess;

use crate::{
    BasketId, Gln, Gtin, ListingId, LocationId, Money, Precondition, Region, ReservationId, Sku, SupplierId,
    Timestamp,
    tagged::{self, Rest, Tagged},
};

/// Largest stock quantity accepted for one listing, in units.
pub const QUANTITY_MAX: i64 = 10_000_000;
/// Largest sequence of a supplier: room for nanoseconds since 1970 until the year 2116. The largest number of all would
/// supersede whatever comes after it.
pub const SEQUENCE_MAX: u64 = 1 << 62;
/// Largest number of rows in one command.
pub const ROWS_MAX: usize = 1_000;

/// One request of a supplier: one record, so a batch is decided as a whole and in order.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Command {
    /// Whose inventory.
    pub supplier: SupplierId,
    /// The caller's `Idempotency-Key`, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// SHA-256 of the request body, hex, first 16 bytes: the same key with another body is a conflict.
    pub body_hash: String,
    /// What to do, in order.
    pub rows: Vec<Row>,
    /// What the caller expects of each listing or location that the rows are about, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precondition: Option<Precondition>,
    /// Place of each row in the request, where wrong rows between them were left out; empty means 0, 1, 2, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<usize>,
    /// Rows that were wrong before anything was decided, so that whoever looks the request up finds every row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RowOutcome>,
    /// Key of an earlier request of this supplier whose outcome nobody will ask for again, or absent: whoever sends a long
    /// series lets go of what it has read, so that it does not push out what the supplier's other requests left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgets: Option<String>,
}

/// One change to one listing, location or reservation.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Row {
    /// Create a listing or replace what it says, stock untouched unless `on_hand` is given.
    Put(ListingPut),
    /// Set or adjust stock.
    Stock(StockChange),
    /// Take the listing off the market.
    Withdraw {
        /// The listing.
        listing: ListingId,
        /// The supplier's own sequence for this listing, if it keeps one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_seq: Option<u64>,
    },
    /// Create or replace a location.
    Location(LocationPut),
    /// Hold units for a buyer until `expires_at`.
    Hold {
        /// Name of the reservation.
        reservation: ReservationId,
        /// The listing.
        listing: ListingId,
        /// Units held.
        quantity: i64,
        /// When the hold lapses by itself.
        expires_at: Timestamp,
        /// Where the units are to go; absent means anywhere that the listing serves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<Region>,
        /// Name of the key that made the reservation; nobody else may act on it; absent in records of builds that knew no owners.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Hash of what was asked for: the same reservation asked for with another one is a conflict.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<String>,
        /// What its owner may hold of the listing without confirming; absent in records of builds that knew no bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<HoldBound>,
    },
    /// Turn a hold into confirmed but unshipped units.
    Confirm {
        /// Name of the reservation.
        reservation: ReservationId,
        /// Name of the caller's key; absent in records of builds that knew no owners.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    /// Give a hold back.
    ReleaseHold {
        /// Name of the reservation.
        reservation: ReservationId,
        /// Name of the caller's key; absent in records of builds that knew no owners.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    /// Something about one line of a basket.
    Line(LineRow),
}

impl<'de> serde::Deserialize<'de> for Row {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged::read(deserializer)
    }
}

/// Fields of [`Row::Withdraw`], to be read.
#[derive(serde::Deserialize)]
struct Withdraw {
    listing: ListingId,
    source_seq: Option<u64>,
}

/// Fields of [`Row::Hold`], to be read.
#[derive(serde::Deserialize)]
struct Hold {
    reservation: ReservationId,
    listing: ListingId,
    quantity: i64,
    expires_at: Timestamp,
    region: Option<Region>,
    owner: Option<String>,
    request: Option<String>,
    bound: Option<HoldBound>,
}

/// Fields of [`Row::Confirm`] and [`Row::ReleaseHold`], to be read.
#[derive(serde::Deserialize)]
struct Held {
    reservation: ReservationId,
    owner: Option<String>,
}

impl<'de> Tagged<'de> for Row {
    const TAG: &'static str = "op";
    const NAMES: &'static [&'static str] =
        &["put", "stock", "withdraw", "location", "hold", "confirm", "release_hold", "line"];

    fn variant<A: MapAccess<'de>>(index: usize, rest: Rest<A>) -> Result<Self, A::Error> {
        Ok(match index {
            0 => Self::Put(rest.read()?),
            1 => Self::Stock(rest.read()?),
            2 => {
                let Withdraw { listing, source_seq } = rest.read()?;
                Self::Withdraw { listing, source_seq }
            }
            3 => Self::Location(rest.read()?),
            4 => {
                let Hold { reservation, listing, quantity, expires_at, region, owner, request, bound } =
                    rest.read()?;
                Self::Hold { reservation, listing, quantity, expires_at, region, owner, request, bound }
            }
            5 => {
                let Held { reservation, owner } = rest.read()?;
                Self::Confirm { reservation, owner }
            }
            6 => {
                let Held { reservation, owner } = rest.read()?;
                Self::ReleaseHold { reservation, owner }
            }
            _ => Self::Line(rest.read()?),
        })
    }
}

/// What one buyer's key may hold of one listing without confirming it. The edge writes what its configuration says into each hold, so
/// that every process decides the same about it, whatever its own configuration says by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct HoldBound {
    /// Of the units that the listing has on hand, in percent, rounded down.
    pub percent: u8,
    /// Units that it may hold at least, however few are on hand.
    pub units: i64,
}

impl HoldBound {
    /// Units that one key may hold unconfirmed of a listing that has `on_hand`.
    pub fn most(self, on_hand: i64) -> i64 {
        let part = i128::from(on_hand.max(0)) * i128::from(self.percent) / 100;
        i64::try_from(part).unwrap_or(i64::MAX).max(self.units)
    }
}

/// Something about one line of a basket: a reservation beside others, of other suppliers too, that one buyer asked for at once.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct LineRow {
    /// Name of the reservation that the line is.
    pub reservation: ReservationId,
    /// Name of the key that made the basket; nobody else may act on it.
    pub owner: String,
    /// Which attempt to make the basket this is, or made it: the offset at which it held the head, line 0. The later attempt has the
    /// larger one and takes lines over; what an earlier one says of them does nothing any more, so that two retries that
    /// run at once do not undo each other's work. Absent where the head is held, and in baskets that are had line by line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// What is to be done.
    pub act: LineAct,
}

/// What is to be done with one line of a basket.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum LineAct {
    /// Hold units until `expires_at`. Of a basket that is to be had as a whole or not at all the hold is tentative: it lapses
    /// at `expires_at` unless it is kept.
    Hold {
        /// The listing.
        listing: ListingId,
        /// Units held.
        quantity: i64,
        /// When the hold lapses by itself.
        expires_at: Timestamp,
        /// Where the units are to go; absent means anywhere that the listing serves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<Region>,
        /// Hash of all that was asked for.
        request: String,
        /// The basket.
        basket: BasketId,
        /// Place of the line in the basket, from 0.
        line: u16,
        /// Lines of the basket.
        lines: u16,
        /// Whether the basket is to be had as a whole or not at all.
        whole: bool,
        /// Whether the service chose the listing, and chooses another one when this is refused: then a refusal is for good, so that
        /// no attempt that comes late holds units here beside those that were held elsewhere.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        once: bool,
        /// What its owner may hold of the listing without confirming; absent in records of builds that knew no bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<HoldBound>,
    },
    /// Do not hold it, now or ever: what a hold that is tried once is refused as, where it is not held already.
    Pass,
    /// Go on holding until `expires_at`, tentatively no more.
    Keep {
        /// When the hold lapses by itself.
        expires_at: Timestamp,
    },
    /// Turn the hold into confirmed but unshipped units.
    Confirm,
    /// Give the hold back.
    Release,
}

/// Which offers the service takes for lines of a basket that name a good instead of a listing. The first choice for a line and a turn
/// that is written stands, and every attempt to make the basket acts on that. It lies in the partition of the basket's name, for its
/// lines have no supplier yet.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct BasketChoice {
    /// The basket, whose name is a hash of the caller's key and of all that was asked for.
    pub basket: BasketId,
    /// What is chosen for its lines.
    pub lines: Vec<LineChoice>,
}

/// The offer that the service takes for one line of a basket.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct LineChoice {
    /// Place of the line in the basket, from 0.
    pub line: u16,
    /// How often the line was chosen for before: 0, or more where the offers of the turns before were refused.
    pub turn: u8,
    /// Whose offer.
    pub supplier: SupplierId,
    /// Which.
    pub listing: ListingId,
}

impl Row {
    /// The listing, location or reservation the row is about, as the caller wrote it.
    pub fn subject(&self) -> &str {
        match self {
            Row::Put(put) => put.listing.as_str(),
            Row::Stock(change) => change.listing.as_str(),
            Row::Withdraw { listing, .. } | Row::Hold { listing, .. } => listing.as_str(),
            Row::Location(put) => put.location.as_str(),
            Row::Confirm { reservation, .. } | Row::ReleaseHold { reservation, .. } => reservation.as_str(),
            Row::Line(line) => line.reservation.as_str(),
        }
    }
}

/// What a listing says.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ListingPut {
    /// The supplier's name for it.
    pub listing: ListingId,
    /// The good.
    pub sku: Sku,
    /// Its GTIN, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtin: Option<Gtin>,
    /// Where the stock is.
    pub location: LocationId,
    /// Price of one unit.
    pub price: Money,
    /// Regions served; empty means the location's own region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// Stock to set at the same time, in units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_hand: Option<i64>,
    /// The supplier's own sequence for this listing, if it keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_seq: Option<u64>,
    /// The market the API saw when it accepted the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<MarketSeen>,
}

/// How a stock change is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StockMode {
    /// `on_hand` becomes `quantity`.
    Set,
    /// `quantity` (may be negative) is added to `on_hand`.
    Adjust,
}

/// A change of stock. An older `source_seq` loses (`superseded`), an equal one is `replayed`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct StockChange {
    /// The listing.
    pub listing: ListingId,
    /// Set or adjust.
    pub mode: StockMode,
    /// Units.
    pub quantity: i64,
    /// The supplier's own sequence for this listing, if it keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_seq: Option<u64>,
    /// The market the API saw when it accepted the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<MarketSeen>,
}

/// Where stock lies and how fast it leaves.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct LocationPut {
    /// The supplier's name for it.
    pub location: LocationId,
    /// Its GLN, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gln: Option<Gln>,
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// The region it serves unless a listing says otherwise.
    pub region: Region,
    /// Days from order to hand-over, 0 to 365.
    pub handling_days: u16,
}

impl LocationPut {
    /// Its entity tag: another one whenever anything about it is another.
    pub fn tag(&self) -> String {
        let Self { location, gln, latitude, longitude, region, handling_days } = self;
        let gln = gln.map_or_else(String::new, |gln| gln.to_string());
        let place = format!("{latitude:?} {longitude:?} {handling_days}");
        let identity = crate::hash::identity128(&[location.as_str(), &gln, &place, region.as_str()]);
        format!("{:016x}", identity >> 64)
    }
}

/// What the market for a SKU looked like to the API that accepted a submission, other suppliers' offers only.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct MarketSeen {
    /// Median price of one unit, minor units, in the submission's currency.
    pub median_minor: i64,
    /// Offers it was taken over.
    pub offers: u32,
    /// Median available units of these offers.
    pub median_units: i64,
    /// Median distance of their prices from the median price, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_minor: Option<i64>,
}

/// What became of one row.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    /// Done.
    Applied,
    /// Already done by an earlier request with the same sequence: nothing changed.
    Replayed,
    /// A newer sequence was here first: nothing changed, and that is a success.
    Superseded,
    /// The state does not allow it.
    Conflict,
    /// The row itself is wrong.
    Invalid,
}

/// The answer for one row.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct RowOutcome {
    /// Position of the row in the request, from 0.
    pub row: usize,
    /// The listing, location or reservation it was about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What became of it.
    pub status: RowStatus,
    /// Stable code of the reason, when not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reason for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The offending field as a JSON pointer into the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Units available to buyers after the row, for listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<i64>,
    /// What became of the stock that a listing was put with, when it was left alone: `superseded` or `replayed`, because
    /// the stock has a sequence of its own that is ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<RowStatus>,
}

impl RowOutcome {
    /// A row that did what it asked, or need not.
    pub fn ok(row: usize, subject: &str, status: RowStatus, available: Option<i64>) -> Self {
        let subject = subject.to_owned();
        Self { row, subject, status, code: None, detail: None, field: None, available, stock: None }
    }
    /// A row that was turned down.
    pub fn refused(
        row: usize,
        subject: &str,
        status: RowStatus,
        code: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            row,
            subject: subject.to_owned(),
            status,
            code: Some(code.to_owned()),
            detail: Some(detail.into()),
            field: None,
            available: None,
            stock: None,
        }
    }
}
