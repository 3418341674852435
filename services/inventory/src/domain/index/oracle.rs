//! The index against a list that is looked through from end to end: random writes, restrictions and caps, and after each some
//! random questions, whose answers have to be the same to the last field. And answers while somebody writes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use fastrand::Rng;
use stockade_model::{Level, MarketSeen, Restriction, Scope, time::DAY_MS};
use stockade_quarantine::{
    Entry,
    conformance::{entry, restriction},
};

use super::*;

const SUPPLIERS: u32 = 40;
const GOODS: u32 = 12;
const REGIONS: [&str; 7] = ["DE", "DE-BY", "DE-BE", "FR", "BR", "BR-SP", "US"];
/// Two threads ask so many questions each.
const QUESTIONS: usize = 510_000;
const NOW_MS: i64 = 20 * DAY_MS;

fn region(at: usize) -> Region {
    Region::new(REGIONS[at]).unwrap()
}
fn sku(good: u32) -> Sku {
    Sku::new(&format!("SKU-{good}")).unwrap()
}
fn supplier(number: u32) -> SupplierId {
    SupplierId::new(&format!("s{number}")).unwrap()
}
fn gtins() -> [Gtin; 3] {
    ["4006381333931", "96385074", "2000000000008"].map(|text| Gtin::new(text).unwrap())
}

/// What both keep, and what is random.
struct World {
    random: Rng,
    index: Index,
    overlay: Overlay,
    /// The oracle: every offer as it was put last, by good.
    offers: Vec<Vec<Offer>>,
    allowances: HashMap<u32, i64>,
    since: HashMap<u32, Timestamp>,
    version: u64,
}

/// What an answer is compared by.
type Answer = (Vec<(String, String, String, Option<Gtin>, Money, i64, Box<[Region]>, u16)>, Option<SortKey>);

fn answer(found: Found) -> Answer {
    let shown = |o: Offer| {
        let names = (o.supplier.to_string(), o.listing.to_string(), o.sku.to_string());
        (names.0, names.1, names.2, o.gtin, o.price, o.available, o.regions, o.lead_days)
    };
    (found.offers.into_iter().map(shown).collect(), found.next)
}

impl World {
    fn new(seed: u64) -> Self {
        let (index, overlay) = (Index::default(), Overlay::default());
        // Numbers unlike the names.
        for number in (0..SUPPLIERS).rev() {
            overlay.number(&supplier(number));
        }
        Self {
            random: Rng::with_seed(seed),
            index,
            overlay,
            offers: vec![Vec::new(); GOODS as usize],
            allowances: HashMap::new(),
            since: HashMap::new(),
            version: 1,
        }
    }

    /// An offer of a listing that there may be already. The first good has as many as fill several blocks.
    fn any_offer(&mut self) -> Offer {
        let random = &mut self.random;
        let good = if random.bool() { 0 } else { random.u32(0..GOODS) };
        let (of, listings, dear) = if good == 0 { (SUPPLIERS, 15, 400) } else { (SUPPLIERS / 3, 2, 6) };
        let regions: BTreeSet<usize> =
            (0..random.usize(1..4)).map(|_| random.usize(0..REGIONS.len())).collect();
        let currency = Currency::new(if random.u8(0..4) == 0 { "JPY" } else { "EUR" }).unwrap();
        let number = random.u32(0..of);
        let place = random.u8(0..3);
        let price = Money { minor: random.i64(0..dear), currency };
        let available = random.i64(0..9);
        self.version += 1;
        Offer {
            supplier: supplier(number),
            listing: ListingId::new(&format!("l{good}-{}", random.u32(0..listings))).unwrap(),
            sku: sku(good),
            gtin: random.bool().then(|| gtins()[random.usize(0..3)]),
            price,
            available,
            on_hand: available + random.i64(0..3),
            withdrawn: random.u8(0..12) == 0,
            own_regions: false,
            regions: regions.into_iter().map(region).collect(),
            location: LocationId::new(&format!("at{place}")).unwrap(),
            lead_days: random.u16(0..4),
            latitude: f64::from(place),
            longitude: f64::from(number % 2),
            version: if random.u8(0..10) == 0 {
                self.version.saturating_sub(random.u64(0..200))
            } else {
                self.version
            },
            updated: Timestamp::from_ms(random.i64(0..NOW_MS)),
            number: self.overlay.number(&supplier(number)),
        }
    }

