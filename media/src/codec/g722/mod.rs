//! G.722 at 64 kbit/s (ITU-T G.722, 09/2012): 16 kHz sound in two sub-bands, 48 kbit/s for what lies
//! below 4 kHz and 16 for what lies above; each byte carries two samples.

mod band;
mod qmf;
mod tables;

use band::Band;
use qmf::{Analysis, Synthesis};
use tables::{
    HIGH_INVERSE, HIGH_LOG_STEP, HIGH_THRESHOLD, LOW_CODE_MINUS, LOW_CODE_PLUS, LOW_INVERSE_4,
    LOW_INVERSE_6, LOW_LEVELS, LOW_LOG_STEP,
};

/// The logarithm of a sub-band's scale is at most so much (§3.6.1.3, blocks 3L and 3H).
const LOW_SCALE_MAX: i32 = 18_432;
const HIGH_SCALE_MAX: i32 = 22_528;
/// … and stands for a step that is shifted right by so much, less its whole part.
const LOW_SHIFT: i32 = 8;
const HIGH_SHIFT: i32 = 10;
/// The reconstructed lower band is held within 15 bits (block 6L).
const LOW_LIMIT: i32 = 16_383;

/// Encodes one stream.
#[derive(Clone, Debug)]
pub struct G722Encoder {
    split: Analysis,
    low: Band,
    high: Band,
}

/// Decodes one stream.
#[derive(Clone, Debug)]
pub struct G722Decoder {
    join: Synthesis,
    low: Band,
    high: Band,
}

impl Default for G722Encoder {
    fn default() -> Self {
        Self {
            split: Analysis::default(),
            low: Band::low(),
            high: Band::high(),
        }
    }
}

impl Default for G722Decoder {
    fn default() -> Self {
        Self {
            join: Synthesis::default(),
            low: Band::low(),
            high: Band::high(),
        }
    }
}

impl G722Encoder {
    /// Encodes 16 kHz sound, a byte for each two samples; stops at the shorter slice and returns
    /// the bytes written. A single sample at the end is left out.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let bytes = (samples.len() / 2).min(out.len());
        let samples = samples.get(..2 * bytes).unwrap_or_default();
        let (low, high) = (&mut self.low, &mut self.high);
        let mut out = out.iter_mut();
        self.split.run(samples, |below, above| {
            if let Some(byte) = out.next() {
                *byte = encode_high(high, above) << 6 | encode_low(low, below);
            }
        });
        bytes
    }
}

impl G722Decoder {
    /// Decodes as many bytes as `out` has room for, two samples each, and returns the samples
    /// written.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let bytes = payload.len().min(out.len() / 2);
        let (low, high) = (&mut self.low, &mut self.high);
        let codes = payload.iter().take(bytes);
        let sums = codes.map(|code| (decode_low(low, code & 0x3F), decode_high(high, code >> 6)));
        self.join.run(sums, out);
        2 * bytes
    }
}

/// Quantizes the lower band with 60 levels and adapts to the upper four bits of the code, which
/// are all that a receiver of 48 kbit/s would see (§3.3, §3.5; blocks 1L to 4L).
fn encode_low(band: &mut Band, sample: i32) -> u8 {
    let difference = saturate(sample - band.estimate());
    let magnitude = if difference < 0 {
        -(difference + 1)
    } else {
        difference
    };
    let step = band.step();
    let level = LOW_LEVELS.partition_point(|level| (level * step) >> 12 <= magnitude);
    let codes = if difference < 0 {
        &LOW_CODE_MINUS
    } else {
        &LOW_CODE_PLUS
    };
    let code = codes.get(level).copied().unwrap_or_default();
    adapt_low(band, code >> 2);
    code
}

/// Quantizes the upper band with four levels (blocks 1H to 4H).
fn encode_high(band: &mut Band, sample: i32) -> u8 {
    let difference = saturate(sample - band.estimate());
    let minus = difference < 0;
    let magnitude = if minus { -(difference + 1) } else { difference };
    let outer = magnitude >= (HIGH_THRESHOLD * band.step()) >> 12;
    let code = match (minus, outer) {
        (true, false) => 1,
        (true, true) => 0,
        (false, false) => 3,
        (false, true) => 2,
    };
    adapt_high(band, code);
    code
}

/// Reconstructs the lower band from all six bits (blocks 5L and 6L).
fn decode_low(band: &mut Band, code: u8) -> i32 {
    let inverse = LOW_INVERSE_6[usize::from(code & 0x3F)];
    let sample = band.estimate() + ((band.step() * inverse) >> 15);
    adapt_low(band, code >> 2);
    sample.clamp(-LOW_LIMIT - 1, LOW_LIMIT)
}

fn decode_high(band: &mut Band, code: u8) -> i32 {
    let inverse = HIGH_INVERSE[usize::from(code & 3)];
    let sample = band.estimate() + ((band.step() * inverse) >> 15);
    adapt_high(band, code);
    sample.clamp(-LOW_LIMIT - 1, LOW_LIMIT)
}

fn adapt_low(band: &mut Band, code: u8) {
    let code = usize::from(code & 0x0F);
    let difference = (band.step() * LOW_INVERSE_4[code]) >> 15;
    band.rescale(LOW_LOG_STEP[code], LOW_SCALE_MAX, LOW_SHIFT);
    band.predict(difference);
}

fn adapt_high(band: &mut Band, code: u8) {
    let code = usize::from(code & 3);
    let difference = (band.step() * HIGH_INVERSE[code]) >> 15;
    band.rescale(HIGH_LOG_STEP[code], HIGH_SCALE_MAX, HIGH_SHIFT);
    band.predict(difference);
}

/// The range of a 16-bit word, in which all of the recommendation's arithmetic is done (§3.6).
fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}
