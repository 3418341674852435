//! Suppliers: registration, locations, listings, stock, batches.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::value::RawValue;
use sha2::Digest as _;
use stockade_model::{
    Change, Command, ControlRecord, Gtin, Invalid, ListingId, LocationId, LocationPut, Money, Payload,
    Region, Registration, Row, RowOutcome, RowStatus, Sku, StockChange, StockCounts, StockMode, SupplierId,
    SupplierProfile, Timestamp, ids::normalized, inventory::ROWS_MAX,
};
use stockade_runtime::{
    FieldError, Operator, OwnSupplier, Parsed, Path, Problem, SupplierOrStaff, Turn, Turns, Work, body,
    http::{idempotency_key, path_segment, precondition, supplier_id, tagged},
    limits::Allowance,
    text,
};

use super::{
    fields::Fields,
    rows::{BatchRow, LocationBody, OneRow, PutBody, StockBody, row_of_batch},
    token::{POSITION, token},
};
use crate::{
    app::{App, Decided, Submitted, SupplierView},
    bounds::Full,
    domain::{Offer, Outcomes, only_reduces},
};

/// Longest name of a supplier, in characters.
const NAME_CHARS_MAX: usize = 200;

pub(crate) fn known(app: &App, id: &SupplierId) -> Result<SupplierView, Problem> {
    match app.supplier(id) {
        Some(view) => Ok(view),
        // Who is missing may only not have been read yet.
        None => app.caught_up().and(Err(unknown_supplier(id))),
    }
}

fn unknown_supplier(id: &SupplierId) -> Problem {
    let detail =
        format!("supplier {id} is not registered; an operator registers it with PUT /v1/suppliers/{id}");
    Problem::new(StatusCode::NOT_FOUND, "unknown_supplier", detail)
}

/// Takes `units` from the allowance of a supplier that is registered.
pub(crate) fn admit(app: &App, id: &SupplierId, units: usize) -> Result<Option<Allowance>, Problem> {
    match app.class_of(id) {
        Some(class) => app.limits.take(&class, id.as_str(), units),
        None => known(app, id).and(Err(unknown_supplier(id))),
    }
}

pub(crate) fn body_hash(parts: &[&[u8]]) -> String {
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    stockade_model::hash::hex(&hash.finalize()[..16])
}

pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .filter(|text| text.len() <= 128)
        .map(str::to_owned)
}

/// A request whose rows have been checked.
struct Request<'a> {
    app: &'a App,
    supplier: SupplierId,
    headers: &'a HeaderMap,
    allowance: Option<Allowance>,
    hash: String,
}

impl Request<'_> {
    /// In a turn at the log, where it has one.
    async fn submit(
        &self,
        turn: Option<Turn>,
        mut rows: Vec<Row>,
        places: Vec<usize>,
        refused: Vec<RowOutcome>,
    ) -> Result<Submitted, Problem> {
        self.app.stamp(&self.supplier, &mut rows);
        let precondition = Some(precondition(self.headers)?).filter(|expected| !expected.is_empty());
        // The same body with other expectations is another request.
        let body_hash = match &precondition {
            Some(expected) => body_hash(&[self.hash.as_bytes(), format!("{expected:?}").as_bytes()]),
            None => self.hash.clone(),
        };
        let command = Command {
            supplier: self.supplier.clone(),
            idempotency_key: idempotency_key(self.headers)?,
            body_hash,
            rows,
            precondition,
            places,
            refused,
            forgets: None,
        };
        let traceparent = traceparent(self.headers);
        match turn {
            Some(turn) => self.app.submit_in_turn(turn, command, traceparent).await,
            None => self.app.submit(command, traceparent).await,
        }
    }

    /// Sends one row and answers for it.
    async fn single(&self, row: Row) -> Result<Response, Problem> {
        match self.submit(None, vec![row], Vec::new(), Vec::new()).await? {
            Submitted::Pending { key, at } => Ok(self.pending(&key, at)),
            Submitted::Decided { id, decided, at } => {
                let rows = rows_of(&decided)?;
                let Some(outcome) = rows.first() else {
                    return Err(Problem::unavailable(
                        "no_outcome",
                        "the request left no outcome; look it up and retry",
                    ));
                };
                let mut response = match outcome.status {
                    RowStatus::Conflict | RowStatus::Invalid => refused(outcome).into_response(),
                    _ => Json(outcome).into_response(),
                };
                self.dress(&mut response, at, decided.retry);
                name_record(&mut response, &id);
                Ok(response)
            }
        }
    }

    fn pending(&self, key: &str, at: (u32, u64)) -> Response {
        let link = format!("/v1/suppliers/{}/operations/{}", self.supplier, path_segment(key));
        let detail = "it is durable and will be decided; follow the link";
        let body = Json(PendingBody { operation: &link, detail });
        let mut response = (StatusCode::ACCEPTED, body).into_response();
        if let Ok(value) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LOCATION, value);
        }
        self.dress(&mut response, at, false);
        response
    }

    fn dress(&self, response: &mut Response, at: (u32, u64), retry: bool) {
        if let Some(allowance) = &self.allowance {
            allowance.write(response.headers_mut());
        }
        if let Ok(value) = HeaderValue::from_str(&token(at)) {
            response.headers_mut().insert(POSITION, value);
        }
        if retry {
            response.headers_mut().insert("idempotent-replay", HeaderValue::from_static("true"));
        }
    }
}

