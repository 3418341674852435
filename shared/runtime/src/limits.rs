//! Rate limits at the edge: one keyed limiter per class, so that one caller's burst costs nobody else anything.
//!
//! Each class has two: of units (rows, events, queries), which are known once a request was read, and of bodies, by their bytes:
//! whoever owes for bodies that were read has its next one refused unread. A batch that is refused costs its reading all the
//! same, so without the second a caller beyond its limit could keep this process busy with nothing but refusals.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use governor::{
    RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{
        StateStore,
        keyed::{DefaultKeyedStateStore, ShrinkableKeyedStateStore},
    },
};

use parking_lot::RwLock;

use crate::Problem;

mod together;
pub use together::{Shared, Trust};

mod class;
pub use class::{Class, Per};

/// Limits by class name. A supplier's class is in its registration; `limited` is for suppliers under a `limit`
/// decision; `buyer` and `events` are what they say. `new` and `suspect` are what all suppliers of that [`Trust`] share, beside
/// what each of them has for itself; `payout` is what new suppliers share of whom many have one payout account. One of them gets a quarter
/// of either at most; `guaranteed` is what each of those is served of it at least, whatever the others send. Rows that
/// only take supply away need nothing of that up to `reductions`, which each supplier has. A class that is not told has its usual bounds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "BTreeMap<String, Class>", into = "BTreeMap<String, Class>")]
pub struct LimitsConfig(pub BTreeMap<String, Class>);

impl From<BTreeMap<String, Class>> for LimitsConfig {
    /// A class that is not told has its usual bounds: who changes one has not meant to open another.
    fn from(told: BTreeMap<String, Class>) -> Self {
        let mut all = Self::default().0;
        all.extend(told);
        Self(all)
    }
}

impl From<LimitsConfig> for BTreeMap<String, Class> {
    fn from(config: LimitsConfig) -> Self {
        config.0
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let some = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let class = |per_second, burst| Class::a_second(some(per_second), some(burst));
        Self(BTreeMap::from([
            ("standard".to_owned(), class(2_000, 5_000)),
            ("large".to_owned(), class(20_000, 50_000)),
            ("limited".to_owned(), class(5, 20)),
            ("buyer".to_owned(), class(1_000, 2_000)),
            ("events".to_owned(), class(50_000, 100_000)),
            ("staff".to_owned(), class(200, 500)),
            // As much as two suppliers of `standard` may send for good, and as half of one.
            ("new".to_owned(), class(4_000, 20_000)),
            ("suspect".to_owned(), class(1_000, 5_000)),
            // Somebody who types in a catalogue keeps to it, and so does a till. A quarter of what new ones share is 200 times that.
            (GUARANTEED.to_owned(), class(5, 25)),
            // A shop that is emptied by hand, or by a till, is far below.
            (REDUCTIONS.to_owned(), class(50, 500)),
            // However many they are, they send a quarter of what one of `standard` may.
            (PAYOUT.to_owned(), class(500, 2_000)),
            // A whole marketplace may move in at once; what nobody has, and a stolen key would make, are more.
            (REGISTRATIONS.to_owned(), Class { units: some(50_000), per: Per::Day, burst: some(200_000) }),
        ]))
    }
}

/// The class of whoever has no other.
const STANDARD: &str = "standard";
/// The class of suppliers that one operator registers.
pub const REGISTRATIONS: &str = "registrations";
/// The class of what new suppliers with one payout account may send together, where that is an account of many.
pub const PAYOUT: &str = "payout";
/// The class of what each supplier that shares has for itself of what is shared.
pub const GUARANTEED: &str = "guaranteed";
/// The class of rows of one supplier that only take supply away and need nothing of what is shared.
pub const REDUCTIONS: &str = "reductions";
/// All suppliers of one trust who share have as many of these together as so many of them.
const REDUCERS: u32 = 20;
/// Classes that are not for the registration of suppliers.
const OTHERS: [&str; 10] =
    ["limited", "buyer", "events", "staff", "new", "suspect", REGISTRATIONS, PAYOUT, GUARANTEED, REDUCTIONS];

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

