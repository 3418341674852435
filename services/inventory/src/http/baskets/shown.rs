//! Baskets as their owners, order systems and analysts see them, and what a buyer is told of lines that are not to be had.

use stockade_model::{
    BasketId, Gtin, ListingId, Money, OrderId, Region, ReservationId, Sku, SupplierId, Timestamp,
};
use stockade_runtime::{FieldError, Problem};

use super::{LAPSED, RELEASED, asked::LineWanted, making::Attempt};
use crate::{
    app::App,
    domain::{
        Answers, BasketState, LineAsked, LineKnown, Offer, Query, ReservationState, Said,
        TOO_MANY_UNITS_HELD, basket_state,
    },
    http::{
        answer::shapes,
        reservations::{ReservationBody, not_available, too_many_units},
    },
};

/// What to do about a basket that is over and whose offers the service chose.
const AGAIN: &str =
    "it is over, and what was chosen for it is not held anew; reserve again under a fresh Idempotency-Key";
/// Other offers that are named for a line that is not to be had.
const ALTERNATIVES_MAX: usize = 3;

/// Whether lines are had all together or each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BasketMode")]
pub(super) enum Mode {
    /// All of them are held, or none.
    AllOrNothing,
    /// Each is held if it can be.
    PerLine,
}

/// Another offer of the same good.
#[derive(serde::Serialize)]
pub(super) struct Alternative {
    supplier: SupplierId,
    listing: ListingId,
    sku: Sku,
    gtin: Option<Gtin>,
    price: Money,
    available: i64,
    regions: Vec<Region>,
    lead_days: u16,
}

/// A line of a basket as its owner, order systems and analysts see it.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "BasketLine")]
pub(in crate::http) struct LineBody {
    /// Its place in the request, from 0.
    pub(super) line: usize,
    /// Whose; absent of a good that nobody offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) supplier: Option<SupplierId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listing: Option<ListingId>,
    /// The good that was asked for, where the line is not to be had and names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<Sku>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gtin: Option<Gtin>,
    pub(super) quantity: i64,
    /// The reservation that it is; absent where nothing is held for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<ReservationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<ReservationState>,
    /// Units that it keeps by itself.
    kept: i64,
    /// When what it keeps lapses, unless it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// The order it has become.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderId>,
    /// Whether the promise may not be kept.
    at_risk: bool,
    /// Stable code of the reason, where it is not as it was asked to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    /// The reason for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// Other offers of the same good in the same region with enough units, cheapest first, where the line is not to be had. Each
    /// is looked for by itself: two lines may be told of the same units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shapes::SeenOffer>", length(max = ALTERNATIVES_MAX))]
    pub(super) alternatives: Vec<Alternative>,
}

/// A basket as its owner, order systems and analysts see it.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Basket")]
pub(in crate::http) struct BasketBody {
    basket: BasketId,
    mode: Mode,
    state: BasketState,
    /// When the first line lapses, unless it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// Whether the promise may not be kept for one of its lines.
    at_risk: bool,
    /// Lines that are as they were asked to be.
    succeeded: usize,
    failed: usize,
    /// In the order in which they were asked for.
    pub(super) lines: Vec<LineBody>,
}

/// What a refusal of a basket says beside what every problem says.
#[derive(schemars::JsonSchema)]
#[schemars(rename = "BasketRefused")]
#[expect(dead_code, reason = "it describes a member of problems")]
pub(in crate::http) struct RefusedBody {
    /// Of a basket: what stood in the way of each line.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<LineBody>>,
}

/// Other offers of the good of `listing` that a buyer may have `quantity` units of.
pub(super) fn alternatives(
    app: &App,
    (supplier, listing): (&SupplierId, &ListingId),
    quantity: i64,
    region: Option<Region>,
) -> Vec<Alternative> {
    let Some(own) = app.own_listing(supplier, listing) else { return Vec::new() };
    // Who does not say where it is to go has it sent to where the listing serves, if that is one region.
    let region = region.or_else(|| own.regions.first().copied().filter(|_| own.regions.len() == 1));
    let shared = own.gtin.filter(|gtin| !gtin.is_restricted());
    let mut skus = shared.map(|gtin| app.index.skus(gtin)).unwrap_or_default();
    if !skus.contains(&own.sku) {
        skus.push(own.sku);
    }
    let currency = Some(own.price.currency);
    // One more, for the listing itself may be among them.
    let limit = ALTERNATIVES_MAX + 1;
    let query = Query { region, min_qty: quantity, currency, limit, ..Query::default() };
    let found = app.index.query_all(&skus, &query, &app.overlay, None).offers;
    others(app, found, Some((supplier, listing)), region)
}

