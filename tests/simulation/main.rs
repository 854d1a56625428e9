//! The joined simulation: whole calls in virtual time, by seed.
//!
//! A failure prints its seed and its trace; `OFFHOOK_SIM_SEED=… cargo test --test simulation` runs
//! that one alone, `OFFHOOK_SIM_CALLS=…` says how many calls are run.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod encryption;
mod forks;
mod keys;
mod offers;
mod outbound;
mod recording;

use std::collections::BTreeSet;
use std::time::Duration;

use offhook::sim::{CallerPlan, Cut, KeyWay, Manner, Outcome, Plan, run};
use offhook::store::TurnRecord;

/// What takes about 20 s in a development build on one core.
const CALLS: usize = 600;

/// Runs a plan that must break no rule.
fn passes(plan: Plan) -> Outcome {
    let seed = plan.seed;
    let outcome = run(plan);
    if let Some(violation) = &outcome.violation {
        println!("{}", outcome.trace.join("\n"));
        println!("seed {seed}: {violation}");
        println!("run again with: OFFHOOK_SIM_SEED={seed} cargo test --test simulation");
        panic!("seed {seed}: {violation}");
    }
    outcome
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_order_of_events_breaks_a_rule() {
    if let Some(seed) = number("OFFHOOK_SIM_SEED") {
        let plan = Plan::draw(seed);
        println!("{plan:#?}");
        passes(plan);
        return;
    }
    let wanted = number("OFFHOOK_SIM_CALLS").unwrap_or(CALLS);
    let begun = offhook::clock::now();
    let (mut seed, mut calls, mut answered) = (0, 0, 0);
    let (mut virtual_time, mut datagrams) = (Duration::ZERO, 0);
    while calls < wanted {
        let outcome = passes(Plan::draw(seed));
        seed += 1;
        calls += outcome.calls;
        answered += outcome.answered;
        virtual_time += outcome.elapsed;
        datagrams += outcome.datagrams;
    }
    let took = offhook::clock::now() - begun;
    println!(
        "{calls} calls ({answered} answered) of {seed} seeds in {:.1} s: {:.0} calls/s, {:.0} times \
         real time, {datagrams} datagrams",
        took.as_secs_f64(),
        calls as f64 / took.as_secs_f64(),
        virtual_time.as_secs_f64() / took.as_secs_f64(),
    );
}

#[test]
fn a_plain_call_is_greeted_books_or_declines_and_ends_well() {
    for seed in 0..20 {
        let outcome = passes(Plan::plain(seed));
        let record = &outcome.records[0];
        assert_eq!(record.state.as_str(), "completed", "seed {seed}");
        let said = record.transcript();
        assert!(said.starts_with("Agent: Hi, thanks for calling"), "{said}");
        let outcome = record.outcome.as_deref().unwrap_or_default();
        let good = ["booked", "qualified"].contains(&outcome);
        assert!(good, "seed {seed}: {outcome}\n{said}");
        let answers = record.turns.iter().skip(1).filter(|turn| {
            turn.who == offhook::store::Who::Agent && turn.latency.voice_to_voice_ms.is_some()
        });
        assert!(answers.count() >= 4, "seed {seed}: {said}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run_bit_by_bit() {
    for seed in 0..12 {
        let (first, second) = (run(Plan::draw(seed)), run(Plan::draw(seed)));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.records, second.records, "seed {seed}");
    }
    assert_ne!(run(Plan::draw(1)).hash, run(Plan::draw(2)).hash);
}

/// One caller with a plan of its own.
fn with(seed: u64, caller: CallerPlan) -> Plan {
    Plan {
        callers: vec![caller],
        ..Plan::plain(seed)
    }
}

#[test]
fn a_refresh_past_the_fifteenth_minute_does_not_end_a_call() {
    for by_update in [false, true] {
        let outcome = passes(with(
            1,
            CallerPlan {
                manner: Manner::Endless,
                refreshes: vec![(900_500, by_update)],
                hang_up_at_ms: Some(930_000),
                ..CallerPlan::plain()
            },
        ));
        let record = &outcome.records[0];
        assert_eq!(record.state.as_str(), "completed");
        assert!((925..=931).contains(&record.duration_s()), "{record:?}");
        let refresh = if by_update { "<- UPDATE" } else { "<- INVITE" };
        let asked = outcome.trace.iter().position(|line| line.contains(refresh));
        let after = outcome.trace.iter().skip(asked.unwrap());
        let answered = after.filter(|line| line.contains("-> SIP/2.0 200")).count();
        assert!(answered >= 2, "the refresh and the BYE are both answered");
    }
}

#[test]
fn a_hold_pauses_the_sound_and_the_call_goes_on_afterwards() {
    for seed in 0..10 {
        let caller = CallerPlan {
            holds: vec![(4_000 + seed * 900, 6_000)],
            ..CallerPlan::plain()
        };
        let outcome = passes(with(seed, caller));
        let said = outcome.records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}

#[test]
fn a_hold_within_the_callers_speech_does_not_lengthen_the_latency() {
    // Seed 2487 found a voice believed to go on until the end of a hold in which nothing came.
    passes(Plan::draw_basic(2487));
}

#[test]
fn a_hold_of_ten_minutes_without_a_packet_ends_no_call_and_asks_nothing() {
    for seed in 0..10 {
        let caller = CallerPlan {
            holds: vec![(4_000 + seed * 900, 600_000)],
            silent_holds: true,
            ..CallerPlan::plain()
        };
        let outcome = passes(with(seed, caller));
        let said = outcome.records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
        assert!(!said.contains("still there"), "seed {seed}: {said}");
    }
}

#[test]
fn a_caller_whose_packets_stop_is_hung_up_after_a_minute() {
    let mut plan = with(
        7,
        CallerPlan {
            manner: Manner::Endless,
            ..CallerPlan::plain()
        },
    );
    plan.weather.cuts = vec![Cut {
        from_ms: 10_000,
        for_ms: 600_000,
        from_switch: false,
    }];
    let outcome = passes(plan);
    let lasted = outcome.records[0].duration_s();
    assert!((68..=72).contains(&lasted), "{lasted} s");
}

#[test]
fn no_sound_is_sent_once_a_call_is_over_though_a_request_is_not() {
    // The flow still tells the CRM, which does not answer, when the caller has hung up.
    for seed in 0..40 {
        let caller = CallerPlan {
            hang_up_at_ms: Some(20_000 + seed * 700),
            ..CallerPlan::plain()
        };
        let mut plan = with(seed, caller);
        plan.models.stalls = 0.5;
        passes(plan);
    }
}

#[test]
fn two_byes_that_cross_end_one_call_once() {
    let caller = CallerPlan {
        crosses_bye: true,
        ..CallerPlan::plain()
    };
    let outcome = passes(with(3, caller));
    let byes = outcome.trace.iter().filter(|line| line.contains(" BYE "));
    assert_eq!(byes.count(), 2, "one from each side");
    assert_eq!(outcome.records.len(), 1);
}

#[test]
fn a_call_whose_ack_is_lost_for_good_ends_after_32_seconds() {
    let caller = CallerPlan {
        loses_acks: true,
        manner: Manner::Endless,
        ..CallerPlan::plain()
    };
    let outcome = passes(with(4, caller));
    let lasted = outcome.records[0].duration_s();
    assert!((31..=34).contains(&lasted), "{lasted} s");
}

#[test]
fn keys_by_rtp_and_by_info_are_both_heard() {
    for way in [KeyWay::Rtp, KeyWay::Info, KeyWay::Both] {
        let caller = CallerPlan {
            manner: Manner::Silent,
            keys: vec![(9_000, '5', way), (9_600, '9', way)],
            ..CallerPlan::plain()
        };
        let outcome = passes(with(5, caller));
        let heard = |turn: &TurnRecord| turn.text == "[keys 59]";
        let record = &outcome.records[0];
        assert!(record.turns.iter().any(heard), "{}", record.transcript());
    }
}

#[test]
fn a_cancel_at_any_moment_of_the_answer_leaves_a_true_record() {
    // Seed 319 found a record that said completed of a call whose 200 was never sent.
    let mut states = BTreeSet::new();
    for seed in 0..150 {
        let caller = CallerPlan {
            hang_up_at_ms: Some(10 + seed * 6),
            ..CallerPlan::plain()
        };
        let plan = Plan {
            lag_ms: 30,
            ..with(seed, caller)
        };
        states.extend(
            passes(plan)
                .records
                .iter()
                .map(|record| record.state.as_str()),
        );
    }
    assert_eq!(
        states.into_iter().collect::<Vec<_>>(),
        ["canceled", "completed"]
    );
}

#[test]
fn memory_of_a_hang_up_within_a_pause_is_what_was_sent() {
    // Seed 0 found that time in a pause was taken for words heard.
    passes(Plan::draw_basic(0));
    for seed in 0..60 {
        let caller = CallerPlan {
            noises: vec![(3_000, 700)],
            hang_up_at_ms: Some(3_000 + seed * 20),
            ..CallerPlan::plain()
        };
        passes(with(seed, caller));
    }
}

#[test]
fn what_a_voice_that_fails_could_not_say_is_not_remembered() {
    // Seeds 10 and 140 found a clause that broke off, and one without any sound, told as said;
    // seed 43 a first sound that was not taken for one.
    for seed in [10, 43, 140] {
        passes(Plan::draw_basic(seed));
    }
    for seed in 0..60 {
        let mut plan = with(seed, CallerPlan::plain());
        plan.models.mute = 0.3;
        plan.callers[0].interrupts = 0.2;
        passes(plan);
    }
}

#[test]
fn models_that_fail_and_stall_end_no_call_badly() {
    for seed in 0..40 {
        let mut plan = with(seed, CallerPlan::plain());
        let models = &mut plan.models;
        (models.deaf, models.slips, models.stalls) = (0.3, 0.3, 0.2);
        (models.refused, models.llm) = (0.6, seed % 2 == 0);
        let outcome = passes(plan);
        assert_eq!(outcome.records[0].state.as_str(), "completed");
    }
}

#[test]
fn sound_that_is_made_up_for_what_was_lost_is_nobodys_voice() {
    // Seed 2279 found a turn whose last voice was that of the concealment.
    passes(Plan::draw(2279));
}

#[test]
fn a_turns_latency_counts_until_its_packet_is_full() {
    // Seed 1256 found packets of 40 ms, whose first half was taken 20 ms before they left.
    passes(Plan::draw(1256));
    for ptime_ms in [20, 30, 40, 60] {
        for seed in 0..10 {
            let caller = CallerPlan {
                ptime_ms,
                ..CallerPlan::plain()
            };
            passes(with(seed, caller));
        }
    }
}

#[test]
fn a_switch_that_stood_still_goes_on_where_it_was() {
    // Seed 755 found that one standstill that runs into the next turned queues about.
    passes(Plan::draw_basic(755));
    for seed in 0..30 {
        let mut plan = with(seed, CallerPlan::plain());
        plan.standstills = vec![(2_000 + seed * 700, 50 + seed * 1_000)];
        passes(plan);
    }
}

#[test]
fn a_call_without_end_is_ended_at_the_longest_that_is_allowed() {
    let caller = CallerPlan {
        manner: Manner::Endless,
        ..CallerPlan::plain()
    };
    let outcome = passes(with(6, caller));
    let lasted = outcome.records[0].duration_s();
    assert!((1_800..=1_821).contains(&lasted), "{lasted} s");
}

/// Says of each rule which seeds break it, without stopping: `-- --ignored --nocapture`.
#[test]
#[ignore = "a survey for who works on a rule"]
fn survey() {
    let mut broken = std::collections::BTreeMap::<_, Vec<_>>::new();
    for seed in 0..number("OFFHOOK_SIM_CALLS").unwrap_or(CALLS as u64) {
        if let Some(violation) = run(Plan::draw(seed)).violation {
            broken
                .entry(violation.rule)
                .or_default()
                .push((seed, violation.to_string()));
        }
    }
    for (rule, seeds) in broken {
        println!("{rule:?}: {} seeds", seeds.len());
        for (seed, what) in seeds.iter().take(6) {
            println!("    seed {seed}: {what}");
        }
    }
}
