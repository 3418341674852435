//! A member of an in-process group.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use tokio::sync::watch;

use crate::{
    Consumer, Event, LogError, Mode, ReadLimit, Role,
    group::MemberId,
    inprocess::{Shared, TopicState},
    store::Store,
};

pub(crate) struct InProcessConsumer<S: Store> {
    shared: Arc<Shared<S>>,
    group: &'static str,
    /// `None` for a follower, which is no member.
    member: Option<MemberId>,
    topic: Arc<TopicState>,
    mode: Mode,
    news: watch::Receiver<u64>,
    revision_seen: Option<u64>,
    roles: Vec<Role>,
    positions: Vec<u64>,
    changes: VecDeque<(u32, Role)>,
    /// Where the round robin goes on, so that no partition waits behind a busy one for more than one batch.
    turn: usize,
}

impl<S: Store> InProcessConsumer<S> {
    pub(crate) fn new(
        shared: Arc<Shared<S>>,
        group: &'static str,
        member: Option<MemberId>,
        topic: Arc<TopicState>,
        mode: Mode,
    ) -> Self {
        let count = topic.count() as usize;
        Self {
            shared,
            group,
            member,
            mode,
            news: topic.news.subscribe(),
            topic,
            revision_seen: None,
            roles: vec![Role::None; count],
            positions: vec![0; count],
            changes: VecDeque::new(),
            turn: 0,
        }
    }

    /// Notices changes of ownership, and that it is no longer a member.
    fn refresh(&mut self) -> Result<(), LogError> {
        let next: Vec<Role> = if self.member.is_none() {
            vec![Role::Reader; self.roles.len()]
        } else {
            let mut groups = self.shared.groups.lock();
            let Some(entry) = groups.get_mut(self.group) else { return Ok(()) };
            if self.revision_seen == Some(entry.group.revision) {
                return Ok(());
            }
            if self.member.is_some_and(|member| !entry.group.has(member)) {
                // It was put out: it joins again, as the client of a broker does once it hears that its session has ended.
                self.member = Some(entry.group.join());
                self.topic.news.send_modify(|n| *n += 1);
            }
            self.revision_seen = Some(entry.group.revision);
            let owners = entry.group.owners.iter().zip(&entry.group.epochs);
            owners
                .map(|(owner, epoch)| match self.mode {
                    _ if owner.is_some() && *owner == self.member => Role::Owner(*epoch),
                    Mode::All | Mode::Follow => Role::Reader,
                    Mode::Owned => Role::None,
                })
                .collect()
        };
        for (partition, role) in next.into_iter().enumerate() {
            if role == self.roles[partition] {
                continue;
            }
            if self.roles[partition] == Role::None {
                let committed = self.shared.committed(self.group, partition as u32)?;
                let first = self.topic.bounds(partition as u32)?.first;
                self.positions[partition] = committed.map_or(first, |c| c.next_offset);
            }
            self.roles[partition] = role;
            self.changes.push_back((partition as u32, role));
        }
        Ok(())
    }
}

impl<S: Store> Consumer for InProcessConsumer<S> {
    fn try_next(&mut self, limit: ReadLimit) -> Result<Option<Event>, LogError> {
        self.news.borrow_and_update();
        self.refresh()?;
        if let Some((partition, role)) = self.changes.pop_front() {
            return Ok(Some(Event::Assigned { partition, role }));
        }
        for step in 0..self.roles.len() {
            let index = (self.turn + step) % self.roles.len();
            if self.roles[index] == Role::None {
                continue;
            }
            let partition = index as u32;
            let records = self.shared.read(&self.topic, partition, self.positions[index], limit)?;
            if let Some(last) = records.last() {
                self.positions[index] = last.offset + 1;
                self.turn = index + 1;
                return Ok(Some(Event::Batch { partition, records }));
            }
        }
        Ok(None)
    }

    fn wait(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // An error means that the log is gone; `try_next` will say so.
            let _ = self.news.changed().await;
        })
    }

    fn seek(&mut self, partition: u32, offset: u64) {
        if let Some(position) = self.positions.get_mut(partition as usize) {
            *position = offset;
        }
    }
}

impl<S: Store> Drop for InProcessConsumer<S> {
    fn drop(&mut self) {
        let Some(member) = self.member else { return };
        if let Some(entry) = self.shared.groups.lock().get_mut(self.group) {
            entry.group.leave(member);
        }
        self.topic.news.send_modify(|n| *n += 1);
    }
}
