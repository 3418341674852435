//! What the fold tells its process.

use stockade_model::{LineChoice, LocationPut, OrderId, ReservationId, SupplierId, SupplierProfile};

use crate::domain::{
    answer::EventAnswer, index::Offer, key::Of, outcomes::Outcomes, reservation::Reservation,
};

/// What the fold tells its process.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A supplier was registered or changed; `cause` is the id of the control record.
    Registered {
        /// Its profile.
        profile: SupplierProfile,
        /// Id of the control record.
        cause: String,
    },
    /// A location of a supplier was created or replaced.
    Located {
        /// The supplier.
        supplier: SupplierId,
        /// The location.
        location: LocationPut,
    },
    /// What a listing offers now.
    Offered(Box<Offer>),
    /// A request was decided.
    Decided {
        /// Id of the record.
        id: String,
        /// Whose request.
        supplier: SupplierId,
        /// Under which its outcome is remembered: the idempotency key, else the record's id.
        key: String,
        /// The outcomes; `None` when the key was used with another body.
        rows: Option<Outcomes>,
        /// Rows of it that the supplier sent and that may add supply, the refused ones included; 0 where it was read back.
        adds: usize,
        /// Whether a buyer sent it, about what the supplier offers: its outcome is no business of the supplier's.
        of_buyer: bool,
        /// Whose key asked to hold something, and in how many rows.
        holds: Option<(String, usize)>,
        /// Whether this was a retry of a request decided before.
        retry: bool,
    },
    /// The outcome of a request is no longer remembered.
    Forgotten {
        /// Whose request.
        supplier: SupplierId,
        /// Its key.
        key: String,
    },
    /// What a reservation is now.
    Reserved {
        /// Whose stock, and which reservation.
        key: Of<ReservationId>,
        /// The reservation.
        reservation: Box<Reservation>,
    },
    /// A reservation is no longer known.
    ReservationForgotten(Of<ReservationId>),
    /// Offers were chosen for lines of a basket.
    Chosen {
        /// Id of the record.
        id: String,
        /// All that was chosen for the basket so far: for each line and turn what the first record of it said.
        lines: Vec<LineChoice>,
    },
    /// What became of an event.
    Answered {
        /// The event's identity, see [`event_identity`].
        identity: u128,
        /// What became of it.
        answer: EventAnswer,
        /// Whether it was decided now, rather than read back.
        news: bool,
    },
    /// What became of an event is no longer remembered.
    AnswerForgotten(u128),
    /// An order was placed, or read back.
    Placed {
        /// Whose.
        supplier: SupplierId,
        /// Which.
        order: OrderId,
        /// Whether it is kept until [`Effect::OrderForgotten`]; one that sets no stock aside is not.
        kept: bool,
    },
    /// An order is no longer kept.
    OrderForgotten {
        /// Whose.
        supplier: SupplierId,
        /// Which.
        order: OrderId,
    },
    /// How many units can be had of a supplier that is capped; `None` when it is not any more.
    Allowance {
        /// The supplier.
        supplier: SupplierId,
        /// Units, over all its listings.
        units: Option<i64>,
    },
    /// Many suppliers share a payout account with one.
    Crowded {
        /// The supplier.
        supplier: SupplierId,
        /// The salted hash of the account.
        payout: Box<str>,
    },
}
