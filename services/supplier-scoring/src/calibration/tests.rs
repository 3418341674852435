use super::{read::wilson, *};

const ONE: &str = "00000000000000a1";
const OTHER: &str = "00000000000000b2";

fn day(day: i64) -> Timestamp {
    Timestamp::from_ms(day * DAY_MS)
}

/// A hash, as names of orders are.
fn order(number: usize) -> u128 {
    hash::identity128(&["acme", &number.to_string()])
}

fn read(of: &Calibration, model: &str, now: Timestamp) -> Reliability {
    reliability(of.weeks.iter().map(|(_, week)| week).filter(|week| week.model == model), now)
}

#[test]
fn an_order_says_nothing_before_its_week_is_forty_five_days_old_and_counts_what_came_until_then() {
    let mut counts = Calibration::new(1, 2, 3);
    // Day 700 begins a week.
    for number in 0..200 {
        counts.placed(order(number), day(700), &[(ONE, 50.0), (OTHER, 500.0)], day(700));
    }
    for number in 0..10 {
        counts.went_bad(order(number));
        counts.went_bad(order(number));
    }
    let early = read(&counts, ONE, day(751));
    assert_eq!((early.orders, early.bad, early.waiting, early.next_at), (0, 0, 200, Some(day(752))));
    let known = read(&counts, ONE, day(752));
    assert_eq!((known.orders, known.bad, known.waiting, known.next_at), (200, 10, 0, None));
    assert_eq!((known.from, known.until), (Some(day(700)), Some(day(707))));
    assert_eq!(known.expected_to_seen, Some(1.0));
    let bin = &known.bins[4];
    assert_eq!((bin.from, bin.until, bin.orders, bin.bad), (0.03, 0.1, 200, 10));
    assert_eq!((bin.predicted, bin.seen, bin.reading), (Some(0.05), Some(0.05), Some(Compared::AsPredicted)));
    let other = read(&counts, OTHER, day(752));
    assert_eq!((other.bins[7].orders, other.bins[7].reading), (200, Some(Compared::Fewer)));
    assert_eq!(other.bins[0].reading, None, "nothing is said of what was never predicted");
    // A late label still counts while the order is remembered.
    counts.went_bad(order(10));
    assert_eq!(read(&counts, ONE, day(760)).bad, 11);
    counts.placed(order(1_000), day(790), &[(ONE, 1.0)], day(790));
    counts.went_bad(order(11));
    assert_eq!(read(&counts, ONE, day(790)).bad, 11, "after ninety days nothing is taken");
}

#[test]
fn of_a_flood_a_sample_is_kept_that_is_bounded_and_still_says_the_same() {
    let mut counts = Calibration::new(1, 2, 3);
    let many = ORDERS_MAX * 5;
    for number in 0..many {
        counts.placed(order(number), day(700), &[(ONE, 100.0)], day(700));
        if number % 10 == 0 {
            counts.went_bad(order(number));
        }
        assert!(counts.orders.len() <= ORDERS_MAX);
    }
    let known = read(&counts, ONE, day(760));
    assert_eq!(known.orders as usize, counts.orders.len(), "what was left out is taken off the counts");
    assert_eq!(known.one_in, 8);
    assert_eq!(known.bins[5].reading, Some(Compared::AsPredicted), "{known:?}");
    // When they are over, there is room for all again.
    for number in 0..8 {
        counts.placed(order(many + number), day(800), &[(ONE, 100.0)], day(800));
    }
    assert_eq!(counts.one_in(), 1);
}

#[test]
fn what_is_kept_of_models_is_bounded_by_weeks_and_by_those_that_are_published() {
    let mut counts = Calibration::new(1, 2, 3);
    for week in 0..60 {
        let now = day(700 + 7 * week);
        counts.placed(order(week as usize), now, &[(ONE, 1.0), (OTHER, 1.0)], now);
    }
    assert_eq!(counts.weeks.len(), 2 * WEEKS_KEPT as usize);
    counts.take_changes();
    counts.keep(&[OTHER.to_owned()]);
    assert_eq!(counts.weeks.len(), WEEKS_KEPT as usize);
    let told = counts.take_changes();
    assert_eq!(told.len(), WEEKS_KEPT as usize);
    assert!(told.iter().all(|(_, week)| week.is_none()), "who shows them is told that they are gone");
    // An order under way of a model that is gone says nothing any more, and disturbs nothing.
    counts.went_bad(order(59));
    assert_eq!(read(&counts, OTHER, day(2_000)).bad, 1);
}

#[test]
fn rows_come_back_as_they_were() {
    for row in [
        Predicted { placed_at: day(3), by: vec![(u64::MAX, 1_000_000), (7, 0)], bad: true },
        Predicted { placed_at: day(-3), by: vec![(1, 5)], bad: false },
    ] {
        let mut bytes = Vec::new();
        row.pack(&mut Packer::new(&mut bytes));
        assert_eq!(Predicted::unpack(&mut Unpacker::new(&bytes)), row);
    }
}

#[test]
fn the_interval_is_that_of_wilson() {
    // Values of the formula worked out by hand for 1 of 10, and its ends.
    let (low, high) = wilson(1.0, 10.0);
    assert!((low - 0.0179).abs() < 1e-4 && (high - 0.4042).abs() < 1e-4, "{low} {high}");
    let (low, high) = wilson(0.0, 10.0);
    assert!(low == 0.0 && (high - 0.2775).abs() < 1e-4, "{high}");
    assert_eq!(wilson(10.0, 10.0).1, 1.0);
}

#[test]
fn bins_meet_at_their_bounds() {
    let places = [0.0, 0.9, 1.0, 2.9, 3.0, 99.9, 100.0, 799.9, 800.0, 1_000.0, 1_200.0];
    assert_eq!(places.map(|points| bin(millionths(points))), [0, 0, 1, 1, 2, 4, 5, 8, 9, 9, 9]);
}
