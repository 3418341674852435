//! The syntax tree.

use super::value::Value;

/// Where something stands in a source, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// First byte after it.
    pub end: u32,
}

impl Span {
    /// From the start of this to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end.max(self.end) }
    }
}

/// An expression. Its height is bounded by the parser, so recursion over it is too.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
    /// Of the tree from here on: 1 for a leaf.
    pub height: u16,
}

/// The forms of an expression. Macros are forms of their own rather than folds: that is simpler to check, to explain and to bound.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A constant.
    Literal(Value),
    /// A name, qualified after resolution; a leading dot means the root namespace.
    Ident(String),
    /// `operand.field`, `operand.?field`, or `has(operand.field)`.
    Select {
        /// Of what.
        operand: Box<Expr>,
        /// Which.
        field: String,
        /// Whether only its presence is asked.
        test: bool,
        /// Whether the answer is an optional.
        optional: bool,
    },
    /// An operator, function, or method call. `&&` and `||` have two or more arguments.
    Call {
        /// The receiver of a method.
        target: Option<Box<Expr>>,
        /// Operators by their sign: `+`, `!`, `[]`, `[?]`, `?:`.
        name: String,
        /// The arguments.
        args: Vec<Expr>,
    },
    /// `[a, ?b]`, each with whether it is optional.
    List(Vec<(Expr, bool)>),
    /// `{k: v, ?o: v}`, each with whether it is optional.
    Map(Vec<(Expr, Expr, bool)>),
    /// A loop over a list or map.
    Loop(Box<Loop>),
    /// `cel.bind(name, init, body)`.
    Bind {
        /// The name.
        name: String,
        /// What it stands for.
        init: Box<Expr>,
        /// Where it may be used.
        body: Box<Expr>,
    },
    /// `cel.block([a, b], body)`: names `@index0`, `@index1`, each for what stands before it.
    Block {
        /// What the names stand for.
        slots: Vec<Expr>,
        /// Where they may be used.
        body: Box<Expr>,
    },
    /// `target.optMap(name, body)` and `target.optFlatMap(name, body)`.
    OptMap {
        /// An optional.
        target: Box<Expr>,
        /// Name of its value.
        name: String,
        /// What becomes of it.
        body: Box<Expr>,
        /// Whether `body` is an optional itself.
        flat: bool,
    },
}

/// Which macro a loop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// `all`
    All,
    /// `exists`
    Exists,
    /// `exists_one`, `existsOne`
    ExistsOne,
    /// `map`, `filter`, `transformList`
    List,
    /// `transformMap`
    Map,
    /// `transformMapEntry`
    MapEntry,
}

/// A loop of a macro.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// Which.
    pub kind: LoopKind,
    /// Over what.
    pub range: Expr,
    /// The element; with two names the index or key.
    pub first: String,
    /// The element or value.
    pub second: Option<String>,
    /// Which are taken.
    pub filter: Option<Expr>,
    /// What is asked of, or made from, each.
    pub body: Expr,
}

impl Expr {
    /// An expression.
    pub fn new(kind: Kind, span: Span) -> Self {
        let mut expr = Self { kind, span, height: 1 };
        let mut tallest = 0;
        expr.for_each_child(|child| tallest = tallest.max(child.height));
        expr.height = tallest.saturating_add(1);
        expr
    }

    /// Calls `each` on the parts of this expression.
    pub fn for_each_child<'a>(&'a self, mut each: impl FnMut(&'a Expr)) {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => each(operand),
            Kind::Call { target, args, .. } => {
                target.iter().for_each(|target| each(target));
                args.iter().for_each(each);
            }
            Kind::List(items) => items.iter().for_each(|(item, _)| each(item)),
            Kind::Map(entries) => entries.iter().for_each(|(key, value, _)| {
                each(key);
                each(value);
            }),
            Kind::Loop(inner) => {
                each(&inner.range);
                inner.filter.iter().for_each(&mut each);
                each(&inner.body);
            }
            Kind::Bind { init, body, .. } => {
                each(init);
                each(body);
            }
            Kind::Block { slots, body } => {
                slots.iter().for_each(&mut each);
                each(body);
            }
            Kind::OptMap { target, body, .. } => {
                each(target);
                each(body);
            }
        }
    }

    /// `a.b.c` as a qualified name, when this is nothing else.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select { operand, field, test: false, optional: false } => {
                Some(format!("{}.{field}", operand.qualified_name()?))
            }
            _ => None,
        }
    }
}
