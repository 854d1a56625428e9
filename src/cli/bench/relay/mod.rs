//! `offhook bench switch --relay`: what a call costs that only passes through, beside a bare C relay
//! and, where they are installed, rtpengine in user space and rustpbx; all of them loaded the same way
//! in the same run, in turn and back again.

pub(super) mod engine;
pub(super) mod exchange;
mod ng;
mod subjects;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::capacity::track;
use super::cpu::{LOAD_CORE, SUBJECT_CORE, idle_seconds, process_seconds};
use super::figures::{Ranks, round};
use super::load::{self, Measured, Stamps, Stream};
use super::switch::{SETTLE, SwitchArgs};
use crate::clock;
use subjects::{Subject, Who};

/// One measurement of one relay.
struct Part {
    who: Who,
    /// Shares of a core: the process's own time, and how busy the core was with all that ran.
    process: f64,
    core: f64,
    /// What its memory grew by with all calls but the first, in KiB.
    grown_kib: u64,
    measured: Measured,
}

pub(super) async fn run(args: &SwitchArgs) -> anyhow::Result<ExitCode> {
    let track = track()?;
    let encoded = load::encode(&track);
    let folder = tempfile::tempdir()?;
    let mut order = Who::installed();
    order.extend(order.clone().into_iter().rev());
    let mut parts = Vec::new();
    for who in order {
        parts.push(measure(args, who, folder.path(), &encoded).await?);
    }
    report(args, &parts);
    let ours = parts.iter().filter(|part| part.who == Who::Offhook);
    let lost: u64 = ours.map(|part| part.measured.lost).sum();
    Ok(match lost {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn measure(
    args: &SwitchArgs,
    who: Who,
    folder: &std::path::Path,
    encoded: &Arc<[u8]>,
) -> anyhow::Result<Part> {
    let sides = args.calls * 2;
    let apart = encoded.len() / sides.max(1);
    let streams = (0..sides).map(|number| Stream::open(number, apart * number, Stamps::All));
    let streams: Vec<Stream> = streams.collect::<anyhow::Result<_>>()?;
    let mut calls = Vec::new();
    for call in streams.chunks_exact(2) {
        if let [a, b] = call {
            calls.push([a.address()?, b.address()?]);
        }
    }
    let subject = tokio::task::block_in_place(|| Subject::start(who, folder, &calls))?;
    let targets = subject.targets.iter().flatten();
    for (stream, target) in streams.iter().zip(targets) {
        stream.connect(*target)?;
    }
    let begin = clock::now() + SETTLE;
    let end = begin + Duration::from_secs(args.seconds);
    let track = Arc::clone(encoded);
    let mut streams = streams;
    let load =
        tokio::task::spawn_blocking(move || load::run(&mut streams, &track, LOAD_CORE, begin, end));
    let process = subject.id();
    let used = |at: Instant| async move {
        tokio::time::sleep_until(at.into()).await;
        let (process, idle) = (process_seconds(process)?, idle_seconds(SUBJECT_CORE)?);
        Ok::<_, anyhow::Error>((clock::now(), process, idle))
    };
    let (from, process_from, idle_from) = used(begin).await?;
    let (until, process_until, idle_until) = used(end).await?;
    let elapsed = until.duration_since(from).as_secs_f64();
    let grown_kib = subject.grown_kib()?;
    Ok(Part {
        grown_kib,
        who,
        process: (process_until - process_from) / elapsed,
        core: 1.0 - (idle_until - idle_from) / elapsed,
        measured: load.await??,
    })
}

/// What both measurements of one relay came to.
struct Figures {
    who: Who,
    process: f64,
    core: f64,
    kib_per_call: f64,
    /// How far the two were apart, as a share of their mean.
    spread: f64,
    sent: u64,
    /// Packets that came out at the other side.
    relayed: u64,
    lost: u64,
    jitter_ms: Ranks,
    added_ms: Ranks,
}

impl Figures {
    fn of(who: Who, parts: &[Part], calls: usize) -> Self {
        let parts: Vec<&Part> = parts.iter().filter(|part| part.who == who).collect();
        let count = parts.len().max(1) as f64;
        let mean =
            |value: fn(&Part) -> f64| parts.iter().map(|part| value(part)).sum::<f64>() / count;
        let process = mean(|part| part.process);
        let of_process = parts.iter().map(|part| part.process);
        let (least, most) = of_process.fold((f64::MAX, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        let all = |list: fn(&Measured) -> &Vec<f64>| {
            let measured = parts.iter().flat_map(|part| list(&part.measured));
            Ranks::of(&measured.copied().collect::<Vec<f64>>())
        };
        Self {
            who,
            process,
            core: mean(|part| part.core),
            kib_per_call: mean(|part| part.grown_kib as f64)
                / calls.saturating_sub(1).max(1) as f64,
            spread: (most - least) / process.max(1e-9),
            sent: parts.iter().map(|part| part.measured.sent).sum(),
            relayed: parts.iter().map(|part| part.measured.received).sum(),
            lost: parts.iter().map(|part| part.measured.lost).sum(),
            jitter_ms: all(|measured| &measured.jitter_ms),
            added_ms: all(|measured| &measured.delay_ms),
        }
    }

    fn json(&self, calls: f64, ours: &Self) -> Value {
        json!({
            "name": self.who.name(),
            "core_percent_per_call": round(self.process * 100.0 / calls),
            "core_busy": round(self.core),
            "spread": round(self.spread),
            "kib_per_call": round(self.kib_per_call),
            "ours_to_it": round(ours.process / self.process.max(1e-9)),
            "ours_to_it_by_core": round(ours.core / self.core.max(1e-9)),
            "packets_sent_to_it": self.sent,
            "packets_relayed": self.relayed,
            "packets_lost": self.lost,
            "send_jitter_ms": self.jitter_ms.json(),
            "added_latency_ms": self.added_ms.json(),
        })
    }

    fn say(&self, calls: f64, ours: &Self) {
        let (jitter, added) = (self.jitter_ms, self.added_ms);
        crate::cli::say(format_args!(
            "{:22} {:.4} % of a core a call (±{:.0} %), core {:.1} % busy, ours {:.2} times that \
             ({:.2} by the core), {:.1} KiB a call, relayed {} of {}, lost {}, jitter p50 {:.3} p99 {:.3} \
             p99.9 {:.3} ms, added p50 {:.3} p99 {:.3} ms",
            self.who.name(),
            self.process * 100.0 / calls,
            self.spread * 50.0,
            self.core * 100.0,
            ours.process / self.process.max(1e-9),
            ours.core / self.core.max(1e-9),
            self.kib_per_call,
            self.relayed,
            self.sent,
            self.lost,
            jitter.p50,
            jitter.p99,
            jitter.p999,
            added.p50,
            added.p99,
        ));
    }
}

fn report(args: &SwitchArgs, parts: &[Part]) {
    let calls = args.calls.max(1) as f64;
    let figures = Who::installed()
        .into_iter()
        .map(|who| Figures::of(who, parts, args.calls));
    let figures: Vec<Figures> = figures.collect();
    let Some(ours) = figures.iter().find(|figures| figures.who == Who::Offhook) else {
        return;
    };
    if args.json {
        let relays: Vec<Value> = figures.iter().map(|of| of.json(calls, ours)).collect();
        return crate::cli::say(json!({
            "bench": "switch --relay", "calls": args.calls, "seconds": args.seconds,
            "relays": relays,
        }));
    }
    crate::cli::say(format_args!(
        "{} calls between two sides each, {} s a measurement, two of each",
        args.calls, args.seconds
    ));
    figures.iter().for_each(|of| of.say(calls, ours));
}
