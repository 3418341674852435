//! What frauds do. Every parameter is drawn from a wide range; nothing here knows what anybody looks for.

use stockade_model::AttributeKind;

use super::{
    Attack,
    draw::Draw,
    goods::Conduct,
    trader::{Change, Deed, Mind, Trader},
};

/// Attributes that people who mean to stay unknown forget to change.
const LINKS: [AttributeKind; 4] =
    [AttributeKind::Payout, AttributeKind::Device, AttributeKind::Address, AttributeKind::TaxId];

/// How many accounts one attack of a kind is.
pub(super) fn accounts(attack: Attack, draw: &mut Draw) -> usize {
    match attack {
        Attack::Ring => draw.whole(4, 9) as usize,
        Attack::ComeBack => 2,
        Attack::Splitter => draw.whole(3, 5) as usize,
        _ => 1,
    }
}

/// Writes the parts of the accounts of one attack, which has the middle of `days` to begin in.
pub(super) fn write(attack: Attack, group: &mut [Trader], draw: &mut Draw, days: f64) {
    let begin = draw.between(0.25, 0.6) * days;
    match attack {
        Attack::Ring => return ring(group, draw, days),
        Attack::ComeBack | Attack::Abandoned => return come_back(group, draw, begin),
        Attack::Splitter => return splitter(group, draw, begin),
        _ => {}
    }
    for trader in group {
        one(attack, trader, draw, begin, days);
    }
}

fn wicked(trader: &Trader) -> Conduct {
    Conduct { wicked: true, ..trader.conduct.clone() }
}

/// Takes orders and ships (next to) nothing: some say nothing, some invent a number, some cancel in the end.
fn takes_all(trader: &mut Trader, draw: &mut Draw, share: f64) -> Conduct {
    let fakes = if draw.chance(0.5) { draw.between(0.0, 0.8) } else { 0.0 };
    let cancels = if draw.chance(0.3) { draw.between(0.0, 0.3) } else { 0.0 };
    Conduct {
        fakes: share * (1.0 - cancels) * fakes,
        never_ships: share * (1.0 - cancels) * (1.0 - fakes),
        cancels: share * cancels,
        ..wicked(trader)
    }
}

/// An account that is made for it: it opens shortly before, or some weeks.
fn newcomer(trader: &mut Trader, draw: &mut Draw, begin: f64) -> f64 {
    let before = draw.between(0.0, 0.6) * begin;
    trader.launch = Some(begin - before);
    trader.age_days = draw.scale(0.5, 40.0);
    before
}

/// An account of some standing, open from the start.
fn established(trader: &mut Trader, draw: &mut Draw, daily: (f64, f64)) {
    trader.launch = Some(0.0);
    trader.age_days = draw.scale(60.0, 1_500.0);
    trader.daily = draw.scale(daily.0, daily.1);
}

