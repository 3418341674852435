//! What every router gets: timing, a trace span, and the probes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use dashmap::DashMap;
use metrics::Histogram;
use metrics_exporter_prometheus::PrometheusHandle;
use stockade_model::{Precondition, SupplierId};
use tower::{Layer, Service};

use crate::{
    FieldError, Problem,
    api::{Forms, Operation, Routes},
    metrics as names,
};

/// Times requests by route, method and status. Cheap to clone; the handle of each series is looked up, not its name.
#[derive(Clone, Default)]
pub struct Observer(Arc<DashMap<String, Vec<(Series, Histogram)>>>);

/// Method and status, as labels.
type Series = (&'static str, &'static str);

impl Observer {
    fn record(&self, route: &str, series: Series, elapsed: Duration) {
        let of = |handles: &[(Series, Histogram)]| {
            handles.iter().find(|(of, _)| *of == series).map(|(_, handle)| handle.clone())
        };
        let known = self.0.get(route).and_then(|handles| of(&handles));
        let handle = known.unwrap_or_else(|| {
            let mut handles = self.0.entry(route.to_owned()).or_default();
            of(&handles).unwrap_or_else(|| {
                let handle = metrics::histogram!(
                    names::REQUEST_SECONDS,
                    "http_route" => route.to_owned(),
                    "http_request_method" => series.0,
                    "http_response_status_code" => series.1
                );
                handles.push((series, handle.clone()));
                handle
            })
        });
        handle.record(elapsed.as_secs_f64());
    }
}

/// As a layer, times every request and logs it at debug level; keys and bodies never reach the log. All labels are from closed
/// lists: the routes of the router, known methods, known statuses.
impl<S> Layer<S> for Observer {
    type Service = Observed<S>;
    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, observer: self.clone() }
    }
}

/// A service whose requests are timed.
#[derive(Clone)]
pub struct Observed<S> {
    inner: S,
    observer: Observer,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let path = request.extensions().get::<MatchedPath>().cloned();
        let method = names::method_label(request.method());
        let observer = self.observer.clone();
        let begun = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let elapsed = begun.elapsed();
            let route = path.as_ref().map_or(names::UNMATCHED, |path| path.as_str());
            observer.record(route, (method, names::status_label(response.status())), elapsed);
            tracing::debug!(
                method,
                route,
                status = response.status().as_u16(),
                micros = elapsed.as_micros() as u64,
                "request"
            );
            Ok(response)
        })
    }
}

/// The value of a header that may stand once: two of them say two things.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    let bad = |code, detail: String| Err(Problem::new(StatusCode::BAD_REQUEST, code, detail));
    if values.next().is_some() {
        return bad("repeated_header", format!("{name} stands more than once; send it once"));
    }
    match first.map(HeaderValue::to_str).transpose() {
        Ok(text) => Ok(text),
        Err(_) => bad("bad_header", format!("{name} must be visible ASCII")),
    }
}

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 128;

/// The caller's `Idempotency-Key`, if there is one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = single(headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    // A key is the last part of the path under which its outcome is found.
    if !(1..=KEY_BYTES_MAX).contains(&text.len()) || !plain || matches!(text, "." | "..") {
        let detail = format!(
            "it must be 1 to {KEY_BYTES_MAX} visible characters without '/', and not a step of a path"
        );
        let error = FieldError::new("Idempotency-Key", "bad_idempotency_key", detail);
        return Err(Problem::invalid(vec![error]));
    }
    Ok(Some(text.to_owned()))
}

/// `text` as one part of a path: whatever would end or change it is escaped.
pub fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    escape_segment(&mut segment, text);
    segment
}

/// The same, written behind what is there already.
pub fn escape_segment(segment: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' => {
                segment.push(char::from(byte));
            }
            other => segment.push_str(&format!("%{other:02X}")),
        }
    }
}

/// Tags in one list.
const TAGS_MAX: usize = 32;

/// What `If-Match` and `If-None-Match` say: `*`, or entity tags by commas, in one header or several.
///
/// `If-Match` compares strongly (RFC 9110, section 13.1.1), so a weak tag there matches nothing.
pub fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    Ok(Precondition {
        matches: tags(headers, &header::IF_MATCH, false)?,
        matches_none: tags(headers, &header::IF_NONE_MATCH, true)?,
    })
}

