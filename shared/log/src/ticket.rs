//! The promise of an acknowledgement.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::{LogError, Placed};

/// Resolves when the log has answered: an append to where each record of the batch went, a commit to nothing. Await it,
/// or [`Ticket::wait`] outside a runtime.
pub struct Ticket<T = Vec<Placed>>(State<T>);

enum State<T> {
    Ready(Option<Result<T, LogError>>),
    Pending(oneshot::Receiver<Result<T, LogError>>),
}

fn gone() -> LogError {
    LogError::Stopped("the writer went away before it answered".to_owned())
}

impl<T> Ticket<T> {
    /// A ticket that is resolved already.
    pub fn ready(result: Result<T, LogError>) -> Self {
        Self(State::Ready(Some(result)))
    }
    /// A ticket to be resolved by the sender.
    pub fn pending() -> (oneshot::Sender<Result<T, LogError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(State::Pending(receiver)))
    }
    /// Blocks the thread until resolved; never call it on a runtime's worker.
    pub fn wait(self) -> Result<T, LogError> {
        match self.0 {
            State::Ready(result) => result.unwrap_or_else(|| Err(gone())),
            State::Pending(receiver) => receiver.blocking_recv().unwrap_or_else(|_| Err(gone())),
        }
    }
}

impl<T: Unpin> Future for Ticket<T> {
    type Output = Result<T, LogError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or_else(|| Err(gone()))),
            State::Pending(receiver) => {
                Pin::new(receiver).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(gone())))
            }
        }
    }
}
