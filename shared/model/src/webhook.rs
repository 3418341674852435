//! Notices to other systems: what happened, who wants to hear of it where, and what became of telling them.

use crate::{SupplierId, Timestamp};

/// Whom something concerns.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(tag = "whom", rename_all = "snake_case")]
pub enum Audience {
    /// A supplier, and who watches over all suppliers.
    Supplier {
        /// The supplier.
        supplier: SupplierId,
    },
    /// The buyer of a reservation, and order systems.
    Buyer {
        /// Name of the key that made the reservation.
        key: String,
    },
    /// Who runs the platform, and nobody else.
    Operators,
}

/// Something that happened, as it is told outside: in the words of the API, never with what only the platform may know.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Notice {
    /// Its name: the same whenever it is told again.
    pub id: String,
    /// What happened, such as `decision.restricted`.
    pub event: String,
    /// When.
    pub at: Timestamp,
    /// Whom it concerns.
    pub audience: Audience,
    /// What is told of it.
    pub data: serde_json::Value,
}

/// Whose an endpoint is: who may change it, and what it hears of.
#[derive(
    Clone,
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
#[serde(tag = "owner", rename_all = "snake_case")]
pub enum EndpointOwner {
    /// A supplier, with whichever of its keys: it hears of itself.
    Supplier {
        /// The supplier.
        supplier: SupplierId,
    },
    /// A buyer, by the name of the key that makes its reservations: it hears of these.
    Buyer {
        /// The name.
        key: String,
    },
    /// An order system, by the name of its key: it hears of every buyer's reservations.
    OrderSystem {
        /// The name.
        key: String,
    },
    /// Who runs the platform: hears of every supplier, every reservation, and the platform itself.
    Operators,
}

impl EndpointOwner {
    /// Whether what concerns `audience` is for its ears.
    pub fn hears(&self, audience: &Audience) -> bool {
        match (self, audience) {
            (Self::Operators, _) | (Self::OrderSystem { .. }, Audience::Buyer { .. }) => true,
            (Self::Supplier { supplier }, Audience::Supplier { supplier: of }) => supplier == of,
            (Self::Buyer { key }, Audience::Buyer { key: of }) => key == of,
            _ => false,
        }
    }
}

/// Why an attempt failed: stable names, for metrics and for who reads the list of deliveries.
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
pub enum AttemptFailure {
    /// The name of the host has no address.
    Name,
    /// The host has an address that is not on the public internet.
    InwardAddress,
    /// Nobody took the connection.
    Connect,
    /// No TLS, or a certificate that is not trusted.
    Tls,
    /// It was not answered in time.
    Timeout,
    /// The connection ended without an answer.
    Closed,
    /// It was answered with a redirect, which is not followed.
    Redirect,
    /// It was answered with another status than 2xx.
    Status,
    /// The process could not make the request; this says nothing of the endpoint.
    Unsent,
}

impl AttemptFailure {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Name,
        Self::InwardAddress,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Closed,
        Self::Redirect,
        Self::Status,
        Self::Unsent,
    ];
    /// Its name, as in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::InwardAddress => "inward_address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::Unsent => "unsent",
        }
    }
}

/// What somebody asks about an endpoint of theirs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum EndpointAsk {
    /// Begin to be told.
    Create {
        /// Where to.
        url: String,
        /// Which events; all that its owner may hear of when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        events: Vec<String>,
        /// What it is for, in its owner's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Which key of the installation its secrets are derived from.
        master: String,
    },
    /// Change what is named.
    Change {
        /// Where to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        /// Which events; all when empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        events: Option<Vec<String>>,
        /// What it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Whether it is told anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enabled: Option<bool>,
    },
    /// Sign with a new secret; the former one signs too for a day.
    Rotate {
        /// Which key of the installation the new secret is derived from.
        master: String,
    },
    /// End it.
    Delete,
    /// Be told a `ping`.
    Test,
    /// Be told one thing again.
    Redeliver {
        /// The delivery.
        delivery: String,
    },
    /// Be told again what happened since.
    Replay {
        /// Since when.
        since: Timestamp,
    },
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Attempt {
    /// Why it failed; absent when it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<AttemptFailure>,
    /// The status it was answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What to know of a failure, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
    /// How long the endpoint asks to be left alone, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<i64>,
}

/// A record of `webhooks`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "webhook", rename_all = "snake_case")]
pub enum WebhookRecord {
    /// Something happened.
    Notice(Notice),
    /// Somebody asks something about an endpoint.
    Asked {
        /// The endpoint.
        endpoint: String,
        /// Who asks.
        by: EndpointOwner,
        /// What.
        what: EndpointAsk,
    },
    /// Nobody may ask about an endpoint any more: the key whose it was, or every key of its supplier, was revoked a while ago.
    OwnerGone {
        /// The endpoint.
        endpoint: String,
        /// What is gone, in a sentence.
        reason: String,
    },
    /// A delivery was tried.
    Attempted {
        /// The endpoint.
        endpoint: String,
        /// The delivery.
        delivery: String,
        /// How often it had been tried before: a result that comes twice counts once.
        before: u32,
        /// How it went.
        attempt: Attempt,
        /// When, by the time that deliveries are due by, where the log's was not it: after a clock that jumped forward and back record
        /// times stand still, and pauses counted from them would have passed already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
}
