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

use super::{STALLED, original, unmarked};
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

/// What moved, and when.
pub(super) struct Moved {
    /// How far everything was read, taken together.
    read: u64,
    read_since: Instant,
    /// Of the first partition that lacks something: its topic, its number and how far it was read.
    lacking: (String, i32, u64),
    lacking_since: Instant,
}

impl Moved {
    pub(super) fn new(now: Instant) -> Self {
        Self { read: 0, read_since: now, lacking: Default::default(), lacking_since: now }
    }

    /// Takes how far everything was read and what is the first to lack something; whether that should have come by now. A
    /// partition has twice as long as long as others move, for they may lie before it on a slow line; but they do not excuse it,
    /// for librdkafka may go on asking a broker that does not lead it any more.
    pub(super) fn stands_still(&mut self, read: u64, lacking: (&str, i32, u64), now: Instant) -> bool {
        if self.read != read {
            (self.read, self.read_since) = (read, now);
        }
        let (topic, partition, at) = lacking;
        if (self.lacking.0.as_str(), self.lacking.1, self.lacking.2) != lacking {
            (self.lacking, self.lacking_since) = ((topic.to_owned(), partition, at), now);
        }
        now - self.read_since > STALLED || now - self.lacking_since > STALLED * 2
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_stands_still_is_seen_although_others_move() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut moved = Moved::new(begun);
        for second in 0..=60 {
            assert!(!moved.stands_still(100 + second, ("t", 0, 5), after(second)), "{second}");
        }
        assert!(moved.stands_still(161, ("t", 0, 5), after(61)));
        // As soon as it moves, or another one is the first to lack something, it is waited for again.
        assert!(!moved.stands_still(162, ("t", 0, 6), after(62)));
        assert!(!moved.stands_still(163, ("t", 1, 6), after(90)));
        // Nothing at all moves: that is seen sooner.
        assert!(!moved.stands_still(163, ("t", 1, 6), after(120)));
        assert!(moved.stands_still(163, ("t", 1, 6), after(121)));
    }
}
