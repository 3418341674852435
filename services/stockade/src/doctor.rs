//! `stockade doctor`: looks at everything a server needs, changes nothing, and says what to do about what it finds.

use crate::output::{count, say};
use anyhow::Result;
use serde_json::json;
use stockade_log::{Log as _, LogError, embedded::free_bytes};
use stockade_log_kafka::KafkaLog;
use stockade_model::Topic;
use stockade_quarantine::QuarantineStore as _;
use stockade_runtime::{KeyRing, clock};

use crate::{
    config::{Config, Place},
    connect, first,
    platform::topic_spec,
    stalls,
};

/// How far clocks may be apart, in milliseconds.
const CLOCK_SKEW_MS_MAX: i64 = 1_000;

/// Flags of `doctor`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Warning,
    Bad,
}

#[derive(Default)]
struct Findings(Vec<(Health, &'static str, String, String)>);

impl Findings {
    fn good(&mut self, what: &'static str, detail: impl Into<String>) {
        self.0.push((Health::Good, what, detail.into(), String::new()));
    }
    fn warn(&mut self, what: &'static str, detail: impl Into<String>, remedy: &str) {
        self.0.push((Health::Warning, what, detail.into(), remedy.to_owned()));
    }
    fn bad(&mut self, what: &'static str, detail: impl Into<String>, remedy: &str) {
        self.0.push((Health::Bad, what, detail.into(), remedy.to_owned()));
    }
    fn count(&self, health: Health) -> usize {
        self.0.iter().filter(|(of, ..)| *of == health).count()
    }
    fn print(&self, as_json: bool) {
        let word = |health| match health {
            Health::Good => "ok",
            Health::Warning => "warning",
            Health::Bad => "problem",
        };
        if as_json {
            let list: Vec<_> = self
                .0
                .iter()
                .map(|(health, what, detail, remedy)| {
                    json!({ "health": word(*health), "what": what, "detail": detail, "remedy": remedy })
                })
                .collect();
            say!(
                "{}",
                json!({ "problems": self.count(Health::Bad), "warnings": self.count(Health::Warning), "findings": list })
            );
            return;
        }
        for (health, what, detail, remedy) in &self.0 {
            say!("{:8} {what}: {detail}", word(*health));
            if !remedy.is_empty() {
                say!("         -> {remedy}");
            }
        }
    }
}

/// Looks, prints, and fails if anything is bad.
pub fn run(args: &Args) -> Result<()> {
    let mut findings = Findings::default();
    match Config::read(&args.place, &[]) {
        Err(error) => {
            findings.bad("configuration", error, "correct the file, the variable or the flag it names")
        }
        Ok(config) => {
            findings.good(
                "configuration",
                format!(
                    "role {}, {}",
                    config.role.0,
                    count(config.log.partitions, "partition", "partitions")
                ),
            );
            look(&config, &mut findings)?;
        }
    }
    findings.print(args.json);
    let bad = findings.count(Health::Bad);
    anyhow::ensure!(bad == 0, "{bad} problem(s) found");
    Ok(())
}

fn look(config: &Config, findings: &mut Findings) -> Result<()> {
    look_at_clock(findings);
    look_at_disk(config, findings);
    look_at_keys(config, findings);
    if config.kafka.used() {
        look_at_kafka(config, findings);
        look_at_picture(config, findings);
    } else {
        look_at_embedded(config, findings);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(look_at_redis(config, findings));
    Ok(())
}

fn look_at_clock(findings: &mut Findings) {
    // The day this was written: a clock before it is wrong for certain.
    const WRITTEN_MS: i64 = 1_795_305_600_000;
    let now_ms = clock::now_ms();
    if now_ms < WRITTEN_MS {
        findings.bad(
            "clock",
            "it shows a time before this program was written",
            "set the clock, best by NTP",
        );
    } else {
        findings.good("clock", stockade_model::Timestamp::from_ms(now_ms).to_string());
    }
}

fn look_at_disk(config: &Config, findings: &mut Findings) {
    let directory = &config.log.directory;
    let probe = directory.join(".doctor");
    if !directory.exists() {
        findings.warn(
            "data directory",
            format!("{} does not exist yet", directory.display()),
            "it is made at the first start",
        );
    } else if let Err(error) = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        findings.bad(
            "data directory",
            format!("{}: {error}", directory.display()),
            "let the user that runs stockade write there",
        );
    } else {
        findings.good("data directory", directory.display().to_string());
    }
    let (warn, reserve) = (config.log.disk_warn_bytes, config.log.disk_reserve_bytes);
    match free_bytes(directory) {
        Ok(free) if !config.kafka.used() && free < reserve => findings.bad(
            "disk",
            format!("{} MiB free, {} MiB are kept back", free >> 20, reserve >> 20),
            "make room: until then writes are answered 507 disk_full; buyers are answered on",
        ),
        Ok(free) if free < warn => findings.warn(
            "disk",
            format!("{} MiB free, fewer than log.disk_warn_bytes ({} MiB)", free >> 20, warn >> 20),
            "make room, or move the data directory to a larger disk",
        ),
        Ok(free) => findings.good("disk", format!("{} GiB free", free >> 30)),
        Err(error) => findings.warn("disk", format!("free space cannot be told: {error}"), "look with df"),
    }
}

fn look_at_keys(config: &Config, findings: &mut Findings) {
    let file = config.keys_file();
    match KeyRing::open(&file) {
        Err(error) => findings.bad("API keys", error.to_string(), "correct or restore the key file"),
        Ok(keys) if keys.is_empty() => {
            findings.warn(
                "API keys",
                format!("none in {}", file.display()),
                "make some with `stockade keys create`",
            );
        }
        Ok(keys) => match keys.shared_names() {
            Ok(shared) if !shared.is_empty() => findings.warn(
                "API keys",
                format!("several share a name: {}", shared.into_iter().collect::<Vec<_>>().join(", ")),
                "give each person a key of their own with `stockade keys create --name` and revoke the old ones",
            ),
            _ => findings.good("API keys", file.display().to_string()),
        },
    }
}

fn look_at_embedded(config: &Config, findings: &mut Findings) {
    if !config.log.fsync {
        findings.warn(
            "embedded log",
            "fsync is off",
            "a loss of power may lose acknowledged writes; set log.fsync",
        );
    }
    let opened = match connect::existing_embedded(&config.log) {
        Err(error) if matches!(error.downcast_ref(), Some(LogError::Missing(_))) => {
            return findings.good("embedded log", "none there yet");
        }
        opened => opened,
    };
    match opened {
        Ok(log) => {
            let mut wrong = Vec::new();
            for topic in Topic::ALL {
                let spec = topic_spec(topic, config.log.partitions);
                // A topic of a later version is made at the next start, not here.
                let checked = log
                    .has_topic(spec.name)
                    .and_then(|found| if found { log.ensure_topic(&spec) } else { Ok(()) });
                wrong.extend(checked.err().map(|error| error.to_string()));
            }
            if wrong.is_empty() {
                findings.good("embedded log", "it opens, and its topics fit");
            } else {
                findings.bad(
                    "embedded log",
                    wrong.join("; "),
                    "set log.partitions as it was when the directory was made",
                );
            }
        }
        // A running server is what the directory is for. What it can say of itself it says at /readyz.
        Err(error) if matches!(error.downcast_ref(), Some(LogError::Locked(_))) => {
            findings.good(
                "embedded log",
                format!(
                    "a server that runs has it open; http://{}/readyz says how that is",
                    config.http.admin_listen
                ),
            );
        }
        Err(error) => findings.bad("embedded log", error.to_string(), "follow what it says"),
    }
}

/// What this process would show buyers if it started while Kafka is away.
fn look_at_picture(config: &Config, findings: &mut Findings) {
    const REMEDY: &str = "start this process once while Kafka answers; it keeps one from then on";
    let Some(pictures) = config.role.roles().ok().and_then(|roles| first::pictures(config, roles)) else {
        return;
    };
    let now_ms = clock::now_ms();
    match pictures.look(now_ms) {
        Ok(as_of_ms) => {
            let age_s = (now_ms - as_of_ms).max(0) / 1_000;
            let detail = format!(
                "{age_s} s old; buyers are answered from it if this process starts while Kafka is away"
            );
            findings.good("picture", detail);
        }
        Err(error) => {
            let detail = format!("a start while Kafka is away would answer nobody: {error}");
            findings.warn("picture", detail, REMEDY);
        }
    }
}

fn look_at_kafka(config: &Config, findings: &mut Findings) {
    let log = match KafkaLog::open(connect::kafka_options(config), clock::system_clock()) {
        Ok(log) => log,
        Err(error) => {
            return findings.bad("kafka", error.to_string(), "the sentence above says what to check");
        }
    };
    let brokers = log.brokers();
    findings.good("kafka", format!("{} answers, {brokers} broker(s)", config.kafka.brokers));
    if brokers < 3 {
        findings.warn(
            "kafka",
            "fewer than 3 brokers",
            "topics made here have fewer copies; a lost broker stops writes or loses them",
        );
    }
    let mut complete = true;
    for topic in Topic::ALL {
        // As the cluster knows it, which may hold those of others.
        let full = format!("{}{}", config.kafka.prefix, topic.name());
        let found = log.check_topic(&topic_spec(topic, config.log.partitions));
        complete &= matches!(found, Ok(true));
        match found {
            Ok(true) => findings.good("topic", format!("{full} fits")),
            Ok(false) => findings.warn(
                "topic",
                format!("{full} is missing"),
                "it is made at the first start, if this user may",
            ),
            Err(error) => findings.bad("topic", error.to_string(), "until then `serve` refuses to start"),
        }
    }
    if complete {
        look_at_folds(&log, config.log.partitions, findings);
    }
}

/// Whether the input of every partition is gone through by somebody.
fn look_at_folds(log: &KafkaLog, partitions: u32, findings: &mut Findings) {
    match stalls::standing(log, partitions) {
        Ok(standing) if standing.is_empty() => {
            findings.good("folds", "every partition moves or has nothing to do");
        }
        Ok(standing) => {
            for stalls::Standing { fold, partition, at } in standing {
                findings.warn(
                    "folds",
                    format!("{fold}/{partition} stands still at {} of {}", at.committed, at.end),
                    "start the role that runs it; if it runs, look for the owner in stockade_fold_stalled_seconds and its log, and restart it",
                );
            }
        }
        Err(error) => findings.warn("folds", error.to_string(), "look at the brokers first"),
    }
}

async fn look_at_redis(config: &Config, findings: &mut Findings) {
    let store = match connect::redis(config) {
        Ok(None) if config.kafka.used() => {
            return findings.warn(
                "redis",
                "not configured",
                "what is in force is kept in a file that only this machine sees; give --redis",
            );
        }
        Ok(None) => return findings.good("redis", "not configured; a file is used"),
        Err(error) => return findings.bad("redis", error.to_string(), "correct redis.url"),
        Ok(Some(store)) => store,
    };
    match store.summary().await {
        Ok(summary) => findings.good(
            "redis",
            format!("it answers and holds {}", count(summary.entries, "supplier", "suppliers")),
        ),
        Err(error) => {
            return findings.bad("redis", error.to_string(), "check that it runs and can be reached; isolation goes on without it, other systems do not see it");
        }
    }
    match store.durability().await {
        Ok(None) => {}
        Ok(Some(policy)) => findings.warn(
            "redis",
            format!("maxmemory-policy is {policy}"),
            "use noeviction: entries that are evicted are put back only at the next audit",
        ),
        Err(_) => {
            findings.warn("redis", "its settings cannot be read", "make sure maxmemory-policy is noeviction")
        }
    }
    match store.time_ms().await {
        Ok(theirs) if (theirs - clock::now_ms()).abs() > CLOCK_SKEW_MS_MAX => findings.warn(
            "clock",
            format!("{} ms apart from that of Redis", (theirs - clock::now_ms()).abs()),
            "keep the clocks together by NTP; record times are the broker's, but limits and keys use this one",
        ),
        Ok(_) => findings.good("clock", "less than a second apart from that of Redis"),
        Err(error) => findings.warn("clock", error.to_string(), "compare the clocks by hand"),
    }
}
