//! Reads an upload once: rows that are right wait in files for their turn, the others go into the report.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stockade_imports::{Beginning, Bounds, Choice, Encoding, Finding, Format, Item, Mapping, Options, codes};
use stockade_model::SupplierId;
use stockade_runtime::Trust;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Import, Imports,
    disk::{Full, PLACE_BYTES},
    keys,
    meta::{Asked, Counts, Meta, Mode, State},
    report::Report,
    rows::{self, Waiting},
    store::{DUPLICATES, KEYS, LANES},
    turns::Slices,
};

/// Keys of the file's listings.
pub(super) const NAMED: &str = "named";
/// Files of suppliers of each kind that are open at once; each has its buffers, and a thread that waits for its next slice.
pub(super) const OPEN_MAX: usize = 8;
/// Rows after which it is looked how much a file takes of the disk.
const LOOK_ROWS: u64 = 1_000;
/// Keys that are sorted in about the time in which a row is read.
const KEYS_A_ROW: u64 = 16;
/// What a row has at most, taken over a whole file.
const ROW_BYTES: u64 = 2 << 10;
/// What of a file is looked at for a preview at most: its rows are among the first, or it is made to keep a core busy.
pub(super) const PREVIEW: Beginning = Beginning { bytes_max: 4 << 20, lines_max: 10_000 };
/// How long it is waited until this replica has caught up, before it is looked again.
const STARTING: Duration = Duration::from_millis(20);
/// The number of a listing that the file names in a row that is not taken.
const NOT_TAKEN: u64 = u64::MAX;

/// What became of reading.
enum Outcome {
    /// The process ends, or something is in force against its supplier since: it is read anew, at the next start or among its like.
    Stopped,
    Cancelled,
    Failed(Box<Finding>),
    Read(Box<Read>),
}

struct Read {
    facts: stockade_imports::Facts,
    /// Why the file was not read to its end.
    broke: Option<Finding>,
    counts: Counts,
    waiting: u64,
    report: (u64, u64),
}

impl Asked {
    /// As the reader wants it.
    pub(super) fn options(&self, bounds: stockade_imports::Bounds) -> Result<Options, Finding> {
        let unknown = |what: &str, value: &str, known: &str| {
            Finding::of_file("unknown_value", format!("{value:?} is no {what}; there are {known}"))
        };
        let format = match &self.format {
            None => None,
            Some(name) => Some(
                Format::named(name).ok_or_else(|| unknown("format", name, "csv, tsv, ndjson, x12, epcis"))?,
            ),
        };
        let encoding = match &self.encoding {
            None => None,
            Some(name) => {
                let known = "utf-8, utf-16le, utf-16be, windows-1252";
                Some(Encoding::named(name).ok_or_else(|| unknown("encoding", name, known))?)
            }
        };
        let choice = match self.mapping.as_deref() {
            None | Some("auto") => Choice::Auto,
            Some("proposed") => Choice::Proposed,
            // A name is a word; everything else is the mapping itself.
            Some(name) if !name.contains([':', '\n', '{']) => {
                stockade_imports::shipped(name)?;
                Choice::Shipped(name.to_owned())
            }
            Some(source) => Choice::Given(Box::new(Mapping::parse(source)?)),
        };
        Ok(Options { format, encoding, choice, bounds })
    }
}

/// One of the places of those who read.
pub(super) struct Opened {
    kind: Trust,
    _permit: OwnedSemaphorePermit,
}

impl Imports {
    /// Waits until a file of a supplier may be opened; `None` never but at the end.
    pub(super) async fn may_open(&self, supplier: &SupplierId) -> Option<Opened> {
        // Before that every supplier looks new.
        while self.app.ready().is_err() {
            tokio::time::sleep(STARTING).await;
        }
        let kind = self.app.trust_of(supplier);
        let permit = self.open[kind as usize].clone().acquire_owned().await.ok()?;
        Some(Opened { kind, _permit: permit })
    }

