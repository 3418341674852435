//! Where in a text something stands that was read from a scalar: folding joins lines, indentation is taken away, quotes
//! have escapes, and a reader is helped by none of that.

/// A place in a text, and in the scalar of it that it lies in; all from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line of the text.
    pub line: usize,
    /// Column of the text.
    pub column: usize,
    /// Line of the scalar as it is written, blank ones included.
    pub own_line: usize,
    /// Column without the indentation of the scalar.
    pub own_column: usize,
}

/// Where the byte `at` of `value` stands in `source`, in which `value` is the scalar that begins at `line` and `column`. None
/// when the two do not fit each other.
///
/// Whatever the style, the characters of a value that are not blank appear in its source in the same order; blanks are what
/// folding and indentation change. So both are walked together, and only the former are compared.
pub fn place_in(source: &str, (line, column): (usize, usize), value: &str, at: usize) -> Option<Place> {
    let mut walk = Walk::to(source, line, column)?;
    let style = match walk.peek()? {
        mark @ ('|' | '>') => {
            walk.skip_line();
            mark
        }
        quote @ ('"' | '\'') => {
            walk.step();
            quote
        }
        // The parser may name the first character of a block rather than the mark above it.
        _ => block_mark_above(source, line).unwrap_or('p'),
    };
    walk.skip_blanks();
    let (first_line, margin) = (walk.line, walk.column);
    let place = |walk: &Walk<'_>| {
        let indent = match style {
            '|' | '>' => margin,
            _ if walk.line == first_line => margin,
            // Lines that follow have whatever indentation their author liked.
            _ => {
                let text = source.lines().nth(walk.line - 1).unwrap_or_default();
                text.chars().take_while(|c| c.is_whitespace()).count() + 1
            }
        };
        Place {
            line: walk.line,
            column: walk.column,
            own_line: walk.line - first_line + 1,
            own_column: (walk.column + 1).saturating_sub(indent).max(1),
        }
    };
    for (byte, wanted) in value.char_indices() {
        if byte >= at && !wanted.is_whitespace() {
            walk.skip_blanks();
            walk.skip_line_joins(style);
            return Some(place(&walk));
        }
        if wanted.is_whitespace() {
            walk.skip_escaped_blank(style);
            continue;
        }
        walk.skip_blanks();
        walk.skip_line_joins(style);
        (walk.next_char(style)? == wanted).then_some(())?;
    }
    // At the end, such as where an operand is missing.
    Some(place(&walk))
}

/// The mark of a block, `|` or `>`, that ends the last line with something in it above `line`.
fn block_mark_above(source: &str, line: usize) -> Option<char> {
    let above = source.lines().take(line.saturating_sub(1)).filter(|text| !text.trim().is_empty()).last()?;
    let header = above.split(" #").next().unwrap_or(above).split_whitespace().last()?;
    let mark = header.chars().next().filter(|mark| matches!(mark, '|' | '>'))?;
    header.chars().skip(1).all(|c| c.is_ascii_digit() || matches!(c, '+' | '-')).then_some(mark)
}

/// A place in a text on its way to the end.
struct Walk<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
}

impl<'a> Walk<'a> {
    fn to(source: &'a str, line: usize, column: usize) -> Option<Self> {
        let mut walk = Self { rest: source.chars().peekable(), line: 1, column: 1 };
        while (walk.line, walk.column) < (line, column) {
            walk.step()?;
        }
        ((walk.line, walk.column) == (line, column)).then_some(walk)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn step(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_line(&mut self) {
        while self.step().is_some_and(|c| c != '\n') {}
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.step();
        }
    }

    /// In double quotes a backslash at the end of a line joins it with the next one.
    fn skip_line_joins(&mut self, style: char) {
        while style == '"' && self.peek() == Some('\\') {
            let mut ahead = self.rest.clone();
            ahead.next();
            if !matches!(ahead.next(), Some('\n' | '\r')) {
                return;
            }
            self.step();
            self.skip_blanks();
        }
    }

    /// Blanks may be escaped as well: `\n`, `\t`, `\ `.
    fn skip_escaped_blank(&mut self, style: char) {
        self.skip_blanks();
        if style == '"' && self.peek() == Some('\\') {
            let mut ahead = self.rest.clone();
            ahead.next();
            if matches!(ahead.next(), Some('n' | 't' | 'r' | ' ' | 'v' | 'f' | '_' | 'N' | 'L' | 'P')) {
                self.step();
                self.step();
            }
        }
    }

    /// The next character of the value.
    fn next_char(&mut self, style: char) -> Option<char> {
        let c = self.step()?;
        match (style, c) {
            ('\'', '\'') => self.step().filter(|c| *c == '\''),
            ('"', '\\') => {
                let digits = match self.step()? {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    '0' => return Some('\0'),
                    'a' => return Some('\u{7}'),
                    'b' => return Some('\u{8}'),
                    'e' => return Some('\u{1b}'),
                    other => return Some(other),
                };
                let mut code = 0;
                for _ in 0..digits {
                    code = code * 16 + self.step()?.to_digit(16)?;
                }
                char::from_u32(code)
            }
            _ => Some(c),
        }
    }
}
