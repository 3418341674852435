//! Stock, orders and reservations through the API.

use axum::http::Method;
use serde_json::{Value, json};
use stockade_runtime::Role;

use crate::support::{Api, Reply};

async fn reserve(api: &Api, key: &str, idempotency: Option<&str>, body: Value) -> Reply {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(idempotency.map(|key| ("idempotency-key", key)));
    api.raw(Method::POST, "/v1/reservations", &headers, body.to_string().into_bytes()).await
}

async fn confirm(api: &Api, key: &str, name: &str) -> Reply {
    api.call(key, Method::POST, &format!("/v1/reservations/{name}:confirm"), Value::Null).await
}

async fn release(api: &Api, key: &str, name: &str) -> Reply {
    api.call(key, Method::DELETE, &format!("/v1/reservations/{name}"), Value::Null).await
}

async fn show(api: &Api, key: &str, name: &str) -> Reply {
    api.get(key, &format!("/v1/reservations/{name}")).await
}

fn units(quantity: i64) -> Value {
    json!({ "supplier": "acme", "listing": "S", "quantity": quantity })
}

fn name(reply: &Reply) -> String {
    reply.body["reservation"].as_str().unwrap().to_owned()
}

/// A platform with a supplier that has ten units of `S`, and the supplier's key.
async fn open(directory: &std::path::Path) -> (Api, String) {
    let api = Api::open(directory).await;
    let supplier = api.supplier("acme").await;
    api.list(&supplier, "acme", "S", 100, 10).await;
    (api, supplier)
}

async fn available(api: &Api) -> i64 {
    let reply = api.get(&api.buyer, "/v1/availability?sku=S").await;
    reply.body["offers"][0]["available"].as_i64().unwrap_or(0)
}

