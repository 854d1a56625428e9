//! Word error rate and time of Whisper on telephone prompts (Debian's
//! `asterisk-core-sounds-en-wav`, 8 kHz), printed as JSON:
//! `cargo bench --bench wer -- [--base] [--f32] [--print] [--every N] [--codec NAME] [--snr DB] [--suppress]`
//!
//! `--snr DB` puts noise so far below the speech: white, or the 8 kHz WAV files of the folder
//! `OFFHOOK_NOISES`; `--suppress` takes it out again as `agent.noise_suppression` does.
//!
//! With a codec the prompts are those of `asterisk-core-sounds-en-g722`, at 16 kHz: they go through
//! the codec and through what the switch keeps of a call, at the rate at which it would sound.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

use offhook::ai::Audio;
use offhook_media::codec::{Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD_BYTES, OpusWishes};
use offhook_media::codec::{G722Decoder, g711};
use offhook_media::{Codec, Frame};
use offhook_models::denoise::NoiseSuppressor;
use offhook_models::whisper::{Options, Precision, Size, Step, Transcript, Whisper};
use offhook_models::{Runtime, manifest};

const SOUNDS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
const TRANSCRIPTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/corpora/speech/asterisk-core-sounds-en.transcripts.txt"
);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|given| given == flag);
    let number = |flag: &str, default: usize| {
        let given = arguments.iter().skip_while(|given| *given != flag).nth(1);
        given.map_or(Ok(default), |given| given.parse())
    };
    let every = number("--every", 1)?;
    let codec = arguments
        .iter()
        .skip_while(|given| *given != "--codec")
        .nth(1);
    let codec = codec.map(|name| named(name)).transpose()?;
    let snr_db = arguments
        .iter()
        .skip_while(|given| *given != "--snr")
        .nth(1);
    let snr_db: Option<f32> = snr_db.map(|db| db.parse()).transpose()?;
    let noise = noise()?;
    let options = Options::default();
    if !Path::new(SOUNDS).is_dir() {
        println!("{{\"skipped\": \"{SOUNDS} is not installed\"}}");
        return Ok(());
    }
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
    let whisper = Whisper::load_with(&Runtime::load(&dir)?, &dir, size, precision)?;
    let mut score = Score::default();
    for line in std::fs::read_to_string(TRANSCRIPTS)?
        .lines()
        .step_by(every.max(1))
    {
        let Some((name, wanted)) = line.split_once(": ") else {
            continue;
        };
        let prompt = Path::new(SOUNDS).join(name);
        let audio = match codec {
            None => read(&prompt.with_extension("wav")),
            Some(codec) => read_wide(&prompt.with_extension("g722"))
                .map(|sound| kept(codec, &carry(codec, &sound))),
        };
        let Some(mut audio) = audio else { continue };
        let wanted = words(wanted);
        if line.starts_with(';') || wanted.len() < 4 {
            continue;
        }
        if let Some(snr_db) = snr_db {
            mix(&mut audio.samples, &noise, snr_db);
        }
        if has("--suppress") {
            audio = suppress(&audio);
        }
        let (transcript, took, longest_step) = transcribe(&whisper, &audio, &options)?;
        let errors = distance(&wanted, &words(&transcript.text));
        if has("--print") {
            println!("{name}\t{errors}/{}\t{}", wanted.len(), transcript.text);
        }
        score.add(wanted.len(), errors, took, longest_step, &transcript);
    }
    score.print(size, precision, codec);
    Ok(())
}

fn named(name: &str) -> Result<Codec, Failure> {
    let mut known = Codec::ALL.into_iter();
    let codec = known.find(|codec| codec.name().eq_ignore_ascii_case(name));
    codec.ok_or_else(|| format!("no codec {name}").into())
}

fn read(path: &Path) -> Option<Audio> {
    let mut wav = hound::WavReader::open(path).ok()?;
    let samples = wav.samples::<i16>().collect::<Result<_, _>>().ok()?;
    Some(Audio {
        rate_hz: 8_000,
        samples,
    })
}

/// Noise to be mixed in: white, unless there is a folder of other noises.
fn noise() -> Result<Vec<i16>, Failure> {
    let Some(folder) = std::env::var_os("OFFHOOK_NOISES") else {
        let mut state = 1_u32;
        let white = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16 as i16
        });
        return Ok(white.take(80_000).collect());
    };
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder)? {
        files.push(file?.path());
    }
    files.sort();
    let sounds = files.iter().filter_map(|file| read(file));
    Ok(sounds.flat_map(|audio| audio.samples).collect())
}

/// Adds noise that is so much softer than the speech.
fn mix(speech: &mut [i16], noise: &[i16], snr_db: f32) {
    let power = |sound: &[i16]| {
        let squares = sound.iter().map(|s| f32::from(*s).powi(2));
        squares.sum::<f32>() / sound.len().max(1) as f32
    };
    // Each prompt gets another piece of it.
    let from = speech.len() * 7 % noise.len().max(1);
    let piece: Vec<i16> = noise
        .iter()
        .cycle()
        .skip(from)
        .take(speech.len())
        .copied()
        .collect();
    let gain = (power(speech) / power(&piece).max(1.0)).sqrt() * 10f32.powf(-snr_db / 20.0);
    for (sample, noise) in speech.iter_mut().zip(piece) {
        *sample = (f32::from(*sample) + gain * f32::from(noise)) as i16;
    }
}

