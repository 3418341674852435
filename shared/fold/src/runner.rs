//! Drives a worker on a runtime.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use stockade_log::{
    Ack, Clock, Commit, LogError, NewRecord, ReadLimit, Remedy, SharedLog, Ticket, failpoint,
};
use stockade_model::Timestamp;

use crate::{Board, Fold, Worker, board::Progress, worker::Flush};

/// How long a quiet worker lets changes wait for their flush.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// What is applied before its outputs are sent.
const TOGETHER: ReadLimit = ReadLimit { records: 512, bytes: 256 << 10 };
/// Outputs that may gather while the log is busy with those before them.
const GATHERED_RECORDS_MAX: usize = 8 * TOGETHER.records;
/// First pause before an append that was refused for a full queue or disk is tried again; each further one is twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(2);
/// Longest such pause.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(256);

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
#[error("fold {fold} stopped: {source}")]
pub struct RunError {
    /// The fold.
    pub fold: &'static str,
    /// The reason.
    #[source]
    pub source: LogError,
}

/// Takes the effects of a fold, by partition and in order.
pub trait Effects<E>: Send + 'static {
    /// Called after each batch. Its outputs are not acknowledged yet, nor need be those of batches before it.
    fn take(&mut self, partition: u32, effects: Vec<E>);
}

impl<E, T: FnMut(u32, Vec<E>) + Send + 'static> Effects<E> for T {
    fn take(&mut self, partition: u32, effects: Vec<E>) {
        self(partition, effects);
    }
}

/// Flushes under way.
#[derive(Default)]
struct Flight(Vec<(Flush, Ticket<()>)>);

/// How flushes ended.
type Landed = Vec<(Flush, Result<(), LogError>)>;

impl Flight {
    /// Takes those that have ended.
    fn landed(&mut self, context: &mut Context<'_>) -> Landed {
        let mut landed = Vec::new();
        self.0.retain_mut(|(flush, ticket)| match Pin::new(ticket).poll(context) {
            Poll::Ready(result) => {
                landed.push((*flush, result));
                false
            }
            Poll::Pending => true,
        });
        landed
    }
}

fn note<F: Fold>(worker: &mut Worker<F>, landed: Landed) -> Result<(), LogError> {
    landed.into_iter().try_for_each(|(flush, result)| worker.finish_flush(flush, result))
}

/// Outputs that the log has not acknowledged yet, and how far the fold is with them.
struct Sending {
    answer: Pin<Box<dyn Future<Output = Result<(), LogError>> + Send>>,
    moved: Vec<(u32, Progress)>,
    flushes: Vec<(Flush, Commit)>,
}

/// Sends outputs in order and gapless: one append at a time, and the next one when that is acknowledged. What is applied meanwhile
/// is told at once, for nobody who waits for it waits for what the log has still to do; its outputs gather, up to a bound.
struct Outputs {
    name: &'static str,
    log: SharedLog,
    ack: Ack,
    board: Board,
    under_way: Option<Sending>,
    /// What comes after that.
    next: Vec<NewRecord>,
    moved: Vec<(u32, Progress)>,
    /// What is flushed once all of that is acknowledged.
    flushes: Vec<(Flush, Commit)>,
    flight: Flight,
}

impl Outputs {
    /// Takes what a step asks for. Waits only when too much has gathered.
    async fn take(&mut self, outputs: Vec<NewRecord>, moved: Vec<(u32, Progress)>) -> Result<(), LogError> {
        self.next.extend(outputs);
        self.moved.extend(moved);
        std::future::poll_fn(|context| match self.go_on(context) {
            Poll::Pending if self.next.len() < GATHERED_RECORDS_MAX => Poll::Ready(Ok(())),
            done => done,
        })
        .await
    }

    /// Flushes once everything so far is acknowledged, which is not waited for.
    fn flush(&mut self, flushes: impl IntoIterator<Item = (Flush, Commit)>) {
        self.flushes.extend(flushes);
        if self.under_way.is_none() && self.next.is_empty() {
            let flushes = std::mem::take(&mut self.flushes);
            self.commit(flushes);
        }
    }

    fn commit(&mut self, flushes: Vec<(Flush, Commit)>) {
        self.flight.0.extend(flushes.into_iter().map(|(flush, commit)| (flush, self.log.commit(commit))));
    }

    /// Waits until everything is acknowledged.
    async fn finish(&mut self) -> Result<(), LogError> {
        std::future::poll_fn(|context| self.go_on(context)).await
    }

    /// Resolves when what was under way is acknowledged or a flush has ended; never, when there is neither. Gives how flushes ended.
    async fn news(&mut self) -> Result<Landed, LogError> {
        std::future::poll_fn(|context| {
            let is_sent = self.under_way.is_some() && self.go_on(context)?.is_ready();
            let landed = self.flight.landed(context);
            if is_sent || !landed.is_empty() { Poll::Ready(Ok(landed)) } else { Poll::Pending }
        })
        .await
    }

