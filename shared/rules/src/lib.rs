//! Lockout rules: compile, check that every name and type is right, evaluate, explain.
//!
//! A rule's condition is an expression of the Common Expression Language ([`lang`]) over the features of a
//! [`FeatureSchema`]. Everything is checked when a set is compiled: syntax, names, types, windows, size, and that it can be
//! compiled to scalar operations, so that judging a snapshot allocates nothing. Missing data is *unknown*: it flows through
//! a condition by three-valued logic (`false && unknown` is false, `true || unknown` is true, everything else that touches
//! it is unknown), and a rule that is unknown is not true, so missing data never locks anyone out. What cannot be computed,
//! such as a division by zero, is unknown to a rule as well.

mod analysis;
mod bind;
mod compile;
mod condition;
mod dense;
mod explain;
mod index;
pub mod lang;
mod lint;
mod places;
mod program;
mod promise;
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
pub use promise::{DAYS_A_YEAR, Floor, supplier_days};
pub use schema::{Bounds, Feature, FeatureSchema, Vocabulary};
pub use set::{Rule, RuleSet};
pub use spec::{BudgetSpec, Example, Mode, RuleScope, RuleSpec, SetSpec, parse_duration_ms};
pub use suggest::nearest;
pub use sweep::{Compared, Variant, compared, variants};

/// What is wrong with a rule set, or only suspicious, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, schemars::JsonSchema)]
#[error("{}{detail}", place(self))]
pub struct RuleError {
    /// Stable code: `syntax`, `unknown_name`, `unknown_function`, `type`, `bad_window`, `bad_pattern`, `unsupported`,
    /// `not_scalar`, `too_large`, `not_a_condition`, `refers_to_itself`, `association_alone`, `unknown_alone`, `contradiction`,
    /// `expired`, `example_failed`, `bad_set`. Of a warning: `never_holds`, `always_holds`, `impossible_constant`.
    pub code: &'static str,
    /// The rule, or `let NAME`; absent when the set itself does not parse.
    pub rule: Option<String>,
    /// Line in the expression as it is written, from 1; without a rule, in the source.
    pub line: usize,
    /// Column in the expression, from 1, in characters and without the indentation of the expression; without a rule, in the
    /// source.
    pub column: usize,
    /// Line in the YAML of the set, from 1; absent when an expression was given without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_line: Option<usize>,
    /// Column in that line, from 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_column: Option<usize>,
    /// What stands there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What is wrong, what it concerns, and what to do.
    pub detail: String,
    /// What of the rule it is about, for finding its place in the source.
    #[serde(skip)]
    spot: Spot,
}

/// What of a rule a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    /// The rule as a whole.
    Whole,
    /// A field of it.
    Field(&'static str),
    /// A byte of the expression in one of its fields, or of a named expression.
    At(&'static str, usize),
}

fn place(error: &RuleError) -> String {
    let Some(rule) = &error.rule else { return String::new() };
    let text = if error.text.is_empty() { String::new() } else { format!(", at `{}`", error.text) };
    let kind = if rule.starts_with("let ") { "" } else { "rule " };
    let part = if matches!(error.spot, Spot::At("cure", _)) { ": cure" } else { "" };
    format!("{kind}{rule}{part}, line {}, column {}{text}: ", error.line, error.column)
}

impl RuleError {
    pub(crate) fn of_set(code: &'static str, detail: impl Into<String>) -> Self {
        let (text, suggestion) = (String::new(), None);
        Self {
            code,
            rule: None,
            line: 1,
            column: 1,
            source_line: None,
            source_column: None,
            text,
            suggestion,
            detail: detail.into(),
            spot: Spot::Whole,
        }
    }

    /// One about the YAML of a set.
    pub(crate) fn of_yaml(error: stockade_yaml::YamlError) -> Self {
        let stockade_yaml::YamlError { line, column, detail } = error;
        let (source_line, source_column) = (Some(line), Some(column));
        let detail = format!("the rule set does not parse: line {line}, column {column}: {detail}");
        Self { line, column, source_line, source_column, ..Self::of_set("bad_set", detail) }
    }

    /// One about a field of a rule other than its condition.
    pub(crate) fn of_rule(rule: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self { rule: Some(rule.to_owned()), ..Self::of_set(code, detail) }
    }

    /// The same, about one field.
    pub(crate) fn of_field(
        rule: &str,
        field: &'static str,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { spot: Spot::Field(field), ..Self::of_rule(rule, code, detail) }
    }

    /// One about a place in a condition, or in a named expression.
    pub(crate) fn at(rule: &str, source: &str, flaw: lang::Flaw) -> Self {
        Self::within(rule, "when", source, flaw)
    }

    /// One about a place in the expression of a field.
    pub(crate) fn within(rule: &str, field: &'static str, source: &str, flaw: lang::Flaw) -> Self {
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
            rule: Some(rule.to_owned()),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            text: shown,
            suggestion: flaw.suggestion,
            spot: Spot::At(field, start),
            ..Self::of_set(flaw.code, flaw.detail)
        }
    }
}

/// JSON Schema of one rule as written.
pub fn rule_schema() -> schemars::Schema {
    schemars::schema_for!(RuleSpec)
}

#[cfg(test)]
mod tests;
