//! `cargo xtask up` and `down`.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use stockade_testkit::{Kafka, KafkaOptions, Redis, stop_process};

use crate::root;

/// What runs: written by `up`, read by `down`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Running {
    directory: PathBuf,
    kafka: String,
    redis: String,
    processes: Vec<u32>,
}

fn note() -> PathBuf {
    root().join("target/cluster.json")
}

/// Kafka and Redis for one run of the tests.
pub(crate) struct Servers {
    pub(crate) kafka: String,
    pub(crate) redis: String,
    /// Those that were started for it; they end with it.
    _own: (Option<Kafka>, Option<Redis>),
}

impl Servers {
    /// Those that the environment names, and others started for what it does not name.
    pub(crate) fn for_tests() -> Result<Self> {
        let directory = root().canonicalize()?.join(format!("target/test-servers-{}", std::process::id()));
        let (mut own_kafka, mut own_redis) = (None, None);
        let redis = match std::env::var("STOCKADE_TEST_REDIS") {
            Ok(given) => given,
            Err(_) => own_redis.insert(Redis::start(&directory.join("redis"))?).url(),
        };
        let kafka = match std::env::var("STOCKADE_TEST_KAFKA") {
            Ok(given) => given,
            Err(_) => {
                own_kafka.insert(Kafka::start(&directory.join("kafka"), KafkaOptions::default())?).addresses()
            }
        };
        Ok(Self { kafka, redis, _own: (own_kafka, own_redis) })
    }
}

/// Starts Kafka and Redis and prints where they are.
pub(crate) fn up(brokers: usize) -> Result<()> {
    anyhow::ensure!((1..=9).contains(&brokers), "--brokers must be 1 to 9");
    let note = note();
    anyhow::ensure!(
        !note.exists(),
        "a cluster is up already according to {}; end it with `cargo xtask down`",
        note.display()
    );
    let directory = root().canonicalize()?.join(format!("target/cluster-{}", std::process::id()));
    let redis = Redis::start(&directory.join("redis"))?;
    let kafka = Kafka::start(&directory.join("kafka"), KafkaOptions { brokers, ..KafkaOptions::default() })?;
    let (kafka_at, redis_at) = (kafka.addresses(), redis.url());
    let mut processes = kafka.detach();
    processes.push(redis.detach());
    let running = Running { directory, kafka: kafka_at, redis: redis_at, processes };
    std::fs::write(note, serde_json::to_string_pretty(&running)?)?;
    println!("kafka {}", running.kafka);
    println!("redis {}", running.redis);
    println!("export STOCKADE_TEST_KAFKA={} STOCKADE_TEST_REDIS={}", running.kafka, running.redis);
    Ok(())
}

/// Stops exactly what `up` started.
pub(crate) fn down() -> Result<()> {
    let note = note();
    let text = std::fs::read(&note).context("nothing is up: there is no target/cluster.json")?;
    let running: Running = serde_json::from_slice(&text)?;
    let mark = running.directory.display().to_string();
    for id in running.processes {
        let stopped = stop_process(id, &mark, Duration::from_secs(20))?;
        println!("{id}: {}", if stopped { "stopped" } else { "was gone already" });
    }
    std::fs::remove_dir_all(&running.directory)?;
    Ok(std::fs::remove_file(note)?)
}
