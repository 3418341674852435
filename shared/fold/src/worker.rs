//! All partitions of one fold in this process.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use stockade_log::{
    Ack, Commit, Consumer, Epoch, Event, LogError, Mode, NewRecord, ReadLimit, Record, Remedy, Role, Route,
    SharedLog, Ticket,
};
use stockade_model::{Envelope, Payload, Tick, Timestamp, Topic, time::SECOND_MS};

use crate::{Fold, Host, board::Progress};

/// Outputs a reader keeps for a takeover; past it, it takes over from the changelog instead.
const RETAINED_BYTES_MAX: usize = 32 << 20;
/// Bytes of one partition that are applied before it is the next one's turn; one record is, however long.
const QUANTUM_BYTES: usize = 8 << 10;

/// What a fold is called and what it reads.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Name of the fold: its consumer group, its changelog, the `fold` of its positions.
    pub name: &'static str,
    /// Its input.
    pub input: Topic,
    /// Whether this process follows all partitions or only those it owns.
    pub mode: Mode,
    /// Partitions of supplier-keyed topics.
    pub partitions: u32,
    /// What the acknowledgement of its outputs must mean before it goes on.
    pub ack: Ack,
    /// Flush after this many records of a partition.
    pub flush_records: u64,
}

struct Held<F: Fold> {
    host: Host<F>,
    role: Role,
    /// Outputs not known to be flushed by an owner, with the offset of their cause. Only readers fill it.
    retained: VecDeque<(u64, NewRecord)>,
    retained_bytes: usize,
    /// Too much was retained: take over from the changelog.
    overflowed: bool,
    /// Next offset of the last commit known, by whoever.
    flushed: u64,
    /// A commit of this partition is under way.
    flushing: bool,
    /// Deadline of the last tick appended, and when.
    ticked: Option<(Timestamp, Timestamp)>,
}

/// What one step asks of the driver: append `outputs` in order and wait for the acknowledgement before the next step.
pub struct Step<E> {
    /// Outputs to append.
    pub outputs: Vec<NewRecord>,
    /// Effects by partition, in order.
    pub effects: Vec<(u32, Vec<E>)>,
    /// Progress of every partition that moved.
    pub moved: Vec<(u32, Progress)>,
    /// Records applied.
    pub applied: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl<E> Step<E> {
    fn new() -> Self {
        Self { outputs: Vec::new(), effects: Vec::new(), moved: Vec::new(), applied: 0, bytes: 0 }
    }

    /// What a further step asks for, after this one.
    fn then(&mut self, next: Self) {
        self.outputs.extend(next.outputs);
        self.effects.extend(next.effects);
        self.moved.extend(next.moved);
        self.applied += next.applied;
        self.bytes += next.bytes;
    }
}

/// A flush under way.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    partition: u32,
    epoch: Epoch,
    next_offset: u64,
}

/// Owns all hosts of one fold in this process.
pub struct Worker<F: Fold> {
    spec: Spec,
    log: SharedLog,
    consumer: Box<dyn Consumer>,
    make: Box<dyn Fn(u32) -> F + Send>,
    held: BTreeMap<u32, Held<F>>,
    /// Partitions just restored whose folds have more to tell, and from where on.
    telling: VecDeque<(u32, Vec<u8>)>,
}

