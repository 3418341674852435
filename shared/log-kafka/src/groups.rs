//! The groups that this process takes part in.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use rustc_hash::FxHashMap;
use stockade_log::LogError;

use crate::{
    broker::Broker,
    client::{ASK, Watch},
    committer::Committer,
    group::Group,
    topic::{Kind, Topic, Topics},
};

pub(crate) struct Groups {
    broker: Arc<Broker>,
    topics: Arc<Topics>,
    known: Mutex<FxHashMap<&'static str, Arc<Group>>>,
}

impl Groups {
    pub(crate) fn new(broker: Arc<Broker>, topics: Arc<Topics>) -> Self {
        Self { broker, topics, known: Mutex::default() }
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Group>, LogError> {
        let known = self.known.lock();
        known
            .get(name)
            .cloned()
            .ok_or_else(|| LogError::Unknown { topic: format!("{name}.state"), partition: 0 })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        self.known.lock().values().cloned().collect()
    }

    /// The group as this process takes part in it.
    pub(crate) fn enter(&self, name: &'static str, topic: &Arc<Topic>) -> Result<Arc<Group>, LogError> {
        if let Some(group) = self.known.lock().get(name) {
            return Ok(group.clone());
        }
        // A handful of names, each made once per process; topics are known by static names.
        let state: &'static str = Box::leak(format!("{name}.state").into_boxed_str());
        let state = self.topics.open(state, topic.partitions, &Kind::Changelog)?;
        let group = Arc::new(Group::new(&self.broker, name, topic.clone(), state)?);
        Committer::start(&self.broker, group.clone())?;
        // Offsets in an open transaction of a process that died are not told until the broker has ended it; then the check
        // is left to the next start.
        for (partition, committed) in group.all_committed_offsets().unwrap_or_default() {
            group.flushed[partition as usize].fetch_max(committed, Ordering::SeqCst);
            let (_, end) = topic.watermarks(&self.broker, partition)?;
            if committed > end {
                return Err(LogError::Config(format!(
                    "{} ends at {end}, but the group {name} had read up to {committed}: the topic was made anew. Restore it, or raise kafka.generation and use another kafka.prefix for the changelogs",
                    topic.full
                )));
            }
        }
        Ok(self.known.lock().entry(name).or_insert(group).clone())
    }

    /// Ends the threads that commit, once what waits is committed.
    pub(crate) fn close(&self) {
        self.known.lock().values().for_each(|group| group.close());
    }
}

/// How far a group is in one partition of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupProgress {
    /// Next offset to be read, as last committed by whoever owns the partition; 0 before the first commit.
    pub committed: u64,
    /// Next offset to be written.
    pub end: u64,
}

/// How far `group` is in `topic`, by partition. It joins nothing and makes nothing.
pub(crate) fn progress(
    broker: &Broker,
    group: &str,
    topic: &str,
    partitions: u32,
) -> Result<Vec<GroupProgress>, LogError> {
    let asker: BaseConsumer<Watch> =
        broker
            .options
            .reader(group)
            .create_with_context(broker.watch.clone())
            .map_err(|error| LogError::Config(format!("no consumer could be made: {error}")))?;
    let topic = broker.full_name(topic);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(&topic, partition as i32);
    }
    let found = asker.committed_offsets(list, ASK).map_err(|error| broker.unreachable(&error))?;
    let mut all = Vec::with_capacity(partitions as usize);
    for partition in 0..partitions as i32 {
        let (_, end) = broker
            .asker
            .fetch_watermarks(&topic, partition, ASK)
            .map_err(|error| broker.unreachable(&error))?;
        let committed = found.find_partition(&topic, partition).map(|element| element.offset());
        let committed = if let Some(Offset::Offset(next)) = committed { next as u64 } else { 0 };
        all.push(GroupProgress { committed, end: end as u64 });
    }
    Ok(all)
}
