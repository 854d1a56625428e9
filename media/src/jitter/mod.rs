//! The jitter buffer: packets in by [`JitterBuffer::insert`], sound out by
//! [`JitterBuffer::pull`] on the playout clock and by [`JitterBuffer::hear`] at once.
//!
//! A packet that is the next in order is decoded when it arrives and may be heard at once; the
//! same samples, decoded once, wait for the playout side. A gap holds up what comes after it until
//! the playout side needs it: then the gap is concealed and both go on. When nothing is there at
//! all the playout side is carried on without moving the stream's time, so that a late packet is
//! still played, only later; once the delay is longer than the network asks for, it is worn off by
//! leaving out whole pitch periods.

mod delay;
mod gap;
mod reorder;
mod shorten;
mod timeline;

use std::time::{Duration, Instant};

pub use reorder::Packet;
use reorder::{Held, Reorder};
use timeline::Timeline;

use crate::codec::{Codec, Decoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD_BYTES};
use crate::conceal::Concealer;
use crate::frame::Frame;
use delay::DelayEstimator;

/// Sound that waits at most, in milliseconds; the oldest gives way.
const MAX_LEVEL_MS: usize = 256;
/// What was played stays for so much longer, for listeners that are late.
const UNHEARD_MS: usize = 64;
/// A gap of packets is filled with so much made-up sound at most.
const MAX_FILL_MS: usize = 120;
/// Listeners are told of a standstill after so long: shorter ones are the network's, and what
/// is missing usually comes.
const STANDSTILL_MS: usize = 60;
/// … and hear silence for so long at most.
const MAX_SILENCE_MS: usize = 10_000;
/// After a standstill of so long the delay is built up anew.
const REFILL_AFTER_MS: usize = 200;
/// Sound is left out when packets wait for so much longer than they must.
const EXCESS_MS: u32 = 25;
/// … once in so many steps.
const SHORTEN_EVERY: u32 = 5;
const STEP_MS: u32 = 20;

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
    /// It came too early by more than fits here.
    Dropped,
}

/// What a buffer went through, in samples unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Made up for packets that were late or lost.
    pub concealed: u64,
    /// Recovered of lost packets from what the next one carried of them.
    pub recovered: u64,
    /// Left out to wear off delay.
    pub shortened: u64,
    /// Packets whose place was given up.
    pub late_packets: u64,
    /// Decoded, but never taken by [`JitterBuffer::hear`].
    pub unheard: u64,
    /// Delay that the network asks for now, in milliseconds.
    pub target_ms: u32,
    /// Mean delay from a fast packet's arrival to its playing, in milliseconds.
    pub delay_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet, or nothing for long.
    Empty,
    /// The first sound waits until the delay is built up.
    Filling {
        until: Instant,
    },
    Playing,
}

