//! The history as a stream of inputs in event time: rows are read once, and what they promise for later waits in a heap.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use stockade_histories::{
    Bound, Entry, EventColumns, GIVEN_UP_AFTER, History, Limits, Mapping, Refusal, Refusals, Row, Text, When,
    open,
};
use stockade_inventory::http::{event_from_cloudevent, listing_put};
use stockade_model::{
    Change, ControlRecord, Currency, Invalid, LocationId, LocationPut, Money, OrderEvent, OrderEventKind,
    OutcomeCause, Region, Row as InventoryRow, SupplierId, SupplierProfile, Timestamp,
};
use stockade_runtime::FieldError;

use crate::output::complain;

/// What to do with rows that are refused.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Handling {
    /// Write every refused row to this CSV file: its own columns, then refused_line and refused_reason. Cells are as they
    /// are in the history, so a spreadsheet may take some for formulas.
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) refused: Option<PathBuf>,
    /// End at the first row that is refused, instead of leaving it out and counting it.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Sizes of the files of a history, to tell it from another.
pub(crate) fn sizes(paths: &[PathBuf], mapping: &Mapping) -> Result<String> {
    let mut sizes = Vec::new();
    for path in stockade_histories::files(paths, mapping)?.values() {
        let size = std::fs::metadata(path)
            .with_context(|| format!("cannot open {}; check --input", path.display()))?
            .len();
        sizes.push(size.to_string());
    }
    Ok(sizes.join(","))
}

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
    /// The line of its row, for what is said when it is refused.
    line: u32,
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
    quantity: u64,
    amount: Option<Money>,
    cause: OutcomeCause,
    rating: Option<u8>,
    late: bool,
    category: Option<String>,
    ship_by: Option<Timestamp>,
    deliver_by: Option<Timestamp>,
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

/// The line of a row, and an event of it with its time, or why it is none.
pub(crate) type Previewed = (u64, Timestamp, std::result::Result<OrderEvent, Refusal>);

/// The stream.
pub(crate) struct Inputs {
    bound: Arc<Bound>,
    history: History,
    next_row: Option<Entry>,
    row_number: u64,
    row_time: Timestamp,
    waiting: BinaryHeap<Reverse<Waiting>>,
    made: u64,
    ready: VecDeque<(Timestamp, Input)>,
    suppliers: HashSet<SupplierId>,
    prices: HashMap<(SupplierId, String), i64>,
    /// Orders that finally turned out to be frauds, with their suppliers: for measuring, never an input.
    pub(crate) frauds: HashSet<(SupplierId, String)>,
    /// What was refused, of rows and by the API's validation.
    pub(crate) refusals: Refusals,
    /// Rows that could not even be read: they are not among `rows`.
    unread: u64,
    /// Whether it was looked at once if all of the first rows were refused.
    first_judged: bool,
    /// Rows that the mapping leaves out.
    left_out: u64,
    /// Values asked for before they were known.
    pub(crate) withheld: u64,
}

/// What a row says beside its events.
struct Known {
    supplier: SupplierId,
    region: Region,
    sku: Option<String>,
}

impl Inputs {
    /// Opens a history: one file, or those that the mapping joins. Says on standard error how it is read.
    pub(crate) fn open(paths: &[PathBuf], mapping: Mapping, handling: &Handling) -> Result<Self> {
        let mut refusals = Refusals::new(handling.strict, handling.refused.as_deref());
        let history = open(paths, mapping, Limits::default(), &mut refusals)?;
        history.notes.iter().for_each(|note| complain(format_args!("{note}")));
        let mut inputs = Self {
            bound: history.bound.clone(),
            history,
            next_row: None,
            row_number: 0,
            row_time: Timestamp::default(),
            waiting: BinaryHeap::new(),
            made: 0,
            ready: VecDeque::new(),
            suppliers: HashSet::new(),
            prices: HashMap::new(),
            frauds: HashSet::new(),
            unread: refusals.rows(),
            first_judged: false,
            refusals,
            left_out: 0,
            withheld: 0,
        };
        inputs.read_row()?;
        Ok(inputs)
    }

