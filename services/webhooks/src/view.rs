//! What this process knows of endpoints and deliveries, as the fold tells it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;
use stockade_model::{AttemptFailure, EndpointOwner, Timestamp};
use stockade_runtime::Waiters;
use tokio::sync::Notify;

use crate::{
    endpoint::{Delivery, Endpoint, State, Try},
    fold::{Effect, PING, Refusal},
    metrics,
    turns::Turns,
};

/// What is tried next of an endpoint: when, which, and of which endpoint.
type Entry = (Timestamp, u64, String);

struct Known {
    endpoint: Arc<Endpoint>,
    deliveries: BTreeMap<u64, Arc<Delivery>>,
    /// What waits, by when it is tried next.
    due: BTreeSet<(Timestamp, u64)>,
    /// Where it stands in its owner's line.
    queued: Option<(Timestamp, u64)>,
    /// When the last attempt ended, and how long it took, in milliseconds.
    took: Option<(Timestamp, u64)>,
    /// As what it is counted: disabled, and so many waiting.
    counted: (bool, usize),
}

#[derive(Default)]
struct Held {
    endpoints: BTreeMap<String, Known>,
    /// What is tried next of each endpoint that is told anything, by owner and by when.
    lines: BTreeMap<EndpointOwner, BTreeSet<Entry>>,
    disabled: usize,
    waiting: usize,
    /// Deliveries that were told before their endpoint, as it happens in the restored state, which has no order.
    early: HashMap<String, Vec<Arc<Delivery>>>,
}

/// What is tried next of an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) at: Timestamp,
}

/// The view. Cheap to clone.
#[derive(Clone, Default)]
pub struct View {
    held: Arc<RwLock<Held>>,
    /// Who waits for what became of a record.
    pub(crate) judged: Waiters<Result<Option<String>, Refusal>>,
    /// Something changed.
    pub(crate) news: Arc<Notify>,
}

impl Known {
    fn put(&mut self, delivery: Arc<Delivery>) {
        self.take(delivery.number);
        // What was not sent most often waited for a turn at a slow name, and kept its place meanwhile, which no latency says.
        let took =
            |it: &Try| if it.failure == Some(AttemptFailure::Unsent) { u64::MAX } else { it.latency_ms };
        self.took = self.took.max(delivery.tries.last().map(|it| (it.at, took(it))));
        if delivery.state == State::Waiting {
            self.due.insert((delivery.next, delivery.number));
        }
        self.deliveries.insert(delivery.number, delivery);
    }
    fn take(&mut self, number: u64) {
        if let Some(former) = self.deliveries.remove(&number) {
            self.due.remove(&(former.next, number));
        }
    }
    /// When what is tried next: not before the endpoint's rest is over.
    fn next(&self) -> Option<(Timestamp, u64)> {
        let (next, number) = self.due.first()?;
        self.endpoint.disabled.is_none().then(|| ((*next).max(self.endpoint.not_before), *number))
    }
}

impl Held {
    /// Puts an endpoint where it belongs after something of it changed; what that costs does not depend on how many there are.
    fn settle(&mut self, id: &str) {
        let Some(known) = self.endpoints.get_mut(id) else { return };
        let (was, is) = (known.counted, (known.endpoint.disabled.is_some(), known.due.len()));
        known.counted = is;
        self.disabled = self.disabled + usize::from(is.0) - usize::from(was.0);
        self.waiting = self.waiting + is.1 - was.1;
        let next = known.next();
        let former = std::mem::replace(&mut known.queued, next);
        if former != next {
            let owner = known.endpoint.owner.clone();
            if let Some((at, number)) = former {
                self.leave(&owner, &(at, number, id.to_owned()));
            }
            if let Some((at, number)) = next {
                self.lines.entry(owner).or_default().insert((at, number, id.to_owned()));
            }
        }
    }

