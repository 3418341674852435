//! What a basket is asked for with, read and checked.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use stockade_model::{
    BasketId, Currency, Gtin, HoldBound, LineChoice, ListingId, Region, ReservationId, Sku, SupplierId,
    time::SECOND_MS,
};
use stockade_runtime::{Principal, Problem, http::idempotency_key};

use super::{
    super::{
        buyer::{self, Asked as Good},
        fields::Fields,
        reservations::{HOLD_SECONDS, HOLD_SECONDS_MAX, SECRET_LEN},
        supplier::body_hash,
    },
    no_basket,
    shown::Mode,
};
use crate::{
    app::App,
    domain::{BasketAsked, LineAsked, LineKnown, Of, Offer, Query},
};

/// Lines of a basket.
pub(super) const LINES_MAX: usize = 100;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReserveBasket")]
pub(in crate::http) struct ReserveLinesBody {
    #[schemars(length(min = 1, max = LINES_MAX))]
    pub(super) lines: Vec<ReserveLine>,
    mode: Mode,
    /// How long the units are held; 900 when nobody says.
    #[schemars(range(min = 1, max = HOLD_SECONDS_MAX))]
    seconds: Option<i64>,
}

/// A listing with its supplier, or a good of which the cheapest offer that has enough is chosen.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReserveLine {
    /// Whose; with `listing`.
    #[schemars(with = "Option<SupplierId>")]
    supplier: Option<String>,
    /// Which; with `supplier`.
    #[schemars(with = "Option<ListingId>")]
    listing: Option<String>,
    /// The good, instead of a listing: whoever offers it; needs `region`.
    #[schemars(with = "Option<Sku>")]
    sku: Option<String>,
    /// The good by its GTIN, whatever SKU it has; needs `region`.
    gtin: Option<String>,
    #[schemars(range(min = 1))]
    quantity: i64,
    /// Where the units are to go; needed of a good, and where some regions that the listing serves are not available.
    #[schemars(with = "Option<Region>")]
    region: Option<String>,
    /// Of a good: only offers in this currency. Without one, prices of different currencies are not compared: offers of the currency
    /// whose code is first in the alphabet are taken first.
    #[schemars(with = "Option<Currency>")]
    currency: Option<String>,
    /// Of a good: only offers of so many minor units a unit, or less; needs `currency`.
    #[schemars(range(min = 0))]
    max_price: Option<i64>,
}

/// What a line is to be of.
pub(super) enum What {
    /// This listing.
    Listing(Of<ListingId>),
    /// Whichever offer of a good is the cheapest, within bounds of its price.
    Good { good: Good, currency: Option<Currency>, max_price: Option<i64> },
}

/// A line as it is asked for.
pub(super) struct LineWanted {
    pub(super) what: What,
    pub(super) quantity: i64,
    pub(super) region: Option<Region>,
}

/// A basket as it is asked for.
pub(super) struct Wanted {
    pub(super) basket: BasketId,
    pub(super) lines: Vec<LineWanted>,
    owner: String,
    request: String,
    pub(super) whole: bool,
    hold_ms: i64,
    bound: HoldBound,
    /// What names of its lines are made of that nobody else knows.
    fingerprint: String,
    unique: String,
}

impl LineWanted {
    pub(super) fn is_good(&self) -> bool {
        matches!(self.what, What::Good { .. })
    }

    /// Up to `limit` offers that a buyer may have of what a good is wanted in, the best first; none for a listing.
    pub(super) fn offers(&self, app: &App, limit: usize) -> Vec<Offer> {
        let What::Good { good, currency, max_price } = &self.what else { return Vec::new() };
        let (region, min_qty) = (self.region, self.quantity);
        let bounds = (*currency, *max_price);
        let query =
            Query { region, min_qty, currency: bounds.0, max_price: bounds.1, limit, ..Query::default() };
        buyer::find(app, good, &query).offers()
    }

    /// What of it goes into the hash of the request.
    fn said(&self) -> Vec<String> {
        let region = self.region.as_ref().map_or("", Region::as_str).to_owned();
        let quantity = self.quantity.to_string();
        match &self.what {
            What::Listing(of) => vec![of.supplier.to_string(), of.id.to_string(), quantity, region],
            What::Good { good, currency, max_price } => {
                let good = match good {
                    Good::Sku(sku) => ("a sku", sku.to_string()),
                    Good::Gtin(gtin) => ("a gtin", gtin.to_string()),
                };
                let bounds = format!("{currency:?} {max_price:?}");
                vec![good.0.to_owned(), good.1, quantity, region, bounds]
            }
        }
    }

