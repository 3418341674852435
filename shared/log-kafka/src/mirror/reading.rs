//! The log as a reader of the copy sees it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
};
use stockade_log::{
    Bounds, Clock, Commit, Committed, Consumer, Event, Horizon, Log, LogError, Mode, NewRecord, ReadLimit,
    Record, Ticket, TopicSpec,
};

use super::{
    BEHIND, HEARTBEATS, HEARTBEATS_KEPT_MS, Heartbeat, as_original, first_of, original_of, unmarked,
};
use crate::{
    appends::Appends,
    broker::Broker,
    client::Watch,
    consumer::KafkaConsumer,
    options::KafkaOptions,
    scan::{self, Scanner, at, moved},
    topic::{Kind, Topic, Topics},
};

/// Budget for closing.
const CLOSE: Duration = Duration::from_secs(5);
/// How long one look for a heartbeat waits.
const LOOK: Duration = Duration::from_millis(200);
/// Pause before heartbeats are looked for again after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// A log that was copied from another cluster by [`super::copy`], in the offsets and times of its origin. It can be
/// followed and restored from; every write is refused.
pub struct Mirrored(Arc<Copy>);

/// What readers of a copy share.
struct Copy {
    broker: Arc<Broker>,
    topics: Arc<Topics>,
    appends: Arc<Appends>,
    scanner: Scanner,
    clock: Clock,
    heard: RwLock<Heard>,
}

/// The last heartbeat.
#[derive(Default)]
struct Heard {
    /// As it was written.
    written: Heartbeat,
    /// The moment it counts for, in milliseconds.
    at_ms: i64,
}

impl Heard {
    /// Takes a heartbeat that was appended at `appended_ms` by the broker's clock and is read at `now_ms` by ours.
    fn take(&mut self, written: Heartbeat, appended_ms: i64, now_ms: i64) {
        // After a failure the last one is read again. That it came then says nothing of whoever copies.
        if written == self.written {
            return;
        }
        // The mirror's clock may run ahead. What was read cannot be later than it came, less what the mirror took before it sent.
        let arrived_ms = appended_ms.min(now_ms).saturating_sub(written.took_ms.max(0));
        let at_ms = written.at_ms.min(arrived_ms);
        // A process that was put to sleep may write an older one; time does not go back.
        if at_ms >= self.at_ms {
            *self = Self { written, at_ms };
        }
    }
}

impl Mirrored {
    /// Connects; an answer comes within 10 s, and an error says what to do.
    /// `clock` is the reader's own, by which nothing of the copy is newer than when it came.
    pub fn open(options: KafkaOptions, clock: Clock) -> Result<Self, LogError> {
        let broker = Arc::new(Broker::connect(options)?);
        broker.begin_to_look()?;
        let topics = Arc::new(Topics::new(broker.clone()));
        let appends = Arc::new(Appends::new(broker.clone(), topics.clone()));
        let (scanner, heard) = (Scanner::default(), RwLock::default());
        let copy = Arc::new(Copy { broker, topics, appends, scanner, clock, heard });
        let beats = copy.there(HEARTBEATS, 1, &Kind::Stream(Some(HEARTBEATS_KEPT_MS)))?;
        let listening = copy.clone();
        copy.broker.spawn("heartbeats".to_owned(), move || listening.listen(&beats))?;
        Ok(Self(copy))
    }

    /// Whether all of the origin was copied once: before that nothing can be made of what is there.
    pub fn is_whole(&self) -> bool {
        self.0.heard.read().at_ms > 0
    }

    fn refuses() -> LogError {
        LogError::Config(
            "a copy of another cluster's log is never written to; write to its origin".to_owned(),
        )
    }
}

impl Copy {
    /// A topic that is there already: nothing is made in a copy but by who copies.
    fn there(&self, name: &'static str, partitions: u32, kind: &Kind) -> Result<Arc<Topic>, LogError> {
        if !self.broker.check_topic(name, partitions, kind)? {
            let (brokers, full) = (&self.broker.options.brokers, self.broker.full_name(name));
            return Err(LogError::NotCopied(format!(
                "{brokers} has no topic {full}: it holds no copy, or one under another kafka.prefix; start `stockade mirror --to {brokers}` first"
            )));
        }
        self.topics.open(name, partitions, kind)
    }

    /// Keeps the last heartbeat, until the log is closed.
    fn listen(&self, beats: &Topic) {
        while !self.broker.closing() {
            if let Err(error) = self.listen_once(beats) {
                tracing::debug!(%error, "heartbeats of the mirror are looked for again");
            }
            self.broker.pause(AGAIN);
        }
    }

