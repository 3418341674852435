//! `stockade serve`.

use crate::output::say;
use std::{path::PathBuf, sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::{Context as _, Result};
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use stockade_console::Links;
use stockade_inventory::{
    app::App,
    picture::{Picture, Pictures},
};
use stockade_lockout::STARTER_RULES;
use stockade_log::{LogError, ReadLimit, SharedLog};
use stockade_model::{Payload, Topic};
use stockade_runtime::{
    Connections, KeyRing, Lane, Lanes, Limits, Listener, Sessions, Shutdown, clock, server, shutdown::BUDGET,
    telemetry,
};
use stockade_webhooks::Master;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    address::Address,
    config::{Config, Place},
    connect, console, disk, figures,
    first::{self, First, Opening},
    hot, open_files,
    platform::{
        ConsoleParts, EdgeParts, Parts, Platform, Roles, WebhooksHere, instance_name,
        standin::{Exchange, Standin, StandinParts},
    },
    sandbox::Sandbox,
    threads::{Threads, stand_back},
};

/// Connections that the listener of probes and metrics keeps.
const ADMIN_CONNECTIONS_MAX: usize = 256;

/// How often it is looked whether a mirror has begun to make a copy.
const NO_COPY: Duration = Duration::from_secs(1);
/// How often it is looked whether there is a whole copy of the origin's log.
const FIRST_COPY: Duration = Duration::from_millis(200);

/// How often it is looked whether a platform is ready to take over from a picture.
const READY: Duration = Duration::from_millis(2);
/// How long the end of the process waits for the last picture.
const KEEPER: Duration = Duration::from_secs(8);

/// How much the thread that keeps pictures stands back, as `nice` counts it: for everything else.
const PICTURES_NICE: i32 = 19;

/// Flags of `serve`; they win over environment and file.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Where the API listens.
    #[arg(long)]
    listen: Option<String>,
    /// A further address, for buyers alone.
    #[arg(long)]
    buyers_listen: Option<String>,
    /// Where probes and metrics listen.
    #[arg(long)]
    admin_listen: Option<String>,
    /// A rule set to publish at start.
    #[arg(long)]
    rules: Option<PathBuf>,
}

/// Runs the server until a signal or a failure.
pub fn run(args: Args) -> Result<()> {
    let more = [
        ("http.listen", args.listen),
        ("http.buyers_listen", args.buyers_listen),
        ("http.admin_listen", args.admin_listen),
        ("rules.file", args.rules.map(|path| path.display().to_string())),
    ];
    let config = Config::read(&args.place, &more).map_err(|e| anyhow::anyhow!("configuration: {e}"))?;
    telemetry::logs(&config.telemetry.filter, config.telemetry.format);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(
        config,
        args.place,
        more.to_vec(),
    ))
}

