//! How often orders went bad, beside how often the models had said they would.
//!
//! An order is predicted when it is first heard that it was placed: its supplier's vector right after that is what models are trained on.
//! It went bad when a `fraud_confirmed` of it came, whoever's fault; training calls the same orders bad. Such labels come weeks later, so an
//! order says nothing before it is [`KNOWN_AFTER_MS`] old: before that, no fraud is no evidence. What comes up to 90 days after it was placed
//! still counts, later than that intake takes nothing.
//!
//! Counts are kept by model, by the week in which the order was placed, and by bin of the prediction; bins are the same for ever and everywhere,
//! so counts of partitions and weeks add up. Orders under way are remembered up to a bound; past it every second one, chosen by a
//! hash of its name and so by nothing that has to do with how it ends, is forgotten and taken off the counts.

mod read;

pub use read::{BinRead, Compared, Reliability, reliability};

use std::collections::BTreeSet;

use stockade_fold::{AnyTable, Pack, Packed, PackedSet, Packer, Single, Table, Unpacker};
use stockade_model::{Timestamp, hash, time::DAY_MS};

/// Age from which on an order is taken to have shown what becomes of it.
pub const KNOWN_AFTER_MS: i64 = 45 * DAY_MS;
/// How long an order is remembered: intake takes nothing of older ones.
const REMEMBERED_MS: i64 = 90 * DAY_MS;
/// Orders under way that a partition remembers.
const ORDERS_MAX: usize = 16_384;
/// Weeks that are kept, more than an order is remembered.
const WEEKS_KEPT: i64 = 26;
pub(super) const WEEK_DAYS: i64 = 7;

/// Number of bins.
pub const BINS: usize = 10;
/// Bounds between them, in millionths of probability: fine where most orders are. Never to be changed, for what is stored is counted by them.
const BOUNDS: [u32; BINS - 1] = [1_000, 3_000, 10_000, 30_000, 100_000, 200_000, 400_000, 600_000, 800_000];
/// Millionths in one point of a model, of which there are 1,000.
const MILLIONTHS_A_POINT: f32 = 1_000.0;

/// Orders whose prediction fell between two bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bin {
    /// Orders.
    pub orders: u32,
    /// Those that went bad.
    pub bad: u32,
    /// Sum of the predictions, in millionths.
    pub predicted: u64,
}

/// What one model said of the orders that were placed in one week, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Week {
    /// Version of the model.
    pub model: String,
    /// The week, counted in sevens of days from 1970-01-01.
    pub week: i64,
    /// One order in so many was taken when it was last counted.
    pub one_in: u64,
    /// Counts by prediction.
    pub bins: [Bin; BINS],
}

/// An order that was predicted and may still go bad.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Predicted {
    placed_at: Timestamp,
    /// Each model by a hash of its version, with its prediction in millionths.
    by: Vec<(u64, u32)>,
    bad: bool,
}

impl Predicted {
    /// The row of each model's week with the bin in it, and the prediction.
    fn places(&self) -> impl Iterator<Item = (u128, usize, u64)> {
        let week = week_of(self.placed_at);
        self.by.iter().map(move |(model, said)| (key(*model, week), bin(*said), u64::from(*said)))
    }
}

impl Pack for Predicted {
    fn pack(&self, to: &mut Packer<'_>) {
        to.signed(self.placed_at.ms());
        to.number(self.by.len() as u64 * 2 + u64::from(self.bad));
        for (model, said) in &self.by {
            to.raw(&model.to_le_bytes());
            to.number(u64::from(*said));
        }
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let placed_at = Timestamp::from_ms(from.signed());
        let head = from.number();
        let by = (0..head / 2)
            .map(|_| {
                let model = from.read(|from| from.raw(size_of::<u64>()).try_into().map(u64::from_le_bytes));
                (model, from.number() as u32)
            })
            .collect();
        Self { placed_at, by, bad: head % 2 == 1 }
    }
}

/// How many orders are taken.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Sample {
    /// One in two to this power.
    halved: u32,
}

/// The counts of one partition.
pub(crate) struct Calibration {
    orders: Packed<u128, Predicted>,
    weeks: Table<u128, Week>,
    sample: Single<Sample>,
    /// Derived: orders by when they were placed.
    by_age: PackedSet<(Timestamp, u128)>,
    /// Weeks that are other ones than was told.
    changed: BTreeSet<u128>,
}

impl Calibration {
    pub(crate) fn new(orders: u8, weeks: u8, sample: u8) -> Self {
        Self {
            orders: Packed::new(orders),
            weeks: Table::new(weeks),
            sample: Single::new(sample),
            by_age: PackedSet::default(),
            changed: BTreeSet::new(),
        }
    }

    pub(crate) fn tables(&mut self) -> [&mut dyn AnyTable; 3] {
        [&mut self.orders, &mut self.weeks, self.sample.table()]
    }

    pub(crate) fn restored(&mut self) {
        let by_age = &mut self.by_age;
        self.orders.each(|order, row| by_age.insert(&(row.placed_at, order)));
        self.changed = self.weeks.iter().map(|(key, _)| *key).collect();
    }

