//! Restrictions of every scope on every path that leads to an offer, against an oracle that knows places and nothing else.

use proptest::prelude::*;
use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{
    Action, Change, Command, ControlRecord, Currency, Decision, Envelope, Gtin, Level, ListingId, ListingPut,
    LocationId, LocationPut, Money, Payload, Position, Region, ReservationId, Restriction, Row, RowStatus,
    Scope, Sku, SupplierId, SupplierProfile, Timestamp, Topic,
};
use stockade_quarantine::{Entry, Overlay, conformance::restriction};

use super::{Effect, Index, Inventory, Query};

/// The world in which this is tried: each region as the set of places in it. `BR` has a part that nobody names.
const WORLD: [(&str, &[u8]); 6] =
    [("DE", &[0, 1, 2]), ("DE-BY", &[0]), ("DE-BE", &[1]), ("FR", &[3]), ("BR", &[4, 5]), ("BR-SP", &[4])];

fn region(name: &str) -> Region {
    Region::new(name).unwrap()
}
fn places(region: Region) -> &'static [u8] {
    WORLD.iter().find(|(name, _)| *name == region.as_str()).unwrap().1
}
fn gtin() -> Gtin {
    Gtin::new("4006381333931").unwrap()
}
fn sku(number: u8) -> Sku {
    Sku::new(&format!("SKU-{number}")).unwrap()
}
fn listing(number: u8) -> ListingId {
    ListingId::new(&format!("l-{number}")).unwrap()
}
fn supplier(name: &str) -> SupplierId {
    SupplierId::new(name).unwrap()
}

fn any_region() -> impl Strategy<Value = Region> {
    (0..WORLD.len()).prop_map(|at| region(WORLD[at].0))
}
fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        1 => Just(Scope::Supplier),
        4 => any_region().prop_map(|region| Scope::Region { region }),
        2 => (0u8..2).prop_map(|number| Scope::Sku { sku: sku(number) }),
        2 => (0u8..3).prop_map(|number| Scope::Listing { listing: listing(number) }),
    ]
}

/// One listing: its number is its name, its good is the number's parity.
#[derive(Clone, Debug)]
struct Listed {
    number: u8,
    regions: Vec<Region>,
}

impl Listed {
    fn sku(&self) -> Sku {
        sku(self.number % 2)
    }

    /// Whether `scope` is about all of it.
    fn all_under(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Supplier => true,
            Scope::Sku { sku } => *sku == self.sku(),
            Scope::Listing { listing: of } => *of == listing(self.number),
            Scope::Region { .. } => false,
        }
    }

    /// The regions that may be shown, by places: of those served, the ones without any withheld place. Who asks for a
    /// region sees the offer when that region lies in one served and has no withheld place.
    fn shown(&self, asked: Option<Region>, set: &[Restriction]) -> Option<Vec<Region>> {
        let hard: Vec<&Scope> = set.iter().filter(|r| r.level.withholds()).map(|r| &r.scope).collect();
        if hard.iter().any(|scope| self.all_under(scope)) {
            return None;
        }
        let closed: Vec<u8> = hard
            .iter()
            .filter_map(
                |scope| if let Scope::Region { region } = scope { Some(places(*region)) } else { None },
            )
            .flatten()
            .copied()
            .collect();
        let open = |region: &Region| places(*region).iter().all(|place| !closed.contains(place));
        let mut left: Vec<Region> = self.regions.iter().copied().filter(open).collect();
        if let Some(asked) = asked {
            let within = |served: &&Region| places(asked).iter().all(|p| places(**served).contains(p));
            let served = self.regions.iter().any(|served| within(&served));
            if !served || !open(&asked) {
                return None;
            }
            if !left.iter().any(|served| within(&served)) {
                left.push(asked);
            }
        }
        (!left.is_empty()).then_some(left)
    }
}

/// The inventory fold of one supplier, with the index it feeds and the overlay that decisions feed.
struct Market {
    host: Host<Inventory>,
    index: Index,
    overlay: Overlay,
    offset: u64,
}

impl Market {
    fn new(listed: &[Listed]) -> Self {
        let host = Host::new("inventory", Topic::SupplierEvents, 0, 1, 1, Inventory::default());
        let mut market = Self { host, index: Index::default(), overlay: Overlay::default(), offset: 0 };
        let profile = SupplierProfile {
            supplier: supplier("a"),
            name: "A".to_owned(),
            region: region("DE"),
            since: Timestamp::from_ms(0),
            class: "standard".to_owned(),
            stock_counts: Default::default(),
        };
        let change = Change::Supplier { profile };
        market.apply(&Payload::Control(ControlRecord { actor: "op".to_owned(), change }));
        market.row(Row::Location(LocationPut {
            location: LocationId::new("main").unwrap(),
            gln: None,
            latitude: 0.0,
            longitude: 0.0,
            region: region("FR"),
            handling_days: 0,
        }));
        for listed in listed {
            market.put(listed);
        }
        market
    }

