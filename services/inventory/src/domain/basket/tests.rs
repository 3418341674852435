//! Courses over real folds, row by row, in any order, with processes that end and replicas that lag.

use std::collections::{BTreeSet, VecDeque};

use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{
    BasketChoice, Change, Command, ControlRecord, Currency, Envelope, LineChoice, ListingPut, LocationId,
    LocationPut, Money, Payload, RowStatus, Sku, SupplierProfile, Tick, Topic,
};

use super::*;
use crate::{
    domain::{Effect, Inventory, Turns, key::Of},
    reservations::Reservations,
};

mod goods;
mod play;

const STOCK: i64 = 6;
const HOLD_MS: i64 = 90_000;
const OWNER: &str = "ann";
const BASKETS: usize = 4;

fn supplier(at: usize) -> SupplierId {
    SupplierId::new(&format!("s{at}")).unwrap()
}

/// One supplier's partition.
struct Partition {
    supplier: SupplierId,
    host: Host<Inventory>,
    offset: u64,
    /// What a replica has not heard yet.
    unheard: VecDeque<Effect>,
}

/// Three partitions, all that is true of them, and what a replica knows.
struct World {
    partitions: Vec<Partition>,
    truth: Reservations,
    names: BTreeSet<ReservationId>,
    view: Reservations,
    now_ms: i64,
}

impl World {
    fn new() -> Self {
        let partition = |at| Partition {
            supplier: supplier(at),
            host: Host::new("inventory", Topic::SupplierEvents, 0, 1, 1, Inventory::default()),
            offset: 0,
            unheard: VecDeque::new(),
        };
        let mut world = Self {
            partitions: (0..3).map(partition).collect(),
            truth: Reservations::default(),
            names: BTreeSet::new(),
            view: Reservations::default(),
            now_ms: 1_000,
        };
        for at in 0..world.partitions.len() {
            let profile = SupplierProfile {
                supplier: supplier(at),
                name: String::new(),
                region: Region::new("DE").unwrap(),
                since: Timestamp::default(),
                class: "standard".to_owned(),
                stock_counts: Default::default(),
            };
            let change = Change::Supplier { profile };
            world.apply(at, &Payload::Control(ControlRecord { actor: String::new(), change }));
            let location = LocationId::new("main").unwrap();
            let place = LocationPut {
                location: location.clone(),
                gln: None,
                latitude: 0.0,
                longitude: 0.0,
                region: Region::new("DE").unwrap(),
                handling_days: 1,
            };
            world.say(at, Row::Location(place));
            for name in ["a", "b"] {
                let put = ListingPut {
                    listing: ListingId::new(name).unwrap(),
                    sku: Sku::new(name).unwrap(),
                    gtin: None,
                    location: location.clone(),
                    price: Money::new(1, Currency::new("EUR").unwrap()).unwrap(),
                    regions: Vec::new(),
                    on_hand: Some(STOCK),
                    source_seq: None,
                    market: None,
                };
                assert!(world.say(at, Row::Put(put)).applied());
            }
        }
        world
    }

    fn apply(&mut self, at: usize, payload: &Payload) -> Vec<Effect> {
        let partition = &mut self.partitions[at];
        let headers = Envelope::new(payload.kind(), format!("r-{}", partition.offset), "test").headers();
        let record = Record {
            offset: partition.offset,
            time_ms: self.now_ms,
            key: Default::default(),
            headers: headers.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            value: payload.encode().into(),
        };
        partition.offset += 1;
        let mut effects = Vec::new();
        let _ = partition.host.apply(&record, &mut effects).len();
        for effect in &effects {
            partition.unheard.push_back(effect.clone());
            if let Effect::Reserved { key, .. } = effect {
                self.names.insert(key.id.clone());
            }
            hear(&self.truth, effect, self.now_ms);
        }
        effects
    }

    fn say(&mut self, at: usize, row: Row) -> Said {
        let command = Command {
            supplier: self.partitions[at].supplier.clone(),
            idempotency_key: None,
            body_hash: String::new(),
            rows: vec![row],
            precondition: None,
            places: Vec::new(),
            refused: Vec::new(),
            forgets: None,
        };
        let decided =
            self.apply(at, &Payload::Command(command)).into_iter().find_map(|effect| match effect {
                Effect::Decided { rows, .. } => rows,
                _ => None,
            });
        let outcome = decided.unwrap().rows().remove(0);
        match outcome.status {
            RowStatus::Applied => Said::Applied(self.partitions[at].offset - 1),
            RowStatus::Replayed | RowStatus::Superseded => Said::Replayed,
            _ => Said::Refused(outcome.code.unwrap(), outcome.detail.unwrap()),
        }
    }

