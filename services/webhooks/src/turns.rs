//! Whose attempt is next: who has fewest under way, and of these whoever was served longest ago.
//!
//! None of it is stored. Whoever owns the fold next begins with what the deliveries tell.

use std::collections::BTreeMap;

use stockade_model::EndpointOwner;

use crate::{WebhooksConfig, endpoint::Endpoint, fold::ALL_MAX};

/// Attempts of one owner at once, over all its endpoints.
const OF_AN_OWNER_MAX: usize = 4;
/// Of these, to endpoints that were slow the last time.
const OF_AN_OWNER_SLOW_MAX: usize = 1;
/// One in so many places is the operators' own: they are to hear of what others do, whatever these do.
const OPERATORS_SHARE: usize = 4;
/// An attempt was slow when it took more than one part in so many of the time it may take.
const SLOW_SHARE: u64 = 3;
/// Owners of whom it is known when they were served last.
const SERVED_MAX: usize = 2 * ALL_MAX;

/// What is under way of one owner.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    all: usize,
    slow: usize,
}

/// Places for attempts, and who has them.
#[derive(Debug)]
pub(crate) struct Turns {
    at_once: usize,
    /// Places that only operators take.
    kept: usize,
    of_an_owner: usize,
    slow_ms: u64,
    /// By endpoint: whose it is, and whether it was slow the last time.
    under_way: BTreeMap<String, (EndpointOwner, bool)>,
    own: BTreeMap<EndpointOwner, Own>,
    /// When each owner was served last, counted in attempts.
    served: BTreeMap<EndpointOwner, u64>,
    attempts: u64,
}

impl Turns {
    pub(crate) fn new(config: &WebhooksConfig) -> Self {
        Self {
            at_once: config.at_once,
            // Of a single place none is kept.
            kept: if config.at_once > 1 { (config.at_once / OPERATORS_SHARE).max(1) } else { 0 },
            of_an_owner: OF_AN_OWNER_MAX,
            slow_ms: config.deadline_ms / SLOW_SHARE,
            under_way: BTreeMap::new(),
            own: BTreeMap::new(),
            served: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// A place for everybody.
    #[cfg(test)]
    pub(crate) fn endless() -> Self {
        let config = WebhooksConfig { at_once: usize::MAX, ..WebhooksConfig::default() };
        Self { of_an_owner: usize::MAX, slow_ms: u64::MAX, ..Self::new(&config) }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.under_way.len() >= self.at_once
    }

    pub(crate) fn is_busy(&self, endpoint: &str) -> bool {
        self.under_way.contains_key(endpoint)
    }

    /// How much is under way of an owner.
    pub(crate) fn of(&self, owner: &EndpointOwner) -> usize {
        self.own(owner).all
    }

    /// When an owner was served last, counted in attempts; 0 when never.
    pub(crate) fn served(&self, owner: &EndpointOwner) -> u64 {
        self.served.get(owner).copied().unwrap_or(0)
    }

    fn own(&self, owner: &EndpointOwner) -> Own {
        self.own.get(owner).copied().unwrap_or_default()
    }

    /// Whether there is a place for one more of an owner.
    pub(crate) fn has_room(&self, owner: &EndpointOwner) -> bool {
        if self.is_full() {
            return false;
        }
        let own = self.of(owner);
        if *owner == EndpointOwner::Operators {
            return own < self.of_an_owner.max(self.kept);
        }
        let others = self.under_way.len() - self.of(&EndpointOwner::Operators);
        own < self.of_an_owner && others < self.at_once - self.kept
    }

    /// Takes a place for an endpoint, if there is one; `took_ms` is how long its last attempt took.
    pub(crate) fn take(&mut self, endpoint: &Endpoint, took_ms: Option<u64>) -> bool {
        let owner = &endpoint.owner;
        let is_slow = took_ms.is_some_and(|took_ms| took_ms > self.slow_ms);
        let slow_max = match owner {
            // In their own places they are in nobody's way.
            EndpointOwner::Operators => self.kept.max(OF_AN_OWNER_SLOW_MAX),
            _ => OF_AN_OWNER_SLOW_MAX,
        };
        if self.is_busy(&endpoint.id)
            || !self.has_room(owner)
            || (is_slow && self.own(owner).slow >= slow_max)
        {
            return false;
        }
        self.under_way.insert(endpoint.id.clone(), (owner.clone(), is_slow));
        let own = self.own.entry(owner.clone()).or_default();
        own.all += 1;
        own.slow += usize::from(is_slow);
        self.attempts += 1;
        self.served.insert(owner.clone(), self.attempts);
        if self.served.len() > SERVED_MAX {
            // Whoever was served before all of these is as good as never served.
            let since = self.attempts.saturating_sub(ALL_MAX as u64);
            self.served.retain(|_, served| *served > since);
        }
        true
    }

    /// The attempt to an endpoint has ended.
    pub(crate) fn end(&mut self, endpoint: &str) {
        let Some((owner, was_slow)) = self.under_way.remove(endpoint) else { return };
        if let Some(own) = self.own.get_mut(&owner) {
            own.all -= 1;
            own.slow -= usize::from(was_slow);
            if own.all == 0 {
                self.own.remove(&owner);
            }
        }
    }

    /// Nothing is under way.
    pub(crate) fn clear(&mut self) {
        self.under_way.clear();
        self.own.clear();
    }
}

#[cfg(test)]
mod tests;
