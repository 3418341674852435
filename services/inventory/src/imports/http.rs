//! The calls about imports.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    num::NonZeroU32,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    extract::State as Of,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};
use stockade_imports::{Finding, Item, Severity};
use stockade_model::SupplierId;
use stockade_runtime::{
    FieldError, ListQuery, OwnSupplier, Params, Path as Named, Problem, SupplierOrStaff, Work,
    body::{Upload, is_packed},
    http::{idempotency_key, single},
    list::Page,
};

use super::{
    Import, Imports,
    meta::{Asked, Counts, Meta, Missing, Mode, Progress, State, Told},
    read::PREVIEW,
    rows,
    upload::{Coming, Place, Spooled, spool, storage, too_large},
};
use crate::http::supplier::{admit, known};

/// Rows that a preview shows.
const PREVIEW_ROWS: usize = 10;
/// Bytes unpacked for a preview that go with one unit of an allowance.
const PREVIEW_UNIT_BYTES: u64 = 64 << 10;
/// How long a preview waits until its file may be opened.
const PREVIEW_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a report that are read together.
const PIECE_BYTES: usize = 64 << 10;
/// Media types that an upload may have; anything else is most likely a form, or JSON that is no file.
pub(super) const MEDIA_TYPES: [&str; 14] = [
    "text/csv",
    "text/tab-separated-values",
    "text/plain",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json",
    "application/ld+json",
    "application/gzip",
    "application/x-gzip",
    "application/zip",
    "application/edi-x12",
    "application/octet-stream",
    "application/csv",
];

/// How a file is to be read and what is to be done with it.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ImportWanted")]
pub(super) struct Wanted {
    /// What becomes of listings that the file does not name: nothing (`upsert`), or they are taken off the market (`snapshot`).
    #[serde(default)]
    mode: Mode,
    /// How a snapshot takes a listing off the market.
    #[serde(default)]
    missing: Missing,
    /// Name of a shipped mapping, `proposed`, or a mapping in YAML; left out, the header says what is what.
    mapping: Option<String>,
    /// What the file is, where it does not show: `csv`, `tsv`, `ndjson`, `x12` or `epcis`.
    format: Option<String>,
    /// How its characters are written, where it does not show.
    encoding: Option<String>,
    /// Rows that the file has: with another number nothing is applied.
    rows: Option<u64>,
    /// Only look, as `/preview` does.
    #[serde(default)]
    preview: bool,
}

impl Wanted {
    fn asked(self) -> Asked {
        let Self { mode, missing, mapping, format, encoding, rows, preview: _ } = self;
        Asked { mode, missing, mapping, format, encoding, rows }
    }
}

