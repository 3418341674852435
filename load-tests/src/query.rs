//! What the server spends on a buyer's query: CPU time of its process for each `GET /v1/availability`, against a bare axum
//! handler in a process of its own that answers with the same bytes. Rounds of all arms are interleaved in one run.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{Extension, Router, http::header, routing::get};
use stockade_fold::Board;
use stockade_inventory::{
    app::App,
    domain::{Index, Offer},
};
use stockade_log::{Memory, MemoryDisk, SharedLog, TopicSpec};
use stockade_model::{
    Currency, Level, ListingId, LocationId, Money, Region, Restriction, Scope, Sku, SupplierId, Timestamp,
    Topic,
};
use stockade_quarantine::{Overlay, conformance};
use stockade_runtime::{
    BodyBytesMax, Connections, KeyRing, Limits, LimitsConfig, Listener, Role, Shutdown, http, limits::Class,
    server, system_clock, telemetry,
};

use crate::{Figure, cluster::Server, generator::Connection, median};

const PARTITIONS: u32 = 12;
const ROUNDS: usize = 10;
/// Requests of an arm in a round, and connections that send them, each waiting for its answer.
const REQUESTS: usize = 4_000;
const CONNECTIONS: usize = 2;

/// Goods by how many offer them, and how many of the cheapest are withheld.
const GOODS: [(&str, u32, u32); 6] = [
    ("eight", 8, 0),
    ("fifty", 50, 0),
    ("n-300", 300, 0),
    ("n-3000", 3_000, 0),
    ("n-30000", 30_000, 0),
    ("hidden", 30_000, 29_000),
];

fn fill(index: &Index, overlay: &Overlay) -> Result<()> {
    let (eur, region, location) = (Currency::new("EUR")?, Region::new("DE")?, LocationId::new("main")?);
    for (sku, count, hidden) in GOODS {
        for number in 0..count {
            let supplier = format!("supplier-{sku}-{number}");
            let offer = Offer {
                supplier: SupplierId::new(&supplier)?,
                listing: ListingId::new(&format!("listing-{number}"))?,
                sku: Sku::new(sku)?,
                gtin: None,
                price: Money::new(1_000 + i64::from(number), eur)?,
                available: 10 + i64::from(number % 90),
                on_hand: 100,
                withdrawn: false,
                own_regions: false,
                regions: [region].into(),
                location: location.clone(),
                lead_days: (number % 7) as u16,
                latitude: 52.5,
                longitude: 13.4,
                version: number.into(),
                updated: Timestamp::from_ms(1_790_000_000_000),
                number: 0,
            };
            index.put(&offer, overlay);
            if number < hidden {
                let withheld: Restriction = conformance::restriction(Scope::Supplier, Level::Quarantine);
                overlay.apply(&conformance::entry(&supplier, 1, vec![withheld]), 0);
            }
        }
    }
    Ok(())
}

/// The service as `stockade serve` puts it together, without folds: the index is filled by hand.
pub(crate) fn serve(keys: &Path) -> Result<()> {
    telemetry::logs("warn", telemetry::LogFormat::Text);
    let _metrics = telemetry::metrics()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), system_clock())?);
        for topic in Topic::ALL {
            let partitions = topic.partitions(PARTITIONS);
            log.ensure_topic(&TopicSpec { name: topic.name(), partitions, retention_ms: None })?;
        }
        let most = std::num::NonZeroU32::MAX;
        let mut limits = LimitsConfig::default();
        limits.0.insert("buyer".to_owned(), Class::a_second(most, most));
        let patience = Duration::from_secs(2);
        let board = Board::default();
        let app =
            App::new(log, system_clock(), board, Limits::new(&limits), PARTITIONS, "load".into(), patience)?;
        let app = Arc::new(app);
        fill(&app.index, &app.overlay)?;
        let ready: http::Readiness = Arc::new(|| Ok(()));
        let router = stockade_inventory::http::router(app)
            .fallback(http::not_found)
            .method_not_allowed_fallback(http::wrong_method)
            .layer((
                http::Observer::default(),
                Extension(BodyBytesMax(8 << 20)),
                Extension(KeyRing::open(keys)?),
            ))
            .merge(http::probes(ready).router());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("api http://{}", listener.local_addr()?);
        server::serve(listener, router, Connections::default(), Listener::Api, Shutdown::default()).await;
        Ok(())
    })
}

/// The other arm: answers every request with the bytes of a file.
pub(crate) fn bare(answer: &Path) -> Result<()> {
    let body: &'static [u8] = std::fs::read(answer)?.leak();
    let handler = move || async move { ([(header::CONTENT_TYPE, "application/json")], body) };
    let router =
        Router::new().route("/v1/availability", get(handler)).route("/readyz", get(|| async { "ready" }));
    crate::serve(router)
}