    /// Does work at a file of a supplier slice by slice, on a thread that may wait.
    pub(super) fn in_slices<T>(
        &self,
        supplier: &SupplierId,
        opened: &Opened,
        work: impl FnOnce(&mut Slices<'_>) -> T,
    ) -> T {
        let kind = || self.app.trust_of(supplier);
        work(&mut Slices::begin(&self.readings, opened.kind, &kind))
    }

    /// What a file of a supplier may be.
    fn bounds_of(&self, supplier: &SupplierId) -> Bounds {
        let mut bounds = self.config.file;
        if self.app.is_new(supplier) {
            bounds.rows_max = bounds.rows_max.min(self.config.new_supplier_rows_max);
            // So that lines without rows, of which no slice takes notice, are bounded too.
            let most = bounds.rows_max.saturating_mul(ROW_BYTES);
            bounds.inflated_bytes_max = bounds.inflated_bytes_max.min(most.max(PREVIEW.bytes_max));
        }
        bounds
    }

    /// Reads an import's file, and what it does not name where it is a snapshot.
    pub(super) async fn read(self: &Arc<Self>, import: &Import) -> io::Result<()> {
        let supplier = import.meta.lock().supplier.clone();
        let Some(opened) = self.may_open(&supplier).await else { return Ok(()) };
        let (this, of) = (self.clone(), import.clone());
        let read = move || {
            let outcome = this.in_slices(&supplier, &opened, |slices| this.read_file(&of, slices))?;
            if let Outcome::Failed(finding) = &outcome {
                this.report_only(&of, finding)?;
            }
            Ok::<_, io::Error>(outcome)
        };
        let outcome = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        let read = match outcome {
            Outcome::Stopped => return Ok(()),
            Outcome::Cancelled => {
                self.change(import, |meta| meta.state = State::Cancelled)?;
                return Ok(());
            }
            Outcome::Failed(finding) => {
                self.change(import, |meta| {
                    meta.state = State::Failed;
                    meta.problem = Some(*finding);
                })?;
                return Ok(());
            }
            Outcome::Read(read) => *read,
        };
        let is_snapshot = import.meta.lock().asked.mode == Mode::Snapshot;
        // Neither a turn nor a place among those who read is kept from here on: what follows waits for the supplier's partition.
        // What a file that broke off does not name may be in the part that is missing.
        let unnamed = match is_snapshot && read.broke.is_none() {
            true => match self.unnamed(import).await? {
                Some(unnamed) => Some(unnamed),
                None => return Ok(()),
            },
            false => None,
        };
        let percent = u64::from(self.config.confirm_percent);
        let meta = self.change(import, |meta| {
            let Read { facts, broke, counts, waiting, report } = read;
            (meta.report_lines, meta.report_bytes) = report;
            meta.facts = Some(facts);
            meta.counts = counts;
            meta.problem = broke;
            meta.to_apply = waiting;
            meta.state = State::Applying;
            if let Some(unnamed) = unnamed {
                (meta.missing, meta.on_market) = (unnamed.missing, unnamed.on_market);
                meta.to_apply += unnamed.missing;
                if unnamed.missing * 100 > unnamed.on_market * percent {
                    meta.state = State::NeedsConfirmation;
                }
            }
        })?;
        let (this, of) = (self.clone(), import.clone());
        let clean = move || {
            this.store.clean_read(&meta);
            this.weigh(&of, &meta);
        };
        tokio::task::spawn_blocking(clean).await.map_err(io::Error::other)
    }

    /// Makes a report of what is wrong with the file as a whole, which is why none of its rows is taken.
    fn report_only(&self, import: &Import, finding: &Finding) -> io::Result<()> {
        let path = self.store.report(&import.meta.lock());
        let mut report = Report::create(&path, self.config.report_lines_max)?;
        report.add(finding)?;
        report.flush().map(drop)
    }

    fn read_file(&self, import: &Import, slices: &mut Slices<'_>) -> io::Result<Outcome> {
        let meta = import.meta.lock().clone();
        let failed = |finding| Ok(Outcome::Failed(Box::new(finding)));
        let options = match meta.asked.options(self.bounds_of(&meta.supplier)) {
            Ok(options) => options,
            Err(finding) => return failed(finding),
        };
        let opened = match stockade_imports::open(&self.store.upload(&meta), &options) {
            Ok(opened) => opened,
            Err(finding) => return failed(finding),
        };
        let mut facts = opened.facts.clone();
        import.meta.lock().facts = Some(facts.clone());
        let mut sorter = Sorter::create(self, &meta, opened.mapping().cloned())?;
        // Of an earlier try only the upload counts.
        import.share.lock().set(PLACE_BYTES + meta.upload_bytes);
        let (mut trouble, mut stopped, mut full) = (None, false, None);
        let (mut items, mut taken_bytes) = (0_u64, 0);
        let ended = opened.each(&mut |item| {
            slices.did(1);
            stopped = self.stopping.load(Ordering::Acquire) || import.cancelled() || slices.fell();
            if stopped {
                return false;
            }
            if let Err(error) = sorter.take(item) {
                trouble = Some(error);
                return false;
            }
            items += 1;
            if items.is_multiple_of(LOOK_ROWS) {
                full = self.take_more(import, sorter.bytes(), &mut taken_bytes).err();
                if full.is_some() {
                    return false;
                }
                match self.store.room_bytes(self.config.disk_reserve_bytes) {
                    Ok(1..) => {}
                    Ok(0) => trouble = Some(io::ErrorKind::StorageFull.into()),
                    Err(error) => trouble = Some(error),
                }
                if trouble.is_some() {
                    return false;
                }
                import.meta.lock().counts.read = sorter.counts.read;
            }
            true
        });
        if let Some(error) = trouble {
            return Err(error);
        }
        if full.is_none() && !stopped {
            full = self.take_more(import, sorter.bytes(), &mut taken_bytes).err();
        }
        if let Some(full) = full {
            return failed(Finding::of_file(full.code(), full.detail()));
        }
        if stopped {
            return Ok(if import.cancelled() { Outcome::Cancelled } else { Outcome::Stopped });
        }
        let broke = match ended {
            Ok(encoding) => {
                facts.encoding = encoding;
                None
            }
            Err(finding) if sorter.counts.read == 0 => return failed(finding),
            Err(finding) => {
                sorter.report.add(&finding)?;
                Some(finding)
            }
        };
        if let Some(said) = meta.asked.rows.filter(|said| *said != sorter.counts.read) {
            let detail = format!(
                "the file has {} rows and the request says {said}; nothing was applied. Send the whole file, or the right number",
                sorter.counts.read
            );
            return failed(Finding::of_file("row_count", detail));
        }
        if sorter.counts.read == 0 {
            let detail = "the file has a header and no rows; nothing was applied. Send rows, or withdraw listings one by one";
            return failed(Finding::of_file(codes::EMPTY, detail));
        }
        sorter.finish(facts, broke, slices).map(|read| Outcome::Read(Box::new(read)))
    }

    /// Takes of the disk what has come to `bytes` since it was `taken`.
    fn take_more(&self, import: &Import, bytes: u64, taken: &mut u64) -> Result<(), Full> {
        let more = bytes.saturating_sub(*taken);
        self.take_disk(&mut import.share.lock(), more)?;
        *taken += more;
        Ok(())
    }
}

/// Puts each row where it waits.
struct Sorter {
    lanes: [BufWriter<File>; 2],
    named: keys::Writer,
    report: Report,
    mapping: Option<Mapping>,
    counts: Counts,
    waiting: u64,
    directory: std::path::PathBuf,
    duplicates: std::path::PathBuf,
    /// A row as it is written.
    line: Vec<u8>,
    /// Bytes of rows and keys so far.
    bytes: u64,
}

impl Sorter {
    fn create(imports: &Imports, meta: &Meta, mapping: Option<Mapping>) -> io::Result<Self> {
        let store = &imports.store;
        let lane = |name: &str| Ok::<_, io::Error>(BufWriter::new(File::create(store.file(meta, name))?));
        let directory = store.file(meta, KEYS);
        Ok(Self {
            lanes: [lane(LANES[0])?, lane(LANES[1])?],
            named: keys::Writer::create(&directory, NAMED)?,
            report: Report::create(&store.report(meta), imports.config.report_lines_max)?,
            mapping,
            counts: Counts::default(),
            waiting: 0,
            directory,
            duplicates: store.file(meta, DUPLICATES),
            line: Vec::new(),
            bytes: 0,
        })
    }

