//! What waits for its acknowledgement, bounded per partition and lane so that a flood into one holds up no other.

use parking_lot::Mutex;
use stockade_log::{Lane, LogError};

/// Records that may wait per partition.
const RECORDS_MAX: usize = 100_000;
/// Bytes that may wait per partition.
const BYTES_MAX: usize = 32 << 20;

/// The part of it that a lane may have whose callers are not trusted.
const UNTRUSTED_PART: usize = 4;

/// What waits for its acknowledgement in one partition, by lane.
#[derive(Default)]
pub(crate) struct Backlogs([Backlog; 3]);

impl Backlogs {
    fn of(&self, lane: Lane) -> (&Backlog, usize) {
        let [trusted, probation, suspect] = &self.0;
        match lane {
            Lane::Trusted => (trusted, 1),
            Lane::Probation => (probation, UNTRUSTED_PART),
            Lane::Suspect => (suspect, UNTRUSTED_PART),
        }
    }
    /// Makes room, unless there is too much already. An empty backlog takes any batch that can be appended at all.
    pub(crate) fn admit(&self, lane: Lane, records: usize, bytes: usize) -> Result<(), LogError> {
        let (backlog, part) = self.of(lane);
        backlog.admit(records, bytes, part)
    }
    pub(crate) fn leave(&self, lane: Lane, records: usize, bytes: usize) {
        self.of(lane).0.leave(records, bytes);
    }
}

/// What waits of one lane: records and bytes.
#[derive(Default)]
struct Backlog(Mutex<(usize, usize)>);

impl Backlog {
    fn admit(&self, records: usize, bytes: usize, part: usize) -> Result<(), LogError> {
        let mut waiting = self.0.lock();
        let full = waiting.0 + records > RECORDS_MAX / part || waiting.1 + bytes > BYTES_MAX / part;
        if full && waiting.0 > 0 {
            return Err(LogError::Full { records: waiting.0, bytes: waiting.1 });
        }
        *waiting = (waiting.0 + records, waiting.1 + bytes);
        Ok(())
    }
    fn leave(&self, records: usize, bytes: usize) {
        let mut waiting = self.0.lock();
        *waiting = (waiting.0.saturating_sub(records), waiting.1.saturating_sub(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_lane_leaves_the_others_their_room() {
        let backlogs = Backlogs::default();
        backlogs.admit(Lane::Suspect, RECORDS_MAX / UNTRUSTED_PART, 1).unwrap();
        assert!(matches!(backlogs.admit(Lane::Suspect, 1, 1), Err(LogError::Full { .. })));
        backlogs.admit(Lane::Probation, RECORDS_MAX / UNTRUSTED_PART, 1).unwrap();
        backlogs.admit(Lane::Trusted, RECORDS_MAX, 1).unwrap();
        assert!(matches!(backlogs.admit(Lane::Trusted, 1, 1), Err(LogError::Full { .. })));
        backlogs.leave(Lane::Suspect, 1, 1);
        backlogs.admit(Lane::Suspect, 1, 1).unwrap();
        assert!(matches!(backlogs.admit(Lane::Trusted, 1, 1), Err(LogError::Full { .. })));
    }
}
