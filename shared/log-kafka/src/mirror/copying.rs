//! The copying process.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext},
};
use stockade_log::{Clock, LogError, Remedy, TopicSpec};

use super::{
    HEARTBEATS, HEARTBEATS_KEPT_MS, Heartbeat, OFFSET, ROUND, STALLED, TIME,
    commits::Commits,
    lane::{Lane, Moved, lane},
};
use crate::{
    broker::Broker,
    changelog::PARTITION_ROW,
    client::{ASK, Watch},
    options::KafkaOptions,
    topic::{Kind, Topic, Topics},
};

/// How long a round waits for its first record.
const IDLE: Duration = Duration::from_millis(20);
/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// How long one wait for acknowledgements is, before it is looked whether to stop.
const FLUSH: Duration = Duration::from_millis(500);
/// Pause before it is tried again after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// After this long the broker ends a transaction by itself: longer than sending, acknowledgement and commit may take here, each
/// of which gives up after [`STALLED`].
const TRANSACTION: Duration = STALLED.saturating_mul(4);
/// A round ends with this much read, in bytes.
const ROUND_BYTES: usize = 32 << 20;
/// What may wait for the end of its commit, in bytes: all of it is sent in one transaction.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// What is copied.
pub struct MirrorSpec {
    /// Topics of records.
    pub streams: Vec<TopicSpec>,
    /// The changelog: its name and number of partitions.
    pub changelog: (&'static str, u32),
}

/// How far the copying is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records and rows copied since it began.
    pub records: u64,
    /// The moment of which all was copied, in milliseconds; 0 before the first whole copy.
    pub whole_as_of_ms: i64,
}

/// Told what became of what was sent.
struct Sent {
    watch: Watch,
    failed: Arc<Mutex<Option<String>>>,
}

impl ClientContext for Sent {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Sent {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let why = format!("a copy for {} was not taken: {error}", message.topic());
            self.failed.lock().get_or_insert(why);
        }
    }
}

/// One partition of the changelog.
struct Rows {
    lane: Lane,
    commits: Commits<Row>,
}

/// A record to copy.
struct Row {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

impl Row {
    /// Its size in bytes, without headers.
    fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len)
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let count = message.headers().map_or(0, |headers| headers.count());
        let mut headers = OwnedHeaders::new_with_capacity(count + 2);
        for header in message.headers().iter().flat_map(|headers| headers.iter()) {
            headers = headers.insert(header);
        }
        let time_ms = message.timestamp().to_millis().unwrap_or(0).to_string();
        let offset = message.offset().to_string();
        let headers = headers
            .insert(Header { key: OFFSET, value: Some(offset.as_str()) })
            .insert(Header { key: TIME, value: Some(time_ms.as_str()) });
        Self { key: message.key().map(<[u8]>::to_vec), value: message.payload().map(<[u8]>::to_vec), headers }
    }

    /// Hands it to librdkafka, waiting for room; `begun` is when the transaction began, if it is sent in one.
    fn send<C: ProducerContext<DeliveryOpaque = ()>>(
        self,
        producer: &BaseProducer<C>,
        lane: &Lane,
        begun: Option<Instant>,
    ) -> Result<(), LogError> {
        let mut record =
            BaseRecord::<[u8], [u8]>::to(&lane.topic.full).partition(lane.partition).headers(self.headers);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.payload(value);
        }
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    producer.poll(Duration::from_millis(10));
                    record = back;
                }
                Err((mut error, _)) => {
                    // Of a transaction that was ended from outside, it is only said here that something ended it.
                    if let Some((code, _)) = begun.and_then(|_| producer.client().fatal_error()) {
                        error = KafkaError::MessageProduction(code);
                    }
                    let held = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
                    return Err(failed(&lane.topic.full, &error, held));
                }
            }
        }
    }
}

/// What a failure to write means, `held` after the transaction began in which it was to be written; zero outside of one.
fn failed(topic: &str, error: &KafkaError, held: Duration) -> LogError {
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    };
    if matches!(
        code,
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
        )
    ) {
        // The broker ends a transaction that takes too long, which looks the same; clients made anew go on then. If there is
        // another mirror after all, it ends when this one begins again, or this one with its next transaction.
        if held <= TRANSACTION {
            return LogError::Config(format!(
                "another mirror was started that copies to {topic}, or this one was held up for too long; it ends, for there may be one. Start it again if no other runs"
            ));
        }
    }
    LogError::Unavailable(format!("{topic} could not be copied: {error}"))
}

