//! What webhooks tell of themselves. Labels are closed: endpoints and their owners are in the API and in the log.
//!
//! | name | labels | what it says |
//! |---|---|---|
//! | `stockade_webhooks_endpoints` | | endpoints there are; at each replica the same |
//! | `stockade_webhooks_endpoints_disabled` | | of these, those that are told nothing: gone, failing for days, or so wished |
//! | `stockade_webhooks_waiting` | | deliveries owed and not taken yet |
//! | `stockade_webhooks_attempts_total` | `outcome` | attempts: `taken`, or why they failed |
//! | `stockade_webhooks_attempt_seconds` | | how long attempts took |
//! | `stockade_webhooks_dropped_total` | | deliveries dropped unsent because more than a thousand waited for one endpoint |
//! | `stockade_webhooks_under_way` | | attempts under way here |

use ::metrics::{counter, gauge, histogram};
use stockade_model::{Attempt, AttemptFailure};
use stockade_runtime::metrics::Figure;

/// What each figure says, as a scrape shows it.
pub const FIGURES: [Figure; 7] = [
    Figure::Gauge("stockade_webhooks_endpoints", "Endpoints there are; at each replica the same."),
    Figure::Gauge(
        "stockade_webhooks_endpoints_disabled",
        "Endpoints that are told nothing: gone, failing for days, or so wished.",
    ),
    Figure::Gauge("stockade_webhooks_waiting", "Deliveries owed and not taken yet."),
    Figure::Counter("stockade_webhooks_attempts_total", "Attempts: taken, or why they failed."),
    Figure::Histogram("stockade_webhooks_attempt_seconds", "How long attempts took."),
    Figure::Counter(
        "stockade_webhooks_dropped_total",
        "Deliveries dropped unsent because more than a thousand waited for one endpoint.",
    ),
    Figure::Gauge("stockade_webhooks_under_way", "Attempts under way here."),
];

/// Alerts look at this, so it is there from the start.
pub fn begin() {
    gauge!("stockade_webhooks_endpoints_disabled").increment(0.0);
}

pub(crate) fn known(endpoints: usize, disabled: usize, waiting: usize) {
    gauge!("stockade_webhooks_endpoints").set(endpoints as f64);
    gauge!("stockade_webhooks_endpoints_disabled").set(disabled as f64);
    gauge!("stockade_webhooks_waiting").set(waiting as f64);
}

pub(crate) fn dropped() {
    counter!("stockade_webhooks_dropped_total").increment(1);
}

pub(crate) fn attempted(attempt: &Attempt) {
    let outcome = attempt.failure.map_or("taken", AttemptFailure::as_str);
    counter!("stockade_webhooks_attempts_total", "outcome" => outcome).increment(1);
    histogram!("stockade_webhooks_attempt_seconds").record(attempt.latency_ms as f64 / 1_000.0);
}

pub(crate) fn under_way(count: usize) {
    gauge!("stockade_webhooks_under_way").set(count as f64);
}
