//! A replica in another region: it answers buyers from a copy of the origin's topics and writes nothing.
//!
//! How old the copy is stands in heartbeats of who copies: a moment, and where the origin's partitions ended at that moment. Whoever
//! has applied everything before these ends shows what the origin held then. Past a bound nothing is shown any more, because
//! an offer might have been withheld at the origin meanwhile.

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use parking_lot::Mutex;
use serde_json::Value;
use stockade_model::Topic;
use stockade_runtime::Problem;

use crate::app::{App, OVERLAY};

/// Heartbeats that wait until what they promise is applied.
const WAITING_MAX: usize = 64;
/// How often it is looked at how old the copy is, whether somebody asks or not.
const LOOK: Duration = Duration::from_millis(200);

/// What holds for a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaBounds {
    /// Where to write instead, such as `https://eu.example.com`; may be empty.
    pub origin: String,
    /// Buyers are refused while the copy is older, in milliseconds.
    pub staleness_max_ms: i64,
}

/// A moment, and where the partitions that a replica reads ended then.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Beat {
    at_ms: i64,
    ends: Vec<u64>,
}

/// Of which moment all is applied.
#[derive(Default)]
struct Seen {
    as_of_ms: i64,
    waiting: VecDeque<Beat>,
}

impl Seen {
    /// Takes a heartbeat and how far everything is applied; answers of which moment all is.
    fn look(&mut self, beat: Beat, applied: &[u64]) -> i64 {
        let newest = self.waiting.back().map_or(self.as_of_ms, |last| last.at_ms);
        // When too many wait, the later ones are let go by: the earlier come true first.
        if beat.at_ms > newest && self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(beat);
        }
        let is_true = |beat: &Beat| beat.ends.iter().zip(applied).all(|(end, applied)| applied >= end);
        while self.waiting.front().is_some_and(is_true) {
            self.as_of_ms = self.waiting.pop_front().map_or(self.as_of_ms, |beat| beat.at_ms);
        }
        self.as_of_ms
    }
}

/// What a replica knows of itself.
pub(crate) struct Replica {
    pub(crate) bounds: ReplicaBounds,
    seen: Mutex<Seen>,
}

impl Replica {
    pub(crate) fn new(bounds: ReplicaBounds) -> Self {
        Self { bounds, seen: Mutex::default() }
    }

    /// Up to when everything is applied that the origin held, in milliseconds since the epoch; 0 when that is not known yet.
    pub(crate) fn as_of_ms(&self, app: &App) -> i64 {
        let inputs = (0..app.partitions)
            .map(|partition| ("inventory", Topic::SupplierEvents, partition))
            .chain([(OVERLAY, Topic::LockoutDecisions, 0)]);
        let (mut ends, mut applied, mut at_ms) = (Vec::new(), Vec::new(), i64::MAX);
        for (fold, input, partition) in inputs {
            let horizon = app.log.horizon(input.name(), partition);
            // A newer heartbeat may come in between: its ends then count for the moment of the older, which is on the safe side.
            at_ms = at_ms.min(horizon.heard_ms);
            ends.push(horizon.end);
            applied.push(app.board.progress(fold, partition).next);
        }
        self.seen.lock().look(Beat { at_ms, ends }, &applied)
    }

    fn refusal(&self, uri: &Uri) -> Problem {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let origin = self.bounds.origin.trim_end_matches('/');
        let (place, target) = if origin.is_empty() {
            ("the origin region".to_owned(), Value::Null)
        } else {
            (origin.to_owned(), Value::String(format!("{origin}{path}")))
        };
        let detail = format!(
            "this is a read-only replica for buyers, and nothing was done; send the same to {place}, with the same Idempotency-Key"
        );
        Problem::new(StatusCode::MISDIRECTED_REQUEST, "read_only_replica", detail)
            .with_member("origin", target)
    }
}

/// What is answered while the copy is older than may be shown; `heard` is whether it is known yet how old it is.
fn too_stale(heard: bool, staleness_ms: i64, max_ms: i64) -> Problem {
    let detail = match heard {
        false => {
            "nothing was heard of the origin yet, or not all of it is read here; ask the origin, or again"
                .to_owned()
        }
        true => format!(
            "the origin was last heard of {} s ago, and offers are not shown past {} s, because they may be withheld by now; ask the origin, or again",
            staleness_ms / 1_000,
            max_ms / 1_000
        ),
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "mirror_stale", detail)
        .with_header(header::RETRY_AFTER, "5")
}

impl App {
    /// Whether what is known is recent enough to be shown. Only a replica in another region ever refuses for this.
    pub(crate) fn recent(&self) -> Result<(), Problem> {
        let Some(replica) = &self.replica else { return Ok(()) };
        let (staleness_ms, max_ms) = (self.fresh().staleness_ms, replica.bounds.staleness_max_ms);
        if staleness_ms <= max_ms {
            return Ok(());
        }
        Err(too_stale(self.has_heard_of_the_origin(), staleness_ms, max_ms))
    }

