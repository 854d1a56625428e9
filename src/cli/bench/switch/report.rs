//! What `offhook bench switch` prints.

use serde_json::{Value, json};

use super::{Part, Run, SwitchArgs};
use crate::cli::bench::active_call;
use crate::cli::bench::figures::{Ranks, round};

pub(super) fn report(args: &SwitchArgs, run: &Run) {
    let calls = args.calls.max(1) as f64;
    let (switch, [before, after]) = (&run.switch, &run.floor);
    let busy = switch.part.busy;
    let floor = f64::midpoint(before.busy, after.busy);
    let ratio = busy / floor.max(1e-9);
    let kib_per_call = switch.grown_kib as f64 / calls;
    let [frames_unwritten, calls_unrecorded] = switch.unrecorded;
    if args.json {
        return crate::cli::say(json!({
            "bench": "switch", "calls": args.calls, "seconds": args.seconds,
            "floor_seconds": args.floor_seconds(),
            "failed_calls": switch.failed, "packets_left_out": switch.left_out(),
            "frames_unheard": switch.unheard, "recorded_as": args.record.map(|f| f.to_string()),
            "frames_unwritten": frames_unwritten, "calls_unrecorded": calls_unrecorded, "speech_share": round(run.speech_share),
            "core_percent_per_call": round(busy * 100.0 / calls),
            "times_the_floor": round(ratio), "kib_per_call": round(kib_per_call),
            "switch": part(&switch.part, calls),
            "floor": [part(before, calls), part(after, calls)],
            "active_call": active_call::json(&run.beside, busy, calls),
            "machine_wake_up_ms": run.wake_up.map(Ranks::json),
            "added_latency_ms": {
                "in": Ranks::of(&switch.heard_ms).json(),
                "out": Ranks::of(&switch.part.measured.delay_ms).json(),
            },
        }));
    }
    let measured = &switch.part.measured;
    crate::cli::say(format_args!(
        "{} calls for {} s, speech {:.0} % of the time: the core {:.0} % busy, {:.3} % of it a \
         call, {ratio:.1} times the floor ({:.3} %), {kib_per_call:.0} KiB a call, {} of {} packets lost, {} left out, {} \
         frames unheard, {} calls failed",
        args.calls,
        args.seconds,
        run.speech_share * 100.0,
        switch.part.core * 100.0,
        busy * 100.0 / calls,
        floor * 100.0 / calls,
        measured.lost,
        measured.lost + measured.received,
        switch.left_out(),
        switch.unheard,
        switch.failed,
    ));
    if let Some(format) = args.record {
        crate::cli::say(format_args!(
            "recorded as {format}: {frames_unwritten} frames lost from files, {calls_unrecorded} \
             calls without one"
        ));
    }
    active_call::say(&run.beside, busy, calls);
    for (name, part) in [
        ("switch", &switch.part),
        ("floor", before),
        ("floor again", after),
    ] {
        let jitter = Ranks::of(&part.measured.jitter_ms);
        say_jitter(name, "send jitter", jitter);
    }
    for (name, measured) in [
        ("packet in, to the listeners", &switch.heard_ms),
        (
            "sound played, to its packet",
            &switch.part.measured.delay_ms,
        ),
    ] {
        let Ranks {
            count, p50, p99, ..
        } = Ranks::of(measured);
        crate::cli::say(format_args!(
            "{name} p50 {p50:.3} ms   p99 {p99:.3} ms   ({count} measured)"
        ));
    }
    if let Some(late) = run.wake_up {
        say_jitter("machine", "wakes up late by", late);
    }
}

pub(in crate::cli::bench) fn say_jitter(name: &str, what: &str, jitter: Ranks) {
    let Ranks { p50, p99, p999, .. } = jitter;
    crate::cli::say(format_args!(
        "{name:12} {what} p50 {p50:.3} ms   p99 {p99:.3} ms   p99.9 {p999:.3} ms"
    ));
}

pub(in crate::cli::bench) fn part(part: &Part, calls: f64) -> Value {
    json!({
        "core_busy": round(part.core),
        "process_busy": round(part.busy),
        "core_percent_per_call": round(part.busy * 100.0 / calls),
        "packets_sent_to_it": part.measured.sent,
        "packets_received": part.measured.received,
        "packets_lost": part.measured.lost,
        "send_jitter_ms": Ranks::of(&part.measured.jitter_ms).json(),
    })
}
