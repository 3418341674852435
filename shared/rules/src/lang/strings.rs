//! Methods of texts, and values as text.

use super::{
    eval::{Fault, Outcome, error, no_overload},
    value::Value,
};

/// A method of a text or of a list of texts; `None` when it is none of these.
pub(super) fn method(name: &str, args: &[Value]) -> Option<Outcome> {
    use Value::{Int, List, Text};
    let made = |text: String| Ok(Value::from(text));
    Some(match (name, args) {
        ("charAt", [Text(text), Int(at)]) => match usize::try_from(*at) {
            Ok(at) if at <= text.chars().count() => {
                made(text.chars().nth(at).map(String::from).unwrap_or_default())
            }
            _ => out_of_range(*at),
        },
        ("indexOf", [Text(text), Text(part)]) => found_first(text, part, (0, 0)),
        ("indexOf", [Text(text), Text(part), Int(from)]) => index_of(text, part, *from),
        ("lastIndexOf", [Text(text), Text(part)]) => {
            let length = text.chars().count() as i64;
            if part.is_empty() { Ok(Int(length)) } else { found_last(text, part, text.len()) }
        }
        ("lastIndexOf", [Text(text), Text(part), Int(from)]) => last_index_of(text, part, *from),
        ("lowerAscii", [Text(text)]) => made(text.to_ascii_lowercase()),
        ("upperAscii", [Text(text)]) => made(text.to_ascii_uppercase()),
        ("replace", [Text(text), Text(old), Text(new)]) => replaced(text, old, new, -1),
        ("replace", [Text(text), Text(old), Text(new), Int(most)]) => replaced(text, old, new, *most),
        ("split", [Text(text), Text(by)]) => Ok(split(text, by, -1)),
        ("split", [Text(text), Text(by), Int(most)]) => Ok(split(text, by, *most)),
        ("substring", [Text(text), Int(from)]) => substring(text, *from, None),
        ("substring", [Text(text), Int(from), Int(to)]) => substring(text, *from, Some(*to)),
        ("trim", [Text(text)]) => made(text.trim().to_owned()),
        ("reverse", [Text(text)]) => made(text.chars().rev().collect()),
        ("join", [List(items)]) => join(items, ""),
        ("join", [List(items), Text(by)]) => join(items, by),
        ("format", [Text(text), List(items)]) => format(text, items),
        _ => return None,
    })
}

fn out_of_range(at: i64) -> Outcome {
    error(format!("index out of range: {at}"))
}

/// The byte at which the character `at` begins; none beyond the characters there are. The end is a place for an empty
/// part only, for nothing else can be found there.
fn byte_of(text: &str, part: &str, at: i64) -> Option<usize> {
    let skip = usize::try_from(at).ok()?;
    let end = part.is_empty().then_some((text.len(), ' '));
    text.char_indices().chain(end).nth(skip).map(|(byte, _)| byte)
}

fn index_of(text: &str, part: &str, from: i64) -> Outcome {
    match byte_of(text, part, from) {
        Some(byte) => found_first(text, part, (byte, from)),
        None => out_of_range(from),
    }
}

/// The first place of `part` from a byte on, which begins the character of that number.
fn found_first(text: &str, part: &str, (byte, from): (usize, i64)) -> Outcome {
    let found = text[byte..].find(part).map(|at| from + text[byte..byte + at].chars().count() as i64);
    Ok(Value::Int(found.unwrap_or(-1)))
}

fn last_index_of(text: &str, part: &str, from: i64) -> Outcome {
    match byte_of(text, part, from) {
        Some(byte) => found_last(text, part, byte),
        None => out_of_range(from),
    }
}

/// The last place of `part` that begins at a byte or before.
fn found_last(text: &str, part: &str, byte: usize) -> Outcome {
    let mut places = (0..=byte).rev().filter(|at| text.is_char_boundary(*at));
    let found = places.find(|at| text[*at..].starts_with(part));
    Ok(Value::Int(found.map_or(-1, |at| text[..at].chars().count() as i64)))
}

/// A text that is made from others grows by multiplication; what would be huge is refused before it is made.
const MADE_BYTES_MAX: usize = 1 << 20;

fn replaced(text: &str, old: &str, new: &str, most: i64) -> Outcome {
    let places = text.matches(old).count().min(usize::try_from(most).unwrap_or(usize::MAX));
    if text.len().saturating_add(places.saturating_mul(new.len())) > MADE_BYTES_MAX {
        return error("the text would become too long");
    }
    Ok(text.replacen(old, new, places).into())
}

fn split(text: &str, by: &str, most: i64) -> Value {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<Value> = match most {
        0 => Vec::new(),
        1 => vec![text.into()],
        _ if by.is_empty() => {
            let mut ends: Vec<usize> = text.char_indices().map(|(at, _)| at).take(most).collect();
            ends.push(text.len());
            ends.windows(2).map(|pair| text[pair[0]..pair[1]].into()).collect()
        }
        _ => text.splitn(most, by).map(Value::from).collect(),
    };
    parts.into()
}

