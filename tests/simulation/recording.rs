//! Recordings that pause: over the API, by the flow, both at once, over a network of any kind.

use offhook::sim::{CallerPlan, Plan, Weather};

use super::{passes, with};

fn recorded(pauses: Vec<(u64, u64)>) -> CallerPlan {
    CallerPlan {
        recorded: true,
        recording_pauses: pauses,
        ..CallerPlan::plain()
    }
}

#[test]
fn nothing_of_a_pause_is_in_a_recording_whenever_it_begins_and_ends() {
    for seed in 0..40 {
        let pauses = vec![(4_000 + seed * 310, 3_000 + seed * 170), (31_000, 1 + seed)];
        let said = passes(with(seed, recorded(pauses))).records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}

#[test]
fn what_comes_late_of_a_pause_is_not_in_the_recording_either() {
    for seed in 0..40 {
        let weather = Weather {
            delay_ms: 40,
            jitter_ms: [40, 200][usize::from(seed % 2 == 0)],
            loss: 0.05,
            bursts: 0.01,
            ..Weather::calm()
        };
        let pauses = (2..20).map(|n| (n * 3_000 + seed * 70, 1_300)).collect();
        passes(Plan {
            weather,
            ..with(seed, recorded(pauses))
        });
    }
}

#[test]
fn a_pause_that_is_shorter_than_a_step_is_one_all_the_same() {
    // Seed 2370 found what came in a pause of 10 ms between two steps.
    passes(Plan::draw(2370));
    for seed in 0..20 {
        let pauses = (3..40).map(|n| (n * 1_000 + seed * 11, 3 + seed % 15));
        passes(with(seed, recorded(pauses.collect())));
    }
}

#[test]
fn a_recording_keeps_time_over_holds_standstills_and_a_slow_disk() {
    for seed in 0..30 {
        let caller = CallerPlan {
            holds: vec![(5_000 + seed * 400, 4_000)],
            silent_holds: seed % 2 == 0,
            recording_drops: seed % 40,
            ..recorded(vec![(6_000, 9_000)])
        };
        passes(Plan {
            standstills: vec![(3_000 + seed * 900, 50 + seed * 300)],
            lag_ms: 30,
            ..with(seed, caller)
        });
    }
}
