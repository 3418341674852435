//! Reservations over several lines and suppliers through the API.

use axum::{
    body::Body,
    http::{Method, Request},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use stockade_runtime::Role;
use tower::ServiceExt as _;

use crate::support::{Api, Reply};

async fn reserve(api: &Api, key: &str, idempotency: &str, mode: &str, lines: Value) -> Reply {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", idempotency)];
    let body = json!({ "mode": mode, "lines": lines, "seconds": 600 }).to_string().into_bytes();
    api.raw(Method::POST, "/v1/reservations", &headers, body).await
}

async fn confirm(api: &Api, key: &str, name: &str) -> Reply {
    api.call(key, Method::POST, &format!("/v1/baskets/{name}:confirm"), Value::Null).await
}

async fn release(api: &Api, key: &str, name: &str) -> Reply {
    api.call(key, Method::DELETE, &format!("/v1/baskets/{name}"), Value::Null).await
}

async fn show(api: &Api, key: &str, name: &str) -> Reply {
    api.get(key, &format!("/v1/baskets/{name}")).await
}

fn line(supplier: &str, listing: &str, quantity: i64) -> Value {
    json!({ "supplier": supplier, "listing": listing, "quantity": quantity })
}

fn name(reply: &Reply) -> String {
    reply.body["basket"].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned()
}

/// One member of each line, in order.
fn each<'a>(body: &'a Value, member: &str) -> Vec<&'a Value> {
    body["lines"].as_array().unwrap().iter().map(|line| &line[member]).collect()
}

/// Five suppliers with ten units of `S` at 100, 200, … and of `T`.
async fn open(directory: &std::path::Path) -> Api {
    let api = Api::open(directory).await;
    for (at, id) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        let key = api.supplier(id).await;
        api.list(&key, id, "S", 100 * (1 + at as i64), 10).await;
        api.list(&key, id, "T", 50, 10).await;
    }
    api
}

/// Units of `S` that buyers see of each supplier.
async fn units(api: &Api) -> Vec<(String, i64)> {
    let reply = api.get(&api.buyer, "/v1/availability?sku=S").await;
    let offers = reply.body["offers"].as_array().unwrap().iter();
    offers.map(|o| (o["supplier"].as_str().unwrap().to_owned(), o["available"].as_i64().unwrap())).collect()
}

