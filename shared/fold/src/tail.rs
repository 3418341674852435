//! Following a topic without state: the overlay, the quarantine writer and views do.

use std::future::Future;

use stockade_log::{Event, LogError, Mode, ReadLimit, Record, SharedLog};
use stockade_model::{DeadLetter, Envelope, Payload, Timestamp, Topic};

use crate::host::dead_letter;

/// A record with what it says.
#[derive(Debug)]
pub struct Tailed {
    /// Its offset.
    pub offset: u64,
    /// Record time.
    pub time: Timestamp,
    /// Its headers.
    pub envelope: Envelope,
    /// What it says; for poison, what is kept of it. The fold that owns the topic dead-letters it, the others go on.
    pub payload: Result<Payload, Box<DeadLetter>>,
}

impl Tailed {
    /// Reads a record of `topic`.
    pub fn open(topic: Topic, partition: u32, record: &Record) -> Self {
        let headers = record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        let letter = |envelope: &Envelope, code, detail| {
            Box::new(dead_letter(topic, partition, record, envelope, code, detail))
        };
        let (envelope, payload) = match Envelope::from_headers(headers) {
            Err(detail) => {
                let envelope = Envelope::default();
                let letter = letter(&envelope, "bad_header", detail);
                (envelope, Err(letter))
            }
            Ok(envelope) => {
                let payload = Payload::decode(&envelope.kind, &record.value)
                    .map_err(|error| letter(&envelope, "undecodable", error.to_string()));
                (envelope, payload)
            }
        };
        Self { offset: record.offset, time: Timestamp::from_ms(record.time_ms), envelope, payload }
    }
}

/// Hands the records of `topic`, which must have one partition, from `from` on to `each`, batch by batch, until
/// `shutdown` resolves.
pub async fn tail<F: Future<Output = ()> + Send>(
    log: SharedLog,
    name: &'static str,
    topic: Topic,
    from: u64,
    mut each: impl FnMut(Vec<Tailed>) -> F + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), LogError> {
    let mut consumer = log.join(name, topic.name(), Mode::Follow)?;
    tokio::pin!(shutdown);
    loop {
        match consumer.try_next(ReadLimit::default())? {
            Some(Event::Assigned { partition, .. }) => consumer.seek(partition, from),
            Some(Event::Batch { partition, records }) => {
                each(records.iter().map(|record| Tailed::open(topic, partition, record)).collect()).await;
            }
            None => tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                () = consumer.wait() => {}
            },
        }
    }
}
