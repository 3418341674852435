//! One cell: numbers as people and spreadsheets write them, amounts with their currency, identifiers.

use stockade_model::{Currency, Money};

use crate::{finding::codes, mapping::Decimal};

/// Why a cell is not taken: a stable code, and what to do.
pub type Wrong = (&'static str, String);

/// Signs of currencies that mean one currency only. `$` and `¥` are of several.
const SIGNS: [(&str, &str); 9] = [
    ("€", "EUR"),
    ("£", "GBP"),
    ("₹", "INR"),
    ("₺", "TRY"),
    ("₽", "RUB"),
    ("₩", "KRW"),
    ("zł", "PLN"),
    ("R$", "BRL"),
    ("Kč", "CZK"),
];

/// Whether `text` is a number in the form in which a spreadsheet shows what it has rounded, such as `8.06E+12`.
pub fn is_rounded_by_spreadsheet(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else { return false };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.strip_prefix('+');
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    exponent.is_some_and(digits) && digits(whole) && digits(fraction)
}

/// An identifier as it stands. A spreadsheet's text mark before it is taken off.
pub(crate) fn identifier(text: &str) -> Result<&str, Wrong> {
    let text = text.trim();
    // Excel writes ="0123" to keep a number a text, and an apostrophe before it for the same.
    let text = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if is_rounded_by_spreadsheet(text) {
        let detail = "a spreadsheet has rounded this identifier, so its digits are lost; format the column as text, fill it in again, and save";
        return Err((codes::SPREADSHEET, detail.to_owned()));
    }
    Ok(text)
}

/// A plain decimal such as `-1234.5`, from whatever separators it was written with.
pub fn decimal(text: &str, decimal: Decimal) -> Result<String, Wrong> {
    let wrong = || (codes::NUMBER, "this is no number; write digits, such as 1234.50".to_owned());
    let (minus, text) = match text.trim().strip_prefix(['-', '\u{2212}']) {
        Some(rest) => ("-", rest),
        None => ("", text.trim()),
    };
    let text = text.strip_prefix('+').unwrap_or(text);
    // Spaces and apostrophes only ever part thousands.
    let spaced = text.contains([' ', '\u{a0}', '\u{202f}', '\u{2009}', '\'', '’']);
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’'))
        .collect();
    if !text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
        || !text.contains(|c: char| c.is_ascii_digit())
    {
        return Err(wrong());
    }
    let (points, commas) = (text.matches('.').count(), text.matches(',').count());
    let point = match decimal {
        Decimal::Point => Some('.'),
        Decimal::Comma => Some(','),
        Decimal::Auto => match (points, commas) {
            (0, 0) => None,
            // The last of two kinds parts the decimals, and stands once.
            (1.., 1..) => Some(if text.rfind('.') > text.rfind(',') { '.' } else { ',' }),
            (2.., 0) | (0, 2..) => None,
            (1, 0) | (0, 1) => {
                let mark = if points == 1 { '.' } else { ',' };
                let (whole, rest) = text.split_once(mark).unwrap_or_default();
                let thousands = rest.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0');
                if thousands && !spaced {
                    let detail = format!(
                        "{text} may be {whole}{rest} or {whole} and a fraction; say `decimal: point` or `decimal: comma` in the mapping"
                    );
                    return Err((codes::AMBIGUOUS, detail));
                }
                Some(mark)
            }
        },
    };
    let (whole, fraction) = match point.and_then(|point| text.rsplit_once(point)) {
        Some((whole, fraction)) => (whole, fraction),
        None => (text.as_str(), ""),
    };
    let thousands_mark = match point {
        Some('.') => ',',
        Some(_) => '.',
        None if points > 0 => '.',
        None => ',',
    };
    let whole = grouped(whole, thousands_mark).ok_or_else(wrong)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole = if whole.is_empty() { "0" } else { &whole };
    Ok(if fraction.is_empty() { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") })
}

/// Digits, whose groups of thousands may be parted by `mark`; `None` when they are parted elsewhere.
fn grouped(text: &str, mark: char) -> Option<String> {
    let mut groups = text.split(mark);
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    // The Indian way parts by two digits before the last three.
    let fine = rest
        .iter()
        .enumerate()
        .all(|(at, group)| digits(group) && (group.len() == 3 || (group.len() == 2 && at + 1 < rest.len())));
    let first_fits = rest.is_empty() || (1..=3).contains(&first.len());
    (digits(first) && fine && first_fits).then(|| text.replace(mark, ""))
}

/// Whether a cell can only be read with a comma (`Some(true)`) or a point (`Some(false)`) before its decimals.
pub fn shows_decimal(text: &str) -> Option<bool> {
    let text = text.trim_matches(|c: char| !c.is_ascii_digit());
    if !text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | ' ' | '\u{a0}' | '\'')) {
        return None;
    }
    let (point, comma) = (text.rfind('.'), text.rfind(','));
    let fraction = |at: usize| text.len() - at - 1;
    match (point, comma) {
        (Some(point), Some(comma)) => Some(comma > point),
        (Some(at), None) if text.matches('.').count() == 1 && fraction(at) != 3 => Some(false),
        (None, Some(at)) if text.matches(',').count() == 1 && fraction(at) != 3 => Some(true),
        _ => None,
    }
}

/// Units: whole, not below zero.
pub(crate) fn units(text: &str, style: Decimal) -> Result<i64, Wrong> {
    // "1.000" pieces are a thousand or one: whole numbers have no three zeros behind a point, so it is asked.
    let plain = decimal(text, style)?;
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return Err((codes::WHOLE, "units are whole; send a whole number".to_owned()));
    }
    let units: i64 = whole
        .parse()
        .map_err(|_| (codes::NUMBER, "this number is larger than any stock; check the column".to_owned()))?;
    if units < 0 {
        let detail = "stock below zero is not taken; send 0 (what is ordered and not shipped is counted by the platform)";
        return Err((codes::NEGATIVE, detail.to_owned()));
    }
    Ok(units)
}

