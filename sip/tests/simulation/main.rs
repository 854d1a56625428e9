//! Two user agents over a network that loses, doubles and reorders, on a virtual clock.
//!
//! Every run is decided by its seed. A failure prints it; `OFFHOOK_SEED=… cargo test -p
//! offhook-sip --test simulation` runs that one alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;
mod world;

use std::hash::Hasher;
use std::time::Duration;

use offhook_sip::{EndCause, Stats};
use rand::Rng;
use support::origin;
use support::weather::{CALM, DEAD, STORM, STREAM, Weather};
use world::{Action, Ending, World};

fn simulate(seed: u64, weather: Weather, calls: usize) -> World {
    let mut world = World::new(seed, weather);
    for _ in 0..calls {
        let side = world.rng.random_range(0..2);
        world.later(side, 60_000, Action::Invite);
    }
    world.run();
    world.check();
    world
}

/// `OFFHOOK_RUNS=100` runs a hundred times as many seeds.
fn runs(usual: u64) -> u64 {
    let times = std::env::var("OFFHOOK_RUNS")
        .ok()
        .and_then(|times| times.parse::<u64>().ok());
    usual * times.unwrap_or(1)
}

fn each_seed(runs: u64, test: impl Fn(u64)) {
    match std::env::var("OFFHOOK_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        Some(seed) => test(seed),
        None => (0..runs).for_each(test),
    }
}

#[test]
fn every_call_ends_on_both_sides_in_a_storm() {
    each_seed(runs(400), |seed| {
        simulate(seed, STORM, 12);
    });
}

#[test]
fn in_calm_weather_every_answer_is_confirmed_and_nobody_gives_up() {
    let refreshes = std::cell::Cell::new(0);
    let transfers = std::cell::Cell::new(0);
    let pracks = std::cell::Cell::new(0);
    each_seed(runs(150), |seed| {
        let world = simulate(seed, CALM, 12);
        assert!(
            world.answered > 0 && world.confirmed >= world.answered,
            "seed {seed}"
        );
        refreshes.set(refreshes.get() + world.refreshes);
        let (accepted, told) = world.transfers;
        assert!(told <= accepted, "seed {seed}");
        transfers.set(transfers.get() + told);
        pracks.set(pracks.get() + world.pracks);
        for ending in world.calls.values().flatten() {
            let fine = match ending {
                Ending::Rejected(status) => matches!(status, 480 | 486),
                Ending::Ended(cause) => !matches!(
                    cause,
                    EndCause::NoAck
                        | EndCause::Timeout
                        | EndCause::Lost
                        | EndCause::Transport
                        | EndCause::Protocol
                ),
            };
            assert!(fine, "seed {seed}: {ending:?} on a network without faults");
        }
        for side in &world.sides {
            let Stats {
                timeouts,
                retransmissions,
                no_ack,
                no_prack,
                ..
            } = *side.stats();
            assert_eq!(
                (timeouts, retransmissions, no_ack, no_prack),
                (0, 0, 0, 0),
                "seed {seed}"
            );
        }
    });
    let seen = [refreshes.get(), transfers.get(), pracks.get()];
    assert!(seen.iter().all(|&seen| seen > 50) || std::env::var("OFFHOOK_SEED").is_ok());
}

#[test]
fn every_call_ends_on_both_sides_over_streams() {
    each_seed(runs(150), |seed| {
        let world = simulate(seed, STREAM, 12);
        assert!(
            world.sides.iter().all(|side| side.stats().timeouts == 0),
            "seed {seed}"
        );
    });
}

#[test]
fn calls_into_nothing_end_too() {
    each_seed(runs(30), |seed| {
        let world = simulate(seed, DEAD, 12);
        assert!(world.calls.values().flatten().all(|ending| {
            matches!(
                ending,
                Ending::Rejected(408) | Ending::Ended(EndCause::Cancelled { .. })
            )
        }));
    });
}

#[test]
fn the_same_seed_runs_the_same_way() {
    let run = |seed| {
        let world = simulate(seed, STORM, 12);
        (
            world.trace.finish(),
            world.transfers,
            world.pracks,
            world.answered,
            world.confirmed,
            world.sides.map(|side| *side.stats()),
        )
    };
    for seed in 1..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
    let longest = Duration::from_secs(3600);
    assert!(simulate(2, STORM, 12).now - origin() < longest);
}
