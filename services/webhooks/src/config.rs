//! Configuration of webhooks.

use std::path::PathBuf;

/// What webhooks may do, and take.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksConfig {
    /// The file with the key that all secrets are derived from; `webhooks.key` in the data directory when absent, where it is made at
    /// the first start. All processes of an installation need the same.
    pub key_file: Option<PathBuf>,
    /// Whether endpoints on this machine may be told, by plain HTTP too. For trying out and for tests only.
    pub allow_loopback: bool,
    /// Limit of one attempt, from looking the name up to the last header of the answer, in milliseconds.
    pub deadline_ms: u64,
    /// Attempts under way at once, over all endpoints; of one endpoint it is one. A quarter of them, and at least one where there are
    /// more, are the operators' own.
    pub at_once: usize,
    /// A PEM file of authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self { key_file: None, allow_loopback: false, deadline_ms: 15_000, at_once: 64, ca_file: None }
    }
}

impl WebhooksConfig {
    /// What is wrong with it, by name.
    pub fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !(100..=60_000).contains(&self.deadline_ms) {
            wrong.push("deadline_ms must be 100 to 60000".to_owned());
        }
        if !(1..=1_000).contains(&self.at_once) {
            wrong.push("at_once must be 1 to 1000".to_owned());
        }
        wrong
    }
}
