//! Runs conformance cases of the Common Expression Language, as JSON lines, and prints one JSON object on the last line:
//! `{"passed", "failed", "skipped", "failures": [...]}`.
//!
//!     cargo run --release -p stockade-rules --example conformance -- FILE.jsonl…

use std::{collections::BTreeMap, process::ExitCode};

use base64::Engine as _;
use serde_json::{Value as Json, json};
use stockade_rules::lang::{
    Arithmetic, Env, Instant, Length, Outcome, Overload, Ty, Value, check, evaluate, parse, resolve,
};

enum Verdict {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

fn main() -> ExitCode {
    let mut lines = Vec::new();
    for path in std::env::args().skip(1) {
        match std::fs::read_to_string(&path) {
            Ok(text) => lines.extend(text.lines().map(str::to_owned)),
            Err(error) => {
                eprintln!("cannot read {path}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    match report(lines.iter().map(String::as_str)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(line) => {
            eprintln!("not a case: {line}");
            ExitCode::FAILURE
        }
    }
}

/// Runs cases, a line each; the error is a line that is none.
pub(crate) fn report<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Json, String> {
    let (mut passed, mut failures, mut skips) = (0, Vec::new(), Vec::new());
    for line in lines {
        let case = serde_json::from_str::<Json>(line).map_err(|_| line.to_owned())?;
        let word = |key: &str| case[key].as_str().unwrap_or_default();
        let name = format!("{}/{}/{}", word("file"), word("section"), word("name"));
        match run(&case) {
            Verdict::Passed => passed += 1,
            Verdict::Failed(why) => {
                eprintln!("FAILED {name}: {}\n    {why}", word("expr"));
                failures.push(name);
            }
            Verdict::Skipped(why) => skips.push(json!({ "name": name, "why": why })),
        }
    }
    let (failed, skipped) = (failures.len(), skips.len());
    Ok(
        json!({ "passed": passed, "failed": failed, "skipped": skipped, "failures": failures, "skips": skips }),
    )
}

fn run(case: &Json) -> Verdict {
    if case["proto"].as_bool() == Some(true) {
        return Verdict::Skipped("needs protocol buffers");
    }
    let mut bindings = BTreeMap::new();
    for (name, value) in case["bindings"].as_object().into_iter().flatten() {
        match read(value) {
            Some(value) => bindings.insert(name.clone(), value),
            None => return Verdict::Skipped("a binding needs protocol buffers"),
        };
    }
    let mut env = Env::standard();
    env.container = case["container"].as_str().unwrap_or_default().to_owned();
    for name in bindings.keys() {
        env.variable(name, Ty::Dyn);
    }
    for declared in case["type_env"].as_array().into_iter().flatten() {
        declare(&mut env, declared);
    }
    let expected = &case["expect"];
    let outcome = outcome(case, &env, &bindings);
    match (outcome, expected.get("error"), expected.get("value"), expected.get("type")) {
        (Err(_), Some(_), ..) => Verdict::Passed,
        (Err(why), ..) => Verdict::Failed(format!("expected {expected}, got the error: {why}")),
        (Ok((_, None)), Some(_), ..) => Verdict::Failed("expected an error".to_owned()),
        (Ok((ty, value)), None, wanted_value, wanted_type) => {
            if let (Some(wanted), Some(ty)) = (wanted_type.and_then(Json::as_str), &ty)
                && ty.to_string() != wanted
            {
                return Verdict::Failed(format!("expected type {wanted}, got {ty}"));
            }
            let (Some(wanted), Some(value)) = (wanted_value, value) else { return Verdict::Passed };
            match read(wanted) {
                Some(wanted) if same(&wanted, &value) => Verdict::Passed,
                Some(wanted) => Verdict::Failed(format!("expected {wanted:?}, got {value:?}")),
                None => Verdict::Skipped("the result needs protocol buffers"),
            }
        }
        (Ok((_, Some(value))), Some(_), ..) => Verdict::Failed(format!("expected an error, got {value:?}")),
    }
}

fn outcome(
    case: &Json,
    env: &Env,
    bindings: &BTreeMap<String, Value>,
) -> Result<(Option<Ty>, Option<Value>), String> {
    let mut expr = parse(case["expr"].as_str().unwrap_or_default()).map_err(|flaw| flaw.detail)?;
    resolve(&mut expr, env);
    let mut ty = None;
    if case["disable_check"].as_bool() != Some(true) {
        ty = Some(check(&expr, env).map_err(|flaw| flaw.detail)?);
    }
    if case["check_only"].as_bool() == Some(true) {
        return Ok((ty, None));
    }
    let globals = |name: &str| -> Option<Outcome> { bindings.get(name).cloned().map(Ok) };
    match evaluate(&expr, &globals, Arithmetic::Standard) {
        Ok(value) => Ok((ty, Some(value))),
        Err(fault) => Err(format!("{fault:?}")),
    }
}

fn declare(env: &mut Env, declared: &Json) {
    let name = declared["name"].as_str().unwrap_or_default();
    let Some(overloads) = declared["overloads"].as_array() else {
        let ty = declared["type"].as_str().and_then(|text| Ty::parse(text, &[]));
        env.variable(name, ty.unwrap_or(Ty::Dyn));
        return;
    };
    for overload in overloads {
        let params: Vec<&str> =
            overload["type_params"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let ty = |text: &Json| Ty::parse(text.as_str().unwrap_or_default(), &params).unwrap_or(Ty::Dyn);
        env.function(
            name,
            Overload {
                member: false,
                params: overload["params"].as_array().into_iter().flatten().map(ty).collect(),
                result: ty(&overload["result"]),
            },
        );
    }
}

/// A typed value of a case; none for what needs protocol buffers.
fn read(typed: &Json) -> Option<Value> {
    let value = &typed["v"];
    Some(match typed["t"].as_str()? {
        "null" => Value::Null,
        "bool" => Value::Bool(value.as_bool()?),
        "int" => Value::Int(value.as_str()?.parse().ok()?),
        "uint" => Value::Uint(value.as_str()?.parse().ok()?),
        "double" => Value::Double(match value.as_str() {
            Some("NaN") => f64::NAN,
            Some("Infinity") => f64::INFINITY,
            Some("-Infinity") => f64::NEG_INFINITY,
            _ => value.as_f64()?,
        }),
        "string" => value.as_str()?.into(),
        "bytes" => {
            Value::Bytes(base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?.into())
        }
        "list" => value.as_array()?.iter().map(read).collect::<Option<Vec<Value>>>()?.into(),
        "map" => {
            let pair = |pair: &Json| Some((read(&pair[0])?, read(&pair[1])?));
            Value::Map(value.as_array()?.iter().map(pair).collect::<Option<Vec<_>>>()?.into())
        }
        "duration" => Value::Duration(Length::new(value["s"].as_i64()?, value["n"].as_i64()?)?),
        "timestamp" => Value::Timestamp(Instant::parse(value.as_str()?)?),
        "type" => Value::Type(value.as_str()?.into()),
        _ => return None,
    })
}

/// The same type and value, maps in any order, NaN equal to NaN.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => {
            (a.is_nan() && b.is_nan()) || (a == b && a.is_sign_negative() == b.is_sign_negative())
        }
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let has = |(key, value): &(Value, Value)| b.iter().any(|(k, v)| same(key, k) && same(value, v));
            a.len() == b.len() && a.iter().all(has)
        }
        (a, b) => a.type_name() == b.type_name() && a == b,
    }
}
