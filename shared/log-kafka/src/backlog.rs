//! What waits for its acknowledgement, bounded per partition so that a flood into one holds up no other.

use parking_lot::Mutex;
use stockade_log::LogError;

/// Records that may wait per partition.
const RECORDS_MAX: usize = 100_000;
/// Bytes that may wait per partition.
const BYTES_MAX: usize = 32 << 20;

/// What waits for its acknowledgement in one partition.
#[derive(Default)]
pub(crate) struct Backlog(Mutex<(usize, usize)>);

impl Backlog {
    /// Makes room, unless there is too much already. An empty backlog takes any batch that can be appended at all.
    pub(crate) fn admit(&self, records: usize, bytes: usize) -> Result<(), LogError> {
        let mut waiting = self.0.lock();
        let full = waiting.0 + records > RECORDS_MAX || waiting.1 + bytes > BYTES_MAX;
        if full && waiting.0 > 0 {
            return Err(LogError::Full { records: waiting.0, bytes: waiting.1 });
        }
        *waiting = (waiting.0 + records, waiting.1 + bytes);
        Ok(())
    }
    pub(crate) fn leave(&self, records: usize, bytes: usize) {
        let mut waiting = self.0.lock();
        *waiting = (waiting.0.saturating_sub(records), waiting.1.saturating_sub(bytes));
    }
}
