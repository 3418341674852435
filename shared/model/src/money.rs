//! Money in minor units with its ISO 4217 currency. No floating point, ever.

use std::fmt;

use crate::Invalid;

mod iso4217;

/// Largest amount accepted, in minor units: far above any real price, far below overflow when summed.
pub const MINOR_MAX: i64 = 1_000_000_000_000;

/// An ISO 4217 alphabetic code such as `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, schemars::JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[A-Z]{3}$"))]
pub struct Currency([u8; 3]);

crate::text::as_text!(Currency, Currency::of_record, Currency::as_str);

/// Decimals of minor units where a record names a currency that is on no list any more.
const EXPONENT_OF_WITHDRAWN: u32 = 2;

fn exponent_of(code: &str) -> Option<u32> {
    let lists = |codes: &str| codes.split(' ').any(|listed| listed == code);
    let found = iso4217::BY_EXPONENT.iter().find(|(_, codes)| lists(codes));
    found.map(|(exponent, _)| u32::from(*exponent))
}

/// The code that somebody who wrote `text` most likely means.
fn meant(text: &str) -> Option<String> {
    let upper = text.trim().to_ascii_uppercase();
    if let Some((_, meant)) = iso4217::MEANT.iter().find(|(written, _)| *written == upper) {
        return Some((*meant).to_owned());
    }
    if exponent_of(&upper).is_some() {
        return Some(upper);
    }
    // Two neighbouring letters in the wrong order.
    let swapped = |at: usize| {
        let mut letters: Vec<char> = upper.chars().collect();
        letters.swap(at, at + 1);
        letters.into_iter().collect::<String>()
    };
    (0..upper.chars().count().saturating_sub(1)).map(swapped).find(|code| exponent_of(code).is_some())
}

impl Currency {
    /// A code of ISO 4217 in use, for what comes from outside. Metals, units of account and the codes for testing and for
    /// no currency are refused: nothing is priced in them.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if exponent_of(text).is_some() {
            return Self::of_record(text);
        }
        let hint = meant(text).map_or_else(String::new, |code| format!("; did you mean {code}?"));
        match Self::of_record(text) {
            Ok(_) => Err(Invalid::new(
                "currency_unknown",
                format!("{text} is no currency of ISO 4217 that goods are priced in{hint}"),
            )),
            Err(Invalid { code, detail }) => Err(Invalid { code, detail: detail + &hint }),
        }
    }
    /// Three upper-case letters, as records have it: the list changes, records stay.
    pub fn of_record(text: &str) -> Result<Self, Invalid> {
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
    /// The code as a number that sorts like the code: for whoever keeps many.
    pub fn number(self) -> u16 {
        self.0.iter().fold(0, |number, letter| number * 26 + u16::from(letter - b'A'))
    }
    /// The currency of [`Currency::number`].
    pub fn of_number(number: u16) -> Self {
        let letter = |number: u16| b'A' + (number % 26) as u8;
        Self([letter(number / 676), letter(number / 26), letter(number)])
    }
    /// Decimals of the currency: one unit of it is ten to this power minor units.
    pub fn exponent(&self) -> u32 {
        exponent_of(self.as_str()).unwrap_or(EXPONENT_OF_WITHDRAWN)
    }
}
impl TryFrom<String> for Currency {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::of_record(&text)
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

/// An amount in minor units (cents for EUR, whole yen for JPY, thousandths of a dinar for KWD).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Money {
    /// Minor units, 0 to 10^12.
    #[schemars(range(min = 0, max = MINOR_MAX))]
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

    /// An amount written as a decimal, such as `39.9` EUR, `1500` JPY or `1.505` KWD. Digits beyond what the currency has
    /// must be zeros; nothing is rounded.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, Invalid> {
        let exponent = currency.exponent() as usize;
        let bad = || {
            let code = currency.as_str();
            let detail = format!("{text:?} is no amount of {code}: digits with at most {exponent} decimals");
            Invalid::new("amount_format", detail)
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit());
        let (kept, beyond) = fraction.split_at_checked(exponent.min(fraction.len())).ok_or_else(bad)?;
        let empty = whole.is_empty() && fraction.is_empty();
        if empty || !digits(whole) || !digits(kept) || beyond.bytes().any(|digit| digit != b'0') {
            return Err(bad());
        }
        // All of it are digits, so what does not parse is too large.
        let minor = format!("{whole}{kept:0<exponent$}").parse().unwrap_or(i64::MAX);
        Self::new(minor, currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let unit = 10_i64.pow(exponent);
        let (whole, rest) = (self.minor / unit, self.minor % unit);
        match exponent as usize {
            0 => write!(f, "{whole} {}", self.currency.as_str()),
            digits => write!(f, "{whole}.{rest:0digits$} {}", self.currency.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
