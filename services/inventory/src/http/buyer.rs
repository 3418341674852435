//! Buyers: availability.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query as UrlQuery, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use stockade_model::{Currency, Gtin, Invalid, Region, Sku, hash::hex};
use stockade_runtime::{Caller, FieldError, Problem, Role, body, http::path_segment, limits::Allowance};

use super::{
    fields::Fields,
    supplier::body_hash,
    token::{await_position, named},
};
use crate::{
    app::App,
    domain::{Offer, Query, Sort, SortKey},
};

/// Goods in one `:query`.
const GOODS_MAX: usize = 100;
/// Offers in one answer.
const LIMIT_MAX: usize = 500;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AvailabilityQuery {
    sku: Option<String>,
    gtin: Option<String>,
    region: Option<String>,
    min_qty: Option<i64>,
    max_price: Option<i64>,
    currency: Option<String>,
    max_lead_days: Option<u16>,
    near: Option<String>,
    radius_km: Option<f64>,
    sort: Option<Sort>,
    limit: Option<usize>,
    cursor: Option<String>,
    after_position: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryBody {
    goods: Vec<Good>,
    region: Option<String>,
    max_price: Option<i64>,
    currency: Option<String>,
    max_lead_days: Option<u16>,
    sort: Option<Sort>,
    limit: Option<usize>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Good {
    sku: Option<String>,
    gtin: Option<String>,
    min_qty: Option<i64>,
}

enum Asked {
    Sku(Sku),
    Gtin(Gtin),
}

pub(super) fn admit(app: &App, caller: &Caller, units: usize) -> Result<Option<Allowance>, Problem> {
    caller.must(|role| *role == Role::Buyer || role.is_staff())?;
    app.caught_up()?;
    app.limits.take("buyer", &caller.0.id, units)
}

/// The good asked for: exactly one of SKU and GTIN.
fn asked(fields: &mut Fields, at: &str, sku: Option<&str>, gtin: Option<&str>) -> Option<Asked> {
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

fn near(fields: &mut Fields, near: Option<&str>, radius_km: Option<f64>) -> Option<(f64, f64, f64)> {
    let text = match (near, radius_km) {
        (None, None) => return None,
        (Some(text), Some(_)) => text,
        _ => {
            fields.require(
                false,
                "near",
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
        "near",
        "coordinate_range",
        "near is latitude,longitude in degrees, such as 52.5,13.4",
    );
    let radius = radius_km.filter(|radius| radius.is_finite() && *radius > 0.0);
    fields.require(radius.is_some(), "radius_km", "radius_range", "radius_km must be above 0");
    ok.zip(radius).map(|((lat, lon), radius)| (lat, lon, radius))
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

fn max_price(fields: &mut Fields, at: &str, given: Option<i64>, currency: Option<Currency>) {
    fields.require(
        given.is_none_or(|most| most >= 0),
        at,
        "amount_range",
        "max_price must be 0 or more minor units",
    );
    let known = given.is_none() || currency.is_some();
    fields.require(
        known,
        "currency",
        "currency_required",
        "max_price is in minor units of a currency: give it too",
    );
}

pub(crate) async fn availability(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<UrlQuery<AvailabilityQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let allowance = admit(&app, &caller, 1)?;
    let UrlQuery(query) =
        query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "bad_query", e.body_text()))?;
    let mut fields = Fields::default();
    let good = asked(&mut fields, "", query.sku.as_deref(), query.gtin.as_deref());
    let currency = fields.check_some("currency", query.currency.as_deref().map(Currency::new));
    max_price(&mut fields, "max_price", query.max_price, currency);
    let mut wanted = Query {
        region: fields.check_some("region", query.region.as_deref().map(Region::new)),
        min_qty: min_qty(&mut fields, "min_qty", query.min_qty),
        max_price: query.max_price,
        currency,
        max_lead_days: query.max_lead_days,
        near: near(&mut fields, query.near.as_deref(), query.radius_km),
        sort: query.sort.unwrap_or_default(),
        after: None,
        limit: limit(&mut fields, "limit", query.limit),
    };
    let good = fields.finish(good).map_err(Problem::invalid)?;
    let question = question(&good, &wanted);
    wanted.after = query.cursor.as_deref().map(|cursor| read_cursor(cursor, &question)).transpose()?;
    if let Some(position) = named(&headers, query.after_position.as_deref()) {
        await_position(&app, &position).await?;
    }
    let (offers, next) = find(&app, &good, &wanted);
    let mut answer = answer(&app);
    answer["offers"] = offers.iter().map(offer_body).collect();
    let next = next.map(|key| write_cursor(&question, &key));
    answer["next"] = next.as_deref().into();
    let mut response = Json(answer).into_response();
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    if let Some(next) = next {
        let link = format!("</v1/availability?{}>; rel=\"next\"", next_query(&query, &next));
        if let Ok(value) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, value);
        }
    }
    Ok(response)
}

/// The same question with another cursor.
fn next_query(query: &AvailabilityQuery, cursor: &str) -> String {
    let mut parts = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("{name}={}", path_segment(&value))))
    };
    add("sku", query.sku.clone());
    add("gtin", query.gtin.clone());
    add("region", query.region.clone());
    add("min_qty", query.min_qty.map(|v| v.to_string()));
    add("max_price", query.max_price.map(|v| v.to_string()));
    add("currency", query.currency.clone());
    add("max_lead_days", query.max_lead_days.map(|v| v.to_string()));
    add("near", query.near.clone());
    add("radius_km", query.radius_km.map(|v| v.to_string()));
    add("sort", query.sort.map(|sort| if sort == Sort::Lead { "lead" } else { "price" }.to_owned()));
    add("limit", query.limit.map(|v| v.to_string()));
    add("cursor", Some(cursor.to_owned()));
    parts.join("&")
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
    max_price(&mut fields, "/max_price", body.max_price, currency);
    let common = Query {
        region: fields.check_some("/region", body.region.as_deref().map(Region::new)),
        min_qty: 1,
        max_price: body.max_price,
        currency,
        max_lead_days: body.max_lead_days,
        near: None,
        sort: body.sort.unwrap_or_default(),
        after: None,
        limit: limit(&mut fields, "/limit", body.limit),
    };
    let mut goods = Vec::with_capacity(body.goods.len());
    for (index, good) in body.goods.iter().enumerate() {
        let at = format!("/goods/{index}/");
        let wanted = min_qty(&mut fields, &format!("{at}min_qty"), good.min_qty);
        goods.push((asked(&mut fields, &at, good.sku.as_deref(), good.gtin.as_deref()), wanted));
    }
    fields.into_problem()?;
    if let Some(position) = named(&headers, None) {
        await_position(&app, &position).await?;
    }
    let results: Vec<Value> = goods
        .iter()
        .filter_map(|(good, min_qty)| {
            let good = good.as_ref()?;
            let (offers, next) = find(&app, good, &Query { min_qty: *min_qty, ..common.clone() });
            let (sku, gtin) = match good {
                Asked::Sku(sku) => (Some(sku), None),
                Asked::Gtin(gtin) => (None, Some(gtin)),
            };
            let offers: Vec<Value> = offers.iter().map(offer_body).collect();
            Some(json!({ "sku": sku, "gtin": gtin, "offers": offers, "more": next.is_some() }))
        })
        .collect();
    let mut answer = answer(&app);
    answer["results"] = results.into();
    let mut response = Json(answer).into_response();
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    Ok(response)
}

