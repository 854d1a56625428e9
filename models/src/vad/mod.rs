//! Is somebody speaking? A cheap gate looks at every frame, Silero at what passes it, and a
//! detector for each call turns probabilities into the edges of speech.
//!
//! The gate lives on the media thread, Silero and the detectors on a thread of their own: one loaded
//! [`Silero`] serves every call.

mod detector;
mod gate;
mod silero;
mod sound;

pub use detector::{VadEdge, VadSettings, VoiceDetector, is_audible, level_db};
pub use gate::Gate;
pub use silero::{Instructions, Silero, SileroBatch, SileroState, WINDOW};
