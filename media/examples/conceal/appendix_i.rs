//! The yardstick: ITU-T G.711 Appendix I (09/1999), "A high quality low-complexity algorithm for
//! packet loss concealment with G.711", written from its description, in floating point.

/// Samples of one 10 ms step at 8 kHz.
pub(crate) const STEP: usize = 80;
/// Pitch from 66 to 200 Hz (§2.1).
const PITCH_MIN: usize = 40;
const PITCH_MAX: usize = 120;
/// The longest overlap, a quarter of the longest period; the output is late by as much.
pub(crate) const DELAY: usize = PITCH_MAX / 4;
const HISTORY: usize = 3 * PITCH_MAX + DELAY;
/// The stretch that is correlated, and the stride of the first search.
const CORRELATION: usize = 160;
const COARSE: usize = 2;
const LEAST_POWER: f32 = 250.0;
/// The overlap after a gap grows by 4 ms for each step of it.
const OVERLAP_GROWTH: usize = 32;
/// A fifth less for each step after the first.
const ATTENUATION: f32 = 0.2;

/// Conceals 8 kHz sound in steps of 10 ms.
pub(crate) struct AppendixI {
    history: [f32; HISTORY],
    /// The last pitch periods at the gap's start, of which those from `start` on are repeated.
    pitch_buffer: [f32; HISTORY],
    /// The last quarter period before the gap as it was.
    last_quarter: [f32; DELAY],
    start: usize,
    offset: usize,
    period: usize,
    overlap: usize,
    erased: usize,
}

impl AppendixI {
    pub(crate) fn new() -> Self {
        Self {
            history: [0.0; HISTORY],
            pitch_buffer: [0.0; HISTORY],
            last_quarter: [0.0; DELAY],
            start: 0,
            offset: 0,
            period: PITCH_MIN,
            overlap: PITCH_MIN / 4,
            erased: 0,
        }
    }

    /// Takes a step that came, and gives the sound of [`DELAY`] samples before.
    pub(crate) fn received(&mut self, sound: &[i16; STEP]) -> [i16; STEP] {
        let mut sound = sound.map(f32::from);
        if self.erased > 0 {
            let len = (self.overlap + (self.erased - 1) * OVERLAP_GROWTH).min(STEP);
            let mut tail = [0.0; STEP];
            self.repeat(&mut tail[..len]);
            let gain = (1.0 - (self.erased - 1) as f32 * ATTENUATION).max(0.0);
            for (n, (sound, tail)) in sound.iter_mut().zip(&tail[..len]).enumerate() {
                let weight = (n + 1) as f32 / len as f32;
                *sound = tail * (1.0 - weight) * gain + *sound * weight;
            }
            self.erased = 0;
        }
        self.play(&sound)
    }

    /// Makes up for a step that did not come.
    pub(crate) fn lost(&mut self) -> [i16; STEP] {
        let mut sound = [0.0; STEP];
        match self.erased {
            0 => {
                self.begin();
                self.repeat(&mut sound);
            }
            1 | 2 => {
                // The tail of what was repeated so far is blended into what has a period more.
                let mut tail = [0.0; DELAY];
                let offset = self.offset;
                self.repeat(&mut tail[..self.overlap]);
                self.offset = offset % self.period;
                self.take_periods(self.erased + 1);
                self.repeat(&mut sound);
                let overlap = self.overlap;
                blend(&tail[..overlap], &mut sound[..overlap]);
                self.attenuate(&mut sound);
            }
            3..=5 => {
                self.repeat(&mut sound);
                self.attenuate(&mut sound);
            }
            _ => {}
        }
        self.erased += 1;
        self.play(&sound)
    }

    fn begin(&mut self) {
        self.pitch_buffer = self.history;
        self.period = pitch(&self.pitch_buffer);
        self.overlap = self.period / 4;
        self.last_quarter[..self.overlap]
            .copy_from_slice(&self.pitch_buffer[HISTORY - self.overlap..]);
        self.offset = 0;
        self.take_periods(1);
        // What is not played yet ends as the repetition begins.
        self.history[HISTORY - self.overlap..]
            .copy_from_slice(&self.pitch_buffer[HISTORY - self.overlap..]);
    }

    /// Lets the last `periods` be repeated: their end is blended into what comes before them.
    fn take_periods(&mut self, periods: usize) {
        self.start = HISTORY - periods * self.period;
        let overlap = self.overlap;
        let (past, end) = self.pitch_buffer.split_at_mut(HISTORY - overlap);
        end.copy_from_slice(&past[self.start - overlap..self.start]);
        blend(&self.last_quarter[..overlap], end);
    }

    fn repeat(&mut self, out: &mut [f32]) {
        for sample in out {
            *sample = self.pitch_buffer[self.start + self.offset];
            self.offset += 1;
            if self.start + self.offset == HISTORY {
                self.offset = 0;
            }
        }
    }

    fn attenuate(&self, sound: &mut [f32; STEP]) {
        let gain = 1.0 - (self.erased - 1) as f32 * ATTENUATION;
        for (n, sample) in sound.iter_mut().enumerate() {
            *sample *= gain - n as f32 * ATTENUATION / STEP as f32;
        }
    }

    fn play(&mut self, sound: &[f32; STEP]) -> [i16; STEP] {
        self.history.copy_within(STEP.., 0);
        self.history[HISTORY - STEP..].copy_from_slice(sound);
        let end = HISTORY - DELAY;
        std::array::from_fn(|n| self.history[end - STEP + n].clamp(-32_768.0, 32_767.0) as i16)
    }
}

/// `to` becomes louder as `from` fades.
fn blend(from: &[f32], to: &mut [f32]) {
    let len = from.len() as f32;
    for (n, (from, to)) in from.iter().zip(to).enumerate() {
        let weight = (n + 1) as f32 / len;
        *to = from * (1.0 - weight) + *to * weight;
    }
}

/// Finds the period of the end of the history (§2.1): each second lag and sample, then exactly
/// around the best.
fn pitch(history: &[f32; HISTORY]) -> usize {
    let recent = &history[HISTORY - CORRELATION..];
    let score = |lag: usize, stride: usize| {
        let past = &history[HISTORY - CORRELATION - lag..HISTORY - lag];
        let pairs = || past.iter().zip(recent).step_by(stride);
        let energy: f32 = pairs().map(|(past, _)| past * past).sum();
        let product: f32 = pairs().map(|(past, recent)| past * recent).sum();
        product / energy.max(LEAST_POWER).sqrt()
    };
    // From the longest lag on; the shorter of two equal ones wins.
    let best = |lags: &mut dyn Iterator<Item = usize>, stride| {
        let mut best = (PITCH_MAX, f32::NEG_INFINITY);
        for lag in lags {
            let score = score(lag, stride);
            if score >= best.1 {
                best = (lag, score);
            }
        }
        best.0
    };
    let coarse = best(&mut (PITCH_MIN..=PITCH_MAX).rev().step_by(COARSE), COARSE);
    let (from, to) = (coarse.max(PITCH_MIN + 1) - 1, (coarse + 1).min(PITCH_MAX));
    best(&mut (from..=to).rev(), 1)
}
