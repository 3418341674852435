//! One compiled condition.

use std::{collections::BTreeMap, sync::Arc};

use cel::{
    Context, Env, IdedExpr, Value,
    common::{
        ast::{Expr, LiteralValue, operators},
        types::CelDouble,
        value::CowVal,
    },
    context::VariableResolver,
};

use crate::{
    FeatureSchema, RuleError,
    check::{self, Type},
};

/// What a condition says about a feature vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Data it depends on is missing, or it divided by zero.
    Unknown,
}

/// A condition that passed every check.
#[derive(Clone, Debug)]
pub struct Condition {
    expr: IdedExpr,
    /// Slots it reads, with names.
    reads: Vec<(String, usize)>,
}

/// A feature vector as the evaluator asks for it.
struct Slots<'a> {
    schema: &'a FeatureSchema,
    slots: &'a [f32],
}

impl VariableResolver for Slots<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let value = *self.slots.get(self.schema.slot(name)?)?;
        (!value.is_nan()).then(|| CowVal::owned(CelDouble::from(f64::from(value))))
    }
}

impl Condition {
    /// Parses and checks `source`.
    pub fn compile(source: &str, schema: &FeatureSchema) -> Result<Self, RuleError> {
        let error = |code, (line, column), detail| RuleError { code, rule: None, line, column, detail };
        if let Some(detail) = check::too_large(source) {
            return Err(error("too_large", (1, 1), detail));
        }
        let program = cel::Program::compile(source).map_err(|errors| match errors.errors.first() {
            Some(first) => {
                let place = (first.pos.0.max(1) as usize, first.pos.1.max(1) as usize);
                error("syntax", place, first.msg.clone())
            }
            None => error("syntax", (1, 1), "the condition does not parse".to_owned()),
        })?;
        let mut expr = program.expression().clone();
        check::join_names(&mut expr);
        match check::type_of(&expr, schema, 0) {
            Ok(Type::Bool) => {}
            Ok(_) => {
                let detail = "the condition yields a number; compare it with something".to_owned();
                return Err(error("not_a_condition", (1, 1), detail));
            }
            Err(flaw) => {
                let place = check::place(program.source_info(), source, flaw.id);
                return Err(error(flaw.code, place, flaw.detail));
            }
        }
        let mut reads = Vec::new();
        collect_reads(&expr, schema, &mut reads);
        Ok(Self { expr, reads })
    }

    /// Whether it holds for `slots`.
    pub fn truth(&self, schema: &FeatureSchema, env: &Arc<Env>, slots: &[f32]) -> Truth {
        let resolver = Slots { schema, slots };
        let mut context = Context::with_env(env.clone());
        context.set_variable_resolver(&resolver);
        truth(&self.expr, &context)
    }

    /// The features it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &str> {
        self.reads.iter().map(|(name, _)| name.as_str())
    }

    /// The values it read, unknown ones left out.
    pub fn values(&self, slots: &[f32]) -> BTreeMap<String, f64> {
        let known = self.reads.iter().filter_map(|(name, slot)| Some((name.as_str(), *slots.get(*slot)?)));
        known
            .filter(|(_, value)| !value.is_nan())
            .map(|(name, value)| (name.to_owned(), f64::from(value)))
            .collect()
    }

    /// The condition as a tree of lines, each branch with its truth and each feature with the value seen.
    pub fn explain(&self, schema: &FeatureSchema, env: &Arc<Env>, slots: &[f32]) -> Vec<String> {
        let resolver = Slots { schema, slots };
        let mut context = Context::with_env(env.clone());
        context.set_variable_resolver(&resolver);
        let mut lines = Vec::new();
        explain(&self.expr, &context, &resolver, 0, &mut lines);
        lines
    }
}

fn truth(expr: &IdedExpr, context: &Context<'_, '_>) -> Truth {
    match Value::resolve(expr, context) {
        Ok(Value::Bool(true)) => Truth::True,
        Ok(Value::Bool(false)) => Truth::False,
        _ => Truth::Unknown,
    }
}

fn collect_reads(node: &IdedExpr, schema: &FeatureSchema, reads: &mut Vec<(String, usize)>) {
    match &node.expr {
        Expr::Ident(name) => {
            if let Some(slot) = schema.slot(name) {
                let read = (schema.features()[slot].name.clone(), slot);
                if !reads.contains(&read) {
                    reads.push(read);
                }
            }
        }
        Expr::Call(call) => call.args.iter().for_each(|arg| collect_reads(arg, schema, reads)),
        _ => {}
    }
}

fn explain(
    node: &IdedExpr,
    context: &Context<'_, '_>,
    slots: &Slots<'_>,
    depth: usize,
    lines: &mut Vec<String>,
) {
    let said = match truth(node, context) {
        Truth::True => "true   ",
        Truth::False => "false  ",
        Truth::Unknown => "unknown",
    };
    let indent = "  ".repeat(depth);
    if let Expr::Call(call) = &node.expr {
        let joint = match call.func_name.as_str() {
            operators::LOGICAL_AND => Some("all of"),
            operators::LOGICAL_OR => Some("any of"),
            operators::LOGICAL_NOT => Some("not"),
            _ => None,
        };
        if let Some(joint) = joint {
            lines.push(format!("{indent}{said} {joint}"));
            let mut branches = Vec::new();
            same_operator(node, &call.func_name, &mut branches);
            branches.into_iter().for_each(|branch| explain(branch, context, slots, depth + 1, lines));
            return;
        }
    }
    lines.push(format!("{indent}{said} {}", text(node, slots)));
}

/// `a && b && c` is parsed as a tree of pairs; people read it as one list.
fn same_operator<'a>(node: &'a IdedExpr, operator: &str, branches: &mut Vec<&'a IdedExpr>) {
    match &node.expr {
        Expr::Call(call) if call.func_name == operator => {
            call.args.iter().for_each(|arg| {
                if operator == operators::LOGICAL_NOT {
                    branches.push(arg)
                } else {
                    same_operator(arg, operator, branches)
                }
            });
        }
        _ => branches.push(node),
    }
}

fn text(node: &IdedExpr, slots: &Slots<'_>) -> String {
    match &node.expr {
        Expr::Literal(LiteralValue::Boolean(value)) => value.inner().to_string(),
        Expr::Literal(LiteralValue::Int(value)) => value.inner().to_string(),
        Expr::Literal(LiteralValue::UInt(value)) => value.inner().to_string(),
        Expr::Literal(LiteralValue::Double(value)) => value.inner().to_string(),
        Expr::Ident(name) => match slots.schema.slot(name).and_then(|slot| slots.slots.get(slot)) {
            Some(value) if !value.is_nan() => format!("{name} [{value}]"),
            _ => format!("{name} [unknown]"),
        },
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [a, b, c]) => {
                format!("({} ? {} : {})", text(a, slots), text(b, slots), text(c, slots))
            }
            (name, [a, b]) => format!("{} {} {}", text(a, slots), name.trim_matches('_'), text(b, slots)),
            (name, [a]) => format!("{}{}", name.trim_matches('_'), text(a, slots)),
            (name, _) => name.to_owned(),
        },
        _ => "?".to_owned(),
    }
}