    fn listen_once(&self, beats: &Topic) -> Result<(), LogError> {
        let consumer: BaseConsumer<Watch> = self
            .broker
            .options
            .reader("heartbeats")
            .create_with_context(self.broker.watch.clone())
            .map_err(|error| LogError::Config(format!("no consumer could be made: {error}")))?;
        let consumer = Arc::new(consumer);
        self.broker.clients.look_after(&consumer);
        let (first, end) = beats.watermarks(&self.broker, 0)?;
        let from = at(&beats.full, 0, end.saturating_sub(1).max(first));
        consumer.assign(&from).map_err(|error| self.broker.unreachable(&error))?;
        while !self.broker.closing() {
            match consumer.poll(LOOK) {
                None => {}
                Some(Ok(message)) => {
                    let now_ms = (self.clock)();
                    let appended_ms = message.timestamp().to_millis().unwrap_or(now_ms);
                    match serde_json::from_slice::<Heartbeat>(message.payload().unwrap_or(&[])) {
                        Ok(beat) => self.heard.write().take(beat, appended_ms, now_ms),
                        Err(error) => {
                            tracing::warn!(%error, offset = message.offset(), "a heartbeat cannot be read");
                        }
                    }
                }
                Some(Err(error)) => return Err(self.broker.unreachable(&error)),
            }
        }
        Ok(())
    }

    /// What lies at a place of the copy. Retention may have taken it since it was asked where the partition begins: then it is
    /// worth asking again.
    fn copy_at(&self, topic: &Topic, partition: u32, place: u64) -> Result<Record, LogError> {
        let limit = ReadLimit { records: 1, bytes: 1 };
        let found = self.scanner.read(&self.broker, &topic.full, partition, place..place + 1, limit)?;
        found.into_iter().next().ok_or_else(|| moved(&topic.full, partition, place))
    }

    fn original_at(&self, topic: &Topic, partition: u32, place: u64) -> Result<u64, LogError> {
        let copy = self.copy_at(topic, partition, place)?;
        let original = original_of(&copy);
        original.map(|(offset, _)| offset).ok_or_else(|| unmarked(&topic.full, partition, place))
    }

    /// A place from which on every original from `offset` on is found, with others before and repeats between.
    fn place_of(&self, topic: &Topic, partition: u32, offset: u64) -> Result<u64, LogError> {
        let (first, end) = topic.watermarks(&self.broker, partition)?;
        let place = first_of(first..end, offset, |place| self.original_at(topic, partition, place))?;
        if place == first && first < end {
            let first = self.original_at(topic, partition, first)?;
            if first > offset {
                return Err(LogError::OutOfRange { topic: topic.full.clone(), partition, offset, first });
            }
        }
        Ok(place.saturating_sub(BEHIND).max(first))
    }
}

