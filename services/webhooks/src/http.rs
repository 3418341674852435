//! The calls about endpoints.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use stockade_log::{Ack, LogError, SharedLog};
use stockade_model::{EndpointAsk, EndpointOwner, Timestamp, WebhookRecord, hash::hex};
use stockade_runtime::{
    Caller, Edge, FieldError, Limits, ListQuery, Params, Parsed, Path, Problem, Role, text,
};

use crate::{
    View,
    endpoint::{Delivery, Endpoint, State as Stands, Try},
    fold::{ALL_MAX, EVENT_TYPES, Refusal, may_hear},
    master::{Master, random},
    sender::new_record,
    target::Target,
};

/// How long an answer waits for the fold.
const DEADLINE: Duration = Duration::from_secs(5);
/// The allowance that these calls take from.
const STAFF: &str = "staff";
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 200;
/// Of all endpoints there may be, so many are for operators, however many accounts others have: ten times what they may have, for some
/// that are asked for at the same moment pass by the count.
const OPERATORS_KEPT: usize = 200;
/// Longest address, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// What the handlers need.
#[derive(Clone)]
pub struct WebhooksApi {
    log: SharedLog,
    view: View,
    /// None where this process was given no key to derive secrets from.
    master: Option<Master>,
    limits: Limits,
    allow_loopback: bool,
    /// Endpoints whose test is being written: it does not show yet.
    testing: Arc<Mutex<BTreeSet<String>>>,
}

/// The only test of an endpoint that is being written, until this is dropped.
struct Testing {
    all: Arc<Mutex<BTreeSet<String>>>,
    endpoint: String,
}

impl Drop for Testing {
    fn drop(&mut self) {
        self.all.lock().remove(&self.endpoint);
    }
}

impl Edge for WebhooksApi {
    fn limits(&self) -> &Limits {
        &self.limits
    }
}

type Answer = Result<Response, Problem>;

/// Roles whose keys may have endpoints, as on the command line.
pub(crate) const ROLES: [&str; 4] = ["supplier", "buyer", "order-system", "operator"];

/// An endpoint as its owner sees it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Webhook")]
pub(crate) struct Told {
    webhook: String,
    url: String,
    /// What it hears of; everything that its owner may when empty.
    events: Vec<String>,
    description: Option<String>,
    enabled: bool,
    /// Since when and why it is told nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<DisabledSince>,
    /// Why nothing can be sent to its address as this server is set up now, as to one on this machine once the server is not set up to try
    /// webhooks there any more. Deliveries wait and are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    address_refused: Option<String>,
    created_at: Timestamp,
    /// What signatures are made with. Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Until when the secret before signs as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    former_secret_until: Option<Timestamp>,
    /// When something was last taken.
    last_taken_at: Option<Timestamp>,
    /// Since when every attempt has failed.
    failing_since: Option<Timestamp>,
    /// Failed attempts since the last that was taken.
    failures: u32,
    /// Deliveries that wait.
    waiting: usize,
    /// Deliveries that were given up and can still be asked for again.
    failed: usize,
    /// Deliveries dropped unsent since it was made, because too many waited.
    dropped: u64,
}

/// Since when and why an endpoint is told nothing.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "WebhookDisabled")]
struct DisabledSince {
    at: Timestamp,
    reason: String,
}

/// One delivery.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "WebhookDelivery")]
pub(crate) struct DeliveryTold {
    /// Its name: `webhook-id` in what is sent.
    delivery: String,
    event: String,
    happened_at: Timestamp,
    state: Stands,
    owed_at: Timestamp,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    /// Attempts ever; the last of them follow.
    attempts: u32,
    last_attempts: Vec<Try>,
    /// What is sent.
    body: serde_json::Value,
}

impl From<&Delivery> for DeliveryTold {
    fn from(it: &Delivery) -> Self {
        Self {
            delivery: it.id.clone(),
            event: it.event.event.clone(),
            happened_at: it.event.at,
            state: it.state,
            owed_at: it.owed,
            next_attempt_at: (it.state == Stands::Waiting).then_some(it.next),
            attempts: it.attempts_ever,
            last_attempts: it.tries.clone(),
            body: serde_json::from_str(&it.event.body).unwrap_or_default(),
        }
    }
}

