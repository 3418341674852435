//! Mappings bound to headers, and what they take from rows.

use super::*;

fn bound(mapping: &str, header: &[&str]) -> Result<Bound> {
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let mapping = Mapping::parse(mapping)?;
    let reading = Reading::new(crate::times::Format::Rfc3339, "UTC")?;
    let times = mapping.time_columns().into_iter().map(|name| (name, reading.clone())).collect();
    Bound::new(mapping, &header, times, Decimal::Point)
}

const REST: &str = "supplier: {id: {column: who}, region: {constant: DE}}, events: []";

#[test]
fn a_value_is_absent_before_its_own_stamp_and_counted() {
    let mapping = format!(
        "{{name: t, currency: EUR, time: at, known_at: {{status: {{column: done, plus: 1d}}}}, {REST}}}"
    );
    let bound = bound(&mapping, &["at", "who", "status", "done"]).unwrap();
    let record =
        csv::StringRecord::from(vec!["2020-01-01T00:00:00Z", "a", "canceled", "2020-01-05T00:00:00Z"]);
    let mut row = bound.row(&record, 2);
    let day = |day: &str| Timestamp::parse(&format!("2020-01-{day}T00:00:00Z")).unwrap();
    assert_eq!(row.value("status", day("05")).unwrap(), None);
    let empty: When = stockade_yaml::read("{column: status, empty: true}").unwrap();
    assert!(!row.holds(&empty, day("05")).unwrap(), "what is not known yet is not known to be empty");
    assert_eq!(row.value("status", day("06")).unwrap(), Some("canceled"));
    assert_eq!((row.withheld, row.value("who", day("01")).unwrap()), (2, Some("a")));
}

#[test]
fn a_value_is_absent_before_its_stamp_however_its_column_is_named() {
    let of = |known_at: &str| {
        let mapping = format!(
            "{{name: t, currency: EUR, time: at, known_at: {{{known_at}}}, leave_out: {{column: order status, equals: x}}, {REST}}}"
        );
        bound(&mapping, &["at", "who", "Order_Status", "done"])
    };
    let bound = of("ORDER-STATUS: {column: Done}").unwrap();
    let record =
        csv::StringRecord::from(vec!["2020-01-01T00:00:00Z", "a", "canceled", "2020-01-05T00:00:00Z"]);
    let mut row = bound.row(&record, 2);
    let day = |day: &str| Timestamp::parse(&format!("2020-01-{day}T00:00:00Z")).unwrap();
    assert_eq!(row.value("order status", day("04")).unwrap(), None);
    assert_eq!(row.value("order status", day("05")).unwrap(), Some("canceled"));
    let twice = of("order_status: {column: done}, Order_Status: {column: at}").map(drop).unwrap_err();
    assert!(twice.to_string().contains("Order_Status more than once"), "{twice}");
}

#[test]
fn a_mapping_in_no_currency_is_refused() {
    let of = |currency: &str| Mapping::parse(&format!("{{name: t, currency: {currency}, time: at, {REST}}}"));
    assert!(of("KWD").is_ok());
    let error = format!("{:#}", of("ZZZ").unwrap_err());
    assert!(error.contains("ZZZ is no currency"), "{error}");
}

#[test]
fn a_column_that_is_not_there_is_refused_with_the_nearest() {
    let of = |time: &str, header: &[&str]| {
        let mapping = format!("{{name: t, currency: EUR, time: {time}, {REST}}}");
        bound(&mapping, header).map(drop).map_err(|error| error.to_string())
    };
    let error = of("order_dat", &["who", "Order Date", "b"]).unwrap_err();
    assert!(error.contains("who, Order Date, b") && error.contains("did you mean Order Date?"), "{error}");
    assert!(!of("zzz", &["who", "b"]).unwrap_err().contains("did you mean"));
    assert!(of("ordered at", &["who", "Ordered_At"]).is_ok());
    assert!(of("at", &["who", "at", "at"]).unwrap_err().contains("more than once"));
    assert!(of("at", &["who", "at", "b", "b"]).is_ok(), "what is not needed may be there twice");
}

