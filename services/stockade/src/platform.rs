//! Every service in one process: folds, followers and the API, over one log.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    config::EdgeConfig,
    threads::{nice_of_fold, stand_back},
};
use anyhow::{Context as _, Result};
use axum::{Extension, Router, extract::Request, middleware, response::IntoResponse as _};
use metrics_exporter_prometheus::PrometheusHandle;
use stockade_console::{Console, Hub};
use stockade_fold::{Board, Fold, Gate, Spec, Worker};
use stockade_inventory::{
    app::App,
    domain::Inventory,
    edge::Gatekeeper,
    imports::{self, Imports, ImportsConfig},
    promises::Promises,
    replica::{self, ReplicaBounds},
};
use stockade_lockout::{
    ChangeRefusal,
    http::{Enacted, LockoutApi, publish_rules},
};
use stockade_log::{Clock, Mode, SharedLog, TopicSpec};
use stockade_model::Topic;
use stockade_quarantine::QuarantineStore;
use stockade_rules::RuleSet;
use stockade_runtime::{
    BodyBytesMax, BodyRoom, Brownout, Cors, KeyRing, Limits, LimitsConfig, Problem, Shutdown, api::Forms,
    http, shutdown::BUDGET, telemetry,
};
use stockade_supplier_scoring::{metrics::ModelsView, vocabulary};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet};

mod console;
mod housekeeping;
mod lockout;
pub(crate) mod ops;
mod pressure;
mod progress;
mod scoring;
pub mod standin;
mod views;
mod webhooks;

pub use console::ConsoleParts;
pub(crate) use console::Figures;
use housekeeping::housekeeping;
use lockout::{follow_suppliers, lockout_api, start_lockout};
use progress::{Stalls, Watched};
use scoring::start_scoring;
use views::{Scores, Stock, Views, follow_for_view, follow_scores};
pub use webhooks::WebhooksHere;
use webhooks::start_webhooks;

/// Which services this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The supplier and buyer API, the index and the overlay.
    pub inventory: bool,
    /// Intake, windows and scores.
    pub scoring: bool,
    /// Control, rules, the arbiter, the quarantine writer and the analysts' API.
    pub lockout: bool,
    /// Answers for buyers from a copy of another region's log; runs alone.
    pub replica: bool,
}

impl Roles {
    /// All of them.
    pub const ALL: Roles = Roles { inventory: true, scoring: true, lockout: true, replica: false };

    /// Their names.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let Roles { inventory, scoring, lockout, replica } = self;
        let named =
            [(inventory, "inventory"), (scoring, "scoring"), (lockout, "lockout"), (replica, "replica")];
        named.into_iter().filter(|(runs, _)| *runs).map(|(_, name)| name).collect()
    }
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
    pub partitions: u32,
    /// What is in force, for other systems.
    pub quarantine: Arc<dyn QuarantineStore>,
    /// Who may call.
    pub keys: KeyRing,
    /// How often.
    pub limits: LimitsConfig,
    /// What is promised of orders of which nothing was.
    pub promises: Promises,
    /// What holds where a replica of another region runs.
    pub replica: ReplicaBounds,
    /// What imports may take; there are none without a directory.
    pub imports: ImportsConfig,
    /// What webhooks may do, and the key that their secrets derive from; without it there are none.
    pub webhooks: Option<WebhooksHere>,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// How the edge is set up.
    pub edge: EdgeParts,
    /// Which pages may call.
    pub cors: Cors,
    /// How long a write waits for its outcome before it is answered with a link to it.
    pub answer_deadline: Duration,
    /// Differs from start to start.
    pub instance: String,
    /// What operators are shown of the configuration, secrets redacted; null where there is none.
    pub configuration: serde_json::Value,
    /// The console, where there is one.
    pub console: Option<ConsoleParts>,
}

/// How the edge of a platform is set up.
#[derive(Clone, Default)]
pub struct EdgeParts {
    /// What is bounded and put off.
    pub config: EdgeConfig,
    /// Runs what suppliers have taken in without waiting for it; the runtime that starts the platform when absent.
    pub suppliers: Option<Handle>,
    /// How much the threads of folds stand back, as `nice` counts it.
    pub folds_nice: i32,
}

