//! The webhooks fold: who hears of what, what is owed to whom, and when it is tried again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use stockade_fold::{AnyTable, Fold, Input, Out, Table};
use stockade_model::{
    Attempt, AttemptFailure, Audience, EndpointAsk, EndpointOwner, Notice, Payload, Timestamp, WebhookRecord,
    hash::identity128,
    time::{DAY_MS, SECOND_MS},
};

use crate::{
    endpoint::{Delivery, Endpoint, Event, Former, State, Try},
    schedule,
};

/// What may be told, by name.
pub const EVENT_TYPES: [&str; 10] = [
    "decision.restricted",
    "decision.extended",
    "decision.restored",
    "appeal.opened",
    "appeal.answered",
    "reservation.at_risk",
    "import.finished",
    "rule.held_back",
    DISABLED,
    PING,
];
pub(crate) const PING: &str = "ping";
pub(crate) const DISABLED: &str = "webhook.disabled";
/// What concerns the buyer of a reservation.
const OF_BUYERS: [&str; 1] = ["reservation.at_risk"];
/// What concerns the platform itself; all else that happens concerns a supplier.
const OF_OPERATORS: [&str; 1] = ["rule.held_back"];

/// Whether endpoints of `owner` can ever be told of such an event.
pub(crate) fn may_hear(owner: &EndpointOwner, event: &str) -> bool {
    let of_buyers = OF_BUYERS.contains(&event);
    let of_owner = match owner {
        EndpointOwner::Operators => true,
        EndpointOwner::Supplier { .. } => !of_buyers && !OF_OPERATORS.contains(&event),
        EndpointOwner::Buyer { .. } | EndpointOwner::OrderSystem { .. } => of_buyers,
    };
    of_owner || [PING, DISABLED].contains(&event)
}

/// Endpoints of one owner, and of all.
const OWN_MAX: usize = 20;
pub(crate) const ALL_MAX: usize = 10_000;
/// What waits for one endpoint; past it the oldest is dropped, and counted.
pub(crate) const WAITING_MAX: usize = 1_000;
/// What is kept of what one endpoint was told or not told, for looking at it and for telling it again.
pub(crate) const FINISHED_MAX: usize = 200;
/// Attempts that are kept of a delivery.
const TRIES_MAX: usize = 14;
/// How long a secret signs beside the one that replaced it.
pub(crate) const FORMER_SIGNS_MS: i64 = DAY_MS;
/// Secrets that sign beside the one in force, each until its own day is over. Whoever renews more often in a day gives up the oldest
/// sooner, or the header of signatures would have no end.
const FORMERS_MAX: usize = 16;
/// When the process could not even make the request, it is tried again after this time; that counts for nothing.
const UNSENT_PAUSE_MS: i64 = 30 * SECOND_MS;
/// The status of an endpoint that is gone for good.
const GONE: u16 = 410;

/// Why what was asked was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such endpoint of this owner.
    NoSuchEndpoint,
    /// The owner has one with this address.
    SameAddress,
    /// The owner has as many as there may be.
    TooMany,
    /// The installation has as many as there may be.
    Full,
    /// It has no such delivery, or none any more.
    NoSuchDelivery,
    /// It is disabled, so nothing can be told to it.
    Disabled,
}

/// What the fold tells its process.
#[derive(Clone, Debug)]
pub enum Effect {
    /// What an endpoint is now.
    Endpoint(Arc<Endpoint>),
    /// An endpoint is no more.
    EndpointGone(String),
    /// What a delivery is now.
    Delivery {
        /// Whose.
        endpoint: String,
        /// The delivery.
        delivery: Arc<Delivery>,
    },
    /// A delivery is no longer known.
    DeliveryGone {
        /// Whose.
        endpoint: String,
        /// Which.
        number: u64,
    },
    /// A record was judged: the delivery it made or moved, if one.
    Judged {
        /// Id of the record.
        id: String,
        /// What became of it.
        verdict: Result<Option<String>, Refusal>,
    },
    /// What an endpoint was owed was dropped unsent.
    Dropped,
}

