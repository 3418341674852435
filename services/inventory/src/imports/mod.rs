//! Imports: a supplier's whole file, taken on, read, and applied at the pace of its allowance.
//!
//! An upload is spooled to this node's disk and acknowledged when it is there ([`store`]). It is then read once ([`read`]): rows
//! that are right go to files of rows, stock that goes to zero into one of its own, rows that are wrong into the report. A
//! snapshot looks at what its file does not name ([`missing`]). Rows are applied from those files chunk by chunk ([`apply`]), each
//! a request like any batch with a key made of the import and the chunk's number, so that a chunk sent twice, whatever was
//! killed when, changes nothing. Memory holds a chunk of each import at work, whatever is in the files.

mod apply;
mod http;
mod keys;
mod meta;
mod missing;
mod read;
mod report;
mod routes;
mod rows;
mod store;
mod tell;
mod unchanged;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use stockade_imports::Bounds;
use stockade_model::SupplierId;
use stockade_runtime::{Edge, Limits, Principal, Shutdown};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use crate::app::App;
use meta::{Meta, State};
use store::Store;

pub use http::preview_file;
pub use routes::{router, routes};

/// What imports may take.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportsConfig {
    /// Where uploads and what comes of them are kept; `imports` in the data directory when absent.
    pub directory: Option<PathBuf>,
    /// Largest upload, in bytes as it is sent.
    pub upload_bytes_max: u64,
    /// What a file may unpack to.
    pub file: Bounds,
    /// A snapshot that would take more than this share of a supplier's listings off the market waits until it is confirmed.
    pub confirm_percent: u32,
    /// Unfinished imports of one supplier.
    pub waiting_max: usize,
    /// Imports that are read or applied at once; the others wait their turn, chunk by chunk.
    pub at_once: usize,
    /// Lines of one report.
    pub report_lines_max: u64,
    /// Days for which finished imports and their reports are kept.
    pub keep_days: u32,
    /// Bytes of the disk that are kept back: with less than that free, no upload is taken and no file read, for the log may
    /// lie on the same disk.
    pub disk_reserve_bytes: u64,
}

impl Default for ImportsConfig {
    fn default() -> Self {
        Self {
            directory: None,
            upload_bytes_max: 2 << 30,
            file: Bounds::default(),
            confirm_percent: 20,
            waiting_max: 4,
            at_once: 4,
            report_lines_max: 100_000,
            keep_days: 7,
            disk_reserve_bytes: 2 << 30,
        }
    }
}

impl ImportsConfig {
    /// What is wrong with it, by name.
    pub fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.confirm_percent > 100 {
            wrong.push("confirm_percent must be 0 to 100".to_owned());
        }
        let counts = [("waiting_max", self.waiting_max), ("at_once", self.at_once)];
        wrong.extend(
            counts
                .into_iter()
                .filter(|(_, count)| !(1..=1_000).contains(count))
                .map(|(name, _)| format!("{name} must be 1 to 1000")),
        );
        let at_least_one = [
            ("upload_bytes_max", self.upload_bytes_max),
            ("file.inflated_bytes_max", self.file.inflated_bytes_max),
            ("file.ratio_max", self.file.ratio_max),
            ("file.rows_max", self.file.rows_max),
            ("keep_days", self.keep_days.into()),
        ];
        wrong.extend(
            at_least_one
                .into_iter()
                .filter(|(_, value)| *value == 0)
                .map(|(name, _)| format!("{name} must be at least 1")),
        );
        wrong
    }
}

/// Finished imports of one supplier that are kept.
const KEPT_MAX: usize = 100;

/// One import, and whether somebody wants it to stop.
#[derive(Clone)]
struct Import {
    meta: Arc<Mutex<Meta>>,
    /// Held while what is known is changed and written: who confirms and who works at it would else write over each other's file,
    /// and the older of both could be kept.
    keeping: Arc<Mutex<()>>,
    cancel: Arc<AtomicBool>,
}

impl Import {
    fn new(meta: Meta) -> Self {
        Self { meta: Arc::new(Mutex::new(meta)), keeping: Arc::default(), cancel: Arc::default() }
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Acquire)
    }
}

/// Imports of each supplier, in the order in which they were taken on.
type Known = BTreeMap<SupplierId, BTreeMap<u64, Import>>;

/// The imports of this node.
pub struct Imports {
    app: Arc<App>,
    config: ImportsConfig,
    store: Store,
    known: Mutex<Known>,
    /// Suppliers whose imports somebody works at.
    at_work: Mutex<HashSet<SupplierId>>,
    /// Turns at the log, one a chunk, and at reading files.
    turns: Semaphore,
    readings: Semaphore,
    news: Notify,
    next: AtomicU64,
    stopping: AtomicBool,
}

impl Edge for Imports {
    fn limits(&self) -> &Limits {
        &self.app.limits
    }
    fn class(&self, caller: &Principal) -> String {
        self.app.class(caller)
    }
}