/// A wait in whole seconds, as `Retry-After` says it: never too short, and not 0.
pub fn retry_after_s(wait: Duration) -> u64 {
    wait.as_secs_f64().ceil().max(1.0) as u64
}

/// Units of bodies that so many bytes are; nothing costs less than one.
fn units_of(bytes: usize) -> NonZeroU32 {
    let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
    NonZeroU32::new(units).unwrap_or(NonZeroU32::MIN)
}

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
        let wait_s = retry_after_s(wait);
        let detail = format!("{what}; wait {wait_s} s and send it again");
        metrics::counter!(crate::metrics::RATE_LIMITED).increment(1);
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with_header(header::RETRY_AFTER, wait_s.to_string());
        problem = problem.with_header(RATE_LIMIT, remaining(self.class, 0));
        problem.with_header(RATE_LIMIT_POLICY, policy(self.class))
    }

    /// Takes units whole, or none: more than the burst where the whole burst is there, and the rest is owed.
    fn takes(&self, caller: &String, units: NonZeroU32) -> bool {
        let burst = self.class.burst;
        let is_taken = matches!(self.keyed.check_key_n(caller, units.min(burst)), Ok(Ok(_)));
        if is_taken && units > burst {
            self.owe(caller, units.get() - burst.get());
        }
        is_taken
    }

    /// Takes as many of `units` as there are.
    fn takes_some(&self, caller: &String, units: u32) -> u32 {
        if units == 0 {
            return 0;
        }
        // The first says how many more there are.
        let Ok(Ok(state)) = self.keyed.check_key_n(caller, NonZeroU32::MIN) else { return 0 };
        let more = NonZeroU32::new(state.remaining_burst_capacity().min(units - 1));
        let more = more.filter(|more| matches!(self.keyed.check_key_n(caller, *more), Ok(Ok(_))));
        1 + more.map_or(0, NonZeroU32::get)
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

    /// Charges units whether or not there is room for them.
    fn charge(&self, caller: &str, units: NonZeroU32) {
        let caller = caller.to_owned();
        // What there is room for counts from now; a bucket that is full has none to give back for what it never had.
        match self.keyed.check_key_n(&caller, units.min(self.class.burst)) {
            Ok(Ok(_)) => self.owe(&caller, units.get().saturating_sub(self.class.burst.get())),
            Ok(Err(_)) | Err(_) => self.owe(&caller, units.get()),
        }
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

/// Limiters by class.
type Limiters<C> = BTreeMap<String, Arc<Limiter<C>>>;

/// The limiters of one configuration.
struct Set<C: Clock> {
    classes: Limiters<C>,
    /// The same classes for bodies, in units of [`UNIT_BYTES`].
    bodies: Limiters<C>,
    /// What one caller may have of each class that many share, and the same for bodies. As much is for all together who keep to what
    /// each is guaranteed, under the name of all.
    quarters: Limiters<C>,
    body_quarters: Limiters<C>,
    /// What all of each class that many share may take away beside it.
    reductions: Limiters<C>,
}

/// Keyed limiters by class. Cheap to clone; all clones change together.
#[derive(Clone)]
pub struct Limits<C: Clock = DefaultClock> {
    set: Arc<RwLock<Arc<Set<C>>>>,
    clock: C,
}

/// What is left of a caller's allowance, for the `RateLimit` headers.
#[derive(Clone, Debug)]
pub struct Allowance {
    class: Class,
    remaining: u32,
    policy: HeaderValue,
    /// What is left of an allowance that the caller shares with others.
    shared: Option<Shared>,
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

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
        let own = remaining(self.class, self.remaining);
        let remaining = bytes::Bytes::from(match &self.shared {
            None => own,
            Some(shared) => {
                if let Ok(policy) =
                    HeaderValue::try_from(format!("{}, {}", policy(self.class), shared.policy()))
                {
                    headers.insert(RATE_LIMIT_POLICY, policy);
                }
                format!("{own}, {}", shared.remaining())
            }
        });
        if let Ok(remaining) = HeaderValue::from_maybe_shared(remaining) {
            headers.insert(RATE_LIMIT, remaining);
        }
    }
}

/// The limiter of a class; of one that is not known, `standard`'s.
fn find<'a, C: Clock>(limiters: &'a Limiters<C>, class: &str) -> Option<&'a Arc<Limiter<C>>> {
    limiters.get(class).or_else(|| limiters.get(STANDARD))
}

