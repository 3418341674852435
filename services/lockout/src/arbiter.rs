//! The arbiter: one fold over one partition disposes what rules and people propose.
//!
//! * On one scope the harder restriction stands; an equal or milder proposal changes nothing.
//! * A restriction ends by expiry (decided on a tick), by release, or by a harder one. A rule turning false ends nothing;
//!   while it holds the end moves away: a rule's restriction runs out its whole time after the rule last held.
//! * Manual beats automatic: an allow override lifts what rules imposed and holds them off until it ends; it does not
//!   lift what a person imposed.
//! * What would exceed a budget is not withheld: until its rule is rearmed, whom it finds is capped instead and goes to review. Caps
//!   have a budget of their own, past which what rules find is watched until there is room again. The kill switch puts all rules in
//!   shadow. None of these lifts anything.
//! * A restriction that rests on links to others ends when these do.
//! * A release mutes its rule on its scope until the evidence has grown beyond what was known when it was released, or for
//!   seven days. Evidence that was on its way at that moment counts as known: a release is never undone by the past.

use std::collections::{BTreeMap, BTreeSet};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    Action, Decision, Envelope, Level, Payload, Position, Proposal, Restriction, RuleProposal, Scope,
    SupplierId, Timestamp, Topic, time::DAY_MS,
};

mod budgets;
mod days;
mod delays;
mod guards;
mod people;
mod refusal;
mod restore;
mod reviews;
mod yardstick;

use days::Days;
pub use days::RuleDay;
use delays::Delays;
use guards::Guards;
pub use guards::{Exceeded, HeldBy, Kill};
pub use refusal::Refusal;
use restore::Act;
pub(crate) use restore::Restored;
use reviews::Reviews;
pub use reviews::{Claim, Review, ReviewChange, ReviewKind};

/// How long a release mutes its rule, if the evidence does not grow before.
const MUTE_MS: i64 = 7 * DAY_MS;
/// When a person should look at a restriction, at the latest.
const REVIEW_MS: i64 = DAY_MS;
/// Reason code of a person's decision.
pub(crate) const MANUAL: &str = "MANUAL_REVIEW";

/// What came of a person's proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposed {
    /// The review that was claimed or opened, if any.
    pub review: Option<String>,
    /// The last decision it led to, if any: whoever shows decisions has all of them when they have this one.
    pub decided: Option<Position>,
    /// Whom it restored, where that was asked for.
    pub restored: Option<Restored>,
}

/// What the arbiter tells its process. Of one record what became of it comes last, so that whoever waits for that finds
/// everything else told.
#[derive(Clone, Debug, PartialEq)]
pub enum ArbiterEffect {
    /// What became of a person's proposal.
    Disposed {
        /// Id of the record by which the person asked.
        id: String,
        /// What came of it, or why nothing did.
        verdict: Result<Disposed, Refusal>,
    },
    /// A rule's proposal was held off by an allow override, a mute, a snooze or the kill switch.
    HeldOff,
    /// A review opened, changed or closed.
    Review(ReviewChange),
    /// What became of what a rule proposed on a day since 1970.
    Day {
        /// The rule.
        rule: String,
        /// The day.
        day: i64,
        /// The counts.
        counts: RuleDay,
    },
    /// A rule exceeded a budget, or may act again.
    Budget {
        /// The rule.
        rule: String,
        /// The budget; absent when it may act again.
        exceeded: Option<Exceeded>,
    },
    /// The kill switch was turned.
    Kill(Kill),
    /// What people decided of a supplier over the heads of rules is another; nothing is left when both are empty.
    Overridden {
        /// The supplier.
        supplier: SupplierId,
        /// What people allowed and denied.
        overrides: Overrides,
    },
}

