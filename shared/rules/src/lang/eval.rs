//! The general evaluator: all of the language, by walking the tree. Live rules run in compiled form; this is what they
//! are compared with, and what everything else uses.

use super::{
    ast::{Expr, Kind, Loop, LoopKind},
    functions, net, strings,
    value::{Value, lookup},
};

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be computed; says why.
    Error(String),
    /// It depends on data that is missing.
    Unknown,
    /// It took more work than an evaluation may.
    Exhausted,
}

/// A value, or why there is none.
pub type Outcome = Result<Value, Fault>;

pub(super) fn error<T>(detail: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Error(detail.into()))
}

/// Steps an evaluation may take, where making a value counts by its length.
const STEPS_MAX: usize = 2_000_000;

/// What global names stand for; `None` for a name that is not declared.
pub type Globals<'a> = &'a dyn Fn(&str) -> Option<Outcome>;

/// How an expression is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// As the language says: `0.0 / 0.0` is NaN.
    #[default]
    Standard,
    /// As rules want it: a calculation on doubles that yields no finite number is unknown, so that dividing by a count of
    /// zero never makes a rule true.
    FiniteOrUnknown,
}

/// Evaluates a resolved expression.
pub fn evaluate(expr: &Expr, globals: Globals<'_>, arithmetic: Arithmetic) -> Outcome {
    evaluate_within(expr, globals, arithmetic, Vec::new(), STEPS_MAX)
}

/// The same inside of macros that gave `locals` their values, in at most `steps` steps.
pub(crate) fn evaluate_within<'e>(
    expr: &'e Expr,
    globals: Globals<'_>,
    arithmetic: Arithmetic,
    locals: Vec<(&'e str, Outcome)>,
    steps: usize,
) -> Outcome {
    Evaluator { globals, arithmetic, steps, locals, patterns: Vec::new() }.expr(expr)
}

