//! Intake, keyed by buyer: removes duplicates, stamps what the buyer's own history and the order say, forwards to the
//! supplier. What an order did wrong is judged once, here, where all outcomes of an order meet.

use std::collections::{BTreeSet, VecDeque};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    BuyerHistory, BuyerId, Cause, EventAgain, OrderEvent, OrderEventKind, OrderSeen, Outcome, OutcomeCause,
    Payload, Timestamp, Topic, encode, hash,
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

/// Things said of one order that are told apart: far beyond what people order.
const SAID_MAX: usize = 1_024;

/// What the intake fold tells its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakeEffect {
    /// An event with a known source and id was dropped.
    Duplicate,
    /// The same, and it says something else than the first one.
    Conflict,
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

/// An event that was seen.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
#[serde(from = "StoredSeen")]
struct Seen {
    at: Timestamp,
    /// Print of what it said, never 0; 0 where an earlier build did not keep it.
    print: u32,
    /// What was told of it coming again.
    told: Told,
}

/// What the sender of an event that came again can find out by now.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
enum Told {
    #[default]
    Nothing,
    Repeated,
    Differs,
}

/// The row as it is stored, and as earlier builds stored it.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum StoredSeen {
    Now { at: Timestamp, print: u32, told: Told },
    Former(Timestamp),
}

impl From<StoredSeen> for Seen {
    fn from(row: StoredSeen) -> Self {
        match row {
            StoredSeen::Now { at, print, told } => Self { at, print, told },
            StoredSeen::Former(at) => Self { at, print: 0, told: Told::Nothing },
        }
    }
}

/// Print of what an event says. Its time is left out: where the sender gave none, it is that of its arrival.
fn print(event: &OrderEvent) -> u32 {
    let timeless = OrderEvent { time: Timestamp::default(), ..event.clone() };
    (hash::stable64(&encode::json_text(&timeless)) as u32).max(1)
}

/// An order of one supplier.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Order {
    /// Of an order that was not placed yet: when the first was heard of it.
    placed_at: Timestamp,
    amount_z: Option<f64>,
    category: Option<String>,
    settled: bool,
    spoiled: bool,
    /// Whether it was placed, as far as is known here.
    #[serde(default = "yes")]
    placed: bool,
    /// What was said of it, each once: a class of outcomes, and a hash of the line.
    #[serde(default)]
    said: Vec<(u8, u32)>,
}

fn yes() -> bool {
    true
}

/// The bits of a class that hold whose doing an outcome was.
const CAUSE_BITS: u8 = 0b1110;

/// What an outcome says: what happened, whose doing it was, whether it was bad. Two that are about the same line and differ in
/// whose doing it was alone are one outcome, whose first cause stands.
fn class(event: &OrderEvent) -> u8 {
    let bad = event.late || event.rating.is_some_and(|rating| rating <= 2);
    event.kind as u8 * 16 + event.cause as u8 * 2 + u8::from(bad)
}

fn is_same(one: u8, other: u8) -> bool {
    (one ^ other) & !CAUSE_BITS == 0
}

/// The line that an event names, as well as it does.
fn line(event: &OrderEvent) -> u32 {
    let named = event.line.as_ref().map(|line| format!("line {line}"));
    let named = named.or_else(|| event.listing.as_ref().map(|listing| format!("listing {listing}")));
    hash::stable64(&named.unwrap_or_default()) as u32
}

/// The fold.
pub struct Intake {
    /// When each event identity was first seen.
    seen: Table<u128, Seen>,
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
    /// What is known of the event's order, and `event` added to it; and whether the same was said of it before.
    fn order(&mut self, event: &OrderEvent) -> (Option<OrderSeen>, bool) {
        let Some(order) = event.order.as_ref().filter(|_| !event.kind.is_account()) else {
            return (None, false);
        };
        let identity = hash::identity128(&[event.supplier.as_str(), order.as_str()]);
        let placed_now = event.kind == OrderEventKind::Placed
            && self.orders.get(&identity).is_none_or(|order| !order.placed);
        if placed_now || self.orders.get(&identity).is_none() {
            let buyer = event.buyer.as_ref().and_then(|id| self.buyers.get(id));
            let amount_z = buyer.zip(event.amount).and_then(|(buyer, amount)| buyer.z(amount.minor));
            let heard = self.orders.get(&identity).cloned().unwrap_or_default();
            self.orders_by_age.remove(&(heard.placed_at, identity));
            let order = Order { placed_at: event.time, placed: placed_now, ..heard };
            let order = match placed_now {
                true => Order { amount_z, category: event.category.clone(), ..order },
                false => order,
            };
            self.orders.insert(identity, order);
            self.orders_by_age.insert((event.time, identity));
        }
        let Some(order) = self.orders.edit(&identity) else { return (None, false) };
        let (corrects, repeated) = (order.is_corrected_by(event), order.says_again(event));
        if !order.placed || event.kind == OrderEventKind::Placed {
            // A further line of the same order says nothing new about it.
            return (order.placed.then(|| order.seen(false, false)), repeated);
        }
        // That it is on its way says nothing yet of how it ends.
        let outcome = event.kind != OrderEventKind::Shipped;
        let (settles, spoils) = (outcome && !order.settled, !order.spoiled && !corrects && went_wrong(event));
        order.settled |= outcome;
        order.spoiled |= spoils;
        (Some(order.seen(settles, spoils)), repeated)
    }

