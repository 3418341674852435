//! How far the folds of this process are, and whether any of their partitions stands still.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use stockade_fold::{Board, Spec, Stall};
use stockade_inventory::app::OVERLAY;
use stockade_log::{LogError, SharedLog};
use stockade_model::Topic;
use stockade_runtime::Shutdown;
use tokio::time::Instant;

/// How often partitions are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A partition that stands still for this long is written to the log, once until it moves again. An owner flushes twice a
/// second; one that takes over may have to wait for a transaction time-out and a restore before it does.
const STALLED_MS: i64 = 30_000;

/// For how many milliseconds each partition of each fold has stood still, as it was last looked at.
pub(super) type Stalls = Arc<Mutex<BTreeMap<(&'static str, u32), i64>>>;

/// Something that goes through a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    name: &'static str,
    input: Topic,
    /// Whether it has an owner that commits; what only follows is as far as it says it is.
    commits: bool,
}

impl Watched {
    pub(super) fn fold(spec: &Spec) -> Self {
        Self { name: spec.name, input: spec.input, commits: true }
    }
    /// A fold that only follows: nobody commits.
    pub(super) fn follower(spec: &Spec) -> Self {
        Self { commits: false, ..Self::fold(spec) }
    }
    pub(super) fn overlay() -> Self {
        Self { name: OVERLAY, input: Topic::LockoutDecisions, commits: false }
    }
    pub(super) fn name(&self) -> &'static str {
        self.name
    }
    pub(super) fn input(&self) -> Topic {
        self.input
    }
    /// Everything before this offset is committed, by whichever process; none for what commits nothing.
    pub(super) fn committed(&self, partition: u32, log: &SharedLog) -> Result<Option<u64>, LogError> {
        if self.commits { log.flushed(self.name, partition).map(Some) } else { Ok(None) }
    }
    /// Everything before this offset is done, by whichever process does it.
    fn done(&self, partition: u32, log: &SharedLog, board: &Board) -> Result<u64, LogError> {
        if self.commits {
            log.flushed(self.name, partition)
        } else {
            Ok(board.progress(self.name, partition).next)
        }
    }
}

/// `stockade_fold_lag_records`: records that this process has not applied yet, all partitions of a fold together.
pub(super) fn refresh_lag(watched: &[Watched], board: &Board, log: &SharedLog) {
    let inputs: FxHashMap<&str, Topic> = watched.iter().map(|of| (of.name, of.input)).collect();
    let mut lag: FxHashMap<&'static str, u64> = FxHashMap::default();
    for (fold, partition, progress) in board.all() {
        let Some(input) = inputs.get(fold) else { continue };
        let end = log.horizon(input.name(), partition).end;
        *lag.entry(fold).or_insert(0) += end.saturating_sub(progress.next);
    }
    for (fold, records) in lag {
        metrics::gauge!("stockade_fold_lag_records", "fold" => fold).set(records as f64);
    }
}

/// One partition of something watched.
struct Place {
    of: Watched,
    partition: u32,
    stall: Stall,
    gauge: metrics::Gauge,
    /// That it stands still has been said.
    said: bool,
}

impl Place {
    fn new(of: Watched, partition: u32) -> Self {
        // Folds and their partitions are few and fixed, so both may be labels.
        let gauge = metrics::gauge!(
            "stockade_fold_stalled_seconds", "fold" => of.name, "partition" => partition.to_string()
        );
        Self { of, partition, stall: Stall::new(0), gauge, said: false }
    }

    /// For how many milliseconds it has stood still at `now_ms`.
    fn look(&mut self, now_ms: i64, log: &SharedLog, board: &Board) -> Result<i64, LogError> {
        let (fold, partition) = (self.of.name, self.partition);
        let end = log.horizon(self.of.input.name(), partition).end;
        let done = self.of.done(partition, log, board)?;
        let stalled_ms = self.stall.look(now_ms, end, done);
        self.gauge.set(stalled_ms as f64 / 1_000.0);
        match (stalled_ms >= STALLED_MS, std::mem::replace(&mut self.said, stalled_ms >= STALLED_MS)) {
            (true, false) => tracing::error!(
                fold,
                partition,
                done,
                end,
                "a partition stands still: its input moves and nobody commits; look for the process that owns it and what it says, and restart it"
            ),
            (false, true) => tracing::info!(fold, partition, done, "the partition moves again"),
            _ => {}
        }
        Ok(stalled_ms)
    }
}

