use proptest::prelude::*;

use super::*;

fn codes() -> Vec<(u32, &'static str)> {
    let lists = iso4217::BY_EXPONENT.iter();
    lists.flat_map(|(exponent, codes)| codes.split(' ').map(|code| (u32::from(*exponent), code))).collect()
}

#[test]
fn a_currency_is_on_the_list_and_says_how_many_decimals_it_has() {
    let codes = codes();
    let mut names: Vec<_> = codes.iter().map(|(_, code)| *code).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), codes.len()), (167, 167), "each once");
    for (exponent, code) in codes {
        assert_eq!(Currency::new(code).unwrap().exponent(), exponent, "{code}");
    }
    for (code, exponent) in
        [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("ISK", 0), ("TND", 3), ("MGA", 2), ("XCG", 2)]
    {
        assert_eq!(Currency::new(code).unwrap().exponent(), exponent, "{code}");
    }
}

#[test]
fn what_is_no_currency_of_goods_is_refused_and_the_likely_one_is_named() {
    for code in ["ZZZ", "XXX", "XTS", "XAU", "XDR", "HRK", "ZWL"] {
        assert_eq!(Currency::new(code).unwrap_err().code, "currency_unknown", "{code}");
        assert!(Currency::of_record(code).is_ok(), "records keep what was written: {code}");
    }
    for bad in ["", "eur", "EURO", "E1R", "€"] {
        assert_eq!(Currency::new(bad).unwrap_err().code, "currency_format", "{bad}");
        assert!(Currency::of_record(bad).is_err());
    }
    for (written, meant) in
        [("HRK", "EUR"), ("RMB", "CNY"), ("eur", "EUR"), ("ERU", "EUR"), ("EURO", "EUR"), ("USA", "USD")]
    {
        let detail = Currency::new(written).unwrap_err().detail;
        assert!(detail.ends_with(&format!("did you mean {meant}?")), "{written}: {detail}");
    }
    assert!(!Currency::new("ZZZ").unwrap_err().detail.contains("did you mean"), "nothing is likely");
    for (_, meant) in iso4217::MEANT {
        assert!(exponent_of(meant).is_some(), "{meant} is suggested and refused");
    }
}

#[test]
fn decimals_become_minor_units_by_the_currency_and_without_floating_point() {
    let minor = |text: &str, code: &str| Money::from_decimal(text, Currency::new(code).unwrap());
    for (text, code, expected) in [
        ("39.99", "EUR", 3_999),
        ("39.9", "EUR", 3_990),
        ("39", "EUR", 3_900),
        ("39.", "EUR", 3_900),
        (".5", "EUR", 50),
        ("0.10", "EUR", 10),
        ("1.500", "EUR", 150),
        ("1500", "JPY", 1_500),
        ("15.00", "JPY", 15),
        ("1.505", "KWD", 1_505),
        ("1.5", "KWD", 1_500),
        ("1.5050", "KWD", 1_505),
        ("0.0001", "CLF", 1),
    ] {
        assert_eq!(minor(text, code).unwrap().minor, expected, "{text} {code}");
    }
    for (bad, code) in [
        ("", "EUR"),
        (".", "EUR"),
        ("x", "EUR"),
        ("1.005", "EUR"),
        ("-1.00", "EUR"),
        ("+1", "EUR"),
        ("1.x", "EUR"),
        ("1,50", "EUR"),
        ("1e3", "EUR"),
        ("1.ß", "EUR"),
        ("15.5", "JPY"),
        ("1.5055", "KWD"),
    ] {
        assert_eq!(minor(bad, code).unwrap_err().code, "amount_format", "{bad} {code}");
    }
    for huge in ["10000000000.01", "99999999999999999999"] {
        assert_eq!(minor(huge, "EUR").unwrap_err().code, "amount_range", "{huge}");
    }
}

proptest! {
    /// What is printed is read as the same amount, in every currency.
    #[test]
    fn an_amount_survives_being_written_down(minor in 0..=MINOR_MAX, at in 0usize..167) {
        let money = Money::new(minor, Currency::new(codes()[at].1).unwrap()).unwrap();
        let text = money.to_string();
        let (amount, code) = text.split_once(' ').unwrap();
        prop_assert_eq!(code, money.currency.as_str());
        prop_assert_eq!(Money::from_decimal(amount, money.currency).unwrap(), money);
    }
}

#[test]
fn numbers_of_currencies_come_back_and_sort_like_their_codes() {
    let codes = ["AAA", "AED", "CHF", "EUR", "JPY", "USD", "ZWL", "ZZZ"];
    let all: Vec<Currency> = codes.iter().map(|code| Currency::of_record(code).unwrap()).collect();
    assert!(all.is_sorted_by_key(|currency| currency.number()));
    assert!(all.iter().all(|currency| Currency::of_number(currency.number()) == *currency));
}
