//! Compares this engine with the `cel` crate on random expressions over random values, and its two forms with each other.
//!
//!     cargo run --release -p stockade-rules --example differential -- --evaluations 10000000 --seed 1
//!
//! The last line is one JSON object: `{"evaluations", "expressions", "refused", "errors_alike", "explained", "differences": [...]}`.
//! Explained differences are counted by reason, and each reason is one on which the language's conformance cases side with
//! this engine, or the crate's own documentation says that it differs.

use std::{collections::BTreeMap, process::ExitCode};

use serde_json::json;
use stockade_rules::lang::{
    Arithmetic, Env, Expr, Globals, Kind, Ty, Value, check, evaluate, parse, resolve,
};

/// Values tried for each expression.
const TRIES: usize = 40;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64, by Steele, Lea and Flood.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// A random expression of a type, over `i j` int, `u` uint, `d e` double, `s t` string, `b c` bool, `l` list of int.
fn expression(random: &mut Random, ty: char, depth: usize) -> String {
    if depth == 0 {
        return match ty {
            'i' => random.pick(&["i", "j", "0", "1", "-7", "9223372036854775807", "42"]).to_owned(),
            'u' => random.pick(&["u", "0u", "3u", "18446744073709551615u"]).to_owned(),
            'd' => random.pick(&["d", "e", "0.0", "1.5", "-2.25", "1e300"]).to_owned(),
            's' => random.pick(&["s", "t", "''", "'a'", "'aé'", "\"x y\""]).to_owned(),
            'l' => random.pick(&["l", "[]", "[1, 2, 3]"]).to_owned(),
            _ => random.pick(&["b", "c", "true", "false"]).to_owned(),
        };
    }
    let sub = |random: &mut Random, ty| expression(random, ty, depth - 1);
    match (ty, random.below(8)) {
        ('i', 0..3) => {
            format!("({} {} {})", sub(random, 'i'), random.pick(&["+", "-", "*", "/", "%"]), sub(random, 'i'))
        }
        ('i', 3) => format!("size({})", sub(random, 's')),
        ('i', 4) => format!("size({})", sub(random, 'l')),
        ('i', 5) => format!("({} ? {} : {})", sub(random, 'b'), sub(random, 'i'), sub(random, 'i')),
        ('i', 6) => format!("(-{})", sub(random, 'i')),
        ('i', _) => format!("{}[{}]", sub(random, 'l'), sub(random, 'i')),
        ('u', 0..5) => {
            format!("({} {} {})", sub(random, 'u'), random.pick(&["+", "-", "*", "/", "%"]), sub(random, 'u'))
        }
        ('u', _) => format!("({} ? {} : {})", sub(random, 'b'), sub(random, 'u'), sub(random, 'u')),
        ('d', 0..4) => {
            format!("({} {} {})", sub(random, 'd'), random.pick(&["+", "-", "*", "/"]), sub(random, 'd'))
        }
        ('d', 4) => format!("double({})", sub(random, 'i')),
        ('d', 5) => format!("(-{})", sub(random, 'd')),
        ('d', _) => format!("({} ? {} : {})", sub(random, 'b'), sub(random, 'd'), sub(random, 'd')),
        ('s', 0..4) => format!("({} + {})", sub(random, 's'), sub(random, 's')),
        ('s', 4) => format!("string({})", sub(random, 'i')),
        ('s', _) => format!("({} ? {} : {})", sub(random, 'b'), sub(random, 's'), sub(random, 's')),
        ('l', 0..3) => format!("({} + {})", sub(random, 'l'), sub(random, 'l')),
        ('l', 3) => format!("[{}, {}]", sub(random, 'i'), sub(random, 'i')),
        ('l', 4..6) => {
            format!("{}.map(x, x {} {})", sub(random, 'l'), random.pick(&["+", "-", "/"]), sub(random, 'i'))
        }
        ('l', _) => {
            format!("{}.filter(x, x {} {})", sub(random, 'l'), random.pick(&["<", ">="]), sub(random, 'i'))
        }
        (_, 0..2) => {
            let ty = ['i', 'd', 's', 'u'][random.below(4)];
            let sign = random.pick(&["<", "<=", ">", ">=", "==", "!="]);
            format!("({} {sign} {})", sub(random, ty), sub(random, ty))
        }
        (_, 2) => format!("({} {} {})", sub(random, 'b'), random.pick(&["&&", "||"]), sub(random, 'b')),
        (_, 3) => format!("!{}", sub(random, 'b')),
        (_, 4) => format!(
            "{}.{}({})",
            sub(random, 's'),
            random.pick(&["startsWith", "endsWith", "contains"]),
            sub(random, 's')
        ),
        (_, 5) => format!("({} in {})", sub(random, 'i'), sub(random, 'l')),
        (_, 6) => format!(
            "{}.{}(x, x > {})",
            sub(random, 'l'),
            random.pick(&["all", "exists", "exists_one"]),
            sub(random, 'i')
        ),
        (_, _) => format!("({} == {})", sub(random, 'l'), sub(random, 'l')),
    }
}

