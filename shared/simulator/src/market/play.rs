//! The scheduler: what happens when, and what becomes of it.

use std::{cmp::Reverse, collections::BinaryHeap};

mod cast;
mod sale;

use stockade_model::{
    Attribute, Currency, EventId, Level, ListingId, ListingPut, LocationId, LocationPut, Money, OrderEvent,
    OrderEventKind, Region, Row, StockChange, StockMode, SupplierId, SupplierProfile, Timestamp, control,
    inventory::QUANTITY_MAX, time::DAY_MS,
};

use super::{
    Deal, Member, Odd, Spread,
    draw::Draw,
    goods::{Catalogue, REGIONS},
    trader::{Change, Deed, Item, Mind, Trader, Visitor},
};

/// Rows in one command.
const ROWS: usize = 200;
/// Share of buyers who take an offer that stands last.
const TAKE_THE_LAST: f64 = 0.3;
/// Currency of everything.
const CURRENCY: &str = "EUR";

/// What to play.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// When it begins.
    pub start: Timestamp,
    /// How long it goes on.
    pub days: u32,
    /// Honest and ordinary suppliers.
    pub plain: usize,
    /// Honest suppliers of each odd kind.
    pub of_each_odd: usize,
    /// Frauds of each kind.
    pub of_each_attack: usize,
    /// How far honest suppliers lie from the mean.
    pub spread: Spread,
}

/// What a buyer sees of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing, or it cannot be had.
    Hidden,
    /// It, behind everybody else's.
    Last,
    /// It.
    Seen,
}

/// The platform, as buyers and suppliers meet it.
pub trait Shop {
    /// What a buyer in `region` who wants so many units of a listing sees.
    fn sight(&mut self, supplier: &SupplierId, listing: &ListingId, region: Region, units: i64) -> Sight;
    /// The level that a supplier finds itself at.
    fn level(&self, supplier: &SupplierId) -> Option<Level>;
}

/// One thing that is told to the platform.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The operator registers a supplier.
    Register(SupplierProfile),
    /// A supplier says something about its inventory.
    Rows(SupplierId, Vec<Row>),
    /// An order system says something.
    Event(Box<OrderEvent>),
}

/// What waits for its time.
enum What {
    /// A supplier's day begins.
    Morning(usize),
    /// Somebody comes to buy.
    Visit(usize, Visitor),
    /// Its script goes on.
    Change(usize, Change),
    /// Something is recorded.
    Event(Box<OrderEvent>),
}

struct Waiting {
    at_ms: i64,
    number: u64,
    what: What,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.number).cmp(&(other.at_ms, other.number))
    }
}

/// A time in which everything of a region, or of all, goes otherwise: from and until, in days.
type Wave = (f64, f64);

/// The marketplace at a moment.
pub struct Market {
    plan: Plan,
    catalogue: Catalogue,
    traders: Vec<Trader>,
    opened: Vec<Option<Timestamp>>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    made: u64,
    deals: Vec<Deal>,
    /// Strikes of carriers: region, when, days that they cost.
    strikes: Vec<(usize, Wave, f64)>,
    outage: Wave,
    /// Buyers of the public.
    pool: usize,
    currency: Currency,
    location: LocationId,
}

impl Market {
    /// The marketplace before its first day.
    ///
    /// # Errors
    /// Never with a plan that makes sense: ids and codes of its own are checked like anybody's.
    pub fn new(plan: Plan) -> Result<Self, stockade_model::Invalid> {
        let suppliers = plan.plain + plan.of_each_odd * Odd::ALL.len();
        let catalogue = Catalogue::new(plan.seed, 12 + suppliers / 9);
        let mut draw = Draw::new(&[plan.seed, 2]);
        let days = f64::from(plan.days);
        let outage = draw.between(0.3, 0.7) * days;
        let mut market = Self {
            catalogue,
            traders: Vec::new(),
            opened: Vec::new(),
            waiting: BinaryHeap::new(),
            made: 0,
            deals: Vec::new(),
            strikes: Vec::new(),
            outage: (outage, outage + draw.between(0.5, 2.0)),
            pool: 50 * suppliers.max(20),
            currency: Currency::new(CURRENCY)?,
            location: LocationId::new("main")?,
            plan,
        };
        market.cast(&mut draw)?;
        for number in 0..market.traders.len() {
            if let Some(day) = market.traders[number].launch {
                market.launch(number, day);
            }
        }
        Ok(market)
    }

    /// Everybody, as the one who measures knows them.
    pub fn members(&self) -> Vec<Member> {
        let member = |(trader, opened): (&Trader, &Option<Timestamp>)| Member {
            supplier: trader.id.clone(),
            kind: trader.kind,
            opened: *opened,
        };
        self.traders.iter().zip(&self.opened).map(member).collect()
    }

