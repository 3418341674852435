//! What is known of an import, as it is kept and as it is told.

use stockade_imports::{Facts, Finding};
use stockade_model::{SupplierId, Timestamp};
use stockade_runtime::Trust;

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ImportState")]
pub(super) enum State {
    /// It is on disk and will be read, or is being read.
    Received,
    /// It would take so much off the market that its supplier is asked first. Not confirmed for as long as it is kept for that
    /// (a week, unless configured), it fails with the problem `confirmation_expired`.
    NeedsConfirmation,
    /// Its rows are being applied.
    Applying,
    /// All of it was applied, but for what the report names.
    Done,
    /// It was stopped by its supplier; what was applied until then stays.
    Cancelled,
    /// It could not be read, or not be gone on with; `problem` says why.
    Failed,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::NeedsConfirmation => "needs_confirmation",
            Self::Applying => "applying",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
    pub(super) fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }
    /// Whether there is something to do that waits for nobody.
    pub(super) fn is_at_work(self) -> bool {
        matches!(self, Self::Received | Self::Applying)
    }
}

/// What becomes of listings that the file does not name.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ImportMode")]
pub(super) enum Mode {
    /// Nothing.
    #[default]
    Upsert,
    /// They go to zero, or are withdrawn.
    Snapshot,
}

/// How a snapshot takes a listing off the market.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ImportMissing")]
pub(super) enum Missing {
    /// Its stock becomes 0, so that the next stock brings it back.
    #[default]
    Zero,
    /// It is withdrawn, until it is put again as a whole.
    Withdraw,
}

/// How a file is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Asked {
    pub(super) mode: Mode,
    pub(super) missing: Missing,
    /// Name of a shipped mapping, `proposed`, or a mapping in YAML; absent for what the header says.
    pub(super) mapping: Option<String>,
    pub(super) format: Option<String>,
    pub(super) encoding: Option<String>,
    /// Rows that the sender says there are.
    pub(super) rows: Option<u64>,
}

/// Rows by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Counts {
    /// Read from the file.
    pub(super) read: u64,
    /// Applied.
    pub(super) accepted: u64,
    /// Said what was known already, or was overtaken by a newer sequence.
    pub(super) unchanged: u64,
    /// Not taken; the report says why.
    pub(super) refused: u64,
    /// Warned of in the report.
    pub(super) warned: u64,
    /// Listings that the file does not name and that were taken off the market.
    pub(super) taken_off: u64,
}

/// Where applying is: which file of rows, how many bytes of it are done, and chunks so far over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Progress {
    pub(super) lane: usize,
    pub(super) offset: u64,
    pub(super) chunk: u64,
    /// Rows done, of [`Meta::to_apply`].
    pub(super) rows: u64,
    /// The last chunk of which anything went through the log.
    #[serde(default)]
    pub(super) sent: Option<u64>,
}

/// What is known of an import.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Meta {
    /// Its name.
    pub(super) import: String,
    /// Its place in the order in which this node took imports on.
    pub(super) number: u64,
    pub(super) supplier: SupplierId,
    /// How far its supplier was known when it was uploaded; it takes room on disk among those. Earlier builds did not say.
    #[serde(default)]
    pub(super) kind: Trust,
    pub(super) asked: Asked,
    /// Of the upload, hex.
    pub(super) sha256: String,
    pub(super) upload_bytes: u64,
    pub(super) state: State,
    pub(super) created_ms: i64,
    pub(super) changed_ms: i64,
    pub(super) finished_ms: Option<i64>,
    pub(super) facts: Option<Facts>,
    /// Why it failed, or why the file was not read to its end.
    pub(super) problem: Option<Finding>,
    pub(super) counts: Counts,
    /// Rows to be applied, listings to be taken off the market among them.
    pub(super) to_apply: u64,
    /// Listings that the file does not name, and listings on the market when it was read.
    pub(super) missing: u64,
    pub(super) on_market: u64,
    pub(super) progress: Progress,
    /// Whether its end was told to webhooks. Of earlier builds' imports nobody asked to hear.
    #[serde(default = "long_told")]
    pub(super) told: bool,
    /// Lines and bytes of the report that belong to what is done.
    pub(super) report_lines: u64,
    pub(super) report_bytes: u64,
}

