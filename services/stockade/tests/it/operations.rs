//! What the console asks for beyond decisions: evidence over time, when a decision reached buyers, dead letters played again, who runs.

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};
use stockade_log::{Ack, NewRecord, ReadLimit, Route};
use stockade_model::{Envelope, Topic};

use crate::{
    api::cancel_spree,
    support::{Api, Reply},
};

const FAR: &str = "2099-01-31T00:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_told_over_time_with_its_exposure_and_the_bounds_of_rules() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let bad = api.supplier("bad").await;
    api.list(&bad, "bad", "SKU-1", 100, 10).await;
    cancel_spree(&api, "bad", 12).await;
    api.until("it is withheld", async |api| api.sees("sku=SKU-1").await.is_empty()).await;
    let told = api.get(&api.analyst, "/v1/suppliers/bad/evidence").await;
    assert_eq!(told.status, 200, "{}", told.body);
    let series = told.body["series"].as_array().unwrap();
    let points = told.body["at"].as_array().unwrap().len();
    assert!(points > 0 && told.body["vectors"].as_u64().unwrap() >= points as u64, "{}", told.body);
    assert!(series.iter().all(|of| of["values"].as_array().unwrap().len() == points));
    let odds = series.iter().find(|of| of["seen"].is_string()).unwrap();
    let seen = odds["seen"].as_str().unwrap();
    assert!(series.iter().any(|of| of["feature"] == seen), "the exposure is told beside the odds");
    assert_eq!(told.body["from"], Value::Null, "all of that time was read");

    // What the last point says is what is told as its risk, once all is scored.
    let asked = "/v1/suppliers/bad/evidence?features=orders.count_30d,cancellations.rate_7d_low";
    api.until("the last point is what is known now", async |api| {
        let told = api.get(&api.analyst, asked).await.body;
        let risk = api.get(&api.analyst, "/v1/suppliers/bad/risk").await.body;
        let series = told["series"].as_array().unwrap();
        // Both are of four bytes, and written with other digits.
        let short = |value: &Value| value.as_f64().unwrap() as f32;
        let is_last = |of: &Value| {
            let last = of["values"].as_array().unwrap().last().unwrap();
            short(last) == short(&risk["features"][of["feature"].as_str().unwrap()])
        };
        series.len() == 2 && series.iter().all(is_last)
    })
    .await;
    let none = api.get(&api.analyst, "/v1/suppliers/bad/evidence?until=2020-01-01T00:00:00Z").await.body;
    assert_eq!((&none["at"], &none["vectors"]), (&json!([]), &json!(0)));
    for (query, field) in [("features=no.such", "features"), ("since=2099-01-01T00:00:00Z", "since")] {
        let refused = api.get(&api.analyst, &format!("/v1/suppliers/bad/evidence?{query}")).await;
        assert_eq!(refused.code(), (422, "invalid_request"), "{query}");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    assert_eq!(api.get(&bad, "/v1/suppliers/bad/evidence").await.status, 403, "not for suppliers");
    assert_eq!(api.get(&api.analyst, "/v1/suppliers/none/evidence").await.code(), (404, "unknown_supplier"));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_says_when_it_reached_the_buyers_of_this_process_until_the_process_starts_anew() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let key = api.supplier("acme").await;
    api.list(&key, "acme", "SKU-1", 100, 10).await;
    let deny = json!({ "supplier": "acme", "deny": "quarantine", "reason": "known", "expires_at": FAR });
    let denied = api.call(&api.analyst, Method::POST, "/v1/overrides", deny).await.body;
    let path = format!("/v1/decisions/{}", denied["in_force"][0]["id"].as_str().unwrap());
    api.until("buyers do not see it", async |api| api.sees("sku=SKU-1").await.is_empty()).await;
    let told = api.get(&api.analyst, &path).await.body;
    assert_eq!(told["serves_buyers"], true);
    let (at, applied) = (&told["story"][0]["at"], &told["story"][0]["applied_at"]);
    assert!(applied.as_str().unwrap() >= at.as_str().unwrap(), "{told}");
    api.close().await;

    let api = Api::open(directory.path()).await;
    let told = api.get(&api.analyst, &path).await.body;
    assert_eq!((&told["serves_buyers"], &told["story"][0]["applied_at"]), (&json!(true), &Value::Null));
    api.close().await;
}

