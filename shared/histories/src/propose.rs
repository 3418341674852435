//! Proposes a mapping for a file of orders, from the names of its columns and its first rows.

use std::collections::BTreeMap;

use stockade_imports::{folded, quoted};
use stockade_model::{Currency, Region};

use crate::{
    mapping::Mapping,
    refusals::shown,
    times::{Format, Guess},
};

/// Names of columns by what they are, the likeliest first, as [`folded`].
const NAMES: [(&str, &str); 20] = [
    (
        "order",
        "orderid ordernumber orderno invoice invoiceno invoicenumber bestellnummer bestellnr bestellid auftragsnummer auftragsnr belegnummer belegnr rechnungsnummer rechnungsnr pedido numeropedido transactionid transactionno txid order",
    ),
    (
        "buyer",
        "customeruniqueid buyerid customerid ordercustomerid userid clientid custid kundennummer kundennr kundenid buyer customer client user kunde cliente customeremail email customername",
    ),
    (
        "supplier",
        "sellerid supplierid vendorid merchantid shopid storeid seller supplier vendor merchant shop store lieferantennummer lieferantennr lieferant haendler verkaeufer terminalid",
    ),
    (
        "sku",
        "sku productid stockcode itemid productcode asin artikelnummer artikelnr artnr productcardid orderitemcardprodid articleid item product artikel article productname",
    ),
    (
        "quantity",
        "quantity qty orderitemquantity menge anzahl stueck quantityordered orderquantity units cantidad quantidade",
    ),
    (
        "price",
        "unitprice price orderitemproductprice priceeach productprice einzelpreis stueckpreis preis preco precio",
    ),
    (
        "total",
        "sales amount linetotal lineamount orderitemtotal ordertotal total betrag gesamtpreis gesamtbetrag umsatz revenue subtotal",
    ),
    (
        "line",
        "orderitemid orderlineid lineid itemno lineno linenumber orderlinenumber position pos rowid index",
    ),
    (
        "ordered",
        "orderpurchasetimestamp orderdate ordertimestamp orderedat purchasedat purchasedate orderdatedateorders invoicedate bestelldatum auftragsdatum rechnungsdatum kaufdatum txdatetime createdat datetime timestamp date datum data fecha time",
    ),
    (
        "shipped",
        "shippedat shipdate shippingdate shippingdatedateorders handedtocarrierat orderdeliveredcarrierdate versanddatum dispatchdate shippeddate",
    ),
    (
        "delivered",
        "deliveredat deliverydate orderdeliveredcustomerdate delivereddate lieferdatum zustelldatum",
    ),
    (
        "promised",
        "estimateddeliveryat orderestimateddeliverydate estimateddeliverydate promiseddate liefertermin",
    ),
    (
        "cancelled",
        "cancelledat canceledat cancelledon canceledon cancelleddate canceleddate canceldate cancellationdate cancelledtimestamp canceledtimestamp storniertam stornodatum stornierungsdatum",
    ),
    (
        "refunded",
        "refundedat refundedon refunddate refundeddate returnedat returndate returneddate erstattetam erstattungsdatum retourendatum",
    ),
    (
        "disputed",
        "disputedat disputedon disputedate disputeddate disputeopenedat chargedbackat chargebackat chargebackdate",
    ),
    ("fraud", "fraudknownat fraudconfirmedat fraudconfirmedon fraudconfirmeddate fraudat frauddate"),
    (
        "region",
        "sellerregion supplierregion vendorregion merchantregion shopregion sellerstate supplierstate sellercountry suppliercountry vendorcountry merchantcountry shopcountry region regioncode country countrycode land",
    ),
    ("status", "orderstatus status bestellstatus auftragsstatus state"),
    ("category", "category categoryname productcategoryname productcategory kategorie warengruppe categoria"),
    ("currency", "currency currencycode waehrung moneda moeda"),
];

/// What a status says when an order came to nothing.
const UNDONE: [&str; 9] =
    ["cancel", "stornier", "storno", "unavailable", "annul", "void", "rejected", "fehlgeschlagen", "failed"];