    fn put(&mut self, offer: Offer) {
        self.index.put(&offer, &self.overlay);
        let good: usize = offer.sku.as_str()[4..].parse().unwrap();
        let is_it = |held: &&mut Offer| held.supplier == offer.supplier && held.listing == offer.listing;
        match self.offers[good].iter_mut().find(is_it) {
            Some(held) if held.version > offer.version => {}
            Some(held) => *held = offer,
            None => self.offers[good].push(offer),
        }
    }

    fn any_restriction(&mut self) -> Restriction {
        let random = &mut self.random;
        let scope = match random.u8(0..8) {
            0..3 => Scope::Supplier,
            3..6 => Scope::Region { region: region(random.usize(0..REGIONS.len())) },
            6 => Scope::Sku { sku: sku(random.u32(0..3)) },
            _ => Scope::Listing { listing: ListingId::new(&format!("l0-{}", random.u32(0..3))).unwrap() },
        };
        let level = Level::ALL[random.usize(0..Level::ALL.len())];
        Restriction { since: Timestamp::from_ms(random.i64(0..NOW_MS)), ..restriction(scope, level) }
    }

    fn restrict(&mut self, number: u32, set: Vec<Restriction>) {
        self.version += 1;
        let withholding = set.iter().filter(|r| r.level.withholds()).map(|r| r.since).min();
        let key = self.overlay.number(&supplier(number));
        match withholding {
            Some(since) => drop(self.since.entry(key).or_insert(since)),
            None => drop(self.since.remove(&key)),
        }
        assert!(self.overlay.apply(&entry(&format!("s{number}"), self.version, set), 0));
    }

    /// One change, mostly of an offer; now and then of nearly everybody, so that whole blocks are hidden.
    fn change(&mut self) {
        match self.random.u8(0..40) {
            0..30 => {
                let offer = self.any_offer();
                self.put(offer);
            }
            30..36 => {
                let number = self.random.u32(0..SUPPLIERS);
                let set = (0..self.random.usize(0..4)).map(|_| self.any_restriction()).collect();
                self.restrict(number, set);
            }
            36 if self.random.u8(0..8) == 0 => {
                let levels = [Level::Quarantine, Level::Lockout, Level::Dim];
                let level = levels[self.random.usize(0..3)];
                for number in 0..SUPPLIERS - self.random.u32(0..6) {
                    self.restrict(number, vec![restriction(Scope::Supplier, level)]);
                }
            }
            37 if self.random.u8(0..8) == 0 => {
                (0..SUPPLIERS).for_each(|number| self.restrict(number, Vec::new()))
            }
            _ => {
                let number = self.random.u32(0..SUPPLIERS);
                let units = self.random.bool().then(|| self.random.i64(0..8));
                match units {
                    Some(units) => drop(self.allowances.insert(number, units)),
                    None => drop(self.allowances.remove(&number)),
                }
                self.index.allow(number, units);
            }
        }
    }

