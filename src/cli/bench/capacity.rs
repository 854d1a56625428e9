//! `offhook bench capacity`: simultaneous calls with voice detection, on one core: every call
//! carries real speech 45 % of the time, each at another place of it, from its answer to its end;
//! the cheap gate sees each frame, Silero what passes, each utterance goes through the
//! recogniser's queue, and the agent answers with sound that it has made before. With `--record`
//! each call is recorded as well.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use offhook_media::Stats;
use serde_json::{Value, json};

use super::caller::{BenchCaller, is_audible};
use super::cpu::SUBJECT_CORE;
use super::subject::{Options, Subject, start};
use crate::cli::wav;
use crate::clock;
use crate::config::RecordingFormat;
use crate::observe::metrics as names;
use crate::phone::Phone;

/// Share of the time in which a caller can be heard.
const SPEECH_SHARE: f64 = 0.45;
/// What the callers say, over and over: eleven seconds of a speech, with its pauses.
const SPEECH: &[u8] = include_bytes!("../../../tests/corpora/speech/jfk.wav");
/// Counts the frames that are not in their recordings.
pub(super) const UNWRITTEN: &str = "offhook_queue_overflows_total{queue=\"recordings\"}";
/// Between two calls' beginnings.
const STAGGER: Duration = Duration::from_millis(30);
/// From the last call's beginning to the measurement's.
const SETTLE: Duration = Duration::from_secs(3);

/// Measures capacity.
#[derive(Debug, Args)]
pub(in crate::cli) struct CapacityArgs {
    /// Simultaneous calls
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// How long they talk
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Record the calls, as "wav" when no format is named, or as "opus"
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "wav")]
    record: Option<RecordingFormat>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What the calls of one run came to.
#[derive(Default)]
struct Totals {
    received: u64,
    lost: u64,
    failed: usize,
}

