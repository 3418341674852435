//! The availability index: offers by SKU and GTIN, fed by the fold, read by buyers without a lock that writers hold for
//! longer than one offer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use dashmap::DashMap;
use stockade_model::{
    Currency, Gtin, Left, Level, ListingId, LocationId, MarketSeen, Money, Region, Sku, Subject, SupplierId,
    Timestamp,
};
use stockade_quarantine::Overlay;

use super::state::{GRANT, caps};

/// Offers looked at for a market's median: enough to know, bounded for a SKU that everyone sells.
const MARKET_OFFERS_MAX: usize = 256;

/// What a listing offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Whose.
    pub supplier: SupplierId,
    /// Which listing.
    pub listing: ListingId,
    /// The good.
    pub sku: Sku,
    /// Its GTIN.
    pub gtin: Option<Gtin>,
    /// Price of one unit.
    pub price: Money,
    /// Units a buyer can have.
    pub available: i64,
    /// Units the supplier says it has.
    pub on_hand: i64,
    /// Whether it was taken off the market.
    pub withdrawn: bool,
    /// Regions served.
    pub regions: Box<[Region]>,
    /// Where it lies.
    pub location: LocationId,
    /// Days from order to hand-over.
    pub lead_days: u16,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Offset of its last change in its partition.
    pub version: u64,
    /// Record time of its last change.
    pub updated: Timestamp,
    /// The supplier's number in the overlay of this replica; set by the index.
    pub number: u32,
}

impl Offer {
    /// The entity tag of the listing: another one whenever what its supplier is shown of it is another. Regions count by
    /// themselves, for they may come from the location, which changes without the listing.
    pub fn tag(&self) -> String {
        let regions: Vec<&str> = self.regions.iter().map(Region::as_str).collect();
        format!("{}-{:08x}", self.version, stockade_model::hash::stable64(&regions.join(" ")) as u32)
    }

    /// The offer, as restrictions see it.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { sku: &self.sku, listing: &self.listing, regions: &self.regions }
    }

    /// What is left of it for a buyer in `asked`; `None` when it is withheld or does not serve that region.
    pub fn left(&self, overlay: &Overlay, asked: Option<Region>) -> Option<Left> {
        overlay.left(self.number, self.subject(), asked)
    }
}

/// How answers are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Cheapest first, one currency after the other.
    #[default]
    Price,
    /// Soonest first.
    Lead,
}

/// Where an offer stands in a sorted answer; also the cursor. Prices of different currencies are never compared: an answer
/// sorted by price is grouped by currency, and where prices only break ties, currencies do so before them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum SortKey {
    /// Dimmed last, then by currency, price, lead time, supplier and listing.
    Price(bool, Currency, i64, u16, SupplierId, ListingId),
    /// Dimmed last, then by lead time, currency, price, supplier and listing.
    Lead(bool, u16, Currency, i64, SupplierId, ListingId),
}

/// What a buyer asks for one good.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Region the buyer is in.
    pub region: Option<Region>,
    /// Units needed.
    pub min_qty: i64,
    /// Highest price, in minor units of `currency`.
    pub max_price: Option<i64>,
    /// Only offers in it; required with `max_price`.
    pub currency: Option<Currency>,
    /// Most days to hand-over.
    pub max_lead_days: Option<u16>,
    /// Latitude, longitude and radius in kilometres.
    pub near: Option<(f64, f64, f64)>,
    /// Order of the answer.
    pub sort: Sort,
    /// Only what comes after it.
    pub after: Option<SortKey>,
    /// Offers at most.
    pub limit: usize,
}

/// An answer for one good.
#[derive(Debug, Default)]
pub struct Found {
    /// The offers, sorted.
    pub offers: Vec<Offer>,
    /// The cursor, when there is more.
    pub next: Option<SortKey>,
}

/// Goods in regions that an [`Impact`] lists by name.
const EMPTY_LISTED_MAX: usize = 200;

/// What buyers would not see any more.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Impact {
    /// Listings with anything available.
    pub listings: u64,
    /// Units available.
    pub units: i64,
    /// Their value at the listed prices, in minor units by currency.
    pub value_minor: BTreeMap<String, i64>,
    /// Goods that nobody would offer anywhere.
    pub goods_empty: usize,
    /// Pairs of good and region that nobody would serve.
    pub places_empty: usize,
    /// The first of these pairs.
    pub empty: Vec<(Sku, Region)>,
}

/// Offers by SKU and GTIN.
#[derive(Default)]
pub struct Index {
    by_sku: DashMap<Sku, Vec<Offer>>,
    /// Numbers that mean the same everywhere only.
    by_gtin: DashMap<Gtin, Vec<Sku>>,
    /// SKU of each listing, so that a supplier finds its own.
    by_listing: DashMap<(SupplierId, ListingId), Sku>,
    /// Units that can be had of suppliers that are capped, over all their listings, by their number in the overlay.
    allowances: DashMap<u32, i64>,
    listings: AtomicU64,
    units: AtomicI64,
}

