//! The availability index: offers by SKU and GTIN, fed by the fold.
//!
//! The offers of a good are blocks of bytes, sorted by price, that never change: a reader takes the pointer under a lock that
//! a writer holds to put another pointer there, and for nothing else. Whether an offer may be shown is asked of the overlay for
//! each offer as it is read, so a restriction takes effect with the one store that the overlay makes, and nothing here has to
//! be told. What blocks remember of restrictions lets readers pass by piles of withheld offers, and is used only while it is
//! sure, see [`goods::Piece::shown`].

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use stockade_model::{
    Currency, Gtin, Left, ListingId, LocationId, Money, Region, Sku, Subject, SupplierId, Timestamp,
};
use stockade_quarantine::Overlay;

use super::state::{GRANT, caps};

mod block;
mod goods;
mod gtins;
mod listed;
mod market;
mod owners;
mod search;
mod table;

use block::{Row, View};
use goods::{Goods, country_bit};
use gtins::Gtins;
use owners::Owners;
use table::Interned;

pub use market::Impact;
pub use search::{Page, Seen};

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
    /// Whether they are the listing's own, rather than its location's.
    pub own_regions: bool,
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
        Subject { sku: self.sku.as_str(), listing: self.listing.as_str(), regions: &self.regions }
    }

    /// What is left of it for a buyer in `asked`; `None` when it is withheld or does not serve that region.
    pub fn left(&self, overlay: &Overlay, asked: Option<Region>) -> Option<Left> {
        overlay.left(self.number, self.subject(), asked)
    }
}

/// How answers are sorted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Cheapest first, one currency after the other.
    #[default]
    Price,
    /// Soonest first.
    Lead,
    /// Nearest first; only with a place to be near to.
    Distance,
}

/// Where an offer stands in a sorted answer; also the cursor. Prices of different currencies are never compared: an answer
/// sorted by price is grouped by currency, and where prices only break ties, currencies do so before them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum SortKey {
    /// Dimmed last, then by currency, price, lead time, supplier and listing.
    Price(bool, Currency, i64, u16, SupplierId, ListingId),
    /// Dimmed last, then by lead time, currency, price, supplier and listing.
    Lead(bool, u16, Currency, i64, SupplierId, ListingId),
    /// Dimmed last, then by distance in millimetres, currency, price, lead time, supplier and listing.
    Distance(bool, u64, Currency, i64, u16, SupplierId, ListingId),
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

/// Where something lies; many offers of a supplier share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    /// Number of the supplier's name for it.
    name: u32,
    /// Bits of degrees north and east.
    latitude: u64,
    longitude: u64,
}

/// Offers by SKU and GTIN.
#[derive(Default)]
pub struct Index {
    goods: Goods,
    /// Numbers that mean the same everywhere only.
    gtins: Gtins,
    owners: Owners,
    region_sets: Interned<Box<[Region]>>,
    location_names: Interned<LocationId>,
    places: Interned<Place>,
    /// Units that can be had of suppliers that are capped, over all their listings, by their number in the overlay.
    allowances: DashMap<u32, i64>,
    listings: AtomicU64,
    units: AtomicI64,
}

impl Index {
    /// Puts what a listing offers now. An older version than the one held does nothing.
    pub fn put(&self, offer: &Offer, overlay: &Overlay) {
        let supplier = overlay.number(&offer.supplier);
        let owner = self.owners.meet(supplier, &offer.supplier);
        let place = Place {
            name: self.location_names.number(&offer.location),
            latitude: offer.latitude.to_bits(),
            longitude: offer.longitude.to_bits(),
        };
        let row = Row {
            currency: offer.price.currency.number(),
            minor: offer.price.minor,
            lead_days: offer.lead_days,
            supplier,
            listing: offer.listing.as_str(),
            available: offer.available,
            on_hand: offer.on_hand,
            regions: self.region_sets.number(&*offer.regions),
            withdrawn: offer.withdrawn,
            own_regions: offer.own_regions,
            place: self.places.number(&place),
            version: offer.version,
            updated_ms: offer.updated.ms(),
            gtin: search::gtin_kept(offer.gtin),
        };
        let countries = |set: u32| {
            let regions = self.region_sets.get(set).into_iter().flatten();
            regions.fold(0, |mask, region| mask | country_bit(*region))
        };
        // Counted while nobody else can change the good, or two changes could be counted in the wrong order.
        self.goods.put(offer.sku.as_str(), row, &self.owners, &countries, |number, former| {
            let change = offer.available - former.map_or(0, |former| former.units);
            self.units.fetch_add(change, Ordering::Relaxed);
            match former {
                Some(former) => owner.counts(change, (former.withdrawn, offer.withdrawn)),
                None => {
                    self.listings.fetch_add(1, Ordering::Relaxed);
                    let hash = self.owners.hash(offer.listing.as_str());
                    owner.lists(hash, number, change, offer.withdrawn);
                }
            }
            // A number that a shop gave itself is another good in the next shop.
            if let Some(gtin) = offer.gtin.filter(|gtin| !gtin.is_restricted()) {
                self.gtins.insert(gtin, number);
            }
        });
    }

