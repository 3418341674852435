//! A body that is taken as it comes, for what is too large to be held.

use std::{future::poll_fn, pin::Pin, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, Request},
    http::StatusCode,
};
use bytes::Bytes;

use super::{BodyBytesMax, read::let_go};
use crate::{
    Problem,
    server::{BodyDeadline, body_too_slow},
};

/// A body, part by part. Each part has the deadline that a whole body has otherwise: an upload may take long, but not stand
/// still.
pub struct Upload {
    body: Body,
    patience: Option<Duration>,
    /// Bytes of it that go by where it is refused.
    bytes_max: usize,
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let patience = request.extensions().get::<BodyDeadline>().map(|deadline| deadline.0);
        let BodyBytesMax(bytes_max) = request.extensions().get().copied().unwrap_or_default();
        Ok(Self { body: request.into_body(), patience, bytes_max })
    }
}

impl Upload {
    /// Lets what is coming go by, as far as a body is read otherwise, so that its sender gets to read why it was not taken.
    pub async fn let_by(self) {
        let gone = let_go(self.body, self.bytes_max);
        match self.patience {
            None => gone.await,
            // Whoever is too slow is cut off.
            Some(patience) => drop(tokio::time::timeout(patience, gone).await),
        }
    }

    /// The next part; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let body = &mut self.body;
            let part = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            let part = match self.patience {
                None => part.await,
                Some(patience) => {
                    tokio::time::timeout(patience, part).await.map_err(|_| body_too_slow(patience))?
                }
            };
            match part {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(_)) => {
                    return Err(Problem::new(
                        StatusCode::BAD_REQUEST,
                        "body_unreadable",
                        "the body ended before it was complete; send it again with the same Idempotency-Key",
                    ));
                }
            }
        }
    }
}
