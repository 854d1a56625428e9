//! What callers' lines bring while an agent speaks: noise, music, a listener's "mm-hm", the agent's
//! own echo, and words that are meant for it. The same every time.

use std::f32::consts::TAU;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use offhook_media::music::SoundLoop;
use offhook_models::voice::{Voice, VoiceOptions};

use super::line::{EchoPath, Script, factor};
use crate::cli::bench::caller::trim;
use crate::cli::wav;
use crate::config::{Config, Env};

const RATE_HZ: usize = 8_000;
/// How long noise and music last.
const LASTS_S: usize = 3;
/// How long the agent has spoken when a sound begins.
const LEADS_MS: [u64; 3] = [1_500, 1_800, 2_300];
/// How long a caller listens to what becomes of it.
const STAYS: Duration = Duration::from_secs(5);

/// What a listener says, which interrupts nobody.
const LISTENERS: [&str; 12] = [
    "Hmm.",
    "Um-hum.",
    "Uh-huh.",
    "Yeah.",
    "Okay.",
    "Right.",
    "I see.",
    "Sure.",
    "Oh, okay.",
    "Yeah, right.",
    "Makes sense.",
    "Of course.",
];
/// What is said to interrupt.
const WORDS: [&str; 12] = [
    "Stop.",
    "Wait a moment.",
    "No, that is not what I want.",
    "Excuse me, I have a question.",
    "Can I speak to a person, please?",
    "How much does it cost?",
    "I am calling about my last bill.",
    "Sorry, could you repeat that?",
    "My printer does not work.",
    "Hold on a second.",
    "I need to cancel my appointment.",
    "Do you speak Spanish?",
];
/// What people say to each other in the background.
const OTHERS: [&str; 3] = [
    "We should leave before the traffic gets bad, and take the other road this time.",
    "She told me about it last week, but I did not think that she was serious at all.",
    "There is more coffee in the kitchen, and somebody left a cake beside the window.",
];

/// What kind of sound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Noise,
    Music,
    Listener,
    Echo,
    Given,
    Words,
    WordsOverEcho,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Noise,
        Self::Music,
        Self::Listener,
        Self::Echo,
        Self::Given,
        Self::Words,
        Self::WordsOverEcho,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Music => "music",
            Self::Listener => "mm-hm",
            Self::Echo => "own echo",
            Self::Given => "given sounds",
            Self::Words => "words",
            Self::WordsOverEcho => "words over echo",
        }
    }

    /// Whether the agent should give way.
    pub(super) fn interrupts(self) -> bool {
        matches!(self, Self::Words | Self::WordsOverEcho)
    }
}

/// One sound to one agent.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) script: Script,
}

/// Numbers that look like chance.
pub(super) struct Random(pub(super) u32);

impl Random {
    /// The next one between −1 and 1.
    pub(super) fn around_zero(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / 8_388_608.0 - 1.0
    }
}

/// All trials; `folder` has WAV files that are meant for nobody as well.
pub(super) fn trials(folder: Option<&Path>) -> anyhow::Result<Vec<Trial>> {
    let mut trials = Vec::new();
    let mut add = |kind: Kind, name: String, sound: Arc<[i16]>, path: Option<EchoPath>| {
        let lead = LEADS_MS.get(trials.len() % LEADS_MS.len());
        let script = Script {
            sound,
            path,
            after: Duration::from_millis(lead.copied().unwrap_or_default()),
            stays: STAYS,
        };
        trials.push(Trial { kind, name, script });
    };
    for (name, sound) in noises() {
        for db in [-40.0, -30.0, -22.0] {
            let named = format!("{name} {db} dB");
            add(Kind::Noise, named, at_level(&sound, db), None);
        }
    }
    for (name, sound) in tunes() {
        for db in [-40.0, -30.0, -22.0] {
            let named = format!("{name} {db} dB");
            add(Kind::Music, named, at_level(&sound, db), None);
        }
    }
    for path in folder.map(wav_files).transpose()?.unwrap_or_default() {
        let sound = wav::read(&path)?.at_rate(RATE_HZ as u32);
        // The middle: many begin softly.
        let from = (sound.len() / 2).saturating_sub(LASTS_S * RATE_HZ / 2);
        let part: Vec<f32> = sound.iter().skip(from).map(|s| f32::from(*s)).collect();
        let part = part.get(..part.len().min(LASTS_S * RATE_HZ));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        for db in [-30.0, -22.0] {
            let named = format!("{name} {db} dB");
            let sound = at_level(part.unwrap_or_default(), db);
            add(Kind::Given, named, sound, None);
        }
    }
    for delay_ms in [20, 60, 150, 300, 400] {
        for db in [-6.0, -12.0, -20.0, -30.0] {
            let path = EchoPath::line(delay_ms, db);
            let name = format!("line {delay_ms} ms {db} dB");
            add(Kind::Echo, name, Arc::from([]), Some(path));
        }
        for (ms, db) in [(100, -6.0), (200, -12.0), (400, -6.0), (400, -20.0)] {
            let path = EchoPath::room(delay_ms, db, ms);
            let name = format!("room {delay_ms} ms {db} dB, {ms} ms");
            add(Kind::Echo, name, Arc::from([]), Some(path));
        }
    }
    let speech = Speech::synthesise()?;
    for (db, others) in [(-50.0, &speech.others), (-40.0, &speech.others)] {
        let name = format!("people behind {db} dB");
        add(Kind::Noise, name, at_level(others, db), None);
    }
    for (name, sound) in &speech.listeners {
        for db in [-32.0, -22.0] {
            let named = format!("{name} {db} dB");
            add(Kind::Listener, named, at_level(sound, db), None);
        }
    }
    for (name, sound) in &speech.words {
        for db in [-32.0, -22.0] {
            let named = format!("{name} {db} dB");
            add(Kind::Words, named, at_level(sound, db), None);
        }
        // The caller, against the agent's own level, is louder than the echo, as loud, and softer.
        for (delay_ms, db, level) in [
            (60, -20.0, -24.0),
            (300, -12.0, -24.0),
            (60, -6.0, -26.0),
            (150, -6.0, -32.0),
        ] {
            let path = EchoPath::room(delay_ms, db, 200);
            let named = format!("{name} {level} dB over {delay_ms} ms {db} dB");
            let sound = at_level(sound, level);
            add(Kind::WordsOverEcho, named, sound, Some(path));
        }
    }
    Ok(trials)
}

