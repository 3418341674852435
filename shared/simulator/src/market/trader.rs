//! One supplier, and what may happen to it.

use stockade_model::{Attribute, AttributeKind, ListingId, Region, SupplierId};

use super::{
    Kind,
    draw::{Draw, mix},
    goods::Conduct,
};

/// Regular buyers a supplier has at most.
const REGULARS_MAX: usize = 64;

/// A listing.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) listing: ListingId,
    pub(super) good: usize,
    /// What it usually costs here, in cents.
    pub(super) usual_price: f64,
    /// Units put up when it is filled.
    pub(super) usual_stock: i64,
    /// Units left, as the supplier counts them.
    pub(super) stock: i64,
    /// Units ordered that will never leave: the platform counts them as taken, so it puts up as many more.
    pub(super) stuck: i64,
    /// Whether it is on the market.
    pub(super) up: bool,
}

/// What a visitor is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// To buy.
    Buys,
    /// To claim afterwards whatever is done.
    Claims,
    /// To rate low whatever is done.
    Slates,
    /// To praise, for the supplier itself: such an order is no order.
    Praises,
}

/// Who comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Visitor {
    /// Somebody of the public.
    Anyone,
    /// An account made for this.
    Fresh(Deed),
    /// A certain account.
    Account(u64, Deed),
}

/// What happens to a supplier at a time of its script.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// It comes onto the platform.
    Open,
    /// It treats orders like this from here on.
    Conduct(Box<Conduct>),
    /// Orders come this many times as often as usual.
    Demand(f64),
    /// Its prices are this many times the usual ones.
    Prices(f64),
    /// The stock of all listings is set to this many times the usual.
    Stock(f64),
    /// So many further listings of any kind, at this many times the market's price and this many times the usual stock.
    List(usize, f64, f64),
    /// Takes everything off the market, or puts it back.
    Market(bool),
    /// It goes for good, and whoever it planned to move to opens.
    Leave,
    /// No orders and no edits, or again.
    Away(bool),
    /// The account is used from a device; new or its own.
    Login(bool),
    /// The payout account changes.
    Payout,
    /// So many visitors of this kind over so many days.
    Visitors(u32, Deed, f64),
    /// Accounts that it keeps order here for praise, so many orders over so many days.
    AgedPraise(u32, f64),
    /// Its accounts buy at other suppliers, so many orders over so many days.
    AgePuppets(u32, f64),
    /// The next so many orders are unlucky.
    Unlucky(u32),
    /// One buyer orders so often, and then claims for all of it.
    AngryRegular(u32),
}

/// How an attacker reacts to being restricted.
#[derive(Clone, Debug)]
pub(super) enum Mind {
    /// It does not.
    Set,
    /// Behaves while it is restricted: how, and how it goes on.
    Stops { good: Box<Conduct>, bad: Box<Conduct>, stopped: bool },
    /// These open, and it goes.
    Moves { to: Vec<usize>, moved: bool },
}

/// A supplier.
#[derive(Clone, Debug)]
pub(super) struct Trader {
    pub(super) id: SupplierId,
    pub(super) number: usize,
    pub(super) kind: Kind,
    pub(super) draw: Draw,
    /// Place in the regions.
    pub(super) home: usize,
    pub(super) region: Region,
    /// Share of its buyers who are elsewhere.
    pub(super) abroad: f64,
    pub(super) categories: Vec<usize>,
    pub(super) items: Vec<Item>,
    /// Orders a day.
    pub(super) daily: f64,
    pub(super) demand: f64,
    pub(super) prices: f64,
    pub(super) conduct: Conduct,
    pub(super) mind: Mind,
    pub(super) handling_days: f64,
    /// Share of orders by buyers who were here before.
    pub(super) loyal: f64,
    /// Share of buyers who abuse refunds.
    pub(super) abused: f64,
    pub(super) regulars: Vec<u64>,
    /// What it shows of itself.
    pub(super) attributes: Vec<Attribute>,
    /// Accounts of its own that buy elsewhere.
    pub(super) puppets: Vec<u64>,
    /// When it opens, in days from the start; never by itself when absent.
    pub(super) launch: Option<f64>,
    /// How long it has traded when it opens, in days.
    pub(super) age_days: f64,
    /// What happens to it, in days from its opening.
    pub(super) script: Vec<(f64, Change)>,
    pub(super) opened: bool,
    pub(super) away: bool,
    pub(super) unlucky: u32,
    pub(super) ordered: u32,
    pub(super) fresh: u32,
    pub(super) events: u32,
}

impl Trader {
    /// Notes a buyer who may come again.
    pub(super) fn remember(&mut self, buyer: u64) {
        if self.regulars.len() < REGULARS_MAX {
            self.regulars.push(buyer);
        } else {
            let place = self.draw.place(REGULARS_MAX);
            self.regulars[place] = buyer;
        }
    }

    /// A number for an account made now.
    pub(super) fn fresh_buyer(&mut self) -> u64 {
        self.fresh += 1;
        mix(&[self.number as u64, 9, u64::from(self.fresh)])
    }

    /// Its attribute of a kind becomes another.
    pub(super) fn renew(&mut self, kind: AttributeKind) {
        let salt = (self.draw.share() * 1e15) as u64;
        let fresh = attribute(kind, &[self.number as u64, salt]);
        self.attributes.retain(|known| known.kind != kind);
        self.attributes.push(fresh);
    }

    /// Adds to what happens to it.
    pub(super) fn then(&mut self, days: f64, change: Change) {
        self.script.push((days, change));
    }

    /// Treats orders otherwise from `days` after it opened on.
    pub(super) fn turns(&mut self, days: f64, conduct: Conduct) {
        self.then(days, Change::Conduct(Box::new(conduct)));
    }

    /// Takes over what another shows, of one kind.
    pub(super) fn share(&mut self, of: &Attribute) {
        self.attributes.retain(|known| known.kind != of.kind);
        self.attributes.push(of.clone());
    }

    /// What it shows of one kind.
    pub(super) fn shown(&self, kind: AttributeKind) -> Vec<Attribute> {
        self.attributes.iter().filter(|attribute| attribute.kind == kind).cloned().collect()
    }
}

/// An attribute that only equal numbers share.
pub(super) fn attribute(kind: AttributeKind, of: &[u64]) -> Attribute {
    let salted = |salt: u64| {
        let mut numbers = vec![salt, kind as u64];
        numbers.extend_from_slice(of);
        mix(&numbers)
    };
    Attribute { kind, hash: format!("{:016x}{:016x}", salted(1), salted(2)) }
}
