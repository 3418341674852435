//! The AsyncAPI 3 document of the topics: from the list of topics, the schemas of the records, and the folds that read them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use stockade_fold::Spec;
use stockade_model::{Topic, envelope::header, record::SCORE_KIND};

/// Partitions of a small installation; the document says that it is configured.
const PARTITIONS: u32 = 16;

/// What is to be known of a topic that no other code says.
struct About {
    summary: &'static str,
    /// What the key of a record is.
    key: &'static str,
    /// Who appends.
    writers: &'static [&'static str],
    /// Who reads it beside the folds.
    views: &'static [&'static str],
    /// Kinds of records.
    kinds: &'static [&'static str],
}

const TICK: &str = "stockade.tick";

fn about(topic: Topic) -> About {
    match topic {
        Topic::EventsInbox => About {
            summary: "Order outcomes and account events as they arrive.",
            key: "The buyer of an outcome; of an account event, and where no buyer is named, the supplier.",
            writers: &["inventory-api"],
            views: &[],
            kinds: &["stockade.order.event", TICK],
        },
        Topic::SupplierEvents => About {
            summary: "Everything about a supplier in one order: commands, outcomes, facts, control and ticks.",
            key: "The supplier; of a choice for lines of a basket, the basket. What is relayed to every partition is appended to each and has no key.",
            writers: &["inventory-api", "intake", "control", "peers", "links", "arbiter"],
            views: &["inventory replicas"],
            kinds: &[
                "stockade.inventory.command",
                "stockade.inventory.choice",
                "stockade.order.outcome",
                "stockade.order.again",
                "stockade.control.change",
                "stockade.lockout.decision",
                "stockade.scoring.peers",
                "stockade.scoring.link",
                TICK,
            ],
        },
        Topic::ScoringRekeyed => About {
            summary: "What is known by other keys than the supplier: counts by cohort, attributes that were seen.",
            key: "The cohort (region, category, all) or the hashed attribute.",
            writers: &["scoring"],
            views: &[],
            kinds: &["stockade.scoring.cohort", "stockade.scoring.link_seen", TICK],
        },
        Topic::SupplierScores => About {
            summary: "One feature vector for each record that changed it, and control passed on in its place.",
            key: "The supplier.",
            writers: &["scoring"],
            views: &["score view of the lockout API", "backtests"],
            kinds: &[SCORE_KIND, "stockade.control.change", TICK],
        },
        Topic::LockoutProposals => About {
            summary: "What rules and people ask of the arbiter.",
            key: "The supplier; what concerns none has no key.",
            writers: &["evaluation", "lockout-api", "control", "inventory"],
            views: &[],
            kinds: &["stockade.lockout.proposal", TICK],
        },
        Topic::LockoutDecisions => About {
            summary: "Every decision, for ever, with its hash chain.",
            key: "The supplier.",
            writers: &["arbiter"],
            views: &[
                "overlay of every inventory process",
                "quarantine store",
                "decision view of the lockout API",
            ],
            kinds: &["stockade.lockout.decision"],
        },
        Topic::Control => About {
            summary: "Rule sets, features, models, registrations and switches, for ever.",
            key: "None.",
            writers: &["inventory-api", "lockout-api"],
            views: &["supplier view of the lockout API"],
            kinds: &["stockade.control.change", TICK],
        },
        Topic::Webhooks => About {
            summary: "What is to be told outside, what is asked of endpoints, and how each attempt to tell them went.",
            key: "None.",
            writers: &["arbiter", "decisions", "inventory", "inventory-api", "lockout-api", "webhook sender"],
            views: &["webhook view of the lockout API"],
            kinds: &["stockade.webhook", TICK],
        },
        Topic::DeadLetters => About {
            summary: "What could not be processed, with its origin and the reason, before the offset moved.",
            key: "None.",
            writers: &["every fold", "operations API"],
            views: &["operations API"],
            kinds: &["stockade.dead.letter", "stockade.dead.replayed"],
        },
    }
}

/// The folds with what they read.
fn folds() -> Vec<Spec> {
    let scoring = [
        stockade_supplier_scoring::intake_spec(PARTITIONS),
        stockade_supplier_scoring::scoring_spec(PARTITIONS),
        stockade_supplier_scoring::peers_spec(PARTITIONS),
        stockade_supplier_scoring::links_spec(PARTITIONS),
    ];
    let lockout = [
        stockade_lockout::control_spec(PARTITIONS),
        stockade_lockout::evaluation_spec(PARTITIONS),
        stockade_lockout::arbiter_spec(PARTITIONS),
        stockade_lockout::decisions_spec(PARTITIONS),
        stockade_webhooks::webhooks_spec(PARTITIONS),
    ];
    [stockade_inventory::inventory_spec(PARTITIONS)].into_iter().chain(scoring).chain(lockout).collect()
}

/// The name of a kind within the document: the part that tells it apart.
fn short(kind: &str) -> &str {
    kind.trim_start_matches("stockade.")
}

