//! Membership in a group: what the group's rebalances change for one member, and how its consumer hears of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance},
    error::KafkaError,
};
use tokio::sync::Notify;

use crate::{client::Watch, terms::Terms};

/// The client of a member.
pub(crate) type Member = Arc<BaseConsumer<Membership>>;

/// A change the group made to a member.
pub(crate) enum Change {
    /// The group gave it the partition, by the grant of this number; it owns it once it has claimed it.
    Granted(u32, u64),
    /// It owns it, under this epoch.
    Owned(u32, u64),
    /// It no longer does.
    Revoked(u32),
}

/// Partitions the group gave to a member. Each time has a number, so that what was begun for a partition that was taken back
/// and given again meanwhile is not mistaken for what was begun since: in between, somebody else may have owned it.
#[derive(Default)]
pub(crate) struct Grants {
    last: u64,
    held: BTreeMap<u32, u64>,
}

impl Grants {
    /// The group gives a partition; returns the number of this grant.
    fn give(&mut self, partition: u32) -> u64 {
        self.last += 1;
        self.held.insert(partition, self.last);
        self.last
    }
    fn take_back(&mut self, partition: u32) {
        self.held.remove(&partition);
    }
    /// Whether this very grant still stands.
    pub(crate) fn stands(&self, partition: u32, grant: u64) -> bool {
        self.held.get(&partition) == Some(&grant)
    }
}

/// What the rebalance callback and the consumer share.
#[derive(Default)]
pub(crate) struct Mailbox {
    pub(crate) changes: Mutex<VecDeque<Change>>,
    /// Partitions the group gave and has not taken back.
    pub(crate) granted: Mutex<Grants>,
    pub(crate) news: Arc<Notify>,
}

impl Mailbox {
    pub(crate) fn put(&self, change: Change) {
        self.changes.lock().push_back(change);
        self.news.notify_one();
    }
}

/// Context of a member of a group.
#[derive(Clone)]
pub(crate) struct Membership {
    pub(crate) watch: Watch,
    pub(crate) id: u64,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) terms: Arc<Terms>,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Membership {
    /// Runs before the group learns that we gave the partitions up: from here on nothing of ours is committed for them.
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        for element in list.elements() {
            let partition = element.partition() as u32;
            // In this order under this lock, so that a claim that is just done cannot begin a term after its end.
            let mut granted = self.mailbox.granted.lock();
            granted.take_back(partition);
            self.terms.end(partition, self.id);
            drop(granted);
            self.mailbox.put(Change::Revoked(partition));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else { return };
        // Membership only; what is read is read by another client, so that a change of role disturbs no reading.
        if let Err(error) = consumer.pause(list) {
            tracing::warn!(%error, "a partition could not be paused; it is fetched twice");
        }
        for element in list.elements() {
            let partition = element.partition() as u32;
            let grant = self.mailbox.granted.lock().give(partition);
            self.mailbox.put(Change::Granted(partition, grant));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_under_a_grant_is_void_once_it_was_taken_back_even_if_the_partition_is_given_again() {
        let mut grants = Grants::default();
        let first = grants.give(3);
        assert!(grants.stands(3, first) && !grants.stands(2, first));
        grants.take_back(3);
        assert!(!grants.stands(3, first));
        let second = grants.give(3);
        assert!(grants.stands(3, second) && !grants.stands(3, first));
    }
}
