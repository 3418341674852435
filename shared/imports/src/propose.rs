//! Proposes a mapping from the names of columns, as they are in other people's files.

use crate::{
    cells,
    mapping::{Decimal, Mapping, Text, folded, shipped},
};

/// Names by field, the likeliest first, as [`folded`].
const NAMES: [(&str, &[&str]); 8] = [
    (
        "listing",
        &[
            "listing",
            "listingid",
            "offerid",
            "sellersku",
            "vendorsku",
            "merchantsku",
            "itemid",
            "itemnumber",
            "artikelnummer",
            "artikelnr",
            "artnr",
            "artikelid",
            "articleid",
            "reference",
            "ref",
            "referencia",
            "id",
        ],
    ),
    (
        "sku",
        &[
            "sku",
            "productid",
            "productcode",
            "product",
            "materialnumber",
            "material",
            "artikel",
            "article",
            "item",
            "codigo",
        ],
    ),
    ("gtin", &["gtin", "gtin14", "ean", "ean13", "eancode", "upc", "upca", "barcode", "isbn"]),
    (
        "location",
        &[
            "location",
            "locationid",
            "warehouse",
            "warehouseid",
            "storecode",
            "store",
            "site",
            "depot",
            "standort",
            "lagerort",
            "entrepot",
            "almacen",
        ],
    ),
    (
        "price",
        &[
            "price",
            "unitprice",
            "saleprice",
            "preis",
            "verkaufspreis",
            "vk",
            "vkpreis",
            "stueckpreis",
            "prix",
            "prixunitaire",
            "precio",
            "preco",
        ],
    ),
    ("currency", &["currency", "currencycode", "waehrung", "devise", "moneda", "moeda"]),
    (
        "on_hand",
        &[
            "onhand",
            "quantity",
            "qty",
            "stock",
            "stockqty",
            "stocklevel",
            "inventory",
            "available",
            "quantityavailable",
            "bestand",
            "lagerbestand",
            "menge",
            "quantite",
            "cantidad",
            "existencias",
            "quantidade",
            "estoque",
        ],
    ),
    ("regions", &["regions", "region", "countries", "country"]),
];

/// A mapping for a header, with a few records to look at; `None` when nothing in it looks like stock.
pub fn propose(header: &[String], sample: &[Vec<String>]) -> Option<Mapping> {
    let find = |field: &str| -> Option<&String> {
        let (_, names) = NAMES.iter().find(|(known, _)| *known == field)?;
        names.iter().find_map(|name| header.iter().find(|column| folded(column) == *name))
    };
    let (listing, sku, gtin) = (find("listing"), find("sku"), find("gtin"));
    let named = listing.or(sku).or(gtin)?;
    let (on_hand, price, location) = (find("on_hand"), find("price"), find("location"));
    on_hand.or(price)?;
    let column = |name: &String| Text::column(name);
    // With a price the whole listing is said; where it lies is then given, to be changed.
    let whole = price.is_some();
    let place = location.map(column);
    Some(Mapping {
        name: "proposed".to_owned(),
        currency: None,
        decimal: decimal(header, sample, [price, on_hand]),
        listing: column(named),
        sku: sku.or(whole.then_some(named)).map(column),
        gtin: gtin.map(column),
        location: place.or_else(|| whole.then(|| Text::Constant { constant: "main".to_owned() })),
        price: price.cloned(),
        currency_column: find("currency").cloned(),
        regions: find("regions").cloned(),
        on_hand: on_hand.cloned(),
        zero_when: None,
        source_seq: None,
        may_lack: Vec::new(),
    })
}

/// The shipped mapping that a header is made for: it has the columns that make it what it is.
pub(crate) fn recognised(header: &[String]) -> Option<Mapping> {
    let has = |name: &str| header.iter().any(|column| folded(column) == folded(name));
    let of = |name: &str| shipped(name).ok();
    if has("listing") && (has("on_hand") || has("price")) {
        return of("stockade");
    }
    if has("store_code") && has("id") && (has("quantity") || has("availability")) {
        return of("google_local");
    }
    None
}

/// What the numbers of the sample show of their decimals.
pub(crate) fn decimal(header: &[String], sample: &[Vec<String>], columns: [Option<&String>; 2]) -> Decimal {
    let places =
        columns.into_iter().flatten().filter_map(|name| header.iter().position(|column| column == name));
    let cells = places.flat_map(|place| sample.iter().filter_map(move |record| record.get(place)));
    let (mut points, mut commas) = (0, 0);
    for cell in cells {
        match cells::shows_decimal(cell) {
            Some(true) => commas += 1,
            Some(false) => points += 1,
            None => {}
        }
    }
    match (points, commas) {
        (0, 1..) => Decimal::Comma,
        (1.., 0) => Decimal::Point,
        _ => Decimal::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn columns_are_proposed_by_names_that_sellers_give_them() {
        let sample = vec![vec!["A 1".to_owned(), "Stück".to_owned(), "1.234,50".to_owned(), "12".to_owned()]];
        let mapping =
            propose(&header(&["Artikel-Nr.", "Einheit", "Stückpreis", "Lagerbestand"]), &sample).unwrap();
        assert_eq!(mapping.listing, Text::column("Artikel-Nr."));
        assert_eq!(
            (mapping.price.as_deref(), mapping.on_hand.as_deref()),
            (Some("Stückpreis"), Some("Lagerbestand"))
        );
        assert_eq!(mapping.decimal, Decimal::Comma);
        assert_eq!(mapping.location, Some(Text::Constant { constant: "main".to_owned() }));
        assert_eq!(propose(&header(&["name", "colour"]), &[]), None);
    }

    #[test]
    fn a_header_that_is_exactly_that_of_a_shipped_mapping_is_recognised() {
        let of = |names: &[&str]| recognised(&header(names)).map(|mapping| mapping.name);
        assert_eq!(of(&["listing", "on_hand"]).as_deref(), Some("stockade"));
        assert_eq!(of(&["store code", "id", "quantity", "price"]).as_deref(), Some("google_local"));
        assert_eq!(of(&["Artikel", "Bestand"]), None);
    }
}
