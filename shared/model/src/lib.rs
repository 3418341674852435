//! The contract between every Stockade service: identifiers, money, time, records and decisions.
//!
//! This crate knows no I/O, no clock and no randomness. Everything that is written to a topic is defined here,
//! has a JSON Schema under `schemas/`, and has a golden file that proves that old records keep decoding.

pub mod control;
pub mod decision;
pub mod encode;
pub mod envelope;
pub mod fact;
pub mod gs1;
pub mod hash;
pub mod ids;
pub mod invalid;
pub mod inventory;
pub mod money;
pub mod outcome;
pub mod position;
pub mod precondition;
pub mod record;
pub mod region;
pub mod schemas;
pub mod score;
mod tagged;
mod text;
pub mod time;
pub mod topic;
pub mod visibility;
pub mod webhook;

pub use control::{Change, ControlRecord, ModelSwitch, Models, Registration, StockCounts, SupplierProfile};
pub use decision::{
    Action, Budget, Confirmed, Counterfactual, Decision, Finding, Level, Proposal, Restriction, RuleProposal,
    RuleRef, Scope, StockFigures, VouchedBy,
};
pub use envelope::{Cause, Envelope};
pub use fact::{
    Attribute, AttributeKind, CohortCounts, EvidenceCounts, LinkFact, LinkSeen, PeerFact, TestCounts,
    TestFact,
};
pub use gs1::{Gln, Gtin};
pub use ids::{
    BasketId, BuyerId, EventId, LineId, ListingId, LocationId, OrderId, ReservationId, RuleId, Sku,
    SupplierId,
};
pub use invalid::Invalid;
pub use inventory::{
    BasketChoice, Command, HoldBound, LineAct, LineChoice, LineRow, ListingPut, LocationPut, MarketSeen, Row,
    RowOutcome, RowStatus, StockChange, StockMode,
};
pub use money::{Currency, Money};
pub use outcome::{
    BuyerHistory, Cause as OutcomeCause, ClaimReason, EventAgain, OrderEvent, OrderEventKind, OrderSeen,
    Outcome, Vouched,
};
pub use position::Position;
pub use precondition::Precondition;
pub use record::{DeadLetter, DecodeError, LetterReplayed, Payload, SCORE_KIND, Tick};
pub use region::Region;
pub use score::{ScoreRecord, ScoreView};
pub use time::Timestamp;
pub use topic::Topic;
pub use visibility::{Left, Subject};
pub use webhook::{Attempt, AttemptFailure, Audience, EndpointAsk, EndpointOwner, Notice, WebhookRecord};
