//! `offhook bench switch --load`: how evenly the same calls are sent while the models are idle, and
//! then while they are as busy as they can be. The one media thread has its core and the load another;
//! the inference threads run wherever the system lets them, as they do in production.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::capacity::track;
use super::figures::{Ranks, round};
use super::load;
use super::subject::{Options, start};
use super::switch::{Part, SwitchArgs, dial_all, measure, say_jitter};

/// From the first sentence of the models until they do nothing but work.
const BUSY_AFTER: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &SwitchArgs) -> anyhow::Result<ExitCode> {
    let track = track()?;
    let encoded = load::encode(&track);
    let options = Options {
        saturates: true,
        calls: args.calls + 1,
        media_threads: Some(1),
        warm_up: Some(track),
        ..Options::default()
    };
    let (subject, phone) = start(&options).await?;
    let calls = dial_all(args, &phone, &subject.uri, &encoded).await?;
    let (idle, streams) = measure(args.seconds, calls.streams, &encoded, subject.id()).await?;
    subject.saturate()?;
    tokio::time::sleep(BUSY_AFTER).await;
    let (loaded, _) = measure(args.seconds, streams, &encoded, subject.id()).await?;
    report(args, &idle, &loaded, calls.failed);
    let clean = calls.failed == 0 && idle.measured.lost == 0 && loaded.measured.lost == 0;
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn report(args: &SwitchArgs, idle: &Part, loaded: &Part, failed: usize) {
    let [before, busy] = [idle, loaded].map(|part| Ranks::of(&part.measured.jitter_ms));
    let p99 = busy.p99 / before.p99.max(1e-3);
    let p999 = busy.p999 / before.p999.max(1e-3);
    let lost = [idle, loaded].map(|part| part.measured.lost);
    if args.json {
        let part = |part: &Part, jitter: Ranks| {
            json!({
                "cores_busy": round(part.busy), "packets_received": part.measured.received,
                "packets_lost": part.measured.lost,
                "send_jitter_ms": jitter.json(),
            })
        };
        return crate::cli::say(json!({
            "bench": "switch under load", "calls": args.calls, "seconds": args.seconds,
            "failed_calls": failed, "idle": part(idle, before), "loaded": part(loaded, busy),
            "times_the_idle": { "p99": round(p99), "p99.9": round(p999) },
        }));
    }
    crate::cli::say(format_args!(
        "{} calls for {} s: the switch keeps {:.2} cores busy while its models are idle and {:.2} \
         while they are not; {} and {} packets lost, {failed} calls failed",
        args.calls, args.seconds, idle.busy, loaded.busy, lost[0], lost[1],
    ));
    say_jitter("models idle", "send jitter", before);
    say_jitter("models busy", "send jitter", busy);
    crate::cli::say(format_args!(
        "{:12} {p99:.2} times the idle p99   {p999:.2} times the idle p99.9",
        "busy"
    ));
}
