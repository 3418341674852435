//! Intake, keyed by buyer: removes duplicates, stamps what the buyer's own history and the order say, forwards to the
//! supplier. What an order did wrong is judged once, here, where all outcomes of an order meet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

mod packed;
mod promises;
mod witness;

use promises::{Heard, Promises};
use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Packed, PackedSet, Single};
use stockade_model::{
    BuyerHistory, BuyerId, Cause, EventAgain, OrderEvent, OrderEventKind, OrderSeen, Outcome, OutcomeCause,
    Payload, Region, Timestamp, Topic, Vouched, encode, hash,
    time::{DAY_MS, HOUR_MS},
};

/// How long an event's identity is remembered: as long as `events.inbox` keeps the event.
const REMEMBERED_MS: i64 = 30 * DAY_MS;
/// How long an order is remembered: events of older ones are not accepted.
const ORDERS_MS: i64 = 90 * DAY_MS;
/// Distinct suppliers claimed against are counted up to here.
const SUPPLIERS_COUNTED_MAX: usize = 16;
/// Suppliers remembered that a buyer ordered from.
const SUPPLIERS_BOUGHT_MAX: usize = 32;
/// Orders of one buyer from one supplier within this time are one piece of evidence.
const REPEAT_MS: i64 = 30 * DAY_MS;
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

/// A claim so long after the first one of its order, with nothing paid back in between, says that it was not answered.
const UNANSWERED_MS: i64 = 5 * DAY_MS;
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
    /// Suppliers ordered from, by hash, and when last.
    #[serde(default)]
    bought: BTreeMap<u64, Timestamp>,
}

impl Buyer {
    /// What the buyer's record says in a matter of `supplier`, which it must not depend on.
    fn record(&self, supplier: u64) -> BuyerHistory {
        let elsewhere = self.bought.keys().filter(|known| **known != supplier).count();
        BuyerHistory {
            orders: self.orders,
            claims: self.claims,
            frauds: self.frauds,
            suppliers_claimed: self.suppliers_claimed.len() as u32,
            since: self.since,
            suppliers_elsewhere: elsewhere.min(SUPPLIERS_COUNTED_MAX) as u32,
            ..BuyerHistory::default()
        }
    }

    /// Whether there was an order from the same supplier shortly before this one.
    fn bought_lately(&self, event: &OrderEvent) -> bool {
        let last = self.bought.get(&hash::stable64(event.supplier.as_str()));
        last.is_some_and(|last| event.time.ms() - last.ms() < REPEAT_MS)
    }

    /// Notes an order; of too many suppliers the one longest ago makes room.
    fn buys(&mut self, supplier: u64, at: Timestamp) {
        let last = self.bought.entry(supplier).or_insert(at);
        *last = at.max(*last);
        if self.bought.len() > SUPPLIERS_BOUGHT_MAX {
            let oldest = self.bought.iter().min_by_key(|(supplier, at)| (**at, **supplier));
            oldest.map(|(supplier, _)| *supplier).map(|supplier| self.bought.remove(&supplier));
        }
    }

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
    /// Where it was ordered to.
    #[serde(default)]
    region: Option<Region>,
    /// Whether the buyer had ordered from the supplier within 30 days before.
    #[serde(default)]
    repeat: bool,
    /// Whether it did harm for which somebody vouches.
    #[serde(default)]
    told: bool,
    /// Whether that was silence, which may be taken back.
    #[serde(default)]
    told_by_silence: bool,
    /// Whether somebody vouched for harm of another kind after silence had said so.
    #[serde(default)]
    told_beside: bool,
    /// How far a claim on it is.
    #[serde(default)]
    claim: Claim,
    /// Whose doing the first that went wrong was, where that is known.
    #[serde(default)]
    spoiled_by: Option<OutcomeCause>,
    /// Whether a delivery was seen.
    #[serde(default)]
    delivered: bool,
    /// What was promised, while something can come of it: apart, for most orders that are remembered are past it.
    #[serde(default)]
    promises: Option<Box<Promises>>,
    /// When the promises are looked at.
    #[serde(default)]
    look_at: Option<Timestamp>,
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
    seen: Packed<u128, Seen>,
    buyers: Packed<BuyerId, Buyer>,
    /// By identity of supplier and order.
    orders: Packed<u128, Order>,
    /// What was last heard of hand-overs and deliveries, of any order.
    heard: Single<Heard>,
    /// Derived: orders by when their promises are looked at.
    looks: PackedSet<(Timestamp, u128)>,
    /// Derived: identities by the time they were seen.
    by_age: PackedSet<(Timestamp, u128)>,
    /// Derived: orders by the time they were placed.
    orders_by_age: PackedSet<(Timestamp, u128)>,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            seen: Packed::new(1),
            buyers: Packed::new(2),
            orders: Packed::new(3),
            heard: Single::new(4),
            looks: PackedSet::default(),
            by_age: PackedSet::default(),
            orders_by_age: PackedSet::default(),
        }
    }
}

