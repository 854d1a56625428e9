//! Twice or half the rate: what leads from telephone sound to wideband and back.
//!
//! A half-band filter: every second sample of the higher rate is one of the lower rate, those
//! between come from a windowed sinc over 32 of them. It delays by 2 ms, is flat within 0.1 dB up
//! to 3.4 kHz, and lets through less than −40 dB of what lies beyond 4.6 kHz.

/// Samples of the lower rate that the filter weighs.
pub const TAPS: usize = 32;
/// Those that it remembers.
const PAST: usize = TAPS - 1;
/// Samples of the lower rate that are filtered at once.
const BLOCK: usize = 160;

/// Converts a stream between 8 and 16 kHz.
#[derive(Clone, Debug)]
pub struct HalfBand {
    up: bool,
    taps: [f32; TAPS],
    /// The last samples that the sinc weighs, oldest first.
    past: [f32; PAST],
    /// Those that stand for themselves, on their way down.
    centre: [f32; PAST],
}

impl HalfBand {
    /// Makes a filter that converts to `rate_hz`: from 8 to 16 kHz, or from 16 to 8 kHz.
    #[must_use]
    pub fn to(rate_hz: u32) -> Self {
        Self {
            up: rate_hz > 8_000,
            taps: half_band(),
            past: [0.0; PAST],
            centre: [0.0; PAST],
        }
    }

    /// Forgets what came before: another stream begins.
    pub fn reset(&mut self) {
        self.past = [0.0; PAST];
        self.centre = [0.0; PAST];
    }

    /// Converts as many samples as `out` has room for and returns how many were written. Downwards
    /// samples are taken in pairs.
    pub fn convert(&mut self, samples: &[i16], out: &mut [i16]) -> usize {
        if self.up {
            let blocks = samples.chunks(BLOCK).zip(out.chunks_mut(2 * BLOCK));
            blocks.map(|(from, to)| self.double(from, to)).sum()
        } else {
            let blocks = samples.chunks(2 * BLOCK).zip(out.chunks_mut(BLOCK));
            blocks.map(|(from, to)| self.halve(from, to)).sum()
        }
    }

    fn double(&mut self, samples: &[i16], out: &mut [i16]) -> usize {
        let samples = samples.get(..out.len() / 2).unwrap_or(samples);
        let line = extend(&mut self.past, samples.iter().copied());
        for (to, window) in out
            .chunks_exact_mut(2)
            .zip(line.windows(TAPS))
            .take(samples.len())
        {
            let between = weigh(window, &self.taps);
            to.copy_from_slice(&[window[TAPS / 2 - 1] as i16, to_sample(between)]);
        }
        2 * samples.len()
    }

    fn halve(&mut self, samples: &[i16], out: &mut [i16]) -> usize {
        let pairs = (samples.len() / 2).min(out.len());
        let samples = samples.get(..2 * pairs).unwrap_or_default();
        let odd = samples.iter().skip(1).step_by(2).copied();
        let centre = extend(&mut self.centre, samples.iter().step_by(2).copied());
        let line = extend(&mut self.past, odd);
        let windows = line.windows(TAPS).zip(centre.windows(TAPS));
        for (to, (window, centre)) in out.iter_mut().zip(windows).take(pairs) {
            *to = to_sample((weigh(window, &self.taps) + centre[TAPS / 2]) / 2.0);
        }
        pairs
    }
}

/// Puts new samples behind those that were kept, and keeps the newest of them all.
fn extend(past: &mut [f32; PAST], new: impl ExactSizeIterator<Item = i16>) -> [f32; PAST + BLOCK] {
    let len = new.len().min(BLOCK);
    let mut line = [0.0; PAST + BLOCK];
    let (before, after) = line.split_at_mut(PAST);
    before.copy_from_slice(past);
    after
        .iter_mut()
        .zip(new)
        .for_each(|(to, from)| *to = f32::from(from));
    if let Some(newest) = line.get(len..len + PAST) {
        past.copy_from_slice(newest);
    }
    line
}

