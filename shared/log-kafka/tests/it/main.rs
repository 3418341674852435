//! The log on real Kafka brokers (`real`) and on librdkafka's mock cluster (`mock`), which errors can be injected into.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod cut_off;
mod evict;
mod mirrored;
mod mock;
mod modules;
mod real;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use stockade_log::{Clock, NewRecord, Route, TopicSpec};
use stockade_log_kafka::KafkaOptions;

pub(crate) fn clock() -> Clock {
    Arc::new(|| {
        #[allow(clippy::disallowed_methods, reason = "a test of real time")]
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
    })
}

/// Options for topics that no other test shares.
pub(crate) fn options(brokers: &str) -> KafkaOptions {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut options = KafkaOptions::new(brokers, "one");
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    options.prefix = format!("t{}-{number}-{}.", std::process::id(), clock()());
    options
}

pub(crate) const fn spec(partitions: u32) -> TopicSpec {
    TopicSpec { name: "t", partitions, retention_ms: Some(60_000) }
}

pub(crate) fn record(partition: u32, value: &str) -> NewRecord {
    NewRecord {
        topic: "t",
        route: Route::Partition(partition),
        key: Bytes::new(),
        headers: Vec::new(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}
