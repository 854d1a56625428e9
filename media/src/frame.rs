//! A piece of decoded sound on its way to those who listen.

use std::fmt;
use std::time::Instant;

/// Holds at most 20 ms of mono sound at up to 16 kHz, inline, with where it lies in its stream.
///
/// A longer packet becomes several frames. A frame is about 700 bytes and owns no heap memory, so
/// it may be sent through a bounded queue without an allocation.
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
    /// Samples that a frame holds at most: 20 ms at 16 kHz.
    pub const MAX_SAMPLES: usize = 320;

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
        let mut inline = [0; Self::MAX_SAMPLES];
        if let (Some(to), Some(from)) = (inline.get_mut(..len), samples.get(..len)) {
            to.copy_from_slice(from);
        }
        Self {
            rate_hz,
            rtp_timestamp,
            received,
            concealed,
            echo: false,
            len: len as u16,
            samples: inline,
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
