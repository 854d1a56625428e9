//! A piece of decoded sound on its way to those who listen.

use std::fmt;
use std::time::Instant;

/// Samples that a step of sound has at most: 20 ms at 16 kHz.
pub const STEP_SAMPLES: usize = 320;

/// Holds at most 20 ms of mono sound at 8 kHz, or 10 at 16, inline, with where it lies in its stream.
///
/// A longer packet becomes several frames. A frame is some 360 bytes and owns no heap memory, so it
/// may be sent through a bounded queue without an allocation.
#[derive(Clone)]
pub struct Frame {
    /// Samples per second.
    pub rate_hz: u32,
    /// Where the first sample lies in its stream, in samples: its RTP timestamp, extended to 64
    /// bits so that it never wraps (RFC 3550 §5.1), and counted at [`Frame::rate_hz`] where the
    /// codec's clock runs at another rate. It never runs back within a session.
    pub rtp_timestamp: u64,
    /// When the packet that carried the sound arrived, or when it was given up.
    pub received: Instant,
    /// Whether the sound was made up here because the packet was late or lost.
    pub concealed: bool,
    /// Whether the sound was our own, come back: it was replaced by silence.
    pub echo: bool,
    len: u16,
    samples: [i16; Frame::MAX_SAMPLES],
}

impl Frame {
    /// Samples that a frame holds at most.
    pub const MAX_SAMPLES: usize = 160;

    /// Copies the first [`Frame::MAX_SAMPLES`] of `samples` into a frame.
    #[must_use]
    pub fn new(
        rate_hz: u32,
        rtp_timestamp: u64,
        received: Instant,
        concealed: bool,
        samples: &[i16],
    ) -> Self {
        let len = samples.len().min(Self::MAX_SAMPLES);
        let mut frame = Self::silent(rate_hz, rtp_timestamp, received, concealed, len);
        let samples = samples.iter().take(len);
        frame
            .samples_mut()
            .iter_mut()
            .zip(samples)
            .for_each(|(to, from)| *to = *from);
        frame
    }

    /// Makes a frame of so many samples, at most [`Frame::MAX_SAMPLES`], which are to be filled.
    pub(crate) fn silent(
        rate_hz: u32,
        rtp_timestamp: u64,
        received: Instant,
        concealed: bool,
        samples: usize,
    ) -> Self {
        Self {
            rate_hz,
            rtp_timestamp,
            received,
            concealed,
            echo: false,
            len: samples.min(Self::MAX_SAMPLES) as u16,
            samples: [0; Self::MAX_SAMPLES],
        }
    }

    /// The sound: mono, 16-bit, at [`Frame::rate_hz`].
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        self.samples
            .get(..usize::from(self.len))
            .unwrap_or_default()
    }

    /// The sound, to be changed.
    pub(crate) fn samples_mut(&mut self) -> &mut [i16] {
        self.samples
            .get_mut(..usize::from(self.len))
            .unwrap_or_default()
    }

    /// Replaces the sound, which is our own, by silence.
    pub(crate) fn silence_echo(&mut self) {
        self.echo = true;
        self.samples = [0; Self::MAX_SAMPLES];
    }

    /// How long the sound lasts, in microseconds.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        u64::from(self.len) * 1_000_000 / u64::from(self.rate_hz.max(1))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("rate_hz", &self.rate_hz)
            .field("rtp_timestamp", &self.rtp_timestamp)
            .field("concealed", &self.concealed)
            .field("samples", &self.len)
            .finish_non_exhaustive()
    }
}
