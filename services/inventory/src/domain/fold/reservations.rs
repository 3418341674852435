//! Holds: units kept from other buyers until they are confirmed, given back, ordered, or their time is over.

use stockade_fold::{Input, Out};
use stockade_model::{HoldBound, ListingId, Region, ReservationId, RowStatus, SupplierId, Timestamp};

use super::{Applied, Due, Effect, Inventory, Refusal, What, conflict, too_few};
use crate::domain::{
    key::Of,
    reservation::{InBasket, Reservation, ReservationState},
    state::Listing,
};

/// What a buyer asks to be held.
pub(super) struct Asked<'a> {
    pub(super) reservation: &'a ReservationId,
    pub(super) listing: &'a ListingId,
    pub(super) quantity: i64,
    pub(super) expires_at: Timestamp,
    pub(super) region: Option<Region>,
    pub(super) owner: Option<&'a String>,
    pub(super) request: Option<&'a String>,
    pub(super) basket: Option<InBasket>,
    /// What its owner may hold of the listing without confirming.
    pub(super) bound: Option<HoldBound>,
}

pub(super) fn no_reservation(reservation: &ReservationId) -> Refusal {
    conflict("no_reservation", format!("reservation {reservation} does not exist"))
}

/// Who may have all of a basket or nothing of it does not decide about a part of it.
fn part_of_basket(reservation: &ReservationId) -> Refusal {
    let detail = format!("{reservation} is a line of a basket that is had as a whole; act on the basket");
    conflict("part_of_basket", detail)
}

impl Inventory {
    /// The only place that changes a reservation: its units, what is due of it, and what the process knows.
    pub(super) fn set_reservation(
        &mut self,
        key: &Of<ReservationId>,
        next: Option<Reservation>,
        out: &mut Out<Effect>,
    ) {
        let before = match &next {
            Some(next) => self.reservations.insert(key.clone(), next.clone()),
            None => self.reservations.remove(key),
        };
        let units = |row: &Option<Reservation>| row.as_ref().map_or((0, 0), |r| (r.held(), r.confirmed()));
        // A name that is free may come again for another listing, so each row is reckoned with its own.
        for (row, sign) in [(&before, -1), (&next, 1)] {
            let (held, confirmed) = units(row);
            if let Some(row) = row.as_ref().filter(|_| (held, confirmed) != (0, 0)) {
                self.listings.edit(&Of::new(&key.supplier, &row.listing), |row| {
                    row.held += sign * held;
                    row.confirmed += sign * confirmed;
                });
            }
        }
        self.kept.note(key, before.as_ref(), next.as_ref());
        self.holders.note(key, before.as_ref(), next.as_ref());
        let ended = next.as_ref().filter(|next| next.is_free()).and_then(|next| next.owner.clone());
        if let Some(before) = &before {
            self.due.remove(&Due::new(before.due(), What::Reservation(key.clone())));
        }
        match next {
            Some(next) => {
                self.due.insert(&Due::new(next.due(), What::Reservation(key.clone())));
                out.effect(Effect::Reserved { key: key.clone(), reservation: Box::new(next) });
            }
            None => out.effect(Effect::ReservationForgotten(key.clone())),
        }
        for oldest in ended.map(|owner| self.holders.beyond_bound(&owner)).unwrap_or_default() {
            self.set_reservation(&oldest, None, out);
        }
    }

    /// Does to a reservation what its time brings.
    pub(super) fn reservation_due(
        &mut self,
        input: &Input<'_>,
        key: &Of<ReservationId>,
        at: Timestamp,
        out: &mut Out<Effect>,
    ) {
        // An entry of something that is over: the row says when its time is.
        let Some(row) = self.reservations.get(key).filter(|row| row.due() == at).cloned() else { return };
        if row.rest > 0 {
            self.end_rest(input, key, &row, out);
        } else if row.is_open() {
            self.set_reservation(key, Some(row.to(ReservationState::Lapsed, input.time)), out);
            let _ = self.touched(input, &key.supplier, &row.listing, out);
        } else {
            self.set_reservation(key, None, out);
        }
    }

