//! Finding what a buyer wants: offers are read where they are kept, and only those of the answer are looked at closer.

use std::cmp::Ordering as Order;

use stockade_model::{Currency, Gtin, Left, Level, ListingId, Money, Region, Subject};
use stockade_quarantine::{Overlay, Standing};

use super::{
    Index, Offer, Query, Sort, SortKey,
    block::View,
    distance_km,
    goods::{Offers, Piece, Shown, country_bit},
};
use crate::domain::state::caps;

/// An offer that was found: where it is, and what restrictions leave of it.
struct Hit {
    dimmed: bool,
    /// What is sorted by before currency, price, lead time, supplier and listing: days, or millimetres. 0 for none.
    rank: u64,
    /// Which of the goods.
    good: u32,
    block: u32,
    row: u32,
    /// Units a buyer can have.
    units: i64,
    /// The regions left, when they are not all that the offer serves.
    regions: Option<Box<[Region]>>,
}

impl Hit {
    /// The order within one good, whose offers are kept sorted by price.
    fn order(&self) -> (u64, u32, u32) {
        (self.rank, self.block, self.row)
    }
}

/// The answer to a question, as places in the index.
pub struct Page<'i> {
    index: &'i Index,
    sort: Sort,
    goods: Vec<Offers>,
    hits: Vec<Hit>,
    more: bool,
}

/// An offer as buyers are shown it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Whose.
    pub supplier: &'a str,
    /// Which listing.
    pub listing: &'a str,
    /// The good.
    pub sku: &'a str,
    /// Its GTIN.
    pub gtin: Option<Gtin>,
    /// Price of one unit.
    pub price: Money,
    /// Units a buyer can have.
    pub available: i64,
    /// Regions served, as far as restrictions leave them.
    pub regions: &'a [Region],
    /// Days from order to hand-over.
    pub lead_days: u16,
}

pub(super) fn gtin_of(kept: u64) -> Option<Gtin> {
    kept.checked_sub(1).map(Gtin::of_digits)
}
pub(super) fn gtin_kept(gtin: Option<Gtin>) -> u64 {
    gtin.map_or(0, |gtin| gtin.digits() + 1)
}

