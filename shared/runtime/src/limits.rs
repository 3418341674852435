//! Rate limits at the edge: one keyed limiter per class, so that one caller's burst costs nobody else anything.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
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

type Keyed = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

struct Limiter {
    class: Class,
    keyed: Keyed,
}

/// Keyed limiters by class. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    classes: Arc<BTreeMap<String, Limiter>>,
    clock: DefaultClock,
}

/// What is left of a caller's allowance, for the `RateLimit` headers.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    class: Class,
    remaining: u32,
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl Allowance {
    /// `RateLimit` and `RateLimit-Policy` as in the IETF draft "RateLimit header fields for HTTP".
    fn fields(self) -> [(HeaderName, String); 2] {
        let Class { per_second, burst } = self.class;
        let window = burst.get().div_ceil(per_second.get());
        [
            (RATE_LIMIT_POLICY, format!("\"default\";q={burst};w={window}")),
            (RATE_LIMIT, format!("\"default\";r={};t={window}", self.remaining)),
        ]
    }
    /// Adds the fields to a response.
    pub fn write(self, headers: &mut HeaderMap) {
        for (name, value) in self.fields() {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

impl Limits {
    /// Limiters for `config`.
    pub fn new(config: &LimitsConfig) -> Self {
        let limiter = |class: &Class| {
            let quota = Quota::per_second(class.per_second).allow_burst(class.burst);
            let keyed = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
            Limiter { class: *class, keyed }
        };
        let classes = config.0.iter().map(|(name, class)| (name.clone(), limiter(class))).collect();
        Self { classes: Arc::new(classes), clock: DefaultClock::default() }
    }

    /// Takes `units` from the allowance of `caller`, an authenticated id. An unknown class is `standard`.
    pub fn take(&self, class: &str, caller: &str, units: usize) -> Result<Option<Allowance>, Problem> {
        let Some(limiter) = self.classes.get(class).or_else(|| self.classes.get(STANDARD)) else {
            return Ok(None);
        };
        let units = NonZeroU32::new(u32::try_from(units).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let refused = |wait_s: u64, detail: String| {
            metrics::counter!("stockade_http_rate_limited_total").increment(1);
            let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
                .with_header(header::RETRY_AFTER, wait_s.to_string());
            for (name, value) in (Allowance { class: limiter.class, remaining: 0 }).fields() {
                problem = problem.with_header(name, value);
            }
            problem
        };
        match limiter.keyed.check_key_n(&caller.to_owned(), units) {
            Ok(Ok(state)) => {
                Ok(Some(Allowance { class: limiter.class, remaining: state.remaining_burst_capacity() }))
            }
            Ok(Err(not_until)) => {
                let wait_s = not_until.wait_time_from(self.clock.now()).as_secs_f64().ceil().max(1.0) as u64;
                Err(refused(
                    wait_s,
                    format!(
                        "more than {} a second; wait {wait_s} s and send it again",
                        limiter.class.per_second
                    ),
                ))
            }
            Err(_) => Err(refused(
                1,
                format!("{units} at once is over the burst of {}; split the batch", limiter.class.burst),
            )),
        }
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
        for limiter in self.classes.values() {
            limiter.keyed.retain_recent();
            limiter.keyed.shrink_to_fit();
            kept += limiter.keyed.len();
        }
        metrics::gauge!("stockade_http_rate_limit_keys").set(kept as f64);
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
    fn more_than_the_burst_can_never_pass_and_says_so() {
        let problem = tiny().take("standard", "a", 4).unwrap_err();
        assert!(problem.detail.contains("split the batch"));
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
