//! Configuration of `stockade serve` and `stockade doctor`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use stockade_inventory::{
    bounds::Bounds, buyers::BuyersConfig, imports::ImportsConfig, picture::PictureBounds, promises::Promises,
    replica::ReplicaBounds,
};
use stockade_log_kafka::{KafkaOptions, Secret};
use stockade_runtime::{
    BrownoutConfig, Connections, Cors, LimitsConfig, SessionBounds, config, telemetry::LogFormat,
};
use stockade_webhooks::WebhooksConfig;

use crate::{address::Address, platform::Roles};

/// Everything, by component.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which services run here: `all`, or several of `inventory`, `scoring` and `lockout` with commas between; or `replica`,
    /// which answers buyers from a copy of another region's log and takes nothing in.
    pub role: RoleNames,
    /// The HTTP servers.
    pub http: Http,
    /// What callers may take of a server together, and what is put off when it is behind.
    pub edge: EdgeConfig,
    /// The log.
    pub log: Log,
    /// Kafka instead of the embedded log, when `kafka.brokers` is set.
    pub kafka: Kafka,
    /// Redis instead of a file for what is in force, when `redis.url` is set.
    pub redis: Redis,
    /// API keys.
    pub keys: Keys,
    /// Rate limits by class.
    pub limits: LimitsConfig,
    /// What is promised, by category, of orders whose order system promises nothing.
    pub promises: Promises,
    /// Imports of whole files.
    pub imports: ImportsConfig,
    /// What happens, told to systems outside.
    pub webhooks: WebhooksConfig,
    /// A second platform beside the live one, for integrators.
    pub sandbox: SandboxConfig,
    /// What holds for the role `replica`.
    pub replica: ReplicaConfig,
    /// What is kept on the disk of what buyers see, for a start while Kafka cannot be reached.
    pub picture: PictureConfig,
    /// Rules.
    pub rules: Rules,
    /// The console.
    pub console: Console,
    /// What is logged and how.
    pub telemetry: Telemetry,
}

/// The HTTP servers.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where the API listens: every call, whoever makes it.
    pub listen: Address,
    /// A further address that answers buyers alone, so that a proxy or firewall before it can be theirs too; none when absent.
    pub buyers_listen: Option<Address>,
    /// How much the threads that take in what suppliers and order systems send, and those of the folds behind them, stand back for
    /// the others where all want a core, as `nice` counts it: 0 (not at all) to 19.
    pub suppliers_nice: i32,
    /// Where probes and metrics listen. Keep it away from the outside.
    pub admin_listen: Address,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Which pages in browsers may call.
    pub cors: Cors,
    /// How many connections the API keeps of buyers, of suppliers with order systems, and of people, each, and how slow their
    /// peers may be.
    pub connections: Connections,
    /// How long a write waits for its outcome before it is answered with 202 and a link to it, in milliseconds;
    /// with 0 every write is.
    pub answer_deadline_ms: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Address::from(([127, 0, 0, 1], 7400)),
            buyers_listen: None,
            suppliers_nice: 5,
            admin_listen: Address::from(([127, 0, 0, 1], 7401)),
            body_bytes_max: 2 << 20,
            cors: Cors::default(),
            connections: Connections::default(),
            answer_deadline_ms: 2_000,
        }
    }
}

/// What callers may take of a server together, and what is put off when it is behind.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeConfig {
    /// For how many days after `since` of its registration a supplier is new and shares the class `new` of the limits.
    pub new_supplier_days: u32,
    /// Listings that one supplier may have on the market. Withdrawn ones free their places; with these, five times as many are kept.
    pub listings_max: u64,
    /// The same for a supplier that is new or under suspicion. Whoever moves in with more is registered with the `since` by which it
    /// is not new.
    pub new_listings_max: u64,
    /// Locations that one supplier may have.
    pub locations_max: u64,
    /// Bytes of request bodies that may be in memory at once; of buyers a quarter of it beside.
    pub bodies_bytes_max: usize,
    /// Order events that may wait for intake; past it further ones are answered 503 `put_off` for a second, so that intake never
    /// lags for longer than it takes to go through these. With 0 as many as it went through in a second when it was last behind, at
    /// least 5000, and 20000 until that was measured.
    pub events_waiting_max: u64,
    /// The ladder of what is put off.
    pub brownout: BrownoutConfig,
    /// What one buyer's key may have at once; in force without a restart.
    pub buyers: BuyersConfig,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        let Bounds { listings_max, new_listings_max, locations_max } = Bounds::default();
        Self {
            new_supplier_days: 14,
            listings_max,
            new_listings_max,
            locations_max,
            bodies_bytes_max: 256 << 20,
            events_waiting_max: 0,
            brownout: BrownoutConfig::default(),
            buyers: BuyersConfig::default(),
        }
    }
}

