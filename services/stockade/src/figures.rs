//! What the scoring folds of this process say in metrics.

use metrics::Histogram;
use stockade_rules::FeatureSchema;
use stockade_supplier_scoring::{Drift, FeatureSet, ScoringEffect};

/// Scores, points of models, and how far vectors have moved from those the champion was trained on.
pub(crate) struct ScoringFigures {
    score: Histogram,
    /// Each model with its slot in the vectors of the features in force.
    models: [(&'static str, Option<usize>); 2],
    drift: Option<Drift>,
}

fn slots(schema: &FeatureSchema) -> [(&'static str, Option<usize>); 2] {
    ["champion", "challenger"].map(|model| (model, schema.slot(&format!("model.{model}"))))
}

impl ScoringFigures {
    pub(crate) fn new(features: &FeatureSet) -> Self {
        let score = metrics::histogram!("stockade_scoring_score");
        Self { score, models: slots(features.schema()), drift: None }
    }

    pub(crate) fn see(&mut self, effect: &ScoringEffect) {
        match effect {
            ScoringEffect::Scored(record) => {
                self.score.record(f64::from(record.score));
                self.vector(&record.slots);
            }
            ScoringEffect::FeaturesInForce(features) => self.models = slots(features.schema()),
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
        for (model, slot) in self.models {
            let points = slot.and_then(|slot| vector.get(slot)).filter(|points| !points.is_nan());
            if let Some(points) = points {
                metrics::histogram!("stockade_scoring_model_points", "model" => model)
                    .record(f64::from(*points));
            }
        }
        // Features are few and chosen by analysts, so they may be a label.
        for (feature, index) in self.drift.as_mut().and_then(|drift| drift.see(vector)).unwrap_or_default() {
            metrics::gauge!("stockade_scoring_feature_drift", "feature" => feature).set(index);
        }
    }
}
