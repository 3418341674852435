//! What budgets do to what rules ask for. Past that of withholding whom a rule finds is capped and waits for a person; past that of
//! caps it is watched.

use stockade_fold::{Input, Out};
use stockade_model::{Action, Level, Restriction, RuleProposal, Scope, Timestamp};

use super::{Arbiter, ArbiterEffect, Review, ReviewKind, Ruling, guards, restriction_id, reviews::EXCESS_MS};

impl Arbiter {
    /// Which budget withholding a supplier would exceed, or was exceeded before. The first to do so is told of.
    pub(super) fn beyond(
        &mut self,
        input: &Input<'_>,
        proposal: &RuleProposal,
        out: &mut Out<ArbiterEffect>,
    ) -> Option<String> {
        if let Some(exceeded) = self.guards.exceeded(proposal) {
            return Some(exceeded.detail.clone());
        }
        let detail = self.guards.over_budget(proposal, input.time)?;
        let exceeded = self.guards.exceed(proposal, detail.clone(), input.time);
        guards::tell(input, proposal.rule.id.as_str(), exceeded, out);
        Some(detail)
    }

    /// Whether a proposal restricts a whole supplier that was not, without withholding it. What concerns a listing or a region is small.
    pub(super) fn newly_bounds(&self, proposal: &RuleProposal) -> bool {
        let whole = |r: &Restriction| r.scope == Scope::Supplier && r.level > Level::Watch;
        proposal.scope == Scope::Supplier
            && proposal.level > Level::Watch
            && !proposal.level.withholds()
            && !self.suppliers.get(&proposal.supplier).is_some_and(|s| s.in_force.iter().any(whole))
    }

    /// Whether restricting a supplier would exceed the budget of caps. A rule that comes to it is told of, until it caps again.
    pub(super) fn is_beyond_caps(
        &mut self,
        input: &Input<'_>,
        proposal: &RuleProposal,
        out: &mut Out<ArbiterEffect>,
    ) -> bool {
        let Some(detail) = self.guards.over_caps(proposal, input.time) else { return false };
        if let Some(exceeded) = self.guards.exceed_caps(proposal, detail, input.time) {
            guards::tell(input, proposal.rule.id.as_str(), exceeded, out);
        }
        true
    }

    /// A rule has newly restricted a supplier without withholding it.
    pub(super) fn has_capped(
        &mut self,
        proposal: &RuleProposal,
        now: Timestamp,
        out: &mut Out<ArbiterEffect>,
    ) {
        if self.guards.capped(proposal, now) {
            let rule = proposal.rule.id.to_string();
            out.effect(ArbiterEffect::Budget { rule, exceeded: None });
        }
    }

    /// What a budget holds back waits for a person, once for each supplier and rule. Whoever calls this caps it meanwhile.
    pub(super) fn hold_back(
        &mut self,
        input: &Input<'_>,
        proposal: &RuleProposal,
        detail: &str,
        out: &mut Out<ArbiterEffect>,
    ) {
        let (supplier, rule) = (&proposal.supplier, proposal.rule.id.as_str());
        if self.reviews.has_excess(supplier, rule) {
            return;
        }
        self.reviews.open(Review {
            id: format!("x{}", restriction_id(&input.position, out)),
            kind: ReviewKind::Excess,
            supplier: supplier.clone(),
            restriction: None,
            proposal: Some(Box::new(proposal.clone())),
            text: detail.to_owned(),
            appellant: None,
            opened_at: input.time,
            due_at: input.time.plus_ms(EXCESS_MS),
            claim: None,
        });
        self.days.note(rule, input.time, |day| day.over_budget += 1);
        let note = format!("{rule}: {detail}");
        let ruling = Ruling { action: Action::OverBudget, restriction: None, actor: None, note: Some(&note) };
        self.decide(input, supplier, ruling, out);
    }
}
