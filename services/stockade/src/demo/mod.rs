//! `stockade demo`: the real platform on a temporary directory, a simulated marketplace over real HTTP, four attack
//! patterns, and an account of what happened.

mod counters;
mod guide;
mod play;
mod summary;

use crate::{address::Address, output::say};
use std::{sync::Arc, time::Duration};

use anyhow::Result;
use stockade_console::Links;
use stockade_inventory::imports::ImportsConfig;
use stockade_lockout::STARTER_RULES;
use stockade_log::SharedLog;
use stockade_log_kafka::{KafkaLog, KafkaOptions};
use stockade_model::Timestamp;
use stockade_quarantine::{FileStore, QuarantineStore};
use stockade_quarantine_redis::RedisStore;
use stockade_runtime::{
    Connections, KeyRing, LimitsConfig, Role, SessionBounds, Sessions, Shutdown, clock, server, telemetry,
};
use stockade_simulator::World;
use tokio::net::TcpListener;

use crate::{
    config,
    config::Http,
    connect, console,
    platform::{
        ConsoleParts, EdgeParts, Parts, Platform, Roles, ensure_topics, instance_name, quarantine_path,
    },
    threads::Threads,
};
use play::{Keys, Play, Records};

/// Suppliers of the demo, attackers included.
const SUPPLIERS: usize = 2_000;
/// How many of them attack.
const ATTACKERS: usize = 40;
/// Goods.
const SKUS: usize = 20_000;
/// Partitions of supplier-keyed topics.
const PARTITIONS: u32 = 12;

/// Seconds of the part that is summed up when nothing else is said.
const DURATION_S: u64 = 18;
/// Seconds of each further round, its suppliers and how many of them attack.
const ROUND: (u64, usize, usize) = (60, 120, 8);
/// The session and the link of a demo last as long as anybody wants to watch.
const LINK_MINUTES: u32 = 24 * 60;

/// Flags of `demo`.
#[derive(clap::Args)]
pub struct Args {
    /// The seed: same seed, same marketplace, same attacks.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the live part runs, in seconds: a third before the attacks, two thirds during. Without it the marketplace plays on
    /// until Ctrl-C, with new attackers each minute, unless --json is given.
    #[arg(long)]
    duration: Option<u64>,
    /// Where the API listens; a free port by default.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: Address,
    /// Kafka's brokers (host:port) instead of the embedded log; topics of its own are made and deleted again.
    #[arg(long)]
    kafka: Option<String>,
    /// Redis (redis://host:port) instead of a file for what is in force; entries of its own are made and deleted again.
    #[arg(long)]
    redis: Option<String>,
    /// Print one JSON object on the last line.
    #[arg(long)]
    json: bool,
    /// Print the link to the console without opening it.
    #[arg(long)]
    no_open: bool,
}

impl Args {
    /// Seconds of the part that is summed up.
    fn duration(&self) -> u64 {
        self.duration.unwrap_or(DURATION_S)
    }
    /// Whether somebody watches, and ends it when they have seen enough.
    fn plays_on(&self) -> bool {
        self.duration.is_none() && !self.json
    }
}

/// Runs the demo.
pub fn run(args: &Args) -> Result<()> {
    anyhow::ensure!((6..=3_600).contains(&args.duration()), "--duration must be 6 to 3600 seconds");
    telemetry::logs("error", telemetry::LogFormat::Text);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(demo(args))
}

