//! What honest suppliers do that looks like fraud from afar.

use serde_json::json;

use crate::world::{Action, Call, Listing, Supplier, World, batch, event};

/// Suppliers that hold a sale.
const SALES: usize = 40;
/// Suppliers that begin with a mass first listing.
const NEWCOMERS: usize = 20;

/// Suppliers of each kind that is odd and honest: bombed by a rival's accounts, rated low by a crowd, clearing their stock,
/// mistaken in their prices.
const OF_EACH_ODD: usize = 8;

/// Sale bursts, mass first listings, a platform-wide wave of late deliveries, ordinary trade, and what looks like fraud from
/// afar, over `span_ms`.
/// Newcomers are returned beside the actions: they are honest suppliers too.
pub fn special(world: &World, span_ms: i64) -> (Vec<Supplier>, Vec<Action>) {
    let mut rng = fastrand::Rng::with_seed(world.seed ^ 0x686f_6e65);
    let mut actions = Vec::new();
    let mut play = Play { world, span_ms, actions: &mut actions };
    for supplier in world.honest.iter().filter(|s| s.listings.len() >= 10).take(SALES) {
        play.sale(&mut rng, supplier);
    }
    let mut odd = world.honest.iter().filter(|s| s.listings.len() >= 5).rev();
    for supplier in odd.by_ref().take(OF_EACH_ODD) {
        play.strangers(&mut rng, supplier, "puppet", "order.disputed", &json!({}));
    }
    for supplier in odd.by_ref().take(OF_EACH_ODD) {
        play.strangers(&mut rng, supplier, "crowd", "order.reviewed", &json!({ "rating": 1 }));
    }
    for supplier in odd.by_ref().take(OF_EACH_ODD) {
        play.repriced(&mut rng, supplier, 0.35, None);
    }
    for supplier in odd.take(OF_EACH_ODD) {
        play.repriced(&mut rng, supplier, 0.01, Some(span_ms / 6));
    }
    let newcomers: Vec<Supplier> = (0..NEWCOMERS).map(|number| play.newcomer(&mut rng, number)).collect();
    play.trade(&mut rng);
    actions.sort_by_key(|action| action.at_ms);
    (newcomers, actions)
}

struct Play<'a> {
    world: &'a World,
    span_ms: i64,
    actions: &'a mut Vec<Action>,
}

