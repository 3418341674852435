//! What open tabs of the console cost buyers: the p99 of their queries with a hundred tabs, each with one stream as the pages open it, over
//! that without, in interleaved rounds, beside the same ratio of two arms without any. And what taking all figures costs by itself, which
//! the console does once a second.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde_json::json;
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};
use stockade_testkit::wait_until;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    Figure,
    cluster::{Server, insist, stockade, supplier},
    generator::{Connection, histogram, micros, open_loop},
    median,
    process::{caught_up, cpu_seconds},
    report::Curve,
};

/// Tabs of one person at most, as the console bounds them.
const OF_A_PERSON: usize = 16;
/// What the pages of staff follow together.
const CHANNELS: &str = "alerts,decisions,overview,reviews,rules";
const GOODS: usize = 50;
/// Buyers' queries a second, and how long an arm of a round lasts.
const RATE: f64 = 200.0;
const LASTS: Duration = Duration::from_secs(5);
const BUYERS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(60);
/// Times that all figures are taken, to know what once costs.
const SAMPLES: u32 = 100;

/// Signs a person in by a link of the command line, as people do, where `directory` has the keys and `data`, in it, is the server's
/// own; gives the cookie.
pub(crate) async fn sign_in(
    server: SocketAddr,
    directory: &std::path::Path,
    data: &str,
    name: &str,
) -> Result<String> {
    let mut command = Command::new(stockade()?);
    command.args(["console", "link", "--role", "analyst", "--name", name, "--data"]);
    command.arg(directory.join(data)).env("STOCKADE_KEYS__FILE", directory.join("keys.jsonl"));
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let refused = || format!("no link: {said}{}", String::from_utf8_lossy(&output.stderr));
    let token = said.trim().rsplit_once('#').with_context(refused)?.1.to_owned();
    let body = json!({ "token": token }).to_string();
    let request = format!(
        "POST /console/api/session HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.and_then(|cookie| cookie.split(';').next());
    Ok(cookie.with_context(|| format!("not signed in: {answer}"))?.to_owned())
}

/// What all tabs have read, and how many of them have begun.
#[derive(Default)]
struct Read {
    live: AtomicUsize,
    bytes: AtomicU64,
}

/// A tab: reads its stream until it is ended.
async fn tab(server: SocketAddr, cookie: Arc<str>, read: Arc<Read>) -> Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!(
        "GET /console/api/stream?channels={CHANNELS} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ncookie: {cookie}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let (mut head, mut buffer, mut is_live) = (Vec::new(), vec![0; 16_384], false);
    loop {
        let bytes = stream.read(&mut buffer).await?;
        anyhow::ensure!(bytes > 0, "a stream has ended: {}", String::from_utf8_lossy(&head));
        read.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if !is_live {
            head.extend_from_slice(buffer.get(..bytes).unwrap_or_default());
            if head.windows(12).any(|part| part == b"event: hello") {
                is_live = true;
                read.live.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

struct Tabs {
    runtime: tokio::runtime::Runtime,
    server: SocketAddr,
    cookies: Vec<Arc<str>>,
    read: Arc<Read>,
}

impl Tabs {
    /// Opens so many and waits until the server has greeted each.
    fn open(&self, tabs: usize) -> Result<Vec<JoinHandle<Result<()>>>> {
        self.read.live.store(0, Ordering::Relaxed);
        let cookies = self.cookies.iter().flat_map(|cookie| std::iter::repeat_n(cookie, OF_A_PERSON));
        let mut open = Vec::with_capacity(tabs);
        for cookie in cookies.take(tabs) {
            open.push(self.runtime.spawn(tab(self.server, cookie.clone(), self.read.clone())));
        }
        let live = || self.read.live.load(Ordering::Relaxed) >= tabs;
        wait_until(PATIENCE, || live() || open.iter().any(JoinHandle::is_finished));
        if live() {
            return Ok(open);
        }
        let ended = open.into_iter().find(JoinHandle::is_finished).context("tabs do not become live")?;
        self.runtime.block_on(ended)??;
        anyhow::bail!("a tab has ended before all were open")
    }

    fn close(&self, open: Vec<JoinHandle<Result<()>>>) {
        open.iter().for_each(JoinHandle::abort);
        // Each was just told to end.
        self.runtime.block_on(async {
            for tab in open {
                let _ = tab.await;
            }
        });
    }
}

/// Buyers' queries for a while.
fn buyers(server: &Server, key: &str, seed: u64) -> Result<Histogram<u64>> {
    open_loop(RATE, LASTS, BUYERS, seed, |worker| {
        let mut connection = server.connect()?;
        let mut random = fastrand::Rng::with_seed(seed ^ worker as u64);
        Ok(move || {
            let path = format!("/v1/availability?sku=SKU-{}&limit=8", random.usize(..GOODS));
            let (status, body) = connection.call("GET", &path, key, b"")?;
            anyhow::ensure!(status == 200, "{status} {}", String::from_utf8_lossy(&body));
            Ok(())
        })
    })
}

struct Arm {
    name: &'static str,
    tabs: usize,
    all: Histogram<u64>,
    p99_micros: Vec<f64>,
    cpu_seconds: Vec<f64>,
}

/// The median over rounds of one arm's p99 for each microsecond of another's in the same round.
fn ratio(of: &Arm, to: &Arm) -> Result<f64> {
    median(&mut of.p99_micros.iter().zip(&to.p99_micros).map(|(of, to)| of / to).collect::<Vec<_>>())
}

pub(crate) fn run(tabs: usize, rounds: usize) -> Result<(Vec<Figure>, Vec<Curve>)> {
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let operator = ring.create("op", Role::Operator)?;
    let seller = ring.create("s0", Role::Supplier { supplier: SupplierId::new("s0")? })?;
    let buyer = ring.create("buyer", Role::Buyer)?;
    let server = Server::stockade("tabs", at, &["--partitions", "4"])?;
    let mut connection = server.connect()?;
    supplier(at, &mut connection, &operator, "s0", Some(seller.clone()))?;
    for good in 0..GOODS {
        let listing = json!({
            "sku": format!("SKU-{good}"), "location": "main", "on_hand": 10,
            "price": { "minor": 1_000, "currency": "EUR" },
        });
        insist(&mut connection, "PUT", &format!("/v1/suppliers/s0/listings/l-{good}"), &seller, &listing)?;
    }
    caught_up(&server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let people = tabs.div_ceil(OF_A_PERSON);
    let signed_in = (0..people)
        .map(|n| Ok(runtime.block_on(sign_in(server.api, at, "tabs", &format!("ada-{n}")))?.into()));
    let cookies = signed_in.collect::<Result<_>>()?;
    let tabs_of = Tabs { server: server.api, cookies, read: Arc::default(), runtime };
    let arm = |name, tabs| -> Result<Arm> {
        Ok(Arm { name, tabs, all: histogram()?, p99_micros: Vec::new(), cpu_seconds: Vec::new() })
    };
    let mut arms = [arm("no tabs", 0)?, arm("no tabs again", 0)?, arm("tabs", tabs)?];
    // Not counted: connections, caches and the index grow warm.
    buyers(&server, &buyer, 0)?;
    let mut seconds_open = 0.0;
    for round in 0..rounds {
        // There and back, so that whatever drifts drifts for all.
        let order = if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] };
        for at in order {
            let arm = &mut arms[at];
            let open = tabs_of.open(arm.tabs)?;
            let before = cpu_seconds(server.process.id())?;
            let latencies = buyers(&server, &buyer, (round as u64 + 1) << 8)?;
            arm.cpu_seconds.push((cpu_seconds(server.process.id())? - before) / LASTS.as_secs_f64());
            if arm.tabs > 0 {
                seconds_open += LASTS.as_secs_f64();
            }
            tabs_of.close(open);
            arm.p99_micros.push(micros(&latencies, 0.99));
            arm.all.add(latencies)?;
        }
    }
    let sample = sample(&server)?;
    let [none, again, with] = &mut arms;
    let note = format!("median of {rounds} interleaved rounds of {} s, {RATE} queries/s", LASTS.as_secs());
    let mut figures = vec![
        Figure::new(format!("buyers' p99, {tabs} tabs / none"), ratio(with, none)?, "ratio", "report")
            .note(note),
        Figure::new("A / A, none / none", ratio(again, none)?, "ratio", "report"),
    ];
    for arm in [none, again, with] {
        let name = |what: &str| format!("{what}, {}", arm.name);
        figures.push(Figure::new(name("p50"), micros(&arm.all, 0.5), "us", "report"));
        figures.push(Figure::new(name("p99"), micros(&arm.all, 0.99), "us", "report"));
        figures.push(Figure::new(
            name("CPU of the server"),
            median(&mut arm.cpu_seconds)? * 1e3,
            "ms/s",
            "report",
        ));
    }
    let bytes = tabs_of.read.bytes.load(Ordering::Relaxed) as f64;
    figures.push(Figure::new("read by a tab", bytes / seconds_open.max(1.0) / tabs as f64, "B/s", "report"));
    figures.push(Figure::new("CPU of taking all figures once", sample, "ms", "report").note(format!(
        "of {SAMPLES} answers of /metrics, their HTTP included; the console takes them once a second"
    )));
    let curves =
        arms.into_iter().map(|arm| Curve { name: arm.name.to_owned(), latencies: arm.all }).collect();
    Ok((figures, curves))
}

/// Milliseconds of CPU that taking all figures costs the server. What it does meanwhile without being asked is in it.
fn sample(server: &Server) -> Result<f64> {
    let admin = server.admin.context("the server has no metrics")?;
    let mut connection = Connection::open(admin)?;
    let before = cpu_seconds(server.process.id())?;
    for _ in 0..SAMPLES {
        let (status, _) = connection.call("GET", "/metrics", "", b"")?;
        anyhow::ensure!(status == 200, "no figures: {status}");
    }
    Ok((cpu_seconds(server.process.id())? - before) * 1e3 / f64::from(SAMPLES))
}
