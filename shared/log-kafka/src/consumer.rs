//! A consumer: membership in the group by one client, reading by another, so that a change of role disturbs no reading
//! and a fold that restores for long loses no fetched data.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use stockade_log::{Consumer, Event, LogError, Mode, ReadLimit, Record, Role};
use tokio::sync::Notify;

use crate::{
    appends::Appends,
    broker::Broker,
    claim::Claim,
    client::Watch,
    group::Group,
    membership::{Change, Mailbox, Member, Membership},
    scan::{at, record},
    topic::Topic,
};

/// Nothing wakes a waiting consumer later than this; its membership needs to be polled.
const WAKE: Duration = Duration::from_millis(100);

struct Membered {
    group: Arc<Group>,
    id: u64,
    client: Member,
}

pub(crate) struct KafkaConsumer {
    broker: Arc<Broker>,
    appends: Arc<Appends>,
    topic: Arc<Topic>,
    mode: Mode,
    membership: Option<Membered>,
    mailbox: Arc<Mailbox>,
    reader: Option<Arc<BaseConsumer<Watch>>>,
    /// Asked by the reader's group name when nobody said where to start.
    group_name: &'static str,
    roles: Vec<Role>,
    /// Where partitions that are to be read begin, once someone said.
    starts: Vec<Option<u64>>,
    reading: Vec<bool>,
    last_time_ms: Vec<i64>,
    changes: VecDeque<(u32, Role)>,
    /// A message of another partition, met while a batch was made.
    next: Option<(u32, Record)>,
}

impl KafkaConsumer {
    pub(crate) fn join(
        (broker, appends): (&Arc<Broker>, &Arc<Appends>),
        topic: Arc<Topic>,
        group_name: &'static str,
        group: Option<Arc<Group>>,
        mode: Mode,
    ) -> Result<Self, LogError> {
        let mailbox = Arc::new(Mailbox::default());
        let no_client = |error: KafkaError| LogError::Config(format!("no consumer could be made: {error}"));
        let news = mailbox.news.clone();
        let mut reader: BaseConsumer<Watch> =
            broker.options.reader(group_name).create_with_context(broker.watch.clone()).map_err(no_client)?;
        reader.set_nonempty_callback(move || news.notify_one());
        let reader = Arc::new(reader);
        broker.clients.look_after(&reader);
        let membership = match group {
            None => None,
            Some(group) => {
                let id = group.new_member();
                let context = Membership {
                    watch: broker.watch.clone(),
                    id,
                    mailbox: mailbox.clone(),
                    terms: group.terms.clone(),
                };
                let mut client: BaseConsumer<Membership> =
                    broker.options.member(group_name).create_with_context(context).map_err(no_client)?;
                let news = mailbox.news.clone();
                client.set_nonempty_callback(move || news.notify_one());
                client.subscribe(&[&topic.full]).map_err(no_client)?;
                let client = Arc::new(client);
                broker.clients.look_after(&client);
                group.add(id, client.clone());
                Some(Membered { group, id, client })
            }
        };
        let count = topic.partitions as usize;
        let mut consumer = Self {
            broker: broker.clone(),
            appends: appends.clone(),
            topic,
            mode,
            membership,
            mailbox,
            reader: Some(reader),
            group_name,
            roles: vec![Role::None; count],
            starts: vec![None; count],
            reading: vec![false; count],
            last_time_ms: vec![0; count],
            changes: VecDeque::new(),
            next: None,
        };
        if mode != Mode::Owned {
            (0..count).for_each(|partition| consumer.turn(partition as u32, Role::Reader));
        }
        Ok(consumer)
    }

    /// Wakes whoever waits.
    pub(crate) fn waker(&self) -> Arc<Notify> {
        self.mailbox.news.clone()
    }

    fn turn(&mut self, partition: u32, role: Role) {
        let index = partition as usize;
        if self.roles[index] == role {
            return;
        }
        self.roles[index] = role;
        if role == Role::None {
            self.stop(partition);
        }
        self.changes.push_back((partition, role));
    }

    fn stop(&mut self, partition: u32) {
        let index = partition as usize;
        self.starts[index] = None;
        if self.next.as_ref().is_some_and(|(of, _)| *of == partition) {
            self.next = None;
        }
        if std::mem::take(&mut self.reading[index])
            && let Some(reader) = &self.reader
            && let Err(error) = reader.incremental_unassign(&at(&self.topic.full, partition, 0))
        {
            tracing::warn!(topic = self.topic.full, partition, %error, "could not stop reading");
        }
    }

    /// Serves the membership: rebalances, and what follows from them.
    fn serve(&mut self) -> Result<(), LogError> {
        let Some(membership) = &self.membership else { return Ok(()) };
        let mut fatal = None;
        while let Some(polled) = membership.client.poll(Duration::ZERO) {
            if let Err(KafkaError::MessageConsumptionFatal(code)) = polled {
                fatal = Some(code);
            }
        }
        if let Some(code) = fatal {
            return Err(LogError::Stopped(format!("membership of {} ended: {code}", self.group_name)));
        }
        let changes = std::mem::take(&mut *self.mailbox.changes.lock());
        let mut granted = BTreeMap::new();
        for change in changes {
            match change {
                Change::Granted(partition, grant) => drop(granted.insert(partition, grant)),
                Change::Owned(partition, epoch) => self.turn(partition, Role::Owner(epoch)),
                Change::Revoked(partition) => {
                    granted.remove(&partition);
                    self.turn(partition, if self.mode == Mode::All { Role::Reader } else { Role::None });
                }
            }
        }
        if !granted.is_empty()
            && let Some(membership) = &self.membership
        {
            let claim = Claim {
                broker: self.broker.clone(),
                appends: self.appends.clone(),
                group: membership.group.clone(),
                member: membership.id,
                mailbox: self.mailbox.clone(),
                grants: granted,
            };
            self.broker.spawn(format!("claim-{}", self.group_name), move || claim.make())?;
        }
        Ok(())
    }

