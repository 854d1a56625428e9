//! Makes up sound for packets that are missing, in the spirit of ITU-T G.711 Appendix I: the last
//! pitch period is repeated, after 10 ms the last two, then three, and fades out by 60 ms.
//!
//! Unlike Appendix I nothing that was played is touched again, so that no delay is added; the
//! seam is bent straight over a quarter of a period instead.

/// Pitch from 66 to 200 Hz.
const SHORTEST_LAG_US: usize = 5_000;
const LONGEST_LAG_US: usize = 15_000;
/// The stretch that is compared.
const WINDOW_US: usize = 20_000;
/// Three and a quarter of the longest periods, at 16 kHz.
const MAX_HISTORY: usize = 780;
/// Full loudness for 10 ms, silence after 60 ms.
const STEADY_US: usize = 10_000;
const SILENT_US: usize = 60_000;
/// Longest overlap with the sound that comes after.
const MAX_MERGE_US: usize = 10_000;

/// Carries on a sound of which the rest is missing.
#[derive(Debug)]
pub(crate) struct Concealer {
    rate_hz: usize,
    history: [i16; MAX_HISTORY],
    history_len: usize,
    period: usize,
    periods: usize,
    /// Where the next sample is read in the history.
    position: usize,
    generated: usize,
    /// How far the sound is off at the seam.
    step: i32,
    active: bool,
}

impl Concealer {
    pub(crate) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz: rate_hz as usize,
            history: [0; MAX_HISTORY],
            history_len: 0,
            period: 0,
            periods: 1,
            position: 0,
            generated: 0,
            step: 0,
            active: false,
        }
    }

    /// Samples of the past that [`Concealer::begin`] wants.
    pub(crate) fn history_samples(&self) -> usize {
        self.samples(LONGEST_LAG_US) * 13 / 4
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Starts to carry on from what `read` fills in: the last samples that were played.
    pub(crate) fn begin(&mut self, read: impl FnOnce(&mut [i16])) {
        self.history_len = self.history_samples().min(MAX_HISTORY);
        let history = self.history.get_mut(..self.history_len).unwrap_or_default();
        read(history);
        self.period = pitch(
            history,
            self.rate_hz * SHORTEST_LAG_US / 1_000_000,
            self.rate_hz * LONGEST_LAG_US / 1_000_000,
            self.rate_hz * WINDOW_US / 1_000_000,
        );
        self.periods = 1;
        self.position = self.history_len - self.period;
        self.generated = 0;
        self.step = self.past(1) - self.past(self.period + 1);
        self.active = true;
    }

    /// Makes up the next samples.
    pub(crate) fn generate(&mut self, out: &mut [i16]) {
        if self.generated >= self.samples(SILENT_US) {
            out.fill(0);
            self.generated = self.generated.saturating_add(out.len());
            return;
        }
        for sample in out {
            *sample = self.next();
        }
    }

    /// Blends the made-up sound into the first samples of what came after it, and ends.
    pub(crate) fn merge(&mut self, after: &mut [i16]) {
        if !self.active {
            return;
        }
        self.active = false;
        let longer = self.generated.saturating_sub(self.samples(STEADY_US)) * 2 / 5;
        let overlap = (self.period / 4 + longer)
            .min(self.samples(MAX_MERGE_US))
            .min(after.len());
        for (n, sample) in after.iter_mut().take(overlap).enumerate() {
            let weight = (n as i32 * 256 + 128) / overlap as i32;
            let carried = i32::from(self.next());
            *sample = ((carried * (256 - weight) + i32::from(*sample) * weight) >> 8) as i16;
        }
    }

    fn next(&mut self) -> i16 {
        let quarter = self.period / 4;
        let from_end = self.history_len - self.position;
        let mut value = self.past(from_end);
        if self.generated < quarter {
            value += self.step * (quarter - self.generated) as i32 / quarter as i32;
        } else if from_end <= quarter {
            // Towards the end of the stretch it turns into what stands before its start.
            let weight = from_end as i32;
            let before = self.past(from_end + self.periods * self.period);
            value = (value * weight + before * (quarter as i32 - weight)) / quarter as i32;
        }
        self.position += 1;
        self.generated += 1;
        if self.position >= self.history_len {
            self.periods = (1 + self.generated / self.samples(STEADY_US).max(1)).min(3);
            self.position = self.history_len - self.periods * self.period;
        }
        ((value * self.gain()) >> 12).clamp(-32_768, 32_767) as i16
    }

    /// Loudness in 1/4096: a fifth less for each 10 ms.
    fn gain(&self) -> i32 {
        let (steady, silent) = (self.samples(STEADY_US), self.samples(SILENT_US));
        if self.generated <= steady {
            return 4096;
        }
        let left = silent.saturating_sub(self.generated);
        (left * 4096 / (silent - steady).max(1)) as i32
    }

    /// The sample that lies `back` samples before the seam; 1 is the last one that was played.
    fn past(&self, back: usize) -> i32 {
        let index = self.history_len.wrapping_sub(back);
        i32::from(self.history.get(index).copied().unwrap_or_default())
    }

    fn samples(&self, us: usize) -> usize {
        self.rate_hz * us / 1_000_000
    }
}

