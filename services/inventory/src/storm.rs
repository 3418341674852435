//! What order systems may send while it comes faster than it goes through.
//!
//! An event goes through two partitions: that of its buyer, which intake reads, and that of its supplier. While one of them is
//! behind, each key may send it a quarter of what it goes through, as [`crate::fairness`] has it of suppliers: who sends a flood about one
//! supplier waits by itself, and neither other order systems nor the suppliers beside that one do. A record does not say with which
//! key it came, so each process counts what came in through it.
//!
//! Beside it a bound on all of them together: no more waits for intake than about what it goes through in a second. Past it intake would
//! lag for seconds, and lock-outs with it. A process knows the wait of the partitions whose intake runs in it. Only what is appended
//! counts: what is refused, wrong or held back takes room of nobody.
//!
//! Of that bound each key may have as much waiting as is still free (Choudhury and Hahne, "Dynamic Queue Length Thresholds in a
//! Shared-Memory Packet Switch", 1998). So a key that floods alone has half of it, three have a quarter each, and whoever has nothing
//! waiting always finds room. A fixed quarter would be full with four stolen keys, and would hold back the one order system of a quiet
//! marketplace; that one has half a second of events waiting, so intake is never idle for it, and it sends all that intake goes through.
//! What of a key still waits is reckoned: at each look all that intake went through is taken off the keys in proportion.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use stockade_log::partition_of;
use stockade_model::{OrderEvent, Topic};
use stockade_runtime::{Problem, Work, put_off};

use crate::fairness::Fairness;

/// Events a second that a partition is taken to go through at least, for an order system speaks for a whole marketplace: one that stands
/// still, or whose records are large batches of rows, takes a hundred a second of each key.
const LEAST_PER_S: f64 = 400.0;
/// Events that may wait for intake as long as nothing was measured.
const WAITING_FIRST: u64 = 20_000;
/// Events that may wait for intake however slow it seems.
const WAITING_LEAST: u64 = 5_000;
/// Until it was looked at how many wait, as many as come.
const UNWATCHED: u64 = u64::MAX;

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The partition that intake reads it from.
    pub inbox: u32,
    /// The partition of its supplier.
    pub supplier: u32,
}

/// What events have to pass before they are appended.
pub struct EventsGate {
    inboxes: Fairness,
    suppliers: Fairness,
    partitions: u32,
    /// Whether any partition is behind.
    is_behind: AtomicBool,
    wait: Mutex<Wait>,
    /// As many may wait as configured; 0 where it is measured.
    configured: u64,
}

/// What waits for intake.
struct Wait {
    /// Events that waited when it was last looked.
    at_look: u64,
    /// Events taken since.
    taken: u64,
    /// As many may wait.
    max: u64,
    /// About how many of them each key sent through this process.
    of_keys: BTreeMap<Box<str>, f64>,
}

impl Wait {
    fn now(&self) -> u64 {
        self.at_look.saturating_add(self.taken)
    }

    /// Whether further events of a key may wait: while it has fewer than are free.
    fn has_room_for(&self, key: &str) -> bool {
        let free = self.max.saturating_sub(self.now());
        self.max == UNWATCHED || self.of_keys.get(key).copied().unwrap_or_default() < free as f64
    }
}

