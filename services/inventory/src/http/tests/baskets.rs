//! Baskets whose processes end in the middle, and what is told of lines before anything is decided.

use super::*;
use crate::domain::{Answers, Course, Sent, Turning, Wish};

/// A course whose process ends after so many steps.
struct Ends<C>(C, usize);

impl<C: Course> Course for Ends<C> {
    fn next(&mut self, now: Timestamp, said: &Answers) -> Vec<Sent> {
        let Some(left) = self.1.checked_sub(1) else { return Vec::new() };
        self.1 = left;
        self.0.next(now, said)
    }
}

async fn basket(api: &Api, key: &str, lines: Value, mode: &str) -> Reply {
    let body = json!({ "mode": mode, "lines": lines });
    api.call(Method::POST, &api.buyer, "/v1/reservations", &[("idempotency-key", key)], body).await
}

fn line(listing: &str, quantity: i64) -> Value {
    json!({ "supplier": "acme", "listing": listing, "quantity": quantity })
}

async fn show(api: &Api, name: &str) -> Value {
    let path = format!("/v1/baskets/{name}");
    api.call(Method::GET, &api.buyer, &path, &[], Value::Null).await.body
}

#[tokio::test]
async fn a_basket_that_its_process_left_is_brought_to_its_end_by_whoever_looks_after_it() {
    // Confirmed: the rest is prepared, the head is confirmed, the rest is. Given back: the head is, the rest is.
    for (wish, steps, expected) in
        [(Wish::Confirm, 1, "held"), (Wish::Confirm, 2, "confirmed"), (Wish::Release, 1, "released")]
    {
        let api = Api::open().await;
        api.list("l", json!({})).await;
        api.list("m", json!({ "sku": "SKU-2" })).await;
        let made =
            basket(&api, "k", json!([line("l", 2), line("m", 3), line("l", 1)]), "all_or_nothing").await;
        assert_eq!((made.status, made.body["state"].as_str()), (201, Some("held")), "{}", made.body);
        let name = made.body["basket"].as_str().unwrap();
        let lines = api.app.reservations.basket(&stockade_model::BasketId::new(name).unwrap());
        let owner = lines[0].row.owner.clone().unwrap();
        api.app.run(&mut Ends(Turning::new(lines, owner, wish), steps), None).await;
        let finished = api.app.finish_baskets(0).await;
        assert_eq!(finished, usize::from(expected != "held"));
        assert_eq!(api.app.finish_baskets(0).await, 0, "once");
        let shown = show(&api, name).await;
        let states: Vec<&str> =
            shown["lines"].as_array().unwrap().iter().map(|line| line["state"].as_str().unwrap()).collect();
        assert_eq!((shown["state"].as_str(), states), (Some(expected), vec![expected; 3]));
    }
}

#[tokio::test]
async fn whoever_still_works_at_a_basket_is_left_alone() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let made = basket(&api, "k", json!([line("l", 2), line("l", 1)]), "all_or_nothing").await;
    let name = made.body["basket"].as_str().unwrap();
    let lines = api.app.reservations.basket(&stockade_model::BasketId::new(name).unwrap());
    let owner = lines[0].row.owner.clone().unwrap();
    api.app.run(&mut Ends(Turning::new(lines, owner, Wish::Release), 1), None).await;
    assert_eq!(api.app.finish_baskets(60_000).await, 0);
    assert_eq!(show(&api, name).await["lines"][1]["state"], "held");
    assert_eq!(api.app.finish_baskets(0).await, 1, "it was not forgotten");
}

