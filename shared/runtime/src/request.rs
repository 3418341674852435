//! What a handler takes from a request besides its caller: a typed body, a typed query.

use axum::{
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::{
    Problem,
    body::{self, Body},
};

/// A JSON body, read strictly.
pub struct Parsed<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Parsed<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Body(text) = Body::from_request(request, state).await?;
        body::parse(&text).map(Self)
    }
}

/// A body that is text, such as YAML.
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Body(text) = Body::from_request(request, state).await?;
        let wrong = |_| Problem::new(StatusCode::BAD_REQUEST, "not_utf8", "send it as UTF-8 text");
        String::from_utf8(text.into()).map(Self).map_err(wrong)
    }
}

/// What follows the question mark of a path.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |e: axum::extract::rejection::QueryRejection| {
            Problem::new(StatusCode::BAD_REQUEST, "bad_query", e.body_text())
        };
        let Query(query) = Query::from_request_parts(parts, state).await.map_err(wrong)?;
        Ok(Self(query))
    }
}
