//! `stockade mirror`: copies what buyers are answered from to the Kafka of another region.

use std::time::{Duration, Instant};

use anyhow::Result;
use stockade_log_kafka::{
    KafkaOptions,
    mirror::{Copied, MirrorSpec, copy},
};
use stockade_model::Topic;
use stockade_runtime::{Shutdown, clock, telemetry};

use crate::{
    config::{Config, Place},
    connect,
    output::{self, say},
    platform::topic_spec,
};

/// The topics that buyers are answered from.
pub const STREAMS: [Topic; 2] = [Topic::SupplierEvents, Topic::LockoutDecisions];
/// The changelog of the fold that answers them.
const CHANGELOG: &str = "inventory.state";
/// Between two lines about how far it is.
const SAY: Duration = Duration::from_secs(60);

/// Flags of `mirror`. What both clusters have in common (partitions, security, settings) comes from file and environment, as
/// for `serve`.
#[derive(clap::Args)]
pub struct Args {
    /// A YAML configuration file.
    #[arg(long)]
    config: Option<std::path::PathBuf>,
    /// Kafka of the origin (host:port, comma-separated).
    #[arg(long)]
    from: String,
    /// Kafka of the region that gets the copy.
    #[arg(long)]
    to: String,
    /// Begins the names of the origin's topics: its kafka.prefix.
    #[arg(long, default_value = "")]
    from_prefix: String,
    /// Begins the names of the copies: kafka.prefix of the replicas.
    #[arg(long, default_value = "")]
    to_prefix: String,
    /// Partitions of supplier-keyed topics, as the origin has them.
    #[arg(long)]
    partitions: Option<u32>,
}

/// Copies until a signal, or an error that trying again does not help.
pub fn run(args: Args) -> Result<()> {
    let place = Place {
        config: args.config,
        partitions: args.partitions,
        role: Some("replica".to_owned()),
        kafka: Some(args.to.clone()),
        ..Place::default()
    };
    let config = Config::read(&place, &[]).map_err(|e| anyhow::anyhow!("configuration: {e}"))?;
    telemetry::logs(&config.telemetry.filter, config.telemetry.format);
    anyhow::ensure!(
        args.from != args.to || args.from_prefix != args.to_prefix,
        "--from and --to are the same topics; give the copy a cluster or a --to-prefix of its own"
    );
    let to = KafkaOptions { prefix: args.to_prefix, ..connect::kafka_options(&config) };
    let from = KafkaOptions { brokers: args.from, prefix: args.from_prefix, ..to.clone() };
    let spec = MirrorSpec {
        streams: STREAMS.iter().map(|topic| topic_spec(*topic, config.log.partitions)).collect(),
        changelog: (CHANGELOG, Topic::SupplierEvents.partitions(config.log.partitions)),
    };
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(async {
        let shutdown = Shutdown::default();
        shutdown.on_signals()?;
        let end = shutdown.clone();
        tracing::info!(from = from.brokers, to = to.brokers, "copying");
        let mut teller = Teller::default();
        let mirror = move || {
            copy(from, to, &spec, &clock::system_clock(), &|| end.begun(), &mut |copied| teller.tell(copied))
        };
        // It blocks, so it has a thread of its own.
        Ok(tokio::task::spawn_blocking(mirror).await??)
    })
}

/// Says what is copied.
#[derive(Default)]
struct Teller {
    was_whole: bool,
    said: Option<Instant>,
}

impl Teller {
    fn tell(&mut self, copied: Copied) {
        if !std::mem::replace(&mut self.was_whole, true) {
            // For scripts that wait for it: the first line of standard output.
            say!(
                "copied {}; the copy is whole and is kept so",
                output::count(copied.records, "record", "records")
            );
        }
        if self.said.is_none_or(|said| said.elapsed() >= SAY) {
            self.said = Some(Instant::now());
            tracing::info!(records = copied.records, as_of_ms = copied.whole_as_of_ms, "the copy is whole");
        }
    }
}
