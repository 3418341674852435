//! Webhooks in this process: the fold, what its API sees, and the sender.

use std::sync::Arc;

use anyhow::Result;
use stockade_model::EndpointOwner;
use stockade_runtime::{KeyRing, Limits, Role};
use stockade_webhooks::{Master, Right, Sender, View, Webhooks, WebhooksApi, WebhooksConfig, webhooks_spec};

use super::Runner;

/// What webhooks need of whoever starts a platform.
#[derive(Clone, Debug)]
pub struct WebhooksHere {
    /// What they may do.
    pub config: WebhooksConfig,
    /// What their secrets derive from.
    pub master: Master,
}

pub(super) fn start_webhooks(
    runner: &mut Runner<'_>,
    partitions: u32,
    (limits, keys): (&Limits, &KeyRing),
    here: Option<WebhooksHere>,
    instance: &str,
) -> Result<WebhooksApi> {
    let view = View::default();
    let told = view.clone();
    let hear = move |_, effects| told.hear(effects);
    runner.fold(webhooks_spec(partitions), |_| Webhooks::default(), hear)?;
    let log = runner.log.clone();
    let Some(WebhooksHere { config, master }) = here else {
        return Ok(WebhooksApi::new(log, view, None, limits.clone(), false));
    };
    // What is for one key alone ends with that key, and what is for a supplier with its last one.
    let keys = keys.clone();
    let listens = move |owner: &EndpointOwner| {
        let has = match owner {
            EndpointOwner::Buyer { key } => keys.role_of(key) == Some(Role::Buyer),
            EndpointOwner::OrderSystem { key } => keys.role_of(key) == Some(Role::OrderSystem),
            EndpointOwner::Supplier { supplier } => keys.has_key_of(supplier),
            EndpointOwner::Operators => true,
        };
        match has {
            true => Right::Has,
            // A file that is not there yet is no reason to take anybody for gone, and none to tell anybody anything.
            false if keys.is_empty() => Right::Unknown,
            false => Right::Lost,
        }
    };
    let parts = (log.clone(), runner.clock.clone(), runner.board.clone());
    let sender = Sender::new((view.clone(), master.clone()), parts, &config, Arc::new(listens), instance)
        .map_err(anyhow::Error::msg)?;
    let end = runner.shutdown.wait();
    runner.tasks.spawn(async move {
        Arc::new(sender).run(end).await;
        Ok(())
    });
    Ok(WebhooksApi::new(log, view, Some(master), limits.clone(), config.allow_loopback))
}
