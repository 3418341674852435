//! What people may do: who, alone or not, saying why, and finding what they did at once.

use hyper::Method;
use serde_json::{Value, json};
use stockade_lockout::http::{Call, Changes, calls};
use stockade_model::{SupplierId, Timestamp};

use crate::{
    api::{cancel_spree, model_file},
    rules::{RULES, post, published, put},
    support::{Api, Reply},
};

const FAR: &str = "2999-01-01T00:00:00Z";

/// The same rules with another bound.
fn bound_at(count: u32) -> String {
    let given = format!("'cancellations.count(\"36h\")': {count}");
    RULES.replace(">= 3", &format!(">= {count}")).replace("'cancellations.count(\"36h\")': 3", &given)
}

/// A platform on which everything that one person might change is there to be changed.
struct Scene {
    /// A restriction in force of the supplier `first`.
    decision: String,
    /// A set that was in force two sets ago.
    long_ago: String,
}

impl Scene {
    async fn set(api: &Api) -> Self {
        for count in [5, 4, 3] {
            published(api, &bound_at(count)).await;
        }
        let versions = api.get(&api.analyst, "/v1/rules/versions").await.body;
        let long_ago = versions["stack"][0].as_str().unwrap().to_owned();
        let model = async |seed| {
            let bearer = format!("Bearer {}", api.analyst);
            let file = model_file(seed).into_bytes();
            assert_eq!(
                api.raw(Method::POST, "/v1/models", &[("authorization", &bearer)], file).await.status,
                200
            );
        };
        model(1).await;
        post(api, &api.analyst, "/v1/models:promote", Value::Null).await;
        model(2).await;
        // One is withheld, the other exceeds the budget.
        for supplier in ["first", "second"] {
            api.supplier(supplier).await;
            cancel_spree(api, supplier, 6).await;
            api.until("it is withheld or waits for a person", async |api| {
                let reviews = format!("/v1/reviews?supplier={supplier}");
                api.get(&api.analyst, &reviews).await.body["open"] == 1
            })
            .await;
        }
        let standing = api.get(&api.analyst, "/v1/suppliers/first/standing").await.body;
        let decision = standing["in_force"][0]["decision"].as_str().unwrap().to_owned();
        let on = json!({ "on": true, "reason": "audit" });
        let reply = api.call(&api.operator, Method::PUT, "/v1/ops/four-eyes", on).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        Self { decision, long_ago }
    }

