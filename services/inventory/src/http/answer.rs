//! What buyers are answered, written out from where the index keeps it.
//!
//! Most of what is written as text here is an id, a code of ISO's, digits, a time or a cursor: none of them can hold a
//! character that JSON would have to escape (`stockade_model::ids` has the list of those that an id may hold). SKUs and
//! listings are a seller's own names and may hold quotes.
//!
//! When an answer was true changes with every millisecond and stands at the front; what was found changes seldom. So the
//! entity tag is that of everything behind the front, and weak: whoever asks again with `If-None-Match` is told 304 as long
//! as nothing was bought, sold, listed or withheld in what they see.

use std::convert::Infallible;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use stockade_model::{Gtin, Sku};
use stockade_runtime::{Problem, http::has_already};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    app::Freshness,
    domain::{Page, Seen},
};

/// Bytes of an answer without offers, and of an offer: roughly, so that a body is seldom moved while it grows.
const ANSWER_BYTES: usize = 768;
const OFFER_BYTES: usize = 192;

/// The answer to `GET /v1/availability`: `as_of`, `staleness_ms`, `completeness`, `offers`, `next`.
pub(super) struct Availability<'a> {
    pub(super) fresh: &'a Freshness,
    pub(super) completeness: &'static str,
    pub(super) offers: &'a Page<'a>,
    /// The cursor of the next page, where there is one.
    pub(super) next: Option<&'a str>,
}

/// The answer to `POST /v1/availability:query`: `as_of`, `staleness_ms`, `completeness`, `results`.
pub(super) struct Results<'a> {
    pub(super) fresh: &'a Freshness,
    pub(super) completeness: &'static str,
    pub(super) results: &'a [GoodResult<'a>],
}

/// What was found of one good: `sku` and `gtin` as it was asked for, of which one is null, `offers`, and whether there are
/// `more` than the limit.
pub(super) struct GoodResult<'a> {
    pub(super) sku: Option<&'a Sku>,
    pub(super) gtin: Option<Gtin>,
    pub(super) offers: Page<'a>,
}

/// The shapes of what is written here by hand, for the document of the API; tests hold what is written against them.
#[expect(dead_code, reason = "they describe what is written out by hand")]
pub(super) mod shapes {
    use schemars::JsonSchema;
    use stockade_model::{ListingId, Money, Region, Sku, SupplierId, Timestamp};

    /// What a supplier offers, as buyers see it.
    #[derive(JsonSchema)]
    pub(in crate::http) struct SeenOffer {
        supplier: SupplierId,
        listing: ListingId,
        sku: Sku,
        /// As GTIN-14, where it has one.
        #[schemars(regex(pattern = r"^\d{14}$"))]
        gtin: Option<String>,
        price: Money,
        /// Units that may be reserved.
        #[schemars(range(min = 1))]
        available: i64,
        /// Regions it may be sent to.
        regions: Vec<Region>,
        /// Days until hand-over.
        #[schemars(range(min = 0, max = 65_535))]
        lead_days: i64,
    }

    /// Whether something may be missing because this replica has not read all that there was before it started.
    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub(in crate::http) enum Completeness {
        Complete,
        Partial,
    }

    /// What is available of one good.
    #[derive(JsonSchema)]
    pub(in crate::http) struct Availability {
        /// Up to when everything is in the answer.
        as_of: Timestamp,
        /// How far behind the clock that is.
        staleness_ms: i64,
        completeness: Completeness,
        offers: Vec<SeenOffer>,
        /// The cursor of the next page; null on the last.
        next: Option<String>,
    }

    /// What is available of one good among several.
    #[derive(JsonSchema)]
    pub(in crate::http) struct AvailabilityOfGood {
        /// As it was asked for; null where it was by GTIN.
        sku: Option<Sku>,
        /// As GTIN-14 where it was asked for so; else null.
        gtin: Option<String>,
        offers: Vec<SeenOffer>,
        /// Whether there are more than the limit.
        more: bool,
    }

    /// What is available of several goods.
    #[derive(JsonSchema)]
    pub(in crate::http) struct AvailabilityOfGoods {
        /// Up to when everything is in the answer.
        as_of: Timestamp,
        /// How far behind the clock that is.
        staleness_ms: i64,
        completeness: Completeness,
        /// In the order in which they were asked for.
        results: Vec<AvailabilityOfGood>,
    }
}

/// How fresh an answer without a body is.
const AS_OF: HeaderName = HeaderName::from_static("stockade-as-of");
const STALENESS_MS: HeaderName = HeaderName::from_static("stockade-staleness-ms");

