//! A rule that finds everybody: what it does, who is told, and the one call that takes it back. And what suppliers who probe are
//! told meanwhile.

use axum::{body::Body, http::Request};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::json;
use tower::ServiceExt as _;

use crate::{
    api::cancel_spree,
    hooks::{self, Receiver},
    rules::{RULES, post, published},
    support::{Api, Reply},
};

/// A bound that can be found again wherever it slips out.
fn rules() -> String {
    RULES.replace("> 0.2", "> 0.2137")
}

const SUPPLIERS: [&str; 4] = ["first", "second", "third", "fourth"];

/// Status and body of what is no JSON, as far as `until` is in it, or whole.
async fn text_of(api: &Api, key: &str, path: &str, accept: &str, until: &str) -> (u16, String) {
    let request = Request::builder().uri(path).header("authorization", format!("Bearer {key}"));
    let request = request.header("accept", accept).body(Body::empty()).unwrap();
    let mut response = api.router.clone().oneshot(request).await.unwrap();
    let (status, mut text) = (response.status().as_u16(), String::new());
    while let Some(frame) = response.body_mut().frame().await {
        if let Ok(data) = frame.unwrap().into_data() {
            text.push_str(std::str::from_utf8(&data).unwrap());
        }
        if !until.is_empty() && text.contains(until) {
            break;
        }
    }
    (status, text)
}