    fn put(&mut self, listed: &Listed) -> (RowStatus, Option<String>) {
        self.row(Row::Put(ListingPut {
            listing: listing(listed.number),
            sku: listed.sku(),
            gtin: Some(gtin()),
            location: LocationId::new("main").unwrap(),
            price: Money::new(100, Currency::new("EUR").unwrap()).unwrap(),
            regions: listed.regions.clone(),
            on_hand: Some(100),
            source_seq: None,
            market: None,
        }))
    }

    fn apply(&mut self, payload: &Payload) -> Vec<Effect> {
        let headers = Envelope::new(payload.kind(), format!("r-{}", self.offset), "test").headers();
        let record = Record {
            offset: self.offset,
            time_ms: 1_000,
            key: Default::default(),
            headers: headers.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            value: payload.encode().into(),
        };
        self.offset += 1;
        let mut effects = Vec::new();
        self.host.apply(&record, &mut effects);
        for effect in &effects {
            if let Effect::Offered(offer) = effect {
                self.index.put(offer, &self.overlay);
            }
        }
        effects
    }

    fn row(&mut self, row: Row) -> (RowStatus, Option<String>) {
        let command = Command {
            supplier: supplier("a"),
            idempotency_key: None,
            body_hash: String::new(),
            rows: vec![row],
            precondition: None,
            places: Vec::new(),
            refused: Vec::new(),
            forgets: None,
        };
        let decided = self.apply(&Payload::Command(command)).into_iter().find_map(|effect| match effect {
            Effect::Decided { rows, .. } => rows,
            _ => None,
        });
        let outcome = decided.expect("every request is decided").rows().remove(0);
        (outcome.status, outcome.code)
    }

    /// The decision reaches the fold's partition and the overlay.
    fn restrict(&mut self, in_force: &[Restriction]) {
        let decision = Decision {
            version: Position::parse("arbiter/0/1/1/1").unwrap(),
            at: Timestamp::default(),
            supplier: supplier("a"),
            action: Action::Imposed,
            restriction: None,
            actor: None,
            note: None,
            in_force: in_force.to_vec(),
            act: None,
            chain: String::new(),
        };
        self.overlay.apply(&Entry::of(decision.clone(), 1), 1);
        self.apply(&Payload::Decision(decision));
    }

    fn hold(&mut self, number: u8, region: Option<Region>) -> (RowStatus, Option<String>) {
        let reservation = ReservationId::new(&format!("r-{}", self.offset)).unwrap();
        let expires_at = Timestamp::from_ms(60_000);
        self.row(Row::Hold {
            reservation,
            listing: listing(number),
            quantity: 1,
            expires_at,
            region,
            owner: None,
            request: None,
            bound: None,
        })
    }
}