/// What people decided of one supplier over the heads of rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Who keeps rules off it, if anybody does.
    pub allow: Option<Allow>,
    /// What people denied it, by scope.
    pub denials: Vec<Restriction>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Mute {
    rule: String,
    scope: Scope,
    evidence: f64,
    /// When it was released.
    at: Timestamp,
    until: Timestamp,
}

/// That rules are kept off a supplier.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Allow {
    /// The person.
    pub actor: String,
    /// Until when.
    pub until: Timestamp,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Standing {
    in_force: Vec<Restriction>,
    mutes: Vec<Mute>,
    #[serde(default)]
    allow: Option<Allow>,
    /// Until when each restriction of a rule would run if its end were set anew, by id.
    #[serde(default)]
    renewed: BTreeMap<String, Timestamp>,
    /// Until when rules are muted whatever they find, by rule.
    #[serde(default)]
    snoozed: BTreeMap<String, Timestamp>,
    /// When it appealed within the last day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    appealed: Vec<Timestamp>,
}

impl Standing {
    fn overrides(&self) -> Overrides {
        let of_people = self.in_force.iter().filter(|restriction| restriction.actor.is_some());
        Overrides { allow: self.allow.clone(), denials: of_people.cloned().collect() }
    }
    /// Whether all that a scope covers is withheld already. That one of a region, a good and a listing lies within another is not
    /// known here, so each adds to the others.
    fn withholds_all_of(&self, scope: &Scope) -> bool {
        let covers = |r: &&Restriction| r.scope == Scope::Supplier || r.scope == *scope;
        self.in_force.iter().filter(covers).any(|r| r.level.withholds())
    }
    fn is_overridden(&self) -> bool {
        self.allow.is_some() || self.in_force.iter().any(|restriction| restriction.actor.is_some())
    }
    fn deadlines(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let allow = self.allow.iter().map(|allow| allow.until);
        self.in_force.iter().map(|r| r.expires_at).chain(allow)
    }
}

/// The fold.
pub struct Arbiter {
    suppliers: Table<SupplierId, Standing>,
    /// Last link of the hash chain, under the key `chain`.
    chain: Table<String, String>,
    reviews: Reviews,
    guards: Guards,
    days: Days,
    /// Acts over many suppliers that go on.
    acts: Table<String, Act>,
    /// What begins later.
    delays: Delays,
    /// Whether the proposal in hand has waited already.
    is_begun: bool,
    /// Derived: who is restricted by which kind of evidence.
    marks: BTreeMap<String, yardstick::Marks>,
    /// The act in hand, for the decisions that are part of it.
    act: Option<String>,
    /// Whom the record in hand restored.
    restored: Option<Restored>,
    /// Derived: what ends when.
    deadlines: BTreeSet<(Timestamp, SupplierId)>,
    /// Whose overrides the record in hand may have changed.
    overridden: BTreeSet<SupplierId>,
    /// The last decision that the record in hand led to.
    decided: Option<Position>,
}

impl Default for Arbiter {
    fn default() -> Self {
        Self {
            suppliers: Table::new(1),
            chain: Table::new(2),
            reviews: Reviews::new(3),
            guards: Guards::new(4, 5, 6, 9),
            days: Days::new(7),
            acts: Table::new(8),
            delays: Delays::new(10),
            is_begun: false,
            marks: BTreeMap::new(),
            act: None,
            restored: None,
            deadlines: BTreeSet::new(),
            overridden: BTreeSet::new(),
            decided: None,
        }
    }
}

/// What a decision says beside the supplier's set.
struct Ruling<'a> {
    action: Action,
    restriction: Option<Restriction>,
    actor: Option<&'a str>,
    note: Option<&'a str>,
}

