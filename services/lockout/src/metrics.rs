//! What the lockout service tells of itself. Every name is here, and every label is closed: rules, suppliers and people are
//! never labels; they are in the log and in the API.
//!
//! Every lockout replica follows the same folds, so the gauges below are the same at each once it has caught up: take the
//! largest over replicas, never the sum.
//!
//! | name | labels | what it says |
//! |---|---|---|
//! | `stockade_lockout_kill_switch` | | 1 while all rules are in shadow; alert on it |
//! | `stockade_lockout_rules_stepped_back` | | 1 while the rules in force are there because one person rolled back alone; alert on it |
//! | `stockade_lockout_four_eyes` | | 1 while what changes verdicts needs a second person |
//! | `stockade_lockout_drafts` | `subject` | what waits for a second person |
//! | `stockade_lockout_budgets_exceeded` | | rules in force that exceeded a budget and were not rearmed; alert on it |
//! | `stockade_lockout_rules_suspect` | | rules in force that only watch, for what they measure by found too many at once; alert on it |
//! | `stockade_lockout_rules_stopped` | | rules in force that a person stopped; alert on it |
//! | `stockade_lockout_restored_total` | | restrictions that were released because a rule was taken back |
//! | `stockade_lockout_reviews_open` | `kind` | what waits for a person |
//! | `stockade_lockout_held_off_total` | | proposals of rules that an allow, a mute, a snooze or the kill switch held off |
//! | `stockade_lockout_changes_total` | `outcome` | changes judged: `passed`, `drafted` or `refused` |
//! | `stockade_lockout_foreign_vectors_total` | | vectors of another set of features than the rules are compiled for |
//! | `stockade_lockout_quarantine_write_failures_total` | | decisions that the quarantine store did not take at once |
//! | `stockade_lockout_quarantine_repairs_total` | | entries of the quarantine store that were put right |

use ::metrics::{counter, gauge};
use stockade_runtime::metrics::Figure;

use crate::{
    arbiter::{Exceeded, HeldBy, Kill, ReviewKind},
    control::{Passed, Refused, StepBack, Subject},
};

/// What each figure says, as a scrape shows it.
pub const FIGURES: [Figure; 15] = [
    Figure::Gauge("stockade_lockout_kill_switch", "1 while all rules are in shadow; alert on it."),
    Figure::Gauge(
        "stockade_lockout_rules_stepped_back",
        "1 while the rules in force are there because one person rolled back alone; alert on it.",
    ),
    Figure::Gauge("stockade_lockout_four_eyes", "1 while what changes verdicts needs a second person."),
    Figure::Gauge("stockade_lockout_drafts", "What waits for a second person, by subject."),
    Figure::Gauge(
        "stockade_lockout_budgets_exceeded",
        "Rules in force that exceeded a budget and were not rearmed; alert on it.",
    ),
    Figure::Gauge(
        "stockade_lockout_rules_suspect",
        "Rules in force that only watch, for what they measure by found too many at once; alert on it.",
    ),
    Figure::Gauge("stockade_lockout_rules_stopped", "Rules in force that a person stopped; alert on it."),
    Figure::Counter(
        "stockade_lockout_restored_total",
        "Restrictions that were released because a rule was taken back.",
    ),
    Figure::Gauge("stockade_lockout_reviews_open", "What waits for a person, by kind."),
    Figure::Counter(
        "stockade_lockout_held_off_total",
        "Proposals of rules that an allow, a mute, a snooze or the kill switch held off.",
    ),
    Figure::Counter("stockade_lockout_changes_total", "Changes judged: passed, drafted or refused."),
    Figure::Counter(
        "stockade_lockout_foreign_vectors_total",
        "Vectors of another set of features than the rules are compiled for.",
    ),
    Figure::Counter(
        "stockade_lockout_quarantine_write_failures_total",
        "Decisions that the quarantine store did not take at once.",
    ),
    Figure::Counter(
        "stockade_lockout_quarantine_repairs_total",
        "Entries of the quarantine store that were put right.",
    ),
    Figure::Counter("stockade_lockout_decisions_total", "Decisions by action, level and reason."),
];

