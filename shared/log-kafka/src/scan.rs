//! Reading a partition from somewhere to somewhere, outside any group.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};
use stockade_log::{Committed, LogError, ReadLimit, Record};

use crate::{
    Shared,
    context::Watch,
    group::{ASK, Group, PARTITION_ROW},
};

/// A scan that gets nothing for this long gives up.
const STALLED: Duration = Duration::from_secs(60);
/// How long a restore waits for a transaction under way.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// Rows of a changelog by key.
type Rows = BTreeMap<Vec<u8>, Bytes>;

/// A reader kept from one read to the next, since most reads go on where the last one ended.
pub(crate) struct Cursor {
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
            .map(|header| (header.key.into(), Bytes::copy_from_slice(header.value.unwrap_or(&[]))))
            .collect()
    });
    Record {
        offset: message.offset() as u64,
        time_ms: message.timestamp().to_millis().unwrap_or(0),
        key: Bytes::copy_from_slice(message.key().unwrap_or(&[])),
        headers: headers.unwrap_or_else(|| Vec::new().into()),
        value: Bytes::copy_from_slice(message.payload().unwrap_or(&[])),
    }
}

pub(crate) fn at(topic: &str, partition: u32, offset: u64) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    // Fails only for offsets that no log can hold.
    let _ = list.add_partition_offset(topic, partition as i32, Offset::Offset(offset as i64));
    list
}

impl Shared {
    fn scanner(&self) -> Result<BaseConsumer<Watch>, LogError> {
        let made = self.options.scanner("reader").create_with_context(self.watch.clone());
        made.map_err(|error| LogError::Config(format!("no consumer could be made: {error}")))
    }

    /// Reads `range`, whose end is decided, until `limit`.
    pub(crate) fn read_records(
        &self,
        topic: &str,
        partition: u32,
        range: std::ops::Range<u64>,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        let from = range.start;
        let mut cursor = self.cursor.lock();
        let fits = cursor
            .as_ref()
            .is_some_and(|c| (c.topic.as_str(), c.partition, c.next) == (topic, partition, from));
        if !fits {
            let consumer = match cursor.take() {
                Some(cursor) => cursor.consumer,
                None => self.scanner()?,
            };
            consumer.assign(&at(topic, partition, from)).map_err(|error| self.unreachable(&error))?;
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

    /// The last commit of a group and the rows as of then.
    pub(crate) fn restore_group(
        &self,
        group: &Group,
        partition: u32,
    ) -> Result<(Option<Committed>, Rows), LogError> {
        let topic = &group.state.full;
        let raw = self.raw_asker.fetch_watermarks(topic, partition as i32, ASK);
        let (_, raw_end) = raw.map_err(|error| self.unreachable(&error))?;
        let begun = Instant::now();
        let (first, end) = loop {
            let ends = self.asker.fetch_watermarks(topic, partition as i32, ASK);
            let (first, end) = ends.map_err(|error| self.unreachable(&error))?;
            // A commit is answered a moment before it can be read. Waiting for what is under way only makes the cut newer;
            // an owner has waited for all that matters before its term began.
            if end >= raw_end || begun.elapsed() > UNDER_WAY {
                break (first, end);
            }
            self.pause(Duration::from_millis(5));
        };
        let mut rows = Rows::new();
        if first < end {
            let consumer = self.scanner()?;
            consumer.assign(&at(topic, partition, first as u64)).map_err(|error| self.unreachable(&error))?;
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
        let own = rows.remove(PARTITION_ROW);
        rows.retain(|key, _| key.first() != Some(&0));
        let Some(own) = own else { return Ok((None, rows)) };
        let number = |range: std::ops::Range<usize>| {
            own.get(range).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
        };
        let (Some(epoch), Some(next_offset)) = (number(0..8), number(8..16)) else {
            return Err(LogError::Stopped(format!(
                "{topic}/{partition} holds a partition row that this build cannot read"
            )));
        };
        Ok((Some(Committed { epoch, next_offset, row: own.slice(16..) }), rows))
    }
}
