//! Figures over time: each second of the last 15 minutes and each minute of the last day, in memory. A restart begins anew.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::Sample;

/// Seconds kept.
const SECONDS: usize = 15 * 60;
/// Minutes kept.
const MINUTES: usize = 24 * 60;
/// Seconds over which quantiles are taken.
const WINDOW: usize = 30;

/// Figures of a moment, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

#[derive(Clone, Debug)]
struct Point {
    at_ms: i64,
    figures: Figures,
}

/// Figures over time.
#[derive(Default)]
pub(crate) struct History {
    /// Samples of the minute that goes on.
    in_minute: u32,
    seconds: VecDeque<Point>,
    minutes: VecDeque<Point>,
    last_counters: Option<(i64, BTreeMap<&'static str, f64>)>,
    histograms: VecDeque<BTreeMap<&'static str, Vec<(f64, f64)>>>,
}

/// The value below which a share `q` of the observations between two looks at a histogram lies; between two bounds it is as if they
/// were spread evenly. `None` when there was nothing.
fn quantile(before: &[(f64, f64)], after: &[(f64, f64)], q: f64) -> Option<f64> {
    let earlier = |bound: f64| before.iter().find(|(of, _)| *of == bound).map_or(0.0, |(_, count)| *count);
    let counts: Vec<(f64, f64)> =
        after.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect();
    let total = counts.last().map(|(_, count)| *count).filter(|total| *total > 0.0)?;
    let rank = q * total;
    let (mut from, mut below) = (0.0, 0.0);
    for (bound, count) in counts {
        if count >= rank {
            // The last bucket has no upper end, so the most that can be said is its lower one.
            let is_open = bound.is_infinite() || count <= below;
            return Some(if is_open {
                from
            } else {
                from + (bound - from) * (rank - below) / (count - below)
            });
        }
        (from, below) = (bound, count);
    }
    Some(from)
}

/// Four digits say enough, and keep what is sent short.
fn short(value: f64) -> Value {
    if value == 0.0 || !value.is_finite() {
        return json!(0);
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    let rounded = (value * scale).round() / scale;
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 { json!(rounded as i64) } else { json!(rounded) }
}

impl Point {
    /// Makes it say what all seconds of its minute say: their mean, and of the slowest the worst.
    fn take_in(&mut self, figures: &Figures, so_many: u32) {
        for (name, value) in figures {
            let all = self.figures.entry(name.clone()).or_insert(*value);
            if name.ends_with("_p99") {
                *all = all.max(*value);
            } else {
                *all += (value - *all) / f64::from(so_many);
            }
        }
    }
}

impl History {
    /// Takes a sample in; the answer is its figures.
    pub(crate) fn add(&mut self, at_ms: i64, sample: &Sample) -> Value {
        let mut figures: Figures =
            sample.gauges.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        if let Some((before_ms, before)) = &self.last_counters {
            let elapsed_s = (at_ms - before_ms).max(1) as f64 / 1_000.0;
            for (name, value) in &sample.counters {
                // One that was not there yet began at nothing.
                let grown = value - before.get(name).copied().unwrap_or(0.0);
                figures.insert((*name).to_owned(), grown.max(0.0) / elapsed_s);
            }
        }
        self.last_counters = Some((at_ms, sample.counters.clone()));
        for (name, after) in &sample.histograms {
            let before =
                self.histograms.front().and_then(|first| first.get(name)).map_or(&[][..], Vec::as_slice);
            for (q, ending) in [(0.5, "p50"), (0.99, "p99")] {
                if let Some(seconds) = quantile(before, after, q) {
                    figures.insert(format!("{name}_{ending}"), seconds * 1_000.0);
                }
            }
        }
        self.histograms.push_back(sample.histograms.clone());
        if self.histograms.len() > WINDOW {
            self.histograms.pop_front();
        }
        let told = told(at_ms, &figures);
        let point = Point { at_ms, figures };
        let is_new_minute = self.minutes.back().is_none_or(|last| last.at_ms / 60_000 != at_ms / 60_000);
        if is_new_minute {
            push(&mut self.minutes, point.clone(), MINUTES);
            self.in_minute = 1;
        } else if let Some(minute) = self.minutes.back_mut() {
            self.in_minute += 1;
            minute.take_in(&point.figures, self.in_minute);
        }
        push(&mut self.seconds, point, SECONDS);
        told
    }

    /// A range as columns: times in milliseconds since 1970, and for each figure a value or null at each time.
    pub(crate) fn columns(&self, is_by_minute: bool) -> Value {
        let points = if is_by_minute { &self.minutes } else { &self.seconds };
        let names: std::collections::BTreeSet<&String> =
            points.iter().flat_map(|point| point.figures.keys()).collect();
        let column = |name: &String| -> Value {
            points
                .iter()
                .map(|point| point.figures.get(name).map_or(Value::Null, |value| short(*value)))
                .collect()
        };
        let columns: serde_json::Map<String, Value> =
            names.into_iter().map(|name| (name.clone(), column(name))).collect();
        json!({ "at": points.iter().map(|point| point.at_ms).collect::<Vec<_>>(), "figures": columns })
    }
}

fn told(at_ms: i64, figures: &Figures) -> Value {
    let figures: serde_json::Map<String, Value> =
        figures.iter().map(|(name, value)| (name.clone(), short(*value))).collect();
    json!({ "at": at_ms, "figures": figures })
}

fn push(points: &mut VecDeque<Point>, point: Point, most: usize) {
    points.push_back(point);
    if points.len() > most {
        points.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_came_between_and_nothing_has_none() {
        let before = [(0.25, 10.0), (0.75, 10.0), (f64::INFINITY, 10.0)];
        let after = [(0.25, 60.0), (0.75, 110.0), (f64::INFINITY, 110.0)];
        assert_eq!(quantile(&before, &after, 0.5), Some(0.25));
        assert_eq!(quantile(&before, &after, 0.75), Some(0.5));
        assert_eq!(quantile(&before, &before, 0.5), None);
        assert_eq!(quantile(&[], &[(0.01, 0.0), (f64::INFINITY, 4.0)], 0.99), Some(0.01), "no more is known");
    }

    #[test]
    fn what_grows_is_told_a_second_and_the_rings_are_bounded() {
        let mut history = History::default();
        let mut sample = Sample::default();
        for second in 0..2_000_i64 {
            sample.counters.insert("events", (second * 5) as f64);
            sample.gauges.insert("lag", 1234.56);
            history.add(second * 1_000, &sample);
        }
        let columns = history.columns(false);
        assert_eq!(columns["at"].as_array().unwrap().len(), SECONDS);
        assert_eq!(columns["figures"]["events"][7], 5);
        assert_eq!(columns["figures"]["lag"][7], 1235);
        assert_eq!(history.columns(true)["at"].as_array().unwrap().len(), 34);
    }
}