impl Intake {
    /// What is known of the event's order, and `event` added to it; and whether the same was said of it before.
    /// `vouched` is whether anybody vouches for it.
    fn order(&mut self, event: &OrderEvent, vouched: bool) -> (Option<OrderSeen>, bool) {
        let Some(identity) = order_identity(event) else { return (None, false) };
        let known = self.orders.get(&identity);
        let placed_now =
            event.kind == OrderEventKind::Placed && known.as_ref().is_none_or(|order| !order.placed);
        let mut order = match known {
            Some(known) if !placed_now => known,
            known => {
                let heard = known.unwrap_or_default();
                self.orders_by_age.remove(&(heard.placed_at, identity));
                self.orders_by_age.insert(&(event.time, identity));
                Order { placed_at: event.time, placed: placed_now, ..heard }
            }
        };
        if placed_now {
            let buyer = event.buyer.as_ref().and_then(|id| self.buyers.get(id));
            let z = |buyer: &Buyer| buyer.z(event.amount?.minor);
            order = Order {
                amount_z: buyer.as_ref().and_then(z),
                category: event.category.clone(),
                region: event.region,
                repeat: buyer.is_some_and(|buyer| buyer.bought_lately(event)),
                promises: Promises::of(event).map(Box::new),
                ..order
            };
        }
        let heard = order.hears(event, vouched);
        self.orders.put(&identity, &order);
        heard
    }

    /// Who vouches for `event`, by what was known before it.
    fn vouched(&self, event: &OrderEvent, now: Timestamp) -> Vouched {
        let supplier = hash::stable64(event.supplier.as_str());
        let buyer = event.buyer.as_ref().and_then(|id| self.buyers.get(id));
        let record = buyer.as_ref().map(|buyer| buyer.record(supplier));
        let order = order_identity(event).and_then(|identity| self.orders.get(&identity));
        let known = order
            .map(|order| witness::OrderKnown { spoiled_by: order.spoiled_by, delivered: order.delivered });
        witness::vouched(event, record.as_ref(), known.unwrap_or_default(), now)
    }

    /// What `event` closes of what was promised, and takes back of what silence had said.
    fn hear(&mut self, event: &OrderEvent, now: Timestamp, out: &mut Out<IntakeEffect>) {
        if matches!(event.kind, OrderEventKind::Shipped | OrderEventKind::Delivered) {
            self.heard.set(self.heard().after(event));
        }
        let Some(identity) = order_identity(event) else { return };
        let Some(mut order) = self.orders.get(&identity).filter(|order| order.promises.is_some()) else {
            return;
        };
        let seen = order.seen(false, false);
        let Some(promises) = &mut order.promises else { return };
        let back = promises.hear(event);
        let told: Vec<OrderEvent> = back.iter().filter_map(|what| promises.event(*what, now)).collect();
        let over = promises.is_over();
        // Looked at anew when it was placed, or when there is less to wait for.
        let at = if over { None } else { promises.due() };
        if over {
            order.promises = None;
        }
        self.look_at(identity, order, at);
        for event in told {
            let tells = event.late && self.orders.edit(&identity, Order::takes_back_harm) == Some(true);
            let seen = OrderSeen { tells, ..seen.clone() };
            let outcome = Outcome { order: Some(seen), withdrawn: true, ..Outcome::of(event) };
            silence(Outcome { vouched: Some(Vouched::Attested), ..outcome }, now, out);
        }
    }

