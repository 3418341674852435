//! Offers of one good as bytes: written once, read in place.
//!
//! ```text
//! offers (2) | bytes of the SKU (2) | 12 columns: width and bytes of the base (1 each) | bases | columns | SKU | listings
//! ```
//! A column holds one number per offer, as the difference from the least one, in as many bytes as the largest difference
//! needs: none where all are equal. The last column says where each listing's id ends in the text. Offers are in the order
//! of an answer sorted by price: currency, price, lead time, supplier, listing. All numbers are little-endian.

use std::sync::Arc;

/// What is kept of an offer. Numbers of suppliers, regions and places are those of the index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row<'a> {
    /// `Currency::number`.
    pub(super) currency: u16,
    /// Minor units.
    pub(super) minor: i64,
    pub(super) lead_days: u16,
    /// The supplier's number in the overlay.
    pub(super) supplier: u32,
    pub(super) listing: &'a str,
    pub(super) available: i64,
    pub(super) on_hand: i64,
    /// Number of the set of regions served.
    pub(super) regions: u32,
    pub(super) withdrawn: bool,
    /// Whether the regions are the listing's own, rather than its location's.
    pub(super) own_regions: bool,
    /// Number of the place where it lies.
    pub(super) place: u32,
    /// Offset of the last change.
    pub(super) version: u64,
    /// Record time of the last change, milliseconds.
    pub(super) updated_ms: i64,
    /// Digits of the GTIN plus one, 0 for none.
    pub(super) gtin: u64,
}

/// Columns of a block, in their order.
#[derive(Clone, Copy)]
pub(super) enum Column {
    Currency,
    Minor,
    Lead,
    Supplier,
    Available,
    /// Units on hand less those available: mostly none.
    Shelf,
    /// Number of the regions, four times, and two more when they are the listing's own, one more when withdrawn.
    Regions,
    Place,
    Version,
    Updated,
    Gtin,
    ListingEnd,
}

const COLUMNS: usize = 12;
/// Where the widths of the columns begin.
const WIDTHS: usize = 4;
const HEAD: usize = WIDTHS + COLUMNS;
/// A number is read as eight bytes of which the upper ones are cut off; so many have to be there.
const WORD: usize = 8;

fn mask(width: u8) -> u64 {
    if width >= 8 { u64::MAX } else { (1 << (8 * width)) - 1 }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<WORD>()).map_or(0, |word| u64::from_le_bytes(*word))
}

/// Bytes that hold `number`.
fn width(number: u64) -> u8 {
    (8 - number.leading_zeros() / 8) as u8
}

/// Small numbers of either sign as small numbers.
fn fold(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}
fn unfold(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// A block, opened.
pub(super) struct View<'a> {
    bytes: &'a [u8],
    len: usize,
    sku_len: usize,
    at: [u32; COLUMNS],
    bases: [i64; COLUMNS],
    masks: [u64; COLUMNS],
    widths: [u8; COLUMNS],
    text: usize,
}

impl<'a> View<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Self {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let short = |at: usize| usize::from(byte(at)) | usize::from(byte(at + 1)) << 8;
        let len = short(0);
        let mut view = Self {
            bytes,
            len,
            sku_len: short(2),
            at: [0; COLUMNS],
            bases: [0; COLUMNS],
            masks: [0; COLUMNS],
            widths: [0; COLUMNS],
            text: 0,
        };
        let mut base_at = HEAD;
        for column in 0..COLUMNS {
            let (width, base) = (byte(WIDTHS + column) & 15, byte(WIDTHS + column) >> 4);
            view.widths[column] = width;
            view.masks[column] = mask(width);
            view.bases[column] = unfold(word(bytes, base_at) & mask(base));
            base_at += usize::from(base);
        }
        let mut at = base_at;
        for column in 0..COLUMNS {
            view.at[column] = at as u32;
            at += len * usize::from(view.widths[column]);
        }
        view.text = at;
        view
    }

    /// Offers in it; never none.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The good.
    pub(super) fn sku(&self) -> &'a str {
        self.slice(self.text, self.text + self.sku_len)
    }

    fn slice(&self, from: usize, until: usize) -> &'a str {
        self.bytes.get(from..until).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// One number.
    #[inline]
    pub(super) fn get(&self, column: Column, row: usize) -> i64 {
        let column = column as usize;
        let width = usize::from(self.widths[column]);
        if width == 0 {
            return self.bases[column];
        }
        let difference = word(self.bytes, self.at[column] as usize + row * width) & self.masks[column];
        self.bases[column].wrapping_add(difference as i64)
    }

    pub(super) fn currency(&self, row: usize) -> u16 {
        self.get(Column::Currency, row) as u16
    }
    pub(super) fn minor(&self, row: usize) -> i64 {
        self.get(Column::Minor, row)
    }
    pub(super) fn lead_days(&self, row: usize) -> u16 {
        self.get(Column::Lead, row) as u16
    }
    pub(super) fn supplier(&self, row: usize) -> u32 {
        self.get(Column::Supplier, row) as u32
    }
    pub(super) fn available(&self, row: usize) -> i64 {
        self.get(Column::Available, row)
    }
    /// Number of the set of regions served.
    pub(super) fn regions(&self, row: usize) -> u32 {
        (self.get(Column::Regions, row) >> 2) as u32
    }
    pub(super) fn is_withdrawn(&self, row: usize) -> bool {
        self.get(Column::Regions, row) & 1 == 1
    }
    pub(super) fn has_own_regions(&self, row: usize) -> bool {
        self.get(Column::Regions, row) & 2 == 2
    }
    pub(super) fn place(&self, row: usize) -> u32 {
        self.get(Column::Place, row) as u32
    }
    pub(super) fn gtin(&self, row: usize) -> u64 {
        self.get(Column::Gtin, row) as u64
    }
    pub(super) fn version(&self, row: usize) -> u64 {
        self.get(Column::Version, row) as u64
    }
    pub(super) fn updated_ms(&self, row: usize) -> i64 {
        self.get(Column::Updated, row)
    }
    /// The listing's id.
    pub(super) fn listing(&self, row: usize) -> &'a str {
        let end = |row: usize| self.get(Column::ListingEnd, row) as usize;
        let from = row.checked_sub(1).map_or(0, end);
        let texts = self.text + self.sku_len;
        self.slice(texts + from, texts + end(row))
    }

    /// What is kept of one offer.
    pub(super) fn row(&self, row: usize) -> Row<'a> {
        let available = self.available(row);
        Row {
            currency: self.currency(row),
            minor: self.minor(row),
            lead_days: self.lead_days(row),
            supplier: self.supplier(row),
            listing: self.listing(row),
            available,
            on_hand: self.get(Column::Shelf, row).wrapping_add(available),
            regions: self.regions(row),
            withdrawn: self.is_withdrawn(row),
            own_regions: self.has_own_regions(row),
            place: self.place(row),
            version: self.version(row),
            updated_ms: self.updated_ms(row),
            gtin: self.gtin(row),
        }
    }

    /// All of them.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'a>> + '_ {
        (0..self.len).map(|row| self.row(row))
    }

    /// Where a listing of a supplier stands.
    pub(super) fn find(&self, supplier: u32, listing: &str) -> Option<usize> {
        (0..self.len).find(|row| self.supplier(*row) == supplier && self.listing(*row) == listing)
    }
}

