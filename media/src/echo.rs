//! Tells our own echo from the caller's voice, so that the agent does not interrupt itself.
//!
//! A line's hybrid, a phone on a table and a gateway that loops its media all send back what we
//! said, a moment later. What was sent is the reference: a received frame whose recent past
//! correlates with it at one delay is our echo. The correlation runs over sound of 2 kHz with an
//! exponential window of 80 ms, for every delay up to 500 ms; on unrelated real speech its peak is
//! below 0.67 in 99 of 100 frames, on an echo from a room above 0.5 in 19 of 20 and on a line's
//! echo at 1. Once a delay is known only its neighbourhood counts, which unrelated speech does not
//! reach: a caller who speaks louder than the echo is heard.

use crate::frame::Frame;

/// The rate of the comparison. Below 1 kHz is most of speech's energy.
const RATE_HZ: u32 = 2_000;
/// Delays that are searched: 500 ms.
const LAGS: usize = RATE_HZ as usize / 2;
/// How much later than the fastest a packet may come before the clocks are aligned anew.
const SLACK: usize = RATE_HZ as usize * 3 / 10;
/// Reference that the search looks back on.
const HISTORY: usize = LAGS + SLACK + 2 * STEP_MAX;
/// The reference is moved back to its buffer's start once in so many samples.
const RUN: usize = 400;
/// The longest frame: 20 ms.
const STEP_MAX: usize = RATE_HZ as usize / 50;
/// The correlation's window, in samples: 80 ms.
const WINDOW: f32 = RATE_HZ as f32 * 0.08;
/// Frames without a packet of sound sent after which no echo can come.
const SILENT_AFTER: u32 = 40;
/// Mean square of a received sample, at 2 kHz, below which there is nothing to compare: −70 dB.
const QUIET: f32 = 100.0;
/// A correlation that needs no second look.
const CERTAIN: f32 = 0.9;
/// A correlation that makes an echo when it stays at one delay.
const LIKELY: f32 = 0.55;
/// Frames in a row that it must stay there.
const STEADY: u32 = 3;
/// A correlation that goes on being an echo at a delay that is known.
const KNOWN: f32 = 0.45;
/// How far an echo's delay may wander: 10 ms.
const WANDER: usize = 20;
/// Frames of other sound after which a delay is forgotten: 2 s of them.
const FORGET: u32 = 100;
/// Frames after which the alignment of the clocks is taken anew: 10 s.
const ALIGN_EVERY: u32 = 500;

/// Follows one session: what it sends, and whether what it receives is that again.
///
/// It holds 21 KB and allocates only when made. It works only while sound is sent, and for
/// 800 ms after.
#[derive(Debug)]
pub(crate) struct EchoGate {
    decimation: usize,
    sent: Front,
    heard: Front,
    /// What was sent, oldest first; the last sample is the newest.
    reference: Vec<f32>,
    /// Position, in our RTP time at [`RATE_HZ`], of the sample after the newest.
    end: u64,
    silent_frames: u32,
    align: Alignment,
    search: Search,
    verdict: Verdict,
    echoes: u64,
}

impl EchoGate {
    /// Makes a gate for a session of that rate, a multiple of 2 kHz.
    #[must_use]
    pub(crate) fn new(rate_hz: u32) -> Self {
        let decimation = (rate_hz / RATE_HZ).max(1) as usize;
        let mut reference = Vec::with_capacity(HISTORY + 2 * RUN + 2 * STEP_MAX);
        reference.resize(HISTORY, 0.0);
        Self {
            decimation,
            sent: Front::new(decimation),
            heard: Front::new(decimation),
            reference,
            end: 0,
            silent_frames: SILENT_AFTER,
            align: Alignment::default(),
            search: Search::new(),
            verdict: Verdict::default(),
            echoes: 0,
        }
    }

    /// Frames that were found to be our echo.
    #[must_use]
    pub(crate) fn echoes(&self) -> u64 {
        self.echoes
    }

    /// Takes one step of what is sent: `samples` at `position` of our RTP time, `sounding` when
    /// they are more than silence.
    pub(crate) fn sends(&mut self, position: u64, samples: &[i16], sounding: bool) {
        if sounding {
            self.silent_frames = 0;
        } else {
            self.silent_frames = self.silent_frames.saturating_add(1);
            if self.is_idle() {
                return;
            }
        }
        let position = position / self.decimation as u64;
        if position.abs_diff(self.end) > RUN as u64 {
            self.forget_reference(position);
        }
        let mut step = [0.0; STEP_MAX];
        let made = self.sent.process(samples, &mut step);
        // A grid that was re-phased leaves a gap; one that runs ahead overlaps by less than a step.
        let gap = position.saturating_sub(self.end) as usize;
        self.reference.extend(std::iter::repeat_n(0.0, gap));
        self.reference.extend(step.iter().take(made));
        self.end += (gap + made) as u64;
        if self.reference.len() > HISTORY + RUN {
            let spare = self.reference.len() - HISTORY;
            self.reference.copy_within(spare.., 0);
            self.reference.truncate(HISTORY);
        }
    }

