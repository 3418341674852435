//! What attackers do, one cell each.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
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
    /// Connections of the attackers, each with a thread.
    workers: usize,
    /// Requests a second of all of them.
    rate: f64,
    /// Whether they come as buyers, at the address of buyers.
    pub(crate) buys: bool,
    /// Whether it matters how many they are: whoever has no key is nobody.
    pub(crate) counted: bool,
    attack: fn(&mut Attacker<'_>) -> Result<()>,
}

/// One connection of the attackers at work.
struct Attacker<'a> {
    target: SocketAddr,
    keys: &'a Keys,
    connection: Option<Connection>,
    /// A listener that takes connections and never answers.
    silent: SocketAddr,
    /// Connections that are held open.
    held: Vec<TcpStream>,
    worker: usize,
    /// Connections of the cell.
    workers: usize,
    /// How many the attackers are, who take turns.
    attackers: usize,
    /// Requests so far.
    number: usize,
}

impl Attacker<'_> {
    /// Sends a request; that it is refused is what attackers expect.
    fn send(&mut self, method: &str, path: &str, key: &str, body: &[u8]) -> Result<()> {
        self.ask(method, path, key, body).map(drop)
    }
    /// The same with the answer. A connection that has gone meanwhile is made anew, once.
    fn ask(&mut self, method: &str, path: &str, key: &str, body: &[u8]) -> Result<Vec<u8>> {
        for _ in 0..2 {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => Connection::open(self.target)?,
            };
            if let Ok((_, answer)) = connection.call(method, path, key, body) {
                self.connection = Some(connection).filter(|connection| !connection.is_closing());
                return Ok(answer);
            }
        }
        anyhow::bail!("cut off")
    }
    /// Posts a body with further lines in its head on a connection of its own, whatever is said to it.
    fn post_alone(&self, path: &str, key: &str, more: &str, body: &[u8]) -> Result<()> {
        let mut stream = TcpStream::connect(self.target)?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{more}connection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body)?;
        let mut answer = [0; 512];
        // Whatever it says.
        let _ = stream.read(&mut answer);
        Ok(())
    }
    /// Whose turn it is.
    fn turn(&self) -> usize {
        (self.number * self.workers + self.worker) % self.attackers
    }
    /// Key and name of the supplier whose turn it is.
    fn supplier(&self) -> Result<(String, String)> {
        let turn = self.turn();
        Ok((self.keys.hostile.get(turn).context("no such supplier")?.clone(), format!("hostile-{turn}")))
    }
    /// Key of the buyer whose turn it is.
    fn buyer(&self) -> Result<String> {
        self.keys.hostile_buyers.get(self.turn()).context("no such buyer").cloned()
    }
    fn batch_of(&mut self, rows: usize) -> Result<()> {
        let (key, id) = self.supplier()?;
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
    /// Orders placed with so many suppliers, 500 in a request.
    fn storm(&mut self, suppliers: usize) -> Result<()> {
        static ORDERS: AtomicU64 = AtomicU64::new(0);
        let events: Vec<Value> = (0..500)
            .map(|event| {
                let order = format!("storm-{}", ORDERS.fetch_add(1, Ordering::Relaxed));
                json!({
                    "specversion": "1.0", "id": order, "source": "storm", "type": "stockade.order.placed",
                    "data": {
                        "supplier": format!("hostile-{}", event % suppliers), "order": order, "buyer": format!("b-{event}"),
                        "sku": "HOT", "quantity": 1,
                    },
                })
            })
            .collect();
        let key = self.keys.orders.clone();
        self.send("POST", "/v1/events", &key, Value::Array(events).to_string().as_bytes())
    }
}

/// Packs a body as `gzip` does.
fn pack(body: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    // Writing to memory does not fail; what would be sent if it did is refused.
    let _ = packer.write_all(body);
    packer.finish().unwrap_or_default()
}

/// Connections of all workers that say nothing.
const SILENT: usize = 4_000;

