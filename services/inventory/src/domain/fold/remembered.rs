//! What became of requests is remembered for a day, so that whoever asks again is answered the same.

use stockade_fold::Out;
use stockade_model::{SupplierId, Timestamp, time::HOUR_MS};

use super::{Due, Effect, Inventory, What, path};
use crate::domain::state::Supplier;

/// How long the outcome of a request is remembered for its idempotency key.
pub(super) const REMEMBERED_MS: i64 = 24 * HOUR_MS;
/// Outcomes remembered per supplier.
pub(super) const REMEMBERED_MAX: usize = 2_000;

impl Inventory {
    /// Notes that a request is remembered, and forgets the oldest beyond the bound.
    pub(super) fn remember(&mut self, id: &SupplierId, key: String, now: Timestamp, out: &mut Out<Effect>) {
        let supplier = self.suppliers.edit_or(id, Supplier::default);
        supplier.remembered.push_back((now, key));
        self.due.insert(&Due::new(now.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
        if supplier.remembered.len() > REMEMBERED_MAX {
            self.forget_oldest(id, out);
        }
    }

    /// Forgets a request that its sender has done with. It is among the latest, so it is looked for from there.
    pub(super) fn let_go(&mut self, id: &SupplierId, key: &str, out: &mut Out<Effect>) {
        if self.outcomes.get(&path(id, key)).is_none() {
            return;
        }
        self.outcomes.remove(&path(id, key));
        let Some(supplier) = self.suppliers.edit(id) else { return };
        if let Some(at) = supplier.remembered.iter().rposition(|(_, known)| known == key) {
            let gone = supplier.remembered.remove(at);
            // What is due is by time, and another request may have the same.
            if let Some((at, _)) =
                gone.filter(|(at, _)| supplier.remembered.iter().all(|(other, _)| other != at))
            {
                self.due.remove(&Due::new(at.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
            }
        }
        out.effect(Effect::Forgotten { supplier: id.clone(), key: key.to_owned() });
    }

    fn forget_oldest(&mut self, id: &SupplierId, out: &mut Out<Effect>) {
        let Some(supplier) = self.suppliers.edit(id) else { return };
        if let Some((at, key)) = supplier.remembered.pop_front() {
            if supplier.remembered.front().is_none_or(|(next, _)| *next != at) {
                self.due.remove(&Due::new(at.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
            }
            self.outcomes.remove(&path(id, &key));
            out.effect(Effect::Forgotten { supplier: id.clone(), key });
        }
    }

    pub(super) fn forget_expired(&mut self, id: &SupplierId, now: Timestamp, out: &mut Out<Effect>) {
        let expired =
            |s: &Supplier| s.remembered.front().is_some_and(|(at, _)| at.plus_ms(REMEMBERED_MS) <= now);
        while self.suppliers.get(id).is_some_and(expired) {
            self.forget_oldest(id, out);
        }
    }
}