impl Page<'_> {
    /// Shows its offers one after the other, in order, until one is not taken.
    pub fn try_each<E>(&self, mut show: impl FnMut(Seen<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut open: Option<((u32, u32), View<'_>)> = None;
        for hit in &self.hits {
            if open.as_ref().is_none_or(|(of, _)| *of != (hit.good, hit.block)) {
                let view = self.goods.get(hit.good as usize).and_then(|good| good.view(hit.block as usize));
                open = view.map(|view| ((hit.good, hit.block), view));
            }
            let Some((_, view)) = &open else { continue };
            let row = hit.row as usize;
            show(Seen {
                supplier: self.index.owners.name(view.supplier(row)),
                listing: view.listing(row),
                sku: view.sku(),
                gtin: gtin_of(view.gtin(row)),
                price: Money { minor: view.minor(row), currency: Currency::of_number(view.currency(row)) },
                available: hit.units,
                regions: hit.regions.as_deref().unwrap_or_else(|| self.index.regions(view, row)),
                lead_days: view.lead_days(row),
            })?;
        }
        Ok(())
    }

    /// Its offers, in order.
    pub fn offers(&self) -> Vec<Offer> {
        let whole = |hit: &Hit| {
            let view = self.goods.get(hit.good as usize)?.view(hit.block as usize)?;
            let mut offer = self.index.offer(&view, hit.row as usize)?;
            offer.available = hit.units;
            if let Some(regions) = &hit.regions {
                offer.regions.clone_from(regions);
            }
            Some(offer)
        };
        self.hits.iter().filter_map(whole).collect()
    }

    /// Offers in it.
    pub fn len(&self) -> usize {
        self.hits.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }
    /// Whether there are more offers than it holds.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// The cursor, when there is more.
    pub fn next(&self) -> Option<SortKey> {
        let hit = self.hits.last().filter(|_| self.more)?;
        let view = self.goods.get(hit.good as usize)?.view(hit.block as usize)?;
        let row = hit.row as usize;
        let supplier = self.index.owners.get(view.supplier(row))?.name.clone();
        let listing = ListingId::of_record(view.listing(row)).ok()?;
        let (currency, minor) = (Currency::of_number(view.currency(row)), view.minor(row));
        let lead = view.lead_days(row);
        Some(match self.sort {
            Sort::Price => SortKey::Price(hit.dimmed, currency, minor, lead, supplier, listing),
            Sort::Lead => SortKey::Lead(hit.dimmed, lead, currency, minor, supplier, listing),
            Sort::Distance => {
                SortKey::Distance(hit.dimmed, hit.rank, currency, minor, lead, supplier, listing)
            }
        })
    }

    /// Brings offers of several goods into one order.
    fn merge(&mut self, limit: usize) {
        let mut hits = std::mem::take(&mut self.hits);
        if self.goods.len() > 1 {
            hits.sort_by(|a, b| self.across(a, b));
        }
        self.more = hits.len() > limit;
        hits.truncate(limit);
        self.hits = hits;
    }

    fn across(&self, a: &Hit, b: &Hit) -> Order {
        let first = (a.dimmed, a.rank).cmp(&(b.dimmed, b.rank));
        first.then_with(|| {
            let view = |hit: &Hit| self.goods.get(hit.good as usize)?.view(hit.block as usize);
            let (Some(of_a), Some(of_b)) = (view(a), view(b)) else { return Order::Equal };
            let numbers =
                |view: &View<'_>, row: usize| (view.currency(row), view.minor(row), view.lead_days(row));
            let (a, b) = (a.row as usize, b.row as usize);
            numbers(&of_a, a).cmp(&numbers(&of_b, b)).then_with(|| {
                let name = |view: &View<'_>, row: usize| self.index.owners.name(view.supplier(row));
                name(&of_a, a).cmp(name(&of_b, b)).then_with(|| of_a.listing(a).cmp(of_b.listing(b)))
            })
        })
    }
}

/// The first offers of one good in the order asked for.
struct Best {
    keep: usize,
    hits: Vec<Hit>,
    /// Whether they come in that order, so that nothing is before what is there.
    in_order: bool,
    /// Once more than are kept were found: what ranks like this, or behind it, comes too late.
    bound: Option<u64>,
}

impl Best {
    fn is_full(&self) -> bool {
        self.in_order && self.hits.len() >= self.keep
    }
    /// Whether what comes next with this rank, or a greater one, comes too late.
    fn is_late(&self, rank: u64) -> bool {
        self.bound.is_some_and(|bound| rank >= bound)
    }
    fn add(&mut self, hit: Hit) {
        self.hits.push(hit);
        if !self.in_order && self.hits.len() >= 2 * self.keep {
            let (_, last, _) = self.hits.select_nth_unstable_by_key(self.keep - 1, Hit::order);
            self.bound = Some(last.rank);
            self.hits.truncate(self.keep);
        }
    }
    fn finish(mut self) -> Vec<Hit> {
        if !self.in_order {
            self.hits.sort_unstable_by_key(Hit::order);
            self.hits.truncate(self.keep);
        }
        self.hits
    }
}

/// What restrictions leave of an offer that is wanted.
enum Judged {
    Unwanted,
    Withheld,
    Left(Left, i64, u64),
}

/// One question, prepared.
struct Scan<'q> {
    index: &'q Index,
    overlay: &'q Overlay,
    query: &'q Query,
    /// As it is kept.
    gtin: Option<u64>,
    currency: Option<u16>,
    /// Country of the region asked for.
    country: Option<u64>,
    units_min: i64,
}

