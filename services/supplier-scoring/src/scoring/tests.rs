use std::collections::BTreeMap;

use proptest::prelude::*;
use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{
    BuyerId, ControlRecord, Currency, Envelope, EventId, LocationId, Money, OrderEvent, OrderId, Region,
    SupplierProfile,
};

use super::*;
use crate::{Intake, ScoringEffect};

/// A scoring fold, fed by hand.
struct Bench {
    host: Host<Scoring>,
    offset: u64,
    now_ms: i64,
}

fn record(offset: u64, time_ms: i64, payload: &Payload) -> Record {
    let headers = Envelope::new(payload.kind(), format!("r-{offset}"), "test").headers();
    Record {
        offset,
        time_ms,
        key: Default::default(),
        headers: headers.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        value: payload.encode().into(),
    }
}

fn acme() -> SupplierId {
    SupplierId::new("acme").unwrap()
}

impl Bench {
    fn new() -> Self {
        let host =
            Host::new("scoring", Topic::SupplierEvents, 0, 1, 1, Scoring::new(&FeatureSet::default_set()));
        let mut bench = Self { host, offset: 0, now_ms: 100 * DAY_MS };
        let profile = SupplierProfile {
            supplier: acme(),
            name: "Acme".to_owned(),
            region: Region::new("DE").unwrap(),
            since: Timestamp::from_ms(0),
            class: "standard".to_owned(),
            stock_counts: Default::default(),
        };
        bench.apply(&Payload::Control(ControlRecord {
            actor: "op".to_owned(),
            change: Change::Supplier { profile },
        }));
        bench
    }
    fn apply(&mut self, payload: &Payload) -> Option<ScoreRecord> {
        let mut effects = Vec::new();
        self.host.apply(&record(self.offset, self.now_ms, payload), &mut effects);
        self.offset += 1;
        match effects.pop() {
            Some(ScoringEffect::Scored(score)) => Some(score),
            _ => None,
        }
    }
    fn event(&mut self, event: OrderEvent, history: Option<BuyerHistory>) -> BTreeMap<String, f32> {
        let score = self
            .apply(&Payload::Outcome(Outcome { history, ..Outcome::of(event) }))
            .expect("outcomes are scored");
        let features = FeatureSet::default_set();
        features.schema().features().iter().map(|f| f.name.clone()).zip(score.slots).collect()
    }
    fn order(&mut self, kind: OrderEventKind, number: usize, cause: OutcomeCause) -> BTreeMap<String, f32> {
        let known = BuyerHistory { orders: 3, ..BuyerHistory::default() };
        self.event(event(kind, number, self.now_ms, cause), Some(known))
    }
    fn put(&mut self, name: &str, minor: i64, on_hand: i64, market: MarketSeen) -> ScoreRecord {
        let put = ListingPut {
            listing: ListingId::new(name).unwrap(),
            sku: Sku::new("SKU").unwrap(),
            gtin: None,
            location: LocationId::new("main").unwrap(),
            price: Money::new(minor, Currency::new("EUR").unwrap()).unwrap(),
            regions: Vec::new(),
            on_hand: Some(on_hand),
            source_seq: None,
            market: Some(market),
        };
        let command = Command {
            supplier: acme(),
            idempotency_key: None,
            body_hash: String::new(),
            rows: vec![Row::Put(put)],
            precondition: None,
            places: Vec::new(),
            refused: Vec::new(),
            forgets: None,
        };
        self.apply(&Payload::Command(command)).expect("submissions are scored")
    }
}

fn event(kind: OrderEventKind, number: usize, time_ms: i64, cause: OutcomeCause) -> OrderEvent {
    let id = EventId::new(&format!("e-{number}-{kind:?}")).unwrap();
    OrderEvent {
        order: Some(OrderId::new(&format!("o-{number}")).unwrap()),
        buyer: Some(BuyerId::new(&format!("b-{number}")).unwrap()),
        quantity: Some(1),
        cause,
        ..OrderEvent::bare(id, "test", kind, Timestamp::from_ms(time_ms), acme())
    }
}

