//! How events come: CloudEvents 1.0 over HTTP, structured (one JSON object, or an array of them) or binary (the attributes are
//! headers and the body is the data). What the attributes say is checked where the event is.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use stockade_model::{EventId, OrderEventKind, Timestamp};
use stockade_runtime::{FieldError, Problem, body, http::single};

use super::events::EventError;

/// An event as it came: what the attributes say, and the data as the bytes of a JSON object.
pub(super) struct Sent<'a> {
    pub(super) specversion: Cow<'a, str>,
    pub(super) id: Cow<'a, str>,
    pub(super) source: Cow<'a, str>,
    pub(super) kind: Cow<'a, str>,
    pub(super) time: Option<Cow<'a, str>>,
    pub(super) data: Cow<'a, [u8]>,
}

/// JSON format. Extension attributes are allowed by the specification and ignored here.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[schemars(rename = "CloudEvent")]
pub(super) struct Structured<'a> {
    /// `1.0`.
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    /// Unique within its source; sent again it is counted once.
    #[serde(borrow)]
    #[schemars(with = "EventId")]
    id: Cow<'a, str>,
    /// Who tells of it.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 200))]
    source: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    #[schemars(schema_with = "event_types")]
    kind: Cow<'a, str>,
    /// When it happened; now when nobody says. At most 90 days ago.
    #[serde(default, borrow)]
    #[schemars(with = "Option<Timestamp>")]
    time: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    datacontenttype: Option<Cow<'a, str>>,
    // Kept as text, so that its own fields are checked as strictly as the rest.
    /// This or `data_base64`.
    #[serde(borrow)]
    #[schemars(with = "Option<super::events::Data>")]
    data: Option<&'a RawValue>,
    /// The data in Base64; this or `data`.
    #[serde(default, borrow)]
    data_base64: Option<Cow<'a, str>>,
}

/// The types of events that order systems may send.
fn event_types(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let sent = OrderEventKind::ALL.iter().filter(|kind| !kind.is_derived());
    let types: Vec<&str> = sent.map(|kind| kind.event_type()).collect();
    schemars::json_schema!({ "type": "string", "enum": types })
}

/// One event or several, as the JSON formats of CloudEvents have them.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "CloudEvents")]
#[expect(dead_code, reason = "it describes what is told apart by its first character")]
pub(super) enum OneOrMany {
    One(Structured<'static>),
    Many(#[schemars(length(min = 1, max = 1_000))] Vec<Structured<'static>>),
}

/// The fields that a problem is about.
pub(super) fn fields_of(problem: Problem) -> EventError {
    match problem.errors.is_empty() {
        true => vec![FieldError::new("", problem.code, problem.detail)],
        false => problem.errors,
    }
}

fn wrong(field: &str, code: &str, detail: &str) -> EventError {
    vec![FieldError::new(field, code, detail)]
}

/// Reads one event in JSON format.
pub(super) fn structured(text: &[u8]) -> Result<Sent<'_>, EventError> {
    let event: Structured<'_> = body::parse_borrowed(text).map_err(fields_of)?;
    let Structured { specversion, id, source, kind, time, datacontenttype, data, data_base64 } = event;
    if let Some(other) = datacontenttype.filter(|said| !is_json(said)) {
        let detail = format!("the data must be JSON, and says it is {other:?}");
        return Err(wrong("/datacontenttype", "data_content_type", &detail));
    }
    let data = match (data, data_base64) {
        (Some(data), None) => Cow::Borrowed(data.get().as_bytes()),
        (None, Some(coded)) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(coded.as_bytes());
            let bad =
                |_| wrong("/data_base64", "bad_base64", "this is no Base64 (RFC 4648, with its padding)");
            Cow::Owned(decoded.map_err(bad)?)
        }
        (Some(_), Some(_)) => {
            return Err(wrong("/data_base64", "data_twice", "give data or data_base64, not both"));
        }
        (None, None) => return Err(wrong("/data", "missing_field", "missing field `data`")),
    };
    Ok(Sent { specversion, id, source, kind, time, data })
}

fn is_json(said: &str) -> bool {
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

const SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
const ID: HeaderName = HeaderName::from_static("ce-id");
const SOURCE: HeaderName = HeaderName::from_static("ce-source");
const TYPE: HeaderName = HeaderName::from_static("ce-type");
const TIME: HeaderName = HeaderName::from_static("ce-time");

/// Whether the attributes are in headers. A body that says it is an event is one, whatever headers there are.
pub(super) fn is_binary(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let structured = said.trim_start().to_ascii_lowercase().starts_with("application/cloudevents");
    !structured && [SPECVERSION, ID, SOURCE, TYPE].iter().any(|name| headers.contains_key(name))
}

/// Reads one event whose attributes are in headers and whose data is the body.
pub(super) fn binary<'a>(headers: &HeaderMap, data: &'a [u8]) -> Result<Sent<'a>, Problem> {
    let optional = |name: &HeaderName| attribute(headers, name);
    let required = |name: &HeaderName| {
        optional(name)?.ok_or_else(|| {
            let detail = format!("missing header {name}; an event in binary mode has ce-specversion, ce-id, ce-source and ce-type");
            Problem::invalid(wrong(name.as_str(), "missing_field", &detail))
        })
    };
    Ok(Sent {
        specversion: required(&SPECVERSION)?.into(),
        id: required(&ID)?.into(),
        source: required(&SOURCE)?.into(),
        kind: required(&TYPE)?.into(),
        time: optional(&TIME)?.map(Cow::from),
        data: data.into(),
    })
}

/// What an attribute says; in headers, whatever is not visible ASCII is in percent (HTTP binding 1.0.2, section 3.1.3.2).
fn attribute(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let Some(text) = single(headers, name)? else { return Ok(None) };
    let decoded = percent_decode_str(text).decode_utf8();
    let bad = |_| {
        let detail = format!("{name} is not UTF-8 once its percent signs are undone");
        Problem::new(StatusCode::BAD_REQUEST, "bad_header", detail)
    };
    decoded.map(|text| Some(text.into_owned())).map_err(bad)
}

/// The place of what is wrong, as somebody knows it who sent headers and a body: the data is all of the body.
pub(super) fn place_in_binary(field: &str) -> String {
    match field.strip_prefix("/data") {
        Some(within) => within.to_owned(),
        None => field.strip_prefix('/').map_or_else(String::new, |name| format!("ce-{name}")),
    }
}
