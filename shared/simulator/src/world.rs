//! The marketplace: who there is, what they list, what has happened so far.

use serde_json::{Value, json};
use stockade_model::{Timestamp, time::DAY_MS};

use crate::attacks::{self, Attack};

/// Regions suppliers sit in.
const REGIONS: [(&str, f64, f64); 8] = [
    ("DE", 52.5, 13.4),
    ("FR", 48.9, 2.4),
    ("US-CA", 34.1, -118.2),
    ("US-NY", 40.7, -74.0),
    ("BR-SP", -23.6, -46.6),
    ("IN", 19.1, 72.9),
    ("JP", 35.7, 139.7),
    ("GB", 51.5, -0.1),
];

/// A supplier of the simulated marketplace.
#[derive(Clone, Debug)]
pub struct Supplier {
    /// Its id.
    pub id: String,
    /// Index into the regions.
    pub(crate) region: usize,
    /// How long it has traded, in days.
    pub age_days: i64,
    /// Orders it had in the last 60 days.
    pub past_orders: usize,
    /// Chance that an order of it is cancelled by its own doing.
    pub cancel_rate: f64,
    /// What it lists.
    pub listings: Vec<Listing>,
}

/// A listing of the simulated marketplace.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Number of the SKU.
    pub sku: usize,
    /// Price in cents.
    pub price: i64,
    /// Units.
    pub on_hand: i64,
}

/// One HTTP call.
#[derive(Clone, Debug)]
pub enum Call {
    /// As the operator.
    Register {
        /// The supplier.
        supplier: String,
        /// The body.
        body: Value,
    },
    /// As the supplier: its location.
    Location {
        /// The supplier.
        supplier: String,
        /// The body.
        body: Value,
    },
    /// As the supplier: a batch of rows.
    Batch {
        /// The supplier.
        supplier: String,
        /// The body.
        body: Value,
    },
    /// As the order system.
    Event(Value),
}

/// A call at a time, in milliseconds from the start of its part of the play.
#[derive(Clone, Debug)]
pub struct Action {
    /// When.
    pub at_ms: i64,
    /// What.
    pub call: Call,
}

/// Everything there is, from one seed.
#[derive(Clone, Debug)]
pub struct World {
    /// Base price of each SKU in cents.
    pub sku_prices: Vec<i64>,
    /// Honest suppliers.
    pub honest: Vec<Supplier>,
    /// Malicious ones.
    pub attackers: Vec<(Supplier, attacks::Pattern)>,
    /// When the play begins, by the clock of the machine it plays on.
    pub start: Timestamp,
    pub(crate) seed: u64,
    pub(crate) buyers: usize,
}

/// Name of a SKU.
pub(crate) fn sku(number: usize) -> String {
    format!("SKU-{number:05}")
}

