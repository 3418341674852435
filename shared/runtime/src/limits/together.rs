//! What suppliers who are not known yet, or under suspicion, may send together. Each has an allowance of its own beside it, so a
//! thousand of them that were made up take no more than one share, however many there are.
//!
//! Nothing inside such a share is fair by itself: whoever asks most often finds what has just come back, and one that is honest and
//! asks now and then is refused for ever. Therefore each is guaranteed a little, which is asked for where the share is used up. It is
//! taken from the share all the same, which then owes it, so that all together have no more than before; and all who keep to their
//! guarantee have at most a quarter of the share, so that two hundred thousand who were made up do not turn it into something else.

use std::{num::NonZeroU32, time::Duration};

use axum::http::{StatusCode, header};
use governor::clock::Clock;

use super::{
    Allowance, Class, GUARANTEED, Limiter, Limiters, Limits, RATE_LIMIT, RATE_LIMIT_POLICY, REDUCTIONS, Set,
};
use crate::Problem;

/// How far a supplier is known: what it shares with others, and when its writes are shed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Known for a while, and nothing is against it.
    #[default]
    Trusted,
    /// It came lately.
    New,
    /// A restriction is in force against it.
    Suspect,
}

/// All of a class go by this name.
const ALL: &str = "*";

impl Trust {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Trusted, Self::New, Self::Suspect];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// How it is written.
    pub fn as_str(self) -> &'static str {
        self.class().unwrap_or("trusted")
    }

    /// The classes of limits that are shared.
    pub(super) const CLASSES: [&'static str; 2] = ["new", "suspect"];

    /// The class of limits that all who are trusted so far share, if they share one.
    pub fn class(self) -> Option<&'static str> {
        match self {
            Self::Trusted => None,
            Self::New => Some("new"),
            Self::Suspect => Some("suspect"),
        }
    }
}

/// What is left of what a class shares.
#[derive(Clone, Debug)]
pub struct Shared {
    name: &'static str,
    class: Class,
    remaining: u32,
}

impl Shared {
    /// As in `RateLimit-Policy`.
    pub(super) fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.class.burst, self.class.window_s())
    }
    /// As in `RateLimit`.
    pub(super) fn remaining(&self) -> String {
        format!("\"{}\";r={};t={}", self.name, self.remaining, self.class.window_s())
    }
}

impl Allowance {
    /// The same with what is left of what is shared.
    #[must_use]
    pub fn with(self, shared: Option<Shared>) -> Self {
        Self { shared, ..self }
    }
}

/// Nothing costs less than one.
fn counted(units: usize) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(units).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}

/// What one caller is guaranteed of a class, and what all who keep to that have together: as much as one may have otherwise.
fn guarantee<'a, C: Clock>(
    own: &'a Limiters<C>,
    all: &'a Limiters<C>,
    name: &str,
) -> Option<(&'a Limiter<C>, &'a Limiter<C>)> {
    Some((&**own.get(GUARANTEED)?, &**all.get(name)?))
}

/// Why there was not enough: of one's own part, or of what all share.
struct Short {
    name: &'static str,
    class: Class,
    wait: Duration,
    of_one: bool,
}

impl<C: Clock + Clone> Limits<C> {
    /// Whether a body of somebody of `trust` may be read, by what all of them have left.
    pub fn admit_body_together(&self, trust: Trust, caller: &str) -> Result<(), Problem> {
        let Some((name, set)) = trust.class().map(|name| (name, self.now())) else { return Ok(()) };
        if let Some(quarter) = set.body_quarters.get(name)
            && let Some(wait) = self.wait_of(quarter, &caller.to_owned())
        {
            return Err(self.refused_together(name, quarter.class, wait, true));
        }
        for limiters in [&set.classes, &set.bodies] {
            let Some(limiter) = limiters.get(name) else { continue };
            if let Some(wait) = self.wait_of(limiter, &ALL.to_owned())
                && !self.is_guaranteed(&set, name, caller)
            {
                return Err(self.refused_together(name, limiter.class, wait, false));
            }
        }
        Ok(())
    }

