//! One condition: read, bound, checked, and compiled with others into one program.

use std::collections::BTreeMap;

use crate::{
    Binding, FeatureSchema, RuleError, Scratch, Snapshot, Truth, bind,
    compile::Compiler,
    lang::{self, Arithmetic, Expr, Fault, Flaw, Instant, Kind, Outcome, Span, Ty, Value},
    program::Program,
    range::Conjunction,
    schema::{SCORE, TEXTS},
};

/// Longest expression, in bytes.
pub(crate) const SOURCE_BYTES_MAX: usize = 4_096;
/// Most named expressions in a set.
pub(crate) const LETS_MAX: usize = 256;

/// Named expressions, by name, as read.
pub(crate) type Lets = BTreeMap<String, Expr>;

/// Reads an expression; windows are replaced by the names of their features.
pub(crate) fn read(source: &str, schema: &FeatureSchema, windows: &mut Vec<Binding>) -> Result<Expr, Flaw> {
    if source.len() > SOURCE_BYTES_MAX {
        let detail =
            format!("the condition is {} bytes long, at most {SOURCE_BYTES_MAX} are allowed", source.len());
        return Err(Flaw::new("too_large", Span::default(), detail));
    }
    let mut expr = lang::parse(source)?;
    bind::bind(&mut expr, schema, windows)?;
    Ok(expr)
}

/// The names of `lets` that an expression uses, directly or through each other, each after those it uses itself; an error
/// names one that uses itself.
fn used(expr: &Expr, lets: &Lets) -> Result<Vec<String>, String> {
    fn visit(expr: &Expr, lets: &Lets, open: &mut Vec<String>, done: &mut Vec<String>) -> Result<(), String> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(inner) = lets.get(name)
        {
            if open.contains(name) || open.len() > LETS_MAX {
                return Err(name.clone());
            }
            if !done.contains(name) {
                open.push(name.clone());
                visit(inner, lets, open, done)?;
                open.pop();
                done.push(name.clone());
            }
        }
        let mut result = Ok(());
        expr.for_each_child(|child| {
            if result.is_ok() {
                result = visit(child, lets, open, done);
            }
        });
        result
    }
    let mut done = Vec::new();
    visit(expr, lets, &mut Vec::new(), &mut done)?;
    Ok(done)
}

/// Puts the named expressions that `expr` uses around it, so that what follows sees one expression.
pub(crate) fn with_lets(expr: Expr, lets: &Lets) -> Result<Expr, Flaw> {
    let names = used(&expr, lets).map_err(|name| {
        Flaw::new("refers_to_itself", expr.span, format!("{name} uses, in the end, itself; break the circle"))
    })?;
    let span = expr.span;
    Ok(names.into_iter().rev().fold(expr, |body, name| {
        let init = lets.get(&name).cloned().unwrap_or_else(|| body.clone());
        Expr::new(Kind::Bind { name, init: Box::new(init), body: Box::new(body) }, span)
    }))
}

/// Resolves and checks an expression that is to be a truth value.
pub(crate) fn check(expr: &mut Expr, schema: &FeatureSchema) -> Result<(), Flaw> {
    lang::resolve(expr, schema.env());
    match lang::check(expr, schema.env())? {
        Ty::Bool | Ty::Dyn => Ok(()),
        other => {
            let detail = format!("the condition yields a value of type {other}; compare it with something");
            Err(Flaw::new("not_a_condition", expr.span, detail))
        }
    }
}

/// What global names stand for in a snapshot.
pub(crate) fn globals<'a>(
    schema: &'a FeatureSchema,
    snapshot: &'a Snapshot<'a>,
) -> impl Fn(&str) -> Option<Outcome> + 'a {
    move |name| {
        if name == "now" {
            return Some(Instant::from_ms(snapshot.now_ms).map(Value::Timestamp).ok_or(Fault::Unknown));
        }
        if TEXTS.contains(&name) {
            let text = match name {
                "supplier.id" => Some(snapshot.supplier),
                "listing.id" => snapshot.listing.map(|(listing, _)| listing),
                _ => snapshot.listing.map(|(_, sku)| sku),
            };
            return Some(text.map(Value::from).ok_or(Fault::Unknown));
        }
        let slot = schema.slot(name)?;
        Some(snapshot.feature(slot).map(Value::Double).ok_or(Fault::Unknown))
    }
}

