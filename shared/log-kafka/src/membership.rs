//! Membership in a group: what the group's rebalances change for one member, and how its consumer hears of it.

use std::{
    collections::{BTreeSet, VecDeque},
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
    /// The group gave it the partition; it owns it once it has claimed it.
    Granted(u32),
    /// It owns it, under this epoch.
    Owned(u32, u64),
    /// It no longer does.
    Revoked(u32),
}

/// What the rebalance callback and the consumer share.
#[derive(Default)]
pub(crate) struct Mailbox {
    pub(crate) changes: Mutex<VecDeque<Change>>,
    /// Partitions the group gave and has not taken back.
    pub(crate) granted: Mutex<BTreeSet<u32>>,
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
            granted.remove(&partition);
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
            self.mailbox.granted.lock().insert(partition);
            self.mailbox.put(Change::Granted(partition));
        }
    }
}
