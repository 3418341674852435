//! Logs by `tracing`, figures by `metrics` in Prometheus text.

use std::{cell::Cell, io::IsTerminal as _};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Buckets of HTTP durations, in seconds: OpenTelemetry's semantic conventions for `http.server.request.duration`.
const HTTP_SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Buckets from event to invisible: milliseconds are the point.
const ISOLATION_SECONDS: [f64; 12] =
    [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Buckets of scores.
const SCORES: [f64; 10] = [50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0];

/// Why figures cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A bucket is none.
    #[error("the metrics recorder: {0}")]
    Build(#[from] BuildError),
    /// There is one already.
    #[error("there is a metrics recorder already")]
    Installed,
}

thread_local! {
    /// What is done on this thread is not counted.
    static IS_UNCOUNTED: Cell<bool> = const { Cell::new(false) };
}

/// What is done on this thread from here on is not counted: it is the sandbox's.
pub fn leave_uncounted() {
    IS_UNCOUNTED.set(true);
}

/// Whether what is done on this thread is not counted, for whoever starts a thread that goes on with it.
pub fn is_uncounted() -> bool {
    IS_UNCOUNTED.get()
}

/// Keeps the figures of threads that are counted.
struct Counted(PrometheusRecorder);

impl Recorder for Counted {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, about: SharedString) {
        self.0.describe_counter(key, unit, about);
    }
    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, about: SharedString) {
        self.0.describe_gauge(key, unit, about);
    }
    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, about: SharedString) {
        self.0.describe_histogram(key, unit, about);
    }
    fn register_counter(&self, key: &Key, of: &Metadata<'_>) -> Counter {
        if is_uncounted() { Counter::noop() } else { self.0.register_counter(key, of) }
    }
    fn register_gauge(&self, key: &Key, of: &Metadata<'_>) -> Gauge {
        if is_uncounted() { Gauge::noop() } else { self.0.register_gauge(key, of) }
    }
    fn register_histogram(&self, key: &Key, of: &Metadata<'_>) -> Histogram {
        if is_uncounted() { Histogram::noop() } else { self.0.register_histogram(key, of) }
    }
}

/// Installs the metrics recorder of this process; the handle renders it. Fails when there is one already.
pub fn metrics() -> Result<PrometheusHandle, MetricsError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(crate::metrics::REQUEST_SECONDS.to_owned()), &HTTP_SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("event_to_invisible_seconds".to_owned()), &ISOLATION_SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("scoring_score".to_owned()), &SCORES)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(Counted(recorder)).map_err(|_| MetricsError::Installed)?;
    crate::metrics::describe(crate::metrics::FIGURES);
    Ok(handle)
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Starts logging to standard error. `filter` is what `RUST_LOG` understands; that variable wins. Later calls do
/// nothing.
pub fn logs(filter: &str, format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(filter));
    // Colours are for eyes: a file keeps the marks that make them. https://no-color.org
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !plain);
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
