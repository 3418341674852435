//! What suppliers may be.

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident: $count:literal { $($(#[$of:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: [Self; $count] = [$(Self::$variant,)*];
            /// The name in reports.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// Fraud.
    Attack: 23 {
        /// Sells well for months, then takes what it can and ships nothing.
        Sleeper = "sleeper",
        /// A share of its orders never arrives.
        NeverDelivers = "never_delivers",
        /// Cancels about one order in five.
        Canceller = "canceller",
        /// Sells what is not genuine.
        Counterfeit = "counterfeit",
        /// Draws buyers by impossible prices.
        PriceBait = "price_bait",
        /// Sells from stock that does not exist.
        PhantomStock = "phantom_stock",
        /// An account taken over, with a new device and payout account, that waits some days.
        PatientTakeover = "patient_takeover",
        /// An account taken over by somebody on the owner's own device.
        QuietTakeover = "quiet_takeover",
        /// Reports hand-overs with the tracking numbers of other parcels.
        TrackingReuse = "tracking_reuse",
        /// Puts stock up, takes orders, takes it down again.
        Flicker = "flicker",
        /// Small accounts that belong together, each with few orders.
        Ring = "ring",
        /// The account that a come-back leaves behind.
        Abandoned = "abandoned",
        /// Comes back under another name, with something of the old one.
        ComeBack = "come_back",
        /// Drowns bad orders in praise by accounts of its own.
        SelfPraise = "self_praise",
        /// Lets one order in eight disappear, for ever.
        SlowDrip = "slow_drip",
        /// Sells to stolen cards.
        CardFraud = "card_fraud",
        /// Buys elsewhere what it has sold, and ships when it comes.
        Triangulation = "triangulation",
        /// Takes goods back and never pays.
        UnpaidRefunds = "unpaid_refunds",
        /// A new account with hundreds of listings at once.
        ListingFlood = "listing_flood",
        /// Praise by accounts that have bought elsewhere for weeks.
        AgedPuppets = "aged_puppets",
        /// Stops when it is restricted, and goes on when it is not.
        Stopper = "stopper",
        /// Goes on with several small accounts when it is restricted.
        Splitter = "splitter",
        /// Sells so little that it is never many of anything.
        FloorHugger = "floor_hugger",
    }
}

kinds! {
    /// Honest, and odd.
    Odd: 20 {
        /// A rival's accounts without a past order once each and claim.
        RivalPuppets = "rival_puppets",
        /// Rated low by a crowd.
        RatingBomb = "rating_bomb",
        /// The carriers of its region are on strike.
        CarrierStrike = "carrier_strike",
        /// A young account that clears its stock far below the market.
        Clearance = "clearance",
        /// Typed prices a hundred times too low and corrects them soon.
        CentsTypo = "cents_typo",
        /// A bad first week.
        Beginner = "beginner",
        /// Buyers who abuse refunds have found it.
        Abused = "abused",
        /// Its season.
        Season = "season",
        /// Brings a large range of goods in a day.
        Onboarding = "onboarding",
        /// Corrects its stock far upwards.
        Restock = "restock",
        /// Closed for weeks, and back at full speed.
        Vacation = "vacation",
        /// A new bank account and a new device, and nothing else.
        NewBank = "new_bank",
        /// One day's orders are lost.
        FloodedWarehouse = "flooded_warehouse",
        /// Shares an address, a bank account or an accountant's device with another supplier.
        Shared = "shared",
        /// Few orders, several of them unlucky in a row.
        Unlucky = "unlucky",
        /// Sells what goes wrong by nature.
        BadCategory = "bad_category",
        /// The platform was out of order when most of its orders came.
        Outage = "outage",
        /// Sells large electronics, for which credible buyers claim.
        ClaimMagnet = "claim_magnet",
        /// A regular buyer is angry about everything at once.
        AngryRegular = "angry_regular",
        /// Always a quarter below the market.
        Cheap = "cheap",
    }
}

/// What a supplier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Honest and ordinary.
    Plain,
    /// Honest and odd.
    Odd(Odd),
    /// A fraud.
    Attack(Attack),
}

impl Kind {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::Odd(odd) => odd.as_str(),
            Kind::Attack(attack) => attack.as_str(),
        }
    }
    /// Whether it is a fraud.
    pub const fn is_attack(self) -> bool {
        matches!(self, Kind::Attack(_))
    }
}