    fn any_query(&mut self) -> Query {
        let random = &mut self.random;
        let some = |random: &mut Rng, one_in: u8| random.u8(0..one_in) == 0;
        let near = some(random, 4).then(|| (f64::from(random.u8(0..3)), 0.5, f64::from(random.u16(1..400))));
        let sort = match random.u8(0..3) {
            0 if near.is_some() => Sort::Distance,
            0 | 1 => Sort::Price,
            _ => Sort::Lead,
        };
        Query {
            region: random.bool().then(|| region(random.usize(0..REGIONS.len()))),
            min_qty: if random.bool() { 1 } else { random.i64(0..9) },
            max_price: some(random, 5).then(|| random.i64(0..400)),
            currency: some(random, 3)
                .then(|| Currency::new(if random.bool() { "JPY" } else { "EUR" }).unwrap()),
            max_lead_days: some(random, 5).then(|| random.u16(0..4)),
            near,
            sort,
            after: None,
            limit: if some(random, 12) { 1_000 } else { random.usize(1..10) },
        }
    }

    /// What the oracle answers: all offers of the goods, filtered, sorted and cut.
    fn naive(&self, goods: &[u32], query: &Query, gtin: Option<Gtin>) -> Found {
        let mut found = Vec::new();
        for offer in goods.iter().flat_map(|good| &self.offers[*good as usize]) {
            let km =
                query.near.map(|(lat, lon, _)| distance_km((lat, lon), (offer.latitude, offer.longitude)));
            let wanted = offer.available >= query.min_qty.max(1)
                && !offer.withdrawn
                && query.currency.is_none_or(|currency| offer.price.currency == currency)
                && query.max_price.is_none_or(|most| offer.price.minor <= most)
                && query.max_lead_days.is_none_or(|most| offer.lead_days <= most)
                && query.near.is_none_or(|(.., radius)| km.unwrap() <= radius)
                && gtin.is_none_or(|gtin| offer.gtin == Some(gtin));
            let Some(left) = wanted.then(|| offer.left(&self.overlay, query.region)).flatten() else {
                continue;
            };
            let units = self.units(offer, &left);
            if units < query.min_qty.max(1) {
                continue;
            }
            let (dimmed, Money { minor, currency }, lead) =
                (left.level == Some(Level::Dim), offer.price, offer.lead_days);
            let (of, listing) = (offer.supplier.clone(), offer.listing.clone());
            let key = match query.sort {
                Sort::Price => SortKey::Price(dimmed, currency, minor, lead, of, listing),
                Sort::Lead => SortKey::Lead(dimmed, lead, currency, minor, of, listing),
                Sort::Distance => {
                    let millimetres = (km.unwrap() * 1e6) as u64;
                    SortKey::Distance(dimmed, millimetres, currency, minor, lead, of, listing)
                }
            };
            if query.after.as_ref().is_none_or(|after| key > *after) {
                found.push((key, left, units, offer));
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let next = (found.len() > query.limit).then(|| found[query.limit - 1].0.clone());
        found.truncate(query.limit);
        let shown = |(_, left, units, offer): (SortKey, Left, i64, &Offer)| Offer {
            available: units,
            regions: left.regions.unwrap_or_else(|| offer.regions.clone()),
            ..offer.clone()
        };
        Found { offers: found.into_iter().map(shown).collect(), next }
    }

    fn units(&self, offer: &Offer, left: &Left) -> i64 {
        let allowed = self.allowances.get(&offer.number).copied().unwrap_or(GRANT);
        if left.level.is_some_and(caps) { offer.available.min(allowed) } else { offer.available }
    }

    /// One question and, of its answer's pages, a few.
    fn ask(&mut self) -> usize {
        let mut query = self.any_query();
        let by_gtin = self.random.u8(0..8) == 0;
        let good = if self.random.u8(0..40) == 0 { 0 } else { self.random.u32(1..GOODS) };
        let gtin = by_gtin.then(|| gtins()[self.random.usize(0..3)]);
        let mut asked = 0;
        loop {
            let (found, expected) = match gtin {
                // The first good would be in every such question.
                Some(gtin) if !gtin.is_restricted() && self.random.u8(0..20) == 0 => {
                    let all: Vec<u32> = (0..GOODS).collect();
                    (
                        self.index.find_gtin(gtin, &query, &self.overlay).into(),
                        self.naive(&all, &query, Some(gtin)),
                    )
                }
                Some(gtin) => {
                    let skus: Vec<Sku> = (1..GOODS).map(sku).collect();
                    let some: Vec<u32> = (1..GOODS).collect();
                    let found = self.index.query_all(&skus, &query, &self.overlay, Some(gtin));
                    (found, self.naive(&some, &query, Some(gtin)))
                }
                None => {
                    (self.index.query(&sku(good), &query, &self.overlay), self.naive(&[good], &query, None))
                }
            };
            let (found, expected) = (answer(found), answer(expected));
            assert_eq!(found, expected, "{query:?} of {good} {gtin:?}");
            asked += 1;
            match found.1 {
                Some(next) if self.random.u8(0..4) > 0 => query.after = Some(next),
                _ => return asked,
            }
        }
    }

    fn naive_market(&self, good: u32, currency: Currency, except: &SupplierId) -> Option<MarketSeen> {
        let counts = |offer: &&Offer| {
            let stood = || {
                let since = *self.since.get(&offer.number)?;
                Some(offer.updated < since && NOW_MS - since.ms() <= 7 * DAY_MS)
            };
            offer.supplier != *except
                && !offer.withdrawn
                && offer.price.currency == currency
                && offer.available > 0
                && (offer.left(&self.overlay, None).is_some() || stood() == Some(true))
        };
        let offers: Vec<&Offer> = self.offers[good as usize].iter().filter(counts).collect();
        let middle = |mut values: Vec<i64>| {
            values.sort_unstable();
            values.get(values.len().checked_sub(1)? / 2).copied()
        };
        let median_minor = middle(offers.iter().map(|offer| offer.price.minor).collect())?;
        Some(MarketSeen {
            median_minor,
            offers: offers.len() as u32,
            median_units: middle(offers.iter().map(|offer| offer.available).collect())?,
            spread_minor: middle(
                offers.iter().map(|offer| (offer.price.minor - median_minor).abs()).collect(),
            ),
        })
    }

    /// Counts, markets, listings and impacts.
    fn compare_the_rest(&mut self) {
        let all = || self.offers.iter().flatten();
        let hidden: Vec<&Offer> = all().filter(|offer| offer.left(&self.overlay, None).is_none()).collect();
        let hidden = (hidden.len() as u64, hidden.iter().map(|offer| offer.available).sum::<i64>());
        assert_eq!(self.index.withheld(&self.overlay), hidden);
        let units: i64 = all().map(|offer| offer.available).sum();
        assert_eq!((self.index.listings(), self.index.units()), (all().count() as u64, units));
        if let Some(offer) = all().nth(self.random.usize(0..1 + all().count())) {
            let held = self.index.listing(&offer.supplier, &offer.listing).unwrap();
            assert_eq!(format!("{held:?}"), format!("{offer:?}"));
        }
        let currency = Currency::new(if self.random.bool() { "EUR" } else { "JPY" }).unwrap();
        for good in 1..GOODS {
            let except = supplier(self.random.u32(0..SUPPLIERS));
            let now = Timestamp::from_ms(NOW_MS);
            let seen = self.index.market(&sku(good), currency, &except, &self.overlay, now);
            assert_eq!(seen, self.naive_market(good, currency, &except));
        }
        let suppliers: BTreeSet<SupplierId> =
            (0..3).map(|_| supplier(self.random.u32(0..SUPPLIERS))).collect();
        let mut found = self.index.impact(&suppliers, &self.overlay);
        found.empty.sort();
        assert_eq!(found, self.naive_impact(&suppliers));
    }

    fn naive_impact(&self, suppliers: &BTreeSet<SupplierId>) -> Impact {
        let mut impact = Impact::default();
        for offers in &self.offers {
            let seen = offers.iter().filter_map(|offer| {
                let left =
                    offer.left(&self.overlay, None).filter(|_| offer.available > 0 && !offer.withdrawn)?;
                Some((offer, left.regions.unwrap_or_else(|| offer.regions.clone())))
            });
            let (gone, stays): (Vec<_>, Vec<_>) =
                seen.partition(|(offer, _)| suppliers.contains(&offer.supplier));
            let mut empty = BTreeSet::new();
            for (offer, regions) in &gone {
                impact.listings += 1;
                impact.units += offer.available;
                let value = impact.value_minor.entry(offer.price.currency.as_str().to_owned()).or_insert(0);
                *value += offer.price.minor * offer.available;
                let served =
                    |region: &Region| stays.iter().any(|(_, by)| by.iter().any(|by| by.serves(*region)));
                empty
                    .extend(regions.iter().filter(|region| !served(region)).map(|r| (offer.sku.clone(), *r)));
            }
            impact.goods_empty += usize::from(!gone.is_empty() && stays.is_empty());
            impact.places_empty += empty.len();
            impact.empty.extend(empty);
        }
        impact.empty.sort();
        impact
    }
}

#[test]
fn every_answer_is_that_of_a_list_looked_through_from_end_to_end() {
    std::thread::scope(|scope| {
        for seed in 1..3 {
            scope.spawn(move || {
                let mut world = World::new(seed);
                let (mut asked, mut changes) = (0, 0_usize);
                while asked < QUESTIONS {
                    world.change();
                    changes += 1;
                    (0..6).for_each(|_| asked += world.ask());
                    if changes.is_multiple_of(50) {
                        world.compare_the_rest();
                    }
                }
            });
        }
    });
}

/// What a buyer sees of a good, as one number.
fn told(index: &Index, sku: &Sku, overlay: &Overlay) -> u64 {
    let mut hash = DefaultHasher::new();
    let all = Query { limit: 10_000, ..Query::default() };
    let page = index.find(sku, &all, overlay);
    let each = |seen: Seen<'_>| {
        (seen.supplier, seen.listing, seen.price.minor, seen.available, seen.lead_days).hash(&mut hash);
        Ok::<(), ()>(())
    };
    page.try_each(each).unwrap();
    hash.finish()
}

/// Every answer is what one moment between asking and being answered had, never a mixture of two.
#[test]
fn whoever_reads_while_somebody_writes_sees_the_good_as_it_was_at_one_moment() {
    let mut random = Rng::with_seed(5);
    let puts: Vec<Offer> = (0..6_000)
        .map(|version| {
            let number = random.u32(0..60);
            let base = super::tests::offer(
                (number % 8) as u8,
                (number / 8) as u8,
                random.i64(0..50),
                1,
                1 + random.i64(0..9),
                version,
            );
            // The second good grows beyond one block.
            let listing = random.u32(0..6);
            let good = random.u32(0..2);
            let listing =
                ListingId::new(&format!("g{good}-{number}-{}", if good == 0 { 0 } else { listing })).unwrap();
            Offer { sku: sku(good), listing, ..base }
        })
        .collect();
    let overlay = Overlay::default();
    let mut states = Vec::new();
    {
        let index = Index::default();
        states.push([0, 1].map(|good| told(&index, &sku(good), &overlay)));
        for offer in &puts {
            index.put(offer, &overlay);
            states.push([0, 1].map(|good| told(&index, &sku(good), &overlay)));
        }
    }
    let (index, begun, done) = (Index::default(), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (at, offer) in puts.iter().enumerate() {
                begun.store(at + 1, Ordering::SeqCst);
                index.put(offer, &overlay);
                done.store(at + 1, Ordering::SeqCst);
            }
        });
        for good in 0..2_u32 {
            let (index, begun, done, states, overlay, last) =
                (&index, &begun, &done, &states, &overlay, puts.len());
            scope.spawn(move || {
                loop {
                    let from = done.load(Ordering::SeqCst);
                    let seen = told(index, &sku(good), overlay);
                    let until = begun.load(Ordering::SeqCst);
                    assert!(
                        states[from..=until].iter().any(|state| state[good as usize] == seen),
                        "{from} to {until}"
                    );
                    if from == last {
                        break;
                    }
                }
            });
        }
    });
}

