//! baresip's jitter buffer, by the algorithm that it documents (`docs/jbuf/README.md` of
//! github.com/baresip/re), with the speeds of its source: jitter rises by 1/8 and falls by 1/512 of
//! the difference, the buffered time is smoothed over 128 packets.
//!
//! It holds back a packet when too little is buffered and drops one when too much is, both in
//! silence only. Lost packets are skipped, late ones dropped, an empty buffer is made up for.

use std::collections::{BTreeMap, VecDeque};

use offhook_media::codec::g711;

use crate::score::{Subject, Tally};
use crate::trace::{PER_MS, Passage};

/// A packet whose loudest sample is below this is silence.
const SILENCE: u16 = 200;

/// How the buffer is set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// As it is shipped: five packets wait, always.
    Fixed,
    /// By the jitter, from one packet on.
    Adaptive,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Good,
    Low,
    High,
}

pub(crate) struct Baresip {
    kind: Kind,
    ptime_ms: f64,
    /// Packets that wait, by number: their timestamp and sound.
    waiting: BTreeMap<u64, (u64, Vec<i16>)>,
    started: bool,
    played_up_to: Option<u64>,
    last: Option<(u64, u64)>,
    jitter_ms: f64,
    buffered_ms: f64,
    state: State,
    silence: bool,
    /// What was decoded and not played yet, and the position after it.
    sound: VecDeque<i16>,
    end: u64,
    tally: Tally,
}

impl Baresip {
    pub(crate) fn new(kind: Kind, ptime_ms: u64) -> Self {
        Self {
            kind,
            ptime_ms: ptime_ms as f64,
            waiting: BTreeMap::new(),
            started: false,
            played_up_to: None,
            last: None,
            jitter_ms: 0.0,
            buffered_ms: 0.0,
            state: State::Good,
            silence: true,
            sound: VecDeque::new(),
            end: 0,
            tally: Tally::default(),
        }
    }

    /// Packets that wait at least, and at most.
    fn bounds(&self) -> (usize, usize) {
        match self.kind {
            Kind::Fixed => (5, 10),
            Kind::Adaptive => (1, 10),
        }
    }

    fn measure(&mut self, now_us: u64, timestamp: u64) {
        let Some((last_us, last_timestamp)) = self.last.replace((now_us, timestamp)) else {
            return;
        };
        let real_ms = (now_us as f64 - last_us as f64) / 1_000.0;
        let sent_ms = (timestamp as f64 - last_timestamp as f64) / PER_MS as f64;
        let moved_ms = (real_ms - sent_ms).abs();
        let speed = if moved_ms > self.jitter_ms { 64.0 } else { 1.0 };
        self.jitter_ms += (moved_ms - self.jitter_ms) * speed / 512.0;
        let ends = (
            self.waiting.first_key_value(),
            self.waiting.last_key_value(),
        );
        let span_ms = match ends {
            (Some((_, (first, _))), Some((_, (last, _)))) => (last - first) as f64 / PER_MS as f64,
            _ => 0.0,
        };
        self.buffered_ms += (span_ms + self.ptime_ms - self.buffered_ms) / 128.0;
        let (least, most) = self.bounds();
        let bottom_ms = (self.jitter_ms * 1.25).max(least as f64 * self.ptime_ms * 2.0 / 3.0);
        let top_ms = (self.jitter_ms * 2.2).max(bottom_ms + self.ptime_ms * 4.0 / 3.0);
        self.state = if self.buffered_ms < bottom_ms && self.waiting.len() < most {
            self.buffered_ms += self.ptime_ms;
            State::Low
        } else if self.buffered_ms > top_ms && self.waiting.len() > least {
            State::High
        } else {
            State::Good
        };
    }

    /// Takes the next packet; none when it is to be waited for.
    fn take(&mut self) -> Option<(u64, Vec<i16>)> {
        let (least, most) = self.bounds();
        match self.kind {
            Kind::Fixed if self.waiting.len() <= least => return None,
            Kind::Adaptive if !self.started && self.waiting.len() < least => return None,
            Kind::Adaptive if self.started && self.silence && self.state == State::Low => {
                self.state = State::Good;
                if self.waiting.len() < most - 1 {
                    return None;
                }
            }
            _ => {}
        }
        if !self.started {
            self.started = true;
            self.buffered_ms = least as f64 * self.ptime_ms;
        }
        let (sequence, taken) = self.waiting.pop_first()?;
        if let Some(before) = self.played_up_to.replace(sequence) {
            self.tally.accelerated += (sequence - before - 1) * taken.1.len() as u64;
        }
        Some(taken)
    }

    /// Decodes one more packet; false when there is none.
    fn decode(&mut self) -> bool {
        let Some((timestamp, sound)) = self.take() else {
            return false;
        };
        self.silence = sound.iter().all(|s| s.unsigned_abs() < SILENCE);
        let (_, most) = self.bounds();
        let high = self.state == State::High || self.waiting.len() >= most;
        if matches!(self.kind, Kind::Adaptive) && high && self.silence {
            self.tally.accelerated += sound.len() as u64;
            self.buffered_ms -= self.ptime_ms;
            self.state = State::Good;
            return self.decode();
        }
        self.end = timestamp + sound.len() as u64;
        self.sound.extend(sound);
        true
    }
}

impl Subject for Baresip {
    fn insert(&mut self, now_us: u64, packet: &Passage, payload: &[u8]) {
        if self
            .played_up_to
            .is_some_and(|played| packet.sequence <= played)
        {
            self.tally.late += 1;
            return;
        }
        if self.waiting.len() >= self.bounds().1 {
            self.waiting.pop_first();
        }
        let mut sound = vec![0; payload.len()];
        g711::decode_ulaw(payload, &mut sound);
        self.waiting
            .insert(packet.sequence, (packet.timestamp, sound));
        self.measure(now_us, packet.timestamp);
    }

    fn next(&self) -> Option<u64> {
        match self.sound.len() as u64 {
            // In the start it waits on purpose.
            0 if !self.started => None,
            0 => self.waiting.first_key_value().map(|(_, (at, _))| *at),
            left => self.end.checked_sub(left),
        }
    }

    fn pull(&mut self, _now_us: u64, out: &mut [i16]) {
        while self.sound.len() < out.len() && self.decode() {}
        let short = out.len().saturating_sub(self.sound.len());
        self.tally.made_up += short as u64;
        for to in out.iter_mut() {
            *to = self.sound.pop_front().unwrap_or(0);
        }
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
