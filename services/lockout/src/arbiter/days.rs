//! How each rule has fared, by day: what a person needs to see whether it is right.

use stockade_fold::Table;
use stockade_model::Timestamp;

/// Days that are kept.
const DAYS_KEPT: i64 = 400;

/// What became of what a rule proposed in a day (UTC).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct RuleDay {
    /// Restrictions that began.
    pub imposed: u64,
    /// Those of them that withhold offers.
    pub withheld: u64,
    /// Those that were only dimmed as holdout.
    pub holdout: u64,
    /// Found right by a person.
    pub confirmed: u64,
    /// Lifted by a person.
    pub released: u64,
    /// Run out.
    pub expired: u64,
    /// Appealed against.
    pub appealed: u64,
    /// Lifted because of an appeal.
    pub overturned: u64,
    /// Held back by a budget.
    pub over_budget: u64,
}

/// The days.
pub(super) struct Days {
    days: Table<String, RuleDay>,
    changed: Vec<(String, i64, RuleDay)>,
}

/// `rule/day`, days since 1970.
fn key(rule: &str, day: i64) -> String {
    format!("{rule}/{day}")
}

impl Days {
    pub(super) fn new(table: u8) -> Self {
        Self { days: Table::new(table), changed: Vec::new() }
    }
    pub(super) fn table(&mut self) -> &mut dyn stockade_fold::AnyTable {
        &mut self.days
    }

    pub(super) fn note(&mut self, rule: &str, now: Timestamp, change: impl FnOnce(&mut RuleDay)) {
        let day = now.day();
        let fresh = self.days.get(&key(rule, day)).is_none();
        let held = self.days.edit_or(&key(rule, day), RuleDay::default);
        change(held);
        self.changed.push((rule.to_owned(), day, *held));
        if fresh {
            self.days.remove(&key(rule, day - DAYS_KEPT));
        }
    }

    pub(super) fn restored(&mut self) {
        let split = |(key, day): (&String, &RuleDay)| {
            let (rule, number) = key.rsplit_once('/')?;
            Some((rule.to_owned(), number.parse().ok()?, *day))
        };
        self.changed = self.days.iter().filter_map(split).collect();
    }

    /// What changed since it was asked last: rule, day since 1970, counts.
    pub(super) fn take_changes(&mut self) -> Vec<(String, i64, RuleDay)> {
        std::mem::take(&mut self.changed)
    }
}
