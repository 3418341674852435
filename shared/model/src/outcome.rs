//! Order outcomes and account events: what happened to suppliers' promises.

use serde::de::MapAccess;

use crate::{
    Attribute, BuyerId, EventId, LineId, ListingId, Money, OrderId, Region, ReservationId, Sku, SupplierId,
    Timestamp,
    tagged::{self, Rest, Tagged},
};

/// What happened.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OrderEventKind {
    /// A buyer ordered.
    Placed,
    /// The supplier handed it over.
    Shipped,
    /// It arrived.
    Delivered,
    /// It was cancelled; see the cause.
    Cancelled,
    /// The buyer disputes the charge or the delivery: a claim.
    Disputed,
    /// The platform or an issuer attests fraud: counts at once.
    FraudConfirmed,
    /// The buyer was paid back.
    Refunded,
    /// The buyer left a rating from 1 to 5.
    Reviewed,
    /// The buyer complained: a claim.
    Complaint,
    /// The supplier's account was logged in to.
    Login,
    /// The supplier's payout account was changed.
    PayoutChanged,
    /// Not handed over by the promised time: decided by intake, for silence is a fact.
    Overdue,
    /// No delivery was seen by the promised day and a grace: decided by intake.
    Undelivered,
}

impl OrderEventKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Placed,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Disputed,
        Self::FraudConfirmed,
        Self::Refunded,
        Self::Reviewed,
        Self::Complaint,
        Self::Login,
        Self::PayoutChanged,
        Self::Overdue,
        Self::Undelivered,
    ];
    /// The CloudEvents type.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Placed => "stockade.order.placed",
            Self::Shipped => "stockade.order.shipped",
            Self::Delivered => "stockade.order.delivered",
            Self::Cancelled => "stockade.order.cancelled",
            Self::Disputed => "stockade.order.disputed",
            Self::FraudConfirmed => "stockade.order.fraud_confirmed",
            Self::Refunded => "stockade.order.refunded",
            Self::Reviewed => "stockade.order.reviewed",
            Self::Complaint => "stockade.order.complaint",
            Self::Login => "stockade.account.login",
            Self::PayoutChanged => "stockade.account.payout_changed",
            Self::Overdue => "stockade.order.overdue",
            Self::Undelivered => "stockade.order.undelivered",
        }
    }
    /// The kind of a CloudEvents type, if it is one that order systems may send.
    pub fn from_event_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.event_type() == text && !kind.is_derived())
    }
    /// Whether intake makes it out of what was not heard; nobody sends it.
    pub const fn is_derived(self) -> bool {
        matches!(self, Self::Overdue | Self::Undelivered)
    }
    /// Whether it is what somebody says of an order, rather than what a third party saw.
    pub const fn is_claim(self) -> bool {
        matches!(self, Self::Disputed | Self::Complaint | Self::Refunded | Self::Reviewed)
    }
    /// Account events are keyed by supplier, order outcomes by buyer.
    pub const fn is_account(self) -> bool {
        matches!(self, Self::Login | Self::PayoutChanged)
    }
}

/// Whose doing a cancellation, lateness or refund is. Only the supplier's counts against the supplier.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The supplier's: out of stock, refused, never shipped.
    Supplier,
    /// The buyer changed their mind.
    Buyer,
    /// The carrier lost or delayed it.
    Carrier,
    /// The platform: outage, pricing error, wave of late deliveries.
    Platform,
    /// Not known: counts against nobody.
    #[default]
    Unknown,
}

/// What a claim says is wrong.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ClaimReason {
    /// It never arrived.
    NotReceived,
    /// It is not what was offered: counterfeit, another good, a worse one.
    NotAsDescribed,
    /// It arrived broken.
    Damaged,
    /// Anything else.
    Other,
}

/// One outcome or account event as it is written to `events.inbox`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct OrderEvent {
    /// CloudEvents id: with `source` the identity of the event.
    pub id: EventId,
    /// CloudEvents source: the order system that says so.
    pub source: String,
    /// What happened.
    pub kind: OrderEventKind,
    /// When it happened.
    pub time: Timestamp,
    /// The supplier concerned.
    pub supplier: SupplierId,
    /// The order; required for all but account events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// The buyer; absent for guests and account events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<BuyerId>,
    /// The line of the order; lines of one listing that have no name are one line, and what was placed of them adds up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineId>,
    /// Which shipment or cancellation of its line this is: the same part said again is a repeat, another one adds up.
    /// Without it a shipment is told by its tracking number, else by its quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The reservation that became this line; without it, one that is named like the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<ReservationId>,
    /// The listing ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<ListingId>,
    /// The good ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// Units; absent is 1 when placed, and all that is left when shipped or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// Value of the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// Whose doing.
    #[serde(default)]
    pub cause: Cause,
    /// 1 to 5, for reviews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<u8>,
    /// Whether a shipment or delivery missed its promise.
    #[serde(default)]
    pub late: bool,
    /// Whether a login came from a device not seen before.
    #[serde(default)]
    pub new_device: bool,
    /// Kind of good, such as `health_beauty`, for comparing with peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Tracking number of a shipment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
    /// Where it was ordered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// By when the supplier promised to hand the order over; of `placed`, absent when nothing was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_by: Option<Timestamp>,
    /// By when the buyer was promised to have it; of `placed`, absent when nothing was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver_by: Option<Timestamp>,
    /// What the account event shows of the supplier, as salted hashes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// What a claim says is wrong, where the claimant says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ClaimReason>,
}