fn tags(headers: &HeaderMap, name: &HeaderName, weak: bool) -> Result<Option<Vec<String>>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let bad = || {
        let detail =
            format!("{name} must be * or tags as an ETag hands them out, at most {TAGS_MAX}, by commas");
        Problem::new(StatusCode::BAD_REQUEST, "bad_etag", detail)
    };
    let mut tags = Vec::new();
    for line in headers.get_all(name) {
        for item in list_items(line.to_str().map_err(|_| bad())?).ok_or_else(bad)? {
            let (is_weak, quoted) = item.strip_prefix("W/").map_or((false, item), |rest| (true, rest));
            let tag = match quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(tag) => tag,
                None if item == stockade_model::precondition::ANY => item,
                // A tag without its quotes is what people paste.
                None if !item.is_empty() && !item.contains(['"', ' ', '*']) => item,
                None => return Err(bad()),
            };
            if weak || !is_weak {
                tags.push(tag.to_owned());
            }
        }
    }
    if tags.len() > TAGS_MAX { Err(bad()) } else { Ok(Some(tags)) }
}

/// The items of a list by commas, which do not count between quotes; `None` when a quote stays open.
fn list_items(text: &str) -> Option<Vec<&str>> {
    let (mut items, mut from, mut quoted) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                items.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    items.push(text[from..].trim());
    // An empty item says nothing (RFC 9110, section 5.6.1).
    items.retain(|item| !item.is_empty());
    (!quoted).then_some(items)
}

/// Whether the caller of a `GET` has what bears `tag` already (RFC 9110, section 13.1.2). Nearly nobody says what they have.
pub fn has_already(headers: &HeaderMap, tag: &str) -> Result<bool, Problem> {
    if !headers.contains_key(header::IF_NONE_MATCH) {
        return Ok(false);
    }
    Ok(precondition(headers)?.seen(tag))
}

/// Answers a `GET`: the body with its tag, or 304 when the caller has it already.
pub fn tagged(headers: &HeaderMap, tag: &str, body: impl IntoResponse) -> Result<Response, Problem> {
    let etag = [(header::ETAG, format!("\"{tag}\""))];
    if has_already(headers, tag)? {
        return Ok((StatusCode::NOT_MODIFIED, etag).into_response());
    }
    Ok((etag, body).into_response())
}

/// What is answered until the folds have passed what was there at the start: before that, what is missing may only not have
/// been read yet.
pub fn starting() -> Problem {
    Problem::unavailable(
        "starting",
        "this replica is still reading what was there before it started; ask again",
    )
}

/// Lets nobody read before this process has caught up.
pub async fn reads_when_caught_up(
    State(readiness): State<Readiness>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && readiness().is_err() { starting().into_response() } else { next.run(request).await }
}

/// The supplier a path names.
pub fn supplier_id(text: &str) -> Result<SupplierId, Problem> {
    SupplierId::new(text).map_err(|e| Problem::invalid(vec![FieldError::new("supplier", e.code, e.detail)]))
}

/// What a path that leads nowhere answers.
pub async fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        "there is no such path; /openapi.json lists the calls, and /docs shows them",
    )
}

/// What a known path answers to a method it does not have. `OPTIONS` asks for nothing more. `Allow` is the router's to add, but where
/// a path has verbs at its end, which are known from [`Forms`] in the router's extensions.
pub async fn wrong_method(
    method: Method,
    matched: Option<MatchedPath>,
    forms: Option<Extension<Forms>>,
    uri: Uri,
) -> Response {
    let mut response = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let detail = "this path does not have that method; the header Allow lists those it has";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail).into_response()
    };
    let allow = matched.zip(forms).and_then(|(matched, Extension(forms))| {
        let allow = forms.allow(matched.as_str(), uri.path())?;
        HeaderValue::from_str(&allow).ok()
    });
    response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    response
}

/// The chapter of the API for whoever runs the platform.
pub const OPERATING: &str = "Operating";

