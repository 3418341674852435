//! A body that is taken as it comes, for what is too large to be held.

use std::{future::poll_fn, pin::Pin, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, Request},
    http::StatusCode,
};
use bytes::Bytes;
use tokio::time::Instant;

use super::{BodyBytesMax, read::let_go};
use crate::{
    Problem,
    server::{BodyDeadline, upload_too_slow},
};

/// A body, part by part. Each part has the deadline that a whole body has otherwise, and behind that all of it has to have come
/// with some speed: an upload may take long, but neither stand still nor trickle. Only waiting for its sender counts, not what
/// becomes of its parts.
pub struct Upload {
    body: Body,
    deadline: Option<BodyDeadline>,
    bytes: u64,
    waited: Duration,
    /// Bytes of it that go by where it is refused.
    bytes_max: usize,
}

/// How long to wait for the next part where `bytes` have come and were waited for so long.
fn patience(deadline: BodyDeadline, bytes: u64, waited: Duration) -> Duration {
    let earned_ms = bytes.saturating_mul(1_000) / deadline.bytes_per_second_min.max(1);
    let in_all = deadline.whole.saturating_add(Duration::from_millis(earned_ms));
    in_all.saturating_sub(waited).min(deadline.whole)
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let deadline = request.extensions().get::<BodyDeadline>().copied();
        let BodyBytesMax(bytes_max) = request.extensions().get().copied().unwrap_or_default();
        Ok(Self { body: request.into_body(), deadline, bytes: 0, waited: Duration::ZERO, bytes_max })
    }
}

impl Upload {
    /// Lets what is coming go by, as far as a body is read otherwise, so that its sender gets to read why it was not taken.
    pub async fn let_by(self) {
        let gone = let_go(self.body, self.bytes_max);
        match self.deadline {
            None => gone.await,
            // Whoever is too slow is cut off.
            Some(deadline) => drop(tokio::time::timeout(deadline.whole, gone).await),
        }
    }

    /// The next part; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let body = &mut self.body;
            let part = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            let part = match self.deadline {
                None => part.await,
                Some(deadline) => {
                    let (begun, patience) = (Instant::now(), patience(deadline, self.bytes, self.waited));
                    let part = tokio::time::timeout(patience, part).await;
                    self.waited += begun.elapsed();
                    part.map_err(|_| upload_too_slow(deadline))?
                }
            };
            match part {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(bytes) = frame.into_data() {
                        self.bytes += bytes.len() as u64;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_may_take_long_but_neither_stand_still_nor_trickle() {
        let seconds = Duration::from_secs;
        let deadline = BodyDeadline { whole: seconds(30), bytes_per_second_min: 1_000 };
        assert_eq!(patience(deadline, 0, seconds(0)), seconds(30));
        assert_eq!(
            patience(deadline, 1, seconds(29)),
            Duration::from_millis(1_001),
            "what little came gains as much"
        );
        assert_eq!(patience(deadline, 1, seconds(31)), Duration::ZERO);
        assert_eq!(patience(deadline, 60_000, seconds(60)), seconds(30), "as fast as it must be");
        assert_eq!(patience(deadline, 60_000, seconds(85)), seconds(5));
        assert_eq!(patience(deadline, u64::MAX, seconds(1 << 50)), Duration::ZERO);
        assert_eq!(patience(deadline, 1 << 40, seconds(1 << 20)), seconds(30), "a fast one may take days");
    }

    #[tokio::test]
    async fn a_sender_that_has_trickled_for_too_long_is_answered_408() {
        let mut upload = Upload {
            body: Body::from_stream(
                futures_util::stream::pending::<Result<Bytes, std::convert::Infallible>>(),
            ),
            deadline: Some(BodyDeadline { whole: Duration::from_secs(3_600), bytes_per_second_min: 1_000 }),
            bytes: 10,
            waited: Duration::from_secs(3_601),
            bytes_max: 0,
        };
        let refused = upload.next().await.unwrap_err();
        assert_eq!((refused.status, refused.code), (408, "body_too_slow"));
    }
}
