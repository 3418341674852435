//! What compiles and yet is hardly meant: comparisons that what a feature can be decides, and constants that cannot be.

use crate::{
    Feature, FeatureSchema,
    lang::{self, Arithmetic, Expr, Fault, Flaw, Kind, Value},
    program::Compare,
    suggest::nearest,
};

/// Steps that a constant part may take.
const STEPS_MAX: usize = 10_000;

/// What `expr`, resolved and without the named expressions it uses, makes a reader suspect. `named` tells what a named
/// expression stands for.
pub(crate) fn lint<'e>(
    expr: &'e Expr,
    schema: &FeatureSchema,
    named: &dyn Fn(&str) -> Option<&'e Expr>,
) -> Vec<Flaw> {
    let mut lint = Lint { schema, named, found: Vec::new() };
    lint.visit(expr);
    lint.found
}

struct Lint<'a, 'e> {
    schema: &'a FeatureSchema,
    named: &'a dyn Fn(&str) -> Option<&'e Expr>,
    found: Vec<Flaw>,
}

/// What the bounds of a feature say of a comparison.
enum Decided {
    Never,
    Always,
}

impl<'e> Lint<'_, 'e> {
    fn visit(&mut self, expr: &'e Expr) {
        let before = self.found.len();
        self.comparison(expr);
        self.zone(expr);
        expr.for_each_child(|child| self.visit(child));
        // The innermost part that cannot be computed is the one to look at.
        if self.found.len() == before && matches!(expr.kind, Kind::Call { .. }) && is_closed(expr) {
            self.constant(expr);
        }
    }

    /// The feature that a name stands for, directly or as a named expression.
    fn feature(&self, expr: &Expr) -> Option<&Feature> {
        let Kind::Ident(name) = &expr.kind else { return None };
        let name = name.strip_prefix('.')?;
        if let Some(slot) = self.schema.slot(name) {
            return self.schema.features().get(slot);
        }
        match (self.named)(name).map(|expr| &expr.kind) {
            Some(Kind::Ident(inner)) => {
                let slot = self.schema.slot(inner.strip_prefix('.')?)?;
                self.schema.features().get(slot)
            }
            _ => None,
        }
    }

    fn comparison(&mut self, expr: &Expr) {
        let Kind::Call { target: None, name, args } = &expr.kind else { return };
        let [left, right] = args.as_slice() else { return };
        if name == "in" {
            self.membership(expr, left, right);
            return;
        }
        let Some(compare) = Compare::parse(name) else { return };
        let (feature, compare, bound) = match (self.feature(left), self.feature(right)) {
            (Some(feature), None) => (feature, compare, number(right)),
            (None, Some(feature)) => (feature, compare.flipped(), number(left)),
            _ => return,
        };
        let Some(bound) = bound else { return };
        let said = match decide(feature, compare, bound) {
            Some(Decided::Never) => ("never_holds", "can never hold"),
            Some(Decided::Always) => ("always_holds", "holds whenever the feature is known"),
            None => return,
        };
        let (code, what) = said;
        let (name, bounds) = (feature.name.clone(), feature.bounds);
        let mut flaw = Flaw::new(code, expr.span, format!("this {what}: {name} is {bounds}"));
        if code == "always_holds" {
            flaw.detail += &format!("; known({name}) says so plainly");
        } else if bounds.high == 1.0 && (1.0..=100.0).contains(&bound) && bound != 1.0 {
            let share = crate::explain::number(bound / 100.0);
            flaw.detail += &format!("; {} % is written {share}", crate::explain::number(bound));
            flaw.suggestion = Some(share);
        }
        self.found.push(flaw);
    }

    /// `feature in [a, b]`, of which none can be.
    fn membership(&mut self, expr: &Expr, item: &Expr, list: &Expr) {
        let (Some(feature), Kind::List(items)) = (self.feature(item), &list.kind) else { return };
        let never = |item: &Expr| {
            number(item)
                .is_some_and(|bound| matches!(decide(feature, Compare::Equal, bound), Some(Decided::Never)))
        };
        if !items.is_empty() && items.iter().all(|(item, _)| never(item)) {
            let detail = format!("this can never hold: {} is {}", feature.name, feature.bounds);
            self.found.push(Flaw::new("never_holds", expr.span, detail));
        }
    }

    /// `now.getHours("Europe/Nowhere")`.
    fn zone(&mut self, expr: &Expr) {
        let Kind::Call { target: Some(_), name, args } = &expr.kind else { return };
        let [Expr { kind: Kind::Literal(Value::Text(zone)), span, .. }] = args.as_slice() else { return };
        if !lang::TIMESTAMP_FIELDS.contains(&name.as_str()) || lang::Instant::is_zone(zone) {
            return;
        }
        let zones = lang::Instant::zones();
        let near = nearest(zone, zones.iter().map(String::as_str));
        let hint = near.map_or_else(
            || "write one such as \"Europe/Berlin\" or \"+02:00\"".to_owned(),
            |near| format!("did you mean {near:?}?"),
        );
        let detail = format!("there is no time zone {zone:?}, so this is never known; {hint}");
        let flaw = Flaw::new("impossible_constant", *span, detail);
        self.found.push(Flaw { suggestion: near.map(str::to_owned), ..flaw });
    }

    fn constant(&mut self, expr: &Expr) {
        let Kind::Call { name, args, .. } = &expr.kind else { return };
        let outcome =
            lang::evaluate_within(expr, &|_| None, Arithmetic::FiniteOrUnknown, Vec::new(), STEPS_MAX);
        let why = match outcome {
            Err(Fault::Error(why)) => why,
            Err(Fault::Unknown) => "it yields no finite number".to_owned(),
            Ok(_) | Err(Fault::Exhausted) => return,
        };
        let (mut hint, mut suggestion) = (String::new(), None);
        if let ("timestamp" | "duration", [Expr { kind: Kind::Literal(Value::Text(text)), .. }]) =
            (name.as_str(), args.as_slice())
        {
            suggestion = if name == "timestamp" { meant_instant(text) } else { meant_length(text) };
            hint = match &suggestion {
                Some(meant) => format!("; did you mean {meant}?"),
                None if name == "timestamp" => {
                    "; write a day that there is, with time and zone, such as 2027-01-31T00:00:00Z".to_owned()
                }
                None => "; write it with h, m and s, such as 36h or 1h30m".to_owned(),
            };
        }
        let detail =
            format!("this can never be computed ({why}), so nothing that needs it is ever true{hint}");
        self.found.push(Flaw { suggestion, ..Flaw::new("impossible_constant", expr.span, detail) });
    }
}

