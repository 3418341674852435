//! What suppliers who are not known yet, or under suspicion, may send together. Each has an allowance of its own beside it, so a
//! thousand of them that were made up take no more than one share, however many there are.
//!
//! Nothing inside such a share is fair by itself: whoever asks most often finds what has just come back, and one that is honest and
//! asks now and then is refused for ever. Therefore each is guaranteed a little, which is asked for where the share is used up. It is
//! taken from the share all the same, which then owes it, so that all together have no more than before; and all who keep to their
//! guarantee have at most a quarter of the share, so that two hundred thousand who were made up do not turn it into something else.
//!
//! New suppliers of one payout account share in the same way: whoever names an honest one's account must not keep it out.

use std::{num::NonZeroU32, time::Duration};

use axum::http::{StatusCode, header};
use governor::clock::Clock;

use super::{
    Allowance, Class, GUARANTEED, Limiter, Limiters, Limits, PAYOUT, RATE_LIMIT, RATE_LIMIT_POLICY,
    REDUCTIONS, Set, policy, remaining, retry_after_s, units_of,
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
    /// Whether it was used up, and this is what one is guaranteed of it.
    guaranteed: bool,
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

/// What so many units take of one caller's quarter: what one owes there is bounded.
fn of_quarter<C: Clock>(quarter: &Limiter<C>, units: NonZeroU32) -> u32 {
    units.get().min(quarter.class.burst.get().saturating_mul(2))
}

/// It does not say by what they are taken for ones that share, or whoever makes some up would know what to change.
fn refused_of_payout(Short { name, class, wait, of_one }: &Short) -> Problem {
    let bounds = class.in_words(" units");
    let who = match of_one {
        true => format!("you sent more than {bounds}, your part of what some new suppliers share"),
        false => format!("some new suppliers sent more than {bounds}, which they share with you"),
    };
    class_limited(name, *wait, &who)
        .with_header(RATE_LIMIT, remaining(*class, 0))
        .with_header(RATE_LIMIT_POLICY, policy(*class))
}

/// 429 because of a class that many share, counted by its name.
fn class_limited(name: &'static str, wait: Duration, who: &str) -> Problem {
    metrics::counter!(crate::metrics::RATE_LIMITED_TOGETHER, "class" => name).increment(1);
    let wait_s = retry_after_s(wait);
    let detail = format!("{who}; wait {wait_s} s and send it again");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "class_limited", detail)
        .with_header(header::RETRY_AFTER, wait_s.to_string())
}

/// What one caller is guaranteed of a class, and what all who keep to that have together: as much as one may have otherwise.
fn guarantee<'a, C: Clock>(
    own: &'a Limiters<C>,
    all: &'a Limiters<C>,
    name: &str,
) -> Option<(&'a Limiter<C>, &'a Limiter<C>)> {
    Some((&**own.get(GUARANTEED)?, &**all.get(name)?))
}

/// Something that many share: the class that bounds it, and by what names it is counted what all of them have had, and the one who asks.
struct Pool {
    class: &'static str,
    all: String,
    one: String,
}

impl Pool {
    /// What all of a trust share, if they share something.
    fn of_trust(trust: Trust, caller: &str) -> Option<Self> {
        let class = trust.class()?;
        Some(Self { class, all: ALL.to_owned(), one: caller.to_owned() })
    }

    /// What new suppliers of one payout account share. What one is guaranteed of it is not what it is guaranteed as a new supplier, or
    /// each of its rows would count twice there.
    fn of_payout(payout: &str, supplier: &str) -> Self {
        Self { class: PAYOUT, all: payout.to_owned(), one: format!("{payout} {supplier}") }
    }
}

