//! How the columns of an order history become suppliers, listings and events.
//!
//! Every value is used only from its own stamp on: an event at time `t` sees a column only if the column is known by
//! `t` (see `known_at`); otherwise the value is treated as absent, and counted.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use stockade_model::{Currency, OrderEventKind, OutcomeCause, Timestamp};
use stockade_rules::parse_duration_ms;

/// A mapping as written.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    /// Name of the history, for messages and event sources.
    pub(crate) name: String,
    /// Currency of all amounts.
    pub(crate) currency: Currency,
    /// The stamp that rows are sorted by; other columns are known from here on unless `known_at` says otherwise.
    pub(crate) time: String,
    /// When a column becomes known, where that is later than `time`.
    #[serde(default)]
    pub(crate) known_at: BTreeMap<String, Stamp>,
    /// Who supplies.
    pub(crate) supplier: SupplierColumns,
    /// What is listed; absent when the history has no goods.
    pub(crate) listing: Option<ListingColumns>,
    /// What happens, per row.
    pub(crate) events: Vec<EventColumns>,
    /// Which rows are frauds, as finally known: for measuring, never an input.
    #[serde(default)]
    pub(crate) fraud: Option<When>,
    /// How a file of true compromises reads: for measuring, never an input.
    #[serde(default)]
    pub(crate) truth: Option<TruthColumns>,
}

/// Columns of a file that says who was compromised when.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TruthColumns {
    /// Who.
    pub(crate) supplier: Text,
    /// Column of the first moment.
    pub(crate) from: String,
    /// Column of the moment after the last.
    pub(crate) until: String,
}

/// A time taken from a column, possibly with a delay.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stamp {
    /// A column of RFC 3339 stamps; an empty cell means never.
    pub(crate) column: String,
    /// Added to it, such as `7d`.
    #[serde(default)]
    pub(crate) plus: Option<String>,
    /// Whether it is when a label becomes known, which `--label-delay` may set instead of `plus`.
    #[serde(default)]
    pub(crate) label: bool,
}

/// A text taken from a column or given.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Text {
    /// The column of this name.
    Column {
        /// The column.
        column: String,
        /// Put before it.
        #[serde(default)]
        prefix: String,
    },
    /// This text.
    Constant {
        /// The text.
        constant: String,
    },
}

/// Who supplies.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SupplierColumns {
    /// Its id.
    pub(crate) id: Text,
    /// Its region.
    pub(crate) region: Text,
}

/// What is listed.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListingColumns {
    /// The good.
    pub(crate) sku: Text,
    /// Price of one unit, decimal.
    pub(crate) price: String,
    /// Stock that is said to be on hand when it is first seen: histories rarely have it.
    pub(crate) on_hand: i64,
}

/// One kind of event.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventColumns {
    /// What happens.
    pub(crate) kind: OrderEventKind,
    /// When.
    pub(crate) at: Stamp,
    /// Only where this column has one of these values.
    #[serde(default)]
    pub(crate) when: Option<When>,
    /// The order.
    pub(crate) order: Text,
    /// Distinguishes lines of one order.
    #[serde(default)]
    pub(crate) line: Option<Text>,
    /// The buyer.
    #[serde(default)]
    pub(crate) buyer: Option<Text>,
    /// Value of the line, decimal.
    #[serde(default)]
    pub(crate) amount: Option<String>,
    /// Whose doing.
    #[serde(default)]
    pub(crate) cause: OutcomeCause,
    /// Column of a rating.
    #[serde(default)]
    pub(crate) rating: Option<String>,
    /// Column of the kind of good.
    #[serde(default)]
    pub(crate) category: Option<String>,
    /// When the supplier has promised to hand a placed order over.
    #[serde(default)]
    pub(crate) ship_by: Option<Stamp>,
    /// When it has promised the delivery of a placed order.
    #[serde(default)]
    pub(crate) deliver_by: Option<Stamp>,
    /// Late when the event's own time is after this column's stamp.
    #[serde(default)]
    pub(crate) late_after: Option<String>,
}

