//! [`Log`](crate::Log) for the adapters that are a newtype over the in-process log.

/// Implements [`Log`] for a newtype over [`InProcess`].
macro_rules! delegate_log {
    ($name:ident) => {
        impl Log for $name {
            fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
                self.0.ensure_topic(spec)
            }
            fn partitions(&self, topic: &str) -> Result<u32, LogError> {
                self.0.partitions(topic)
            }
            fn generation(&self, topic: &str) -> Result<u32, LogError> {
                self.0.generation(topic)
            }
            fn append(&self, batch: Vec<NewRecord>, ack: Ack) -> Ticket {
                self.0.append(batch, ack)
            }
            fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
                self.0.bounds(topic, partition)
            }
            fn read(
                &self,
                topic: &str,
                partition: u32,
                from: u64,
                limit: ReadLimit,
            ) -> Result<Vec<Record>, LogError> {
                self.0.read(topic, partition, from, limit)
            }
            fn join(
                &self,
                group: &'static str,
                topic: &str,
                mode: Mode,
            ) -> Result<Box<dyn Consumer>, LogError> {
                self.0.join(group, topic, mode)
            }
            fn horizon(&self, topic: &str, partition: u32) -> Horizon {
                self.0.horizon(topic, partition)
            }
            fn commit(&self, commit: Commit) -> Ticket<()> {
                self.0.commit(commit)
            }
            fn flushed(&self, group: &'static str, partition: u32) -> Result<u64, LogError> {
                self.0.flushed(group, partition)
            }
            fn restore(
                &self,
                group: &'static str,
                partition: u32,
                each: &mut dyn FnMut(&[u8], &[u8]),
            ) -> Result<Option<Committed>, LogError> {
                self.0.restore(group, partition, each)
            }
            fn trim(&self, now_ms: i64) -> Result<u64, LogError> {
                self.0.trim(now_ms)
            }
            fn room(&self) -> Option<Room> {
                self.0.room()
            }
            fn close(&self) -> Result<(), LogError> {
                self.0.close()
            }
        }
    };
}
pub(crate) use delegate_log;