/// Refuses at once what reading would refuse anyway. Whether the body has to be gzip: what is packed is kept as it came, and unpacked
/// within bounds where it is read.
fn check(imports: &Imports, headers: &HeaderMap, asked: &Asked) -> Result<bool, Problem> {
    let packed = is_packed(headers)?;
    if let Some(media) = single(headers, &header::CONTENT_TYPE)? {
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !MEDIA_TYPES.contains(&media.as_str()) {
            let detail =
                format!("{media} is no inventory file; send the file itself as {}", MEDIA_TYPES.join(", "));
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
    }
    let most = imports.config.upload_bytes_max;
    let length = single(headers, &header::CONTENT_LENGTH)?.and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    let wrong =
        |finding: Finding| Problem::invalid(vec![FieldError::new("mapping", &finding.code, finding.detail)]);
    asked.options(imports.config.file).map(|_| packed).map_err(wrong)
}

pub(super) async fn begin(
    Of(imports): Of<Arc<Imports>>,
    OwnSupplier { supplier, by }: OwnSupplier,
    Params(wanted): Params<Wanted>,
    headers: HeaderMap,
    body: Upload,
) -> Result<Response, Problem> {
    // By its own partition, or a single one that is behind would put off everybody.
    let put_off = match wanted.preview {
        true => imports.app.gate_of_edge.brownout.admits(Work::Analysis),
        false => imports.app.not_put_off(&supplier, Work::Import),
    };
    if let Err(put_off) = put_off {
        body.let_by().await;
        return Err(put_off);
    }
    if wanted.preview {
        return look(&imports, &supplier, wanted.asked(), &headers, body).await;
    }
    // An upload is one unit of its supplier's allowance; its rows are paced when they are applied.
    admit(&imports.app, &supplier, 1)?;
    let asked = wanted.asked();
    let packed = check(&imports, &headers, &asked)?;
    let key = idempotency_key(&headers)?;
    let fresh = imports.app.fresh_id();
    // One key is one import, whichever upload of it comes through.
    let of_key = key.as_deref().unwrap_or(&fresh);
    let identity = stockade_model::hash::identity128(&["import", supplier.as_str(), of_key]);
    let name = format!("{identity:032x}");
    if !imports.is_known(&supplier, &name) {
        imports.has_room(imports.known.lock().get(&supplier))?;
    }
    let place = imports.place(&supplier)?;
    let Spooled { place, bytes: upload_bytes, sha256 } =
        spool(&imports, &supplier, place, body, Coming { packed, durable: true }).await?;
    let now_ms = imports.app.now().ms();
    let meta = Meta {
        import: name,
        number: 0,
        supplier: supplier.clone(),
        kind: place.share.kind,
        asked,
        sha256,
        upload_bytes,
        state: State::Received,
        created_ms: now_ms,
        changed_ms: now_ms,
        finished_ms: None,
        told: false,
        facts: None,
        problem: None,
        counts: Counts::default(),
        to_apply: 0,
        missing: 0,
        on_market: 0,
        progress: Progress::default(),
        report_lines: 0,
        report_bytes: 0,
    };
    let this = imports.clone();
    let taken_on = tokio::task::spawn_blocking(move || this.take_on(place, meta));
    let (meta, again) =
        taken_on.await.map_err(|_| storage(&io::Error::other("taking an upload on ended early")))??;
    tracing::info!(supplier = %supplier, by = by.id, import = meta.import, bytes = meta.upload_bytes, again, "import");
    let mut response = (StatusCode::ACCEPTED, Json(imports.told(&meta))).into_response();
    let link = format!("/v1/suppliers/{supplier}/imports/{}", meta.import);
    if let Ok(value) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    if again {
        response.headers_mut().insert("idempotent-replay", HeaderValue::from_static("true"));
    }
    Ok(response)
}

impl Imports {
    fn find(&self, supplier: &SupplierId, name: &str) -> Option<Import> {
        let known = self.known.lock();
        known.get(supplier)?.values().find(|import| import.meta.lock().import == name).cloned()
    }

    fn is_known(&self, supplier: &SupplierId, name: &str) -> bool {
        self.find(supplier, name).is_some()
    }

    fn named(&self, supplier: &SupplierId, name: &str) -> Result<Import, Problem> {
        self.find(supplier, name).ok_or_else(|| {
            let detail = format!(
                "there is no import {name} at this node: it was never taken on, it is older than {} days, or another node has it",
                self.config.keep_days
            );
            Problem::new(StatusCode::NOT_FOUND, "unknown_import", detail)
        })
    }

    /// Whether a supplier, of whom these are known, may have one more.
    fn has_room(&self, of: Option<&BTreeMap<u64, Import>>) -> Result<(), Problem> {
        let unfinished =
            of.into_iter().flatten().filter(|(_, import)| !import.meta.lock().state.is_finished()).count();
        if unfinished < self.config.waiting_max {
            return Ok(());
        }
        let detail = format!(
            "{unfinished} imports of this supplier are not finished yet; wait for them, or cancel or confirm those that wait for you"
        );
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_imports", detail)
            .with_header(header::RETRY_AFTER, "30"))
    }

    /// Makes an upload an import, unless there is one of that name; says which it is, and whether it was there.
    fn take_on(&self, mut place: Place, mut meta: Meta) -> Result<(Meta, bool), Problem> {
        self.purge(&meta.supplier);
        let mut known = self.known.lock();
        let of = known.entry(meta.supplier.clone()).or_default();
        let same = of.values().find(|import| import.meta.lock().import == meta.import);
        if let Some(there) = same {
            let there = there.meta.lock().clone();
            if there.sha256 == meta.sha256 && there.asked == meta.asked {
                return Ok((there, true));
            }
            let detail = "this Idempotency-Key was used with another file or other settings; use a fresh key for a new import";
            return Err(Problem::new(StatusCode::CONFLICT, "idempotency_key_reused", detail));
        }
        // Others may have come through while this one was under way.
        self.has_room(Some(&*of))?;
        meta.number = self.next.fetch_add(1, Ordering::Relaxed);
        self.store.take_on(&place.spool, &meta).map_err(|error| storage(&error))?;
        place.share.taken_on();
        of.insert(meta.number, Import::new(meta.clone(), place.share));
        self.news.notify_one();
        Ok((meta, false))
    }

    fn told(&self, meta: &Meta) -> Told {
        meta.told(self.rows_per_second(&meta.supplier))
    }
}

