//! Regions served, by ISO 3166 code.

use std::fmt;

use crate::Invalid;

/// An ISO 3166-1 alpha-2 country (`DE`) or an ISO 3166-2 subdivision (`BR-SP`).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Region {
    bytes: [u8; 6],
    len: u8,
}

impl Region {
    /// Parses `CC` or `CC-SSS`, upper case.
    pub fn new(text: &str) -> Result<Self, Invalid> {
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
impl TryFrom<String> for Region {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::new(&text)
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
        for bad in ["", "D", "de", "DEU", "DE-", "DE-ABCD", "DE_BY", "BR-sp"] {
            assert_eq!(Region::new(bad).unwrap_err().code, "region_format", "{bad}");
        }
    }
}
