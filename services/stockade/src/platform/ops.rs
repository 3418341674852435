//! What operators ask of a process: how far its folds are, what was dead-lettered, what it is and how it is configured, and whether
//! the chain of decisions holds. Nothing here changes anything, but that a dead letter can be played again.

mod audit;
mod instances;
mod letters;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stockade_fold::Board;
use stockade_inventory::app::App;
use stockade_log::{Ack, LogError, Member, SharedLog};
use stockade_model::Timestamp;
use stockade_runtime::{
    Brownout, Edge, Limits, Operator, Params, Parsed, Path, Problem, Reason, Rung, Work,
    api::{Operation, Routes},
    http::Readiness,
};

use super::{
    Roles,
    progress::{Stalls, Watched},
};
use audit::{Audit, Verifier};
use instances::{FoldOf, Instances, Running};
use letters::{DeadLetters, LettersQuery, Played, Replays, Step};

/// The chapter of these calls.
pub(crate) const CHAPTER: &str = "Operations";

/// What the calls look at.
#[derive(Clone)]
pub(super) struct Ops(Arc<Inner>);

pub(super) struct Inner {
    pub(super) instance: String,
    pub(super) roles: Roles,
    pub(super) started_ms: i64,
    pub(super) shared_log: bool,
    pub(super) partitions: u32,
    pub(super) log: SharedLog,
    pub(super) board: Board,
    pub(super) watched: Arc<[Watched]>,
    pub(super) stalls: Stalls,
    pub(super) limits: Limits,
    /// Where suppliers and buyers are answered, for how much one may have.
    pub(super) app: Option<Arc<App>>,
    pub(super) brownout: Brownout,
    pub(super) readiness: Readiness,
    /// As it was at the start. Secrets are redacted by the types that hold them.
    pub(super) configuration: Value,
}

/// The state of a router: what is looked at, and the verification under way.
#[derive(Clone)]
pub(super) struct Desk {
    ops: Ops,
    verifier: Verifier,
    replays: Replays,
    /// Who took part when it was looked at last; whoever asks meanwhile waits for that answer.
    members: Arc<tokio::sync::Mutex<Option<Kept>>>,
}

/// The members of all groups at a moment; none where the log is embedded.
struct Kept {
    at: Instant,
    members: Option<Vec<Member>>,
}

impl Edge for Desk {
    fn limits(&self) -> &Limits {
        &self.ops.0.limits
    }
}

/// The process that answers.
#[derive(Serialize, JsonSchema)]
struct Instance {
    /// Its name, other at each start.
    instance: String,
    /// The version of the program.
    version: &'static str,
    /// What runs in it: of `inventory`, `scoring` and `lockout`, or `replica`.
    roles: Vec<&'static str>,
    /// `embedded` or `kafka`. Only with Kafka may there be other processes; each answers for itself.
    log: &'static str,
    started_at: Timestamp,
    /// Whether it is ready.
    ready: bool,
    /// Why it is not; null while it is.
    waits_for: Option<String>,
    /// What is put off at the moment: everything up to this rung of the ladder.
    puts_off: Rung,
    /// The configuration in effect, secrets as `***`; null where there is none, as in a demo. What waits for a restart is not in it.
    configuration: Value,
}

/// How far the folds of this process are.
#[derive(Serialize, JsonSchema)]
struct Partitions {
    partitions: Vec<Place>,
}

/// One partition of what goes through a topic.
#[derive(Serialize, JsonSchema)]
struct Place {
    /// What goes through it.
    fold: &'static str,
    /// What it reads.
    topic: &'static str,
    partition: u32,
    /// The offset that is written next.
    end: u64,
    /// Everything before this offset is applied by this process; null where it has not begun.
    applied: Option<u64>,
    /// Everything before this offset is committed, by whichever process; null for what commits nothing.
    committed: Option<u64>,
    /// Records that this process has not applied yet; null where it has not begun.
    lag: Option<u64>,
    /// The time of the last record applied; null before the first.
    at: Option<Timestamp>,
    /// What of suppliers' writes to this partition is put off; null where it is none of theirs.
    puts_off: Option<Rung>,
    /// For how long there has been input of which nothing was committed, in seconds.
    stalled_seconds: f64,
}

/// What is said beside a dead letter that is to be played again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayDeadLetter")]
struct Replay {
    reason: Reason,
}

/// A dead letter whose record was played again.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplayedDeadLetter")]
struct Replayed {
    /// Where the letter lies.
    letter: u64,
    /// Who asked for it, the first time.
    replayed: Played,
    /// Whether that was before, so that nothing was done now.
    again: bool,
}

/// For how long one answer about members of groups is given to all: on Kafka it is asked of the whole cluster, and each page that
/// shows it asks again and again.
const MEMBERS_KEPT: Duration = Duration::from_secs(5);
/// How long a record that is played again waits for the log's word.
const APPEND_DEADLINE: Duration = Duration::from_secs(5);