impl EventsGate {
    /// With so many partitions of suppliers, where so many events may wait for intake: with 0 about what it goes through in a second.
    pub fn new(partitions: u32, waiting_max: u64) -> Self {
        Self {
            inboxes: Fairness::new(Topic::EventsInbox.partitions(partitions)),
            suppliers: Fairness::new(partitions),
            partitions,
            is_behind: AtomicBool::new(false),
            wait: Mutex::new(Wait { at_look: 0, taken: 0, max: UNWATCHED, of_keys: BTreeMap::new() }),
            configured: waiting_max,
        }
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Which way an event goes.
    pub(crate) fn way(&self, event: &OrderEvent) -> Way {
        let inboxes = Topic::EventsInbox.partitions(self.partitions);
        Way {
            inbox: partition_of(event.inbox_key().as_bytes(), inboxes),
            supplier: partition_of(event.supplier.as_str().as_bytes(), self.partitions),
        }
    }

    /// Says what each partition goes through a second while it is behind: those that intake reads, and those of suppliers.
    pub fn set_rates(&self, inboxes: &[Option<f64>], suppliers: &[Option<f64>]) {
        let mut is_behind = false;
        for (shares, rates) in [(&self.inboxes, inboxes), (&self.suppliers, suppliers)] {
            for (partition, rate) in (0..).zip(rates) {
                shares.set_rate(partition, rate.map(|per_s| per_s.max(LEAST_PER_S)));
                is_behind |= rate.is_some();
            }
        }
        self.is_behind.store(is_behind, Ordering::Relaxed);
    }

    /// Says how many events wait for intake here, and what it goes through a second where that could be measured.
    pub fn set_waiting(&self, waiting: u64, per_s: Option<f64>) {
        let mut wait = self.wait.lock();
        let measured = match (per_s, wait.max) {
            (Some(per_s), _) => (per_s as u64).max(WAITING_LEAST),
            (None, UNWATCHED) => WAITING_FIRST,
            (None, known) => known,
        };
        wait.max = if self.configured > 0 { self.configured } else { measured };
        let left = (waiting as f64 / wait.now().max(1) as f64).min(1.0);
        wait.of_keys.retain(|_, own| {
            *own *= left;
            *own >= 1.0
        });
        (wait.at_look, wait.taken) = (waiting, 0);
    }

    /// Nobody looks how many wait, so nobody is held back for it.
    pub fn set_unwatched(&self) {
        let mut wait = self.wait.lock();
        wait.max = UNWATCHED;
        wait.of_keys.clear();
    }

    /// Whether further events may wait for intake.
    pub fn has_room(&self) -> bool {
        let wait = self.wait.lock();
        wait.now() < wait.max
    }

    /// Forgets senders whose share is whole again. Call it now and then.
    pub fn forget(&self) {
        self.inboxes.forget();
        self.suppliers.forget();
    }

    /// Whether a key may send any events now: 503 `put_off` for a second. Nothing is counted: ask it of what is not read yet.
    pub(crate) fn admits_any(&self, key: &str) -> Result<(), Problem> {
        if self.wait.lock().has_room_for(key) { Ok(()) } else { Err(put_off(Work::Events, 1)) }
    }

    /// Takes so many events of a key that are appended next, or 503 `put_off` for a second. They are taken whole while there is room for
    /// any.
    pub(crate) fn admits(&self, key: &str, events: usize) -> Result<(), Problem> {
        let mut wait = self.wait.lock();
        if events == 0 || wait.max == UNWATCHED {
            return Ok(());
        }
        if !wait.has_room_for(key) {
            return Err(put_off(Work::Events, 1));
        }
        wait.taken = wait.taken.saturating_add(events as u64);
        *wait.of_keys.entry(key.into()).or_default() += events as f64;
        Ok(())
    }

    /// Gives back events that were taken of a key and not appended.
    pub(crate) fn give_back(&self, key: &str, events: usize) {
        let mut wait = self.wait.lock();
        // No more than it has: it may have been looked in between, and then its events were not seen to wait.
        let Some(own) = wait.of_keys.get_mut(key) else { return };
        let back = (*own).min(events as f64);
        *own -= back;
        wait.taken = wait.taken.saturating_sub(back as u64);
    }

    /// Whether any partition is behind; otherwise nobody need say where events go.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }

    /// Takes events of one request from the shares of its key. What is held back, and for how long, stands at the event's place; where
    /// there is no event, nothing does. All that goes one way is taken or held back together, so no part of an order overtakes another.
    pub fn hold(&self, key: &str, ways: &[Option<Way>]) -> Vec<Option<Duration>> {
        let mut held = vec![None; ways.len()];
        if !self.is_behind() {
            return held;
        }
        take(&self.suppliers, key, ways, &mut held, |way| way.supplier);
        let by_supplier = held.clone();
        take(&self.inboxes, key, ways, &mut held, |way| way.inbox);
        // What intake's partition holds back uses nothing of the supplier's.
        let kept = ways.iter().zip(by_supplier).zip(&held).filter_map(|((way, before), now)| {
            way.filter(|_| before.is_none() && now.is_some()).map(|way| way.supplier)
        });
        for (partition, events) in counted(kept) {
            self.suppliers.give_back(partition, &(partition, key).into(), events);
        }
        held
    }

    /// Gives back the shares that [`EventsGate::hold`] has taken for what it did not hold back, of a request of which nothing is sent.
    pub(crate) fn release(&self, key: &str, ways: &[Option<Way>], held: &[Option<Duration>]) {
        let taken = || ways.iter().zip(held).filter_map(|(way, held)| way.filter(|_| held.is_none()));
        for (partition, events) in counted(taken().map(|way| way.supplier)) {
            self.suppliers.give_back(partition, &(partition, key).into(), events);
        }
        for (partition, events) in counted(taken().map(|way| way.inbox)) {
            self.inboxes.give_back(partition, &(partition, key).into(), events);
        }
    }
}

fn counted(partitions: impl Iterator<Item = u32>) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    partitions.for_each(|partition| *counts.entry(partition).or_default() += 1);
    counts
}

