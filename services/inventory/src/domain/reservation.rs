//! A reservation: units held for a buyer, from the hold to the order that they become.
//!
//! ```text
//! held --confirm--> confirmed --an event names it--> ordered --all of it is cancelled--> cancelled
//!   |  \----------------------- an event names it -----^
//!   |--release--> released            confirmed, 90 days without an order --> lapsed
//!   '--its time is over--> lapsed
//! ```
//! A held or confirmed reservation keeps its units from other buyers by itself. Once an outcome of an order names it (by
//! `reservation`, or because the order is named like it), its units are the order's, so that hold, confirmation, `placed`,
//! `shipped` and `cancelled` count the units once in whatever sequence they come. What is released or lapsed gives its name
//! free: a hold under the same name is a new one.
//!
//! An order may take it line by line. What was placed is the lines', and what no line has taken yet is its rest, which it keeps
//! itself as it would without the order: unconfirmed until it expires, confirmed until 90 days are over. The rest ends
//! sooner when its owner gives it back, or when the order, or all that it is of the order, is cancelled.

use stockade_model::{BasketId, ListingId, OrderId, Region, Timestamp, time::DAY_MS};

/// A reservation that was confirmed, or an order, of which nothing more is heard is closed after this time.
pub(crate) const SILENT_MS: i64 = 90 * DAY_MS;
/// How long it is known that a reservation was released or has lapsed.
const ENDED_KEPT_MS: i64 = DAY_MS;

/// Where a reservation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReservationState {
    /// Units are kept until it expires.
    Held,
    /// The buyer took it; units are kept until an order names it.
    Confirmed,
    /// It has become an order, whose lines keep the units that were placed.
    Ordered,
    /// It has become an order, which was cancelled.
    Cancelled,
    /// It was given back.
    Released,
    /// Its time was over.
    Lapsed,
}

/// That a reservation is a line of a basket, and which.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct InBasket {
    /// The basket.
    pub basket: BasketId,
    /// Place in it, from 0. Line 0 is its head: what became of that is what becomes of a basket that is to be had as a whole.
    pub line: u16,
    /// Lines of the basket.
    pub lines: u16,
    /// Whether the basket is to be had as a whole or not at all.
    pub whole: bool,
    /// Which attempt to make the basket the line belongs to: the offset at which that held the head.
    pub epoch: u64,
    /// Whether it is tentative no more.
    pub kept: bool,
}

/// A reservation.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(from = "StoredReservation")]
pub struct Reservation {
    /// What is reserved.
    pub listing: ListingId,
    /// Units.
    pub quantity: i64,
    /// Where they are to go, if that was said.
    pub region: Option<Region>,
    /// Name of the key that made it; absent in rows of builds that knew no owners.
    pub owner: Option<String>,
    /// Hash of what was asked for.
    pub request: Option<String>,
    /// Where it is in its life.
    pub state: ReservationState,
    /// Record time at which it came there.
    pub since: Timestamp,
    /// When it lapses if it is still held.
    pub expires_at: Timestamp,
    /// The order it has become.
    pub order: Option<OrderId>,
    /// Whether its owner confirmed it.
    pub confirmed: bool,
    /// Units that no line of its order has taken, and that it keeps itself.
    pub rest: i64,
    /// The basket that it is a line of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basket: Option<Box<InBasket>>,
}

/// The row as it is stored, and as earlier builds stored it.
#[derive(serde::Deserialize)]
struct StoredReservation {
    listing: ListingId,
    quantity: i64,
    #[serde(default)]
    region: Option<Region>,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    request: Option<String>,
    #[serde(default)]
    state: Option<ReservationState>,
    #[serde(default)]
    since: Option<Timestamp>,
    expires_at: Timestamp,
    #[serde(default)]
    order: Option<OrderId>,
    /// In rows without a state, of earlier builds: then a confirmed hold had an order line of its own.
    #[serde(default)]
    confirmed: bool,
    #[serde(default)]
    rest: i64,
    #[serde(default)]
    basket: Option<Box<InBasket>>,
}

impl From<StoredReservation> for Reservation {
    fn from(row: StoredReservation) -> Self {
        let earlier = if row.confirmed { ReservationState::Ordered } else { ReservationState::Held };
        let state = row.state.unwrap_or(earlier);
        Self {
            listing: row.listing,
            quantity: row.quantity,
            region: row.region,
            owner: row.owner,
            request: row.request,
            state,
            since: row.since.unwrap_or(row.expires_at),
            expires_at: row.expires_at,
            order: row.order,
            confirmed: row.confirmed || state == ReservationState::Confirmed,
            rest: row.rest,
            basket: row.basket,
        }
    }
}

impl Reservation {
    /// Units it keeps from other buyers by itself.
    pub fn kept(&self) -> i64 {
        if self.is_open() { self.quantity } else { self.rest }
    }
    /// Units it keeps from other buyers as a hold.
    pub(crate) fn held(&self) -> i64 {
        if self.confirmed { 0 } else { self.kept() }
    }
    /// Units it keeps from other buyers as a confirmed reservation.
    pub(crate) fn confirmed(&self) -> i64 {
        if self.confirmed { self.kept() } else { 0 }
    }
    /// Whether it keeps its units by itself and no order has named it.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, ReservationState::Held | ReservationState::Confirmed)
    }
    /// Whether it lapses unless it is confirmed.
    pub fn may_lapse(&self) -> bool {
        self.held() > 0
    }
    /// Whether it is over without an order, so that its name is free.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.state, ReservationState::Released | ReservationState::Lapsed)
    }
    /// Whether the caller with the fingerprint `owner` may act on it.
    pub(crate) fn is_owned_by(&self, owner: Option<&str>) -> bool {
        self.owner.as_deref() == owner
    }
    /// The basket that it is a line of, if that is to be had as a whole or not at all.
    pub(crate) fn of_whole(&self) -> Option<&InBasket> {
        self.basket.as_deref().filter(|basket| basket.whole)
    }
    /// When time does something to it: it lapses, or it is forgotten. The only place that says so.
    pub(crate) fn due(&self) -> Timestamp {
        match self.state {
            _ if self.may_lapse() => self.expires_at,
            ReservationState::Held => self.expires_at,
            ReservationState::Confirmed | ReservationState::Ordered | ReservationState::Cancelled => {
                self.since.plus_ms(SILENT_MS)
            }
            ReservationState::Released | ReservationState::Lapsed => self.since.plus_ms(ENDED_KEPT_MS),
        }
    }
    /// The same in another state, from `now` on.
    pub(crate) fn to(&self, state: ReservationState, now: Timestamp) -> Self {
        let confirmed = self.confirmed || state == ReservationState::Confirmed;
        Self { state, since: now, confirmed, ..self.clone() }
    }
}
