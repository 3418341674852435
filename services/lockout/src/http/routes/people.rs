//! Calls about decisions and reviews, and what a supplier is told of its standing.

use axum::http::StatusCode;
use serde_json::json;
use stockade_runtime::{
    api::{Asked, Operation, Sent},
    list::Page,
};

use super::{
    super::{ask::Later, decisions, evidence, impact, overrides, reviews, shapes, standing, statement},
    Changes::{Nothing, OneSupplier, Work},
    DECISIONS, STANDING, Table, WRITES, known_supplier, proposes, why,
};

/// What people do about restrictions.
pub(super) fn verdicts(table: Table) -> Table {
    let decided = |name: &str, id, summary| {
        proposes(Operation::post(format!("/v1/decisions/{{decision}}:{name}"), id, summary))
            .tag(DECISIONS)
            .fails(&[
                "no_such_verb",
                "nothing_in_force",
                "already_expired",
                "own_decision",
                "denied_by_a_person",
            ])
            .fails_as(StatusCode::NOT_FOUND, "nothing_in_force")
    };
    let review = |operation: Operation| {
        operation.tag(DECISIONS).fails(&[
            "no_such_review",
            "nothing_to_review",
            "claimed_by_another",
            "own_decision",
            "impact_failed",
        ])
    };
    let claims = |operation: Operation| {
        review(operation)
            .answers::<reviews::Described<'_>>(StatusCode::OK, "It is yours for 15 minutes.")
            .answers::<Later<'_>>(StatusCode::ACCEPTED, "It is durable and not decided yet.")
            .fails(&WRITES)
    };
    let review_verb = |name: &str| format!("/v1/reviews/{{review}}:{name}");
    table
        .add(
            Nothing,
            Operation::get("/v1/decisions", "listDecisions", "The last decisions")
                .tag(DECISIONS)
                .answers::<decisions::Page<'_>>(StatusCode::OK, "A page, the newest first."),
            decisions::list,
        )
        .add(
            Nothing,
            Operation::get("/v1/decisions/{decision}", "getDecision", "One restriction with its story")
                .tag(DECISIONS)
                .answers::<decisions::Told>(StatusCode::OK, "What happened to it, the newest first.")
                .fails(&["no_such_decision"]),
            decisions::get,
        )
        .verbs(
            [
                (OneSupplier, why(decided("release", "releaseDecision", "Lifts a restriction"))),
                (OneSupplier, why(decided("confirm", "confirmDecision", "Finds a restriction right"))),
                (
                    OneSupplier,
                    why(decided("reopen", "reopenDecision", "Takes one's own confirmation back"))
                        .about("It waits for a review again. Not while an appeal against it waits.")
                        .fails(&["not_confirmed", "confirmed_by_another", "appealed_already"]),
                ),
                (
                    OneSupplier,
                    decided("extend", "extendDecision", "Lets a restriction run longer")
                        .body::<decisions::Extend>(),
                ),
            ],
            decisions::act,
        )
        .add(
            Nothing,
            Operation::get("/v1/reviews", "listReviews", "What waits for a person")
                .tag(DECISIONS)
                .answers::<reviews::Listed<'_>>(StatusCode::OK, "The most urgent first."),
            reviews::list,
        )
        .add(
            Work,
            claims(Operation::post("/v1/reviews:next", "claimNextReview", "Claims the most urgent review")),
            reviews::next,
        )
        .add(
            Nothing,
            review(Operation::get(
                "/v1/reviews/{review}",
                "getReview",
                "One review with what a person needs to decide",
            ))
            .answers::<reviews::Described<'_>>(StatusCode::OK, "With what buyers would lose."),
            reviews::get,
        )
        .verbs(
            [
                (
                    Work,
                    claims(Operation::post(review_verb("claim"), "claimReview", "Claims a review"))
                        .body_raw("application/json")
                        .body_optional()
                        .fails(&["no_such_verb"]),
                ),
                (
                    Work,
                    review(Operation::post(review_verb("giveback"), "giveReviewBack", "Gives a claim back"))
                        .about("Somebody else is given the review then. Only who has it can.")
                        .body_raw("application/json")
                        .body_optional()
                        .answers_nothing(StatusCode::NO_CONTENT, "Nobody has it now.")
                        .answers::<Later<'_>>(StatusCode::ACCEPTED, "It is durable and not decided yet.")
                        .fails(&WRITES)
                        .fails(&["no_such_verb", "not_claimed"]),
                ),
                (
                    OneSupplier,
                    review(proposes(Operation::post(
                        review_verb("settle"),
                        "settleReview",
                        "Settles a review",
                    )))
                    .body::<reviews::Settle>()
                    .example("uphold", json!({ "finding": "uphold", "reason": "Nothing was handed over." }))
                    .fails(&["no_such_verb", "nothing_in_force"]),
                ),
            ],
            reviews::act,
        )
        .add(
            Nothing,
            Operation::get("/v1/overrides", "listOverrides", "What people imposed or allowed")
                .tag(DECISIONS)
                .answers::<Page<overrides::Listed>>(StatusCode::OK, "A page, by supplier.")
                .fails(&["bad_cursor", "invalid_request"]),
            overrides::list,
        )
        .add(
            OneSupplier,
            known_supplier(proposes(Operation::post(
                "/v1/overrides",
                "putOverride",
                "Denies or allows a supplier",
            )))
            .about(
                "Exactly one of `allow` and `deny`. With `If-Match` it counts only while the restriction of that id is in force on the \
                 same scope, with `If-None-Match: *` only while none is.",
            )
            .heeds(&[Asked::IfMatch, Asked::IfNoneMatch])
            .tag(DECISIONS)
            .example(
                "deny",
                json!({ "supplier": "acme", "deny": "quarantine", "reason": "Police asked.",
                            "expires_at": "2099-01-31T00:00:00Z" }),
            )
            .fails(&["already_expired", "denied_by_a_person", "nothing_in_force", "decided_since"]),
            overrides::put,
        )
        .add(
            OneSupplier,
            known_supplier(proposes(Operation::delete(
                "/v1/overrides/{supplier}",
                "deleteOverrides",
                "Takes back all that people decided of a supplier",
            )))
            .about(
                "With `If-Match` it counts only while the newest restriction by a person is the one of that id: an undo then takes back \
                 nothing that a colleague decided since.",
            )
            .tag(DECISIONS)
            .heeds(&[Asked::IfMatch])
            .example("back", json!({ "reason": "It was a mistake." }))
            .fails(&["nothing_in_force", "decided_since"]),
            overrides::clear,
        )
}

