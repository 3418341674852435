//! How the columns of an order history become suppliers, listings and events.
//!
//! Every value is used only from its own stamp on: an event at time `t` sees a column only if the column is known by
//! `t` (see `known_at`); otherwise the value is treated as absent, and counted.

use std::{borrow::Cow, collections::BTreeMap};

use anyhow::{Context as _, Result};
use rustc_hash::FxHashMap;
use stockade_imports::{Decimal, Encoding, decimal, folded, without_currency};
use stockade_model::{Currency, OrderEventKind, OutcomeCause, Timestamp, hash};
use stockade_rules::parse_duration_ms;

use crate::{
    expressions::{Condition, Exact, Number, Source, Text, When},
    join::Join,
    refusals::{Refusal, shown},
    rows::Written,
    times::{Reading, Times, is_of_our_time},
};

/// A mapping as written.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Name of the history, for messages and event sources.
    pub name: String,
    /// Currency of all amounts.
    pub currency: Currency,
    /// The stamp that rows are in order of; other columns are known from here on unless `known_at` says otherwise.
    pub time: String,
    /// How the file is written, where that is not found out.
    #[serde(default)]
    pub(crate) reading: Declared,
    /// How times are written.
    #[serde(default)]
    pub(crate) times: Times,
    /// Files by the name that the mapping has for them, where a history is several.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Which of the files has the rows.
    #[serde(default)]
    pub(crate) rows: Option<String>,
    /// What is looked up in the others, one after the other.
    #[serde(default)]
    pub(crate) joins: Vec<Join>,
    /// Rows that are no orders: passed over and counted, not refused.
    #[serde(default)]
    pub leave_out: Option<When>,
    /// When a column becomes known, where that is later than `time`.
    #[serde(default)]
    pub(crate) known_at: BTreeMap<String, Stamp>,
    /// Who supplies.
    pub supplier: SupplierColumns,
    /// What is listed; absent when the history has no goods.
    pub listing: Option<ListingColumns>,
    /// What happens, per row.
    pub events: Vec<EventColumns>,
    /// Which rows are frauds, as finally known: for measuring, never an input.
    #[serde(default)]
    pub fraud: Option<When>,
    /// How a file of true compromises reads: for measuring, never an input.
    #[serde(default)]
    pub truth: Option<TruthColumns>,
}

/// How a file is written.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declared {
    /// utf-8, utf-16le, utf-16be, windows-1252 or latin-1.
    #[serde(default)]
    encoding: Option<String>,
    /// One character, or `tab`.
    #[serde(default)]
    delimiter: Option<String>,
    /// What stands before decimals: `point` or `comma`.
    #[serde(default)]
    pub(crate) decimal: Decimal,
}

impl Declared {
    pub(crate) fn written(&self) -> Result<Written> {
        let encoding = self.encoding.as_deref().map(|name| {
            Encoding::named(name).with_context(|| {
                format!("the mapping's `encoding: {name}` is none of utf-8, utf-16le, utf-16be, windows-1252 and latin-1")
            })
        });
        let delimiter = self.delimiter.as_deref().map(|mark| match mark {
            "tab" | "\\t" | "\t" => Ok(b'\t'),
            "," | ";" | "|" => Ok(mark.as_bytes()[0]),
            _ => anyhow::bail!("the mapping's `delimiter: {mark}` is none of `,`, `;`, `|` and tab"),
        });
        Ok(Written { encoding: encoding.transpose()?, delimiter: delimiter.transpose()? })
    }
}

/// Columns of a file that says who was compromised when.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruthColumns {
    /// Who.
    pub supplier: Text,
    /// Column of the first moment.
    pub from: String,
    /// Column of the moment after the last.
    pub until: String,
}

/// A time taken from a column, possibly with a delay.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// A column of times; an empty cell means never.
    pub column: String,
    /// Added to it, such as `7d`.
    #[serde(default)]
    pub plus: Option<String>,
    /// Whether it is when a label becomes known, which `--label-delay` may set instead of `plus`.
    #[serde(default)]
    pub label: bool,
}

