//! What the marketplace promises whoever is judged by it.

use std::collections::{BTreeMap, BTreeSet};

use stockade_model::{Level, ListingId, OrderEvent, OrderEventKind, Region, SupplierId, Timestamp};

use super::{Attack, Kind, Market, Odd, Plan, Shop, Sight, Spread, Step};

/// A platform that restricts some from a moment on.
#[derive(Default)]
struct Platform {
    /// Level by supplier; whoever is at a level that withholds is not seen.
    levels: BTreeMap<SupplierId, Level>,
    /// Everybody who has sold so many orders is put at this level.
    after: Option<(u32, Level)>,
    sold: BTreeMap<SupplierId, u32>,
}

impl Shop for Platform {
    fn sight(&mut self, supplier: &SupplierId, _: &ListingId, _: Region, _: i64) -> Sight {
        let sold = self.sold.entry(supplier.clone()).or_default();
        *sold += 1;
        if let Some((orders, level)) = self.after
            && *sold > orders
        {
            self.levels.insert(supplier.clone(), level);
        }
        match self.levels.get(supplier) {
            Some(level) if level.withholds() => Sight::Hidden,
            Some(Level::Dim) => Sight::Last,
            _ => Sight::Seen,
        }
    }
    fn level(&self, supplier: &SupplierId) -> Option<Level> {
        self.levels.get(supplier).copied()
    }
}

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        start: Timestamp::parse("2026-01-05T00:00:00Z").unwrap(),
        days: 90,
        plain: 40,
        of_each_odd: 2,
        of_each_attack: 2,
        spread: Spread::Wide,
    }
}

fn play(plan: Plan, platform: &mut Platform) -> (Market, Vec<(Timestamp, Step)>) {
    let mut market = Market::new(plan).unwrap();
    let mut steps = Vec::new();
    while let Some(at) = market.next_at() {
        steps.extend(market.step(platform).into_iter().map(|step| (at, step)));
    }
    (market, steps)
}

fn supplier(step: &Step) -> &SupplierId {
    match step {
        Step::Register(profile) => &profile.supplier,
        Step::Rows(supplier, _) => supplier,
        Step::Event(event) => &event.supplier,
    }
}

fn events(steps: &[(Timestamp, Step)]) -> impl Iterator<Item = (Timestamp, &OrderEvent)> {
    steps.iter().filter_map(|(at, step)| match step {
        Step::Event(event) => Some((*at, event.as_ref())),
        _ => None,
    })
}

fn of_kind(market: &Market, kind: Kind) -> BTreeSet<SupplierId> {
    market.members().into_iter().filter(|member| member.kind == kind).map(|member| member.supplier).collect()
}

#[test]
fn a_seed_plays_the_same_every_time_and_another_plays_otherwise() {
    let (_, one) = play(plan(1), &mut Platform::default());
    let (_, again) = play(plan(1), &mut Platform::default());
    let (_, other) = play(plan(2), &mut Platform::default());
    assert!(one == again && one != other);
}

#[test]
fn what_is_decided_about_one_changes_nothing_of_what_another_does() {
    let (market, open) = play(plan(3), &mut Platform::default());
    let one = of_kind(&market, Kind::Plain).into_iter().next().unwrap();
    let mut platform = Platform::default();
    platform.levels.insert(one.clone(), Level::Quarantine);
    let (_, withheld) = play(plan(3), &mut platform);
    let others = |steps: &[(Timestamp, Step)]| {
        let mut by: BTreeMap<SupplierId, Vec<(Timestamp, Step)>> = BTreeMap::new();
        for (at, step) in steps.iter().filter(|(_, step)| *supplier(step) != one) {
            by.entry(supplier(step).clone()).or_default().push((*at, step.clone()));
        }
        by
    };
    assert!(open != withheld && others(&open) == others(&withheld));
}

#[test]
fn who_is_withheld_gets_no_more_orders_while_those_in_flight_go_on() {
    let mut platform = Platform { after: Some((6, Level::Quarantine)), ..Platform::default() };
    let (_, steps) = play(plan(4), &mut platform);
    let mut placed: BTreeMap<&SupplierId, u32> = BTreeMap::new();
    for (_, event) in events(&steps).filter(|(_, event)| event.kind == OrderEventKind::Placed) {
        *placed.entry(&event.supplier).or_default() += 1;
    }
    assert!(placed.len() > 80 && placed.values().all(|orders| *orders <= 6), "{placed:?}");
    let delivered = events(&steps).filter(|(_, event)| event.kind == OrderEventKind::Delivered).count();
    assert!(delivered > 100, "{delivered}");
}

#[test]
fn everything_told_is_possible() {
    let (_, steps) = play(plan(5), &mut Platform::default());
    let (mut ids, mut placed, mut registered) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    let mut before = Timestamp::default();
    for (at, step) in &steps {
        assert!(*at >= before, "time goes back");
        before = *at;
        match step {
            Step::Register(profile) => assert!(registered.insert(profile.supplier.clone())),
            Step::Rows(supplier, rows) => {
                assert!(registered.contains(supplier) && (1..=1_000).contains(&rows.len()));
            }
            Step::Event(event) => {
                assert!(registered.contains(&event.supplier) && event.time == *at);
                assert!(ids.insert(event.id.clone()), "{}", event.id);
                let Some(order) = &event.order else { continue };
                if event.kind == OrderEventKind::Placed {
                    let (ship_by, deliver_by) = (event.ship_by.unwrap(), event.deliver_by.unwrap());
                    assert!(*at < ship_by && ship_by <= deliver_by);
                    assert!(placed.insert(order.clone(), (event.supplier.clone(), ship_by)).is_none());
                } else {
                    let (supplier, ship_by) = &placed[order];
                    assert_eq!(supplier, &event.supplier);
                    let handed_late = event.kind == OrderEventKind::Shipped && at > ship_by;
                    assert!(event.kind != OrderEventKind::Shipped || event.late == handed_late, "{event:?}");
                }
                let rated = event.kind == OrderEventKind::Reviewed;
                assert_eq!(rated, event.rating.is_some_and(|rating| (1..=5).contains(&rating)));
            }
        }
    }
}

