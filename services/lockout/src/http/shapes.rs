//! The shapes of what other parts of the platform hand through as values, for the document of the API.
#![expect(dead_code, reason = "they describe values that are made elsewhere")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;
use stockade_model::{Level, Region, RuleId, Sku, SupplierId, Timestamp};
use stockade_rules::Mode;

/// What buyers would no longer see.
#[derive(JsonSchema)]
pub(super) struct StockImpact {
    /// Offers.
    listings: u64,
    /// Units.
    units: i64,
    /// Their value in minor units, by currency.
    value_minor: BTreeMap<String, i64>,
    /// Goods that nobody else offers.
    goods_empty: usize,
    /// Goods in a region that nobody else offers there.
    places_empty: usize,
    /// The first of them.
    empty: Vec<(Sku, Region)>,
}

/// How suspicious a supplier is, and what that is made of.
#[derive(JsonSchema)]
pub(super) struct Risk {
    supplier: SupplierId,
    score: f64,
    /// Share of the features that are known, by what they weigh.
    confidence: f64,
    contributions: Vec<Contribution>,
    /// Every feature by its name; null where it is unknown.
    features: BTreeMap<String, Option<f64>>,
    /// Suppliers it shares attributes with.
    links: Option<Value>,
}

/// What one feature adds to a score.
#[derive(JsonSchema)]
struct Contribution {
    feature: String,
    value: Option<f64>,
    points: f64,
    /// The most it could add.
    of: f64,
}

/// Live vectors beside those that the champion was trained on.
#[derive(JsonSchema)]
pub(super) struct Drift {
    /// Vectors scored in this process since it started.
    vectors: u64,
    /// Version of the model that it is about; null without a champion.
    model: Option<String>,
    /// Vectors between two looks at the index.
    every: u32,
    /// The population stability index of each feature that the champion reads, and of its `score`; empty until the first look.
    indexes: Vec<DriftIndex>,
    /// What the models made of these vectors.
    points: Vec<ModelPoints>,
}

/// How far one feature has moved.
#[derive(JsonSchema)]
struct DriftIndex {
    feature: String,
    index: f64,
    reading: DriftReading,
}

/// The usual reading of an index.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DriftReading {
    /// Below 0.1.
    Steady,
    /// From 0.1 to 0.25.
    Moved,
    /// Above 0.25.
    Shifted,
}

/// What a model made of the vectors that were scored here.
#[derive(JsonSchema)]
struct ModelPoints {
    /// `champion` or `challenger`.
    model: String,
    vectors: u64,
    /// Mean points, 0 to 1,000; null before the first.
    mean: Option<f64>,
}

/// How far a backtest is.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BacktestState {
    Running,
    Cancelling,
    Done,
    Cancelled,
    Failed,
}

/// A backtest, with its report once it is there.
#[derive(JsonSchema)]
pub(super) struct Backtest {
    job: String,
    actor: String,
    state: BacktestState,
    records_done: u64,
    records: u64,
    report: Option<BacktestReport>,
    /// Why it failed.
    error: Option<String>,
}

/// What a set of rules would have done.
#[derive(JsonSchema)]
struct BacktestReport {
    version: String,
    snapshots: u64,
    suppliers: usize,
    withheld: usize,
    withheld_by_rules_in_force: usize,
    withheld_by_both: usize,
    /// Of the withheld, those of whom people found that they were honest.
    honest_withheld: usize,
    rules: Vec<RuleBacktest>,
    seconds: f64,
    snapshots_per_second: f64,
    /// Vectors of other features, which say nothing here.
    skipped: u64,
    /// The topic that was read.
    source: String,
    since: Timestamp,
}

/// What one rule would have done.
#[derive(JsonSchema)]
struct RuleBacktest {
    rule: RuleId,
    level: Level,
    mode: Mode,
    suppliers: usize,
    snapshots: u64,
    /// Suppliers by what became of them.
    outcomes: BTreeMap<String, usize>,
    /// When it first held, supplier by supplier.
    first: Vec<Value>,
    /// What it has in common with the rules in force.
    overlap: Vec<Value>,
    /// What other bounds would have done.
    sweep: Vec<Value>,
}
