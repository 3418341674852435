//! Intake, keyed by buyer: removes duplicates, stamps what the buyer's own history and the order say, forwards to the
//! supplier. What an order did wrong is judged once, here, where all outcomes of an order meet.

use std::collections::{BTreeSet, VecDeque};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    BuyerHistory, BuyerId, Cause, OrderEvent, OrderEventKind, OrderSeen, Outcome, OutcomeCause, Payload,
    Timestamp, Topic, hash,
    time::{DAY_MS, HOUR_MS},
};

/// How long an event's identity is remembered: as long as `events.inbox` keeps the event.
const REMEMBERED_MS: i64 = 30 * DAY_MS;
/// How long an order is remembered: events of older ones are not accepted.
const ORDERS_MS: i64 = 90 * DAY_MS;
/// Distinct suppliers claimed against are counted up to here.
const SUPPLIERS_COUNTED_MAX: usize = 16;
/// Orders a buyer must have placed before the value of the next one can be out of pattern.
const PATTERN_ORDERS_MIN: u32 = 5;
/// The spread of a buyer's values is taken to be at least this share of their mean, and one unit of currency.
const SPREAD_SHARE_MIN: f64 = 0.1;
const SPREAD_MINOR_MIN: f64 = 100.0;
/// Standard deviations above the buyer's mean from which on an order is out of pattern.
pub(crate) const UNUSUAL_Z: f64 = 3.0;
/// A stolen card is used elsewhere within this time.
const CARD_MS: i64 = 7 * DAY_MS;
/// Frauds remembered of one buyer.
const FRAUDS_KEPT: usize = 16;
/// Other suppliers defrauded in these days from which on the card explains a fraud whatever its value.
pub(crate) const DEFRAUDED_MIN: u32 = 3;

/// What the intake fold tells its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakeEffect {
    /// An event with a known source and id was dropped.
    Duplicate,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Buyer {
    orders: u32,
    claims: u32,
    frauds: u32,
    suppliers_claimed: BTreeSet<u64>,
    since: Timestamp,
    /// Orders with a value, the sum of these values in minor units and of their squares.
    #[serde(default)]
    values: (u32, i128, i128),
    /// Frauds out of pattern: when the order was placed, and a hash of the supplier.
    #[serde(default)]
    unusual_frauds: VecDeque<(Timestamp, u64)>,
    /// All frauds, likewise.
    #[serde(default)]
    recent_frauds: VecDeque<(Timestamp, u64)>,
}

impl Buyer {
    /// Standard deviations of `minor` above the mean of the orders so far.
    fn z(&self, minor: i64) -> Option<f64> {
        let (count, sum, squares) = self.values;
        if count < PATTERN_ORDERS_MIN {
            return None;
        }
        let (n, sum, squares) = (f64::from(count), sum as f64, squares as f64);
        let mean = sum / n;
        let spread = (squares / n - mean * mean).max(0.0).sqrt();
        Some((minor as f64 - mean) / spread.max(SPREAD_SHARE_MIN * mean).max(SPREAD_MINOR_MIN))
    }
}

/// An order of one supplier.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Order {
    placed_at: Timestamp,
    amount_z: Option<f64>,
    category: Option<String>,
    settled: bool,
    spoiled: bool,
}

/// The fold.
pub struct Intake {
    /// When each event identity was first seen.
    seen: Table<u128, Timestamp>,
    buyers: Table<BuyerId, Buyer>,
    /// By identity of supplier and order.
    orders: Table<u128, Order>,
    /// Derived: identities by the time they were seen.
    by_age: BTreeSet<(Timestamp, u128)>,
    /// Derived: orders by the time they were placed.
    orders_by_age: BTreeSet<(Timestamp, u128)>,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            seen: Table::new(1),
            buyers: Table::new(2),
            orders: Table::new(3),
            by_age: BTreeSet::new(),
            orders_by_age: BTreeSet::new(),
        }
    }
}

impl Intake {
    /// What is known of the event's order, and `event` added to it.
    fn order(&mut self, event: &OrderEvent) -> Option<OrderSeen> {
        let order = event.order.as_ref().filter(|_| !event.kind.is_account())?;
        let identity = hash::identity128(&[event.supplier.as_str(), order.as_str()]);
        if event.kind == OrderEventKind::Placed {
            if self.orders.get(&identity).is_none() {
                let buyer = event.buyer.as_ref().and_then(|id| self.buyers.get(id));
                let amount_z = buyer.zip(event.amount).and_then(|(buyer, amount)| buyer.z(amount.minor));
                let category = event.category.clone();
                let order = Order { placed_at: event.time, amount_z, category, ..Order::default() };
                self.orders.insert(identity, order);
                self.orders_by_age.insert((event.time, identity));
            }
            // A further line of the same order says nothing new about it.
            return self.orders.get(&identity).map(|order| order.seen(false, false));
        }
        let order = self.orders.edit(&identity)?;
        // That it is on its way says nothing yet of how it ends.
        let outcome = event.kind != OrderEventKind::Shipped;
        let (settles, spoils) = (outcome && !order.settled, !order.spoiled && went_wrong(event));
        order.settled |= outcome;
        order.spoiled |= spoils;
        Some(order.seen(settles, spoils))
    }

