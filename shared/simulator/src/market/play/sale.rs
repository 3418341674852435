//! A buyer comes, and what becomes of the order.

use stockade_model::{BuyerId, Money, OrderEvent, OrderEventKind, OrderId, Region, time::DAY_MS};

use super::{
    super::{
        Deal, Kind, Odd,
        draw::{Draw, mix},
        goods::{CATEGORIES, REGIONS},
        orders::{Circumstances, Course, Mark},
        trader::{Deed, Visitor},
    },
    Market, Shop, Sight, Step, TAKE_THE_LAST, Wave, What, ms,
};

impl Market {
    pub(super) fn visit(
        &mut self,
        number: usize,
        visitor: Visitor,
        now_ms: i64,
        shop: &mut dyn Shop,
    ) -> Vec<Step> {
        let trader = &mut self.traders[number];
        if !trader.opened || trader.away || trader.items.is_empty() {
            return Vec::new();
        }
        let units = if trader.draw.chance(0.88) { 1 } else { trader.draw.whole(2, 3) };
        let place = trader.draw.popular(trader.items.len());
        let abroad = trader.draw.chance(trader.abroad);
        let other = (trader.home + 1 + trader.draw.place(REGIONS.len() - 1)) % REGIONS.len();
        let to = if abroad { other } else { trader.home };
        let patient = trader.draw.chance(TAKE_THE_LAST);
        let item = &trader.items[place];
        if !item.up || item.stock < units {
            return Vec::new();
        }
        let Ok(region) = Region::new(REGIONS[to]) else { return Vec::new() };
        let sight = shop.sight(&trader.id, &item.listing, region, units);
        let public = matches!(visitor, Visitor::Anyone);
        if sight == Sight::Hidden || sight == Sight::Last && public && !patient {
            return Vec::new();
        }
        self.order(number, place, units, (to, region, abroad), visitor, now_ms)
    }

    /// The buyer's account, absent for guests, what they are there for, and whether they abuse refunds.
    fn buyer(&mut self, number: usize, visitor: Visitor) -> (Option<u64>, Deed, bool) {
        let (seed, pool) = (self.plan.seed, self.pool);
        let trader = &mut self.traders[number];
        match visitor {
            Visitor::Fresh(deed) => (Some(trader.fresh_buyer()), deed, false),
            Visitor::Account(account, deed) => (Some(account), deed, false),
            Visitor::Anyone if trader.draw.chance(trader.abused) => {
                (Some(mix(&[seed, 5, trader.draw.place(300) as u64])), Deed::Buys, true)
            }
            Visitor::Anyone if trader.draw.chance(0.04) => (None, Deed::Buys, false),
            Visitor::Anyone if trader.draw.chance(trader.loyal) && !trader.regulars.is_empty() => {
                let place = trader.draw.place(trader.regulars.len());
                (Some(trader.regulars[place]), Deed::Buys, false)
            }
            Visitor::Anyone if trader.draw.chance(0.2) => {
                let account = trader.fresh_buyer();
                trader.remember(account);
                (Some(account), Deed::Buys, false)
            }
            Visitor::Anyone => {
                let place = trader.draw.popular(pool) as u64;
                let account = mix(&[seed, 4, place]);
                trader.remember(account);
                (Some(account), Deed::Buys, place.is_multiple_of(120))
            }
        }
    }