    /// Whether a flush has not ended yet.
    fn is_flushing(&self) -> bool {
        !self.flight.0.is_empty()
    }

    /// Ready when everything is acknowledged.
    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LogError>> {
        loop {
            if let Some(sending) = &mut self.under_way {
                let Poll::Ready(result) = sending.answer.as_mut().poll(context) else {
                    return Poll::Pending;
                };
                let sent = self.under_way.take();
                if result.is_err() {
                    return Poll::Ready(result);
                }
                failpoint::hit("after-produce", self.name);
                if let Some(sent) = sent {
                    self.report(sent.moved);
                    self.commit(sent.flushes);
                }
            }
            let (moved, flushes) = (std::mem::take(&mut self.moved), std::mem::take(&mut self.flushes));
            if self.next.is_empty() {
                self.report(moved);
                self.commit(flushes);
                return Poll::Ready(Ok(()));
            }
            failpoint::hit("before-produce", self.name);
            let answer = send(self.log.clone(), std::mem::take(&mut self.next), self.ack);
            self.under_way = Some(Sending { answer: Box::pin(answer), moved, flushes });
        }
    }

    fn report(&self, moved: Vec<(u32, Progress)>) {
        for (partition, progress) in moved {
            self.board.report(self.name, partition, progress);
        }
    }
}

/// Runs `worker` until `shutdown` resolves, then flushes once more. One task owns everything by value; a failed
/// append stops the fold, because sends must be gapless. Records are applied while a flush is under way. Give it a
/// thread of its own: restoring a partition blocks.
pub async fn run<F: Fold>(
    mut worker: Worker<F>,
    log: SharedLog,
    clock: Clock,
    board: Board,
    mut effects: impl Effects<F::Effect>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let (name, ack) = (worker.spec().name, worker.spec().ack);
    let failed = |source| RunError { fold: name, source };
    tokio::pin!(shutdown);
    let mut flush_at = tokio::time::Instant::now() + FLUSH_INTERVAL;
    // Partitions whose flush is due. Each is flushed between two steps, for what has changed is copied, and who waits for what comes
    // next should not wait for all of them.
    let mut due: Vec<u32> = Vec::new();
    let mut outputs = Outputs {
        name,
        log: log.clone(),
        ack,
        board: board.clone(),
        under_way: None,
        next: Vec::new(),
        moved: Vec::new(),
        flushes: Vec::new(),
        flight: Flight::default(),
    };
    loop {
        let step = worker.steps(TOGETHER, |partition, batch| effects.take(partition, batch));
        if let Some(step) = step.map_err(failed)? {
            outputs.take(step.outputs, step.moved).await.map_err(failed)?;
            if step.applied == 0 {
                board.report_owned(name, worker.owned().map(|(partition, _)| partition));
            }
            // A busy fold must still let others run and see the shutdown.
            tokio::task::consume_budget().await;
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                news = outputs.news() => note(&mut worker, news.map_err(failed)?).map_err(failed)?,
                () = std::future::ready(()) => {}
            }
        } else if due.is_empty() {
            let now = Timestamp::from_ms(clock());
            let ticks = worker.ticks(now);
            if !ticks.is_empty() {
                outputs.finish().await.map_err(failed)?;
                send(log.clone(), ticks, Ack::Ordered).await.map_err(failed)?;
            }
            let deadline = worker.deadline().map_or(FLUSH_INTERVAL, |due| {
                Duration::from_millis((due.ms() - now.ms()).clamp(1, 500) as u64)
            });
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                news = outputs.news() => note(&mut worker, news.map_err(failed)?).map_err(failed)?,
                () = worker.wait() => {}
                () = tokio::time::sleep_until(flush_at) => {}
                () = tokio::time::sleep(deadline) => {}
            }
        }
        if tokio::time::Instant::now() >= flush_at {
            due = worker.owned().map(|(partition, _)| partition).collect();
            board.report_owned(name, due.iter().copied());
            worker.prune().map_err(failed)?;
            flush_at = tokio::time::Instant::now() + FLUSH_INTERVAL;
        }
        match due.pop() {
            Some(partition) => outputs.flush(worker.prepare_flush_of(partition, 1)),
            None => outputs.flush(worker.prepare_flush(false)),
        }
    }
    outputs.finish().await.map_err(failed)?;
    board.report_owned(name, std::iter::empty());
    for last in [false, true] {
        if last {
            outputs.flush(worker.prepare_flush(true));
        }
        while outputs.is_flushing() {
            let landed = outputs.news().await.map_err(failed)?;
            note(&mut worker, landed).map_err(failed)?;
        }
    }
    Ok(())
}

async fn send(log: SharedLog, outputs: Vec<NewRecord>, ack: Ack) -> Result<(), LogError> {
    let mut pause = RETRY_PAUSE;
    loop {
        // A copy is for another try; headers are most of what it costs.
        match log.append(outputs.clone(), ack).await {
            Err(error) if error.remedy() == Remedy::Retry => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
            other => return other.map(|_| ()),
        }
    }
}
