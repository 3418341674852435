//! The adapters that a configuration asks for. Only the binary names adapters.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use stockade_log::{Embedded, EmbeddedOptions, Fsync, Log as _, SharedLog, Writer};
use stockade_log_kafka::{KafkaLog, KafkaOptions, mirror::Mirrored};
use stockade_model::Topic;
use stockade_quarantine::{FileStore, QuarantineStore};
use stockade_quarantine_redis::RedisStore;
use stockade_runtime::clock;

use crate::{
    config::{self, Config},
    platform::{quarantine_path, topic_spec},
};

/// Names a process that nobody named: host and the directory it works in stay the same over restarts.
fn fallback_name(config: &Config) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let directory = std::path::absolute(&config.log.directory).unwrap_or_default();
    // A port chosen by the system is a sign of several processes in one directory; then nothing stays the same.
    let port = match config.http.listen.port() {
        0 => format!("pid{}", std::process::id()),
        port => port.to_string(),
    };
    format!("{}{}{port}", host.trim(), directory.display())
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

/// Kafka as configured.
pub fn kafka_options(config: &Config) -> KafkaOptions {
    config.kafka.options(&fallback_name(config))
}

/// The embedded log as configured.
fn embedded_options(config: &config::Log) -> EmbeddedOptions {
    EmbeddedOptions {
        directory: config.directory.clone(),
        fsync: if config.fsync { Fsync::Group } else { Fsync::Never },
        writer: Writer::Thread,
        reserve_bytes: config.disk_reserve_bytes,
    }
}

/// The embedded log.
pub fn embedded(config: &config::Log) -> Result<SharedLog> {
    Ok(Arc::new(Embedded::open(&embedded_options(config), clock::system_clock())?))
}

/// The embedded log of a directory that a server has written to; any other is refused and left as it is.
pub fn existing_embedded(config: &config::Log) -> Result<Embedded> {
    Ok(Embedded::open_existing(&embedded_options(config), clock::system_clock())?)
}

/// A log that holds decisions, for reading. Where there is none, none is made.
pub fn existing_decisions(config: &Config) -> Result<SharedLog> {
    let spec = topic_spec(Topic::LockoutDecisions, config.log.partitions);
    let log: SharedLog = if config.kafka.used() {
        let log = KafkaLog::open(kafka_options(config), clock::system_clock())?;
        let found = log.check_topic(&spec)?;
        anyhow::ensure!(
            found,
            "{} has no topic {} under this prefix; check kafka.brokers and kafka.prefix",
            config.kafka.brokers,
            spec.name
        );
        Arc::new(log)
    } else {
        let log = existing_embedded(&config.log)?;
        let directory = config.log.directory.display();
        anyhow::ensure!(
            log.has_topic(spec.name)?,
            "the log in {directory} has no decisions: no server has run on it"
        );
        Arc::new(log)
    };
    // It is there, so this only makes it known.
    log.ensure_topic(&spec)?;
    Ok(log)
}

/// The log.
pub fn log(config: &Config) -> Result<SharedLog> {
    if config.kafka.used() {
        return Ok(Arc::new(KafkaLog::open(kafka_options(config), clock::system_clock())?));
    }
    embedded(&config.log)
}

/// The copy of another region's log, with the topics that buyers are answered from.
pub fn mirrored(config: &Config) -> Result<Mirrored> {
    let log = Mirrored::open(kafka_options(config), clock::system_clock())?;
    for topic in crate::mirror::STREAMS {
        log.ensure_topic(&topic_spec(topic, config.log.partitions))?;
    }
    Ok(log)
}

/// Redis, if it is configured.
pub fn redis(config: &Config) -> Result<Option<RedisStore>> {
    let url = &config.redis.url.0;
    if url.is_empty() {
        return Ok(None);
    }
    let timeout = Duration::from_millis(config.redis.timeout_ms.max(1));
    Ok(Some(RedisStore::new(url, &config.redis.prefix, timeout)?))
}

/// Where what is in force is kept for others.
pub fn quarantine(config: &Config) -> Result<Arc<dyn QuarantineStore>> {
    match redis(config)? {
        Some(store) => Ok(Arc::new(store)),
        None => {
            std::fs::create_dir_all(&config.log.directory)?;
            Ok(Arc::new(FileStore::open(&quarantine_path(&config.log.directory))?))
        }
    }
}