    /// How the files were read, in sentences.
    pub(crate) fn notes(&self) -> &[String] {
        &self.history.notes
    }
    /// Rows that there are, where they were counted beforehand.
    pub(crate) fn rows_expected(&self) -> u64 {
        self.history.rows_expected
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

    /// What was refused and left out, for reports.
    pub(crate) fn refused(&self) -> serde_json::Value {
        serde_json::json!({
            "rows": self.refusals.rows(),
            "left_out_by_mapping": self.left_out,
            "reasons": self.refusals.report(),
        })
    }

    /// An error where more than half of the rows were refused: what was found then is not found of the history.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.refusals.flush()?;
        let (refused, rows) = (self.refusals.rows(), self.row_number + self.unread);
        anyhow::ensure!(
            refused * 2 <= rows,
            "{refused} of {rows} rows were refused, more than half, so the figures are not those of the history; change the mapping (the reasons are above, and --refused FILE.csv writes every row)"
        );
        Ok(())
    }

    /// What the first rows become: the line of each event's row, its time, and the event or why it is none. For looking only; what
    /// comes after is not played from here.
    pub(crate) fn preview(&mut self, rows: u64) -> Result<Vec<Previewed>> {
        let mut found = Vec::new();
        while self.row_number <= rows
            && let Some(entry) = self.next_row.take()
        {
            let before = self.refusals.count();
            self.take_row(&entry)?;
            if self.refusals.count() > before {
                let last = self.refusals.last();
                found.extend(last.map(|refusal| (entry.line, self.row_time, Err(refusal.clone()))));
            }
            self.read_row()?;
        }
        while let Some(Reverse(Waiting { at, line, event, .. })) = self.waiting.pop() {
            let line = u64::from(line);
            let event = event_from_cloudevent(&event, at)
                .map_err(|errors| invalid(&errors, &self.bound.mapping).on(line));
            found.push((line, at, event));
        }
        found.sort_by_key(|(line, ..)| *line);
        Ok(found)
    }

    /// Why nothing came of the history.
    pub(crate) fn why_nothing(&self) -> String {
        match self.refusals.sentences().into_iter().next() {
            Some(first) => format!("none of the rows could be taken; the first: {first}"),
            None if self.left_out > 0 => {
                "the mapping leaves out every row; change its `leave_out`".to_owned()
            }
            None => "the history has no rows of which the mapping makes anything".to_owned(),
        }
    }

    fn read_row(&mut self) -> Result<()> {
        let before = self.refusals.rows();
        let next = self.history.next(&mut self.refusals)?;
        self.unread += self.refusals.rows() - before;
        self.next_row = match next {
            Some((time, entry)) => {
                self.row_number += 1;
                self.row_time = time;
                Some(entry)
            }
            None => None,
        };
        let (refused, rows) = (self.refusals.rows(), self.row_number + self.unread);
        // Reading one row may pass over many that cannot be read, so the bound itself may be passed over.
        if rows < GIVEN_UP_AFTER || std::mem::replace(&mut self.first_judged, true) {
            return Ok(());
        }
        // The row that was read last is not judged yet.
        if refused + 1 >= rows { self.refusals.give_up(refused, "") } else { Ok(()) }
    }

    fn refuse(&mut self, refusal: Refusal, entry: &Entry) -> Result<()> {
        self.refusals.refuse(refusal.on(entry.line), &entry.record)
    }

    /// What a row says about its supplier and listing, now, and the events it promises.
    fn take_row(&mut self, entry: &Entry) -> Result<()> {
        let now = self.row_time;
        let bound = self.bound.clone();
        let mapping = &bound.mapping;
        let mut row = bound.row(&entry.record, entry.line);
        let finally = |when: Option<&When>| when.map_or(Ok(false), |when| row.finally(when));
        // A row of which that cannot be said would be played, or measured, as what it may not be.
        let fraud = match (finally(mapping.leave_out.as_ref()), finally(mapping.fraud.as_ref())) {
            (Ok(true), _) => {
                self.left_out += 1;
                return Ok(());
            }
            (Err(refusal), _) | (_, Err(refusal)) => return self.refuse(refusal, entry),
            (Ok(false), Ok(fraud)) => fraud,
        };
        let known = match known(&mut row, mapping, now) {
            Ok(known) => known,
            Err(refusal) => {
                self.withheld += row.withheld;
                return self.refuse(refusal, entry);
            }
        };
        let price = match &mapping.listing {
            None => Ok(None),
            Some(listing) => row.number(&listing.price, mapping.currency.exponent(), now),
        };
        let placed = mapping.events.iter().find(|event| event.kind == OrderEventKind::Placed);
        if let (true, Some(placed)) = (fraud, placed)
            && let Ok(Some(order)) = row.text(&placed.order, now)
        {
            self.frauds.insert((known.supplier.clone(), order));
        }
        if !self.suppliers.contains(&known.supplier) {
            self.register(&known.supplier, known.region, now)?;
        }
        match (&mapping.listing, &known.sku, price) {
            (_, _, Err(refusal)) => self.refuse(refusal, entry)?,
            (Some(listing), Some(sku), Ok(Some(price))) => {
                let listed = self.list(&known.supplier, sku, &price, listing.on_hand, mapping.currency, now);
                if let Err((code, detail)) = listed {
                    self.refuse(Refusal::new(listing.price.name(), &price, code, detail), entry)?;
                }
            }
            _ => {}
        }
        for event in &mapping.events {
            match describe(&mut row, mapping, event, &known) {
                Ok(None) => {}
                Ok(Some((at, body))) => self.promise(at.max(now), body, entry)?,
                Err(refusal) => self.refuse(refusal, entry)?,
            }
        }
        self.withheld += row.withheld;
        Ok(())
    }

