//! Whether a partition stands still although there is something to do.

/// What is remembered of one partition of one fold between two looks.
///
/// The measure is what is *committed*, not what this process has applied: only an owner commits, so this sees a partition
/// that nobody owns, one whose owner was fenced and does not know, one whose owner hangs, and one whose flushes fail,
/// from every process that knows the group's offsets.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    committed: u64,
    since_ms: i64,
}

impl Stall {
    /// Begins to look at `now_ms`, by a clock that does not go back.
    pub fn new(now_ms: i64) -> Self {
        Self { committed: 0, since_ms: now_ms }
    }

    /// Looks again: the input ends at `end`, everything before `committed` is done. Returns for how many milliseconds there
    /// has been input while nothing of it was committed; 0 when there is nothing to do, or something was done since the
    /// last look.
    pub fn look(&mut self, now_ms: i64, end: u64, committed: u64) -> i64 {
        if committed >= end || committed > self.committed {
            self.since_ms = now_ms;
        }
        self.committed = self.committed.max(committed);
        now_ms - self.since_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_partition_whose_input_moves_and_whose_owner_does_not_is_seen_until_it_moves_again() {
        let mut stall = Stall::new(0);
        assert_eq!(stall.look(10, 0, 0), 0, "there is nothing to do");
        assert_eq!(stall.look(50, 1, 0), 40, "it waits since it was last seen with nothing to do");
        assert_eq!(stall.look(90, 7, 0), 80);
        assert_eq!(stall.look(100, 9, 2), 0, "somebody does something");
        assert_eq!(stall.look(130, 9, 2), 30);
        assert_eq!(stall.look(140, 9, 9), 0);
    }

    proptest! {
        /// The oracle goes through the whole history each time.
        #[test]
        fn it_says_how_long_ago_there_was_nothing_to_do_or_something_was_done(
            steps in proptest::collection::vec((1i64..50, 0u64..3, 0u64..3), 1..40),
        ) {
            let (mut stall, mut history) = (Stall::new(0), vec![(0, 0, 0)]);
            for (passed_ms, arrived, done) in steps {
                let (now_ms, end, committed) = history[history.len() - 1];
                let now = (now_ms + passed_ms, end + arrived, (committed + done).min(end + arrived));
                history.push(now);
                let good = |at: usize| history[at].1 == history[at].2 || history[at].2 > history[at - 1].2;
                let last_good = (1..history.len()).rev().find(|at| good(*at)).unwrap_or(0);
                prop_assert_eq!(stall.look(now.0, now.1, now.2), now.0 - history[last_good].0);
            }
        }
    }
}
