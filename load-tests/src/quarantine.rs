//! From the sending of the offending event to the first query without the offer, against an echo through the same broker
//! with as many hops; and on the embedded log, against one durable append.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use hdrhistogram::Histogram;
use stockade_log::{
    Ack, Embedded, EmbeddedOptions, Event, Fsync, Log as _, Mode, NewRecord, ReadLimit, Role, Route,
    SharedLog, TopicSpec, Writer,
};
use stockade_log_kafka::{KafkaLog, KafkaOptions};
use stockade_runtime::KeyRing;
use stockade_testkit::Redis;

use crate::{
    Figure,
    cluster::{Brokers, PARTITIONS, Server},
    frauds::{GONE, Market},
    generator::{histogram, micros},
    report::Curve,
};

const ROUNDS: usize = 8;
const PER_ROUND: usize = 8;
/// From the inbox to the overlay: inbox, supplier events, scores, proposals, decisions.
const HOPS: [&str; 5] = ["hop-1", "hop-2", "hop-3", "hop-4", "hop-5"];

/// The other arm: what is posted goes through as many topics, a consumer and an append at each, into one number that a
/// query answers with.
pub(crate) fn echo(brokers: &str) -> Result<()> {
    let mut options = KafkaOptions::new(brokers, "echo");
    options.prefix = format!("echo-{}.", std::process::id());
    let log: SharedLog = Arc::new(KafkaLog::open(options, stockade_runtime::clock::system_clock())?);
    for (number, hop) in HOPS.iter().enumerate() {
        let partitions = if number < 3 { PARTITIONS } else { 1 };
        log.ensure_topic(&TopicSpec { name: hop, partitions, retention_ms: None })?;
    }
    let seen = Arc::new(AtomicU64::new(0));
    for (number, hop) in HOPS.iter().enumerate() {
        let (log, seen) = (log.clone(), seen.clone());
        let next = HOPS.get(number + 1).copied();
        let mode = if next.is_some() { Mode::Owned } else { Mode::Follow };
        let mut consumer = log.join(hop, hop, mode)?;
        std::thread::Builder::new().name((*hop).to_owned()).spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            loop {
                match consumer.try_next(ReadLimit::default())? {
                    Some(Event::Assigned { partition, role }) if role != Role::None => {
                        consumer.seek(partition, 0)
                    }
                    Some(Event::Assigned { .. }) => {}
                    Some(Event::Batch { records, .. }) => match next {
                        Some(next) => {
                            let batch = records
                                .iter()
                                .map(|r| forward(next, r.key.clone(), r.value.clone()))
                                .collect();
                            log.append(batch, Ack::Ordered).wait()?;
                        }
                        None => {
                            for record in records {
                                let text = std::str::from_utf8(&record.value)?;
                                seen.fetch_max(text.parse()?, Ordering::SeqCst);
                            }
                        }
                    },
                    None => runtime.block_on(consumer.wait()),
                }
            }
        })?;
    }
    let take = async |State((log, _)): State<(SharedLog, Arc<AtomicU64>)>, body: Bytes| {
        let key = Bytes::copy_from_slice(&body);
        match log.append(vec![forward(HOPS[0], key, body)], Ack::Durable).await {
            Ok(_) => "taken",
            Err(_) => "failed",
        }
    };
    let ask =
        async |State((_, seen)): State<(SharedLog, Arc<AtomicU64>)>| seen.load(Ordering::SeqCst).to_string();
    let router = Router::new()
        .route("/event", post(take))
        .route("/seen", get(ask))
        .route("/readyz", get(|| async { "ready" }))
        .with_state((log, seen));
    crate::serve(router)
}

fn forward(topic: &'static str, key: Bytes, value: Bytes) -> NewRecord {
    NewRecord { topic, route: Route::Key, key, headers: vec![("ce_type", "echo".to_owned())], value }
}

fn measure_echo(server: &Server, next: &mut u64, latencies: &mut Histogram<u64>) -> Result<()> {
    let (mut sender, mut asker) = (server.connect()?, server.connect()?);
    for _ in 0..PER_ROUND {
        *next += 1;
        let sent = Instant::now();
        sender.call("POST", "/event", "", next.to_string().as_bytes())?;
        loop {
            let (_, seen) = asker.call("GET", "/seen", "", b"")?;
            if std::str::from_utf8(&seen)?.parse::<u64>()? >= *next {
                break;
            }
            anyhow::ensure!(sent.elapsed() < GONE, "the echo does not come");
        }
        latencies.saturating_record(sent.elapsed().as_nanos() as u64);
    }
    Ok(())
}

