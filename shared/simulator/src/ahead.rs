//! A fold that runs ahead of the pump, on a thread of its own.
//!
//! A fold that reads only what comes from outside says the same whatever the others do. So it may be far ahead of them:
//! what it says is handed to the pump with its time, and comes to the others as if it had been said among them.

use std::collections::VecDeque;

use stockade_fold::{Fold, Worker};
use stockade_log::{Ack, Clock, LogError, NewRecord, ReadLimit, SharedLog};
use stockade_model::Timestamp;

use crate::pump::{EventClock, Stage};

/// What a fold said on a deadline of its own.
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// What it said, to be appended.
    pub outputs: Vec<NewRecord>,
}

/// A fold that runs ahead; its log holds what it reads and nothing that the others write.
pub struct Ahead<F: Fold> {
    clock: EventClock,
    log: SharedLog,
    worker: Worker<F>,
}

impl<F: Fold> Ahead<F> {
    /// Opens it with what `open` makes: a log with the clock given, and a worker that has joined it.
    pub fn open<E>(open: impl FnOnce(Clock) -> Result<(SharedLog, Worker<F>), E>) -> Result<Self, E> {
        let clock = EventClock::default();
        let (log, worker) = open(clock.read())?;
        Ok(Self { clock, log, worker })
    }
    /// Moves time to `to`; gives what is said on every deadline on the way, in order.
    pub fn advance(&mut self, to: Timestamp) -> Result<Vec<Said>, LogError> {
        let mut said = Vec::new();
        while let Some(due) = self.worker.deadline().filter(|due| *due <= to) {
            let at = due.max(self.clock.now());
            self.clock.set(at);
            let ticks = self.worker.ticks(at);
            if !ticks.is_empty() {
                self.log.append(ticks, Ack::Ordered).wait()?;
            }
            said.push(Said { at, outputs: self.drain()? });
        }
        self.clock.reach(to);
        Ok(said)
    }
    /// Takes an input at the time it is; gives what is said to it.
    pub fn feed(&mut self, input: NewRecord) -> Result<Vec<NewRecord>, LogError> {
        self.log.append(vec![input], Ack::Ordered).wait()?;
        self.drain()
    }
    /// As [`Pump::pass`](crate::Pump::pass).
    pub fn pass(&mut self) -> Result<(), LogError> {
        self.worker.pass()?;
        self.log.trim(self.clock.now().ms()).map(drop)
    }
    fn drain(&mut self) -> Result<Vec<NewRecord>, LogError> {
        let mut outputs = Vec::new();
        while let Some(step) = self.worker.step(ReadLimit::default())? {
            outputs.extend(step.outputs);
        }
        Ok(outputs)
    }
}

/// The place among a pump's stages of a fold that runs ahead.
#[derive(Default)]
pub(crate) struct Heard {
    /// What was said on deadlines that have not come here yet.
    to_come: VecDeque<Said>,
    /// What has to be appended at its turn.
    said: VecDeque<Vec<NewRecord>>,
}

impl Stage for Heard {
    fn step(&mut self, log: &SharedLog) -> Result<bool, LogError> {
        let Some(outputs) = self.said.pop_front() else { return Ok(false) };
        if !outputs.is_empty() {
            log.append(outputs, Ack::Ordered).wait()?;
        }
        Ok(true)
    }
    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }
    fn pass(&mut self) -> Result<(), LogError> {
        Ok(())
    }
    fn deadline(&self) -> Option<Timestamp> {
        self.to_come.front().map(|said| said.at)
    }
    fn ticks(&mut self, now: Timestamp) -> Vec<NewRecord> {
        while let Some(said) = self.to_come.pop_front_if(|said| said.at <= now) {
            self.said.push_back(said.outputs);
        }
        Vec::new()
    }
    fn hear(&mut self, said: Said) {
        self.to_come.push_back(said);
    }
    fn hear_now(&mut self, outputs: Vec<NewRecord>) {
        self.said.push_back(outputs);
    }
}