const MARKET: MarketSeen =
    MarketSeen { median_minor: 1_000, offers: 5, median_units: 20, spread_minor: None };

#[test]
fn cancellations_count_only_when_they_are_the_suppliers_own_doing() {
    let mut bench = Bench::new();
    for (number, cause) in [
        OutcomeCause::Supplier,
        OutcomeCause::Platform,
        OutcomeCause::Carrier,
        OutcomeCause::Buyer,
        OutcomeCause::Unknown,
    ]
    .into_iter()
    .enumerate()
    {
        bench.order(OrderEventKind::Placed, number, cause);
        bench.order(OrderEventKind::Cancelled, number, cause);
    }
    let features = bench.order(OrderEventKind::Placed, 9, OutcomeCause::Unknown);
    assert_eq!((features["cancellations.count_7d"], features["cancellations.buyers_7d"]), (1.0, 1.0));
    assert!((features["cancellations.rate_7d"] - 1.0 / 6.0).abs() < 1e-6);
    assert!(features["cancellations.rate_7d_low"] < 1.0 / 6.0);
}

#[test]
fn a_claim_counts_when_the_buyers_own_history_makes_it_credible() {
    let mut bench = Bench::new();
    let histories = [
        (Some(BuyerHistory { orders: 1, ..BuyerHistory::default() }), true),
        (Some(BuyerHistory { orders: 0, ..BuyerHistory::default() }), false),
        (Some(BuyerHistory { orders: 5, claims: 5, ..BuyerHistory::default() }), false),
        (Some(BuyerHistory { orders: 20, claims: 5, ..BuyerHistory::default() }), true),
        (None, false),
    ];
    for (number, (history, _)) in histories.iter().enumerate() {
        let claim = event(OrderEventKind::Disputed, number, bench.now_ms, OutcomeCause::Unknown);
        bench.event(claim, *history);
    }
    let features = bench.order(OrderEventKind::Placed, 99, OutcomeCause::Unknown);
    let credible = histories.iter().filter(|(_, credible)| *credible).count();
    assert_eq!(features["claims.buyers_7d"], credible as f32);
}

#[test]
fn prices_and_claims_are_judged_against_the_market_the_api_saw_and_unknown_without_one() {
    let mut bench = Bench::new();
    let slot =
        |score: &ScoreRecord, name| score.slots[FeatureSet::default_set().schema().slot(name).unwrap()];
    let low = bench.put("a", 300, 2_000, MARKET);
    assert_eq!((slot(&low, "listing.price_ratio"), slot(&low, "prices.low_24h")), (0.3, 1.0));
    assert_eq!((slot(&low, "listing.units_ratio"), slot(&low, "stock.implausible_24h")), (100.0, 1.0));
    let thin = bench.put("b", 300, 2_000, MarketSeen { offers: 2, ..MARKET });
    assert!(slot(&thin, "listing.price_ratio").is_nan(), "two other offers are no market");
    assert_eq!(slot(&thin, "prices.low_24h"), 1.0);
    assert_eq!(slot(&thin, "listings.new_1h"), 2.0);
    assert_eq!(
        slot(&bench.put("a", 900, 10, MARKET), "listings.new_1h"),
        2.0,
        "an update is not a new listing"
    );
}

#[test]
fn no_orders_are_an_unknown_rate_not_a_rate_of_zero() {
    let mut bench = Bench::new();
    let score = bench.put("a", 900, 10, MARKET);
    for name in ["cancellations.rate_7d_low", "claims.rate_30d_low", "account.payout_changed_hours"] {
        assert!(score.slots[FeatureSet::default_set().schema().slot(name).unwrap()].is_nan(), "{name}");
    }
}

