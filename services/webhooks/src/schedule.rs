//! When what failed is tried again. Jitter is a hash of what is tried, so that a fold can reckon it: every replica and every
//! replay comes to the same moment, and deliveries that failed together are not tried again together.

use stockade_model::{
    hash::stable64,
    time::{DAY_MS, SECOND_MS},
};

const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Pauses of a delivery after each failed attempt; after the last of them it is given up. About three days in all.
const PAUSES_MS: [i64; 12] = [
    5 * SECOND_MS,
    30 * SECOND_MS,
    2 * MINUTE_MS,
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    12 * HOUR_MS,
    18 * HOUR_MS,
    18 * HOUR_MS,
];
/// An endpoint that fails is left alone for so long after the first failure, twice as long after each further one, and at most
/// so long: however much is owed to it, it is tried once in that time.
const REST_MS: i64 = 5 * SECOND_MS;
const REST_MS_MAX: i64 = 10 * MINUTE_MS;
/// The longest pause that an endpoint may ask for.
const ASKED_MS_MAX: i64 = DAY_MS;
/// An endpoint that has taken nothing for so long, and has failed all that time, is disabled.
pub(crate) const DISABLE_AFTER_MS: i64 = 5 * DAY_MS;

/// `pause_ms` with a fifth more or less, by what is tried.
fn jittered(pause_ms: i64, what: &str, attempt: u32) -> i64 {
    let share = (stable64(&format!("{what}/{attempt}")) % 401) as i64 - 200;
    pause_ms + pause_ms * share / 1_000
}

/// How long a delivery waits after its failed attempt number `attempt`, which counts from 1; none when it is given up.
pub(crate) fn pause_ms(delivery: &str, attempt: u32) -> Option<i64> {
    let pause = PAUSES_MS.get(attempt.checked_sub(1)? as usize)?;
    Some(jittered(*pause, delivery, attempt))
}

/// How long an endpoint is left alone after `failures` failed attempts in a row.
pub(crate) fn rest_ms(endpoint: &str, failures: u32) -> i64 {
    let doubled = REST_MS.saturating_mul(1 << failures.saturating_sub(1).min(20));
    jittered(doubled.min(REST_MS_MAX), endpoint, failures)
}

/// What an endpoint asks for, within bounds.
pub(crate) fn asked_ms(retry_after_ms: i64) -> i64 {
    retry_after_ms.clamp(0, ASKED_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_for_about_three_days_and_no_two_at_the_same_moments() {
        let whole: i64 = PAUSES_MS.iter().sum();
        assert!((70 * HOUR_MS..74 * HOUR_MS).contains(&whole), "{whole}");
        for attempt in 1..=PAUSES_MS.len() as u32 {
            let pauses: std::collections::BTreeSet<i64> =
                (0..50).filter_map(|n| pause_ms(&format!("msg_{n}"), attempt)).collect();
            let usual = PAUSES_MS[attempt as usize - 1];
            assert!(pauses.len() > 25, "{pauses:?}");
            assert!(pauses.iter().all(|pause| (usual * 8 / 10..=usual * 12 / 10).contains(pause)));
        }
        assert_eq!(pause_ms("msg", PAUSES_MS.len() as u32 + 1), None);
        assert_eq!(pause_ms("msg", 0), None);
    }

    #[test]
    fn an_endpoint_rests_longer_with_each_failure_up_to_a_bound() {
        let rests: Vec<i64> = (1..40).map(|failures| rest_ms("wh", failures)).collect();
        assert!(rests[0] <= REST_MS * 12 / 10 && rests[0] >= REST_MS * 8 / 10);
        assert!(rests[3] > rests[1] && rests.iter().all(|rest| *rest <= REST_MS_MAX * 12 / 10));
        assert!(rests[38] >= REST_MS_MAX * 8 / 10);
        assert_eq!(asked_ms(i64::MAX), DAY_MS);
        assert_eq!(asked_ms(-5), 0);
    }
}
