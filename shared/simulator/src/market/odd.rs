//! What may happen to honest suppliers, or be their way, and look like fraud from afar.

use stockade_model::AttributeKind;

use super::{
    Odd,
    draw::Draw,
    goods::Conduct,
    trader::{Change, Deed, Trader},
};

/// Writes the part of one honest but odd supplier; what befalls it begins at day `at`.
pub(super) fn write(odd: Odd, trader: &mut Trader, draw: &mut Draw, at: f64) {
    match odd {
        Odd::RivalPuppets => {
            let puppets = draw.whole(10, 24) as u32;
            trader.then(at, Change::Visitors(puppets, Deed::Claims, draw.between(0.5, 6.0)));
        }
        Odd::RatingBomb => {
            let crowd = draw.whole(12, 40) as u32;
            trader.then(at, Change::Visitors(crowd, Deed::Slates, draw.between(0.5, 8.0)));
        }
        Odd::Clearance => {
            young(trader, draw, at);
            let begin = draw.between(2.0, 12.0);
            trader.then(begin, Change::Prices(draw.between(0.3, 0.45)));
            trader.then(begin, Change::Demand(draw.scale(2.0, 7.0)));
            trader.then(begin + draw.between(4.0, 20.0), Change::Demand(1.0));
        }
        Odd::CentsTypo => {
            trader.then(at, Change::Prices(0.01));
            trader.then(at, Change::Demand(draw.scale(1.0, 12.0)));
            let corrected = at + draw.scale(0.03, 1.0);
            // Who bought at the wrong price is cancelled.
            let calm = trader.conduct.clone();
            trader.turns(at, Conduct { cancels: 0.9, ..calm.clone() });
            trader.turns(corrected, calm);
            trader.then(corrected, Change::Prices(1.0));
            trader.then(corrected, Change::Demand(1.0));
        }
        Odd::Beginner => {
            young(trader, draw, at);
            let calm = trader.conduct.clone();
            let (cancels, late) = (draw.between(0.1, 0.35), draw.between(0.2, 0.6));
            trader.turns(0.0, Conduct { cancels, late, ..calm.clone() });
            trader.turns(draw.between(5.0, 10.0), calm);
        }
        Odd::Abused => {
            trader.abused = draw.between(0.08, 0.25);
        }
        Odd::Season => {
            let calm = trader.conduct.clone();
            trader.then(at - 1.0, Change::Stock(draw.scale(2.0, 10.0)));
            trader.then(at, Change::Demand(draw.scale(4.0, 15.0)));
            // It can hardly keep up.
            trader.turns(at, Conduct { late: (calm.late * draw.between(1.0, 3.0)).min(0.3), ..calm.clone() });
            let over = at + draw.between(4.0, 12.0);
            trader.then(over, Change::Demand(1.0));
            trader.turns(over, calm);
        }
        Odd::Onboarding => {
            young(trader, draw, at);
            let batches = draw.whole(2, 8);
            for batch in 0..batches {
                let listed = draw.scale(80.0, 300.0) as usize;
                let price = draw.between(0.85, 1.15);
                trader.then(0.2 + 0.02 * batch as f64, Change::List(listed, price, draw.scale(0.5, 3.0)));
            }
            trader.then(1.0, Change::Demand(draw.scale(1.0, 4.0)));
        }
        Odd::Restock => {
            trader.then(at, Change::Stock(draw.scale(15.0, 300.0)));
        }
        Odd::Vacation => {
            trader.then(at, Change::Away(true));
            let back = at + draw.between(18.0, 40.0);
            trader.then(back, Change::Away(false));
            trader.then(back, Change::Stock(draw.scale(1.0, 4.0)));
            trader.then(back, Change::Prices(draw.between(0.8, 1.05)));
            trader.then(back, Change::Demand(draw.scale(1.5, 5.0)));
            trader.then(back + draw.between(4.0, 10.0), Change::Demand(1.0));
        }
        Odd::NewBank => {
            trader.then(at, Change::Login(true));
            trader.then(at + draw.scale(0.01, 3.0), Change::Payout);
            if draw.chance(0.5) {
                trader.then(at + draw.between(0.5, 4.0), Change::Prices(draw.between(0.85, 1.05)));
            }
        }
        Odd::FloodedWarehouse => {
            trader.daily = draw.scale(4.0, 25.0);
            let calm = trader.conduct.clone();
            trader.turns(at, Conduct { cancels: 0.7, late: 0.8, ..calm.clone() });
            trader.turns(at + 1.0, calm);
        }
        Odd::Unlucky => {
            trader.daily = draw.scale(0.06, 0.25);
            trader.then(at, Change::Unlucky(draw.whole(3, 5) as u32));
        }
        Odd::AngryRegular => {
            trader.then(at, Change::AngryRegular(draw.whole(5, 12) as u32));
        }
        Odd::Cheap => {
            trader.prices = draw.between(0.62, 0.82);
        }
        Odd::ClaimMagnet => {
            trader.conduct.unjust = draw.between(0.02, 0.05);
            trader.conduct.faulty = trader.conduct.faulty.max(draw.between(0.02, 0.05));
            trader.daily = draw.scale(1.0, 10.0);
        }
        // Made so when it is drawn, or what happens to it happens to its whole region or to the platform.
        Odd::CarrierStrike | Odd::Shared | Odd::BadCategory | Odd::Outage => {}
    }
}

/// It opens at `at`.
fn young(trader: &mut Trader, draw: &mut Draw, at: f64) {
    trader.launch = Some(at);
    trader.age_days = draw.between(0.5, 30.0);
}

/// Two suppliers who share an address, a bank account or an accountant's device.
pub(super) fn share(one: &Trader, other: &mut Trader, draw: &mut Draw) {
    let kinds = [AttributeKind::Device, AttributeKind::Address, AttributeKind::Payout];
    let kind = kinds[draw.place(kinds.len())];
    one.shown(kind).iter().for_each(|attribute| other.share(attribute));
}
