//! Reservations as a replica knows them: what the inventory folds of its partitions have told.
//!
//! The folds wait for the lock in which they lie, so nobody who reads holds it for more than some rows at a time, and no page looks at
//! more than a bounded number of rows, whatever there is of others.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use parking_lot::RwLock;
use stockade_model::{BasketId, ReservationId, SupplierId, Timestamp};

use crate::domain::{LineKnown, Of, Reservation};

/// Rows that are looked at before the lock is let go.
const ROWS_AT_ONCE: usize = 64;
/// Rows that are looked at for one page of a list; a page that ends for this is shorter, and the next goes on.
const ROWS_MAX: usize = 2_000;

/// Reservations by name, and by owner.
#[derive(Default)]
pub(crate) struct Reservations(RwLock<Held>);

/// What is known of the reservations of one key.
#[derive(Default)]
struct Own {
    names: BTreeSet<ReservationId>,
    baskets: BTreeSet<BasketId>,
    /// Those that lapse unless they are confirmed, by when they do.
    open: BTreeSet<(Timestamp, ReservationId)>,
}

impl Own {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.baskets.is_empty() && self.open.is_empty()
    }
}

#[derive(Default)]
struct Held {
    by_name: BTreeMap<ReservationId, (SupplierId, Reservation)>,
    by_owner: BTreeMap<String, Own>,
    /// Lines of baskets by their places.
    by_basket: BTreeMap<BasketId, BTreeMap<u16, ReservationId>>,
    /// Baskets to be had as a whole that have changed, with when that was last seen, in milliseconds: somebody has to look
    /// whether all their lines follow their head.
    restless: BTreeMap<BasketId, i64>,
    /// The same, those that changed longest ago first.
    restless_by_age: BTreeSet<(i64, BasketId)>,
}

/// A part of a list.
pub(crate) struct Listed<T, N> {
    /// What was found, in order of the names.
    pub(crate) found: Vec<T>,
    /// Up to where it was looked, where that is not the end and not for having found enough.
    pub(crate) looked_to: Option<N>,
    /// Rows that were looked at.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests hold that it is bounded"))]
    pub(crate) looked: usize,
}

/// From where to where names are gone through.
type Span<'a> = (Bound<&'a str>, Bound<&'a str>);

/// Names in their order.
type Names<'a, N> = Box<dyn Iterator<Item = &'a N> + 'a>;

/// The names of one key, or all. Whatever others have costs nobody who looks for their own.
fn names_of<'a, N: Borrow<str> + Ord, V>(
    held: &'a Held,
    (owner, own): (Option<&str>, impl Fn(&'a Own) -> &'a BTreeSet<N>),
    all: &'a BTreeMap<N, V>,
    range: Span<'_>,
) -> Names<'a, N> {
    match owner {
        Some(owner) => {
            let own = held.by_owner.get(owner).map(|known| own(known).range::<str, _>(range));
            Box::new(own.into_iter().flatten())
        }
        None => Box::new(all.range::<str, _>(range).map(|(name, _)| name)),
    }
}

