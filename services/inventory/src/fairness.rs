//! Fairness before the append: while a partition is behind, no supplier sends it more than a quarter of what it goes through, and no
//! order system either (see [`crate::storm`]).
//!
//! A log is in order, so whatever one supplier has put into its partition everybody behind it waits for, and nothing can be put
//! off or taken out of turn any more. Therefore it is held back before. What a partition goes through is measured where it is
//! seen, in rows that the inventory fold has decided, and only while there is more to do than is done: otherwise the measure
//! would be of what is sent. A partition that is not behind holds nobody back, however much one sends.
//!
//! It holds for everything a supplier sends: single rows, batches, and the rows of imports, which wait instead of being refused. What buyers
//! reserve of it is taken from shares of theirs: of each partition that is behind, a key of a buyer has a quarter for what it asks to be
//! held, or a few keys could push a partition's honest suppliers up the ladder of what is put off. It does not hold for
//! what order systems say, nor for withdrawals and reductions, nor for what is confirmed or given back: an attacker could otherwise use up the share
//! of somebody else, or keep goods on show that are gone. Each process holds back by itself, but counts by the log: every process sees
//! every partition, so rows that came in through another one are taken from the same share when they are decided. A supplier that spreads its
//! writes over several has a quarter all the same. What is owed is remembered in rows and paid off at the rate of the moment, in full up to
//! the largest batch: otherwise one batch after the other would be more than a quarter of a slow partition. So nobody is held back for
//! more than twenty seconds at a time, or for as long as the largest batch takes where that is longer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use axum::http::{StatusCode, header};
use dashmap::DashMap;
use stockade_model::{SupplierId, inventory::ROWS_MAX};
use stockade_runtime::Problem;

/// The part of a partition's rate that one sender may have.
const PART: f64 = 4.0;
/// Rows a second that a partition is taken to go through at least: one that stands still lets each sender try now and then.
const LEAST_PER_S: f64 = 40.0;
/// How much a look counts against those before it.
const WEIGHT: f64 = 0.3;

/// A rate is of a second at least: what the fold has decided is told in lumps.
const MEASURED: Duration = Duration::from_secs(1);
/// Nobody is held back for longer, unless it sent the largest batch to a partition that is so slow.
const HELD_MAX: Duration = Duration::from_secs(20);
/// Rows that were sent from here and not seen in the log for so long are waited for no more.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

/// Not behind.
const FREE: u64 = 0;

#[derive(Default)]
struct Place {
    /// Rows decided so far.
    drained: AtomicU64,
    /// Rows a second while it is behind, as the bits of a float; [`FREE`] while it is not.
    rate: AtomicU64,
}

impl Place {
    /// Rows a second that one sender may send; `None` while the partition is not behind.
    fn share_per_s(&self) -> Option<f64> {
        let rate = self.rate.load(Ordering::Relaxed);
        (rate != FREE).then(|| f64::from_bits(rate).max(LEAST_PER_S) / PART)
    }
}

/// What one look at a partition has to remember for the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    drained: u64,
    was_behind: bool,
    /// Rows, and in what time, since the rate was reckoned.
    gathered: (u64, Duration),
    rate: Option<f64>,
}

impl Meter {
    /// Rows a second that a partition goes through, from what it had decided altogether `elapsed` after the look before; `None`
    /// while it is not behind, or has been for less than a second.
    pub fn look(&mut self, drained: u64, behind: bool, elapsed: Duration) -> Option<f64> {
        let rows = drained.saturating_sub(std::mem::replace(&mut self.drained, drained));
        let was_behind = std::mem::replace(&mut self.was_behind, behind);
        if !behind {
            (self.rate, self.gathered) = (None, (0, Duration::ZERO));
            return None;
        }
        if was_behind {
            let (before, since) = self.gathered;
            self.gathered = (before + rows, since + elapsed);
        }
        let (rows, gathered) = self.gathered;
        if gathered >= MEASURED {
            self.gathered = (0, Duration::ZERO);
            let seen = rows as f64 / gathered.as_secs_f64();
            let before = self.rate.unwrap_or(seen);
            self.rate = Some(before + (seen - before) * WEIGHT);
        }
        self.rate.map(|rate| rate.max(LEAST_PER_S))
    }
}

/// What one sender has used of its share.
#[derive(Clone, Copy, Default)]
struct Used {
    /// Rows that it owed at a time, in nanoseconds since the beginning.
    owed: f64,
    owed_at: u64,
    /// Its partition.
    partition: u32,
    /// Rows that it sent through this process and that the log has not shown yet.
    unseen: u64,
    /// When it last sent any.
    sent_at: u64,
}

