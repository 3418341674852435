//! What is sold where, and how often things go wrong with it.

use stockade_model::Sku;

use super::draw::Draw;

/// Regions that buyers and suppliers are in.
pub(super) const REGIONS: [&str; 6] = ["DE", "FR", "PL", "ES", "US-CA", "BR-SP"];

/// How a supplier treats its orders, as shares of them, beside what carriers and buyers do to them.
#[derive(Clone, Debug)]
pub(super) struct Conduct {
    /// It cancels.
    pub(super) cancels: f64,
    /// Nothing is ever heard of them.
    pub(super) never_ships: f64,
    /// A hand-over is reported, with a number of its own making, and nothing arrives.
    pub(super) fakes: f64,
    /// A hand-over is reported with the tracking number of somebody else's parcel.
    pub(super) reuses: f64,
    /// It hands over after the promised day.
    pub(super) late: f64,
    /// Broken, wrong or not genuine.
    pub(super) faulty: f64,
    /// Paid by somebody else's card, as the issuer says later.
    pub(super) stolen: f64,
    /// The carrier loses it.
    pub(super) lost: f64,
    /// The carrier brings it after the promised day.
    pub(super) slow: f64,
    /// The buyer sends it back for no fault of it.
    pub(super) regrets: f64,
    /// The buyer claims without reason.
    pub(super) unjust: f64,
    /// The buyer rates it low without anything having gone wrong.
    pub(super) poor: f64,
    /// Refunds are promised and never paid.
    pub(super) keeps_money: bool,
    /// What goes wrong by the supplier's doing is meant to.
    pub(super) wicked: bool,
}

impl Conduct {
    /// The conduct of a supplier of one kind of good with goods of another: as careful as it is, with what these bring by
    /// nature. What is meant is the same with all.
    pub(super) fn with(&self, own: usize, other: usize) -> Self {
        let mut conduct = self.clone();
        if own == other || self.wicked {
            return conduct;
        }
        let (from, to) = (&CATEGORIES[own].usual, &CATEGORIES[other].usual);
        let of = &mut conduct;
        of.never_ships *= to[0] / from[0];
        let shares = [
            &mut of.cancels,
            &mut of.late,
            &mut of.faulty,
            &mut of.lost,
            &mut of.slow,
            &mut of.regrets,
            &mut of.unjust,
            &mut of.poor,
        ];
        shares.into_iter().zip(from.iter().zip(to)).for_each(|(share, (from, to))| *share *= to / from);
        conduct
    }
}

/// A kind of good: its name, the range of its prices in cents, and the usual conduct of those who sell it.
pub(super) struct Category {
    pub(super) name: &'static str,
    pub(super) prices: (f64, f64),
    usual: [f64; 8],
}

/// Kinds of goods. Usual shares: cancels, late, faulty, lost, slow, regrets, unjust, poor.
pub(super) const CATEGORIES: [Category; 12] = [
    Category {
        name: "electronics",
        prices: (3_000.0, 60_000.0),
        usual: [0.012, 0.05, 0.022, 0.005, 0.04, 0.05, 0.008, 0.05],
    },
    Category {
        name: "fashion",
        prices: (1_500.0, 12_000.0),
        usual: [0.015, 0.05, 0.015, 0.005, 0.04, 0.14, 0.003, 0.06],
    },
    Category {
        name: "toys",
        prices: (800.0, 6_000.0),
        usual: [0.010, 0.05, 0.012, 0.004, 0.04, 0.04, 0.002, 0.04],
    },
    Category {
        name: "books",
        prices: (500.0, 3_000.0),
        usual: [0.020, 0.03, 0.004, 0.004, 0.04, 0.01, 0.001, 0.02],
    },
    Category {
        name: "garden",
        prices: (1_500.0, 20_000.0),
        usual: [0.020, 0.07, 0.020, 0.008, 0.06, 0.05, 0.003, 0.05],
    },
    Category {
        name: "health_beauty",
        prices: (600.0, 8_000.0),
        usual: [0.008, 0.04, 0.010, 0.004, 0.03, 0.03, 0.004, 0.04],
    },
    Category {
        name: "sports",
        prices: (1_200.0, 25_000.0),
        usual: [0.012, 0.05, 0.014, 0.005, 0.04, 0.08, 0.003, 0.04],
    },
    Category {
        name: "furniture",
        prices: (5_000.0, 90_000.0),
        usual: [0.030, 0.12, 0.030, 0.008, 0.09, 0.05, 0.004, 0.07],
    },
    Category {
        name: "auto_parts",
        prices: (1_000.0, 40_000.0),
        usual: [0.018, 0.05, 0.030, 0.005, 0.04, 0.09, 0.004, 0.05],
    },
    Category {
        name: "pet_food",
        prices: (800.0, 7_000.0),
        usual: [0.006, 0.03, 0.006, 0.004, 0.03, 0.01, 0.001, 0.02],
    },
    Category {
        name: "handmade",
        prices: (1_000.0, 15_000.0),
        usual: [0.015, 0.14, 0.015, 0.007, 0.05, 0.03, 0.002, 0.03],
    },
    Category {
        name: "refurbished",
        prices: (4_000.0, 50_000.0),
        usual: [0.045, 0.10, 0.080, 0.006, 0.05, 0.09, 0.010, 0.10],
    },
];

