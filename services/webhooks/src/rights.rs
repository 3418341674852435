//! Endpoints whose owner has no key any more: they are told nothing from then on, and disabled once that has lasted a while, so that what
//! they are owed does not wait for ever. Who revokes a key and makes another one of the same name keeps its endpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use stockade_model::{EndpointOwner, WebhookRecord, time::SECOND_MS};
use tokio::time::Instant;

use crate::sender::Sender;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How long a key has to be gone: a key file is put back, and a key replaced by one of the same name, within that.
pub(crate) const GONE_MS: i64 = 600 * SECOND_MS;
/// Endpoints that are disabled at one look; the others follow at the next.
const TOGETHER_MAX: usize = 100;

/// Since when the owners of endpoints have no key, by the endpoint, in milliseconds of the clock.
#[derive(Default)]
pub(crate) struct Rights {
    since: BTreeMap<String, i64>,
    looked: Option<Instant>,
}

/// What is gone, in a sentence.
fn reason(owner: &EndpointOwner) -> String {
    match owner {
        EndpointOwner::Supplier { supplier } => format!("every key of the supplier {supplier} was revoked"),
        EndpointOwner::Buyer { key } | EndpointOwner::OrderSystem { key } => {
            format!("the key {key} was revoked, or has another role now")
        }
        EndpointOwner::Operators => "there are no operators any more".to_owned(),
    }
}

impl Rights {
    /// Looks whose owners are gone, and has those disabled that have been for long.
    pub(crate) async fn look(&mut self, sender: &Sender) {
        let now_ms = sender.clock_ms();
        if self.looked.replace(Instant::now()).is_some_and(|last| last.elapsed() < LOOK) {
            return;
        }
        let gone = sender.ownerless();
        let ids: BTreeSet<&str> = gone.iter().map(|endpoint| endpoint.id.as_str()).collect();
        self.since.retain(|id, _| ids.contains(id.as_str()));
        let mut due = Vec::new();
        for endpoint in gone {
            let since_ms = *self.since.entry(endpoint.id.clone()).or_insert(now_ms);
            if now_ms - since_ms >= GONE_MS && due.len() < TOGETHER_MAX {
                due.push(endpoint);
            }
        }
        for endpoint in due {
            let reason = reason(&endpoint.owner);
            tracing::warn!(webhook = endpoint.id, reason, "a webhook is disabled");
            let record = WebhookRecord::OwnerGone { endpoint: endpoint.id.clone(), reason };
            // What the log does not take is found again at the next look.
            if !sender.append_soon(record).await {
                tracing::warn!(webhook = endpoint.id, "it cannot be disabled yet: the log does not take it");
                return;
            }
            // Until the fold has it, it is not asked for again.
            self.since.insert(endpoint.id.clone(), now_ms);
        }
    }
}
