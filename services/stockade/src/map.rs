//! `stockade map`: looks at an inventory file, or at a history of orders, without a server.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use stockade_inventory::imports::preview_file;

use crate::{
    output::{self, quoted, say},
    replay::look::look,
};

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// The file: CSV, TSV, NDJSON, X12 846 or EPCIS 2.0; plain, gzip or zip.
    file: PathBuf,
    /// It is a history of orders: propose a mapping for `replay`, `evaluate` and `train`, and show ten rows as events.
    #[arg(long, conflicts_with_all = ["format", "encoding"])]
    history: bool,
    /// How it is read.
    #[command(flatten)]
    reading: Reading,
    /// Write the mapping to this file, to be changed and given to `push --mapping`, or to `replay --mapping` with --history.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How a file is to be read, where that cannot be found out.
#[derive(clap::Args, Clone)]
pub(crate) struct Reading {
    /// A mapping: a YAML file, or stockade, google_local, x12_846, epcis, or proposed.
    #[arg(long)]
    mapping: Option<String>,
    /// csv, tsv, ndjson, x12 or epcis.
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// utf-8, utf-16le, utf-16be or windows-1252.
    #[arg(long)]
    pub(crate) encoding: Option<String>,
}

impl Reading {
    /// The mapping as the server takes it: a name, or its text.
    pub(crate) fn mapping(&self) -> Result<Option<String>> {
        let Some(mapping) = &self.mapping else { return Ok(None) };
        let path = Path::new(mapping);
        if path.exists() || mapping.contains(['.', '/']) {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {mapping}"))?;
            return Ok(Some(text));
        }
        Ok(Some(mapping.clone()))
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    std::fs::metadata(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    if let Some(out) = &args.out {
        anyhow::ensure!(
            !stockade_histories::is_same_file(out, &args.file),
            "the mapping would be written over {}, which is the file that is looked at; give --out another file",
            args.file.display()
        );
    }
    if args.history {
        return look(&args.file, args.reading.mapping()?, args.out.as_deref(), args.json);
    }
    let Reading { format, encoding, .. } = args.reading.clone();
    let seen = preview_file(&args.file, args.reading.mapping()?, format, encoding);
    let seen = seen.map_err(|finding| anyhow::anyhow!("{finding}"))?;
    let mapping = seen["mapping_yaml"].as_str();
    if let (Some(out), Some(mapping)) = (&args.out, mapping) {
        std::fs::write(out, mapping).with_context(|| format!("cannot write {}", out.display()))?;
    }
    if args.json {
        say!("{seen}");
        return Ok(());
    }
    show(&seen);
    let written = args.out.as_deref().filter(|_| mapping.is_some());
    match (&args.out, written) {
        (_, Some(out)) => say!("\nThe mapping was written to {}.", quoted(&out.display().to_string())),
        (Some(out), None) if seen["problem"].is_null() => {
            say!("\nThe file needs no mapping, so {} was not written.", out.display());
        }
        _ => {}
    }
    match seen["problem"].as_object() {
        None => {
            say!("\n`{}` sends it as it is read here.", push_line(args, written));
            say!("{PLACEHOLDERS}");
            Ok(())
        }
        Some(_) if mapping.is_some() => {
            let out = written.unwrap_or(Path::new("mapping.yaml"));
            say!("\n{}", problem(&seen["problem"]));
            match written {
                Some(_) => say!("It is a proposal: change there what is wrong, then"),
                None => say!(
                    "The mapping above is a proposal: `stockade map {}{} --out {}`, change what is wrong there, then",
                    quoted(&args.file.display().to_string()),
                    reading_flags(args),
                    quoted(&out.display().to_string())
                ),
            }
            say!("`{}` sends it.", push_line(args, Some(out)));
            say!("{PLACEHOLDERS}");
            Ok(())
        }
        Some(_) => anyhow::bail!("{}", problem(&seen["problem"])),
    }
}

/// What whoever runs the printed line puts into it.
const PLACEHOLDERS: &str = "SUPPLIER is the supplier's id, and its key is taken from STOCKADE_KEY.";

/// The command that sends the file, read as it was looked at, or by the mapping in another file.
fn push_line(args: &Args, mapping: Option<&Path>) -> String {
    let mapping = mapping.map(|path| path.display().to_string()).or_else(|| args.reading.mapping.clone());
    let mapping = mapping.map(|mapping| format!(" --mapping {}", quoted(&mapping))).unwrap_or_default();
    let file = quoted(&args.file.display().to_string());
    format!("stockade push {file} --supplier SUPPLIER{mapping}{}", reading_flags(args))
}

/// How the file is read, as it was said.
fn reading_flags(args: &Args) -> String {
    let Reading { format, encoding, .. } = &args.reading;
    let flags = [("format", format), ("encoding", encoding)];
    let given = flags.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    given.map(|(name, value)| format!(" --{name} {}", quoted(value))).collect()
}

fn show(seen: &Value) {
    let file = &seen["file"];
    if file.is_object() {
        let word = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
        let delimiter = match file["delimiter"].as_str() {
            Some("\t") => ", cells parted by tabs".to_owned(),
            Some(mark) => format!(", cells parted by {mark}"),
            None => String::new(),
        };
        say!("{} in {}, {}{delimiter}", word("format"), word("encoding"), word("archive"));
        let columns: Vec<&str> =
            file["header"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        say!("columns: {}", stockade_histories::shown(&columns.join(", ")));
    }
    if let Some(mapping) = seen["mapping_yaml"].as_str() {
        say!("\nmapping:");
        mapping.lines().for_each(|line| say!("  {line}"));
    }
    let rows = seen["rows"].as_array().map_or(&[][..], Vec::as_slice);
    if !rows.is_empty() {
        say!("\nas it would be read:");
    }
    rows.iter().for_each(|row| say!("  {}", one(row)));
}

/// A row on a line.
fn one(row: &Value) -> String {
    let line = row["line"].as_u64().unwrap_or_default();
    if let Some(read) = row["row"].as_object() {
        let mut words = Vec::new();
        for (name, value) in read {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Object(price) if name == "price" => {
                    let minor = price.get("minor").and_then(Value::as_i64).unwrap_or_default();
                    let code = price.get("currency").and_then(Value::as_str).unwrap_or_default();
                    let currency = stockade_model::Currency::of_record(code);
                    currency.map_or_else(
                        |_| code.to_owned(),
                        |currency| stockade_model::Money { minor, currency }.to_string(),
                    )
                }
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
                other => other.to_string(),
            };
            words.push(if name == "op" { text } else { format!("{name} {text}") });
        }
        return format!("line {line}: {}", words.join(", "));
    }
    let finding = if row["refused"].is_object() { &row["refused"] } else { &row["warning"] };
    format!("refused: {}", problem(finding))
}

/// What is wrong, where, and what stands there.
pub(crate) fn problem(finding: &Value) -> String {
    let text = |name: &str| finding[name].as_str().unwrap_or_default();
    let mut place = String::new();
    if let Some(line) = finding["line"].as_u64().filter(|line| *line > 0) {
        place = format!("line {line}");
        if !text("column").is_empty() {
            place.push_str(&format!(", column {}", text("column")));
        }
        if !text("value").is_empty() {
            place.push_str(&format!(", {:?}", text("value")));
        }
        place.push_str(": ");
    }
    format!("{place}{} ({})", text("detail"), text("code"))
}

/// Prints what became of an import for people.
pub(crate) fn figures(told: &Value) {
    output::figures(&told["rows"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_never_written_over_the_file_that_is_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("orders.csv");
        let text = "order_id,order_date,customer_id,sku,price\no-1,2020-01-13,c-1,g-1,2.50\n";
        std::fs::write(&file, text).unwrap();
        for history in [true, false] {
            let out = Some(directory.path().join(".").join("orders.csv"));
            let reading = Reading { mapping: None, format: None, encoding: None };
            let error = run(&Args { file: file.clone(), history, reading, out, json: true }).unwrap_err();
            assert!(error.to_string().contains("give --out another file"), "{error}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }
}
