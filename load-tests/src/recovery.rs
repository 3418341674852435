//! Kill -9 under load: how long until it serves again, and whether anything that was acknowledged is gone.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};
use stockade_testkit::{Redis, wait_until};

use crate::{
    Figure,
    cluster::{Brokers, Server, insist, key, supplier},
    report::Curve,
};

const ROWS: usize = 1_000;
const CHEATS: usize = 5;

struct Lost {
    seconds: f64,
    writes: usize,
    decisions: usize,
    acknowledged: usize,
}

fn batch(number: usize) -> Value {
    let rows: Vec<Value> = (0..ROWS)
        .map(|row| {
            let listing = number * ROWS + row;
            json!({
                "op": "put", "listing": format!("l-{listing}"), "sku": format!("SKU-{listing}"), "location": "main",
                "price": { "minor": 1_000, "currency": "EUR" }, "on_hand": 1,
            })
        })
        .collect();
    json!({ "rows": rows })
}

/// Fills a market, locks some, kills it while more is written, starts it again and counts.
fn kill_and_count(at: &std::path::Path, name: &str, arguments: &[&str], listings: usize) -> Result<Lost> {
    let server = Server::stockade(name, at, arguments)?;
    let (operator, orders, buyer) =
        (key(at, &["operator", "--name", "op"])?, key(at, &["order-system"])?, key(at, &["buyer"])?);
    let mut connection = server.connect()?;
    let good = supplier(at, &mut connection, &operator, &format!("{name}-good"), None)?;
    let path = format!("/v1/suppliers/{name}-good/inventory:batch");
    for number in 0..listings / ROWS {
        insist(&mut connection, "POST", &path, &good, &batch(number))?;
    }
    let gone = |connection: &mut crate::generator::Connection, id: &str| -> Result<bool> {
        let answer = insist(connection, "GET", &format!("/v1/availability?sku={id}"), &buyer, &Value::Null)?;
        let answer: Value = serde_json::from_slice(&answer)?;
        Ok(answer["offers"].as_array().is_none_or(Vec::is_empty))
    };
    let bad: Vec<String> = (0..CHEATS).map(|number| format!("{name}-bad-{number}")).collect();
    for id in &bad {
        let key = supplier(at, &mut connection, &operator, id, None)?;
        let body = json!({ "sku": id, "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": 5 });
        insist(&mut connection, "PUT", &format!("/v1/suppliers/{id}/listings/l"), &key, &body)?;
        for order in 0..15 {
            for (kind, cause) in [("placed", Value::Null), ("cancelled", json!("supplier"))] {
                let event = json!({
                    "specversion": "1.0", "id": format!("{id}-{order}-{kind}"), "source": "load", "type": format!("stockade.order.{kind}"),
                    "data": { "supplier": id, "order": format!("{id}-{order}"), "buyer": format!("b-{id}-{order}"), "cause": cause },
                });
                insist(&mut connection, "POST", "/v1/events", &orders, &event)?;
            }
        }
        anyhow::ensure!(
            wait_until(Duration::from_secs(30), || gone(&mut connection, id).unwrap_or(false)),
            "{id} stays"
        );
    }
    // Written while it is killed: each acknowledged batch has to be there afterwards.
    let (acknowledged, halt) = (AtomicUsize::new(listings / ROWS), AtomicBool::new(false));
    let mut server = server;
    let api = server.api;
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            let Ok(mut connection) = crate::generator::Connection::open(api) else { return };
            while !halt.load(Ordering::SeqCst) {
                let number = acknowledged.load(Ordering::SeqCst);
                let body = batch(number).to_string();
                match connection.call("POST", &path, &good, body.as_bytes()) {
                    Ok((200, _)) => drop(acknowledged.fetch_add(1, Ordering::SeqCst)),
                    _ => return,
                }
            }
        });
        let begun = acknowledged.load(Ordering::SeqCst);
        wait_until(Duration::from_secs(20), || acknowledged.load(Ordering::SeqCst) >= begun + 5);
        server.process.kill()?;
        halt.store(true, Ordering::SeqCst);
        Ok(())
    })?;
    let begun = Instant::now();
    let server = Server::stockade(name, at, arguments)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut connection = server.connect()?;
    let batches = acknowledged.load(Ordering::SeqCst);
    let mut writes = 0;
    for number in 0..batches {
        for part in 0..ROWS / 100 {
            let skus: Vec<Value> = (0..100)
                .map(|row| json!({ "sku": format!("SKU-{}", number * ROWS + part * 100 + row) }))
                .collect();
            let answer =
                insist(&mut connection, "POST", "/v1/availability:query", &buyer, &json!({ "goods": skus }))?;
            let answer: Value = serde_json::from_slice(&answer)?;
            let offered = answer["results"].as_array().map_or(0, |results| {
                results.iter().filter(|r| r["offers"].as_array().is_some_and(|o| !o.is_empty())).count()
            });
            writes += 100 - offered;
        }
    }
    let mut decisions = 0;
    for id in &bad {
        decisions += usize::from(!gone(&mut connection, id)?);
    }
    Ok(Lost { seconds, writes, decisions, acknowledged: batches * ROWS })
}

pub(crate) fn run(listings: usize) -> Result<(Vec<Figure>, Vec<Curve>)> {
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let brokers = Brokers::start(at)?;
    let redis = Redis::start(&at.join("redis"))?;
    let (kafka, redis_url) = (brokers.addresses(), redis.url());
    let on_kafka = ["--kafka", kafka.as_str(), "--redis", &redis_url, "--partitions", "12"];
    let mut figures = Vec::new();
    for (name, arguments) in [("kafka", &on_kafka[..]), ("embedded", &["--partitions", "12"][..])] {
        let lost = kill_and_count(at, name, arguments, listings)?;
        let note = format!("{} listings acknowledged, {CHEATS} suppliers locked", lost.acknowledged);
        let named = |what: &str| format!("{name}: {what}");
        figures.push(
            Figure::new(named("acknowledged writes lost"), lost.writes as f64, "listings", "0")
                .met(lost.writes == 0)
                .note(note),
        );
        figures.push(
            Figure::new(named("decisions lost"), lost.decisions as f64, "decisions", "0")
                .met(lost.decisions == 0),
        );
        figures.push(Figure::new(named("serving again after kill -9"), lost.seconds, "s", "report"));
    }
    Ok((figures, Vec::new()))
}
