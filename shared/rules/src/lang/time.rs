//! Timestamps and durations, in whole nanoseconds. Zones come from a bundled database, so that every process and every
//! replay agrees.

use jiff::{SignedDuration, Timestamp, civil, tz};

const NANOS: i128 = 1_000_000_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z.
const FIRST: i128 = -62_135_596_800 * NANOS;
const LAST: i128 = 253_402_300_800 * NANOS - 1;

/// A point in time, from year 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(i128);

/// A length of time of at most about 292 years either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Instant {
    /// From nanoseconds since 1970; none outside the years 1 to 9999.
    pub fn from_nanos(nanos: i128) -> Option<Self> {
        (FIRST..=LAST).contains(&nanos).then_some(Self(nanos))
    }
    /// From milliseconds since 1970; none outside the years 1 to 9999.
    pub fn from_ms(ms: i64) -> Option<Self> {
        Self::from_nanos(i128::from(ms) * 1_000_000)
    }
    /// From seconds since 1970; none outside the years 1 to 9999.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Self::from_nanos(i128::from(seconds) * NANOS)
    }
    /// Nanoseconds since 1970.
    pub fn nanos(self) -> i128 {
        self.0
    }
    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS) as i64
    }
    /// Reads RFC 3339: `2009-02-13T23:31:30.5Z`, with `Z` or an offset such as `+02:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (local, offset_s) = match text.strip_suffix(['Z', 'z']) {
            Some(local) => (local, 0),
            None => {
                let at = text.len().checked_sub(6).filter(|at| text.is_char_boundary(*at))?;
                let (local, zone) = text.split_at(at);
                let signed = zone.starts_with(['+', '-']);
                (local, signed.then(|| offset_seconds(zone)).flatten()?)
            }
        };
        // Date and time in full; none of the other forms that the parser knows.
        let shape = local.len() >= 19 && local.is_ascii() && matches!(local.as_bytes()[10], b'T' | b't');
        let local: civil::DateTime = shape.then(|| local.parse().ok()).flatten()?;
        let since = local.duration_since(civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
        Self::from_nanos(since.as_nanos() - i128::from(offset_s) * NANOS)
    }
    /// Date and time of day so many seconds east of Greenwich.
    fn civil(self, offset_s: i32) -> Option<civil::DateTime> {
        let nanos = self.0 + i128::from(offset_s) * NANOS;
        let since = SignedDuration::new(
            i64::try_from(nanos.div_euclid(NANOS)).ok()?,
            i32::try_from(nanos.rem_euclid(NANOS)).ok()?,
        );
        civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(since).ok()
    }
    /// Later by a span; none outside the years 1 to 9999.
    pub fn plus(self, span: Span) -> Option<Self> {
        Self::from_nanos(self.0 + i128::from(span.0))
    }
    /// Earlier by a span.
    pub fn minus(self, span: Span) -> Option<Self> {
        Self::from_nanos(self.0 - i128::from(span.0))
    }
    /// How much later than `other`.
    pub fn since(self, other: Self) -> Option<Span> {
        i64::try_from(self.0 - other.0).ok().map(Span)
    }

    /// A field such as `getHours`, in a zone such as `UTC`, `Europe/Berlin` or `+02:00`.
    pub fn field(self, name: &str, zone: Option<&str>) -> Result<i64, String> {
        let offset_s = match zone {
            None => 0,
            Some(name) => self.offset_s(name).ok_or_else(|| format!("{name} is not a time zone"))?,
        };
        let local = self.civil(offset_s).ok_or_else(|| "out of range".to_owned())?;
        Ok(match name {
            "getFullYear" => local.year().into(),
            "getMonth" => i64::from(local.month()) - 1,
            "getDate" => local.day().into(),
            "getDayOfMonth" => i64::from(local.day()) - 1,
            "getDayOfWeek" => local.weekday().to_sunday_zero_offset().into(),
            "getDayOfYear" => i64::from(local.day_of_year()) - 1,
            "getHours" => local.hour().into(),
            "getMinutes" => local.minute().into(),
            "getSeconds" => local.second().into(),
            _ => local.millisecond().into(),
        })
    }

    /// Whether a zone is one that [`Instant::field`] takes.
    pub fn is_zone(zone: &str) -> bool {
        Self(0).offset_s(zone).is_some()
    }
    /// The names of all zones.
    pub fn zones() -> Vec<String> {
        tz::db().available().map(|zone| zone.as_str().to_owned()).collect()
    }

    /// Seconds east of Greenwich, in a zone, at this time.
    fn offset_s(self, zone: &str) -> Option<i32> {
        if zone.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) {
            return offset_seconds(zone);
        }
        // The database ends a day before the last timestamp does.
        let nanos = self.0.clamp(Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond());
        let stamp = Timestamp::from_nanosecond(nanos).ok()?;
        Some(tz::TimeZone::get(zone).ok()?.to_offset(stamp).seconds())
    }
}

impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(civil) = self.civil(0) else { return f.write_str("out of range") };
        write!(f, "{:04}-{:02}-{:02}T", civil.year(), civil.month(), civil.day())?;
        write!(f, "{:02}:{:02}:{:02}", civil.hour(), civil.minute(), civil.second())?;
        f.write_str(&fraction(self.0.rem_euclid(NANOS) as u64))?;
        f.write_str("Z")
    }
}

/// `.5`, without trailing zeros; nothing for none.
fn fraction(nanos: u64) -> String {
    if nanos == 0 { String::new() } else { format!(".{nanos:09}").trim_end_matches('0').to_owned() }
}

/// Seconds of `+02:00`, `-09:30` or `02:00`.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => (1, text),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<i32>().ok())
            .flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

impl Span {
    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }
    /// From seconds and nanoseconds; none beyond about 292 years.
    pub fn new(seconds: i64, nanos: i64) -> Option<Self> {
        seconds.checked_mul(NANOS as i64)?.checked_add(nanos).map(Self)
    }
    /// Nanoseconds.
    pub fn nanos(self) -> i64 {
        self.0
    }
    /// The sum.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
    /// The difference.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
    /// The other way.
    pub fn negated(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }
    /// Whole hours, minutes or seconds, or the milliseconds of the last second.
    pub fn field(self, name: &str) -> i64 {
        match name {
            "getHours" => self.0 / 3_600_000_000_000,
            "getMinutes" => self.0 / 60_000_000_000,
            "getSeconds" => self.0 / 1_000_000_000,
            _ => self.0 / 1_000_000 % 1_000,
        }
    }
    /// Reads `1h30m`, `-1.5s`, `100ms`: numbers with units `h`, `m`, `s`, `ms`, `us`, `ns`.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Self(0));
        }
        if rest.is_empty() {
            return None;
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, behind) = rest.split_at(end);
            let units: [(&str, i128); 7] = [
                ("ns", 1),
                ("us", 1_000),
                ("µs", 1_000),
                ("ms", 1_000_000),
                ("s", NANOS),
                ("m", 60 * NANOS),
                ("h", 3_600 * NANOS),
            ];
            let (unit, worth) = units.into_iter().find(|(unit, _)| behind.starts_with(unit))?;
            total = total.checked_add(scaled(number, worth)?)?;
            rest = &behind[unit.len()..];
        }
        i64::try_from(if negative { -total } else { total }).ok().map(Self)
    }
}

/// `1.25` of something worth `worth` nanoseconds; what is finer is dropped.
fn scaled(number: &str, worth: i128) -> Option<i128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && part.is_empty()) || whole.len() > 18 || part.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part = &part[..part.len().min(15)];
    let scale = 10i128.pow(part.len() as u32);
    let part: i128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    whole.checked_mul(worth)?.checked_add(part * worth / scale)
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, nanos) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}{}s", nanos / 1_000_000_000, fraction(nanos % 1_000_000_000))
    }
}
