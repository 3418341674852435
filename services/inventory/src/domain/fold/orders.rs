//! Outcomes: what an order keeps from other buyers, and what has left the shelf.

use std::collections::BTreeSet;

use stockade_fold::{Input, Out};
use stockade_model::{
    ListingId, OrderEvent, OrderEventKind, OrderId, Outcome, ReservationId, SupplierId, Timestamp,
};

use super::{Due, Effect, Inventory, What, answers::event_identity};
use crate::domain::{
    answer::{EventAnswer, EventCode, EventStatus},
    key::Of,
    order::{Order, Standing, Taken},
    reservation::{Reservation, ReservationState, SILENT_MS},
};

impl Order {
    /// When it is closed if nothing more is said of it.
    fn due(&self) -> Timestamp {
        self.touched.plus_ms(SILENT_MS)
    }
}

impl Inventory {
    pub(super) fn outcome(&mut self, input: &Input<'_>, outcome: &Outcome, out: &mut Out<Effect>) {
        let event = &outcome.event;
        if event.kind.is_derived() {
            // What intake makes of silence moves no stock, and nobody waits for its answer.
            return;
        }
        let identity = event_identity(&event.source, event.id.as_str());
        let concerns_stock = matches!(
            event.kind,
            OrderEventKind::Placed | OrderEventKind::Shipped | OrderEventKind::Cancelled
        );
        let answer = match &event.order {
            Some(order) if concerns_stock => self.say(input, order, event, identity, out),
            _ if outcome.repeated => {
                EventAnswer::of(EventStatus::Duplicate, Some(EventCode::RepeatedOutcome))
            }
            _ => EventAnswer::of(EventStatus::Noted, None),
        };
        self.answer(identity, answer, input.time, out);
    }

    /// Adds what `event` says to its order; what follows for stock is the difference that it makes to the whole.
    fn say(
        &mut self,
        input: &Input<'_>,
        id: &OrderId,
        event: &OrderEvent,
        identity: u128,
        out: &mut Out<Effect>,
    ) -> EventAnswer {
        let key = Of::new(&event.supplier, id);
        let before = self.orders.get(&key).unwrap_or_default();
        let mut after = before.clone();
        let name = event.reservation.clone().or_else(|| ReservationId::of_record(id.as_str()).ok());
        let (taken_over, remark) =
            name.as_ref().map_or((None, None), |name| self.take_over(&key, event, name, &mut after));
        let name = name.filter(|name| after.has_taken(name));
        let placed = event.kind == OrderEventKind::Placed;
        if placed && event.listing.is_none() && name.is_none() && event.line.is_none() {
            // There is nothing to reckon with, and most senders that name no listing never do.
            let (supplier, order) = (event.supplier.clone(), id.clone());
            out.effect(Effect::Placed { supplier, order, kept: false });
            return EventAnswer::of(EventStatus::Noted, Some(EventCode::NoListing));
        }
        let taken = after.take(event, name.as_ref());
        // The same may be said again to say which reservation it was.
        if taken != Taken::New && (taken != Taken::Again || !after.has_other_lines(&before)) {
            return refusal(taken);
        }
        after.touched = input.time;
        let kept = taken_over.as_ref().map(|(_, reservation)| reservation.listing.clone());
        if let Some((of, reservation)) = taken_over {
            let ordered = Reservation { order: Some(id.clone()), ..reservation };
            self.set_reservation(&of, Some(ordered.to(ReservationState::Ordered, input.time)), out);
        }
        let known = after.knows(event, name.as_ref());
        let answer = self.answer_to(event, known, after.excess() > before.excess(), &after, remark);
        if answer.status == EventStatus::Parked {
            after.wait(identity);
        }
        let gone = |order: &Order| order.units().values().fold(0, |sum, units| sum + units.gone);
        let handed = gone(&after) - gone(&before);
        self.set_order(input, &key, after, out);
        if event.kind == OrderEventKind::Shipped && !event.late && handed > 0 {
            self.hands_over(&event.supplier, handed, input.time, out);
        }
        if let Some(listing) = kept {
            // What the reservation kept is the order's now, or nobody's when it was cancelled at once: buyers hear of both.
            let _ = self.touched(input, &event.supplier, &listing, out);
        }
        answer
    }

