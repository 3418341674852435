//! What a start finds: the log, or the last picture where that cannot be reached.

use std::time::Duration;

use anyhow::{Context as _, Result};
use stockade_inventory::picture::{Origin, Picture, Pictures, Unusable};
use stockade_log::{LogError, SharedLog};
use stockade_model::Topic;
use stockade_runtime::clock;
use tokio::sync::oneshot;

use crate::{
    config::Config,
    connect,
    platform::{Roles, ensure_topics},
};

/// How long the log is waited for before buyers are answered from a picture. A broker that says nothing is given up on sooner; one
/// that says something and gives nothing is not.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause before the log is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What there is at first.
pub(crate) enum First {
    /// The log.
    Log(SharedLog),
    /// A picture, while the log is being opened.
    Picture(Box<Picture>, Opening),
}

/// A log that is being opened, on a thread of its own: that blocks, and must not hold up the end of the process.
pub(crate) struct Opening(Option<oneshot::Receiver<Result<SharedLog>>>);

/// Opens the log, with all topics.
fn opened(config: &Config) -> Result<SharedLog> {
    let log = connect::log(config)?;
    ensure_topics(&log, config.log.partitions)?;
    Ok(log)
}

/// The same once each partition can be read, for brokers come back one by one, and what is begun with some of them ends the process.
fn readable(config: &Config) -> Result<SharedLog> {
    let log = opened(config)?;
    for topic in Topic::ALL {
        for partition in 0..log.partitions(topic.name())? {
            log.bounds(topic.name(), partition)?;
        }
    }
    Ok(log)
}

/// Whether the log could not be opened only because nobody answered.
fn is_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LogError::Unreachable(_) | LogError::Unavailable(_)))
}

impl Opening {
    fn begin(config: &Config) -> Result<Self> {
        let (told, opening) = oneshot::channel();
        let config = config.clone();
        // Whoever waits for it may have gone.
        let open = move || drop(told.send(readable(&config)));
        std::thread::Builder::new().name("open-log".to_owned()).spawn(open)?;
        Ok(Self(Some(opening)))
    }

    async fn result(&mut self) -> Result<SharedLog> {
        let Some(opening) = &mut self.0 else { anyhow::bail!("nothing is being opened") };
        let opened = opening.await;
        self.0 = None;
        opened.context("the thread that opens the log ended")?
    }

    /// Goes on until the log is open. What is wrong with it, other than that nobody answers, is an error.
    pub(crate) async fn finish(mut self, config: &Config) -> Result<SharedLog> {
        loop {
            if self.0.is_none() {
                tokio::time::sleep(AGAIN).await;
                self = Self::begin(config)?;
            }
            match self.result().await {
                Err(error) if is_away(&error) => tracing::debug!(%error, "the log is still away"),
                done => return done,
            }
        }
    }
}

/// Where this process keeps pictures; `None` where it keeps none: on the embedded log, which is as near as they are, and where
/// buyers are not answered.
pub(crate) fn pictures(config: &Config, roles: Roles) -> Option<Pictures> {
    let bounds = config.picture.bounds().filter(|_| config.kafka.used() && roles.inventory)?;
    let origin = Origin {
        prefix: config.kafka.prefix.clone(),
        generation: config.kafka.generation,
        partitions: config.log.partitions,
    };
    Some(Pictures::new(config.log.directory.join("picture"), origin, bounds))
}

/// The log; or, where that cannot be reached, the last picture.
pub(crate) async fn open(config: &Config, pictures: Option<&Pictures>) -> Result<First> {
    let Some(pictures) = pictures else { return Ok(First::Log(opened(config)?)) };
    let mut opening = Opening::begin(config)?;
    let away = match tokio::time::timeout(PATIENCE, opening.result()).await {
        Ok(Ok(log)) => return Ok(First::Log(log)),
        Ok(Err(error)) if is_away(&error) => Some(error),
        Ok(Err(error)) => return Err(error),
        Err(_) => None,
    };
    let (of, now_ms) = (pictures.clone(), clock::now_ms());
    match tokio::task::spawn_blocking(move || of.load(now_ms)).await? {
        Ok(picture) => {
            let why = away.map_or_else(|| "it does not answer".to_owned(), |error| error.to_string());
            tracing::warn!(
                why,
                "the log cannot be reached; buyers are answered from the last picture until it can"
            );
            Ok(First::Picture(Box::new(picture), opening))
        }
        Err(unusable) => {
            match &unusable {
                Unusable::Missing(_) => tracing::info!(%unusable, "buyers are not answered without the log"),
                _ => tracing::warn!(%unusable, "buyers are not answered without the log"),
            }
            // As it would be without pictures.
            match away {
                Some(error) => Err(error),
                None => Ok(First::Log(opening.result().await?)),
            }
        }
    }
}