    /// Begins reading what is to be read and is not yet.
    fn begin(&mut self) -> Result<(), LogError> {
        for index in 0..self.roles.len() {
            if self.roles[index] == Role::None || self.reading[index] {
                continue;
            }
            let partition = index as u32;
            let start = match self.starts[index].take() {
                Some(start) => start,
                None => match self.default_start(partition) {
                    // It is asked again with the next call.
                    Err(LogError::Unavailable(_)) => continue,
                    start => start?,
                },
            };
            if let Some(reader) = &self.reader {
                let list = at(&self.topic.full, partition, start);
                let begun = reader.incremental_assign(&list);
                begun.map_err(|error| {
                    LogError::Stopped(format!("cannot read {}: {error}", self.topic.full))
                })?;
            }
            self.reading[index] = true;
        }
        Ok(())
    }

    /// The group's committed offset, or the first one kept.
    fn default_start(&self, partition: u32) -> Result<u64, LogError> {
        let (first, _) = self.topic.watermarks(&self.broker, partition)?;
        let committed = match &self.membership {
            None => 0,
            Some(membership) => {
                let found = membership.group.committed_offsets([partition].into_iter())?;
                found.first().map_or(0, |(_, offset)| *offset)
            }
        };
        Ok(committed.max(first))
    }

    fn poll(&mut self) -> Result<Option<(u32, Record)>, LogError> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let Some(reader) = &self.reader else { return Ok(None) };
        loop {
            match reader.poll(Duration::ZERO) {
                None => return Ok(None),
                Some(Ok(message)) => {
                    let partition = message.partition() as u32;
                    let mut record = record(&message);
                    // A new leader's clock may be behind the old one's.
                    let last = &mut self.last_time_ms[partition as usize];
                    *last = (*last).max(record.time_ms);
                    record.time_ms = *last;
                    self.topic.reached(partition, record.offset + 1);
                    return Ok(Some((partition, record)));
                }
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset,
                ))) => return Err(self.lost()),
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(LogError::Stopped(format!("reading {} ended: {code}", self.topic.full)));
                }
                Some(Err(error)) => tracing::debug!(topic = self.topic.full, %error, "reading goes on"),
            }
        }
    }

    /// Retention took what was to be read next.
    fn lost(&self) -> LogError {
        let positions = self.reader.as_ref().and_then(|reader| reader.position().ok());
        for element in positions.iter().flat_map(|list| list.elements().into_iter()) {
            let partition = element.partition() as u32;
            let offset = element.offset().to_raw().unwrap_or(0).max(0) as u64;
            if let Ok((first, _)) = self.topic.watermarks(&self.broker, partition)
                && offset < first
            {
                return LogError::OutOfRange { topic: self.topic.full.clone(), partition, offset, first };
            }
        }
        LogError::Stopped(format!(
            "{} was made anew or cut under its reader; raise kafka.generation after making topics anew",
            self.topic.full
        ))
    }
}

impl Consumer for KafkaConsumer {
    fn try_next(&mut self, limit: ReadLimit) -> Result<Option<Event>, LogError> {
        self.broker.healthy()?;
        self.serve()?;
        if let Some((partition, role)) = self.changes.pop_front() {
            return Ok(Some(Event::Assigned { partition, role }));
        }
        self.begin()?;
        let Some((partition, first)) = self.poll()? else { return Ok(None) };
        let mut bytes = first.size();
        let mut records = vec![first];
        while records.len() < limit.records && bytes < limit.bytes {
            match self.poll()? {
                None => break,
                Some((of, record)) if of != partition => {
                    self.next = Some((of, record));
                    break;
                }
                Some((_, record)) => {
                    bytes += record.size();
                    records.push(record);
                }
            }
        }
        Ok(Some(Event::Batch { partition, records }))
    }

    fn wait(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // Either way the caller asks again.
            let _ = tokio::time::timeout(WAKE, self.mailbox.news.notified()).await;
        })
    }

    fn seek(&mut self, partition: u32, offset: u64) {
        if (partition as usize) < self.roles.len() {
            self.stop(partition);
            self.starts[partition as usize] = Some(offset);
        }
    }
}

impl Drop for KafkaConsumer {
    /// Leaving blocks until the group has answered, so it is done elsewhere; closing the log waits for it.
    fn drop(&mut self) {
        let membership = self.membership.take();
        let member = membership.as_ref().and_then(|m| m.group.remove(m.id));
        let reader = self.reader.take();
        let left = self.broker.spawn(format!("leave-{}", self.group_name), move || {
            drop(reader);
            drop(member);
            drop(membership);
        });
        if let Err(error) = left {
            tracing::warn!(%error, "the group is left by session time-out");
        }
    }
}
