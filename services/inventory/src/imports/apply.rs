//! Applies rows that wait, chunk by chunk, at the pace of their supplier's allowance.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stockade_imports::{Finding, codes};
use stockade_model::{Command, Row, RowOutcome, RowStatus, SupplierId};
use stockade_runtime::Problem;

use super::{
    Import, Imports,
    meta::{Counts, Meta, Progress, State},
    read::Duplicates,
    report::Report,
    rows::Waiting,
    store::{DUPLICATES, LANES},
};
use crate::{
    app::{Decided, Submitted},
    http::supplier::body_hash,
};

/// Rows of a chunk at most; fewer where the burst of their supplier's class is small.
const CHUNK_ROWS: usize = 500;
/// An import leaves this part of its supplier's rate to calls that are made beside it, so that stock that is sent by hand
/// does not wait behind a catalogue.
const LEFT_TO_OTHERS: f64 = 0.2;
/// Chunks of an import take no more than this part of a burst, and only from a full bucket, for the same reason.
const BURST_PART: u32 = 4;
/// How long it waits before it tries again what the log did not take.
const RETRY: Duration = Duration::from_secs(1);
/// How often an outcome that is late is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Looks before a chunk is sent again under the same key.
const LOOKS_MAX: u32 = 500;

/// The key of a chunk.
fn key(meta: &Meta, chunk: u64) -> String {
    format!("import-{}-{chunk}", meta.import)
}

/// Rows that are next, and where reading goes on behind them.
struct Chunk {
    rows: Vec<Waiting>,
    lane: usize,
    offset: u64,
}

/// What became of a chunk.
#[derive(Default)]
struct Became {
    counts: Counts,
    findings: Vec<Finding>,
    /// Rows that went through the log.
    sent: usize,
}