impl Used {
    /// Rows that it owes now, of which so many a second come back.
    fn owes(&self, share_per_s: f64, now: u64) -> f64 {
        let since = Duration::from_nanos(now.saturating_sub(self.owed_at));
        (self.owed - share_per_s * since.as_secs_f64()).max(0.0)
    }

    /// It owes so many now, as far as anybody may owe.
    fn set_owed(&mut self, rows: f64, share_per_s: f64, now: u64) {
        let most = (share_per_s * HELD_MAX.as_secs_f64()).max(ROWS_MAX as f64);
        (self.owed, self.owed_at) = (rows.min(most), now);
    }
}

/// Less than that many rows is what reckoning with fractions leaves.
const NOTHING: f64 = 1e-6;

/// Who has a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A supplier, which has one partition.
    Supplier(SupplierId),
    /// The key of a buyer or an order system, which sends to all of them: by the partition.
    Key(u32, Box<str>),
}

impl From<&SupplierId> for Who {
    fn from(supplier: &SupplierId) -> Self {
        Self::Supplier(supplier.clone())
    }
}

impl From<(u32, &str)> for Who {
    fn from((partition, key): (u32, &str)) -> Self {
        Self::Key(partition, key.into())
    }
}

/// Holds senders back while a partition is behind.
pub struct Fairness {
    places: Box<[Place]>,
    begun: Instant,
    used: DashMap<Who, Used>,
}

impl Fairness {
    /// For so many partitions, none of which is behind.
    pub fn new(partitions: u32) -> Self {
        Self {
            places: (0..partitions).map(|_| Place::default()).collect(),
            begun: Instant::now(),
            used: DashMap::new(),
        }
    }

