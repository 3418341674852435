//! `cargo xtask`: what contributors and CI run.

mod cluster;
mod console;
mod contract;
mod dependencies;
mod kubernetes;
mod machine;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything CI checks: format, lints, schemas, dependencies, tests.
    Test {
        /// Leave out the tests on real brokers and those that start and kill the real binary.
        #[arg(long)]
        fast: bool,
    },
    /// Start a real Kafka and a real Redis on free loopback ports, and print where they are.
    Up {
        /// How many Kafka brokers.
        #[arg(long, default_value_t = 1)]
        brokers: usize,
    },
    /// Stop what `up` started.
    Down,
    /// Run the simulation with crashes over many seeds, optimised.
    Simulate {
        /// How many seeds.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first.
        #[arg(long, default_value_t = 1)]
        first: u64,
    },
    /// Write `schemas/` from the code.
    Schemas {
        /// Only say whether they differ.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Test { fast } => test(fast),
        Task::Up { brokers } => cluster::up(brokers),
        Task::Down => cluster::down(),
        Task::Simulate { seeds, first } => {
            let (seeds, first) = (seeds.to_string(), first.to_string());
            let run = ["run", "--release", "--quiet", "--package", "stockade", "--", "simulate"];
            step("simulation", cargo(&[&run[..], &["--seeds", &seeds, "--first", &first]].concat()))
        }
        Task::Schemas { check } => schemas(check),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

fn step(name: &str, mut command: Command) -> Result<()> {
    println!("== {name}");
    let status = command.status().with_context(|| format!("{name} could not be started"))?;
    anyhow::ensure!(status.success(), "{name} failed");
    Ok(())
}

fn test(fast: bool) -> Result<()> {
    if !fast {
        machine::set_up()?;
        contract::set_up(&root())?;
    }
    let with_tls: &[&str] = if machine::has_openssl() {
        &["--features", "stockade/tls"]
    } else {
        println!(
            "OpenSSL's headers (libssl-dev) are missing: TLS to Kafka and Redis is neither built nor tested"
        );
        &[]
    };
    step("format", cargo(&["fmt", "--all", "--check"]))?;
    let lints =
        [&["clippy", "--workspace", "--all-targets", "--locked"], with_tls, &["--", "-D", "warnings"]];
    step("lints", cargo(&lints.concat()))?;
    println!("== schemas");
    schemas(true)?;
    println!("== dependencies");
    dependencies::check(&root(), cargo(&[]))?;
    let has_deny = cargo(&["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if has_deny.is_ok_and(|status| status.success()) {
        step("cargo deny", cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
    }
    println!("== kubernetes");
    kubernetes::check()?;
    println!("== console: committed pages");
    let has_pages = console::check(&root())?;
    // One failure does not hide what the other test programs have to say.
    let mut args = [&["test", "--workspace", "--locked", "--no-fail-fast"], with_tls].concat();
    if fast {
        println!("== tests, without those on real brokers (real::) and those that kill the binary (slow::)");
        args.extend(["--", "--skip", "slow::", "--skip", "real::"]);
        return run_tests(cargo(&args));
    }
    let mut build = args.clone();
    build.push("--no-run");
    step("tests, built", cargo(&build))?;
    // Before the others, so that these have the last word: who reads the end of all this wants to know how they went.
    let mut pages = Ok(());
    if has_pages {
        println!("== console: pages in Chromium");
        pages = console::test(&root());
    }
    println!("== tests");
    let servers = cluster::Servers::for_tests()?;
    let mut command = cargo(&args);
    command.env("STOCKADE_TEST_KAFKA", &servers.kafka).env("STOCKADE_TEST_REDIS", &servers.redis);
    let tested = run_tests(command);
    pages.and(tested)
}

/// Runs a command and shows what it prints as it comes, line by line, each of which `take` sees too.
fn shown(mut command: Command, mut take: impl FnMut(&str)) -> Result<ExitStatus> {
    use std::io::BufRead as _;
    let mut child = command.stdout(Stdio::piped()).spawn().context("it could not be started")?;
    let stdout = child.stdout.take().context("it has no output")?;
    for line in std::io::BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        take(&line);
    }
    Ok(child.wait()?)
}

/// Runs cargo test, shows its output, and closes with the sum of its closing lines.
fn run_tests(command: Command) -> Result<()> {
    let (mut passed, mut failed, mut ignored) = (0u64, 0u64, 0u64);
    let sum = |line: &str| {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |what: &str| {
                let words: Vec<&str> =
                    counts.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
                let at = words.iter().position(|word| *word == what);
                at.and_then(|at| words.get(at.checked_sub(1)?)?.parse::<u64>().ok()).unwrap_or(0)
            };
            passed += count("passed");
            failed += count("failed");
            ignored += count("ignored");
        }
    };
    let status = shown(command, sum).context("cargo test")?;
    println!("\n{passed} passed, {failed} failed, {ignored} skipped");
    anyhow::ensure!(status.success(), "tests failed");
    Ok(())
}

/// Every file of `schemas/` with what the code says it should hold.
fn schema_files() -> Result<Vec<(String, String)>> {
    let mut files = stockade_model::schemas::files();
    let rule = serde_json::to_string_pretty(&stockade_rules::rule_schema())?;
    files.push(("rules/rule.schema.json".to_owned(), rule + "\n"));
    files.push(("openapi.json".to_owned(), stockade::openapi::openapi_text()?));
    files.push(("asyncapi.json".to_owned(), stockade::asyncapi::asyncapi_text()?));
    Ok(files)
}

fn schemas(check: bool) -> Result<()> {
    let folder = root().join("schemas");
    let mut differing = Vec::new();
    for (name, text) in schema_files()? {
        let path = folder.join(&name);
        if std::fs::read_to_string(&path).ok().as_deref() == Some(text.as_str()) {
            continue;
        }
        if check {
            differing.push(name);
        } else {
            std::fs::create_dir_all(path.parent().context("a schema without a folder")?)?;
            std::fs::write(&path, text)?;
            println!("wrote schemas/{name}");
        }
    }
    anyhow::ensure!(
        differing.is_empty(),
        "schemas differ from the code: {}; run `cargo xtask schemas`",
        differing.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schemas_in_the_repository_are_those_of_the_code() {
        super::schemas(true).unwrap();
    }
}
