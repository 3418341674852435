use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::{Analyst, Edge, Limits, Params, Parsed, body::Body};

#[derive(Clone)]
struct Service(Limits);

impl Edge for Service {
    fn limits(&self) -> &Limits {
        &self.0
    }
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Tea {
    /// How much of it.
    #[schemars(range(min = 1))]
    grams: u32,
    #[serde(default)]
    sort: Option<String>,
}

async fn brew(_: State<Service>, _: Analyst, Params(_): Params<Tea>, Parsed(_): Parsed<Tea>) {}
async fn raw(_: State<Service>, _: crate::Caller, _: Body) {}

const TAGS: [(&str, &str); 1] = [("Tea", "Leaves.")];

fn brews() -> Operation {
    Operation::post("/teas/{tea}:brew", "brew", "Brews it").tag("Tea").answers::<Tea>(StatusCode::OK, "Tea.")
}

#[test]
fn what_a_handler_takes_is_read_from_its_arguments() {
    let routes = Routes::default().add(brews(), brew);
    let document = document(&routes.operations(), &TAGS).unwrap();
    let call = &document["paths"]["/teas/{tea}:brew"]["post"];
    assert_eq!(call["x-roles"], json!(["analyst", "approver", "operator"]));
    let named: BTreeMap<&str, &Value> = call["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| (parameter["name"].as_str().unwrap(), parameter))
        .collect();
    assert_eq!(named["grams"]["required"], true);
    assert_eq!(named["grams"]["schema"]["minimum"], 1);
    assert_eq!(named["sort"]["schema"], json!({ "type": "string" }), "a parameter is never null");
    let statuses: Vec<&String> = call["responses"].as_object().unwrap().keys().collect();
    for status in ["200", "400", "401", "403", "413", "415", "422", "429"] {
        assert!(statuses.iter().any(|known| *known == status), "{status} is missing in {statuses:?}");
    }
    // What may be left out of a request is always in an answer.
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Tea"]["required"], json!(["grams", "sort"]));
    assert_eq!(schemas["TeaRequest"]["required"], json!(["grams"]));
}

#[test]
fn a_call_that_reads_and_takes_no_parameters_may_refuse_them() {
    let reads = || Operation::get("/teas", "teas", "All teas");
    let of = |operations: Vec<Operation>| operations[0].codes.contains("bad_query");
    assert!(of(Routes::default().add(reads(), raw).operations()));
    assert!(!of(Routes::<Service>::default().add(reads(), || async {}).operations()), "a page");
    assert!(!of(Routes::default().add(Operation::post("/teas", "make", "Makes it"), raw).operations()));
}

#[test]
fn a_call_that_is_not_wholly_declared_makes_no_document() {
    let declared = |operation: Operation| {
        document(&Routes::default().add(operation, raw).operations(), &TAGS).unwrap_err().join("; ")
    };
    let bare = declared(Operation::post("/teas", "make", "Makes it"));
    for what in ["say its tag", "say what it answers", "say whose keys", "say which bodies"] {
        assert!(bare.contains(what), "{bare}");
    }
    let said = brews().roles(&["buyer"]).body::<Tea>();
    assert!(
        declared(said.clone().fails(&["too_hot"])).contains("too_hot means"),
        "a code that is on no list"
    );
    let fine = Routes::default().add(said.clone(), raw).operations();
    assert!(document(&fine, &TAGS).is_ok());
    let twice = document(&[fine[0].clone(), fine[0].clone()], &TAGS).unwrap_err();
    assert!(twice[0].contains("two calls are called brew"));
}

#[test]
fn a_path_with_a_verb_allows_what_that_verb_allows() {
    let forms = Forms::of(&[brews(), Operation::get("/teas/{tea}", "tea", "One tea")]);
    let allow = |path: &str| forms.allow("/teas/{tea}", path).unwrap();
    assert_eq!(allow("/teas/green:brew"), "POST");
    assert_eq!(allow("/teas/green"), "GET,HEAD");
    assert_eq!(allow("/teas/a::b"), "GET,HEAD", "a colon alone is no verb");
}
