//! What the inventory service tells of itself. Every name is here, and every label is closed: suppliers, goods and buyers are
//! never labels; they are in the log.
//!
//! Every replica holds the whole index and the whole overlay: take the largest gauge over replicas, never the sum. What
//! is counted is counted where it happened: add it up.
//!
//! | name | labels | what it says |
//! |---|---|---|
//! | `stockade_inventory_events_accepted_total` | | outcomes taken from order systems |
//! | `stockade_inventory_events_refused_total` | | outcomes in batches that were refused, each with its reason in the answer |
//! | `stockade_inventory_events_warned_total` | `code`: `unknown_supplier`, `unknown_order`, `buyer_left_out` | outcomes that were taken although nothing is known of what they are about, or although they lack the buyer that their order was placed with; alert when it is not rare |
//! | `stockade_inventory_event_answers_total` | `answer`: `applied`, `noted`, `duplicate`, `conflict`, `parked` | what became of events, as this replica's fold decides it |
//! | `stockade_inventory_event_to_invisible_seconds` | | from the record of the event at the root of a decision until its offers were withheld in this replica |
//! | `stockade_inventory_listings`, `stockade_inventory_units` | | what the index holds |
//! | `stockade_inventory_withheld_listings`, `stockade_inventory_withheld_units` | | the part of it that buyers do not see |
//! | `stockade_inventory_staleness_seconds` | | how far the index may be behind the log; alert on it |
//! | `stockade_inventory_overlay_age_seconds` | | since the last decision was applied |
//! | `stockade_inventory_picture_age_seconds` | | how old the picture on the disk of this process is, by which it would answer buyers after a start without the log; alert on it |
//! | `stockade_inventory_shows_picture` | | 1 while buyers are answered from that picture, because the log could not be reached at the start; alert on it |
//! | `stockade_inventory_streams` | | streams of changes that buyers have open here: add these up over replicas |
//! | `stockade_inventory_stream_looks_total` | `found`: `change`, `nothing` | goods that a stream looked at again because something was put or restricted |
//! | `stockade_inventory_import_rows_total` | `outcome`: `accepted`, `unchanged`, `refused` | rows of imports by what became of them |
//! | `stockade_inventory_imports_full_total` | `of`: `supplier`, `new`, `suspect`, `all` | uploads refused because imports take as much of the disk as they may: one supplier's, all new or all suspect ones', or all |
//! | `stockade_inventory_writes_held_back_total` | | writes refused because their supplier, or the buyer whose holds they are, had used its share of a partition that is behind |
//! | `stockade_inventory_events_held_back_total` | | events refused because their order system had used its share of a partition that is behind |
//! | `stockade_inventory_locked_out_writes_refused_total` | | writes of locked-out suppliers refused before they were read; one a minute of each goes to the log instead |
//! | `stockade_inventory_holds_refused_total` | `bound`: `holds`, `units` | holds refused because their key holds as many reservations, or as many units of one listing, as one may without confirming |
//! | `stockade_inventory_rows_beyond_bounds_total` | | rows refused because their supplier has as many listings, or locations, as one may have |
//! | `stockade_lockout_suppliers` | `level` | suppliers by the highest level in force, as this replica's overlay has it |

use ::metrics::{Counter, Gauge, counter, gauge, histogram};
use stockade_model::Level;
use stockade_runtime::metrics::Figure;

use crate::{
    app::App,
    domain::{EventAnswer, EventCode},
};

/// What each figure says, as a scrape shows it.
pub const FIGURES: [Figure; 23] = [
    Figure::Counter("stockade_inventory_events_accepted_total", "Outcomes taken from order systems."),
    Figure::Counter(
        "stockade_inventory_events_refused_total",
        "Outcomes in batches that were refused, each with its reason in the answer.",
    ),
    Figure::Counter(
        "stockade_inventory_events_warned_total",
        "Outcomes that were taken although nothing is known of what they are about, by code.",
    ),
    Figure::Counter(
        "stockade_inventory_event_answers_total",
        "What became of events, as this process decides it.",
    ),
    Figure::Histogram(
        "stockade_inventory_event_to_invisible_seconds",
        "From the record of the event at the root of a decision until its offers were withheld here.",
    ),
    Figure::Gauge("stockade_inventory_listings", "Listings that the index holds; the same at each replica."),
    Figure::Gauge("stockade_inventory_units", "Units that the index holds."),
    Figure::Gauge("stockade_inventory_withheld_listings", "Listings of the index that buyers do not see."),
    Figure::Gauge("stockade_inventory_withheld_units", "Units of the index that buyers do not see."),
    Figure::Gauge(
        "stockade_inventory_staleness_seconds",
        "How far the index may be behind the log; alert on it.",
    ),
    Figure::Gauge("stockade_inventory_overlay_age_seconds", "Since the last decision was applied."),
    Figure::Gauge(
        "stockade_inventory_picture_age_seconds",
        "How old the picture on the disk is by which buyers would be answered after a start without the log; alert on it.",
    ),
    Figure::Gauge(
        "stockade_inventory_shows_picture",
        "1 while buyers are answered from the picture, because the log could not be reached at the start; alert on it.",
    ),
    Figure::Gauge("stockade_inventory_streams", "Streams of changes that buyers have open here."),
    Figure::Counter(
        "stockade_inventory_stream_looks_total",
        "Goods that a stream looked at again because something was put or restricted.",
    ),
    Figure::Counter("stockade_inventory_import_rows_total", "Rows of imports by what became of them."),
    Figure::Counter(
        "stockade_inventory_imports_full_total",
        "Uploads refused because imports take as much of the disk as they may, by whose.",
    ),
    Figure::Counter(
        "stockade_inventory_writes_held_back_total",
        "Writes refused because their supplier had used its share of a partition that is behind.",
    ),
    Figure::Counter(
        "stockade_inventory_events_held_back_total",
        "Events refused because their order system had used its share of a partition that is behind.",
    ),
    Figure::Counter(
        "stockade_inventory_locked_out_writes_refused_total",
        "Writes of locked-out suppliers refused before they were read.",
    ),
    Figure::Counter(
        "stockade_inventory_rows_beyond_bounds_total",
        "Rows refused because their supplier has as many listings or locations as one may have.",
    ),
    Figure::Counter(
        "stockade_inventory_holds_refused_total",
        "Holds refused because their key holds as much as one may without confirming.",
    ),
    Figure::Gauge(
        "stockade_lockout_suppliers",
        "Suppliers by the highest level in force, as this process has it.",
    ),
];

