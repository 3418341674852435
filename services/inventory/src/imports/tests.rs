//! What one supplier's imports may take from those of others.

use std::num::NonZeroU32;

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{Method, Request, request},
};
use bytes::Bytes;
use serde_json::Value;
use stockade_fold::Board;
use stockade_log::{Memory, MemoryDisk, SharedLog, TopicSpec, partition_of};
use stockade_model::{ListingId, Region, Row, SupplierProfile, Timestamp, Topic, time::DAY_MS};
use stockade_runtime::{
    Brownout, BrownoutConfig, KeyRing, LimitsConfig, Role, Rung, Trust,
    limits::{Class, Per},
    system_clock,
};
use tower::ServiceExt as _;

use super::{meta::Progress, *};
use crate::{domain::Effect, edge::Gatekeeper};

const PARTITIONS: u32 = 2;

/// Imports of a process whose folds do not run and that nobody works at.
struct Here {
    imports: Arc<Imports>,
    router: Router,
    keys: KeyRing,
    directory: tempfile::TempDir,
}

impl Here {
    fn open(config: ImportsConfig) -> Self {
        Self::with_limits(config, &LimitsConfig::default())
    }

    fn with_limits(config: ImportsConfig, limits: &LimitsConfig) -> Self {
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), system_clock()).unwrap());
        for topic in Topic::ALL {
            let partitions = topic.partitions(PARTITIONS);
            log.ensure_topic(&TopicSpec { name: topic.name(), partitions, retention_ms: None }).unwrap();
        }
        let limits = Limits::new(limits);
        let (board, name) = (Board::default(), "t".to_owned());
        let app = App::new(log, system_clock(), board, limits, PARTITIONS, name, Duration::ZERO).unwrap();
        let brownout = Brownout::new(&BrownoutConfig::default(), PARTITIONS);
        let app = Arc::new(app.with_edge(Gatekeeper::new(brownout.clone(), PARTITIONS, 14)));
        let directory = tempfile::tempdir().unwrap();
        let imports = Imports::open(app, config, directory.path().to_owned()).unwrap();
        let keys = KeyRing::default();
        let router = router(imports.clone()).layer(Extension(brownout)).layer(Extension(keys.clone()));
        Self { imports, router, keys, directory }
    }

    /// Registers a supplier who is new or not, and gives its key.
    fn register(&self, name: &str, new: bool) -> (SupplierId, String) {
        let supplier = id(name);
        let profile = SupplierProfile {
            supplier: supplier.clone(),
            name: name.to_owned(),
            region: Region::new("DE").unwrap(),
            since: if new { self.imports.app.now() } else { Timestamp::default() },
            class: "standard".to_owned(),
            stock_counts: Default::default(),
        };
        self.imports.app.take(vec![Effect::Registered { profile, cause: "c".to_owned() }]);
        let key = self.keys.create(name, Role::Supplier { supplier: supplier.clone() }).unwrap();
        (supplier, key)
    }

    async fn post(&self, of: &(SupplierId, String), path: &str, body: Vec<u8>) -> (u16, Value) {
        self.answer(request_of(of, path), Body::from(body)).await
    }

    async fn answer(&self, request: request::Builder, body: Body) -> (u16, Value) {
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Sends a file, and gives what is known of the import.
    async fn send(&self, of: &(SupplierId, String), body: Vec<u8>) -> Result<Import, (u16, String)> {
        let (status, told) = self.post(of, "", body).await;
        if status != 202 {
            return Err((status, told["code"].as_str().unwrap_or_default().to_owned()));
        }
        let name = told["import"].as_str().unwrap();
        let known = self.imports.known.lock();
        Ok(known[&of.0].values().find(|import| import.meta.lock().import == name).unwrap().clone())
    }

    fn has_file(&self, import: &Import, name: &str) -> bool {
        self.directory.path().join(&import.meta.lock().import).join(name).exists()
    }
}

fn request_of((supplier, key): &(SupplierId, String), path: &str) -> request::Builder {
    Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/suppliers/{supplier}/imports{path}"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "text/csv")
}

fn id(name: &str) -> SupplierId {
    SupplierId::new(name).unwrap()
}

/// A name whose partition is this one.
fn name_in(partition: u32) -> String {
    let names = (0..).map(|number| format!("s-{number}"));
    names.into_iter().find(|name| partition_of(name.as_bytes(), PARTITIONS) == partition).unwrap()
}