impl Scan<'_> {
    /// The first offers of one good, those in their place and then the dimmed ones.
    fn good(&self, offers: &Offers, good: u32, keep: usize) -> Vec<Hit> {
        let (mut found, dimmed) = match &self.query.after {
            Some(after) if after.is_dimmed() => (Vec::new(), true),
            _ => self.pass(offers, good, keep, false),
        };
        if dimmed && found.len() < keep {
            found.extend(self.pass(offers, good, keep - found.len(), true).0);
        }
        found
    }

    /// The first offers that are dimmed, or that are not; and whether there may be any of the other kind.
    fn pass(&self, offers: &Offers, good: u32, keep: usize, dimmed: bool) -> (Vec<Hit>, bool) {
        let in_order = self.query.sort == Sort::Price;
        let mut best = Best { keep, hits: Vec::new(), in_order, bound: None };
        let mut others = false;
        match offers {
            Offers::Few(block) => {
                self.block(&View::open(block), (good, 0), dimmed, &mut best, &mut others);
            }
            Offers::Many(many) => {
                for (at, piece) in many.pieces.iter().enumerate() {
                    if best.is_full() || self.ends_before(piece) {
                        break;
                    }
                    // Counted before anything is looked at.
                    let (changes, easings) = (self.overlay.changes(), self.overlay.easings());
                    let shown = piece.shown(self.overlay);
                    let nothing = shown == Shown::Nothing || (shown == Shown::Dimmed && !dimmed);
                    others |= shown == Shown::Dimmed;
                    if nothing || self.passes_by(piece, dimmed, &best) {
                        // Dimmed offers come behind all others: what a cursor has passed here, it may not have there.
                        others |= !nothing;
                        continue;
                    }
                    let view = piece.view();
                    let before = best.hits.len();
                    let withheld = self.block(&view, (good, at as u32), dimmed, &mut best, &mut others);
                    if withheld && shown == Shown::Unknown && best.hits.len() == before {
                        match self.look(&view) {
                            Shown::Some => piece.note(Shown::Some, changes),
                            found => piece.note(found, easings),
                        }
                    }
                }
            }
        }
        (best.finish(), others)
    }

    /// Whether neither this block nor any behind it can hold something that is wanted.
    fn ends_before(&self, piece: &Piece) -> bool {
        self.currency.is_some_and(|wanted| {
            piece.first.0 > wanted
                || (piece.first.0 == wanted && self.query.max_price.is_some_and(|most| piece.first.1 > most))
        })
    }

    /// Whether a block can hold nothing that is wanted.
    fn passes_by(&self, piece: &Piece, dimmed: bool, best: &Best) -> bool {
        let rank_min = match self.query.sort {
            Sort::Lead => piece.lead_min.into(),
            Sort::Price | Sort::Distance => 0,
        };
        let passed = match &self.query.after {
            Some(SortKey::Price(of, currency, minor, ..)) if *of == dimmed => {
                piece.last < (currency.number(), *minor)
            }
            _ => false,
        };
        passed
            || piece.available_max < self.units_min
            || self.currency.is_some_and(|wanted| piece.last.0 < wanted)
            || self.country.is_some_and(|country| piece.countries & country == 0)
            || self.query.max_lead_days.is_some_and(|most| piece.lead_min > most)
            || best.is_late(rank_min)
    }

    /// Looks through one block; says whether anything wanted was withheld or dimmed.
    fn block(
        &self,
        view: &View<'_>,
        (good, block): (u32, u32),
        dimmed: bool,
        best: &mut Best,
        others: &mut bool,
    ) -> bool {
        let mut hidden = false;
        for row in 0..view.len() {
            if best.is_full() {
                break;
            }
            let (left, units, rank) = match self.judge(view, row) {
                Judged::Unwanted => continue,
                Judged::Withheld => {
                    hidden = true;
                    continue;
                }
                Judged::Left(left, units, rank) => (left, units, rank),
            };
            let is_dimmed = left.level == Some(Level::Dim);
            if is_dimmed != dimmed {
                hidden |= is_dimmed;
                *others = true;
                continue;
            }
            let beyond = |after: &SortKey| self.place(view, row, dimmed, rank, after) == Order::Greater;
            if best.is_late(rank) || !self.query.after.as_ref().is_none_or(beyond) {
                continue;
            }
            best.add(Hit { dimmed, rank, good, block, row: row as u32, units, regions: left.regions });
        }
        hidden
    }

    /// Whether an offer is wanted, and what restrictions leave of it.
    fn judge(&self, view: &View<'_>, row: usize) -> Judged {
        let query = self.query;
        let available = view.available(row);
        let unwanted = available < self.units_min
            || self.currency.is_some_and(|wanted| view.currency(row) != wanted)
            || query.max_price.is_some_and(|most| view.minor(row) > most)
            || query.max_lead_days.is_some_and(|most| view.lead_days(row) > most)
            || self.gtin.is_some_and(|wanted| view.gtin(row) != wanted)
            || view.is_withdrawn(row);
        if unwanted {
            return Judged::Unwanted;
        }
        let mut rank = match query.sort {
            Sort::Lead => view.lead_days(row).into(),
            Sort::Price | Sort::Distance => 0,
        };
        if let Some((latitude, longitude, radius_km)) = query.near {
            let km = distance_km((latitude, longitude), self.index.coordinates(view, row));
            if km > radius_km {
                return Judged::Unwanted;
            }
            if query.sort == Sort::Distance {
                rank = (km * 1e6) as u64;
            }
        }
        let Some(left) = self.index.left(view, row, query.region, self.overlay) else {
            return Judged::Withheld;
        };
        let units = match left.level {
            Some(level) if caps(level) => available.min(self.index.allowed(view.supplier(row))),
            _ => available,
        };
        if units < self.units_min { Judged::Unwanted } else { Judged::Left(left, units, rank) }
    }

    /// Where an offer stands beside a cursor.
    fn place(&self, view: &View<'_>, row: usize, dimmed: bool, rank: u64, after: &SortKey) -> Order {
        let (currency, minor, lead) = (view.currency(row), view.minor(row), view.lead_days(row));
        let (first, supplier, listing) = match (self.query.sort, after) {
            (Sort::Price, SortKey::Price(d, c, m, l, supplier, listing)) => {
                ((dimmed, currency, minor, lead).cmp(&(*d, c.number(), *m, *l)), supplier, listing)
            }
            (Sort::Lead, SortKey::Lead(d, l, c, m, supplier, listing)) => {
                ((dimmed, lead, currency, minor).cmp(&(*d, *l, c.number(), *m)), supplier, listing)
            }
            (Sort::Distance, SortKey::Distance(d, r, c, m, l, supplier, listing)) => {
                let place = (dimmed, rank, currency, minor, lead);
                (place.cmp(&(*d, *r, c.number(), *m, *l)), supplier, listing)
            }
            // A cursor of another order marks no place in this one.
            _ => return Order::Less,
        };
        first.then_with(|| {
            let name = self.index.owners.name(view.supplier(row));
            name.cmp(supplier.as_str()).then_with(|| view.listing(row).cmp(listing.as_str()))
        })
    }

    /// What restrictions leave of a whole block for whoever asks.
    fn look(&self, view: &View<'_>) -> Shown {
        let mut shown = Shown::Nothing;
        for row in 0..view.len() {
            match self.index.level_on_all(view, row, self.overlay) {
                Some(level) if level.withholds() => {}
                Some(Level::Dim) => shown = Shown::Dimmed,
                _ => return Shown::Some,
            }
        }
        shown
    }
}