    /// Tells whether a received frame is our echo.
    pub(crate) fn is_echo(&mut self, frame: &Frame) -> bool {
        if self.is_idle() {
            self.search.clear();
            return false;
        }
        let mut step = [0.0; STEP_MAX];
        let made = self.heard.process(frame.samples(), &mut step);
        let heard = step.get(..made).unwrap_or_default();
        let start = frame.rtp_timestamp / self.decimation as u64;
        let delay = self.end as i64 - (start as i64 + made as i64);
        let back = match self.align.place(delay) {
            Placed::At(back) => back,
            Placed::Anew => {
                self.search.clear();
                0
            }
        };
        let newest = self.reference.len() as i64 - back;
        let length = LAGS - 1 + made;
        let window = usize::try_from(newest - length as i64)
            .ok()
            .and_then(|from| self.reference.get(from..from + length));
        let Some(window) = window else { return false };
        self.search.step(heard, window);
        let energy = heard.iter().map(|s| s * s).sum::<f32>();
        if energy < QUIET * made.max(1) as f32 {
            return false;
        }
        let echo = self.verdict.judge(&self.search);
        self.echoes += u64::from(echo);
        echo
    }

    /// Heap memory in bytes; it does not change.
    #[must_use]
    pub(crate) fn heap_bytes(&self) -> usize {
        let front = |front: &Front| front.taps.capacity() + front.past.capacity();
        let samples = self.reference.capacity() + front(&self.sent) + front(&self.heard);
        (samples + 2 * LAGS) * size_of::<f32>()
    }

    fn is_idle(&self) -> bool {
        self.silent_frames >= SILENT_AFTER
    }

    /// Begins the reference at a position, as though silence had gone before. The alignment of
    /// the clocks and the delay that is known stay: they hold for the next utterance too.
    fn forget_reference(&mut self, position: u64) {
        self.reference.clear();
        self.reference.resize(HISTORY, 0.0);
        self.end = position;
        self.search.clear();
    }
}

/// Brings sound to 2 kHz: a low pass of 900 Hz, then a pre-emphasis that flattens speech.
#[derive(Debug)]
struct Front {
    taps: Vec<f32>,
    past: Vec<f32>,
    decimation: usize,
    last: f32,
}

impl Front {
    fn new(decimation: usize) -> Self {
        let length = 8 * decimation + 1;
        let middle = (length / 2) as f32;
        let cutoff = 0.9 / decimation as f32;
        let mut taps: Vec<f32> = (0..length)
            .map(|n| {
                let t = n as f32 - middle;
                let sinc = if t == 0.0 {
                    cutoff
                } else {
                    (std::f32::consts::PI * cutoff * t).sin() / (std::f32::consts::PI * t)
                };
                let phase = std::f32::consts::TAU * n as f32 / (length - 1) as f32;
                sinc * (0.54 - 0.46 * phase.cos())
            })
            .collect();
        let sum: f32 = taps.iter().sum();
        taps.iter_mut().for_each(|tap| *tap /= sum);
        Self {
            past: vec![0.0; length - 1 + Frame::MAX_SAMPLES],
            taps,
            decimation,
            last: 0.0,
        }
    }

    /// Filters a frame; gives how many samples it made.
    fn process(&mut self, samples: &[i16], out: &mut [f32; STEP_MAX]) -> usize {
        let history = self.taps.len() - 1;
        let count = samples.len().min(Frame::MAX_SAMPLES);
        for (to, from) in self.past.iter_mut().skip(history).zip(samples) {
            *to = f32::from(*from);
        }
        let mut made = 0;
        for (to, start) in out.iter_mut().zip((0..count).step_by(self.decimation)) {
            let window = self.past.get(start..).unwrap_or_default();
            let value: f32 = self.taps.iter().zip(window).map(|(t, s)| t * s).sum();
            *to = value - 0.9 * self.last;
            self.last = value;
            made += 1;
        }
        self.past.copy_within(count..count + history, 0);
        made
    }
}

/// Where a received frame lies.
enum Placed {
    /// Its newest sample came that many samples after the reference's newest.
    At(i64),
    /// The clocks were aligned anew, with the frame at the reference's newest.
    Anew,
}

/// Aligns the peer's RTP time with ours by the packets that came fastest.
#[derive(Debug, Default)]
struct Alignment {
    fastest: Option<i64>,
    fastest_lately: Option<i64>,
    frames: u32,
}