/// Of offers that were found those that are not `but`, as buyers are shown them.
fn others(
    app: &App,
    found: Vec<Offer>,
    but: Option<(&SupplierId, &ListingId)>,
    region: Option<Region>,
) -> Vec<Alternative> {
    let others = found.into_iter().filter(|offer| but != Some((&offer.supplier, &offer.listing)));
    let seen = others.filter_map(|offer| {
        let left = offer.left(&app.overlay, region)?;
        Some(Alternative {
            available: app.index.available(&offer, &left),
            regions: left.regions.unwrap_or(offer.regions).into_vec(),
            supplier: offer.supplier,
            listing: offer.listing,
            sku: offer.sku,
            gtin: offer.gtin,
            price: offer.price,
            lead_days: offer.lead_days,
        })
    });
    seen.take(ALTERNATIVES_MAX).collect()
}

impl LineBody {
    fn known(app: &App, line: &LineKnown) -> Self {
        let own = ReservationBody::of(app, line.reservation.clone(), line.supplier.clone(), line.row.clone());
        Self {
            line: usize::from(line.place.line),
            supplier: Some(own.supplier),
            listing: Some(own.listing),
            sku: None,
            gtin: None,
            quantity: own.quantity,
            reservation: Some(own.reservation),
            state: Some(own.state),
            kept: own.kept,
            expires_at: own.expires_at,
            order: own.order,
            at_risk: own.at_risk,
            code: None,
            detail: None,
            alternatives: Vec::new(),
        }
    }

    /// A line that nothing is held for.
    fn asked(at: usize, wanted: &LineWanted, asked: Option<&LineAsked>) -> Self {
        let (sku, gtin) = wanted.good();
        Self {
            line: at,
            supplier: asked.map(|line| line.supplier.clone()),
            listing: asked.map(|line| line.listing.clone()),
            sku,
            gtin,
            quantity: wanted.quantity,
            reservation: None,
            state: None,
            kept: 0,
            expires_at: None,
            order: None,
            at_risk: false,
            code: None,
            detail: None,
            alternatives: Vec::new(),
        }
    }

    fn because(self, code: &str, detail: impl Into<String>) -> Self {
        Self { code: Some(code.to_owned()), detail: Some(detail.into()), ..self }
    }

    /// Why it is not to be had, as buyers are told, and what is instead.
    fn not_to_be_had(self, app: &App, wanted: &LineWanted, code: &str, detail: &str) -> Self {
        if code == "region_required" {
            return self.because(code, detail);
        }
        if code == TOO_MANY_UNITS_HELD {
            let line = self.because(code, detail);
            // As below.
            return if wanted.is_good() { Self { supplier: None, listing: None, ..line } } else { line };
        }
        let own = self.supplier.clone().zip(self.listing.clone());
        let own = own.as_ref().map(|(supplier, listing)| (supplier, listing));
        let region = wanted.region;
        let alternatives = match own {
            _ if wanted.is_good() => {
                // One more, for the one that was chosen may be among them.
                others(app, wanted.offers(app, ALTERNATIVES_MAX + 1), own, region)
            }
            Some(own) => alternatives(app, own, self.quantity, region),
            None => Vec::new(),
        };
        // Whatever keeps the units, for a buyer they are not there.
        let line = self.because("not_available", "these units are not available");
        if wanted.is_good() {
            // Whoever named a good is not told whom it might have come from: it may have been withheld since it was chosen.
            return Self { alternatives, supplier: None, listing: None, ..line };
        }
        Self { alternatives, ..line }
    }
}

impl BasketBody {
    /// Of lines of which there is at least one, in order of their places.
    pub(super) fn of(app: &App, basket: BasketId, known: &[LineKnown]) -> Self {
        let whole = known.first().is_some_and(|line| line.place.whole);
        let mode = if whole { Mode::AllOrNothing } else { Mode::PerLine };
        let lines = known.iter().map(|line| LineBody::known(app, line)).collect();
        let mut body = Self {
            basket,
            mode,
            state: basket_state(known),
            expires_at: None,
            at_risk: false,
            succeeded: 0,
            failed: 0,
            lines,
        };
        body.sum_up();
        body
    }

