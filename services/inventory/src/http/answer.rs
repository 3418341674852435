//! What buyers are answered, written out from where the index keeps it.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Serialize, Serializer, ser::SerializeSeq as _};
use stockade_model::{Gtin, Region};
use stockade_runtime::Problem;

use crate::domain::{Page, Seen};

/// Bytes of an answer without offers, and of an offer: roughly, so that a body is seldom moved while it grows.
const ANSWER_BYTES: usize = 512;
const OFFER_BYTES: usize = 192;

/// The answer to `GET /v1/availability`.
#[derive(Serialize)]
pub(super) struct Availability<'a> {
    /// Up to when what was written is in it, RFC 3339.
    pub(super) as_of: &'a str,
    /// How long ago that is.
    pub(super) staleness_ms: i64,
    pub(super) completeness: &'static str,
    pub(super) offers: Offers<'a>,
    /// The cursor of the next page, where there is one.
    pub(super) next: Option<&'a str>,
}

/// The answer to `POST /v1/availability:query`.
#[derive(Serialize)]
pub(super) struct Results<'a> {
    pub(super) as_of: &'a str,
    pub(super) staleness_ms: i64,
    pub(super) completeness: &'static str,
    pub(super) results: &'a [GoodResult<'a>],
}

/// What was found of one good.
#[derive(Serialize)]
pub(super) struct GoodResult<'a> {
    /// The good, as it was asked for: one of the two.
    pub(super) sku: Option<&'a str>,
    pub(super) gtin: Option<Digits>,
    pub(super) offers: Offers<'a>,
    /// Whether there are more than the limit.
    pub(super) more: bool,
}

/// The offers of a page.
pub(super) struct Offers<'a>(pub(super) Page<'a>);

impl Serialize for Offers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.try_each(|seen| list.serialize_element(&OfferBody::of(&seen)))?;
        list.end()
    }
}

/// An offer as buyers read it.
#[derive(Serialize)]
struct OfferBody<'a> {
    supplier: &'a str,
    listing: &'a str,
    sku: &'a str,
    gtin: Option<Digits>,
    price: Price<'a>,
    available: i64,
    regions: Names<'a>,
    lead_days: u16,
}

#[derive(Serialize)]
struct Price<'a> {
    minor: i64,
    currency: &'a str,
}

impl<'a> OfferBody<'a> {
    fn of(seen: &'a Seen<'a>) -> Self {
        Self {
            supplier: seen.supplier,
            listing: seen.listing,
            sku: seen.sku,
            gtin: seen.gtin.map(Digits),
            price: Price { minor: seen.price.minor, currency: seen.price.currency.as_str() },
            available: seen.available,
            regions: Names(seen.regions),
            lead_days: seen.lead_days,
        }
    }
}

/// A GTIN, written without being made a text of its own.
pub(super) struct Digits(pub(super) Gtin);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Names<'a>(&'a [Region]);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Region::as_str))
    }
}

/// A response with `answer` as its JSON, of about so many `offers`.
pub(super) fn json(answer: &impl Serialize, offers: usize) -> Result<Response, Problem> {
    let mut body = Vec::with_capacity(ANSWER_BYTES + offers * OFFER_BYTES);
    serde_json::to_writer(&mut body, answer).map_err(|error| {
        let detail = format!("the answer could not be written out: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "answer_unwritten", detail)
    })?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}
