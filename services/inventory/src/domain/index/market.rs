//! What the market for a good looks like, what buyers would miss without somebody, and what they are not shown.

use std::collections::{BTreeMap, BTreeSet};

use stockade_model::{Currency, Left, MarketSeen, Region, Scope, Sku, SupplierId, Timestamp, time::DAY_MS};
use stockade_quarantine::Overlay;

use super::{Index, block::View, goods::Offers};

/// Offers looked at for a market's median: enough to know, bounded for a SKU that everyone sells.
const MARKET_OFFERS_MAX: usize = 256;
/// Offers tried to find so many, where most are withheld, of others or not to be had.
const MARKET_TRIES_MAX: usize = 2_048;
/// How long what was withheld still counts in its market.
const MARKET_MEMORY_MS: i64 = 7 * DAY_MS;
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

/// Who asks about a market.
struct Asker<'a> {
    currency: u16,
    except: Option<u32>,
    overlay: &'a Overlay,
    now: Timestamp,
}

impl Index {
    /// The market for `sku` as seen by `except` at `now`: offers of others that buyers can see, and what was withheld of late.
    ///
    /// An offer that is withheld counts for seven days as it stood when it was withheld, unless its supplier has changed the
    /// listing since. Otherwise locking the supplier in the middle would move the middle, and its neighbours, who have
    /// changed nothing, would look like outliers. What is changed in the dark does not count, so nobody moves a market that it
    /// is not shown in; and after a week the market is what buyers have seen for a week.
    ///
    /// Of more than 256 offers as many are taken, evenly over all prices.
    pub fn market(
        &self,
        sku: &Sku,
        currency: Currency,
        except: &SupplierId,
        overlay: &Overlay,
        now: Timestamp,
    ) -> Option<MarketSeen> {
        let offers = self.goods.find(sku.as_str())?;
        let asker = Asker { currency: currency.number(), except: self.owners.number(except), overlay, now };
        let (mut prices, mut units) = self.sample(&offers, &asker);
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

    /// Prices and units of offers that count.
    fn sample(&self, offers: &Offers, asker: &Asker<'_>) -> (Vec<i64>, Vec<i64>) {
        let (mut prices, mut units) = (Vec::new(), Vec::new());
        let mut take = |view: &View<'_>, row: usize| {
            if self.counts(view, row, asker) {
                prices.push(view.minor(row));
                units.push(view.available(row));
            }
            prices.len() < MARKET_OFFERS_MAX
        };
        let blocks: Vec<usize> = match offers {
            Offers::Few(_) => vec![0],
            Offers::Many(many) => {
                let has = |at: &usize| {
                    let piece = &many.pieces[*at];
                    piece.first.0 <= asker.currency && asker.currency <= piece.last.0
                };
                (0..many.pieces.len()).filter(has).collect()
            }
        };
        let mut ends = Vec::with_capacity(blocks.len());
        let mut total = 0;
        for block in &blocks {
            total += offers.view(*block).map_or(0, |view| view.len());
            ends.push(total);
        }
        // A step without a common divisor visits every offer once, and any number of steps is spread evenly.
        let step = (total * 89 / 144..).find(|step| common_divisor(*step, total) == 1).unwrap_or(1);
        for at in 0..total.min(MARKET_TRIES_MAX) {
            let place = at * step % total;
            let number = ends.partition_point(|end| *end <= place);
            let Some(view) = blocks.get(number).and_then(|block| offers.view(*block)) else { break };
            let row = place - number.checked_sub(1).map_or(0, |before| ends[before]);
            if !take(&view, row) {
                break;
            }
        }
        (prices, units)
    }

    fn counts(&self, view: &View<'_>, row: usize, asker: &Asker<'_>) -> bool {
        let supplier = view.supplier(row);
        let offered = view.currency(row) == asker.currency
            && Some(supplier) != asker.except
            && !view.is_withdrawn(row)
            && view.available(row) > 0;
        offered
            && (self.left(view, row, None, asker.overlay).is_some()
                || asker.overlay.withheld_since(supplier).is_some_and(|since| {
                    view.updated_ms(row) < since.ms() && asker.now.ms() - since.ms() <= MARKET_MEMORY_MS
                }))
    }