impl Index {
    /// Puts what a listing offers now. An older version than the one held does nothing.
    pub fn put(&self, mut offer: Offer, overlay: &Overlay) {
        offer.number = overlay.number(&offer.supplier);
        // A number that a shop gave itself is another good in the next shop.
        if let Some(gtin) = offer.gtin.filter(|gtin| !gtin.is_restricted()) {
            let mut skus = self.by_gtin.entry(gtin).or_default();
            if !skus.contains(&offer.sku) {
                skus.push(offer.sku.clone());
            }
        }
        let mut offers = self.by_sku.entry(offer.sku.clone()).or_default();
        let held =
            offers.iter_mut().find(|held| held.number == offer.number && held.listing == offer.listing);
        match held {
            Some(held) if held.version > offer.version => {}
            Some(held) => {
                self.units.fetch_add(offer.available - held.available, Ordering::Relaxed);
                *held = offer;
            }
            None => {
                self.units.fetch_add(offer.available, Ordering::Relaxed);
                self.listings.fetch_add(1, Ordering::Relaxed);
                self.by_listing.insert((offer.supplier.clone(), offer.listing.clone()), offer.sku.clone());
                offers.push(offer);
            }
        }
    }

    /// Sets how many units can be had of a supplier that is capped; `None` when it is not any more.
    pub fn allow(&self, supplier: u32, units: Option<i64>) {
        match units {
            Some(units) => drop(self.allowances.insert(supplier, units)),
            None => drop(self.allowances.remove(&supplier)),
        }
    }

    /// Units of an offer that a buyer can have: of a capped supplier no more than it has proven. The overlay may know of a
    /// cap before the supplier's partition has said what that leaves; until then it is the grant.
    pub fn available(&self, offer: &Offer, left: &Left) -> i64 {
        if !left.level.is_some_and(caps) {
            return offer.available;
        }
        let allowed = self.allowances.get(&offer.number).map_or(GRANT, |units| *units);
        offer.available.min(allowed)
    }

    /// One listing of a supplier, whatever the overlay says: for the supplier itself.
    pub fn listing(&self, supplier: &SupplierId, listing: &ListingId) -> Option<Offer> {
        let sku = self.by_listing.get(&(supplier.clone(), listing.clone())).map(|sku| sku.clone())?;
        let is_it = |offer: &&Offer| offer.supplier == *supplier && offer.listing == *listing;
        self.by_sku.get(&sku).and_then(|offers| offers.iter().find(is_it).cloned())
    }

    /// SKUs that share a GTIN; none for a number of restricted circulation.
    pub fn skus(&self, gtin: Gtin) -> Vec<Sku> {
        self.by_gtin.get(&gtin).map(|skus| skus.clone()).unwrap_or_default()
    }

    /// Offers of `sku` that a buyer may see and wants.
    pub fn query(&self, sku: &Sku, query: &Query, overlay: &Overlay) -> Found {
        self.query_all(std::slice::from_ref(sku), query, overlay, None)
    }

