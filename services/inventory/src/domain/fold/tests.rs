use std::collections::BTreeMap;

use proptest::prelude::*;
use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{
    Action, Audience, BuyerId, ControlRecord, Currency, Envelope, EventAgain, EventId, ListingPut,
    LocationId, Money, Notice, OrderEvent, OrderEventKind, Outcome, OutcomeCause, Position, Region,
    Restriction, Sku, StockChange, StockMode, SupplierProfile, WebhookRecord,
};

use super::{
    remembered::{REMEMBERED_MAX, REMEMBERED_MS},
    *,
};
use crate::domain::{
    answer::{EventAnswer, EventCode, EventStatus},
    reservation::ReservationState,
};

mod holders;
mod kept;
mod life;
mod orders;
mod reservations;
mod risk;

/// An inventory fold with one registered supplier that has one location.
struct Shop {
    host: Host<Inventory>,
    offset: u64,
    now_ms: i64,
    effects: Vec<Effect>,
    /// What the arbiter was told: when, and what.
    told: Vec<(i64, StockFigures)>,
    /// What became of events, by identity.
    answers: HashMap<u128, EventAnswer>,
    /// What buyers were told last, by listing.
    told_buyers: HashMap<ListingId, i64>,
    /// Units that can be had in all, while the supplier is capped.
    allowance: Option<i64>,
    /// The payout account that many share with it.
    crowd: Option<Box<str>>,
    /// What owners of reservations were told.
    at_risk: Vec<Notice>,
    /// Rows of the last request that count for the supplier's share.
    added: usize,
    /// The rows that it was restored from.
    loaded: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn acme() -> SupplierId {
    SupplierId::new("acme").unwrap()
}
fn listing(name: &str) -> ListingId {
    ListingId::new(name).unwrap()
}
fn reservation(name: &str) -> ReservationId {
    ReservationId::new(name).unwrap()
}
fn location(name: &str) -> LocationPut {
    LocationPut {
        location: LocationId::new(name).unwrap(),
        gln: None,
        latitude: 0.0,
        longitude: 0.0,
        region: Region::new("DE").unwrap(),
        handling_days: 2,
    }
}

impl Shop {
    fn new() -> Self {
        let mut shop = Self::unregistered();
        shop.register(StockCounts::IncludingOrdered);
        shop
    }
    fn unregistered() -> Self {
        let host = Host::new("inventory", Topic::SupplierEvents, 0, 1, 1, Inventory::default());
        Self {
            host,
            offset: 0,
            now_ms: 1_000,
            effects: Vec::new(),
            told: Vec::new(),
            answers: HashMap::new(),
            told_buyers: HashMap::new(),
            allowance: None,
            crowd: None,
            at_risk: Vec::new(),
            loaded: BTreeMap::new(),
            added: 0,
        }
    }
    /// Registers the supplier, or changes what its figures count, and gives it a location.
    fn register(&mut self, stock_counts: StockCounts) {
        let profile = SupplierProfile {
            supplier: acme(),
            name: "Acme".to_owned(),
            region: Region::new("DE").unwrap(),
            since: Timestamp::from_ms(0),
            class: "standard".to_owned(),
            stock_counts,
        };
        self.apply(&Payload::Control(ControlRecord {
            actor: "op".to_owned(),
            change: Change::Supplier { profile },
        }));
        assert_eq!(self.row(Row::Location(location("main"))).status, RowStatus::Applied);
    }
    /// The same partition in another process, from the rows that this one would flush.
    fn restored(&mut self) -> Self {
        let mut fold = Inventory::default();
        let loaded = self.rows();
        for (key, row) in &loaded {
            let (name, key) = key.split_first().unwrap();
            let table = fold.tables().into_iter().find(|table| table.name() == *name).unwrap();
            table.load(key, row).unwrap();
        }
        let mut effects = Vec::new();
        fold.restored(&mut effects);
        let mut from = Some(Vec::new());
        while let Some(next) = from {
            from = fold.tells_on(next, &mut effects);
        }
        let mut other = Self::unregistered();
        other.host = Host::new("inventory", Topic::SupplierEvents, 0, 1, 1, fold);
        (other.offset, other.now_ms, other.loaded) = (self.offset, self.now_ms, loaded);
        other.take(&effects);
        other
    }
    /// The rows as they would lie in the changelog.
    fn rows(&mut self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = self.loaded.clone();
        for (key, row) in self.host.changed_rows(0) {
            match row {
                Some(row) => rows.insert(key.to_vec(), row.to_vec()),
                None => rows.remove(key.as_ref()),
            };
        }
        rows
    }
    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Answered { identity, answer, .. } => {
                    self.answers.insert(*identity, *answer);
                }
                Effect::Allowance { units, .. } => self.allowance = *units,
                Effect::Crowded { payout, .. } => self.crowd = Some(payout.clone()),
                Effect::Offered(offer) => {
                    self.told_buyers.insert(offer.listing.clone(), offer.available);
                }
                _ => {}
            }
        }
        // Whatever changes the books is told to buyers in the same breath.
        self.host.fold.listings.each(|key, listing| {
            assert_eq!(self.told_buyers.get(&key.id), Some(&listing.available()), "{:?}", key.id);
        });
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
            if output.topic == "webhooks" {
                let Payload::Webhook(WebhookRecord::Notice(notice)) =
                    Payload::decode("stockade.webhook", &output.value).unwrap()
                else {
                    panic!("inventory tells notices there and nothing else")
                };
                self.at_risk.push(notice);
                continue;
            }
            match Payload::decode("stockade.lockout.proposal", &output.value) {
                Ok(Payload::Proposal(Proposal::Stock { supplier, figures })) if supplier == acme() => {
                    self.told.push((self.now_ms, figures));
                }
                other => panic!("inventory tells the arbiter of stock and nothing else: {other:?}"),
            }
        }
        let effects = std::mem::take(&mut self.effects);
        self.take(&effects);
        effects
    }
    fn request(&mut self, key: Option<&str>, body: &str, rows: Vec<Row>) -> (Option<Vec<RowOutcome>>, bool) {
        let command = Command {
            supplier: acme(),
            idempotency_key: key.map(str::to_owned),
            body_hash: body.to_owned(),
            rows,
            precondition: None,
            places: Vec::new(),
            refused: Vec::new(),
            forgets: None,
        };
        let effects = self.apply(&Payload::Command(command));
        let decided = effects.into_iter().find_map(|effect| match effect {
            Effect::Decided { rows, retry, adds, .. } => Some((rows.map(|rows| rows.rows()), retry, adds)),
            _ => None,
        });
        let (rows, retry, adds) = decided.expect("every request is decided");
        self.added = adds;
        (rows, retry)
    }
    /// A request under `key` of a row, that lets go of the outcome under `forgets`.
    fn series(&mut self, key: &str, forgets: Option<&str>) -> Vec<Effect> {
        let listing = listing("l");
        self.apply(&Payload::Command(Command {
            supplier: acme(),
            idempotency_key: Some(key.to_owned()),
            body_hash: key.to_owned(),
            rows: vec![Row::Withdraw { listing, source_seq: None }],
            precondition: None,
            places: Vec::new(),
            refused: Vec::new(),
            forgets: forgets.map(str::to_owned),
        }))
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
    /// An outcome of `order` of listing `l`, for `quantity` units.
    fn order(&mut self, kind: OrderEventKind, order: &str, quantity: i64) {
        self.say(kind, order, |event| {
            (event.listing, event.quantity) = (Some(listing("l")), Some(quantity));
        });
    }
    /// An outcome of `order` that says nothing but its kind, changed by `change`; answers what became of it.
    fn say(
        &mut self,
        kind: OrderEventKind,
        order: &str,
        change: impl FnOnce(&mut OrderEvent),
    ) -> (EventStatus, Option<EventCode>) {
        let id = EventId::new(&format!("e-{}", self.offset)).unwrap();
        let mut event = OrderEvent {
            order: Some(OrderId::new(order).unwrap()),
            buyer: Some(BuyerId::new("b").unwrap()),
            cause: OutcomeCause::Supplier,
            ..OrderEvent::bare(id, "test", kind, Timestamp::from_ms(self.now_ms), acme())
        };
        change(&mut event);
        let id = event.id.to_string();
        self.apply(&Payload::Outcome(Outcome::of(event)));
        self.answer(&id)
    }
    /// What became of an event.
    fn answer(&self, id: &str) -> (EventStatus, Option<EventCode>) {
        let answer = self.answers[&event_identity("test", id)];
        (answer.status, answer.code)
    }
    /// Id that the next event will have.
    fn next_event(&self) -> String {
        format!("e-{}", self.offset)
    }
    fn hold(&mut self, name: &str, quantity: i64, expires_at_ms: i64) -> RowOutcome {
        self.row(Row::Hold {
            reservation: reservation(name),
            listing: listing("l"),
            quantity,
            expires_at: Timestamp::from_ms(expires_at_ms),
            region: None,
            owner: Some("ann".to_owned()),
            request: Some(format!("{quantity}")),
            bound: None,
        })
    }
    fn confirm(&mut self, name: &str) -> RowOutcome {
        self.row(Row::Confirm { reservation: reservation(name), owner: Some("ann".to_owned()) })
    }
    fn release(&mut self, name: &str) -> RowOutcome {
        self.row(Row::ReleaseHold { reservation: reservation(name), owner: Some("ann".to_owned()) })
    }
    fn state(&self, name: &str) -> Option<ReservationState> {
        let key = Of::new(&acme(), &reservation(name));
        self.host.fold.reservations.get(&key).map(|row| row.state)
    }
    /// Units on the shelf, committed to orders, and available of listing `l`.
    fn units(&self) -> (i64, i64, i64) {
        let listing = self.listing();
        (listing.on_hand, listing.committed, listing.available())
    }
    fn listing(&self) -> Listing {
        self.host.fold.listings.get(&Of::new(&acme(), &listing("l"))).unwrap()
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
            vouched: Vec::new(),
            by_association: false,
            holdout: false,
            asked: None,
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
            act: None,
            chain: String::new(),
        };
        self.apply(&Payload::Decision(decision));
    }
    /// Available units of listing `l`, as buyers were told.
    fn offered(&self) -> i64 {
        self.told_buyers[&listing("l")]
    }
    fn available(&self) -> i64 {
        self.listing().available()
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
    let listing = shop.listing();
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
fn a_rush_of_buyers_pushes_out_nothing_of_what_the_supplier_asked_for() {
    let mut shop = Shop::new();
    shop.put("l", Some(5), None);
    assert!(shop.request(Some("mine"), "x", Vec::new()).0.is_some());
    let before = shop.host.fold.outcomes.len();
    let confirm = || Row::Confirm { reservation: ReservationId::new("acme::none").unwrap(), owner: None };
    for number in 0..REMEMBERED_MAX + 50 {
        shop.request(Some(&format!("b{number}")), "", vec![confirm()]);
    }
    assert_eq!(shop.host.fold.outcomes.len(), before + REMEMBERED_MAX, "they have room of their own");
    assert!(shop.request(Some("mine"), "x", Vec::new()).1, "it is remembered");
    assert!(!shop.request(Some("b0"), "", vec![confirm()]).1, "the first of theirs is not");
    shop.tick(1_000_000 + REMEMBERED_MS);
    assert!(shop.host.fold.outcomes.is_empty(), "a day later nothing is");
}

#[test]
fn holds_keep_units_from_others_until_confirmed_released_or_lapsed() {
    let mut shop = Shop::new();
    shop.put("l", Some(5), None);
    assert_eq!(shop.hold("a", 2, 60_000).available, Some(3));
    assert_eq!(shop.hold("b", 3, 60_000).available, Some(0));
    assert_eq!(shop.hold("c", 1, 60_000).code.as_deref(), Some("not_available"));
    assert_eq!(shop.release("b").available, Some(3));
    assert_eq!(shop.confirm("a").status, Applied);
    assert_eq!(shop.confirm("a").status, Replayed);
    shop.order(OrderEventKind::Placed, "a", 2);
    assert_eq!(shop.available(), 3, "the order of a confirmed reservation is not committed twice");
    shop.hold("d", 3, 60_000);
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
            shop.say(*kind, order, |event| {
                event.line = stockade_model::LineId::new("1").ok();
                (event.listing, event.quantity) = (Some(listing("l")), Some(*quantity));
            });
        }
        let listing = shop.listing();
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

#[test]
fn who_sends_a_long_series_lets_go_of_what_it_has_read_and_pushes_out_nobodys_outcome() {
    let mut shop = Shop::new();
    shop.request(Some("by-hand"), "x", Vec::new());
    let mut last = None;
    for number in 0..REMEMBERED_MAX + 10 {
        let key = format!("s-{number}");
        let effects = shop.series(&key, last.as_deref());
        let forgot: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Forgotten { key, .. } => Some(key.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(forgot, last.into_iter().collect::<Vec<_>>());
        last = Some(key);
    }
    assert!(shop.request(Some("by-hand"), "x", Vec::new()).1, "it is remembered");
    let last = last.unwrap();
    let retry = |effects: Vec<Effect>| {
        effects.iter().any(|effect| matches!(effect, Effect::Decided { retry: true, rows: Some(_), .. }))
    };
    assert!(retry(shop.series(&last, None)), "and so is the last of the series");
    assert!(!retry(shop.series("s-5", None)));
}

#[test]
fn what_counts_for_a_suppliers_share_is_what_it_sends_and_what_may_add_supply() {
    let mut shop = Shop::new();
    shop.put("l", Some(5), None);
    assert_eq!(shop.added, 1);
    for (mode, quantity, adds) in [
        (StockMode::Set, 9, 1),
        (StockMode::Set, 4, 0),
        (StockMode::Adjust, 1, 1),
        (StockMode::Adjust, -1, 0),
        (StockMode::Set, 0, 0),
    ] {
        shop.stock("l", mode, quantity, None);
        assert_eq!(shop.added, adds, "{mode:?} {quantity}");
    }
    shop.stock("l", StockMode::Set, 5, None);
    shop.hold("r", 1, 90_000);
    assert_eq!(shop.added, 0, "a buyer's");
    shop.row(Row::Withdraw { listing: listing("l"), source_seq: None });
    assert_eq!(shop.added, 0);
    let withdraw = || Row::Withdraw { listing: listing("l"), source_seq: None };
    let stock = |name, quantity| {
        let (listing, mode) = (listing(name), StockMode::Set);
        Row::Stock(StockChange { listing, mode, quantity, source_seq: None, market: None })
    };
    shop.request(None, "", vec![withdraw(), stock("l", 3), stock("l", 0), stock("none", 0)]);
    assert_eq!(shop.added, 2, "of a batch all counts but what took supply away");
    shop.request(None, "", vec![withdraw(), withdraw()]);
    assert_eq!(shop.added, 0);
}