    /// Whether a caller who keeps to its guarantee has a unit of it left, of units and of bodies.
    fn is_guaranteed(&self, set: &Set<C>, name: &str, caller: &str) -> bool {
        let has = |limiter: &Limiter<C>, key: &str| self.wait_of(limiter, &key.to_owned()).is_none();
        let both = [(&set.classes, &set.quarters), (&set.bodies, &set.body_quarters)];
        both.into_iter().all(|(own, all)| {
            guarantee(own, all, name).is_some_and(|(own, all)| has(own, caller) && has(all, ALL))
        })
    }

    /// Charges a body that was read to what all of `trust` share. Bodies that were under way at once may owe more than there is
    /// together, and nobody who did not send them should wait for long: beyond two bursts nothing more is owed. What one sends beyond
    /// its quarter is its own.
    pub fn charge_body_together(&self, trust: Trust, caller: &str, bytes: usize) {
        let Some((name, set)) = trust.class().map(|name| (name, self.now())) else { return };
        let (Some(limiter), Some(quarter)) = (set.bodies.get(name), set.body_quarters.get(name)) else {
            return;
        };
        let is_within = self.wait_of(quarter, &caller.to_owned()).is_none();
        self.charge(quarter, caller, bytes);
        if !is_within {
            return;
        }
        let wait = self.charge_all(limiter, bytes);
        // It was read because that is guaranteed, or came with others that were.
        if wait.is_some()
            && let Some((own, all)) = guarantee(&set.bodies, &set.body_quarters, name)
        {
            self.charge(own, caller, bytes);
            self.charge_all(all, bytes);
        }
    }

    /// Charges a body to what all have, unless they owe more than a burst; gives how long they had to wait before.
    fn charge_all(&self, limiter: &Limiter<C>, bytes: usize) -> Option<Duration> {
        let most =
            Duration::from_nanos(limiter.unit_nanos.saturating_mul(u64::from(limiter.class.burst.get())));
        let wait = self.wait_of(limiter, &ALL.to_owned());
        if wait.is_none_or(|wait| wait <= most) {
            self.charge(limiter, ALL, bytes);
        }
        wait
    }

    /// Takes `units` of what all of `trust` share, for a caller of `class` who has taken as many of its own allowance: where what
    /// is shared is used up, those are given back. More than the burst at once is taken as [`Limits::take`] does.
    pub fn share(&self, caller: (&str, &str), trust: Trust, units: usize) -> Result<Option<Shared>, Problem> {
        self.take_shared(trust, caller.1, units).map_err(|Short { name, class, wait, of_one }| {
            self.give_back(caller, units);
            self.refused_together(name, class, wait, of_one)
        })
    }

    /// Gives back units that a caller of a class has taken and not used.
    pub fn give_back(&self, (class, caller): (&str, &str), units: usize) {
        if let Some(limiter) = super::find(&self.now().classes, class) {
            limiter.give_back(&caller.to_owned(), u32::try_from(units).unwrap_or(u32::MAX));
        }
    }

    /// Takes from what a supplier may take away without asking for anything that is shared; gives how many of `rows` that is enough
    /// for. Who shares at all has this with the others too, or a thousand who were made up would send nothing else.
    pub fn reduce(&self, trust: Trust, supplier: &str, rows: usize) -> usize {
        let set = self.now();
        let Some(own) = set.classes.get(REDUCTIONS) else { return rows };
        let supplier = supplier.to_owned();
        let free = own.takes_some(&supplier, u32::try_from(rows).unwrap_or(u32::MAX));
        let all = trust.class().and_then(|name| set.reductions.get(name));
        let of_all = all.map_or(free, |all| all.takes_some(&ALL.to_owned(), free));
        own.give_back(&supplier, free - of_all);
        of_all as usize
    }

    /// Gives back what [`Limits::reduce`] took, where nothing was taken away.
    pub fn unreduce(&self, trust: Trust, supplier: &str, rows: usize) {
        let (set, rows) = (self.now(), u32::try_from(rows).unwrap_or(u32::MAX));
        if let Some(own) = set.classes.get(REDUCTIONS) {
            own.give_back(&supplier.to_owned(), rows);
        }
        if let Some(all) = trust.class().and_then(|name| set.reductions.get(name)) {
            all.give_back(&ALL.to_owned(), rows);
        }
    }