    /// Sets how many units can be had of a supplier that is capped; `None` when it is not any more.
    pub fn allow(&self, supplier: u32, units: Option<i64>) {
        match units {
            Some(units) => drop(self.allowances.insert(supplier, units)),
            None => drop(self.allowances.remove(&supplier)),
        }
    }

    /// Units that can be had of a supplier while it is capped. The overlay may know of a cap before the supplier's partition has
    /// said what that leaves; until then it is the grant.
    fn allowed(&self, supplier: u32) -> i64 {
        self.allowances.get(&supplier).map_or(GRANT, |units| *units)
    }

    /// Units of an offer that a buyer can have: of a capped supplier no more than it has proven.
    pub fn available(&self, offer: &Offer, left: &Left) -> i64 {
        let capped = left.level.is_some_and(caps);
        if capped { offer.available.min(self.allowed(offer.number)) } else { offer.available }
    }

    /// One listing of a supplier, whatever the overlay says: for the supplier itself.
    pub fn listing(&self, supplier: &SupplierId, listing: &ListingId) -> Option<Offer> {
        let number = self.owners.number(supplier)?;
        let goods = self.owners.get(number)?.goods_of(self.owners.hash(listing.as_str()));
        goods.into_iter().filter_map(|good| self.goods.get(good)).find_map(|offers| {
            let mut found = None;
            offers.each_of(number, |view, row| {
                if view.listing(row) == listing.as_str() {
                    found = self.offer(view, row);
                }
            });
            found
        })
    }

    /// Up to `limit` listings of a supplier after `after`, in order of their names, withdrawn ones included. Looks at all
    /// of them, for no order of theirs is kept.
    pub fn listings_of(&self, supplier: &SupplierId, after: Option<&str>, limit: usize) -> Vec<Offer> {
        let Some(number) = self.owners.number(supplier) else { return Vec::new() };
        let goods = self.owners.get(number).map(|owner| owner.goods()).unwrap_or_default();
        let mut first = std::collections::BTreeMap::new();
        for offers in goods.into_iter().filter_map(|good| self.goods.get(good)) {
            offers.each_of(number, |view, row| {
                let name = view.listing(row);
                let full = first.len() >= limit;
                let beyond = |last: &String| full && name >= last.as_str();
                if after.is_some_and(|after| name <= after) || first.keys().next_back().is_some_and(beyond) {
                    return;
                }
                if let Some(offer) = self.offer(view, row) {
                    first.insert(name.to_owned(), offer);
                    if first.len() > limit {
                        first.pop_last();
                    }
                }
            });
        }
        first.into_values().collect()
    }

    /// SKUs that a supplier has listings of, withdrawn ones included; `None` when these are more than `most` goods.
    pub fn skus_of(&self, supplier: &SupplierId, most: usize) -> Option<Vec<Sku>> {
        let number = self.owners.number(supplier);
        let goods = number.and_then(|number| self.owners.get(number)).map(|owner| owner.goods());
        let goods = goods.unwrap_or_default();
        let sku = |good: u32| Sku::of_record(self.goods.get(good)?.sku()).ok();
        (goods.len() <= most).then(|| goods.into_iter().filter_map(sku).collect())
    }

    /// Whether a supplier has a listing of `sku`, be it withdrawn.
    pub fn sells(&self, supplier: &SupplierId, sku: &Sku) -> bool {
        let (Some(number), Some(offers)) = (self.owners.number(supplier), self.goods.find(sku.as_str()))
        else {
            return false;
        };
        let mut sells = false;
        offers.each_of(number, |_, _| sells = true);
        sells
    }

    /// SKUs that share a GTIN; none for a number of restricted circulation.
    pub fn skus(&self, gtin: Gtin) -> Vec<Sku> {
        let goods = self.gtins.goods(gtin).into_iter().filter_map(|good| self.goods.get(good));
        goods.filter_map(|offers| Sku::of_record(offers.sku()).ok()).collect()
    }