/// What was begun.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "WebhookBegun")]
pub(crate) struct Begun {
    webhook: String,
    /// The delivery that will be tried.
    delivery: Option<String>,
    /// Where to look what became of it.
    deliveries: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewWebhook")]
pub(crate) struct New {
    /// Where to: `https://`, on the public internet.
    #[schemars(length(min = 1, max = URL_BYTES_MAX))]
    url: String,
    /// Which events; everything that the key may hear of when empty or left out.
    #[serde(default)]
    events: Vec<String>,
    /// What it is for, in your words.
    #[schemars(length(max = DESCRIPTION_CHARS_MAX))]
    description: Option<String>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChangeWebhook")]
pub(crate) struct Change {
    /// Where to.
    #[schemars(length(min = 1, max = URL_BYTES_MAX))]
    url: Option<String>,
    /// Which events; everything when empty.
    events: Option<Vec<String>>,
    /// What it is for; empty takes it away.
    #[schemars(length(max = DESCRIPTION_CHARS_MAX))]
    description: Option<String>,
    /// Whether it is told anything. Enabling one that was disabled begins with what happens from then on; `/replay` brings back what it
    /// missed.
    enabled: Option<bool>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayWebhook")]
pub(crate) struct Replay {
    /// What happened at or after this moment is told again, as far as it is still known.
    since: Timestamp,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code, detail) = match refusal {
            Refusal::NoSuchEndpoint => (
                StatusCode::NOT_FOUND,
                "no_such_webhook",
                "no webhook of that name is yours; GET /v1/webhooks lists them",
            ),
            Refusal::SameAddress => (
                StatusCode::CONFLICT,
                "webhook_exists",
                "you have a webhook with this address; change that one, or rotate its secret to see one",
            ),
            Refusal::TooMany => (
                StatusCode::CONFLICT,
                "too_many_webhooks",
                "you have as many as one owner may have; delete one first",
            ),
            Refusal::Full => (
                StatusCode::CONFLICT,
                "webhooks_full",
                "this installation has as many webhooks as it keeps, yours or not; ask who runs it to delete some that nobody needs",
            ),
            Refusal::NoSuchDelivery => (
                StatusCode::NOT_FOUND,
                "no_such_delivery",
                "no delivery of that name is known, or not any more",
            ),
            Refusal::Disabled => (
                StatusCode::CONFLICT,
                "webhook_disabled",
                "it is disabled; enable it first with PATCH and {\"enabled\": true}",
            ),
        };
        Problem::new(status, code, detail)
    }
}

/// Whose endpoints a caller's are.
fn owner(Caller(principal): &Caller, limits: &Limits) -> Result<EndpointOwner, Problem> {
    let key = || principal.id.clone();
    let owner = match &principal.role {
        Role::Supplier { supplier } => EndpointOwner::Supplier { supplier: supplier.clone() },
        Role::Buyer => EndpointOwner::Buyer { key: key() },
        Role::OrderSystem => EndpointOwner::OrderSystem { key: key() },
        Role::Operator => EndpointOwner::Operators,
        other => {
            let detail = format!(
                "a key of the role {} has no webhooks; use one of {}",
                other.name(),
                ROLES.join(", ")
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "wrong_role", detail));
        }
    };
    limits.take(STAFF, &principal.id, 1)?;
    Ok(owner)
}

fn check_url(url: &str, allow_loopback: bool, wrong: &mut Vec<FieldError>) {
    if let Err(why) = Target::parse(url, allow_loopback) {
        wrong.push(FieldError::new("/url", "bad_webhook_url", why));
    }
}

fn check_events(owner: &EndpointOwner, events: &[String], wrong: &mut Vec<FieldError>) {
    for (at, event) in events.iter().enumerate().take(EVENT_TYPES.len() + 1) {
        if !EVENT_TYPES.contains(&event.as_str()) {
            let detail = format!("there is no such event; there are {}", EVENT_TYPES.join(", "));
            wrong.push(FieldError::new(format!("/events/{at}"), "unknown_value", detail));
        } else if !may_hear(owner, event) {
            let own: Vec<_> = EVENT_TYPES.into_iter().filter(|event| may_hear(owner, event)).collect();
            let detail = format!("your key is never told of it; it may hear of {}", own.join(", "));
            wrong.push(FieldError::new(format!("/events/{at}"), "unheard_event", detail));
        } else if events.iter().take(at).any(|other| other == event) {
            wrong.push(FieldError::new(
                format!("/events/{at}"),
                "duplicate_value",
                "it stands there already",
            ));
        }
    }
}

fn check_description(text: Option<&str>, wrong: &mut Vec<FieldError>) {
    if let Some(bad) = text.and_then(|text| text::prose(text, DESCRIPTION_CHARS_MAX).err()) {
        wrong.push(FieldError::new("/description", bad.code, bad.detail));
    }
}

impl WebhooksApi {
    /// The calls over what `view` knows.
    pub fn new(
        log: SharedLog,
        view: View,
        master: Option<Master>,
        limits: Limits,
        allow_loopback: bool,
    ) -> Self {
        Self { log, view, master, limits, allow_loopback, testing: Arc::default() }
    }

