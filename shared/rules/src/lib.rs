//! Lockout rules: compile, check that every name and type is right, evaluate, explain.
//!
//! A rule's condition is a CEL expression over the features of a [`FeatureSchema`]. Everything is checked when a set is
//! compiled: syntax, names, types, size. Missing data is *unknown*: it flows through a condition by CEL's own rules
//! (`false && unknown` is false, `true || unknown` is true, everything else that touches it is unknown), and a rule that
//! is unknown is not true, so missing data never locks anyone out.
//!
//! The parser and evaluator inside are those of the `cel` crate; nothing of it shows in this interface.

mod check;
mod condition;
pub mod lang;
mod schema;
mod set;
mod spec;
mod suggest;

pub use condition::{Condition, Truth};
pub use schema::{Feature, FeatureSchema, Vocabulary};
pub use set::{Hit, Rule, RuleSet};
pub use spec::{Mode, RuleScope, RuleSpec, parse_duration_ms};

/// What is wrong with a rule set, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{}{detail}", .rule.as_ref().map(|rule| format!("rule {rule}, line {line}, column {column}: ")).unwrap_or_default())]
pub struct RuleError {
    /// Stable code: `syntax`, `unknown_name`, `type`, `unsupported`, `too_large`, `not_a_condition`, `bad_set`.
    pub code: &'static str,
    /// The rule; absent when the set itself does not parse.
    pub rule: Option<String>,
    /// Line in the expression, from 1.
    pub line: usize,
    /// Column in the expression, from 1.
    pub column: usize,
    /// What is wrong, what it concerns, and what to do.
    pub detail: String,
}

/// JSON Schema of one rule as written.
pub fn rule_schema() -> schemars::Schema {
    schemars::schema_for!(RuleSpec)
}

#[cfg(test)]
mod tests;
