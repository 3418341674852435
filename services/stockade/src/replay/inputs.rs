//! The history as a stream of inputs in event time: rows are read once, and what they promise for later waits in a heap.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    fs::File,
    io::{BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use stockade_inventory::http::{event_from_cloudevent, listing_put};
use stockade_model::{
    Change, ControlRecord, Currency, LocationId, LocationPut, Money, OrderEvent, OrderEventKind,
    OutcomeCause, Region, Row as InventoryRow, SupplierId, SupplierProfile, Timestamp,
};

use super::mapping::{Bound, EventColumns, Mapping};

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A supplier begins to trade.
    Register(ControlRecord),
    /// A supplier says something about its inventory.
    Rows(SupplierId, Vec<InventoryRow>),
    /// An order system says something.
    Event(OrderEvent),
}

/// An input that waits for its time.
struct Waiting {
    at: Timestamp,
    number: u64,
    /// The CloudEvent as it is sent: a history has millions that wait at once.
    event: Box<[u8]>,
}

/// A CloudEvent about an order.
#[derive(serde::Serialize)]
struct Told<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    time: Timestamp,
    data: Data<'a>,
}

#[derive(serde::Serialize)]
struct Data<'a> {
    supplier: Option<&'a str>,
    order: Option<String>,
    line: Option<String>,
    buyer: Option<String>,
    listing: Option<&'a str>,
    sku: Option<&'a str>,
    quantity: u8,
    amount: Option<Amount>,
    cause: OutcomeCause,
    rating: Option<u8>,
    late: bool,
    category: Option<String>,
    ship_by: Option<Timestamp>,
    deliver_by: Option<Timestamp>,
}

/// An amount; one that is none stays as it is written, so that the event is refused with it.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Amount {
    Known(Money),
    Written(String),
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The stream.
pub(crate) struct Inputs {
    bound: Arc<Bound>,
    records: csv::Reader<Box<dyn Read + Send>>,
    read_bytes: Arc<AtomicU64>,
    next_row: Option<csv::StringRecord>,
    row_number: u64,
    row_time: Timestamp,
    waiting: BinaryHeap<Reverse<Waiting>>,
    made: u64,
    ready: std::collections::VecDeque<(Timestamp, Input)>,
    suppliers: HashSet<SupplierId>,
    prices: HashMap<(SupplierId, String), i64>,
    /// Orders that finally turned out to be frauds, with their suppliers: for measuring, never an input.
    pub(crate) frauds: HashSet<(SupplierId, String)>,
    /// Rows or events that the API's validation refused.
    pub(crate) refused: u64,
    /// Why, for the first few.
    pub(crate) refusals: Vec<String>,
    /// Values asked for before they were known.
    pub(crate) withheld: u64,
}