async fn serve(config: Config, place: Place, flags: Vec<(&'static str, Option<String>)>) -> Result<()> {
    let directory = config.log.directory.clone();
    let roles = config.role.roles().map_err(anyhow::Error::msg)?;
    let problems = config.promises.problems();
    anyhow::ensure!(problems.is_empty(), "configuration: {}", problems.join("; "));
    let metrics = figures::begin(roles)?;
    let pictures = first::pictures(&config, roles);
    let first = match roles.replica {
        true => First::Log(copied_log(&config).await?),
        false => first::open(&config, pictures.as_ref()).await?,
    };
    let keys = KeyRing::open(&config.keys_file())?;
    if keys.is_empty() {
        tracing::warn!(
            "there are no API keys in {} yet; make some with `stockade keys create`",
            config.keys_file().display()
        );
    }
    let shared = keys.shared_names()?;
    if !shared.is_empty() {
        tracing::warn!(
            ?shared,
            "several keys share a name and go by the beginning of their hash beside it; give each person a key of their own with `stockade keys create --name` and revoke the old ones"
        );
    }
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    let threads = Threads::start(config.http.suppliers_nice)?;
    let mut server = Server {
        config,
        roles,
        hot: (place, flags),
        metrics,
        keys,
        lanes: threads.lanes(),
        pictures,
        shutdown: shutdown.clone(),
        platform: None,
        sandbox: None,
        keeper: None,
    };
    let (router, admin_router, stage) = server.stage(first).await?;
    let config = server.config.clone();
    let Doors { api, buyers, admin } = Doors::open(&config, roles).await?;
    tracing::info!(api = %api.local_addr()?, admin = %admin.local_addr()?, role = config.role.0, data = %directory.display(), "serving");
    console::note_address(&directory, api.local_addr()?);
    // For scripts that let the system choose the ports: the first line of standard output.
    say!("api http://{} admin http://{}", api.local_addr()?, admin.local_addr()?);
    if let Some(buyers) = &buyers {
        say!("buyers http://{}", buyers.local_addr()?);
    }
    let mut connections = config.http.connections.clone();
    connections.max = open_files::connections(connections.max, kinds(buyers.is_some()));
    // Probes and scrapes have a listener of their own, so that whatever fills the other hides nothing from them.
    let admin_connections =
        Connections { max: ADMIN_CONNECTIONS_MAX.min(connections.max), ..connections.clone() };
    let serve_buyers = {
        let (router, bounds, end) = (router.clone(), connections.clone(), shutdown.clone());
        let lanes = (threads.lanes(), Lane::Buyers);
        async move {
            if let Some(listener) = buyers {
                server::serve_lane(listener, router, bounds, lanes, end).await;
            }
        }
    };
    let serve_api = server::serve_apart(api, router, connections, threads.lanes(), shutdown.clone());
    let serve_admin =
        server::serve(admin, admin_router, admin_connections, Listener::Admin, shutdown.clone());
    tokio::spawn(disk::watch(config, shutdown.clone()));
    let mut servers = tokio::spawn(async move { tokio::join!(serve_api, serve_buyers, serve_admin) });

    let mut serving = true;
    let outcome = tokio::select! {
        outcome = server.run(stage) => outcome,
        ended = &mut servers => {
            serving = false;
            ended.map(|_| ()).context("the HTTP server panicked")
        }
    };
    shutdown.begin();
    if serving {
        // Requests under way get the budget; connections that stay open beyond it are cut.
        let _ = tokio::time::timeout(BUDGET, servers).await;
    }
    outcome.and(server.stop().await)
}

/// Where it listens.
struct Doors {
    api: TcpListener,
    buyers: Option<TcpListener>,
    admin: TcpListener,
}

impl Doors {
    async fn open(config: &Config, roles: Roles) -> Result<Self> {
        let listen = async |address: &Address| {
            let opened = TcpListener::bind(address.to_bind()).await;
            opened.with_context(|| format!("cannot listen on {address}"))
        };
        let api = listen(&config.http.listen).await?;
        let buyers = match config.http.buyers_listen.as_ref().filter(|_| roles.inventory) {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self { api, buyers, admin: listen(&config.http.admin_listen).await? })
    }
}

/// How far a server is.
enum Stage {
    /// Its platform answers.
    Live,
    /// A picture answers, until there is a platform over the log that is being opened.
    Standin { standin: Box<Standin>, front: Exchange, admin: Exchange, opening: Opening },
}

/// A server and what it is made of.
struct Server {
    config: Config,
    roles: Roles,
    /// What the configuration was read from, for what of it changes while it runs.
    hot: (Place, Vec<(&'static str, Option<String>)>),
    metrics: PrometheusHandle,
    keys: KeyRing,
    lanes: Lanes,
    pictures: Option<Pictures>,
    shutdown: Shutdown,
    platform: Option<Platform>,
    sandbox: Option<Sandbox>,
    /// Keeps pictures.
    keeper: Option<JoinHandle<()>>,
}

impl Server {
    /// What is served at first, to callers and to whoever looks after it.
    async fn stage(&mut self, first: First) -> Result<(Router, Router, Stage)> {
        match first {
            First::Log(log) => {
                self.start(log).await?;
                let (router, admin) = self.routers()?;
                Ok((router, admin, Stage::Live))
            }
            First::Picture(picture, opening) => {
                let standin = Standin::new(self.standin_parts(*picture))?;
                let front = Exchange::new(standin.router.clone());
                let admin = Exchange::new(standin.admin(self.metrics.clone()));
                let routers = (front.router(), admin.router());
                let stage = Stage::Standin { standin: Box::new(standin), front, admin, opening };
                Ok((routers.0, routers.1, stage))
            }
        }
    }

    /// Starts the platform over a log.
    async fn start(&mut self, log: SharedLog) -> Result<()> {
        let parts = self.parts(log)?;
        self.platform = Some(Platform::start(parts, self.shutdown.clone(), Arc::new(|_, _| {})).await?);
        Ok(())
    }

    fn parts(&self, log: SharedLog) -> Result<Parts> {
        let config = &self.config;
        let directory = &config.log.directory;
        let console = ConsoleParts {
            links: Links::at(&console::links_file(directory)),
            sessions: Sessions::open(Some(&console::sessions_file(directory)), config.console.bounds())
                .map_err(anyhow::Error::msg)?,
            figures: Some(self.metrics.clone()),
            guide: None,
        };
        Ok(Parts {
            roles: self.roles,
            shared_log: config.kafka.used(),
            log,
            clock: clock::system_clock(),
            partitions: config.log.partitions,
            quarantine: connect::quarantine(config)?,
            keys: self.keys.clone(),
            limits: config.limits.clone(),
            promises: config.promises.clone(),
            replica: config.replica.bounds(),
            imports: config.imports_in_place(),
            webhooks: webhooks(config, self.roles)?,
            body_bytes_max: config.http.body_bytes_max,
            edge: self.edge(),
            cors: config.http.cors.clone(),
            answer_deadline: Duration::from_millis(config.http.answer_deadline_ms),
            instance: instance_name(clock::now_ms()),
            configuration: serde_json::to_value(config)?,
            // Nothing that people decide is decided here.
            console: (!self.roles.replica).then_some(console),
        })
    }

    fn edge(&self) -> EdgeParts {
        EdgeParts {
            config: self.config.edge_in_place(),
            suppliers: Some(self.lanes.suppliers.clone()),
            folds_nice: self.config.http.suppliers_nice,
        }
    }

    fn standin_parts(&self, picture: Picture) -> StandinParts {
        let config = &self.config;
        StandinParts {
            picture,
            age_max_ms: config.picture.bounds().map_or(0, |bounds| bounds.age_max_ms),
            partitions: config.log.partitions,
            keys: self.keys.clone(),
            limits: config.limits.clone(),
            body_bytes_max: config.http.body_bytes_max,
            edge: self.edge(),
            cors: config.http.cors.clone(),
            answer_deadline: Duration::from_millis(config.http.answer_deadline_ms),
            instance: instance_name(clock::now_ms()),
        }
    }

    fn platform(&mut self) -> Result<&mut Platform> {
        self.platform.as_mut().context("there is no platform yet")
    }

    /// What the platform serves, to callers and to whoever looks after it.
    fn routers(&mut self) -> Result<(Router, Router)> {
        if self.config.sandbox.enabled {
            self.sandbox = Some(Sandbox::start(&self.config, self.roles)?);
        }
        let metrics = self.metrics.clone();
        let platform = self.platform()?;
        let admin = stockade_runtime::http::probes(platform.readiness())
            .router()
            .merge(platform.metrics_router(metrics));
        let router = platform.router.clone();
        let router = match &self.sandbox {
            Some(sandbox) => sandbox.in_front_of(router),
            None => router,
        };
        Ok((router, admin))
    }

    /// Runs until it is asked to end, or fails.
    async fn run(&mut self, stage: Stage) -> Result<()> {
        if let Stage::Standin { standin, front, admin, opening } = stage {
            let shutdown = self.shutdown.clone();
            tokio::select! {
                done = self.take_over(&standin, opening) => done?,
                () = shutdown.wait() => return Ok(()),
            }
            let (router, of_admin) = self.routers()?;
            front.put(router);
            admin.put(of_admin);
            tracing::info!(
                "the log answers and everything is read: buyers are answered from it, not from the picture"
            );
        }
        self.begin_beside()?;
        let (config, shutdown) = (self.config.clone(), self.shutdown.clone());
        run_until_asked(self.platform()?, &config, &shutdown).await
    }

    /// Opens the log as soon as it answers, and starts the platform over it; done when that answers.
    async fn take_over(&mut self, standin: &Standin, opening: Opening) -> Result<()> {
        let limits = self.follow_limits(standin.limits(), None);
        let work = async {
            let log = opening.finish(&self.config).await?;
            tracing::info!(
                "the log answers again; buyers are answered from the picture until everything is read"
            );
            // As a task of its own, for starting a platform asks the log much without giving way.
            let mut beside = JoinSet::new();
            beside.spawn(standin.follow_decisions(log.clone()));
            let live = async {
                self.start(log).await?;
                let platform = self.platform()?;
                let readiness = platform.readiness();
                let ready = async {
                    while readiness().is_err() {
                        tokio::time::sleep(READY).await;
                    }
                };
                tokio::select! {
                    () = ready => Ok(()),
                    failed = platform.until_failed() => failed,
                }
            };
            tokio::select! {
                done = live => done,
                Some(failed) = beside.join_next() => failed?,
            }
        };
        let done = tokio::select! {
            done = work => done,
            () = standin.say() => Ok(()),
            done = standin.keep_house() => done,
        };
        limits.abort();
        done
    }

    fn follow_limits(&self, limits: Limits, app: Option<Arc<App>>) -> tokio::task::JoinHandle<()> {
        let (place, flags) = self.hot.clone();
        tokio::spawn(hot::follow(place, flags, self.config.clone(), (limits, app), self.shutdown.clone()))
    }

    /// What goes on beside a platform.
    fn begin_beside(&mut self) -> Result<()> {
        let platform = self.platform()?;
        let (limits, app) = (platform.limits.clone(), platform.app.clone());
        drop(self.follow_limits(limits, app.clone()));
        if let Some((app, pictures)) = app.zip(self.pictures.clone()) {
            let shutdown = self.shutdown.clone();
            let keep = move || {
                stand_back(PICTURES_NICE);
                stockade_inventory::picture::keeper::keep(app, pictures, shutdown);
            };
            self.keeper = Some(std::thread::Builder::new().name("picture".to_owned()).spawn(keep)?);
        }
        Ok(())
    }

    /// Ends what is left, within the budget.
    async fn stop(self) -> Result<()> {
        if let Some(sandbox) = self.sandbox {
            // It waits, so not on a thread that answers.
            let _ = tokio::task::spawn_blocking(move || sandbox.stop()).await;
        }
        if let Some(keeper) = self.keeper {
            // It ends by itself within seconds, unless the disk stands still: the log does not wait for that.
            let ended = tokio::task::spawn_blocking(move || keeper.join());
            if tokio::time::timeout(KEEPER, ended).await.is_err() {
                tracing::warn!(
                    "the last picture of what buyers see is not written yet; the process ends without it"
                );
            }
        }
        match self.platform {
            Some(platform) => platform.stop().await,
            None => Ok(()),
        }
    }
}

/// How many bounds on connections there are: of connections that have not said anything, of buyers, of suppliers, of people, and
/// of buyers at an address of their own.
fn kinds(has_buyers: bool) -> usize {
    4 + usize::from(has_buyers)
}

/// The copy of another region's log, once there is a whole one.
async fn copied_log(config: &Config) -> Result<SharedLog> {
    let mut waits = false;
    let log = loop {
        let of = config.clone();
        match tokio::task::spawn_blocking(move || connect::mirrored(&of)).await? {
            Err(error) if matches!(error.downcast_ref(), Some(LogError::NotCopied(_))) => {
                if !std::mem::replace(&mut waits, true) {
                    tracing::info!(%error, "there is no copy yet; waiting until a mirror makes one");
                }
            }
            opened => break opened?,
        }
        tokio::time::sleep(NO_COPY).await;
    };
    if !log.is_whole() {
        tracing::info!("waiting until the mirror has copied everything once");
    }
    while !log.is_whole() {
        tokio::time::sleep(FIRST_COPY).await;
    }
    Ok(Arc::new(log))
}

/// Webhooks with their key, where they run and have one.
fn webhooks(config: &Config, roles: Roles) -> Result<Option<WebhooksHere>> {
    if !roles.lockout {
        return Ok(None);
    }
    let Some(file) = config.webhooks_key_file() else {
        tracing::warn!(
            "webhooks are off: their secrets derive from a key that all processes share; name its file with webhooks.key_file"
        );
        return Ok(None);
    };
    let master = Master::open(&file)?;
    Ok(Some(WebhooksHere { config: config.webhooks.clone(), master }))
}

async fn run_until_asked(platform: &mut Platform, config: &Config, shutdown: &Shutdown) -> Result<()> {
    let setup = async {
        platform.until_ready().await;
        let Some(lockout) = &platform.lockout else { return Ok(()) };
        // Evaluation tells which set is in force once it is restored; an old directory keeps what it has.
        let source = match &config.rules.file {
            Some(file) => Some(
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
            ),
            None if !lockout.rules.current().0.is_empty() || has_rules(&lockout.log) => None,
            None => Some(STARTER_RULES.to_owned()),
        };
        if let Some(source) = source {
            platform.ensure_rules(&source, "stockade serve").await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::select! {
        done = setup => done?,
        () = shutdown.wait() => return Ok(()),
    }
    tracing::info!("ready");
    tokio::select! {
        failed = platform.until_failed() => failed,
        () = shutdown.wait() => Ok(()),
    }
}

/// Whether `control` holds a rule set, which may be on its way to the evaluation fold.
fn has_rules(log: &SharedLog) -> bool {
    let mut next = 0;
    while let Ok(records) = log.read(Topic::Control.name(), 0, next, ReadLimit::default()) {
        let Some(last) = records.last() else { return false };
        next = last.offset + 1;
        let is_rules = |value: &[u8]| {
            matches!(
                Payload::decode("stockade.control.change", value),
                Ok(Payload::Control(record)) if matches!(record.change, stockade_model::Change::Rules { .. })
            )
        };
        if records.iter().any(|record| is_rules(&record.value)) {
            return true;
        }
    }
    false
}
