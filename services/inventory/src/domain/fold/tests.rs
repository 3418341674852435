use proptest::prelude::*;
use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{
    Action, BuyerId, ControlRecord, Currency, Envelope, EventId, LocationId, Money, OrderEvent,
    OrderEventKind, OrderId, Outcome, OutcomeCause, Position, Region, Restriction, Sku, Topic,
};

use super::*;

/// An inventory fold with one registered supplier that has one location.
struct Shop {
    host: Host<Inventory>,
    offset: u64,
    now_ms: i64,
    effects: Vec<Effect>,
    /// What the arbiter was told: when, and what.
    told: Vec<(i64, StockFigures)>,
}

fn acme() -> SupplierId {
    SupplierId::new("acme").unwrap()
}
fn listing(name: &str) -> ListingId {
    ListingId::new(name).unwrap()
}

impl Shop {
    fn new() -> Self {
        let host = Host::new("inventory", Topic::SupplierEvents, 0, 1, 1, Inventory::default());
        let mut shop = Self { host, offset: 0, now_ms: 1_000, effects: Vec::new(), told: Vec::new() };
        let profile = SupplierProfile {
            supplier: acme(),
            name: "Acme".to_owned(),
            region: Region::new("DE").unwrap(),
            since: Timestamp::from_ms(0),
            class: "standard".to_owned(),
        };
        shop.apply(&Payload::Control(ControlRecord {
            actor: "op".to_owned(),
            change: Change::Supplier { profile },
        }));
        let location = LocationPut {
            location: LocationId::new("main").unwrap(),
            gln: None,
            latitude: 0.0,
            longitude: 0.0,
            region: Region::new("DE").unwrap(),
            handling_days: 2,
        };
        assert_eq!(shop.row(Row::Location(location)).status, RowStatus::Applied);
        shop
    }
    fn apply(&mut self, payload: &Payload) -> Vec<Effect> {
        let id = format!("r-{}", self.offset);
        let headers = Envelope::new(payload.kind(), id, "test").headers();
        let record = Record {
            offset: self.offset,
            time_ms: self.now_ms,
            key: Default::default(),
            headers: headers.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            value: payload.encode().into(),
        };
        self.offset += 1;
        self.effects.clear();
        for output in self.host.apply(&record, &mut self.effects) {
            match Payload::decode("stockade.lockout.proposal", &output.value) {
                Ok(Payload::Proposal(Proposal::Stock { supplier, figures })) if supplier == acme() => {
                    self.told.push((self.now_ms, figures));
                }
                other => panic!("inventory tells the arbiter of stock and nothing else: {other:?}"),
            }
        }
        std::mem::take(&mut self.effects)
    }
    fn request(
        &mut self,
        key: Option<&str>,
        body: &str,
        rows: Vec<Row>,
    ) -> (Option<Arc<Vec<RowOutcome>>>, bool) {
        let command = Command {
            supplier: acme(),
            idempotency_key: key.map(str::to_owned),
            body_hash: body.to_owned(),
            rows,
            precondition: None,
            places: Vec::new(),
        };
        let effects = self.apply(&Payload::Command(command));
        let decided = effects.into_iter().find_map(|effect| match effect {
            Effect::Decided { rows, retry, .. } => Some((rows, retry)),
            _ => None,
        });
        decided.expect("every request is decided")
    }
    fn row(&mut self, row: Row) -> RowOutcome {
        self.request(None, "", vec![row]).0.unwrap()[0].clone()
    }
    fn put(&mut self, name: &str, on_hand: Option<i64>, source_seq: Option<u64>) -> RowOutcome {
        self.row(Row::Put(ListingPut {
            listing: listing(name),
            sku: Sku::new("SKU").unwrap(),
            gtin: None,
            location: LocationId::new("main").unwrap(),
            price: Money::new(500, Currency::new("EUR").unwrap()).unwrap(),
            regions: Vec::new(),
            on_hand,
            source_seq,
            market: None,
        }))
    }
    fn stock(&mut self, name: &str, mode: StockMode, quantity: i64, source_seq: Option<u64>) -> RowOutcome {
        let listing = listing(name);
        self.row(Row::Stock(StockChange { listing, mode, quantity, source_seq, market: None }))
    }
    fn order(&mut self, kind: OrderEventKind, order: &str, quantity: i64) {
        let event = OrderEvent {
            id: EventId::new(&format!("e-{}", self.offset)).unwrap(),
            source: "test".to_owned(),
            kind,
            time: Timestamp::from_ms(self.now_ms),
            supplier: acme(),
            order: Some(OrderId::new(order).unwrap()),
            buyer: Some(BuyerId::new("b").unwrap()),
            listing: Some(listing("l")),
            sku: None,
            quantity: Some(quantity),
            amount: None,
            cause: OutcomeCause::Supplier,
            rating: None,
            late: false,
            new_device: false,
            category: None,
            tracking: None,
            region: None,
            ship_by: None,
            deliver_by: None,
            attributes: Vec::new(),
        };
        self.apply(&Payload::Outcome(Outcome::of(event)));
    }
    fn level(&mut self, level: Option<Level>) {
        let version = Position::parse(&format!("arbiter/0/1/{}/1", self.offset)).unwrap();
        let restriction = |level| Restriction {
            id: "d".to_owned(),
            version: version.clone(),
            scope: Scope::Supplier,
            level,
            reasons: Vec::new(),
            rule: None,
            actor: None,
            values: Default::default(),
            tree: Vec::new(),
            since: Timestamp::default(),
            expires_at: Timestamp::default(),
            review_at: Timestamp::default(),
            cause: None,
            evidence: 0.0,
            text: String::new(),
            counterfactuals: Vec::new(),
            by_association: false,
            holdout: false,
            confirmed: None,
        };
        let decision = Decision {
            version: version.clone(),
            at: Timestamp::default(),
            supplier: acme(),
            action: Action::Imposed,
            restriction: None,
            actor: None,
            note: None,
            in_force: level.map(restriction).into_iter().collect(),
            chain: String::new(),
        };
        self.apply(&Payload::Decision(decision));
    }
    fn available(&self) -> i64 {
        self.host.fold.listings.get("acme/l").unwrap().available()
    }
    fn tick(&mut self, at_ms: i64) {
        self.now_ms = at_ms;
        self.apply(&Payload::Tick(stockade_model::Tick { due: Timestamp::from_ms(at_ms) }));
    }
}

