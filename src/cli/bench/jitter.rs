//! `offhook bench jitter`: the jitter buffer over traces, offline and in virtual time.

mod link;
mod score;
mod subject;
mod trace;
mod voice;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::graph::{Graph, Scale, Series};
use crate::clock;
use score::{Score, score};
use subject::Ours;
use trace::{RECIPES, Trace};

/// Measures the jitter buffer.
#[derive(Debug, Args)]
pub(in crate::cli) struct JitterArgs {
    /// Traces: names of ours, recipes, or files with a packet's two times in ms on each line;
    /// all of ours when left out
    #[arg(value_name = "TRACE")]
    traces: Vec<String>,
    /// How much the playout takes at once, in ms
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(10..=20))]
    step_ms: u64,
    /// The least delay to aim at, in ms
    #[arg(long, default_value_t = 0)]
    min_ms: u32,
    /// The greatest, in ms
    #[arg(long, default_value_t = 200)]
    max_ms: u32,
    /// What is said, as a WAV file; a made-up voice when left out
    #[arg(long, value_name = "WAV")]
    voice: Option<PathBuf>,
    /// Draw them as an SVG file as well
    #[arg(long, value_name = "SVG")]
    graph: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &JitterArgs) -> anyhow::Result<ExitCode> {
    let voice = match &args.voice {
        Some(path) => crate::cli::wav::read(path)?.at_rate(8_000),
        None => voice::voice(),
    };
    let names: Vec<&str> = if args.traces.is_empty() {
        RECIPES.iter().map(|(name, _)| *name).collect()
    } else {
        args.traces.iter().map(String::as_str).collect()
    };
    if !args.json {
        crate::cli::say(HEAD);
    }
    let mut rows = Vec::new();
    let mut curves = Vec::new();
    for name in names {
        let trace = find(name)?;
        let score = measure(args, &trace, &voice, args.min_ms);
        if args.graph.is_some() {
            curves.push(curve(args, &trace, &voice));
        }
        if args.json {
            rows.push(row(&trace, &score));
        } else {
            crate::cli::say(line(&trace, &score));
        }
    }
    if args.json {
        crate::cli::say(json!({ "step_ms": args.step_ms, "traces": rows }));
    }
    if let Some(path) = &args.graph {
        let graph = Graph {
            title: "What waiting buys: the least delay raised from 0 to 120 ms".to_owned(),
            x: "mean delay, ms",
            y: "sound that is not as it was sent, %",
            scale: Scale::Linear,
            series: curves,
        };
        graph.write(path)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &JitterArgs, trace: &Trace, voice: &[i16], min_ms: u32) -> Score {
    let start = clock::now();
    let bounds_ms = (min_ms, args.max_ms.max(min_ms));
    score(trace, voice, args.step_ms, || Ours::new(start, bounds_ms))
}

/// What share of the sound is made up or stretched, by how long packets are made to wait.
fn curve(args: &JitterArgs, trace: &Trace, voice: &[i16]) -> Series {
    let scores = (0..=120)
        .step_by(10)
        .map(|min_ms| measure(args, trace, voice, min_ms));
    let points = scores.map(|score| (score.delay_ms, score.disturbed() * 100.0));
    Series {
        name: trace.name.clone(),
        points: points.collect(),
    }
}

fn find(name: &str) -> anyhow::Result<Trace> {
    if let Some((_, text)) = RECIPES.iter().find(|(known, _)| *known == name) {
        return Trace::read(name, text);
    }
    let path = Path::new(name);
    let text = std::fs::read_to_string(path).with_context(|| {
        let known: Vec<&str> = RECIPES.iter().map(|(name, _)| *name).collect();
        format!(
            "`{name}` is no file and none of ours ({})",
            known.join(", ")
        )
    })?;
    let stem = path
        .file_stem()
        .map_or(name.into(), |stem| stem.to_string_lossy());
    Trace::read(&stem, &text).with_context(|| format!("cannot read the trace {name}"))
}

const HEAD: &str = "\
trace          packets   lost |  delay    p95  heard | concealed faster  slower    late | price
                            % |     ms     ms     ms |         %      %       %       % |    ms";

fn line(trace: &Trace, score: &Score) -> String {
    let percent = |share: f64| share * 100.0;
    format!(
        "{:14} {:7} {:6.2} | {:6.1} {:6.1} {:6.1} | {:9.2} {:6.2} {:7.2} {:7.2} | {:5.1}",
        trace.name,
        trace.packets.len(),
        percent(trace.lost_share()),
        score.delay_ms,
        score.delay_p95_ms,
        score.heard_ms,
        percent(score.concealed),
        percent(score.accelerated),
        percent(score.expanded),
        percent(score.late),
        score.price_ms(),
    )
}

fn row(trace: &Trace, score: &Score) -> Value {
    let ms = |ms: f64| (ms * 100.0).round() / 100.0;
    let share = |share: f64| (share * 1e5).round() / 1e5;
    json!({
        "trace": trace.name, "packets": trace.packets.len(), "lost": share(trace.lost_share()),
        "delay_ms": { "mean": ms(score.delay_ms), "p95": ms(score.delay_p95_ms) },
        "heard_ms": ms(score.heard_ms), "concealed": share(score.concealed),
        "accelerated": share(score.accelerated), "expanded": share(score.expanded),
        "late": share(score.late), "unreal": share(score.unreal()),
        "disturbed": share(score.disturbed()), "price_ms": ms(score.price_ms()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(name: &str) -> (Trace, Score) {
        let trace = find(name).unwrap();
        let start = clock::now();
        let scored = score(&trace, &voice::voice(), 20, || Ours::new(start, (0, 200)));
        (trace, scored)
    }

    #[test]
    fn a_clean_path_costs_the_listeners_nothing_and_the_playout_its_own_step() {
        let (_, score) = measure("clean");
        assert_eq!(
            (score.heard_ms, score.unreal(), score.accelerated),
            (0.0, 0.0, 0.0)
        );
        // The playout takes 20 ms at once, and packets come anywhere in between.
        assert!((9.0..=11.0).contains(&score.delay_ms), "{score:?}");
    }

    #[test]
    fn loss_is_concealed_and_hardly_anything_else() {
        let (trace, score) = measure("gilbert-10");
        let beyond = score.unreal() - trace.lost_share();
        assert!((-0.001..0.004).contains(&beyond), "{score:?}");
        assert!(score.delay_ms < 35.0, "{score:?}");
    }

    #[test]
    fn an_unknown_trace_is_answered_with_those_that_there_are() {
        let error = format!("{:#}", find("wify").unwrap_err());
        assert!(
            error.contains("`wify`") && error.contains("wifi, lte-handover"),
            "{error}"
        );
    }
}