impl OrderEvent {
    /// An event that says nothing but what happened to whom.
    pub fn bare(
        id: EventId,
        source: &str,
        kind: OrderEventKind,
        time: Timestamp,
        supplier: SupplierId,
    ) -> Self {
        Self {
            id,
            source: source.to_owned(),
            kind,
            time,
            supplier,
            order: None,
            buyer: None,
            line: None,
            part: None,
            reservation: None,
            listing: None,
            sku: None,
            quantity: None,
            amount: None,
            cause: Cause::Unknown,
            rating: None,
            late: false,
            new_device: false,
            category: None,
            tracking: None,
            region: None,
            ship_by: None,
            deliver_by: None,
            reason: None,
            attributes: Vec::new(),
        }
    }
    /// The key of the event in `events.inbox`: buyer, for guests the order, for account events the supplier.
    pub fn inbox_key(&self) -> &str {
        if self.kind.is_account() {
            return self.supplier.as_str();
        }
        match (&self.buyer, &self.order) {
            (Some(buyer), _) => buyer.as_str(),
            (None, Some(order)) => order.as_str(),
            (None, None) => self.supplier.as_str(),
        }
    }
}

/// What the intake fold knows of the buyer at the moment it forwards one of their events.
#[derive(
    Clone, Copy, Debug, PartialEq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct BuyerHistory {
    /// Orders placed before this event.
    pub orders: u32,
    /// Disputes, complaints and refunds before this event.
    pub claims: u32,
    /// Confirmed frauds on this buyer's orders before this event.
    pub frauds: u32,
    /// Distinct suppliers claimed against before this event, counted to 16.
    pub suppliers_claimed: u32,
    /// Record time of the buyer's first event.
    pub since: Timestamp,
    /// Confirmed frauds far out of the buyer's own pattern at other suppliers, on orders of the seven days before this
    /// one: the sign of a stolen card rather than of a bad supplier.
    #[serde(default)]
    pub unusual_frauds_elsewhere: u32,
    /// Distinct other suppliers with a confirmed fraud of any value on orders of those days: a card that fraud follows
    /// from shop to shop.
    #[serde(default)]
    pub suppliers_defrauded_elsewhere: u32,
    /// Distinct other suppliers ordered from before this event, counted to 16.
    #[serde(default)]
    pub suppliers_elsewhere: u32,
}

/// Who vouches for what an outcome says.
#[derive(Clone, Copy, Debug, PartialEq, Default, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Vouched {
    /// The platform, a carrier, an issuer or the supplier itself.
    Attested,
    /// A buyer with a record that does not depend on this supplier.
    Witnessed {
        /// How much that record makes the claim worth, above 0 to 1.
        weight: f64,
    },
    /// Nobody but the one who says it.
    #[default]
    Bare,
}

impl<'de> serde::Deserialize<'de> for Vouched {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged::read(deserializer)
    }
}

/// Fields of [`Vouched::Witnessed`], to be read.
#[derive(serde::Deserialize)]
struct Witnessed {
    weight: f64,
}

impl<'de> Tagged<'de> for Vouched {
    const TAG: &'static str = "by";
    const NAMES: &'static [&'static str] = &["attested", "witnessed", "bare"];

    fn variant<A: MapAccess<'de>>(index: usize, rest: Rest<A>) -> Result<Self, A::Error> {
        match index {
            0 => rest.end().map(|()| Self::Attested),
            1 => rest.read().map(|Witnessed { weight }| Self::Witnessed { weight }),
            _ => rest.end().map(|()| Self::Bare),
        }
    }
}

impl Vouched {
    /// What the outcome is worth as evidence, 0 to 1.
    pub const fn weight(self) -> f64 {
        match self {
            Self::Attested => 1.0,
            Self::Witnessed { weight } => weight,
            Self::Bare => 0.0,
        }
    }
}

/// What the intake fold remembers of the order that an outcome belongs to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct OrderSeen {
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Standard deviations of its value above the mean of the buyer's earlier orders; absent with fewer than five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_z: Option<f64>,
    /// Kind of good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Whether this is the first that was heard of it after it was placed.
    #[serde(default)]
    pub settles: bool,
    /// Whether this is the first that went wrong with it.
    #[serde(default)]
    pub spoils: bool,
    /// Whether this is the first outcome of its kind for the order.
    #[serde(default)]
    pub first: bool,
    /// Whether this is the first that went wrong with it for which somebody vouches.
    #[serde(default)]
    pub tells: bool,
    /// Whether it is a claim on an order that was claimed for days ago and was not paid back since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Whether the same buyer had ordered from the same supplier in the 30 days before it.
    #[serde(default)]
    pub repeat: bool,
    /// Where it was ordered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Whose doing the first that went wrong with it was, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoiled_by: Option<Cause>,
}

/// An outcome as the intake fold forwards it into `supplier.events`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Outcome {
    /// The event.
    pub event: OrderEvent,
    /// The buyer's own history, absent for guests and account events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<BuyerHistory>,
    /// The order, if it was seen to be placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderSeen>,
    /// Who vouches for it; absent in records from before that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
    /// Whether intake takes back what it had made of silence: the news had come late, or the fault was not the supplier's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// Whether the same was said of the order before, under another event id: it counts for nothing more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

impl Outcome {
    /// An outcome of which nothing is known beside the event.
    pub const fn of(event: OrderEvent) -> Self {
        Self { event, history: None, order: None, vouched: None, withdrawn: false, repeated: false }
    }
}

/// An event came again under an identity that was taken: what intake tells of it, so that its sender can find out.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct EventAgain {
    /// CloudEvents id.
    pub id: EventId,
    /// CloudEvents source.
    pub source: String,
    /// The supplier that it names now.
    pub supplier: SupplierId,
    /// Whether it says something else than the first one; nothing of it was taken.
    pub differs: bool,
}
