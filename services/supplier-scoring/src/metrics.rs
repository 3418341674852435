//! What the scoring folds of a process tell of themselves. Every name is here, and every label is closed: suppliers are
//! never labels; they are in the log and in the API.
//!
//! A partition is scored by one process, so what is counted is counted once: add it up over processes.
//!
//! | name | labels | what it says |
//! |---|---|---|
//! | `stockade_scoring_duplicate_events_total` | | events that had been taken before, known by source and id |
//! | `stockade_scoring_conflicting_events_total` | | events whose source and id had been taken with another content |
//! | `stockade_scoring_score` | | scores as they are made |
//! | `stockade_scoring_model_points` | `model`: `champion`, `challenger` | points the models give |
//! | `stockade_scoring_feature_drift` | `feature`: those the champion reads, and `score` | population stability index of live vectors against those it was trained on |

use std::{collections::BTreeMap, sync::Arc};

use ::metrics::{Histogram, counter, gauge, histogram};
use parking_lot::RwLock;
use stockade_rules::FeatureSchema;

use crate::{Drift, FeatureSet, IntakeEffect, ScoringEffect, calibration::Week};

/// Alerts look at this, so it is there from the start: without a champion nothing has moved.
pub fn begin() {
    gauge!("stockade_scoring_feature_drift", "feature" => "score").increment(0.0);
}

/// Events were dropped because their identity was known.
pub fn known_events(effects: &[IntakeEffect]) {
    let conflicts = effects.iter().filter(|effect| **effect == IntakeEffect::Conflict).count();
    counter!("stockade_scoring_duplicate_events_total").increment((effects.len() - conflicts) as u64);
    counter!("stockade_scoring_conflicting_events_total").increment(conflicts as u64);
}

/// How far an index says that a feature has moved. The bounds are those in use for the population stability index since Lewis, "An
/// Introduction to Credit Scoring" (1992), and Siddiqi, "Credit Risk Scorecards" (2006): below 0.1 no change to speak of, up to 0.25 some,
/// above it a population that the model was not made for. They are a convention, not a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Below 0.1.
    Steady,
    /// From 0.1 to 0.25.
    Moved,
    /// Above 0.25.
    Shifted,
}

impl Reading {
    /// The reading of an index.
    pub fn of(index: f64) -> Self {
        match index {
            index if index < 0.1 => Self::Steady,
            index if index <= 0.25 => Self::Moved,
            _ => Self::Shifted,
        }
    }
}

/// What the scoring folds of a process have seen of models, for whoever is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelsSeen {
    /// Vectors scored since the start.
    pub vectors: u64,
    /// The champion's version, where there is one.
    pub model: Option<String>,
    /// The population stability index of each feature that it reads, and of its `score`, as of the last look.
    pub indexes: Vec<(String, f64)>,
    /// Vectors and the sum of points, of the champion and the challenger.
    pub points: [(u64, f64); 2],
    /// What models said of orders by week, beside what became of them: by partition, and by the key that the fold gave it.
    pub weeks: BTreeMap<(u32, u128), Week>,
}

/// The same, shared with the folds.
pub type ModelsView = Arc<RwLock<ModelsSeen>>;

/// Scores, points of models, and how far vectors have moved from those the champion was trained on.
pub struct ScoringFigures {
    score: Histogram,
    /// Each model with its points and its slot in the vectors of the features in force.
    models: [(Histogram, Option<usize>); 2],
    drift: Option<Drift>,
    view: ModelsView,
}

/// The models that vectors bear points of.
pub const MODELS: [&str; 2] = ["champion", "challenger"];

fn slot(schema: &FeatureSchema, model: &str) -> Option<usize> {
    schema.slot(&format!("model.{model}"))
}

impl ScoringFigures {
    /// Figures of a process whose features in force are these.
    pub fn new(features: &FeatureSet, view: ModelsView) -> Self {
        let points = |model: &'static str| {
            (histogram!("stockade_scoring_model_points", "model" => model), slot(features.schema(), model))
        };
        Self { score: histogram!("stockade_scoring_score"), models: MODELS.map(points), drift: None, view }
    }

    /// Takes note of what the scoring fold of a partition says.
    pub fn see(&mut self, partition: u32, effect: &ScoringEffect) {
        match effect {
            ScoringEffect::Scored(record) => {
                self.score.record(f64::from(record.score));
                self.vector(&record.slots);
            }
            ScoringEffect::FeaturesInForce(features) => {
                for (model, (_, at)) in MODELS.iter().zip(&mut self.models) {
                    *at = slot(features.schema(), model);
                }
            }
            // Every partition says so; the first counts.
            ScoringEffect::ChampionInForce(champion) => {
                let known = self.drift.as_ref().map(Drift::version);
                if champion.as_ref().map(|model| model.version.as_str()) != known {
                    self.drift = champion.clone().map(Drift::new);
                    let model = self.drift.as_ref().map(|drift| drift.version().to_owned());
                    // Points of another champion are not to be mixed with those of this one; weeks say whose they are.
                    let mut view = self.view.write();
                    let weeks = std::mem::take(&mut view.weeks);
                    *view = ModelsSeen { model, weeks, ..ModelsSeen::default() };
                }
            }
            ScoringEffect::Predicted(key, week) => {
                let weeks = &mut self.view.write().weeks;
                match week {
                    Some(week) => drop(weeks.insert((partition, *key), week.as_ref().clone())),
                    None => drop(weeks.remove(&(partition, *key))),
                }
            }
            ScoringEffect::Linked(..) => {}
        }
    }

    fn vector(&mut self, vector: &[f32]) {
        let mut view = self.view.write();
        view.vectors += 1;
        for ((histogram, slot), given) in self.models.iter().zip(&mut view.points) {
            let points = slot.and_then(|slot| vector.get(slot)).filter(|points| !points.is_nan());
            if let Some(points) = points {
                histogram.record(f64::from(*points));
                *given = (given.0 + 1, given.1 + f64::from(*points));
            }
        }
        let moved = self.drift.as_mut().and_then(|drift| drift.see(vector));
        for (feature, index) in moved.iter().flatten() {
            gauge!("stockade_scoring_feature_drift", "feature" => feature.clone()).set(*index);
        }
        if let Some(moved) = moved {
            view.indexes = moved;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_by_the_bounds_in_use() {
        let read = [0.0, 0.099, 0.1, 0.25, 0.2501, f64::NAN].map(Reading::of);
        use Reading::{Moved, Shifted, Steady};
        assert_eq!(read, [Steady, Steady, Moved, Moved, Shifted, Shifted]);
    }
}