    pub(super) fn hold(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        asked: Asked<'_>,
        out: &mut Out<Effect>,
    ) -> Applied {
        let Asked { reservation, listing, quantity, expires_at, region, owner, request, basket, bound } =
            asked;
        let key = Of::new(id, reservation);
        if let Some(known) = self.reservations.get(&key).filter(|known| !known.is_free()) {
            let same = request.is_some() && known.request.as_ref() == request;
            if same && known.is_owned_by(owner.map(String::as_str)) {
                return match basket {
                    Some(basket) => self.held_again(&key, known.clone(), basket, expires_at, out),
                    None => Ok((RowStatus::Replayed, None)),
                };
            }
            return Err(conflict("reservation_exists", format!("reservation {reservation} exists already")));
        }
        self.held_back(id, listing, region, (quantity, input.time))?;
        let row = self.known(id, listing)?;
        if row.available() < quantity {
            return Err(too_few(quantity, listing));
        }
        if let Some((bound, owner)) = bound.zip(owner) {
            self.holders.may_hold(&Of::new(id, listing), owner, (quantity, row.on_hand), bound)?;
        }
        let held = Reservation {
            listing: listing.clone(),
            quantity,
            region,
            owner: owner.cloned(),
            request: request.cloned(),
            state: ReservationState::Held,
            since: input.time,
            expires_at,
            order: None,
            confirmed: false,
            rest: 0,
            basket: basket.map(Box::new),
        };
        self.set_reservation(&key, Some(held), out);
        self.touched(input, id, listing, out)
    }

    /// A confirmed reservation is a promise to the buyer, so it is taken whatever has become of the supplier meanwhile: whether
    /// to ship it is for the order system to say, which is told that it is at risk.
    pub(super) fn confirm(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        (reservation, owner): (&ReservationId, Option<&str>),
        out: &mut Out<Effect>,
    ) -> Applied {
        let key = Of::new(id, reservation);
        let known = self.reservations.get(&key).filter(|known| known.is_owned_by(owner)).cloned();
        let Some(known) = known else { return Err(no_reservation(reservation)) };
        if known.of_whole().is_some() {
            return Err(part_of_basket(reservation));
        }
        self.confirm_known(input, &key, known, out)
    }

    pub(super) fn confirm_known(
        &mut self,
        input: &Input<'_>,
        key: &Of<ReservationId>,
        known: Reservation,
        out: &mut Out<Effect>,
    ) -> Applied {
        let id = &key.supplier;
        match known.state {
            ReservationState::Held => {
                self.set_reservation(key, Some(known.to(ReservationState::Confirmed, input.time)), out);
                self.touched(input, id, &known.listing, out)
            }
            ReservationState::Cancelled => Err(conflict(
                "order_cancelled",
                "the order that this reservation has become was cancelled; reserve again",
            )),
            ReservationState::Lapsed => {
                Err(conflict("reservation_lapsed", "its time was over; reserve again"))
            }
            ReservationState::Released => {
                Err(conflict("reservation_released", "it was given back; reserve again"))
            }
            ReservationState::Ordered if !known.confirmed && self.is_rest_over(key, &known) => Err(conflict(
                "reservation_lapsed",
                "what its order had not taken has lapsed or was given back; reserve again",
            )),
            ReservationState::Ordered if !known.confirmed => {
                let (listing, kept) = (known.listing.clone(), known.rest > 0);
                self.set_reservation(key, Some(Reservation { confirmed: true, ..known }), out);
                if kept { self.touched(input, id, &listing, out) } else { Ok((RowStatus::Replayed, None)) }
            }
            _ => Ok((RowStatus::Replayed, None)),
        }
    }

    pub(super) fn release(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        (reservation, owner): (&ReservationId, Option<&str>),
        out: &mut Out<Effect>,
    ) -> Applied {
        let key = Of::new(id, reservation);
        let Some(known) = self.reservations.get(&key).filter(|known| known.is_owned_by(owner)).cloned()
        else {
            return Err(no_reservation(reservation));
        };
        if known.of_whole().is_some() {
            return Err(part_of_basket(reservation));
        }
        self.release_known(input, &key, &known, out)
    }

    pub(super) fn release_known(
        &mut self,
        input: &Input<'_>,
        key: &Of<ReservationId>,
        known: &Reservation,
        out: &mut Out<Effect>,
    ) -> Applied {
        let id = &key.supplier;
        match known.state {
            ReservationState::Held => {
                self.set_reservation(key, Some(known.to(ReservationState::Released, input.time)), out);
                self.touched(input, id, &known.listing, out)
            }
            ReservationState::Ordered if known.rest > 0 => {
                self.end_rest(input, key, known, out);
                let listing = self.listings.get(&Of::new(id, &known.listing));
                Ok((RowStatus::Applied, listing.as_ref().map(Listing::available)))
            }
            ReservationState::Ordered if self.is_rest_over(key, known) => Ok((RowStatus::Replayed, None)),
            ReservationState::Confirmed | ReservationState::Ordered => {
                Err(conflict("already_confirmed", "a confirmed reservation is cancelled by the order system"))
            }
            ReservationState::Released | ReservationState::Lapsed | ReservationState::Cancelled => {
                Ok((RowStatus::Replayed, None))
            }
        }
    }
}