#[tokio::test]
async fn what_is_wrong_with_a_basket_is_said_with_its_line() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let post = async |body: Value| api.reserve(body).await;
    let lines = |lines: Value| json!({ "mode": "per_line", "lines": lines });
    let many: Vec<Value> = (0..101).map(|_| line("l", 1)).collect();
    for (body, code, field) in [
        (lines(json!([line("l", 1), line("l", 0)])), "quantity_range", "/lines/1/quantity"),
        (lines(json!([])), "batch_size", "/lines"),
        (lines(json!(many)), "batch_size", "/lines"),
        (json!({ "lines": [line("l", 1)] }), "missing_field", "/mode"),
        (json!({ "mode": "per_line", "seconds": 0, "lines": [line("l", 1)] }), "hold_range", "/seconds"),
        (
            lines(json!([{ "supplier": "acme", "listing": "l", "quantity": 1, "region": "UK" }])),
            "region_unknown",
            "/lines/0/region",
        ),
        (
            lines(json!([{ "supplier": "acme", "listing": "l", "quantity": 1, "price": 1 }])),
            "unknown_field",
            "/lines/0/price",
        ),
        (lines(json!([{ "sku": "SKU-1", "quantity": 1 }])), "region_required", "/lines/0/region"),
        (
            lines(json!([{ "sku": "SKU-1", "gtin": "4006381333931", "quantity": 1, "region": "DE" }])),
            "sku_or_gtin",
            "/lines/0/sku",
        ),
        (
            lines(json!([{ "sku": "SKU-1", "listing": "l", "quantity": 1, "region": "DE" }])),
            "listing_or_good",
            "/lines/0/listing",
        ),
        (
            lines(json!([{ "sku": "SKU-1", "quantity": 1, "region": "DE", "max_price": 5 }])),
            "currency_required",
            "/lines/0/currency",
        ),
        (
            lines(json!([{ "supplier": "acme", "listing": "l", "quantity": 1, "currency": "EUR" }])),
            "listing_or_good",
            "/lines/0/currency",
        ),
        (lines(json!([{ "supplier": "acme", "quantity": 1 }])), "missing_field", "/lines/0/listing"),
        (lines(json!([{ "quantity": 1 }])), "missing_field", "/lines/0/supplier"),
    ] {
        let reply = post(body).await;
        assert_eq!(reply.field(), (422, code, field), "{}", reply.body);
    }
    // Where a region of it is withheld, whoever asks has to say which one it is for.
    api.list("l", json!({ "regions": ["DE", "FR"] })).await;
    api.restrict(vec![quarantined("FR")]).await;
    let asked = basket(&api, "k", json!([line("l", 1)]), "all_or_nothing").await;
    assert_eq!(asked.field(), (422, "region_required", "/lines/0/region"), "{}", asked.body);
    let held = basket(
        &api,
        "k",
        json!([{ "supplier": "acme", "listing": "l", "quantity": 1, "region": "DE" }]),
        "all_or_nothing",
    )
    .await;
    assert_eq!(held.status, 201, "{}", held.body);
}

/// Takes units of a listing away behind the back of who has chosen it: the replica is told of it after it was asked.
async fn choose(api: &Api, basket: &stockade_model::BasketId, line: u16, turn: u8, listing: &str) {
    let listing = stockade_model::ListingId::new(listing).unwrap();
    let lines = vec![stockade_model::LineChoice { line, turn, supplier: acme(), listing }];
    let choice = stockade_model::BasketChoice { basket: basket.clone(), lines };
    api.app.choose(choice, None).await.unwrap();
}

#[tokio::test]
async fn where_the_offer_that_was_chosen_is_gone_the_next_is_tried_and_a_whole_basket_names_others() {
    let api = Api::open().await;
    for (listing, minor) in [("dear", 300), ("cheap", 100), ("fair", 200)] {
        api.list(listing, json!({ "price": { "minor": minor, "currency": "EUR" } })).await;
    }
    let good = || json!([{ "sku": "SKU-1", "quantity": 2, "region": "DE" }]);
    // What the basket under a key is called is known from one that is refused and leaves nothing.
    for (mode, tried, expected) in [
        ("per_line", vec!["sold-out"], Some("cheap")),
        ("per_line", vec!["sold-out", "gone"], Some("cheap")),
        ("per_line", vec!["sold-out", "gone", "sold-out"], None),
        ("all_or_nothing", vec!["sold-out"], None),
    ] {
        let key = format!("{mode}-{}", tried.len());
        let wanted = read_only(&api, &key, mode, &good());
        api.list("sold-out", json!({ "on_hand": 0, "sku": "SKU-2" })).await;
        api.list("gone", json!({ "on_hand": 1, "sku": "SKU-2" })).await;
        for (turn, listing) in tried.iter().enumerate() {
            choose(&api, &wanted, 0, turn as u8, listing).await;
        }
        for again in [false, true] {
            let reply = basket(&api, &key, good(), mode).await;
            match expected {
                Some(listing) => {
                    assert_eq!(reply.status, if again { 200 } else { 201 }, "{}", reply.body);
                    assert_eq!(reply.body["basket"], wanted.as_str());
                    assert_eq!(reply.body["lines"][0]["listing"], listing);
                }
                None => {
                    assert_eq!(reply.code(), (409, "not_available"), "{}", reply.body);
                    let line = &reply.body["lines"][0];
                    let others = line["alternatives"].as_array().unwrap();
                    let others: Vec<&str> = others.iter().map(|it| it["listing"].as_str().unwrap()).collect();
                    assert_eq!(others, ["cheap", "fair", "dear"], "{line}");
                }
            }
        }
    }
}

/// The name of the basket that a request is about.
fn read_only(api: &Api, key: &str, mode: &str, lines: &Value) -> stockade_model::BasketId {
    super::super::baskets::name_of(
        &api.app,
        &api.buyer_principal(),
        key,
        &json!({ "mode": mode, "lines": lines }),
    )
}