#[test]
fn a_condition_on_a_number_reads_what_amounts_read_and_refuses_the_rest() {
    let mapping = format!(
        "{{name: t, currency: EUR, time: at, known_at: {{late: {{column: done}}}}, leave_out: [{{column: q, above: 0}}, {{column: late, above: 0}}], {REST}}}"
    );
    let bound = bound(&mapping, &["at", "who", "q", "late", "done"]).unwrap();
    let of = |cell: &str, yaml: &str| {
        let record =
            csv::StringRecord::from(vec!["2020-01-01T00:00:00Z", "a", cell, cell, "2020-01-05T00:00:00Z"]);
        let when: When = stockade_yaml::read(yaml).unwrap();
        let mut row = bound.row(&record, 2);
        let now = row.time().unwrap();
        row.holds(&when, now).map_err(|refusal| (refusal.column, refusal.value, refusal.reason))
    };
    let q = "{column: q, above: 0}";
    for (cell, holds) in [("5", true), ("5E0", true), ("€ 5", true), ("-5", false), ("", false)] {
        assert_eq!(of(cell, q), Ok(holds), "{cell}");
    }
    let refused = of("five", q).unwrap_err();
    assert_eq!(refused, ("q".to_owned(), "five".to_owned(), "not_a_number".to_owned()));
    assert_eq!(of("five", "{column: late, above: 0}"), Ok(false), "what is not known yet is not looked at");
    assert_eq!(of("five", "{column: q, equals: six, above: 0}"), Ok(false));
    let record = csv::StringRecord::from(vec!["", "a", "five", "", ""]);
    let left_out = bound.mapping.leave_out.as_ref().unwrap();
    assert_eq!(bound.row(&record, 2).finally(left_out).unwrap_err().reason, "not_a_number");
}

#[test]
fn times_beyond_1970_to_2200_are_refused_with_what_to_declare() {
    let mapping = format!("{{name: t, currency: EUR, time: at, {REST}}}");
    let bound = bound(&mapping, &["at", "who"]).unwrap();
    let of = |at: &str| {
        let record = csv::StringRecord::from(vec![at, "a"]);
        bound.row(&record, 2).time().map(|time| time.to_string()).map_err(|refusal| refusal.detail)
    };
    for time in ["1970-01-01T00:00:00Z", "2200-12-31T23:59:59Z"] {
        assert_eq!(of(time).as_deref(), Ok(time));
    }
    for time in ["1969-12-31T23:59:59Z", "2201-01-01T00:00:00Z"] {
        let detail = of(time).unwrap_err();
        assert!(detail.contains("1970 to 2200") && detail.contains("under `times`"), "{detail}");
    }
}

#[test]
fn numbers_are_reckoned_and_units_are_whole() {
    let mapping = format!(
        "{{name: t, currency: EUR, time: at, listing: {{sku: who, price: p, on_hand: 1}},
        {}, kind: placed, at: {{column: at}}, order: who, quantity: q}}]}}",
        REST.replace("events: []", "events: [{when: {column: q, above: 0}")
    );
    let bound = bound(&mapping, &["at", "who", "p", "q"]).unwrap();
    let now = Timestamp::from_ms(0);
    let of = |p: &str, q: &str, yaml: &str| {
        let record = csv::StringRecord::from(vec!["x", "a", p, q]);
        let number: Number = stockade_yaml::read(yaml).unwrap();
        let found = bound.row(&record, 2).number(&number, 2, now).map(|found| found.map(Cow::into_owned));
        found.map_err(|refusal| refusal.reason)
    };
    assert_eq!(of("€ 2.55", "6", "{column: p, times: q}"), Ok(Some("15.30".to_owned())));
    assert_eq!(of("10", "3", "{column: p, over: q}"), Ok(Some("3.33".to_owned())));
    assert_eq!(of("10", "0", "{column: p, over: q}"), Ok(None));
    assert_eq!(of("9.575", "1", "{column: p, round: true}"), Ok(Some("9.58".to_owned())));
    assert_eq!(of("$2.50", "1", "p"), Ok(Some("2.50".to_owned())));
    assert_eq!(of("£2.50", "1", "p"), Err("currency_mismatch".to_owned()));
    assert_eq!(of("free", "1", "p"), Err("not_a_number".to_owned()));
    assert_eq!(of("1.5E-2", "1", "p"), Ok(Some("0.015".to_owned())));
    let units = |q: &str| {
        let record = csv::StringRecord::from(vec!["x", "a", "1", q]);
        let number: Number = stockade_yaml::read("q").unwrap();
        bound.row(&record, 2).units(&number, now).map_err(|refusal| refusal.reason)
    };
    assert_eq!((units("-12"), units("2.0"), units("")), (Ok(Some(12)), Ok(Some(2)), Ok(None)));
    assert_eq!((units("0"), units("1.5")), (Err("bad_quantity".to_owned()), Err("bad_quantity".to_owned())));
}
