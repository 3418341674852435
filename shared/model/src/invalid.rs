//! The one error of this crate: a value that is not what it claims to be.

/// A value that failed validation. `code` is stable and safe to script against; `detail` is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// Stable machine-readable code, for example `gtin_check_digit`.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Invalid {
    /// An invalid value with a stable `code` and a sentence for people.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
