//! Rows of a file as the platform takes them, and how they wait on disk.

use stockade_imports::{Draft, Finding, Mapping, codes};
use stockade_model::{Row, StockMode};
use stockade_runtime::FieldError;

use crate::http::rows::{OneRow as _, Price, PutBody, StockBody, row_of_batch};

/// A row that waits for its turn.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Waiting {
    /// Its place among the rows that are right, from 0.
    #[serde(rename = "n")]
    pub(super) number: u64,
    /// Its line in the file; 0 for what the file does not name.
    #[serde(rename = "l")]
    pub(super) line: u64,
    #[serde(rename = "r")]
    pub(super) row: Row,
}

/// Whether a row leaves nothing to sell: it goes first, for what is sold out must not be sold on.
pub(super) fn goes_to_zero(row: &Row) -> bool {
    match row {
        Row::Put(put) => put.on_hand == Some(0),
        Row::Stock(change) => change.mode == StockMode::Set && change.quantity == 0,
        Row::Withdraw { .. } => true,
        _ => false,
    }
}

/// The row of a draft, checked as rows of batches are.
pub(super) fn of_draft(draft: Draft, mapping: Option<&Mapping>) -> Result<Row, Finding> {
    let line = draft.line;
    let shown = draft.clone();
    let Draft { listing, sku, gtin, location, price, regions, on_hand, source_seq, .. } = draft;
    let row = match price {
        Some(price) => {
            let price = Price { minor: price.minor, currency: price.currency.as_str().to_owned() };
            let (sku, location) = (sku.unwrap_or_default(), location.unwrap_or_default());
            PutBody { sku, gtin, location, price, regions, on_hand, source_seq }.row(&listing)
        }
        None => StockBody { set: on_hand, adjust: None, source_seq }.row(&listing),
    };
    row.map_err(|errors| wrong(line, &shown, &errors, mapping))
}

/// The row of a line in the form of the API.
pub(super) fn of_batch(line: u64, text: &str) -> Result<Row, (String, Finding)> {
    let row = row_of_batch(text).map_err(|(subject, error)| {
        let finding = Finding::refused(line, &error.field, &subject, &error.code, error.detail);
        (subject, finding)
    })?;
    match &row {
        Row::Stock(change) if change.mode == StockMode::Adjust => {
            let detail = "an import says how much there is; send `set`, or adjustments as a batch (POST …/inventory:batch)";
            let finding =
                Finding::refused(line, "/adjust", &change.quantity.to_string(), codes::ADJUST, detail);
            Err((row.subject().to_owned(), finding))
        }
        _ => Ok(row),
    }
}

/// The first thing that is wrong with a draft, by the column that it is from.
fn wrong(line: u64, draft: &Draft, errors: &[FieldError], mapping: Option<&Mapping>) -> Finding {
    let Some(error) = errors.first() else {
        return Finding::refused(line, "", &draft.listing, "invalid_row", "the row is not valid");
    };
    let field = error.field.trim_start_matches('/');
    let column = mapping.and_then(|mapping| mapping.column_of(field)).unwrap_or_else(|| field.to_owned());
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let value = match field.split('/').next().unwrap_or_default() {
        "listing" => draft.listing.clone(),
        "sku" => text(&draft.sku),
        "gtin" => text(&draft.gtin),
        "location" => text(&draft.location),
        "price" => draft.price.map(|price| price.to_string()).unwrap_or_default(),
        "regions" => draft.regions.join(" "),
        "on_hand" | "set" => draft.on_hand.map(|units| units.to_string()).unwrap_or_default(),
        "source_seq" => draft.source_seq.map(|sequence| sequence.to_string()).unwrap_or_default(),
        _ => String::new(),
    };
    Finding::refused(line, &column, &value, &error.code, error.detail.clone())
}
