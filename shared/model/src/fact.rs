//! What is known by another key than the supplier: asked in `scoring.rekeyed`, answered as facts in `supplier.events`.

use std::collections::BTreeMap;

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
    /// The evidence against it as an e-value, in powers of ten: 0 says nothing.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub evidence: f64,
    /// When it was first seen with it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
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
    /// The evidence against the other as an e-value, in powers of ten.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub evidence: f64,
    /// When the other was first seen with it; not said to who came after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_nothing(evidence: &f64) -> bool {
    *evidence == 0.0
}

/// Counts for a cohort that a scoring partition has gathered; they add up over partitions.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct CohortCounts {
    /// The cohort: a region (`DE`), a category (`*/books`), both (`DE/books`), or all (`*`).
    pub cohort: String,
    /// Week of the outcomes, counted from 1970-01-01.
    pub week: i64,
    /// Orders something was first heard of.
    pub settled: u64,
    /// Orders something first went wrong with.
    pub spoiled: u64,
    /// Evidence of each test; of all suppliers by age, of narrower cohorts in sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceCounts>,
}

/// Orders at risk and evidence by age of the order, gathered over suppliers. Each list has one number per class of age; a
/// cohort narrower than all suppliers has one number, for all ages.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct EvidenceCounts {
    /// Order-days of suppliers that are not under suspicion.
    pub at_risk: Vec<f64>,
    /// Order-days of suppliers under suspicion.
    pub at_risk_suspect: Vec<f64>,
    /// By test.
    pub tests: BTreeMap<String, TestCounts>,
}

/// Evidence of one test.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct TestCounts {
    /// Weighted evidence of suppliers that are not under suspicion.
    pub seen: Vec<f64>,
    /// Weighted evidence of suppliers under suspicion.
    pub seen_suspect: Vec<f64>,
    /// Evidence that all suppliers' orders of these ages would have brought to those not under suspicion; for narrower
    /// cohorts only.
    #[serde(default)]
    pub expected: f64,
    /// The same for those under suspicion.
    #[serde(default)]
    pub expected_suspect: f64,
}

/// How the evidence of one test arises among peers.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct TestFact {
    /// Order-days at risk by class of age, of the cohort of all suppliers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_risk: Vec<f64>,
    /// Evidence by class of age, or in sum for a narrower cohort.
    pub seen: Vec<f64>,
    /// Evidence that all suppliers' rates would have brought; narrower cohorts only.
    #[serde(default)]
    pub expected: f64,
    /// Evidence of this week and the last, and what would have been expected; narrower cohorts only.
    #[serde(default)]
    pub lately: (f64, f64),
}

/// How a cohort's orders have fared lately, for every scoring partition.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct PeerFact {
    /// The cohort.
    pub cohort: String,
    /// Orders settled in this week and the three before it.
    pub settled: u64,
    /// Orders spoiled in the same weeks.
    pub spoiled: u64,
    /// By test, how evidence arises.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, TestFact>,
}
