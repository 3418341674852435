//! What the binary tells once a second, and at once what a person should look at.

use std::collections::BTreeMap;

use serde_json::Value;

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Alert {
    /// Stable name.
    pub code: String,
    /// `high` or `low`.
    pub severity: &'static str,
    /// What it is and what to do, in one sentence.
    pub text: String,
}

/// The figures and states of one moment. Names are those that pages use.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Figures as they are.
    pub gauges: BTreeMap<&'static str, f64>,
    /// Figures that only grow; pages see them a second.
    pub counters: BTreeMap<&'static str, f64>,
    /// How many observations were at most so large: upper bounds in seconds, rising, with counts that only grow. Pages see p50 and
    /// p99 of the last half minute, in milliseconds, as `NAME_p50` and `NAME_p99`.
    pub histograms: BTreeMap<&'static str, Vec<(f64, f64)>>,
    /// What pages follow by name, such as `reviews`: whoever follows it is told when it is another.
    pub states: BTreeMap<&'static str, Value>,
    /// What a person should look at.
    pub alerts: Vec<Alert>,
    /// The rule set in force; another one is a publication.
    pub rules: Option<String>,
}