/// Sound that was made up since the stream stood still; the stream's time does not move with it.
#[derive(Clone, Copy, Debug, Default)]
struct Standstill {
    samples: usize,
    /// How much of it the listeners were given, and from where on.
    heard: usize,
    start: u64,
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
    /// Position of the next sample in the listeners' time, which never runs back.
    next_timestamp: u64,
    /// What is added to the packets' timestamps to get there.
    offset: u64,
    packet_samples: usize,
    still: Standstill,
    next_pull: Option<Instant>,
    mean_delay_ms: f32,
    steps_since_shortened: u32,
    concealed: u64,
    recovered: u64,
    shortened: u64,
    late_packets: u64,
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
            next_timestamp: 0,
            offset: 0,
            packet_samples: rate_hz as usize / 50,
            still: Standstill::default(),
            next_pull: None,
            mean_delay_ms: 0.0,
            steps_since_shortened: 0,
            concealed: 0,
            recovered: 0,
            shortened: 0,
            late_packets: 0,
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
            self.reorder.make_room(MAX_PAYLOAD_BYTES);
        }
    }

    /// The delay to aim at: what the network needs, within the bounds.
    fn target_ms(&self) -> u32 {
        let (least, most) = self.bounds_ms;
        self.delay.target_ms().clamp(least, most)
    }

    /// Takes a packet. One without payload only takes its place in the order.
    pub fn insert(&mut self, packet: Packet<'_>) -> Inserted {
        let next = match self.next_sequence {
            Some(next) => next,
            None => self.start(&packet),
        };
        if packet.sequence < next {
            self.late_packets += 1;
            return Inserted::Late;
        }
        if !packet.payload.is_empty() {
            let delay_ms = self.delay.observe(packet.received, packet.timestamp);
            self.measure(packet.received, delay_ms);
        }
        if packet.sequence == next {
            self.append(packet);
            self.release();
            return Inserted::InOrder;
        }
        match self.reorder.hold(&packet) {
            Held::Kept => Inserted::Waiting,
            Held::Duplicate => Inserted::Duplicate,
            Held::TooLong => {
                self.overtake(packet);
                Inserted::InOrder
            }
            Held::Full => {
                self.give_up(packet.received);
                self.insert_again(packet)
            }
        }
    }

    /// Plays the next step of 20 ms: fills `out`, of [`Frame::MAX_SAMPLES`] at most, and returns
    /// how many samples of it were made up. Before the first packet there is silence.
    pub fn pull(&mut self, now: Instant, out: &mut [i16]) -> usize {
        let (out, beyond) = out.split_at_mut(out.len().min(Frame::MAX_SAMPLES));
        beyond.fill(0);
        self.next_pull = Some(now + Duration::from_millis(u64::from(STEP_MS)));
        self.steps_since_shortened = self.steps_since_shortened.saturating_add(1);
        match self.phase {
            Phase::Empty => {
                // No sound yet, but packets without any may have come, and one of them be lost.
                self.give_up(now);
                out.fill(0);
                return 0;
            }
            Phase::Filling { until } if now < until => {
                out.fill(0);
                return 0;
            }
            Phase::Filling { .. } => self.phase = Phase::Playing,
            Phase::Playing => {}
        }
        while self.timeline.level() < out.len() && !self.reorder.is_empty() {
            self.give_up(now);
        }
        let short = out.len().saturating_sub(self.timeline.level());
        if short > 0 {
            self.stand_still(now, short);
        } else if self.should_shorten() && self.shorten(out) {
            return 0;
        }
        self.timeline.play(out);
        short
    }

    /// Takes the next sound for the listeners: in order, each sample once.
    pub fn hear(&mut self) -> Option<Frame> {
        self.timeline.hear()
    }

    /// Begins with another source, whose numbers have nothing to do with those before. What is
    /// there is still played, and the listeners' time goes on.
    pub fn restart(&mut self) {
        self.reorder.clear();
        self.next_sequence = None;
    }

    /// Tells what the buffer went through.
    #[must_use]
    pub fn stats(&self) -> JitterStats {
        JitterStats {
            concealed: self.concealed,
            recovered: self.recovered,
            shortened: self.shortened,
            late_packets: self.late_packets,
            unheard: self.timeline.unheard(),
            target_ms: self.target_ms(),
            delay_ms: self.mean_delay_ms as u32,
        }
    }

    /// Heap memory in bytes; it changes only with [`JitterBuffer::prepare`].
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.timeline.heap_bytes() + self.reorder.heap_bytes() + self.decoder.heap_bytes()
    }

    /// A source's first packet sets where its numbers and its time begin.
    fn start(&mut self, packet: &Packet<'_>) -> u64 {
        self.next_sequence = Some(packet.sequence);
        if self.next_timestamp == 0 {
            self.next_timestamp = packet.timestamp;
        }
        self.offset = self.next_timestamp.wrapping_sub(packet.timestamp);
        packet.sequence
    }

    fn insert_again(&mut self, packet: Packet<'_>) -> Inserted {
        let next = self.next_sequence.unwrap_or(packet.sequence);
        if packet.sequence == next {
            self.append(packet);
            self.release();
            return Inserted::InOrder;
        }
        match self.reorder.hold(&packet) {
            Held::Kept => Inserted::Waiting,
            _ => Inserted::Dropped,
        }
    }

    /// Decodes the packet that is next in order.
    fn append(&mut self, packet: Packet<'_>) {
        self.next_sequence = Some(packet.sequence + 1);
        if packet.payload.is_empty() {
            return;
        }
        let mut sound = [0; MAX_PACKET_SAMPLES];
        let decoded = self
            .decoder
            .decode(packet.codec, packet.payload, &mut sound);
        if decoded == 0 {
            return;
        }
        self.resume(packet.received);
        let sound = sound.get_mut(..decoded).unwrap_or_default();
        self.concealer.merge(sound);
        let mut timestamp = self.place(packet.timestamp);
        for piece in sound.chunks(self.step_samples().min(Frame::MAX_SAMPLES)) {
            let start = self.timeline.push(piece);
            self.timeline
                .offer(start, piece.len(), timestamp, packet.received, false);
            timestamp += piece.len() as u64;
        }
        self.packet_samples = decoded;
        self.next_timestamp = timestamp;
        self.bound_level();
    }

    /// The listeners' time of a packet's first sample. A source that sets its clock back goes on
    /// where it was.
    fn place(&mut self, timestamp: u64) -> u64 {
        let placed = timestamp.wrapping_add(self.offset);
        let behind = self.next_timestamp.wrapping_sub(placed) as i64;
        if behind > 0 {
            self.offset = self.offset.wrapping_add(behind as u64);
            return self.next_timestamp;
        }
        placed
    }

    /// Sound comes again: after a long standstill the delay is built up anew.
    fn resume(&mut self, received: Instant) {
        let long = self.still.samples >= self.samples(REFILL_AFTER_MS);
        self.still = Standstill::default();
        if self.phase == Phase::Empty || long {
            self.timeline.skip(self.timeline.level());
            let target = Duration::from_millis(u64::from(self.target_ms()));
            self.phase = Phase::Filling {
                until: received + target,
            };
        }
    }

    /// Appends all that is in order now.
    fn release(&mut self) {
        while let Some(next) = self.next_sequence
            && !self.reorder.is_empty()
        {
            // The store is taken out so that its packet can be borrowed while it is decoded.
            let mut reorder = std::mem::take(&mut self.reorder);
            let released = reorder.release(next, |packet| self.append(packet));
            self.reorder = reorder;
            if !released {
                return;
            }
        }
    }

    /// Nothing is there: the playout side is carried on, and if it lasts so are the listeners.
    fn stand_still(&mut self, now: Instant, short: usize) {
        let position = self.make_up(short);
        if self.still.samples == 0 {
            self.still.start = position;
        }
        self.still.samples += short;
        let (grace, most) = (self.samples(STANDSTILL_MS), self.samples(MAX_SILENCE_MS));
        if self.still.samples > grace && self.still.heard < most {
            // Those of the grace time are heard only if a gap turns out to be there.
            let skipped = if self.still.heard == 0 {
                grace.min(self.still.samples)
            } else {
                0
            };
            let heard = self.still.heard + skipped;
            let from = self.still.start + heard as u64;
            let len = self.still.samples - heard;
            self.offer_concealed(now, from, len, self.next_timestamp);
            self.still.heard = self.still.samples;
        }
    }

    fn make_up(&mut self, samples: usize) -> u64 {
        let mut sound = [0; Frame::MAX_SAMPLES];
        let sound = sound
            .get_mut(..samples.min(Frame::MAX_SAMPLES))
            .unwrap_or_default();
        if !self.decoder.conceal(sound) {
            if !self.concealer.is_active() {
                let timeline = &self.timeline;
                self.concealer.begin(|history| timeline.past(history));
            }
            self.concealer.generate(sound);
        }
        self.concealed += sound.len() as u64;
        self.timeline.push(sound)
    }

    fn offer_concealed(&mut self, now: Instant, from: u64, len: usize, timestamp: u64) {
        let mut done = 0;
        while done < len {
            let piece = (len - done).min(self.step_samples());
            let at = timestamp + done as u64;
            self.timeline
                .offer(from + done as u64, piece, at, now, true);
            done += piece;
        }
    }

    fn step_samples(&self) -> usize {
        self.rate_hz as usize / 50
    }

    fn samples(&self, ms: usize) -> usize {
        self.rate_hz as usize / 1_000 * ms
    }
}
