//! The figures of a process: what each says, and those that are there before anything has happened.

use anyhow::Result;
use metrics_exporter_prometheus::PrometheusHandle;
use stockade_runtime::{
    metrics::{self as edges, Figure},
    telemetry,
};

use crate::platform::Roles;

/// Those of the process itself, of folds, of the log and of the disk.
const OWN: [Figure; 11] = [
    Figure::Gauge(
        "stockade_fold_lag_records",
        "Records that this process has not applied yet, all partitions of a fold together.",
    ),
    Figure::Gauge(
        "stockade_fold_stalled_seconds",
        "For how long there has been input of which nothing was committed, by fold and partition; alert on it.",
    ),
    Figure::Gauge(
        "stockade_fold_waits_seconds",
        "How long the oldest record has waited for a fold of this process.",
    ),
    Figure::Counter(
        "stockade_fold_dead_letters_total",
        "Records that could not be processed, by fold and reason; alert on it.",
    ),
    Figure::Counter(
        "stockade_log_records_expired_total",
        "Records of the embedded log that were old enough to be dropped.",
    ),
    Figure::Counter("stockade_log_client_errors_total", "Errors that the client of Kafka told of."),
    Figure::Counter(
        "stockade_log_producers_remade_total",
        "Producers made anew because the end of a transaction was unclear, by group.",
    ),
    Figure::Counter(
        "stockade_log_clients_told_again_total",
        "Clients of Kafka that knew no broker any more and were given the addresses again.",
    ),
    Figure::Gauge(
        "stockade_disk_free_bytes",
        "What an ordinary user may still write under the data directory.",
    ),
    Figure::Gauge("stockade_disk_warn_bytes", "Alert when less than this is free: log.disk_warn_bytes."),
    Figure::Gauge(
        "stockade_disk_reserve_bytes",
        "With less than this free, an embedded log takes no more writes: log.disk_reserve_bytes.",
    ),
];

/// Those of scoring, which knows nothing of the edges that figures are told at.
const SCORING: [Figure; 5] = [
    Figure::Counter(
        "stockade_scoring_duplicate_events_total",
        "Events that had been taken before, known by source and id.",
    ),
    Figure::Counter(
        "stockade_scoring_conflicting_events_total",
        "Events whose source and id had been taken with another content.",
    ),
    Figure::Histogram("stockade_scoring_score", "Scores as they are made."),
    Figure::Histogram("stockade_scoring_model_points", "Points the models give: champion and challenger."),
    Figure::Gauge(
        "stockade_scoring_feature_drift",
        "Population stability index of live vectors against those the champion was trained on, by feature; 0 until it has seen enough.",
    ),
];

/// Every figure that a process may tell of.
pub fn all() -> impl Iterator<Item = Figure> {
    edges::FIGURES.into_iter().chain(behind_the_edges())
}

fn behind_the_edges() -> impl Iterator<Item = Figure> {
    OWN.into_iter()
        .chain(SCORING)
        .chain(stockade_inventory::metrics::FIGURES)
        .chain(stockade_lockout::metrics::FIGURES)
        .chain(stockade_webhooks::metrics::FIGURES)
}

/// Begins to keep the figures of this process, which has these roles.
pub(crate) fn begin(roles: Roles) -> Result<PrometheusHandle> {
    let handle = telemetry::metrics()?;
    edges::describe(behind_the_edges());
    if roles.lockout {
        stockade_lockout::metrics::begin();
        stockade_webhooks::metrics::begin();
    }
    if roles.scoring {
        stockade_supplier_scoring::metrics::begin();
    }
    Ok(handle)
}
