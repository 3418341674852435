//! Servers that scenarios measure: Kafka, Redis, `stockade serve` beside us, and arms that this program plays itself.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stockade_testkit::{Kafka, KafkaOptions, Process, wait_until};

use crate::generator::Connection;

pub(crate) const PARTITIONS: u32 = 12;
const PATIENCE: Duration = Duration::from_secs(60);
/// A start reads all there is, which may be ten million listings on a machine that does other things.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// A running server; ends with this.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) api: SocketAddr,
    /// Where it tells its metrics; arms of this program tell none.
    pub(crate) admin: Option<SocketAddr>,
    /// Where it answers buyers alone; the address of everybody where it has none for them.
    pub(crate) buyers: SocketAddr,
}

/// Kafka of a scenario: the one `STOCKADE_TEST_KAFKA` names, or one of its own.
pub(crate) enum Brokers {
    Given(String),
    Own(Kafka),
}

impl Brokers {
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        match std::env::var("STOCKADE_TEST_KAFKA") {
            Ok(given) => Ok(Self::Given(given)),
            Err(_) => Ok(Self::Own(Kafka::start(&directory.join("kafka"), KafkaOptions::default())?)),
        }
    }
    pub(crate) fn addresses(&self) -> String {
        match self {
            Self::Given(addresses) => addresses.clone(),
            Self::Own(kafka) => kafka.addresses(),
        }
    }
}

/// The release build of the product, beside this program.
pub(crate) fn stockade() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("stockade");
    anyhow::ensure!(path.exists(), "build the product first: cargo build --release");
    Ok(path)
}

/// The rules that a new installation starts with.
pub(crate) fn starter_rules() -> Result<String> {
    let output = Command::new(stockade()?).args(["rules", "starter"]).output()?;
    anyhow::ensure!(output.status.success(), "no rules: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The file of rules that servers of a directory begin with. A scenario that needs others than most writes it first.
pub(crate) fn rules_file(directory: &Path) -> PathBuf {
    directory.join("rules.yaml")
}

/// `stockade serve` on free ports, with data, keys and the log of what it says in a directory.
fn serving(name: &str, directory: &Path, arguments: &[&str]) -> Result<Command> {
    // Most suppliers of some of these loads cheat, which the arbiter would take for a broken yardstick.
    let rules = rules_file(directory);
    if !rules.exists() {
        std::fs::write(&rules, format!("trust_up_to: 1000000\n{}", starter_rules()?))?;
    }
    let mut command = Command::new(stockade()?);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"])
        .arg(directory.join(name))
        .args(arguments)
        .env("STOCKADE_KEYS__FILE", directory.join("keys.jsonl"))
        .env("STOCKADE_RULES__FILE", &rules)
        .env("STOCKADE_KAFKA__INSTANCE", name)
        .env("RUST_LOG", "warn");
    Ok(command)
}

fn launch(name: &str, command: Command, directory: &Path, has_buyers: bool) -> Result<Server> {
    let log = directory.join(format!("{name}.log"));
    let _ = std::fs::remove_file(&log);
    let mut process = Process::start(name, command, &log)?;
    let (mut api, mut admin, mut buyers) = (None, None, None);
    let up = wait_until(PATIENCE, || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("api http://"));
        api = line.and_then(|line| line.split(' ').next()?.parse::<SocketAddr>().ok());
        admin = line.and_then(|line| line.split_once(" admin http://")?.1.trim().parse::<SocketAddr>().ok());
        let own = text.lines().find_map(|line| line.strip_prefix("buyers http://"));
        buyers = own.and_then(|own| own.trim().parse::<SocketAddr>().ok());
        (api.is_some() && (buyers.is_some() || !has_buyers)) || !process.runs()
    });
    let api = api.filter(|_| up).with_context(|| format!("{name} did not start, see {}", log.display()))?;
    let ready = wait_until(START_PATIENCE, || {
        Connection::open(api).and_then(|mut c| c.call("GET", "/readyz", "", b"")).is_ok_and(|(s, _)| s == 200)
    });
    anyhow::ensure!(ready, "{name} is not ready, see {}", log.display());
    Ok(Server { process, api, admin, buyers: buyers.unwrap_or(api) })
}