    pub(super) fn sum_up(&mut self) {
        self.lines.sort_by_key(|line| line.line);
        self.expires_at = self.lines.iter().filter_map(|line| line.expires_at).min();
        self.at_risk = self.lines.iter().any(|line| line.at_risk);
        self.failed = self.lines.iter().filter(|line| line.code.is_some()).count();
        self.succeeded = self.lines.len() - self.failed;
    }

    /// Says of each line why it is not as it was asked to be.
    pub(super) fn blame(&mut self, said: &Answers) {
        for line in &mut self.lines {
            if let Some(Said::Refused(code, detail)) = said.get(&line.line) {
                (line.code, line.detail) = (Some(code.clone()), Some(detail.clone()));
            }
        }
        self.sum_up();
    }
}

/// The lines that are not to be had.
pub(super) fn lines_refused(app: &App, attempt: &Attempt) -> Vec<LineBody> {
    let refused = attempt.said.iter().filter_map(|(at, said)| match said {
        Said::Refused(code, detail) => {
            let wanted = attempt.wanted.lines.get(*at)?;
            let body = LineBody::asked(*at, wanted, attempt.asked.lines.get(*at)?.as_ref());
            Some(match code.as_str() {
                LAPSED | RELEASED => body.because(code, detail),
                _ => body.not_to_be_had(app, wanted, code, detail),
            })
        }
        _ => None,
    });
    refused.collect()
}

/// Whether a line could be had by itself, as far as this replica sees.
fn is_to_be_had(app: &App, wanted: &LineWanted, asked: Option<&LineAsked>) -> bool {
    let Some(line) = asked else { return !wanted.offers(app, 1).is_empty() };
    app.own_listing(&line.supplier, &line.listing).is_some_and(|offer| {
        let left = offer.left(&app.overlay, line.region);
        left.is_some_and(|left| app.index.available(&offer, &left) >= line.quantity)
    })
}

/// The refusal of the whole for a line of which its buyer holds as much as it may.
fn too_many(said: &Said) -> Option<Problem> {
    match said {
        Said::Refused(code, detail) if code == TOO_MANY_UNITS_HELD => Some(too_many_units(detail.clone())),
        _ => None,
    }
}

/// Nothing of what was asked for is to be had.
pub(super) fn refused(app: &App, attempt: &Attempt) -> Problem {
    let said = &attempt.said;
    let region_required = said.iter().filter_map(|(line, said)| match said {
        Said::Refused(code, detail) if code == "region_required" => {
            Some(FieldError::new(format!("/lines/{line}/region"), "region_required", detail))
        }
        _ => None,
    });
    let region_required: Vec<FieldError> = region_required.collect();
    if !region_required.is_empty() {
        return Problem::invalid(region_required);
    }
    let mut lines = lines_refused(app, attempt);
    // What nobody has tried, or what was to be had, is told by what this replica sees.
    let all = attempt.wanted.lines.iter().zip(&attempt.asked.lines).enumerate();
    let others = all.filter(|(at, _)| said.get(at).and_then(Said::code).is_none());
    lines.extend(others.map(|(at, (wanted, line))| {
        let body = LineBody::asked(at, wanted, line.as_ref());
        let known = matches!(said.get(&at), Some(Said::Applied(_) | Said::Replayed));
        if known || is_to_be_had(app, wanted, line.as_ref()) {
            return body.because("basket_refused", "it is not held, because not all lines are to be had");
        }
        body.not_to_be_had(app, wanted, "not_available", "")
    }));
    lines.sort_by_key(|line| line.line);
    // Lines that were chosen and are over are not held anew: who asks once more under the same key may only repeat itself.
    let over = said.values().filter_map(Said::code).find(|code| matches!(*code, LAPSED | RELEASED));
    let problem = match over {
        Some(LAPSED) => super::over(LAPSED, AGAIN),
        Some(_) => super::over(RELEASED, AGAIN),
        None => said.values().find_map(too_many).unwrap_or_else(not_available),
    };
    super::with_lines(problem, &lines)
}