/// Takes what is not held back yet from the shares of the partitions that it goes to.
fn take(
    shares: &Fairness,
    key: &str,
    ways: &[Option<Way>],
    held: &mut [Option<Duration>],
    to: impl Fn(&Way) -> u32,
) {
    let free = ways.iter().zip(held.iter()).filter(|(_, held)| held.is_none());
    let waits: BTreeMap<u32, Duration> = counted(free.filter_map(|(way, _)| way.as_ref().map(&to)))
        .into_iter()
        .filter_map(|(partition, events)| {
            Some((partition, shares.take(partition, &(partition, key).into(), events).err()?))
        })
        .collect();
    for (way, held) in ways.iter().zip(held) {
        let wait = way.as_ref().and_then(|way| waits.get(&to(way)));
        *held = held.or(wait.copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(inbox: u32, supplier: u32, events: usize) -> Vec<Option<Way>> {
        vec![Some(Way { inbox, supplier }); events]
    }

    /// How many of so many events are taken.
    fn taken(gate: &EventsGate, key: &str, ways: &[Option<Way>]) -> usize {
        gate.hold(key, ways).iter().filter(|held| held.is_none()).count()
    }

    #[test]
    fn while_nothing_is_behind_a_key_sends_what_it_likes() {
        let gate = EventsGate::new(2, 0);
        assert!((0..100).all(|_| taken(&gate, "k", &ways(0, 0, 1_000)) == 1_000));
        gate.set_rates(&[None; 2], &[None; 2]);
        assert_eq!(taken(&gate, "k", &ways(0, 0, 1_000)), 1_000);
    }

    #[test]
    fn a_key_that_floods_one_supplier_is_held_back_there_and_nobody_else_and_nowhere_else() {
        let gate = EventsGate::new(2, 0);
        gate.set_rates(&[None; 2], &[Some(1_000.0), None]);
        assert_eq!(taken(&gate, "stolen", &ways(1, 0, 1_000)), 1_000, "taken whole while anything is left");
        let held = gate.hold("stolen", &[ways(1, 0, 2), vec![None], ways(0, 1, 2)].concat());
        let is_held: Vec<bool> = held.iter().map(Option::is_some).collect();
        assert_eq!(is_held, [true, true, false, false, false]);
        // A quarter of a thousand a second are four seconds for a thousand.
        assert!(held[0].is_some_and(|wait| wait <= Duration::from_secs(4)), "{held:?}");
        assert_eq!(taken(&gate, "honest", &ways(1, 0, 100)), 100);
        gate.set_rates(&[None; 2], &[None; 2]);
        assert_eq!(taken(&gate, "stolen", &ways(1, 0, 1_000)), 1_000, "it is not behind any more");
    }

    #[test]
    fn what_the_partition_of_intake_holds_back_uses_nothing_of_the_suppliers_partition() {
        let gate = EventsGate::new(2, 0);
        gate.set_rates(&[Some(1e-9), None], &[Some(1e6), None]);
        assert_eq!(taken(&gate, "k", &ways(0, 1, 2_000)), 2_000);
        assert_eq!(taken(&gate, "k", &ways(0, 0, 1_000_000)), 0, "its inbox is used up");
        assert_eq!(taken(&gate, "k", &ways(1, 0, 1)), 1, "nothing was used of its supplier's");
    }

    #[test]
    fn what_is_given_back_of_a_request_may_be_sent_again_at_once() {
        let gate = EventsGate::new(2, 0);
        gate.set_rates(&[Some(1.0), None], &[Some(1.0), None]);
        let sent = [ways(0, 0, 1_000), vec![None]].concat();
        for _ in 0..3 {
            let held = gate.hold("k", &sent);
            assert!(held.iter().all(Option::is_none));
            gate.release("k", &sent, &held);
        }
        let held = gate.hold("k", &sent);
        assert!(held.iter().all(Option::is_none));
        let refused = gate.hold("k", &sent);
        assert_eq!(refused.iter().flatten().count(), 1_000);
        gate.release("k", &sent, &refused);
        assert_eq!(taken(&gate, "k", &sent), 1, "nothing was taken of what was held back");
    }

    /// The stable code where they are refused.
    fn refused(gate: &EventsGate, key: &str, events: usize) -> Result<(), &'static str> {
        gate.admits(key, events).map_err(|problem| problem.code)
    }

    #[test]
    fn no_more_is_taken_than_may_wait_for_intake_and_looking_begins_anew() {
        let gate = EventsGate::new(1, 1_000);
        assert!((0..100).all(|_| refused(&gate, "a", 1_000).is_ok()), "nobody has looked yet");
        gate.set_waiting(500, None);
        assert!(refused(&gate, "a", 400).is_ok());
        assert!(refused(&gate, "b", 1_000).is_ok(), "whole while there is room for any");
        assert_eq!(refused(&gate, "c", 1), Err("put_off"));
        assert!(refused(&gate, "c", 0).is_ok(), "nothing needs no room");
        gate.set_waiting(1_000, Some(9e9));
        assert_eq!(refused(&gate, "c", 1), Err("put_off"), "what is configured is not measured");
        gate.set_waiting(999, None);
        assert!(refused(&gate, "c", 1).is_ok());
        gate.set_unwatched();
        assert!(refused(&gate, "c", 100_000).is_ok());

        let gate = EventsGate::new(1, 0);
        gate.set_waiting(WAITING_FIRST - 1, None);
        assert!(refused(&gate, "a", 1).is_ok());
        for (key, per_s, most) in [("b", 1.0, WAITING_LEAST), ("c", 30_000.0, 30_000)] {
            gate.set_waiting(most - 1, Some(per_s));
            assert!(refused(&gate, key, 1).is_ok(), "{per_s}");
            gate.set_waiting(most, None);
            assert_eq!(refused(&gate, key, 1), Err("put_off"), "{per_s}: what was measured stands");
        }
    }

    #[test]
    fn asking_counts_nothing_and_what_comes_to_nothing_is_given_back() {
        let gate = EventsGate::new(1, 1_000);
        gate.set_waiting(0, None);
        assert!((0..10_000).all(|_| gate.admits_any("flood").is_ok()));
        for _ in 0..10_000 {
            assert!(refused(&gate, "flood", 1_000).is_ok());
            assert!(gate.admits_any("other").is_err());
            gate.give_back("flood", 1_000);
        }
        assert!(refused(&gate, "other", 1).is_ok());
        // What comes back after a look takes nothing off what others sent.
        gate.set_waiting(900, None);
        gate.give_back("flood", 1_000);
        assert!(refused(&gate, "third", 100).is_ok());
        assert_eq!(refused(&gate, "fourth", 1), Err("put_off"));
    }

    #[test]
    fn keys_that_flood_leave_room_to_whoever_sends_little_and_one_alone_sends_all_that_intake_goes_through() {
        // Intake goes through a thousand between two looks.
        const THROUGH: u64 = 1_000;
        for floods in 1..=4 {
            let gate = EventsGate::new(1, 10_000);
            let (mut waiting, mut of_floods) = (0, 0);
            gate.set_waiting(waiting, None);
            for look in 0..100 {
                for flood in 0..floods {
                    while refused(&gate, &format!("flood-{flood}"), 100).is_ok() {
                        waiting += 100;
                        of_floods += 100;
                    }
                }
                assert!(refused(&gate, "honest", 10).is_ok(), "{floods} floods, look {look}");
                waiting += 10;
                assert!(waiting >= THROUGH, "{floods} floods, look {look}: intake is never idle");
                waiting -= THROUGH;
                gate.set_waiting(waiting, None);
            }
            assert!(of_floods > 95_000, "{of_floods} of {floods} floods");
        }
    }
}