/// Counts what passes through.
struct Counting<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Inputs {
    /// Opens a CSV file, gzipped or not.
    pub(crate) fn open(path: &Path, mapping: Mapping) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let read_bytes = Arc::new(AtomicU64::new(0));
        let counted = Counting(BufReader::with_capacity(1 << 16, file), read_bytes.clone());
        let text: Box<dyn Read + Send> = if path.extension().is_some_and(|extension| extension == "gz") {
            Box::new(flate2::read::MultiGzDecoder::new(counted))
        } else {
            Box::new(counted)
        };
        let mut records = csv::Reader::from_reader(text);
        let header = records.headers().context("the file has no header")?.clone();
        let mut inputs = Self {
            bound: Arc::new(Bound::new(mapping, &header)?),
            records,
            read_bytes,
            next_row: None,
            row_number: 0,
            row_time: Timestamp::default(),
            waiting: BinaryHeap::new(),
            made: 0,
            ready: Default::default(),
            suppliers: HashSet::new(),
            prices: HashMap::new(),
            frauds: HashSet::new(),
            refused: 0,
            refusals: Vec::new(),
            withheld: 0,
        };
        inputs.read_row()?;
        Ok(inputs)
    }

    /// Bytes of the file read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }
    /// Rows read so far.
    pub(crate) fn rows(&self) -> u64 {
        self.row_number
    }
    /// Time of the last row read.
    pub(crate) fn last_row_time(&self) -> Timestamp {
        self.row_time
    }
    /// Suppliers seen so far.
    pub(crate) fn suppliers(&self) -> usize {
        self.suppliers.len()
    }

    fn read_row(&mut self) -> Result<()> {
        let mut record = csv::StringRecord::new();
        let more = self
            .records
            .read_record(&mut record)
            .with_context(|| format!("after row {}", self.row_number))?;
        self.next_row = more.then_some(record);
        let Some(record) = &self.next_row else { return Ok(()) };
        self.row_number += 1;
        let time = self.bound.row(record).time().with_context(|| format!("row {}", self.row_number))?;
        anyhow::ensure!(
            time >= self.row_time,
            "row {} goes back in time; sort the file by {}",
            self.row_number,
            self.bound.mapping.time
        );
        self.row_time = time;
        Ok(())
    }

    fn refuse(&mut self, what: String) {
        self.refused += 1;
        if self.refusals.len() < 20 {
            self.refusals.push(what);
        }
    }

    /// What a row says about its supplier and listing, now, and the events it promises.
    fn take_row(&mut self, record: &csv::StringRecord) -> Result<()> {
        let now = self.row_time;
        let bound = self.bound.clone();
        let mapping = &bound.mapping;
        let mut row = bound.row(record);
        let id = row.text(&mapping.supplier.id, now)?;
        let region = row.text(&mapping.supplier.region, now)?;
        let sku = mapping.listing.as_ref().map(|listing| row.text(&listing.sku, now)).transpose()?.flatten();
        let price =
            mapping.listing.as_ref().map(|listing| row.value(&listing.price, now)).transpose()?.flatten();
        let mut events = Vec::new();
        for event in &mapping.events {
            if let Some(at) = row.stamp(&event.at)? {
                events.extend(
                    describe(&mut row, mapping, event, at, id.as_deref(), sku.as_deref())?
                        .map(|body| (at, body)),
                );
            }
        }
        let fraud = mapping.fraud.as_ref().is_some_and(|fraud| row.finally(fraud));
        let placed = mapping.events.iter().find(|event| event.kind == OrderEventKind::Placed);
        let order = placed.map(|placed| row.text(&placed.order, now)).transpose()?.flatten();
        let (withheld, number) = (row.withheld, self.row_number);
        self.withheld += withheld;
        let supplier = match id.as_deref().map(SupplierId::new) {
            Some(Ok(supplier)) => supplier,
            Some(Err(error)) => {
                return {
                    self.refuse(format!("row {number}: {error}"));
                    Ok(())
                };
            }
            None => {
                return {
                    self.refuse(format!("row {number}: no supplier"));
                    Ok(())
                };
            }
        };
        self.frauds.extend(order.filter(|_| fraud).map(|order| (supplier.clone(), order)));
        let first_sight = !self.suppliers.contains(&supplier);
        match region.as_deref().map(Region::new) {
            Some(Ok(region)) if first_sight => self.register(&supplier, region, now)?,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                return {
                    self.refuse(format!("row {number}: {error}"));
                    Ok(())
                };
            }
            None => {
                return {
                    self.refuse(format!("row {number}: no region"));
                    Ok(())
                };
            }
        }
        if let (Some(listing), Some(sku), Some(price)) = (&mapping.listing, sku, price) {
            self.list(&supplier, &sku, &price, listing.on_hand, mapping.currency, now);
        }
        for (at, body) in events {
            // An event that seems to precede its own row happens when the row is known.
            self.waiting.push(Reverse(Waiting { at: at.max(now), number: self.made, event: body.into() }));
            self.made += 1;
        }
        Ok(())
    }

    fn register(&mut self, supplier: &SupplierId, region: Region, now: Timestamp) -> Result<()> {
        self.suppliers.insert(supplier.clone());
        let profile = SupplierProfile {
            supplier: supplier.clone(),
            name: supplier.to_string(),
            region,
            since: now,
            class: stockade_model::control::standard_class(),
            stock_counts: Default::default(),
        };
        let record = ControlRecord { actor: "replay".to_owned(), change: Change::Supplier { profile } };
        self.ready.push_back((now, Input::Register(record)));
        let location = LocationPut {
            location: LocationId::new("main")?,
            gln: None,
            latitude: 0.0,
            longitude: 0.0,
            region,
            handling_days: 1,
        };
        self.ready.push_back((now, Input::Rows(supplier.clone(), vec![InventoryRow::Location(location)])));
        Ok(())
    }

    /// A listing is put when it is first seen and whenever its price has changed.
    fn list(
        &mut self,
        supplier: &SupplierId,
        sku: &str,
        price: &str,
        on_hand: i64,
        currency: Currency,
        now: Timestamp,
    ) {
        let number = self.row_number;
        let Money { minor, .. } = match Money::from_decimal(price, currency) {
            Ok(price) => price,
            Err(error) => return self.refuse(format!("row {number}: price: {error}")),
        };
        let first = match self.prices.insert((supplier.clone(), sku.to_owned()), minor) {
            Some(known) if known == minor => return,
            known => known.is_none(),
        };
        match listing_put(sku, sku, None, "main", (minor, currency.as_str()), first.then_some(on_hand)) {
            Ok(put) => {
                self.ready.push_back((now, Input::Rows(supplier.clone(), vec![InventoryRow::Put(put)])))
            }
            Err(errors) => self.refuse(format!("row {number}: {errors:?}")),
        }
    }

    /// The next input with its time, in order of time.
    pub(crate) fn next(&mut self) -> Result<Option<(Timestamp, Input)>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let due = self.waiting.peek().map(|Reverse(waiting)| waiting.at);
            let row_is_next = self.next_row.is_some() && due.is_none_or(|due| self.row_time <= due);
            if row_is_next {
                if let Some(record) = self.next_row.take() {
                    self.take_row(&record)?;
                }
                self.read_row()?;
                continue;
            }
            let Some(Reverse(Waiting { at, event, .. })) = self.waiting.pop() else { return Ok(None) };
            match event_from_cloudevent(&event, at) {
                Ok(event) => return Ok(Some((at, Input::Event(event)))),
                Err(errors) => {
                    let event: serde_json::Value = serde_json::from_slice(&event)?;
                    self.refuse(format!("event {}: {errors:?}", event["id"]));
                }
            }
        }
    }
}