    /// Weeks that changed since this was asked last; none where it is not kept any more.
    pub(crate) fn take_changes(&mut self) -> Vec<(u128, Option<Week>)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|key| (key, self.weeks.get(&key).cloned()))
            .collect()
    }

    /// An order was placed of whose supplier these models think so: versions and points.
    pub(crate) fn placed(&mut self, order: u128, placed_at: Timestamp, said: &[(&str, f32)], now: Timestamp) {
        self.forget_orders(now);
        let is_over = placed_at <= now.plus_ms(-REMEMBERED_MS);
        if said.is_empty() || is_over || !self.takes(order) || self.orders.contains(&order) {
            return;
        }
        let by = said.iter().map(|(model, points)| (hash::stable64(model), millionths(*points))).collect();
        let row = Predicted { placed_at, by, bad: false };
        let one_in = self.one_in();
        for ((key, bin, predicted), (model, _)) in row.places().zip(said) {
            self.begin_week(key, model, week_of(placed_at));
            self.count(key, one_in, |bins| {
                bins[bin].orders += 1;
                bins[bin].predicted += predicted;
            });
        }
        self.orders.put(&order, &row);
        self.by_age.insert(&(placed_at, order));
        while self.orders.len() > ORDERS_MAX {
            self.halve();
        }
    }

    /// A fraud on the order is confirmed.
    pub(crate) fn went_bad(&mut self, order: u128) {
        let Some(mut row) = self.orders.get(&order).filter(|row| !row.bad) else { return };
        row.bad = true;
        self.orders.put(&order, &row);
        let one_in = self.one_in();
        for (key, bin, _) in row.places() {
            self.count(key, one_in, |bins| bins[bin].bad += 1);
        }
    }

    /// Only of these models anything is kept.
    pub(crate) fn keep(&mut self, models: &[String]) {
        let gone = self.weeks.iter().filter(|(_, week)| !models.contains(&week.model)).map(|(key, _)| *key);
        for key in gone.collect::<Vec<_>>() {
            self.drop_week(key);
        }
    }

    fn count(&mut self, key: u128, one_in: u64, change: impl FnOnce(&mut [Bin; BINS])) {
        // A week of a model that is not kept any more is not there.
        let Some(week) = self.weeks.edit(&key) else { return };
        week.one_in = one_in;
        change(&mut week.bins);
        self.changed.insert(key);
    }

    fn begin_week(&mut self, key: u128, model: &str, week: i64) {
        if self.weeks.get(&key).is_some() {
            return;
        }
        let row = Week { model: model.to_owned(), week, one_in: 1, bins: Default::default() };
        self.weeks.insert(key, row);
        let newest = self.weeks.iter().map(|(_, row)| row.week).max().unwrap_or(week);
        let old = self.weeks.iter().filter(|(_, row)| row.week <= newest - WEEKS_KEPT).map(|(key, _)| *key);
        for key in old.collect::<Vec<_>>() {
            self.drop_week(key);
        }
    }

    fn drop_week(&mut self, key: u128) {
        self.weeks.remove(&key);
        self.changed.insert(key);
    }

    fn halved(&self) -> u32 {
        self.sample.get().map_or(0, |sample| sample.halved)
    }

    fn one_in(&self) -> u64 {
        1 << self.halved()
    }

    fn takes(&self, order: u128) -> bool {
        order.is_multiple_of(u128::from(self.one_in()))
    }

    /// Every second order is taken no more, and those under way of which that is true are as if they had never been.
    fn halve(&mut self) {
        self.sample.set(Sample { halved: self.halved() + 1 });
        let one_in = self.one_in();
        let mut left_out = Vec::new();
        self.orders.each(|order, row| {
            if !order.is_multiple_of(u128::from(one_in)) {
                left_out.push((order, row));
            }
        });
        for (order, row) in left_out {
            self.orders.remove(&order);
            self.by_age.remove(&(row.placed_at, order));
            for (key, bin, predicted) in row.places() {
                self.count(key, one_in, |bins| {
                    bins[bin].orders -= 1;
                    bins[bin].bad -= u32::from(row.bad);
                    bins[bin].predicted -= predicted;
                });
            }
        }
    }

    /// Orders of which nothing more is accepted have said what they had to say; where that leaves much room, more are taken again.
    fn forget_orders(&mut self, now: Timestamp) {
        let before = now.plus_ms(-REMEMBERED_MS);
        while let Some(oldest) = self.by_age.first().filter(|(placed, _)| *placed <= before) {
            self.by_age.remove(&oldest);
            self.orders.remove(&oldest.1);
        }
        if self.orders.len() < ORDERS_MAX / 4 && self.halved() > 0 {
            self.sample.set(Sample { halved: self.halved() - 1 });
        }
    }
}

fn week_of(at: Timestamp) -> i64 {
    at.day().div_euclid(WEEK_DAYS)
}

fn key(model: u64, week: i64) -> u128 {
    (u128::from(model) << 64) | u128::from(week.cast_unsigned())
}

fn millionths(points: f32) -> u32 {
    (points * MILLIONTHS_A_POINT).clamp(0.0, 1e6) as u32
}

fn bin(said: u32) -> usize {
    BOUNDS.partition_point(|bound| *bound <= said)
}

#[cfg(test)]
mod tests;
