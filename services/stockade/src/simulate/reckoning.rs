//! A naive reckoning of every unit: one pass over what lies in the log, with nothing of the folds but the records. It keeps
//! lists and searches them, so that it can be read at a glance; what the folds of each process say has to equal it.

use std::collections::{BTreeMap, BTreeSet};

use stockade_inventory::domain::ReservationState as State;
use stockade_model::{
    Command, Decision, Level, ListingId, OrderEvent, OrderEventKind, OrderId, Payload, Position, Region,
    ReservationId, Row, Scope, StockMode, SupplierId, Timestamp, Topic,
};

use super::{
    node::PARTITIONS,
    oracle::{envelope, read},
    world::{NAMES, World, name_of},
};

/// A hold and what became of it.
#[derive(Debug)]
struct Held {
    units: i64,
    owner: Option<String>,
    state: State,
    expires_at: Timestamp,
    order: Option<OrderId>,
}

/// What was said of an order of one line.
#[derive(Debug, Default)]
struct Said {
    reservation: Option<ReservationId>,
    reserved: Option<i64>,
    placed: Option<i64>,
    shipped: i64,
    cancelled: i64,
}

impl Said {
    fn known(&self) -> bool {
        self.placed.or(self.reserved).is_some()
    }
    fn ordered(&self) -> i64 {
        self.placed.or(self.reserved).unwrap_or(0)
    }
    /// Units that left the shelf; shipped before anything was placed, they have left all the same.
    fn gone(&self) -> i64 {
        if self.known() { self.shipped.min(self.ordered()) } else { self.shipped }
    }
    fn called_off(&self) -> i64 {
        if self.known() { self.cancelled.min(self.ordered() - self.gone()) } else { 0 }
    }
    /// Units that are still owed.
    fn owed(&self) -> i64 {
        if self.known() { self.ordered() - self.gone() - self.called_off() } else { 0 }
    }
}

/// One supplier, who has one listing.
#[derive(Default)]
struct Shelf {
    /// Regions that the listing serves.
    regions: Vec<Region>,
    counted: i64,
    holds: BTreeMap<ReservationId, Held>,
    orders: BTreeMap<OrderId, Said>,
    in_force: Vec<(Scope, Level)>,
}

impl Shelf {
    fn on_hand(&self) -> i64 {
        self.counted - self.orders.values().map(Said::gone).sum::<i64>()
    }
    fn free(&self) -> i64 {
        let open = |held: &&Held| matches!(held.state, State::Held | State::Confirmed);
        let held: i64 = self.holds.values().filter(open).map(|held| held.units).sum();
        self.on_hand() - held - self.orders.values().map(Said::owed).sum::<i64>()
    }
    /// Whether a restriction of at least `level` is in force on everything, or on `region`.
    fn restricted(&self, level: Level, region: Option<Region>) -> bool {
        self.in_force.iter().any(|(scope, of)| {
            *of >= level
                && match scope {
                    Scope::Supplier => true,
                    Scope::Region { region: on } => region.is_none_or(|asked| *on == asked),
                    Scope::Sku { .. } | Scope::Listing { .. } => false,
                }
        })
    }
    /// Whether nothing may be added: locked out as a whole, or in every region served.
    fn locked_out(&self) -> bool {
        self.regions.iter().all(|region| self.restricted(Level::Lockout, Some(*region)))
    }

    fn row(&mut self, row: &Row) {
        match row {
            Row::Put(put) => {
                self.regions.clone_from(&put.regions);
                self.counted = put.on_hand.unwrap_or(self.counted);
            }
            Row::Stock(change) if change.mode == StockMode::Adjust && !self.locked_out() => {
                self.counted += change.quantity;
            }
            Row::Hold { reservation, quantity, expires_at, owner, region, .. } => {
                let over = |held: &Held| matches!(held.state, State::Released | State::Lapsed);
                let taken = self.holds.get(reservation).is_some_and(|held| !over(held));
                if !taken && !self.restricted(Level::Quarantine, *region) && self.free() >= *quantity {
                    let (units, owner, expires_at) = (*quantity, owner.clone(), *expires_at);
                    let held = Held { units, owner, state: State::Held, expires_at, order: None };
                    self.holds.insert(reservation.clone(), held);
                }
            }
            Row::Confirm { reservation, owner } => self.turn(reservation, owner, State::Confirmed),
            Row::ReleaseHold { reservation, owner } => self.turn(reservation, owner, State::Released),
            _ => {}
        }
    }

    fn turn(&mut self, name: &ReservationId, owner: &Option<String>, to: State) {
        if let Some(held) = self.holds.get_mut(name)
            && held.state == State::Held
            && held.owner == *owner
        {
            held.state = to;
        }
    }

