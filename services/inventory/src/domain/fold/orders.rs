//! Holds and orders: units kept from other buyers, and units gone.

use stockade_fold::{Input, Out};
use stockade_model::{ListingId, OrderEventKind, OrderId, Outcome, RowStatus, SupplierId, Timestamp};

use super::{Applied, Due, Effect, Hold, Inventory, ORDER_KEPT_MS, OrderLine, conflict, path};

impl Inventory {
    #[allow(clippy::too_many_arguments, reason = "the fields of one row")]
    pub(super) fn hold(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        reservation: &OrderId,
        listing: &ListingId,
        quantity: i64,
        expires_at: Timestamp,
        out: &mut Out<Effect>,
    ) -> Applied {
        let at = path(id, reservation.as_str());
        if self.holds.get(&at).is_some() {
            return Err(conflict("reservation_exists", format!("reservation {reservation} exists already")));
        }
        let row = self.known(id, listing)?;
        if row.available() < quantity {
            return Err(conflict(
                "not_available",
                format!("fewer than {quantity} units of {listing} are available"),
            ));
        }
        row.held += quantity;
        let hold =
            Hold { supplier: id.clone(), listing: listing.clone(), quantity, expires_at, confirmed: false };
        self.due.insert((expires_at, Due::Hold(at.clone())));
        self.holds.insert(at, hold);
        self.touched(input, id, listing.as_str(), out)
    }

    pub(super) fn confirm(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        reservation: &OrderId,
        out: &mut Out<Effect>,
    ) -> Applied {
        let Some(hold) = self.holds.edit(&path(id, reservation.as_str())) else {
            return Err(conflict(
                "no_reservation",
                format!("reservation {reservation} does not exist or has lapsed"),
            ));
        };
        if hold.confirmed {
            return Ok((RowStatus::Replayed, None));
        }
        hold.confirmed = true;
        let hold = hold.clone();
        // The order system's `placed` for the same order and listing finds the line here and does not commit twice.
        let line =
            OrderLine { quantity: hold.quantity, placed: true, touched: input.time, ..OrderLine::default() };
        self.order_line(&path(id, &format!("{reservation}/{}", hold.listing)), line);
        if let Ok(listing) = self.known(id, &hold.listing) {
            listing.held -= hold.quantity;
            listing.committed += hold.quantity;
        }
        self.touched(input, id, hold.listing.as_str(), out)
    }

    pub(super) fn release(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        reservation: &OrderId,
        out: &mut Out<Effect>,
    ) -> Applied {
        let at = path(id, reservation.as_str());
        match self.holds.get(&at) {
            None => return Ok((RowStatus::Replayed, None)),
            Some(hold) if hold.confirmed => {
                return Err(conflict(
                    "already_confirmed",
                    "a confirmed reservation is cancelled by the order system",
                ));
            }
            Some(_) => {}
        }
        let Some(hold) = self.holds.remove(&at) else { return Ok((RowStatus::Replayed, None)) };
        if let Ok(listing) = self.known(id, &hold.listing) {
            listing.held -= hold.quantity;
        }
        self.touched(input, id, hold.listing.as_str(), out)
    }

    pub(super) fn order_line(&mut self, at: &str, line: OrderLine) {
        if let Some(old) = self.orders.insert(at.to_owned(), line) {
            self.due.remove(&(old.touched.plus_ms(ORDER_KEPT_MS), Due::Order(at.to_owned())));
        }
        self.due.insert((line.touched.plus_ms(ORDER_KEPT_MS), Due::Order(at.to_owned())));
    }

    /// One order's outcomes are accepted in any sequence: the line's facts decide what it commits and has taken.
    pub(super) fn outcome(&mut self, input: &Input<'_>, outcome: &Outcome, out: &mut Out<Effect>) {
        let event = &outcome.event;
        let concerns_stock = matches!(
            event.kind,
            OrderEventKind::Placed | OrderEventKind::Shipped | OrderEventKind::Cancelled
        );
        let (Some(order), Some(listing), true) = (&event.order, &event.listing, concerns_stock) else {
            return;
        };
        let at = path(&event.supplier, &format!("{order}/{listing}"));
        let before = self.orders.get(&at).copied().unwrap_or_default();
        let mut after = OrderLine { touched: input.time, ..before };
        match event.kind {
            OrderEventKind::Placed => after.placed = true,
            OrderEventKind::Shipped => after.shipped = true,
            _ => after.cancelled = true,
        }
        // The quantity of the order counts; a shipment or cancellation that comes first stands in for it.
        if event.kind == OrderEventKind::Placed || !before.placed {
            after.quantity = event.quantity.unwrap_or(before.quantity.max(1));
        }
        self.order_line(&at, after);
        if let Ok(row) = self.known(&event.supplier, listing) {
            row.committed += after.committed() - before.committed();
            row.on_hand = (row.on_hand - (after.gone() - before.gone())).max(0);
            let _ = self.touched(input, &event.supplier, listing.as_str(), out);
        }
    }
}