/// The calls with their declarations.
pub(super) fn routes() -> Routes<Desk> {
    Routes::default()
        .add(
            Operation::get("/v1/ops/instance", "getInstance", "The process that answers, and its configuration")
                .about("Secrets are never shown. Behind a balancer another process may answer the next time.")
                .tag(CHAPTER)
                .answers::<Instance>(StatusCode::OK, "What it is."),
            instance,
        )
        .add(
            Operation::get("/v1/ops/partitions", "listPartitions", "How far each partition is")
                .about("Of the folds that run in the process that answers.")
                .tag(CHAPTER)
                .answers::<Partitions>(StatusCode::OK, "Each partition of each fold.")
                .fails(&["log_unavailable"]),
            partitions,
        )
        .add(
            Operation::get("/v1/ops/dead-letters", "listDeadLetters", "What could not be processed, and where it came from")
                .about("The newest first. Values are as they were sent and may name people.")
                .tag(CHAPTER)
                .answers::<DeadLetters>(StatusCode::OK, "A page of them.")
                .fails(&["log_unavailable"]),
            dead_letters,
        )
        .add(
            Operation::post("/v1/ops/dead-letters/{letter}:replay", "replayDeadLetter", "Plays the record of a dead letter again")
                .about(
                    "Its record is appended once more where it had been read: for what a later build can read. Only what callers sent; a \
                     supplier's write only within 24 hours, for as long inventory knows it again. Once for each record, unless two \
                     processes are asked at the same moment. If it fails again, that is another dead letter.",
                )
                .tag(CHAPTER)
                .answers::<Replayed>(StatusCode::OK, "It is durable.")
                .fails(&["no_such_verb", "no_such_letter", "letter_derived", "letter_stale", "record_gone", "invalid_request"])
                .fails(&["log_unavailable", "log_unconfirmed", "disk_full"]),
            replay,
        )
        .add(
            Operation::get("/v1/ops/instances", "listInstances", "The processes that run now")
                .about("On Kafka, those that take part in its groups, as of at most five seconds ago; an embedded log has one.")
                .tag(CHAPTER)
                .answers::<Instances>(StatusCode::OK, "Each with its folds and partitions.")
                .fails(&["log_unavailable"]),
            list_instances,
        )
        .add(
            Operation::get("/v1/ops/audit", "getAudit", "What the last verification of the chain of decisions found")
                .tag(CHAPTER)
                .answers::<Audit>(StatusCode::OK, "How far it is, or what it found."),
            audit,
        )
        .add(
            Operation::post("/v1/ops/audit:verify", "verifyAudit", "Verifies the chain of all decisions")
                .work(Work::Analysis)
                .about("It reads every decision from the first on, in the background; one verification at a time.")
                .tag(CHAPTER)
                .answers::<Audit>(StatusCode::ACCEPTED, "It is under way."),
            verify,
        )
}

/// What the calls are declared as.
pub(crate) fn operations() -> Vec<Operation> {
    routes().operations()
}

/// The calls over `inner`.
pub(super) fn router(inner: Inner) -> Router {
    let verifier = Verifier::new(inner.log.clone());
    let (ops, replays, members) = (Ops(Arc::new(inner)), Replays::default(), Arc::default());
    routes().router().with_state(Desk { ops, verifier, replays, members })
}

async fn instance(State(desk): State<Desk>, _: Operator) -> Response {
    let of = &desk.ops.0;
    let waits_for = (of.readiness)().err();
    Json(Instance {
        instance: of.instance.clone(),
        version: env!("CARGO_PKG_VERSION"),
        roles: of.roles.names(),
        log: if of.shared_log { "kafka" } else { "embedded" },
        started_at: Timestamp::from_ms(of.started_ms),
        ready: waits_for.is_none(),
        waits_for,
        puts_off: of.brownout.rung(),
        configuration: of.configuration_in_force(),
    })
    .into_response()
}

impl Inner {
    /// The configuration of the start, with what has changed since and is in force.
    fn configuration_in_force(&self) -> Value {
        let mut configuration = self.configuration.clone();
        if let Some(limits) = configuration.get_mut("limits") {
            *limits = serde_json::to_value(self.limits.in_force()).unwrap_or_default();
        }
        if let (Some(app), Some(edge)) = (&self.app, configuration.get_mut("edge")) {
            let bounds = app.gate_of_edge.bounds();
            edge["listings_max"] = bounds.listings_max.into();
            edge["new_listings_max"] = bounds.new_listings_max.into();
            edge["locations_max"] = bounds.locations_max.into();
        }
        if let (Some(app), Some(buyers)) = (&self.app, configuration.pointer_mut("/edge/buyers")) {
            *buyers = serde_json::to_value(app.buyers_in_force()).unwrap_or_default();
        }
        configuration
    }
}

/// Reads of the log block.
async fn reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, Problem> {
    let unavailable = |detail: String| Problem::unavailable("log_unavailable", detail);
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(unavailable(error.to_string())),
        Err(_) => Err(unavailable("the log could not be read; ask again".to_owned())),
    }
}