async fn withhold(api: &Api, supplier: &str) {
    let impose = json!({
        "supplier": supplier, "deny": "quarantine", "scope": { "kind": "supplier" }, "reason": "test",
        "expires_at": "2999-01-01T00:00:00Z",
    });
    assert_eq!(api.call(&api.analyst, Method::POST, "/v1/overrides", impose).await.status, 200);
    let gone = async |api: &Api| !api.sees("sku=S").await.contains(&supplier.to_owned());
    api.until("it is withheld", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_basket_over_several_suppliers_is_held_answered_again_confirmed_and_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path()).await;
    let lines = || json!([line("a", "S", 2), line("b", "S", 3), line("a", "T", 1), line("c", "S", 4)]);
    let first = reserve(&api, &api.buyer, "k", "all_or_nothing", lines()).await;
    assert_eq!((first.status, first.body["state"].as_str()), (201, Some("held")), "{}", first.body);
    assert_eq!((&first.body["succeeded"], &first.body["failed"]), (&json!(4), &json!(0)));
    assert_eq!(each(&first.body, "state"), vec!["held"; 4]);
    assert!(first.body.get("expires_at").is_some() && first.header("stockade-position").contains("p1."));
    assert_eq!(units(&api).await[..3], [("a".to_owned(), 8), ("b".to_owned(), 7), ("c".to_owned(), 6)]);
    let again = reserve(&api, &api.buyer, "k", "all_or_nothing", lines()).await;
    assert_eq!((again.status, again.header("idempotent-replay").as_str()), (200, "true"));
    assert_eq!(again.body, first.body);
    for other in [json!([line("a", "S", 2)]), json!([line("d", "S", 1)])] {
        let reused = reserve(&api, &api.buyer, "k", "all_or_nothing", other).await;
        assert_eq!(reused.code(), (409, "idempotency_key_reused"));
    }
    let of = name(&first);
    let stranger = api.keys.create_unnamed(Role::Buyer).unwrap();
    for reply in [
        confirm(&api, &stranger, &of).await,
        release(&api, &stranger, &of).await,
        show(&api, &stranger, &of).await,
    ] {
        assert_eq!(reply.code(), (404, "no_reservation"), "as if there were none");
    }
    assert_eq!(api.get(&stranger, "/v1/baskets").await.body["items"], json!([]));
    assert_eq!(api.get(&api.buyer, "/v1/baskets").await.body["items"], json!([first.body]));
    // A line of it is a reservation like others, but for what is decided of the whole.
    let one = first.body["lines"][1]["reservation"].as_str().unwrap();
    let alone = api.get(&api.buyer, &format!("/v1/reservations/{one}")).await;
    assert_eq!((&alone.body["quantity"], &alone.body["basket"]), (&json!(3), &json!(of)));
    let part =
        api.call(&api.buyer, Method::POST, &format!("/v1/reservations/{one}:confirm"), Value::Null).await;
    assert_eq!(part.code(), (409, "part_of_basket"));
    let part = api.call(&api.buyer, Method::DELETE, &format!("/v1/reservations/{one}"), Value::Null).await;
    assert_eq!(part.code(), (409, "part_of_basket"));
    for replay in ["", "true"] {
        let confirmed = confirm(&api, &api.buyer, &of).await;
        assert_eq!((confirmed.status, confirmed.header("idempotent-replay").as_str()), (200, replay));
        assert_eq!(each(&confirmed.body, "state"), vec!["confirmed"; 4]);
    }
    assert_eq!(release(&api, &api.buyer, &of).await.code(), (409, "already_confirmed"));
    assert_eq!(show(&api, &api.orders, &of).await.body["state"], "confirmed", "order systems look at all");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_line_is_not_to_be_had_nothing_is_and_each_is_told_why_and_what_is_instead() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path()).await.starter_rules().await;
    withhold(&api, "c").await;
    // `d` has some left, and too few.
    assert_eq!(reserve(&api, &api.buyer, "0", "per_line", json!([line("d", "S", 8)])).await.status, 201);
    let before = units(&api).await;
    for refused in ["b", "c", "nobody"] {
        let quantity = if refused == "b" { 11 } else { 5 };
        for lines in [
            json!([line("a", "S", 1), line(refused, "S", quantity)]),
            json!([line(refused, "S", quantity), line("a", "S", 1)]),
        ] {
            let at = usize::from(lines[0]["supplier"] == "a");
            let reply = reserve(&api, &api.buyer, "k", "all_or_nothing", lines).await;
            assert_eq!(reply.code(), (409, "not_available"), "{}", reply.body);
            let told = &reply.body["lines"];
            assert_eq!(
                (&told[at]["code"], &told[1 - at]["code"]),
                (&json!("not_available"), &json!("basket_refused"))
            );
            let others = told[at]["alternatives"].as_array().map(Vec::as_slice).unwrap_or_default();
            let others: Vec<&str> = others.iter().map(|o| o["supplier"].as_str().unwrap()).collect();
            // Cheapest first, none that is withheld, none with too few.
            let expected: &[&str] = if refused == "c" { &["a", "b", "e"] } else { &[] };
            assert_eq!(others, expected, "{refused}");
            assert!(!reply.body.to_string().contains("quarantine"), "why is nobody's business");
        }
    }
    assert_eq!(units(&api).await, before, "nothing stays held");
    // The same listing twice adds up.
    for (second, status) in [(6, 409), (5, 201)] {
        let lines = json!([line("a", "S", 5), line("b", "S", 1), line("a", "S", second)]);
        assert_eq!(reserve(&api, &api.buyer, "twice", "all_or_nothing", lines).await.status, status);
    }
    assert_eq!(units(&api).await[0], ("b".to_owned(), 9));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_by_line_what_is_to_be_had_is_held_and_each_line_goes_its_own_way() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path()).await;
    let lines = || json!([line("a", "S", 2), line("b", "S", 11), line("c", "S", 3)]);
    let first = reserve(&api, &api.buyer, "k", "per_line", lines()).await;
    assert_eq!((first.status, &first.body["succeeded"], &first.body["failed"]), (201, &json!(2), &json!(1)));
    assert_eq!(each(&first.body, "code"), [&Value::Null, &json!("not_available"), &Value::Null]);
    let of = name(&first);
    let own = first.body["lines"][0]["reservation"].as_str().unwrap();
    let given = api.call(&api.buyer, Method::DELETE, &format!("/v1/reservations/{own}"), Value::Null).await;
    assert_eq!(given.status, 204);
    // A retry does not take again what was given back.
    let again = reserve(&api, &api.buyer, "k", "per_line", lines()).await;
    assert_eq!((again.status, again.header("idempotent-replay").as_str()), (200, "true"), "{}", again.body);
    assert_eq!(each(&again.body, "state"), [&json!("released"), &Value::Null, &json!("held")]);
    assert_eq!(again.body["state"], "mixed");
    let confirmed = confirm(&api, &api.buyer, &of).await;
    assert_eq!((confirmed.status, &confirmed.body["succeeded"]), (200, &json!(1)), "{}", confirmed.body);
    assert_eq!(each(&confirmed.body, "code"), [&json!("reservation_released"), &Value::Null]);
    assert_eq!(each(&confirmed.body, "state"), ["released", "confirmed"]);
    assert_eq!(release(&api, &api.buyer, &of).await.code(), (409, "already_confirmed"));
    let none =
        reserve(&api, &api.buyer, "n", "per_line", json!([line("b", "S", 11), line("x", "S", 1)])).await;
    assert_eq!(none.code(), (409, "not_available"));
    assert_eq!(each(&none.body, "code"), ["not_available"; 2]);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_basket_with_a_supplier_that_is_withheld_later_is_confirmed_and_marked_at_risk() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path()).await.starter_rules().await;
    for (mode, key) in [("all_or_nothing", "w"), ("per_line", "l")] {
        let held = reserve(&api, &api.buyer, key, mode, json!([line("a", "S", 1), line("b", "S", 1)])).await;
        assert_eq!((held.status, &held.body["at_risk"]), (201, &json!(false)), "{}", held.body);
    }
    withhold(&api, "b").await;
    for item in api.get(&api.buyer, "/v1/baskets").await.body["items"].as_array().unwrap() {
        let of = item["basket"].as_str().unwrap();
        assert_eq!(
            (&item["at_risk"], each(item, "at_risk")),
            (&json!(true), vec![&json!(false), &json!(true)])
        );
        let confirmed = confirm(&api, &api.buyer, of).await;
        assert_eq!((confirmed.status, &confirmed.body["at_risk"]), (200, &json!(true)), "{}", confirmed.body);
        assert_eq!(each(&confirmed.body, "state"), ["confirmed"; 2]);
        assert!(!confirmed.body.to_string().contains("quarantine"), "why is nobody's business");
        assert_eq!(
            show(&api, &api.orders, of).await.body["lines"][1]["at_risk"],
            true,
            "the order system is told"
        );
    }
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_basket_lapses_as_a_whole_is_given_back_as_a_whole_and_says_so_when_it_is_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path()).await;
    let body =
        json!({ "mode": "all_or_nothing", "seconds": 1, "lines": [line("a", "S", 1), line("b", "S", 2)] });
    let short = api.call(&api.buyer, Method::POST, "/v1/reservations", body).await;
    let lapsed = name(&short);
    api.until("it lapses", async |api| {
        each(&show(api, &api.buyer, &lapsed).await.body, "state") == ["lapsed"; 2]
    })
    .await;
    let late = confirm(&api, &api.buyer, &lapsed).await;
    assert_eq!(
        (late.code(), each(&late.body, "code")),
        ((409, "reservation_lapsed"), vec![&json!("reservation_lapsed"); 2])
    );
    assert_eq!(late.body["lines"][0]["alternatives"][0]["supplier"], "b");
    assert_eq!(release(&api, &api.buyer, &lapsed).await.status, 204, "it is given back already");
    let given = name(
        &reserve(&api, &api.buyer, "g", "all_or_nothing", json!([line("a", "S", 1), line("b", "S", 2)]))
            .await,
    );
    for replay in ["", "true"] {
        let reply = release(&api, &api.buyer, &given).await;
        assert_eq!((reply.status, reply.header("idempotent-replay").as_str()), (204, replay));
    }
    assert_eq!(confirm(&api, &api.buyer, &given).await.code(), (409, "reservation_released"));
    assert_eq!(units(&api).await[..2], [("a".to_owned(), 10), ("b".to_owned(), 10)]);
    // Given back, the key is free.
    let anew = reserve(&api, &api.buyer, "g", "all_or_nothing", json!([line("c", "S", 1)])).await;
    assert_eq!(anew.status, 201, "{}", anew.body);
    api.close().await;
}

