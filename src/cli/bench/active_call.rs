//! active-call, where it is installed, beside the switch: it answers the same calls by SIP, decodes
//! what comes, runs Silero on all of it and plays a file to the caller for as long as the call
//! lasts. It hears with no recogniser, speaks with no voice and asks no language model: what a call
//! costs before any of those.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cpu::{LOAD_CORE, SUBJECT_CORE};
use super::figures::round;
use super::process::{Running, free_tcp_port, free_udp_port, on_path, pinned, resident_kib};
use super::subject::phone;
use super::switch::{Part, SETTLE, SwitchArgs, dial_all, measure, part};

/// The program.
const PROGRAM: &str = "active-call";
/// How long it may take to start.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long each call may take to be placed, in the file that is played to all of them.
const PLACED_WITHIN: Duration = Duration::from_millis(20);
/// What is played after the measurement, so that nothing ends within it.
const SPARE: Duration = Duration::from_secs(10);
/// Samples a second of the file: as active-call mixes, so that it need not convert.
const RATE_HZ: u32 = 16_000;

/// What came of the calls that active-call took.
pub(super) struct Beside {
    pub(super) part: Part,
    pub(super) failed: usize,
    /// What its memory grew by with the calls, in KiB.
    pub(super) grown_kib: u64,
}

/// Whether it can be measured here.
pub(super) fn installed() -> bool {
    on_path(PROGRAM)
}

/// Measures it under the load of the switch.
pub(super) async fn measure_beside(
    args: &SwitchArgs,
    track: &[i16],
    encoded: &Arc<[u8]>,
) -> anyhow::Result<Beside> {
    let home = tempfile::tempdir()?;
    let seconds = args.floor_seconds();
    let lasts = SETTLE + Duration::from_secs(seconds) + SPARE + PLACED_WITHIN * args.calls as u32;
    write_sound(&home.path().join("sound.wav"), track, lasts)?;
    let (sip, http) = (free_udp_port()?, free_tcp_port()?);
    write_files(home.path(), sip, http)?;
    let mut command = pinned(PROGRAM, SUBJECT_CORE);
    command
        .args(["--conf", "active-call.toml"])
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(home.path().join("log"))?);
    let mut running = Running::start(command, PROGRAM)?;
    let there = || async move {
        let connected = tokio::net::TcpStream::connect(("127.0.0.1", http)).await;
        connected.is_ok()
    };
    running.wait_until(READY_WITHIN, there).await?;
    let phone = phone(Some(LOAD_CORE)).await?;
    let uri = format!("sip:bench@127.0.0.1:{sip}");
    let before_kib = resident_kib(running.id())?;
    let calls = dial_all(args, &phone, &uri, encoded).await?;
    let (part, _) = measure(seconds, calls.streams, encoded, running.id()).await?;
    let grown_kib = resident_kib(running.id())?.saturating_sub(before_kib);
    Ok(Beside {
        part,
        failed: calls.failed,
        grown_kib,
    })
}

/// What both measurements came to, and the switch's share of a core beside theirs; nothing without
/// any.
pub(super) fn json(beside: &[Beside], ours: f64, calls: f64) -> Value {
    let Some(busy) = busy(beside) else {
        return Value::Null;
    };
    let parts = beside.iter().map(|beside| {
        json!({
            "failed_calls": beside.failed, "kib_per_call": round(beside.grown_kib as f64 / calls),
            "measured": part(&beside.part, calls),
        })
    });
    json!({
        "core_percent_per_call": round(busy * 100.0 / calls),
        "ours_to_it": round(ours / busy.max(1e-9)),
        "parts": parts.collect::<Vec<Value>>(),
    })
}

/// Says the same.
pub(super) fn say(beside: &[Beside], ours: f64, calls: f64) {
    let Some(busy) = busy(beside) else {
        return;
    };
    for beside in beside {
        let measured = &beside.part.measured;
        crate::cli::say(format_args!(
            "{PROGRAM}: {:.3} % of a core a call, {:.0} KiB a call, {} packets came for {} sent, {} lost, \
             {} calls failed",
            beside.part.busy * 100.0 / calls,
            beside.grown_kib as f64 / calls,
            measured.received,
            measured.sent,
            measured.lost,
            beside.failed,
        ));
    }
    crate::cli::say(format_args!(
        "ours is {:.2} times {PROGRAM}",
        ours / busy.max(1e-9)
    ));
}

/// The mean share of a core.
fn busy(beside: &[Beside]) -> Option<f64> {
    let sum: f64 = beside.iter().map(|beside| beside.part.busy).sum();
    (!beside.is_empty()).then(|| sum / beside.len() as f64)
}

/// Writes the sound that it plays: the track over and over, for so long.
fn write_sound(path: &Path, track: &[i16], lasts: Duration) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec)?;
    let samples = (lasts.as_secs_f64() * f64::from(RATE_HZ)) as usize;
    // Each sample twice is crude, and costs whoever plays it no less.
    let doubled = track.iter().flat_map(|sample| [*sample; 2]).cycle();
    for sample in doubled.take(samples) {
        file.write_sample(sample)?;
    }
    Ok(file.finalize()?)
}

/// Writes its configuration, and the playbook that answers: voice detection on, no recognition, a
/// scene that plays the file. A playbook must name a language model; none is asked, for the greeting
/// is given and nothing is recognised.
fn write_files(home: &Path, sip: u16, http: u16) -> anyhow::Result<()> {
    let playbooks = home.join("config/playbook");
    std::fs::create_dir_all(&playbooks)?;
    std::fs::write(
        home.join("active-call.toml"),
        format!(
            r#"addr = "127.0.0.1"
udp_port = {sip}
http_addr = "127.0.0.1:{http}"
log_level = "error"
external_ip = "127.0.0.1"
rtp_bind_ip = "127.0.0.1"
rtp_start_port = 40000
rtp_end_port = 59998
codecs = ["pcmu"]

[handler]
type = "playbook"
default = "bench.md"
"#
        ),
    )?;
    let sound = home.join("sound.wav");
    std::fs::write(
        playbooks.join("bench.md"),
        format!(
            r#"---
vad:
  type: silero
llm:
  provider: openai
  model: none
  baseUrl: "http://127.0.0.1:9"
  greeting: " "
interruption:
  strategy: none
---

# Scene: main
<play file="{}" />
You are measured.
"#,
            sound.display()
        ),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sound_lasts_as_long_as_it_is_to_and_repeats_the_track_at_its_own_speed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sound.wav");
        write_sound(&path, &[1, 2, 3], Duration::from_millis(1)).unwrap();
        let mut file = hound::WavReader::open(&path).unwrap();
        assert_eq!(file.spec().sample_rate, 2 * 8_000);
        let samples: Vec<i16> = file.samples().map(Result::unwrap).collect();
        assert_eq!(samples, [1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3, 1, 1, 2, 2]);
    }
}
