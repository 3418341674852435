//! The calls about imports, as they are declared.

use std::sync::Arc;

use axum::{Router, http::StatusCode};
use stockade_runtime::{
    Work,
    api::{Asked as Asks, Operation, Routes, Sent},
};

use super::{
    Imports,
    http::{Known, Preview, begin, cancel, confirm, list, preview, report, show},
    meta::Told,
};

const TAG: &str = "Imports";
/// Media types that are shown; the others of [`MEDIA_TYPES`] are read alike.
const SHOWN: [&str; 5] = [
    "text/csv",
    "text/tab-separated-values",
    "application/x-ndjson",
    "application/gzip",
    "application/octet-stream",
];

fn takes_a_file(operation: Operation) -> Operation {
    SHOWN.iter().fold(operation.tag(TAG), |operation, media| operation.body_raw(media)).limited().fails(&[
        "unknown_supplier",
        "starting",
        "upload_too_large",
        "import_storage",
        "disk_full",
        "imports_full",
        "too_many_imports",
        "class_limited",
        "overloaded",
        "invalid_request",
    ])
}

fn named(operation: Operation) -> Operation {
    operation.tag(TAG).fails(&["unknown_import"])
}

/// The calls.
pub fn routes() -> Routes<Arc<Imports>> {
    let of = "/v1/suppliers/{supplier}/imports";
    let one = "/v1/suppliers/{supplier}/imports/{import}";
    let begins = takes_a_file(Operation::post(of, "beginImport", "Takes on an inventory file"))
        .work(Work::Import)
        .about(
            "The file is the body: CSV, TSV, JSON lines, X12 846 or GS1 EPCIS 2.0, plain, gzip (as the file, or by `Content-Encoding`) or zip with one file. It is acknowledged \
             when it is durable at this node, and applied at the supplier's pace. Sent again with the same Idempotency-Key it is the \
             same import. With `preview=true` it is only looked at, and the answer is that of `/preview`.",
        )
        .heeds(&[Asks::IdempotencyKey])
        .example_of("mode", "upsert")
        .answers::<Preview>(StatusCode::OK, "With `preview=true`: what the file would become.")
        .answers::<Told>(StatusCode::ACCEPTED, "The import as it stands.")
        .sends(StatusCode::ACCEPTED, &[Sent::Location, Sent::IdempotentReplay])
        .fails(&["idempotency_key_reused"])
        .leads_to(
            StatusCode::ACCEPTED,
            "getImport",
            &[("supplier", "$request.path.supplier"), ("import", "$response.body#/import")],
        );
    Routes::default()
        .add(
            Operation::get(of, "listImports", "The imports of a supplier that this node knows")
                .tag(TAG)
                .answers::<Known>(StatusCode::OK, "A page of them, the newest first.")
                .example_of("limit", 50)
                .fails(&["unknown_supplier", "starting", "bad_cursor", "invalid_request"]),
            list,
        )
        .add(begins, begin)
        .add(
            takes_a_file(Operation::post(
                format!("{of}/preview"),
                "previewImport",
                "What an inventory file would become",
            ))
            .work(Work::Analysis)
            .about(
                "The mapping that is used or proposed, and the first ten rows as they would be read. Nothing is applied. It looks at the \
                 first 4 MB, unpacked, and past 10,000 lines it ends with the first that holds no row: then `problem` is \
                 `preview_ended`. It takes a unit of the allowance for each 64 kB that it looks at.",
            )
            .answers::<Preview>(StatusCode::OK, "What the file would become."),
            preview,
        )
        .add(
            named(Operation::get(one, "getImport", "How far an import is"))
                .answers::<Told>(StatusCode::OK, "The import as it stands."),
            show,
        )
        .add(
            named(Operation::post(format!("{one}/cancel"), "cancelImport", "Ends an import"))
                .about("What was applied until then stays.")
                .answers::<Told>(StatusCode::ACCEPTED, "The import as it stands; it ends behind what is under way.")
                .fails(&["import_finished", "import_storage"]),
            cancel,
        )
        .add(
            named(Operation::post(
                format!("{one}/confirm"),
                "confirmImport",
                "Goes on with an import that would take much off the market",
            ))
            .about("It waits for that for a week, unless configured; then it is `failed` with the problem `confirmation_expired`.")
            .answers::<Told>(StatusCode::ACCEPTED, "The import as it stands.")
            .fails(&["not_waiting", "import_overtaken", "import_storage"]),
            confirm,
        )
        .add(
            named(Operation::get(format!("{one}/report"), "getImportReport", "Each row that was not taken, and why"))
                .work(Work::Analysis)
                .answers_raw(StatusCode::OK, "CSV: line, column, value, code, severity, detail.", "text/csv; charset=utf-8")
                .sends(StatusCode::OK, &[Sent::ContentDisposition])
                .fails(&["no_report_yet"]),
            report,
        )
}

/// The routes.
pub fn router(imports: Arc<Imports>) -> Router {
    routes().router().with_state(imports)
}