    /// Puts an order back whose promises are looked at then.
    fn look_at(&mut self, identity: u128, mut order: Order, at: Option<Timestamp>) {
        if let Some(before) = std::mem::replace(&mut order.look_at, at) {
            self.looks.remove(&(before, identity));
        }
        if let Some(at) = at {
            self.looks.insert(&(at, identity));
        }
        self.orders.put(&identity, &order);
    }

    fn heard(&self) -> Heard {
        self.heard.get().copied().unwrap_or_default()
    }

    /// Says what was promised and has not happened.
    fn judge(&mut self, now: Timestamp, out: &mut Out<IntakeEffect>) {
        let heard = self.heard();
        while let Some((at, identity)) = self.looks.first().filter(|(at, _)| *at <= now) {
            // Removed first, so that nothing can make this loop turn on the spot.
            self.looks.remove(&(at, identity));
            let Some(mut order) = self.orders.get(&identity) else { continue };
            order.look_at = None;
            let Some(promises) = &mut order.promises else {
                self.orders.put(&identity, &order);
                continue;
            };
            let judged = promises.judge(now, heard);
            let missed: Vec<OrderEvent> =
                judged.missed.iter().filter_map(|kind| promises.event(*kind, now)).collect();
            self.look_at(identity, order, judged.again);
            for event in missed {
                let (order, repeated) = self.order(&event, true);
                let outcome = Outcome { order, repeated, ..Outcome::of(event) };
                silence(Outcome { vouched: Some(Vouched::Attested), ..outcome }, now, out);
            }
        }
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
        let known = self.buyers.get(id);
        let mut buyer = known.unwrap_or_else(|| Buyer { since: now, ..Buyer::default() });
        let supplier = hash::stable64(event.supplier.as_str());
        let placed_at = order.map_or(event.time, |order| order.placed_at);
        let elsewhere = |(at, of): &&(Timestamp, u64)| *of != supplier && *at >= placed_at.plus_ms(-CARD_MS);
        let defrauded: BTreeSet<u64> =
            buyer.recent_frauds.iter().filter(elsewhere).map(|(_, supplier)| *supplier).collect();
        let before = BuyerHistory {
            unusual_frauds_elsewhere: buyer.unusual_frauds.iter().filter(elsewhere).count() as u32,
            suppliers_defrauded_elsewhere: defrauded.len() as u32,
            ..buyer.record(supplier)
        };
        match event.kind {
            _ if repeated => {}
            OrderEventKind::Placed => {
                buyer.orders += 1;
                buyer.buys(supplier, event.time);
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
        self.buyers.put(id, &buyer);
        Some(before)
    }

    /// An event whose source and id are known changes nothing; the first time its sender is told.
    fn again(&mut self, identity: u128, event: &OrderEvent, out: &mut Out<IntakeEffect>) {
        let Some(seen) = self.seen.get(&identity) else { return };
        let differs = seen.print != 0 && seen.print != print(event);
        out.effect(if differs { IntakeEffect::Conflict } else { IntakeEffect::Duplicate });
        let told = if differs { Told::Differs } else { Told::Repeated };
        if told <= seen.told {
            return;
        }
        self.seen.put(&identity, &Seen { told, ..seen });
        let (id, source, supplier) = (event.id.clone(), event.source.clone(), event.supplier.clone());
        let dest = Dest::Key(supplier.to_string());
        let payload = Payload::EventAgain(EventAgain { id, source, supplier, differs });
        out.emit(Topic::SupplierEvents, dest, payload);
    }

    fn forget(&mut self, now: Timestamp) {
        let before = now.plus_ms(-REMEMBERED_MS);
        while let Some(oldest) = self.by_age.first().filter(|(seen, _)| *seen <= before) {
            self.by_age.remove(&oldest);
            self.seen.remove(&oldest.1);
        }
        let before = now.plus_ms(-ORDERS_MS);
        while let Some(oldest) = self.orders_by_age.first().filter(|(placed, _)| *placed <= before) {
            self.orders_by_age.remove(&oldest);
            let look_at = self.orders.remove(&oldest.1).and_then(|order| order.look_at);
            look_at.map(|at| self.looks.remove(&(at, oldest.1)));
        }
    }
}

/// How far a claim on an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Claim {
    /// Nobody claimed.
    #[default]
    None,
    /// Somebody did, first at this time.
    Open(Timestamp),
    /// It was paid back, or claimed for again.
    Answered,
}

impl Order {
    /// Whether `event` claims what was claimed days ago and not answered; said once of an order.
    fn claims_again(&mut self, event: &OrderEvent) -> bool {
        match (event.kind, self.claim) {
            (OrderEventKind::Refunded, _) => self.claim = Claim::Answered,
            (OrderEventKind::Disputed | OrderEventKind::Complaint, Claim::None) => {
                self.claim = Claim::Open(event.time);
            }
            (OrderEventKind::Disputed | OrderEventKind::Complaint, Claim::Open(since)) => {
                let again = event.time.ms() - since.ms() >= UNANSWERED_MS;
                if again {
                    self.claim = Claim::Answered;
                }
                return again;
            }
            _ => {}
        }
        false
    }