impl Imports {
    /// The imports kept in a directory; those that are not finished go on once [`Imports::run`] runs.
    pub fn open(app: Arc<App>, config: ImportsConfig, directory: PathBuf) -> std::io::Result<Arc<Self>> {
        let (store, metas) = Store::open(directory)?;
        let mut known = Known::new();
        let mut next = 0;
        for meta in metas {
            next = next.max(meta.number + 1);
            known.entry(meta.supplier.clone()).or_default().insert(meta.number, Import::new(meta));
        }
        Ok(Arc::new(Self {
            turns: Semaphore::new(config.at_once),
            readings: Semaphore::new(config.at_once.div_ceil(2)),
            app,
            config,
            store,
            known: Mutex::new(known),
            at_work: Mutex::default(),
            news: Notify::new(),
            next: AtomicU64::new(next),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Works at imports until `shutdown`. What is under way then goes on at the next start.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut workers = JoinSet::new();
        let end = shutdown.wait();
        tokio::pin!(end);
        loop {
            for supplier in self.to_work_at() {
                workers.spawn(self.clone().work(supplier));
            }
            let untold = self.tell_of_ends().await;
            tokio::select! {
                biased;
                () = &mut end => break,
                () = self.news.notified() => {}
                () = tokio::time::sleep(tell::AGAIN), if untold => {}
                Some(ended) = workers.join_next(), if !workers.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "an import's worker panicked; its supplier's imports go on at the next start");
                    }
                }
            }
        }
        self.stopping.store(true, Ordering::Release);
        workers.shutdown().await;
    }

    /// Suppliers with something to do that nobody works at yet; they are worked at from here on.
    fn to_work_at(&self) -> Vec<SupplierId> {
        let known = self.known.lock();
        let mut at_work = self.at_work.lock();
        let busy = known
            .iter()
            .filter(|(_, imports)| imports.values().any(|import| import.meta.lock().state.is_at_work()));
        let idle: Vec<SupplierId> = busy
            .map(|(supplier, _)| supplier)
            .filter(|supplier| !at_work.contains(*supplier))
            .cloned()
            .collect();
        at_work.extend(idle.iter().cloned());
        idle
    }

    /// Works at one supplier's imports, one after the other.
    async fn work(self: Arc<Self>, supplier: SupplierId) {
        while let Some(import) = self.first_of(&supplier).filter(|_| !self.stopping.load(Ordering::Acquire)) {
            self.advance(&import).await;
        }
        // One that came meanwhile is seen by whoever looks next.
        self.at_work.lock().remove(&supplier);
        self.news.notify_one();
    }

    fn first_of(&self, supplier: &SupplierId) -> Option<Import> {
        let known = self.known.lock();
        let mut of = known.get(supplier)?.values();
        of.find(|import| import.meta.lock().state.is_at_work()).cloned()
    }

    /// Brings one import to where it waits for somebody, or ends.
    async fn advance(self: &Arc<Self>, import: &Import) {
        let (number, state) = {
            let meta = import.meta.lock();
            (meta.number, meta.state)
        };
        tracing::debug!(import = number, state = state.as_str(), "an import goes on");
        let result = match state {
            State::Received => self.read(import).await,
            State::Applying => self.apply(import).await,
            _ => Ok(()),
        };
        if let Err(error) = result {
            // The disk under the imports: nothing can be said there, so it is said here.
            tracing::error!(import = number, %error, "an import cannot go on: its directory cannot be used");
            import.meta.lock().fail(
                "import_storage",
                "the node cannot use its disk for imports; an operator is needed, then send the file again",
            );
        }
    }

    /// Changes what is known of an import, and keeps it.
    fn change(&self, import: &Import, change: impl FnOnce(&mut Meta)) -> std::io::Result<Meta> {
        let _keeping = import.keeping.lock();
        let meta = {
            let mut meta = import.meta.lock();
            change(&mut meta);
            meta.changed_ms = self.app.now().ms();
            if meta.state.is_finished() && meta.finished_ms.is_none() {
                meta.finished_ms = Some(meta.changed_ms);
            }
            meta.clone()
        };
        self.store.keep(&meta)?;
        if meta.state.is_finished() {
            self.store.clean(&meta);
        }
        Ok(meta)
    }

    /// Forgets finished imports that are older than they are kept for, or too many.
    fn purge(&self, supplier: &SupplierId) {
        let before_ms = self.app.now().ms() - i64::from(self.config.keep_days) * stockade_model::time::DAY_MS;
        let mut known = self.known.lock();
        let Some(of) = known.get_mut(supplier) else { return };
        let finished: Vec<(u64, i64)> = of
            .iter()
            .filter_map(|(number, import)| Some((*number, import.meta.lock().finished_ms?)))
            .collect();
        let beyond = finished.len().saturating_sub(KEPT_MAX);
        for (at, (number, finished_ms)) in finished.into_iter().enumerate() {
            let goes = at < beyond || finished_ms < before_ms;
            if goes && let Some(import) = of.remove(&number) {
                self.store.remove(&import.meta.lock());
            }
        }
    }
}
