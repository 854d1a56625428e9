//! What comes in order, what is missing between, and what is played instead of it.

use std::time::Instant;

use super::decide::Phase;
use super::reorder::Packet;
use super::{JitterBuffer, MAX_LEVEL_MS, REMEMBERED};
use crate::codec::MAX_PACKET_SAMPLES;
use crate::frame::{Frame, STEP_SAMPLES};

/// Listeners are told of a standstill after so long: shorter ones are the network's, and what
/// is missing usually comes.
const STANDSTILL_MS: usize = 60;
/// … and hear silence for so long at most.
const MAX_SILENCE_MS: usize = 10_000;
/// Made-up sound has faded after so long, and more silence is not noticed.
const FADED_MS: usize = 200;

/// Sound whose samples are below this in the mean (-40 dB of full scale) may be a sender's silence.
const FAINT: u64 = 300;

/// Sound that was made up since the stream stood still; the stream's time does not move with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standstill {
    samples: usize,
    /// How much of it the listeners were given, and from where on.
    heard: usize,
    start: u64,
}

/// What is left to fill of a gap.
#[derive(Clone, Copy, Debug)]
struct Gap {
    now: Instant,
    /// In the listeners' time.
    timestamp: u64,
    /// How much of it was made up and played during a standstill, and where that lies.
    played: usize,
    position: u64,
}

impl Gap {
    fn advance(&mut self, samples: usize) {
        self.timestamp = self.timestamp.wrapping_add(samples as u64);
        self.played = self.played.saturating_sub(samples);
        self.position += samples as u64;
    }
}