    /// Has a choice for lines of a basket written, and answers what stands.
    fn choose(&mut self, of: usize, lines: Vec<LineChoice>) -> Vec<LineChoice> {
        let choice = BasketChoice { basket: basket(of), lines };
        let chosen = self.apply(0, &Payload::Choice(choice)).into_iter().find_map(|effect| match effect {
            Effect::Chosen { lines, .. } => Some(lines),
            _ => None,
        });
        chosen.unwrap()
    }

    fn send(&mut self, sent: &Sent) -> Said {
        let at = self.partitions.iter().position(|partition| partition.supplier == sent.supplier).unwrap();
        self.say(at, sent.row.clone())
    }

    fn tick(&mut self, at: usize) {
        self.apply(at, &Payload::Tick(Tick { due: Timestamp::from_ms(self.now_ms) }));
    }

    /// The replica hears up to `most` effects of a partition.
    fn hear(&mut self, at: usize, most: usize) {
        for _ in 0..most {
            let Some(effect) = self.partitions[at].unheard.pop_front() else { return };
            hear(&self.view, &effect, self.now_ms);
        }
    }

    fn hear_all(&mut self) {
        (0..self.partitions.len()).for_each(|at| self.hear(at, usize::MAX));
    }

    /// Goes through a course to its end, undisturbed.
    fn run<C: Course>(&mut self, mut course: C) -> C {
        let mut said = Answers::new();
        loop {
            let rows = course.next(Timestamp::from_ms(self.now_ms), &said);
            if rows.is_empty() {
                return course;
            }
            said = rows.iter().map(|row| (row.line, self.send(row))).collect();
        }
    }

    /// Brings all lines after their heads, as whoever looks after them does once he has heard all.
    fn finish(&mut self) {
        for _ in 0..20 {
            self.hear_all();
            let left =
                (0..BASKETS).filter_map(|at| Finish::of(self.view.basket(&basket(at)))).collect::<Vec<_>>();
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(|finish| drop(self.run(finish)));
        }
        panic!("lines do not come after their heads");
    }

    /// Units of each listing that reservations keep, counted one by one.
    fn kept(&self) -> BTreeMap<(SupplierId, ListingId), i64> {
        let mut kept = BTreeMap::new();
        for (supplier, row) in self.names.iter().filter_map(|name| self.truth.get(name)) {
            *kept.entry((supplier, row.listing.clone())).or_default() += row.kept();
        }
        kept
    }

    fn never_oversold(&self) {
        for (listing, kept) in self.kept() {
            assert!(kept <= STOCK, "{kept} of {STOCK} units of {listing:?} are kept");
        }
    }
}

fn hear(view: &Reservations, effect: &Effect, now_ms: i64) {
    match effect {
        Effect::Reserved { key, reservation } => view.put(key.clone(), (**reservation).clone(), now_ms),
        Effect::ReservationForgotten(key) => view.remove(key),
        _ => {}
    }
}

fn basket(at: usize) -> BasketId {
    BasketId::new(&format!("basket-{at}")).unwrap()
}

fn line(of: usize, at: usize, (supplier_at, listing, quantity): (usize, &str, i64)) -> LineAsked {
    let supplier = supplier(supplier_at);
    LineAsked {
        reservation: ReservationId::new(&format!("{supplier}::{of}-{at}")).unwrap(),
        supplier,
        listing: ListingId::new(listing).unwrap(),
        quantity,
        region: None,
        once: false,
        pass: false,
    }
}

fn asked(at: usize, whole: bool, lines: &[(usize, &str, i64)]) -> BasketAsked {
    BasketAsked {
        basket: basket(at),
        owner: OWNER.to_owned(),
        request: format!("request-{at}"),
        whole,
        hold_ms: HOLD_MS,
        bound: None,
        lines: lines.iter().enumerate().map(|(place, of)| Some(line(at, place, *of))).collect(),
    }
}

fn reservation(asked: &BasketAsked, line: usize) -> ReservationId {
    asked.lines[line].as_ref().unwrap().reservation.clone()
}

fn making(asked: &BasketAsked) -> Making {
    Making::new(asked.clone(), None)
}

fn turning(world: &World, at: usize, wish: Wish) -> Turning {
    Turning::new(world.truth.basket(&basket(at)), OWNER.to_owned(), wish)
}