/// Deliveries of one endpoint by where they stand, and by their names.
#[derive(Default)]
struct Lane {
    waiting: BTreeSet<u64>,
    finished: BTreeSet<u64>,
    names: HashMap<String, u64>,
}

impl Lane {
    fn put(&mut self, delivery: &Delivery) {
        let (to, from) = match delivery.state {
            State::Waiting => (&mut self.waiting, &mut self.finished),
            State::Delivered | State::Failed => (&mut self.finished, &mut self.waiting),
        };
        from.remove(&delivery.number);
        to.insert(delivery.number);
        self.names.insert(delivery.id.clone(), delivery.number);
    }
    fn take(&mut self, delivery: &Delivery) {
        self.waiting.remove(&delivery.number);
        self.finished.remove(&delivery.number);
        self.names.remove(&delivery.id);
    }
}

/// The fold.
pub struct Webhooks {
    endpoints: Table<String, Endpoint>,
    /// By endpoint and number.
    deliveries: Table<String, Delivery>,
    owners: BTreeMap<EndpointOwner, BTreeSet<String>>,
    lanes: HashMap<String, Lane>,
}

impl Default for Webhooks {
    fn default() -> Self {
        let (endpoints, deliveries) = (Table::new(1), Table::new(2));
        Self { endpoints, deliveries, owners: BTreeMap::new(), lanes: HashMap::new() }
    }
}

fn row(endpoint: &str, number: u64) -> String {
    format!("{endpoint}/{number:020}")
}