impl EdgeConfig {
    /// How much one supplier may have.
    pub fn bounds(&self) -> Bounds {
        let Self { listings_max, new_listings_max, locations_max, .. } = *self;
        Bounds { listings_max, new_listings_max, locations_max }
    }
}

/// The last picture of what buyers see: kept in the data directory by a process on Kafka that answers them, and shown by it when it
/// starts while Kafka cannot be reached.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PictureConfig {
    /// Seconds between two pictures of what is offered; what is withheld is written within a second or so of each change. Writing
    /// takes at most a twentieth of one core, so with many listings the pause is longer. With 0 none is kept and none shown.
    pub every_s: u64,
    /// How old a picture may be when it is shown, in seconds. While Kafka is away for all, nobody can be locked out, and only stock
    /// gets less right with its age. A process that was down, or is cut off from a Kafka that others reach, does not hear of
    /// whom they lock out meanwhile: that is what this bounds.
    pub age_max_s: u64,
    /// How large a picture may get, in bytes; two of them need room at once. One listing takes about 100.
    pub bytes_max: u64,
}

impl Default for PictureConfig {
    fn default() -> Self {
        Self { every_s: 60, age_max_s: 3_600, bytes_max: 4 << 30 }
    }
}

impl PictureConfig {
    /// As the service wants it; `None` where no pictures are kept.
    pub(crate) fn bounds(&self) -> Option<PictureBounds> {
        (self.every_s > 0).then(|| PictureBounds {
            every: Duration::from_secs(self.every_s),
            age_max_ms: i64::try_from(self.age_max_s.saturating_mul(1_000)).unwrap_or(i64::MAX),
            bytes_max: self.bytes_max,
        })
    }
}

/// A replica in another region.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicaConfig {
    /// Where the origin's API is, such as `https://eu.example.com`: told to whoever would write. May be empty.
    pub origin: String,
    /// How old what buyers are shown may be, in milliseconds. Past it they are answered 503 `mirror_stale`, for an offer may
    /// be withheld at the origin by then. A mirror says once a second that it is there.
    pub staleness_max_ms: u64,
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self { origin: String::new(), staleness_max_ms: 30_000 }
    }
}

impl ReplicaConfig {
    /// As the service wants it.
    pub(crate) fn bounds(&self) -> ReplicaBounds {
        let staleness_max_ms = i64::try_from(self.staleness_max_ms).unwrap_or(i64::MAX);
        ReplicaBounds { origin: self.origin.clone(), staleness_max_ms }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.staleness_max_ms < 2_000 {
            wrong.push(
                "replica.staleness_max_ms must be 2000 or more: the mirror is heard of once a second"
                    .to_owned(),
            );
        }
        if !(self.origin.is_empty()
            || self.origin.starts_with("http://")
            || self.origin.starts_with("https://"))
        {
            wrong.push("replica.origin must begin with https:// or http://".to_owned());
        }
        wrong
    }
}

/// The console.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// How long a session lasts without use, in milliseconds.
    pub session_idle_ms: u64,
    /// How long a session lasts however much it is used, in milliseconds.
    pub session_max_ms: u64,
}

impl Default for Console {
    fn default() -> Self {
        let SessionBounds { idle_ms, max_ms } = SessionBounds::default();
        Self { session_idle_ms: idle_ms.unsigned_abs(), session_max_ms: max_ms.unsigned_abs() }
    }
}

impl Console {
    /// How long sessions last.
    pub(crate) fn bounds(&self) -> SessionBounds {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        SessionBounds { idle_ms: ms(self.session_idle_ms), max_ms: ms(self.session_max_ms) }
    }
}

/// Names of roles.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RoleNames(pub String);

impl Default for RoleNames {
    fn default() -> Self {
        Self("all".to_owned())
    }
}

impl RoleNames {
    /// The roles named.
    pub fn roles(&self) -> Result<Roles, String> {
        let mut roles = Roles { inventory: false, scoring: false, lockout: false, replica: false };
        for name in self.0.split(',').map(str::trim) {
            match name {
                "all" => roles = Roles::ALL,
                "inventory" => roles.inventory = true,
                "scoring" => roles.scoring = true,
                "lockout" => roles.lockout = true,
                "replica" => roles.replica = true,
                other => {
                    return Err(format!(
                        "role {other:?} is none of inventory, scoring, lockout, replica, all"
                    ));
                }
            }
        }
        if roles.replica && (roles.inventory || roles.scoring || roles.lockout) {
            return Err("role replica runs alone: it reads a copy, and the others write".to_owned());
        }
        Ok(roles)
    }
}