    fn order(
        &mut self,
        number: usize,
        place: usize,
        units: i64,
        (to, region, abroad): (usize, Region, bool),
        visitor: Visitor,
        now_ms: i64,
    ) -> Vec<Step> {
        let (buyer, deed, abuser) = self.buyer(number, visitor);
        let day = now_ms as f64 / DAY_MS as f64;
        let within = |wave: Wave| wave.0 <= day && day < wave.1;
        let hit = |(of, wave, _): &&(usize, Wave, f64)| *of == to && within(*wave);
        let strike = self.strikes.iter().find(hit).map_or(0.0, |(.., days)| *days);
        let trader = &mut self.traders[number];
        let unlucky = trader.unlucky > 0;
        trader.unlucky = trader.unlucky.saturating_sub(1);
        let outage =
            within(self.outage) && (trader.kind == Kind::Odd(Odd::Outage) || trader.draw.chance(0.5));
        // Weeks differ a little everywhere, the same for all who send to a region.
        let week = Draw::new(&[self.plan.seed, 6, to as u64, (day / 7.0) as u64]).around(0.35, 0.8);
        let sold = self.catalogue.goods[trader.items[place].good].category;
        let (conduct, handling_days) =
            (trader.conduct.with(trader.categories[0], sold), trader.handling_days);
        let of = Circumstances {
            conduct: &conduct,
            handling_days,
            abroad,
            delay_days: strike + week,
            outage,
            unlucky,
            abuser,
            deed,
        };
        let course = Course::draw(&mut trader.draw, &of);
        let item = &mut trader.items[place];
        item.stock -= units;
        let leaves = |mark: &Mark| matches!(mark.kind, OrderEventKind::Shipped | OrderEventKind::Cancelled);
        if !course.marks.iter().any(leaves) {
            item.stuck += units;
        }
        let minor = ((item.usual_price * trader.prices) as i64).max(1) * units;
        let (listing, good) = (item.listing.clone(), item.good);
        trader.ordered += 1;
        let Ok(order) = OrderId::new(&format!("o-{number}-{}", trader.ordered)) else { return Vec::new() };
        let at = self.plan.start.plus_ms(now_ms);
        // Praise that is bought is no order that came to harm.
        let harmed = course.harm_days.filter(|_| deed != Deed::Praises);
        self.deals.push(Deal {
            supplier: number,
            at,
            minor,
            harmed: harmed.map(|days| at.plus_ms(ms(days))),
        });
        let Some(mut placed) = self.event(number, OrderEventKind::Placed, at) else { return Vec::new() };
        placed.order = Some(order);
        placed.buyer = buyer.and_then(|buyer| BuyerId::new(&format!("b-{buyer:016x}")).ok());
        placed.listing = Some(listing);
        placed.sku = Some(self.catalogue.goods[good].sku.clone());
        placed.quantity = Some(units);
        placed.amount = Money::new(minor, self.currency).ok();
        placed.category = Some(CATEGORIES[self.catalogue.goods[good].category].name.to_owned());
        placed.region = Some(region);
        placed.ship_by = Some(at.plus_ms(ms(course.ship_by_days)));
        placed.deliver_by = Some(at.plus_ms(ms(course.deliver_by_days)));
        let parcel = self.parcel(number);
        for mark in course.marks {
            self.mark(number, &placed, &mark, &parcel, now_ms);
        }
        vec![Step::Event(Box::new(placed))]
    }

    /// The tracking number of its latest order, and one of another parcel: of an earlier order of its own, or of one
    /// that somebody honest has sent.
    fn parcel(&mut self, number: usize) -> (String, String) {
        let honest = self.honest();
        let trader = &mut self.traders[number];
        let name = |of: usize, order: u64| {
            format!("T{:012}", mix(&[self.plan.seed, of as u64, 8, order]) % 1_000_000_000_000)
        };
        let latest = u64::from(trader.ordered);
        let other = if trader.draw.chance(0.5) && latest > 1 {
            (number, trader.draw.whole(1, latest as i64 - 1) as u64)
        } else {
            (trader.draw.place(honest), trader.draw.whole(1, 4) as u64)
        };
        (name(number, latest), name(other.0, other.1))
    }

    fn mark(
        &mut self,
        number: usize,
        placed: &OrderEvent,
        mark: &Mark,
        parcel: &(String, String),
        now_ms: i64,
    ) {
        let at_ms = now_ms + ms(mark.days.max(0.001));
        let Some(event) = self.event(number, mark.kind, self.plan.start.plus_ms(at_ms)) else { return };
        let moved = matches!(mark.kind, OrderEventKind::Shipped | OrderEventKind::Cancelled);
        let scanned = matches!(mark.kind, OrderEventKind::Shipped | OrderEventKind::Delivered);
        let tracking = if mark.reused { &parcel.1 } else { &parcel.0 };
        let event = OrderEvent {
            order: placed.order.clone(),
            buyer: placed.buyer.clone(),
            listing: placed.listing.clone().filter(|_| moved),
            quantity: placed.quantity.filter(|_| moved),
            cause: mark.cause,
            late: mark.late,
            rating: mark.rating,
            region: placed.region,
            category: placed.category.clone(),
            tracking: scanned.then(|| tracking.clone()),
            ..event
        };
        self.wait(at_ms, What::Event(Box::new(event)));
    }
}
