//! What writes have to pass before they are appended.

use std::num::NonZeroU32;

use stockade_runtime::{
    Rung, Trust,
    limits::{Class, Per},
};

use super::*;
use crate::{bounds::Bounds, domain::Effect};

fn whole(level: Level) -> Vec<Restriction> {
    vec![restriction(Scope::Supplier, level)]
}

fn end(api: &Api) -> u64 {
    api.log.bounds(Topic::SupplierEvents.name(), 0).unwrap().end
}

fn batch(rows: usize) -> Value {
    let row = |row| {
        json!({ "op": "put", "listing": format!("b-{row}"), "sku": "SKU-1", "location": "main", "on_hand": 1,
                "price": { "minor": 100, "currency": "EUR" } })
    };
    json!({ "rows": (0..rows).map(row).collect::<Vec<_>>() })
}

#[tokio::test]
async fn a_locked_out_supplier_is_refused_unread_and_one_write_a_minute_is_kept_as_evidence() {
    let api = Api::open().await;
    for name in ["l", "m"] {
        assert_eq!(api.list(name, json!({})).await.status, 200);
    }
    api.restrict(whole(Level::Lockout)).await;
    let before = end(&api);
    assert_eq!(api.list("n", json!({})).await.code(), (403, "supplier_locked_out"));
    assert_eq!(end(&api), before + 1, "the first is on record, as the fold refused it");
    // Were they read, these would be malformed.
    let bearer = format!("Bearer {}", api.supplier);
    let headers = [("authorization", bearer.as_str())];
    for path in ["listings/n", "locations/second"] {
        let path = format!("/v1/suppliers/acme/{path}");
        let refused = api.raw(Method::PUT, &path, &headers, b"{".to_vec()).await;
        assert_eq!(refused.code(), (403, "supplier_locked_out"), "{path}");
    }
    assert_eq!(end(&api), before + 1, "what follows within a minute is not");
    assert_eq!(api.post("listings/l/stock", &[], json!({ "set": 0 })).await.status, 200);
    assert_eq!(api.post("listings/l/stock", &[], json!({ "set": 90 })).await.code().1, "supplier_locked_out");
    let path = "/v1/suppliers/acme/listings/m";
    assert_eq!(api.call(Method::DELETE, &api.supplier, path, &[], Value::Null).await.status, 200);
    api.restrict(Vec::new()).await;
    assert_eq!(api.list("n", json!({})).await.status, 200, "it is free at once");
}

#[tokio::test]
async fn suppliers_under_suspicion_share_an_allowance_but_for_what_takes_supply_away() {
    let class = |per_second, burst| {
        Class::a_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    };
    let limits = [("standard", class(10_000, 10_000)), ("suspect", class(1, 3))];
    let limits = LimitsConfig(limits.map(|(name, class)| (name.to_owned(), class)).into());
    let api = Api::with_limits(limits).await;
    assert_eq!(api.list("l", json!({})).await.header("ratelimit-policy"), "\"default\";q=10000;w=1");
    api.restrict(whole(Level::Cap)).await;
    // Taken while the whole burst is there, and paid off: nothing is left for longer than the test runs.
    let first = api.post("inventory:batch", &[], batch(1_000)).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), "\"default\";q=10000;w=1, \"suspect\";q=3;w=3");
    assert!(first.header("ratelimit").ends_with(", \"suspect\";r=0;t=3"), "{}", first.header("ratelimit"));
    let refused = api.put("listings/l", &[], json!("not read")).await;
    assert_eq!(refused.code(), (429, "class_limited"), "unread, for nothing is left");
    assert!(!refused.header("retry-after").is_empty());
    for gone in [json!({ "adjust": -1 }), json!({ "set": 0 })] {
        let answer = api.post("listings/l/stock", &[], gone).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    for nothing in [json!({ "adjust": -1 }), json!({ "set": 0 })] {
        let answer = api.post("listings/l/stock", &[], nothing).await;
        assert_eq!(answer.code(), (429, "class_limited"), "there is nothing left to take away");
    }
    assert_eq!(api.post("listings/l/stock", &[], json!({ "set": 9 })).await.code(), (429, "class_limited"));
    let path = "/v1/suppliers/acme/listings/l";
    assert_eq!(api.call(Method::DELETE, &api.supplier, path, &[], Value::Null).await.status, 200);
    let again = api.call(Method::DELETE, &api.supplier, path, &[], Value::Null).await;
    assert_eq!(again.code(), (429, "class_limited"), "it is gone already");
}