fn substring(text: &str, from: i64, to: Option<i64>) -> Outcome {
    let length = text.chars().count() as i64;
    if !(0..=length).contains(&from) {
        return out_of_range(from);
    }
    let to = to.unwrap_or(length);
    if !(0..=length).contains(&to) {
        return out_of_range(to);
    }
    if from > to {
        return error(format!("invalid substring range. start: {from}, end: {to}"));
    }
    Ok(text.chars().skip(from as usize).take((to - from) as usize).collect::<String>().into())
}

fn join(items: &[Value], by: &str) -> Outcome {
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        let Value::Text(text) = item else { return no_overload() };
        out.push_str(if at == 0 { "" } else { by });
        out.push_str(text);
        if out.len() > MADE_BYTES_MAX {
            return error("the text would become too long");
        }
    }
    Ok(out.into())
}

pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A double as text: the shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e21 on.
fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let short = format!("{value:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..21).contains(&exponent) { value.to_string() } else { scientific(digits, exponent) }
}

fn scientific(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// A value of a simple type as text.
pub(super) fn plain(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double(*value),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Duration(value) => value.to_string(),
        Value::Timestamp(at) => at.to_string(),
        Value::Type(name) => name.to_string(),
        _ => return None,
    })
}

fn readable(value: &Value, depth: usize, out: &mut String) -> Result<(), Fault> {
    if depth > 64 || out.len() > MADE_BYTES_MAX {
        return error("too large to be formatted");
    }
    match value {
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                readable(item, depth + 1, out)?;
            }
            out.push(']');
        }
        Value::Map(entries) => {
            let mut shown = Vec::new();
            for (key, value) in entries.iter() {
                let (mut key_text, mut value_text) = (String::new(), String::new());
                readable(key, depth + 1, &mut key_text)?;
                readable(value, depth + 1, &mut value_text)?;
                shown.push((key_text, value_text));
            }
            shown.sort();
            let shown: Vec<String> =
                shown.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
            out.push('{');
            out.push_str(&shown.join(", "));
            out.push('}');
        }
        other => match plain(other) {
            Some(text) => out.push_str(&text),
            None => return error(format!("{} cannot be formatted", other.type_name())),
        },
    }
    Ok(())
}

fn format(text: &str, items: &[Value]) -> Outcome {
    let mut out = String::new();
    let mut items = items.iter();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let mut precision = None;
        if let Some(behind) = rest.strip_prefix('.') {
            let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
            let digits = behind[..end].parse::<usize>().ok().filter(|digits| *digits <= 1_000);
            if digits.is_none() {
                return error("a precision is a number up to 1000");
            }
            precision = digits;
            rest = &behind[end..];
        }
        let Some(clause) = rest.chars().next() else {
            return error("a % at the end; write %% for a percent sign");
        };
        rest = &rest[clause.len_utf8()..];
        let Some(item) = items.next() else { return error("fewer values than places in the text") };
        clause_text(clause, precision, item, &mut out)?;
        if out.len() > MADE_BYTES_MAX {
            return error("the text would become too long");
        }
    }
    out.push_str(rest);
    Ok(out.into())
}

fn clause_text(clause: char, precision: Option<usize>, item: &Value, out: &mut String) -> Result<(), Fault> {
    let number = match item {
        Value::Int(value) => Some((*value < 0, value.unsigned_abs())),
        Value::Uint(value) => Some((false, *value)),
        Value::Bool(value) if clause == 'b' => Some((false, u64::from(*value))),
        _ => None,
    };
    let fraction = match item {
        Value::Double(value) => Some(*value),
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        _ => None,
    };
    let signed = |digits: String| {
        if number.is_some_and(|(negative, _)| negative) { format!("-{digits}") } else { digits }
    };
    let text = match (clause, number, fraction, item) {
        ('s', ..) => return readable(item, 0, out),
        ('d', Some((_, value)), ..) => signed(value.to_string()),
        ('b', Some((_, value)), ..) => signed(format!("{value:b}")),
        ('o', Some((_, value)), ..) => signed(format!("{value:o}")),
        ('x', Some((_, value)), ..) => signed(format!("{value:x}")),
        ('X', Some((_, value)), ..) => signed(format!("{value:X}")),
        ('x' | 'X', _, _, Value::Text(_) | Value::Bytes(_)) => {
            let bytes: &[u8] = match item {
                Value::Text(text) => text.as_bytes(),
                Value::Bytes(bytes) => bytes,
                _ => &[],
            };
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            if clause == 'X' { digits.to_ascii_uppercase() } else { digits }
        }
        ('d' | 'f' | 'e', _, Some(value), _) if !value.is_finite() => double(value),
        ('f', _, Some(value), _) => format!("{value:.*}", precision.unwrap_or(6)),
        ('e', _, Some(value), _) => {
            let short = format!("{value:.*e}", precision.unwrap_or(6));
            let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
            scientific(digits, exponent.parse().unwrap_or(0))
        }
        ('d' | 'b' | 'o' | 'x' | 'X' | 'f' | 'e', ..) => {
            return error(format!("%{clause} cannot show a value of type {}", item.type_name()));
        }
        _ => return error(format!("%{clause} is not a clause; there are %s %d %f %e %b %o %x %X")),
    };
    out.push_str(&text);
    Ok(())
}