    fn master(&self) -> Result<&Master, Problem> {
        let off = "webhooks are off in this installation; an operator turns them on with webhooks.key_file";
        self.master.as_ref().ok_or_else(|| Problem::unavailable("webhooks_off", off))
    }

    fn told(&self, endpoint: &Endpoint, secret: Option<String>) -> Told {
        let (waiting, failed) = self.view.counts(&endpoint.id);
        let disabled = endpoint.disabled.clone();
        Told {
            webhook: endpoint.id.clone(),
            url: endpoint.url.clone(),
            events: endpoint.events.clone(),
            description: endpoint.description.clone(),
            enabled: disabled.is_none(),
            disabled: disabled.map(|(at, reason)| DisabledSince { at, reason }),
            address_refused: Target::parse(&endpoint.url, self.allow_loopback).err(),
            created_at: endpoint.created,
            secret,
            former_secret_until: endpoint.former_until,
            last_taken_at: endpoint.taken_at,
            failing_since: endpoint.failing_since,
            failures: endpoint.failures,
            waiting,
            failed,
            dropped: endpoint.dropped,
        }
    }

    fn own(&self, owner: &EndpointOwner, id: &str) -> Result<Arc<Endpoint>, Problem> {
        Ok(self.view.get(owner, id).ok_or(Refusal::NoSuchEndpoint)?)
    }

    fn shown(&self, owner: &EndpointOwner, id: &str, with_secret: bool) -> Result<Told, Problem> {
        let endpoint = self.own(owner, id)?;
        let secret = match with_secret {
            true => Some(self.master()?.shown(&endpoint.id, endpoint.secret)),
            false => None,
        };
        Ok(self.told(&endpoint, secret))
    }

    /// Puts what is asked into the log, and waits until the fold has judged it and this replica shows it.
    async fn ask(
        &self,
        endpoint: &str,
        by: EndpointOwner,
        what: EndpointAsk,
    ) -> Result<Option<String>, Problem> {
        let unavailable = |error: String| Problem::unavailable("log_unavailable", error);
        let bytes = random::<12>().map_err(|error| unavailable(error.to_string()))?;
        let id = format!("webhook-{}", hex(&bytes));
        let judged = self.view.judged.expect(&id);
        let refused = |error: LogError| match error {
            LogError::DiskFull { .. } => Problem::disk_full(error.to_string()),
            other => unavailable(other.to_string()),
        };
        self.log.room().map_or(Ok(()), |room| room.admits()).map_err(refused)?;
        let record = new_record(&id, WebhookRecord::Asked { endpoint: endpoint.to_owned(), by, what });
        let appended = tokio::time::timeout(DEADLINE, self.log.append(vec![record], Ack::Durable)).await;
        let unconfirmed = |_| {
            Problem::unavailable(
                "log_unconfirmed",
                "the log did not confirm it in time; it may still be written: look before repeating it",
            )
        };
        appended.map_err(unconfirmed)?.map_err(refused)?;
        let pending = || {
            Problem::unavailable("webhook_pending", "it is durable and on its way; read it until it shows")
        };
        Ok(judged.within(DEADLINE).await.ok_or_else(pending)??)
    }

    /// Whether the installation keeps one endpoint more of an owner. What is kept for operators is looked at here and not by the fold,
    /// which judges what earlier builds have written as they did.
    fn has_room(&self, owner: &EndpointOwner) -> Result<(), Refusal> {
        let kept = if *owner == EndpointOwner::Operators { 0 } else { OPERATORS_KEPT };
        if self.view.all() >= ALL_MAX - kept { Err(Refusal::Full) } else { Ok(()) }
    }

    /// One test of an endpoint waits at a time: what is left of its queue is for what happens.
    fn may_test(&self, by: &EndpointOwner, id: &str) -> Result<Testing, Problem> {
        self.own(by, id)?;
        let waits = |detail: String| Problem::new(StatusCode::CONFLICT, "webhook_test_waits", detail);
        if !self.testing.lock().insert(id.to_owned()) {
            return Err(waits("a test of it is being written; look at its deliveries".to_owned()));
        }
        // From here on it is given back, whatever becomes of it.
        let testing = Testing { all: self.testing.clone(), endpoint: id.to_owned() };
        match self.view.waiting_test(id) {
            None => Ok(testing),
            Some(delivery) => Err(waits(format!(
                "its test {delivery} is on its way or was not taken; look at it in a second, and once the receiver is mended have it tried again with POST /v1/webhooks/{id}/deliveries/{delivery}/redeliver"
            ))),
        }
    }

