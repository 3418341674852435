//! Intake, scoring and peers together, by hand on one partition.

use std::collections::BTreeMap;

use stockade_fold::Host;
use stockade_log::{NewRecord, Record};
use stockade_model::{
    Action, Attribute, AttributeKind, BuyerId, Change, ControlRecord, Currency, Decision, Envelope, EventId,
    Level, Money, OrderEvent, OrderEventKind, OrderId, OutcomeCause, Payload, Position, Region, Restriction,
    Scope, SupplierId, SupplierProfile, Timestamp, Topic,
    time::{DAY_MS, HOUR_MS},
};

use crate::{DEFAULT_FEATURES, Edge, FeatureSet, Intake, Links, Peers, Scoring, ScoringEffect};

struct Market {
    intake: Host<Intake>,
    scoring: Host<Scoring>,
    peers: Host<Peers>,
    links: Host<Links>,
    edges: BTreeMap<String, Vec<Edge>>,
    offsets: [u64; 3],
    now_ms: i64,
    number: usize,
    features: FeatureSet,
    /// The last vector of each supplier.
    last: BTreeMap<String, BTreeMap<String, f32>>,
}

impl Market {
    fn new() -> Self {
        let features = FeatureSet::default_set();
        Self {
            intake: Host::new("intake", Topic::EventsInbox, 0, 1, 1, Intake::default()),
            scoring: Host::new("scoring", Topic::SupplierEvents, 0, 1, 1, Scoring::new(&features)),
            peers: Host::new("peers", Topic::ScoringRekeyed, 0, 1, 1, Peers::default()),
            links: Host::new("links", Topic::ScoringRekeyed, 0, 1, 1, Links::default()),
            edges: BTreeMap::new(),
            offsets: [0; 3],
            now_ms: 700 * DAY_MS,
            number: 0,
            features,
            last: BTreeMap::new(),
        }
    }

