//! What the folds of this process tell, brought to the views and to whoever waits.

use crate::{
    arbiter::ArbiterEffect, control::ControlEffect, evaluation::EvaluationEffect, http::LockoutApi, metrics,
};

impl LockoutApi {
    /// Takes what the control fold tells.
    pub fn hear_control(&self, effects: Vec<ControlEffect>) {
        for effect in effects {
            match effect {
                ControlEffect::Judged { id, verdict } => {
                    metrics::judged(&verdict);
                    if let Err(refused) = &verdict {
                        tracing::warn!(
                            id,
                            code = refused.why.code(),
                            detail = refused.detail,
                            "a control record was turned down"
                        );
                    }
                    self.judged.give(&id, verdict);
                }
                seen => self.versions.see(seen),
            }
        }
    }

    /// Takes what the evaluation fold tells of a partition.
    pub fn hear_evaluation(&self, partition: u32, effects: Vec<EvaluationEffect>) {
        for effect in effects {
            match effect {
                EvaluationEffect::RulesInForce { version, source } => {
                    // First, so that whoever waits for the rules finds no alert of the former ones.
                    self.see_rules(&self.features.current().1, &source);
                    self.rules.in_force(partition, version, source);
                }
                EvaluationEffect::FeaturesInForce { version, source } => {
                    self.see_rules(&source, &self.rules.current().1);
                    self.features.in_force(partition, version, source);
                }
                EvaluationEffect::ModelsInForce { version, source } => {
                    self.models.in_force(partition, version, source);
                }
                EvaluationEffect::Shadow { rule, day, counts } => {
                    self.desk.shadow(partition, rule, day, counts)
                }
                EvaluationEffect::ForeignSchema => metrics::foreign_vector(),
            }
        }
    }

    /// Tells the desk which rules are in force: what held one back that is written otherwise by now holds back none.
    fn see_rules(&self, features: &str, rules: &str) {
        if rules.is_empty() {
            return;
        }
        // Rules whose features are not known yet are read again as soon as these are.
        let Ok(set) = self.vocabulary.compile(features, rules) else { return };
        let content = |rule: &stockade_rules::Rule| (rule.spec.id.to_string(), rule.content.clone());
        self.desk.rules_in_force(set.rules().iter().map(content).collect());
    }

    /// Takes what the arbiter tells.
    pub fn hear_arbiter(&self, effects: Vec<ArbiterEffect>) {
        for effect in effects {
            match effect {
                ArbiterEffect::Disposed { id, verdict } => {
                    if let Ok(Some(restored)) = verdict.as_ref().map(|disposed| disposed.restored.as_ref()) {
                        metrics::restored(restored.released);
                    }
                    self.verdicts.give(&id, verdict);
                }
                ArbiterEffect::HeldOff => metrics::held_off(),
                ArbiterEffect::Review(change) => self.desk.review(change),
                ArbiterEffect::Day { rule, day, counts } => self.desk.day(rule, day, counts),
                ArbiterEffect::Budget { rule, exceeded } => {
                    if let Some(exceeded) = &exceeded {
                        metrics::exceeded(&rule, exceeded);
                    }
                    self.desk.budget(rule, exceeded);
                }
                ArbiterEffect::Kill(kill) => self.desk.turned(kill),
                ArbiterEffect::Overridden { supplier, overrides } => {
                    self.desk.overridden(supplier, overrides)
                }
            }
        }
    }
}
