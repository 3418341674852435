//! Lines that name a good: whoever tries to make such a basket, and however often, no line of it is held twice.

use super::*;

/// A basket line by line, each of a good that every supplier lists under its name, in so many units.
pub(super) struct Goods {
    pub(super) of: usize,
    pub(super) lines: Vec<(&'static str, i64)>,
    /// Whether replicas see anything of what is offered, and now and then that a supplier is withheld.
    pub(super) blurred: bool,
}

impl Goods {
    /// As it is asked for before anything is chosen.
    pub(super) fn asked(&self) -> BasketAsked {
        let bare = asked(self.of, false, &[]);
        BasketAsked { lines: vec![None; self.lines.len()], ..bare }
    }

    fn at_times(&self, random: &mut fastrand::Rng) -> bool {
        self.blurred && random.u8(0..8) == 0
    }

    fn line(&self, choice: &LineChoice, pass: bool) -> LineAsked {
        let (at, LineChoice { turn, supplier, .. }) = (usize::from(choice.line), choice);
        let name = format!("{supplier}::{}-{at}-{turn}", self.of);
        LineAsked {
            supplier: supplier.clone(),
            reservation: ReservationId::new(&name).unwrap(),
            listing: choice.listing.clone(),
            quantity: self.lines[at].1,
            region: None,
            once: true,
            pass,
        }
    }

    /// What a replica would choose: it may see anything, so any supplier that was not tried.
    fn candidates(
        &self,
        turn: u8,
        open: &[usize],
        recorded: &[LineChoice],
        random: &mut fastrand::Rng,
    ) -> Vec<LineChoice> {
        let mut choice = |line: usize| {
            let suppliers = [0, 1, 2].map(supplier);
            let was_tried = |id: &SupplierId| {
                recorded.iter().any(|it| usize::from(it.line) == line && it.turn < turn && it.supplier == *id)
            };
            let left: Vec<&SupplierId> = suppliers.iter().filter(|id| !was_tried(id)).collect();
            let at = if self.blurred { random.usize(0..left.len()) } else { 0 };
            let supplier = (!self.at_times(random)).then(|| left[at].clone())?;
            let listing = ListingId::new(self.lines[line].0).unwrap();
            Some(LineChoice { line: line as u16, turn, supplier, listing })
        };
        open.iter().filter_map(|line| choice(*line)).collect()
    }

    /// Begins to make it, by what a replica knows.
    pub(super) fn begin(&self, world: &mut World, random: &mut fastrand::Rng) -> Turns {
        let known = world.view.basket(&basket(self.of));
        let stands = known.iter().any(|line| !line.row.is_free());
        let mut asked = self.asked();
        for line in &known {
            asked.lines[usize::from(line.place.line)] = Some(LineAsked {
                supplier: line.supplier.clone(),
                reservation: line.reservation.clone(),
                listing: line.row.listing.clone(),
                quantity: line.row.quantity,
                region: None,
                once: true,
                pass: false,
            });
        }
        let open: Vec<usize> = (0..self.lines.len()).filter(|at| asked.lines[*at].is_none()).collect();
        let candidates = self.candidates(0, &open, &[], random);
        let recorded = world.choose(self.of, candidates);
        for choice in recorded.iter().filter(|it| it.turn == 0 && open.contains(&usize::from(it.line))) {
            asked.lines[usize::from(choice.line)] = Some(self.line(choice, self.at_times(random)));
        }
        let over = |at: usize| {
            known.iter().any(|line| usize::from(line.place.line) == at && line.row.is_free()) && stands
        };
        let only = (0..self.lines.len()).filter(|at| asked.lines[*at].is_some() && !over(*at)).collect();
        Turns::new(asked, recorded, only, Answers::new())
    }

    /// Chooses another offer for open lines, if there are any; whether it goes on.
    pub(super) fn go_on(&self, turns: &mut Turns, world: &mut World, random: &mut fastrand::Rng) -> bool {
        let Some((turn, open)) = turns.open() else { return false };
        let known = world.choose(self.of, Vec::new());
        let is_new = |line: &usize| !known.iter().any(|it| usize::from(it.line) == *line && it.turn == turn);
        let unknown: Vec<usize> = open.iter().copied().filter(is_new).collect();
        let candidates = self.candidates(turn, &unknown, &known, random);
        let recorded = world.choose(self.of, candidates);
        let of_turn = recorded.iter().filter(|it| it.turn == turn && open.contains(&usize::from(it.line)));
        let chosen = of_turn.map(|it| (usize::from(it.line), self.line(it, self.at_times(random)))).collect();
        turns.go_on(recorded, chosen);
        true
    }

