//! Request bodies: read within the limit and the deadline, parsed strictly, every failure a problem.

use axum::{
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::StatusCode,
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    FieldError, Problem,
    server::{BodyDeadline, body_too_slow},
};

mod named;

/// The bytes of a body within the configured limit and deadline.
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let deadline = request.extensions().get::<BodyDeadline>().copied();
        let reading = Bytes::from_request(request, state);
        let read = match deadline {
            None => reading.await,
            Some(BodyDeadline(deadline)) => {
                tokio::time::timeout(deadline, reading).await.map_err(|_| body_too_slow(deadline))?
            }
        };
        read.map(Self).map_err(|rejection| match &rejection {
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

/// Parses JSON. Malformed text is 400, a wrong or unknown field is 422 and is named; an array in the place of an object is
/// wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse_borrowed(bytes)
}

/// The same for a value that borrows from `bytes`.
pub fn parse_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(named::Named(&mut reader)).map_err(|error| {
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

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        minor: i64,
        currency: String,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        With { text: String },
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer<'a> {
        price: Inner,
        more: Vec<Inner>,
        maybe: Option<Inner>,
        kind: Option<Kind>,
        pair: Option<(i64, i64)>,
        #[serde(borrow)]
        raw: Option<&'a RawValue>,
    }

    fn refused(body: &str) -> (String, String) {
        let problem = parse_borrowed::<Outer<'_>>(body.as_bytes()).unwrap_err();
        assert!(!problem.detail.contains("struct"), "no type of ours is named: {}", problem.detail);
        (problem.errors[0].field.clone(), problem.errors[0].code.clone())
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        let wrong = |at: &str| (at.to_owned(), "wrong_type".to_owned());
        assert_eq!(refused(r#"[{"minor":1,"currency":"EUR"},[]]"#), wrong(""));
        assert_eq!(refused(r#"{"price":[1,"EUR"],"more":[]}"#), wrong("/price"));
        assert_eq!(refused(r#"{"price":{"minor":1,"currency":"EUR"},"more":[[1,"EUR"]]}"#), wrong("/more/0"));
        let rest = r#""price":{"minor":1,"currency":"EUR"},"more":[]"#;
        assert_eq!(refused(&format!(r#"{{{rest},"maybe":[1,"EUR"]}}"#)), wrong("/maybe"));
        assert_eq!(refused(&format!(r#"{{{rest},"kind":{{"with":["x"]}}}}"#)), wrong("/kind/with"));
        for value in ["7", "\"x\"", "null", "true", "1.5"] {
            assert_eq!(refused(&format!(r#"{{"price":{value},"more":[]}}"#)), wrong("/price"), "{value}");
        }
    }

    #[test]
    fn what_is_meant_to_be_an_array_or_an_object_is_read_as_ever() {
        let body = r#"{"price":{"minor":1,"currency":"EUR"},"more":[{"minor":2,"currency":"JPY"}],"maybe":null,
            "kind":{"with":{"text":"x"}},"pair":[1,2],"raw":[ 1, {"a":2} ]}"#;
        let read: Outer<'_> = parse_borrowed(body.as_bytes()).unwrap();
        assert_eq!((read.price.minor, read.more[0].currency.as_str(), read.pair), (1, "JPY", Some((1, 2))));
        assert!(read.maybe.is_none() && matches!(read.kind, Some(Kind::With { text }) if text == "x"));
        assert_eq!(read.raw.unwrap().get(), r#"[ 1, {"a":2} ]"#);
        let plain = r#"{"price":{"minor":1,"currency":"EUR"},"more":[],"kind":"plain"}"#;
        assert!(matches!(parse_borrowed::<Outer<'_>>(plain.as_bytes()).unwrap().kind, Some(Kind::Plain)));
        assert_eq!(refused(r#"{"price":{"minor":1,"currency":"EUR","x":1},"more":[]}"#).1, "unknown_field");
        assert_eq!(parse::<Vec<i64>>(b"[1,2]").unwrap(), [1, 2]);
    }
}
