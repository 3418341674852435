//! Values of our own as bytes.
//!
//! Plain structs written to memory have no failing case, and nobody can be asked what to do if one had. But an empty row or
//! an empty record in place of the value would be believed later. So a value that cannot be written ends the thread that
//! wanted to write it, with nothing written: a fold's thread takes the process with it, a request its own connection.

use serde::Serialize;

/// Ends the thread: `value` cannot be written as `form`.
///
/// # Panics
/// Always.
pub fn stop<T>(form: &str, error: &dyn std::fmt::Display) -> ! {
    panic!("a {} cannot be written as {form}, so nothing was: {error}", std::any::type_name::<T>())
}

/// Room for most of what is written, so that it need not grow on the way.
const USUAL_BYTES: usize = 1_024;

/// The value as JSON.
///
/// # Panics
/// When it cannot be written, see the module.
pub fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    serde_json::to_writer(&mut bytes, value).unwrap_or_else(|error| stop::<T>("JSON", &error));
    // Records are kept in memory for a while: what they do not need is given back.
    bytes.shrink_to_fit();
    bytes
}

/// The value as a text of JSON.
///
/// # Panics
/// When it cannot be written, see the module.
pub fn json_text<T: Serialize>(value: &T) -> String {
    String::from_utf8(json(value)).unwrap_or_else(|error| stop::<T>("JSON", &error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// JSON has no maps with such keys, so this is a value that cannot be written.
    fn unwritable() -> BTreeMap<Vec<u8>, u8> {
        BTreeMap::from([(vec![1], 1)])
    }

    #[test]
    fn a_value_is_written_as_it_is() {
        assert_eq!(json(&[1, 2]), b"[1,2]");
        assert_eq!(json_text(&"x"), "\"x\"");
    }

    #[test]
    #[should_panic(expected = "cannot be written as JSON, so nothing was")]
    fn a_value_that_cannot_be_written_is_never_stored_as_nothing() {
        json(&unwritable());
    }

    #[test]
    #[should_panic(expected = "cannot be written as JSON, so nothing was")]
    fn nor_is_a_text() {
        json_text(&unwritable());
    }
}
