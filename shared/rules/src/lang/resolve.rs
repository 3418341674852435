//! Which of the names an expression uses is what: variables of macros stay bare, global ones get a leading dot, types
//! become values, and `math.floor(x)` becomes a function rather than a method of `math`.

use super::{
    ast::{Expr, Kind},
    declare::TYPES,
    env::Env,
    value::Value,
};

/// Resolves in place. Names that mean nothing are left as global ones, for the checker or the evaluator to refuse.
pub fn resolve(expr: &mut Expr, env: &Env) {
    Resolver { env, scope: Vec::new() }.expr(expr);
}

struct Resolver<'a> {
    env: &'a Env,
    scope: Vec<String>,
}

impl Resolver<'_> {
    fn is_local(&self, name: &str) -> bool {
        self.scope.iter().any(|local| local == name)
    }

    /// The first part of a chain of fields.
    fn root(expr: &Expr) -> Option<&str> {
        match &expr.kind {
            Kind::Ident(name) => Some(name),
            Kind::Select { operand, .. } => Self::root(operand),
            _ => None,
        }
    }

    fn global(&self, name: &str) -> Option<Kind> {
        self.env.candidates(name).into_iter().find_map(|candidate| {
            if self.env.variable_type(&candidate).is_some() {
                return Some(Kind::Ident(format!(".{candidate}")));
            }
            TYPES.contains(&candidate.as_str()).then(|| Kind::Literal(Value::Type(candidate.into())))
        })
    }

    fn expr(&mut self, expr: &mut Expr) {
        if matches!(expr.kind, Kind::Ident(_) | Kind::Select { test: false, optional: false, .. })
            && let Some(name) = expr.qualified_name()
            && !Self::root(expr).is_some_and(|root| self.is_local(root))
        {
            if let Some(kind) = self.global(&name) {
                expr.kind = kind;
                return;
            }
            if let Kind::Ident(name) = &mut expr.kind {
                if !name.starts_with('.') {
                    name.insert(0, '.');
                }
                return;
            }
        }
        match &mut expr.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => self.expr(operand),
            Kind::Call { target, name, args } => {
                let local =
                    target.as_ref().and_then(|t| Self::root(t)).is_some_and(|root| self.is_local(root));
                let qualified = target.as_ref().filter(|_| !local).and_then(|t| t.qualified_name());
                let function = match (&qualified, &target) {
                    (Some(group), _) => self.function(&format!("{group}.{name}")),
                    (None, None) => self.function(name),
                    _ => None,
                };
                match function {
                    Some(function) => (*target, *name) = (None, function),
                    None => target.iter_mut().for_each(|target| self.expr(target)),
                }
                args.iter_mut().for_each(|arg| self.expr(arg));
            }
            Kind::List(items) => items.iter_mut().for_each(|(item, _)| self.expr(item)),
            Kind::Map(entries) => entries.iter_mut().for_each(|(key, value, _)| {
                self.expr(key);
                self.expr(value);
            }),
            Kind::Loop(inner) => {
                self.expr(&mut inner.range);
                let outer = self.scope.len();
                self.scope.push(inner.first.clone());
                self.scope.extend(inner.second.clone());
                inner.filter.iter_mut().for_each(|filter| self.expr(filter));
                self.expr(&mut inner.body);
                self.scope.truncate(outer);
            }
            Kind::Bind { name, init, body } => {
                self.expr(init);
                self.inside(name.clone(), body);
            }
            Kind::Block { slots, body } => {
                let outer = self.scope.len();
                for (index, slot) in slots.iter_mut().enumerate() {
                    self.expr(slot);
                    self.scope.push(format!("@index{index}"));
                }
                self.expr(body);
                self.scope.truncate(outer);
            }
            Kind::OptMap { target, name, body, .. } => {
                self.expr(target);
                self.inside(name.clone(), body);
            }
        }
    }

    fn inside(&mut self, name: String, body: &mut Expr) {
        self.scope.push(name);
        self.expr(body);
        self.scope.pop();
    }

    /// A function of that name, called without a receiver.
    fn function(&self, name: &str) -> Option<String> {
        let is = |name: &String| {
            self.env.overloads(name).iter().any(|overload| !overload.member)
                || matches!(name.as_str(), "math.greatest" | "math.least")
        };
        self.env.candidates(name).into_iter().find(is)
    }
}