    fn record(&mut self, stage: usize, headers: Vec<(&'static str, String)>, value: bytes::Bytes) -> Record {
        let offset = self.offsets[stage];
        self.offsets[stage] += 1;
        let headers = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Record { offset, time_ms: self.now_ms, key: Default::default(), headers, value }
    }

    /// Everything that follows from outputs.
    fn follow(&mut self, outputs: Vec<NewRecord>) {
        for output in outputs {
            let (stage, topic) = match output.topic {
                "supplier.events" => (1, Topic::SupplierEvents),
                "scoring.rekeyed" => (2, Topic::ScoringRekeyed),
                _ => continue,
            };
            let record = self.record(stage, output.headers, output.value);
            let next = if topic == Topic::SupplierEvents {
                self.score(&record)
            } else {
                {
                    let mut outputs = self.peers.apply(&record, &mut Vec::new());
                    outputs.extend(self.links.apply(&record, &mut Vec::new()));
                    outputs
                }
            };
            self.follow(next);
        }
    }

    fn score(&mut self, record: &Record) -> Vec<NewRecord> {
        let mut effects = Vec::new();
        let outputs = self.scoring.apply(record, &mut effects);
        for effect in effects {
            match effect {
                ScoringEffect::Scored(score) => {
                    let names = self.features.schema().features().iter().map(|f| f.name.clone());
                    self.last.insert(score.supplier.to_string(), names.zip(score.slots).collect());
                }
                ScoringEffect::FeaturesInForce(features) => self.features = features,
                ScoringEffect::ChampionInForce(_) | ScoringEffect::Predicted(..) => {}
                ScoringEffect::Linked(supplier, edges) => {
                    self.edges.insert(supplier.to_string(), edges);
                }
            }
        }
        outputs
    }

    fn control(&mut self, change: Change) {
        let payload = Payload::Control(ControlRecord { actor: "op".to_owned(), change });
        let headers = Envelope::new(payload.kind(), "c", "test").headers();
        let record = self.record(1, headers, payload.encode().into());
        let outputs = self.score(&record);
        self.follow(outputs);
    }

    fn register(&mut self, supplier: &str, region: &str) {
        let profile = SupplierProfile {
            supplier: SupplierId::new(supplier).unwrap(),
            name: supplier.to_owned(),
            region: Region::new(region).unwrap(),
            since: Timestamp::from_ms(0),
            class: "standard".to_owned(),
            stock_counts: Default::default(),
        };
        self.control(Change::Supplier { profile });
    }

    fn event(
        &mut self,
        kind: OrderEventKind,
        supplier: &str,
        order: &str,
        change: impl FnOnce(&mut OrderEvent),
    ) {
        self.number += 1;
        let id = EventId::new(&format!("e-{}", self.number)).unwrap();
        let (time, supplier) = (Timestamp::from_ms(self.now_ms), SupplierId::new(supplier).unwrap());
        let mut event = OrderEvent {
            order: Some(OrderId::new(order).unwrap()),
            buyer: Some(BuyerId::new(&format!("b-{order}")).unwrap()),
            quantity: Some(1),
            ..OrderEvent::bare(id, "test", kind, time, supplier)
        };
        change(&mut event);
        let payload = Payload::OrderEvent(event);
        let headers = Envelope::new(payload.kind(), "", "test").headers();
        let record = self.record(0, headers, payload.encode().into());
        let outputs = self.intake.apply(&record, &mut Vec::new());
        self.follow(outputs);
    }

    /// An order of `buyer` for so many cents.
    fn order(&mut self, supplier: &str, order: &str, buyer: &str, minor: i64) {
        let amount = Money::new(minor, Currency::new("EUR").unwrap()).ok();
        let buyer = BuyerId::new(buyer).ok();
        self.event(OrderEventKind::Placed, supplier, order, |event| {
            (event.buyer, event.amount) = (buyer, amount)
        });
    }

    fn fraud(&mut self, supplier: &str, order: &str, buyer: &str) {
        let buyer = BuyerId::new(buyer).ok();
        self.event(OrderEventKind::FraudConfirmed, supplier, order, |event| event.buyer = buyer);
    }

    fn read(&self, supplier: &str, feature: &str) -> f32 {
        self.last[supplier][feature]
    }
}

#[test]
fn a_fraud_far_out_of_the_buyers_pattern_or_with_a_card_misused_elsewhere_is_explained() {
    let mut market = Market::new();
    for number in 0..6 {
        market.order("shop", &format!("o{number}"), "ann", 1_000 + 50 * number);
    }
    market.order("mill", "m1", "ann", 1_100);
    market.fraud("mill", "m1", "ann");
    assert_eq!(market.read("mill", "frauds.unexplained_14d"), 1.0, "an ordinary order");
    market.order("shop", "big", "ann", 20_000);
    market.fraud("shop", "big", "ann");
    let both = (market.read("shop", "frauds.count_7d"), market.read("shop", "frauds.unexplained_14d"));
    assert_eq!(both, (1.0, 0.0), "far out of the pattern");
    market.now_ms += DAY_MS;
    market.order("other", "x", "ann", 1_000);
    market.fraud("other", "x", "ann");
    assert_eq!(
        market.read("other", "frauds.unexplained_14d"),
        0.0,
        "the card was misused at the shop yesterday"
    );
    market.now_ms += 30 * DAY_MS;
    market.order("other", "y", "ann", 1_000);
    market.fraud("other", "y", "ann");
    assert_eq!(market.read("other", "frauds.unexplained_14d"), 1.0, "that is long ago");
    market.order("new", "n", "bob", 90_000);
    market.fraud("new", "n", "bob");
    for number in 0..8 {
        market.order("shop", &format!("c{number}"), "carl", 1_000 + number);
    }
    for (shop, seen) in [("s1", 1.0), ("s2", 1.0), ("s3", 1.0), ("s4", 0.0)] {
        market.order(shop, &format!("{shop}-c"), "carl", 1_000);
        market.fraud(shop, &format!("{shop}-c"), "carl");
        assert_eq!(
            market.read(shop, "frauds.unexplained_14d"),
            seen,
            "{shop}: after three shops it is the card"
        );
    }
    let both = (market.read("new", "frauds.count_7d"), market.read("new", "frauds.unexplained_14d"));
    assert_eq!(both, (1.0, 0.0), "a buyer without a past explains nothing and proves nothing");
}

#[test]
fn an_order_settles_once_and_spoils_once_at_the_time_it_was_placed() {
    let mut market = Market::new();
    market.register("shop", "DE");
    market.order("shop", "o", "ann", 1_000);
    market.event(OrderEventKind::Shipped, "shop", "o", |_| {});
    assert_eq!(market.read("shop", "peers.spoiled_60d"), 0.0);
    market.now_ms += 20 * DAY_MS;
    market.event(OrderEventKind::Delivered, "shop", "o", |event| {
        (event.late, event.cause) = (true, OutcomeCause::Carrier);
    });
    market.event(OrderEventKind::Reviewed, "shop", "o", |event| event.rating = Some(1));
    assert_eq!(market.read("shop", "peers.spoiled_60d"), 1.0, "once");
    assert_eq!(market.read("shop", "peers.spoiled_own_60d"), 0.0, "the carrier's lateness came first");
    market.now_ms += 41 * DAY_MS;
    market.order("shop", "p", "bob", 1_000);
    assert_eq!(market.read("shop", "peers.spoiled_60d"), 0.0, "counted from when the order was placed");
}

/// Plays weeks in which every supplier has orders, of which a share goes wrong.
fn weeks(market: &mut Market, weeks: usize, wrong: impl Fn(&str, usize) -> f64) {
    let mut random = fastrand::Rng::with_seed(5);
    for week in 0..weeks {
        for day in 0..7 {
            for number in 0..40 {
                let supplier = format!("s{number}");
                let order = format!("{week}-{day}-{number}");
                market.order(&supplier, &order, &format!("b{order}"), 1_000);
                market.now_ms += HOUR_MS / 2;
                let bad = random.f64() < wrong(&supplier, week);
                market.event(OrderEventKind::Reviewed, &supplier, &order, |event| {
                    event.rating = Some(if bad { 1 } else { 5 });
                });
            }
        }
    }
}

#[test]
fn a_wave_that_hits_everybody_is_nobodys_excess_and_a_bad_supplier_is_one_in_any_weather() {
    let mut market = Market::new();
    (0..40)
        .for_each(|number| market.register(&format!("s{number}"), if number % 2 == 0 { "DE" } else { "FR" }));
    weeks(&mut market, 6, |supplier, week| match (supplier, week) {
        ("s7", _) => 0.7,
        (_, 3..) => 0.3,
        _ => 0.05,
    });
    let excess = |supplier: &str| market.read(supplier, "peers.excess_60d_low");
    assert!(excess("s7") > 1.4, "{}", excess("s7"));
    let honest: Vec<f32> = (0..40).filter(|n| *n != 7).map(|n| excess(&format!("s{n}"))).collect();
    assert!(honest.iter().all(|excess| *excess < 1.4), "{honest:?}");
}

#[test]
fn published_features_count_what_happened_before_them_and_a_bad_declaration_changes_nothing() {
    let mut market = Market::new();
    (0..5).for_each(|number| {
        market.order("shop", &format!("o{number}"), &format!("b{number}"), 100 * (number + 1))
    });
    let before = market.features.schema().id();
    let publish = |market: &mut Market, source: &str| {
        let source = source.to_owned();
        let version = stockade_rules::RuleSet::version_of(&source);
        market.control(Change::Features { version, source, base: None });
    };
    publish(&mut market, "measures: {}\nfeatures: [{name: x}]");
    assert_eq!(market.features.schema().id(), before);
    let more = DEFAULT_FEATURES.to_owned()
        + "  - { name: orders.largest_2h, unit: minor, meaning: largest order in 2 hours, max: orders, in: 2h }\n\
           \x20 - { name: orders.value_2h, unit: minor, meaning: value of orders in 2 hours, sum: orders, in: 2h }\n";
    publish(&mut market, &more);
    assert_ne!(market.features.schema().id(), before);
    market.order("shop", "o9", "b9", 50);
    assert_eq!(
        (market.read("shop", "orders.largest_2h"), market.read("shop", "orders.value_2h")),
        (500.0, 1_550.0)
    );
    market.now_ms += 2 * HOUR_MS;
    market.order("shop", "o10", "b10", 7);
    assert_eq!(
        (market.read("shop", "orders.largest_2h"), market.read("shop", "orders.count_24h")),
        (7.0, 7.0)
    );
}

#[test]
fn a_tracking_number_used_for_another_order_is_seen() {
    let mut market = Market::new();
    for (order, number) in [("a", "T1"), ("a", "T1"), ("b", "T2"), ("c", "T1")] {
        market
            .event(OrderEventKind::Shipped, "shop", order, |event| event.tracking = Some(number.to_owned()));
    }
    assert_eq!(market.read("shop", "shipped.reused_tracking_30d"), 1.0);
}

#[test]
fn a_supplier_with_far_more_events_than_are_kept_stays_bounded_and_says_so() {
    let mut market = Market::new();
    for number in 0..20_000 {
        market.now_ms += 1_000;
        market.order("flood", &format!("o{number}"), "b", 1);
    }
    market.order("quiet", "o", "b", 1);
    assert!(market.read("flood", "history.lost_days") < 1.0);
    assert!(market.read("quiet", "history.lost_days").is_nan());
    let counted = market.read("flood", "orders.count_24h");
    assert!((counted - 20_000.0).abs() < 2_000.0, "{counted}");
    assert_eq!(market.read("flood", "supplier.orders_ever"), 20_000.0);
}

impl Market {
    fn pays_to(&mut self, supplier: &str, account: usize) {
        let hash = format!("{account:032x}");
        self.event(OrderEventKind::PayoutChanged, supplier, "none", |event| {
            (event.order, event.buyer) = (None, None);
            event.attributes = vec![Attribute { kind: AttributeKind::Payout, hash }];
        });
    }

