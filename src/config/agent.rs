//! `[[agent]]` and `[[user]]`: who talks, and who may register.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use offhook_media::SrtpPolicy;

use super::reader::{Reader, Section};
use super::secret::Secret;
use super::sip::small;
use super::trunk::read_name;
use super::value::text_value;

/// How loud ambience is where nothing is written: about 30 dB below a voice.
const AMBIENCE_DBFS: f64 = -50.0;
/// Softer is not heard on a telephone, louder is no ambience any more.
const AMBIENCE_RANGE_DBFS: std::ops::RangeInclusive<f64> = -70.0..=-30.0;

/// Flows that are built into the program, written `builtin:NAME`.
pub const BUILT_IN_FLOWS: [&str; 1] = ["lead-qualification"];

/// Where an agent's flow is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowSource {
    /// A TOML file.
    File(PathBuf),
    /// A flow inside the program, one of [`BUILT_IN_FLOWS`].
    BuiltIn(String),
}

/// What is heard softly behind an agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ambience {
    /// The tone of a quiet room, made by the program.
    Room,
    /// A WAV file, over and over again.
    File(PathBuf),
}

/// What turns speech into text for an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechToText {
    /// Whisper, on the box.
    Whisper,
}

/// What turns text into speech for an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextToSpeech {
    /// Piper, on the box.
    Piper,
}

impl FromStr for SpeechToText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "whisper" => Ok(Self::Whisper),
            other => Err(refuse_provider(other, "whisper")),
        }
    }
}

impl FromStr for TextToSpeech {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "piper" => Ok(Self::Piper),
            other => Err(refuse_provider(other, "piper")),
        }
    }
}

text_value!(SpeechToText, "\"whisper\"");
text_value!(TextToSpeech, "\"piper\"");

fn refuse_provider(name: &str, on_box: &str) -> String {
    match name.replace(['.', '-', '_', ' '], "").as_str() {
        "playht" | "playai" => format!(
            "Play.ht shut its API down at the end of 2025 and cannot be used any more: \
             use {on_box:?}, which runs on this machine"
        ),
        "deepgram" | "elevenlabs" | "openai" | "wyoming" => {
            format!("{name:?} is not in this version: use {on_box:?}, which runs on this machine")
        }
        _ => format!("{name:?} is not known: use {on_box:?}"),
    }
}

/// One `[[agent]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentConfig {
    /// The name that routes and the API use.
    pub name: String,
    /// What it does.
    pub flow: FlowSource,
    /// Its voice; `None` takes `models.voice`.
    pub voice: Option<String>,
    /// What hears.
    pub stt: SpeechToText,
    /// What speaks.
    pub tts: TextToSpeech,
    /// Text said in place of the flow's first words; templates as in a flow.
    pub greeting: Option<String>,
    /// What is heard softly behind it; `None`: nothing is.
    pub ambience: Option<Ambience>,
    /// How loud that is: its root mean square against full scale, in dB.
    pub ambience_dbfs: f64,
    /// Whether the caller's level is brought to what the models expect.
    pub gain_control: bool,
    /// Whether noise is taken out of what the caller says.
    pub noise_suppression: bool,
    /// How long after the answer the greeting begins, in ms.
    pub greeting_delay_ms: u32,
    /// Whether the caller may interrupt.
    pub allow_interrupt: bool,
    /// How long the caller may be silent before being asked again, in s; `None`: the flow says.
    pub silence_timeout_s: Option<u32>,
    /// How many silences in a row end the call; `None`: the flow says.
    pub max_silences: Option<u32>,
    /// How long a call may last, in s.
    pub max_duration_s: u32,
}

