//! What the console is handed: decisions as they are read, once a second the figures of this process and what people follow, and at once
//! that something holds a rule back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use stockade_console::{Alert, Hub, Links, Sample};
use stockade_lockout::{Exceeded, HeldBy, http::LockoutApi};
use stockade_log::SharedLog;
use stockade_model::{Payload, Topic};
use stockade_runtime::{Sessions, Shutdown, metrics as names};
use tokio::{sync::watch, time::MissedTickBehavior};

/// How often figures are taken.
const EVERY: Duration = Duration::from_secs(1);
/// Figures that take walking through offers are taken at every so many samples.
const REFRESH_EVERY: u64 = 3;
/// Decisions before the start that the console can show.
const DECISIONS_BACK: u64 = 5_000;
/// A replica that is further behind than this is worth a look, in seconds.
const STALE_S: f64 = 5.0;
/// A partition that stands still for so long is worth a look, in seconds.
const STALLED_S: f64 = 30.0;

/// What the console of a process needs beside the platform.
pub struct ConsoleParts {
    /// Links that sign in.
    pub links: Links,
    /// Who is signed in.
    pub sessions: Sessions,
    /// The figures of the process; without them the overview has none.
    pub figures: Option<PrometheusHandle>,
    /// What newcomers are led through, where this is a demo.
    pub guide: Option<serde_json::Value>,
}

/// Takes the figures of a process.
#[derive(Clone)]
pub(crate) struct Figures {
    /// Brings those up to date that only show when asked for.
    pub(super) refresh: Arc<dyn Fn() + Send + Sync>,
    pub(super) lockout: Option<LockoutApi>,
}

impl Figures {
    /// All of them; those that take walking through offers as they are now only where asked to. It takes milliseconds: not for a
    /// thread that serves.
    pub(crate) fn take(&self, figures: Option<&PrometheusHandle>, refreshes: bool) -> Sample {
        if refreshes {
            (self.refresh)();
        }
        let text = figures.map(|handle| {
            handle.run_upkeep();
            handle.render()
        });
        let mut sample = text.map(|text| read(&text)).unwrap_or_default();
        if let Some(api) = &self.lockout {
            of_lockout(api, &mut sample);
        }
        sample
    }
}

/// Tells the console of decisions, the last ones before the start included.
pub(super) async fn follow_for_console(log: SharedLog, hub: Hub, shutdown: Shutdown) -> Result<()> {
    let topic = Topic::LockoutDecisions;
    let bounds = log.bounds(topic.name(), 0)?;
    let from = bounds.end.saturating_sub(DECISIONS_BACK).max(bounds.first);
    let each = move |batch: Vec<stockade_fold::Tailed>| {
        for tailed in batch {
            // Poison is dead-lettered by the fold that reads it.
            if let Ok(Payload::Decision(decision)) = tailed.payload {
                hub.decided(tailed.offset, &decision);
            }
        }
        std::future::ready(())
    };
    Ok(stockade_fold::tail(log, "console-view", topic, from, each, shutdown.wait()).await?)
}

/// Takes figures until the process ends, then ends the streams.
pub(super) async fn sample(
    hub: Hub,
    handle: Option<PrometheusHandle>,
    figures: Figures,
    shutdown: Shutdown,
) -> Result<()> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut tick = 0_u64;
    let end = shutdown.wait();
    tokio::pin!(end);
    let mut alarms = figures.lockout.as_ref().map(|api| api.desk.alarms());
    // The alerts that figures gave rise to when they were taken last.
    let mut of_figures = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = &mut end => {
                hub.close();
                return Ok(());
            }
            _ = ticks.tick() => {}
            () = alarmed(&mut alarms) => {
                if let Some(api) = &figures.lockout {
                    let mut sample = Sample::default();
                    of_rules(api, &mut sample);
                    sample.alerts.extend_from_slice(&of_figures);
                    hub.alerted(&sample);
                }
                continue;
            }
        }
        let refreshes = tick.is_multiple_of(REFRESH_EVERY);
        tick += 1;
        let (hub, figures, handle) = (hub.clone(), figures.clone(), handle.clone());
        // Writing all figures out takes milliseconds, which buyers would wait for.
        let take = move || {
            let mut sample = figures.take(handle.as_ref(), refreshes);
            let of_figures = alerts(&sample);
            sample.alerts.extend_from_slice(&of_figures);
            hub.sampled(&sample);
            of_figures
        };
        match tokio::task::spawn_blocking(take).await {
            Ok(alerts) => of_figures = alerts,
            // Buyers and suppliers are served without figures.
            Err(error) => tracing::error!(%error, "figures of the console could not be taken"),
        }
    }
}

