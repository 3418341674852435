//! Whether a process has caught up with what was there when it started.

use parking_lot::RwLock;
use stockade_log::{LogError, SharedLog};
use stockade_model::Topic;

use crate::Board;

/// Log ends seen at start, and who must have passed them. What has passed once is not asked about again.
pub struct Gate {
    board: Board,
    ends: RwLock<Vec<(&'static str, u32, u64)>>,
}

impl Gate {
    /// A gate that stands open until something is added.
    pub fn new(board: Board) -> Self {
        Self { board, ends: RwLock::default() }
    }

    /// Closes it until `fold` has passed the present end of every partition of `input`.
    pub fn add(
        &mut self,
        log: &SharedLog,
        fold: &'static str,
        input: Topic,
        partitions: u32,
    ) -> Result<(), LogError> {
        for partition in 0..input.partitions(partitions) {
            self.ends.get_mut().push((fold, partition, log.bounds(input.name(), partition)?.end));
        }
        Ok(())
    }

    /// Whether everyone has passed; the error says who has not, and how far they are.
    pub fn open(&self) -> Result<(), String> {
        if self.ends.read().is_empty() {
            return Ok(());
        }
        let mut ends = self.ends.write();
        ends.retain(|(fold, partition, end)| self.board.progress(fold, *partition).next < *end);
        match ends.first() {
            None => Ok(()),
            Some((fold, partition, end)) => Err(format!(
                "{fold}/{partition} is at {} of {end}",
                self.board.progress(fold, *partition).next
            )),
        }
    }

    /// Whether `fold` has passed, whoever else has not.
    pub fn passed(&self, fold: &str) -> bool {
        let ends = self.ends.read();
        ends.iter()
            .all(|(of, partition, end)| *of != fold || self.board.progress(of, *partition).next >= *end)
    }
}
