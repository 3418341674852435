//! Supply in, fraud out, buyers undisturbed: through the API, on the embedded log.

use std::{num::NonZeroU32, time::Duration};

use axum::http::Method;
use serde_json::{Value, json};
use stockade_runtime::{
    LimitsConfig, Role,
    limits::{Class, Per, REGISTRATIONS},
};
use tower::ServiceExt as _;

use crate::support::Api;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_supplier_puts_a_buyer_finds_at_the_position_handed_out() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let (a, b) = (api.supplier("a").await, api.supplier("b").await);
    let put = api.list(&a, "a", "SKU-1", 500, 10).await;
    assert_eq!((put.status, put.body["status"].as_str()), (200, Some("applied")));
    let position = put.header("stockade-position");
    assert!(put.header("ratelimit").contains("r="), "limits are visible");
    api.list(&b, "b", "SKU-1", 400, 3).await;

    assert_eq!(api.sees(&format!("sku=SKU-1&after_position={position}")).await, ["b", "a"], "cheapest first");
    assert_eq!(api.sees("sku=SKU-1&min_qty=5").await, ["a"]);
    assert_eq!(api.sees("sku=SKU-1&max_price=450&currency=EUR").await, ["b"]);
    assert_eq!(api.sees("sku=SKU-1&region=DE-BY").await, ["b", "a"], "a country serves its parts");
    assert!(api.sees("sku=SKU-1&region=FR").await.is_empty());
    assert_eq!(api.sees("sku=SKU-1&near=52.4,13.1&radius_km=50").await, ["b", "a"]);
    assert!(api.sees("sku=SKU-1&near=48.1,11.6&radius_km=50").await.is_empty());
    assert!(api.sees("sku=SKU-1&currency=USD").await.is_empty());

    let first = api.get(&api.buyer, "/v1/availability?sku=SKU-1&limit=1").await;
    assert!(first.header("link").contains("rel=\"next\""));
    for name in ["as_of", "staleness_ms", "completeness"] {
        assert!(!first.body[name].is_null(), "{name}");
    }
    let cursor = first.body["next"].as_str().unwrap().to_owned();
    assert_eq!(api.sees(&format!("sku=SKU-1&limit=1&cursor={cursor}")).await, ["a"]);

    let query = json!({ "goods": [{ "sku": "SKU-1", "min_qty": 4 }, { "sku": "NONE" }] });
    let many = api.call(&api.buyer, Method::POST, "/v1/availability:query", query).await;
    assert_eq!(many.body["results"][0]["offers"].as_array().unwrap().len(), 1);
    assert_eq!(many.body["results"][1]["offers"].as_array().unwrap().len(), 0);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gtin_finds_offers_of_every_sku_that_carries_it() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    for (supplier, sku) in [("a", "SKU-A"), ("b", "SKU-B")] {
        let key = api.supplier(supplier).await;
        let body = json!({
            "sku": sku, "gtin": "4006381333931", "location": "main", "on_hand": 5,
            "price": { "minor": 100, "currency": "EUR" },
        });
        let path = format!("/v1/suppliers/{supplier}/listings/l");
        assert_eq!(api.call(&key, Method::PUT, &path, body).await.status, 200);
    }
    assert_eq!(api.sees("gtin=04006381333931").await, ["a", "b"]);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_good_rows_apply_and_bad_rows_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let key = api.supplier("a").await;
    let price = json!({ "minor": 100, "currency": "EUR" });
    let put = |listing: &str, more: Value| {
        let mut row =
            json!({ "op": "put", "listing": listing, "sku": "S", "location": "main", "price": price });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let rows = json!({ "rows": [
        put("l-0", json!({ "on_hand": 4 })),
        put("l-1", json!({ "gtin": "4006381333932" })),
        put("l-2", json!({ "on_hand": -1 })),
        put("l-3", json!({ "colour": "red" })),
        put("l-4", json!({ "location": "nowhere" })),
        { "op": "stock", "listing": "l-0", "adjust": 2 },
        { "op": "stock", "listing": "l-9", "set": 2 },
        { "op": "sell" },
        17,
    ]});
    let reply = api.call(&key, Method::POST, "/v1/suppliers/a/inventory:batch", rows).await;
    assert_eq!((reply.status, &reply.body["succeeded"], &reply.body["failed"]), (200, &json!(2), &json!(7)));
    let row = |n: usize| {
        let row = &reply.body["rows"][n];
        assert_eq!(row["row"], n);
        (
            row["status"].as_str().unwrap(),
            row["code"].as_str().unwrap_or(""),
            row["field"].as_str().unwrap_or(""),
        )
    };
    assert_eq!(row(0), ("applied", "", ""));
    assert_eq!(row(1), ("invalid", "gtin_check_digit", "/gtin"));
    assert_eq!(row(2), ("invalid", "quantity_range", "/on_hand"));
    assert_eq!(row(3).1, "unknown_field");
    assert_eq!(row(4).1, "unknown_location");
    assert_eq!(reply.body["rows"][5]["available"], 6);
    assert_eq!(row(6).1, "unknown_listing");
    assert_eq!((row(7).0, row(8).0), ("invalid", "invalid"));
    let typed = json!({ "rows": [put("l-0", json!({ "on_hand": "many" })), put("l-1", json!({ "price": { "minor": 1 } }))] });
    let reply = api.call(&key, Method::POST, "/v1/suppliers/a/inventory:batch", typed).await;
    let place = |n: usize| (reply.body["rows"][n]["field"].as_str(), reply.body["rows"][n]["code"].as_str());
    assert_eq!(place(0), (Some("/on_hand"), Some("wrong_type")));
    assert_eq!(place(1), (Some("/price/currency"), Some("missing_field")));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_recognised_and_a_reused_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let key = api.supplier("a").await;
    api.list(&key, "a", "S", 100, 10).await;
    let bearer = format!("Bearer {key}");
    let take = async |body: &str| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
        api.raw(Method::POST, "/v1/suppliers/a/listings/S/stock", &headers, body.as_bytes().to_vec()).await
    };
    assert_eq!(take(r#"{"adjust":-3}"#).await.body["available"], 7);
    let again = take(r#"{"adjust":-3}"#).await;
    assert_eq!((&again.body["available"], again.header("idempotent-replay").as_str()), (&json!(7), "true"));
    assert_eq!(take(r#"{"adjust":-4}"#).await.code(), (409, "idempotency_key_reused"));
    let operation = api.get(&key, "/v1/suppliers/a/operations/once").await;
    assert_eq!(operation.body["rows"][0]["available"], 7);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_deadline_a_write_is_answered_with_a_link_to_its_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::with(directory.path(), LimitsConfig::default(), Duration::ZERO).await;
    let body = json!({ "name": "A", "region": "DE" });
    let reply = api.call(&api.operator, Method::PUT, "/v1/suppliers/a", body).await;
    assert!(matches!(reply.status, 200 | 202), "{}", reply.body);
    let known = async |api: &Api| api.get(&api.operator, "/v1/suppliers/a").await.status == 200;
    api.until("the supplier is known", known).await;
    let key = api.keys.create("a", Role::Supplier { supplier: "a".parse().unwrap() }).unwrap();
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "later")];
    let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 });
    let path = "/v1/suppliers/a/locations/main";
    let reply = api.raw(Method::PUT, path, &headers, place.to_string().into_bytes()).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    assert!(reply.header("stockade-position").starts_with("p1."));
    let link = reply.header("location");
    assert_eq!(link, "/v1/suppliers/a/operations/later");
    let decided = async |api: &Api| api.get(&key, &link).await.body["rows"][0]["status"] == "applied";
    api.until("the link shows the outcome", decided).await;
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_a_problem_with_a_stable_code_and_the_offending_field() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let key = api.supplier("a").await;
    api.supplier("b").await;
    let bearer = format!("Bearer {key}");
    let put = async |body: &str| {
        let path = "/v1/suppliers/a/listings/l";
        api.raw(Method::PUT, path, &[("authorization", &bearer)], body.as_bytes().to_vec()).await
    };
    assert_eq!(put("{").await.code(), (400, "malformed_json"));
    assert_eq!(put("{} x").await.status, 422);
    assert_eq!(put("").await.code(), (400, "empty_body"));
    let whole = put("[]").await.body;
    assert_eq!(whole["detail"], "expected an object with named fields, got an array", "no field, no colon");
    // Valid JSON of another kind is no malformed JSON.
    let far = "2999-01-01T00:00:00Z";
    for (key, method, path, body, field) in [
        (
            &api.operator,
            Method::PUT,
            "/v1/suppliers/a",
            json!({ "name": "A", "region": "DE", "stock_counts": true }),
            "/stock_counts",
        ),
        (
            &api.analyst,
            Method::POST,
            "/v1/overrides",
            json!({ "supplier": "a", "deny": true, "reason": "x", "expires_at": far }),
            "/deny",
        ),
        (
            &api.analyst,
            Method::POST,
            "/v1/overrides",
            json!({ "supplier": "a", "deny": "dim", "scope": "all", "reason": "x", "expires_at": far }),
            "/scope",
        ),
        (
            &api.orders,
            Method::POST,
            "/v1/events",
            json!({ "specversion": "1.0", "id": "e", "source": "t", "type": "stockade.order.cancelled", "data": { "supplier": "a", "order": "o", "cause": 5 } }),
            "/data/cause",
        ),
    ] {
        let reply = api.call(key, method, path, body).await;
        assert_eq!(reply.code(), (422, "invalid_request"), "{path}: {}", reply.body);
        let error = &reply.body["errors"][0];
        assert_eq!(
            (error["field"].as_str(), error["code"].as_str()),
            (Some(field), Some("wrong_type")),
            "{error}"
        );
        assert!(!error["detail"].as_str().unwrap().contains("enum"), "{error}");
    }
    let wrong =
        put(r#"{"sku":"S","location":"main","price":{"minor":-5,"currency":"eur"},"gtin":"123"}"#).await;
    assert_eq!(wrong.code(), (422, "invalid_request"));
    assert_eq!(wrong.header("content-type"), "application/problem+json");
    let fields: Vec<_> =
        wrong.body["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["/gtin", "/price/currency"]);
    let twice = put(r#"{"sku":"S","sku":"T","location":"main","price":{"minor":5,"currency":"EUR"}}"#).await;
    assert_eq!(twice.body["errors"][0]["code"], "duplicate_field");
    let huge = format!(r#"{{"sku":"{}"}}"#, "x".repeat(2 << 20));
    assert_eq!(put(&huge).await.code(), (413, "body_too_large"));
    let absurd =
        put(r#"{"sku":"S","location":"main","price":{"minor":5,"currency":"EUR"},"on_hand":99999999999}"#)
            .await;
    assert_eq!(absurd.body["errors"][0]["code"], "quantity_range");

    let stranger = api.call(&key, Method::PUT, "/v1/suppliers/b/listings/l", json!({})).await;
    assert_eq!(stranger.code(), (403, "not_your_supplier"));
    assert_eq!(
        api.raw(Method::GET, "/v1/availability?sku=S", &[], Vec::new()).await.code(),
        (401, "missing_key")
    );
    let forged = api.get("sk_0", "/v1/availability?sku=S").await;
    assert_eq!(forged.code(), (401, "unknown_key"));
    assert_eq!(api.get(&key, "/v1/decisions").await.code(), (403, "wrong_role"));
    for (path, roles) in [
        ("/v1/decisions", "one of the roles analyst, approver, operator"),
        ("/v1/reservations/a::x", "one of the roles buyer, order-system, analyst, approver, operator"),
        ("/v1/events/t/e", "one of the roles order-system, analyst, approver, operator"),
    ] {
        let refused = api.get(&key, path).await;
        assert_eq!(refused.code(), (403, "wrong_role"));
        assert!(refused.body["detail"].as_str().unwrap().contains(roles), "{path}: {}", refused.body);
    }
    assert_eq!(api.get(&api.buyer, "/v1/availability").await.body["errors"][0]["code"], "sku_or_gtin");
    assert_eq!(api.get(&api.buyer, "/v1/availability?sku=S&colour=red").await.code(), (400, "bad_query"));
    assert_eq!(
        api.get(&api.buyer, "/v1/availability?sku=S&max_price=5").await.body["errors"][0]["code"],
        "currency_required"
    );
    assert_eq!(
        api.get(&api.buyer, "/v1/availability?sku=S&after_position=nonsense").await.code(),
        (400, "bad_position")
    );
    assert_eq!(api.get(&api.buyer, "/v1/nowhere").await.code(), (404, "no_such_path"));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_events_are_refused_with_their_fields_and_good_ones_in_the_same_batch_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    api.supplier("a").await;
    let event = |more: Value| {
        let mut event = json!({
            "specversion": "1.0", "id": "e", "source": "t", "type": "stockade.order.placed",
            "data": { "supplier": "a", "order": "o", "buyer": "b" },
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let wrong = [
        (json!({ "specversion": "0.3" }), "specversion"),
        (json!({ "type": "stockade.order.eaten" }), "unknown_event_type"),
        (json!({ "time": "2999-01-01T00:00:00Z" }), "time_in_future"),
        (json!({ "time": "2001-01-01T00:00:00Z" }), "time_too_old"),
        (json!({ "time": "yesterday" }), "time_format"),
        (json!({ "data": { "supplier": "a" } }), "missing_field"),
        (json!({ "data": { "supplier": "a", "order": "o", "mood": "bad" } }), "unknown_field"),
        (json!({ "type": "stockade.order.reviewed" }), "rating_range"),
        (json!({ "type": "stockade.order.cancelled" }), "missing_field"),
    ];
    for (more, code) in &wrong {
        let reply = api.call(&api.orders, Method::POST, "/v1/events", event(more.clone())).await;
        assert_eq!((reply.status, reply.body["errors"][0]["code"].as_str()), (422, Some(*code)), "{more}");
    }
    let twice = r#"{"specversion":"1.0","id":"e","source":"t","type":"stockade.order.placed",
        "data":{"supplier":"a","supplier":"b","order":"o"}}"#;
    let bearer = format!("Bearer {}", api.orders);
    let reply =
        api.raw(Method::POST, "/v1/events", &[("authorization", &bearer)], twice.as_bytes().to_vec()).await;
    assert_eq!(reply.body["errors"][0]["code"], "duplicate_field");
    let mut batch: Vec<Value> = wrong.iter().map(|(more, _)| event(more.clone())).collect();
    batch.push(event(json!({ "id": "good" })));
    let reply = api.call(&api.orders, Method::POST, "/v1/events", Value::from(batch)).await;
    assert_eq!((reply.status, &reply.body["accepted"], &reply.body["refused"]), (202, &json!(1), &json!(9)));
    assert_eq!(reply.body["rows"][9]["status"], "accepted");
    assert_eq!(
        api.call(&api.buyer, Method::POST, "/v1/events", event(json!({}))).await.code(),
        (403, "wrong_role")
    );
    api.close().await;
}

/// Eight buyers are cancelled on by the supplier's own doing.
pub(crate) async fn cancel_spree(api: &Api, supplier: &str, orders: usize) {
    for order in 0..orders {
        let data = |cause: Option<&str>| json!({ "supplier": supplier, "order": format!("o-{order}"), "buyer": format!("b-{order}"), "cause": cause });
        let name = format!("{supplier}-{order}");
        assert_eq!(api.event(&format!("{name}-p"), "order.placed", data(None)).await.status, 202);
        assert_eq!(
            api.event(&format!("{name}-c"), "order.cancelled", data(Some("supplier"))).await.status,
            202
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malicious_supplier_disappears_the_honest_one_stays_and_a_release_restores_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let (bad, good) = (api.supplier("bad").await, api.supplier("good").await);
    api.list(&bad, "bad", "SKU-1", 100, 10).await;
    api.list(&good, "good", "SKU-1", 200, 10).await;
    assert_eq!(api.sees("sku=SKU-1").await, ["bad", "good"]);

    cancel_spree(&api, "bad", 12).await;
    api.until("the offers of bad are withheld", async |api| api.sees("sku=SKU-1").await == ["good"]).await;

    let standing = api.get(&bad, "/v1/suppliers/bad/standing").await.body;
    assert_eq!(standing["level"], "quarantine");
    assert_eq!(standing["in_force"][0]["reasons"], json!(["DEFECT_RATE"]));
    assert!(standing["in_force"][0].get("values").is_none(), "thresholds and values are not for suppliers");
    assert_eq!(api.get(&good, "/v1/suppliers/good/standing").await.body["level"], Value::Null);
    assert_eq!(api.get(&good, "/v1/suppliers/bad/standing").await.code(), (403, "not_your_supplier"));
    let risk = api.get(&api.analyst, "/v1/suppliers/bad/risk").await.body;
    let points: u64 =
        risk["contributions"].as_array().unwrap().iter().map(|c| c["points"].as_u64().unwrap()).sum();
    assert_eq!(risk["score"].as_u64(), Some(points));
    let sure = risk["confidence"].as_f64().unwrap();
    assert!(sure > 0.5 && sure < 1.0, "{sure}");

    // Quarantined, it still writes, in the dark; nobody can reserve from it.
    assert_eq!(api.list(&bad, "bad", "SKU-1", 90, 20).await.status, 200);
    let reserve = json!({ "supplier": "bad", "listing": "SKU-1", "quantity": 1 });
    assert_eq!(
        api.call(&api.buyer, Method::POST, "/v1/reservations", reserve).await.code(),
        (409, "not_available")
    );
    assert_eq!(api.sees("sku=SKU-1").await, ["good"]);

    let decisions = api.get(&api.analyst, "/v1/decisions?supplier=bad").await.body;
    let imposed = &decisions["decisions"][0];
    assert_eq!(
        (&imposed["action"], &imposed["restriction"]["rule"]["id"]),
        (&json!("imposed"), &json!("cancel-rate"))
    );
    assert!(imposed["restriction"]["tree"][0].as_str().unwrap().starts_with("true"));
    let id = imposed["restriction"]["id"].as_str().unwrap();
    let release = format!("/v1/decisions/{id}:release");
    let reply =
        api.call(&api.analyst, Method::POST, &release, json!({ "reason": "warehouse fire, proven" })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    api.until("bad is back", async |api| api.sees("sku=SKU-1").await == ["bad", "good"]).await;
    // The same evidence does not lock it again; more does.
    let data = json!({ "supplier": "bad", "order": "o-x", "buyer": "b-x" });
    api.event("x-p", "order.placed", data).await;
    assert_eq!(api.sees("sku=SKU-1").await, ["bad", "good"]);
    cancel_spree(&api, "bad2", 0).await;
    for order in 20..23 {
        let data = |cause: Option<&str>| json!({ "supplier": "bad", "order": format!("o-{order}"), "buyer": format!("b-{order}"), "cause": cause });
        api.event(&format!("p-{order}"), "order.placed", data(None)).await;
        api.event(&format!("c-{order}"), "order.cancelled", data(Some("supplier"))).await;
    }
    api.until("bad is withheld again", async |api| api.sees("sku=SKU-1").await == ["good"]).await;
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_decided_is_explained_to_the_supplier_in_the_persons_words_and_not_by_its_note() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let key = api.supplier("a").await;
    let far = "2999-01-01T00:00:00Z";
    let listing = json!({ "kind": "listing", "listing": "SKU-1" });
    let told = "The carrier has no parcels of yours.";
    let denials = [
        (json!({ "kind": "supplier" }), json!({ "text": told }), told),
        (listing, json!({}), "has not stated the facts"),
    ];
    for (scope, more, says) in denials {
        let mut body =
            json!({ "supplier": "a", "deny": "cap", "scope": scope, "reason": "smells", "expires_at": far });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(api.call(&api.analyst, Method::POST, "/v1/overrides", body).await.status, 200);
        let mut denial = Value::Null;
        api.until("it is listed with its note", async |api| {
            let all = api.get(&api.analyst, "/v1/overrides").await.body;
            let of = all["items"][0]["denials"].as_array().cloned().unwrap_or_default();
            denial = of.into_iter().find(|denial| denial["scope"] == scope).unwrap_or_default();
            denial["reason"] == "smells"
        })
        .await;
        let own = format!("/v1/suppliers/a/decisions/{}/statement", denial["id"].as_str().unwrap());
        let stated = api.get(&key, &own).await;
        assert_eq!((stated.status, &stated.body["facts"]["text"]), (200, &denial["text"]), "{}", stated.body);
        let request = axum::http::Request::get(&own)
            .header("authorization", format!("Bearer {key}"))
            .header("accept", "text/plain")
            .body(axum::body::Body::empty());
        let response = api.router.clone().oneshot(request.unwrap()).await.unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let words = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(words.contains(says) && !words.contains("smells"), "{words}");
    }
    for (more, field, code) in [
        (json!({ "deny": "cap", "text": "a\u{7}" }), "/text", "control_character"),
        (json!({ "allow": true, "text": "x" }), "/text", "text_of_allow"),
    ] {
        let mut body = json!({ "supplier": "a", "reason": "x", "expires_at": far });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = api.call(&api.analyst, Method::POST, "/v1/overrides", body).await;
        let error = &refused.body["errors"][0];
        assert_eq!((refused.status, &error["field"], &error["code"]), (422, &json!(field), &json!(code)));
    }
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_override_rules_and_narrow_scopes_touch_only_what_they_name() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let key = api.supplier("a").await;
    api.list(&key, "a", "SKU-1", 100, 10).await;
    api.list(&key, "a", "SKU-2", 100, 10).await;
    let impose = |scope: Value, level: &str| {
        json!({
            "supplier": "a", "deny": level, "scope": scope, "reason": "test", "expires_at": "2999-01-01T00:00:00Z",
        })
    };
    let listing = json!({ "kind": "listing", "listing": "SKU-1" });
    let reply = api.call(&api.analyst, Method::POST, "/v1/overrides", impose(listing, "quarantine")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    api.until("one listing is withheld", async |api| api.sees("sku=SKU-1").await.is_empty()).await;
    assert_eq!(api.sees("sku=SKU-2").await, ["a"]);
    api.call(&api.analyst, Method::POST, "/v1/overrides", impose(json!({ "kind": "supplier" }), "lockout"))
        .await;
    api.until("everything is withheld", async |api| api.sees("sku=SKU-2").await.is_empty()).await;
    api.until("writes are refused", async |api| {
        api.list(&key, "a", "SKU-2", 100, 50).await.code() == (403, "supplier_locked_out")
    })
    .await;
    let stock = "/v1/suppliers/a/listings/SKU-2/stock";
    assert_eq!(
        api.call(&key, Method::POST, stock, json!({ "set": 3 })).await.status,
        200,
        "reductions are taken"
    );
    let expired =
        json!({ "supplier": "a", "allow": true, "reason": "late", "expires_at": "2001-01-01T00:00:00Z" });
    assert_eq!(
        api.call(&api.analyst, Method::POST, "/v1/overrides", expired).await.code(),
        (409, "already_expired")
    );
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_published_with_if_match_and_a_bad_set_never_replaces_a_good_one() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let current = api.get(&api.analyst, "/v1/rules").await;
    let tag = current.header("etag");
    let bearer = format!("Bearer {}", api.analyst);
    let put = async |tag: Option<&str>, source: &str| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(tag.map(|tag| ("if-match", tag)));
        api.raw(Method::PUT, "/v1/rules", &headers, source.as_bytes().to_vec()).await
    };
    let starter = stockade_lockout::STARTER_RULES;
    assert_eq!(put(None, starter).await.code(), (428, "if_match_required"));
    assert_eq!(put(Some("\"other\""), starter).await.code(), (412, "rules_changed"));
    let misspelt = starter.replace("cancellations.buyers_7d", "cancelations.buyers_7d");
    let refused = put(Some(&tag), &misspelt).await;
    assert_eq!(refused.code(), (422, "invalid_rules"));
    assert!(
        refused.body["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean cancellations.buyers_7d?")
    );
    assert_eq!(api.get(&api.analyst, "/v1/rules").await.header("etag"), tag);
    let stricter = starter.replace("buyers_7d >= 8", "buyers_7d >= 7");
    let published = put(Some(&tag), &stricter).await;
    assert_eq!(published.status, 200, "{}", published.body);
    assert_ne!(api.get(&api.analyst, "/v1/rules").await.header("etag"), tag);
    assert_eq!(
        put(Some(&tag), starter).await.code(),
        (412, "rules_changed"),
        "nobody's change is overwritten"
    );
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_are_published_like_rules_and_what_rules_need_cannot_be_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let bearer = format!("Bearer {}", api.analyst);
    let send = async |method: Method, path: &str, tag: Option<&str>, source: &str| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(tag.map(|tag| ("if-match", tag)));
        api.raw(method, path, &headers, source.as_bytes().to_vec()).await
    };
    let current = api.get(&api.analyst, "/v1/features").await;
    let (tag, source) = (current.header("etag"), current.body["source"].as_str().unwrap().to_owned());
    assert_eq!(send(Method::PUT, "/v1/features", None, &source).await.code(), (428, "if_match_required"));
    let circle = source.clone() + "  - { name: f.x, unit: u, meaning: m, ratio: [f.x, f.x] }\n";
    let refused = send(Method::POST, "/v1/features:check", None, &circle).await;
    assert_eq!(refused.code(), (422, "invalid_features"));
    assert!(
        refused.body["errors"][0]["detail"].as_str().unwrap().contains("f.x: divides"),
        "{}",
        refused.body
    );
    let without: String = source
        .lines()
        .filter(|line| !line.contains("claims.buyers_7d"))
        .map(|line| format!("{line}\n"))
        .collect();
    let refused = send(Method::PUT, "/v1/features", Some(&tag), &without).await;
    assert_eq!(refused.body["errors"][0]["code"], "needed_by_rules", "{}", refused.body);
    let more = source
        + "  - { name: orders.value_7d, unit: minor, meaning: value of orders, sum: orders, in: 7d }\n";
    let published = send(Method::PUT, "/v1/features", Some(&tag), &more).await;
    assert_eq!(published.status, 200, "{}", published.body);
    assert_ne!(published.header("etag"), tag);
    // A rule may read it at once, and a supplier's risk shows it.
    let starter = stockade_lockout::STARTER_RULES;
    let rules =
        starter.replace("score.total >= 450.0", "score.total >= 450.0 || orders.value_7d > 1000000.0");
    let rules_tag = api.get(&api.analyst, "/v1/rules").await.header("etag");
    let published = send(Method::PUT, "/v1/rules", Some(&rules_tag), &rules).await;
    assert_eq!(published.status, 200, "{}", published.body);
    api.supplier("acme").await;
    cancel_spree(&api, "acme", 2).await;
    api.until("the new feature is in the view", async |api| {
        let risk = api.get(&api.analyst, "/v1/suppliers/acme/risk").await;
        risk.body["features"]["orders.value_7d"].is_number()
    })
    .await;
    api.close().await;
}

/// A model file that reads one feature; fitted on made-up orders.
pub(crate) fn model_file(seed: u64) -> String {
    use stockade_supplier_scoring::{Example, FeatureSet, FitOptions, Origin, fit};
    let schema = FeatureSet::default_set().schema().clone();
    let slot = schema.slot("cancellations.rate_7d_low").unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let examples: Vec<Example> = (0..5_000)
        .map(|_| {
            let mut slots = vec![0.0; schema.features().len()];
            slots[slot] = random.f32();
            Example { bad: random.f32() < slots[slot] / 2.0, slots, weight: 1.0 }
        })
        .collect();
    let text = || seed.to_string();
    let origin = Origin {
        data: text(),
        features: text(),
        label_delay: text(),
        from: text(),
        until: text(),
        orders: 1,
        bad: 1,
    };
    fit(&schema, &examples, origin, FitOptions { rounds: 20, ..FitOptions::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_runs_beside_the_champion_is_promoted_and_rolled_back() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let bearer = format!("Bearer {}", api.analyst);
    let post = async |path: &str, body: &str| {
        let headers = [("authorization", bearer.as_str())];
        api.raw(Method::POST, path, &headers, body.as_bytes().to_vec()).await
    };
    assert_eq!(post("/v1/models:promote", "").await.code(), (409, "no_such_model"));
    let wrong = model_file(1).replace("cancellations.rate_7d_low", "cancellations.rate_9d_low");
    assert_eq!(post("/v1/models", &wrong).await.code(), (422, "invalid_model"));
    let (one, two) = (model_file(1), model_file(2));
    let published = post("/v1/models", &one).await;
    assert_eq!(published.status, 200, "{}", published.body);
    let first = published.body["challenger"]["version"].clone();
    api.supplier("acme").await;
    let risk =
        async |api: &Api| api.get(&api.analyst, "/v1/suppliers/acme/risk").await.body["features"].clone();
    cancel_spree(&api, "acme", 3).await;
    api.until("the challenger scores", async |api| risk(api).await["model.challenger"].is_number()).await;
    assert!(risk(&api).await["model.champion"].is_null());
    assert_eq!(post("/v1/models:promote", "").await.body["champion"]["version"], first);
    assert_eq!(post("/v1/models", &two).await.status, 200);
    let promoted = post("/v1/models:promote", "").await.body;
    assert_eq!(promoted["former"]["version"], first);
    let back = post("/v1/models:rollback", "").await.body;
    assert_eq!((&back["champion"]["version"], &back["former"]), (&first, &Value::Null));
    api.close().await;
    // What was in force is in force after a restart.
    let api = Api::open(directory.path()).await;
    api.until("the models are back", async |api| {
        api.get(&api.analyst, "/v1/models").await.body["champion"]["version"] == first
    })
    .await;
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_callers_burst_is_refused_at_the_edge_and_others_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let mut limits = LimitsConfig::default();
    let tiny = Class::a_second(NonZeroU32::MIN, NonZeroU32::new(4).unwrap());
    limits.0.insert("standard".to_owned(), tiny);
    let api = Api::with(directory.path(), limits, Duration::from_secs(20)).await;
    let (loud, quiet) = (api.supplier("loud").await, api.supplier("quiet").await);
    let mut refused = None;
    for _ in 0..5 {
        let reply = api.list(&loud, "loud", "S", 100, 1).await;
        if reply.status == 429 {
            refused = Some(reply);
        }
    }
    let refused = refused.expect("a burst beyond the allowance is refused");
    assert_eq!(refused.code(), (429, "rate_limited"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(refused.header("ratelimit").contains("r=0"));
    assert_eq!(api.list(&quiet, "quiet", "S", 100, 1).await.status, 200);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_registers_only_so_many_new_suppliers_and_may_always_change_those_that_are_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut limits = LimitsConfig::default();
    let two = NonZeroU32::new(2).unwrap();
    limits.0.insert(REGISTRATIONS.to_owned(), Class { units: two, per: Per::Day, burst: two });
    let api = Api::with(directory.path(), limits, Duration::from_secs(20)).await;
    let register = async |key: &str, supplier: &str, name: &str| {
        let body = json!({ "name": name, "region": "DE" });
        api.call(key, Method::PUT, &format!("/v1/suppliers/{supplier}"), body).await
    };
    let first = register(&api.operator, "one", "One").await;
    assert_eq!(
        (first.status, first.header("ratelimit").contains("r=1")),
        (200, true),
        "{}",
        first.header("ratelimit")
    );
    assert_eq!(register(&api.operator, "two", "Two").await.status, 200);
    let refused = register(&api.operator, "three", "Three").await;
    assert_eq!(refused.code(), (429, "too_many_registrations"), "{}", refused.body);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 3_600);
    assert_eq!(api.get(&api.operator, "/v1/suppliers/three").await.status, 404, "nothing was registered");
    assert_eq!(register(&api.operator, "one", "Uno").await.body["name"], "Uno");
    let other = api.keys.create("op2", Role::Operator).unwrap();
    assert_eq!(register(&other, "three", "Three").await.status, 200);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_nothing_that_was_acknowledged_and_no_lock_out() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let (bad, good) = (api.supplier("bad").await, api.supplier("good").await);
    api.list(&bad, "bad", "SKU-1", 100, 10).await;
    api.list(&good, "good", "SKU-1", 200, 10).await;
    cancel_spree(&api, "bad", 12).await;
    api.until("bad is withheld", async |api| api.sees("sku=SKU-1").await == ["good"]).await;
    api.close().await;

    let api = Api::open(directory.path()).await;
    assert_eq!(api.sees("sku=SKU-1").await, ["good"]);
    api.until("rules are back", async |api| {
        !api.platform.lockout.as_ref().unwrap().rules.current().0.is_empty()
    })
    .await;
    let listing = api.get(&api.operator, "/v1/suppliers/bad/listings/SKU-1").await;
    assert_eq!(listing.body["on_hand"], 10);
    api.close().await;
}
