//! Any interleaving of crashes, redelivery, restart, takeover by a reader and a stalled former owner gives the same
//! state and the same outputs as one clean pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use stockade_fold::{AnyTable, Dest, Fold, Host, Input, Out, Spec, Table, Worker};
use stockade_log::{
    Ack, Log as _, Memory, MemoryDisk, Mode, NewRecord, ReadLimit, Route, SharedLog, TopicSpec,
    conformance::ManualClock,
};
use stockade_model::{
    Change, ControlRecord, Envelope, EventId, OrderEvent, OrderEventKind, Payload, Position, SupplierId,
    Timestamp, Topic,
    outcome::{BuyerHistory, Outcome},
};

/// Counts per supplier, weighted by a control setting; every third event is announced twice; a tick announces all.
struct Counter {
    counts: Table<SupplierId, u64>,
    settings: Table<String, u64>,
}

impl Counter {
    fn new() -> Self {
        Self { counts: Table::new(1), settings: Table::new(2) }
    }
    fn announce(&self, supplier: &SupplierId, count: u64, out: &mut Out<()>) {
        let history = BuyerHistory { orders: count as u32, ..BuyerHistory::default() };
        let event = event(supplier.as_str(), 0);
        let payload = Payload::Outcome(Outcome { history: Some(history), ..Outcome::of(event) });
        out.emit(Topic::SupplierEvents, Dest::Key(supplier.as_str().to_owned()), payload);
    }
}

impl Fold for Counter {
    type Effect = ();
    fn apply(&mut self, input: &Input<'_>, out: &mut Out<()>) {
        match input.payload {
            Payload::OrderEvent(event) => {
                let weight = self.settings.get("weight").copied().unwrap_or(1);
                let count = self.counts.edit_or(&event.supplier, || 0);
                *count += weight;
                let count = *count;
                if self.settings.get("due").is_none() {
                    self.settings.insert("due".to_owned(), (input.time.ms() + 2_500) as u64);
                }
                self.announce(&event.supplier, count, out);
                if count.is_multiple_of(3) {
                    self.announce(&event.supplier, count, out);
                }
            }
            Payload::Control(ControlRecord { change: Change::Rules { version, .. }, .. }) => {
                self.settings.insert("weight".to_owned(), version.parse().unwrap());
            }
            Payload::Tick(_) if self.deadline().is_some_and(|due| due <= input.time) => {
                self.settings.remove(&"due".to_owned());
                let all: BTreeMap<_, _> = self.counts.iter().map(|(k, v)| (k.clone(), *v)).collect();
                all.iter().for_each(|(supplier, count)| self.announce(supplier, *count, out));
            }
            _ => {}
        }
    }
    fn deadline(&self) -> Option<Timestamp> {
        self.settings.get("due").map(|due| Timestamp::from_ms(*due as i64))
    }
    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.counts, &mut self.settings]
    }
}

fn event(supplier: &str, time: i64) -> OrderEvent {
    let (id, supplier) = (EventId::new("e").unwrap(), SupplierId::new(supplier).unwrap());
    OrderEvent::bare(id, "test", OrderEventKind::Placed, Timestamp::from_ms(time), supplier)
}

const SPEC: Spec = Spec {
    name: "counter",
    input: Topic::EventsInbox,
    mode: Mode::All,
    ack: Ack::Ordered,
    partitions: 1,
    flush_records: 1,
};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

