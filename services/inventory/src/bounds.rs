//! How much one supplier may have. Every listing and location stays in memory wherever buyers are answered and folds run, so that
//! somebody who goes on creating them within its rate would fill every process in days.
//!
//! It is judged where a row comes in, by what this replica knows: what is under way is not counted, so a few rows more may pass. Nothing
//! that exists is touched: it may be changed, and withdrawn, however many there are, also after the bounds have become smaller.

use std::collections::HashSet;

use axum::http::StatusCode;
use stockade_model::{Row, RowOutcome, RowStatus, SupplierId};
use stockade_runtime::{Problem, Trust};

use crate::app::App;

/// The bounds of one supplier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Listings on the market of a supplier that is trusted.
    pub listings_max: u64,
    /// The same of one that is new or under suspicion.
    pub new_listings_max: u64,
    /// Locations.
    pub locations_max: u64,
}

impl Default for Bounds {
    /// Large catalogues have a million; whoever moves in with one is registered with when it began to trade, and is not new.
    fn default() -> Self {
        Self { listings_max: 2_000_000, new_listings_max: 100_000, locations_max: 10_000 }
    }
}

impl Bounds {
    fn listings_of(&self, trust: Trust) -> u64 {
        match trust {
            Trust::Trusted => self.listings_max,
            Trust::New | Trust::Suspect => self.new_listings_max,
        }
    }
}

/// So many times as many listings as may be on the market are kept with those withdrawn. They free their places, but are remembered
/// for their orders and sequences, so that putting and withdrawing in turn would fill memory as well.
const KEPT: u64 = 5;

/// Why there is no room for a row.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl Full {
    /// For a row that was sent alone.
    pub(crate) fn problem(self) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, self.code, self.detail)
    }

    /// For a row among others.
    pub(crate) fn outcome(self, place: usize, subject: &str) -> RowOutcome {
        RowOutcome::refused(place, subject, RowStatus::Invalid, self.code, self.detail)
    }
}

/// The room that a supplier has for the rows of one request.
pub(crate) struct Room<'a> {
    app: &'a App,
    supplier: &'a SupplierId,
    listings_max: u64,
    on_market: u64,
    kept: u64,
    locations_max: u64,
    /// Whether the rows may be more than there is room for, so that each has to be looked at.
    is_near: bool,
    /// Listings that rows before bring to the market.
    counted: HashSet<String>,
}

impl App {
    /// The room that a supplier has for so many rows.
    pub(crate) fn room_for<'a>(&'a self, supplier: &'a SupplierId, rows: usize) -> Room<'a> {
        let bounds = self.gate_of_edge.bounds();
        let listings_max = bounds.listings_of(self.trust_of(supplier));
        let (on_market, kept) = self.index.listings_kept(supplier);
        let rows = rows as u64;
        let is_near = on_market + rows > listings_max || kept + rows > listings_max.saturating_mul(KEPT);
        let (counted, locations_max) = (HashSet::new(), bounds.locations_max);
        Room { app: self, supplier, listings_max, on_market, kept, locations_max, is_near, counted }
    }
}

impl Room<'_> {
    /// Takes the place that a row needs.
    pub(crate) fn takes(&mut self, row: &Row) -> Result<(), Full> {
        let full = match row {
            Row::Put(put) if self.is_near => {
                if self.counted.contains(put.listing.as_str()) {
                    return Ok(());
                }
                let max = self.listings_max;
                if let Some(known) = self.app.own_listing(self.supplier, &put.listing) {
                    if known.withdrawn {
                        self.on_market += 1;
                        self.counted.insert(put.listing.to_string());
                    }
                    return Ok(());
                } else if self.on_market >= max {
                    let detail = format!(
                        "{max} listings are allowed and {} are on the market; withdrawn listings free places, and those that exist can be changed",
                        self.on_market
                    );
                    Full { code: "too_many_listings", detail }
                } else if self.kept >= max.saturating_mul(KEPT) {
                    let detail = format!(
                        "{max} listings are allowed, and {} are kept with those withdrawn; put one of these again under its own name",
                        self.kept
                    );
                    Full { code: "too_many_listings", detail }
                } else {
                    (self.on_market, self.kept) = (self.on_market + 1, self.kept + 1);
                    self.counted.insert(put.listing.to_string());
                    return Ok(());
                }
            }
            Row::Location(put) => {
                let max = self.locations_max;
                let (held, exists) = self.app.locations_held(self.supplier, &put.location);
                if exists || held < max {
                    return Ok(());
                }
                let detail = format!("{max} locations are allowed; change one that exists");
                Full { code: "too_many_locations", detail }
            }
            _ => return Ok(()),
        };
        crate::metrics::beyond_bounds();
        Err(full)
    }
}
