//! How much a class of callers may have.

use std::{fmt, num::NonZeroU32, time::Duration};

use governor::Quota;

/// A class of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Told", into = "Told")]
pub struct Class {
    /// Units in each stretch of time, sustained. A unit is one row of a batch, one event, one query, or one registration.
    pub units: NonZeroU32,
    /// The stretch of time.
    pub per: Per,
    /// Units at once.
    pub burst: NonZeroU32,
}

/// A stretch of time that a limit is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// One second.
    Second,
    /// One hour.
    Hour,
    /// 24 hours.
    Day,
}

impl Per {
    fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "a second",
            Self::Hour => "an hour",
            Self::Day => "a day",
        })
    }
}

/// A class as it is written: exactly one of the rates.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_second: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_hour: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_day: Option<NonZeroU32>,
    burst: NonZeroU32,
}

impl TryFrom<Told> for Class {
    type Error = &'static str;
    fn try_from(told: Told) -> Result<Self, Self::Error> {
        let Told { per_second, per_hour, per_day, burst } = told;
        let (units, per) = match (per_second, per_hour, per_day) {
            (Some(units), None, None) => (units, Per::Second),
            (None, Some(units), None) => (units, Per::Hour),
            (None, None, Some(units)) => (units, Per::Day),
            _ => return Err("a limit has exactly one of per_second, per_hour and per_day beside its burst"),
        };
        Ok(Self { units, per, burst })
    }
}

impl From<Class> for Told {
    fn from(class: Class) -> Self {
        let of = |per| (class.per == per).then_some(class.units);
        Self {
            per_second: of(Per::Second),
            per_hour: of(Per::Hour),
            per_day: of(Per::Day),
            burst: class.burst,
        }
    }
}

impl Class {
    /// So many units a second, and so many at once.
    pub const fn a_second(units: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { units, per: Per::Second, burst }
    }

    /// Units a second, sustained.
    pub fn per_second(self) -> f64 {
        f64::from(self.units.get()) / f64::from(self.per.seconds())
    }

    /// Both bounds in words, for whoever met the first and comes back by the second.
    pub(super) fn in_words(self, unit: &str) -> String {
        format!("{}{unit} at once, which come back at {} {}", self.burst, self.units, self.per)
    }

    pub(super) fn quota(self) -> Quota {
        let quota = match self.per {
            Per::Second => Some(Quota::per_second(self.units)),
            Per::Hour => Some(Quota::per_hour(self.units)),
            Per::Day => Quota::with_period(Duration::from_secs(86_400) / self.units.get()),
        };
        // More units a day than there are nanoseconds in it are as good as none counted.
        quota.unwrap_or(Quota::per_second(NonZeroU32::MAX)).allow_burst(self.burst)
    }

    /// A quarter of it.
    pub(super) fn quarter(self) -> Self {
        let of = |whole: NonZeroU32| NonZeroU32::new(whole.get().div_ceil(4)).unwrap_or(NonZeroU32::MIN);
        Self { units: of(self.units), burst: of(self.burst), ..self }
    }

    /// So many times it.
    pub(super) fn times(self, many: u32) -> Self {
        let of = |one: NonZeroU32| NonZeroU32::new(one.get().saturating_mul(many)).unwrap_or(one);
        Self { units: of(self.units), burst: of(self.burst), ..self }
    }

    /// Seconds in which the whole burst comes back.
    pub(super) fn window_s(self) -> u32 {
        let seconds = u64::from(self.burst.get()) * u64::from(self.per.seconds());
        u32::try_from(seconds.div_ceil(u64::from(self.units.get()))).unwrap_or(u32::MAX)
    }
}
