//! Speech that a machine can tell apart: each utterance is a square wave whose level names it, so
//! that every sample says, after G.711 and on either side of the network, whose it is.

/// How many names there are.
pub(super) const CODES: u8 = 32;
/// Samples per second of everything here.
pub(super) const RATE_HZ: usize = 8_000;
/// What is softer is not heard.
const AUDIBLE: i16 = 300;
const LOWEST: f64 = 1_000.0;
/// G.711 is off by 3 % at most; neighbours stand 11 % apart.
const STEP: f64 = 1.11;
/// Half a period: 500 Hz.
pub(super) const HALF_PERIOD: usize = 8;

fn level(code: u8) -> i16 {
    (LOWEST * STEP.powi(i32::from(code % CODES))).round() as i16
}

/// Gives the sound of an utterance.
pub(super) fn sound(code: u8, samples: usize) -> Vec<i16> {
    let level = level(code);
    (0..samples)
        .map(|n| match (n / HALF_PERIOD) % 2 {
            0 => level,
            _ => -level,
        })
        .collect()
}

/// Says whose a sample is; none when it is silence.
pub(super) fn code(sample: i16) -> Option<u8> {
    let size = sample.saturating_abs();
    if size <= AUDIBLE {
        return None;
    }
    let place = (f64::from(size) / LOWEST).ln() / STEP.ln();
    Some(place.round().clamp(0.0, f64::from(CODES - 1)) as u8)
}

/// A stretch of samples that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) code: Option<u8>,
    pub(super) samples: usize,
}

/// Cuts sound into runs of one utterance or of silence.
pub(super) fn runs(sound: &[i16]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut before = None;
    for sample in sound {
        // Neighbours are mostly equal but for their sign: the logarithm is then not taken again.
        let code = match (before, runs.last()) {
            (Some(size), Some(last)) if size == sample.saturating_abs() => last.code,
            _ => code(*sample),
        };
        before = Some(sample.saturating_abs());
        match runs.last_mut() {
            Some(last) if last.code == code => last.samples += 1,
            _ => runs.push(Run { code, samples: 1 }),
        }
    }
    runs
}

/// Says whose a frame mostly is.
pub(super) fn majority(sound: &[i16]) -> Option<u8> {
    let runs = runs(sound);
    runs.into_iter().max_by_key(|run| run.samples)?.code
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_media::codec::{Codec, Decoder, Encoder, OpusWishes};

    #[test]
    fn every_utterance_is_known_by_each_sample_after_both_codecs() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            for name in 0..CODES {
                let sound = sound(name, 160);
                let (mut bytes, mut heard) = ([0; 160], [0; 160]);
                Encoder::new(codec, 8_000, OpusWishes::default()).encode(&sound, &mut bytes);
                Decoder::new(8_000).decode(codec, &bytes, &mut heard);
                let whole = [Run {
                    code: Some(name),
                    samples: 160,
                }];
                assert_eq!(runs(&heard), whole, "{codec:?} {name}");
            }
        }
        assert_eq!(majority(&[0; 160]), None);
    }
}
