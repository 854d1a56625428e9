//! What is above the comparison's band: where hissing sounds have their energy.

/// Frames from which it must be known how much of it comes back.
const KNOWN: u32 = 10;
/// How fast that follows the frames.
const FOLLOW: f32 = 0.05;
/// What a frame counts for at most: the caller hisses over echoes as well.
const MOST: f32 = 1.5;
/// By how much more than it says an echo may have: 6 dB.
const LOUDER: f32 = 4.0;
/// Energy below which there is nothing to compare, a sample at the comparison's rate.
const QUIET: f32 = 4_000.0;

/// Follows how much of the energy of hissing sounds comes back.
#[derive(Debug, Default)]
pub(super) struct HighBand {
    /// The share that comes back, as a logarithm.
    share: f32,
    frames: u32,
    /// What was sent lately, as a room's tail dies away, and whether it is no tail.
    lately: f32,
    fresh: bool,
}

impl HighBand {
    /// Takes what was sent with a frame, and what of a room's tail is left after one.
    pub(super) fn sent(&mut self, energy: f32, tail: f32) {
        self.fresh = energy >= self.lately * tail;
        self.lately = energy.max(self.lately * tail);
    }

    /// Whether more was heard than can have come back.
    pub(super) fn exceeds(&self, heard: f32, samples: usize) -> bool {
        self.frames >= KNOWN
            && heard > QUIET * samples as f32
            && heard > LOUDER * self.share.exp() * self.lately
    }

    /// Learns from a frame that was an echo alone.
    pub(super) fn confirm(&mut self, heard: f32, samples: usize) {
        if !self.fresh || self.lately < QUIET * samples as f32 || heard <= 0.0 {
            return;
        }
        let share = (heard / self.lately).ln();
        self.frames += 1;
        let follow = FOLLOW.max(1.0 / self.frames as f32);
        let most = if self.frames > KNOWN { MOST } else { f32::MAX };
        self.share += follow * (share - self.share).clamp(-most, most);
    }
}