impl Arbiter {
    fn decide(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        ruling: Ruling<'_>,
        out: &mut Out<ArbiterEffect>,
    ) {
        let mut decision = Decision {
            version: Position { index: out.next_index(), ..input.position.clone() },
            at: input.time,
            supplier: supplier.clone(),
            action: ruling.action,
            restriction: ruling.restriction,
            actor: ruling.actor.map(str::to_owned),
            note: ruling.note.map(str::to_owned),
            act: self.act.clone(),
            in_force: self.suppliers.get(supplier).map(|s| s.in_force.clone()).unwrap_or_default(),
            chain: String::new(),
        };
        let link = decision.link(self.chain.get("chain").map_or("", String::as_str));
        self.chain.insert("chain".to_owned(), link.clone());
        decision.chain = link;
        self.decided = Some(decision.version.clone());
        let key = Dest::Key(supplier.to_string());
        out.emit(Topic::LockoutDecisions, key.clone(), Payload::Decision(decision.clone()));
        out.emit(Topic::SupplierEvents, key, Payload::Decision(decision));
    }

    /// Changes a standing and keeps the deadlines in step.
    fn change<T>(&mut self, supplier: &SupplierId, change: impl FnOnce(&mut Standing) -> T) -> T {
        let standing = self.suppliers.edit_or(supplier, Standing::default);
        for due in standing.deadlines() {
            self.deadlines.remove(&(due, supplier.clone()));
        }
        let was_overridden = standing.is_overridden();
        yardstick::mark(&mut self.marks, supplier, standing, false);
        let result = change(standing);
        yardstick::mark(&mut self.marks, supplier, standing, true);
        if was_overridden || standing.is_overridden() {
            self.overridden.insert(supplier.clone());
        }
        for due in standing.deadlines() {
            self.deadlines.insert((due, supplier.clone()));
        }
        result
    }

    fn rule(&mut self, input: &Input<'_>, proposal: &RuleProposal, out: &mut Out<ArbiterEffect>) {
        if self.guards.killed() || self.guards.stopped(proposal) || self.held_off(input, proposal) {
            out.effect(ArbiterEffect::HeldOff);
            return;
        }
        if self.waits(input, proposal) {
            return;
        }
        let now = input.time;
        let asked = proposal.level;
        let watched: RuleProposal;
        let is_suspect = self.is_suspect(input, proposal, out);
        let proposal = if is_suspect {
            watched = RuleProposal { level: Level::Watch, ..proposal.clone() };
            &watched
        } else {
            proposal
        };
        let standing = self.suppliers.get(&proposal.supplier);
        let newly = !standing.is_some_and(|s| s.withholds_all_of(&proposal.scope));
        let held_back =
            if proposal.level.withholds() && newly { self.beyond(input, proposal, out) } else { None };
        let capped: RuleProposal;
        let proposal = match &held_back {
            Some(detail) => {
                self.hold_back(input, proposal, detail, out);
                capped = RuleProposal { level: Level::Cap, ..proposal.clone() };
                &capped
            }
            None => proposal,
        };
        let bounds = self.newly_bounds(proposal);
        let only_watched: RuleProposal;
        let proposal = if bounds && self.is_beyond_caps(input, proposal, out) {
            only_watched = RuleProposal { level: Level::Watch, ..proposal.clone() };
            &only_watched
        } else {
            proposal
        };
        let mut restriction = self.restriction_of(input, proposal, out);
        restriction.asked = is_suspect.then_some(asked);
        let review = Review::of_rule(&proposal.supplier, &restriction);
        if self.impose(input, &proposal.supplier, restriction, None, out) {
            // What is held back waits for a person already.
            if held_back.is_none() {
                self.reviews.open(review);
            }
            if proposal.level.withholds() && newly {
                self.guards.withheld(proposal, now);
            }
            if bounds && proposal.level > Level::Watch {
                self.has_capped(proposal, now, out);
            }
            self.days.note(proposal.rule.id.as_str(), now, |day| {
                day.imposed += 1;
                day.withheld += u64::from(proposal.level.withholds());
                day.holdout += u64::from(proposal.holdout);
            });
        }
    }

