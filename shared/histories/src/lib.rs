//! Histories of orders, read as they are: a mapping says which column is what ([`Mapping`]), files are opened whatever they are
//! written in, joined by key and, where their rows are out of order, sorted on disk ([`open`]). What comes out is a row with
//! its time, in order of time; what cannot be read is refused, counted by reason and kept ([`Refusals`]).
//!
//! Memory does not grow with the files: a joined file or a sort that grows past its bound goes to disk. What is held without a
//! bound is a day for each buyer where times are counted, and the rows of one key where a join has `keep: each`.

mod counted;
mod expressions;
mod join;
mod mapping;
mod open;
mod propose;
mod refusals;
mod rows;
mod sort;
mod times;

pub use expressions::{Number, Text, When};
pub use mapping::{Bound, EventColumns, ListingColumns, Mapping, Row, Stamp, SupplierColumns, TruthColumns};
pub use open::{History, Limits, files, open, peek};
pub use propose::{Proposal, propose};
pub use refusals::{GIVEN_UP_AFTER, Refusal, Refusals, is_same_file, shown};
pub use rows::Entry;
