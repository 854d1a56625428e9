//! How much what was heard and sent a while ago still counts.

use super::{RATE_HZ, STEP_MAX};

/// The comparison's window, in samples: 80 ms.
pub(super) const WINDOW: f32 = RATE_HZ as f32 * 0.08;
/// What is left of a sample after one more: exp(−1 / [`WINDOW`]).
pub(super) const FADE: f32 = 0.993_769_5;
/// What is left after so many samples.
pub(super) const FADES: [f32; STEP_MAX + 1] = fades();

const fn fades() -> [f32; STEP_MAX + 1] {
    let mut fades = [1.0; STEP_MAX + 1];
    let mut n = 1;
    while n <= STEP_MAX {
        fades[n] = fades[n - 1] * FADE;
        n += 1;
    }
    fades
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_s_time_leaves_an_e_th() {
        assert!((FADE - (-1.0 / WINDOW).exp()).abs() < 1e-6);
        let step = FADES.last().copied().unwrap_or_default();
        assert!((step - (-(STEP_MAX as f32) / WINDOW).exp()).abs() < 1e-5);
    }
}
