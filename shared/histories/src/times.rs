//! Times as files have them: which format a column is in, and in which zone its clocks stood.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use stockade_model::Timestamp;

use crate::mapping::place_of;

/// What is read of a time that says no offset and whose zone is not declared.
pub(crate) const ZONE_OTHERWISE: &str = "UTC";

/// 2201-01-01T00:00:00Z: no history has a time of an order from then on.
const FIRST_MS_OF_2201: i64 = 7_289_654_400_000;

/// How a mapping declares times.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Times {
    /// Such as `m/d/yyyy h:mm`; found out when absent.
    #[serde(default)]
    pub(crate) format: Option<String>,
    /// IANA name such as `Europe/Berlin`, or an offset such as `+03:00`: where the clocks stood that wrote times without an offset.
    #[serde(default)]
    pub(crate) zone: Option<String>,
    /// Columns that differ.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, OneColumn>,
    /// A time that is counted, for files that only say how long after the buyer's last order an order was.
    #[serde(default)]
    pub(crate) counted: Option<crate::counted::Counted>,
}

/// How one column differs.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneColumn {
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    zone: Option<String>,
}

/// A format: which number is what. How many digits and which separators does not matter, and a missing time of day is midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 3339, with an offset.
    Rfc3339,
    /// Year, month, day.
    Ymd,
    /// Month, day, year.
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Seconds since 1970.
    EpochS,
    /// Milliseconds since 1970.
    EpochMs,
}

impl Format {
    const ALL: [Self; 6] = [Self::Rfc3339, Self::Ymd, Self::Mdy, Self::Dmy, Self::EpochS, Self::EpochMs];

    /// As mappings declare it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rfc3339 => "rfc3339",
            Self::Ymd => "yyyy-mm-dd hh:mm:ss",
            Self::Mdy => "m/d/yyyy h:mm",
            Self::Dmy => "d.m.yyyy h:mm",
            Self::EpochS => "epoch_s",
            Self::EpochMs => "epoch_ms",
        }
    }

    /// The format of a declaration: by the order in which it names year, month and day.
    pub(crate) fn named(text: &str) -> Result<Self> {
        let lower = text.trim().to_ascii_lowercase();
        for format in [Self::Rfc3339, Self::EpochS, Self::EpochMs] {
            if lower == format.as_str() {
                return Ok(format);
            }
        }
        // An `m` behind an `h` is of minutes.
        let date = lower.split('h').next().unwrap_or_default();
        let place = |letter: char| date.find(letter);
        let (year, month, day) = (place('y'), place('m'), place('d'));
        match (year, month, day) {
            (Some(y), Some(m), Some(d)) if y < m && m < d => Ok(Self::Ymd),
            (Some(y), Some(m), Some(d)) if m < d && d < y => Ok(Self::Mdy),
            (Some(y), Some(m), Some(d)) if d < m && m < y => Ok(Self::Dmy),
            _ => anyhow::bail!(
                "`{text}` is no format of times; write rfc3339, yyyy-mm-dd, yyyy-mm-dd hh:mm:ss, m/d/yyyy h:mm, d.m.yyyy, epoch_s or epoch_ms"
            ),
        }
    }

    /// The local time that a text says, with its offset where it says one; for instants the offset is zero.
    fn civil(self, text: &str) -> Option<(DateTime, Option<Offset>)> {
        let mut rest = Scan(text.as_bytes());
        let (first, width) = rest.number()?;
        let (year, month, day) = if self == Self::Ymd && width == 8 {
            (first / 10_000, first / 100 % 100, first % 100)
        } else {
            rest.mark(b"/-.")?;
            let (second, second_width) = rest.number()?;
            rest.mark(b"/-.")?;
            let (third, third_width) = rest.number()?;
            let year = |number: i64, width: usize| match width {
                4 => Some(number),
                2 => Some(number + if number < 69 { 2_000 } else { 1_900 }),
                _ => None,
            };
            match self {
                Self::Ymd if width == 4 && second_width <= 2 && third_width <= 2 => (first, second, third),
                Self::Mdy if width <= 2 && second_width <= 2 => (year(third, third_width)?, first, second),
                Self::Dmy if width <= 2 && second_width <= 2 => (year(third, third_width)?, second, first),
                _ => return None,
            }
        };
        let time = rest.time_of_day()?;
        let offset = rest.offset()?;
        let small = |number: i64| i8::try_from(number).ok();
        let date = DateTime::new(
            i16::try_from(year).ok()?,
            small(month)?,
            small(day)?,
            small(time.0)?,
            small(time.1)?,
            small(time.2)?,
            i32::try_from(time.3).ok()?,
        );
        Some((date.ok()?, offset))
    }

    fn epoch(self, text: &str) -> Option<i64> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole: i64 = whole.parse().ok()?;
        if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        match self {
            Self::EpochS => {
                let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
                whole.checked_mul(1_000)?.checked_add(millis)
            }
            _ => Some(whole),
        }
    }
}