    fn restriction_of(
        &self,
        input: &Input<'_>,
        proposal: &RuleProposal,
        out: &Out<ArbiterEffect>,
    ) -> Restriction {
        let now = input.time;
        Restriction {
            id: restriction_id(&input.position, out),
            version: Position { index: out.next_index(), ..input.position.clone() },
            scope: proposal.scope.clone(),
            level: proposal.level,
            reasons: proposal.reasons.clone(),
            rule: Some(proposal.rule.clone()),
            actor: None,
            values: proposal.values.clone(),
            tree: proposal.tree.clone(),
            since: now,
            expires_at: now.plus_ms(proposal.duration_ms),
            review_at: now.plus_ms(proposal.duration_ms.min(REVIEW_MS)),
            cause: input.envelope.cause.clone(),
            evidence: proposal.evidence,
            text: proposal.text.clone(),
            counterfactuals: proposal.counterfactuals.clone(),
            vouched: proposal.vouched.clone(),
            by_association: proposal.by_association,
            holdout: proposal.holdout,
            asked: None,
            confirmed: None,
        }
    }

    /// Whether an allow override or a mute holds the proposal off.
    fn held_off(&mut self, input: &Input<'_>, proposal: &RuleProposal) -> bool {
        let now = input.time;
        let Some(standing) = self.suppliers.get(&proposal.supplier) else { return false };
        let snoozed = standing.snoozed.get(proposal.rule.id.as_str()).is_some_and(|until| *until > now);
        if snoozed || standing.allow.as_ref().is_some_and(|allow| allow.until > now) {
            return true;
        }
        let concerns = |mute: &Mute| {
            mute.rule == proposal.rule.id.as_str() && mute.scope == proposal.scope && mute.until > now
        };
        let Some(place) = standing.mutes.iter().position(concerns) else { return false };
        let mute = &standing.mutes[place];
        let of_the_past = input.envelope.cause.as_ref().is_some_and(|cause| cause.time <= mute.at);
        if of_the_past && proposal.evidence > mute.evidence {
            self.change(&proposal.supplier, |standing| standing.mutes[place].evidence = proposal.evidence);
        }
        let mute_evidence = self.suppliers.get(&proposal.supplier).map_or(0.0, |s| s.mutes[place].evidence);
        proposal.evidence <= mute_evidence
    }

    /// Puts a restriction in force unless one as hard stands on the same scope; returns whether it did.
    fn impose(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        restriction: Restriction,
        note: Option<&str>,
        out: &mut Out<ArbiterEffect>,
    ) -> bool {
        let standing = self.suppliers.get(supplier);
        let on_scope = standing.and_then(|s| s.in_force.iter().find(|r| r.scope == restriction.scope));
        // A person may put the same level again, to extend it; a rule may not.
        let manual = restriction.actor.is_some();
        let action = match on_scope {
            None => Action::Imposed,
            Some(standing) if standing.level < restriction.level || manual => Action::Raised,
            Some(standing) => {
                let same_rule = standing.rule.as_ref().map(|rule| &rule.id)
                    == restriction.rule.as_ref().map(|rule| &rule.id);
                if same_rule {
                    let id = standing.id.clone();
                    self.change(supplier, |standing| {
                        standing.renewed.insert(id, restriction.expires_at);
                        // What a release would have to be measured against has grown.
                        let same = standing.in_force.iter_mut().filter(|r| r.scope == restriction.scope);
                        same.for_each(|r| r.evidence = r.evidence.max(restriction.evidence));
                    });
                }
                return false;
            }
        };
        self.change(supplier, |standing| {
            let replaced = standing.in_force.iter().filter(|r| r.scope == restriction.scope);
            let replaced: Vec<String> = replaced.map(|r| r.id.clone()).collect();
            for id in &replaced {
                standing.renewed.remove(id);
            }
            standing.in_force.retain(|r| r.scope != restriction.scope);
            standing.in_force.push(restriction.clone());
            replaced
        })
        .iter()
        .for_each(|id| self.reviews.close_of(id));
        let actor = restriction.actor.clone();
        let ruling = Ruling { action, restriction: Some(restriction), actor: actor.as_deref(), note };
        self.decide(input, supplier, ruling, out);
        true
    }