pub(super) async fn preview(
    Of(imports): Of<Arc<Imports>>,
    OwnSupplier { supplier, .. }: OwnSupplier,
    Params(wanted): Params<Wanted>,
    headers: HeaderMap,
    body: Upload,
) -> Result<Response, Problem> {
    look(&imports, &supplier, wanted.asked(), &headers, body).await
}

async fn look(
    imports: &Arc<Imports>,
    supplier: &SupplierId,
    asked: Asked,
    headers: &HeaderMap,
    body: Upload,
) -> Result<Response, Problem> {
    admit(&imports.app, supplier, 1)?;
    let packed = check(imports, headers, &asked)?;
    imports.app.share_class(supplier, 1)?;
    let coming = Coming { packed, durable: false };
    let Spooled { place, .. } = spool(imports, supplier, imports.place(supplier)?, body, coming).await?;
    // Like an import it has a place among those who read, and a turn, which it takes when it has come.
    let opened = tokio::time::timeout(PREVIEW_PATIENCE, imports.may_open(supplier)).await;
    let Ok(Some(opened)) = opened else {
        let detail =
            "too many files of suppliers like you are read at the moment; send it again after a pause";
        return Err(Problem::unavailable("overloaded", detail));
    };
    let (this, of) = (imports.clone(), supplier.clone());
    let shown = tokio::task::spawn_blocking(move || {
        let (options, looked) = (asked.options(this.config.file)?, Arc::<AtomicU64>::default());
        let upload = place.spool.upload();
        let shown = this.in_slices(&of, &opened, |_| shown(&upload, &options, Some(&looked)));
        // Here, for whoever asked may have gone away meanwhile.
        if let Some(units) = units_beyond_first(looked.load(Ordering::Relaxed)) {
            this.app.charge_work(&of, units);
        }
        drop(place);
        Ok::<_, Finding>(shown)
    });
    let shown = shown.await.map_err(|_| storage(&io::Error::other("a preview ended early")))?;
    match shown {
        Ok(shown) => Ok(Json(shown).into_response()),
        Err(finding) => {
            Err(Problem::invalid(vec![FieldError::new("mapping", &finding.code, finding.detail)]))
        }
    }
}

/// What a preview that looked at so many bytes costs beside the unit that it has paid.
fn units_beyond_first(bytes: u64) -> Option<NonZeroU32> {
    let units = u32::try_from(bytes.div_ceil(PREVIEW_UNIT_BYTES)).unwrap_or(u32::MAX);
    NonZeroU32::new(units.saturating_sub(1))
}

/// The same of a file here, without a server.
pub fn preview_file(
    path: &Path,
    mapping: Option<String>,
    format: Option<String>,
    encoding: Option<String>,
) -> Result<Value, Finding> {
    let asked = Asked { mapping, format, encoding, ..Asked::default() };
    asked.options(stockade_imports::Bounds::default()).map(|options| shown(path, &options, None))
}

/// What a file is, the mapping proposed for it, and its first rows as they would be read. Nothing is applied. With `looked`, which
/// counts its bytes, only the beginning is looked at.
fn shown(path: &Path, options: &stockade_imports::Options, looked: Option<&Arc<AtomicU64>>) -> Value {
    let nothing = |problem: Finding| json!({ "file": null, "mapping": null, "rows": [], "problem": problem });
    let mut opened = match stockade_imports::open(path, options) {
        Ok(opened) => opened,
        Err(finding) => {
            // It may be all that a first look takes.
            if let Some(looked) = looked {
                looked.store(stockade_imports::SAMPLE_BYTES as u64, Ordering::Relaxed);
            }
            return nothing(finding);
        }
    };
    let problem = opened.problem.take();
    let proposal = opened.proposal.clone();
    if problem.is_some() && proposal.is_some() {
        let proposed =
            stockade_imports::Options { choice: stockade_imports::Choice::Proposed, ..options.clone() };
        if let Ok(again) = stockade_imports::open(path, &proposed) {
            opened = again;
        }
    }
    if let Some(looked) = looked {
        opened = opened.begun(PREVIEW, looked.clone());
    }
    let file = opened.facts.clone();
    let mapping = opened.mapping().cloned();
    let mut rows = Vec::new();
    let ended = if opened.problem.is_none() {
        let by = mapping.clone();
        opened
            .each(&mut |item| {
                rows.push(one(item, by.as_ref()));
                rows.len() < PREVIEW_ROWS
            })
            .err()
    } else {
        None
    };
    let mapping_yaml = mapping.as_ref().map(|mapping| with_unused(mapping, &file));
    json!({
        "file": file, "mapping": mapping, "mapping_yaml": mapping_yaml,
        "rows": rows, "problem": problem.or(ended),
    })
}

