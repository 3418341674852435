//! GS1 keys: GTIN and GLN with their check digit.
//!
//! Check digit: GS1 General Specifications, section 7.9 — from the right, digits are weighted 3, 1, 3, 1, …; the
//! check digit brings the sum to a multiple of ten.
//!
//! UPC-E: same, section 5.2.2.4.2 — the short form of a UPC-A with zeros in its middle, printed on small packages.

use std::fmt;

use crate::Invalid;

fn parse(kind: &'static str, code: &'static str, text: &str, lengths: &[usize]) -> Result<u64, Invalid> {
    if !lengths.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        let known: Vec<String> = lengths.iter().map(usize::to_string).collect();
        let detail = format!("{kind} must be of {} digits, got {text:?}", known.join(", "));
        return Err(Invalid::new(code, detail));
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

/// The UPC-A that an UPC-E stands for, whose check digit is that of the UPC-A; `None` when `text` is none.
fn expanded(text: &str) -> Option<String> {
    let system = text.get(..1).filter(|system| matches!(*system, "0" | "1"))?;
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (number, check) = (&text[1..7], &text[7..]);
    let (manufacturer, item) = match &number[5..] {
        last @ ("0" | "1" | "2") => (format!("{}{last}00", &number[..2]), format!("00{}", &number[2..5])),
        "3" => (format!("{}00", &number[..3]), format!("000{}", &number[3..5])),
        "4" => (format!("{}0", &number[..4]), format!("0000{}", &number[4..5])),
        last => (number[..5].to_owned(), format!("0000{last}")),
    };
    let body = format!("{system}{manufacturer}{item}");
    let expected = check_digit(&body).to_string();
    (check == expected).then(|| body + check)
}

/// A GTIN as people write it, an UPC-E as the UPC-A it stands for. Eight digits may be right as a GTIN-8 as well. Those that
/// begin with 0 are none that GS1 gives out, so they are an UPC-E; those that begin with 1 are, so they stay what they are.
fn gtin_of(text: &str) -> Result<u64, Invalid> {
    let plain = Gtin::of_record(text).map(Gtin::digits);
    match expanded(text) {
        Some(upc) if plain.is_err() || text.starts_with('0') => Gtin::of_record(&upc).map(Gtin::digits),
        None if text.len() == 8 && text.starts_with(['0', '1']) => plain.map_err(|wrong| {
            let detail = format!(
                "{}; as an UPC-E, whose check digit is that of its UPC-A, it is wrong too",
                wrong.detail
            );
            Invalid::new(wrong.code, detail)
        }),
        _ => plain,
    }
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $code:literal, $zero:literal, $lengths:expr, $width:literal, $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(u64);

        impl $name {
            /// Parses the digits and verifies the check digit. All zeros are refused: whoever sends them has no number.
            pub fn new(text: &str) -> Result<Self, Invalid> {
                let read: fn(&str) -> Result<u64, Invalid> = $read;
                match Self(read(text)?) {
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

key!(/// A Global Trade Item Number of 8, 12, 13 or 14 digits, kept and printed as GTIN-14. An UPC-E is read as its UPC-A.
    Gtin, "GTIN", "gtin_format", "gtin_zero", [8, 12, 13, 14], "14", gtin_of);
key!(/// A Global Location Number of 13 digits.
    Gln, "GLN", "gln_format", "gln_zero", [13], "13", |text| Gln::of_record(text).map(|gln| gln.0));

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
        for body in ["2000001", "0000012", "2999999"] {
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
    fn an_upc_e_is_the_upc_a_that_it_stands_for() {
        for (short, long) in [
            ("04252614", "042100005264"),
            ("01234565", "012345000065"),
            ("01245714", "012100004574"),
            ("01234531", "012300000451"),
            ("01234543", "012340000053"),
            ("14567847", "145670000087"),
        ] {
            assert_eq!(Gtin::new(short), Gtin::new(long), "{short} is {long}");
            assert!(!Gtin::new(short).unwrap().is_restricted());
        }
        // A GTIN-8 that GS1 gives out stays one, and so does one that is no UPC-E.
        for eight in ["96385074", "20000011"] {
            assert_eq!(Gtin::new(eight).unwrap().to_string(), format!("000000{eight}"));
        }
        let error = Gtin::new("04252615").unwrap_err();
        assert_eq!((error.code, error.detail.contains("UPC-E")), ("gtin_check_digit", true), "{error}");
        assert!(Gtin::of_record("01234565").unwrap().is_restricted(), "records keep what was written");
    }

    proptest::proptest! {
        /// Against the table of the specification read the other way: from the UPC-A to the UPC-E.
        #[test]
        fn every_upc_a_that_has_a_short_form_is_found_under_it(number in 0u32..1_000_000) {
            let number = format!("{number:06}");
            let (digits, last) = (&number[..5], &number[5..]);
            let body = match last {
                "0" | "1" | "2" => format!("0{}{last}0000{}", &digits[..2], &digits[2..]),
                "3" => format!("0{}00000{}", &digits[..3], &digits[3..]),
                "4" => format!("0{}00000{}", &digits[..4], &digits[4..]),
                _ => format!("0{digits}0000{last}"),
            };
            let check = check_digit(&body);
            proptest::prop_assume!(number != "000000");
            proptest::prop_assert_eq!(Gtin::new(&format!("0{number}{check}")), Gtin::new(&format!("{body}{check}")));
        }
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