/// The kind of good that goes wrong more often by nature.
pub(super) const REFURBISHED: usize = 11;
/// The kind of good that buyers claim for most.
pub(super) const ELECTRONICS: usize = 0;

/// How far honest suppliers lie from the mean of their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Mostly near it, a few well above twice of it.
    Wide,
    /// Evenly from none to twice the mean: as bad as an honest supplier is promised to be let be.
    UpToTwice,
}

impl Spread {
    fn factor(self, draw: &mut Draw) -> f64 {
        match self {
            Spread::Wide => draw.around(0.9, 0.5).clamp(0.1, 2.5),
            Spread::UpToTwice => draw.between(0.0, 2.0),
        }
    }
}

/// A good that several suppliers sell.
#[derive(Clone, Debug)]
pub(super) struct Good {
    pub(super) sku: Sku,
    pub(super) category: usize,
    /// Its usual price in cents.
    pub(super) price: f64,
}

/// Goods, and how trade goes in each region.
#[derive(Clone, Debug)]
pub(super) struct Catalogue {
    /// By category.
    pub(super) goods: Vec<Good>,
    per_category: usize,
    /// Factors on what suppliers and on what carriers do, by region.
    regions: Vec<(f64, f64)>,
}

impl Catalogue {
    pub(super) fn new(seed: u64, per_category: usize) -> Self {
        let mut draw = Draw::new(&[seed, 1]);
        let regions =
            REGIONS.iter().map(|_| (draw.around(1.0, 0.25), draw.around(1.0, 0.35))).collect::<Vec<_>>();
        let mut goods = Vec::new();
        for (category, of) in CATEGORIES.iter().enumerate() {
            for number in 0..per_category {
                // Names of ours are always fit for ids.
                if let Ok(sku) = Sku::new(&format!("{}-{number:04}", of.name)) {
                    let price = draw.scale(of.prices.0, of.prices.1).round();
                    goods.push(Good { sku, category, price });
                }
            }
        }
        Self { goods, per_category, regions }
    }

    /// A good of a category, popular ones more often.
    pub(super) fn pick(&self, draw: &mut Draw, category: usize) -> usize {
        category * self.per_category + draw.popular(self.per_category)
    }

    /// How one honest supplier of a category in a region treats its orders.
    pub(super) fn conduct(&self, draw: &mut Draw, category: usize, region: usize, spread: Spread) -> Conduct {
        let [cancels, late, faulty, lost, slow, regrets, unjust, poor] = CATEGORIES[category].usual;
        let (of_suppliers, of_carriers) = self.regions[region];
        let mut own = |usual: f64| usual * of_suppliers * spread.factor(draw);
        let (cancels, late, faulty) = (own(cancels), own(late), own(faulty));
        let (regrets, unjust, poor) = (own(regrets), own(unjust), own(poor));
        Conduct {
            cancels,
            never_ships: cancels * 0.1,
            fakes: 0.0,
            reuses: 0.0,
            late,
            faulty,
            stolen: 0.000_5,
            lost: lost * of_carriers,
            slow: slow * of_carriers,
            regrets,
            unjust,
            poor,
            keeps_money: false,
            wicked: false,
        }
    }
}
