//! Whole histories: joined and sorted, in memory and on disk.

use super::*;

const MEMORY: Limits = Limits { sort_bytes: 64 << 20, join_bytes: 64 << 20 };
const DISK: Limits = Limits { sort_bytes: 2_000, join_bytes: 500 };

/// Every row of a history: its time in milliseconds, its line, its cells; and what was said and refused of it.
type Read = (Vec<(i64, u64, Vec<String>)>, Vec<String>, u64);

fn read(inputs: &[PathBuf], mapping: &str, limits: Limits) -> Result<Read> {
    let mut refusals = Refusals::default();
    let mut history = open(inputs, Mapping::parse(mapping)?, limits, &mut refusals)?;
    let mut rows = Vec::new();
    while let Some((time, entry)) = history.next(&mut refusals)? {
        rows.push((time.ms(), entry.line, entry.record.iter().map(str::to_owned).collect()));
    }
    Ok((rows, history.notes, refusals.rows()))
}

const ONE: &str =
    "{name: t, currency: EUR, time: at, supplier: {id: who, region: {constant: DE}}, events: []}";

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn two(keep: &str) -> String {
    format!(
        "{{name: t, currency: EUR, time: orders.at, files: {{items: items.csv, orders: orders.csv, notes: notes.csv}}, rows: items,
          joins: [{{file: orders, on: {{order: id}}}}, {{file: notes, on: order{keep}}}],
          supplier: {{id: who, region: {{constant: DE}}}},
          events: [{{kind: placed, at: {{column: orders.at}}, order: order, category: notes.text}}]}}"
    )
}

fn shop(directory: &Path) {
    let (mut items, mut orders, mut notes) =
        ("order,who\n".to_owned(), "id,at\n".to_owned(), "order,text,n\n".to_owned());
    for n in 0..60 {
        let order = (n * 37) % 41;
        items.push_str(&format!("o-{order},s-{n}\n"));
        if n % 3 == 0 {
            notes.push_str(&format!("o-{order},first {n},{}\no-{order},second {n},{}\n", 2 * n, 2 * n + 1));
        }
    }
    for n in 0..40 {
        orders.push_str(&format!("o-{n},2020-01-{:02} 10:00:00\n", 1 + (n * 7) % 28));
    }
    for (name, text) in [("items.csv", &items), ("orders.csv", &orders), ("notes.csv", &notes)] {
        file(directory, name, text);
    }
}

#[test]
fn a_join_on_disk_is_the_join_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path());
    for keep in [", keep: first", ", keep: last, by: n", ", keep: each"] {
        let of = |limits| read(&[directory.path().to_owned()], &two(keep), limits).unwrap();
        let ((mut memory, _, refused), (mut disk, notes, refused_too)) = (of(MEMORY), of(DISK));
        assert!(notes.iter().any(|note| note.contains("joined on disk")), "{notes:?}");
        // Rows of one moment come in the order of the last join; which they are is the same.
        memory.sort();
        disk.sort();
        assert_eq!((&memory, refused), (&disk, refused_too), "{keep}");
        // Order 40 has no row among the orders, and so no time.
        let each = keep.contains("each");
        assert!(
            refused >= 1 && if each { memory.len() > 60 } else { memory.len() as u64 + refused == 60 },
            "{keep}"
        );
    }
}

#[test]
fn first_and_last_are_by_a_column_and_of_equals_by_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let d = directory.path();
    file(d, "items.csv", "order,who\na,s\n");
    file(d, "orders.csv", "id,at\na,2020-01-01 10:00:00\n");
    file(d, "notes.csv", "order,text,n\na,one,1\na,two,1\na,three,2\na,four,2\n");
    for (keep, text) in [
        ("first", "one"),
        ("last", "four"),
        ("first, by: n", "one"),
        ("last, by: n", "four"),
        ("first, by: text", "four"),
        ("last, by: text", "two"),
    ] {
        let (rows, ..) = read(&[d.to_owned()], &two(&format!(", keep: {keep}")), MEMORY).unwrap();
        assert_eq!(rows[0].2.last().map(String::as_str), Some(text), "{keep}");
    }
    let error = Mapping::parse(&two("").replace("on: order", "on: [order]")).unwrap_err();
    let error = format!("{error:#}");
    assert!(!error.contains("untagged") && !error.contains("variant") && !error.contains("On"), "{error}");
}

