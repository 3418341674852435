//! What an attack costs those whom it is not about: the same schedule of honest suppliers and buyers before, during and after
//! each attack, in one life of the server, against a placebo in which the same traffic goes to a bare listener on the same
//! machine that refuses everything. Latency counts from the intended time of sending; rounds of both arms are interleaved.
//!
//! The generator and the brokers have processors of their own, and the server and the bare listener share the others (`apart`), so the
//! placebo carries what the attacker's own sending costs the honest, and what is left is the server's. Attackers wait for answers and do not make up for what they fell behind, so the
//! rates that both arms reached are told: where they differ, so do the arms. Each cell is played with one attacker, with
//! sixteen and with a thousand, who send as much between them.

mod apart;
mod cells;
mod page;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
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
use stockade_testkit::Redis;

use crate::{
    Figure,
    cluster::{Brokers, Server, insist, rules_file, starter_rules, supplier, supplier_since},
    frauds::Market,
    generator::{Connection, histogram, wait_until},
    process::{caught_up, most_resident},
    report::Curve,
};
use apart::Apart;
use cells::{CELLS, Cell};
use page::Line;

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
/// How long it is watched after an attack: longer than it may take until all is well. After a placebo there is nothing to watch.
const AFTER: Duration = Duration::from_secs(7);
const PLACEBO_AFTER: Duration = Duration::from_secs(1);
/// A second is well again in which at most one honest request in so many is not served, or takes more than twice the p99 of calm.
const WELL: usize = 20;
/// Suppliers who are fenced in each calm, and during each attack.
const FENCED: usize = 5;
/// How many the attackers are.
const ATTACKERS: [usize; 3] = [1, 16, 1_000];

/// What is asked for: cells (all if none is named), how many attackers, rounds of both arms, on which log, where a page of the
/// whole is written, and whether anything but speed that is not met ends it with a failure.
pub(crate) struct Plan {
    pub(crate) cells: Vec<String>,
    pub(crate) attackers: Vec<usize>,
    pub(crate) rounds: usize,
    pub(crate) kafka: bool,
    pub(crate) page: Option<PathBuf>,
    pub(crate) check: bool,
}

/// Keys of everyone.
pub(crate) struct Keys {
    honest: Vec<String>,
    pub(crate) hostile: Vec<String>,
    buyer: String,
    pub(crate) hostile_buyers: Vec<String>,
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
                apart::go_first();
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
    /// From the event that fences somebody until a buyer sees it no more: calm, and during the attack.
    fenced: [Option<Histogram<u64>>; 2],
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
                after.push(((sent.at - until).as_secs_f64(), sent.took, kind, sent.served));
            }
        }
        self.after.push(after);
    }

    /// Seconds after the end of each attack from when on every second was well.
    fn recoveries(&self) -> Result<Vec<f64>> {
        let slow: Vec<Duration> = self
            .calm
            .iter()
            .map(|calm| Ok(Duration::from_nanos(spread(calm)?.value_at_quantile(0.99)) * 2))
            .collect::<Result<_>>()?;
        let well_again = |after: &Vec<(f64, Duration, usize, bool)>| {
            let mut seconds = [(0, 0); AFTER.as_secs() as usize];
            for (at, took, kind, served) in after {
                if let Some((all, bad)) = seconds.get_mut(*at as usize) {
                    *all += 1;
                    *bad += usize::from(!served || *took > slow[*kind]);
                }
            }
            seconds.iter().rposition(|(all, bad)| bad * WELL > *all).map_or(0.0, |last| (last + 1) as f64)
        };
        Ok(self.after.iter().map(well_again).collect())
    }
}

fn spread(latencies: &[Duration]) -> Result<Histogram<u64>> {
    let mut all = histogram()?;
    latencies.iter().for_each(|took| all.saturating_record(took.as_nanos() as u64));
    Ok(all)
}

/// One arm: where the attack goes, and who is fenced meanwhile.
struct Arm<'a> {
    server: At,
    target: At,
    frauds: Option<(&'a Market<'a>, Vec<String>)>,
    after: Duration,
}

