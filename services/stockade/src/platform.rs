//! Every service in one process: folds, followers and the API, over one log.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{Extension, Router, extract::DefaultBodyLimit, middleware};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use stockade_fold::{Board, Fold, Gate, Spec, Worker};
use stockade_inventory::{app::App, domain::Inventory};
use stockade_lockout::{
    ChangeRefusal, Decisions,
    http::{Enacted, LockoutApi, publish_rules},
};
use stockade_log::{Clock, Event, Mode, ReadLimit, SharedLog, TopicSpec};
use stockade_model::{Level, Payload, ScoreRecord, SupplierId, Topic};
use stockade_quarantine::QuarantineStore;
use stockade_rules::RuleSet;
use stockade_runtime::{KeyRing, Limits, LimitsConfig, Problem, Shutdown, http, shutdown::BUDGET};
use stockade_supplier_scoring::{
    Edge, FeatureSet, Intake, IntakeEffect, Links, Peers, Scoring, ScoringEffect, intake_spec, links_spec,
    peers_spec, scoring_spec, vocabulary,
};
use tokio::{sync::oneshot, task::JoinSet};

mod lockout;
mod progress;

use crate::figures::ScoringFigures;
use lockout::{follow_suppliers, lockout_api, start_lockout};
use progress::Watched;

/// How often retention is applied and quiet callers are forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// How often the key file is looked at.
const KEY_RELOAD: Duration = Duration::from_secs(2);

/// Which services this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The supplier and buyer API, the index and the overlay.
    pub inventory: bool,
    /// Intake, windows and scores.
    pub scoring: bool,
    /// Control, rules, the arbiter, the quarantine writer and the analysts' API.
    pub lockout: bool,
}

impl Roles {
    /// All of them.
    pub const ALL: Roles = Roles { inventory: true, scoring: true, lockout: true };
}

/// What a platform is made of.
pub struct Parts {
    /// Which services run here.
    pub roles: Roles,
    /// Whether other processes may run the same services over the same log.
    pub shared_log: bool,
    /// The log, with all topics.
    pub log: SharedLog,
    /// The time.
    pub clock: Clock,
    /// Partitions of supplier-keyed topics.
    pub lanes: u32,
    /// What is in force, for other systems.
    pub quarantine: Arc<dyn QuarantineStore>,
    /// Who may call.
    pub keys: KeyRing,
    /// How often.
    pub limits: LimitsConfig,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// How long a write waits for its outcome before it is answered with a link to it.
    pub answer_deadline: Duration,
    /// Differs from start to start.
    pub instance: String,
}

/// A running platform.
pub struct Platform {
    /// The inventory service, if it runs here.
    pub app: Option<Arc<App>>,
    /// The lockout service, if it runs here.
    pub lockout: Option<LockoutApi>,
    /// The API, with keys and limits in place.
    pub router: Router,
    readiness: http::Readiness,
    board: Board,
    watched: Arc<[Watched]>,
    tasks: JoinSet<Result<()>>,
    shutdown: Shutdown,
    log: SharedLog,
}

/// What the analysts' view of a supplier is made of.
#[derive(Default)]
struct RiskData {
    scores: FxHashMap<SupplierId, ScoreRecord>,
    /// Known where the scoring service runs in this process.
    links: FxHashMap<SupplierId, Vec<Edge>>,
}

type Scores = Arc<RwLock<RiskData>>;

/// The inventory service, once it runs in this process.
type Stock = Arc<OnceLock<Arc<App>>>;

/// What a topic should be, when the supplier-keyed ones have `lanes` partitions.
pub fn topic_spec(topic: Topic, lanes: u32) -> TopicSpec {
    TopicSpec { name: topic.name(), partitions: topic.partitions(lanes), retention_ms: topic.retention_ms() }
}

/// Creates all topics, or checks the existing ones.
pub fn ensure_topics(log: &SharedLog, lanes: u32) -> Result<()> {
    for topic in Topic::ALL {
        log.ensure_topic(&topic_spec(topic, lanes)).with_context(|| format!("topic {}", topic.name()))?;
    }
    Ok(())
}

/// Runs the folds of one kind as a task.
struct Runner<'a> {
    tasks: &'a mut JoinSet<Result<()>>,
    log: SharedLog,
    clock: Clock,
    board: Board,
    shutdown: Shutdown,
    /// What runs here, for the figures of how far it is.
    watched: Vec<Watched>,
}

