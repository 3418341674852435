//! What can be set, and the client configurations that follow from it.

use std::{collections::BTreeMap, fmt, time::Duration};

use rdkafka::ClientConfig;
use stockade_log::LogError;

/// A secret: never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// How connections are secured and who we are.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// TLS on or off.
    pub tls: bool,
    /// A PEM file of the authorities to trust; the system's when empty.
    pub ca_file: String,
    /// A PEM file of our certificate, for mutual TLS.
    pub certificate_file: String,
    /// A PEM file of its key.
    pub key_file: String,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; no authentication when empty.
    pub sasl_mechanism: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// How to reach Kafka and how to use it.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// Put before the name of every topic, group and transaction, so that several installations can share a cluster.
    pub prefix: String,
    /// Names this process among those of the installation. The same name after a restart ends transactions that the
    /// former process left open at once; another one lets them run into their time-out.
    pub instance: String,
    /// Copies of each partition of topics made here; as many as there are brokers, at most 3, when `None`.
    pub replication: Option<i32>,
    /// Whether the settings of existing topics are checked at start; off where a cluster does not let them be read.
    pub check_settings: bool,
    /// Counts how often the topics were made anew, so that positions keep growing; starts with 1.
    pub generation: u32,
    /// After this long without a sign of life a member loses its partitions, in milliseconds.
    pub session_timeout_ms: u32,
    /// After this long the broker ends an open transaction of a process that died, in milliseconds.
    pub transaction_timeout_ms: u32,
    /// Records fetched ahead per partition.
    pub prefetch_records: u32,
    /// Bytes fetched ahead per consumer.
    pub prefetch_bytes: u32,
    /// Security.
    pub security: Security,
    /// Further settings of librdkafka by name. Those the contract of the log rests on are refused.
    pub settings: BTreeMap<String, String>,
}

impl KafkaOptions {
    /// Everything as usual, for these brokers.
    pub fn new(brokers: impl Into<String>, instance: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: String::new(),
            instance: instance.into(),
            replication: None,
            check_settings: true,
            generation: 1,
            session_timeout_ms: 6_000,
            transaction_timeout_ms: 10_000,
            prefetch_records: 10_000,
            prefetch_bytes: 16 << 20,
            security: Security::default(),
            settings: BTreeMap::new(),
        }
    }
}

/// Settings that the contract rests on, or that have an option of their own.
const PROTECTED: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.send.max.retries",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "request.required.acks",
    "retries",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "transaction.timeout.ms",
    "transactional.id",
];

/// What the names of our clients begin with; the name of the process follows.
pub(crate) const CLIENT: &str = "stockade-";
/// The largest record, in bytes: the API's largest body, and room.
pub(crate) const RECORD_BYTES_MAX: usize = 8 << 20;
/// Largest batch of one append, in bytes.
pub(crate) const BATCH_BYTES_MAX: usize = 32 << 20;

