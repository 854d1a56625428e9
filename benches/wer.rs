//! Word error rate and time of Whisper on telephone prompts (Debian's
//! `asterisk-core-sounds-en-wav`, 8 kHz), printed as JSON:
//! `cargo bench --bench wer -- [--base] [--f32] [--print] [--every N]`
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

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
        let Some(samples) = read(&Path::new(SOUNDS).join(format!("{name}.wav"))) else {
            continue;
        };
        let wanted = words(wanted);
        if line.starts_with(';') || wanted.len() < 4 {
            continue;
        }
        let (transcript, took, longest_step) = transcribe(&whisper, &samples, &options)?;
        let errors = distance(&wanted, &words(&transcript.text));
        if has("--print") {
            println!("{name}\t{errors}/{}\t{}", wanted.len(), transcript.text);
        }
        score.add(wanted.len(), errors, took, longest_step, &transcript);
    }
    score.print(size, precision);
    Ok(())
}

fn read(path: &Path) -> Option<Vec<i16>> {
    let mut wav = hound::WavReader::open(path).ok()?;
    wav.samples::<i16>().collect::<Result<_, _>>().ok()
}

fn transcribe(
    whisper: &Whisper,
    samples: &[i16],
    options: &Options,
) -> Result<(Transcript, Duration, Duration), Failure> {
    let began = Instant::now();
    let mut transcription = whisper.begin_8k(samples, options);
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

    fn print(&mut self, size: Size, precision: Precision) {
        self.times.sort();
        let at = |share: f64| {
            let index = (self.times.len() as f64 * share) as usize;
            self.times
                .get(index)
                .map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        println!(
            "{{\"model\": \"{}\", \"precision\": \"{precision:?}\", \"files\": {}, \"words\": {}, \
             \"wer\": {:.4}, \"retried\": {}, \"p50_ms\": {:.1}, \"p95_ms\": {:.1}, \
             \"longest_step_ms\": {:.1}}}",
            size.model(),
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
