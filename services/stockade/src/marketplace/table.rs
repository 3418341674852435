//! Tables by kind, for people.

use std::fmt::Write as _;

use serde_json::Value;

/// Columns of attackers: heading and field.
const ATTACK: [(&str, &str); 10] = [
    ("attackers", "attackers"),
    ("idle", "idle"),
    ("caught", "caught"),
    ("withheld", "withheld"),
    ("capped", "capped"),
    ("in part", "partly"),
    ("harmed", "orders_harmed"),
    ("before", "orders_before"),
    ("money before", "money_before"),
    ("days", "days_from_sign"),
];
/// Columns of honest suppliers.
const HONEST: [(&str, &str); 8] = [
    ("suppliers", "suppliers"),
    ("withheld", "withheld"),
    ("over a day", "withheld_over_a_day"),
    ("capped", "capped"),
    ("dimmed", "dimmed"),
    ("in part", "partly"),
    ("withheld d/1000", "withheld_days_per_1000"),
    ("capped d/1000", "capped_days_per_1000"),
];

/// Names of the rows of one part, the sums last.
fn rows(reports: &[&Value]) -> Vec<String> {
    let mut names: Vec<String> = reports
        .iter()
        .filter_map(|report| report.as_object())
        .flat_map(|rows| rows.keys().cloned())
        .collect();
    names.sort();
    names.dedup();
    let (sums, mut kinds): (Vec<_>, Vec<_>) = names.into_iter().partition(|n| n == "all" || n == "odd");
    kinds.extend(sums.into_iter().rev());
    kinds
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    }
}

/// One part of one or two reports; two stand in each cell as `first>second`, or once where they are the same.
fn part(out: &mut String, title: &str, columns: &[(&str, &str)], reports: &[&Value]) {
    let names = rows(reports);
    if names.is_empty() {
        return;
    }
    let cells = |name: &str, field: &str| {
        let mut values: Vec<String> = reports.iter().map(|report| cell(&report[name][field])).collect();
        values.dedup();
        values.join(">")
    };
    let width = |(heading, field): &(&str, &str)| {
        let widest = names.iter().map(|name| cells(name, field).len()).max().unwrap_or(0);
        widest.max(heading.len())
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let _ = write!(out, "{title:<20}");
    for ((heading, _), width) in columns.iter().zip(&widths) {
        let _ = write!(out, "  {heading:>width$}");
    }
    out.push('\n');
    for name in &names {
        let _ = write!(out, "{name:<20}");
        for ((_, field), width) in columns.iter().zip(&widths) {
            let _ = write!(out, "  {:>width$}", cells(name, field));
        }
        out.push('\n');
    }
    out.push('\n');
}

/// Rules that restricted honest suppliers, most first.
fn alarms(out: &mut String, report: &Value) {
    let figures = &report["false_alarms"];
    let mut rules: Vec<(&String, &Value)> = figures["rules"].as_object().into_iter().flatten().collect();
    rules.sort_by_key(|(_, counts)| std::cmp::Reverse(counts["withheld"].as_u64()));
    let _ =
        writeln!(out, "false alarms in {} honest supplier-years, by rule", cell(&figures["supplier_years"]));
    for (rule, counts) in rules {
        let _ = write!(
            out,
            "  {rule:<28} {:>5} withheld  {:>5} capped  ({} and {} in 10,000 supplier-years)",
            cell(&counts["withheld"]),
            cell(&counts["capped"]),
            cell(&counts["withheld_per_10000_supplier_years"]),
            cell(&counts["capped_per_10000_supplier_years"]),
        );
        let accepted = &counts["accepted"];
        if let Some(kept) = accepted["kept"].as_bool() {
            let word = if kept { "kept" } else { "BROKEN" };
            let _ = write!(out, "  it accepts {}: {word}", cell(&accepted["per_10000_supplier_years"]));
        }
        out.push('\n');
    }
}

fn head(out: &mut String, report: &Value) {
    let text = |field: &str| report[field].as_str().map_or_else(|| cell(&report[field]), str::to_owned);
    let _ = writeln!(
        out,
        "{} marketplace, seed {}, {} days, {} orders, {} inputs in {} s; rules {}\n",
        text("marketplace"),
        text("seed"),
        text("days"),
        text("orders"),
        text("inputs"),
        text("seconds"),
        text("rules"),
    );
}

/// One report.
pub(super) fn one(report: &Value) -> String {
    let mut out = String::new();
    head(&mut out, report);
    part(&mut out, "attackers", &ATTACK, &[&report["attack"]]);
    part(&mut out, "honest suppliers", &HONEST, &[&report["honest"]]);
    alarms(&mut out, report);
    out.push_str("\nharmed: orders that came to harm by intent; before: those placed before the attacker was caught;\n");
    out.push_str(
        "days: median from the first sign of harm to being caught; d/1000: of 1,000 supplier-days\n",
    );
    out
}

/// Two reports side by side: the set in force, and the one that is tried.
pub(super) fn two(against: &Value, tried: &Value) -> String {
    let mut out = String::new();
    head(&mut out, against);
    head(&mut out, tried);
    out.push_str("each cell: under the first set > under the second, once where they are the same\n\n");
    part(&mut out, "attackers", &ATTACK, &[&against["attack"], &tried["attack"]]);
    part(&mut out, "honest suppliers", &HONEST, &[&against["honest"], &tried["honest"]]);
    for report in [against, tried] {
        alarms(&mut out, report);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_sets_stand_side_by_side_where_they_differ() {
        let report = |caught: u64, withheld: u64| {
            let attack = json!({ "sleeper": { "attackers": 10, "caught": caught } });
            let honest = json!({ "plain": { "suppliers": 20, "withheld": withheld } });
            json!({ "attack": attack, "honest": honest, "false_alarms": { "rules": {} } })
        };
        let text = two(&report(7, 0), &report(9, 0));
        let line = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(line("sleeper")[..4], ["sleeper", "10", "-", "7>9"]);
        assert_eq!(line("plain")[..3], ["plain", "20", "0"]);
    }
}