/// Reads numbers and marks off a text.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn number(&mut self) -> Option<(i64, usize)> {
        let width = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(width);
        self.0 = rest;
        // More digits than any part of a time has are no time.
        (1..=9)
            .contains(&width)
            .then(|| (digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), width))
    }

    fn mark(&mut self, marks: &[u8]) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        marks.contains(first).then(|| self.0 = rest)
    }

    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// Hour, minute, second, nanosecond; midnight where there is nothing.
    fn time_of_day(&mut self) -> Option<(i64, i64, i64, i64)> {
        if self.0.is_empty() {
            return Some((0, 0, 0, 0));
        }
        if self.mark(b"Tt,").is_none() && !self.0[0].is_ascii_whitespace() {
            // An offset may follow the date at once.
            return matches!(self.0[0], b'Z' | b'z').then_some((0, 0, 0, 0));
        }
        self.skip_blanks();
        if self.0.is_empty() {
            return Some((0, 0, 0, 0));
        }
        let (mut hour, _) = self.number()?;
        self.mark(b":.")?;
        let (minute, _) = self.number()?;
        let (mut second, mut nanos) = (0, 0);
        if self.mark(b":.").is_some() {
            second = self.number()?.0;
            if self.mark(b".,").is_some() {
                let width = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let digits = self.0.iter().take(width.min(9)).map(|digit| i64::from(digit - b'0'));
                nanos = digits.fold(0, |sum, digit| sum * 10 + digit) * 10_i64.pow(9 - width.min(9) as u32);
                self.0 = &self.0[width..];
            }
        }
        self.skip_blanks();
        if let Some(afternoon) = self.half() {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if afternoon { 12 } else { 0 };
        }
        Some((hour, minute, second, nanos))
    }

    /// Whether a mark such as `PM` or `p.m.` stands here, and it is the afternoon's. What follows is left to be read: an offset,
    /// or what makes it no time.
    fn half(&mut self) -> Option<bool> {
        let mut ahead = Scan(self.0);
        let afternoon = match ahead.0.first()?.to_ascii_lowercase() {
            b'a' => false,
            b'p' => true,
            _ => return None,
        };
        ahead.mark(b"AaPp")?;
        let _ = ahead.mark(b".");
        ahead.mark(b"Mm")?;
        let _ = ahead.mark(b".");
        // Longer words are none, such as `amber`.
        if ahead.0.first().is_some_and(u8::is_ascii_alphanumeric) {
            return None;
        }
        self.0 = ahead.0;
        Some(afternoon)
    }

    fn offset(&mut self) -> Option<Option<Offset>> {
        self.skip_blanks();
        match self.0 {
            [] => Some(None),
            [b'Z' | b'z'] | b"UTC" => Some(Some(Offset::UTC)),
            [sign @ (b'+' | b'-'), rest @ ..] => {
                let digits: Vec<u8> = rest.iter().filter(|byte| **byte != b':').copied().collect();
                if !digits.iter().all(u8::is_ascii_digit) || !matches!(digits.len(), 2 | 4) {
                    return None;
                }
                let two = |at: usize| {
                    digits
                        .get(at..at + 2)
                        .map_or(0, |two| i32::from(two[0] - b'0') * 10 + i32::from(two[1] - b'0'))
                };
                let seconds = two(0) * 3_600 + two(2) * 60;
                Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok().map(Some)
            }
            _ => None,
        }
    }
}