impl Alignment {
    fn place(&mut self, delay: i64) -> Placed {
        self.frames += 1;
        self.fastest_lately = Some(self.fastest_lately.map_or(delay, |least| least.min(delay)));
        let Some(fastest) = self.fastest else {
            self.fastest = Some(delay);
            return Placed::Anew;
        };
        if self.frames >= ALIGN_EVERY {
            self.frames = 0;
            let lately = self.fastest_lately.replace(delay).unwrap_or(delay);
            if lately > fastest {
                self.fastest = Some(lately);
                return Placed::At((delay - lately).max(0));
            }
        }
        if delay < fastest || delay - fastest > SLACK as i64 {
            // A hair's breadth is jitter of the grid, not another alignment.
            let anew = fastest.abs_diff(delay) > STEP_MAX as u64;
            self.fastest = Some(delay);
            return if anew { Placed::Anew } else { Placed::At(0) };
        }
        Placed::At(delay - fastest)
    }
}

/// The running correlation of what is heard with what was sent, for every delay.
#[derive(Debug)]
struct Search {
    /// By delay, the longest first: so both run forward in memory.
    correlation: Vec<f32>,
    sent_energy: Vec<f32>,
    heard_energy: f32,
}

impl Search {
    fn new() -> Self {
        Self {
            correlation: vec![0.0; LAGS],
            sent_energy: vec![0.0; LAGS],
            heard_energy: 0.0,
        }
    }

    fn clear(&mut self) {
        if self.heard_energy > 0.0 {
            self.correlation.fill(0.0);
            self.sent_energy.fill(0.0);
            self.heard_energy = 0.0;
        }
    }

    /// Adds `heard`, whose counterpart at delay `LAGS − 1 − k` lies at `window[k..]`.
    fn step(&mut self, heard: &[f32], window: &[f32]) {
        let fade = (-(heard.len() as f32) / WINDOW).exp();
        self.correlation.iter_mut().for_each(|c| *c *= fade);
        for (n, sample) in heard.iter().enumerate() {
            let counterpart = window.get(n..n + LAGS).unwrap_or_default();
            for (sum, sent) in self.correlation.iter_mut().zip(counterpart) {
                *sum += sample * sent;
            }
        }
        let energy_of = |part: &[f32]| part.iter().map(|s| s * s).sum::<f32>();
        let mut energy = energy_of(window.get(..heard.len()).unwrap_or_default());
        let leaving = window.iter();
        let entering = window.iter().skip(heard.len()).chain([&0.0]);
        for ((sum, out), in_) in self.sent_energy.iter_mut().zip(leaving).zip(entering) {
            *sum = *sum * fade + energy.max(0.0);
            energy += in_ * in_ - out * out;
        }
        self.heard_energy = self.heard_energy * fade + energy_of(heard);
    }

    /// The strongest correlation among the delays in the range, with its delay.
    fn peak(&self, shortest: usize, longest: usize) -> (f32, usize) {
        let from = LAGS.saturating_sub(longest + 1);
        let to = LAGS.saturating_sub(shortest);
        let correlation = self.correlation.get(from..to).unwrap_or_default();
        let energy = self.sent_energy.get(from..to).unwrap_or_default();
        let mut best = (0.0, from);
        for (n, (c, e)) in correlation.iter().zip(energy).enumerate() {
            // A reference without sound has no echo.
            let ratio = c * c / (e + QUIET * WINDOW);
            if ratio > best.0 {
                best = (ratio, from + n);
            }
        }
        let strength = (best.0 / self.heard_energy.max(1.0)).sqrt();
        (strength, LAGS - 1 - best.1)
    }
}

/// What is known of the echo.
#[derive(Debug, Default)]
struct Verdict {
    /// The delay at which an echo was found.
    known: Option<usize>,
    candidate: usize,
    steady: u32,
    other: u32,
}

impl Verdict {
    fn judge(&mut self, search: &Search) -> bool {
        if let Some(delay) = self.known {
            let near = search.peak(delay.saturating_sub(WANDER), (delay + WANDER).min(LAGS - 1));
            if near.0 >= KNOWN {
                self.known = Some(near.1);
                self.other = 0;
                return true;
            }
            self.other += 1;
            if self.other >= FORGET {
                self.known = None;
            }
        }
        let (strength, delay) = search.peak(0, LAGS - 1);
        let stays = delay.abs_diff(self.candidate) <= WANDER / 2;
        self.candidate = delay;
        self.steady = match strength {
            s if s >= LIKELY && stays => self.steady + 1,
            s if s >= LIKELY => 1,
            _ => 0,
        };
        let found = strength >= CERTAIN || self.steady >= STEADY;
        if found {
            self.known = Some(delay);
            self.other = 0;
        }
        found
    }
}
