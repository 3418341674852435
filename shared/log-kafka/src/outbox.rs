//! The producer of one lane of a topic, and what becomes of the records it is given. Each has a producer of its own, because a
//! producer's connections and queue are shared by everything sent through it: a flood into one must not hold up another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext},
};
use stockade_log::{Lane, LogError, NewRecord, Placed};
use tokio::sync::oneshot;

use crate::{
    broker::Broker,
    client::{ASK, Watch},
    lanes::Passage,
    topic::Topic,
};

/// Who waits for an append.
type Answer = oneshot::Sender<Result<Vec<Placed>, LogError>>;

/// One append call until all of it is acknowledged.
pub(crate) struct Batch {
    left: AtomicUsize,
    placed: Mutex<Vec<Placed>>,
    failed: Mutex<Option<LogError>>,
    answer: Mutex<Option<Answer>>,
    /// Held until the last of it is settled, whoever waits for that.
    _passages: Vec<Passage>,
}

impl Batch {
    pub(crate) fn new(count: usize, answer: Answer, passages: Vec<Passage>) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(count),
            placed: Mutex::new(vec![Placed { partition: 0, offset: 0 }; count]),
            failed: Mutex::new(None),
            answer: Mutex::new(Some(answer)),
            _passages: passages,
        })
    }
    pub(crate) fn settle(&self, slot: usize, result: Result<Placed, LogError>) {
        match result {
            Ok(placed) => self.placed.lock()[slot] = placed,
            Err(error) => drop(self.failed.lock().get_or_insert(error)),
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(answer) = self.answer.lock().take()
        {
            let result = match self.failed.lock().take() {
                Some(error) => Err(error),
                None => Ok(std::mem::take(&mut *self.placed.lock())),
            };
            // The caller may have given up waiting; the records stay.
            let _ = answer.send(result);
        }
    }
}

/// Where a record goes, and beside whom.
pub(crate) struct Place {
    pub(crate) topic: Arc<Topic>,
    pub(crate) partition: u32,
    pub(crate) lane: Lane,
}

/// One record under way.
pub(crate) struct Delivery {
    batch: Arc<Batch>,
    slot: usize,
    topic: Arc<Topic>,
    lane: Lane,
    bytes: usize,
}

/// Told by librdkafka what became of each record.
pub(crate) struct Deliveries {
    watch: Watch,
    failed: Arc<dyn Fn(&str) + Send + Sync>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error.clone(), reason);
        if matches!(error.rdkafka_error_code(), Some(rdkafka::error::RDKafkaErrorCode::Fatal)) {
            (self.failed)(reason);
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;
    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let Delivery { batch, slot, topic, lane, bytes } = *delivery;
        let outcome = match result {
            Ok(message) => {
                let (partition, offset) = (message.partition() as u32, message.offset() as u64);
                topic.reached(partition, offset + 1);
                topic.backlogs[partition as usize].leave(lane, 1, bytes);
                Ok(Placed { partition, offset })
            }
            Err((error, message)) => {
                if let Some(backlog) = topic.backlogs.get(message.partition() as usize) {
                    backlog.leave(lane, 1, bytes);
                }
                // A record that failed for good leaves a gap that what follows must not close.
                let why = format!("a record for {} was not taken: {error}", topic.full);
                (self.failed)(&why);
                Err(LogError::Stopped(why))
            }
        };
        batch.settle(slot, outcome);
    }
}

/// How long the thread of a producer waits for news at a time. The client waits in whole milliseconds and turns round without
/// waiting for what is left of the last one, so short waits keep a core busy: the client's own thread, which waits 100 ms,
/// spent a hundredth of a core on each topic, idle or not.
const WAIT: Duration = Duration::from_secs(1);

/// The producer of one lane of a topic, and the thread that hears what became of its records.
pub(crate) struct Outbox {
    producer: Arc<BaseProducer<Deliveries>>,
    /// The thread ends within a wait of this and takes the producer with it.
    ended: Arc<AtomicBool>,
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Outbox {
    pub(crate) fn open(broker: &Broker) -> Result<Self, LogError> {
        let refused =
            |error: &dyn std::fmt::Display| LogError::Config(format!("no producer could be made: {error}"));
        let context = Deliveries { watch: broker.watch.clone(), failed: broker.poisoner() };
        let producer: BaseProducer<Deliveries> =
            broker.options.producer().create_with_context(context).map_err(|e| refused(&e))?;
        let (producer, ended) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        broker.clients.look_after(&producer);
        let (heard, stop) = (producer.clone(), ended.clone());
        let listen = move || {
            while !stop.load(Ordering::Relaxed) {
                heard.poll(WAIT);
            }
        };
        std::thread::Builder::new().name("deliveries".to_owned()).spawn(listen).map_err(|e| refused(&e))?;
        Ok(Self { producer, ended })
    }

    /// Hands one admitted record to librdkafka.
    pub(crate) fn send(
        &self,
        place: &Place,
        record: &NewRecord,
        batch: &Arc<Batch>,
        slot: usize,
    ) -> Result<(), KafkaError> {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
        let Place { topic, partition, lane } = place;
        let (batch, topic, lane) = (batch.clone(), topic.clone(), *lane);
        let delivery = Box::new(Delivery { batch, slot, topic: topic.clone(), lane, bytes: record.size() });
        let new = BaseRecord::<[u8], [u8], _>::with_opaque_to(&topic.full, delivery)
            .partition(*partition as i32)
            .payload(&record.value)
            .headers(headers);
        let new = if record.key.is_empty() { new } else { new.key(&record.key) };
        self.producer.send(new).map_err(|(error, back)| {
            back.delivery_opaque.batch.settle(slot, Err(LogError::Stopped(error.to_string())));
            error
        })
    }

    /// Connects and learns where the topic's partitions are.
    pub(crate) fn warm_up(&self, topic: &Topic) {
        if let Err(error) = self.producer.client().fetch_metadata(Some(&topic.full), ASK) {
            tracing::debug!(topic = topic.full, %error, "it is connected when first used");
        }
    }

    /// Waits until everything sent is acknowledged.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.producer.flush(timeout)
    }
}
