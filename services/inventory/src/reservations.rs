//! Reservations as a replica knows them: what the inventory folds of its partitions have told.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use parking_lot::RwLock;
use stockade_model::{BasketId, ReservationId, SupplierId};

use crate::domain::{LineKnown, Of, Reservation};

/// Reservations by name, and by owner.
#[derive(Default)]
pub(crate) struct Reservations(RwLock<Held>);

#[derive(Default)]
struct Held {
    by_name: BTreeMap<ReservationId, (SupplierId, Reservation)>,
    by_owner: BTreeMap<String, BTreeSet<ReservationId>>,
    /// Lines of baskets by their places.
    by_basket: BTreeMap<BasketId, BTreeMap<u16, ReservationId>>,
    baskets_by_owner: BTreeMap<String, BTreeSet<BasketId>>,
    /// Baskets to be had as a whole that have changed, with when that was last seen, in milliseconds: somebody has to look
    /// whether all their lines follow their head.
    restless: BTreeMap<BasketId, i64>,
}

impl Reservations {
    /// Puts what a reservation is now; `now_ms` is the time by the clock.
    pub(crate) fn put(&self, key: Of<ReservationId>, reservation: Reservation, now_ms: i64) {
        let mut guard = self.0.write();
        let held = &mut *guard;
        if let Some(place) = &reservation.basket {
            held.by_basket.entry(place.basket.clone()).or_default().insert(place.line, key.id.clone());
            if place.whole {
                held.restless.insert(place.basket.clone(), now_ms);
            }
        }
        if let Some(owner) = &reservation.owner {
            held.by_owner.entry(owner.clone()).or_default().insert(key.id.clone());
            if let Some(place) = &reservation.basket {
                held.baskets_by_owner.entry(owner.clone()).or_default().insert(place.basket.clone());
            }
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
        if let Some(place) = &reservation.basket
            && let Some(lines) = held.by_basket.get_mut(&place.basket)
        {
            // Another may have its place by now.
            if lines.get(&place.line) == Some(&key.id) {
                lines.remove(&place.line);
            }
            if lines.is_empty() {
                held.by_basket.remove(&place.basket);
                if let Some(owner) = &reservation.owner {
                    forget(&mut held.baskets_by_owner, owner, &place.basket);
                }
            }
        }
    }

    /// The lines of a basket that are known, in order of their places.
    pub(crate) fn basket(&self, name: &BasketId) -> Vec<LineKnown> {
        let held = self.0.read();
        held.by_basket.get(name).map(|lines| held.known(lines)).unwrap_or_default()
    }

    /// Up to `limit` baskets after `after` whose names begin with `prefix`, with their lines: of one owner, or of all.
    pub(crate) fn baskets(
        &self,
        owner: Option<&str>,
        prefix: &str,
        after: Option<&BasketId>,
        limit: usize,
    ) -> Vec<(BasketId, Vec<LineKnown>)> {
        let held = self.0.read();
        let first = match after {
            Some(after) => Bound::Excluded(after.as_str()),
            None => Bound::Included(prefix),
        };
        let range = (first, Bound::Unbounded);
        let known = |name: &BasketId| Some((name.clone(), held.known(held.by_basket.get(name)?)));
        let begins = |name: &&BasketId| name.as_str().starts_with(prefix);
        match owner {
            // Whatever others have costs nobody who looks for their own.
            Some(owner) => {
                let own = held.baskets_by_owner.get(owner).into_iter();
                let own = own.flat_map(|own| own.range::<str, _>(range)).take_while(begins);
                own.filter_map(known).take(limit).collect()
            }
            None => {
                let all = held.by_basket.range::<str, _>(range).map(|(name, _)| name).take_while(begins);
                all.filter_map(known).take(limit).collect()
            }
        }
    }

    /// Takes the baskets out that changed last at `until_ms` or before; each is looked at once for each of its changes.
    pub(crate) fn take_restless(&self, until_ms: i64) -> Vec<BasketId> {
        // Mostly there is none, and nobody who writes is to wait for that.
        if self.0.read().restless.values().all(|seen| *seen > until_ms) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        self.0.write().restless.retain(|name, seen| {
            let calm = *seen <= until_ms;
            taken.extend(calm.then(|| name.clone()));
            !calm
        });
        taken
    }

    /// Has a basket looked at again that could not be brought to its end.
    pub(crate) fn look_again(&self, name: BasketId, now_ms: i64) {
        self.0.write().restless.insert(name, now_ms);
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

impl Held {
    fn known(&self, lines: &BTreeMap<u16, ReservationId>) -> Vec<LineKnown> {
        let line = |name: &ReservationId| {
            let (supplier, row) = self.by_name.get(name)?;
            let place = row.basket.as_deref()?.clone();
            Some(LineKnown { reservation: name.clone(), supplier: supplier.clone(), row: row.clone(), place })
        };
        lines.values().filter_map(line).collect()
    }
}

fn forget<T: Ord>(index: &mut BTreeMap<String, BTreeSet<T>>, key: &str, name: &T) {
    if let Some(names) = index.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            index.remove(key);
        }
    }
}
