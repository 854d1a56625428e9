//! Calls that the switch places: what rings, refuses, answers, and what crosses that.

use std::collections::BTreeSet;

use offhook::sim::{Called, CallerPlan, Outcome, Plan, Ringing};

use super::{passes, with};

fn called(end: Ringing) -> Called {
    Called {
        challenge: None,
        trusted: true,
        rings_ms: Some(200),
        early_ms: None,
        end,
        fork: None,
    }
}

fn call(seed: u64, called: Called, api_hang_up_at_ms: Option<u64>) -> Outcome {
    let caller = CallerPlan {
        called: Some(called),
        api_hang_up_at_ms,
        ..CallerPlan::plain()
    };
    passes(Plan {
        lag_ms: 5,
        ..with(seed, caller)
    })
}

#[test]
fn a_call_of_ours_is_answered_and_talked_through() {
    for seed in 0..10 {
        let outcome = call(seed, called(Ringing::Answered(3_000)), None);
        let record = &outcome.records[0];
        assert_eq!(record.state.as_str(), "completed");
        let said = record.transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}

#[test]
fn an_announcement_before_the_answer_is_no_answer() {
    let early = Called {
        early_ms: Some(300),
        ..called(Ringing::Refused(5_000, 486))
    };
    let outcome = call(1, early, None);
    assert_eq!(outcome.records[0].state.as_str(), "busy");
    assert_eq!(outcome.answered, 0);
    let early = Called {
        early_ms: Some(300),
        ..called(Ringing::Answered(5_000))
    };
    let record = &call(2, early, None).records[0];
    let waited = record
        .answered_at
        .unwrap()
        .duration_since(record.started_at);
    assert!(waited.as_secs() >= 5, "{waited:?}");
}

#[test]
fn a_call_of_ours_that_comes_to_nothing_says_why() {
    let challenged = |status, trusted| Called {
        challenge: Some(status),
        trusted,
        ..called(Ringing::Answered(500))
    };
    for (called, state) in [
        (called(Ringing::Refused(900, 486)), "busy"),
        (called(Ringing::Refused(900, 480)), "no-answer"),
        (called(Ringing::Refused(900, 404)), "failed"),
        (called(Ringing::Unanswered), "no-answer"),
        (challenged(401, true), "completed"),
        (challenged(407, true), "completed"),
        (challenged(401, false), "failed"),
        (challenged(407, false), "failed"),
    ] {
        let outcome = call(3, called, None);
        assert_eq!(outcome.records[0].state.as_str(), state, "{called:?}");
    }
}

#[test]
fn an_end_that_is_asked_for_at_any_moment_of_the_ringing_ends_the_call_once() {
    let mut states = BTreeSet::new();
    for seed in 0..160 {
        let called = called(Ringing::Answered(600));
        let outcome = call(seed, called, Some(10 + seed * 10));
        states.extend(outcome.records.iter().map(|record| record.state.as_str()));
    }
    let states: Vec<_> = states.into_iter().collect();
    assert_eq!(states, ["canceled", "completed"]);
}
