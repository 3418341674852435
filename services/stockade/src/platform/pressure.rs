//! How far behind this process is: how long the oldest record has waited for each fold that lock-outs and answers depend on. It
//! moves the ladder of what is put off, one for the process and one for each partition of suppliers, and tells how fast a
//! partition that is behind goes through what it has, and how many order events wait for intake.
//!
//! | metric | labels | what it says |
//! |---|---|---|
//! | `stockade_fold_waits_seconds` | | how long the oldest record has waited for a fold of this process |

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::Result;
use stockade_fold::Board;
use stockade_inventory::{
    app::{App, OVERLAY},
    edge::Gatekeeper,
    fairness::Meter,
};
use stockade_log::{Horizon, SharedLog};
use stockade_model::Topic;
use stockade_runtime::{Brownout, Ladder, Shutdown, http::Readiness};
use tokio::time::{Instant, MissedTickBehavior};

use super::progress::Watched;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A partition is behind, and suppliers and order systems are held back to their shares of it, when its oldest record has waited for this long.
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
    /// Where the log ended when this process was first seen to go through the partition. What was there before is not counted: how
    /// far a fold is, it says only once it is restored.
    from: Option<u64>,
}

/// How long records wait: at most, and at most in each partition of suppliers.
struct Seen {
    process_ms: u64,
    partitions_ms: Vec<u64>,
    /// The same of the inventory fold alone.
    inventory_ms: Vec<u64>,
    /// Of scoring alone.
    scoring_ms: Vec<u64>,
    /// Of what intake reads.
    inbox_ms: Vec<u64>,
    /// How far intake is in each partition, at least; 0 where it does not go through it here.
    inbox_done: Vec<u64>,
    /// Order events that intake has not gone through, of the partitions that it has here; none where it has none.
    events_waiting: Option<u64>,
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
    let no_inbox = vec![0; Topic::EventsInbox.partitions(partitions) as usize];
    let mut seen = Seen {
        process_ms: 0,
        partitions_ms: none.clone(),
        inventory_ms: none.clone(),
        scoring_ms: none,
        inbox_ms: no_inbox.clone(),
        inbox_done: no_inbox,
        events_waiting: None,
        events_ms: 0,
    };
    let mut of_all_ms = 0;
    for place in places {
        let (name, partition) = (place.of.name(), place.partition);
        if !place.is_ours(board) {
            (place.wait, place.from) = (Wait::default(), None);
            continue;
        }
        let Horizon { end, heard_ms } = log.horizon(place.of.input().name(), partition);
        let next = board.progress(name, partition).next;
        let waited_ms = place.wait.look(now_ms, end, next);
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
        let alone = match name {
            "inventory" => seen.inventory_ms.get_mut(partition as usize),
            "scoring" => seen.scoring_ms.get_mut(partition as usize),
            "intake" if heard_ms > 0 => {
                let done = next.max(*place.from.get_or_insert(end));
                *seen.events_waiting.get_or_insert(0) += end.saturating_sub(done);
                if let Some(inbox_done) = seen.inbox_done.get_mut(partition as usize) {
                    *inbox_done = done;
                }
                seen.inbox_ms.get_mut(partition as usize)
            }
            _ => None,
        };
        if let Some(alone_ms) = alone {
            *alone_ms = waited_ms;
        }
    }
    for partition_ms in &mut seen.partitions_ms {
        *partition_ms = of_all_ms.max(*partition_ms);
    }
    let least_ms = seen.partitions_ms.iter().copied().min().unwrap_or(of_all_ms);
    seen.events_ms = seen.events_ms.max(least_ms);
    seen
}

/// Measures what each partition goes through while it is behind, and tells the edge.
struct Gauges {
    /// Rows that the inventory fold decides.
    inventory: Vec<Meter>,
    /// Records that scoring goes through.
    scoring: Vec<Meter>,
    /// Events that intake goes through, by partition.
    inboxes: Vec<Meter>,
    /// How far intake was in each when it was last looked, 0 where it was not here.
    inboxes_before: Vec<u64>,
    /// Events that intake went through since the beginning, and how fast, all partitions together.
    gone_through: u64,
    intake: Meter,
}

impl Gauges {
    fn new(partitions: u32) -> Self {
        let of_suppliers = vec![Meter::default(); partitions as usize];
        let inboxes = vec![Meter::default(); Topic::EventsInbox.partitions(partitions) as usize];
        Self {
            inventory: of_suppliers.clone(),
            scoring: of_suppliers,
            inboxes_before: vec![0; inboxes.len()],
            inboxes,
            gone_through: 0,
            intake: Meter::default(),
        }
    }