    fn decide(&mut self, supplier: &str, level: Option<Level>) {
        let position =
            Position { fold: "arbiter".to_owned(), partition: 0, generation: 1, offset: 1, index: 1 };
        let restriction = level.map(|level| Restriction {
            id: "d".to_owned(),
            version: position.clone(),
            scope: Scope::Supplier,
            level,
            reasons: Vec::new(),
            rule: None,
            actor: None,
            values: BTreeMap::new(),
            tree: Vec::new(),
            since: Timestamp::from_ms(self.now_ms),
            expires_at: Timestamp::from_ms(self.now_ms),
            review_at: Timestamp::from_ms(self.now_ms),
            cause: None,
            evidence: 0.0,
            text: String::new(),
            counterfactuals: Vec::new(),
            vouched: Vec::new(),
            by_association: false,
            holdout: false,
            asked: None,
            confirmed: None,
        });
        let payload = Payload::Decision(Decision {
            version: position,
            at: Timestamp::from_ms(self.now_ms),
            supplier: SupplierId::new(supplier).unwrap(),
            action: Action::Imposed,
            restriction: restriction.clone(),
            actor: None,
            note: None,
            in_force: restriction.into_iter().collect(),
            act: None,
            chain: String::new(),
        });
        let record =
            self.record(1, Envelope::new(payload.kind(), "d", "test").headers(), payload.encode().into());
        let outputs = self.score(&record);
        self.follow(outputs);
    }
}

#[test]
fn a_link_to_a_withheld_supplier_is_evidence_that_fades_and_a_hub_says_nothing() {
    let mut market = Market::new();
    market.pays_to("bad", 1);
    market.pays_to("friend", 1);
    market.pays_to("stranger", 2);
    assert_eq!(market.read("friend", "links.strength"), 0.0, "nobody is locked yet");
    assert_eq!(market.edges["friend"][0].other.as_str(), "bad");
    assert_eq!(market.edges["bad"][0].other.as_str(), "friend", "both are told");
    market.decide("bad", Some(Level::Cap));
    assert_eq!(
        market.read("friend", "links.strength"),
        0.0,
        "a cap is a precaution: if it were passed on, one would cap whole neighbourhoods"
    );
    market.decide("bad", Some(Level::Quarantine));
    assert_eq!(market.read("friend", "links.strength"), 1.0);
    market.decide("bad", None);
    assert_eq!(market.read("friend", "links.strength"), 0.0, "released");
    market.decide("bad", Some(Level::Lockout));
    market.now_ms += 90 * DAY_MS;
    market.order("friend", "o", "b", 1);
    assert!((market.read("friend", "links.strength") - 0.5).abs() < 1e-6, "half after ninety days");
    for number in 0..30 {
        market.pays_to(&format!("client-{number}"), 1);
    }
    market.order("friend", "p", "b", 1);
    assert_eq!(market.read("friend", "links.strength"), 0.0, "an account of thirty is a hub");
    assert!(!market.edges.contains_key("stranger"));
    let last = &market.edges["client-29"];
    assert_eq!(
        (last.len(), last[0].degree),
        (1, 32),
        "it hears among how many it comes, and is linked to nobody by that"
    );
    assert_eq!(market.read("client-29", "links.strength"), 0.0);
}

#[test]
fn who_names_the_account_of_another_and_gets_itself_withheld_weighs_on_nobody_who_was_there_before() {
    let mut market = Market::new();
    market.pays_to("victim", 1);
    market.now_ms += 2 * DAY_MS;
    market.pays_to("throwaway", 1);
    market.decide("throwaway", Some(Level::Lockout));
    assert_eq!(market.read("victim", "links.strength"), 0.0, "it was there before");
    assert!(market.edges["victim"][0].came_later, "the link is shown all the same");
    // Seen again it is no newcomer, and neither is the other.
    market.now_ms += 2 * DAY_MS;
    market.pays_to("victim", 1);
    market.pays_to("throwaway", 1);
    assert_eq!(market.read("victim", "links.strength"), 0.0);
    // Who comes back under another name comes after who was withheld.
    market.pays_to("back", 1);
    assert!(market.read("back", "links.strength") > 0.4, "one of two others is withheld");
    market.decide("victim", Some(Level::Lockout));
    assert!(market.read("throwaway", "links.strength") > 0.4, "it came after");
    // On the same day nobody was first.
    market.pays_to("one", 2);
    market.now_ms += DAY_MS / 2;
    market.pays_to("two", 2);
    for (withheld, other) in [("one", "two"), ("two", "one")] {
        market.decide(withheld, Some(Level::Lockout));
        assert_eq!(market.read(other, "links.strength"), 1.0, "{withheld} weighs on {other}");
    }
}

#[test]
fn a_measure_per_sku_or_region_says_what_concerns_the_order_in_hand() {
    let mut market = Market::new();
    let source = "
measures:
  orders: { events: [placed] }
  of_sku: { events: [placed], per: sku }
  to_region: { events: [placed], per: region }
  goods: { events: [placed], counterparty: sku }
features:
  - { name: orders.all, unit: count, meaning: all, count: orders, in: 24h }
  - { name: orders.of_sku, unit: count, meaning: of this good, count: of_sku, in: 24h }
  - { name: orders.goods, unit: count, meaning: distinct goods, distinct: goods, in: 24h }
  - { name: orders.value_to_region, unit: minor, meaning: to this region, sum: to_region, in: 24h }
";
    let version = stockade_rules::RuleSet::version_of(source);
    market.control(Change::Features { version, source: source.to_owned(), base: None });
    for (order, sku, region) in [("a", "S1", "DE"), ("b", "S1", "FR"), ("c", "S2", "DE"), ("d", "S1", "DE")] {
        market.event(OrderEventKind::Placed, "shop", order, |event| {
            event.sku = stockade_model::Sku::new(sku).ok();
            event.region = Region::new(region).ok();
            event.amount = Money::new(100, Currency::new("EUR").unwrap()).ok();
        });
    }
    assert_eq!((market.read("shop", "orders.all"), market.read("shop", "orders.goods")), (4.0, 2.0));
    assert_eq!(market.read("shop", "orders.of_sku"), 3.0, "S1");
    assert_eq!(market.read("shop", "orders.value_to_region"), 300.0, "DE");
    market.order("shop", "e", "b", 100);
    assert!(market.read("shop", "orders.of_sku").is_nan(), "an order of no good concerns none");
}

#[test]
fn an_outcome_of_an_order_counts_once_whatever_the_event_ids() {
    let mut market = Market::new();
    market.register("shop", "DE");
    market.order("shop", "o", "ann", 1_000);
    for again in 0..3 {
        market.now_ms += again;
        market.event(OrderEventKind::Cancelled, "shop", "o", |event| {
            event.cause = OutcomeCause::Supplier;
            event.buyer = BuyerId::new("ann").ok();
        });
    }
    let seen = (market.read("shop", "cancellations.count_7d"), market.read("shop", "cancellations.rate_7d"));
    assert_eq!(seen, (1.0, 1.0));
    for name in ["l-1", "l-2"] {
        market.event(OrderEventKind::Cancelled, "shop", "o", |event| {
            event.cause = OutcomeCause::Supplier;
            event.buyer = BuyerId::new("ann").ok();
            event.listing = stockade_model::ListingId::new(name).ok();
        });
    }
    assert_eq!(market.read("shop", "cancellations.rate_7d"), 1.0, "no more than was placed");
    for kind in [OrderEventKind::Placed, OrderEventKind::FraudConfirmed, OrderEventKind::Disputed] {
        for _ in 0..3 {
            market.event(kind, "shop", "o", |event| event.buyer = BuyerId::new("ann").ok());
        }
    }
    assert_eq!(market.read("shop", "orders.count_7d"), 1.0);
    assert_eq!(market.read("shop", "supplier.orders_ever"), 1.0);
    assert_eq!(market.read("shop", "frauds.count_7d"), 1.0);
}

#[test]
fn the_first_cause_told_of_an_outcome_stands_unless_it_was_not_known() {
    use OutcomeCause::{Buyer, Carrier, Supplier, Unknown};
    for (causes, counted, spoiled) in [
        (vec![Buyer, Supplier], 0.0, 0.0),
        (vec![Supplier, Buyer], 1.0, 1.0),
        (vec![Carrier, Supplier, Buyer, Supplier], 0.0, 1.0),
        (vec![Unknown, Supplier], 1.0, 1.0),
        (vec![Unknown, Unknown, Supplier, Supplier, Buyer], 1.0, 1.0),
        (vec![Unknown, Buyer, Supplier], 0.0, 1.0),
    ] {
        let mut market = Market::new();
        market.register("shop", "DE");
        market.order("shop", "o", "ann", 1_000);
        for cause in &causes {
            market.event(OrderEventKind::Cancelled, "shop", "o", |event| {
                event.cause = *cause;
                event.buyer = BuyerId::new("ann").ok();
            });
        }
        let seen = (market.read("shop", "cancellations.count_7d"), market.read("shop", "peers.spoiled_60d"));
        assert_eq!(seen, (counted, spoiled), "{causes:?}");
    }
    let returns = |causes: &[OutcomeCause]| {
        let mut market = Market::new();
        market.order("shop", "o", "ann", 1_000);
        market.order("shop", "p", "ann", 1_000);
        for cause in causes {
            market.event(OrderEventKind::Refunded, "shop", "o", |event| {
                event.cause = *cause;
                event.buyer = BuyerId::new("ann").ok();
            });
        }
        market.read("shop", "returns.rate_30d_low")
    };
    assert_eq!(
        returns(&[Unknown, Supplier]),
        returns(&[Unknown]),
        "it counted while its cause was not known"
    );
}

#[test]
fn every_line_of_an_order_may_go_wrong_once() {
    let mut market = Market::new();
    let line = |name: &'static str| {
        move |event: &mut OrderEvent| {
            event.buyer = BuyerId::new("ann").ok();
            event.line = stockade_model::LineId::new(name).ok();
            event.cause = OutcomeCause::Supplier;
        }
    };
    for name in ["1", "2", "1"] {
        market.event(OrderEventKind::Placed, "shop", "o", line(name));
    }
    for name in ["1", "2", "2"] {
        market.event(OrderEventKind::Cancelled, "shop", "o", line(name));
    }
    let seen = (market.read("shop", "orders.count_7d"), market.read("shop", "cancellations.count_7d"));
    assert_eq!(seen, (2.0, 2.0));
}

#[test]
fn what_was_said_before_an_order_was_placed_is_not_counted_again_after_it() {
    let mut market = Market::new();
    let cancelled = |market: &mut Market| {
        market.event(OrderEventKind::Cancelled, "shop", "o", |event| {
            event.cause = OutcomeCause::Supplier;
            event.buyer = BuyerId::new("ann").ok();
        });
    };
    cancelled(&mut market);
    market.order("shop", "o", "ann", 1_000);
    cancelled(&mut market);
    assert_eq!(market.read("shop", "cancellations.count_7d"), 1.0);
    assert_eq!(market.read("shop", "peers.spoiled_60d"), 1.0, "heard of at last with the order at hand");
}