/// Copies `spec` from one cluster to another until `stop` says so, and tells how far it is about once a second. Topics of the
/// copy are made if they are not there. What may pass by itself is tried again, behind the last copy that is there; other errors
/// say what to do. Blocks; give it a thread of its own.
pub fn copy(
    from: KafkaOptions,
    to: KafkaOptions,
    spec: &MirrorSpec,
    clock: &Clock,
    stop: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Copied),
) -> Result<(), LogError> {
    let (origin, target) = (Arc::new(Broker::connect(from)?), Arc::new(Broker::connect(to)?));
    not_the_same(&origin, &target)?;
    for broker in [&origin, &target] {
        broker.begin_to_look()?;
    }
    let mut copied = Copied::default();
    let mut go = || -> Result<(), LogError> {
        let mut mirror = Mirror::open(&origin, &target, spec, copied)?;
        let ended = loop {
            if stop() {
                break mirror.settle(stop);
            }
            match mirror.round(stop).and_then(|()| mirror.beat(clock)) {
                Ok(true) => tell(mirror.told),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
        };
        copied = mirror.told;
        ended
    };
    let ended = loop {
        match to_repeat(go(), stop()) {
            Ok(Some(error)) => {
                tracing::warn!(%error, "the copying broke off; it goes on behind the last copy");
                target.pause(AGAIN);
            }
            ended => break ended.map(drop),
        }
    };
    for broker in [&origin, &target] {
        broker.begin_closing();
    }
    ended
}

/// What the copying broke off with and is tried again after. Once it is to stop, nothing is, and what would have been is no failure: the
/// next start goes on behind the last copy.
fn to_repeat(ended: Result<(), LogError>, stops: bool) -> Result<Option<LogError>, LogError> {
    match ended {
        Ok(()) => Ok(None),
        Err(error) if error.remedy() != Remedy::Retry => Err(error),
        Err(error) if stops => {
            tracing::info!(%error, "stopped while it was to be tried again; the next start goes on behind the last copy");
            Ok(None)
        }
        Err(error) => Ok(Some(error)),
    }
}

/// Refuses to copy topics into themselves. A cluster has many addresses, so it is asked what it is.
fn not_the_same(origin: &Broker, target: &Broker) -> Result<(), LogError> {
    if origin.options.prefix != target.options.prefix {
        return Ok(());
    }
    let id = |broker: &Broker| broker.asker.client().fetch_cluster_id(ASK);
    match (id(origin), id(target)) {
        (Some(from), Some(to)) if from == to => Err(LogError::Config(format!(
            "{} and {} are the same cluster ({from}); give the copy a cluster or a --to-prefix of its own",
            origin.options.brokers, target.options.brokers
        ))),
        _ => Ok(()),
    }
}

struct Mirror {
    origin: Arc<Broker>,
    reader: Arc<BaseConsumer<Watch>>,
    rows_reader: Arc<BaseConsumer<Watch>>,
    producer: Arc<BaseProducer<Sent>>,
    rows_producer: BaseProducer<Watch>,
    failed: Arc<Mutex<Option<String>>>,
    lanes: Vec<Lane>,
    rows: Vec<Rows>,
    beats: Arc<Topic>,
    /// Where the origin's partitions ended, and when; written down when all before is copied.
    pending: Option<(Heartbeat, Instant)>,
    beaten: Option<Instant>,
    moved: Moved,
    told: Copied,
}

impl Mirror {
    fn open(
        origin: &Arc<Broker>,
        target: &Arc<Broker>,
        spec: &MirrorSpec,
        told: Copied,
    ) -> Result<Self, LogError> {
        let no_client = |error: KafkaError| LogError::Config(format!("no client could be made: {error}"));
        // First of all: what a former process of this mirror left open is ended by it.
        let copier: ClientConfig = target.options.copier(TRANSACTION);
        let rows_producer: BaseProducer<Watch> =
            copier.create_with_context(target.watch.clone()).map_err(no_client)?;
        rows_producer
            .init_transactions(STALLED)
            .map_err(|error| failed("the changelog", &error, Duration::ZERO))?;
        let failures = Arc::new(Mutex::new(None));
        let sent = Sent { watch: target.watch.clone(), failed: failures.clone() };
        let producer = target.options.producer().create_with_context(sent).map_err(no_client)?;
        let producer = Arc::new(producer);
        target.clients.look_after(&producer);

        let topics = Topics::new(target.clone());
        let look: BaseConsumer<Watch> =
            target.options.scanner("mirror").create_with_context(target.watch.clone()).map_err(no_client)?;
        let mut lanes = Vec::new();
        for of in &spec.streams {
            origin.check_partitions(of.name, of.partitions)?;
            let topic = topics.open(of.name, of.partitions, &Kind::Stream(of.retention_ms))?;
            for partition in 0..of.partitions {
                lanes.push(lane(origin, target, &look, &topic, partition, true)?);
            }
        }
        // Before the first heartbeat nobody restores from the copy, so the first copy lasts until then, however often it breaks
        // off: what is there of a compacted changelog holds hardly any ends of commits to wait for.
        let beats = topics.open(HEARTBEATS, 1, &Kind::Stream(Some(HEARTBEATS_KEPT_MS)))?;
        let is_first = told.whole_as_of_ms == 0 && beats.watermarks(target, 0)?.1 == 0;
        let (name, partitions) = spec.changelog;
        origin.check_partitions(name, partitions)?;
        let state = topics.open(name, partitions, &Kind::Changelog)?;
        let mut rows = Vec::new();
        for partition in 0..partitions {
            let lane = lane(origin, target, &look, &state, partition, false)?;
            rows.push(Rows { lane, commits: Commits::new(is_first) });
        }
        let read = |lanes: &mut dyn Iterator<Item = &Lane>| -> Result<Arc<BaseConsumer<Watch>>, LogError> {
            let config = origin.options.scanner("mirror");
            let reader: BaseConsumer<Watch> =
                config.create_with_context(origin.watch.clone()).map_err(no_client)?;
            let mut list = TopicPartitionList::new();
            for lane in lanes {
                // Fails only for offsets that no log can hold.
                let _ =
                    list.add_partition_offset(&lane.origin, lane.partition, Offset::Offset(lane.sent as i64));
            }
            reader.assign(&list).map_err(|error| origin.unreachable(&error))?;
            let reader = Arc::new(reader);
            origin.clients.look_after(&reader);
            Ok(reader)
        };
        let reader = read(&mut lanes.iter())?;
        let rows_reader = read(&mut rows.iter().map(|rows| &rows.lane))?;
        Ok(Self {
            origin: origin.clone(),
            reader,
            rows_reader,
            producer,
            rows_producer,
            failed: failures,
            lanes,
            rows,
            beats,
            pending: None,
            beaten: None,
            moved: Moved::new(Instant::now()),
            told,
        })
    }

    /// Copies what there is, up to a bound, and waits until it is acknowledged.
    fn round(&mut self, stop: &dyn Fn() -> bool) -> Result<(), LogError> {
        let (mut wait, mut bytes) = (IDLE, 0);
        for _ in 0..ROUND {
            if bytes >= ROUND_BYTES {
                break;
            }
            match self.reader.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    wait = Duration::ZERO;
                    let of = (message.topic(), message.partition());
                    let is = |lane: &&mut Lane| (lane.origin.as_str(), lane.partition) == of;
                    let Some(lane) = self.lanes.iter_mut().find(is) else { continue };
                    bytes += message.payload_len();
                    Row::of(&message).send(&self.producer, lane, None)?;
                    lane.sent = message.offset() as u64 + 1;
                    self.told.records += 1;
                }
                Some(Err(error)) => self.origin.reading(&error)?,
            }
        }
        self.round_of_rows()?;
        self.settle(stop)
    }

    /// The same of the changelog, commit by commit.
    fn round_of_rows(&mut self) -> Result<(), LogError> {
        let mut bytes = 0;
        for _ in 0..ROUND {
            if bytes >= ROUND_BYTES {
                break;
            }
            match self.rows_reader.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    let Some(rows) = self.rows.get_mut(message.partition() as usize) else { continue };
                    let row = Row::of(&message);
                    let size = row.size();
                    bytes += size;
                    rows.commits.take(row, size, message.key() == Some(PARTITION_ROW));
                    rows.lane.sent = message.offset() as u64 + 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(rows) = self.rows.get_mut(partition as usize) {
                        rows.commits.reach_end();
                    }
                }
                Some(Err(error)) => self.origin.reading(&error)?,
            }
        }
        let name = self.rows.first().map_or_else(String::new, |rows| rows.lane.topic.full.clone());
        let waiting: usize = self.rows.iter().map(|rows| rows.commits.waiting_bytes()).sum();
        if waiting > WAITING_BYTES_MAX {
            return Err(LogError::Config(format!(
                "the origin has compacted {name} since it was last copied, and over {} MiB lie before the next end of a commit: the mirror was away for too long. Copy it under another --to-prefix",
                WAITING_BYTES_MAX >> 20
            )));
        }
        if self.rows.iter().all(|rows| !rows.commits.has_whole()) {
            return Ok(());
        }
        let begun = Instant::now();
        let failed = |error: KafkaError| failed(&name, &error, begun.elapsed());
        self.rows_producer.begin_transaction().map_err(failed)?;
        for rows in &mut self.rows {
            for row in rows.commits.drain_whole() {
                row.send(&self.rows_producer, &rows.lane, Some(begun))?;
                self.told.records += 1;
            }
        }
        // Whatever goes wrong, the next start ends what is open and begins behind what is committed.
        self.rows_producer.flush(STALLED).map_err(failed)?;
        let sent = Instant::now();
        loop {
            match self.rows_producer.commit_transaction(STALLED) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && sent.elapsed() < STALLED => {}
                other => return other.map_err(failed),
            }
        }
    }

    /// Waits until everything sent is acknowledged, or `stop` says to leave it: then a later start copies it again.
    fn settle(&mut self, stop: &dyn Fn() -> bool) -> Result<(), LogError> {
        let begun = Instant::now();
        while self.producer.in_flight_count() > 0 {
            if begun.elapsed() > STALLED {
                return Err(LogError::Unavailable(format!("nothing was acknowledged for {STALLED:?}")));
            }
            let flushed = self.producer.flush(FLUSH);
            if let Some(why) = self.failed.lock().take() {
                return Err(LogError::Unavailable(why));
            }
            if flushed.is_err() && stop() {
                return Ok(());
            }
        }
        if let Some(why) = self.failed.lock().take() {
            return Err(LogError::Unavailable(why));
        }
        self.lanes.iter_mut().for_each(|lane| lane.copied = lane.sent);
        Ok(())
    }

    /// Notes where the origin ends, now and then, and writes it down once all of that is copied; whether it did.
    fn beat(&mut self, clock: &Clock) -> Result<bool, LogError> {
        if self.pending.is_none() && self.beaten.is_none_or(|beaten| beaten.elapsed() >= BEAT) {
            // The time first: whatever is appended meanwhile may be missing.
            let at_ms = clock();
            let begun = Instant::now();
            self.pending = self.ends().map(|ends| (Heartbeat { at_ms, ends, took_ms: 0 }, begun));
            self.beaten = Some(Instant::now());
        }
        let Some((pending, begun)) = &self.pending else { return Ok(false) };
        let is_copied = |lane: &Lane| {
            let end = pending.ends.get(lane.topic.name).and_then(|ends| ends.get(lane.partition as usize));
            end.is_some_and(|end| lane.copied >= *end)
        };
        let lacks = self.lanes.iter().find(|lane| !is_copied(lane));
        let lacks = lacks
            .or_else(|| self.rows.iter().find(|rows| !rows.commits.has_reached_end()).map(|rows| &rows.lane));
        if let Some(Lane { origin, partition, copied, sent, .. }) = lacks {
            // What is read counts, not what is acknowledged: rows may wait long for the end of their commit.
            let all = self.lanes.iter().chain(self.rows.iter().map(|rows| &rows.lane));
            let read = all.map(|lane| lane.sent).sum();
            if self.moved.stands_still(read, (origin, *partition, *sent), Instant::now()) {
                return Err(LogError::Unavailable(format!(
                    "{origin}/{partition} stands still at {copied} although there is more"
                )));
            }
            return Ok(false);
        }
        self.moved = Moved::new(Instant::now());
        // Numbers and names are always written.
        let took_ms = begun.elapsed().as_millis() as i64;
        let value = serde_json::to_vec(&Heartbeat { took_ms, ..pending.clone() }).unwrap_or_default();
        self.told.whole_as_of_ms = pending.at_ms;
        let (origin, topic) = (String::new(), self.beats.clone());
        let lane = Lane { origin, topic, partition: 0, copied: 0, sent: 0 };
        Row { key: None, value: Some(value), headers: OwnedHeaders::new() }.send(
            &self.producer,
            &lane,
            None,
        )?;
        self.pending = None;
        Ok(true)
    }

    /// Where the origin's partitions end now; nothing while it does not answer.
    fn ends(&self) -> Option<BTreeMap<String, Vec<u64>>> {
        let mut asked = TopicPartitionList::new();
        for lane in &self.lanes {
            // Fails only for offsets that no log can hold.
            let _ = asked.add_partition_offset(&lane.origin, lane.partition, Offset::End);
        }
        let found = self.origin.asker.offsets_for_times(asked, ASK).ok()?;
        let mut ends: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for lane in &self.lanes {
            let element = found.find_partition(&lane.origin, lane.partition)?;
            let (Ok(()), Offset::Offset(end)) = (element.error(), element.offset()) else { return None };
            ends.entry(lane.topic.name.to_owned()).or_default().push(end as u64);
        }
        Some(ends)
    }
}