/// Where a walk goes on: after a name, or from a beginning on.
fn from<'a>(after: Option<&'a str>, prefix: &'a str) -> Span<'a> {
    let first = match after {
        // A cursor names an item of its list, which begins so, or comes from somewhere else and is before all of them.
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    (first, Bound::Unbounded)
}

impl Reservations {
    /// Puts what a reservation is now; `now_ms` is the time by the clock.
    pub(crate) fn put(&self, key: Of<ReservationId>, reservation: Reservation, now_ms: i64) {
        let mut guard = self.0.write();
        let held = &mut *guard;
        if let Some(place) = &reservation.basket {
            held.by_basket.entry(place.basket.clone()).or_default().insert(place.line, key.id.clone());
            if place.whole {
                held.note_restless(place.basket.clone(), now_ms);
            }
        }
        if let Some((_, before)) = held.by_name.get(&key.id)
            && let Some(owner) = before.owner.clone()
        {
            let open = (before.expires_at, key.id.clone());
            let is_anothers = reservation.owner.as_ref() != Some(&owner);
            held.change(&owner, |own| {
                own.open.remove(&open);
                // A name that was free may come again.
                if is_anothers {
                    own.names.remove(&open.1);
                }
            });
        }
        if let Some(owner) = &reservation.owner {
            let own = held.by_owner.entry(owner.clone()).or_default();
            own.names.insert(key.id.clone());
            if reservation.may_lapse() {
                own.open.insert((reservation.expires_at, key.id.clone()));
            }
            if let Some(place) = &reservation.basket {
                own.baskets.insert(place.basket.clone());
            }
        }
        held.by_name.insert(key.id, (key.supplier, reservation));
    }

    /// Forgets one.
    pub(crate) fn remove(&self, key: &Of<ReservationId>) {
        let mut held = self.0.write();
        let Some((_, reservation)) = held.by_name.remove(&key.id) else { return };
        if let Some(owner) = &reservation.owner {
            held.change(owner, |own| {
                own.names.remove(&key.id);
                own.open.remove(&(reservation.expires_at, key.id.clone()));
            });
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
                    held.change(owner, |own| {
                        own.baskets.remove(&place.basket);
                    });
                }
            }
        }
    }

    /// The lines of a basket that are known, in order of their places.
    pub(crate) fn basket(&self, name: &BasketId) -> Vec<LineKnown> {
        let held = self.0.read();
        held.by_basket.get(name).map(|lines| held.known(lines)).unwrap_or_default()
    }

    /// How many reservations of a key lapse unless they are confirmed, and when the first of them does.
    pub(crate) fn open_of(&self, owner: &str) -> (usize, Option<Timestamp>) {
        let held = self.0.read();
        let Some(own) = held.by_owner.get(owner) else { return (0, None) };
        (own.open.len(), own.open.first().map(|(expires_at, _)| *expires_at))
    }

    /// Up to `limit` baskets after `after` whose names begin with `prefix`, with their lines: of one owner, or of all. Each line counts as a
    /// row that is looked at.
    pub(crate) fn baskets(
        &self,
        owner: Option<&str>,
        prefix: &str,
        after: Option<&BasketId>,
        limit: usize,
    ) -> Listed<(BasketId, Vec<LineKnown>), BasketId> {
        self.walk(
            after,
            prefix,
            limit,
            |held, range| names_of(held, (owner, |own: &Own| &own.baskets), &held.by_basket, range),
            |held, name| {
                let lines = held.by_basket.get(name).map(|lines| held.known(lines));
                let rows = lines.as_ref().map_or(1, |lines| lines.len().max(1));
                (rows, lines.map(|lines| (name.clone(), lines)))
            },
        )
    }

    /// Takes the baskets out that changed last at `until_ms` or before; each is looked at once for each of its changes.
    pub(crate) fn take_restless(&self, until_ms: i64) -> Vec<BasketId> {
        let mut taken = Vec::new();
        loop {
            // Mostly there is none, and nobody who writes is to wait for that.
            if self.0.read().restless_by_age.first().is_none_or(|(seen, _)| *seen > until_ms) {
                return taken;
            }
            let mut held = self.0.write();
            for _ in 0..ROWS_AT_ONCE {
                let Some((seen, name)) = held.restless_by_age.pop_first() else { break };
                if seen > until_ms {
                    held.restless_by_age.insert((seen, name));
                    break;
                }
                held.restless.remove(&name);
                taken.push(name);
            }
        }
    }

    /// Has a basket looked at again that could not be brought to its end.
    pub(crate) fn look_again(&self, name: BasketId, now_ms: i64) {
        self.0.write().note_restless(name, now_ms);
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
    ) -> Listed<(ReservationId, SupplierId, Reservation), ReservationId> {
        // A name begins with its supplier, so those of one stand together. Beside them stand those of a supplier whose own id goes on so.
        let prefix = supplier.map(|supplier| format!("{supplier}::")).unwrap_or_default();
        self.walk(
            after,
            &prefix,
            limit,
            |held, range| names_of(held, (owner, |own: &Own| &own.names), &held.by_name, range),
            |held, name| {
                let row = held.by_name.get(name).filter(|(of, _)| supplier.is_none_or(|wanted| wanted == of));
                (1, row.map(|(of, row)| (name.clone(), of.clone(), row.clone())))
            },
        )
    }

    /// Goes through the names behind `after` that begin with `prefix` until `limit` are found or enough rows were looked at, and lets
    /// the lock go in between. `take` says how many rows a name stands for, and what is found of it.
    fn walk<T, N: Clone + Borrow<str>>(
        &self,
        after: Option<&N>,
        prefix: &str,
        limit: usize,
        names: impl for<'a> Fn(&'a Held, Span<'_>) -> Names<'a, N>,
        take: impl Fn(&Held, &N) -> (usize, Option<T>),
    ) -> Listed<T, N> {
        let (mut last, mut found, mut looked) = (after.cloned(), Vec::new(), 0);
        loop {
            let until = looked + ROWS_AT_ONCE;
            let held = self.0.read();
            let all = names(&held, from(last.as_ref().map(Borrow::borrow), prefix));
            let mut is_over = true;
            let mut reached = last.clone();
            for name in all.take_while(|name| (*name).borrow().starts_with(prefix)) {
                let (rows, taken) = take(&held, name);
                looked += rows;
                reached = Some(name.clone());
                found.extend(taken);
                if found.len() >= limit {
                    return Listed { found, looked_to: None, looked };
                }
                if looked >= until {
                    is_over = false;
                    break;
                }
            }
            last = reached;
            if is_over || looked >= ROWS_MAX {
                return Listed { found, looked_to: last.filter(|_| !is_over), looked };
            }
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

    fn note_restless(&mut self, name: BasketId, now_ms: i64) {
        if let Some(before) = self.restless.insert(name.clone(), now_ms) {
            self.restless_by_age.remove(&(before, name.clone()));
        }
        self.restless_by_age.insert((now_ms, name));
    }

    /// Changes what is known of a key's reservations, and forgets a key that has none any more.
    fn change(&mut self, owner: &str, change: impl FnOnce(&mut Own)) {
        let Some(own) = self.by_owner.get_mut(owner) else { return };
        change(own);
        if own.is_empty() {
            self.by_owner.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests;
