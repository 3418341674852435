//! Decisions as rows of a page: the last few thousand, each short enough to be sent to every tab.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::Serialize;
use stockade_model::{Action, Decision, Level, Scope, SupplierId, Timestamp};

/// Rows kept: what a tab that was away can still be told.
const ROWS_MAX: usize = 5_000;
/// Values shown of a decision; the whole of them is at `/v1/decisions/{id}`.
const VALUES_MAX: usize = 8;

/// A decision as a page lists it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Row {
    /// Its place in the log of decisions.
    pub offset: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// About whom.
    pub supplier: SupplierId,
    /// What happened.
    pub action: Action,
    /// The restriction it happened to, which `/v1/decisions/{id}` explains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What of the supplier it is about, such as `{"kind": "listing", "listing": "l-1"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The level of that restriction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The hardest level in force for the supplier from then on; absent when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<Level>,
    /// Kinds of evidence.
    pub reasons: Vec<String>,
    /// The rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Features that the rule read, with what it saw: at most eight.
    pub values: BTreeMap<String, f64>,
    /// Who, for a person's decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Why, for a person's decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What the supplier is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When what caused it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause_at: Option<Timestamp>,
}

impl Row {
    /// The row of a decision at `offset` of the log.
    pub fn of(offset: u64, decision: &Decision) -> Self {
        let of = decision.restriction.as_ref();
        let values = of.into_iter().flat_map(|of| &of.values).take(VALUES_MAX);
        Self {
            offset,
            at: decision.at,
            supplier: decision.supplier.clone(),
            action: decision.action,
            id: of.map(|of| of.id.clone()),
            scope: of.map(|of| of.scope.clone()),
            level: of.map(|of| of.level),
            highest: decision.in_force.iter().map(|of| of.level).max(),
            reasons: of.map(|of| of.reasons.clone()).unwrap_or_default(),
            rule: of.and_then(|of| of.rule.as_ref()).map(|rule| rule.id.to_string()),
            values: values.map(|(name, value)| (name.clone(), *value)).collect(),
            actor: decision.actor.clone(),
            note: decision.note.clone(),
            text: of.map(|of| of.text.clone()).filter(|text| !text.is_empty()),
            cause_at: of.and_then(|of| of.cause.as_ref()).map(|cause| cause.time),
        }
    }
}

/// What a supplier is told of a decision about itself: what its standing says, and no rule, no figure and no name of a person.
#[derive(Serialize)]
struct OwnRow<'a> {
    at: Timestamp,
    supplier: &'a SupplierId,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: &'a Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
    reasons: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    text: &'a Option<String>,
}

impl Row {
    fn own(&self) -> OwnRow<'_> {
        let Self { at, supplier, action, id, scope, level, reasons, text, .. } = self;
        OwnRow { at: *at, supplier, action: *action, id, scope, level: *level, reasons, text }
    }
}

/// Something to mark on every curve.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Annotation {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// `publish` or `lockout`.
    pub kind: &'static str,
    /// What happened, in a few words.
    pub text: String,
}

/// A row as it is sent.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) offset: u64,
    pub(crate) supplier: SupplierId,
    /// For people of the platform.
    pub(crate) json: Arc<str>,
    /// For the supplier itself.
    pub(crate) own: Arc<str>,
}

/// The last rows.
#[derive(Default)]
pub(crate) struct Feed {
    rows: VecDeque<Kept>,
    /// Behind the last row.
    pub(crate) next: u64,
}

impl Feed {
    pub(crate) fn add(&mut self, row: &Row) {
        let (Ok(json), Ok(own)) = (serde_json::to_string(row), serde_json::to_string(&row.own())) else {
            return;
        };
        self.next = row.offset + 1;
        let supplier = row.supplier.clone();
        self.rows.push_back(Kept { offset: row.offset, supplier, json: json.into(), own: own.into() });
        if self.rows.len() > ROWS_MAX {
            self.rows.pop_front();
        }
    }

    /// Where the oldest row is that is still here.
    pub(crate) fn first(&self) -> u64 {
        self.rows.front().map_or(self.next, |row| row.offset)
    }

    /// Up to `most` rows from `from` on.
    pub(crate) fn from(&self, from: u64, most: usize) -> Vec<Kept> {
        let begin = self.rows.partition_point(|row| row.offset < from);
        self.rows.iter().skip(begin).take(most).cloned().collect()
    }

    /// Where one must begin to be told the last `rows`.
    pub(crate) fn back(&self, rows: usize) -> u64 {
        let skipped = self.rows.len().saturating_sub(rows);
        self.rows.get(skipped).map_or(self.next, |row| row.offset)
    }
}
