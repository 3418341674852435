//! The promise of an acknowledgement.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::{LogError, Placed};

/// Resolves to where each record of the batch went. Await it, or [`Ticket::wait`] outside a runtime.
pub struct Ticket(State);

enum State {
    Ready(Option<Result<Vec<Placed>, LogError>>),
    Pending(oneshot::Receiver<Result<Vec<Placed>, LogError>>),
}

fn gone() -> LogError {
    LogError::Stopped("the writer went away before it answered".to_owned())
}

impl Ticket {
    /// A ticket that is resolved already.
    pub fn ready(result: Result<Vec<Placed>, LogError>) -> Self {
        Self(State::Ready(Some(result)))
    }
    /// A ticket to be resolved by the sender.
    pub fn pending() -> (oneshot::Sender<Result<Vec<Placed>, LogError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(State::Pending(receiver)))
    }
    /// Blocks the thread until resolved; never call it on a runtime's worker.
    pub fn wait(self) -> Result<Vec<Placed>, LogError> {
        match self.0 {
            State::Ready(result) => result.unwrap_or_else(|| Err(gone())),
            State::Pending(receiver) => receiver.blocking_recv().unwrap_or_else(|_| Err(gone())),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Vec<Placed>, LogError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or_else(|| Err(gone()))),
            State::Pending(receiver) => {
                Pin::new(receiver).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(gone())))
            }
        }
    }
}
