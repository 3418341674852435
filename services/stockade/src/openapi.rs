//! The document of the whole HTTP API: what every role serves, whichever roles this process has.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use serde_json::Value;
use sha2::Digest as _;
use stockade_runtime::{
    Problem,
    api::{Operation, Routes, document},
    http::{OPERATING, metrics_operation, probes, tagged},
};

use crate::{docs, platform::ops};

/// The chapters, in the order in which a newcomer needs them.
const CHAPTERS: [(&str, &str); 14] = [
    ("Suppliers", "Who is registered, where stock lies, what is listed and how much of it there is."),
    (
        "Imports",
        "Whole inventory files, applied at the supplier's pace, with a report for each row that was not taken.",
    ),
    ("Buyers", "What is available, as an answer or as a stream; units held, confirmed and given back."),
    ("Orders", "What became of orders, as CloudEvents."),
    ("Standing", "What a supplier is told of decisions about it, and how it appeals."),
    (
        "Decisions",
        "What people see and do about restrictions: releases, reviews, overrides, the kill switch.",
    ),
    ("Webhooks", "What happens, told to systems of yours: signed, and again until it is taken."),
    ("Rules", "The rules that decide: checked, tried on the past, published, approved, rolled back."),
    ("Features and models", "What rules may read, and the models that score."),
    (
        ops::CHAPTER,
        "How far the folds are, dead letters, the process that answers and its configuration, the chain of decisions.",
    ),
    (
        "Sandbox",
        "A platform apart, for trying things: whoever calls with a key that begins with `sk_test_` is answered by it.",
    ),
    (stockade_console::CHAPTER, "Signing in to the pages for people, and out."),
    (OPERATING, "Probes and metrics, without a key."),
    (docs::CHAPTER, "This document, and a page that shows it."),
];

/// The document as it is served: its bytes and their tag.
#[derive(Clone)]
pub(crate) struct Served {
    document: Bytes,
    tag: Arc<str>,
}

/// The calls about the document itself.
fn routes() -> Routes<Served> {
    let get_document = Operation::get("/openapi.json", "getDocument", "This document")
        .tag(docs::CHAPTER)
        .answers::<std::collections::BTreeMap<String, Value>>(StatusCode::OK, "OpenAPI 3.1.")
        .tagged();
    Routes::default().add(get_document, serve).and(docs::routes())
}

async fn serve(
    State(Served { document, tag }): State<Served>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // The same bytes for everybody: whoever asks needs no key.
    tagged(&headers, &tag, ([(header::CONTENT_TYPE, "application/json")], document))
}

/// Every call of every role, in the order of the chapters.
pub fn operations() -> Vec<Operation> {
    let nothing_to_say = || Ok(());
    let mut operations = stockade_inventory::http::routes().operations();
    operations.extend(stockade_inventory::imports::routes().operations());
    operations.extend(stockade_lockout::http::routes().operations());
    operations.extend(ops::operations());
    operations.extend(stockade_lockout::http::sandbox_routes().operations());
    operations.extend(stockade_webhooks::routes().operations());
    operations.extend(stockade_console::sign_in_operations());
    operations.extend(probes(Arc::new(nothing_to_say)).operations());
    operations.push(metrics_operation());
    operations.extend(routes().operations());
    operations
}

/// The document, or what its declarations lack.
pub fn openapi() -> Result<Value> {
    document(&operations(), &CHAPTERS)
        .map_err(|lacks| anyhow!("the API is not wholly declared: {}", lacks.join("; ")))
}

/// The document as it lies in the repository.
pub fn openapi_text() -> Result<String> {
    Ok(serde_json::to_string_pretty(&openapi()?)? + "\n")
}

/// Serves the document and the page that shows it.
pub(crate) fn router() -> Result<Router> {
    let text = serde_json::to_vec(&openapi()?)?;
    let tag = stockade_model::hash::hex(&sha2::Sha256::digest(&text)[..8]);
    Ok(routes().router().with_state(Served { document: text.into(), tag: tag.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_declared_with_its_role_its_bodies_and_its_answers() {
        let document = openapi().unwrap();
        let declared: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(declared, operations().len(), "no two calls have one path and method");
    }
}