/// Who supplies.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplierColumns {
    /// Its id.
    pub id: Text,
    /// Its region.
    pub region: Text,
}

/// What is listed.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingColumns {
    /// The good.
    pub sku: Text,
    /// Price of one unit, decimal.
    pub price: Number,
    /// Stock that is said to be on hand when it is first seen: histories rarely have it.
    pub on_hand: i64,
}

/// One kind of event.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventColumns {
    /// What happens.
    pub kind: OrderEventKind,
    /// When.
    pub at: Stamp,
    /// Only where this holds.
    #[serde(default)]
    pub when: Option<When>,
    /// The order.
    pub order: Text,
    /// Distinguishes lines of one order.
    #[serde(default)]
    pub line: Option<Text>,
    /// The buyer.
    #[serde(default)]
    pub buyer: Option<Text>,
    /// Units, of which the sign does not count: what a negative one means, `when` and `kind` say. One when absent.
    #[serde(default)]
    pub quantity: Option<Number>,
    /// Value of the line, decimal.
    #[serde(default)]
    pub amount: Option<Number>,
    /// Whose doing.
    #[serde(default)]
    pub cause: OutcomeCause,
    /// Column of a rating.
    #[serde(default)]
    pub rating: Option<String>,
    /// The kind of good.
    #[serde(default)]
    pub category: Option<Text>,
    /// When the supplier has promised to hand a placed order over.
    #[serde(default)]
    pub ship_by: Option<Stamp>,
    /// When it has promised the delivery of a placed order.
    #[serde(default)]
    pub deliver_by: Option<Stamp>,
    /// Late when the event's own time is after this column's stamp.
    #[serde(default)]
    pub late_after: Option<String>,
    /// Late when this holds.
    #[serde(default)]
    pub late_when: Option<When>,
}

impl Mapping {
    /// Reads the YAML of a mapping.
    ///
    /// # Errors
    /// What is wrong with it, with its line and column where it does not parse.
    pub fn parse(source: &str) -> Result<Self> {
        let mapping: Self = stockade_yaml::read(source).context("the mapping does not parse")?;
        Currency::new(mapping.currency.as_str()).context("the mapping's currency")?;
        mapping.times.check().context("the mapping's `times`")?;
        mapping.reading.written()?;
        for stamp in mapping.stamps() {
            if let Some(plus) = stamp.plus.as_deref().filter(|plus| *plus != "0d") {
                parse_duration_ms(plus)
                    .with_context(|| format!("`plus: {plus}` is not a duration such as 7d"))?;
            }
        }
        if mapping.files.is_empty() {
            anyhow::ensure!(
                mapping.joins.is_empty() && mapping.rows.is_none(),
                "the mapping has `joins` or `rows` but no `files`: name each file, such as `files: {{ orders: orders.csv }}`"
            );
        }
        let known = || mapping.files.keys().cloned().collect::<Vec<_>>().join(", ");
        for name in mapping.rows.iter().chain(mapping.joins.iter().map(|join| &join.file)) {
            anyhow::ensure!(
                mapping.files.contains_key(name),
                "the mapping's `files` has no {name}; it has {}",
                known()
            );
        }
        anyhow::ensure!(
            mapping.files.is_empty() || mapping.rows.is_some(),
            "the mapping has several `files` and does not say which has the rows: add `rows:` with one of {}",
            known()
        );
        Ok(mapping)
    }

    fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        let events = self
            .events
            .iter()
            .flat_map(|event| std::iter::once(&event.at).chain(&event.ship_by).chain(&event.deliver_by));
        self.known_at.values().chain(events)
    }

    /// Lets labels become known so long after their column's stamp.
    pub fn delay_labels(&mut self, delay: &str) {
        let stamps = self.known_at.values_mut().chain(self.events.iter_mut().map(|event| &mut event.at));
        stamps.filter(|stamp| stamp.label).for_each(|stamp| stamp.plus = Some(delay.to_owned()));
    }

    /// Columns of times, the one that rows are in order of first.
    pub(crate) fn time_columns(&self) -> Vec<String> {
        let mut names = vec![self.time.clone()];
        names.extend(self.stamps().map(|stamp| stamp.column.clone()));
        names.extend(self.events.iter().filter_map(|event| event.late_after.clone()));
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    /// Columns of numbers.
    pub(crate) fn number_columns(&self) -> Vec<String> {
        let listing = self.listing.iter().flat_map(|listing| listing.price.columns());
        let events = self.events.iter().flat_map(|event| event.amount.iter().chain(&event.quantity));
        let ratings = self.events.iter().filter_map(|event| event.rating.clone());
        let compared = self.whens().flat_map(|when| &when.0).filter(|test| test.is_numeric());
        let compared = compared.map(|test| test.column.clone());
        listing.chain(events.flat_map(Number::columns)).chain(ratings).chain(compared).collect()
    }

    fn whens(&self) -> impl Iterator<Item = &When> {
        let of_events = self.events.iter().flat_map(|event| event.when.iter().chain(&event.late_when));
        self.fraud.iter().chain(&self.leave_out).chain(of_events)
    }

    /// Columns of a file with this header that it makes nothing of. None where a history is several files, of which one header
    /// says little.
    pub fn unused(&self, header: &[String]) -> Vec<String> {
        if !self.files.is_empty() {
            return Vec::new();
        }
        let mut names = self.columns();
        if let Some(counted) = &self.times.counted {
            names.extend([&counted.per, &counted.days].into_iter().chain(&counted.hour).cloned());
        }
        let used: std::collections::HashSet<usize> =
            names.iter().filter_map(|name| place_of(name, header).ok()).collect();
        let unused =
            header.iter().enumerate().filter(|(at, name)| !used.contains(at) && !name.trim().is_empty());
        unused.map(|(_, name)| name.clone()).collect()
    }

    /// Every column it names.
    pub(crate) fn columns(&self) -> Vec<String> {
        let mut names = self.time_columns();
        names.extend(self.number_columns());
        names.extend(self.known_at.keys().chain(self.times.columns.keys()).cloned());
        let mut texts = vec![&self.supplier.id, &self.supplier.region];
        texts.extend(self.listing.iter().map(|listing| &listing.sku));
        for event in &self.events {
            texts.push(&event.order);
            texts.extend(event.line.iter().chain(&event.buyer).chain(&event.category));
            names.extend(event.rating.clone());
        }
        texts.into_iter().for_each(|text| text.columns(&mut names));
        names.extend(self.whens().flat_map(|when| when.0.iter().map(|test| test.column.clone())));
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

/// The place of a column in a header: exactly as written, else without regard to case, blanks and punctuation.
///
/// # Errors
/// The file lacks it, with the nearest it has; or it has it twice.
pub(crate) fn place_of(name: &str, header: &[String]) -> Result<usize> {
    let exact = |known: &&String| known.trim() == name.trim();
    let loose = |known: &&String| folded(known) == folded(name);
    let count = |fits: &dyn Fn(&&String) -> bool| header.iter().filter(fits).count();
    let found = match (count(&exact), count(&loose)) {
        (1, _) => header.iter().position(|known| exact(&known)),
        (0, 1) => header.iter().position(|known| loose(&known)),
        (0, 0) => None,
        _ => anyhow::bail!(
            "the header has the column {name} more than once, and the mapping needs it; rename or remove one"
        ),
    };
    found.with_context(|| {
        let distance = |known: &&String| strsim::levenshtein(&folded(known), &folded(name));
        let nearest = header.iter().min_by_key(distance).filter(|known| {
            distance(known) * 2 <= folded(name).chars().count().max(2)
                || folded(known).contains(&folded(name))
                || folded(name).contains(&folded(known)) && folded(known).len() > 2
        });
        let hint = nearest.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        shown(&format!("the mapping names column {name}, the file has {}{hint}", header.join(", ")))
    })
}

/// A mapping with its columns found.
pub struct Bound {
    /// As written.
    pub mapping: Mapping,
    columns: FxHashMap<String, Column>,
    decimal: Decimal,
    time: usize,
}

struct Column {
    at: usize,
    time: Option<Reading>,
    /// When it becomes known, where that is later than the row.
    known: Option<Stamp>,
}

/// A row of the history.
pub struct Row<'a> {
    bound: &'a Bound,
    record: &'a csv::StringRecord,
    line: u64,
    /// Values that were asked for before they were known.
    pub withheld: u64,
}

impl Bound {
    /// Finds every column the mapping names; `times` says how each column of times is read.
    pub(crate) fn new(
        mapping: Mapping,
        header: &[String],
        mut times: BTreeMap<String, Reading>,
        decimal: Decimal,
    ) -> Result<Self> {
        // By place, for a column may be named in several ways: none of them may see it before it is known.
        let mut known: FxHashMap<usize, &Stamp> = FxHashMap::default();
        for (name, stamp) in &mapping.known_at {
            let at = place_of(name, header)?;
            anyhow::ensure!(
                known.insert(at, stamp).is_none(),
                "the mapping's `known_at` has the column {} more than once; keep one of them",
                header[at]
            );
        }
        let mut columns = FxHashMap::default();
        for name in mapping.columns() {
            let at = place_of(&name, header)?;
            let time = times.remove(&name);
            columns.insert(name, Column { at, time, known: known.get(&at).copied().cloned() });
        }
        let time = place_of(&mapping.time, header)?;
        Ok(Self { mapping, columns, decimal, time })
    }

    /// A row with its columns.
    pub fn row<'a>(&'a self, record: &'a csv::StringRecord, line: u64) -> Row<'a> {
        Row { bound: self, record, line, withheld: 0 }
    }
}

/// Why a value is not taken.
type Taken<T> = std::result::Result<T, Refusal>;

impl<'a> Row<'a> {
    /// What a column finally says, whenever that became known: for measuring, and for rows that are no orders.
    ///
    /// # Errors
    /// A cell that is compared with a number is none.
    pub fn finally(&self, when: &When) -> Taken<bool> {
        for test in &when.0 {
            if !self.test(test)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn test(&self, test: &Condition) -> Taken<bool> {
        test.holds(self.cell(&test.column), |cell| {
            let plain = self.plain_of(&test.column, cell)?;
            let detail = "this is no number; correct the cell, or compare another column";
            plain.parse().map_err(|_| Refusal::new(&test.column, cell, "not_a_number", detail))
        })
    }

    /// Whether conditions hold as of `now`: of a value that is not known yet none does.
    ///
    /// # Errors
    /// A cell that is known and compared with a number is none.
    pub fn holds(&mut self, when: &When, now: Timestamp) -> Taken<bool> {
        for test in &when.0 {
            if !self.is_known(&test.column, now)? || !self.test(test)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn cell(&self, column: &str) -> Option<&'a str> {
        self.cell_at(self.bound.columns.get(column)?.at)
    }

    fn cell_at(&self, at: usize) -> Option<&'a str> {
        let cell = self.record.get(at)?.trim();
        (!cell.is_empty()).then_some(cell)
    }

    fn moment(&self, column: &str) -> Taken<Option<Timestamp>> {
        let Some(found) = self.bound.columns.get(column) else { return Ok(None) };
        let Some(cell) = self.cell_at(found.at) else { return Ok(None) };
        let time = found.time.as_ref().and_then(|time| time.read(cell));
        if time.is_some_and(is_of_our_time) {
            return Ok(time);
        }
        let format = found.time.as_ref().map_or("rfc3339", |time| time.format.as_str());
        let detail = match time {
            Some(time) => format!(
                "read as {format} this is {time}, and orders are of 1970 to 2200; correct it, or declare the column's format under `times` in the mapping, such as epoch_s, epoch_ms or d.m.yyyy"
            ),
            None => format!(
                "this is no time in the form {format}; correct it, or declare the column's format under `times` in the mapping"
            ),
        };
        Err(Refusal::new(column, cell, "bad_time", detail))
    }

    /// The time of a stamp; `None` when its cell is empty.
    ///
    /// # Errors
    /// What stands there is no time in the column's format.
    pub fn stamp(&self, stamp: &Stamp) -> Taken<Option<Timestamp>> {
        let plus_ms = stamp.plus.as_deref().and_then(parse_duration_ms).unwrap_or(0);
        Ok(self.moment(&stamp.column)?.map(|time| time.plus_ms(plus_ms)))
    }

    /// The time that a stamp promises, as of `now`: absent until its column is known.
    pub fn promise(&mut self, stamp: Option<&Stamp>, now: Timestamp) -> Taken<Option<Timestamp>> {
        let Some(stamp) = stamp else { return Ok(None) };
        if !self.is_known(&stamp.column, now)? {
            return Ok(None);
        }
        self.stamp(stamp)
    }

    /// The stamp that rows are in order of.
    pub fn time(&self) -> Taken<Timestamp> {
        let column = &self.bound.mapping.time;
        let missing = || {
            let detail = "the time is missing, so nothing can be said of this row; fill it in, or name another column as `time`";
            Refusal::new(column, "", "missing_time", detail)
        };
        if self.cell_at(self.bound.time).is_none() {
            return Err(missing());
        }
        self.moment(column)?.ok_or_else(missing)
    }

    fn is_known(&mut self, column: &str, now: Timestamp) -> Taken<bool> {
        let bound = self.bound;
        if let Some(stamp) = bound.columns.get(column).and_then(|column| column.known.as_ref()) {
            let known = self.stamp(stamp)?;
            if known.is_none_or(|known| known > now) {
                self.withheld += u64::from(self.cell(column).is_some());
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The value of a column as of `now`: absent until it is known.
    pub fn value(&mut self, column: &str, now: Timestamp) -> Taken<Option<&'a str>> {
        Ok(if self.is_known(column, now)? { self.cell(column) } else { None })
    }

    /// The time that a column says as of `now`.
    pub fn time_of(&mut self, column: &str, now: Timestamp) -> Taken<Option<Timestamp>> {
        if self.is_known(column, now)? { self.moment(column) } else { Ok(None) }
    }

    /// A text as of `now`.
    pub fn text(&mut self, text: &Text, now: Timestamp) -> Taken<Option<String>> {
        let found = match &text.source {
            Source::Constant(constant) => Some(constant.clone()),
            Source::Column(column) => self.value(column, now)?.map(str::to_owned),
            Source::Line => Some(self.line.to_string()),
            Source::Hash { column, into } => {
                self.value(column, now)?.map(|value| (hash::stable64(value) % into).to_string())
            }
            Source::Join(texts, between) => {
                let mut parts = Vec::with_capacity(texts.len());
                for text in texts {
                    parts.extend(self.text(text, now)?);
                }
                (parts.len() == texts.len()).then(|| parts.join(between))
            }
            Source::FirstOf(texts) => {
                let mut found = None;
                for text in texts {
                    if found.is_none() {
                        found = self.text(text, now)?;
                    }
                }
                found
            }
        };
        Ok(text.finish(found))
    }

    /// A number as of `now`, as a plain decimal with at most `places` where it is reckoned or rounded.
    ///
    /// # Errors
    /// What stands there is no number, or may be read in two ways.
    pub fn number(&mut self, number: &Number, places: u32, now: Timestamp) -> Taken<Option<Cow<'a, str>>> {
        let Some(first) = self.plain(&number.column, now)? else {
            return Ok(number.default.clone().map(Cow::Owned));
        };
        if number.is_plain() {
            return Ok(Some(first));
        }
        let no_result = || {
            let detail = "this number is too long to be reckoned with; correct the cell";
            Refusal::new(&number.column, &first, "not_a_number", detail)
        };
        let mut exact = Exact::parse(&first).ok_or_else(no_result)?;
        let factors = [(&number.times, true), (&number.over, false)];
        for (column, multiplies) in factors.into_iter().filter_map(|(c, m)| c.as_ref().map(|c| (c, m))) {
            let Some(other) = self.plain(column, now)? else { return Ok(None) };
            let other = Exact::parse(&other).ok_or_else(no_result)?;
            // The price of one of no units is not known, which is no fault of the row.
            if !multiplies && other.is_nought() {
                return Ok(None);
            }
            let reckoned = if multiplies { exact.times(other) } else { exact.over(other) };
            exact = reckoned.ok_or_else(no_result)?;
        }
        let exact = if number.round || number.over.is_some() { exact.rounded(places) } else { exact };
        Ok(Some(Cow::Owned(exact.to_string())))
    }

    /// The number of a column as of `now`, as a plain decimal; `None` where the cell is empty.
    ///
    /// # Errors
    /// What stands there is no number, or may be read in two ways.
    pub fn plain(&mut self, column: &str, now: Timestamp) -> Taken<Option<Cow<'a, str>>> {
        let cell = self.value(column, now)?;
        cell.map(|cell| self.plain_of(column, cell)).transpose()
    }

    /// A cell as a plain decimal: one way for amounts, units, ratings and conditions.
    fn plain_of<'c>(&self, column: &str, cell: &'c str) -> Taken<Cow<'c, str>> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, fraction) = cell.split_once('.').unwrap_or((cell, "0"));
        if self.bound.decimal == Decimal::Point && digits(whole) && digits(fraction) {
            return Ok(Cow::Borrowed(cell));
        }
        let wrong = |(code, detail): (&'static str, String)| Refusal::new(column, cell, code, detail);
        // Programs write 1.0E-2 where they mean 0.01; nothing is lost by that.
        if let Some(plain) = from_exponent(cell) {
            return Ok(Cow::Owned(plain));
        }
        let (number, beside) = without_currency(cell).map_err(wrong)?;
        let currency = self.bound.mapping.currency;
        if let Some(beside) = beside.filter(|beside| *beside != currency) {
            let detail = format!(
                "the amount is in {}, the mapping says {}; leave such rows out, or convert them",
                beside.as_str(),
                currency.as_str()
            );
            return Err(Refusal::new(column, cell, "currency_mismatch", detail));
        }
        let plain = decimal(&number, self.bound.decimal).map_err(|(code, detail)| {
            let detail = detail.replace("in the mapping", "under `reading` in the mapping");
            Refusal::new(column, cell, code, detail)
        })?;
        Ok(Cow::Owned(plain))
    }

    /// Units as of `now`, without their sign; `None` where the cell is empty.
    ///
    /// # Errors
    /// What stands there is no whole number, or nought.
    pub fn units(&mut self, number: &Number, now: Timestamp) -> Taken<Option<u64>> {
        let Some(plain) = self.number(number, 0, now)? else { return Ok(None) };
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        let wrong = |detail: &str| Refusal::new(&number.column, &plain, "bad_quantity", detail);
        if fraction.bytes().any(|digit| digit != b'0') {
            return Err(wrong("units are whole; correct the number, or name another column as `quantity`"));
        }
        match whole.trim_start_matches('-').parse() {
            Ok(0) => Err(wrong("nought units are no order; leave such rows out with `leave_out` or `when`")),
            Ok(units) => Ok(Some(units)),
            Err(_) => Err(wrong("this is no number of units; correct it")),
        }
    }
}

/// A number in the form `1.5E-3` with nothing lost, as a plain decimal.
fn from_exponent(cell: &str) -> Option<String> {
    let (mantissa, exponent) = cell.split_once(['E', 'e'])?;
    let exponent: i32 = exponent.parse().ok().filter(|exponent| (-12..=0).contains(exponent))?;
    let value = Exact::parse(mantissa).filter(|_| mantissa.bytes().any(|byte| byte.is_ascii_digit()))?;
    let scale = Exact::parse(&format!("0.{:0>width$}1", "", width = (-exponent).max(1) as usize - 1))?;
    if exponent == 0 { Some(value.to_string()) } else { value.times(scale).map(|value| value.to_string()) }
}

#[cfg(test)]
mod tests;