    /// The buyer's history before `event`, and `event` added to it.
    fn stamp(
        &mut self,
        event: &OrderEvent,
        order: Option<&OrderSeen>,
        repeated: bool,
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
            _ if repeated => {}
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

    /// An event whose source and id are known changes nothing; the first time its sender is told.
    fn again(&mut self, identity: u128, event: &OrderEvent, out: &mut Out<IntakeEffect>) {
        let Some(seen) = self.seen.get(&identity).copied() else { return };
        let differs = seen.print != 0 && seen.print != print(event);
        out.effect(if differs { IntakeEffect::Conflict } else { IntakeEffect::Duplicate });
        let told = if differs { Told::Differs } else { Told::Repeated };
        if told <= seen.told {
            return;
        }
        self.seen.insert(identity, Seen { told, ..seen });
        let (id, source, supplier) = (event.id.clone(), event.source.clone(), event.supplier.clone());
        let dest = Dest::Key(supplier.to_string());
        let payload = Payload::EventAgain(EventAgain { id, source, supplier, differs });
        out.emit(Topic::SupplierEvents, dest, payload);
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
    /// Whether what `event` says was said before: of the same line, or of as many lines as were placed. So one order's
    /// outcome counts once, however often and under whatever ids and causes it is sent, and no rate of orders goes beyond one.
    fn says_again(&mut self, event: &OrderEvent) -> bool {
        let (class, line) = (class(event), line(event));
        let of_placed = |(said, _): &&(u8, u32)| said / 16 == OrderEventKind::Placed as u8;
        let lines = self.said.iter().filter(of_placed).count().max(1);
        let known = self.said.iter().filter(|(said, _)| is_same(*said, class)).count();
        let full = event.kind != OrderEventKind::Placed && known >= lines;
        if full || self.said.len() >= SAID_MAX || self.first(event).is_some() {
            return !self.learns_cause(event);
        }
        self.said.push((class, line));
        false
    }

    /// The class in which the same was said of the same line before.
    fn first(&self, event: &OrderEvent) -> Option<u8> {
        let (class, line) = (class(event), line(event));
        self.said.iter().find(|(said, of)| *of == line && is_same(*said, class)).map(|(said, _)| *said)
    }

    /// Whether `event` says of the same outcome that it was somebody else's doing.
    fn is_corrected_by(&self, event: &OrderEvent) -> bool {
        let unknown = OutcomeCause::Unknown as u8 * 2;
        self.first(event).is_some_and(|first| first & CAUSE_BITS != unknown && first != class(event))
    }

    /// Takes the cause of a cancellation whose cause was not known: only then it counts for or against somebody.
    fn learns_cause(&mut self, event: &OrderEvent) -> bool {
        if event.kind != OrderEventKind::Cancelled || event.cause == OutcomeCause::Unknown {
            return false;
        }
        let (class, line) = (class(event), line(event));
        let unknown = |said: u8| is_same(said, class) && said & CAUSE_BITS == OutcomeCause::Unknown as u8 * 2;
        let first = self.said.iter_mut().find(|(said, of)| *of == line && unknown(*said));
        first.map(|(said, _)| *said = class).is_some()
    }

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
            return self.again(identity, event, out);
        }
        self.seen.insert(identity, Seen { at: input.time, print: print(event), told: Told::Nothing });
        self.by_age.insert((input.time, identity));
        let (order, repeated) = self.order(event);
        let history = self.stamp(event, order.as_ref(), repeated, input.time);
        let payload = Payload::Outcome(Outcome {
            event: event.clone(),
            history,
            order,
            vouched: None,
            withdrawn: false,
            repeated,
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
        self.by_age = self.seen.iter().map(|(identity, seen)| (seen.at, *identity)).collect();
        self.orders_by_age =
            self.orders.iter().map(|(identity, order)| (order.placed_at, *identity)).collect();
    }
}