/// What is durable and not decided yet.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Pending")]
pub(super) struct PendingBody<'a> {
    /// Where the outcome will be found.
    operation: &'a str,
    detail: &'a str,
}

/// The id under which decisions would name this request as their cause.
fn name_record(response: &mut Response, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert("stockade-record", value);
    }
}

fn rows_of(decided: &Decided) -> Result<Vec<RowOutcome>, Problem> {
    decided.rows.as_ref().map(Outcomes::rows).ok_or_else(|| {
        let detail = "this Idempotency-Key was used with another body; use a fresh key for a new request";
        Problem::new(StatusCode::CONFLICT, "idempotency_key_reused", detail)
    })
}

/// The problem of a single refused row.
fn refused(outcome: &RowOutcome) -> Problem {
    let (status, code): (StatusCode, &'static str) = match outcome.code.as_deref() {
        Some("unknown_supplier") => (StatusCode::NOT_FOUND, "unknown_supplier"),
        Some("unknown_listing") => (StatusCode::NOT_FOUND, "unknown_listing"),
        Some("unknown_location") => (StatusCode::UNPROCESSABLE_ENTITY, "unknown_location"),
        Some("supplier_locked_out") => (StatusCode::FORBIDDEN, "supplier_locked_out"),
        Some("sku_changed") => (StatusCode::CONFLICT, "sku_changed"),
        Some("listing_changed") => (StatusCode::PRECONDITION_FAILED, "listing_changed"),
        Some("location_changed") => (StatusCode::PRECONDITION_FAILED, "location_changed"),
        Some("stock_out_of_range") => (StatusCode::CONFLICT, "stock_out_of_range"),
        Some("not_available") => (StatusCode::CONFLICT, "not_available"),
        Some("no_reservation") => (StatusCode::NOT_FOUND, "no_reservation"),
        Some("reservation_exists") => (StatusCode::CONFLICT, "reservation_exists"),
        Some("already_confirmed") => (StatusCode::CONFLICT, "already_confirmed"),
        _ => (StatusCode::CONFLICT, "conflict"),
    };
    Problem::new(status, code, outcome.detail.clone().unwrap_or_default())
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterBody {
    /// Its name for people: one line.
    #[schemars(length(min = 1, max = NAME_CHARS_MAX))]
    name: String,
    /// Its home.
    #[schemars(with = "Region")]
    region: String,
    /// Since when it trades on the marketplace; not in the future.
    #[schemars(with = "Option<Timestamp>")]
    since: Option<String>,
    /// Class of its limits: `standard`, `large`, or one of the configuration.
    class: Option<String>,
    stock_counts: Option<StockCounts>,
}

/// What is not said stays as it is; the fold knows how that is, whatever replica was asked.
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    Operator(by): Operator,
    Path(supplier): Path<String>,
    Parsed(body): Parsed<RegisterBody>,
) -> Result<Response, Problem> {
    let supplier = supplier_id(&supplier)?;
    let RegisterBody { name, region, since, class, stock_counts } = body;
    // The same name however it was typed, so that whoever looks for it finds it.
    let name = normalized(&name).into_owned();
    let mut fields = Fields::default();
    let region = fields.check("/region", Region::new(&region));
    let since = fields.check_some("/since", since.as_deref().map(Timestamp::parse));
    let past = since.is_none_or(|since| since <= app.now());
    fields.require(past, "/since", "time_range", "since must not lie in the future");
    fields.check("/name", text::line(&name, NAME_CHARS_MAX));
    let known = class.as_deref().is_none_or(|class| app.limits.is_for_suppliers(class));
    let classes = app.limits.for_suppliers().join(", ");
    fields.require(known, "/class", "unknown_class", format!("the classes of suppliers are {classes}"));
    let region = fields.finish(region).map_err(Problem::invalid)?;
    let known = app.supplier(&supplier).map(|view| view.profile);
    // Whoever has a key may not fill the marketplace with suppliers that do not exist.
    let is_new = known.is_none();
    let allowance = if is_new { app.limits.register(&by.id)? } else { None };
    let registration = Registration { supplier, name, region, since, class, stock_counts };
    let said = registration.clone();
    let record = ControlRecord { actor: by.id.clone(), change: Change::Register { registration, known } };
    let registered = app.register(&app.fresh_id(), &Payload::Control(record)).await;
    if registered.is_err() && is_new {
        // Whoever tries again while the log is away is not told in the end that it registers too many.
        app.limits.unregister(&by.id);
    }
    let mut response = match registered? {
        Some(profile) => Json(profile).into_response(),
        None => (StatusCode::ACCEPTED, Json(said)).into_response(),
    };
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    Ok(response)
}