use RowStatus::{Applied, Conflict, Invalid, Replayed, Superseded};

#[test]
fn an_older_sequence_loses_and_an_equal_one_is_replayed_whatever_arrives_first() {
    let mut shop = Shop::new();
    assert_eq!(shop.put("l", Some(10), Some(5)).status, Applied);
    assert_eq!(shop.stock("l", StockMode::Set, 7, Some(8)).available, Some(7));
    assert_eq!(shop.stock("l", StockMode::Set, 99, Some(7)).status, Superseded);
    assert_eq!(shop.stock("l", StockMode::Set, 99, Some(8)).status, Replayed);
    assert_eq!(shop.stock("l", StockMode::Adjust, -2, Some(9)).available, Some(5));
    assert_eq!(shop.put("l", Some(99), Some(6)).status, Applied, "the listing's own sequence is another one");
    assert_eq!(shop.available(), 5, "stock that came with an older sequence does not win");
    assert_eq!(shop.put("l", None, Some(6)).status, Replayed);
}

#[test]
fn stock_without_a_sequence_is_taken_as_it_comes_and_leaves_other_fields_alone() {
    let mut shop = Shop::new();
    shop.put("l", Some(10), None);
    assert_eq!(shop.stock("l", StockMode::Adjust, 5, None).available, Some(15));
    let listing = shop.host.fold.listings.get("acme/l").unwrap();
    assert_eq!((listing.price.minor, listing.sku.as_str()), (500, "SKU"));
}

#[test]
fn refusals_name_their_reason_and_change_nothing() {
    let mut shop = Shop::new();
    let codes = |outcome: RowOutcome| (outcome.status, outcome.code.unwrap());
    assert_eq!(codes(shop.stock("l", StockMode::Set, 1, None)), (Invalid, "unknown_listing".to_owned()));
    shop.put("l", Some(3), None);
    assert_eq!(
        codes(shop.stock("l", StockMode::Adjust, -4, None)),
        (Conflict, "stock_out_of_range".to_owned())
    );
    assert_eq!(shop.available(), 3);
}

#[test]
fn a_retry_finds_its_outcome_and_the_same_key_with_another_body_is_told_so() {
    let mut shop = Shop::new();
    shop.put("l", Some(10), None);
    let take = || {
        vec![Row::Stock(StockChange {
            listing: listing("l"),
            mode: StockMode::Adjust,
            quantity: -1,
            source_seq: None,
            market: None,
        })]
    };
    let (first, retry) = shop.request(Some("k"), "body", take());
    assert!(!retry);
    let (second, retry) = shop.request(Some("k"), "body", take());
    assert!(retry && first == second);
    assert_eq!(shop.available(), 9, "applied once");
    assert_eq!(shop.request(Some("k"), "another", take()), (None, true));
    shop.tick(1_000 + REMEMBERED_MS);
    assert!(!shop.request(Some("k"), "another", take()).1, "after 24 hours the key is free again");
}