impl Runner<'_> {
    fn fold<F: Fold>(
        &mut self,
        spec: Spec,
        make: impl Fn(u32) -> F + Send + 'static,
        sink: impl FnMut(u32, Vec<F::Effect>) + Send + 'static,
    ) -> Result<()> {
        let worker = Worker::join(spec, self.log.clone(), make)?;
        self.watched.push(Watched::fold(&spec));
        let run = stockade_fold::run(
            worker,
            self.log.clone(),
            self.clock.clone(),
            self.board.clone(),
            sink,
            self.shutdown.wait(),
        );
        // A thread of its own: what blocks a fold, restoring above all, must not hold up the API.
        let (ended, end) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let work = move || drop(ended.send(runtime.block_on(run)));
        std::thread::Builder::new().name(format!("fold-{}", spec.name)).spawn(work)?;
        self.tasks.spawn(async move { Ok(end.await.context("a fold panicked")??) });
        Ok(())
    }
}

impl Platform {
    /// Starts what the roles ask for; `witness` is told of each decision as it reaches the overlay.
    pub async fn start(
        parts: Parts,
        shutdown: Shutdown,
        witness: stockade_inventory::app::Witness,
    ) -> Result<Self> {
        let roles = parts.roles;
        let Parts { log, clock, lanes, quarantine, keys, instance, .. } = parts;
        let vocabulary = vocabulary();
        let limits = Limits::new(&parts.limits);
        let board = Board::default();
        let mut tasks = JoinSet::new();
        let mut runner = Runner {
            tasks: &mut tasks,
            log: log.clone(),
            clock: clock.clone(),
            board: board.clone(),
            shutdown: shutdown.clone(),
            watched: Vec::new(),
        };
        let mut router = Router::new();
        let scores = Scores::default();

        if roles.scoring {
            start_scoring(&mut runner, lanes, scores.clone(), !parts.shared_log)?;
        }
        let mut gate = Gate::new(board.clone());
        let (mut lockout, stock) = (None, Stock::default());
        if roles.lockout {
            let api =
                lockout_api(&log, lanes, &vocabulary, &limits, (scores.clone(), stock.clone()), &instance);
            gate.add(&log, "control", Topic::Control, lanes)?;
            gate.add(&log, "evaluation", Topic::SupplierScores, lanes)?;
            gate.add(&log, "arbiter", Topic::LockoutProposals, lanes)?;
            start_lockout(&mut runner, lanes, &api)?;
            let writer = stockade_lockout::write_quarantine(log.clone(), quarantine, shutdown.wait());
            runner.tasks.spawn(async move { Ok(writer.await?) });
            runner.tasks.spawn(follow_for_view(log.clone(), api.decisions.clone(), shutdown.clone()));
            runner.tasks.spawn(follow_suppliers(log.clone(), api.suppliers.clone(), shutdown.clone()));
            if parts.shared_log || !roles.scoring {
                runner.tasks.spawn(follow_scores(log.clone(), lanes, scores, shutdown.clone()));
            }
            lockout = Some(api);
        }
        let gate = Arc::new(gate);
        if let Some(api) = &lockout {
            let gate = gate.clone();
            let caught_up: http::Readiness = Arc::new(move || gate.open());
            let reads = middleware::from_fn_with_state(caught_up, http::reads_when_caught_up);
            router = router.merge(stockade_lockout::http::router(api.clone()).layer(reads));
        }
        let mut app = None;
        if roles.inventory {
            let service = Arc::new(App::new(
                log.clone(),
                clock.clone(),
                board.clone(),
                limits.clone(),
                lanes,
                instance,
                parts.answer_deadline,
            )?);
            let taker = service.clone();
            let spec = stockade_inventory::inventory_spec(lanes);
            runner.fold(spec, |_| Inventory::default(), move |_, effects| taker.take(effects))?;
            let follow = {
                let (service, end) = (service.clone(), shutdown.wait());
                async move { Ok(service.follow_decisions(witness, end).await?) }
            };
            runner.tasks.spawn(follow);
            runner.watched.push(Watched::overlay());
            router = router.merge(stockade_inventory::http::router(service.clone()));
            // Set once, so it cannot be taken.
            let _ = stock.set(service.clone());
            app = Some(service);
        }
        let watched: Arc<[Watched]> = std::mem::take(&mut runner.watched).into();
        tasks.spawn(progress::watch(watched.clone(), log.clone(), lanes, board.clone(), shutdown.clone()));
        tasks.spawn(housekeeping(log.clone(), clock, limits, keys.clone(), shutdown.clone()));

        let readiness: http::Readiness = {
            let app = app.clone();
            Arc::new(move || {
                gate.open()?;
                app.as_ref().map_or(Ok(()), |app| app.ready())
            })
        };
        let api = router
            .fallback(http::not_found)
            .method_not_allowed_fallback(http::wrong_method)
            .layer(Extension(keys))
            .layer(DefaultBodyLimit::max(parts.body_bytes_max))
            .layer(middleware::from_fn(http::observe));
        let router = api.merge(http::probes(readiness.clone()));
        Ok(Self { app, lockout, router, readiness, board, watched, tasks, shutdown, log })
    }

