//! When a received frame was sent, in our own time.

use super::{RATE_HZ, STEP_MAX};

/// How much later than the fastest a packet may come before the clocks are aligned anew.
pub(super) const SLACK: usize = RATE_HZ as usize * 3 / 10;
/// Frames after which the alignment of the clocks is taken anew: 10 s.
const ALIGN_EVERY: u32 = 500;

/// Where a received frame lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its newest sample came so many samples after the reference's newest.
    pub(super) back: i64,
    /// So much longer every delay appears from now on.
    pub(super) moved: i64,
    /// The clocks were aligned anew, with the frame at the reference's newest.
    pub(super) anew: bool,
}

/// Aligns the peer's RTP time with ours by the packets that came fastest.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    fastest: Option<i64>,
    fastest_lately: Option<i64>,
    frames: u32,
}

impl Alignment {
    pub(super) fn place(&mut self, delay: i64) -> Placed {
        self.frames += 1;
        self.fastest_lately = Some(self.fastest_lately.map_or(delay, |least| least.min(delay)));
        let Some(before) = self.fastest else {
            self.fastest = Some(delay);
            return Placed {
                anew: true,
                ..Placed::default()
            };
        };
        let mut fastest = before;
        if self.frames >= ALIGN_EVERY {
            self.frames = 0;
            let lately = self.fastest_lately.replace(delay).unwrap_or(delay);
            fastest = fastest.max(lately);
        }
        if delay < fastest || delay - fastest > SLACK as i64 {
            fastest = delay;
        }
        self.fastest = Some(fastest);
        // A hair's breadth is jitter of the grid, not another alignment.
        let jumped = fastest == delay && before.abs_diff(delay) > STEP_MAX as u64;
        Placed {
            back: delay - fastest,
            moved: if jumped { 0 } else { fastest - before },
            anew: jumped,
        }
    }
}
