//! Control records: what people change about the platform, judged once and relayed in band.

use crate::{Region, SupplierId, Timestamp};

/// A change asked for in `control`; the control fold relays the accepted ones.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ControlRecord {
    /// Who asked.
    pub actor: String,
    /// What for.
    pub change: Change,
}

/// What changes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    /// Register a supplier or change its profile. Relayed to the supplier's partition only.
    Supplier {
        /// The profile.
        profile: SupplierProfile,
    },
    /// Put a rule set in force, in every partition.
    Rules {
        /// Content hash of `source`, hex.
        version: String,
        /// The rule set as YAML, exactly as it was given.
        source: String,
    },
    /// Put measures and features in force, in every partition.
    Features {
        /// Content hash of `source`, hex.
        version: String,
        /// The declaration as YAML, exactly as it was given.
        source: String,
    },
}

/// A registered supplier.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct SupplierProfile {
    /// Its id.
    pub supplier: SupplierId,
    /// Its name for people.
    pub name: String,
    /// Home region.
    pub region: Region,
    /// Since when it trades on the marketplace, which may be before Stockade knew of it.
    pub since: Timestamp,
    /// Class for rate limits, such as `standard` or `large`.
    #[serde(default = "standard_class")]
    pub class: String,
}

/// The class of a supplier that names none.
pub fn standard_class() -> String {
    "standard".to_owned()
}
