//! What this process knows of endpoints and deliveries, as the fold tells it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;
use stockade_model::{EndpointOwner, Timestamp};
use stockade_runtime::Waiters;
use tokio::sync::Notify;

use crate::{
    endpoint::{Delivery, Endpoint, State},
    fold::{Effect, Refusal},
    metrics,
};

struct Known {
    endpoint: Arc<Endpoint>,
    deliveries: BTreeMap<u64, Arc<Delivery>>,
    /// What waits, by when it is tried next.
    due: BTreeSet<(Timestamp, u64)>,
}

#[derive(Default)]
struct Held {
    endpoints: BTreeMap<String, Known>,
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
    /// What is tried next, and when: not before the endpoint's rest is over.
    fn next(&self) -> Option<Due> {
        let (next, number) = self.due.first()?;
        let delivery = self.deliveries.get(number)?.clone();
        let endpoint = self.endpoint.clone();
        endpoint.disabled.is_none().then(|| Due { at: (*next).max(endpoint.not_before), endpoint, delivery })
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
                        continue;
                    }
                    let mut known = Known { endpoint, deliveries: BTreeMap::new(), due: BTreeSet::new() };
                    held.early.remove(&id).into_iter().flatten().for_each(|early| known.put(early));
                    held.endpoints.insert(id, known);
                }
                Effect::EndpointGone(id) => drop(held.endpoints.remove(&id)),
                Effect::Delivery { endpoint, delivery } => match held.endpoints.get_mut(&endpoint) {
                    Some(known) => known.put(delivery),
                    None => held.early.entry(endpoint).or_default().push(delivery),
                },
                Effect::DeliveryGone { endpoint, number } => {
                    if let Some(known) = held.endpoints.get_mut(&endpoint) {
                        known.take(number);
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
        let (all, disabled) = held.endpoints.values().fold((0, 0), |(all, disabled), known| {
            (all + 1, disabled + usize::from(known.endpoint.disabled.is_some()))
        });
        let waiting = held.endpoints.values().map(|known| known.due.len()).sum();
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

    /// What is next of each endpoint that is not `busy`, the earliest first.
    pub(crate) fn due(&self, busy: &BTreeSet<String>) -> Vec<Due> {
        let held = self.held.read();
        let idle = held.endpoints.iter().filter(|(id, _)| !busy.contains(*id));
        let mut due: Vec<Due> = idle.filter_map(|(_, known)| known.next()).collect();
        due.sort_by_key(|it| (it.at, it.delivery.number));
        due
    }
}
