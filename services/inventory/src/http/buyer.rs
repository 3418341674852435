//! Buyers: availability.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use stockade_model::{
    Currency, Gtin, Invalid, Region, Sku,
    hash::{hex, of_hex},
};
use stockade_runtime::{
    Caller, FieldError, Problem, Role, body, http::escape_segment, limits::Allowance, request,
};

use super::{
    answer::{Availability, GoodResult, Results},
    fields::Fields,
    supplier::body_hash,
    token::{await_position, named},
};
use crate::{
    app::App,
    domain::{Page, Query, Sort, SortKey},
};

/// Goods in one `:query`.
pub(super) const GOODS_MAX: usize = 100;
/// Longest cursor, in characters: two names of a listing's length, and numbers, in hex.
const CURSOR_LEN_MAX: usize = 4_096;
/// Offers in one answer.
const LIMIT_MAX: usize = 500;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AvailabilityQuery {
    /// The good; this or `gtin`.
    #[schemars(with = "Option<Sku>")]
    sku: Option<String>,
    /// The good by its GTIN, whatever SKU it has; this or `sku`.
    gtin: Option<String>,
    /// Only what may be sent there; withheld offers of other regions do not count.
    #[schemars(with = "Option<Region>")]
    region: Option<String>,
    /// Only offers of so many units; 1 when nobody says.
    #[schemars(range(min = 1))]
    min_qty: Option<i64>,
    /// In minor units; needs `currency`.
    #[schemars(range(min = 0))]
    max_price: Option<i64>,
    /// ISO 4217 code. Without one, answers are grouped by currency.
    #[schemars(with = "Option<Currency>")]
    currency: Option<String>,
    /// Days until hand-over.
    max_lead_days: Option<u16>,
    /// Latitude and longitude in degrees, by a comma; needs `radius_km`.
    near: Option<String>,
    /// Needs `near`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    radius_km: Option<f64>,
    /// `price` when nobody says; `distance` needs `near`.
    sort: Option<Sort>,
    /// Offers in the answer, of each good; 50 when nobody says.
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    limit: Option<usize>,
    /// `next` of the page before; only with the same question.
    cursor: Option<String>,
    /// Wait until this replica shows that write.
    after_position: Option<String>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AvailabilityQuestion")]
pub(crate) struct QueryBody {
    /// What is asked for.
    #[schemars(length(min = 1, max = GOODS_MAX))]
    goods: Vec<Good>,
    /// Only what may be sent there; withheld offers of other regions do not count.
    #[schemars(with = "Option<Region>")]
    region: Option<String>,
    /// Only offers of so many units, of each good that does not say its own; 1 when nobody says.
    #[schemars(range(min = 1))]
    min_qty: Option<i64>,
    /// In minor units; needs `currency`.
    #[schemars(range(min = 0))]
    max_price: Option<i64>,
    /// ISO 4217 code. Without one, answers are grouped by currency.
    #[schemars(with = "Option<Currency>")]
    currency: Option<String>,
    /// Days until hand-over.
    max_lead_days: Option<u16>,
    /// Latitude and longitude in degrees, by a comma; needs `radius_km`.
    near: Option<String>,
    /// Needs `near`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    radius_km: Option<f64>,
    /// `price` when nobody says; `distance` needs `near`.
    sort: Option<Sort>,
    /// Offers in the answer, of each good; 50 when nobody says.
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    limit: Option<usize>,
    /// Wait until this replica shows that write.
    after_position: Option<String>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Good {
    /// This or `gtin`.
    #[schemars(with = "Option<Sku>")]
    sku: Option<String>,
    /// This or `sku`.
    gtin: Option<String>,
    #[schemars(range(min = 1))]
    min_qty: Option<i64>,
}

pub(super) enum Asked {
    Sku(Sku),
    Gtin(Gtin),
}

impl Asked {
    pub(super) fn sku(&self) -> Option<&Sku> {
        match self {
            Asked::Sku(sku) => Some(sku),
            Asked::Gtin(_) => None,
        }
    }
    pub(super) fn gtin(&self) -> Option<Gtin> {
        match self {
            Asked::Sku(_) => None,
            Asked::Gtin(gtin) => Some(*gtin),
        }
    }
}

impl AvailabilityQuery {
    /// What is wanted of each good, from the first page on.
    pub(super) fn wanted(&self, fields: &mut Fields) -> Query {
        let currency = fields.check_some("currency", self.currency.as_deref().map(Currency::new));
        max_price(fields, "", self.max_price, currency);
        let near = near(fields, "", self.near.as_deref(), self.radius_km);
        Query {
            region: fields.check_some("region", self.region.as_deref().map(Region::new)),
            min_qty: min_qty(fields, "min_qty", self.min_qty),
            max_price: self.max_price,
            currency,
            max_lead_days: self.max_lead_days,
            near,
            sort: sort(fields, "sort", self.sort, self.near.is_some()),
            after: None,
            limit: limit(fields, "limit", self.limit),
        }
    }
}

pub(super) fn admit(app: &App, caller: &Caller, units: usize) -> Result<Option<Allowance>, Problem> {
    caller.must(|role| *role == Role::Buyer || role.is_staff())?;
    app.caught_up()?;
    app.limits.take("buyer", &caller.0.id, units)
}

/// The good asked for: exactly one of SKU and GTIN.
pub(super) fn asked(fields: &mut Fields, at: &str, sku: Option<&str>, gtin: Option<&str>) -> Option<Asked> {
    match (sku, gtin) {
        (Some(sku), None) => fields.check(&format!("{at}sku"), Sku::new(sku)).map(Asked::Sku),
        (None, Some(gtin)) => fields.check(&format!("{at}gtin"), shared_gtin(gtin)).map(Asked::Gtin),
        _ => {
            fields.require(false, &format!("{at}sku"), "sku_or_gtin", "give exactly one of sku and gtin");
            None
        }
    }
}

/// A GTIN that means the same good in every shop.
fn shared_gtin(text: &str) -> Result<Gtin, Invalid> {
    let gtin = Gtin::new(text)?;
    if gtin.is_restricted() {
        let detail = format!("{gtin} is a number that shops give their own goods; ask by sku");
        return Err(Invalid::new("gtin_restricted", detail));
    }
    Ok(gtin)
}

/// What is asked to be near; `at` is where the fields are.
fn near(
    fields: &mut Fields,
    at: &str,
    near: Option<&str>,
    radius_km: Option<f64>,
) -> Option<(f64, f64, f64)> {
    let text = match (near, radius_km) {
        (None, None) => return None,
        (Some(text), Some(_)) => text,
        _ => {
            fields.require(
                false,
                &format!("{at}near"),
                "near_and_radius",
                "near (latitude,longitude) and radius_km go together",
            );
            return None;
        }
    };
    let parsed = text
        .split_once(',')
        .and_then(|(lat, lon)| Some((lat.trim().parse().ok()?, lon.trim().parse().ok()?)));
    let ok = parsed.filter(|(lat, lon): &(f64, f64)| lat.abs() <= 90.0 && lon.abs() <= 180.0);
    fields.require(
        ok.is_some(),
        &format!("{at}near"),
        "coordinate_range",
        "near is latitude,longitude in degrees, such as 52.5,13.4",
    );
    let radius = radius_km.filter(|radius| radius.is_finite() && *radius > 0.0);
    fields.require(radius.is_some(), &format!("{at}radius_km"), "radius_range", "radius_km must be above 0");
    ok.zip(radius).map(|((lat, lon), radius)| (lat, lon, radius))
}

/// The order asked for.
fn sort(fields: &mut Fields, at: &str, given: Option<Sort>, is_near: bool) -> Sort {
    let sort = given.unwrap_or_default();
    let known = sort != Sort::Distance || is_near;
    fields.require(known, at, "near_required", "to sort by distance, say near what: near and radius_km");
    sort
}

fn min_qty(fields: &mut Fields, at: &str, given: Option<i64>) -> i64 {
    let min_qty = given.unwrap_or(1);
    fields.require(min_qty >= 1, at, "quantity_range", "min_qty must be 1 or more");
    min_qty
}

fn limit(fields: &mut Fields, at: &str, given: Option<usize>) -> usize {
    let limit = given.unwrap_or(50);
    fields.require(
        (1..=LIMIT_MAX).contains(&limit),
        at,
        "limit_range",
        format!("limit must be 1 to {LIMIT_MAX}"),
    );
    limit
}

/// The highest price asked for; `at` is where the fields are.
pub(super) fn max_price(fields: &mut Fields, at: &str, given: Option<i64>, currency: Option<Currency>) {
    fields.require(
        given.is_none_or(|most| most >= 0),
        &format!("{at}max_price"),
        "amount_range",
        "max_price must be 0 or more minor units",
    );
    let known = given.is_none() || currency.is_some();
    fields.require(
        known,
        &format!("{at}currency"),
        "currency_required",
        "max_price is in minor units of a currency: give it too",
    );
}

pub(crate) async fn availability(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let allowance = admit(&app, &caller, 1)?;
    // Read where they are: extractors would copy all headers.
    let query: AvailabilityQuery = request::query(request.uri())?;
    let mut fields = Fields::default();
    let good = asked(&mut fields, "", query.sku.as_deref(), query.gtin.as_deref());
    let mut wanted = query.wanted(&mut fields);
    let good = fields.finish(good).map_err(Problem::invalid)?;
    if let Some(cursor) = &query.cursor {
        wanted.after = Some(read_cursor(cursor, &question(&good, &wanted))?);
    }
    if let Some(position) = named(request.headers(), query.after_position.as_deref()) {
        await_position(&app, &position).await?;
    }
    let page = find(&app, &good, &wanted);
    let next = page.next().map(|key| write_cursor(&question(&good, &wanted), &key));
    let fresh = app.fresh();
    let answer = Availability {
        fresh: &fresh,
        completeness: completeness(&app),
        offers: &page,
        next: next.as_deref(),
    };
    let mut response = answer.into_response(request.headers())?;
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    if let Some(next) = next
        && let Ok(link) = HeaderValue::from_maybe_shared(bytes::Bytes::from(next_link(&query, &next)))
    {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// A link to the same question with another cursor.
fn next_link(query: &AvailabilityQuery, cursor: &str) -> String {
    use std::fmt::Write as _;
    let mut link = String::with_capacity(128 + cursor.len());
    link.push_str("</v1/availability");
    let mut separator = '?';
    let mut name = |link: &mut String, name: &str| {
        link.push(std::mem::replace(&mut separator, '&'));
        link.push_str(name);
        link.push('=');
    };
    let sort = query.sort.map(|sort| match sort {
        Sort::Price => "price",
        Sort::Lead => "lead",
        Sort::Distance => "distance",
    });
    let texts = [
        ("sku", query.sku.as_deref()),
        ("gtin", query.gtin.as_deref()),
        ("region", query.region.as_deref()),
        ("currency", query.currency.as_deref()),
        ("near", query.near.as_deref()),
        ("sort", sort),
        ("cursor", Some(cursor)),
    ];
    for (of, text) in texts.into_iter().filter_map(|(of, text)| Some((of, text?))) {
        name(&mut link, of);
        escape_segment(&mut link, text);
    }
    let numbers = [
        ("min_qty", query.min_qty),
        ("max_price", query.max_price),
        ("max_lead_days", query.max_lead_days.map(i64::from)),
        ("limit", query.limit.and_then(|limit| i64::try_from(limit).ok())),
    ];
    // Writing into a text cannot fail.
    for (of, number) in numbers.into_iter().filter_map(|(of, number)| Some((of, number?))) {
        name(&mut link, of);
        let _ = write!(link, "{number}");
    }
    if let Some(radius_km) = query.radius_km {
        name(&mut link, "radius_km");
        let _ = write!(link, "{radius_km}");
    }
    link.push_str(">; rel=\"next\"");
    link
}

pub(crate) async fn query(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    let body: QueryBody = body::parse(&text)?;
    let allowance = admit(&app, &caller, body.goods.len())?;
    let mut fields = Fields::default();
    let size = (1..=GOODS_MAX).contains(&body.goods.len());
    fields.require(size, "/goods", "batch_size", format!("ask for 1 to {GOODS_MAX} goods"));
    let currency = fields.check_some("/currency", body.currency.as_deref().map(Currency::new));
    max_price(&mut fields, "/", body.max_price, currency);
    let near = near(&mut fields, "/", body.near.as_deref(), body.radius_km);
    let common = Query {
        region: fields.check_some("/region", body.region.as_deref().map(Region::new)),
        min_qty: min_qty(&mut fields, "/min_qty", body.min_qty),
        max_price: body.max_price,
        currency,
        max_lead_days: body.max_lead_days,
        near,
        sort: sort(&mut fields, "/sort", body.sort, body.near.is_some()),
        after: None,
        limit: limit(&mut fields, "/limit", body.limit),
    };
    let mut goods = Vec::with_capacity(body.goods.len());
    for (index, good) in body.goods.iter().enumerate() {
        let at = format!("/goods/{index}/");
        let wanted = match good.min_qty {
            Some(_) => min_qty(&mut fields, &format!("{at}min_qty"), good.min_qty),
            None => common.min_qty,
        };
        goods.push((asked(&mut fields, &at, good.sku.as_deref(), good.gtin.as_deref()), wanted));
    }
    fields.into_problem()?;
    if let Some(position) = named(&headers, body.after_position.as_deref()) {
        await_position(&app, &position).await?;
    }
    let mut results = Vec::with_capacity(goods.len());
    for (good, min_qty) in &goods {
        let Some(good) = good else { continue };
        let offers = find(&app, good, &Query { min_qty: *min_qty, ..common.clone() });
        results.push(GoodResult { sku: good.sku(), gtin: good.gtin(), offers });
    }
    let fresh = app.fresh();
    let answer = Results { fresh: &fresh, completeness: completeness(&app), results: &results };
    let mut response = answer.into_response();
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    Ok(response)
}

/// Whether an answer may lack something that was there when this replica started: a picture lacks what came after it.
pub(super) fn completeness(app: &App) -> &'static str {
    if app.shown.is_none() && app.ready().is_ok() { "complete" } else { "partial" }
}

pub(super) fn find<'a>(app: &'a App, good: &Asked, query: &Query) -> Page<'a> {
    match good {
        Asked::Sku(sku) => app.index.find(sku, query, &app.overlay),
        Asked::Gtin(gtin) => app.index.find_gtin(*gtin, query, &app.overlay),
    }
}

/// What a question is, whatever the page: a cursor of one question is none of another.
pub(super) fn question(good: &Asked, query: &Query) -> String {
    let Query { region, min_qty, max_price, currency, max_lead_days, near, sort, after: _, limit: _ } = query;
    let good = match good {
        Asked::Sku(sku) => ("sku", sku.to_string()),
        Asked::Gtin(gtin) => ("gtin", gtin.to_string()),
    };
    let bounds =
        format!("{region:?} {min_qty} {max_price:?} {currency:?} {max_lead_days:?} {near:?} {sort:?}");
    body_hash(&[good.0.as_bytes(), good.1.as_bytes(), bounds.as_bytes()])[..16].to_owned()
}

/// Opaque to callers: hex of the question and the place in its answer.
fn write_cursor(question: &str, after: &SortKey) -> String {
    // Numbers, names and booleans are always written.
    hex(&serde_json::to_vec(&(question, after)).unwrap_or_default())
}

fn read_cursor(text: &str, question: &str) -> Result<SortKey, Problem> {
    let refused = |code, detail| Problem::invalid(vec![FieldError::new("cursor", code, detail)]);
    let bad = || refused("bad_cursor", "send the cursor exactly as an answer handed it out");
    let bytes = Some(text).filter(|text| text.len() <= CURSOR_LEN_MAX).and_then(of_hex).ok_or_else(bad)?;
    let (of, after): (String, SortKey) = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    if of != question {
        let detail =
            "this cursor continues another question; repeat that one, or begin this one without a cursor";
        return Err(refused("cursor_of_another_question", detail));
    }
    Ok(after)
}
