//! Calls about rule sets: the one in force, its versions, drafts and backtests.

use axum::http::StatusCode;
use serde_json::json;
use stockade_runtime::api::{Asked, Operation, Sent};

use super::{
    super::{ask::Later, backtests, drafts, impact, rules, shapes},
    Changes::{Loud, Nothing, OneSupplier, Verdicts, Work},
    RULES, Table, WRITES, enacts, known_supplier, proposes, takes_rules, why,
};
use crate::control::{Draft, RuleVersion};

/// What is in force, and what would be.
pub(super) fn rule_sets(table: Table) -> Table {
    let in_force = "/v1/rules";
    let publish = takes_rules(enacts(Operation::put(in_force, "putRules", "Publishes a rule set")))
        .about("The body is YAML. It is answered when the set is in force in every partition.")
        .tag(RULES)
        .heeds(&[Asked::IfMatchRequired])
        .answers::<rules::SetBody<'_>>(StatusCode::OK, "It is in force.")
        .sends(StatusCode::OK, &[Sent::ETag])
        .fails(&["rules_changed", "rules_pending", "invalid_request", "bad_version"]);
    let roll_back = enacts(Operation::post(
        "/v1/rules:rollback",
        "rollBackRules",
        "Goes back to a set that was in force",
    ))
    .about("To the one just before, one person may alone, once; that is loud.")
    .tag(RULES)
    .example("back", json!({ "reason": "It withheld a supplier that did nothing." }))
    .answers::<rules::VersionBody<'_>>(StatusCode::OK, "It is in force.")
    .sends(StatusCode::OK, &[Sent::ETag])
    .fails(&["no_such_version", "rules_pending", "invalid_rules", "rules_changed"]);
    let approve =
        Operation::post("/v1/rules:approve", "approveRules", "Puts somebody else's rule set in force")
            .tag(RULES)
            .answers::<rules::VersionBody<'_>>(StatusCode::OK, "It is in force.")
            .sends(StatusCode::OK, &[Sent::ETag])
            .fails(&WRITES)
            .fails(&["no_such_draft", "own_change", "rules_changed", "invalid_rules"])
            .fails(&[
                "control_pending",
                "rules_pending",
                "features_pending",
                "models_pending",
                "proposal_pending",
            ]);
    table
        .add(
            Nothing,
            Operation::get(in_force, "getRules", "The rule set in force, and what holds it back")
                .tag(RULES)
                .answers::<rules::InForceBody<'_>>(StatusCode::OK, "The set with its source.")
                .tagged(),
            rules::get,
        )
        .add(Verdicts, publish, rules::put)
        .add(
            Nothing,
            takes_rules(Operation::post(
                "/v1/rules:check",
                "checkRules",
                "Compiles a rule set and runs its examples",
            ))
            .about("Nothing changes.")
            .tag(RULES)
            .answers::<rules::SetBody<'_>>(StatusCode::OK, "It may be published."),
            rules::check,
        )
        .add(
            Nothing,
            Operation::post("/v1/rules:explain", "explainRules", "What rules say of a supplier now, and why")
                .work(stockade_runtime::Work::Analysis)
                .tag(RULES)
                .example("acme", json!({ "supplier": "acme" }))
                .answers::<rules::Explanations<'_>>(StatusCode::OK, "Rule by rule.")
                .fails(&["invalid_rules", "windows_not_kept", "no_score", "score_outdated", "no_such_rule"])
                .fails(&["unknown_supplier", "control_pending"]),
            rules::explain,
        )
        .add(
            Nothing,
            takes_rules(Operation::post(
                "/v1/rules:impact",
                "impactOfRules",
                "What buyers would no longer see",
            ))
            .work(stockade_runtime::Work::Analysis)
            .about(
                "If every rule of the set that withholds were live now. Without a body, of the set in force.",
            )
            .tag(RULES)
            .body_optional()
            .answers::<impact::OfRules>(StatusCode::OK, "Suppliers, stock, and by rule.")
            .fails(&["windows_not_kept", "impact_failed"]),
            impact::of_rules,
        )
        .add(
            Nothing,
            Operation::post("/v1/rules:backtest", "beginBacktest", "Tries a rule set on the past")
                .work(stockade_runtime::Work::Analysis)
                .tag(RULES)
                .example("a month", json!({ "days": 30 }))
                .answers::<shapes::Backtest>(StatusCode::ACCEPTED, "It runs.")
                .sends(StatusCode::ACCEPTED, &[Sent::Location])
                .fails(&["invalid_rules", "too_many_backtests"])
                .leads_to(StatusCode::ACCEPTED, "getBacktest", &[("job", "$response.body#/job")])
                .leads_to(StatusCode::ACCEPTED, "cancelBacktest", &[("job", "$response.body#/job")]),
            backtests::begin,
        )
        .add(Loud, roll_back, rules::roll_back)
        .add(Verdicts, approve, rules::approve)
}

