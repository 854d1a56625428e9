//! Three subscribers of a carrier: they register, call each other, and leave.

use std::cell::Cell;
use std::hash::Hasher;

use offhook_sip::{EndCause, Stats};

use crate::carrier::Trouble;
use crate::support::weather::{CALM, DEAD, RAIN, STORM, STREAM, Weather};
use crate::world::{Ending, World};
use crate::{alone, each_seed, runs};

const CALLS: usize = 12;
const NONE: Trouble = Trouble {
    restarts: false,
    jumps: false,
};
const RESTARTS: Trouble = Trouble {
    restarts: true,
    jumps: false,
};
const JUMPS: Trouble = Trouble {
    restarts: false,
    jumps: true,
};
const ALL: Trouble = Trouble {
    restarts: true,
    jumps: true,
};

fn simulate(seed: u64, weather: Weather, trouble: Trouble) -> World {
    let mut world = World::carried(seed, weather);
    world.plan(CALLS, trouble);
    world.run();
    world.check();
    world
}

/// Whether a call may end like this where nothing is lost and no clock jumps: refused by whom it
/// went to, by the carrier, or because it came round.
fn is_fine(ending: &Ending) -> bool {
    match ending {
        Ending::Rejected(status) => matches!(status, 404 | 480 | 482 | 486),
        Ending::Ended(cause) => matches!(
            cause,
            EndCause::LocalBye
                | EndCause::RemoteBye { .. }
                | EndCause::Cancelled { .. }
                | EndCause::Refused { .. }
                // An offer that meets a BYE on its way, which the carrier has challenged first.
                | EndCause::Lost
        ),
    }
}

#[test]
fn in_calm_weather_calls_through_a_carrier_are_confirmed_and_nobody_gives_up() {
    let seen = [(); 9].map(|()| Cell::new(0));
    each_seed(runs(150), |seed| {
        let mut world = simulate(seed, CALM, NONE);
        world.books.check(seed);
        assert_eq!(world.bindings(), 0, "seed {seed}: bindings are left");
        assert!(world.confirmed >= world.answered, "seed {seed}");
        for ending in world.calls.values().flatten() {
            assert!(is_fine(ending), "seed {seed}: {ending:?}");
        }
        for side in &world.sides {
            let Stats {
                timeouts,
                retransmissions,
                no_ack,
                no_prack,
                ..
            } = *side.ua.stats();
            let faults = (timeouts, retransmissions, no_ack, no_prack);
            assert_eq!(faults, (0, 0, 0, 0), "seed {seed}");
        }
        let proxy = &world.carrier.as_ref().unwrap().proxy;
        let met = [
            world.answered,
            world.granted,
            usize::try_from(proxy.registrar.challenged).unwrap(),
            usize::try_from(proxy.forks).unwrap(),
            usize::try_from(proxy.loops).unwrap(),
            world.transfers.1,
            world.refreshes,
            world.pracks,
            world.books.questions,
        ];
        for (seen, met) in seen.iter().zip(met) {
            seen.set(seen.get() + met);
        }
        world.placed
    });
    let seen = seen.map(Cell::into_inner);
    assert!(seen.iter().all(|&seen| seen > 50) || alone(), "{seen:?}");
}

#[test]
fn every_fork_that_answers_is_acknowledged_and_all_but_one_hung_up_on() {
    let races = Cell::new(0);
    each_seed(runs(150), |seed| {
        let mut world = World::carried(seed, CALM);
        world.hasty = true;
        world.plan(CALLS, NONE);
        world.run();
        world.check();
        world.books.check(seed);
        races.set(races.get() + world.books.races());
        world.placed
    });
    assert!(races.get() > 20 || alone(), "{races:?}");
}

#[test]
fn every_call_through_a_carrier_ends_on_all_sides_in_a_storm() {
    each_seed(runs(400), |seed| {
        let weather = if seed % 4 < 2 { STORM } else { RAIN };
        let trouble = if seed % 2 == 0 { NONE } else { RESTARTS };
        simulate(seed, weather, trouble).placed
    });
}

#[test]
fn every_call_through_a_carrier_ends_on_all_sides_over_streams() {
    each_seed(runs(150), |seed| {
        let trouble = if seed % 2 == 0 { NONE } else { RESTARTS };
        simulate(seed, STREAM, trouble).placed
    });
}

#[test]
fn whatever_clocks_do_calls_end_and_everyone_is_registered_again() {
    each_seed(runs(400), |seed| {
        let weather = match seed % 4 {
            0 => CALM,
            1 => RAIN,
            2 => STORM,
            _ => STREAM,
        };
        let trouble = if seed % 8 < 4 { JUMPS } else { ALL };
        simulate(seed, weather, trouble).placed
    });
}

#[test]
fn a_carrier_that_is_not_there_hangs_nobody() {
    each_seed(runs(10), |seed| {
        let world = simulate(seed, DEAD, NONE);
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
fn the_same_seed_runs_the_same_way_through_a_carrier() {
    let run = |seed| {
        let world = simulate(seed, STORM, ALL);
        let stats: Vec<Stats> = world.sides.iter().map(|side| *side.ua.stats()).collect();
        (world.trace.finish(), world.answered, world.granted, stats)
    };
    for seed in 1..12 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}
