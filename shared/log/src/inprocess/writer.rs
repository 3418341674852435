//! Who writes to the store, and in which order: one thread for the appends of all callers and the commits of all folds. Threads of
//! folds may stand back for others, and one of these that held what everybody writes through would hold up whoever it stands back for.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::Shared;
use crate::{Ack, Commit, LogError, NewRecord, Placed, Ticket, store::Store};

/// Appends waiting for the writer.
const QUEUE_BYTES_MAX: usize = 64 << 20;
const QUEUE_RECORDS_MAX: usize = 500_000;
/// What is so small that whoever sends it may write it where nothing is before it: a change of thread would cost more.
const SMALL_BYTES: usize = 4 << 10;
const SMALL_RECORDS: usize = 8;

type Sender<T> = oneshot::Sender<Result<T, LogError>>;

/// An append that is not written yet.
struct Pending {
    batch: Vec<NewRecord>,
    ack: Ack,
    answer: Sender<Vec<Placed>>,
}

#[derive(Default)]
struct Waiting {
    appends: Vec<Pending>,
    commits: VecDeque<(Commit, Sender<()>)>,
    /// The writer has taken something that is not written yet.
    busy: bool,
    records: usize,
    bytes: usize,
    closed: bool,
}

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

impl Queue {
    /// Takes nothing more; what waits is still written.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.filled.notify_all();
    }
}

fn closing<T>() -> Ticket<T> {
    Ticket::ready(Err(LogError::Stopped("it is closing".to_owned())))
}

impl<S: Store> Shared<S> {
    /// Writes what waits until the queue is closed and empty. A commit comes after the appends that are there, for nobody at the edge
    /// waits for one, and between two commits whoever came meanwhile is served.
    pub(super) fn write_loop(&self) {
        loop {
            let (group, commit) = {
                let mut waiting = self.queue.waiting.lock();
                while waiting.appends.is_empty() && waiting.commits.is_empty() {
                    if waiting.closed {
                        return;
                    }
                    self.queue.filled.wait(&mut waiting);
                }
                (waiting.records, waiting.bytes) = (0, 0);
                waiting.busy = true;
                (std::mem::take(&mut waiting.appends), waiting.commits.pop_front())
            };
            if !group.is_empty() {
                self.write_group(group);
            }
            if let Some((commit, answer)) = commit {
                // Whoever asked may have gone; what is written stays.
                let _ = answer.send(self.commit_now(commit));
            }
            self.queue.waiting.lock().busy = false;
        }
    }

    /// Writes a group of appends, syncs once if any of them asks for it, makes them visible, then answers.
    fn write_group(&self, group: Vec<Pending>) {
        let (batches, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|pending| ((pending.batch, pending.ack), pending.answer)).unzip();
        let mut placed = self.write_all(batches).map(Vec::into_iter);
        for sender in answers {
            let answer = match &mut placed {
                Ok(placed) => Ok(placed.next().unwrap_or_default()),
                Err(error) => Err(error.clone()),
            };
            // The caller may have given up waiting; the records stay.
            let _ = sender.send(answer);
        }
    }

    /// Hands an append of so many bytes to the writer.
    pub(super) fn enqueue(&self, batch: Vec<NewRecord>, ack: Ack, bytes: usize) -> Ticket {
        let mut waiting = self.queue.waiting.lock();
        if waiting.closed {
            return closing();
        }
        let is_small = batch.len() <= SMALL_RECORDS && bytes <= SMALL_BYTES;
        let is_next = waiting.appends.is_empty() && waiting.commits.is_empty() && !waiting.busy;
        if ack == Ack::Ordered && is_small && is_next {
            // It needs no fsync. The lock on the queue keeps everyone else behind it.
            return Ticket::ready(self.write_one(batch, ack));
        }
        if waiting.records + batch.len() > QUEUE_RECORDS_MAX || waiting.bytes + bytes > QUEUE_BYTES_MAX {
            let (records, bytes) = (waiting.records, waiting.bytes);
            return Ticket::ready(Err(LogError::Full { records, bytes }));
        }
        waiting.records += batch.len();
        waiting.bytes += bytes;
        let (answer, ticket) = Ticket::pending();
        waiting.appends.push(Pending { batch, ack, answer });
        drop(waiting);
        self.queue.filled.notify_one();
        ticket
    }

    /// Hands a commit to the writer. There is no bound on these: of each partition of a fold one is under way.
    pub(super) fn enqueue_commit(&self, commit: Commit) -> Ticket<()> {
        let mut waiting = self.queue.waiting.lock();
        if waiting.closed {
            return closing();
        }
        let (answer, ticket) = Ticket::pending();
        waiting.commits.push_back((commit, answer));
        drop(waiting);
        self.queue.filled.notify_one();
        ticket
    }
}