#[test]
fn of_a_key_with_many_rows_only_the_one_that_is_meant_is_held() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path());
    let notes: String = (0..5_000).map(|n| format!("o-1,text {n},{n:04}\n")).collect();
    file(directory.path(), "notes.csv", &format!("order,text,n\n{notes}"));
    let limits = Limits { join_bytes: 100_000, ..MEMORY };
    for (keep, on_disk) in [("first, by: n", false), ("last", false), ("each", true)] {
        let (_, notes, _) =
            read(&[directory.path().to_owned()], &two(&format!(", keep: {keep}")), limits).unwrap();
        assert_eq!(notes.iter().any(|note| note.contains("joined on disk")), on_disk, "{keep}: {notes:?}");
    }
}

#[test]
fn names_of_columns_cannot_write_to_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let path = [file(directory.path(), "orders.csv", "at,who,\u{1b}[2Jnote\n1.1.2020,s,x\n")];
    let error = read(&path, &ONE.replace("id: who", "id: nobody"), MEMORY).unwrap_err().to_string();
    assert!(error.contains("\\u{1b}[2Jnote") && !error.contains('\u{1b}'), "{error}");
    let refusal = crate::Refusal::new("\u{1b}[2Jnote", "", "code", "detail").on(2);
    assert!(!refusal.sentence().contains('\u{1b}'));
}

#[test]
fn two_rows_where_one_is_meant_are_refused_with_the_words_that_choose() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path());
    for limits in [MEMORY, DISK] {
        let error = read(&[directory.path().to_owned()], &two(""), limits).unwrap_err().to_string();
        assert!(error.contains("keep: last") && error.contains("notes has"), "{error}");
    }
    std::fs::remove_file(directory.path().join("notes.csv")).unwrap();
    let error = read(&[directory.path().to_owned()], &two(""), MEMORY).unwrap_err().to_string();
    assert!(error.contains("notes.csv") && error.contains("--input notes=FILE"), "{error}");
}

#[test]
fn refused_rows_are_never_written_over_a_file_that_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let text = "at,who\n2020-01-01,s\n";
    let path = file(directory.path(), "orders.csv", text);
    let link = directory.path().join("link.csv");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for target in [&path, &link, &directory.path().join(".").join("orders.csv")] {
        let mut refusals = Refusals::new(false, Some(target));
        let opened = open(std::slice::from_ref(&path), Mapping::parse(ONE).unwrap(), MEMORY, &mut refusals);
        let error = opened.map(drop).unwrap_err().to_string();
        assert!(error.contains("give --refused another file"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn what_is_written_of_a_refused_row_is_the_row_with_columns_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "orders.csv", "at,who,line\nsoon,=1+1,7\n2020-01-01,s,8\n");
    let refused = directory.path().join("refused.csv");
    let mut refusals = Refusals::new(false, Some(&refused));
    let mut history = open(&[path], Mapping::parse(ONE).unwrap(), MEMORY, &mut refusals).unwrap();
    while history.next(&mut refusals).unwrap().is_some() {}
    refusals.flush().unwrap();
    let written = std::fs::read_to_string(&refused).unwrap();
    assert!(written.starts_with("at,who,line,refused_line,refused_reason\nsoon,=1+1,7,2,"), "{written}");
}

#[test]
fn a_file_given_twice_is_refused_with_both() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path());
    let d = directory.path();
    let other = file(d, "other.csv", "id,at\n");
    let named = |path: &Path| PathBuf::from(format!("orders={}", path.display()));
    for first in [d.to_owned(), d.join("orders.csv"), named(&d.join("orders.csv"))] {
        let mapping = Mapping::parse(&two(", keep: first")).unwrap();
        let error = files(&[first, named(&other)], &mapping).unwrap_err().to_string();
        assert!(error.contains("orders is given twice") && error.contains("other.csv"), "{error}");
    }
}