/// How to reach Kafka and how to use it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port`, comma-separated; the embedded log is used when empty.
    pub brokers: String,
    /// Put before the name of every topic, group and transaction.
    pub prefix: String,
    /// Names this process; best one that stays the same when it restarts, as a pod of a StatefulSet has.
    pub instance: String,
    /// Copies of each partition of topics made here; as many as there are brokers, at most 3, when absent.
    pub replication: Option<i32>,
    /// Whether the settings of existing topics are checked at start.
    pub check_settings: bool,
    /// Raise it after making topics anew, so that positions keep growing.
    pub generation: u32,
    /// After this long without a sign of life a process loses its partitions.
    pub session_timeout_ms: u32,
    /// After this long the broker ends an open transaction of a process that died.
    pub transaction_timeout_ms: u32,
    /// Records fetched ahead per partition.
    pub prefetch_records: u32,
    /// Bytes fetched ahead per consumer.
    pub prefetch_bytes: u32,
    /// TLS and SASL.
    pub security: Security,
    /// Further settings of librdkafka.
    #[serde(serialize_with = "without_secrets")]
    pub settings: BTreeMap<String, String>,
}

/// Settings as they may be shown: some hold what opens keys.
fn without_secrets<S: serde::Serializer>(
    settings: &BTreeMap<String, String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let is_secret =
        |name: &str| ["password", "secret", "pem", "jaas", "token"].iter().any(|part| name.contains(part));
    to.collect_map(settings.iter().map(|(name, value)| (name, if is_secret(name) { "***" } else { value })))
}

impl Default for Kafka {
    fn default() -> Self {
        let usual = KafkaOptions::new("", "");
        Self {
            brokers: String::new(),
            prefix: String::new(),
            instance: String::new(),
            replication: None,
            check_settings: usual.check_settings,
            generation: usual.generation,
            session_timeout_ms: usual.session_timeout_ms,
            transaction_timeout_ms: usual.transaction_timeout_ms,
            prefetch_records: usual.prefetch_records,
            prefetch_bytes: usual.prefetch_bytes,
            security: Security::default(),
            settings: BTreeMap::new(),
        }
    }
}

/// TLS and SASL towards Kafka.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// TLS on or off.
    pub tls: bool,
    /// A PEM file of the authorities to trust; the system's when empty.
    pub ca_file: String,
    /// A PEM file of our certificate, for mutual TLS.
    pub certificate_file: String,
    /// A PEM file of its key.
    pub key_file: String,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: String,
    /// User name.
    pub username: String,
    /// Password; best given as the variable `STOCKADE_KAFKA__SECURITY__PASSWORD`.
    pub password: Hidden,
}

/// A text that is never printed.
#[derive(Clone, Default, serde::Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

impl serde::Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl Kafka {
    /// Whether Kafka is to be used.
    pub fn used(&self) -> bool {
        !self.brokers.is_empty()
    }
    /// As the adapter wants it; `fallback` names the process when nothing else does.
    pub fn options(&self, fallback: &str) -> KafkaOptions {
        let Security { tls, ca_file, certificate_file, key_file, sasl_mechanism, username, password } =
            self.security.clone();
        KafkaOptions {
            brokers: self.brokers.clone(),
            prefix: self.prefix.clone(),
            instance: if self.instance.is_empty() { fallback.to_owned() } else { self.instance.clone() },
            replication: self.replication,
            check_settings: self.check_settings,
            generation: self.generation,
            session_timeout_ms: self.session_timeout_ms,
            transaction_timeout_ms: self.transaction_timeout_ms,
            prefetch_records: self.prefetch_records,
            prefetch_bytes: self.prefetch_bytes,
            security: stockade_log_kafka::Security {
                tls,
                ca_file,
                certificate_file,
                key_file,
                sasl_mechanism,
                username,
                password: Secret(password.0),
            },
            settings: self.settings.clone(),
        }
    }
}

/// How to reach Redis.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// `redis://…`, `redis+sentinel://…/master` or `redis+cluster://…`, `rediss` for TLS; a file is used when empty. May
    /// hold a password, so it is never printed.
    pub url: Hidden,
    /// Begins every key.
    pub prefix: String,
    /// Limit of every call.
    pub timeout_ms: u64,
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: Hidden::default(), prefix: "stockade".to_owned(), timeout_ms: 1_000 }
    }
}