async fn demo(args: &Args) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let instance = instance_name(clock::now_ms());
    let kafka = args.kafka.as_ref().map(|brokers| {
        let mut options = KafkaOptions::new(brokers, "demo");
        options.prefix = format!("demo-{instance}.");
        options
    });
    let log: SharedLog = match &kafka {
        Some(options) => Arc::new(KafkaLog::open(options.clone(), clock::system_clock())?),
        None => connect::embedded(&config::Log {
            directory: directory.path().to_owned(),
            // The directory goes with the demo, so nothing has to outlive a full disk.
            disk_reserve_bytes: 0,
            ..config::Log::default()
        })?,
    };
    let redis = args
        .redis
        .as_ref()
        .map(|url| RedisStore::new(url, &format!("demo-{instance}"), Duration::from_secs(1)).map(Arc::new));
    let redis = redis.transpose()?;
    let quarantine: Arc<dyn QuarantineStore> = match &redis {
        Some(store) => store.clone(),
        None => Arc::new(FileStore::open(&quarantine_path(directory.path()))?),
    };
    ensure_topics(&log, PARTITIONS)?;
    let keys = KeyRing::default();
    let records = Arc::new(Records::default());
    let witness = {
        let records = records.clone();
        Arc::new(move |decision: &stockade_model::Decision, envelope: &stockade_model::Envelope| {
            records.decided(decision, envelope);
        })
    };
    let shutdown = Shutdown::default();
    let (links, sessions) = (Links::default(), Sessions::open(None, SessionBounds::default()));
    let sessions = sessions.map_err(anyhow::Error::msg)?;
    let world = World::new(args.seed, SUPPLIERS, ATTACKERS, SKUS, Timestamp::from_ms(clock::now_ms()));
    let figures = crate::figures::begin(Roles::ALL)?;
    let guide = Some(guide::make(&links, &world)?);
    let console = ConsoleParts { links: links.clone(), sessions, figures: Some(figures.clone()), guide };
    let threads = Threads::start(Http::default().suppliers_nice)?;
    let parts = Parts {
        roles: Roles::ALL,
        shared_log: false,
        log,
        clock: clock::system_clock(),
        partitions: PARTITIONS,
        quarantine,
        keys: keys.clone(),
        limits: LimitsConfig::default(),
        promises: Default::default(),
        replica: Default::default(),
        imports: ImportsConfig {
            directory: Some(directory.path().join("imports")),
            ..ImportsConfig::default()
        },
        webhooks: None,
        body_bytes_max: 2 << 20,
        edge: EdgeParts {
            suppliers: Some(threads.lanes().suppliers),
            folds_nice: Http::default().suppliers_nice,
            ..EdgeParts::default()
        },
        cors: Default::default(),
        answer_deadline: Duration::from_secs(2),
        instance,
        configuration: serde_json::Value::Null,
        console: Some(console),
    };
    let platform = Platform::start(parts, shutdown.clone(), witness).await?;
    platform.until_ready().await;
    platform.ensure_rules(STARTER_RULES, "stockade demo").await?;

    let listener = TcpListener::bind(args.listen.to_bind()).await?;
    let server = listener.local_addr()?;
    let connections = Connections::default();
    let serve = server::serve_apart(
        listener,
        platform.router.clone(),
        connections,
        threads.lanes(),
        shutdown.clone(),
    );
    let serving = tokio::spawn(serve);

    let ring = keys.clone();
    let keys = Keys::make(&keys, &world, args.duration())?;
    guide::enter(server, &keys.operator, &ring).await?;
    if !args.json {
        let token = links.make("demo", Role::Operator, LINK_MINUTES)?;
        let link = console::address(&format!("http://{server}"), &token);
        say!("The console, signed in by this link, once:");
        say!("  {link}");
        if args.plays_on() && !args.no_open {
            open(&link);
        }
        say!("Stockade is at http://{server} with a fresh marketplace. While it runs, try, as a buyer:");
        say!(
            "  curl -s -H 'Authorization: Bearer {}' 'http://{server}/v1/availability?sku=SKU-00042'",
            keys.buyer
        );
        say!("and, as an analyst:");
        say!("  curl -s -H 'Authorization: Bearer {}' 'http://{server}/v1/decisions?limit=5'", keys.analyst);
        say!();
    }
    let mut play = Play::new(server, world, keys, records, Duration::from_secs(args.duration()), args.seed);
    let outcome = play.run().await;
    let summary = outcome.map(|live| summary::Summary::of(args.seed, args.duration(), &play, &live))?;
    summary.print(args.json);
    if args.plays_on() {
        say!();
        say!("The marketplace plays on, with new attackers each minute, until Ctrl-C.");
        tokio::select! {
            ended = play_on(server, &ring, args.seed) => ended?,
            failed = counters::show(platform.figures(), figures) => failed?,
        }
    }
    let stopped = platform.stop().await;
    // Connections of the play stay open on purpose; they end with the process.
    serving.abort();
    if let Some(options) = kafka {
        tokio::task::spawn_blocking(move || KafkaLog::delete_topics(options)).await??;
    }
    if let Some(store) = redis {
        for entry in store.since(None).await? {
            store.forget(&entry.supplier, &entry.version).await?;
        }
    }
    stopped
}

/// Opens a link in the browser of whoever sits here. Where there is none, the printed link is enough.
fn open(link: &str) {
    use std::process::{Command, Stdio};
    if !std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return;
    }
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let _ = Command::new(program)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

/// Round after round of the same goods with suppliers of its own, until Ctrl-C.
async fn play_on(server: std::net::SocketAddr, ring: &KeyRing, seed: u64) -> Result<()> {
    let rounds = async {
        for round in 1_u32.. {
            let (duration_s, suppliers, attackers) = ROUND;
            // The same seed has the same prices, so nobody is an outlier because goods cost something else now.
            let mut world = World::new(seed, suppliers, attackers, SKUS, Timestamp::from_ms(clock::now_ms()));
            let everyone = world.honest.iter_mut().chain(world.attackers.iter_mut().map(|(of, _)| of));
            everyone.for_each(|supplier| supplier.id = format!("r{round}-{}", supplier.id));
            let keys = Keys::of_round(ring, &world, duration_s, round)?;
            let duration = Duration::from_secs(duration_s);
            let mut play =
                Play::new(server, world, keys, Arc::default(), duration, seed + u64::from(round)).quiet();
            play.run().await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        ended = rounds => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// The keys of one run; they are gone with it.
impl Keys {
    fn make(ring: &KeyRing, world: &World, duration_s: u64) -> Result<Self> {
        Self::of_round(ring, world, duration_s, 0)
    }

    fn of_round(ring: &KeyRing, world: &World, duration_s: u64, round: u32) -> Result<Self> {
        let name = |what: &str| if round == 0 { what.to_owned() } else { format!("{what}-{round}") };
        let mut suppliers = std::collections::HashMap::new();
        let newcomers = stockade_simulator::special(world, duration_s as i64 * 1_000).0;
        let everyone = world.honest.iter().chain(world.attackers.iter().map(|(s, _)| s)).chain(&newcomers);
        for supplier in everyone {
            let id = stockade_model::SupplierId::new(&supplier.id)?;
            suppliers.insert(
                supplier.id.clone(),
                ring.create(&name(&supplier.id), Role::Supplier { supplier: id })?,
            );
        }
        Ok(Self {
            suppliers,
            operator: ring.create(&name("demo-operator"), Role::Operator)?,
            buyer: ring.create(&name("demo-buyer"), Role::Buyer)?,
            analyst: ring.create(&name("demo-analyst"), Role::Analyst)?,
            order_system: ring.create(&name("demo-order-system"), Role::OrderSystem)?,
        })
    }
}