    /// A partition has decided so many rows more.
    pub fn drained(&self, partition: u32, rows: u64) {
        if let Some(place) = self.places.get(partition as usize) {
            place.drained.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// Rows that a partition has decided so far.
    pub fn drained_so_far(&self, partition: u32) -> u64 {
        self.places.get(partition as usize).map_or(0, |place| place.drained.load(Ordering::Relaxed))
    }

    /// Says what a partition goes through a second while it is behind; `None` while it is not.
    pub fn set_rate(&self, partition: u32, per_s: Option<f64>) {
        if let Some(place) = self.places.get(partition as usize) {
            place.rate.store(per_s.map_or(FREE, f64::to_bits), Ordering::Relaxed);
        }
    }

    /// Forgets senders whose share is whole again. Call it now and then.
    pub fn forget(&self) {
        let now = self.now();
        let unseen_max = UNSEEN_MAX.as_nanos() as u64;
        self.used.retain(|_, used| {
            let share = self.share_per_s(used.partition);
            let owes = share.is_some_and(|share| used.owes(share, now) > NOTHING);
            owes || (used.unseen > 0 && now < used.sent_at + unseen_max)
        });
        self.used.shrink_to_fit();
    }

    fn share_per_s(&self, partition: u32) -> Option<f64> {
        self.places.get(partition as usize)?.share_per_s()
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    /// Takes so many rows from a sender's share of a partition; where the share is used up, says how long.
    ///
    /// Rows are taken whole while anything is left, and paid off before the next: no batch is refused for ever.
    pub fn take(&self, partition: u32, sender: &Who, rows: usize) -> Result<(), Duration> {
        self.take_at(partition, sender, rows, self.now())
    }

    /// Gives back rows that were taken and not sent.
    pub fn give_back(&self, partition: u32, sender: &Who, rows: usize) {
        match self.share_per_s(partition) {
            Some(share) => {
                if let Some(mut used) = self.used.get_mut(sender) {
                    let now = self.now();
                    let left = (used.owes(share, now) - rows as f64).max(0.0);
                    used.set_owed(left, share, now);
                    used.unseen = used.unseen.saturating_sub(rows as u64);
                }
            }
            // It is not behind any more, so what was taken of it is nothing.
            None => drop(self.used.remove(sender)),
        }
    }

    fn take_at(&self, partition: u32, sender: &Who, rows: usize, now: u64) -> Result<(), Duration> {
        let Some(share) = self.share_per_s(partition) else { return Ok(()) };
        let mut used = self.used.entry(sender.clone()).or_default();
        let owes = used.owes(share, now);
        if owes > NOTHING {
            return Err(Duration::from_secs_f64(owes / share));
        }
        used.set_owed(rows as f64, share, now);
        (used.partition, used.sent_at, used.unseen) = (partition, now, used.unseen + rows as u64);
        Ok(())
    }

    /// The log has so many rows of a sender that add supply. Those that did not come in through this process are taken from its
    /// share now, and so is what was under way when the partition fell behind.
    pub(crate) fn decided(&self, partition: u32, sender: &Who, rows: usize) {
        self.decided_at(partition, sender, rows, self.now());
    }

    fn decided_at(&self, partition: u32, sender: &Who, rows: usize, now: u64) {
        let Some(share) = self.share_per_s(partition) else { return };
        let mut used = self.used.entry(sender.clone()).or_default();
        let own = used.unseen.min(rows as u64);
        used.unseen -= own;
        let owed = used.owes(share, now) + (rows as u64 - own) as f64;
        used.set_owed(owed, share, now);
        used.partition = partition;
    }
}

/// How many seconds a sender whose share is used up is told to wait.
pub(crate) fn wait_s(wait: Duration) -> u64 {
    wait.as_secs_f64().ceil().clamp(1.0, 120.0) as u64
}

/// What a sender is told whose share is used up.
pub(crate) fn share_used(wait: Duration) -> Problem {
    crate::metrics::held_back();
    let wait_s = wait_s(wait);
    let detail = format!(
        "the server is behind with what you and others sent, and a quarter of what it goes through is yours; wait {wait_s} s and send it again"
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "share_used", detail)
        .with_header(header::RETRY_AFTER, wait_s.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Who {
        (&SupplierId::new(name).unwrap()).into()
    }

    #[test]
    fn nobody_is_held_back_while_the_partition_is_not_behind() {
        let fair = Fairness::new(1);
        assert!((0..1_000).all(|_| fair.take_at(0, &id("a"), 1_000, 5).is_ok()));
        assert!(fair.used.is_empty());
    }

    #[test]
    fn whatever_one_sends_while_it_is_behind_it_gets_a_quarter_and_a_small_one_is_served_at_once() {
        let fair = Fairness::new(2);
        fair.set_rate(0, Some(4_000.0));
        let (mut flood, mut small) = (0, 0);
        // Ten seconds, in which one asks each millisecond and another twice a second.
        for ms in 0..10_000_u64 {
            let now = ms * 1_000_000;
            flood += if fair.take_at(0, &id("flood"), 500, now).is_ok() { 500 } else { 0 };
            if ms % 500 == 0 {
                fair.take_at(0, &id("small"), 10, now).unwrap();
                small += 10;
            }
        }
        assert!((10_000..=10_500).contains(&flood), "{flood} of 40000, and one batch");
        assert_eq!(small, 200);
        let wait = fair.take_at(0, &id("flood"), 1, 9_999_000_000).unwrap_err();
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        assert!(fair.take_at(1, &id("other"), 100_000, 0).is_ok(), "another partition is not behind");
        fair.take_at(0, &id("huge"), 1_000_000, 0).unwrap();
        assert_eq!(fair.take_at(0, &id("huge"), 1, 0).unwrap_err(), HELD_MAX, "and not for an hour");
        fair.set_rate(0, Some(40_000.0));
        let wait = fair.take_at(0, &id("huge"), 1, 0).unwrap_err();
        assert_eq!(wait, Duration::from_secs(2), "what is owed is paid off at the rate of the moment");
        fair.set_rate(0, None);
        assert!(fair.take_at(0, &id("flood"), 1_000, 10_000_000_000).is_ok());
        assert!(fair.take_at(0, &id("flood"), 1_000, 10_000_000_000).is_ok(), "nor is this one any more");
    }

    #[test]
    fn a_buyers_key_has_a_quarter_of_each_partition_that_is_behind_and_takes_nothing_from_a_supplier() {
        let fair = Fairness::new(2);
        fair.set_rate(0, Some(4_000.0));
        let mut held = 0;
        for ms in 0..10_000_u64 {
            held += usize::from(fair.take_at(0, &(0, "acme").into(), 1, ms * 1_000_000).is_ok());
        }
        assert!(
            (9_900..=10_001).contains(&held),
            "{held}: once a millisecond is a quarter of 4,000 a second"
        );
        let now = 10_000 * 1_000_000;
        fair.take_at(0, &(0, "acme").into(), 100, now).unwrap();
        assert!(fair.take_at(0, &(0, "acme").into(), 1, now).is_err());
        fair.take_at(0, &(0, "other").into(), 1, now).unwrap();
        fair.take_at(1, &(1, "acme").into(), 1, now).unwrap();
        fair.take_at(0, &id("acme"), 1, now).unwrap();
        // What another process sent for it is taken from the same share.
        fair.decided_at(0, &(0, "third").into(), 4_000, now);
        assert_eq!(fair.take_at(0, &(0, "third").into(), 1, now).unwrap_err(), Duration::from_secs(4));
    }

    #[test]
    fn a_rate_is_what_was_done_while_there_was_more_to_do() {
        let (mut meter, second) = (Meter::default(), Duration::from_secs(1));
        assert_eq!(meter.look(500, false, second), None);
        assert_eq!(meter.look(1_000, true, second), None, "it may have been idle for most of it");
        assert_eq!(meter.look(3_000, true, second), Some(2_000.0));
        assert_eq!(meter.look(4_000, true, second), Some(1_700.0), "drawn towards the last");
        assert_eq!(meter.look(4_000, true, Duration::ZERO), Some(1_700.0));
        let mut lumps = Meter::default();
        assert_eq!(lumps.look(0, true, second / 10), None);
        for look in 1..10 {
            assert_eq!(lumps.look(0, true, second / 10), None, "look {look}: nothing was told yet");
        }
        assert_eq!(lumps.look(900, true, second / 10), Some(900.0), "all of it in one lump");
        assert_eq!(meter.look(4_100, false, second), None);
        assert_eq!(meter.look(4_200, true, second), None, "begins anew");
        assert_eq!(meter.look(4_200, true, second), Some(LEAST_PER_S), "it stands still");
    }

    #[test]
    fn who_has_its_whole_share_again_is_forgotten() {
        let fair = Fairness::new(1);
        fair.set_rate(0, Some(1e12));
        fair.take(0, &id("a"), 1).unwrap();
        fair.forget();
        assert_eq!(fair.used.len(), 1, "what it sent is still to be seen, and is not another process's then");
        fair.decided(0, &id("a"), 1);
        while !fair.used.is_empty() {
            fair.forget();
        }
    }

    #[test]
    fn what_one_sends_through_three_processes_is_a_quarter_in_all() {
        let processes: [Fairness; 3] = std::array::from_fn(|_| Fairness::new(1));
        for process in &processes {
            process.set_rate(0, Some(4_000.0));
        }
        // Ten seconds, asking each of them every millisecond; all see what was sent 300 ms before.
        let (mut log, mut taken, mut small) = (std::collections::VecDeque::new(), 0, 0);
        for ms in 0..10_000_u64 {
            let now = ms * 1_000_000;
            while log.front().is_some_and(|(at, _)| at + 300 <= ms) {
                let (_, supplier) = log.pop_front().unwrap();
                processes.iter().for_each(|process| process.decided_at(0, &id(supplier), 20, now));
            }
            for process in &processes {
                if process.take_at(0, &id("flood"), 20, now).is_ok() {
                    taken += 20;
                    log.push_back((ms, "flood"));
                }
            }
            if ms % 500 == 0 {
                small += usize::from(processes[0].take_at(0, &id("small"), 20, now).is_ok());
                log.push_back((ms, "small"));
            }
        }
        // A quarter of 4,000 a second, and what it may send until the others hear of it.
        assert!((10_000..=11_000).contains(&taken), "{taken}");
        assert_eq!(small, 20, "and who sends little, and always here, is never held back");
    }

    #[test]
    fn what_was_decided_while_it_was_not_behind_counts_for_nothing() {
        let fair = Fairness::new(1);
        fair.decided_at(0, &id("a"), 1_000, 5);
        assert!(fair.used.is_empty());
        fair.set_rate(0, Some(4.0));
        fair.decided_at(0, &id("a"), 1_000_000, 5);
        let wait = fair.take_at(0, &id("a"), 1, 5).unwrap_err();
        assert_eq!(wait, Duration::from_secs(100), "and nobody waits for an hour");
    }

    #[test]
    fn whatever_the_size_of_a_batch_it_is_a_quarter_of_a_slow_partition() {
        for (rate, rows) in [(40.0, 1_000), (100.0, 1_000), (199.0, 1_000), (40.0, 300), (800.0, 1_000)] {
            let fair = Fairness::new(1);
            fair.set_rate(0, Some(rate));
            let mut taken = 0;
            for second in 0..2_000_u64 {
                taken += if fair.take_at(0, &id("flood"), rows, second * 1_000_000_000).is_ok() {
                    rows
                } else {
                    0
                };
            }
            let most = rate / 4.0 * 2_000.0 + rows as f64;
            assert!(taken as f64 <= most, "{taken} of {most} at {rate}");
            // It asks once a second, which may lose one between two batches.
            assert!(taken as f64 >= most * 0.7, "{taken} of {most} at {rate}");
        }
    }
}