    /// Takes an endpoint out of its owner's line; a line with nobody in it is none.
    fn leave(&mut self, owner: &EndpointOwner, entry: &Entry) {
        if let Some(line) = self.lines.get_mut(owner) {
            line.remove(entry);
            if line.is_empty() {
                self.lines.remove(owner);
            }
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(known) = self.endpoints.remove(id) {
            self.disabled -= usize::from(known.counted.0);
            self.waiting -= known.counted.1;
            if let Some((at, number)) = known.queued {
                self.leave(&known.endpoint.owner, &(at, number, id.to_owned()));
            }
        }
    }
}

impl View {
    /// Takes what the fold tells.
    pub fn hear(&self, effects: Vec<Effect>) {
        let mut held = self.held.write();
        let mut judged = Vec::new();
        let is_news = effects.iter().any(|effect| !matches!(effect, Effect::Judged { .. }));
        for effect in effects {
            match effect {
                Effect::Endpoint(endpoint) => {
                    let id = endpoint.id.clone();
                    if let Some(known) = held.endpoints.get_mut(&id) {
                        known.endpoint = endpoint;
                    } else {
                        let mut known = Known {
                            endpoint,
                            deliveries: BTreeMap::new(),
                            due: BTreeSet::new(),
                            queued: None,
                            took: None,
                            counted: (false, 0),
                        };
                        held.early.remove(&id).into_iter().flatten().for_each(|early| known.put(early));
                        held.endpoints.insert(id.clone(), known);
                    }
                    held.settle(&id);
                }
                Effect::EndpointGone(id) => held.remove(&id),
                Effect::Delivery { endpoint, delivery } => match held.endpoints.get_mut(&endpoint) {
                    Some(known) => {
                        known.put(delivery);
                        held.settle(&endpoint);
                    }
                    None => held.early.entry(endpoint).or_default().push(delivery),
                },
                Effect::DeliveryGone { endpoint, number } => {
                    if let Some(known) = held.endpoints.get_mut(&endpoint) {
                        known.take(number);
                        held.settle(&endpoint);
                    }
                }
                Effect::Judged { id, verdict } => judged.push((id, verdict)),
                Effect::Dropped => metrics::dropped(),
            }
        }
        if !is_news {
            drop(held);
            judged.into_iter().for_each(|(id, verdict)| self.judged.give(&id, verdict));
            return;
        }
        let (all, disabled, waiting) = (held.endpoints.len(), held.disabled, held.waiting);
        drop(held);
        metrics::known(all, disabled, waiting);
        judged.into_iter().for_each(|(id, verdict)| self.judged.give(&id, verdict));
        self.news.notify_one();
    }

    /// An endpoint of an owner.
    pub fn get(&self, owner: &EndpointOwner, id: &str) -> Option<Arc<Endpoint>> {
        let held = self.held.read();
        let known = held.endpoints.get(id)?;
        (known.endpoint.owner == *owner).then(|| known.endpoint.clone())
    }

    /// How much waits for an endpoint, and how much failed and is still known.
    pub fn counts(&self, id: &str) -> (usize, usize) {
        let held = self.held.read();
        held.endpoints.get(id).map_or((0, 0), |known| {
            let failed = known.deliveries.values().filter(|it| it.state == State::Failed).count();
            (known.due.len(), failed)
        })
    }

    /// Up to `limit` endpoints of an owner whose names are after `after`.
    pub fn list(&self, owner: &EndpointOwner, after: Option<&str>, limit: usize) -> Vec<Arc<Endpoint>> {
        let held = self.held.read();
        let own = held.endpoints.values().map(|known| &known.endpoint).filter(|it| it.owner == *owner);
        own.filter(|it| after.is_none_or(|after| it.id.as_str() > after)).take(limit).cloned().collect()
    }

    /// The endpoints that are told what happens and of whose owners `is_gone` is true.
    pub(crate) fn ownerless(&self, mut is_gone: impl FnMut(&EndpointOwner) -> bool) -> Vec<Arc<Endpoint>> {
        let held = self.held.read();
        let enabled = held.endpoints.values().map(|known| &known.endpoint).filter(|it| it.disabled.is_none());
        enabled.filter(|it| is_gone(&it.owner)).cloned().collect()
    }

    /// Up to `limit` deliveries of an endpoint before `before`, newest first.
    pub fn deliveries(&self, id: &str, before: Option<u64>, limit: usize) -> Vec<Arc<Delivery>> {
        let held = self.held.read();
        let Some(known) = held.endpoints.get(id) else { return Vec::new() };
        known
            .deliveries
            .range(..before.unwrap_or(u64::MAX))
            .rev()
            .take(limit)
            .map(|(_, it)| it.clone())
            .collect()
    }

    /// How many endpoints there are, of all owners.
    pub(crate) fn all(&self) -> usize {
        self.held.read().endpoints.len()
    }

    /// The test that waits for an endpoint, if one does.
    pub(crate) fn waiting_test(&self, id: &str) -> Option<String> {
        let held = self.held.read();
        let known = held.endpoints.get(id)?;
        let mut waiting = known.due.iter().filter_map(|(_, number)| known.deliveries.get(number));
        waiting.find(|it| it.event.event == PING).map(|it| it.id.clone())
    }

