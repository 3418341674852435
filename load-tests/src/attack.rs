//! What an attack costs those whom it is not about: the same schedule of honest suppliers and buyers before, during and after
//! each attack, in one life of the server, against a placebo in which the same traffic goes to a bare listener on the same
//! machine that refuses everything. Latency counts from the intended time of sending; rounds of both arms are interleaved.
//!
//! The generator, the server and the bare listener share the cores, so the placebo carries what the attacker's own sending costs
//! the honest, and what is left is the server's. Attackers wait for answers and do not make up for what they fell behind, so the
//! rates that both arms reached are told: where they differ, so do the arms.

mod cells;

use std::{
    net::SocketAddr,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    http::{StatusCode, header},
    routing::get,
};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};

use crate::{
    Figure,
    cluster::{Server, insist, supplier, supplier_since},
    generator::{Connection, histogram, micros, wait_until},
    median,
    process::{caught_up, most_resident},
    report::Curve,
};
use cells::{CELLS, Cell};

/// Honest suppliers, and goods that all of them sell.
const HONEST: usize = 10;
const GOODS: usize = 20;
/// What the honest send a second, over workers that each have a connection.
const QUERIES: f64 = 100.0;
const WRITES: f64 = 50.0;
const WORKERS: usize = 4;
/// Suppliers of whom an attack may make use.
const HOSTILE: usize = 1_000;
/// Offers of the one good that everybody wants.
const HOT_OFFERS: usize = 1_000;
/// How long the server is left alone and then attacked in a round.
const CALM: Duration = Duration::from_secs(2);
const ATTACK: Duration = Duration::from_secs(3);
/// How long it is watched after an attack: longer than it may take until all is well.
const AFTER: Duration = Duration::from_secs(7);

/// Keys of everyone.
pub(crate) struct Keys {
    honest: Vec<String>,
    pub(crate) hostile: Vec<String>,
    buyer: String,
    pub(crate) hostile_buyer: String,
    pub(crate) orders: String,
}

/// One honest request: when it was to be sent, how long that took, and whether it was served.
#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    took: Duration,
    served: bool,
    write: bool,
}

/// Where the honest are served: suppliers, and buyers.
#[derive(Clone, Copy)]
struct At {
    suppliers: SocketAddr,
    buyers: SocketAddr,
}

/// Sends the honest schedule up to a moment, and all of it however late; gives all of it.
fn honest(at: At, keys: &Keys, begin: Instant, end: Instant, seed: u64) -> Result<Vec<Sent>> {
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        let worker = |worker: usize, write: bool, rate: f64| {
            let all = &all;
            move || -> Result<()> {
                let mut random =
                    fastrand::Rng::with_seed(seed ^ (worker as u64) << 32 ^ u64::from(write) << 60);
                let server = if write { at.suppliers } else { at.buyers };
                let mut connection = Connection::open(server).ok();
                let (mut own, mut at, mut number) = (Vec::new(), begin, worker);
                loop {
                    at += Duration::from_secs_f64(-(1.0 - random.f64()).ln() * WORKERS as f64 / rate);
                    if at >= end {
                        all.lock().map_err(|_| anyhow::anyhow!("a worker died"))?.extend(own);
                        return Ok(());
                    }
                    wait_until(at);
                    number += WORKERS;
                    let good = number % GOODS;
                    let answer = connection.as_mut().context("no connection").and_then(|connection| {
                        if write {
                            let seller = number / GOODS % HONEST;
                            let path = format!("/v1/suppliers/honest-{seller}/listings/l-{good}");
                            let key = keys.honest.get(seller).context("no such seller")?;
                            let body = listing(&format!("GOOD-{good}"), seller, 1 + number % 97);
                            connection.call("PUT", &path, key, body.to_string().as_bytes())
                        } else {
                            let path = format!("/v1/availability?sku=GOOD-{good}&limit=8");
                            connection.call("GET", &path, &keys.buyer, b"")
                        }
                    });
                    let served = answer.as_ref().is_ok_and(|(status, _)| (200..300).contains(status));
                    if answer.is_err() {
                        connection = Connection::open(server).ok();
                    }
                    own.push(Sent { at, took: at.elapsed(), served, write });
                }
            }
        };
        let workers: Vec<_> = (0..WORKERS)
            .flat_map(|number| [(number, false, QUERIES), (number, true, WRITES)])
            .map(|(number, write, rate)| scope.spawn(worker(number, write, rate)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })?;
    all.into_inner().map_err(|_| anyhow::anyhow!("a worker died"))
}

