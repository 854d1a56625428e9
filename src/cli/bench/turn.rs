//! `offhook bench turn`: how long a caller waits for an answer, and how long the agent talks on
//! when interrupted; from the caller's packets and waveform.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use offhook_models::Runtime;
use offhook_models::voice::{Voice, VoiceOptions};
use serde_json::{Value, json};

use super::caller::{BenchCaller, trim};
use super::figures::Summary;
use super::graph::{Graph, Scale, Series};
use super::subject::{LONG_TALK, Options, Subject, start};
use crate::config::{Config, Env, RecordingFormat};
use crate::phone::Phone;

/// What the caller says, in turn.
const LINES: [&str; 5] = [
    "I would like to know more about your prices.",
    "My printer stopped working this morning.",
    "Please send me an offer for ten telephones.",
    "We are moving to a new office next month.",
    "I want to change the address on my account.",
];
/// Said into the greeting.
const INTERRUPTION: &str = "Excuse me, I have a question about my last bill.";
/// How far into the agent's speech the caller interrupts, at the earliest.
const INTERRUPT_AFTER: Duration = Duration::from_millis(1500);
/// Audible speech before an interruption: one that falls into a pause measures nothing.
const AMID: Duration = Duration::from_millis(100);
/// Silence that ends the agent's turn for the caller; longer than any pause between clauses.
const PAUSE: Duration = Duration::from_millis(900);
/// Silence that shows that the agent has given way.
const GAVE_WAY: Duration = Duration::from_millis(350);

