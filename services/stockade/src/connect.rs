//! The adapters that a configuration asks for. Only the binary names adapters.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use stockade_log::{Embedded, EmbeddedOptions, Fsync, SharedLog, Writer};
use stockade_log_kafka::{KafkaLog, KafkaOptions};
use stockade_quarantine::{FileStore, QuarantineStore};
use stockade_quarantine_redis::RedisStore;
use stockade_runtime::clock;

use crate::{config::Config, platform::quarantine_path};

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

/// The embedded log of a directory.
pub fn embedded(directory: &Path, fsync: bool) -> Result<SharedLog> {
    let fsync = if fsync { Fsync::Group } else { Fsync::Never };
    let options = EmbeddedOptions { directory: directory.to_owned(), fsync, writer: Writer::Thread };
    Ok(Arc::new(Embedded::open(&options, clock::system_clock())?))
}

/// The log.
pub fn log(config: &Config) -> Result<SharedLog> {
    if config.kafka.used() {
        return Ok(Arc::new(KafkaLog::open(kafka_options(config), clock::system_clock())?));
    }
    embedded(&config.log.directory, config.log.fsync)
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
