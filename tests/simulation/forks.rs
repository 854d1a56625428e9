//! An INVITE of ours that rings at two phones: one is talked to, the other is let go.

use std::collections::BTreeSet;

use offhook::sim::{Called, CallerPlan, Fork, Plan, Ringing, Weather};

use super::{passes, with};

fn forked(first: Ringing, second: Ringing, cancels_ms: Option<u64>) -> CallerPlan {
    CallerPlan {
        called: Some(Called {
            challenge: None,
            trusted: true,
            rings_ms: Some(100),
            early_ms: Some(400),
            end: first,
            fork: Some(Fork {
                rings_ms: Some(150),
                early_ms: Some(300),
                end: second,
                cancels_ms,
            }),
        }),
        ..CallerPlan::plain()
    }
}

#[test]
fn of_two_phones_that_answer_at_once_one_is_talked_to_and_the_other_hung_up() {
    for seed in 0..40 {
        let second = Ringing::Answered(3_000 + seed * 5 - 100);
        let caller = forked(Ringing::Answered(3_000), second, None);
        let outcome = passes(with(seed, caller));
        let record = &outcome.records[0];
        let said = record.transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
        assert_eq!(record.state.as_str(), "completed");
    }
}

#[test]
fn answers_that_cross_the_proxys_cancel_or_ours_leave_nobody_on_the_line() {
    let mut states = BTreeSet::new();
    for seed in 0..80 {
        let second = Ringing::Answered(1_000 + seed * 7);
        let mut caller = forked(Ringing::Answered(1_200), second, Some(seed));
        if seed % 2 == 0 {
            caller.api_hang_up_at_ms = Some(1_000 + seed * 8);
        }
        let weather = Weather {
            delay_ms: 60,
            jitter_ms: 80,
            loss: 0.1,
            ..Weather::calm()
        };
        let outcome = passes(Plan {
            weather,
            lag_ms: 30,
            ..with(seed, caller)
        });
        states.extend(outcome.records.iter().map(|record| record.state.as_str()));
    }
    assert!(states.contains("completed") && states.contains("canceled"));
}

#[test]
fn a_phone_that_is_too_late_may_hang_up_before_we_do() {
    passes(Plan::draw(2871));
}

#[test]
fn one_phone_that_says_no_leaves_the_other_ringing_and_two_are_one_no() {
    let busy = |at| Ringing::Refused(at, 486);
    for (first, second, state) in [
        (busy(600), Ringing::Answered(2_000), "completed"),
        (Ringing::Answered(2_000), busy(600), "completed"),
        (busy(600), busy(900), "busy"),
        (busy(600), Ringing::Unanswered, "no-answer"),
        (Ringing::Unanswered, Ringing::Unanswered, "no-answer"),
    ] {
        let outcome = passes(with(5, forked(first, second, Some(50))));
        let found = outcome.records[0].state.as_str();
        assert_eq!(found, state, "{first:?} {second:?}");
    }
}
