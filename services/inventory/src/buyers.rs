//! What one buyer's key may have at once, so that none empties the shelves without buying, or takes the connections of all.
//!
//! Units of one listing are counted by its fold, exactly. How many holds a key has open is counted at the edge, by what this replica
//! knows: of requests that are under way at once a few more may pass than the bound says.

use axum::http::{StatusCode, header};
use parking_lot::RwLock;
use stockade_model::{Command, HoldBound, Timestamp, time::SECOND_MS};
use stockade_runtime::Problem;

use crate::{
    app::{App, Submitted},
    changes::STREAMS_OF_ONE_MAX,
    domain::holds,
    fairness::share_used,
};

/// What one buyer's key may have at once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuyersConfig {
    /// Reservations that were neither confirmed nor given back and have not lapsed; each line of a basket is one. A shop whose customers
    /// all reserve with one key needs as many as it has checkouts under way.
    pub open_holds_max: usize,
    /// Of the units that one listing has on hand, in percent: what a key may hold without confirming. With 100 it may hold all.
    pub held_percent_max: u8,
    /// Units of one listing that it may hold without confirming however few there are.
    pub held_units_min: u32,
    /// Streams of changes; never more than one key may keep connections (`http.connections.per_key_max_percent`), whatever is said
    /// here.
    pub streams_max: usize,
}

impl Default for BuyersConfig {
    /// Four fifths of a shelf: a shop that sells through one key meets it in a rush only, and who buys the whole of it confirms
    /// as it goes, while somebody else still gets some; ten units, for a part of few is too few.
    fn default() -> Self {
        Self {
            open_holds_max: 10_000,
            held_percent_max: 80,
            held_units_min: 10,
            streams_max: STREAMS_OF_ONE_MAX,
        }
    }
}

impl BuyersConfig {
    /// What is wrong with it, by name.
    pub fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !(1..=1_000_000).contains(&self.open_holds_max) {
            wrong.push("open_holds_max must be 1 to 1000000".to_owned());
        }
        if self.held_percent_max > 100 {
            wrong.push("held_percent_max must be 0 to 100".to_owned());
        }
        if self.held_units_min == 0 {
            wrong.push("held_units_min must be 1 or more: else nobody could hold the last unit".to_owned());
        }
        if !(1..=1_000_000).contains(&self.streams_max) {
            wrong.push("streams_max must be 1 to 1000000".to_owned());
        }
        wrong
    }

    /// The same where one key may keep so many connections: a stream on one beyond that would be cut soon.
    #[must_use]
    pub fn within(self, connections_of_a_key: usize) -> Self {
        Self { streams_max: self.streams_max.min(connections_of_a_key.max(1)), ..self }
    }

    fn bound(&self) -> HoldBound {
        HoldBound { percent: self.held_percent_max, units: self.held_units_min.into() }
    }
}

/// What is in force.
#[derive(Default)]
pub(crate) struct Buyers(RwLock<BuyersConfig>);

/// A key has as many reservations open as it may.
fn too_many_holds(open: usize, max: usize, first: Option<Timestamp>, now: Timestamp) -> Problem {
    crate::metrics::hold_refused("holds");
    let wait_s = first.map_or(1, |first| (first.ms() - now.ms()) / SECOND_MS + 1).clamp(1, 3_600);
    let detail = format!(
        "you hold {open} reservations that are not confirmed, and {max} are as many as one key may; confirm or give back some, or wait {wait_s} s until the first lapses"
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_holds", detail)
        .with_header(header::RETRY_AFTER, wait_s.to_string())
}

impl App {
    /// Puts in force what one buyer's key may have at once. What it has already it keeps.
    pub fn set_buyers(&self, config: BuyersConfig) {
        self.changes.set_of_one_max(config.streams_max);
        *self.buyers.0.write() = config;
    }

    /// What is in force.
    pub fn buyers_in_force(&self) -> BuyersConfig {
        self.buyers.0.read().clone()
    }

    /// The same, before anybody asks.
    #[must_use]
    pub fn with_buyers(self, config: BuyersConfig) -> Self {
        self.set_buyers(config);
        self
    }

    /// What a hold that is asked for now is bound by.
    pub(crate) fn hold_bound(&self) -> HoldBound {
        self.buyers.0.read().bound()
    }

    /// Whether a key may hold `more` reservations, by what this replica knows of it: an approximate count, see the module.
    pub(crate) fn may_hold(&self, owner: &str, more: usize) -> Result<(), Problem> {
        let max = self.buyers.0.read().open_holds_max;
        let (open, first) = self.reservations.open_of(owner);
        if open.saturating_add(more) <= max {
            return Ok(());
        }
        Err(too_many_holds(open, max, first, self.now()))
    }

    /// Submits what a buyer asks of a supplier's stock. While the partition is behind, holds are taken from the buyer's share of it;
    /// confirmations and what is given back never are, for both end what others wait for.
    pub(crate) async fn submit_of_buyer(
        &self,
        command: Command,
        traceparent: Option<String>,
    ) -> Result<Submitted, Problem> {
        let partition = self.partition_of(&command.supplier);
        let held = holds(&command.rows);
        let fairness = &self.gate_of_edge.fairness;
        if let Some((owner, rows)) = &held {
            fairness.take(partition, &(partition, owner.as_str()).into(), *rows).map_err(share_used)?;
        }
        let submitted = self.submit(command, traceparent).await;
        if let (Some((owner, rows)), Err(_)) = (&held, &submitted) {
            fairness.give_back(partition, &(partition, owner.as_str()).into(), *rows);
        }
        submitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_by_name_and_a_quarter_of_the_connections_is_the_most() {
        assert!(BuyersConfig::default().problems().is_empty());
        let wrong =
            BuyersConfig { open_holds_max: 0, held_percent_max: 101, held_units_min: 0, streams_max: 0 };
        let problems = wrong.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        let streams = |connections| BuyersConfig::default().within(connections).streams_max;
        assert_eq!((streams(4_096), streams(100), streams(0)), (500, 100, 1));
    }

    #[test]
    fn a_part_of_a_shelf_is_the_most_and_ten_units_are_always_to_be_had() {
        let bound = BuyersConfig { held_percent_max: 50, ..BuyersConfig::default() }.bound();
        let most = [0, 7, 20, 21, 22, 1_000].map(|on_hand| bound.most(on_hand));
        assert_eq!(most, [10, 10, 10, 10, 11, 500]);
        assert_eq!(bound.most(i64::MAX), i64::MAX / 2);
        assert_eq!(bound.most(-5), 10);
    }
}
