//! What people ask of the arbiter: releases, overrides, confirmations, appeals and their answers, switches.

use stockade_fold::{Input, Out};
use stockade_model::{
    Action, Confirmed, Finding, Level, Position, Proposal, Restriction, Scope, SupplierId, Timestamp,
    time::DAY_MS,
};

use super::{
    Allow, Arbiter, ArbiterEffect, Kill, MANUAL, MUTE_MS, Mute, REVIEW_MS, Refusal, Review, ReviewKind,
    Ruling, Standing, restore::Doing, restriction_id, reviews::APPEAL_MS,
};

/// Appeals of one supplier in a day, whoever writes them: each takes a person.
const APPEALS_A_DAY: usize = 20;

/// Whether a person wrote an appeal, or made or confirmed what it is against, and so may not judge it.
fn is_party(standing: Option<&Standing>, review: &Review, actor: &str) -> bool {
    if review.appellant.as_deref() == Some(actor) {
        return true;
    }
    let against = review.restriction.as_ref().filter(|_| review.kind == ReviewKind::Appeal);
    // As it is now: somebody may have confirmed it since.
    let held = standing.and_then(|s| s.in_force.iter().find(|r| Some(&r.id) == against.map(|r| &r.id)));
    held.is_some_and(|r| {
        r.actor.as_deref() == Some(actor) || r.confirmed.as_ref().is_some_and(|c| c.actor == actor)
    })
}

