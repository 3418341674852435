//! Inventory files of suppliers, read as they are: what a file is is found out ([`sniff`]), its archive is opened within bounds
//! ([`archive`]), its records are cut and decoded one at a time ([`lines`]), and a mapping says which column is what
//! ([`mapping`]). What comes out is a row as its supplier means it, or a [`Finding`]: which line, which column, what is there,
//! a stable code, and what to do.
//!
//! Nothing here knows the platform, and nothing is held but one record: a file of ten million rows takes no more memory than
//! one of ten.

mod archive;
mod cells;
mod epcis;
mod finding;
mod lines;
mod look;
mod mapping;
mod propose;
mod reader;
mod records;
mod sniff;
mod table;
mod x12;

pub use archive::{Archive, Beginning, Bounds};
pub use cells::{Wrong, decimal, is_rounded_by_spreadsheet, shows_decimal, without_currency};
pub use finding::{Finding, Severity, codes};
pub use mapping::{Decimal, Mapping, SHIPPED, Text, When, folded, quoted, shipped};
pub use propose::propose;
pub use reader::{Choice, Draft, Facts, Item, Opened, Options, open};
pub use records::{Record, Records, Row, records};
pub use sniff::{Encoding, Format, SAMPLE_BYTES};
