//! Shipments and cancellations: what they are about, and which of them are the same.

use stockade_model::{LineId, ListingId, OrderEvent, ReservationId};

/// The lines that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) struct Selection {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<LineId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reservation: Option<ReservationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) listing: Option<ListingId>,
}

impl Selection {
    /// What names most is served first.
    pub(super) fn precision(&self) -> usize {
        usize::from(self.line.is_some() || self.reservation.is_some()) + usize::from(self.listing.is_some())
    }
    /// Whether both may mean the same line: a line named by its name is not one named by another reservation.
    fn is_compatible(&self, other: &Self) -> bool {
        let (lines, reservations) = (
            self.line.as_ref().zip(other.line.as_ref()),
            self.reservation.as_ref().zip(other.reservation.as_ref()),
        );
        let names_none = |of: &Self| of.line.is_none() && of.reservation.is_none();
        let same_line = match (lines, reservations) {
            (Some((left, right)), _) => left == right,
            (None, Some((left, right))) => left == right,
            (None, None) => names_none(self) || names_none(other),
        };
        same_line && compatible(self.listing.as_ref(), other.listing.as_ref())
    }
}

/// What an outcome does to the lines it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum Deed {
    Shipped,
    Cancelled,
}

/// A shipment or a cancellation. Two are the same when they do the same to the same lines in the same part; where no part is
/// named, when their quantity is the same too, for a sender that says it again under another id is far more common than
/// two equal halves, and taking one for two would sell what is owed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) struct Act {
    pub(super) deed: Deed,
    pub(super) of: Selection,
    /// The part named, or the tracking number of a shipment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Box<str>>,
    /// Units; absent is all that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) quantity: Option<i64>,
}

/// Whether two selections may mean the same line.
pub(super) fn compatible<T: PartialEq>(left: Option<&T>, right: Option<&T>) -> bool {
    left.zip(right).is_none_or(|(left, right)| left == right)
}

impl Act {
    /// Whether `other` is about the same part of the same lines.
    pub(super) fn is_same_part(&self, other: &Self) -> bool {
        let exact = self.of == other.of;
        self.deed == other.deed
            && self.part == other.part
            && match self.part {
                Some(_) => exact,
                // With a quantity, naming the line in one and not in the other makes no other act of it.
                None => {
                    let close = self.quantity.is_some() && self.of.is_compatible(&other.of);
                    self.quantity == other.quantity && (exact || close)
                }
            }
    }
}

/// The lines that `event` is about. An order that is named like its reservation names it in every event, so there it does not
/// tell one line from another.
fn selection(event: &OrderEvent, reservation: Option<&ReservationId>) -> Selection {
    let reservation = reservation.filter(|_| event.reservation.is_some()).cloned();
    Selection { line: event.line.clone(), reservation, listing: event.listing.clone() }
}

pub(super) fn act_of(deed: Deed, event: &OrderEvent, reservation: Option<&ReservationId>) -> Act {
    let tracking = event.tracking.clone().filter(|_| deed == Deed::Shipped);
    Act {
        deed,
        of: selection(event, reservation),
        part: event.part.clone().or(tracking).map(String::into_boxed_str),
        quantity: event.quantity,
    }
}
