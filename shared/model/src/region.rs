//! Regions served, by ISO 3166 code.

use std::{collections::HashSet, fmt, sync::LazyLock};

use crate::Invalid;

/// ISO 3166-1 and 3166-2, one country a line: alpha-2, alpha-3, subdivisions. `XK` (Kosovo) is not on ISO's list but used
/// by all who sell there. As of 2023; a new subdivision is added to the file.
const ISO_3166: &str = include_str!("region/iso3166.txt");

static KNOWN: LazyLock<HashSet<Region>> = LazyLock::new(|| {
    let of_country = |line: &'static str| {
        let mut words = line.split(' ');
        let country = words.next().unwrap_or_default();
        let subdivisions = words.skip(1).map(move |sub| format!("{country}-{sub}"));
        std::iter::once(country.to_owned()).chain(subdivisions)
    };
    ISO_3166.lines().flat_map(of_country).filter_map(|code| Region::of_record(&code).ok()).collect()
});

/// What people write instead, and what they mean: reserved and withdrawn codes.
const MEANT: [(&str, &str); 12] = [
    ("AN", "CW"),
    ("BU", "MM"),
    ("CS", "RS"),
    ("DD", "DE"),
    ("EL", "GR"),
    ("EN", "GB"),
    ("FX", "FR"),
    ("SU", "RU"),
    ("TP", "TL"),
    ("UK", "GB"),
    ("YU", "RS"),
    ("ZR", "CD"),
];

/// An ISO 3166-1 alpha-2 country (`DE`) or an ISO 3166-2 subdivision (`BR-SP`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, schemars::JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[A-Z]{2}(-[A-Z0-9]{1,3})?$"))]
pub struct Region {
    bytes: [u8; 6],
    len: u8,
}

crate::text::as_text!(Region, Region::of_record, Region::as_str);

impl Region {
    /// A country of ISO 3166-1 or a subdivision of ISO 3166-2, for what comes from outside.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let known = Self::of_record(text).map(|region| KNOWN.contains(&region).then_some(region));
        match known {
            Ok(Some(region)) => Ok(region),
            Ok(None) => {
                let hint =
                    meant(text).map_or_else(|| subdivisions(text), |code| format!("; did you mean {code}?"));
                let detail = format!(
                    "{text} is neither a country of ISO 3166-1 nor a subdivision of ISO 3166-2{hint}"
                );
                Err(Invalid::new("region_unknown", detail))
            }
            Err(Invalid { code, detail }) => {
                let hint = meant(text).map_or_else(String::new, |code| format!("; did you mean {code}?"));
                Err(Invalid { code, detail: detail + &hint })
            }
        }
    }
    /// `CC` or `CC-SSS`, upper case, as records have it: the lists change, records stay.
    pub fn of_record(text: &str) -> Result<Self, Invalid> {
        let raw = text.as_bytes();
        let country = raw.len() >= 2 && raw[..2].iter().all(u8::is_ascii_uppercase);
        let rest = match raw.get(2..) {
            Some([]) => true,
            Some([b'-', sub @ ..]) => {
                (1..=3).contains(&sub.len())
                    && sub.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            }
            _ => false,
        };
        if !(country && rest) {
            return Err(Invalid::new(
                "region_format",
                format!("region must be an ISO 3166 code such as DE or BR-SP, got {text:?}"),
            ));
        }
        let mut bytes = [0; 6];
        bytes[..raw.len()].copy_from_slice(raw);
        Ok(Self { bytes, len: raw.len() as u8 })
    }
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len as usize]).unwrap_or("")
    }
    /// Whether an offer for `self` serves a buyer who asks for `asked`: the same region, or the country of it.
    pub fn serves(&self, asked: Region) -> bool {
        *self == asked || (self.len == 2 && self.bytes[..2] == asked.bytes[..2])
    }
}

/// The code that somebody who wrote `text` most likely means.
fn meant(text: &str) -> Option<String> {
    let upper = text.trim().to_ascii_uppercase().replace('_', "-");
    let (country, rest) = upper.split_at_checked(upper.find('-').unwrap_or(upper.len()))?;
    let habit = MEANT.iter().find(|(written, _)| *written == country).map(|(_, meant)| *meant);
    let of_three = || {
        let line =
            ISO_3166.lines().find(|line| country.len() == 3 && line.split(' ').nth(1) == Some(country))?;
        line.split(' ').next()
    };
    let code = format!("{}{rest}", habit.or_else(of_three).unwrap_or(country));
    Region::of_record(&code).is_ok_and(|region| KNOWN.contains(&region)).then_some(code)
}

/// Says what subdivisions there are, when the country is right.
fn subdivisions(text: &str) -> String {
    let country = text.split('-').next().unwrap_or_default();
    let Some(line) = ISO_3166.lines().find(|line| line.split(' ').next() == Some(country)) else {
        return String::new();
    };
    let some: Vec<String> = line.split(' ').skip(2).take(3).map(|sub| format!("{country}-{sub}")).collect();
    match some.is_empty() {
        true => format!("; {country} has none: write {country}"),
        false => format!("; {country} has such as {}", some.join(", ")),
    }
}

impl TryFrom<String> for Region {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::of_record(&text)
    }
}
impl From<Region> for String {
    fn from(region: Region) -> String {
        region.as_str().to_owned()
    }
}
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_serves_its_subdivisions_but_not_the_other_way_round() {
        let (br, sp, de) =
            (Region::new("BR").unwrap(), Region::new("BR-SP").unwrap(), Region::new("DE").unwrap());
        assert!(br.serves(sp) && br.serves(br) && sp.serves(sp));
        assert!(!sp.serves(br) && !br.serves(de));
        for bad in ["", "D", "de", "DEU", "DE-", "DE-ABCD", "DE_BY", "BR-sp", "D€"] {
            assert_eq!(Region::new(bad).unwrap_err().code, "region_format", "{bad}");
            assert!(Region::of_record(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_region_is_on_the_list_and_the_likely_one_is_named() {
        assert_eq!(KNOWN.len(), 250 + 5_130, "every line of the file is read whole");
        for known in ["DE", "GB", "GR", "XK", "US-CA", "DE-BY", "BR-SP", "FR-75C", "JP-13"] {
            assert!(Region::new(known).is_ok(), "{known}");
        }
        for unknown in ["XX", "ZZ", "UK", "EL", "EU", "AA", "US-XX", "DE-XX", "XX-BY", "AW-1"] {
            assert_eq!(Region::new(unknown).unwrap_err().code, "region_unknown", "{unknown}");
            assert!(Region::of_record(unknown).is_ok(), "records keep what was written: {unknown}");
        }
        for (written, meant) in [
            ("UK", "GB"),
            ("EL", "GR"),
            ("UK-ENG", "GB-ENG"),
            ("de", "DE"),
            ("DEU", "DE"),
            ("usa", "US"),
            ("us-ca", "US-CA"),
            ("DE_BY", "DE-BY"),
        ] {
            let detail = Region::new(written).unwrap_err().detail;
            assert!(detail.ends_with(&format!("did you mean {meant}?")), "{written}: {detail}");
        }
        assert!(Region::new("US-XX").unwrap_err().detail.contains("US-AK"));
        assert!(Region::new("AW-1").unwrap_err().detail.contains("write AW"));
        for (_, meant) in MEANT {
            assert!(Region::new(meant).is_ok(), "{meant} is suggested and refused");
        }
    }
}
