//! A naive reckoning of every unit: one pass over what lies in the log, with nothing of the folds but the records. It keeps
//! lists and searches them, so that it can be read at a glance; what the folds of each process say has to equal it.

use std::collections::{BTreeMap, BTreeSet};

use stockade_inventory::domain::ReservationState as State;
use stockade_model::{
    BasketId, Command, Decision, HoldBound, Level, LineAct, LineId, LineRow, ListingId, OrderEvent,
    OrderEventKind, OrderId, Payload, Position, Region, ReservationId, Row, Scope, StockMode, SupplierId,
    Timestamp, Topic,
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
    confirmed: bool,
    /// What no line of its order had taken was given back, or has lapsed.
    over: bool,
    /// The basket that it is a line of.
    basket: Option<InBasket>,
}

/// What becomes of who asks for units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Held,
    NotThere,
    /// Of one key, without confirming.
    TooMany,
}

/// A line of a basket.
#[derive(Clone, Debug)]
struct InBasket {
    basket: BasketId,
    line: u16,
    lines: u16,
    whole: bool,
    /// The attempt that it belongs to.
    epoch: u64,
    /// Whether it is tentative no more.
    kept: bool,
}

fn is_over(held: &Held) -> bool {
    matches!(held.state, State::Released | State::Lapsed)
}

/// What was said of one line of an order.
#[derive(Debug, Default)]
struct Line {
    placed: Option<i64>,
    shipped: i64,
    cancelled: i64,
    /// Whether it was named when the order had the reservation, and so takes its units from there.
    of_it: bool,
}

impl Line {
    /// Units that left the shelf, and that were called off, once it was placed.
    fn fate(&self, placed: i64) -> (i64, i64) {
        let gone = self.shipped.min(placed);
        (gone, self.cancelled.min(placed - gone))
    }
}

/// What was said of an order, all of whose events name one reservation or none.
#[derive(Debug, Default)]
struct Said {
    reservation: Option<ReservationId>,
    /// Units that were reserved.
    reserved: i64,
    lines: BTreeMap<LineId, Line>,
}

/// Where the units of an order are.
#[derive(Debug, Default)]
struct Count {
    /// Owed, of lines that were placed.
    owed: i64,
    /// Left the shelf; shipped before anything was placed, they have left all the same.
    gone: i64,
    called_off: i64,
    /// Reserved, and not taken by any line.
    rest: i64,
}

impl Said {
    /// Lines that were placed: all, or those that are the reservation's.
    fn placed(&self, of_it: bool) -> impl Iterator<Item = (&Line, i64)> {
        let placed = move |line: &Line| line.placed.filter(|_| line.of_it || !of_it);
        self.lines.values().filter_map(move |line| Some((line, placed(line)?)))
    }
    fn count(&self, of_it: bool) -> Count {
        let mut count = Count::default();
        for (line, placed) in self.placed(of_it) {
            let (gone, called_off) = line.fate(placed);
            count.gone += gone;
            count.called_off += called_off;
            count.owed += placed - gone - called_off;
        }
        // What was said of lines that were not placed yet is said of what is reserved and no line has.
        let free = (self.reserved - self.placed(true).map(|(_, placed)| placed).sum::<i64>()).max(0);
        let waiting = || self.lines.values().filter(|line| line.placed.is_none());
        let shipped: i64 = waiting().map(|line| line.shipped).sum();
        let cancelled: i64 = waiting().map(|line| line.cancelled).sum();
        let gone = if free > 0 { shipped.min(free) } else { shipped };
        let called_off = cancelled.min((free - gone).max(0));
        count.gone += gone;
        count.called_off += called_off;
        count.rest = (free - gone - called_off).max(0);
        count
    }
    /// Whether more was placed, or shipped, than was reserved for it.
    fn is_beyond(&self) -> bool {
        let Count { owed, gone, .. } = self.count(false);
        owed + gone > self.reserved
    }
    fn has_begun(&self) -> bool {
        self.placed(true).next().is_some()
    }
    fn nothing_left(&self, over: bool) -> bool {
        let Count { owed, gone, called_off, rest } = self.count(true);
        owed == 0 && gone == 0 && (over || rest == 0) && called_off > 0
    }
}