/// The CloudEvent of a row, as an order system would send it; `None` where its condition does not hold.
fn describe(
    row: &mut super::mapping::Row<'_>,
    mapping: &Mapping,
    event: &EventColumns,
    at: Timestamp,
    supplier: Option<&str>,
    sku: Option<&str>,
) -> Result<Option<Vec<u8>>> {
    if let Some(when) = &event.when {
        let value = row.value(&when.column, at)?;
        if !value.is_some_and(|value| when.among.contains(&value)) {
            return Ok(None);
        }
    }
    let order = row.text(&event.order, at)?;
    let line = event.line.as_ref().map(|line| row.text(line, at)).transpose()?.flatten();
    let buyer = event.buyer.as_ref().map(|buyer| row.text(buyer, at)).transpose()?.flatten();
    let amount = event.amount.as_ref().map(|column| row.value(column, at)).transpose()?.flatten();
    let rating = event.rating.as_ref().map(|column| row.value(column, at)).transpose()?.flatten();
    let late = match &event.late_after {
        None => false,
        Some(column) => match row.value(column, at)? {
            Some(promise) => at > Timestamp::parse(&promise).with_context(|| format!("column {column}"))?,
            None => false,
        },
    };
    let ship_by = row.promise(event.ship_by.as_ref(), at)?;
    let deliver_by = row.promise(event.deliver_by.as_ref(), at)?;
    let category = event.category.as_ref().map(|column| row.value(column, at)).transpose()?.flatten();
    let rating = rating.and_then(|text| text.parse::<f64>().ok()).map(|rating| rating as u8);
    if event.rating.is_some() && rating.is_none() {
        return Ok(None);
    }
    let name = [order.as_deref(), line.as_deref(), Some(event.kind.event_type())].into_iter().flatten();
    let name = name.collect::<Vec<_>>().join(":");
    let amount = amount.map(|text| match Money::from_decimal(&text, mapping.currency) {
        Ok(amount) => Amount::Known(amount),
        Err(_) => Amount::Written(text),
    });
    let told = Told {
        specversion: "1.0",
        id: short_id(&name),
        source: format!("replay/{}", mapping.name),
        kind: event.kind.event_type(),
        time: at,
        data: Data {
            supplier,
            order,
            line,
            buyer,
            listing: sku,
            sku,
            quantity: 1,
            amount,
            cause: event.cause,
            rating,
            late,
            category,
            ship_by,
            deliver_by,
        },
    };
    Ok(Some(serde_json::to_vec(&told)?))
}