#[tokio::test]
async fn while_its_partition_is_behind_a_supplier_has_a_quarter_of_what_it_goes_through() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    // It is taken for forty rows a second, of which a quarter is ten, so a batch holds back for as long as anything does.
    api.app.gate_of_edge.fairness.set_rate(0, Some(0.1));
    assert_eq!(api.post("inventory:batch", &[], batch(1_000)).await.status, 200, "one is always taken whole");
    let refused = api.post("inventory:batch", &[], batch(1)).await;
    assert_eq!(refused.code(), (429, "share_used"));
    let wait_s: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=100).contains(&wait_s), "{wait_s}");
    assert_eq!(api.list("m", json!({})).await.code(), (429, "share_used"));
    assert_eq!(api.post("listings/l/stock", &[], json!({ "set": 0 })).await.status, 200);
    assert_eq!(api.ask("sku=SKU-1").await.status, 200);
    api.app.gate_of_edge.fairness.set_rate(0, None);
    assert_eq!(api.post("inventory:batch", &[], batch(1)).await.status, 200, "it is not behind any more");
}

#[tokio::test]
async fn rows_that_are_decided_are_counted_for_their_partition() {
    let api = Api::open().await;
    let fairness = &api.app.gate_of_edge.fairness;
    let before = fairness.drained_so_far(0);
    assert_eq!(api.post("inventory:batch", &[], batch(100)).await.status, 200);
    assert_eq!(fairness.drained_so_far(0), before + 100);
}