    /// Takes what `event` says of it: what that makes of the order, and whether the same was said before.
    fn hears(&mut self, event: &OrderEvent, vouched: bool) -> (Option<OrderSeen>, bool) {
        let first = self.placed && self.is_first(event);
        let (corrects, repeated) = (self.is_corrected_by(event), self.says_again(event));
        if !self.placed || event.kind == OrderEventKind::Placed {
            // A further line of the same order says nothing new about it.
            let seen = self.placed.then(|| OrderSeen { first, ..self.seen(false, false) });
            return (seen, repeated);
        }
        // That it is on its way says nothing yet of how it ends.
        let outcome = event.kind != OrderEventKind::Shipped;
        let wrong = !corrects && went_wrong(event);
        let (settles, spoils) = (outcome && !self.settled, !self.spoiled && wrong);
        let again = self.claims_again(event);
        let harms = wrong && did_harm(event) && vouched;
        let tells = harms && !self.told;
        self.told |= tells;
        self.told_by_silence |= tells && event.kind.is_derived();
        self.told_beside |= harms && !event.kind.is_derived();
        self.settled |= outcome;
        self.spoiled |= spoils;
        self.delivered |= event.kind == OrderEventKind::Delivered;
        if wrong && event.cause != OutcomeCause::Unknown {
            self.spoiled_by.get_or_insert(event.cause);
        }
        (Some(OrderSeen { first, tells, again, ..self.seen(settles, spoils) }), repeated)
    }

    /// Silence that had said that the order did harm is taken back. The harm goes with it, unless somebody vouched for harm
    /// as well; and whoever claims later is heard.
    fn takes_back_harm(&mut self) -> bool {
        let by_silence_alone = std::mem::take(&mut self.told_by_silence) && !self.told_beside;
        self.told &= !by_silence_alone;
        by_silence_alone
    }

    /// Whether nothing like it was said of any line of the order.
    fn is_first(&self, event: &OrderEvent) -> bool {
        let (kind, bad) = (event.kind as u8, class(event) & 1);
        !self.said.iter().any(|(said, _)| said / 16 == kind && said & 1 == bad)
    }

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
            tells: false,
            again: false,
            repeat: self.repeat,
            region: self.region,
            spoiled_by: self.spoiled_by,
        }
    }
}

fn remember(frauds: &mut VecDeque<(Timestamp, u64)>, fraud: (Timestamp, u64)) {
    frauds.push_back(fraud);
    if frauds.len() > FRAUDS_KEPT {
        frauds.pop_front();
    }
}

/// Name of the order that an outcome is about.
fn order_identity(event: &OrderEvent) -> Option<u128> {
    let order = event.order.as_ref().filter(|_| !event.kind.is_account())?;
    Some(hash::identity128(&[event.supplier.as_str(), order.as_str()]))
}

