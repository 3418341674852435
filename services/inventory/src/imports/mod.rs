//! Imports: a supplier's whole file, taken on, read, and applied at the pace of its allowance.
//!
//! An upload is spooled to this node's disk and acknowledged when it is there ([`store`]). It is then read once ([`read`]): rows
//! that are right go to files of rows, stock that goes to zero into one of its own, rows that are wrong into the report. A
//! snapshot looks at what its file does not name ([`missing`]). Rows are applied from those files chunk by chunk ([`apply`]), each
//! a request like any batch with a key made of the import and the chunk's number, so that a chunk sent twice, whatever was
//! killed when, changes nothing. Memory holds a chunk of each import at work, whatever is in the files. What all take of the disk is
//! bounded ([`disk`]), and what they share they take in turns ([`turns`]): whoever is not known holds up none of those who are.

mod apply;
mod disk;
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
mod turns;
mod unchanged;
mod upload;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stockade_imports::Bounds;
use stockade_model::SupplierId;
use stockade_runtime::{Edge, Limits, Principal, Shutdown, Trust};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use crate::app::App;
use disk::{Disk, PLACE_BYTES, Share};
use meta::{Meta, State};
use store::Store;
use turns::Turns;

pub use http::preview_file;
pub use routes::{router, routes};

/// What imports may take.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportsConfig {
    /// Where uploads and what comes of them are kept; `imports` in the data directory when absent.
    pub directory: Option<PathBuf>,
    /// Uploads of one supplier at once, previews among them.
    pub uploads_at_once: usize,
    /// Largest upload, in bytes as it is sent.
    pub upload_bytes_max: u64,
    /// What a file may unpack to.
    pub file: Bounds,
    /// Rows of a file of a supplier who is new (`edge.new_supplier_days`), where that is less than `file.rows_max`.
    pub new_supplier_rows_max: u64,
    /// A snapshot that would take more than this share of a supplier's listings off the market waits until it is confirmed.
    pub confirm_percent: u32,
    /// Days for which it waits; then it fails with `confirmation_expired`, and its files go.
    pub confirm_days: u32,
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
    /// Bytes of the disk that all imports of this node take, uploads under way and reports among them; to be less than the volume;
    /// the sandbox has as much again. With 0 only `disk_reserve_bytes` bounds them.
    pub disk_bytes_max: u64,
    /// The same of one supplier. While it is read, a file takes about four times its bytes unpacked. Of a new or a suspect supplier it
    /// is a quarter of what all of these may take, where that is less.
    pub supplier_disk_bytes_max: u64,
    /// The same of all new suppliers together; a quarter of `disk_bytes_max` when absent.
    pub new_disk_bytes_max: Option<u64>,
    /// The same of all suspect suppliers together; a quarter of `disk_bytes_max` when absent.
    pub suspect_disk_bytes_max: Option<u64>,
}

