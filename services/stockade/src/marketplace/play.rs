//! The real folds, and the simulator's buyers in front of them.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use stockade_fold::Board;
use stockade_inventory::app::{App, Witness, record};
use stockade_log::{Ack, Memory, MemoryDisk, SharedLog};
use stockade_model::{
    ControlRecord, Decision, Envelope, Level, ListingId, Payload, Region, SupplierId, Topic, time::DAY_MS,
};
use stockade_runtime::{Limits, LimitsConfig};
use stockade_simulator::{
    Pump,
    market::{Market, Plan, Shop, Sight, Step},
};
use stockade_supplier_scoring::FeatureSet;

use crate::{
    evaluate::run::{KEPT_MS, PASS_EVERY, opening},
    platform::ensure_passing_topics,
    replay::{add_stages, written},
};

const NAME: &str = "marketplace";
/// Orders that a capped supplier may have open before it has handed any over.
pub(super) const GRANT: usize = 5;

/// What a play left behind.
pub(crate) struct Played {
    /// The marketplace after its last day.
    pub(crate) market: Market,
    /// Every decision.
    pub(crate) decisions: Vec<Decision>,
    /// Records written.
    pub(crate) inputs: u64,
    /// What no fold could read.
    pub(crate) dead_letters: u64,
}

/// What buyers and suppliers meet.
struct Storefront {
    app: Arc<App>,
}

impl Shop for Storefront {
    fn sight(&mut self, supplier: &SupplierId, listing: &ListingId, region: Region, units: i64) -> Sight {
        let Some(offer) = self.app.index.listing(supplier, listing) else { return Sight::Hidden };
        if offer.withdrawn || offer.available < units {
            return Sight::Hidden;
        }
        let Some(left) = offer.left(&self.app.overlay, Some(region)) else { return Sight::Hidden };
        if self.app.index.available(&offer, &left) < units {
            return Sight::Hidden;
        }
        if left.level == Some(Level::Dim) { Sight::Last } else { Sight::Seen }
    }
    fn level(&self, supplier: &SupplierId) -> Option<Level> {
        self.app.overlay.supplier_level(self.app.overlay.number(supplier))
    }
}

/// What goes wrong in a play, beside what its suppliers and buyers do.
pub(super) trait Mistake {
    /// Changes what is about to happen.
    fn step(&mut self, step: Step) -> Step {
        step
    }
    /// What else is written into the suppliers' topic, after an input and all that followed from it.
    fn after(&mut self, _: &SharedLog) -> Result<Vec<Payload>> {
        Ok(Vec::new())
    }
}

/// Nothing goes wrong.
pub(super) struct Right;

impl Mistake for Right {}

/// Plays a marketplace to its end.
pub(crate) fn run(plan: &Plan, features: &str, rules: &str, show: bool) -> Result<Played> {
    run_with(plan, opening(features, Some(rules), None), show, &mut Right)
}

/// Plays a marketplace in which something goes wrong, with `changes` in force from the start.
pub(super) fn run_with(
    plan: &Plan,
    changes: Vec<stockade_model::Change>,
    show: bool,
    mistake: &mut dyn Mistake,
) -> Result<Played> {
    let mut market = Market::new(plan.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut bench = Bench::open(plan)?;
    let bar = if show { ProgressBar::new(u64::from(plan.days)) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} day {pos} of {len}  {msg}  {elapsed_precise}")?);
    bar.tick();
    for change in changes {
        bench.feed(Input::Control(ControlRecord { actor: NAME.to_owned(), change }))?;
    }
    while let Some(at) = market.next_at() {
        bench.advance(at)?;
        for step in market.step(&mut bench.shop) {
            bench.feed(Input::Step(mistake.step(step)))?;
            for payload in mistake.after(&bench.log)? {
                bench.feed(Input::Told(Box::new(payload)))?;
            }
        }
        let day = ((at.ms() - plan.start.ms()) / DAY_MS) as u64;
        if day != bar.position() {
            bar.set_position(day);
            bar.set_message(format!("{} inputs", bench.made));
        }
    }
    bench.advance(market.end())?;
    bar.finish_and_clear();
    let dead_letters = bench.log.bounds(Topic::DeadLetters.name(), 0)?.end;
    Ok(Played { market, decisions: bench.decisions, inputs: bench.made, dead_letters })
}

enum Input {
    Control(ControlRecord),
    Step(Step),
    /// Something that is told to the partition of all suppliers.
    Told(Box<Payload>),
}

struct Bench {
    log: SharedLog,
    pump: Pump,
    shop: Storefront,
    made: u64,
    passed: u64,
    seen: u64,
    decisions: Vec<Decision>,
}

impl Bench {
    fn open(plan: &Plan) -> Result<Self> {
        let mut pump = Pump::default();
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), pump.clock())?);
        ensure_passing_topics(&log, KEPT_MS)?;
        pump.advance(plan.start, &log)?;
        let limits = Limits::new(&LimitsConfig::default());
        let (board, name) = (Board::default(), NAME.to_owned());
        let app = App::new(log.clone(), pump.clock(), board, limits, 1, name, Duration::ZERO)?;
        let app = Arc::new(app);
        add_stages(&mut pump, &log, &app, &FeatureSet::default_set())?;
        let shop = Storefront { app };
        Ok(Self { log, pump, shop, made: 0, passed: 0, seen: 0, decisions: Vec::new() })
    }

    /// Moves time on; what falls due on the way is decided and enforced.
    fn advance(&mut self, to: stockade_model::Timestamp) -> Result<()> {
        self.pump.advance(to, &self.log)?;
        self.enforce()
    }

    /// One record, and everything that follows from it.
    fn feed(&mut self, input: Input) -> Result<()> {
        self.made += 1;
        let (topic, key, payload) = match input {
            Input::Control(record) => (Topic::Control, String::new(), Payload::Control(record)),
            Input::Told(payload) => (Topic::SupplierEvents, String::new(), *payload),
            Input::Step(Step::Register(profile)) => {
                let change = stockade_model::Change::Supplier { profile };
                let record = ControlRecord { actor: NAME.to_owned(), change };
                (Topic::Control, String::new(), Payload::Control(record))
            }
            Input::Step(Step::Event(event)) => {
                (Topic::EventsInbox, event.inbox_key().to_owned(), Payload::OrderEvent(*event))
            }
            Input::Step(Step::Rows(supplier, mut rows)) => {
                self.shop.app.stamp(&supplier, &mut rows);
                let key = supplier.to_string();
                let command = written::command(self.made, supplier, rows);
                (Topic::SupplierEvents, key, Payload::Command(command))
            }
        };
        let envelope = written::api_envelope(NAME, self.made, &payload);
        self.log.append(vec![record(topic, &key, &envelope, &payload)], Ack::Ordered).wait()?;
        self.pump.drain(&self.log)?;
        self.enforce()?;
        if self.made - self.passed >= PASS_EVERY {
            self.passed = self.made;
            self.pump.pass(&self.log)?;
        }
        Ok(())
    }

    /// Brings the overlay to the last decision.
    fn enforce(&mut self) -> Result<()> {
        let witness: Witness = Arc::new(|_, _| {});
        let (app, decisions) = (self.shop.app.clone(), &mut self.decisions);
        self.seen = crate::decisions::read(&self.log, self.seen, |offset, decision| {
            app.enforce(offset, &Envelope::default(), &decision, &witness);
            decisions.push(decision);
            Ok(())
        })?;
        Ok(())
    }
}
