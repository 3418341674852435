//! Configuration: a YAML file, then environment, then flags; unknown keys refused; all problems at once.

use std::collections::BTreeMap;

use serde::{
    Deserialize as _, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Map, Value};

/// Variables start with it; `__` separates levels: `STOCKADE_HTTP__LISTEN=127.0.0.1:7400`.
pub const ENV_PREFIX: &str = "STOCKADE_";

/// Reads texts as a list or, as a variable has them, as one text with commas between; `expecting` is what is said of anything else.
pub(crate) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
    expecting: &'static str,
) -> Result<Vec<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
    }
    let all = match Written::deserialize(deserializer).map_err(|_| D::Error::custom(expecting))? {
        Written::List(list) => list,
        Written::Text(text) => text.split(',').map(str::to_owned).collect(),
    };
    Ok(all.iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect())
}

/// Builds a configuration from a YAML text, variables and `flags` given as dotted paths. Later ones win.
pub fn load<T: DeserializeOwned>(
    file: Option<&str>,
    env: impl Iterator<Item = (String, String)>,
    flags: &[(&str, Option<String>)],
) -> Result<T, String> {
    let mut problems = Vec::new();
    let mut root = match file.map(stockade_yaml::read::<Value>) {
        None | Some(Ok(Value::Null)) => Value::Object(Map::new()),
        Some(Ok(value @ Value::Object(_))) => value,
        Some(Ok(_)) => return Err("the configuration file must hold keys and values".to_owned()),
        Some(Err(error)) => return Err(format!("the configuration file does not parse: {error}")),
    };
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (name, text) in env {
        let Some(path) = name.strip_prefix(ENV_PREFIX) else { continue };
        // Test and tooling switches, and who calls by the command line, share the prefix but are not configuration.
        if path.starts_with("TEST_") || matches!(path, "KEY" | "SUPPLIER") {
            continue;
        }
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        match put(&mut root, &path, scalar(&text)) {
            Ok(()) => drop(texts.insert(path.join("."), text)),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    for (path, text) in flags {
        let Some(text) = text else { continue };
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        match put(&mut root, &path, scalar(text)) {
            Ok(()) => drop(texts.insert(path.join("."), text.clone())),
            Err(error) => problems.push(format!("{}: {error}", path.join("."))),
        }
    }
    let error = loop {
        let error = match serde_path_to_error::deserialize(root.clone()) {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(_) => return Err(problems.join("; ")),
            Err(error) => error,
        };
        // Variables and flags are texts; one that looks like a number may still be meant as one, such as a directory 2026.
        let place = error.path().to_string();
        let Some(text) = texts.remove(&place).filter(|text| !scalar(text).is_string()) else { break error };
        let path: Vec<String> = place.split('.').map(str::to_owned).collect();
        if put(&mut root, &path, Value::String(text)).is_err() {
            break error;
        }
    };
    problems.push(format!("{}: {}", error.path(), stockade_yaml::in_words(&error.inner().to_string())));
    Err(problems.join("; "))
}

fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
    }
}

fn put(root: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let Some((last, groups)) = path.split_last() else { return Err("an empty name".to_owned()) };
    let mut at = root;
    for group in groups {
        let Value::Object(map) = at else { return Err(format!("{group} is not a group of settings")) };
        at = map.entry(group.clone()).or_insert_with(|| Value::Object(Map::new()));
    }
    match at {
        Value::Object(map) => drop(map.insert(last.clone(), value)),
        _ => return Err(format!("{last} lies under a plain value")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Http {
        listen: String,
        workers: usize,
    }
    impl Default for Http {
        fn default() -> Self {
            Self { listen: "127.0.0.1:1".to_owned(), workers: 2 }
        }
    }
    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        http: Http,
    }

    fn vars(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let file = "http:\n  listen: file:1\n  workers: 3\n";
        let env = vars(&[("STOCKADE_HTTP__LISTEN", "env:2"), ("HOME", "/x"), ("STOCKADE_TEST_KAFKA", "y")]);
        let config: Config =
            load(Some(file), env, &[("http.workers", Some("5".to_owned())), ("http.listen", None)]).unwrap();
        assert_eq!(config.http, Http { listen: "env:2".to_owned(), workers: 5 });
    }

    #[test]
    fn a_text_that_looks_like_a_number_is_a_text_where_one_is_asked_for() {
        for text in ["2026", "true", "-1"] {
            let config: Config = load(None, vars(&[]), &[("http.listen", Some(text.to_owned()))]).unwrap();
            assert_eq!(config.http.listen, text);
            let config: Config = load(None, vars(&[("STOCKADE_HTTP__LISTEN", text)]), &[]).unwrap();
            assert_eq!(config.http.listen, text);
        }
        let error = load::<Config>(None, vars(&[]), &[("http.workers", Some("-1".to_owned()))]).unwrap_err();
        assert_eq!(
            error,
            "http.workers: found the text \"-1\", where a whole number that is not negative is expected"
        );
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_place() {
        let error = load::<Config>(Some("http:\n  lisen: x\n"), vars(&[]), &[]).unwrap_err();
        assert!(error.contains("http") && error.contains("lisen"), "{error}");
        assert!(load::<Config>(None, vars(&[("STOCKADE_HTPP__LISTEN", "x")]), &[]).is_err());
    }
}
