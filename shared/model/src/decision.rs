//! Proposals and decisions: what rules and people ask for, and what the arbiter made of it.

use std::collections::BTreeMap;

use crate::{Cause, ListingId, Position, Precondition, Region, RuleId, Sku, SupplierId, Timestamp};

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
    /// Visible, but no more can be reserved or ordered than was proven by hand-overs.
    Cap,
    /// Ranked last.
    Dim,
    /// Offers withheld from buyers; writes still succeed in the dark.
    Quarantine,
    /// Offers withheld and writes refused, reductions and withdrawals excepted.
    Lockout,
}

impl Level {
    /// Every level, mildest first.
    pub const ALL: [Self; 6] =
        [Self::Watch, Self::Limit, Self::Cap, Self::Dim, Self::Quarantine, Self::Lockout];
    /// The name in records, metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Limit => "limit",
            Self::Cap => "cap",
            Self::Dim => "dim",
            Self::Quarantine => "quarantine",
            Self::Lockout => "lockout",
        }
    }
    /// Whether its supplier writes at a lower rate. Harder levels do not: what is withheld has to be corrected.
    pub fn slows(self) -> bool {
        self == Self::Limit
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
    /// Content hash of the rule itself: the same in every set in which it is written the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
}

/// A bound that a rule tested, and the value that would be on its other side.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Counterfactual {
    /// The feature.
    pub feature: String,
    /// What was seen; absent when it is unknown.
    pub seen: Option<f64>,
    /// The test, such as `>= 5`.
    pub test: String,
    /// The nearest value with which the test would come out the other way.
    pub needed: f64,
    /// Whether that alone would change what the rule says.
    pub decides: bool,
}

/// How much may be withheld in a window; past it what a rule finds goes to review.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Budget {
    /// Suppliers newly withheld in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppliers: Option<u32>,
    /// Share of all available units that these suppliers hold, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_share: Option<f64>,
    /// Length of the window in milliseconds.
    pub per_ms: i64,
}

/// What a supplier offers, as the guards count it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct StockFigures {
    /// Listings with anything available.
    pub listings: u64,
    /// Units available, at most [`StockFigures::UNITS_COUNTED_MAX`] of each listing, so that claiming a mountain of stock
    /// makes nobody too big to be withheld.
    pub units: u64,
}

impl StockFigures {
    /// Most units of one listing that count.
    pub const UNITS_COUNTED_MAX: u64 = 1_000;
}