/// The figures of one stream of changes. They are taken hold of where it is opened, for it goes on and ends on whichever thread its
/// reader is served by: of a platform that is not counted, as the sandbox, nothing is.
pub(crate) struct OfStream {
    open: Gauge,
    changes: Counter,
    nothing: Counter,
}

impl OfStream {
    /// A stream is opened; it is closed when this is dropped.
    pub(crate) fn opened() -> Self {
        let looks = |found| counter!("stockade_inventory_stream_looks_total", "found" => found);
        let open = gauge!("stockade_inventory_streams");
        open.increment(1.0);
        Self { open, changes: looks("change"), nothing: looks("nothing") }
    }

    /// It looked at a good again.
    pub(crate) fn looked(&self, found: bool) {
        if found { self.changes.increment(1) } else { self.nothing.increment(1) }
    }
}

impl Drop for OfStream {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

/// A write was refused because its supplier had used its share of a partition that is behind.
pub(crate) fn held_back() {
    counter!("stockade_inventory_writes_held_back_total").increment(1);
}

/// A row was refused because its supplier has as much as one may have.
pub(crate) fn beyond_bounds() {
    counter!("stockade_inventory_rows_beyond_bounds_total").increment(1);
}

/// A hold was refused because its key holds as much as one may.
pub(crate) fn hold_refused(bound: &'static str) {
    counter!("stockade_inventory_holds_refused_total", "bound" => bound).increment(1);
}

/// Events were refused because their order system has used its share.
pub(crate) fn events_held_back(events: usize) {
    counter!("stockade_inventory_events_held_back_total").increment(events as u64);
}

/// A write of a locked-out supplier was refused before it was read.
pub(crate) fn refused_locked_out() {
    counter!("stockade_inventory_locked_out_writes_refused_total").increment(1);
}

/// Outcomes of a request were taken.
pub(crate) fn events_accepted(events: usize) {
    counter!("stockade_inventory_events_accepted_total").increment(events as u64);
}

/// An outcome of a batch was refused.
pub(crate) fn event_refused() {
    counter!("stockade_inventory_events_refused_total").increment(1);
}

/// An outcome was taken although nothing is known of what it is about.
pub(crate) fn event_warned(code: &'static str) {
    counter!("stockade_inventory_events_warned_total", "code" => code).increment(1);
}

/// It was decided what became of an event.
pub(crate) fn event_answered(answer: EventAnswer) {
    let answer = answer.again.map_or(answer.status.as_str(), EventCode::as_answer);
    counter!("stockade_inventory_event_answers_total", "answer" => answer).increment(1);
}

/// A decision withheld offers here, so long after its cause was recorded.
pub(crate) fn invisible_after(elapsed_ms: i64) {
    histogram!("stockade_inventory_event_to_invisible_seconds").record(elapsed_ms.max(0) as f64 / 1_000.0);
}

/// A chunk of an import was applied.
pub(crate) fn import_rows(accepted: u64, unchanged: u64, refused: u64) {
    for (outcome, rows) in [("accepted", accepted), ("unchanged", unchanged), ("refused", refused)] {
        counter!("stockade_inventory_import_rows_total", "outcome" => outcome).increment(rows);
    }
}

/// An upload found no room on disk, for what imports of so many have there.
pub(crate) fn imports_full(of: &'static str) {
    counter!("stockade_inventory_imports_full_total", "of" => of).increment(1);
}

/// Takes the figures that are cheaper to take when asked for than to keep.
pub fn refresh(app: &App) {
    let by_level = app.overlay.suppliers_by_level();
    for level in Level::ALL {
        let count = by_level.get(&level).copied().unwrap_or(0);
        gauge!("stockade_lockout_suppliers", "level" => level.as_str()).set(count as f64);
    }
    let (listings, units) = app.index.withheld(&app.overlay);
    gauge!("stockade_inventory_withheld_listings").set(listings as f64);
    gauge!("stockade_inventory_withheld_units").set(units as f64);
    gauge!("stockade_inventory_listings").set(app.index.listings() as f64);
    gauge!("stockade_inventory_units").set(app.index.units() as f64);
    gauge!("stockade_inventory_staleness_seconds").set(app.freshness().1 as f64 / 1_000.0);
    gauge!("stockade_inventory_shows_picture").set(f64::from(u8::from(app.shown.is_some())));
    if let Some(age_ms) = app.picture_age_ms() {
        gauge!("stockade_inventory_picture_age_seconds").set(age_ms as f64 / 1_000.0);
    }
    let applied_ms = app.overlay.applied_ms();
    if applied_ms > 0 {
        let age_ms = (app.now().ms() - applied_ms).max(0);
        gauge!("stockade_inventory_overlay_age_seconds").set(age_ms as f64 / 1_000.0);
    }
}