/// The WAV files of a folder, in the order of their names.
fn wav_files(folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let reading = || format!("cannot read the folder {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(reading)?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "wav"))
        .collect();
    anyhow::ensure!(!files.is_empty(), "no WAV file in {}", folder.display());
    files.sort();
    Ok(files)
}

/// What voices say.
struct Speech {
    listeners: Vec<(&'static str, Vec<f32>)>,
    words: Vec<(&'static str, Vec<f32>)>,
    others: Vec<f32>,
}

impl Speech {
    fn synthesise() -> anyhow::Result<Self> {
        let config = Config::demo(&Env::process())?;
        let runtime = offhook_models::Runtime::load(&config.models.dir)?;
        let options = VoiceOptions {
            deterministic: true,
            ..VoiceOptions::default()
        };
        let models = &config.models;
        let voice = Voice::load(&runtime, &models.dir, &models.voice, options)?;
        let say = |text: &str| -> anyhow::Result<Vec<f32>> {
            let sound = trim(&voice.say(text)?);
            Ok(sound.iter().map(|sample| f32::from(*sample)).collect())
        };
        let all = |texts: &[&'static str]| -> anyhow::Result<Vec<_>> {
            texts.iter().map(|text| Ok((*text, say(text)?))).collect()
        };
        let mut others = vec![0.0; LASTS_S * RATE_HZ];
        for (n, text) in OTHERS.iter().enumerate() {
            let sound = say(text)?;
            let from = n * RATE_HZ / 3;
            for (to, sample) in others.iter_mut().zip(sound.iter().cycle().skip(from)) {
                *to += sample;
            }
        }
        Ok(Self {
            listeners: all(&LISTENERS)?,
            words: all(&WORDS)?,
            others,
        })
    }
}

/// Brings a sound to a level in dB of full scale, counted over what of it is to be heard.
fn at_level(sound: &[f32], dbfs: f32) -> Arc<[i16]> {
    let peak = sound.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
    let energies = sound.chunks(RATE_HZ / 50).map(|part| {
        let energy: f32 = part.iter().map(|s| s * s).sum();
        energy / part.len() as f32
    });
    let loud: Vec<f32> = energies
        .filter(|energy| *energy > peak * peak / 10_000.0)
        .collect();
    let mean = loud.iter().sum::<f32>() / loud.len().max(1) as f32;
    let gain = 32_768.0 * factor(dbfs) / mean.sqrt().max(1e-9);
    let scaled = sound.iter().map(|s| (s * gain).clamp(-32_768.0, 32_767.0));
    scaled.map(|s| s as i16).collect()
}

/// Makes a sound of a function of time in seconds.
fn of_time(seconds: f32, mut at: impl FnMut(f32) -> f32) -> Vec<f32> {
    let samples = (seconds * RATE_HZ as f32) as usize;
    (0..samples)
        .map(|n| at(n as f32 / RATE_HZ as f32))
        .collect()
}

/// Lets through what is near a frequency, as a resonance does.
struct Resonance {
    turn: f32,
    damping: f32,
    before: [f32; 2],
}

impl Resonance {
    fn new(hz: f32, width_hz: f32) -> Self {
        let damping = (-std::f32::consts::PI * width_hz / RATE_HZ as f32).exp();
        Self {
            turn: 2.0 * damping * (TAU * hz / RATE_HZ as f32).cos(),
            damping: damping * damping,
            before: [0.0; 2],
        }
    }

    fn step(&mut self, sample: f32) -> f32 {
        let [last, older] = self.before;
        let out = sample + self.turn * last - self.damping * older;
        self.before = [out, last];
        out
    }
}

fn noises() -> Vec<(&'static str, Vec<f32>)> {
    let seconds = LASTS_S as f32;
    let mut random = Random(41);
    let hiss = of_time(seconds, |_| random.around_zero());
    let mut random = Random(42);
    let mut slow = 0.0;
    let rumble = of_time(seconds, |_| {
        slow = 0.98 * slow + random.around_zero();
        slow
    });
    let hum = of_time(seconds, |t| {
        let part = |n: f32| (TAU * 100.0 * n * t).sin() / n;
        part(1.0) + part(2.0) + part(3.0) + part(5.0)
    });
    let mut random = Random(43);
    let (mut band, mut loud) = (Resonance::new(2_600.0, 900.0), 0.0);
    let typing = of_time(seconds, |_| {
        if random.around_zero() > 0.998 {
            loud = 1.0;
        }
        loud *= 0.985;
        band.step(random.around_zero()) * loud
    });
    let mut random = Random(44);
    let mut body = Resonance::new(110.0, 60.0);
    let door = of_time(0.6, |t| body.step(random.around_zero()) * (-t * 14.0).exp());
    let mut random = Random(45);
    let mut throat = [Resonance::new(550.0, 200.0), Resonance::new(1_500.0, 300.0)];
    let cough = of_time(1.1, |t| {
        let burst = |from: f32| (t > from && t < from + 0.28).then(|| (-(t - from) * 9.0).exp());
        let loud = burst(0.0).or_else(|| burst(0.45)).unwrap_or(0.0);
        let breath = random.around_zero() * loud;
        throat.iter_mut().map(|part| part.step(breath)).sum()
    });
    let mut random = Random(46);
    let mut low = Resonance::new(300.0, 500.0);
    let traffic = of_time(seconds, |t| {
        low.step(random.around_zero()) * (1.2 + (TAU * 0.5 * t).sin())
    });
    let mut random = Random(47);
    let mut lips = Resonance::new(700.0, 1_200.0);
    let breath = of_time(seconds, |t| {
        lips.step(random.around_zero()) * (TAU * 0.4 * t).sin().max(0.0)
    });
    let alarm = of_time(seconds, |t| {
        (TAU * 950.0 * t).sin() * f32::from(u8::from(t.fract() < 0.4))
    });
    let ringing = of_time(seconds, |t| {
        ((TAU * 440.0 * t).sin() + (TAU * 480.0 * t).sin()) * f32::from(u8::from(t % 2.0 < 1.0))
    });
    vec![
        ("hiss", hiss),
        ("rumble", rumble),
        ("hum", hum),
        ("typing", typing),
        ("a door", door),
        ("a cough", cough),
        ("traffic", traffic),
        ("breath", breath),
        ("an alarm", alarm),
        ("ringing", ringing),
    ]
}

fn tunes() -> Vec<(&'static str, Vec<f32>)> {
    let seconds = LASTS_S as f32;
    let chords = SoundLoop::chords();
    let held: Vec<f32> = chords
        .samples(RATE_HZ as u32)
        .iter()
        .map(|s| f32::from(*s))
        .collect();
    let held = held.get(..LASTS_S * RATE_HZ).unwrap_or_default().to_vec();
    let notes = [60, 64, 67, 72, 71, 67, 64, 62];
    let hz = |note: i32| 440.0 * ((note - 69) as f32 / 12.0).exp2();
    // A reed with vibrato, which is near to a voice.
    let mut phase = 0.0;
    let reed = of_time(seconds, |t| {
        let note = notes.get((t * 3.0) as usize % notes.len()).copied();
        let vibrato = 1.0 + 0.01 * (TAU * 5.5 * t).sin();
        phase += hz(note.unwrap_or(60)) * vibrato / RATE_HZ as f32;
        (1..8_u8)
            .map(|n| (TAU * f32::from(n) * phase).sin() / f32::from(n))
            .sum()
    });
    let mut random = Random(48);
    let band = of_time(seconds, |t| {
        let beat = (t * 2.0).fract();
        let drum = (TAU * 60.0 * t).sin() * (-beat * 12.0).exp() * 2.0;
        let snare = random.around_zero() * (-((t * 2.0 + 1.0) % 2.0) * 10.0).exp();
        let note = notes.get((t * 4.0) as usize % notes.len()).copied();
        let bass = (TAU * hz(note.unwrap_or(60) - 24) * t).sin();
        let lead = (TAU * hz(note.unwrap_or(60)) * t).sin().signum() * 0.4;
        drum + snare + bass + lead
    });
    vec![("chords", held), ("a reed", reed), ("a band", band)]
}
