//! Buyers answered from the last picture, while the log cannot be reached.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Router,
    extract::{Request, State},
    http::Method,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use stockade_model::Timestamp;
use stockade_runtime::Problem;

use super::Picture;
use crate::app::App;

/// When whoever was refused should come back, in seconds: a log that is away is hardly back in one.
const RETRY_S: &str = "5";

/// What is shown instead of the log.
pub(crate) struct Shown {
    as_of_ms: i64,
    age_max_ms: i64,
}

impl App {
    /// The same answering from `picture` alone, for as long as that is at most `age_max_ms` old.
    #[must_use]
    pub fn showing(mut self, picture: Picture, age_max_ms: i64) -> Self {
        let Picture { index, overlay, as_of_ms } = picture;
        (self.index, self.overlay) = (Arc::new(index), Arc::new(overlay));
        self.shown = Some(Shown { as_of_ms, age_max_ms });
        self.note_picture(as_of_ms);
        self
    }

    /// Up to when everything is in the picture that is shown; `None` where the log is.
    pub(crate) fn shown_as_of(&self) -> Option<Timestamp> {
        self.shown.as_ref().map(|shown| Timestamp::from_ms(shown.as_of_ms))
    }

    /// A picture of this process lies on its disk, and everything up to `as_of_ms` is in it.
    pub(crate) fn note_picture(&self, as_of_ms: i64) {
        self.picture_as_of_ms.store(as_of_ms, Ordering::Relaxed);
    }

    /// How old the picture on the disk is, in milliseconds; `None` where this process has kept none and read none.
    pub fn picture_age_ms(&self) -> Option<i64> {
        let as_of_ms = self.picture_as_of_ms.load(Ordering::Relaxed);
        (as_of_ms > 0).then(|| (self.now().ms() - as_of_ms).max(0))
    }

    /// What the picture is that buyers are answered from, in words, or why they are not. Only where a picture is shown.
    pub fn shows(&self) -> Result<String, String> {
        let Some(shown) = &self.shown else { return Err("no picture is shown".to_owned()) };
        let (as_of, age_ms) = self.freshness();
        let what = format!("a picture of {as_of}, which is {} s old", age_ms / 1_000);
        if age_ms <= shown.age_max_ms {
            return Ok(format!(
                "the log cannot be reached; buyers are answered from {what}, and everything else is refused"
            ));
        }
        Err(format!(
            "the log cannot be reached, and {what}, is not shown past {} s (picture.age_max_s)",
            shown.age_max_ms / 1_000
        ))
    }
}

/// Whether a request asks for what is in a picture.
fn is_in_it(request: &Request) -> bool {
    let (method, path) = (request.method(), request.uri().path());
    let reads = matches!(*method, Method::GET | Method::HEAD) && path == "/v1/availability";
    reads || (*method == Method::POST && path == "/v1/availability:query")
}

/// What is answered to everything else.
fn refusal(method: &Method) -> Problem {
    let (code, what) = match *method {
        Method::GET | Method::HEAD => {
            ("starting", "this is not in the picture that buyers are answered from")
        }
        _ => ("log_unavailable", "nothing was done"),
    };
    let detail = format!(
        "this process started while the log cannot be reached, and {what}; send the same again after a pause, with the same Idempotency-Key"
    );
    // In the place of the second that is usual.
    Problem::unavailable(code, detail).with_header(axum::http::header::RETRY_AFTER, RETRY_S)
}

async fn only_the_picture(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if *request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    if !is_in_it(&request) {
        return refusal(request.method()).into_response();
    }
    match app.shows() {
        Ok(_) => next.run(request).await,
        Err(why) => Problem::unavailable("starting", why)
            .with_header(axum::http::header::RETRY_AFTER, RETRY_S)
            .into_response(),
    }
}

/// The routes of a process that shows a picture: availability, and refusals.
pub fn router(app: Arc<App>) -> Router {
    let only = middleware::from_fn_with_state(app.clone(), only_the_picture);
    crate::http::router(app).layer(only)
}

/// What every other path is answered: those of the API and of the console are refused, for they may well be there once the log is.
pub async fn elsewhere(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/v1/") || path == "/console" || path.starts_with("/console/") {
        return refusal(request.method()).into_response();
    }
    stockade_runtime::http::not_found().await.into_response()
}