    /// Keeps an event until its time. One that seems to precede its own row happens when the row is known.
    fn promise(&mut self, at: Timestamp, body: Vec<u8>, entry: &Entry) -> Result<()> {
        // Its row is only here now: to be written with it, and counted once however many of its events are refused, what would
        // be refused later is found now.
        if let Err(errors) = event_from_cloudevent(&body, at) {
            return self.refuse(invalid(&errors, &self.bound.mapping), entry);
        }
        let line = u32::try_from(entry.line).unwrap_or(u32::MAX);
        self.waiting.push(Reverse(Waiting { at, number: self.made, line, event: body.into() }));
        self.made += 1;
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
    ) -> std::result::Result<(), (&'static str, String)> {
        let said = |error: Invalid| (error.code, error.detail);
        let Money { minor, .. } = Money::from_decimal(price, currency).map_err(said)?;
        let first = match self.prices.insert((supplier.clone(), sku.to_owned()), minor) {
            Some(known) if known == minor => return Ok(()),
            known => known.is_none(),
        };
        let put = listing_put(sku, sku, None, "main", (minor, currency.as_str()), first.then_some(on_hand))
            .map_err(|errors| ("listing", sentences(&errors)))?;
        self.ready.push_back((now, Input::Rows(supplier.clone(), vec![InventoryRow::Put(put)])));
        Ok(())
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
                if let Some(entry) = self.next_row.take() {
                    self.take_row(&entry)?;
                }
                self.read_row()?;
                continue;
            }
            let Some(Reverse(Waiting { at, event, line, .. })) = self.waiting.pop() else { return Ok(None) };
            match event_from_cloudevent(&event, at) {
                Ok(event) => return Ok(Some((at, Input::Event(event)))),
                Err(errors) => {
                    let refusal = invalid(&errors, &self.bound.mapping).on(u64::from(line));
                    self.refusals.refuse(refusal, [])?;
                }
            }
        }
    }
}

/// The name of what a text is taken from.
fn column_of(text: &Text) -> &str {
    text.as_column().map_or("", |(column, _)| column)
}

/// Who supplies what; without a supplier in a region nothing can be said.
fn known(row: &mut Row<'_>, mapping: &Mapping, now: Timestamp) -> std::result::Result<Known, Refusal> {
    let missing = |text: &Text, what: &str| {
        let detail = format!(
            "the {what} is missing; fill it in, or give the mapping a `default` or a `constant` for it"
        );
        Refusal::new(column_of(text), "", "missing_value", detail)
    };
    let wrong = |text: &Text, value: &str, error: Invalid| {
        let more = if error.code == "id_character" || error.code == "id_length" {
            "; `tidy: true` in the mapping replaces what does not fit"
        } else {
            ""
        };
        Refusal::new(column_of(text), value, error.code, format!("{}{more}", error.detail))
    };
    let (id, region) = (&mapping.supplier.id, &mapping.supplier.region);
    let value = row.text(id, now)?.ok_or_else(|| missing(id, "supplier"))?;
    let supplier = SupplierId::new(&value).map_err(|error| wrong(id, &value, error))?;
    let value = row.text(region, now)?.ok_or_else(|| missing(region, "supplier's region"))?;
    let region = Region::new(&value).map_err(|error| wrong(region, &value, error))?;
    let sku = match &mapping.listing {
        Some(listing) => row.text(&listing.sku, now)?,
        None => None,
    };
    Ok(Known { supplier, region, sku })
}

