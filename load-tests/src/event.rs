//! What the server spends on an order event, from HTTP to every fold that looks at it: CPU time of its process, memory and
//! disk for each event, on the embedded log with all folds and the starter rules.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};

use crate::{
    Figure,
    cluster::{Server, insist, supplier},
    process::{caught_up, cpu_seconds, resident, stored},
};

const SUPPLIERS: usize = 200;
/// Buyers come back now and then.
const BUYERS: usize = 20_000;
/// Orders whose events are sent together, one request for each stage of them.
const ORDERS: usize = 100;
/// How soon what was held back is sent again.
const AGAIN: Duration = Duration::from_millis(100);
/// Each order has three events: placed, shipped, and how it ends.
const STAGES: usize = 3;
/// Orders before anything is measured, and in the smaller of the two measured runs.
const WARM_UP: usize = 4_000;
const SMALL: usize = 8_000;

/// The event of `order` at a stage; of a hundred orders seven end badly, and never two of these at one supplier in a row.
fn event(order: usize, stage: usize) -> Value {
    let (seller, buyer) = (order % SUPPLIERS, order * 7_919 % BUYERS);
    let ends = order / SUPPLIERS * 31 + seller * 17;
    let (kind, cause) = match (stage, ends % 100) {
        (0, _) => ("placed", Value::Null),
        (1, _) => ("shipped", Value::Null),
        (_, 0 | 33 | 66) => ("cancelled", json!("buyer")),
        (_, 11) => ("cancelled", json!("supplier")),
        (_, 22 | 44) => ("disputed", Value::Null),
        (_, 55) => ("reviewed", Value::Null),
        _ => ("delivered", Value::Null),
    };
    let mut data = json!({
        "supplier": format!("s{seller}"), "order": format!("order-{order:08}"), "buyer": format!("buyer-{buyer:06}"),
        "listing": "l-1", "sku": format!("SKU-{seller}"), "quantity": 1,
    });
    if stage == 0 {
        data["amount"] = json!({ "minor": 1_000 + order % 900, "currency": "EUR" });
        data["category"] = json!("toys");
        data["region"] = json!("DE");
    }
    if kind == "shipped" {
        data["tracking"] = json!(format!("TRACK-{order:010}"));
    }
    if kind == "reviewed" {
        data["rating"] = json!(5);
    }
    data["cause"] = cause;
    json!({
        "specversion": "1.0", "id": format!("{order:08}-{stage}"), "source": "shop",
        "type": format!("stockade.order.{kind}"), "data": data,
    })
}

/// What a run of orders cost.
struct Cost {
    events: f64,
    micros: f64,
    resident: f64,
    stored: f64,
    seconds: f64,
}

/// A server under load.
struct Load<'a> {
    server: Server,
    data: &'a Path,
    orders_key: String,
    /// Number of the next order.
    next: usize,
}

impl Load<'_> {
    /// Sends all events of `orders` orders and waits until every fold is through.
    fn run(&mut self, orders: usize) -> Result<Cost> {
        let process = self.server.process.id();
        let mut connection = self.server.connect()?;
        let (cpu, memory, disk) = (cpu_seconds(process)?, resident(process)?, stored(self.data)?);
        let (begun, end) = (Instant::now(), self.next + orders);
        while self.next < end {
            for stage in 0..STAGES {
                let mut events: Vec<Value> =
                    (self.next..self.next + ORDERS).map(|order| event(order, stage)).collect();
                // One key that sends as fast as it can is held back once the platform is behind: what was not taken is sent again.
                while !events.is_empty() {
                    let body = Value::Array(events.clone()).to_string().into_bytes();
                    let (status, answer) = connection.call("POST", "/v1/events", &self.orders_key, &body)?;
                    let answer: Value = serde_json::from_slice(&answer)?;
                    if matches!(answer["code"].as_str(), Some("share_used" | "put_off")) {
                        crate::generator::wait_until(Instant::now() + AGAIN);
                        continue;
                    }
                    let all = status == 202 && answer["refused"] == answer["held_back"];
                    anyhow::ensure!(all, "{status}: {answer}");
                    let mut row = 0;
                    events.retain(|_| {
                        row += 1;
                        answer["rows"][row - 1]["status"] == "held_back"
                    });
                    if !events.is_empty() {
                        crate::generator::wait_until(Instant::now() + AGAIN);
                    }
                }
            }
            self.next += ORDERS;
        }
        caught_up(&self.server)?;
        let seconds = begun.elapsed().as_secs_f64();
        let events = (orders * STAGES) as f64;
        Ok(Cost {
            events,
            micros: (cpu_seconds(process)? - cpu) * 1e6 / events,
            resident: (resident(process)? - memory) / events,
            stored: (stored(self.data)? - disk) / events,
            seconds,
        })
    }
}

/// A server with suppliers that offer one good each.
fn start<'a>(at: &Path, data: &'a Path) -> Result<Load<'a>> {
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let operator = ring.create("op", Role::Operator)?;
    let orders_key = ring.create("shop", Role::OrderSystem)?;
    let mut keys = Vec::with_capacity(SUPPLIERS);
    for seller in 0..SUPPLIERS {
        let id = format!("s{seller}");
        keys.push((ring.create(&id, Role::Supplier { supplier: SupplierId::new(&id)? })?, id));
    }
    let server = Server::stockade("event", at, &["--partitions", "12"])?;
    let mut connection = server.connect()?;
    for (seller, (key, id)) in keys.into_iter().enumerate() {
        let key = supplier(at, &mut connection, &operator, &id, Some(key))?;
        let price = json!({ "minor": 1_000, "currency": "EUR" });
        let listing = json!({ "sku": format!("SKU-{seller}"), "location": "main", "price": price, "on_hand": 1_000_000 });
        insist(&mut connection, "PUT", &format!("/v1/suppliers/{id}/listings/l-1"), &key, &listing)?;
    }
    Ok(Load { server, data, orders_key, next: 0 })
}

pub(crate) fn run(times: usize) -> Result<Vec<Figure>> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("event");
    let mut load = start(directory.path(), &data)?;
    load.run(WARM_UP)?;
    let mut figures = Vec::new();
    for orders in [SMALL, SMALL * times] {
        let cost = load.run(orders)?;
        let named = |what: &str| format!("{what}, {} order events", cost.events);
        let note = format!(
            "{SUPPLIERS} suppliers, {BUYERS} buyers, {ORDERS} events a request, all folds, embedded log, {:.0} events/s, debug assertions {}",
            cost.events / cost.seconds,
            if cfg!(debug_assertions) { "on" } else { "off" },
        );
        figures.push(
            Figure::new(named("CPU of an event"), cost.micros, "us", "<= 20")
                .met(cost.micros <= 20.0)
                .note(note),
        );
        figures.push(Figure::new(named("memory of an event"), cost.resident, "B", "report"));
        figures.push(Figure::new(named("disk of an event"), cost.stored, "B", "report"));
    }
    Ok(figures)
}