impl World {
    /// A marketplace of `suppliers`, of which `attackers` are malicious, over `skus` goods.
    pub fn new(seed: u64, suppliers: usize, attackers: usize, skus: usize, start: Timestamp) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let sku_prices: Vec<i64> = (0..skus).map(|_| (300.0 * (rng.f64() * 5.0).exp()) as i64).collect();
        let mut world = Self {
            sku_prices,
            honest: Vec::new(),
            attackers: Vec::new(),
            start,
            seed,
            buyers: suppliers * 10,
        };
        for number in 0..suppliers.saturating_sub(attackers) {
            let supplier = world.honest_supplier(&mut rng, number);
            world.honest.push(supplier);
        }
        for number in 0..attackers {
            let pattern = attacks::Pattern::ALL[number % attacks::Pattern::ALL.len()];
            let supplier = attacks::supplier(&mut rng, number, pattern);
            world.attackers.push((supplier, pattern));
        }
        world
    }

    fn honest_supplier(&self, rng: &mut fastrand::Rng, number: usize) -> Supplier {
        let size = (8.0 * (rng.f64() * 2.4).exp()) as usize;
        let past_orders = (3.0 * (rng.f64() * 2.6).exp()) as usize;
        let listings = (0..size).map(|_| self.ordinary_listing(rng)).collect();
        Supplier {
            id: format!("s-{number:05}"),
            region: rng.usize(..REGIONS.len()),
            age_days: rng.i64(30..2_000),
            past_orders,
            // Most cancel next to nothing, some are sloppy, none are frauds.
            cancel_rate: if rng.u8(..20) == 0 { 0.06 } else { 0.01 },
            listings,
        }
    }

    /// A good at about its usual price. Popular goods have many offers, so low numbers are drawn more often.
    pub(crate) fn ordinary_listing(&self, rng: &mut fastrand::Rng) -> Listing {
        let sku = ((rng.f64() * rng.f64()) * self.sku_prices.len() as f64) as usize;
        let price = (self.sku_prices[sku] as f64 * (0.85 + 0.35 * rng.f64())) as i64;
        Listing { sku, price: price.max(1), on_hand: rng.i64(5..200) }
    }

    /// Calls that bring a supplier onto the platform: registration, location, and its listings.
    pub fn entry(&self, supplier: &Supplier) -> Vec<Call> {
        let since = self.start.plus_ms(-supplier.age_days * DAY_MS);
        let (region, latitude, longitude) = REGIONS[supplier.region];
        let id = || supplier.id.clone();
        let mut calls = vec![
            Call::Register {
                supplier: id(),
                body: json!({ "name": id(), "region": region, "since": since }),
            },
            Call::Location {
                supplier: id(),
                body: json!({
                    "latitude": latitude, "longitude": longitude, "region": region,
                    "handling_days": 1 + supplier.past_orders % 5,
                }),
            },
        ];
        if !supplier.listings.is_empty() {
            calls.push(batch(&supplier.id, &supplier.listings));
        }
        calls
    }

    /// What happened in the 60 days before the play, as events in order of time.
    pub fn past(&self) -> Vec<Value> {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ 0x7061_7374);
        let mut events = Vec::new();
        let everyone = self.honest.iter().chain(self.attackers.iter().map(|(supplier, _)| supplier));
        for supplier in everyone {
            for order in 0..supplier.past_orders {
                let name = format!("{}-past-{order}", supplier.id);
                let buyer = format!("b-{}", rng.usize(..self.buyers));
                let at = self.start.plus_ms(-rng.i64(2 * DAY_MS..60 * DAY_MS));
                let mut add = |kind: &str, after_ms: i64, more: Value| {
                    events.push(event(kind, &name, at.plus_ms(after_ms), &supplier.id, &buyer, more));
                };
                add("order.placed", 0, json!({ "quantity": 1 }));
                if rng.f64() < supplier.cancel_rate {
                    add("order.cancelled", DAY_MS / 4, json!({ "cause": "supplier" }));
                    continue;
                }
                add("order.shipped", DAY_MS / 2, json!({ "quantity": 1 }));
                add("order.delivered", DAY_MS, json!({}));
            }
        }
        events.sort_by(|left, right| left["time"].as_str().cmp(&right["time"].as_str()));
        events
    }

    /// The attacks of the play, each within `within_ms` from its start.
    pub fn attacks(&self, within_ms: i64) -> Vec<Attack> {
        attacks::plan(self, within_ms)
    }

    /// Name of a SKU of this world that buyers ask for.
    pub fn popular_sku(&self, rng: &mut fastrand::Rng) -> String {
        sku(((rng.f64() * rng.f64()) * self.sku_prices.len() as f64) as usize)
    }
}

/// A batch that puts `listings`.
pub(crate) fn batch(supplier: &str, listings: &[Listing]) -> Call {
    let row = |listing: &Listing| {
        json!({
            "op": "put", "listing": format!("l-{}", sku(listing.sku)), "sku": sku(listing.sku), "location": "main",
            "price": { "minor": listing.price, "currency": "EUR" }, "on_hand": listing.on_hand,
        })
    };
    let rows: Vec<Value> = listings.iter().map(row).collect();
    Call::Batch { supplier: supplier.to_owned(), body: json!({ "rows": rows }) }
}

/// A CloudEvent about an order; `kind` is the type without its prefix, `more` goes into its data.
pub(crate) fn event(
    kind: &str,
    order: &str,
    at: Timestamp,
    supplier: &str,
    buyer: &str,
    more: Value,
) -> Value {
    let mut data = json!({ "supplier": supplier, "order": order, "buyer": buyer });
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    json!({
        "specversion": "1.0", "id": format!("{order}:{kind}"), "source": "simulator", "type": format!("stockade.{kind}"),
        "time": at, "data": data,
    })
}