    /// Whether it is known of any moment what the origin held then.
    fn has_heard_of_the_origin(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.as_of_ms(self) > 0)
    }

    /// Resolves when what is known is no longer recent enough; never but in a replica.
    pub(crate) async fn until_stale(&self) {
        if self.replica.is_none() {
            return std::future::pending().await;
        }
        while self.recent().is_ok() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Keeps track of how old the copy is until `shutdown` resolves, so that whoever asks first after a while is not told that
    /// it is as old as the last question.
    pub async fn look_at_heartbeats(self: Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        tokio::pin!(shutdown);
        // At the start it is not known yet how old the copy is: that is no failure.
        let (mut was_recent, mut has_heard) = (None, false);
        if !self.has_heard_of_the_origin() {
            tracing::info!("nothing was heard of the origin yet; buyers are answered as soon as it was");
        }
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let recent = self.recent();
            has_heard |= self.has_heard_of_the_origin();
            if has_heard && was_recent != Some(recent.is_ok()) {
                was_recent = Some(recent.is_ok());
                match recent {
                    Ok(()) => tracing::info!("the copy is recent; buyers are answered"),
                    Err(problem) => tracing::error!(
                        why = problem.detail,
                        "buyers are refused; look whether `stockade mirror` runs and reaches both clusters"
                    ),
                }
            }
        }
    }
}

/// Whether a request only asks.
fn asks(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        || request.uri().path() == "/v1/availability:query"
}

async fn only_questions(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(replica) = &app.replica else { return next.run(request).await };
    if !asks(&request) {
        return replica.refusal(request.uri()).into_response();
    }
    match app.recent() {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The routes of a replica: what asks is answered as long as the copy is recent, and what would write is refused, known here or
/// not, with where to send it.
pub fn router(app: Arc<App>) -> Router {
    let only = middleware::from_fn_with_state(app.clone(), only_questions);
    crate::http::router(app).layer(only)
}

/// What a path answers that a replica does not have: many calls are of services that do not run beside it.
pub async fn elsewhere(app: Arc<App>, request: Request) -> Response {
    match &app.replica {
        Some(replica) if !asks(&request) && request.uri().path().starts_with("/v1/") => {
            replica.refusal(request.uri()).into_response()
        }
        _ => stockade_runtime::http::not_found().await.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(at_ms: i64, ends: [u64; 2]) -> Beat {
        Beat { at_ms, ends: ends.to_vec() }
    }

    #[test]
    fn a_moment_counts_once_everything_before_its_ends_is_applied_and_a_quiet_origin_stays_fresh() {
        let mut seen = Seen::default();
        assert_eq!(seen.look(beat(0, [0, 0]), &[0, 0]), 0, "nothing was heard yet");
        assert_eq!(seen.look(beat(100, [5, 3]), &[5, 2]), 0, "a decision is missing");
        assert_eq!(seen.look(beat(200, [9, 3]), &[8, 3]), 100);
        assert_eq!(seen.look(beat(200, [9, 3]), &[9, 3]), 200);
        // Nothing new, but heard of: a day of silence is no day of staleness, not even for a moment when something comes.
        assert_eq!(seen.look(beat(300, [9, 3]), &[9, 3]), 300);
        assert_eq!(seen.look(beat(400, [10, 3]), &[9, 3]), 300);
        assert_eq!(seen.look(beat(300, [9, 3]), &[9, 3]), 300, "an older one says nothing");
        assert_eq!(seen.look(beat(400, [10, 3]), &[12, 3]), 400);
    }

    #[test]
    fn whoever_lags_far_behind_is_as_old_as_the_first_moment_that_is_true() {
        let mut seen = Seen::default();
        for second in 1..=1_000 {
            assert_eq!(seen.look(beat(second, [second as u64, 0]), &[0, 0]), 0);
        }
        assert!(seen.waiting.len() <= WAITING_MAX);
        assert_eq!(seen.look(beat(1_000, [1_000, 0]), &[10, 0]), 10);
        assert_eq!(seen.look(beat(1_000, [1_000, 0]), &[1_000, 0]), 1_000);
        assert_eq!(seen.look(beat(1_001, [1_001, 0]), &[1_001, 0]), 1_001);
    }

    #[test]
    fn who_has_not_heard_of_the_origin_yet_does_not_say_how_long_ago_that_was() {
        let detail = |problem: Problem| problem.detail;
        let never = detail(too_stale(false, 1_795_759_622_000, 30_000));
        assert!(never.contains("nothing was heard") && !never.contains("1795759622"), "{never}");
        assert!(detail(too_stale(true, 31_000, 30_000)).contains("31 s ago"));
    }

    #[test]
    fn a_refused_write_says_where_to_go() {
        let bounds = ReplicaBounds { origin: "https://eu.example/".to_owned(), staleness_max_ms: 1 };
        let body = Replica::new(bounds).refusal(&"/v1/reservations?a=b".parse().unwrap()).body();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["status"], 421);
        assert_eq!(body["code"], "read_only_replica");
        assert_eq!(body["origin"], "https://eu.example/v1/reservations?a=b");
        assert!(body["detail"].as_str().unwrap().contains("https://eu.example,"), "{body}");
    }
}
