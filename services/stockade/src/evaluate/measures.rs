//! How well lock-outs fit the truth, and scores the labels.

use crate::output::say;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use stockade_model::{
    Region, SupplierId, Timestamp,
    time::{DAY_MS, HOUR_MS},
};
use stockade_supplier_scoring::ranking;

use super::truth::{Truth, Window};
use crate::lockouts::Lockout;

/// An order and the score its supplier had with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) at: Timestamp,
    pub(super) score: f32,
}

/// What is measured.
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    /// How late labels are.
    pub(super) delay_ms: i64,
    /// How long past the delay a window must have been seen to count for recall.
    pub(super) seen_ms: i64,
}

/// Everything that was found. Hours are from the start of a window to its first lock-out.
pub(super) fn report(
    lockouts: &[Lockout],
    truth: Option<&Truth>,
    orders: &FxHashMap<(SupplierId, String), Order>,
    frauds: &HashSet<(SupplierId, String)>,
    span: &Span,
) -> Value {
    let of_span: Vec<&Lockout> =
        lockouts.iter().filter(|l| span.from <= l.locked_at && l.locked_at <= span.until).collect();
    let suppliers: BTreeSet<&SupplierId> = orders.keys().map(|(supplier, _)| supplier).collect();
    let locked: BTreeSet<&SupplierId> = of_span.iter().map(|lockout| &lockout.supplier).collect();
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    of_span.iter().for_each(|lockout| *by_rule.entry(&lockout.rule).or_default() += 1);
    let mut report = json!({
        "from": span.from, "until": span.until,
        "suppliers": suppliers.len(), "orders": orders.len(),
        "lockouts": of_span.len(), "suppliers_locked": locked.len(), "lockouts_by_rule": by_rule,
        "share_of_suppliers_locked": share(locked.len(), suppliers.len()),
    });
    let mut scored: Vec<(f64, bool, f64)> = orders
        .iter()
        .filter(|(_, order)| order.at >= span.from)
        .map(|(key, order)| (f64::from(order.score), frauds.contains(key), 1.0))
        .collect();
    let (precision, auc) = ranking(&mut scored).map(|(p, a)| (round(p, 4), round(a, 4))).unzip();
    report["transactions"] = json!({
        "measured": scored.len(), "frauds": scored.iter().filter(|(_, fraud, _)| *fraud).count(),
        "average_precision": precision, "auc": auc,
    });
    if let Some(truth) = truth {
        against_truth(&mut report, &of_span, lockouts, truth, orders, frauds, span);
    }
    report
}

/// Orders after a lock-out that are looked at, and the orders at which a region's own rate weighs as much as all regions'.
const AFTER_MS: i64 = 90 * DAY_MS;
const SHRINK_ORDERS: f64 = 20.0;
const RESAMPLES: usize = 1_000;

