//! Which rows of a changelog may be sent: those whose commit was read to its end.

use std::collections::VecDeque;

/// Rows of one partition on their way, in order.
pub(super) struct Commits<R> {
    /// Each with its size in bytes.
    waiting: VecDeque<(R, usize)>,
    /// So many of them are whole commits.
    whole: usize,
    /// Size of those that are not, in bytes.
    open_bytes: usize,
    /// Nobody restores from the copy yet, so commits need not be whole.
    is_first: bool,
    /// The end was reached.
    has_reached_end: bool,
}

impl<R> Commits<R> {
    /// `is_first` as long as the copy was never whole.
    pub(super) fn new(is_first: bool) -> Self {
        Self { waiting: VecDeque::new(), whole: 0, open_bytes: 0, is_first, has_reached_end: false }
    }

    /// Takes the next row; `is_last` when its commit ends with it.
    pub(super) fn take(&mut self, row: R, bytes: usize, is_last: bool) {
        self.waiting.push_back((row, bytes));
        self.open_bytes += bytes;
        if self.is_first || is_last {
            self.complete();
        }
    }

    /// The partition was read to its end, which is that of a commit.
    pub(super) fn reach_end(&mut self) {
        (self.has_reached_end, self.is_first) = (true, false);
        self.complete();
    }

    fn complete(&mut self) {
        (self.whole, self.open_bytes) = (self.waiting.len(), 0);
    }

    pub(super) fn has_reached_end(&self) -> bool {
        self.has_reached_end
    }

    pub(super) fn has_whole(&self) -> bool {
        self.whole > 0
    }

    /// Size of the rows whose commit was not read to its end, in bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.open_bytes
    }

    /// The rows of whole commits, in order; they count as sent.
    pub(super) fn drain_whole(&mut self) -> impl Iterator<Item = R> + '_ {
        self.waiting.drain(..std::mem::take(&mut self.whole)).map(|(row, _)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(commits: &mut Commits<u8>) -> Vec<u8> {
        commits.drain_whole().collect()
    }

    #[test]
    fn rows_wait_for_the_end_of_their_commit_and_are_counted_until_then() {
        let mut commits = Commits::new(false);
        commits.take(1, 10, false);
        commits.take(2, 10, false);
        assert!(!commits.has_whole());
        assert_eq!((drained(&mut commits), commits.waiting_bytes()), (vec![], 20));
        commits.take(3, 10, true);
        commits.take(4, 7, false);
        assert!(commits.has_whole());
        assert_eq!((drained(&mut commits), commits.waiting_bytes()), (vec![1, 2, 3], 7));
        commits.reach_end();
        assert_eq!((drained(&mut commits), commits.waiting_bytes()), (vec![4], 0));
        assert!(!commits.has_whole() && commits.has_reached_end());
    }

    #[test]
    fn a_first_copy_holds_nothing_back_until_it_reaches_the_end_and_then_it_is_no_longer_first() {
        let mut commits = Commits::new(true);
        for row in 0..100 {
            commits.take(row, 1 << 20, false);
            assert_eq!((drained(&mut commits), commits.waiting_bytes()), (vec![row], 0));
        }
        commits.reach_end();
        commits.take(100, 5, false);
        assert_eq!((drained(&mut commits), commits.waiting_bytes()), (vec![], 5));
    }
}
