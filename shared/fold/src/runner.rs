//! Drives a worker on a runtime.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use stockade_log::{Ack, Clock, LogError, NewRecord, ReadLimit, Remedy, SharedLog, Ticket, failpoint};
use stockade_model::Timestamp;

use crate::{Board, Fold, Worker, board::Progress, worker::Flush};

/// How long a quiet worker lets changes wait for their flush.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// What is applied before its outputs are sent.
const TOGETHER: ReadLimit = ReadLimit { records: 512, bytes: 256 << 10 };
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
    /// Resolves when at least one has ended; never, when none is under way.
    fn landed(&mut self) -> impl Future<Output = Landed> {
        std::future::poll_fn(|context| {
            let mut landed = Vec::new();
            let mut flying = Vec::with_capacity(self.0.len());
            for (flush, mut ticket) in self.0.drain(..) {
                match Pin::new(&mut ticket).poll(context) {
                    Poll::Ready(result) => landed.push((flush, result)),
                    Poll::Pending => flying.push((flush, ticket)),
                }
            }
            self.0 = flying;
            if landed.is_empty() { Poll::Pending } else { Poll::Ready(landed) }
        })
    }
}

fn note<F: Fold>(worker: &mut Worker<F>, landed: Landed) -> Result<(), LogError> {
    landed.into_iter().try_for_each(|(flush, result)| worker.finish_flush(flush, result))
}

/// Outputs that the log has not acknowledged yet, and how far the fold is with them.
struct Sending {
    answer: Pin<Box<dyn Future<Output = Result<(), LogError>> + Send>>,
    moved: Vec<(u32, Progress)>,
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
}

impl Outputs {
    /// Takes what a step asks for. Waits only when too much has gathered.
    async fn take(&mut self, outputs: Vec<NewRecord>, moved: Vec<(u32, Progress)>) -> Result<(), LogError> {
        self.next.extend(outputs);
        self.moved.extend(moved);
        std::future::poll_fn(|context| match self.go_on(context) {
            Poll::Pending if self.next.len() < TOGETHER.records => Poll::Ready(Ok(())),
            done => done,
        })
        .await
    }

    /// Waits until everything is acknowledged.
    async fn finish(&mut self) -> Result<(), LogError> {
        std::future::poll_fn(|context| self.go_on(context)).await
    }

    fn are_acknowledged(&self) -> bool {
        self.under_way.is_none()
    }

    /// Ready when everything is acknowledged.
    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LogError>> {
        loop {
            if let Some(sending) = &mut self.under_way {
                let Poll::Ready(result) = sending.answer.as_mut().poll(context) else {
                    return Poll::Pending;
                };
                let moved = self.under_way.take().map_or_else(Vec::new, |sending| sending.moved);
                if result.is_err() {
                    return Poll::Ready(result);
                }
                failpoint::hit("after-produce", self.name);
                self.report(moved);
            }
            let moved = std::mem::take(&mut self.moved);
            if self.next.is_empty() {
                self.report(moved);
                return Poll::Ready(Ok(()));
            }
            failpoint::hit("before-produce", self.name);
            let answer = send(self.log.clone(), std::mem::take(&mut self.next), self.ack);
            self.under_way = Some(Sending { answer: Box::pin(answer), moved });
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
    // Partitions whose flush is due. Each is flushed between two steps, for what is flushed may take a while, and who waits for
    // what comes next should not wait for all of them.
    let mut due: Vec<u32> = Vec::new();
    let mut flight = Flight::default();
    let mut outputs = Outputs {
        name,
        log: log.clone(),
        ack,
        board: board.clone(),
        under_way: None,
        next: Vec::new(),
        moved: Vec::new(),
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
                landed = flight.landed() => note(&mut worker, landed).map_err(failed)?,
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
            let are_under_way = !outputs.are_acknowledged();
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                landed = flight.landed() => note(&mut worker, landed).map_err(failed)?,
                done = outputs.finish(), if are_under_way => done.map_err(failed)?,
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
            Some(partition) => {
                outputs.finish().await.map_err(failed)?;
                flight.0.extend(worker.begin_flush_of(partition, 1));
            }
            None if outputs.are_acknowledged() => flight.0.extend(worker.begin_flush(false)),
            None => {}
        }
    }
    outputs.finish().await.map_err(failed)?;
    board.report_owned(name, std::iter::empty());
    for last in [false, true] {
        if last {
            flight.0.extend(worker.begin_flush(true));
        }
        while !flight.0.is_empty() {
            let landed = flight.landed().await;
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