/// One round of an arm: calm, an attack, and calm again, all the while with the honest at work.
fn round(arm: &Arm<'_>, cell: &Cell, attackers: usize, keys: &Keys, seed: u64, met: &mut Met) -> Result<()> {
    let begin = Instant::now() + Duration::from_millis(50);
    let (from, until) = (begin + CALM, begin + CALM + ATTACK);
    let mut fenced = [histogram()?, histogram()?];
    let all = std::thread::scope(|scope| -> Result<_> {
        let honest = scope.spawn(|| honest(arm.server, keys, begin, until + arm.after, seed));
        let fencing = arm.frauds.as_ref().map(|(market, who)| {
            let (calm, during) = who.split_at(who.len() / 2);
            let [before, under] = &mut fenced;
            scope.spawn(move || -> Result<()> {
                wait_until(begin + CALM / 4);
                market.measure(calm, before)?;
                wait_until(from + ATTACK / 4);
                market.measure(during, under)
            })
        });
        wait_until(from);
        let target = if cell.buys { arm.target.buyers } else { arm.target.suppliers };
        let rate = cell.run(target, keys, attackers, until);
        let all = honest.join().map_err(|_| anyhow::anyhow!("the honest died"))??;
        if let Some(fencing) = fencing {
            fencing.join().map_err(|_| anyhow::anyhow!("who fences died"))??;
        }
        met.rates.push(rate?);
        Ok(all)
    })?;
    for (all, some) in met.fenced.iter_mut().zip(fenced) {
        match all {
            Some(all) => all.add(some)?,
            None => *all = Some(some),
        }
    }
    met.take(&all, from, until);
    Ok(())
}

/// The bare listener: refuses whatever comes, and reads no body.
pub(crate) fn refuse() -> Result<()> {
    let no = || async { (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "no") };
    crate::serve(Router::new().route("/readyz", get(|| async { "ready" })).fallback(no))
}

