//! Appends: which partition and which producer each record of a batch goes to, and room for all of it or none.

use std::sync::Arc;

use parking_lot::RwLock;
use rdkafka::error::KafkaError;
use rustc_hash::FxHashMap;
use stockade_log::{Lane, LogError, NewRecord, Route, Ticket, partition_of};

use crate::{
    broker::Broker,
    lanes::{Lanes, Passage},
    options::{BATCH_BYTES_MAX, RECORD_BYTES_MAX},
    outbox::{Batch, Outbox, Place},
    topic::{Topic, Topics},
};

/// Records and bytes that a batch brings to one partition of a topic.
type Sum = (Arc<Topic>, usize, usize);

/// Everything that is appended from here.
pub(crate) struct Appends {
    broker: Arc<Broker>,
    topics: Arc<Topics>,
    outboxes: RwLock<FxHashMap<(&'static str, Lane), Arc<Outbox>>>,
    lanes: Lanes,
}

impl Appends {
    pub(crate) fn new(broker: Arc<Broker>, topics: Arc<Topics>) -> Self {
        Self { broker, topics, outboxes: RwLock::default(), lanes: Lanes::default() }
    }

    /// Waits until everything sent is acknowledged; `left` says how long it may still take.
    pub(crate) fn flush(&self, left: impl Fn() -> std::time::Duration) -> Result<(), KafkaError> {
        let outboxes: Vec<_> = self.outboxes.read().values().cloned().collect();
        outboxes.iter().try_for_each(|outbox| outbox.flush(left()))
    }

    pub(crate) fn outbox(&self, topic: &Topic, lane: Lane) -> Result<Arc<Outbox>, LogError> {
        let of = (topic.name, lane);
        if let Some(outbox) = self.outboxes.read().get(&of) {
            return Ok(outbox.clone());
        }
        let mut outboxes = self.outboxes.write();
        if let Some(outbox) = outboxes.get(&of) {
            return Ok(outbox.clone());
        }
        let outbox = Arc::new(Outbox::open(&self.broker)?);
        outboxes.insert(of, outbox.clone());
        Ok(outbox)
    }

    /// Appends the platform's own records, and whatever else has no order to keep with what has a lane.
    pub(crate) fn append(&self, batch: &[NewRecord]) -> Ticket {
        self.send(batch, Vec::new())
    }

    /// Appends what somebody sent, beside others of `lane`.
    pub(crate) fn append_in(&self, lane: Lane, batch: &[NewRecord]) -> Ticket {
        let entered = batch.iter().map(|record| self.lanes.enter(record.topic, &record.key, lane));
        match entered.collect() {
            Ok(passages) => self.send(batch, passages),
            Err(error) => Ticket::ready(Err(error)),
        }
    }

    /// `passages` has one for each record, or none where all are the platform's own.
    fn send(&self, batch: &[NewRecord], passages: Vec<Passage>) -> Ticket {
        let admitted = match self.admit(batch, &passages) {
            Ok(admitted) if admitted.is_empty() => return Ticket::ready(Ok(Vec::new())),
            Ok(admitted) => admitted,
            Err(error) => return Ticket::ready(Err(error)),
        };
        let (sender, ticket) = Ticket::pending();
        let group = Batch::new(batch.len(), sender, passages);
        let mut refused = None;
        for (slot, (record, (place, outbox))) in batch.iter().zip(&admitted).enumerate() {
            match &refused {
                None => {
                    if let Err(error) = outbox.send(place, record, &group, slot) {
                        // Some of the batch may be under way: only a restart keeps this gapless.
                        self.broker
                            .poison(&format!("a record for {} was not taken: {error}", place.topic.full));
                        refused = Some(error);
                    }
                }
                Some(error) => group.settle(slot, Err(LogError::Stopped(error.to_string()))),
            }
        }
        ticket
    }

    /// Finds each record's partition and producer, and makes room for all of them or none.
    fn admit(
        &self,
        batch: &[NewRecord],
        passages: &[Passage],
    ) -> Result<Vec<(Place, Arc<Outbox>)>, LogError> {
        self.broker.healthy()?;
        if self.broker.closing() {
            return Err(LogError::Stopped("it was closed".to_owned()));
        }
        let mut places = Vec::with_capacity(batch.len());
        let mut sums: FxHashMap<(&'static str, u32, Lane), Sum> = FxHashMap::default();
        let mut bytes = 0;
        for (slot, record) in batch.iter().enumerate() {
            let topic = self.topics.get(record.topic)?;
            let partition = match record.route {
                Route::Key => partition_of(&record.key, topic.partitions),
                Route::Partition(partition) => partition,
            };
            if partition >= topic.partitions {
                return Err(LogError::Unknown { topic: topic.name.to_owned(), partition });
            }
            let size = record.size();
            if size > RECORD_BYTES_MAX {
                return Err(LogError::TooLarge { bytes: size, bytes_max: RECORD_BYTES_MAX });
            }
            bytes += size;
            let lane = passages.get(slot).map_or(Lane::Trusted, |passage| passage.lane);
            let sum = sums.entry((topic.name, partition, lane)).or_insert_with(|| (topic.clone(), 0, 0));
            (sum.1, sum.2) = (sum.1 + 1, sum.2 + size);
            let outbox = self.outbox(&topic, lane)?;
            places.push((Place { topic, partition, lane }, outbox));
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(LogError::TooLarge { bytes, bytes_max: BATCH_BYTES_MAX });
        }
        let mut taken: Vec<((u32, Lane), Sum)> = Vec::with_capacity(sums.len());
        for ((_, partition, lane), (topic, records, bytes)) in sums {
            if let Err(error) = topic.backlogs[partition as usize].admit(lane, records, bytes) {
                for ((partition, lane), (topic, records, bytes)) in taken {
                    topic.backlogs[partition as usize].leave(lane, records, bytes);
                }
                return Err(error);
            }
            taken.push(((partition, lane), (topic, records, bytes)));
        }
        Ok(places)
    }
}