/// What a person makes of something that waits for a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The restriction is right: it is confirmed, imposed where a budget held it back, or stays against an appeal.
    Uphold,
    /// It is not: it is released, or not imposed.
    Release,
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
        /// What must be in force on that very scope for it to count: the tag is the id of the restriction there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        precondition: Option<Precondition>,
        /// What the supplier is told of the facts; the reason is for colleagues.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
    },
    /// A person moves the end of a restriction.
    Extend {
        /// The supplier.
        supplier: SupplierId,
        /// The restriction.
        restriction: String,
        /// The new end.
        expires_at: Timestamp,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person looked at a restriction and found it right.
    Confirm {
        /// The supplier.
        supplier: SupplierId,
        /// The restriction.
        restriction: String,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// The person who confirmed a restriction takes that back: it waits for a review again.
    Reopen {
        /// The supplier.
        supplier: SupplierId,
        /// The restriction.
        restriction: String,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person mutes one rule for one supplier.
    Snooze {
        /// The supplier.
        supplier: SupplierId,
        /// The rule.
        rule: RuleId,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// A supplier says that a restriction is wrong.
    Appeal {
        /// The supplier.
        supplier: SupplierId,
        /// The restriction.
        restriction: String,
        /// Who wrote it.
        actor: String,
        /// What the supplier says.
        text: String,
    },
    /// A person asks for the next thing to review, or for a certain one.
    Claim {
        /// The review; the most urgent one that nobody has when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        review: Option<String>,
        /// Who.
        actor: String,
    },
    /// A person gives a claim back, so that somebody else is given the review.
    GiveBack {
        /// The review.
        review: String,
        /// Who.
        actor: String,
    },
    /// A person settles a review.
    Settle {
        /// The review.
        review: String,
        /// What was found.
        finding: Finding,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// All rules go into shadow at once, or come back.
    KillSwitch {
        /// Whether rules are in shadow.
        on: bool,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A rule that exceeded its budget may act again.
    Rearm {
        /// The rule.
        rule: RuleId,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// What a supplier offers has changed.
    Stock {
        /// The supplier.
        supplier: SupplierId,
        /// What it offers now.
        figures: StockFigures,
    },
    /// A rule that needed what is known of links to others no longer holds, for that is no longer known.
    Unlinked {
        /// The supplier.
        supplier: SupplierId,
        /// The rule.
        rule: RuleId,
    },
    /// What a rule found is corrected or grown out of: its own condition of cure holds.
    Cured {
        /// The supplier.
        supplier: SupplierId,
        /// The rule.
        rule: RuleId,
        /// What the rule had covered.
        scope: Scope,
    },
    /// A rule as it was written acts no more: it left the set, was taken out of live mode, or is written otherwise. What it
    /// asked for and what has not begun yet does not begin; what is in force stays.
    Gone {
        /// The rule, as it was.
        rule: RuleRef,
    },
    /// A person restores everyone whom one rule restricted since a time: what it imposed and is in force is released, and
    /// what a budget held back of it is dismissed, one decision each.
    Restore {
        /// The rule.
        rule: RuleId,
        /// What it imposed from then on; absent means all that is in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
        /// Whether what a person confirmed is released as well.
        #[serde(default, skip_serializing_if = "is_false")]
        confirmed: bool,
        /// Content hash of the rule as it is in force, where it is to be stopped in the same act: written so, it does nothing
        /// any more until it is rearmed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop: Option<String>,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person takes an allow override back before it expires.
    ClearOverride {
        /// The supplier.
        supplier: SupplierId,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
        /// What people must have decided for it to count: the tag is the id of the newest restriction in force that a person made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        precondition: Option<Precondition>,
    },
}

impl Proposal {
    /// The supplier concerned, if it concerns one.
    pub fn supplier(&self) -> Option<&SupplierId> {
        match self {
            Proposal::Rule(rule) => Some(&rule.supplier),
            Proposal::Release { supplier, .. }
            | Proposal::Override { supplier, .. }
            | Proposal::Extend { supplier, .. }
            | Proposal::Confirm { supplier, .. }
            | Proposal::Reopen { supplier, .. }
            | Proposal::Snooze { supplier, .. }
            | Proposal::Appeal { supplier, .. }
            | Proposal::Stock { supplier, .. }
            | Proposal::Unlinked { supplier, .. }
            | Proposal::Cured { supplier, .. }
            | Proposal::ClearOverride { supplier, .. } => Some(supplier),
            Proposal::Claim { .. }
            | Proposal::GiveBack { .. }
            | Proposal::Settle { .. }
            | Proposal::KillSwitch { .. }
            | Proposal::Restore { .. }
            | Proposal::Gone { .. }
            | Proposal::Rearm { .. } => None,
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
    /// What the supplier is told beside the codes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What would have had to differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
    /// Who vouches for the outcomes that the rule counted; empty when it counted none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched: Vec<VouchedBy>,
    /// Whether the rule would not hold without what is known of links to others.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_association: bool,
    /// Whether the supplier is of the share that is only dimmed, to keep evidence of the rule's precision.
    #[serde(default, skip_serializing_if = "is_false")]
    pub holdout: bool,
    /// How much the rule may withhold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How much all rules together may withhold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_of_all: Option<Budget>,
    /// How many suppliers all rules together may newly cap, limit or dim; the arbiter's own number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_of_caps: Option<Budget>,
    /// Up to how many milliseconds later it begins, where it withholds nothing, so that who probes cannot tell by what.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter_ms: i64,
    /// How many suppliers restricted by one kind of evidence are never taken for a sign that it is wrong; the arbiter's own
    /// number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_up_to: Option<u32>,
}

/// Who vouches for outcomes that a rule counted.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum VouchedBy {
    /// The platform, a carrier, an issuer or the supplier itself.
    Attested,
    /// Buyers, each weighed by a record that does not depend on the supplier.
    Witnessed,
    /// Buyers, whatever their record.
    Claimed,
}

impl VouchedBy {
    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::Witnessed => "witnessed",
            Self::Claimed => "claimed",
        }
    }
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Who found a restriction right, and when.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Confirmed {
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// Who had found so before, and when: what stands again when this is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Confirmed>>,
}

impl Confirmed {
    /// By a person, now; of what was found before, the last is kept.
    pub fn by(actor: &str, at: Timestamp, before: Option<Self>) -> Self {
        let before = before.map(|before| Box::new(Self { before: None, ..before }));
        Self { actor: actor.to_owned(), at, before }
    }
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
    /// What the supplier is told beside the codes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What would have had to differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
    /// Who vouches for the outcomes that were counted; empty when none were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched: Vec<VouchedBy>,
    /// Whether it rests on links to others: it ends when these do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_association: bool,
    /// Whether it was only dimmed to keep evidence of the rule's precision.
    #[serde(default, skip_serializing_if = "is_false")]
    pub holdout: bool,
    /// The level that its rule asked for, where it is only watched because what the rule measures by is suspect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Level>,
    /// The person who found it right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmed>,
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
    /// A person found it right.
    Confirmed,
    /// The person who had found it right took that back.
    Reopened,
    /// The links to others that it rested on are gone.
    Unlinked,
    /// What its rule had found is corrected or grown out of.
    Cured,
    /// A rule was muted for this supplier.
    Snoozed,
    /// The supplier says that it is wrong.
    Appealed,
    /// The appeal was turned down.
    AppealRejected,
    /// A rule's budget was exceeded: this supplier was not restricted, a person will look at it.
    OverBudget,
    /// A person looked at what a budget had held back, and did not impose it.
    Dismissed,
    /// It is only watched from here on: what its rule measures by found so many suppliers at once that it is suspect.
    Lowered,
}

impl Action {
    /// Its name, as in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Imposed => "imposed",
            Action::Raised => "raised",
            Action::Released => "released",
            Action::Expired => "expired",
            Action::Extended => "extended",
            Action::Allowed => "allowed",
            Action::AllowEnded => "allow_ended",
            Action::Confirmed => "confirmed",
            Action::Reopened => "reopened",
            Action::Unlinked => "unlinked",
            Action::Cured => "cured",
            Action::Snoozed => "snoozed",
            Action::Appealed => "appealed",
            Action::AppealRejected => "appeal_rejected",
            Action::OverBudget => "over_budget",
            Action::Dismissed => "dismissed",
            Action::Lowered => "lowered",
        }
    }
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
    /// What several decisions were made by together: the id of the record by which a person asked to restore everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
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
        hash.update(crate::encode::json(&unlinked));
        crate::hash::hex(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_called_as_in_records() {
        let all = [
            Action::Imposed,
            Action::Raised,
            Action::Released,
            Action::Expired,
            Action::Extended,
            Action::Allowed,
            Action::AllowEnded,
            Action::Confirmed,
            Action::Reopened,
            Action::Unlinked,
            Action::Cured,
            Action::Snoozed,
            Action::Appealed,
            Action::AppealRejected,
            Action::OverBudget,
            Action::Dismissed,
            Action::Lowered,
        ];
        for action in all {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
    }
}