/// How one column's times are read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) format: Format,
    zone: TimeZone,
    is_utc: bool,
}

impl Reading {
    pub(crate) fn new(format: Format, zone: &str) -> Result<Self> {
        let zone = zone_of(zone)?;
        Ok(Self { format, is_utc: zone == TimeZone::UTC, zone })
    }

    /// The moment that a text says; `None` when it says none in this format.
    ///
    /// A local time that a zone skips in spring is read as if the clock had not been put forward yet, so it lies an hour later
    /// on the new clock; of an hour that comes twice in autumn, the first is meant.
    pub(crate) fn read(&self, text: &str) -> Option<Timestamp> {
        match self.format {
            Format::Rfc3339 => Timestamp::parse(text).ok(),
            Format::EpochS | Format::EpochMs => self.format.epoch(text).map(Timestamp::from_ms),
            format => {
                let (civil, offset) = format.civil(text)?;
                let moment = match offset {
                    Some(offset) => offset.to_timestamp(civil).ok()?,
                    None if self.is_utc => Offset::UTC.to_timestamp(civil).ok()?,
                    None => self.zone.to_ambiguous_timestamp(civil).compatible().ok()?,
                };
                Some(Timestamp::from_ms(moment.as_millisecond()))
            }
        }
    }
}

/// Whether a moment is of 1970 to 2200. A number of seconds that is read as milliseconds, or the other way round, is not.
pub(crate) fn is_of_our_time(time: Timestamp) -> bool {
    (0..FIRST_MS_OF_2201).contains(&time.ms())
}

fn zone_of(name: &str) -> Result<TimeZone> {
    if let Some(Some(offset)) = Scan(name.as_bytes()).offset() {
        return Ok(if offset == Offset::UTC { TimeZone::UTC } else { TimeZone::fixed(offset) });
    }
    TimeZone::get(name).ok().with_context(|| {
        format!(
            "`{name}` is no time zone; write an IANA name such as Europe/Berlin, or an offset such as +03:00"
        )
    })
}

impl Times {
    /// Columns that differ, by their place: a name need not be written as the header has it.
    pub(crate) fn placed(&self, header: &[String]) -> Result<BTreeMap<usize, &OneColumn>> {
        let mut placed = BTreeMap::new();
        for (name, own) in &self.columns {
            let at = place_of(name, header).context("`times.columns` in the mapping")?;
            anyhow::ensure!(
                placed.insert(at, own).is_none(),
                "the mapping's `times.columns` has the column {} more than once; keep one of them",
                header[at]
            );
        }
        Ok(placed)
    }

    /// What is declared of a column: its format, if any, and its zone, if any. `own` is how it differs.
    pub(crate) fn of<'t>(
        &'t self,
        column: &str,
        own: Option<&'t OneColumn>,
    ) -> Result<(Option<Format>, Option<&'t str>)> {
        let format = own.and_then(|own| own.format.as_ref()).or(self.format.as_ref());
        let zone = own.and_then(|own| own.zone.as_ref()).or(self.zone.as_ref());
        let format = format.map(|format| Format::named(format)).transpose();
        Ok((format.with_context(|| format!("`times` of column {column}"))?, zone.map(String::as_str)))
    }

    /// Whether everything that is declared can be read.
    pub(crate) fn check(&self) -> Result<()> {
        self.format.iter().try_for_each(|format| Format::named(format).map(drop))?;
        self.zone.iter().try_for_each(|zone| zone_of(zone).map(drop))?;
        for own in self.columns.values() {
            own.format.iter().try_for_each(|format| Format::named(format).map(drop))?;
            own.zone.iter().try_for_each(|zone| zone_of(zone).map(drop))?;
        }
        Ok(())
    }
}

