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
