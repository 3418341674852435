//! Any bytes as an expression of the whole language: parsed, resolved, checked, evaluated; nothing may panic or stall.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stockade_rules::lang::{Arithmetic, Env, Fault, Ty, Value, check, evaluate, parse, resolve};

thread_local! {
    static ENV: Env = {
        let mut env = Env::standard();
        env.variable("a", Ty::Int);
        env.variable("b", Ty::Dyn);
        env.variable("c.d", Ty::Text);
        env.variable("u", Ty::Double);
        env
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(mut expr) = parse(source) else { return };
    ENV.with(|env| {
        resolve(&mut expr, env);
        let checked = check(&expr, env);
        let globals = |name: &str| match name {
            "a" => Some(Ok(Value::Int(7))),
            "b" => Some(Ok(Value::from(vec![Value::Int(1), Value::from("x"), Value::Null]))),
            "c.d" => Some(Ok(Value::from("text"))),
            "u" => Some(Err(Fault::Unknown)),
            _ => None,
        };
        let outcome = evaluate(&expr, &globals, Arithmetic::Standard);
        // What the checker found to be a truth value is one.
        if let (Ok(Ty::Bool), Ok(value)) = (checked, outcome) {
            assert!(matches!(value, Value::Bool(_)), "{source}");
        }
    });
});
