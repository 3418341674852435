//! Scenarios that print measured figures: `cargo run --release -p load-tests -- SCENARIO --json`.
//!
//! The last line is one JSON object. Ratios are taken inside one run with interleaved arms; absolute figures name the
//! machine they were seen on.

mod attack;
mod cluster;
mod event;
mod frauds;
mod generator;
mod imports;
mod index;
mod ingest;
mod log;
mod mistake;
mod process;
mod quarantine;
mod query;
mod recovery;
mod replay;
mod report;
mod rules;
mod selftest;
mod soak;
mod start;
mod streams;
mod tabs;
mod windows;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(name = "load-tests")]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
    /// Print one JSON object on the last line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Scenario {
    /// Whether the generator sees a delay and a stop that are put there on purpose.
    SelfTest,
    /// Appended records a second in batches with durability on, and the cost of one durable append.
    Log,
    /// Exact sliding windows in process.
    Windows,
    /// Rules in process: what one costs, against the `cel` and `zen-expression` crates, and a thousand together.
    Rules,
    /// The availability index in process: memory of a listing, queries and writes.
    Index {
        /// Ten million listings of a million goods by 100,000 suppliers in 64 regions; else a tenth of all but the regions.
        #[arg(long)]
        full: bool,
    },
    /// What the server spends on a buyer's query, against a bare handler that answers with the same bytes.
    Query,
    /// What the server spends on an order event, HTTP to every fold, on the embedded log.
    Event {
        /// The second run is so many times the first.
        #[arg(long, default_value_t = 10)]
        times: usize,
    },
    /// Listings a second through batch HTTP on Kafka, against a bare handler.
    Ingest,
    /// From the offending event to the first query without the offer, against an echo through the same broker.
    Quarantine,
    /// Kill -9 under load: what is lost, and how long until it serves again.
    Recovery {
        /// Listings before the kill.
        #[arg(long, default_value_t = 100_000)]
        listings: usize,
    },
    /// A history played through every fold: CPU of an order, and memory where the history is longer.
    Replay {
        /// The second history has so many times the days of the first.
        #[arg(long, default_value_t = 4)]
        times: usize,
    },
    /// Listings all in: what each costs in CPU, memory and disk, and how long kill -9 to ready takes, on the embedded log.
    Start {
        /// Listings; a tenth as many goods, a hundredth as many suppliers.
        #[arg(long, default_value_t = 100_000)]
        listings: usize,
        /// The second run has so many times the first's.
        #[arg(long, default_value_t = 4)]
        times: usize,
        /// The role inventory alone, on a real Kafka and Redis of its own, rather than every fold on the embedded log.
        #[arg(long)]
        kafka: bool,
    },
    /// Many streams of changes on one process: what each costs, and how soon all readers of a good hear of a change.
    Streams {
        /// Streams, a hundredth of them on each good.
        #[arg(long, default_value_t = 10_000)]
        streams: usize,
    },
    /// Open tabs of the console: buyers' p99 with them over that without, and what taking all figures costs.
    Tabs {
        /// Tabs, each with one stream as the pages open it.
        #[arg(long, default_value_t = 100)]
        tabs: usize,
        /// Rounds of all arms.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
    },
    /// The engine's own mistake: a rule that finds every honest supplier, how far it gets, how soon that is seen, and how soon one call undoes it.
    Mistake {
        /// Honest suppliers, each with an offer and orders.
        #[arg(long, default_value_t = 500)]
        suppliers: usize,
        /// Rounds, each with a rule of its own.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// A file of many rows: pace and memory of reading it, of applying it, and of applying it again with few changes.
    Imports {
        /// Rows of the file, each a listing of its own.
        #[arg(long, default_value_t = 200_000)]
        rows: u64,
        /// The second file has so many times the rows of the first.
        #[arg(long, default_value_t = 10)]
        times: u64,
    },
    /// The same load for long: whether memory stays where it is.
    Soak {
        /// Minutes, after the warm-up.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// What attacks cost the honest: p99 of their queries and writes against a placebo, and how many are served.
    Attack {
        /// Only these cells; all unless said.
        #[arg(long)]
        cell: Vec<String>,
        /// How many attackers share what is sent; 1, 16 and 1,000 unless said.
        #[arg(long)]
        attackers: Vec<usize>,
        /// Rounds of both arms of a cell.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// On a real Kafka and Redis rather than on the embedded log.
        #[arg(long)]
        kafka: bool,
        /// Writes a page with all cells and their plots.
        #[arg(long)]
        page: Option<std::path::PathBuf>,
        /// Fails unless 99 of 100 honest requests are served; how fast is told and not judged.
        #[arg(long)]
        check: bool,
    },
    /// An arm of `attack`.
    #[command(hide = true)]
    Refuse,
    /// An arm of `index`.
    #[command(hide = true)]
    FillIndex {
        #[arg(long)]
        listings: u32,
    },
    /// An arm of `query`.
    #[command(hide = true)]
    ServeQueries {
        #[arg(long)]
        keys: std::path::PathBuf,
    },
    /// An arm of `query`.
    #[command(hide = true)]
    BareQuery {
        #[arg(long)]
        answer: std::path::PathBuf,
    },
    /// An arm of `ingest`.
    #[command(hide = true)]
    BareIngest {
        #[arg(long)]
        kafka: String,
    },
    /// An arm of `quarantine`.
    #[command(hide = true)]
    BareEcho {
        #[arg(long)]
        kafka: String,
    },
}

/// One figure with what it should be.
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    target: &'static str,
    met: Option<bool>,
    note: String,
}

