//! What a handler's arguments say of the call: its role, its query, its body, and the problems that reading them may end with.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri},
};
use schemars::JsonSchema;

use super::{Media, Operation, schema};
use crate::{
    Analyst, Approver, Caller, Operator, OwnSupplier, Params, Parsed, Path, SupplierOrStaff, Text,
    body::{Body, Upload},
};

/// An argument of a handler, or all of them, that can say what it takes of a request.
pub trait Declares {
    /// Adds it to the call.
    fn declare(operation: &mut Operation);
}

/// People's roles.
const STAFF: [&str; 3] = ["analyst", "approver", "operator"];
/// What taking a body as it comes may end with; how large an upload may be is for the call to say.
const TAKES: [&str; 8] = [
    "repeated_header",
    "bad_header",
    "unsupported_media_type",
    "unsupported_content_encoding",
    "bad_gzip",
    "body_unreadable",
    "body_too_slow",
    "empty_body",
];
/// What reading one whole into memory as text may end with beside.
const READS: [&str; 2] = ["body_too_large", "not_utf8"];

fn key(operation: &mut Operation, roles: &[&'static str]) {
    operation.asks_who = true;
    operation.roles.extend(roles);
    operation.codes.extend([
        "missing_key",
        "unknown_key",
        "session_ended",
        "csrf_token_needed",
        "repeated_header",
        "bad_header",
    ]);
    if !roles.is_empty() {
        operation.codes.insert("wrong_role");
    }
}

macro_rules! says_nothing {
    ($($argument:ty),*) => { $(impl Declares for $argument { fn declare(_: &mut Operation) {} })* };
}
says_nothing!(HeaderMap, Method, Uri, Request, ());

impl<S> Declares for State<S> {
    fn declare(_: &mut Operation) {}
}
impl Declares for Caller {
    fn declare(operation: &mut Operation) {
        key(operation, &[]);
    }
}
impl Declares for Analyst {
    fn declare(operation: &mut Operation) {
        key(operation, &STAFF);
        operation.codes.insert("rate_limited");
    }
}
impl Declares for Approver {
    fn declare(operation: &mut Operation) {
        key(operation, &["approver", "operator"]);
        operation.codes.insert("rate_limited");
    }
}
impl Declares for Operator {
    fn declare(operation: &mut Operation) {
        key(operation, &["operator"]);
        operation.codes.insert("rate_limited");
    }
}
impl Declares for OwnSupplier {
    fn declare(operation: &mut Operation) {
        key(operation, &["supplier"]);
        operation.codes.extend(["not_your_supplier", "bad_path", "invalid_request"]);
    }
}
impl Declares for SupplierOrStaff {
    fn declare(operation: &mut Operation) {
        key(operation, &["supplier", "analyst", "approver", "operator"]);
        operation.codes.extend(["not_your_supplier", "bad_path", "invalid_request", "rate_limited"]);
    }
}
impl<T> Declares for Path<T> {
    fn declare(operation: &mut Operation) {
        operation.codes.insert("bad_path");
    }
}
impl<T: JsonSchema> Declares for Params<T> {
    fn declare(operation: &mut Operation) {
        operation.query = Some(schema::<T>);
        operation.codes.insert("bad_query");
    }
}
impl<T: JsonSchema> Declares for Parsed<T> {
    fn declare(operation: &mut Operation) {
        Body::declare(operation);
        operation.bodies.push(Media::Json("application/json", schema::<T>));
    }
}
impl Declares for Body {
    fn declare(operation: &mut Operation) {
        operation.reads_body = true;
        operation.codes.extend(TAKES.into_iter().chain(READS));
        operation.codes.extend(["malformed_json", "invalid_request", "bodies_full"]);
        // Where it gets large as it is unpacked.
        operation.codes.extend(["too_many_waiting", "overloaded"]);
    }
}
impl Declares for Text {
    fn declare(operation: &mut Operation) {
        operation.reads_body = true;
        operation.codes.extend(TAKES.into_iter().chain(READS));
        operation.codes.insert("bodies_full");
    }
}
impl Declares for Upload {
    fn declare(operation: &mut Operation) {
        operation.reads_body = true;
        operation.codes.extend(TAKES);
    }
}
impl<T> Declares for Arc<T> {
    fn declare(_: &mut Operation) {}
}

/// The types of a handler's arguments, as the web framework has them: a mark of how the last one is read, and then each.
macro_rules! all_of {
    ($($argument:ident),*) => {
        impl<M, $($argument: Declares),*> Declares for (M, $($argument,)*) {
            fn declare(operation: &mut Operation) {
                $($argument::declare(operation);)*
            }
        }
    };
}
impl Declares for ((),) {
    fn declare(_: &mut Operation) {}
}
all_of!(A);
all_of!(A, B);
all_of!(A, B, C);
all_of!(A, B, C, D);
all_of!(A, B, C, D, E);
all_of!(A, B, C, D, E, F);
