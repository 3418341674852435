//! What was decided in the last day, by what happened, rule and kind of evidence.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Row;

const HOUR_MS: i64 = 3_600_000;
const HOURS: i64 = 24;

/// Counts by hour; the oldest hour falls out.
#[derive(Default)]
pub(crate) struct Tallies(BTreeMap<i64, Hour>);

#[derive(Default)]
struct Hour {
    actions: BTreeMap<&'static str, u64>,
    /// By rule, then by what happened.
    rules: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// By kind of evidence, what was imposed or raised.
    reasons: BTreeMap<String, u64>,
}

impl Tallies {
    pub(crate) fn add(&mut self, row: &Row, action: &'static str) {
        let hour = row.at.ms() / HOUR_MS;
        let counts = self.0.entry(hour).or_default();
        *counts.actions.entry(action).or_default() += 1;
        if let Some(rule) = &row.rule {
            *counts.rules.entry(rule.clone()).or_default().entry(action).or_default() += 1;
        }
        if matches!(action, "imposed" | "raised") {
            for reason in &row.reasons {
                *counts.reasons.entry(reason.clone()).or_default() += 1;
            }
        }
        let newest = self.0.last_key_value().map_or(hour, |(hour, _)| *hour);
        self.0.retain(|hour, _| *hour > newest - HOURS);
    }

    /// The sums of the day that ends at `now_ms`.
    pub(crate) fn told(&self, now_ms: i64) -> Value {
        let mut sums = Hour::default();
        for counts in self.0.range(now_ms / HOUR_MS - HOURS + 1..).map(|(_, counts)| counts) {
            counts.actions.iter().for_each(|(name, count)| *sums.actions.entry(name).or_default() += count);
            counts
                .reasons
                .iter()
                .for_each(|(name, count)| *sums.reasons.entry(name.clone()).or_default() += count);
            for (rule, actions) in &counts.rules {
                let of = sums.rules.entry(rule.clone()).or_default();
                actions.iter().for_each(|(name, count)| *of.entry(name).or_default() += count);
            }
        }
        json!({ "actions": sums.actions, "rules": sums.rules, "reasons": sums.reasons })
    }
}