/// Goes on with something until `done`.
async fn until(mut work: std::pin::Pin<&mut impl Future<Output = Reply>>, done: impl Fn() -> bool) {
    while !done() {
        tokio::select! {
            biased;
            reply = &mut work => panic!("{} {}", reply.status, reply.body),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn a_large_batch_waits_for_those_before_until_they_are_decided_and_single_rows_do_not() {
    let mut api = Api::open().await;
    let turns = api.app.turns_at_log.clone();
    let others = turns.wait("others", 1 << 20).await.unwrap();
    let before = end(&api);
    {
        let mut large = std::pin::pin!(api.post("inventory:batch", &[], batch(1_000)));
        until(large.as_mut(), || turns.waiting() == 1).await;
        assert_eq!(api.list("l", json!({})).await.status, 200);
        assert_eq!(api.post("inventory:batch", &[], batch(3)).await.status, 200, "nor do short ones");
        assert_eq!(end(&api), before + 2);
        drop(others);
        assert_eq!(large.await.status, 200);
    }
    assert_eq!(turns.at_work(), 0);
    // Nothing is decided while the fold does not run.
    api.running = None;
    while api.app.board.owns("inventory", 0) {
        tokio::task::yield_now().await;
    }
    let before = end(&api);
    let mut large = std::pin::pin!(api.post("inventory:batch", &[], batch(1_000)));
    until(large.as_mut(), || turns.at_work() == 1).await;
    until(large.as_mut(), || end(&api) > before).await;
    // Its partition is behind, which is no reason to hold up the others.
    until(large.as_mut(), || turns.at_work() == 0).await;
    let _fold = api.fold();
    assert_eq!(large.await.status, 200);
    assert_eq!(turns.at_work(), 0);
}

#[tokio::test]
async fn a_large_batch_waits_for_its_turn_at_the_log_without_one_at_reading_and_pays_only_where_it_comes() {
    let api = Api::open().await;
    let (turns, reading) = (api.app.turns_at_log.clone(), api.app.turns.clone());
    let others = turns.wait("others", 1 << 20).await.unwrap();
    let mut large = std::pin::pin!(api.post("inventory:batch", &[], batch(1_000)));
    until(large.as_mut(), || turns.waiting() == 1).await;
    assert_eq!(reading.at_work(), 0, "whoever waits at the log keeps nobody from reading");
    drop(others);
    assert_eq!(large.await.status, 200);

    // As many of its batches wait as may.
    let class = Class::a_second(NonZeroU32::MIN, NonZeroU32::new(500).unwrap());
    let limits = LimitsConfig([("standard".to_owned(), class)].into());
    let api = Api::with_limits(limits).await;
    let turns = api.app.turns_at_log.clone();
    let busy = turns.wait("others", 1 << 20).await.unwrap();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut before: Vec<_> = (0..64).map(|_| Box::pin(turns.wait("acme", 1))).collect();
    assert!(before.iter_mut().all(|wait| wait.as_mut().poll(&mut context).is_pending()));
    for _ in 0..3 {
        let refused = api.post("inventory:batch", &[], batch(200)).await;
        assert_eq!(refused.code(), (429, "too_many_waiting"), "and not for its allowance");
    }
    drop((before, busy));
    assert_eq!(api.post("inventory:batch", &[], batch(200)).await.status, 200);
}

#[tokio::test]
async fn whatever_those_who_are_not_trusted_have_at_the_log_a_trusted_suppliers_batch_goes_at_once() {
    let api = Api::open().await;
    let turns = api.app.turns_at_log.clone();
    let others = [Trust::New, Trust::Suspect].map(|trust| turns.of(trust));
    let _busy = others[0].wait("new", 1 << 20).await.unwrap();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut waits: Vec<_> = (0..100)
        .map(|number| {
            let others = &others[number % 2];
            Box::pin(async move { others.wait(&number.to_string(), 1 << 18).await })
        })
        .collect();
    assert!(waits.iter_mut().all(|wait| wait.as_mut().poll(&mut context).is_pending()));
    assert_eq!(api.post("inventory:batch", &[], batch(1_000)).await.status, 200);
    assert_eq!(turns.waiting(), 100);
}

#[tokio::test]
async fn what_a_supplier_sends_through_another_process_is_taken_from_its_share_here_and_what_buyers_ask_is_not()
 {
    for (adds, expected) in [(0, 200), (1_000, 429)] {
        let api = Api::open().await;
        api.app.gate_of_edge.fairness.set_rate(0, Some(0.1));
        let supplier = SupplierId::new("acme").unwrap();
        let (id, key) = ("elsewhere".to_owned(), "k".to_owned());
        api.app.take_of(
            0,
            vec![Effect::Decided {
                id,
                supplier,
                key,
                rows: None,
                adds,
                of_buyer: false,
                holds: None,
                retry: false,
            }],
        );
        assert_eq!(api.post("inventory:batch", &[], batch(1)).await.status, expected, "{adds}");
    }
}

#[tokio::test]
async fn each_rung_puts_off_its_writes_and_none_what_buyers_ask_or_what_takes_supply_away() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let brownout = &api.app.gate_of_edge.brownout;
    let event = json!({ "specversion": "1.0", "id": "e", "source": "s", "type": "stockade.order.placed",
        "data": { "supplier": "acme", "order": "o", "buyer": "b", "listing": "l", "quantity": 1 } });
    for rung in Rung::ALL {
        brownout.set(rung, rung, [rung]);
        let single = api.list("l", json!({})).await;
        let stock = api.post("listings/l/stock", &[], json!({ "set": 500 })).await;
        let bulk = api.post("inventory:batch", &[], batch(2)).await;
        let events = api.call(Method::POST, &api.orders, "/v1/events", &[], event.clone()).await;
        for (name, reply, from) in [
            ("single", single, Rung::Rows),
            ("stock", stock, Rung::Rows),
            ("bulk", bulk, Rung::Bulk),
            ("events", events, Rung::Rows),
        ] {
            if rung >= from {
                assert_eq!(reply.code(), (503, "put_off"), "{name} on {rung:?}");
                assert!(!reply.header("retry-after").is_empty());
            } else {
                assert!(reply.status < 300, "{name} on {rung:?}: {}", reply.body);
            }
        }
        assert_eq!(api.ask("sku=SKU-1").await.status, 200);
        let hold = json!({ "supplier": "acme", "listing": "l", "quantity": 1, "seconds": 60 });
        assert!(api.reserve(hold).await.status < 300, "{rung:?}");
        assert_eq!(api.post("listings/l/stock", &[], json!({ "set": 0 })).await.status, 200, "{rung:?}");
        brownout.set(Rung::Calm, Rung::Calm, [Rung::Calm]);
        assert_eq!(api.post("listings/l/stock", &[], json!({ "set": 100 })).await.status, 200);
    }
    api.restrict(whole(Level::Watch)).await;
    brownout.set(Rung::Suspect, Rung::Suspect, [Rung::Suspect]);
    assert_eq!(api.list("l", json!({})).await.status, 200, "who is only watched is no suspect");
    api.restrict(whole(Level::Cap)).await;
    brownout.set(Rung::Suspect, Rung::Suspect, [Rung::Suspect]);
    assert_eq!(api.list("l", json!({})).await.code(), (503, "put_off"), "suspects come before all others");
    assert_eq!(api.post("listings/l/stock", &[], json!({ "adjust": -1 })).await.status, 200);
    brownout.set(Rung::Streams, Rung::Streams, [Rung::Streams]);
    assert_eq!(api.list("l", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_supplier_is_new_for_as_many_days_as_are_told_after_it_began_to_trade() {
    let api = Api::open().await;
    let since = |days: u32| crate::edge::Gatekeeper::new(Default::default(), 1, days);
    let age_days = u32::try_from(api.app.now().ms() / stockade_model::time::DAY_MS).unwrap();
    let trust = |days: u32| {
        let (clock, log, limits) = (system_clock(), api.log.clone(), Limits::new(&LimitsConfig::default()));
        let app = App::new(log, clock, Board::default(), limits, 1, "u".to_owned(), Duration::ZERO).unwrap();
        let app = app.with_edge(since(days));
        let profile = SupplierProfile {
            supplier: acme(),
            name: "Acme".to_owned(),
            region: Region::new("DE").unwrap(),
            since: Timestamp::default(),
            class: "standard".to_owned(),
            stock_counts: Default::default(),
        };
        app.take(vec![crate::domain::Effect::Registered { profile, cause: "c".to_owned() }]);
        app.trust_of(&acme())
    };
    assert_eq!(trust(age_days), stockade_runtime::Trust::Trusted);
    assert_eq!(trust(age_days + 1), stockade_runtime::Trust::New);
}

/// A process under these limits that knows suppliers, new and not, and whose payout account many share.
fn with_accounts(api: &Api, limits: &LimitsConfig, of: &[(&str, bool, Option<&str>)]) -> App {
    let app = App::new(
        api.log.clone(),
        system_clock(),
        Board::default(),
        Limits::new(limits),
        1,
        "u".to_owned(),
        Duration::ZERO,
    );
    let app = app.unwrap().with_edge(crate::edge::Gatekeeper::new(Default::default(), 1, 14));
    for &(name, is_new, payout) in of {
        let supplier = SupplierId::new(name).unwrap();
        let profile = SupplierProfile {
            supplier: supplier.clone(),
            name: name.to_owned(),
            region: Region::new("DE").unwrap(),
            since: if is_new { app.now() } else { Timestamp::default() },
            class: "standard".to_owned(),
            stock_counts: Default::default(),
        };
        app.take(vec![Effect::Registered { profile, cause: "c".to_owned() }]);
        if let Some(payout) = payout {
            app.take(vec![Effect::Crowded { supplier, payout: payout.into() }]);
        }
    }
    app
}

#[tokio::test]
async fn new_suppliers_of_one_payout_account_share_an_allowance_and_old_ones_and_others_do_not() {
    let api = Api::open().await;
    let class = |units| Class::a_second(NonZeroU32::MIN, NonZeroU32::new(units).unwrap());
    let limits = [("standard", class(1_000)), ("payout", class(4))];
    let limits = LimitsConfig(limits.map(|(name, class)| (name.to_owned(), class)).into());
    let of = [
        ("new-1", true, Some("p1")),
        ("new-2", true, Some("p1")),
        ("new-3", true, Some("p2")),
        ("new-4", true, None),
        ("old", false, Some("p1")),
    ];
    let app = with_accounts(&api, &limits, &of);
    let id = |name: &str| SupplierId::new(name).unwrap();
    let sends =
        |name: &str, rows| app.share(&id(name), None, rows).map(|_| ()).map_err(|problem| problem.code);
    assert_eq!(sends("new-1", 3), Ok(()));
    assert_eq!(sends("new-2", 2), Err("class_limited"), "there is one left for all of them");
    assert_eq!(sends("new-2", 1), Ok(()));
    assert!(app.share_or_wait(&id("new-1"), 1).is_err(), "imports wait for the same");
    assert_eq!((sends("new-3", 4), sends("new-4", 50), sends("old", 50)), (Ok(()), Ok(()), Ok(())));
    let refused = app.share(&id("new-1"), None, 1).unwrap_err();
    assert!(!refused.detail.contains("payout"), "it is not told by what it is known: {}", refused.detail);
}

#[tokio::test]
async fn an_honest_new_supplier_whose_account_others_name_is_served_while_they_hammer() {
    let api = Api::open().await;
    let class =
        |units| Class { units: NonZeroU32::MIN, per: Per::Day, burst: NonZeroU32::new(units).unwrap() };
    let limits = [("standard", class(1_000)), ("payout", class(40)), ("guaranteed", class(5))];
    let limits = LimitsConfig(limits.map(|(name, class)| (name.to_owned(), class)).into());
    let names: Vec<String> = (0..4).map(|fake| format!("fake-{fake}")).collect();
    let fakes = names.iter().map(|name| (name.as_str(), true, Some("p1")));
    let of: Vec<_> = fakes.chain(["batch", "file"].map(|name| (name, true, Some("p1")))).collect();
    let app = with_accounts(&api, &limits, &of);
    let id = |name: &str| SupplierId::new(name).unwrap();
    for name in &names {
        while app.share(&id(name), None, 10).is_ok() {}
    }
    assert!(app.share(&id("batch"), None, 2).is_ok(), "nothing is left but what each is guaranteed");
    assert!(app.share(&id("batch"), None, 4).is_err());
    assert!(app.share_or_wait(&id("file"), 2).is_ok(), "and so is its import");
}

#[tokio::test]
async fn what_only_takes_away_is_free_up_to_an_allowance_and_a_row_like_others_past_it() {
    let class = |per_second, burst| {
        Class::a_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    };
    let few = Class { units: NonZeroU32::MIN, per: Per::Day, burst: NonZeroU32::new(5).unwrap() };
    let limits = [("standard", class(10_000, 10_000)), ("suspect", class(1, 1)), ("reductions", few)];
    let api =
        Api::with_limits(LimitsConfig(limits.map(|(name, class)| (name.to_owned(), class)).into())).await;
    api.list("l", json!({})).await;
    let less = async || api.post("listings/l/stock", &[], json!({ "adjust": -1 })).await;
    for level in [Level::Cap, Level::Lockout] {
        api.restrict(whole(level)).await;
        assert_eq!(less().await.status, 200, "{level:?}");
    }
    api.restrict(whole(Level::Cap)).await;
    assert_eq!(api.post("inventory:batch", &[], batch(1_000)).await.status, 200);
    assert_eq!(less().await.status, 200, "the class is used up for longer than the test runs");
    assert_eq!(less().await.status, 200);
    assert_eq!(less().await.status, 200);
    assert_eq!(less().await.code(), (429, "class_limited"), "nothing is free any more, and it is told");
    api.restrict(whole(Level::Lockout)).await;
    assert_eq!(less().await.code(), (429, "class_limited"), "nor is it refused for good");
    api.restrict(Vec::new()).await;
    assert_eq!(less().await.status, 200, "who is trusted shares nothing");
}

#[tokio::test]
async fn a_batch_that_only_takes_away_needs_no_share() {
    let api = Api::open().await;
    assert_eq!(api.post("inventory:batch", &[], batch(470)).await.status, 200);
    api.app.gate_of_edge.fairness.set_rate(0, Some(0.1));
    assert_eq!(api.post("inventory:batch", &[], batch(1_000)).await.status, 200);
    assert_eq!(api.post("inventory:batch", &[], batch(1)).await.code(), (429, "share_used"));
    let rows = |from: usize, op: &dyn Fn(usize) -> Value| json!({ "rows": (from..from + 235).map(op).collect::<Vec<_>>() });
    let withdrawn = rows(0, &|row| json!({ "op": "withdraw", "listing": format!("b-{row}") }));
    let sold_out = rows(235, &|row| json!({ "op": "stock", "listing": format!("b-{row}"), "set": 0 }));
    for reducing in [withdrawn, sold_out] {
        let answer = api.post("inventory:batch", &[], reducing).await;
        assert_eq!((answer.status, &answer.body["succeeded"]), (200, &json!(235)), "{}", answer.body["code"]);
    }
    let again = rows(0, &|row| json!({ "op": "withdraw", "listing": format!("b-{row}") }));
    assert_eq!(
        api.post("inventory:batch", &[], again).await.code(),
        (429, "share_used"),
        "it is gone already"
    );
}

#[tokio::test]
async fn a_supplier_has_so_many_listings_and_locations_and_what_exists_is_always_taken() {
    let api = Api::open().await;
    let bounds = Bounds { listings_max: 3, new_listings_max: 1, locations_max: 1 };
    api.app.gate_of_edge.set_bounds(bounds);
    for name in ["a", "b"] {
        assert_eq!(api.list(name, json!({})).await.status, 200);
    }
    let put = |name: &str| {
        let mut row = listing(json!({ "op": "put" }));
        row["listing"] = name.into();
        row
    };
    let rows = json!({ "rows": [put("c"), put("d"), put("c"), put("a"), put("e")] });
    let answer = api.post("inventory:batch", &[], rows).await;
    assert_eq!(
        (&answer.body["succeeded"], &answer.body["failed"]),
        (&json!(3), &json!(2)),
        "{}",
        answer.body
    );
    assert_eq!(answer.body["rows"][1]["code"], "too_many_listings");
    assert_eq!(answer.body["rows"][4]["code"], "too_many_listings");
    let refused = api.list("d", json!({})).await;
    assert_eq!(refused.code(), (422, "too_many_listings"));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("3 listings are allowed") && detail.contains("withdrawn"), "{detail}");
    assert_eq!(api.list("a", json!({ "on_hand": 4 })).await.status, 200);
    let withdraw = async |name: &str| {
        let path = format!("/v1/suppliers/acme/listings/{name}");
        api.call(Method::DELETE, &api.supplier, &path, &[], Value::Null).await.status
    };
    assert_eq!(withdraw("a").await, 200);
    assert_eq!(api.list("d", json!({})).await.status, 200, "its place is free");
    // Putting and withdrawing in turn ends where five times as many are kept.
    let (mut kept, mut last) = (4, "d".to_owned());
    while kept < 15 {
        assert_eq!(withdraw(&last).await, 200);
        last = format!("n-{kept}");
        assert_eq!(api.list(&last, json!({})).await.status, 200, "{kept}");
        kept += 1;
    }
    assert_eq!(withdraw(&last).await, 200);
    assert_eq!(api.list("n-15", json!({})).await.code(), (422, "too_many_listings"));
    assert_eq!(api.list("a", json!({})).await.status, 200, "one that was withdrawn comes back");
    api.restrict(whole(Level::Cap)).await;
    assert_eq!(api.list("b", json!({ "on_hand": 2 })).await.status, 200, "more than a suspect may have");
    assert_eq!(api.list("f", json!({})).await.code(), (422, "too_many_listings"));
    let place = || json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 0 });
    assert_eq!(api.put("locations/main", &[], place()).await.status, 200);
    assert_eq!(api.put("locations/second", &[], place()).await.code(), (422, "too_many_locations"));
}