/// Finds out which format a column is in, from its cells.
#[derive(Clone, Debug)]
pub(crate) struct Guess {
    left: Vec<Format>,
    pub(crate) seen: u64,
    /// Cells that are a time in no format: they are refused later, one by one.
    odd: u64,
    first: String,
}

impl Guess {
    pub(crate) fn new() -> Self {
        Self { left: Format::ALL.to_vec(), seen: 0, odd: 0, first: String::new() }
    }

    /// Looks at a cell.
    pub(crate) fn look(&mut self, cell: &str) {
        let fits = |format: &Format| match format {
            Format::Rfc3339 => Timestamp::parse(cell).is_ok(),
            // Other numbers than those of our time are no times.
            Format::EpochS => {
                format.epoch(cell).is_some_and(|ms| (100_000_000_000..4_100_000_000_000).contains(&ms))
            }
            Format::EpochMs => {
                !cell.contains('.')
                    && format.epoch(cell).is_some_and(|ms| (100_000_000_000..4_100_000_000_000).contains(&ms))
            }
            format => format.civil(cell).is_some(),
        };
        if !Format::ALL.iter().any(&fits) {
            self.odd += 1;
            return;
        }
        if self.seen == 0 {
            self.first = cell.to_owned();
        }
        self.seen += 1;
        let still: Vec<Format> = self.left.iter().copied().filter(fits).collect();
        if still.is_empty() {
            self.odd += 1;
        } else {
            self.left = still;
        }
    }

    /// Whether no further cell is needed: only one order of day and month is left.
    pub(crate) fn is_decided(&self) -> bool {
        self.seen > 0 && !(self.left.contains(&Format::Mdy) && self.left.contains(&Format::Dmy))
    }

    /// The one format; `None` where nothing was seen or two are left.
    pub(crate) fn format(&self) -> Option<Format> {
        self.is_decided().then(|| self.left.first().copied()).flatten()
    }

    /// Whether a format is still possible.
    pub(crate) fn may_be(&self, format: Format) -> bool {
        self.left.contains(&format)
    }

    /// Whether nearly all that was seen are times.
    pub(crate) fn is_time(&self) -> bool {
        self.seen > 0 && self.odd * 20 <= self.seen
    }

    /// Whether all that was seen are times, and such as no plain number is.
    pub(crate) fn is_a_date(&self) -> bool {
        self.seen > 0 && self.odd == 0 && !self.may_be(Format::EpochS) && !self.may_be(Format::EpochMs)
    }