fn csv(rows: usize) -> Vec<u8> {
    let rows: String = (0..rows).map(|row| format!("l-{row},5\n")).collect();
    format!("listing,on_hand\n{rows}").into_bytes()
}

const KIB: usize = 1 << 10;

/// With a mebibyte for all new suppliers, a quarter of it for one.
fn small_disk() -> ImportsConfig {
    ImportsConfig { disk_bytes_max: 4 << 20, ..ImportsConfig::default() }
}

#[tokio::test]
async fn uploads_of_new_suppliers_end_at_what_these_may_have_and_an_honest_one_is_taken() {
    let here = Here::open(small_disk());
    let file = |kib: usize| vec![b'x'; kib * KIB];
    let mut held = 0;
    for number in 0..4 {
        let fake = here.register(&format!("new-{number}"), true);
        assert_eq!(here.send(&fake, file(300)).await.err(), Some((413, "upload_too_large".to_owned())));
        assert_eq!(here.imports.disk.bytes(), held, "what was refused has nothing");
        here.send(&fake, file(200)).await.unwrap();
        held += 200 * KIB as u64 + PLACE_BYTES;
        assert_eq!(here.imports.disk.bytes(), held);
    }
    let (fake, honest) = (here.register("new-4", true), here.register("honest", false));
    for path in ["", "/preview"] {
        let (status, told) = here.post(&fake, path, file(200)).await;
        assert_eq!((status, told["code"].as_str()), (507, Some("imports_full")), "{path}");
    }
    let (status, told) = here.post(&fake, "/preview", csv(1)).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(here.imports.disk.bytes(), held, "what a preview had is gone");
    here.send(&honest, file(300)).await.unwrap();
    let names = std::fs::read_dir(here.directory.path()).unwrap();
    let spools =
        names.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("spool-"));
    assert_eq!(spools.count(), 0, "nothing is left of uploads that were refused");
}

#[tokio::test]
async fn reports_of_whoever_has_most_make_room_for_imports() {
    let here = Here::open(small_disk());
    let (hoarder, other) = (here.register("hoarder", true), here.register("other", true));
    let old = here.send(&hoarder, csv(1)).await.unwrap();
    let own = here.send(&other, csv(1)).await.unwrap();
    std::fs::write(here.imports.store.report(&old.meta.lock()), vec![b'x'; 900 * KIB]).unwrap();
    for import in [&old, &own] {
        here.imports.change(import, |meta| (meta.state, meta.told) = (State::Cancelled, true)).unwrap();
    }
    // Whoever looks at it holds it no longer.
    drop(old);
    here.send(&other, vec![b'x'; 200 * KIB]).await.unwrap();
    let known = here.imports.known.lock();
    let left = |of: &SupplierId| known.get(of).map_or(0, BTreeMap::len);
    assert_eq!((left(&hoarder.0), left(&other.0)), (0, 2));
}

#[tokio::test]
async fn an_import_that_nobody_confirms_expires_and_its_files_go() {
    let here = Here::open(ImportsConfig::default());
    let acme = here.register("acme", false);
    let import = here.send(&acme, csv(1)).await.unwrap();
    let meta = here.imports.change(&import, |meta| meta.state = State::NeedsConfirmation).unwrap();
    here.imports.expire(meta.changed_ms + 7 * DAY_MS);
    assert_eq!(import.meta.lock().state, State::NeedsConfirmation);
    assert!(here.has_file(&import, "upload"));
    here.imports.expire(meta.changed_ms + 7 * DAY_MS + 1);
    let ended = import.meta.lock().clone();
    let code = ended.problem.map(|problem| problem.code);
    assert_eq!((ended.state, code.as_deref()), (State::Failed, Some("confirmation_expired")));
    assert!(!here.has_file(&import, "upload"));
    let (status, told) = here.post(&acme, &format!("/{}/confirm", ended.import), Vec::new()).await;
    assert_eq!((status, told["code"].as_str()), (409, Some("not_waiting")));
}

