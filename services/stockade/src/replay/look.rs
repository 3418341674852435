//! `stockade map FILE --history`: which mapping a file of orders suggests, and its first rows as the events they would be.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;
use stockade_histories::{Mapping, Refusal, peek, propose, shown};
use stockade_model::{OrderEvent, Timestamp};

use super::inputs::{Handling, Inputs};
use crate::output::{quoted, say};

/// Rows that are shown.
const ROWS_SHOWN: u64 = 10;

/// An event as it would be played, of the row on this line.
struct Shown {
    line: u64,
    at: Timestamp,
    event: std::result::Result<OrderEvent, Refusal>,
}

/// Looks at a file. `mapping` is the text of one to try instead of a proposal.
///
/// # Errors
/// The file cannot be read, nothing in it is an order with a time, or the mapping does not fit it.
pub(crate) fn look(file: &Path, mapping: Option<String>, out: Option<&Path>, as_json: bool) -> Result<()> {
    let (about, header, sample) = peek(file)?;
    let (yaml, columns) = match mapping {
        Some(mapping) => (mapping, Vec::new()),
        None => {
            let proposal = propose(&header, &sample).map_err(|why| anyhow::anyhow!("{why}"))?;
            (proposal.yaml, proposal.columns)
        }
    };
    if let Some(out) = out {
        std::fs::write(out, &yaml).with_context(|| format!("cannot write {}", out.display()))?;
    }
    let unused = Mapping::parse(&yaml).map(|mapping| mapping.unused(&header)).unwrap_or_default();
    let played = played(file, &yaml);
    if as_json {
        let (rows, read, problem) = match &played {
            Ok((shown, read)) => (shown.iter().map(as_value).collect::<Vec<_>>(), read.clone(), None),
            Err(problem) => (Vec::new(), vec![about], Some(format!("{problem:#}"))),
        };
        let columns: serde_json::Map<String, serde_json::Value> =
            columns.into_iter().map(|(field, column)| (field, column.into())).collect();
        say!(
            "{}",
            json!({"read": read, "header": header, "columns": columns, "not_used": unused, "mapping_yaml": yaml, "rows": rows, "problem": problem})
        );
        return played.map(drop);
    }
    say!("columns: {}", shown(&header.join(", ")));
    if !unused.is_empty() {
        say!("columns not used: {}", shown(&unused.join(", ")));
    }
    say!("\nmapping:");
    yaml.lines().for_each(|line| say!("  {line}"));
    let (shown, _) = played?;
    say!("\nthe first rows as events:");
    shown.iter().for_each(|one| say!("  {}", sentence(one)));
    let input = quoted(&file.display().to_string());
    let target = quoted(&out.map_or("mapping.yaml".into(), Path::to_string_lossy));
    match out {
        Some(_) => say!("\nThe mapping was written to {target}; change there what is wrong, then"),
        None => say!(
            "\n`stockade map {input} --history --out {target}` keeps the mapping; change what is wrong, then"
        ),
    }
    say!("`stockade replay --input {input} --mapping {target}` plays the history.");
    Ok(())
}

fn played(file: &Path, yaml: &str) -> Result<(Vec<Shown>, Vec<String>)> {
    let mapping = Mapping::parse(yaml)?;
    let mut inputs = Inputs::open(&[file.to_owned()], mapping, &Handling::default())?;
    let mut shown: Vec<Shown> = Vec::new();
    for (line, at, event) in inputs.preview(ROWS_SHOWN)? {
        shown.push(Shown { line, at, event });
    }
    Ok((shown, inputs.notes().to_vec()))
}

fn as_value(shown: &Shown) -> serde_json::Value {
    match &shown.event {
        Ok(event) => json!({"line": shown.line, "at": shown.at, "event": event}),
        Err(refusal) => json!({"line": shown.line, "refused": refusal.sentence()}),
    }
}

/// An event on a line.
fn sentence(shown: &Shown) -> String {
    let event = match &shown.event {
        Ok(event) => event,
        Err(refusal) => return format!("refused: {}", refusal.sentence()),
    };
    let mut out =
        format!("line {}: {} {} by {}", shown.line, shown.at, event.kind.event_type(), event.supplier);
    let mut word = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(out, ", {name} {value}");
        }
    };
    word("order", event.order.as_ref().map(ToString::to_string));
    word("line", event.line.as_ref().map(ToString::to_string));
    word("buyer", event.buyer.as_ref().map(ToString::to_string));
    word("good", event.sku.as_ref().map(ToString::to_string));
    word("units", event.quantity.map(|units| units.to_string()));
    word("amount", event.amount.as_ref().map(ToString::to_string));
    word("rating", event.rating.map(|rating| rating.to_string()));
    if event.late {
        out.push_str(", late");
    }
    out
}
