//! The jitter buffer: packets in by [`JitterBuffer::insert`], sound out by
//! [`JitterBuffer::pull`] on the playout clock and by [`JitterBuffer::hear`] at once.
//!
//! A packet that is the next in order is decoded when it arrives and may be heard at once; the
//! same samples, decoded once, wait for the playout side. A gap holds up what comes after it until
//! the playout side needs it: then the gap is concealed and both go on. When nothing is there at
//! all the playout side is carried on without moving the stream's time, so that a late packet is
//! still played, only later.
//!
//! The playout side works in the manner of NetEQ: `delay` learns how long packets must wait,
//! `decide` chooses what to do at each step, `gap` and `stretch` do it. The listeners get each
//! sample once and unstretched, whatever the playout side does.

mod decide;
mod delay;
mod gap;
mod order;
mod peaks;
mod reorder;
mod seam;
mod stats;
mod stretch;
mod timeline;

use std::time::{Duration, Instant};

pub use reorder::Packet;
pub use stats::JitterStats;

use crate::codec::comfort_noise::ComfortNoise;
use crate::codec::{Codec, Decoder};
use crate::conceal::Concealer;
use crate::frame::{Frame, STEP_SAMPLES};
use decide::{Operation, Phase, Situation, common_grain, decide, least_level};
use delay::DelayEstimator;
use gap::Standstill;
use reorder::Reorder;
use timeline::Timeline;

/// Sound that waits at most, in milliseconds; the oldest gives way.
const MAX_LEVEL_MS: usize = 256;
/// What was played stays for so much longer, for listeners that are late.
const UNHEARD_MS: usize = 64;
/// What may wait of packets of L16, in bytes: 256 ms, four times what other codecs need.
const L16_BYTES: usize = 8_192;
/// Clocks and ticks wander: a packet that is a little later than expected is still in time.
const GUARD_US: i64 = 1_000;
/// What waits by no more than this too long is left alone, so that it is not stretched to and fro.
const SLACK_US: i64 = 4_000;
/// Packets given up that are remembered, to tell a late one from a copy.
const REMEMBERED: u64 = 64;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was the next one, and may be heard.
    InOrder,
    /// It waits for those before it.
    Waiting,
    /// It, or one like it, was there before.
    Duplicate,
    /// Its place was given up before it came.
    Late,
    /// It came too early by more than fits here, or is longer than what may wait.
    Dropped,
}

/// Puts one source's packets in order and hands out their sound.
#[derive(Debug)]
pub struct JitterBuffer {
    rate_hz: u32,
    timeline: Timeline,
    reorder: Reorder,
    decoder: Decoder,
    concealer: Concealer,
    delay: DelayEstimator,
    phase: Phase,
    next_sequence: Option<u64>,
    /// Which of the numbers before the next one were given up, the newest lowest.
    given_up: u64,
    /// Timestamp of the next sample in the listeners' time, which never runs back.
    next_timestamp: u64,
    /// What is added to the packets' timestamps to get there.
    offset: u64,
    /// Length of the last packet, and of the last two that were alike.
    packet_samples: usize,
    usual_samples: usize,
    /// The greatest common divisor of that and of a step.
    grain_samples: usize,
    /// The last packet in order carried no sound: the sender said that it is silent.
    quiet: bool,
    /// What comes next has nothing to do with what was played.
    broken: bool,
    still: Standstill,
    step_samples: usize,
    next_pull: Option<Instant>,
    mean_delay_ms: f32,
    /// Steps since sound was last stretched, or was to be.
    calm_steps: u32,
    /// How often it was to be since then, and nothing was alike enough.
    vain_tries: u32,
    counts: JitterStats,
    bounds_ms: (u32, u32),
}

impl JitterBuffer {
    /// Makes an empty buffer for sound of `rate_hz` (8,000 or 16,000), in which the packets'
    /// timestamps count too; `start` is the moment from which it measures time.
    #[must_use]
    pub fn new(start: Instant, rate_hz: u32) -> Self {
        let capacity = (MAX_LEVEL_MS + UNHEARD_MS) * (rate_hz as usize / 1000);
        Self {
            rate_hz,
            timeline: Timeline::new(rate_hz, capacity),
            reorder: Reorder::new(),
            decoder: Decoder::new(rate_hz),
            concealer: Concealer::new(rate_hz),
            delay: DelayEstimator::new(start, rate_hz),
            phase: Phase::Empty,
            next_sequence: None,
            given_up: u64::MAX,
            next_timestamp: 0,
            offset: 0,
            packet_samples: rate_hz as usize / 50,
            usual_samples: rate_hz as usize / 50,
            grain_samples: rate_hz as usize / 50,
            quiet: false,
            broken: false,
            still: Standstill::default(),
            step_samples: rate_hz as usize / 50,
            next_pull: None,
            mean_delay_ms: 0.0,
            calm_steps: 0,
            vain_tries: 0,
            counts: JitterStats::default(),
            bounds_ms: (0, MAX_LEVEL_MS as u32),
        }
    }

