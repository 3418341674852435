//! Accepted listings a second through batch HTTP, against a handler that parses the same body and produces the same rows
//! through the same broker.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use bytes::Bytes;
use serde_json::{Value, json};
use stockade_log::{Ack, Log as _, NewRecord, Route, SharedLog, TopicSpec};
use stockade_log_kafka::{KafkaLog, KafkaOptions};
use stockade_testkit::Redis;

use crate::{
    Figure,
    cluster::{Brokers, PARTITIONS, Server, key, supplier},
    generator::histogram,
    report::Curve,
};

const ROWS: usize = 1_000;
const CONNECTIONS: usize = 4;
const ROUND: Duration = Duration::from_secs(4);
const ROUNDS: usize = 8;
const SUPPLIERS: usize = 8;

/// The other arm: reads the rows as JSON, makes them one record, produces it and answers when it is acknowledged.
pub(crate) fn bare(brokers: &str) -> Result<()> {
    let mut options = KafkaOptions::new(brokers, "bare");
    options.prefix = format!("bare-{}.", std::process::id());
    let log = KafkaLog::open(options, stockade_runtime::clock::system_clock())?;
    log.ensure_topic(&TopicSpec { name: "t", partitions: PARTITIONS, retention_ms: None })?;
    let log: SharedLog = Arc::new(log);
    let take = async |State(log): State<SharedLog>, body: Bytes| {
        let Ok(batch) = serde_json::from_slice::<Batch>(&body) else {
            return (StatusCode::BAD_REQUEST, Json(Value::Null));
        };
        let value = serde_json::to_vec(&batch.rows).unwrap_or_default();
        let record = NewRecord {
            topic: "t",
            route: Route::Key,
            key: Bytes::from_static(b"s"),
            headers: Vec::new(),
            value: value.into(),
        };
        match log.append(vec![record], Ack::Durable).await {
            Ok(_) => {
                let rows: Vec<Value> =
                    (0..batch.rows.len()).map(|row| json!({ "row": row, "status": "applied" })).collect();
                (StatusCode::OK, Json(json!({ "rows": rows })))
            }
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null)),
        }
    };
    let router = Router::new()
        .route("/rows", post(take))
        .route("/readyz", get(|| async { "ready" }))
        .layer(axum::extract::DefaultBodyLimit::max(8 << 20))
        .with_state(log);
    crate::serve(router)
}

#[derive(serde::Deserialize)]
struct Batch {
    rows: Vec<Row>,
}

/// The fields that a listing row has.
#[derive(serde::Serialize, serde::Deserialize)]
struct Row {
    op: String,
    listing: String,
    sku: String,
    location: String,
    price: Price,
    on_hand: i64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Price {
    minor: i64,
    currency: String,
}

fn body(number: usize) -> Vec<u8> {
    let rows: Vec<Value> = (0..ROWS)
        .map(|row| {
            // The same listings over and over, as a daily feed has them.
            let listing = (number * ROWS + row) % 20_000;
            json!({
                "op": "put", "listing": format!("l-{listing}"), "sku": format!("SKU-{listing}"), "location": "main",
                "price": { "minor": 1_000 + number as i64 % 7, "currency": "EUR" }, "on_hand": row,
            })
        })
        .collect();
    json!({ "rows": rows }).to_string().into_bytes()
}

/// Listings a second through several connections, each waiting for its answer.
fn arm(
    server: &Server,
    path: impl Fn(usize) -> (String, String) + Sync,
    curve: &mut Curve,
    round: usize,
) -> Result<f64> {
    let begun = Instant::now();
    let counts: Vec<Result<(usize, hdrhistogram::Histogram<u64>)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|worker| {
                let path = &path;
                scope.spawn(move || {
                    let mut connection = server.connect()?;
                    let (mut count, mut latencies) = (0, histogram()?);
                    let mut number = round * 1_000 + worker;
                    while begun.elapsed() < ROUND {
                        number += CONNECTIONS;
                        let (path, key) = path(number);
                        let body = body(number);
                        let sent = Instant::now();
                        let (status, answer) = connection.call("POST", &path, &key, &body)?;
                        anyhow::ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&answer));
                        latencies.saturating_record(sent.elapsed().as_nanos() as u64);
                        count += ROWS;
                    }
                    Ok((count, latencies))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
            .collect()
    });
    let elapsed = begun.elapsed().as_secs_f64();
    let mut total = 0;
    for part in counts {
        let (count, latencies) = part?;
        total += count;
        curve.latencies.add(latencies)?;
    }
    Ok(total as f64 / elapsed)
}

pub(crate) fn run() -> Result<(Vec<Figure>, Vec<Curve>)> {
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let brokers = Brokers::start(at)?;
    let redis = Redis::start(&at.join("redis"))?;
    let (kafka, redis_url) = (brokers.addresses(), redis.url());
    let common = ["--kafka", &kafka, "--redis", &redis_url, "--partitions", "12"];
    // The lockout service is there for registrations only, and gone while it is measured.
    let lockout = Server::stockade("lockout", at, &[&common[..], &["--role", "lockout"]].concat())?;
    let inventory = Server::stockade("inventory", at, &[&common[..], &["--role", "inventory"]].concat())?;
    let operator = key(at, &["operator", "--name", "op"])?;
    let mut keys = Vec::new();
    for number in 0..SUPPLIERS {
        let id = format!("s{number}");
        keys.push((supplier(at, &mut inventory.connect()?, &operator, &id, None)?, id));
    }
    drop(lockout);
    let bare = Server::arm("bare", at, &["bare-ingest", "--kafka", &kafka])?;
    let ours = |number: usize| {
        let (key, id) = &keys[number % SUPPLIERS];
        (format!("/v1/suppliers/{id}/inventory:batch"), key.clone())
    };
    let theirs = |_: usize| ("/rows".to_owned(), String::new());
    let curve =
        |name: &str| -> Result<Curve> { Ok(Curve { name: name.to_owned(), latencies: histogram()? }) };
    let (mut our_curve, mut bare_curve) = (curve("stockade")?, curve("bare handler")?);
    arm(&inventory, ours, &mut curve("warm-up")?, 0)?;
    arm(&bare, theirs, &mut curve("warm-up")?, 0)?;
    let (mut our_rates, mut bare_rates, mut same) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first = arm(&inventory, ours, &mut our_curve, round)?;
        let a = arm(&bare, theirs, &mut bare_curve, round)?;
        let b = arm(&bare, theirs, &mut bare_curve, round)?;
        our_rates.extend([first, arm(&inventory, ours, &mut our_curve, round)?]);
        bare_rates.extend([a, b]);
        same.push(b / a);
    }
    let rate = crate::median(&mut our_rates)?;
    let ratio = rate / crate::median(&mut bare_rates)?;
    let figures = vec![
        Figure::new("accepted listings / bare handler", ratio, "ratio", ">= 0.7").met(ratio >= 0.7).note(format!(
            "{ROUNDS} ABBA rounds of {ROUND:?}, batches of {ROWS}, {CONNECTIONS} connections, closed loop, real Kafka"
        )),
        Figure::new("accepted listings", rate, "listings/s", "report").note("median of rounds".to_owned()),
        Figure::new("A / A of the bare handler", crate::median(&mut same)?, "ratio", "report"),
    ];
    Ok((figures, vec![our_curve, bare_curve]))
}