struct World {
    log: Arc<Memory>,
    clock: ManualClock,
    now: i64,
    upstream: u64,
    workers: [Option<Worker<Counter>>; 2],
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::default();
        let log = Arc::new(Memory::open(MemoryDisk::default(), clock.clock()).unwrap());
        for topic in Topic::ALL {
            log.ensure_topic(&TopicSpec { name: topic.name(), partitions: 1, retention_ms: None }).unwrap();
        }
        let mut world = Self { log, clock, now: 1_000, upstream: 0, workers: [None, None] };
        world.clock.set(world.now);
        world.start(0);
        world
    }
    fn shared(&self) -> SharedLog {
        self.log.clone()
    }
    fn start(&mut self, who: usize) {
        if self.workers[who].is_none() {
            self.workers[who] = Some(Worker::join(SPEC, self.shared(), |_| Counter::new()).unwrap());
        }
    }
    fn append(&self, records: Vec<NewRecord>) {
        self.log.append(records, Ack::Ordered).wait().unwrap();
    }
    /// An upstream fold sends record `number` of its own, which may be a repeat.
    fn input(&self, number: u64, payload: &Payload) {
        let mut envelope = Envelope::new(payload.kind(), format!("u{number}"), "upstream");
        // What outsiders send has no position; only the offset tells a redelivery of it.
        let positioned = number.is_multiple_of(3);
        envelope.position = positioned.then(|| Position::parse(&format!("upstream/0/1/{number}/1")).unwrap());
        self.append(vec![NewRecord {
            topic: Topic::EventsInbox.name(),
            route: Route::Partition(0),
            key: Bytes::new(),
            headers: envelope.headers(),
            value: payload.encode().into(),
        }]);
    }
    /// One step; sends the first `sent` outputs only, and says whether that was all.
    fn step(&mut self, who: usize, records: usize, sent: usize) -> Option<bool> {
        let worker = self.workers[who].as_mut()?;
        let step = worker.step(ReadLimit { records, bytes: 1 << 20 }).unwrap()?;
        let all = step.outputs.len() <= sent;
        let outputs = step.outputs.into_iter().take(sent).collect();
        self.append(outputs);
        Some(all)
    }
    fn drain(&mut self, who: usize) {
        while self.step(who, 100, usize::MAX).is_some() {}
    }
    /// Everyone does what there is to do, until there is nothing.
    fn settle(&mut self) {
        while (0..2).any(|who| self.step(who, 100, usize::MAX).is_some()) {}
        (0..2).for_each(|who| self.flush(who));
        let owners: usize = self.workers.iter().flatten().map(|worker| worker.owned().count()).sum();
        assert_eq!(owners, 1, "the partition has one owner");
    }
    fn flush(&mut self, who: usize) {
        if let Some(worker) = &mut self.workers[who] {
            worker.flush(true).unwrap();
        }
    }
    fn tick(&mut self, who: usize) {
        let now = Timestamp::from_ms(self.now);
        if let Some(worker) = &mut self.workers[who] {
            let ticks = worker.ticks(now);
            self.append(ticks);
        }
    }

    fn play(&mut self, action: u8, who: usize, arg: usize) {
        match action {
            0..=2 => {
                self.upstream += 1;
                self.input(self.upstream, &Payload::OrderEvent(event(["a", "b", "c"][arg % 3], self.now)));
            }
            3 => {
                // Upstream restarted and sends what it sent before: the same positions again.
                for number in self.upstream.saturating_sub(arg as u64).max(1)..=self.upstream {
                    self.input(number, &Payload::OrderEvent(event("a", self.now)));
                }
            }
            4 => {
                self.upstream += 1;
                let change = Change::Rules {
                    version: (1 + arg % 4).to_string(),
                    source: String::new(),
                    base: None,
                    note: String::new(),
                };
                self.input(
                    self.upstream,
                    &Payload::Control(ControlRecord { actor: "test".to_owned(), change }),
                );
            }
            5 => {
                self.now += 700;
                self.clock.set(self.now);
                self.tick(who);
            }
            6 | 7 => {
                if self.step(who, 1 + arg, usize::MAX).is_some() && arg.is_multiple_of(2) {
                    self.flush(who);
                }
            }
            // Crash after applying, with some of the outputs sent.
            8 => {
                if self.step(who, 1 + arg, arg) == Some(false) {
                    self.workers[who] = None;
                }
            }
            // Crash between sending and flushing, or while idle.
            9 => {
                let _ = self.step(who, 1 + arg, usize::MAX);
                self.workers[who] = None;
            }
            10 => self.start(who),
            // The owner stalls with outputs in hand; the other takes over, goes on and flushes; then the stalled one
            // wakes up, sends what it had, and tries to flush.
            _ => {
                let Some(worker) = &mut self.workers[who] else { return };
                let step = worker.step(ReadLimit { records: 1 + arg, bytes: 1 << 20 }).unwrap();
                self.log.evict_owner(SPEC.name, 0);
                self.start(1 - who);
                self.drain(1 - who);
                if arg.is_multiple_of(2) {
                    self.flush(1 - who);
                }
                self.append(step.map(|step| step.outputs).unwrap_or_default());
                self.flush(who);
                // It lost its session. Sometimes its process dies of it, else it comes back by itself.
                if arg == 5 {
                    self.workers[who] = None;
                }
            }
        }
    }

    /// Outputs as a receiver keeps them: what is not after the last position is a repeat.
    fn received(&self) -> Vec<(Position, Bytes)> {
        let mut last = None;
        let mut kept = Vec::new();
        for record in self.log.read(Topic::SupplierEvents.name(), 0, 0, all()).unwrap() {
            let headers = record.headers.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
            let position = Envelope::from_headers(headers).unwrap().position.unwrap();
            if last.is_none_or(|last| position.order() > last) {
                last = Some(position.order());
                kept.push((position, record.value));
            }
        }
        kept
    }
    fn rows(&self) -> Rows {
        let mut rows = BTreeMap::new();
        self.log.restore(SPEC.name, 0, &mut |k, v| drop(rows.insert(k.to_vec(), v.to_vec()))).unwrap();
        rows
    }
    /// State and outputs of one clean pass over the same input.
    fn clean(&self) -> (Rows, Vec<(Position, Bytes)>) {
        let mut host = Host::new(SPEC.name, SPEC.input, 0, 1, 1, Counter::new());
        let mut outputs = Vec::new();
        let mut last = None;
        for record in self.log.read(SPEC.input.name(), 0, 0, all()).unwrap() {
            // Repeats are taken out here, so that the host cannot be its own judge.
            let headers = record.headers.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
            let position = Envelope::from_headers(headers).unwrap().position.map(|position| position.order());
            if position.is_some() && position <= last {
                continue;
            }
            last = position.or(last);
            let applied = host.apply(&record, &mut Vec::new());
            assert!(host.apply(&record, &mut Vec::new()).is_empty(), "a redelivery does nothing");
            for output in applied {
                let headers = output.headers.iter().map(|(n, v)| (*n, v.as_bytes()));
                outputs.push((Envelope::from_headers(headers).unwrap().position.unwrap(), output.value));
            }
        }
        let mut rows = BTreeMap::new();
        let counts: Vec<_> = host.fold.counts.iter().map(|(k, _)| k.to_string().into_bytes()).collect();
        let settings: Vec<_> = host.fold.settings.iter().map(|(k, _)| k.clone().into_bytes()).collect();
        for (table, keys) in host.fold.tables().into_iter().zip([counts, settings]) {
            for key in keys {
                rows.insert([&[table.name()], key.as_slice()].concat(), table.encode(&key).unwrap());
            }
        }
        (rows, outputs)
    }
}