/// What it says when goods came back.
const RETURNED: [&str; 6] = ["return", "refund", "retour", "erstatt", "zurueck", "devol"];

/// What becomes of an order at a stamp of its own: the field, and the kind of event.
const LATER: [(&str, &str); 6] = [
    ("shipped", "shipped"),
    ("delivered", "delivered"),
    ("cancelled", "cancelled"),
    ("disputed", "disputed"),
    ("refunded", "refunded"),
    ("fraud", "fraud_confirmed"),
];

/// Currencies with the country that most who write in them sell from.
const HOMES: [(&str, &str); 8] = [
    ("EUR", "DE"),
    ("GBP", "GB"),
    ("USD", "US"),
    ("BRL", "BR"),
    ("INR", "IN"),
    ("JPY", "JP"),
    ("CHF", "CH"),
    ("PLN", "PL"),
];

/// A proposed mapping.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The mapping, with comments that say what was guessed and what to look at.
    pub yaml: String,
    /// What was taken for what: the field, and its column.
    pub columns: Vec<(String, String)>,
}

/// A header and first rows, as they are looked at.
struct Seen<'a> {
    header: &'a [String],
    sample: &'a [Vec<String>],
    found: BTreeMap<&'static str, String>,
}

/// A mapping for a file with this header and these first rows.
///
/// # Errors
/// Nothing in it can be an order with its time: what is missing, and what to do.
pub fn propose(header: &[String], sample: &[Vec<String>]) -> Result<Proposal, String> {
    let mut seen = Seen { header, sample, found: BTreeMap::new() };
    for (field, names) in NAMES {
        let named = |fits: &dyn Fn(&str) -> bool| {
            let is =
                |known: &String, name: &str| folded(known) == name && !seen.is_taken(known) && fits(known);
            names.split(' ').find_map(|name| header.iter().find(|known| is(known, name)))
        };
        let column = match field {
            "region" => named(&|column| seen.is_where_suppliers_are(column)),
            // A time must look like one. What rarely happens may have no stamp yet in the first rows.
            _ if is_time_field(field) => named(&|column| seen.guess(column).is_time())
                .or_else(|| named(&|column| field != "ordered" && !seen.says_anything(column))),
            _ => named(&|_| true),
        };
        if let Some(column) = column {
            seen.found.insert(field, column.clone());
        }
    }
    if !seen.found.contains_key("ordered")
        && let Some(column) = header.iter().find(|name| !seen.is_taken(name) && seen.guess(name).is_a_date())
    {
        seen.found.insert("ordered", column.clone());
    }
    let all = shown(&header.join(", "));
    if !seen.found.contains_key("order") {
        return Err(format!(
            "none of the columns {all} looks like the number of an order; rename one to order_id, or write a mapping by hand (services/stockade/mappings has examples)"
        ));
    }
    let yaml = seen.yaml().ok_or_else(|| {
        format!(
            "none of the columns {all} is a time of the order in any form that is known; a history needs one: rename it to ordered_at, or join the file that has it (`files` and `joins` in a mapping)"
        )
    })?;
    let unused = Mapping::parse(&yaml).map(|mapping| mapping.unused(header)).unwrap_or_default();
    let yaml = match yaml.split_once('\n') {
        Some((first, rest)) if !unused.is_empty() => {
            format!("{first}\n# Columns not used: {}\n{rest}", on_one_line(&unused))
        }
        _ => yaml,
    };
    let columns = seen.found.iter().map(|(field, column)| ((*field).to_owned(), column.clone())).collect();
    Ok(Proposal { yaml, columns })
}

/// Names as a comment has them: whatever ends a line in YAML would end the comment.
fn on_one_line(names: &[String]) -> String {
    shown(&names.join(", ")).replace(['\u{2028}', '\u{2029}'], " ")
}

fn is_time_field(field: &str) -> bool {
    matches!(field, "ordered" | "promised") || LATER.iter().any(|(later, _)| *later == field)
}

