//! Terms of ownership: who of this process owns which partition, since which epoch.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// One ownership of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) epoch: u64,
    pub(crate) member: u64,
    /// Next offset of the last commit.
    pub(crate) committed: u64,
}

/// Who of this process owns what.
#[derive(Default)]
pub(crate) struct Terms(Mutex<BTreeMap<u32, Term>>);

impl Terms {
    pub(crate) fn get(&self, partition: u32) -> Option<Term> {
        self.0.lock().get(&partition).copied()
    }
    /// A term begins; one that was on before is over.
    pub(crate) fn begin(&self, partition: u32, term: Term) {
        self.0.lock().insert(partition, term);
    }
    pub(crate) fn end(&self, partition: u32, member: u64) {
        let mut terms = self.0.lock();
        if terms.get(&partition).is_some_and(|term| term.member == member) {
            terms.remove(&partition);
        }
    }
    pub(crate) fn end_all(&self, member: u64) {
        self.0.lock().retain(|_, term| term.member != member);
    }
    /// The term of `epoch` has committed up to `next`.
    pub(crate) fn advance(&self, partition: u32, epoch: u64, next: u64) {
        if let Some(term) = self.0.lock().get_mut(&partition).filter(|term| term.epoch == epoch) {
            term.committed = next;
        }
    }
}
