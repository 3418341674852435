//! `stockade`: serve, demo, replay, keys, rules, audit, doctor.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stockade::{
    audit, console, demo, doctor, evaluate, keys, map, mirror, model, output, push, replay, rules, serve,
    simulate, watch,
};

/// A third of what an event cost was the system's allocator: folds make and drop many small values, and this one keeps them by
/// thread and size.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Run a labelled history through scoring and lockout in event time, and measure how well they did.
    Evaluate(evaluate::Args),
    /// Show what buyers may have of some goods, and every change of it as it comes.
    Watch(watch::Args),
    /// Fit a model to a labelled history.
    Train(model::TrainArgs),
    /// Models of a running server: show, publish, promote, rollback.
    #[command(subcommand)]
    Model(model::Command),
    /// Upload an inventory file, follow it until it is applied, and say what was refused.
    #[command(after_help = push::EXIT_CODES)]
    Push(push::Args),
    /// Look at an inventory file: what it is, which column is what, and ten rows as they would be read.
    Map(map::Args),
    /// API keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// The console: links that sign people in.
    #[command(subcommand)]
    Console(console::Command),
    /// Rule sets.
    #[command(subcommand)]
    Rules(rules::Command),
    /// Copy what buyers are answered from to the Kafka of another region, for replicas there.
    Mirror(mirror::Args),
    /// Look at everything a server needs, and say what to do about what is found.
    Doctor(doctor::Args),
    /// Run the real folds and API under a seeded scheduler with crashes, and check what must hold.
    Simulate(simulate::Args),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::Command),
}

/// Asks the system for memory in pages of the usual size. In huge ones, of which folds on a dozen threads each fill a part, what is
/// resident is a quarter more, and a start spends a quarter of its time on emptying them.
fn use_small_pages() {
    #[cfg(target_os = "linux")]
    // Where the system refuses, all works as well.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn main() -> ExitCode {
    use_small_pages();
    let mut done = ExitCode::SUCCESS;
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Train(args) => model::train(&args),
        Command::Model(command) => model::run(command),
        Command::Push(args) => push::run(&args).map(|code| done = code),
        Command::Map(args) => map::run(&args),
        Command::Keys(command) => keys::run(command),
        Command::Console(command) => console::run(command),
        Command::Rules(command) => rules::run(command),
        Command::Mirror(args) => mirror::run(args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Audit(command) => audit::run(&command),
    };
    match result {
        Ok(()) => done,
        Err(error) => {
            output::complain(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