    /// Bytes that came of the file so far, on disk or on their way there.
    fn bytes(&self) -> u64 {
        self.bytes + self.report.bytes()
    }

    fn take(&mut self, item: Item) -> io::Result<()> {
        let (line, row) = match item {
            Item::Warning(finding) => {
                self.counts.warned += 1;
                return self.report.add(&finding);
            }
            Item::Refused(subject, finding) => return self.refuse(subject.as_deref(), &finding),
            Item::Row(draft) => {
                let (line, listing) = (draft.line, draft.listing.clone());
                match rows::of_draft(draft, self.mapping.as_ref()) {
                    Ok(row) => (line, row),
                    Err(finding) => return self.refuse(Some(&listing), &finding),
                }
            }
            Item::Batch(line, text) => match rows::of_batch(line, &text) {
                Ok(row) => (line, row),
                Err((subject, finding)) => return self.refuse(Some(&subject), &finding),
            },
        };
        self.counts.read += 1;
        self.name(row.subject(), self.waiting)?;
        let lane = &mut self.lanes[usize::from(!rows::goes_to_zero(&row))];
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Waiting { number: self.waiting, line, row })?;
        self.line.push(b'\n');
        self.waiting += 1;
        self.bytes += self.line.len() as u64;
        lane.write_all(&self.line)
    }

