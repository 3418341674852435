//! Feature vectors made anew from `supplier.events`, with windows that the kept ones do not hold.

use std::sync::Arc;

use stockade_fold::Host;
use stockade_lockout::backtest::Rescore;
use stockade_log::{ReadLimit, Record, SharedLog};
use stockade_model::{Change, Payload, ScoreRecord, Topic};
use stockade_rules::Binding;
use stockade_supplier_scoring::{DEFAULT_FEATURES, FeatureSet, Scoring, ScoringEffect};

/// Runs the scoring fold over a partition, with windows of the caller's choice.
pub(crate) fn rescore(log: SharedLog, partitions: u32) -> Rescore {
    Arc::new(move |partition, declaration, windows, each| {
        run(&log, partitions, partition, declaration, windows, each)
    })
}

fn run(
    log: &SharedLog,
    partitions: u32,
    partition: u32,
    declaration: &str,
    windows: &[Binding],
    each: &mut dyn FnMut(i64, ScoreRecord) -> bool,
) -> Result<(), String> {
    let declaration = if declaration.is_empty() { DEFAULT_FEATURES } else { declaration };
    let features = FeatureSet::compile_with(declaration, windows)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let topic = Topic::SupplierEvents;
    let mut host = Host::new("backtest", topic, partition, 1, partitions, Scoring::new(&features));
    let bounds = log.bounds(topic.name(), partition).map_err(|error| error.to_string())?;
    let (mut next, mut effects) = (bounds.first, Vec::new());
    while next < bounds.end {
        let records = log
            .read(topic.name(), partition, next, ReadLimit::default())
            .map_err(|error| error.to_string())?;
        let Some(last) = records.last() else { break };
        next = last.offset + 1;
        for record in records.iter().filter(|record| !changes_features(record)) {
            host.apply(record, &mut effects);
            for effect in effects.drain(..) {
                if let ScoringEffect::Scored(vector) = effect
                    && !each(record.time_ms, vector)
                {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Rules and declarations of the past would change the windows asked for.
fn changes_features(record: &Record) -> bool {
    let kind = record.headers.iter().find(|(name, _)| &**name == "ce_type").map(|(_, kind)| kind);
    let is_control = kind.is_some_and(|kind| kind == "stockade.control.change".as_bytes());
    is_control
        && matches!(
            Payload::decode("stockade.control.change", &record.value),
            Ok(Payload::Control(record)) if matches!(record.change, Change::Rules { .. } | Change::Features { .. })
        )
}
