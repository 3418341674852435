//! From text to tokens.

use super::{Flaw, ast::Span};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(String),
    Uint(String),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Name(String),
    /// A name in backticks, which may only be a field.
    Quoted(String),
    Sign(&'static str),
    End,
}

/// Longest first, so that the first match is the right one.
const SIGNS: [&str; 26] = [
    "&&", "||", "==", "!=", "<=", ">=", ".?", "[?", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".",
    ",", "(", ")", "[", "]", "{", "}",
];

pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

type Found = Result<(Token, Span), Flaw>;

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }
    fn byte(&self, ahead: usize) -> u8 {
        self.source.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }
    fn span(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.at as u32 }
    }
    fn flaw(&self, start: usize, detail: impl Into<String>) -> Flaw {
        let end = (self.at.max(start + 1)).min(self.source.len().max(start));
        Flaw::new("syntax", Span { start: start as u32, end: end as u32 }, detail)
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    pub(super) fn next(&mut self) -> Found {
        self.skip_blank();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok((Token::End, self.span(start))) };
        if let Some(prefix) = self.string_prefix() {
            return self.text(start, prefix);
        }
        if first.is_ascii_digit() || (first == '.' && self.byte(1).is_ascii_digit()) {
            return self.number(start);
        }
        if first.is_ascii_alphabetic() || matches!(first, '_' | '@') {
            let rest = self.rest();
            let end = rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            self.at += end.map_or(rest.len(), |end| end + 1);
            // `@` begins names that macros make; people cannot write them.
            if first == '@' {
                return Err(self.flaw(start, "a name begins with a letter or _"));
            }
            return Ok((Token::Name(self.source[start..self.at].to_owned()), self.span(start)));
        }
        if first == '`' {
            return self.quoted(start);
        }
        for sign in SIGNS {
            if self.rest().starts_with(sign) {
                self.at += sign.len();
                return Ok((Token::Sign(sign), self.span(start)));
            }
        }
        let hint = match first {
            '=' => "; to compare, write ==".to_owned(),
            '&' | '|' => format!("; write {first}{first}"),
            _ => String::new(),
        };
        self.at += first.len_utf8();
        Err(self.flaw(start, format!("{first:?} has no place here{hint}")))
    }

    fn quoted(&mut self, start: usize) -> Found {
        let inner = &self.rest()[1..];
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' ');
        let end = inner.find(|c: char| !allowed(c)).unwrap_or(inner.len());
        if end == 0 || !inner[end..].starts_with('`') {
            return Err(
                self.flaw(start, "a name in backticks has letters, digits, _ . - / and blanks, and an end")
            );
        }
        self.at += end + 2;
        Ok((Token::Quoted(inner[..end].to_owned()), self.span(start)))
    }

    fn number(&mut self, start: usize) -> Found {
        if self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X') {
            self.at += 2;
            self.digits(|b| b.is_ascii_hexdigit());
            if self.at == start + 2 {
                return Err(self.flaw(start, "0x needs hexadecimal digits"));
            }
            return self.whole(start);
        }
        self.digits(|b| b.is_ascii_digit());
        let mut fraction = false;
        if self.byte(0) == b'.' && self.byte(1).is_ascii_digit() {
            fraction = true;
            self.at += 1;
            self.digits(|b| b.is_ascii_digit());
        }
        if matches!(self.byte(0), b'e' | b'E') {
            let signed = usize::from(matches!(self.byte(1), b'+' | b'-'));
            if self.byte(1 + signed).is_ascii_digit() {
                fraction = true;
                self.at += 1 + signed;
                self.digits(|b| b.is_ascii_digit());
            }
        }
        if !fraction {
            return self.whole(start);
        }
        match self.source[start..self.at].parse::<f64>() {
            Ok(value) if value.is_finite() => Ok((Token::Double(value), self.span(start))),
            _ => Err(self.flaw(start, "this number is out of range")),
        }
    }

    fn digits(&mut self, is: impl Fn(u8) -> bool) {
        while is(self.byte(0)) {
            self.at += 1;
        }
    }

    /// Whole numbers are read by the parser, which knows of a minus before them.
    fn whole(&mut self, start: usize) -> Found {
        let digits = self.source[start..self.at].to_owned();
        let unsigned = matches!(self.byte(0), b'u' | b'U');
        self.at += usize::from(unsigned);
        if self.byte(0).is_ascii_alphanumeric() || self.byte(0) == b'_' {
            return Err(
                self.flaw(start, "a number is followed by a letter; put a blank or an operator between")
            );
        }
        let token = if unsigned { Token::Uint(digits) } else { Token::Int(digits) };
        Ok((token, self.span(start)))
    }

    /// Length of `r`, `b`, `br`, `rb` before a quote, raw, bytes.
    fn string_prefix(&self) -> Option<(usize, bool, bool)> {
        let (mut raw, mut bytes) = (false, false);
        for ahead in 0..3 {
            match self.byte(ahead) {
                b'\'' | b'"' => return Some((ahead, raw, bytes)),
                b'r' | b'R' if !raw => raw = true,
                b'b' | b'B' if !bytes => bytes = true,
                _ => return None,
            }
        }
        None
    }

    fn text(&mut self, start: usize, (prefix, raw, bytes): (usize, bool, bool)) -> Found {
        self.at += prefix;
        let quote = &self.rest()[..1];
        let triple = self.rest().starts_with(&quote.repeat(3));
        let end = if triple { quote.repeat(3) } else { quote.to_owned() };
        self.at += end.len();
        let mut out: Vec<u8> = Vec::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(&end) {
                self.at += end.len();
                break;
            }
            let Some(c) = rest.chars().next() else {
                return Err(self.flaw(start, format!("this text has no end; close it with {end}")));
            };
            if !triple && matches!(c, '\n' | '\r') {
                return Err(
                    self.flaw(start, format!("this text has no end on its line; close it with {end}"))
                );
            }
            if c == '\\' && !raw {
                self.escape(bytes, &mut out)?;
                continue;
            }
            self.at += c.len_utf8();
            // A raw text keeps its backslash, and the quote behind it does not end it.
            if c == '\\' && raw && self.rest().starts_with(quote) && !self.rest().starts_with(&end) {
                out.push(b'\\');
                continue;
            }
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        let token = if bytes {
            Token::Bytes(out)
        } else {
            // Escapes of text are whole characters, so this cannot fail.
            Token::Text(String::from_utf8(out).map_err(|_| self.flaw(start, "this text is not UTF-8"))?)
        };
        Ok((token, self.span(start)))
    }

    fn escape(&mut self, bytes: bool, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let start = self.at;
        self.at += 1;
        let Some(letter) = self.rest().chars().next() else {
            return Err(self.flaw(start, "a backslash at the end of the text"));
        };
        let simple = match letter {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            '\\' | '?' | '"' | '\'' | '`' => Some(letter as u8),
            _ => None,
        };
        if let Some(byte) = simple {
            self.at += 1;
            out.push(byte);
            return Ok(());
        }
        let (skip, count, radix) = match letter {
            'x' | 'X' => (1, 2, 16),
            'u' if !bytes => (1, 4, 16),
            'U' if !bytes => (1, 8, 16),
            '0'..='3' => (0, 3, 8),
            _ => {
                return Err(
                    self.flaw(start, format!("\\{letter} is not an escape; for a backslash write \\\\"))
                );
            }
        };
        self.at += skip;
        let digits = self.rest().get(..count).unwrap_or_default();
        let code = digits.chars().all(|c| c.is_digit(radix)).then(|| u32::from_str_radix(digits, radix).ok());
        let Some(code) = code.flatten().filter(|_| digits.len() == count) else {
            return Err(self.flaw(start, format!("\\{letter} needs {count} digits")));
        };
        self.at += count;
        if bytes {
            out.push(code as u8);
            return Ok(());
        }
        let c = char::from_u32(code).ok_or_else(|| self.flaw(start, "this escape is not a character"))?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}
