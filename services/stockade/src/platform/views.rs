//! What the analysts' API sees of other services: scores, links, stock and recent decisions.

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use stockade_inventory::app::App;
use stockade_lockout::Decisions;
use stockade_log::{Event, Mode, ReadLimit, SharedLog};
use stockade_model::{Payload, ScoreRecord, SupplierId, Topic};
use stockade_runtime::Shutdown;
use stockade_supplier_scoring::{Edge, metrics::ModelsView};

/// What the analysts' view of a supplier is made of.
#[derive(Default)]
pub(super) struct RiskData {
    pub(super) scores: FxHashMap<SupplierId, ScoreRecord>,
    /// Known where the scoring service runs in this process.
    pub(super) links: FxHashMap<SupplierId, Vec<Edge>>,
}

pub(super) type Scores = Arc<RwLock<RiskData>>;

/// The inventory service, once it runs in this process.
pub(super) type Stock = Arc<OnceLock<Arc<App>>>;

/// What other services of this process let the analysts' API see.
pub(super) struct Views {
    pub(super) scores: Scores,
    pub(super) stock: Stock,
    /// Where scoring runs here.
    pub(super) models: Option<ModelsView>,
}

/// Records of each partition of `supplier.scores` that a lockout replica looks back on for its view of scores.
const SCORES_BACK: u64 = 20_000;

/// Keeps the last score of each supplier for the analysts' view, where the scoring fold runs elsewhere.
pub(super) async fn follow_scores(
    log: SharedLog,
    partitions: u32,
    scores: Scores,
    shutdown: Shutdown,
) -> Result<()> {
    let topic = Topic::SupplierScores.name();
    let mut consumer = log.join("score-view", topic, Mode::Follow)?;
    let starts: Vec<u64> = (0..partitions)
        .map(|partition| {
            let bounds = log.bounds(topic, partition)?;
            Ok(bounds.end.saturating_sub(SCORES_BACK).max(bounds.first))
        })
        .collect::<Result<_>>()?;
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        match consumer.try_next(ReadLimit::default())? {
            Some(Event::Assigned { partition, .. }) => consumer.seek(partition, starts[partition as usize]),
            Some(Event::Batch { records, .. }) => {
                let mut scores = scores.write();
                for record in records {
                    let kind = record.headers.iter().find(|(name, _)| name.as_ref() == "ce_type");
                    let kind = kind.and_then(|(_, kind)| std::str::from_utf8(kind).ok()).unwrap_or("");
                    // What does not decode is dead-lettered by the fold that reads it.
                    if let Ok(Payload::Score(score)) = Payload::decode(kind, &record.value) {
                        scores.scores.insert(score.supplier.clone(), score);
                    }
                }
            }
            None => tokio::select! {
                biased;
                () = &mut end => return Ok(()),
                () = consumer.wait() => {}
            },
        }
    }
}

/// Keeps the view of recent decisions.
pub(super) async fn follow_for_view(log: SharedLog, view: Decisions, shutdown: Shutdown) -> Result<()> {
    let each = move |batch: Vec<stockade_fold::Tailed>| {
        for tailed in batch {
            if let Ok(Payload::Decision(decision)) = tailed.payload {
                view.add(tailed.offset, decision);
            }
        }
        std::future::ready(())
    };
    Ok(stockade_fold::tail(log, "decision-view", Topic::LockoutDecisions, 0, each, shutdown.wait()).await?)
}
