//! `stockade demo`: the real platform on a temporary directory, a simulated marketplace over real HTTP, four attack
//! patterns, and an account of what happened.

mod play;
mod summary;

use crate::{address::Address, output::say};
use std::{sync::Arc, time::Duration};

use anyhow::Result;
use stockade_lockout::STARTER_RULES;
use stockade_log::SharedLog;
use stockade_log_kafka::{KafkaLog, KafkaOptions};
use stockade_model::Timestamp;
use stockade_quarantine::{FileStore, QuarantineStore};
use stockade_quarantine_redis::RedisStore;
use stockade_runtime::{
    Connections, KeyRing, LimitsConfig, Listener, Role, Shutdown, clock, server, telemetry,
};
use stockade_simulator::World;
use tokio::net::TcpListener;

use crate::{
    config, connect,
    platform::{Parts, Platform, Roles, ensure_topics, instance_name, quarantine_path},
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

/// Flags of `demo`.
#[derive(clap::Args)]
pub struct Args {
    /// The seed: same seed, same marketplace, same attacks.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the live part runs, in seconds: a third before the attacks, two thirds during.
    #[arg(long, default_value_t = 18)]
    duration: u64,
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
}

/// Runs the demo.
pub fn run(args: &Args) -> Result<()> {
    anyhow::ensure!((6..=3_600).contains(&args.duration), "--duration must be 6 to 3600 seconds");
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
        imports: Default::default(),
        webhooks: None,
        body_bytes_max: 2 << 20,
        cors: Default::default(),
        answer_deadline: Duration::from_secs(2),
        instance,
    };
    let platform = Platform::start(parts, shutdown.clone(), witness).await?;
    platform.until_ready().await;
    platform.ensure_rules(STARTER_RULES, "stockade demo").await?;

    let listener = TcpListener::bind(args.listen.to_bind()).await?;
    let server = listener.local_addr()?;
    let connections = Connections::default();
    let serve =
        server::serve(listener, platform.router.clone(), connections, Listener::Api, shutdown.clone());
    let serving = tokio::spawn(serve);

    let world = World::new(args.seed, SUPPLIERS, ATTACKERS, SKUS, Timestamp::from_ms(clock::now_ms()));
    let keys = Keys::make(&keys, &world, args.duration)?;
    if !args.json {
        say!("Stockade is at http://{server} with a fresh marketplace. While it runs, try, as a buyer:");
        say!(
            "  curl -s -H 'Authorization: Bearer {}' 'http://{server}/v1/availability?sku=SKU-00042'",
            keys.buyer
        );
        say!("and, as an analyst:");
        say!("  curl -s -H 'Authorization: Bearer {}' 'http://{server}/v1/decisions?limit=5'", keys.analyst);
        say!();
    }
    let mut play = Play::new(server, world, keys, records, Duration::from_secs(args.duration), args.seed);
    let outcome = play.run().await;
    let summary = outcome.map(|live| summary::Summary::of(args.seed, args.duration, &play, &live))?;
    summary.print(args.json);
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

/// The keys of one run; they are gone with it.
impl Keys {
    fn make(ring: &KeyRing, world: &World, duration_s: u64) -> Result<Self> {
        let mut suppliers = std::collections::HashMap::new();
        let newcomers = stockade_simulator::special(world, duration_s as i64 * 1_000).0;
        let everyone = world.honest.iter().chain(world.attackers.iter().map(|(s, _)| s)).chain(&newcomers);
        for supplier in everyone {
            let id = stockade_model::SupplierId::new(&supplier.id)?;
            suppliers
                .insert(supplier.id.clone(), ring.create(&supplier.id, Role::Supplier { supplier: id })?);
        }
        Ok(Self {
            suppliers,
            operator: ring.create("demo-operator", Role::Operator)?,
            buyer: ring.create("demo-buyer", Role::Buyer)?,
            analyst: ring.create("demo-analyst", Role::Analyst)?,
            order_system: ring.create("demo-order-system", Role::OrderSystem)?,
        })
    }
}