/// Whether the process is ready, and if not, why.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The same with what there is to say of how it answers while it does.
pub type Answering = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// `/livez` without dependencies, `/readyz` and `/startupz` by `readiness`.
pub fn probes(readiness: Readiness) -> Routes<()> {
    probes_of(Arc::new(move || readiness().map(|()| String::new())))
}

/// The same where a process that answers has something to say about it: it stands behind `ready`.
pub fn probes_of(answering: Answering) -> Routes<()> {
    let ready = move || {
        let answering = answering.clone();
        async move {
            match answering() {
                Ok(how) if how.is_empty() => (StatusCode::OK, "ready\n").into_response(),
                Ok(how) => (StatusCode::OK, format!("ready: {how}\n")).into_response(),
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
            }
        }
    };
    let answers = |operation: Operation, about| {
        operation.tag(OPERATING).answers_raw(StatusCode::OK, about, "text/plain; charset=utf-8")
    };
    let asks = |path: &str, id, summary| {
        answers(Operation::get(path, id, summary), "It is ready.").answers_raw(
            StatusCode::SERVICE_UNAVAILABLE,
            "It is not, and why.",
            "text/plain; charset=utf-8",
        )
    };
    Routes::default()
        .add(answers(Operation::get("/livez", "live", "Whether the process runs"), "It does."), || async {
            "live\n"
        })
        .add(asks("/readyz", "ready", "Whether the process answers"), ready.clone())
        .add(asks("/startupz", "started", "Whether the process has read what was there before it"), ready)
}

/// `/metrics` in Prometheus text.
pub fn metrics_route(
    handle: PrometheusHandle,
    refresh: impl Fn() + Send + Sync + Clone + 'static,
) -> Routes<()> {
    Routes::default().add(metrics_operation(), move || {
        let (handle, refresh) = (handle.clone(), refresh.clone());
        async move {
            refresh();
            handle.run_upkeep();
            ([("content-type", METRICS_TYPE)], handle.render())
        }
    })
}

const METRICS_TYPE: &str = "text/plain; version=0.0.4";

/// What `/metrics` is, for where no recorder is at hand.
pub fn metrics_operation() -> Operation {
    Operation::get("/metrics", "metrics", "All metrics of the process, in Prometheus text")
        .tag(OPERATING)
        .answers_raw(StatusCode::OK, "One line a series.", METRICS_TYPE)
        .admin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn tags_are_read_as_lists_over_several_headers_and_weak_ones_match_no_change() {
        let read = |lines: &[&str]| precondition(&headers("if-match", lines)).map(|read| read.matches);
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&["\"a\""]).unwrap().unwrap(), ["a"]);
        assert_eq!(read(&["\"a\", \"b,c\"", " \"d\" ,"]).unwrap().unwrap(), ["a", "b,c", "d"]);
        assert_eq!(read(&["*"]).unwrap().unwrap(), ["*"]);
        assert_eq!(read(&["abc"]).unwrap().unwrap(), ["abc"], "without quotes");
        assert_eq!(read(&["W/\"a\""]).unwrap().unwrap(), Vec::<String>::new(), "matches nothing");
        let none = precondition(&headers("if-none-match", &["W/\"a\""])).unwrap();
        assert!(none.seen("a"), "a weak tag is good enough for 304");
        for bad in ["\"a", "a b", "\"a\"b", "**"] {
            assert_eq!(read(&[bad]).unwrap_err().code, "bad_etag", "{bad}");
        }
        let many = vec!["\"x\""; 33].join(",");
        assert_eq!(read(&[&many]).unwrap_err().code, "bad_etag");
    }

    #[test]
    fn a_header_that_says_two_things_is_refused() {
        let twice = headers("idempotency-key", &["a", "b"]);
        assert_eq!(idempotency_key(&twice).unwrap_err().code, "repeated_header");
        assert_eq!(idempotency_key(&headers("idempotency-key", &["a?b%"])).unwrap().unwrap(), "a?b%");
        for bad in ["", ".", "..", "a/b", "a b", &"x".repeat(129)] {
            let problem = idempotency_key(&headers("idempotency-key", &[bad])).unwrap_err();
            assert_eq!(problem.errors[0].code, "bad_idempotency_key", "{bad}");
        }
        assert_eq!(path_segment("a?b%/ü"), "a%3Fb%25%2F%C3%BC");
    }
}
