//! Static checks: names, types, size. A condition that passes reads known features and yields a truth value.

use cel::{
    IdedExpr,
    common::ast::{Expr, LiteralValue, SourceInfo, operators},
};

use crate::FeatureSchema;

/// Longest expression, in bytes.
pub(crate) const SOURCE_BYTES_MAX: usize = 4_096;
/// Deepest nesting. Brackets count before parsing, so that no input can exhaust the parser's stack.
pub(crate) const DEPTH_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int,
    Double,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Bool => "a truth value",
            Type::Int => "a whole number",
            Type::Double => "a number with a fraction",
        }
    }
}

pub(crate) struct Flaw {
    pub(crate) code: &'static str,
    pub(crate) id: u64,
    pub(crate) detail: String,
}

/// Joins `group.name` into one identifier, so that evaluation looks a feature up once.
pub(crate) fn join_names(node: &mut IdedExpr) {
    if let Expr::Select(select) = &node.expr
        && let Expr::Ident(group) = &select.operand.expr
        && !select.test
    {
        node.expr = Expr::Ident(format!("{group}.{}", select.field));
        return;
    }
    match &mut node.expr {
        Expr::Select(select) => join_names(&mut select.operand),
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| join_names(target));
            call.args.iter_mut().for_each(join_names);
        }
        _ => {}
    }
}

/// The type of `node`, or the first thing wrong with it.
pub(crate) fn type_of(node: &IdedExpr, schema: &FeatureSchema, depth: usize) -> Result<Type, Flaw> {
    let flaw = |code, detail: String| Flaw { code, id: node.id, detail };
    if depth > DEPTH_MAX {
        return Err(flaw("too_large", format!("nested deeper than {DEPTH_MAX}; split the rule")));
    }
    match &node.expr {
        Expr::Literal(LiteralValue::Boolean(_)) => Ok(Type::Bool),
        Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_)) => Ok(Type::Int),
        Expr::Literal(LiteralValue::Double(_)) => Ok(Type::Double),
        Expr::Literal(_) => Err(flaw(
            "type",
            "only numbers and truth values are compared; all features are numbers".to_owned(),
        )),
        Expr::Ident(name) if schema.slot(name).is_some() => Ok(Type::Double),
        Expr::Ident(name) => {
            let hint = match schema.suggest(name) {
                Some(near) => format!("did you mean {near}?"),
                None => "`stockade rules features` lists the names".to_owned(),
            };
            Err(flaw("unknown_name", format!("no feature is called {name}; {hint}")))
        }
        Expr::Call(call) => {
            let mut types = Vec::with_capacity(call.args.len());
            if call.target.is_some() {
                return Err(flaw("unsupported", format!("{} is not a function of rules", call.func_name)));
            }
            for arg in &call.args {
                types.push(type_of(arg, schema, depth + 1)?);
            }
            call_type(&call.func_name, &types).map_err(|(code, detail)| flaw(code, detail))
        }
        Expr::Select(select) => Err(flaw(
            "unknown_name",
            format!("features are written group.name; .{} goes one too deep", select.field),
        )),
        _ => Err(flaw(
            "unsupported",
            "lists, maps, macros and messages have no place in a condition over numbers".to_owned(),
        )),
    }
}

fn call_type(name: &str, args: &[Type]) -> Result<Type, (&'static str, String)> {
    let numeric = |ty: &Type| *ty != Type::Bool;
    match (name, args) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [Type::Bool, Type::Bool]) => Ok(Type::Bool),
        (operators::LOGICAL_NOT, [Type::Bool]) => Ok(Type::Bool),
        (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, [first, ..]) => {
            let culprit = args.iter().find(|ty| numeric(ty)).unwrap_or(first);
            Err(("type", format!("needs truth values on both sides, found {}", culprit.name())))
        }
        (
            operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::EQUALS
            | operators::NOT_EQUALS,
            [left, right],
        ) => {
            if numeric(left) && numeric(right) {
                Ok(Type::Bool)
            } else {
                Err(("type", format!("compares numbers, found {} and {}", left.name(), right.name())))
            }
        }
        (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE, [left, right]) => {
            if !numeric(left) || !numeric(right) {
                return Err(("type", "calculates with numbers, found a truth value".to_owned()));
            }
            if left != right {
                let hint = "write whole numbers with a fraction beside features, such as 2.0 for 2";
                return Err(("type", format!("mixes {} and {}; {hint}", left.name(), right.name())));
            }
            Ok(*left)
        }
        (operators::NEGATE, [ty]) if numeric(ty) => Ok(*ty),
        (operators::CONDITIONAL, [Type::Bool, left, right]) if left == right => Ok(*left),
        (operators::CONDITIONAL, _) => {
            Err(("type", "condition ? a : b needs a truth value and two values of one type".to_owned()))
        }
        _ => Err(("unsupported", format!("{name} is not a function of rules"))),
    }
}

/// Line and column, from 1, of a node.
pub(crate) fn place(info: &SourceInfo, source: &str, id: u64) -> (usize, usize) {
    let start = info.offset_for(id).map_or(0, |(start, _)| start as usize);
    let before: String = source.chars().take(start).collect();
    let line = before.matches('\n').count() + 1;
    (line, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
}

/// Whether brackets alone nest too deep, or the text is too long, to be parsed.
pub(crate) fn too_large(source: &str) -> Option<String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Some(format!(
            "the condition is {} bytes long, at most {SOURCE_BYTES_MAX} are allowed",
            source.len()
        ));
    }
    let (mut depth, mut deepest) = (0usize, 0usize);
    let mut prefix = 0usize;
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        // Runs of prefix operators nest just as brackets do.
        prefix = if matches!(c, '!' | '-') {
            prefix + 1
        } else if c.is_whitespace() {
            prefix
        } else {
            0
        };
        deepest = deepest.max(depth).max(prefix);
    }
    (deepest > DEPTH_MAX)
        .then(|| format!("nested {deepest} deep, at most {DEPTH_MAX} are allowed; split the rule"))
}
