//! Four attack patterns, as the field describes them.

use serde_json::json;

use crate::world::{Action, Call, Listing, Supplier, World, batch, event};

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Claims stock it does not have, takes orders, cancels them.
    PhantomStock,
    /// Lists far below the market to draw orders it will not fill.
    PriceBait,
    /// A taken-over account: new device, new payout account, flood of listings.
    Takeover,
    /// Sells at ordinary prices, never ships, collects disputes.
    NeverShips,
}

impl Pattern {
    /// All four.
    pub const ALL: [Self; 4] = [Self::PhantomStock, Self::PriceBait, Self::Takeover, Self::NeverShips];
}

/// One attacker's part in the play.
#[derive(Clone, Debug)]
pub struct Attack {
    /// The supplier.
    pub supplier: String,
    /// What it does.
    pub pattern: Pattern,
    /// Its calls, in order of time from the beginning of the attack phase.
    pub actions: Vec<Action>,
}

pub(crate) fn supplier(rng: &mut fastrand::Rng, number: usize, pattern: Pattern) -> Supplier {
    let (age_days, past_orders) = match pattern {
        Pattern::PhantomStock => (rng.i64(20..200), rng.usize(0..15)),
        Pattern::PriceBait => (rng.i64(3..60), rng.usize(0..10)),
        Pattern::Takeover => (rng.i64(200..1_500), rng.usize(5..60)),
        Pattern::NeverShips => (rng.i64(10..40), rng.usize(0..4)),
    };
    // Attackers look like anyone else by name, age and region; they begin to list when they attack.
    Supplier {
        id: format!("s-9{number:04}"),
        region: rng.usize(..8),
        age_days,
        past_orders,
        cancel_rate: 0.01,
        listings: Vec::new(),
    }
}

pub(crate) fn plan(world: &World, within_ms: i64) -> Vec<Attack> {
    let mut rng = fastrand::Rng::with_seed(world.seed ^ 0x6174_7461);
    let attack = |(supplier, pattern): &(Supplier, Pattern)| {
        // All begin in the first third, so that each has time to show itself.
        let begin = rng.i64(0..(within_ms / 3).max(1));
        let mut script = Script { world, supplier, begin, span: within_ms * 2 / 3, actions: Vec::new() };
        match pattern {
            Pattern::PhantomStock => script.phantom_stock(&mut rng),
            Pattern::PriceBait => script.price_bait(&mut rng),
            Pattern::Takeover => script.takeover(&mut rng),
            Pattern::NeverShips => script.never_ships(&mut rng),
        }
        script.actions.sort_by_key(|action| action.at_ms);
        Attack { supplier: supplier.id.clone(), pattern: *pattern, actions: script.actions }
    };
    world.attackers.iter().map(attack).collect()
}

struct Script<'a> {
    world: &'a World,
    supplier: &'a Supplier,
    begin: i64,
    span: i64,
    actions: Vec<Action>,
}

impl Script<'_> {
    /// `share` is the time within the attack, 0 to 1.
    fn add(&mut self, share: f64, call: Call) {
        let at_ms = self.begin + (self.span as f64 * share.clamp(0.0, 1.0)) as i64;
        self.actions.push(Action { at_ms, call });
    }
    fn event(&mut self, share: f64, kind: &str, order: usize, buyer: usize, more: serde_json::Value) {
        let name = format!("{}-{order}", self.supplier.id);
        let buyer = format!("b-{buyer}");
        // The time is set when it is sent.
        let event = event(kind, &name, self.world.start, &self.supplier.id, &buyer, more);
        self.add(share, Call::Event(event));
    }
    /// Goods that many others offer, so that there is a market to stand out from.
    fn popular(
        &self,
        rng: &mut fastrand::Rng,
        count: usize,
        price_share: (f64, f64),
        on_hand: (i64, i64),
    ) -> Vec<Listing> {
        let hot = self.world.sku_prices.len() / 20;
        let mut numbers: Vec<usize> = (0..hot.max(count)).collect();
        rng.shuffle(&mut numbers);
        let list = |sku: usize, rng: &mut fastrand::Rng| {
            let share = price_share.0 + (price_share.1 - price_share.0) * rng.f64();
            let price = (self.world.sku_prices[sku] as f64 * share) as i64;
            Listing { sku, price: price.max(1), on_hand: rng.i64(on_hand.0..on_hand.1) }
        };
        numbers.into_iter().take(count).map(|sku| list(sku, rng)).collect()
    }

    fn phantom_stock(&mut self, rng: &mut fastrand::Rng) {
        let listings = self.popular(rng, 8, (0.85, 0.98), (20_000, 90_000));
        self.add(0.0, batch(&self.supplier.id, &listings));
        for order in 0..16 {
            let (share, buyer) = (0.1 + 0.03 * order as f64, rng.usize(..self.world.buyers));
            self.event(share, "order.placed", order, buyer, json!({ "quantity": 1 }));
            self.event(share + 0.3, "order.cancelled", order, buyer, json!({ "cause": "supplier" }));
        }
    }

    fn price_bait(&mut self, rng: &mut fastrand::Rng) {
        // In small steps, so as not to stand out by speed.
        let listings = self.popular(rng, 15, (0.12, 0.3), (100, 400));
        for (step, chunk) in listings.chunks(3).enumerate() {
            self.add(0.15 * step as f64, batch(&self.supplier.id, chunk));
        }
    }

    fn takeover(&mut self, rng: &mut fastrand::Rng) {
        let supplier = self.supplier.id.clone();
        self.event(0.0, "account.login", 0, 0, json!({ "new_device": true }));
        self.event(0.1, "account.payout_changed", 1, 0, json!({}));
        let listings = self.popular(rng, 40, (0.6, 0.9), (20, 100));
        for (step, chunk) in listings.chunks(5).enumerate() {
            self.add(0.2 + 0.08 * step as f64, batch(&supplier, chunk));
        }
    }

    fn never_ships(&mut self, rng: &mut fastrand::Rng) {
        let listings = self.popular(rng, 10, (0.8, 0.95), (20, 60));
        self.add(0.0, batch(&self.supplier.id, &listings));
        for order in 0..18 {
            let (share, buyer) = (0.05 + 0.02 * order as f64, rng.usize(..self.world.buyers));
            self.event(share, "order.placed", order, buyer, json!({ "quantity": 1 }));
            let kind = if order % 3 == 0 { "order.complaint" } else { "order.disputed" };
            self.event(share + 0.35, kind, order, buyer, json!({}));
        }
    }
}
