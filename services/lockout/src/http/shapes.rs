//! The shapes of what other parts of the platform hand through as values, for the document of the API.
#![expect(dead_code, reason = "they describe values that are made elsewhere")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Value, json};
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

/// What a model said of orders as they were placed, beside what became of them.
#[derive(JsonSchema)]
#[schemars(extend("examples" = [calibration_example()]))]
pub(super) struct Calibration {
    /// The outcome that is predicted: always `fraud_confirmed`, whoever's fault.
    outcome: String,
    /// Age of an order, in days, from which on it is taken to have shown what becomes of it. Orders are counted week by week when the youngest
    /// of a week is as old; what is confirmed until an order is 90 days old still counts.
    known_after_days: i64,
    /// First day of the orders that are counted; null before any is.
    from: Option<Timestamp>,
    /// The day after the last one.
    until: Option<Timestamp>,
    /// Orders counted, of at most the last half year.
    orders: u64,
    /// Those on which a fraud was confirmed.
    bad: u64,
    /// Sum of the predictions per bad order; 1 is calibrated, null without a bad one.
    expected_to_seen: Option<f64>,
    /// One order in so many is counted: of many a sample is kept.
    one_in: u64,
    /// Orders that were predicted and are too young to be counted.
    waiting: u64,
    /// When the next of them are counted.
    next_at: Option<Timestamp>,
    /// Bins of the predicted probability, the same ten at all times.
    bins: Vec<CalibrationBin>,
}

fn calibration_example() -> Value {
    let bin = |from: f64,
               until: f64,
               (orders, bad, predicted): (u64, u64, f64),
               (low, high): (f64, f64),
               reading: &str| {
        json!({
            "from": from, "until": until, "orders": orders, "bad": bad, "predicted": predicted, "seen": bad as f64 / orders as f64,
            "low": low, "high": high, "reading": reading,
        })
    };
    json!({
        "outcome": "fraud_confirmed", "known_after_days": 45, "from": "2026-07-30T00:00:00Z", "until": "2026-10-08T00:00:00Z",
        "orders": 5_000, "bad": 49, "expected_to_seen": 0.92, "one_in": 1, "waiting": 3_120, "next_at": "2026-11-29T00:00:00Z",
        "bins": [
            bin(0.003, 0.01, (4_600, 23, 0.005), (0.00333, 0.00749), "as_predicted"),
            bin(0.03, 0.1, (400, 26, 0.055), (0.0448, 0.0936), "as_predicted"),
        ],
    })
}

/// Orders of which a model said about the same.
#[derive(JsonSchema)]
struct CalibrationBin {
    /// Predicted probability from here on.
    from: f64,
    /// Up to here.
    until: f64,
    orders: u64,
    bad: u64,
    /// Mean prediction; null without orders, like what follows.
    predicted: Option<f64>,
    /// Share that went bad.
    seen: Option<f64>,
    /// Wilson interval of that share, with a confidence of 95%, as if orders were independent; those of one supplier are not quite.
    low: Option<f64>,
    high: Option<f64>,
    reading: Option<CalibrationReading>,
}

/// The mean prediction beside the interval of what was seen.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CalibrationReading {
    /// It lies in the interval.
    AsPredicted,
    /// More went bad.
    More,
    /// Fewer did.
    Fewer,
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