/// Ends the readers of a test, also when what they wait for has failed.
struct Halts<'a>(&'a AtomicBool);

impl Drop for Halts<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// While others read, and so remember which blocks are hidden: what is withheld is gone, and what is released is back, for
/// whoever asks next.
#[test]
fn a_release_is_seen_at_once_whatever_readers_remember() {
    let (index, overlay) = (Index::default(), Overlay::default());
    let count = 600_u32;
    let sku = super::tests::sku();
    for number in 0..count {
        let offer = super::tests::offer(0, 0, i64::from(number), 1, 1, 1);
        index.put(&Offer { supplier: supplier(number), ..offer }, &overlay);
    }
    let set = |number: u32, version: u64, level: Option<Level>| {
        let set = level.map(|level| restriction(Scope::Supplier, level)).into_iter().collect();
        let made: Entry = entry(&format!("s{number}"), version, set);
        overlay.apply(&made, 0);
    };
    (0..count - 1).for_each(|number| set(number, 1, Some(Level::Quarantine)));
    let cheapest = |limit| index.query(&sku, &Query { limit, ..Query::default() }, &overlay).offers;
    let halt = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !halt.load(Ordering::SeqCst) {
                assert!(!cheapest(3).is_empty());
            }
        });
        let _halts = Halts(&halt);
        let mut random = Rng::with_seed(3);
        for version in 0..4_000 {
            let number = random.u32(0..count - 1);
            set(number, 3 * version + 2, None);
            assert_eq!(cheapest(1)[0].supplier, supplier(number), "released");
            set(number, 3 * version + 3, Some(Level::Dim));
            let both: Vec<_> = cheapest(2).into_iter().map(|offer| offer.supplier).collect();
            assert_eq!(both, [supplier(count - 1), supplier(number)], "dimmed");
            set(number, 3 * version + 4, Some(Level::Lockout));
            assert_eq!(cheapest(2).len(), 1, "withheld again");
        }
    });
}

