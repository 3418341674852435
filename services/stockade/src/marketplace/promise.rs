//! What rules promise of false alarms, held against what was seen.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stockade_rules::{DAYS_A_YEAR, supplier_days};

/// A count that would come by chance this rarely if the promise held says that it does not.
const BY_CHANCE: f64 = 0.05;

/// False alarms that each rule of a set accepts, per supplier-year; rules that promise nothing are left out.
pub(super) type Promises = BTreeMap<String, f64>;

/// The part of a rule set that is read here; whatever else it says was judged when it was compiled.
#[derive(serde::Deserialize)]
struct Set {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(serde::Deserialize)]
struct Rule {
    id: String,
    #[serde(default)]
    false_alarms: Option<String>,
}

/// Reads the promises of a set.
pub(super) fn promises(source: &str) -> Promises {
    let Ok(set) = stockade_yaml::read::<Set>(source) else { return Promises::new() };
    let rate = |text: &str| Some(DAYS_A_YEAR / supplier_days(text).ok()?);
    set.rules.into_iter().filter_map(|rule| Some((rule.id, rate(&rule.false_alarms?)?))).collect()
}

/// What was promised for so many supplier-years, and whether `seen` false alarms go with it; null where nothing was.
pub(super) fn held(promised: Option<f64>, seen: u64, years: f64) -> Value {
    let Some(rate) = promised else { return Value::Null };
    let expected = rate * years;
    let chance = at_least(seen, expected);
    json!({
        "per_10000_supplier_years": rate * 10_000.0,
        "in_these_years": (expected * 1_000.0).round() / 1_000.0,
        "by_chance": (chance * 1_000.0).round() / 1_000.0,
        "kept": chance >= BY_CHANCE,
    })
}

/// How likely at least `count` of something is that comes `expected` times on average (Poisson).
fn at_least(count: u64, expected: f64) -> f64 {
    if expected <= 0.0 {
        return if count == 0 { 1.0 } else { 0.0 };
    }
    // By logarithms, for with some thousands expected the first term is too small to be told from nothing.
    let (mut log_term, mut below) = (-expected, 0.0);
    for number in 0..count {
        below += log_term.exp();
        log_term += (expected / (number + 1) as f64).ln();
    }
    (1.0 - below).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_read_from_a_set_and_others_left_out() {
        let set = "rules:\n  - id: a\n    false_alarms: 1 per 10000 supplier-years\n    level: quarantine\n  - id: b\n    when: x\n  - id: c\n    false_alarms: 2 per 365.25 supplier-days\n";
        let found = promises(set);
        assert_eq!(found.len(), 2);
        assert!((found["a"] - 1e-4).abs() < 1e-12 && (found["c"] - 2.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_promise_is_broken_by_what_chance_would_not_bring() {
        let kept = |seen, years| held(Some(0.01), seen, years)["kept"].as_bool();
        assert_eq!((kept(0, 100.0), kept(3, 100.0), kept(9, 100.0)), (Some(true), Some(true), Some(false)));
        assert_eq!(kept(1, 0.1), Some(false), "one where a thousandth was accepted");
        assert_eq!(held(None, 7, 100.0), Value::Null);
        // 1 - e^-1 (1 + 1 + 1/2).
        assert!((at_least(3, 1.0) - 0.080_301_4).abs() < 1e-6);
        let many = |seen| at_least(seen, 4_000.0);
        assert!(many(3_900) > 0.9 && many(4_300) < 1e-5, "{} {}", many(3_900), many(4_300));
        assert_eq!((at_least(0, 0.0), at_least(1, 0.0)), (1.0, 0.0));
    }
}