/// One durable append on the embedded log at a time.
fn measure_append(log: &Embedded, latencies: &mut Histogram<u64>) -> Result<()> {
    for _ in 0..PER_ROUND * 8 {
        let begun = Instant::now();
        let record = NewRecord {
            topic: "t",
            route: Route::Partition(0),
            key: Bytes::new(),
            headers: Vec::new(),
            value: Bytes::from(vec![b'x'; 300]),
        };
        log.append(vec![record], Ack::Durable).wait()?;
        latencies.saturating_record(begun.elapsed().as_nanos() as u64);
    }
    Ok(())
}

pub(crate) fn run() -> Result<(Vec<Figure>, Vec<Curve>)> {
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let brokers = Brokers::start(at)?;
    let redis = Redis::start(&at.join("redis"))?;
    let kafka = brokers.addresses();
    let url = redis.url();
    // One to find out with, and two groups a round.
    let suppliers = 1 + 2 * ROUNDS * PER_ROUND;
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let keys = Market::keys(&ring, "k", suppliers)?;
    let server =
        Server::stockade("kafka-all", at, &["--kafka", &kafka, "--redis", &url, "--partitions", "12"])?;
    let mut market = Market::open(at, "k", server.api, keys).context("on Kafka")?;
    let echo = Server::arm("echo", at, &["bare-echo", "--kafka", &kafka])?;
    let mut next = 0;
    measure_echo(&echo, &mut next, &mut histogram()?)?;
    let (mut ours, mut theirs, mut again) = (histogram()?, histogram()?, histogram()?);
    for _ in 0..ROUNDS {
        let (first, second) = (market.prepare_round(PER_ROUND)?, market.prepare_round(PER_ROUND)?);
        market.measure(&first, &mut ours)?;
        measure_echo(&echo, &mut next, &mut theirs)?;
        measure_echo(&echo, &mut next, &mut again)?;
        market.measure(&second, &mut ours)?;
    }
    drop((server, echo));

    let keys = Market::keys(&ring, "e", suppliers)?;
    let server = Server::stockade("embedded", at, &["--partitions", "12"])?;
    let mut market = Market::open(at, "e", server.api, keys).context("on the embedded log")?;
    let options = EmbeddedOptions {
        directory: at.join("append"),
        fsync: Fsync::Group,
        writer: Writer::Thread,
        reserve_bytes: 0,
    };
    let log = Embedded::open(&options, stockade_runtime::clock::system_clock())?;
    log.ensure_topic(&TopicSpec { name: "t", partitions: 1, retention_ms: None })?;
    let (mut embedded, mut appends) = (histogram()?, histogram()?);
    for _ in 0..ROUNDS {
        let (first, second) = (market.prepare_round(PER_ROUND)?, market.prepare_round(PER_ROUND)?);
        market.measure(&first, &mut embedded)?;
        measure_append(&log, &mut appends)?;
        measure_append(&log, &mut appends)?;
        market.measure(&second, &mut embedded)?;
    }
    let ratio = |a: &Histogram<u64>, b: &Histogram<u64>, q| micros(a, q) / micros(b, q);
    let mut all_echoes = theirs.clone();
    all_echoes.add(&again)?;
    let (p50, p99) = (ratio(&ours, &all_echoes, 0.5), ratio(&ours, &all_echoes, 0.99));
    let of_append = ratio(&embedded, &appends, 0.5);
    let shape = format!("{ROUNDS} ABBA rounds, {} events an arm, one at a time", ROUNDS * PER_ROUND * 2);
    let figures = vec![
        Figure::new("event to invisible / echo, p50", p50, "ratio", "<= 1.3")
            .met(p50 <= 1.3)
            .note(format!("{} hops through real Kafka; {shape}", HOPS.len())),
        Figure::new("event to invisible / echo, p99", p99, "ratio", "<= 1.3").met(p99 <= 1.3),
        Figure::new("event to invisible on Kafka, p50", micros(&ours, 0.5) / 1e3, "ms", "report"),
        Figure::new("event to invisible on Kafka, p99", micros(&ours, 0.99) / 1e3, "ms", "report"),
        Figure::new("A / A of the echo, p50", ratio(&again, &theirs, 0.5), "ratio", "report"),
        Figure::new("embedded: event to invisible / durable append, p50", of_append, "ratio", "<= 3")
            .met(of_append <= 3.0),
        Figure::new("embedded: event to invisible, p50", micros(&embedded, 0.5) / 1e3, "ms", "report"),
        Figure::new("embedded: event to invisible, p99", micros(&embedded, 0.99) / 1e3, "ms", "report"),
        Figure::new("embedded: one durable append, p50", micros(&appends, 0.5) / 1e3, "ms", "report"),
    ];
    let curve = |name: &str, latencies| Curve { name: name.to_owned(), latencies };
    Ok((
        figures,
        vec![
            curve("Kafka", ours),
            curve("echo", all_echoes),
            curve("embedded", embedded),
            curve("durable append", appends),
        ],
    ))
}
