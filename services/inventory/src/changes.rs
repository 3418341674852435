//! Who wants to be told when what buyers see of a good may have changed.
//!
//! A change marks the good for everyone who watches it, which is a lock and a bit; whoever was told looks at the index for
//! itself. So however often a good changes between two looks, and however slow a reader is, one mark per good is all that is
//! kept, and nothing that writes ever waits for somebody who reads.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;
use parking_lot::Mutex;
use stockade_model::{Gtin, Sku, SupplierId};
use tokio::sync::Notify;

use crate::{domain::Index, metrics::OfStream};

/// Streams open at once in a process, of everybody together.
pub const STREAMS_MAX: usize = 20_000;
/// Streams of one caller, where nothing else is said.
pub const STREAMS_OF_ONE_MAX: usize = 500;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Good {
    Sku(Sku),
    Gtin(Gtin),
}

/// What one stream has still to look at.
#[derive(Default)]
struct Watch {
    marked: Mutex<BTreeSet<usize>>,
    news: Notify,
}

impl Watch {
    fn mark(&self, place: usize) {
        if self.marked.lock().insert(place) {
            self.news.notify_one();
        }
    }
}

type Watching = (Arc<Watch>, usize);

/// All streams of a process.
pub struct Changes {
    goods: DashMap<Good, Vec<Watching>>,
    by_caller: DashMap<String, usize>,
    of_one_max: AtomicUsize,
    open: AtomicUsize,
    ended: AtomicBool,
    end: Notify,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            goods: DashMap::new(),
            by_caller: DashMap::new(),
            of_one_max: AtomicUsize::new(STREAMS_OF_ONE_MAX),
            open: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        }
    }
}

/// Why no further stream is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The caller has as many as one may have.
    Caller,
    /// The process has.
    Process,
}

impl Changes {
    /// Says how many streams one caller may open; those that are open stay so.
    pub(crate) fn set_of_one_max(&self, max: usize) {
        self.of_one_max.store(max, Ordering::Relaxed);
    }

    /// Opens a stream for `caller`.
    pub fn open(self: &Arc<Self>, caller: &str) -> Result<Stream, Full> {
        if self.open.fetch_add(1, Ordering::SeqCst) >= STREAMS_MAX {
            self.open.fetch_sub(1, Ordering::SeqCst);
            return Err(Full::Process);
        }
        let mut of_caller = self.by_caller.entry(caller.to_owned()).or_default();
        if *of_caller >= self.of_one_max.load(Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::SeqCst);
            return Err(Full::Caller);
        }
        *of_caller += 1;
        drop(of_caller);
        Ok(Stream {
            figures: OfStream::opened(),
            changes: self.clone(),
            caller: caller.to_owned(),
            watch: Arc::default(),
            goods: Vec::new(),
        })
    }

    /// Ends all streams, and every one that is opened later at once: the process is about to end.
    pub fn close(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.end.notify_waiters();
    }

    fn is_watched(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }

    fn mark(&self, good: &Good) {
        if let Some(watching) = self.goods.get(good) {
            watching.iter().for_each(|(watch, place)| watch.mark(*place));
        }
    }

    /// An offer of a good was put, after it was.
    pub(crate) fn offered(&self, sku: &Sku, gtin: Option<Gtin>) {
        if self.is_watched() {
            self.mark(&Good::Sku(sku.clone()));
            gtin.into_iter().for_each(|gtin| self.mark(&Good::Gtin(gtin)));
        }
    }

    /// What may be seen of all a supplier offers has changed, after it has.
    pub(crate) fn restricted(&self, supplier: &SupplierId, index: &Index) {
        if !self.is_watched() {
            return;
        }
        // Whichever is less to look through: what it sells, or what anybody watches.
        match index.skus_of(supplier, self.goods.len()) {
            Some(skus) => skus.into_iter().for_each(|sku| self.mark(&Good::Sku(sku))),
            None => {
                let of_sku = |watched: &Good| match watched {
                    Good::Sku(sku) => index.sells(supplier, sku),
                    Good::Gtin(_) => false,
                };
                for watched in self.goods.iter().filter(|watched| of_sku(watched.key())) {
                    watched.iter().for_each(|(watch, place)| watch.mark(*place));
                }
            }
        }
    }
}

/// One stream; closed when dropped.
pub struct Stream {
    changes: Arc<Changes>,
    caller: String,
    watch: Arc<Watch>,
    goods: Vec<(Good, usize)>,
    figures: OfStream,
}

impl Stream {
    /// It looked at a good again.
    pub(crate) fn looked(&self, found: bool) {
        self.figures.looked(found);
    }

    fn watch(&mut self, good: Good, place: usize) {
        if !self.goods.iter().any(|known| known.0 == good && known.1 == place) {
            self.changes.goods.entry(good.clone()).or_default().push((self.watch.clone(), place));
            self.goods.push((good, place));
        }
    }

