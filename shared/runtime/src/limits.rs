//! Rate limits at the edge: one keyed limiter per class, so that one caller's burst costs nobody else anything.
//!
//! Each class has two: of units (rows, events, queries), which are known once a request was read, and of bodies, by their bytes:
//! whoever owes for bodies that were read has its next one refused unread. A batch that is refused costs its reading all the
//! same, so without the second a caller beyond its limit could keep this process busy with nothing but refusals.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{
        StateStore,
        keyed::{DefaultKeyedStateStore, ShrinkableKeyedStateStore},
    },
};

use crate::Problem;

/// A class of callers.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Units a second, sustained. A unit is one row of a batch, one event, or one query.
    pub per_second: NonZeroU32,
    /// Units at once.
    pub burst: NonZeroU32,
}

/// Limits by class name. A supplier's class is in its registration; `limited` is for suppliers under a `limit`
/// decision; `buyer` and `events` are what they say.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct LimitsConfig(pub BTreeMap<String, Class>);

impl Default for LimitsConfig {
    fn default() -> Self {
        let class = |per_second, burst| Class {
            per_second: NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN),
            burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN),
        };
        Self(BTreeMap::from([
            ("standard".to_owned(), class(2_000, 5_000)),
            ("large".to_owned(), class(20_000, 50_000)),
            ("limited".to_owned(), class(5, 20)),
            ("buyer".to_owned(), class(1_000, 2_000)),
            ("events".to_owned(), class(50_000, 100_000)),
            ("staff".to_owned(), class(200, 500)),
        ]))
    }
}

/// The class of whoever has no other.
const STANDARD: &str = "standard";
/// Classes that are not for the registration of suppliers.
const OTHERS: [&str; 4] = ["limited", "buyer", "events", "staff"];

/// What each caller has used, shared with the limiter so that a batch beyond the burst can be charged in full.
#[derive(Clone, Default)]
struct Used(Arc<DefaultKeyedStateStore<String>>);

impl StateStore for Used {
    type Key = String;
    fn measure_and_replace<T, F, E>(&self, key: &String, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, judge)
    }
}

impl ShrinkableKeyedStateStore<String> for Used {
    fn retain_recent(&self, drop_below: Nanos) {
        ShrinkableKeyedStateStore::retain_recent(&*self.0, drop_below);
    }
    fn shrink_to_fit(&self) {
        ShrinkableKeyedStateStore::shrink_to_fit(&*self.0);
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes of a body that go with one unit: a row, an event or a question is hardly ever longer, so whoever keeps to the one
/// allowance never meets the other.
pub const UNIT_BYTES: usize = 1_024;

type Keyed<C> = RateLimiter<String, Used, C, StateInformationMiddleware>;

struct Limiter<C: Clock> {
    class: Class,
    keyed: Keyed<C>,
    used: Used,
    /// Nanoseconds in which one unit comes back.
    unit_nanos: u64,
    /// The `RateLimit-Policy` of the class, which is always the same.
    policy: HeaderValue,
}

impl<C: Clock> Limiter<C> {
    fn refused(&self, wait: Duration, what: &str) -> Problem {
        let wait_s = wait.as_secs_f64().ceil().max(1.0) as u64;
        let detail = format!("{what}; wait {wait_s} s and send it again");
        metrics::counter!(crate::metrics::RATE_LIMITED).increment(1);
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with_header(header::RETRY_AFTER, wait_s.to_string());
        problem = problem.with_header(RATE_LIMIT, remaining(self.class, 0));
        problem.with_header(RATE_LIMIT_POLICY, policy(self.class))
    }

    /// Gives back units that were taken and not used.
    fn give_back(&self, caller: &String, units: u32) {
        let less = self.unit_nanos.saturating_mul(u64::from(units));
        let credit = |until: Option<Nanos>| {
            let until = until.map_or(0, Nanos::as_u64).saturating_sub(less);
            Ok::<_, std::convert::Infallible>(((), Nanos::new(until)))
        };
        let Ok(()) = self.used.measure_and_replace(caller, credit);
    }

    /// Charges units that the bucket had no room for: nothing passes until they have come back too.
    fn owe(&self, caller: &String, units: u32) {
        let more = self.unit_nanos.saturating_mul(u64::from(units));
        let charge = |until: Option<Nanos>| {
            let until = until.map_or(0, Nanos::as_u64).saturating_add(more);
            Ok::<_, std::convert::Infallible>(((), Nanos::new(until)))
        };
        let Ok(()) = self.used.measure_and_replace(caller, charge);
    }
}

/// Keyed limiters by class. Cheap to clone.
#[derive(Clone)]
pub struct Limits<C: Clock = DefaultClock> {
    classes: Arc<BTreeMap<String, Limiter<C>>>,
    /// The same classes for bodies, in units of [`UNIT_BYTES`].
    bodies: Arc<BTreeMap<String, Limiter<C>>>,
    clock: C,
}

/// What is left of a caller's allowance, for the `RateLimit` headers.
#[derive(Clone, Debug)]
pub struct Allowance {
    class: Class,
    remaining: u32,
    policy: HeaderValue,
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl Class {
    /// Seconds in which the whole burst comes back.
    fn window_s(self) -> u32 {
        self.burst.get().div_ceil(self.per_second.get())
    }
}

/// `RateLimit-Policy` as in the IETF draft "RateLimit header fields for HTTP".
fn policy(class: Class) -> String {
    format!("\"default\";q={};w={}", class.burst, class.window_s())
}

/// `RateLimit` of the same draft.
fn remaining(class: Class, remaining: u32) -> String {
    format!("\"default\";r={remaining};t={}", class.window_s())
}

impl Allowance {
    /// Adds the fields to a response.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
        let remaining = bytes::Bytes::from(remaining(self.class, self.remaining));
        if let Ok(remaining) = HeaderValue::from_maybe_shared(remaining) {
            headers.insert(RATE_LIMIT, remaining);
        }
    }
}

/// The limiter of a class; of one that is not known, `standard`'s.
fn find<'a, C: Clock>(limiters: &'a BTreeMap<String, Limiter<C>>, class: &str) -> Option<&'a Limiter<C>> {
    limiters.get(class).or_else(|| limiters.get(STANDARD))
}