/// A running platform.
pub struct Platform {
    /// The inventory service, if it runs here.
    pub app: Option<Arc<App>>,
    /// The lockout service, if it runs here.
    pub lockout: Option<LockoutApi>,
    /// The API, with keys and limits in place.
    pub router: Router,
    /// The limits in force, which may be replaced while it runs.
    pub limits: Limits,
    readiness: http::Readiness,
    figures: Figures,
    tasks: JoinSet<Result<()>>,
    shutdown: Shutdown,
    log: SharedLog,
}

/// What a topic should be, when the supplier-keyed ones have `partitions` partitions.
pub fn topic_spec(topic: Topic, partitions: u32) -> TopicSpec {
    TopicSpec {
        name: topic.name(),
        partitions: topic.partitions(partitions),
        retention_ms: topic.retention_ms(),
    }
}

/// Creates all topics, or checks the existing ones.
pub fn ensure_topics(log: &SharedLog, partitions: u32) -> Result<()> {
    ensure(log, Topic::ALL.map(|topic| topic_spec(topic, partitions)))
}

/// The same for a play that ends with its process: what was read by everybody is kept for as long as `kept_ms`.
pub(crate) fn ensure_passing_topics(log: &SharedLog, kept_ms: i64) -> Result<()> {
    let passing = |spec: TopicSpec| TopicSpec { retention_ms: spec.retention_ms.map(|_| kept_ms), ..spec };
    ensure(log, Topic::ALL.map(|topic| passing(topic_spec(topic, 1))))
}

fn ensure(log: &SharedLog, specs: impl IntoIterator<Item = TopicSpec>) -> Result<()> {
    specs
        .into_iter()
        .try_for_each(|spec| log.ensure_topic(&spec).with_context(|| format!("topic {}", spec.name)))
}

/// What every call passes before it reaches a service.
struct Edge {
    body_bytes_max: usize,
    bodies_bytes_max: usize,
    brownout: Brownout,
    keys: KeyRing,
}

impl Edge {
    fn in_front_of(self, api: Router) -> Router {
        api.method_not_allowed_fallback(http::wrong_method)
            // The first is outermost. Together, for each layer by itself is one more call that is boxed.
            .layer((
                http::Observer::default(),
                Extension(BodyBytesMax(self.body_bytes_max)),
                Extension(BodyRoom::new(self.bodies_bytes_max)),
                Extension(self.brownout),
                Extension(self.keys),
                Extension(Forms::of(&crate::openapi::operations())),
            ))
    }
}

