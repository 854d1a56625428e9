//! `offhook bench switch`: what a call costs the switch, and how evenly it sends, beside the floor
//! of the machine, a bare C echo of the same packets, and active-call where it is installed. The load
//! comes from a core of its own.

mod report;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use offhook_media::sdp::{self, LocalMedia, Negotiated, SessionDescription};
use offhook_sip::{Invite, Transport};

use crate::cli::bench::active_call::{self, Beside};
use crate::cli::bench::capacity::{UNWRITTEN, share, track};
use crate::cli::bench::churn;
use crate::cli::bench::cpu::{LOAD_CORE, SUBJECT_CORE, idle_seconds, process_seconds};
use crate::cli::bench::cyclictest;
use crate::cli::bench::figures::Ranks;
use crate::cli::bench::graph::{Graph, Scale, Series};
use crate::cli::bench::load::{self, Measured, Stamps, Stream};
use crate::cli::bench::pressure;
use crate::cli::bench::process::{Running, pinned};
use crate::cli::bench::progress::Progress;
use crate::cli::bench::subject::{Options, start};
use crate::clock;
use crate::config::RecordingFormat;
use crate::net::sip::{PlacedCall, Signal};
use crate::observe::metrics::{CALLS_UNRECORDED, HEARING_DROPPED};
use crate::phone::{Destination, Phone};

pub(super) use report::{part, say_jitter};

/// From the load's beginning to the measurement's.
pub(super) const SETTLE: Duration = Duration::from_secs(3);
/// How long a call may take to be answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// What stands beside the switch says in so long what it has to say, however long the switch is
/// measured.
const FLOOR_SECONDS_MAX: u64 = 30;
/// The floor's first port: outside of the switch's and the phone's.
const FLOOR_PORT: u16 = 12_000;
/// One packet in so many, one a second of each call, says when it was sent.
const STAMPS: Stamps = Stamps::OneIn(50);
/// How long a probe may take to write what it has.
const PROBE_WRITES: Duration = Duration::from_millis(500);
const FLOOR: &str = include_str!("../../../../benches/floor/floor.c");

/// Measures the cost of a call beside the machine's floor.
#[derive(Debug, Args)]
pub(in crate::cli) struct SwitchArgs {
    /// Simultaneous calls
    #[arg(long, default_value_t = 100)]
    pub(super) calls: usize,
    /// How long the switch is measured; what stands beside it no longer than 30 s each time
    #[arg(long, default_value_t = 10)]
    pub(super) seconds: u64,
    /// Measure how evenly it sends before and while its models are busy, and nothing else
    #[arg(long)]
    load: bool,
    /// Measure what memory so many calls, one after the other, leave behind, and nothing else
    #[arg(long, value_name = "CALLS")]
    churn: Option<usize>,
    /// Record each call, as `wav` or `opus`
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["load", "churn", "relay"])]
    record: Option<RecordingFormat>,
    /// Draw them as an SVG file as well
    #[arg(long, value_name = "SVG")]
    graph: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Calls that only pass through, beside a bare C relay and, where installed, rtpengine and rustpbx
    #[arg(long, conflicts_with = "graph")]
    relay: bool,
}

impl SwitchArgs {
    /// How long each measurement lasts of the machine itself, and of others on it.
    pub(super) fn floor_seconds(&self) -> u64 {
        self.seconds.min(FLOOR_SECONDS_MAX)
    }
}

/// One part of a run: who was measured, and what it came to.
pub(super) struct Part {
    /// Shares of a core: the process's own time, …
    pub(super) busy: f64,
    /// … and how busy the subject's core was with all that ran there.
    pub(super) core: f64,
    pub(super) measured: Measured,
}

/// What came of the switch's part.
struct Switch {
    part: Part,
    answered: usize,
    failed: usize,
    /// What its memory grew by with the calls, in KiB.
    grown_kib: u64,
    /// From a packet's sending until its sound was handed to the listeners, in ms.
    heard_ms: Vec<f64>,
    /// Frames that its voice detection had no room for.
    unheard: f64,
    /// Frames that are not in their recordings, and calls that have none.
    unrecorded: [f64; 2],
}

impl Switch {
    /// Packets that it never sent, though it was sent as many: it stood still.
    fn left_out(&self) -> u64 {
        let Measured {
            sent,
            received,
            lost,
            ..
        } = self.part.measured;
        // At each end of the time one of a call's may lie outside of it.
        sent.saturating_sub(received + lost + self.answered as u64)
    }

    /// Whether every call was answered, and each frame heard and sent.
    fn is_clean(&self, calls: usize) -> bool {
        let all = self.failed == 0 && self.answered == calls;
        let recorded = self.unrecorded == [0.0; 2];
        let passed = self.part.measured.lost == 0 && self.left_out() == 0;
        all && passed && self.unheard == 0.0 && recorded
    }
}

