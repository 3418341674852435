//! Caps: of a capped supplier no more units may be owed than it has proven, over all its listings. And crowds: suppliers of which
//! many share one payout account.

use stockade_fold::Out;
use stockade_model::{AttributeKind, LinkFact, ListingId, SupplierId, Timestamp};

use super::{Effect, Inventory};
use crate::domain::{
    key::Of,
    state::{CROWD, GRANT, Supplier},
};

impl Inventory {
    /// Counts that a listing owes `owed` units in what its supplier owes.
    pub(super) fn owe(&mut self, at: &Of<ListingId>, owed: i64, now: Timestamp, out: &mut Out<Effect>) {
        let before = match owed {
            0 => self.owed.remove(at),
            owed => self.owed.insert(at.clone(), owed),
        };
        let change = owed - before.unwrap_or_default();
        if change == 0 {
            return;
        }
        let sum = self.owes.get(&at.supplier).copied().unwrap_or_default() + change;
        match sum {
            0 => drop(self.owes.remove(&at.supplier)),
            sum => drop(self.owes.insert(at.supplier.clone(), sum)),
        }
        self.tell_allowance(&at.supplier, now, out);
    }

    /// Units that can still be had of a supplier while it is capped.
    pub(super) fn allowance(&self, id: &SupplierId, day: i64) -> i64 {
        let capacity = self.suppliers.get(id).map_or(GRANT, |supplier| supplier.capacity(day));
        (capacity - self.owes.get(id).copied().unwrap_or_default()).max(0)
    }

    pub(super) fn tell_allowance(&self, id: &SupplierId, now: Timestamp, out: &mut Out<Effect>) {
        if self.suppliers.get(id).is_some_and(Supplier::is_capped) {
            let units = Some(self.allowance(id, now.day()));
            out.effect(Effect::Allowance { supplier: id.clone(), units });
        }
    }

    /// Another supplier shares an attribute with one: of a payout account it is noted among how many it came. Since when the other is
    /// there is said to who was there before, and those who come name whose account they like: that says nothing of whose it is.
    pub(super) fn link(&mut self, fact: &LinkFact, out: &mut Out<Effect>) {
        if fact.since.is_some() {
            return;
        }
        if fact.attribute.kind != AttributeKind::Payout || fact.degree < CROWD {
            return;
        }
        let supplier = self.suppliers.get(&fact.supplier);
        let known = supplier.and_then(|supplier| supplier.crowd.as_ref()).map_or(0, |(_, degree)| *degree);
        if fact.degree <= known {
            return;
        }
        let payout: Box<str> = fact.attribute.hash.as_str().into();
        self.suppliers.edit_or(&fact.supplier, Supplier::default).crowd = Some((payout.clone(), fact.degree));
        out.effect(Effect::Crowded { supplier: fact.supplier.clone(), payout });
    }

    /// Units handed over in time prove what a supplier can do.
    pub(super) fn hands_over(&mut self, id: &SupplierId, units: i64, now: Timestamp, out: &mut Out<Effect>) {
        self.suppliers.edit_or(id, Supplier::default).hands_over(now.day(), units);
        self.tell_allowance(id, now, out);
    }
}
