//! `offhook bench barge-in`: whether the agent gives way to whoever interrupts it, and to nothing
//! else. Calls bring noise, music, a listener's "mm-hm" and the agent's own echo into its greeting,
//! and words that are meant for it.

mod line;
mod sounds;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::line::{Seen, ear, follow};
use self::sounds::{Kind, Trial, trials};
use super::caller::call;
use super::figures::Summary;
use super::progress::Progress;
use super::subject::{LONG_TALK, Options, Subject, start};
use crate::phone::Phone;

/// Silence that shows that the agent has paused: longer than between two words.
const PAUSED: Duration = Duration::from_millis(240);
/// Who is silent for so long at the call's end has not gone on.
const SILENT: Duration = Duration::from_millis(1_500);
/// What the agent's standing still has to do with a sound begins so soon after it.
const SOON: Duration = Duration::from_millis(3_500);

/// Measures whether the agent gives way when it should.
#[derive(Debug, Args)]
pub(in crate::cli) struct BargeInArgs {
    /// Simultaneous calls
    #[arg(long, default_value_t = 3)]
    calls: usize,
    /// A folder of WAV files of sounds that are meant for nobody, to be tried as well
    #[arg(long, value_name = "FOLDER")]
    sounds: Option<PathBuf>,
    /// Only sounds whose kind or name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Keep the switch's log (with details) and its records in this folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the figures as JSON, each sound's as well
    #[arg(long)]
    json: bool,
}

/// What came of one sound.
#[derive(Debug, serde::Serialize)]
struct Outcome {
    kind: &'static str,
    name: String,
    gave_way: bool,
    wrong: bool,
    /// From the sound's first packet to the agent's last audible one before it paused.
    paused_after_ms: Option<f64>,
    /// The agent's longest silence.
    stood_still_ms: Option<f64>,
    /// What was recognised.
    heard: Vec<String>,
}

pub(super) async fn run(args: &BargeInArgs) -> anyhow::Result<ExitCode> {
    let folder = args.sounds.clone();
    let mut trials = tokio::task::spawn_blocking(move || trials(folder.as_deref())).await??;
    if let Some(only) = &args.only {
        trials.retain(|t| t.kind.name().contains(only) || t.name.contains(only));
        anyhow::ensure!(!trials.is_empty(), "no sound is called `{only}`");
    }
    let options = Options {
        flow: LONG_TALK,
        consume: false,
        calls: args.calls,
        keep: args.keep.clone(),
        phone_core: None,
        ..Options::default()
    };
    let (subject, phone) = start(&options).await?;
    let seen = try_all(args, &subject, &phone, &trials).await;
    // A call's record is final a moment after its BYE.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut outcomes = Vec::new();
    for (number, (trial, seen)) in trials.iter().zip(seen).enumerate() {
        let turns = turns_of(&subject, number).await?;
        outcomes.push(judge(trial, &seen?, &turns));
    }
    report(args, &outcomes);
    Ok(ExitCode::SUCCESS)
}

/// Calls with each sound, some at a time.
async fn try_all(
    args: &BargeInArgs,
    subject: &Subject,
    phone: &Arc<Phone>,
    trials: &[Trial],
) -> Vec<anyhow::Result<Seen>> {
    let bar = Progress::bar(trials.len() as u64, "sounds");
    let places = Arc::new(Semaphore::new(args.calls.max(1)));
    let mut calls = Vec::new();
    for (number, trial) in trials.iter().enumerate() {
        let (phone, places) = (Arc::clone(phone), Arc::clone(&places));
        let (uri, script, bar) = (subject.uri.clone(), trial.script.clone(), bar.clone());
        calls.push(tokio::spawn(async move {
            let _place = places.acquire().await?;
            let (sink, mut packets) = ear();
            let answered = call(&phone, &uri, &user(number), sink).await?;
            let seen = follow(&answered, &mut packets, &script).await;
            let _ = phone.line.sip().hang_up(answered.call, None).await;
            bar.inc(1);
            Ok(seen)
        }));
    }
    let mut seen = Vec::new();
    for call in calls {
        seen.push(call.await.unwrap_or_else(|error| Err(error.into())));
    }
    bar.finish_and_clear();
    seen
}

fn user(number: usize) -> String {
    format!("sound-{number}")
}

