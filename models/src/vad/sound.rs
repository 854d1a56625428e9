//! A call's sound on its way to Silero: kept as it came, and made into windows of 16 kHz only where
//! Silero judges them. Most of a call is silence, whose rate need not be doubled.

use offhook_media::Frame;

use super::silero::WINDOW;
use crate::resample::{PAST_SAMPLES, Upsampler};

/// The rate that Silero takes; any other is taken as half of it.
const WIDEBAND_HZ: u32 = 16_000;
const TELEPHONE_HZ: u32 = 8_000;

/// The last samples of a call.
#[derive(Clone, Debug)]
pub(super) struct Sound {
    rate_hz: u32,
    /// What doubling needs, the window before, and what came since.
    samples: Vec<i16>,
    upsampler: Upsampler,
}

impl Sound {
    /// Begins with silence.
    pub(super) fn new() -> Self {
        let mut sound = Self {
            rate_hz: TELEPHONE_HZ,
            samples: Vec::new(),
            upsampler: Upsampler::new(),
        };
        sound.begin(TELEPHONE_HZ);
        sound
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, frame: &Frame) {
        if frame.rate_hz != self.rate_hz {
            // A leg's rate never changes, so nothing is lost here.
            self.begin(frame.rate_hz);
        }
        self.samples.extend_from_slice(frame.samples());
    }

    /// Whether all of the next window is there.
    pub(super) fn has_window(&self) -> bool {
        self.samples.len() >= self.past() + self.span()
    }

    /// Whether nothing of the next window is there.
    pub(super) fn is_empty(&self) -> bool {
        self.samples.len() <= self.past()
    }

    /// Gives the next window, full scale ±1.
    pub(super) fn window(&self) -> [f32; WINDOW] {
        self.window_at(self.past())
    }

    /// Gives the window before it.
    pub(super) fn window_before(&self) -> [f32; WINDOW] {
        self.window_at(PAST_SAMPLES)
    }

    /// Goes on to the window behind the next.
    pub(super) fn advance(&mut self) {
        let span = self.span().min(self.samples.len());
        self.samples.drain(..span);
    }

    fn begin(&mut self, rate_hz: u32) {
        self.rate_hz = rate_hz;
        self.samples.clear();
        self.samples
            .reserve_exact(self.past() + self.span() + Frame::MAX_SAMPLES);
        self.samples.resize(self.past(), 0);
    }

    /// Samples of a window.
    fn span(&self) -> usize {
        match self.rate_hz {
            WIDEBAND_HZ => WINDOW,
            _ => WINDOW / 2,
        }
    }

    /// Samples before the next window.
    fn past(&self) -> usize {
        PAST_SAMPLES + self.span()
    }

    fn window_at(&self, begin: usize) -> [f32; WINDOW] {
        let mut window = [0.0; WINDOW];
        if self.rate_hz == WIDEBAND_HZ {
            let samples = self.samples.get(begin..).unwrap_or_default();
            for (to, sample) in window.iter_mut().zip(samples) {
                *to = f32::from(*sample) / 32_768.0;
            }
        } else {
            let with_past = begin - PAST_SAMPLES..;
            let samples = self.samples.get(with_past).unwrap_or_default();
            self.upsampler.double(samples, &mut window);
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "a beginning of time")]
    fn now() -> Instant {
        Instant::now()
    }

    fn noise(samples: usize) -> Vec<i16> {
        let mut state = 1_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16
        };
        (0..samples).map(next).collect()
    }

    /// The windows that come of frames of so many samples, and each one's window before.
    fn windows(rate_hz: u32, samples: &[i16], frame: usize) -> (Vec<f32>, Vec<f32>) {
        let now = now();
        let mut sound = Sound::new();
        let (mut windows, mut before) = (Vec::new(), Vec::new());
        for part in samples.chunks(frame) {
            sound.push(&Frame::new(rate_hz, 0, now, false, part));
            while sound.has_window() {
                windows.extend(sound.window());
                before.extend(sound.window_before());
                sound.advance();
            }
        }
        (windows, before)
    }

    #[test]
    fn windows_are_the_stream_at_16_khz_whatever_its_frames() {
        let samples = noise(4_096);
        for rate_hz in [8_000, 16_000] {
            let whole: Vec<f32> = if rate_hz == 16_000 {
                samples.iter().map(|s| f32::from(*s) / 32_768.0).collect()
            } else {
                let line = [vec![0; PAST_SAMPLES], samples.clone()].concat();
                let mut whole = vec![0.0; 2 * samples.len()];
                Upsampler::new().double(&line, &mut whole);
                whole
            };
            for frame in [40, 80, 160] {
                let (windows, before) = windows(rate_hz, &samples, frame);
                assert_eq!(windows, whole);
                assert_eq!(before[..WINDOW], [0.0; WINDOW]);
                assert_eq!(before[WINDOW..], whole[..whole.len() - WINDOW]);
            }
        }
    }

    #[test]
    fn memory_is_what_a_window_takes_however_long_the_call() {
        for rate_hz in [8_000, 16_000] {
            let now = now();
            let mut sound = Sound::new();
            sound.begin(rate_hz);
            let room = sound.samples.capacity();
            for _ in 0..1_000 {
                sound.push(&Frame::new(
                    rate_hz,
                    0,
                    now,
                    false,
                    &[1; Frame::MAX_SAMPLES],
                ));
                while sound.has_window() {
                    sound.advance();
                }
            }
            assert_eq!(sound.samples.capacity(), room);
        }
    }
}
