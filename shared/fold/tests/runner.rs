//! What waits for what while a fold runs: nobody who waits for an effect waits for what the log has still to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stockade_fold::{AnyTable, Board, Dest, Fold, Input, Out, Spec, Table, Worker};
use stockade_log::{
    Ack, Bounds, Commit, Committed, Consumer, Horizon, Log, LogError, Memory, MemoryDisk, Mode, NewRecord,
    Placed, ReadLimit, Record, Route, SharedLog, Ticket, TopicSpec, conformance::ManualClock,
};
use stockade_model::{
    Envelope, EventId, OrderEvent, OrderEventKind, Payload, SupplierId, Timestamp, Topic, outcome::Outcome,
};
use tokio::sync::{mpsc, oneshot};

/// Sends each event on, and tells where it lay.
struct Passes(Table<SupplierId, u64>);

impl Fold for Passes {
    type Effect = u64;
    fn apply(&mut self, input: &Input<'_>, out: &mut Out<u64>) {
        let Payload::OrderEvent(event) = input.payload else { return };
        *self.0.edit_or(&event.supplier, || 0) += 1;
        out.emit(Topic::SupplierEvents, Dest::Partition(0), Payload::Outcome(Outcome::of(event.clone())));
        out.effect(input.offset);
    }
    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.0]
    }
}

const SPEC: Spec = Spec {
    name: "passes",
    input: Topic::EventsInbox,
    mode: Mode::All,
    ack: Ack::Ordered,
    partitions: 2,
    flush_records: 1,
};

type Held = (Result<Vec<Placed>, LogError>, oneshot::Sender<Result<Vec<Placed>, LogError>>);

/// A log that writes what a fold sends, and keeps the acknowledgement until it is told to give it.
struct Keeps {
    log: Memory,
    held: mpsc::UnboundedSender<Held>,
    commits: Mutex<Vec<u64>>,
}

impl Log for Keeps {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.log.ensure_topic(spec)
    }
    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }
    fn generation(&self, topic: &str) -> Result<u32, LogError> {
        self.log.generation(topic)
    }
    fn append(&self, batch: Vec<NewRecord>, ack: Ack) -> Ticket {
        let of_fold = batch.iter().any(|record| record.topic == Topic::SupplierEvents.name());
        let written = self.log.append(batch, ack);
        if !of_fold {
            return written;
        }
        let (sender, ticket) = Ticket::pending();
        let _ = self.held.send((written.wait(), sender));
        ticket
    }
    fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        self.log.bounds(topic, partition)
    }
    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        self.log.read(topic, partition, from, limit)
    }
    fn join(&self, group: &'static str, topic: &str, mode: Mode) -> Result<Box<dyn Consumer>, LogError> {
        self.log.join(group, topic, mode)
    }
    fn horizon(&self, topic: &str, partition: u32) -> Horizon {
        self.log.horizon(topic, partition)
    }
    fn commit(&self, commit: Commit) -> Ticket<()> {
        self.commits.lock().unwrap().push(commit.next_offset);
        self.log.commit(commit)
    }
    fn flushed(&self, group: &'static str, partition: u32) -> Result<u64, LogError> {
        self.log.flushed(group, partition)
    }
    fn restore(
        &self,
        group: &'static str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Option<Committed>, LogError> {
        self.log.restore(group, partition, each)
    }
    fn trim(&self, now_ms: i64) -> Result<u64, LogError> {
        self.log.trim(now_ms)
    }
    fn close(&self) -> Result<(), LogError> {
        self.log.close()
    }
}

fn log() -> (Arc<Keeps>, mpsc::UnboundedReceiver<Held>, ManualClock) {
    let clock = ManualClock::default();
    clock.set(1_000);
    let memory = Memory::open(MemoryDisk::default(), clock.clock()).unwrap();
    for topic in Topic::ALL {
        let partitions = topic.partitions(SPEC.partitions);
        memory.ensure_topic(&TopicSpec { name: topic.name(), partitions, retention_ms: None }).unwrap();
    }
    let (held, kept) = mpsc::unbounded_channel();
    (Arc::new(Keeps { log: memory, held, commits: Mutex::default() }), kept, clock)
}

/// An event of about so many bytes.
fn send(log: &Keeps, partition: u32, bytes: usize) {
    let (id, supplier) = (EventId::new("e").unwrap(), SupplierId::new("s").unwrap());
    let source = "x".repeat(bytes);
    let event = OrderEvent::bare(id, &source, OrderEventKind::Placed, Timestamp::from_ms(1), supplier);
    let payload = Payload::OrderEvent(event);
    let record = NewRecord {
        topic: SPEC.input.name(),
        route: Route::Partition(partition),
        key: Bytes::new(),
        headers: Envelope::new(payload.kind(), "r", "test").headers(),
        value: payload.encode().into(),
    };
    log.append(vec![record], Ack::Ordered).wait().unwrap();
}