impl Imports {
    /// Applies what waits until it is done, cancelled, or the process ends.
    pub(super) async fn apply(self: &Arc<Self>, import: &Import) -> io::Result<()> {
        let meta = import.meta.lock().clone();
        while self.app.ready().is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let duplicates = Duplicates::read(&self.store.file(&meta, DUPLICATES))?;
        let report = self.store.report(&meta);
        let mut report =
            Report::go_on(&report, meta.report_lines, meta.report_bytes, self.config.report_lines_max)?;
        let mut progress = meta.progress;
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return Ok(());
            }
            if import.cancelled() {
                self.change(import, |meta| meta.state = State::Cancelled)?;
                return Ok(());
            }
            let (this, of, rows_max) = (self.clone(), meta.clone(), self.chunk_rows(&meta.supplier));
            let next = tokio::task::spawn_blocking(move || this.next_chunk(&of, progress, rows_max));
            let chunk = next.await.map_err(io::Error::other)??;
            if chunk.rows.is_empty() {
                self.change(import, |meta| meta.state = State::Done)?;
                self.purge(&meta.supplier);
                return Ok(());
            }
            let became = self.apply_chunk(&meta, progress, &chunk, &duplicates).await;
            let rows = progress.rows + chunk.rows.len() as u64;
            let sent = if became.sent > 0 { Some(progress.chunk) } else { progress.sent };
            progress =
                Progress { lane: chunk.lane, offset: chunk.offset, chunk: progress.chunk + 1, rows, sent };
            let (this, of, counts, sent) = (self.clone(), import.clone(), became.counts, became.sent);
            // The disk is waited for, which must not hold up whoever is answered meanwhile.
            let note = move || this.note(&of, progress, &became, report);
            report = tokio::task::spawn_blocking(note).await.map_err(io::Error::other)??;
            crate::metrics::import_rows(counts.accepted, counts.unchanged, counts.refused);
            self.leave_room(&meta.supplier, sent).await;
        }
    }

    /// Keeps what became of a chunk: first its lines of the report, then that it is done.
    fn note(
        &self,
        import: &Import,
        progress: Progress,
        became: &Became,
        mut report: Report,
    ) -> io::Result<Report> {
        for finding in &became.findings {
            report.add(finding)?;
        }
        let written = report.flush()?;
        let counts = became.counts;
        self.change(import, |meta| {
            meta.progress = progress;
            (meta.report_lines, meta.report_bytes) = written;
            meta.counts.accepted += counts.accepted;
            meta.counts.unchanged += counts.unchanged;
            meta.counts.refused += counts.refused;
            meta.counts.warned += counts.warned;
            meta.counts.taken_off += counts.taken_off;
        })?;
        Ok(report)
    }

    /// The next rows that wait, in the order of the lanes.
    fn next_chunk(&self, meta: &Meta, from: Progress, rows_max: usize) -> io::Result<Chunk> {
        let (mut lane, mut offset) = (from.lane, from.offset);
        while let Some(name) = LANES.get(lane) {
            let mut rows = Vec::new();
            match File::open(self.store.file(meta, name)) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(offset))?;
                    let mut file = BufReader::new(file);
                    let mut line = Vec::new();
                    while rows.len() < rows_max {
                        line.clear();
                        let bytes = file.read_until(b'\n', &mut line)?;
                        if bytes == 0 {
                            break;
                        }
                        rows.push(serde_json::from_slice(&line)?);
                        offset += bytes as u64;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            if !rows.is_empty() {
                return Ok(Chunk { rows, lane, offset });
            }
            (lane, offset) = (lane + 1, 0);
        }
        Ok(Chunk { rows: Vec::new(), lane, offset })
    }

    /// Applies one chunk; comes back only when it is known what became of each row.
    async fn apply_chunk(&self, meta: &Meta, at: Progress, chunk: &Chunk, duplicates: &Duplicates) -> Became {
        let mut became = Became::default();
        let settled = self.settled(&meta.supplier).await;
        let (mut rows, mut places, mut unique) = (Vec::new(), Vec::new(), 0);
        // It may have been decided before this process was killed; then its rows look unchanged because they were applied.
        let before = self.app.outcome(&meta.supplier, &key(meta, at.chunk));
        let mut room = self.app.room_for(&meta.supplier, chunk.rows.len());
        for (place, waiting) in chunk.rows.iter().enumerate() {
            if waiting.line > 0 && duplicates.overtaken(waiting.number) {
                let detail = "a later row names this listing again, and counts; name each listing once";
                let subject = waiting.row.subject();
                let finding = Finding::refused(waiting.line, "", subject, codes::DUPLICATE_ROW, detail);
                became.findings.push(finding);
                became.counts.refused += 1;
                continue;
            }
            if before.is_none()
                && let Err(full) = room.takes(&waiting.row)
            {
                let subject = waiting.row.subject();
                became.findings.push(Finding::refused(waiting.line, "", subject, full.code, full.detail));
                became.counts.refused += 1;
                continue;
            }
            unique += 1;
            if !settled || !self.is_unchanged(&meta.supplier, &waiting.row) {
                rows.push(waiting.row.clone());
                places.push(place);
            }
        }
        drop(room);
        let outcomes = match before {
            Some(outcomes) => outcomes,
            None if rows.is_empty() => Vec::new(),
            None => {
                became.sent = rows.len();
                self.wait_for_room(&meta.supplier, rows.len()).await;
                self.decide(meta, at, rows, places).await
            }
        };
        became.sent = became.sent.max(outcomes.len());
        became.counts.unchanged += unique - (outcomes.len() as u64).min(unique);
        for outcome in &outcomes {
            if let Some(waiting) = chunk.rows.get(outcome.row) {
                became.count(waiting, outcome);
            }
        }
        became
    }

    /// Sends rows under the chunk's key until they are decided. Each time takes a turn: however long an import is, those of others go
    /// on between, and one whose partition is behind waits without a turn. A chunk that was decided before, whatever was killed since,
    /// is answered with what became of it then.
    pub(super) async fn decide(
        &self,
        meta: &Meta,
        at: Progress,
        rows: Vec<Row>,
        places: Vec<usize>,
    ) -> Vec<RowOutcome> {
        let mut command = Command {
            supplier: meta.supplier.clone(),
            idempotency_key: Some(key(meta, at.chunk)),
            // Of the chunk, not of what is left of it: rows that are unchanged the second time were changed by the first.
            body_hash: body_hash(&[b"import", meta.import.as_bytes(), &at.chunk.to_le_bytes()]),
            rows,
            precondition: None,
            places,
            refused: Vec::new(),
            forgets: at.sent.map(|sent| key(meta, sent)),
        };
        self.app.stamp(&meta.supplier, &mut command.rows);
        loop {
            match self.submit_in_turn(&command).await {
                Ok(Submitted::Decided { decided: Decided { rows: Some(rows), .. }, .. }) => {
                    return rows.rows();
                }
                Ok(Submitted::Decided { .. }) => return Vec::new(),
                Ok(Submitted::Pending { key, .. }) => {
                    for _ in 0..LOOKS_MAX {
                        if let Some(rows) = self.app.outcome(&meta.supplier, &key) {
                            return rows;
                        }
                        tokio::time::sleep(LOOK_AGAIN).await;
                    }
                }
                Err(Problem { code, .. }) => {
                    tracing::debug!(import = meta.import, code, "a chunk is sent again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Appends a request in a turn and waits for its outcome.
    async fn submit_in_turn(&self, command: &Command) -> Result<Submitted, Problem> {
        let turn = self.turns.wait(self.app.trust_of(&command.supplier)).await;
        self.app.submit_in_turn(turn, command.clone(), None).await
    }

    fn chunk_rows(&self, supplier: &SupplierId) -> usize {
        let class = self.app.limits.class(&self.app.limited_by(supplier));
        let part = class.map_or(u32::MAX, |class| (class.burst.get() / BURST_PART).max(1));
        CHUNK_ROWS.min(usize::try_from(part).unwrap_or(CHUNK_ROWS))
    }

    /// Rows a second at which an import of a supplier goes.
    pub(super) fn rows_per_second(&self, supplier: &SupplierId) -> Option<f64> {
        let class = self.app.limits.class(&self.app.limited_by(supplier))?;
        Some(class.per_second() * (1.0 - LEFT_TO_OTHERS))
    }

    /// Waits until the supplier's allowance has room: an import is paced, never refused.
    async fn wait_for_room(&self, supplier: &SupplierId, rows: usize) {
        let units = u32::try_from(rows).unwrap_or(u32::MAX);
        // Looked up each time: a supplier that is limited meanwhile is slowed at once.
        while let Err(wait) =
            self.app.limits.take_or_wait(&self.app.limited_by(supplier), supplier.as_str(), units)
        {
            tokio::time::sleep(wait).await;
        }
        while let Err(wait) = self.app.share_or_wait(supplier, rows) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Leaves a part of the rate to the supplier's other calls.
    async fn leave_room(&self, supplier: &SupplierId, rows: usize) {
        let Some(class) = self.app.limits.class(&self.app.limited_by(supplier)) else { return };
        let pause = rows as f64 / class.per_second() * LEFT_TO_OTHERS;
        tokio::time::sleep(Duration::from_secs_f64(pause)).await;
    }
}

impl Became {
    fn count(&mut self, waiting: &Waiting, outcome: &RowOutcome) {
        // A line of 0 is none of the file: it is what the file does not name.
        let of_file = waiting.line > 0;
        match outcome.status {
            RowStatus::Applied if of_file => self.counts.accepted += 1,
            RowStatus::Applied => self.counts.taken_off += 1,
            RowStatus::Replayed => self.counts.unchanged += 1,
            RowStatus::Superseded => {
                self.counts.unchanged += 1;
                self.counts.warned += 1;
                let detail = "a newer source_seq of this listing was here first; nothing was changed";
                let finding = Finding::refused(waiting.line, "", &outcome.subject, "superseded", detail);
                self.findings.push(finding.as_warning());
            }
            RowStatus::Conflict | RowStatus::Invalid => {
                self.counts.refused += 1;
                let code = outcome.code.as_deref().unwrap_or("refused");
                let detail = outcome.detail.clone().unwrap_or_default();
                self.findings.push(Finding::refused(waiting.line, "", &outcome.subject, code, detail));
            }
        }
    }
}