impl Arbiter {
    /// What a person asks for; answers the review it is about, if any.
    pub(super) fn manual(
        &mut self,
        input: &Input<'_>,
        proposal: &Proposal,
        out: &mut Out<ArbiterEffect>,
    ) -> Result<Option<String>, Refusal> {
        match proposal {
            Proposal::Rule(_) => {}
            Proposal::Release { supplier, restriction, actor, reason } => {
                let which = |r: &Restriction| restriction.as_ref().is_none_or(|id| *id == r.id);
                let by = (Action::Released, Some(actor.as_str()), Some(reason.as_str()));
                if self.lift(input, supplier, which, by, out) == 0 {
                    return Err(Refusal::NothingInForce);
                }
            }
            Proposal::Override { expires_at, .. }
            | Proposal::Extend { expires_at, .. }
            | Proposal::Snooze { expires_at, .. }
                if *expires_at <= input.time =>
            {
                return Err(Refusal::AlreadyExpired);
            }
            Proposal::Override { supplier, scope, precondition: Some(expected), .. }
                if !expected.holds(self.on_scope(supplier, scope)) =>
            {
                return Err(Refusal::DecidedSince);
            }
            Proposal::ClearOverride { supplier, precondition: Some(expected), .. }
                if !expected.holds(self.newest_of_people(supplier)) =>
            {
                return Err(Refusal::DecidedSince);
            }
            Proposal::Override {
                supplier,
                deny: Some(level),
                scope,
                actor,
                reason,
                expires_at,
                text,
                ..
            } => {
                self.deny(input, supplier, (*level, scope, *expires_at), (actor, reason, text), out);
            }
            Proposal::Override { supplier, deny: None, actor, reason, expires_at, .. } => {
                self.allow(input, supplier, *expires_at, (actor, reason), out)?;
            }
            Proposal::ClearOverride { supplier, actor, reason, .. } => {
                self.clear_override(input, supplier, (actor, reason), out)?;
            }
            Proposal::Extend { supplier, restriction, expires_at, actor, reason } => {
                let extended = self.edit(supplier, restriction, |r| r.expires_at = *expires_at)?;
                // A rule that goes on holding does not shorten what a person extended.
                self.change(supplier, |standing| standing.renewed.remove(restriction));
                self.rule_on(input, supplier, Action::Extended, Some(extended), (actor, reason), out);
            }
            Proposal::Confirm { supplier, restriction, actor, reason } => {
                self.confirm(input, supplier, restriction, (actor, reason), out)?;
            }
            Proposal::Reopen { supplier, restriction, actor, reason } => {
                self.reopen(input, supplier, restriction, (actor, reason), out)?;
            }
            Proposal::Snooze { supplier, rule, actor, reason, expires_at } => {
                let now = input.time;
                self.change(supplier, |standing| {
                    standing.snoozed.retain(|_, until| *until > now);
                    standing.snoozed.insert(rule.to_string(), *expires_at);
                });
                let note = format!("{rule} until {expires_at}: {reason}");
                self.rule_on(input, supplier, Action::Snoozed, None, (actor, &note), out);
            }
            Proposal::Appeal { supplier, restriction, actor, text } => {
                return self.appeal(input, supplier, restriction, (actor, text), out).map(Some);
            }
            Proposal::Claim { review, actor } => {
                let suppliers = &self.suppliers;
                let barred = |review: &Review| is_party(suppliers.get(&review.supplier), review, actor);
                return self.reviews.claim(review.as_deref(), actor, input.time, barred).map(Some);
            }
            Proposal::GiveBack { review, actor } => {
                return self.reviews.give_back(review, actor, input.time).map(Some);
            }
            Proposal::Settle { review, finding, actor, reason } => {
                self.settle(input, review, *finding, (actor, reason), out)?;
            }
            Proposal::KillSwitch { on, actor, reason } => {
                let (actor, reason) = (actor.clone(), reason.clone());
                self.guards.turn(Kill { on: *on, actor, reason, at: input.time });
                if let Some(kill) = self.guards.kill() {
                    out.effect(ArbiterEffect::Kill(kill.clone()));
                }
            }
            Proposal::Rearm { rule, .. } => {
                if !self.guards.rearm(rule.as_str(), input.time) {
                    return Err(Refusal::NothingInForce);
                }
                out.effect(ArbiterEffect::Budget { rule: rule.to_string(), exceeded: None });
            }
            Proposal::Gone { rule } => self.delays.forget_rule(rule.id.as_str(), Some(&rule.content)),
            Proposal::Restore { rule, since, confirmed, stop, actor, reason } => {
                let (rule, since, confirmed) = (rule.clone(), *since, *confirmed);
                let (actor, reason) = (actor.clone(), reason.clone());
                let doing = Doing::Restore { rule, since, confirmed, actor, reason };
                self.restore(input, doing, stop.as_deref(), out);
            }
            Proposal::Stock { supplier, figures } => self.guards.offers(supplier, *figures, input.time),
            Proposal::Unlinked { supplier, rule } => {
                self.delays.forget(supplier, rule.as_str(), None);
                let rests = |r: &Restriction| {
                    r.by_association
                        && r.confirmed.is_none()
                        && r.rule.as_ref().is_some_and(|held| held.id == *rule)
                };
                let note = "the links to others that it rested on are gone";
                self.lift(input, supplier, rests, (Action::Unlinked, None, Some(note)), out);
            }
            Proposal::Cured { supplier, rule, scope } => {
                self.delays.forget(supplier, rule.as_str(), Some(scope));
                let found = |r: &Restriction| {
                    r.scope == *scope
                        && r.confirmed.is_none()
                        && r.rule.as_ref().is_some_and(|held| held.id == *rule)
                };
                let note = "what the rule had found is corrected or grown out of";
                self.lift(input, supplier, found, (Action::Cured, None, Some(note)), out);
            }
        }
        Ok(None)
    }

    /// The id of what is in force on this very scope, if anything is.
    fn on_scope(&self, supplier: &SupplierId, scope: &Scope) -> Option<&str> {
        let held = &self.suppliers.get(supplier)?.in_force;
        held.iter().find(|r| r.scope == *scope).map(|r| r.id.as_str())
    }

