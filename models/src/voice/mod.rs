//! Speech from text: normalisation, phonemes, Piper voices that stream.
pub mod normalise;