    /// Lets the order have the reservation `name`, if that still keeps its units; else says what is remarkable about it.
    fn take_over(
        &self,
        key: &Of<OrderId>,
        event: &OrderEvent,
        name: &ReservationId,
        order: &mut Order,
    ) -> (Option<(Of<ReservationId>, Reservation)>, Option<EventCode>) {
        if order.has_taken(name) {
            let missed = event.kind == OrderEventKind::Placed && order.is_rest_over(name);
            return (None, missed.then_some(EventCode::ReservationOver));
        }
        let of = Of::new(&key.supplier, name);
        let remark = match self.reservations.get(&of) {
            Some(row) if row.is_open() && event.listing.as_ref().is_none_or(|l| *l == row.listing) => {
                order.take_over(event, name, &row.listing, row.quantity);
                return (Some((of, row.clone())), None);
            }
            Some(row) if row.is_open() => EventCode::ReservationMismatch,
            Some(row) if row.is_free() => EventCode::ReservationOver,
            Some(_) => EventCode::ReservationTaken,
            None => EventCode::UnknownReservation,
        };
        (None, event.reservation.is_some().then_some(remark))
    }

    /// What is said of an event that was taken: `known` is whether a line is known that it is about, `excess` whether it
    /// went beyond what was ordered.
    fn answer_to(
        &self,
        event: &OrderEvent,
        known: bool,
        excess: bool,
        order: &Order,
        remark: Option<EventCode>,
    ) -> EventAnswer {
        let supplier = self.suppliers.get(&event.supplier);
        let units = order.units();
        if units.keys().any(|listing| !self.has_listing(&event.supplier, listing)) {
            let registered = supplier.is_some_and(|supplier| supplier.profile.is_some());
            let code = if registered { EventCode::UnknownListing } else { EventCode::UnknownSupplier };
            return EventAnswer::of(EventStatus::Parked, Some(code));
        }
        // Goods that left the shelf have left it, whatever was placed; all else waits for its line.
        let left = event.kind == OrderEventKind::Shipped && event.listing.is_some();
        if !known && !left {
            return EventAnswer::of(EventStatus::Parked, Some(EventCode::NotPlaced));
        }
        if excess {
            return EventAnswer::of(EventStatus::Conflict, Some(EventCode::MoreThanOrdered));
        }
        if units.is_empty() {
            return EventAnswer::of(EventStatus::Noted, Some(EventCode::NoListing));
        }
        EventAnswer::of(EventStatus::Applied, remark)
    }

    fn has_listing(&self, supplier: &SupplierId, listing: &ListingId) -> bool {
        self.listings.contains(&Of::new(supplier, listing))
    }

    /// The only place that changes an order: the units it has, what is due of it, its reservations, and who waits for it.
    fn set_order(&mut self, input: &Input<'_>, key: &Of<OrderId>, mut order: Order, out: &mut Out<Effect>) {
        let listings = order.units().into_keys().collect::<Vec<_>>();
        let waits: Vec<&ListingId> =
            listings.iter().filter(|listing| !self.has_listing(&key.supplier, listing)).collect();
        for listing in &waits {
            self.parked.entry(Of::new(&key.supplier, listing)).or_default().insert(key.id.clone());
        }
        if waits.is_empty() && !order.has_loose_ends() {
            for identity in std::mem::take(&mut order.waiting) {
                self.unpark(identity, input.time, out);
            }
        }
        let mut touched = self.set_standings(input, key, &mut order, out);
        let units = order.units();
        let due = Due::new(order.due(), What::Order(key.clone()));
        let is_placed = order.is_placed();
        let before = self.orders.get(key);
        self.orders.put(key, &order);
        if let Some(before) = &before {
            self.due.remove(&Due::new(before.due(), What::Order(key.clone())));
        }
        self.due.insert(&due);
        if is_placed && !before.as_ref().is_some_and(Order::is_placed) {
            let (supplier, order) = (key.supplier.clone(), key.id.clone());
            out.effect(Effect::Placed { supplier, order, kept: true });
        }
        let before = before.map(|before| before.units()).unwrap_or_default();
        for listing in listings {
            let (was, is) = (before.get(&listing).copied(), units.get(&listing).copied());
            let (was, is) = (was.unwrap_or_default(), is.unwrap_or_default());
            if was == is {
                continue;
            }
            let known = self.listings.edit(&Of::new(&key.supplier, &listing), |row| {
                row.committed += is.committed - was.committed;
                row.on_hand -= is.gone - was.gone;
            });
            if known.is_some() {
                touched.insert(listing);
            }
        }
        for listing in touched {
            let _ = self.touched(input, &key.supplier, &listing, out);
        }
    }