    /// SKU or GTIN, where it names one.
    pub(super) fn good(&self) -> (Option<Sku>, Option<Gtin>) {
        match &self.what {
            What::Good { good, .. } => (good.sku().cloned(), good.gtin()),
            What::Listing(_) => (None, None),
        }
    }
}

impl Wanted {
    /// The start of the names of all baskets under one key: what follows is of the body.
    fn prefix(of_key: &str) -> String {
        format!("basket-{of_key}-")
    }

    fn name(&self, line: usize, turn: Option<u8>, supplier: &SupplierId) -> Result<ReservationId, Problem> {
        let (place, turn) = (line.to_le_bytes(), turn.map(|turn| [turn]));
        let mut parts: Vec<&[u8]> = vec![
            b"basket line",
            self.fingerprint.as_bytes(),
            self.unique.as_bytes(),
            self.request.as_bytes(),
            &place,
        ];
        parts.extend(turn.iter().map(|turn| &turn[..]));
        ReservationId::new(&format!("{supplier}::{}", secret(&parts))).map_err(|_| no_basket())
    }

    /// The line at `line` of what was chosen for it.
    pub(super) fn chosen(&self, choice: &LineChoice) -> Result<Option<LineAsked>, Problem> {
        let line = usize::from(choice.line);
        let Some(wanted) = self.lines.get(line).filter(|wanted| wanted.is_good()) else { return Ok(None) };
        let reservation = self.name(line, Some(choice.turn), &choice.supplier)?;
        let offer = Of::new(&choice.supplier, &choice.listing);
        Ok(Some(self.line(wanted, reservation, offer)))
    }

    fn line(&self, wanted: &LineWanted, reservation: ReservationId, offer: Of<ListingId>) -> LineAsked {
        LineAsked {
            supplier: offer.supplier,
            reservation,
            listing: offer.id,
            quantity: wanted.quantity,
            region: wanted.region,
            once: wanted.is_good() && !self.whole,
            pass: false,
        }
    }

    /// The basket with the lines that need no choice: those that name a listing, and those that were chosen and are `known`.
    pub(super) fn asked(&self, known: &[LineKnown]) -> Result<BasketAsked, Problem> {
        let line = |(at, wanted): (usize, &LineWanted)| match &wanted.what {
            What::Listing(of) => Ok(Some(self.line(wanted, self.name(at, None, &of.supplier)?, of.clone()))),
            What::Good { .. } => {
                let known = known.iter().find(|known| usize::from(known.place.line) == at);
                Ok(known.map(|known| {
                    let offer = Of::new(&known.supplier, &known.row.listing);
                    self.line(wanted, known.reservation.clone(), offer)
                }))
            }
        };
        Ok(BasketAsked {
            basket: self.basket.clone(),
            owner: self.owner.clone(),
            request: self.request.clone(),
            whole: self.whole,
            hold_ms: self.hold_ms,
            bound: Some(self.bound),
            lines: self.lines.iter().enumerate().map(line).collect::<Result<_, Problem>>()?,
        })
    }

    /// Units that lines take of each offer.
    pub(super) fn taken(lines: &[Option<LineAsked>]) -> BTreeMap<Of<ListingId>, i64> {
        let mut taken = BTreeMap::new();
        for line in lines.iter().flatten() {
            let units: &mut i64 = taken.entry(Of::new(&line.supplier, &line.listing)).or_default();
            *units = units.saturating_add(line.quantity);
        }
        taken
    }
}

/// A name that nobody can guess.
fn secret(parts: &[&[u8]]) -> String {
    let mut secret = body_hash(parts);
    secret.truncate(SECRET_LEN);
    secret
}

