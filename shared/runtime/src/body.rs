//! Request bodies: read within the limit and the deadline, parsed strictly, every failure a problem.

use axum::{
    extract::{FromRequest, Request},
    http::StatusCode,
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Edge, FieldError, Problem};

mod named;
mod read;
mod room;
mod upload;
mod words;

pub use upload::Upload;

pub use read::{BodyBytesMax, bad_gzip, is_packed};
pub(crate) use read::{Kind, let_by, read};
pub use room::BodyRoom;
pub(crate) use words::{field_code, plain, shown};

/// The bytes of a JSON body within the configured limit and deadline, and within what its caller may still send: a handler
/// names its caller before the body.
pub struct Body(pub Bytes);

impl<S: Edge> FromRequest<S> for Body {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read(request, Kind::Json, state).await.map(Self)
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
        let mut pointer = pointer(error.path());
        let inner = error.into_inner();
        let text = inner.to_string();
        let code = field_code(&text);
        // What is missing has a place as well: where it would stand.
        if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            push_segment(&mut pointer, name);
        }
        match inner.classify() {
            // What is read as one kind of value and is another may look malformed from within.
            serde_json::error::Category::Syntax if !is_json(bytes) => malformed(&inner),
            serde_json::error::Category::Data | serde_json::error::Category::Syntax => {
                Problem::invalid(vec![FieldError::new(pointer, code, plain(&text))])
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

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// The JSON pointer of a place (RFC 6901); that of the whole body is empty.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |mut pointer, segment| {
        match segment {
            Segment::Seq { index } => push_segment(&mut pointer, &index.to_string()),
            Segment::Map { key } => push_segment(&mut pointer, key),
            Segment::Enum { variant } => push_segment(&mut pointer, variant),
            Segment::Unknown => {}
        }
        pointer
    })
}

fn push_segment(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
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
    fn what_is_wrong_is_said_in_words_with_what_was_sent() {
        for (body, field, detail) in [
            (
                r#"{"price":{"minor":1.5,"currency":"EUR"}}"#,
                "/price/minor",
                "expected a whole number, got 1.5",
            ),
            (
                r#"{"price":{"minor":"5","currency":"EUR"}}"#,
                "/price/minor",
                "expected a whole number, got \"5\"",
            ),
            (
                r#"{"price":{"minor":null,"currency":"EUR"}}"#,
                "/price/minor",
                "expected a whole number, got null",
            ),
            (r#"{"price":{"minor":1,"currency":[]}}"#, "/price/currency", "expected a string, got an array"),
            (r#"{"price":{"minor":1}}"#, "/price/currency", "missing field `currency`"),
            (r#"{"price":7}"#, "/price", "expected an object with named fields, got 7"),
            (r#"{"price":true}"#, "/price", "expected an object with named fields, got true"),
            (r#"{}"#, "/price", "missing field `price`"),
        ] {
            let problem = parse_borrowed::<Outer<'_>>(body.as_bytes()).unwrap_err();
            let error = &problem.errors[0];
            assert_eq!((error.field.as_str(), error.detail.as_str()), (field, detail), "{body}");
        }
        for (body, detail) in [
            (r#"{"small":300}"#, "expected a whole number from 0 to 255, got 300"),
            (r#"{"small":-1}"#, "expected a whole number from 0 to 255, got -1"),
            (r#"{"small":1e999}"#, "the number is too large"),
            (r#"{"kind":5}"#, "expected one of `plain`, `with`, got 5"),
            (r#"{"map":[]}"#, "expected an object, got an array"),
            (r#"{"map":{"a/b~c":"x"}}"#, "expected a whole number, got \"x\""),
        ] {
            let problem = parse::<Words>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.errors[0].detail, detail, "{body}");
        }
        let problem = parse::<Words>(br#"{"map":{"a/b~c":"x"}}"#).unwrap_err();
        assert_eq!(problem.errors[0].field, "/map/a~1b~0c");
        let whole = serde_json::to_value(parse::<Words>(b"[]").unwrap_err()).unwrap();
        assert_eq!(whole["errors"][0]["field"], "body", "no name is empty");
        let long = format!(r#"{{"small":"{}"}}"#, "ü".repeat(5_000));
        assert!(parse::<Words>(long.as_bytes()).unwrap_err().detail.chars().count() < 200);
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
        assert_eq!(problem.detail, "expected an object with named fields, got an array");
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
