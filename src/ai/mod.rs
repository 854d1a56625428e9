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

/// Turns an utterance into text.
pub trait SpeechToText: Send + Sync {
    /// Recognises mono PCM at 8 kHz; `hint` tells what kind of words to expect.
    fn recognise(
        &self,
        audio: Vec<i16>,
        hint: Option<SlotKind>,
        abandon: Abandon,
        deliver: Deliver<Result<Recognised, String>>,
    );
}

/// Judges whether a turn is over.
pub trait TurnModel: Send + Sync {
    /// Judges the last seconds of the caller's sound, mono PCM at 8 kHz: the probability that the
    /// turn is complete.
    fn judge(&self, audio: Vec<i16>, abandon: Abandon, deliver: Deliver<Result<f32, String>>);
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
    /// Speaks `text` at 8 kHz; `deliver` gets the chunks in order, then `End` or `Failed`, and
    /// says whether it still wants more.
    fn speak(&self, text: &str, abandon: Abandon, deliver: Box<dyn FnMut(Sound) -> bool + Send>);
}
