//! The JSON Schemas of all record types, as files under `schemas/records/`.

/// File name and pretty-printed schema of every JSON record type.
pub fn files() -> Vec<(String, String)> {
    crate::record::schemas()
        .into_iter()
        .map(|(kind, schema)| {
            let text = serde_json::to_string_pretty(&schema)
                .unwrap_or_else(|error| crate::encode::stop::<schemars::Schema>("JSON", &error));
            (format!("records/{}.schema.json", kind.trim_start_matches("stockade.")), text + "\n")
        })
        .collect()
}
