//! What a caller has said lately, kept as µ-law: a byte a sample, at the rate at which the call
//! sounds, with the frames' arrivals.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use offhook_media::Frame;
use offhook_media::codec::g711;

use super::tape::Tape;
use crate::ai::Audio;

/// Kept at all times: what the turn model looks at.
const RECENT: Duration = Duration::from_secs(8);
/// Kept while the caller goes on speaking; the agent asks for a long turn piece by piece.
const LONGEST: Duration = Duration::from_secs(32);
/// Sound before the first voiced frame that belongs to the word: soft consonants.
const LEAD_IN: Duration = Duration::from_millis(260);
/// Sound after the last voiced frame that belongs to the word.
const LEAD_OUT: Duration = Duration::from_millis(200);
/// The rate of a call of which nothing was heard yet.
const TELEPHONE_HZ: u32 = 8_000;

/// Arrivals are told apart to so much of a second.
const TICKS_PER_S: u128 = 10_000;

/// A frame that is kept.
#[derive(Clone, Copy)]
struct Kept {
    /// Its arrival in ticks after the call's first frame: enough for four days.
    received: u32,
    bytes: u16,
}

/// A rolling record of one caller's sound: 67 KB of a telephone call, 131 of a wideband one, and
/// four times as much while the caller speaks for long.
pub(super) struct History {
    rate_hz: u32,
    sound: Tape,
    frames: VecDeque<Kept>,
    /// When the first frame came.
    first: Option<Instant>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            rate_hz: TELEPHONE_HZ,
            sound: Tape::default(),
            frames: VecDeque::new(),
            first: None,
        }
    }
}

impl History {
    /// Adds a frame; `speaking` keeps what came before it for longer.
    pub(super) fn push(&mut self, frame: &Frame, speaking: bool) {
        if frame.rate_hz != self.rate_hz {
            // A leg's rate never changes, so nothing is lost here.
            self.rate_hz = frame.rate_hz;
            self.sound.clear();
            self.frames.clear();
        }
        let mut encoded = [0_u8; Frame::MAX_SAMPLES];
        let bytes = g711::encode_ulaw(frame.samples(), &mut encoded);
        self.sound.extend(encoded.get(..bytes).unwrap_or_default());
        self.first.get_or_insert(frame.received);
        self.frames.push_back(Kept {
            received: self.ticks(frame.received),
            bytes: bytes as u16,
        });
        let keep = if speaking { LONGEST } else { RECENT };
        let most = self.samples(keep);
        while self.sound.len() > most {
            let Some(oldest) = self.frames.pop_front() else {
                return;
            };
            self.sound.drop_first(usize::from(oldest.bytes));
        }
        if !speaking && self.frames.capacity() > 4 * self.frames.len().max(256) {
            self.frames.shrink_to_fit();
        }
    }

    /// Gives what was received from `from` until `until`, with a little before and after.
    pub(super) fn between(&self, from: Instant, until: Instant) -> Audio {
        let from = from.checked_sub(LEAD_IN).unwrap_or(from);
        let until = until + LEAD_OUT;
        let (from, until) = (self.ticks(from), self.ticks(until));
        let mut begin = 0;
        let mut end = 0;
        for frame in &self.frames {
            if frame.received < from {
                begin += usize::from(frame.bytes);
            }
            if frame.received <= until {
                end += usize::from(frame.bytes);
            }
        }
        self.decode(begin, end)
    }

    /// Gives the last seconds, for the turn model.
    pub(super) fn recent(&self) -> Audio {
        let most = self.samples(RECENT);
        self.decode(self.sound.len().saturating_sub(most), self.sound.len())
    }

    /// A moment in ticks after the first frame's arrival; 0 before it.
    fn ticks(&self, at: Instant) -> u32 {
        let first = self.first.unwrap_or(at);
        let since = at.saturating_duration_since(first).as_micros();
        u32::try_from(since * TICKS_PER_S / 1_000_000).unwrap_or(u32::MAX)
    }

    fn samples(&self, time: Duration) -> usize {
        usize::try_from(time.as_secs() * u64::from(self.rate_hz)).unwrap_or(usize::MAX)
    }

    fn decode(&self, begin: usize, end: usize) -> Audio {
        let encoded = self.sound.copy(begin, end);
        let mut samples = vec![0; encoded.len()];
        g711::decode_ulaw(&encoded, &mut samples);
        Audio {
            rate_hz: self.rate_hz,
            samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(rate_hz: u32, frames: u64, speaking: bool) -> (History, Instant) {
        let start = crate::clock::now();
        let mut history = History::default();
        let samples = usize::try_from(rate_hz).unwrap() / 50;
        for n in 0..frames {
            let at = start + Duration::from_millis(20 * n);
            let sound = vec![i16::try_from(n % 100).unwrap() * 100; samples];
            history.push(&Frame::new(rate_hz, n * 160, at, false, &sound), speaking);
        }
        (history, start)
    }

    #[test]
    fn an_utterance_is_found_by_its_times_with_a_little_around_it() {
        for rate_hz in [8_000, 16_000] {
            let (history, start) = fed(rate_hz, 200, true);
            let at = |ms| start + Duration::from_millis(ms);
            let audio = history.between(at(1000), at(2000));
            assert_eq!(audio.rate_hz, rate_hz);
            let expected = (1000 + 260 + 200) * rate_hz as usize / 1_000;
            assert!(
                audio.samples.len().abs_diff(expected) <= rate_hz as usize / 50,
                "{} for {expected}",
                audio.samples.len()
            );
        }
    }

    #[test]
    fn memory_is_bounded_however_long_the_call_and_the_turn() {
        for rate_hz in [8_000, 16_000] {
            let (history, _) = fed(rate_hz, 20_000, true);
            let second = rate_hz as usize;
            assert!(history.sound.len() <= 32 * second && history.frames.len() <= 32 * 50);
            let (history, _) = fed(rate_hz, 20_000, false);
            assert_eq!(history.recent().samples.len(), 8 * second);
            // No more room than for what is kept, but for two blocks.
            assert!(history.sound.capacity() <= 8 * second + 2 * 4_096);
            assert!(history.frames.capacity() <= 1_024);
        }
    }
}
