//! Headers that calls heed and answers bear.

use serde_json::{Value, json};

/// A header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `Idempotency-Key`.
    IdempotencyKey,
    /// `If-Match`.
    IfMatch,
    /// `If-Match` where a call asks for it.
    IfMatchRequired,
    /// `If-None-Match`.
    IfNoneMatch,
    /// `Stockade-Position`.
    Position,
    /// `Last-Event-ID`.
    LastEventId,
    /// `traceparent`.
    Traceparent,
}

const READS: &[&str] = &["repeated_header", "bad_header"];

impl Asked {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::IdempotencyKey => "Idempotency-Key",
            Self::IfMatch | Self::IfMatchRequired => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
            Self::Position => "Stockade-Position",
            Self::LastEventId => "Last-Event-ID",
            Self::Traceparent => "traceparent",
        }
    }
    pub(super) fn codes(self) -> &'static [&'static str] {
        match self {
            Self::IdempotencyKey => &["repeated_header", "bad_header", "invalid_request"],
            Self::IfMatch | Self::IfNoneMatch => &["bad_etag"],
            Self::IfMatchRequired => &["bad_etag", "if_match_required"],
            Self::Position => &["bad_position", "position_not_reached"],
            Self::LastEventId => READS,
            Self::Traceparent => &[],
        }
    }
    pub(super) fn parameter(self) -> Value {
        let (about, schema) = match self {
            Self::IdempotencyKey => (
                "A name of your own for this request. Sent again with the same body it is answered as it was at first and does nothing more; with another body it is refused.",
                json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-.0-~]+$" }),
            ),
            Self::IfMatch => (
                "Only if what is there bears one of these tags, or is there at all (`*`).",
                json!({ "type": "string" }),
            ),
            Self::IfMatchRequired => {
                ("The tag of the version that this one was written for.", json!({ "type": "string" }))
            }
            Self::IfNoneMatch => (
                "Only if what is there bears none of these tags, or nothing is there (`*`).",
                json!({ "type": "string" }),
            ),
            Self::Position => (
                "Wait until this replica has what a write told by its own `Stockade-Position`.",
                json!({ "type": "string", "pattern": r"^p1\.\d+\.\d+(,p1\.\d+\.\d+)*$" }),
            ),
            Self::LastEventId => (
                "The id of the last event that was seen; what is different by now follows.",
                json!({ "type": "string" }),
            ),
            Self::Traceparent => (
                "The caller's trace (W3C Trace Context), kept with what the request causes.",
                json!({ "type": "string" }),
            ),
        };
        json!({
            "name": self.name(), "in": "header", "required": self == Self::IfMatchRequired, "description": about, "schema": schema,
        })
    }
}

/// A header of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// `ETag`.
    ETag,
    /// `Stockade-Position`.
    Position,
    /// `Idempotent-Replay`.
    IdempotentReplay,
    /// `Stockade-Record`.
    Record,
    /// `Location`.
    Location,
    /// `RateLimit` and `RateLimit-Policy`.
    RateLimit,
    /// `Link`.
    Link,
    /// `Retry-After`.
    RetryAfter,
    /// `Retry-After`, of what is not there yet, but not of what never was.
    RetryAfterSoon,
    /// `Stockade-As-Of` and `Stockade-Staleness-Ms`.
    AsOf,
    /// `WWW-Authenticate`.
    WwwAuthenticate,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Content-Security-Policy`.
    ContentSecurityPolicy,
}

impl Sent {
    /// Each header with what it says, whether it is always there, and its schema.
    pub(super) fn headers(self) -> Vec<(&'static str, Value)> {
        let header = |name: &'static str, about: &str, always: bool, schema: Value| {
            (name, json!({ "description": about, "required": always, "schema": schema }))
        };
        let text = || json!({ "type": "string" });
        match self {
            Self::ETag => {
                vec![header("ETag", "The tag of this version, for If-Match and If-None-Match.", true, text())]
            }
            Self::Position => vec![header(
                "Stockade-Position",
                "Where the write lies; a read that names it waits until it shows it. Of a write to several suppliers there are several, by commas.",
                false,
                json!({ "type": "string", "pattern": r"^p1\.\d+\.\d+(,p1\.\d+\.\d+)*$" }),
            )],
            Self::IdempotentReplay => vec![header(
                "Idempotent-Replay",
                "`true` where this Idempotency-Key was answered before and nothing more was done.",
                false,
                text(),
            )],
            Self::Record => vec![header(
                "Stockade-Record",
                "The id under which decisions name this request as their cause.",
                false,
                text(),
            )],
            Self::Location => vec![header(
                "Location",
                "Where it is found.",
                true,
                json!({ "type": "string", "format": "uri-reference" }),
            )],
            Self::RateLimit => vec![
                header(
                    "RateLimit",
                    "What is left of the caller's allowance: `\"default\";r=1999;t=1`.",
                    false,
                    text(),
                ),
                header("RateLimit-Policy", "The allowance itself: `\"default\";q=2000;w=1`.", false, text()),
            ],
            Self::Link => {
                vec![header("Link", "The next page, where there is one: `<…>; rel=\"next\"`.", false, text())]
            }
            Self::RetryAfter => vec![header(
                "Retry-After",
                "Seconds to wait before asking again.",
                true,
                json!({ "type": "string", "pattern": r"^\d+$" }),
            )],
            Self::RetryAfterSoon => vec![header(
                "Retry-After",
                "Seconds to wait before asking again, where it is not there yet.",
                false,
                json!({ "type": "string", "pattern": r"^\d+$" }),
            )],
            Self::AsOf => vec![
                header(
                    "Stockade-As-Of",
                    "Up to when everything is in what you have.",
                    true,
                    json!({ "type": "string", "format": "date-time" }),
                ),
                header(
                    "Stockade-Staleness-Ms",
                    "How far behind the clock that is, in milliseconds.",
                    true,
                    json!({ "type": "string", "pattern": r"^-?\d+$" }),
                ),
            ],
            Self::WwwAuthenticate => vec![header("WWW-Authenticate", "`Bearer`.", true, text())],
            Self::ContentDisposition => {
                vec![header("Content-Disposition", "A name to keep the file under.", true, text())]
            }
            Self::ContentSecurityPolicy => vec![header(
                "Content-Security-Policy",
                "What the page may load: nothing from elsewhere.",
                true,
                text(),
            )],
        }
    }
}