    /// What buyers see now and would not see any more without these suppliers. Walks the goods they offer: for people who are
    /// about to decide, not for requests.
    pub fn impact(&self, suppliers: &BTreeSet<SupplierId>, overlay: &Overlay) -> Impact {
        let mut impact = Impact::default();
        let numbers: BTreeSet<u32> = suppliers.iter().filter_map(|name| self.owners.number(name)).collect();
        let of = |number: &u32| self.owners.get(*number).map(|owner| owner.goods());
        let goods: BTreeSet<u32> = numbers.iter().filter_map(of).flatten().collect();
        for offers in goods.into_iter().filter_map(|good| self.goods.get(good)) {
            self.impact_on(&offers, &numbers, overlay, &mut impact);
        }
        impact
    }

    fn impact_on(&self, offers: &Offers, suppliers: &BTreeSet<u32>, overlay: &Overlay, impact: &mut Impact) {
        let (mut gone, mut stays) = (Vec::new(), BTreeSet::new());
        let mut empty: BTreeSet<Region> = BTreeSet::new();
        let mut others = false;
        for view in offers.views() {
            for row in (0..view.len()).filter(|row| view.available(*row) > 0 && !view.is_withdrawn(*row)) {
                let Some(Left { regions, .. }) = self.left(&view, row, None, overlay) else { continue };
                let served = regions.unwrap_or_else(|| self.regions(&view, row).into());
                if suppliers.contains(&view.supplier(row)) {
                    gone.push((view.currency(row), view.minor(row), view.available(row), served));
                } else {
                    others = true;
                    stays.extend(served.iter().copied());
                }
            }
        }
        for (currency, minor, units, served) in &gone {
            impact.listings += 1;
            impact.units += units;
            let currency = Currency::of_number(*currency).as_str().to_owned();
            let value = impact.value_minor.entry(currency).or_insert(0);
            *value = value.saturating_add(minor.saturating_mul(*units));
            let elsewhere = |region: &Region| stays.iter().any(|served: &Region| served.serves(*region));
            empty.extend(served.iter().filter(|region| !elsewhere(region)).copied());
        }
        impact.goods_empty += usize::from(!gone.is_empty() && !others);
        impact.places_empty += empty.len();
        let room = EMPTY_LISTED_MAX.saturating_sub(impact.empty.len());
        if let Ok(sku) = Sku::of_record(offers.sku()) {
            impact.empty.extend(empty.into_iter().take(room).map(|region| (sku.clone(), region)));
        }
    }

    /// Listings and units of which nothing is left for buyers in any region. Of a supplier that is withheld as a whole the
    /// totals are known; of one with narrower restrictions the goods that these can concern are looked at.
    pub fn withheld(&self, overlay: &Overlay) -> (u64, i64) {
        let parts = overlay.withheld().into_iter().map(|supplier| self.withheld_of(supplier, overlay));
        parts.fold((0, 0), |(listings, units), part| (listings + part.0, units + part.1))
    }

    fn withheld_of(&self, supplier: u32, overlay: &Overlay) -> (u64, i64) {
        let Some(owner) = self.owners.get(supplier) else { return (0, 0) };
        if overlay.supplier_level(supplier).is_some_and(stockade_model::Level::withholds) {
            return owner.totals();
        }
        let Some(set) = overlay.narrower(supplier) else { return (0, 0) };
        let mut goods = BTreeSet::new();
        for (scope, _) in set.iter().filter(|(_, level)| level.withholds()) {
            match scope {
                Scope::Supplier | Scope::Region { .. } => goods.extend(owner.goods()),
                Scope::Sku { sku } => goods.extend(self.goods.number(sku.as_str())),
                Scope::Listing { listing } => {
                    goods.extend(owner.goods_of(self.owners.hash(listing.as_str())))
                }
            }
        }
        let (mut listings, mut units) = (0, 0);
        for offers in goods.into_iter().filter_map(|good| self.goods.get(good)) {
            offers.each_of(supplier, |view, row| {
                if self.left(view, row, None, overlay).is_none() {
                    listings += 1;
                    units += view.available(row);
                }
            });
        }
        (listings, units)
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

fn median(values: &mut [i64]) -> Option<i64> {
    if values.is_empty() {
        return None;
    }
    let middle = (values.len() - 1) / 2;
    Some(*values.select_nth_unstable(middle).1)
}