/// Event ids are at most 64 bytes; long ones are replaced by an identity hash of themselves.
fn short_id(name: &str) -> String {
    if name.len() <= 64 {
        name.to_owned()
    } else {
        format!("{:032x}", stockade_model::hash::identity128(&[name]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a history in `currency` becomes: prices of listings, amounts of orders, and what was refused.
    fn read(currency: &str, prices: &[&str]) -> (Vec<i64>, Vec<i64>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("orders.csv");
        let rows = prices.iter().enumerate();
        let rows = rows.map(|(at, price)| format!("2026-01-01T00:00:0{at}Z,shop,o-{at},i-{at},{price}\n"));
        std::fs::write(&file, format!("at,who,order,item,price\n{}", rows.collect::<String>())).unwrap();
        let mapping = format!(
            "{{name: t, currency: {currency}, time: at, supplier: {{id: {{column: who}}, region: {{constant: JP}}}},
              listing: {{sku: {{column: item}}, price: price, on_hand: 1}},
              events: [{{kind: placed, at: {{column: at}}, order: {{column: order}}, amount: price}}]}}"
        );
        let mut inputs = Inputs::open(&file, Mapping::parse(&mapping).unwrap()).unwrap();
        let (mut listed, mut ordered) = (Vec::new(), Vec::new());
        while let Some((_, input)) = inputs.next().unwrap() {
            match input {
                Input::Rows(_, rows) => listed.extend(rows.iter().filter_map(|row| match row {
                    InventoryRow::Put(put) => Some(put.price.minor),
                    _ => None,
                })),
                Input::Event(event) => ordered.extend(event.amount.map(|amount| amount.minor)),
                Input::Register(_) => {}
            }
        }
        (listed, ordered, inputs.refusals)
    }

    #[test]
    fn a_history_is_read_in_the_minor_units_of_its_currency() {
        assert_eq!(read("JPY", &["1500", "15.00"]), (vec![1_500, 15], vec![1_500, 15], vec![]));
        assert_eq!(read("KWD", &["1.505"]), (vec![1_505], vec![1_505], vec![]));
        assert_eq!(read("EUR", &["19.99", "20"]), (vec![1_999, 2_000], vec![1_999, 2_000], vec![]));
        let (listed, ordered, refused) = read("JPY", &["15.50"]);
        assert_eq!((listed.len(), ordered.len(), refused.len()), (0, 0, 2), "both say so: {refused:?}");
    }

    /// Promises of orders in hours from the order, and what was refused.
    fn promised(rows: &str) -> (Vec<[Option<i64>; 2]>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("orders.csv");
        std::fs::write(&file, format!("at,who,order,approved,limit,due\n{rows}")).unwrap();
        let mapping = "{name: t, currency: EUR, time: at, known_at: {limit: {column: approved}},
              supplier: {id: {column: who}, region: {constant: DE}}, events: [{kind: placed, at: {column: at},
              order: {column: order}, ship_by: {column: limit}, deliver_by: {column: due, plus: 1d}}]}";
        let mut inputs = Inputs::open(&file, Mapping::parse(mapping).unwrap()).unwrap();
        let mut found = Vec::new();
        while let Some((_, input)) = inputs.next().unwrap() {
            if let Input::Event(event) = input {
                let hours = |by: Option<Timestamp>| by.map(|by| (by.ms() - event.time.ms()) / 3_600_000);
                found.push([hours(event.ship_by), hours(event.deliver_by)]);
            }
        }
        (found, inputs.refusals)
    }

    #[test]
    fn promises_are_read_from_columns_that_were_known_when_the_order_was_placed() {
        let day = |day: u8| format!("2026-01-{day:02}T00:00:00Z");
        let row = |approved: String, limit: String, due: String| {
            promised(&format!("{},shop,o-1,{approved},{limit},{due}\n", day(1)))
        };
        let known = row(day(1), day(3), day(5));
        assert_eq!(known, (vec![[Some(48), Some(120)]], vec![]));
        let later = row(day(2), day(3), day(5));
        assert_eq!(later.0, [[None, Some(120)]], "a limit that is set with the approval was not known yet");
        assert_eq!(row(day(1), String::new(), String::new()).0, [[None, None]]);
        let (taken, refused) = row(day(1), day(9), day(2));
        assert_eq!((taken.len(), refused.len()), (0, 1));
        assert!(refused[0].contains("before the hand-over"), "{refused:?}");
    }
}
