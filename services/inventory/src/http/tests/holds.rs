//! What one buyer's key may hold at once, and what is told of it.

use stockade_runtime::Role;

use super::*;
use crate::buyers::BuyersConfig;

fn half_of_a_shelf() -> BuyersConfig {
    BuyersConfig { held_percent_max: 50, ..BuyersConfig::default() }
}

async fn hold_as(api: &Api, key: &str, id: &str, quantity: i64) -> Reply {
    let body = json!({ "supplier": "acme", "listing": "l", "quantity": quantity });
    api.call(Method::POST, key, "/v1/reservations", &[("idempotency-key", id)], body).await
}

async fn end(api: &Api, held: &Reply, verb: &str) -> u16 {
    let name = held.body["reservation"].as_str().unwrap();
    let method = if verb.is_empty() { Method::DELETE } else { Method::POST };
    api.call(method, &api.buyer, &format!("/v1/reservations/{name}{verb}"), &[], Value::Null).await.status
}

#[tokio::test]
async fn who_hoards_a_listing_is_refused_and_another_buyer_still_reserves_it() {
    let api = Api::open().await;
    api.app.set_buyers(half_of_a_shelf());
    let other = api.keys.create("other", Role::Buyer).unwrap();
    api.list("l", json!({ "on_hand": 100 })).await;
    let first = hold_as(&api, &api.buyer, "1", 50).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let refused = hold_as(&api, &api.buyer, "2", 1).await;
    assert_eq!(refused.code(), (409, "too_many_units_held"));
    assert!(refused.body["detail"].as_str().unwrap().contains("confirm or give back"), "{}", refused.body);
    assert_eq!(hold_as(&api, &other, "1", 50).await.status, 201);
    assert_eq!(hold_as(&api, &api.buyer, "1", 50).await.status, 200, "what stands is answered");
    assert_eq!(end(&api, &first, "").await, 204);
    assert_eq!(hold_as(&api, &api.buyer, "2", 1).await.status, 201, "the refusal was not for good");
    // More may be in force without a restart.
    assert_eq!(hold_as(&api, &api.buyer, "3", 50).await.code(), (409, "not_available"));
    api.list("l", json!({ "on_hand": 200 })).await;
    assert_eq!(hold_as(&api, &api.buyer, "4", 120).await.code(), (409, "too_many_units_held"));
    api.app.set_buyers(BuyersConfig { held_percent_max: 100, ..BuyersConfig::default() });
    assert_eq!(hold_as(&api, &api.buyer, "4", 120).await.status, 201);
}

#[tokio::test]
async fn of_a_basket_the_line_is_named_that_would_be_too_many_and_it_may_be_asked_for_again() {
    let api = Api::open().await;
    api.app.set_buyers(half_of_a_shelf());
    api.list("l", json!({ "on_hand": 40 })).await;
    api.list("m", json!({ "sku": "SKU-2" })).await;
    let good = || json!({ "sku": "SKU-1", "quantity": 15, "region": "DE" });
    let m = json!({ "supplier": "acme", "listing": "m", "quantity": 1 });
    let basket = async |key: &str, mode: &str| {
        let body = json!({ "mode": mode, "lines": [m, good()] });
        api.call(Method::POST, &api.buyer, "/v1/reservations", &[("idempotency-key", key)], body).await
    };
    let held = hold_as(&api, &api.buyer, "1", 10).await;
    let whole = basket("whole", "all_or_nothing").await;
    assert_eq!(whole.code(), (409, "too_many_units_held"), "{}", whole.body);
    let line = &whole.body["lines"][1];
    assert_eq!(line["code"], "too_many_units_held");
    assert_eq!(line.get("listing"), None, "whoever named a good is not told whose it might have been");
    let part = basket("part", "per_line").await;
    assert_eq!((part.status, &part.body["failed"]), (201, &json!(1)), "{}", part.body);
    assert_eq!(part.body["lines"][1]["code"], "too_many_units_held");
    assert_eq!(end(&api, &held, ":confirm").await, 200);
    let part = basket("part", "per_line").await;
    assert_eq!((part.status, &part.body["failed"]), (201, &json!(0)), "{}", part.body);
}

#[tokio::test]
async fn a_key_has_so_many_reservations_open_and_confirming_or_giving_back_makes_room() {
    let api = Api::open().await;
    api.app.set_buyers(half_of_a_shelf());
    let other = api.keys.create("other", Role::Buyer).unwrap();
    api.app.set_buyers(BuyersConfig { open_holds_max: 2, ..BuyersConfig::default() });
    api.list("l", json!({ "on_hand": 100 })).await;
    let (one, two) = (hold_as(&api, &api.buyer, "1", 1).await, hold_as(&api, &api.buyer, "2", 1).await);
    assert_eq!((one.status, two.status), (201, 201));
    let refused = hold_as(&api, &api.buyer, "3", 1).await;
    assert_eq!(refused.code(), (429, "too_many_holds"));
    let wait: i64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=901).contains(&wait), "until the first lapses: {wait}");
    assert_eq!(hold_as(&api, &api.buyer, "1", 1).await.status, 200, "a retry is answered");
    assert_eq!(hold_as(&api, &other, "1", 1).await.status, 201, "another key has places of its own");
    assert_eq!(end(&api, &one, ":confirm").await, 200);
    let lines = |count: usize| {
        let line = json!({ "supplier": "acme", "listing": "l", "quantity": 1 });
        json!({ "mode": "all_or_nothing", "lines": vec![line; count] })
    };
    assert_eq!(api.reserve(lines(2)).await.code(), (429, "too_many_holds"), "each line is one");
    assert_eq!(end(&api, &two, "").await, 204);
    let headers = [("idempotency-key", "b")];
    for status in [201, 200] {
        let made = api.call(Method::POST, &api.buyer, "/v1/reservations", &headers, lines(2)).await;
        assert_eq!(made.status, status, "{}", made.body);
    }
}

#[tokio::test]
async fn while_a_partition_is_behind_a_buyer_holds_its_share_and_confirms_and_gives_back_what_it_likes() {
    let api = Api::open().await;
    api.app.set_buyers(half_of_a_shelf());
    let other = api.keys.create("other", Role::Buyer).unwrap();
    api.list("l", json!({ "on_hand": 100 })).await;
    let (one, two) = (hold_as(&api, &api.buyer, "1", 1).await, hold_as(&api, &api.buyer, "2", 1).await);
    api.app.gate_of_edge.fairness.set_rate(0, Some(0.1));
    assert_eq!(hold_as(&api, &api.buyer, "3", 1).await.status, 201);
    let refused = hold_as(&api, &api.buyer, "4", 1).await;
    assert_eq!(refused.code(), (429, "share_used"));
    assert!(!refused.header("retry-after").is_empty());
    let line = json!({ "supplier": "acme", "listing": "l", "quantity": 1 });
    let basket = json!({ "mode": "all_or_nothing", "lines": [line, line] });
    assert_eq!(api.reserve(basket).await.code(), (429, "share_used"));
    assert_eq!(end(&api, &one, ":confirm").await, 200);
    assert_eq!(end(&api, &two, "").await, 204);
    assert_eq!(hold_as(&api, &other, "1", 1).await.status, 201, "another buyer has its own share");
    assert_eq!(api.list("m", json!({})).await.status, 200, "and the supplier too");
    api.app.gate_of_edge.fairness.set_rate(0, None);
    assert_eq!(hold_as(&api, &api.buyer, "4", 1).await.status, 201);
}