/// What is sent of a notice. Written once, for it is signed to the byte.
fn body(event: &str, at: Timestamp, data: &serde_json::Value) -> Arc<str> {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        r#type: &'a str,
        timestamp: Timestamp,
        data: &'a serde_json::Value,
    }
    let text = stockade_model::encode::json(&Body { r#type: event, timestamp: at, data });
    String::from_utf8_lossy(&text).into()
}

impl Webhooks {
    /// Puts an endpoint, and tells of it.
    fn put(&mut self, endpoint: Endpoint, out: &mut Out<Effect>) {
        self.owners.entry(endpoint.owner.clone()).or_default().insert(endpoint.id.clone());
        out.effect(Effect::Endpoint(Arc::new(endpoint.clone())));
        self.endpoints.insert(endpoint.id.clone(), endpoint);
    }

    fn set(&mut self, endpoint: &str, delivery: Delivery, out: &mut Out<Effect>) {
        self.lanes.entry(endpoint.to_owned()).or_default().put(&delivery);
        out.effect(Effect::Delivery { endpoint: endpoint.to_owned(), delivery: Arc::new(delivery.clone()) });
        self.deliveries.insert(row(endpoint, delivery.number), delivery);
        let beyond =
            |lane: &Lane| (lane.finished.len() > FINISHED_MAX).then(|| lane.finished.first().copied());
        if let Some(oldest) = self.lanes.get(endpoint).and_then(beyond).flatten() {
            self.forget(endpoint, oldest, out);
        }
    }

    fn forget(&mut self, endpoint: &str, number: u64, out: &mut Out<Effect>) {
        let Some(gone) = self.deliveries.remove(&row(endpoint, number)) else { return };
        if let Some(lane) = self.lanes.get_mut(endpoint) {
            lane.take(&gone);
        }
        out.effect(Effect::DeliveryGone { endpoint: endpoint.to_owned(), number });
    }

    /// The endpoints that may hear of what concerns `audience`.
    fn hearers(&self, audience: &Audience) -> Vec<String> {
        let order_systems = EndpointOwner::OrderSystem { key: String::new() };
        let own = match audience {
            Audience::Supplier { supplier } => Some(EndpointOwner::Supplier { supplier: supplier.clone() }),
            Audience::Buyer { key } => Some(EndpointOwner::Buyer { key: key.clone() }),
            // They are among the others, who hear of more than what is their own.
            Audience::Operators => None,
        };
        let own = own.and_then(|own| self.owners.get(&own)).into_iter();
        let others = self.owners.range(order_systems..).filter(|(owner, _)| owner.hears(audience));
        own.chain(others.map(|(_, endpoints)| endpoints)).flatten().cloned().collect()
    }

    /// Owes what happened to everybody who wants to hear of it.
    fn notice(&mut self, notice: &Notice, (number, now): (u64, Timestamp), out: &mut Out<Effect>) {
        let hearers = self.hearers(&notice.audience);
        let wants = |id: &String| {
            let wants = |it: &&Endpoint| it.disabled.is_none() && it.wants(&notice.event, &notice.audience);
            self.endpoints.get(id).is_some_and(|endpoint| wants(&endpoint))
        };
        let wanting: Vec<String> = hearers.into_iter().filter(wants).collect();
        if wanting.is_empty() {
            return;
        }
        let event = Arc::new(Event {
            id: notice.id.clone(),
            event: notice.event.clone(),
            at: notice.at,
            body: body(&notice.event, notice.at, &notice.data),
        });
        for endpoint in wanting {
            self.owe(&endpoint, &event, (number, now), out);
        }
    }

    /// Owes one event to one endpoint, unless it was owed before; its name.
    fn owe(
        &mut self,
        endpoint: &str,
        event: &Arc<Event>,
        (number, now): (u64, Timestamp),
        out: &mut Out<Effect>,
    ) -> String {
        let id = format!("msg_{:032x}", identity128(&[endpoint, &event.id]));
        let lane = self.lanes.entry(endpoint.to_owned()).or_default();
        if lane.names.contains_key(&id) {
            return id;
        }
        let too_many = (lane.waiting.len() >= WAITING_MAX).then(|| lane.waiting.first().copied()).flatten();
        if let Some(oldest) = too_many {
            self.forget(endpoint, oldest, out);
            if let Some(mut held) = self.endpoints.get(endpoint).cloned() {
                held.dropped += 1;
                self.put(held, out);
            }
            out.effect(Effect::Dropped);
        }
        let delivery = Delivery {
            id: id.clone(),
            number,
            event: event.clone(),
            state: State::Waiting,
            owed: now,
            attempts: 0,
            attempts_ever: 0,
            next: now,
            tries: Vec::new(),
        };
        self.set(endpoint, delivery, out);
        id
    }

    fn own(&self, endpoint: &str, by: &EndpointOwner) -> Result<Endpoint, Refusal> {
        let held = self.endpoints.get(endpoint).filter(|held| held.owner == *by);
        held.cloned().ok_or(Refusal::NoSuchEndpoint)
    }

    /// Refuses an address that the owner is told at already.
    fn new_address(&self, by: &EndpointOwner, but: &str, url: &str) -> Result<usize, Refusal> {
        let mut own = self.owners.get(by).into_iter().flatten();
        let count = own.clone().count();
        let same = |id: &String| id != but && self.endpoints.get(id).is_some_and(|held| held.url == url);
        if own.any(same) { Err(Refusal::SameAddress) } else { Ok(count) }
    }

    fn ask(
        &mut self,
        (endpoint, by): (&str, &EndpointOwner),
        what: &EndpointAsk,
        input: &Input<'_>,
        out: &mut Out<Effect>,
    ) -> Result<Option<String>, Refusal> {
        let now = input.time;
        if let EndpointAsk::Create { url, events, description, master } = what {
            let count = self.new_address(by, "", url)?;
            if count >= OWN_MAX || self.endpoints.get(endpoint).is_some() {
                return Err(Refusal::TooMany);
            } else if self.endpoints.len() >= ALL_MAX {
                return Err(Refusal::Full);
            }
            let made = Endpoint {
                id: endpoint.to_owned(),
                owner: by.clone(),
                url: url.clone(),
                events: events.clone(),
                description: description.clone(),
                created: now,
                secret: 0,
                former: Vec::new(),
                former_until: None,
                master: master.clone(),
                disabled: None,
                failures: 0,
                failing_since: None,
                not_before: now,
                taken_at: None,
                dropped: 0,
            };
            self.put(made, out);
            return Ok(None);
        }
        let mut held = self.own(endpoint, by)?;
        match what {
            EndpointAsk::Create { .. } => {}
            EndpointAsk::Change { url, events, description, enabled } => {
                if let Some(url) = url {
                    self.new_address(by, endpoint, url)?;
                    if held.url != *url {
                        held.url.clone_from(url);
                        begin_anew(&mut held, now);
                    }
                }
                if let Some(events) = events {
                    held.events.clone_from(events);
                }
                if let Some(description) = description {
                    held.description = Some(description.clone()).filter(|text| !text.is_empty());
                }
                match enabled {
                    Some(true) if held.disabled.is_some() => {
                        held.disabled = None;
                        begin_anew(&mut held, now);
                    }
                    Some(false) if held.disabled.is_none() => {
                        self.disable(&mut held, "its owner disabled it", now, out);
                    }
                    _ => {}
                }
                self.put(held, out);
            }
            EndpointAsk::Rotate { master } => {
                // Of another key of the installation nobody here has the former secrets.
                let is_same = held.master == *master;
                let mut former = if is_same { held.formers(now) } else { Vec::new() };
                if former.len() >= FORMERS_MAX {
                    former.remove(0);
                }
                let until = now.plus_ms(FORMER_SIGNS_MS);
                former.extend(is_same.then_some(Former { secret: held.secret, until }));
                (held.former, held.former_until) = (former, is_same.then_some(until));
                held.master.clone_from(master);
                held.secret += 1;
                self.put(held, out);
            }
            EndpointAsk::Delete => self.remove(&held, out),
            EndpointAsk::Test => {
                enabled(&held)?;
                let (id, data) =
                    (format!("ping-{}", input.offset), serde_json::json!({ "webhook": endpoint }));
                let body = body(PING, now, &data);
                let event = Event { id, event: PING.to_owned(), at: now, body };
                return Ok(Some(self.owe(endpoint, &Arc::new(event), (input.offset, now), out)));
            }
            EndpointAsk::Redeliver { delivery } => {
                enabled(&held)?;
                let number = self.lanes.get(endpoint).and_then(|lane| lane.names.get(delivery)).copied();
                self.again(endpoint, number.ok_or(Refusal::NoSuchDelivery)?, now, out);
                return Ok(Some(delivery.clone()));
            }
            EndpointAsk::Replay { since } => {
                enabled(&held)?;
                let finished = self.lanes.get(endpoint).map(|lane| lane.finished.clone()).unwrap_or_default();
                let happened = |number: &u64| {
                    self.deliveries.get(&row(endpoint, *number)).is_some_and(|it| it.event.at >= *since)
                };
                let again: Vec<u64> = finished.into_iter().filter(happened).collect();
                again.into_iter().for_each(|number| self.again(endpoint, number, now, out));
            }
        }
        Ok(None)
    }

    /// A delivery is owed anew.
    fn again(&mut self, endpoint: &str, number: u64, now: Timestamp, out: &mut Out<Effect>) {
        let Some(held) = self.deliveries.get(&row(endpoint, number)).cloned() else { return };
        self.set(
            endpoint,
            Delivery { state: State::Waiting, owed: now, attempts: 0, next: now, ..held },
            out,
        );
    }

    fn remove(&mut self, endpoint: &Endpoint, out: &mut Out<Effect>) {
        if let Some(lane) = self.lanes.remove(&endpoint.id) {
            for number in lane.waiting.iter().chain(&lane.finished) {
                self.deliveries.remove(&row(&endpoint.id, *number));
            }
        }
        self.endpoints.remove(&endpoint.id);
        if let Some(own) = self.owners.get_mut(&endpoint.owner) {
            own.remove(&endpoint.id);
            if own.is_empty() {
                self.owners.remove(&endpoint.owner);
            }
        }
        out.effect(Effect::EndpointGone(endpoint.id.clone()));
    }

    /// Tells an endpoint nothing more: what waits is given up, and can be asked for once it is enabled again.
    fn disable(&mut self, endpoint: &mut Endpoint, why: &str, now: Timestamp, out: &mut Out<Effect>) {
        endpoint.disabled = Some((now, why.to_owned()));
        let waiting = self.lanes.get(&endpoint.id).map(|lane| lane.waiting.clone()).unwrap_or_default();
        for number in waiting {
            if let Some(held) = self.deliveries.get(&row(&endpoint.id, number)).cloned() {
                self.set(&endpoint.id, Delivery { state: State::Failed, ..held }, out);
            }
        }
    }

    /// Takes note of an attempt. Whoever disables an endpoint by it tells the owner's others.
    fn attempted(
        &mut self,
        (endpoint, delivery, before): (&str, &str, u32),
        attempt: &Attempt,
        (input, at): (&Input<'_>, Option<Timestamp>),
        out: &mut Out<Effect>,
    ) {
        let now = at.map_or(input.time, |at| at.max(input.time));
        let number = self.lanes.get(endpoint).and_then(|lane| lane.names.get(delivery)).copied();
        let held = number.and_then(|number| self.deliveries.get(&row(endpoint, number)).cloned());
        let (Some(mut it), Some(mut whose)) = (held, self.endpoints.get(endpoint).cloned()) else { return };
        // One that was given up or taken meanwhile, or a result that came twice.
        if it.state != State::Waiting || it.attempts_ever != before {
            return;
        }
        it.attempts_ever += 1;
        it.tries.push(Try {
            at: now,
            status: attempt.status,
            failure: attempt.failure,
            detail: attempt.detail.clone(),
            latency_ms: attempt.latency_ms,
        });
        if it.tries.len() > TRIES_MAX {
            it.tries.remove(0);
        }
        let mut disabled = None;
        match attempt.failure {
            None => {
                it.state = State::Delivered;
                begin_anew(&mut whose, now);
                whose.taken_at = Some(now);
            }
            // It is this side's fault and no failure of the endpoint; all that it is owed waits for as long.
            Some(AttemptFailure::Unsent) => {
                it.next = now.plus_ms(UNSENT_PAUSE_MS);
                whose.not_before = it.next;
            }
            Some(_) => {
                it.attempts += 1;
                whose.failures += 1;
                let failing_since = *whose.failing_since.get_or_insert(now);
                let asked = attempt.retry_after_ms.map_or(0, schedule::asked_ms);
                whose.not_before = now.plus_ms(schedule::rest_ms(endpoint, whose.failures).max(asked));
                match schedule::pause_ms(&it.id, it.attempts) {
                    Some(pause) => it.next = now.plus_ms(pause.max(asked)),
                    None => it.state = State::Failed,
                }
                if attempt.status == Some(GONE) {
                    disabled = Some("it answered 410 Gone".to_owned());
                } else if now.ms() - failing_since.ms() >= schedule::DISABLE_AFTER_MS {
                    disabled = Some(format!("every attempt since {failing_since} failed"));
                }
            }
        }
        self.set(endpoint, it, out);
        if let Some(why) = &disabled {
            self.disable(&mut whose, why, now, out);
        }
        let told = whose.clone();
        self.put(whose, out);
        if let Some(why) = disabled {
            let data = serde_json::json!({ "webhook": told.id, "url": told.url, "reason": why });
            self.tell_disabled((&told, &told.owner), &data, (input.offset, now), out);
        }
    }

    /// Tells those endpoints of an owner that want to hear of it that one was disabled.
    fn tell_disabled(
        &mut self,
        (endpoint, to): (&Endpoint, &EndpointOwner),
        data: &serde_json::Value,
        (offset, now): (u64, Timestamp),
        out: &mut Out<Effect>,
    ) {
        let id = format!("disabled-{}-{offset}", endpoint.id);
        let event = Event { id, event: DISABLED.to_owned(), at: now, body: body(DISABLED, now, data) };
        let event = Arc::new(event);
        let wants = |held: &Endpoint| {
            held.disabled.is_none() && (held.events.is_empty() || held.events.iter().any(|it| it == DISABLED))
        };
        let own = self.owners.get(to).into_iter().flatten();
        let wanting: Vec<String> =
            own.filter(|id| self.endpoints.get(*id).is_some_and(wants)).cloned().collect();
        for other in &wanting {
            self.owe(other, &event, (offset, now), out);
        }
    }

    /// Disables an endpoint whose owner has no key any more. All of that owner's end with it, so it is the operators who are told.
    fn owner_gone(
        &mut self,
        endpoint: &str,
        reason: &str,
        (offset, now): (u64, Timestamp),
        out: &mut Out<Effect>,
    ) {
        let held = self.endpoints.get(endpoint).filter(|held| held.disabled.is_none()).cloned();
        let Some(mut held) = held else { return };
        self.disable(&mut held, reason, now, out);
        self.put(held.clone(), out);
        let data = serde_json::json!({
            "webhook": held.id, "url": held.url, "reason": reason, "of": held.owner,
        });
        self.tell_disabled((&held, &EndpointOwner::Operators), &data, (offset, now), out);
    }
}

fn enabled(endpoint: &Endpoint) -> Result<(), Refusal> {
    if endpoint.disabled.is_some() { Err(Refusal::Disabled) } else { Ok(()) }
}

/// Nothing failed of late.
fn begin_anew(endpoint: &mut Endpoint, now: Timestamp) {
    endpoint.failures = 0;
    endpoint.failing_since = None;
    endpoint.not_before = now;
}

impl Fold for Webhooks {
    type Effect = Effect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<Effect>) {
        let Payload::Webhook(record) = input.payload else { return };
        let verdict = match record {
            WebhookRecord::Notice(notice) => {
                self.notice(notice, (input.offset, input.time), out);
                Ok(None)
            }
            WebhookRecord::Asked { endpoint, by, what } => self.ask((endpoint, by), what, input, out),
            WebhookRecord::OwnerGone { endpoint, reason } => {
                self.owner_gone(endpoint, reason, (input.offset, input.time), out);
                Ok(None)
            }
            WebhookRecord::Attempted { endpoint, delivery, before, attempt, at } => {
                self.attempted((endpoint, delivery, *before), attempt, (input, *at), out);
                Ok(None)
            }
        };
        // Last, so that whoever waits for it finds everything else told.
        if !input.envelope.id.is_empty() {
            out.effect(Effect::Judged { id: input.envelope.id.clone(), verdict });
        }
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.endpoints, &mut self.deliveries]
    }

    fn restored(&mut self, effects: &mut Vec<Effect>) {
        for (id, endpoint) in self.endpoints.iter() {
            self.owners.entry(endpoint.owner.clone()).or_default().insert(id.clone());
            effects.push(Effect::Endpoint(Arc::new(endpoint.clone())));
        }
        for (key, delivery) in self.deliveries.iter() {
            let endpoint = key.rsplit_once('/').map_or(key.as_str(), |(endpoint, _)| endpoint);
            self.lanes.entry(endpoint.to_owned()).or_default().put(delivery);
            let (endpoint, delivery) = (endpoint.to_owned(), Arc::new(delivery.clone()));
            effects.push(Effect::Delivery { endpoint, delivery });
        }
    }
}

#[cfg(test)]
mod tests;