/// Limiters of the classes, and of a quarter of those that many share: of units, or of bodies.
type Halves<'a, C> = (&'a Limiters<C>, &'a Limiters<C>);

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

    /// How long a caller of a class has to wait until more of a body that is taken as it comes may be read, where it has to: by its own
    /// allowance of bodies, and by what all of `trust` share.
    pub fn wait_for_body(&self, (class, caller): (&str, &str), trust: Trust) -> Option<Duration> {
        let (set, caller, everybody) = (self.now(), caller.to_owned(), ALL.to_owned());
        let own = super::find(&set.bodies, class).and_then(|own| self.wait_of(own, &caller));
        let Some(name) = trust.class() else { return own };
        let of_one = set.body_quarters.get(name).and_then(|quarter| self.wait_of(quarter, &caller));
        let of_all = set.bodies.get(name).and_then(|all| self.wait_of(all, &everybody));
        let is_guaranteed = guarantee(&set.bodies, &set.body_quarters, name).is_some_and(|(own, all)| {
            self.wait_of(own, &caller).is_none() && self.wait_of(all, &everybody).is_none()
        });
        own.max(of_one).max(of_all.filter(|_| !is_guaranteed))
    }

    /// Charges a body that was read to what all of `trust` share. Bodies that were under way at once may owe more than there is
    /// together, and nobody who did not send them should wait for long: beyond two bursts nothing more is owed. What one sends beyond
    /// its quarter is its own.
    pub fn charge_body_together(&self, trust: Trust, caller: &str, bytes: usize) {
        let set = self.now();
        self.charge_together((&set.bodies, &set.body_quarters), trust, caller, units_of(bytes));
    }

    /// Charges work that was done for a caller of a class, in units, to its own allowance and to what all of `trust` share. Whatever is
    /// not there is owed, as for bodies: how much it is shows only when it is done.
    pub fn charge_units(&self, (class, caller): (&str, &str), trust: Trust, units: NonZeroU32) {
        let set = self.now();
        if let Some(limiter) = super::find(&set.classes, class) {
            limiter.charge(caller, units);
        }
        self.charge_together((&set.classes, &set.quarters), trust, caller, units);
    }

    fn charge_together(
        &self,
        (limiters, quarters): Halves<'_, C>,
        trust: Trust,
        caller: &str,
        units: NonZeroU32,
    ) {
        let Some(name) = trust.class() else { return };
        let (Some(limiter), Some(quarter)) = (limiters.get(name), quarters.get(name)) else { return };
        let is_within = self.wait_of(quarter, &caller.to_owned()).is_none();
        quarter.charge(caller, units);
        if !is_within {
            return;
        }
        let wait = self.charge_all(limiter, units);
        // It was done because that is guaranteed, or came with others that were.
        if wait.is_some()
            && let Some((own, all)) = guarantee(limiters, quarters, name)
        {
            own.charge(caller, units);
            self.charge_all(all, units);
        }
    }

    /// Charges to what all have, unless they owe more than a burst; gives how long they had to wait before.
    fn charge_all(&self, limiter: &Limiter<C>, units: NonZeroU32) -> Option<Duration> {
        let most =
            Duration::from_nanos(limiter.unit_nanos.saturating_mul(u64::from(limiter.class.burst.get())));
        let wait = self.wait_of(limiter, &ALL.to_owned());
        if wait.is_none_or(|wait| wait <= most) {
            limiter.charge(ALL, units);
        }
        wait
    }

    /// Takes `units` of what all of `trust` share, for a caller of `class` who has taken as many of its own allowance: where what
    /// is shared is used up, those are given back. More than the burst at once is taken as [`Limits::take`] does.
    pub fn share(&self, caller: (&str, &str), trust: Trust, units: usize) -> Result<Option<Shared>, Problem> {
        let Some(pool) = Pool::of_trust(trust, caller.1) else { return Ok(None) };
        self.take_shared(&pool, units).map_err(|Short { name, class, wait, of_one }| {
            self.give_back(caller, units);
            self.refused_together(name, class, wait, of_one)
        })
    }

    /// Takes `units` of what the new suppliers of one payout account, told by its hash, share, for one of them.
    pub fn share_payout(
        &self,
        payout: &str,
        supplier: &str,
        units: usize,
    ) -> Result<Option<Shared>, Problem> {
        let taken = self.take_shared(&Pool::of_payout(payout, supplier), units);
        taken.map_err(|short| refused_of_payout(&short))
    }

    /// The same for work that waits: how long, where there is not enough now.
    pub fn share_payout_or_wait(
        &self,
        payout: &str,
        supplier: &str,
        units: usize,
    ) -> Result<Option<Shared>, Duration> {
        self.take_shared(&Pool::of_payout(payout, supplier), units).map_err(|short| short.wait)
    }

    /// Gives back what one of the two took and was not used.
    pub fn unshare_payout(&self, payout: &str, supplier: &str, units: usize, taken: &Shared) {
        let (pool, set, units) = (Pool::of_payout(payout, supplier), self.now(), counted(units));
        let (Some(limiter), Some(quarter)) = (set.classes.get(pool.class), set.quarters.get(pool.class))
        else {
            return;
        };
        limiter.give_back(&pool.all, units.get());
        if !taken.guaranteed {
            quarter.give_back(&pool.one, of_quarter(quarter, units));
        } else if let Some((own, all)) = guarantee(&set.classes, &set.quarters, pool.class) {
            own.give_back(&pool.one, units.get());
            all.give_back(&pool.all, units.get());
        }
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
        let Some(pool) = Pool::of_trust(trust, caller) else { return Ok(()) };
        self.take_shared(&pool, units).map(|_| ()).map_err(|short| short.wait)
    }

    /// From what all share, and where that is used up from what the caller is guaranteed of it. Who has had a quarter of it is not.
    fn take_shared(&self, pool: &Pool, units: usize) -> Result<Option<Shared>, Short> {
        self.take_of_all(pool, units).or_else(|short| {
            let is_guaranteed = !short.of_one && self.take_guaranteed(pool, units);
            let left = Shared { name: short.name, class: short.class, remaining: 0, guaranteed: true };
            if is_guaranteed { Ok(Some(left)) } else { Err(short) }
        })
    }

    /// Takes units that a caller is guaranteed, which all owe then.
    fn take_guaranteed(&self, pool: &Pool, units: usize) -> bool {
        let set = self.now();
        let (Some((own, all)), Some(limiter)) =
            (guarantee(&set.classes, &set.quarters, pool.class), set.classes.get(pool.class))
        else {
            return false;
        };
        let units = counted(units);
        if !own.takes(&pool.one, units) {
            return false;
        }
        // Who goes into debt does so from plenty only, or some who do it at once would leave nothing to whoever keeps to little.
        let plenty = if units > own.class.burst { all.class.burst.get() / 4 * 3 } else { 0 };
        if !all.takes(&pool.all, units.saturating_add(plenty)) {
            own.give_back(&pool.one, units.get());
            return false;
        }
        all.give_back(&pool.all, plenty);
        if !limiter.takes(&pool.all, units) {
            limiter.owe(&pool.all, units.get());
        }
        true
    }

    /// One caller may have a quarter of it, or two who were made up would leave nothing to whoever is really new.
    fn take_of_all(&self, pool: &Pool, units: usize) -> Result<Option<Shared>, Short> {
        let (set, name) = (self.now(), pool.class);
        let (Some(limiter), Some(quarter)) = (set.classes.get(name), set.quarters.get(name)) else {
            return Ok(None);
        };
        let class = limiter.class;
        let units = counted(units);
        let of_one = units.min(quarter.class.burst);
        if let Ok(Err(not_until)) = quarter.keyed.check_key_n(&pool.one, of_one) {
            let wait = not_until.wait_time_from(self.clock.now());
            return Err(Short { name, class: quarter.class, wait, of_one: true });
        }
        quarter.owe(&pool.one, (units.get() - of_one.get()).min(quarter.class.burst.get()));
        match limiter.keyed.check_key_n(&pool.all, units.min(class.burst)) {
            Ok(Ok(state)) => {
                limiter.owe(&pool.all, units.get().saturating_sub(class.burst.get()));
                let remaining = state.remaining_burst_capacity();
                Ok(Some(Shared { name, class, remaining, guaranteed: false }))
            }
            Ok(Err(not_until)) => {
                quarter.give_back(&pool.one, of_quarter(quarter, units));
                Err(Short { name, class, wait: not_until.wait_time_from(self.clock.now()), of_one: false })
            }
            // As many as the burst are never too many.
            Err(_) => Ok(None),
        }
    }

    fn refused_together(&self, name: &'static str, class: Class, wait: Duration, of_one: bool) -> Problem {
        let bounds = class.in_words(" units");
        let who = match of_one {
            true => format!("you sent more than {bounds}, your part of what suppliers"),
            false => format!("all suppliers sent more than {bounds}, which those"),
        };
        let shared = Shared { name, class, remaining: 0, guaranteed: false };
        class_limited(name, wait, &format!("{who} of the class {name} share"))
            .with_header(RATE_LIMIT, shared.remaining())
            .with_header(RATE_LIMIT_POLICY, shared.policy())
    }
}