/// A condition on a column.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    /// The column.
    pub(crate) column: String,
    /// Its values.
    #[serde(rename = "in")]
    pub(crate) among: Vec<String>,
}

impl Mapping {
    /// Reads the YAML of a mapping.
    pub(crate) fn parse(source: &str) -> Result<Self> {
        let mapping: Self = stockade_yaml::read(source).context("the mapping does not parse")?;
        Currency::new(mapping.currency.as_str()).context("the mapping's currency")?;
        Ok(mapping)
    }

    /// Lets labels become known so long after their column's stamp.
    pub(crate) fn delay_labels(&mut self, delay: &str) {
        let stamps = self.known_at.values_mut().chain(self.events.iter_mut().map(|event| &mut event.at));
        stamps.filter(|stamp| stamp.label).for_each(|stamp| stamp.plus = Some(delay.to_owned()));
    }
}

/// A mapping with its columns found.
pub(crate) struct Bound {
    /// As written.
    pub(crate) mapping: Mapping,
    columns: BTreeMap<String, usize>,
}

/// A row of the history.
pub(crate) struct Row<'a> {
    bound: &'a Bound,
    record: &'a csv::StringRecord,
    /// Values that were asked for before they were known.
    pub(crate) withheld: u64,
}

impl Bound {
    /// Finds every column the mapping names.
    pub(crate) fn new(mapping: Mapping, header: &csv::StringRecord) -> Result<Self> {
        let columns: BTreeMap<String, usize> =
            header.iter().enumerate().map(|(index, name)| (name.trim().to_owned(), index)).collect();
        let bound = Self { mapping, columns };
        for name in bound.named() {
            anyhow::ensure!(
                bound.columns.contains_key(&name),
                "the mapping names column {name}, the file has {}",
                header.iter().collect::<Vec<_>>().join(", ")
            );
        }
        Ok(bound)
    }

    fn named(&self) -> Vec<String> {
        let mapping = &self.mapping;
        let mut names = vec![mapping.time.clone()];
        let mut text = |text: &Text| {
            if let Text::Column { column, .. } = text {
                names.push(column.clone());
            }
        };
        text(&mapping.supplier.id);
        text(&mapping.supplier.region);
        if let Some(listing) = &mapping.listing {
            text(&listing.sku);
        }
        for event in &mapping.events {
            text(&event.order);
            event.line.iter().chain(&event.buyer).for_each(&mut text);
        }
        names.extend(mapping.listing.iter().map(|listing| listing.price.clone()));
        names.extend(mapping.fraud.iter().map(|fraud| fraud.column.clone()));
        for (column, stamp) in &mapping.known_at {
            names.extend([column.clone(), stamp.column.clone()]);
        }
        for event in &mapping.events {
            names.push(event.at.column.clone());
            names.extend(event.ship_by.iter().chain(&event.deliver_by).map(|promise| promise.column.clone()));
            names.extend(event.when.iter().map(|when| when.column.clone()));
            names.extend(
                event
                    .amount
                    .iter()
                    .chain(&event.rating)
                    .chain(&event.late_after)
                    .chain(&event.category)
                    .cloned(),
            );
        }
        names
    }

    /// A row with its columns.
    pub(crate) fn row<'a>(&'a self, record: &'a csv::StringRecord) -> Row<'a> {
        Row { bound: self, record, withheld: 0 }
    }
}

