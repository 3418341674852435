//! One record by its mapping.

use std::borrow::Cow;

use stockade_model::{Currency, Money};

use super::Item;
use crate::{
    cells::{self, Wrong},
    finding::{Finding, codes},
    mapping::{Bound, Cells, Text},
};

/// A row as its supplier means it: the whole listing where there is a price, else its stock.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Line of the file, from 1.
    pub line: u64,
    /// The listing.
    pub listing: String,
    /// The good.
    pub sku: Option<String>,
    /// Its GTIN.
    pub gtin: Option<String>,
    /// Where it lies.
    pub location: Option<String>,
    /// Price of one unit.
    pub price: Option<Money>,
    /// Regions served.
    pub regions: Vec<String>,
    /// Units on the shelf.
    pub on_hand: Option<i64>,
    /// The supplier's own sequence.
    pub source_seq: Option<u64>,
}

/// The row, or why it is none.
pub(super) fn item(bound: &Bound, cells: &impl Cells, line: u64) -> Item {
    match draft(bound, cells, line) {
        Ok(draft) => Item::Row(draft),
        Err(finding) => Item::Refused(subject(bound, cells), finding),
    }
}

/// The listing that a record is about, if that can be told.
pub(super) fn subject(bound: &Bound, cells: &impl Cells) -> Option<String> {
    text(bound, &bound.mapping.listing, cells).ok().flatten().map(|(text, _)| text.into_owned())
}

type Located<'a> = Option<(Cow<'a, str>, String)>;

/// A text and the column it is from; `None` when one of its columns is empty or lacking.
fn text<'a>(
    bound: &'a Bound,
    text: &'a Text,
    cells: &'a impl Cells,
) -> Result<Located<'a>, (String, &'a str, Wrong)> {
    match text {
        Text::Constant { constant } => Ok(Some((Cow::Borrowed(constant), String::new()))),
        Text::Column { column, prefix } => {
            let Some(cell) = bound.cell(column, cells) else { return Ok(None) };
            let read = cells::identifier(cell).map_err(|wrong| (column.clone(), cell, wrong))?;
            let read =
                if prefix.is_empty() { Cow::Borrowed(read) } else { Cow::Owned(format!("{prefix}{read}")) };
            Ok(Some((read, column.clone())))
        }
        Text::Join { join } => {
            let (mut whole, mut columns) = (String::new(), Vec::new());
            for part in join {
                let Some((read, column)) = self::text(bound, part, cells)? else { return Ok(None) };
                whole.push_str(&read);
                columns.extend((!column.is_empty()).then_some(column));
            }
            Ok(Some((Cow::Owned(whole), columns.join("+"))))
        }
    }
}

fn columns_of(text: &Text) -> String {
    match text {
        Text::Column { column, .. } => column.clone(),
        Text::Constant { .. } => String::new(),
        Text::Join { join } => {
            join.iter().map(columns_of).filter(|name| !name.is_empty()).collect::<Vec<_>>().join("+")
        }
    }
}

/// The cell of a column that the mapping may name, with the column's name.
fn named<'a>(bound: &Bound, cells: &'a impl Cells, column: &'a Option<String>) -> Option<(&'a str, &'a str)> {
    let column = column.as_deref()?;
    Some((column, bound.cell(column, cells)?))
}

fn draft(bound: &Bound, cells: &impl Cells, line: u64) -> Result<Draft, Finding> {
    let mapping = &bound.mapping;
    let refuse = |column: &str, value: &str, (code, detail): Wrong| {
        Finding::refused(line, column, value, code, detail)
    };
    let missing =
        |column: &str, what: &str| refuse(column, "", (codes::MISSING, format!("the cell is empty; {what}")));
    let read = |wanted: Option<&Text>| -> Result<Option<String>, Finding> {
        let Some(wanted) = wanted else { return Ok(None) };
        let found =
            text(bound, wanted, cells).map_err(|(column, value, wrong)| refuse(&column, value, wrong))?;
        Ok(found.map(|(text, _)| text.into_owned()))
    };
    let required =
        |wanted: &Text, what: &str| read(Some(wanted))?.ok_or_else(|| missing(&columns_of(wanted), what));

    let listing = required(&mapping.listing, "each row names its listing")?;
    let style = mapping.decimal;
    let none_left = mapping.zero_when.as_ref().is_some_and(|when| {
        let said = bound.cell(&when.column, cells);
        said.is_some_and(|said| when.among.iter().any(|value| value.eq_ignore_ascii_case(said)))
    });
    let on_hand = match named(bound, cells, &mapping.on_hand) {
        _ if none_left => Some(0),
        Some((column, value)) => {
            Some(cells::units(value, style).map_err(|wrong| refuse(column, value, wrong))?)
        }
        None => None,
    };
    let source_seq = named(bound, cells, &mapping.source_seq)
        .map(|(column, value)| cells::sequence(value).map_err(|wrong| refuse(column, value, wrong)))
        .transpose()?;
    let mut draft = Draft {
        line,
        listing,
        sku: None,
        gtin: None,
        location: None,
        price: None,
        regions: Vec::new(),
        on_hand,
        source_seq,
    };
    if !bound.is_put() {
        if on_hand.is_none() {
            return Err(missing(
                mapping.on_hand.as_deref().unwrap_or_default(),
                "say how many units there are, 0 for none",
            ));
        }
        return Ok(draft);
    }
    let currency = match named(bound, cells, &mapping.currency_column) {
        None => mapping.currency,
        Some((column, value)) => {
            let read = Currency::new(&value.to_ascii_uppercase());
            Some(read.map_err(|error| refuse(column, value, (error.code, error.detail)))?)
        }
    };
    let (column, value) = match named(bound, cells, &mapping.price) {
        Some(found) => found,
        None => {
            let column = mapping.price.as_deref().unwrap_or_default();
            return Err(missing(
                column,
                "where the file has prices each row needs one; send stock alone in a file without the column",
            ));
        }
    };
    draft.price = Some(cells::price(value, style, currency).map_err(|wrong| refuse(column, value, wrong))?);
    let given =
        |wanted: &Option<Text>, what| wanted.as_ref().map(|wanted| required(wanted, what)).transpose();
    draft.sku = given(&mapping.sku, "with a price, a row needs its good")?;
    draft.location = given(&mapping.location, "with a price, a row needs where the stock lies")?;
    draft.gtin = read(mapping.gtin.as_ref())?;
    if let Some((_, value)) = named(bound, cells, &mapping.regions) {
        draft.regions =
            value.split([' ', ';', '|', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    }
    Ok(draft)
}