/// The sandbox.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// The file of its keys; `sandbox/keys.jsonl` in the data directory when absent.
    pub keys_file: Option<PathBuf>,
}

/// API keys.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The key file; `keys.jsonl` in the data directory when absent. All processes of an installation need the same.
    pub file: Option<PathBuf>,
    /// Keys that `stockade keys create` makes in one file within an hour, whoever asks; the command reads it each time.
    pub per_hour_max: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self { file: None, per_hour_max: 2_000 }
    }
}

/// Flags of commands that need to know the installation; they win over environment and file.
#[derive(clap::Args, Clone, Default)]
pub struct Place {
    /// A YAML configuration file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The data directory.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Partitions of supplier-keyed topics; fixed once they exist.
    #[arg(long)]
    pub partitions: Option<u32>,
    /// Which services run here: all, or several of inventory, scoring and lockout with commas between; or replica.
    #[arg(long)]
    pub role: Option<String>,
    /// Kafka's brokers (host:port, comma-separated) instead of the embedded log.
    #[arg(long)]
    pub kafka: Option<String>,
    /// Redis (redis://host:port) instead of a file for what is in force.
    #[arg(long)]
    pub redis: Option<String>,
}

impl Config {
    /// File, then environment, then flags, and what must hold between them.
    pub fn read(place: &Place, more: &[(&str, Option<String>)]) -> Result<Self, String> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let file = place.config.as_ref().map(read).transpose()?;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let mut flags = vec![
            ("log.directory", path(&place.data)),
            ("log.partitions", place.partitions.map(|number| number.to_string())),
            ("role", place.role.clone()),
            ("kafka.brokers", place.kafka.clone()),
            ("redis.url", place.redis.clone()),
        ];
        flags.extend_from_slice(more);
        let config: Self = config::load(file.as_deref(), std::env::vars(), &flags)?;
        let mut wrong = Vec::new();
        if !(1..=1_024).contains(&config.log.partitions) {
            wrong.push("log.partitions must be 1 to 1024".to_owned());
        }
        if config.log.disk_warn_bytes < config.log.disk_reserve_bytes {
            wrong.push(
                "log.disk_warn_bytes must not be less than log.disk_reserve_bytes: a warning comes before"
                    .to_owned(),
            );
        }
        wrong.extend(config.http.cors.problems());
        wrong.extend(config.edge.brownout.problems().iter().map(|what| format!("edge.brownout.{what}")));
        wrong.extend(config.edge.buyers.problems().iter().map(|what| format!("edge.buyers.{what}")));
        if config.picture.every_s > 86_400 {
            wrong.push("picture.every_s must be 0 (no pictures) to 86400".to_owned());
        }
        if config.edge.new_supplier_days > 36_500 {
            wrong.push("edge.new_supplier_days must be 0 to 36500".to_owned());
        }
        let Bounds { listings_max, new_listings_max, locations_max } = config.edge.bounds();
        for (name, bound) in [
            ("listings_max", listings_max),
            ("new_listings_max", new_listings_max),
            ("locations_max", locations_max),
        ] {
            if bound == 0 {
                wrong.push(format!("edge.{name} must be at least 1"));
            }
        }
        if (1..1_000).contains(&config.edge.events_waiting_max) {
            wrong.push(
                "edge.events_waiting_max must be 0 (measured) or at least 1000, a whole request".to_owned(),
            );
        }
        if !(0..=19).contains(&config.http.suppliers_nice) {
            wrong.push("http.suppliers_nice must be 0 to 19".to_owned());
        }
        wrong
            .extend(config.http.connections.problems().iter().map(|what| format!("http.connections.{what}")));
        wrong.extend(config.imports.problems().iter().map(|what| format!("imports.{what}")));
        wrong.extend(config.webhooks.problems().iter().map(|what| format!("webhooks.{what}")));
        wrong.extend(config.replica.problems());
        match config.role.roles() {
            Err(error) => wrong.push(error),
            Ok(roles) if roles != Roles::ALL && !config.kafka.used() => wrong.push(
                "the embedded log is for one process with all roles; give --kafka to run roles apart"
                    .to_owned(),
            ),
            Ok(_) => {}
        }
        if wrong.is_empty() { Ok(config) } else { Err(wrong.join("; ")) }
    }

    /// The edge, with what one buyer may have bounded by what the server keeps.
    pub(crate) fn edge_in_place(&self) -> EdgeConfig {
        let buyers = self.edge.buyers.clone().within(self.http.connections.per_key_max());
        EdgeConfig { buyers, ..self.edge.clone() }
    }

    /// Imports, with the directory they are kept in.
    pub fn imports_in_place(&self) -> ImportsConfig {
        let directory = self.imports.directory.clone().unwrap_or_else(|| self.log.directory.join("imports"));
        ImportsConfig { directory: Some(directory), ..self.imports.clone() }
    }

    /// Where the key is that secrets of webhooks derive from; none where each process would make one of its own.
    pub fn webhooks_key_file(&self) -> Option<PathBuf> {
        let own = (!self.kafka.used()).then(|| self.log.directory.join("webhooks.key"));
        self.webhooks.key_file.clone().or(own)
    }

    /// Where the keys are.
    pub fn keys_file(&self) -> PathBuf {
        self.keys.file.clone().unwrap_or_else(|| crate::keys::path(Path::new(&self.log.directory)))
    }
}

