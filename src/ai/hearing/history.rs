//! What a caller has said lately, kept as µ-law: a byte a sample, at the rate at which the call
//! sounds, with the frames' arrivals.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use offhook_media::Frame;
use offhook_media::codec::g711;

use super::tape::Tape;
use crate::ai::Audio;

/// Kept while a turn may go on: what the turn model looks at.
const RECENT: Duration = Duration::from_secs(8);
/// Kept between the caller's turns: what the next one begins with.
const BETWEEN_TURNS: Duration = Duration::from_secs(1);
/// Kept while the caller goes on speaking; the agent asks for a long turn piece by piece.
const LONGEST: Duration = Duration::from_secs(32);
/// Sound before the first voiced frame that belongs to the word: soft consonants.
const LEAD_IN: Duration = Duration::from_millis(260);
/// Sound after the last voiced frame that belongs to the word.
const LEAD_OUT: Duration = Duration::from_millis(200);
/// The rate of a call of which nothing was heard yet.
const TELEPHONE_HZ: u32 = 8_000;

/// Arrivals are told apart to so much of a second.
const TICKS_PER_S: u32 = 10_000;

/// A frame that is kept.
#[derive(Clone, Copy)]
struct Kept {
    /// Its arrival in ticks after the one before it.
    after: u16,
    bytes: u16,
}

/// A rolling record of one caller's sound: 66 KB of a telephone call, 131 of a wideband one, four
/// times as much while the caller speaks for long, and an eighth between the caller's turns.
pub(super) struct History {
    rate_hz: u32,
    sound: Tape,
    frames: VecDeque<Kept>,
    /// When the first frame came.
    first: Option<Instant>,
    /// The newest frame's arrival in ticks after the call's first: enough for four days.
    newest: u32,
    /// No turn of the caller's is under way, of which anything would be asked for.
    between_turns: bool,
}

impl Default for History {
    fn default() -> Self {
        Self {
            rate_hz: TELEPHONE_HZ,
            sound: Tape::default(),
            frames: VecDeque::new(),
            first: None,
            newest: 0,
            between_turns: true,
        }
    }
}

impl History {
    /// Adds a frame; `speaking` keeps what came before it for longer.
    pub(super) fn push(&mut self, frame: &Frame, speaking: bool) {
        self.first.get_or_insert(frame.received);
        let received = self.ticks(frame.received).max(self.newest);
        let after = u16::try_from(received - self.newest);
        // A leg's rate never changes, so nothing is lost here; nor does a turn go on after a gap of
        // six seconds.
        if frame.rate_hz != self.rate_hz || after.is_err() {
            self.rate_hz = frame.rate_hz;
            self.sound.clear();
            self.frames.clear();
        }
        let mut encoded = [0_u8; Frame::MAX_SAMPLES];
        let bytes = g711::encode_ulaw(frame.samples(), &mut encoded);
        self.sound.extend(encoded.get(..bytes).unwrap_or_default());
        self.frames.push_back(Kept {
            after: after.unwrap_or(0),
            bytes: bytes as u16,
        });
        self.newest = received;
        self.between_turns &= !speaking;
        self.keep(match (speaking, self.between_turns) {
            (true, _) => LONGEST,
            (false, false) => RECENT,
            (false, true) => BETWEEN_TURNS,
        });
    }

    /// Lets go of what was said: of a turn that is over nothing more is asked for.
    pub(super) fn end_turn(&mut self) {
        self.between_turns = true;
        self.keep(BETWEEN_TURNS);
    }

    /// Lets go of all but the newest sound of so long a time.
    fn keep(&mut self, time: Duration) {
        let most = self.samples(time);
        while self.sound.len() > most {
            let Some(oldest) = self.frames.pop_front() else {
                return;
            };
            self.sound.drop_first(usize::from(oldest.bytes));
        }
        if self.frames.capacity() > 4 * self.frames.len().max(64) {
            self.frames.shrink_to(2 * self.frames.len());
        }
    }

