//! Lines of baskets: what the attempts to make one, to confirm it and to give it back do to each of its reservations. A fold sees
//! the lines of its own partition only; how they come to one end is in `domain::basket`.

use stockade_fold::{Input, Out};
use stockade_model::{LineAct, LineRow, ReservationId, RowStatus, SupplierId, Timestamp};

use super::{
    Applied, Asked, Effect, Inventory, Refusal, TOO_MANY_UNITS_HELD, choices::passed, conflict,
    reservations::no_reservation,
};
use crate::domain::{
    key::Of,
    reservation::{InBasket, Reservation, ReservationState},
};

fn taken_over() -> Refusal {
    let detail = "another request under the same Idempotency-Key has taken it over; ask again";
    conflict("basket_taken_over", detail)
}

impl Inventory {
    pub(super) fn line(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        line: &LineRow,
        out: &mut Out<Effect>,
    ) -> Applied {
        let LineRow { reservation, owner, epoch, act } = line;
        let key = Of::new(id, reservation);
        if let LineAct::Hold {
            listing,
            quantity,
            expires_at,
            region,
            request,
            basket,
            line,
            lines,
            whole,
            once,
            bound,
        } = act
        {
            if *once {
                self.may_be_tried(&key)?;
            }
            let basket = InBasket {
                basket: basket.clone(),
                line: *line,
                lines: *lines,
                whole: *whole,
                epoch: epoch.unwrap_or(input.offset),
                kept: !whole,
            };
            let asked = Asked {
                reservation,
                listing,
                quantity: *quantity,
                expires_at: *expires_at,
                region: *region,
                owner: Some(owner),
                request: Some(request),
                basket: Some(basket),
                bound: *bound,
            };
            let held = self.hold(input, id, asked, out);
            // Another request under its name says nothing of the offer, nor does what the buyer holds of it: no other offer is tried
            // for that, and it may be tried again.
            let is_final = |code: &str| code != "reservation_exists" && code != TOO_MANY_UNITS_HELD;
            if *once && held.as_ref().is_err_and(|(_, code, _)| is_final(code)) {
                self.pass(&key, input.time);
            }
            return held;
        }
        let known = self.reservations.get(&key).filter(|known| known.is_owned_by(Some(owner))).cloned();
        if *act == LineAct::Pass {
            self.may_be_tried(&key)?;
            return match known {
                Some(_) => Ok((RowStatus::Replayed, None)),
                None => {
                    self.pass(&key, input.time);
                    Err(passed())
                }
            };
        }
        let of_basket = known.and_then(|known| Some((known.basket.clone()?, known)));
        let Some((basket, known)) = of_basket else { return Err(no_reservation(reservation)) };
        let is_held = known.state == ReservationState::Held;
        let is_taken = matches!(known.state, ReservationState::Confirmed | ReservationState::Ordered);
        match *act {
            // It is kept for longer than anybody asks.
            LineAct::Keep { .. } if is_taken => Ok((RowStatus::Replayed, None)),
            // What is over says why, whoever's it was.
            LineAct::Keep { .. } if !is_held => self.confirm_known(input, &key, known, out),
            _ if *epoch != Some(basket.epoch) => Err(taken_over()),
            LineAct::Keep { expires_at } => {
                let basket = Some(Box::new(InBasket { kept: true, ..*basket }));
                self.set_reservation(&key, Some(Reservation { expires_at, basket, ..known }), out);
                Ok((RowStatus::Applied, None))
            }
            LineAct::Confirm if is_held && !basket.kept => {
                Err(conflict("basket_pending", "the basket is not held as a whole yet; ask again"))
            }
            LineAct::Confirm | LineAct::Hold { .. } | LineAct::Pass => {
                self.confirm_known(input, &key, known, out)
            }
            LineAct::Release => self.release_known(input, &key, &known, out),
        }
    }

    /// Refuses a line that is tried once where it was: it was refused, and another offer is tried by now; or it was held and is over, and
    /// is not held again, for who repeats a request is not to be given anew what it gave back.
    fn may_be_tried(&self, key: &Of<ReservationId>) -> Result<(), Refusal> {
        if self.is_passed(key) {
            return Err(passed());
        }
        match self.reservations.get(key).map(|known| known.state) {
            Some(ReservationState::Released) => Err(conflict("reservation_released", "it was given back")),
            Some(ReservationState::Lapsed) => Err(conflict("reservation_lapsed", "its time was over")),
            _ => Ok(()),
        }
    }

    /// The same line asked for again. Of a whole basket a later attempt takes it over: the head while it is tentative, for kept it is
    /// the basket; any other line as long as it is held, for who has begun at the head knows that nobody was promised the basket.
    pub(super) fn held_again(
        &mut self,
        key: &Of<ReservationId>,
        known: Reservation,
        by: InBasket,
        expires_at: Timestamp,
        out: &mut Out<Effect>,
    ) -> Applied {
        let own = known.of_whole().filter(|_| known.state == ReservationState::Held);
        match own.map(|own| (own.kept && own.line == 0, own.epoch)) {
            None | Some((true, _)) => Ok((RowStatus::Replayed, None)),
            Some((_, epoch)) if epoch > by.epoch => Err(taken_over()),
            Some(_) => {
                let basket = Some(Box::new(by));
                self.set_reservation(key, Some(Reservation { expires_at, basket, ..known }), out);
                Ok((RowStatus::Applied, None))
            }
        }
    }

    /// Units of a listing that can be had, for tests of what adds up to them.
    #[cfg(test)]
    pub(crate) fn available_of(&self, at: &Of<stockade_model::ListingId>) -> Option<i64> {
        self.listings.get(at).map(|listing| listing.available())
    }
}
