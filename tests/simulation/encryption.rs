//! Calls whose media is encrypted: agreed upon, keyed anew, intruded upon.

use offhook::sim::{CallerPlan, Intrusion, Plan};
use offhook_media::SrtpPolicy;

use super::{passes, with};

fn encrypted(seed: u64, caller: CallerPlan) -> Plan {
    Plan {
        srtp: SrtpPolicy::Optional,
        ..with(
            seed,
            CallerPlan {
                srtp: SrtpPolicy::Required,
                ..caller
            },
        )
    }
}

#[test]
fn media_is_encrypted_where_both_can_and_a_call_is_refused_where_one_must_and_the_other_never_does()
{
    let all = [SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required];
    for (n, (ours, theirs)) in all.iter().flat_map(|a| all.map(|b| (*a, b))).enumerate() {
        let caller = CallerPlan {
            srtp: theirs,
            ..CallerPlan::plain()
        };
        let plan = Plan {
            srtp: ours,
            ..with(n as u64, caller)
        };
        let outcome = passes(plan);
        let both = [ours, theirs];
        let at_odds = both.contains(&SrtpPolicy::Off) && both.contains(&SrtpPolicy::Required);
        assert_eq!(outcome.answered, usize::from(!at_odds), "{ours} {theirs}");
        let encrypts = !both.contains(&SrtpPolicy::Off);
        if at_odds {
            continue;
        }
        let record = &outcome.records[0];
        assert!(record.transcript().contains("Goodbye!"), "{ours} {theirs}");
        let media = record.media.as_ref().unwrap();
        assert_eq!(media.srtp.is_some(), encrypts, "{ours} {theirs}");
    }
}

#[test]
fn a_key_that_changes_at_each_offer_of_the_caller_interrupts_nothing() {
    for seed in 0..20 {
        let caller = CallerPlan {
            rekeys: true,
            refreshes: (1..12).map(|n| (n * 4_000 + seed * 37, false)).collect(),
            ..CallerPlan::plain()
        };
        let outcome = passes(encrypted(seed, caller));
        let said = outcome.records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}

#[test]
fn nobody_hears_an_intruder() {
    let all = [
        Intrusion::Stranger,
        Intrusion::Forged,
        Intrusion::Replayed,
        Intrusion::Tampered,
    ];
    for seed in 0..12 {
        let intrusions = all.iter().zip(1..);
        let caller = CallerPlan {
            rekeys: seed % 2 == 0,
            refreshes: vec![(9_900, false)],
            intrusions: intrusions
                .map(|(what, n)| (n * 5_000 + seed * 90, *what))
                .collect(),
            ..CallerPlan::plain()
        };
        let plan = match seed % 3 {
            0 => with(seed, caller),
            _ => encrypted(seed, caller),
        };
        let said = passes(plan).records[0].transcript();
        assert!(said.contains("Goodbye!"), "seed {seed}: {said}");
    }
}
