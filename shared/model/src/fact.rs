//! What is known by another key than the supplier: asked in `scoring.rekeyed`, answered as facts in `supplier.events`.

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
