//! A worker that a scheduler steps, and lets die, stall or come back wherever it likes.

use stockade_fold::{Fold, Spec, Worker};
use stockade_log::{Ack, LogError, NewRecord, ReadLimit, SharedLog};
use stockade_model::Timestamp;

/// What happens to a step between reading and the end of its flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: its outputs are sent.
    Goes,
    /// Its outputs are sent and it flushes.
    GoesAndFlushes,
    /// The process dies after so many outputs.
    DiesAfterOutputs(usize),
    /// The process dies between its outputs and its flush.
    DiesBeforeFlush,
    /// It stops for long with its outputs in hand; see [`Actor::wake`].
    Stalls,
    /// The flush goes first and the process dies before the outputs: what no correct runner does.
    FlushesFirstAndDies,
    /// A takeover sends nothing of what was retained: what no correct runner does.
    ForgetsOutputs,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// There was nothing to do.
    Idle,
    /// It did something.
    Moved,
    /// Its process is dead.
    Died,
}

trait Stage: Send {
    fn spec(&self) -> Spec;
    fn join(&mut self, log: &SharedLog) -> Result<(), LogError>;
    fn leave(&mut self);
    fn runs(&self) -> bool;
    /// Outputs of one step, and whether it took a batch; `None` when there is nothing to do.
    fn step(&mut self, limit: ReadLimit) -> Result<Option<(Vec<NewRecord>, bool)>, LogError>;
    fn flush(&mut self) -> Result<(), LogError>;
    fn prune(&mut self) -> Result<(), LogError>;
    fn owned(&self) -> Vec<u32>;
    fn deadline(&self) -> Option<Timestamp>;
    fn ticks(&mut self, now: Timestamp) -> Vec<NewRecord>;
}

struct StageOf<F: Fold, M, S> {
    spec: Spec,
    worker: Option<Worker<F>>,
    make: M,
    sink: S,
}

impl<F, M, S> Stage for StageOf<F, M, S>
where
    F: Fold,
    M: Fn(u32) -> F + Clone + Send + 'static,
    S: FnMut(u32, Vec<F::Effect>) + Send,
{
    fn spec(&self) -> Spec {
        self.spec
    }
    fn join(&mut self, log: &SharedLog) -> Result<(), LogError> {
        if self.worker.is_none() {
            self.worker = Some(Worker::join(self.spec, log.clone(), self.make.clone())?);
        }
        Ok(())
    }
    fn leave(&mut self) {
        self.worker = None;
    }
    fn runs(&self) -> bool {
        self.worker.is_some()
    }
    fn step(&mut self, limit: ReadLimit) -> Result<Option<(Vec<NewRecord>, bool)>, LogError> {
        let Some(worker) = &mut self.worker else { return Ok(None) };
        let Some(step) = worker.step(limit)? else { return Ok(None) };
        for (partition, effects) in step.effects {
            (self.sink)(partition, effects);
        }
        Ok(Some((step.outputs, !step.moved.is_empty())))
    }
    fn flush(&mut self) -> Result<(), LogError> {
        self.worker.as_mut().map_or(Ok(()), |worker| worker.flush(true))
    }
    fn prune(&mut self) -> Result<(), LogError> {
        self.worker.as_mut().map_or(Ok(()), Worker::prune)
    }
    fn owned(&self) -> Vec<u32> {
        let owned = self.worker.iter().flat_map(Worker::owned);
        owned.map(|(partition, _)| partition).collect()
    }
    fn deadline(&self) -> Option<Timestamp> {
        self.worker.as_ref().and_then(Worker::deadline)
    }
    fn ticks(&mut self, now: Timestamp) -> Vec<NewRecord> {
        self.worker.as_mut().map_or_else(Vec::new, |worker| worker.ticks(now))
    }
}

/// One fold of one process.
pub struct Actor {
    stage: Box<dyn Stage>,
    /// Outputs in hand while it is stalled.
    stalled: Option<Vec<NewRecord>>,
}

impl Actor {
    /// An actor that has not joined yet.
    pub fn new<F: Fold>(
        spec: Spec,
        make: impl Fn(u32) -> F + Clone + Send + 'static,
        sink: impl FnMut(u32, Vec<F::Effect>) + Send + 'static,
    ) -> Self {
        Self { stage: Box::new(StageOf { spec, worker: None, make, sink }), stalled: None }
    }
    /// What it runs.
    pub fn spec(&self) -> Spec {
        self.stage.spec()
    }
    /// Joins its group, if it is not a member.
    pub fn join(&mut self, log: &SharedLog) -> Result<(), LogError> {
        self.stage.join(log)
    }
    /// Dies with its process.
    pub fn die(&mut self) {
        self.stage.leave();
        self.stalled = None;
    }
    /// Whether it waits with outputs in hand.
    pub fn stalls(&self) -> bool {
        self.stalled.is_some()
    }

    /// One step with this fate.
    pub fn step(&mut self, log: &SharedLog, limit: ReadLimit, fate: Fate) -> Result<Stepped, LogError> {
        if !self.stage.runs() || self.stalls() {
            return Ok(Stepped::Idle);
        }
        let Some((mut outputs, took)) = self.stage.step(limit)? else { return Ok(Stepped::Idle) };
        let send = |outputs: Vec<NewRecord>| match outputs.is_empty() {
            true => Ok(()),
            false => log.append(outputs, Ack::Ordered).wait().map(drop),
        };
        match fate {
            Fate::ForgetsOutputs if !took => Ok(Stepped::Moved),
            Fate::Goes | Fate::ForgetsOutputs => send(outputs).map(|()| Stepped::Moved),
            Fate::GoesAndFlushes => {
                send(outputs)?;
                self.stage.flush()?;
                Ok(Stepped::Moved)
            }
            Fate::DiesAfterOutputs(count) => {
                outputs.truncate(count);
                send(outputs).map(|()| Stepped::Died)
            }
            Fate::DiesBeforeFlush => send(outputs).map(|()| Stepped::Died),
            Fate::FlushesFirstAndDies => self.stage.flush().map(|()| Stepped::Died),
            Fate::Stalls => {
                self.stalled = Some(outputs);
                Ok(Stepped::Moved)
            }
        }
    }

    /// A stalled one wakes up: it sends what it had and tries to flush, which fails if it was put out of its group. How it
    /// comes back is its own affair.
    pub fn wake(&mut self, log: &SharedLog) -> Result<(), LogError> {
        let Some(outputs) = self.stalled.take() else { return Ok(()) };
        if !outputs.is_empty() {
            log.append(outputs, Ack::Ordered).wait()?;
        }
        self.stage.flush()
    }

    /// The partitions that it owns, as far as it knows.
    pub fn owned(&self) -> Vec<u32> {
        self.stage.owned()
    }

    /// Flushes what it owns.
    pub fn flush(&mut self) -> Result<(), LogError> {
        if self.stalls() { Ok(()) } else { self.stage.flush() }
    }
    /// Forgets what owners elsewhere flushed.
    pub fn prune(&mut self) -> Result<(), LogError> {
        if self.stalls() { Ok(()) } else { self.stage.prune() }
    }
    /// The earliest deadline of what it owns.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.stalls() { None } else { self.stage.deadline() }
    }
    /// Appends the ticks that are due by its own clock.
    pub fn tick(&mut self, log: &SharedLog, now: Timestamp) -> Result<(), LogError> {
        if self.stalls() {
            return Ok(());
        }
        let ticks = self.stage.ticks(now);
        if ticks.is_empty() { Ok(()) } else { log.append(ticks, Ack::Ordered).wait().map(drop) }
    }
}
