//! Where the partitions of `supplier.events` end, asked of the log by as few as can be.
//!
//! To ask may be a call to a broker, which blocks a thread, and whoever names a basket that nobody knows makes this process ask for every
//! partition. So of each partition one look-up is under way at a time, and all who came before it began share what it finds. Who
//! comes while one is under way shares the next, for what it waits for may lie behind what that one has seen; and the next
//! begins a moment after it at the earliest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

/// From the begin of one look-up to that of the next.
const PACE: Duration = Duration::from_millis(100);

/// What the last look-up of a partition came to.
#[derive(Default)]
struct Last {
    /// Which it was, from 1.
    number: u64,
    began: Option<Instant>,
    /// Where the partition ended; none where the log could not be asked.
    end: Option<u64>,
}

/// One partition.
#[derive(Default)]
struct Partition {
    /// Look-ups begun.
    begun: AtomicU64,
    /// Whoever has it looks.
    last: Arc<Mutex<Last>>,
}

/// All partitions.
pub(crate) struct Ends(Box<[Arc<Partition>]>);

impl Ends {
    pub(crate) fn new(partitions: u32) -> Self {
        Self((0..partitions).map(|_| Arc::default()).collect())
    }

    /// Where a partition ends now or ended a moment after this was asked; none where that is not known. `look` asks the log, on a
    /// thread that may block, unless somebody else does.
    pub(crate) async fn of(
        &self,
        partition: u32,
        look: impl FnOnce() -> Option<u64> + Send + 'static,
    ) -> Option<u64> {
        let of = self.0.get(partition as usize)?.clone();
        let begun = of.begun.load(Ordering::SeqCst);
        let mut last = of.last.clone().lock_owned().await;
        if last.number > begun {
            return last.end;
        }
        // A task of its own: were the caller to go away meanwhile, another one would ask beside what is still under way.
        let look = tokio::spawn(async move {
            if let Some(began) = last.began {
                tokio::time::sleep_until(began + PACE).await;
            }
            last.began = Some(Instant::now());
            let number = of.begun.fetch_add(1, Ordering::SeqCst) + 1;
            last.end = tokio::task::spawn_blocking(look).await.ok().flatten();
            last.number = number;
            last.end
        });
        look.await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{atomic::AtomicUsize, mpsc};

    use super::*;

    #[tokio::test]
    async fn however_many_ask_one_looks_and_those_who_come_meanwhile_share_the_next() {
        let (ends, looks) = (Arc::new(Ends::new(2)), Arc::new(AtomicUsize::new(0)));
        let (go_on, waits) = mpsc::channel::<()>();
        let (began, has_begun) = tokio::sync::oneshot::channel();
        let first = {
            let (ends, looks) = (ends.clone(), looks.clone());
            let look = move || {
                looks.fetch_add(1, Ordering::SeqCst);
                let _ = began.send(());
                waits.recv().ok()?;
                Some(7)
            };
            tokio::spawn(async move { ends.of(0, look).await })
        };
        has_begun.await.unwrap();
        let others: Vec<_> = (0..100)
            .map(|_| {
                let (ends, looks) = (ends.clone(), looks.clone());
                let look = move || {
                    looks.fetch_add(1, Ordering::SeqCst);
                    Some(8)
                };
                tokio::spawn(async move { ends.of(0, look).await })
            })
            .collect();
        // All of them have asked by now, for tasks of this runtime run in turn.
        tokio::task::yield_now().await;
        assert_eq!(ends.of(1, || Some(3)).await, Some(3), "another partition is another matter");
        go_on.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Some(7));
        for other in others {
            assert_eq!(other.await.unwrap(), Some(8), "what was there when they asked is in it");
        }
        assert_eq!(looks.load(Ordering::SeqCst), 2);
        assert_eq!(ends.of(2, || Some(1)).await, None, "there is no such partition");
    }

    #[tokio::test]
    async fn who_goes_away_leaves_its_look_to_the_others() {
        let ends = Arc::new(Ends::new(1));
        let (go_on, waits) = mpsc::channel::<()>();
        let (began, has_begun) = tokio::sync::oneshot::channel();
        let gone = {
            let ends = ends.clone();
            let look = move || {
                let _ = began.send(());
                waits.recv().ok()?;
                Some(1)
            };
            tokio::spawn(async move { ends.of(0, look).await })
        };
        has_begun.await.unwrap();
        gone.abort();
        let next = {
            let ends = ends.clone();
            tokio::spawn(async move { ends.of(0, || Some(2)).await })
        };
        tokio::task::yield_now().await;
        assert!(ends.0[0].last.try_lock().is_err(), "the first is under way, and nobody looks beside it");
        go_on.send(()).unwrap();
        assert_eq!(next.await.unwrap(), Some(2));
    }
}
