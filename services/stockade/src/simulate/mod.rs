//! `stockade simulate`: the real folds, ports and API logic of two processes under one seeded scheduler that lets them
//! crash, stall, tear and repeat wherever the seed says; after each run everything that must hold is checked.

mod baskets;
mod buyers;
mod node;
mod oracle;
mod reckoning;
mod store;
mod world;

use crate::output::say;
use anyhow::Result;
pub use stockade_simulator::Plant;

/// Flags of `simulate`.
#[derive(clap::Args)]
pub struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; a failure names its seed, and that seed alone plays it again.
    #[arg(long, default_value_t = 1)]
    first: u64,
}

/// Runs one seed; the error says what did not hold.
pub fn run_seed(seed: u64, plant: Option<Plant>) -> Result<Tally, String> {
    world::World::new(seed, plant).and_then(world::World::play)
}

/// What happened in a run, so that a quiet scheduler cannot pass for a good one.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Tally {
    /// Requests answered with success.
    pub accepted: u64,
    /// Requests sent again at the other process.
    pub retried: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Owners that stalled and were put out.
    pub stalls: u64,
    /// Times the store was lost, set back or away.
    pub store_faults: u64,
    /// Decisions made.
    pub decisions: u64,
    /// Releases by people that undid something.
    pub releases: u64,
    /// Restrictions that ran out.
    pub expiries: u64,
    /// Units held for buyers, by the last hold of each name.
    pub holds: u64,
    /// Of these, how many lapsed.
    pub lapsed: u64,
    /// Of these, how many became orders.
    pub ordered: u64,
    /// Of these, how many by several lines.
    pub by_lines: u64,
    /// Baskets answered as held.
    pub baskets: u64,
    /// Baskets answered as confirmed.
    pub taken: u64,
    /// Calls of buyers that were never answered, because their process went on from what another had flushed.
    pub unanswered: u64,
    /// Offers chosen for lines of baskets that name a good.
    pub chosen: u64,
    /// Of these, those chosen after another one was refused.
    pub chosen_again: u64,
}

impl Tally {
    /// Adds another run.
    pub fn add(&mut self, other: &Tally) {
        self.accepted += other.accepted;
        self.retried += other.retried;
        self.crashes += other.crashes;
        self.stalls += other.stalls;
        self.store_faults += other.store_faults;
        self.decisions += other.decisions;
        self.releases += other.releases;
        self.expiries += other.expiries;
        self.holds += other.holds;
        self.lapsed += other.lapsed;
        self.ordered += other.ordered;
        self.by_lines += other.by_lines;
        self.baskets += other.baskets;
        self.taken += other.taken;
        self.unanswered += other.unanswered;
        self.chosen += other.chosen;
        self.chosen_again += other.chosen_again;
    }
}

/// Runs the seeds and prints one JSON object on the last line.
pub fn run(args: &Args) -> Result<()> {
    let mut tally = Tally::default();
    for seed in args.first..args.first + args.seeds {
        match run_seed(seed, None) {
            Ok(one) => tally.add(&one),
            Err(what) => anyhow::bail!(
                "seed {seed}: {what}\nplay it again with: cargo xtask simulate --first {seed} --seeds 1"
            ),
        }
    }
    say!("{}", serde_json::json!({ "seeds": args.seeds, "first": args.first, "failed": 0, "tally": tally }));
    Ok(())
}
