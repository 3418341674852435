//! Drives workers by hand: one thread, one order, time as data.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use stockade_fold::{Fold, Worker};
use stockade_log::{Ack, Clock, LogError, NewRecord, ReadLimit, SharedLog};
use stockade_model::Timestamp;

use crate::ahead::{Heard, Said};

/// Why the pump stopped: the log failed.
pub type PumpError = LogError;

/// A worker with what takes its effects, whatever its fold.
pub(crate) trait Stage: Send {
    /// One step; whether there was anything to do.
    fn step(&mut self, log: &SharedLog) -> Result<bool, LogError>;
    fn flush(&mut self) -> Result<(), LogError>;
    fn pass(&mut self) -> Result<(), LogError>;
    fn deadline(&self) -> Option<Timestamp>;
    fn ticks(&mut self, now: Timestamp) -> Vec<NewRecord>;
    /// Takes what a fold said that runs ahead; of no concern to a stage that has its fold here.
    fn hear(&mut self, _: Said) {}
    /// The same of what it said to the input of this moment.
    fn hear_now(&mut self, _: Vec<NewRecord>) {}
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

impl EventClock {
    /// For whoever only reads it.
    pub(crate) fn read(&self) -> Clock {
        let time = self.0.clone();
        Arc::new(move || time.load(Ordering::Relaxed))
    }
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::Relaxed))
    }
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.ms(), Ordering::Relaxed);
    }
    /// Moves it forward to `to`, never back.
    pub(crate) fn reach(&self, to: Timestamp) {
        self.0.fetch_max(to.ms(), Ordering::Relaxed);
    }
}

/// The scheduler.
#[derive(Default)]
pub struct Pump {
    clock: EventClock,
    stages: Vec<Box<dyn Stage>>,
    /// Which of them is the place of a fold that runs ahead.
    heard: Option<usize>,
}

impl Pump {
    /// The clock to open the log with.
    pub fn clock(&self) -> Clock {
        self.clock.read()
    }
    /// The time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
    /// Adds a stage; stages are stepped in the order added.
    pub fn add<F: Fold>(&mut self, worker: Worker<F>, sink: impl FnMut(Vec<F::Effect>) + Send + 'static) {
        self.stages.push(Box::new(StageOf { worker, sink }));
    }
    /// Adds the place of a fold that runs ahead, see [`Ahead`](crate::Ahead): what it says comes by [`Pump::hear`] and
    /// [`Pump::hear_now`]. A pump has at most one.
    pub fn add_heard(&mut self) {
        self.heard = Some(self.stages.len());
        self.stages.push(Box::new(Heard::default()));
    }
    fn heard(&mut self) -> Option<&mut Box<dyn Stage>> {
        self.heard.and_then(|index| self.stages.get_mut(index))
    }
    /// Takes what the fold that runs ahead said on a deadline; the others learn of it when time comes there.
    pub fn hear(&mut self, said: Said) {
        if let Some(stage) = self.heard() {
            stage.hear(said);
        }
    }
    /// Takes what the fold that runs ahead said to the input of this moment; drained like an input of the pump's own.
    pub fn hear_now(&mut self, outputs: Vec<NewRecord>, log: &SharedLog) -> Result<(), PumpError> {
        if let Some(stage) = self.heard() {
            stage.hear_now(outputs);
        }
        self.drain(log)
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
            self.clock.set(now);
            for stage in &mut self.stages {
                let ticks = stage.ticks(now);
                if !ticks.is_empty() {
                    log.append(ticks, Ack::Ordered).wait()?;
                }
            }
            self.drain(log)?;
        }
        self.clock.reach(to);
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
