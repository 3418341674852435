//! Every call of this API in one table, each with what it may change. The router is made of the table, so nothing is served
//! that does not stand in it, and a test tries every call that changes anything with one person alone.

use axum::{Router, handler::Handler, http::StatusCode};
use serde_json::json;
use stockade_runtime::api::{Declares, Operation, Routes, Sent};

use super::{
    LockoutApi, Why,
    ask::{Later, Ruled, Waits},
};

mod people;
mod rule_sets;
mod settings;

/// What a call may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing that anybody else would notice: it reads, checks or computes.
    Nothing,
    /// Work between people: claims, drafts that are taken away.
    Work,
    /// One supplier's standing, by a decision in the audit log.
    OneSupplier,
    /// Verdicts: with four eyes it needs a second person.
    Verdicts,
    /// Verdicts, and one person may do it alone because it must not wait. It is loud.
    Loud,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The path as it is routed, with the verb where it has one: `/v1/decisions/{id}:release`.
    pub path: String,
    /// What it may change.
    pub changes: Changes,
}

const RULES: &str = "Rules";
const MODELS: &str = "Features and models";
const DECISIONS: &str = "Decisions";
const STANDING: &str = "Standing";

/// What writing to the log may end with.
const WRITES: [&str; 3] = ["log_unavailable", "log_unconfirmed", "disk_full"];

#[derive(Default)]
struct Table {
    routes: Routes<LockoutApi>,
    calls: Vec<Call>,
}

impl Table {
    /// Adds a call with what it may change.
    fn add<T: Declares + 'static>(
        self,
        changes: Changes,
        operation: Operation,
        handler: impl Handler<T, LockoutApi>,
    ) -> Self {
        self.verbs([(changes, operation)], handler)
    }

    /// Adds the calls of a handler that looks at the verb itself.
    fn verbs<T: Declares + 'static>(
        mut self,
        calls: impl IntoIterator<Item = (Changes, Operation)>,
        handler: impl Handler<T, LockoutApi>,
    ) -> Self {
        let (changes, operations): (Vec<Changes>, Vec<Operation>) = calls.into_iter().unzip();
        let named = operations.iter().zip(changes).map(|(operation, changes)| Call {
            method: method_of(operation.method),
            path: operation.path.clone(),
            changes,
        });
        self.calls.extend(named);
        self.routes = self.routes.add_all(operations, handler);
        self
    }
}

fn method_of(method: &str) -> &'static str {
    match method {
        "put" => "PUT",
        "post" => "POST",
        "delete" => "DELETE",
        _ => "GET",
    }
}

/// A change that goes through the control fold: it is in force when it is answered, or waits for a second person.
fn enacts(operation: Operation) -> Operation {
    operation
        .answers::<Waits<'_>>(
            StatusCode::ACCEPTED,
            "Four eyes are on: it waits for somebody else's approval.",
        )
        .sends(StatusCode::ACCEPTED, &[Sent::Location])
        .fails(&WRITES)
        .fails(&["control_pending", "draft_waits"])
}

/// Something that the arbiter decides.
fn proposes(operation: Operation) -> Operation {
    operation
        .answers::<Ruled<'_>>(StatusCode::OK, "What it came to.")
        .answers::<Later<'_>>(StatusCode::ACCEPTED, "It is durable and not decided yet.")
        .fails(&WRITES)
}

/// A call about a supplier that must be registered.
fn known_supplier(operation: Operation) -> Operation {
    operation.fails(&["unknown_supplier", "control_pending", "invalid_request"])
}

/// A call whose body says why.
fn why(operation: Operation) -> Operation {
    operation
        .body::<Why>()
        .example("why", json!({ "reason": "The warehouse burnt down; the carrier showed it." }))
}

/// A call that takes a rule set as YAML.
fn takes_rules(operation: Operation) -> Operation {
    operation.body_raw("application/yaml").fails(&["invalid_rules"])
}

fn table() -> Table {
    let rules = rule_sets::versions_and_drafts(rule_sets::rule_sets(Table::default()));
    people::of_one_supplier(people::verdicts(settings::switches_and_models(rules)))
}

/// Every call, as it is declared.
pub fn routes() -> Routes<LockoutApi> {
    table().routes.wait_for_the_start()
}

/// The routes.
pub fn router(api: LockoutApi) -> Router {
    table().routes.router().with_state(api)
}

/// Every call there is.
pub fn calls() -> Vec<Call> {
    table().calls
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn every_verb_that_is_understood_is_declared() {
        let declared: Vec<String> = calls().into_iter().map(|call| call.path).collect();
        let verbs = [
            ("/v1/rules/{rule}", rules::VERBS.map(|(name, _)| name).to_vec()),
            ("/v1/drafts/{draft}", drafts::VERBS.map(|(name, _)| name).to_vec()),
            ("/v1/decisions/{decision}", decisions::VERBS.map(|(name, _)| name).to_vec()),
            ("/v1/reviews/{review}", reviews::VERBS.map(|(name, _)| name).to_vec()),
        ];
        for (path, names) in verbs {
            for name in &names {
                assert!(declared.contains(&format!("{path}:{name}")), "{path}:{name}");
            }
            let all = declared.iter().filter(|declared| declared.starts_with(&format!("{path}:"))).count();
            assert_eq!(all, names.len(), "{path}");
        }
    }
}