/// A whole number such as a sequence.
pub(crate) fn sequence(text: &str) -> Result<u64, Wrong> {
    let wrong = || (codes::NUMBER, "this is no whole number of digits only".to_owned());
    if is_rounded_by_spreadsheet(text) {
        return identifier(text).map(|_| 0);
    }
    text.trim().parse().map_err(|_| wrong())
}

/// An amount, with the currency that stands beside it, or `usual`.
pub(crate) fn price(text: &str, style: Decimal, usual: Option<Currency>) -> Result<Money, Wrong> {
    let (number, beside) = without_currency(text)?;
    let currency = match (beside, usual) {
        (Some(beside), Some(usual)) if beside != usual => {
            let detail = format!(
                "the amount is in {}, the row or mapping says {}; make both the same",
                beside.as_str(),
                usual.as_str()
            );
            return Err((codes::CURRENCY_MISMATCH, detail));
        }
        (beside, usual) => beside.or(usual).ok_or_else(|| {
            let detail = "nothing says of which currency this is; add a currency column, or `currency: EUR` to the mapping";
            (codes::CURRENCY_MISSING, detail.to_owned())
        })?,
    };
    let plain = decimal(&number, style)?;
    Money::from_decimal(&plain, currency).map_err(|error| (error.code, error.detail))
}