/// Whether a row takes away supply that is there. What only looks so, such as a withdrawal of nothing, is a write like others, or
/// whoever wants to fill the log would write nothing else.
fn reduces(app: &App, supplier: &SupplierId, row: &Row) -> bool {
    let listing = match row {
        Row::Withdraw { listing, .. } | Row::Stock(StockChange { listing, .. }) => listing,
        _ => return false,
    };
    let Some(offer) = app.own_listing(supplier, listing).filter(|offer| !offer.withdrawn) else {
        return false;
    };
    match row {
        Row::Stock(StockChange { mode: StockMode::Set, quantity, .. }) => *quantity < offer.on_hand,
        Row::Stock(StockChange { mode: StockMode::Adjust, quantity, .. }) => {
            *quantity < 0 && offer.on_hand > 0
        }
        _ => true,
    }
}

/// Takes one row about `subject` of `supplier`.
async fn one_row<B: OneRow>(
    app: &App,
    supplier: SupplierId,
    subject: &str,
    headers: &HeaderMap,
    text: &[u8],
) -> Result<Response, Problem> {
    let own = admit(app, &supplier, 1)?;
    let row = body::parse::<B>(text)?.row(subject).map_err(Problem::invalid)?;
    app.room_for(&supplier, 1).takes(&row).map_err(Full::problem)?;
    let reduces = reduces(app, &supplier, &row);
    let allowance = if reduces && app.reduces_freely(&supplier) {
        own
    } else {
        if B::WORK == Work::Stock {
            // What takes away is taken of whoever is locked out, however much of it.
            if !reduces {
                app.not_locked_out(&supplier)?;
            }
            app.not_put_off(&supplier, B::WORK)?;
        }
        app.share(&supplier, own, 1)?
    };
    // What the fold takes is no evidence, and would keep what it refuses off the record.
    if !reduces {
        app.goes_on_record(&supplier);
    }
    let hash = body_hash(&[B::KIND.as_bytes(), subject.as_bytes(), text]);
    Request { app, supplier, headers, allowance, hash }.single(row).await
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
) -> Result<Response, Problem> {
    let view = known(&app, &supplier)?;
    let locations: Vec<LocationPut> = view.locations.into_values().collect();
    Ok(Json(SupplierBody { profile: view.profile, locations }).into_response())
}

/// A supplier with its locations.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Supplier")]
pub(super) struct SupplierBody {
    profile: SupplierProfile,
    locations: Vec<LocationPut>,
}