    /// The same of what is shared alone, for work that waits: how long, where there is not enough now.
    pub fn take_shared_or_wait(&self, trust: Trust, caller: &str, units: usize) -> Result<(), Duration> {
        self.take_shared(trust, caller, units).map(|_| ()).map_err(|short| short.wait)
    }

    /// From what all share, and where that is used up from what the caller is guaranteed of it. Who has had a quarter of it is not.
    fn take_shared(&self, trust: Trust, caller: &str, units: usize) -> Result<Option<Shared>, Short> {
        self.take_of_all(trust, caller, units).or_else(|short| {
            let is_guaranteed = !short.of_one && self.take_guaranteed(short.name, caller, units);
            let left = Shared { name: short.name, class: short.class, remaining: 0 };
            if is_guaranteed { Ok(Some(left)) } else { Err(short) }
        })
    }

    /// Takes units that a caller is guaranteed, which all owe then.
    fn take_guaranteed(&self, name: &str, caller: &str, units: usize) -> bool {
        let set = self.now();
        let (Some((own, all)), Some(limiter)) =
            (guarantee(&set.classes, &set.quarters, name), set.classes.get(name))
        else {
            return false;
        };
        let (caller, everybody, units) = (caller.to_owned(), ALL.to_owned(), counted(units));
        if !own.takes(&caller, units) {
            return false;
        }
        // Who goes into debt does so from plenty only, or some who do it at once would leave nothing to whoever keeps to little.
        let plenty = if units > own.class.burst { all.class.burst.get() / 4 * 3 } else { 0 };
        if !all.takes(&everybody, units.saturating_add(plenty)) {
            own.give_back(&caller, units.get());
            return false;
        }
        all.give_back(&everybody, plenty);
        if !limiter.takes(&everybody, units) {
            limiter.owe(&everybody, units.get());
        }
        true
    }

    /// One caller may have a quarter of it, or two who were made up would leave nothing to whoever is really new.
    fn take_of_all(&self, trust: Trust, caller: &str, units: usize) -> Result<Option<Shared>, Short> {
        let Some((name, set)) = trust.class().map(|name| (name, self.now())) else { return Ok(None) };
        let (Some(limiter), Some(quarter)) = (set.classes.get(name), set.quarters.get(name)) else {
            return Ok(None);
        };
        let class = limiter.class;
        let units = counted(units);
        let (all, caller) = (ALL.to_owned(), caller.to_owned());
        let of_one = units.min(quarter.class.burst);
        if let Ok(Err(not_until)) = quarter.keyed.check_key_n(&caller, of_one) {
            let wait = not_until.wait_time_from(self.clock.now());
            return Err(Short { name, class: quarter.class, wait, of_one: true });
        }
        quarter.owe(&caller, (units.get() - of_one.get()).min(quarter.class.burst.get()));
        match limiter.keyed.check_key_n(&all, units.min(class.burst)) {
            Ok(Ok(state)) => {
                limiter.owe(&all, units.get().saturating_sub(class.burst.get()));
                Ok(Some(Shared { name, class, remaining: state.remaining_burst_capacity() }))
            }
            Ok(Err(not_until)) => {
                quarter.give_back(&caller, units.get().min(quarter.class.burst.get().saturating_mul(2)));
                Err(Short { name, class, wait: not_until.wait_time_from(self.clock.now()), of_one: false })
            }
            // As many as the burst are never too many.
            Err(_) => Ok(None),
        }
    }

    fn refused_together(&self, name: &'static str, class: Class, wait: Duration, of_one: bool) -> Problem {
        metrics::counter!(crate::metrics::RATE_LIMITED_TOGETHER, "class" => name).increment(1);
        let wait_s = wait.as_secs_f64().ceil().max(1.0) as u64;
        let bounds = class.in_words(" units");
        let who = match of_one {
            true => format!("you sent more than {bounds}, your part of what suppliers"),
            false => format!("all suppliers sent more than {bounds}, which those"),
        };
        let detail = format!("{who} of the class {name} share; wait {wait_s} s and send it again");
        let shared = Shared { name, class, remaining: 0 };
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "class_limited", detail)
            .with_header(header::RETRY_AFTER, wait_s.to_string())
            .with_header(RATE_LIMIT, shared.remaining())
            .with_header(RATE_LIMIT_POLICY, shared.policy())
    }
}