    /// Watches a SKU as number `place`. Look at it after this, not before, or a change in between is missed.
    pub fn watch_sku(&mut self, sku: &Sku, place: usize) {
        self.watch(Good::Sku(sku.clone()), place);
    }

    /// Watches a GTIN as number `place`, with the SKUs that go by it so far; say so again after each look, for there may be more
    /// by then.
    pub fn watch_gtin(&mut self, gtin: Gtin, skus: &[Sku], place: usize) {
        self.watch(Good::Gtin(gtin), place);
        skus.iter().for_each(|sku| self.watch_sku(sku, place));
    }

    /// Whether all streams have ended.
    pub fn has_ended(&self) -> bool {
        self.changes.ended.load(Ordering::SeqCst)
    }

    /// Waits until something is marked and takes it; nothing when all streams end.
    pub async fn marked(&self) -> BTreeSet<usize> {
        loop {
            // Made before it is looked whether it happened already, so that neither can be missed.
            let (news, end) = (self.watch.news.notified(), self.changes.end.notified());
            let marked = std::mem::take(&mut *self.watch.marked.lock());
            if !marked.is_empty() || self.has_ended() {
                return marked;
            }
            tokio::select! {
                () = news => {}
                () = end => {}
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for (good, _) in std::mem::take(&mut self.goods) {
            self.changes.goods.remove_if_mut(&good, |_, watching| {
                watching.retain(|(watch, _)| !Arc::ptr_eq(watch, &self.watch));
                watching.is_empty()
            });
        }
        self.changes.by_caller.remove_if_mut(&self.caller, |_, open| {
            *open = open.saturating_sub(1);
            *open == 0
        });
        self.changes.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};

    use super::*;

    fn sku(name: &str) -> Sku {
        Sku::new(name).unwrap()
    }

    #[tokio::test]
    async fn a_change_marks_each_watched_good_once_and_only_for_who_watches_it() {
        let changes = Arc::new(Changes::default());
        let (mut one, mut other) = (changes.open("a").unwrap(), changes.open("b").unwrap());
        let gtin = Gtin::new("4006381333931").unwrap();
        one.watch_sku(&sku("x"), 0);
        one.watch_gtin(gtin, &[sku("y")], 1);
        other.watch_sku(&sku("z"), 0);
        for _ in 0..1_000 {
            changes.offered(&sku("x"), None);
        }
        changes.offered(&sku("y"), None);
        changes.offered(&sku("new"), Some(gtin));
        assert_eq!(one.marked().await, BTreeSet::from([0, 1]));
        changes.offered(&sku("z"), None);
        assert_eq!(other.marked().await, BTreeSet::from([0]));
        assert!(one.watch.marked.lock().is_empty());
        drop(one);
        assert_eq!(changes.goods.len(), 1, "who is gone is not told any more");
        drop(other);
        assert!(changes.goods.is_empty() && changes.by_caller.is_empty() && !changes.is_watched());
    }

    #[tokio::test]
    async fn who_waits_is_told_of_the_end_and_nobody_has_more_streams_than_one_may_have() {
        let changes = Arc::new(Changes::default());
        let open: Vec<Stream> = (0..STREAMS_OF_ONE_MAX).map(|_| changes.open("a").unwrap()).collect();
        assert_eq!(changes.open("a").err(), Some(Full::Caller));
        let stream = changes.open("b").unwrap();
        let waiting = tokio::spawn(async move { stream.marked().await });
        tokio::task::yield_now().await;
        changes.close();
        assert!(waiting.await.unwrap().is_empty());
        drop(open);
        assert!(changes.open("a").unwrap().has_ended());
        changes.set_of_one_max(1);
        let one = changes.open("a").unwrap();
        assert_eq!(changes.open("a").err(), Some(Full::Caller), "as many as were said last");
        drop(one);
        assert!(changes.open("a").is_ok());
    }

    /// Counts what is registered here.
    #[derive(Default)]
    struct Registered(Mutex<Vec<String>>);

    impl ::metrics::Recorder for Registered {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.0.lock().push(key.name().to_owned());
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            self.0.lock().push(key.name().to_owned());
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn the_figures_of_a_stream_are_those_of_where_it_was_opened_wherever_it_goes_on_and_ends() {
        let changes = Arc::new(Changes::default());
        let (here, elsewhere) = (Registered::default(), Registered::default());
        let stream = ::metrics::with_local_recorder(&here, || changes.open("a").unwrap());
        assert!(here.0.lock().contains(&"stockade_inventory_streams".to_owned()));
        ::metrics::with_local_recorder(&elsewhere, || {
            stream.looked(true);
            stream.looked(false);
            drop(stream);
        });
        assert_eq!(*elsewhere.0.lock(), Vec::<String>::new());
    }
}
