//! Intake, keyed by buyer: removes duplicates, stamps what the buyer's own history says, forwards to the supplier.

use std::collections::BTreeSet;

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    BuyerHistory, BuyerId, Cause, OrderEvent, OrderEventKind, Outcome, Payload, Timestamp, Topic, hash,
    time::DAY_MS,
};

/// How long an event's identity is remembered: as long as `events.inbox` keeps the event.
const REMEMBERED_MS: i64 = 30 * DAY_MS;
/// Distinct suppliers claimed against are counted up to here.
const SUPPLIERS_COUNTED_MAX: usize = 16;

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
}

/// The fold.
pub struct Intake {
    /// When each event identity was first seen.
    seen: Table<u128, Timestamp>,
    buyers: Table<BuyerId, Buyer>,
    /// Derived: identities by the time they were seen.
    by_age: BTreeSet<(Timestamp, u128)>,
}

impl Default for Intake {
    fn default() -> Self {
        Self { seen: Table::new(1), buyers: Table::new(2), by_age: BTreeSet::new() }
    }
}

impl Intake {
    /// The buyer's history before `event`, and `event` added to it.
    fn stamp(&mut self, event: &OrderEvent, now: Timestamp) -> Option<BuyerHistory> {
        let id = event.buyer.as_ref().filter(|_| !event.kind.is_account())?;
        let buyer = self.buyers.edit_or(id, || Buyer { since: now, ..Buyer::default() });
        let before = BuyerHistory {
            orders: buyer.orders,
            claims: buyer.claims,
            frauds: buyer.frauds,
            suppliers_claimed: buyer.suppliers_claimed.len() as u32,
            since: buyer.since,
        };
        match event.kind {
            OrderEventKind::Placed => buyer.orders += 1,
            OrderEventKind::Disputed | OrderEventKind::Complaint => {
                buyer.claims += 1;
                if buyer.suppliers_claimed.len() < SUPPLIERS_COUNTED_MAX {
                    buyer.suppliers_claimed.insert(hash::stable64(event.supplier.as_str()));
                }
            }
            OrderEventKind::FraudConfirmed => buyer.frauds += 1,
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
        let history = self.stamp(event, input.time);
        let payload = Payload::Outcome(Outcome { event: event.clone(), history });
        let cause = Cause { id: event.id.to_string(), time: input.time };
        out.emit_caused(Topic::SupplierEvents, Dest::Key(event.supplier.to_string()), payload, Some(cause));
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.by_age.first().map(|(seen, _)| seen.plus_ms(REMEMBERED_MS))
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.seen, &mut self.buyers]
    }

    fn restored(&mut self, _: &mut Vec<IntakeEffect>) {
        self.by_age = self.seen.iter().map(|(identity, seen)| (*seen, *identity)).collect();
    }
}
