//! Shells around what hears, thinks and speaks: on-box models behind one trait each, and the LLM.

pub mod hearing;
pub mod llm;
mod on_box;
mod speaking;
mod stt;
mod turn;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::agent::flow::SlotKind;

pub use on_box::{OnBox, OnBoxError, Voicing, Words, needed_models};
pub use speaking::PiperVoice;
pub use stt::WhisperRecogniser;
pub use turn::SmartTurn;

/// The rate of wideband sound, and of all sound that the models take.
const WIDEBAND_HZ: u32 = 16_000;

/// Stops work whose result nobody wants any more. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Abandon(Arc<AtomicBool>);

impl Abandon {
    /// Asks the work to stop before its next step.
    pub fn abandon(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Tells whether it was asked to stop.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a recogniser made of an utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognised {
    /// The words; empty when there were none.
    pub text: String,
    /// How long the recogniser had it, queue included, in milliseconds.
    pub took_ms: u32,
}

/// Delivers one result, from any thread.
pub type Deliver<T> = Box<dyn FnOnce(T) + Send>;

/// What was heard: mono PCM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audio {
    /// Samples per second: 8,000, or 16,000 of a wideband call.
    pub rate_hz: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

impl Audio {
    /// The sound at 16 kHz, full scale ±1, as the models take it.
    #[must_use]
    pub fn for_models(&self) -> Vec<f32> {
        if self.rate_hz == WIDEBAND_HZ {
            let samples = self.samples.iter();
            return samples.map(|s| f32::from(*s) / 32_768.0).collect();
        }
        offhook_models::resample::upsample(&self.samples)
    }
}

/// Turns an utterance into text.
pub trait SpeechToText: Send + Sync {
    /// Recognises an utterance; `hint` tells what kind of words to expect.
    fn recognise(
        &self,
        audio: Audio,
        hint: Option<SlotKind>,
        abandon: Abandon,
        deliver: Deliver<Result<Recognised, String>>,
    );
}

/// Judges whether a turn is over.
pub trait TurnModel: Send + Sync {
    /// Judges the last seconds of the caller's sound: the probability that the turn is complete.
    fn judge(&self, audio: Audio, abandon: Abandon, deliver: Deliver<Result<f32, String>>);
}

/// One piece of synthesised speech.
#[derive(Clone, Debug, PartialEq)]
pub enum Sound {
    /// Mono PCM at the rate that was asked for.
    Chunk(Arc<[i16]>),
    /// The text is spoken.
    End,
    /// It cannot be.
    Failed(String),
}

/// Turns text into sound.
pub trait TextToSpeech: Send + Sync {
    /// Speaks `text` at `rate_hz`; `deliver` gets the chunks in order, then `End` or `Failed`, and
    /// says whether it still wants more.
    fn speak(
        &self,
        text: &str,
        rate_hz: u32,
        abandon: Abandon,
        deliver: Box<dyn FnMut(Sound) -> bool + Send>,
    );
}
