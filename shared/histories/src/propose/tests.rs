//! What is proposed for a file, by its header and first rows.

use super::*;

fn proposed(table: &str) -> Proposal {
    let mut lines =
        table.lines().map(|line| line.trim().split(',').map(str::to_owned).collect::<Vec<String>>());
    let header = lines.next().unwrap();
    propose(&header, &lines.collect::<Vec<_>>()).unwrap()
}

const ROW: &str = "2026-01-01T00:24:58Z,2026-01-02T16:24:58Z,,";

#[test]
fn stamps_of_what_rarely_happens_are_taken_though_the_first_rows_have_none() {
    let columns = "order_id,seller,region,buyer,item,price,ordered_at,shipped_at,cancelled_at,fraud_known_at";
    let yaml = proposed(&format!(
        "{columns}\no-1,a,JP,b-1,i-1,2.5,{ROW}\no-2,b,BR-SP,b-2,i-2,2.5,{ROW}\no-3,a,JP,b-1,i-1,2.5,{ROW}"
    ))
    .yaml;
    for line in [
        "  cancelled_at: { column: cancelled_at }",
        "  fraud_known_at: { column: fraud_known_at }",
        "  region: { column: region }",
        "  - kind: cancelled",
        "  - kind: fraud_confirmed",
    ] {
        assert!(yaml.lines().any(|known| known == line), "{line} in\n{yaml}");
    }
    assert!(!yaml.contains("cause: supplier") && !yaml.contains("not used"), "{yaml}");
}

#[test]
fn a_region_is_that_of_suppliers_only_where_each_has_one_and_it_is_a_code() {
    let of = |rows: [&str; 3]| {
        let rows = rows.map(|row| format!("\no,{row},2026-01-01T00:24:58Z")).concat();
        proposed(&format!("order_id,seller,country,ordered_at{rows}")).yaml
    };
    assert!(of(["a,DE", "b,FR", "a,DE"]).contains("region: { column: country }"));
    for rows in [["a,DE", "b,FR", "a,FR"], ["a,Germany", "b,France", "a,Germany"], ["a,DE", "b,", "a,DE"]] {
        let yaml = of(rows);
        assert!(yaml.contains("region: { constant: US }"), "{yaml}");
        assert!(yaml.contains("\n# Columns not used: country\n"), "{yaml}");
    }
}

#[test]
fn a_cancellation_with_a_stamp_is_not_told_a_second_time_by_its_status() {
    let of = |stamp: &str| {
        let rows = format!("o-1,2026-01-01T00:00:00Z,cancelled,{stamp}");
        proposed(&format!("order_id,ordered_at,status,cancelled_at\n{rows}")).yaml
    };
    let stamped = of("2026-01-03T00:00:00Z");
    assert_eq!(stamped.matches("kind: cancelled").count(), 1, "{stamped}");
    assert!(stamped.contains("# Columns not used: status\n"), "{stamped}");
    let unstamped = of("");
    assert!(unstamped.contains("plus: 7d"), "{unstamped}");
}

#[test]
fn a_column_name_cannot_leave_the_comment_that_names_it() {
    let header = ["order_id", "ordered_at", "x\nname: other\u{2028}y"].map(str::to_owned);
    let sample = vec![["o-1", "2026-01-01T00:00:00Z", "1"].map(str::to_owned).to_vec()];
    let yaml = propose(&header, &sample).unwrap().yaml;
    assert_eq!(Mapping::parse(&yaml).unwrap().name, "history", "{yaml}");
}
