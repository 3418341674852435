//! What the API says of itself: that it is so, that its examples work, and that nothing is left unsaid.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use axum::http::Method;
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    document::{document, operation},
    support::{Api, Reply},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_as_it_lies_in_the_repository_to_everybody() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let reply = api.raw(Method::GET, "/openapi.json", &[], Vec::new()).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body == *document(), "run `cargo xtask schemas`");
    let again = [("if-none-match", reply.header("etag"))];
    let again: Vec<(&str, &str)> = again.iter().map(|(name, tag)| (*name, tag.as_str())).collect();
    assert_eq!(api.raw(Method::GET, "/openapi.json", &again, Vec::new()).await.status, 304);
    for path in ["/docs", "/docs/page.css", "/docs/page.js"] {
        let reply = api.raw(Method::GET, path, &[], Vec::new()).await;
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
}

/// Files of source, without tests.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["tests", "target", "fuzz", "examples", "xtask", "testkit", "load-tests"]
                    .contains(&name.as_str())
                {
                    walk(&path, found);
                }
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                found.push((path, code));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["services", "shared"] {
        walk(&root.join(folder), &mut found);
    }
    found
}

#[test]
fn every_code_in_the_source_is_in_the_list_with_its_remedy() {
    // Wherever a code is said: problems, fields, ids, places in rules and files, refusals.
    let ways = [
        r#"Problem::new\(\s*StatusCode::\w+,\s*"(\w+)""#,
        r#"(?:unavailable|missing|pending|Flaw::new|Invalid::new|refused|of_set)\(\s*"([a-z]+(?:_[a-z]+)*)","#,
        r#"FieldError::new\((?:[^()"]|\([^()]*\)|"[^"]*")*?,\s*"([a-z_]+)","#,
        r#"\.require\((?:[^"]|"[^"]*")*?,\s*(?:at|"[^"]*"|&format!\([^)]*\)|field),\s*"([a-z_]+)","#,
        r#"(?:of_field|of_rule)\([^;]*?"([a-z]+(?:_[a-z]+)+)","#,
        r#"pub const [A-Z_]+: &str = "([a-z]+(?:_[a-z]+)+)";"#,
        r#"Self::[A-Z]\w+ => "([a-z]+(?:_[a-z]+)+)","#,
    ];
    let ways: Vec<Regex> = ways.iter().map(|way| Regex::new(way).unwrap()).collect();
    let known: BTreeSet<&String> = document()["x-error-codes"].as_object().unwrap().keys().collect();
    let (mut found, mut unknown) = (BTreeSet::new(), BTreeMap::new());
    for (path, code) in sources() {
        let text = path.to_string_lossy().replace('\\', "/");
        // Only the last two ways are so wide that they find other words; they are for the files that list codes.
        let lists_codes = text.ends_with("refusal.rs") || text.ends_with("imports/src/finding.rs");
        let ways = if lists_codes { &ways[..] } else { &ways[..5] };
        for said in ways.iter().flat_map(|way| way.captures_iter(&code)).map(|found| found[1].to_owned()) {
            found.insert(said.clone());
            if !known.contains(&said) {
                unknown.insert(said, path.clone());
            }
        }
    }
    assert!(found.len() > 150, "the search finds codes: {}", found.len());
    assert!(unknown.is_empty(), "say in shared/runtime/src/codes what these mean: {unknown:#?}");
}

#[test]
fn every_figure_in_the_source_says_what_it_means() {
    let named = Regex::new(r#"(?:counter|gauge|histogram)!\(\s*"(\w+)""#).unwrap();
    let known: BTreeSet<&str> = stockade::figures::all().map(|figure| figure.name()).collect();
    let of = |(_, code): &(PathBuf, String)| {
        named.captures_iter(code).map(|found| found[1].to_owned()).collect::<Vec<_>>()
    };
    let found: BTreeSet<String> = sources().iter().flat_map(of).collect();
    assert!(found.len() > 50, "the search finds figures: {}", found.len());
    let unsaid: Vec<_> = found.iter().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unsaid.is_empty(), "say what these mean, beside where they are kept: {unsaid:?}");
}