/// All that a run measured.
struct Run {
    speech_share: f64,
    /// How late the machine itself wakes a thread, where cyclictest can tell.
    wake_up: Option<Ranks>,
    switch: Switch,
    /// The floor, before and after.
    floor: [Part; 2],
    /// active-call, before and after, where it is installed.
    beside: Vec<Beside>,
}

pub(super) async fn run(args: &SwitchArgs) -> anyhow::Result<ExitCode> {
    if args.relay {
        return crate::cli::bench::relay::run(args).await;
    }
    if let Some(calls) = args.churn {
        return churn::run(calls, args.json).await;
    }
    if args.load {
        return pressure::run(args).await;
    }
    let track = track()?;
    let speech_share = share(&track);
    let encoded = load::encode(&track);
    let folder = tempfile::tempdir()?;
    let floor = Floor::compile(folder.path())?;
    // The floor comes before and after: what the machine does meanwhile shows in the difference.
    let before = floor.measure(args, &encoded).await?;
    let mut beside = Vec::new();
    let peer = active_call::installed();
    if peer {
        beside.push(active_call::measure_beside(args, &track, &encoded).await?);
    }
    let switch = measure_switch(args, &track, &encoded).await?;
    if peer {
        beside.push(active_call::measure_beside(args, &track, &encoded).await?);
    }
    let after = floor.measure(args, &encoded).await?;
    let time = Duration::from_secs(args.floor_seconds());
    let wake_up =
        tokio::task::spawn_blocking(move || cyclictest::measure(SUBJECT_CORE, time)).await?;
    let run = Run {
        speech_share,
        wake_up,
        switch,
        floor: [before, after],
        beside,
    };
    report::report(args, &run);
    if let Some(path) = &args.graph {
        let [floor, _] = &run.floor;
        let named = [
            ("switch", &run.switch.part),
            ("floor, a bare C echo", floor),
        ];
        let series =
            named.map(|(name, part)| Series::distribution(name, part.measured.jitter_ms.clone()));
        let graph = Graph {
            title: format!("How evenly {} calls are sent", args.calls),
            x: "distance from the 20 ms grid, ms",
            y: "share of packets, %",
            scale: Scale::Logarithmic,
            series: series.into(),
        };
        graph.write(path)?;
    }
    Ok(if run.switch.is_clean(args.calls) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn measure_switch(
    args: &SwitchArgs,
    track: &Arc<[i16]>,
    encoded: &Arc<[u8]>,
) -> anyhow::Result<Switch> {
    let options = Options {
        core: Some(SUBJECT_CORE),
        calls: args.calls + 1,
        record: args.record,
        probe: true,
        warm_up: Some(Arc::clone(track)),
        ..Options::default()
    };
    let (subject, phone) = start(&options).await?;
    let resident_kib = subject.resident_kib()?;
    let calls = dial_all(args, &phone, &subject.uri, encoded).await?;
    let answered = calls.streams.len();
    let begin = clock::since_1970() + SETTLE;
    let unheard_before = async {
        tokio::time::sleep(SETTLE).await;
        subject.metric(HEARING_DROPPED).await
    };
    let measured = measure(args.seconds, calls.streams, encoded, subject.id());
    let (measured, unheard_before) = tokio::join!(measured, unheard_before);
    let (part, _) = measured?;
    tokio::time::sleep(PROBE_WRITES).await;
    let end = begin + Duration::from_secs(args.seconds);
    let heard_ms = subject.heard_after_ms(begin, end)?;
    let unheard = subject.metric(HEARING_DROPPED).await? - unheard_before?;
    let grown_kib = subject.resident_kib()?.saturating_sub(resident_kib);
    let unrecorded = [
        subject.metric(UNWRITTEN).await?,
        subject.metric(CALLS_UNRECORDED).await?,
    ];
    for placed in &calls.placed {
        let _ = phone.line.sip().hang_up(placed.call, None).await;
    }
    Ok(Switch {
        part,
        answered,
        failed: calls.failed,
        grown_kib,
        heard_ms,
        unheard,
        unrecorded,
    })
}

/// Calls in progress, each with its stream.
pub(super) struct Calls {
    pub(super) streams: Vec<Stream>,
    pub(super) placed: Vec<PlacedCall>,
    pub(super) failed: usize,
}

/// Places the calls, one after the other.
pub(super) async fn dial_all(
    args: &SwitchArgs,
    phone: &Phone,
    uri: &str,
    encoded: &[u8],
) -> anyhow::Result<Calls> {
    let destination = Destination::resolve(uri).await?;
    let mut calls = Calls {
        streams: Vec::new(),
        placed: Vec::new(),
        failed: 0,
    };
    for stream in open(args, encoded)? {
        match dial(phone, &destination, &stream).await {
            Ok(placed) => {
                calls.placed.push(placed);
                calls.streams.push(stream);
            }
            Err(error) => {
                tracing::warn!("a call was not answered: {error:#}");
                calls.failed += 1;
            }
        }
    }
    Ok(calls)
}

/// Opens the streams, each at another place of the track.
fn open(args: &SwitchArgs, encoded: &[u8]) -> anyhow::Result<Vec<Stream>> {
    let apart = encoded.len() / args.calls.max(1);
    let streams = (0..args.calls).map(|number| Stream::open(number, apart * number, STAMPS));
    streams.collect()
}

/// Calls for a stream, and connects it to where the answer says.
pub(super) async fn dial(
    phone: &Phone,
    destination: &Destination,
    stream: &Stream,
) -> anyhow::Result<PlacedCall> {
    let target = *destination.targets.first().context("no address")?;
    let sip = phone.line.sip();
    let flow = sip.flow_to(target, Transport::Udp)?;
    let ours = sdp::offer(&LocalMedia::new(stream.address()?, 1));
    let mut placed = sip
        .invite(Invite {
            request_uri: destination.uri.clone(),
            to: destination.uri.clone(),
            from: "sip:load@127.0.0.1".to_owned(),
            route: Vec::new(),
            flow,
            stream: None,
            credentials: None,
            body: ours.to_string().into_bytes(),
            content_type: "application/sdp".to_owned(),
            headers: Vec::new(),
        })
        .await?;
    let answer = tokio::time::timeout(PATIENCE, answer(&mut placed)).await??;
    let theirs = SessionDescription::parse(&answer)?;
    stream.connect(Negotiated::from_answer(&ours, &theirs)?.remote)?;
    Ok(placed)
}

pub(super) async fn answer(placed: &mut PlacedCall) -> anyhow::Result<Vec<u8>> {
    loop {
        match placed.signals.recv().await.context("the call is gone")? {
            Signal::Answered { body } => return body.context("the answer describes no media"),
            Signal::Rejected { status, .. } => anyhow::bail!("it was refused with {status}"),
            Signal::Ended { .. } => anyhow::bail!("it ended"),
            _ => {}
        }
    }
}

/// Loads whoever is at the other end of the streams, and takes its CPU time meanwhile.
pub(super) async fn measure(
    seconds: u64,
    mut streams: Vec<Stream>,
    encoded: &Arc<[u8]>,
    process: u32,
) -> anyhow::Result<(Part, Vec<Stream>)> {
    let begin = clock::now() + SETTLE;
    let end = begin + Duration::from_secs(seconds);
    let track = Arc::clone(encoded);
    let load = tokio::task::spawn_blocking(move || {
        let measured = load::run(&mut streams, &track, LOAD_CORE, begin, end);
        measured.map(|measured| (measured, streams))
    });
    let used = |at: Instant| async move {
        tokio::time::sleep_until(at.into()).await;
        let (process, idle) = (process_seconds(process)?, idle_seconds(SUBJECT_CORE)?);
        Ok::<_, anyhow::Error>((clock::now(), process, idle))
    };
    let (from, process_from, idle_from) = used(begin).await?;
    let progress = Progress::over(seconds);
    let (until, process_until, idle_until) = used(end).await?;
    drop(progress);
    let elapsed = until.duration_since(from).as_secs_f64();
    let (measured, streams) = load.await??;
    let part = Part {
        busy: (process_until - process_from) / elapsed,
        core: 1.0 - (idle_until - idle_from) / elapsed,
        measured,
    };
    Ok((part, streams))
}

/// Compiles a C program into a folder.
pub(super) fn compile(folder: &Path, name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let (written, program) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&written, source)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-o"]).arg(&program).arg(&written);
    let compiled = compiler.status();
    let compiled = compiled.with_context(|| format!("cannot run cc, which compiles {name}"))?;
    anyhow::ensure!(compiled.success(), "cc does not compile {name}");
    Ok(program)
}

/// The bare echo, compiled.
struct Floor(PathBuf);

impl Floor {
    fn compile(folder: &Path) -> anyhow::Result<Self> {
        compile(folder, "floor", FLOOR).map(Self)
    }

    async fn measure(&self, args: &SwitchArgs, encoded: &Arc<[u8]>) -> anyhow::Result<Part> {
        let mut command = pinned(&self.0, SUBJECT_CORE);
        command
            .args([FLOOR_PORT.to_string(), args.calls.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut running = Running::start(command, "the floor")?;
        let mut said = running
            .child()
            .stdout
            .take()
            .context("the floor says nothing")?;
        // It says so when its sockets are bound.
        std::io::Read::read_exact(&mut said, &mut [0; 5]).context("the floor ended")?;
        let streams = open(args, encoded)?;
        for (number, stream) in streams.iter().enumerate() {
            let port = FLOOR_PORT + 2 * u16::try_from(number)?;
            stream.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        }
        let (part, _) = measure(args.floor_seconds(), streams, encoded, running.id()).await?;
        Ok(part)
    }
}
