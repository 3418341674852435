//! Who takes part, drawn before the first day.

use stockade_model::{AttributeKind, Invalid, ListingId, Region, SupplierId, inventory::QUANTITY_MAX};

use super::{
    super::{
        Attack, Kind, Odd, attacks,
        draw::Draw,
        goods::{CATEGORIES, ELECTRONICS, REFURBISHED, REGIONS},
        odd,
        trader::{Item, Mind, Trader, attribute},
    },
    Market,
};

impl Market {
    /// Everybody who may take part.
    pub(super) fn cast(&mut self, draw: &mut Draw) -> Result<(), Invalid> {
        let mut kinds: Vec<Kind> = vec![Kind::Plain; self.plan.plain];
        for odd in Odd::ALL {
            kinds.extend(std::iter::repeat_n(Kind::Odd(odd), self.plan.of_each_odd));
        }
        let honest = kinds.len();
        let mut groups: Vec<(Attack, std::ops::Range<usize>)> = Vec::new();
        for attack in Attack::ALL.into_iter().filter(|attack| *attack != Attack::Abandoned) {
            let mut left = self.plan.of_each_attack;
            while left > 0 {
                let size = attacks::accounts(attack, draw);
                let first = kinds.len();
                kinds.extend((0..size).map(|place| match (attack, place) {
                    (Attack::ComeBack, 0) => Kind::Attack(Attack::Abandoned),
                    _ => Kind::Attack(attack),
                }));
                groups.push((attack, first..kinds.len()));
                left -= match attack {
                    Attack::Ring => size.min(left),
                    _ => 1,
                };
            }
        }
        // An id tells nothing of who bears it.
        let mut names: Vec<usize> = (0..kinds.len()).collect();
        for place in (1..names.len()).rev() {
            names.swap(place, draw.place(place + 1));
        }
        for (number, kind) in kinds.iter().enumerate() {
            let trader = self.trader(number, *kind, names[number])?;
            self.traders.push(trader);
            self.opened.push(None);
        }
        let days = f64::from(self.plan.days);
        for (attack, range) in groups {
            attacks::write(attack, &mut self.traders[range], draw, days);
        }
        for number in 0..honest {
            let Kind::Odd(odd) = kinds[number] else { continue };
            let at = draw.between(0.2, 0.7) * days;
            odd::write(odd, &mut self.traders[number], draw, at);
            match odd {
                Odd::CarrierStrike => self.strike(number, draw, at),
                Odd::Shared => {
                    // Two of three share with an honest supplier, one with a fraud.
                    let attackers = kinds.len() - honest;
                    let other = match draw.chance(0.33) && attackers > 0 {
                        true => honest + draw.place(attackers),
                        false => draw.place(honest),
                    };
                    let other = self.traders[other].clone();
                    odd::share(&other, &mut self.traders[number], draw);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The carriers of its region strike, once for all who live there.
    fn strike(&mut self, number: usize, draw: &mut Draw, at: f64) {
        let home = self.traders[number].home;
        if self.strikes.iter().all(|(region, ..)| *region != home) {
            let until = at + draw.between(7.0, 16.0);
            self.strikes.push((home, (at, until), draw.between(4.0, 15.0)));
        }
    }

    fn trader(&self, number: usize, kind: Kind, name: usize) -> Result<Trader, Invalid> {
        let seed = self.plan.seed;
        let mut draw = Draw::new(&[seed, 3, number as u64]);
        // Strikes hit few regions, so that there is somewhere else to compare with.
        let home = match kind {
            Kind::Odd(Odd::CarrierStrike) => (seed as usize + number % 2) % REGIONS.len(),
            _ => draw.place(REGIONS.len()),
        };
        let category = match kind {
            Kind::Odd(Odd::BadCategory) => REFURBISHED,
            Kind::Odd(Odd::ClaimMagnet) => ELECTRONICS,
            _ => draw.place(CATEGORIES.len()),
        };
        let mut categories = vec![category];
        if draw.chance(0.3) {
            categories.push(draw.place(CATEGORIES.len()));
        }
        let daily = draw.around(0.9, 1.1).clamp(0.06, 40.0);
        let conduct = self.catalogue.conduct(&mut draw, category, home, self.plan.spread);
        let listings = (draw.around(5.0, 0.7) * daily.powf(0.3)).clamp(2.0, 60.0) as usize;
        let attributes = [0, 1, 2, 3].map(|place| {
            let kinds =
                [AttributeKind::Payout, AttributeKind::Device, AttributeKind::Address, AttributeKind::TaxId];
            attribute(kinds[place], &[seed, number as u64])
        });
        let abroad = if draw.chance(0.4) { draw.between(0.05, 0.5) } else { 0.0 };
        let mut trader = Trader {
            id: SupplierId::new(&format!("s-{name:05}"))?,
            number,
            kind,
            home,
            region: Region::new(REGIONS[home])?,
            abroad,
            categories,
            items: Vec::new(),
            daily,
            demand: 1.0,
            prices: draw.around(1.0, 0.06).clamp(0.8, 1.25),
            conduct,
            mind: Mind::Set,
            handling_days: draw.whole(1, 4) as f64,
            loyal: draw.between(0.05, 0.35),
            abused: 0.0,
            regulars: Vec::new(),
            attributes: attributes.to_vec(),
            puppets: Vec::new(),
            launch: Some(0.0),
            age_days: draw.scale(20.0, 2_500.0),
            script: Vec::new(),
            opened: false,
            away: false,
            unlucky: 0,
            ordered: 0,
            fresh: 0,
            events: 0,
            draw,
        };
        // Ordinary newcomers come all the time.
        if kind == Kind::Plain && trader.draw.chance(0.12) {
            trader.launch = Some(trader.draw.share() * f64::from(self.plan.days) * 0.8);
            trader.age_days = trader.draw.scale(0.2, 10.0);
        }
        if let Kind::Attack(Attack::ComeBack | Attack::Splitter) = kind {
            trader.launch = None;
        }
        self.stock_up(&mut trader, listings, 1.0, 1.0);
        Ok(trader)
    }

    /// Further listings at so many times the market's price and the usual stock.
    pub(super) fn stock_up(&self, trader: &mut Trader, count: usize, price: f64, stock: f64) -> usize {
        let first = trader.items.len();
        for place in first..first + count {
            let category = trader.categories[trader.draw.place(trader.categories.len())];
            let good = self.catalogue.pick(&mut trader.draw, category);
            let Ok(listing) = ListingId::new(&format!("l-{place}")) else { continue };
            let own = trader.draw.around(1.0, 0.05);
            let usual_stock = (trader.draw.scale(5.0, 60.0) * stock * (1.0 + 0.2 * trader.daily)) as i64;
            trader.items.push(Item {
                listing,
                good,
                usual_price: self.catalogue.goods[good].price * own * price,
                usual_stock: usual_stock.clamp(1, QUANTITY_MAX),
                stock: usual_stock.clamp(1, QUANTITY_MAX),
                stuck: 0,
                up: true,
            });
        }
        first
    }
}
