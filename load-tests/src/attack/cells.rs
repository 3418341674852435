//! What attackers do, one cell each.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Keys;
use crate::generator::{Connection, wait_until};

/// One kind of attack.
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Attackers, each with a connection.
    workers: usize,
    /// Requests a second of all of them.
    rate: f64,
    /// Whether they come as buyers, at the address of buyers.
    pub(crate) buys: bool,
    attack: fn(&mut Attacker<'_>) -> Result<()>,
}

/// One attacker at work.
struct Attacker<'a> {
    target: SocketAddr,
    keys: &'a Keys,
    connection: Option<Connection>,
    /// Connections that are held open.
    held: Vec<TcpStream>,
    worker: usize,
    /// Requests so far.
    number: usize,
}

impl Attacker<'_> {
    /// Sends a request; that it is refused is what attackers expect. A connection that has gone meanwhile is made anew, once.
    fn send(&mut self, method: &str, path: &str, key: &str, body: &[u8]) -> Result<()> {
        for _ in 0..2 {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => Connection::open(self.target)?,
            };
            if connection.call(method, path, key, body).is_ok() {
                self.connection = Some(connection).filter(|connection| !connection.is_closing());
                return Ok(());
            }
        }
        anyhow::bail!("cut off")
    }
    fn hostile(&self, number: usize) -> Result<(&str, String)> {
        let seller = number % self.keys.hostile.len();
        Ok((self.keys.hostile.get(seller).context("no such seller")?, format!("hostile-{seller}")))
    }
    fn batch_of(&mut self, seller: usize, rows: usize) -> Result<()> {
        let (key, id) = self.hostile(seller)?;
        let key = key.to_owned();
        let number = self.number;
        let rows: Vec<Value> = (0..rows)
            .map(|row| {
                json!({
                    "op": "put", "listing": format!("x-{row}"), "sku": format!("X-{id}-{row}"), "location": "main",
                    "price": { "minor": 1, "currency": "EUR" }, "on_hand": number % 90,
                })
            })
            .collect();
        let body = json!({ "rows": rows }).to_string();
        self.send("POST", &format!("/v1/suppliers/{id}/inventory:batch"), &key, body.as_bytes())
    }
}