/// A server with honest suppliers, hostile ones, and one good that everybody wants.
fn start(at: &Path, ring: &KeyRing, log: &[&str]) -> Result<(Server, Keys)> {
    let operator = ring.create("op", Role::Operator)?;
    let seller = |id: &str| -> Result<String> {
        Ok(ring.create(id, Role::Supplier { supplier: SupplierId::new(id)? })?)
    };
    let keys = Keys {
        honest: (0..HONEST).map(|n| seller(&format!("honest-{n}"))).collect::<Result<_>>()?,
        hostile: (0..HOSTILE).map(|n| seller(&format!("hostile-{n}"))).collect::<Result<_>>()?,
        buyer: ring.create("buyer", Role::Buyer)?,
        hostile_buyers: (0..HOSTILE)
            .map(|n| Ok(ring.create(&format!("hostile-buyer-{n}"), Role::Buyer)?))
            .collect::<Result<_>>()?,
        orders: ring.create("shop", Role::OrderSystem)?,
    };
    // Far more are fenced here, one after another, than a marketplace fences in a day; past the budget they would only be capped.
    let rules = starter_rules()?;
    let budget = "budget: { suppliers: 500, per: 24h }";
    anyhow::ensure!(rules.contains(budget), "the starter rules have another budget");
    let rules = rules.replace(budget, "budget: { suppliers: 100000, per: 24h }");
    std::fs::write(rules_file(at), format!("trust_up_to: 1000000\n{rules}"))?;
    let server = Server::stockade_with_limits("attack", at, &[log, &["--partitions", "12"]].concat())?;
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

/// Whether every honest offer is still shown, among however many others.
fn all_shown(server: &Server, keys: &Keys) -> Result<()> {
    let mut connection = server.connect()?;
    for good in 0..GOODS {
        let (mut shown, mut cursor) = (0, String::new());
        loop {
            let path = format!("/v1/availability?sku=GOOD-{good}&limit=50{cursor}");
            let answer = insist(&mut connection, "GET", &path, &keys.buyer, &Value::Null)?;
            let answer: Value = serde_json::from_slice(&answer)?;
            let offers = answer["offers"].as_array().context("no offers")?;
            let is_honest = |offer: &&Value| {
                offer["supplier"].as_str().is_some_and(|supplier| supplier.starts_with("honest-"))
            };
            shown += offers.iter().filter(is_honest).count();
            match answer["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        anyhow::ensure!(shown == HONEST, "good {good} has {shown} of {HONEST} honest offers");
    }
    Ok(())
}

/// Plays the cells that were asked for.
pub(crate) fn run(plan: &Plan) -> Result<(Vec<Figure>, Vec<Curve>)> {
    let known = || CELLS.iter().map(|cell| cell.name).collect::<Vec<_>>().join(", ");
    for name in &plan.cells {
        anyhow::ensure!(CELLS.iter().any(|cell| cell.name == *name), "{name} is none of {}", known());
    }
    let attackers = if plan.attackers.is_empty() { &ATTACKERS[..] } else { &plan.attackers };
    let chosen = |cell: &&Cell| plan.cells.is_empty() || plan.cells.iter().any(|name| name == cell.name);
    let played: Vec<(&Cell, usize)> = CELLS
        .iter()
        .filter(chosen)
        .flat_map(|cell| {
            let many = if cell.counted { attackers } else { &[1] };
            many.iter().map(move |attackers| (cell, *attackers))
        })
        .collect();
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let fenced = Market::keys(&ring, "fenced", 1 + played.len() * plan.rounds * 2 * FENCED)?;
    let apart = if plan.check { Apart::not() } else { Apart::of_this_machine()? };
    apart.go_to_generator()?;
    let brokers = || anyhow::Ok((Brokers::start(at)?, Redis::start(&at.join("redis"))?));
    let beside = plan.kafka.then(|| apart::before_attackers(brokers)).transpose()?;
    let log = beside.as_ref().map(|(brokers, redis)| (brokers.addresses(), redis.url()));
    let log: Vec<&str> = log
        .iter()
        .flat_map(|(kafka, redis)| ["--kafka", kafka.as_str(), "--redis", redis.as_str()])
        .collect();
    // Whoever is started has the processors of who starts it.
    apart.go_to_server()?;
    let bare = Server::arm("bare", at, &["refuse"])?;
    let (server, keys) = start(at, &ring, &log)?;
    apart.go_to_generator()?;
    let mut market = Market::open(at, "fenced", server.api, fenced)?;
    let places = |server: &Server| At { suppliers: server.api, buyers: server.buyers };
    let (mut figures, mut curves, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for (cell, attackers) in played {
        let (mut attacked, mut placebo) = (Met::default(), Met::default());
        for number in 0..plan.rounds {
            let seed = number as u64;
            let who = market.prepare_round(2 * FENCED)?;
            let (server_at, bare_at) = (places(&server), places(&bare));
            let attack =
                Arm { server: server_at, target: server_at, frauds: Some((&market, who)), after: AFTER };
            let beside = Arm { server: server_at, target: bare_at, frauds: None, after: PLACEBO_AFTER };
            // ABBA: whatever drifts meets both arms alike.
            let mut arms = [(attack, &mut attacked), (beside, &mut placebo)];
            if number % 2 == 1 {
                arms.reverse();
            }
            for (arm, met) in arms {
                round(&arm, cell, attackers, &keys, seed, met)?;
                // What an attack left to do is not the next arm's.
                caught_up(&server)?;
            }
        }
        all_shown(&server, &keys)?;
        let memory = most_resident(server.process.id())? / 1e6;
        let line = Line::of(cell, attackers, plan.rounds, (&attacked, &placebo), memory)?;
        if plan.check {
            // Built for tests, on a machine with other work, somebody may be told to wait a second.
            anyhow::ensure!(
                line.served * 100 >= line.sent * 99,
                "{}: {} of {} honest requests were served",
                line.name,
                line.served,
                line.sent
            );
        }
        for (kind, what) in ["queries", "writes"].into_iter().enumerate() {
            for (arm, met) in [("attack", &attacked), ("placebo", &placebo)] {
                let latencies = spread(&met.during[kind])?;
                curves.push(Curve { name: format!("{}: {what}, {arm}", line.name), latencies });
            }
        }
        eprintln!("{}", line.told());
        figures.extend(line.figures(plan.rounds));
        lines.push(line);
    }
    let memory = most_resident(server.process.id())? / 1e6;
    figures.push(Figure::new("memory of the server, at most", memory, "MB", "report").note(apart.told()));
    if let Some(path) = &plan.page {
        let on = if plan.kafka { "Kafka and Redis" } else { "the embedded log" };
        std::fs::write(path, page::write(on, &apart.told(), plan.rounds, memory, &lines))?;
    }
    Ok((figures, curves))
}