impl Availability<'_> {
    /// The answer with its tag, or 304 when the caller has it already.
    pub(super) fn into_response(self, asked: &HeaderMap) -> Result<Response, Problem> {
        let (fresh, body) = (self.fresh, self.written());
        let tag = body.tag();
        // Nearly nobody says what they have, and then there is nothing to compare.
        let says = asked.contains_key(header::IF_NONE_MATCH);
        let mut response = if says && has_already(asked, &String::from_utf8_lossy(&tag[3..19]))? {
            let staleness_ms = HeaderValue::from(fresh.staleness_ms);
            let as_of = HeaderValue::from_str(&fresh.as_of_text).ok();
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            response.headers_mut().insert(STALENESS_MS, staleness_ms);
            response.headers_mut().extend(as_of.map(|as_of| (AS_OF, as_of)));
            response
        } else {
            body.into_response()
        };
        if let Ok(tag) = HeaderValue::from_bytes(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    }

    fn written(self) -> Json {
        let mut body = Json::with_room_for(self.offers.len());
        body.head(self.fresh, self.completeness);
        body.raw(",\"offers\":");
        body.offers(self.offers);
        body.raw(",\"next\":");
        body.text_or_null(self.next);
        body.raw("}");
        body
    }
}

impl Results<'_> {
    pub(super) fn into_response(self) -> Response {
        let offers: usize = self.results.iter().map(|result| result.offers.len() + 1).sum();
        let mut body = Json::with_room_for(offers);
        body.head(self.fresh, self.completeness);
        body.raw(",\"results\":[");
        for (at, result) in self.results.iter().enumerate() {
            body.raw(if at == 0 { "{" } else { ",{" });
            body.good(result);
            body.raw("}");
        }
        body.raw("]}");
        body.into_response()
    }
}

/// What a stream says of one good: the members of a [`GoodResult`] with `as_of`, `staleness_ms` and `completeness` before them;
/// and a tag of what was found, whenever that was.
pub(super) fn good(fresh: &Freshness, completeness: &str, result: &GoodResult<'_>) -> (String, u32) {
    let mut body = Json::with_room_for(result.offers.len());
    body.head(fresh, completeness);
    body.raw(",");
    body.good(result);
    body.raw("}");
    let tag = xxh3_64(body.0.get(body.1..).unwrap_or_default()) as u32;
    // Everything was written from texts.
    (String::from_utf8(body.0).unwrap_or_default(), tag)
}

/// How fresh the index is, for a stream that is up to date.
pub(super) fn up_to_date(fresh: &Freshness, completeness: &str) -> String {
    let mut body = Json::with_room_for(0);
    body.head(fresh, completeness);
    body.raw("}");
    String::from_utf8(body.0).unwrap_or_default()
}

/// A body that is being written: its bytes, and where those begin that do not change with time alone.
struct Json(Vec<u8>, usize);

impl Json {
    fn with_room_for(offers: usize) -> Self {
        Self(Vec::with_capacity(ANSWER_BYTES + offers * OFFER_BYTES), 0)
    }