/// A mapping as YAML, with a comment that names the columns of the file that it makes nothing of.
fn with_unused(mapping: &stockade_imports::Mapping, file: &stockade_imports::Facts) -> String {
    use stockade_imports::Format;
    let yaml = mapping.to_yaml();
    let unused = mapping.unused(&file.header);
    // What messages of a standard hold beside stock is nobody's column.
    if unused.is_empty() || matches!(file.format, Format::X12 | Format::Epcis) {
        return yaml;
    }
    let ends_a_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    format!("# Columns not used: {}\n{yaml}", unused.join(", ").replace(ends_a_line, " "))
}

/// What a preview answers.
#[derive(schemars::JsonSchema)]
#[schemars(rename = "ImportPreview")]
#[expect(dead_code, reason = "it describes what `shown` answers")]
pub(super) struct Preview {
    /// What was found out about the file; null where it cannot be read at all.
    file: Option<stockade_imports::Facts>,
    /// The mapping it is read by, or that is proposed.
    mapping: Option<stockade_imports::Mapping>,
    /// The same as YAML, to be changed.
    #[schemars(extend("type" = ["string", "null"]))]
    mapping_yaml: Option<String>,
    /// The first rows.
    rows: Vec<PreviewRow>,
    /// Why it cannot be read as it is.
    problem: Option<Finding>,
}

/// A row as it would be read: `row`, or why it would be `refused`; or a `warning` about the file.
#[derive(schemars::JsonSchema)]
#[schemars(rename = "ImportPreviewRow")]
#[expect(dead_code, reason = "it describes what `one` answers")]
pub(super) struct PreviewRow {
    line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<stockade_model::Row>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Finding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warning: Option<Finding>,
}

fn one(item: Item, mapping: Option<&stockade_imports::Mapping>) -> Value {
    let (line, row) = match item {
        Item::Row(draft) => (draft.line, rows::of_draft(draft, mapping)),
        Item::Batch(line, text) => (line, rows::of_batch(line, &text).map_err(|(_, finding)| finding)),
        Item::Refused(_, finding) => (finding.line, Err(finding)),
        Item::Warning(finding) => return json!({ "line": finding.line, "warning": finding }),
    };
    match row {
        Ok(row) => json!({ "line": line, "row": row }),
        Err(finding) => json!({ "line": line, Severity::Refused.as_str(): finding }),
    }
}

pub(super) async fn list(
    Of(imports): Of<Arc<Imports>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    known(&imports.app, &supplier)?;
    let wanted = query.of(format!("imports of {supplier}"))?;
    let before = wanted.after_as::<u64>()?.unwrap_or(u64::MAX);
    let metas: Vec<Meta> = {
        let known = imports.known.lock();
        let of = known.get(&supplier).into_iter().flat_map(|of| of.range(..before).rev());
        of.take(wanted.look_for()).map(|(_, import)| import.meta.lock().clone()).collect()
    };
    let found = metas.iter().map(|meta| (meta.number.to_string(), imports.told(meta))).collect();
    let Page { items, next } = wanted.page(found);
    Ok(Json(Known { imports: items, next }).into_response())
}

/// A page of the imports of a supplier that this node knows.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Imports")]
pub(super) struct Known {
    /// The newest first.
    imports: Vec<Told>,
    /// The cursor of the next page; none on the last.
    next: Option<String>,
}

pub(super) async fn show(
    Of(imports): Of<Arc<Imports>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Named((_, name)): Named<(String, String)>,
) -> Result<Response, Problem> {
    let import = imports.named(&supplier, &name)?;
    let meta = import.meta.lock().clone();
    Ok(Json(imports.told(&meta)).into_response())
}