    /// Gives what was received from `from` until `until`, with a little before and after.
    pub(super) fn between(&self, from: Instant, until: Instant) -> Audio {
        let from = from.checked_sub(LEAD_IN).unwrap_or(from);
        let until = until + LEAD_OUT;
        let (from, until) = (self.ticks(from), self.ticks(until));
        let later = self.frames.iter().skip(1);
        let spanned = later.map(|frame| u32::from(frame.after)).sum();
        let mut received = self.newest.saturating_sub(spanned);
        let (mut begin, mut end) = (0, 0);
        for (number, frame) in self.frames.iter().enumerate() {
            if number > 0 {
                received += u32::from(frame.after);
            }
            if received < from {
                begin += usize::from(frame.bytes);
            }
            if received <= until {
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
        u32::try_from(since * u128::from(TICKS_PER_S) / 1_000_000).unwrap_or(u32::MAX)
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
        let in_20_ms = usize::try_from(rate_hz).unwrap() / 50;
        for n in 0..frames {
            let at = start + Duration::from_millis(20 * n);
            let sound = vec![i16::try_from(n % 100).unwrap() * 100; in_20_ms];
            for part in sound.chunks(Frame::MAX_SAMPLES) {
                history.push(&Frame::new(rate_hz, n * 160, at, false, part), speaking);
            }
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
            let in_second = second / Frame::MAX_SAMPLES;
            assert!(history.sound.len() <= 32 * second);
            assert!(history.frames.len() <= 32 * in_second);
            let (history, _) = fed(rate_hz, 20_000, false);
            assert_eq!(history.recent().samples.len(), second);
            // No more room than for what is kept, but for three blocks.
            assert!(history.sound.capacity() <= second + 3 * 1_024);
            assert!(history.frames.capacity() <= 4 * in_second.max(64));
        }
    }

    #[test]
    fn a_turn_keeps_its_eight_seconds_through_every_pause_and_gives_them_up_when_it_is_over() {
        let (mut history, start) = fed(8_000, 500, true);
        let go_on = |history: &mut History, from: u64, speaking| {
            for n in from..from + 1_000 {
                let at = start + Duration::from_millis(20 * n);
                history.push(&Frame::new(8_000, n * 160, at, false, &[0; 160]), speaking);
            }
        };
        go_on(&mut history, 500, false);
        assert_eq!(
            history.recent().samples.len(),
            64_000,
            "the caller hesitates"
        );
        history.end_turn();
        assert_eq!(history.recent().samples.len(), 8_000);
        assert!(history.sound.capacity() <= 8_000 + 3 * 1_024);
        go_on(&mut history, 1_500, false);
        assert_eq!(history.recent().samples.len(), 8_000, "the agent speaks");
        go_on(&mut history, 2_500, true);
        go_on(&mut history, 3_500, false);
        assert_eq!(history.recent().samples.len(), 64_000, "the next turn");
    }

    #[test]
    fn after_a_gap_in_the_sound_times_are_still_right() {
        for gap_ms in [300, 5_000, 60_000] {
            let start = crate::clock::now();
            let mut history = History::default();
            let at = |n: u64| {
                let gap = if n < 100 { 0 } else { gap_ms };
                start + Duration::from_micros(20_037 * n) + Duration::from_millis(gap)
            };
            for n in 0..200 {
                let sound = [i16::try_from(n).unwrap() * 100; 160];
                history.push(&Frame::new(8_000, n * 160, at(n), false, &sound), true);
            }
            let audio = history.between(at(130), at(180));
            // With what comes before and after: 260 and 200 ms.
            assert_eq!(audio.samples.len(), (12 + 51 + 9) * 160, "{gap_ms} ms");
            assert!((audio.samples[0] - 11_800).abs() < 400, "{gap_ms} ms");
        }
    }
}
