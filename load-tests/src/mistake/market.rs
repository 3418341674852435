//! A marketplace of honest suppliers, each with one offer of a good of its own and a few orders that went well.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};

use crate::{
    cluster::{Server, insist, rules_file, starter_rules, stockade, supplier},
    generator::{Connection, open_loop},
    process::caught_up,
    tabs::sign_in,
};

const NAME: &str = "mistake";
/// Orders of each supplier before anything goes wrong.
const ORDERS: usize = 3;
/// Enough that nobody sells out: each order takes one.
const ON_HAND: usize = 1_000;
/// Most goods in one question, and events in one request.
const AT_ONCE: usize = 100;
/// Buyers' queries and suppliers' writes a second, each over so many connections.
pub(super) const QUERIES: f64 = 200.0;
pub(super) const WRITES: f64 = 50.0;
const CONNECTIONS: usize = 2;
/// What is told to whoever is to come back later.
const LATER: [u16; 2] = [429, 503];
/// How long they are at work, before the mistake and during it.
pub(super) const LASTS: Duration = Duration::from_secs(5);

/// Keys of those who are not suppliers.
pub(super) struct Keys {
    pub(super) analyst: String,
    pub(super) orders: String,
    buyer: String,
}

pub(super) struct Market {
    pub(super) server: Server,
    pub(super) keys: Keys,
    /// The session of an analyst at the console.
    pub(super) cookie: String,
    /// The rules that the server began with.
    pub(super) starter: String,
    /// Keys of the suppliers, by number.
    sellers: Vec<String>,
    directory: PathBuf,
}

fn id(seller: usize) -> String {
    format!("s{seller:04}")
}

fn sku(seller: usize) -> String {
    format!("SKU-{seller}")
}

fn listing(seller: usize, on_hand: usize) -> Value {
    json!({
        "sku": sku(seller), "location": "main", "on_hand": on_hand, "price": { "minor": 1_000, "currency": "EUR" },
    })
}

/// What became of an order: it is the only one of that name of its supplier, and each is of another buyer.
pub(super) fn event(seller: usize, order: &str, kind: &str) -> Value {
    let order = format!("{order}-{}", id(seller));
    let mut data = json!({
        "supplier": id(seller), "order": order, "buyer": format!("buyer-of-{order}"), "listing": "l-1", "sku": sku(seller),
        "quantity": 1,
    });
    match kind {
        "placed" => {
            data["amount"] = json!({ "minor": 1_000, "currency": "EUR" });
            data["category"] = json!("toys");
            data["region"] = json!("DE");
        }
        "shipped" => data["tracking"] = json!(format!("TRACK-{order}")),
        _ => {}
    }
    json!({
        "specversion": "1.0", "id": format!("{order}-{kind}"), "source": "shop", "type": format!("stockade.order.{kind}"),
        "data": data,
    })
}

impl Market {
    pub(super) fn open(at: &Path, suppliers: usize) -> Result<Self> {
        let ring = KeyRing::open(&at.join("keys.jsonl"))?;
        let operator = ring.create("op", Role::Operator)?;
        let keys = Keys {
            analyst: ring.create("ann", Role::Analyst)?,
            orders: ring.create("shop", Role::OrderSystem)?,
            buyer: ring.create("buyer", Role::Buyer)?,
        };
        let named = |seller: usize| -> Result<(String, Role)> {
            Ok((id(seller), Role::Supplier { supplier: SupplierId::new(&id(seller))? }))
        };
        let sellers = ring.create_all(&(0..suppliers).map(named).collect::<Result<Vec<_>>>()?)?;
        // As it comes: what the arbiter doubts by itself is not put off, unlike in loads in which most suppliers cheat.
        let starter = starter_rules()?;
        std::fs::write(rules_file(at), &starter)?;
        let server = Server::stockade(NAME, at, &["--partitions", "4"])?;
        let mut connection = server.connect()?;
        for (seller, key) in sellers.iter().enumerate() {
            supplier(at, &mut connection, &operator, &id(seller), Some(key.clone()))?;
            let path = format!("/v1/suppliers/{}/listings/l-1", id(seller));
            insist(&mut connection, "PUT", &path, key, &listing(seller, ON_HAND))?;
        }
        for kind in ["placed", "shipped", "delivered"] {
            let of = |order: usize| {
                (0..suppliers).map(move |seller| event(seller, &format!("early-{order}"), kind))
            };
            let events: Vec<Value> = (0..ORDERS).flat_map(of).collect();
            for some in events.chunks(AT_ONCE) {
                let body = json!(some).to_string().into_bytes();
                let (status, answer) = connection.call("POST", "/v1/events", &keys.orders, &body)?;
                let answer: Value = serde_json::from_slice(&answer)?;
                anyhow::ensure!(status == 202 && answer["refused"] == 0, "{status}: {answer}");
            }
        }
        caught_up(&server)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cookie = runtime.block_on(sign_in(server.api, at, NAME, "ada"))?;
        Ok(Self { server, keys, cookie, starter, sellers, directory: at.to_owned() })
    }