    /// Tells the reservations of an order how they stand; those listings are answered whose units that has changed. A rest
    /// that nobody keeps any more ends.
    fn set_standings(
        &mut self,
        input: &Input<'_>,
        key: &Of<OrderId>,
        order: &mut Order,
        out: &mut Out<Effect>,
    ) -> BTreeSet<ListingId> {
        let row_of = |fold: &Self, name: &ReservationId| {
            let row = fold.reservations.get(&Of::new(&key.supplier, name));
            // One that was forgotten and made again under its name is another one.
            row.filter(|row| row.order.as_ref() == Some(&key.id)).cloned()
        };
        for Standing { name, .. } in order.reservations().into_iter().filter(|standing| standing.rest > 0) {
            let stands = |row: Reservation| row.confirmed || row.expires_at > input.time;
            if !row_of(self, &name).is_some_and(stands) {
                order.end_rest(&name);
            }
        }
        let mut touched = BTreeSet::new();
        for Standing { name, listing, cancelled, rest } in order.reservations() {
            let Some(row) = row_of(self, &name) else { continue };
            let state = if cancelled { ReservationState::Cancelled } else { ReservationState::Ordered };
            let since = if row.state == state { row.since } else { input.time };
            let next = Reservation { state, since, rest, ..row.clone() };
            if next.rest != row.rest {
                touched.insert(listing);
            }
            if next != row {
                self.set_reservation(&Of::new(&key.supplier, &name), Some(next), out);
            }
        }
        touched
    }

    /// Gives back what no line of its order has taken of a reservation.
    pub(super) fn end_rest(
        &mut self,
        input: &Input<'_>,
        key: &Of<ReservationId>,
        row: &Reservation,
        out: &mut Out<Effect>,
    ) {
        let order_key = row.order.as_ref().map(|order| Of::new(&key.supplier, order));
        if let Some((order_key, mut order)) =
            order_key.and_then(|order_key| Some((order_key.clone(), self.orders.get(&order_key)?)))
        {
            order.end_rest(&key.id);
            self.set_order(input, &order_key, order, out);
        }
    }

    /// Whether what no line of its order had taken of a reservation was given back.
    pub(super) fn is_rest_over(&self, key: &Of<ReservationId>, row: &Reservation) -> bool {
        let order = row.order.as_ref().and_then(|order| self.orders.get(&Of::new(&key.supplier, order)));
        order.is_some_and(|order| order.is_rest_over(&key.id))
    }

    /// Units that orders had of a listing before it was there, and the news for the events that waited for it.
    pub(super) fn orders_waiting_for(
        &mut self,
        input: &Input<'_>,
        key: &Of<ListingId>,
        out: &mut Out<Effect>,
    ) -> i64 {
        let mut committed = 0;
        for id in self.parked.remove(key).unwrap_or_default() {
            let order_key = Of::new(&key.supplier, &id);
            let Some(order) = self.orders.get(&order_key) else { continue };
            let units = order.units();
            committed += units.get(&key.id).map_or(0, |units| units.committed);
            let there = |other: &ListingId| *other == key.id || self.has_listing(&key.supplier, other);
            if order.has_loose_ends() || !units.keys().all(there) {
                continue;
            }
            let waiting = self.orders.edit(&order_key, |order| std::mem::take(&mut order.waiting));
            for identity in waiting.unwrap_or_default() {
                self.unpark(identity, input.time, out);
            }
        }
        committed
    }