/// What became of an event, when it is known.
async fn answer(api: &Api, id: &str) -> Value {
    let path = format!("/v1/events/test/{id}");
    api.until("the event is answered", async |api| api.get(&api.orders, &path).await.status == 200).await;
    api.get(&api.orders, &path).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_its_owners_alone_and_its_name_cannot_be_guessed() {
    let directory = tempfile::tempdir().unwrap();
    let (api, _) = open(directory.path()).await;
    let stranger = api.keys.create_unnamed(Role::Buyer).unwrap();
    let (first, second) =
        (reserve(&api, &api.buyer, None, units(1)).await, reserve(&api, &api.buyer, None, units(1)).await);
    assert_eq!((first.status, second.status), (201, 201));
    let of = name(&first);
    let secret = of.strip_prefix("acme::").unwrap();
    assert!(secret.len() >= 24 && secret.chars().all(|c| c.is_ascii_hexdigit()), "{of}");
    assert_ne!(of, name(&second));
    for reply in [
        confirm(&api, &stranger, &of).await,
        release(&api, &stranger, &of).await,
        show(&api, &stranger, &of).await,
    ] {
        assert_eq!(reply.code(), (404, "no_reservation"), "as if there were none");
    }
    let listed = api.get(&stranger, "/v1/reservations").await;
    assert_eq!(listed.body["items"], json!([]));
    let page = api.get(&api.buyer, "/v1/reservations?limit=1").await;
    let next = page.body["next"].as_str().unwrap();
    let rest = api.get(&api.buyer, &format!("/v1/reservations?limit=1&cursor={next}")).await;
    let mut seen = [&page, &rest].map(|reply| reply.body["items"][0]["reservation"].clone());
    let mut made = [&first, &second].map(|reply| reply.body["reservation"].clone());
    seen.sort_by_key(Value::to_string);
    made.sort_by_key(Value::to_string);
    assert_eq!(seen, made);
    assert_eq!(rest.body["next"], Value::Null);
    let other = api.get(&api.buyer, &format!("/v1/reservations?supplier=acme&cursor={next}")).await;
    assert_eq!(other.code(), (400, "bad_cursor"), "of another list");
    let of_acme = api.get(&api.buyer, "/v1/reservations?supplier=acme").await;
    assert_eq!(of_acme.body["items"].as_array().unwrap().len(), 2);
    let odd = api.get(&api.buyer, "/v1/reservations?supplier=a%20b").await;
    assert_eq!((odd.status, &odd.body["errors"][0]["field"]), (422, &json!("supplier")));
    assert_eq!(show(&api, &api.buyer, &of).await.body["state"], "held");
    assert_eq!(show(&api, &api.orders, &of).await.body["quantity"], 1, "order systems look at all");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_buyers_reserve() {
    let directory = tempfile::tempdir().unwrap();
    let (api, supplier) = open(directory.path()).await;
    for key in [&supplier, &api.orders, &api.analyst, &api.operator] {
        assert_eq!(reserve(&api, key, None, units(1)).await.code(), (403, "wrong_role"));
    }
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_answered_with_what_is_held_and_another_body_under_its_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (api, _) = open(directory.path()).await;
    let other = api.supplier("other").await;
    api.list(&other, "other", "S", 100, 10).await;
    let first = reserve(&api, &api.buyer, Some("k"), units(1)).await;
    let again = reserve(&api, &api.buyer, Some("k"), units(1)).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!((&first.body, again.header("idempotent-replay").as_str()), (&again.body, "true"));
    let longer = json!({ "supplier": "acme", "listing": "S", "quantity": 1, "seconds": 60 });
    for body in [units(400), longer] {
        assert_eq!(reserve(&api, &api.buyer, Some("k"), body).await.code(), (409, "idempotency_key_reused"));
    }
    assert_eq!(show(&api, &api.buyer, &name(&first)).await.body, first.body, "nothing moved");
    // Each supplier has its own keys, whether asked one after the other or at once.
    let of_other = json!({ "supplier": "other", "listing": "S", "quantity": 1 });
    assert_eq!(reserve(&api, &api.buyer, Some("k"), of_other).await.status, 201);
    assert_eq!(release(&api, &api.buyer, &name(&first)).await.status, 204);
    let anew = reserve(&api, &api.buyer, Some("k"), units(4)).await;
    assert_eq!((anew.status, &anew.body["quantity"]), (201, &json!(4)), "given back, the key is free");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confirming_and_giving_back_again_is_answered_the_same_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (api, _) = open(directory.path()).await;
    let (kept, given) =
        (reserve(&api, &api.buyer, None, units(2)).await, reserve(&api, &api.buyer, None, units(3)).await);
    let (kept, given) = (name(&kept), name(&given));
    for replay in ["", "true"] {
        let confirmed = confirm(&api, &api.buyer, &kept).await;
        assert_eq!((confirmed.status, confirmed.body["state"].as_str()), (200, Some("confirmed")));
        assert_eq!(confirmed.header("idempotent-replay"), replay);
        let released = release(&api, &api.buyer, &given).await;
        assert_eq!((released.status, released.header("idempotent-replay").as_str()), (204, replay));
    }
    assert_eq!(release(&api, &api.buyer, &kept).await.code(), (409, "already_confirmed"));
    assert_eq!(confirm(&api, &api.buyer, &given).await.code(), (409, "reservation_released"));
    let short = json!({ "supplier": "acme", "listing": "S", "quantity": 1, "seconds": 1 });
    let short = name(&reserve(&api, &api.buyer, None, short).await);
    api.until("it lapses", async |api| show(api, &api.buyer, &short).await.body["state"] == "lapsed").await;
    assert_eq!(confirm(&api, &api.buyer, &short).await.code(), (409, "reservation_lapsed"));
    assert_eq!(release(&api, &api.buyer, &short).await.status, 204);
    assert_eq!(available(&api).await, 8);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_reservation_becomes_the_order_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let (api, _) = open(directory.path()).await;
    let of = name(&reserve(&api, &api.buyer, None, units(4)).await);
    let data = json!({
        "supplier": "acme", "order": "o-1", "buyer": "b", "listing": "S", "quantity": 4, "line": "1", "reservation": of,
    });
    api.event("p", "order.placed", data.clone()).await;
    assert_eq!(answer(&api, "p").await["answer"], "applied");
    // Nobody placed it, but it is known by its reservation: it counts at once, so there is nothing to warn of.
    let other = name(&reserve(&api, &api.buyer, None, units(1)).await);
    assert_eq!(confirm(&api, &api.buyer, &other).await.status, 200);
    let cancelled =
        json!({ "supplier": "acme", "order": "o-9", "buyer": "b", "reservation": other, "cause": "buyer" });
    for id in ["c-1", "c-2"] {
        let told = api.event(id, "order.cancelled", cancelled.clone()).await;
        assert_eq!((told.status, &told.body["warned"]), (202, &json!(0)), "{}", told.body);
        answer(&api, id).await;
    }
    assert_eq!(answer(&api, "c-1").await["answer"], "applied");
    let stranger =
        json!({ "supplier": "acme", "order": "o-8", "buyer": "b", "reservation": of, "cause": "buyer" });
    let told = api.event("c-3", "order.cancelled", stranger).await;
    assert_eq!(told.body["warned"], 1, "that is another order's: {}", told.body);
    let confirmed = confirm(&api, &api.buyer, &of).await;
    assert_eq!(
        (confirmed.body["state"].as_str(), confirmed.body["order"].as_str()),
        (Some("ordered"), Some("o-1"))
    );
    assert_eq!(available(&api).await, 6, "once, though it was held, ordered and confirmed");
    api.event("again", "order.placed", data).await;
    let again = answer(&api, "again").await;
    assert_eq!(
        (again["answer"].as_str(), again["code"].as_str()),
        (Some("duplicate"), Some("repeated_outcome"))
    );
    let shipped = json!({ "supplier": "acme", "order": "o-1", "buyer": "b" });
    api.event("s", "order.shipped", shipped).await;
    assert_eq!(answer(&api, "s").await["answer"], "applied");
    assert_eq!(available(&api).await, 6);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_keeps_what_its_order_has_not_taken_until_its_owner_gives_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let (api, _) = open(directory.path()).await;
    let other = api.keys.create_unnamed(Role::Buyer).unwrap();
    let of = name(&reserve(&api, &api.buyer, None, units(10)).await);
    confirm(&api, &api.buyer, &of).await;
    let placed = |line: &str, quantity: i64| {
        json!({
            "supplier": "acme", "order": "o-1", "buyer": "b", "listing": "S", "quantity": quantity, "line": line,
            "reservation": of,
        })
    };
    api.event("p-1", "order.placed", placed("1", 2)).await;
    assert_eq!(answer(&api, "p-1").await["answer"], "applied");
    assert_eq!(available(&api).await, 0);
    assert_eq!(reserve(&api, &other, None, units(3)).await.code(), (409, "not_available"));
    api.event("p-2", "order.placed", placed("2", 3)).await;
    assert_eq!(answer(&api, "p-2").await["answer"], "applied");
    let shown = show(&api, &api.buyer, &of).await.body;
    assert_eq!((shown["state"].as_str(), &shown["kept"]), (Some("ordered"), &json!(5)));
    for replay in ["", "true"] {
        let given = release(&api, &api.buyer, &of).await;
        assert_eq!((given.status, given.header("idempotent-replay").as_str()), (204, replay));
    }
    assert_eq!(available(&api).await, 5, "what was ordered stays");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_a_withheld_supplier_is_confirmed_and_marked_at_risk() {
    let directory = tempfile::tempdir().unwrap();
    let (api, _) = open(directory.path()).await;
    let api = api.starter_rules().await;
    let of = name(&reserve(&api, &api.buyer, None, units(2)).await);
    assert_eq!(show(&api, &api.buyer, &of).await.body["at_risk"], false);
    let impose = json!({
        "supplier": "acme", "deny": "quarantine", "scope": { "kind": "supplier" }, "reason": "test",
        "expires_at": "2999-01-01T00:00:00Z",
    });
    assert_eq!(api.call(&api.analyst, Method::POST, "/v1/overrides", impose).await.status, 200);
    api.until("it is withheld", async |api| api.sees("sku=S").await.is_empty()).await;
    assert_eq!(reserve(&api, &api.buyer, None, units(1)).await.code(), (409, "not_available"));
    let confirmed = confirm(&api, &api.buyer, &of).await;
    assert_eq!((confirmed.status, &confirmed.body["at_risk"]), (200, &json!(true)), "{}", confirmed.body);
    assert_eq!(show(&api, &api.orders, &of).await.body["at_risk"], true, "the order system is told");
    let text = confirmed.body.to_string();
    assert!(!text.contains("quarantine") && !text.contains("withheld"), "why is nobody's business: {text}");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_can_find_out_what_became_of_an_event() {
    let directory = tempfile::tempdir().unwrap();
    let (api, supplier) = open(directory.path()).await;
    let placed = |supplier: &str, order: &str, quantity: i64| json!({ "supplier": supplier, "order": order, "buyer": "b", "listing": "S", "quantity": quantity });
    let reply = api.event("a", "order.placed", placed("acme", "o", 5)).await;
    assert_eq!(reply.body["rows"][0]["answer"], "/v1/events/test/a");
    assert_eq!(answer(&api, "a").await["answer"], "applied");
    api.event("a", "order.placed", placed("acme", "o", 5)).await;
    api.until("the repeat is known", async |api| answer(api, "a").await["again"]["answer"] == "duplicate")
        .await;
    api.event("a", "order.placed", placed("acme", "o", 6)).await;
    api.until("the conflict is known", async |api| answer(api, "a").await["again"]["code"] == "id_reused")
        .await;
    assert_eq!(available(&api).await, 5, "only the first counts");

    api.event("b", "order.placed", placed("nobody", "o", 1)).await;
    let parked = answer(&api, "b").await;
    assert_eq!(
        (parked["answer"].as_str(), parked["code"].as_str()),
        (Some("parked"), Some("unknown_supplier"))
    );
    let cancelled =
        json!({ "supplier": "acme", "order": "o", "buyer": "b", "cause": "supplier", "quantity": 9 });
    api.event("c", "order.cancelled", cancelled).await;
    assert_eq!(answer(&api, "c").await["code"], "more_than_ordered");
    assert_eq!(available(&api).await, 10);
    assert_eq!(api.get(&api.orders, "/v1/events/test/z").await.code(), (404, "no_answer_yet"));
    assert_eq!(api.get(&supplier, "/v1/events/test/a").await.code(), (403, "wrong_role"));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_a_url_is_looked_up_escaped() {
    let directory = tempfile::tempdir().unwrap();
    let (api, _) = open(directory.path()).await;
    let event = json!({
        "specversion": "1.0", "id": "e", "source": "https://shop.example/orders", "type": "stockade.order.placed",
        "data": { "supplier": "acme", "order": "o", "listing": "S" },
    });
    let reply = api.call(&api.orders, Method::POST, "/v1/events", event).await;
    let path = reply.body["rows"][0]["answer"].as_str().unwrap().to_owned();
    assert_eq!(path, "/v1/events/https:%2F%2Fshop.example%2Forders/e");
    api.until("it is answered", async |api| api.get(&api.orders, &path).await.status == 200).await;
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_shows_the_rows_that_were_refused_too() {
    let directory = tempfile::tempdir().unwrap();
    let (api, supplier) = open(directory.path()).await;
    let bearer = format!("Bearer {supplier}");
    let send = async |key: &str, rows: Value| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        let body = json!({ "rows": rows }).to_string().into_bytes();
        let path = "/v1/suppliers/acme/inventory:batch";
        let answered = api.raw(Method::POST, path, &headers, body).await;
        let found = api.get(&supplier, &format!("/v1/suppliers/acme/operations/{key}")).await;
        assert_eq!((answered.status, &answered.body), (200, &found.body));
        found.body
    };
    let good = json!({ "op": "stock", "listing": "S", "set": 4 });
    let wrong = json!({ "op": "stock", "listing": "S", "set": -4 });
    let mixed = send("mixed", json!([wrong, good])).await;
    assert_eq!(
        (&mixed["rows"][0]["status"], &mixed["rows"][1]["status"]),
        (&json!("invalid"), &json!("applied"))
    );
    let all = send("all", json!([wrong, wrong])).await;
    assert_eq!((&all["failed"], all["rows"].as_array().unwrap().len()), (&json!(2), 2));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_says_whether_its_figures_hold_what_is_ordered() {
    let directory = tempfile::tempdir().unwrap();
    let (api, supplier) = open(directory.path()).await;
    let body = json!({ "name": "acme", "region": "DE", "stock_counts": "excluding_ordered" });
    let reply = api.call(&api.operator, Method::PUT, "/v1/suppliers/acme", body).await;
    assert_eq!((reply.status, reply.body["stock_counts"].as_str()), (200, Some("excluding_ordered")));
    let data = json!({ "supplier": "acme", "order": "o", "buyer": "b", "listing": "S", "quantity": 4 });
    api.event("p", "order.placed", data.clone()).await;
    answer(&api, "p").await;
    let count = json!({ "set": 6 });
    let path = "/v1/suppliers/acme/listings/S/stock";
    assert_eq!(api.call(&supplier, Method::POST, path, count).await.body["available"], 6);
    api.event("s", "order.shipped", data).await;
    answer(&api, "s").await;
    assert_eq!(available(&api).await, 6, "picked goods are not taken twice");
    let listing = api.get(&supplier, "/v1/suppliers/acme/listings/S").await;
    assert_eq!(listing.body["on_hand"], 6);
    api.close().await;
}
