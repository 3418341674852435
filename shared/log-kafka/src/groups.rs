//! The groups that this process takes part in.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use rustc_hash::FxHashMap;
use stockade_log::{LogError, Member};

use crate::{
    broker::Broker,
    client::{ASK, Watch},
    committer::Committer,
    group::Group,
    options::CLIENT,
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

/// Who takes part in the groups of this installation now: those whose names begin with its prefix.
pub(crate) fn members(broker: &Broker) -> Result<Vec<Member>, LogError> {
    let groups = broker.asker.fetch_group_list(None, ASK).map_err(|error| broker.unreachable(&error))?;
    let prefix = broker.options.prefix.as_str();
    let mut members = Vec::new();
    for group in groups.groups() {
        let Some(name) = group.name().strip_prefix(prefix).filter(|_| group.protocol_type() == "consumer")
        else {
            continue;
        };
        members.extend(group.members().iter().filter_map(|member| {
            // Others may share the cluster, and with an empty prefix their groups are seen as well.
            let instance = member.client_id().strip_prefix(CLIENT)?;
            Some(Member {
                instance: instance.to_owned(),
                host: member.client_host().trim_start_matches('/').to_owned(),
                group: name.to_owned(),
                partitions: member.assignment().map(assigned).unwrap_or_default(),
                here: instance == broker.options.instance,
            })
        }));
    }
    members.sort_by(|one, other| (&one.instance, &one.group).cmp(&(&other.instance, &other.group)));
    Ok(members)
}

/// The partitions in a member's assignment, as the consumer protocol writes it (Kafka protocol guide, "ConsumerProtocolAssignment"):
/// `int16` version, an array of topics, each a string with an array of `int32`; none where it is cut short.
fn assigned(bytes: &[u8]) -> Vec<u32> {
    fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        let (head, tail) = rest.split_at_checked(bytes)?;
        *rest = tail;
        Some(head)
    }
    fn int(rest: &mut &[u8]) -> Option<i32> {
        Some(i32::from_be_bytes(take(rest, 4)?.try_into().ok()?))
    }
    fn read(mut rest: &[u8]) -> Option<Vec<u32>> {
        let rest = &mut rest;
        take(rest, 2)?;
        let mut partitions = Vec::new();
        for _ in 0..int(rest)? {
            let name = u16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
            take(rest, usize::from(name))?;
            for _ in 0..int(rest)? {
                partitions.push(u32::try_from(int(rest)?).ok()?);
            }
        }
        partitions.sort_unstable();
        Some(partitions)
    }
    read(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read_from_an_assignment_and_one_that_is_cut_short_has_none() {
        let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, 3];
        bytes.extend(b"a.b");
        bytes.extend([0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 1, 255, 255, 255, 255]);
        assert_eq!(assigned(&bytes), [1, 5]);
        assert_eq!(assigned(&bytes[..20]), [0; 0]);
        assert_eq!(assigned(&[]), [0; 0]);
    }
}