/// What is told of one supplier.
pub(super) fn of_one_supplier(table: Table) -> Table {
    let path = |what: &str| format!("/v1/suppliers/{{supplier}}/{what}");
    let told = |operation: Operation| operation.tag(STANDING).fails(&["no_such_decision"]);
    let statement = Operation::get(
        path("decisions/{decision}/statement"),
        "getStatement",
        "The statement of reasons of a decision",
    )
    .about("The facts that EU law asks for; with `Accept: text/plain`, as a text for people.");
    table
        .add(
            Nothing,
            known_supplier(Operation::get(
                path("standing"),
                "getStanding",
                "What is in force for a supplier",
            ))
            .tag(STANDING)
            .answers::<standing::Standing>(StatusCode::OK, "What, why, since when and until when."),
            standing::standing,
        )
        .add(
            Nothing,
            told(Operation::get(
                path("decisions/{decision}"),
                "getOwnDecision",
                "A decision as its supplier sees it",
            ))
            .answers::<standing::DecisionFacts>(StatusCode::OK, "With what was counted, in words."),
            standing::decision,
        )
        .add(
            Nothing,
            told(statement).answers::<statement::Statement>(StatusCode::OK, "The statement.").answers_raw(
                StatusCode::OK,
                "The statement.",
                "text/plain; charset=utf-8",
            ),
            statement::statement,
        )
        .add(
            Nothing,
            Operation::get(path("appeals"), "listAppeals", "A supplier's appeals")
                .tag(STANDING)
                .answers::<standing::Appeals>(StatusCode::OK, "Those that wait and those that are answered."),
            standing::appeals,
        )
        .add(
            Work,
            Operation::post(path("appeals"), "appeal", "Appeals against a decision")
                .tag(STANDING)
                .example(
                    "late carrier",
                    json!({ "decision": "d-1-7-1", "text": "The carrier was late; here is its word." }),
                )
                .answers::<standing::Opened<'_>>(StatusCode::CREATED, "It has a clock, and will be answered.")
                .sends(StatusCode::CREATED, &[Sent::Location])
                .answers::<Later<'_>>(StatusCode::ACCEPTED, "It is durable and not entered yet.")
                .fails(&WRITES)
                .fails(&["appealed_already", "nothing_in_force", "no_such_review", "too_many_appeals"]),
            standing::appeal,
        )
        .add(
            Nothing,
            known_supplier(Operation::get(
                path("impact"),
                "impactOfSupplier",
                "What buyers would lose with a supplier",
            ))
            .tag(DECISIONS)
            .work(stockade_runtime::Work::Analysis)
            .answers::<impact::Impact>(StatusCode::OK, "Units, value, goods and regions left empty.")
            .fails(&["impact_failed"]),
            impact::of_supplier,
        )
        .add(
            Nothing,
            known_supplier(Operation::get(path("evidence"), "getEvidence", "A supplier's evidence over time"))
                .work(stockade_runtime::Work::Analysis)
                .about(
                    "Read from the scores that are kept, thinned out to 500 points of each feature with the least and the greatest values. \
                     One question of a person at a time.",
                )
                .tag(DECISIONS)
                .answers::<evidence::OverTime<'_>>(StatusCode::OK, "Each test with its exposure, and the bounds of rules.")
                .fails(&["log_unavailable", "evidence_asked_for"]),
            evidence::over_time,
        )
        .add(
            Nothing,
            Operation::get(path("risk"), "getRisk", "A supplier's score and what it is made of")
                .tag(DECISIONS)
                .answers::<shapes::Risk>(StatusCode::OK, "Feature by feature.")
                .fails(&["no_score", "unknown_supplier", "control_pending", "invalid_request"]),
            impact::risk,
        )
}
