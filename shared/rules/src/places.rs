//! Where in the YAML of a set something stands.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use stockade_yaml::{Spanned, place_in};

use crate::{RuleError, Spot};

#[derive(serde::Deserialize)]
struct SetPlaces {
    #[serde(default, rename = "let")]
    lets: BTreeMap<String, Spanned<String>>,
    rules: Vec<Spanned<RulePlaces>>,
}

#[derive(serde::Deserialize)]
struct RulePlaces {
    id: String,
    when: Option<Spanned<String>>,
    cure: Option<Spanned<String>>,
    false_alarms: Option<Spanned<IgnoredAny>>,
    canary_percent: Option<Spanned<IgnoredAny>>,
    holdout_percent: Option<Spanned<IgnoredAny>>,
    reasons: Option<Spanned<IgnoredAny>>,
    budget: Option<Spanned<IgnoredAny>>,
    evidence: Option<Spanned<IgnoredAny>>,
    #[serde(rename = "for")]
    duration: Option<Spanned<IgnoredAny>>,
    expires: Option<Spanned<IgnoredAny>>,
    floor: Option<Spanned<IgnoredAny>>,
    level: Option<Spanned<IgnoredAny>>,
    examples: Option<Spanned<IgnoredAny>>,
}

/// Adds to each finding where it stands in `source`, as far as that can be told.
pub(crate) fn locate(findings: &mut [RuleError], source: &str) {
    // Read a second time, and only when there is something to tell.
    if findings.is_empty() {
        return;
    }
    let Ok(places) = stockade_yaml::read::<SetPlaces>(source) else { return };
    let by_id: BTreeMap<&str, &Spanned<RulePlaces>> =
        places.rules.iter().rev().map(|rule| (rule.value.id.as_str(), rule)).collect();
    for finding in findings {
        let Some(rule) = finding.rule.clone() else { continue };
        let (text, begin) = match rule.strip_prefix("let ") {
            Some(name) => match places.lets.get(name) {
                Some(text) => (Some(text), text.referenced),
                None => continue,
            },
            None => match by_id.get(rule.as_str()) {
                Some(rule) => {
                    let in_cure = matches!(finding.spot, Spot::At("cure", _));
                    let text = if in_cure { &rule.value.cure } else { &rule.value.when };
                    (text.as_ref(), rule.referenced)
                }
                None => continue,
            },
        };
        let at = |spot: stockade_yaml::Location| (spot.line() as usize, spot.column() as usize);
        let (line, column) = match finding.spot {
            Spot::At(_, byte) => {
                let Some(text) = text else { continue };
                let Some(place) = place_in(source, at(text.defined), &text.value, byte) else { continue };
                (finding.line, finding.column) = (place.own_line, place.own_column);
                (place.line, place.column)
            }
            Spot::Field(field) => {
                let fields = by_id.get(rule.as_str()).map(|rule| &rule.value);
                let span = fields.and_then(|rule| match field {
                    "evidence" => rule.evidence.as_ref().map(|field| field.referenced),
                    "for" => rule.duration.as_ref().map(|field| field.referenced),
                    "expires" => rule.expires.as_ref().map(|field| field.referenced),
                    "floor" => rule.floor.as_ref().map(|field| field.referenced),
                    "level" => rule.level.as_ref().map(|field| field.referenced),
                    "examples" => rule.examples.as_ref().map(|field| field.referenced),
                    "false_alarms" => rule.false_alarms.as_ref().map(|field| field.referenced),
                    "canary_percent" => rule.canary_percent.as_ref().map(|field| field.referenced),
                    "holdout_percent" => rule.holdout_percent.as_ref().map(|field| field.referenced),
                    "reasons" => rule.reasons.as_ref().map(|field| field.referenced),
                    "budget" => rule.budget.as_ref().map(|field| field.referenced),
                    "when" => rule.when.as_ref().map(|field| field.referenced),
                    _ => None,
                });
                at(span.unwrap_or(begin))
            }
            Spot::Whole => at(begin),
        };
        (finding.source_line, finding.source_column) = (Some(line), Some(column));
    }
}
