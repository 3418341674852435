//! From a checked expression to the compiled form.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::{
    FeatureSchema,
    lang::{self, Arithmetic, Expr, Fault, Flaw, Kind, Loop, LoopKind, Value},
    program::{Bits, Calc, Compare, Exact, Id, Math, Node, Program, TextTest, TextVar, Truth},
    range::Conjunction,
    schema::TEXTS,
};

/// Parts that one rule may be made of once its loops are unrolled.
const PARTS_MAX: usize = 20_000;
/// Different regular expressions in one set: each takes milliseconds to compile.
const PATTERNS_MAX: usize = 256;
/// Steps that a constant part may take.
const CONSTANT_STEPS_MAX: usize = 50_000;
/// Greatest height of the graph, shared expressions included: evaluation recurses that deep.
const HEIGHT_MAX: u16 = 400;

/// What part of an expression became.
#[derive(Clone, Debug)]
enum Form {
    Truth(Id),
    Number(Id),
    Whole(Exact, Id),
    Text(TextVar),
    Constant(Value),
    /// Never known: a constant part that cannot be computed.
    Never,
}

/// Compiles the conditions of one set into one program.
pub(crate) struct Compiler<'a> {
    schema: &'a FeatureSchema,
    program: Program,
    known: FxHashMap<Node, Id>,
    heights: Vec<u16>,
    patterns: FxHashMap<String, usize>,
    locals: Vec<(String, Form)>,
    parts: usize,
}

