//! What is known of an endpoint, and of what it is owed.

use std::sync::Arc;

use stockade_model::{AttemptFailure, Audience, EndpointOwner, Timestamp};

/// A secret that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Former {
    /// Which it is, as [`Endpoint::secret`] counts.
    pub secret: u32,
    /// Until when it signs.
    pub until: Timestamp,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub id: String,
    /// Whose it is.
    pub owner: EndpointOwner,
    /// Where it listens.
    pub url: String,
    /// What it wants to hear of; everything it may when empty.
    pub events: Vec<String>,
    /// What it is for, in its owner's words.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// How often its secret was renewed: which of the secrets that derive from the installation's key is its own.
    pub secret: u32,
    /// Secrets before it that sign too, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Former>,
    /// Until when the last secret before signs too.
    pub former_until: Option<Timestamp>,
    /// Which key of the installation its secret derives from.
    pub master: String,
    /// Since when, and why, it is told nothing.
    pub disabled: Option<(Timestamp, String)>,
    /// Failed attempts since the last that was taken.
    pub failures: u32,
    /// Since when every attempt failed.
    pub failing_since: Option<Timestamp>,
    /// It is left alone until then.
    pub not_before: Timestamp,
    /// When something was last taken.
    pub taken_at: Option<Timestamp>,
    /// What was dropped unsent because too much waited.
    pub dropped: u64,
}

impl Endpoint {
    /// Secrets before its own that still sign at `now`, the oldest first.
    pub fn formers(&self, now: Timestamp) -> Vec<Former> {
        // An earlier build kept the last one only, without saying which it is.
        let last = self.former_until.zip(self.secret.checked_sub(1));
        let last = last.map(|(until, secret)| Former { secret, until });
        let kept = if self.former.is_empty() { last.into_iter().collect() } else { self.former.clone() };
        kept.into_iter().filter(|former| former.until > now).collect()
    }

    /// Whether it wants to hear of `event`, and may.
    pub fn wants(&self, event: &str, audience: &Audience) -> bool {
        self.owner.hears(audience)
            && (self.events.is_empty() || self.events.iter().any(|wanted| wanted == event))
    }
}

/// Something that happened, as it is told.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// The name of its notice.
    pub id: String,
    /// What happened.
    pub event: String,
    /// When.
    pub at: Timestamp,
    /// The body that is sent, to the byte.
    pub body: Arc<str>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WebhookDeliveryState")]
pub enum State {
    /// It will be tried, or tried again.
    Waiting,
    /// It was taken.
    Delivered,
    /// It was given up; it can be asked for again.
    Failed,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[schemars(rename = "WebhookAttempt")]
pub struct Try {
    /// When it ended.
    pub at: Timestamp,
    /// The status it was answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed; absent when it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<AttemptFailure>,
    /// What to know of the failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How long it took.
    pub latency_ms: u64,
}

/// What an endpoint is owed, or was.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Delivery {
    /// Its name: `webhook-id` in what is sent, however often.
    pub id: String,
    /// Where the notice lies in `webhooks`; tells deliveries of an endpoint apart and orders them.
    pub number: u64,
    /// What is told.
    pub event: Arc<Event>,
    /// Where it stands.
    pub state: State,
    /// Since when it is owed, this time.
    pub owed: Timestamp,
    /// Attempts since then.
    pub attempts: u32,
    /// Attempts ever.
    pub attempts_ever: u32,
    /// When it is tried next, while it waits.
    pub next: Timestamp,
    /// The last attempts, oldest first.
    pub tries: Vec<Try>,
}