fn names(random: &mut Random) -> Vec<(&'static str, Value)> {
    let mut int = || match random.below(6) {
        0 => i64::MAX,
        1 => i64::MIN,
        2 => 0,
        _ => random.below(20) as i64 - 8,
    };
    let (i, j, list) = (int(), int(), vec![int(), int(), int()]);
    let list: Vec<Value> = list.into_iter().take(random.below(4)).map(Value::Int).collect();
    let mut double = || match random.below(6) {
        0 => 0.0,
        1 => f64::NAN,
        2 => f64::INFINITY,
        _ => random.below(80) as f64 / 8.0 - 4.0,
    };
    let (d, e) = (double(), double());
    let texts = ["", "a", "ab", "é", "x y", "aé"];
    vec![
        ("i", Value::Int(i)),
        ("j", Value::Int(j)),
        ("u", Value::Uint(if random.below(4) == 0 { u64::MAX } else { random.below(9) as u64 })),
        ("d", Value::Double(d)),
        ("e", Value::Double(e)),
        ("s", random.pick(&texts).into()),
        ("t", random.pick(&texts).into()),
        ("b", Value::Bool(random.below(2) == 0)),
        ("c", Value::Bool(random.below(2) == 0)),
        ("l", list.into()),
    ]
}

fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Int(value) => cel::Value::Int(*value),
        Value::Uint(value) => cel::Value::UInt(*value),
        Value::Double(value) => cel::Value::Float(*value),
        Value::Text(text) => cel::Value::String(text.to_string().into()),
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::List(items) => cel::Value::List(items.iter().map(to_cel).collect::<Vec<_>>().into()),
        _ => cel::Value::Null,
    }
}

fn same(ours: &Value, theirs: &cel::Value) -> bool {
    match (ours, theirs) {
        (Value::Int(a), cel::Value::Int(b)) => a == b,
        (Value::Uint(a), cel::Value::UInt(b)) => a == b,
        (Value::Double(a), cel::Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::Text(a), cel::Value::String(b)) => **a == **b,
        (Value::Bool(a), cel::Value::Bool(b)) => a == b,
        (Value::List(a), cel::Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}

/// Whether somewhere in `expr` NaN is compared by order: the only difference that was to be expected.
///
/// NaN is on no side of anything: `<` and the like are false for it, as the language and IEEE 754 have it. The crate answers
/// that two doubles have no such overload, an error that may show, or be outweighed by another one, further up.
fn orders_nan(expr: &Expr, globals: Globals<'_>) -> bool {
    let is_nan = |operand: &Expr| matches!(evaluate(operand, globals, Arithmetic::Standard), Ok(Value::Double(value)) if value.is_nan());
    let here = match &expr.kind {
        Kind::Call { name, args, .. } => {
            matches!(name.as_str(), "<" | "<=" | ">" | ">=") && args.iter().any(is_nan)
        }
        _ => false,
    };
    let mut found = here;
    expr.for_each_child(|child| found = found || orders_nan(child, globals));
    found
}

fn main() -> ExitCode {
    let argument = |name: &str, default: u64| {
        let mut args = std::env::args().skip_while(|arg| arg != name);
        args.nth(1).and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let report = compare(argument("--evaluations", 1_000_000), argument("--seed", 1));
    println!("{report}");
    if report["differences"] == json!([]) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Compares at least `wanted` evaluations.
pub(crate) fn compare(wanted: u64, seed: u64) -> serde_json::Value {
    let mut random = Random(seed);
    let mut env = Env::standard();
    for (name, ty) in [
        ("i", "int"),
        ("j", "int"),
        ("u", "uint"),
        ("d", "double"),
        ("e", "double"),
        ("s", "string"),
        ("t", "string"),
        ("b", "bool"),
        ("c", "bool"),
        ("l", "list(int)"),
    ] {
        env.variable(name, Ty::parse(ty, &[]).unwrap_or(Ty::Dyn));
    }
    let (mut evaluations, mut expressions, mut refused, mut errors_alike) = (0u64, 0u64, 0u64, 0u64);
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    let mut differences = Vec::new();
    while evaluations < wanted && differences.len() < 20 {
        let (ty, depth) = (['b', 'b', 'i', 'd', 's', 'l', 'u'][random.below(7)], 1 + random.below(4));
        let source = expression(&mut random, ty, depth);
        let theirs = cel::Program::compile(&source);
        let ours = parse(&source).map_err(|flaw| flaw.detail).and_then(|mut expr| {
            resolve(&mut expr, &env);
            check(&expr, &env).map_err(|flaw| flaw.detail)?;
            Ok(expr)
        });
        expressions += 1;
        let (expr, program) = match (ours, theirs) {
            (Ok(expr), Ok(program)) => (expr, program),
            (Err(_), Err(_)) => {
                refused += 1;
                continue;
            }
            (ours, theirs) => {
                differences.push(json!({ "source": source, "ours": format!("{:?}", ours.err()), "theirs": format!("{:?}", theirs.err()) }));
                continue;
            }
        };
        for _ in 0..TRIES {
            let values = names(&mut random);
            let globals = |name: &str| {
                values.iter().find(|(known, _)| *known == name).map(|(_, value)| Ok(value.clone()))
            };
            let ours = evaluate(&expr, &globals, Arithmetic::Standard).map_err(|fault| format!("{fault:?}"));
            let mut context = cel::Context::default();
            for (name, value) in &values {
                context.add_variable_from_value(*name, to_cel(value));
            }
            let theirs = program.execute(&context).map_err(|error| error.to_string());
            evaluations += 1;
            let alike = match (&ours, &theirs) {
                (Ok(a), Ok(b)) => same(a, b),
                (Err(_), Err(_)) => {
                    errors_alike += 1;
                    true
                }
                _ => false,
            };
            if !alike {
                match orders_nan(&expr, &globals) {
                    true => *reasons.entry("NaN compared by order").or_default() += 1,
                    false => {
                        differences.push(json!({ "source": source, "values": format!("{values:?}"), "ours": format!("{ours:?}"), "theirs": format!("{theirs:?}") }));
                        break;
                    }
                }
            }
        }
    }
    json!({
        "evaluations": evaluations, "expressions": expressions, "refused": refused,
        "errors_alike": errors_alike, "explained": reasons, "differences": differences,
    })
}