    /// Why there is no one format.
    pub(crate) fn undecided(&self, column: &str) -> String {
        format!(
            "column {column} may have the day or the month first: {} is a time either way, and so is every other. Declare it in the mapping: `times: {{ format: m/d/yyyy h:mm }}` or `times: {{ format: d/m/yyyy h:mm }}`",
            self.first
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, zone: &str, text: &str) -> String {
        let reading = Reading::new(Format::named(format).unwrap(), zone).unwrap();
        reading.read(text).map_or("none".to_owned(), |time| time.to_string())
    }

    #[test]
    fn times_are_read_however_they_are_written() {
        for (format, text, expected) in [
            ("rfc3339", "2026-01-02T03:04:05+01:00", "2026-01-02T02:04:05Z"),
            ("yyyy-mm-dd", "2026-01-02", "2026-01-02T00:00:00Z"),
            ("yyyy-mm-dd hh:mm:ss", "2017-10-02 10:56:33", "2017-10-02T10:56:33Z"),
            ("yyyy-mm-dd hh:mm:ss", "2017-10-02 10:56:33.25+02", "2017-10-02T08:56:33.25Z"),
            ("yyyy-mm-dd", "20171002", "2017-10-02T00:00:00Z"),
            ("m/d/yyyy h:mm", "12/1/2009 7:45", "2009-12-01T07:45:00Z"),
            ("m/d/yyyy h:mm", "1/31/2018 12:05 AM", "2018-01-31T00:05:00Z"),
            ("m/d/yyyy h:mm", "1/31/2018 12:05:09 p.m.", "2018-01-31T12:05:09Z"),
            ("m/d/yyyy h:mm", "5/1/2020 1:00 PM +02:00", "2020-05-01T11:00:00Z"),
            ("m/d/yyyy h:mm", "5/1/2020 1:00p.m.-0200", "2020-05-01T15:00:00Z"),
            ("m/d/yyyy h:mm", "5/1/2020 1:00 PM Z", "2020-05-01T13:00:00Z"),
            ("m/d/yyyy h:mm", "5/1/2020 1:00 PM EST", "none"),
            ("m/d/yyyy h:mm", "5/1/2020 10:05 amber", "none"),
            ("m/d/yyyy h:mm", "5/1/2020 13:00 PM", "none"),
            ("m-d-yy", "04-30-22", "2022-04-30T00:00:00Z"),
            ("d.m.yyyy", "31.12.2024", "2024-12-31T00:00:00Z"),
            ("d.m.yyyy", "31.12.2024 23:59", "2024-12-31T23:59:00Z"),
            ("epoch_s", "1500000000", "2017-07-14T02:40:00Z"),
            ("epoch_s", "1500000000.5", "2017-07-14T02:40:00.5Z"),
            ("epoch_ms", "1500000000250", "2017-07-14T02:40:00.25Z"),
            ("d.m.yyyy", "12/31/2024", "none"),
            ("m/d/yyyy", "2/30/2024", "none"),
            ("m/d/yyyy h:mm", "1/2/2024 25:00", "none"),
            ("m/d/yyyy h:mm", "1/2/2024 nonsense", "none"),
        ] {
            assert_eq!(read(format, "UTC", text), expected, "{format} {text}");
        }
        assert!(Format::named("mm:ss").is_err() && Reading::new(Format::Ymd, "Mars/Olympus").is_err());
    }

    #[test]
    fn an_hour_that_is_skipped_lies_later_and_of_one_that_comes_twice_the_first_is_meant() {
        let berlin = |text| read("d.m.yyyy h:mm", "Europe/Berlin", text);
        assert_eq!(berlin("1.7.2024 12:00"), "2024-07-01T10:00:00Z");
        assert_eq!(berlin("31.3.2024 2:30"), "2024-03-31T01:30:00Z");
        assert_eq!(berlin("27.10.2024 2:30"), "2024-10-27T00:30:00Z");
        assert_eq!(read("yyyy-mm-dd hh:mm", "+03:00", "2024-01-01 03:00"), "2024-01-01T00:00:00Z");
    }

    #[test]
    fn a_format_is_found_out_unless_it_may_be_two() {
        let guess = |cells: &[&str]| {
            let mut guess = Guess::new();
            cells.iter().for_each(|cell| guess.look(cell));
            guess.format()
        };
        assert_eq!(guess(&["1/2/2011 8:00"]), None);
        assert_eq!(guess(&["1/2/2011 8:00", "1/13/2011 8:00"]), Some(Format::Mdy));
        assert_eq!(guess(&["1/2/2011", "13/1/2011"]), Some(Format::Dmy));
        assert_eq!(guess(&["2011-01-02 00:00:00"]), Some(Format::Ymd));
        assert_eq!(guess(&["2011-01-02T00:00:00Z"]), Some(Format::Rfc3339));
        assert_eq!(guess(&["1500000000"]), Some(Format::EpochS));
        assert_eq!(guess(&["1500000000000"]), Some(Format::EpochMs));
        assert_eq!(guess(&["n/a", ""]), None);
    }
}