    /// The tag of what was found, whenever that was, as a header has it: sixteen digits between `W/"` and `"`.
    fn tag(&self) -> [u8; 20] {
        let hash = xxh3_64(self.0.get(self.1..).unwrap_or_default());
        let mut tag = *b"W/\"0000000000000000\"";
        for (at, digit) in tag[3..19].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(hash >> (60 - 4 * at) & 15) as usize];
        }
        tag
    }

    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0).into_response()
    }

    fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'"');
        self.raw(text);
        self.0.push(b'"');
    }

    /// A seller's own name.
    fn name(&mut self, name: &str) {
        if name.bytes().any(|byte| matches!(byte, b'"' | b'\\')) {
            // Writing a text into memory cannot fail.
            let _ = serde_json::to_writer(&mut self.0, name);
        } else {
            self.text(name);
        }
    }

    fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    fn number(&mut self, number: i64) {
        if number < 0 {
            self.0.push(b'-');
        }
        self.digits(number.unsigned_abs(), 1);
    }

    /// At least so many digits.
    fn digits(&mut self, mut number: u64, least: usize) {
        let mut digits = [b'0'; 20];
        let mut from = digits.len();
        while number > 0 || digits.len() - from < least {
            from -= 1;
            digits[from] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.0.extend_from_slice(&digits[from..]);
    }

    /// As GTIN-14.
    fn gtin(&mut self, gtin: Option<Gtin>) {
        match gtin {
            Some(gtin) => {
                self.0.push(b'"');
                self.digits(gtin.digits(), 14);
                self.0.push(b'"');
            }
            None => self.raw("null"),
        }
    }

    fn good(&mut self, result: &GoodResult<'_>) {
        self.raw("\"sku\":");
        match result.sku {
            Some(sku) => self.name(sku.as_str()),
            None => self.raw("null"),
        }
        self.raw(",\"gtin\":");
        self.gtin(result.gtin);
        self.raw(",\"offers\":");
        self.offers(&result.offers);
        self.raw(if result.offers.has_more() { ",\"more\":true" } else { ",\"more\":false" });
    }

    fn head(&mut self, fresh: &Freshness, completeness: &str) {
        self.raw("{\"as_of\":");
        self.text(&fresh.as_of_text);
        self.raw(",\"staleness_ms\":");
        self.number(fresh.staleness_ms);
        self.1 = self.0.len();
        self.raw(",\"completeness\":");
        self.text(completeness);
    }

    fn offers(&mut self, page: &Page<'_>) {
        self.raw("[");
        let mut first = true;
        let Ok(()) = page.try_each(|seen| {
            self.raw(if std::mem::take(&mut first) { "{\"supplier\":" } else { ",{\"supplier\":" });
            self.offer(&seen);
            Ok::<(), Infallible>(())
        });
        self.raw("]");
    }

    fn offer(&mut self, seen: &Seen<'_>) {
        self.text(seen.supplier);
        self.raw(",\"listing\":");
        self.name(seen.listing);
        self.raw(",\"sku\":");
        self.name(seen.sku);
        self.raw(",\"gtin\":");
        self.gtin(seen.gtin);
        self.raw(",\"price\":{\"minor\":");
        self.number(seen.price.minor);
        self.raw(",\"currency\":");
        self.text(seen.price.currency.as_str());
        self.raw("},\"available\":");
        self.number(seen.available);
        self.raw(",\"regions\":[");
        for (at, region) in seen.regions.iter().enumerate() {
            self.raw(if at == 0 { "" } else { "," });
            self.text(region.as_str());
        }
        self.raw("],\"lead_days\":");
        self.number(seen.lead_days.into());
        self.raw("}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use stockade_model::{Currency, ListingId, LocationId, Money, Region, SupplierId, Timestamp};
    use stockade_quarantine::Overlay;

    use super::*;
    use crate::domain::{Index, Offer, Query};

    async fn value(response: Response) -> Value {
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_what_serde_would_have_written() {
        let (index, overlay) = (Index::default(), Overlay::default());
        let sku = Sku::new("a.b_c-d:e@f+g/ \"Größe\" \\ 货").unwrap();
        let region = |name| Region::new(name).unwrap();
        let mut offers = Vec::new();
        for (at, minor) in [0, 7, 10, 1_000_000_000_000].into_iter().enumerate() {
            let offer = Offer {
                supplier: SupplierId::new(&format!("s-{at}")).unwrap(),
                listing: ListingId::new("l:1 \"x\"").unwrap(),
                sku: sku.clone(),
                gtin: (at % 2 == 0).then(|| Gtin::new("96385074").unwrap()),
                price: Money::new(minor, Currency::new("EUR").unwrap()).unwrap(),
                available: 1 + at as i64 * 1_000,
                on_hand: 1,
                withdrawn: false,
                own_regions: false,
                regions: if at == 1 { [region("DE"), region("BR-SP")].into() } else { [region("FR")].into() },
                location: LocationId::new("main").unwrap(),
                lead_days: at as u16 * 100,
                latitude: 0.0,
                longitude: 0.0,
                version: 1,
                updated: Timestamp::default(),
                number: 0,
            };
            index.put(&offer, &overlay);
            offers.push(json!({
                "supplier": offer.supplier, "listing": offer.listing, "sku": offer.sku, "gtin": offer.gtin, "price": offer.price,
                "available": offer.available, "regions": offer.regions, "lead_days": offer.lead_days,
            }));
        }
        let fresh = Freshness::new(Timestamp::from_ms(1_790_000_000_123), 45, 0);
        let page = |limit| index.find(&sku, &Query { limit, ..Query::default() }, &overlay);
        let all = page(9);
        let answer =
            Availability { fresh: &fresh, completeness: "complete", offers: &all, next: Some("5b00") };
        let expected = json!({
            "as_of": "2026-09-21T14:13:20.123Z", "staleness_ms": 45, "completeness": "complete", "offers": offers, "next": "5b00",
        });
        assert_eq!(value(answer.into_response(&HeaderMap::new()).unwrap()).await, expected);
        let gtin = Gtin::new("4006381333931").unwrap();
        let results = [
            GoodResult { sku: Some(&sku), gtin: None, offers: page(1) },
            GoodResult { sku: None, gtin: Some(gtin), offers: page(0) },
        ];
        let answer = Results { fresh: &fresh, completeness: "partial", results: &results };
        let expected = json!({
            "as_of": "2026-09-21T14:13:20.123Z", "staleness_ms": 45, "completeness": "partial",
            "results": [
                { "sku": sku, "gtin": null, "offers": offers[..1], "more": true },
                { "sku": null, "gtin": gtin, "offers": [], "more": true },
            ],
        });
        assert_eq!(value(answer.into_response()).await, expected);
    }

    #[test]
    fn the_tag_is_that_of_what_was_found_and_not_of_when() {
        let (index, overlay) = (Index::default(), Overlay::default());
        let found = index.find(&Sku::new("S").unwrap(), &Query::default(), &overlay);
        let at = |ms: i64, completeness, next| {
            let fresh = Freshness::new(Timestamp::from_ms(1_790_000_000_000 + ms), ms, 0);
            Availability { fresh: &fresh, completeness, offers: &found, next }.written().tag()
        };
        let tag = at(0, "complete", None);
        assert_eq!(at(123_456, "complete", None), tag, "however much later, and however stale");
        assert_ne!(at(0, "partial", None), tag);
        assert_ne!(at(0, "complete", Some("5b00")), tag);
    }
}