    /// Whether this process is ready, and if not, why.
    pub fn readiness(&self) -> http::Readiness {
        self.readiness.clone()
    }

    /// Publishes `source` unless it is in force already.
    pub async fn ensure_rules(&self, source: &str, actor: &str) -> Result<()> {
        let lockout = self.lockout.as_ref().context("rules are published where the lockout service runs")?;
        if lockout.rules.current().0 == RuleSet::version_of(source) {
            return Ok(());
        }
        match publish_rules(lockout, actor, source).await {
            // It passes through scoring, which may not run yet; nothing is lost by that and nobody is waiting here.
            Err(pending) if pending.code == "rules_pending" => {
                tracing::warn!("the rule set is durable and comes into force when the scoring service runs");
                Ok(())
            }
            Err(waiting) if waiting.code == ChangeRefusal::DraftWaits.code() => {
                tracing::warn!(detail = waiting.detail, "the rule set of this start was not proposed");
                Ok(())
            }
            Ok(Enacted::Draft(draft)) => {
                tracing::warn!(draft, "four eyes are on: the rule set of this start waits for approval");
                Ok(())
            }
            other => other.map(|_| ()).map_err(|refused| problem(&refused)),
        }
    }

    /// Waits until everything here has reached the log ends seen at start.
    pub async fn until_ready(&self) {
        while (self.readiness)().is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Resolves when a task has failed; a healthy platform never resolves it before shutdown.
    pub async fn until_failed(&mut self) -> Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok(())) if self.shutdown.begun() => {}
                Ok(Ok(())) => anyhow::bail!("a task ended although nobody asked it to"),
                Ok(Err(error)) => return Err(error),
                Err(panic) => anyhow::bail!("a task panicked: {panic}"),
            }
        }
        Ok(())
    }

    /// Ends everything within the budget; folds flush on their way out.
    pub async fn stop(mut self) -> Result<()> {
        self.shutdown.begin();
        let ended = tokio::time::timeout(BUDGET, self.until_failed()).await;
        ended.with_context(|| format!("tasks were still running after {BUDGET:?}"))??;
        let log = self.log.clone();
        Ok(tokio::task::spawn_blocking(move || log.close()).await??)
    }

    /// `/metrics` with the figures that only show when asked for.
    pub fn metrics_router(&self, handle: PrometheusHandle) -> Router {
        let (app, board, log) = (self.app.clone(), self.board.clone(), self.log.clone());
        let watched = self.watched.clone();
        http::metrics_route(handle, move || {
            if let Some(app) = &app {
                refresh_inventory_metrics(app);
            }
            progress::refresh_lag(&watched, &board, &log);
        })
    }
}

/// A problem as an error of the command line.
pub fn problem(problem: &Problem) -> anyhow::Error {
    anyhow::anyhow!("{} ({})", problem.detail, problem.code)
}

/// `keep` says whether scores are kept here, or followed from the log by whoever needs them.
fn start_scoring(runner: &mut Runner<'_>, lanes: u32, scores: Scores, keep: bool) -> Result<()> {
    runner.fold(
        intake_spec(lanes),
        |_| Intake::default(),
        |_, effects: Vec<IntakeEffect>| {
            metrics::counter!("stockade_scoring_duplicate_events_total").increment(effects.len() as u64);
        },
    )?;
    runner.fold(peers_spec(lanes), |_| Peers::default(), |_, _| {})?;
    runner.fold(links_spec(lanes), |_| Links::default(), |_, _| {})?;
    let features = FeatureSet::default_set();
    let mut figures = ScoringFigures::new(&features);
    runner.fold(
        scoring_spec(lanes),
        move |_| Scoring::new(&features),
        move |_, effects: Vec<ScoringEffect>| {
            let mut made = Vec::with_capacity(effects.len());
            for effect in effects {
                figures.see(&effect);
                match effect {
                    ScoringEffect::Scored(record) => made.push((record.supplier.clone(), record)),
                    ScoringEffect::Linked(supplier, edges) => {
                        scores.write().links.insert(supplier, edges);
                    }
                    ScoringEffect::ChampionInForce(_) => {}
                    ScoringEffect::FeaturesInForce(features) => {
                        tracing::info!(version = features.version, "features in force in a partition");
                    }
                }
            }
            if keep {
                scores.write().scores.extend(made);
            }
        },
    )
}