/// An event of a row, as an order system would send it, with its time; `None` where it has none or its condition does not hold.
fn describe(
    row: &mut Row<'_>,
    mapping: &Mapping,
    event: &EventColumns,
    known: &Known,
) -> std::result::Result<Option<(Timestamp, Vec<u8>)>, Refusal> {
    let Some(at) = row.stamp(&event.at)? else { return Ok(None) };
    if let Some(when) = &event.when
        && !row.holds(when, at)?
    {
        return Ok(None);
    }
    let mut text = |text: Option<&Text>| text.map_or(Ok(None), |text| row.text(text, at));
    let (order, line, buyer) =
        (text(Some(&event.order))?, text(event.line.as_ref())?, text(event.buyer.as_ref())?);
    let category = text(event.category.as_ref())?;
    let rating = match &event.rating {
        None => None,
        Some(column) => match row.plain(column, at)? {
            // Nothing was rated.
            None => return Ok(None),
            Some(plain) => Some(stars(column, &plain)?),
        },
    };
    let late = match &event.late_after {
        None => false,
        Some(column) => row.time_of(column, at)?.is_some_and(|promise| at > promise),
    };
    let late = late || event.late_when.as_ref().map_or(Ok(false), |when| row.holds(when, at))?;
    let quantity = event.quantity.as_ref().map_or(Ok(None), |number| row.units(number, at))?.unwrap_or(1);
    let amount = match &event.amount {
        None => None,
        Some(number) => match row.number(number, mapping.currency.exponent(), at)? {
            None => None,
            Some(plain) => Some(
                Money::from_decimal(&plain, mapping.currency)
                    .map_err(|error| Refusal::new(number.name(), &plain, error.code, error.detail))?,
            ),
        },
    };
    let (ship_by, deliver_by) =
        (row.promise(event.ship_by.as_ref(), at)?, row.promise(event.deliver_by.as_ref(), at)?);
    let name = [order.as_deref(), line.as_deref(), Some(event.kind.event_type())].into_iter().flatten();
    let name = name.collect::<Vec<_>>().join(":");
    let told = Told {
        specversion: "1.0",
        id: short_id(&name),
        source: format!("replay/{}", mapping.name),
        kind: event.kind.event_type(),
        time: at,
        data: Data {
            supplier: Some(known.supplier.as_str()),
            order,
            line,
            buyer,
            listing: known.sku.as_deref(),
            sku: known.sku.as_deref(),
            quantity,
            amount,
            cause: event.cause,
            rating,
            late,
            category,
            ship_by,
            deliver_by,
        },
    };
    let body = serde_json::to_vec(&told);
    let body = body.map_err(|_| Refusal::new("", "", "event", "the event cannot be written"))?;
    Ok(Some((at, body)))
}

/// Whole stars of a rating.
fn stars(column: &str, plain: &str) -> std::result::Result<u8, Refusal> {
    let stars = plain.parse::<f64>().ok().filter(|stars| (0.0..=f64::from(u8::MAX)).contains(stars));
    stars.map(|stars| stars as u8).ok_or_else(|| {
        let detail = "this is no rating; correct it, or leave the cell empty where nothing was rated";
        Refusal::new(column, plain, "bad_rating", detail)
    })
}

/// What the API says of an event, as a refusal of the column that it is about.
fn invalid(errors: &[FieldError], mapping: &Mapping) -> Refusal {
    let Some(first) = errors.first() else { return Refusal::new("", "", "event", "the event is not taken") };
    let of = |pick: fn(&EventColumns) -> Option<&Text>| {
        mapping.events.iter().find_map(pick).map(column_of).unwrap_or_default()
    };
    let column = match first.field.trim_start_matches("/data/") {
        "order" => of(|event| Some(&event.order)),
        "line" => of(|event| event.line.as_ref()),
        "buyer" => of(|event| event.buyer.as_ref()),
        "category" => of(|event| event.category.as_ref()),
        "sku" | "listing" => mapping.listing.as_ref().map_or("", |listing| column_of(&listing.sku)),
        _ => "",
    };
    let tidy = if errors.iter().any(|error| error.code.starts_with("id_")) {
        "; `tidy: true` in the mapping replaces what does not fit"
    } else {
        ""
    };
    Refusal::new(column, "", &first.code, format!("{}{tidy}", sentences(errors)))
}

fn sentences(errors: &[FieldError]) -> String {
    errors.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; ")
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
mod tests;
