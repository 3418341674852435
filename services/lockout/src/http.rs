//! The analysts' API, and what a supplier may see of its own standing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde_json::{Value, json};
use stockade_log::{Ack, NewRecord, Route, SharedLog};
use stockade_model::{
    Change, ControlRecord, Decision, Envelope, Level, ModelSwitch, Models, Payload, Proposal, Restriction,
    Scope, SupplierId, Timestamp, Topic,
};
use stockade_rules::{FeatureSchema, RuleError, RuleSet, Vocabulary};
use stockade_runtime::{Caller, FieldError, Limits, Problem, Role, body, http::supplier_id};

use crate::views::{Decisions, InForceStatus, Verdicts};

/// How long an answer waits for the folds.
const DEADLINE: Duration = Duration::from_secs(5);

/// A supplier's score with what each feature adds; `None` when it has none.
pub type RiskView = Arc<dyn Fn(&SupplierId) -> Option<Value> + Send + Sync>;

/// What the handlers need.
#[derive(Clone)]
pub struct LockoutApi {
    /// The log.
    pub log: SharedLog,
    /// Partitions of supplier-keyed topics.
    pub lanes: u32,
    /// How declarations of features are read.
    pub vocabulary: Vocabulary,
    /// The declaration of features that a new installation starts with.
    pub default_features: &'static str,
    /// Declarations of features in force; none until one is published.
    pub features: InForceStatus,
    /// Rule sets in force.
    pub rules: InForceStatus,
    /// Models in force.
    pub models: InForceStatus,
    /// Verdicts being waited for.
    pub verdicts: Verdicts,
    /// Recent decisions.
    pub decisions: Decisions,
    /// Limits at the edge.
    pub limits: Limits,
    /// Scores.
    pub risk: RiskView,
    /// Makes record ids unique within this process.
    pub ids: Arc<IdSource>,
}

/// Ids for records that people cause: unique in the platform's life as long as the start time differs.
pub struct IdSource {
    prefix: String,
    next: AtomicU64,
}

impl IdSource {
    /// A source whose ids begin with `prefix`.
    pub fn new(prefix: String) -> Self {
        Self { prefix, next: AtomicU64::new(0) }
    }
    /// The next id.
    pub fn next(&self) -> String {
        format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The routes.
pub fn router(api: LockoutApi) -> Router {
    Router::new()
        .route("/v1/rules", get(get_rules).put(put_rules))
        .route("/v1/rules:check", post(check_rules))
        .route("/v1/features", get(get_features).put(put_features))
        .route("/v1/features:check", post(check_features))
        .route("/v1/models", get(get_models).post(post_model))
        .route("/v1/models:promote", post(promote_model))
        .route("/v1/models:rollback", post(roll_back_model))
        .route("/v1/decisions", get(list_decisions))
        .route("/v1/decisions/{id}", post(decision_verb))
        .route("/v1/overrides", post(put_override))
        .route("/v1/overrides/{supplier}", axum::routing::delete(clear_override))
        .route("/v1/suppliers/{supplier}/standing", get(standing))
        .route("/v1/suppliers/{supplier}/risk", get(risk))
        .with_state(api)
}

impl LockoutApi {
    /// The features rules may read now.
    pub fn schema(&self) -> Arc<FeatureSchema> {
        self.vocabulary.in_force(&self.features.current().1)
    }

    fn analyst(&self, caller: &Caller) -> Result<(), Problem> {
        caller.must("analyst", |role| matches!(role, Role::Analyst | Role::Operator))?;
        self.limits.take("staff", &caller.0.id, 1).map(|_| ())
    }

    async fn append(&self, topic: Topic, id: &str, key: &str, payload: &Payload) -> Result<(), Problem> {
        let record = NewRecord {
            topic: topic.name(),
            route: Route::Partition(0),
            key: Bytes::copy_from_slice(key.as_bytes()),
            headers: Envelope::new(payload.kind(), id, "stockade/api").headers(),
            value: payload.encode().into(),
        };
        let appended = tokio::time::timeout(DEADLINE, self.log.append(vec![record], Ack::Durable)).await;
        let unconfirmed = |_| {
            Problem::unavailable(
                "log_unconfirmed",
                "the log did not confirm it in time; it may still be written: look before repeating it",
            )
        };
        appended
            .map_err(unconfirmed)?
            .map(|_| ())
            .map_err(|error| Problem::unavailable("log_unavailable", error.to_string()))
    }

    /// Puts a proposal before the arbiter and waits for its verdict.
    async fn propose(&self, proposal: Proposal) -> Result<Response, Problem> {
        let id = self.ids.next();
        let verdict = self.verdicts.expect(&id);
        let supplier = proposal.supplier().clone();
        self.append(Topic::LockoutProposals, &id, supplier.as_str(), &Payload::Proposal(proposal)).await?;
        let Ok(verdict) = tokio::time::timeout(DEADLINE, verdict).await else {
            self.verdicts.forget(&id);
            let detail = "it is durable and will be decided; look at /v1/decisions";
            return Ok(
                (StatusCode::ACCEPTED, Json(json!({ "proposal": id, "detail": detail }))).into_response()
            );
        };
        match verdict.ok().flatten() {
            Some(code @ "nothing_in_force") => Err(Problem::new(
                StatusCode::CONFLICT,
                code,
                "nothing of that kind is in force for this supplier",
            )),
            Some(code) => Err(Problem::new(
                StatusCode::CONFLICT,
                code,
                "it would have expired already; choose a later expires_at",
            )),
            None => Ok(Json(json!({ "proposal": id, "supplier": supplier })).into_response()),
        }
    }
}

fn actor(caller: &Caller) -> String {
    caller.0.id.clone()
}

fn rule_problem(errors: &[RuleError]) -> Problem {
    let field = |e: &RuleError| match &e.rule {
        Some(rule) => format!("/rules/{rule}:{}:{}", e.line, e.column),
        None => "/rules".to_owned(),
    };
    let mut problem = Problem::invalid(
        errors.iter().map(|e| FieldError::new(field(e), e.code, e.detail.clone())).collect(),
    );
    problem.code = "invalid_rules";
    problem
}

fn rules_body(source: &str, set: &RuleSet) -> Value {
    let rules: Vec<&stockade_rules::RuleSpec> = set.rules().iter().map(|rule| &rule.spec).collect();
    json!({ "version": set.version, "rules": rules, "source": source })
}

async fn get_rules(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let (version, source) = api.rules.current();
    let set = RuleSet::compile(&source, api.schema()).unwrap_or_else(|_| RuleSet::empty(api.schema()));
    Ok(([(header::ETAG, format!("\"{version}\""))], Json(rules_body(&source, &set))).into_response())
}

async fn check_rules(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let source = utf8(&text)?;
    let set = RuleSet::compile(source, api.schema()).map_err(|errors| rule_problem(&errors))?;
    Ok(Json(rules_body(source, &set)).into_response())
}

fn utf8(text: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(text)
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "not_utf8", "send it as UTF-8 YAML"))
}

