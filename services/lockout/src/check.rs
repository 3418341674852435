//! What is seen of every decision exactly once: that it can be read, that it is counted, and that it is told outside.

use std::collections::BTreeSet;

use ::metrics::counter;
use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{Action, Level, Payload, SupplierId, Topic, WebhookRecord};
use stockade_rules::RuleSet;

use crate::notices::{answers_appeal, notices};

/// The label of a reason code that no rule of the starter set has.
const OTHER: &str = "other";
/// The label of what a decision has not.
const NONE: &str = "none";

/// A fold over `lockout.decisions`. The overlay, the quarantine writer and the views follow the
/// decisions, each of them in every replica; this is what gives the partition an owner, so that a record nobody can read
/// is dead-lettered by exactly one process, with a position like every other output, and a decision is counted once in an
/// installation, however many replicas it has. For the same reason what a supplier is told of a decision goes from here into
/// `webhooks`. It keeps which restrictions are appealed against, so that what ends them is told as the answer.
pub struct DecisionsCheck {
    /// By restriction: whose it is.
    appealed: Table<String, SupplierId>,
}

impl Default for DecisionsCheck {
    fn default() -> Self {
        Self { appealed: Table::new(1) }
    }
}

/// A decision as its owner saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionSeen {
    /// Where it lies in `lockout.decisions`.
    pub offset: u64,
    /// What it did.
    pub action: Action,
    /// The level of the restriction it is about, if it is about one.
    pub level: Option<Level>,
    /// The reason codes of that restriction; as free as whoever wrote the rule.
    pub reasons: Vec<String>,
}

impl Fold for DecisionsCheck {
    type Effect = DecisionSeen;

    /// Says what was decided. The host has dead-lettered what cannot be read, and skipped repeats, before it comes to this.
    fn apply(&mut self, input: &Input<'_>, out: &mut Out<DecisionSeen>) {
        let Payload::Decision(decision) = input.payload else { return };
        let restriction = decision.restriction.as_ref();
        out.effect(DecisionSeen {
            offset: input.offset,
            action: decision.action,
            level: restriction.map(|restriction| restriction.level),
            reasons: restriction.map(|restriction| restriction.reasons.clone()).unwrap_or_default(),
        });
        let mut answers = None;
        if let Some(restriction) = restriction {
            if decision.action == Action::Appealed {
                self.appealed.insert(restriction.id.clone(), decision.supplier.clone());
            } else if let Some(outcome) = answers_appeal(decision.action) {
                answers = self.appealed.remove(&restriction.id).map(|_| outcome);
            }
        }
        for notice in notices(decision, answers) {
            let record = Payload::Webhook(WebhookRecord::Notice(notice));
            out.emit(Topic::Webhooks, Dest::Partition(0), record);
        }
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.appealed]
    }
}

/// Counts decisions: `stockade_lockout_decisions_total`, by what was done, the level, and each reason code. Reason codes
/// are whatever analysts write, so the label knows those of the starter set and calls every other one `other`. Add it up
/// over replicas: the owner of the decisions counts, and around a change of owner some of the last half second may be
/// counted twice.
pub struct DecisionCounter {
    reasons: BTreeSet<String>,
    from: u64,
}

impl DecisionCounter {
    /// Counts decisions from offset `from` on: what lies before was counted when it was made. `starter` is the set whose
    /// reason codes are known.
    pub fn new(starter: &RuleSet, from: u64) -> Self {
        let of_starter = starter.rules().iter().flat_map(|rule| rule.spec.reasons.iter().cloned());
        Self { reasons: of_starter.chain([crate::arbiter::MANUAL.to_owned()]).collect(), from }
    }

    /// The label of a reason code.
    pub fn reason<'a>(&self, code: &'a str) -> &'a str {
        if self.reasons.contains(code) { code } else { OTHER }
    }

    /// Counts what the owner saw.
    pub fn count(&self, seen: &[DecisionSeen]) {
        for decision in seen.iter().filter(|decision| decision.offset >= self.from) {
            let level = decision.level.map_or(NONE, Level::as_str);
            let count = |reason: &str| {
                counter!(
                    "stockade_lockout_decisions_total",
                    "action" => decision.action.as_str(),
                    "level" => level,
                    "reason" => reason.to_owned()
                )
                .increment(1);
            };
            decision.reasons.iter().for_each(|code| count(self.reason(code)));
            if decision.reasons.is_empty() {
                count(NONE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_code_that_an_analyst_invents_makes_no_series_of_its_own() {
        let starter =
            DecisionCounter { reasons: ["DEFECT_RATE", "MANUAL_REVIEW"].map(str::to_owned).into(), from: 0 };
        for known in ["DEFECT_RATE", "MANUAL_REVIEW"] {
            assert_eq!(starter.reason(known), known);
        }
        for invented in ["", "DEFECT_RATE ", "SUPPLIER_4711", &"X".repeat(10_000)] {
            assert_eq!(starter.reason(invented), "other");
        }
    }
}