fn listing(sku: &str, seller: usize, on_hand: usize) -> Value {
    json!({
        "sku": sku, "location": "main", "price": { "minor": 1_000 + seller, "currency": "EUR" }, "on_hand": on_hand,
    })
}

/// What the honest met in one arm of a cell.
#[derive(Default)]
struct Met {
    /// By kind: queries, writes.
    calm: [Vec<Duration>; 2],
    during: [Vec<Duration>; 2],
    /// After each attack: when, in seconds after its end, how long it took, of which kind, whether served.
    after: Vec<Vec<(f64, Duration, usize, bool)>>,
    sent: usize,
    served: usize,
    /// What attackers reached a second.
    rates: Vec<f64>,
}

impl Met {
    fn take(&mut self, all: &[Sent], from: Instant, until: Instant) {
        let mut after = Vec::new();
        for sent in all {
            let kind = usize::from(sent.write);
            if sent.at < from {
                self.calm[kind].push(sent.took);
            } else if sent.at < until {
                self.sent += 1;
                self.served += usize::from(sent.served);
                self.during[kind].push(sent.took);
            } else {
                after.push(((sent.at + sent.took - until).as_secs_f64(), sent.took, kind, sent.served));
            }
        }
        self.after.push(after);
    }

    /// Seconds after the end of each attack until the last honest request that was not served, or took more than twice the p99
    /// of its kind without an attack.
    fn recoveries(&self) -> Result<Vec<f64>> {
        let slow: Vec<Duration> = self
            .calm
            .iter()
            .map(|calm| Ok(Duration::from_nanos(spread(calm)?.value_at_quantile(0.99)) * 2))
            .collect::<Result<_>>()?;
        let late = |after: &Vec<(f64, Duration, usize, bool)>| {
            let bad = after.iter().filter(|(_, took, kind, served)| !served || *took > slow[*kind]);
            bad.map(|(ended, ..)| *ended).fold(0.0, f64::max)
        };
        Ok(self.after.iter().map(late).collect())
    }
}

fn spread(latencies: &[Duration]) -> Result<Histogram<u64>> {
    let mut all = histogram()?;
    latencies.iter().for_each(|took| all.saturating_record(took.as_nanos() as u64));
    Ok(all)
}

/// One round of an arm: calm, an attack on `target`, and calm again, all the while with the honest at work.
fn round(server: At, target: At, cell: &Cell, keys: &Keys, seed: u64, met: &mut Met) -> Result<()> {
    let begin = Instant::now() + Duration::from_millis(50);
    let (from, until) = (begin + CALM, begin + CALM + ATTACK);
    let all = std::thread::scope(|scope| -> Result<_> {
        let honest = scope.spawn(|| honest(server, keys, begin, until + AFTER, seed));
        wait_until(from);
        let target = if cell.buys { target.buyers } else { target.suppliers };
        let rate = cell.run(target, keys, until);
        let all = honest.join().map_err(|_| anyhow::anyhow!("the honest died"))??;
        met.rates.push(rate?);
        Ok(all)
    })?;
    met.take(&all, from, until);
    Ok(())
}

/// The bare listener: refuses whatever comes, and reads no body.
pub(crate) fn refuse() -> Result<()> {
    let no = || async { (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "no") };
    crate::serve(Router::new().route("/readyz", get(|| async { "ready" })).fallback(no))
}

/// A server with honest suppliers, hostile ones, and one good that everybody wants.
fn start(at: &Path) -> Result<(Server, Keys)> {
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let operator = ring.create("op", Role::Operator)?;
    let seller = |id: &str| -> Result<String> {
        Ok(ring.create(id, Role::Supplier { supplier: SupplierId::new(id)? })?)
    };
    let keys = Keys {
        honest: (0..HONEST).map(|n| seller(&format!("honest-{n}"))).collect::<Result<_>>()?,
        hostile: (0..HOSTILE).map(|n| seller(&format!("hostile-{n}"))).collect::<Result<_>>()?,
        buyer: ring.create("buyer", Role::Buyer)?,
        hostile_buyer: ring.create("hostile-buyer", Role::Buyer)?,
        orders: ring.create("shop", Role::OrderSystem)?,
    };
    let server = Server::stockade_with_limits("attack", at, &["--partitions", "12"])?;
    let mut connection = server.connect()?;
    for (number, key) in keys.honest.iter().enumerate() {
        let id = format!("honest-{number}");
        supplier(at, &mut connection, &operator, &id, Some(key.clone()))?;
        for good in 0..GOODS {
            let path = format!("/v1/suppliers/{id}/listings/l-{good}");
            insist(&mut connection, "PUT", &path, key, &listing(&format!("GOOD-{good}"), number, 10))?;
        }
    }
    for (number, key) in keys.hostile.iter().enumerate() {
        let id = format!("hostile-{number}");
        // Whoever makes up a thousand suppliers has not had them for years.
        supplier_since(at, &mut connection, &operator, (&id, None), Some(key.clone()))?;
        if number < HOT_OFFERS {
            let path = format!("/v1/suppliers/{id}/listings/hot");
            insist(&mut connection, "PUT", &path, key, &listing("HOT", number, 10))?;
        }
    }
    caught_up(&server)?;
    Ok((server, keys))
}