/// Keeps `stockade_fold_stalled_seconds` for every partition of what runs here, whoever owns it: for how long there has been
/// input of which nothing was committed.
pub(super) async fn watch(
    watched: Arc<[Watched]>,
    log: SharedLog,
    partitions: u32,
    board: Board,
    stalls: Stalls,
    shutdown: Shutdown,
) -> Result<()> {
    let mut places: Vec<Place> = watched
        .iter()
        .flat_map(|of| (0..of.input.partitions(partitions)).map(|partition| Place::new(*of, partition)))
        .collect();
    let begun = Instant::now();
    let mut looks = tokio::time::interval(LOOK);
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        tokio::select! {
            biased;
            () = &mut end => return Ok(()),
            _ = looks.tick() => {}
        }
        let now_ms = begun.elapsed().as_millis() as i64;
        let (log, board, stalls) = (log.clone(), board.clone(), stalls.clone());
        // The embedded log asks its disk what was committed.
        let look = move || {
            for place in &mut places {
                match place.look(now_ms, &log, &board) {
                    Ok(stalled_ms) => {
                        stalls.lock().insert((place.of.name, place.partition), stalled_ms);
                    }
                    Err(error) => {
                        tracing::debug!(fold = place.of.name, place.partition, %error, "it is looked at again");
                    }
                }
            }
            places
        };
        places = tokio::task::spawn_blocking(look).await?;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use stockade_fold::Progress;
    use stockade_log::{Ack, Commit, Event, Memory, MemoryDisk, Mode, NewRecord, ReadLimit, Role, Route};
    use stockade_model::Timestamp;

    use super::*;
    use crate::platform::topic_spec;

    #[test]
    fn a_partition_that_its_owner_elsewhere_does_not_go_through_is_seen_here_and_so_is_a_standing_overlay() {
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), Arc::new(|| 0)).unwrap());
        for topic in [Topic::EventsInbox, Topic::LockoutDecisions] {
            log.ensure_topic(&topic_spec(topic, 2)).unwrap();
        }
        let (inbox, decisions) = (Topic::EventsInbox.name(), Topic::LockoutDecisions.name());
        let mut owner = log.join("intake", inbox, Mode::Owned).unwrap();
        let Some(Event::Assigned { partition: 0, role: Role::Owner(epoch) }) =
            owner.try_next(ReadLimit::default()).unwrap()
        else {
            panic!("the only member owns everything");
        };
        let board = Board::default();
        let watched = Watched { name: "intake", input: Topic::EventsInbox, commits: true };
        let mut intake = [0, 1].map(|partition| Place::new(watched, partition));
        let mut overlay = Place::new(Watched::overlay(), 0);
        let mut look = |now_ms| {
            let [first, second] = &mut intake;
            [first, second, &mut overlay].map(|place| place.look(now_ms, &log, &board).unwrap())
        };
        assert_eq!(look(1_000), [0, 0, 0]);
        for topic in [inbox, decisions] {
            let (route, headers) = (Route::Partition(0), Vec::new());
            let record = NewRecord { topic, route, key: Bytes::new(), headers, value: Bytes::new() };
            log.append(vec![record], Ack::Ordered).wait().unwrap();
        }
        assert_eq!(look(2_000), [1_000, 0, 1_000]);
        assert_eq!(look(90_000), [89_000, 0, 89_000]);
        let commit = Commit {
            group: "intake",
            partition: 0,
            epoch,
            next_offset: 1,
            row: Bytes::new(),
            rows: Vec::new(),
        };
        log.commit(commit).wait().unwrap();
        assert_eq!(look(91_000), [0, 0, 90_000]);
        board.report(OVERLAY, 0, Progress { next: 1, clock: Timestamp::default() });
        assert_eq!(look(92_000), [0, 0, 0]);
    }
}
