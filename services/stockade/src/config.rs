//! Configuration of `stockade serve`.

use std::{net::SocketAddr, path::PathBuf};

use stockade_runtime::{LimitsConfig, telemetry::LogFormat};

/// Everything, by component.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The HTTP servers.
    pub http: Http,
    /// The embedded log.
    pub log: Log,
    /// Rate limits by class.
    pub limits: LimitsConfig,
    /// Rules.
    pub rules: Rules,
    /// What is logged and how.
    pub telemetry: Telemetry,
}

/// The HTTP servers.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where probes and metrics listen. Keep it away from the outside.
    pub admin_listen: SocketAddr,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// How long a write waits for its outcome before it is answered with 202 and a link to it, in milliseconds;
    /// with 0 every write is.
    pub answer_deadline_ms: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 7401)),
            body_bytes_max: 2 << 20,
            answer_deadline_ms: 2_000,
        }
    }
}

/// The embedded log.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The data directory.
    pub directory: PathBuf,
    /// Partitions of supplier-keyed topics. Fixed once the directory exists.
    pub partitions: u32,
    /// Whether an acknowledgement waits for fsync. Without it, a loss of power may lose acknowledged writes.
    pub fsync: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { directory: PathBuf::from("./stockade-data"), partitions: 12, fsync: true }
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
