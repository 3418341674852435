//! Schemas of what is read and of what is written. The same type may have two: what may be left out of a request is always
//! there in an answer. Where they differ, that of requests is called `…Request`.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::Schema;

const PLACE: &str = "#/components/schemas/";

/// All schemas of a document while it is made.
pub(super) struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

impl Schemas {
    pub(super) fn new() -> Self {
        Self {
            read: settings().for_deserialize().into_generator(),
            written: settings().for_serialize().into_generator(),
        }
    }

    /// The schema of what a request holds; its references say so until [`Self::finish`].
    pub(super) fn read(&mut self, schema: Schema) -> Value {
        let mut schema = schema(&mut self.read).to_value();
        rename(&mut schema, &|name| format!("read:{name}"));
        schema
    }

    /// The parameters of a query: name, schema and whether it must be there.
    pub(super) fn query(&mut self, schema: Schema) -> Vec<(String, Value, bool)> {
        let mut schema = schema(&mut self.read).to_value();
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix(PLACE)) {
            schema = self.read.definitions().get(name).cloned().unwrap_or_default();
        }
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let parameter = |(name, mut schema): (String, Value)| {
            without_null(&mut schema);
            rename(&mut schema, &|name| format!("read:{name}"));
            let required = required.contains(&name.as_str());
            (name, schema, required)
        };
        properties.into_iter().map(parameter).collect()
    }

    /// The schema of what an answer holds.
    pub(super) fn written(&mut self, schema: Schema) -> Value {
        schema(&mut self.written).to_value()
    }

    /// All named schemas. The references in `document` are set to the names that they have in the end.
    pub(super) fn finish(mut self, document: &mut Value) -> Map<String, Value> {
        let mut all = self.written.take_definitions(true);
        let mut read = self.read.take_definitions(true);
        // A schema that refers to one that differs, differs too: so until nothing changes.
        let mut differing: Vec<String> = Vec::new();
        loop {
            let differs = |name: &String, schema: &Value| {
                let refers = |other: &String| refers_to(schema, other);
                all.get(name).is_some_and(|written| written != schema || differing.iter().any(refers))
            };
            let found: Vec<String> = read
                .iter()
                .filter(|(name, schema)| !differing.contains(name) && differs(name, schema))
                .map(|(name, _)| name.clone())
                .collect();
            if found.is_empty() {
                break;
            }
            differing.extend(found);
        }
        let named = |name: &str| match differing.iter().any(|differing| differing == name) {
            true => format!("{name}Request"),
            false => name.to_owned(),
        };
        for (name, mut schema) in std::mem::take(&mut read) {
            rename(&mut schema, &named);
            all.insert(named(&name), schema);
        }
        rename(document, &|name| name.strip_prefix("read:").map_or_else(|| name.to_owned(), named));
        all.values_mut().for_each(tidy);
        tidy(document);
        all.into_iter().collect()
    }
}

fn refers_to(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(map) => {
            let here = map.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix(PLACE));
            here == Some(name) || map.values().any(|value| refers_to(value, name))
        }
        Value::Array(items) => items.iter().any(|value| refers_to(value, name)),
        _ => false,
    }
}

/// Gives what references name another name.
fn rename(value: &mut Value, new: &dyn Fn(&str) -> String) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(at)) = map.get_mut("$ref")
                && let Some(name) = at.strip_prefix(PLACE)
            {
                *at = format!("{PLACE}{}", new(name));
            }
            map.values_mut().for_each(|value| rename(value, new));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| rename(value, new)),
        _ => {}
    }
}

/// A parameter that is left out is not null.
fn without_null(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(Value::Array(kinds)) = map.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(any)) = map.get_mut("anyOf") {
        any.retain(|one| one["type"] != "null");
        if let [only] = any.as_slice() {
            let only = only.clone();
            map.remove("anyOf");
            if let Value::Object(only) = only {
                map.extend(only);
            }
        }
    }
    map.remove("default");
}

/// Formats of this program's own numbers mean nothing to others; their bounds stand beside them.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let own =
                map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint"));
            if own {
                map.remove("format");
            }
            map.remove("$schema");
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