    /// Every order so far.
    pub fn deals(&self) -> &[Deal] {
        &self.deals
    }

    /// When it ends.
    pub fn end(&self) -> Timestamp {
        self.plan.start.plus_ms(i64::from(self.plan.days) * DAY_MS)
    }

    /// When the next thing happens; nothing does after the last day.
    pub fn next_at(&self) -> Option<Timestamp> {
        let at = self.plan.start.plus_ms(self.waiting.peek()?.0.at_ms);
        (at < self.end()).then_some(at)
    }

    /// What the platform is told at [`Market::next_at`].
    pub fn step(&mut self, shop: &mut dyn Shop) -> Vec<Step> {
        let Some(Reverse(next)) = self.waiting.pop() else { return Vec::new() };
        let now_ms = next.at_ms;
        match next.what {
            What::Morning(number) => self.morning(number, now_ms, shop),
            What::Visit(number, visitor) => self.visit(number, visitor, now_ms, shop),
            What::Change(number, change) => self.change(number, change, now_ms),
            What::Event(event) => vec![Step::Event(event)],
        }
    }

    fn wait(&mut self, at_ms: i64, what: What) {
        self.waiting.push(Reverse(Waiting { at_ms, number: self.made, what }));
        self.made += 1;
    }

    fn launch(&mut self, number: usize, day: f64) {
        // One after the other, so that the first hour is not one instant.
        let at_ms = ms(day) + number as i64 * 1_000;
        let script = std::mem::take(&mut self.traders[number].script);
        self.wait(at_ms, What::Change(number, Change::Open));
        for (days, change) in script {
            self.wait(at_ms + ms(days) + 1, What::Change(number, change));
        }
    }

    fn morning(&mut self, number: usize, now_ms: i64, shop: &mut dyn Shop) -> Vec<Step> {
        self.wait(now_ms + DAY_MS, What::Morning(number));
        self.think(number, now_ms, shop);
        let trader = &mut self.traders[number];
        if trader.away {
            return Vec::new();
        }
        let weekday = [1.1, 1.05, 1.0, 1.0, 1.05, 0.9, 0.9][(now_ms / DAY_MS).rem_euclid(7) as usize];
        let orders = trader.draw.count(trader.daily * trader.demand * weekday);
        let times: Vec<i64> = (0..orders).map(|_| now_ms + ms(trader.draw.share() * 0.7)).collect();
        let mut rows = Vec::new();
        let regions = served(trader);
        let refills = trader.draw.chance(0.6);
        let (scale, edits) = (trader.prices, trader.draw.chance(0.06));
        for place in 0..trader.items.len() {
            let item = &mut trader.items[place];
            if !item.up {
                continue;
            }
            if refills && item.stock * 3 < item.usual_stock {
                item.stock = item.usual_stock;
                rows.push(stock_row(item));
            } else if edits && trader.draw.chance(0.1) {
                item.usual_price *= trader.draw.around(1.0, 0.03);
                rows.push(put_row(
                    item,
                    scale,
                    &self.catalogue,
                    self.currency,
                    &self.location,
                    &regions,
                    false,
                ));
            }
        }
        let mut account = Vec::new();
        if trader.draw.chance(0.15) {
            let new_device = trader.draw.chance(0.01);
            account = self.account(number, now_ms, OrderEventKind::Login, new_device);
        } else if trader.draw.chance(0.000_5) {
            account = self.account(number, now_ms, OrderEventKind::PayoutChanged, false);
        }
        times.into_iter().for_each(|at| self.wait(at, What::Visit(number, Visitor::Anyone)));
        let mut steps = self.rows(number, &rows);
        steps.extend(account);
        steps
    }

    /// How it reacts to what it sees of its own level.
    fn think(&mut self, number: usize, now_ms: i64, shop: &dyn Shop) {
        let trader = &mut self.traders[number];
        let restricted = shop.level(&trader.id).is_some_and(|level| level > Level::Limit);
        let conduct = trader.conduct.clone();
        match &mut trader.mind {
            Mind::Set => {}
            Mind::Stops { good, bad, stopped } => {
                if restricted && conduct.wicked {
                    *stopped = true;
                    trader.conduct = good.as_ref().clone();
                } else if !restricted && *stopped {
                    *stopped = false;
                    trader.conduct = bad.as_ref().clone();
                }
            }
            Mind::Moves { .. } => {
                if restricted && conduct.wicked {
                    self.leave(number, now_ms);
                }
            }
        }
    }