pub(crate) const CELLS: &[Cell] = &[
    Cell {
        name: "batches",
        what: "one supplier, batches of 1,000 rows, nearly all over its limit, 80 a second on 4 connections",
        workers: 4,
        rate: 80.0,
        buys: false,
        attack: |attacker| attacker.batch_of(0, 1_000),
    },
    Cell {
        name: "many-suppliers",
        what: "1,000 suppliers, batches of 200 rows within their limits, 40 a second on 16 connections: work that is done",
        workers: 16,
        rate: 40.0,
        buys: false,
        attack: |attacker| {
            let seller = attacker.number * 16 + attacker.worker;
            attacker.batch_of(seller, 200)
        },
    },
    Cell {
        name: "no-key",
        what: "requests without a key, 2,000 a second on 8 connections",
        workers: 8,
        rate: 2_000.0,
        buys: true,
        attack: |attacker| attacker.send("GET", "/v1/availability?sku=GOOD-1", "none", b""),
    },
    Cell {
        name: "single-rows",
        what: "one supplier, single listings, 4,000 a second on 8 connections, twice its limit",
        workers: 8,
        rate: 4_000.0,
        buys: false,
        attack: |attacker| {
            let (key, id) = attacker.hostile(1)?;
            let key = key.to_owned();
            let body = super::listing("X", 1, attacker.number % 90).to_string();
            attacker.send("PUT", &format!("/v1/suppliers/{id}/listings/x"), &key, body.as_bytes())
        },
    },
    Cell {
        name: "huge-bodies",
        what: "bodies of 8 MB without a length, 20 a second on 4 connections",
        workers: 4,
        rate: 20.0,
        buys: false,
        attack: |attacker| {
            let (key, id) = attacker.hostile(2)?;
            let mut stream = TcpStream::connect(attacker.target)?;
            stream.set_write_timeout(Some(Duration::from_secs(1)))?;
            write!(
                stream,
                "POST /v1/suppliers/{id}/inventory:batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
                 content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            )?;
            let chunk = [b' '; 64 << 10];
            for _ in 0..128 {
                let sent = write!(stream, "{:x}\r\n", chunk.len())
                    .and_then(|()| stream.write_all(&chunk))
                    .and_then(|()| stream.write_all(b"\r\n"));
                // It was cut off.
                if sent.is_err() {
                    break;
                }
            }
            Ok(())
        },
    },
    Cell {
        name: "slow-bodies",
        what: "256 suppliers, a connection of each, whose bodies never end: a byte now and then",
        workers: 8,
        rate: 800.0,
        buys: false,
        attack: |attacker| {
            if attacker.held.len() < 32 {
                let (key, id) = attacker.hostile(attacker.worker * 32 + attacker.held.len())?;
                let mut stream = TcpStream::connect(attacker.target)?;
                write!(
                    stream,
                    "POST /v1/suppliers/{id}/inventory:batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
                     content-type: application/json\r\ncontent-length: 100000\r\n\r\n"
                )?;
                attacker.held.push(stream);
            }
            let next = attacker.number % attacker.held.len();
            if let Some(stream) = attacker.held.get_mut(next) {
                // It may have been cut off.
                let _ = stream.write_all(b" ");
            }
            Ok(())
        },
    },
    Cell {
        name: "churn",
        what: "connections that ask for nothing that is there and go, 1,000 a second",
        workers: 8,
        rate: 1_000.0,
        buys: false,
        attack: |attacker| {
            let mut stream = TcpStream::connect(attacker.target)?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            let mut answer = [0; 512];
            // Whatever it says.
            let _ = stream.read(&mut answer);
            Ok(())
        },
    },
    Cell {
        name: "hot-good",
        what: "one buyer asks for the good with 1,000 offers, 3,000 a second on 8 connections, three times its limit",
        workers: 8,
        rate: 3_000.0,
        buys: true,
        attack: |attacker| {
            let key = attacker.keys.hostile_buyer.clone();
            attacker.send("GET", "/v1/availability?sku=HOT&limit=50", &key, b"")
        },
    },
    Cell {
        name: "event-storm",
        what: "an order system sends 10,000 valid events a second, 500 in a request: work that is done",
        workers: 2,
        rate: 20.0,
        buys: false,
        attack: |attacker| {
            static ORDERS: AtomicU64 = AtomicU64::new(0);
            let events: Vec<Value> = (0..500)
                .map(|event| {
                    let order = format!("storm-{}", ORDERS.fetch_add(1, Ordering::Relaxed));
                    json!({
                        "specversion": "1.0", "id": order, "source": "storm", "type": "stockade.order.placed",
                        "data": {
                            "supplier": format!("hostile-{}", event % 100), "order": order, "buyer": format!("b-{event}"),
                            "sku": "HOT", "quantity": 1,
                        },
                    })
                })
                .collect();
            let key = attacker.keys.orders.clone();
            attacker.send("POST", "/v1/events", &key, Value::Array(events).to_string().as_bytes())
        },
    },
    Cell {
        name: "reservations",
        what: "one buyer reserves and never confirms, 500 a second on 4 connections",
        workers: 4,
        rate: 500.0,
        buys: true,
        attack: |attacker| {
            let seller = attacker.number * 4 + attacker.worker;
            let (_, id) = attacker.hostile(seller)?;
            let body = json!({ "supplier": id, "listing": "hot", "quantity": 1, "seconds": 1 }).to_string();
            let key = attacker.keys.hostile_buyer.clone();
            attacker.send("POST", "/v1/reservations", &key, body.as_bytes())
        },
    },
    Cell {
        name: "streams",
        what: "a buyer opens streams of 20 goods and reads none of them, 40 a second",
        workers: 4,
        rate: 40.0,
        buys: true,
        attack: |attacker| {
            let goods: String = (0..20).map(|good| format!("sku=GOOD-{good}&")).collect();
            let mut stream = TcpStream::connect(attacker.target)?;
            write!(
                stream,
                "GET /v1/availability/stream?{goods}limit=8 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
                attacker.keys.hostile_buyer
            )?;
            attacker.held.push(stream);
            Ok(())
        },
    },
];

impl Cell {
    /// Attacks until a moment; gives requests that were answered, or sent where no answer is awaited, a second. Whoever is behind
    /// its rate does not make up for it.
    pub(crate) fn run(&self, target: SocketAddr, keys: &Keys, until: Instant) -> Result<f64> {
        let gap = Duration::from_secs_f64(self.workers as f64 / self.rate);
        let begun = Instant::now();
        let sent: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.workers)
                .map(|worker| {
                    scope.spawn(move || {
                        let (connection, held) = (None, Vec::new());
                        let mut attacker = Attacker { target, keys, connection, held, worker, number: 0 };
                        let (mut at, mut sent) = (Instant::now(), 0);
                        while at < until {
                            wait_until(at);
                            // That it was cut off is what an attacker expects.
                            sent += usize::from((self.attack)(&mut attacker).is_ok());
                            attacker.number += 1;
                            at = (at + gap).max(Instant::now());
                        }
                        sent
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().map_err(|_| anyhow::anyhow!("an attacker died")))
                .sum::<Result<usize>>()
        })?;
        anyhow::ensure!(sent > 0, "{}: the attackers sent nothing", self.name);
        Ok(sent as f64 / begun.elapsed().as_secs_f64())
    }
}
