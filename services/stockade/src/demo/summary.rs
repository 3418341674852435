//! What happened, for people and for scripts.

use crate::output::say;
use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::Ordering,
    time::Duration,
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::play::{Live, Play};

/// The summary of one run.
pub(super) struct Summary {
    body: Value,
    missed: Vec<String>,
    touched: Vec<String>,
    by_rule: BTreeMap<String, usize>,
}

fn quantiles(histogram: &Mutex<Histogram<u64>>) -> Value {
    let histogram = histogram.lock();
    let ms = |q: f64| (histogram.value_at_quantile(q) as f64 / 10.0).round() / 100.0;
    json!({ "p50": ms(0.5), "p99": ms(0.99), "queries": histogram.len() })
}

fn percentile(sorted: &[Duration], share: f64) -> Value {
    let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(index).map_or(Value::Null, |time| json!((time.as_secs_f64() * 100_000.0).round() / 100.0))
}

impl Summary {
    pub(super) fn of(seed: u64, duration: u64, play: &Play, live: &Live) -> Self {
        let attackers = play.attackers();
        let decided = play.records.all();
        let locked: HashSet<&String> = decided.iter().filter(|d| d.withheld).map(|d| &d.supplier).collect();
        let guilty = locked.iter().filter(|id| attackers.contains(**id)).count();
        let capped: HashSet<&String> = decided
            .iter()
            .filter(|d| d.capped && !locked.contains(&d.supplier))
            .map(|d| &d.supplier)
            .collect();
        let guilty_capped = capped.iter().filter(|id| attackers.contains(**id)).count();
        let touched: HashSet<&String> =
            decided.iter().map(|d| &d.supplier).filter(|id| !attackers.contains(*id)).collect();
        let mut times = play.records.times_to_invisible(&attackers);
        times.sort_unstable();
        let honest = play.world.honest.len() + play.newcomers.len();
        let honest_locked = locked.len() - guilty;
        let stopped = (guilty + guilty_capped) * 100 >= attackers.len() * 95;
        let held = stopped && honest_locked == 0 && live.visible_at_end == 0;
        let mut by_rule = BTreeMap::new();
        let mut counted = HashSet::new();
        for first in decided.iter().filter(|d| (d.withheld || d.capped) && counted.insert(d.supplier.clone()))
        {
            *by_rule.entry(first.rule.clone()).or_insert(0) += 1;
        }
        let body = json!({
            "seed": seed,
            "duration_s": duration,
            "attackers": attackers.len(),
            "attackers_locked": guilty,
            "attackers_capped": guilty_capped,
            "honest": honest,
            "honest_locked": honest_locked,
            "honest_capped": capped.len() - guilty_capped,
            "honest_watched": touched.len() - honest_locked,
            "time_to_invisible_ms": {
                "p50": percentile(&times, 0.5), "p99": percentile(&times, 0.99), "max": percentile(&times, 1.0),
            },
            "buyer_ms": { "before": quantiles(&live.buyers.before), "during": quantiles(&live.buyers.during) },
            "buyers_refused": live.buyers.refused.load(Ordering::Relaxed),
            "calls_failed": live.calls_failed,
            "withheld_offers_still_visible": live.visible_at_end,
            "verdict": if held { "held" } else { "failed" },
        });
        let mut missed: Vec<String> =
            attackers.iter().filter(|id| !locked.contains(id) && !capped.contains(id)).cloned().collect();
        missed.sort_unstable();
        let mut touched: Vec<String> = touched.into_iter().cloned().collect();
        touched.sort_unstable();
        Self { body, missed, touched, by_rule }
    }

    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            say!("{}", self.body);
            return;
        }
        let body = &self.body;
        say!(
            "attackers locked     {} of {}, and {} capped",
            body["attackers_locked"],
            body["attackers"],
            body["attackers_capped"]
        );
        self.by_rule.iter().for_each(|(rule, count)| say!("                     {count:>3} by {rule}"));
        say!(
            "honest locked        {} of {} ({} capped, {} watched)",
            body["honest_locked"],
            body["honest"],
            body["honest_capped"],
            body["honest_watched"]
        );
        let times = &body["time_to_invisible_ms"];
        say!(
            "event to invisible   p50 {} ms, p99 {} ms, max {} ms",
            times["p50"],
            times["p99"],
            times["max"]
        );
        for phase in ["before", "during"] {
            let buyer = &body["buyer_ms"][phase];
            say!(
                "buyers {phase:<13} p50 {} ms, p99 {} ms over {} queries",
                buyer["p50"],
                buyer["p99"],
                buyer["queries"]
            );
        }
        say!("buyers refused       {}", body["buyers_refused"]);
        if !self.missed.is_empty() {
            say!("missed               {}", self.missed.join(", "));
        }
        if !self.touched.is_empty() {
            say!("honest touched       {}", self.touched.join(", "));
        }
        say!("verdict              {}", body["verdict"].as_str().unwrap_or("?"));
    }
}