impl SortKey {
    /// Whether it stands among the dimmed offers.
    fn is_dimmed(&self) -> bool {
        match self {
            SortKey::Price(dimmed, ..) | SortKey::Lead(dimmed, ..) | SortKey::Distance(dimmed, ..) => *dimmed,
        }
    }
}

impl Index {
    /// Looks through `goods` for what is wanted; of one GTIN only, if given.
    pub(super) fn look_through(
        &self,
        goods: Vec<Offers>,
        query: &Query,
        overlay: &Overlay,
        gtin: Option<Gtin>,
    ) -> Page<'_> {
        let scan = Scan {
            index: self,
            overlay,
            query,
            gtin: gtin.map(|gtin| gtin_kept(Some(gtin))),
            currency: query.currency.map(Currency::number),
            country: query.region.map(country_bit),
            units_min: query.min_qty.max(1),
        };
        // One more than is answered says whether there is more.
        let keep = query.limit.saturating_add(1);
        let mut hits = Vec::new();
        for (number, offers) in goods.iter().enumerate() {
            hits.extend(scan.good(offers, number as u32, keep));
        }
        let mut page = Page { index: self, sort: query.sort, goods, hits, more: false };
        page.merge(query.limit);
        page
    }

    /// What is left of an offer for a buyer in `asked`.
    pub(super) fn left(
        &self,
        view: &View<'_>,
        row: usize,
        asked: Option<Region>,
        overlay: &Overlay,
    ) -> Option<Left> {
        let supplier = view.supplier(row);
        match overlay.standing(supplier) {
            Standing::Free if asked.is_none() => Some(Left::default()),
            Standing::Whole(level) if level.withholds() => None,
            _ => overlay.left(supplier, self.subject(view, row), asked),
        }
    }

    /// An offer, as restrictions see it.
    fn subject<'a>(&'a self, view: &View<'a>, row: usize) -> Subject<'a> {
        Subject { sku: view.sku(), listing: view.listing(row), regions: self.regions(view, row) }
    }

    /// The hardest level on an offer that is the same whoever asks.
    fn level_on_all(&self, view: &View<'_>, row: usize, overlay: &Overlay) -> Option<Level> {
        let supplier = view.supplier(row);
        match overlay.standing(supplier) {
            Standing::Free => None,
            Standing::Whole(level) => Some(level),
            Standing::Narrower => {
                let set = overlay.narrower(supplier)?;
                self.subject(view, row).level_on_all(set.iter().map(|(scope, level)| (scope, *level)))
            }
        }
    }
}
