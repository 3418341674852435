//! What suppliers are answered.

use std::num::NonZeroU32;

use stockade_runtime::limits::Class;

use super::*;

#[tokio::test]
async fn a_put_behind_the_stocks_sequence_says_what_became_of_its_stock() {
    let api = Api::open().await;
    assert_eq!(api.list("l", json!({ "source_seq": 5 })).await.body["stock"], Value::Null);
    assert_eq!(api.post("listings/l/stock", &[], json!({ "set": 7, "source_seq": 9 })).await.status, 200);
    let price = |minor: i64| json!({ "minor": minor, "currency": "EUR" });
    let behind = api.list("l", json!({ "price": price(100), "on_hand": 99, "source_seq": 8 })).await;
    let body = (&behind.body["status"], &behind.body["stock"], &behind.body["available"]);
    assert_eq!(
        body,
        (&json!("applied"), &json!("superseded"), &json!(7)),
        "the price counts, the stock does not"
    );
    let level = api.list("l", json!({ "price": price(200), "on_hand": 99, "source_seq": 9 })).await;
    assert_eq!((&level.body["status"], &level.body["stock"]), (&json!("applied"), &json!("replayed")));
    let ahead = api.list("l", json!({ "price": price(300), "on_hand": 3, "source_seq": 10 })).await;
    assert_eq!((&ahead.body["stock"], &ahead.body["available"]), (&Value::Null, &json!(3)));
    let rows = json!({ "rows": [{
        "op": "put", "listing": "l", "sku": "SKU-1", "location": "main", "price": price(400), "on_hand": 50,
        "source_seq": 11,
    }]});
    api.post("listings/l/stock", &[], json!({ "set": 1, "source_seq": 12 })).await;
    let batch = api.post("inventory:batch", &[], rows).await;
    assert_eq!(batch.body["rows"][0]["stock"], "superseded", "{}", batch.body);
    let without = json!({ "sku": "SKU-1", "location": "main", "price": price(500), "source_seq": 11 });
    assert_eq!(api.put("listings/l", &[], without).await.body["stock"], Value::Null, "it carried none");
}

#[tokio::test]
async fn a_sequence_that_could_never_be_followed_is_refused_wherever_one_is_taken() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let (most, beyond) =
        (stockade_model::inventory::SEQUENCE_MAX, stockade_model::inventory::SEQUENCE_MAX + 1);
    for seq in [beyond, u64::MAX] {
        let put = api.list("l", json!({ "source_seq": seq })).await;
        assert_eq!(put.field(), (422, "sequence_range", "/source_seq"));
        let stock = api.post("listings/l/stock", &[], json!({ "set": 1, "source_seq": seq })).await;
        assert_eq!(stock.field(), (422, "sequence_range", "/source_seq"));
        let rows = json!({ "rows": [
            { "op": "put", "listing": "l", "sku": "SKU-1", "location": "main", "price": { "minor": 1, "currency": "EUR" }, "source_seq": seq },
            { "op": "stock", "listing": "l", "set": 1, "source_seq": seq },
            { "op": "withdraw", "listing": "l", "source_seq": seq },
        ]});
        let batch = api.post("inventory:batch", &[], rows).await;
        for row in batch.body["rows"].as_array().unwrap() {
            assert_eq!((&row["code"], &row["field"]), (&json!("sequence_range"), &json!("/source_seq")));
        }
    }
    assert_eq!(api.list("l", json!({ "source_seq": most })).await.status, 200);
}

#[tokio::test]
async fn values_by_position_are_no_body_at_any_depth_of_any_call() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let price = json!({ "minor": 1_999, "currency": "EUR" });
    let by_position = json!(["SKU-1", null, "main", price, [], 10, null]);
    assert_eq!(api.put("listings/l", &[], by_position).await.field(), (422, "wrong_type", "body"));
    let nested = api.list("l", json!({ "price": [1_999, "EUR"] })).await;
    assert_eq!(nested.field(), (422, "wrong_type", "/price"));
    assert_eq!(api.post("listings/l/stock", &[], json!([1, null, null])).await.field().1, "wrong_type");
    assert_eq!(api.post("inventory:batch", &[], json!([[]])).await.field().1, "wrong_type");
    let rows = json!({ "rows": [
        ["put", "l", "SKU-1", null, "main", price, [], 1, null],
        { "op": "put", "listing": "l", "sku": "SKU-1", "location": "main", "price": [1, "EUR"] },
    ]});
    let batch = api.post("inventory:batch", &[], rows).await;
    for (row, field) in batch.body["rows"].as_array().unwrap().iter().zip([None, Some("/price")]) {
        // Where all of a row is wrong there is no field to name.
        assert_eq!((&row["code"], row["field"].as_str()), (&json!("wrong_type"), field), "{row}");
    }
    assert_eq!(api.reserve(json!(["acme", "l", 1, 60])).await.field().1, "wrong_type");
    let query = json!({ "goods": [["SKU-1", null, 1]] });
    let refused = api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], query).await;
    assert_eq!(refused.field(), (422, "wrong_type", "/goods/0"));
}

