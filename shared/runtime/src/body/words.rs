//! What parsers say, in words for whoever sent the text: no names of types of ours or of theirs, no places in the text where a
//! field is named anyway.

/// Longest quotation of what was sent, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// The stable code of what serde says of a value.
pub(crate) fn field_code(text: &str) -> &'static str {
    match text.split('`').next() {
        Some("unknown field ") => "unknown_field",
        Some("missing field ") => "missing_field",
        Some("duplicate field ") => "duplicate_field",
        Some("unknown variant ") => "unknown_value",
        _ => "wrong_type",
    }
}

/// What serde says of a value, in words.
pub(crate) fn plain(text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    let mistaken = ["invalid type: ", "invalid value: "].iter().find_map(|kind| text.strip_prefix(kind));
    // What is expected is in our words and holds no such comma; what was sent may hold anything.
    match mistaken.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((got, expected)) => format!("expected {}, got {}", wanted(expected), found(got)),
        None if text == "number out of range" => "the number is too large".to_owned(),
        None => text.replacen("unknown variant ", "unknown value ", 1),
    }
}

fn wanted(expected: &str) -> &str {
    const AN_OBJECT: &str = "an object with named fields";
    let types_of_ours = [" tagged enum ", "struct ", "enum", "variant "];
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, not below 0",
        "i8" | "i16" | "i32" | "i64" | "i128" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        "unit" => "null",
        "variant identifier" | "a borrowed string" | "any valid JSON value" => "a string",
        _ if types_of_ours.iter().any(|word| expected.contains(word)) => AN_OBJECT,
        _ => expected,
    }
}

/// What was sent, as it was sent.
fn found(got: &str) -> String {
    match got {
        "sequence" => "an array".to_owned(),
        "map" => "an object".to_owned(),
        "unit value" | "Option value" => "null".to_owned(),
        "newtype variant" | "unit variant" | "tuple variant" | "struct variant" => {
            "another kind of value".to_owned()
        }
        _ => match (got.strip_prefix("string "), got.split_once('`')) {
            (Some(text), _) => shown(text),
            (None, Some((_, number))) => shown(number.trim_end_matches('`')),
            (None, None) => got.to_owned(),
        },
    }
}

/// A quotation, cut where it is long.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