pub(super) async fn cancel(
    Of(imports): Of<Arc<Imports>>,
    OwnSupplier { supplier, .. }: OwnSupplier,
    Named((_, name)): Named<(String, String)>,
) -> Result<Response, Problem> {
    let import = imports.named(&supplier, &name)?;
    let state = import.meta.lock().state;
    match state {
        State::Cancelled => {}
        State::Done | State::Failed => {
            let detail = format!("the import is {} already; nothing is left to cancel", state.as_str());
            return Err(Problem::new(StatusCode::CONFLICT, "import_finished", detail));
        }
        // Nobody works at it.
        State::NeedsConfirmation => {
            if turn_waiting(&imports, &import, State::Cancelled).await?.is_none() {
                // It was confirmed or it expired since.
                import.cancel.store(true, Ordering::Release);
            }
        }
        // Whoever works at it ends it behind the chunk under way.
        State::Received | State::Applying => import.cancel.store(true, Ordering::Release),
    }
    let meta = import.meta.lock().clone();
    Ok((StatusCode::ACCEPTED, Json(imports.told(&meta))).into_response())
}

/// Gives an import that waits to be confirmed another state; `None` where it does not wait any more. The disk is waited for beside those
/// who answer, and whoever works at imports hears of it also where nobody waits for the answer.
async fn turn_waiting(imports: &Arc<Imports>, import: &Import, to: State) -> Result<Option<Meta>, Problem> {
    let (this, import) = (imports.clone(), import.clone());
    let turn = move || {
        let is_waiting = |meta: &Meta| meta.state == State::NeedsConfirmation;
        let turned = this.change_where(&import, is_waiting, |meta| meta.state = to);
        this.news.notify_one();
        turned
    };
    let lost = |_| storage(&io::Error::other("a change of an import ended early"));
    tokio::task::spawn_blocking(turn).await.map_err(lost)?.map_err(|error| storage(&error))
}

fn not_waiting(state: State) -> Problem {
    let detail = format!("the import is {} and waits for no confirmation", state.as_str());
    Problem::new(StatusCode::CONFLICT, "not_waiting", detail)
}

pub(super) async fn confirm(
    Of(imports): Of<Arc<Imports>>,
    OwnSupplier { supplier, by }: OwnSupplier,
    Named((_, name)): Named<(String, String)>,
) -> Result<Response, Problem> {
    let import = imports.named(&supplier, &name)?;
    let (state, number) = {
        let meta = import.meta.lock();
        (meta.state, meta.number)
    };
    if state != State::NeedsConfirmation {
        return Err(not_waiting(state));
    }
    let overtaken = {
        let known = imports.known.lock();
        let later = known.get(&supplier).into_iter().flat_map(|of| of.range(number + 1..));
        later.into_iter().any(|(_, later)| matches!(later.meta.lock().state, State::Applying | State::Done))
    };
    if overtaken {
        let detail =
            "a later import was applied since, which this one would undo; cancel it, and send the file again";
        return Err(Problem::new(StatusCode::CONFLICT, "import_overtaken", detail));
    }
    tracing::info!(supplier = %supplier, by = by.id, import = name, "import confirmed");
    // It may have expired since, and its rows be gone.
    let Some(meta) = turn_waiting(&imports, &import, State::Applying).await? else {
        let state = import.meta.lock().state;
        return Err(not_waiting(state));
    };
    Ok((StatusCode::ACCEPTED, Json(imports.told(&meta))).into_response())
}

pub(super) async fn report(
    Of(imports): Of<Arc<Imports>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Named((_, name)): Named<(String, String)>,
) -> Result<Response, Problem> {
    let import = imports.named(&supplier, &name)?;
    let meta = import.meta.lock().clone();
    let path = imports.store.report(&meta);
    let none = |_| {
        let detail = "the file is not read yet, so there is no report; ask again";
        Problem::new(StatusCode::NOT_FOUND, "no_report_yet", detail).with_header(header::RETRY_AFTER, "1")
    };
    let file = File::open(path).map_err(none)?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"import-{name}.csv\"")),
    ];
    Ok((headers, lent(file)).into_response())
}

/// A file as a body, a piece at a time; the disk is waited for beside those who answer.
fn lent(file: File) -> Body {
    let pieces = futures_util::stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece)?;
            piece.truncate(read);
            Ok::<_, io::Error>((Bytes::from(piece), file))
        });
        match read.await.map_err(io::Error::other).flatten() {
            Ok((piece, _)) if piece.is_empty() => None,
            Ok((piece, file)) => Some((Ok(piece), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Body::from_stream(pieces)
}