/// Nanoseconds that a process has run, over all its threads.
fn cpu_nanos(process: u32) -> Result<u64> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().context("no schedstat")?.parse::<u64>()?;
    }
    Ok(nanos)
}

/// One arm: whom it asks what, and microseconds of CPU for each request, by round.
struct Arm<'a> {
    name: &'a str,
    server: &'a Server,
    path: String,
    micros: Vec<f64>,
}

impl Arm<'_> {
    fn round(&mut self, key: &str, requests: usize) -> Result<()> {
        let before = cpu_nanos(self.server.process.id())?;
        std::thread::scope(|scope| {
            let ask = || -> Result<()> {
                let mut connection = Connection::open(self.server.api)?;
                for _ in 0..requests / CONNECTIONS {
                    let (status, body) = connection.call("GET", &self.path, key, b"")?;
                    anyhow::ensure!(status == 200, "{}: {}", self.name, String::from_utf8_lossy(&body));
                }
                Ok(())
            };
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
            let panicked = |_| anyhow::anyhow!("a client panicked");
            threads.into_iter().try_for_each(|thread| thread.join().map_err(panicked)?)
        })?;
        let nanos = cpu_nanos(self.server.process.id())? - before;
        self.micros.push(nanos as f64 / 1_000.0 / requests as f64);
        Ok(())
    }
}

/// The median over rounds of what one arm took for each microsecond of another in the same round.
fn ratio(arms: &[Arm<'_>], of: &str, to: &str) -> Result<f64> {
    let find = |name: &str| arms.iter().find(|arm| arm.name == name).context("no such arm");
    let (of, to) = (find(of)?, find(to)?);
    median(&mut of.micros.iter().zip(&to.micros).map(|(of, to)| of / to).collect::<Vec<_>>())
}

pub(crate) fn run() -> Result<Vec<Figure>> {
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let (keys, answer) = (at.join("keys.jsonl"), at.join("answer.json"));
    let key = KeyRing::open(&keys)?.create("buyer", Role::Buyer)?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
    let ours = Server::arm("query", at, &["serve-queries", "--keys", &text(&keys)?])?;
    let path = |sku: &str| format!("/v1/availability?sku={sku}&limit=8");
    let (status, body) = ours.connect()?.call("GET", &path("fifty"), &key, b"")?;
    anyhow::ensure!(status == 200, "{}", String::from_utf8_lossy(&body));
    std::fs::write(&answer, &body)?;
    let bare = Server::arm("bare", at, &["bare-query", "--answer", &text(&answer)?])?;
    let arm = |name, server, sku: &str| Arm { name, server, path: path(sku), micros: Vec::new() };
    let mut arms = vec![arm("bare", &bare, "fifty"), arm("bare again", &bare, "fifty")];
    arms.extend(GOODS.iter().map(|(sku, ..)| arm(sku, &ours, sku)));
    for arm in &mut arms {
        arm.round(&key, REQUESTS / 4)?;
        arm.micros.clear();
    }
    for round in 0..ROUNDS {
        // There and back, so that whatever drifts drifts for all.
        let order: Vec<usize> =
            if round % 2 == 0 { (0..arms.len()).collect() } else { (0..arms.len()).rev().collect() };
        order.into_iter().try_for_each(|at| arms[at].round(&key, REQUESTS))?;
    }
    let note = format!(
        "median of {ROUNDS} interleaved rounds of {REQUESTS} requests, {CONNECTIONS} connections, {} B in the body",
        body.len()
    );
    let query = ratio(&arms, "fifty", "bare")?;
    let (large, hidden) = (ratio(&arms, "n-30000", "eight")?, ratio(&arms, "hidden", "eight")?);
    let mut figures = vec![
        Figure::new("8 of 50 offers / bare handler", query, "ratio", "<= 1.6").met(query <= 1.6).note(note),
        Figure::new("8 of 30,000 offers / 8 of 8", large, "ratio", "<= 2").met(large <= 2.0),
        Figure::new("8 of 30,000, the cheapest 29,000 withheld / 8 of 8", hidden, "ratio", "<= 2")
            .met(hidden <= 2.0),
        Figure::new("A / A of the bare handler", ratio(&arms, "bare again", "bare")?, "ratio", "report"),
    ];
    for arm in &mut arms {
        let name = format!("CPU of a request: {}", arm.name);
        figures.push(Figure::new(name, median(&mut arm.micros)?, "us", "report"));
    }
    Ok(figures)
}