impl AgentConfig {
    /// Makes an agent of a built-in flow, with the default settings.
    pub fn built_in(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            flow: FlowSource::BuiltIn(name.to_owned()),
            voice: None,
            stt: SpeechToText::Whisper,
            tts: TextToSpeech::Piper,
            greeting: None,
            ambience: None,
            ambience_dbfs: AMBIENCE_DBFS,
            gain_control: false,
            noise_suppression: false,
            greeting_delay_ms: 0,
            allow_interrupt: true,
            silence_timeout_s: None,
            max_silences: None,
            max_duration_s: 900,
        }
    }

    pub(super) fn read_all(r: &mut Reader<'_>, sections: Vec<Section>) -> Vec<Self> {
        let mut names = BTreeSet::new();
        sections
            .into_iter()
            .filter_map(|section| Self::read(r, section, &mut names))
            .collect()
    }

    fn read(r: &mut Reader<'_>, mut s: Section, names: &mut BTreeSet<String>) -> Option<Self> {
        let name = read_name(r, &mut s, names);
        let flow = read_flow(r, &mut s);
        let defaults = Self::built_in("");
        let agent = Self {
            voice: s.opt(r, "voice"),
            stt: s.or(r, "stt", defaults.stt),
            tts: s.or(r, "tts", defaults.tts),
            greeting: s
                .opt::<String>(r, "greeting")
                .filter(|text| !text.trim().is_empty()),
            ambience: read_ambience(r, &mut s),
            ambience_dbfs: read_ambience_level(r, &mut s),
            gain_control: s.or(r, "gain_control", defaults.gain_control),
            noise_suppression: s.or(r, "noise_suppression", defaults.noise_suppression),
            greeting_delay_ms: small(s.number(r, "greeting_delay_ms", 0..=10_000, 0)),
            allow_interrupt: s.or(r, "allow_interrupt", true),
            silence_timeout_s: told(s.number(r, "silence_timeout_s", 1..=120, UNTOLD)),
            max_silences: told(s.number(r, "max_silences", 1..=20, UNTOLD)),
            max_duration_s: small(s.number(r, "max_duration_s", 10..=14_400, 900)),
            ..defaults
        };
        s.finish(r);
        Some(Self {
            name: name?,
            flow: flow?,
            ..agent
        })
    }
}

/// Stands for a number that is left out; it lies outside of what may be written.
const UNTOLD: u64 = 0;

fn told(number: u64) -> Option<u32> {
    (number != UNTOLD).then(|| small(number))
}

fn read_ambience(r: &mut Reader<'_>, s: &mut Section) -> Option<Ambience> {
    let origin = s.origin_of("ambience");
    let written: String = s.opt(r, "ambience")?;
    if written == "room" {
        return Some(Ambience::Room);
    }
    let path = r.resolve(&written);
    if !path.is_file() {
        let message = format!(
            "there is no file {} (paths start at this file); write \"room\" for the tone of a quiet room",
            path.display()
        );
        s.wrong(r, "ambience", &origin, message);
        return None;
    }
    Some(Ambience::File(path))
}

fn read_ambience_level(r: &mut Reader<'_>, s: &mut Section) -> f64 {
    let origin = s.origin_of("ambience_dbfs");
    let level = s.or(r, "ambience_dbfs", AMBIENCE_DBFS);
    if AMBIENCE_RANGE_DBFS.contains(&level) {
        return level;
    }
    let (low, high) = (AMBIENCE_RANGE_DBFS.start(), AMBIENCE_RANGE_DBFS.end());
    let message = format!("{level} is out of range: from {low} to {high}");
    s.wrong(r, "ambience_dbfs", &origin, message);
    AMBIENCE_DBFS
}

fn read_flow(r: &mut Reader<'_>, s: &mut Section) -> Option<FlowSource> {
    let origin = s.origin_of("flow");
    let why = "name the file of its flow, or \"builtin:lead-qualification\"";
    let written: String = s.required(r, "flow", why)?;
    if let Some(name) = written.strip_prefix("builtin:") {
        if BUILT_IN_FLOWS.contains(&name) {
            return Some(FlowSource::BuiltIn(name.to_owned()));
        }
        let known = BUILT_IN_FLOWS.join(", ");
        s.wrong(
            r,
            "flow",
            &origin,
            format!("no flow {name:?} is built in; there is {known}"),
        );
        return None;
    }
    let path = r.resolve(&written);
    if !path.is_file() {
        let message = format!(
            "there is no file {} (paths start at this file)",
            path.display()
        );
        s.wrong(r, "flow", &origin, message);
        return None;
    }
    Some(FlowSource::File(path))
}

