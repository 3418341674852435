//! Reservations as a replica knows them: what the inventory folds of its partitions have told.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use parking_lot::RwLock;
use stockade_model::{ReservationId, SupplierId};

use crate::domain::{Of, Reservation};

/// Reservations by name, and by owner.
#[derive(Default)]
pub(crate) struct Reservations(RwLock<Held>);

#[derive(Default)]
struct Held {
    by_name: BTreeMap<ReservationId, (SupplierId, Reservation)>,
    by_owner: BTreeMap<String, BTreeSet<ReservationId>>,
    /// The part of a name that its owner and key decide, and the supplier decides not: which suppliers it was used with.
    by_secret: BTreeMap<String, BTreeSet<ReservationId>>,
}

/// The part of a reservation's name behind its supplier.
fn secret(name: &ReservationId) -> Option<&str> {
    name.as_str().rsplit_once("::").map(|(_, secret)| secret)
}

impl Reservations {
    /// Puts what a reservation is now.
    pub(crate) fn put(&self, key: Of<ReservationId>, reservation: Reservation) {
        let mut held = self.0.write();
        if let Some(owner) = &reservation.owner {
            held.by_owner.entry(owner.clone()).or_default().insert(key.id.clone());
        }
        if let Some(secret) = secret(&key.id) {
            held.by_secret.entry(secret.to_owned()).or_default().insert(key.id.clone());
        }
        held.by_name.insert(key.id, (key.supplier, reservation));
    }

    /// Forgets one.
    pub(crate) fn remove(&self, key: &Of<ReservationId>) {
        let mut held = self.0.write();
        let Some((_, reservation)) = held.by_name.remove(&key.id) else { return };
        if let Some(owner) = &reservation.owner {
            forget(&mut held.by_owner, owner, &key.id);
        }
        if let Some(secret) = secret(&key.id) {
            forget(&mut held.by_secret, secret, &key.id);
        }
    }

    /// One by its name.
    pub(crate) fn get(&self, name: &ReservationId) -> Option<(SupplierId, Reservation)> {
        self.0.read().by_name.get(name).cloned()
    }

    /// Whether the same owner and key have a reservation of another supplier that is not over.
    pub(crate) fn is_used_elsewhere(&self, name: &ReservationId) -> bool {
        let held = self.0.read();
        let others = secret(name).and_then(|secret| held.by_secret.get(secret));
        let in_use = |other: &&ReservationId| {
            *other != name && held.by_name.get(*other).is_some_and(|(_, row)| !row.is_free())
        };
        others.is_some_and(|others| others.iter().any(|other| in_use(&other)))
    }

    /// Up to `limit` reservations in order of their names, those after `after`: of one owner, of one supplier, or of all.
    pub(crate) fn list(
        &self,
        owner: Option<&str>,
        supplier: Option<&SupplierId>,
        after: Option<&ReservationId>,
        limit: usize,
    ) -> Vec<(ReservationId, SupplierId, Reservation)> {
        let held = self.0.read();
        let first: Bound<&ReservationId> = after.map_or(Bound::Unbounded, Bound::Excluded);
        let from = (first, Bound::Unbounded);
        let row = |name: &ReservationId| {
            let (of, row) = held.by_name.get(name)?;
            supplier.is_none_or(|wanted| wanted == of).then(|| (name.clone(), of.clone(), row.clone()))
        };
        match owner {
            Some(owner) => {
                let own = held.by_owner.get(owner);
                own.into_iter()
                    .flat_map(|own| own.range::<ReservationId, _>(from))
                    .filter_map(row)
                    .take(limit)
                    .collect()
            }
            None => held
                .by_name
                .range::<ReservationId, _>(from)
                .filter_map(|(name, _)| row(name))
                .take(limit)
                .collect(),
        }
    }
}

fn forget(index: &mut BTreeMap<String, BTreeSet<ReservationId>>, key: &str, name: &ReservationId) {
    if let Some(names) = index.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            index.remove(key);
        }
    }
}