fn one(attack: Attack, trader: &mut Trader, draw: &mut Draw, begin: f64, days: f64) {
    match attack {
        Attack::Sleeper => {
            established(trader, draw, (0.4, 6.0));
            let conduct = takes_all(trader, draw, 1.0);
            let warm = begin.max(0.4 * days);
            trader.turns(warm, conduct);
            trader.then(warm, Change::Demand(draw.scale(1.0, 6.0)));
            trader.then(warm + 0.1, Change::Prices(draw.between(0.6, 0.98)));
        }
        Attack::NeverDelivers => {
            established(trader, draw, (0.3, 6.0));
            let share = draw.between(0.15, 0.6);
            let conduct = takes_all(trader, draw, share);
            trader.turns(begin, conduct);
        }
        Attack::Canceller => {
            established(trader, draw, (0.5, 8.0));
            let cancels = draw.between(0.15, 0.35);
            trader.turns(begin, Conduct { cancels, ..wicked(trader) });
        }
        Attack::Counterfeit => {
            established(trader, draw, (0.3, 6.0));
            let faulty = draw.between(0.3, 0.8);
            trader.turns(begin, Conduct { faulty, ..wicked(trader) });
            trader.then(begin, Change::Prices(draw.between(0.4, 0.95)));
        }
        Attack::PriceBait => {
            let at = newcomer(trader, draw, begin);
            trader.daily = draw.scale(0.3, 2.0);
            let share = draw.between(0.6, 1.0);
            let conduct = takes_all(trader, draw, share);
            trader.turns(at, conduct);
            trader.then(at, Change::Prices(draw.between(0.15, 0.6)));
            trader.then(at, Change::Demand(draw.scale(2.0, 10.0)));
        }
        Attack::PhantomStock => {
            let at = newcomer(trader, draw, begin);
            let share = draw.between(0.3, 0.9);
            let cancels = share * draw.between(0.3, 1.0);
            let never_ships = share - cancels;
            trader.turns(at, Conduct { cancels, never_ships, ..wicked(trader) });
            trader.then(at, Change::Stock(draw.scale(20.0, 2_000.0)));
            trader.then(at, Change::Demand(draw.scale(1.0, 5.0)));
        }
        Attack::PatientTakeover | Attack::QuietTakeover => takeover(attack, trader, draw, begin),
        Attack::TrackingReuse => {
            established(trader, draw, (0.3, 5.0));
            let reuses = draw.between(0.3, 1.0);
            trader.turns(begin, Conduct { reuses, ..wicked(trader) });
        }
        Attack::Flicker => {
            let at = newcomer(trader, draw, begin);
            let cancels = draw.between(0.3, 0.8);
            trader.turns(at, Conduct { cancels, ..wicked(trader) });
            let (up, down) = (draw.between(0.5, 3.0), draw.between(0.3, 3.0));
            let mut day = at;
            for _ in 0..draw.whole(5, 15) {
                trader.then(day, Change::Market(true));
                trader.then(day + 0.05, Change::Stock(draw.scale(2.0, 60.0)));
                trader.then(day + up, Change::Market(false));
                day += up + down;
            }
            trader.daily = draw.scale(1.0, 6.0);
        }
        Attack::SelfPraise => {
            let at = newcomer(trader, draw, begin);
            let share = draw.between(0.2, 0.6);
            let conduct = takes_all(trader, draw, share);
            trader.turns(at, conduct);
            let praise = draw.between(0.7, 3.0) * trader.daily * (days - begin);
            trader.then(at * draw.share(), Change::Visitors(praise as u32 + 5, Deed::Praises, days - begin));
        }
        Attack::SlowDrip => {
            established(trader, draw, (1.0, 10.0));
            let share = draw.between(0.1, 0.15);
            let conduct = takes_all(trader, draw, share);
            trader.turns(begin * draw.share(), conduct);
        }
        Attack::CardFraud => {
            established(trader, draw, (0.5, 6.0));
            let stolen = draw.between(0.2, 0.6);
            trader.turns(begin, Conduct { stolen, ..wicked(trader) });
            trader.then(begin, Change::Demand(draw.scale(1.0, 4.0)));
        }
        Attack::Triangulation => {
            established(trader, draw, (0.5, 6.0));
            let (late, cancels) = (draw.between(0.5, 0.9), draw.between(0.02, 0.12));
            trader.turns(begin, Conduct { late, cancels, ..wicked(trader) });
        }
        Attack::UnpaidRefunds => {
            established(trader, draw, (0.5, 6.0));
            let faulty = draw.between(0.2, 0.5);
            trader.turns(begin, Conduct { faulty, keeps_money: true, ..wicked(trader) });
        }
        Attack::ListingFlood => {
            let at = newcomer(trader, draw, begin);
            let batches = draw.whole(2, 8);
            for batch in 0..batches {
                let listed = draw.scale(60.0, 250.0) as usize;
                let price = draw.between(0.5, 0.95);
                trader.then(at + 0.1 * batch as f64, Change::List(listed, price, draw.scale(1.0, 5.0)));
            }
            let share = draw.between(0.7, 1.0);
            let conduct = takes_all(trader, draw, share);
            trader.turns(at, conduct);
            trader.then(at, Change::Demand(draw.scale(2.0, 8.0)));
        }
        Attack::AgedPuppets => {
            let at = newcomer(trader, draw, begin);
            let accounts = draw.whole(6, 20) as u32;
            trader.then(0.0, Change::AgePuppets(accounts * draw.whole(2, 6) as u32, at.max(15.0)));
            let share = draw.between(0.3, 0.6);
            let conduct = takes_all(trader, draw, share);
            trader.turns(at.max(10.0), conduct);
            let praise = draw.between(0.5, 2.0) * trader.daily * (days - begin);
            trader.then(at.max(10.0), Change::AgedPraise(praise as u32 + 3, days - begin));
        }
        Attack::Stopper => {
            established(trader, draw, (0.5, 6.0));
            let share = draw.between(0.3, 0.9);
            let bad = takes_all(trader, draw, share);
            let good = Box::new(trader.conduct.clone());
            trader.mind = Mind::Stops { good, bad: Box::new(bad.clone()), stopped: false };
            trader.turns(begin, bad);
        }
        Attack::FloorHugger => {
            established(trader, draw, (0.15, 0.6));
            let share = draw.between(0.3, 0.6);
            let conduct = takes_all(trader, draw, share);
            trader.turns(begin * draw.share(), conduct);
        }
        Attack::Ring | Attack::Abandoned | Attack::ComeBack | Attack::Splitter => {}
    }
}

