//! Acts over many suppliers: restoring everyone whom a rule restricted, and lowering what was measured by something suspect.
//!
//! One record decides a bounded number; what is left stands in a row and goes on at each tick. So an act is never half
//! forgotten: whoever takes the partition over goes on with it, and no supplier is met twice.

use stockade_fold::{Input, Out};
use stockade_model::{Action, Finding, Restriction, RuleId, SupplierId, Timestamp};

use super::{Arbiter, ArbiterEffect, Standing, asked_by, guards};

/// Decisions that one record leads to at most: each is several kilobytes, twice, and what is kept of them is bounded.
const AT_ONCE: usize = 200;

/// An act that goes on.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Act {
    /// Since when: what begins later is not concerned.
    pub(super) asked_at: Timestamp,
    pub(super) doing: Doing,
    /// How many parts of it were done: whose turn it is.
    #[serde(default)]
    pub(super) parts: u64,
}

/// What is done to each.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Doing {
    /// What a rule imposed is released, and what a budget held back of it dismissed.
    Restore { rule: RuleId, since: Option<Timestamp>, confirmed: bool, actor: String, reason: String },
    /// What was imposed by a kind of evidence is only watched.
    Lower { kind: String, since: Timestamp, detail: String },
}

/// How far restoring everyone whom a rule restricted is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Restored {
    /// Restrictions that were released by now.
    pub released: usize,
    /// Suppliers that they were of.
    pub suppliers: usize,
    /// Reviews of what a budget had held back of the rule that were dismissed by now.
    pub dismissed: usize,
    /// Restrictions that stay, for a person confirmed them.
    pub kept: usize,
    /// What is left: it goes on by itself, within seconds.
    pub remaining: usize,
    /// Whether the rule does nothing any more until it is rearmed.
    pub stopped: bool,
}

impl Arbiter {
    /// Begins to restore everyone whom a rule restricted, and stops the rule if asked.
    pub(super) fn restore(
        &mut self,
        input: &Input<'_>,
        doing: Doing,
        stop: Option<&str>,
        out: &mut Out<ArbiterEffect>,
    ) {
        let Doing::Restore { rule, actor, reason, .. } = &doing else { return };
        if let Some(content) = stop {
            let detail = format!("stopped by {actor}: {reason}");
            let stopped = self.guards.stop(rule.as_str(), (content, actor), detail, input.time);
            guards::tell(input, rule.as_str(), stopped, out);
        }
        // What waits would begin after the act and after whatever `since` says, so all of it is concerned.
        self.delays.forget_rule(rule.as_str(), None);
        let id = asked_by(input.envelope);
        self.acts.insert(id.clone(), Act { asked_at: input.time, doing, parts: 0 });
        let mut restored = self.go_on(input, &id, out);
        restored.stopped = stop.is_some();
        self.restored = Some(restored);
    }

    /// Goes on with every act there is.
    pub(super) fn go_on_with_all(&mut self, input: &Input<'_>, out: &mut Out<ArbiterEffect>) {
        // One part of one act, so that a record stays bounded: first what lowers, for those are withheld by what nobody trusts,
        // then the restores by turns.
        let restores = |act: &Act| matches!(act.doing, Doing::Restore { .. });
        let turn = |(id, act): (&String, &Act)| (restores(act), act.parts, act.asked_at, id.clone());
        if let Some((_, _, _, id)) = self.acts.iter().map(turn).min() {
            self.go_on(input, &id, out);
        }
    }

    /// Does the next part of an act, and forgets it when nothing is left.
    pub(super) fn go_on(&mut self, input: &Input<'_>, id: &str, out: &mut Out<ArbiterEffect>) -> Restored {
        let Some(Act { asked_at, doing, .. }) = self.acts.get(id).cloned() else {
            return Restored::default();
        };
        let mut done = Restored::default();
        match &doing {
            Doing::Lower { kind, since, detail } => {
                let found = self.to_lower(kind, *since, asked_at);
                for (supplier, restriction) in found.iter().take(AT_ONCE) {
                    self.lower(input, supplier, restriction, detail, out);
                }
                done.remaining = found.len().saturating_sub(AT_ONCE);
            }
            Doing::Restore { rule, since, confirmed, actor, reason } => {
                self.act = Some(id.to_owned());
                let concerned = |r: &Restriction| {
                    r.rule.as_ref().is_some_and(|of| of.id == *rule)
                        && r.since <= asked_at
                        && since.is_none_or(|since| r.since >= since)
                };
                let (kept, found) = self.restored_by(concerned, *confirmed);
                for (supplier, restriction) in found.iter().take(AT_ONCE) {
                    let by = (Action::Released, Some(actor.as_str()), Some(reason.as_str()));
                    self.lift(input, supplier, |r| r.id == *restriction, by, out);
                    done.released += 1;
                }
                let mut suppliers: Vec<&SupplierId> =
                    found.iter().take(AT_ONCE).map(|(supplier, _)| supplier).collect();
                suppliers.dedup();
                (done.suppliers, done.kept) = (suppliers.len(), kept);
                let reviews = self.reviews.excess_of(rule.as_str(), *since, asked_at);
                let room = AT_ONCE - done.released;
                for review in reviews.iter().take(room) {
                    // It is there, nobody is a party to it, and a claim is no reason to let everybody wait.
                    if self.dismiss(input, review, (actor, reason), out) {
                        done.dismissed += 1;
                    }
                }
                done.remaining = found.len() - done.released + reviews.len().saturating_sub(room);
                self.act = None;
            }
        }
        if done.remaining == 0 {
            self.acts.remove(&id.to_owned());
        } else if let Some(act) = self.acts.edit(&id.to_owned()) {
            act.parts += 1;
        }
        done
    }

    /// How many of what is concerned stay because a person confirmed them, and the others in a fixed order.
    fn restored_by(
        &self,
        concerned: impl Fn(&Restriction) -> bool,
        confirmed: bool,
    ) -> (usize, Vec<(SupplierId, String)>) {
        let (mut kept, mut found) = (0, Vec::new());
        let each = |(supplier, standing): (&SupplierId, &Standing)| {
            for restriction in standing.in_force.iter().filter(|r| concerned(r)) {
                if restriction.confirmed.is_some() && !confirmed {
                    kept += 1;
                } else {
                    found.push((supplier.clone(), restriction.id.clone()));
                }
            }
        };
        self.suppliers.iter().for_each(each);
        found.sort();
        (kept, found)
    }

    /// Settles what a budget held back as not to be imposed; whether there was such a review.
    fn dismiss(
        &mut self,
        input: &Input<'_>,
        review: &str,
        (actor, reason): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> bool {
        let Some(held) = self.reviews.get(review).cloned() else { return false };
        self.settled(input, &held, Finding::Release, (actor, reason), out).is_ok()
    }
}
