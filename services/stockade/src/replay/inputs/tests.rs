//! What histories become.

use super::*;

fn opened(file: &std::path::Path, mapping: &str) -> Inputs {
    let mapping = Mapping::parse(mapping).unwrap();
    Inputs::open(&[file.to_owned()], mapping, &Handling::default()).unwrap()
}

/// What a history in `currency` becomes: prices of listings, amounts of orders, and what was refused.
fn read(currency: &str, prices: &[&str]) -> (Vec<i64>, Vec<i64>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.csv");
    let rows = prices.iter().enumerate();
    let rows = rows.map(|(at, price)| format!("2026-01-01T00:00:0{at}Z,shop,o-{at},i-{at},{price}\n"));
    std::fs::write(&file, format!("at,who,order,item,price\n{}", rows.collect::<String>())).unwrap();
    let mapping = format!(
        "{{name: t, currency: {currency}, time: at, supplier: {{id: {{column: who}}, region: {{constant: JP}}}},
          listing: {{sku: {{column: item}}, price: price, on_hand: 1}},
          events: [{{kind: placed, at: {{column: at}}, order: {{column: order}}, amount: price}}]}}"
    );
    let mut inputs = opened(&file, &mapping);
    let (mut listed, mut ordered) = (Vec::new(), Vec::new());
    while let Some((_, input)) = inputs.next().unwrap() {
        match input {
            Input::Rows(_, rows) => listed.extend(rows.iter().filter_map(|row| match row {
                InventoryRow::Put(put) => Some(put.price.minor),
                _ => None,
            })),
            Input::Event(event) => ordered.extend(event.amount.map(|amount| amount.minor)),
            Input::Register(_) => {}
        }
    }
    (listed, ordered, inputs.refusals.sentences())
}

#[test]
fn a_history_is_read_in_the_minor_units_of_its_currency() {
    assert_eq!(read("JPY", &["1500", "15.00"]), (vec![1_500, 15], vec![1_500, 15], vec![]));
    assert_eq!(read("KWD", &["1.505"]), (vec![1_505], vec![1_505], vec![]));
    assert_eq!(read("EUR", &["19.99", "20"]), (vec![1_999, 2_000], vec![1_999, 2_000], vec![]));
    let (listed, ordered, refused) = read("JPY", &["15.50"]);
    assert_eq!((listed.len(), ordered.len(), refused.len()), (0, 0, 2), "both say so: {refused:?}");
}

#[test]
fn a_row_is_refused_once_however_many_of_its_events_are() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.csv");
    let day = |day: usize| format!("2026-01-{day:02}T00:00:00Z");
    let rows = (1..=9).map(|at| {
        format!("{},shop,{},{},{}\n", day(at), if at < 4 { "o 1" } else { "o-1" }, day(at + 9), day(at + 18))
    });
    std::fs::write(&file, format!("at,who,order,shipped,delivered\n{}", rows.collect::<String>())).unwrap();
    let mapping = "{name: t, currency: EUR, time: at, supplier: {id: {column: who}, region: {constant: DE}},
          events: [{kind: placed, at: {column: at}, order: {column: order}},
            {kind: shipped, at: {column: shipped}, order: {column: order}},
            {kind: delivered, at: {column: delivered}, order: {column: order}}]}";
    let mut inputs = opened(&file, mapping);
    while inputs.next().unwrap().is_some() {}
    assert_eq!((inputs.refusals.rows(), inputs.refusals.count()), (3, 9));
    inputs.finish().unwrap();
}

#[test]
fn a_rating_that_is_there_is_read_as_a_number_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.csv");
    let rows = ["4", "4,5", "", "n/a", "900"].iter().enumerate();
    let rows = rows.map(|(at, stars)| format!("2026-01-01T00:00:0{at}Z;shop;o-{at};{stars}\n"));
    std::fs::write(&file, format!("at;who;order;stars\n{}", rows.collect::<String>())).unwrap();
    let mapping = "{name: t, currency: EUR, time: at, supplier: {id: {column: who}, region: {constant: DE}},
          events: [{kind: reviewed, at: {column: at}, order: {column: order}, rating: stars}]}";
    let mut inputs = opened(&file, mapping);
    let mut ratings = Vec::new();
    while let Some((_, input)) = inputs.next().unwrap() {
        if let Input::Event(event) = input {
            ratings.extend(event.rating);
        }
    }
    assert_eq!((ratings, inputs.refusals.rows()), (vec![4, 4], 2), "{:?}", inputs.refusals.sentences());
}

/// Promises of orders in hours from the order, and what was refused.
fn promised(rows: &str) -> (Vec<[Option<i64>; 2]>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.csv");
    std::fs::write(&file, format!("at,who,order,approved,limit,due\n{rows}")).unwrap();
    let mapping = "{name: t, currency: EUR, time: at, known_at: {limit: {column: approved}},
          supplier: {id: {column: who}, region: {constant: DE}}, events: [{kind: placed, at: {column: at},
          order: {column: order}, ship_by: {column: limit}, deliver_by: {column: due, plus: 1d}}]}";
    let mut inputs = opened(&file, mapping);
    let mut found = Vec::new();
    while let Some((_, input)) = inputs.next().unwrap() {
        if let Input::Event(event) = input {
            let hours = |by: Option<Timestamp>| by.map(|by| (by.ms() - event.time.ms()) / 3_600_000);
            found.push([hours(event.ship_by), hours(event.deliver_by)]);
        }
    }
    (found, inputs.refusals.sentences())
}

#[test]
fn promises_are_read_from_columns_that_were_known_when_the_order_was_placed() {
    let day = |day: u8| format!("2026-01-{day:02}T00:00:00Z");
    let row = |approved: String, limit: String, due: String| {
        promised(&format!("{},shop,o-1,{approved},{limit},{due}\n", day(1)))
    };
    let known = row(day(1), day(3), day(5));
    assert_eq!(known, (vec![[Some(48), Some(120)]], vec![]));
    let later = row(day(2), day(3), day(5));
    assert_eq!(later.0, [[None, Some(120)]], "a limit that is set with the approval was not known yet");
    assert_eq!(row(day(1), String::new(), String::new()).0, [[None, None]]);
    let (taken, refused) = row(day(1), day(9), day(2));
    assert_eq!((taken.len(), refused.len()), (0, 1));
    assert!(refused[0].starts_with("line 2") && refused[0].contains("before the hand-over"), "{refused:?}");
}
