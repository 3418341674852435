//! Sends what is owed: one attempt of an endpoint at a time, so many of an owner and in all, until the process is told to end.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stockade_fold::Board;
use stockade_log::{Ack, Clock, NewRecord, Route, SharedLog};
use stockade_model::{
    Attempt, AttemptFailure, EndpointOwner, Envelope, Payload, Timestamp, Topic, WebhookRecord,
};
use tokio::task::JoinSet;

use crate::{
    View, WebhooksConfig,
    master::Master,
    metrics,
    post::{Letter, Post},
    rights::Rights,
    turns::Turns,
    view::Due,
};

/// How often it is looked whether something is due, when nothing is heard of: the clock may be another than this machine's.
const LOOK: Duration = Duration::from_millis(250);
/// How long the fold may take to note an attempt before its endpoint is looked at again.
const NOTED: Duration = Duration::from_secs(10);
/// How long the log may take for what can be said again later.
const APPEND: Duration = Duration::from_secs(5);
/// Pause after the log did not take the result of an attempt.
const LOG_PAUSE: Duration = Duration::from_secs(1);
const LOG_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Whether an owner has a key that is good: of a supplier any of its keys. The operators' endpoints go by their role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// It is told what happens.
    Has,
    /// It is told nothing, and after a while its endpoints are disabled.
    Lost,
    /// It is told nothing for now: who has keys is not known.
    Unknown,
}

/// Asks for the right of an owner.
pub type Listens = Arc<dyn Fn(&EndpointOwner) -> Right + Send + Sync>;

/// The sender of a process; it sends while the process owns the fold.
pub struct Sender {
    view: View,
    log: SharedLog,
    clock: Clock,
    board: Board,
    master: Master,
    which: String,
    post: Post,
    listens: Listens,
    config: WebhooksConfig,
    /// Begins the ids of its records.
    prefix: String,
    next: AtomicU64,
}

impl Sender {
    /// A sender of what `view` knows; `instance` differs from start to start.
    pub fn new(
        (view, master): (View, Master),
        (log, clock, board): (SharedLog, Clock, Board),
        config: &WebhooksConfig,
        listens: Listens,
        instance: &str,
    ) -> Result<Self, String> {
        let deadline = Duration::from_millis(config.deadline_ms);
        Ok(Self {
            view,
            log,
            clock,
            board,
            which: master.which(),
            master,
            post: Post::new(config.ca_file.as_deref().map(Path::new), config.allow_loopback, deadline)?,
            listens,
            config: config.clone(),
            prefix: format!("{instance}-w"),
            next: AtomicU64::new(0),
        })
    }

    /// Sends until `shutdown`. What is under way then is cut off, and sent again by whoever owns the fold next.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        let mut under_way: JoinSet<String> = JoinSet::new();
        let mut turns = Turns::new(&self.config);
        let (mut time, mut rights) = (Time::default(), Rights::default());
        tokio::pin!(shutdown);
        loop {
            let mut wait = LOOK;
            if self.board.owns(crate::webhooks_spec(1).name, 0) {
                let gone = |owner: &EndpointOwner| (self.listens)(owner) == Right::Lost;
                for record in rights.due((self.clock)(), || self.view.ownerless(gone)) {
                    if !self.append_soon(record).await {
                        tracing::warn!("a webhook cannot be disabled yet: the log does not take it");
                        break;
                    }
                }
                let now =
                    time.now((self.clock)(), self.board.progress(crate::webhooks_spec(1).name, 0).clock.ms());
                let has_right = |owner: &EndpointOwner| (self.listens)(owner) == Right::Has;
                let (due, next) = self.view.due(Timestamp::from_ms(now), &mut turns, has_right);
                for due in due {
                    under_way.spawn(self.clone().attempt(due, now));
                }
                if let Some(next) = next {
                    wait = wait.min(Duration::from_millis((next.ms() - now).unsigned_abs()));
                }
            } else {
                // What was seen gone may have been back meanwhile.
                rights = Rights::default();
            }
            metrics::under_way(under_way.len());
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = under_way.join_next(), if !under_way.is_empty() => match ended {
                    Ok(endpoint) => turns.end(&endpoint),
                    Err(error) => {
                        tracing::error!(%error, "an attempt panicked");
                        // Which it was is not known; all that are idle by now are found again.
                        if under_way.is_empty() {
                            turns.clear();
                        }
                    }
                },
                () = self.view.news.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        under_way.shutdown().await;
    }

