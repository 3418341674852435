//! A thousand seeds hold, and each planted fault is caught.

use stockade::simulate::{Plant, Tally, run_seed};

/// Seeds in CI; more with `cargo xtask simulate --seeds N`.
const SEEDS: u64 = 1_000;
/// Seeds within which a planted fault has to be caught.
const SEEDS_PER_PLANT: u64 = 20;

#[test]
fn a_thousand_seeds_of_crashes_stalls_and_repeats_hold() {
    let mut tally = Tally::default();
    for seed in 1..=SEEDS {
        let one = run_seed(seed, None).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        tally.add(&one);
    }
    eprintln!("{tally:?}");
    // A scheduler to which nothing happens would hold too.
    assert!(tally.crashes > SEEDS && tally.stalls > SEEDS && tally.retried > SEEDS, "{tally:?}");
    assert!(
        tally.decisions > SEEDS && tally.releases > SEEDS / 10 && tally.expiries > SEEDS / 2,
        "{tally:?}"
    );
    assert!(tally.holds > SEEDS && tally.lapsed > SEEDS / 2 && tally.ordered > SEEDS / 10, "{tally:?}");
    assert!(tally.by_lines > SEEDS / 20, "{tally:?}");
    assert!(tally.baskets > SEEDS && tally.taken > SEEDS / 10, "{tally:?}");
    assert!(tally.unanswered < tally.baskets / 5, "{tally:?}");
    assert!(tally.chosen > SEEDS && tally.chosen_again > SEEDS / 20, "{tally:?}");
}

#[test]
fn every_planted_fault_is_caught() {
    for plant in Plant::ALL {
        let caught = (1..=SEEDS_PER_PLANT).find_map(|seed| Some((seed, run_seed(seed, Some(plant)).err()?)));
        match caught {
            Some((seed, what)) => eprintln!("{plant:?}: caught with seed {seed}: {what:.150}"),
            None => panic!("{plant:?} was not noticed in {SEEDS_PER_PLANT} seeds"),
        }
    }
}

#[test]
fn a_seed_plays_the_same_every_time() {
    let twice = [7, 7].map(|seed| format!("{:?}", run_seed(seed, None)));
    assert_eq!(twice[0], twice[1]);
}
