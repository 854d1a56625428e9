//! Changes of rate: where a call is heard live, by a short filter of our own ([`Upsampler`], 2 ms);
//! everywhere else by `rubato`, whose filter is sharper and whose blocks are cheaper.

mod convert;
mod live;

pub(crate) use convert::RateStream;
pub use convert::convert_rate;
pub use live::{DELAY_SAMPLES, PAST_SAMPLES, Upsampler};

/// Doubles the rate of a whole piece of telephone sound (8 kHz) for the models, full scale ±1.
#[must_use]
pub fn upsample(samples: &[i16]) -> Vec<f32> {
    let samples: Vec<f32> = samples.iter().map(|s| f32::from(*s) / 32_768.0).collect();
    convert_rate(&samples, 8_000, 16_000)
}
