//! What the command line was given: files, and what is wrong with them.

use std::{fmt::Display, path::Path};

use anyhow::{Context as _, Result};

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// All that is wrong with a file, a line each.
#[allow(clippy::needless_pass_by_value, reason = "it is called by `map_err`")]
pub(crate) fn refused<E: Display>(errors: Vec<E>) -> anyhow::Error {
    anyhow::anyhow!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
