//! Where the copying of a partition stands, which is read off its last copy.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::Headers as _,
};
use stockade_log::LogError;

use super::{copying::STALLED, original, unmarked};
use crate::{
    broker::Broker,
    client::{ASK, Watch},
    scan::at,
    topic::Topic,
};

/// Records from the end in which the last copy is looked for at first; transactions leave marks that are no records.
const LOOK_BACK: u64 = 16;

/// One partition under way.
pub(super) struct Lane {
    /// What its topic is called at the origin.
    pub(super) origin: String,
    pub(super) topic: Arc<Topic>,
    pub(super) partition: i32,
    /// Everything before this original is acknowledged.
    pub(super) copied: u64,
    /// Everything before this original is sent.
    pub(super) sent: u64,
}

/// Where the copying of a partition stands.
pub(super) fn lane(
    origin: &Broker,
    target: &Broker,
    look: &BaseConsumer<Watch>,
    topic: &Arc<Topic>,
    partition: u32,
    is_stream: bool,
) -> Result<Lane, LogError> {
    let full = origin.full_name(topic.name);
    let asked = origin.asker.fetch_watermarks(&full, partition as i32, ASK);
    let (first, end) = asked.map_err(|error| origin.unreachable(&error))?;
    let last = last_copied(target, look, topic, partition)?;
    let next = last.map_or(first as u64, |last| last + 1);
    if next > end as u64 {
        return Err(LogError::Config(format!(
            "{full}/{partition} ends at {end}, but {next} records of it were copied: it was made anew. Copy it under another --to-prefix"
        )));
    }
    // Rows go by compaction, records only by age: those that went were never copied.
    if is_stream && next < first as u64 {
        return Err(LogError::Config(format!(
            "{full}/{partition} begins at {first}, but the copy ends at {next}: the mirror was away for longer than the origin keeps records. Copy it under another --to-prefix"
        )));
    }
    Ok(Lane { origin: full, topic: topic.clone(), partition: partition as i32, copied: next, sent: next })
}

/// The original of the last copy in a partition.
fn last_copied(
    target: &Broker,
    look: &BaseConsumer<Watch>,
    topic: &Topic,
    partition: u32,
) -> Result<Option<u64>, LogError> {
    let (first, end) = topic.watermarks(target, partition)?;
    let mut back = LOOK_BACK;
    loop {
        let from = end.saturating_sub(back).max(first);
        if from >= end {
            return Ok(None);
        }
        look.assign(&at(&topic.full, partition, from)).map_err(|error| target.unreachable(&error))?;
        let (mut last, mut heard) = (None, Instant::now());
        loop {
            match look.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let headers = message.headers();
                    let headers = headers.iter().flat_map(|headers| headers.iter());
                    let marks = original(headers.map(|header| (header.key, header.value.unwrap_or(&[]))));
                    let place = message.offset() as u64;
                    last = Some(marks.ok_or_else(|| unmarked(&topic.full, partition, place))?.0);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => tracing::debug!(%error, "the look goes on"),
                None if heard.elapsed() > STALLED => {
                    return Err(LogError::Unavailable(format!(
                        "{}/{partition} could not be read for {STALLED:?}",
                        topic.full
                    )));
                }
                None => {}
            }
        }
        if last.is_some() || from == first {
            return Ok(last);
        }
        back = back.saturating_mul(16);
    }
}
