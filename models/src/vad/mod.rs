//! Is somebody speaking? A cheap gate looks at every frame, Silero at what passes it, and a
//! detector for each call turns probabilities into the edges of speech.
//!
//! The gate lives on the media thread ([`Gate`] cannot change threads), Silero and the detectors
//! on a thread of their own: one loaded [`Silero`] serves every call.

mod detector;
mod silero;
mod sound;

use offhook_media::Frame;
use webrtc_vad::{SampleRate, Vad, VadMode};

pub use detector::{VadEdge, VadSettings, VoiceDetector, is_audible, level_db};
pub use silero::{Instructions, Silero, SileroBatch, SileroState, WINDOW};

/// The cheap first look at a frame: WebRTC's VAD, 1.3 µs for 20 ms.
///
/// It lets almost all speech through, and much else: what passes is for [`Silero`] to judge.
pub struct Gate {
    vad: Vad,
    rate_hz: u32,
}

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
        let vad = Vad::new_with_rate_and_mode(SampleRate::Rate8kHz, VadMode::Aggressive);
        Self {
            vad,
            rate_hz: 8_000,
        }
    }

    /// Says whether the frame may hold speech.
    pub fn is_speech(&mut self, frame: &Frame) -> bool {
        if frame.rate_hz != self.rate_hz {
            self.rate_hz = frame.rate_hz;
            self.vad.set_sample_rate(match frame.rate_hz {
                16_000 => SampleRate::Rate16kHz,
                _ => SampleRate::Rate8kHz,
            });
        }
        // The gate takes 10, 20 or 30 ms; what is left over belongs to the next frame's like.
        let ten_ms = (frame.rate_hz as usize / 100).max(1);
        let length = (frame.samples().len() / ten_ms).min(3) * ten_ms;
        match frame.samples().get(..length) {
            Some(sound) if length > 0 => self.vad.is_voice_segment(sound).unwrap_or(true),
            _ => false,
        }
    }
}
