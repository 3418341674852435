//! `stockade rules`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use stockade_rules::RuleSet;
use stockade_supplier_scoring::FeatureSet;

/// What to do with rules.
#[derive(Subcommand)]
pub enum Command {
    /// Compile a rule set and report every problem with its place.
    Check {
        /// The YAML file.
        file: PathBuf,
    },
    /// List the features rules may read.
    Features,
    /// Print the starter rule set.
    Starter,
}

/// Runs the command.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Check { file } => {
            let source =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            match RuleSet::compile(&source, FeatureSet::default_set().schema().clone()) {
                Ok(set) => {
                    println!("{}: {} rules, version {}", file.display(), set.rules().len(), set.version)
                }
                Err(errors) => {
                    errors.iter().for_each(|error| eprintln!("{}: {error}", file.display()));
                    anyhow::bail!("{} problems; nothing of this set would be used", errors.len());
                }
            }
        }
        Command::Features => {
            for feature in FeatureSet::default_set().schema().features() {
                println!("{:<32} {:<8} {}", feature.name, feature.unit, feature.meaning);
            }
        }
        Command::Starter => print!("{}", stockade_lockout::STARTER_RULES),
    }
    Ok(())
}
