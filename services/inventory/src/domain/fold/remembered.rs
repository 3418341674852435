//! What became of requests is remembered for a day, so that whoever asks again is answered the same.
//!
//! It is bounded by number and by bytes: a thousand rows that were all refused, each with its reasons, are three hundred times as much as
//! a row that was taken. What is forgotten early is the oldest, in every process the same, for it is reckoned from the rows alone.

use std::collections::VecDeque;

use stockade_fold::Out;
use stockade_model::{Row, SupplierId, Timestamp, time::HOUR_MS};

use super::{Due, Effect, Inventory, What, path};
use crate::domain::state::{Remembered, Supplier};

/// How long the outcome of a request is remembered for its idempotency key.
pub(super) const REMEMBERED_MS: i64 = 24 * HOUR_MS;
/// Outcomes of its own requests that are remembered per supplier, and as many of what buyers asked of its stock.
pub(super) const REMEMBERED_MAX: usize = 2_000;

/// Bytes of what is remembered per supplier, and as many of what buyers asked: some 200 batches of a thousand rows that were taken, which
/// `large` suppliers send within ten seconds and others within two minutes. Who asks again does so within these.
pub(super) const REMEMBERED_BYTES_MAX: usize = 4 << 20;
/// Bytes of an entry beside what it says.
const ENTRY_BYTES: usize = 128;

/// Bytes that the outcome of a request under `key` counts for.
fn bytes_of(key: &str, remembered: &Remembered) -> usize {
    ENTRY_BYTES + 2 * key.len() + remembered.body_hash.len() + remembered.rows.bytes()
}

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
    /// Remembers what became of a request, and forgets the oldest beyond the bounds. The latest is remembered however much it is.
    pub(super) fn remember(
        &mut self,
        (id, whose): (&SupplierId, Whose),
        (key, remembered): (String, Remembered),
        now: Timestamp,
        out: &mut Out<Effect>,
    ) {
        self.counts(id, whose, bytes_of(&key, &remembered) as isize);
        self.outcomes.insert(path(id, &key), remembered);
        let queue = self.suppliers.edit_or(id, Supplier::default).queue(whose);
        queue.push_back((now, key));
        let mut kept = queue.len();
        self.due.insert(&Due::new(now.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
        while kept > REMEMBERED_MAX || (kept > 1 && self.bytes_kept(id, whose) > REMEMBERED_BYTES_MAX) {
            self.forget_oldest((id, whose), out);
            kept -= 1;
        }
    }

    /// Bytes that a supplier's requests, or those of buyers about what it offers, count for.
    fn bytes_kept(&self, id: &SupplierId, whose: Whose) -> usize {
        self.remembered_bytes.get(id).map_or(0, |bytes| bytes[whose as usize])
    }

    fn counts(&mut self, id: &SupplierId, whose: Whose, change: isize) {
        let bytes = self.remembered_bytes.entry(id.clone()).or_default();
        bytes[whose as usize] = bytes[whose as usize].saturating_add_signed(change);
        if *bytes == [0, 0] {
            self.remembered_bytes.remove(id);
        }
    }

    /// Reckons what each supplier's requests count for, from the rows.
    pub(super) fn restore_bytes(&mut self) {
        for (id, supplier) in self.suppliers.iter() {
            let of = |queue: &VecDeque<(Timestamp, String)>| {
                let kept = |key: &str| Some(bytes_of(key, self.outcomes.get(&path(id, key))?));
                queue.iter().filter_map(|(_, key)| kept(key)).sum::<usize>()
            };
            let bytes = [of(&supplier.remembered), of(&supplier.remembered_of_buyers)];
            if bytes != [0, 0] {
                self.remembered_bytes.insert(id.clone(), bytes);
            }
        }
    }

    fn drop_outcome(&mut self, id: &SupplierId, whose: Whose, key: &str) {
        if let Some(gone) = self.outcomes.remove(&path(id, key)) {
            self.counts(id, whose, -(bytes_of(key, &gone) as isize));
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
        self.drop_outcome(id, Whose::Suppliers, key);
        out.effect(Effect::Forgotten { supplier: id.clone(), key: key.to_owned() });
    }

    fn forget_oldest(&mut self, (id, whose): (&SupplierId, Whose), out: &mut Out<Effect>) {
        let Some(supplier) = self.suppliers.edit(id) else { return };
        if let Some((at, key)) = supplier.queue(whose).pop_front() {
            if !supplier.remembers_since(at) {
                self.due.remove(&Due::new(at.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
            }
            self.drop_outcome(id, whose, &key);
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
