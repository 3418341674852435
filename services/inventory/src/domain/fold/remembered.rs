//! What became of requests is remembered for a day, so that whoever asks again is answered the same.

use std::collections::VecDeque;

use stockade_fold::Out;
use stockade_model::{Row, SupplierId, Timestamp, time::HOUR_MS};

use super::{Due, Effect, Inventory, What, path};
use crate::domain::state::Supplier;

/// How long the outcome of a request is remembered for its idempotency key.
pub(super) const REMEMBERED_MS: i64 = 24 * HOUR_MS;
/// Outcomes of its own requests that are remembered per supplier, and as many of what buyers asked of its stock.
pub(super) const REMEMBERED_MAX: usize = 2_000;

/// Whose requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Suppliers,
    Buyers,
}

impl Whose {
    /// Whose a request with these rows is: what is reserved is a buyer's.
    pub(super) fn of(rows: &[Row]) -> Self {
        let of_buyer = |row: &Row| {
            matches!(row, Row::Hold { .. } | Row::Confirm { .. } | Row::ReleaseHold { .. } | Row::Line(_))
        };
        if !rows.is_empty() && rows.iter().all(of_buyer) { Self::Buyers } else { Self::Suppliers }
    }
}

impl Supplier {
    fn queue(&mut self, whose: Whose) -> &mut VecDeque<(Timestamp, String)> {
        match whose {
            Whose::Suppliers => &mut self.remembered,
            Whose::Buyers => &mut self.remembered_of_buyers,
        }
    }

    /// Whether anything that is remembered is of this moment, by which it is due.
    fn remembers_since(&self, at: Timestamp) -> bool {
        // Record times never go back, so each queue is in their order.
        let since =
            |queue: &VecDeque<(Timestamp, String)>| queue.binary_search_by_key(&at, |(of, _)| *of).is_ok();
        since(&self.remembered) || since(&self.remembered_of_buyers)
    }
}

impl Inventory {
    /// Notes that a request is remembered, and forgets the oldest beyond the bound.
    pub(super) fn remember(
        &mut self,
        (id, whose): (&SupplierId, Whose),
        key: String,
        now: Timestamp,
        out: &mut Out<Effect>,
    ) {
        let queue = self.suppliers.edit_or(id, Supplier::default).queue(whose);
        queue.push_back((now, key));
        let is_full = queue.len() > REMEMBERED_MAX;
        self.due.insert(&Due::new(now.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
        if is_full {
            self.forget_oldest((id, whose), out);
        }
    }

    /// Forgets a request that its sender has done with. It is among the latest, so it is looked for from there.
    pub(super) fn let_go(&mut self, id: &SupplierId, key: &str, out: &mut Out<Effect>) {
        if self.outcomes.get(&path(id, key)).is_none() {
            return;
        }
        let Some(supplier) = self.suppliers.edit(id) else { return };
        let Some(at) = supplier.remembered.iter().rposition(|(_, known)| known == key) else { return };
        let gone = supplier.remembered.remove(at);
        // What is due is by time, and another request may have the same.
        if let Some((at, _)) = gone.filter(|(at, _)| !supplier.remembers_since(*at)) {
            self.due.remove(&Due::new(at.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
        }
        self.outcomes.remove(&path(id, key));
        out.effect(Effect::Forgotten { supplier: id.clone(), key: key.to_owned() });
    }

    fn forget_oldest(&mut self, (id, whose): (&SupplierId, Whose), out: &mut Out<Effect>) {
        let Some(supplier) = self.suppliers.edit(id) else { return };
        if let Some((at, key)) = supplier.queue(whose).pop_front() {
            if !supplier.remembers_since(at) {
                self.due.remove(&Due::new(at.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
            }
            self.outcomes.remove(&path(id, &key));
            out.effect(Effect::Forgotten { supplier: id.clone(), key });
        }
    }

    pub(super) fn forget_expired(&mut self, id: &SupplierId, now: Timestamp, out: &mut Out<Effect>) {
        for whose in [Whose::Suppliers, Whose::Buyers] {
            let expired = |supplier: &Supplier| {
                let queue = match whose {
                    Whose::Suppliers => &supplier.remembered,
                    Whose::Buyers => &supplier.remembered_of_buyers,
                };
                queue.front().is_some_and(|(at, _)| at.plus_ms(REMEMBERED_MS) <= now)
            };
            while self.suppliers.get(id).is_some_and(expired) {
                self.forget_oldest((id, whose), out);
            }
        }
    }
}
