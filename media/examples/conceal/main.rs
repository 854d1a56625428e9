//! Sends speech through bursty loss and conceals it, by Offhook and by ITU-T G.711 Appendix I, for
//! `benches/conceal.py` to score.
//!
//! ```text
//! cargo run --release -p offhook-media --example conceal -- OUT SEEDS FILE.wav…
//! ```
//!
//! Files are mono and 16-bit, at 8 kHz (or 16 kHz, which Appendix I does not know). For each there
//! come `OUT/NAME.reference.wav`, which is the file after µ-law, and for each share of loss and
//! each seed `OUT/NAME.PERCENT.SEED.METHOD.wav`. `OUT/cost.json` says what a packet costs.
#![allow(clippy::print_stdout)]

mod appendix_i;
mod cost;
mod loss;

use std::path::{Path, PathBuf};

use appendix_i::AppendixI;
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use loss::Gilbert;
use offhook_media::codec::g711::{decode_ulaw, encode_ulaw};
use offhook_media::conceal::Concealer;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Percent of packets that are lost; 0 shows what a method does to sound that comes whole.
const LOSSES: [u32; 4] = [0, 5, 10, 20];
/// Packets that are lost in a row, on average.
const MEAN_BURST: f64 = 2.5;
/// Packets at the beginning that are not lost: 200 ms.
const SPARED: usize = 10;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments
        .next()
        .ok_or("where to write? conceal OUT SEEDS FILE.wav…")?;
    let seeds = arguments.next().unwrap_or_default();
    let seeds: u64 = seeds.to_string_lossy().parse()?;
    std::fs::create_dir_all(&out)?;
    let mut packets = (0, 0);
    let mut all = (8_000, Vec::new());
    for (number, file) in arguments.enumerate() {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let (rate_hz, sound) = read(&file)?;
        all.0 = rate_hz;
        all.1.extend(&sound);
        write(&out.join(format!("{name}.reference.wav")), rate_hz, &sound)?;
        for percent in LOSSES {
            for seed in 0..if percent == 0 { 1 } else { seeds } {
                let draw = (number as u64) << 16 | u64::from(percent) << 8 | seed;
                let lost = losses(draw, percent, sound.len() / (rate_hz as usize / 50));
                packets.0 += lost.iter().filter(|lost| **lost).count();
                packets.1 += lost.len();
                for (method, concealed) in conceal(rate_hz, &sound, &lost) {
                    let file = format!("{name}.{percent}.{seed}.{method}.wav");
                    write(&out.join(file), rate_hz, &concealed)?;
                }
            }
        }
    }
    println!("{} of {} packets were lost", packets.0, packets.1);
    let cost = cost::measure(all.0, &all.1);
    let [first, later, came] = [cost.first_us, cost.later_us, cost.came_us];
    let json =
        format!("{{\"first_us\": {first:.2}, \"later_us\": {later:.2}, \"came_us\": {came:.2}}}\n");
    std::fs::write(out.join("cost.json"), json)?;
    Ok(())
}

fn losses(seed: u64, percent: u32, packets: usize) -> Vec<bool> {
    let mut network = Gilbert::new(seed, f64::from(percent) / 100.0, MEAN_BURST);
    let lost = (0..packets).map(|n| network.loses() && n >= SPARED);
    lost.collect()
}

/// What each method makes of the sound that is left.
fn conceal(rate_hz: u32, sound: &[i16], lost: &[bool]) -> Vec<(&'static str, Vec<i16>)> {
    let packets = sound.chunks_exact(rate_hz as usize / 50);
    let mut silence = Vec::new();
    for (packet, lost) in packets.clone().zip(lost) {
        silence.extend(packet.iter().map(|sample| if *lost { 0 } else { *sample }));
    }
    let mut methods = vec![("silence", silence)];
    if rate_hz == 8_000 {
        methods.push(("appendix-i", by_appendix_i(sound, lost)));
    }
    methods.push(("offhook", by_offhook(rate_hz, sound, lost)));
    methods
}

fn by_offhook(rate_hz: u32, sound: &[i16], lost: &[bool]) -> Vec<i16> {
    let mut concealer = Concealer::new(rate_hz);
    let history = concealer.history_samples();
    let mut played = vec![0; history];
    for (packet, lost) in sound.chunks_exact(rate_hz as usize / 50).zip(lost) {
        let mut step = packet.to_vec();
        if *lost {
            if !concealer.is_active() {
                let past = &played[played.len() - history..];
                concealer.begin(|history| history.copy_from_slice(past));
            }
            concealer.generate(&mut step);
        } else {
            concealer.merge(&mut step);
        }
        played.extend(step);
    }
    played.split_off(history)
}

fn by_appendix_i(sound: &[i16], lost: &[bool]) -> Vec<i16> {
    let mut concealer = AppendixI::new();
    let mut played = Vec::new();
    let steps = sound.chunks_exact(appendix_i::STEP);
    for (n, step) in steps.enumerate() {
        let (Ok(step), Some(lost)) = (step.try_into(), lost.get(n / 2)) else {
            break;
        };
        played.extend(if *lost {
            concealer.lost()
        } else {
            concealer.received(step)
        });
    }
    // It plays everything 3.75 ms later.
    played.drain(..appendix_i::DELAY.min(played.len()));
    played
}

/// Reads a file, as it comes out of µ-law.
fn read(file: &Path) -> Outcome<(u32, Vec<i16>)> {
    let mut reader = WavReader::open(file)?;
    let spec = reader.spec();
    let known = spec.channels == 1 && spec.bits_per_sample == 16;
    if !known || !matches!(spec.sample_rate, 8_000 | 16_000) {
        return Err(format!("{}: 16-bit mono of 8 or 16 kHz is wanted", file.display()).into());
    }
    let sound = reader.samples().collect::<Result<Vec<i16>, _>>()?;
    let (mut coded, mut decoded) = (vec![0; sound.len()], vec![0; sound.len()]);
    encode_ulaw(&sound, &mut coded);
    decode_ulaw(&coded, &mut decoded);
    Ok((spec.sample_rate, decoded))
}

fn write(file: &Path, rate_hz: u32, sound: &[i16]) -> Outcome<()> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(file, spec)?;
    for sample in sound {
        writer.write_sample(*sample)?;
    }
    Ok(writer.finalize()?)
}