    /// It goes, and those it moves to open within days.
    fn leave(&mut self, number: usize, now_ms: i64) {
        let trader = &mut self.traders[number];
        let Mind::Moves { to, moved } = &mut trader.mind else { return };
        if std::mem::replace(moved, true) {
            return;
        }
        let to = to.clone();
        trader.away = true;
        for other in to {
            let after = self.traders[number].draw.scale(0.3, 8.0);
            self.launch(other, now_ms as f64 / DAY_MS as f64 + after);
        }
    }

    /// Rows as commands of at most [`ROWS`].
    fn rows(&self, number: usize, rows: &[Row]) -> Vec<Step> {
        let id = &self.traders[number].id;
        rows.chunks(ROWS).map(|chunk| Step::Rows(id.clone(), chunk.to_vec())).collect()
    }

    /// Everything on the market, said anew.
    fn puts(&self, number: usize, from: usize, with_stock: bool) -> Vec<Step> {
        let trader = &self.traders[number];
        let regions = served(trader);
        let put = |item: &Item| {
            let (catalogue, currency, location) = (&self.catalogue, self.currency, &self.location);
            put_row(item, trader.prices, catalogue, currency, location, &regions, with_stock)
        };
        let rows: Vec<Row> = trader.items[from..].iter().filter(|item| item.up).map(put).collect();
        self.rows(number, &rows)
    }

    fn open(&mut self, number: usize, now_ms: i64) -> Vec<Step> {
        let now = self.plan.start.plus_ms(now_ms);
        self.opened[number] = Some(now);
        let trader = &mut self.traders[number];
        trader.opened = true;
        let profile = SupplierProfile {
            supplier: trader.id.clone(),
            name: trader.id.to_string(),
            region: trader.region,
            since: now.plus_ms(-ms(trader.age_days)),
            class: control::standard_class(),
            stock_counts: Default::default(),
        };
        let location = LocationPut {
            location: self.location.clone(),
            gln: None,
            latitude: 0.0,
            longitude: 0.0,
            region: trader.region,
            handling_days: trader.handling_days as u16,
        };
        let morning = now_ms + trader.draw.whole(1_000, DAY_MS / 6);
        let id = trader.id.clone();
        self.wait(morning, What::Morning(number));
        let mut steps = vec![Step::Register(profile), Step::Rows(id, vec![Row::Location(location)])];
        steps.extend(self.puts(number, 0, true));
        steps.extend(self.account(number, now_ms, OrderEventKind::Login, false));
        steps
    }

    /// An account event; what it shows of the supplier goes with it.
    fn account(&mut self, number: usize, now_ms: i64, kind: OrderEventKind, new_device: bool) -> Vec<Step> {
        use stockade_model::AttributeKind::{Device, Payout};
        let trader = &mut self.traders[number];
        let shown: Vec<Attribute> = match kind {
            OrderEventKind::PayoutChanged => {
                trader.renew(Payout);
                trader.shown(Payout)
            }
            _ if new_device => {
                trader.renew(Device);
                trader.shown(Device)
            }
            _ => trader.attributes.clone(),
        };
        let at = self.plan.start.plus_ms(now_ms);
        let Some(mut event) = self.event(number, kind, at) else { return Vec::new() };
        event.new_device = new_device;
        event.attributes = shown;
        vec![Step::Event(Box::new(event))]
    }

    /// An event of a supplier with nothing else said yet.
    fn event(&mut self, number: usize, kind: OrderEventKind, time: Timestamp) -> Option<OrderEvent> {
        let trader = &mut self.traders[number];
        trader.events += 1;
        let id = EventId::new(&format!("{}-{}", trader.id, trader.events)).ok()?;
        Some(OrderEvent::bare(id, "shop", kind, time, trader.id.clone()))
    }