pub(crate) async fn get_location(
    State(app): State<Arc<App>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Path((_, location)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = known(&app, &supplier)?;
    let found = LocationId::new(&location).ok().and_then(|id| view.locations.get(&id).cloned());
    let missing = || {
        Problem::new(StatusCode::NOT_FOUND, "unknown_location", format!("there is no location {location}"))
    };
    let location = found.ok_or_else(missing)?;
    tagged(&headers, &location.tag(), Json(location))
}

pub(crate) async fn put_location(
    State(app): State<Arc<App>>,
    OwnSupplier { supplier, .. }: OwnSupplier,
    Path((_, location)): Path<(String, String)>,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    one_row::<LocationBody>(&app, supplier, &location, &headers, &text).await
}

/// A listing as its supplier sees it.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Listing")]
pub(super) struct ListingBody<'a> {
    listing: &'a ListingId,
    sku: &'a Sku,
    gtin: Option<Gtin>,
    location: &'a LocationId,
    price: Money,
    regions: &'a [Region],
    on_hand: i64,
    available: i64,
    withdrawn: bool,
    updated_at: Timestamp,
}

impl<'a> ListingBody<'a> {
    pub(super) fn of(offer: &'a Offer) -> Self {
        Self {
            listing: &offer.listing,
            sku: &offer.sku,
            gtin: offer.gtin,
            location: &offer.location,
            price: offer.price,
            regions: &offer.regions,
            on_hand: offer.on_hand,
            available: offer.available,
            withdrawn: offer.withdrawn,
            updated_at: offer.updated,
        }
    }
}