/// Whether every honest offer is still shown.
fn all_shown(server: &Server, keys: &Keys) -> Result<()> {
    let mut connection = server.connect()?;
    for good in 0..GOODS {
        let path = format!("/v1/availability?sku=GOOD-{good}&limit=50");
        let answer = insist(&mut connection, "GET", &path, &keys.buyer, &Value::Null)?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let shown = answer["offers"].as_array().map_or(0, Vec::len);
        anyhow::ensure!(shown == HONEST, "good {good} has {shown} of {HONEST} honest offers");
    }
    Ok(())
}

pub(crate) fn run(names: &[String], rounds: usize) -> Result<(Vec<Figure>, Vec<Curve>)> {
    let known = || CELLS.iter().map(|cell| cell.name).collect::<Vec<_>>().join(", ");
    for name in names {
        anyhow::ensure!(CELLS.iter().any(|cell| cell.name == *name), "{name} is none of {}", known());
    }
    let directory = tempfile::tempdir()?;
    let (server, keys) = start(directory.path())?;
    let bare = Server::arm("bare", directory.path(), &["refuse"])?;
    let (mut figures, mut curves) = (Vec::new(), Vec::new());
    for cell in CELLS.iter().filter(|cell| names.is_empty() || names.iter().any(|name| name == cell.name)) {
        let (mut attacked, mut placebo) = (Met::default(), Met::default());
        for number in 0..rounds {
            let seed = number as u64;
            // ABBA: whatever drifts meets both arms alike.
            let at = |server: &Server| At { suppliers: server.api, buyers: server.buyers };
            let arms = [(at(&server), &mut attacked), (at(&bare), &mut placebo)];
            let order: Vec<_> =
                if number % 2 == 0 { arms.into_iter().collect() } else { arms.into_iter().rev().collect() };
            for (target, met) in order {
                round(at(&server), target, cell, &keys, seed, met)?;
                // What an attack left to do is not the next arm's.
                caught_up(&server)?;
            }
        }
        all_shown(&server, &keys)?;
        let named = |what: &str| format!("{}: {what}", cell.name);
        for (kind, what) in ["queries", "writes"].into_iter().enumerate() {
            let (during, beside) = (&attacked.during[kind], &placebo.during[kind]);
            let (attack, placebo) = (spread(during)?, spread(beside)?);
            let (during, beside) = (micros(&attack, 0.99), micros(&placebo, 0.99));
            for (arm, latencies) in [("attack", attack), ("placebo", placebo)] {
                curves.push(Curve { name: named(&format!("{what}, {arm}")), latencies });
            }
            let ratio = during / beside;
            figures.push(
                Figure::new(named(&format!("p99 of {what} ÷ placebo")), ratio, "ratio", "<= 1.25")
                    .met(ratio <= 1.25)
                    .note(format!("{during:.0} us ÷ {beside:.0} us; {rounds} rounds; {}", cell.what)),
            );
        }
        let share = attacked.served as f64 / attacked.sent as f64;
        figures.push(
            Figure::new(named("share of honest requests served"), share, "", ">= 0.999")
                .met(share >= 0.999)
                .note(format!("{} of {}", attacked.served, attacked.sent)),
        );
        let mut recoveries = attacked.recoveries()?;
        let longest = recoveries.iter().copied().fold(0.0, f64::max);
        let recovery = median(&mut recoveries)?;
        let rates = [&mut attacked.rates, &mut placebo.rates].map(|rates| median(rates));
        let [reached, beside] = rates;
        figures.push(
            Figure::new(named("requests of the attackers"), reached?, "/s", "report")
                .note(format!("placebo {:.0}", beside?)),
        );
        figures.push(
            Figure::new(named("recovery, median"), recovery, "s", "<= 5")
                .met(recovery <= 5.0)
                .note(format!("longest {longest:.1}; watched for 7")),
        );
    }
    figures.push(Figure::new(
        "memory of the server, at most",
        most_resident(server.process.id())? / 1e6,
        "MB",
        "report",
    ));
    Ok((figures, curves))
}
