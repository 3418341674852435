//! How far behind this process is: how long the oldest record has waited for each fold that lock-outs and answers depend on. It
//! moves the ladder of what is put off, one for the process and one for each partition of suppliers, and tells how fast a
//! partition that is behind goes through what it has.
//!
//! | metric | labels | what it says |
//! |---|---|---|
//! | `stockade_fold_waits_seconds` | | how long the oldest record has waited for a fold of this process |

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::Result;
use stockade_fold::Board;
use stockade_inventory::app::{App, OVERLAY};
use stockade_log::SharedLog;
use stockade_runtime::{Brownout, Ladder, Shutdown, http::Readiness};
use tokio::time::{Instant, MissedTickBehavior};

use super::progress::Watched;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A partition is behind, and suppliers are held back to their shares of it, when its oldest record has waited for this long.
const BEHIND_MS: u64 = 250;
/// How often suppliers whose share is whole again are forgotten.
const FORGET: Duration = Duration::from_secs(1);
/// Ends of a partition that are remembered: a wait is known to be at least as long as these go back.
const ENDS_MAX: usize = 1_200;

/// Folds whose lag holds up lock-outs or answers. Others may take their time.
const HURRIED: [&str; 6] = ["inventory", "intake", "scoring", "evaluation", "arbiter", OVERLAY];

/// How long the oldest record of a partition has waited. The time in records does not say: a partition that was quiet for an hour
/// and gets one record would look an hour behind.
#[derive(Default)]
struct Wait {
    /// When the log was first seen to end where, oldest first, as far as what was not applied then.
    ends: VecDeque<(u64, u64)>,
}

impl Wait {
    /// For how many milliseconds, where the log ends at `end` and everything before `next` is applied.
    fn look(&mut self, now_ms: u64, end: u64, next: u64) -> u64 {
        while self.ends.front().is_some_and(|(_, end)| *end <= next) {
            self.ends.pop_front();
        }
        if end > next && self.ends.back().is_none_or(|(_, last)| *last < end) {
            if self.ends.len() >= ENDS_MAX {
                // The newest goes: what it stood for is found again when it is the oldest.
                self.ends.pop_back();
            }
            self.ends.push_back((now_ms, end));
        }
        self.ends.front().map_or(0, |(since, _)| now_ms.saturating_sub(*since))
    }
}

/// One partition of a fold that is watched.
struct Place {
    of: Watched,
    partition: u32,
    wait: Wait,
}

/// How long records wait: at most, and at most in each partition of suppliers.
struct Seen {
    process_ms: u64,
    partitions_ms: Vec<u64>,
    /// The same of the inventory fold alone.
    inventory_ms: Vec<u64>,
    /// What order events wait for wherever they go: intake, what all partitions share, and the partition that waits least.
    events_ms: u64,
}

impl Place {
    /// Whether it is this process that has to go through it: everybody follows the inventory, other folds have one owner.
    fn is_ours(&self, board: &Board) -> bool {
        let name = self.of.name();
        matches!(name, "inventory" | OVERLAY) || board.owns(name, self.partition)
    }
}

fn look(places: &mut [Place], now_ms: u64, partitions: u32, log: &SharedLog, board: &Board) -> Seen {
    let none = vec![0; partitions as usize];
    let mut seen = Seen { process_ms: 0, partitions_ms: none.clone(), inventory_ms: none, events_ms: 0 };
    let mut of_all_ms = 0;
    for place in places {
        let (name, partition) = (place.of.name(), place.partition);
        if !place.is_ours(board) {
            place.wait = Wait::default();
            continue;
        }
        let end = log.horizon(place.of.input().name(), partition).end;
        let waited_ms = place.wait.look(now_ms, end, board.progress(name, partition).next);
        seen.process_ms = seen.process_ms.max(waited_ms);
        // Partitions of these three are those of suppliers, in the same order.
        match (name, seen.partitions_ms.get_mut(partition as usize)) {
            ("inventory" | "scoring" | "evaluation", Some(partition_ms)) => {
                *partition_ms = waited_ms.max(*partition_ms);
            }
            // Buyers' partitions are no suppliers'.
            ("intake", _) => seen.events_ms = waited_ms.max(seen.events_ms),
            // One partition for everybody.
            _ => of_all_ms = of_all_ms.max(waited_ms),
        }
        if let ("inventory", Some(inventory_ms)) = (name, seen.inventory_ms.get_mut(partition as usize)) {
            *inventory_ms = waited_ms;
        }
    }
    for partition_ms in &mut seen.partitions_ms {
        *partition_ms = of_all_ms.max(*partition_ms);
    }
    let least_ms = seen.partitions_ms.iter().copied().min().unwrap_or(of_all_ms);
    seen.events_ms = seen.events_ms.max(least_ms);
    seen
}

