use std::collections::BTreeMap;

use super::*;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read for what is wrong with it")]
struct Ware {
    name: String,
    count: u32,
    share: f64,
    kind: Kind,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    more: BTreeMap<String, f64>,
    #[serde(default)]
    pair: Option<(String, f64)>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Live,
    Shadow,
}

const GOOD: &str = "name: a\ncount: 3\nshare: 0.5\nkind: live\n";

#[test]
fn what_is_wrong_is_said_in_the_words_of_the_file_and_with_its_place() {
    assert!(read::<Ware>(GOOD).is_ok());
    for (from, to, place, detail) in [
        ("name: a", "nmae: a", (1, 1), "`nmae` means nothing here; did you mean `name`?"),
        ("count: 3\n", "", (3, 1), "`count` is missing"),
        (
            "kind: live",
            "kind: lve",
            (4, 7),
            "`lve` is not one of the words that may stand here; did you mean `live`?",
        ),
        (
            "kind: live",
            "kind: loud",
            (4, 7),
            "`loud` is not one of the words that may stand here; there are live, shadow",
        ),
        ("name: a", "name: a\nname: b", (2, 1), "`name` appears twice"),
    ] {
        let error = read::<Ware>(&GOOD.replace(from, to)).unwrap_err();
        assert_eq!((error.line, error.detail.as_str()), (place.0, detail), "{to}: {error}");
        assert_eq!(error.column, place.1, "{to}: {error}");
    }
}

#[test]
fn no_error_names_a_type_of_the_program_or_of_a_library() {
    let wrong = [
        ("count: 3", "count: many"),
        ("count: 3", "count: -3"),
        ("count: 3", "count: 3.5"),
        ("count: 3", "count: [1]"),
        ("count: 3", "count:"),
        ("share: 0.5", "share: {a: 1}"),
        ("share: 0.5", "share: half"),
        ("share: 0.5", "share: 1e999"),
        ("kind: live", "kind: [live]"),
        ("kind: live", "kind: {live: 1}"),
        ("kind: live", "kind: 7"),
        ("name: a", "name: [a]"),
        ("name: a", "name: {b: c}"),
        ("name: a", "name: a\ntags: x"),
        ("name: a", "name: a\ntags: {x: y}"),
        ("name: a", "name: a\nmore: [1]"),
        ("name: a", "name: a\nmore: {x: y}"),
        ("name: a", "name: a\npair: [x]"),
        ("name: a", "name: a\npair: x"),
        ("name: a", "name: *anchor"),
        ("name: a", "name: 'a"),
        ("name: a", "name: a: b"),
        ("name: a", "\tname: a"),
        ("name: a\ncount: 3\nshare: 0.5\nkind: live\n", "- a"),
        ("name: a\ncount: 3\nshare: 0.5\nkind: live\n", "plain"),
        ("name: a\ncount: 3\nshare: 0.5\nkind: live\n", ""),
        ("kind: live\n", "kind: live\n---\nname: b\n"),
    ];
    for (from, to) in wrong {
        let error = read::<Ware>(&GOOD.replace(from, to)).expect_err(to);
        println!("{to:?}: {error}");
        for name in [
            "struct", "enum", "Ware", "Kind", "u32", "f64", "i64", "u64", "serde", "Vec", "BTreeMap",
            "tuple", "deserial", "variant", "visitor", "scalar", "from_", "Error", "saphyr", "Option",
            "String",
        ] {
            assert!(!error.detail.contains(name), "{to}: {} names {name}", error.detail);
        }
        assert!(!error.detail.contains('\n'), "{to}: {}", error.detail);
    }
}

#[derive(serde::Deserialize)]
struct Holder {
    when: Spanned<String>,
}

/// Where `needle` stands by the value read, and where it stands in the text.
fn places(source: &str, needle: &str) -> (Option<Place>, (usize, usize)) {
    let holder: Holder = read(source).unwrap();
    let value = &holder.when.value;
    let at = value.find(needle).unwrap_or_else(|| panic!("{needle} is not in {value:?}"));
    let begin = holder.when.referenced;
    let found = place_in(source, (begin.line() as usize, begin.column() as usize), value, at);
    let in_source = source.find(needle).unwrap();
    let before = &source[..in_source];
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (found, (before.matches('\n').count() + 1, column))
}

#[test]
fn a_place_in_a_scalar_is_where_it_stands_in_the_file_whatever_its_style() {
    for (source, own) in [
        ("when: a && WRONG\n", (1, 6)),
        ("when: 'it''s && WRONG'\n", (1, 10)),
        ("when: \"a \\\"é\\u00e9\\\" && WRONG\"\n", (1, 18)),
        ("when: \"a\\n  && WRONG\"\n", (1, 9)),
        ("when: \"a \\\n   && WRONG\"\n", (2, 4)),
        ("when: |\n  a\n    && b\n  && WRONG\n", (3, 4)),
        ("when: >\n  a\n  && b\n\n    && WRONG\n", (4, 6)),
        ("when: >-   # why\n      a\n      && WRONG && c\n", (2, 4)),
        ("when: |2+\n    a\n  && WRONG\n", (2, 2)),
        ("when: a\n  && b\n  && WRONG\n", (3, 4)),
        ("when: 'a\n  && b\n\n  && WRONG'\n", (4, 4)),
        ("other: {x: [1, 2]}\nwhen: >\n\n\n   é && WRONG\n", (1, 6)),
        ("{when: a && WRONG, b: c}\n", (1, 6)),
    ] {
        let (found, (line, column)) = places(source, "WRONG");
        let (own_line, own_column) = own;
        assert_eq!(found, Some(Place { line, column, own_line, own_column }), "{source}");
    }
}

#[test]
fn a_value_that_is_not_what_stands_there_has_no_place() {
    assert_eq!(place_in("when: *it\n", (1, 7), "a && b", 5), None);
    assert_eq!(place_in("when: a\n", (9, 1), "a", 0), None);
    assert_eq!(place_in("", (1, 1), "a", 0), None);
}
