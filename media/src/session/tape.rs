//! What of a conversation waits to be recorded.

/// Steps of a wideband session that one tick records.
const FRAMES: usize = 2;

/// Holds a piece of a conversation, each party apart: 20 ms at 8 kHz, 10 ms at 16 kHz.
#[derive(Clone, Debug)]
pub struct RecordFrame {
    /// Samples per second: the session's rate.
    pub rate_hz: u32,
    /// Samples from the session's beginning to this piece's; it jumps where a piece is missing,
    /// so that who writes them down keeps time.
    pub position: u64,
    /// What we sent.
    pub local: [i16; RecordFrame::SAMPLES],
    /// What the peer sent, as the jitter buffer played it.
    pub remote: [i16; RecordFrame::SAMPLES],
}

impl RecordFrame {
    /// Samples of each party.
    pub const SAMPLES: usize = 160;
}

/// Takes both parties' sound with each tick, and keeps it until the session's owner comes for it.
/// It is there only while a session is recorded.
#[derive(Debug)]
pub(super) struct Tape {
    frames: [RecordFrame; FRAMES],
    /// How many of them were filled, and how many taken.
    filled: usize,
    taken: usize,
}

impl Tape {
    pub(super) fn new(rate_hz: u32) -> Self {
        let frame = RecordFrame {
            rate_hz,
            position: 0,
            local: [0; RecordFrame::SAMPLES],
            remote: [0; RecordFrame::SAMPLES],
        };
        Self {
            frames: [frame.clone(), frame],
            filled: 0,
            taken: 0,
        }
    }

    /// Records the step at `position` and returns how many frames of the step before nobody came
    /// for.
    pub(super) fn record(&mut self, position: u64, local: &[i16], remote: &[i16]) -> u64 {
        let missed = self.filled - self.taken;
        (self.filled, self.taken) = (0, 0);
        let pieces = local
            .chunks_exact(RecordFrame::SAMPLES)
            .zip(remote.chunks_exact(RecordFrame::SAMPLES));
        for (frame, (local, remote)) in self.frames.iter_mut().zip(pieces) {
            frame.position = position + (self.filled * RecordFrame::SAMPLES) as u64;
            frame.local.copy_from_slice(local);
            frame.remote.copy_from_slice(remote);
            self.filled += 1;
        }
        missed as u64
    }

    /// Takes the next frame.
    pub(super) fn take(&mut self) -> Option<RecordFrame> {
        let frame = self.frames.get(self.taken..self.filled)?.first()?;
        self.taken += 1;
        Some(frame.clone())
    }
}