impl Limits {
    /// Limiters for `config`.
    pub fn new(config: &LimitsConfig) -> Self {
        Self::with_clock(config, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    /// Limiters for `config` that take the time from `clock`.
    pub fn with_clock(config: &LimitsConfig, clock: C) -> Self {
        let limiter = |class: &Class| {
            let quota = Quota::per_second(class.per_second).allow_burst(class.burst);
            let used = Used::default();
            let keyed = RateLimiter::new(quota, used.clone(), clock.clone());
            let unit_nanos = u64::try_from(quota.replenish_interval().as_nanos()).unwrap_or(u64::MAX);
            // Digits and what stands in the text above are always fit for a header.
            let policy = HeaderValue::try_from(policy(*class)).unwrap_or(HeaderValue::from_static(""));
            Limiter { class: *class, keyed, used, unit_nanos, policy }
        };
        let limiters = || config.0.iter().map(|(name, class)| (name.clone(), limiter(class))).collect();
        let (classes, bodies) = (Arc::new(limiters()), Arc::new(limiters()));
        Self { classes, bodies, clock }
    }

    /// Whether a body of `caller` may be read: refused unread is whoever still owes for bodies before, and whoever has no
    /// unit left, for whatever this one says, it would be refused.
    pub fn admit_body(&self, class: &str, caller: &str) -> Result<(), Problem> {
        let caller = caller.to_owned();
        for (limiters, unit) in [(&self.classes, ""), (&self.bodies, " kB of bodies")] {
            let Some(limiter) = find(limiters, class) else { continue };
            if let Some(wait) = self.wait_of(limiter, &caller) {
                let what = format!("more than {}{unit} a second", limiter.class.per_second);
                return Err(limiter.refused(wait, &what));
            }
        }
        Ok(())
    }

    /// Charges a body of so many bytes that was read, or as much of it as came. It may be more than there is: then nothing is
    /// read until that has come back.
    pub fn charge_body(&self, class: &str, caller: &str, bytes: usize) {
        let Some(limiter) = find(&self.bodies, class) else { return };
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
        let (caller, units) = (caller.to_owned(), NonZeroU32::new(units).unwrap_or(NonZeroU32::MIN));
        // What there is room for counts from now; a bucket that is full has none to give back for what it never had.
        match limiter.keyed.check_key_n(&caller, units.min(limiter.class.burst)) {
            Ok(Ok(_)) => limiter.owe(&caller, units.get().saturating_sub(limiter.class.burst.get())),
            Ok(Err(_)) | Err(_) => limiter.owe(&caller, units.get()),
        }
    }

    /// How long a caller has to wait until it has a unit; `None` where it has one, which is not taken.
    fn wait_of(&self, limiter: &Limiter<C>, caller: &String) -> Option<Duration> {
        match limiter.keyed.check_key_n(caller, NonZeroU32::MIN) {
            Ok(Err(not_until)) => Some(not_until.wait_time_from(self.clock.now())),
            // One is never too many.
            Ok(Ok(_)) | Err(_) => {
                limiter.give_back(caller, 1);
                None
            }
        }
    }

    /// Takes `units` from the allowance of `caller`, an authenticated id. An unknown class is `standard`.
    ///
    /// More units than the burst are taken when the whole burst is there, and paid off before anything else passes: the
    /// rate holds, and no batch is refused for ever.
    pub fn take(&self, class: &str, caller: &str, units: usize) -> Result<Option<Allowance>, Problem> {
        let Some(limiter) = self.limiter(class) else { return Ok(None) };
        let Class { per_second, burst } = limiter.class;
        let units = NonZeroU32::new(u32::try_from(units).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let caller = caller.to_owned();
        match limiter.keyed.check_key_n(&caller, units.min(burst)) {
            Ok(Ok(state)) => {
                let beyond = units.get().saturating_sub(burst.get());
                if beyond > 0 {
                    limiter.owe(&caller, beyond);
                }
                let remaining = state.remaining_burst_capacity();
                Ok(Some(Allowance { class: limiter.class, remaining, policy: limiter.policy.clone() }))
            }
            Ok(Err(not_until)) => {
                // What is sent again has to be read again.
                let body = find(&self.bodies, class).and_then(|bodies| self.wait_of(bodies, &caller));
                let wait = not_until.wait_time_from(self.clock.now()).max(body.unwrap_or_default());
                let what = match units > burst {
                    true => format!("{units} at once are taken when {burst} have gathered"),
                    false => format!("more than {per_second} a second"),
                };
                Err(limiter.refused(wait, &what))
            }
            // As many as the burst are never too many.
            Err(_) => Err(limiter.refused(Duration::ZERO, &format!("{units} at once are too many"))),
        }
    }

    /// The same for work that waits rather than being refused: how long, where there is no room now. It takes only from a
    /// full bucket, at most the burst, so that whatever is asked beside it finds nearly all of the allowance.
    pub fn take_or_wait(&self, class: &str, caller: &str, units: u32) -> Result<(), Duration> {
        let Some(limiter) = self.limiter(class) else { return Ok(()) };
        // More than one in a nanosecond is no limit, and nothing that could be given back.
        if limiter.unit_nanos == 0 {
            return Ok(());
        }
        let burst = limiter.class.burst;
        let caller = caller.to_owned();
        match limiter.keyed.check_key_n(&caller, burst) {
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now())),
            // As many as the burst are never too many.
            Ok(Ok(_)) | Err(_) => {
                limiter.give_back(&caller, burst.get().saturating_sub(units));
                Ok(())
            }
        }
    }

    /// Rate and burst of a class; of one that is not known, `standard`'s; `None` where nothing is limited.
    pub fn class(&self, class: &str) -> Option<Class> {
        self.limiter(class).map(|limiter| limiter.class)
    }

    fn limiter(&self, class: &str) -> Option<&Limiter<C>> {
        find(&self.classes, class)
    }

    /// Classes that a supplier may be registered in: `standard` and those configured that are not for other callers.
    pub fn for_suppliers(&self) -> impl Iterator<Item = &str> {
        let others = |class: &&str| *class != STANDARD && !OTHERS.contains(class);
        std::iter::once(STANDARD).chain(self.classes.keys().map(String::as_str).filter(others))
    }
    /// Whether a supplier may be registered in `class`.
    pub fn is_for_suppliers(&self, class: &str) -> bool {
        self.for_suppliers().any(|known| known == class)
    }

    /// Drops keys whose allowance is full again, and reports how many are left. Call it now and then.
    pub fn evict(&self) {
        let mut kept = 0;
        for limiter in self.classes.values().chain(self.bodies.values()) {
            limiter.keyed.retain_recent();
            limiter.keyed.shrink_to_fit();
            kept += limiter.keyed.len();
        }
        metrics::gauge!(crate::metrics::RATE_LIMIT_KEYS).set(kept as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Limits {
        let class = Class { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(3).unwrap() };
        Limits::new(&LimitsConfig(BTreeMap::from([("standard".to_owned(), class)])))
    }

    #[test]
    fn one_callers_burst_is_refused_and_the_others_notice_nothing() {
        let limits = tiny();
        assert!(limits.take("standard", "a", 3).is_ok());
        let problem = limits.take("standard", "a", 1).unwrap_err();
        assert_eq!((problem.status, problem.code), (429, "rate_limited"));
        let response = axum::response::IntoResponse::into_response(problem);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["ratelimit"], "\"default\";r=0;t=3");
        let mut headers = HeaderMap::new();
        limits.take("standard", "b", 1).unwrap().unwrap().write(&mut headers);
        assert_eq!(headers["ratelimit"], "\"default\";r=2;t=3");
    }

    #[test]
    fn a_batch_beyond_the_burst_is_taken_when_the_burst_is_there_and_paid_off_before_anything_else() {
        let clock = governor::clock::FakeRelativeClock::default();
        let class = Class { per_second: NonZeroU32::new(5).unwrap(), burst: NonZeroU32::new(20).unwrap() };
        let limits =
            Limits::with_clock(&LimitsConfig(BTreeMap::from([("limited".to_owned(), class)])), clock.clone());
        let wait_s = |units: usize| -> Option<u64> {
            let response =
                axum::response::IntoResponse::into_response(limits.take("limited", "a", units).err()?);
            Some(response.headers()["retry-after"].to_str().unwrap().parse().unwrap())
        };
        assert_eq!(wait_s(1_000), None, "the largest batch there is");
        assert_eq!(wait_s(1), Some(197), "980 beyond the burst and the next one, at 5 a second");
        assert!(limits.take("limited", "b", 20).is_ok(), "nobody else notices");
        clock.advance(std::time::Duration::from_secs(196));
        assert_eq!(wait_s(1), Some(1));
        clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(wait_s(1), None);
        let wait = wait_s(21).expect("the burst is not there");
        limits.evict();
        clock.advance(std::time::Duration::from_secs(wait));
        assert_eq!(wait_s(21), None, "what Retry-After says is true");
    }

    proptest::proptest! {
        /// Whatever is sent when, no more passes in any stretch of time than the rate brings and one burst and one batch.
        #[test]
        fn the_rate_holds_over_any_stretch(
            steps in proptest::collection::vec((0u64..3_000, 1usize..60), 1..60),
        ) {
            let clock = governor::clock::FakeRelativeClock::default();
            let class = Class { per_second: NonZeroU32::new(5).unwrap(), burst: NonZeroU32::new(20).unwrap() };
            let config = LimitsConfig(BTreeMap::from([("standard".to_owned(), class)]));
            let limits = Limits::with_clock(&config, clock.clone());
            let (mut now_ms, mut passed): (u64, Vec<(u64, usize)>) = (0, Vec::new());
            for (pause_ms, units) in steps {
                clock.advance(std::time::Duration::from_millis(pause_ms));
                now_ms += pause_ms;
                if limits.take("standard", "a", units).is_ok() {
                    passed.push((now_ms, units));
                }
            }
            for (at, (from_ms, _)) in passed.iter().enumerate() {
                // The last one of a stretch may be the batch that goes into debt.
                let mut sum = 0;
                for (until_ms, units) in &passed[at..] {
                    let room = 20 + (until_ms - from_ms) * 5 / 1_000;
                    proptest::prop_assert!(sum <= room as usize, "{passed:?}");
                    sum += units;
                }
            }
        }
    }

    #[test]
    fn work_that_waits_is_told_how_long_and_shares_the_allowance_of_its_caller() {
        let clock = governor::clock::FakeRelativeClock::default();
        let class = Class { per_second: NonZeroU32::new(5).unwrap(), burst: NonZeroU32::new(20).unwrap() };
        let config = LimitsConfig(BTreeMap::from([("standard".to_owned(), class)]));
        let limits = Limits::with_clock(&config, clock.clone());
        assert_eq!(limits.take_or_wait("standard", "a", 5), Ok(()));
        let wait = limits.take_or_wait("standard", "a", 5).unwrap_err();
        assert_eq!(wait.as_millis(), 1_000, "until the bucket is full again");
        assert!(limits.take("standard", "a", 15).is_ok(), "who asks beside it finds the rest");
        assert!(limits.take("standard", "a", 1).is_err(), "and no more: it is one allowance");
        clock.advance(Duration::from_secs(4));
        assert_eq!(limits.take_or_wait("standard", "a", 1_000), Ok(()));
        assert!(limits.take("standard", "a", 1).is_err(), "at most the burst");
        let endless = Class { per_second: NonZeroU32::MAX, burst: NonZeroU32::MAX };
        let endless = Limits::new(&LimitsConfig(BTreeMap::from([("standard".to_owned(), endless)])));
        assert!((0..3).all(|_| endless.take_or_wait("standard", "a", 500).is_ok()));
        assert_eq!(limits.class("none").map(|class| class.burst.get()), Some(20));
    }

    #[test]
    fn bodies_are_charged_as_they_are_read_and_refused_unread_while_something_is_owed() {
        let clock = governor::clock::FakeRelativeClock::default();
        let class = Class { per_second: NonZeroU32::new(5).unwrap(), burst: NonZeroU32::new(20).unwrap() };
        let config = LimitsConfig(BTreeMap::from([("standard".to_owned(), class)]));
        let limits = Limits::with_clock(&config, clock.clone());
        let admitted = |caller: &str| limits.admit_body("standard", caller).is_ok();
        let read = |caller: &str, units: usize| limits.charge_body("standard", caller, units * UNIT_BYTES);
        assert!(admitted("a"));
        read("a", 20);
        assert!(!admitted("a"), "as much as goes with the burst of units was read");
        assert!(limits.take("standard", "a", 20).is_ok(), "which are all there");
        assert!(admitted("b"), "nobody else notices");
        clock.advance(Duration::from_secs(4));
        assert!(limits.take("standard", "a", 20).is_ok());
        assert!(!admitted("a"), "no unit is left, so it is not even read");
        clock.advance(Duration::from_millis(200));
        assert!(admitted("a"), "and that was not charged");
        // The longest body there is may be read by the slowest class, and is paid off.
        assert!(admitted("c"));
        read("c", 1_000);
        let refused = limits.take("standard", "c", 21).err();
        assert!(refused.is_none(), "its units are another allowance");
        let refused = limits.take("standard", "c", 1).unwrap_err();
        let response = axum::response::IntoResponse::into_response(refused);
        assert_eq!(
            response.headers()["retry-after"],
            "197",
            "what is sent again is read again: 980 owed, and one"
        );
        clock.advance(Duration::from_secs(196));
        assert!(!admitted("c"));
        clock.advance(Duration::from_secs(1));
        assert!(admitted("c"));
        // Nothing costs less than one, and what was owed twice is owed twice.
        (0..21).for_each(|_| limits.charge_body("standard", "d", 0));
        assert!(!admitted("d"));
        clock.advance(Duration::from_millis(200));
        assert!(!admitted("d"));
        clock.advance(Duration::from_millis(200));
        assert!(admitted("d"));
    }

    #[test]
    fn callers_that_have_gone_quiet_are_forgotten() {
        let class = Class { per_second: NonZeroU32::new(1_000_000).unwrap(), burst: NonZeroU32::MIN };
        let limits = Limits::new(&LimitsConfig(BTreeMap::from([("standard".to_owned(), class)])));
        for caller in 0..100 {
            let _ = limits.take("standard", &caller.to_string(), 1);
        }
        let kept = || limits.classes["standard"].keyed.len();
        while kept() > 0 {
            limits.evict();
        }
    }
}