/// What the general evaluator makes of a condition.
pub(crate) fn general(expr: &Expr, schema: &FeatureSchema, snapshot: &Snapshot<'_>) -> Truth {
    match lang::evaluate(expr, &globals(schema, snapshot), Arithmetic::FiniteOrUnknown) {
        Ok(Value::Bool(value)) => value.into(),
        _ => Truth::Unknown,
    }
}

/// The slots that an expression reads, in the order of their first use; with `tested` only those whose value matters, and
/// not those of which it is only asked whether they are known.
pub(crate) fn reads(expr: &Expr, schema: &FeatureSchema, tested: bool) -> Vec<usize> {
    fn visit(expr: &Expr, schema: &FeatureSchema, tested: bool, slots: &mut Vec<usize>) {
        if tested && matches!(&expr.kind, Kind::Call { target: None, name, .. } if name == "known") {
            return;
        }
        if let Kind::Ident(name) = &expr.kind
            && let Some(slot) = name.strip_prefix('.').and_then(|name| schema.slot(name))
            && !slots.contains(&slot)
        {
            slots.push(slot);
        }
        expr.for_each_child(|child| visit(child, schema, tested, slots));
    }
    let mut slots = Vec::new();
    visit(expr, schema, tested, &mut slots);
    slots
}

/// Whether it asks anywhere what is known.
pub(crate) fn asks_what_is_known(expr: &Expr) -> bool {
    let mut asks = matches!(&expr.kind, Kind::Call { target: None, name, .. } if name == "known");
    expr.for_each_child(|child| asks = asks || asks_what_is_known(child));
    asks
}

/// A condition alone, in both forms; rule sets compile theirs together.
#[derive(Clone, Debug)]
pub struct Condition {
    pub(crate) expr: Expr,
    program: Program,
    conjunction: Conjunction,
}

impl Condition {
    /// Reads, checks and compiles `source`.
    pub fn compile(source: &str, schema: &FeatureSchema) -> Result<Self, RuleError> {
        let error = |flaw| RuleError::at("condition", source, flaw);
        let mut expr = read(source, schema, &mut Vec::new()).map_err(error)?;
        check(&mut expr, schema).map_err(error)?;
        let mut compiler = Compiler::new(schema);
        let root = compiler.condition(&expr).map_err(error)?;
        let conjunction = compiler.conjunction(root);
        Ok(Self { expr, program: compiler.finish(&[root]), conjunction })
    }

    /// Whether it holds, by the compiled form.
    #[inline]
    pub fn truth(&self, snapshot: &Snapshot<'_>, scratch: &mut Scratch) -> Truth {
        self.conjunction.truth(&self.program, snapshot, scratch)
    }

    /// Whether it holds, by the general evaluator: the same, slower.
    pub fn truth_in_general(&self, schema: &FeatureSchema, snapshot: &Snapshot<'_>) -> Truth {
        general(&self.expr, schema, snapshot)
    }

    /// What a person should know about why.
    pub fn explain(&self, schema: &FeatureSchema, snapshot: &Snapshot<'_>) -> crate::Explanation {
        crate::explain::explain(&self.expr, schema, snapshot)
    }
}

/// Whether a name may be given to an expression: short, and none that means something else.
pub(crate) fn is_free_name(name: &str, schema: &FeatureSchema) -> bool {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let group = |feature: &crate::Feature| feature.name.split('.').next() == Some(name);
    plain
        && name != SCORE.0
        && !matches!(
            name,
            "now"
                | "known"
                | "supplier"
                | "listing"
                | "cel"
                | "math"
                | "optional"
                | "strings"
                | "base64"
                | "ip"
        )
        && !schema.measures().iter().any(|measure| measure == name)
        && !schema.features().iter().any(group)
}
