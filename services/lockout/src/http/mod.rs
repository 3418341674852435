//! The analysts' API, and what a supplier may see of its own standing.

mod due;
mod features;
mod rules;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use bytes::Bytes;
use serde_json::{Value, json};
use stockade_log::{Ack, NewRecord, Route, SharedLog};
use stockade_model::{Change, ControlRecord, Envelope, Payload, Proposal, ScoreRecord, SupplierId, Topic};
use stockade_rules::{FeatureSchema, RuleSet, Vocabulary};
use stockade_runtime::{Caller, Limits, Problem, Role, Waiters};

pub use rules::publish_rules;

use crate::{
    backtest::{Backtests, Rescore},
    control::schema_in_force,
    views::{Decisions, Desk, InForceStatus, RuleVersions},
};

/// How long an answer waits for the folds.
const DEADLINE: Duration = Duration::from_secs(5);

/// A supplier's score with what each feature adds; `None` when it has none.
pub type RiskView = Arc<dyn Fn(&SupplierId) -> Option<Value> + Send + Sync>;
/// The last vector of every supplier, or of one.
pub type LastVectors = Arc<dyn Fn(Option<&SupplierId>) -> Vec<ScoreRecord> + Send + Sync>;
/// What buyers would no longer see if these suppliers were withheld; `None` where inventory does not run.
pub type ImpactView = Arc<dyn Fn(&BTreeSet<SupplierId>) -> Option<Value> + Send + Sync>;

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
    /// What the arbiter made of people's proposals: a review that was claimed, or a code.
    pub verdicts: Waiters<Result<Option<String>, &'static str>>,
    /// What the control fold made of changes: nothing, or code and reason of a refusal.
    pub judged: Waiters<Option<(&'static str, String)>>,
    /// Versions of the rules.
    pub versions: RuleVersions,
    /// Reviews, counts of rules, switches.
    pub desk: Desk,
    /// Recent decisions.
    pub decisions: Decisions,
    /// Limits at the edge.
    pub limits: Limits,
    /// Scores.
    pub risk: RiskView,
    /// Feature vectors.
    pub vectors: LastVectors,
    /// Stock.
    pub impact: ImpactView,
    /// Makes vectors anew.
    pub rescore: Rescore,
    /// Backtests of this process.
    pub backtests: Backtests,
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
        .route("/v1/rules", get(rules::get_rules).put(rules::put_rules))
        .route("/v1/rules:check", post(rules::check))
        .route("/v1/rules:explain", post(rules::explain))
        .route("/v1/rules:impact", post(rules::impact))
        .route("/v1/rules:backtest", post(rules::backtest))
        .route("/v1/rules:rollback", post(rules::roll_back))
        .route("/v1/rules:approve", post(rules::approve))
        .route("/v1/rules/draft", get(rules::get_draft).delete(rules::drop_draft))
        .route("/v1/rules/versions", get(rules::list_versions))
        .route("/v1/rules/versions/{version}", get(rules::get_version))
        .route("/v1/rules/{id}", post(rules::verb))
        .route("/v1/rules/{id}/history", get(rules::history))
        .route("/v1/backtests/{job}", get(rules::backtest_status).delete(rules::cancel_backtest))
        .route("/v1/ops/kill-switch", get(rules::get_kill_switch).put(rules::put_kill_switch))
        .route("/v1/ops/four-eyes", get(rules::get_four_eyes).put(rules::put_four_eyes))
        .route("/v1/features", get(features::get_features).put(features::put_features))
        .route("/v1/features:check", post(features::check_features))
        .route("/v1/models", get(features::get_models).post(features::post_model))
        .route("/v1/models:promote", post(features::promote_model))
        .route("/v1/models:rollback", post(features::roll_back_model))
        .route("/v1/decisions", get(due::list_decisions))
        .route("/v1/decisions/{id}", get(due::get_decision).post(due::decision_verb))
        .route("/v1/reviews", get(due::list_reviews))
        .route("/v1/reviews:next", post(due::next_review))
        .route("/v1/reviews/{id}", get(due::get_review).post(due::review_verb))
        .route("/v1/overrides", post(due::put_override))
        .route("/v1/overrides/{supplier}", delete(due::clear_override))
        .route("/v1/suppliers/{supplier}/standing", get(due::standing))
        .route("/v1/suppliers/{supplier}/decisions/{decision}", get(due::decision_facts))
        .route("/v1/suppliers/{supplier}/appeals", post(due::appeal).get(due::appeals))
        .route("/v1/suppliers/{supplier}/impact", get(due::supplier_impact))
        .route("/v1/suppliers/{supplier}/risk", get(due::risk))
        .with_state(api)
}

impl LockoutApi {
    /// The features of the vectors that scoring makes now: those declared and the windows that the rules in force bind.
    pub fn schema(&self) -> Arc<FeatureSchema> {
        schema_in_force(&self.vocabulary, &self.features.current().1, &self.rules.current().1)
    }

