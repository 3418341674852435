//! What is done to the world.

use std::time::Duration;

use stockade_testkit::wait_until;

use super::world::{PATIENCE, World, possible};

/// How often each failpoint is visited: 3, or `STOCKADE_TEST_ROUNDS`.
fn rounds() -> usize {
    std::env::var("STOCKADE_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Every failpoint of every role. The inventory fold has no outputs, so nothing of it can die around one.
const FAILPOINTS: &[(&str, &str)] = &[
    ("inventory", "changelog-flush:inventory"),
    ("inventory", "commit:inventory"),
    ("scoring", "before-produce:scoring"),
    ("scoring", "after-produce:scoring"),
    ("scoring", "before-produce:intake"),
    ("scoring", "after-produce:intake"),
    ("scoring", "changelog-flush:scoring"),
    ("scoring", "commit:scoring"),
    ("lockout", "before-produce:arbiter"),
    ("lockout", "after-produce:arbiter"),
    ("lockout", "changelog-flush:arbiter"),
    ("lockout", "commit:arbiter"),
    ("lockout", "redis-write:before"),
    ("lockout", "redis-write:after"),
];

/// Kills at every failpoint of one role, in a world of its own, so that roles can be tried side by side.
fn die_at_every_failpoint_of(role: &'static str, cheats: usize) {
    if !possible() {
        return;
    }
    let mut world = World::start(cheats + 1);
    world.begin_load();
    for (_, place) in FAILPOINTS.iter().filter(|(of, _)| *of == role) {
        for round in 1..=rounds() {
            let others = world.of_role(role);
            world.add(role, Some(&format!("{place}@{round}")));
            // Most of the others go, so that the victim owns what it is to die over; one inventory replica stays, for
            // buyers have to be answered by someone.
            let stays = usize::from(role == "inventory");
            others.into_iter().skip(stays).rev().for_each(|index| world.stop(index));
            let victim = world.servers.len() - 1;
            let mut dead = false;
            while !dead {
                if role == "lockout" {
                    world.cheat_begin();
                }
                let patience = if role == "lockout" { Duration::from_secs(15) } else { PATIENCE };
                dead = wait_until(patience, || !world.servers[victim].process.runs());
                assert!(dead || world.cheats_left() > 1, "{place} was not reached: {}", world.outputs());
            }
            assert!(
                world.servers[victim].output().contains("failpoint"),
                "{}",
                world.servers[victim].output()
            );
            world.kill(victim);
            world.add(role, None);
            world.progress(20);
        }
    }
    world.cheat();
    world.check();
}

#[test]
fn inventory_dies_at_every_failpoint_and_nothing_promised_is_lost() {
    die_at_every_failpoint_of("inventory", 0);
}

#[test]
fn scoring_dies_at_every_failpoint_and_every_event_is_scored_exactly_once() {
    die_at_every_failpoint_of("scoring", 0);
}

#[test]
fn lockout_dies_at_every_failpoint_and_redis_and_overlays_equal_the_decisions() {
    die_at_every_failpoint_of("lockout", 18 * 2 * rounds().div_ceil(3));
}

#[test]
fn every_role_is_restarted_in_turn_and_scoring_scaled_up_and_down_under_load() {
    if !possible() {
        return;
    }
    let mut world = World::start(8);
    world.begin_load();
    for role in ["inventory", "scoring", "lockout"] {
        for _ in 0..2 {
            world.add(role, None);
            let first = world.of_role(role)[0];
            world.stop(first);
            world.progress(50);
        }
        world.cheat();
    }
    for _ in 0..2 {
        let scoring = world.of_role("scoring");
        scoring.into_iter().skip(1).rev().for_each(|index| world.stop(index));
        world.progress(50);
        world.add("scoring", None);
        world.add("scoring", None);
        world.progress(50);
        world.cheat();
    }
    world.check();
}

#[test]
fn redis_is_flushed_stopped_and_restored_stale_and_is_put_right() {
    if !possible() {
        return;
    }
    let mut world = World::start(6);
    world.begin_load();
    world.cheat();
    world.cheat();
    let in_redis = |world: &World, count: usize| {
        let there = wait_until(PATIENCE, || world.stored().is_some_and(|entries| entries.len() == count));
        assert!(there, "{:?} where {count} are expected", world.stored());
    };
    in_redis(&world, 2);
    world.redis.command(&["SAVE"]).unwrap();

    world.redis.command(&["FLUSHALL"]).unwrap();
    in_redis(&world, 2);

    world.cheat();
    in_redis(&world, 3);
    // Down for five seconds while a decision is made, then back from the dump that is two decisions old.
    world.redis.kill().unwrap();
    world.cheat();
    assert!(!wait_until(Duration::from_secs(5), || world.stored().is_some()), "it is down");
    world.redis.start_again().unwrap();
    in_redis(&world, 4);

    // A ghost: someone writes a lock that was never decided.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ghost = {
        let mut ghost = world.stored().unwrap().remove(0);
        ghost.supplier = stockade_model::SupplierId::new("honest-0").unwrap();
        ghost
    };
    runtime.block_on(stockade_quarantine::QuarantineStore::put(&world.store(), ghost)).unwrap();
    in_redis(&world, 4);
    world.check();
}

#[test]
fn the_broker_is_stopped_the_line_cut_and_an_owner_frozen_and_buyers_notice_nothing() {
    if !possible() {
        return;
    }
    let mut world = World::start(6);
    world.begin_load();
    world.cheat();
    // Cut: nobody reaches the broker. Buyers go on; what suppliers and order systems send waits or is repeated.
    world.proxy.cut(true);
    wait_for_silence(&world);
    world.proxy.cut(false);
    wait_for_answers(&world);
    world.progress(50);
    world.cheat();
    // Stopped without asking, and started again on the same data.
    world.kafka.kill(0).unwrap();
    wait_for_silence(&world);
    world.kafka.start_again(0).unwrap();
    wait_for_answers(&world);
    world.progress(50);
    world.cheat();
    // Frozen for longer than the session: the others take over, and the former owner comes back to nothing.
    for role in ["scoring", "lockout", "inventory"] {
        let victim = world.of_role(role)[0];
        let hidden = (role == "inventory").then(|| world.hide(victim));
        world.servers[victim].process.freeze(true).unwrap();
        world.progress(600);
        world.cheat();
        world.servers[victim].process.freeze(false).unwrap();
        world.progress(100);
        if let Some(front) = hidden {
            world.show(front);
        }
    }
    world.check();
}

#[test]
fn a_flood_loses_nothing_with_the_broker_nor_an_import_storm_with_the_replica_that_took_it() {
    const ROWS: usize = 8_000;
    if !possible() {
        return;
    }
    let mut world = World::start(1);
    world.begin_load();
    world.flood();
    world.progress(300);
    world.kafka.kill(0).unwrap();
    wait_for_silence(&world);
    world.kafka.start_again(0).unwrap();
    wait_for_answers(&world);
    world.progress(300);
    world.end_load();

    world.begin_load();
    let replica = world.of_role("inventory")[0];
    let imports = world.storm(replica, ROWS);
    let done = |world: &World, index: usize| -> Vec<u64> {
        let of = |import| world.import(index, import)["rows"]["done"].as_u64().unwrap_or_default();
        imports.iter().map(of).collect()
    };
    let begun = wait_until(PATIENCE, || done(&world, replica).iter().any(|rows| *rows > 0));
    assert!(begun, "no row was applied: {}", world.outputs());
    let at_the_kill = done(&world, replica);
    assert!(at_the_kill.iter().any(|rows| *rows < ROWS as u64), "nothing was left to lose: {at_the_kill:?}");
    let replica = world.revive(replica);
    for import in &imports {
        let mut told = serde_json::Value::Null;
        let ended = wait_until(PATIENCE, || {
            told = world.import(replica, import);
            told["finished_at"].is_string()
        });
        assert!(ended && told["state"] == "done", "{told}\n{}", world.outputs());
        let rows = &told["rows"];
        assert_eq!(
            (rows["accepted"].as_u64(), rows["done"].as_u64()),
            (Some(ROWS as u64), Some(ROWS as u64)),
            "{told}"
        );
    }
    world.cheat();
    world.check();
}

/// Until every process has noticed that the broker is away.
fn wait_for_silence(world: &World) {
    let silent = wait_until(PATIENCE, || world.servers.iter().all(|server| is_silent(&server.output())));
    assert!(silent, "not everyone noticed: {}", world.outputs());
}

/// Until every process has noticed that the broker is back.
fn wait_for_answers(world: &World) {
    let heard = wait_until(PATIENCE, || world.servers.iter().all(|server| !is_silent(&server.output())));
    assert!(heard, "not everyone heard the broker again: {}", world.outputs());
}

/// Whether the last thing a process said of the broker is that it does not answer.
fn is_silent(output: &str) -> bool {
    output.rfind("Kafka does not answer") > output.rfind("Kafka answers again")
}
