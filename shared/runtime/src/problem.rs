//! RFC 9457 problems with a stable `code` and the offending fields.

use std::collections::BTreeMap;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// When to come back after a full disk, in seconds: somebody has to make room.
const DISK_FULL_RETRY_S: u32 = 10;

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct FieldError {
    /// JSON pointer into the body, or the name of a query parameter or header; `body` where it is about all of the body.
    #[serde(serialize_with = "name")]
    #[schemars(with = "String")]
    pub field: String,
    /// Stable code.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// The pointer to all of a body is empty (RFC 6901), which reads as if something was forgotten.
fn name<S: serde::Serializer>(field: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(if field.is_empty() { "body" } else { field })
}

impl FieldError {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code: code.to_owned(), detail: detail.into() }
    }
}

/// A refusal: what went wrong, in a form that programs and people can read.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable code to script against.
    pub code: &'static str,
    /// What happened this time and what to do.
    pub detail: String,
    /// The offending fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Members that only this problem has, as RFC 9457 calls extensions.
    #[serde(flatten)]
    #[schemars(skip)]
    more: BTreeMap<&'static str, serde_json::Value>,
    #[serde(skip)]
    headers: Vec<(HeaderName, String)>,
}

/// The code of the problem that an answer is, in its extensions, for whoever sees no more of it than that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code(pub(crate) &'static str);

impl Problem {
    /// A problem of `status` with a stable `code`.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:stockade:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            more: BTreeMap::new(),
            headers: Vec::new(),
        }
    }
    /// 422 with the offending fields.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let text = |e: &FieldError| match e.field.as_str() {
            // It is about all of the body.
            "" => e.detail.clone(),
            field => format!("{field}: {}", e.detail),
        };
        let detail = errors.iter().map(text).collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail) }
    }
    /// The same with the offending fields.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }
    /// Adds a member that only this problem has.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: serde_json::Value) -> Self {
        self.more.insert(name, value);
        self
    }
    /// 503 with `Retry-After: 1`: the caller did nothing wrong.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with_header(header::RETRY_AFTER, "1")
    }
    /// 507: the disk under the log is full. Nothing was written, and what was written before is there.
    pub fn disk_full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail)
            .with_header(header::RETRY_AFTER, DISK_FULL_RETRY_S.to_string())
    }
    /// The problem as JSON. Its code is told whatever happens to the rest.
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|error| {
            tracing::error!(%error, code = self.code, "a problem could not be written out");
            format!("{{\"code\":\"{}\"}}", self.code).into_bytes()
        })
    }
    /// The same refusal, with its headers, under a code of its own.
    #[must_use]
    pub fn as_code(self, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: format!("urn:stockade:problem:{code}"), code, detail: detail.into(), ..self }
    }
    /// Adds a response header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        metrics::counter!(crate::metrics::PROBLEMS, "code" => self.code).increment(1);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = self.body();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.extensions_mut().insert(Code(self.code));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