    /// How many suppliers there are.
    pub(super) fn size(&self) -> usize {
        self.sellers.len()
    }

    /// Buyers' queries for a while.
    pub(super) fn buyers(&self, seed: u64) -> Result<Histogram<u64>> {
        open_loop(QUERIES, LASTS, CONNECTIONS, seed, |worker| {
            let mut connection = self.server.connect()?;
            let mut random = fastrand::Rng::with_seed(seed ^ worker as u64);
            Ok(move || {
                let path = format!("/v1/availability?sku={}&limit=8", sku(random.usize(..self.size())));
                let (status, body) = connection.call("GET", &path, &self.keys.buyer, b"")?;
                anyhow::ensure!(status == 200, "a buyer got {status} {}", String::from_utf8_lossy(&body));
                Ok(())
            })
        })
    }

    /// Suppliers restate what they have, for as long. It is taken from those who are withheld as well, though a busy server may tell
    /// them to come back later.
    pub(super) fn suppliers(&self, seed: u64) -> Result<Histogram<u64>> {
        open_loop(WRITES, LASTS, CONNECTIONS, !seed, |worker| {
            let mut connection = self.server.connect()?;
            let mut random = fastrand::Rng::with_seed(!seed ^ worker as u64);
            Ok(move || {
                let seller = random.usize(..self.size());
                let path = format!("/v1/suppliers/{}/listings/l-1", id(seller));
                let body = listing(seller, ON_HAND + random.usize(..100)).to_string();
                let key = self.sellers.get(seller).map_or("", String::as_str);
                let (status, body) = connection.call("PUT", &path, key, body.as_bytes())?;
                let is_heard = (200..300).contains(&status) || LATER.contains(&status);
                anyhow::ensure!(is_heard, "a supplier got {status} {}", String::from_utf8_lossy(&body));
                Ok(())
            })
        })
    }

    /// What an analyst is answered.
    pub(super) fn told(&self, connection: &mut Connection, path: &str) -> Result<Value> {
        let answer = insist(connection, "GET", path, &self.keys.analyst, &Value::Null)?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Those of these suppliers whose offer buyers do not see.
    pub(super) fn hidden(&self, connection: &mut Connection, of: &[usize]) -> Result<Vec<usize>> {
        let mut hidden = Vec::new();
        for some in of.chunks(AT_ONCE) {
            let goods: Vec<Value> = some.iter().map(|seller| json!({ "sku": sku(*seller) })).collect();
            let body = json!({ "goods": goods }).to_string().into_bytes();
            let (status, answer) =
                connection.call("POST", "/v1/availability:query", &self.keys.buyer, &body)?;
            let answer: Value = serde_json::from_slice(&answer)?;
            let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
            anyhow::ensure!(status == 200 && results.len() == some.len(), "a buyer got {status}: {answer}");
            let has_none = |result: &Value| result["offers"].as_array().is_none_or(Vec::is_empty);
            hidden.extend(some.iter().zip(results).filter(|(_, result)| has_none(result)).map(|(s, _)| *s));
        }
        Ok(hidden)
    }

    /// Puts rules in force by the command line, as analysts do: it has read what was in force before.
    pub(super) fn publish(&self, rules: &str, note: &str) -> Result<()> {
        let file = self.directory.join("published.yaml");
        std::fs::write(&file, rules)?;
        let mut command = Command::new(stockade()?);
        command.args(["rules", "publish", "--note", note, "--server", &self.server.api.to_string()]);
        let output = command.arg(file).env("STOCKADE_KEY", &self.keys.analyst).output()?;
        let refused = || String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "the rules were not published: {}", refused());
        Ok(())
    }
}
