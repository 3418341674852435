//! Declarations of features.

use serde::Serialize;
use stockade_model::Change;
use stockade_rules::Feature;

use super::{ask::waits, models::models_in_force, *};

/// Version and source of the features in force.
fn features_in_force(api: &LockoutApi) -> (String, String) {
    match api.features.current() {
        (version, _) if version.is_empty() => {
            let source = api.default_features.to_owned();
            (RuleSet::version_of(&source), source)
        }
        current => current,
    }
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Features")]
pub(super) struct Declaration<'a> {
    version: &'a str,
    schema: u32,
    features: &'a [Feature],
    source: &'a str,
}

fn declared<'a>(version: &'a str, source: &'a str, schema: &'a FeatureSchema) -> Declaration<'a> {
    Declaration { version, schema: schema.id(), features: schema.features(), source }
}

pub(super) async fn get(State(api): State<LockoutApi>, _: Analyst, headers: HeaderMap) -> Answer {
    let (version, source) = features_in_force(&api);
    let schema = api.schema();
    // The windows that rules in force bind are read with the declaration and change without it.
    let tag = tag_beside(&version, &schema.id());
    tagged_or_unchanged(&headers, &tag, Json(declared(&version, &source, &schema)))
}

/// A declaration that compiles and that the rules and models in force can live with.
fn read(api: &LockoutApi, source: &str) -> Result<Arc<FeatureSchema>, Problem> {
    not_forgotten(source)?;
    let refused = |code, field: &str, detail| {
        let mut problem = Problem::invalid(vec![FieldError::new(field.to_owned(), code, detail)]);
        problem.code = "invalid_features";
        problem
    };
    let schema = (api.vocabulary.read)(source, &[]).map_err(|why| refused("bad_features", "", why))?;
    for model in models_in_force(api).sources() {
        (api.vocabulary.check_model)(model, &schema).map_err(|why| {
            refused("needed_by_models", "/features", format!("a model in force reads what it lacks: {why}"))
        })?;
    }
    let (_, rules) = api.rules.current();
    if !rules.is_empty() {
        api.vocabulary.compile(source, &rules).map_err(|errors| {
            let needs = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            refused("needed_by_rules", "/features", format!("the rules in force read what it lacks: {needs}"))
        })?;
    }
    Ok(schema)
}

pub(super) async fn check(State(api): State<LockoutApi>, _: Analyst, Text(source): Text) -> Answer {
    let schema = read(&api, &source)?;
    let version = RuleSet::version_of(&source);
    Ok(tagged(&version, declared(&version, &source, &schema)))
}

pub(super) async fn put(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    headers: HeaderMap,
    Text(source): Text,
) -> Answer {
    unchanged(&headers, &features_in_force(&api).0, "/v1/features")?;
    // What this replica takes for the one in force travels along, and the fold decides whether it still is.
    let base = Some(api.features.current().0);
    let schema = read(&api, &source)?;
    let version = RuleSet::version_of(&source);
    let change = Change::Features { version: version.clone(), source: source.clone(), base };
    match api.enact(&by.id, change).await? {
        Enacted::InForce => Ok(tagged(&version, declared(&version, &source, &schema))),
        Enacted::Draft(draft) => Ok(waits(&draft)),
    }
}
