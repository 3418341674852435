//! Why a condition holds or does not, for people.

use stockade_model::Counterfactual;

use crate::{
    FeatureSchema, Snapshot, Truth,
    condition::{general, globals},
    lang::{self, Arithmetic, Expr, Fault, Kind, Value},
};

/// What a condition saw.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Explanation {
    /// Whether it holds.
    pub truth: Truth,
    /// The condition as a tree of lines, each part with its truth, or `skipped` when an earlier part decided, and each
    /// feature with the value seen.
    pub tree: Vec<String>,
    /// What would have had to differ, the nearest first.
    pub counterfactuals: Vec<Counterfactual>,
}

pub(crate) fn explain(expr: &Expr, schema: &FeatureSchema, snapshot: &Snapshot<'_>) -> Explanation {
    let mut tree = Vec::new();
    let mut explainer = Explainer { schema, snapshot, lets: Vec::new(), lines: &mut tree };
    explainer.part(expr, 0, false);
    let truth = general(expr, schema, snapshot);
    Explanation { truth, tree, counterfactuals: counterfactuals(expr, truth, schema, snapshot) }
}

struct Explainer<'a, 'e> {
    schema: &'a FeatureSchema,
    snapshot: &'a Snapshot<'a>,
    lets: Vec<(&'e str, &'e Expr)>,
    lines: &'a mut Vec<String>,
}

const LINES_MAX: usize = 200;

impl<'e> Explainer<'_, 'e> {
    /// What a part comes to, inside of the names around it.
    fn outcome(&self, expr: &'e Expr) -> Result<Value, Fault> {
        let globals = globals(self.schema, self.snapshot);
        let mut locals: Vec<(&str, Result<Value, Fault>)> = Vec::new();
        for (name, init) in &self.lets {
            let value =
                lang::evaluate_within(init, &globals, Arithmetic::FiniteOrUnknown, locals.clone(), 100_000);
            locals.push((name, value));
        }
        lang::evaluate_within(expr, &globals, Arithmetic::FiniteOrUnknown, locals, 100_000)
    }

    fn truth(&self, expr: &'e Expr) -> Truth {
        match self.outcome(expr) {
            Ok(Value::Bool(value)) => value.into(),
            _ => Truth::Unknown,
        }
    }

    fn line(&mut self, depth: usize, skipped: bool, truth: Truth, text: &str) {
        if self.lines.len() >= LINES_MAX {
            return;
        }
        let said = match truth {
            _ if skipped => "skipped",
            Truth::True => "true   ",
            Truth::False => "false  ",
            Truth::Unknown => "unknown",
        };
        self.lines.push(format!("{}{said} {text}", "  ".repeat(depth)));
    }

    fn part(&mut self, expr: &'e Expr, depth: usize, skipped: bool) {
        if let Kind::Bind { name, init, body } = &expr.kind {
            self.lets.push((name, init));
            self.part(body, depth, skipped);
            self.lets.pop();
            return;
        }
        let truth = self.truth(expr);
        match &expr.kind {
            Kind::Ident(name)
                if let Some((name, init)) = self.lets.iter().find(|(known, _)| known == name).copied() =>
            {
                self.line(depth, skipped, truth, name);
                self.part(init, depth + 1, skipped);
            }
            Kind::Call { target: None, name, args } if matches!(name.as_str(), "&&" | "||") => {
                let decisive = if name == "&&" { Truth::False } else { Truth::True };
                self.line(depth, skipped, truth, if name == "&&" { "all of" } else { "any of" });
                let mut decided = skipped;
                for arg in args {
                    self.part(arg, depth + 1, decided);
                    decided = decided || self.truth(arg) == decisive;
                }
            }
            Kind::Call { target: None, name, args } if name == "!" && args.len() == 1 => {
                self.line(depth, skipped, truth, "not");
                self.part(&args[0], depth + 1, skipped);
            }
            Kind::Call { target: None, name, args } if name == "?:" && args.len() == 3 => {
                self.line(depth, skipped, truth, "if");
                let condition = self.truth(&args[0]);
                self.part(&args[0], depth + 1, skipped);
                self.part(&args[1], depth + 1, skipped || condition != Truth::True);
                self.part(&args[2], depth + 1, skipped || condition != Truth::False);
            }
            _ => {
                let text = self.text(expr, 0);
                self.line(depth, skipped, truth, &text);
            }
        }
    }

    fn value(&self, expr: &'e Expr) -> String {
        match self.outcome(expr) {
            Ok(value) => shown(&value),
            Err(_) => "unknown".to_owned(),
        }
    }

    fn text(&self, expr: &'e Expr, binding: u8) -> String {
        match &expr.kind {
            Kind::Literal(value) => shown(value),
            Kind::Ident(name) => {
                let bare = name.strip_prefix('.').unwrap_or(name);
                format!("{bare} [{}]", self.value(expr))
            }
            Kind::Call { target: None, name, args } => match (name.as_str(), args.as_slice()) {
                ("[]", [of, at]) => format!("{}[{}]", self.text(of, 9), self.text(at, 0)),
                ("-_" | "!", [a]) => format!("{}{}", &name[..1], self.text(a, 8)),
                (sign, [a, b]) if strength(sign) > 0 => {
                    let own = strength(sign);
                    let text = format!("{} {sign} {}", self.text(a, own), self.text(b, own + 1));
                    if own < binding { format!("({text})") } else { text }
                }
                ("?:", [a, b, c]) => {
                    format!("({} ? {} : {})", self.text(a, 1), self.text(b, 1), self.text(c, 1))
                }
                ("&&" | "||", args) => {
                    let parts: Vec<String> = args.iter().map(|arg| self.text(arg, 3)).collect();
                    format!("({})", parts.join(&format!(" {name} ")))
                }
                (name, args) => format!("{name}({})", self.list(args)),
            },
            Kind::Call { target: Some(target), name, args } => {
                format!("{}.{name}({})", self.text(target, 9), self.list(args))
            }
            Kind::List(items) => {
                let items: Vec<String> = items.iter().map(|(item, _)| self.text(item, 0)).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Loop(_) => format!("a loop [{}]", self.value(expr)),
            _ => format!("… [{}]", self.value(expr)),
        }
    }

    fn list(&self, args: &'e [Expr]) -> String {
        args.iter().map(|arg| self.text(arg, 0)).collect::<Vec<_>>().join(", ")
    }
}

