//! Old records keep decoding: one file per kind of record, written once and never changed.
//!
//! A new field must be optional or have a default, so that these files still decode to the same values. To add a file for
//! a new kind, run once with `STOCKADE_TEST_BLESS=1`; it never overwrites one that is there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

use std::{collections::BTreeMap, path::PathBuf};

use stockade_model::*;

fn id<T: std::str::FromStr<Err = Invalid>>(text: &str) -> T {
    text.parse().unwrap()
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn restriction() -> Restriction {
    Restriction {
        id: "d-1-42-1".to_owned(),
        version: Position::parse("arbiter/0/1/42/1").unwrap(),
        scope: Scope::Listing { listing: id("l-1") },
        level: Level::Quarantine,
        reasons: vec!["PRICE_OUTLIER".to_owned()],
        rule: Some(RuleRef {
            id: id("price-bait"),
            version: "0123456789abcdef".to_owned(),
            content: String::new(),
        }),
        actor: None,
        values: BTreeMap::from([("listing.price_ratio".to_owned(), 0.25)]),
        tree: vec!["true    listing.price_ratio [0.25] < 0.4".to_owned()],
        since: time("2026-11-22T10:00:00Z"),
        expires_at: time("2026-11-25T10:00:00Z"),
        review_at: time("2026-11-23T10:00:00Z"),
        cause: Some(Cause { id: "e-1".to_owned(), time: time("2026-11-22T10:00:00Z") }),
        evidence: 5.0,
        text: String::new(),
        counterfactuals: Vec::new(),
        vouched: Vec::new(),
        by_association: false,
        holdout: false,
        asked: None,
        confirmed: None,
    }
}

fn order_event() -> OrderEvent {
    OrderEvent {
        id: id("e-1"),
        source: "shop".to_owned(),
        kind: OrderEventKind::Cancelled,
        time: time("2026-11-22T09:59:59.5Z"),
        supplier: id("acme"),
        order: Some(id("o-1")),
        buyer: Some(id("b-1")),
        listing: Some(id("l-1")),
        sku: Some(id("SKU-1")),
        line: None,
        part: None,
        reservation: None,
        quantity: Some(2),
        amount: Some(Money::new(1_999, Currency::new("EUR").unwrap()).unwrap()),
        cause: OutcomeCause::Supplier,
        rating: None,
        late: false,
        new_device: false,
        category: None,
        tracking: None,
        region: None,
        ship_by: None,
        deliver_by: None,
        reason: None,
        attributes: Vec::new(),
    }
}

fn samples() -> Vec<(&'static str, Payload)> {
    let notice = Notice {
        id: "arbiter/0/1/42/1/decision.restricted".to_owned(),
        event: "decision.restricted".to_owned(),
        at: time("2026-11-22T10:00:00Z"),
        audience: Audience::Supplier { supplier: id("acme") },
        data: serde_json::json!({ "supplier": "acme", "level": "quarantine" }),
    };
    let held_back = Notice {
        id: "arbiter/0/1/43/1/rule.held_back".to_owned(),
        event: "rule.held_back".to_owned(),
        at: time("2026-11-22T10:00:00Z"),
        audience: Audience::Operators,
        data: serde_json::json!({ "because": "budget", "rule": "price-bait" }),
    };
    let asked = |what| {
        let by = EndpointOwner::Buyer { key: "00112233445566778899aabbccddeeff".to_owned() };
        Payload::Webhook(WebhookRecord::Asked { endpoint: "wh_1".to_owned(), by, what })
    };
    let market = Some(MarketSeen { median_minor: 1_000, offers: 4, median_units: 30, spread_minor: None });
    let rows = vec![
        Row::Put(ListingPut {
            listing: id("l-1"),
            sku: id("SKU-1"),
            gtin: Some(Gtin::new("4006381333931").unwrap()),
            location: id("main"),
            price: Money::new(1_999, Currency::new("EUR").unwrap()).unwrap(),
            regions: vec![Region::new("DE").unwrap()],
            on_hand: Some(10),
            source_seq: Some(7),
            market,
        }),
        Row::Stock(StockChange {
            listing: id("l-1"),
            mode: StockMode::Adjust,
            quantity: -1,
            source_seq: Some(8),
            market: None,
        }),
        Row::Withdraw { listing: id("l-1"), source_seq: None },
        Row::Location(LocationPut {
            location: id("main"),
            gln: Some(Gln::new("4000001000005").unwrap()),
            latitude: 52.5,
            longitude: 13.4,
            region: Region::new("DE").unwrap(),
            handling_days: 2,
        }),
        Row::Hold {
            reservation: id("acme::r1"),
            listing: id("l-1"),
            quantity: 1,
            expires_at: time("2026-11-22T11:00:00Z"),
            region: None,
            owner: None,
            request: None,
            bound: None,
        },
        Row::Confirm { reservation: id("acme::r1"), owner: None },
        Row::ReleaseHold { reservation: id("acme::r2"), owner: None },
    ];
    let command = Command {
        supplier: id("acme"),
        idempotency_key: Some("k-1".to_owned()),
        body_hash: "00112233445566778899aabbccddeeff".to_owned(),
        rows,
        precondition: None,
        places: vec![0, 1, 2, 4, 5, 6, 7],
        refused: Vec::new(),
        forgets: None,
    };
    let conditional = Command {
        idempotency_key: None,
        rows: vec![Row::Hold {
            reservation: id("acme::r3"),
            listing: id("l-1"),
            quantity: 1,
            expires_at: time("2026-11-22T11:00:00Z"),
            region: Some(Region::new("FR").unwrap()),
            owner: None,
            request: None,
            bound: None,
        }],
        precondition: Some(Precondition {
            matches: Some(vec!["12-0a1b2c3d".to_owned()]),
            matches_none: Some(vec!["*".to_owned()]),
        }),
        places: Vec::new(),
        ..command.clone()
    };
    let profile = SupplierProfile {
        supplier: id("acme"),
        name: "Acme".to_owned(),
        region: Region::new("BR-SP").unwrap(),
        since: time("2020-01-01T00:00:00Z"),
        class: "standard".to_owned(),
        stock_counts: Default::default(),
    };
    let control = |change| Payload::Control(ControlRecord { actor: "ops".to_owned(), change });
    let registration = Registration {
        supplier: id("acme"),
        name: "Acme".to_owned(),
        region: Region::new("DE").unwrap(),
        since: None,
        class: None,
        stock_counts: None,
    };
    let said = Registration {
        since: Some(time("2020-01-01T00:00:00Z")),
        class: Some("large".to_owned()),
        ..registration.clone()
    };
    let known = profile.clone();
    let features = |base| Change::Features {
        version: "0123456789abcdef".to_owned(),
        source: "features: []\n".to_owned(),
        base,
    };
    let rule = RuleProposal {
        supplier: id("acme"),
        scope: Scope::Supplier,
        level: Level::Lockout,
        rule: RuleRef {
            id: id("price-bait"),
            version: "0123456789abcdef".to_owned(),
            content: String::new(),
        },
        reasons: vec!["PRICE_OUTLIER".to_owned()],
        values: BTreeMap::from([("listing.price_ratio".to_owned(), 0.25)]),
        tree: vec!["true    listing.price_ratio [0.25] < 0.4".to_owned()],
        duration_ms: 259_200_000,
        evidence: 5.0,
        text: String::new(),
        counterfactuals: Vec::new(),
        vouched: Vec::new(),
        by_association: false,
        holdout: false,
        budget: None,
        budget_of_all: None,
        budget_of_caps: None,
        jitter_ms: 0,
        trust_up_to: None,
    };
    let counterfactuals = vec![Counterfactual {
        feature: "listing.price_ratio".to_owned(),
        seen: Some(0.25),
        test: "< 0.4".to_owned(),
        needed: 0.4,
        decides: true,
    }];
    let text = "Prices far below the market".to_owned();
    let named = RuleRef { content: "fedcba9876543210".to_owned(), ..rule.rule.clone() };
    let rule_v2 = RuleProposal {
        text: text.clone(),
        counterfactuals: counterfactuals.clone(),
        rule: named.clone(),
        by_association: true,
        holdout: true,
        budget: Some(Budget { suppliers: Some(5), stock_share: Some(0.1), per_ms: 3_600_000 }),
        ..rule.clone()
    };
    let restriction_v2 = Restriction {
        text,
        counterfactuals,
        rule: Some(named),
        by_association: true,
        holdout: true,
        confirmed: Some(Confirmed::by("ann", time("2026-11-22T11:00:00Z"), None)),
        ..restriction()
    };
    let decision = Decision {
        version: Position::parse("arbiter/0/1/42/1").unwrap(),
        at: time("2026-11-22T10:00:00Z"),
        supplier: id("acme"),
        action: Action::Imposed,
        restriction: Some(restriction()),
        actor: None,
        note: None,
        act: None,
        in_force: vec![restriction()],
        chain: "ab".repeat(32),
    };
    let history = BuyerHistory {
        orders: 3,
        claims: 1,
        frauds: 0,
        suppliers_claimed: 1,
        since: time("2026-01-01T00:00:00Z"),
        unusual_frauds_elsewhere: 0,
        suppliers_defrauded_elsewhere: 0,
        suppliers_elsewhere: 0,
    };
    let outcome = Outcome {
        event: order_event(),
        history: Some(history),
        order: None,
        vouched: None,
        withdrawn: false,
        repeated: false,
    };
    let order_v2 = OrderSeen {
        placed_at: time("2026-11-20T10:00:00Z"),
        amount_z: None,
        category: Some("toys".to_owned()),
        settles: true,
        spoils: true,
        first: true,
        tells: false,
        again: false,
        repeat: false,
        region: Some(Region::new("DE").unwrap()),
        spoiled_by: Some(OutcomeCause::Carrier),
    };
    let overdue = Outcome {
        event: OrderEvent { kind: OrderEventKind::Overdue, ..order_event() },
        order: Some(order_v2.clone()),
        vouched: Some(Vouched::Attested),
        withdrawn: true,
        ..outcome.clone()
    };
    let witnessed = Outcome { vouched: Some(Vouched::Witnessed { weight: 0.5 }), ..outcome.clone() };
    let test_counts =
        TestCounts { seen: vec![2.5], seen_suspect: vec![1.0], expected: 2.0, expected_suspect: 0.5 };
    let evidence = EvidenceCounts {
        at_risk: vec![100.0],
        at_risk_suspect: vec![7.0],
        tests: BTreeMap::from([("cancelled".to_owned(), test_counts)]),
    };
    let test_fact = TestFact { at_risk: vec![10.0], seen: vec![2.0], expected: 1.5, lately: (1.0, 0.5) };
    let owner = Some("00112233445566778899aabbccddeeff".to_owned());
    let command_v2 = Command {
        rows: vec![
            Row::Hold {
                reservation: id("acme::r1"),
                listing: id("l-1"),
                quantity: 1,
                expires_at: time("2026-11-22T11:00:00Z"),
                region: None,
                owner: owner.clone(),
                request: Some("ffeeddccbbaa99887766554433221100".to_owned()),
                bound: None,
            },
            Row::Confirm { reservation: id("acme::r1"), owner: owner.clone() },
            Row::ReleaseHold { reservation: id("acme::r2"), owner },
        ],
        places: vec![0, 1, 3],
        refused: vec![RowOutcome::refused(2, "l-2", RowStatus::Invalid, "quantity_range", "0 to 9")],
        forgets: None,
        ..command.clone()
    };
    let of_line = |act| {
        Row::Line(LineRow {
            reservation: id("acme::r1"),
            owner: "00112233445566778899aabbccddeeff".to_owned(),
            epoch: Some(7),
            act,
        })
    };
    let hold = |whole, once| LineAct::Hold {
        listing: id("l-1"),
        quantity: 2,
        expires_at: time("2026-11-22T11:00:00Z"),
        region: Some(Region::new("FR").unwrap()),
        request: "ffeeddccbbaa99887766554433221100".to_owned(),
        basket: id("basket-1"),
        line: 1,
        lines: 3,
        whole,
        once,
        bound: None,
    };
    let command_basket = Command {
        idempotency_key: None,
        rows: vec![
            of_line(hold(true, false)),
            of_line(LineAct::Keep { expires_at: time("2026-11-22T12:00:00Z") }),
            of_line(LineAct::Confirm),
            of_line(LineAct::Release),
        ],
        places: Vec::new(),
        ..command.clone()
    };
    let command_chosen = Command {
        idempotency_key: None,
        rows: vec![of_line(hold(false, true)), of_line(LineAct::Pass)],
        places: Vec::new(),
        ..command.clone()
    };
    let choice = BasketChoice {
        basket: id("basket-1"),
        lines: vec![LineChoice { line: 1, turn: 2, supplier: id("acme"), listing: id("l-1") }],
    };
    let order_event_v2 = OrderEvent {
        line: Some(id("1")),
        part: Some("parcel-1".to_owned()),
        reservation: Some(id("acme::r1")),
        ..order_event()
    };
    let profile_v2 = SupplierProfile { stock_counts: StockCounts::ExcludingOrdered, ..profile.clone() };
    vec![
        ("command", Payload::Command(command)),
        ("command_conditional", Payload::Command(conditional)),
        ("command_v2", Payload::Command(command_v2)),
        ("command_basket", Payload::Command(command_basket)),
        ("command_chosen", Payload::Command(command_chosen)),
        ("basket_choice", Payload::Choice(choice)),
        ("order_event_v2", Payload::OrderEvent(order_event_v2.clone())),
        ("outcome_v2", Payload::Outcome(Outcome { repeated: true, ..Outcome::of(order_event_v2) })),
        (
            "order_again",
            Payload::EventAgain(EventAgain {
                id: id("e-1"),
                source: "shop".to_owned(),
                supplier: id("acme"),
                differs: true,
            }),
        ),
        ("control_supplier_v2", control(Change::Supplier { profile: profile_v2 })),
        ("order_event", Payload::OrderEvent(order_event())),
        ("outcome", Payload::Outcome(outcome)),
        ("outcome_overdue", Payload::Outcome(overdue)),
        ("outcome_witnessed", Payload::Outcome(witnessed.clone())),
        (
            "outcome_again",
            Payload::Outcome(Outcome { order: Some(OrderSeen { again: true, ..order_v2 }), ..witnessed }),
        ),
        (
            "cohort_v2",
            Payload::Cohort(CohortCounts {
                cohort: "DE/toys".to_owned(),
                week: 2_968,
                settled: 10,
                spoiled: 2,
                evidence: Some(evidence),
            }),
        ),
        (
            "peers_v2",
            Payload::Peers(PeerFact {
                cohort: "DE".to_owned(),
                settled: 40,
                spoiled: 3,
                evidence: BTreeMap::from([("cancelled".to_owned(), test_fact)]),
            }),
        ),
        (
            "proposal_cured",
            Payload::Proposal(Proposal::Cured {
                supplier: id("acme"),
                rule: id("price-bait"),
                scope: Scope::Listing { listing: id("l-1") },
            }),
        ),
        (
            "order_event_promised",
            Payload::OrderEvent(OrderEvent {
                kind: OrderEventKind::Placed,
                ship_by: Some(time("2026-11-24T22:59:59Z")),
                deliver_by: Some(time("2026-11-29T22:59:59Z")),
                ..order_event()
            }),
        ),
        ("control_supplier", control(Change::Supplier { profile })),
        (
            "control_rules",
            control(Change::Rules {
                version: "0123456789abcdef".to_owned(),
                source: "rules: []\n".to_owned(),
                base: None,
                note: String::new(),
            }),
        ),
        (
            "control_rules_v2",
            control(Change::Rules {
                version: "0123456789abcdef".to_owned(),
                source: "rules: []\n".to_owned(),
                base: Some("fedcba9876543210".to_owned()),
                note: "first".to_owned(),
            }),
        ),
        ("control_rules_rollback", control(Change::RollBackRules { to: None, note: "too many".to_owned() })),
        ("control_rules_approve", control(Change::ApproveRules { version: "0123456789abcdef".to_owned() })),
        ("control_four_eyes", control(Change::FourEyes { on: true, reason: String::new() })),
        ("control_four_eyes_v2", control(Change::FourEyes { on: false, reason: "alone".to_owned() })),
        ("control_register", control(Change::Register { registration, known: None })),
        ("control_register_known", control(Change::Register { registration: said, known: Some(known) })),
        ("control_approve", control(Change::Approve { draft: "0123456789abcdef".to_owned() })),
        ("control_drop", control(Change::Drop { draft: "c-7".to_owned() })),
        ("control_rearm", control(Change::Rearm { rule: id("price-bait"), reason: "an attack".to_owned() })),
        ("control_features", control(features(None))),
        ("control_features_v2", control(features(Some(String::new())))),
        ("proposal_rule", Payload::Proposal(Proposal::Rule(Box::new(rule)))),
        ("proposal_rule_v2", Payload::Proposal(Proposal::Rule(Box::new(rule_v2.clone())))),
        (
            "proposal_rule_vouched",
            Payload::Proposal(Proposal::Rule(Box::new(RuleProposal {
                vouched: vec![VouchedBy::Attested, VouchedBy::Witnessed, VouchedBy::Claimed],
                ..rule_v2
            }))),
        ),
        (
            "proposal_release",
            Payload::Proposal(Proposal::Release {
                supplier: id("acme"),
                restriction: Some("d-1-42-1".to_owned()),
                actor: "ann".to_owned(),
                reason: "checked".to_owned(),
            }),
        ),
        (
            "proposal_override",
            Payload::Proposal(Proposal::Override {
                supplier: id("acme"),
                deny: Some(Level::Dim),
                scope: Scope::Region { region: Region::new("DE").unwrap() },
                actor: "ann".to_owned(),
                reason: "known".to_owned(),
                expires_at: time("2026-12-01T00:00:00Z"),
                precondition: None,
                text: String::new(),
            }),
        ),
        (
            "proposal_override_expecting",
            Payload::Proposal(Proposal::Override {
                supplier: id("acme"),
                deny: Some(Level::Quarantine),
                scope: Scope::Supplier,
                actor: "ann".to_owned(),
                reason: "the release of d-1-42-1 is undone".to_owned(),
                expires_at: time("2026-12-01T00:00:00Z"),
                precondition: Some(Precondition {
                    matches: None,
                    matches_none: Some(vec![stockade_model::precondition::ANY.to_owned()]),
                }),
                text: "the carrier has no parcels of yours".to_owned(),
            }),
        ),
        (
            "proposal_clear_override_expecting",
            Payload::Proposal(Proposal::ClearOverride {
                supplier: id("acme"),
                actor: "ann".to_owned(),
                reason: "a mistake".to_owned(),
                precondition: Some(Precondition {
                    matches: Some(vec!["d-1-42-1".to_owned()]),
                    matches_none: None,
                }),
            }),
        ),
        (
            "proposal_give_back",
            Payload::Proposal(Proposal::GiveBack { review: "v-1-42-1".to_owned(), actor: "ann".to_owned() }),
        ),
        (
            "proposal_reopen",
            Payload::Proposal(Proposal::Reopen {
                supplier: id("acme"),
                restriction: "d-1-42-1".to_owned(),
                actor: "ann".to_owned(),
                reason: "the wrong one".to_owned(),
            }),
        ),
        (
            "proposal_settle",
            Payload::Proposal(Proposal::Settle {
                review: "v-1-42-1".to_owned(),
                finding: Finding::Uphold,
                actor: "ann".to_owned(),
                reason: "checked".to_owned(),
            }),
        ),
        (
            "proposal_stock",
            Payload::Proposal(Proposal::Stock {
                supplier: id("acme"),
                figures: StockFigures { listings: 3, units: 120 },
            }),
        ),
        (
            "proposal_kill_switch",
            Payload::Proposal(Proposal::KillSwitch {
                on: true,
                actor: "ann".to_owned(),
                reason: "a bad rule".to_owned(),
            }),
        ),
        (
            "proposal_restore",
            Payload::Proposal(Proposal::Restore {
                rule: id("cancel-rate"),
                since: Some(time("2026-11-22T08:00:00Z")),
                confirmed: true,
                stop: Some("0123456789abcdef".to_owned()),
                actor: "ann".to_owned(),
                reason: "it matched everyone".to_owned(),
            }),
        ),
        (
            "proposal_gone",
            Payload::Proposal(Proposal::Gone {
                rule: RuleRef {
                    id: id("cancel-rate"),
                    version: "fedcba9876543210".to_owned(),
                    content: "0123456789abcdef".to_owned(),
                },
            }),
        ),
        (
            "decision_restored",
            Payload::Decision(Decision {
                action: Action::Released,
                act: Some("api-7".to_owned()),
                in_force: Vec::new(),
                ..decision.clone()
            }),
        ),
        (
            "decision_lowered",
            Payload::Decision(Decision {
                action: Action::Lowered,
                in_force: vec![Restriction {
                    level: Level::Watch,
                    asked: Some(Level::Quarantine),
                    ..restriction()
                }],
                ..decision.clone()
            }),
        ),
        (
            "decision_confirmed_again",
            Payload::Decision(Decision {
                action: Action::Confirmed,
                in_force: vec![Restriction {
                    confirmed: Some(Confirmed::by(
                        "bob",
                        time("2026-11-22T12:00:00Z"),
                        Some(Confirmed::by("ann", time("2026-11-22T11:00:00Z"), None)),
                    )),
                    ..restriction()
                }],
                ..decision.clone()
            }),
        ),
        ("decision_reopened", Payload::Decision(Decision { action: Action::Reopened, ..decision.clone() })),
        (
            "decision_v2",
            Payload::Decision(Decision {
                action: Action::Confirmed,
                restriction: Some(restriction_v2.clone()),
                in_force: vec![restriction_v2],
                ..decision.clone()
            }),
        ),
        ("decision", Payload::Decision(decision)),
        ("webhook_notice", Payload::Webhook(WebhookRecord::Notice(notice))),
        ("webhook_notice_operators", Payload::Webhook(WebhookRecord::Notice(held_back))),
        (
            "webhook_create",
            asked(EndpointAsk::Create {
                url: "https://hooks.example.com/in".to_owned(),
                events: vec!["decision.restricted".to_owned()],
                description: Some("the shop".to_owned()),
                master: "01234567".to_owned(),
            }),
        ),
        (
            "webhook_change",
            asked(EndpointAsk::Change {
                url: None,
                events: Some(Vec::new()),
                description: None,
                enabled: Some(true),
            }),
        ),
        ("webhook_rotate", asked(EndpointAsk::Rotate { master: "01234567".to_owned() })),
        ("webhook_delete", asked(EndpointAsk::Delete)),
        ("webhook_test", asked(EndpointAsk::Test)),
        ("webhook_redeliver", asked(EndpointAsk::Redeliver { delivery: "msg_1".to_owned() })),
        ("webhook_replay", asked(EndpointAsk::Replay { since: time("2026-11-22T10:00:00Z") })),
        (
            "webhook_owner_gone",
            Payload::Webhook(WebhookRecord::OwnerGone {
                endpoint: "wh_1".to_owned(),
                reason: "the key `shop` was revoked".to_owned(),
            }),
        ),
        (
            "webhook_attempted",
            Payload::Webhook(WebhookRecord::Attempted {
                endpoint: "wh_1".to_owned(),
                delivery: "msg_1".to_owned(),
                before: 2,
                attempt: Attempt {
                    failure: Some(AttemptFailure::Status),
                    status: Some(503),
                    detail: "busy".to_owned(),
                    latency_ms: 12,
                    retry_after_ms: Some(60_000),
                },
                at: None,
            }),
        ),
        ("tick", Payload::Tick(Tick { due: time("2026-11-22T10:00:00Z") })),
        (
            "dead_letter",
            Payload::DeadLetter(DeadLetter {
                topic: "supplier.events".to_owned(),
                partition: 3,
                offset: 17,
                code: "undecodable".to_owned(),
                detail: "not JSON".to_owned(),
                attempts: 1,
                kind: "stockade.inventory.command".to_owned(),
                value: "{".to_owned(),
            }),
        ),
        (
            "dead_replayed",
            Payload::LetterReplayed(LetterReplayed {
                letter: 4,
                topic: "supplier.events".to_owned(),
                partition: 3,
                offset: 17,
                actor: "ann".to_owned(),
                reason: "read by the build that is in place since".to_owned(),
            }),
        ),
        (
            "score",
            Payload::Score(ScoreRecord {
                supplier: id("acme"),
                listing: Some((id("l-1"), id("SKU-1"))),
                score: 731,
                schema: 7,
                slots: vec![0.5, 12.0, 731.0],
            }),
        ),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn records_written_by_earlier_builds_decode_to_what_they_said() {
    for (name, sample) in samples() {
        let path = path(name);
        if std::env::var_os("STOCKADE_TEST_BLESS").is_some() && !path.exists() {
            std::fs::write(&path, sample.encode()).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let decoded = Payload::decode(sample.kind(), &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(decoded, sample, "{name}");
    }
}

#[test]
fn envelopes_come_back_from_their_headers() {
    let mut envelope = Envelope::new("stockade.tick", "id-1", "here");
    envelope.position = Some(Position::parse("scoring/3/1/99/2").unwrap());
    envelope.cause = Some(Cause { id: "e-1".to_owned(), time: time("2026-11-22T10:00:00Z") });
    envelope.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let headers = envelope.headers();
    let back = Envelope::from_headers(headers.iter().map(|(n, v)| (*n, v.as_bytes()))).unwrap();
    assert_eq!(back, envelope);
    let bad = [("stockade_position", &b"nonsense"[..])];
    assert!(Envelope::from_headers(bad.into_iter()).is_err());
}

#[test]
fn an_unknown_type_and_a_cut_value_are_errors_not_guesses() {
    assert!(matches!(Payload::decode("stockade.new.thing", b"{}"), Err(DecodeError::UnknownType(_))));
    for (_, sample) in samples() {
        let bytes = sample.encode();
        assert!(Payload::decode(sample.kind(), &bytes[..bytes.len() - 1]).is_err(), "{}", sample.kind());
    }
}