/// Records of each partition of `supplier.scores` that a lockout replica looks back on for its view of scores.
const SCORES_BACK: u64 = 20_000;

/// Keeps the last score of each supplier for the analysts' view, where the scoring fold runs elsewhere.
async fn follow_scores(log: SharedLog, lanes: u32, scores: Scores, shutdown: Shutdown) -> Result<()> {
    let topic = Topic::SupplierScores.name();
    let mut consumer = log.join("score-view", topic, Mode::Follow)?;
    let starts: Vec<u64> = (0..lanes)
        .map(|lane| {
            let bounds = log.bounds(topic, lane)?;
            Ok(bounds.end.saturating_sub(SCORES_BACK).max(bounds.first))
        })
        .collect::<Result<_>>()?;
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        match consumer.try_next(ReadLimit::default())? {
            Some(Event::Assigned { partition, .. }) => consumer.seek(partition, starts[partition as usize]),
            Some(Event::Batch { records, .. }) => {
                let mut scores = scores.write();
                for record in records {
                    let kind = record.headers.iter().find(|(name, _)| name.as_ref() == "ce_type");
                    let kind = kind.and_then(|(_, kind)| std::str::from_utf8(kind).ok()).unwrap_or("");
                    // What does not decode is dead-lettered by the fold that reads it.
                    if let Ok(Payload::Score(score)) = Payload::decode(kind, &record.value) {
                        scores.scores.insert(score.supplier.clone(), score);
                    }
                }
            }
            None => tokio::select! {
                biased;
                () = &mut end => return Ok(()),
                () = consumer.wait() => {}
            },
        }
    }
}

async fn follow_for_view(log: SharedLog, view: Decisions, shutdown: Shutdown) -> Result<()> {
    let each = move |batch: Vec<stockade_fold::Tailed>| {
        for tailed in batch {
            if let Ok(Payload::Decision(decision)) = tailed.payload {
                view.add(tailed.offset, decision);
            }
        }
        std::future::ready(())
    };
    Ok(stockade_fold::tail(log, "decision-view", Topic::LockoutDecisions, 0, each, shutdown.wait()).await?)
}

async fn housekeeping(
    log: SharedLog,
    clock: Clock,
    limits: Limits,
    keys: KeyRing,
    shutdown: Shutdown,
) -> Result<()> {
    let (mut keys_at, mut rest_at) = (tokio::time::interval(KEY_RELOAD), tokio::time::interval(HOUSEKEEPING));
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = keys_at.tick() => if let Err(error) = keys.reload() {
                tracing::warn!(%error, "the key file cannot be read; the keys known so far stay valid");
            },
            _ = rest_at.tick() => {
                limits.evict();
                let (log, now_ms) = (log.clone(), clock());
                let trimmed = tokio::task::spawn_blocking(move || log.trim(now_ms)).await?;
                metrics::counter!("stockade_log_records_expired_total").increment(trimmed?);
            }
        }
    }
}

/// Figures that are cheaper to take when asked for than to keep.
fn refresh_inventory_metrics(app: &App) {
    let by_level = app.overlay.suppliers_by_level();
    for level in Level::ALL {
        let count = by_level.get(&level).copied().unwrap_or(0);
        metrics::gauge!("stockade_lockout_suppliers", "level" => level.as_str()).set(count as f64);
    }
    let (listings, units) = app.index.withheld(&app.overlay);
    metrics::gauge!("stockade_inventory_withheld_listings").set(listings as f64);
    metrics::gauge!("stockade_inventory_withheld_units").set(units as f64);
    metrics::gauge!("stockade_inventory_listings").set(app.index.listings() as f64);
    metrics::gauge!("stockade_inventory_units").set(app.index.units() as f64);
    metrics::gauge!("stockade_inventory_staleness_seconds").set(app.freshness().1 as f64 / 1_000.0);
    let applied_ms = app.overlay.applied_ms();
    if applied_ms > 0 {
        let age_ms = (app.now().ms() - applied_ms).max(0);
        metrics::gauge!("stockade_inventory_overlay_age_seconds").set(age_ms as f64 / 1_000.0);
    }
}

/// A name for this start of this process, for record ids: time and process in base 36.
pub fn instance_name(now_ms: i64) -> String {
    format!("{}{}", base36(now_ms.unsigned_abs()), base36(u64::from(std::process::id())))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
    }
    digits.iter().rev().collect()
}

/// The quarantine file of a data directory.
pub fn quarantine_path(directory: &Path) -> std::path::PathBuf {
    directory.join("quarantine.jsonl")
}