    fn fresh_id(&self) -> String {
        format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Appends a record; whether the log took it soon enough.
    async fn append_soon(&self, record: WebhookRecord) -> bool {
        let append = self.log.append(vec![new_record(&self.fresh_id(), record)], Ack::Ordered);
        tokio::time::timeout(APPEND, append).await.is_ok_and(|appended| appended.is_ok())
    }

    /// Tries one delivery, and gives its endpoint when the fold has noted how it went.
    async fn attempt(self: Arc<Self>, due: Due, now_ms: i64) -> String {
        // Only then is another time than the record's worth writing down.
        let (log_is_ahead, begun) = (now_ms > (self.clock)(), tokio::time::Instant::now());
        let Due { endpoint, delivery, at } = due;
        let attempt = if endpoint.master == self.which {
            let former = endpoint.formers(Timestamp::from_ms(now_ms));
            let former = former.iter().rev().map(|former| former.secret);
            let secrets: Vec<u32> = std::iter::once(endpoint.secret).chain(former).collect();
            // Receivers compare it with their clock, so it is that of this machine and not of the log.
            let timestamp_s = (self.clock)().div_euclid(1_000);
            let body = delivery.event.body.clone();
            let signature = self.master.signatures(&endpoint.id, &secrets, &delivery.id, timestamp_s, &body);
            let (url, id) = (endpoint.url.clone(), delivery.id.clone());
            let owner = endpoint.owner.clone();
            self.post.send(&Letter { owner, url, id, timestamp_s, signature, body }).await
        } else {
            let detail = "its secret derives from another key than webhooks.key_file of this process holds; put the right file back, or rotate the secret";
            Attempt {
                failure: Some(AttemptFailure::Unsent),
                status: None,
                detail: detail.to_owned(),
                latency_ms: 0,
                retry_after_ms: None,
            }
        };
        metrics::attempted(&attempt);
        tracing::debug!(
            webhook = endpoint.id, delivery = delivery.id, failure = ?attempt.failure, status = attempt.status, late_ms = now_ms - at.ms(),
            "attempted"
        );
        let record = WebhookRecord::Attempted {
            endpoint: endpoint.id.clone(),
            delivery: delivery.id.clone(),
            before: delivery.attempts_ever,
            attempt,
            at: log_is_ahead.then(|| {
                let passed_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX / 4);
                Timestamp::from_ms(now_ms + passed_ms)
            }),
        };
        self.note(record).await;
        endpoint.id.clone()
    }

    /// Appends a record and waits until the fold has applied it. While the log takes nothing its endpoint is left alone, for what was
    /// sent would be sent again.
    async fn note(&self, record: WebhookRecord) {
        let mut pause = LOG_PAUSE;
        loop {
            let id = self.fresh_id();
            let noted = self.view.judged.expect(&id);
            // What is lost of this in a crash is an attempt more. One that is appended twice is applied once.
            match self.log.append(vec![new_record(&id, record.clone())], Ack::Ordered).await {
                Ok(_) => return drop(noted.within(NOTED).await),
                Err(error) => tracing::warn!(%error, "how an attempt went cannot be noted yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOG_PAUSE_MAX);
            if !self.board.owns(crate::webhooks_spec(1).name, 0) {
                // Whoever owns it now will send it again.
                return;
            }
        }
    }
}

/// The time by which deliveries are due: the clock's, unless the log is ahead of it. Record times never go back, so after a clock
/// that jumped forward and back everything would wait as long as it had jumped. Then it is the log's, and goes on from there.
#[derive(Default)]
struct Time {
    /// The last record time seen, and when that was first seen.
    log: Option<(i64, tokio::time::Instant)>,
}

impl Time {
    fn now(&mut self, clock_ms: i64, log_ms: i64) -> i64 {
        if log_ms <= clock_ms {
            self.log = None;
            return clock_ms;
        }
        let (seen_ms, since) = *self.log.get_or_insert_with(|| (log_ms, tokio::time::Instant::now()));
        let passed_ms = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX / 4);
        let now_ms = log_ms.max(seen_ms + passed_ms);
        if log_ms > seen_ms + passed_ms {
            self.log = Some((log_ms, tokio::time::Instant::now()));
        }
        now_ms
    }
}

/// A record of `webhooks` as it is appended.
pub(crate) fn new_record(id: &str, record: WebhookRecord) -> NewRecord {
    let payload = Payload::Webhook(record);
    NewRecord {
        topic: Topic::Webhooks.name(),
        route: Route::Partition(0),
        key: bytes::Bytes::new(),
        headers: Envelope::new(payload.kind(), id, "stockade/webhooks").headers(),
        value: payload.encode().into(),
    }
}

#[cfg(test)]
mod tests;