async fn replay(api: &Api, key: &str, letter: u64) -> Reply {
    let path = format!("/v1/ops/dead-letters/{letter}:replay");
    api.call(key, Method::POST, &path, json!({ "reason": "read since the upgrade" })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_played_again_once_and_the_list_says_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let (log, topic) = (api.platform.app.as_ref().unwrap().log.clone(), Topic::EventsInbox.name());
    let poison = NewRecord {
        topic,
        route: Route::Partition(0),
        key: Bytes::new(),
        headers: Envelope::new("stockade.order.event", "e-1", "shop").headers(),
        value: Bytes::from_static(b"{"),
    };
    log.append(vec![poison], Ack::Durable).await.unwrap();
    let letters = async || api.get(&api.operator, "/v1/ops/dead-letters").await.body;
    api.until("it is dead-lettered", async |_| letters().await["kept"] == 1).await;
    let letter = letters().await["letters"][0].clone();
    assert_eq!((&letter["replayable"], &letter["replayed"]), (&json!(true), &Value::Null), "{letter}");
    let number = letter["letter"].as_u64().unwrap();

    assert_eq!(replay(&api, &api.analyst, number).await.status, 403);
    assert_eq!(replay(&api, &api.operator, number + 9).await.code(), (404, "no_such_letter"));
    let played = replay(&api, &api.operator, number).await;
    assert_eq!((played.status, &played.body["again"]), (200, &json!(false)), "{}", played.body);
    let again = replay(&api, &api.operator, number).await;
    assert_eq!((again.status, &again.body["again"]), (200, &json!(true)), "{}", again.body);
    // This build reads it no better, so it is another letter, which nobody has played.
    api.until("it is dead-lettered again", async |_| letters().await["kept"] == 2).await;
    let told = letters().await;
    let [newer, older] = [&told["letters"][0], &told["letters"][1]];
    assert_eq!((&older["letter"], &older["replayed"]["actor"]), (&json!(number), &json!("op")), "{told}");
    assert_eq!((&newer["replayed"], &newer["offset"]), (&Value::Null, &json!(1)), "{told}");
    let both = log.read(topic, 0, 0, ReadLimit::default()).unwrap();
    assert_eq!(both.len(), 2);
    assert_eq!(both[0].value, both[1].value);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_process_over_an_embedded_log_is_told_with_its_folds() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let told = api.get(&api.operator, "/v1/ops/instances").await.body;
    let [one] = told["instances"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((&one["here"], &one["host"]), (&json!(true), &Value::Null));
    assert_eq!(one["roles"], json!(["inventory", "scoring", "lockout"]));
    let of = |fold: &str| one["folds"].as_array().unwrap().iter().find(|of| of["fold"] == fold).unwrap();
    assert_eq!(of("inventory")["partitions"], json!([0, 1, 2, 3]));
    assert_eq!(of("arbiter")["partitions"], json!([0]));
    assert_eq!(api.get(&api.analyst, "/v1/ops/instances").await.status, 403);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_that_names_what_was_seen_is_refused_where_something_else_is_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    api.supplier("acme").await;
    let bearer = format!("Bearer {}", api.analyst);
    let ask = async |method: Method, path: &str, condition: (&str, &str), body: Value| {
        let headers = [("authorization", bearer.as_str()), condition];
        api.raw(method, path, &headers, body.to_string().into_bytes()).await
    };
    let deny =
        |level: &str| json!({ "supplier": "acme", "deny": level, "reason": "known", "expires_at": FAR });
    let put = async |condition, level: &str| ask(Method::POST, "/v1/overrides", condition, deny(level)).await;
    let first = put(("if-none-match", "*"), "dim").await;
    assert_eq!(first.status, 200, "{}", first.body);
    let tag = |reply: &Reply| format!("\"{}\"", reply.body["in_force"][0]["id"].as_str().unwrap());
    let first = tag(&first);
    assert_eq!(put(("if-none-match", "*"), "quarantine").await.code(), (412, "decided_since"));
    let second = tag(&put(("if-match", &first), "quarantine").await);
    assert_ne!(first, second);
    let undo = async |tag: &str| {
        ask(Method::DELETE, "/v1/overrides/acme", ("if-match", tag), json!({ "reason": "undone" })).await
    };
    assert_eq!(undo(&first).await.code(), (412, "decided_since"), "a colleague's is newer");
    assert_eq!(undo(&second).await.status, 200);
    api.close().await;
}