impl Server {
    /// `stockade serve` with these further arguments, and no limits: what is measured is the server and not its patience.
    pub(crate) fn stockade(name: &str, directory: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = serving(name, directory, arguments)?;
        for class in [
            "STANDARD",
            "LARGE",
            "LIMITED",
            "BUYER",
            "EVENTS",
            "STAFF",
            "NEW",
            "SUSPECT",
            "REGISTRATIONS",
            "PAYOUT",
            "REDUCTIONS",
        ] {
            command
                .env(format!("STOCKADE_LIMITS__{class}__PER_SECOND"), "4000000000")
                .env(format!("STOCKADE_LIMITS__{class}__BURST"), "4000000000");
        }
        for bound in ["LISTINGS_MAX", "NEW_LISTINGS_MAX", "LOCATIONS_MAX"] {
            command.env(format!("STOCKADE_EDGE__{bound}"), "4000000000");
        }
        command.env("STOCKADE_HTTP__CONNECTIONS__MAX", "16384");
        launch(name, command, directory, false)
    }
    /// The same with the limits that it has unless somebody says otherwise, and with an address for buyers alone.
    pub(crate) fn stockade_with_limits(name: &str, directory: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = serving(name, directory, arguments)?;
        let webhooks = directory.join("webhooks.key");
        std::fs::write(&webhooks, "5".repeat(64))?;
        command
            .args(["--buyers-listen", "127.0.0.1:0"])
            // Endpoints that hang are among what attackers have.
            .env("STOCKADE_WEBHOOKS__ALLOW_LOOPBACK", "true")
            .env("STOCKADE_WEBHOOKS__KEY_FILE", webhooks);
        launch(name, command, directory, true)
    }
    /// An arm of this program itself.
    pub(crate) fn arm(name: &str, directory: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        launch(name, command, directory, false)
    }
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.api)
    }
}

/// A key of a role.
pub(crate) fn key(directory: &Path, role: &[&str]) -> Result<String> {
    let mut command = Command::new(stockade()?);
    command.args(["keys", "create", "--data"]).arg(directory).arg("--role").args(role);
    let output = command.output()?;
    anyhow::ensure!(output.status.success(), "no key: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Repeats a call until it is answered with success.
pub(crate) fn insist(
    connection: &mut Connection,
    method: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> Result<Vec<u8>> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let mut last = (0, Vec::new());
    let done = wait_until(PATIENCE, || {
        last = connection.call(method, path, key, &body).unwrap_or_default();
        (200..300).contains(&last.0)
    });
    anyhow::ensure!(done, "{method} {path}: {} {}", last.0, String::from_utf8_lossy(&last.1));
    Ok(last.1)
}

/// A supplier with one location; gives its key, which is made if it is not given. A server knows a key that is made
/// while it runs only after a while.
pub(crate) fn supplier(
    directory: &Path,
    connection: &mut Connection,
    operator: &str,
    id: &str,
    known: Option<String>,
) -> Result<String> {
    supplier_since(directory, connection, operator, (id, Some("2020-01-01T00:00:00Z")), known)
}

/// The same of one that trades since then, or that comes just now.
pub(crate) fn supplier_since(
    directory: &Path,
    connection: &mut Connection,
    operator: &str,
    (id, since): (&str, Option<&str>),
    known: Option<String>,
) -> Result<String> {
    let mut profile = json!({ "name": id, "region": "DE" });
    if let Some(since) = since {
        profile["since"] = since.into();
    }
    insist(connection, "PUT", &format!("/v1/suppliers/{id}"), operator, &profile)?;
    let key = match known {
        Some(key) => key,
        None => key(directory, &["supplier", "--supplier", id])?,
    };
    let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 });
    insist(connection, "PUT", &format!("/v1/suppliers/{id}/locations/main"), &key, &place)?;
    Ok(key)
}