/// Alerts look at these, so they are there from the start; a fold that is restored says what they are.
pub fn begin() {
    for name in [
        "kill_switch",
        "rules_stepped_back",
        "four_eyes",
        "budgets_exceeded",
        "rules_suspect",
        "rules_stopped",
    ] {
        gauge!(format!("stockade_lockout_{name}")).increment(0.0);
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// The kill switch was turned, or is known again after a start.
pub(crate) fn kill_switch(kill: &Kill) {
    gauge!("stockade_lockout_kill_switch").set(flag(kill.on));
    let Kill { actor, reason, at, .. } = kill;
    match kill.on {
        true => tracing::warn!(actor, reason, %at, "the kill switch is on: rules withhold nothing"),
        false => tracing::info!(actor, reason, %at, "the kill switch is off"),
    }
}

/// How the rules in force came there.
pub(crate) fn stepped_back(step: Option<&StepBack>) {
    gauge!("stockade_lockout_rules_stepped_back").set(flag(step.is_some()));
    if let Some(StepBack { actor, reason, at }) = step {
        tracing::warn!(actor, reason, %at, "one person rolled the rules back to the set before");
    }
}

/// Whether a second person is asked for.
pub(crate) fn four_eyes(on: bool) {
    gauge!("stockade_lockout_four_eyes").set(flag(on));
}

/// What waits for a second person.
pub(crate) fn drafts(waiting: &[&Subject]) {
    for subject in Subject::NAMES {
        let count = waiting.iter().filter(|waits| waits.as_str() == subject).count();
        gauge!("stockade_lockout_drafts", "subject" => subject).set(count as f64);
    }
}

/// A change was judged.
pub(crate) fn judged(verdict: &Result<Passed, Refused>) {
    let outcome = match verdict {
        Ok(Passed::Drafted(_)) => "drafted",
        Ok(Passed::Done | Passed::Relayed(_)) => "passed",
        Err(_) => "refused",
    };
    counter!("stockade_lockout_changes_total", "outcome" => outcome).increment(1);
}

/// How many reviews of a kind wait.
pub(crate) fn reviews_open(kind: ReviewKind, open: usize) {
    let kind = match kind {
        ReviewKind::Appeal => "appeal",
        ReviewKind::Excess => "excess",
        ReviewKind::Decision => "decision",
        ReviewKind::Watch => "watch",
    };
    gauge!("stockade_lockout_reviews_open", "kind" => kind).set(open as f64);
}

/// A rule is held back: by its budget, by suspect evidence, or by a person.
pub(crate) fn exceeded(rule: &str, exceeded: &Exceeded) {
    let detail = exceeded.detail.as_str();
    if exceeded.stopped_by.is_some() {
        tracing::warn!(rule, detail, "a rule was stopped; rearm it when it is right");
    } else if exceeded.suspect.is_some() {
        tracing::error!(
            rule,
            detail,
            "a rule only watches, for what it measures by is suspect; look at features, models and clocks, then rearm it"
        );
    } else if exceeded.caps {
        tracing::error!(
            rule,
            detail,
            "what caps exceeds its budget, so a rule only watches; look whether the events behind it are true"
        );
    } else {
        tracing::error!(
            rule,
            detail,
            "a rule exceeded its budget and only caps; look at /v1/reviews, then rearm it"
        );
    }
}

/// How many rules are held back, by what.
pub(crate) fn held_back<'a>(rules: &(impl Iterator<Item = &'a Exceeded> + Clone)) {
    for (name, by) in [
        ("stockade_lockout_budgets_exceeded", HeldBy::Budget),
        ("stockade_lockout_rules_suspect", HeldBy::Suspect),
        ("stockade_lockout_rules_stopped", HeldBy::Stopped),
    ] {
        gauge!(name).set(rules.clone().filter(|held| held.held_by() == by).count() as f64);
    }
}

/// Restrictions were released because a person took back what a rule did.
pub(crate) fn restored(restrictions: usize) {
    counter!("stockade_lockout_restored_total").increment(restrictions as u64);
}

/// A proposal of a rule was held off.
pub(crate) fn held_off() {
    counter!("stockade_lockout_held_off_total").increment(1);
}

/// A vector was not judged because it follows another schema.
pub(crate) fn foreign_vector() {
    counter!("stockade_lockout_foreign_vectors_total").increment(1);
}

/// The quarantine store did not take a decision.
pub(crate) fn quarantine_write_failure() {
    counter!("stockade_lockout_quarantine_write_failures_total").increment(1);
}

/// Entries of the quarantine store were put right.
pub(crate) fn quarantine_repairs(entries: usize) {
    counter!("stockade_lockout_quarantine_repairs_total").increment(entries as u64);
}