pub(super) async fn run(args: &CapacityArgs) -> anyhow::Result<ExitCode> {
    let track = track()?;
    let options = Options {
        core: Some(SUBJECT_CORE),
        calls: args.calls + 1,
        record: args.record,
        warm_up: Some(Arc::clone(&track)),
        ..Options::default()
    };
    let (subject, phone) = start(&options).await?;
    let idle_kib = subject.resident_kib()?;
    let mut calls = tokio::task::JoinSet::new();
    let begin = clock::now() + STAGGER * args.calls as u32 + SETTLE;
    let end = begin + Duration::from_secs(args.seconds);
    for number in 0..args.calls {
        let (phone, track, uri) = (Arc::clone(&phone), Arc::clone(&track), subject.uri.clone());
        let offset = track.len() / args.calls.max(1) * number;
        calls.spawn(async move {
            tokio::time::sleep(STAGGER * number as u32).await;
            talk(phone, &uri, &track, offset, end).await
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = Sample::take(&subject).await?;
    tokio::time::sleep_until(end.into()).await;
    let after = Sample::take(&subject).await?;
    let mut totals = Totals::default();
    while let Some(call) = calls.join_next().await {
        match call? {
            Ok(Some(stats)) => {
                totals.lost += stats.lost;
                totals.received += stats.received;
            }
            Ok(None) | Err(_) => totals.failed += 1,
        }
    }
    report(args, &before, &after, &totals, idle_kib, share(&track));
    let heard = totals.lost == 0 && totals.failed == 0 && after.dropped == 0.0;
    let clean = heard && after.unwritten == 0.0 && after.unrecorded == 0.0;
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What the switch had counted at one moment.
struct Sample {
    at: Instant,
    cpu_s: f64,
    resident_kib: u64,
    frames: f64,
    passed: f64,
    windows: f64,
    dropped: f64,
    ticks: f64,
    late_ticks: f64,
    /// Frames that are not in their recordings, and calls that have none.
    unwritten: f64,
    unrecorded: f64,
    recording_s: f64,
}

impl Sample {
    async fn take(subject: &Subject) -> anyhow::Result<Self> {
        Ok(Self {
            at: clock::now(),
            cpu_s: subject.cpu_seconds()?,
            resident_kib: subject.resident_kib()?,
            frames: subject.metric("offhook_hearing_frames_total").await?,
            passed: subject.metric("offhook_hearing_passed_total").await?,
            windows: subject.metric("offhook_hearing_windows_total").await?,
            dropped: subject.metric("offhook_hearing_dropped_total").await?,
            ticks: subject.metric("offhook_media_ticks_total").await?,
            late_ticks: subject.metric("offhook_media_ticks_late_total").await?,
            unwritten: subject.metric(UNWRITTEN).await?,
            unrecorded: subject.metric(names::CALLS_UNRECORDED).await?,
            recording_s: subject.thread_seconds("recordings")?,
        })
    }
}

fn report(
    args: &CapacityArgs,
    before: &Sample,
    after: &Sample,
    totals: &Totals,
    idle_kib: u64,
    speech_share: f64,
) {
    let elapsed = after.at.duration_since(before.at).as_secs_f64();
    let busy = (after.cpu_s - before.cpu_s) / elapsed;
    let calls = args.calls.max(1);
    let kib_per_call = after.resident_kib.saturating_sub(idle_kib) / calls as u64;
    let frames = after.frames - before.frames;
    let (passed, windows) = (after.passed - before.passed, after.windows - before.windows);
    let (ticks, late) = (
        after.ticks - before.ticks,
        after.late_ticks - before.late_ticks,
    );
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let Totals {
        received,
        lost,
        failed,
    } = totals;
    let recording_busy = (after.recording_s - before.recording_s) / elapsed;
    if args.json {
        return crate::cli::say(json!({
            "recording": recorded(args, after, round(recording_busy)), "bench": "capacity", "calls": args.calls, "seconds": args.seconds,
            "failed_calls": failed, "core_busy": round(busy),
            "core_percent_per_call": round(busy * 100.0 / calls as f64),
            "speech_share": round(speech_share), "packets_received_by_callers": received,
            "packets_lost_by_callers": lost, "frames_heard": frames, "frames_passed": passed,
            "silero_windows": windows, "frames_dropped": after.dropped, "ticks": ticks,
            "late_ticks": late, "kib_per_call": kib_per_call,
        }));
    }
    crate::cli::say(format_args!(
        "{} calls for {} s on one core, speech {:.0} % of the time: {:.0} % busy, {received} \
         packets received, {lost} lost, {frames} frames heard ({passed} passed the gate, {windows} \
         runs of Silero), {} dropped, {late} of {ticks} ticks late, {kib_per_call} KiB a call, \
         {failed} calls failed",
        args.calls,
        args.seconds,
        speech_share * 100.0,
        busy * 100.0,
        after.dropped,
    ));
    if let Some(format) = args.record {
        crate::cli::say(format_args!(
            "recorded as {format}: {:.1} % of the core, {} frames lost from files, {} calls without \
             one",
            recording_busy * 100.0,
            after.unwritten,
            after.unrecorded,
        ));
    }
}

/// What recording cost and lost, if there was any.
fn recorded(args: &CapacityArgs, after: &Sample, busy: f64) -> Option<Value> {
    let format = args.record?.to_string();
    let (lost, without) = (after.unwritten, after.unrecorded);
    Some(json!({
        "format": format, "core_busy": busy, "frames_lost": lost, "calls_unrecorded": without,
    }))
}

/// The speech with so much silence after it that it can be heard [`SPEECH_SHARE`] of the time.
pub(super) fn track() -> anyhow::Result<Arc<[i16]>> {
    let mut samples = wav::parse_8k(SPEECH)?;
    let audible = share(&samples) * samples.len() as f64;
    samples.resize((audible / SPEECH_SHARE) as usize / 160 * 160, 0);
    Ok(samples.into())
}

/// The share of frames that can be heard.
pub(super) fn share(samples: &[i16]) -> f64 {
    let frames = samples.chunks(160);
    let all = frames.len().max(1);
    frames.filter(|frame| is_audible(frame)).count() as f64 / all as f64
}

/// Says the track from `offset` on, again and again until `end`.
async fn talk(
    phone: Arc<Phone>,
    uri: &str,
    track: &Arc<[i16]>,
    offset: usize,
    end: Instant,
) -> anyhow::Result<Option<Box<Stats>>> {
    let mut caller = BenchCaller::dial(phone, uri).await?;
    let mut next: Arc<[i16]> = track.get(offset..).unwrap_or_default().into();
    let mut due = clock::now();
    while due < end {
        caller.speak(&next);
        due += Duration::from_secs_f64(next.len() as f64 / 8000.0);
        next = Arc::clone(track);
        tokio::time::sleep_until(due.min(end).into()).await;
    }
    Ok(caller.hang_up().await)
}
