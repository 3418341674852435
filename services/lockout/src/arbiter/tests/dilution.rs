//! Guards that are played against those whom they guard: accounts made to spend a budget or to make a share look small, and events
//! made up to have everybody capped.

use super::*;

const DAY: i64 = 24 * 60 * 60_000;

fn supplier(name: &str, number: usize) -> SupplierId {
    SupplierId::new(&format!("{name}-{number:04}")).unwrap()
}

impl Court {
    fn offer(&mut self, at_ms: i64, name: &str, count: usize) {
        for number in 0..count {
            let figures = StockFigures { listings: 1, units: 1 };
            self.ask(at_ms, Proposal::Stock { supplier: supplier(name, number), figures }).unwrap();
        }
    }
    fn find_with(
        &mut self,
        at_ms: i64,
        of: &SupplierId,
        level: Level,
        change: impl FnOnce(&mut RuleProposal),
    ) -> Vec<Action> {
        let mut asked = Self::asked(of.as_str(), "r", level, Scope::Supplier, 1.0);
        asked.values = [("evidence.total".to_owned(), 9.0)].into();
        asked.duration_ms = 90 * DAY;
        change(&mut asked);
        self.hear(at_ms, &Payload::Proposal(Proposal::Rule(Box::new(asked))))
    }
    fn find(&mut self, at_ms: i64, of: &SupplierId, level: Level) -> Vec<Action> {
        self.find_with(at_ms, of, level, |_| {})
    }
    /// What is in force of a supplier, by its last decision.
    fn levels_of(&self, of: &SupplierId) -> Vec<Level> {
        let last = self.decisions.iter().rev().find(|decision| decision.supplier == *of);
        last.map_or(Vec::new(), |decision| decision.in_force.iter().map(|r| r.level).collect())
    }
    /// The last word on what holds the rule back.
    fn held_back(&self) -> Option<Exceeded> {
        let last = self.effects.iter().rev().find_map(|effect| match effect {
            ArbiterEffect::Budget { exceeded, .. } => Some(exceeded.clone()),
            _ => None,
        });
        last.flatten()
    }
}

#[test]
fn accounts_put_up_within_a_day_make_no_share_look_small_and_are_no_part_of_it() {
    let mut court = Court::new();
    court.offer(1, "old", 100);
    let now = 20 * DAY;
    court.offer(now, "fake", 2_000);
    // However many of the new ones are withheld, nothing is wrong with the yardstick.
    for number in 0..300 {
        assert_eq!(court.find(now + 1, &supplier("fake", number), Quarantine), [Imposed], "{number}");
    }
    for number in 0..15 {
        assert_eq!(court.find(now + 2, &supplier("old", number), Quarantine), [Imposed], "{number}");
    }
    court.moved();
    court.find(now + 3, &supplier("old", 15), Quarantine);
    assert!(court.held_back().is_some_and(|held| held.suspect.is_some()), "15 of 100, and not of 2100");
    assert_eq!(court.levels_of(&supplier("old", 15)), [Level::Watch]);
}

#[test]
fn where_few_are_there_for_long_all_that_offer_anything_count() {
    let mut court = Court::new();
    court.offer(1, "old", 49);
    let now = 20 * DAY;
    court.offer(now, "new", 151);
    for number in 0..30 {
        assert_eq!(court.find(now + 1, &supplier("new", number), Quarantine), [Imposed], "{number}");
    }
    court.find(now + 2, &supplier("new", 30), Quarantine);
    assert!(court.held_back().is_some_and(|held| held.suspect.is_some()), "30 of 200");
}

#[test]
fn caps_have_a_budget_past_which_suppliers_are_watched_until_there_is_room_again() {
    let mut court = Court::new();
    court.offer(1, "s", 1_000);
    let now = 20 * DAY;
    // A quarter of all: what is made up caps no more than that in a day.
    for number in 0..300 {
        let level = if number < 250 { Level::Cap } else { Level::Watch };
        assert_eq!(court.find(now + number as i64, &supplier("s", number), Level::Cap), [Imposed]);
        assert_eq!(court.levels_of(&supplier("s", number)), [level], "{number}");
        assert_eq!(court.held_back().is_some_and(|held| held.caps), number >= 250, "{number}");
    }
    court.moved();
    assert_eq!(court.find(now + 400, &supplier("s", 0), Level::Cap), [], "who is capped stays so");
    assert_eq!(court.find(now + 400, &supplier("s", 299), Level::Cap), [], "and who is watched");
    assert_eq!(
        court.find(now + 401, &supplier("s", 400), Quarantine),
        [Imposed],
        "withholding is another matter"
    );
    let later = now + DAY + 1;
    assert_eq!(court.find(later, &supplier("s", 299), Level::Cap), [Raised], "there is room again");
    assert_eq!(court.held_back(), None, "and it is said");
}

#[test]
fn the_budget_of_caps_is_what_the_set_says_and_a_part_of_a_supplier_is_under_none() {
    let mut court = Court::new();
    let two = |asked: &mut RuleProposal| {
        asked.budget_of_caps = Some(Budget { suppliers: Some(2), stock_share: None, per_ms: 1_000 });
    };
    for (number, level) in [(0, Level::Cap), (1, Level::Cap), (2, Level::Watch)] {
        court.find_with(10, &supplier("s", number), Level::Cap, two);
        assert_eq!(court.levels_of(&supplier("s", number)), [level]);
    }
    let listing = Scope::Listing { listing: stockade_model::ListingId::new("l").unwrap() };
    let of_listing = |asked: &mut RuleProposal| {
        two(asked);
        asked.scope = listing.clone();
    };
    court.find_with(20, &supplier("s", 3), Level::Dim, of_listing);
    assert_eq!(court.levels_of(&supplier("s", 3)), [Level::Dim]);
    // Whom the budget of withholding holds back is watched at least.
    let none = |asked: &mut RuleProposal| {
        two(asked);
        asked.budget = Some(Budget { suppliers: Some(0), stock_share: None, per_ms: 1_000 });
    };
    assert_eq!(court.find_with(30, &supplier("s", 4), Quarantine, none), [OverBudget, Imposed]);
    assert_eq!(court.levels_of(&supplier("s", 4)), [Level::Watch]);
    assert_eq!(court.find_with(2_000, &supplier("s", 5), Quarantine, none), [OverBudget, Imposed]);
    assert_eq!(court.levels_of(&supplier("s", 5)), [Level::Cap]);
}

#[test]
fn what_an_earlier_build_knew_of_stock_is_read_and_counts_as_there_for_long() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Former {
        listings: u64,
        units: u64,
    }
    let mut stored = stockade_fold::Table::<SupplierId, Former>::new(5);
    for number in 0..60 {
        stored.insert(supplier("old", number), Former { listings: 1, units: 2 });
    }
    let mut arbiter = Arbiter::default();
    for key in AnyTable::take_dirty(&mut stored) {
        let row = AnyTable::encode(&stored, &key).unwrap();
        let mut tables = arbiter.tables();
        tables.iter_mut().find(|table| table.name() == 5).unwrap().load(&key, &row).unwrap();
    }
    arbiter.restored(&mut Vec::new());
    let now = Timestamp::from_ms(DAY);
    assert_eq!(arbiter.guards.measured(now).count, 60);
    let figures = StockFigures { listings: 0, units: 0 };
    arbiter.guards.offers(&supplier("old", 0), figures, now);
    arbiter.guards.offers(&supplier("new", 0), StockFigures { listings: 1, units: 1 }, now);
    assert_eq!(arbiter.guards.measured(now).count, 59);
}
