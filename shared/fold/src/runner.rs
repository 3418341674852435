//! Drives a worker on a runtime.

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use stockade_log::{Ack, Clock, LogError, NewRecord, Remedy, SharedLog, Ticket, failpoint};
use stockade_model::Timestamp;

use crate::{Board, Fold, Worker, worker::Flush};

/// How long a quiet worker lets changes wait for their flush.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// Records applied before their outputs are sent.
const RECORDS_TOGETHER: usize = 512;
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
    /// Called after each batch, before its outputs are acknowledged.
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
    let mut flight = Flight::default();
    loop {
        if let Some(step) = worker.steps(RECORDS_TOGETHER).map_err(failed)? {
            for (partition, batch) in step.effects {
                effects.take(partition, batch);
            }
            if !step.outputs.is_empty() {
                failpoint::hit("before-produce", name);
                send(&log, step.outputs, ack).await.map_err(failed)?;
                failpoint::hit("after-produce", name);
            }
            for (partition, progress) in step.moved {
                board.report(name, partition, progress);
            }
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
        } else {
            let now = Timestamp::from_ms(clock());
            send(&log, worker.ticks(now), Ack::Ordered).await.map_err(failed)?;
            let deadline = worker.deadline().map_or(FLUSH_INTERVAL, |due| {
                Duration::from_millis((due.ms() - now.ms()).clamp(1, 500) as u64)
            });
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                landed = flight.landed() => note(&mut worker, landed).map_err(failed)?,
                () = worker.wait() => {}
                () = tokio::time::sleep_until(flush_at) => {}
                () = tokio::time::sleep(deadline) => {}
            }
        }
        let due = tokio::time::Instant::now() >= flush_at;
        flight.0.extend(worker.begin_flush(due));
        if due {
            board.report_owned(name, worker.owned().map(|(partition, _)| partition));
            worker.prune().map_err(failed)?;
            flush_at = tokio::time::Instant::now() + FLUSH_INTERVAL;
        }
    }
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

async fn send(log: &SharedLog, outputs: Vec<NewRecord>, ack: Ack) -> Result<(), LogError> {
    if outputs.is_empty() {
        return Ok(());
    }
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
