//! Collects everything that is wrong with a request before refusing it.

use stockade_model::Invalid;
use stockade_runtime::{FieldError, Problem};

#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) errors: Vec<FieldError>,
}

impl Fields {
    /// The value, or a note about `field`.
    pub(crate) fn check<T>(&mut self, field: &str, value: Result<T, Invalid>) -> Option<T> {
        value.map_err(|error| self.errors.push(FieldError::new(field, error.code, error.detail))).ok()
    }
    /// The same for a value that may be absent.
    pub(crate) fn check_some<T>(&mut self, field: &str, value: Option<Result<T, Invalid>>) -> Option<T> {
        value.and_then(|value| self.check(field, value))
    }
    /// A note about `field`, unless `fine`.
    pub(crate) fn require(&mut self, fine: bool, field: &str, code: &str, detail: impl Into<String>) {
        if !fine {
            self.errors.push(FieldError::new(field, code, detail));
        }
    }
    /// The value built meanwhile, or all that is wrong.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(self.errors),
        }
    }
    /// Refuses the request when anything is wrong.
    pub(crate) fn into_problem(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}