fn states(world: &World, at: usize) -> Vec<ReservationState> {
    world.truth.basket(&basket(at)).iter().map(|line| line.row.state).collect()
}

use ReservationState::{Confirmed, Held, Lapsed, Released};

#[test]
fn a_basket_that_is_had_as_a_whole_is_held_confirmed_and_answered_again_the_same() {
    let mut world = World::new();
    let asked = asked(0, true, &[(0, "a", 2), (1, "a", 3), (0, "a", 5)]);
    assert_eq!(world.run(making(&asked)).end(), Made::Refused, "the same listing twice adds up");
    assert!(world.kept().values().all(|kept| *kept == 0), "nothing stays held");
    let asked = self::asked(1, true, &[(0, "a", 2), (1, "a", 3), (0, "a", 4)]);
    assert_eq!(world.run(making(&asked)).end(), Made::Held { again: false });
    assert_eq!(world.run(making(&asked)).end(), Made::Held { again: true });
    assert_eq!(state(&world.truth.basket(&basket(1))), BasketState::Held);
    for again in [false, true] {
        assert_eq!(*world.run(turning(&world, 1, Wish::Confirm)).end(), Ended::Done { again });
        assert_eq!(state(&world.truth.basket(&basket(1))), BasketState::Confirmed);
    }
    let released = world.run(turning(&world, 1, Wish::Release));
    assert_eq!(*released.end(), Ended::Refused("already_confirmed".to_owned()));
    assert_eq!(states(&world, 1), [Confirmed; 3]);
}

#[test]
fn of_a_basket_that_is_had_one_by_one_each_line_stands_by_itself() {
    let mut world = World::new();
    let asked = asked(0, false, &[(0, "a", 5), (1, "b", 7), (2, "a", 1)]);
    let made = world.run(making(&asked));
    assert_eq!(made.end(), Made::Held { again: false });
    assert_eq!(made.holds[&1].code(), Some("not_available"));
    let single = Row::ReleaseHold { reservation: reservation(&asked, 0), owner: Some(OWNER.into()) };
    assert!(world.say(0, single).applied(), "a line may be given back by its own name");
    assert_eq!(states(&world, 0), [Released, Held]);
    let confirmed = world.run(turning(&world, 0, Wish::Confirm));
    assert_eq!(*confirmed.end(), Ended::Done { again: false });
    assert_eq!(confirmed.said[&0].code(), Some("reservation_released"));
    assert_eq!(states(&world, 0), [Released, Confirmed]);
}

#[test]
fn a_basket_that_is_had_one_by_one_and_of_which_nothing_is_to_be_had_is_refused() {
    let mut world = World::new();
    let asked = asked(0, false, &[(0, "a", 7), (1, "b", 7)]);
    for only in [None, Some(vec![1])] {
        assert_eq!(world.run(Making::new(asked.clone(), only)).end(), Made::Refused);
    }
}

#[test]
fn a_line_of_a_whole_basket_is_not_confirmed_or_given_back_by_itself() {
    let mut world = World::new();
    let asked = asked(0, true, &[(0, "a", 1), (1, "a", 1)]);
    assert_eq!(world.run(making(&asked)).end(), Made::Held { again: false });
    let (reservation, owner) = (reservation(&asked, 1), Some(OWNER.to_owned()));
    let confirm = Row::Confirm { reservation: reservation.clone(), owner: owner.clone() };
    assert_eq!(world.say(1, confirm).code(), Some("part_of_basket"));
    assert_eq!(world.say(1, Row::ReleaseHold { reservation, owner }).code(), Some("part_of_basket"));
    assert_eq!(states(&world, 0), [Held; 2]);
}

#[test]
fn nobody_else_acts_on_a_line_and_another_request_under_its_name_is_told_so() {
    let mut world = World::new();
    let asked = asked(0, true, &[(0, "a", 1), (1, "a", 1)]);
    world.run(making(&asked));
    let stranger = Turning::new(world.truth.basket(&basket(0)), "ben".to_owned(), Wish::Release);
    assert_eq!(*world.run(stranger).end(), Ended::Refused("no_reservation".to_owned()));
    let other = BasketAsked { request: "another".to_owned(), ..asked };
    assert_eq!(world.run(making(&other)).end(), Made::Reused);
    assert_eq!(states(&world, 0), [Held; 2]);
}

/// Lets a course send `rows` rows and end there with its process.
fn abandon(world: &mut World, mut course: impl Course, rows: usize) {
    let (mut said, mut sent) = (Answers::new(), 0);
    while sent < rows {
        let next = course.next(Timestamp::from_ms(world.now_ms), &said);
        if next.is_empty() {
            return;
        }
        said.clear();
        for row in next.into_iter().take(rows - sent) {
            said.insert(row.line, world.send(&row));
            sent += 1;
        }
    }
}