/// Finds the lag at which the end of `history` resembles itself most (normalised
/// cross-correlation, G.711 Appendix I §2.1): first at every second lag and sample, then exactly.
pub(crate) fn pitch(history: &[i16], shortest: usize, longest: usize, window: usize) -> usize {
    let Some(start) = history.len().checked_sub(window + longest) else {
        return shortest;
    };
    let (Some(recent), Some(past)) = (history.get(start + longest..), history.get(start..)) else {
        return shortest;
    };
    let peak = recent
        .iter()
        .map(|sample| sample.unsigned_abs())
        .max()
        .unwrap_or(0);
    // Products of 11 bits leave room for the sum of 320 of them in 32 bits.
    let shift = (16 - peak.leading_zeros()).saturating_sub(10);
    let score = |lag: usize, stride: usize| {
        let past = past.get(longest - lag..).unwrap_or_default();
        resemblance(recent, past, stride, shift)
    };
    let best = |lags: &mut dyn Iterator<Item = usize>, stride| {
        lags.map(|lag| (lag, score(lag, stride)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(shortest, |(lag, _)| lag)
    };
    let coarse = best(&mut (shortest..=longest).step_by(2), 2);
    best(
        &mut (coarse.saturating_sub(1).max(shortest)..=(coarse + 1).min(longest)),
        1,
    )
}

/// Correlation over the square root of the past's energy, signed.
fn resemblance(recent: &[i16], past: &[i16], stride: usize, shift: u32) -> f32 {
    let (mut product, mut energy) = (0i32, 0i32);
    let pairs = recent
        .iter()
        .step_by(stride)
        .zip(past.iter().step_by(stride));
    for (&a, &b) in pairs {
        // The past may be louder than what was measured: it is clipped, not wrapped.
        let (a, b) = (
            i32::from(a) >> shift,
            (i32::from(b) >> shift).clamp(-2047, 2047),
        );
        product += a * b;
        energy += b * b;
    }
    product as f32 / (energy.max(1) as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vowel(len: usize, period: f32) -> Vec<i16> {
        (0..len)
            .map(|n| {
                let phase = n as f32 / period * std::f32::consts::TAU;
                (6_000.0 * phase.sin() + 3_000.0 * (2.0 * phase).sin()) as i16
            })
            .collect()
    }

    fn begin(concealer: &mut Concealer, past: &[i16]) {
        let from = past.len() - concealer.history_samples();
        concealer.begin(|history| history.copy_from_slice(&past[from..]));
    }

    #[test]
    fn the_pitch_of_a_vowel_is_found() {
        for period in [44.0, 57.0, 80.0, 113.0] {
            let found = pitch(&vowel(390, period), 40, 120, 160) as f32;
            let octave = (found / period).round().max(1.0);
            assert!(
                (found - octave * period).abs() <= 1.0,
                "{found} for {period}"
            );
        }
    }

    #[test]
    fn a_vowel_goes_on_in_phase_and_fades_out() {
        let whole = vowel(390 + 800, 73.0);
        let mut concealer = Concealer::new(8_000);
        begin(&mut concealer, &whole[..390]);
        let mut made = [0i16; 800];
        concealer.generate(&mut made);
        let error = |range: std::ops::Range<usize>| {
            let wanted = &whole[390..][range.clone()];
            let (mut off, mut all) = (0.0, 0.0);
            for (a, b) in made[range].iter().zip(wanted) {
                off += f64::from(a - b).powi(2);
                all += f64::from(*b).powi(2);
            }
            off / all
        };
        assert!(error(0..80) < 0.02, "{}", error(0..80));
        assert!(made[480..].iter().all(|sample| *sample == 0));
        let loudest = |from: &[i16]| from.iter().map(|s| s.abs()).max().unwrap();
        assert!(loudest(&made[320..400]) < loudest(&made[160..240]));
    }

    #[test]
    fn the_seams_do_not_click() {
        let whole = vowel(390 + 320, 61.0);
        let mut concealer = Concealer::new(8_000);
        begin(&mut concealer, &whole[..390]);
        let mut made = whole[..390].to_vec();
        made.resize(550, 0);
        concealer.generate(&mut made[390..]);
        let mut after = whole[550..].to_vec();
        concealer.merge(&mut after);
        made.extend(after);
        let steepest = |sound: &[i16]| {
            sound
                .windows(2)
                .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
                .max()
                .unwrap()
        };
        assert!(
            steepest(&made[300..]) < steepest(&whole) * 3 / 2,
            "{}",
            steepest(&made[300..])
        );
        assert!(!concealer.is_active());
    }

    #[test]
    fn any_past_gives_some_sound() {
        for past in [[i16::MIN; 390], [i16::MAX; 390], [0; 390]] {
            let mut concealer = Concealer::new(8_000);
            begin(&mut concealer, &past);
            let mut made = [0; 960];
            concealer.generate(&mut made);
            concealer.merge(&mut made);
        }
    }
}