    /// Goes through an attempt to its end.
    fn make(&self, world: &mut World, random: &mut fastrand::Rng) -> Turns {
        let mut turns = self.begin(world, random);
        loop {
            turns = world.run(turns);
            if !self.go_on(&mut turns, world, random) {
                return turns;
            }
        }
    }

    /// Whatever happened, each line was held under one name at most.
    pub(super) fn is_held_once(&self, world: &World) {
        for at in 0..self.lines.len() {
            let of_line = format!("::{}-{at}-", self.of);
            let names: Vec<&ReservationId> =
                world.names.iter().filter(|name| name.as_str().contains(&of_line)).collect();
            assert!(names.len() <= 1, "line {at} of basket {} was held twice: {names:?}", self.of);
        }
    }
}

fn choice(line: u16, turn: u8, at: usize) -> LineChoice {
    LineChoice { line, turn, supplier: supplier(at), listing: ListingId::new("a").unwrap() }
}

#[test]
fn the_first_choice_that_is_written_stands_for_a_line_and_a_turn_until_it_is_forgotten() {
    let mut world = World::new();
    assert_eq!(world.choose(0, vec![choice(0, 0, 1), choice(2, 0, 1)]), [choice(0, 0, 1), choice(2, 0, 1)]);
    let all = world.choose(0, vec![choice(0, 0, 2), choice(1, 0, 2), choice(0, 1, 2)]);
    assert_eq!(all, [choice(0, 0, 1), choice(2, 0, 1), choice(1, 0, 2), choice(0, 1, 2)]);
    assert_eq!(world.choose(1, Vec::new()), [], "another basket has its own");
    world.now_ms += 2 * DAY_MS;
    assert_eq!(world.choose(0, vec![choice(0, 0, 2)]), [choice(0, 0, 2)]);
}

#[test]
fn what_is_refused_once_is_refused_for_good_and_the_next_offer_is_held_whoever_asks() {
    let (mut world, mut random) = (World::new(), fastrand::Rng::with_seed(1));
    let goods = Goods { of: 0, lines: vec![("a", 4)], blurred: false };
    // Somebody has all of the first, and gives it back after it was refused.
    let (name, owner) = (ReservationId::new("s1::x").unwrap(), Some("ben".to_owned()));
    let hold = Row::Hold {
        reservation: name.clone(),
        listing: ListingId::new("a").unwrap(),
        quantity: STOCK,
        expires_at: Timestamp::from_ms(world.now_ms + 60_000),
        region: None,
        owner: owner.clone(),
        request: None,
        bound: None,
    };
    assert!(world.say(1, hold).applied());
    world.choose(0, vec![choice(0, 0, 1), choice(0, 1, 2)]);
    let mut first = goods.begin(&mut world, &mut random);
    first = world.run(first);
    assert_eq!(first.open(), Some((1, vec![0])), "another one is to be chosen");
    assert!(world.say(1, Row::ReleaseHold { reservation: name, owner }).applied());
    // One that comes now finds the first offer refused as well, though its units are there again.
    for again in [false, true] {
        let made = goods.make(&mut world, &mut random);
        assert_eq!(made.end(), Made::Held { again });
    }
    assert!(goods.go_on(&mut first, &mut world, &mut random));
    assert_eq!(world.run(first).end(), Made::Held { again: true }, "the one that was first as well");
    let held: Vec<_> = world.truth.basket(&basket(0)).into_iter().map(|line| line.supplier).collect();
    assert_eq!(held, [supplier(2)]);
    goods.is_held_once(&world);
    // Given back, it is not held anew under the same key.
    let (name, owner) = (ReservationId::new("s2::0-0-1").unwrap(), Some(OWNER.to_owned()));
    assert!(world.say(2, Row::ReleaseHold { reservation: name, owner }).applied());
    let made = goods.make(&mut world, &mut random);
    assert_eq!(made.end(), Made::Refused);
    assert_eq!(made.parts().1[&0].code(), Some("reservation_released"));
    assert_eq!(world.kept().values().sum::<i64>(), 0);
}

#[test]
fn after_so_many_refusals_a_line_is_given_up() {
    let mut world = World::new();
    let goods = Goods { of: 0, lines: vec![("a", STOCK + 1), ("a", 1)], blurred: false };
    world.choose(0, (0..3).map(|turn| choice(0, turn, usize::from(turn))).chain([choice(1, 0, 0)]).collect());
    let mut turns = goods.begin(&mut world, &mut fastrand::Rng::with_seed(5));
    let mut seen = 0;
    loop {
        turns = world.run(turns);
        if !goods.go_on(&mut turns, &mut world, &mut fastrand::Rng::with_seed(7)) {
            break;
        }
        seen += 1;
    }
    assert_eq!(
        (seen, turns.end()),
        (2, Made::Held { again: false }),
        "three offers, and the other line is held"
    );
    assert_eq!(turns.parts().1[&0].code(), Some("not_available"));
}
