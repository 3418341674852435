//! `If-Match` and `If-None-Match`: nobody's change is overwritten, nothing is sent twice.

use super::*;

#[tokio::test]
async fn a_stale_change_of_a_listing_is_refused_and_an_unchanged_one_is_not_sent_again() {
    let api = Api::open().await;
    assert_eq!(api.list("l", json!({})).await.status, 200);
    let first = api.get("listings/l", &[]).await.header("etag").to_owned();
    assert!(first.starts_with('"') && first.ends_with('"'), "{first}");

    let again = api.get("listings/l", &[("if-none-match", &first)]).await;
    assert_eq!((again.status, again.header("etag"), &again.body), (304, first.as_str(), &Value::Null));
    let listed = format!("\"other\", W/{first}");
    assert_eq!(api.get("listings/l", &[("if-none-match", &listed)]).await.status, 304);
    assert_eq!(api.get("listings/l", &[("if-none-match", "*")]).await.status, 304);
    assert_eq!(api.get("listings/l", &[("if-none-match", "\"other\"")]).await.status, 200);

    // Somebody else changes it: the first tag is stale now, for every kind of change.
    let expecting = |tag: &str| vec![("if-match", tag.to_owned())];
    let change = async |tag: &str, body: Value| {
        let headers = expecting(tag);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        api.put("listings/l", &headers, body).await
    };
    let cheaper = || listing(json!({ "price": { "minor": 1_500, "currency": "EUR" } }));
    assert_eq!(change(&first, cheaper()).await.status, 200);
    let second = api.get("listings/l", &[]).await.header("etag").to_owned();
    assert_ne!(first, second);
    assert_eq!(api.get("listings/l", &[("if-none-match", &first)]).await.status, 200);
    assert_eq!(change(&first, listing(json!({}))).await.code(), (412, "listing_changed"));
    let stock = api.post("listings/l/stock", &[("if-match", &first)], json!({ "set": 1 })).await;
    assert_eq!(stock.code(), (412, "listing_changed"));
    let path = "/v1/suppliers/acme/listings/l";
    let gone = api.call(Method::DELETE, &api.supplier, path, &[("if-match", &first)], Value::Null).await;
    assert_eq!(gone.code(), (412, "listing_changed"));
    let kept = api.get("listings/l", &[]).await;
    assert_eq!((&kept.body["price"]["minor"], &kept.body["on_hand"]), (&json!(1_500), &json!(10)));

    assert_eq!(change(&format!("\"x\", {second}"), listing(json!({}))).await.status, 200, "one of a list");
    assert_eq!(change("*", listing(json!({}))).await.status, 200, "any");
    assert_eq!(change(&format!("W/{second}"), listing(json!({}))).await.code(), (412, "listing_changed"));
    assert_eq!(change("\"open", listing(json!({}))).await.code(), (400, "bad_etag"));
    let absent = api.put("listings/new", &[("if-match", "*")], listing(json!({}))).await;
    assert_eq!(absent.code(), (412, "listing_changed"), "what does not exist matches nothing");
    let create = async |name: &str| {
        api.put(&format!("listings/{name}"), &[("if-none-match", "*")], listing(json!({}))).await
    };
    assert_eq!(create("new").await.status, 200);
    assert_eq!(create("new").await.code(), (412, "listing_changed"), "only where there is none");
}

#[tokio::test]
async fn a_change_of_the_place_changes_what_a_listing_says_and_has_conditions_of_its_own() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let place =
        |region: &str| json!({ "latitude": 52.5, "longitude": 13.4, "region": region, "handling_days": 2 });
    let (listed, located) = (api.get("listings/l", &[]).await, api.get("locations/main", &[]).await);
    let (listed, located) = (listed.header("etag"), located.header("etag"));
    assert_eq!(api.get("locations/main", &[("if-none-match", located)]).await.status, 304);
    assert_eq!(api.put("locations/main", &[("if-match", located)], place("FR")).await.status, 200);
    let stale = api.put("locations/main", &[("if-match", located)], place("ES")).await;
    assert_eq!(stale.code(), (412, "location_changed"));
    let moved = api.get("listings/l", &[("if-none-match", listed)]).await;
    assert_eq!((moved.status, &moved.body["regions"]), (200, &json!(["FR"])), "it serves another region now");
    let stale = api.put("listings/l", &[("if-match", listed)], listing(json!({}))).await;
    assert_eq!(stale.code(), (412, "listing_changed"));
}

#[tokio::test]
async fn a_retry_is_answered_as_at_first_whatever_its_condition_says_by_then() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let tag = api.get("listings/l", &[]).await.header("etag").to_owned();
    let take = async |tag: &str| {
        let headers = [("if-match", tag), ("idempotency-key", "once")];
        api.post("listings/l/stock", &headers, json!({ "adjust": -1 })).await
    };
    assert_eq!(take(&tag).await.body["available"], 9);
    let again = take(&tag).await;
    assert_eq!((again.header("idempotent-replay"), &again.body["available"]), ("true", &json!(9)));
    assert_eq!(take("*").await.code(), (409, "idempotency_key_reused"), "that is another request");
    let batch = json!({ "rows": [{ "op": "stock", "listing": "l", "set": 1 }] });
    let refused = api.post("inventory:batch", &[("if-match", &tag)], batch).await;
    assert_eq!(refused.code(), (400, "precondition_on_batch"), "never ignored");
}