/// What became of the locked: the share of their orders of the ninety days after their first lock-out that went wrong, for
/// each that was to be expected of suppliers never locked, by month and region. In production there would be no such
/// orders; a history goes on. The interval is a bootstrap over suppliers, 95 %.
pub(super) fn afterwards(
    lockouts: &[Lockout],
    orders: &FxHashMap<(SupplierId, String), Order>,
    spoiled: &HashSet<(SupplierId, String)>,
    regions: &HashMap<SupplierId, Region>,
) -> Value {
    let mut first: BTreeMap<&SupplierId, Timestamp> = BTreeMap::new();
    for lockout in lockouts {
        let at = first.entry(&lockout.supplier).or_insert(lockout.locked_at);
        *at = (*at).min(lockout.locked_at);
    }
    let month = |at: Timestamp| at.to_string().chars().take(7).collect::<String>();
    let mut others: HashMap<(String, Option<Region>), (f64, f64)> = HashMap::new();
    for (key, order) in orders.iter().filter(|((supplier, _), _)| !first.contains_key(supplier)) {
        let bad = f64::from(u8::from(spoiled.contains(key)));
        for region in [None, regions.get(&key.0).copied()] {
            let of = others.entry((month(order.at), region)).or_default();
            *of = (of.0 + bad, of.1 + 1.0);
        }
    }
    let expected = |supplier: &SupplierId, at: Timestamp| {
        let of = |region| others.get(&(month(at), region)).copied().unwrap_or_default();
        let (all_bad, all) = of(None);
        let (bad, count) = of(regions.get(supplier).copied());
        let rate = if all > 0.0 { all_bad / all } else { 0.0 };
        (bad + SHRINK_ORDERS * rate) / (count + SHRINK_ORDERS)
    };
    let mut by_supplier: BTreeMap<&SupplierId, (f64, f64, usize)> = BTreeMap::new();
    for (key, order) in orders {
        let Some(locked_at) = first.get(&key.0) else { continue };
        let after_ms = order.at.ms() - locked_at.ms();
        if 0 < after_ms && after_ms <= AFTER_MS {
            let of = by_supplier.entry(&key.0).or_default();
            let bad = f64::from(u8::from(spoiled.contains(key)));
            *of = (of.0 + bad, of.1 + expected(&key.0, order.at), of.2 + 1);
        }
    }
    let each: Vec<(f64, f64, usize)> = by_supplier.into_values().collect();
    let ratio = |of: &mut dyn Iterator<Item = &(f64, f64, usize)>| {
        let (bad, expected) = of.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (expected > 0.0).then(|| round(bad / expected, 3))
    };
    let mut random = fastrand::Rng::with_seed(1);
    let mut resampled: Vec<f64> = (0..if each.is_empty() { 0 } else { RESAMPLES })
        .filter_map(|_| ratio(&mut (0..each.len()).map(|_| &each[random.usize(..each.len())])))
        .collect();
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| {
        resampled.get(((resampled.len() as f64 * share) as usize).min(resampled.len().saturating_sub(1)))
    };
    json!({
        "suppliers_with_orders": each.len(), "orders": each.iter().map(|of| of.2).sum::<usize>(),
        "went_wrong": each.iter().map(|of| of.0).sum::<f64>(),
        "expected_of_others": round(each.iter().map(|of| of.1).sum::<f64>(), 1),
        "ratio": ratio(&mut each.iter()), "interval": [at(0.025), at(0.975)],
    })
}