fn takeover(attack: Attack, trader: &mut Trader, draw: &mut Draw, begin: f64) {
    established(trader, draw, (0.1, 3.0));
    let mut day = begin;
    if attack == Attack::PatientTakeover {
        trader.then(day, Change::Login(true));
        day += draw.scale(0.05, 6.0);
        trader.then(day, Change::Payout);
        day += draw.between(2.0, 10.0);
    } else if draw.chance(0.6) {
        trader.then(day, Change::Payout);
        day += draw.scale(0.1, 5.0);
    }
    if draw.chance(0.7) {
        let listed = draw.scale(5.0, 80.0) as usize;
        let price = draw.between(0.5, 0.95);
        trader.then(day, Change::List(listed, price, draw.scale(0.5, 10.0)));
    }
    let share = draw.between(0.8, 1.0);
    let conduct = takes_all(trader, draw, share);
    trader.turns(day, conduct);
    trader.then(day, Change::Demand(draw.scale(1.0, 12.0)));
}

/// Accounts that belong together and show it in one thing or two; each sells a handful.
fn ring(group: &mut [Trader], draw: &mut Draw, days: f64) {
    let links = draw.whole(1, 2) as usize;
    let first = draw.place(LINKS.len());
    let shown = group.first().map(|trader| trader.attributes.clone()).unwrap_or_default();
    for trader in group {
        trader.launch = Some(draw.between(0.05, 0.5) * days);
        trader.age_days = draw.scale(0.5, 60.0);
        trader.daily = draw.scale(0.1, 0.5);
        for place in 0..links {
            let kind = LINKS[(first + place) % LINKS.len()];
            shown.iter().filter(|attribute| attribute.kind == kind).for_each(|one| trader.share(one));
        }
        let share = draw.between(0.4, 1.0);
        let conduct = takes_all(trader, draw, share);
        trader.turns(draw.scale(0.5, 15.0), conduct);
    }
}

/// One account that cheats until it is restricted or has had enough, and another that opens then.
fn come_back(group: &mut [Trader], draw: &mut Draw, begin: f64) {
    let [first, second, ..] = group else { return };
    let at = newcomer(first, draw, begin * 0.7);
    let share = draw.between(0.4, 1.0);
    let conduct = takes_all(first, draw, share);
    first.turns(at, conduct);
    first.mind = Mind::Moves { to: vec![second.number], moved: false };
    // Whoever is never restricted leaves when the claims come in.
    first.then(at + draw.between(15.0, 35.0), Change::Leave);
    second.age_days = draw.scale(0.2, 10.0);
    second.daily = first.daily * draw.scale(0.5, 2.0);
    let kind = LINKS[draw.place(LINKS.len())];
    first.shown(kind).iter().for_each(|one| second.share(one));
    let conduct = takes_all(second, draw, share);
    second.turns(draw.between(0.0, 5.0), conduct);
}

/// One account, and small ones that open when it is restricted.
fn splitter(group: &mut [Trader], draw: &mut Draw, begin: f64) {
    let Some((first, others)) = group.split_first_mut() else { return };
    established(first, draw, (0.8, 6.0));
    let share = draw.between(0.3, 0.9);
    let conduct = takes_all(first, draw, share);
    first.turns(begin, conduct);
    first.mind = Mind::Moves { to: others.iter().map(|other| other.number).collect(), moved: false };
    let kind = LINKS[draw.place(LINKS.len())];
    for other in others {
        other.age_days = draw.scale(0.2, 10.0);
        other.daily = draw.scale(0.2, 1.0);
        first.shown(kind).iter().for_each(|one| other.share(one));
        let conduct = takes_all(other, draw, share);
        other.turns(0.0, conduct);
    }
}
