//! What a buffer went through.

/// Counts what a buffer went through, in samples unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Played since the first sound came, made up or not.
    pub played: u64,
    /// Made up for packets that were late or lost.
    pub concealed: u64,
    /// Recovered of lost packets from what the next one carried of them; for the listeners also when
    /// it is too late to be played, and then concealed as well.
    pub recovered: u64,
    /// Played while the sender kept silent, or to build the delay up in its silence.
    pub held: u64,
    /// Left out to wear off delay.
    pub accelerated: u64,
    /// Played twice to build up delay.
    pub expanded: u64,
    /// Left out because more came at once than fits.
    pub discarded: u64,
    /// Packets whose place was given up.
    pub late_packets: u64,
    /// Decoded, but never taken by [`JitterBuffer::hear`](super::JitterBuffer::hear).
    pub unheard: u64,
    /// Delay that the network asks for now, in milliseconds.
    pub target_ms: u32,
    /// Mean delay from a fast packet's arrival to its playing, in milliseconds.
    pub delay_ms: u32,
}

impl JitterStats {
    /// Share of what was played that was made up for late or lost packets, 0 to 1.
    #[must_use]
    pub fn concealed_ratio(&self) -> f32 {
        self.share(self.concealed)
    }

    /// Samples left out, of those played: 0.1 is 10 % faster.
    #[must_use]
    pub fn accelerated_ratio(&self) -> f32 {
        self.share(self.accelerated + self.discarded)
    }

    /// Share of what was played that was played twice, 0 to 1.
    #[must_use]
    pub fn expanded_ratio(&self) -> f32 {
        self.share(self.expanded)
    }

    fn share(&self, samples: u64) -> f32 {
        samples as f32 / self.played.max(1) as f32
    }
}
