//! The beginning of a term: claiming what the group granted, and waiting until nothing of a former owner can still arrive.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::consumer::Consumer as _;
use stockade_log::{LogError, NewRecord, Route};

use crate::{
    appends::Appends,
    broker::Broker,
    changelog::CLAIM,
    client::ASK,
    group::Group,
    membership::{Change, Grants, Mailbox},
    terms::Term,
};

/// How often the end of foreign transactions is asked for.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);
/// A wait over this is written to the log.
const PATIENCE: Duration = Duration::from_secs(2);

/// Partitions that the group granted to a member of this process.
pub(crate) struct Claim {
    pub(crate) broker: Arc<Broker>,
    pub(crate) appends: Arc<Appends>,
    pub(crate) group: Arc<Group>,
    pub(crate) member: u64,
    pub(crate) mailbox: Arc<Mailbox>,
    /// The number of its grant, by partition.
    pub(crate) grants: BTreeMap<u32, u64>,
}

impl Claim {
    /// Begins terms for the partitions: claims them, waits until nothing of a former owner can still arrive, and tells the
    /// member. Blocks; give it a thread.
    pub(crate) fn make(&self) {
        if let Err(error) = self.try_make() {
            // The process cannot own anything like this; its folds stop and say so.
            self.broker.poison(&format!("partitions of {} could not be claimed: {error}", self.group.name));
        }
    }

    fn try_make(&self) -> Result<(), LogError> {
        let begun = Instant::now();
        let mut waiting = self.write()?;
        let mut warned = false;
        while !waiting.is_empty() && !self.broker.closing() {
            let mut settled = self.take_settled(&mut waiting);
            if !settled.is_empty() {
                match self.group.committed_offsets(settled.keys().copied()) {
                    Ok(offsets) => self.begin_terms(&settled, &offsets),
                    Err(error) => {
                        tracing::debug!(group = self.group.name, %error, "asking again");
                        waiting.append(&mut settled);
                    }
                }
            }
            if !waiting.is_empty() {
                if !warned && begun.elapsed() > PATIENCE {
                    warned = true;
                    tracing::warn!(group = self.group.name, partitions = ?waiting.keys(), "waiting for a former owner's open transaction to end; the broker ends it after transaction.timeout.ms");
                }
                self.broker.pause(SETTLE_INTERVAL);
            }
        }
        Ok(())
    }

    /// Writes the claims; gives the offset of each by its partition.
    fn write(&self) -> Result<BTreeMap<u32, u64>, LogError> {
        let claims = self.grants.keys().map(|partition| NewRecord {
            topic: self.group.state.name,
            route: Route::Partition(*partition),
            key: Bytes::from_static(CLAIM),
            headers: Vec::new(),
            value: Bytes::copy_from_slice(self.broker.options.instance.as_bytes()),
        });
        let placed = self.appends.append(&claims.collect::<Vec<_>>()).wait()?;
        Ok(placed.iter().map(|place| (place.partition, place.offset)).collect())
    }

    fn stands(&self, granted: &Grants, partition: u32) -> bool {
        self.grants.get(&partition).is_some_and(|grant| granted.stands(partition, *grant))
    }

    /// Takes out the claims before which everything is decided, and drops those whose partition was taken back.
    fn take_settled(&self, waiting: &mut BTreeMap<u32, u64>) -> BTreeMap<u32, u64> {
        let mut settled = BTreeMap::new();
        waiting.retain(|partition, claim| {
            if !self.stands(&self.mailbox.granted.lock(), *partition) {
                return false;
            }
            // With read_committed this is the first offset that is not decided yet.
            let asker = &self.broker.asker;
            let decided = asker.fetch_watermarks(&self.group.state.full, *partition as i32, ASK);
            let done = decided.is_ok_and(|(_, end)| end as u64 > *claim);
            if done {
                settled.insert(*partition, *claim);
            }
            !done
        });
        settled
    }

    fn begin_terms(&self, claims: &BTreeMap<u32, u64>, offsets: &[(u32, u64)]) {
        for (partition, committed) in offsets {
            let epoch = claims.get(partition).map_or(0, |claim| claim + 1);
            self.group.flushed[*partition as usize].fetch_max(*committed, Ordering::SeqCst);
            // Under the lock that the rebalance callback takes, so that a term cannot begin after its end.
            let granted = self.mailbox.granted.lock();
            if self.stands(&granted, *partition) {
                let term = Term { epoch, member: self.member, committed: *committed };
                self.group.terms.begin(*partition, term);
                self.mailbox.put(Change::Owned(*partition, epoch));
            }
        }
    }
}