impl Broker {
    fn check_partitions(&self, name: &str, asked: u32) -> Result<(), LogError> {
        let (full, brokers) = (self.full_name(name), &self.options.brokers);
        match self.found_partitions(&full)? {
            Some(found) if found == asked => Ok(()),
            Some(found) => Err(LogError::Mismatch { topic: full, asked, found }),
            None => Err(LogError::Config(format!(
                "{brokers} has no topic {full}; start the platform there first, and check the address and prefix of the origin"
            ))),
        }
    }

    /// What an error in reading means: nothing, as long as librdkafka goes on by itself.
    fn reading(&self, error: &KafkaError) -> Result<(), LogError> {
        match error {
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset,
            )
            | KafkaError::MessageConsumptionFatal(_) => {
                Err(LogError::Unavailable(format!("reading from {} ended: {error}", self.options.brokers)))
            }
            error => {
                tracing::debug!(%error, "reading goes on");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

    use super::*;

    #[test]
    fn a_cluster_is_not_copied_into_itself_under_another_address() {
        let cluster = || MockCluster::<'static, DefaultProducerContext>::new(1).unwrap();
        let (one, other) = (cluster(), cluster());
        let broker = |at: &str, prefix: &str| {
            let options = KafkaOptions { prefix: prefix.to_owned(), ..KafkaOptions::new(at, "a") };
            Broker::connect(options).unwrap()
        };
        let at = one.bootstrap_servers();
        let (origin, same) = (broker(&at, ""), broker(&at.replace("127.0.0.1", "localhost"), ""));
        let error = not_the_same(&origin, &same).unwrap_err();
        assert!(matches!(&error, LogError::Config(why) if why.contains("--to-prefix")), "{error}");
        not_the_same(&origin, &broker(&at, "copy.")).unwrap();
        not_the_same(&origin, &broker(&other.bootstrap_servers(), "")).unwrap();
    }

    #[test]
    fn to_stop_while_it_is_tried_again_is_no_failure_and_what_needs_somebody_is_one_all_the_same() {
        let passes = || Err(LogError::Unavailable("nothing was acknowledged".to_owned()));
        let stays = || Err(LogError::Config("another mirror".to_owned()));
        assert!(matches!(to_repeat(passes(), false), Ok(Some(LogError::Unavailable(_)))));
        assert!(matches!(to_repeat(passes(), true), Ok(None)));
        assert!(to_repeat(stays(), false).is_err() && to_repeat(stays(), true).is_err());
        assert!(matches!(to_repeat(Ok(()), false), Ok(None)));
    }

    #[test]
    fn a_transaction_that_took_too_long_is_tried_again_and_only_one_that_did_not_ends_the_mirror() {
        let fenced = KafkaError::MessageProduction(RDKafkaErrorCode::ProducerFenced);
        let soon = failed("t", &fenced, Duration::from_secs(1));
        assert_eq!(soon.remedy(), Remedy::Fatal);
        assert!(soon.to_string().contains("another mirror"), "{soon}");
        let late = failed("t", &fenced, TRANSACTION + Duration::from_millis(1));
        assert_eq!(late.remedy(), Remedy::Retry, "{late}");
        let other = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        assert_eq!(failed("t", &other, Duration::ZERO).remedy(), Remedy::Retry);
    }
}