impl<C: Clock + Clone> Set<C> {
    /// Limiters for `config`; those of `before` whose class is the same are kept.
    fn new(config: &LimitsConfig, clock: &C, before: Option<&Self>) -> Self {
        let limiter = |class: &Class| {
            let quota = class.quota();
            let used = Used::default();
            let keyed = RateLimiter::new(quota, used.clone(), clock.clone());
            let unit_nanos = u64::try_from(quota.replenish_interval().as_nanos()).unwrap_or(u64::MAX);
            // Digits and what stands in the text above are always fit for a header.
            let policy = HeaderValue::try_from(policy(*class)).unwrap_or(HeaderValue::from_static(""));
            Arc::new(Limiter { class: *class, keyed, used, unit_nanos, policy })
        };
        let limiters = |kept: Option<&Limiters<C>>| {
            let of = |(name, class): (&String, &Class)| {
                let kept = kept.and_then(|kept| kept.get(name)).filter(|kept| kept.class == *class);
                (name.clone(), kept.cloned().unwrap_or_else(|| limiter(class)))
            };
            config.0.iter().map(of).collect()
        };
        let quarters = |names: &[&str], kept: Option<&Limiters<C>>| {
            let quarter = |name: &&str| {
                let class = config.0.get(*name)?.quarter();
                let kept = kept.and_then(|kept| kept.get(*name)).filter(|kept| kept.class == class);
                Some(((*name).to_owned(), kept.cloned().unwrap_or_else(|| limiter(&class))))
            };
            names.iter().filter_map(quarter).collect()
        };
        let [new, suspect] = Trust::CLASSES;
        let reductions = |kept: Option<&Limiters<C>>| {
            let of = |name: &&str| {
                let class = config.0.get(REDUCTIONS)?.times(REDUCERS);
                let kept = kept.and_then(|kept| kept.get(*name)).filter(|kept| kept.class == class);
                Some(((*name).to_owned(), kept.cloned().unwrap_or_else(|| limiter(&class))))
            };
            Trust::CLASSES.iter().filter_map(of).collect()
        };
        Self {
            reductions: reductions(before.map(|before| &before.reductions)),
            classes: limiters(before.map(|before| &before.classes)),
            bodies: limiters(before.map(|before| &before.bodies)),
            quarters: quarters(&[new, suspect, PAYOUT], before.map(|before| &before.quarters)),
            body_quarters: quarters(&Trust::CLASSES, before.map(|before| &before.body_quarters)),
        }
    }
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
        let set = Arc::new(Set::new(config, &clock, None));
        Self { set: Arc::new(RwLock::new(set)), clock }
    }

    /// Puts other limits in force. A class that is as it was goes on; in one that is not, callers begin anew.
    pub fn replace(&self, config: &LimitsConfig) {
        let before = self.now();
        *self.set.write() = Arc::new(Set::new(config, &self.clock, Some(&before)));
    }

    /// The limits in force.
    pub fn in_force(&self) -> LimitsConfig {
        let set = self.now();
        LimitsConfig(set.classes.iter().map(|(name, limiter)| (name.clone(), limiter.class)).collect())
    }

    fn now(&self) -> Arc<Set<C>> {
        self.set.read().clone()
    }

    /// Whether a body of `caller` may be read: refused unread is whoever still owes for bodies before, and whoever has no
    /// unit left, for whatever this one says, it would be refused.
    pub fn admit_body(&self, class: &str, caller: &str) -> Result<(), Problem> {
        let (caller, set) = (caller.to_owned(), self.now());
        for (limiters, unit) in [(&set.classes, ""), (&set.bodies, " kB of bodies")] {
            let Some(limiter) = find(limiters, class) else { continue };
            if let Some(wait) = self.wait_of(limiter, &caller) {
                let what = format!("more than {}", limiter.class.in_words(unit));
                return Err(limiter.refused(wait, &what));
            }
        }
        Ok(())
    }

    /// Charges a body of so many bytes that was read, or as much of it as came. It may be more than there is: then nothing is
    /// read until that has come back.
    pub fn charge_body(&self, class: &str, caller: &str, bytes: usize) {
        if let Some(limiter) = find(&self.now().bodies, class) {
            limiter.charge(caller, units_of(bytes));
        }
    }

    /// Takes one registration of a new supplier from what `operator` may register.
    pub fn register(&self, operator: &str) -> Result<Option<Allowance>, Problem> {
        // Not by `find`: where nothing is said of it, it is none of the usual class.
        if !self.now().classes.contains_key(REGISTRATIONS) {
            return Ok(None);
        }
        self.take(REGISTRATIONS, operator, 1).map_err(|refused| {
            let detail = format!(
                "{}. So many suppliers were registered with your key; a registration of one that is known is always taken. If this is meant, raise `limits.registrations` in the configuration, which needs no restart",
                refused.detail
            );
            refused.as_code("too_many_registrations", detail)
        })
    }

    /// Gives back what [`Limits::register`] took, where nothing was registered.
    pub fn unregister(&self, operator: &str) {
        self.give_back((REGISTRATIONS, operator), 1);
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
        let set = self.now();
        let Some(limiter) = find(&set.classes, class) else { return Ok(None) };
        let Class { units: sustained, per, burst } = limiter.class;
        let units = NonZeroU32::new(u32::try_from(units).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let caller = caller.to_owned();
        match limiter.keyed.check_key_n(&caller, units.min(burst)) {
            Ok(Ok(state)) => {
                let beyond = units.get().saturating_sub(burst.get());
                if beyond > 0 {
                    limiter.owe(&caller, beyond);
                }
                let remaining = state.remaining_burst_capacity();
                Ok(Some(Allowance {
                    class: limiter.class,
                    remaining,
                    policy: limiter.policy.clone(),
                    shared: None,
                }))
            }
            Ok(Err(not_until)) => {
                // What is sent again has to be read again.
                let body = find(&set.bodies, class).and_then(|bodies| self.wait_of(bodies, &caller));
                let wait = not_until.wait_time_from(self.clock.now()).max(body.unwrap_or_default());
                let what = match units > burst {
                    true => {
                        format!(
                            "{units} at once are taken when {burst} have gathered, which come back at {sustained} {per}"
                        )
                    }
                    false => format!("more than {}", limiter.class.in_words("")),
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
        let set = self.now();
        let Some(limiter) = find(&set.classes, class) else { return Ok(()) };
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
        find(&self.now().classes, class).map(|limiter| limiter.class)
    }

    /// Classes that a supplier may be registered in: `standard` and those configured that are not for other callers.
    pub fn for_suppliers(&self) -> Vec<String> {
        let set = self.now();
        let others = |class: &&String| *class != STANDARD && !OTHERS.contains(&class.as_str());
        std::iter::once(STANDARD.to_owned()).chain(set.classes.keys().filter(others).cloned()).collect()
    }
    /// Whether a supplier may be registered in `class`.
    pub fn is_for_suppliers(&self, class: &str) -> bool {
        self.for_suppliers().iter().any(|known| known == class)
    }

    /// Drops keys whose allowance is full again, and reports how many are left. Call it now and then.
    pub fn evict(&self) {
        let mut kept = 0;
        let set = self.now();
        let all = [&set.classes, &set.bodies, &set.quarters, &set.body_quarters, &set.reductions];
        for limiter in all.into_iter().flat_map(|limiters| limiters.values()) {
            limiter.keyed.retain_recent();
            limiter.keyed.shrink_to_fit();
            kept += limiter.keyed.len();
        }
        metrics::gauge!(crate::metrics::RATE_LIMIT_KEYS).set(kept as f64);
    }
}

#[cfg(test)]
mod tests;