/// The log.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The data directory: the embedded log, the key file, the file of what is in force.
    pub directory: PathBuf,
    /// Partitions of supplier-keyed topics. Fixed once they exist.
    pub partitions: u32,
    /// Embedded log: whether an acknowledgement waits for fsync. Without it, a loss of power may lose acknowledged writes.
    pub fsync: bool,
    /// Embedded log: bytes of the disk that are kept back. With less than that free, writes are answered 507 `disk_full`
    /// until there is room again; the store needs some hundred MiB to compact what it holds.
    pub disk_reserve_bytes: u64,
    /// Free bytes of the disk under the data directory below which `doctor` and the log warn.
    pub disk_warn_bytes: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("./stockade-data"),
            partitions: 12,
            fsync: true,
            disk_reserve_bytes: 1 << 30,
            disk_warn_bytes: 4 << 30,
        }
    }
}

/// Rules.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// A rule set to publish at start when it differs from the one in force. Without it, a new directory starts with
    /// the starter set and an old one keeps what it has.
    pub file: Option<PathBuf>,
}

/// What is logged and how.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// As `RUST_LOG`, which wins.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { filter: "info,fjall=warn,lsm_tree=warn".to_owned(), format: LogFormat::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_for_kubernetes_is_one_that_the_server_takes() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s/base/stockade.yaml");
        let place = Place { config: Some(file), role: Some("scoring".to_owned()), ..Place::default() };
        let config = Config::read(&place, &[]).unwrap();
        assert!(config.kafka.used() && config.role.roles().unwrap().scoring);
        assert_eq!(config.keys_file(), Path::new("/etc/stockade-keys/keys.jsonl"));
    }

    #[test]
    fn the_configuration_for_another_region_is_one_that_a_replica_takes() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s/region/replica.yaml");
        let place = Place { config: Some(file), role: Some("replica".to_owned()), ..Place::default() };
        let bounds = Config::read(&place, &[]).unwrap().replica.bounds();
        assert!(bounds.origin.starts_with("https://") && bounds.staleness_max_ms == 30_000);
    }

    #[test]
    fn a_replica_runs_alone_on_kafka_and_says_what_its_bounds_may_be() {
        let read = |role: &str, kafka: Option<&str>, more: &[(&str, Option<String>)]| {
            let (role, kafka) = (Some(role.to_owned()), kafka.map(str::to_owned));
            Config::read(&Place { role, kafka, ..Place::default() }, more)
        };
        let roles = read("replica", Some("k:1"), &[]).unwrap().role.roles().unwrap();
        assert!(roles.replica && !roles.inventory && !roles.lockout && !roles.scoring);
        assert!(read("replica,inventory", Some("k:1"), &[]).unwrap_err().contains("alone"));
        assert!(read("replica", None, &[]).unwrap_err().contains("--kafka"));
        let more = [
            ("replica.origin", Some("eu.example".to_owned())),
            ("replica.staleness_max_ms", Some("10".to_owned())),
        ];
        let error = read("replica", Some("k:1"), &more).unwrap_err();
        assert!(error.contains("replica.origin") && error.contains("replica.staleness_max_ms"), "{error}");
    }

    #[test]
    fn everything_that_is_wrong_is_said_together_and_no_secret_with_it() {
        let place = Place { role: Some("everything".to_owned()), partitions: Some(0), ..Place::default() };
        let more = [
            ("redis.url", Some("redis://:hunter2@r:1".to_owned())),
            ("http.connections.idle_ms", Some("0".to_owned())),
            ("edge.events_waiting_max", Some("10".to_owned())),
        ];
        let error = Config::read(&place, &more).unwrap_err();
        for named in ["everything", "log.partitions", "http.connections.idle_ms", "edge.events_waiting_max"] {
            assert!(error.contains(named), "{error}");
        }
        let config = Config::read(&Place::default(), &more[..1]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
    }
}
