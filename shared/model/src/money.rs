//! Money in minor units with its ISO 4217 currency. No floating point, ever.

use std::fmt;

use crate::Invalid;

/// Largest amount accepted, in minor units: far above any real price, far below overflow when summed.
pub const MINOR_MAX: i64 = 1_000_000_000_000;

/// An ISO 4217 alphabetic code such as `EUR`.
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
pub struct Currency([u8; 3]);

impl Currency {
    /// Three upper-case letters. Whether the code is assigned today is not checked: the list changes, records stay.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        match text.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(|l| l.is_ascii_uppercase()) => Ok(Self([*a, *b, *c])),
            _ => Err(Invalid::new(
                "currency_format",
                format!("currency must be three upper-case letters of ISO 4217 such as EUR, got {text:?}"),
            )),
        }
    }
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}
impl TryFrom<String> for Currency {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::new(&text)
    }
}
impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.as_str().to_owned()
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in minor units (cents for EUR, whole yen for JPY).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Money {
    /// Minor units, 0 to 10^12.
    pub minor: i64,
    /// ISO 4217 code.
    pub currency: Currency,
}

impl Money {
    /// Checks the range: negative and absurd amounts are refused.
    pub fn new(minor: i64, currency: Currency) -> Result<Self, Invalid> {
        if (0..=MINOR_MAX).contains(&minor) {
            Ok(Self { minor, currency })
        } else {
            Err(Invalid::new(
                "amount_range",
                format!("amount must be 0 to {MINOR_MAX} minor units, got {minor}"),
            ))
        }
    }
}