#[tokio::test]
async fn a_new_suppliers_file_has_fewer_rows_and_what_was_read_is_not_kept_twice() {
    let here = Here::open(ImportsConfig { new_supplier_rows_max: 2, ..ImportsConfig::default() });
    for (name, new, rows) in [("new", true, 2), ("known", false, 3)] {
        let import = here.send(&here.register(name, new), csv(3)).await.unwrap();
        here.imports.read(&import).await.unwrap();
        let meta = import.meta.lock().clone();
        assert_eq!((meta.state, meta.to_apply), (State::Applying, rows), "{name}");
        let code = meta.problem.map(|problem| problem.code);
        assert_eq!(code.as_deref(), new.then_some("too_many_rows"), "{name}");
        assert!(!here.has_file(&import, "upload") && !here.has_file(&import, "keys"), "{name}");
        assert!(here.has_file(&import, "other.rows"), "{name}");
    }
}

#[tokio::test]
async fn what_comes_of_a_file_is_bounded_while_it_is_read() {
    let bytes = csv(3_000).len() as u64;
    let most = PLACE_BYTES + bytes + 20_000;
    let here = Here::open(ImportsConfig { supplier_disk_bytes_max: most, ..ImportsConfig::default() });
    let import = here.send(&here.register("acme", false), csv(3_000)).await.unwrap();
    here.imports.read(&import).await.unwrap();
    let meta = import.meta.lock().clone();
    let code = meta.problem.map(|problem| problem.code);
    assert_eq!((meta.state, code.as_deref()), (State::Failed, Some("file_too_large")));
    assert!(!here.has_file(&import, "other.rows"));
    assert!(here.imports.disk.bytes() < PLACE_BYTES + bytes, "its bytes are free again");
}

#[tokio::test]
async fn a_preview_of_blank_lines_ends_soon_says_so_and_is_paid_for_by_what_was_looked_at() {
    // What is used does not come back while the test runs.
    let class =
        |burst| Class { units: NonZeroU32::MIN, per: Per::Day, burst: NonZeroU32::new(burst).unwrap() };
    let limits = [("standard", class(100)), ("new", class(80))];
    let limits = LimitsConfig(limits.map(|(name, class)| (name.to_owned(), class)).into());
    let here = Here::with_limits(ImportsConfig::default(), &limits);
    let (fake, honest) = (here.register("fake", true), here.register("honest", true));
    let known = here.register("known", false);
    let mut blank = csv(1);
    blank.resize(1 << 20, b'\n');
    let (status, told) = here.post(&fake, "/preview", blank.clone()).await;
    assert_eq!((status, told["problem"]["code"].as_str()), (200, Some("preview_ended")), "{told}");
    assert_eq!(told["rows"].as_array().map(Vec::len), Some(1), "{told}");
    for left in [true, true, true, true, false] {
        let path = if left { "/preview" } else { "?preview=true" };
        let (status, told) = here.post(&fake, path, csv(1)).await;
        let expected = if left { (200, None) } else { (429, Some("class_limited")) };
        assert_eq!((status, told["code"].as_str()), expected, "its part is 20, and a mebibyte is 16: {told}");
    }
    for other in [&honest, &known] {
        let (status, told) = here.post(other, "/preview", csv(1)).await;
        assert_eq!((status, &told["problem"]), (200, &Value::Null), "{told}");
    }
    assert_eq!(here.post(&known, "/preview", blank).await.0, 200);
    let mut headers = axum::http::HeaderMap::new();
    let left = here.imports.app.limits.take("standard", "known", 1).unwrap().unwrap();
    left.write(&mut headers);
    let left = headers["ratelimit"].to_str().unwrap();
    assert!(left.starts_with("\"default\";r=82;"), "of 100, one, 16 and this one are gone: {left}");
}

#[tokio::test]
async fn an_upload_is_paid_for_as_it_comes_and_refused_where_it_would_be_paused_for_too_long() {
    let class = Class { units: NonZeroU32::MIN, per: Per::Day, burst: NonZeroU32::new(4).unwrap() };
    let limits = LimitsConfig([("standard".to_owned(), class)].into());
    let here = Here::with_limits(ImportsConfig::default(), &limits);
    let (acme, other) = (here.register("acme", false), here.register("other", false));
    // A unit goes with 64 KiB: as it is written, not parsed.
    here.send(&acme, vec![b'x'; 4 * 64 * KIB]).await.unwrap();
    assert_eq!(here.send(&acme, csv(1)).await.err(), Some((429, "rate_limited".to_owned())));
    here.send(&other, csv(1)).await.unwrap();
    assert_eq!(
        here.imports.app.wait_for_upload(&acme.0).map(|wait| wait > Duration::from_secs(3_600)),
        Some(true),
        "it has units of its allowance left, and none of bodies"
    );
}