fn long_told() -> bool {
    true
}

impl Meta {
    /// Ends it with a reason.
    pub(super) fn fail(&mut self, code: &str, detail: &str) {
        self.state = State::Failed;
        self.problem = Some(Finding::of_file(code, detail));
    }

    /// As it is told. `rows_per_second` is the pace at which rows are applied.
    pub(super) fn told(&self, rows_per_second: Option<f64>) -> Told {
        let link = |what: &str| format!("/v1/suppliers/{}/imports/{}{what}", self.supplier, self.import);
        let time = |ms: i64| Timestamp::from_ms(ms);
        let left = self.to_apply.saturating_sub(self.progress.rows);
        let estimate_seconds = match self.state {
            State::Applying | State::NeedsConfirmation => {
                rows_per_second.map(|rate| (left as f64 / rate.max(f64::MIN_POSITIVE)).ceil() as u64)
            }
            _ => None,
        };
        let Counts { read, accepted, unchanged, refused, warned, taken_off } = self.counts;
        let missing = TakenOff { listings: self.missing, of: self.on_market };
        Told {
            import: self.import.clone(),
            state: self.state,
            mode: self.asked.mode,
            created_at: time(self.created_ms),
            changed_at: time(self.changed_ms),
            finished_at: self.finished_ms.map(time),
            upload_bytes: self.upload_bytes,
            sha256: self.sha256.clone(),
            file: self.facts.clone(),
            rows: Rows {
                read,
                accepted,
                unchanged,
                refused,
                warned,
                taken_off,
                to_apply: self.to_apply,
                done: self.progress.rows,
            },
            missing: (self.asked.mode == Mode::Snapshot).then_some(missing),
            estimate_seconds,
            problem: self.problem.clone(),
            links: Links {
                this: link(""),
                report: link("/report"),
                cancel: link("/cancel"),
                confirm: link("/confirm"),
            },
        }
    }
}

/// An import as it is told.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Import")]
pub(super) struct Told {
    import: String,
    state: State,
    mode: Mode,
    created_at: Timestamp,
    changed_at: Timestamp,
    finished_at: Option<Timestamp>,
    upload_bytes: u64,
    /// Of the upload, hex.
    sha256: String,
    /// What was found out about the file; null until it was looked at.
    file: Option<Facts>,
    rows: Rows,
    /// Of a snapshot: what it does not name.
    missing: Option<TakenOff>,
    /// Until all rows are applied, at the pace of now.
    estimate_seconds: Option<u64>,
    /// Why it failed, or why the file was not read to its end.
    problem: Option<Finding>,
    links: Links,
}

/// Rows of an import by what became of them.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "ImportRows")]
struct Rows {
    /// Read from the file.
    read: u64,
    accepted: u64,
    /// Said what was known already, or was overtaken by a newer sequence.
    unchanged: u64,
    /// Not taken; the report says why.
    refused: u64,
    /// Warned of in the report.
    warned: u64,
    /// Listings that the file does not name and that were taken off the market.
    taken_off: u64,
    /// To be applied, listings to be taken off the market among them.
    to_apply: u64,
    /// Of these, done.
    done: u64,
}

/// Listings that a snapshot does not name.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "ImportMissingListings")]
struct TakenOff {
    listings: u64,
    /// Listings on the market when the file was read.
    of: u64,
}

/// Where to go on with an import.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "ImportLinks")]
struct Links {
    #[serde(rename = "self")]
    this: String,
    report: String,
    cancel: String,
    confirm: String,
}