    /// A request that would change what the call is for, if one person could. `None` for a call that nobody has thought of.
    async fn request(&self, api: &Api, call: &Call) -> Option<(String, Vec<u8>, Option<String>)> {
        let why = json!({ "reason": "because" });
        let path = call.path.as_str();
        let tag = async |path: &str| Some(api.get(&api.operator, path).await.header("etag"));
        let json = |path: &str, body: Value| Some((path.to_owned(), body.to_string().into_bytes(), None));
        let until = |extra: Value| {
            let mut body = json!({ "reason": "because", "expires_at": FAR });
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        match (call.method, path) {
            ("PUT", "/v1/rules") => Some((path.to_owned(), bound_at(9).into_bytes(), tag("/v1/rules").await)),
            ("PUT", "/v1/features") => {
                let source = api.get(&api.operator, path).await.body["source"].as_str().unwrap().to_owned();
                let more = "  - { name: orders.all_7d, unit: minor, meaning: all, sum: orders, in: 7d }\n";
                Some((path.to_owned(), (source + more).into_bytes(), tag(path).await))
            }
            ("POST", "/v1/models") => Some((path.to_owned(), model_file(3).into_bytes(), None)),
            ("POST", "/v1/models:promote" | "/v1/models:rollback" | "/v1/reviews:next") => {
                Some((path.to_owned(), Vec::new(), None))
            }
            ("POST", "/v1/rules:rollback") => json(path, json!({ "to": self.long_ago, "reason": "because" })),
            ("POST", "/v1/rules:approve") => json(path, json!({ "version": self.long_ago })),
            ("POST", "/v1/rules/{rule}:rearm") => json("/v1/rules/spree:rearm", why),
            ("POST", "/v1/rules/{rule}:restore") => json("/v1/rules/none:restore", why),
            ("POST", "/v1/rules/{rule}:snooze") => {
                json("/v1/rules/spree:snooze", until(json!({ "supplier": "second" })))
            }
            ("POST", "/v1/drafts/{draft}:approve") => {
                json(&format!("/v1/drafts/{}:approve", self.long_ago), Value::Null)
            }
            ("DELETE", "/v1/rules/draft") => json(path, Value::Null),
            ("DELETE", "/v1/drafts/{draft}") => json(&format!("/v1/drafts/{}", self.long_ago), Value::Null),
            ("DELETE", "/v1/backtests/{job}") => json("/v1/backtests/none", Value::Null),
            ("PUT", "/v1/ops/kill-switch") => json(path, json!({ "on": true, "reason": "because" })),
            ("POST", "/v1/ops/audit:verify") => json(path, Value::Null),
            ("PUT", "/v1/ops/four-eyes") => json(path, json!({ "on": false, "reason": "because" })),
            (
                "POST",
                "/v1/decisions/{decision}:confirm"
                | "/v1/decisions/{decision}:reopen"
                | "/v1/decisions/{decision}:release",
            ) => json(&path.replace("{decision}", &self.decision), why),
            ("POST", "/v1/decisions/{decision}:extend") => {
                json(&path.replace("{decision}", &self.decision), until(json!({})))
            }
            (
                "POST",
                "/v1/reviews/{review}:claim"
                | "/v1/reviews/{review}:giveback"
                | "/v1/reviews/{review}:settle",
            ) => {
                let reviews = api.get(&api.operator, "/v1/reviews").await.body;
                let id = reviews["reviews"][0]["id"].as_str().unwrap_or("none").to_owned();
                let body = json!({ "finding": "uphold", "reason": "because" });
                let body = if path.ends_with("settle") { body } else { Value::Null };
                json(&path.replace("{review}", &id), body)
            }
            ("POST", "/v1/overrides") => {
                json(path, until(json!({ "supplier": "second", "deny": "quarantine" })))
            }
            ("DELETE", "/v1/overrides/{supplier}") => json("/v1/overrides/second", why),
            ("POST", "/v1/suppliers/{supplier}/appeals") => {
                json("/v1/suppliers/first/appeals", json!({ "decision": self.decision, "text": "no" }))
            }
            _ => None,
        }
    }
}

/// Everything that verdicts follow from, of all suppliers.
async fn verdicts_follow_from(api: &Api) -> Value {
    let rules = api.get(&api.operator, "/v1/rules").await.body;
    let mut models = api.get(&api.operator, "/v1/models").await.body;
    // What is scored meanwhile changes no model.
    models.as_object_mut().unwrap().remove("drift");
    for model in ["champion", "challenger", "former"] {
        models[model].as_object_mut().map(|model| model.remove("calibration"));
    }
    json!({
        "rules": rules["version"],
        "exceeded": rules["exceeded"],
        "features": api.get(&api.operator, "/v1/features").await.body["version"],
        "models": models,
        "four_eyes": api.get(&api.operator, "/v1/ops/four-eyes").await.body["on"],
    })
}

async fn send(api: &Api, key: &str, call: &Call, request: (String, Vec<u8>, Option<String>)) -> Reply {
    let (path, body, tag) = request;
    let (method, bearer) = (Method::from_bytes(call.method.as_bytes()).unwrap(), format!("Bearer {key}"));
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(tag.as_deref().map(|tag| ("if-match", tag)));
    api.raw(method, &path, &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_four_eyes_one_person_alone_changes_no_verdict_by_any_call_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let scene = Scene::set(&api).await;
    let before = verdicts_follow_from(&api).await;
    assert!(!before["exceeded"].as_object().unwrap().is_empty(), "{before}");
    let mut waited = Vec::new();
    for call in calls().iter().filter(|call| call.changes != Changes::Nothing) {
        let request = scene.request(&api, call).await;
        let request = request.unwrap_or_else(|| panic!("say how {call:?} is tried"));
        // Nobody may do more than an operator.
        let reply = send(&api, &api.operator, call, request).await;
        assert!(reply.status < 500, "{call:?}: {} {}", reply.status, reply.body);
        assert_eq!(verdicts_follow_from(&api).await, before, "{call:?}: {}", reply.body);
        let approves = call.path.ends_with("approve");
        let asks = matches!(call.changes, Changes::Verdicts) || call.path.ends_with("rules:rollback");
        if !asks || approves {
            continue;
        }
        let draft = reply.body["draft"].as_str().unwrap_or_default().to_owned();
        assert_eq!((reply.status, draft.is_empty()), (202, false), "{call:?}: {}", reply.body);
        // Nor do they get round it by approving what they wrote, nor by writing it twice.
        let approve = format!("/v1/drafts/{draft}:approve");
        let own = api.call(&api.operator, Method::POST, &approve, Value::Null).await;
        assert_eq!(own.code(), (403, "own_change"), "{call:?}");
        let again = scene.request(&api, call).await.unwrap();
        assert_eq!(send(&api, &api.operator, call, again).await.status, 202, "{call:?}");
        assert_eq!(verdicts_follow_from(&api).await, before, "{call:?}");
        let drafts = api.get(&api.operator, "/v1/drafts").await.body;
        for draft in drafts["drafts"].as_array().unwrap() {
            let path = format!("/v1/drafts/{}", draft["id"].as_str().unwrap());
            assert_eq!(api.call(&api.operator, Method::DELETE, &path, Value::Null).await.status, 204);
        }
        waited.push(call.path.clone());
    }
    assert_eq!(
        waited,
        [
            "/v1/rules",
            "/v1/rules:rollback",
            "/v1/rules/{rule}:rearm",
            "/v1/ops/four-eyes",
            "/v1/features",
            "/v1/models",
            "/v1/models:promote",
            "/v1/models:rollback",
        ]
    );
    // Two people change each.
    let call = calls().into_iter().find(|call| call.path.ends_with(":rearm")).unwrap();
    let request = scene.request(&api, &call).await.unwrap();
    let draft = send(&api, &api.analyst, &call, request).await.body["draft"].as_str().unwrap().to_owned();
    post(&api, &api.approver, &format!("/v1/drafts/{draft}:approve"), Value::Null).await;
    let rules = api.get(&api.analyst, "/v1/rules").await.body;
    assert_eq!(rules["exceeded"], json!({}), "answered when it is done");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_person_may_do_alone_under_four_eyes_is_loud_and_ends_there() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    Scene::set(&api).await;
    let versions = api.get(&api.analyst, "/v1/rules/versions").await.body;
    let back = json!({ "reason": "it locks too many" });
    let done = post(&api, &api.analyst, "/v1/rules:rollback", back.clone()).await;
    assert_eq!(done["version"], versions["stack"][1]);
    let rules = api.get(&api.analyst, "/v1/rules").await.body;
    assert_eq!(rules["stepped_back"]["actor"], "ann", "{rules}");
    assert_eq!(rules["stepped_back"]["reason"], "it locks too many");
    let further = api.call(&api.analyst, Method::POST, "/v1/rules:rollback", back).await;
    assert_eq!(further.status, 202, "a second step waits: {}", further.body);
    // A colleague's draft about the same is not replaced, and it is said whose it is.
    let other = put(&api, &api.approver, &bound_at(8)).await;
    assert_eq!(other.code(), (409, "draft_waits"));
    assert!(other.body["detail"].as_str().unwrap().contains("of ann"), "{}", other.body);
    assert_eq!(api.call(&api.approver, Method::DELETE, "/v1/rules/draft", Value::Null).await.status, 204);
    assert_eq!(put(&api, &api.approver, &bound_at(8)).await.status, 202);
    let on = json!({ "on": true, "reason": "all of it" });
    assert_eq!(api.call(&api.analyst, Method::PUT, "/v1/ops/kill-switch", on).await.status, 200);
    assert_eq!(api.get(&api.analyst, "/v1/rules").await.body["kill_switch"]["reason"], "all of it");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_asks_why_takes_no_empty_reason() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let scene = Scene::set(&api).await;
    let mut asked = 0;
    for call in calls().iter().filter(|call| call.changes != Changes::Nothing) {
        let (path, body, tag) = scene.request(&api, call).await.unwrap();
        let Ok(mut body) = serde_json::from_slice::<Value>(&body) else { continue };
        if body.get("reason").is_none() {
            continue;
        }
        for (reason, code) in [("", "required"), (" \n", "required"), ("bell \u{7}", "control_character")] {
            body["reason"] = json!(reason);
            let request = (path.clone(), body.to_string().into_bytes(), tag.clone());
            let reply = send(&api, &api.operator, call, request).await;
            assert_eq!(reply.status, 422, "{call:?} took {reason:?}: {}", reply.body);
            assert_eq!(reply.body["errors"][0]["code"], code, "{call:?}");
        }
        asked += 1;
    }
    assert_eq!(asked, 13);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_says_of_whom_and_what_it_is_and_is_taken_back_by_the_call_for_that() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let key = api.supplier("acme").await;
    api.list(&key, "acme", "SKU-1", 100, 10).await;
    let body = |extra: Value| {
        let mut body = json!({ "supplier": "acme", "reason": "known", "expires_at": FAR });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let send = async |body: Value| api.call(&api.analyst, Method::POST, "/v1/overrides", body).await;
    for wrong in [json!({}), json!({ "allow": false }), json!({ "allow": true, "deny": "dim" })] {
        let reply = send(body(wrong.clone())).await;
        assert_eq!(reply.code(), (422, "invalid_request"), "{wrong}");
        assert_eq!(reply.body["errors"][0]["code"], "allow_or_deny", "{wrong}");
    }
    let unknown = send(body(json!({ "supplier": "nobody", "allow": true }))).await;
    assert_eq!(unknown.code(), (404, "unknown_supplier"));

    let denied = send(body(json!({ "deny": "quarantine" }))).await;
    assert_eq!(denied.status, 200, "{}", denied.body);
    assert_eq!(denied.body["in_force"][0]["level"], "quarantine", "the answer shows what it led to");
    assert_eq!(api.get(&key, "/v1/suppliers/acme/standing").await.body["level"], "quarantine");
    assert_eq!(send(body(json!({ "allow": true }))).await.code(), (409, "denied_by_a_person"));
    let clear = async |supplier: &str| {
        let path = format!("/v1/overrides/{supplier}");
        api.call(&api.approver, Method::DELETE, &path, json!({ "reason": "a mistake" })).await
    };
    assert_eq!(clear("nobody").await.code(), (404, "unknown_supplier"));
    let cleared = clear("acme").await;
    assert_eq!((cleared.status, &cleared.body["in_force"]), (200, &json!([])), "{}", cleared.body);
    api.until("buyers see it again", async |api| api.sees("sku=SKU-1").await == ["acme"]).await;
    assert_eq!(clear("acme").await.code(), (409, "nothing_in_force"));
    let allowed = send(body(json!({ "allow": true }))).await;
    assert_eq!(allowed.status, 200, "{}", allowed.body);
    assert_eq!(clear("acme").await.status, 200);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_a_supplier_again_keeps_what_is_not_said() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let put =
        async |api: &Api, body: Value| api.call(&api.operator, Method::PUT, "/v1/suppliers/acme", body).await;
    let first = json!({ "name": "Acme", "region": "DE", "since": "2019-01-01T00:00:00Z", "class": "large" });
    assert_eq!(put(&api, first).await.status, 200);
    let renamed = json!({ "name": "Acme AG", "region": "DE" });
    let reply = put(&api, renamed.clone()).await;
    let kept = json!({ "supplier": "acme", "name": "Acme AG", "region": "DE", "since": "2019-01-01T00:00:00Z", "class": "large" });
    assert_eq!(reply.status, 200);
    for (field, value) in kept.as_object().unwrap() {
        assert_eq!(reply.body[field], *value, "the answer says how it is now");
    }
    api.close().await;
    // Nor does a restart forget it.
    let api = Api::open(directory.path()).await;
    assert_eq!(put(&api, renamed).await.body["since"], "2019-01-01T00:00:00Z");
    assert_eq!(api.get(&api.operator, "/v1/suppliers/acme").await.body["profile"]["class"], "large");
    for (field, wrong, code) in [
        ("class", "enormous", "unknown_class"),
        ("class", "limited", "unknown_class"),
        ("class", "staff", "unknown_class"),
        ("name", "Ac\u{0}me", "control_character"),
        ("name", "Acme\u{202e}", "control_character"),
        ("name", " ", "bad_length"),
    ] {
        let mut body = json!({ "name": "Acme", "region": "DE" });
        body[field] = json!(wrong);
        let reply = put(&api, body).await;
        assert_eq!((reply.status, &reply.body["errors"][0]["code"]), (422, &json!(code)), "{wrong:?}");
    }
    let since = api.get(&api.operator, "/v1/suppliers/acme").await.body["profile"]["since"].clone();
    assert_eq!(since, "2019-01-01T00:00:00Z", "what was refused changed nothing");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appeal_is_answered_when_everything_shows_it() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    for number in 0..20 {
        let id = format!("s{number}");
        let key = api.supplier(&id).await;
        let deny = json!({ "supplier": id, "deny": "dim", "reason": "test", "expires_at": FAR });
        let denied = post(&api, &api.analyst, "/v1/overrides", deny).await;
        let decision = &denied["in_force"][0]["id"];
        let (path, appeal) =
            (format!("/v1/suppliers/{id}/appeals"), json!({ "decision": decision, "text": "no" }));
        let reply = api.call(&key, Method::POST, &path, appeal).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        // Asked once and at once: nothing here waits.
        let appeals = api.get(&key, &path).await.body;
        assert_eq!(appeals["appeals"][0]["outcome"], "open", "{appeals}");
        assert_eq!(appeals["appeals"][0]["due_at"], reply.body["due_at"], "{appeals}");
        // The one who denied it is not given it; somebody else is, at once.
        let own = api.call(&api.analyst, Method::POST, "/v1/reviews:next", Value::Null).await;
        assert_eq!(own.code(), (404, "nothing_to_review"));
        let next = post(&api, &api.approver, "/v1/reviews:next", Value::Null).await;
        assert_eq!((&next["id"], &next["supplier"]), (&reply.body["appeal"], &json!(id)));
        let settle = format!("/v1/reviews/{}:settle", next["id"].as_str().unwrap());
        post(&api, &api.approver, &settle, json!({ "finding": "release", "reason": "shown" })).await;
        let appeals = api.get(&key, &path).await.body;
        assert_eq!(appeals["appeals"][0]["outcome"], "granted", "{appeals}");
        let standing = api.get(&key, &format!("/v1/suppliers/{id}/standing")).await.body;
        assert_eq!(standing["in_force"], json!([]));
    }
    api.close().await;
}

#[test]
fn a_suppliers_decisions_and_reviews_are_found_without_looking_at_everybody_elses() {
    use stockade_lockout::Decisions;
    use stockade_model::{Action, Decision, Position};
    let decision = |offset: u64, supplier: &SupplierId| Decision {
        version: Position { fold: "arbiter".to_owned(), partition: 0, generation: 1, offset, index: 1 },
        at: Timestamp::from_ms(offset as i64),
        supplier: supplier.clone(),
        action: Action::Snoozed,
        restriction: None,
        actor: None,
        note: None,
        in_force: Vec::new(),
        act: None,
        chain: String::new(),
    };
    let (view, mut random) = (Decisions::default(), fastrand::Rng::with_seed(5));
    let suppliers: Vec<SupplierId> = (0..7).map(|n| SupplierId::new(&format!("s{n}")).unwrap()).collect();
    let mut plain: Vec<(u64, SupplierId)> = Vec::new();
    for offset in 0..21_000 {
        let supplier = &suppliers[random.usize(..suppliers.len())];
        view.add(offset, decision(offset, supplier));
        view.add(offset, decision(offset, supplier));
        plain.push((offset, supplier.clone()));
    }
    plain.drain(..1_000);
    for _ in 0..300 {
        let supplier = random.bool().then(|| &suppliers[random.usize(..suppliers.len())]);
        let before = random.bool().then(|| random.u64(..22_000));
        let limit = random.usize(..50);
        let wanted = plain.iter().rev().filter(|(offset, of)| {
            before.is_none_or(|before| *offset < before) && supplier.is_none_or(|supplier| supplier == of)
        });
        let wanted: Vec<u64> = wanted.take(limit).map(|(offset, _)| *offset).collect();
        let found: Vec<u64> =
            view.list(supplier, before, limit).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(found, wanted);
    }
}