#[test]
fn whoever_ends_anywhere_while_a_basket_is_made_leaves_it_whole_or_gone_and_a_retry_finishes_it() {
    let asked = asked(0, true, &[(0, "a", 1), (1, "a", 2), (2, "b", 3)]);
    // The head is held, then two, two are kept, the head is kept.
    for rows in 1..=6 {
        let mut world = World::new();
        abandon(&mut world, making(&asked), rows);
        // Another replica is asked with the same key.
        let retried = world.run(making(&asked)).end();
        assert_eq!(retried, Made::Held { again: rows == 6 }, "after {rows} rows");
        assert_eq!(states(&world, 0), [Held; 3]);

        let mut world = World::new();
        abandon(&mut world, making(&asked), rows);
        world.now_ms += TENTATIVE_MS;
        (0..3).for_each(|at| world.tick(at));
        world.finish();
        let held = world.kept().values().sum::<i64>();
        assert_eq!(
            held,
            if rows == 6 { 6 } else { 0 },
            "after {rows} rows: held for good only when promised"
        );
    }
}

#[test]
fn whoever_ends_anywhere_while_a_basket_is_confirmed_leaves_it_confirmed_or_as_it_was() {
    let asked = asked(0, true, &[(0, "a", 1), (1, "a", 2), (2, "b", 3)]);
    // Two are kept, the head is confirmed, then the rest.
    for rows in 1..=5 {
        for later in [0, HOLD_MS + 2_000] {
            let mut world = World::new();
            world.run(making(&asked));
            let confirm = turning(&world, 0, Wish::Confirm);
            abandon(&mut world, confirm, rows);
            world.now_ms += later;
            (0..3).for_each(|at| world.tick(at));
            world.finish();
            let expected = match (rows >= 3, later) {
                (true, _) => vec![Confirmed; 3],
                (false, 0) => vec![Held; 3],
                // Its head has lapsed, and what was kept for a day is given back.
                (false, _) => states(&world, 0),
            };
            assert_eq!(states(&world, 0), expected, "after {rows} rows, {later} ms later");
            let kept = world.kept().values().sum::<i64>();
            assert_eq!(kept, if rows >= 3 || later == 0 { 6 } else { 0 });
        }
    }
}

#[test]
fn confirming_what_has_lapsed_in_part_confirms_nothing_and_keeps_nothing() {
    for lapsed in 0..3 {
        let mut world = World::new();
        let asked = asked(0, true, &[(0, "a", 1), (1, "a", 2), (2, "b", 3)]);
        world.run(making(&asked));
        let known = world.truth.basket(&basket(0));
        world.now_ms += HOLD_MS + 2_000;
        // Time has come to one partition and not to the others: these say what they knew when they were asked.
        world.tick(lapsed);
        world.now_ms -= HOLD_MS + 2_000;
        let confirmed = world.run(Turning::new(known, OWNER.to_owned(), Wish::Confirm));
        assert_eq!(*confirmed.end(), Ended::Refused("reservation_lapsed".to_owned()));
        assert!(states(&world, 0).iter().all(|state| matches!(state, Lapsed | Released)));
        assert_eq!(world.kept().values().sum::<i64>(), 0);
    }
}

#[test]
fn an_attempt_that_gives_up_takes_nothing_from_the_one_that_took_over() {
    let asked = asked(0, true, &[(0, "a", 1), (1, "a", 2), (2, "b", 3)]);
    let mut world = World::new();
    let now = Timestamp::from_ms(world.now_ms);
    let mut first = making(&asked);
    let mut said = Answers::new();
    for _ in 0..2 {
        let rows = first.next(now, &said);
        said = rows.iter().map(|row| (row.line, world.send(row))).collect();
    }
    assert_eq!(world.run(making(&asked)).end(), Made::Held { again: false });
    // The first one goes on, and comes too late.
    let keep = first.next(now, &said);
    said = keep.iter().map(|row| (row.line, world.send(row))).collect();
    assert!(said.len() == 2 && said.values().all(Said::is_taken_over));
    let undo = first.next(now, &said);
    assert_eq!(undo.len(), 3);
    undo.iter().for_each(|row| assert!(world.send(row).is_taken_over()));
    assert_eq!(states(&world, 0), [Held; 3], "what the second was promised stands");
}