    /// The buyer's history before `event`, and `event` added to it.
    fn stamp(
        &mut self,
        event: &OrderEvent,
        order: Option<&OrderSeen>,
        now: Timestamp,
    ) -> Option<BuyerHistory> {
        let id = event.buyer.as_ref().filter(|_| !event.kind.is_account())?;
        let buyer = self.buyers.edit_or(id, || Buyer { since: now, ..Buyer::default() });
        let supplier = hash::stable64(event.supplier.as_str());
        let placed_at = order.map_or(event.time, |order| order.placed_at);
        let elsewhere = |(at, of): &&(Timestamp, u64)| *of != supplier && *at >= placed_at.plus_ms(-CARD_MS);
        let defrauded: BTreeSet<u64> =
            buyer.recent_frauds.iter().filter(elsewhere).map(|(_, supplier)| *supplier).collect();
        let before = BuyerHistory {
            orders: buyer.orders,
            claims: buyer.claims,
            frauds: buyer.frauds,
            suppliers_claimed: buyer.suppliers_claimed.len() as u32,
            since: buyer.since,
            unusual_frauds_elsewhere: buyer.unusual_frauds.iter().filter(elsewhere).count() as u32,
            suppliers_defrauded_elsewhere: defrauded.len() as u32,
            suppliers_elsewhere: 0,
        };
        match event.kind {
            OrderEventKind::Placed => {
                buyer.orders += 1;
                if let Some(minor) = event.amount.map(|amount| i128::from(amount.minor)) {
                    let (count, sum, squares) = buyer.values;
                    buyer.values = (count + 1, sum + minor, squares.saturating_add(minor * minor));
                }
            }
            OrderEventKind::Disputed | OrderEventKind::Complaint => {
                buyer.claims += 1;
                if buyer.suppliers_claimed.len() < SUPPLIERS_COUNTED_MAX {
                    buyer.suppliers_claimed.insert(supplier);
                }
            }
            OrderEventKind::FraudConfirmed => {
                buyer.frauds += 1;
                remember(&mut buyer.recent_frauds, (placed_at, supplier));
                if order.and_then(|order| order.amount_z).is_some_and(|z| z >= UNUSUAL_Z) {
                    remember(&mut buyer.unusual_frauds, (placed_at, supplier));
                }
            }
            _ => {}
        }
        Some(before)
    }

    fn forget(&mut self, now: Timestamp) {
        let before = now.plus_ms(-REMEMBERED_MS);
        while let Some(oldest) = self.by_age.first().filter(|(seen, _)| *seen <= before).copied() {
            self.by_age.remove(&oldest);
            self.seen.remove(&oldest.1);
        }
        let before = now.plus_ms(-ORDERS_MS);
        while let Some(oldest) = self.orders_by_age.first().filter(|(placed, _)| *placed <= before).copied() {
            self.orders_by_age.remove(&oldest);
            self.orders.remove(&oldest.1);
        }
    }
}

impl Order {
    fn seen(&self, settles: bool, spoils: bool) -> OrderSeen {
        OrderSeen {
            placed_at: self.placed_at,
            amount_z: self.amount_z,
            category: self.category.clone(),
            settles,
            spoils,
            first: false,
            repeat: false,
            region: None,
            spoiled_by: None,
        }
    }
}

fn remember(frauds: &mut VecDeque<(Timestamp, u64)>, fraud: (Timestamp, u64)) {
    frauds.push_back(fraud);
    if frauds.len() > FRAUDS_KEPT {
        frauds.pop_front();
    }
}

fn next_hour(ms: i64) -> i64 {
    (ms.div_euclid(HOUR_MS) + 1) * HOUR_MS
}

/// Whether an outcome is one that the buyer did not order for. Whose doing it was is kept beside it.
pub fn went_wrong(event: &OrderEvent) -> bool {
    match event.kind {
        OrderEventKind::Cancelled | OrderEventKind::Refunded => event.cause != OutcomeCause::Buyer,
        OrderEventKind::Disputed | OrderEventKind::Complaint | OrderEventKind::FraudConfirmed => true,
        OrderEventKind::Delivered => event.late,
        OrderEventKind::Reviewed => event.rating.is_some_and(|rating| rating <= 2),
        _ => false,
    }
}

impl Fold for Intake {
    type Effect = IntakeEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<IntakeEffect>) {
        self.forget(input.time);
        let Payload::OrderEvent(event) = input.payload else { return };
        let identity = hash::identity128(&[&event.source, event.id.as_str()]);
        if self.seen.get(&identity).is_some() {
            out.effect(IntakeEffect::Duplicate);
            return;
        }
        self.seen.insert(identity, input.time);
        self.by_age.insert((input.time, identity));
        let order = self.order(event);
        let history = self.stamp(event, order.as_ref(), input.time);
        let payload = Payload::Outcome(Outcome {
            event: event.clone(),
            history,
            order,
            vouched: None,
            withdrawn: false,
        });
        let cause = Cause { id: event.id.to_string(), time: input.time };
        out.emit_caused(Topic::SupplierEvents, Dest::Key(event.supplier.to_string()), payload, Some(cause));
    }

    fn deadline(&self) -> Option<Timestamp> {
        let identity = self.by_age.first().map(|(seen, _)| seen.plus_ms(REMEMBERED_MS));
        let order = self.orders_by_age.first().map(|(placed, _)| placed.plus_ms(ORDERS_MS));
        // Forgetting is in no hurry: one tick an hour serves everything that was due in it.
        identity.into_iter().chain(order).min().map(|due| Timestamp::from_ms(next_hour(due.ms())))
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.seen, &mut self.buyers, &mut self.orders]
    }

    fn restored(&mut self, _: &mut Vec<IntakeEffect>) {
        self.by_age = self.seen.iter().map(|(identity, seen)| (*seen, *identity)).collect();
        self.orders_by_age =
            self.orders.iter().map(|(identity, order)| (order.placed_at, *identity)).collect();
    }
}