/// What every buyer answer carries.
fn answer(app: &App) -> Value {
    let (as_of, staleness_ms) = app.freshness();
    let completeness = if app.ready().is_ok() { "complete" } else { "partial" };
    json!({ "as_of": as_of, "staleness_ms": staleness_ms, "completeness": completeness })
}

fn find(app: &App, good: &Asked, query: &Query) -> (Vec<Offer>, Option<SortKey>) {
    let found = match good {
        Asked::Sku(sku) => app.index.query(sku, query, &app.overlay),
        Asked::Gtin(gtin) => app.index.query_all(&app.index.skus(*gtin), query, &app.overlay, Some(*gtin)),
    };
    (found.offers, found.next)
}

fn offer_body(offer: &Offer) -> Value {
    json!({
        "supplier": offer.supplier,
        "listing": offer.listing,
        "sku": offer.sku,
        "gtin": offer.gtin,
        "price": offer.price,
        "available": offer.available,
        "regions": offer.regions,
        "lead_days": offer.lead_days,
    })
}

/// What a question is, whatever the page: a cursor of one question is none of another.
fn question(good: &Asked, query: &Query) -> String {
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
    hex(json!([question, after]).to_string().as_bytes())
}

fn read_cursor(text: &str, question: &str) -> Result<SortKey, Problem> {
    let refused = |code, detail| Problem::invalid(vec![FieldError::new("cursor", code, detail)]);
    let bad = || refused("bad_cursor", "send the cursor exactly as an answer handed it out");
    if text.len() > 1_024 || !text.len().is_multiple_of(2) {
        return Err(bad());
    }
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes = (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>().ok_or_else(bad)?;
    let (of, after): (String, SortKey) = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    if of != question {
        let detail =
            "this cursor continues another question; repeat that one, or begin this one without a cursor";
        return Err(refused("cursor_of_another_question", detail));
    }
    Ok(after)
}
