//! Reservations that come to be at risk: told to their buyers and to order systems, once, when it begins. What is told is what a
//! reservation shows when it is asked for; why is nobody's business, and a supplier that ran out looks like one that is withheld.

use std::collections::{BTreeMap, BTreeSet};

use stockade_fold::{Dest, Input, Out};
use stockade_model::{
    Audience, Level, ListingId, Notice, Payload, ReservationId, Scope, SupplierId, Topic, WebhookRecord,
};

use super::{Effect, Inventory};
use crate::domain::{index::Offer, key::Of, reservation::Reservation, state::Listing};

/// The event.
const AT_RISK: &str = "reservation.at_risk";

/// Reservations that keep units by themselves and have an owner, by supplier and listing.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<SupplierId, BTreeMap<ListingId, BTreeSet<ReservationId>>>);

/// Restrictions that were in force.
pub(super) struct Former {
    pub(super) level: Option<Level>,
    pub(super) narrow: Vec<(Scope, Level)>,
}

fn keeps(row: &&Reservation) -> bool {
    row.kept() > 0 && row.owner.is_some()
}

impl Kept {
    /// Notes what a reservation is now, where it was `before`.
    pub(super) fn note(
        &mut self,
        key: &Of<ReservationId>,
        before: Option<&Reservation>,
        next: Option<&Reservation>,
    ) {
        if let Some(before) = before.filter(keeps) {
            self.forget(key, &before.listing);
        }
        if let Some(next) = next.filter(keeps) {
            let of = self.0.entry(key.supplier.clone()).or_default();
            of.entry(next.listing.clone()).or_default().insert(key.id.clone());
        }
    }

    fn forget(&mut self, key: &Of<ReservationId>, listing: &ListingId) {
        let Some(of) = self.0.get_mut(&key.supplier) else { return };
        if let Some(names) = of.get_mut(listing) {
            names.remove(&key.id);
            if names.is_empty() {
                of.remove(listing);
            }
        }
        if of.is_empty() {
            self.0.remove(&key.supplier);
        }
    }

    fn of(&self, supplier: &SupplierId, listing: &ListingId) -> Option<&BTreeSet<ReservationId>> {
        self.0.get(supplier)?.get(listing)
    }
}

impl Inventory {
    /// Tells of what a listing no longer has, for it was withdrawn or fewer units are there, before `next` replaces it.
    pub(super) fn tell_of_shortage(
        &self,
        input: &Input<'_>,
        at: &Of<ListingId>,
        next: &Listing,
        out: &mut Out<Effect>,
    ) {
        // More than is reserved of it is enough for each.
        if !next.withdrawn && next.on_hand >= next.held + next.confirmed + next.committed {
            return;
        }
        let Some(names) = self.kept.of(&at.supplier, &at.id) else { return };
        let Some(before) = self.listings.get(at) else { return };
        let (Some(before), Some(now)) = (self.offer_as(at, &before), self.offer_as(at, next)) else { return };
        let enough = |offer: &Offer, row: &Reservation| {
            let ordered = row.state == crate::domain::ReservationState::Ordered;
            !offer.withdrawn && (ordered || offer.on_hand >= row.quantity)
        };
        for (key, row) in self.rows(&at.supplier, names) {
            if enough(&before, row) && !enough(&now, row) {
                tell(input, &key, row, out);
            }
        }
    }

    /// Tells of what buyers are no longer shown of a supplier, where `former` was in force before.
    pub(super) fn tell_of_withholding(
        &self,
        input: &Input<'_>,
        id: &SupplierId,
        former: &Former,
        out: &mut Out<Effect>,
    ) {
        let (Some(supplier), Some(listings)) = (self.suppliers.get(id), self.kept.0.get(id)) else { return };
        if !supplier.in_force().any(|(_, level)| level.withholds()) {
            return;
        }
        let narrow = former.narrow.iter().map(|(scope, level)| (scope, *level));
        let before = narrow.chain(former.level.map(|level| (&Scope::Supplier, level)));
        for (listing, names) in listings {
            let Some(offer) = self.offer_of(&Of::new(id, listing)) else { continue };
            for (key, row) in self.rows(id, names) {
                let subject = offer.subject();
                let was_shown = subject.left(row.region, &before).is_some();
                if was_shown && subject.left(row.region, &supplier.in_force()).is_none() {
                    tell(input, &key, row, out);
                }
            }
        }
    }

    fn rows<'a>(
        &'a self,
        supplier: &'a SupplierId,
        names: &'a BTreeSet<ReservationId>,
    ) -> impl Iterator<Item = (Of<ReservationId>, &'a Reservation)> + 'a {
        let keys = names.iter().map(|name| Of::new(supplier, name));
        keys.filter_map(|key| self.reservations.get(&key).map(|row| (key, row)))
    }
}

fn tell(input: &Input<'_>, key: &Of<ReservationId>, row: &Reservation, out: &mut Out<Effect>) {
    let Some(owner) = &row.owner else { return };
    let data = serde_json::json!({
        "reservation": key.id,
        "supplier": key.supplier,
        "listing": row.listing,
        "quantity": row.quantity,
        "state": row.state,
        "kept": row.kept(),
        "order": row.order,
        "at_risk": true,
        "link": format!("/v1/reservations/{}", key.id),
    });
    let notice = Notice {
        id: format!("{}/{}", input.position, key.id),
        event: AT_RISK.to_owned(),
        at: input.time,
        audience: Audience::Buyer { key: owner.clone() },
        data,
    };
    out.emit(Topic::Webhooks, Dest::Partition(0), Payload::Webhook(WebhookRecord::Notice(notice)));
}
