//! What a caller has said lately, kept as µ-law: a byte a sample, with the frames' arrivals.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use offhook_media::Frame;
use offhook_media::codec::g711;

/// Kept at all times: what the turn model looks at.
const RECENT: Duration = Duration::from_secs(8);
/// Kept while the caller goes on speaking; the agent asks for a long turn piece by piece.
const LONGEST: Duration = Duration::from_secs(32);
/// Sound before the first voiced frame that belongs to the word: soft consonants.
const LEAD_IN: Duration = Duration::from_millis(260);
/// Sound after the last voiced frame that belongs to the word.
const LEAD_OUT: Duration = Duration::from_millis(200);
/// The rate of everything kept here.
const RATE_HZ: usize = 8000;

struct Kept {
    received: Instant,
    bytes: usize,
}

/// A rolling record of one caller's sound at 8 kHz.
#[derive(Default)]
pub(super) struct History {
    sound: VecDeque<u8>,
    frames: VecDeque<Kept>,
}

impl History {
    /// Adds a frame; `speaking` keeps what came before it for longer.
    pub(super) fn push(&mut self, frame: &Frame, speaking: bool) {
        let narrow = frame.samples();
        let step = (frame.rate_hz as usize / RATE_HZ).max(1);
        let mut thinned = [0_i16; Frame::MAX_SAMPLES];
        let mut encoded = [0_u8; Frame::MAX_SAMPLES];
        let mut bytes = 0;
        for (to, from) in thinned.iter_mut().zip(narrow.iter().step_by(step)) {
            *to = *from;
            bytes += 1;
        }
        g711::encode_ulaw(thinned.get(..bytes).unwrap_or_default(), &mut encoded);
        self.sound.extend(encoded.iter().take(bytes));
        self.frames.push_back(Kept {
            received: frame.received,
            bytes,
        });
        let keep = if speaking { LONGEST } else { RECENT };
        let most = usize::try_from(keep.as_secs()).unwrap_or(8) * RATE_HZ;
        while self.sound.len() > most {
            let Some(oldest) = self.frames.pop_front() else {
                return;
            };
            self.sound.drain(..oldest.bytes.min(self.sound.len()));
        }
        if !speaking && self.sound.capacity() > 3 * most {
            self.sound.shrink_to(most + RATE_HZ);
        }
    }

    /// Gives what was received from `from` until `until`, with a little before and after.
    pub(super) fn between(&self, from: Instant, until: Instant) -> Vec<i16> {
        let from = from.checked_sub(LEAD_IN).unwrap_or(from);
        let until = until + LEAD_OUT;
        let mut begin = 0;
        let mut end = 0;
        for frame in &self.frames {
            if frame.received < from {
                begin += frame.bytes;
            }
            if frame.received <= until {
                end += frame.bytes;
            }
        }
        self.decode(begin, end)
    }

    /// Gives the last seconds, for the turn model.
    pub(super) fn recent(&self) -> Vec<i16> {
        let most = usize::try_from(RECENT.as_secs()).unwrap_or(8) * RATE_HZ;
        self.decode(self.sound.len().saturating_sub(most), self.sound.len())
    }

    fn decode(&self, begin: usize, end: usize) -> Vec<i16> {
        let count = end.saturating_sub(begin);
        let encoded: Vec<u8> = self.sound.iter().skip(begin).take(count).copied().collect();
        let mut samples = vec![0; encoded.len()];
        g711::decode_ulaw(&encoded, &mut samples);
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(frames: u64, speaking: bool) -> (History, Instant) {
        let start = crate::clock::now();
        let mut history = History::default();
        for n in 0..frames {
            let at = start + Duration::from_millis(20 * n);
            let level = i16::try_from(n % 100).unwrap() * 100;
            history.push(
                &Frame::new(8000, n * 160, at, false, &[level; 160]),
                speaking,
            );
        }
        (history, start)
    }

    #[test]
    fn an_utterance_is_found_by_its_times_with_a_little_around_it() {
        let (history, start) = fed(200, true);
        let at = |ms| start + Duration::from_millis(ms);
        let audio = history.between(at(1000), at(2000));
        let expected = (1000 + 260 + 200) * 8;
        assert!(
            audio.len().abs_diff(expected) <= 160,
            "{} for {expected}",
            audio.len()
        );
    }

    #[test]
    fn memory_is_bounded_however_long_the_call_and_the_turn() {
        let (history, _) = fed(20_000, true);
        assert!(history.sound.len() <= 32 * RATE_HZ && history.frames.len() <= 32 * 50);
        let (history, _) = fed(20_000, false);
        assert_eq!(history.recent().len(), 8 * RATE_HZ);
    }
}
