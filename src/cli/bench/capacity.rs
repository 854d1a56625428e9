//! `offhook bench capacity`: simultaneous calls with voice detection, on one core: every call
//! carries speech 45 % of the time, the cheap gate sees each frame, Silero what passes, and each
//! utterance reaches the recogniser's queue and is taken from it.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use offhook_models::Runtime;
use offhook_models::voice::{Voice, VoiceOptions};
use serde_json::json;

use super::caller::{BenchCaller, trim};
use super::subject::{Options, Subject};
use crate::clock;
use crate::config::{Config, Env};
use crate::phone::Phone;

/// The core of the switch and the core of the callers.
const SUBJECT_CORE: usize = 0;
const CALLER_CORE: usize = 1;
/// Share of the time in which a caller speaks.
const SPEECH_SHARE: f64 = 0.45;
/// What the callers say, over and over.
const LINE: &str = "I would like to know more about your prices, and whether you can send \
                    somebody to our office next week to have a look at the old telephones.";

/// Measures capacity.
#[derive(Debug, Args)]
pub(in crate::cli) struct CapacityArgs {
    /// Simultaneous calls
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// How long they talk
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &CapacityArgs) -> anyhow::Result<ExitCode> {
    let line = tokio::task::spawn_blocking(synthesise).await??;
    let options = Options {
        core: Some(SUBJECT_CORE),
        consume: true,
        calls: args.calls + 1,
    };
    let subject = Subject::start(&options).await?;
    let idle_kib = subject.resident_kib()?;
    let phone = Arc::new(Phone::start(IpAddr::V4(Ipv4Addr::LOCALHOST), Some(CALLER_CORE)).await?);
    let mut calls = tokio::task::JoinSet::new();
    let begin = clock::now() + Duration::from_millis(30 * args.calls as u64 + 1000);
    let end = begin + Duration::from_secs(args.seconds);
    for number in 0..args.calls {
        let (phone, line, uri) = (Arc::clone(&phone), Arc::clone(&line), subject.uri.clone());
        calls.spawn(async move {
            tokio::time::sleep(Duration::from_millis(30 * number as u64)).await;
            talk(phone, &uri, &line, end).await
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let cpu_before = subject.cpu_seconds()?;
    let busy_kib = subject.resident_kib()?;
    tokio::time::sleep_until((end - Duration::from_millis(500)).into()).await;
    let elapsed = clock::now().duration_since(begin).as_secs_f64();
    let cpu = (subject.cpu_seconds()? - cpu_before) / elapsed;
    let hearing_dropped = subject.metric("offhook_hearing_dropped_total").await?;
    let hearing_frames = subject.metric("offhook_hearing_frames_total").await?;
    let late_ticks = subject.metric("offhook_media_ticks_late_total").await?;
    let ticks = subject.metric("offhook_media_ticks_total").await?;
    let (mut lost, mut received, mut failed) = (0, 0, 0);
    while let Some(call) = calls.join_next().await {
        match call? {
            Ok(Some(stats)) => {
                lost += stats.lost;
                received += stats.received;
            }
            Ok(None) | Err(_) => failed += 1,
        }
    }
    let per_call_kib = busy_kib.saturating_sub(idle_kib) / args.calls.max(1) as u64;
    let figures = json!({
        "bench": "capacity", "calls": args.calls, "seconds": args.seconds, "failed_calls": failed,
        "core_busy": (cpu * 1000.0).round() / 1000.0,
        "core_percent_per_call": (cpu / args.calls as f64 * 100_000.0).round() / 1000.0,
        "packets_received_by_callers": received, "packets_lost_by_callers": lost,
        "frames_heard": hearing_frames, "frames_dropped": hearing_dropped,
        "ticks": ticks, "late_ticks": late_ticks, "kib_per_call": per_call_kib,
    });
    if args.json {
        crate::cli::say(&figures);
    } else {
        crate::cli::say(format_args!(
            "{} calls for {} s on one core: {:.0} % busy, {received} packets received, {lost} \
             lost, {hearing_frames} frames heard, {hearing_dropped} dropped, {late_ticks} of \
             {ticks} ticks late, {per_call_kib} KiB a call, {failed} calls failed",
            args.calls,
            args.seconds,
            cpu * 100.0
        ));
    }
    let clean = lost == 0 && failed == 0 && hearing_dropped == 0.0;
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn synthesise() -> anyhow::Result<Arc<[i16]>> {
    let config = Config::demo(&Env::process())?;
    let runtime = Runtime::load(&config.models.dir)?;
    let options = VoiceOptions {
        deterministic: true,
        ..VoiceOptions::default()
    };
    let voice = Voice::load(&runtime, &config.models.dir, &config.models.voice, options)?;
    Ok(trim(&voice.say(LINE)?))
}

/// Speaks 45 % of the time until `end`.
async fn talk(
    phone: Arc<Phone>,
    uri: &str,
    line: &Arc<[i16]>,
    end: std::time::Instant,
) -> anyhow::Result<Option<Box<offhook_media::Stats>>> {
    let mut caller = BenchCaller::dial(phone, uri).await?;
    let speech = Duration::from_secs_f64(line.len() as f64 / 8000.0);
    let period = speech.div_f64(SPEECH_SHARE);
    while clock::now() + period < end {
        caller.speak(line);
        tokio::time::sleep(period).await;
    }
    tokio::time::sleep_until(end.into()).await;
    Ok(caller.hang_up().await)
}
