//! The document of the API as a judge: whether an answer is one that it says.

use std::sync::OnceLock;

use axum::http::HeaderMap;
use regex::Regex;
use serde_json::Value;

/// The document as it lies in the repository.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let text = include_str!("../../../../schemas/openapi.json");
    DOCUMENT.get_or_init(|| serde_json::from_str(text).unwrap())
}

/// What a reference means.
fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(at) => resolved(document().pointer(at.trim_start_matches('#')).unwrap()),
        None => value,
    }
}

/// The operation that a path means: the one that says more of it as it is.
pub(crate) fn operation(method: &str, path: &str) -> Option<(&'static str, &'static Value)> {
    let path = path.split('?').next().unwrap_or_default();
    let mut best: Option<(usize, &str, &Value)> = None;
    for (template, methods) in document()["paths"].as_object().unwrap() {
        let (told, asked): (Vec<&str>, Vec<&str>) =
            (template.split('/').collect(), path.split('/').collect());
        let fits = |(told, asked): (&&str, &&str)| match told.rsplit_once('}') {
            Some((_, verb)) => asked.len() > verb.len() && asked.ends_with(verb),
            None => told == asked,
        };
        if told.len() != asked.len() || !told.iter().zip(&asked).all(fits) {
            continue;
        }
        let exact = template.len() - told.iter().filter_map(|part| part.find('}')).sum::<usize>();
        let Some(found) = methods.get(method.to_lowercase()) else { continue };
        if best.is_none_or(|(other, ..)| other < exact) {
            best = Some((exact, template, found));
        }
    }
    best.map(|(_, template, found)| (template, found))
}

/// That an answer is one that the document says, or what is not.
pub(crate) fn check(
    method: &str,
    path: &str,
    status: u16,
    headers: &HeaderMap,
    body: &Value,
) -> Result<(), String> {
    let Some((_, operation)) = operation(method, path) else { return Ok(()) };
    // These are of the router and of CORS, before any call.
    if matches!(body["code"].as_str(), Some("no_such_path" | "wrong_method")) {
        return Ok(());
    }
    let told = &operation["responses"][status.to_string()];
    if told.is_null() {
        return Err(format!("{status} is not among the answers: {body}"));
    }
    let told = resolved(told);
    for (name, header) in told["headers"].as_object().into_iter().flatten() {
        if header["required"] == true && !headers.contains_key(name.to_lowercase()) {
            return Err(format!("{status} lacks the header {name}"));
        }
    }
    if headers.contains_key("retry-after") && told["headers"]["Retry-After"].is_null() {
        return Err(format!("{status} bears Retry-After, which is not said"));
    }
    let kind = headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
    let Some(content) = told["content"].as_object() else {
        return if kind.is_empty() { Ok(()) } else { Err(format!("{status} has a body: {body}")) };
    };
    let plain = |kind: &str| kind.split(';').next().unwrap_or_default().trim().to_owned();
    let Some((_, content)) = content.iter().find(|(known, _)| plain(known) == plain(kind)) else {
        return Err(format!("{status} is {kind:?}, which is not among {:?}", content.keys()));
    };
    if plain(kind).ends_with("json") { fits(&content["schema"], body, "") } else { Ok(()) }
}

fn kind_fits(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{other} is no type"),
    }
}

/// Whether a value is what a schema says, in the words of JSON Schema that the document uses.
pub(crate) fn fits(schema: &'static Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(plain) = schema.as_bool() {
        return if plain { Ok(()) } else { Err(format!("{at} may not be there")) };
    }
    if schema.get("$ref").is_some() {
        fits(resolved(schema), value, at)?;
    }
    let wrong = |what: String| Err(format!("{at}: {what}, got {value}"));
    if let Some(kind) = schema.get("type") {
        let kinds: Vec<&str> = match kind {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect(),
        };
        if !kinds.iter().any(|kind| kind_fits(kind, value)) {
            return wrong(format!("expected {}", kinds.join(" or ")));
        }
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return wrong(format!("expected {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        return wrong(format!("expected one of {}", schema["enum"]));
    }
    let parts = |name: &str| schema[name].as_array().map(Vec::as_slice).unwrap_or_default();
    parts("allOf").iter().try_for_each(|part| fits(part, value, at))?;
    for (name, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
        let all = parts(name);
        let told: Vec<String> = all.iter().filter_map(|part| fits(part, value, at).err()).collect();
        let fitting = all.len() - told.len();
        if !all.is_empty() && (fitting == 0 || fitting > most) {
            return wrong(format!("{fitting} of {name} fit: {}", told.join("; ")));
        }
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema[name].as_f64();
        let low = bound("minimum").is_some_and(|low| number < low)
            || bound("exclusiveMinimum").is_some_and(|low| number <= low);
        if low || bound("maximum").is_some_and(|high| number > high) {
            return wrong("it is not within its bounds".to_owned());
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        let short = schema["minLength"].as_u64().is_some_and(|least| length < least);
        if short || schema["maxLength"].as_u64().is_some_and(|most| length > most) {
            return wrong("its length is not within its bounds".to_owned());
        }
        if schema["pattern"].as_str().is_some_and(|pattern| !Regex::new(pattern).unwrap().is_match(text)) {
            return wrong(format!("it is not like {}", schema["pattern"]));
        }
    }
    if let Some(items) = value.as_array() {
        let length = items.len() as u64;
        let few = schema["minItems"].as_u64().is_some_and(|least| length < least);
        if few || schema["maxItems"].as_u64().is_some_and(|most| length > most) {
            return wrong("there are not as many as there may be".to_owned());
        }
        let first = parts("prefixItems");
        for (number, item) in items.iter().enumerate() {
            let of = first.get(number).or(schema.get("items"));
            of.map_or(Ok(()), |of| fits(of, item, &format!("{at}/{number}")))?;
        }
    }
    if let Some(members) = value.as_object() {
        for name in parts("required").iter().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                return wrong(format!("{name} is missing"));
            }
        }
        for (name, member) in members {
            let of = schema["properties"].get(name).or(schema.get("additionalProperties"));
            of.map_or(Ok(()), |of| fits(of, member, &format!("{at}/{name}")))?;
        }
    }
    Ok(())
}

#[test]
fn the_judge_finds_what_differs() {
    use serde_json::json;
    let schema = &document()["components"]["schemas"]["Money"];
    assert_eq!(fits(schema, &json!({ "minor": 5, "currency": "EUR" }), ""), Ok(()));
    for wrong in [
        json!({ "minor": 5 }),
        json!({ "minor": 1.5, "currency": "EUR" }),
        json!({ "minor": -1, "currency": "EUR" }),
        json!({ "minor": 5, "currency": "euro" }),
        json!([]),
    ] {
        assert!(fits(schema, &wrong, "").is_err(), "{wrong}");
    }
    assert_eq!(operation("POST", "/v1/decisions/d-1:release").unwrap().0, "/v1/decisions/{decision}:release");
    assert_eq!(operation("GET", "/v1/rules/versions?x=1").unwrap().0, "/v1/rules/versions");
    assert!(check("GET", "/v1/rules", 418, &HeaderMap::new(), &Value::Null).is_err());
}
