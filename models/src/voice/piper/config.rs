//! A voice's `.onnx.json`: its rates, scales and phonemes.

use std::collections::HashMap;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use crate::ModelError;

/// What Piper puts between phonemes, before the first and after the last.
const PAD: &str = "_";
const BEGIN: &str = "^";
const END: &str = "$";

/// The part of a voice's configuration that speech needs.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    audio: Audio,
    espeak: Espeak,
    pub(super) inference: Inference,
    phoneme_id_map: HashMap<String, Vec<i64>>,
    #[serde(default = "one")]
    num_speakers: u32,
    #[serde(default)]
    phoneme_type: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Audio {
    sample_rate: u32,
}

#[derive(Debug, Deserialize)]
struct Espeak {
    voice: String,
}

/// How a voice was meant to be used.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Inference {
    pub(super) noise_scale: f32,
    pub(super) length_scale: f32,
    pub(super) noise_w: f32,
}

fn one() -> u32 {
    1
}

impl Config {
    /// Reads a configuration and checks that this crate can speak with it.
    pub(super) fn parse(what: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        let config: Self =
            serde_json::from_slice(bytes).map_err(|error| ModelError::malformed(what, error))?;
        if config.num_speakers > 1 {
            return Err(ModelError::malformed(
                what,
                "voices of several speakers are not spoken",
            ));
        }
        if config
            .phoneme_type
            .as_deref()
            .is_some_and(|kind| kind != "espeak")
        {
            return Err(ModelError::malformed(
                what,
                "only espeak's phonemes are spoken",
            ));
        }
        if !(8_000..=48_000).contains(&config.audio.sample_rate) {
            return Err(ModelError::malformed(
                what,
                "the sample rate is not 8 to 48 kHz",
            ));
        }
        for needed in [PAD, BEGIN, END] {
            if !config.phoneme_id_map.contains_key(needed) {
                return Err(ModelError::malformed(
                    what,
                    format!("phoneme_id_map lacks {needed:?}"),
                ));
            }
        }
        Ok(config)
    }

    /// The rate of the voice's own sound in hertz.
    pub(super) fn sample_rate_hz(&self) -> u32 {
        self.audio.sample_rate
    }

    /// The name of the voice in espeak-ng, such as `en-us`.
    pub(super) fn espeak_voice(&self) -> &str {
        &self.espeak.voice
    }

    /// Gives the ids of phonemes as Piper was trained with them: begin, then each with a pad after
    /// it, then end. What the voice does not know is left out.
    pub(super) fn phoneme_ids(&self, phonemes: &str) -> Vec<i64> {
        let ids = |key: &str| {
            self.phoneme_id_map
                .get(key)
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let mut list = Vec::with_capacity(phonemes.len() * 2 + 4);
        list.extend(ids(BEGIN));
        list.extend(ids(PAD));
        let mut buffer = [0; 4];
        for phoneme in phonemes.nfd() {
            let known = ids(phoneme.encode_utf8(&mut buffer));
            if !known.is_empty() {
                list.extend(known);
                list.extend(ids(PAD));
            }
        }
        list.extend(ids(END));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOE: &str = r#"{
        "audio": { "sample_rate": 22050, "quality": "medium" },
        "espeak": { "voice": "en-us" },
        "inference": { "noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8 },
        "phoneme_type": "espeak", "num_speakers": 1, "speaker_id_map": {},
        "phoneme_id_map": {
            "_": [0], "^": [1], "$": [2], " ": [3], "a": [14], "̃": [141], ".": [10]
        }
    }"#;

    #[test]
    fn phonemes_are_framed_and_padded() {
        let config = Config::parse("joe", JOE.as_bytes()).unwrap();
        assert_eq!(
            config.phoneme_ids("a a."),
            [1, 0, 14, 0, 3, 0, 14, 0, 10, 0, 2]
        );
    }

    #[test]
    fn composed_characters_are_taken_apart_and_unknown_ones_left_out() {
        let config = Config::parse("joe", JOE.as_bytes()).unwrap();
        assert_eq!(config.phoneme_ids("\u{e3}Q"), [1, 0, 14, 0, 141, 0, 2]);
    }

    #[test]
    fn a_voice_of_several_speakers_is_refused() {
        let many = JOE.replace("\"num_speakers\": 1", "\"num_speakers\": 904");
        assert!(Config::parse("libri", many.as_bytes()).is_err());
        assert!(Config::parse("none", b"{}").is_err());
    }
}
