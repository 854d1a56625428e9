//! Offers within a call: the switch's own, the caller's, and both at once; holds and supervisors.

use offhook::sim::{CallerPlan, Manner, OnOffer, Plan};

use super::{passes, with};

#[test]
fn sound_that_was_not_agreed_upon_is_healed_by_an_offer_of_ours() {
    for seed in 0..10 {
        let caller = CallerPlan {
            strays: true,
            ..CallerPlan::plain()
        };
        let outcome = passes(with(seed, caller));
        let said = outcome.records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
        let turns = outcome.records[0].turns.iter();
        let heard = turns.filter(|turn| turn.who == offhook::store::Who::Caller);
        assert!(heard.count() >= 3, "seed {seed}: {said}");
    }
}

#[test]
fn an_offer_of_ours_that_meets_the_callers_is_settled_and_both_are_still_heard() {
    for seed in 0..40 {
        let caller = CallerPlan {
            offers: vec![6_000, 14_000, 22_000],
            refreshes: vec![(6_000 + seed * 5 - 100, seed % 2 == 0), (14_000, false)],
            holds: vec![(21_990 + seed, 5_000)],
            music_on_hold: seed % 3 == 0,
            ..CallerPlan::plain()
        };
        let plan = Plan {
            lag_ms: [0, 30][usize::from(seed % 4 == 0)],
            ..with(seed, caller)
        };
        let said = passes(plan).records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}

#[test]
fn an_offer_of_ours_that_is_refused_or_never_answered_leaves_the_call_as_it_was() {
    for (seed, on_offer) in [
        OnOffer::Refuses(488),
        OnOffer::Refuses(491),
        OnOffer::Ignores,
    ]
    .into_iter()
    .enumerate()
    {
        let caller = CallerPlan {
            offers: vec![6_000],
            on_offer,
            manner: Manner::Endless,
            hang_up_at_ms: Some(400_000),
            ..CallerPlan::plain()
        };
        let outcome = passes(with(seed as u64, caller));
        assert_eq!(outcome.records[0].state.as_str(), "completed");
    }
}

#[test]
fn the_agent_stands_aside_for_a_supervisor_and_goes_on_afterwards() {
    for seed in 0..30 {
        let caller = CallerPlan {
            asides: vec![(3_000 + seed * 400, 5_000)],
            holds: vec![(3_500 + seed * 500, 3_000)],
            interrupts: 0.2,
            ..CallerPlan::plain()
        };
        let said = passes(with(seed, caller)).records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}

#[test]
fn an_offer_in_our_200_is_answered_in_the_ack_and_the_call_is_as_any_other() {
    for seed in 0..20 {
        let caller = CallerPlan {
            late_offer: true,
            ..CallerPlan::plain()
        };
        let plan = Plan {
            lag_ms: [0, 30][usize::from(seed % 2 == 0)],
            ..with(seed, caller)
        };
        let said = passes(plan).records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}

#[test]
fn a_reinvite_without_an_offer_at_any_moment_leaves_both_heard() {
    for seed in 0..40 {
        let caller = CallerPlan {
            bare_refreshes: vec![5_000 + seed * 20, 12_000],
            offers: vec![5_100, 12_000],
            holds: vec![(5_200, 3_000)],
            music_on_hold: true,
            ..CallerPlan::plain()
        };
        let said = passes(with(seed, caller)).records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}