fn all() -> ReadLimit {
    ReadLimit { records: usize::MAX, bytes: usize::MAX }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_interleaving_equals_one_clean_pass(
        actions in proptest::collection::vec((0u8..13, 0usize..2, 0usize..6), 1..60),
    ) {
        let mut world = World::new();
        for (action, who, arg) in actions {
            world.play(action, who, arg);
        }
        // Whoever still runs finishes the work, even if it was put out of the group and does not know yet.
        world.start(0);
        world.settle();
        let (rows, outputs) = world.clean();
        prop_assert_eq!(world.received(), outputs);
        prop_assert_eq!(world.rows(), rows);
    }
}

#[test]
fn an_owner_that_was_fenced_comes_back_by_itself_and_sends_what_it_held_meanwhile() {
    let mut world = World::new();
    world.input(1, &Payload::OrderEvent(event("a", 1_000)));
    world.drain(0);
    let before = world.workers[0].as_ref().unwrap().owned().next().unwrap();
    world.log.evict_owner(SPEC.name, 0);
    world.flush(0);
    assert_eq!(world.workers[0].as_ref().unwrap().owned().count(), 0, "its term is over");
    for number in 2..=4 {
        world.input(number, &Payload::OrderEvent(event("a", 1_000)));
    }
    world.settle();
    let after = world.workers[0].as_ref().unwrap().owned().next().unwrap();
    assert!(after.0 == before.0 && after.1 > before.1, "{before:?} {after:?}");
    let (rows, outputs) = world.clean();
    assert_eq!((world.rows(), world.received()), (rows, outputs));
    assert_eq!(world.log.flushed(SPEC.name, 0).unwrap(), 4);
}