#[test]
fn no_route_is_added_but_with_its_declaration() {
    let bare = Regex::new(r#"\.route\(\s*("[^"]*"|&format)"#).unwrap();
    // The pages of the console are no calls.
    let is_page = |path: &str| path == r#""/console""# || path.starts_with(r#""/console/"#);
    let adds = |(path, code): &(PathBuf, String)| {
        !path.ends_with("runtime/src/api/routes.rs")
            && bare.captures_iter(code).any(|found| !is_page(&found[1]))
    };
    let found: Vec<PathBuf> = sources().into_iter().filter(adds).map(|(path, _)| path).collect();
    assert!(found.is_empty(), "add these through stockade_runtime::api::Routes: {found:?}");
}

/// A call made of nothing but the document's own examples, with what only the server can name taken from `known`.
async fn play(
    api: &Api,
    keys: &BTreeMap<&str, &str>,
    id: &str,
    role: &str,
    known: &BTreeMap<&str, String>,
) -> Reply {
    let (path, method, told) = document()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, told)| (path, method, told))
        })
        .find(|(.., told)| told["operationId"] == id)
        .unwrap_or_else(|| panic!("there is no call {id}"));
    let (mut path, mut query, mut headers) = (path.clone(), Vec::new(), Vec::new());
    for parameter in told["parameters"].as_array().unwrap() {
        let name = parameter["name"].as_str().unwrap();
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = known.get(name).cloned().or_else(|| parameter.get("example").map(shown));
        match (parameter["in"].as_str().unwrap(), value) {
            ("path", Some(value)) => path = path.replace(&format!("{{{name}}}"), &value),
            ("query", Some(value)) => query.push(format!("{name}={value}")),
            ("header", Some(value)) => headers.push((name.to_owned(), value)),
            _ => {}
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let content = &told["requestBody"]["content"]["application/json"];
    let mut body =
        content["examples"].as_object().and_then(|all| all.values().next()).map(|one| one["value"].clone());
    if let Some(body) = body.as_mut().and_then(Value::as_object_mut) {
        for (name, value) in known {
            body.entry(*name).and_modify(|held| *held = json!(value));
        }
    }
    let bearer = format!("Bearer {}", keys[role]);
    let mut all: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.push(("authorization", &bearer));
    let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    // What is answered is held against the document there.
    let reply = api.raw(method, &path, &all, bytes).await;
    assert!(operation("GET", &path).is_some() || operation("POST", &path).is_some() || reply.status < 300);
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_document_tell_a_story_that_works() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let supplier = api
        .keys
        .create(
            "acme",
            stockade_runtime::Role::Supplier { supplier: stockade_model::SupplierId::new("acme").unwrap() },
        )
        .unwrap();
    let keys = BTreeMap::from([
        ("supplier", supplier.as_str()),
        ("buyer", &api.buyer),
        ("order-system", &api.orders),
        ("analyst", &api.analyst),
        ("approver", &api.approver),
        ("operator", &api.operator),
    ]);
    let mut known = BTreeMap::new();
    let story = [
        ("registerSupplier", "operator", 200),
        ("getSupplier", "analyst", 200),
        ("listSuppliers", "operator", 200),
        ("putLocation", "supplier", 200),
        ("getLocation", "supplier", 200),
        ("listLocations", "supplier", 200),
        ("putListing", "supplier", 200),
        ("changeStock", "supplier", 200),
        ("getListing", "supplier", 200),
        ("listListings", "supplier", 200),
        ("changeInventory", "supplier", 200),
        ("listOperations", "supplier", 200),
        ("getAvailability", "buyer", 200),
        ("queryAvailability", "buyer", 200),
        ("reserve", "buyer", 201),
        ("getReservation", "order-system", 200),
        ("listReservations", "buyer", 200),
        ("confirmReservation", "buyer", 200),
        ("releaseReservation", "buyer", 409),
        ("sendEvents", "order-system", 202),
        ("getRules", "analyst", 200),
        ("listRuleVersions", "analyst", 200),
        ("listDrafts", "analyst", 200),
        ("getFeatures", "analyst", 200),
        ("getModels", "analyst", 200),
        ("beginBacktest", "analyst", 202),
        ("getBacktest", "analyst", 200),
        ("impactOfSupplier", "analyst", 200),
        ("getStanding", "supplier", 200),
        ("putOverride", "analyst", 200),
        ("getStanding", "supplier", 200),
        ("listOverrides", "analyst", 200),
        ("listDecisions", "analyst", 200),
        ("getDecision", "analyst", 200),
        ("getOwnDecision", "supplier", 200),
        ("getStatement", "supplier", 200),
        ("appeal", "supplier", 201),
        ("listAppeals", "supplier", 200),
        ("listReviews", "analyst", 200),
        ("claimNextReview", "approver", 200),
        ("settleReview", "approver", 200),
        ("deleteOverrides", "analyst", 200),
        ("putKillSwitch", "analyst", 200),
        ("getKillSwitch", "analyst", 200),
        ("putFourEyes", "operator", 200),
        ("listImports", "supplier", 200),
        ("withdrawListing", "supplier", 200),
    ];
    for (id, role, status) in story {
        let reply = play(&api, &keys, id, role, &known).await;
        assert_eq!(reply.status, status, "{id}: {}", reply.body);
        for (name, at) in
            [("reservation", "/reservation"), ("job", "/job"), ("decision", "/in_force/0/decision")]
        {
            if let Some(value) = reply.body.pointer(at).and_then(Value::as_str) {
                known.insert(name, value.to_owned());
            }
        }
        if id == "claimNextReview" {
            known.insert("review", reply.body["id"].as_str().unwrap().to_owned());
        }
    }
}

#[test]
fn the_document_of_the_topics_names_all_of_them_and_lacks_nothing_it_refers_to() {
    let document = stockade::asyncapi::asyncapi().unwrap();
    let channels = document["channels"].as_object().unwrap();
    for topic in stockade_model::Topic::ALL {
        let channel = &channels[topic.name()];
        assert_eq!(channel["address"], topic.name());
        assert!(!channel["messages"].as_object().unwrap().is_empty());
        let kept = channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"].as_i64();
        assert_eq!(kept, Some(topic.retention_ms().unwrap_or(-1)));
    }
    assert_eq!(channels.len(), stockade_model::Topic::ALL.len());
    let text = document.to_string();
    let refers = Regex::new(r##""\$ref":"#([^"]+)""##).unwrap();
    for at in refers.captures_iter(&text) {
        assert!(document.pointer(&at[1]).is_some(), "nothing is at {}", &at[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_with_a_verb_says_which_methods_that_form_of_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    for (path, allow) in [
        ("/v1/reservations/acme::1", "DELETE,GET,HEAD"),
        ("/v1/reservations/acme::1:confirm", "POST"),
        ("/v1/decisions/d-1", "GET,HEAD"),
        ("/v1/decisions/d-1:release", "POST"),
        ("/v1/overrides", "GET,HEAD,POST"),
    ] {
        let reply = api.raw(Method::PATCH, path, &[], Vec::new()).await;
        assert_eq!((reply.code(), reply.header("allow").as_str()), ((405, "wrong_method"), allow), "{path}");
        let reply = api.raw(Method::OPTIONS, path, &[], Vec::new()).await;
        assert_eq!((reply.status, reply.header("allow").as_str()), (204, allow), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_file_is_no_set_without_rules_and_no_declaration_without_features() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    for (method, path) in [
        (Method::POST, "/v1/rules:check"),
        (Method::PUT, "/v1/rules"),
        (Method::POST, "/v1/features:check"),
        (Method::PUT, "/v1/features"),
    ] {
        let bearer = format!("Bearer {}", api.analyst);
        let of = path.trim_end_matches(":check");
        let tag = api.get(&api.analyst, of).await.header("etag");
        let headers = [("authorization", bearer.as_str()), ("if-match", tag.as_str())];
        let reply = api.raw(method, path, &headers, b" \n".to_vec()).await;
        assert_eq!(reply.code(), (400, "empty_body"), "{path}");
    }
    assert!(!api.get(&api.analyst, "/v1/rules").await.body["rules"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_behind_the_end_of_the_log_is_none_to_wait_for() {
    let directory = tempfile::tempdir().unwrap();
    let wait = std::time::Duration::from_millis(100);
    let api = Api::with(directory.path(), stockade_runtime::LimitsConfig::default(), wait).await;
    let made_up = api.get(&api.buyer, "/v1/availability?sku=S&after_position=p1.0.14635574067").await;
    assert_eq!(made_up.code(), (400, "bad_position"));
    let no_partition = api.get(&api.buyer, "/v1/availability?sku=S&after_position=p1.99.0").await;
    assert_eq!(no_partition.code(), (400, "bad_position"));
}
