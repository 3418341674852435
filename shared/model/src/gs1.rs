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
    ($(#[$doc:meta])* $name:ident, $kind:literal, $code:literal, $zero:literal, $lengths:expr, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(u64);

        impl $name {
            /// Parses the digits and verifies the check digit. All zeros are refused: whoever sends them has no number.
            pub fn new(text: &str) -> Result<Self, Invalid> {
                match Self::of_record(text)? {
                    Self(0) => {
                        let detail = concat!($kind, " is all zeros; leave it out where there is none");
                        Err(Invalid::new($zero, detail))
                    }
                    key => Ok(key),
                }
            }
            /// The same as records have it.
            pub fn of_record(text: &str) -> Result<Self, Invalid> {
                parse($kind, $code, text, &$lengths).map(Self)
            }
        }
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::of_record(&text)
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
    Gtin, "GTIN", "gtin_format", "gtin_zero", [8, 12, 13, 14], "14");
key!(/// A Global Location Number of 13 digits.
    Gln, "GLN", "gln_format", "gln_zero", [13], "13");

impl Gtin {
    /// The digits as a number: for whoever keeps many.
    pub fn digits(self) -> u64 {
        self.0
    }
    /// The GTIN with these digits, as [`Gtin::digits`] gave them. Nothing is checked.
    pub fn of_digits(digits: u64) -> Self {
        Self(digits)
    }
    /// Whether it means something only to whoever gave it: two shops may give the same number to different goods.
    ///
    /// GS1 General Specifications, section 1.4 (GS1 prefixes) and 2.1.13: 020 to 029 and 040 to 049, which is UPC number
    /// system 2 and 4, 200 to 299, and of GTIN-8 those that begin with 0 or 2.
    pub fn is_restricted(self) -> bool {
        const GTIN_8: u64 = 100_000_000;
        if self.0 < GTIN_8 {
            return matches!(self.0 / 10_000_000, 0 | 2);
        }
        // The first of 14 digits tells how it is packed, the prefix follows.
        let prefix = self.0 / 10_000_000_000 % 1_000;
        matches!(prefix, 20..=29 | 40..=49 | 200..=299)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_a_shop_gave_itself_is_restricted_and_all_zeros_are_none() {
        let gtin = |body: &str| Gtin::new(&format!("{body}{}", check_digit(body))).unwrap();
        for body in
            ["020000000001", "029999999999", "040000000001", "049999999999", "200000000001", "299999999999"]
        {
            assert!(gtin(body).is_restricted(), "{body}");
            assert!(gtin(&format!("1{body}")).is_restricted(), "packed: {body}");
        }
        for body in ["2000001", "0123456", "2999999"] {
            assert!(gtin(body).is_restricted(), "GTIN-8 {body}");
        }
        assert!(gtin("21234567890").is_restricted(), "UPC of variable measure");
        assert!(gtin("41234567890").is_restricted(), "UPC of a shop's own");
        for body in [
            "019999999999",
            "030000000001",
            "039999999999",
            "050000000001",
            "199999999999",
            "300000000001",
            "400638133393",
            "01234567890",
            "9638507",
            "4000001",
        ] {
            assert!(!gtin(body).is_restricted(), "{body}");
        }
        for zeros in ["00000000", "000000000000", "0000000000000", "00000000000000"] {
            assert_eq!(Gtin::new(zeros).unwrap_err().code, "gtin_zero");
            assert!(Gtin::of_record(zeros).is_ok(), "records keep what was written");
        }
        assert_eq!(Gln::new("0000000000000").unwrap_err().code, "gln_zero");
    }

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
        fn any_single_wrong_digit_is_caught(body in "[1-9][0-9]{11}", place in 0usize..13, shift in 1u8..10) {
            let good = format!("{body}{}", check_digit(&body));
            proptest::prop_assert!(Gtin::new(&good).is_ok());
            let mut bad = good.into_bytes();
            bad[place] = b'0' + (bad[place] - b'0' + shift) % 10;
            proptest::prop_assert!(Gtin::new(std::str::from_utf8(&bad).unwrap()).is_err());
        }
    }
}
