//! The life of a rule through the API: published, explained, bounded, reviewed, appealed, taken back.

use hyper::Method;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    api::cancel_spree,
    support::{Api, Reply},
};

/// One rule over a window of its own, which may withhold one supplier in an hour.
pub(crate) const RULES: &str = r#"
let:
  spree: cancellations.count("36h") >= 3
rules:
  - id: spree
    title: Cancels one after the other
    when: spree && wilson_lower(cancellations, "36h") > 0.2
    floor: attested
    level: quarantine
    for: 7d
    reasons: [DEFECT_RATE]
    text: Several orders were cancelled within a day and a half.
    evidence: cancellations.count("36h")
    mode: live
    budget: { suppliers: 1, per: 1h }
    examples:
      - name: three of three
        given: { 'cancellations.count("36h")': 3, 'wilson_lower(cancellations, "36h")': 0.4 }
        expect: 'true'
"#;

pub(crate) async fn put(api: &Api, key: &str, source: &str) -> Reply {
    let tag = api.get(key, "/v1/rules").await.header("etag");
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("if-match", &tag)];
    api.raw(Method::PUT, "/v1/rules?note=a%20test", &headers, source.as_bytes().to_vec()).await
}

pub(crate) async fn published(api: &Api, source: &str) {
    let reply = put(api, &api.analyst, source).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

async fn text(api: &Api, path: &str, source: &str) -> Reply {
    let bearer = format!("Bearer {}", api.analyst);
    api.raw(Method::POST, path, &[("authorization", &bearer)], source.as_bytes().to_vec()).await
}

pub(crate) async fn post(api: &Api, key: &str, path: &str, body: Value) -> Value {
    let reply = api.call(key, Method::POST, path, body).await;
    assert!((200..300).contains(&reply.status), "{path}: {}", reply.body);
    reply.body
}

async fn backtest(api: &Api, source: &str) -> Value {
    let job = post(api, &api.analyst, "/v1/rules:backtest", json!({ "source": source, "days": 1 })).await;
    let path = format!("/v1/backtests/{}", job["job"].as_str().unwrap());
    let mut status = Value::Null;
    api.until("the backtest ends", async |api| {
        status = api.get(&api.analyst, &path).await.body;
        status["state"] != "running"
    })
    .await;
    assert_eq!(status["state"], "done", "{status}");
    status["report"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_with_a_window_of_its_own_locks_is_bounded_explained_appealed_and_tested_on_the_past() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    published(&api, RULES).await;
    let (first, second) = (api.supplier("first").await, api.supplier("second").await);
    api.list(&first, "first", "SKU-1", 100, 10).await;
    api.list(&second, "second", "SKU-2", 200, 10).await;
    cancel_spree(&api, "first", 6).await;
    api.until("the first is withheld", async |api| api.sees("sku=SKU-1").await.is_empty()).await;

    // Past its budget the second is not withheld, but waits for a person.
    cancel_spree(&api, "second", 6).await;
    api.until("the second waits for a review", async |api| {
        api.get(&api.analyst, "/v1/reviews?kind=excess").await.body["open"] == 1
    })
    .await;
    assert_eq!(api.sees("sku=SKU-2").await, ["second"]);
    let standing = api.get(&second, "/v1/suppliers/second/standing").await.body;
    assert_eq!(
        standing["in_force"][0]["level"], "cap",
        "but no more can be had of it than it has proven: {standing}"
    );
    let rules = api.get(&api.analyst, "/v1/rules").await.body;
    assert!(
        rules["exceeded"]["spree"]["detail"].as_str().unwrap().contains("at most 1 suppliers"),
        "{rules}"
    );
    let review = post(&api, &api.analyst, "/v1/reviews:next", Value::Null).await;
    assert_eq!((&review["kind"], &review["supplier"]), (&json!("excess"), &json!("second")));
    assert_eq!(review["impact"]["stock"]["empty"], json!([["SKU-2", "DE"]]), "{review}");
    let settle = format!("/v1/reviews/{}:settle", review["id"].as_str().unwrap());
    let upheld = json!({ "finding": "uphold", "reason": "the same pattern" });
    let other = api.call(&api.approver, Method::POST, &settle, upheld.clone()).await;
    assert_eq!(other.code(), (409, "claimed_by_another"));
    post(&api, &api.analyst, &settle, upheld).await;
    api.until("the second is withheld", async |api| api.sees("sku=SKU-2").await.is_empty()).await;

    // Why.
    let why = post(&api, &api.analyst, "/v1/rules:explain", json!({ "supplier": "first" })).await;
    let why = &why["rules"][0];
    assert_eq!((&why["rule"], &why["truth"]), (&json!("spree"), &json!("true")), "{why}");
    assert_eq!(why["counterfactuals"][0]["needed"], 2.0, "{why}");
    assert_eq!(why["counterfactuals"][0]["decides"], true);

    // What a supplier is told: facts and words, nothing to tune an attack by.
    let standing = api.get(&first, "/v1/suppliers/first/standing").await.body;
    let decision = standing["in_force"][0]["decision"].as_str().unwrap().to_owned();
    let facts = api.get(&first, &format!("/v1/suppliers/first/decisions/{decision}")).await;
    assert_eq!(
        facts.body["text"], "Several orders were cancelled within a day and a half.",
        "{}",
        facts.body
    );
    let counted = facts.body["counted"].as_array().unwrap();
    let cancelled = counted.iter().find(|fact| fact["what"] == "cancellations in 36 hours");
    assert!(cancelled.unwrap()["value"].as_f64() >= Some(3.0), "{}", facts.body);
    for hidden in ["tree", "counterfactuals", "rule", "values", "evidence"] {
        assert!(facts.body.get(hidden).is_none(), "{hidden}");
    }
    // The statement of reasons, for machines and for people.
    let path = format!("/v1/suppliers/first/decisions/{decision}/statement");
    let stated = api.get(&first, &path).await.body;
    assert_eq!(stated["restriction"]["level"], "quarantine", "{stated}");
    assert_eq!(
        (&stated["restriction"]["covers"], &stated["in_force"]),
        (&json!("everything you offer, in every region"), &json!(true))
    );
    assert_eq!(stated["automated"], json!({ "detection": true, "decision": true }));
    assert_eq!(
        (&stated["origin"], &stated["ground"]["reasons"]),
        (&json!("own_initiative"), &facts.body["reasons"])
    );
    assert_eq!(
        (&stated["facts"]["text"], &stated["facts"]["counted"]),
        (&facts.body["text"], &facts.body["counted"])
    );
    assert_eq!(stated["redress"]["appeal"], "/v1/suppliers/first/appeals");
    let bearer = format!("Bearer {first}");
    let told = api
        .router
        .clone()
        .oneshot(
            axum::http::Request::get(&path)
                .header("authorization", bearer)
                .header("accept", "text/plain, */*")
                .body(axum::body::Body::empty())
                .unwrap(),
        )
        .await
        .unwrap();
    let told = axum::body::to_bytes(told.into_body(), 1 << 16).await.unwrap();
    let told = std::str::from_utf8(&told).unwrap();
    for said in [
        "Your offers are not shown to buyers.",
        "Several orders were cancelled",
        "Article 17(3)",
        "/v1/suppliers/first/appeals",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert_eq!(api.get(&second, &path).await.code(), (403, "not_your_supplier"));
    let foreign = api.get(&second, &format!("/v1/suppliers/first/decisions/{decision}")).await;
    assert_eq!(foreign.code(), (403, "not_your_supplier"));

    // An appeal: a clock, a judge, an outcome, and everything back at once.
    let appeal = json!({ "decision": decision, "text": "our carrier lost a truck" });
    let opened = post(&api, &first, "/v1/suppliers/first/appeals", appeal.clone()).await;
    assert!(opened["due_at"].is_string());
    let again = api.call(&first, Method::POST, "/v1/suppliers/first/appeals", appeal).await;
    assert_eq!(again.code(), (409, "appealed_already"));
    let settle = format!("/v1/reviews/{}:settle", opened["appeal"].as_str().unwrap());
    post(&api, &api.approver, &settle, json!({ "finding": "release", "reason": "shown by the carrier" }))
        .await;
    api.until("the first is back", async |api| api.sees("sku=SKU-1").await == ["first"]).await;
    api.until("the outcome shows", async |api| {
        let appeals = api.get(&first, "/v1/suppliers/first/appeals").await.body;
        appeals["appeals"][0]["outcome"] == "granted"
    })
    .await;
    let fared = api.get(&api.analyst, "/v1/rules/spree/history").await.body;
    let day = &fared["days"][0]["counts"];
    assert_eq!(
        (&day["imposed"], &day["overturned"], &day["over_budget"]),
        (&json!(3), &json!(1), &json!(1)),
        "withheld, capped past the budget, and withheld by a person: {fared}"
    );
    assert_eq!(fared["precision"], 0.5);

    // The past, from kept vectors, and made anew for a window that is not kept.
    for (source, from) in
        [(RULES.to_owned(), "supplier.scores"), (RULES.replace("36h", "20h"), "supplier.events")]
    {
        let report = backtest(&api, &source).await;
        assert_eq!((&report["source"], &report["withheld"]), (&json!(from), &json!(2)), "{report}");
        // Also where the set asked for binds other windows than the one in force.
        assert_eq!(report["withheld_by_rules_in_force"], 2, "{report}");
        let rule = &report["rules"][0];
        assert_eq!(rule["outcomes"]["confirmed"], 1, "{rule}");
        assert_eq!(
            (&rule["outcomes"]["released"], &report["honest_withheld"]),
            (&json!(1), &json!(1)),
            "{rule}"
        );
        let doubled = rule["sweep"].as_array().unwrap().iter().find(|moved| moved["moved"] == 0.4).unwrap();
        assert!(doubled["suppliers"].as_u64() <= Some(2), "{rule}");
    }
    let blind = RULES.replace("36h", "20h");
    assert_eq!(text(&api, "/v1/rules:impact", &blind).await.code(), (409, "windows_not_kept"));
    let impact = text(&api, "/v1/rules:impact", RULES).await.body;
    assert_eq!((&impact["suppliers"], &impact["withheld_already"]), (&json!(2), &json!(1)), "{impact}");
    assert_eq!(impact["stock"]["units"], 10, "the other is withheld already: {impact}");

    // With another window in force, the last scores are of what was in force before, until the next event.
    published(&api, &blind).await;
    let impact = text(&api, "/v1/rules:impact", &blind).await.body;
    assert_eq!((&impact["suppliers"], &impact["outdated"]), (&json!(0), &json!(2)), "{impact}");
    let explain = async |supplier: &str| {
        let body = json!({ "supplier": supplier });
        api.call(&api.analyst, Method::POST, "/v1/rules:explain", body).await
    };
    let outdated = explain("first").await;
    assert_eq!(outdated.code(), (409, "score_outdated"), "{}", outdated.body);
    assert_eq!(explain("nobody").await.code(), (404, "unknown_supplier"));
    let risk = async |of: &str| api.get(&api.analyst, &format!("/v1/suppliers/{of}/risk")).await;
    assert_eq!(risk("nobody").await.code(), (404, "unknown_supplier"));
    api.supplier("quiet").await;
    for answer in [explain("quiet").await, risk("quiet").await] {
        assert_eq!(answer.code(), (404, "no_score"), "{}", answer.body);
    }
    let data = json!({ "supplier": "first", "order": "next", "buyer": "b" });
    assert_eq!(api.event("next", "order.placed", data).await.status, 202);
    api.until("it is scored anew", async |_| explain("first").await.status == 200).await;
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_four_eyes_rollback_and_the_kill_switch() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    published(&api, RULES).await;
    let first = api.get(&api.analyst, "/v1/rules").await.body["version"].clone();
    let four_eyes = json!({ "on": true, "reason": "two people for every rule" });
    let refused = api.call(&api.analyst, Method::PUT, "/v1/ops/four-eyes", four_eyes.clone()).await;
    assert_eq!(refused.code(), (403, "wrong_role"));
    assert_eq!(api.call(&api.operator, Method::PUT, "/v1/ops/four-eyes", four_eyes).await.status, 200);

    let milder = RULES
        .replace(">= 3", ">= 4")
        .replace("three of three\n", "four of four\n")
        .replace("36h\")': 3", "36h\")': 4");
    let proposed = put(&api, &api.approver, &milder).await;
    assert_eq!(proposed.status, 202, "{}", proposed.body);
    let version = proposed.body["draft"].clone();
    assert_eq!(api.get(&api.analyst, "/v1/rules/draft").await.body["author"], "bob");
    let approve = json!({ "version": version });
    let own = api.call(&api.approver, Method::POST, "/v1/rules:approve", approve.clone()).await;
    assert_eq!(own.code(), (403, "own_change"));
    let analyst = api.call(&api.analyst, Method::POST, "/v1/rules:approve", approve.clone()).await;
    assert_eq!(analyst.code(), (403, "wrong_role"));
    post(&api, &api.operator, "/v1/rules:approve", approve).await;
    assert_eq!(api.get(&api.analyst, "/v1/rules").await.body["version"], version);
    let versions = api.get(&api.analyst, "/v1/rules/versions").await.body;
    assert_eq!(versions["stack"], json!([first, version]));
    assert_eq!(versions["versions"][0]["approver"], "op");

    post(&api, &api.analyst, "/v1/rules:rollback", json!({ "reason": "too mild" })).await;
    assert_eq!(api.get(&api.analyst, "/v1/rules").await.body["version"], first);
    let held = api.get(&api.analyst, &format!("/v1/rules/versions/{}", version.as_str().unwrap())).await;
    assert_eq!(held.body["source"], milder, "versions are for ever");
    let none = api.call(&api.analyst, Method::POST, "/v1/rules:rollback", json!({ "reason": "x" })).await;
    assert_eq!(none.code(), (404, "no_such_version"));

    let kill = |on: bool, reason: &str| json!({ "on": on, "reason": reason });
    let silent = api.call(&api.analyst, Method::PUT, "/v1/ops/kill-switch", kill(true, " ")).await;
    assert_eq!(silent.code(), (422, "invalid_request"));
    assert_eq!(
        api.call(&api.analyst, Method::PUT, "/v1/ops/kill-switch", kill(true, "a bad rule")).await.status,
        200
    );
    assert_eq!(api.get(&api.analyst, "/v1/ops/kill-switch").await.body["on"], true);
    let key = api.supplier("acme").await;
    api.list(&key, "acme", "SKU-1", 100, 10).await;
    cancel_spree(&api, "acme", 6).await;
    api.until("the rule holds", async |api| {
        let why =
            api.call(&api.analyst, Method::POST, "/v1/rules:explain", json!({ "supplier": "acme" })).await;
        why.body["rules"][0]["truth"] == "true"
    })
    .await;
    assert_eq!(api.sees("sku=SKU-1").await, ["acme"], "and restricts nobody");
    api.call(&api.analyst, Method::PUT, "/v1/ops/kill-switch", kill(false, "mended")).await;
    api.event("one-more", "order.placed", json!({ "supplier": "acme", "order": "z", "buyer": "z" })).await;
    api.until("rules act again", async |api| api.sees("sku=SKU-1").await.is_empty()).await;
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hardly_meant_is_warned_of_and_what_can_never_be_is_not_published() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let percent = RULES.replace("> 0.2", "> 20").replace("expect: 'true'", "expect: 'false'");
    let checked = text(&api, "/v1/rules:check", &percent).await;
    let published = put(&api, &api.analyst, &percent).await;
    assert_eq!((checked.status, published.status), (200, 200), "{}", published.body);
    for answer in [&checked.body, &published.body, &api.get(&api.analyst, "/v1/rules").await.body] {
        let warning = &answer["warnings"][0];
        assert_eq!(
            (&warning["code"], &warning["suggestion"]),
            (&json!("never_holds"), &json!("0.2")),
            "{answer}"
        );
        assert_eq!(warning["source_line"], 7, "{answer}");
    }
    for (from, to, code, place) in [
        ("mode: live", "mode: live\n    expires: 2020-01-01T00:00:00Z", "expired", "/rules/spree:15:14"),
        ("when: spree", "when: \"!spree && spree\" #", "contradiction", "/rules/spree:7:11"),
        ("when: spree &&", "when: >\n      spree\n      && spre &&", "unknown_name", "/rules/spree:9:10"),
    ] {
        let source = RULES.replace(from, to);
        let source = if code == "contradiction" {
            source
                .replace(", 'wilson_lower(cancellations, \"36h\")': 0.4", "")
                .replace("expect: 'true'", "expect: 'false'")
        } else {
            source
        };
        for reply in [text(&api, "/v1/rules:check", &source).await, put(&api, &api.analyst, &source).await] {
            assert_eq!(reply.code(), (422, "invalid_rules"), "{}", reply.body);
            let error = &reply.body["errors"][0];
            assert_eq!((&error["code"], &error["field"]), (&json!(code), &json!(place)), "{}", reply.body);
        }
    }
    api.close().await;
}

/// Links alone lock nobody; what they tip over is let go when they are gone.
const LINKED: &str = r#"
rules:
  - id: near-a-fraud
    title: Cancels, and shares a payout account with somebody withheld
    when: cancellations.count("7d") >= 1.0 && links.strength > 0.3
    floor: attested
    level: quarantine
    for: 7d
    reasons: [LINKED_SUPPLIER]
    evidence: cancellations.count("7d")
    mode: live
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_release_restores_everyone_who_was_locked_by_association() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    published(&api, LINKED).await;
    for (supplier, sku) in [("hub", "SKU-1"), ("near", "SKU-2")] {
        let key = api.supplier(supplier).await;
        api.list(&key, supplier, sku, 100, 10).await;
        let attribute = json!([{ "kind": "payout", "hash": "ab".repeat(16) }]);
        let seen = json!({ "supplier": supplier, "attributes": attribute });
        assert_eq!(api.event(&format!("pay-{supplier}"), "account.payout_changed", seen).await.status, 202);
    }
    cancel_spree(&api, "near", 2).await;
    let deny = json!({ "supplier": "hub", "deny": "quarantine", "reason": "looks bad", "expires_at": "2999-01-01T00:00:00Z" });
    post(&api, &api.analyst, "/v1/overrides", deny).await;
    api.until("the one beside it is withheld", async |api| api.sees("sku=SKU-2").await.is_empty()).await;
    let standing = api.get(&api.analyst, "/v1/suppliers/hub/standing").await.body;
    let decision = standing["in_force"][0]["decision"].as_str().unwrap();
    post(&api, &api.analyst, &format!("/v1/decisions/{decision}:release"), json!({ "reason": "a mistake" }))
        .await;
    api.until("both are back", async |api| {
        api.sees("sku=SKU-1").await == ["hub"] && api.sees("sku=SKU-2").await == ["near"]
    })
    .await;
    api.close().await;
}