/// What a line names.
fn what(fields: &mut Fields, at: &str, line: &ReserveLine, region: Option<Region>) -> Option<What> {
    let ReserveLine { supplier, listing, sku, gtin, currency, max_price, .. } = line;
    let names_good = sku.is_some() || gtin.is_some();
    let names_listing = supplier.is_some() || listing.is_some();
    if names_good && names_listing {
        let detail = "name a listing with its supplier, or a good by sku or gtin, not both";
        fields.require(false, &format!("{at}listing"), "listing_or_good", detail);
        return None;
    }
    if names_good {
        let currency = fields.check_some(&format!("{at}currency"), currency.as_deref().map(Currency::new));
        buyer::max_price(fields, at, *max_price, currency);
        let said = line.region.is_some();
        let detail = "say where a good is to go";
        fields.require(said, &format!("{at}region"), "region_required", detail);
        let good = buyer::asked(fields, at, sku.as_deref(), gtin.as_deref())?;
        return region.map(|_| What::Good { good, currency, max_price: *max_price });
    }
    for (name, given) in [("currency", currency.is_some()), ("max_price", max_price.is_some())] {
        let detail = "the price of a listing is what it is; bounds go with sku or gtin";
        fields.require(!given, &format!("{at}{name}"), "listing_or_good", detail);
    }
    let mut named = |name: &str, given: &Option<String>| {
        let detail = format!("missing field `{name}`; or name a good by sku or gtin");
        fields.require(given.is_some(), &format!("{at}{name}"), "missing_field", detail);
    };
    named("supplier", supplier);
    named("listing", listing);
    let supplier = fields.check_some(&format!("{at}supplier"), supplier.as_deref().map(SupplierId::new));
    let listing = fields.check_some(&format!("{at}listing"), listing.as_deref().map(ListingId::new));
    supplier.zip(listing).map(|(supplier, id)| What::Listing(Of { supplier, id }))
}

/// Reads what is asked for. The same key and body mean the same basket at every replica.
pub(super) fn read(
    app: &App,
    caller: &Principal,
    headers: &HeaderMap,
    asked: &ReserveLinesBody,
) -> Result<Wanted, Problem> {
    let ReserveLinesBody { lines, mode, seconds } = asked;
    let mut fields = Fields::default();
    let fine = (1..=LINES_MAX).contains(&lines.len());
    fields.require(fine, "/lines", "batch_size", format!("a basket has 1 to {LINES_MAX} lines"));
    let seconds = seconds.unwrap_or(HOLD_SECONDS);
    let fine = (1..=HOLD_SECONDS_MAX).contains(&seconds);
    fields.require(fine, "/seconds", "hold_range", format!("seconds must be 1 to {HOLD_SECONDS_MAX}"));
    let mut read = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let at = format!("/lines/{at}/");
        let quantity = line.quantity;
        fields.require(
            quantity >= 1,
            &format!("{at}quantity"),
            "quantity_range",
            "quantity must be 1 or more",
        );
        let region = line.region.as_deref().map(Region::new);
        let region = fields.check_some(&format!("{at}region"), region);
        let what = what(&mut fields, &at, line, region);
        read.extend(what.map(|what| LineWanted { what, quantity, region }));
    }
    fields.into_problem()?;
    let unique = idempotency_key(headers)?.map_or_else(|| app.fresh_id(), |key| format!("key {key}"));
    let whole = *mode == Mode::AllOrNothing;
    let mut said = vec![seconds.to_string(), whole.to_string()];
    said.extend(read.iter().flat_map(LineWanted::said));
    let request = body_hash(&said.iter().map(String::as_bytes).collect::<Vec<_>>());
    let of_key = secret(&[b"basket", caller.fingerprint.as_bytes(), unique.as_bytes()]);
    let name = format!("{}{}", Wanted::prefix(&of_key), &request[..SECRET_LEN]);
    Ok(Wanted {
        basket: BasketId::new(&name).map_err(|_| no_basket())?,
        lines: read,
        owner: caller.id.clone(),
        request,
        whole,
        hold_ms: seconds * SECOND_MS,
        bound: app.hold_bound(),
        fingerprint: caller.fingerprint.clone(),
        unique,
    })
}

/// Whether the key of a request has a basket for something else that is not over.
pub(super) fn is_key_taken(app: &App, basket: &BasketId) -> bool {
    let of_key = basket.as_str().rsplit_once('-').map_or("", |(of_key, _)| of_key);
    let others = app.reservations.baskets(None, &format!("{of_key}-"), None, 4).found;
    let stands = |lines: &[LineKnown]| lines.iter().any(|line| !line.row.is_free());
    others.iter().any(|(other, lines)| other != basket && stands(lines))
}