    /// The rules in force.
    pub fn rule_set(&self) -> Arc<RuleSet> {
        let (features, rules) = (self.features.current().1, self.rules.current().1);
        let none = || Arc::new(RuleSet::empty(self.vocabulary.in_force(&features)));
        if rules.is_empty() {
            return none();
        }
        // What is in force was compiled before it came there.
        self.vocabulary.compile(&features, &rules).unwrap_or_else(|_| none())
    }

    fn analyst(&self, caller: &Caller) -> Result<(), Problem> {
        caller.must("analyst", Role::is_staff)?;
        self.limits.take("staff", &caller.0.id, 1).map(|_| ())
    }

    fn operator(&self, caller: &Caller) -> Result<(), Problem> {
        caller.must("operator", |role| *role == Role::Operator)?;
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

    /// Puts a proposal before the arbiter and waits for its verdict: the review it is about, if any; `None` when the
    /// verdict is still to come.
    async fn ask(&self, proposal: Proposal) -> Result<(String, Option<Option<String>>), Problem> {
        let id = self.ids.next();
        let verdict = self.verdicts.expect(&id);
        let key = proposal.supplier().map_or_else(String::new, ToString::to_string);
        self.append(Topic::LockoutProposals, &id, &key, &Payload::Proposal(proposal)).await?;
        let Some(verdict) = verdict.within(DEADLINE).await else { return Ok((id, None)) };
        match verdict {
            Ok(made) => Ok((id, Some(made))),
            Err(code) => Err(refusal(code)),
        }
    }

    /// The same, answered in the usual way.
    async fn propose(&self, proposal: Proposal) -> Result<Response, Problem> {
        let supplier = proposal.supplier().cloned();
        match self.ask(proposal).await? {
            (id, None) => Ok(later(&id)),
            (id, Some(made)) => {
                Ok(Json(json!({ "proposal": id, "supplier": supplier, "review": made })).into_response())
            }
        }
    }

    /// Appends a change to `control` and waits until it was judged.
    async fn change(&self, actor: &str, change: Change) -> Result<(), Problem> {
        let id = self.ids.next();
        let judged = self.judged.expect(&id);
        let payload = Payload::Control(ControlRecord { actor: actor.to_owned(), change });
        self.append(Topic::Control, &id, "", &payload).await?;
        let Some(judged) = judged.within(DEADLINE).await else {
            let detail = "it is durable and will be judged; read what is in force until it shows";
            return Err(Problem::unavailable("control_pending", detail));
        };
        match judged {
            None => Ok(()),
            Some((code, detail)) => {
                let status = match code {
                    "rules_changed" => StatusCode::PRECONDITION_FAILED,
                    "own_change" => StatusCode::FORBIDDEN,
                    "no_such_version" | "no_such_draft" => StatusCode::NOT_FOUND,
                    "no_such_model" => StatusCode::CONFLICT,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                Err(Problem::new(status, code, detail))
            }
        }
    }

    /// Changes what is in force and waits until it is so in every partition.
    async fn publish(
        &self,
        actor: &str,
        change: Change,
        (status, version): (&InForceStatus, &str),
        pending: &'static str,
    ) -> Result<(), Problem> {
        self.change(actor, change).await?;
        let late = |_| Problem::unavailable(pending, "it is durable and on its way; read it until it shows");
        tokio::time::timeout(DEADLINE, status.wait(version, self.lanes)).await.map_err(late)
    }
}

/// What follows the question mark of a path.
type Asked<T> = Result<Query<T>, QueryRejection>;

fn given<T>(query: Asked<T>) -> Result<T, Problem> {
    query
        .map(|Query(query)| query)
        .map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "bad_query", e.body_text()))
}

/// Does what walks all vectors or the whole index, off the threads that answer.
async fn aside(work: impl FnOnce() -> Value + Send + 'static) -> Result<Response, Problem> {
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "impact_failed", "try again");
    Ok(Json(tokio::task::spawn_blocking(work).await.map_err(failed)?).into_response())
}

fn later(id: &str) -> Response {
    let detail = "it is durable and will be decided; look at /v1/decisions";
    (StatusCode::ACCEPTED, Json(json!({ "proposal": id, "detail": detail }))).into_response()
}

fn refusal(code: &'static str) -> Problem {
    let (status, detail) = match code {
        "nothing_in_force" => (StatusCode::CONFLICT, "nothing of that kind is in force"),
        "already_expired" => {
            (StatusCode::CONFLICT, "it would have expired already; choose a later expires_at")
        }
        "appealed_already" => (StatusCode::CONFLICT, "an appeal against it waits for its answer already"),
        "no_such_review" => (StatusCode::NOT_FOUND, "no review of that id is open; it may have been settled"),
        "nothing_to_review" => (StatusCode::NOT_FOUND, "nothing waits that nobody has claimed"),
        "claimed_by_another" => {
            (StatusCode::CONFLICT, "somebody else is at it; their claim ends after 15 minutes")
        }
        "own_decision" => (
            StatusCode::FORBIDDEN,
            "an appeal is judged by somebody else than who made or confirmed the decision",
        ),
        _ => (StatusCode::CONFLICT, "it was turned down"),
    };
    Problem::new(status, code, detail)
}

fn actor(caller: &Caller) -> String {
    caller.0.id.clone()
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

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}
