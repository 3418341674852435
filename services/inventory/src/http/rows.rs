//! Rows as callers write them, and what they become when they are right.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use stockade_model::{
    Currency, Gln, Gtin, Invalid, ListingId, ListingPut, LocationId, LocationPut, Money, Region, Row, Sku,
    StockChange, StockMode,
    inventory::{QUANTITY_MAX, SEQUENCE_MAX},
    money::MINOR_MAX,
};
use stockade_runtime::{FieldError, Problem, Work, body};

use super::fields::Fields;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Price")]
pub(crate) struct Price {
    /// Whole minor units: cents of EUR, yen.
    #[schemars(range(min = 0, max = MINOR_MAX))]
    pub(crate) minor: i64,
    /// ISO 4217 code.
    #[schemars(with = "Currency")]
    pub(crate) currency: String,
}

/// A body that is one row about the subject its path names.
pub(crate) trait OneRow: serde::de::DeserializeOwned {
    /// What it is, so that equal bodies of different calls are different requests.
    const KIND: &'static str;
    /// What it is among what may be put off.
    const WORK: Work = Work::Row;
    /// The row, or everything that is wrong with it.
    fn row(self, subject: &str) -> Result<Row, Vec<FieldError>>;
}

/// What a listing says, without its id.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutBody {
    #[schemars(with = "Sku")]
    pub(crate) sku: String,
    /// GTIN-8, -12, -13 or -14, or UPC-E, with its check digit.
    pub(crate) gtin: Option<String>,
    /// A location that was put before.
    #[schemars(with = "LocationId")]
    pub(crate) location: String,
    pub(crate) price: Price,
    /// Regions that it is sold to; none is that of its location.
    #[serde(default)]
    #[schemars(with = "Vec<Region>", length(max = 300))]
    pub(crate) regions: Vec<String>,
    /// Units on the shelf; left out, the stock stays as it is.
    #[schemars(range(min = 0, max = QUANTITY_MAX))]
    pub(crate) on_hand: Option<i64>,
    /// Your own count of changes of this listing; what is older loses.
    #[schemars(range(max = SEQUENCE_MAX))]
    pub(crate) source_seq: Option<u64>,
}

/// A stock change, without the listing's id: exactly one of `set` and `adjust`.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StockBody {
    /// Units on the shelf now; this or `adjust`.
    #[schemars(range(min = 0, max = QUANTITY_MAX))]
    pub(crate) set: Option<i64>,
    /// Units more, or less.
    #[schemars(range(min = -QUANTITY_MAX, max = QUANTITY_MAX))]
    pub(crate) adjust: Option<i64>,
    /// Your own count of changes of this listing; what is older loses.
    #[schemars(range(max = SEQUENCE_MAX))]
    pub(crate) source_seq: Option<u64>,
}

/// The part of a batch's row that is read first: what it is, and what it is about.
#[derive(serde::Deserialize)]
struct RowHead<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    listing: Cow<'a, str>,
}

/// `put` in a batch: [`PutBody`] with what a path says otherwise.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutRow {
    #[serde(rename = "op")]
    #[schemars(with = "String", extend("const" = "put"))]
    _op: IgnoredAny,
    #[schemars(with = "ListingId")]
    listing: String,
    #[schemars(with = "Sku")]
    sku: String,
    /// GTIN-8, -12, -13 or -14, or UPC-E, with its check digit.
    gtin: Option<String>,
    /// A location that was put before.
    #[schemars(with = "LocationId")]
    location: String,
    price: Price,
    /// Regions that it is sold to; none is that of its location.
    #[serde(default)]
    #[schemars(with = "Vec<Region>", length(max = 300))]
    regions: Vec<String>,
    /// Units on the shelf; left out, the stock stays as it is.
    #[schemars(range(min = 0, max = QUANTITY_MAX))]
    on_hand: Option<i64>,
    /// Your own count of changes of this listing; what is older loses.
    #[schemars(range(max = SEQUENCE_MAX))]
    source_seq: Option<u64>,
}

/// `stock` in a batch.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StockRow {
    #[serde(rename = "op")]
    #[schemars(with = "String", extend("const" = "stock"))]
    _op: IgnoredAny,
    #[schemars(with = "ListingId")]
    listing: String,
    /// Units on the shelf now; this or `adjust`.
    #[schemars(range(min = 0, max = QUANTITY_MAX))]
    set: Option<i64>,
    /// Units more, or less.
    #[schemars(range(min = -QUANTITY_MAX, max = QUANTITY_MAX))]
    adjust: Option<i64>,
    /// Your own count of changes of this listing; what is older loses.
    #[schemars(range(max = SEQUENCE_MAX))]
    source_seq: Option<u64>,
}

