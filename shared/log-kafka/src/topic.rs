//! Topics: what they are called there, how they are made, and whether existing ones fit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use rdkafka::{
    admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
};
use rustc_hash::FxHashMap;
use stockade_log::LogError;

use crate::{backlog::Backlogs, broker::Broker, client::ASK, options::RECORD_BYTES_MAX};

/// How long making a topic may take.
const MAKE: Duration = Duration::from_secs(30);
/// How long rows of a changelog are kept uncompacted, so that a reader that restores meanwhile sees one cut.
const COMPACTION_LAG_MS: i64 = 10 * 60 * 1_000;

/// A topic in use.
pub(crate) struct Topic {
    /// Its name to us.
    pub(crate) name: &'static str,
    /// Its name there.
    pub(crate) full: String,
    pub(crate) partitions: u32,
    /// What waits for acknowledgement, by partition.
    pub(crate) backlogs: Vec<Backlogs>,
    /// The end as last learnt, by partition.
    ends: Vec<AtomicU64>,
    /// When that was.
    pub(crate) heard_ms: AtomicI64,
}

impl Topic {
    /// Something at `next - 1` was seen.
    pub(crate) fn reached(&self, partition: u32, next: u64) {
        if let Some(end) = self.ends.get(partition as usize) {
            end.fetch_max(next, Ordering::Relaxed);
        }
    }
    /// First offset kept and first offset not decided yet, as a broker says now.
    pub(crate) fn watermarks(&self, broker: &Broker, partition: u32) -> Result<(u64, u64), LogError> {
        let found = broker.asker.fetch_watermarks(&self.full, partition as i32, ASK);
        let (first, end) = found.map_err(|error| broker.unreachable(&error))?;
        self.reached(partition, end as u64);
        Ok((first as u64, end as u64))
    }
    pub(crate) fn end(&self, partition: u32) -> u64 {
        self.ends.get(partition as usize).map_or(0, |end| end.load(Ordering::Relaxed))
    }
}

/// What kind of topic to make.
pub(crate) enum Kind {
    /// Records, kept for so many milliseconds or for ever.
    Stream(Option<i64>),
    /// The last row of each key.
    Changelog,
}

impl Kind {
    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("max.message.bytes", (RECORD_BYTES_MAX + (64 << 10)).to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
        ];
        match self {
            Kind::Stream(retention_ms) => {
                settings.push(("cleanup.policy", "delete".to_owned()));
                settings.push(("retention.ms", retention_ms.unwrap_or(-1).to_string()));
                settings.push(("retention.bytes", "-1".to_owned()));
            }
            Kind::Changelog => {
                settings.push(("cleanup.policy", "compact".to_owned()));
                settings.push(("min.compaction.lag.ms", COMPACTION_LAG_MS.to_string()));
            }
        }
        settings
    }
}

/// Runs an asynchronous call of the admin client from wherever we are.
fn run<T: Send>(call: impl Future<Output = Result<T, KafkaError>> + Send) -> Result<T, LogError> {
    let on_thread = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| LogError::Stopped(error.to_string()))?;
        let limited = async { tokio::time::timeout(MAKE, call).await };
        match runtime.block_on(limited) {
            Ok(result) => result.map_err(|error| LogError::Unavailable(format!("administration: {error}"))),
            Err(_) => Err(LogError::Unavailable(format!("administration took over {MAKE:?}"))),
        }
    };
    std::thread::scope(|scope| {
        let panicked = |_| LogError::Stopped("administration panicked".to_owned());
        scope.spawn(on_thread).join().map_err(panicked)?
    })
}

/// The topics in use.
pub(crate) struct Topics {
    broker: Arc<Broker>,
    known: RwLock<FxHashMap<&'static str, Arc<Topic>>>,
}

impl Topics {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, known: RwLock::default() }
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        let known = self.known.read();
        known.get(name).cloned().ok_or_else(|| LogError::Unknown { topic: name.to_owned(), partition: 0 })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.known.read().values().cloned().collect()
    }

    /// Makes the topic, or checks the one that is there.
    pub(crate) fn open(
        &self,
        name: &'static str,
        partitions: u32,
        kind: &Kind,
    ) -> Result<Arc<Topic>, LogError> {
        if let Some(topic) = self.known.read().get(name) {
            return same(topic.clone(), partitions);
        }
        let full = self.broker.full_name(name);
        let found = match self.broker.found_partitions(&full)? {
            Some(found) => {
                self.broker.check_settings(&full, kind)?;
                found
            }
            None => {
                self.broker.make_topic(&full, partitions, kind)?;
                partitions
            }
        };
        let topic = Arc::new(Topic {
            name,
            full,
            partitions: found,
            backlogs: (0..found).map(|_| Backlogs::default()).collect(),
            ends: (0..found).map(|_| AtomicU64::new(0)).collect(),
            heard_ms: AtomicI64::new(0),
        });
        let topic = same(topic, partitions)?;
        Ok(self.known.write().entry(name).or_insert(topic).clone())
    }
}