    /// Lifts the restrictions that `which` picks, one decision each; returns how many.
    fn lift(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        which: impl Fn(&Restriction) -> bool,
        (action, actor, note): (Action, Option<&str>, Option<&str>),
        out: &mut Out<ArbiterEffect>,
    ) -> usize {
        let Some(standing) = self.suppliers.get(supplier) else { return 0 };
        let picked: Vec<Restriction> = standing.in_force.iter().filter(|r| which(r)).cloned().collect();
        for restriction in &picked {
            let now = input.time;
            self.change(supplier, |standing| {
                standing.in_force.retain(|r| r.id != restriction.id);
                standing.renewed.remove(&restriction.id);
                standing.mutes.retain(|mute| mute.until > now);
                if let (Action::Released, Some(rule)) = (action, &restriction.rule) {
                    standing.mutes.retain(|m| m.rule != rule.id.as_str() || m.scope != restriction.scope);
                    standing.mutes.push(Mute {
                        rule: rule.id.to_string(),
                        scope: restriction.scope.clone(),
                        evidence: restriction.evidence,
                        at: now,
                        until: now.plus_ms(MUTE_MS),
                    });
                }
            });
            self.reviews.close_of(&restriction.id);
            if let Some(rule) = &restriction.rule {
                self.days.note(rule.id.as_str(), now, |day| match action {
                    Action::Released => day.released += 1,
                    Action::Expired => day.expired += 1,
                    _ => {}
                });
            }
            let ruling = Ruling { action, restriction: Some(restriction.clone()), actor, note };
            self.decide(input, supplier, ruling, out);
        }
        picked.len()
    }

    /// Moves the end of what would run out although its rule has held since it began.
    fn extend(&mut self, input: &Input<'_>, supplier: &SupplierId, out: &mut Out<ArbiterEffect>) {
        let Some(standing) = self.suppliers.get(supplier) else { return };
        let ends = standing.in_force.iter().filter(|r| r.expires_at <= input.time);
        let later: Vec<(String, Timestamp)> = ends
            .filter_map(|r| Some((r.id.clone(), *standing.renewed.get(&r.id)?)))
            .filter(|(_, until)| *until > input.time)
            .collect();
        for (id, until) in later {
            let extended = self.change(supplier, |standing| {
                let restriction = standing.in_force.iter_mut().find(|r| r.id == id)?;
                restriction.expires_at = until;
                Some(restriction.clone())
            });
            let ruling = Ruling { action: Action::Extended, restriction: extended, actor: None, note: None };
            self.decide(input, supplier, ruling, out);
        }
    }

    /// Everything that has ended by now, in order of time.
    fn expire(&mut self, input: &Input<'_>, out: &mut Out<ArbiterEffect>) {
        while let Some((due, supplier)) = self.deadlines.first().cloned() {
            if due > input.time {
                break;
            }
            // Removed first, so that nothing can make this loop turn on the spot.
            self.deadlines.remove(&(due, supplier.clone()));
            self.extend(input, &supplier, out);
            self.lift(input, &supplier, |r| r.expires_at <= input.time, (Action::Expired, None, None), out);
            let allow_ended = |s: &Standing| s.allow.as_ref().is_some_and(|allow| allow.until <= input.time);
            if self.suppliers.get(&supplier).is_some_and(allow_ended) {
                self.change(&supplier, |standing| standing.allow = None);
                let ruling =
                    Ruling { action: Action::AllowEnded, restriction: None, actor: None, note: None };
                self.decide(input, &supplier, ruling, out);
            }
        }
    }
}

