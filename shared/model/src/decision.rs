//! Proposals and decisions: what rules and people ask for, and what the arbiter made of it.

use std::collections::BTreeMap;

use crate::{Cause, ListingId, Position, Region, RuleId, Sku, SupplierId, Timestamp};

/// How hard a restriction bites; ordered.
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
pub enum Level {
    /// Looked at, nothing else.
    Watch,
    /// A lower rate of writes.
    Limit,
    /// Ranked last.
    Dim,
    /// Offers withheld from buyers; writes still succeed in the dark.
    Quarantine,
    /// Offers withheld and writes refused, reductions and withdrawals excepted.
    Lockout,
}

impl Level {
    /// Every level, mildest first.
    pub const ALL: [Self; 5] = [Self::Watch, Self::Limit, Self::Dim, Self::Quarantine, Self::Lockout];
    /// The name in records, metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Limit => "limit",
            Self::Dim => "dim",
            Self::Quarantine => "quarantine",
            Self::Lockout => "lockout",
        }
    }
    /// Whether buyers no longer see the offers.
    pub fn withholds(self) -> bool {
        self >= Self::Quarantine
    }
}

/// What a restriction covers.
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
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scope {
    /// Everything of the supplier.
    Supplier,
    /// The supplier's offers in one region.
    Region {
        /// The region.
        region: Region,
    },
    /// The supplier's offers of one good.
    Sku {
        /// The good.
        sku: Sku,
    },
    /// One listing.
    Listing {
        /// The listing.
        listing: ListingId,
    },
}

/// A rule and the content-hashed set it came from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct RuleRef {
    /// The rule.
    pub id: RuleId,
    /// Content hash of its set.
    pub version: String,
}

/// Something asked of the arbiter.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Proposal {
    /// A rule is true.
    Rule(Box<RuleProposal>),
    /// A person lifts a restriction.
    Release {
        /// The supplier.
        supplier: SupplierId,
        /// The restriction; absent means all of the supplier's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restriction: Option<String>,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person overrides the rules for one supplier until `expires_at`.
    Override {
        /// The supplier.
        supplier: SupplierId,
        /// Deny at this level, or allow when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deny: Option<Level>,
        /// What it covers.
        scope: Scope,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// A person takes an allow override back before it expires.
    ClearOverride {
        /// The supplier.
        supplier: SupplierId,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
}

impl Proposal {
    /// The supplier concerned.
    pub fn supplier(&self) -> &SupplierId {
        match self {
            Proposal::Rule(rule) => &rule.supplier,
            Proposal::Release { supplier, .. }
            | Proposal::Override { supplier, .. }
            | Proposal::ClearOverride { supplier, .. } => supplier,
        }
    }
}

/// What a true rule asks for, with everything needed to explain it later.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct RuleProposal {
    /// The supplier.
    pub supplier: SupplierId,
    /// What to cover.
    pub scope: Scope,
    /// How hard.
    pub level: Level,
    /// The rule.
    pub rule: RuleRef,
    /// Stable reason codes.
    pub reasons: Vec<String>,
    /// Every feature the rule read, by name, with the value seen.
    pub values: BTreeMap<String, f64>,
    /// The condition tree with the value of each branch, as text lines.
    pub tree: Vec<String>,
    /// How long, in milliseconds.
    pub duration_ms: i64,
    /// The evidence count: after a release the rule stays mute until this has grown.
    pub evidence: f64,
}

/// A restriction in force.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Restriction {
    /// Its id, unique for ever.
    pub id: String,
    /// The position that imposed it.
    pub version: Position,
    /// What it covers.
    pub scope: Scope,
    /// How hard it bites.
    pub level: Level,
    /// Stable reason codes.
    pub reasons: Vec<String>,
    /// The rule, absent for a person's decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// The person, absent for a rule's decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Feature values seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f64>,
    /// The condition tree with the value of each branch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tree: Vec<String>,
    /// Since when, record time.
    pub since: Timestamp,
    /// Until when; expiry is decided on a tick.
    pub expires_at: Timestamp,
    /// When a person should look at it.
    pub review_at: Timestamp,
    /// The event that set it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Evidence count at the time.
    #[serde(default)]
    pub evidence: f64,
}

/// What a decision did.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A restriction began.
    Imposed,
    /// A restriction was replaced by a harder one on the same scope.
    Raised,
    /// A person lifted it.
    Released,
    /// It ran out.
    Expired,
    /// It would have run out, but its rule held lately: it ends later.
    Extended,
    /// An allow override began and lifted what rules had imposed.
    Allowed,
    /// An allow override ended.
    AllowEnded,
}

/// One decision: what changed, and the supplier's whole set in force after it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Decision {
    /// Position of the cause: orders decisions and makes writes idempotent.
    pub version: Position,
    /// Record time of the proposal or tick that caused it.
    pub at: Timestamp,
    /// The supplier.
    pub supplier: SupplierId,
    /// What happened.
    pub action: Action,
    /// The restriction it happened to; absent for an override that changed none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restriction: Option<Restriction>,
    /// Who, for a person's decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Why, for a person's decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Everything in force for the supplier from here on.
    pub in_force: Vec<Restriction>,
    /// Hash chain over all decisions: SHA-256 of the previous link and this decision with an empty `chain`, hex.
    pub chain: String,
}

impl Decision {
    /// The link that follows `previous`: see [`Decision::chain`].
    pub fn link(&self, previous: &str) -> String {
        use sha2::Digest as _;
        let unlinked = Self { chain: String::new(), ..self.clone() };
        let mut hash = sha2::Sha256::new();
        hash.update(previous.as_bytes());
        // Serialising our own plain structs to memory has no failing case; an empty body would still chain.
        hash.update(serde_json::to_vec(&unlinked).unwrap_or_default());
        crate::hash::hex(&hash.finalize())
    }
}