impl Log for Mirrored {
    /// Checks that it was copied; makes nothing.
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.0.there(spec.name, spec.partitions, &Kind::Stream(spec.retention_ms)).map(drop)
    }

    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        Ok(self.0.topics.get(topic)?.partitions)
    }

    fn generation(&self, topic: &str) -> Result<u32, LogError> {
        self.0.topics.get(topic)?;
        Ok(self.0.broker.options.generation)
    }

    fn append(&self, _: Vec<NewRecord>, _: stockade_log::Ack) -> Ticket {
        Ticket::ready(Err(Self::refuses()))
    }

    fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        let topic = self.0.topics.get(topic)?;
        if partition >= topic.partitions {
            return Err(LogError::Unknown { topic: topic.name.to_owned(), partition });
        }
        let (first, end) = topic.watermarks(&self.0.broker, partition)?;
        if first == end {
            return Ok(Bounds { first: 0, end: 0 });
        }
        let end = self.0.original_at(&topic, partition, end - 1)? + 1;
        Ok(Bounds { first: self.0.original_at(&topic, partition, first)?, end })
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        self.0.broker.healthy()?;
        let topic = self.0.topics.get(topic)?;
        let mut place = self.0.place_of(&topic, partition, from)?;
        let (_, end) = topic.watermarks(&self.0.broker, partition)?;
        let mut next = from;
        while place < end {
            let copies = self.0.scanner.read(&self.0.broker, &topic.full, partition, place..end, limit)?;
            place = copies.last().map_or(end, |last| last.offset + 1);
            let found = originals(&topic.full, partition, copies, &mut next)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn join(&self, group: &'static str, topic: &str, mode: Mode) -> Result<Box<dyn Consumer>, LogError> {
        self.0.broker.healthy()?;
        if mode != Mode::Follow {
            return Err(Self::refuses());
        }
        let topic = self.0.topics.get(topic)?;
        let through = (&self.0.broker, &self.0.appends);
        let inner = KafkaConsumer::join(through, topic.clone(), group, None, mode)?;
        let count = topic.partitions as usize;
        let copy = self.0.clone();
        Ok(Box::new(MirroredConsumer {
            inner,
            copy,
            topic,
            wanted: vec![None; count],
            looking: None,
            next: vec![0; count],
            again: vec![false; count],
        }))
    }

    /// The ends of the last heartbeat, and its time.
    fn horizon(&self, topic: &str, partition: u32) -> Horizon {
        let heard = self.0.heard.read();
        let end = heard.written.ends.get(topic).and_then(|ends| ends.get(partition as usize));
        Horizon { end: end.copied().unwrap_or(0), heard_ms: heard.at_ms }
    }

    fn commit(&self, _: Commit) -> Ticket<()> {
        Ticket::ready(Err(Self::refuses()))
    }

    /// Nobody takes over here, so nothing needs to be kept for that.
    fn flushed(&self, _: &'static str, _: u32) -> Result<u64, LogError> {
        Ok(u64::MAX)
    }

    fn restore(
        &self,
        group: &'static str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Option<Committed>, LogError> {
        let name = format!("{group}.state");
        let state = match self.0.topics.get(&name) {
            Ok(state) => state,
            Err(_) => {
                let found = self.0.broker.found_partitions(&self.0.broker.full_name(&name))?.unwrap_or(1);
                // One or two names, each once: topics are known by static names.
                self.0.there(Box::leak(name.into_boxed_str()), found, &Kind::Changelog)?
            }
        };
        let (committed, rows) =
            self.0.broker.patiently(|| scan::restore(&self.0.broker, &state, partition))?;
        if committed.is_none() && !rows.is_empty() {
            return Err(LogError::Stopped(format!("{}/{partition} is copied in part only", state.full)));
        }
        rows.iter().for_each(|(key, value)| each(key, value));
        Ok(committed)
    }

    fn trim(&self, _: i64) -> Result<u64, LogError> {
        Ok(0)
    }

    fn close(&self) -> Result<(), LogError> {
        if !self.0.broker.closing() {
            self.0.broker.begin_closing();
            self.0.broker.end_threads(Instant::now() + CLOSE);
        }
        Ok(())
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        // It has nothing to write, so it cannot fail.
        let _ = self.close();
    }
}

/// Copies as their originals, without repeats of what lies before `next`.
fn originals(
    topic: &str,
    partition: u32,
    copies: Vec<Record>,
    next: &mut u64,
) -> Result<Vec<Record>, LogError> {
    let mut all = Vec::with_capacity(copies.len());
    for copy in copies {
        let place = copy.offset;
        let record = as_original(copy).ok_or_else(|| unmarked(topic, partition, place))?;
        if record.offset >= *next {
            *next = record.offset + 1;
            all.push(record);
        }
    }
    Ok(all)
}

/// A partition, the original that was looked for, and the place to begin at.
type Found = (u32, u64, Result<u64, LogError>);

struct MirroredConsumer {
    inner: KafkaConsumer,
    copy: Arc<Copy>,
    topic: Arc<Topic>,
    /// Originals at which reading is to begin, as long as their places are not found.
    wanted: Vec<Option<u64>>,
    /// Where what is looked for on another thread is put: whoever asks a broker is blocked, and consumers are asked by tasks.
    looking: Option<Arc<Mutex<Option<Vec<Found>>>>>,
    /// The original that comes next, by partition.
    next: Vec<u64>,
    /// The partition is read from its beginning, because something was missing where it was begun.
    again: Vec<bool>,
}

impl MirroredConsumer {
    /// Has the places found at which reading is to begin; whether all are.
    fn settle(&mut self) -> Result<bool, LogError> {
        if let Some(looking) = &self.looking {
            let Some(all) = looking.lock().take() else { return Ok(false) };
            self.looking = None;
            for (partition, offset, place) in all {
                let index = partition as usize;
                // Meanwhile another place may be wanted.
                if self.wanted[index] != Some(offset) {
                    continue;
                }
                match place {
                    Ok(place) => self.inner.seek(partition, place),
                    // It is looked for again.
                    Err(LogError::Unavailable(_)) => continue,
                    Err(error) => return Err(error),
                }
                (self.next[index], self.again[index], self.wanted[index]) = (offset, false, None);
            }
        }
        let wanted = (0..).zip(&self.wanted).filter_map(|(index, offset)| Some((index, (*offset)?)));
        let wanted: Vec<(u32, u64)> = wanted.collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        let (slot, waker) = (Arc::new(Mutex::new(None)), self.inner.waker());
        let (copy, topic, found) = (self.copy.clone(), self.topic.clone(), slot.clone());
        self.copy.broker.spawn(format!("places-{}", topic.name), move || {
            let look = |(partition, offset)| (partition, offset, copy.place_of(&topic, partition, offset));
            let all: Vec<Found> = wanted.into_iter().map(look).collect();
            if all.iter().any(|(.., place)| place.is_err()) {
                copy.broker.pause(AGAIN);
            }
            *found.lock() = Some(all);
            waker.notify_one();
        })?;
        self.looking = Some(slot);
        Ok(false)
    }
}

