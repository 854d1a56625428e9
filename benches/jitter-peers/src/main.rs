//! Jitter buffers side by side over the same traces: Offhook's, the `neteq` crate's, and the
//! algorithm that baresip documents.
//!
//!     cd benches/jitter-peers && cargo run --release [-- --json]
//!
//! A peer's figures are those of its own settings. Offhook's are given by its own settings too, and
//! *at equal concealment*: its bounds on the delay are moved until no more of what it plays is made
//! up or played twice than with the peer; then until no more is disturbed, which counts what is left
//! out as well. The *price* is delay and disturbance in one figure, in milliseconds.

#[path = "../../../src/cli/bench/jitter/link.rs"]
mod link;
#[path = "../../../src/cli/bench/jitter/score.rs"]
mod score;
#[path = "../../../src/cli/bench/jitter/subject.rs"]
mod subject;
#[path = "../../../src/cli/bench/jitter/trace.rs"]
mod trace;

mod baresip;
mod neteq;

use std::time::Instant;

use baresip::{Baresip, Kind};
use score::{Score, score};
use serde_json::json;
use subject::Ours;
use trace::{RECIPES, Trace};

/// The `neteq` crate plays steps of 10 ms, so all do.
const STEP_MS: u64 = 10;
const VOICE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/corpora/speech/jfk.wav"
);

fn main() -> anyhow::Result<()> {
    let as_json = std::env::args().any(|arg| arg == "--json");
    let voice = voice()?;
    let mut rows = Vec::new();
    for (name, text) in RECIPES {
        let trace = Trace::read(name, text)?;
        let row = compare(&trace, &voice);
        if !as_json {
            print(&trace, &row);
        }
        rows.push(row);
    }
    if as_json {
        println!("{}", json!({ "step_ms": STEP_MS, "traces": rows }));
    }
    Ok(())
}

/// Real speech, folded to 8 kHz.
fn voice() -> anyhow::Result<Vec<i16>> {
    let samples = hound::WavReader::open(VOICE)?.into_samples::<i16>();
    let samples = samples.collect::<Result<Vec<i16>, _>>()?;
    let pairs = samples.chunks_exact(2);
    Ok(pairs
        .map(|pair| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16)
        .collect())
}

fn compare(trace: &Trace, voice: &[i16]) -> serde_json::Value {
    let start = Instant::now();
    let run = |bounds_ms| score(trace, voice, STEP_MS, || Ours::new(start, bounds_ms));
    let own = run((0, 240));
    let ptime_ms = trace.ptime_ms;
    let peers = [
        (
            "neteq",
            score(trace, voice, STEP_MS, || neteq::Peer::new(ptime_ms)),
        ),
        (
            "baresip adaptive",
            score(trace, voice, STEP_MS, || {
                Baresip::new(Kind::Adaptive, ptime_ms)
            }),
        ),
        (
            "baresip fixed",
            score(trace, voice, STEP_MS, || {
                Baresip::new(Kind::Fixed, ptime_ms)
            }),
        ),
    ];
    let against = peers.map(|(peer, theirs)| {
        let concealed = at_equal(Score::unreal, &own, &theirs, run);
        let disturbed = at_equal(Score::disturbed, &own, &theirs, run);
        json!({
            "peer": peer, "theirs": figures(&theirs), "as_set": ratio(&own, &theirs),
            "at_equal_concealment": concealed.map(|ours| ratio(&ours, &theirs)),
            "at_equal_disturbance": disturbed.map(|ours| ratio(&ours, &theirs)),
        })
    });
    json!({ "trace": trace.name, "lost": trace.lost_share(), "ours": figures(&own), "against": against })
}

/// Moves the bounds on our delay until we do no more of something than the peer does, and wait no
/// longer than that needs; none when no bounds will do.
fn at_equal(
    measure: impl Fn(&Score) -> f64,
    own: &Score,
    theirs: &Score,
    run: impl Fn((u32, u32)) -> Score,
) -> Option<Score> {
    let enough = |score: &Score| measure(score) <= measure(theirs);
    let tried: Vec<(u32, u32)> = if enough(own) {
        (0..=120).step_by(4).map(|most| (0, most)).collect()
    } else {
        (4..=240).step_by(4).map(|least| (least, 240)).collect()
    };
    tried.into_iter().map(run).find(enough)
}

fn ratio(ours: &Score, theirs: &Score) -> serde_json::Value {
    json!({ "ours": figures(ours), "delay_ratio": ours.delay_ms / theirs.delay_ms })
}

fn figures(score: &Score) -> serde_json::Value {
    let round = |value: f64, by: f64| (value * by).round() / by;
    json!({
        "delay_ms": round(score.delay_ms, 10.0), "p95_ms": round(score.delay_p95_ms, 10.0),
        "heard_ms": round(score.heard_ms, 10.0), "unreal": round(score.unreal(), 1e5),
        "disturbed": round(score.disturbed(), 1e5), "price_ms": round(score.price_ms(), 10.0),
        "concealed": round(score.concealed, 1e5), "expanded": round(score.expanded, 1e5),
        "accelerated": round(score.accelerated, 1e5), "late": round(score.late, 1e5),
    })
}

fn print(trace: &Trace, row: &serde_json::Value) {
    let number = |value: &serde_json::Value, name: &str| value[name].as_f64().unwrap_or(f64::NAN);
    let short = |value: &serde_json::Value| {
        let percent = |name: &str| number(value, name) * 100.0;
        format!(
            "{:6.1} ms, {:5.2} % made up, {:5.2} % disturbed, price {:6.1} ms",
            number(value, "delay_ms"),
            percent("unreal"),
            percent("disturbed"),
            number(value, "price_ms"),
        )
    };
    let lost = trace.lost_share() * 100.0;
    println!(
        "{:17} {}   ({lost:.2} % lost)",
        trace.name,
        short(&row["ours"])
    );
    for against in row["against"].as_array().into_iter().flatten() {
        println!(
            "  {:15} {}   ratio of delay: as set {:.2}, at equal concealment {:.2}, disturbance {:.2}",
            against["peer"].as_str().unwrap_or_default(),
            short(&against["theirs"]),
            number(&against["as_set"], "delay_ratio"),
            number(&against["at_equal_concealment"], "delay_ratio"),
            number(&against["at_equal_disturbance"], "delay_ratio"),
        );
    }
}
