//! Endpoints whose owner has no key any more: they are told nothing from then on, and disabled once that has lasted a while, so that what
//! they are owed does not wait for ever. Who revokes a key and makes another one of the same name keeps its endpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stockade_model::{EndpointOwner, WebhookRecord, time::SECOND_MS};

use crate::endpoint::Endpoint;

/// How often it is looked, by the clock.
pub(crate) const LOOK_MS: i64 = SECOND_MS;
/// How long a key has to be gone: a key file is put back, and a key replaced by one of the same name, within that.
pub(crate) const GONE_MS: i64 = 600 * SECOND_MS;
/// Endpoints that are disabled at one look; the others follow at the next.
const TOGETHER_MAX: usize = 100;

/// Since when the owners of endpoints have no key, by the endpoint, in milliseconds of the clock.
#[derive(Default)]
pub(crate) struct Rights {
    since: BTreeMap<String, i64>,
    /// When it was looked last.
    looked_ms: Option<i64>,
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
    /// What is to be written of endpoints that are to be disabled, of those that `gone` finds: the endpoints that are told what happens and
    /// whose owners have no key. Written twice it is done once, so what the log does not take is simply said again at the next look.
    pub(crate) fn due(
        &mut self,
        now_ms: i64,
        gone: impl FnOnce() -> Vec<Arc<Endpoint>>,
    ) -> Vec<WebhookRecord> {
        if self.looked_ms.is_some_and(|last| (now_ms - last).abs() < LOOK_MS) {
            return Vec::new();
        }
        self.looked_ms = Some(now_ms);
        let gone = gone();
        let ids: BTreeSet<&str> = gone.iter().map(|endpoint| endpoint.id.as_str()).collect();
        self.since.retain(|id, _| ids.contains(id.as_str()));
        let mut due = Vec::new();
        for endpoint in &gone {
            let since_ms = *self.since.entry(endpoint.id.clone()).or_insert(now_ms);
            if now_ms - since_ms >= GONE_MS && due.len() < TOGETHER_MAX {
                let reason = reason(&endpoint.owner);
                tracing::warn!(webhook = endpoint.id, reason, "a webhook is disabled");
                due.push(WebhookRecord::OwnerGone { endpoint: endpoint.id.clone(), reason });
            }
        }
        due
    }
}
