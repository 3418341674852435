//! Many streams on one process: what an open one costs, and how soon every reader of a good hears of a change to it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};
use stockade_testkit::wait_until;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};

use crate::{
    Figure,
    cluster::{Server, insist, supplier},
    generator::{Connection, histogram, micros},
    process::{caught_up, cpu_seconds, metric, resident},
    report::Curve,
};

/// Streams that one caller may have open.
const OF_A_CALLER: usize = 500;
/// Goods that are watched, each by as many streams.
const GOODS: usize = 100;
/// Changes to each good, one good after the other.
const ROUNDS: usize = 5;
/// Connections that are made at a time.
const AT_A_TIME: usize = 64;
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads a stream for ever; says when it is live, and of each change when it was read.
async fn listen(
    server: SocketAddr,
    key: Arc<str>,
    good: usize,
    live: Arc<AtomicUsize>,
    heard: mpsc::UnboundedSender<Instant>,
) -> Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!(
        "GET /v1/availability/stream?sku=SKU-{good} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let (mut text, mut buffer) = (Vec::new(), [0; 4_096]);
    let mut is_live = false;
    loop {
        let read = stream.read(&mut buffer).await?;
        anyhow::ensure!(read > 0, "a stream has ended: {}", String::from_utf8_lossy(&text));
        let at = Instant::now();
        text.extend_from_slice(buffer.get(..read).unwrap_or_default());
        // An event ends with an empty line; what is behind the last one is the beginning of another.
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            let is = |name: &[u8]| event.windows(name.len()).any(|part| part == name);
            if is(b"event: live") {
                is_live = true;
                live.fetch_add(1, Ordering::Relaxed);
            } else if is_live && is(b"event: good") {
                heard.send(at)?;
            }
        }
    }
}