pub(crate) const CELLS: &[Cell] = &[
    Cell {
        name: "batches",
        what: "batches of 1,000 rows, 80 a second on 4 connections: nearly all over the limit of one supplier",
        workers: 4,
        rate: 80.0,
        buys: false,
        counted: true,
        attack: |attacker| attacker.batch_of(1_000),
    },
    Cell {
        name: "small-batches",
        what: "batches of 200 rows, 40 a second on 16 connections: within the limits of 1,000 suppliers",
        workers: 16,
        rate: 40.0,
        buys: false,
        counted: true,
        attack: |attacker| attacker.batch_of(200),
    },
    Cell {
        name: "no-key",
        what: "requests without a key, 2,000 a second on 8 connections",
        workers: 8,
        rate: 2_000.0,
        buys: true,
        counted: false,
        attack: |attacker| attacker.send("GET", "/v1/availability?sku=GOOD-1", "none", b""),
    },
    Cell {
        name: "single-rows",
        what: "single listings, 4,000 a second on 8 connections: twice the limit of one supplier",
        workers: 8,
        rate: 4_000.0,
        buys: false,
        counted: true,
        attack: |attacker| {
            let (key, id) = attacker.supplier()?;
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
        counted: true,
        attack: |attacker| {
            let (key, id) = attacker.supplier()?;
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
        what: "256 connections whose bodies never end: a byte now and then",
        workers: 8,
        rate: 800.0,
        buys: false,
        counted: true,
        attack: |attacker| {
            if attacker.held.len() < 32 {
                let (key, id) = attacker.supplier()?;
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
        counted: false,
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
        name: "silent",
        what: "connections that are opened, say nothing and stay, 400 a second",
        workers: 8,
        rate: 400.0,
        buys: true,
        counted: false,
        attack: |attacker| {
            let stream = TcpStream::connect(attacker.target)?;
            attacker.held.push(stream);
            // As many as one process may have open, over all workers: the oldest go when they were not closed already.
            if attacker.held.len() > SILENT / attacker.workers {
                attacker.held.remove(0);
            }
            Ok(())
        },
    },
    Cell {
        name: "slow-uploads",
        what: "256 files of 100 MB that come at 1 kB a second each, and are begun again when they are cut off",
        workers: 8,
        rate: 256.0,
        buys: false,
        counted: true,
        attack: |attacker| {
            let (key, id) = attacker.supplier()?;
            let next = attacker.number % 32;
            let on =
                attacker.held.get_mut(next).is_some_and(|stream| stream.write_all(&[b'x'; 1_000]).is_ok());
            if !on {
                let mut stream = TcpStream::connect(attacker.target)?;
                write!(
                    stream,
                    "POST /v1/suppliers/{id}/imports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
                     idempotency-key: slow-{}-{}\r\ncontent-type: text/csv\r\ncontent-length: 100000000\r\n\r\n\
                     listing,sku,location,price,currency,on_hand\n",
                    attacker.worker, attacker.number
                )?;
                match attacker.held.get_mut(next) {
                    Some(old) => *old = stream,
                    None => attacker.held.push(stream),
                }
            }
            Ok(())
        },
    },
    Cell {
        name: "zip-bombs",
        what: "batches of 7 MB of blanks packed to 7 kB, 100 a second on 4 connections",
        workers: 4,
        rate: 100.0,
        buys: false,
        counted: true,
        attack: |attacker| {
            static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
            let packed = PACKED.get_or_init(|| pack(&vec![b' '; 7 << 20]));
            let (key, id) = attacker.supplier()?;
            let path = format!("/v1/suppliers/{id}/inventory:batch");
            let more = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
            attacker.post_alone(&path, &key, more, packed)
        },
    },
    Cell {
        name: "sign-ins",
        what: "people sign in to the console with links that were never made, 1,000 a second on 8 connections",
        workers: 8,
        rate: 1_000.0,
        buys: false,
        counted: false,
        attack: |attacker| {
            let body = json!({ "token": format!("{:064x}", attacker.number) }).to_string();
            attacker.send("POST", "/console/api/session", "none", body.as_bytes())
        },
    },
    Cell {
        name: "hot-good",
        what: "buyers ask for the good with 1,000 offers, 3,000 a second on 8 connections: three times the limit of one",
        workers: 8,
        rate: 3_000.0,
        buys: true,
        counted: true,
        attack: |attacker| {
            let key = attacker.buyer()?;
            attacker.send("GET", "/v1/availability?sku=HOT&limit=50", &key, b"")
        },
    },
    Cell {
        name: "event-storm",
        what: "an order system sends 10,000 valid events a second, 500 in a request: work that is done",
        workers: 2,
        rate: 20.0,
        buys: false,
        counted: false,
        attack: |attacker| attacker.storm(100),
    },
    Cell {
        name: "one-partition",
        what: "the same about one supplier, so that all of it falls on one partition",
        workers: 2,
        rate: 20.0,
        buys: false,
        counted: false,
        attack: |attacker| attacker.storm(1),
    },
    Cell {
        name: "reservations",
        what: "buyers reserve and never confirm, 500 a second on 4 connections",
        workers: 4,
        rate: 500.0,
        buys: true,
        counted: true,
        attack: |attacker| {
            let id = format!("hostile-{}", (attacker.number * 4 + attacker.worker) % super::HOSTILE);
            let body = json!({ "supplier": id, "listing": "hot", "quantity": 1, "seconds": 1 }).to_string();
            let key = attacker.buyer()?;
            attacker.send("POST", "/v1/reservations", &key, body.as_bytes())
        },
    },
    Cell {
        name: "streams",
        what: "buyers open streams of 20 goods and read none of them, 40 a second",
        workers: 4,
        rate: 40.0,
        buys: true,
        counted: true,
        attack: |attacker| {
            let goods: String = (0..20).map(|good| format!("sku=GOOD-{good}&")).collect();
            let mut stream = TcpStream::connect(attacker.target)?;
            write!(
                stream,
                "GET /v1/availability/stream?{goods}limit=8 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
                attacker.buyer()?
            )?;
            attacker.held.push(stream);
            Ok(())
        },
    },
    Cell {
        name: "imports",
        what: "files of 10,000 rows, 20 a second on 4 connections",
        workers: 4,
        rate: 20.0,
        buys: false,
        counted: true,
        attack: |attacker| {
            let (key, id) = attacker.supplier()?;
            let (turn, number) = (attacker.worker, attacker.number);
            let mut file = String::from("listing,sku,location,price,currency,on_hand\n");
            for row in 0..10_000 {
                let _ = writeln!(file, "i-{row},I-{row},main,10.00,EUR,{}", 1 + (row + number) % 90);
            }
            let more = format!("content-type: text/csv\r\nidempotency-key: {turn}-{number}\r\n");
            attacker.post_alone(&format!("/v1/suppliers/{id}/imports"), &key, &more, file.as_bytes())
        },
    },
    Cell {
        name: "webhooks",
        what: "endpoints that take connections and say nothing, and tests of them, 20 a second on 4 connections",
        workers: 4,
        rate: 20.0,
        buys: false,
        counted: true,
        attack: |attacker| {
            let (key, _) = attacker.supplier()?;
            let body = json!({ "url": format!("https://{}/hook", attacker.silent) }).to_string();
            let answer = attacker.ask("POST", "/v1/webhooks", &key, body.as_bytes())?;
            let made: Value = serde_json::from_slice(&answer).unwrap_or_default();
            match made["webhook"].as_str() {
                Some(name) => attacker.send("POST", &format!("/v1/webhooks/{name}/test"), &key, b""),
                // There are as many as one may have.
                None => Ok(()),
            }
        },
    },
    // The last one, for its offers stay.
    Cell {
        name: "cheap-offers",
        what: "offers below everybody's price of the goods that the honest sell, 1,000 a second on 8 connections",
        workers: 8,
        rate: 1_000.0,
        buys: false,
        counted: true,
        attack: |attacker| {
            let (key, id) = attacker.supplier()?;
            let good = attacker.number % super::GOODS;
            let body = json!({
                "sku": format!("GOOD-{good}"), "location": "main", "on_hand": 1 + attacker.number % 90,
                "price": { "minor": 1, "currency": "EUR" },
            });
            attacker.send(
                "PUT",
                &format!("/v1/suppliers/{id}/listings/w-{good}"),
                &key,
                body.to_string().as_bytes(),
            )
        },
    },
];

impl Cell {
    /// Attacks until a moment; gives requests that were answered, or sent where no answer is awaited, a second. Whoever is behind
    /// its rate does not make up for it.
    pub(crate) fn run(
        &self,
        target: SocketAddr,
        keys: &Keys,
        attackers: usize,
        until: Instant,
    ) -> Result<f64> {
        let gap = Duration::from_secs_f64(self.workers as f64 / self.rate);
        // Its queue of connections is never looked at.
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let silent_at = silent.local_addr()?;
        let begun = Instant::now();
        let sent: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.workers)
                .map(|worker| {
                    scope.spawn(move || {
                        let mut attacker = Attacker {
                            target,
                            keys,
                            connection: None,
                            silent: silent_at,
                            held: Vec::new(),
                            worker,
                            workers: self.workers,
                            attackers: attackers.min(keys.hostile.len()),
                            number: 0,
                        };
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