/// A platform on which a rule with a budget of one supplier found all four.
async fn struck(api: &Api) -> Vec<String> {
    let mut keys = Vec::new();
    for supplier in SUPPLIERS {
        let key = api.supplier(supplier).await;
        assert_eq!(api.list(&key, supplier, "SKU-1", 100, 10).await.status, 200);
        keys.push(key);
    }
    published(api, &rules()).await;
    for supplier in SUPPLIERS {
        cancel_spree(api, supplier, 6).await;
    }
    api.until("the budget holds three back", async |api| {
        api.get(&api.analyst, "/v1/reviews?kind=excess").await.body["open"] == 3
    })
    .await;
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_matches_everyone_is_bounded_loud_and_taken_back_by_one_call() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let keys = struck(&api).await;
    api.until("one is withheld", async |api| api.sees("sku=SKU-1").await.len() == 3).await;
    api.until("each of the others is a decision that whoever watches decisions sees", async |api| {
        let decisions = api.get(&api.analyst, "/v1/decisions").await.body;
        let all = decisions["decisions"].as_array();
        all.is_some_and(|all| all.iter().filter(|decision| decision["action"] == "over_budget").count() == 3)
    })
    .await;
    let held = api.get(&api.analyst, "/v1/rules").await.body["exceeded"]["spree"].clone();
    assert!(held["detail"].as_str().unwrap().contains("the budget of spree"), "{held}");

    let path = "/v1/rules/spree:restore";
    let why = json!({ "reason": "it matched everyone", "stop": true });
    for key in [&keys[0], &api.buyer] {
        assert_eq!(api.call(key, Method::POST, path, why.clone()).await.status, 403);
    }
    let done = post(&api, &api.analyst, path, why.clone()).await;
    assert_eq!(
        (&done["released"], &done["dismissed"]),
        (&json!(4), &json!(3)),
        "the caps of those held back too: {done}"
    );
    assert_eq!((&done["remaining"], &done["stopped"]), (&json!(0), &json!(true)), "{done}");
    api.until("buyers see all of them", async |api| api.sees("sku=SKU-1").await.len() == 4).await;
    assert_eq!(api.get(&api.analyst, "/v1/reviews").await.body["open"], 0);
    let decisions = api.get(&api.analyst, "/v1/decisions?limit=4").await.body;
    for decision in decisions["decisions"].as_array().unwrap() {
        assert_eq!((&decision["act"], &decision["actor"]), (&done["act"], &json!("ann")), "{decision}");
        assert_eq!(decision["note"], "it matched everyone");
    }
    // Said again it is no error and finds nothing.
    let again = post(&api, &api.analyst, path, json!({ "reason": "once more" })).await;
    assert_eq!((&again["released"], &again["dismissed"]), (&json!(0), &json!(0)), "{again}");
    let held = api.get(&api.analyst, "/v1/rules").await.body["exceeded"]["spree"].clone();
    assert_eq!(held["stopped_by"], "ann", "{held}");
    // A rule that is gone can be taken back, and cannot be stopped.
    let gone = "/v1/rules/gone:restore";
    assert_eq!(post(&api, &api.analyst, gone, json!({ "reason": "old" })).await["released"], 0);
    assert_eq!(api.call(&api.analyst, Method::POST, gone, why).await.code(), (404, "no_such_rule"));
    let rearmed = post(&api, &api.analyst, "/v1/rules/spree:rearm", json!({ "reason": "mended" })).await;
    assert_eq!(rearmed["rule"], "spree");
    assert_eq!(api.get(&api.analyst, "/v1/rules").await.body["exceeded"], json!({}));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_supplier_is_told_reveals_a_bound_a_rule_or_a_budget() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let keys = struck(&api).await;
    let version = api.get(&api.analyst, "/v1/rules").await.body["version"].as_str().unwrap().to_owned();
    let mut withheld = None;
    for (supplier, key) in SUPPLIERS.iter().zip(&keys) {
        let standing = api.get(key, &format!("/v1/suppliers/{supplier}/standing")).await.body;
        if let Some(decision) = standing["in_force"][0]["decision"].as_str() {
            withheld = Some((*supplier, key, decision.to_owned()));
        }
    }
    let (supplier, key, decision) = withheld.unwrap();
    let own = format!("/v1/suppliers/{supplier}");
    let appeal = json!({ "decision": decision, "text": "no" });
    let mut told = vec![
        api.call(key, Method::POST, &format!("{own}/appeals"), appeal.clone()).await,
        // Refusals tell no more than answers.
        api.call(key, Method::POST, &format!("{own}/appeals"), appeal).await,
        api.get(key, "/v1/rules").await,
        api.get(key, &format!("/v1/decisions/{decision}")).await,
        api.get(key, &format!("{own}/risk")).await,
        api.get(key, &format!("{own}/impact")).await,
    ];
    for path in ["standing", "appeals", "decisions/none"] {
        told.push(api.get(key, &format!("{own}/{path}")).await);
    }
    for path in ["", "/statement"] {
        told.push(api.get(key, &format!("{own}/decisions/{decision}{path}")).await);
    }
    told.push(api.get(key, &own).await);
    let restock = api.list(key, supplier, "SKU-1", 90, 20).await;
    told.push(restock);
    let mut texts: Vec<(u16, String)> =
        told.iter().map(|reply| (reply.status, reply.body.to_string())).collect();
    // In words, and as it comes: to the supplier, and to a buyer who may be its friend.
    let statement = format!("{own}/decisions/{decision}/statement");
    let in_words = text_of(&api, key, &statement, "text/plain", "").await;
    assert!(in_words.1.contains("Statement of reasons"), "{}", in_words.1);
    texts.push(in_words);
    let seen =
        text_of(&api, &api.buyer, "/v1/availability/stream?sku=SKU-1", "text/event-stream", "event: live")
            .await;
    assert!(seen.1.contains("event: good"), "{}", seen.1);
    texts.push(seen);
    let refused = text_of(&api, key, "/v1/availability/stream?sku=SKU-1", "text/event-stream", "").await;
    assert_eq!(refused.0, 403, "streams are for buyers: {}", refused.1);
    texts.push(refused);
    let mut answered = 0;
    for (status, text) in &texts {
        answered += usize::from(*status < 300);
        // 0.4385 is the bound of confidence when three of three were cancelled: the value with which the rule first held.
        for secret in
            ["2137", "0.438", "spree", version.as_str(), "wilson", "budget", "counterfactual", "tree"]
        {
            assert!(!text.contains(secret), "{status} tells {secret}: {text}");
        }
    }
    assert!(answered >= 8, "{answered} of {} calls told anything", texts.len());
    let counts = |reply: &&Reply| reply.body["counted"].as_array().is_some_and(|counted| !counted.is_empty());
    assert!(
        told.iter().any(|reply| counts(&reply)),
        "what was counted is said, and not what would have been too much"
    );
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_hear_of_a_rule_that_is_held_back_and_a_rewritten_or_removed_one_is_no_alert_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let operators = Receiver::start(true);
    hooks::create(&api, &api.operator, &operators.url).await;
    struck(&api).await;
    api.until("operators hear of it", async |_| !operators.of("rule.held_back").is_empty()).await;
    let told = operators.of("rule.held_back");
    assert_eq!(
        (&told[0].body["data"]["rule"], &told[0].body["data"]["because"]),
        (&json!("spree"), &json!("budget"))
    );
    assert_eq!(told.len(), 1, "once, however many it holds back: {told:?}");

    let exceeded = async || api.get(&api.analyst, "/v1/rules").await.body["exceeded"].clone();
    assert!(exceeded().await["spree"].is_object());
    // Written otherwise it may act again, so nothing holds it back.
    let wider = rules().replace("suppliers: 1,", "suppliers: 100,");
    published(&api, &wider).await;
    assert_eq!(exceeded().await, json!({}));
    let history = api.get(&api.analyst, "/v1/rules/spree/history").await.body;
    assert_eq!(history["exceeded"], json!(null), "{history}");
    // Written as it was, it is held back as it was: publishing is no way around a person's word.
    published(&api, &rules()).await;
    assert!(exceeded().await["spree"].is_object());
    // Of a rule that is gone there is nothing to rearm, and so no alert.
    published(&api, &wider.replace("id: spree", "id: another")).await;
    assert_eq!(exceeded().await, json!({}));
    let rearm = json!({ "reason": "gone" });
    let reply = api.call(&api.analyst, Method::POST, "/v1/rules/spree:rearm", rearm).await;
    assert_eq!(reply.code(), (404, "no_such_rule"));
    api.close().await;
}