/// Opens streams of these numbers, each on a connection of its own, and waits until all are live.
async fn open(
    server: SocketAddr,
    keys: &[Arc<str>],
    streams: std::ops::Range<usize>,
    heard: &mpsc::UnboundedSender<Instant>,
) -> Result<Vec<tokio::task::JoinHandle<Result<()>>>> {
    let live = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::with_capacity(streams.len());
    for (opened, number) in streams.clone().enumerate() {
        let key = keys.get(number / OF_A_CALLER).context("too few keys")?.clone();
        tasks.push(tokio::spawn(listen(server, key, number % GOODS, live.clone(), heard.clone())));
        if opened % AT_A_TIME == AT_A_TIME - 1 || number + 1 == streams.end {
            let begun = Instant::now();
            while live.load(Ordering::Relaxed) <= opened {
                anyhow::ensure!(begun.elapsed() < PATIENCE, "streams do not become live");
                if let Some(ended) = tasks.iter().position(tokio::task::JoinHandle::is_finished) {
                    tasks.swap_remove(ended).await??;
                }
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(tasks)
}

/// Changes one good after the other and waits until every reader of it has heard; gives how long that took each of them.
fn change(
    connection: &mut Connection,
    key: &str,
    runtime: &tokio::runtime::Runtime,
    readers: usize,
    hearing: &mut mpsc::UnboundedReceiver<Instant>,
) -> Result<Histogram<u64>> {
    let mut latencies = histogram()?;
    for round in 0..ROUNDS {
        for good in 0..GOODS {
            let listing = listing(good, 10 + round as i64);
            let sent = Instant::now();
            insist(connection, "PUT", &format!("/v1/suppliers/s0/listings/l-{good}"), key, &listing)?;
            for _ in 0..readers {
                let next = async { tokio::time::timeout(PATIENCE, hearing.recv()).await };
                let at = runtime.block_on(next)?.context("no reader is left")?;
                latencies.saturating_record(at.saturating_duration_since(sent).as_nanos() as u64);
            }
        }
    }
    Ok(latencies)
}

fn listing(good: usize, on_hand: i64) -> Value {
    json!({
        "sku": format!("SKU-{good}"), "location": "main",
        "price": { "minor": 1_000, "currency": "EUR" }, "on_hand": on_hand,
    })
}

pub(crate) fn run(streams: usize) -> Result<(Vec<Figure>, Vec<Curve>)> {
    anyhow::ensure!(streams >= GOODS && streams.is_multiple_of(GOODS), "say a multiple of {GOODS} streams");
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let operator = ring.create("op", Role::Operator)?;
    let seller = ring.create("s0", Role::Supplier { supplier: SupplierId::new("s0")? })?;
    let buyers: Vec<Arc<str>> = (0..streams.div_ceil(OF_A_CALLER))
        .map(|buyer| Ok(ring.create(&format!("buyer-{buyer}"), Role::Buyer)?.into()))
        .collect::<Result<_>>()?;
    let server = Server::stockade("streams", at, &["--partitions", "12"])?;
    let process = server.process.id();
    let mut connection = server.connect()?;
    supplier(at, &mut connection, &operator, "s0", Some(seller.clone()))?;
    for good in 0..GOODS {
        insist(
            &mut connection,
            "PUT",
            &format!("/v1/suppliers/s0/listings/l-{good}"),
            &seller,
            &listing(good, 1),
        )?;
    }
    caught_up(&server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let (mut figures, mut curves) = (Vec::new(), Vec::new());
    let mut opened = Vec::new();
    let mut medians = Vec::new();
    for wanted in [GOODS, streams] {
        let (memory, cpu, begun) = (resident(process)?, cpu_seconds(process)?, Instant::now());
        let more = wanted - opened.len();
        opened.extend(runtime.block_on(open(server.api, &buyers, opened.len()..wanted, &heard))?);
        let (seconds, n) = (begun.elapsed().as_secs_f64(), more as f64);
        let named = |what: &str| format!("{what}, {wanted} streams");
        if more > GOODS {
            figures.extend([
                Figure::new(
                    named("memory of an open stream"),
                    (resident(process)? - memory) / n,
                    "B",
                    "report",
                ),
                Figure::new(
                    named("CPU of opening a stream"),
                    (cpu_seconds(process)? - cpu) * 1e6 / n,
                    "us",
                    "report",
                )
                .note(format!("a connection each, {n} in {seconds:.1} s, {AT_A_TIME} at a time")),
            ]);
        }
        let before = cpu_seconds(process)?;
        let latencies = change(&mut connection, &seller, &runtime, wanted / GOODS, &mut hearing)?;
        let events = (ROUNDS * wanted) as f64;
        medians.push(micros(&latencies, 0.5));
        figures.extend([
            Figure::new(named("change to a reader, p50"), micros(&latencies, 0.5) / 1e3, "ms", "report")
                .note(format!(
                    "{} readers of each of {GOODS} goods; from sending the listing, its commit included",
                    wanted / GOODS
                )),
            Figure::new(named("change to a reader, p99"), micros(&latencies, 0.99) / 1e3, "ms", "report"),
            Figure::new(
                named("CPU of an event told"),
                (cpu_seconds(process)? - before) * 1e6 / events,
                "us",
                "report",
            ),
        ]);
        curves.push(Curve { name: named("change to a reader"), latencies });
    }
    if let [few, many] = medians[..] {
        figures.push(Figure::new("change to a reader, many ÷ few, p50", many / few, "ratio", "report"));
    }
    // Whoever goes is forgotten.
    let n = opened.len() as f64;
    let full = resident(process)?;
    opened.iter().for_each(tokio::task::JoinHandle::abort);
    runtime.block_on(async {
        for task in opened {
            // Each was just told to end.
            let _ = task.await;
        }
    });
    let left = || metric(&server, "stockade_inventory_streams").unwrap_or(f64::NAN);
    anyhow::ensure!(wait_until(PATIENCE, || left() == 0.0), "{} streams are left of those that went", left());
    figures.push(Figure::new(
        "memory given back by a stream that went",
        (full - resident(process)?) / n,
        "B",
        "report",
    ));
    Ok((figures, curves))
}
