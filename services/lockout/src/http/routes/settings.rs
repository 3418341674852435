//! Calls about switches, features and models.

use axum::http::StatusCode;
use serde_json::json;
use stockade_runtime::api::{Asked, Operation, Sent};

use super::{
    super::{features, models, switches},
    Changes::{Loud, Nothing, Verdicts},
    DECISIONS, MODELS, RULES, Table, enacts, proposes,
};

/// The two switches, the declaration of features, and the models.
pub(super) fn switches_and_models(table: Table) -> Table {
    let declared = |operation: Operation| {
        operation.tag(MODELS).body_raw("application/yaml").fails(&["invalid_features"])
    };
    let models = |operation: Operation| {
        enacts(operation)
            .tag(MODELS)
            .answers::<models::ModelsBody>(StatusCode::OK, "Which model is which now.")
            .fails(&["models_pending", "no_such_model", "invalid_model"])
    };
    let turned = json!({ "on": true, "reason": "A rule withholds at random." });
    table
        .add(
            Nothing,
            Operation::get("/v1/ops/kill-switch", "getKillSwitch", "Whether all rules are in shadow")
                .tag(DECISIONS)
                .answers::<switches::KillSwitch>(StatusCode::OK, "Whether, and who turned it."),
            switches::get_kill,
        )
        .add(
            Loud,
            proposes(Operation::put(
                "/v1/ops/kill-switch",
                "putKillSwitch",
                "Puts all rules in shadow, or back",
            ))
            .about("It lifts nothing that is in force.")
            .tag(DECISIONS)
            .example("on", turned)
            .fails(&["control_pending"]),
            switches::put_kill,
        )
        .add(
            Nothing,
            Operation::get("/v1/ops/four-eyes", "getFourEyes", "Whether changes need a second person")
                .tag(RULES)
                .answers::<switches::FourEyes>(StatusCode::OK, "Whether."),
            switches::get_four_eyes,
        )
        .add(
            Verdicts,
            enacts(Operation::put(
                "/v1/ops/four-eyes",
                "putFourEyes",
                "Asks for a second person, or no more",
            ))
            .tag(RULES)
            .example("off", json!({ "on": false, "reason": "We are too few." }))
            .answers::<switches::FourEyes>(StatusCode::OK, "It is so."),
            switches::put_four_eyes,
        )
        .add(
            Nothing,
            Operation::get("/v1/features", "getFeatures", "The features that rules may read")
                .tag(MODELS)
                .answers::<features::Declaration<'_>>(StatusCode::OK, "The declaration in force.")
                .tagged(),
            features::get,
        )
        .add(
            Verdicts,
            enacts(declared(Operation::put(
                "/v1/features",
                "putFeatures",
                "Publishes a declaration of features",
            )))
            .heeds(&[Asked::IfMatchRequired])
            .answers::<features::Declaration<'_>>(StatusCode::OK, "It is in force.")
            .sends(StatusCode::OK, &[Sent::ETag])
            .fails(&[
                "features_changed",
                "features_pending",
                "needed_by_models",
                "needed_by_rules",
                "bad_version",
            ]),
            features::put,
        )
        .add(
            Nothing,
            declared(Operation::post(
                "/v1/features:check",
                "checkFeatures",
                "Compiles a declaration of features",
            ))
            .answers::<features::Declaration<'_>>(StatusCode::OK, "It may be published.")
            .sends(StatusCode::OK, &[Sent::ETag]),
            features::check,
        )
        .add(
            Nothing,
            Operation::get("/v1/models", "getModels", "Which models score")
                .about(
                    "With what became of the orders that each had predicted: those on which a `fraud_confirmed` came, once an order is 45 days \
                     old. Orders of suppliers that were withheld at once are not among them, for nobody could place any.",
                )
                .tag(MODELS)
                .answers::<models::ModelsBody>(
                    StatusCode::OK,
                    "Champion, challenger and the former champion.",
                ),
            models::get,
        )
        .add(
            Verdicts,
            models(Operation::post("/v1/models", "publishModel", "Lets a model run beside the champion"))
                .body_raw("application/json"),
            models::publish,
        )
        .add(
            Verdicts,
            models(Operation::post("/v1/models:promote", "promoteModel", "Makes the challenger champion")),
            models::promote,
        )
        .add(
            Verdicts,
            models(Operation::post(
                "/v1/models:rollback",
                "rollBackModel",
                "Makes the former champion champion again",
            )),
            models::roll_back,
        )
}
