//! Speech from text: a Piper voice that streams, and all that comes before it.
//!
//! Text as people write it goes through [`normalise`] (numbers, dates and addresses become words),
//! [`phonemes`] (espeak-ng, in a process of its own) and a [`Voice`], which gives telephone samples
//! chunk by chunk. [`ClauseSplitter`] cuts text that is still being written into clauses, and
//! [`PhraseCache`] keeps the sound of what is said again and again.

mod cache;
mod clauses;
pub mod normalise;
pub mod phonemes;
mod phrases;
mod piper;
mod shape;

pub use crate::resample::convert_rate;
pub use clauses::ClauseSplitter;
pub use phonemes::{PhonemeError, Phonemizer, PhonemizerOptions};
pub use phrases::PhraseCache;
pub use piper::{Phonemes, Step, Synthesis, Voice, VoiceError, VoiceOptions};