#[tokio::test]
async fn codes_that_are_on_no_list_are_refused_wherever_they_are_taken_and_the_likely_one_is_named() {
    let api = Api::open().await;
    for (code, hint) in [("ZZZ", ""), ("XXX", ""), ("XTS", ""), ("HRK", "EUR")] {
        let put = api.list("l", json!({ "price": { "minor": 1, "currency": code } })).await;
        assert_eq!(put.field(), (422, "currency_unknown", "/price/currency"), "{code}");
        assert!(put.body["detail"].as_str().unwrap().contains(hint), "{}", put.body);
        let asked = api.ask(&format!("sku=SKU-1&currency={code}")).await;
        assert_eq!(asked.field(), (422, "currency_unknown", "currency"), "{code}");
    }
    for (code, hint) in [("UK", "GB?"), ("EL", "GR?"), ("US-XX", "US-AK"), ("ZZ", "")] {
        let put = api.list("l", json!({ "regions": [code] })).await;
        assert_eq!(put.field(), (422, "region_unknown", "/regions/0"), "{code}");
        assert!(put.body["detail"].as_str().unwrap().contains(hint), "{}", put.body);
        assert_eq!(api.ask(&format!("sku=SKU-1&region={code}")).await.field().1, "region_unknown");
        let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": code, "handling_days": 0 });
        assert_eq!(api.put("locations/there", &[], place).await.field().1, "region_unknown");
        let reserve = json!({ "supplier": "acme", "listing": "l", "quantity": 1, "region": code });
        assert_eq!(api.reserve(reserve).await.field(), (422, "region_unknown", "/region"));
        let profile = json!({ "name": "A", "region": code });
        let registered = api.call(Method::PUT, &api.staff, "/v1/suppliers/a", &[], profile).await;
        assert_eq!(registered.field().1, "region_unknown");
    }
}

#[tokio::test]
async fn an_id_that_is_a_step_of_a_path_is_refused() {
    let api = Api::open().await;
    for id in [".", ".."] {
        let rows = json!({ "rows": [{ "op": "withdraw", "listing": id }] });
        assert_eq!(api.post("inventory:batch", &[], rows).await.body["rows"][0]["code"], "id_reserved");
        assert_eq!(api.ask(&format!("sku={id}")).await.field().1, "id_reserved");
        let place = api.list("l", json!({ "location": id })).await;
        assert_eq!(place.field(), (422, "id_reserved", "/location"));
    }
}

#[tokio::test]
async fn a_key_that_says_two_things_is_refused_by_suppliers_writes_and_reservations_alike() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let hold = || json!({ "supplier": "acme", "listing": "l", "quantity": 1 });
    let both = async |headers: &[(&str, &str)]| {
        let stock = api.post("listings/l/stock", headers, json!({ "set": 9 })).await;
        let path = "/v1/reservations";
        let held = api.call(Method::POST, &api.buyer, path, headers, hold()).await;
        assert_eq!(stock.code(), held.code());
        (stock.status, stock.body["errors"][0]["code"].as_str().unwrap_or(stock.code().1).to_owned())
    };
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(both(&twice).await, (400, "repeated_header".to_owned()));
    for bad in ["", "a/b", "..", &"x".repeat(129)] {
        assert_eq!(both(&[("idempotency-key", bad)]).await, (422, "bad_idempotency_key".to_owned()), "{bad}");
    }
    let bearer = format!("Bearer {}", api.supplier);
    let (path, twice) = (
        "/v1/suppliers/acme/listings/l",
        [("authorization", bearer.as_str()), ("authorization", bearer.as_str())],
    );
    assert_eq!(api.raw(Method::GET, path, &twice, Vec::new()).await.code(), (400, "repeated_header"));
    let lower = format!("bearer {}", api.supplier);
    assert_eq!(api.raw(Method::GET, path, &[("authorization", &lower)], Vec::new()).await.status, 200);
}

#[tokio::test]
async fn the_link_to_an_outcome_leads_to_it_whatever_its_key_is() {
    let api = Api::open().await;
    let headers = [("idempotency-key", "a?b#c%d")];
    assert_eq!(api.put("listings/l", &headers, listing(json!({}))).await.status, 200);
    let link = format!("operations/{}", stockade_runtime::http::path_segment("a?b#c%d"));
    assert_eq!(api.get(&link, &[]).await.body["rows"][0]["status"], "applied");
}

#[tokio::test]
async fn only_limit_slows_a_supplier_and_a_batch_of_any_size_passes_in_the_end() {
    let mut limits = LimitsConfig::default();
    let class = |per_second, burst| {
        Class::a_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    };
    limits.0.insert("standard".to_owned(), class(1_000_000, 1_000_000));
    limits.0.insert("limited".to_owned(), class(1, 20));
    // What suspects share is another matter.
    limits.0.insert("suspect".to_owned(), class(1_000_000, 1_000_000));
    let api = Api::with_limits(limits).await;
    api.list("l", json!({})).await;
    let batch = |rows: usize| json!({ "rows": (0..rows).map(|_| json!({ "op": "stock", "listing": "l", "set": 5 })).collect::<Vec<_>>() });
    for level in [Level::Watch, Level::Cap, Level::Dim, Level::Quarantine, Level::Lockout] {
        api.restrict(vec![restriction(Scope::Supplier, level)]).await;
        for _ in 0..3 {
            let corrected = api.post("inventory:batch", &[], batch(100)).await;
            assert_eq!((corrected.status, &corrected.body["succeeded"]), (200, &json!(100)), "{level:?}");
        }
    }
    api.restrict(vec![restriction(Scope::Supplier, Level::Limit)]).await;
    let first = api.post("inventory:batch", &[], batch(100)).await;
    assert_eq!((first.status, &first.body["succeeded"]), (200, &json!(100)), "more than the burst, at once");
    let second = api.post("inventory:batch", &[], batch(1)).await;
    let wait_s: u64 = second.header("retry-after").parse().unwrap();
    assert_eq!(second.code(), (429, "rate_limited"));
    assert!((75..=81).contains(&wait_s), "80 beyond the burst, at one a second: {wait_s}");
}