/// Whether the caller has seen what is in force.
fn unchanged(headers: &HeaderMap, current: &str, path: &str) -> Result<(), Problem> {
    let tag = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
    match tag.map(|tag| tag.trim_matches('"')) {
        None => {
            let detail =
                format!("send If-Match with the ETag of GET {path}, so that nobody's change is overwritten");
            Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if_match_required", detail))
        }
        Some(tag) if tag != current => {
            let code = if path == "/v1/rules" { "rules_changed" } else { "features_changed" };
            let detail = format!("the one in force is {current}; read it, merge, and send its tag");
            Err(Problem::new(StatusCode::PRECONDITION_FAILED, code, detail))
        }
        Some(_) => Ok(()),
    }
}

async fn put_rules(
    State(api): State<LockoutApi>,
    caller: Caller,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let (current, _) = api.rules.current();
    unchanged(&headers, &current, "/v1/rules")?;
    let source = utf8(&text)?;
    let set = RuleSet::compile(source, api.schema()).map_err(|errors| rule_problem(&errors))?;
    publish_rules(&api, &actor(&caller), source).await?;
    Ok(([(header::ETAG, format!("\"{}\"", set.version))], Json(rules_body(source, &set))).into_response())
}

/// Appends a compiled rule set to `control` and waits until it is in force in every partition.
pub async fn publish_rules(api: &LockoutApi, actor: &str, source: &str) -> Result<(), Problem> {
    let version = RuleSet::version_of(source);
    let change = Change::Rules { version: version.clone(), source: source.to_owned() };
    publish(api, actor, change, (&api.rules, &version), "rules_pending").await
}

async fn publish(
    api: &LockoutApi,
    actor: &str,
    change: Change,
    (status, version): (&InForceStatus, &str),
    pending: &'static str,
) -> Result<(), Problem> {
    let payload = Payload::Control(ControlRecord { actor: actor.to_owned(), change });
    api.append(Topic::Control, &api.ids.next(), "", &payload).await?;
    let late = |_| Problem::unavailable(pending, "it is durable and on its way; read it until it shows");
    tokio::time::timeout(DEADLINE, status.wait(version, api.lanes)).await.map_err(late)
}

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

async fn get_features(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
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
    let schema = (api.vocabulary.read)(source).map_err(|why| refused("bad_features", "", why))?;
    for model in models_in_force(api).sources() {
        (api.vocabulary.check_model)(model, &schema).map_err(|why| {
            refused("needed_by_models", "/features", format!("a model in force reads what it lacks: {why}"))
        })?;
    }
    let (_, rules) = api.rules.current();
    if !rules.is_empty() {
        RuleSet::compile(&rules, schema.clone()).map_err(|errors| {
            let needs = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            refused("needed_by_rules", "/features", format!("the rules in force read what it lacks: {needs}"))
        })?;
    }
    Ok(schema)
}