    fn tell(&mut self, seen: &Seen, board: &Board, gate: &Gatekeeper, elapsed: Duration) {
        let fairness = &gate.fairness;
        let is_behind = |waited_ms: u64| waited_ms >= BEHIND_MS;
        let mut suppliers = Vec::with_capacity(self.inventory.len());
        for ((partition, meter), waited_ms) in (0..).zip(&mut self.inventory).zip(&seen.inventory_ms) {
            let rate = meter.look(fairness.drained_so_far(partition), is_behind(*waited_ms), elapsed);
            fairness.set_rate(partition, rate);
            suppliers.push(rate);
        }
        // Order events go through scoring too, and the slower of the two says what there is to share. A batch of a supplier is one
        // record there, so the rate may look low; the least that a key may always send is for that.
        let scoring = (0..).zip(&mut self.scoring).zip(&seen.scoring_ms).zip(&mut suppliers);
        for (((partition, meter), waited_ms), rate) in scoring {
            let next = board.progress("scoring", partition).next;
            let scored = meter.look(next, is_behind(*waited_ms), elapsed);
            *rate = rate.map_or(scored, |rate| Some(scored.map_or(rate, |scored| scored.min(rate))));
        }
        let mut inboxes = Vec::with_capacity(self.inboxes.len());
        for ((meter, done), waited_ms) in self.inboxes.iter_mut().zip(&seen.inbox_done).zip(&seen.inbox_ms) {
            inboxes.push(meter.look(*done, is_behind(*waited_ms), elapsed));
        }
        gate.events.set_rates(&inboxes, &suppliers);
        for (before, done) in self.inboxes_before.iter_mut().zip(&seen.inbox_done) {
            // A partition that came from another process was gone through there.
            if *before > 0 {
                self.gone_through += done.saturating_sub(*before);
            }
            *before = *done;
        }
        let any_behind = seen.inbox_ms.iter().any(|waited_ms| is_behind(*waited_ms));
        let per_s = self.intake.look(self.gone_through, any_behind, elapsed);
        match seen.events_waiting {
            Some(waiting) => gate.events.set_waiting(waiting, per_s),
            None => gate.events.set_unwatched(),
        }
    }
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
            let place = |partition| Place { of: *of, partition, wait: Wait::default(), from: None };
            (0..of.input().partitions(partitions)).map(place).collect::<Vec<_>>()
        })
        .collect();
    let (mut process, mut events) = (brownout.ladder(), brownout.ladder());
    let mut ladders: Vec<Ladder> = (0..partitions).map(|_| brownout.ladder()).collect();
    let mut gauges = Gauges::new(partitions);
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
        let gate = app.as_ref().map(|app| &app.gate_of_edge);
        if readiness().is_err() {
            // What was taken since the last look would add up otherwise, and be too much one day.
            if let Some(gate) = gate {
                gate.events.set_unwatched();
            }
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
        let Some(gate) = gate else { continue };
        gauges.tell(&seen, &board, gate, elapsed);
        if now - forgotten >= FORGET {
            forgotten = now;
            gate.fairness.forget();
            gate.events.forget();
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

    #[test]
    fn what_lags_holds_order_systems_back_there_and_suppliers_only_where_the_inventory_lags() {
        use stockade_fold::Progress;
        use stockade_inventory::storm::Way;
        let (gate, board) = (Gatekeeper::new(Brownout::default(), 2, 0), Board::default());
        let mut gauges = Gauges::new(2);
        let mut seen = Seen {
            process_ms: 0,
            partitions_ms: vec![0; 2],
            inventory_ms: vec![0; 2],
            scoring_ms: vec![BEHIND_MS, BEHIND_MS - 1],
            inbox_ms: vec![0; 2],
            inbox_done: vec![1_000; 2],
            events_waiting: Some(0),
            events_ms: 0,
        };
        let mut look = |seen: &mut Seen, looks: u64| {
            for look in 1..=looks {
                board.report("scoring", 0, Progress { next: 400 * look, ..Progress::default() });
                seen.inbox_done[0] += 400;
                gauges.tell(seen, &board, &gate, Duration::from_secs(1));
            }
        };
        let taken = |inbox, supplier| {
            let sent = vec![Some(Way { inbox, supplier }); 1_000];
            let first = gate.events.hold("key", &sent).iter().all(Option::is_none);
            first && gate.events.hold("key", &sent).iter().all(Option::is_none)
        };
        look(&mut seen, 3);
        assert!(!taken(0, 0), "scoring of this partition is behind");
        assert!(taken(0, 1), "and of this one it is not");
        let (supplier, rows) = (stockade_model::SupplierId::new("acme").unwrap(), 1_000_000);
        assert!(
            (0..2).all(|_| gate.fairness.take(0, &(&supplier).into(), rows).is_ok()),
            "suppliers do not wait for it"
        );

        (seen.scoring_ms, seen.inbox_ms) = (vec![0; 2], vec![BEHIND_MS, 0]);
        look(&mut seen, 3);
        assert!(!taken(0, 1), "intake of this partition is behind");
        assert!(taken(1, 0), "and of this one it is not");
        // What it went through in a second when it was behind may wait, and at least 5000.
        seen.events_waiting = Some(4_999);
        look(&mut seen, 1);
        assert!(gate.events.has_room());
        seen.events_waiting = Some(5_000);
        look(&mut seen, 1);
        assert!(!gate.events.has_room());
        (seen.inbox_ms, seen.events_waiting) = (vec![0; 2], None);
        look(&mut seen, 1);
        assert!(taken(0, 0) && gate.events.has_room(), "intake is not here any more");
    }
}