#[test]
fn waking_up_after_a_long_silence_is_seen_for_two_days() {
    let mut bench = Bench::new();
    let dormant = |score: ScoreRecord| {
        score.slots[FeatureSet::default_set().schema().slot("account.dormant_days").unwrap()]
    };
    let first = bench.put("a", 900, 10, MARKET);
    assert_eq!(dormant(first), 100.0, "silent since it was registered");
    bench.now_ms += 3 * DAY_MS;
    let later = bench.put("b", 900, 10, MARKET);
    assert_eq!(dormant(later), 0.0);
}

#[test]
fn intake_drops_repeats_and_stamps_the_buyers_history_before_the_event() {
    let mut host = Host::new("intake", Topic::EventsInbox, 0, 1, 1, Intake::default());
    let mut seen = Vec::new();
    let same_buyer = |kind, number| OrderEvent {
        buyer: Some(BuyerId::new("b").unwrap()),
        ..event(kind, number, 1_000, OutcomeCause::Unknown)
    };
    let events = [
        same_buyer(OrderEventKind::Placed, 1),
        same_buyer(OrderEventKind::Placed, 1),
        same_buyer(OrderEventKind::Disputed, 1),
        same_buyer(OrderEventKind::Placed, 2),
        OrderEvent { source: "another".to_owned(), ..same_buyer(OrderEventKind::Placed, 1) },
    ];
    let (mut effects, mut again) = (Vec::new(), 0);
    for (offset, event) in events.into_iter().enumerate() {
        for output in host.apply(&record(offset as u64, 1_000, &Payload::OrderEvent(event)), &mut effects) {
            let Ok(Payload::Outcome(outcome)) = Payload::decode("stockade.order.outcome", &output.value)
            else {
                // The repeat is told to its sender.
                again += 1;
                continue;
            };
            let history = outcome.history.unwrap();
            seen.push((history.orders, history.claims, history.suppliers_claimed));
        }
    }
    assert_eq!(seen, [(0, 0, 0), (1, 0, 0), (1, 1, 1), (2, 1, 1)]);
    assert_eq!((effects.len(), again), (1, 1), "one repeat");
}

