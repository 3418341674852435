//! What a record's value holds, by CloudEvents type.

use crate::{
    BasketChoice, CohortCounts, Command, ControlRecord, Decision, LinkFact, LinkSeen, PeerFact, Proposal,
    ScoreRecord, Timestamp, WebhookRecord,
    outcome::{EventAgain, OrderEvent, Outcome},
};

/// A record whose type or value this build cannot read: poison, never to be guessed at.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not a type of ours.
    #[error("record type {0:?} is unknown to this build")]
    UnknownType(String),
    /// The value does not decode.
    #[error("value of {kind} does not decode: {detail}")]
    Value {
        /// The record type.
        kind: String,
        /// What the decoder said.
        detail: String,
    },
}

/// A tick: the owner of a partition saw its fold's deadline pass. Its record time is all that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Tick {
    /// The deadline that had passed.
    pub due: Timestamp,
}

/// A record that could not be processed, with everything needed to look at it and to replay it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct DeadLetter {
    /// Where it was read.
    pub topic: String,
    /// Partition it was read from.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Stable reason.
    pub code: String,
    /// What was wrong, for people.
    pub detail: String,
    /// How often it was tried. Folds are deterministic, so what fails once fails always: 1, unless someone replays it.
    #[serde(default = "once")]
    pub attempts: u32,
    /// The record type it claimed.
    pub kind: String,
    /// The value as it was; lossy where it was not UTF-8.
    pub value: String,
}

/// A dead letter was played again: its record was appended once more where it had been read. It lies in `dead.letters` beside the
/// letters, so that the list of them can say so.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct LetterReplayed {
    /// Offset of the letter in `dead.letters`.
    pub letter: u64,
    /// Where the record had been read.
    pub topic: String,
    /// Partition it was read from, and written to again.
    pub partition: u32,
    /// Its offset there, of the first time.
    pub offset: u64,
    /// Who asked for it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

fn once() -> u32 {
    1
}

macro_rules! payloads {
    ($($(#[$doc:meta])* $variant:ident($body:ty) = $kind:literal,)*) => {
        /// Every kind of record.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "short-lived: decoded, applied, dropped")]
        pub enum Payload {
            $($(#[$doc])* $variant($body),)*
            /// A feature vector (binary, see [`ScoreRecord`]).
            Score(ScoreRecord),
        }

        impl Payload {
            /// The CloudEvents type.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Payload::$variant(_) => $kind,)*
                    Payload::Score(_) => SCORE_KIND,
                }
            }
            /// The value's bytes. One that cannot be written ends the thread, see [`encode`](crate::encode).
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Payload::$variant(body) => crate::encode::json(body),)*
                    Payload::Score(record) => record.encode(),
                }
            }
            /// Reads a value of type `kind`.
            pub fn decode(kind: &str, value: &[u8]) -> Result<Self, DecodeError> {
                let wrong = |detail: String| DecodeError::Value { kind: kind.to_owned(), detail };
                match kind {
                    $($kind => serde_json::from_slice(value).map(Payload::$variant).map_err(|e| wrong(e.to_string())),)*
                    SCORE_KIND => ScoreRecord::decode(value).map(Payload::Score).map_err(wrong),
                    _ => Err(DecodeError::UnknownType(kind.to_owned())),
                }
            }
        }

        /// The JSON record types with their schemas.
        pub(crate) fn schemas() -> Vec<(&'static str, schemars::Schema)> {
            vec![$(($kind, schemars::schema_for!($body)),)*]
        }
    };
}

/// The kind of score records, which are not JSON.
pub const SCORE_KIND: &str = "stockade.supplier.score";

payloads! {
    /// A supplier's request.
    Command(Command) = "stockade.inventory.command",
    /// Offers that are taken for lines of a basket.
    Choice(BasketChoice) = "stockade.inventory.choice",
    /// An outcome as it arrived.
    OrderEvent(OrderEvent) = "stockade.order.event",
    /// An outcome with the buyer's history.
    Outcome(Outcome) = "stockade.order.outcome",
    /// An event that came again, told to the supplier's partition.
    EventAgain(EventAgain) = "stockade.order.again",
    /// A control record, in `control` and relayed.
    Control(ControlRecord) = "stockade.control.change",
    /// A proposal to the arbiter.
    Proposal(Proposal) = "stockade.lockout.proposal",
    /// A decision, in `lockout.decisions` and as a fact in `supplier.events`.
    Decision(Decision) = "stockade.lockout.decision",
    /// Counts for a cohort, in `scoring.rekeyed`.
    Cohort(CohortCounts) = "stockade.scoring.cohort",
    /// How peers have fared, a fact in `supplier.events`.
    Peers(PeerFact) = "stockade.scoring.peers",
    /// A supplier was seen with an attribute, in `scoring.rekeyed`.
    LinkSeen(LinkSeen) = "stockade.scoring.link_seen",
    /// Another supplier shares an attribute, a fact in `supplier.events`.
    Link(LinkFact) = "stockade.scoring.link",
    /// A notice, what is asked of endpoints, and attempts to tell them, in `webhooks`.
    Webhook(WebhookRecord) = "stockade.webhook",
    /// Time has passed.
    Tick(Tick) = "stockade.tick",
    /// Poison.
    DeadLetter(DeadLetter) = "stockade.dead.letter",
    /// Poison was played again.
    LetterReplayed(LetterReplayed) = "stockade.dead.replayed",
}
