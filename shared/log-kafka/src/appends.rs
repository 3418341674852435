//! Appends: which partition and which producer each record of a batch goes to, and room for all of it or none.

use std::sync::Arc;

use parking_lot::RwLock;
use rdkafka::error::KafkaError;
use rustc_hash::FxHashMap;
use stockade_log::{LogError, NewRecord, Route, Ticket, partition_of};

use crate::{
    broker::Broker,
    options::{BATCH_BYTES_MAX, RECORD_BYTES_MAX},
    outbox::{Batch, Outbox},
    topic::{Topic, Topics},
};

/// Where a record goes and through whom.
type Place = (Arc<Topic>, u32, Arc<Outbox>);

/// Everything that is appended from here.
pub(crate) struct Appends {
    broker: Arc<Broker>,
    topics: Arc<Topics>,
    outboxes: RwLock<FxHashMap<&'static str, Arc<Outbox>>>,
}

impl Appends {
    pub(crate) fn new(broker: Arc<Broker>, topics: Arc<Topics>) -> Self {
        Self { broker, topics, outboxes: RwLock::default() }
    }

    /// Waits until everything sent is acknowledged; `left` says how long it may still take.
    pub(crate) fn flush(&self, left: impl Fn() -> std::time::Duration) -> Result<(), KafkaError> {
        let outboxes: Vec<_> = self.outboxes.read().values().cloned().collect();
        outboxes.iter().try_for_each(|outbox| outbox.flush(left()))
    }

    pub(crate) fn outbox(&self, topic: &Topic) -> Result<Arc<Outbox>, LogError> {
        if let Some(outbox) = self.outboxes.read().get(topic.name) {
            return Ok(outbox.clone());
        }
        let mut outboxes = self.outboxes.write();
        if let Some(outbox) = outboxes.get(topic.name) {
            return Ok(outbox.clone());
        }
        let (options, watch) = (&self.broker.options, self.broker.watch.clone());
        let outbox = Arc::new(Outbox::open(options, watch, self.broker.poisoner())?);
        outboxes.insert(topic.name, outbox.clone());
        Ok(outbox)
    }

    pub(crate) fn append(&self, batch: &[NewRecord]) -> Ticket {
        let admitted = match self.admit(batch) {
            Ok(admitted) if admitted.is_empty() => return Ticket::ready(Ok(Vec::new())),
            Ok(admitted) => admitted,
            Err(error) => return Ticket::ready(Err(error)),
        };
        let (sender, ticket) = Ticket::pending();
        let group = Batch::new(batch.len(), sender);
        let mut refused = None;
        for (slot, (record, (topic, partition, outbox))) in batch.iter().zip(&admitted).enumerate() {
            match &refused {
                None => {
                    if let Err(error) = outbox.send(topic, *partition, record, &group, slot) {
                        // Some of the batch may be under way: only a restart keeps this gapless.
                        self.broker.poison(&format!("a record for {} was not taken: {error}", topic.full));
                        refused = Some(error);
                    }
                }
                Some(error) => group.settle(slot, Err(LogError::Stopped(error.to_string()))),
            }
        }
        ticket
    }

    /// Finds each record's partition and producer, and makes room for all of them or none.
    fn admit(&self, batch: &[NewRecord]) -> Result<Vec<Place>, LogError> {
        self.broker.healthy()?;
        if self.broker.closing() {
            return Err(LogError::Stopped("it was closed".to_owned()));
        }
        let mut places = Vec::with_capacity(batch.len());
        let mut sums: FxHashMap<(&'static str, u32), (Arc<Topic>, usize, usize)> = FxHashMap::default();
        let mut bytes = 0;
        for record in batch {
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
            let sum = sums.entry((topic.name, partition)).or_insert_with(|| (topic.clone(), 0, 0));
            (sum.1, sum.2) = (sum.1 + 1, sum.2 + size);
            let outbox = self.outbox(&topic)?;
            places.push((topic, partition, outbox));
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(LogError::TooLarge { bytes, bytes_max: BATCH_BYTES_MAX });
        }
        let mut taken: Vec<(Arc<Topic>, u32, usize, usize)> = Vec::with_capacity(sums.len());
        for ((_, partition), (topic, records, bytes)) in sums {
            if let Err(error) = topic.backlogs[partition as usize].admit(records, bytes) {
                for (topic, partition, records, bytes) in taken {
                    topic.backlogs[partition as usize].leave(records, bytes);
                }
                return Err(error);
            }
            taken.push((topic, partition, records, bytes));
        }
        Ok(places)
    }
}