fn against_truth(
    report: &mut Value,
    of_span: &[&Lockout],
    lockouts: &[Lockout],
    truth: &Truth,
    orders: &FxHashMap<(SupplierId, String), Order>,
    frauds: &HashSet<(SupplierId, String)>,
    span: &Span,
) {
    let mut times: BTreeMap<&SupplierId, Vec<(Timestamp, bool)>> = BTreeMap::new();
    for (key, order) in orders {
        times.entry(&key.0).or_default().push((order.at, frauds.contains(key)));
    }
    times.values_mut().for_each(|of| of.sort_unstable());
    let inside = |supplier: &SupplierId, window: &Window| -> Vec<(Timestamp, bool)> {
        let of = times.get(supplier).map_or(&[][..], Vec::as_slice);
        of.iter().filter(|(at, _)| window.0 <= *at && *at < window.1).copied().collect()
    };
    let (hit, missed): (Vec<&&Lockout>, Vec<&&Lockout>) =
        of_span.iter().partition(|lockout| truth.at(&lockout.supplier, lockout.locked_at).is_some());
    // A supplier that stays compromised is locked again when a lock-out ends: that is one find.
    let mut found: BTreeMap<(&SupplierId, Window), Timestamp> = BTreeMap::new();
    for lockout in &hit {
        if let Some(window) = truth.at(&lockout.supplier, lockout.locked_at) {
            found.entry((&lockout.supplier, window)).or_insert(lockout.locked_at);
        }
    }
    let (mut windows, mut windows_seen, mut caught, mut caught_seen) = (0, 0, 0, 0);
    let (mut second_known, mut stopped, mut in_windows) = (Vec::new(), 0, 0);
    let mut uncaught = Vec::new();
    for (supplier, window) in truth.0.iter().flat_map(|(id, of)| of.iter().map(move |window| (id, window))) {
        let within = inside(supplier, window);
        if window.0 < span.from || window.0 > span.until || within.is_empty() {
            continue;
        }
        let covers = |l: &&Lockout| {
            l.supplier == *supplier
                && l.locked_at < window.1
                && l.locked_at <= span.until
                && l.released_at.is_none_or(|end| end > window.0)
        };
        let of_window: Vec<&Lockout> = lockouts.iter().filter(covers).collect();
        let seen = window.0.ms() + span.delay_ms + span.seen_ms <= span.until.ms();
        let is_caught = !of_window.is_empty();
        windows += 1;
        windows_seen += usize::from(seen);
        caught += usize::from(is_caught);
        caught_seen += usize::from(seen && is_caught);
        if seen && !is_caught {
            uncaught.push(format!("{supplier} from {}", window.0));
        }
        let bad: Vec<Timestamp> = within.iter().filter(|(_, fraud)| *fraud).map(|(at, _)| *at).collect();
        in_windows += bad.len();
        let withheld = |at: &&Timestamp| {
            of_window.iter().any(|l| l.locked_at < **at && l.released_at.is_none_or(|end| **at < end))
        };
        stopped += bad.iter().filter(withheld).count();
        second_known.extend(
            bad.get(1)
                .map(|at| at.plus_ms(span.delay_ms))
                .filter(|known| *known <= span.until)
                .map(|known| hours(window.0, known)),
        );
    }
    let mut to_lockout: Vec<f64> = found.iter().map(|((_, window), at)| hours(window.0, *at)).collect();
    to_lockout.sort_by(f64::total_cmp);
    second_known.sort_by(f64::total_cmp);
    let until = |l: &Lockout| l.released_at.unwrap_or(span.until);
    let wrong: Vec<Value> = missed
        .iter()
        .map(|l| json!({ "supplier": l.supplier, "locked_at": l.locked_at, "hours": round(hours(l.locked_at, until(l)), 1), "rule": l.rule }))
        .collect();
    let mut wrong_hours: Vec<f64> = missed.iter().map(|l| hours(l.locked_at, until(l))).collect();
    wrong_hours.sort_by(f64::total_cmp);
    let honest: BTreeSet<&SupplierId> =
        missed.iter().map(|l| &l.supplier).filter(|id| !truth.0.contains_key(*id)).collect();
    let yardstick = at_share(&second_known, 0.5);
    let median = at_share(&to_lockout, 0.5);
    let precise = share(hit.len(), of_span.len());
    report["precision"] = json!(precise);
    report["recall"] = share(caught, windows);
    report["recall_seen"] = share(caught_seen, windows_seen);
    report["windows"] = json!({ "all": windows, "caught": caught, "seen": windows_seen, "seen_and_caught": caught_seen, "seen_and_not_caught": uncaught });
    report["hours_to_lockout"] =
        json!({ "median": median, "p90": at_share(&to_lockout, 0.9), "finds": to_lockout.len() });
    report["second_fraud_known_hours"] = json!({ "median": yardstick });
    report["median_to_yardstick"] =
        median.zip(yardstick).map(|(median, yardstick)| round(median / yardstick, 3)).into();
    report["frauds_in_windows"] =
        json!({ "all": in_windows, "stopped": stopped, "share_stopped": share(stopped, in_windows) });
    report["false_lockouts"] = json!({
        "count": missed.len(), "honest_suppliers": honest.len(), "median_hours": at_share(&wrong_hours, 0.5), "first": wrong.iter().take(20).collect::<Vec<_>>(),
    });
}

fn hours(from: Timestamp, to: Timestamp) -> f64 {
    (to.ms() - from.ms()) as f64 / HOUR_MS as f64
}

fn share(part: usize, of: usize) -> Value {
    if of == 0 { Value::Null } else { round(part as f64 / of as f64, 4).into() }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// The value that a share of sorted values does not exceed, between two where it falls between them.
fn at_share(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(round(below + (above - below) * place.fract(), 1))
}

/// Prints the report; with `json` as one object on the last line.
pub(super) fn print(report: &Value, as_json: bool) {
    if as_json {
        say!("{report}");
        return;
    }
    crate::output::figures(report);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_sorted_values_lie_between_them() {
        assert_eq!(at_share(&[], 0.5), None);
        assert_eq!(at_share(&[1.0, 3.0], 0.5), Some(2.0));
        assert_eq!(at_share(&[1.0, 2.0, 9.0], 1.0), Some(9.0));
    }
}