/// `withdraw` in a batch.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WithdrawRow {
    #[serde(rename = "op")]
    #[schemars(with = "String", extend("const" = "withdraw"))]
    _op: IgnoredAny,
    #[schemars(with = "ListingId")]
    listing: String,
    #[schemars(range(max = SEQUENCE_MAX))]
    source_seq: Option<u64>,
}

/// A row of a batch, told apart by `op`.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `row_of_batch` reads by hand")]
pub(super) enum BatchRow {
    Put(PutRow),
    Stock(StockRow),
    Withdraw(WithdrawRow),
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocationBody {
    /// Its GLN, 13 digits, if it has one.
    #[schemars(with = "Option<Gln>")]
    gln: Option<String>,
    #[schemars(range(min = -90, max = 90))]
    latitude: f64,
    #[schemars(range(min = -180, max = 180))]
    longitude: f64,
    /// The region it serves unless a listing says otherwise.
    #[schemars(with = "Region")]
    region: String,
    /// Days from order to hand-over.
    #[schemars(range(max = 365))]
    handling_days: u16,
}

/// A row of a batch, or its subject as far as known and the first thing wrong with it. Each is read by the fields of its
/// own kind, so that mistakes have a place.
pub(crate) fn row_of_batch(text: &str) -> Result<Row, (String, FieldError)> {
    let first = |errors: Vec<FieldError>| {
        let wrong = || FieldError::new("", "invalid_row", "the row is not valid");
        errors.into_iter().next().unwrap_or_else(wrong)
    };
    let located = |problem: Problem| match problem.errors.is_empty() {
        true => FieldError::new("", problem.code, problem.detail),
        false => first(problem.errors),
    };
    let head = || body::parse_borrowed::<RowHead<'_>>(text.as_bytes());
    let op = match op_at_start(text) {
        Some(op) => Cow::Borrowed(op),
        None => head().map_err(|problem| (String::new(), located(problem)))?.op,
    };
    let row = match op.as_ref() {
        "put" => body::parse::<PutRow>(text.as_bytes()).map_err(located).and_then(|row| {
            let PutRow { _op, listing, sku, gtin, location, price, regions, on_hand, source_seq } = row;
            let body = PutBody { sku, gtin, location, price, regions, on_hand, source_seq };
            body.row(&listing).map_err(first)
        }),
        "stock" => body::parse::<StockRow>(text.as_bytes()).map_err(located).and_then(|row| {
            let StockRow { _op, listing, set, adjust, source_seq } = row;
            StockBody { set, adjust, source_seq }.row(&listing).map_err(first)
        }),
        "withdraw" => body::parse::<WithdrawRow>(text.as_bytes()).map_err(located).and_then(|row| {
            let WithdrawRow { _op, listing, source_seq } = row;
            let mut fields = Fields::default();
            sequence(&mut fields, source_seq);
            let listing = fields.check("/listing", ListingId::new(&listing));
            fields.finish(listing.map(|listing| Row::Withdraw { listing, source_seq })).map_err(first)
        }),
        other => {
            let detail = format!("{other:?} is none of put, stock, withdraw");
            Err(FieldError::new("/op", "unknown_value", detail))
        }
    };
    row.map_err(|error| match head() {
        Ok(head) => (head.listing.into_owned(), error),
        // Without it nobody could tell which row is meant, so that is said first.
        Err(problem) => (String::new(), located(problem)),
    })
}

/// What a row is, where that is said first and plainly, as most programs write it: its head need not be read apart then.
fn op_at_start(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.trim_ascii_start().strip_prefix("\"op\"")?.trim_ascii_start();
    let (op, _) = name.strip_prefix(':')?.trim_ascii_start().strip_prefix('"')?.split_once('"')?;
    (!op.contains('\\')).then_some(op)
}

/// A supplier's own sequence, within its bound.
fn sequence(fields: &mut Fields, given: Option<u64>) {
    let fine = given.is_none_or(|given| given <= SEQUENCE_MAX);
    let detail = format!("source_seq must be 0 to {SEQUENCE_MAX}: a larger one could never be followed");
    fields.require(fine, "/source_seq", "sequence_range", detail);
}

impl OneRow for PutBody {
    const KIND: &'static str = "put";