    /// Closes an order of which nothing was heard for so long. What it still owes is taken to have left the shelf without a
    /// word: that sells nothing twice, and the supplier's next count puts it right.
    pub(super) fn order_due(
        &mut self,
        input: &Input<'_>,
        key: &Of<OrderId>,
        at: Timestamp,
        out: &mut Out<Effect>,
    ) {
        if self.orders.get(key).is_none_or(|order| order.due() != at) {
            return;
        }
        let Some(mut order) = self.orders.remove(key) else { return };
        out.effect(Effect::OrderForgotten { supplier: key.supplier.clone(), order: key.id.clone() });
        for Standing { name, .. } in order.reservations() {
            order.end_rest(&name);
        }
        for listing in self.set_standings(input, key, &mut order, out) {
            let _ = self.touched(input, &key.supplier, &listing, out);
        }
        for (listing, units) in order.units() {
            let of = Of::new(&key.supplier, &listing);
            let owed = self.listings.edit(&of, |row| {
                row.committed -= units.committed;
                row.on_hand -= units.committed;
                row.owed()
            });
            if let Some(owed) = owed {
                self.owe(&of, owed, input.time, out);
            } else if let Some(orders) = self.parked.get_mut(&of) {
                orders.remove(&key.id);
                if orders.is_empty() {
                    self.parked.remove(&of);
                }
            }
        }
    }

    /// Rebuilds what is derived from orders, and takes over those that an earlier build stored line by line.
    pub(super) fn restore_orders(&mut self) {
        let mut former: Vec<(String, _)> =
            self.former_lines.iter().map(|(at, line)| (at.clone(), *line)).collect();
        former.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let mut taken: std::collections::BTreeMap<Of<OrderId>, Order> = Default::default();
        for (at, line) in former {
            self.former_lines.remove(&at);
            let mut parts = at.splitn(3, '/');
            let mut next = || parts.next().unwrap_or_default();
            let (supplier, order) = (SupplierId::of_record(next()), OrderId::of_record(next()));
            let (Ok(supplier), Ok(id), Ok(listing)) = (supplier, order, ListingId::of_record(next())) else {
                continue;
            };
            let key = Of { supplier, id };
            if self.orders.contains(&key) {
                continue;
            }
            let name = ReservationId::of_record(key.id.as_str()).ok();
            let hold = name.filter(|name| {
                let row = self.reservations.get(&Of::new(&key.supplier, name));
                row.is_some_and(|row| row.state == ReservationState::Ordered && row.listing == listing)
            });
            taken.entry(key).or_default().take_former(&listing, line, hold.as_ref());
        }
        taken.iter().for_each(|(key, order)| self.orders.put(key, order));
        let (due, listings, parked) = (&mut self.due, &self.listings, &mut self.parked);
        self.orders.each(|key, order| {
            due.insert(&Due::new(order.due(), What::Order(key.clone())));
            for listing in order.units().into_keys() {
                let of = Of::new(&key.supplier, &listing);
                if !listings.contains(&of) {
                    parked.entry(of).or_default().insert(key.id.clone());
                }
            }
        });
    }
}

fn refusal(taken: Taken) -> EventAnswer {
    let (status, code) = match taken {
        Taken::New | Taken::Again => (EventStatus::Duplicate, EventCode::RepeatedOutcome),
        Taken::Differs => (EventStatus::Conflict, EventCode::Contradicts),
        Taken::Ambiguous => (EventStatus::Conflict, EventCode::AmbiguousQuantity),
        Taken::TooLarge => (EventStatus::Conflict, EventCode::OrderTooLarge),
    };
    EventAnswer::of(status, Some(code))
}