    /// The id of the newest restriction in force that a person made.
    fn newest_of_people(&self, supplier: &SupplierId) -> Option<&str> {
        let made = self.suppliers.get(supplier)?.in_force.iter().filter(|r| r.actor.is_some());
        made.max_by_key(|r| r.version.order()).map(|r| r.id.as_str())
    }

    /// Puts a person's restriction in force. One of the whole supplier ends an allow, for nothing can be both.
    fn deny(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        (level, scope, expires_at): (Level, &Scope, Timestamp),
        (actor, reason, text): (&str, &str, &str),
        out: &mut Out<ArbiterEffect>,
    ) {
        if *scope == Scope::Supplier {
            self.end_allow(input, supplier, (actor, reason), out);
        }
        let text = text.to_owned();
        let restriction =
            Restriction { text, ..self.manual_restriction(input, level, scope, actor, expires_at, out) };
        self.impose(input, supplier, restriction, Some(reason), out);
    }

    /// Lifts what rules imposed and holds them off. Refused where a person withholds all of the supplier, for it would
    /// change nothing.
    fn allow(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        until: Timestamp,
        (actor, reason): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> Result<(), Refusal> {
        let denied = |r: &Restriction| r.actor.is_some() && r.scope == Scope::Supplier;
        if self.suppliers.get(supplier).is_some_and(|standing| standing.in_force.iter().any(denied)) {
            return Err(Refusal::DeniedByAPerson);
        }
        let allow = Allow { actor: actor.to_owned(), until };
        self.change(supplier, |standing| standing.allow = Some(allow));
        let by = (Action::Allowed, Some(actor), Some(reason));
        if self.lift(input, supplier, |r| r.actor.is_none(), by, out) == 0 {
            self.rule_on(input, supplier, Action::Allowed, None, (actor, reason), out);
        }
        Ok(())
    }

    /// Takes back what people overrode: an allow ends, and what they denied is released, on every scope.
    fn clear_override(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        (actor, reason): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> Result<(), Refusal> {
        let allowed = self.end_allow(input, supplier, (actor, reason), out);
        let by = (Action::Released, Some(actor), Some(reason));
        let denied = self.lift(input, supplier, |r| r.actor.is_some(), by, out);
        if allowed || denied > 0 { Ok(()) } else { Err(Refusal::NothingInForce) }
    }

    /// Ends an allow before its time; whether there was one.
    fn end_allow(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        by: (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> bool {
        if self.suppliers.get(supplier).is_none_or(|standing| standing.allow.is_none()) {
            return false;
        }
        self.change(supplier, |standing| standing.allow = None);
        self.rule_on(input, supplier, Action::AllowEnded, None, by, out);
        true
    }

    /// Says what a person did.
    fn rule_on(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        action: Action,
        restriction: Option<Restriction>,
        (actor, note): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) {
        let ruling = Ruling { action, restriction, actor: Some(actor), note: Some(note) };
        self.decide(input, supplier, ruling, out);
    }

    /// Changes a restriction in force, and what reviews say of it.
    fn edit(
        &mut self,
        supplier: &SupplierId,
        id: &str,
        change: impl FnOnce(&mut Restriction),
    ) -> Result<Restriction, Refusal> {
        let held = self.suppliers.get(supplier).is_some_and(|s| s.in_force.iter().any(|r| r.id == id));
        if !held {
            return Err(Refusal::NothingInForce);
        }
        self.change(supplier, |standing| {
            let restriction = standing.in_force.iter_mut().find(|r| r.id == id)?;
            change(restriction);
            Some(restriction.clone())
        })
        .ok_or(Refusal::NothingInForce)
    }

    fn confirm(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        restriction: &str,
        (actor, reason): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> Result<(), Refusal> {
        let mut first = false;
        let confirmed = self.edit(supplier, restriction, |r| {
            first = r.confirmed.is_none();
            r.confirmed = Some(Confirmed::by(actor, input.time, r.confirmed.take()));
        })?;
        self.reviews.close(&format!("v{restriction}"));
        if let Some(rule) = confirmed.rule.as_ref().filter(|_| first) {
            self.days.note(rule.id.as_str(), input.time, |day| day.confirmed += 1);
        }
        self.rule_on(input, supplier, Action::Confirmed, Some(confirmed), (actor, reason), out);
        Ok(())
    }

    /// Whoever confirmed a restriction takes that back, and it waits for a person as before. Not while an appeal against it waits: who takes
    /// back what makes them a party would be its judge.
    fn reopen(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        id: &str,
        (actor, reason): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> Result<(), Refusal> {
        let standing = self.suppliers.get(supplier);
        let held =
            standing.and_then(|s| s.in_force.iter().find(|r| r.id == id)).ok_or(Refusal::NothingInForce)?;
        let confirmed = held.confirmed.clone().ok_or(Refusal::NotConfirmed)?;
        if confirmed.actor != actor {
            return Err(Refusal::ConfirmedByAnother);
        }
        if self.reviews.appeal_of(id).is_some() {
            return Err(Refusal::AppealedAlready);
        }
        let before = confirmed.before.map(|before| *before);
        let is_open = before.is_none();
        let reopened = self.edit(supplier, id, |r| r.confirmed = before)?;
        if let Some(rule) = reopened.rule.as_ref().filter(|_| is_open) {
            // It counted on the day on which it was confirmed.
            self.days
                .note(rule.id.as_str(), confirmed.at, |day| day.confirmed = day.confirmed.saturating_sub(1));
            self.reviews.open(Review::of_rule(supplier, &reopened));
        }
        self.rule_on(input, supplier, Action::Reopened, Some(reopened), (actor, reason), out);
        Ok(())
    }

    /// One appeal for each restriction at a time; returns the review's id.
    fn appeal(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        restriction: &str,
        (actor, text): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> Result<String, Refusal> {
        let standing = self.suppliers.get(supplier);
        let held = standing.and_then(|s| s.in_force.iter().find(|r| r.id == restriction)).cloned();
        let held = held.ok_or(Refusal::NothingInForce)?;
        if self.reviews.appeal_of(restriction).is_some() {
            return Err(Refusal::AppealedAlready);
        }
        let now = input.time;
        let lately = self.change(supplier, |standing| {
            standing.appealed.retain(|at| at.ms() > now.ms() - DAY_MS);
            standing.appealed.len()
        });
        if lately >= APPEALS_A_DAY {
            return Err(Refusal::TooManyAppeals);
        }
        self.change(supplier, |standing| standing.appealed.push(now));
        let id = format!("a{}", restriction_id(&input.position, out));
        self.reviews.open(Review {
            id: id.clone(),
            kind: ReviewKind::Appeal,
            supplier: supplier.clone(),
            restriction: Some(held.clone()),
            proposal: None,
            text: text.to_owned(),
            appellant: Some(actor.to_owned()),
            opened_at: input.time,
            due_at: input.time.plus_ms(APPEAL_MS),
            claim: None,
        });
        if let Some(rule) = &held.rule {
            self.days.note(rule.id.as_str(), input.time, |day| day.appealed += 1);
        }
        self.rule_on(input, supplier, Action::Appealed, Some(held), (actor, text), out);
        Ok(id)
    }

    fn settle(
        &mut self,
        input: &Input<'_>,
        id: &str,
        finding: Finding,
        (actor, reason): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> Result<(), Refusal> {
        let review = self.reviews.get(id).cloned().ok_or(Refusal::NoSuchReview)?;
        if review.is_claimed_by_another(actor, input.time) {
            return Err(Refusal::ClaimedByAnother);
        }
        if is_party(self.suppliers.get(&review.supplier), &review, actor) {
            return Err(Refusal::OwnDecision);
        }
        self.settled(input, &review, finding, (actor, reason), out)
    }

    /// What a finding comes to, whoever was to look.
    pub(super) fn settled(
        &mut self,
        input: &Input<'_>,
        review: &Review,
        finding: Finding,
        (actor, reason): (&str, &str),
        out: &mut Out<ArbiterEffect>,
    ) -> Result<(), Refusal> {
        let supplier = &review.supplier;
        let restriction = review.restriction.as_ref();
        match (review.kind, finding, restriction, &review.proposal) {
            (ReviewKind::Excess, Finding::Uphold, _, Some(proposal)) => {
                let mut restriction = self.restriction_of(input, proposal, out);
                restriction.confirmed = Some(Confirmed::by(actor, input.time, None));
                self.impose(input, supplier, restriction, Some(reason), out);
                self.days.note(proposal.rule.id.as_str(), input.time, |day| {
                    day.imposed += 1;
                    day.withheld += 1;
                    day.confirmed += 1;
                });
            }
            (ReviewKind::Excess, Finding::Release, _, Some(proposal)) => {
                // What was imposed instead goes with it, and mutes the rule as any release does.
                let instead = |r: &Restriction| {
                    r.scope == proposal.scope
                        && !r.level.withholds()
                        && r.confirmed.is_none()
                        && r.rule.as_ref().is_some_and(|rule| rule.id == proposal.rule.id)
                };
                let by = (Action::Released, Some(actor), Some(reason));
                if self.lift(input, supplier, instead, by, out) == 0 {
                    let (now, until) = (input.time, input.time.plus_ms(MUTE_MS));
                    let (rule, scope) = (proposal.rule.id.to_string(), proposal.scope.clone());
                    self.change(supplier, |standing| {
                        standing.mutes.push(Mute {
                            rule,
                            scope,
                            evidence: proposal.evidence,
                            at: now,
                            until,
                        });
                    });
                    self.days.note(proposal.rule.id.as_str(), input.time, |day| day.released += 1);
                }
                self.rule_on(input, supplier, Action::Dismissed, None, (actor, reason), out);
            }
            (ReviewKind::Appeal, Finding::Uphold, Some(restriction), _) => {
                let restriction = Some(restriction.clone());
                self.rule_on(input, supplier, Action::AppealRejected, restriction, (actor, reason), out);
            }
            (_, Finding::Uphold, Some(restriction), _) => {
                self.confirm(input, supplier, &restriction.id, (actor, reason), out)?;
            }
            (kind, Finding::Release, Some(restriction), _) => {
                let by = (Action::Released, Some(actor), Some(reason));
                let lifted = self.lift(input, supplier, |r| r.id == restriction.id, by, out);
                if let Some(rule) =
                    restriction.rule.as_ref().filter(|_| lifted > 0 && kind == ReviewKind::Appeal)
                {
                    self.days.note(rule.id.as_str(), input.time, |day| day.overturned += 1);
                }
            }
            (ReviewKind::Excess, _, _, None) | (_, _, None, _) => {}
        }
        self.reviews.close(&review.id);
        Ok(())
    }

    fn manual_restriction(
        &self,
        input: &Input<'_>,
        level: Level,
        scope: &Scope,
        actor: &str,
        expires_at: Timestamp,
        out: &Out<ArbiterEffect>,
    ) -> Restriction {
        Restriction {
            id: restriction_id(&input.position, out),
            version: Position { index: out.next_index(), ..input.position.clone() },
            scope: scope.clone(),
            level,
            reasons: vec![MANUAL.to_owned()],
            rule: None,
            actor: Some(actor.to_owned()),
            values: Default::default(),
            tree: Vec::new(),
            since: input.time,
            expires_at,
            review_at: input.time.plus_ms(REVIEW_MS).min(expires_at),
            cause: input.envelope.cause.clone(),
            evidence: 0.0,
            text: String::new(),
            counterfactuals: Vec::new(),
            vouched: Vec::new(),
            by_association: false,
            holdout: false,
            asked: None,
            confirmed: None,
        }
    }
}
