//! What commands print, in one place: standard output for what was asked, standard error for what went wrong.
//!
//! Whoever reads the output may stop reading, as `head` does. That is no failure of the command: what else there would be to
//! say is dropped, what there is to do is done, and the exit code says how that went.

use std::{
    fmt::Arguments,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

/// Prints a line, as `println!` does, without failing when nobody reads.
macro_rules! say {
    () => { $crate::output::line(format_args!("")) };
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Set once nobody reads standard output any more.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Prints a line.
pub fn line(text: Arguments<'_>) {
    write(format_args!("{text}\n"));
}

/// Prints a text as it is.
pub fn write(text: Arguments<'_>) {
    if UNREAD.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    // Any failure to print, also a full disk behind a redirection, is one to print more.
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        UNREAD.store(true, Ordering::Relaxed);
        if error.kind() != io::ErrorKind::BrokenPipe {
            complain(format_args!("error: standard output cannot be written: {error}"));
        }
    }
}

/// Prints a line to standard error; when nobody reads that, there is nobody to tell.
pub fn complain(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// So many of something: `1 rule`, `2 rules`.
pub(crate) fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A word as a shell takes it, for commands that are printed to be run.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=+@,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Shows how far something is, on the line on which it was shown before.
pub(crate) fn progress(text: Arguments<'_>) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "\r{text}").and_then(|()| err.flush());
}

/// Prints an object for people: a line for each figure, groups of figures below their name.
pub(crate) fn figures(report: &Value) {
    write(format_args!("{}", table(report)));
}

/// Figures as a table: names on the left, values as people write them, lists by how long they are and what is in them.
pub(crate) fn table(report: &Value) -> String {
    let mut out = String::new();
    for (name, value) in report.as_object().into_iter().flatten() {
        rows(name, value, 0, &mut out);
    }
    out
}

fn rows(name: &str, value: &Value, depth: usize, out: &mut String) {
    let label = format!("{}{}", "  ".repeat(depth), name.replace('_', " "));
    match value {
        Value::Object(group) if !group.is_empty() => {
            out.push_str(&label);
            out.push('\n');
            group.iter().for_each(|(name, value)| rows(name, value, depth + 1, out));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            out.push_str(&format!("{label:<32} {}\n", items.len()));
            for item in items {
                out.push_str(&format!("{}- {}\n", "  ".repeat(depth + 1), on_one_line(item)));
            }
        }
        value => out.push_str(&format!("{label:<32} {}\n", on_one_line(value))),
    }
}

fn on_one_line(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(on_one_line).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Object(fields) => {
            let each = fields
                .iter()
                .map(|(name, value)| format!("{} {}", name.replace('_', " "), on_one_line(value)));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_part_or_change_it() {
        for (word, expected) in [
            ("a/b.csv", "a/b.csv"),
            ("my stock.csv", "'my stock.csv'"),
            ("it's", "'it'\\''s'"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn figures_are_shown_without_a_trace_of_how_programs_write_them() {
        let report = json!({
            "lockouts": 3, "precision": null, "rules": "abc", "done": true,
            "hours_to_lockout": { "median": 4.5, "p90": null }, "names": ["a", "b"], "empty": [], "none": {},
            "first": [{ "supplier": "s-1", "hours": 2.0, "tags": ["x"] }],
        });
        let shown = table(&report);
        assert!(shown.contains("hours to lockout\n  median"), "{shown}");
        assert!(shown.contains("- hours 2.0, supplier s-1, tags x"), "{shown}");
        assert!(!shown.contains(['{', '}', '[', ']', '"']) && !shown.contains("null"), "{shown}");
    }
}
