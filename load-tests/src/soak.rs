//! Hours of the same load: whether memory stays where it is. Suppliers restate their stock and buyers ask, at a fixed rate, over
//! the same goods, so that nothing new is to be remembered once what is kept of requests has reached its bounds.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};

use crate::{
    Figure,
    cluster::{Server, insist, supplier},
    generator::wait_until,
    process::{caught_up, cpu_seconds, resident, stored},
};

const SUPPLIERS: usize = 20;
/// Listings of each supplier; all sell the same goods.
const LISTINGS: usize = 50;
/// Calls of each kind a second.
const WRITES: u32 = 200;
const QUERIES: u32 = 300;
/// Before memory is looked at: what is kept of requests has bounds, and they are reached by then.
const WARM_UP_MINUTES: u64 = 6;
/// Memory is read so often.
const LOOK: Duration = Duration::from_secs(5);
/// The ends that are compared have so many minutes each.
const END_MINUTES: u64 = 5;

fn listing(seller: usize, number: usize, on_hand: usize) -> Value {
    json!({
        "sku": format!("SKU-{number}"), "location": "main", "on_hand": on_hand,
        "price": { "minor": 1_000 + seller, "currency": "EUR" },
    })
}

/// Calls `work` so often a second until told to stop.
fn steadily(a_second: u32, stop: &AtomicBool, mut work: impl FnMut(usize) -> Result<()>) -> Result<usize> {
    let gap = Duration::from_secs(1) / a_second;
    let (mut at, mut number) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        wait_until(at);
        work(number)?;
        number += 1;
        // Whoever is behind does not make up for it: the rate is a bound.
        at = (at + gap).max(Instant::now());
    }
    Ok(number)
}

/// Bytes resident, every few seconds for so many minutes.
fn watch(process: u32, minutes: u64) -> Result<Vec<f64>> {
    let looks = minutes * 60 / LOOK.as_secs();
    let mut at = Instant::now();
    (0..looks)
        .map(|_| {
            at += LOOK;
            wait_until(at);
            resident(process)
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

pub(crate) fn run(minutes: u64) -> Result<Vec<Figure>> {
    anyhow::ensure!(minutes >= 2 * END_MINUTES, "say {} minutes or more", 2 * END_MINUTES);
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let operator = ring.create("op", Role::Operator)?;
    let buyer = ring.create("buyer", Role::Buyer)?;
    let mut keys = Vec::new();
    for seller in 0..SUPPLIERS {
        let id = format!("s{seller}");
        keys.push((ring.create(&id, Role::Supplier { supplier: SupplierId::new(&id)? })?, id));
    }
    let server = Server::stockade("soak", at, &["--partitions", "12"])?;
    let process = server.process.id();
    let mut connection = server.connect()?;
    for (seller, (key, id)) in keys.iter().enumerate() {
        supplier(at, &mut connection, &operator, id, Some(key.clone()))?;
        for number in 0..LISTINGS {
            let path = format!("/v1/suppliers/{id}/listings/l-{number}");
            insist(&mut connection, "PUT", &path, key, &listing(seller, number, 1))?;
        }
    }
    caught_up(&server)?;
    let stop = AtomicBool::new(false);
    let (keys, server, stop) = (&keys, &server, &stop);
    let (memory, disk, cpu, calls) = std::thread::scope(|scope| -> Result<_> {
        let writer = scope.spawn(move || -> Result<usize> {
            let mut connection = server.connect()?;
            steadily(WRITES, stop, |number| {
                let (seller, listed) = (number % SUPPLIERS, number / SUPPLIERS % LISTINGS);
                let (key, id) = keys.get(seller).context("no such seller")?;
                let path = format!("/v1/suppliers/{id}/listings/l-{listed}");
                insist(&mut connection, "PUT", &path, key, &listing(seller, listed, 1 + number % 97))
                    .map(drop)
            })
        });
        let buyer = &buyer;
        let reader = scope.spawn(move || -> Result<usize> {
            let mut connection = server.connect()?;
            steadily(QUERIES, stop, |number| {
                let path = format!("/v1/availability?sku=SKU-{}&limit=8", number % LISTINGS);
                insist(&mut connection, "GET", &path, buyer, &Value::Null).map(drop)
            })
        });
        let seen = (|| {
            watch(process, WARM_UP_MINUTES)?;
            let (disk, cpu) = (stored(&at.join("soak"))?, cpu_seconds(process)?);
            let memory = watch(process, minutes)?;
            Ok((memory, stored(&at.join("soak"))? - disk, cpu_seconds(process)? - cpu))
        })();
        stop.store(true, Ordering::Relaxed);
        let mut calls = 0;
        for worker in [writer, reader] {
            calls += worker.join().map_err(|_| anyhow::anyhow!("a worker died"))??;
        }
        seen.map(|(memory, disk, cpu): (Vec<f64>, f64, f64)| (memory, disk, cpu, calls))
    })?;
    let end = (END_MINUTES * 60 / LOOK.as_secs()) as usize;
    let (first, last) = (mean(&memory[..end]), mean(&memory[memory.len() - end..]));
    let (least, most) = memory.iter().fold((f64::MAX, 0.0_f64), |(a, b), at| (a.min(*at), b.max(*at)));
    let note = format!(
        "{minutes} minutes after {WARM_UP_MINUTES} of warm-up, {SUPPLIERS} suppliers, {LISTINGS} goods, {calls} calls with the warm-up; \
         means of {END_MINUTES} minutes; least {:.1}, most {:.1} MB",
        least / 1e6,
        most / 1e6
    );
    Ok(vec![
        Figure::new("memory at the end ÷ at the beginning", last / first, "ratio", "<= 1.01")
            .met(last / first <= 1.01)
            .note(note),
        Figure::new("memory at the beginning", first / 1e6, "MB", "report"),
        Figure::new("memory at the end", last / 1e6, "MB", "report"),
        Figure::new("disk that was added", disk / 1e6, "MB", "report"),
        Figure::new("CPU of the server", cpu / (minutes as f64 * 60.0), "cores", "report"),
    ])
}
