//! What a handler takes from a request besides its caller: a typed body, a typed query, parts of the path.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, Uri, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::{
    Edge, FieldError, Problem,
    body::{self, Body, Kind},
};

/// A JSON body, read strictly.
pub struct Parsed<T>(pub T);

impl<T: DeserializeOwned, S: Edge> FromRequest<S> for Parsed<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Body(text) = Body::from_request(request, state).await?;
        body::parse(&text).map(Self)
    }
}

/// A body that is text, such as YAML.
pub struct Text(pub String);

impl<S: Edge> FromRequest<S> for Text {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let text = body::read(request, Kind::Text, state).await?;
        let wrong = |_| Problem::new(StatusCode::BAD_REQUEST, "not_utf8", "send it as UTF-8 text");
        String::from_utf8(text.into()).map(Self).map_err(wrong)
    }
}

/// What follows the question mark of a path.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        query(&parts.uri).map(Self)
    }
}

/// Reads what follows the question mark of a path.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let text = uri.query().unwrap_or_default();
    // Nearly every query is good: only one that is not is read again, keeping track of where.
    if let Ok(value) = serde_urlencoded::from_str(text) {
        return Ok(value);
    }
    let pairs = || form_urlencoded::parse(text.as_bytes());
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs())).map_err(|error| {
        let path = error.path().to_string();
        let said = error.into_inner().to_string();
        let of_text = || said.split('`').nth(1).unwrap_or("query").to_owned();
        let field = if matches!(path.as_str(), "." | "?" | "") { of_text() } else { path };
        let sent = pairs().find(|(name, _)| *name == field).map(|(_, value)| value.into_owned());
        let detail = in_words(&said, &sent.unwrap_or_default());
        let problem = Problem::new(StatusCode::BAD_REQUEST, "bad_query", format!("{field}: {detail}"));
        problem.with_errors(vec![FieldError::new(field, body::field_code(&said), detail)])
    })
}

/// What the standard library says of a text that is no number, in words.
fn in_words(said: &str, sent: &str) -> String {
    let wanted = match said {
        "invalid digit found in string" | "cannot parse integer from empty string" => "a whole number",
        "invalid float literal" | "cannot parse float from empty string" => "a number",
        "provided string was not `true` or `false`" => "true or false",
        "number too large to fit in target type" => "a smaller number",
        "number too small to fit in target type" => "a larger number",
        other => return body::plain(other),
    };
    format!("expected {wanted}, got {:?}", body::shown(sent))
}

/// Parts of a path, percent-decoded.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(value)| Self(value)).map_err(|_| bad_path())
    }
}

/// A path that cannot be read.
pub(crate) fn bad_path() -> Problem {
    let detail =
        "the path is not UTF-8 once its percent signs are undone; encode names as UTF-8 and then in percent";
    Problem::new(StatusCode::BAD_REQUEST, "bad_path", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is refused is never read")]
    struct Asked {
        sku: Option<String>,
        limit: Option<usize>,
        days: Option<u16>,
        radius_km: Option<f64>,
        sort: Option<Order>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Order {
        Price,
        Lead,
    }

    #[test]
    fn a_query_that_is_wrong_names_the_field_and_what_was_sent() {
        for (text, field, code, detail) in [
            ("limit=many", "limit", "wrong_type", "expected a whole number, got \"many\""),
            ("limit=1.5", "limit", "wrong_type", "expected a whole number, got \"1.5\""),
            ("limit=", "limit", "wrong_type", "expected a whole number, got \"\""),
            ("days=70000", "days", "wrong_type", "expected a smaller number, got \"70000\""),
            ("radius_km=far", "radius_km", "wrong_type", "expected a number, got \"far\""),
            (
                "colour=red",
                "colour",
                "unknown_field",
                "unknown field `colour`, expected one of `sku`, `limit`, `days`, `radius_km`, `sort`",
            ),
            ("sort=best", "sort", "unknown_value", "unknown value `best`, expected `price` or `lead`"),
            ("sku=a&sku=b", "sku", "duplicate_field", "duplicate field `sku`"),
        ] {
            let uri: Uri = format!("/v1/availability?{text}").parse().unwrap();
            let problem = query::<Asked>(&uri).unwrap_err();
            let error = &problem.errors[0];
            assert_eq!((problem.status, problem.code), (400, "bad_query"));
            assert_eq!(
                (error.field.as_str(), error.code.as_str(), error.detail.as_str()),
                (field, code, detail),
                "{text}"
            );
        }
        let none: Uri = "/v1/availability".parse().unwrap();
        assert!(query::<Asked>(&none).is_ok());
        let encoded: Uri = "/?sku=K%C3%A4se%2F1+2&sort=lead".parse().unwrap();
        assert_eq!(query::<Asked>(&encoded).unwrap().sku.as_deref(), Some("Käse/1 2"));
    }
}