/// Lets the references within a schema begin at the place where it stands in the document.
fn placed(value: &mut Value, name: &str) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(at)) = map.get_mut("$ref")
                && let Some(within) = at.strip_prefix("#/$defs/")
            {
                *at = format!("#/components/schemas/{name}/$defs/{within}");
            }
            map.remove("$schema");
            map.values_mut().for_each(|value| placed(value, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| placed(value, name)),
        _ => {}
    }
}

fn headers() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "type": "object",
        "required": [header::TYPE, header::SOURCE],
        "properties": {
            header::TYPE: text("CloudEvents type; it decides how the value is read."),
            header::ID: text("CloudEvents id, unique within its source."),
            header::SOURCE: text("CloudEvents source."),
            header::POSITION: text("Fold, partition, generation, offset and index of the cause; set on every output of a fold. Receivers skip what is not after the last one they saw."),
            header::CAUSE_ID: text("Id of the record at the root of the chain."),
            header::CAUSE_TIME: text("Its record time, in milliseconds since 1970."),
            header::TRACEPARENT: text("W3C trace context."),
        },
    })
}

fn messages(schemas: &mut Map<String, Value>) -> Result<Map<String, Value>> {
    let mut messages = Map::new();
    for (file, text) in stockade_model::schemas::files() {
        let name = file.trim_start_matches("records/").trim_end_matches(".schema.json").to_owned();
        let mut schema: Value = serde_json::from_str(&text).with_context(|| format!("the schema {file}"))?;
        placed(&mut schema, &name);
        let summary = schema.get("description").cloned().unwrap_or_default();
        schemas.insert(name.clone(), schema);
        messages.insert(
            name.clone(),
            json!({
                "name": format!("stockade.{name}"), "summary": summary, "contentType": "application/json",
                "headers": { "$ref": "#/components/schemas/headers" },
                "payload": { "$ref": format!("#/components/schemas/{name}") },
            }),
        );
    }
    messages.insert(
        short(SCORE_KIND).to_owned(),
        json!({
            "name": SCORE_KIND, "summary": "A feature vector with the evidence of its tests.",
            "contentType": "application/octet-stream", "headers": { "$ref": "#/components/schemas/headers" },
            "payload": { "type": "string", "format": "binary", "description": "Binary; its first byte is the version of its layout." },
        }),
    );
    schemas.insert("headers".to_owned(), headers());
    Ok(messages)
}

/// The document.
pub fn asyncapi() -> Result<Value> {
    let (mut schemas, mut channels, mut operations) = (Map::new(), Map::new(), Map::new());
    let messages = messages(&mut schemas)?;
    let folds = folds();
    for topic in Topic::ALL {
        let About { summary, key, writers, views, kinds } = about(topic);
        let name = topic.name();
        let of: BTreeMap<&str, Value> = kinds
            .iter()
            .map(|kind| (short(kind), json!({ "$ref": format!("#/components/messages/{}", short(kind)) })))
            .collect();
        for kind in kinds {
            anyhow::ensure!(messages.contains_key(short(kind)), "no record is of kind {kind}");
        }
        let readers: Vec<&str> = folds
            .iter()
            .filter(|fold| fold.input == topic)
            .map(|fold| fold.name)
            .chain(views.iter().copied())
            .collect();
        let kept = match topic.retention_ms() {
            Some(ms) => format!("for {} days", ms / 86_400_000),
            None => "for ever".to_owned(),
        };
        let (one, many) = (topic.partitions(1), topic.partitions(PARTITIONS));
        let parts = if one == many { "one partition" } else { "as many partitions as `log.partitions` says" };
        channels.insert(
            name.to_owned(),
            json!({
                "address": name, "title": name, "summary": summary,
                "description": format!("Key: {key} It has {parts}; records are kept {kept}. Written by {}; read by {}.",
                    writers.join(", "), if readers.is_empty() { "people".to_owned() } else { readers.join(", ") }),
                "messages": of, "x-key": key, "x-writers": writers, "x-readers": readers,
                "bindings": { "kafka": {
                    "topic": name, "partitions": many, "bindingVersion": "0.5.0",
                    "topicConfiguration": { "cleanup.policy": ["delete"], "retention.ms": topic.retention_ms().unwrap_or(-1) },
                } },
            }),
        );
        let channel = json!({ "$ref": format!("#/channels/{name}") });
        for (action, who) in
            writers.iter().map(|who| ("send", *who)).chain(readers.iter().map(|who| ("receive", *who)))
        {
            let id: String = format!("{who} {action} {name}")
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect();
            let verb = if action == "send" { "appends to" } else { "reads" };
            operations.insert(
                id.trim_matches('-').replace("--", "-"),
                json!({ "action": action, "channel": channel, "summary": format!("{who} {verb} {name}.") }),
            );
        }
    }
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Stockade's topics", "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0" },
            "description": "What the services of Stockade tell each other through the log. A record is a CloudEvent in binary mode: its \
                attributes are headers, its value is the data. Nobody outside of the platform writes here: suppliers, buyers and \
                order systems use the HTTP API. State is kept in one compacted changelog for each fold, `<fold>.state`, which \
                belongs to the fold alone and is not described.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas },
    }))
}

/// The document as it lies in the repository.
pub fn asyncapi_text() -> Result<String> {
    Ok(serde_json::to_string_pretty(&asyncapi()?)? + "\n")
}
