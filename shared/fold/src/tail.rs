//! Following a topic without state: the overlay, the quarantine writer and views do.

use std::future::Future;

use stockade_log::{Event, LogError, Mode, ReadLimit, Record, SharedLog};
use stockade_model::{Envelope, Payload, Topic};

/// Why following stopped.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record of a topic that only this platform writes does not decode.
    #[error(
        "{topic} holds a record at offset {offset} that this build cannot read: {detail}; run a build that can"
    )]
    Unreadable {
        /// The topic.
        topic: &'static str,
        /// Its offset.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
}

/// A record with what it says.
#[derive(Debug)]
pub struct Tailed {
    /// Its offset.
    pub offset: u64,
    /// Its headers.
    pub envelope: Envelope,
    /// What it says.
    pub payload: Payload,
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
) -> Result<(), TailError> {
    let mut consumer = log.join(name, topic.name(), Mode::All)?;
    tokio::pin!(shutdown);
    loop {
        match consumer.try_next(ReadLimit::default())? {
            Some(Event::Assigned { partition, .. }) => consumer.seek(partition, from),
            Some(Event::Batch { records, .. }) => {
                let batch = records.iter().map(|record| open(topic, record)).collect::<Result<_, _>>()?;
                each(batch).await;
            }
            None => tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                () = consumer.wait() => {}
            },
        }
    }
}

fn open(topic: Topic, record: &Record) -> Result<Tailed, TailError> {
    let unreadable = |detail| TailError::Unreadable { topic: topic.name(), offset: record.offset, detail };
    let headers = record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let envelope = Envelope::from_headers(headers).map_err(unreadable)?;
    let payload = Payload::decode(&envelope.kind, &record.value).map_err(|e| unreadable(e.to_string()))?;
    Ok(Tailed { offset: record.offset, envelope, payload })
}