/// What is looked at, and who is told.
pub(super) struct Pressure {
    pub(super) watched: Arc<[Watched]>,
    pub(super) log: SharedLog,
    pub(super) partitions: u32,
    pub(super) board: Board,
    pub(super) brownout: Brownout,
    pub(super) app: Option<Arc<App>>,
    /// Until it has caught up nothing is behind: what is read at a start has waited for no fold of this process.
    pub(super) readiness: Readiness,
}

/// Looks, and tells, until `shutdown`.
pub(super) async fn watch(of: Pressure, shutdown: Shutdown) -> Result<()> {
    let Pressure { watched, log, partitions, board, brownout, app, readiness } = of;
    let hurried = watched.iter().filter(|of| HURRIED.contains(&of.name()));
    let mut places: Vec<Place> = hurried
        .flat_map(|of| {
            let place = |partition| Place { of: *of, partition, wait: Wait::default() };
            (0..of.input().partitions(partitions)).map(place).collect::<Vec<_>>()
        })
        .collect();
    let (mut process, mut events) = (brownout.ladder(), brownout.ladder());
    let mut ladders: Vec<Ladder> = (0..partitions).map(|_| brownout.ladder()).collect();
    let mut meters = vec![stockade_inventory::fairness::Meter::default(); partitions as usize];
    let gauge = metrics::gauge!("stockade_fold_waits_seconds");
    let (begun, mut last, mut forgotten) = (Instant::now(), Instant::now(), Instant::now());
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        tokio::select! {
            biased;
            () = &mut end => return Ok(()),
            _ = looks.tick() => {}
        }
        if readiness().is_err() {
            continue;
        }
        let now = Instant::now();
        let (now_ms, elapsed) = ((now - begun).as_millis() as u64, now - last);
        last = now;
        let seen = look(&mut places, now_ms, partitions, &log, &board);
        gauge.set(seen.process_ms as f64 / 1_000.0);
        let rungs = ladders.iter_mut().zip(&seen.partitions_ms).map(|(ladder, ms)| ladder.look(*ms, now_ms));
        let rungs: Vec<_> = rungs.collect();
        let before = brownout.rung();
        brownout.set(process.look(seen.process_ms, now_ms), events.look(seen.events_ms, now_ms), rungs);
        if brownout.rung() != before {
            tracing::warn!(?before, now = ?brownout.rung(), behind_ms = seen.process_ms, "what is put off has changed");
        }
        let Some(fairness) = app.as_ref().map(|app| &app.gate_of_edge.fairness) else { continue };
        for ((partition, meter), waited_ms) in (0..).zip(&mut meters).zip(&seen.inventory_ms) {
            let rate = meter.look(fairness.drained_so_far(partition), *waited_ms >= BEHIND_MS, elapsed);
            fairness.set_rate(partition, rate);
        }
        if now - forgotten >= FORGET {
            forgotten = now;
            fairness.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_that_of_the_oldest_record_that_is_not_applied() {
        let mut wait = Wait::default();
        assert_eq!(wait.look(0, 10, 10), 0);
        assert_eq!(wait.look(3_600_000, 11, 10), 0, "however long it was quiet before");
        assert_eq!(wait.look(3_600_100, 20, 10), 100);
        assert_eq!(wait.look(3_600_200, 30, 11), 100, "the first is applied; the next came at 100");
        assert_eq!(wait.look(3_600_300, 30, 29), 100, "and the last at 200");
        assert_eq!(wait.look(3_600_400, 30, 30), 0);
        assert_eq!(wait.look(3_600_500, 30, 30), 0);
        for ms in 0..10_000_u64 {
            assert_eq!(wait.look(4_000_000 + ms, 31 + ms, 30), ms, "it stands still");
        }
        assert!(wait.ends.len() <= ENDS_MAX);
    }
}
