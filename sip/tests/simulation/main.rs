//! User agents over a network that loses, doubles and reorders, on a virtual clock: two that reach
//! each other, and three that are subscribers of a carrier.
//!
//! Every run is decided by its seed. A failure prints it; `OFFHOOK_SEED=… cargo test -p
//! offhook-sip --test simulation NAME` runs that one alone, and with `OFFHOOK_TRACE=1` prints what
//! is sent. `OFFHOOK_RUNS=100` runs a hundred times as many seeds; each test says how many calls it
//! has simulated.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod books;
mod carried;
mod carrier;
mod clocks;
mod contexts;
mod draft;
mod proxy;
mod registrar;
mod routing;
mod sides;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::cell::Cell;
use std::hash::Hasher;
use std::io::Write;
use std::time::Duration;

use offhook_sip::{EndCause, Stats};
use rand::Rng;
use sides::Action;
use support::origin;
use support::weather::{CALM, DEAD, STORM, STREAM, Weather};
use world::{Ending, World};

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

/// Runs a test of each seed, which returns the calls that were placed, and says how many there were.
fn each_seed(runs: u64, test: impl Fn(u64) -> usize) {
    let seed = std::env::var("OFFHOOK_SEED").ok();
    let seeds = match seed.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..runs,
    };
    let count = seeds.end - seeds.start;
    let calls: usize = seeds.map(|seed| Running(seed).of(&test)).sum();
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    // Past the harness, which would keep it to itself.
    let mut out = std::io::stderr().lock();
    writeln!(out, "simulated {calls} calls in {count} seeds: {name}").unwrap();
}

/// Whether one seed runs alone, so that it need not have met everything.
fn alone() -> bool {
    std::env::var("OFFHOOK_SEED").is_ok()
}

/// A seed that runs; it is named where the test panics in a place that does not know it.
struct Running(u64);

impl Running {
    fn of(self, test: impl Fn(u64) -> usize) -> usize {
        test(self.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with OFFHOOK_SEED={}", self.0);
        }
    }
}

#[test]
fn every_call_ends_on_both_sides_in_a_storm() {
    each_seed(runs(400), |seed| simulate(seed, STORM, 12).placed);
}

#[test]
fn in_calm_weather_every_answer_is_confirmed_and_nobody_gives_up() {
    let refreshes = Cell::new(0);
    let transfers = Cell::new(0);
    let pracks = Cell::new(0);
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
            } = *side.ua.stats();
            assert_eq!(
                (timeouts, retransmissions, no_ack, no_prack),
                (0, 0, 0, 0),
                "seed {seed}"
            );
        }
        world.books.check(seed);
        world.placed
    });
    let seen = [refreshes.get(), transfers.get(), pracks.get()];
    assert!(seen.iter().all(|&seen| seen > 50) || alone());
}

#[test]
fn every_call_ends_on_both_sides_over_streams() {
    each_seed(runs(150), |seed| {
        let world = simulate(seed, STREAM, 12);
        assert!(
            world.sides.iter().all(|side| side.ua.stats().timeouts == 0),
            "seed {seed}"
        );
        world.placed
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
        world.placed
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
            world
                .sides
                .iter()
                .map(|side| *side.ua.stats())
                .collect::<Vec<_>>(),
        )
    };
    for seed in 1..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
    let longest = Duration::from_secs(3600);
    assert!(simulate(2, STORM, 12).now - origin() < longest);
}