/// Forwards what intake itself found.
fn silence(outcome: Outcome, now: Timestamp, out: &mut Out<IntakeEffect>) {
    let cause = Cause { id: outcome.event.id.to_string(), time: now };
    let to = Dest::Key(outcome.event.supplier.to_string());
    out.emit_caused(Topic::SupplierEvents, to, Payload::Outcome(outcome), Some(cause));
}

fn next_hour(ms: i64) -> i64 {
    (ms.div_euclid(HOUR_MS) + 1) * HOUR_MS
}

/// Whether an outcome is one that the buyer did not order for. Whose doing it was is kept beside it.
pub fn went_wrong(event: &OrderEvent) -> bool {
    match event.kind {
        OrderEventKind::Cancelled | OrderEventKind::Refunded => event.cause != OutcomeCause::Buyer,
        OrderEventKind::Disputed | OrderEventKind::Complaint | OrderEventKind::FraudConfirmed => true,
        OrderEventKind::Overdue | OrderEventKind::Undelivered => true,
        OrderEventKind::Delivered => event.late,
        OrderEventKind::Reviewed => event.rating.is_some_and(|rating| rating <= 2),
        _ => false,
    }
}

/// Whether an outcome says that the buyer was harmed, rather than that something was late or disliked. Silence says so when
/// nothing can be expected to come any more.
fn did_harm(event: &OrderEvent) -> bool {
    match event.kind {
        // Stolen cards are used at honest suppliers too: frauds have a test of their own.
        OrderEventKind::FraudConfirmed | OrderEventKind::Delivered | OrderEventKind::Reviewed => false,
        OrderEventKind::Overdue | OrderEventKind::Undelivered => event.late,
        _ => went_wrong(event),
    }
}

impl Fold for Intake {
    type Effect = IntakeEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<IntakeEffect>) {
        self.forget(input.time);
        self.judge(input.time, out);
        let Payload::OrderEvent(event) = input.payload else { return };
        let identity = hash::identity128(&[&event.source, event.id.as_str()]);
        if self.seen.contains(&identity) {
            return self.again(identity, event, out);
        }
        self.seen.put(&identity, &Seen { at: input.time, print: print(event), told: Told::Nothing });
        self.by_age.insert(&(input.time, identity));
        let vouched = self.vouched(event, input.time);
        let (order, repeated) = self.order(event, vouched.weight() > 0.0);
        let history = self.stamp(event, order.as_ref(), repeated, input.time);
        let payload = Payload::Outcome(Outcome {
            event: event.clone(),
            history,
            order,
            vouched: Some(vouched),
            withdrawn: false,
            repeated,
        });
        let cause = Cause { id: event.id.to_string(), time: input.time };
        out.emit_caused(Topic::SupplierEvents, Dest::Key(event.supplier.to_string()), payload, Some(cause));
        self.hear(event, input.time, out);
    }

    fn deadline(&self) -> Option<Timestamp> {
        let identity = self.by_age.first().map(|(seen, _)| seen.plus_ms(REMEMBERED_MS));
        let order = self.orders_by_age.first().map(|(placed, _)| placed.plus_ms(ORDERS_MS));
        // Forgetting is in no hurry: one tick an hour serves everything that was due in it.
        let forgotten = identity.into_iter().chain(order).min();
        let forgotten = forgotten.map(|due| Timestamp::from_ms(next_hour(due.ms())));
        forgotten.into_iter().chain(self.looks.first().map(|(at, _)| at)).min()
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.seen, &mut self.buyers, &mut self.orders, self.heard.table()]
    }

    fn restored(&mut self, _: &mut Vec<IntakeEffect>) {
        let by_age = &mut self.by_age;
        self.seen.each(|identity, seen| by_age.insert(&(seen.at, identity)));
        let (orders_by_age, looks) = (&mut self.orders_by_age, &mut self.looks);
        self.orders.each(|identity, order| {
            orders_by_age.insert(&(order.placed_at, identity));
            order.look_at.into_iter().for_each(|at| looks.insert(&(at, identity)));
        });
    }
}

#[cfg(test)]
mod tests;
