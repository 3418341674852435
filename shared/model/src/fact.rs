//! What is known by another key than the supplier: asked in `scoring.rekeyed`, answered as facts in `supplier.events`.

use crate::{Invalid, SupplierId, Timestamp};

/// What two suppliers may share.
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
pub enum AttributeKind {
    /// A payout account.
    Payout,
    /// A device that logs in.
    Device,
    /// A postal address.
    Address,
    /// A tax id.
    TaxId,
}

/// An attribute of a supplier: never the thing itself, only a salted hash of it that its sender made.
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
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// What it is.
    pub kind: AttributeKind,
    /// Lower-case hex of a salted hash, 32 to 64 digits.
    pub hash: String,
}

impl Attribute {
    /// Refuses what is not a hash, so that no account number or address is ever kept by mistake.
    pub fn check(&self) -> Result<(), Invalid> {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if (32..=64).contains(&self.hash.len()) && self.hash.chars().all(hex) {
            return Ok(());
        }
        let detail = "send a salted hash, 32 to 64 lower-case hex digits, never the thing itself";
        Err(Invalid::new("not_a_hash", detail.to_owned()))
    }
}

/// A supplier was seen with an attribute, or its standing changed; keyed by attribute.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct LinkSeen {
    /// The attribute.
    pub attribute: Attribute,
    /// Who.
    pub supplier: SupplierId,
    /// When it was last seen.
    pub at: Timestamp,
    /// Whether its offers are withheld.
    pub withheld: bool,
}

/// Another supplier shares an attribute: what each of them is told.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct LinkFact {
    /// Who is told.
    pub supplier: SupplierId,
    /// The attribute shared.
    pub attribute: Attribute,
    /// Who shares it.
    pub other: SupplierId,
    /// When the other was last seen with it.
    pub at: Timestamp,
    /// Whether the other's offers are withheld.
    pub withheld: bool,
    /// How many suppliers share it.
    pub degree: u32,
}

/// Counts for a cohort that a scoring partition has gathered; they add up over partitions.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct CohortCounts {
    /// The cohort: a region, a region and a category, or all.
    pub cohort: String,
    /// Week of the outcomes, counted from 1970-01-01.
    pub week: i64,
    /// Orders something was first heard of.
    pub settled: u64,
    /// Orders something first went wrong with.
    pub spoiled: u64,
}

/// How a cohort's orders have fared lately, for every scoring partition.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct PeerFact {
    /// The cohort.
    pub cohort: String,
    /// Orders settled in this week and the three before it.
    pub settled: u64,
    /// Orders spoiled in the same weeks.
    pub spoiled: u64,
}