/// Measures turns.
#[derive(Debug, Args)]
pub(in crate::cli) struct TurnArgs {
    /// Simultaneous calls
    #[arg(long, default_value_t = 1)]
    calls: usize,
    /// Turns of each call; in every other one the caller interrupts the agent
    #[arg(long, default_value_t = 20)]
    turns: usize,
    /// Draw them as an SVG file as well
    #[arg(long, value_name = "SVG")]
    graph: Option<PathBuf>,
    /// Keep the switch's log (with details), its records and its recordings in this folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the figures as JSON, each turn's as well
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Measured {
    voice_to_voice_ms: Vec<f64>,
    barge_in_ms: Vec<f64>,
    turns: Vec<TurnFigures>,
}

/// What one turn came to.
#[derive(serde::Serialize)]
struct TurnFigures {
    /// From the answer to the caller's first word, in seconds.
    began_s: f64,
    voice_to_voice_ms: f64,
    /// In the turns in which the caller interrupted the agent.
    barge_in_ms: Option<f64>,
}

pub(super) async fn run(args: &TurnArgs) -> anyhow::Result<ExitCode> {
    let lines = tokio::task::spawn_blocking(synthesise).await??;
    let options = Options {
        flow: LONG_TALK,
        consume: false,
        calls: args.calls,
        record: args.keep.as_ref().map(|_| RecordingFormat::Wav),
        keep: args.keep.clone(),
        phone_core: None,
        ..Options::default()
    };
    let (subject, phone) = start(&options).await?;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..args.calls {
        let (phone, lines, uri) = (Arc::clone(&phone), lines.clone(), subject.uri.clone());
        let turns = args.turns;
        calls.spawn(async move {
            // Calls do not all speak in the same moment.
            tokio::time::sleep(Duration::from_millis(370 * number as u64)).await;
            converse(phone, &uri, &lines, turns).await
        });
    }
    let mut all = Measured::default();
    let mut failed = Vec::new();
    while let Some(call) = calls.join_next().await {
        match call? {
            Ok(measured) => {
                all.voice_to_voice_ms.extend(measured.voice_to_voice_ms);
                all.barge_in_ms.extend(measured.barge_in_ms);
                all.turns.extend(measured.turns);
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    let own = own_figures(&subject).await?;
    report(args, &all, &own, &failed);
    if let Some(path) = &args.graph {
        let graph = Graph {
            title: format!("How long a caller waits: {} calls", args.calls),
            x: "ms",
            y: "share of turns, %",
            scale: Scale::Linear,
            series: vec![
                Series::distribution("voice to voice", all.voice_to_voice_ms),
                Series::distribution("barge-in", all.barge_in_ms),
            ],
        };
        graph.write(path)?;
    }
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Has the caller's lines spoken by the on-box voice: first the interruption.
fn synthesise() -> anyhow::Result<Vec<Arc<[i16]>>> {
    let config = Config::demo(&Env::process())?;
    let runtime = Runtime::load(&config.models.dir)?;
    let options = VoiceOptions {
        deterministic: true,
        ..VoiceOptions::default()
    };
    let voice = Voice::load(&runtime, &config.models.dir, &config.models.voice, options)?;
    let texts = std::iter::once(INTERRUPTION).chain(LINES);
    texts.map(|text| Ok(trim(&voice.say(text)?))).collect()
}

async fn converse(
    phone: Arc<Phone>,
    uri: &str,
    lines: &[Arc<[i16]>],
    turns: usize,
) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    let mut caller = BenchCaller::dial(phone, uri).await?;
    let answered = crate::clock::now();
    let mut agent_spoke = caller.heard_after(answered).await?;
    for (number, line) in lines.iter().cycle().take(turns).enumerate() {
        // Every other line is said while the agent speaks, the rest once it has finished.
        let interrupts = number % 2 == 0;
        if interrupts {
            caller
                .amid_speech(agent_spoke + INTERRUPT_AFTER, AMID)
                .await?;
        } else {
            caller.silent_for(PAUSE).await?;
        }
        let utterance = caller.speak(line);
        let from = caller.spoken_from(utterance).await?;
        let mut barge_in_ms = None;
        if interrupts {
            let last = caller.last_audible_before_pause(from, GAVE_WAY).await?;
            barge_in_ms = Some(ms(last.saturating_duration_since(from)));
        }
        let until = caller.spoken_until(utterance).await?;
        agent_spoke = caller.heard_after(until).await?;
        let voice_to_voice_ms = ms(agent_spoke.saturating_duration_since(until));
        measured.barge_in_ms.extend(barge_in_ms);
        measured.voice_to_voice_ms.push(voice_to_voice_ms);
        measured.turns.push(TurnFigures {
            began_s: from.saturating_duration_since(answered).as_secs_f64(),
            voice_to_voice_ms,
            barge_in_ms,
        });
    }
    caller.hang_up().await;
    Ok(measured)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// What the switch itself wrote down, to be held against the wire.
async fn own_figures(subject: &Subject) -> anyhow::Result<Vec<f64>> {
    // A call's record is final a moment after its BYE.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut figures = Vec::new();
    let list = subject.read("/v1/calls?limit=200").await?;
    for call in list["calls"].as_array().into_iter().flatten() {
        let id = call["id"].as_str().unwrap_or_default();
        let call: Value = subject.read(&format!("/v1/calls/{id}")).await?;
        for turn in call["turns"].as_array().into_iter().flatten() {
            figures.extend(
                turn["latency"]["voice_to_voice_ms"]
                    .as_f64()
                    .filter(|_| turn["who"] == "agent"),
            );
        }
    }
    Ok(figures)
}

fn report(args: &TurnArgs, all: &Measured, own: &[f64], failed: &[String]) {
    let wire = Summary::of(&all.voice_to_voice_ms);
    let barge_in = Summary::of(&all.barge_in_ms);
    let own = Summary::of(own);
    let difference = wire.zip(own).map(|(wire, own)| (wire.p50 - own.p50).abs());
    if args.json {
        crate::cli::say(json!({
            "bench": "turn", "calls": args.calls, "turns": args.turns,
            "voice_to_voice_ms": Summary::json(wire), "barge_in_ms": Summary::json(barge_in),
            "own_voice_to_voice_ms": Summary::json(own), "p50_difference_ms": difference,
            "each_turn": all.turns, "failed": failed,
        }));
        return;
    }
    crate::cli::say(Summary::line("voice to voice", wire));
    crate::cli::say(Summary::line("barge-in", barge_in));
    crate::cli::say(Summary::line("as the switch says", own));
    for failure in failed {
        crate::cli::say(format_args!("a call failed: {failure}"));
    }
}
