//! Transcribes WAV files and prints how long each step took:
//! `cargo run --release -p offhook-models --example transcribe -- [--base] [--f32] FILE…`
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::time::Instant;

use offhook_models::whisper::{Options, Precision, Size, Step, Whisper};
use offhook_models::{Runtime, manifest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, files): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let size = if has("--base") {
        Size::Base
    } else {
        Size::TinyEn
    };
    let precision = if has("--f32") {
        Precision::F32
    } else {
        Precision::Int8
    };
    let dir = manifest::default_dir();
    let began = Instant::now();
    let runtime = Runtime::load(&dir)?;
    let whisper = Whisper::load_with(&runtime, &dir, size, precision)?;
    println!("loaded in {:.0?}", began.elapsed());
    for file in files {
        let mut wav = hound::WavReader::open(&file)?;
        let samples = wav.samples::<i16>().collect::<Result<Vec<_>, _>>()?;
        let options = Options::default();
        let began = Instant::now();
        let mut transcription = match wav.spec().sample_rate {
            8_000 => whisper.begin_8k(&samples, &options),
            _ => {
                let samples: Vec<f32> = samples.iter().map(|s| f32::from(*s) / 32768.0).collect();
                whisper.begin(&samples, &options)
            }
        };
        let mut steps = Vec::new();
        let transcript = loop {
            let step_began = Instant::now();
            let step = transcription.step()?;
            steps.push(step_began.elapsed().as_micros());
            if let Step::Done(transcript) = step {
                break transcript;
            }
        };
        println!("{file}: {:.1?}, steps in µs {steps:?}", began.elapsed());
        println!("{transcript:?}");
    }
    Ok(())
}
