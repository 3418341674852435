//! What every router gets: timing, a trace span, and the probes.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;

use stockade_model::SupplierId;

use crate::{FieldError, Problem};

/// Times the request and logs it at debug level; keys and bodies never reach the log.
pub async fn observe(request: Request, next: Next) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or("unmatched", |path| path.as_str()).to_owned();
    let method = request.method().clone();
    let begun = Instant::now();
    let response = next.run(request).await;
    let elapsed = begun.elapsed();
    let status = response.status().as_u16();
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_route" => route.clone(),
        "http_request_method" => method.to_string(),
        "http_response_status_code" => status.to_string()
    )
    .record(elapsed.as_secs_f64());
    tracing::debug!(%method, route, status, micros = elapsed.as_micros() as u64, "request");
    response
}

/// The supplier a path names.
pub fn supplier_id(text: &str) -> Result<SupplierId, Problem> {
    SupplierId::new(text).map_err(|e| Problem::invalid(vec![FieldError::new("supplier", e.code, e.detail)]))
}

/// What a path that leads nowhere answers.
pub async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", "there is no such path; the README lists the calls")
}

/// What a known path answers to a method it does not have.
pub async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path does not have that method")
}

/// Whether the process is ready, and if not, why.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// `/livez` without dependencies, `/readyz` and `/startupz` by `readiness`.
pub fn probes(readiness: Readiness) -> Router {
    let ready = move || {
        let readiness = readiness.clone();
        async move {
            match readiness() {
                Ok(()) => (StatusCode::OK, "ready\n").into_response(),
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
            }
        }
    };
    Router::new()
        .route("/livez", get(|| async { "live\n" }))
        .route("/readyz", get(ready.clone()))
        .route("/startupz", get(ready))
}

/// `/metrics` in Prometheus text.
pub fn metrics_route(handle: PrometheusHandle, refresh: impl Fn() + Send + Sync + Clone + 'static) -> Router {
    Router::new().route(
        "/metrics",
        get(move || {
            let (handle, refresh) = (handle.clone(), refresh.clone());
            async move {
                refresh();
                handle.run_upkeep();
                ([("content-type", "text/plain; version=0.0.4")], handle.render())
            }
        }),
    )
}