    fn said(&mut self, event: &OrderEvent) {
        let (Some(order), Some(_), Some(units)) = (&event.order, &event.listing, event.quantity) else {
            return;
        };
        let said = self.orders.entry(order.clone()).or_default();
        let name = event.reservation.as_ref().filter(|_| said.reservation.is_none());
        if let Some((name, held)) = name.and_then(|name| Some((name, self.holds.get_mut(name)?)))
            && matches!(held.state, State::Held | State::Confirmed)
        {
            (held.state, held.order) = (State::Ordered, Some(order.clone()));
            (said.reservation, said.reserved) = (Some(name.clone()), Some(held.units));
        }
        match event.kind {
            OrderEventKind::Placed => said.placed = said.placed.or(Some(units)),
            OrderEventKind::Shipped => said.shipped = said.shipped.max(units),
            OrderEventKind::Cancelled => said.cancelled = said.cancelled.max(units),
            _ => {}
        }
        let all_called_off = said.ordered() > 0 && said.called_off() == said.ordered();
        if let Some(held) = said.reservation.as_ref().and_then(|name| self.holds.get_mut(name))
            && held.order.as_ref() == Some(order)
        {
            held.state = if all_called_off { State::Cancelled } else { State::Ordered };
        }
    }

    fn lapse(&mut self, now: Timestamp) {
        for held in self.holds.values_mut() {
            if held.state == State::Held && held.expires_at <= now {
                held.state = State::Lapsed;
            }
        }
    }

    fn decided(&mut self, decision: &Decision) {
        self.in_force = decision.in_force.iter().map(|r| (r.scope.clone(), r.level)).collect();
    }
}

/// Reckons everything that lies in the log.
fn reckon(world: &World) -> Result<BTreeMap<SupplierId, Shelf>, String> {
    let mut shelves: BTreeMap<SupplierId, Shelf> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let (mut keys, mut last) = (BTreeSet::new(), BTreeMap::<(String, u32), Position>::new());
        for record in read(&world.ground.memory, Topic::SupplierEvents.name(), partition)? {
            let envelope = envelope(&record.headers)?;
            if let Some(position) = envelope.position.clone() {
                let of = (position.fold.clone(), position.partition);
                if last.get(&of).is_some_and(|last| position.order() <= last.order()) {
                    continue;
                }
                last.insert(of, position);
            }
            let now = Timestamp::from_ms(record.time_ms);
            let here = |supplier: &SupplierId| world.partition_of(supplier) == partition;
            shelves.iter_mut().filter(|(id, _)| here(id)).for_each(|(_, shelf)| shelf.lapse(now));
            match Payload::decode(&envelope.kind, &record.value).map_err(|error| error.to_string())? {
                Payload::Command(Command { supplier, idempotency_key, rows, .. }) => {
                    let known = idempotency_key.is_some_and(|key| !keys.insert((supplier.clone(), key)));
                    if !known {
                        let shelf = shelves.entry(supplier).or_default();
                        rows.iter().for_each(|row| shelf.row(row));
                    }
                }
                Payload::Outcome(outcome) => {
                    shelves.entry(outcome.event.supplier.clone()).or_default().said(&outcome.event);
                }
                Payload::Decision(decision) => {
                    shelves.entry(decision.supplier.clone()).or_default().decided(&decision);
                }
                _ => {}
            }
        }
    }
    Ok(shelves)
}

/// Units as suppliers counted them, before anything was shipped.
pub(super) fn counted(world: &World) -> Result<BTreeMap<SupplierId, i64>, String> {
    Ok(reckon(world)?.into_iter().map(|(supplier, shelf)| (supplier, shelf.counted)).collect())
}

/// Every unit and every reservation is at each process where the reckoning has it; nothing was sold twice.
pub(super) fn check(world: &mut World) -> Result<(), String> {
    let shelves = reckon(world)?;
    let listing = ListingId::new("l").map_err(|error| error.detail)?;
    for (supplier, shelf) in &shelves {
        if shelf.free() < 0 && shelf.orders.values().all(|said| said.reservation.is_some()) {
            return Err(format!("{supplier} has sold {} units that it does not have", -shelf.free()));
        }
        for (index, node) in world.nodes.iter().flatten().enumerate() {
            for name in (0..NAMES).filter_map(|number| name_of(supplier, number).ok()) {
                let state = node.app.reservation(&name).map(|(_, row)| row.state);
                let reckoned = shelf.holds.get(&name).map(|held| held.state);
                if state != reckoned {
                    return Err(format!("process {index} has {name} as {state:?}, reckoned is {reckoned:?}"));
                }
            }
            let seen = node.app.own_listing(supplier, &listing).map(|offer| (offer.on_hand, offer.available));
            // Whoever shipped more than it counted has none, and owes the rest to its next delivery.
            let expected = (shelf.on_hand().max(0), shelf.free().max(0));
            if seen != Some(expected) {
                return Err(format!(
                    "process {index} has {seen:?} units of {supplier} on hand and free, reckoned are {expected:?}"
                ));
            }
        }
        for held in shelf.holds.values() {
            world.tally.holds += 1;
            world.tally.lapsed += u64::from(held.state == State::Lapsed);
            world.tally.ordered += u64::from(held.order.is_some());
        }
    }
    Ok(())
}