/// What the recogniser hears where `agent.noise_suppression` is on.
fn suppress(audio: &Audio) -> Audio {
    let (now, mut suppressor) = (Instant::now(), NoiseSuppressor::new());
    let step = audio.rate_hz as usize / 50;
    let mut samples = Vec::new();
    // Silence at the end brings out what is held back.
    let padded = [&audio.samples[..], &vec![0; 2 * step]].concat();
    for piece in padded.chunks_exact(step) {
        suppressor.push(&Frame::new(audio.rate_hz, 0, now, false, piece), true);
        while let Some((frame, _)) = suppressor.pop() {
            samples.extend_from_slice(frame.samples());
        }
    }
    Audio {
        rate_hz: audio.rate_hz,
        samples,
    }
}

/// Reads a prompt at 16 kHz.
fn read_wide(path: &Path) -> Option<Vec<i16>> {
    let code = std::fs::read(path).ok()?;
    let mut sound = vec![0; 2 * code.len()];
    G722Decoder::default().decode(&code, &mut sound);
    Some(sound)
}

/// Sends sound at 16 kHz in a codec; what arrives has the codec's rate.
fn carry(codec: Codec, sound: &[i16]) -> Vec<i16> {
    let mut encoder = Encoder::new(codec, 16_000, OpusWishes::default());
    let mut decoder = Decoder::new(codec.sample_rate_hz());
    decoder.prepare([codec]);
    let mut arrived = Vec::new();
    for piece in sound.chunks_exact(320) {
        let (mut payload, mut out) = ([0; MAX_PAYLOAD_BYTES], [0; MAX_PACKET_SAMPLES]);
        let bytes = encoder.encode(piece, &mut payload);
        let payload = payload.get(..bytes).unwrap_or_default();
        let samples = decoder.decode(codec, payload, &mut out);
        arrived.extend_from_slice(out.get(..samples).unwrap_or_default());
    }
    arrived
}

/// What the switch keeps of a call for the recogniser: µ-law at its rate.
fn kept(codec: Codec, sound: &[i16]) -> Audio {
    let (mut bytes, mut samples) = (vec![0; sound.len()], vec![0; sound.len()]);
    g711::encode_ulaw(sound, &mut bytes);
    g711::decode_ulaw(&bytes, &mut samples);
    Audio {
        rate_hz: codec.sample_rate_hz(),
        samples,
    }
}

fn transcribe(
    whisper: &Whisper,
    audio: &Audio,
    options: &Options,
) -> Result<(Transcript, Duration, Duration), Failure> {
    let began = Instant::now();
    let mut transcription = whisper.begin(&audio.for_models(), options);
    let mut longest = Duration::ZERO;
    loop {
        let step_began = Instant::now();
        let step = transcription.step()?;
        longest = longest.max(step_began.elapsed());
        if let Step::Done(transcript) = step {
            return Ok((transcript, began.elapsed(), longest));
        }
    }
}

#[derive(Default)]
struct Score {
    words: usize,
    errors: usize,
    files: usize,
    retried: usize,
    times: Vec<Duration>,
    longest_step: Duration,
}

impl Score {
    fn add(
        &mut self,
        words: usize,
        errors: usize,
        took: Duration,
        longest_step: Duration,
        transcript: &Transcript,
    ) {
        self.words += words;
        self.errors += errors;
        self.files += 1;
        self.retried += usize::from(transcript.retried);
        self.times.push(took);
        self.longest_step = self.longest_step.max(longest_step);
    }

    fn print(&mut self, size: Size, precision: Precision, codec: Option<Codec>) {
        self.times.sort();
        let at = |share: f64| {
            let index = (self.times.len() as f64 * share) as usize;
            self.times
                .get(index)
                .map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        println!(
            "{{\"model\": \"{}\", \"precision\": \"{precision:?}\", \"codec\": {}, \"files\": {}, \"words\": {}, \
             \"wer\": {:.4}, \"retried\": {}, \"p50_ms\": {:.1}, \"p95_ms\": {:.1}, \
             \"longest_step_ms\": {:.1}}}",
            size.model(),
            codec.map_or("null".to_owned(), |codec| format!("\"{}\"", codec.name())),
            self.files,
            self.words,
            self.errors as f64 / self.words.max(1) as f64,
            self.retried,
            at(0.5),
            at(0.95),
            self.longest_step.as_secs_f64() * 1e3,
        );
    }
}

/// Splits into lower-case words without punctuation, numbers spelt, stage directions left out.
fn words(text: &str) -> Vec<String> {
    const NUMBERS: [&str; 11] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    let mut spoken = String::new();
    let mut depth = 0_i32;
    for letter in text.to_lowercase().chars() {
        match letter {
            '<' | '[' | '(' => depth += 1,
            '>' | ']' | ')' => depth -= 1,
            _ if depth > 0 => {}
            '\'' | '’' => {}
            letter if letter.is_alphanumeric() => spoken.push(letter),
            _ => spoken.push(' '),
        }
    }
    let spell = |word: &str| {
        let number = word
            .parse::<usize>()
            .ok()
            .and_then(|number| NUMBERS.get(number));
        number.map_or_else(|| word.to_owned(), |number| (*number).to_owned())
    };
    spoken.split_whitespace().map(spell).collect()
}

/// Counts the substitutions, deletions and insertions between two word sequences.
fn distance(wanted: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (index, want) in wanted.iter().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (hear, above) in heard.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(want != hear))
                .min(above + 1)
                .min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
