//! What is learnt at intervals: the ends of all partitions, and what owners elsewhere have committed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer as _};
use stockade_log::{Clock, Horizon, LogError};

use crate::{
    broker::Broker,
    client::ASK,
    groups::Groups,
    topic::{Topic, Topics},
};

/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(500);
/// An end learnt within this is as good as now.
const PATIENCE_MS: i64 = 3_000;

pub(crate) struct Pulse {
    broker: Arc<Broker>,
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    clock: Clock,
}

impl Pulse {
    /// Begins to ask, until the log is closed.
    pub(crate) fn start(
        broker: &Arc<Broker>,
        topics: &Arc<Topics>,
        groups: &Arc<Groups>,
        clock: Clock,
    ) -> Result<Arc<Self>, LogError> {
        let (topics, groups) = (topics.clone(), groups.clone());
        let pulse = Arc::new(Self { broker: broker.clone(), topics, groups, clock });
        let beating = pulse.clone();
        broker.spawn("log-pulse".to_owned(), move || {
            while !beating.broker.closing() {
                beating.beat();
                beating.broker.pause(INTERVAL);
            }
        })?;
        Ok(pulse)
    }

    /// The end of a partition as last learnt, and when that was.
    pub(crate) fn horizon(&self, topic: &str, partition: u32) -> Horizon {
        let now_ms = (self.clock)();
        let Ok(topic) = self.topics.get(topic) else { return Horizon { end: 0, heard_ms: now_ms } };
        let heard_ms = topic.heard_ms.load(Ordering::Relaxed);
        let fresh = now_ms - heard_ms < PATIENCE_MS;
        Horizon { end: topic.end(partition), heard_ms: if fresh { now_ms } else { heard_ms } }
    }

    fn beat(&self) {
        let topics = self.topics.all();
        let asked = topics.iter().any(|topic| topic.partitions > 0);
        let heard = asked && self.learn_ends(&topics);
        if asked {
            self.broker.note_silence(!heard);
        }
        if !heard {
            return;
        }
        for group in self.groups.all() {
            for (partition, offset) in group.all_committed_offsets().unwrap_or_default() {
                group.flushed[partition as usize].fetch_max(offset, Ordering::SeqCst);
            }
        }
    }

    /// Learns the ends of all partitions; whether a broker answered.
    fn learn_ends(&self, topics: &[Arc<Topic>]) -> bool {
        let mut ends = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..topic.partitions {
                // Fails only for offsets that no log can hold.
                let _ = ends.add_partition_offset(&topic.full, partition as i32, Offset::End);
            }
        }
        let Ok(found) = self.broker.asker.offsets_for_times(ends, ASK) else { return false };
        let mut bad: Vec<String> = Vec::new();
        for element in found.elements() {
            let topic = topics.iter().find(|topic| topic.full == element.topic());
            match (topic, element.error(), element.offset()) {
                (Some(topic), Ok(()), Offset::Offset(end)) => {
                    topic.reached(element.partition() as u32, end as u64);
                }
                _ => bad.push(element.topic().to_owned()),
            }
        }
        for topic in topics.iter().filter(|topic| !bad.contains(&topic.full)) {
            topic.heard_ms.store((self.clock)(), Ordering::Relaxed);
        }
        true
    }
}