    fn change(&mut self, number: usize, change: Change, now_ms: i64) -> Vec<Step> {
        let trader = &mut self.traders[number];
        match change {
            Change::Open => return self.open(number, now_ms),
            Change::Conduct(conduct) => trader.conduct = *conduct,
            Change::Demand(times) => trader.demand = times,
            Change::Prices(times) => {
                trader.prices = times;
                return self.puts(number, 0, false);
            }
            Change::Stock(times) => {
                for item in &mut trader.items {
                    item.stock = ((item.usual_stock as f64 * times) as i64).clamp(1, QUANTITY_MAX);
                }
                let rows: Vec<Row> = trader.items.iter().filter(|item| item.up).map(stock_row).collect();
                return self.rows(number, &rows);
            }
            Change::List(count, price, stock) => {
                let mut trader = trader.clone();
                let first = self.stock_up(&mut trader, count, price, stock);
                self.traders[number] = trader;
                return self.puts(number, first, true);
            }
            Change::Market(up) => {
                trader.items.iter_mut().for_each(|item| item.up = up);
                if up {
                    return self.puts(number, 0, true);
                }
                let withdraw =
                    |item: &Item| Row::Withdraw { listing: item.listing.clone(), source_seq: None };
                let rows: Vec<Row> = trader.items.iter().map(withdraw).collect();
                return self.rows(number, &rows);
            }
            Change::Away(away) => trader.away = away,
            Change::Leave => {
                self.leave(number, now_ms);
                self.traders[number].away = true;
            }
            Change::Login(new_device) => {
                return self.account(number, now_ms, OrderEventKind::Login, new_device);
            }
            Change::Payout => return self.account(number, now_ms, OrderEventKind::PayoutChanged, false),
            Change::Unlucky(orders) => trader.unlucky = orders,
            Change::Visitors(count, deed, days) => {
                let visitors = (0..count).map(|_| (number, Visitor::Fresh(deed))).collect();
                self.visitors(number, visitors, now_ms, days);
            }
            Change::AgePuppets(count, days) => self.age_puppets(number, count, now_ms, days),
            Change::AgedPraise(count, days) => {
                let accounts = trader.puppets.clone();
                let visit = |place: u32| {
                    let account = accounts.get(place as usize % accounts.len().max(1)).copied();
                    (number, Visitor::Account(account.unwrap_or_default(), Deed::Praises))
                };
                let visitors = (0..count).map(visit).collect();
                self.visitors(number, visitors, now_ms, days);
            }
            Change::AngryRegular(count) => {
                let account = trader.fresh_buyer();
                self.elsewhere(number, &[account], 6, now_ms, 10.0);
                let visit = |deed| move |_: u32| (number, Visitor::Account(account, deed));
                self.visitors(number, (0..count).map(visit(Deed::Buys)).collect(), now_ms, 15.0);
                let later = now_ms + ms(15.0);
                self.visitors(number, (0..count).map(visit(Deed::Claims)).collect(), later, 10.0);
            }
        }
        Vec::new()
    }

    /// How many are honest; they come first.
    fn honest(&self) -> usize {
        self.plan.plain + self.plan.of_each_odd * Odd::ALL.len()
    }

    /// Visits somewhere within so many days; their times are drawn by the supplier who sends them.
    fn visitors(&mut self, by: usize, visits: Vec<(usize, Visitor)>, now_ms: i64, days: f64) {
        for (number, visitor) in visits {
            let at = now_ms + ms(self.traders[by].draw.share() * days);
            self.wait(at.max(now_ms), What::Visit(number, visitor));
        }
    }

    /// Accounts of a supplier buy at honest suppliers, so as to have a past.
    fn age_puppets(&mut self, number: usize, count: u32, now_ms: i64, days: f64) {
        let trader = &mut self.traders[number];
        let accounts: Vec<u64> = (0..(count / 3).max(3)).map(|_| trader.fresh_buyer()).collect();
        trader.puppets.clone_from(&accounts);
        self.elsewhere(number, &accounts, count, now_ms, days);
    }

    fn elsewhere(&mut self, number: usize, accounts: &[u64], count: u32, now_ms: i64, days: f64) {
        let honest = self.honest();
        let visit = |place: u32| {
            let other = self.traders[number].draw.place(honest);
            (other, Visitor::Account(accounts[place as usize % accounts.len()], Deed::Buys))
        };
        let visits: Vec<(usize, Visitor)> = (0..count).map(visit).collect();
        self.visitors(number, visits, now_ms, days);
    }
}

fn ms(days: f64) -> i64 {
    (days * DAY_MS as f64) as i64
}

/// Regions that its offers are for; none means its own.
fn served(trader: &Trader) -> Vec<Region> {
    let all = REGIONS.iter().filter_map(|region| Region::new(region).ok());
    if trader.abroad > 0.0 { all.collect() } else { Vec::new() }
}

fn stock_row(item: &Item) -> Row {
    Row::Stock(StockChange {
        listing: item.listing.clone(),
        mode: StockMode::Set,
        quantity: (item.stock + item.stuck).min(QUANTITY_MAX),
        source_seq: None,
        market: None,
    })
}

fn put_row(
    item: &Item,
    scale: f64,
    catalogue: &Catalogue,
    currency: Currency,
    location: &LocationId,
    regions: &[Region],
    with_stock: bool,
) -> Row {
    Row::Put(ListingPut {
        listing: item.listing.clone(),
        sku: catalogue.goods[item.good].sku.clone(),
        gtin: None,
        location: location.clone(),
        price: Money { minor: ((item.usual_price * scale) as i64).max(1), currency },
        regions: regions.to_vec(),
        on_hand: with_stock.then_some((item.stock + item.stuck).min(QUANTITY_MAX)),
        source_seq: None,
        market: None,
    })
}