#[test]
fn every_kind_of_attack_does_harm_and_nobody_honest_does() {
    let mut harmed: BTreeMap<Kind, usize> = BTreeMap::new();
    for seed in 6..9 {
        // Everybody who has sold some is restricted, so that those who move on do.
        let mut platform = Platform { after: Some((12, Level::Cap)), ..Platform::default() };
        let (market, _) = play(plan(seed), &mut platform);
        let members = market.members();
        for deal in market.deals() {
            let kind = members[deal.supplier].kind;
            assert!(kind.is_attack() || deal.harmed.is_none(), "{}", kind.as_str());
            assert!(deal.harmed.is_none_or(|shown| shown >= deal.at));
            *harmed.entry(kind).or_default() += usize::from(deal.harmed.is_some());
        }
        let sold: BTreeSet<Kind> = market.deals().iter().map(|deal| members[deal.supplier].kind).collect();
        for odd in Odd::ALL {
            assert!(sold.contains(&Kind::Odd(odd)), "{} sells nothing", odd.as_str());
        }
    }
    for attack in Attack::ALL {
        let count = harmed.get(&Kind::Attack(attack)).copied().unwrap_or(0);
        assert!(count > 0, "{} harms nobody", attack.as_str());
    }
}

#[test]
fn attackers_react_to_the_level_that_they_are_at() {
    let harm = |market: &Market, kind: Kind| {
        let members = market.members();
        market.deals().iter().filter(|d| members[d.supplier].kind == kind && d.harmed.is_some()).count()
    };
    let opened = |market: &Market, attack: Attack| {
        let of = |member: &&super::Member| member.kind == Kind::Attack(attack) && member.opened.is_some();
        market.members().iter().filter(of).count()
    };
    let (free, _) = play(plan(10), &mut Platform::default());
    let mut platform = Platform { after: Some((0, Level::Cap)), ..Platform::default() };
    let (capped, _) = play(plan(10), &mut platform);
    let stopper = Kind::Attack(Attack::Stopper);
    assert!(harm(&free, stopper) > 2 * harm(&capped, stopper).max(1), "it stops when it is capped");
    assert_eq!(opened(&free, Attack::Splitter), 2, "nobody splits who is left alone");
    assert!(opened(&capped, Attack::Splitter) > 4, "who is capped goes on with several");
    assert_eq!(opened(&capped, Attack::ComeBack), opened(&capped, Attack::Abandoned));
}

#[test]
fn accounts_that_belong_together_show_it_in_something() {
    let (market, steps) = play(plan(11), &mut Platform::default());
    let mut shown: BTreeMap<SupplierId, BTreeSet<String>> = BTreeMap::new();
    for (_, event) in events(&steps) {
        let hashes = event.attributes.iter().map(|attribute| attribute.hash.clone());
        shown.entry(event.supplier.clone()).or_default().extend(hashes);
    }
    let ring = of_kind(&market, Kind::Attack(Attack::Ring));
    let linked = ring
        .iter()
        .filter(|one| ring.iter().any(|other| one != &other && !shown[*one].is_disjoint(&shown[other])));
    assert_eq!(linked.count(), ring.len());
    let plain = of_kind(&market, Kind::Plain);
    let linked = plain
        .iter()
        .filter(|one| plain.iter().any(|other| one != &other && !shown[*one].is_disjoint(&shown[other])));
    assert_eq!(linked.count(), 0, "ordinary suppliers share nothing");
}

#[test]
fn honest_suppliers_differ_widely_and_categories_do_too() {
    let quiet = Plan { plain: 300, of_each_odd: 0, of_each_attack: 0, ..plan(12) };
    let (_, steps) = play(quiet, &mut Platform::default());
    let (mut by_supplier, mut by_category) = (BTreeMap::new(), BTreeMap::new());
    for (_, event) in events(&steps).filter(|(_, event)| event.order.is_some()) {
        let late = event.kind == OrderEventKind::Shipped && event.late;
        let sent = event.kind == OrderEventKind::Shipped;
        let category = event.category.clone().unwrap();
        for count in [
            by_supplier.entry(event.supplier.to_string()).or_insert((0_u32, 0_u32)),
            by_category.entry(category).or_insert((0, 0)),
        ] {
            *count = (count.0 + u32::from(sent), count.1 + u32::from(late));
        }
    }
    let rates = |counts: &BTreeMap<String, (u32, u32)>| {
        let mut rates: Vec<f64> = counts
            .values()
            .filter(|(sent, _)| *sent >= 60)
            .map(|(sent, late)| f64::from(*late) / f64::from(*sent))
            .collect();
        rates.sort_by(f64::total_cmp);
        rates
    };
    let (suppliers, categories) = (rates(&by_supplier), rates(&by_category));
    let quantile = |rates: &[f64], share: f64| rates[(share * (rates.len() - 1) as f64) as usize];
    assert!(suppliers.len() > 50, "{}", suppliers.len());
    assert!(quantile(&suppliers, 0.95) > 4.0 * quantile(&suppliers, 0.2).max(0.005), "{suppliers:?}");
    assert!(quantile(&categories, 1.0) > 2.0 * quantile(&categories, 0.0), "{categories:?}");
}
