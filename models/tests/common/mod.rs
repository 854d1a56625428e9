//! What the tests of the models share: real speech, and the telephone line that it comes over.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part"
)]

use std::path::{Path, PathBuf};

use offhook_media::codec::g711::{decode_ulaw, encode_ulaw};
use offhook_models::Runtime;
use offhook_models::manifest::default_dir;
use offhook_models::resample::convert_rate;
use offhook_models::vad::level_db;

/// ONNX Runtime from the model folder.
pub fn runtime() -> Runtime {
    Runtime::load(&default_dir()).unwrap()
}

/// Speech of `tests/corpora/speech` at a rate, full scale ±1.
pub fn speech(name: &str, rate_hz: u32) -> Vec<f32> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpora/speech");
    let mut wav = hound::WavReader::open(corpora.join(name)).unwrap();
    let from_hz = wav.spec().sample_rate;
    let samples = wav
        .samples::<i16>()
        .map(|s| f32::from(s.unwrap()) / 32_768.0);
    convert_rate(&samples.collect::<Vec<_>>(), from_hz, rate_hz)
}

/// Sound as 16-bit samples.
pub fn to_pcm(samples: &[f32]) -> Vec<i16> {
    let full = |sample: &f32| (sample * 32_767.0).round() as i16;
    samples.iter().map(full).collect()
}

/// The WAV files of a folder, by name, and their samples as they are.
pub fn folder(path: &str) -> Vec<(PathBuf, Vec<i16>)> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut paths: Vec<_> = entries.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "wav"));
    paths.sort();
    let read = paths.into_iter().map(|path| {
        let mut wav = hound::WavReader::open(&path).unwrap();
        let samples = wav.samples::<i16>().map(Result::unwrap).collect();
        (path, samples)
    });
    read.collect()
}

/// Adds noise, which is repeated, at so many dB below what `speech_db` says that speech has.
pub fn with_noise(speech: &[i16], speech_db: f32, noise: &[i16], snr_db: f32) -> Vec<i16> {
    let gain = 10f32.powf((speech_db - snr_db - level_db(noise)) / 20.0);
    let pairs = speech.iter().zip(noise.iter().cycle());
    let mixed = pairs.map(|(s, n)| f32::from(*s) + f32::from(*n) * gain);
    mixed.map(|sum| sum.round() as i16).collect()
}

/// The same speech as a telephone hears it: 8 kHz, through µ-law.
pub fn telephone(name: &str) -> Vec<i16> {
    over_ulaw(&to_pcm(&speech(name, 8_000)))
}

/// Takes sound to µ-law and back.
pub fn over_ulaw(samples: &[i16]) -> Vec<i16> {
    let mut bytes = vec![0; samples.len()];
    encode_ulaw(samples, &mut bytes);
    let mut heard = vec![0; samples.len()];
    decode_ulaw(&bytes, &mut heard);
    heard
}

/// White noise, evenly spread over ±`level` of full scale, the same each time.
pub fn noise(samples: usize, level: f32) -> Vec<i16> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let even = (state >> 8) as f32 / 8_388_608.0 - 1.0;
        (even * level * 32_767.0) as i16
    };
    (0..samples).map(next).collect()
}

/// Lower-case words without punctuation.
pub fn words(text: &str) -> Vec<String> {
    let bare = text.to_lowercase().replace(['-', '.'], " ");
    let letters = |word: &str| -> String { word.chars().filter(|c| c.is_alphanumeric()).collect() };
    let words = bare.split_whitespace().map(letters);
    words.filter(|word| !word.is_empty()).collect()
}
