//! The cheap first look at every frame.

use std::fmt;

use offhook_media::Frame;

/// Sums that are added to side by side: a register of any width holds some of them.
const LANES: usize = 16;
/// Spans of which the quietest moment is remembered, and how long each is: together the time within
/// which speech pauses, and after which a noise is what is always there.
const SPANS: usize = 8;
const SPAN_MS: u32 = 250;
/// How far above the quietest moment a band must be, in power: 4 dB. Of steady noise one frame in a
/// thousand is.
const ABOVE_FLOOR: f32 = 2.5;
/// The quietest that speech may be, as the mean square of a band's samples: −66 dB of full scale,
/// ten below what counts as audible.
const QUIET: f32 = 270.0;
/// For so long after a frame that passed others pass as well: a soft sound belongs to the loud one
/// before it.
const HANGOVER_MS: u32 = 40;

/// The power of what lies below and above a quarter of the sampling rate.
type Bands = [f32; 2];

/// Says of each frame whether it may hold speech, in a tenth of a microsecond.
///
/// What is louder than the line's quietest moment of the last two seconds, below or above a quarter
/// of the sampling rate, may be speech; what is as loud as ever is noise. It lets almost all speech
/// through, and much else: what passes is for [`Silero`](super::Silero) to judge. Minimum statistics
/// as an estimate of noise: R. Martin, "Spectral Subtraction Based on Minimum Statistics", 1994.
#[derive(Clone)]
pub struct Gate {
    /// The least of each span before this one, the oldest at `oldest`.
    least: [Bands; SPANS],
    oldest: u8,
    /// The least of this span, and the time that it has lasted.
    least_now: Bands,
    lasted_ms: u32,
    /// The least of all those spans.
    floor: Bands,
    /// Time for which frames pass whatever they hold.
    open_ms: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// Makes a gate that has heard nothing: whatever is audible passes at first, for somebody may
    /// speak at once, and after a span what has been there all the time is noise.
    #[must_use]
    pub fn new() -> Self {
        Self {
            least: [[f32::MAX; 2]; SPANS],
            oldest: 0,
            least_now: [f32::MAX; 2],
            lasted_ms: 0,
            floor: [QUIET; 2],
            open_ms: 0,
        }
    }

    /// Says whether the frame may hold speech.
    pub fn is_speech(&mut self, frame: &Frame) -> bool {
        let bands = bands(frame.samples());
        let frame_ms = (frame.duration_us() / 1_000) as u32;
        let loud = |(power, floor): (&f32, &f32)| *power > ABOVE_FLOOR * floor.max(QUIET);
        let speech = bands.iter().zip(&self.floor).any(loud);
        self.learn(bands, frame_ms);
        if speech {
            self.open_ms = HANGOVER_MS;
            return true;
        }
        let open = self.open_ms > 0;
        self.open_ms = self.open_ms.saturating_sub(frame_ms);
        open
    }

    fn learn(&mut self, bands: Bands, frame_ms: u32) {
        for (least, power) in self.least_now.iter_mut().zip(bands) {
            *least = least.min(power);
        }
        for (floor, power) in self.floor.iter_mut().zip(bands) {
            *floor = floor.min(power);
        }
        self.lasted_ms += frame_ms;
        if self.lasted_ms < SPAN_MS {
            return;
        }
        if let Some(oldest) = self.least.get_mut(usize::from(self.oldest)) {
            *oldest = self.least_now;
        }
        self.oldest = (self.oldest + 1) % SPANS as u8;
        (self.least_now, self.lasted_ms) = ([f32::MAX; 2], 0);
        self.floor = self.least.iter().fold([f32::MAX; 2], |floor, least| {
            [floor[0].min(least[0]), floor[1].min(least[1])]
        });
    }
}

/// The mean power of the two bands: of the sums of neighbours, and of their differences. A constant
/// has none.
fn bands(samples: &[i16]) -> Bands {
    let (mut squares, mut products, mut sum) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let later = samples.get(1..).unwrap_or_default();
    for (now, later) in samples.chunks_exact(LANES).zip(later.chunks(LANES)) {
        for (lane, sample) in now.iter().enumerate() {
            // The frame's last has no neighbour but itself.
            let next = f32::from(*later.get(lane).unwrap_or(sample));
            let sample = f32::from(*sample);
            squares[lane] += sample * sample;
            products[lane] += sample * next;
            sum[lane] += sample;
        }
    }
    let total = |lanes: [f32; LANES]| lanes.iter().sum::<f32>() / samples.len().max(1) as f32;
    let (square, product, mean) = (total(squares), total(products), total(sum));
    [
        (square + product - 2.0 * mean * mean).max(0.0) / 2.0,
        (square - product).max(0.0) / 2.0,
    ]
}
