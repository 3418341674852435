//! Time is data: milliseconds since the Unix epoch, RFC 3339 on the wire.

use std::fmt;

use crate::Invalid;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, schemars::JsonSchema)]
#[schemars(with = "String", description = "A time: RFC 3339, in UTC.", extend("format" = "date-time"))]
pub struct Timestamp(i64);

crate::text::as_text!(Timestamp, Timestamp::parse);

/// One second in milliseconds.
pub const SECOND_MS: i64 = 1_000;
/// One hour in milliseconds.
pub const HOUR_MS: i64 = 3_600 * SECOND_MS;
/// One day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

impl Timestamp {
    /// Eight bytes that sort as the times do, those before 1970 first: for keys.
    pub const fn sort_bytes(self) -> [u8; 8] {
        (self.0.cast_unsigned() ^ 1 << 63).to_be_bytes()
    }
    /// The time that [`Timestamp::sort_bytes`] gave.
    pub const fn of_sort_bytes(bytes: [u8; 8]) -> Self {
        Self((u64::from_be_bytes(bytes) ^ 1 << 63).cast_signed())
    }
    /// From milliseconds since the epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }
    /// Milliseconds since the epoch.
    pub const fn ms(self) -> i64 {
        self.0
    }
    /// The day it is in, from 1970-01-01, in UTC.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }
    /// This time plus `ms` milliseconds, saturating.
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
    /// Parses RFC 3339 with any offset; finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_millisecond())).map_err(|_| {
            Invalid::new(
                "time_format",
                format!("time must be RFC 3339 with an offset such as 2026-11-22T10:00:00Z, got {text:?}"),
            )
        })
    }
}
impl TryFrom<String> for Timestamp {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}
impl From<Timestamp> for String {
    fn from(time: Timestamp) -> String {
        time.to_string()
    }
}
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_understood_and_printed_in_utc() {
        let time = Timestamp::parse("2026-11-22T12:00:00.5+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-11-22T10:00:00.5Z");
        assert_eq!(Timestamp::parse("2026-11-22").unwrap_err().code, "time_format");
    }
}