#[test]
fn counted_times_are_read_as_they_are_written_and_rubbish_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "orders.csv", "who,days,hour\na,,8\na,three,9\na,3,x\na,2,10\n");
    let mapping = ONE.replace(
        "time: at",
        "time: At, times: {format: d.m.yyyy, counted: {into: at, from: 2020-01-01T00:00:00Z, per: who, days: days, hour: hour}}",
    );
    let (rows, _, refused) = read(&[path], &mapping, MEMORY).unwrap();
    let times: Vec<String> = rows.iter().map(|(time, ..)| Timestamp::from_ms(*time).to_string()).collect();
    assert_eq!(
        (times, refused),
        (vec!["2020-01-01T08:00:00Z".to_owned(), "2020-01-03T10:00:00Z".to_owned()], 2)
    );
}

#[test]
fn a_column_of_times_is_read_as_declared_however_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = [file(directory.path(), "orders.csv", "Ordered_At,who\n1.2.2020 00:00,s\n")];
    let of = |column: &str| {
        let times = format!(
            "time: ordered at, times: {{columns: {{{column}: {{format: d.m.yyyy, zone: '+01:00'}}}}}}"
        );
        read(&path, &ONE.replace("time: at", &times), MEMORY)
            .map(|(rows, ..)| Timestamp::from_ms(rows[0].0).to_string())
    };
    assert_eq!(of("ORDERED-AT").unwrap(), "2020-01-31T23:00:00Z");
    let error = of("booked_at").unwrap_err();
    assert!(format!("{error:#}").contains("names column booked_at"), "{error:#}");
}

#[test]
fn a_history_of_which_no_row_or_no_time_can_be_read_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let mapping = ONE.replace("time: at", "time: at, times: {format: d.m.yyyy}");
    let bad = ["2020-01-01,s\n", "1.1.2020,s,too,many\n"];
    for (limits, row) in [MEMORY, DISK].into_iter().flat_map(|limits| bad.map(|row| (limits, row))) {
        let text = |rows: usize, end: &str| format!("at,who\n{}{end}", row.repeat(rows));
        let many = [file(directory.path(), "many.csv", &text(1_500, ""))];
        let error = read(&many, &mapping, limits).unwrap_err().to_string();
        assert!(error.contains("each of the first 1000 rows") && error.contains("line 2"), "{error}");
        let good = [file(directory.path(), "good.csv", &text(999, "2.1.2020,s\n1.1.2020,s\n"))];
        let (rows, _, refused) = read(&good, &mapping, limits).unwrap();
        assert_eq!((rows.len(), refused), (2, 999));
    }
}

#[test]
fn rows_out_of_order_are_sorted_and_keep_their_order_within_a_moment() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = "at,who\n".to_owned();
    for n in 0..500 {
        text.push_str(&format!("2020-01-{:02},s-{n}\n", 1 + (n * 7) % 28));
    }
    text.push_str("never,s-x\n");
    let path = [file(directory.path(), "orders.csv", &text)];
    let (memory, disk) = (read(&path, ONE, MEMORY).unwrap(), read(&path, ONE, DISK).unwrap());
    assert_eq!((&memory.0, memory.2), (&disk.0, 1));
    assert!(
        memory.1.iter().any(|note| note.ends_with("sorted in memory; rows of one moment stay as they were"))
    );
    assert!(disk.1.iter().any(|note| note.contains("sorted on disk")));
    assert_eq!(memory.0.len(), 500);
    assert!(memory.0.is_sorted_by_key(|(time, line, _)| (*time, *line)));
}

#[test]
fn times_are_made_out_from_as_many_rows_as_it_takes_and_zones_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = "at,who\n".to_owned();
    (0..2_000).for_each(|_| text.push_str("12/1/2009 7:45,s\n"));
    let mapping = ONE.replace("time: at", "time: at, times: {zone: Europe/London}");
    let ambiguous = [file(directory.path(), "a.csv", &text)];
    let error = read(&ambiguous, &mapping, MEMORY).unwrap_err().to_string();
    assert!(error.contains("12/1/2009 7:45") && error.contains("format: d/m/yyyy h:mm"), "{error}");
    text.push_str("6/13/2010 7:45,s\n");
    let (rows, notes, _) = read(&[file(directory.path(), "b.csv", &text)], &mapping, MEMORY).unwrap();
    let time = |at: usize| Timestamp::from_ms(rows[at].0).to_string();
    assert_eq!((time(0).as_str(), time(2_000).as_str()), ("2009-12-01T07:45:00Z", "2010-06-13T06:45:00Z"));
    assert!(notes[1].contains("read as m/d/yyyy h:mm, in Europe/London"), "{notes:?}");
}
