//! Buyers of a process: the real calls about baskets. They wait for what the folds say while the scheduler goes on with everything else,
//! and end with their process wherever they are.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use stockade_fold::{Board, Progress};
use stockade_inventory::app::{App, OVERLAY};
use stockade_log::{Clock, LogError, SharedLog};
use stockade_runtime::Limits;
use tokio::{runtime::Runtime, task::JoinHandle};
use tower::ServiceExt as _;

use super::node::{Ground, PARTITIONS};

/// The key of all buyers: the same in every play, for names of baskets derive from it.
pub(super) const BUYER: &str = "sk_simulation";
/// Longer than any play: what is not decided is lost with its process, and not by the clock of this machine.
const DEADLINE: Duration = Duration::from_secs(86_400);
/// How often tasks are gone through at once: as many steps as a call may take without waiting for a fold.
const ROUNDS: usize = 32;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Reserve,
    Confirm,
    Release,
    /// Baskets that were left behind are brought to their ends.
    LookAfter,
}

/// What was answered.
pub(super) struct Told {
    pub(super) asked: Asked,
    pub(super) status: u16,
    pub(super) body: Value,
}

/// The buyers of one process.
pub(super) struct Buyers {
    pub(super) app: Arc<App>,
    router: Router,
    runtime: Runtime,
    under_way: Vec<(Asked, JoinHandle<(u16, Value)>)>,
}

impl Buyers {
    /// Buyers of a process whose clock is `clock`. They are answered from the first moment, by what the process has heard until then.
    pub(super) fn start(
        ground: &Ground,
        log: SharedLog,
        clock: Clock,
        limits: Limits,
        name: &str,
    ) -> Result<Self, LogError> {
        let board = Board::default();
        let name = format!("{name}-b");
        let app = Arc::new(App::new(log, clock, board.clone(), limits, PARTITIONS, name, DEADLINE)?);
        for fold in ["inventory", OVERLAY] {
            for partition in 0..PARTITIONS {
                board.report(fold, partition, Progress { next: u64::MAX, ..Progress::default() });
            }
        }
        let router = stockade_inventory::http::router(app.clone()).layer(Extension(ground.keys.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| LogError::Stopped(error.to_string()))?;
        Ok(Self { app, router, runtime, under_way: Vec::new() })
    }

    fn request(method: &str, path: &str, idempotency: &str, body: &Value) -> Result<Request<Body>, String> {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {BUYER}"))
            .header("idempotency-key", idempotency)
            .body(body)
            .map_err(|error| error.to_string())
    }

    /// Begins a call.
    pub(super) fn ask(
        &mut self,
        asked: Asked,
        (method, path): (&str, &str),
        idempotency: &str,
        body: &Value,
    ) -> Result<(), String> {
        let answer = answer(self.router.clone(), Self::request(method, path, idempotency, body)?);
        self.under_way.push((asked, self.runtime.spawn(answer)));
        Ok(())
    }

    /// Begins to bring baskets to their ends.
    pub(super) fn look_after(&mut self) {
        let app = self.app.clone();
        let finished = self.runtime.spawn(async move {
            app.finish_baskets(0).await;
            (200, Value::Null)
        });
        self.under_way.push((Asked::LookAfter, finished));
    }

    /// Names of the baskets that the process knows all lines of, and whether they are held. Of the others a call would ask the log for its
    /// end on a thread of its own, and no play would be the same again.
    pub(super) fn baskets(&self) -> Result<Vec<(String, bool)>, String> {
        let request = Self::request("GET", "/v1/baskets?limit=500", "x", &Value::Null)?;
        let (status, body) = self.runtime.block_on(answer(self.router.clone(), request));
        let items = body["items"].as_array().ok_or_else(|| format!("baskets were answered with {status}"))?;
        let known = items.iter().filter(|item| item["state"] != "pending");
        Ok(known
            .filter_map(|item| Some((item["basket"].as_str()?.to_owned(), item["state"] == "held")))
            .collect())
    }

    /// Lets calls go on as far as they can, and gives what was answered.
    pub(super) fn go_on(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        if self.under_way.is_empty() {
            return told;
        }
        self.runtime.block_on(async {
            for _ in 0..ROUNDS {
                tokio::task::yield_now().await;
            }
        });
        for (asked, task) in std::mem::take(&mut self.under_way) {
            if !task.is_finished() {
                self.under_way.push((asked, task));
                continue;
            }
            let (status, body) = self.runtime.block_on(task).unwrap_or((0, Value::Null));
            told.push(Told { asked, status, body });
        }
        told
    }

    /// Ends the waiting of those whose answers never come, as a deadline does: their process was put out of its group and went on from
    /// what another had flushed, so that it never saw their records decided. How many there were.
    pub(super) fn give_up(&mut self) -> u64 {
        let waiting = std::mem::take(&mut self.under_way);
        waiting.iter().for_each(|(_, task)| task.abort());
        waiting.len() as u64
    }

    /// Whether nobody waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
}

async fn answer(router: Router, request: Request<Body>) -> (u16, Value) {
    let Ok(response) = router.oneshot(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
