//! One line in the terminal that says how it goes, for as long as the marketplace plays on.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use metrics_exporter_prometheus::PrometheusHandle;
use stockade_console::Sample;

use crate::platform::Figures;

/// How often the line is written anew.
const EVERY: Duration = Duration::from_secs(1);

/// Where a terminal is, writes the line until it is dropped; elsewhere nothing.
pub(super) async fn show(figures: Figures, handle: PrometheusHandle) -> Result<()> {
    let line = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
    let mut before: Option<(Instant, f64)> = None;
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let (figures, handle) = (figures.clone(), handle.clone());
        // Writing all figures out takes milliseconds, which buyers would wait for.
        let sample = tokio::task::spawn_blocking(move || figures.take(Some(&handle), true)).await?;
        let events = sample.counters.get("events").copied().unwrap_or(0.0);
        let rate = before.map_or(0.0, |(at, of)| (events - of) / at.elapsed().as_secs_f64());
        before = Some((Instant::now(), events));
        line.set_message(text(&sample, rate));
        line.tick();
    }
}

fn text(sample: &Sample, rate: f64) -> String {
    let whole = |value: Option<&f64>| HumanCount(value.copied().unwrap_or(0.0).max(0.0).round() as u64);
    let gauge = |name: &str| whole(sample.gauges.get(name));
    let counter = |name: &str| whole(sample.counters.get(name));
    format!(
        "{} events ({rate:.0}/s) · {} buyer queries · {} capped, {} quarantined, {} locked out · {} units withheld · {} reviews open",
        counter("events"),
        counter("buyer_requests"),
        gauge("level_cap"),
        gauge("level_quarantine"),
        gauge("level_lockout"),
        gauge("withheld_units"),
        gauge("reviews_open"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_was_counted_and_nothing_is_nought() {
        let mut sample = Sample::default();
        sample.counters.insert("events", 12_345.0);
        sample.gauges.insert("level_quarantine", 7.0);
        let text = text(&sample, 41.6);
        assert!(
            text.starts_with("12,345 events (42/s) · 0 buyer queries · 0 capped, 7 quarantined"),
            "{text}"
        );
    }
}
