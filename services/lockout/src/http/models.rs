//! Models: published beside the champion, promoted, rolled back.

use serde::Serialize;
use stockade_model::{Change, ModelSwitch, Models};

use super::{ask::waits, *};

/// The models in force, as this replica knows them.
pub(super) fn models_in_force(api: &LockoutApi) -> Models {
    Models::from_text(&api.models.current().1)
}

/// Where a model comes from and how it did.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Model")]
pub(super) struct About {
    version: String,
    origin: Value,
    held_out: Value,
    /// What became of the orders that it had predicted while it was champion or challenger, as the process that answers sees its partitions;
    /// null where scoring runs elsewhere.
    #[schemars(with = "Option<super::shapes::Calibration>")]
    calibration: Option<Value>,
}

/// Which model is which.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Models")]
pub(super) struct ModelsBody {
    champion: Option<About>,
    challenger: Option<About>,
    former: Option<About>,
    /// How far live vectors have moved from those that the champion was trained on, as the process that answers sees its partitions; null
    /// where scoring runs elsewhere.
    #[schemars(with = "Option<super::shapes::Drift>")]
    drift: Option<Value>,
}

fn about(api: &LockoutApi, source: Option<&String>) -> Option<About> {
    let source = source?;
    let file: Value = serde_json::from_str(source).ok()?;
    let part = |name: &str| file.get(name).cloned().unwrap_or_default();
    let version = RuleSet::version_of(source);
    let calibration = (api.calibration)(&version);
    Some(About { version, origin: part("origin"), held_out: part("held_out"), calibration })
}

fn answer(api: &LockoutApi) -> Response {
    let models = models_in_force(api);
    Json(ModelsBody {
        champion: about(api, models.champion.as_ref()),
        challenger: about(api, models.challenger.as_ref()),
        former: about(api, models.former.as_ref()),
        drift: (api.drift)(),
    })
    .into_response()
}

pub(super) async fn get(State(api): State<LockoutApi>, _: Analyst) -> Answer {
    Ok(answer(&api))
}

async fn change(api: &LockoutApi, actor: &str, change: Change) -> Answer {
    match api.enact(actor, change).await? {
        Enacted::InForce => Ok(answer(api)),
        Enacted::Draft(draft) => Ok(waits(&draft)),
    }
}

pub(super) async fn publish(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Text(source): Text,
) -> Answer {
    (api.vocabulary.check_model)(&source, &api.schema()).map_err(|why| {
        let mut problem = Problem::invalid(vec![FieldError::new(String::new(), "bad_model", why)]);
        problem.code = "invalid_model";
        problem
    })?;
    change(&api, &by.id, Change::Model { id: api.ids.next(), source }).await
}

pub(super) async fn promote(State(api): State<LockoutApi>, Analyst(by): Analyst) -> Answer {
    change(&api, &by.id, Change::ModelSwitch { id: api.ids.next(), to: ModelSwitch::Promote }).await
}

pub(super) async fn roll_back(State(api): State<LockoutApi>, Analyst(by): Analyst) -> Answer {
    change(&api, &by.id, Change::ModelSwitch { id: api.ids.next(), to: ModelSwitch::RollBack }).await
}