/// Adds up the samples of `window`, [`TAPS`] of them, each times its tap.
#[must_use]
pub fn weigh(window: &[f32], taps: &[f32; TAPS]) -> f32 {
    // Eight sums side by side, so that they are added up as vectors.
    let mut sums = [0.0; 8];
    for (samples, taps) in window.chunks_exact(8).zip(taps.chunks_exact(8)) {
        for (sum, (sample, tap)) in sums.iter_mut().zip(samples.iter().zip(taps)) {
            *sum += sample * tap;
        }
    }
    sums.iter().sum()
}

/// Rounds to the nearest sample; what is too loud is clipped.
fn to_sample(value: f32) -> i16 {
    value.round_ties_even() as i16
}

/// Samples the sinc half-way between the lower rate's samples, under a Blackman window, scaled to
/// unit gain.
#[must_use]
pub fn half_band() -> [f32; TAPS] {
    let mut taps = [0.0; TAPS];
    for (index, tap) in taps.iter_mut().enumerate() {
        let x = index as f64 - (TAPS as f64 - 1.0) / 2.0;
        let phase = std::f64::consts::TAU * (index as f64 + 0.5) / TAPS as f64;
        let window = 0.42 - 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos();
        let sinc = (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x);
        *tap = (sinc * window) as f32;
    }
    let gain: f32 = taps.iter().sum();
    taps.map(|tap| tap / gain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate_hz: f64, hz: f64, samples: usize, late: f64) -> Vec<i16> {
        let step = std::f64::consts::TAU * hz / rate_hz;
        (0..samples)
            .map(|n| (16_000.0 * (step * (n as f64 - late)).sin()).round() as i16)
            .collect()
    }

    fn convert(to_hz: u32, samples: &[i16], piece: usize) -> Vec<i16> {
        let mut filter = HalfBand::to(to_hz);
        let mut out = Vec::new();
        for piece in samples.chunks(piece) {
            let mut converted = [0; 2_000];
            let len = filter.convert(piece, &mut converted);
            out.extend_from_slice(&converted[..len]);
        }
        out
    }

    fn worst(a: &[i16], b: &[i16]) -> i32 {
        assert_eq!(a.len(), b.len());
        let pairs = a.iter().zip(b).skip(100);
        pairs
            .map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs())
            .max()
            .unwrap()
    }

    #[test]
    fn the_telephone_band_keeps_its_level_and_comes_2_ms_late() {
        for hz in [100.0, 1_000.0, 2_500.0, 3_400.0] {
            let (low, high) = (tone(8_000.0, hz, 800, 0.0), tone(16_000.0, hz, 1_600, 0.0));
            let up = convert(16_000, &low, 160);
            let off = worst(&up, &tone(16_000.0, hz, 1_600, 32.0));
            assert!(off < 200, "{hz} Hz up: {off}");
            let down = convert(8_000, &high, 320);
            let off = worst(&down, &tone(8_000.0, hz, 800, 15.0));
            assert!(off < 200, "{hz} Hz down: {off}");
        }
    }

    #[test]
    fn what_lies_beyond_the_band_leaves_no_alias() {
        for hz in [4_700.0, 6_000.0, 7_500.0] {
            let down = convert(8_000, &tone(16_000.0, hz, 3_200, 0.0), 320);
            let loudest = down
                .iter()
                .skip(100)
                .map(|sample| sample.abs())
                .max()
                .unwrap();
            assert!(loudest < 160, "{hz} Hz: {loudest}");
        }
    }

    #[test]
    fn pieces_make_no_difference_and_clipping_does_not_wrap() {
        let square: Vec<i16> = (0..1_600)
            .map(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        for to_hz in [8_000, 16_000] {
            let whole = convert(to_hz, &square, 960);
            for piece in [2, 80, 320] {
                assert_eq!(convert(to_hz, &square, piece), whole, "{piece} to {to_hz}");
            }
        }
        let loudest = convert(16_000, &square, 160);
        assert!(loudest.contains(&i16::MAX));
    }
}