impl MirroredConsumer {
    /// Something is missing before what was read: it is looked for from the beginning, once.
    fn begin_again(&mut self, partition: u32, missing: u64) -> Result<(), LogError> {
        let topic = &self.topic;
        if std::mem::replace(&mut self.again[partition as usize], true) {
            return Err(LogError::Stopped(format!(
                "{}/{partition} lacks the original {missing}: it was not copied whole; copy it under another prefix",
                topic.full
            )));
        }
        let (first, _) = topic.watermarks(&self.copy.broker, partition)?;
        tracing::warn!(topic = topic.full, partition, missing, "the copy is read from its beginning");
        self.inner.seek(partition, first);
        Ok(())
    }
}

/// Whether records go on at `next` without a hole. From 0 on is from the beginning, wherever that is.
fn follows(next: u64, records: &[Record]) -> bool {
    let mut expected = next;
    for (index, record) in records.iter().enumerate() {
        let begins = index == 0 && next == 0;
        if record.offset != expected && !begins {
            return false;
        }
        expected = record.offset + 1;
    }
    true
}

impl Consumer for MirroredConsumer {
    fn try_next(&mut self, limit: ReadLimit) -> Result<Option<Event>, LogError> {
        if !self.settle()? {
            return Ok(None);
        }
        loop {
            match self.inner.try_next(limit)? {
                Some(Event::Batch { partition, records }) => {
                    let before = self.next[partition as usize];
                    let mut next = before;
                    let records = originals(&self.topic.full, partition, records, &mut next)?;
                    if !follows(before, &records) {
                        self.begin_again(partition, before)?;
                        continue;
                    }
                    self.next[partition as usize] = next;
                    if !records.is_empty() {
                        return Ok(Some(Event::Batch { partition, records }));
                    }
                }
                other => return Ok(other),
            }
        }
    }

    fn wait(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.inner.wait()
    }

    fn seek(&mut self, partition: u32, offset: u64) {
        if let Some(wanted) = self.wanted.get_mut(partition as usize) {
            *wanted = Some(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn beat(at_ms: i64, end: u64, took_ms: i64) -> Heartbeat {
        Heartbeat { at_ms, ends: [("t".to_owned(), vec![end])].into_iter().collect(), took_ms }
    }

    #[test]
    fn a_mirror_whose_clock_runs_ahead_makes_nothing_look_newer_than_it_came() {
        let mut heard = Heard::default();
        heard.take(beat(HOUR_MS + 1_000, 1, 0), 1_010, 1_020);
        assert_eq!(heard.at_ms, 1_010);
        // It took five seconds to copy what there was before it sent this.
        heard.take(beat(HOUR_MS + 3_000, 2, 5_000), 8_010, 8_020);
        assert_eq!((heard.at_ms, &heard.written.ends["t"]), (3_010, &vec![2]));
        // Its clock is set right, or a mirror with a right one takes over: it is heard at once.
        heard.take(beat(9_000, 3, 0), 9_010, 9_020);
        assert_eq!((heard.at_ms, &heard.written.ends["t"]), (9_000, &vec![3]));
    }

    #[test]
    fn the_last_heartbeat_of_a_dead_mirror_is_no_newer_for_being_read_again() {
        // The clocks of mirror and broker both run ahead.
        let last = beat(HOUR_MS, 1, 0);
        let mut heard = Heard::default();
        heard.take(last.clone(), HOUR_MS, 1_000);
        heard.take(last.clone(), HOUR_MS, 60_000);
        assert_eq!(heard.at_ms, 1_000);
        // A replica that starts after its death goes by when the broker took it.
        let mut started = Heard::default();
        started.take(last, 1_000, 60_000);
        assert_eq!(started.at_ms, 1_000);
    }

    #[test]
    fn a_mirror_that_was_put_to_sleep_does_not_turn_time_back() {
        let mut heard = Heard::default();
        heard.take(beat(5_000, 5, 0), 5_010, 5_010);
        heard.take(beat(4_000, 4, 0), 6_000, 6_000);
        assert_eq!((heard.at_ms, &heard.written.ends["t"]), (5_000, &vec![5]));
    }
}