fn strength(sign: &str) -> u8 {
    match sign {
        "<" | "<=" | ">" | ">=" | "==" | "!=" | "in" => 3,
        "+" | "-" => 4,
        "*" | "/" | "%" => 5,
        _ => 0,
    }
}

/// Whole doubles without their `.0`, and no more digits than a person reads.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    // Features are stored in four bytes, which hold seven digits.
    let rounded: f64 = format!("{value:.6e}").parse().unwrap_or(value);
    rounded.to_string()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Double(value) => number(*value),
        Value::Text(text) => format!("{:?}", text),
        Value::Timestamp(at) => at.to_string(),
        Value::Duration(span) => span.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => format!("{value}u"),
        Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.type_name().to_owned(),
    }
}

/// The tests of one feature against a constant number.
fn tests<'e>(expr: &'e Expr, schema: &FeatureSchema, found: &mut Vec<(usize, &'e str, f64, bool)>) {
    if let Kind::Call { target: None, name, args } = &expr.kind
        && strength(name) == 3
        && let [left, right] = args.as_slice()
    {
        let slot = |expr: &Expr| match &expr.kind {
            Kind::Ident(name) => name.strip_prefix('.').and_then(|name| schema.slot(name)),
            _ => None,
        };
        let constant = |expr: &Expr| match &expr.kind {
            Kind::Literal(Value::Double(value)) => Some(*value),
            Kind::Literal(Value::Int(value)) => Some(*value as f64),
            Kind::Literal(Value::Uint(value)) => Some(*value as f64),
            _ => None,
        };
        if let (Some(slot), Some(bound)) = (slot(left), constant(right)) {
            found.push((slot, name, bound, false));
        } else if let (Some(bound), Some(slot)) = (constant(left), slot(right)) {
            found.push((slot, name, bound, true));
        }
    }
    expr.for_each_child(|child| tests(child, schema, found));
}

fn flip(sign: &str) -> &str {
    match sign {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn counterfactuals(
    expr: &Expr,
    truth: Truth,
    schema: &FeatureSchema,
    snapshot: &Snapshot<'_>,
) -> Vec<Counterfactual> {
    let mut found = Vec::new();
    tests(expr, schema, &mut found);
    let mut slots = snapshot.slots.to_vec();
    slots.resize(slots.len().max(schema.features().len()), f32::NAN);
    let mut all: Vec<Counterfactual> = Vec::new();
    for (slot, sign, bound, swapped) in found {
        let sign = if swapped { flip(sign) } else { sign };
        let seen = snapshot.feature(slot);
        let held = seen.is_some_and(|seen| match sign {
            "<" => seen < bound,
            "<=" => seen <= bound,
            ">" => seen > bound,
            ">=" => seen >= bound,
            "==" => seen == bound,
            _ => seen != bound,
        });
        // The value on the other side that is nearest to the bound, in the four bytes that features have.
        let whole = schema.features()[slot].unit == "count" && bound.fract() == 0.0;
        let edge = bound as f32;
        let (up, down) = if whole { (edge + 1.0, edge - 1.0) } else { (next(edge, true), next(edge, false)) };
        let needed = match (sign, held) {
            ("<", true) | (">=", false) | ("==", false) | ("!=", true) => at_least(edge, bound),
            ("<=", true) | (">", false) | ("==", true) | ("!=", false) => up,
            ("<", false) | (">=", true) => down,
            _ => at_most(edge, bound),
        };
        let before = std::mem::replace(&mut slots[slot], needed);
        let changed = general(expr, schema, &Snapshot { slots: &slots, ..*snapshot });
        slots[slot] = before;
        let decides = if truth == Truth::True { changed != Truth::True } else { changed == Truth::True };
        let one = Counterfactual {
            feature: schema.features()[slot].name.clone(),
            seen,
            test: format!("{sign} {}", number(bound)),
            needed: f64::from(needed),
            decides,
        };
        if !all.contains(&one) {
            all.push(one);
        }
    }
    let distance = |one: &Counterfactual| match one.seen {
        Some(seen) => (one.needed - seen).abs() / seen.abs().max(one.needed.abs()).max(f64::MIN_POSITIVE),
        None => f64::INFINITY,
    };
    all.sort_by(|a, b| b.decides.cmp(&a.decides).then(distance(a).total_cmp(&distance(b))));
    all
}

fn next(value: f32, up: bool) -> f32 {
    if up { value.next_up() } else { value.next_down() }
}
fn at_least(edge: f32, bound: f64) -> f32 {
    if f64::from(edge) < bound { edge.next_up() } else { edge }
}
fn at_most(edge: f32, bound: f64) -> f32 {
    if f64::from(edge) > bound { edge.next_down() } else { edge }
}