/// What was in force, what waits for a second person, and how rules fare.
pub(super) fn versions_and_drafts(table: Table) -> Table {
    let draft = |operation: Operation| operation.tag(RULES).fails(&["no_such_draft"]);
    let gone = |operation: Operation| {
        operation
            .answers_nothing(StatusCode::NO_CONTENT, "It is taken away.")
            .fails(&WRITES)
            .fails(&["control_pending"])
    };
    let verb = |name: &str| format!("/v1/rules/{{rule}}:{name}");
    table
        .add(
            Nothing,
            draft(Operation::get("/v1/rules/draft", "getRulesDraft", "The rule set that waits for approval"))
                .answers::<Draft>(StatusCode::OK, "The draft."),
            drafts::get_of_rules,
        )
        .add(
            Work,
            gone(draft(Operation::delete("/v1/rules/draft", "deleteRulesDraft", "Takes that draft away"))),
            drafts::remove_of_rules,
        )
        .add(
            Nothing,
            Operation::get("/v1/rules/versions", "listRuleVersions", "Rule sets that were in force")
                .tag(RULES)
                .answers::<rules::VersionList<'_>>(StatusCode::OK, "The newest first."),
            rules::list_versions,
        )
        .add(
            Nothing,
            Operation::get("/v1/rules/versions/{version}", "getRuleVersion", "One of them with its source")
                .tag(RULES)
                .answers::<RuleVersion>(StatusCode::OK, "The set.")
                .tagged()
                .fails(&["no_such_version"]),
            rules::get_version,
        )
        .verbs(
            [
                (
                    Verdicts,
                    enacts(why(Operation::post(
                        verb("rearm"),
                        "rearmRule",
                        "Lets a rule act again within its budget",
                    )))
                    .tag(RULES)
                    .answers::<rules::Rearmed>(StatusCode::OK, "It may.")
                    .fails(&[
                        "no_such_rule",
                        "no_such_verb",
                        "proposal_pending",
                        "nothing_in_force",
                    ]),
                ),
                (
                    Loud,
                    Operation::post(verb("restore"), "restoreRule", "Restores everyone whom a rule restricted")
                        .about(
                            "What it imposed since then and is in force is released, and what a budget held back of it \
                             dismissed: a decision each, with one `act`. What is left goes on by itself; said again it \
                             finds what is left. With `stop` the rule does nothing any more until it is rearmed. One \
                             person may alone; that is loud.",
                        )
                        .tag(RULES)
                        .body::<rules::Restore>()
                        .example(
                            "a morning",
                            json!({ "since": "2026-11-22T08:00:00Z", "stop": true, "reason": "It matched everyone." }),
                        )
                        .answers::<rules::RestoredBody<'_>>(StatusCode::OK, "How many, and how many are left.")
                        .answers::<Later<'_>>(StatusCode::ACCEPTED, "It is durable and not decided yet.")
                        .fails(&WRITES)
                        .fails(&["no_such_rule", "no_such_verb"]),
                ),
                (
                    OneSupplier,
                    known_supplier(proposes(Operation::post(
                        verb("snooze"),
                        "snoozeRule",
                        "Mutes a rule for one supplier",
                    )))
                    .tag(RULES)
                    .body::<rules::Snooze>()
                    .fails(&["no_such_rule", "no_such_verb", "already_expired"]),
                ),
            ],
            rules::act,
        )
        .add(
            Nothing,
            Operation::get("/v1/rules/{rule}/history", "getRuleHistory", "How a rule has fared, by day")
                .tag(RULES)
                .answers::<rules::History>(StatusCode::OK, "Day by day and in sum.")
                .fails(&["no_such_rule"]),
            rules::history,
        )
        .add(
            Nothing,
            Operation::get("/v1/drafts", "listDrafts", "Everything that waits for a second person")
                .tag(RULES)
                .answers::<drafts::Waiting<'_>>(StatusCode::OK, "All of it."),
            drafts::list,
        )
        .add(
            Nothing,
            draft(Operation::get("/v1/drafts/{draft}", "getDraft", "One draft"))
                .answers::<Draft>(StatusCode::OK, "What would change."),
            drafts::get,
        )
        .add(
            Verdicts,
            draft(Operation::post(
                "/v1/drafts/{draft}:approve",
                "approveDraft",
                "Puts somebody else's draft in force",
            ))
            .answers::<drafts::Approved<'_>>(StatusCode::OK, "It is in force.")
            .fails(&WRITES)
            .fails(&["no_such_verb", "own_change", "rules_changed", "features_changed", "no_such_model"])
            .fails(&[
                "invalid_rules",
                "invalid_features",
                "invalid_model",
                "needed_by_models",
                "needed_by_rules",
            ])
            .fails(&["control_pending", "rules_pending", "features_pending", "models_pending"])
            .fails(&["proposal_pending", "no_such_version", "nothing_in_force"]),
            drafts::act,
        )
        .add(
            Work,
            gone(draft(Operation::delete("/v1/drafts/{draft}", "deleteDraft", "Takes a draft away"))),
            drafts::remove,
        )
        .add(
            Nothing,
            Operation::get("/v1/backtests/{job}", "getBacktest", "How far a backtest is")
                .tag(RULES)
                .answers::<shapes::Backtest>(StatusCode::OK, "With its report once it is there.")
                .fails(&["no_such_backtest"]),
            backtests::status,
        )
        .add(
            Work,
            Operation::delete("/v1/backtests/{job}", "cancelBacktest", "Ends a backtest")
                .tag(RULES)
                .answers::<shapes::Backtest>(StatusCode::ACCEPTED, "It ends.")
                .fails(&["no_such_backtest"]),
            backtests::cancel,
        )
}
