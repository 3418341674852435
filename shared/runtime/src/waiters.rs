//! Whoever waits until something is said about a record: by the record's id, within a deadline, and leaving nothing
//! behind however the waiting ends.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use tokio::sync::oneshot;

/// Who waits for what, by record id. Cheap to clone. It holds one entry for each request under way, so it is bounded by
/// these.
pub struct Waiters<T>(Arc<DashMap<String, oneshot::Sender<T>>>);

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
impl<T> Clone for Waiters<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Waiters<T> {
    /// Begins to wait for what will be said about `id`. Call it before the record is appended, or the answer may come
    /// before anybody waits for it.
    pub fn expect(&self, id: &str) -> Waiter<T> {
        let (sender, receiver) = oneshot::channel();
        self.0.insert(id.to_owned(), sender);
        Waiter { id: id.to_owned(), receiver, all: self.clone() }
    }

    /// Says it to whoever waits for `id`, if anybody does.
    pub fn give(&self, id: &str, said: T) {
        if let Some((_, sender)) = self.0.remove(id) {
            // The caller may have gone away meanwhile.
            let _ = sender.send(said);
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One who waits. Dropping it, because the append failed, the deadline passed or the caller went away, forgets it.
pub struct Waiter<T> {
    id: String,
    receiver: oneshot::Receiver<T>,
    all: Waiters<T>,
}

impl<T> Waiter<T> {
    /// What was said within `deadline`; none when nothing was. A deadline of zero waits for nothing.
    pub async fn within(mut self, deadline: Duration) -> Option<T> {
        if deadline.is_zero() {
            return None;
        }
        tokio::time::timeout(deadline, &mut self.receiver).await.ok()?.ok()
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        self.all.0.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn however_the_waiting_ends_nothing_is_left_behind() {
        let waiters = Waiters::default();
        let told = waiters.expect("told");
        waiters.give("told", 1);
        assert_eq!(told.within(SOON).await, Some(1));
        assert_eq!(waiters.expect("late").within(SOON).await, None, "the deadline passes");
        drop(waiters.expect("the append failed"));
        assert_eq!(waiters.expect("no patience").within(Duration::ZERO).await, None);
        waiters.give("nobody", 2);
        assert!(waiters.is_empty());
    }
}
