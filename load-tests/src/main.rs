//! Scenarios that print measured figures: `cargo run --release -p load-tests -- SCENARIO --json`.
//!
//! The last line is one JSON object. Ratios are taken inside one run with interleaved arms; absolute figures name the
//! machine they were seen on.

mod log;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(name = "load-tests")]
struct Cli {
    scenario: Scenario,
    /// Print one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scenario {
    /// Appended records a second in batches with durability on, and the cost of one durable append.
    Log,
}

/// One figure with what it should be.
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    target: &'static str,
    met: Option<bool>,
    note: String,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let (name, figures) = match cli.scenario {
        Scenario::Log => ("log", log::run()?),
    };
    for figure in &figures {
        let met = figure.met.map_or("", |met| if met { "met" } else { "NOT MET" });
        println!(
            "{:<40} {:>14.1} {:<10} {:<12} {met}  {}",
            figure.name, figure.value, figure.unit, figure.target, figure.note
        );
    }
    if cli.json {
        let figures: Vec<Value> = figures
            .iter()
            .map(|f| json!({ "name": f.name, "value": f.value, "unit": f.unit, "target": f.target, "met": f.met, "note": f.note }))
            .collect();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!(
            "{}",
            json!({ "scenario": name, "figures": figures, "env": { "cores": cores, "os": std::env::consts::OS } })
        );
    }
    Ok(())
}