    /// What is due at `now` of owners of whom `may` is true, as far as `turns` has places, which it takes; and when the next after
    /// `now` is. An owner with much to send is in nobody's way: each has one of its own before any has another, and whoever was
    /// served longest ago comes first. Of one owner the endpoint that was tried longest ago goes first, and of those what is due longest.
    pub(crate) fn due(
        &self,
        now: Timestamp,
        turns: &mut Turns,
        may: impl Fn(&EndpointOwner) -> bool,
    ) -> (Vec<Due>, Option<Timestamp>) {
        let held = self.held.read();
        let (mut ready, mut next) = (Vec::new(), None::<Timestamp>);
        for (owner, line) in held.lines.iter().filter(|(owner, _)| turns.has_room(owner)) {
            let (before, served, mut idle) = (turns.of(owner), turns.served(owner), Vec::new());
            for (at, number, id) in line.iter().filter(|(_, _, id)| !turns.is_busy(id)) {
                if *at > now {
                    next = Some(next.map_or(*at, |next| next.min(*at)));
                    break;
                }
                let tried = held.endpoints.get(id).and_then(|known| known.took).map(|(ended, _)| ended);
                idle.push((tried, *at, *number, id));
            }
            idle.sort_unstable();
            let in_turn = idle.into_iter().enumerate();
            ready.extend(
                in_turn.map(|(nth, (_, at, number, id))| (before + nth, served, at, number, owner, id)),
            );
        }
        ready.sort_unstable();
        let mut due = Vec::new();
        for (_, _, at, number, owner, id) in ready {
            if turns.is_full() {
                break;
            }
            let Some(known) = held.endpoints.get(id) else { continue };
            let Some(delivery) = known.deliveries.get(&number) else { continue };
            let took_ms = known.took.map(|(_, took_ms)| took_ms);
            if turns.has_room(owner) && may(owner) && turns.take(&known.endpoint, took_ms) {
                due.push(Due { endpoint: known.endpoint.clone(), delivery: delivery.clone(), at });
            }
        }
        (due, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn endpoint(id: &str, not_before: i64, disabled: bool) -> Effect {
        let not_before = Timestamp::from_ms(not_before);
        let disabled = disabled.then(|| (not_before, String::new()));
        let endpoint = samples::endpoint(id, &EndpointOwner::Operators);
        Effect::Endpoint(Arc::new(Endpoint { not_before, disabled, ..endpoint }))
    }

    fn delivery(endpoint: &str, number: u64, next: i64, state: State) -> Effect {
        let delivery = Delivery { state, ..samples::delivery(number, next) };
        Effect::Delivery { endpoint: endpoint.to_owned(), delivery: Arc::new(delivery) }
    }

    proptest::proptest! {
        /// The queue and the counts are what looking through everything gives, whatever is told in whatever order.
        #[test]
        fn what_is_due_and_how_much_waits_is_what_looking_at_everything_says(
            told in proptest::collection::vec((0u8..6, 0u8..5, 0u64..6, 0i64..20), 0..80), now in 0i64..20,
        ) {
            let view = View::default();
            for (what, id, number, at) in told {
                let id = format!("e{id}");
                view.hear(vec![match what {
                    0 => endpoint(&id, at, false),
                    1 => endpoint(&id, at, true),
                    2 => delivery(&id, number, at, State::Waiting),
                    3 => delivery(&id, number, at, State::Failed),
                    4 => Effect::DeliveryGone { endpoint: id, number },
                    _ => Effect::EndpointGone(id),
                }]);
            }
            let now = Timestamp::from_ms(now);
            let (mut expected, mut waiting, mut disabled, mut later) = (Vec::new(), 0, 0, None::<Timestamp>);
            for (id, known) in &view.held.read().endpoints {
                waiting += known.deliveries.values().filter(|it| it.state == State::Waiting).count();
                disabled += usize::from(known.endpoint.disabled.is_some());
                if known.endpoint.disabled.is_some() {
                    continue;
                }
                let first = known.deliveries.values().filter(|it| it.state == State::Waiting)
                    .map(|it| (it.next, it.number)).min();
                let Some((next, number)) = first else { continue };
                let at = next.max(known.endpoint.not_before);
                if at <= now {
                    expected.push((at, number, id.clone()));
                } else {
                    later = Some(later.map_or(at, |later| later.min(at)));
                }
            }
            expected.sort();
            let (due, next) = view.due(now, &mut Turns::endless(), |_| true);
            let found: Vec<_> =
                due.into_iter().map(|it| (it.at, it.delivery.number, it.endpoint.id.clone())).collect();
            proptest::prop_assert_eq!(found, expected);
            proptest::prop_assert_eq!(next, later);
            let held = view.held.read();
            proptest::prop_assert_eq!((held.waiting, held.disabled), (waiting, disabled));
        }
    }
}