impl<F: Fold> Worker<F> {
    /// Joins the fold's group; `make` builds the empty fold of a partition.
    pub fn join(
        spec: Spec,
        log: SharedLog,
        make: impl Fn(u32) -> F + Send + 'static,
    ) -> Result<Self, LogError> {
        let consumer = log.join(spec.name, spec.input.name(), spec.mode)?;
        let (held, telling) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { spec, log, consumer, make: Box::new(make), held, telling })
    }

    /// What it runs.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The hosts by partition.
    pub fn hosts(&self) -> impl Iterator<Item = (u32, &Host<F>)> {
        self.held.iter().map(|(partition, held)| (*partition, &held.host))
    }

    /// The partitions that it owns and has not been fenced from, with the epoch of each.
    pub fn owned(&self) -> impl Iterator<Item = (u32, Epoch)> {
        self.held.iter().filter_map(|(partition, held)| match held.role {
            Role::Owner(epoch) => Some((*partition, epoch)),
            Role::Reader | Role::None => None,
        })
    }

    /// Takes assignment changes and batches, of one partition after the other, until about as many records or bytes as `most` says
    /// are applied or nothing is left; `None` when there is nothing to do. Their outputs are one append: one write and one waking of
    /// whoever reads them instead of one for each partition. Effects are told after each batch: whoever waits for one in a partition
    /// that has little to do does not wait for the partitions behind it.
    pub fn steps(
        &mut self,
        most: ReadLimit,
        mut tell: impl FnMut(u32, Vec<F::Effect>),
    ) -> Result<Option<Step<F::Effect>>, LogError> {
        let mut all: Option<Step<F::Effect>> = None;
        for _ in 0..most.records.max(1) {
            let (applied, bytes) = all.as_ref().map_or((0, 0), |all| (all.applied, all.bytes));
            let outputs = all.as_ref().map_or(0, |all| all.outputs.len());
            if applied >= most.records || outputs >= most.records || bytes >= most.bytes {
                break;
            }
            let limit =
                ReadLimit { records: most.records - applied, bytes: (most.bytes - bytes).min(QUANTUM_BYTES) };
            let Some(mut next) = self.step(limit)? else { break };
            std::mem::take(&mut next.effects)
                .into_iter()
                .for_each(|(partition, effects)| tell(partition, effects));
            match &mut all {
                Some(all) => all.then(next),
                None => all = Some(next),
            }
        }
        Ok(all)
    }

    /// Takes the next assignment change or batch; `None` when there is nothing to do.
    pub fn step(&mut self, limit: ReadLimit) -> Result<Option<Step<F::Effect>>, LogError> {
        if let Some((partition, from)) = self.telling.pop_front() {
            return Ok(Some(self.tell_on(partition, from)));
        }
        match self.consumer.try_next(limit)? {
            None => Ok(None),
            Some(Event::Assigned { partition, role }) => self.assigned(partition, role).map(Some),
            Some(Event::Batch { partition, records }) => {
                let mut step = Step::new();
                let Some(held) = self.held.get_mut(&partition) else { return Ok(Some(step)) };
                let mut effects = Vec::new();
                for record in &records {
                    if matches!(held.role, Role::Owner(_)) {
                        held.host.apply_one(record, &mut effects, &mut step.outputs);
                    } else {
                        let mut outputs = Vec::new();
                        held.host.apply_one(record, &mut effects, &mut outputs);
                        held.retain(record.offset, outputs);
                    }
                }
                // Nothing is flushed in the middle of a batch, so what changed in it is noted once.
                if let Some(last) = records.last() {
                    held.host.note_changes(last.offset);
                }
                step.applied = records.len();
                step.bytes = records.iter().map(Record::size).sum();
                step.effects.push((partition, effects));
                step.moved.push((partition, held.host.progress()));
                Ok(Some(step))
            }
        }
    }

    fn assigned(&mut self, partition: u32, role: Role) -> Result<Step<F::Effect>, LogError> {
        let mut step = Step::new();
        tracing::debug!(fold = self.spec.name, partition, ?role, "assigned");
        if role == Role::None {
            self.held.remove(&partition);
            self.telling.retain(|(of, _)| *of != partition);
            return Ok(step);
        }
        let promoted = matches!(role, Role::Owner(_));
        if promoted && self.held.get(&partition).is_some_and(|held| held.overflowed) {
            self.held.remove(&partition);
            self.telling.retain(|(of, _)| *of != partition);
        }
        if !self.held.contains_key(&partition) {
            let (held, effects) = self.restore(partition)?;
            self.consumer.seek(partition, held.host.next());
            step.effects.push((partition, effects));
            self.held.insert(partition, held);
            self.telling.push_back((partition, Vec::new()));
        }
        let flushed = self.log.flushed(self.spec.name, partition)?;
        if let Some(held) = self.held.get_mut(&partition) {
            held.role = role;
            held.flushing = false;
            held.flushed_up_to(flushed);
            if promoted {
                // What the former owner may not have sent. Receivers skip what they have seen.
                step.outputs.extend(held.retained.drain(..).map(|(_, record)| record));
                held.retained_bytes = 0;
            }
        }
        Ok(step)
    }

    /// What a fold that was restored tells next; it has caught up with its last commit when nothing is left.
    fn tell_on(&mut self, partition: u32, from: Vec<u8>) -> Step<F::Effect> {
        let mut step = Step::new();
        let Some(held) = self.held.get_mut(&partition) else { return step };
        let mut effects = Vec::new();
        match held.host.fold.tells_on(from, &mut effects) {
            Some(next) => self.telling.push_front((partition, next)),
            None => step.moved.push((partition, held.host.progress())),
        }
        // Counted like records, so that whoever asked for so many gets them before the next.
        step.applied = effects.len();
        step.effects.push((partition, effects));
        step
    }

    /// State as of the last commit.
    fn restore(&self, partition: u32) -> Result<(Held<F>, Vec<F::Effect>), LogError> {
        let name = self.spec.name;
        let generation = self.log.generation(self.spec.input.name())?;
        let mut host = Host::new(
            name,
            self.spec.input,
            partition,
            generation,
            self.spec.partitions,
            (self.make)(partition),
        );
        let mut wrong = None;
        let committed = self.log.restore(name, partition, &mut |key, value| {
            if let Err(error) = host.load_row(key, value) {
                wrong.get_or_insert(error);
            }
        })?;
        if let Some(committed) = &committed
            && let Err(error) = host.load_partition_row(&committed.row)
        {
            wrong.get_or_insert(error);
        }
        if let Some(error) = wrong {
            return Err(LogError::Stopped(format!(
                "the changelog of {name}/{partition} cannot be restored: {error}"
            )));
        }
        let mut effects = Vec::new();
        host.fold.restored(&mut effects);
        let held = Held {
            flushed: host.next(),
            flushing: false,
            host,
            role: Role::Reader,
            retained: VecDeque::new(),
            retained_bytes: 0,
            overflowed: false,
            ticked: None,
        };
        Ok((held, effects))
    }

    /// Begins to flush the owned partitions that have moved by `flush_records`, or all that moved when `force`, each
    /// unless a flush of it is under way. Call it only when every output so far is acknowledged, and hand what becomes of
    /// each ticket to [`Worker::finish_flush`]; records may be applied meanwhile.
    pub fn begin_flush(&mut self, force: bool) -> Vec<(Flush, Ticket<()>)> {
        let prepared = self.prepare_flush(force);
        prepared.into_iter().map(|(flush, commit)| (flush, self.log.commit(commit))).collect()
    }

    /// What [`Worker::begin_flush`] would commit now. It is to be committed, for nothing else is flushed before it has ended, and not
    /// before every output so far is acknowledged; what is applied meanwhile is not in it.
    pub(crate) fn prepare_flush(&mut self, force: bool) -> Vec<(Flush, Commit)> {
        let least = if force { 1 } else { self.spec.flush_records };
        let partitions: Vec<u32> = self.held.keys().copied().collect();
        partitions.into_iter().filter_map(|partition| self.prepare_flush_of(partition, least)).collect()
    }

    /// The same of one partition, where it has moved by `least` records: what has changed is copied, which takes its time for each.
    pub(crate) fn prepare_flush_of(&mut self, partition: u32, least: u64) -> Option<(Flush, Commit)> {
        let held = self.held.get_mut(&partition)?;
        let Role::Owner(epoch) = held.role else { return None };
        let next_offset = held.host.next();
        if held.flushing || next_offset.saturating_sub(held.flushed) < least {
            return None;
        }
        held.flushing = true;
        let commit = Commit {
            group: self.spec.name,
            partition,
            epoch,
            next_offset,
            row: held.host.partition_row(),
            rows: held.host.changed_rows(held.flushed),
        };
        Some((Flush { partition, epoch, next_offset }, commit))
    }

    /// Takes note of how a flush ended.
    pub fn finish_flush(&mut self, flush: Flush, result: Result<(), LogError>) -> Result<(), LogError> {
        let Flush { partition, epoch, next_offset } = flush;
        // The partition may have been given away and even come back meanwhile; then this says nothing about what is held now.
        let held = self.held.get_mut(&partition).filter(|held| held.role == Role::Owner(epoch));
        if let Some(held) = held {
            held.flushing = false;
            match &result {
                Ok(()) => held.flushed_up_to(next_offset),
                // The term is over. The consumer will say what this member is now, the owner under a later epoch perhaps;
                // until then it follows along as a reader and keeps its outputs.
                Err(error) if error.remedy() == Remedy::Fenced => {
                    tracing::warn!(fold = self.spec.name, partition, %error, "flush refused");
                    held.role = Role::Reader;
                }
                // Nothing was flushed, and nothing is lost: the next flush carries the same changes and more.
                Err(error) if matches!(error, LogError::DiskFull { .. }) => {
                    // Told once by who watches the disk, not twice a second by every partition.
                    tracing::debug!(fold = self.spec.name, partition, %error, "flush put off");
                }
                Err(error) if error.remedy() == Remedy::Retry => {
                    tracing::warn!(fold = self.spec.name, partition, %error, "flush put off");
                }
                // It will be refused the next time as well: this partition stands still until somebody looks.
                Err(error) => {
                    tracing::error!(fold = self.spec.name, partition, %error, "flush impossible");
                }
            }
        }
        match result {
            Err(error) if error.remedy() == Remedy::Fatal => Err(error),
            _ => Ok(()),
        }
    }

    /// Flushes and waits; not to be called on a runtime's worker.
    pub fn flush(&mut self, force: bool) -> Result<(), LogError> {
        for (flush, ticket) in self.begin_flush(force) {
            self.finish_flush(flush, ticket.wait())?;
        }
        Ok(())
    }

    /// Notes how far it is without storing what it knows: for plays that end with their process, whose log need not keep what
    /// was read. Nothing can be restored from such a log.
    pub fn pass(&mut self) -> Result<(), LogError> {
        for (partition, held) in &mut self.held {
            let Role::Owner(epoch) = held.role else { continue };
            let next_offset = held.host.next();
            if next_offset == held.flushed {
                continue;
            }
            let (group, partition, row) = (self.spec.name, *partition, held.host.partition_row());
            self.log.commit(Commit { group, partition, epoch, next_offset, row, rows: Vec::new() }).wait()?;
            held.flushed_up_to(next_offset);
        }
        Ok(())
    }

    /// Learns what owners elsewhere have flushed, so that readers can forget it.
    pub fn prune(&mut self) -> Result<(), LogError> {
        for (partition, held) in self.held.iter_mut().filter(|(_, held)| held.role == Role::Reader) {
            held.flushed_up_to(self.log.flushed(self.spec.name, *partition)?);
        }
        Ok(())
    }

    /// The earliest deadline of any owned partition for which no tick is under way.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.held.values().filter_map(Held::tick_wanted).min()
    }

    /// Ticks for owned partitions whose deadline has passed at `now`; at most one a second per partition.
    pub fn ticks(&mut self, now: Timestamp) -> Vec<NewRecord> {
        let mut ticks = Vec::new();
        for (partition, held) in &mut self.held {
            let Some(due) = held.tick_wanted().filter(|due| *due <= now) else { continue };
            let wanted = held.host.fold.deadline().unwrap_or(due);
            held.ticked = Some((wanted, now));
            let payload = Payload::Tick(Tick { due: wanted });
            ticks.push(NewRecord {
                topic: self.spec.input.name(),
                route: Route::Partition(*partition),
                key: Bytes::new(),
                headers: Envelope::new(payload.kind(), "", self.spec.name).headers(),
                value: payload.encode().into(),
            });
        }
        ticks
    }

    /// Waits until `step` may have something to do.
    pub async fn wait(&mut self) {
        self.consumer.wait().await;
    }
}

