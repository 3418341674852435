//! What the counts say by now, for whoever asks.

use stockade_model::{Timestamp, time::DAY_MS};

use super::{BINS, BOUNDS, Bin, KNOWN_AFTER_MS, WEEK_DAYS, Week};

/// Quantile of the normal distribution for an interval of 95%.
const Z: f64 = 1.96;
const WHOLE: f64 = 1e6;

/// What was predicted beside what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The mean prediction lies in the interval of what was seen.
    AsPredicted,
    /// More went bad than was predicted.
    More,
    /// Fewer did.
    Fewer,
}

/// One bin of a reliability diagram.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BinRead {
    /// Predictions from here on.
    pub from: f64,
    /// Up to here.
    pub until: f64,
    /// Orders with such a prediction.
    pub orders: u64,
    /// Those that went bad.
    pub bad: u64,
    /// Mean prediction; absent without orders, as what follows.
    pub predicted: Option<f64>,
    /// Share that went bad.
    pub seen: Option<f64>,
    /// Where that share lies with a confidence of 95%, as if orders were independent: E. B. Wilson, "Probable inference, the law of
    /// succession, and statistical inference", JASA 22 (1927).
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
    /// What that comes to.
    pub reading: Option<Compared>,
}

/// A model's predictions beside what became of the orders, as far as that is known.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Reliability {
    /// The outcome that is predicted.
    pub outcome: &'static str,
    /// Age of an order, in days, from which on it is taken to have shown what becomes of it.
    pub known_after_days: i64,
    /// First day of orders that are counted; absent before any is.
    pub from: Option<Timestamp>,
    /// The day after the last one.
    pub until: Option<Timestamp>,
    /// Orders in all bins.
    pub orders: u64,
    /// Those that went bad.
    pub bad: u64,
    /// Sum of the predictions per bad order; 1 is calibrated, absent without a bad one.
    pub expected_to_seen: Option<f64>,
    /// One order in so many is counted, of the partition that takes fewest.
    pub one_in: u64,
    /// Orders that were predicted and are too young.
    pub waiting: u64,
    /// When the next week of them is counted.
    pub next_at: Option<Timestamp>,
    /// Bins in order.
    pub bins: Vec<BinRead>,
}

/// What these weeks, of one model, say at a time.
pub fn reliability<'w>(weeks: impl Iterator<Item = &'w Week>, now: Timestamp) -> Reliability {
    let mut sums = [(0, 0, 0); BINS];
    let (mut from, mut until, mut one_in, mut waiting, mut next_at) = (None, None, 1, 0, None);
    for week in weeks.filter(|week| week.bins.iter().any(|bin| bin.orders > 0)) {
        let [begin, end] =
            [week.week, week.week + 1].map(|week| Timestamp::from_ms(week * WEEK_DAYS * DAY_MS));
        let known_at = end.plus_ms(KNOWN_AFTER_MS);
        if known_at > now {
            waiting += week.bins.iter().map(|bin| u64::from(bin.orders)).sum::<u64>();
            next_at = next_at.map_or(Some(known_at), |next| Some(known_at.min(next)));
            continue;
        }
        from = from.map_or(Some(begin), |from| Some(begin.min(from)));
        until = until.max(Some(end));
        one_in = one_in.max(week.one_in);
        for (sum, Bin { orders, bad, predicted }) in sums.iter_mut().zip(week.bins) {
            *sum = (sum.0 + u64::from(orders), sum.1 + u64::from(bad), sum.2 + predicted);
        }
    }
    let all = |of: fn(&(u64, u64, u64)) -> u64| sums.iter().map(of).sum::<u64>();
    let (orders, bad, predicted) = (all(|sum| sum.0), all(|sum| sum.1), all(|sum| sum.2));
    Reliability {
        outcome: "fraud_confirmed",
        known_after_days: KNOWN_AFTER_MS / DAY_MS,
        from,
        until,
        orders,
        bad,
        expected_to_seen: (bad > 0).then(|| predicted as f64 / WHOLE / bad as f64),
        one_in,
        waiting,
        next_at,
        bins: sums.into_iter().enumerate().map(|(place, sum)| bin_read(place, sum)).collect(),
    }
}

fn bin_read(place: usize, (orders, bad, predicted): (u64, u64, u64)) -> BinRead {
    let bound = |at: Option<usize>| at.and_then(|at| BOUNDS.get(at)).map(|bound| f64::from(*bound) / WHOLE);
    let mean = (orders > 0).then(|| predicted as f64 / WHOLE / orders as f64);
    let interval = (orders > 0).then(|| wilson(bad as f64, orders as f64));
    let reading = mean.zip(interval).map(|(mean, (low, high))| match mean {
        mean if mean < low => Compared::More,
        mean if mean > high => Compared::Fewer,
        _ => Compared::AsPredicted,
    });
    BinRead {
        from: bound(place.checked_sub(1)).unwrap_or(0.0),
        until: bound(Some(place)).unwrap_or(1.0),
        orders,
        bad,
        predicted: mean,
        seen: (orders > 0).then(|| bad as f64 / orders as f64),
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        reading,
    }
}

/// Wilson's interval of a share.
pub(super) fn wilson(hits: f64, trials: f64) -> (f64, f64) {
    let (share, square) = (hits / trials, Z * Z / trials);
    let (middle, width) =
        (share + square / 2.0, Z * (share * (1.0 - share) / trials + square / (4.0 * trials)).sqrt());
    // At the ends rounding may leave the interval short of the share itself.
    (
        ((middle - width) / (1.0 + square)).clamp(0.0, share),
        ((middle + width) / (1.0 + square)).clamp(share, 1.0),
    )
}