    fn name(&mut self, subject: &str, number: u64) -> io::Result<()> {
        self.bytes += keys::RECORD_BYTES;
        self.named.add(keys::key(subject), number, "")
    }

    /// A row that is not taken still names its listing: that is in the file, so a snapshot leaves it alone.
    fn refuse(&mut self, subject: Option<&str>, finding: &Finding) -> io::Result<()> {
        self.counts.read += 1;
        self.counts.refused += 1;
        if let Some(subject) = subject.filter(|subject| !subject.is_empty()) {
            self.name(subject, NOT_TAKEN)?;
        }
        self.report.add(finding)
    }

    fn finish(
        mut self,
        facts: stockade_imports::Facts,
        broke: Option<Finding>,
        slices: &mut Slices<'_>,
    ) -> io::Result<Read> {
        for lane in self.lanes {
            lane.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        }
        self.named.finish()?;
        note_duplicates(&self.directory, self.waiting, &self.duplicates, slices)?;
        let report = self.report.flush()?;
        Ok(Read { facts, broke, counts: self.counts, waiting: self.waiting, report })
    }
}

/// Marks each row of which a later one names the same listing: the last one counts.
fn note_duplicates(directory: &Path, rows: u64, into: &Path, slices: &mut Slices<'_>) -> io::Result<()> {
    let mut bits = vec![0_u8; usize::try_from(rows.div_ceil(8)).unwrap_or_default()];
    let mut any = false;
    for part in keys::parts() {
        let records = keys::read(directory, NAMED, part)?;
        let read = records.len() as u64;
        for same in records.chunk_by(|a, b| a.key == b.key) {
            let mut taken =
                same.iter().filter(|record| record.number != NOT_TAKEN).map(|record| record.number);
            // In the order of their numbers, so the last stays.
            taken.next_back();
            for number in taken {
                if let Some(byte) = bits.get_mut((number / 8) as usize) {
                    *byte |= 1 << (number % 8);
                    any = true;
                }
            }
        }
        // They are in memory no more while the next slice is waited for.
        drop(records);
        slices.did(read / KEYS_A_ROW);
    }
    if any {
        let mut file = File::create(into)?;
        file.write_all(&bits)?;
        return file.sync_all();
    }
    match std::fs::remove_file(into) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Rows that a later one overtakes: a bit each.
pub(super) struct Duplicates(Vec<u8>);

impl Duplicates {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(Vec::new())),
            read => read.map(Self),
        }
    }

    pub(super) fn overtaken(&self, number: u64) -> bool {
        let byte = usize::try_from(number / 8).ok().and_then(|at| self.0.get(at));
        byte.is_some_and(|byte| byte >> (number % 8) & 1 == 1)
    }
}
