//! Listings all in: what a server with every fold on the embedded log, or one with the inventory fold alone on Kafka, spends on each,
//! and how soon it serves again after kill -9, at two sizes, so that the slope shows.

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};
use stockade_testkit::{Kafka, KafkaOptions, Redis};

use crate::{
    Figure,
    cluster::{Server, insist, supplier},
    process::{caught_up, cpu_seconds, resident, stored},
};

/// Listings of each supplier, sent in one batch.
const EACH: usize = 100;
/// Offers of each good.
const OFFERS: usize = 10;
/// Connections that fill it.
const CONNECTIONS: usize = 4;
const REGIONS: [&str; 16] =
    ["DE", "FR", "ES", "IT", "PL", "NL", "BE", "AT", "CH", "SE", "DK", "NO", "FI", "IE", "PT", "CZ"];

/// The listings of a supplier: goods that others have as well, at prices of its own.
fn batch(seller: usize, listings: usize) -> Value {
    let goods = (listings / OFFERS).max(1);
    let rows: Vec<Value> = (0..EACH)
        .map(|row| {
            let good = (seller * EACH + row) * 7_919 % goods;
            json!({
                "op": "put", "listing": format!("l-{row:04}"), "sku": format!("SKU-{good:08}"), "location": "main",
                "price": { "minor": 1_000 + (seller * 31 + row * 17) % 5_000, "currency": "EUR" },
                "on_hand": 1 + (seller + row) % 90, "regions": [REGIONS[(seller + row) % REGIONS.len()]], "source_seq": 1,
            })
        })
        .collect();
    json!({ "rows": rows })
}

/// Registers suppliers and sends what they have.
fn fill(
    at: &Path,
    server: &Server,
    keys: &[(String, String)],
    operator: &str,
    listings: usize,
) -> Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|worker| {
                scope.spawn(move || -> Result<()> {
                    let mut connection = server.connect()?;
                    for (seller, (id, key)) in keys.iter().enumerate().skip(worker).step_by(CONNECTIONS) {
                        supplier(at, &mut connection, operator, id, Some(key.clone()))?;
                        let path = format!("/v1/suppliers/{id}/inventory:batch");
                        let answer = insist(&mut connection, "POST", &path, key, &batch(seller, listings))?;
                        let answer: Value = serde_json::from_slice(&answer)?;
                        anyhow::ensure!(answer["failed"] == 0, "{id}: {answer}");
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a worker died"))?)
    })
}

struct Seen {
    listings: f64,
    empty: f64,
    cpu: f64,
    filled: f64,
    stored: f64,
    started: f64,
    again: f64,
}

fn measure(listings: usize, kafka: bool) -> Result<Seen> {
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let operator = ring.create("op", Role::Operator)?;
    let buyer = ring.create("buyer", Role::Buyer)?;
    let suppliers = (0..listings / EACH).map(|seller| {
        let id = format!("supplier-{seller:06}");
        Ok((id.clone(), Role::Supplier { supplier: SupplierId::new(&id)? }))
    });
    let suppliers = suppliers.collect::<Result<Vec<_>>>()?;
    let made = ring.create_all(&suppliers)?;
    let keys: Vec<(String, String)> = suppliers.into_iter().map(|(id, _)| id).zip(made).collect();
    let on = if kafka {
        let kafka = Kafka::start(&at.join("kafka"), KafkaOptions::default())?;
        Some((kafka, Redis::start(&at.join("redis"))?))
    } else {
        None
    };
    let addresses = on.as_ref().map(|(kafka, redis)| (kafka.addresses(), redis.url()));
    let common = match &addresses {
        Some((kafka, redis)) => vec!["--partitions", "12", "--kafka", kafka, "--redis", redis],
        None => vec!["--partitions", "12"],
    };
    // The lockout service is there for registrations only.
    let with_role = |role| [&common[..], &["--role", role]].concat();
    let lockout = on.is_some().then(|| Server::stockade("lockout", at, &with_role("lockout"))).transpose()?;
    let arguments = if on.is_some() { with_role("inventory") } else { common.clone() };
    let mut server = Server::stockade("start", at, &arguments)?;
    let process = server.process.id();
    caught_up(&server)?;
    let (empty, cpu) = (resident(process)?, cpu_seconds(process)?);
    fill(at, &server, &keys, &operator, listings)?;
    caught_up(&server)?;
    let (filled, cpu) = (resident(process)?, cpu_seconds(process)? - cpu);
    let on_disk = stored(&at.join("start"))?;
    drop(lockout);
    server.process.kill()?;
    drop(server);
    let begun = Instant::now();
    let server = Server::stockade("start", at, &arguments)?;
    let started = begun.elapsed().as_secs_f64();
    caught_up(&server)?;
    let again = resident(server.process.id())?;
    // What was acknowledged is there.
    let last = batch(keys.len() - 1, listings);
    let sku = last["rows"][EACH - 1]["sku"].as_str().context("no good")?.to_owned();
    let path = format!("/v1/availability?sku={sku}&limit={OFFERS}");
    let answer: Value =
        serde_json::from_slice(&insist(&mut server.connect()?, "GET", &path, &buyer, &Value::Null)?)?;
    anyhow::ensure!(answer["offers"].as_array().is_some_and(|offers| offers.len() == OFFERS), "{answer}");
    Ok(Seen { listings: listings as f64, empty, cpu, filled, stored: on_disk, started, again })
}

pub(crate) fn run(listings: usize, times: usize, kafka: bool) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for listings in [listings, listings * times] {
        let seen = measure(listings, kafka)?;
        let n = seen.listings;
        let named = |what: &str| format!("{what}, {n} listings");
        let what = if kafka { "the role inventory alone on Kafka" } else { "all folds in one process" };
        let note = format!(
            "{} suppliers, {} goods, 16 regions, batches of {EACH}, registrations included, {what}, debug assertions {}",
            n / EACH as f64,
            n / OFFERS as f64,
            if cfg!(debug_assertions) { "on" } else { "off" },
        );
        let per = |bytes: f64| (bytes - seen.empty) / n;
        let after = per(seen.again);
        figures.extend([
            Figure::new(named("memory of a listing, after a start"), after, "B", "<= 200")
                .met(after <= 200.0)
                .note(note),
            Figure::new(named("memory of a listing, as filled"), per(seen.filled), "B", "report")
                .note("with what is remembered of requests for a day".to_owned()),
            Figure::new(named("CPU of a listing"), seen.cpu * 1e6 / n, "us", "report"),
            Figure::new(named("disk of a listing"), seen.stored / n, "B", "report"),
            Figure::new(named("kill -9 to ready"), seen.started, "s", "<= 60 at 10 million"),
        ]);
    }
    Ok(figures)
}
