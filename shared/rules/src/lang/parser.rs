//! From tokens to a tree. One parser, by precedence, with macros expanded on the way. Depth and size are bounded while
//! reading, so that no input can exhaust the stack here or in anything that walks the tree.

use super::{
    Flaw,
    ast::{Expr, Kind, Loop, LoopKind, Span},
    lexer::{Lexer, Token},
    value::Value,
};

/// Deepest nesting, of brackets and operators, and the greatest height of a tree.
pub(crate) const DEPTH_MAX: usize = 96;
/// Most parts of one expression.
pub(crate) const NODES_MAX: usize = 20_000;

const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "in",
];

/// Reads one expression.
pub fn parse(source: &str) -> Result<Expr, Flaw> {
    let mut parser = Parser::new(source)?;
    let expr = parser.expression()?;
    match parser.token {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    span: Span,
    depth: usize,
    nodes: usize,
}

fn precedence(sign: &str) -> Option<u8> {
    Some(match sign {
        "||" => 1,
        "&&" => 2,
        "<" | "<=" | ">" | ">=" | "==" | "!=" | "in" => 3,
        "+" | "-" => 4,
        "*" | "/" | "%" => 5,
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    fn new(source: &'a str) -> Result<Self, Flaw> {
        let mut lexer = Lexer::new(source);
        let (token, span) = lexer.next()?;
        Ok(Self { lexer, token, span, depth: 0, nodes: 0 })
    }

    fn advance(&mut self) -> Result<(Token, Span), Flaw> {
        let (token, span) = self.lexer.next()?;
        Ok((std::mem::replace(&mut self.token, token), std::mem::replace(&mut self.span, span)))
    }
    fn is(&self, sign: &str) -> bool {
        matches!(&self.token, Token::Sign(found) if *found == sign)
    }
    fn eat(&mut self, sign: &str) -> Result<bool, Flaw> {
        let found = self.is(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }
    fn expect(&mut self, sign: &'static str, why: &str) -> Result<Span, Flaw> {
        if self.is(sign) {
            return Ok(self.advance()?.1);
        }
        Err(self.unexpected(&format!("{sign} {why}")))
    }
    fn unexpected(&self, wanted: &str) -> Flaw {
        let found = match &self.token {
            Token::End => "the end".to_owned(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Name(name) | Token::Quoted(name) => name.clone(),
            _ => "a constant".to_owned(),
        };
        Flaw::new("syntax", self.span, format!("found {found} where {wanted} was expected"))
    }

    fn node(&mut self, kind: Kind, span: Span) -> Result<Expr, Flaw> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Flaw::new("too_large", span, format!("more than {NODES_MAX} parts; split it")));
        }
        let expr = Expr::new(kind, span);
        if usize::from(expr.height) > DEPTH_MAX {
            return Err(Flaw::new("too_large", span, format!("nested deeper than {DEPTH_MAX}; split it")));
        }
        Ok(expr)
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Flaw>) -> Result<T, Flaw> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let detail = format!("nested deeper than {DEPTH_MAX}; split it");
            return Err(Flaw::new("too_large", self.span, detail));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Result<Expr, Flaw> {
        self.nested(Self::ternary)
    }

    /// `a ? b : c ? d : e` is read in a loop, for a chain of it is no nesting to a reader, but it is to a tree.
    fn ternary(&mut self) -> Result<Expr, Flaw> {
        let condition = self.binary(1)?;
        if !self.eat("?")? {
            return Ok(condition);
        }
        let yes = self.nested(|parser| parser.binary(1))?;
        self.expect(":", "of a condition ? a : b")?;
        let no = self.expression()?;
        let span = condition.span.to(no.span);
        self.node(Kind::Call { target: None, name: "?:".to_owned(), args: vec![condition, yes, no] }, span)
    }

    fn binary(&mut self, weakest: u8) -> Result<Expr, Flaw> {
        let mut left = self.unary()?;
        let mut chained = false;
        loop {
            let sign = match &self.token {
                Token::Sign(sign) => *sign,
                Token::Name(name) if name == "in" => "in",
                _ => break,
            };
            let Some(strength) = precedence(sign).filter(|strength| *strength >= weakest) else { break };
            self.advance()?;
            let right = self.nested(|parser| parser.binary(strength + 1))?;
            let span = left.span.to(right.span);
            // A chain of one joint is one list: flat to walk, and read as one by people.
            if let ("&&" | "||", Kind::Call { name, args, .. }) = (sign, &mut left.kind)
                && name == sign
                && chained
            {
                left.height = left.height.max(right.height + 1);
                args.push(right);
                left.span = span;
                continue;
            }
            chained = true;
            left =
                self.node(Kind::Call { target: None, name: sign.to_owned(), args: vec![left, right] }, span)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Flaw> {
        let start = self.span;
        if self.is("-") {
            self.advance()?;
            // The smallest int has no positive twin, so its sign belongs to it.
            if let Token::Int(digits) = &self.token
                && let Some(value) = whole(digits).and_then(|value| i64::try_from(-value).ok())
            {
                let span = start.to(self.advance()?.1);
                let literal = self.node(Kind::Literal(Value::Int(value)), span)?;
                return self.suffixes(literal);
            }
            if let Token::Double(value) = self.token {
                let span = start.to(self.advance()?.1);
                let literal = self.node(Kind::Literal(Value::Double(-value)), span)?;
                return self.suffixes(literal);
            }
            let inner = self.nested(Self::unary)?;
            let span = start.to(inner.span);
            return self.node(Kind::Call { target: None, name: "-_".to_owned(), args: vec![inner] }, span);
        }
        if self.eat("!")? {
            let inner = self.nested(Self::unary)?;
            let span = start.to(inner.span);
            return self.node(Kind::Call { target: None, name: "!".to_owned(), args: vec![inner] }, span);
        }
        let primary = self.primary()?;
        self.suffixes(primary)
    }

    /// What follows a value: `.field`, `.method()`, `[index]`.
    fn suffixes(&mut self, mut expr: Expr) -> Result<Expr, Flaw> {
        loop {
            if self.is(".") || self.is(".?") {
                let optional = self.is(".?");
                self.advance()?;
                let (field, quoted) = match self.advance()? {
                    (Token::Name(name), _) if name != "in" => (name, false),
                    (Token::Quoted(name), _) => (name, true),
                    (_, span) => return Err(Flaw::new("syntax", span, "a dot is followed by a name")),
                };
                if self.is("(") && !optional && !quoted {
                    expr = self.method(expr, field)?;
                    continue;
                }
                let span = Span { end: self.lexer_end(), ..expr.span };
                expr =
                    self.node(Kind::Select { operand: Box::new(expr), field, test: false, optional }, span)?;
            } else if self.is("[") || self.is("[?") {
                let name = if self.is("[") { "[]" } else { "[?]" };
                self.advance()?;
                let index = self.expression()?;
                let end = self.expect("]", "after an index")?;
                let span = expr.span.to(end);
                expr = self.node(
                    Kind::Call { target: None, name: name.to_owned(), args: vec![expr, index] },
                    span,
                )?;
            } else if self.is("{") && expr.qualified_name().is_some() {
                let detail = "messages are not part of this language; use a map";
                return Err(Flaw::new("unsupported", expr.span, detail));
            } else {
                return Ok(expr);
            }
        }
    }

    /// End of what was read last: just before the token in hand, blanks not counted.
    fn lexer_end(&self) -> u32 {
        self.span.start
    }

    fn arguments(&mut self) -> Result<(Vec<Expr>, Span), Flaw> {
        self.expect("(", "before arguments")?;
        let mut args = Vec::new();
        while !self.is(")") {
            args.push(self.expression()?);
            if !self.eat(",")? {
                break;
            }
        }
        let end = self.expect(")", "after arguments")?;
        Ok((args, end))
    }

    fn method(&mut self, target: Expr, name: String) -> Result<Expr, Flaw> {
        let (args, end) = self.arguments()?;
        let span = target.span.to(end);
        if let Kind::Ident(group) = &target.kind
            && group == "cel"
        {
            return self.cel_macro(&name, args, span);
        }
        match expand_method(target, &name, args)? {
            Ok(kind) => self.node(kind, span),
            Err((target, args)) => self.node(Kind::Call { target: Some(Box::new(target)), name, args }, span),
        }
    }

    /// `cel.bind`, and what optimisers write: `cel.block`, `cel.index`, `cel.iterVar`, `cel.accuVar`.
    fn cel_macro(&mut self, name: &str, args: Vec<Expr>, span: Span) -> Result<Expr, Flaw> {
        let number = |expr: &Expr| match &expr.kind {
            Kind::Literal(Value::Int(number)) if *number >= 0 => Ok(*number),
            _ => Err(Flaw::new("syntax", expr.span, "needs a whole number")),
        };
        let count = args.len();
        let mut args = args.into_iter();
        let kind = match (name, args.next(), args.next(), args.next()) {
            ("bind", Some(name), Some(init), Some(body)) if count == 3 => {
                Kind::Bind { name: variable(&name)?, init: Box::new(init), body: Box::new(body) }
            }
            ("block", Some(Expr { kind: Kind::List(slots), .. }), Some(body), None) => {
                Kind::Block { slots: slots.into_iter().map(|(slot, _)| slot).collect(), body: Box::new(body) }
            }
            ("index", Some(index), None, None) => Kind::Ident(format!("@index{}", number(&index)?)),
            ("iterVar" | "accuVar", Some(depth), Some(unique), None) => {
                Kind::Ident(format!("@{name}{}_{}", number(&depth)?, number(&unique)?))
            }
            _ => {
                return Err(Flaw::new(
                    "syntax",
                    span,
                    format!(
                        "cel.{name} is not used like this; write cel.bind(name, value, where it is used)"
                    ),
                ));
            }
        };
        self.node(kind, span)
    }

    fn primary(&mut self) -> Result<Expr, Flaw> {
        let (token, span) = self.advance()?;
        let literal = match token {
            Token::Int(digits) => {
                let value = whole(&digits).and_then(|value| i64::try_from(value).ok());
                Value::Int(value.ok_or_else(|| Flaw::new("syntax", span, "this number is beyond 64 bits"))?)
            }
            Token::Uint(digits) => {
                let value = whole(&digits).and_then(|value| u64::try_from(value).ok());
                Value::Uint(value.ok_or_else(|| Flaw::new("syntax", span, "this number is beyond 64 bits"))?)
            }
            Token::Double(value) => Value::Double(value),
            Token::Text(text) => Value::from(text),
            Token::Bytes(bytes) => Value::Bytes(bytes.into()),
            Token::Name(name) => return self.name(name, span),
            Token::Sign(".") => {
                return match self.advance()? {
                    (Token::Name(name), end) => self.name(format!(".{name}"), span.to(end)),
                    (_, span) => Err(Flaw::new("syntax", span, "a dot is followed by a name")),
                };
            }
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")", "to close the bracket")?;
                // A bracket parts chains: `(a && b) && c` keeps its shape.
                return Ok(inner);
            }
            Token::Sign(open @ ("[" | "[?")) => return self.list(span, open == "[?"),
            Token::Sign("{") => return self.map(span),
            token => {
                (self.token, self.span) = (token, span);
                return Err(self.unexpected("a value"));
            }
        };
        self.node(Kind::Literal(literal), span)
    }

    fn name(&mut self, name: String, span: Span) -> Result<Expr, Flaw> {
        match name.as_str() {
            "true" => return self.node(Kind::Literal(Value::Bool(true)), span),
            "false" => return self.node(Kind::Literal(Value::Bool(false)), span),
            "null" => return self.node(Kind::Literal(Value::Null), span),
            reserved if RESERVED.contains(&reserved) => {
                return Err(Flaw::new("syntax", span, format!("{reserved} is a reserved word")));
            }
            _ => {}
        }
        if !self.is("(") {
            return self.node(Kind::Ident(name), span);
        }
        let (mut args, end) = self.arguments()?;
        let span = span.to(end);
        if name == "has" && args.len() == 1 {
            let argument = args.remove(0);
            return match argument.kind {
                Kind::Select { operand, field, test: false, optional } => {
                    self.node(Kind::Select { operand, field, test: true, optional }, span)
                }
                _ => Err(Flaw::new(
                    "syntax",
                    argument.span,
                    "has() asks a map for a field, such as has(a.b); in rules known(a.b) asks whether a value is known",
                )),
            };
        }
        self.node(Kind::Call { target: None, name, args }, span)
    }

    fn list(&mut self, start: Span, first_optional: bool) -> Result<Expr, Flaw> {
        let mut items = Vec::new();
        let mut optional = first_optional;
        while !self.is("]") {
            optional = self.eat("?")? || optional;
            items.push((self.expression()?, optional));
            optional = false;
            if !self.eat(",")? {
                break;
            }
        }
        let end = self.expect("]", "to close the list")?;
        self.node(Kind::List(items), start.to(end))
    }

    fn map(&mut self, start: Span) -> Result<Expr, Flaw> {
        let mut entries = Vec::new();
        while !self.is("}") {
            let optional = self.eat("?")?;
            let key = self.expression()?;
            self.expect(":", "between key and value")?;
            entries.push((key, self.expression()?, optional));
            if !self.eat(",")? {
                break;
            }
        }
        let end = self.expect("}", "to close the map")?;
        self.node(Kind::Map(entries), start.to(end))
    }
}

fn whole(digits: &str) -> Option<i128> {
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

fn variable(expr: &Expr) -> Result<String, Flaw> {
    match &expr.kind {
        Kind::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
        _ => Err(Flaw::new("syntax", expr.span, "a macro names its variable with a simple name")),
    }
}

/// The form of a macro, or target and arguments back when it is none.
#[allow(clippy::type_complexity, reason = "either a form or the parts it was made of")]
fn expand_method(target: Expr, name: &str, args: Vec<Expr>) -> Result<Result<Kind, (Expr, Vec<Expr>)>, Flaw> {
    let (kind, two, filtered) = match (name, args.len()) {
        ("all", 2) => (LoopKind::All, false, false),
        ("all", 3) => (LoopKind::All, true, false),
        ("exists", 2) => (LoopKind::Exists, false, false),
        ("exists", 3) => (LoopKind::Exists, true, false),
        ("exists_one" | "existsOne", 2) => (LoopKind::ExistsOne, false, false),
        ("exists_one" | "existsOne", 3) => (LoopKind::ExistsOne, true, false),
        ("map", 2) => (LoopKind::List, false, false),
        ("map", 3) => (LoopKind::List, false, true),
        ("transformList", 3) => (LoopKind::List, true, false),
        ("transformList", 4) => (LoopKind::List, true, true),
        ("transformMap", 3) => (LoopKind::Map, true, false),
        ("transformMap", 4) => (LoopKind::Map, true, true),
        ("transformMapEntry", 3) => (LoopKind::MapEntry, true, false),
        ("transformMapEntry", 4) => (LoopKind::MapEntry, true, true),
        ("filter", 2) => {
            let first = variable(&args[0])?;
            let body = args[0].clone();
            let filter = args.into_iter().nth(1);
            let inner = Loop { kind: LoopKind::List, range: target, first, second: None, filter, body };
            return Ok(Ok(Kind::Loop(Box::new(inner))));
        }
        ("optMap" | "optFlatMap", 2) => {
            let (flat, name) = (name == "optFlatMap", variable(&args[0])?);
            let body = Box::new(args.into_iter().next_back().unwrap_or_else(|| target.clone()));
            return Ok(Ok(Kind::OptMap { target: Box::new(target), name, body, flat }));
        }
        _ => return Ok(Err((target, args))),
    };
    let first = variable(&args[0])?;
    let second = if two { Some(variable(&args[1])?) } else { None };
    if second.as_ref() == Some(&first) {
        return Err(Flaw::new("syntax", args[1].span, "the two variables need different names"));
    }
    let mut rest = args.into_iter().skip(if two { 2 } else { 1 });
    let filter = if filtered { rest.next() } else { None };
    let Some(body) = rest.next() else {
        return Err(Flaw::new("syntax", target.span, "a macro without a body"));
    };
    Ok(Ok(Kind::Loop(Box::new(Loop { kind, range: target, first, second, filter, body }))))
}