/// Runs the folds of one kind as a task.
struct Runner<'a> {
    tasks: &'a mut JoinSet<Result<()>>,
    log: SharedLog,
    clock: Clock,
    board: Board,
    shutdown: Shutdown,
    /// How much the threads of folds stand back.
    nice: i32,
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
        self.watched.push(if spec.mode == Mode::Follow {
            Watched::follower(&spec)
        } else {
            Watched::fold(&spec)
        });
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
        let is_uncounted = telemetry::is_uncounted();
        let nice = nice_of_fold(spec.name, self.nice);
        let work = move || {
            if is_uncounted {
                telemetry::leave_uncounted();
            }
            stand_back(nice);
            drop(ended.send(runtime.block_on(run)));
        };
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
        let Parts { log, clock, partitions, quarantine, keys, instance, .. } = parts;
        let (vocabulary, name) = (vocabulary(), instance.clone());
        let limits = Limits::new(&parts.limits);
        let brownout = Brownout::new(&parts.edge.config.brownout, partitions);
        let hub = Hub::new(&instance);
        let board = Board::default();
        let mut tasks = JoinSet::new();
        let mut runner = Runner {
            tasks: &mut tasks,
            log: log.clone(),
            clock: clock.clone(),
            board: board.clone(),
            shutdown: shutdown.clone(),
            nice: parts.edge.folds_nice,
            watched: Vec::new(),
        };
        let mut router = Router::new();
        let scores = Scores::default();

        let models = ModelsView::default();
        if roles.scoring {
            start_scoring(&mut runner, partitions, scores.clone(), models.clone(), !parts.shared_log)?;
        }
        let mut gate = Gate::new(board.clone());
        let (mut lockout, mut hooks, stock) = (None, None, Stock::default());
        if roles.lockout {
            let api = lockout_api(
                &log,
                partitions,
                &vocabulary,
                &limits,
                Views {
                    scores: scores.clone(),
                    stock: stock.clone(),
                    models: roles.scoring.then_some(models),
                },
                &instance,
            );
            gate.add(&log, "control", Topic::Control, partitions)?;
            gate.add(&log, "evaluation", Topic::SupplierScores, partitions)?;
            gate.add(&log, "arbiter", Topic::LockoutProposals, partitions)?;
            gate.add(&log, "webhooks", Topic::Webhooks, partitions)?;
            start_lockout(&mut runner, partitions, &api)?;
            hooks =
                Some(start_webhooks(&mut runner, partitions, (&limits, &keys), parts.webhooks, &instance)?);
            let writer = stockade_lockout::write_quarantine(log.clone(), quarantine, shutdown.wait());
            runner.tasks.spawn(async move { Ok(writer.await?) });
            runner.tasks.spawn(follow_for_view(log.clone(), api.decisions.clone(), shutdown.clone()));
            runner.tasks.spawn(follow_suppliers(log.clone(), api.suppliers.clone(), shutdown.clone()));
            if parts.shared_log || !roles.scoring {
                runner.tasks.spawn(follow_scores(log.clone(), partitions, scores, shutdown.clone()));
            }
            lockout = Some(api);
        }
        let gate = Arc::new(gate);
        if let Some(api) = &lockout {
            let gate = gate.clone();
            let caught_up: http::Readiness = Arc::new(move || gate.open());
            let reads = middleware::from_fn_with_state(caught_up, http::reads_when_caught_up);
            let hooks = hooks.map(stockade_webhooks::router).unwrap_or_default();
            router = router.merge(stockade_lockout::http::router(api.clone()).merge(hooks).layer(reads));
        }
        let mut app = None;
        if roles.inventory || roles.replica {
            let service = App::new(
                log.clone(),
                clock.clone(),
                board.clone(),
                limits.clone(),
                partitions,
                instance,
                parts.answer_deadline,
            )?
            .with_promises(parts.promises)
            .with_edge(
                Gatekeeper::new(brownout.clone(), partitions, parts.edge.config.new_supplier_days)
                    .with_events_waiting_max(parts.edge.config.events_waiting_max),
            )
            .with_buyers(parts.edge.config.buyers.clone());
            service.gate_of_edge.set_bounds(parts.edge.config.bounds());
            let service = Arc::new(if roles.replica { service.as_replica(parts.replica) } else { service });
            // Streams never end by themselves, and would hold up the end of the process.
            let (changes, end) = (service.changes.clone(), shutdown.wait());
            tokio::spawn(async move {
                end.await;
                changes.close();
            });
            let taker = service.clone();
            let spec = if roles.replica {
                stockade_inventory::replica_spec(partitions)
            } else {
                stockade_inventory::inventory_spec(partitions)
            };
            runner.fold(
                spec,
                |_| Inventory::default(),
                move |partition, effects| taker.take_of(partition, effects),
            )?;
            let follow = {
                let (service, end) = (service.clone(), shutdown.wait());
                async move { Ok(service.follow_decisions(witness, end).await?) }
            };
            runner.tasks.spawn(follow);
            let (looking, end) = (service.clone(), shutdown.wait());
            runner.tasks.spawn(async move {
                if roles.replica {
                    looking.look_at_heartbeats(end).await;
                } else {
                    looking.look_after_baskets(end).await;
                }
                Ok(())
            });
            runner.watched.push(Watched::overlay());
            router = router.merge(if roles.replica {
                replica::router(service.clone())
            } else {
                stockade_inventory::http::router(service.clone())
            });
            if let Some(directory) = parts.imports.directory.clone().filter(|_| !roles.replica) {
                let opened = Imports::open(service.clone(), parts.imports, directory.clone());
                let of =
                    opened.with_context(|| format!("the directory of imports {}", directory.display()))?;
                router = router.merge(imports::router(of.clone()));
                let end = shutdown.clone();
                let run = async move {
                    of.run(end).await;
                    Ok(())
                };
                runner.tasks.spawn_on(run, parts.edge.suppliers.as_ref().unwrap_or(&Handle::current()));
            }
            // Set once, so it cannot be taken.
            let _ = stock.set(service.clone());
            app = Some(service);
        }
        let watched: Arc<[Watched]> = std::mem::take(&mut runner.watched).into();
        let stalls = Stalls::default();
        tasks.spawn(progress::watch(
            watched.clone(),
            log.clone(),
            partitions,
            board.clone(),
            stalls.clone(),
            shutdown.clone(),
        ));
        let readiness: http::Readiness = {
            let app = app.clone();
            Arc::new(move || {
                gate.open()?;
                app.as_ref().map_or(Ok(()), |app| app.serves())
            })
        };
        tasks.spawn(pressure::watch(
            pressure::Pressure {
                watched: watched.clone(),
                log: log.clone(),
                partitions,
                board: board.clone(),
                brownout: brownout.clone(),
                app: app.clone(),
                readiness: readiness.clone(),
            },
            shutdown.clone(),
        ));
        router = router.merge(ops::router(ops::Inner {
            brownout: brownout.clone(),
            instance: name,
            roles,
            started_ms: clock(),
            shared_log: parts.shared_log,
            partitions,
            log: log.clone(),
            board: board.clone(),
            watched: watched.clone(),
            stalls,
            limits: limits.clone(),
            app: app.clone(),
            readiness: readiness.clone(),
            configuration: parts.configuration,
        }));
        let figures = {
            let (app, board, log, watched) = (app.clone(), board.clone(), log.clone(), watched.clone());
            let refresh = move || {
                if let Some(app) = &app {
                    stockade_inventory::metrics::refresh(app);
                }
                progress::refresh_lag(&watched, &board, &log);
            };
            Figures { refresh: Arc::new(refresh), lockout: lockout.clone() }
        };
        let sessions = match parts.console {
            Some(of) => {
                if let Some(guide) = &of.guide {
                    hub.put("guide", guide);
                }
                let seen = console::sample(hub.clone(), of.figures, figures.clone(), shutdown.clone());
                tasks.spawn(seen);
                tasks.spawn(console::follow_for_console(log.clone(), hub.clone(), shutdown.clone()));
                router =
                    router.merge(stockade_console::router(Console::new(hub, of.links, of.sessions.clone())));
                Some(of.sessions)
            }
            None => None,
        };
        tasks.spawn(housekeeping(log.clone(), clock, limits.clone(), keys.clone(), shutdown.clone()));

        let replica_of = app.clone().filter(|_| roles.replica);
        let not_here = move |request: Request| async move {
            match replica_of {
                Some(app) => replica::elsewhere(app, request).await,
                None => http::not_found().await.into_response(),
            }
        };
        let api = router.merge(crate::openapi::router()?).fallback(not_here);
        let api = Edge {
            body_bytes_max: parts.body_bytes_max,
            bodies_bytes_max: parts.edge.config.bodies_bytes_max,
            brownout,
            keys,
        }
        .in_front_of(api);
        let api = match sessions {
            Some(sessions) => api.layer(Extension(sessions)),
            None => api,
        };
        // Outside of all that: a preflight bears no key.
        let api = match parts.cors.layer() {
            Some(cors) => api.layer(cors),
            None => api,
        };
        let router = api.merge(http::probes(readiness.clone()).router());
        Ok(Self { app, lockout, router, limits, readiness, figures, tasks, shutdown, log })
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
        let refresh = self.figures.refresh.clone();
        http::metrics_route(handle, move || refresh()).router()
    }

    /// The figures of this process.
    pub(crate) fn figures(&self) -> Figures {
        self.figures.clone()
    }
}

/// A problem as an error of the command line.
pub fn problem(problem: &Problem) -> anyhow::Error {
    anyhow::anyhow!("{} ({})", problem.detail, problem.code)
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