pub(crate) async fn get_listing(
    State(app): State<Arc<App>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Path((_, listing)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing =
        || Problem::new(StatusCode::NOT_FOUND, "unknown_listing", format!("there is no listing {listing}"));
    let id = ListingId::new(&listing).map_err(|_| missing())?;
    let offer = app.own_listing(&supplier, &id).ok_or_else(missing)?;
    tagged(&headers, &offer.tag(), Json(ListingBody::of(&offer)))
}

pub(crate) async fn put_listing(
    State(app): State<Arc<App>>,
    OwnSupplier { supplier, .. }: OwnSupplier,
    Path((_, listing)): Path<(String, String)>,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    one_row::<PutBody>(&app, supplier, &listing, &headers, &text).await
}

pub(crate) async fn withdraw(
    State(app): State<Arc<App>>,
    OwnSupplier { supplier, .. }: OwnSupplier,
    Path((_, listing)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let own = admit(&app, &supplier, 1)?;
    let field = |e: Invalid| Problem::invalid(vec![FieldError::new("listing", e.code, e.detail)]);
    let row = Row::Withdraw { listing: ListingId::new(&listing).map_err(field)?, source_seq: None };
    let is_free = reduces(&app, &supplier, &row) && app.reduces_freely(&supplier);
    let allowance = if is_free { own } else { app.share(&supplier, own, 1)? };
    let hash = body_hash(&[b"withdraw", listing.as_bytes()]);
    Request { app: &app, supplier, headers: &headers, allowance, hash }.single(row).await
}

pub(crate) async fn stock(
    State(app): State<Arc<App>>,
    OwnSupplier { supplier, .. }: OwnSupplier,
    Path((_, listing)): Path<(String, String)>,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    one_row::<StockBody>(&app, supplier, &listing, &headers, &text).await
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchBody<'a> {
    #[serde(borrow)]
    #[schemars(with = "Vec<BatchRow>", length(min = 1, max = ROWS_MAX))]
    rows: Vec<&'a RawValue>,
}

/// A body of more bytes is read in turn: reading it takes so long that whoever is beside it would notice.
const LARGE_BYTES: usize = 16 << 10;

/// The caller's turn, where its body is large.
pub(super) async fn turn_of(turns: &Turns, caller: &str, text: &[u8]) -> Result<Option<Turn>, Problem> {
    if text.len() <= LARGE_BYTES {
        return Ok(None);
    }
    turns.wait(caller, text.len()).await.map(Some)
}

/// The turn of a large batch at the log, among those of suppliers who are trusted as much. Rows that lie in a partition hold up whoever
/// comes behind them, so only so many are on their way from here. Where it does not come, what was taken of the supplier's allowance for
/// `rows` is given back.
async fn wait_at_log(
    app: &App,
    supplier: &SupplierId,
    text: &[u8],
    rows: usize,
) -> Result<Option<Turn>, Problem> {
    let turns = app.turns_at_log.of(app.trust_of(supplier));
    let turn = turn_of(&turns, supplier.as_str(), text).await;
    turn.inspect_err(|_| {
        app.limits.give_back((&app.limited_by(supplier), supplier.as_str()), rows);
    })
}

/// Rows that are read before others on this thread get to run.
const ROWS_AT_ONCE: usize = 16;

/// Lets others on this thread run, now and then, while many rows are read: one that waits for its answer would stand behind all of them,
/// and did, for some ms each time, under a storm of events.
pub(super) async fn let_others_by(row: usize) {
    if row % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 {
        tokio::task::yield_now().await;
    }
}

/// Good rows apply, bad rows say why: 200 when the request as a whole was decided.
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    OwnSupplier { supplier, .. }: OwnSupplier,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    if !precondition(&headers)?.is_empty() {
        let detail = "a batch is about many listings; send what must match one with that listing alone";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "precondition_on_batch", detail));
    }
    let turn = turn_of(&app.turns, supplier.as_str(), &text).await?;
    let BatchBody { rows } = body::parse_borrowed(&text)?;
    if rows.is_empty() || rows.len() > ROWS_MAX {
        let detail = format!("a batch holds 1 to {ROWS_MAX} rows, got {}; split it", rows.len());
        return Err(Problem::invalid(vec![FieldError::new("/rows", "batch_size", detail)]));
    }
    let own = admit(&app, &supplier, rows.len())?;
    let (mut good, mut places, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut room, mut reducing) = (app.room_for(&supplier, rows.len()), 0);
    for (index, raw) in rows.iter().enumerate() {
        let_others_by(index).await;
        match row_of_batch(raw.get()) {
            Ok(row) => match room.takes(&row) {
                Ok(()) => {
                    reducing += usize::from(only_reduces(&row) && reduces(&app, &supplier, &row));
                    good.push(row);
                    places.push(index);
                }
                Err(full) => outcomes.push(full.outcome(index, row.subject())),
            },
            Err((subject, error)) => {
                let mut outcome =
                    RowOutcome::refused(index, &subject, RowStatus::Invalid, &error.code, error.detail);
                outcome.field = Some(error.field).filter(|field| !field.is_empty());
                outcomes.push(outcome);
            }
        }
    }
    drop(room);
    let hash = body_hash(&[b"batch", &text]);
    // What is left is waiting, and whoever waits at the log keeps nobody from reading.
    drop(turn);
    // Without a key nobody can look it up, so where nothing is to be decided nothing is written.
    let is_written = !good.is_empty() || headers.contains_key("idempotency-key");
    let turn_at_log = if is_written { wait_at_log(&app, &supplier, &text, rows.len()).await? } else { None };
    let allowance = app.share_beside_reductions(&supplier, own, rows.len(), reducing)?;
    if good.len() > reducing {
        app.goes_on_record(&supplier);
    }
    let request = Request { app: &app, supplier, headers: &headers, allowance, hash };
    if !is_written {
        return Ok(batch_answer(&outcomes));
    }
    // Places are spelt out only where they are not 0, 1, 2, …
    let places = if outcomes.is_empty() { Vec::new() } else { places };
    match request.submit(turn_at_log, good, places, outcomes).await? {
        Submitted::Pending { key, at } => Ok(request.pending(&key, at)),
        Submitted::Decided { id, decided, at } => {
            let mut response = batch_answer(&rows_of(&decided)?);
            request.dress(&mut response, at, decided.retry);
            name_record(&mut response, &id);
            Ok(response)
        }
    }
}

/// Whether what a row asked for is so now.
pub(super) fn succeeded(row: &RowOutcome) -> bool {
    !matches!(row.status, RowStatus::Conflict | RowStatus::Invalid)
}

fn batch_answer(rows: &[RowOutcome]) -> Response {
    let good = rows.iter().filter(|row| succeeded(row)).count();
    Json(BatchAnswer { succeeded: good, failed: rows.len() - good, rows }).into_response()
}

/// What became of a batch.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct BatchAnswer<'a> {
    /// Rows that say what is so now.
    succeeded: usize,
    failed: usize,
    /// Each row in the order in which it was sent.
    rows: &'a [RowOutcome],
}

pub(crate) async fn operation(
    State(app): State<Arc<App>>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Path((_, key)): Path<(String, String)>,
) -> Result<Response, Problem> {
    match app.outcome(&supplier, &key) {
        Some(rows) => Ok(batch_answer(&rows)),
        None => {
            let detail = "there is no outcome under this key: it is still being decided, or older than 24 h";
            Err(Problem::new(StatusCode::NOT_FOUND, "no_outcome_yet", detail)
                .with_header(header::RETRY_AFTER, "1"))
        }
    }
}