impl Row<'_> {
    /// What a column finally says, whenever that became known: for measuring only.
    pub(crate) fn finally(&self, when: &When) -> bool {
        self.cell(&when.column).is_some_and(|cell| when.among.iter().any(|value| value == cell))
    }

    fn cell(&self, column: &str) -> Option<&str> {
        let cell = self.record.get(*self.bound.columns.get(column)?)?.trim();
        (!cell.is_empty()).then_some(cell)
    }

    /// The time of a stamp; `None` when its cell is empty.
    pub(crate) fn stamp(&self, stamp: &Stamp) -> Result<Option<Timestamp>> {
        let Some(cell) = self.cell(&stamp.column) else { return Ok(None) };
        let time = Timestamp::parse(cell).with_context(|| format!("column {}", stamp.column))?;
        let plus_ms = match &stamp.plus {
            None => 0,
            Some(text) if text == "0d" => 0,
            Some(text) => parse_duration_ms(text)
                .with_context(|| format!("`plus: {text}` is not a duration such as 7d"))?,
        };
        Ok(Some(time.plus_ms(plus_ms)))
    }

    /// The time that a stamp promises, as of `now`: absent until its column is known.
    pub(crate) fn promise(&mut self, stamp: Option<&Stamp>, now: Timestamp) -> Result<Option<Timestamp>> {
        let Some(stamp) = stamp else { return Ok(None) };
        if self.value(&stamp.column, now)?.is_none() {
            return Ok(None);
        }
        self.stamp(stamp)
    }

    /// The stamp that rows are sorted by.
    pub(crate) fn time(&self) -> Result<Timestamp> {
        let column = self.bound.mapping.time.clone();
        self.stamp(&Stamp { column: column.clone(), plus: None, label: false })?
            .with_context(|| format!("column {column} is empty"))
    }

    /// The value of a column as of `now`: absent until it is known.
    pub(crate) fn value(&mut self, column: &str, now: Timestamp) -> Result<Option<String>> {
        if let Some(stamp) = self.bound.mapping.known_at.get(column) {
            let known = self.stamp(stamp)?;
            if known.is_none_or(|known| known > now) {
                self.withheld += u64::from(self.cell(column).is_some());
                return Ok(None);
            }
        }
        Ok(self.cell(column).map(str::to_owned))
    }

    /// A text as of `now`.
    pub(crate) fn text(&mut self, text: &Text, now: Timestamp) -> Result<Option<String>> {
        match text {
            Text::Constant { constant } => Ok(Some(constant.clone())),
            Text::Column { column, prefix } => {
                Ok(self.value(column, now)?.map(|value| format!("{prefix}{value}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_absent_before_its_own_stamp_and_counted() {
        let mapping = Mapping::parse(
            "{name: t, currency: EUR, time: at, known_at: {status: {column: done, plus: 1d}},
              supplier: {id: {column: who}, region: {constant: DE}}, events: []}",
        )
        .unwrap();
        let header = csv::StringRecord::from(vec!["at", "who", "status", "done"]);
        let bound = Bound::new(mapping, &header).unwrap();
        let record =
            csv::StringRecord::from(vec!["2020-01-01T00:00:00Z", "a", "canceled", "2020-01-05T00:00:00Z"]);
        let mut row = bound.row(&record);
        let day = |day: &str| Timestamp::parse(&format!("2020-01-{day}T00:00:00Z")).unwrap();
        assert_eq!(row.value("status", day("05")).unwrap(), None);
        assert_eq!(row.value("status", day("06")).unwrap().as_deref(), Some("canceled"));
        assert_eq!((row.withheld, row.value("who", day("01")).unwrap().as_deref()), (1, Some("a")));
    }

    #[test]
    fn a_mapping_in_no_currency_is_refused() {
        let of = |currency: &str| {
            let rest = "time: at, supplier: {id: {column: a}, region: {constant: DE}}, events: []";
            Mapping::parse(&format!("{{name: t, currency: {currency}, {rest}}}"))
        };
        assert!(of("KWD").is_ok());
        let error = format!("{:#}", of("ZZZ").unwrap_err());
        assert!(error.contains("ZZZ is no currency"), "{error}");
    }

    #[test]
    fn a_column_that_is_not_there_is_refused() {
        let mapping = Mapping::parse(
            "{name: t, currency: EUR, time: nope, supplier: {id: {column: a}, region: {constant: DE}}, events: []}",
        );
        let header = csv::StringRecord::from(vec!["a", "b"]);
        let error = Bound::new(mapping.unwrap(), &header).err().unwrap().to_string();
        assert!(error.contains("nope") && error.contains("a, b"), "{error}");
    }
}