struct Evaluator<'a, 'e> {
    globals: Globals<'a>,
    arithmetic: Arithmetic,
    steps: usize,
    locals: Vec<(&'e str, Outcome)>,
    /// Regular expressions compiled so far: a loop compiles each once.
    patterns: Vec<(std::sync::Arc<str>, regex::Regex)>,
}

/// What compiling a regular expression counts for, in steps: it takes as long as that many of them.
const PATTERN_STEPS: usize = 30_000;

/// Collects what several parts say: an error is remembered, and unknown outweighs it.
fn worse(held: Option<Fault>, fault: Fault) -> Fault {
    if held == Some(Fault::Unknown) {
        Fault::Unknown
    } else {
        held.filter(|_| fault != Fault::Unknown).unwrap_or(fault)
    }
}

impl<'e> Evaluator<'_, 'e> {
    fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(Fault::Exhausted)
            }
        }
    }

    fn expr(&mut self, expr: &'e Expr) -> Outcome {
        self.spend(1)?;
        match &expr.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Ident(name) => self.name(name),
            Kind::Select { operand, field, test, optional } => {
                let of = self.expr(operand)?;
                if *test { has(&of, field) } else { select(&of, field, *optional) }
            }
            Kind::Call { target, name, args } => self.call(target.as_deref(), name, args),
            Kind::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    values.extend(self.item(item, *optional)?);
                }
                Ok(values.into())
            }
            Kind::Map(entries) => self.map(entries),
            Kind::Loop(inner) => self.over(inner),
            Kind::Bind { name, init, body } => {
                let value = self.expr(init);
                self.inside(vec![(name, value)], |evaluator| evaluator.expr(body))
            }
            Kind::Block { slots, body } => {
                let outer = self.locals.len();
                for (index, slot) in slots.iter().enumerate() {
                    let value = self.expr(slot);
                    // Blocks are written by optimisers; more names than these are an error when they are used.
                    let name = BLOCK_NAMES.get(index).copied().unwrap_or("@index");
                    self.locals.push((name, value));
                }
                let value = self.expr(body);
                self.locals.truncate(outer);
                value
            }
            Kind::OptMap { target, name, body, flat } => match self.expr(target)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(inner)) => {
                    let inner = inner.as_ref().clone();
                    let value = self.inside(vec![(name, Ok(inner))], |evaluator| evaluator.expr(body))?;
                    match value {
                        Value::Optional(_) if *flat => Ok(value),
                        _ if *flat => error("optFlatMap needs an optional"),
                        value => Ok(Value::Optional(Some(value.into()))),
                    }
                }
                _ => no_overload(),
            },
        }
    }

    fn item(&mut self, item: &'e Expr, optional: bool) -> Result<Option<Value>, Fault> {
        match (self.expr(item)?, optional) {
            (value, false) => Ok(Some(value)),
            (Value::Optional(inner), true) => Ok(inner.map(|inner| inner.as_ref().clone())),
            _ => error("only an optional may follow a ?"),
        }
    }

    fn map(&mut self, entries: &'e [(Expr, Expr, bool)]) -> Outcome {
        let mut made: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.expr(key)?;
            let Some(value) = self.item(value, *optional)? else { continue };
            self.insert(&mut made, key, value)?;
        }
        Ok(Value::Map(made.into()))
    }

    fn insert(&mut self, made: &mut Vec<(Value, Value)>, key: Value, value: Value) -> Result<(), Fault> {
        if !key.is_key() {
            return error(format!("{} cannot be the key of a map", key.type_name()));
        }
        self.spend(made.len())?;
        if lookup(made, &key).is_some() {
            return error("a map has a key twice");
        }
        made.push((key, value));
        Ok(())
    }

    fn inside<T>(&mut self, names: Vec<(&'e str, Outcome)>, inner: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.locals.len();
        self.locals.extend(names);
        let result = inner(self);
        self.locals.truncate(outer);
        result
    }

    fn name(&self, name: &str) -> Outcome {
        if let Some((_, value)) = self.locals.iter().rev().find(|(local, _)| *local == name) {
            return value.clone();
        }
        let global = name.strip_prefix('.').unwrap_or(name);
        (self.globals)(global).unwrap_or_else(|| error(format!("there is no {global}")))
    }

    fn over(&mut self, inner: &'e Loop) -> Outcome {
        let pairs: Vec<(Value, Value)> = match self.expr(&inner.range)? {
            Value::List(items) => {
                items.iter().enumerate().map(|(at, item)| (Value::Int(at as i64), item.clone())).collect()
            }
            Value::Map(entries) if inner.second.is_some() => entries.to_vec(),
            Value::Map(entries) => entries.iter().map(|(key, _)| (key.clone(), key.clone())).collect(),
            _ => return no_overload(),
        };
        let (mut list, mut map) = (Vec::new(), Vec::new());
        let (mut fault, mut count) = (None, 0u64);
        for (key, value) in pairs {
            let names = match &inner.second {
                Some(second) => vec![(inner.first.as_str(), Ok(key.clone())), (second.as_str(), Ok(value))],
                None => vec![(inner.first.as_str(), Ok(value))],
            };
            let outer = self.locals.len();
            self.locals.extend(names);
            let taken = match &inner.filter {
                Some(filter) => self.expr(filter).and_then(as_bool),
                None => Ok(true),
            };
            let made = match taken {
                Ok(true) => Some(self.expr(&inner.body)),
                Ok(false) => None,
                Err(fault) => Some(Err(fault)),
            };
            self.locals.truncate(outer);
            let Some(made) = made else { continue };
            match inner.kind {
                LoopKind::All | LoopKind::Exists => match made.and_then(as_bool) {
                    Ok(found) if found == (inner.kind == LoopKind::Exists) => return Ok(Value::Bool(found)),
                    Ok(_) => {}
                    Err(found) => fault = Some(worse(fault, found)),
                },
                LoopKind::ExistsOne => match made.and_then(as_bool) {
                    Ok(found) => count += u64::from(found),
                    Err(found) => fault = Some(worse(fault, found)),
                },
                LoopKind::List => match made {
                    Ok(value) => list.push(value),
                    Err(found) => fault = Some(worse(fault, found)),
                },
                LoopKind::Map => match made {
                    Ok(value) => self.insert(&mut map, key, value)?,
                    Err(found) => fault = Some(worse(fault, found)),
                },
                LoopKind::MapEntry => match made {
                    Ok(Value::Map(entries)) => {
                        for (key, value) in entries.iter() {
                            self.insert(&mut map, key.clone(), value.clone())?;
                        }
                    }
                    Ok(_) => return error("transformMapEntry needs a map"),
                    Err(found) => fault = Some(worse(fault, found)),
                },
            }
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        Ok(match inner.kind {
            LoopKind::All => Value::Bool(true),
            LoopKind::Exists => Value::Bool(false),
            LoopKind::ExistsOne => Value::Bool(count == 1),
            LoopKind::List => list.into(),
            LoopKind::Map | LoopKind::MapEntry => Value::Map(map.into()),
        })
    }

    fn call(&mut self, target: Option<&'e Expr>, name: &str, args: &'e [Expr]) -> Outcome {
        match (name, args) {
            ("&&" | "||", args) if target.is_none() => return self.joined(name == "||", args),
            ("?:", [condition, yes, no]) if target.is_none() => {
                let taken = self.expr(condition).and_then(as_bool)?;
                return self.expr(if taken { yes } else { no });
            }
            // Part of the language of rules alone, where a value may be unknown.
            ("known", [arg]) if target.is_none() && self.arithmetic == Arithmetic::FiniteOrUnknown => {
                return match self.expr(arg) {
                    Err(Fault::Exhausted) => Err(Fault::Exhausted),
                    outcome => Ok(Value::Bool(outcome.is_ok())),
                };
            }
            ("or" | "orValue", [other]) if let Some(target) = target => {
                return match self.expr(target)? {
                    Value::Optional(Some(inner)) if name == "orValue" => Ok(inner.as_ref().clone()),
                    held @ Value::Optional(Some(_)) => Ok(held),
                    Value::Optional(None) => match self.expr(other)? {
                        value if name == "orValue" => Ok(value),
                        value @ Value::Optional(_) => Ok(value),
                        _ => no_overload(),
                    },
                    _ => no_overload(),
                };
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        let mut fault = None;
        for arg in target.into_iter().chain(args) {
            match self.expr(arg) {
                Ok(value) => values.push(value),
                Err(found) => fault = Some(worse(fault, found)),
            }
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        // Work and memory grow with what goes in and comes out.
        self.spend(values.iter().map(Value::weight).sum())?;
        if let ("matches", [Value::Text(text), Value::Text(pattern)]) = (name, values.as_slice()) {
            return self.matches(text, pattern);
        }
        let result = match target {
            Some(_) => strings::method(name, &values)
                .or_else(|| net::method(name, &values))
                .unwrap_or_else(|| functions::method(name, &values)),
            None => net::function(name, &values).unwrap_or_else(|| functions::function(name, &values)),
        }?;
        self.spend(result.weight())?;
        match result {
            Value::Double(value)
                if !value.is_finite()
                    && self.arithmetic == Arithmetic::FiniteOrUnknown
                    && matches!(name, "+" | "-" | "*" | "/" | "-_" | "math.sqrt" | "double") =>
            {
                Err(Fault::Unknown)
            }
            value => Ok(value),
        }
    }

    fn matches(&mut self, text: &str, pattern: &std::sync::Arc<str>) -> Outcome {
        if let Some((_, regex)) = self.patterns.iter().find(|(known, _)| known == pattern) {
            return Ok(Value::Bool(regex.is_match(text)));
        }
        self.spend(PATTERN_STEPS)?;
        let regex = functions::regex(pattern).map_err(Fault::Error)?;
        let found = regex.is_match(text);
        self.patterns.push((pattern.clone(), regex));
        Ok(Value::Bool(found))
    }

    /// `&&` and `||`: what decides is found wherever it stands; otherwise unknown outweighs an error.
    fn joined(&mut self, decisive: bool, args: &'e [Expr]) -> Outcome {
        let mut fault = None;
        for arg in args {
            match self.expr(arg).and_then(as_bool) {
                Ok(value) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                Err(found) => fault = Some(worse(fault, found)),
            }
        }
        fault.map_or(Ok(Value::Bool(!decisive)), Err)
    }
}

const BLOCK_NAMES: [&str; 32] = [
    "@index0", "@index1", "@index2", "@index3", "@index4", "@index5", "@index6", "@index7", "@index8",
    "@index9", "@index10", "@index11", "@index12", "@index13", "@index14", "@index15", "@index16",
    "@index17", "@index18", "@index19", "@index20", "@index21", "@index22", "@index23", "@index24",
    "@index25", "@index26", "@index27", "@index28", "@index29", "@index30", "@index31",
];

pub(super) fn no_overload<T>() -> Result<T, Fault> {
    error("no such overload")
}

#[allow(clippy::needless_pass_by_value, reason = "it follows an evaluation, by `and_then`")]
fn as_bool(value: Value) -> Result<bool, Fault> {
    match value {
        Value::Bool(value) => Ok(value),
        _ => no_overload(),
    }
}

fn has(of: &Value, field: &str) -> Outcome {
    match of {
        Value::Map(entries) => Ok(Value::Bool(lookup(entries, &Value::from(field)).is_some())),
        Value::Optional(None) => Ok(Value::Bool(false)),
        Value::Optional(Some(inner)) => has(inner, field),
        _ => no_overload(),
    }
}

fn select(of: &Value, field: &str, optional: bool) -> Outcome {
    match of {
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => match &**inner {
            Value::Optional(_) => no_overload(),
            inner => select(inner, field, true),
        },
        Value::Map(entries) => match (lookup(entries, &Value::from(field)), optional) {
            (Some(value), false) => Ok(value.clone()),
            (value, true) => Ok(Value::Optional(value.cloned().map(Into::into))),
            (None, false) => error(format!("no such key: {field}")),
        },
        _ => no_overload(),
    }
}

/// `of[index]` and `of[?index]`.
pub(super) fn index(of: &Value, at: &Value, optional: bool) -> Outcome {
    let found = match of {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => return index(inner, at, true),
        Value::Map(entries) => lookup(entries, at).cloned(),
        Value::List(items) => {
            let whole = match at {
                Value::Int(at) => usize::try_from(*at).ok(),
                Value::Uint(at) => usize::try_from(*at).ok(),
                Value::Double(at) if at.fract() == 0.0 && *at >= 0.0 && *at < 1e15 => Some(*at as usize),
                Value::Double(_) => None,
                _ => return no_overload(),
            };
            whole.and_then(|at| items.get(at)).cloned()
        }
        _ => return no_overload(),
    };
    match (found, optional) {
        (Some(value), false) => Ok(value),
        (value, true) => Ok(Value::Optional(value.map(Into::into))),
        (None, false) => error("no such key or index"),
    }
}
