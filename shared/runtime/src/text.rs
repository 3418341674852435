//! Words that people write and other people read: names, reasons, notes.

use stockade_model::{Invalid, ids::is_hidden};

use crate::{FieldError, Problem};

/// Longest reason or note, in characters.
pub const REASON_CHARS_MAX: usize = 1_000;

/// That no character of `text` hides or acts, those that are `kept` aside: with them, one may look like another.
fn seen(text: &str, kept: &[char]) -> Result<(), Invalid> {
    let hidden = |c: &char| is_hidden(*c) && !kept.contains(c);
    text.chars().find(hidden).map_or(Ok(()), |wrong| {
        let code = u32::from(wrong);
        Err(Invalid::new(
            "control_character",
            format!("it holds the control character U+{code:04X}; leave it out"),
        ))
    })
}

/// One line to be shown as it is, such as a name: not blank, at most `chars_max` characters, none of which hides.
pub fn line(text: &str, chars_max: usize) -> Result<(), Invalid> {
    if text.trim().is_empty() || text.chars().count() > chars_max {
        return Err(Invalid::new(
            "bad_length",
            format!("it must be 1 to {chars_max} characters and not blank"),
        ));
    }
    seen(text, &[])
}

/// Text of any number of lines: at most `chars_max` characters, no control characters but line ends and tabs.
pub fn prose(text: &str, chars_max: usize) -> Result<(), Invalid> {
    if text.chars().count() > chars_max {
        return Err(Invalid::new("bad_length", format!("it must be at most {chars_max} characters")));
    }
    seen(text, &['\n', '\r', '\t'])
}

/// Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no
/// call can take an empty one.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Reason(#[schemars(length(min = 1, max = REASON_CHARS_MAX))] String);

impl Reason {
    /// The reason, if it is one.
    pub fn said(self) -> Result<String, Problem> {
        let refused = |code, detail: String| Problem::invalid(vec![FieldError::new("/reason", code, detail)]);
        if self.0.trim().is_empty() {
            return Err(refused("required", "say why, for those who come after".to_owned()));
        }
        prose(&self.0, REASON_CHARS_MAX).map_err(|wrong| refused(wrong.code, wrong.detail))?;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(reason: &str) -> Option<String> {
        let reason: Reason = serde_json::from_value(reason.into()).unwrap();
        reason.said().err().map(|problem| problem.errors[0].code.clone())
    }

    #[test]
    fn a_reason_is_said_and_can_be_read_by_others() {
        assert_eq!(code("a warehouse burnt down,\nshown by the carrier"), None);
        for empty in ["", "  ", "\n\t"] {
            assert_eq!(code(empty).as_deref(), Some("required"));
        }
        assert_eq!(code(&"x".repeat(REASON_CHARS_MAX + 1)).as_deref(), Some("bad_length"));
        for hidden in ["bell \u{7}", "escape \u{1b}[31m", "turned \u{202e}gnihton"] {
            assert_eq!(code(hidden).as_deref(), Some("control_character"));
        }
    }

    #[test]
    fn a_name_is_one_line_of_characters_that_can_be_seen() {
        assert!(line("Käserei Müller & Söhne", 200).is_ok());
        for (wrong, code) in [("", "bad_length"), (" ", "bad_length"), ("a\nb", "control_character")] {
            assert_eq!(line(wrong, 200).unwrap_err().code, code);
        }
        assert_eq!(line("acme\u{0}", 200).unwrap_err().code, "control_character");
        assert_eq!(line("abc", 2).unwrap_err().code, "bad_length");
        assert!(line(&"货".repeat(200), 200).is_ok(), "characters are counted, not bytes");
    }
}
