//! Keys that a caller presses: the flow hears of each once and in order, whatever the network does.

use offhook::sim::{CallerPlan, KeyWay, Manner, Plan, Weather};

use super::{passes, with};

fn dialled(way: KeyWay) -> CallerPlan {
    let keys = ['5', '5', '9', '1', '5', '5'].into_iter().zip(0..);
    CallerPlan {
        manner: Manner::Silent,
        keys: keys.map(|(key, n)| (9_000 + 350 * n, key, way)).collect(),
        ..CallerPlan::plain()
    }
}

#[test]
fn a_number_that_is_keyed_in_is_heard_whole_however_each_key_is_told_of() {
    for way in [KeyWay::Rtp, KeyWay::Info, KeyWay::Both] {
        let outcome = passes(with(1, dialled(way)));
        let said = outcome.records[0].transcript();
        assert!(said.contains("[keys 559155]"), "{way:?}: {said}");
    }
}

#[test]
fn no_key_counts_twice_or_out_of_order_under_loss_copies_and_reordering() {
    for (n, way) in [KeyWay::Rtp, KeyWay::Info, KeyWay::Both]
        .into_iter()
        .enumerate()
    {
        for seed in 0..40 {
            let weather = Weather {
                delay_ms: 40,
                jitter_ms: 120,
                loss: 0.1,
                copies: 0.2,
                bursts: 0.01,
                ..Weather::calm()
            };
            let seed = seed + 100 * n as u64;
            passes(Plan {
                weather,
                ..with(seed, dialled(way))
            });
        }
    }
}