impl Arbiter {
    /// What reviews, overrides and counts have become since it was asked last.
    fn changes(&mut self) -> Vec<ArbiterEffect> {
        let reviews = self.reviews.take_changes().into_iter().map(ArbiterEffect::Review);
        let days = self.days.take_changes().into_iter();
        let overridden = std::mem::take(&mut self.overridden).into_iter().map(|supplier| {
            let overrides = self.suppliers.get(&supplier).map(Standing::overrides).unwrap_or_default();
            ArbiterEffect::Overridden { supplier, overrides }
        });
        let days = days.map(|(rule, day, counts)| ArbiterEffect::Day { rule, day, counts });
        reviews.chain(overridden).chain(days).collect()
    }
}

/// Id of the record by which a person asked: this one, or that to `control` which was relayed as this one.
fn asked_by(envelope: &Envelope) -> String {
    match (&envelope.position, &envelope.cause) {
        (Some(_), Some(cause)) => cause.id.clone(),
        _ => envelope.id.clone(),
    }
}

fn restriction_id(position: &Position, out: &Out<ArbiterEffect>) -> String {
    format!("d-{}-{}-{}", position.generation, position.offset, out.next_index())
}

impl Fold for Arbiter {
    type Effect = ArbiterEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<ArbiterEffect>) {
        self.recover(input.time, out);
        match input.payload {
            Payload::Proposal(Proposal::Rule(proposal)) => self.rule(input, proposal, out),
            Payload::Proposal(proposal) => {
                (self.decided, self.restored) = (None, None);
                let verdict = self.manual(input, proposal, out);
                let (decided, restored) = (self.decided.take(), self.restored.take());
                let verdict = verdict.map(|review| Disposed { review, decided, restored });
                self.changes().into_iter().for_each(|change| out.effect(change));
                out.effect(ArbiterEffect::Disposed { id: asked_by(input.envelope), verdict });
                return;
            }
            Payload::Tick(_) => {
                self.expire(input, out);
                self.begin_delayed(input, out);
                self.go_on_with_all(input, out);
            }
            _ => {}
        }
        self.changes().into_iter().for_each(|change| out.effect(change));
    }

    fn deadline(&self) -> Option<Timestamp> {
        let going_on = self.acts.iter().map(|(_, act)| act.asked_at);
        self.deadlines
            .first()
            .map(|(due, _)| *due)
            .into_iter()
            .chain(going_on)
            .chain(self.delays.next())
            .chain(self.guards.suspects_due())
            .min()
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        let [rules, stock, switches, suspects] = self.guards.tables();
        vec![
            &mut self.suppliers,
            &mut self.chain,
            self.reviews.table(),
            rules,
            stock,
            switches,
            self.days.table(),
            &mut self.acts,
            suspects,
            self.delays.table(),
        ]
    }

    fn restored(&mut self, effects: &mut Vec<ArbiterEffect>) {
        self.guards.restored();
        self.delays.restored();
        self.reviews.restored();
        self.days.restored();
        let overridden = self.suppliers.iter().filter(|(_, standing)| standing.is_overridden());
        self.overridden = overridden.map(|(supplier, _)| supplier.clone()).collect();
        effects.extend(self.changes());
        effects.extend(self.guards.kill().cloned().map(ArbiterEffect::Kill));
        let exceeded = self.guards.all_exceeded().map(|(rule, exceeded)| ArbiterEffect::Budget {
            rule: rule.clone(),
            exceeded: Some(exceeded.clone()),
        });
        effects.extend(exceeded);
        for (supplier, standing) in self.suppliers.iter() {
            yardstick::mark(&mut self.marks, supplier, standing, true);
        }
        let due = |(id, s): (&SupplierId, &Standing)| {
            s.deadlines().map(|due| (due, id.clone())).collect::<Vec<_>>()
        };
        self.deadlines = self.suppliers.iter().flat_map(due).collect();
    }
}

#[cfg(test)]
mod tests;
