//! Variants of rules with one bound moved, to see how much depends on it.

use crate::{
    Mode, RuleSpec,
    lang::{self, Expr, Kind, Span, Value},
};

/// A rule with one bound moved.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The rule it was made of.
    pub rule: String,
    /// The test whose bound was moved, as written.
    pub test: String,
    /// The bound as it is.
    pub bound: f64,
    /// The bound as it is in the variant.
    pub moved: f64,
    /// The variant, under the id of its rule.
    pub spec: RuleSpec,
}

/// Numbers that tests compare with, with the span of the test.
fn bounds(expr: &Expr, found: &mut Vec<(Span, Span, f64, bool)>) {
    if let Kind::Call { target: None, name, args } = &expr.kind
        && matches!(name.as_str(), "<" | "<=" | ">" | ">=" | "==" | "!=")
    {
        for arg in args {
            match &arg.kind {
                Kind::Literal(Value::Int(value)) => found.push((expr.span, arg.span, *value as f64, true)),
                Kind::Literal(Value::Double(value)) => found.push((expr.span, arg.span, *value, false)),
                _ => {}
            }
        }
    }
    expr.for_each_child(|child| bounds(child, found));
}

/// A feature that a rule compares with a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The feature, or the window as the rule binds it, as written.
    pub feature: String,
    /// `<`, `<=`, `>` or `>=`, as if the feature stood on the left.
    pub sign: &'static str,
    /// The number.
    pub bound: f64,
}

fn number(expr: &Expr) -> Option<f64> {
    match &expr.kind {
        Kind::Literal(Value::Int(value)) => Some(*value as f64),
        Kind::Literal(Value::Double(value)) => Some(*value),
        _ => None,
    }
}

/// The signs of comparisons with what they are when the sides change places.
const SIGNS: [(&str, &str); 4] = [("<", ">"), ("<=", ">="), (">", "<"), (">=", "<=")];

/// What `rule` compares with numbers, side by side: `evidence.total >= 3.0` and `3.0 <= evidence.total` alike. A test of a sum, a
/// product or a name from `let` has no bound of one feature, so it is left out; nothing of a rule that does not parse.
pub fn compared(rule: &RuleSpec) -> Vec<Compared> {
    fn collect(expr: &Expr, text: &str, found: &mut Vec<Compared>) {
        if let Kind::Call { target: None, name, args } = &expr.kind
            && let Some((sign, turned)) = SIGNS.iter().find(|(sign, _)| sign == name)
            && let [left, right] = args.as_slice()
        {
            let side = match (number(left), number(right)) {
                (None, Some(bound)) => Some((left, *sign, bound)),
                (Some(bound), None) => Some((right, *turned, bound)),
                _ => None,
            };
            if let Some((side, sign, bound)) = side {
                let (start, end) = (side.span.start as usize, side.span.end as usize);
                let feature = text.get(start..end).unwrap_or_default().trim().to_owned();
                found.push(Compared { feature, sign, bound });
            }
        }
        expr.for_each_child(|child| collect(child, text, found));
    }
    let mut found = Vec::new();
    if let Ok(expr) = lang::parse(&rule.when) {
        collect(&expr, &rule.when, &mut found);
    }
    found
}

/// Every bound of `rule` times each of `factors`; none of a rule that does not parse.
pub fn variants(rule: &RuleSpec, factors: &[f64]) -> Vec<Variant> {
    let Ok(expr) = lang::parse(&rule.when) else { return Vec::new() };
    let mut found = Vec::new();
    bounds(&expr, &mut found);
    let mut variants = Vec::new();
    for (test, place, bound, whole) in found.into_iter().filter(|(_, _, bound, _)| *bound != 0.0) {
        for factor in factors {
            let moved = if whole { (bound * factor).round() } else { bound * factor };
            let (start, end) = (place.start as usize, place.end as usize);
            let (Some(before), Some(after)) = (rule.when.get(..start), rule.when.get(end..)) else {
                continue;
            };
            let text = if whole { format!("{moved:.0}") } else { format!("{moved:?}") };
            variants.push(Variant {
                rule: rule.id.to_string(),
                test: rule
                    .when
                    .get(test.start as usize..test.end as usize)
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
                bound,
                moved,
                spec: RuleSpec {
                    when: format!("{before}{text}{after}"),
                    mode: Mode::Shadow,
                    canary_percent: None,
                    replaces: None,
                    examples: Vec::new(),
                    ..rule.clone()
                },
            });
        }
    }
    variants
}