/// The turns of the call that brought a sound, as the switch wrote them down.
async fn turns_of(subject: &Subject, number: usize) -> anyhow::Result<Vec<Value>> {
    let from = format!("sip:{}@127.0.0.1", user(number));
    let mut cursor = String::new();
    let id = loop {
        let list = subject
            .read(&format!("/v1/calls?limit=200{cursor}"))
            .await?;
        let mut calls = list["calls"].as_array().into_iter().flatten();
        if let Some(call) = calls.find(|call| call["from"] == from.as_str()) {
            break call["id"].as_str().unwrap_or_default().to_owned();
        }
        let Some(next) = list["next_cursor"].as_str() else {
            anyhow::bail!("the switch has no record of the call from {from}");
        };
        cursor = format!("&cursor={next}");
    };
    let call: Value = subject.read(&format!("/v1/calls/{id}")).await?;
    Ok(call["turns"].as_array().cloned().unwrap_or_default())
}

fn judge(trial: &Trial, seen: &Seen, turns: &[Value]) -> Outcome {
    // The last turn is cut off by the call's end, if by nothing before.
    let cut = |turn: &Value| turn["who"] == "agent" && turn["interrupted"] == true;
    let before_last = turns.len().saturating_sub(1);
    let gave_way = turns.iter().take(before_last).any(cut) || seen.silent_at_end(SILENT);
    let texts = turns.iter().filter(|turn| turn["who"] == "caller");
    Outcome {
        kind: trial.kind.name(),
        name: trial.name.clone(),
        gave_way,
        wrong: gave_way != trial.kind.interrupts(),
        paused_after_ms: seen.went_on_ms(PAUSED),
        stood_still_ms: seen.stood_still_ms(SOON),
        heard: texts
            .filter_map(|turn| turn["text"].as_str().map(str::to_owned))
            .collect(),
    }
}

/// What all sounds of a kind came to.
struct Row {
    kind: Kind,
    tried: usize,
    wrong: usize,
    paused_after: Option<Summary>,
    stood_still: Option<Summary>,
}

impl Row {
    fn of(kind: Kind, outcomes: &[Outcome]) -> Self {
        let of_kind = || outcomes.iter().filter(|o| o.kind == kind.name());
        let figures = |pick: fn(&Outcome) -> Option<f64>| {
            Summary::of(&of_kind().filter_map(pick).collect::<Vec<f64>>())
        };
        Self {
            kind,
            tried: of_kind().count(),
            wrong: of_kind().filter(|o| o.wrong).count(),
            paused_after: figures(|o| o.paused_after_ms),
            stood_still: figures(|o| o.stood_still_ms),
        }
    }
}

fn report(args: &BargeInArgs, outcomes: &[Outcome]) {
    let rows = Kind::ALL.map(|kind| Row::of(kind, outcomes));
    let share = |interrupts: bool| {
        let of = rows
            .iter()
            .filter(|row| row.kind.interrupts() == interrupts);
        let (wrong, tried) = of.fold((0, 0), |(w, t), row| (w + row.wrong, t + row.tried));
        (wrong, tried)
    };
    let ((false_ways, sounds), (missed, words)) = (share(false), share(true));
    if args.json {
        let kinds: BTreeMap<&str, Value> = rows
            .iter()
            .map(|row| {
                let figures = json!({
                    "tried": row.tried, "wrong": row.wrong,
                    "paused_after_ms": Summary::json(row.paused_after),
                    "stood_still_ms": Summary::json(row.stood_still),
                });
                (row.kind.name(), figures)
            })
            .collect();
        crate::cli::say(json!({
            "bench": "barge-in", "kinds": kinds,
            "gave_way_to_nobody": { "wrong": false_ways, "of": sounds },
            "did_not_give_way": { "wrong": missed, "of": words },
            "each": outcomes,
        }));
        return;
    }
    for row in rows.iter().filter(|row| row.tried > 0) {
        let (kind, wrong, tried) = (row.kind.name(), row.wrong, row.tried);
        let silence = row.stood_still.map_or_else(String::new, |s| {
            format!("longest silence p50 {:.0}, max {:.0} ms", s.p50, s.max)
        });
        let pause = row.paused_after.filter(|_| row.kind.interrupts());
        let pause = pause.map_or_else(String::new, |s| {
            format!("; paused after p50 {:.0}, max {:.0} ms", s.p50, s.max)
        });
        crate::cli::say(format_args!(
            "{kind:16} {wrong:3} wrong of {tried:3}   {silence}{pause}"
        ));
    }
    for wrong in outcomes.iter().filter(|outcome| outcome.wrong) {
        crate::cli::say(format_args!(
            "  wrong: {}, {} {:?}",
            wrong.kind, wrong.name, wrong.heard
        ));
    }
    let percent = |wrong: usize, of: usize| 100.0 * wrong as f64 / of.max(1) as f64;
    crate::cli::say(format_args!(
        "gave way to what was meant for nobody: {false_ways} of {sounds}, {:.1} %; did not give way \
         to words: {missed} of {words}, {:.1} %",
        percent(false_ways, sounds),
        percent(missed, words)
    ));
}