impl Default for ImportsConfig {
    fn default() -> Self {
        Self {
            directory: None,
            uploads_at_once: 2,
            upload_bytes_max: 2 << 30,
            file: Bounds::default(),
            new_supplier_rows_max: 1_000_000,
            confirm_percent: 20,
            confirm_days: 7,
            waiting_max: 4,
            at_once: 4,
            report_lines_max: 100_000,
            keep_days: 7,
            disk_reserve_bytes: 2 << 30,
            disk_bytes_max: 20 << 30,
            // Ten million rows take about four.
            supplier_disk_bytes_max: 8 << 30,
            new_disk_bytes_max: None,
            suspect_disk_bytes_max: None,
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
        let counts = [
            ("waiting_max", self.waiting_max),
            ("at_once", self.at_once),
            ("uploads_at_once", self.uploads_at_once),
        ];
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
            ("new_supplier_rows_max", self.new_supplier_rows_max),
            ("confirm_days", self.confirm_days.into()),
            ("keep_days", self.keep_days.into()),
            ("supplier_disk_bytes_max", self.supplier_disk_bytes_max),
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
/// How often it is looked for imports that have waited or were kept for long enough.
const TIDY: Duration = Duration::from_secs(60);

/// One import, and whether somebody wants it to stop.
#[derive(Clone)]
struct Import {
    meta: Arc<Mutex<Meta>>,
    /// Held while what is known is changed and written: who confirms and who works at it would else write over each other's file,
    /// and the older of both could be kept.
    keeping: Arc<Mutex<()>>,
    cancel: Arc<AtomicBool>,
    /// What it has on disk.
    share: Arc<Mutex<Share>>,
}

impl Import {
    fn new(meta: Meta, share: Share) -> Self {
        Self {
            meta: Arc::new(Mutex::new(meta)),
            keeping: Arc::default(),
            cancel: Arc::default(),
            share: Arc::new(Mutex::new(share)),
        }
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
    disk: Arc<Disk>,
    known: Mutex<Known>,
    /// Suppliers whose imports somebody works at.
    at_work: Mutex<HashSet<SupplierId>>,
    /// Turns at the log, one a chunk, and at reading files, one a slice.
    turns: Turns,
    readings: Turns,
    /// Files of suppliers of each kind that may be open.
    open: [Arc<Semaphore>; Trust::COUNT],
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
        let disk = Disk::new(&config);
        let mut next = 0;
        for meta in metas {
            next = next.max(meta.number + 1);
            let share = disk.known(&meta.supplier, meta.kind, PLACE_BYTES + store.bytes(&meta));
            known.entry(meta.supplier.clone()).or_default().insert(meta.number, Import::new(meta, share));
        }
        Ok(Arc::new(Self {
            turns: Turns::new(config.at_once),
            readings: Turns::new(config.at_once.div_ceil(2)),
            open: std::array::from_fn(|_| Arc::new(Semaphore::new(read::OPEN_MAX))),
            disk,
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
        let mut tidy = tokio::time::interval(TIDY);
        loop {
            for supplier in self.to_work_at() {
                workers.spawn(self.clone().work(supplier));
            }
            let untold = self.tell_of_ends().await;
            tokio::select! {
                biased;
                () = &mut end => break,
                () = self.news.notified() => {}
                _ = tidy.tick() => {
                    let this = self.clone();
                    if let Err(error) = tokio::task::spawn_blocking(move || this.tidy()).await {
                        tracing::error!(%error, "looking for imports that have expired panicked");
                    }
                }
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
            let detail =
                "the node cannot use its disk for imports; an operator is needed, then send the file again";
            // What it has there goes, also where that cannot be noted; it is then read anew at the next start, or fails again.
            if self.change(import, |meta| meta.fail("import_storage", detail)).is_err() {
                let meta = import.meta.lock().clone();
                self.store.clean(&meta);
                self.weigh(import, &meta);
            }
        }
        let ended = Some(import.meta.lock().clone()).filter(|meta| meta.state.is_finished());
        if let Some(meta) = ended {
            self.purge(&meta.supplier);
        }
    }

    /// Changes what is known of an import, and keeps it.
    fn change(&self, import: &Import, change: impl FnOnce(&mut Meta)) -> std::io::Result<Meta> {
        let changed = self.change_where(import, |_| true, change)?;
        Ok(changed.unwrap_or_else(|| import.meta.lock().clone()))
    }

    /// The same where something holds of it; `None` where it does not, and then nothing is changed.
    fn change_where(
        &self,
        import: &Import,
        holds: impl FnOnce(&Meta) -> bool,
        change: impl FnOnce(&mut Meta),
    ) -> std::io::Result<Option<Meta>> {
        let _keeping = import.keeping.lock();
        let meta = {
            let mut meta = import.meta.lock();
            if !holds(&meta) {
                return Ok(None);
            }
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
            self.weigh(import, &meta);
        }
        Ok(Some(meta))
    }

    /// Counts what an import has on disk as it lies there.
    fn weigh(&self, import: &Import, meta: &Meta) {
        import.share.lock().set(PLACE_BYTES + self.store.bytes(meta));
    }

    /// Ends imports that nobody has confirmed, and forgets old ones.
    fn tidy(&self) {
        self.expire(self.app.now().ms());
        let suppliers: Vec<SupplierId> = self.known.lock().keys().cloned().collect();
        for supplier in suppliers {
            self.purge(&supplier);
        }
    }

    /// Ends imports that have waited to be confirmed for as long as they may.
    fn expire(&self, now_ms: i64) {
        let days = self.config.confirm_days;
        let before_ms = now_ms - i64::from(days) * stockade_model::time::DAY_MS;
        let expired = |meta: &Meta| meta.state == State::NeedsConfirmation && meta.changed_ms < before_ms;
        let ends: Vec<Import> = {
            let known = self.known.lock();
            let all = known.values().flat_map(|of| of.values());
            all.filter(|import| expired(&import.meta.lock())).cloned().collect()
        };
        for import in ends {
            let detail = format!("nobody confirmed it for {days} days; send the file again, as it is now");
            let ended =
                self.change_where(&import, expired, |meta| meta.fail("confirmation_expired", &detail));
            if let Err(error) = ended {
                tracing::error!(%error, "an import that expired cannot be noted as such; it is tried again");
            }
        }
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
        if of.is_empty() {
            known.remove(supplier);
        }
    }
}

#[cfg(test)]
mod tests;