    /// Bounds the delay that the buffer aims at, in milliseconds.
    #[must_use]
    pub fn with_delay_between(mut self, least_ms: u32, most_ms: u32) -> Self {
        let most_ms = most_ms.min(MAX_LEVEL_MS as u32);
        self.bounds_ms = (least_ms.min(most_ms), most_ms);
        self
    }

    /// Makes ready for packets of these codecs; others bring no sound.
    pub fn prepare(&mut self, codecs: impl IntoIterator<Item = Codec>) {
        let mut l16 = false;
        let codecs = codecs
            .into_iter()
            .inspect(|codec| l16 |= *codec == Codec::L16);
        self.decoder.prepare(codecs);
        if l16 {
            self.reorder.make_room(L16_BYTES);
        }
    }

    /// Takes a packet. One without payload only takes its place in the order.
    pub fn insert(&mut self, packet: Packet<'_>) -> Inserted {
        self.take_in(packet)
    }

    /// Plays the next step: fills `out`, of [`STEP_SAMPLES`] at most, and returns how many
    /// samples of it were made up. Before the first packet there is silence. The step lasts as
    /// long as `out` is, and `now` is when it begins.
    pub fn pull(&mut self, now: Instant, out: &mut [i16]) -> usize {
        let (out, beyond) = out.split_at_mut(out.len().min(STEP_SAMPLES));
        beyond.fill(0);
        let Some(made_up) = self.begin_step(now, out.len()) else {
            out.fill(0);
            return 0;
        };
        self.timeline.play(out);
        made_up
    }

    /// As [`pull`](Self::pull) with so many samples, where nobody wants them: only what is heard
    /// and counted goes on.
    pub fn pass(&mut self, now: Instant, samples: usize) {
        let samples = samples.min(STEP_SAMPLES);
        if self.begin_step(now, samples).is_some() {
            self.timeline.pass(samples);
        }
    }

    /// Sees to it that so many samples are there to be played, and tells how many of them were made
    /// up; none while nothing is to be played.
    fn begin_step(&mut self, now: Instant, samples: usize) -> Option<usize> {
        self.set_grain(self.usual_samples, samples.max(1));
        self.next_pull = Some(now + Duration::from_micros(self.samples_to_us(samples) as u64));
        self.calm_steps = self.calm_steps.saturating_add(1);
        let mut made_up = 0;
        loop {
            match decide(&self.situation(now)) {
                Operation::Hold => return None,
                // Each turn leaves fewer packets behind a gap.
                Operation::Merge => {
                    self.give_up(now);
                    continue;
                }
                Operation::Expand | Operation::ComfortNoise => {
                    made_up = samples.saturating_sub(self.timeline.level());
                    self.stand_still(now, made_up);
                }
                Operation::Accelerate {
                    most_samples,
                    urgent,
                } => self.accelerate(most_samples, urgent),
                Operation::PreemptiveExpand { urgent } => self.preemptive_expand(urgent),
                Operation::Normal => {}
            }
            break;
        }
        self.phase = Phase::Playing;
        self.counts.played += samples as u64;
        Some(made_up)
    }

    /// Takes how the source's silence sounds, from a packet that was inserted without payload:
    /// what is missing from now on is silence, until sound comes again.
    pub fn comfort_noise(&mut self, noise: &ComfortNoise) {
        self.concealer.comfort_noise(noise);
    }

    /// Takes the next sound for the listeners: in order, each sample once.
    pub fn hear(&mut self) -> Option<Frame> {
        if self.timeline.is_heard() {
            self.release();
        }
        self.timeline.hear()
    }

    /// Begins with another source, whose numbers have nothing to do with those before. What is
    /// there is still played, and the listeners' time goes on.
    pub fn restart(&mut self) {
        self.reorder.clear();
        self.next_sequence = None;
        self.delay.restart();
        self.quiet = false;
        self.broken = true;
    }

    /// Begins with nothing, as when it was made: what is there is neither played nor heard any more.
    pub fn begin_anew(&mut self) {
        self.restart();
        self.broken = false;
        self.phase = Phase::Empty;
        self.still = Standstill::default();
        self.concealer.end();
        self.timeline.clear();
    }

