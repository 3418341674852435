//! YAML that people write: rule sets, declarations of features, mappings, configuration.
//!
//! One place reads all of it, so that what is wrong is always said with its line and column and in the words of the
//! person who wrote the file; types of this program and of its libraries are named nowhere.

mod scalar;

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, MessageFormatter as _, UserMessageFormatter};

pub use scalar::{Place, place_in};
pub use serde_saphyr::{Location, Spanned};

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {detail}")]
pub struct YamlError {
    /// Line, from 1; 1 where none is known.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong and, where that is known, what to write instead.
    pub detail: String,
}

/// Reads one document.
pub fn read<T: DeserializeOwned>(source: &str) -> Result<T, YamlError> {
    serde_saphyr::from_str(source).map_err(|error| {
        let place = error.location().map(|at| (at.line() as usize, at.column() as usize));
        let (line, column) = place.filter(|(line, _)| *line > 0).unwrap_or((1, 1));
        YamlError { line, column: column.max(1), detail: detail(&error) }
    })
}

fn detail(error: &Error) -> String {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => detail(error),
        Error::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("`{field}` means nothing here{}", instead(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("`{variant}` is not one of the words that may stand here{}", instead(variant, expected))
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("found {}, where {} is expected", found(unexpected), wanted(expected))
        }
        Error::SerdeInvalidLength { len, expected, .. } => {
            format!("found a list of {len}, where {} is expected", wanted(expected))
        }
        Error::InvalidScalar { ty, .. } => format!("this cannot be read as {}", wanted(ty)),
        Error::Unexpected { expected, .. } => format!("{} is expected here", wanted(expected)),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` appears twice"),
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. }
        | Error::ExpectedStringKeyForExternallyTaggedEnum { .. }
        | Error::UnexpectedValueForUnitEnumVariant { .. } => "one word is expected here".to_owned(),
        Error::Message { msg, .. } => in_words(msg),
        other => in_words(&UserMessageFormatter.format_message(other)),
    }
}

/// What may stand there instead: the word that was probably meant, or all there are.
fn instead(word: &str, known: &[&'static str]) -> String {
    if let Some(near) = nearest(word, known) {
        return format!("; did you mean `{near}`?");
    }
    match known {
        [] => String::new(),
        known => format!("; there are {}", known.join(", ")),
    }
}

/// The known word nearest to `word`, if it differs by no more than a typing error or two.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let word: String = word.chars().take(64).collect();
    let near = known.iter().map(|known| (strsim::levenshtein(&word, known), *known)).min()?;
    (near.0 <= 2 && near.0 * 2 <= word.chars().count()).then_some(near.1)
}

/// What was found, as serde tells it: its words for kinds of values, with the value in ticks or quotes.
fn found(unexpected: &str) -> String {
    let (kind, value) = match unexpected.split_once(' ') {
        Some((kind, value)) if value.starts_with(['`', '"']) => (kind, format!(" {value}")),
        _ => (unexpected, String::new()),
    };
    match kind {
        "integer" | "floating" | "float" => format!("the number{value}"),
        "floating point" => format!("the number{value}"),
        "string" => format!("the text{value}"),
        "boolean" => format!("the truth value{value}"),
        "map" => "keys and values".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" | "unit" | "unit value" | "Option" | "Option value" => "nothing".to_owned(),
        _ => in_words(unexpected),
    }
}

/// What was expected, in words.
fn wanted(expected: &str) -> String {
    let plain = expected.trim();
    if plain.contains("scalar") {
        return "one value".to_owned();
    }
    if let Some(size) = plain.strip_prefix("a tuple of size ") {
        return format!("a list of {size}");
    }
    let kind = plain.split_whitespace().next().unwrap_or_default();
    let (low, high) = ("a whole number", "a number");
    match (kind, plain) {
        ("struct" | "map", _) | (_, "a map" | "mapping" | "a mapping" | "mapping start") => {
            "a list of keys with their values".to_owned()
        }
        ("enum", _) => "one of the words that may stand here".to_owned(),
        ("sequence", _) | (_, "a sequence" | "sequence start") => "a list".to_owned(),
        ("tuple", _) | (_, "an array") => "a list of fixed length".to_owned(),
        ("u8" | "u16" | "u32" | "u64" | "u128" | "usize", _) => format!("{low} that is not negative"),
        ("i8" | "i16" | "i32" | "i64" | "i128" | "isize", _) => low.to_owned(),
        ("f32" | "f64" | "floating", _) => high.to_owned(),
        ("bool" | "boolean", _) | (_, "a boolean") => "true or false".to_owned(),
        ("str" | "string" | "String", _) | (_, "a string" | "path string" | "a string scalar") => {
            "a text".to_owned()
        }
        ("array", plain) => plain.replacen("array", "a list", 1).replace("elements", "entries"),
        _ => in_words(plain),
    }
}

/// A sentence in which no type of the program is named.
pub fn in_words(text: &str) -> String {
    // Serde's own form, which a library may have kept as text.
    if let Some((unexpected, expected)) = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("found {}, where {} is expected", found(unexpected), wanted(expected));
    }
    if let Some((field, known)) =
        text.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, expected "))
    {
        return format!("`{field}` means nothing here; there are {}", words(known));
    }
    if let Some((word, known)) =
        text.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        return format!("`{word}` is not one of the words that may stand here; there are {}", words(known));
    }
    if let Some(field) = text.strip_prefix("missing field ") {
        return format!("{field} is missing");
    }
    let mut out = Vec::new();
    let mut parts = text.split(' ').peekable();
    while let Some(word) = parts.next() {
        match word {
            "struct" | "enum" | "tuple" | "newtype" | "variant" | "visitor" | "deserialize" | "serde" => {
                // The name that follows is the program's.
                if parts.peek().is_some_and(|next| next.starts_with(|c: char| c.is_ascii_uppercase())) {
                    parts.next();
                }
                out.push("value");
            }
            "scalar" => out.push("value"),
            word => out.push(word),
        }
    }
    out.join(" ")
}

fn words(known: &str) -> String {
    known.trim_start_matches("one of ").replace(['`', '"'], "").replace(" or ", ", ")
}

#[cfg(test)]
mod tests;