    /// Offers of any of `skus` that a buyer may see and wants; of one GTIN only, if given.
    pub fn query_all(&self, skus: &[Sku], query: &Query, overlay: &Overlay, gtin: Option<Gtin>) -> Found {
        let mut found = Vec::new();
        for sku in skus {
            let Some(offers) = self.by_sku.get(sku) else { continue };
            let wanted = offers
                .iter()
                .filter(|offer| query.wants(offer) && gtin.is_none_or(|gtin| offer.gtin == Some(gtin)));
            let seen = wanted.filter_map(|offer| {
                let left = offer.left(overlay, query.region)?;
                let units = self.available(offer, &left);
                (units >= query.min_qty.max(1)).then_some((left, units, offer))
            });
            let keyed = seen.map(|(left, units, offer)| (query.key(offer, &left), left, units, offer));
            let rest = keyed.filter(|(key, ..)| query.after.as_ref().is_none_or(|after| key > after));
            found.extend(rest.map(|(key, left, units, offer)| {
                let mut offer = Offer { available: units, ..offer.clone() };
                if let Some(regions) = left.regions {
                    offer.regions = regions;
                }
                (key, offer)
            }));
        }
        found.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more).map(|(key, _)| key.clone());
        Found { offers: found.into_iter().map(|(_, offer)| offer).collect(), next }
    }

    /// The market for `sku` as seen by `except`: offers of others that buyers can see.
    pub fn market(
        &self,
        sku: &Sku,
        currency: Currency,
        except: &SupplierId,
        overlay: &Overlay,
    ) -> Option<MarketSeen> {
        let (mut prices, mut units) = (Vec::new(), Vec::new());
        let offers = self.by_sku.get(sku)?;
        let others = offers.iter().filter(|offer| {
            offer.supplier != *except
                && !offer.withdrawn
                && offer.price.currency == currency
                && offer.available > 0
        });
        for offer in others.filter(|offer| offer.left(overlay, None).is_some()).take(MARKET_OFFERS_MAX) {
            prices.push(offer.price.minor);
            units.push(offer.available);
        }
        drop(offers);
        let count = prices.len() as u32;
        let median_minor = median(&mut prices)?;
        let mut distances: Vec<i64> = prices.iter().map(|price| (price - median_minor).abs()).collect();
        Some(MarketSeen {
            median_minor,
            offers: count,
            median_units: median(&mut units)?,
            spread_minor: median(&mut distances),
        })
    }

    /// Listings held.
    pub fn listings(&self) -> u64 {
        self.listings.load(Ordering::Relaxed)
    }
    /// Units available over all listings, withheld ones included.
    pub fn units(&self) -> i64 {
        self.units.load(Ordering::Relaxed)
    }
    /// What buyers see now and would not see any more without these suppliers. Walks the whole index: for people who are
    /// about to decide, not for requests.
    pub fn impact(&self, suppliers: &BTreeSet<SupplierId>, overlay: &Overlay) -> Impact {
        let mut impact = Impact::default();
        for entry in &self.by_sku {
            let seen = entry.value().iter().filter_map(|offer| {
                let left = offer.left(overlay, None).filter(|_| offer.available > 0 && !offer.withdrawn)?;
                Some((offer, left.regions.unwrap_or_else(|| offer.regions.clone())))
            });
            let (gone, stays): (Vec<_>, Vec<_>) =
                seen.partition(|(offer, _)| suppliers.contains(&offer.supplier));
            let mut empty: BTreeSet<Region> = BTreeSet::new();
            for (offer, regions) in &gone {
                impact.listings += 1;
                impact.units += offer.available;
                let value = impact.value_minor.entry(offer.price.currency.as_str().to_owned()).or_insert(0);
                *value = value.saturating_add(offer.price.minor.saturating_mul(offer.available));
                let elsewhere = |region: &Region| {
                    stays.iter().any(|(_, served)| served.iter().any(|served| served.serves(*region)))
                };
                empty.extend(regions.iter().filter(|region| !elsewhere(region)).copied());
            }
            impact.goods_empty += usize::from(!gone.is_empty() && stays.is_empty());
            impact.places_empty += empty.len();
            let room = EMPTY_LISTED_MAX.saturating_sub(impact.empty.len());
            impact.empty.extend(empty.into_iter().take(room).map(|region| (entry.key().clone(), region)));
        }
        impact
    }

    /// Listings and units of which nothing is left for buyers in any region. Walks the whole index: for scrapes, not for requests.
    pub fn withheld(&self, overlay: &Overlay) -> (u64, i64) {
        let (mut listings, mut units) = (0, 0);
        for entry in &self.by_sku {
            for offer in entry.value().iter().filter(|offer| offer.left(overlay, None).is_none()) {
                listings += 1;
                units += offer.available;
            }
        }
        (listings, units)
    }
}

fn median(values: &mut [i64]) -> Option<i64> {
    if values.is_empty() {
        return None;
    }
    let middle = (values.len() - 1) / 2;
    Some(*values.select_nth_unstable(middle).1)
}

impl Query {
    /// Whether it is what the buyer wants, wherever it is sent; [`Offer::left`] looks at the region.
    fn wants(&self, offer: &Offer) -> bool {
        offer.available >= self.min_qty.max(1)
            && !offer.withdrawn
            && self.currency.is_none_or(|currency| offer.price.currency == currency)
            && self.max_price.is_none_or(|most| offer.price.minor <= most)
            && self.max_lead_days.is_none_or(|most| offer.lead_days <= most)
            && self.near.is_none_or(|(latitude, longitude, radius_km)| {
                distance_km((latitude, longitude), (offer.latitude, offer.longitude)) <= radius_km
            })
    }

    fn key(&self, offer: &Offer, left: &Left) -> SortKey {
        let dimmed = left.level == Some(Level::Dim);
        let Money { minor, currency } = offer.price;
        let (supplier, listing) = (offer.supplier.clone(), offer.listing.clone());
        match self.sort {
            Sort::Price => SortKey::Price(dimmed, currency, minor, offer.lead_days, supplier, listing),
            Sort::Lead => SortKey::Lead(dimmed, offer.lead_days, currency, minor, supplier, listing),
        }
    }
}

/// Great-circle distance by the haversine formula, mean Earth radius 6371.0 km.
fn distance_km(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (lat1, lat2) = (from.0.to_radians(), to.0.to_radians());
    let (dlat, dlon) = (lat2 - lat1, (to.1 - from.1).to_radians());
    let a = (dlat / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * (dlon / 2.0).sin().powi(2);
    2.0 * 6_371.0 * a.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod filters;
#[cfg(test)]
mod tests;
