//! The analysts' API, and what a supplier may see of its own standing.

mod ask;
mod backtests;
mod decisions;
mod drafts;
mod evidence;
mod features;
mod impact;
mod models;
mod overrides;
mod reviews;
mod routes;
mod rules;
mod sandbox;
mod shapes;
mod standing;
mod statement;
mod switches;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use stockade_log::SharedLog;
use stockade_model::{Position, ScoreRecord, SupplierId, Timestamp};
use stockade_rules::{FeatureSchema, RuleSet, Vocabulary};
use stockade_runtime::{
    Analyst, Approver, Edge, FieldError, Limits, Operator, Params, Parsed, Path, Problem, Reason,
    SupplierOrStaff, Text, Waiters, body,
    http::{precondition, tagged as tagged_or_unchanged},
};

pub use ask::Enacted;
pub use routes::{Call, Changes, calls, router, routes};
pub use rules::publish_rules;
pub use sandbox::{sandbox_router, sandbox_routes};
pub(crate) use standing::Facts;

use crate::{
    arbiter::{self, Disposed},
    backtest::{Backtests, Rescore},
    control::{Passed, Refused, schema_in_force},
    evidence::Asking,
    views::{Decisions, Desk, InForceStatus, RuleVersions, Suppliers},
};

/// How long an answer waits for the folds.
const DEADLINE: Duration = Duration::from_secs(5);

/// A supplier's score with what each feature adds; `None` when it has none.
pub type RiskView = Arc<dyn Fn(&SupplierId) -> Option<Value> + Send + Sync>;
/// The last vector of every supplier, or of one.
pub type LastVectors = Arc<dyn Fn(Option<&SupplierId>) -> Vec<ScoreRecord> + Send + Sync>;
/// What buyers would no longer see if these suppliers were withheld; `None` where inventory does not run.
pub type ImpactView = Arc<dyn Fn(&BTreeSet<SupplierId>) -> Option<Value> + Send + Sync>;

/// When the overlay of this process applied the decision of a version; the outer `None` where inventory does not run here, the inner one
/// where it is not known: before this start of the process, or too many decisions ago.
pub type AppliedView = Arc<dyn Fn(&Position) -> Option<Option<Timestamp>> + Send + Sync>;
/// Drift and points of models as the scoring folds of this process see them; `None` where they do not run here.
pub type DriftView = Arc<dyn Fn() -> Option<Value> + Send + Sync>;
/// What became of the orders that the model of a version had predicted, by the scoring folds of this process; `None` where they do not run
/// here.
pub type CalibrationView = Arc<dyn Fn(&str) -> Option<Value> + Send + Sync>;

/// What the handlers need.
#[derive(Clone)]
pub struct LockoutApi {
    /// The log.
    pub log: SharedLog,
    /// Partitions of supplier-keyed topics.
    pub partitions: u32,
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
    /// Who waits for what the arbiter makes of a person's proposal.
    pub verdicts: Waiters<Result<Disposed, arbiter::Refusal>>,
    /// Who waits for what the control fold makes of a change.
    pub judged: Waiters<Result<Passed, Refused>>,
    /// Versions of the rules, and what waits for a second person.
    pub versions: RuleVersions,
    /// Reviews, counts of rules, switches.
    pub desk: Desk,
    /// Who is registered.
    pub suppliers: Suppliers,
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
    /// Who is being told of evidence over time.
    pub evidence: Asking,
    /// When decisions reached the overlay of this process.
    pub applied: AppliedView,
    /// How far vectors have moved from those that the champion was trained on.
    pub drift: DriftView,
    /// What became of what models predicted.
    pub calibration: CalibrationView,
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

impl Edge for LockoutApi {
    fn limits(&self) -> &Limits {
        &self.limits
    }
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
}

type Answer = Result<Response, Problem>;

fn missing(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code, detail)
}

/// An answer with the ETag of a version.
fn tagged(version: &str, body: impl serde::Serialize) -> Response {
    ([(header::ETAG, format!("\"{version}\""))], Json(body)).into_response()
}

/// The tag of what is read together with a version: that version, and where something may differ beside it, a digest of that.
/// Whoever changes the version sends either.
fn tag_beside(version: &str, beside: &impl serde::Serialize) -> String {
    // Names, numbers and times are always written.
    let beside = serde_json::to_string(beside).unwrap_or_default();
    format!("{version}.{:08x}", stockade_model::hash::stable64(&beside) >> 32)
}

/// The version in such a tag; versions are hexadecimal.
fn version_in(tag: &str) -> &str {
    tag.split_once('.').map_or(tag, |(version, _)| version)
}

/// The thing and the verb of a path such as `d-1-7-1:release`. Its verbs are a table, so that a list of all calls knows
/// them too.
fn verb<'a, V: Copy>(path: &'a str, verbs: &[(&'static str, V)]) -> Result<(&'a str, V), Problem> {
    let (thing, verb) = path.rsplit_once(':').unwrap_or((path, ""));
    let found = verbs.iter().find(|(name, _)| *name == verb).map(|(_, verb)| (thing, *verb));
    found.ok_or_else(|| {
        let names: Vec<String> = verbs.iter().map(|(name, _)| format!(":{name}")).collect();
        missing("no_such_verb", &format!("the verbs here are {}", names.join(", ")))
    })
}

/// Does what walks all vectors or the whole index, off the threads that answer.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "impact_failed", "try again");
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// Refuses an empty text: it would be a set without rules, or no features, and most likely the file was forgotten.
fn not_forgotten(source: &str) -> Result<(), Problem> {
    if !source.trim().is_empty() {
        return Ok(());
    }
    let detail = "the body is empty; send the file as the body, such as with curl --data-binary @my.yaml";
    Err(Problem::new(StatusCode::BAD_REQUEST, "empty_body", detail))
}

/// Whether the caller has seen what is in force.
fn unchanged(headers: &HeaderMap, current: &str, path: &str) -> Result<(), Problem> {
    let mut expected = precondition(headers)?;
    for tag in expected.matches.iter_mut().flatten() {
        tag.truncate(version_in(tag).len());
    }
    match expected.matches {
        None => {
            let detail =
                format!("send If-Match with the ETag of GET {path}, so that nobody's change is overwritten");
            Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if_match_required", detail))
        }
        Some(_) if !expected.holds(Some(current)) => {
            let code = if path == "/v1/rules" { "rules_changed" } else { "features_changed" };
            let detail = format!("the one in force is {current}; read it, merge, and send its tag");
            Err(Problem::new(StatusCode::PRECONDITION_FAILED, code, detail))
        }
        Some(_) => Ok(()),
    }
}

/// A body that says nothing but why.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    reason: Reason,
}
