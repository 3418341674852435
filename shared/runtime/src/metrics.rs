//! What the edges of every process say in metrics. Labels are closed: a caller cannot make a series.

use axum::http::{Method, StatusCode};
use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Duration of requests by route, method and status, in seconds (OpenTelemetry's name, without its prefix of a unit).
pub const REQUEST_SECONDS: &str = "http_server_request_duration_seconds";
/// Problems answered, by their stable code.
pub const PROBLEMS: &str = "stockade_http_problems_total";
/// Requests refused by a rate limit.
pub const RATE_LIMITED: &str = "stockade_http_rate_limited_total";
/// Requests refused because all suppliers of a class have used what they share, by class.
pub const RATE_LIMITED_TOGETHER: &str = "stockade_http_rate_limited_together_total";
/// How much is put off, as the number of the rung of the ladder.
pub const BROWNOUT: &str = "stockade_http_brownout_rung";
/// Requests put off, by what they were about.
pub const PUT_OFF: &str = "stockade_http_put_off_total";
/// Bytes of bodies in memory, of buyers and of others.
pub const BODY_BYTES: &str = "stockade_http_body_bytes";
/// Bodies refused because as many bytes of them were in memory as may be.
pub const BODIES_REFUSED: &str = "stockade_http_bodies_refused_total";
/// Callers whose allowance is not full at the moment.
pub const RATE_LIMIT_KEYS: &str = "stockade_http_rate_limit_keys";
/// Large requests that wait for their turn at being read.
pub const TURNS_WAITING: &str = "stockade_http_turns_waiting";
/// Large requests sent away because their turn did not come.
pub const TURNS_REFUSED: &str = "stockade_http_turns_refused_total";
/// Connections open, by listener.
pub const CONNECTIONS: &str = "stockade_http_connections";
/// Connections refused because as many were open as may be, altogether or without a key from one address, by listener.
pub const CONNECTIONS_REFUSED: &str = "stockade_http_connections_refused_total";
/// Calls on connections that are kept as those without a key are, because their caller keeps as many as it may, by listener.
pub const CONNECTIONS_PAST_SHARE: &str = "stockade_http_connections_past_share_total";
/// Connections cut at a deadline, by listener and which deadline it was.
pub const CONNECTIONS_CUT: &str = "stockade_http_connections_cut_total";

/// The label of a request without a route.
pub const UNMATCHED: &str = "unmatched";
/// The label of whatever is not in a closed list.
pub const OTHER: &str = "other";

/// A figure: what kind it is, its name, and what it says, as a scrape shows it.
#[derive(Clone, Copy, Debug)]
pub enum Figure {
    /// What only grows.
    Counter(&'static str, &'static str),
    /// What goes up and down.
    Gauge(&'static str, &'static str),
    /// What is spread.
    Histogram(&'static str, &'static str),
}

impl Figure {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter(name, _) | Self::Gauge(name, _) | Self::Histogram(name, _) => name,
        }
    }
}

/// The figures of the edges.
pub const FIGURES: [Figure; 15] = [
    Figure::Histogram(REQUEST_SECONDS, "Duration of requests by route, method and status."),
    Figure::Counter(PROBLEMS, "Problems answered, by their stable code."),
    Figure::Counter(RATE_LIMITED, "Requests refused by a rate limit."),
    Figure::Counter(
        RATE_LIMITED_TOGETHER,
        "Requests refused because all suppliers of a class have used what they share.",
    ),
    Figure::Gauge(
        BROWNOUT,
        "What is put off: 0 nothing, 1 analyses, 2 imports, 3 streams, 4 suspect, 5 new, 6 bulk, 7 rows.",
    ),
    Figure::Counter(PUT_OFF, "Requests put off, by what they were about."),
    Figure::Gauge(BODY_BYTES, "Bytes of request bodies in memory."),
    Figure::Counter(BODIES_REFUSED, "Bodies refused because as many bytes were in memory as may be."),
    Figure::Gauge(TURNS_WAITING, "Large requests that wait for their turn at being read, or at the log."),
    Figure::Counter(TURNS_REFUSED, "Large requests that were sent away because their turn did not come."),
    Figure::Gauge(RATE_LIMIT_KEYS, "Callers whose allowance is not full at the moment."),
    Figure::Gauge(CONNECTIONS, "Connections open, by listener."),
    Figure::Counter(
        CONNECTIONS_REFUSED,
        "Connections refused because as many were open as may be, altogether or without a key from one address.",
    ),
    Figure::Counter(
        CONNECTIONS_PAST_SHARE,
        "Calls on connections that make room like those without a key, for their caller keeps as many as it may.",
    ),
    Figure::Counter(
        CONNECTIONS_CUT,
        "Connections cut at a deadline: head (a request head that was not finished), idle, stalled (an answer that was not read), or room (one without a valid key, in favour of a new one).",
    ),
];

/// Tells the recorder what each figure means.
pub fn describe(figures: impl IntoIterator<Item = Figure>) {
    for figure in figures {
        match figure {
            Figure::Counter(name, about) => describe_counter!(name, about),
            Figure::Gauge(name, about) => describe_gauge!(name, about),
            Figure::Histogram(name, about) => describe_histogram!(name, about),
        }
    }
}

/// The label of a method: those of RFC 9110 and PATCH; any other is [`OTHER`].
pub fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => OTHER,
    }
}

/// The label of a status: those that this platform answers with; any other is [`OTHER`].
pub fn status_label(status: StatusCode) -> &'static str {
    macro_rules! known {
        ($($code:literal)*) => {
            match status.as_u16() {
                $($code => stringify!($code),)*
                _ => OTHER,
            }
        };
    }
    known!(200 201 202 204 206 304 400 401 403 404 405 406 408 409 410 412 413 414 415 421 422 428 429 431 500 501 503 504 507)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_caller_can_invent_a_label() {
        let invented = Method::from_bytes(b"X-3000").unwrap();
        assert_eq!((method_label(&invented), method_label(&Method::PUT)), (OTHER, "PUT"));
        // Names of methods are case-sensitive, so this is another one.
        assert_eq!(method_label(&Method::from_bytes(b"get").unwrap()), OTHER);
        let labels = (100..1000).filter_map(|code| StatusCode::from_u16(code).ok()).map(status_label);
        assert!(labels.collect::<std::collections::BTreeSet<_>>().len() < 40);
        assert_eq!(status_label(StatusCode::INSUFFICIENT_STORAGE), "507");
    }
}
