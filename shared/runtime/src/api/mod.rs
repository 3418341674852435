//! The HTTP API as it is declared, so that what is served and what is documented cannot differ.
//!
//! A router is made of [`Routes`]: each call is added with its [`Operation`], and what the call takes (its role, query and
//! body) is read from the types of its handler's arguments ([`Declares`]). What it answers is said beside it, by the types that
//! are written out. [`document`] puts the operations of all services together as one OpenAPI document.

mod answers;
mod declare;
mod document;
mod operation;
mod routes;
mod schemas;

pub use answers::{Asked, Sent};
pub use declare::Declares;
pub use document::{TITLE, document};
pub use operation::{Media, Operation, Schema, schema};
pub use routes::{Forms, Routes};

#[cfg(test)]
mod tests;