/// Takes the sign or code of a currency off an amount; a sign that several countries use says no currency.
pub fn without_currency(text: &str) -> Result<(String, Option<Currency>), Wrong> {
    let text = text.trim();
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return Err((codes::NUMBER, "this is no amount; write digits, such as 1234.50".to_owned()));
    }
    for (sign, code) in SIGNS {
        if let Some(rest) = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign)) {
            return Ok((rest.trim().to_owned(), Currency::new(code).ok()));
        }
    }
    // Dollars and yen or yuan of some country: the row says which.
    let text = text.trim_start_matches(['$', '¥']).trim_end_matches(['$', '¥']).trim();
    let letters = |c: char| c.is_ascii_alphabetic();
    let ahead: String = text.chars().take_while(|c| letters(*c)).collect();
    let behind: String =
        text.chars().rev().take_while(|c| letters(*c)).collect::<String>().chars().rev().collect();
    let code = if ahead.is_empty() { behind } else { ahead };
    if code.is_empty() {
        return Ok((text.to_owned(), None));
    }
    let currency = Currency::new(&code.to_ascii_uppercase()).map_err(|error| {
        // Letters within a number, such as the O for the nought in `1.5O`, are no currency that somebody meant.
        if text.contains(char::is_whitespace) {
            return (error.code, error.detail);
        }
        (codes::NUMBER, format!("{text} is no amount; write digits, such as 1234.50 or 1234.50 EUR"))
    })?;
    Ok((text.trim_matches(letters).trim().to_owned(), Some(currency)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eur() -> Option<Currency> {
        Currency::new("EUR").ok()
    }

    #[test]
    fn amounts_are_read_however_they_are_written() {
        for (text, minor, code) in [
            ("39.90", 3_990, "EUR"),
            ("39,90", 3_990, "EUR"),
            ("1.234,56", 123_456, "EUR"),
            ("1,234.56", 123_456, "EUR"),
            ("1.234.567,8", 123_456_780, "EUR"),
            ("€ 12,5", 1_250, "EUR"),
            ("12.50 €", 1_250, "EUR"),
            ("1 234,50", 123_450, "EUR"),
            ("1\u{a0}234,50", 123_450, "EUR"),
            ("1'234.50", 123_450, "EUR"),
            ("EUR 7", 700, "EUR"),
            ("7 eur", 700, "EUR"),
            ("0.999,00", 99_900, "EUR"),
            ("12,34,567.00", 123_456_700, "EUR"),
        ] {
            let read = price(text, Decimal::Auto, eur());
            let read = read.unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
            assert_eq!((read.minor, read.currency.as_str()), (minor, code), "{text}");
        }
        assert_eq!(price("15.00 USD", Decimal::Auto, None).unwrap().currency.as_str(), "USD");
        assert_eq!(price("£3", Decimal::Auto, None).unwrap().currency.as_str(), "GBP");
        assert_eq!(price("1.234", Decimal::Comma, eur()).unwrap().minor, 123_400);
        for (text, usual, code) in [
            ("1.234", eur(), codes::AMBIGUOUS),
            ("$5", None, codes::CURRENCY_MISSING),
            ("£5", eur(), codes::CURRENCY_MISMATCH),
            ("call us", eur(), codes::NUMBER),
            ("5 EURO", eur(), "currency_format"),
            ("1.5O", eur(), codes::NUMBER),
            ("l.50", eur(), codes::NUMBER),
            ("1.OOO", eur(), codes::NUMBER),
            ("", eur(), codes::NUMBER),
            ("1,23,4.5", eur(), codes::NUMBER),
            ("1.005,5,5", eur(), codes::NUMBER),
        ] {
            assert_eq!(price(text, Decimal::Auto, usual).unwrap_err().0, code, "{text}");
        }
    }

    #[test]
    fn a_letter_within_a_number_is_no_currency() {
        let (code, detail) = price("1.5O", Decimal::Auto, eur()).unwrap_err();
        assert!(code == codes::NUMBER && detail.starts_with("1.5O is no amount"), "{detail}");
        assert_eq!(price("5EUR", Decimal::Auto, None).unwrap().minor, 500);
    }

    #[test]
    fn units_are_whole_and_not_below_zero() {
        for (text, expected) in
            [("5", 5), ("5.0", 5), ("5,00", 5), ("1 200", 1_200), ("1,200,000", 1_200_000), (" 7 ", 7)]
        {
            assert_eq!(units(text, Decimal::Auto), Ok(expected), "{text}");
        }
        for (text, code) in [
            ("-3", codes::NEGATIVE),
            ("2.5", codes::WHOLE),
            ("many", codes::NUMBER),
            ("1,200", codes::AMBIGUOUS),
            ("99999999999999999999", codes::NUMBER),
            (">100", codes::NUMBER),
        ] {
            assert_eq!(units(text, Decimal::Auto).unwrap_err().0, code, "{text}");
        }
        assert_eq!(units("1,200", Decimal::Point), Ok(1_200));
    }

    #[test]
    fn an_identifier_that_a_spreadsheet_has_rounded_is_not_taken() {
        for rounded in ["8.06E+12", "8,06E+12", "4E+3", "1.0e+10"] {
            assert_eq!(identifier(rounded).unwrap_err().0, codes::SPREADSHEET, "{rounded}");
        }
        for (fine, read) in
            [("8E12", "8E12"), ("ABC-E+12", "ABC-E+12"), ("=\"00123\"", "00123"), (" x ", "x")]
        {
            assert_eq!(identifier(fine), Ok(read));
        }
    }

    proptest::proptest! {
        /// What is written with thousands in any usual way is read back to the cent.
        #[test]
        fn an_amount_is_read_back_to_the_cent(minor in 0i64..1_000_000_000_000, style in 0usize..4) {
            let (whole, cents) = (minor / 100, minor % 100);
            let digits = whole.to_string();
            let part = |mark: &str| {
                let mut text = String::new();
                for (at, digit) in digits.chars().enumerate() {
                    if at > 0 && (digits.len() - at) % 3 == 0 { text.push_str(mark); }
                    text.push(digit);
                }
                text
            };
            let text = match style {
                0 => format!("{digits}.{cents:02}"),
                1 => format!("{},{cents:02}", part(".")),
                2 => format!("{}.{cents:02}", part(",")),
                _ => format!("{},{cents:02} €", part("\u{a0}")),
            };
            proptest::prop_assert_eq!(price(&text, Decimal::Auto, eur()).map(|money| money.minor), Ok(minor), "{}", text);
        }

        /// Nothing that stands in a cell can stop the reader.
        #[test]
        fn any_text_is_a_number_or_a_reason(text in "\\PC{0,20}") {
            let _ = (price(&text, Decimal::Auto, eur()), units(&text, Decimal::Comma), identifier(&text), shows_decimal(&text));
        }
    }
}
