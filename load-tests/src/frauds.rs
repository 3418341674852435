//! Suppliers who are one event short of being locked, and how long it takes from that event until a buyer sees them no more.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::json;
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};
use stockade_testkit::wait_until;

use crate::{
    cluster::{insist, supplier},
    generator::Connection,
};

/// What a buyer is told who asks too often.
const TOO_MANY: u16 = 429;

/// Nobody who cheated is seen for longer.
pub(crate) const GONE: Duration = Duration::from_secs(20);

/// A marketplace in which suppliers can be made to cheat.
pub(crate) struct Market<'a> {
    directory: &'a Path,
    api: SocketAddr,
    operator: String,
    orders: String,
    buyer: String,
    /// Keys of the suppliers, each of which cheats once.
    keys: Vec<String>,
    /// Cancelled orders before the one that locks.
    harmless: usize,
    next: usize,
    name: &'static str,
}

impl<'a> Market<'a> {
    /// Keys of a marketplace with so many suppliers, made before its server starts.
    pub(crate) fn keys(ring: &KeyRing, name: &str, suppliers: usize) -> Result<[Vec<String>; 2]> {
        let staff = [
            ring.create(&format!("{name}-op"), Role::Operator)?,
            ring.create(&format!("{name}-shop"), Role::OrderSystem)?,
            ring.create(&format!("{name}-buyer"), Role::Buyer)?,
        ];
        let seller = |number| {
            Ok(ring.create(
                &format!("{name}-{number}"),
                Role::Supplier { supplier: SupplierId::new(&format!("{name}-{number}"))? },
            )?)
        };
        Ok([staff.to_vec(), (1..=suppliers).map(seller).collect::<Result<_>>()?])
    }

    /// Finds out, with one supplier, how many cancelled orders lock.
    pub(crate) fn open(
        directory: &'a Path,
        name: &'static str,
        api: SocketAddr,
        keys: [Vec<String>; 2],
    ) -> Result<Self> {
        let [staff, keys] = keys;
        let [operator, orders, buyer] =
            <[String; 3]>::try_from(staff).map_err(|_| anyhow::anyhow!("three keys of staff"))?;
        let mut market = Self { directory, api, operator, orders, buyer, keys, harmless: 0, next: 0, name };
        // The rules are deterministic.
        let id = market.prepare()?;
        let mut connection = Connection::open(market.api)?;
        for count in 0..60 {
            market.cancel(&mut connection, &id, count)?;
            if wait_until(Duration::from_millis(400), || !market.sees(&mut connection, &id).unwrap_or(true)) {
                market.harmless = count;
                return Ok(market);
            }
        }
        anyhow::bail!("sixty cancelled orders lock nobody")
    }

    fn prepare(&mut self) -> Result<String> {
        self.next += 1;
        let id = format!("{}-{}", self.name, self.next);
        let known = self.keys.get(self.next - 1).cloned();
        let mut connection = Connection::open(self.api)?;
        let key = supplier(self.directory, &mut connection, &self.operator, &id, known)?;
        let body = json!({ "sku": id, "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": 5 });
        insist(&mut connection, "PUT", &format!("/v1/suppliers/{id}/listings/l"), &key, &body)?;
        let listed = wait_until(GONE, || self.sees(&mut connection, &id).unwrap_or(false));
        anyhow::ensure!(listed, "{id} is not offered");
        Ok(id)
    }

    fn send(&self, connection: &mut Connection, id: &str, order: usize, kind: &str) -> Result<()> {
        let cause = if kind == "cancelled" { json!("supplier") } else { json!(null) };
        let event = json!({
            "specversion": "1.0", "id": format!("{id}-{order}-{kind}"), "source": "load", "type": format!("stockade.order.{kind}"),
            "data": { "supplier": id, "order": format!("{id}-{order}"), "buyer": format!("b-{id}-{order}"), "cause": cause },
        });
        insist(connection, "POST", "/v1/events", &self.orders, &event).map(drop)
    }

    fn cancel(&self, connection: &mut Connection, id: &str, order: usize) -> Result<()> {
        self.send(connection, id, order, "placed")?;
        self.send(connection, id, order, "cancelled")
    }

    fn sees(&self, connection: &mut Connection, id: &str) -> Result<bool> {
        let path = format!("/v1/availability?sku={id}");
        let (mut status, mut body) = connection.call("GET", &path, &self.buyer, b"")?;
        while status == TOO_MANY {
            // Whoever asks as fast as it can for seconds has used up a buyer's allowance; it comes back each millisecond.
            crate::generator::wait_until(Instant::now() + Duration::from_millis(1));
            (status, body) = connection.call("GET", &path, &self.buyer, b"")?;
        }
        anyhow::ensure!(status == 200, "a buyer got {status}");
        let body: serde_json::Value = serde_json::from_slice(&body)?;
        Ok(body["offers"].as_array().is_some_and(|offers| !offers.is_empty()))
    }

    /// Suppliers one event short of being locked.
    pub(crate) fn prepare_round(&mut self, suppliers: usize) -> Result<Vec<String>> {
        let mut ready = Vec::new();
        let mut connection = Connection::open(self.api)?;
        for _ in 0..suppliers {
            let id = self.prepare()?;
            for order in 0..self.harmless {
                self.cancel(&mut connection, &id, order)?;
            }
            self.send(&mut connection, &id, self.harmless, "placed")?;
            ready.push(id);
        }
        // Everything on its way arrives; nobody may be gone already.
        crate::generator::wait_until(Instant::now() + Duration::from_millis(1_500));
        for id in &ready {
            anyhow::ensure!(self.sees(&mut connection, id)?, "{id} is gone too early");
        }
        Ok(ready)
    }

    /// Lets each cheat, one after the other, and waits until a buyer sees it no more.
    pub(crate) fn measure(&self, ready: &[String], latencies: &mut Histogram<u64>) -> Result<()> {
        let (mut sender, mut asker) = (Connection::open(self.api)?, Connection::open(self.api)?);
        for id in ready {
            let sent = Instant::now();
            self.send(&mut sender, id, self.harmless, "cancelled")?;
            while self.sees(&mut asker, id)? {
                anyhow::ensure!(sent.elapsed() < GONE, "{id} stays");
            }
            latencies.saturating_record(sent.elapsed().as_nanos() as u64);
        }
        Ok(())
    }
}