fn good(sku: &str, quantity: i64) -> Value {
    json!({ "sku": sku, "quantity": quantity, "region": "DE" })
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_goods_get_the_cheapest_offers_that_have_enough_and_a_retry_gets_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path()).await;
    // Together the first two want more than the cheapest has; the third names what it wants.
    let lines = || json!([good("S", 7), good("S", 4), line("a", "S", 1), good("S", 2)]);
    let first = reserve(&api, &api.buyer, "k", "all_or_nothing", lines()).await;
    assert_eq!((first.status, first.body["state"].as_str()), (201, Some("held")), "{}", first.body);
    assert_eq!(each(&first.body, "supplier"), ["a", "b", "a", "a"]);
    assert_eq!(units(&api).await[..1], [("b".to_owned(), 6)], "all of the cheapest is taken");
    // Another offer is the cheapest by now, and the choice stands.
    let cheap = api.supplier("z").await;
    api.list(&cheap, "z", "S", 1, 100).await;
    api.until("it is offered", async |api| units(api).await[0].0 == "z").await;
    let again = reserve(&api, &api.buyer, "k", "all_or_nothing", lines()).await;
    assert_eq!((again.status, again.header("idempotent-replay").as_str()), (200, "true"), "{}", again.body);
    assert_eq!(again.body, first.body);
    let of = name(&first);
    assert_eq!(confirm(&api, &api.buyer, &of).await.status, 200);
    let anew = reserve(&api, &api.buyer, "other", "all_or_nothing", lines()).await;
    assert_eq!(anew.code(), (409, "not_available"), "of a nothing is left, and the third line wants that");
    assert_eq!(each(&anew.body, "code")[2], "not_available");
    assert_eq!(each(&anew.body, "code")[0], "basket_refused");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_line_of_a_good_may_cost_and_where_it_goes_is_heeded_and_a_good_that_nobody_has_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path()).await.starter_rules().await;
    let bounded = |most: i64| json!({ "sku": "S", "quantity": 1, "region": "DE", "currency": "EUR", "max_price": most });
    let elsewhere = json!({ "sku": "S", "quantity": 1, "region": "FR" });
    let lines = json!([bounded(250), bounded(99), good("none", 1), elsewhere, good("S", 11)]);
    let reply = reserve(&api, &api.buyer, "k", "per_line", lines.clone()).await;
    assert_eq!((reply.status, &reply.body["succeeded"]), (201, &json!(1)), "{}", reply.body);
    assert_eq!(each(&reply.body, "supplier")[0], "a");
    assert_eq!(each(&reply.body, "code")[1..], vec![&json!("not_available"); 4]);
    assert_eq!(each(&reply.body, "sku")[1..], [&json!("S"), &json!("none"), &json!("S"), &json!("S")]);
    assert!(each(&reply.body, "supplier")[1..].iter().all(|it| it.is_null()), "nobody was chosen");
    let whole = reserve(&api, &api.buyer, "w", "all_or_nothing", lines).await;
    assert_eq!(whole.code(), (409, "not_available"));
    assert_eq!(each(&whole.body, "code")[..2], [&json!("basket_refused"), &json!("not_available")]);
    // Of what is withheld nothing is chosen.
    withhold(&api, "a").await;
    let reply = reserve(&api, &api.buyer, "x", "per_line", json!([good("S", 1)])).await;
    assert_eq!(each(&reply.body, "supplier"), ["b"], "{}", reply.body);
    // Given back, it is not made anew under its key: who repeats itself is told so.
    assert_eq!(release(&api, &api.buyer, &name(&reply)).await.status, 204);
    let again = reserve(&api, &api.buyer, "x", "per_line", json!([good("S", 1)])).await;
    assert_eq!(again.code(), (409, "reservation_released"), "{}", again.body);
    assert!(again.body["detail"].as_str().unwrap().contains("fresh Idempotency-Key"));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_baskets_of_one_good_at_once_share_what_there_is_and_no_line_is_held_twice() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path()).await;
    // Fifty units of five suppliers, wanted by forty at once, each asking twice under its key.
    let ask = |number: usize| {
        let body = json!({ "mode": "per_line", "lines": [good("S", 2)], "seconds": 600 });
        let request = Request::post("/v1/reservations")
            .header("authorization", format!("Bearer {}", api.buyer))
            .header("idempotency-key", format!("c-{}", number / 2))
            .body(Body::from(body.to_string()));
        let asked = api.router.clone().oneshot(request.unwrap());
        tokio::spawn(async move {
            let response = asked.await.unwrap();
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice::<Value>(&body).unwrap())
        })
    };
    let asked: Vec<_> = (0..80).map(ask).collect();
    let mut told = std::collections::BTreeMap::<usize, Value>::new();
    for (number, asked) in asked.into_iter().enumerate() {
        let (status, body) = asked.await.unwrap();
        assert!(matches!(status, 200 | 201 | 409 | 503), "{body}");
        if status < 300 {
            let line = &body["lines"][0]["reservation"];
            let own = told.entry(number / 2).or_insert_with(|| line.clone());
            assert_eq!(own, line, "both were told of one");
        }
    }
    let listed = api.get(&api.buyer, "/v1/baskets?limit=500").await;
    let held = listed.body["items"].as_array().unwrap();
    assert!(held.iter().all(|basket| basket["lines"].as_array().unwrap().len() == 1));
    let left: i64 = units(&api).await.iter().map(|(_, units)| units).sum();
    assert_eq!(left + 2 * held.len() as i64, 50);
    // Whoever asks now of what is left gets it, whatever was refused before.
    let all = api.get(&api.buyer, "/v1/reservations?limit=500").await;
    assert_eq!(all.body["items"].as_array().unwrap().len(), held.len(), "a refusal leaves no reservation");
    api.close().await;
}
