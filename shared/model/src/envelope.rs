//! What travels beside a record's value: CloudEvents attributes (binary mode), trace context, position and cause.

use crate::{Position, Timestamp};

/// The event at the root of a chain of derived records: what a decision can be traced back to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Cause {
    /// The CloudEvents id of the event or command that set it off.
    pub id: String,
    /// Its record time in the log.
    pub time: Timestamp,
}

/// The headers of a record.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Envelope {
    /// CloudEvents `type`; decides how the value is decoded.
    pub kind: String,
    /// CloudEvents `id`, unique within `source`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// Set on every output of a fold.
    pub position: Option<Position>,
    /// Set on every derived record.
    pub cause: Option<Cause>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// Header names, CloudEvents Kafka protocol binding 1.0.2 (binary content mode) where it defines one.
pub mod header {
    /// CloudEvents `type`.
    pub const TYPE: &str = "ce_type";
    /// CloudEvents `id`.
    pub const ID: &str = "ce_id";
    /// CloudEvents `source`.
    pub const SOURCE: &str = "ce_source";
    /// Position of an output.
    pub const POSITION: &str = "stockade_position";
    /// Id of the root cause.
    pub const CAUSE_ID: &str = "stockade_cause_id";
    /// Record time of the root cause, milliseconds.
    pub const CAUSE_TIME: &str = "stockade_cause_time";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
}

impl Envelope {
    /// An envelope for a record of `kind` with `id` from `source`.
    pub fn new(kind: &str, id: impl Into<String>, source: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.into(), source: source.to_owned(), ..Self::default() }
    }

    /// The headers as name and text, absent ones left out.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::with_capacity(6);
        out.push((header::TYPE, self.kind.clone()));
        if !self.id.is_empty() {
            out.push((header::ID, self.id.clone()));
        }
        if !self.source.is_empty() {
            out.push((header::SOURCE, self.source.clone()));
        }
        if let Some(position) = &self.position {
            out.push((header::POSITION, position.to_string()));
        }
        if let Some(cause) = &self.cause {
            out.push((header::CAUSE_ID, cause.id.clone()));
            out.push((header::CAUSE_TIME, cause.time.ms().to_string()));
        }
        if let Some(traceparent) = &self.traceparent {
            out.push((header::TRACEPARENT, traceparent.clone()));
        }
        out
    }

    /// Reads an envelope back. Unknown headers are ignored; a malformed position or cause is an error in words.
    pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Self, String> {
        let mut envelope = Self::default();
        let (mut cause_id, mut cause_time) = (None, None);
        for (name, value) in headers {
            let text = || std::str::from_utf8(value).map_err(|_| format!("header {name} is not UTF-8"));
            match name {
                header::TYPE => envelope.kind = text()?.to_owned(),
                header::ID => envelope.id = text()?.to_owned(),
                header::SOURCE => envelope.source = text()?.to_owned(),
                header::POSITION => {
                    envelope.position = Some(Position::parse(text()?).map_err(|e| e.detail)?);
                }
                header::CAUSE_ID => cause_id = Some(text()?.to_owned()),
                header::CAUSE_TIME => {
                    let ms = text()?.parse().map_err(|_| format!("header {name} is not milliseconds"))?;
                    cause_time = Some(Timestamp::from_ms(ms));
                }
                header::TRACEPARENT => envelope.traceparent = Some(text()?.to_owned()),
                _ => {}
            }
        }
        envelope.cause = cause_id.zip(cause_time).map(|(id, time)| Cause { id, time });
        Ok(envelope)
    }
}
