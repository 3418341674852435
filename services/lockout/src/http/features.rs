//! Declarations of features, and models.

use super::*;
use stockade_model::{ModelSwitch, Models};
use stockade_runtime::{FieldError, body};

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

fn features_answer(version: &str, source: &str, schema: &FeatureSchema) -> Response {
    let body = json!({
        "version": version, "schema": schema.id(), "features": schema.features(), "source": source,
    });
    ([(header::ETAG, format!("\"{version}\""))], Json(body)).into_response()
}

pub(super) async fn get_features(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let (version, source) = features_in_force(&api);
    Ok(features_answer(&version, &source, &api.schema()))
}

/// A declaration that compiles and that the rules in force can live with.
fn read_features(api: &LockoutApi, source: &str) -> Result<Arc<FeatureSchema>, Problem> {
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

pub(super) async fn check_features(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let source = utf8(&text)?;
    let schema = read_features(&api, source)?;
    Ok(features_answer(&RuleSet::version_of(source), source, &schema))
}

pub(super) async fn put_features(
    State(api): State<LockoutApi>,
    caller: Caller,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    unchanged(&headers, &features_in_force(&api).0, "/v1/features")?;
    let source = utf8(&text)?;
    let schema = read_features(&api, source)?;
    let version = RuleSet::version_of(source);
    let change = Change::Features { version: version.clone(), source: source.to_owned() };
    api.publish(&actor(&caller), change, (&api.features, &version), "features_pending").await?;
    Ok(features_answer(&version, source, &schema))
}

fn models_in_force(api: &LockoutApi) -> Models {
    Models::from_text(&api.models.current().1)
}

/// Which model is which, with where each comes from and how it did.
fn models_answer(models: &Models) -> Response {
    let about = |source: &Option<String>| {
        let source = source.as_ref()?;
        let file: Value = serde_json::from_str(source).ok()?;
        Some(json!({
            "version": RuleSet::version_of(source), "origin": file["origin"], "held_out": file["held_out"],
        }))
    };
    Json(json!({
        "champion": about(&models.champion), "challenger": about(&models.challenger), "former": about(&models.former),
    }))
    .into_response()
}

pub(super) async fn get_models(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    Ok(models_answer(&models_in_force(&api)))
}

/// Publishes a change of models that would be accepted now.
pub(super) async fn change_models(
    api: &LockoutApi,
    caller: &Caller,
    change: Change,
) -> Result<Response, Problem> {
    let (Change::Model { id, .. } | Change::ModelSwitch { id, .. }) = &change else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_change", "this is no change of models"));
    };
    let next = models_in_force(api)
        .after(&change)
        .map_err(|why| Problem::new(StatusCode::CONFLICT, "no_such_model", why))?;
    let id = id.clone();
    api.publish(&actor(caller), change, (&api.models, &id), "models_pending").await?;
    Ok(models_answer(&next))
}

pub(super) async fn post_model(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let source = utf8(&text)?;
    (api.vocabulary.check_model)(source, &api.schema()).map_err(|why| {
        let mut problem = Problem::invalid(vec![FieldError::new(String::new(), "bad_model", why)]);
        problem.code = "invalid_model";
        problem
    })?;
    let change = Change::Model { id: api.ids.next(), source: source.to_owned() };
    change_models(&api, &caller, change).await
}

pub(super) async fn promote_model(
    State(api): State<LockoutApi>,
    caller: Caller,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let change = Change::ModelSwitch { id: api.ids.next(), to: ModelSwitch::Promote };
    change_models(&api, &caller, change).await
}

pub(super) async fn roll_back_model(
    State(api): State<LockoutApi>,
    caller: Caller,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let change = Change::ModelSwitch { id: api.ids.next(), to: ModelSwitch::RollBack };
    change_models(&api, &caller, change).await
}
