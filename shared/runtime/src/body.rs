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
mod upload;

pub use upload::Upload;

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
/// wrong, and so is anything but a word where one of several words is expected.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse_borrowed(bytes)
}

/// The same for a value that borrows from `bytes`.
pub fn parse_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        let detail = "the body is empty; this call needs a JSON body";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "empty_body", detail));
    }
    // Nearly every body is good: only one that is not is read again, keeping track of where.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    if let Ok(value) = T::deserialize(named::Named(&mut reader))
        && reader.end().is_ok()
    {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(named::Named(&mut reader)).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        match inner.classify() {
            // What is read as one kind of value and is another may look malformed from within.
            serde_json::error::Category::Syntax if !is_json(bytes) => malformed(&inner),
            serde_json::error::Category::Data | serde_json::error::Category::Syntax => Problem::invalid(
                vec![FieldError::new(pointer, field_code(&inner), plain(&inner.to_string()))],
            ),
            _ => malformed(&inner),
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json", format!("the body is not JSON: {error}"))
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// What the parser says, without names of types of ours and of its own.
fn plain(text: &str) -> String {
    const AN_OBJECT: &str = "an object with named fields";
    let text = [
        ("unknown variant ", "unknown value "),
        ("type: sequence", "type: array"),
        ("type: map", "type: object"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (theirs, ours)| text.replacen(theirs, ours, 1));
    let Some((before, expected)) = text.split_once("expected ") else { return text };
    let end = expected.find(" at line ").unwrap_or(expected.len());
    let (expected, place) = expected.split_at(end);
    let types_of_ours = [" tagged enum ", "struct ", "enum", "variant "];
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not below 0",
        "i8" | "i16" | "i32" | "i64" | "i128" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        "unit" => "null",
        "variant identifier" | "a borrowed string" | "any valid JSON value" => "a string",
        _ if types_of_ours.iter().any(|word| expected.contains(word)) => AN_OBJECT,
        _ => expected,
    };
    format!("{before}expected {expected}{place}")
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

    #[derive(Debug, serde::Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Tagged {
        Whole,
        Of { sku: String },
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is refused is never read")]
    struct Words {
        kind: Option<Kind>,
        tagged: Option<Tagged>,
        more: Option<Vec<Kind>>,
        small: Option<u8>,
        map: Option<std::collections::BTreeMap<String, i64>>,
    }

    #[test]
    fn valid_json_with_another_kind_of_value_names_the_field_and_no_type_of_ours() {
        for (body, field, code) in [
            (r#"{"kind":true}"#, "/kind", "wrong_type"),
            (r#"{"kind":5}"#, "/kind", "wrong_type"),
            (r#"{"kind":-1.5e3}"#, "/kind", "wrong_type"),
            (r#"{"kind":["plain"]}"#, "/kind", "wrong_type"),
            (r#"{"kind":{}}"#, "/kind", "wrong_type"),
            (r#"{"kind":{"with":{"text":"x"},"more":1}}"#, "/kind", "wrong_type"),
            (r#"{"kind":"strange"}"#, "/kind", "unknown_value"),
            (r#"{"kind":{"plain":7}}"#, "/kind", "wrong_type"),
            (r#"{"more":["plain",false]}"#, "/more/1", "wrong_type"),
            (r#"{"tagged":"whole"}"#, "/tagged", "wrong_type"),
            (r#"{"tagged":{"kind":true}}"#, "/tagged", "wrong_type"),
            (r#"{"tagged":{"kind":"none"}}"#, "/tagged", "unknown_value"),
            (r#"{"tagged":{}}"#, "/tagged", "missing_field"),
            (r#"{"small":300}"#, "/small", "wrong_type"),
            (r#"{"small":1e999}"#, "/small", "wrong_type"),
            (r#"{"map":[]}"#, "/map", "wrong_type"),
        ] {
            let problem = parse::<Words>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.status, 422, "{body}: {}", problem.detail);
            let error = &problem.errors[0];
            assert!(error.field.starts_with(field), "{body}: {error:?}");
            assert_eq!(error.code, code, "{body}: {error:?}");
            let words = ["enum", "struct", "variant", "Tagged", "u8", "Kind", " map,", "sequence"];
            let rust = words.iter().find(|word| error.detail.contains(**word));
            assert_eq!(rust, None, "{body}: {error:?}");
        }
        assert!(matches!(
            parse::<Words>(br#"{"tagged":{"kind":"of","sku":"S"}}"#).unwrap().tagged,
            Some(Tagged::Of { sku }) if sku == "S"
        ));
        assert!(matches!(
            parse::<Words>(br#"{"tagged":{"kind":"whole"}}"#).unwrap().tagged,
            Some(Tagged::Whole)
        ));
    }

    #[test]
    fn an_empty_body_and_a_broken_one_are_told_apart_and_an_error_of_the_whole_body_needs_no_field() {
        for (body, code) in [
            ("", "empty_body"),
            (" \n", "empty_body"),
            ("{", "malformed_json"),
            ("{\"kind\":tru}", "malformed_json"),
        ] {
            let problem = parse::<Words>(body.as_bytes()).unwrap_err();
            assert_eq!((problem.status, problem.code), (400, code), "{body}: {}", problem.detail);
            assert!(!problem.detail.contains("EOF while parsing a value"), "{}", problem.detail);
        }
        let problem = parse::<Words>(b"[]").unwrap_err();
        assert!(problem.detail.starts_with("invalid type"), "{}", problem.detail);
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