impl<F: Fold> Held<F> {
    fn retain(&mut self, offset: u64, outputs: Vec<NewRecord>) {
        if self.overflowed || offset < self.flushed {
            return;
        }
        self.retained_bytes += outputs.iter().map(NewRecord::size).sum::<usize>();
        self.retained.extend(outputs.into_iter().map(|record| (offset, record)));
        if self.retained_bytes > RETAINED_BYTES_MAX {
            self.overflowed = true;
            self.retained.clear();
            self.retained_bytes = 0;
        }
    }

    /// Someone flushed everything before `next`.
    fn flushed_up_to(&mut self, next: u64) {
        self.flushed = self.flushed.max(next);
        while self.retained.front().is_some_and(|(offset, _)| *offset < self.flushed) {
            self.retained_bytes -= self.retained.pop_front().map_or(0, |(_, record)| record.size());
        }
        self.host.forget_changes_before(self.flushed);
    }

    /// When this partition next wants a tick: its fold's deadline, but not before a second after the last one.
    fn tick_wanted(&self) -> Option<Timestamp> {
        let due = self.host.fold.deadline().filter(|_| matches!(self.role, Role::Owner(_)))?;
        match self.ticked {
            Some((_, at)) => Some(due.max(at.plus_ms(SECOND_MS))),
            None => Some(due),
        }
    }
}
