//! Windows that rules bind where they use them: `cancellations.rate("7d")`, `wilson_lower(cancellations, "7d")`.

use std::fmt;

use crate::{
    FeatureSchema,
    lang::{Expr, Flaw, Kind, Loop, Span, Value},
    parse_duration_ms,
    suggest::nearest,
};

/// Shortest and longest window: the longest is what `supplier.events` retains.
pub const WINDOW_MS: std::ops::RangeInclusive<i64> = 30_000..=90 * 86_400_000;

/// What is read of a window.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// How many events.
    Count,
    /// Distinct counterparties.
    Buyers,
    /// Sum of their values.
    Sum,
    /// Mean of their values.
    Mean,
    /// Events per event of the measure they are part of, such as orders.
    Rate,
    /// Wilson lower bound of that rate.
    RateLow,
}

impl Take {
    const METHODS: [(&str, Take); 5] = [
        ("count", Take::Count),
        ("buyers", Take::Buyers),
        ("sum", Take::Sum),
        ("mean", Take::Mean),
        ("rate", Take::Rate),
    ];
    /// The unit of the number.
    pub const fn unit(self) -> &'static str {
        match self {
            Take::Count | Take::Buyers => "count",
            Take::Sum | Take::Mean => "value",
            Take::Rate | Take::RateLow => "ratio",
        }
    }
}

/// A measure over a window.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct Binding {
    /// The measure.
    pub measure: String,
    /// What is read of it.
    pub take: Take,
    /// Length of the window in milliseconds.
    pub window_ms: i64,
}

/// The shortest way to write a length: `7d`, `36h`, `90s`.
fn length(ms: i64) -> String {
    let units = [(86_400_000, 'd'), (3_600_000, 'h'), (60_000, 'm')];
    match units.into_iter().find(|(unit, _)| ms % unit == 0) {
        Some((unit, letter)) => format!("{}{letter}", ms / unit),
        None => format!("{}s", ms / 1_000),
    }
}

/// As rules write it.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measure, window) = (&self.measure, length(self.window_ms));
        match Take::METHODS.into_iter().find(|(_, take)| *take == self.take) {
            Some((method, _)) => write!(f, "{measure}.{method}(\"{window}\")"),
            None => write!(f, "wilson_lower({measure}, \"{window}\")"),
        }
    }
}

/// Replaces every window that `expr` binds by the name of its feature, and says which they are. Names of measures are
/// known from `schema`; whether a slot is kept for a window is not asked here.
pub(crate) fn bind(expr: &mut Expr, schema: &FeatureSchema, found: &mut Vec<Binding>) -> Result<(), Flaw> {
    if let Some(binding) = binding(expr, schema)? {
        let slot = schema.window_slot(&binding);
        let name = slot.map_or_else(|| binding.to_string(), |slot| schema.features()[slot].name.clone());
        expr.kind = Kind::Ident(format!(".{name}"));
        found.push(binding);
        return Ok(());
    }
    let mut each = |expr: &mut Expr| bind(expr, schema, found);
    match &mut expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => Ok(()),
        Kind::Select { operand, .. } => each(operand),
        Kind::Call { target, args, .. } => {
            target.iter_mut().try_for_each(|target| each(target))?;
            args.iter_mut().try_for_each(each)
        }
        Kind::List(items) => items.iter_mut().try_for_each(|(item, _)| each(item)),
        Kind::Map(entries) => entries.iter_mut().try_for_each(|(key, value, _)| {
            each(key)?;
            each(value)
        }),
        Kind::Loop(inner) => {
            let Loop { range, filter, body, .. } = inner.as_mut();
            each(range)?;
            filter.iter_mut().try_for_each(&mut each)?;
            each(body)
        }
        Kind::Bind { init, body, .. } => {
            each(init)?;
            each(body)
        }
        Kind::Block { slots, body } => {
            slots.iter_mut().try_for_each(&mut each)?;
            each(body)
        }
        Kind::OptMap { target, body, .. } => {
            each(target)?;
            each(body)
        }
    }
}

fn binding(expr: &Expr, schema: &FeatureSchema) -> Result<Option<Binding>, Flaw> {
    let Kind::Call { target, name, args } = &expr.kind else { return Ok(None) };
    let (measure, take, window) = match (target, name.as_str(), args.as_slice()) {
        (None, "wilson_lower", [measure, window]) => (measure, Take::RateLow, window),
        (None, "wilson_lower", _) => {
            let detail = "write wilson_lower(measure, \"7d\")";
            return Err(Flaw::new("type", expr.span, detail));
        }
        (Some(measure), method, args) => {
            let Kind::Ident(group) = &measure.kind else { return Ok(None) };
            let known = schema.measures().iter().any(|known| known == group);
            let take = Take::METHODS.into_iter().find(|(known, _)| *known == method);
            match (known, take, args) {
                (true, Some((_, take)), [window]) => (&**measure, take, window),
                (true, None, [_]) => {
                    let near = nearest(method, Take::METHODS.iter().map(|(name, _)| *name));
                    let hint = near.map(|near| format!("; did you mean .{near}?")).unwrap_or_default();
                    let detail =
                        format!("a measure has .count, .buyers, .sum, .mean and .rate, no .{method}{hint}");
                    let flaw = Flaw::new("unknown_function", expr.span, detail);
                    return Err(Flaw { suggestion: near.map(str::to_owned), ..flaw });
                }
                (false, Some(_), [Expr { kind: Kind::Literal(Value::Text(_)), .. }]) => {
                    return Err(unknown_measure(group, schema, measure.span));
                }
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    let name = match &measure.kind {
        Kind::Ident(name) if schema.measures().contains(name) => name.clone(),
        Kind::Ident(name) => return Err(unknown_measure(name, schema, measure.span)),
        _ => return Err(Flaw::new("type", measure.span, "the name of a measure is needed here")),
    };
    let Kind::Literal(Value::Text(text)) = &window.kind else {
        return Err(Flaw::new("bad_window", window.span, "a window is written as a text, such as \"7d\""));
    };
    match parse_duration_ms(text).filter(|ms| WINDOW_MS.contains(ms)) {
        Some(window_ms) => Ok(Some(Binding { measure: name, take, window_ms })),
        None => {
            let detail = format!("{text:?} is not a window: write \"30s\" to \"90d\", such as \"24h\"");
            Err(Flaw::new("bad_window", window.span, detail))
        }
    }
}

fn unknown_measure(name: &str, schema: &FeatureSchema, span: Span) -> Flaw {
    let near = nearest(name, schema.measures().iter().map(String::as_str));
    let hint = near.map_or_else(
        || "`stockade rules features` lists them".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    let flaw = Flaw::new("unknown_name", span, format!("no measure is called {name}; {hint}"));
    Flaw { suggestion: near.map(str::to_owned), ..flaw }
}
