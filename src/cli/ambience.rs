//! What is heard softly behind the agents: loops, made once at start and shared by all their calls.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use offhook_media::music::{Background, SoundLoop};

use super::wav;
use crate::config::{AgentConfig, Ambience};

/// The rate at which files are taken in; narrowband calls get half of it.
const RATE_HZ: u32 = 16_000;

/// The loops that are in use.
#[derive(Default)]
pub(super) struct Ambiences(BTreeMap<Ambience, Arc<SoundLoop>>);

impl Ambiences {
    /// What is heard behind an agent, if anything is.
    ///
    /// # Errors
    /// When its file cannot be read, or makes no loop.
    pub(super) fn of(&mut self, agent: &AgentConfig) -> anyhow::Result<Option<Background>> {
        let Some(ambience) = &agent.ambience else {
            return Ok(None);
        };
        let sound = match self.0.get(ambience) {
            Some(known) => Arc::clone(known),
            None => {
                let sound = Arc::new(load(ambience)?);
                self.0.insert(ambience.clone(), Arc::clone(&sound));
                sound
            }
        };
        Ok(Some(Background {
            sound,
            level_dbfs: agent.ambience_dbfs as f32,
        }))
    }
}

fn load(ambience: &Ambience) -> anyhow::Result<SoundLoop> {
    match ambience {
        Ambience::Room => Ok(SoundLoop::room_tone()),
        Ambience::File(path) => from_file(path),
    }
}

fn from_file(path: &Path) -> anyhow::Result<SoundLoop> {
    let samples = wav::read(path)?.at_rate(RATE_HZ);
    let sound = SoundLoop::from_samples(RATE_HZ, &samples);
    sound.with_context(|| format!("cannot play {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(ambience: Option<Ambience>) -> AgentConfig {
        AgentConfig {
            ambience,
            ambience_dbfs: -45.0,
            ..AgentConfig::built_in("lead-qualification")
        }
    }

    fn wav(path: &Path, rate_hz: u32, seconds: u32) {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(path, spec).unwrap();
        for n in 0..rate_hz * seconds * 2 {
            file.write_sample((n % 200 * 20) as i16).unwrap();
        }
        file.finalize().unwrap();
    }

    #[test]
    fn a_file_of_any_rate_is_taken_and_made_into_a_loop_once() {
        let folder = tempfile::tempdir().unwrap();
        for rate_hz in [8_000, 22_050, 44_100, 48_000] {
            let path = folder.path().join(format!("{rate_hz}.wav"));
            wav(&path, rate_hz, 3);
            let agent = agent(Some(Ambience::File(path)));
            let mut ambiences = Ambiences::default();
            let first = ambiences.of(&agent).unwrap().unwrap();
            let second = ambiences.of(&agent).unwrap().unwrap();
            assert!(Arc::ptr_eq(&first.sound, &second.sound));
            assert_eq!(first.level_dbfs, -45.0);
            // Its end is faded into its start.
            let ms = first.sound.duration_ms();
            assert!((2_890..=2_910).contains(&ms), "{rate_hz}: {ms}");
        }
    }

    #[test]
    fn what_cannot_be_played_is_said_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let short = folder.path().join("short.wav");
        wav(&short, 8_000, 0);
        let text = folder.path().join("text.wav");
        std::fs::write(&text, "no sound at all").unwrap();
        for path in [short, text] {
            let name = path.display().to_string();
            let agent = agent(Some(Ambience::File(path)));
            let error = Ambiences::default().of(&agent).unwrap_err();
            assert!(format!("{error:#}").contains(&name), "{error:#}");
        }
        let none = Ambiences::default().of(&agent(None)).unwrap();
        assert!(none.is_none());
        let room = Ambiences::default().of(&agent(Some(Ambience::Room)));
        assert!(room.unwrap().unwrap().sound.duration_ms() > 10_000);
    }
}
