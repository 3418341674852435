//! Reading a partition from somewhere to somewhere, outside any group.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};
use stockade_log::{Committed, LogError, ReadLimit, Record};

use crate::{
    broker::Broker,
    changelog,
    client::{ASK, Watch},
    topic::Topic,
};

/// A scan that gets nothing for this long gives up.
const STALLED: Duration = Duration::from_secs(60);
/// How long a restore waits for a transaction under way.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// Rows of a changelog by key.
type Rows = BTreeMap<Vec<u8>, Bytes>;

/// A reader kept from one read to the next, since most reads go on where the last one ended.
#[derive(Default)]
pub(crate) struct Scanner(Mutex<Option<Cursor>>);

struct Cursor {
    consumer: BaseConsumer<Watch>,
    topic: String,
    partition: u32,
    next: u64,
}

/// A record as fetched.
pub(crate) fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned().into(), Bytes::copy_from_slice(header.value.unwrap_or(&[]))))
            .collect()
    });
    Record {
        offset: message.offset() as u64,
        time_ms: message.timestamp().to_millis().unwrap_or(0),
        key: Bytes::copy_from_slice(message.key().unwrap_or(&[])),
        headers: headers.unwrap_or_default(),
        value: Bytes::copy_from_slice(message.payload().unwrap_or(&[])),
    }
}

pub(crate) fn at(topic: &str, partition: u32, offset: u64) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    // Fails only for offsets that no log can hold.
    let _ = list.add_partition_offset(topic, partition as i32, Offset::Offset(offset as i64));
    list
}

/// What was there when it was asked where the partition begins, and is no longer.
pub(crate) fn moved(topic: &str, partition: u32, offset: u64) -> LogError {
    LogError::Unavailable(format!("the beginning of {topic}/{partition} moved past {offset} meanwhile"))
}

impl Scanner {
    /// Reads `range`, whose end is decided, until `limit`.
    pub(crate) fn read(
        &self,
        broker: &Broker,
        topic: &str,
        partition: u32,
        range: std::ops::Range<u64>,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        let from = range.start;
        let mut cursor = self.0.lock();
        let fits = cursor
            .as_ref()
            .is_some_and(|c| (c.topic.as_str(), c.partition, c.next) == (topic, partition, from));
        if !fits {
            let consumer = match cursor.take() {
                Some(cursor) => cursor.consumer,
                None => reader(broker)?,
            };
            consumer.assign(&at(topic, partition, from)).map_err(|error| broker.unreachable(&error))?;
            *cursor = Some(Cursor { consumer, topic: topic.to_owned(), partition, next: from });
        }
        let Some(current) = cursor.as_mut() else { return Ok(Vec::new()) };
        let (mut records, mut bytes) = (Vec::new(), 0);
        let begun = Instant::now();
        loop {
            let enough =
                records.len() >= limit.records.max(1) || (bytes >= limit.bytes && !records.is_empty());
            if enough || current.next >= range.end {
                return Ok(records);
            }
            match current.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let record = record(&message);
                    bytes += record.size();
                    current.next = record.offset + 1;
                    records.push(record);
                }
                // Retention took it after it was asked where the partition begins. Reading does not go on by itself then.
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset,
                ))) => {
                    *cursor = None;
                    return Err(moved(topic, partition, from));
                }
                Some(Err(error)) => tracing::debug!(%error, "read goes on"),
                None if begun.elapsed() > STALLED => {
                    return Err(LogError::Unavailable(format!(
                        "{topic}/{partition} could not be read for {STALLED:?}"
                    )));
                }
                None => {}
            }
        }
    }
}

fn reader(broker: &Broker) -> Result<BaseConsumer<Watch>, LogError> {
    let made = broker.options.scanner("reader").create_with_context(broker.watch.clone());
    made.map_err(|error| LogError::Config(format!("no consumer could be made: {error}")))
}

/// The last commit of the group whose changelog `state` is, and the rows as of then.
pub(crate) fn restore(
    broker: &Broker,
    state: &Topic,
    partition: u32,
) -> Result<(Option<Committed>, Rows), LogError> {
    let topic = &state.full;
    let raw = broker.raw_asker.fetch_watermarks(topic, partition as i32, ASK);
    let (_, raw_end) = raw.map_err(|error| broker.unreachable(&error))?;
    let begun = Instant::now();
    let (first, end) = loop {
        let ends = broker.asker.fetch_watermarks(topic, partition as i32, ASK);
        let (first, end) = ends.map_err(|error| broker.unreachable(&error))?;
        // A commit is answered a moment before it can be read. Waiting for what is under way only makes the cut newer;
        // an owner has waited for all that matters before its term began.
        if end >= raw_end || begun.elapsed() > UNDER_WAY {
            break (first, end);
        }
        broker.pause(Duration::from_millis(5));
    };
    let mut rows = Rows::new();
    if first < end {
        let consumer = reader(broker)?;
        consumer.assign(&at(topic, partition, first as u64)).map_err(|error| broker.unreachable(&error))?;
        let mut heard = Instant::now();
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                // Transactions are whole on either side of `end`: it is the first offset not decided yet.
                Some(Ok(message)) if message.offset() >= end => break,
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let key = message.key().unwrap_or(&[]);
                    match message.payload() {
                        Some(value) => drop(rows.insert(key.to_vec(), Bytes::copy_from_slice(value))),
                        None => drop(rows.remove(key)),
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => tracing::debug!(%error, "restore goes on"),
                None if heard.elapsed() > STALLED => {
                    return Err(LogError::Unavailable(format!(
                        "{topic}/{partition} could not be read for {STALLED:?}"
                    )));
                }
                None => {}
            }
        }
    }
    let kept = rows.remove(changelog::PARTITION_ROW);
    rows.retain(|key, _| changelog::is_row(key));
    let Some(kept) = kept else { return Ok((None, rows)) };
    match changelog::decode(&kept) {
        Some(committed) => Ok((Some(committed), rows)),
        None => Err(LogError::Stopped(format!(
            "{topic}/{partition} holds a partition row that this build cannot read"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
    use stockade_log::Remedy;

    use super::*;
    use crate::options::KafkaOptions;

    #[test]
    fn what_retention_takes_while_it_is_read_is_looked_for_again_at_once() {
        let cluster = MockCluster::<'static, DefaultProducerContext>::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let broker = Broker::connect(KafkaOptions::new(cluster.bootstrap_servers(), "a")).unwrap();
        // Of an empty partition nothing is out of reach but what is said to be there.
        let read = Scanner::default().read(&broker, "t", 0, 5..6, ReadLimit::default());
        let error = read.unwrap_err();
        assert_eq!(error.remedy(), Remedy::Retry);
        assert!(error.to_string().contains("moved"), "{error}");
    }
}