/// One supplier, who has one listing.
#[derive(Default)]
struct Shelf {
    /// Regions that the listing serves.
    regions: Vec<Region>,
    counted: i64,
    holds: BTreeMap<ReservationId, Held>,
    /// Lines that are tried once and were refused.
    passed: BTreeSet<ReservationId>,
    orders: BTreeMap<OrderId, Said>,
    in_force: Vec<(Scope, Level)>,
    /// Units handed over in time, in the fortnight that a play never outlives.
    handed: i64,
}

/// Units that a capped supplier may owe before it has handed over anything.
const GRANT: i64 = 5;

impl Shelf {
    fn on_hand(&self) -> i64 {
        self.counted - self.orders.values().map(|said| said.count(false).gone).sum::<i64>()
    }
    /// Units of an order that nobody else can have.
    fn kept_for(&self, said: &Said) -> i64 {
        let Count { owed, rest, .. } = said.count(false);
        let over = said.reservation.as_ref().and_then(|name| self.holds.get(name)).is_some_and(|h| h.over);
        if over { owed } else { owed + rest }
    }
    fn free(&self) -> i64 {
        let open = |held: &&Held| matches!(held.state, State::Held | State::Confirmed);
        let held: i64 = self.holds.values().filter(open).map(|held| held.units).sum();
        self.on_hand() - held - self.orders.values().map(|said| self.kept_for(said)).sum::<i64>()
    }
    /// Whether `units` more may be held of it: while it is capped it owes no more than it has proven.
    fn may_owe(&self, units: i64, region: Option<Region>) -> bool {
        let owed = self.on_hand() - self.free();
        // Who names no region has it from the one that is restricted least.
        let capped = match region {
            Some(_) => self.restricted(Level::Cap, region),
            None => self.regions.iter().all(|region| self.restricted(Level::Cap, Some(*region))),
        };
        !capped || units <= GRANT + self.handed - owed
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

    /// Units that a key holds without having confirmed them.
    fn held_by(&self, owner: &str) -> i64 {
        let own = self.holds.values().filter(|held| held.owner.as_deref() == Some(owner) && !held.confirmed);
        own.map(|held| match held.state {
            State::Held => held.units,
            State::Ordered if !held.over => held
                .order
                .as_ref()
                .and_then(|order| self.orders.get(order))
                .map_or(0, |said| said.count(true).rest),
            _ => 0,
        })
        .sum()
    }

    /// Whether a key may hold so many units more; a record without a bound has none.
    fn within(&self, bound: Option<HoldBound>, owner: Option<&String>, units: i64) -> bool {
        bound
            .zip(owner)
            .is_none_or(|(bound, owner)| self.held_by(owner) + units <= bound.most(self.on_hand()))
    }

    /// Holds units, if they can be had and the name is free; whether they are held now.
    fn hold(
        &mut self,
        name: &ReservationId,
        (units, expires_at, region): (i64, Timestamp, Option<Region>),
        (owner, bound): (Option<String>, Option<HoldBound>),
        basket: Option<InBasket>,
    ) -> Asked {
        if self.holds.get(name).is_some_and(|held| !is_over(held)) {
            return Asked::Held;
        }
        let seen = !self.restricted(Level::Quarantine, region) && self.may_owe(units, region);
        if !seen || self.free() < units {
            return Asked::NotThere;
        }
        if !self.within(bound, owner.as_ref(), units) {
            return Asked::TooMany;
        }
        let (state, order, confirmed, over) = (State::Held, None, false, false);
        let held = Held { units, owner, state, expires_at, order, confirmed, over, basket };
        self.holds.insert(name.clone(), held);
        Asked::Held
    }

    /// What is done to a line of a basket. No two requests and no two buyers share the names of lines here.
    fn line(&mut self, LineRow { reservation, owner, epoch, act }: &LineRow, offset: u64) {
        let name = reservation;
        let is_once = matches!(act, LineAct::Hold { once: true, .. } | LineAct::Pass);
        if is_once && (self.passed.contains(name) || self.holds.get(name).is_some_and(is_over)) {
            return;
        }
        match act {
            LineAct::Hold { quantity, expires_at, region, basket, line, lines, whole, bound, .. } => {
                let (basket, line, lines, whole) = (basket.clone(), *line, *lines, *whole);
                let (epoch, kept) = (epoch.unwrap_or(offset), !whole);
                let by = InBasket { basket, line, lines, whole, epoch, kept };
                let known = self.holds.get_mut(name).filter(|held| held.state == State::Held);
                if let Some(held) = known {
                    let own = held.basket.as_ref();
                    let taken_over = own
                        .is_some_and(|own| own.whole && !(own.kept && own.line == 0) && own.epoch <= epoch);
                    if taken_over {
                        (held.basket, held.expires_at) = (Some(by), *expires_at);
                    }
                    return;
                }
                let wanted = (*quantity, *expires_at, *region);
                // Whom a bound refuses may ask for the same again.
                let asked = self.hold(name, wanted, (Some(owner.clone()), *bound), Some(by));
                if asked == Asked::NotThere && is_once {
                    self.passed.insert(name.clone());
                }
            }
            LineAct::Pass => {
                if !self.holds.contains_key(name) {
                    self.passed.insert(name.clone());
                }
            }
            LineAct::Keep { expires_at } => {
                let held = self.holds.get_mut(name).filter(|held| held.state == State::Held);
                if let Some(held) = held
                    && let Some(own) = held.basket.as_mut().filter(|own| Some(own.epoch) == *epoch)
                {
                    (own.kept, held.expires_at) = (true, *expires_at);
                }
            }
            LineAct::Confirm | LineAct::Release => {
                let own = self.holds.get(name).and_then(|held| held.basket.as_ref());
                let Some(own) = own.filter(|own| Some(own.epoch) == *epoch) else { return };
                if *act == LineAct::Release {
                    self.turn(name, &Some(owner.clone()), State::Released);
                } else if own.kept || self.holds.get(name).is_some_and(|held| held.state != State::Held) {
                    self.turn(name, &Some(owner.clone()), State::Confirmed);
                }
            }
        }
    }

    fn row(&mut self, row: &Row, offset: u64) {
        match row {
            Row::Put(put) => {
                self.regions.clone_from(&put.regions);
                self.counted = put.on_hand.unwrap_or(self.counted);
            }
            Row::Stock(change) if change.mode == StockMode::Adjust && !self.locked_out() => {
                self.counted += change.quantity;
            }
            Row::Hold { reservation, quantity, expires_at, owner, region, bound, .. } => {
                self.hold(reservation, (*quantity, *expires_at, *region), (owner.clone(), *bound), None);
            }
            Row::Line(line) => self.line(line, offset),
            Row::Confirm { reservation, owner } => self.turn(reservation, owner, State::Confirmed),
            Row::ReleaseHold { reservation, owner } => self.turn(reservation, owner, State::Released),
            _ => {}
        }
    }

    fn turn(&mut self, name: &ReservationId, owner: &Option<String>, to: State) {
        let beside = self.keeps_beside(name);
        let Some(held) = self.holds.get_mut(name).filter(|held| held.owner == *owner) else { return };
        match (held.state, to) {
            (State::Held, _) => {
                held.state = to;
                held.confirmed = to == State::Confirmed;
            }
            // What its order has not taken is confirmed, or given back.
            (State::Ordered, State::Confirmed) if !held.over => held.confirmed = true,
            (State::Ordered, State::Released) if beside => held.over = true,
            _ => {}
        }
        self.stand(name);
    }

    /// Whether a reservation keeps units beside its order.
    fn keeps_beside(&self, name: &ReservationId) -> bool {
        let held = self.holds.get(name).filter(|held| !held.over);
        let order = held.and_then(|held| self.orders.get(held.order.as_ref()?));
        order.is_some_and(|said| said.has_begun() && said.count(true).rest > 0)
    }

    /// Where a reservation is that has become an order.
    fn stand(&mut self, name: &ReservationId) {
        let Some(held) = self.holds.get_mut(name) else { return };
        if let Some(said) = held.order.as_ref().and_then(|order| self.orders.get(order)) {
            held.state = if said.nothing_left(held.over) { State::Cancelled } else { State::Ordered };
        }
    }

    fn said(&mut self, event: &OrderEvent, now: Timestamp) {
        let (Some(order), Some(line), Some(_), Some(units)) =
            (&event.order, &event.line, &event.listing, event.quantity)
        else {
            return;
        };
        let said = self.orders.entry(order.clone()).or_default();
        let name = event.reservation.as_ref().filter(|_| said.reservation.is_none());
        if let Some((name, held)) = name.and_then(|name| Some((name, self.holds.get_mut(name)?)))
            && matches!(held.state, State::Held | State::Confirmed)
        {
            (held.state, held.order) = (State::Ordered, Some(order.clone()));
            (said.reservation, said.reserved) = (Some(name.clone()), held.units);
        }
        let before = said.count(false).gone;
        let line = said.lines.entry(line.clone()).or_default();
        line.of_it |= event.reservation.is_some() && event.reservation == said.reservation;
        match event.kind {
            OrderEventKind::Placed => line.placed = line.placed.or(Some(units)),
            OrderEventKind::Shipped => line.shipped = line.shipped.max(units),
            OrderEventKind::Cancelled => line.cancelled = line.cancelled.max(units),
            _ => {}
        }
        if event.kind == OrderEventKind::Shipped && !event.late {
            self.handed += (said.count(false).gone - before).max(0);
        }
        if let Some(name) = said.reservation.clone() {
            self.stand(&name);
        }
        self.lapse(now);
    }

    fn lapse(&mut self, now: Timestamp) {
        let late: Vec<ReservationId> = self
            .holds
            .iter()
            .filter(|(_, held)| !held.confirmed && held.expires_at <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in late {
            let beside = self.keeps_beside(&name);
            match self.holds.get_mut(&name) {
                Some(held) if held.state == State::Held => held.state = State::Lapsed,
                Some(held) if beside => held.over = true,
                _ => {}
            }
            self.stand(&name);
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
                        rows.iter().for_each(|row| shelf.row(row, record.offset));
                    }
                }
                Payload::Outcome(outcome) => {
                    shelves.entry(outcome.event.supplier.clone()).or_default().said(&outcome.event, now);
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
    check_baskets(world, &shelves)?;
    let listing = ListingId::new("l").map_err(|error| error.detail)?;
    for (supplier, shelf) in &shelves {
        // An order may be of more than was reserved, and then it is who placed it that sold what is not there.
        if shelf.free() < 0 && !shelf.orders.values().any(Said::is_beyond) {
            let orders: Vec<_> = shelf.orders.values().collect();
            return Err(format!(
                "{supplier} has sold {} units that it does not have: {orders:?}",
                -shelf.free()
            ));
        }
        for (index, node) in world.nodes.iter().flatten().enumerate() {
            let names = (0..NAMES).filter_map(|number| name_of(supplier, number).ok());
            for name in names.chain(shelf.holds.keys().cloned()) {
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
            let order = held.order.as_ref().and_then(|order| shelf.orders.get(order));
            world.tally.by_lines += u64::from(order.is_some_and(|said| said.lines.len() > 1));
        }
    }
    Ok(())
}

/// No line of a basket is held twice, wherever it was chosen and tried; a whole basket is whole or gone; what was answered as confirmed is.
fn check_baskets(world: &mut World, shelves: &BTreeMap<SupplierId, Shelf>) -> Result<(), String> {
    let mut baskets: BTreeMap<&BasketId, BTreeMap<u16, (&ReservationId, &InBasket, State)>> = BTreeMap::new();
    for (name, held) in shelves.values().flat_map(|shelf| &shelf.holds) {
        let Some(own) = &held.basket else { continue };
        let lines = baskets.entry(&own.basket).or_default();
        if let Some((other, ..)) = lines.insert(own.line, (name, own, held.state)) {
            return Err(format!("line {} of {} was held as {other} and as {name}", own.line, own.basket));
        }
    }
    for (basket, lines) in baskets {
        let whole =
            lines.values().next().filter(|(_, own, _)| own.whole).map(|(_, own, _)| usize::from(own.lines));
        let Some(all) = whole else { continue };
        let count = |state: State| lines.values().filter(|(.., is)| *is == state).count();
        let is_promised = lines.get(&0).is_some_and(|(_, own, state)| own.kept && *state == State::Held);
        let (held, confirmed) = (count(State::Held), count(State::Confirmed));
        let sound = [0, all].contains(&confirmed) && (!is_promised || held == all);
        if !sound {
            return Err(format!("{basket} is left in part: {lines:?}"));
        }
    }
    for name in &world.promises.taken {
        let state = shelves.values().find_map(|shelf| shelf.holds.get(name)).map(|held| held.state);
        if state != Some(State::Confirmed) {
            return Err(format!("{name} was answered as confirmed and is {state:?}"));
        }
    }
    for partition in 0..PARTITIONS {
        for record in read(&world.ground.memory, Topic::SupplierEvents.name(), partition)? {
            let envelope = envelope(&record.headers)?;
            if let Ok(Payload::Choice(choice)) = Payload::decode(&envelope.kind, &record.value) {
                world.tally.chosen += choice.lines.len() as u64;
                world.tally.chosen_again += choice.lines.iter().filter(|line| line.turn > 0).count() as u64;
            }
        }
    }
    Ok(())
}