/// What the bounds of a feature say of a comparison with a number.
fn decide(feature: &Feature, compare: Compare, bound: f64) -> Option<Decided> {
    let (low, high) = (feature.bounds.low, feature.bounds.high);
    let (below, above) = (bound < low, bound > high);
    let broken = feature.bounds.whole && bound.fract() != 0.0;
    let (never, always) = match compare {
        Compare::Less => (bound <= low, above),
        Compare::LessEqual => (below, bound >= high),
        Compare::Greater => (bound >= high, below),
        Compare::GreaterEqual => (above, bound <= low),
        Compare::Equal => (below || above || broken, false),
        Compare::NotEqual => (false, below || above || broken),
    };
    if never { Some(Decided::Never) } else { always.then_some(Decided::Always) }
}

/// The number that a part without names is.
fn number(expr: &Expr) -> Option<f64> {
    if !is_closed(expr) {
        return None;
    }
    match lang::evaluate_within(expr, &|_| None, Arithmetic::FiniteOrUnknown, Vec::new(), STEPS_MAX) {
        Ok(Value::Double(value)) => Some(value),
        Ok(Value::Int(value)) => Some(value as f64),
        Ok(Value::Uint(value)) => Some(value as f64),
        _ => None,
    }
}

/// Whether no name occurs in it, be it of a feature or of a macro's variable.
fn is_closed(expr: &Expr) -> bool {
    let mut closed = !matches!(expr.kind, Kind::Ident(_));
    expr.for_each_child(|child| closed = closed && is_closed(child));
    closed
}

/// A time without a zone, or a day without a time, as it was probably meant.
fn meant_instant(text: &str) -> Option<String> {
    let spaced = text.trim().replacen(' ', "T", 1);
    [format!("{spaced}Z"), format!("{spaced}T00:00:00Z"), format!("{spaced}:00Z"), spaced]
        .into_iter()
        .find(|meant| lang::Instant::parse(meant).is_some())
}

/// A length in days, which the language does not know, in hours.
fn meant_length(text: &str) -> Option<String> {
    let days: u32 = text.trim().strip_suffix('d')?.parse().ok()?;
    days.checked_mul(24).map(|hours| format!("{hours}h"))
}