impl JitterBuffer {
    /// Decodes the packet that is next in order.
    pub(super) fn append(&mut self, packet: Packet<'_>) {
        self.next_sequence = Some(packet.sequence.saturating_add(1));
        self.given_up <<= 1;
        let was_quiet = std::mem::replace(&mut self.quiet, packet.payload.is_empty());
        if self.quiet {
            return;
        }
        // Nearly all packets are short, and room that is not there need not be cleared.
        let (mut short, mut long);
        let sound: &mut [i16] = match self.decoder.fits(packet.codec, packet.payload) {
            true => {
                short = [0; STEP_SAMPLES];
                &mut short
            }
            false => {
                long = [0; MAX_PACKET_SAMPLES];
                &mut long
            }
        };
        let len = self.decoder.decode(packet.codec, packet.payload, sound);
        if len == 0 {
            return;
        }
        let sound = sound.get_mut(..len).unwrap_or_default();
        let timestamp = self.place(packet.timestamp);
        self.join(packet.received, timestamp, was_quiet, sound);
        self.write(packet.received, timestamp, sound, false);
        if len == std::mem::replace(&mut self.packet_samples, len) {
            self.set_grain(len, self.step_samples);
        }
        self.next_timestamp = timestamp.wrapping_add(len as u64);
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

    /// Hands decoded sound to both readers.
    fn write(&mut self, received: Instant, timestamp: u64, sound: &[i16], concealed: bool) {
        let room = self.ms_to_samples(MAX_LEVEL_MS).saturating_sub(sound.len());
        self.counts.discarded += self.timeline.cut_to(room) as u64;
        let start = self.timeline.push(sound);
        self.offer(start, sound.len(), timestamp, received, concealed);
    }

    /// Joins a packet's sound to what comes before it: what was made up, or silence of the sender.
    fn join(&mut self, received: Instant, timestamp: u64, was_quiet: bool, sound: &mut [i16]) {
        let made = std::mem::take(&mut self.still).samples;
        let broken = std::mem::take(&mut self.broken);
        if self.phase == Phase::Empty {
            self.phase = Phase::Filling;
            return;
        }
        // Gaps of packets are filled before, so a jump of the time is silence of the sender.
        let silence = self.ahead(timestamp);
        let held = if was_quiet { made } else { made.min(silence) };
        self.counts.held += held as u64;
        self.counts.concealed += (made - held) as u64;
        let faded = made >= self.ms_to_samples(FADED_MS);
        let room = if faded {
            usize::MAX
        } else {
            silence.saturating_sub(held)
        };
        if room > 0 {
            self.build_up(received, timestamp, room);
        }
        let apart = broken || room > 0;
        if apart && !self.concealer.is_active() {
            self.begin_concealment();
        }
        self.concealer.merge(sound);
    }

    /// Makes a silence longer by as much as the delay is short of what it should be, and by no
    /// more than `room`.
    fn build_up(&mut self, received: Instant, timestamp: u64, room: usize) {
        let next_pull = self.next_pull.unwrap_or(received);
        let least = self.level_for(self.lead_us(next_pull, timestamp), 0);
        let missing = least.min(self.ms_to_samples(MAX_LEVEL_MS) / 2);
        let missing = missing.saturating_sub(self.timeline.level()).min(room);
        self.make_up_all(missing);
        self.counts.held += missing as u64;
    }

    /// Appends what is in order now, as far as it fits without overtaking the listeners.
    pub(super) fn release(&mut self) {
        let packet = self.packet_samples.max(self.step_samples);
        while !self.reorder.is_empty() && self.timeline.has_room(packet) && self.release_one() {}
    }

    fn release_one(&mut self) -> bool {
        let Some(next) = self.next_sequence else {
            return false;
        };
        // The store is taken out so that its packet can be borrowed while it is decoded.
        let mut reorder = std::mem::take(&mut self.reorder);
        let released = reorder.release(next, |packet| self.append(packet));
        self.reorder = reorder;
        released
    }

    /// Waits no longer for what is missing before the first packet that is there.
    pub(super) fn give_up(&mut self, now: Instant) {
        let (Some(next), Some(first)) = (self.next_sequence, self.reorder.first()) else {
            return;
        };
        let (sequence, timestamp) = (first.sequence, first.timestamp);
        let packets = sequence.saturating_sub(next);
        let missing = self
            .ahead(timestamp.wrapping_add(self.offset))
            .min(packets.min(REMEMBERED) as usize * self.packet_samples)
            .min(self.ms_to_samples(MAX_LEVEL_MS));
        self.fill(now, missing);
        self.next_sequence = Some(sequence);
        let shift = packets.min(REMEMBERED) as u32;
        let newest = 1u64.checked_shl(shift).map_or(u64::MAX, |bit| bit - 1);
        self.given_up = self.given_up.checked_shl(shift).unwrap_or(0) | newest;
        self.release_one();
        self.release();
    }

    /// Fills a gap of `missing` samples, of which a standstill may have made up some: its end is
    /// recovered from the packet that comes after it where that carries it, the rest made up.
    fn fill(&mut self, now: Instant, missing: usize) {
        if missing == 0 {
            return;
        }
        let timestamp = self.next_timestamp;
        let still = std::mem::take(&mut self.still);
        let heard = still.heard.min(missing);
        let mut gap = Gap {
            now,
            timestamp: timestamp.wrapping_add(heard as u64),
            played: still.samples.min(missing) - heard,
            position: still.start + heard as u64,
        };
        let recovered = self.recoverable(missing - heard);
        self.counts.concealed += still.samples as u64;
        self.conceal(&mut gap, missing - heard - recovered);
        self.recover(&mut gap, recovered);
        self.next_timestamp = timestamp.wrapping_add(missing as u64);
    }

    /// Carries on for so long: in the codec's own way, where it has one.
    fn conceal(&mut self, gap: &mut Gap, samples: usize) {
        let mut left = samples;
        if gap.played > 0 && !self.concealer.is_active() {
            // The decoder has carried on already.
            left -= self.keep(gap, left);
        }
        while left > 0 {
            let mut sound = [0; STEP_SAMPLES];
            let len = left.min(sound.len());
            let sound = sound.get_mut(..len).unwrap_or_default();
            if !self.decoder.conceal(sound) {
                break;
            }
            self.counts.concealed += (len - gap.played.min(len)) as u64;
            self.put(gap, sound, true);
            left -= len;
        }
        left -= self.keep(gap, left);
        let position = self.make_up_all(left);
        self.offer(position, left, gap.timestamp, gap.now, true);
        gap.advance(left);
        self.counts.concealed += left as u64;
    }

    /// Gives the listeners what was played in a gap, and returns how much of it that is.
    fn keep(&mut self, gap: &mut Gap, most: usize) -> usize {
        let kept = gap.played.min(most);
        self.offer(gap.position, kept, gap.timestamp, gap.now, true);
        gap.advance(kept);
        kept
    }

    /// Samples at a gap's end that the packet after it carries again (RFC 6716 §2.1.7), when the
    /// gap has room for them.
    fn recoverable(&self, room: usize) -> usize {
        let next = self.reorder.first();
        let samples = next.map_or(0, |next| self.decoder.fec_samples(next.codec, next.payload));
        if samples <= room { samples } else { 0 }
    }

    /// Takes so much lost sound from the packet that comes after it.
    fn recover(&mut self, gap: &mut Gap, samples: usize) {
        let Some(next) = self.reorder.first().filter(|_| samples > 0) else {
            return;
        };
        let mut sound = [0; MAX_PACKET_SAMPLES];
        let sound = sound.get_mut(..samples).unwrap_or_default();
        self.decoder.decode_fec(next.codec, next.payload, sound);
        self.counts.recovered += sound.len() as u64;
        self.put(gap, sound, false);
    }

    /// Puts sound into a gap. What was played there is too late to be played otherwise, but the
    /// listeners get it as it should have been.
    fn put(&mut self, gap: &mut Gap, sound: &mut [i16], concealed: bool) {
        let (late, rest) = sound.split_at_mut(gap.played.min(sound.len()));
        if !late.is_empty() {
            if !self.concealer.is_active() {
                // For the playing side, what comes next follows on made-up sound.
                self.begin_concealment();
            }
            self.timeline.replace(gap.position, late);
            self.offer(gap.position, late.len(), gap.timestamp, gap.now, concealed);
            gap.advance(late.len());
        }
        if !rest.is_empty() {
            self.concealer.merge(rest);
            self.write(gap.now, gap.timestamp, rest, concealed);
            gap.advance(rest.len());
        }
    }

    /// Nothing is there: the playout side is carried on, and if it lasts so are the listeners.
    /// What that stood for is counted when it is known.
    pub(super) fn stand_still(&mut self, now: Instant, short: usize) {
        let position = match self.pause(short) {
            Some(position) => position,
            None => self.make_up_all(short),
        };
        if self.still.samples == 0 {
            self.still.start = position;
        }
        self.still.samples += short;
        let (grace, most) = (
            self.ms_to_samples(STANDSTILL_MS),
            self.ms_to_samples(MAX_SILENCE_MS),
        );
        if self.still.heard == 0 && self.still.samples > grace {
            // Those of the grace time are heard only if a gap turns out to be there.
            self.still.heard = grace;
        }
        while (1..most).contains(&self.still.heard) && self.still.heard < self.still.samples {
            let from = self.still.start + self.still.heard as u64;
            let piece = Frame::MAX_SAMPLES.min(self.still.samples - self.still.heard);
            self.offer(from, piece, self.next_timestamp, now, true);
            self.still.heard += piece;
        }
    }

    /// Lets the decoder carry on after faint sound: a sender that saves silence may be silent, and
    /// its codec knows how its silence sounds. Otherwise the decoder is left as it is until it is
    /// known what is missing, so that what is only late is heard as it was sent, and what is lost
    /// can be recovered.
    fn pause(&mut self, samples: usize) -> Option<u64> {
        let mut sound = [0; STEP_SAMPLES];
        self.timeline.past(&mut sound);
        let loudness: u64 = sound.iter().map(|s| u64::from(s.unsigned_abs())).sum();
        if self.concealer.is_active() || loudness > FAINT * sound.len() as u64 {
            return None;
        }
        let sound = sound.get_mut(..samples)?;
        self.decoder
            .conceal(sound)
            .then(|| self.timeline.push(sound))
    }

    fn begin_concealment(&mut self) {
        let timeline = &self.timeline;
        self.concealer.begin(|history| timeline.past(history));
    }

    /// Carries on what was written last by `samples`, and returns where that begins.
    fn make_up_all(&mut self, samples: usize) -> u64 {
        let room = self.ms_to_samples(MAX_LEVEL_MS).saturating_sub(samples);
        self.counts.discarded += self.timeline.cut_to(room) as u64;
        let start = self.timeline.end();
        if samples > 0 && !self.concealer.is_active() {
            self.begin_concealment();
        }
        let mut left = samples;
        while left > 0 {
            let mut sound = [0; STEP_SAMPLES];
            let len = left.min(sound.len());
            let sound = sound.get_mut(..len).unwrap_or_default();
            self.concealer.generate(sound);
            self.timeline.push(sound);
            left -= len;
        }
        start
    }

    /// Offers a stretch to the listeners, in frames.
    fn offer(&mut self, from: u64, len: usize, timestamp: u64, now: Instant, concealed: bool) {
        let mut done = 0;
        while done < len {
            let part = Frame::MAX_SAMPLES.min(len - done);
            let at = timestamp.wrapping_add(done as u64);
            self.timeline
                .offer(from + done as u64, part, at, now, concealed);
            done += part;
        }
    }
}
