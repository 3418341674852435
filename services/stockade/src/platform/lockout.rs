//! The lockout service in this process: what its API sees, and its folds with what they tell.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Result;
use serde_json::json;
use stockade_lockout::{
    Arbiter, ArbiterEffect, Control, ControlEffect, Decisions, DecisionsCheck, Desk, Evaluation,
    EvaluationEffect, InForceStatus, RuleVersions,
    backtest::Backtests,
    http::{IdSource, LockoutApi},
    schema_in_force,
};
use stockade_log::SharedLog;
use stockade_model::{ScoreRecord, SupplierId};
use stockade_rules::Vocabulary;
use stockade_runtime::{Limits, Waiters};
use stockade_supplier_scoring::{DEFAULT_FEATURES, confidence, contributions};

use super::{Runner, Scores, Stock};

pub(super) fn lockout_api(
    log: &SharedLog,
    lanes: u32,
    vocabulary: &Vocabulary,
    limits: &Limits,
    (scores, stock): (Scores, Stock),
    instance: &str,
) -> LockoutApi {
    let (features, rules) = (InForceStatus::default(), InForceStatus::default());
    let (words, declared, published, seen) =
        (vocabulary.clone(), features.clone(), rules.clone(), scores.clone());
    let risk = move |supplier: &SupplierId| {
        let data = seen.read();
        let record = data.scores.get(supplier)?;
        let in_force = schema_in_force(&words, &declared.current().1, &published.current().1);
        // Right after a change of features or windows the last vector may still follow the former ones.
        let schema = if record.schema == in_force.id() { &in_force } else { &words.initial };
        let value = |value: &f32| (!value.is_nan()).then_some(*value);
        let features: serde_json::Map<String, serde_json::Value> = schema
            .features()
            .iter()
            .zip(&record.slots)
            .map(|(feature, slot)| (feature.name.clone(), json!(value(slot))))
            .collect();
        let of_card = contributions(schema, &record.slots);
        let sure = confidence(&of_card);
        let contributions: Vec<_> = of_card
            .into_iter()
            .map(
                |c| json!({ "feature": c.feature, "value": value(&c.value), "points": c.points, "of": c.of }),
            )
            .collect();
        Some(json!({
            "supplier": supplier, "score": record.score, "confidence": sure, "contributions": contributions, "features": features,
            "links": data.links.get(supplier),
        }))
    };
    let vectors = move |supplier: Option<&SupplierId>| -> Vec<ScoreRecord> {
        let data = scores.read();
        match supplier {
            Some(supplier) => data.scores.get(supplier).cloned().into_iter().collect(),
            None => data.scores.values().cloned().collect(),
        }
    };
    let impact = move |suppliers: &BTreeSet<SupplierId>| {
        let app = stock.get()?;
        Some(json!(app.index.impact(suppliers, &app.overlay)))
    };
    LockoutApi {
        log: log.clone(),
        lanes,
        vocabulary: vocabulary.clone(),
        default_features: DEFAULT_FEATURES,
        features,
        rules,
        models: InForceStatus::default(),
        verdicts: Waiters::default(),
        judged: Waiters::default(),
        versions: RuleVersions::default(),
        desk: Desk::default(),
        vectors: Arc::new(vectors),
        impact: Arc::new(impact),
        rescore: crate::rescore::rescore(log.clone(), lanes),
        backtests: Backtests::default(),
        decisions: Decisions::default(),
        limits: limits.clone(),
        risk: Arc::new(risk),
        ids: Arc::new(IdSource::new(format!("{instance}-c"))),
    }
}

pub(super) fn start_lockout(runner: &mut Runner<'_>, lanes: u32, lockout: &LockoutApi) -> Result<()> {
    let (judge, evaluator) = (lockout.vocabulary.clone(), lockout.vocabulary.clone());
    let (judged, versions) = (lockout.judged.clone(), lockout.versions.clone());
    runner.fold(
        stockade_lockout::control_spec(lanes),
        move |_| Control::new(judge.clone()),
        move |_, effects| {
            for effect in effects {
                match effect {
                    ControlEffect::Judged { id, refused } => {
                        if let Some((code, detail)) = &refused {
                            tracing::warn!(id, code, detail, "a control record was turned down");
                        }
                        judged.give(&id, refused);
                    }
                    seen => versions.see(seen),
                }
            }
        },
    )?;
    let (rules, features, models) = (lockout.rules.clone(), lockout.features.clone(), lockout.models.clone());
    let shadows = lockout.desk.clone();
    runner.fold(
        stockade_lockout::evaluation_spec(lanes),
        move |_| Evaluation::new(evaluator.clone()),
        move |lane, effects| {
            for effect in effects {
                match effect {
                    EvaluationEffect::RulesInForce { version, source } => {
                        rules.in_force(lane, version, source)
                    }
                    EvaluationEffect::FeaturesInForce { version, source } => {
                        features.in_force(lane, version, source)
                    }
                    EvaluationEffect::ModelsInForce { version, source } => {
                        models.in_force(lane, version, source)
                    }
                    // Rule ids are few and chosen by analysts, so they may be a label.
                    EvaluationEffect::Shadow { rule, day, counts } => {
                        let hits = shadows.shadow(lane, rule.clone(), day, counts);
                        metrics::gauge!("stockade_lockout_shadow_hits_of_day", "rule" => rule)
                            .set(hits as f64);
                    }
                    EvaluationEffect::ForeignSchema => {
                        metrics::counter!("stockade_lockout_foreign_vectors_total").increment(1);
                    }
                }
            }
        },
    )?;
    runner.fold(stockade_lockout::decisions_spec(lanes), |_| DecisionsCheck, |_, _| {})?;
    let (verdicts, desk) = (lockout.verdicts.clone(), lockout.desk.clone());
    runner.fold(
        stockade_lockout::arbiter_spec(lanes),
        |_| Arbiter::default(),
        move |_, effects| {
            for effect in effects {
                match effect {
                    ArbiterEffect::Disposed { id, verdict } => verdicts.give(&id, verdict),
                    ArbiterEffect::HeldOff => {
                        metrics::counter!("stockade_lockout_held_off_total").increment(1)
                    }
                    ArbiterEffect::Review(change) => desk.review(change),
                    ArbiterEffect::Day { rule, day, counts } => desk.day(rule, day, counts),
                    ArbiterEffect::Budget { rule, exceeded } => {
                        let held = f64::from(u8::from(exceeded.is_some()));
                        metrics::gauge!("stockade_lockout_budget_exceeded", "rule" => rule.clone()).set(held);
                        if let Some(exceeded) = &exceeded {
                            tracing::error!(rule, detail = exceeded.detail, "a rule exceeded its budget and is in shadow; look at /v1/reviews, then rearm it");
                        }
                        desk.budget(rule, exceeded);
                    }
                    ArbiterEffect::Kill(kill) => {
                        let on = f64::from(u8::from(kill.on));
                        metrics::gauge!("stockade_lockout_kill_switch").set(on);
                        tracing::warn!(on = kill.on, actor = kill.actor, reason = kill.reason, "kill switch");
                        desk.turned(kill);
                    }
                }
            }
        },
    )
}