impl Play<'_> {
    fn at(&mut self, at_ms: i64, call: Call) {
        self.actions.push(Action { at_ms: at_ms.min(self.span_ms), call });
    }

    fn event(
        &mut self,
        at_ms: i64,
        kind: &str,
        order: &str,
        supplier: &str,
        buyer: &str,
        more: serde_json::Value,
    ) {
        let event = event(kind, order, self.world.start, supplier, buyer, more);
        self.at(at_ms, Call::Event(event));
    }

    /// Everything 20 to 50 % off, stock topped up, and a rush of orders that are all shipped.
    fn sale(&mut self, rng: &mut fastrand::Rng, supplier: &Supplier) {
        let begin = rng.i64(0..self.span_ms / 2);
        let off = 0.2 + 0.3 * rng.f64();
        let reduced = |l: &Listing| Listing {
            price: ((l.price as f64 * (1.0 - off)) as i64).max(1),
            on_hand: l.on_hand + 100,
            ..*l
        };
        let listings: Vec<Listing> = supplier.listings.iter().map(reduced).collect();
        self.at(begin, batch(&supplier.id, &listings));
        for order in 0..25 {
            let name = format!("{}-sale-{order}", supplier.id);
            let buyer = format!("b-{}", rng.usize(..self.world.buyers));
            let at = begin + rng.i64(0..self.span_ms / 3);
            self.event(at, "order.placed", &name, &supplier.id, &buyer, json!({ "quantity": 1 }));
            self.event(at + 400, "order.shipped", &name, &supplier.id, &buyer, json!({ "quantity": 1 }));
        }
    }

    /// Accounts that nobody has seen before order once each, and say `kind` of it.
    fn strangers(
        &mut self,
        rng: &mut fastrand::Rng,
        supplier: &Supplier,
        who: &str,
        kind: &str,
        more: &serde_json::Value,
    ) {
        let begin = rng.i64(0..self.span_ms / 2);
        for stranger in 0..rng.usize(10..25) {
            let name = format!("{}-{who}-{stranger}", supplier.id);
            let buyer = format!("{who}-{}-{stranger}", supplier.id);
            let at = begin + rng.i64(0..self.span_ms / 4);
            self.event(at, "order.placed", &name, &supplier.id, &buyer, json!({ "quantity": 1 }));
            self.event(at + 300, "order.shipped", &name, &supplier.id, &buyer, json!({ "quantity": 1 }));
            self.event(at + 600, kind, &name, &supplier.id, &buyer, more.clone());
        }
    }

    /// All prices at `share` of what they were: for good, or corrected after so many milliseconds.
    fn repriced(
        &mut self,
        rng: &mut fastrand::Rng,
        supplier: &Supplier,
        share: f64,
        corrected_ms: Option<i64>,
    ) {
        let begin = rng.i64(0..self.span_ms / 2);
        let off = |l: &Listing| Listing { price: ((l.price as f64 * share) as i64).max(1), ..*l };
        let listings: Vec<Listing> = supplier.listings.iter().map(off).collect();
        self.at(begin, batch(&supplier.id, &listings));
        if let Some(after_ms) = corrected_ms {
            self.at(begin + after_ms, batch(&supplier.id, &supplier.listings));
        }
    }

    /// A new account that lists hundreds of goods at once, at ordinary prices.
    fn newcomer(&mut self, rng: &mut fastrand::Rng, number: usize) -> Supplier {
        let listings: Vec<Listing> =
            (0..rng.usize(120..300)).map(|_| self.world.ordinary_listing(rng)).collect();
        let template = &self.world.honest[rng.usize(..self.world.honest.len())];
        let supplier = Supplier {
            id: format!("s-8{number:04}"),
            age_days: 0,
            past_orders: 0,
            listings: Vec::new(),
            ..template.clone()
        };
        let begin = rng.i64(0..self.span_ms / 2);
        for (step, chunk) in listings.chunks(100).enumerate() {
            self.at(begin + 50 * step as i64, batch(&supplier.id, chunk));
        }
        supplier
    }

    /// Orders of ordinary suppliers. In the middle third a wave: one shipment in three is late and some orders are
    /// lost, by the carrier's or the platform's doing, and buyers complain about it.
    fn trade(&mut self, rng: &mut fastrand::Rng) {
        let orders = (self.span_ms / 20) as usize;
        for number in 0..orders {
            let supplier = &self.world.honest[rng.usize(..self.world.honest.len())];
            let (id, cancel_rate) = (supplier.id.clone(), supplier.cancel_rate);
            let name = format!("{id}-live-{number}");
            let buyer = format!("b-{}", rng.usize(..self.world.buyers));
            let at = rng.i64(0..self.span_ms);
            let wave = at > self.span_ms / 3 && at < self.span_ms * 2 / 3;
            self.event(at, "order.placed", &name, &id, &buyer, json!({ "quantity": 1 }));
            let luck = rng.f64();
            if luck < cancel_rate {
                self.event(at + 200, "order.cancelled", &name, &id, &buyer, json!({ "cause": "supplier" }));
            } else if wave && luck < 0.10 {
                self.event(at + 200, "order.cancelled", &name, &id, &buyer, json!({ "cause": "platform" }));
            } else {
                let late = wave && luck < 0.4;
                let cause = if late { "carrier" } else { "unknown" };
                self.event(
                    at + 300,
                    "order.shipped",
                    &name,
                    &id,
                    &buyer,
                    json!({ "quantity": 1, "late": late, "cause": cause }),
                );
                if late && luck < 0.2 {
                    self.event(at + 600, "order.complaint", &name, &id, &buyer, json!({}));
                }
            }
        }
    }
}
