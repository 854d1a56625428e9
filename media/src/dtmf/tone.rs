//! Keys as sound, for a peer that takes no telephone-events.

use super::Digit;

pub(super) const ROWS_HZ: [u16; 4] = [697, 770, 852, 941];
pub(super) const COLUMNS_HZ: [u16; 4] = [1209, 1336, 1477, 1633];
/// Row, column of each event code.
const PLACES: [(usize, usize); 16] = [
    (3, 1),
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 0),
    (1, 1),
    (1, 2),
    (2, 0),
    (2, 1),
    (2, 2),
    (3, 0),
    (3, 2),
    (0, 3),
    (1, 3),
    (2, 3),
    (3, 3),
];

/// The key of a row and a column, each from 0 to 3.
pub(super) fn at(row: usize, column: usize) -> Option<Digit> {
    let event = PLACES.iter().position(|place| *place == (row, column))?;
    Digit::from_event(event as u8)
}

/// The frequency of a row, from 0 to 3.
pub(super) fn row_hz(row: usize) -> f32 {
    ROWS_HZ.get(row).copied().map_or(0.0, f32::from)
}

/// The frequency of a column, from 0 to 3.
pub(super) fn column_hz(column: usize) -> f32 {
    COLUMNS_HZ.get(column).copied().map_or(0.0, f32::from)
}

/// Plays the two tones of a key (ITU-T Q.23), as loud as a telephone does: about -12 and -10 dBm0.
#[derive(Clone, Copy, Debug)]
pub struct Tone {
    row_hz: u16,
    column_hz: u16,
    rate_hz: u32,
}

impl Tone {
    /// Makes the tones of a key at so many samples per second.
    #[must_use]
    pub fn new(digit: Digit, rate_hz: u32) -> Self {
        let (row, column) = PLACES
            .get(usize::from(digit.event()))
            .copied()
            .unwrap_or_default();
        Self {
            row_hz: ROWS_HZ.get(row).copied().unwrap_or_default(),
            column_hz: COLUMNS_HZ.get(column).copied().unwrap_or_default(),
            rate_hz,
        }
    }

    /// Fills `out` with the tones from sample `offset` on.
    pub fn fill(self, offset: usize, out: &mut [i16]) {
        let angle = |hz: u16| std::f32::consts::TAU * f32::from(hz) / self.rate_hz as f32;
        let (row, column) = (angle(self.row_hz), angle(self.column_hz));
        for (n, sample) in out.iter_mut().enumerate() {
            let at = (offset + n) as f32;
            // The column is a little louder, as on a telephone.
            *sample = ((row * at).sin() * 5_600.0 + (column * at).sin() * 7_000.0) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(samples: &[i16], hz: f32) -> f32 {
        let coefficient = 2.0 * (std::f32::consts::TAU * hz / 8_000.0).cos();
        let (mut before, mut last) = (0.0, 0.0);
        for &sample in samples {
            let next = f32::from(sample) + coefficient * last - before;
            (before, last) = (last, next);
        }
        before * before + last * last - coefficient * before * last
    }

    #[test]
    fn each_key_sounds_its_own_two_frequencies() {
        for (key, row, column) in [
            ('1', 697.0, 1209.0),
            ('0', 941.0, 1336.0),
            ('D', 941.0, 1633.0),
        ] {
            let mut sound = [0; 800];
            Tone::new(Digit::from_char(key).unwrap(), 8_000).fill(0, &mut sound);
            let wanted = power(&sound, row).min(power(&sound, column));
            for other in ROWS_HZ.iter().chain(&COLUMNS_HZ).map(|hz| f32::from(*hz)) {
                if other != row && other != column {
                    assert!(power(&sound, other) * 20.0 < wanted, "{key}: {other}");
                }
            }
        }
    }
}