/// Waits until something holds a rule back, or no longer, or the kill switch is turned; for ever where the lockout service does not run.
async fn alarmed(alarms: &mut Option<watch::Receiver<()>>) {
    if let Some(alarms) = alarms
        && alarms.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// What people follow of the lockout service.
fn of_lockout(api: &LockoutApi, sample: &mut Sample) {
    of_rules(api, sample);
    let open = api.desk.reviews(None, None, 0).1;
    sample.states.insert("reviews", json!({ "open": open, "revision": api.desk.revision() }));
    sample.gauges.insert("reviews_open", open as f64);
    let (version, _) = api.rules.current();
    if !version.is_empty() {
        sample.rules = Some(version);
    }
}

/// Which rules are in force, and what holds them back. It takes no time, so it may be done whenever that changes.
fn of_rules(api: &LockoutApi, sample: &mut Sample) {
    let (version, _) = api.rules.current();
    let drafts = api.versions.drafts().len();
    let held = api.desk.exceeded();
    let held_by = |by: HeldBy| -> Vec<&String> {
        held.iter().filter(|(_, held)| held.held_by() == by).map(|(rule, _)| rule).collect()
    };
    let exceeded = held_by(HeldBy::Budget);
    let kill = api.desk.kill().is_some_and(|kill| kill.on);
    let rules = json!({
        "version": version, "drafts": drafts, "exceeded": exceeded, "suspect": held_by(HeldBy::Suspect),
        "stopped": held_by(HeldBy::Stopped), "kill": kill, "four_eyes": api.versions.four_eyes(),
    });
    sample.gauges.insert("budgets_exceeded", exceeded.len() as f64);
    sample.states.insert("rules", rules);
    if kill {
        let text = "The kill switch is on: rules restrict nobody until it is turned off.".to_owned();
        sample.alerts.push(Alert { code: "kill_switch".to_owned(), severity: "high", text });
    }
    sample.alerts.extend(held.iter().map(|(rule, held)| of_held(rule, held)));
}

/// What is true of a rule that is held back, and what to do.
fn of_held(rule: &str, held: &Exceeded) -> Alert {
    let (code, text) = match held.held_by() {
        HeldBy::Budget => (
            "budget",
            format!(
                "The rule {rule} exceeded its budget and holds back; look at what it found, then rearm it."
            ),
        ),
        HeldBy::Suspect => (
            "suspect",
            format!(
                "The rule {rule} only watches, for what it measures by ({}) found too many suppliers at once; put that right, or rearm the rule if it is.",
                held.suspect.as_deref().unwrap_or("its evidence")
            ),
        ),
        HeldBy::Stopped => (
            "stopped",
            format!(
                "The rule {rule} was stopped by {} and does nothing; rearm it when it is right.",
                held.stopped_by.as_deref().unwrap_or("somebody")
            ),
        ),
    };
    Alert { code: code.to_owned(), severity: "high", text }
}

/// What figures say that a person should look at.
fn alerts(sample: &Sample) -> Vec<Alert> {
    let figure = |name: &str| sample.gauges.get(name).copied().unwrap_or(0.0);
    let (stale, stalled) = (figure("staleness_s"), figure("stalled_s"));
    let mut alerts = Vec::new();
    if stale > STALE_S {
        let text =
            format!("What buyers see may be {stale:.0} s behind the log; look at the lag of the folds.");
        alerts.push(Alert { code: "stale".to_owned(), severity: "high", text });
    }
    if stalled > STALLED_S {
        let text = format!(
            "A partition stands still for {stalled:.0} s; look for the process that owns it and restart it."
        );
        alerts.push(Alert { code: "stalled".to_owned(), severity: "high", text });
    }
    alerts
}

/// One line of the Prometheus text: name, labels, value.
fn line(text: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = text.rsplit_once(' ')?;
    let (name, labels) =
        series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest.trim_end_matches('}')));
    Some((name, labels, value.parse().ok()?))
}

/// The value of a label. The values of those that are asked for hold neither quotes nor commas.
fn label<'t>(labels: &'t str, name: &str) -> Option<&'t str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

const LEVELS: [(&str, &str); 6] = [
    ("watch", "level_watch"),
    ("limit", "level_limit"),
    ("cap", "level_cap"),
    ("dim", "level_dim"),
    ("quarantine", "level_quarantine"),
    ("lockout", "level_lockout"),
];

/// Figures of the same name that are shown as they are: the largest of several.
const GAUGES: [(&str, &str); 9] = [
    ("stockade_fold_lag_records", "lag"),
    ("stockade_fold_stalled_seconds", "stalled_s"),
    ("stockade_inventory_staleness_seconds", "staleness_s"),
    ("stockade_inventory_listings", "listings"),
    ("stockade_inventory_units", "units"),
    ("stockade_inventory_withheld_listings", "withheld_listings"),
    ("stockade_inventory_withheld_units", "withheld_units"),
    ("stockade_lockout_drafts", "drafts"),
    ("stockade_inventory_streams", "buyer_streams"),
];

/// Figures that grow: the sum of several.
const COUNTERS: [(&str, &str); 4] = [
    ("stockade_inventory_events_accepted_total", "events"),
    ("stockade_inventory_events_refused_total", "events_refused"),
    ("stockade_fold_dead_letters_total", "dead_letters"),
    (names::RATE_LIMITED, "rate_limited"),
];

