//! The type checker: every name is known, every call has an overload that fits, before anything is evaluated.

use super::{
    Flaw,
    ast::{Expr, Kind, Loop, LoopKind, Span},
    env::Env,
    types::{Found, Ty},
    value::Value,
};
use crate::suggest::nearest;

/// The type of a resolved expression.
pub fn check(expr: &Expr, env: &Env) -> Result<Ty, Flaw> {
    let mut checker = Checker { env, found: Found::default(), scope: Vec::new() };
    let ty = checker.expr(expr)?;
    Ok(checker.found.resolve(&ty, true))
}

struct Checker<'a> {
    env: &'a Env,
    found: Found,
    scope: Vec<(String, Ty)>,
}

impl Checker<'_> {
    fn expr(&mut self, expr: &Expr) -> Result<Ty, Flaw> {
        match &expr.kind {
            Kind::Literal(value) => Ok(literal(value)),
            Kind::Ident(name) => self.name(name, expr.span),
            Kind::Select { operand, field, test, optional } => {
                if *test {
                    self.asks_for_a_field(operand, field, expr.span)?;
                }
                self.known_root(expr)?;
                let of = self.expr(operand)?;
                let ty = self.field(&of, field, expr.span)?;
                Ok(match (test, optional) {
                    (true, _) => Ty::Bool,
                    (false, true) if ty.of_optional().is_none() || of.of_optional().is_none() => {
                        Ty::optional(ty)
                    }
                    _ => ty,
                })
            }
            Kind::Call { target, name, args } => self.call(target.as_deref(), name, args, expr.span),
            Kind::List(items) => {
                let mut of = None;
                for (item, optional) in items {
                    let ty = self.item(item, *optional)?;
                    of = Some(self.join(of, &ty));
                }
                Ok(Ty::List(Box::new(of.unwrap_or_else(|| self.found.fresh()))))
            }
            Kind::Map(entries) => {
                let (mut keys, mut values) = (None, None);
                for (key, value, optional) in entries {
                    let ty = self.expr(key)?;
                    keys = Some(self.join(keys, &ty));
                    let ty = self.item(value, *optional)?;
                    values = Some(self.join(values, &ty));
                }
                let keys = keys.unwrap_or_else(|| self.found.fresh());
                Ok(Ty::Map(Box::new(keys), Box::new(values.unwrap_or_else(|| self.found.fresh()))))
            }
            Kind::Loop(inner) => self.over(inner),
            Kind::Bind { name, init, body } => {
                let ty = self.expr(init)?;
                self.inside(vec![(name.clone(), ty)], |checker| checker.expr(body))
            }
            Kind::Block { slots, body } => {
                let outer = self.scope.len();
                for (index, slot) in slots.iter().enumerate() {
                    let ty = self.expr(slot)?;
                    self.scope.push((format!("@index{index}"), ty));
                }
                let ty = self.expr(body);
                self.scope.truncate(outer);
                ty
            }
            Kind::OptMap { target, name, body, flat } => {
                let of = self.optional_of(target)?;
                let ty = self.inside(vec![(name.clone(), of)], |checker| checker.expr(body))?;
                if !*flat {
                    return Ok(Ty::optional(ty));
                }
                let any = Ty::optional(self.found.fresh());
                if self.found.assign(&ty, &any) {
                    return Ok(any);
                }
                Err(mismatch(body.span, "an optional", &self.shown(&ty)))
            }
        }
    }

    fn shown(&self, ty: &Ty) -> Ty {
        self.found.resolve(ty, false)
    }

    fn join(&mut self, known: Option<Ty>, more: &Ty) -> Ty {
        match known {
            None => more.clone(),
            Some(known) => self.found.join(&known, more),
        }
    }

    fn item(&mut self, item: &Expr, optional: bool) -> Result<Ty, Flaw> {
        if optional { self.optional_of(item) } else { self.expr(item) }
    }

    fn optional_of(&mut self, expr: &Expr) -> Result<Ty, Flaw> {
        let ty = self.expr(expr)?;
        let of = self.found.fresh();
        if self.found.assign(&ty, &Ty::optional(of.clone())) {
            return Ok(of);
        }
        Err(mismatch(expr.span, "an optional", &self.shown(&ty)))
    }

    fn inside<T>(&mut self, names: Vec<(String, Ty)>, inner: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.scope.len();
        self.scope.extend(names);
        let result = inner(self);
        self.scope.truncate(outer);
        result
    }

    fn name(&self, name: &str, span: Span) -> Result<Ty, Flaw> {
        if let Some((_, ty)) = self.scope.iter().rev().find(|(local, _)| local == name) {
            return Ok(ty.clone());
        }
        let global = name.strip_prefix('.').unwrap_or(name);
        if let Some(ty) = self.env.variable_type(global) {
            return Ok(ty.clone());
        }
        Err(self.unknown_name(global, span))
    }

    /// Of `group.name` whose group is not known, the whole is named: that is what was misspelt.
    fn known_root(&self, expr: &Expr) -> Result<(), Flaw> {
        let mut root = expr;
        while let Kind::Select { operand, .. } = &root.kind {
            root = operand;
        }
        match (&root.kind, expr.qualified_name()) {
            (Kind::Ident(name), Some(whole)) if name.starts_with('.') => self
                .name(name, expr.span)
                .map_or_else(|_| Err(self.unknown_name(&whole[1..], expr.span)), |_| Ok(())),
            _ => Ok(()),
        }
    }

    /// `has(group.name)` of what is one name rather than a field of something.
    fn asks_for_a_field(&self, operand: &Expr, field: &str, span: Span) -> Result<(), Flaw> {
        let Some(group) = operand.qualified_name() else { return Ok(()) };
        let name = format!("{}.{field}", group.trim_start_matches('.'));
        if self.env.overloads("known").is_empty() || !group.starts_with('.') {
            return Ok(());
        }
        if self.env.variable_type(&name).is_none() {
            return Err(self.unknown_name(&name, span));
        }
        let meant = format!("known({name})");
        let detail = format!("has() asks a map for a field; whether a value is known is asked by {meant}");
        Err(Flaw { suggestion: Some(meant), ..Flaw::new("unknown_name", span, detail) })
    }

    fn unknown_name(&self, name: &str, span: Span) -> Flaw {
        let near = nearest(name, self.env.variables());
        let hint = near.map(|near| format!("did you mean {near}?"));
        let detail = format!(
            "there is no {name}; {}",
            hint.as_deref().unwrap_or("`stockade rules features` lists the names")
        );
        Flaw { suggestion: near.map(str::to_owned), ..Flaw::new("unknown_name", span, detail) }
    }

    fn field(&mut self, of: &Ty, field: &str, span: Span) -> Result<Ty, Flaw> {
        let of = self.found.resolve(of, false);
        if let Some(inner) = of.of_optional() {
            return Ok(Ty::optional(self.field(&inner.clone(), field, span)?));
        }
        match of {
            Ty::Dyn => Ok(Ty::Dyn),
            Ty::Var(_) => {
                self.found.assign(&Ty::Dyn, &of);
                Ok(Ty::Dyn)
            }
            Ty::Map(_, value) => Ok(*value),
            other => {
                let detail = format!("a value of type {other} has no field .{field}");
                Err(Flaw::new("type", span, detail))
            }
        }
    }

    fn over(&mut self, inner: &Loop) -> Result<Ty, Flaw> {
        let range = self.expr(&inner.range)?;
        let (key, value) = match self.found.resolve(&range, false) {
            Ty::List(item) => (Ty::Int, *item),
            Ty::Map(key, value) => (*key, *value),
            Ty::Dyn => (Ty::Dyn, Ty::Dyn),
            Ty::Var(_) => {
                self.found.assign(&Ty::Dyn, &range);
                (Ty::Dyn, Ty::Dyn)
            }
            other => return Err(mismatch(inner.range.span, "a list or a map", &other)),
        };
        let is_map = matches!(self.found.resolve(&range, false), Ty::Map(..));
        let names = match &inner.second {
            Some(second) => vec![(inner.first.clone(), key.clone()), (second.clone(), value)],
            None => vec![(inner.first.clone(), if is_map { key.clone() } else { value })],
        };
        self.inside(names, |checker| {
            if let Some(filter) = &inner.filter {
                checker.truth(filter)?;
            }
            match inner.kind {
                LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => {
                    checker.truth(&inner.body)?;
                    Ok(Ty::Bool)
                }
                LoopKind::List => Ok(Ty::List(Box::new(checker.expr(&inner.body)?))),
                LoopKind::Map => Ok(Ty::Map(Box::new(key), Box::new(checker.expr(&inner.body)?))),
                LoopKind::MapEntry => {
                    let ty = checker.expr(&inner.body)?;
                    let any = Ty::Map(Box::new(checker.found.fresh()), Box::new(checker.found.fresh()));
                    if checker.found.assign(&ty, &any) {
                        return Ok(any);
                    }
                    Err(mismatch(inner.body.span, "a map of one entry", &checker.shown(&ty)))
                }
            }
        })
    }

    fn truth(&mut self, expr: &Expr) -> Result<(), Flaw> {
        let ty = self.expr(expr)?;
        if self.found.assign(&ty, &Ty::Bool) {
            return Ok(());
        }
        let ty = self.shown(&ty);
        let hint =
            if matches!(ty, Ty::Int | Ty::Uint | Ty::Double) { "; compare it with something" } else { "" };
        Err(Flaw::new(
            "type",
            expr.span,
            format!("a truth value is needed here, this is {}{hint}", named(&ty)),
        ))
    }

    fn call(&mut self, target: Option<&Expr>, name: &str, args: &[Expr], span: Span) -> Result<Ty, Flaw> {
        if matches!(name, "&&" | "||") {
            for arg in args {
                self.truth(arg)?;
            }
            return Ok(Ty::Bool);
        }
        if matches!(name, "math.greatest" | "math.least") {
            return self.extreme(args, span);
        }
        let overloads = self.env.overloads(name);
        if overloads.is_empty() {
            return Err(self.unknown_function(target, name, span));
        }
        let mut types = Vec::with_capacity(args.len() + 1);
        for arg in target.into_iter().chain(args) {
            types.push(self.expr(arg)?);
        }
        let mut result: Option<Ty> = None;
        for overload in overloads {
            if overload.member != target.is_some() || overload.params.len() != types.len() {
                continue;
            }
            let mut found = self.found.clone();
            let mut names = Vec::new();
            let params: Vec<Ty> =
                overload.params.iter().map(|param| found.instantiate(param, &mut names)).collect();
            if types.iter().zip(&params).all(|(ty, param)| found.assign(ty, param)) {
                let ty = found.instantiate(&overload.result, &mut names);
                self.found = found;
                let ty = self.found.resolve(&ty, false);
                result = Some(match result {
                    None => ty,
                    Some(known) if known == ty => known,
                    Some(_) => Ty::Dyn,
                });
            }
        }
        if let Some(result) = result {
            return Ok(result);
        }
        let shown: Vec<Ty> = types.iter().map(|ty| self.shown(ty)).collect();
        let number = |ty: &Ty| matches!(ty, Ty::Int | Ty::Uint | Ty::Double);
        let numbers = shown.iter().all(number);
        let among =
            matches!((name, shown.as_slice()), ("in", [item, Ty::List(of)]) if number(item) && number(of));
        if self.env.mixed_equality && (among || (matches!(name, "==" | "!=") && numbers)) {
            return Ok(Ty::Bool);
        }
        let listed: Vec<String> = shown.iter().map(ToString::to_string).collect();
        let hint = if numbers && shown.len() == 2 && shown[0] != shown[1] {
            "; both sides need one type: beside a fraction write 2.0 rather than 2"
        } else {
            ""
        };
        let name = name.trim_end_matches('_');
        let detail = format!("{name} takes no ({}){hint}", listed.join(", "));
        Err(Flaw::new("type", span, detail))
    }

    fn extreme(&mut self, args: &[Expr], span: Span) -> Result<Ty, Flaw> {
        if args.is_empty() {
            return Err(Flaw::new("type", span, "needs at least one number"));
        }
        let mut joined = None;
        for arg in args {
            let ty = self.expr(arg)?;
            let ty = match (self.found.resolve(&ty, false), args.len()) {
                (Ty::List(item), 1) => *item,
                (ty, _) => ty,
            };
            if !matches!(ty, Ty::Int | Ty::Uint | Ty::Double | Ty::Dyn | Ty::Var(_)) {
                return Err(mismatch(arg.span, "a number", &ty));
            }
            joined = Some(self.join(joined, &ty));
        }
        Ok(joined.unwrap_or(Ty::Dyn))
    }

    fn unknown_function(&self, target: Option<&Expr>, name: &str, span: Span) -> Flaw {
        let group =
            target.and_then(Expr::qualified_name).map(|name| format!("{}.", name.trim_start_matches('.')));
        let full = format!("{}{name}", group.unwrap_or_default());
        let known = || self.env.functions().chain(self.env.replaced.iter().copied());
        let near = nearest(&full, known()).or_else(|| nearest(name, known()));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let detail = format!("there is no function {full}{hint}");
        Flaw { suggestion: near.map(str::to_owned), ..Flaw::new("unknown_function", span, detail) }
    }
}

fn literal(value: &Value) -> Ty {
    match value {
        Value::Null => Ty::Null,
        Value::Bool(_) => Ty::Bool,
        Value::Int(_) => Ty::Int,
        Value::Uint(_) => Ty::Uint,
        Value::Double(_) => Ty::Double,
        Value::Text(_) => Ty::Text,
        Value::Bytes(_) => Ty::Bytes,
        Value::Type(_) => Ty::Type,
        Value::Duration(_) => Ty::Duration,
        Value::Timestamp(_) => Ty::Timestamp,
        // No other value is written as a literal.
        _ => Ty::Dyn,
    }
}

fn named(ty: &Ty) -> String {
    match ty {
        Ty::Int | Ty::Uint => "a whole number".to_owned(),
        Ty::Double => "a number".to_owned(),
        Ty::Text => "a text".to_owned(),
        other => format!("of type {other}"),
    }
}

fn mismatch(span: Span, wanted: &str, found: &Ty) -> Flaw {
    Flaw::new("type", span, format!("{wanted} is needed here, this is {}", named(found)))
}
