//! The lockout service in this process: what its API sees, and its folds with what they tell.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Result;
use serde_json::json;
use stockade_lockout::{
    Arbiter, Control, DecisionCounter, Decisions, DecisionsCheck, Desk, Evaluation, InForceStatus,
    RuleVersions, STARTER_RULES, Suppliers,
    backtest::Backtests,
    evidence::Asking,
    http::{IdSource, LockoutApi},
    schema_in_force,
};
use stockade_log::SharedLog;
use stockade_model::{Payload, Position, ScoreRecord, SupplierId, Timestamp, Topic};
use stockade_rules::Vocabulary;
use stockade_runtime::{Limits, Shutdown, Waiters, clock::now_ms};
use stockade_supplier_scoring::{
    DEFAULT_FEATURES, DRIFT_LOOK_EVERY,
    calibration::reliability,
    confidence, contributions,
    metrics::{MODELS, ModelsSeen, Reading},
};

use super::{Runner, views::Views};

pub(super) fn lockout_api(
    log: &SharedLog,
    partitions: u32,
    vocabulary: &Vocabulary,
    limits: &Limits,
    Views { scores, stock, models }: Views,
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
    let overlay = stock.clone();
    let applied = move |version: &Position| overlay.get().map(|app| app.applied.at(version));
    let predicted = models.clone();
    let calibration = move |version: &str| {
        let seen = predicted.as_ref()?.read();
        let weeks = seen.weeks.values().filter(|week| week.model == version);
        Some(json!(reliability(weeks, Timestamp::from_ms(now_ms()))))
    };
    let drift = move || models.as_ref().map(|models| drift_of(&models.read()));
    let impact = move |suppliers: &BTreeSet<SupplierId>| {
        let app = stock.get()?;
        Some(json!(app.index.impact(suppliers, &app.overlay)))
    };
    LockoutApi {
        log: log.clone(),
        partitions,
        vocabulary: vocabulary.clone(),
        default_features: DEFAULT_FEATURES,
        features,
        rules,
        models: InForceStatus::default(),
        verdicts: Waiters::default(),
        judged: Waiters::default(),
        versions: RuleVersions::default(),
        desk: Desk::default(),
        suppliers: Suppliers::default(),
        vectors: Arc::new(vectors),
        impact: Arc::new(impact),
        rescore: crate::rescore::rescore(log.clone(), partitions),
        backtests: Backtests::default(),
        decisions: Decisions::default(),
        limits: limits.clone(),
        risk: Arc::new(risk),
        evidence: Asking::default(),
        applied: Arc::new(applied),
        drift: Arc::new(drift),
        calibration: Arc::new(calibration),
        ids: Arc::new(IdSource::new(format!("{instance}-c"))),
    }
}

/// What is told of models, see `DriftView`.
fn drift_of(seen: &ModelsSeen) -> serde_json::Value {
    let indexes: Vec<_> = seen
        .indexes
        .iter()
        .map(|(feature, index)| json!({ "feature": feature, "index": index, "reading": Reading::of(*index) }))
        .collect();
    let points: Vec<_> = MODELS
        .iter()
        .zip(seen.points)
        .map(|(model, (vectors, sum))| {
            let mean = (vectors > 0).then(|| sum / vectors as f64);
            json!({ "model": model, "vectors": vectors, "mean": mean })
        })
        .collect();
    json!({
        "vectors": seen.vectors, "model": seen.model, "every": DRIFT_LOOK_EVERY, "indexes": indexes, "points": points,
    })
}

pub(super) fn start_lockout(runner: &mut Runner<'_>, partitions: u32, lockout: &LockoutApi) -> Result<()> {
    let (judge, evaluator) = (lockout.vocabulary.clone(), lockout.vocabulary.clone());
    let (control, evaluation, arbiter) = (lockout.clone(), lockout.clone(), lockout.clone());
    runner.fold(
        stockade_lockout::control_spec(partitions),
        move |_| Control::new(judge.clone()),
        move |_, effects| control.hear_control(effects),
    )?;
    runner.fold(
        stockade_lockout::evaluation_spec(partitions),
        move |_| Evaluation::new(evaluator.clone()),
        move |partition, effects| evaluation.hear_evaluation(partition, effects),
    )?;
    let decided = lockout.log.bounds(Topic::LockoutDecisions.name(), 0)?.end;
    let starter = lockout
        .vocabulary
        .compile(lockout.default_features, STARTER_RULES)
        .map_err(|errors| anyhow::anyhow!("the starter rules do not compile: {errors:?}"))?;
    let counter = DecisionCounter::new(&starter, decided);
    runner.fold(
        stockade_lockout::decisions_spec(partitions),
        |_| DecisionsCheck::default(),
        move |_, seen| counter.count(&seen),
    )?;
    runner.fold(
        stockade_lockout::arbiter_spec(partitions),
        |_| Arbiter::default(),
        move |_, effects| arbiter.hear_arbiter(effects),
    )
}

/// Keeps the view of who is registered.
pub(super) async fn follow_suppliers(log: SharedLog, view: Suppliers, shutdown: Shutdown) -> Result<()> {
    let each = move |batch: Vec<stockade_fold::Tailed>| {
        for tailed in batch {
            // Poison is dead-lettered by the fold that reads it.
            let record = match &tailed.payload {
                Ok(Payload::Control(record)) => Some(record),
                _ => None,
            };
            view.see(tailed.offset, record);
        }
        std::future::ready(())
    };
    Ok(stockade_fold::tail(log, "supplier-view", Topic::Control, 0, each, shutdown.wait()).await?)
}
