//! What the models said of orders, and which of these went bad.

use stockade_fold::Out;
use stockade_model::{OrderEventKind, Outcome, ScoreRecord, Timestamp, hash};
use stockade_rules::RuleSet;

use super::{Scoring, ScoringEffect};
use crate::metrics::MODELS;

impl Scoring {
    /// Notes what the models say as an order is placed, by the vector that was made right after it, and that a fraud on it is confirmed.
    pub(super) fn follow(
        &mut self,
        outcome: &Outcome,
        record: Option<&ScoreRecord>,
        now: Timestamp,
        out: &mut Out<ScoringEffect>,
    ) {
        let event = &outcome.event;
        let Some(order) = event.order.as_ref().filter(|_| !outcome.withdrawn) else { return };
        let identity = || hash::identity128(&[event.supplier.as_str(), order.as_str()]);
        match (event.kind, record) {
            (OrderEventKind::Placed, Some(record)) if !outcome.repeated => {
                let (champion, challenger) = (self.models.champion.clone(), self.models.challenger.clone());
                let schema = self.features.schema();
                let points = |name: &str| {
                    let points = *record.slots.get(schema.slot(&format!("model.{name}"))?)?;
                    (!points.is_nan()).then_some(points)
                };
                let mut said: Vec<(&str, f32)> = MODELS
                    .iter()
                    .zip([&champion, &challenger])
                    .filter_map(|(name, model)| Some((model.as_ref()?.version.as_str(), points(name)?)))
                    .collect();
                // One file may be both.
                said.dedup_by(|one, other| one.0 == other.0);
                if !said.is_empty() {
                    self.calibration.placed(identity(), event.time, &said, now);
                }
            }
            (OrderEventKind::FraudConfirmed, _) => self.calibration.went_bad(identity()),
            _ => return,
        }
        self.tell_calibration(out);
    }

    /// What is counted of models that are published no more is dropped.
    pub(super) fn follow_models(&mut self, out: &mut Out<ScoringEffect>) {
        let published: Vec<String> =
            self.stored_models().sources().map(|source| RuleSet::version_of(source)).collect();
        self.calibration.keep(&published);
        self.tell_calibration(out);
    }

    fn tell_calibration(&mut self, out: &mut Out<ScoringEffect>) {
        for (key, week) in self.calibration.take_changes() {
            out.effect(ScoringEffect::Predicted(key, week.map(Box::new)));
        }
    }
}