impl KafkaOptions {
    /// Checks what can be checked without a broker.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let mut wrong = Vec::new();
        if self.brokers.trim().is_empty() {
            wrong.push("kafka.brokers is empty; give host:port".to_owned());
        }
        if self.instance.is_empty() {
            wrong.push("kafka.instance is empty; give this process a name".to_owned());
        }
        for key in self.settings.keys().filter(|key| PROTECTED.contains(&key.as_str())) {
            wrong.push(format!("kafka.settings.{key} cannot be set: the log's guarantees rest on it or it has an option of its own"));
        }
        let Security { sasl_mechanism, username, password, .. } = &self.security;
        if !["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&sasl_mechanism.as_str()) {
            wrong.push(format!("kafka.security.sasl_mechanism {sasl_mechanism:?} is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"));
        }
        if !sasl_mechanism.is_empty() && (username.is_empty() || password.0.is_empty()) {
            wrong.push("kafka.security.sasl_mechanism needs username and password".to_owned());
        }
        wrong.extend(self.security.not_built(cfg!(feature = "tls")));
        if wrong.is_empty() { Ok(()) } else { Err(LogError::Config(wrong.join("; "))) }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", format!("{CLIENT}{}", self.instance))
            // Topics are made here with what they need. A producer would else have brokers make whatever it asks about.
            .set("allow.auto.create.topics", "false")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", "10000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "60000");
        let Security { tls, ca_file, certificate_file, key_file, sasl_mechanism, username, password } =
            &self.security;
        config.set(
            "security.protocol",
            match (tls, sasl_mechanism.is_empty()) {
                (false, true) => "plaintext",
                (true, true) => "ssl",
                (false, false) => "sasl_plaintext",
                (true, false) => "sasl_ssl",
            },
        );
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                config.set(name, value);
            }
        };
        set("ssl.ca.location", ca_file);
        set("ssl.certificate.location", certificate_file);
        set("ssl.key.location", key_file);
        if !sasl_mechanism.is_empty() {
            set("sasl.mechanism", sasl_mechanism);
            set("sasl.username", username);
            set("sasl.password", &password.0);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    /// For administration and for asking about offsets; with `decided`, ends are those of what is decided.
    pub(crate) fn admin(&self, decided: bool) -> ClientConfig {
        let mut config = self.client();
        config.set("isolation.level", if decided { "read_committed" } else { "read_uncommitted" });
        config
    }

    /// For appends: idempotent, in order, without a gap, without giving up.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            // 0 is for ever: a record given up on would be a gap. Who waits has a deadline of his own.
            .set("message.timeout.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            // Bounded per partition in front of it; this is only what all of them together may reach.
            .set("queue.buffering.max.messages", "10000000")
            .set("queue.buffering.max.kbytes", "2097151");
        config
    }

    /// For the commits of one group.
    pub(crate) fn committer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("transactional.id", format!("{}{group}.{}", self.prefix, self.instance))
            .set("transaction.timeout.ms", self.transaction_timeout_ms.to_string())
            // No single request may outlive the transaction.
            .set("socket.timeout.ms", self.transaction_timeout_ms.min(10_000).to_string())
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string());
        config
    }

    /// For copying a changelog: what a former process of the same name left open is ended by its start. No transaction is ended
    /// by the broker before `timeout`, which may be longer than one of a commit, because nobody waits for what it holds up.
    pub(crate) fn copier(&self, timeout: Duration) -> ClientConfig {
        let mut config = self.committer("mirror");
        let timeout_ms = timeout.as_millis().max(u128::from(self.transaction_timeout_ms));
        config.set("transaction.timeout.ms", timeout_ms.to_string());
        // One mirror for a copy, wherever it runs.
        config.set("transactional.id", format!("{}mirror", self.prefix));
        config
    }

    /// For membership in a group; it fetches nothing.
    pub(crate) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.reader(group);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (self.session_timeout_ms / 4).to_string())
            .set("max.poll.interval.ms", self.session_timeout_ms.max(120_000).to_string());
        config
    }

    /// For reading partitions chosen by hand.
    pub(crate) fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", format!("{}{group}", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.message.max.bytes", (1 << 20).to_string())
            .set("queued.min.messages", self.prefetch_records.to_string())
            .set("queued.max.messages.kbytes", (self.prefetch_bytes / 1_024).max(1).to_string());
        config
    }

    /// For one pass over a partition up to its end.
    pub(crate) fn scanner(&self, group: &str) -> ClientConfig {
        let mut config = self.reader(group);
        config.set("enable.partition.eof", "true");
        config
    }
}

impl Security {
    /// What it asks for that this build does not have.
    fn not_built(&self, with_tls: bool) -> Option<String> {
        let asked = match self.sasl_mechanism.as_str() {
            _ if with_tls => return None,
            _ if self.tls => "kafka.security.tls",
            "SCRAM-SHA-256" | "SCRAM-SHA-512" => "kafka.security.sasl_mechanism SCRAM",
            _ => return None,
        };
        Some(format!(
            "{asked} needs a build with TLS: `cargo build --release --features tls`, with OpenSSL's headers (libssl-dev), or the container image"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_the_guarantees_rest_on_are_refused_by_name_and_all_together() {
        let mut options = KafkaOptions::new("", "a");
        options.settings.insert("acks".to_owned(), "1".to_owned());
        options.settings.insert("socket.timeout.ms".to_owned(), "5000".to_owned());
        options.security.sasl_mechanism = "GSSAPI".to_owned();
        let Err(LogError::Config(text)) = options.check() else { panic!("it was accepted") };
        for part in ["kafka.brokers", "kafka.settings.acks", "GSSAPI", "username"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("socket.timeout.ms"));
    }

    #[test]
    fn what_needs_openssl_is_refused_by_a_build_without_it() {
        let of = |tls, mechanism: &str| Security {
            tls,
            sasl_mechanism: mechanism.to_owned(),
            ..Security::default()
        };
        for (security, refused) in [
            (of(true, ""), true),
            (of(false, "SCRAM-SHA-256"), true),
            (of(false, "PLAIN"), false),
            (of(false, ""), false),
        ] {
            assert_eq!(security.not_built(true), None);
            let said = security.not_built(false);
            assert_eq!(said.is_some(), refused, "{said:?}");
            assert!(said.is_none_or(|said| said.contains("--features tls")));
        }
    }

    #[test]
    fn a_mirror_has_longer_for_a_transaction_than_a_commit_unless_commits_have_longer_still() {
        let mut options = KafkaOptions::new("b:1", "a");
        let of = |options: &KafkaOptions| {
            let config = options.copier(Duration::from_secs(120));
            config.get("transaction.timeout.ms").unwrap().to_owned()
        };
        assert_eq!(of(&options), "120000");
        options.transaction_timeout_ms = 300_000;
        assert_eq!(of(&options), "300000");
    }

    #[test]
    fn a_password_is_never_printed() {
        let mut options = KafkaOptions::new("b:1", "a");
        options.security.password = Secret("hunter2".to_owned());
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
