//! A trained model: boosted stumps, a table of additions per feature.
//!
//! Boosting trees of one split each gives an additive model: the log-odds of an order being bad are a base and one addition
//! per feature, looked up by the feature's value. So the contribution of every feature is exact and not an apportionment,
//! an analyst can read the whole model, and a vector costs one binary search per feature. What deeper trees would find in
//! combinations of features is left to rules, which name their combinations.
//!
//! A model file is JSON with its origin, its figures on the time after its training, and its calibration.

mod drift;
mod fit;

pub use drift::{Drift, LOOK_EVERY};
pub use fit::{Example, FitOptions, fit, ranking};

use serde::{Deserialize, Serialize};
use stockade_rules::{FeatureSchema, RuleSet};

const KIND: &str = "boosted_stumps/1";
/// Largest model file, in bytes.
const SOURCE_BYTES_MAX: usize = 512 * 1024;
const CUTS_MAX: usize = 254;

/// What a feature adds to the log-odds, by its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The feature.
    pub(crate) feature: String,
    /// Where the addition changes, rising.
    pub(crate) cuts: Vec<f32>,
    /// Additions below the first cut, from each cut on: one more than cuts.
    pub(crate) adds: Vec<f64>,
    /// Addition when the value is unknown.
    pub(crate) unknown: f64,
    /// Share of training vectors in each of these, unknown last: what drift is measured against.
    pub(crate) shares: Vec<f64>,
}

/// Where a model comes from and how it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// SHA-256 of the history it was trained on, hex.
    pub data: String,
    /// Version of the declaration of features.
    pub features: String,
    /// Label delay it was trained for.
    pub label_delay: String,
    /// Time of the first and the last order it learnt from.
    pub from: String,
    /// See `from`.
    pub until: String,
    /// Orders it learnt from, sampled ones by their weight.
    pub orders: u64,
    /// Bad orders among them.
    pub bad: u64,
}

/// Figures on orders after those it learnt from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Orders, sampled ones by their weight.
    pub orders: u64,
    /// Bad orders among them.
    pub bad: u64,
    /// Average precision.
    pub average_precision: f64,
    /// Area under the ROC curve.
    pub auc: f64,
    /// Mean log loss after calibration.
    pub log_loss: f64,
    /// Sum of probabilities per bad order; 1 is calibrated.
    pub expected_to_seen: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) kind: String,
    pub(crate) origin: Origin,
    pub(crate) held_out: Figures,
    /// Log-odds before any addition.
    pub(crate) base: f64,
    pub(crate) tables: Vec<Table>,
    /// Where the probability itself lay in training: additions are all zero, it is there to measure drift against.
    pub(crate) score: Table,
    /// Calibrated log-odds are the first times the raw ones plus the second.
    pub(crate) calibration: [f64; 2],
}

/// What a table adds for a vector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Addition<'a> {
    /// The feature.
    pub feature: &'a str,
    /// Added to the log-odds.
    pub log_odds: f64,
}

/// A model that fits a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Content hash of the file, hex, 16 digits.
    pub version: String,
    file: File,
    /// Slot of each table's feature.
    slots: Vec<usize>,
}

impl Model {
    /// Reads a model file for `schema`; the error says what does not fit.
    pub fn read(source: &str, schema: &FeatureSchema) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!(
                "the model has {} bytes, at most {SOURCE_BYTES_MAX} are allowed",
                source.len()
            ));
        }
        let file: File =
            serde_json::from_str(source).map_err(|e| format!("the model does not parse: {e}"))?;
        if file.kind != KIND {
            return Err(format!("the model is of kind {}, this build reads {KIND}", file.kind));
        }
        let mut slots = Vec::new();
        for table in &file.tables {
            let slot = schema.slot(&table.feature);
            slots.push(
                slot.ok_or_else(|| format!("the model reads {}, which is not declared", table.feature))?,
            );
            let rising = table.cuts.is_sorted_by(|a, b| a < b) && table.cuts.len() <= CUTS_MAX;
            let sized =
                table.adds.len() == table.cuts.len() + 1 && table.shares.len() == table.adds.len() + 1;
            let finite =
                table.adds.iter().chain([&table.unknown]).chain(&table.shares).all(|x| x.is_finite());
            if !rising || !sized || !finite {
                return Err(format!("the table of {} does not hold together", table.feature));
            }
        }
        if !file.base.is_finite()
            || !file.calibration.iter().all(|x| x.is_finite())
            || file.calibration[0] <= 0.0
        {
            return Err("the base or the calibration is not a number".to_owned());
        }
        Ok(Self { version: RuleSet::version_of(source), file, slots })
    }

    /// Probability that an order with this vector is bad.
    pub fn probability(&self, slots: &[f32]) -> f64 {
        let raw: f64 = self.file.base + self.each(slots).map(|(_, add)| add).sum::<f64>();
        let [slope, shift] = self.file.calibration;
        sigmoid(slope * raw + shift)
    }

    /// What each feature adds, the largest first.
    pub fn additions(&self, slots: &[f32]) -> Vec<Addition<'_>> {
        let slope = self.file.calibration[0];
        let mut all: Vec<Addition<'_>> = self
            .each(slots)
            .map(|(table, add)| Addition { feature: &table.feature, log_odds: slope * add })
            .filter(|addition| addition.log_odds != 0.0)
            .collect();
        all.sort_by(|a, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
        all
    }

    fn each<'m>(&'m self, slots: &[f32]) -> impl Iterator<Item = (&'m Table, f64)> {
        self.file.tables.iter().zip(&self.slots).map(|(table, slot)| {
            let value = slots.get(*slot).copied().unwrap_or(f32::NAN);
            let place = table.place(value);
            (table, table.adds.get(place).copied().unwrap_or(table.unknown))
        })
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = (&Table, usize)> {
        self.file.tables.iter().zip(self.slots.iter().copied())
    }
    pub(crate) fn score_table(&self) -> &Table {
        &self.file.score
    }
    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.file.origin
    }
    /// How it did after its training.
    pub fn held_out(&self) -> &Figures {
        &self.file.held_out
    }
}

impl Table {
    /// Which of `shares` a value falls into.
    pub(crate) fn place(&self, value: f32) -> usize {
        if value.is_nan() { self.adds.len() } else { self.cuts.partition_point(|cut| *cut <= value) }
    }
}

pub(crate) fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests;