#[test]
fn an_identity_that_comes_again_is_told_once_and_with_another_content_as_a_conflict() {
    let mut host = Host::new("intake", Topic::EventsInbox, 0, 1, 1, Intake::default());
    let first = event(OrderEventKind::Placed, 1, 1_000, OutcomeCause::Unknown);
    // Sent again without a time, it has that of its arrival.
    let later = OrderEvent { time: Timestamp::from_ms(2_000), ..first.clone() };
    let other = OrderEvent { quantity: Some(7), ..first.clone() };
    let (mut told, mut effects) = (Vec::new(), Vec::new());
    for (offset, event) in
        [first, later.clone(), later.clone(), other.clone(), other, later].into_iter().enumerate()
    {
        for output in host.apply(&record(offset as u64, 1_000, &Payload::OrderEvent(event)), &mut effects) {
            let kind = if output.headers.iter().any(|(_, value)| value == "stockade.order.again") {
                "stockade.order.again"
            } else {
                "stockade.order.outcome"
            };
            match Payload::decode(kind, &output.value).unwrap() {
                Payload::EventAgain(again) => told.push(again.differs),
                Payload::Outcome(outcome) => assert_eq!(outcome.event.quantity, Some(1)),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(told, [false, true]);
    let conflicts = effects.iter().filter(|effect| **effect == crate::IntakeEffect::Conflict).count();
    assert_eq!((effects.len(), conflicts), (5, 2));
}

#[test]
fn settings_that_an_earlier_build_kept_are_in_force_after_a_restart() {
    use stockade_fold::Fold as _;
    let features = crate::FeatureSet::default_set();
    let source = format!("# other\n{}", crate::DEFAULT_FEATURES);
    let window = stockade_rules::Binding {
        measure: "cancellations".to_owned(),
        take: stockade_rules::Take::Count,
        window_ms: 36 * 3_600_000,
    };
    let models = Models { champion: Some("{}".to_owned()), ..Models::default() };
    let mut fold = Scoring::new(&features);
    for (key, text) in [
        ("features", source.clone()),
        ("models", models.to_text()),
        ("windows", serde_json::to_string(&[&window]).unwrap()),
    ] {
        let row = rmp_serde::to_vec_named(&std::collections::BTreeMap::from([("source", text)])).unwrap();
        let mut tables = fold.tables();
        tables.iter_mut().find(|table| table.name() == 4).unwrap().load(key.as_bytes(), &row).unwrap();
    }
    let mut told = Vec::new();
    fold.restored(&mut told);
    let in_force = told.iter().find_map(|effect| match effect {
        ScoringEffect::FeaturesInForce(features) => Some(features.clone()),
        _ => None,
    });
    let in_force = in_force.expect("the declaration is in force");
    assert_eq!(in_force.version, stockade_rules::RuleSet::version_of(&source));
    assert!(in_force.schema().window_slot(&window).is_some());
    assert_eq!(fold.stored_models(), models);
    assert!(fold.former.is_empty());
}

#[test]
fn identities_that_an_earlier_build_kept_are_known_and_contradict_nothing() {
    use stockade_fold::Fold as _;
    let first = event(OrderEventKind::Placed, 1, 1_000, OutcomeCause::Unknown);
    let mut fold = Intake::default();
    let identity = stockade_model::hash::identity128(&["test", first.id.as_str()]);
    let row = rmp_serde::to_vec_named(&Timestamp::from_ms(500)).unwrap();
    fold.tables()[0].load(&identity.to_be_bytes(), &row).unwrap();
    fold.restored(&mut Vec::new());
    let mut host = Host::new("intake", Topic::EventsInbox, 0, 1, 1, fold);
    let mut effects = Vec::new();
    host.apply(&record(0, 1_000, &Payload::OrderEvent(first)), &mut effects);
    assert_eq!(effects, [crate::IntakeEffect::Duplicate]);
}

/// A model that gives the same to everybody.
fn flat(log_odds: f64) -> String {
    let score = serde_json::json!({ "feature": "score", "cuts": [], "adds": [0.0], "unknown": 0.0, "shares": [1.0, 0.0] });
    let origin = serde_json::json!({
        "data": "x", "features": "x", "label_delay": "30d", "from": "x", "until": "x", "orders": 1, "bad": 1,
    });
    let held_out = crate::Figures::default();
    serde_json::json!({
        "kind": "boosted_stumps/1", "origin": origin, "held_out": held_out, "base": log_odds, "tables": [], "score": score,
        "calibration": [1.0, 0.0],
    })
    .to_string()
}

/// What is told of weeks, as whoever shows them keeps it.
fn keep_weeks(told: &mut BTreeMap<u128, crate::calibration::Week>, effects: Vec<ScoringEffect>) {
    for effect in effects {
        match effect {
            ScoringEffect::Predicted(key, Some(week)) => drop(told.insert(key, *week)),
            ScoringEffect::Predicted(key, None) => drop(told.remove(&key)),
            _ => {}
        }
    }
}

#[test]
fn what_models_said_as_an_order_was_placed_is_counted_with_its_frauds_and_outlives_a_restart() {
    use stockade_fold::Fold as _;
    let mut bench = Bench::new();
    let mut told = BTreeMap::new();
    let mut apply = |bench: &mut Bench, payload: Payload| {
        let mut effects = Vec::new();
        bench.host.apply(&record(bench.offset, bench.now_ms, &payload), &mut effects);
        bench.offset += 1;
        keep_weeks(&mut told, effects);
        told.clone()
    };
    let ask = |change: Change| Payload::Control(ControlRecord { actor: "ann".to_owned(), change });
    let publish = |log_odds| ask(Change::Model { id: "m".to_owned(), source: flat(log_odds) });
    let promote =
        || ask(Change::ModelSwitch { id: "p".to_owned(), to: stockade_model::ModelSwitch::Promote });
    let say = |bench: &Bench, kind, number| {
        Payload::Outcome(Outcome::of(event(kind, number, bench.now_ms, OutcomeCause::Unknown)))
    };
    use OrderEventKind::{Disputed, FraudConfirmed, Placed};
    let placed = say(&bench, Placed, 0);
    assert!(apply(&mut bench, placed).is_empty(), "without a model nothing is kept");
    apply(&mut bench, publish(-3.0));
    apply(&mut bench, promote());
    apply(&mut bench, publish(0.0));
    for number in 1..=4 {
        let placed = say(&bench, Placed, number);
        apply(&mut bench, placed);
    }
    // The next line of an order is the same order, a dispute is no confirmed fraud, and what was never predicted says nothing.
    for said in [say(&bench, Placed, 1), say(&bench, Disputed, 2), say(&bench, FraudConfirmed, 0)] {
        apply(&mut bench, said);
    }
    let fraud = say(&bench, FraudConfirmed, 3);
    let weeks = apply(&mut bench, fraud);
    let of = |weeks: &BTreeMap<u128, crate::calibration::Week>, log_odds| {
        let version = stockade_rules::RuleSet::version_of(&flat(log_odds));
        let week = weeks.values().find(|week| week.model == version)?;
        let [(bin, counts)] =
            week.bins.iter().enumerate().filter(|(_, bin)| bin.orders > 0).collect::<Vec<_>>()[..]
        else {
            return None;
        };
        Some((bin, counts.orders, counts.bad, counts.predicted / u64::from(counts.orders)))
    };
    // 1 / (1 + e^3) is 4.74 %.
    assert_eq!(of(&weeks, -3.0), Some((4, 4, 1, 47_425)));
    assert_eq!(of(&weeks, 0.0), Some((7, 4, 1, 500_000)));

    let rows = bench.host.changed_rows(0);
    let mut restored = Scoring::new(&FeatureSet::default_set());
    for (key, value) in rows {
        let (Some(name), Some(value)) = (key.first(), value) else { continue };
        let mut tables = restored.tables();
        tables.iter_mut().find(|table| table.name() == *name).unwrap().load(&key[1..], &value).unwrap();
    }
    let (mut effects, mut again) = (Vec::new(), BTreeMap::new());
    restored.restored(&mut effects);
    keep_weeks(&mut again, effects);
    assert_eq!(again, weeks);
    bench.host.fold = restored;
    let fraud = say(&bench, FraudConfirmed, 4);
    assert_eq!(of(&apply(&mut bench, fraud), 0.0).map(|read| read.2), Some(2), "the order is remembered");
    // Of a challenger that another one took the place of nothing is kept.
    let weeks = apply(&mut bench, publish(1.0));
    assert_eq!((of(&weeks, 0.0), of(&weeks, -3.0).map(|read| read.2)), (None, Some(2)));
}

proptest! {
    #[test]
    fn the_points_of_a_score_always_add_up_to_it(
        steps in proptest::collection::vec((0usize..11, 0usize..12, 0i64..5_000_000, any::<bool>()), 1..60),
    ) {
        let mut bench = Bench::new();
        for (kind, number, forward_ms, own) in steps {
            bench.now_ms += forward_ms;
            let cause = if own { OutcomeCause::Supplier } else { OutcomeCause::Carrier };
            let mut outcome = event(OrderEventKind::ALL[kind], number, bench.now_ms, cause);
            outcome.rating = Some(1 + (number % 5) as u8);
            let history = Some(BuyerHistory { orders: 2, ..BuyerHistory::default() });
            let score = bench.apply(&Payload::Outcome(Outcome { history, ..Outcome::of(outcome) })).unwrap();
            let points: u16 = contributions(FeatureSet::default_set().schema(), &score.slots).iter().map(|c| c.points).sum();
            prop_assert_eq!(points, score.score);
            prop_assert_eq!(score.slots[FeatureSet::default_set().schema().slot("score.total").unwrap()], f32::from(score.score));
            prop_assert_eq!(score.slots.len(), FeatureSet::default_set().schema().features().len());
        }
    }
}