/// The routes by which buyers look for goods.
const BUYER_ROUTES: [&str; 2] = ["/v1/availability", "/v1/availability:query"];

/// Reads what the overview shows out of all figures of the process.
fn read(text: &str) -> Sample {
    let mut sample = Sample::default();
    let (mut invisible, mut buyer) = (Buckets::default(), Buckets::default());
    for (name, labels, value) in text.lines().filter(|line| !line.starts_with('#')).filter_map(line) {
        if let Some((_, figure)) = GAUGES.iter().find(|(of, _)| *of == name) {
            let most = sample.gauges.entry(figure).or_insert(value);
            *most = most.max(value);
        } else if let Some((_, figure)) = COUNTERS.iter().find(|(of, _)| *of == name) {
            *sample.counters.entry(figure).or_insert(0.0) += value;
        } else if name == "stockade_lockout_suppliers" {
            let level = label(labels, "level").and_then(|level| LEVELS.iter().find(|(of, _)| *of == level));
            level.map(|(_, figure)| sample.gauges.insert(figure, value));
        } else if name == "stockade_inventory_event_to_invisible_seconds_bucket" {
            invisible.add(labels, value);
        } else if let Some(of) = name.strip_prefix(names::REQUEST_SECONDS) {
            let is_buyer = label(labels, "http_route").is_some_and(|route| BUYER_ROUTES.contains(&route));
            match of {
                "_bucket" if is_buyer => buyer.add(labels, value),
                "_count" => {
                    *sample.counters.entry("requests").or_insert(0.0) += value;
                    if is_buyer {
                        *sample.counters.entry("buyer_requests").or_insert(0.0) += value;
                    }
                }
                _ => {}
            }
        }
    }
    sample.histograms.insert("invisible", invisible.sorted());
    sample.histograms.insert("buyer", buyer.sorted());
    sample
}

/// Counts by upper bound as it is written, several series together.
#[derive(Default)]
struct Buckets<'t>(BTreeMap<&'t str, f64>);

impl<'t> Buckets<'t> {
    fn add(&mut self, labels: &'t str, count: f64) {
        if let Some(bound) = label(labels, "le") {
            *self.0.entry(bound).or_insert(0.0) += count;
        }
    }

    fn sorted(self) -> Vec<(f64, f64)> {
        let number = |bound: &str| if bound == "+Inf" { Some(f64::INFINITY) } else { bound.parse().ok() };
        let mut bounds: Vec<(f64, f64)> =
            self.0.into_iter().filter_map(|(bound, count)| Some((number(bound)?, count))).collect();
        bounds.sort_by(|left, right| left.0.total_cmp(&right.0));
        bounds
    }
}

#[cfg(test)]
mod tests {
    use stockade_model::Timestamp;

    use super::*;

    #[test]
    fn an_alert_says_what_is_true_of_a_rule_that_is_held_back() {
        let held = |suspect: Option<&str>, stopped_by: Option<&str>| Exceeded {
            at: Timestamp::from_ms(1),
            content: String::new(),
            detail: String::new(),
            suspect: suspect.map(str::to_owned),
            stopped_by: stopped_by.map(str::to_owned),
            caps: false,
        };
        for (held, code, says) in [
            (held(None, None), "budget", "exceeded its budget"),
            (held(Some("cancellations"), None), "suspect", "only watches"),
            (held(None, Some("ann")), "stopped", "was stopped by ann"),
        ] {
            let alert = of_held("wide", &held);
            assert_eq!((alert.code.as_str(), alert.text.contains(says)), (code, true), "{}", alert.text);
            assert_eq!(alert.text.contains("budget"), code == "budget", "{}", alert.text);
        }
    }

    #[test]
    fn figures_are_read_by_name_and_several_series_of_one_are_put_together() {
        let text = r#"# HELP x
stockade_fold_lag_records{fold="control"} 3
stockade_fold_lag_records{fold="intake"} 7
stockade_inventory_events_accepted_total 12
stockade_lockout_suppliers{level="cap"} 4
http_server_request_duration_seconds_bucket{http_route="/v1/availability",http_request_method="GET",http_response_status_code="200",le="0.005"} 8
http_server_request_duration_seconds_bucket{http_route="/v1/availability",http_request_method="GET",http_response_status_code="404",le="0.005"} 1
http_server_request_duration_seconds_bucket{http_route="/v1/availability",http_request_method="GET",http_response_status_code="200",le="+Inf"} 9
http_server_request_duration_seconds_count{http_route="/v1/rules",http_request_method="GET",http_response_status_code="200"} 5
"#;
        let sample = read(text);
        assert_eq!((sample.gauges["lag"], sample.gauges["level_cap"]), (7.0, 4.0));
        assert_eq!((sample.counters["events"], sample.counters["requests"]), (12.0, 5.0));
        assert_eq!(sample.histograms["buyer"], [(0.005, 9.0), (f64::INFINITY, 9.0)]);
    }
}