async fn partitions(State(desk): State<Desk>, _: Operator) -> Result<Response, Problem> {
    let ops = desk.ops;
    let partitions = reading(move || places(&ops.0)).await?;
    Ok(Json(Partitions { partitions }).into_response())
}

fn places(of: &Inner) -> Result<Vec<Place>, LogError> {
    let applied: std::collections::HashMap<_, _> =
        of.board.all().into_iter().map(|(fold, partition, progress)| ((fold, partition), progress)).collect();
    let stalls = of.stalls.lock().clone();
    let mut places = Vec::new();
    for watched in of.watched.iter() {
        for partition in 0..watched.input().partitions(of.partitions) {
            let at = (watched.name(), partition);
            let end = of.log.horizon(watched.input().name(), partition).end;
            let progress = applied.get(&at);
            places.push(Place {
                fold: watched.name(),
                topic: watched.input().name(),
                partition,
                end,
                applied: progress.map(|progress| progress.next),
                committed: watched.committed(partition, &of.log)?,
                lag: progress.map(|progress| end.saturating_sub(progress.next)),
                at: progress.map(|progress| progress.clock).filter(|clock| *clock != Timestamp::default()),
                puts_off: (watched.name() == "inventory").then(|| of.brownout.rung_of(partition)),
                stalled_seconds: stalls.get(&at).copied().unwrap_or(0) as f64 / 1_000.0,
            });
        }
    }
    Ok(places)
}

async fn dead_letters(
    State(desk): State<Desk>,
    _: Operator,
    Params(query): Params<LettersQuery>,
) -> Result<Response, Problem> {
    let page = reading(move || letters::page(&desk.ops.0.log, &desk.replays, &query)).await?;
    Ok(Json(page).into_response())
}

async fn replay(
    State(desk): State<Desk>,
    Operator(by): Operator,
    Path(path): Path<String>,
    Parsed(Replay { reason }): Parsed<Replay>,
) -> Result<Response, Problem> {
    let missing = |code, detail| Problem::new(StatusCode::NOT_FOUND, code, detail);
    let letter =
        path.strip_suffix(":replay").ok_or_else(|| missing("no_such_verb", "the verb here is :replay"))?;
    let letter: u64 =
        letter.parse().map_err(|_| missing("no_such_letter", "dead letters are named by numbers"))?;
    let reason = reason.said()?;
    let played = Played::now(&by.id, &reason);
    let _turn = desk.replays.turn.lock().await;
    let log = desk.ops.0.log.clone();
    let now_ms = stockade_runtime::clock::now_ms();
    let step = {
        let (replays, log, actor) = (desk.replays.clone(), log.clone(), by.id.clone());
        reading(move || letters::prepare(&log, &replays, letter, (actor.as_str(), reason.as_str()), now_ms))
            .await??
    };
    let records = match step {
        Step::Done(replayed) => return Ok(Json(Replayed { letter, replayed, again: true }).into_response()),
        Step::Append(records) => records,
    };
    match tokio::time::timeout(APPEND_DEADLINE, log.append(records, Ack::Durable)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error @ LogError::DiskFull { .. })) => return Err(Problem::disk_full(error.to_string())),
        Ok(Err(error)) => return Err(Problem::unavailable("log_unavailable", error.to_string())),
        Err(_) => {
            let detail =
                "the log did not confirm it in time; look at the list of dead letters before you ask again";
            return Err(Problem::unavailable("log_unconfirmed", detail));
        }
    }
    tracing::info!(letter, actor = by.id, "a dead letter is played again");
    Ok(Json(Replayed { letter, replayed: played, again: false }).into_response())
}

async fn list_instances(State(desk): State<Desk>, _: Operator) -> Result<Response, Problem> {
    let members = {
        let mut kept = desk.members.lock().await;
        match kept.as_ref().filter(|kept| kept.at.elapsed() < MEMBERS_KEPT) {
            Some(kept) => kept.members.clone(),
            None => {
                let log = desk.ops.0.log.clone();
                let members = reading(move || log.members()).await?;
                *kept = Some(Kept { at: Instant::now(), members: members.clone() });
                members
            }
        }
    };
    if let Some(members) = members {
        return Ok(Json(instances::by_instance(members)).into_response());
    }
    let of = &desk.ops.0;
    let mut folds: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (fold, partition, _) in of.board.all() {
        folds.entry(fold).or_default().push(partition);
    }
    let folds = folds.into_iter().map(|(fold, mut partitions)| {
        partitions.sort_unstable();
        FoldOf { fold: fold.to_owned(), partitions }
    });
    let this = Running {
        instance: of.instance.clone(),
        host: None,
        here: true,
        roles: of.roles.names(),
        folds: folds.collect(),
    };
    Ok(Json(Instances { instances: vec![this] }).into_response())
}

async fn audit(State(desk): State<Desk>, _: Operator) -> Response {
    Json(desk.verifier.state()).into_response()
}

async fn verify(State(desk): State<Desk>, _: Operator) -> Response {
    (StatusCode::ACCEPTED, Json(desk.verifier.begin())).into_response()
}
