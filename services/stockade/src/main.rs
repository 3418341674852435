//! `stockade`: serve, demo, replay, keys, rules.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use stockade::{demo, keys, replay, rules, serve};

#[derive(Parser)]
#[command(name = "stockade", version, about = "Virtual inventory that isolates fraud in real time")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the platform on a durable directory.
    Serve(serve::Args),
    /// Play a simulated marketplace with attackers on a temporary directory, and say what happened.
    Demo(demo::Args),
    /// Run an order history through the platform in event time, and report who is locked out.
    Replay(replay::Args),
    /// API keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Rule sets.
    #[command(subcommand)]
    Rules(rules::Command),
    /// The audit log.
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Subcommand)]
enum Audit {
    /// Check the hash chain over all decisions of a data directory.
    Verify {
        /// The data directory; no server may have it open.
        #[arg(long, default_value = "./stockade-data")]
        data: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Keys(command) => keys::run(command),
        Command::Rules(command) => rules::run(command),
        Command::Audit(Audit::Verify { data }) => serve::verify_audit(&data),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