/// Locking the supplier in the middle of a market moves nothing for its neighbours, as long as that is news.
#[test]
fn a_lock_does_not_tip_the_neighbours_of_who_is_locked() {
    let (index, overlay) = (Index::default(), Overlay::default());
    // Two cheap, one in the middle, one dear.
    let day = |days: i64| Timestamp::from_ms(days * DAY_MS);
    let priced: BTreeMap<u8, i64> = [(1, 1_000), (2, 1_010), (3, 5_000), (4, 5_050)].into();
    for (number, minor) in &priced {
        index.put(&Offer { updated: day(1), ..super::tests::offer(*number, 1, *minor, 1, 5, 1) }, &overlay);
    }
    let (eur, me) = (Currency::new("EUR").unwrap(), SupplierId::new("s9").unwrap());
    let seen = |now| {
        let market = index.market(&super::tests::sku(), eur, &me, &overlay, now).unwrap();
        (market.median_minor, market.offers)
    };
    assert_eq!(seen(day(2)), (1_010, 4));
    for number in [1, 2] {
        let locked = Restriction { since: day(2), ..restriction(Scope::Supplier, Level::Quarantine) };
        overlay.apply(&entry(&format!("s{number}"), 1, vec![locked]), 0);
    }
    assert_eq!(seen(day(2)), (1_010, 4), "the two that are left are no outliers of a sudden");
    assert_eq!(seen(day(9)), (1_010, 4));
    assert_eq!(
        seen(Timestamp::from_ms(9 * DAY_MS + 1)),
        (5_000, 2),
        "after a week it is the market that buyers know"
    );
    let changed = Offer { updated: day(3), ..super::tests::offer(1, 1, 10, 1, 5, 2) };
    index.put(&changed, &overlay);
    assert_eq!(seen(day(3)), (5_000, 3), "nobody moves a market from where it is not seen");
}
