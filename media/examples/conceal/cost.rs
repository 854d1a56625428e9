//! What concealment costs: the median time of its steps.
#![allow(clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Instant;

use offhook_media::conceal::Concealer;

/// Packets between two gaps, and packets in a gap.
const BETWEEN: usize = 20;
const GAP: usize = 4;

/// Medians in microseconds, for packets of 20 ms.
pub(crate) struct Cost {
    /// The first packet of a gap.
    pub(crate) first_us: f64,
    /// Those after it.
    pub(crate) later_us: f64,
    /// A packet that came, of which nothing was made up.
    pub(crate) came_us: f64,
}

/// Sends `sound` with a gap of 80 ms each 480 ms.
pub(crate) fn measure(rate_hz: u32, sound: &[i16]) -> Cost {
    let mut concealer = Concealer::new(rate_hz);
    let history = concealer.history_samples();
    let mut played = vec![0; history];
    let (mut first, mut later, mut came) = (Vec::new(), Vec::new(), Vec::new());
    for (n, packet) in sound.chunks_exact(rate_hz as usize / 50).enumerate() {
        let mut step = packet.to_vec();
        let past = played.get(played.len() - history..).unwrap_or_default();
        let began = Instant::now();
        let times = match n % (BETWEEN + GAP) {
            BETWEEN => {
                concealer.begin(|history| history.copy_from_slice(past));
                concealer.generate(black_box(&mut step));
                &mut first
            }
            at if at > BETWEEN => {
                concealer.generate(black_box(&mut step));
                &mut later
            }
            _ => {
                concealer.merge(black_box(&mut step));
                &mut came
            }
        };
        times.push(began.elapsed().as_secs_f64() * 1e6);
        played.extend(step);
    }
    Cost {
        first_us: median(first),
        later_us: median(later),
        came_us: median(came),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
