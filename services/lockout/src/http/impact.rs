//! What buyers would no longer see, and what is known of a supplier's risk.

use std::collections::BTreeMap;

use serde::Serialize;
use stockade_model::Timestamp;
use stockade_rules::{Scratch, Snapshot};
use stockade_runtime::http::supplier_id;

use super::{rules::asked_set, *};

/// Most suppliers named in an answer about impact.
const NAMED_MAX: usize = 200;

/// What buyers would no longer see if some suppliers were withheld.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Impact {
    /// How many suppliers.
    suppliers: usize,
    /// How many of them are withheld already.
    withheld_already: usize,
    /// The first of them.
    names: Vec<SupplierId>,
    /// Units, value, and what would be left empty; none where inventory does not run in this process.
    #[schemars(with = "Option<super::shapes::StockImpact>")]
    stock: Option<Value>,
}

/// What buyers would no longer see without these suppliers.
pub(super) fn of(api: &LockoutApi, suppliers: &BTreeSet<SupplierId>) -> Impact {
    let withheld = |id: &&SupplierId| {
        api.decisions.latest(id).is_some_and(|decision| decision.in_force.iter().any(|r| r.level.withholds()))
    };
    Impact {
        suppliers: suppliers.len(),
        withheld_already: suppliers.iter().filter(withheld).count(),
        names: suppliers.iter().take(NAMED_MAX).cloned().collect(),
        stock: (api.impact)(suppliers),
    }
}

/// A vector as rules read it.
pub(super) fn snapshot(record: &ScoreRecord, now: Timestamp) -> Snapshot<'_> {
    Snapshot {
        slots: &record.slots,
        now_ms: now.ms(),
        supplier: record.supplier.as_str(),
        listing: record.listing.as_ref().map(|(listing, sku)| (listing.as_str(), sku.as_str())),
    }
}

/// The time by the clock, for what is asked about this moment.
pub(super) fn now() -> Timestamp {
    Timestamp::from_ms(stockade_runtime::clock::now_ms())
}

/// The problem of a set that nothing is known for yet.
pub(super) fn needs_history() -> Problem {
    let detail = "it binds windows that no published set binds, so nobody keeps them yet and what it would do now is not \
        known; `stockade rules backtest` reckons them from the past, and published with `mode: shadow` they are kept";
    Problem::new(StatusCode::CONFLICT, "windows_not_kept", detail)
}

/// The problem of a supplier whose last vector holds other features, or windows, than are in force.
pub(super) fn outdated() -> Problem {
    let detail = "its last score is of the features and windows that were in force before; it is scored anew with its next event";
    Problem::new(StatusCode::CONFLICT, "score_outdated", detail)
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ImpactOfRules")]
pub(super) struct OfRules {
    #[serde(flatten)]
    impact: Impact,
    version: String,
    /// Suppliers by rule.
    rules: BTreeMap<String, usize>,
    /// Suppliers of whom nothing can be said: their last score is of the features and windows that were in force before.
    outdated: usize,
}

/// What buyers would no longer see if every rule of a set that withholds, and is not off, were live now.
pub(super) async fn of_rules(State(api): State<LockoutApi>, _: Analyst, Text(source): Text) -> Answer {
    let (set, kept) = asked_set(&api, &source)?;
    if set.schema().id() != kept.id() {
        return Err(needs_history());
    }
    aside(move || {
        let (mut suppliers, mut by_rule) = (BTreeSet::new(), BTreeMap::<String, BTreeSet<SupplierId>>::new());
        let (at, mut scratch) = (now(), Scratch::default());
        let (records, outdated): (Vec<_>, Vec<_>) =
            (api.vectors)(None).into_iter().partition(|record| record.schema == kept.id());
        for record in &records {
            set.evaluate(&snapshot(record, at), &mut scratch, |_, rule| {
                if rule.spec.level.withholds() {
                    suppliers.insert(record.supplier.clone());
                    by_rule.entry(rule.spec.id.to_string()).or_default().insert(record.supplier.clone());
                }
            });
        }
        let rules = by_rule.into_iter().map(|(rule, of)| (rule, of.len())).collect();
        let (impact, version, outdated) = (of(&api, &suppliers), set.version.clone(), outdated.len());
        Json(OfRules { impact, version, rules, outdated }).into_response()
    })
    .await
}

/// What buyers would no longer see without this supplier.
pub(super) async fn of_supplier(
    State(api): State<LockoutApi>,
    _: Analyst,
    Path(supplier): Path<String>,
) -> Answer {
    let supplier = supplier_id(&supplier)?;
    api.must_know(&supplier).await?;
    let suppliers = BTreeSet::from([supplier]);
    aside(move || Json(of(&api, &suppliers)).into_response()).await
}

pub(super) async fn risk(State(api): State<LockoutApi>, _: Analyst, Path(supplier): Path<String>) -> Answer {
    let supplier = supplier_id(&supplier)?;
    let Some(risk) = (api.risk)(&supplier) else { return Err(api.no_score(&supplier).await) };
    Ok(Json(risk).into_response())
}
