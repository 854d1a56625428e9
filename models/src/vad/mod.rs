//! Is somebody speaking? A cheap gate looks at every frame, Silero at what passes it, and a
//! detector for each call turns probabilities into the edges of speech.
//!
//! The gate lives on the media thread ([`Gate`] cannot change threads), Silero and the detectors
//! on a thread of their own: one loaded [`Silero`] serves every call.

mod detector;
mod silero;

use offhook_media::Frame;
use webrtc_vad::{SampleRate, Vad, VadMode};

pub use detector::{VadEdge, VadSettings, VoiceDetector, is_audible, level_db};
pub use silero::{Silero, SileroBatch, SileroState, WINDOW};

/// Samples of 10 ms at 8 kHz, the shortest piece that the gate takes.
const TEN_MS: usize = 80;

/// The cheap first look at a frame: WebRTC's VAD, 1.3 µs for 20 ms.
///
/// It lets almost all speech through, and much else: what passes is for [`Silero`] to judge.
pub struct Gate(Vad);

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// Makes a gate of the second-strictest mode: the strictest loses soft beginnings.
    #[must_use]
    pub fn new() -> Self {
        Self(Vad::new_with_rate_and_mode(
            SampleRate::Rate8kHz,
            VadMode::Aggressive,
        ))
    }

    /// Says whether the frame may hold speech.
    pub fn is_speech(&mut self, frame: &Frame) -> bool {
        let mut narrow = [0_i16; Frame::MAX_SAMPLES];
        let step = (frame.rate_hz / 8000).max(1) as usize;
        let mut length = 0;
        for (to, from) in narrow.iter_mut().zip(frame.samples().iter().step_by(step)) {
            *to = *from;
            length += 1;
        }
        // The gate takes 10, 20 or 30 ms; what is left over belongs to the next frame's like.
        let length = (length / TEN_MS).min(3) * TEN_MS;
        match narrow.get(..length) {
            Some(sound) if length > 0 => self.0.is_voice_segment(sound).unwrap_or(true),
            _ => false,
        }
    }
}