    /// Copies what waits to be played, as far as it fits, and returns how much that is; when more
    /// waits it is the newest of it.
    pub fn waiting(&self, out: &mut [i16]) -> usize {
        let len = self.timeline.level().min(out.len());
        let out = out.get_mut(..len).unwrap_or_default();
        self.timeline.past(out);
        len
    }

    /// Whether packets wait for one that is missing before them.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.reorder.is_empty()
    }

    /// Samples that are decoded and wait to be played.
    #[must_use]
    pub fn waiting_samples(&self) -> usize {
        self.timeline.level()
    }

    /// How long a packet's sound lasts, in milliseconds.
    #[must_use]
    pub fn packet_ms(&self) -> f32 {
        self.packet_samples as f32 * 1_000.0 / self.rate_hz.max(1) as f32
    }

    /// The delay to which the buffer may grow, in milliseconds.
    #[must_use]
    pub fn limit_ms(&self) -> u32 {
        self.bounds_ms.1
    }

    /// Tells what the buffer went through.
    #[must_use]
    pub fn stats(&self) -> JitterStats {
        JitterStats {
            unheard: self.timeline.unheard(),
            target_ms: self.target_ms(),
            delay_ms: self.mean_delay_ms as u32,
            ..self.counts
        }
    }

    /// Heap memory in bytes; it changes only with [`JitterBuffer::prepare`].
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.timeline.heap_bytes()
            + self.reorder.heap_bytes()
            + self.decoder.heap_bytes()
            + self.concealer.heap_bytes()
    }

    /// The delay to aim at: what the network needs, within the bounds.
    fn target_ms(&self) -> u32 {
        let (least, most) = self.bounds_ms;
        self.delay.target_ms().clamp(least, most)
    }

    /// Looks at what a decision depends on, and averages the delay.
    fn situation(&mut self, now: Instant) -> Situation {
        let level = self.timeline.level();
        let lead_us = self.lead_us(now, self.next_timestamp);
        if level > 0 && self.phase == Phase::Playing {
            let delay_us = lead_us.saturating_add(self.samples_to_us(level));
            let delay_ms = delay_us.max(0) as f32 / 1_000.0;
            self.mean_delay_ms += (delay_ms - self.mean_delay_ms) / 16.0;
        }
        Situation {
            phase: self.phase,
            level,
            step: self.step_samples,
            gap: !self.reorder.is_empty(),
            quiet: self.quiet,
            blending: self.timeline.is_blending(),
            calm_steps: self.calm_steps,
            least: self.level_for(lead_us, 0),
            most: self.level_for(lead_us, SLACK_US),
            shortest: 2 * self.shortest_stretch(),
        }
    }

    /// How much must wait at a step so that nearly all packets are in time, and a little more.
    fn level_for(&self, lead_us: i64, more_us: i64) -> usize {
        let grain = self.grain_samples;
        let grain_us = self.samples_to_us(grain);
        let step_us = self.samples_to_us(self.step_samples);
        let needed_us = i64::from(self.target_ms()) * 1_000 + GUARD_US;
        let ask_us = needed_us + more_us + step_us - grain_us;
        least_level(lead_us, ask_us, grain, grain_us)
    }

    /// By how much a moment is later than the earliest at which a packet could be there whose
    /// timestamp this is in the listeners' time.
    fn lead_us(&self, now: Instant, timestamp: u64) -> i64 {
        let sent = timestamp.wrapping_sub(self.offset);
        self.delay.lead_us(now, sent).unwrap_or(0)
    }

    /// Steps and packets are of these lengths from now on.
    fn set_grain(&mut self, packet_samples: usize, step_samples: usize) {
        if (packet_samples, step_samples) != (self.usual_samples, self.step_samples) {
            self.usual_samples = packet_samples;
            self.step_samples = step_samples;
            self.grain_samples = common_grain(packet_samples, step_samples);
        }
    }

    fn samples_to_us(&self, samples: usize) -> i64 {
        (samples * 1_000_000 / self.rate_hz.max(1) as usize) as i64
    }

    fn ms_to_samples(&self, ms: usize) -> usize {
        self.us_to_samples(ms * 1_000)
    }

    fn us_to_samples(&self, us: usize) -> usize {
        self.rate_hz as usize * us / 1_000_000
    }

    /// How far a timestamp lies ahead of what comes next, in samples; 0 when it lies behind.
    fn ahead(&self, timestamp: u64) -> usize {
        let ahead = timestamp.wrapping_sub(self.next_timestamp) as i64;
        // More than some hours are a clock that was set: nobody waits for that.
        ahead.clamp(0, 1 << 30) as usize
    }
}
