//! Order outcomes and account events: what happened to suppliers' promises.

use crate::{Attribute, BuyerId, EventId, ListingId, Money, OrderId, Region, Sku, SupplierId, Timestamp};

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
}

impl OrderEventKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
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
        }
    }
    /// The kind of a CloudEvents type, if it is one of ours.
    pub fn from_event_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.event_type() == text)
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
    /// The listing ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<ListingId>,
    /// The good ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// Units.
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
    /// What the account event shows of the supplier, as salted hashes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

impl OrderEvent {
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
}
