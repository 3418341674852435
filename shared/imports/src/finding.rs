//! What is wrong with a file or a row of it.

use std::fmt;

/// Stable codes, to script against.
pub mod codes {
    /// An archive ended in its middle.
    pub const TRUNCATED: &str = "truncated_archive";
    /// An archive cannot be read.
    pub const BROKEN_ARCHIVE: &str = "broken_archive";
    /// A zip holds no file, or several.
    pub const ZIP_ENTRIES: &str = "zip_entries";
    /// An archive swells beyond what inventory does.
    pub const BOMB: &str = "archive_bomb";
    /// More bytes than are taken, once inflated.
    pub const TOO_LARGE: &str = "file_too_large";
    /// Only the beginning of a file was looked at.
    pub const BEGINNING: &str = "preview_ended";
    /// More rows than are taken.
    pub const TOO_MANY_ROWS: &str = "too_many_rows";
    /// Nothing is in it.
    pub const EMPTY: &str = "empty_file";
    /// The header lacks columns that the mapping names.
    pub const WRONG_HEADER: &str = "wrong_header";
    /// A column that is needed is there twice.
    pub const DUPLICATE_HEADER: &str = "duplicate_header";
    /// The mapping does not say enough to make rows of it.
    pub const MAPPING: &str = "mapping_incomplete";
    /// No mapping is known by that name.
    pub const UNKNOWN_MAPPING: &str = "unknown_mapping";
    /// A record without an end.
    pub const TOO_LONG: &str = "line_too_long";
    /// A quote that never closes.
    pub const UNCLOSED: &str = "unclosed_quote";
    /// Bytes that are not of the encoding of the rest.
    pub const MIXED_ENCODING: &str = "mixed_encoding";
    /// More or fewer cells than the header has.
    pub const CELL_COUNT: &str = "cell_count";
    /// A cell that must not be empty.
    pub const MISSING: &str = "missing_value";
    /// No number.
    pub const NUMBER: &str = "not_a_number";
    /// A number that may be read in two ways.
    pub const AMBIGUOUS: &str = "ambiguous_number";
    /// Units are whole.
    pub const WHOLE: &str = "not_whole";
    /// Stock below zero.
    pub const NEGATIVE: &str = "negative_stock";
    /// A number that a spreadsheet has rounded stands in an identifier's place.
    pub const SPREADSHEET: &str = "spreadsheet_number";
    /// The sign or code beside an amount is of another currency than the row's.
    pub const CURRENCY_MISMATCH: &str = "currency_mismatch";
    /// Nothing says of which currency an amount is.
    pub const CURRENCY_MISSING: &str = "currency_missing";
    /// A line that is no JSON object.
    pub const NOT_JSON: &str = "not_json";
    /// Something else than a table where one is needed.
    pub const NOT_A_TABLE: &str = "not_a_table";
    /// A message that is not an inventory advice.
    pub const NOT_INVENTORY: &str = "not_inventory";
    /// An event that says nothing about how much there is.
    pub const NOT_A_COUNT: &str = "not_a_count";
    /// A later line says the same listing again.
    pub const DUPLICATE_ROW: &str = "duplicate_row";
    /// An import says how much there is, not how much more.
    pub const ADJUST: &str = "adjust_in_import";
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The row was not taken.
    Refused,
    /// The row was taken.
    Warning,
}

impl Severity {
    /// As reports have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Warning => "warning",
        }
    }
}

/// Something wrong, in a place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Line of the file, from 1; of X12 the segment, of EPCIS the event. 0 is the whole file.
    pub line: u64,
    /// The column by its name in the file, or empty.
    pub column: String,
    /// What is there, at most 100 characters of it.
    pub value: String,
    /// A stable code.
    pub code: String,
    /// Whether the row was taken.
    pub severity: Severity,
    /// Why, and what to do.
    pub detail: String,
}

/// Characters of a value that are shown.
pub(crate) const VALUE_CHARS_MAX: usize = 100;

impl Finding {
    /// A reason not to take a row.
    pub fn refused(line: u64, column: &str, value: &str, code: &str, detail: impl Into<String>) -> Self {
        let value = value.chars().take(VALUE_CHARS_MAX).collect();
        let (column, code, detail) = (column.to_owned(), code.to_owned(), detail.into());
        Self { line, column, value, code, severity: Severity::Refused, detail }
    }

    /// About the file as a whole.
    pub fn of_file(code: &str, detail: impl Into<String>) -> Self {
        Self::refused(0, "", "", code, detail)
    }

    /// The same of a row that is taken all the same.
    #[must_use]
    pub fn as_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}", self.line)?;
            if !self.column.is_empty() {
                write!(f, ", column {}", self.column)?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{} ({})", self.detail, self.code)
    }
}
