//! How much of each DTMF frequency is in a sound, and how its phase moves on.

use super::tone::{COLUMNS_HZ, ROWS_HZ};

/// The four rows, the four columns and the octave above each of them.
pub(super) const FILTERS: usize = 16;
pub(super) const COLUMNS: usize = 4;
/// The octave above a row or column stands so many filters behind it.
pub(super) const OCTAVE: usize = 8;

/// One part's spectrum at the sixteen frequencies, phases counted from the part's last sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub(super) re: [f32; FILTERS],
    pub(super) im: [f32; FILTERS],
    /// Sum of the squares of its samples.
    pub(super) energy: f32,
}

/// Runs sixteen Goertzel filters side by side over parts of equal length.
#[derive(Debug)]
pub(super) struct Goertzel {
    part_samples: usize,
    coefficients: [f32; FILTERS],
    /// Cosine and sine of each frequency's angle per sample, and per part.
    per_sample: ([f32; FILTERS], [f32; FILTERS]),
    per_part: ([f32; FILTERS], [f32; FILTERS]),
    last: [f32; FILTERS],
    before: [f32; FILTERS],
    energy: f32,
    taken: usize,
}

impl Goertzel {
    pub(super) fn new(rate_hz: u32, part_samples: usize) -> Self {
        let mut frequencies = [0.0f32; FILTERS];
        let hz = ROWS_HZ.iter().chain(&COLUMNS_HZ).map(|hz| f32::from(*hz));
        let octaves = hz.clone().map(|hz| 2.0 * hz);
        for (to, hz) in frequencies.iter_mut().zip(hz.chain(octaves)) {
            *to = std::f32::consts::TAU * hz / rate_hz as f32;
        }
        let part = frequencies.map(|angle| angle * part_samples as f32);
        Self {
            part_samples,
            coefficients: frequencies.map(|angle| 2.0 * angle.cos()),
            per_sample: (frequencies.map(f32::cos), frequencies.map(f32::sin)),
            per_part: (part.map(f32::cos), part.map(f32::sin)),
            last: [0.0; FILTERS],
            before: [0.0; FILTERS],
            energy: 0.0,
            taken: 0,
        }
    }

    pub(super) fn part_samples(&self) -> usize {
        self.part_samples
    }

    /// Takes samples up to the end of a part; returns how many, and the part if it is complete.
    pub(super) fn take(&mut self, samples: &[i16]) -> (usize, Option<Part>) {
        let wanted = self.part_samples - self.taken;
        let samples = samples.get(..wanted.min(samples.len())).unwrap_or_default();
        for &sample in samples {
            let sample = f32::from(sample);
            self.energy += sample * sample;
            for n in 0..FILTERS {
                let next = sample + self.coefficients[n] * self.last[n] - self.before[n];
                self.before[n] = self.last[n];
                self.last[n] = next;
            }
        }
        self.taken += samples.len();
        let complete = self.taken == self.part_samples;
        (samples.len(), complete.then(|| self.finish()))
    }

    fn finish(&mut self) -> Part {
        let (cos, sin) = &self.per_sample;
        let part = Part {
            re: std::array::from_fn(|n| self.last[n] - cos[n] * self.before[n]),
            im: std::array::from_fn(|n| sin[n] * self.before[n]),
            energy: self.energy,
        };
        (self.last, self.before) = ([0.0; FILTERS], [0.0; FILTERS]);
        (self.energy, self.taken) = (0.0, 0);
        part
    }

    /// A part's spectrum with its phases counted from the end of the part after it.
    pub(super) fn advanced(&self, part: &Part) -> Part {
        let (cos, sin) = &self.per_part;
        Part {
            re: std::array::from_fn(|n| part.re[n] * cos[n] - part.im[n] * sin[n]),
            im: std::array::from_fn(|n| part.re[n] * sin[n] + part.im[n] * cos[n]),
            energy: part.energy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, samples: usize) -> Vec<i16> {
        let angle = std::f32::consts::TAU * hz / 8_000.0;
        (0..samples)
            .map(|n| (8_000.0 * (angle * n as f32 + 0.7).sin()) as i16)
            .collect()
    }

    fn parts(sound: &[i16]) -> (Goertzel, Vec<Part>) {
        let mut goertzel = Goertzel::new(8_000, 51);
        let mut parts = Vec::new();
        let mut left = sound;
        while !left.is_empty() {
            let (taken, part) = goertzel.take(left);
            parts.extend(part);
            left = &left[taken..];
        }
        (goertzel, parts)
    }

    #[test]
    fn nearly_all_of_a_tones_energy_is_found_in_its_filter() {
        let (_, parts) = parts(&sine(1_336.0, 102));
        let power = parts[1].re[5].powi(2) + parts[1].im[5].powi(2);
        let share = 2.0 * power / 51.0 / parts[1].energy;
        assert!((share - 1.0).abs() < 0.05, "{share}");
    }

    #[test]
    fn the_phase_moves_by_what_the_frequency_is_off() {
        for (off_hz, filter, hz) in [(9.0, 0, 697.0), (-20.0, 7, 1_633.0), (0.0, 4, 1_209.0)] {
            let (goertzel, parts) = parts(&sine(hz + off_hz, 51 * 8));
            let (mut re, mut im) = (0.0, 0.0);
            for pair in parts.windows(2) {
                let before = goertzel.advanced(&pair[0]);
                re +=
                    pair[1].re[filter] * before.re[filter] + pair[1].im[filter] * before.im[filter];
                im +=
                    pair[1].im[filter] * before.re[filter] - pair[1].re[filter] * before.im[filter];
            }
            let found = im.atan2(re) / 51.0 * 8_000.0 / std::f32::consts::TAU;
            assert!((found - off_hz).abs() < 2.0, "{found} for {off_hz}");
        }
    }
}