    async fn begin(&self, endpoint: String, by: EndpointOwner, what: EndpointAsk) -> Answer {
        let delivery = self.ask(&endpoint, by, what).await?;
        let deliveries = format!("/v1/webhooks/{endpoint}/deliveries");
        Ok((StatusCode::ACCEPTED, Json(Begun { webhook: endpoint, delivery, deliveries })).into_response())
    }
}

pub(crate) async fn create(
    State(api): State<WebhooksApi>,
    caller: Caller,
    Parsed(New { url, events, description }): Parsed<New>,
) -> Answer {
    let by = owner(&caller, &api.limits)?;
    let mut wrong = Vec::new();
    check_url(&url, api.allow_loopback, &mut wrong);
    check_events(&by, &events, &mut wrong);
    check_description(description.as_deref(), &mut wrong);
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    api.has_room(&by)?;
    let bytes = random::<8>().map_err(|error| Problem::unavailable("log_unavailable", error.to_string()))?;
    let id = format!("wh_{}", hex(&bytes));
    let master = api.master()?.which();
    api.ask(&id, by.clone(), EndpointAsk::Create { url, events, description, master }).await?;
    let told = api.shown(&by, &id, true)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/v1/webhooks/{id}"))], Json(told)).into_response())
}

pub(crate) async fn list(
    State(api): State<WebhooksApi>,
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Answer {
    let by = owner(&caller, &api.limits)?;
    let wanted = query.of("webhooks")?;
    let found = api.view.list(&by, wanted.after.as_deref(), wanted.look_for());
    Ok(wanted.answer(found.into_iter().map(|it| (it.id.clone(), api.told(&it, None))).collect()))
}

pub(crate) async fn show(State(api): State<WebhooksApi>, caller: Caller, Path(id): Path<String>) -> Answer {
    let by = owner(&caller, &api.limits)?;
    Ok(Json(api.shown(&by, &id, false)?).into_response())
}

pub(crate) async fn change(
    State(api): State<WebhooksApi>,
    caller: Caller,
    Path(id): Path<String>,
    Parsed(Change { url, events, description, enabled }): Parsed<Change>,
) -> Answer {
    let by = owner(&caller, &api.limits)?;
    let mut wrong = Vec::new();
    if let Some(url) = &url {
        check_url(url, api.allow_loopback, &mut wrong);
    }
    check_events(&by, events.as_deref().unwrap_or_default(), &mut wrong);
    check_description(description.as_deref(), &mut wrong);
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    api.ask(&id, by.clone(), EndpointAsk::Change { url, events, description, enabled }).await?;
    Ok(Json(api.shown(&by, &id, false)?).into_response())
}

pub(crate) async fn delete(State(api): State<WebhooksApi>, caller: Caller, Path(id): Path<String>) -> Answer {
    let by = owner(&caller, &api.limits)?;
    api.ask(&id, by, EndpointAsk::Delete).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn rotate(State(api): State<WebhooksApi>, caller: Caller, Path(id): Path<String>) -> Answer {
    let by = owner(&caller, &api.limits)?;
    let master = api.master()?.which();
    api.ask(&id, by.clone(), EndpointAsk::Rotate { master }).await?;
    Ok(Json(api.shown(&by, &id, true)?).into_response())
}

pub(crate) async fn test(State(api): State<WebhooksApi>, caller: Caller, Path(id): Path<String>) -> Answer {
    let by = owner(&caller, &api.limits)?;
    let _testing = api.may_test(&by, &id)?;
    api.begin(id, by, EndpointAsk::Test).await
}

pub(crate) async fn replay(
    State(api): State<WebhooksApi>,
    caller: Caller,
    Path(id): Path<String>,
    Parsed(Replay { since }): Parsed<Replay>,
) -> Answer {
    let by = owner(&caller, &api.limits)?;
    api.begin(id, by, EndpointAsk::Replay { since }).await
}

pub(crate) async fn redeliver(
    State(api): State<WebhooksApi>,
    caller: Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> Answer {
    let by = owner(&caller, &api.limits)?;
    api.begin(id, by, EndpointAsk::Redeliver { delivery }).await
}

pub(crate) async fn deliveries(
    State(api): State<WebhooksApi>,
    caller: Caller,
    Path(id): Path<String>,
    Params(query): Params<ListQuery>,
) -> Answer {
    let by = owner(&caller, &api.limits)?;
    api.own(&by, &id)?;
    let wanted = query.of(format!("deliveries of {id}"))?;
    let found = api.view.deliveries(&id, wanted.after_as::<u64>()?, wanted.look_for());
    Ok(wanted
        .answer(found.iter().map(|it| (it.number.to_string(), DeliveryTold::from(it.as_ref()))).collect()))
}

#[cfg(test)]
mod tests;
