//! The language of rules: the part of CEL (Common Expression Language) that needs no protocol buffers, with the
//! extensions for optionals, bindings, strings, math, encoders and networks. One parser, one checker, and a general
//! evaluator that is the reference for the compiled form in which live rules run.

mod ast;
mod check;
mod declare;
mod env;
mod eval;
mod functions;
mod lexer;
mod net;
mod parser;
mod resolve;
mod strings;
mod time;
mod types;
mod value;

pub use ast::{Expr, Kind, Loop, LoopKind, Span};
pub use check::check;
pub(crate) use declare::{DURATION_FIELDS, TIMESTAMP_FIELDS};
pub use env::{Env, Overload};
pub(crate) use eval::evaluate_within;
pub use eval::{Arithmetic, Fault, Globals, Outcome, evaluate};
pub(crate) use functions::regex;
pub use parser::parse;
pub use resolve::resolve;
pub use time::{Instant, Span as Length};
pub use types::Ty;
pub use value::Value;

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Stable code: `syntax`, `unknown_name`, `unknown_function`, `type`, `unsupported`, `too_large`, and those of rules.
    pub code: &'static str,
    /// Where.
    pub span: Span,
    /// What is wrong and what to do.
    pub detail: String,
    /// A name that was probably meant.
    pub suggestion: Option<String>,
}

impl Flaw {
    /// A flaw without a suggestion.
    pub fn new(code: &'static str, span: Span, detail: impl Into<String>) -> Self {
        Self { code, span, detail: detail.into(), suggestion: None }
    }
}
