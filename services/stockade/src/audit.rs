//! `stockade audit`.

use crate::output::{self, say};
use anyhow::Result;
use clap::Subcommand;

use crate::{
    config::{Config, Place},
    connect,
};

/// What to do with the audit log.
#[derive(Subcommand)]
pub enum Command {
    /// Check the hash chain over all decisions, of a data directory that no server has open, or on Kafka. Makes and
    /// changes nothing.
    Verify(Place),
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    let Command::Verify(place) = command;
    verify(place)
}

/// Checks the hash chain over all decisions. A log that is not there, or holds no topic of decisions, is an error: nothing
/// was verified.
fn verify(place: &Place) -> Result<()> {
    let config = Config::read(place, &[]).map_err(|e| anyhow::anyhow!("configuration: {e}"))?;
    let log = connect::existing_decisions(&config)?;
    let (mut link, mut count) = (String::new(), 0);
    crate::decisions::read(&log, 0, |offset, decision| {
        anyhow::ensure!(
            decision.chain == decision.link(&link),
            "the chain breaks at offset {offset}: a decision was changed, removed or put in"
        );
        link = decision.chain;
        count += 1;
        Ok(())
    })?;
    if count == 0 {
        say!("0 decisions: the log is there and none has been made yet");
    } else {
        say!("{}, the chain holds", output::count(count, "decision", "decisions"));
    }
    Ok(())
}
