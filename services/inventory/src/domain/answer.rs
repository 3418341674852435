//! What became of an event, for whoever sent it.

use stockade_model::Timestamp;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventStatus {
    /// It counts, for stock as well.
    Applied,
    /// It counts for the supplier's standing and concerns no stock.
    Noted,
    /// The same was said before: it changed nothing.
    Duplicate,
    /// It contradicts what is known: it changed nothing, or no more than fits.
    Conflict,
    /// It is kept and will count for stock when what it waits for is there.
    Parked,
}

impl EventStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Applied, Self::Noted, Self::Duplicate, Self::Conflict, Self::Parked];
    /// Its name, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Noted => "noted",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Parked => "parked",
        }
    }
}

/// Why, or what is remarkable about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventCode {
    /// The same outcome of the same line came before, under another event id.
    RepeatedOutcome,
    /// The same source and id came again.
    RepeatedId,
    /// The same source and id came before with another content.
    IdReused,
    /// More was shipped and cancelled than was ordered.
    MoreThanOrdered,
    /// The line was placed before, with another quantity or listing; or the part said before, with another quantity.
    Contradicts,
    /// It has a quantity and fits lines of several listings.
    AmbiguousQuantity,
    /// The order holds as much as an order may.
    OrderTooLarge,
    /// The supplier is not registered.
    UnknownSupplier,
    /// The supplier has no such listing.
    UnknownListing,
    /// Nothing was placed yet that it could be about.
    NotPlaced,
    /// It names no listing.
    NoListing,
    /// There is no such reservation; the order stands by itself.
    UnknownReservation,
    /// The reservation was released or has lapsed; the order stands by itself.
    ReservationOver,
    /// The reservation is of another listing; the order stands by itself.
    ReservationMismatch,
    /// The reservation has become another order; this one stands by itself.
    ReservationTaken,
}

impl EventCode {
    /// The answer to an event that came again, for metrics.
    pub const fn as_answer(self) -> &'static str {
        match self {
            Self::IdReused => EventStatus::Conflict.as_str(),
            _ => EventStatus::Duplicate.as_str(),
        }
    }
    /// What it means and what to do, for people.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::RepeatedOutcome => {
                "the same was said of this order before, under another event id; if it is another shipment or cancellation of the same quantity, name each with its own part"
            }
            Self::RepeatedId => "this source and id came before; nothing was counted again",
            Self::IdReused => {
                "this source and id came before with another content, which counts; send the correction under an id of its own"
            }
            Self::MoreThanOrdered => {
                "more was shipped and cancelled than was placed: what was shipped counts first and has left the shelf, cancellations count for what is left, and what is beyond both counts when more is placed"
            }
            Self::Contradicts => {
                "this line was placed, or this part said, with another quantity or listing before; cancel the line and place another"
            }
            Self::AmbiguousQuantity => {
                "it has a quantity and fits lines of several listings; name the line or the listing"
            }
            Self::OrderTooLarge => "an order has at most 500 lines and outcomes; split it",
            Self::UnknownSupplier => {
                "the supplier is not registered; it counts for stock when an operator has registered it and the listing is there"
            }
            Self::UnknownListing => {
                "the supplier has no such listing; it counts for stock when the listing is there"
            }
            Self::NotPlaced => "nothing was placed yet that it could be about; it counts when that has come",
            Self::NoListing => "it names no listing, so no stock is set aside for it; name the listing",
            Self::UnknownReservation => {
                "there is no such reservation; the order has its units beside any reservation"
            }
            Self::ReservationOver => {
                "the reservation was released or had lapsed; the order has its units all the same, and they may be missing"
            }
            Self::ReservationMismatch => {
                "the reservation is of another listing and stays as it is; the order has its units beside it"
            }
            Self::ReservationTaken => {
                "the reservation has become another order; this one has its units beside it"
            }
        }
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventAnswer {
    /// What became of it.
    pub status: EventStatus,
    /// Why, or what is remarkable about it.
    #[serde(default)]
    pub code: Option<EventCode>,
    /// Whether its source and id came again: `RepeatedId` or `IdReused`. Nothing of what came again was counted.
    #[serde(default)]
    pub again: Option<EventCode>,
}

impl EventAnswer {
    pub(crate) const fn of(status: EventStatus, code: Option<EventCode>) -> Self {
        Self { status, code, again: None }
    }
}

/// The row that remembers it.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct AnswerRow {
    pub(crate) answer: EventAnswer,
    pub(crate) at: Timestamp,
}
