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

use ::metrics::{Histogram, counter, gauge, histogram};
use stockade_rules::FeatureSchema;

use crate::{Drift, FeatureSet, IntakeEffect, ScoringEffect};

/// Events were dropped because their identity was known.
pub fn known_events(effects: &[IntakeEffect]) {
    let conflicts = effects.iter().filter(|effect| **effect == IntakeEffect::Conflict).count();
    counter!("stockade_scoring_duplicate_events_total").increment((effects.len() - conflicts) as u64);
    counter!("stockade_scoring_conflicting_events_total").increment(conflicts as u64);
}

/// Scores, points of models, and how far vectors have moved from those the champion was trained on.
pub struct ScoringFigures {
    score: Histogram,
    /// Each model with its points and its slot in the vectors of the features in force.
    models: [(Histogram, Option<usize>); 2],
    drift: Option<Drift>,
}

const MODELS: [&str; 2] = ["champion", "challenger"];

fn slot(schema: &FeatureSchema, model: &str) -> Option<usize> {
    schema.slot(&format!("model.{model}"))
}

impl ScoringFigures {
    /// Figures of a process whose features in force are these.
    pub fn new(features: &FeatureSet) -> Self {
        let points = |model: &'static str| {
            (histogram!("stockade_scoring_model_points", "model" => model), slot(features.schema(), model))
        };
        Self { score: histogram!("stockade_scoring_score"), models: MODELS.map(points), drift: None }
    }

    /// Takes note of what the scoring fold says.
    pub fn see(&mut self, effect: &ScoringEffect) {
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
                }
            }
            ScoringEffect::Linked(..) => {}
        }
    }

    fn vector(&mut self, vector: &[f32]) {
        for (histogram, slot) in &self.models {
            let points = slot.and_then(|slot| vector.get(slot)).filter(|points| !points.is_nan());
            if let Some(points) = points {
                histogram.record(f64::from(*points));
            }
        }
        let moved = self.drift.as_mut().and_then(|drift| drift.see(vector));
        for (feature, index) in moved.into_iter().flatten() {
            gauge!("stockade_scoring_feature_drift", "feature" => feature).set(index);
        }
    }
}