impl Figure {
    fn new(name: impl Into<String>, value: f64, unit: &'static str, target: &'static str) -> Self {
        Self { name: name.into(), value, unit, target, met: None, note: String::new() }
    }
    fn met(self, met: bool) -> Self {
        Self { met: Some(met), ..self }
    }
    fn note(self, note: String) -> Self {
        Self { note, ..self }
    }
}

fn median(values: &mut [f64]) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("no values")
}

/// Serves an arm on a free port, told on the first line, until killed.
fn serve(router: axum::Router) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("api http://{}", listener.local_addr()?);
        Ok(axum::serve(listener, router).await?)
    })
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let (name, (figures, curves)) = match cli.scenario {
        Scenario::SelfTest => ("self-test", selftest::run()?),
        Scenario::Log => ("log", (log::run()?, Vec::new())),
        Scenario::Windows => ("windows", (windows::run()?, Vec::new())),
        Scenario::Rules => ("rules", (rules::run()?, Vec::new())),
        Scenario::Index { full } => ("index", (index::run(full)?, Vec::new())),
        Scenario::Query => ("query", (query::run()?, Vec::new())),
        Scenario::Event { times } => ("event", (event::run(times)?, Vec::new())),
        Scenario::Ingest => ("ingest", ingest::run()?),
        Scenario::Quarantine => ("quarantine", quarantine::run()?),
        Scenario::Recovery { listings } => ("recovery", recovery::run(listings)?),
        Scenario::Replay { times } => ("replay", (replay::run(times)?, Vec::new())),
        Scenario::Start { listings, times, kafka } => {
            ("start", (start::run(listings, times, kafka)?, Vec::new()))
        }
        Scenario::Streams { streams } => ("streams", streams::run(streams)?),
        Scenario::Tabs { tabs, rounds } => ("tabs", tabs::run(tabs, rounds)?),
        Scenario::Mistake { suppliers, rounds } => ("mistake", mistake::run(suppliers, rounds)?),
        Scenario::Imports { rows, times } => ("imports", (imports::run(rows, times)?, Vec::new())),
        Scenario::Soak { minutes } => ("soak", (soak::run(minutes)?, Vec::new())),
        Scenario::Attack { cell, attackers, rounds, kafka, page, check } => {
            ("attack", attack::run(&attack::Plan { cells: cell, attackers, rounds, kafka, page, check })?)
        }
        Scenario::Refuse => return attack::refuse(),
        Scenario::FillIndex { listings } => return index::fill(listings),
        Scenario::ServeQueries { keys } => return query::serve(&keys),
        Scenario::BareQuery { answer } => return query::bare(&answer),
        Scenario::BareIngest { kafka } => return ingest::bare(&kafka),
        Scenario::BareEcho { kafka } => return quarantine::echo(&kafka),
    };
    for figure in &figures {
        let met = figure.met.map_or("", |met| if met { "met" } else { "NOT MET" });
        println!(
            "{:<52} {:>12.3} {:<10} {:<9} {met}  {}",
            figure.name, figure.value, figure.unit, figure.target, figure.note
        );
    }
    println!("page: {}", report::write(name, &figures, &curves)?.canonicalize()?.display());
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