#[tokio::test]
async fn what_is_applied_is_told_while_the_log_has_not_acknowledged_what_came_of_the_step_before() {
    let (log, mut kept, clock) = log();
    let board = Board::default();
    let shared: SharedLog = log.clone();
    let worker = Worker::join(SPEC, shared.clone(), |_| Passes(Table::new(1))).unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let (end, ended) = oneshot::channel::<()>();
    let run = tokio::spawn(stockade_fold::run(
        worker,
        shared,
        clock.clock(),
        board.clone(),
        move |_, effects: Vec<u64>| {
            for offset in effects {
                let _ = tell.send(offset);
            }
        },
        async move { drop(ended.await) },
    ));
    send(&log, 0, 10);
    assert_eq!(told.recv().await, Some(0));
    let (written, first) = kept.recv().await.unwrap();
    send(&log, 0, 10);
    assert_eq!(told.recv().await, Some(1), "told, though nothing was acknowledged");
    send(&log, 0, 10);
    assert_eq!(told.recv().await, Some(2), "and so is the next");
    // Whatever the fold can do by itself it has done.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(kept.try_recv().is_err(), "the next is sent when the one before is acknowledged");
    assert_eq!(board.progress("passes", 0).next, 0, "nor is anything reported");
    assert_eq!(*log.commits.lock().unwrap(), Vec::<u64>::new(), "nor flushed");
    first.send(written).unwrap();
    let (written, next) = kept.recv().await.unwrap();
    let placed: Vec<u64> = written.as_ref().unwrap().iter().map(|placed| placed.offset).collect();
    assert_eq!(placed, [1, 2], "in order and without a gap, what has gathered in one");
    next.send(written).unwrap();
    board.wait("passes", 0, 3).await;
    end.send(()).unwrap();
    run.await.unwrap().unwrap();
    assert_eq!(log.flushed("passes", 0).unwrap(), 3);
}

#[tokio::test]
async fn a_flush_that_is_due_waits_for_the_log_and_nobody_waits_for_the_flush() {
    let (log, mut kept, clock) = log();
    let shared: SharedLog = log.clone();
    let worker = Worker::join(SPEC, shared.clone(), |_| Passes(Table::new(1))).unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let (end, ended) = oneshot::channel::<()>();
    let tell = move |_, effects: Vec<u64>| {
        for offset in effects {
            let _ = tell.send(offset);
        }
    };
    let board = Board::default();
    let run =
        tokio::spawn(stockade_fold::run(worker, shared, clock.clock(), board.clone(), tell, async move {
            drop(ended.await);
        }));
    send(&log, 0, 10);
    assert_eq!(told.recv().await, Some(0));
    let (written, first) = kept.recv().await.unwrap();
    // For as long as it takes until a flush is due.
    let begun = std::time::Instant::now();
    let mut sent = 1;
    while begun.elapsed() < std::time::Duration::from_millis(700) {
        if sent < 1_000 {
            send(&log, 0, 10);
            assert_eq!(told.recv().await, Some(sent));
            sent += 1;
        }
        tokio::task::yield_now().await;
    }
    send(&log, 0, 10);
    assert_eq!(told.recv().await, Some(sent), "told, though a flush is due and cannot begin");
    sent += 1;
    assert_eq!(
        *log.commits.lock().unwrap(),
        Vec::<u64>::new(),
        "nothing is flushed that is not acknowledged"
    );
    first.send(written).unwrap();
    let (written, next) = kept.recv().await.unwrap();
    let flushed = log.commits.lock().unwrap().clone();
    assert!(flushed.iter().all(|next| *next <= 1), "at most what was acknowledged: {flushed:?}");
    next.send(written).unwrap();
    board.wait("passes", 0, sent).await;
    end.send(()).unwrap();
    run.await.unwrap().unwrap();
    assert_eq!(log.flushed("passes", 0).unwrap(), sent);
}

#[test]
fn a_partition_with_little_to_do_waits_for_a_quantum_of_another_and_is_told_at_once() {
    let (log, _kept, _clock) = log();
    let mut worker = Worker::join(SPEC, log.clone(), |_| Passes(Table::new(1))).unwrap();
    while worker.step(ReadLimit::default()).unwrap().is_some() {}
    for _ in 0..8 {
        send(&log, 0, 30_000);
    }
    send(&log, 1, 10);
    let mut told = Vec::new();
    let most = ReadLimit { records: 100, bytes: 1 << 20 };
    let step =
        worker.steps(most, |partition, effects| told.push((partition, effects.len()))).unwrap().unwrap();
    assert_eq!((step.applied, step.outputs.len()), (9, 9));
    let behind = told.iter().position(|(partition, _)| *partition == 1).unwrap();
    let before: usize = told[..behind].iter().map(|(_, effects)| effects).sum();
    assert!(before <= 2, "{told:?}");
    for _ in 0..8 {
        send(&log, 0, 30_000);
    }
    let step = worker.steps(ReadLimit { bytes: 100_000, ..most }, |_, _| {}).unwrap().unwrap();
    assert!((3..=4).contains(&step.applied), "{}", step.applied);
}