impl Broker {
    pub(crate) fn found_partitions(&self, full: &str) -> Result<Option<u32>, LogError> {
        let metadata = self.asker.fetch_metadata(Some(full), ASK);
        let metadata = metadata.map_err(|error| self.unreachable(&error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == full && topic.error().is_none());
        Ok(topic.map(|topic| topic.partitions().len() as u32).filter(|count| *count > 0))
    }

    /// Whether the topic is there and fits.
    pub(crate) fn check_topic(&self, name: &str, asked: u32, kind: &Kind) -> Result<bool, LogError> {
        let full = self.full_name(name);
        match self.found_partitions(&full)? {
            None => Ok(false),
            Some(found) if found != asked => Err(LogError::Mismatch { topic: full, asked, found }),
            Some(_) => self.check_settings(&full, kind).map(|()| true),
        }
    }

    /// Deletes every topic whose name begins with the prefix.
    pub(crate) fn delete_topics(&self) -> Result<(), LogError> {
        let metadata = self.asker.fetch_metadata(None, ASK).map_err(|error| self.unreachable(&error))?;
        let ours = metadata.topics().iter().map(|topic| topic.name());
        let names: Vec<String> =
            ours.filter(|name| name.starts_with(&self.options.prefix)).map(str::to_owned).collect();
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = AdminOptions::new().operation_timeout(Some(MAKE)).request_timeout(Some(MAKE));
        run(self.admin.delete_topics(&names, &options)).map(drop)
    }

    fn make_topic(&self, full: &str, partitions: u32, kind: &Kind) -> Result<(), LogError> {
        let settings = kind.settings();
        let copies = self.replication;
        let least = (copies - 1).max(1).to_string();
        let mut new = NewTopic::new(full, partitions as i32, TopicReplication::Fixed(copies));
        for (key, value) in settings.iter().map(|(k, v)| (*k, v)).chain([("min.insync.replicas", &least)]) {
            new = new.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(MAKE)).request_timeout(Some(MAKE));
        let results = run(self.admin.create_topics([&new], &options))?;
        for result in results {
            match result {
                // Another process made it at the same moment, with the same settings or not: look again.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((
                    _,
                    RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed,
                )) => {
                    return Err(LogError::Config(format!(
                        "topic {full} is missing and this user may not make it; make it with {partitions} partitions and {settings:?}, or grant CREATE"
                    )));
                }
                Err((_, code)) => {
                    return Err(LogError::Config(format!("topic {full} could not be made: {code}")));
                }
                Ok(_) => {}
            }
        }
        for _ in 0..600 {
            if let Some(found) = self.found_partitions(full)? {
                if found != partitions {
                    return Err(LogError::Mismatch { topic: full.to_owned(), asked: partitions, found });
                }
                return self.check_settings(full, kind);
            }
            self.pause(Duration::from_millis(50));
        }
        Err(LogError::Unavailable(format!("topic {full} was made but does not appear")))
    }

    fn check_settings(&self, full: &str, kind: &Kind) -> Result<(), LogError> {
        if !self.options.check_settings {
            return Ok(());
        }
        let options = AdminOptions::new().request_timeout(Some(ASK));
        let results = run(self.admin.describe_configs([&ResourceSpecifier::Topic(full)], &options))?;
        let Some(Ok(found)) = results.into_iter().next() else {
            tracing::warn!(
                topic = full,
                "its settings cannot be read with these rights; they are not checked"
            );
            return Ok(());
        };
        let mut wrong = Vec::new();
        for (name, wanted) in kind.settings() {
            let value = found.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or("");
            let number = |text: &str| text.parse::<i64>().unwrap_or(0);
            let fits = match name {
                "max.message.bytes" => number(value) >= number(&wanted),
                // Keeping more than asked for does no harm.
                "retention.ms" => {
                    number(value) == -1 || (number(&wanted) != -1 && number(value) >= number(&wanted))
                }
                "min.compaction.lag.ms" => number(value) >= number(&wanted),
                _ => value == wanted,
            };
            if !fits {
                wrong.push(format!("{name}={value} where {wanted} is needed"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(LogError::Config(format!(
            "topic {full} does not fit: {}; set them with kafka-configs --alter --entity-type topics --entity-name {full}",
            wrong.join(", ")
        )))
    }
}

fn same(topic: Arc<Topic>, asked: u32) -> Result<Arc<Topic>, LogError> {
    let found = topic.partitions;
    if found == asked {
        Ok(topic)
    } else {
        Err(LogError::Mismatch { topic: topic.full.clone(), asked, found })
    }
}
