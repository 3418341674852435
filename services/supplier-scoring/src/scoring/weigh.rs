//! What outcomes are as evidence, and the days on which nothing was heard.

use stockade_fold::Out;
use stockade_model::{
    OrderSeen, Outcome, Region, SupplierId, Timestamp, hash,
    time::{DAY_MS, HOUR_MS},
};

use super::{Scoring, ScoringEffect, Subject, believed};
use crate::{
    evidence::{Evidence, Test, cohorts_of},
    history::{Kind, flag},
    peers::PeersNow,
};

impl Scoring {
    /// What an outcome is as evidence. An order is at risk from the day it was placed; only the first outcome of a kind says
    /// anything, and repeat orders of one buyer say nothing.
    pub(super) fn weigh(
        &mut self,
        outcome: &Outcome,
        order: &OrderSeen,
        (kind, flags): (Kind, u16),
        region: Option<Region>,
        now: Timestamp,
    ) {
        // What is said again of an order is for those tests alone that ask for it.
        let asked_for = if order.first || outcome.withdrawn { 0 } else { flag::AGAIN };
        if order.repeat || flags & asked_for != asked_for {
            return;
        }
        let region = order.region.or(region);
        let cohort = cohorts_of(region.as_ref().map(Region::as_str), order.category.as_deref());
        let placed = order.placed_at.day();
        let attested = !outcome.event.kind.is_claim();
        let weight = match outcome.vouched {
            // Until peers are known only attested facts count.
            _ if !attested && !self.peers.warm() => 0.0,
            Some(vouched) => vouched.weight(),
            None => f64::from(u8::from(attested || believed(outcome))),
        };
        self.with_evidence(&outcome.event.supplier, now, |evidence, tests, peers| {
            if kind == Kind::Placed && !outcome.withdrawn {
                evidence.placed(placed, &cohort, tests, peers);
                return;
            }
            for kind in [Some(kind), order.tells.then_some(Kind::Spoiled)].into_iter().flatten() {
                let said = (kind as u8, flags);
                if outcome.withdrawn {
                    evidence.withdraw(said, weight, tests);
                } else if weight > 0.0 {
                    evidence.witness((said, asked_for), weight, (placed, &cohort), tests, peers);
                }
            }
        });
    }

    /// Brings the evidence against a supplier to `now`, and then does something with it.
    fn with_evidence(
        &mut self,
        id: &SupplierId,
        now: Timestamp,
        then: impl FnOnce(&mut Evidence, &[Test], &mut PeersNow<'_>),
    ) {
        let tests = self.features.tests.clone();
        if tests.is_empty() {
            return;
        }
        let mut peers = self.peers.at(now);
        let evidence = self.evidence.edit_or(id, Evidence::default);
        let before = evidence.next_day().map(|day| sweep_at(day, id));
        evidence.advance(now.day(), &tests, &mut peers);
        then(evidence, &tests, &mut peers);
        let after = evidence.next_day().map(|day| sweep_at(day, id));
        if before != after {
            before.map(|at| self.sweeps.remove(&(at, id.clone())));
            after.map(|at| self.sweeps.insert((at, id.clone())));
        }
    }

    /// Counts the exposure of the day of those of whom nothing else was heard; who is restricted is looked at again.
    pub(super) fn sweep(&mut self, now: Timestamp, out: &mut Out<ScoringEffect>) {
        while let Some((at, id)) = self.sweeps.first().filter(|(at, _)| *at <= now).cloned() {
            // Removed first, so that nothing can make this loop turn on the spot.
            self.sweeps.remove(&(at, id.clone()));
            self.with_evidence(&id, now, |_, _, _| ());
            self.tell_linked(&id, out);
            if self.suppliers.get(&id).is_some_and(|supplier| supplier.restricted) {
                self.histories.touch(&id, now.ms());
                self.scored(&id, Subject::default(), now, out);
            }
        }
    }

    /// Whoever shares something with the supplier hears how the evidence against it stands.
    pub(super) fn tell_linked(&mut self, id: &SupplierId, out: &mut Out<ScoringEffect>) {
        if let Some(evidence) = self.evidence.get(id) {
            self.links.weighed(id, evidence.e_value(), out);
        }
    }
}

/// When the exposure of `day` is counted at the latest: suppliers are spread over the day by the hour.
pub(super) fn sweep_at(day: i64, id: &SupplierId) -> Timestamp {
    let hour = (hash::stable64(id.as_str()) % 24) as i64;
    Timestamp::from_ms(day * DAY_MS + hour * HOUR_MS)
}
