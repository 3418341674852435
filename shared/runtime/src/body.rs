//! Request bodies: read within the limit, parsed strictly, every failure a problem.

use axum::{
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::StatusCode,
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{FieldError, Problem};

/// The bytes of a body within the configured limit.
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| match &rejection {
            BytesRejection::FailedToBufferBody(_) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    "the body is over the limit; split the batch",
                )
            }
            _ => Problem::new(
                StatusCode::BAD_REQUEST,
                "body_unreadable",
                "the body ended before it was complete; send it again",
            ),
        })
    }
}

/// Parses JSON. Malformed text is 400, a wrong or unknown field is 422 and is named.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse_borrowed(bytes)
}

/// The same for a value that borrows from `bytes`.
pub fn parse_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                Problem::invalid(vec![FieldError::new(pointer, field_code(&inner), inner.to_string())])
            }
            _ => malformed(&inner),
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json", format!("the body is not JSON: {error}"))
}

fn field_code(error: &serde_json::Error) -> &'static str {
    let text = error.to_string();
    match text.split('`').next() {
        Some("unknown field ") => "unknown_field",
        Some("missing field ") => "missing_field",
        Some("duplicate field ") => "duplicate_field",
        Some("unknown variant ") => "unknown_value",
        _ => "wrong_type",
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |mut pointer, segment| {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{key}")),
            Segment::Enum { variant } => pointer.push_str(&format!("/{variant}")),
            Segment::Unknown => {}
        }
        pointer
    })
}