#[tokio::test]
async fn a_preview_waits_for_its_turn_among_those_who_read() {
    let here = Here::open(ImportsConfig { at_once: 1, ..ImportsConfig::default() });
    let acme = here.register("acme", true);
    let turn = here.imports.readings.wait(Trust::Trusted).await;
    let open = &here.imports.open[Trust::New as usize];
    let preview = here.post(&acme, "/preview", csv(1));
    tokio::pin!(preview);
    let has_opened = async {
        while open.available_permits() == read::OPEN_MAX {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        (status, _) = &mut preview => panic!("{status} without a turn"),
        () = has_opened => {}
    }
    drop(turn);
    let (status, told) = preview.await;
    assert_eq!(status, 200, "{told}");
    // As where none of those who read ends in time.
    open.close();
    let (status, told) = here.post(&acme, "/preview", csv(1)).await;
    assert_eq!((status, told["code"].as_str()), (503, Some("overloaded")));
    assert_eq!(here.imports.disk.bytes(), 0, "what it had is free");
}

#[tokio::test]
async fn what_says_it_is_gzip_and_is_not_is_refused_by_its_first_bytes() {
    let here = Here::open(ImportsConfig::default());
    let acme = here.register("acme", false);
    for path in ["", "/preview"] {
        let came = Arc::new(AtomicU64::new(0));
        let counted = came.clone();
        let parts = (0..1_000).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; 64 * KIB]))
        });
        let body = Body::from_stream(futures_util::stream::iter(parts));
        let request = request_of(&acme, path).header("content-encoding", "gzip");
        let (status, told) = here.answer(request, body).await;
        assert_eq!((status, told["code"].as_str()), (400, Some("bad_gzip")), "{path}");
        // As much goes by as of any body that is refused.
        assert!(came.load(Ordering::Relaxed) < 100, "{path}: {came:?}");
        assert_eq!(here.imports.disk.bytes(), 0, "{path}");
        let (status, told) = here.answer(request_of(&acme, path), Body::empty()).await;
        assert_eq!((status, told["code"].as_str()), (400, Some("empty_body")), "{path}");
    }
}

#[tokio::test]
async fn an_import_heeds_its_own_partition_and_no_other() {
    let here = Here::open(ImportsConfig::default());
    let (behind, calm) = (here.register(&name_in(0), false), here.register(&name_in(1), false));
    let brownout = &here.imports.app.gate_of_edge.brownout;
    brownout.set(Rung::Imports, Rung::Calm, [Rung::Imports, Rung::Calm]);
    assert_eq!(here.send(&behind, csv(1)).await.err(), Some((503, "put_off".to_owned())));
    here.send(&calm, csv(1)).await.unwrap();
    let pauses = |of: &(SupplierId, String)| here.imports.app.share_or_wait(&of.0, 1).is_err();
    assert_eq!((pauses(&behind), pauses(&calm)), (true, false), "and so do those under way");
    // Analyses go by the process.
    for path in ["?preview=true", "/preview"] {
        let (status, told) = here.post(&calm, path, csv(1)).await;
        assert_eq!((status, told["code"].as_str()), (503, Some("put_off")), "{path}");
    }
    brownout.set(Rung::Calm, Rung::Calm, [Rung::Calm, Rung::Calm]);
    here.send(&behind, csv(1)).await.unwrap();
}

#[tokio::test]
async fn a_chunk_whose_partition_stands_still_keeps_no_turn() {
    let here = Here::open(ImportsConfig { at_once: 1, ..ImportsConfig::default() });
    let acme = here.register("acme", false);
    let meta = here.send(&acme, csv(1)).await.unwrap().meta.lock().clone();
    let imports = here.imports.clone();
    // No fold runs, so it is never decided.
    let stuck = tokio::spawn(async move {
        let row = Row::Withdraw { listing: ListingId::of_record("l-0").unwrap(), source_seq: None };
        imports.decide(&meta, Progress::default(), vec![row], vec![0]).await
    });
    let partition = partition_of(b"acme", PARTITIONS);
    let log = &here.imports.app.log;
    while log.bounds(Topic::SupplierEvents.name(), partition).unwrap().end == 0 {
        tokio::task::yield_now().await;
    }
    assert!(here.imports.turns.wait(Trust::Trusted).await.is_some());
    assert!(!stuck.is_finished());
    stuck.abort();
}
