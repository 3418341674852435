//! Drives workers by hand: one thread, one order, time as data.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use stockade_fold::{Fold, Worker};
use stockade_log::{Ack, Clock, LogError, NewRecord, ReadLimit, SharedLog};
use stockade_model::Timestamp;

/// Why the pump stopped: the log failed.
pub type PumpError = LogError;

/// A worker with what takes its effects, whatever its fold.
trait Stage: Send {
    /// One step; whether there was anything to do.
    fn step(&mut self, log: &SharedLog) -> Result<bool, LogError>;
    fn flush(&mut self) -> Result<(), LogError>;
    fn pass(&mut self) -> Result<(), LogError>;
    fn deadline(&self) -> Option<Timestamp>;
    fn ticks(&mut self, now: Timestamp) -> Vec<NewRecord>;
}

struct StageOf<F: Fold, S> {
    worker: Worker<F>,
    sink: S,
}

impl<F: Fold, S: FnMut(Vec<F::Effect>) + Send> Stage for StageOf<F, S> {
    fn step(&mut self, log: &SharedLog) -> Result<bool, LogError> {
        let Some(step) = self.worker.step(ReadLimit::default())? else { return Ok(false) };
        for (_, effects) in step.effects {
            (self.sink)(effects);
        }
        if !step.outputs.is_empty() {
            log.append(step.outputs, Ack::Ordered).wait()?;
        }
        Ok(true)
    }
    fn flush(&mut self) -> Result<(), LogError> {
        self.worker.flush(true)
    }
    fn pass(&mut self) -> Result<(), LogError> {
        self.worker.pass()
    }
    fn deadline(&self) -> Option<Timestamp> {
        self.worker.deadline()
    }
    fn ticks(&mut self, now: Timestamp) -> Vec<NewRecord> {
        self.worker.ticks(now)
    }
}

/// Time that only the pump moves.
#[derive(Clone, Default)]
pub(crate) struct EventClock(Arc<AtomicI64>);

/// The scheduler.
#[derive(Default)]
pub struct Pump {
    clock: EventClock,
    stages: Vec<Box<dyn Stage>>,
}

impl Pump {
    /// The clock to open the log with.
    pub fn clock(&self) -> Clock {
        let time = self.clock.0.clone();
        Arc::new(move || time.load(Ordering::Relaxed))
    }
    /// The time it is.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.clock.0.load(Ordering::Relaxed))
    }
    /// Adds a stage; stages are stepped in the order added.
    pub fn add<F: Fold>(&mut self, worker: Worker<F>, sink: impl FnMut(Vec<F::Effect>) + Send + 'static) {
        self.stages.push(Box::new(StageOf { worker, sink }));
    }
    /// Steps every stage until nobody has anything to do.
    pub fn drain(&mut self, log: &SharedLog) -> Result<(), PumpError> {
        loop {
            let mut busy = false;
            for stage in &mut self.stages {
                while stage.step(log)? {
                    busy = true;
                }
            }
            if !busy {
                return Ok(());
            }
        }
    }
    /// Moves time to `to`; every deadline on the way gets its tick at its own time, drained before the next.
    pub fn advance(&mut self, to: Timestamp, log: &SharedLog) -> Result<(), PumpError> {
        while let Some(due) =
            self.stages.iter().filter_map(|stage| stage.deadline()).min().filter(|due| *due <= to)
        {
            let now = due.max(self.now());
            self.clock.0.store(now.ms(), Ordering::Relaxed);
            for stage in &mut self.stages {
                let ticks = stage.ticks(now);
                if !ticks.is_empty() {
                    log.append(ticks, Ack::Ordered).wait()?;
                }
            }
            self.drain(log)?;
        }
        self.clock.0.fetch_max(to.ms(), Ordering::Relaxed);
        Ok(())
    }
    /// Forgets what every stage has read, and trims the log to what is younger than its topics keep: for plays that end with
    /// their process. See [`Worker::pass`].
    pub fn pass(&mut self, log: &SharedLog) -> Result<(), PumpError> {
        self.stages.iter_mut().try_for_each(|stage| stage.pass())?;
        log.trim(self.now().ms()).map(drop)
    }
    /// Flushes every stage.
    pub fn flush(&mut self) -> Result<(), PumpError> {
        self.stages.iter_mut().try_for_each(|stage| stage.flush())
    }
}
