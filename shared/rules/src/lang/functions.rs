//! Operators, conversions, the standard library, optionals, math and encoders.

use std::cmp::Ordering;

use base64::Engine as _;

use super::{
    eval::{Fault, Outcome, error, index, no_overload},
    time::{Instant, Span},
    value::{Value, compare, compare_numbers, lookup},
};

/// Largest compiled form of a regular expression, in bytes; they run in time linear in the text.
const REGEX_BYTES_MAX: usize = 256 * 1024;

fn whole(value: Option<i64>) -> Outcome {
    value.map(Value::Int).ok_or_else(|| Fault::Error("int out of range".to_owned()))
}
fn unsigned(value: Option<u64>) -> Outcome {
    value.map(Value::Uint).ok_or_else(|| Fault::Error("uint out of range".to_owned()))
}
fn span(value: Option<Span>) -> Outcome {
    value.map(Value::Duration).ok_or_else(|| Fault::Error("duration out of range".to_owned()))
}
fn instant(value: Option<Instant>) -> Outcome {
    value.map(Value::Timestamp).ok_or_else(|| Fault::Error("timestamp out of range".to_owned()))
}
fn truth(value: bool) -> Outcome {
    Ok(Value::Bool(value))
}

pub(super) fn function(name: &str, args: &[Value]) -> Outcome {
    use Value::*;
    match (name, args) {
        ("==", [a, b]) => truth(a == b),
        ("!=", [a, b]) => truth(a != b),
        ("<" | "<=" | ">" | ">=", [a, b]) => {
            let Some(order) = compare(a, b) else { return no_overload() };
            // NaN is on no side of anything.
            truth(order.is_some_and(|order| match name {
                "<" => order == Ordering::Less,
                "<=" => order != Ordering::Greater,
                ">" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        ("in", [item, List(items)]) => truth(items.contains(item)),
        ("in", [key, Map(entries)]) => truth(lookup(entries, key).is_some()),
        ("[]", [of, at]) => index(of, at, false),
        ("[?]", [of, at]) => index(of, at, true),
        ("!", [Bool(value)]) => truth(!value),
        ("+" | "-" | "*" | "/" | "%" | "-_", args) => arithmetic(name, args),
        ("dyn", [value]) => Ok(value.clone()),
        ("type", [value]) => Ok(Type(value.type_name().into())),
        ("size", [_]) => method(name, args),
        ("bool" | "int" | "uint" | "double" | "string" | "bytes" | "timestamp" | "duration", [value]) => {
            convert(name, value)
        }
        ("optional.of", [value]) => Ok(Optional(Some(value.clone().into()))),
        ("optional.ofNonZeroValue", [value]) => {
            Ok(Optional((!value.is_zero()).then(|| value.clone().into())))
        }
        ("optional.none", []) => Ok(Optional(None)),
        ("optional.unwrap", [_]) => method("unwrapOpt", args),
        ("strings.quote", [Text(text)]) => Ok(super::strings::quote(text).into()),
        ("base64.encode", [Bytes(bytes)]) => {
            Ok(base64::engine::general_purpose::STANDARD.encode(bytes).into())
        }
        ("base64.decode", [Text(text)]) => {
            let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
            match engine.decode(text.trim_end_matches('=')) {
                Ok(bytes) => Ok(Bytes(bytes.into())),
                Err(_) => error("this is not base64"),
            }
        }
        _ if name.starts_with("math.") => math(&name[5..], args),
        _ => no_overload(),
    }
}

fn arithmetic(name: &str, args: &[Value]) -> Outcome {
    use Value::*;
    match (name, args) {
        ("-_", [Int(a)]) => whole(a.checked_neg()),
        ("-_", [Double(a)]) => Ok(Double(-a)),
        ("-_", [Duration(a)]) => span(a.negated()),
        ("/" | "%", [Int(_), Int(0)]) | ("/" | "%", [Uint(_), Uint(0)]) => error("division by zero"),
        ("+", [Int(a), Int(b)]) => whole(a.checked_add(*b)),
        ("-", [Int(a), Int(b)]) => whole(a.checked_sub(*b)),
        ("*", [Int(a), Int(b)]) => whole(a.checked_mul(*b)),
        ("/", [Int(a), Int(b)]) => whole(a.checked_div(*b)),
        ("%", [Int(a), Int(b)]) => whole(a.checked_rem(*b)),
        ("+", [Uint(a), Uint(b)]) => unsigned(a.checked_add(*b)),
        ("-", [Uint(a), Uint(b)]) => unsigned(a.checked_sub(*b)),
        ("*", [Uint(a), Uint(b)]) => unsigned(a.checked_mul(*b)),
        ("/", [Uint(a), Uint(b)]) => unsigned(a.checked_div(*b)),
        ("%", [Uint(a), Uint(b)]) => unsigned(a.checked_rem(*b)),
        ("+", [Double(a), Double(b)]) => Ok(Double(a + b)),
        ("-", [Double(a), Double(b)]) => Ok(Double(a - b)),
        ("*", [Double(a), Double(b)]) => Ok(Double(a * b)),
        ("/", [Double(a), Double(b)]) => Ok(Double(a / b)),
        ("+", [Text(a), Text(b)]) => Ok(format!("{a}{b}").into()),
        ("+", [Bytes(a), Bytes(b)]) => Ok(Bytes([a.as_ref(), b].concat().into())),
        ("+", [List(a), List(b)]) => Ok(List([a.as_ref(), b].concat().into())),
        ("+", [Timestamp(a), Duration(b)] | [Duration(b), Timestamp(a)]) => instant(a.plus(*b)),
        ("-", [Timestamp(a), Duration(b)]) => instant(a.minus(*b)),
        ("-", [Timestamp(a), Timestamp(b)]) => span(a.since(*b)),
        ("+", [Duration(a), Duration(b)]) => span(a.plus(*b)),
        ("-", [Duration(a), Duration(b)]) => span(a.minus(*b)),
        _ => no_overload(),
    }
}

fn convert(to: &str, value: &Value) -> Outcome {
    use Value::*;
    let unreadable =
        |text: &str| error(format!("{:?} is not a {to}", text.chars().take(40).collect::<String>()));
    match (to, value) {
        ("bool", Bool(_)) | ("int", Int(_)) | ("uint", Uint(_)) | ("double", Double(_)) => Ok(value.clone()),
        ("string", Text(_)) | ("bytes", Bytes(_)) => Ok(value.clone()),
        ("timestamp", Timestamp(_)) | ("duration", Duration(_)) => Ok(value.clone()),
        ("bool", Text(text)) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => truth(true),
            "false" | "False" | "FALSE" | "f" | "0" => truth(false),
            text => unreadable(text),
        },
        ("int", Uint(value)) => whole(i64::try_from(*value).ok()),
        ("int", Double(value)) => {
            let inside = *value > -9_223_372_036_854_775_808.0 && *value < 9_223_372_036_854_775_808.0;
            whole(inside.then_some(*value as i64))
        }
        ("int", Text(text)) => text.parse().map_or_else(|_| unreadable(text), |value| Ok(Int(value))),
        ("int", Timestamp(at)) => Ok(Int(at.seconds())),
        ("uint", Int(value)) => unsigned(u64::try_from(*value).ok()),
        ("uint", Double(value)) => {
            unsigned((*value >= 0.0 && *value < 18_446_744_073_709_551_616.0).then_some(*value as u64))
        }
        ("uint", Text(text)) => text.parse().map_or_else(|_| unreadable(text), |value| Ok(Uint(value))),
        ("double", Int(value)) => Ok(Double(*value as f64)),
        ("double", Uint(value)) => Ok(Double(*value as f64)),
        ("double", Text(text)) => text.parse().map_or_else(|_| unreadable(text), |value| Ok(Double(value))),
        ("string", Bytes(bytes)) => std::str::from_utf8(bytes)
            .map_or_else(|_| error("these bytes are not UTF-8"), |text| Ok(text.into())),
        ("string", Bool(_) | Int(_) | Uint(_) | Double(_) | Timestamp(_) | Duration(_)) => {
            Ok(super::strings::plain(value).unwrap_or_default().into())
        }
        ("bytes", Text(text)) => Ok(Bytes(text.as_bytes().into())),
        ("timestamp", Text(text)) => instant(Instant::parse(text)),
        ("timestamp", Int(seconds)) => instant(Instant::from_seconds(*seconds)),
        ("duration", Text(text)) => span(Span::parse(text)),
        _ => no_overload(),
    }
}

pub(super) fn method(name: &str, args: &[Value]) -> Outcome {
    use Value::*;
    match (name, args) {
        ("size", [Text(text)]) => Ok(Int(text.chars().count() as i64)),
        ("size", [Bytes(bytes)]) => Ok(Int(bytes.len() as i64)),
        ("size", [List(items)]) => Ok(Int(items.len() as i64)),
        ("size", [Map(entries)]) => Ok(Int(entries.len() as i64)),
        ("startsWith", [Text(text), Text(part)]) => truth(text.starts_with(&**part)),
        ("endsWith", [Text(text), Text(part)]) => truth(text.ends_with(&**part)),
        ("contains", [Text(text), Text(part)]) => truth(text.contains(&**part)),
        ("hasValue", [Optional(inner)]) => truth(inner.is_some()),
        ("value", [Optional(Some(inner))]) => Ok(inner.as_ref().clone()),
        ("value", [Optional(None)]) => error("this optional has no value"),
        ("first", [List(items)]) => Ok(Optional(items.first().cloned().map(Into::into))),
        ("last", [List(items)]) => Ok(Optional(items.last().cloned().map(Into::into))),
        ("unwrapOpt", [List(items)]) => {
            let mut held = Vec::new();
            for item in items.iter() {
                match item {
                    Optional(inner) => held.extend(inner.as_ref().map(|inner| inner.as_ref().clone())),
                    _ => return no_overload(),
                }
            }
            Ok(held.into())
        }
        (field, [Duration(value)]) if super::declare::DURATION_FIELDS.contains(&field) => {
            Ok(Int(value.field(field)))
        }
        (field, [Timestamp(at), zone @ ..]) if super::declare::TIMESTAMP_FIELDS.contains(&field) => {
            let zone = match zone {
                [] => None,
                [Text(zone)] => Some(&**zone),
                _ => return no_overload(),
            };
            at.field(field, zone).map(Int).map_err(Fault::Error)
        }
        _ => no_overload(),
    }
}

/// Compiles a regular expression of bounded size.
pub(crate) fn regex(pattern: &str) -> Result<regex::Regex, String> {
    let builder = regex::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).nest_limit(64).build();
    builder.map_err(|_| "this is not a regular expression, or a very large one".to_owned())
}

fn math(name: &str, args: &[Value]) -> Outcome {
    use Value::*;
    match (name, args) {
        ("greatest" | "least", [List(items)]) => extreme(name, items),
        ("greatest" | "least", items) => extreme(name, items),
        ("ceil", [Double(a)]) => Ok(Double(a.ceil())),
        ("floor", [Double(a)]) => Ok(Double(a.floor())),
        ("round", [Double(a)]) => Ok(Double(a.round())),
        ("trunc", [Double(a)]) => Ok(Double(a.trunc())),
        ("isNaN", [Double(a)]) => truth(a.is_nan()),
        ("isInf", [Double(a)]) => truth(a.is_infinite()),
        ("isFinite", [Double(a)]) => truth(a.is_finite()),
        ("abs", [Int(a)]) => whole(a.checked_abs()),
        ("abs", [Uint(a)]) => Ok(Uint(*a)),
        ("abs", [Double(a)]) => Ok(Double(a.abs())),
        ("sign", [Int(a)]) => Ok(Int(a.signum())),
        ("sign", [Uint(a)]) => Ok(Uint((*a).min(1))),
        ("sign", [Double(a)]) => Ok(Double(if *a == 0.0 || a.is_nan() { *a } else { a.signum() })),
        ("sqrt", [Int(a)]) => Ok(Double((*a as f64).sqrt())),
        ("sqrt", [Uint(a)]) => Ok(Double((*a as f64).sqrt())),
        ("sqrt", [Double(a)]) => Ok(Double(a.sqrt())),
        ("bitAnd", [Int(a), Int(b)]) => Ok(Int(a & b)),
        ("bitAnd", [Uint(a), Uint(b)]) => Ok(Uint(a & b)),
        ("bitOr", [Int(a), Int(b)]) => Ok(Int(a | b)),
        ("bitOr", [Uint(a), Uint(b)]) => Ok(Uint(a | b)),
        ("bitXor", [Int(a), Int(b)]) => Ok(Int(a ^ b)),
        ("bitXor", [Uint(a), Uint(b)]) => Ok(Uint(a ^ b)),
        ("bitNot", [Int(a)]) => Ok(Int(!a)),
        ("bitNot", [Uint(a)]) => Ok(Uint(!a)),
        ("bitShiftLeft" | "bitShiftRight", [_, Int(by)]) if *by < 0 => error("a shift by a negative number"),
        ("bitShiftLeft", [Int(a), Int(by)]) => Ok(Int(shift(*a as u64, *by, u64::checked_shl) as i64)),
        ("bitShiftLeft", [Uint(a), Int(by)]) => Ok(Uint(shift(*a, *by, u64::checked_shl))),
        ("bitShiftRight", [Int(a), Int(by)]) => Ok(Int(shift(*a as u64, *by, u64::checked_shr) as i64)),
        ("bitShiftRight", [Uint(a), Int(by)]) => Ok(Uint(shift(*a, *by, u64::checked_shr))),
        _ => no_overload(),
    }
}

fn shift(bits: u64, by: i64, how: fn(u64, u32) -> Option<u64>) -> u64 {
    u32::try_from(by).ok().and_then(|by| how(bits, by)).unwrap_or(0)
}

fn extreme(name: &str, items: &[Value]) -> Outcome {
    let wanted = if name == "greatest" { Ordering::Greater } else { Ordering::Less };
    let mut best: Option<&Value> = None;
    for item in items {
        if !matches!(item, Value::Int(_) | Value::Uint(_) | Value::Double(_)) {
            return no_overload();
        }
        if best.is_none_or(|best| compare_numbers(item, best) == Some(wanted)) {
            best = Some(item);
        }
    }
    best.map_or_else(|| error("needs at least one number"), |best| Ok(best.clone()))
}