async fn check_features(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let source = utf8(&text)?;
    let schema = read_features(&api, source)?;
    Ok(features_answer(&RuleSet::version_of(source), source, &schema))
}

async fn put_features(
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
    publish(&api, &actor(&caller), change, (&api.features, &version), "features_pending").await?;
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

async fn get_models(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    Ok(models_answer(&models_in_force(&api)))
}

/// Publishes a change of models that would be accepted now.
async fn change_models(api: &LockoutApi, caller: &Caller, change: Change) -> Result<Response, Problem> {
    let (Change::Model { id, .. } | Change::ModelSwitch { id, .. }) = &change else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_change", "this is no change of models"));
    };
    let next = models_in_force(api)
        .after(&change)
        .map_err(|why| Problem::new(StatusCode::CONFLICT, "no_such_model", why))?;
    let id = id.clone();
    publish(api, &actor(caller), change, (&api.models, &id), "models_pending").await?;
    Ok(models_answer(&next))
}

async fn post_model(
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

async fn promote_model(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let change = Change::ModelSwitch { id: api.ids.next(), to: ModelSwitch::Promote };
    change_models(&api, &caller, change).await
}

async fn roll_back_model(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let change = Change::ModelSwitch { id: api.ids.next(), to: ModelSwitch::RollBack };
    change_models(&api, &caller, change).await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionQuery {
    supplier: Option<SupplierId>,
    limit: Option<usize>,
    cursor: Option<u64>,
}

async fn list_decisions(
    State(api): State<LockoutApi>,
    caller: Caller,
    query: Result<Query<DecisionQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let Query(query) =
        query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "bad_query", e.body_text()))?;
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    let found = api.decisions.list(query.supplier.as_ref(), query.cursor, limit);
    let next = (found.len() == limit).then(|| found.last().map(|(offset, _)| *offset)).flatten();
    let decisions: Vec<&Decision> = found.iter().map(|(_, decision)| decision.as_ref()).collect();
    Ok(Json(json!({ "decisions": decisions, "next": next })).into_response())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

async fn decision_verb(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(id): Path<String>,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let Some(id) = id.strip_suffix(":release") else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_verb",
            "the verb of a decision is :release",
        ));
    };
    let Reason { reason } = body::parse(&text)?;
    let Some(supplier) = api.decisions.supplier_of(id) else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "nothing_in_force",
            "no restriction of that id is in force",
        ));
    };
    let proposal =
        Proposal::Release { supplier, restriction: Some(id.to_owned()), actor: actor(&caller), reason };
    api.propose(proposal).await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideBody {
    supplier: SupplierId,
    deny: Option<Level>,
    #[serde(default = "whole_supplier")]
    scope: Scope,
    reason: String,
    expires_at: Timestamp,
}

fn whole_supplier() -> Scope {
    Scope::Supplier
}

async fn put_override(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let OverrideBody { supplier, deny, scope, reason, expires_at } = body::parse(&text)?;
    api.propose(Proposal::Override { supplier, deny, scope, actor: actor(&caller), reason, expires_at }).await
}

async fn clear_override(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let supplier = supplier_id(&supplier)?;
    let Reason { reason } = body::parse(&text)?;
    api.propose(Proposal::ClearOverride { supplier, actor: actor(&caller), reason }).await
}

/// What a supplier is told: what, why, since when, until when. Never thresholds, values or rules.
fn facts(restriction: &Restriction) -> Value {
    json!({
        "decision": restriction.id,
        "level": restriction.level,
        "scope": restriction.scope,
        "reasons": restriction.reasons,
        "since": restriction.since,
        "expires_at": restriction.expires_at,
        "review_at": restriction.review_at,
    })
}

async fn standing(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
) -> Result<Response, Problem> {
    let supplier = supplier_id(&supplier)?;
    if !matches!(caller.0.role, Role::Analyst | Role::Operator) {
        caller.must_be_supplier(&supplier)?;
    }
    api.limits.take("staff", &caller.0.id, 1)?;
    let decision = api.decisions.latest(&supplier);
    let in_force: Vec<Value> = decision.iter().flat_map(|d| d.in_force.iter().map(facts)).collect();
    let level = decision.iter().flat_map(|d| &d.in_force).map(|r| r.level).max();
    Ok(Json(json!({ "supplier": supplier, "level": level, "in_force": in_force })).into_response())
}

async fn risk(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
) -> Result<Response, Problem> {
    let supplier = supplier_id(&supplier)?;
    api.analyst(&caller)?;
    match (api.risk)(&supplier) {
        Some(view) => Ok(Json(view).into_response()),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "no_score", "this supplier has no score yet")),
    }
}