    fn row(self, listing: &str) -> Result<Row, Vec<FieldError>> {
        let price = (self.price.minor, self.price.currency.as_str());
        let mut put =
            listing_put(listing, &self.sku, self.gtin.as_deref(), &self.location, price, self.on_hand);
        let mut fields = Fields::default();
        let regions: Vec<Option<Region>> = self
            .regions
            .iter()
            .enumerate()
            .map(|(index, region)| fields.check(&format!("/regions/{index}"), Region::new(region)))
            .collect();
        fields.require(self.regions.len() <= 300, "/regions", "too_many", "at most 300 regions");
        sequence(&mut fields, self.source_seq);
        match (&mut put, regions.into_iter().collect::<Option<Vec<_>>>()) {
            (Ok(put), Some(regions)) if fields.errors.is_empty() => {
                put.regions = regions;
                put.source_seq = self.source_seq;
            }
            _ => {
                let mut errors = put.err().unwrap_or_default();
                errors.append(&mut fields.errors);
                return Err(errors);
            }
        }
        put.map(Row::Put)
    }
}

/// Checks what a listing says. Errors name the fields as the API calls them.
pub fn listing_put(
    listing: &str,
    sku: &str,
    gtin: Option<&str>,
    location: &str,
    (minor, currency): (i64, &str),
    on_hand: Option<i64>,
) -> Result<ListingPut, Vec<FieldError>> {
    let mut fields = Fields::default();
    let listing = fields.check("/listing", ListingId::new(listing));
    let sku = fields.check("/sku", Sku::new(sku));
    let gtin = fields.check_some("/gtin", gtin.map(Gtin::new));
    let location = fields.check("/location", LocationId::new(location));
    let currency = fields.check("/price/currency", Currency::new(currency));
    let price = currency.and_then(|currency| fields.check("/price/minor", Money::new(minor, currency)));
    fields.check_some("/on_hand", on_hand.map(quantity));
    let put =
        listing.zip(sku).zip(location).zip(price).map(|(((listing, sku), location), price)| ListingPut {
            listing,
            sku,
            gtin,
            location,
            price,
            regions: Vec::new(),
            on_hand,
            source_seq: None,
            market: None,
        });
    fields.finish(put)
}

fn quantity(units: i64) -> Result<i64, Invalid> {
    if (0..=QUANTITY_MAX).contains(&units) {
        Ok(units)
    } else {
        Err(Invalid::new("quantity_range", format!("quantity must be 0 to {QUANTITY_MAX}, got {units}")))
    }
}

impl OneRow for StockBody {
    const KIND: &'static str = "stock";
    const WORK: Work = Work::Stock;

    fn row(self, listing: &str) -> Result<Row, Vec<FieldError>> {
        let mut fields = Fields::default();
        sequence(&mut fields, self.source_seq);
        let mut change = match (stock_change(listing, self.set, self.adjust), fields.errors) {
            (Ok(change), errors) if errors.is_empty() => change,
            (change, errors) => return Err(change.err().into_iter().flatten().chain(errors).collect()),
        };
        change.source_seq = self.source_seq;
        Ok(Row::Stock(change))
    }
}

/// Checks a stock change.
pub fn stock_change(
    listing: &str,
    set: Option<i64>,
    adjust: Option<i64>,
) -> Result<StockChange, Vec<FieldError>> {
    let mut fields = Fields::default();
    let listing = fields.check("/listing", ListingId::new(listing));
    let change = match (set, adjust) {
        (Some(units), None) => fields.check("/set", quantity(units)).map(|units| (StockMode::Set, units)),
        (None, Some(units)) => {
            let range = -QUANTITY_MAX..=QUANTITY_MAX;
            let detail = format!("adjust must be -{QUANTITY_MAX} to {QUANTITY_MAX}, got {units}");
            fields.require(range.contains(&units), "/adjust", "quantity_range", detail);
            Some((StockMode::Adjust, units))
        }
        _ => {
            fields.require(false, "/set", "set_or_adjust", "give exactly one of set and adjust");
            None
        }
    };
    let change = listing.zip(change).map(|(listing, (mode, quantity))| StockChange {
        listing,
        mode,
        quantity,
        source_seq: None,
        market: None,
    });
    fields.finish(change)
}

impl OneRow for LocationBody {
    const KIND: &'static str = "location";

    fn row(self, location: &str) -> Result<Row, Vec<FieldError>> {
        let mut fields = Fields::default();
        let location = fields.check("/location", LocationId::new(location));
        let gln = fields.check_some("/gln", self.gln.as_deref().map(Gln::new));
        let region = fields.check("/region", Region::new(&self.region));
        let within = |value: f64, most: f64| value.is_finite() && value.abs() <= most;
        fields.require(
            within(self.latitude, 90.0),
            "/latitude",
            "coordinate_range",
            "latitude must be -90 to 90",
        );
        fields.require(
            within(self.longitude, 180.0),
            "/longitude",
            "coordinate_range",
            "longitude must be -180 to 180",
        );
        fields.require(
            self.handling_days <= 365,
            "/handling_days",
            "handling_range",
            "handling_days must be 0 to 365",
        );
        let put = location.zip(region).map(|(location, region)| {
            let (latitude, longitude, handling_days) = (self.latitude, self.longitude, self.handling_days);
            Row::Location(LocationPut { location, gln, latitude, longitude, region, handling_days })
        });
        fields.finish(put)
    }
}