fn not_scalar(expr: &Expr, what: &str) -> Flaw {
    let detail = format!(
        "{what} cannot be compiled, so no rule may evaluate it on every event; rules compare numbers, times and the texts {}",
        TEXTS.join(", ")
    );
    Flaw::new("not_scalar", expr.span, detail)
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(schema: &'a FeatureSchema) -> Self {
        let (known, patterns) = (FxHashMap::default(), FxHashMap::default());
        let (heights, locals) = (Vec::new(), Vec::new());
        Self { schema, program: Program::default(), known, heights, patterns, locals, parts: 0 }
    }

    /// Compiles a condition that the checker found to be a truth value.
    pub(crate) fn condition(&mut self, expr: &Expr) -> Result<Id, Flaw> {
        self.parts = 0;
        self.locals.clear();
        let form = self.form(expr)?;
        let root = self.truth(expr, &form)?;
        if self.heights[root as usize] > HEIGHT_MAX {
            let detail =
                format!("shared expressions nest deeper than {HEIGHT_MAX}; use fewer that use each other");
            return Err(Flaw::new("too_large", expr.span, detail));
        }
        Ok(root)
    }

    pub(crate) fn finish(mut self, roots: &[Id]) -> Program {
        self.program.finish(roots);
        self.program
    }

    /// A condition as a conjunction; one that is none is its only part.
    pub(crate) fn conjunction(&self, root: Id) -> Conjunction {
        let node = |id: Id| self.node(id).clone();
        match self.node(root) {
            Node::All(ids) => Conjunction::of(ids, node),
            _ => Conjunction::of(&[root], node),
        }
    }

    /// What was compiled so far.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    fn node(&self, id: Id) -> &Node {
        &self.program.nodes[id as usize]
    }

    fn add(&mut self, node: Node) -> Id {
        if let Some(id) = self.known.get(&node) {
            return *id;
        }
        let tallest = node.children().iter().map(|child| self.heights[*child as usize]).max().unwrap_or(0);
        let id = self.program.nodes.len() as Id;
        self.heights.push(tallest.saturating_add(1));
        self.program.nodes.push(node.clone());
        self.known.insert(node, id);
        id
    }

    fn form(&mut self, expr: &Expr) -> Result<Form, Flaw> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            let detail =
                format!("more than {PARTS_MAX} parts once its loops are unrolled; use shorter lists");
            return Err(Flaw::new("too_large", expr.span, detail));
        }
        if let Kind::Literal(value) = &expr.kind {
            return Ok(Form::Constant(value.clone()));
        }
        if self.is_constant(expr, &mut Vec::new()) {
            return self.constant(expr);
        }
        match &expr.kind {
            Kind::Literal(value) => Ok(Form::Constant(value.clone())),
            Kind::Ident(name) => self.name(expr, name),
            Kind::Call { target, name, args } => match (target.as_deref(), name.as_str()) {
                (None, "&&" | "||") => {
                    let mut ids = Vec::with_capacity(args.len());
                    for arg in args {
                        let form = self.form(arg)?;
                        let id = self.truth(arg, &form)?;
                        self.flatten(id, name == "&&", &mut ids);
                    }
                    let node = if name == "&&" { Node::All(ids.into()) } else { Node::Any(ids.into()) };
                    Ok(Form::Truth(self.add(node)))
                }
                (None, "known") => self.knows(expr, args),
                (target, _) => {
                    let mut forms = Vec::with_capacity(args.len() + 1);
                    for arg in target.into_iter().chain(args) {
                        forms.push(self.form(arg)?);
                    }
                    self.call(expr, target.is_some(), name, forms)
                }
            },
            Kind::Bind { name, init, body } => {
                let form = self.form(init)?;
                self.locals.push((name.clone(), form));
                let form = self.form(body);
                self.locals.pop();
                form
            }
            Kind::Block { slots, body } => {
                let outer = self.locals.len();
                for (index, slot) in slots.iter().enumerate() {
                    let form = self.form(slot)?;
                    self.locals.push((format!("@index{index}"), form));
                }
                let form = self.form(body);
                self.locals.truncate(outer);
                form
            }
            Kind::Loop(inner) => self.unroll(expr, inner),
            Kind::Select { .. } => Err(not_scalar(expr, "a field")),
            Kind::List(_) => Err(not_scalar(expr, "a list of what is not constant")),
            Kind::Map(_) => Err(not_scalar(expr, "a map of what is not constant")),
            Kind::OptMap { .. } => Err(not_scalar(expr, "an optional")),
        }
    }

    /// `known(feature)`. Names alone may stand there, so that what is asked is whether something was seen, and not whether
    /// something could be calculated.
    fn knows(&mut self, expr: &Expr, args: &[Expr]) -> Result<Form, Flaw> {
        let form = args.first().map(|arg| self.form(arg)).transpose()?;
        let node = match form {
            Some(Form::Number(id)) => match self.node(id) {
                Node::Slot(slot) => Some(Node::KnowsSlot(*slot)),
                _ => None,
            },
            Some(Form::Text(which)) => Some(Node::KnowsText(which)),
            _ => None,
        };
        match node {
            Some(node) => Ok(Form::Truth(self.add(node))),
            None => {
                let detail = "known() asks for a feature, a window, or one of the texts, such as \
                              known(supplier.age_days)";
                Err(Flaw::new("type", expr.span, detail))
            }
        }
    }

    /// `a && (b && c)` is one list, whatever the brackets.
    fn flatten(&self, id: Id, all: bool, into: &mut Vec<Id>) {
        let parts = match self.node(id) {
            Node::All(ids) if all => ids.clone(),
            Node::Any(ids) if !all => ids.clone(),
            _ => Arc::from([id]),
        };
        for part in parts.iter() {
            if !into.contains(part) {
                into.push(*part);
            }
        }
    }

    fn local(&self, name: &str) -> Option<&Form> {
        self.locals.iter().rev().find(|(local, _)| local == name).map(|(_, form)| form)
    }

    /// Whether nothing in it depends on a snapshot. `inner` are names that its own macros give values to.
    fn is_constant(&self, expr: &Expr, inner: &mut Vec<String>) -> bool {
        match &expr.kind {
            Kind::Ident(name) if inner.contains(name) => true,
            Kind::Ident(name) => matches!(self.local(name), Some(Form::Constant(_) | Form::Never)),
            _ => {
                // What a name is given stands outside of where the name means something.
                let (outside, names): (Option<&Expr>, Vec<String>) = match &expr.kind {
                    Kind::Loop(l) => {
                        (Some(&l.range), std::iter::once(&l.first).chain(&l.second).cloned().collect())
                    }
                    Kind::Bind { name, init, .. } => (Some(&**init), vec![name.clone()]),
                    Kind::OptMap { name, target, .. } => (Some(&**target), vec![name.clone()]),
                    Kind::Block { slots, .. } => {
                        (None, (0..slots.len()).map(|index| format!("@index{index}")).collect())
                    }
                    _ => (None, Vec::new()),
                };
                let mut constant = outside.is_none_or(|outside| self.is_constant(outside, inner));
                let outer = inner.len();
                inner.extend(names);
                expr.for_each_child(|child| {
                    let again = outside.is_some_and(|outside| std::ptr::eq(outside, child));
                    constant = constant && (again || self.is_constant(child, inner));
                });
                inner.truncate(outer);
                constant
            }
        }
    }

    fn constant(&self, expr: &Expr) -> Result<Form, Flaw> {
        let locals = self.locals.iter().filter_map(|(name, form)| match form {
            Form::Constant(value) => Some((name.as_str(), Ok(value.clone()))),
            Form::Never => Some((name.as_str(), Err(Fault::Unknown))),
            _ => None,
        });
        let outcome = lang::evaluate_within(
            expr,
            &|_| None,
            Arithmetic::FiniteOrUnknown,
            locals.collect(),
            CONSTANT_STEPS_MAX,
        );
        match outcome {
            Ok(value) => Ok(Form::Constant(value)),
            Err(Fault::Exhausted) => {
                let detail = "this takes too much work; use shorter lists and texts";
                Err(Flaw::new("too_large", expr.span, detail))
            }
            Err(_) => Ok(Form::Never),
        }
    }

    fn name(&mut self, expr: &Expr, name: &str) -> Result<Form, Flaw> {
        if let Some(form) = self.local(name) {
            return Ok(form.clone());
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        if name == "now" {
            return Ok(Form::Whole(Exact::Timestamp, self.add(Node::Now)));
        }
        if let Some(at) = TEXTS.iter().position(|text| *text == name) {
            return Ok(Form::Text([TextVar::Supplier, TextVar::Listing, TextVar::Sku][at]));
        }
        match self.schema.slot(name).and_then(|slot| u16::try_from(slot).ok()) {
            Some(slot) => Ok(Form::Number(self.add(Node::Slot(slot)))),
            None => Err(Flaw::new("unknown_name", expr.span, format!("there is no {name}"))),
        }
    }

    fn truth(&mut self, expr: &Expr, form: &Form) -> Result<Id, Flaw> {
        match form {
            Form::Truth(id) => Ok(*id),
            Form::Constant(Value::Bool(value)) => Ok(self.add(Node::Known((*value).into()))),
            Form::Never => Ok(self.add(Node::Known(Truth::Unknown))),
            _ => Err(not_scalar(expr, "this in place of a truth value")),
        }
    }

    /// A number of any type as a double.
    fn as_number(&mut self, form: &Form) -> Option<Id> {
        match form {
            Form::Number(id) => Some(*id),
            Form::Whole(Exact::Int | Exact::Uint, id) => Some(self.add(Node::FromWhole(*id))),
            Form::Constant(Value::Double(value)) => Some(self.add(Node::Number(Bits::from(*value)))),
            Form::Constant(Value::Int(value)) => Some(self.add(Node::Number(Bits::from(*value as f64)))),
            Form::Constant(Value::Uint(value)) => Some(self.add(Node::Number(Bits::from(*value as f64)))),
            Form::Never => Some(self.add(Node::Number(Bits::from(f64::NAN)))),
            _ => None,
        }
    }

    fn exact_of(form: &Form) -> Option<Exact> {
        match form {
            Form::Whole(ty, _) => Some(*ty),
            Form::Constant(Value::Int(_)) => Some(Exact::Int),
            Form::Constant(Value::Uint(_)) => Some(Exact::Uint),
            Form::Constant(Value::Duration(_)) => Some(Exact::Duration),
            Form::Constant(Value::Timestamp(_)) => Some(Exact::Timestamp),
            _ => None,
        }
    }

    fn as_whole(&mut self, form: &Form) -> Option<Id> {
        let value = match form {
            Form::Whole(_, id) => return Some(*id),
            Form::Never => return Some(self.add(Node::Never)),
            Form::Constant(Value::Int(value)) => i128::from(*value),
            Form::Constant(Value::Uint(value)) => i128::from(*value),
            Form::Constant(Value::Duration(span)) => i128::from(span.nanos()),
            Form::Constant(Value::Timestamp(at)) => at.nanos(),
            _ => return None,
        };
        Some(self.add(Node::Whole(value)))
    }

    fn is_double(form: &Form) -> bool {
        matches!(form, Form::Number(_) | Form::Constant(Value::Double(_)))
    }
    fn is_numeric(form: &Form) -> bool {
        Self::is_double(form) || matches!(Self::exact_of(form), Some(Exact::Int | Exact::Uint))
    }

    fn call(&mut self, expr: &Expr, method: bool, name: &str, mut forms: Vec<Form>) -> Result<Form, Flaw> {
        // Strict operations on what is never known are never known.
        if !matches!(name, "?:") && forms.iter().any(|form| matches!(form, Form::Never)) {
            return Ok(Form::Never);
        }
        let result = match (method, name, forms.as_mut_slice()) {
            (false, "!", [Form::Truth(a)]) => {
                let not = Node::Not(*a);
                Some(Form::Truth(self.add(not)))
            }
            (false, "dyn", [form]) => Some(form.clone()),
            (false, "in", [item, list]) => self.member(&item.clone(), &list.clone()),
            (false, "?:", [condition, yes, no]) => {
                let (condition, yes, no) = (condition.clone(), yes.clone(), no.clone());
                self.choose(expr, &condition, &yes, &no)?
            }
            (false, "math.greatest" | "math.least", [one @ Form::Number(_)]) => Some(one.clone()),
            (false, "math.greatest" | "math.least", forms) if forms.iter().all(Self::is_double) => {
                let forms = forms.to_vec();
                let ids: Option<Vec<Id>> = forms.iter().map(|form| self.as_number(form)).collect();
                let ids: Arc<[Id]> = ids.unwrap_or_default().into();
                let node = if name == "math.least" { Node::Least(ids) } else { Node::Greatest(ids) };
                Some(Form::Number(self.add(node)))
            }
            (false, _, [a]) => {
                let a = a.clone();
                self.unary(name, &a)
            }
            (false, _, [a, b]) => {
                let (a, b) = (a.clone(), b.clone());
                match Compare::parse(name) {
                    Some(compare) => self.compare(compare, &a, &b),
                    None => self.calculate(name, &a, &b),
                }
            }
            (true, field, [Form::Whole(Exact::Duration, id)]) => {
                let node = date_field(field)
                    .filter(|field| lang::DURATION_FIELDS.contains(field))
                    .map(|field| Node::SpanField(field, *id));
                node.map(|node| Form::Whole(Exact::Int, self.add(node)))
            }
            (true, field, [Form::Whole(Exact::Timestamp, id), zone @ ..]) => {
                let zone = match zone {
                    [Form::Constant(Value::Text(zone))] => Some(zone.clone()),
                    _ => None,
                };
                let node = date_field(field).map(|field| Node::DateField(field, zone, *id));
                node.map(|node| Form::Whole(Exact::Int, self.add(node)))
            }
            (true, _, [Form::Text(which), Form::Constant(Value::Text(part))]) => {
                let (which, part) = (*which, part.clone());
                self.text_test(expr, name, which, part)?
            }
            _ => None,
        };
        result.ok_or_else(|| not_scalar(expr, &format!("{} used like this", name.trim_end_matches('_'))))
    }

    fn text_test(
        &mut self,
        expr: &Expr,
        name: &str,
        which: TextVar,
        part: Arc<str>,
    ) -> Result<Option<Form>, Flaw> {
        let test = match name {
            "startsWith" => TextTest::Starts(part),
            "endsWith" => TextTest::Ends(part),
            "contains" => TextTest::Contains(part),
            "matches" => {
                let number = match self.patterns.get(&*part) {
                    Some(number) => *number,
                    None if self.patterns.len() >= PATTERNS_MAX => {
                        let detail =
                            format!("at most {PATTERNS_MAX} regular expressions are allowed in a set");
                        return Err(Flaw::new("too_large", expr.span, detail));
                    }
                    None => {
                        let regex = lang::regex(&part)
                            .map_err(|why| Flaw::new("bad_pattern", expr.span, format!("{part}: {why}")))?;
                        self.program.patterns.push(regex);
                        self.patterns.insert(part.to_string(), self.program.patterns.len() - 1);
                        self.program.patterns.len() - 1
                    }
                };
                TextTest::Matches(number)
            }
            _ => return Ok(None),
        };
        Ok(Some(Form::Truth(self.add(Node::Text(which, test)))))
    }

    fn compare(&mut self, compare: Compare, a: &Form, b: &Form) -> Option<Form> {
        if let (Form::Text(which), Form::Constant(Value::Text(text))) = (a, b) {
            let test = TextTest::Compare(compare, text.clone());
            return Some(Form::Truth(self.add(Node::Text(*which, test))));
        }
        if let (Form::Constant(Value::Text(_)), Form::Text(_)) = (a, b) {
            return self.compare(compare.flipped(), b, a);
        }
        let bools = |form: &Form| matches!(form, Form::Truth(_) | Form::Constant(Value::Bool(_)));
        if bools(a) && bools(b) {
            let mut id = |form: &Form| match form {
                Form::Truth(id) => *id,
                Form::Constant(Value::Bool(value)) => self.add(Node::Known((*value).into())),
                _ => self.add(Node::Known(Truth::Unknown)),
            };
            let same = Node::Same(id(a), id(b));
            let same = self.add(same);
            return match compare {
                Compare::Equal => Some(Form::Truth(same)),
                Compare::NotEqual => Some(Form::Truth(self.add(Node::Not(same)))),
                _ => None,
            };
        }
        let (exact_a, exact_b) = (Self::exact_of(a), Self::exact_of(b));
        let numbers = |ty: Option<Exact>| matches!(ty, Some(Exact::Int | Exact::Uint));
        if exact_a.is_some() && (exact_a == exact_b || (numbers(exact_a) && numbers(exact_b))) {
            let node = Node::Wholes(compare, self.as_whole(a)?, self.as_whole(b)?);
            return Some(Form::Truth(self.add(node)));
        }
        if !Self::is_numeric(a) || !Self::is_numeric(b) {
            return None;
        }
        let (a, b) = (self.as_number(a)?, self.as_number(b)?);
        let node = match (self.node(a), self.node(b)) {
            (Node::Slot(slot), Node::Number(bound)) => Node::Test { slot: *slot, compare, bound: *bound },
            (Node::Number(bound), Node::Slot(slot)) => {
                Node::Test { slot: *slot, compare: compare.flipped(), bound: *bound }
            }
            _ => Node::Numbers(compare, a, b),
        };
        Some(Form::Truth(self.add(node)))
    }

    /// `item in list`, of a constant list or map.
    fn member(&mut self, item: &Form, list: &Form) -> Option<Form> {
        let items: Vec<Value> = match list {
            Form::Constant(Value::List(items)) => items.to_vec(),
            Form::Constant(Value::Map(entries)) => entries.iter().map(|(key, _)| key.clone()).collect(),
            _ => return None,
        };
        if let Form::Text(which) = item {
            let texts: Vec<Arc<str>> = items
                .into_iter()
                .filter_map(|item| match item {
                    Value::Text(text) => Some(text),
                    _ => None,
                })
                .collect();
            return Some(Form::Truth(self.add(Node::Text(*which, TextTest::OneOf(texts.into())))));
        }
        // Unknown for an unknown item, whatever the list; false for a known one. What is of another type is never equal.
        let Form::Truth(never) = self.compare(Compare::NotEqual, item, item)? else { return None };
        let mut ids = vec![never];
        for value in items {
            if let Some(Form::Truth(id)) = self.compare(Compare::Equal, item, &Form::Constant(value)) {
                ids.push(id);
            }
        }
        Some(Form::Truth(self.add(Node::Any(ids.into()))))
    }

    fn choose(&mut self, expr: &Expr, condition: &Form, yes: &Form, no: &Form) -> Result<Option<Form>, Flaw> {
        let condition = self.truth(expr, condition)?;
        let truths =
            |form: &Form| matches!(form, Form::Truth(_) | Form::Constant(Value::Bool(_)) | Form::Never);
        if truths(yes) && truths(no) {
            let node = Node::ChooseTruth(condition, self.truth(expr, yes)?, self.truth(expr, no)?);
            return Ok(Some(Form::Truth(self.add(node))));
        }
        let doubles = |form: &Form| Self::is_double(form) || matches!(form, Form::Never);
        if doubles(yes) && doubles(no) {
            let (yes, no) = (self.as_number(yes), self.as_number(no));
            let node = yes.zip(no).map(|(yes, no)| Node::ChooseNumber(condition, yes, no));
            return Ok(node.map(|node| Form::Number(self.add(node))));
        }
        let ty = match (Self::exact_of(yes), Self::exact_of(no)) {
            (Some(a), Some(b)) if a == b => a,
            (Some(a), None) if matches!(no, Form::Never) => a,
            (None, Some(b)) if matches!(yes, Form::Never) => b,
            _ => return Ok(None),
        };
        let (yes, no) = (self.as_whole(yes), self.as_whole(no));
        let node = yes.zip(no).map(|(yes, no)| Node::ChooseWhole(condition, yes, no));
        Ok(node.map(|node| Form::Whole(ty, self.add(node))))
    }

    fn unary(&mut self, name: &str, a: &Form) -> Option<Form> {
        if name == "matches" {
            return None;
        }
        if let Some(ty) = Self::exact_of(a) {
            let id = self.as_whole(a)?;
            let (ty, node) = match (name, ty) {
                ("-_", Exact::Int | Exact::Duration) => {
                    let zero = self.add(Node::Whole(0));
                    (ty, Node::Exact(Calc::Subtract, ty, zero, id))
                }
                ("int", Exact::Int) | ("uint", Exact::Uint) => return Some(a.clone()),
                ("timestamp", Exact::Timestamp) | ("duration", Exact::Duration) => return Some(a.clone()),
                ("int", Exact::Uint) => (Exact::Int, Node::Convert(Exact::Int, id)),
                ("uint", Exact::Int) => (Exact::Uint, Node::Convert(Exact::Uint, id)),
                ("int", Exact::Timestamp) => (Exact::Int, Node::Seconds(id)),
                ("double", Exact::Int | Exact::Uint) => return self.as_number(a).map(Form::Number),
                ("math.sqrt", Exact::Int | Exact::Uint) => {
                    let node = Node::Math(Math::Sqrt, self.as_number(a)?);
                    return Some(Form::Number(self.add(node)));
                }
                _ => return None,
            };
            return Some(Form::Whole(ty, self.add(node)));
        }
        if !Self::is_double(a) {
            return None;
        }
        let id = self.as_number(a)?;
        let math = match name {
            "-_" => Math::Negate,
            "double" => return Some(Form::Number(id)),
            "int" => return Some(Form::Whole(Exact::Int, self.add(Node::Truncate(Exact::Int, id)))),
            "uint" => return Some(Form::Whole(Exact::Uint, self.add(Node::Truncate(Exact::Uint, id)))),
            // Numbers are finite or unknown.
            "math.isFinite" => return self.compare(Compare::Equal, a, a),
            "math.isNaN" | "math.isInf" => return self.compare(Compare::NotEqual, a, a),
            "math.ceil" => Math::Ceil,
            "math.floor" => Math::Floor,
            "math.round" => Math::Round,
            "math.trunc" => Math::Trunc,
            "math.abs" => Math::Abs,
            "math.sign" => Math::Sign,
            "math.sqrt" => Math::Sqrt,
            _ => return None,
        };
        Some(Form::Number(self.add(Node::Math(math, id))))
    }

    fn calculate(&mut self, name: &str, a: &Form, b: &Form) -> Option<Form> {
        let calc = match name {
            "+" => Calc::Add,
            "-" => Calc::Subtract,
            "*" => Calc::Multiply,
            "/" => Calc::Divide,
            "%" => Calc::Remainder,
            _ => return None,
        };
        if Self::is_double(a) && Self::is_double(b) && calc != Calc::Remainder {
            let node = Node::Calc(calc, self.as_number(a)?, self.as_number(b)?);
            return Some(Form::Number(self.add(node)));
        }
        use Exact::{Duration, Int, Timestamp, Uint};
        let ty = match (Self::exact_of(a)?, calc, Self::exact_of(b)?) {
            (Int, _, Int) => Int,
            (Uint, _, Uint) => Uint,
            (Duration, Calc::Add | Calc::Subtract, Duration) => Duration,
            (Timestamp, Calc::Add | Calc::Subtract, Duration) | (Duration, Calc::Add, Timestamp) => Timestamp,
            (Timestamp, Calc::Subtract, Timestamp) => Duration,
            _ => return None,
        };
        let node = Node::Exact(calc, ty, self.as_whole(a)?, self.as_whole(b)?);
        Some(Form::Whole(ty, self.add(node)))
    }

    /// Loops run over constants, so they are written out.
    fn unroll(&mut self, expr: &Expr, inner: &Loop) -> Result<Form, Flaw> {
        if !matches!(inner.kind, LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne) {
            return Err(not_scalar(expr, "a list or map made from what is not constant"));
        }
        let pairs: Vec<(Value, Value)> = match self.form(&inner.range)? {
            Form::Constant(Value::List(items)) => {
                items.iter().enumerate().map(|(at, item)| (Value::Int(at as i64), item.clone())).collect()
            }
            Form::Constant(Value::Map(entries)) if inner.second.is_some() => entries.to_vec(),
            Form::Constant(Value::Map(entries)) => {
                entries.iter().map(|(key, _)| (key.clone(), key.clone())).collect()
            }
            Form::Never => return Ok(Form::Never),
            _ => return Err(not_scalar(&inner.range, "a loop over what is not constant")),
        };
        let mut ids = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let outer = self.locals.len();
            match &inner.second {
                Some(second) => {
                    self.locals.push((inner.first.clone(), Form::Constant(key)));
                    self.locals.push((second.clone(), Form::Constant(value)));
                }
                None => self.locals.push((inner.first.clone(), Form::Constant(value))),
            }
            let form = self.form(&inner.body);
            self.locals.truncate(outer);
            ids.push(self.truth(&inner.body, &form?)?);
        }
        let ids: Arc<[Id]> = ids.into();
        let node = match inner.kind {
            LoopKind::All => Node::All(ids),
            LoopKind::Exists => Node::Any(ids),
            _ => Node::One(ids),
        };
        Ok(Form::Truth(self.add(node)))
    }
}

/// The name of a field of a time, for ever.
fn date_field(name: &str) -> Option<&'static str> {
    lang::TIMESTAMP_FIELDS.into_iter().find(|field| *field == name)
}
