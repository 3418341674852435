//! `stockade serve`.

use crate::output::say;
use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use stockade_console::Links;
use stockade_lockout::STARTER_RULES;
use stockade_log::{ReadLimit, SharedLog};
use stockade_model::{Payload, Topic};
use stockade_runtime::{
    Connections, KeyRing, Lane, Listener, Sessions, Shutdown, clock, server, shutdown::BUDGET, telemetry,
};
use stockade_webhooks::Master;
use tokio::net::TcpListener;

use crate::{
    config::{Config, Place},
    connect, console, disk, hot, open_files,
    platform::{ConsoleParts, EdgeParts, Parts, Platform, Roles, WebhooksHere, ensure_topics, instance_name},
    sandbox::Sandbox,
    threads::Threads,
};

/// Connections that the listener of probes and metrics keeps.
const ADMIN_CONNECTIONS_MAX: usize = 256;

/// How often it is looked whether there is a whole copy of the origin's log.
const FIRST_COPY: Duration = Duration::from_millis(200);

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
    let metrics = telemetry::metrics()?;
    let log = match roles.replica {
        true => copied_log(&config).await?,
        false => {
            let log = connect::log(&config)?;
            ensure_topics(&log, config.log.partitions)?;
            log
        }
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
    let bounds = config.console.bounds();
    let console = ConsoleParts {
        links: Links::at(&console::links_file(&directory)),
        sessions: Sessions::open(Some(&console::sessions_file(&directory)), bounds)
            .map_err(anyhow::Error::msg)?,
        figures: Some(metrics.clone()),
        guide: None,
    };
    let threads = Threads::start(config.http.suppliers_nice)?;
    let parts = Parts {
        roles,
        shared_log: config.kafka.used(),
        log,
        clock: clock::system_clock(),
        partitions: config.log.partitions,
        quarantine: connect::quarantine(&config)?,
        keys,
        limits: config.limits.clone(),
        promises: config.promises.clone(),
        replica: config.replica.bounds(),
        imports: config.imports_in_place(),
        webhooks: webhooks(&config, roles)?,
        body_bytes_max: config.http.body_bytes_max,
        edge: EdgeParts { config: config.edge.clone(), suppliers: Some(threads.lanes().suppliers) },
        cors: config.http.cors.clone(),
        answer_deadline: Duration::from_millis(config.http.answer_deadline_ms),
        instance: instance_name(clock::now_ms()),
        configuration: serde_json::to_value(&config)?,
        // Nothing that people decide is decided here.
        console: (!roles.replica).then_some(console),
    };
    let mut platform = Platform::start(parts, shutdown.clone(), Arc::new(|_, _| {})).await?;

    let api = TcpListener::bind(config.http.listen.to_bind())
        .await
        .with_context(|| format!("cannot listen on {}", config.http.listen))?;
    let buyers = match config.http.buyers_listen.as_ref().filter(|_| roles.inventory) {
        Some(address) => Some(
            TcpListener::bind(address.to_bind())
                .await
                .with_context(|| format!("cannot listen on {address}"))?,
        ),
        None => None,
    };
    let admin = config.http.admin_listen.clone();
    let admin =
        TcpListener::bind(admin.to_bind()).await.with_context(|| format!("cannot listen on {admin}"))?;
    tracing::info!(api = %api.local_addr()?, admin = %admin.local_addr()?, role = config.role.0, data = %directory.display(), "serving");
    // For scripts that let the system choose the ports: the first line of standard output.
    say!("api http://{} admin http://{}", api.local_addr()?, admin.local_addr()?);
    if let Some(buyers) = &buyers {
        say!("buyers http://{}", buyers.local_addr()?);
    }
    let admin_router =
        stockade_runtime::http::probes(platform.readiness()).router().merge(platform.metrics_router(metrics));
    let mut connections = config.http.connections.clone();
    connections.max = open_files::connections(connections.max, kinds(buyers.is_some()));
    // Probes and scrapes have a listener of their own, so that whatever fills the other hides nothing from them.
    let admin_connections =
        Connections { max: ADMIN_CONNECTIONS_MAX.min(connections.max), ..connections.clone() };
    let sandbox = config.sandbox.enabled.then(|| Sandbox::start(&config, roles)).transpose()?;
    let router = match &sandbox {
        Some(sandbox) => sandbox.in_front_of(platform.router.clone()),
        None => platform.router.clone(),
    };
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
    tokio::spawn(disk::watch(config.clone(), shutdown.clone()));
    tokio::spawn(hot::follow(place, flags, config.clone(), platform.limits.clone(), shutdown.clone()));
    let mut servers = tokio::spawn(async move { tokio::join!(serve_api, serve_buyers, serve_admin) });

    let mut serving = true;
    let outcome = tokio::select! {
        outcome = run_until_asked(&mut platform, &config, &shutdown) => outcome,
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
    if let Some(sandbox) = sandbox {
        // It waits, so not on a thread that answers.
        let _ = tokio::task::spawn_blocking(move || sandbox.stop()).await;
    }
    outcome.and(platform.stop().await)
}

/// How many bounds on connections there are: of connections that have not said anything, of buyers, of suppliers, of people, and
/// of buyers at an address of their own.
fn kinds(has_buyers: bool) -> usize {
    4 + usize::from(has_buyers)
}

/// The copy of another region's log, once there is a whole one.
async fn copied_log(config: &Config) -> Result<SharedLog> {
    let of = config.clone();
    let log = tokio::task::spawn_blocking(move || connect::mirrored(&of)).await??;
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