    /// Offers of `sku` that a buyer may see and wants.
    pub fn query(&self, sku: &Sku, query: &Query, overlay: &Overlay) -> Found {
        self.find(sku, query, overlay).into()
    }

    /// Offers of any of `skus` that a buyer may see and wants; of one GTIN only, if given.
    pub fn query_all(&self, skus: &[Sku], query: &Query, overlay: &Overlay, gtin: Option<Gtin>) -> Found {
        let goods = skus.iter().filter_map(|sku| self.goods.find(sku.as_str())).collect();
        self.look_through(goods, query, overlay, gtin).into()
    }

    /// Offers of `sku` that a buyer may see and wants, left where they are kept.
    pub fn find(&self, sku: &Sku, query: &Query, overlay: &Overlay) -> Page<'_> {
        self.look_through(self.goods.find(sku.as_str()).into_iter().collect(), query, overlay, None)
    }

    /// The same for all goods that share a GTIN; none for a number of restricted circulation.
    pub fn find_gtin(&self, gtin: Gtin, query: &Query, overlay: &Overlay) -> Page<'_> {
        let goods = self.gtins.goods(gtin).into_iter().filter_map(|good| self.goods.get(good)).collect();
        self.look_through(goods, query, overlay, Some(gtin))
    }

    /// Every offer, withdrawn ones included, each good as it is when it is come to.
    pub(crate) fn all(&self) -> impl Iterator<Item = Offer> + '_ {
        self.goods.all().flat_map(move |good| {
            let of =
                |view: View<'_>| (0..view.len()).filter_map(|row| self.offer(&view, row)).collect::<Vec<_>>();
            good.views().flat_map(of).collect::<Vec<_>>()
        })
    }

    /// Units that can be had of each supplier that is capped and has offers.
    pub(crate) fn allowances(&self) -> Vec<(SupplierId, i64)> {
        let named = |number: u32, units: i64| Some((self.owners.get(number)?.name.clone(), units));
        self.allowances.iter().filter_map(|of| named(*of.key(), *of.value())).collect()
    }

    /// Listings of a supplier that are on the market, and all of its that are kept.
    pub fn listings_kept(&self, supplier: &SupplierId) -> (u64, u64) {
        let owner = self.owners.number(supplier).and_then(|number| self.owners.get(number));
        owner.map_or((0, 0), |owner| owner.listings())
    }

    /// Listings held.
    pub fn listings(&self) -> u64 {
        self.listings.load(Ordering::Relaxed)
    }
    /// Units available over all listings, withheld ones included.
    pub fn units(&self) -> i64 {
        self.units.load(Ordering::Relaxed)
    }

    fn regions(&self, view: &View<'_>, row: usize) -> &[Region] {
        self.region_sets.get(view.regions(row)).map_or(&[], |set| set)
    }

    fn coordinates(&self, view: &View<'_>, row: usize) -> (f64, f64) {
        let place = self.places.get(view.place(row));
        place.map_or((0.0, 0.0), |place| (f64::from_bits(place.latitude), f64::from_bits(place.longitude)))
    }

    /// A whole offer, as it was put.
    fn offer(&self, view: &View<'_>, row: usize) -> Option<Offer> {
        let kept = view.row(row);
        let (latitude, longitude) = self.coordinates(view, row);
        let place = self.places.get(kept.place)?;
        Some(Offer {
            supplier: self.owners.get(kept.supplier)?.name.clone(),
            listing: ListingId::of_record(kept.listing).ok()?,
            sku: Sku::of_record(view.sku()).ok()?,
            gtin: search::gtin_of(kept.gtin),
            price: Money { minor: kept.minor, currency: Currency::of_number(kept.currency) },
            available: kept.available,
            on_hand: kept.on_hand,
            withdrawn: kept.withdrawn,
            regions: self.regions(view, row).into(),
            own_regions: kept.own_regions,
            location: self.location_names.get(place.name)?.clone(),
            lead_days: kept.lead_days,
            latitude,
            longitude,
            version: kept.version,
            updated: Timestamp::from_ms(kept.updated_ms),
            number: kept.supplier,
        })
    }
}

impl From<Page<'_>> for Found {
    fn from(page: Page<'_>) -> Self {
        Self { offers: page.offers(), next: page.next() }
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
mod oracle;
#[cfg(test)]
mod tests;
