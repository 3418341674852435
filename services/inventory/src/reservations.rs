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
}

impl Reservations {
    /// Puts what a reservation is now.
    pub(crate) fn put(&self, key: Of<ReservationId>, reservation: Reservation) {
        let mut held = self.0.write();
        if let Some(owner) = &reservation.owner {
            held.by_owner.entry(owner.clone()).or_default().insert(key.id.clone());
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
    }

    /// One by its name.
    pub(crate) fn get(&self, name: &ReservationId) -> Option<(SupplierId, Reservation)> {
        self.0.read().by_name.get(name).cloned()
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
