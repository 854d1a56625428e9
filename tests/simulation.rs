//! The joined simulation: whole calls in virtual time, by seed.
//!
//! A failure prints its seed and its trace; `OFFHOOK_SIM_SEED=… cargo test --test simulation` runs
//! that one alone, `OFFHOOK_SIM_CALLS=…` says how many calls are run.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::time::Duration;

use offhook::sim::{Outcome, Plan, run};

/// What takes about 20 s in a development build on one core.
const CALLS: usize = 400;

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