/// One `[[user]]`: a phone that may register and call.
#[derive(Debug, Clone, PartialEq)]
pub struct UserConfig {
    /// The user part of its address, and its digest user.
    pub name: String,
    /// Its digest password.
    pub password: Secret,
    /// Whether its media is encrypted; `None` leaves it to `media.srtp`.
    pub srtp: Option<SrtpPolicy>,
}

impl UserConfig {
    pub(super) fn read_all(r: &mut Reader<'_>, sections: Vec<Section>) -> Vec<Self> {
        let mut names = BTreeSet::new();
        let mut users = Vec::new();
        for mut s in sections {
            let name = read_name(r, &mut s, &mut names);
            let origin = s.origin_of("password");
            let password: Option<Secret> =
                s.required(r, "password", "without one, anyone could call as this user");
            let srtp = s.opt(r, "srtp");
            if let (Some(name), Some(password)) = (name, password) {
                if password.expose().len() < 8 || password.expose() == name {
                    let message = "is easily guessed; take 12 characters or more";
                    r.warn(&origin, &format!("password of user {name}"), message);
                }
                users.push(Self {
                    name,
                    password,
                    srtp,
                });
            }
            s.finish(r);
        }
        users
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigErrors, Env};
    use super::Ambience;

    fn parse(source: &str) -> Result<Config, ConfigErrors> {
        Config::parse(source, None, &Env::default())
    }

    #[test]
    fn an_agent_is_told_how_to_greet_and_how_patient_to_be() {
        let source = "[[agent]]\nname = \"a\"\nflow = \"builtin:lead-qualification\"\n";
        let agent = |more: &str| {
            let text = format!("{source}{more}[[route]]\nagent = \"a\"\n");
            parse(&text).unwrap().agents.remove(0)
        };
        let told = agent(
            "greeting = \"Hi, {{first_name | there}}.\"\ngreeting_delay_ms = 500\n\
             allow_interrupt = false\nsilence_timeout_s = 12\nmax_silences = 2\n\
             gain_control = true\nnoise_suppression = true\n",
        );
        assert!(told.gain_control && told.noise_suppression);
        assert_eq!(
            told.greeting.as_deref(),
            Some("Hi, {{first_name | there}}.")
        );
        assert_eq!((told.greeting_delay_ms, told.allow_interrupt), (500, false));
        assert_eq!(
            (told.silence_timeout_s, told.max_silences),
            (Some(12), Some(2))
        );
        let untold = agent("");
        assert_eq!(untold.ambience, None);
        assert!(!untold.gain_control && !untold.noise_suppression);
        assert_eq!((&untold.greeting, untold.greeting_delay_ms), (&None, 0));
        assert!(untold.allow_interrupt);
        assert_eq!(
            (untold.silence_timeout_s, untold.max_silences),
            (None, None),
            "the flow says"
        );
        for wrong in [
            "ambience_dbfs = -20",
            "ambience_dbfs = -70.5",
            "silence_timeout_s = 0",
            "max_silences = 21",
            "greeting_delay_ms = 99999",
        ] {
            let text = parse(&format!("{source}{wrong}\n"))
                .unwrap_err()
                .to_string();
            assert!(text.contains("out of range"), "{wrong}: {text}");
        }
    }

    #[test]
    fn an_agent_may_have_a_quiet_room_or_a_file_behind_it() {
        let source = "[[agent]]\nname = \"a\"\nflow = \"builtin:lead-qualification\"\n";
        let agent = |more: &str| parse(&format!("{source}{more}[[route]]\nagent = \"a\"\n"));
        let room = agent("ambience = \"room\"\n").unwrap().agents.remove(0);
        assert_eq!(room.ambience, Some(Ambience::Room));
        assert_eq!(room.ambience_dbfs, -50.0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("office.wav");
        std::fs::write(&path, "").unwrap();
        let more = format!("ambience = {path:?}\nambience_dbfs = -42.5\n");
        let office = agent(&more).unwrap().agents.remove(0);
        assert_eq!(office.ambience, Some(Ambience::File(path)));
        assert_eq!(office.ambience_dbfs, -42.5);
        let text = agent("ambience = \"offic.wav\"\n").unwrap_err().to_string();
        assert!(
            text.contains("offic.wav") && text.contains("\"room\""),
            "{text}"
        );
    }
}