impl Seen<'_> {
    fn is_taken(&self, column: &str) -> bool {
        self.found.values().any(|taken| taken == column)
    }

    fn of(&self, field: &str) -> Option<&str> {
        self.found.get(field).map(String::as_str)
    }

    fn cells<'s>(&'s self, column: &str) -> impl Iterator<Item = &'s str> {
        let at = self.header.iter().position(|known| known == column);
        let cell = move |record: &'s Vec<String>| at.and_then(|at| record.get(at)).map(|cell| cell.trim());
        self.sample.iter().filter_map(cell).filter(|cell| !cell.is_empty())
    }

    /// Whether any of the first rows has something in a column.
    fn says_anything(&self, column: &str) -> bool {
        self.cells(column).next().is_some()
    }

    /// Whether a column says where suppliers are, in codes of ISO 3166: a supplier is in one place, buyers are in many.
    fn is_where_suppliers_are(&self, column: &str) -> bool {
        let at = |name: &str| self.header.iter().position(|known| known == name);
        let (Some(place), supplier) = (at(column), self.of("supplier").and_then(at)) else { return false };
        let mut places: BTreeMap<&str, &str> = BTreeMap::new();
        for record in self.sample {
            let cell = |place: usize| record.get(place).map_or("", |cell| cell.trim());
            let (region, supplier) = (cell(place), supplier.map_or("", cell));
            if Region::new(region).is_err() || *places.entry(supplier).or_insert(region) != region {
                return false;
            }
        }
        !places.is_empty()
    }

    fn guess(&self, column: &str) -> Guess {
        let mut guess = Guess::new();
        self.cells(column).for_each(|cell| guess.look(cell));
        guess
    }

    /// Whether ids of a column need tidying.
    fn needs_tidying(&self, column: &str) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@' | '+');
        self.cells(column).any(|cell| cell.len() > 40 || !cell.chars().all(fits))
    }

    fn id(&self, column: &str) -> String {
        let tidy = if self.needs_tidying(column) { ", tidy: true" } else { "" };
        format!("{{ column: {}{tidy} }}", quoted(column))
    }

    fn currency(&self) -> Option<Currency> {
        let of_column = self
            .of("currency")
            .and_then(|column| self.cells(column).find_map(|code| Currency::new(code).ok()));
        let of_amounts = || {
            let columns = ["price", "total"].into_iter().filter_map(|field| self.of(field));
            columns.flat_map(|column| self.cells(column)).find_map(|cell| {
                stockade_imports::without_currency(cell).ok().and_then(|(_, currency)| currency)
            })
        };
        of_column.or_else(of_amounts)
    }

    /// The words of the status column that begin like these; none where `stamped` says when it happened.
    fn words(&self, roots: &[&str], stamped: &str) -> Vec<String> {
        let has_stamps = self.of(stamped).is_some_and(|column| self.says_anything(column));
        let Some(column) = self.of("status").filter(|_| !has_stamps) else { return Vec::new() };
        let mut words: Vec<String> = Vec::new();
        for cell in self.cells(column) {
            let lower = cell.to_lowercase().replace('ü', "ue");
            if roots.iter().any(|root| lower.contains(root)) && !words.iter().any(|word| word == cell) {
                words.push(cell.to_owned());
            }
        }
        words
    }

    fn has_negative(&self, column: &str) -> bool {
        self.cells(column).any(|cell| cell.starts_with('-') && cell.len() > 1)
    }

    /// The time that rows are in order of, with the lines of the mapping that say how it is read; `None` where there is none.
    fn time(&self) -> Option<(String, String)> {
        if let Some(column) = self.of("ordered") {
            let guess = self.guess(column);
            let lines = match guess.format() {
                Some(Format::Rfc3339) => String::new(),
                Some(format) => format!(
                    "# No zone is written in the file: say where its clocks stood.\ntimes: {{ format: {}, zone: UTC }}\n",
                    quoted(format.as_str())
                ),
                // The rest of the file may show it; what does not is refused with what to declare.
                None => "# Day or month first? The first rows are a time either way. If the rest does not show it, write\n# `format: m/d/yyyy h:mm` or `format: d/m/yyyy h:mm` here.\ntimes: { zone: UTC }\n".to_owned(),
            };
            return Some((column.to_owned(), lines));
        }
        let named = |names: &str| {
            names.split(' ').find_map(|name| self.header.iter().find(|known| folded(known) == name))
        };
        let (buyer, days) = (self.of("buyer")?, named("dayssincepriororder dayssincelastorder")?);
        let hour = named("orderhourofday hour orderhour");
        let hour = hour.map(|hour| format!(", hour: {}", quoted(hour))).unwrap_or_default();
        let lines = format!(
            "# The file says no dates, only days since the buyer's last order: times are counted from a day of your choice.\ntimes: {{ counted: {{ into: ordered_at, from: 2020-01-01T00:00:00Z, per: {}, days: {}{hour} }} }}\n",
            quoted(buyer),
            quoted(days)
        );
        Some(("ordered_at".to_owned(), lines))
    }

    fn yaml(&self) -> Option<String> {
        let (time, how) = self.time()?;
        let currency = self.currency();
        let code = currency.map_or_else(|| "USD".to_owned(), |currency| currency.as_str().to_owned());
        let home = HOMES.iter().find(|(known, _)| *known == code).map_or("US", |(_, home)| *home);
        let guessed = if currency.is_none() { " # nothing in the file says it" } else { "" };
        let (undone, returned) = (self.words(&UNDONE, "cancelled"), self.words(&RETURNED, "refunded"));
        let mut out = format!(
            "# Proposed from the names of columns and the first rows: look it over before you rely on it.\nname: history\ncurrency: {code}{guessed}\ntime: {}\n{how}",
            quoted(&time)
        );
        let later: Vec<String> = self.known_later(&time, &undone, &returned);
        if !later.is_empty() {
            out.push_str("# Columns are used only from when they became known.\nknown_at:\n");
            later.iter().for_each(|line| out.push_str(line));
        }
        out.push_str("supplier:\n");
        match self.of("supplier") {
            Some(column) => out.push_str(&format!("  id: {}\n", self.id(column))),
            None => {
                out.push_str("  # The file names no supplier, so it is one. To make several of a column: `{ hash: COLUMN, into: 20, prefix: s- }`.\n  id: { constant: shop }\n");
            }
        }
        out.push_str(&match self.of("region") {
            Some(column) => format!("  region: {{ column: {} }}\n", quoted(column)),
            None => format!(
                "  # Where suppliers are, by ISO 3166: no column says it, so this is a guess.\n  region: {{ constant: {home} }}\n"
            ),
        });
        out.push_str(&self.listing());
        out.push_str("events:\n");
        out.push_str(&self.placed(&time));
        out.push_str(&self.later_events(&time, &undone, &returned));
        Some(out)
    }

    fn known_later(&self, time: &str, undone: &[String], returned: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(status) = self.of("status").filter(|_| !undone.is_empty() || !returned.is_empty()) {
            // There is no stamp of it.
            lines.push(format!("  {}: {{ column: {}, plus: 7d }}\n", quoted(status), quoted(time)));
        }
        for (field, _) in LATER {
            lines.extend(self.of(field).map(|column| format!("  {0}: {{ column: {0} }}\n", quoted(column))));
        }
        lines
    }

    fn price(&self) -> Option<String> {
        match (self.of("price"), self.of("total"), self.of("quantity")) {
            (Some(price), ..) => Some(format!("{{ column: {}, round: true }}", quoted(price))),
            (None, Some(total), Some(quantity)) => {
                Some(format!("{{ column: {}, over: {} }}", quoted(total), quoted(quantity)))
            }
            (None, Some(total), None) => Some(format!("{{ column: {}, round: true }}", quoted(total))),
            _ => None,
        }
    }

    fn listing(&self) -> String {
        let (Some(sku), Some(price)) = (self.of("sku"), self.price()) else { return String::new() };
        format!(
            "listing:\n  sku: {{ column: {} }}\n  price: {price}\n  # Histories do not say how much there was.\n  on_hand: 10000\n",
            quoted(sku)
        )
    }

    /// What every event says of its order.
    fn of_order(&self) -> String {
        let mut out =
            format!("    order: {}\n", self.of("order").map(|order| self.id(order)).unwrap_or_default());
        match self.of("line") {
            Some(line) => out.push_str(&format!("    line: {}\n", self.id(line))),
            None if self.repeats_orders() => {
                out.push_str("    # An order has several rows, and no column numbers them.\n    line: { line_number: true }\n");
            }
            None => {}
        }
        if let Some(buyer) = self.of("buyer") {
            out.push_str(&format!("    buyer: {}\n", self.id(buyer)));
        }
        if let Some(quantity) = self.of("quantity") {
            out.push_str(&format!("    quantity: {}\n", quoted(quantity)));
        }
        out
    }

    fn repeats_orders(&self) -> bool {
        let Some(order) = self.of("order") else { return false };
        let mut known = std::collections::HashSet::new();
        self.cells(order).any(|cell| !known.insert(cell))
    }

    fn placed(&self, time: &str) -> String {
        let mut out = format!("  - kind: placed\n    at: {{ column: {} }}\n", quoted(time));
        if let Some(quantity) = self.of("quantity") {
            // Nought and below are no orders, whatever they are.
            out.push_str(&format!("    when: {{ column: {}, above: 0 }}\n", quoted(quantity)));
        }
        out.push_str(&self.of_order());
        let amount = match (self.of("total"), self.of("price"), self.of("quantity")) {
            (None, Some(price), Some(quantity)) => {
                Some(format!("{{ column: {}, times: {}, round: true }}", quoted(price), quoted(quantity)))
            }
            (Some(one), ..) | (None, Some(one), None) => {
                Some(format!("{{ column: {}, round: true }}", quoted(one)))
            }
            _ => None,
        };
        out.extend(amount.map(|amount| format!("    amount: {amount}\n")));
        out.extend(self.of("category").map(|category| format!("    category: {}\n", quoted(category))));
        out.extend(
            self.of("promised")
                .map(|promised| format!("    deliver_by: {{ column: {} }}\n", quoted(promised))),
        );
        out
    }

    fn later_events(&self, time: &str, undone: &[String], returned: &[String]) -> String {
        let mut out = String::new();
        let list = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let units = |out: &mut String, more: &str| out.push_str(&format!("{}{more}", self.of_order()));
        for (field, kind) in LATER {
            let Some(column) = self.of(field) else { continue };
            out.push_str(&format!("  - kind: {kind}\n    at: {{ column: {} }}\n", quoted(column)));
            if let Some(quantity) = self.of("quantity") {
                out.push_str(&format!("    when: {{ column: {}, above: 0 }}\n", quoted(quantity)));
            }
            units(
                &mut out,
                match field {
                    // Late, where the file says by when it was promised.
                    "delivered" if self.of("promised").is_some() => "    cause: carrier\n",
                    "cancelled" => {
                        "    # Whose doing it was: supplier, buyer, carrier or platform, where that is known.\n    cause: unknown\n"
                    }
                    _ => "",
                },
            );
        }
        if let Some(quantity) = self.of("quantity").filter(|quantity| self.has_negative(quantity)) {
            out.push_str("  # Negative units: taken back, as the buyer's doing.\n");
            out.push_str(&format!(
                "  - kind: cancelled\n    at: {{ column: {} }}\n    when: {{ column: {}, below: 0 }}\n",
                quoted(time),
                quoted(quantity)
            ));
            units(&mut out, "    cause: buyer\n");
        }
        let Some(status) = self.of("status") else { return out };
        for (kind, words, more) in [("cancelled", undone, "    cause: unknown\n"), ("refunded", returned, "")]
        {
            if words.is_empty() {
                continue;
            }
            out.push_str("  # There is no stamp of it: taken to be known a week after the order.\n");
            let mut when = format!("{{ column: {}, in: [{}] }}", quoted(status), list(words));
            if let Some(quantity) = self.of("quantity") {
                when = format!("[{when}, {{ column: {}, above: 0 }}]", quoted(quantity));
            }
            out.push_str(&format!(
                "  - kind: {kind}\n    at: {{ column: {}, plus: 7d }}\n    when: {when}\n",
                quoted(time)
            ));
            units(&mut out, more);
        }
        out
    }
}

#[cfg(test)]
mod tests;