fn scene() -> impl Strategy<Value = (Vec<Listed>, Vec<Restriction>, Option<Region>)> {
    let listed =
        proptest::collection::vec(proptest::sample::subsequence(WORLD.map(|w| w.0).to_vec(), 1..4), 1..4);
    let listed = listed.prop_map(|regions| {
        let listed = regions.into_iter().enumerate();
        listed
            .map(|(at, names)| Listed { number: at as u8, regions: names.into_iter().map(region).collect() })
            .collect()
    });
    let level = proptest::sample::select(Level::ALL.to_vec());
    let set = proptest::collection::vec((any_scope(), level).prop_map(|(s, l)| restriction(s, l)), 0..4);
    (listed, set, proptest::option::of(any_region()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Query by SKU and by GTIN, market, impact, counts and holds all show what the oracle leaves, and nothing else.
    #[test]
    fn a_restriction_of_any_scope_is_kept_on_every_path((listed, set, asked) in scene()) {
        let mut market = Market::new(&listed);
        market.restrict(&set);
        let query = Query { region: asked, limit: 100, ..Query::default() };
        let shown = |asked: Option<Region>, of: &dyn Fn(&Listed) -> bool| -> Vec<(ListingId, Vec<Region>)> {
            let of = listed.iter().filter(|listed| of(listed));
            of.filter_map(|l| Some((listing(l.number), l.shown(asked, &set)?))).collect()
        };
        let mut by_gtin = Vec::new();
        for number in 0..2 {
            let expected = shown(asked, &|listed| listed.number % 2 == number);
            let found = market.index.query(&sku(number), &query, &market.overlay).offers;
            let mut found: Vec<_> = found.into_iter().map(|o| (o.listing, o.regions.to_vec())).collect();
            found.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(&found, &expected, "by SKU");
            by_gtin.extend(expected);

            let open = shown(None, &|listed| listed.number % 2 == number).len();
            let eur = Currency::new("EUR").unwrap();
            let seen = market.index.market(&sku(number), eur, &supplier("b"), &market.overlay, Timestamp::from_ms(1_000));
            prop_assert_eq!(seen.map_or(0, |seen| seen.offers as usize), open, "market");
        }
        let found = market.index.query_all(&market.index.skus(gtin()), &query, &market.overlay, Some(gtin()));
        let mut found: Vec<_> = found.offers.into_iter().map(|o| (o.listing, o.regions.to_vec())).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        by_gtin.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(found, by_gtin, "by GTIN");

        let open = shown(None, &|_| true);
        let impact = market.index.impact(&[supplier("a")].into(), &market.overlay);
        prop_assert_eq!(impact.listings as usize, open.len(), "impact");
        let mut lost: Vec<(Sku, Region)> = open
            .iter()
            .flat_map(|(name, regions)| {
                let good = listed.iter().find(|l| listing(l.number) == *name).unwrap().sku();
                regions.iter().map(move |region| (good.clone(), *region))
            })
            .collect();
        lost.sort();
        lost.dedup();
        let mut empty = impact.empty;
        empty.sort();
        prop_assert_eq!(empty, lost, "regions that would be left without the good");
        prop_assert_eq!(market.index.withheld(&market.overlay).0 as usize, listed.len() - open.len(), "counts");

        let locked_out = set.iter().any(|r| r.scope == Scope::Supplier && r.level == Level::Lockout);
        for l in &listed {
            let (status, code) = market.hold(l.number, asked);
            let left = l.shown(asked, &set);
            let code = code.as_deref();
            match left {
                _ if locked_out => prop_assert_eq!(code, Some("supplier_locked_out")),
                None => prop_assert_eq!(code, Some("not_available"), "hold"),
                Some(left) if asked.is_none() && left != l.regions => {
                    prop_assert_eq!(code, Some("region_required"), "hold for nowhere in particular");
                }
                Some(_) => prop_assert_eq!(status, RowStatus::Applied, "hold"),
            }
        }
    }

    /// Dimmed is what the hardest restriction on it dims, where it is asked for; anywhere else it keeps its place.
    #[test]
    fn an_offer_is_dimmed_where_it_is_dimmed(asked in proptest::option::of(any_region()), dim in any_region()) {
        let listed =
            [Listed { number: 0, regions: vec![region("DE"), region("FR")] }, Listed { number: 2, regions: vec![region("DE"), region("FR")] }];
        let mut market = Market::new(&listed);
        let whole = restriction(Scope::Region { region: dim }, Level::Dim);
        market.restrict(&[whole, restriction(Scope::Listing { listing: listing(2) }, Level::Dim)]);
        let query = Query { region: asked, limit: 100, ..Query::default() };
        let found = market.index.query(&sku(0), &query, &market.overlay).offers;
        let names: Vec<_> = found.iter().map(|offer| offer.listing.clone()).collect();
        let served = asked.is_none_or(|asked| asked.as_str().starts_with("DE") || asked.as_str() == "FR");
        // Equal prices: the first by name, or the only one that is not dimmed. Both orders agree here, so what tells them
        // apart is the key.
        prop_assert_eq!(names, if served { vec![listing(0), listing(2)] } else { vec![] });
        let first = market.index.query(&sku(0), &Query { limit: 1, ..query }, &market.overlay).next;
        if let Some(key) = first {
            let overlap = |asked: Region| places(asked).iter().any(|place| places(dim).contains(place));
            let dimmed = match asked {
                Some(asked) => overlap(asked),
                None => overlap(region("DE")) && overlap(region("FR")),
            };
            prop_assert!(matches!(key, super::SortKey::Price(was, ..) if was == dimmed));
        }
    }
}

#[test]
fn a_narrow_lock_out_refuses_what_adds_to_what_it_names_and_nothing_else() {
    let serves =
        |number, names: &[&str]| Listed { number, regions: names.iter().map(|n| region(n)).collect() };
    let mut market = Market::new(&[serves(0, &["DE"]), serves(1, &["DE", "FR"])]);
    let locked = |scope| restriction(scope, Level::Lockout);
    market.restrict(&[
        locked(Scope::Listing { listing: listing(0) }),
        locked(Scope::Region { region: region("DE") }),
    ]);
    let refused = |(status, code): (RowStatus, Option<String>)| {
        status == RowStatus::Conflict && code.as_deref() == Some("supplier_locked_out")
    };
    assert!(refused(market.put(&serves(0, &["DE"]))));
    assert!(refused(market.put(&serves(0, &["FR"]))), "the listing is locked out wherever it is sent");
    assert!(refused(market.put(&serves(2, &["DE-BY"]))), "a new listing for a locked region alone");
    assert_eq!(market.put(&serves(1, &["DE", "FR"])).0, RowStatus::Applied, "a part of it is free");
    let stock = |number, quantity| {
        Row::Stock(stockade_model::StockChange {
            listing: listing(number),
            mode: stockade_model::StockMode::Set,
            quantity,
            source_seq: None,
            market: None,
        })
    };
    assert!(refused(market.row(stock(0, 101))));
    assert_eq!(market.row(stock(0, 99)).0, RowStatus::Applied, "reductions are taken");
    assert_eq!(market.row(stock(1, 500)).0, RowStatus::Applied);
}