fn numbers(row: &Row<'_>, end: usize) -> [i64; COLUMNS] {
    [
        row.currency.into(),
        row.minor,
        row.lead_days.into(),
        row.supplier.into(),
        row.available,
        row.on_hand.wrapping_sub(row.available),
        i64::from(row.regions) << 2 | i64::from(row.own_regions) << 1 | i64::from(row.withdrawn),
        row.place.into(),
        row.version as i64,
        row.updated_ms,
        row.gtin as i64,
        end as i64,
    ]
}

/// Writes offers, which are sorted, as a block.
pub(super) fn encode(sku: &str, rows: &[Row<'_>]) -> Arc<[u8]> {
    let mut end = 0;
    let table: Vec<[i64; COLUMNS]> = rows
        .iter()
        .map(|row| {
            end += row.listing.len();
            numbers(row, end)
        })
        .collect();
    let (mut least, mut most) = (table.first().copied().unwrap_or_default(), [0_u64; COLUMNS]);
    for numbers in &table {
        (0..COLUMNS).for_each(|column| least[column] = least[column].min(numbers[column]));
    }
    for numbers in &table {
        for column in 0..COLUMNS {
            most[column] = most[column].max(numbers[column].wrapping_sub(least[column]) as u64);
        }
    }
    let widths = most.map(width);
    let mut bytes = Vec::with_capacity(HEAD + 40 + rows.len() * 32 + end);
    bytes.extend_from_slice(&(rows.len() as u16).to_le_bytes());
    // A name has at most 128 characters of four bytes.
    bytes.extend_from_slice(&(sku.len() as u16).to_le_bytes());
    let bases = least.map(fold);
    bytes.extend((0..COLUMNS).map(|column| widths[column] | width(bases[column]) << 4));
    for base in bases {
        bytes.extend_from_slice(&base.to_le_bytes()[..usize::from(width(base))]);
    }
    for column in 0..COLUMNS {
        let width = usize::from(widths[column]);
        if width > 0 {
            for numbers in &table {
                let difference = numbers[column].wrapping_sub(least[column]) as u64;
                bytes.extend_from_slice(&difference.to_le_bytes()[..width]);
            }
        }
    }
    bytes.extend_from_slice(sku.as_bytes());
    rows.iter().for_each(|row| bytes.extend_from_slice(row.listing.as_bytes()));
    // The last number of a column is read as a whole word too.
    let text = sku.len() + end;
    bytes.resize(bytes.len() + WORD.saturating_sub(text), 0);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_row() -> impl Strategy<Value = (Row<'static>, String)> {
        let numbers = (any::<u16>(), any::<i64>(), any::<u16>(), any::<u32>(), any::<i64>(), any::<i64>());
        let rest =
            (0..1_u32 << 30, any::<(bool, bool)>(), any::<u32>(), any::<u64>(), any::<i64>(), any::<u64>());
        (numbers, rest, "[a-z]{1,64}|[ /ü货𠀀]{1,128}").prop_map(|(a, b, listing)| {
            let row = Row {
                currency: a.0,
                minor: a.1,
                lead_days: a.2,
                supplier: a.3,
                listing: "",
                available: a.4,
                on_hand: a.5,
                regions: b.0,
                withdrawn: b.1.0,
                own_regions: b.1.1,
                place: b.2,
                version: b.3,
                updated_ms: b.4,
                gtin: b.5,
            };
            (row, listing)
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(rows in proptest::collection::vec(any_row(), 1..20), like in any::<bool>(), sku in "[a-z]{1,64}|[ /ü货𠀀]{1,128}") {
            // Alike, so that columns without width come up.
            let first = rows[0].0;
            let row_of = |row: &Row<'static>| if like { Row { version: row.version, ..first } } else { *row };
            let rows: Vec<Row<'_>> = rows.iter().map(|(row, listing)| Row { listing, ..row_of(row) }).collect();
            let bytes = encode(&sku, &rows);
            let view = View::open(&bytes);
            prop_assert_eq!(view.sku(), &sku);
            prop_assert_eq!(view.rows().collect::<Vec<_>>(), rows);
        }
    }
}