#[test]
fn outcomes_remembered_are_bounded_per_supplier() {
    let mut shop = Shop::new();
    for number in 0..REMEMBERED_MAX + 50 {
        shop.request(Some(&format!("k{number}")), "", Vec::new());
    }
    assert_eq!(shop.host.fold.outcomes.len(), REMEMBERED_MAX);
}

#[test]
fn holds_keep_units_from_others_until_confirmed_released_or_lapsed() {
    let mut shop = Shop::new();
    shop.put("l", Some(5), None);
    let hold = |name: &str, quantity| Row::Hold {
        reservation: OrderId::new(name).unwrap(),
        listing: listing("l"),
        quantity,
        expires_at: Timestamp::from_ms(60_000),
        region: None,
    };
    let named = |name: &str| OrderId::new(name).unwrap();
    assert_eq!(shop.row(hold("a", 2)).available, Some(3));
    assert_eq!(shop.row(hold("b", 3)).available, Some(0));
    assert_eq!(shop.row(hold("c", 1)).code.as_deref(), Some("not_available"));
    assert_eq!(shop.row(Row::ReleaseHold { reservation: named("b") }).available, Some(3));
    assert_eq!(shop.row(Row::Confirm { reservation: named("a") }).status, Applied);
    assert_eq!(shop.row(Row::Confirm { reservation: named("a") }).status, Replayed);
    shop.order(OrderEventKind::Placed, "a", 2);
    assert_eq!(shop.available(), 3, "the order of a confirmed reservation is not committed twice");
    shop.row(hold("d", 3));
    assert_eq!(shop.available(), 0);
    shop.tick(60_000);
    assert_eq!(shop.available(), 3, "what was not confirmed lapses, what was stays");
    shop.order(OrderEventKind::Shipped, "a", 2);
    assert_eq!(shop.available(), 3);
}

#[test]
fn a_locked_out_supplier_may_only_reduce_and_withdraw_and_a_quarantined_one_writes_in_the_dark() {
    let mut shop = Shop::new();
    shop.put("l", Some(10), None);
    shop.level(Some(Level::Quarantine));
    assert_eq!(shop.stock("l", StockMode::Set, 20, None).status, Applied);
    shop.level(Some(Level::Lockout));
    assert_eq!(shop.stock("l", StockMode::Set, 30, None).code.as_deref(), Some("supplier_locked_out"));
    assert_eq!(shop.put("m", Some(1), None).code.as_deref(), Some("supplier_locked_out"));
    assert_eq!(shop.stock("l", StockMode::Set, 4, None).available, Some(4));
    assert_eq!(shop.row(Row::Withdraw { listing: listing("l"), source_seq: None }).available, Some(0));
    shop.level(None);
    assert_eq!(shop.put("l", Some(6), None).available, Some(6));
}

proptest! {
    /// One order's outcomes are accepted in any sequence and any number of times.
    #[test]
    fn outcomes_in_any_sequence_end_in_the_same_stock(
        steps in Just(vec![
            (OrderEventKind::Placed, "a", 2), (OrderEventKind::Shipped, "a", 2), (OrderEventKind::Delivered, "a", 2),
            (OrderEventKind::Placed, "b", 3), (OrderEventKind::Cancelled, "b", 3), (OrderEventKind::Placed, "c", 1),
        ]).prop_shuffle(),
        again in 0usize..6,
    ) {
        let mut shop = Shop::new();
        shop.put("l", Some(20), None);
        for (kind, order, quantity) in steps.iter().chain(steps.get(again)) {
            shop.order(*kind, order, *quantity);
        }
        let listing = shop.host.fold.listings.get("acme/l").unwrap();
        prop_assert_eq!((listing.on_hand, listing.committed, listing.available()), (18, 1, 17));
    }
}

#[test]
fn the_arbiter_hears_what_a_supplier_offers_when_it_matters_and_at_most_every_ten_seconds() {
    let mut shop = Shop::new();
    let figures = |listings, units| StockFigures { listings, units };
    shop.put("l", Some(100), None);
    assert_eq!(shop.told, [(1_000, figures(1, 100))], "the first at once");
    shop.put("m", Some(1_000_000), None);
    shop.stock("l", StockMode::Set, 50, None);
    assert_eq!(shop.told.len(), 1, "not again within ten seconds");
    assert!(shop.host.fold.deadline() <= Some(Timestamp::from_ms(11_000)));
    shop.tick(11_000);
    assert_eq!(shop.told[1..], [(11_000, figures(2, 1_050))], "a mountain of stock counts as a thousand");
    shop.now_ms = 30_000;
    shop.stock("l", StockMode::Adjust, -3, None);
    shop.tick(60_000);
    assert_eq!(shop.told.len(), 2, "what hardly changes anything is not told");
    shop.stock("m", StockMode::Set, 0, None);
    assert_eq!(shop.told[2..], [(60_000, figures(1, 47))]);
}
