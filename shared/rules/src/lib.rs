//! Lockout rules: compile, check that every name and type is right, evaluate, explain.
//!
//! A rule's condition is an expression of the Common Expression Language ([`lang`]) over the features of a
//! [`FeatureSchema`]. Everything is checked when a set is compiled: syntax, names, types, windows, size, and that it can be
//! compiled to scalar operations, so that judging a snapshot allocates nothing. Missing data is *unknown*: it flows through
//! a condition by three-valued logic (`false && unknown` is false, `true || unknown` is true, everything else that touches
//! it is unknown), and a rule that is unknown is not true, so missing data never locks anyone out. What cannot be computed,
//! such as a division by zero, is unknown to a rule as well.

mod bind;
mod compile;
mod condition;
mod explain;
mod index;
pub mod lang;
mod program;
mod range;
mod schema;
mod set;
mod spec;
mod suggest;
mod sweep;

pub use bind::{Binding, Take, WINDOW_MS};
pub use condition::Condition;
pub use explain::Explanation;
pub use program::{Scratch, Snapshot, Truth};
pub use schema::{Feature, FeatureSchema, Vocabulary};
pub use set::{Rule, RuleSet};
pub use spec::{BudgetSpec, Example, Mode, RuleScope, RuleSpec, SetSpec, parse_duration_ms};
pub use sweep::{Variant, variants};

/// What is wrong with a rule set, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{}{detail}", place(self))]
pub struct RuleError {
    /// Stable code: `syntax`, `unknown_name`, `unknown_function`, `type`, `bad_window`, `bad_pattern`, `unsupported`,
    /// `not_scalar`, `too_large`, `not_a_condition`, `refers_to_itself`, `association_alone`, `example_failed`, `bad_set`.
    pub code: &'static str,
    /// The rule, or `let NAME`; absent when the set itself does not parse.
    pub rule: Option<String>,
    /// Line in the expression, from 1.
    pub line: usize,
    /// Column in the expression, from 1, in characters.
    pub column: usize,
    /// What stands there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What is wrong, what it concerns, and what to do.
    pub detail: String,
}

fn place(error: &RuleError) -> String {
    let Some(rule) = &error.rule else { return String::new() };
    let text = if error.text.is_empty() { String::new() } else { format!(", at `{}`", error.text) };
    format!("rule {rule}, line {}, column {}{text}: ", error.line, error.column)
}

impl RuleError {
    pub(crate) fn of_set(code: &'static str, detail: impl Into<String>) -> Self {
        let (text, suggestion) = (String::new(), None);
        Self { code, rule: None, line: 1, column: 1, text, suggestion, detail: detail.into() }
    }

    /// One about a field of a rule other than its condition.
    pub(crate) fn of_rule(rule: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self { rule: Some(rule.to_owned()), ..Self::of_set(code, detail) }
    }

    /// One about a place in an expression.
    pub(crate) fn at(rule: &str, source: &str, flaw: lang::Flaw) -> Self {
        const TEXT_CHARS_MAX: usize = 60;
        let start = (flaw.span.start as usize).min(source.len());
        let end = (flaw.span.end as usize).clamp(start, source.len());
        let before = source.get(..start).unwrap_or_default();
        let text = source.get(start..end).unwrap_or_default().trim();
        let mut shown: String = text.chars().take(TEXT_CHARS_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self {
            code: flaw.code,
            rule: Some(rule.to_owned()),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            text: shown,
            suggestion: flaw.suggestion,
            detail: flaw.detail,
        }
    }
}

/// JSON Schema of one rule as written.
pub fn rule_schema() -> schemars::Schema {
    schemars::schema_for!(RuleSpec)
}

#[cfg(test)]
mod tests;
