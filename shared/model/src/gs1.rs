//! GS1 keys: GTIN and GLN with their check digit.
//!
//! Check digit: GS1 General Specifications, section 7.9 — from the right, digits are weighted 3, 1, 3, 1, …; the
//! check digit brings the sum to a multiple of ten.

use std::fmt;

use crate::Invalid;

fn parse(kind: &'static str, code: &'static str, text: &str, lengths: &[usize]) -> Result<u64, Invalid> {
    if !lengths.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid::new(code, format!("{kind} must be {lengths:?} digits, got {text:?}")));
    }
    let (body, check) = text.split_at(text.len() - 1);
    let expected = check_digit(body);
    if check.as_bytes()[0] - b'0' != expected {
        return Err(Invalid::new(
            if code == "gtin_format" { "gtin_check_digit" } else { "gln_check_digit" },
            format!("{kind} {text} has check digit {check}, expected {expected}"),
        ));
    }
    text.parse().map_err(|_| Invalid::new(code, format!("{kind} {text:?} is not a number")))
}

/// The GS1 check digit for `body`, which must hold ASCII digits only.
pub fn check_digit(body: &str) -> u8 {
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| u32::from(b - b'0') * if i % 2 == 0 { 3 } else { 1 })
        .sum();
    ((10 - sum % 10) % 10) as u8
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $code:literal, $lengths:expr, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(u64);

        impl $name {
            /// Parses the digits and verifies the check digit.
            pub fn new(text: &str) -> Result<Self, Invalid> {
                parse($kind, $code, text, &$lengths).map(Self)
            }
        }
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::new(&text)
            }
        }
        impl From<$name> for String {
            fn from(key: $name) -> String {
                key.to_string()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $width, "}"), self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

key!(/// A Global Trade Item Number of 8, 12, 13 or 14 digits, kept and printed as GTIN-14.
    Gtin, "GTIN", "gtin_format", [8, 12, 13, 14], "14");
key!(/// A Global Location Number of 13 digits.
    Gln, "GLN", "gln_format", [13], "13");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gtin_of_any_length_is_the_same_item_when_padded_with_zeros() {
        let ean = Gtin::new("4006381333931").unwrap();
        assert_eq!(ean, Gtin::new("04006381333931").unwrap());
        assert_eq!(ean.to_string(), "04006381333931");
        assert_eq!(Gtin::new("96385074").unwrap().to_string(), "00000096385074");
    }

    #[test]
    fn a_wrong_check_digit_says_which_was_expected() {
        let error = Gtin::new("4006381333932").unwrap_err();
        assert_eq!((error.code, error.detail.contains("expected 1")), ("gtin_check_digit", true));
        assert_eq!(Gln::new("4000001000006").unwrap_err().code, "gln_check_digit");
        assert_eq!(Gtin::new("12").unwrap_err().code, "gtin_format");
        assert_eq!(Gtin::new("40063813339a1").unwrap_err().code, "gtin_format");
    }

    proptest::proptest! {
        #[test]
        fn any_single_wrong_digit_is_caught(body in "[0-9]{12}", place in 0usize..13, shift in 1u8..10) {
            let good = format!("{body}{}", check_digit(&body));
            proptest::prop_assert!(Gtin::new(&good).is_ok());
            let mut bad = good.into_bytes();
            bad[place] = b'0' + (bad[place] - b'0' + shift) % 10;
            proptest::prop_assert!(Gtin::new(std::str::from_utf8(&bad).unwrap()).is_err());
        }
    }
}
