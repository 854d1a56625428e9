//! Two sessions, a virtual clock and a network that loses, delays, copies and reorders by seed.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(dead_code)]

pub(crate) mod feed;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use offhook_media::sdp::{self, Direction};
use offhook_media::{
    Codec, Event, Frame, LocalMedia, MediaSession, Negotiated, SessionConfig, SourceRule,
    UtteranceId,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub(crate) const A: &str = "192.0.2.1:4000";
pub(crate) const B: &str = "198.51.100.2:5000";

/// The moment at which virtual time begins.
#[allow(clippy::disallowed_methods)]
pub(crate) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

pub(crate) fn at(ms: u64) -> Instant {
    epoch() + Duration::from_millis(ms)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What A (who offers) and B (who answers) agree on.
pub(crate) fn agreement(change: impl Fn(&mut LocalMedia)) -> (Negotiated, Negotiated) {
    let mut a = LocalMedia::new(address(A), 1);
    let mut b = LocalMedia::new(address(B), 2);
    change(&mut a);
    change(&mut b);
    let offer = sdp::offer(&a);
    let (answer, at_b) = sdp::answer(&offer, &b).unwrap();
    (Negotiated::from_answer(&offer, &answer).unwrap(), at_b)
}

/// What B agreed on with a peer at `remote`, both ways, PCMU.
pub(crate) fn with_peer_at(remote: &str) -> Negotiated {
    let offer = sdp::offer(&LocalMedia::new(address(remote), 1));
    sdp::answer(&offer, &LocalMedia::new(address(B), 2))
        .unwrap()
        .1
}

pub(crate) fn config(negotiated: Negotiated, ssrc: u32) -> SessionConfig {
    let signalling = negotiated.remote.ip();
    SessionConfig {
        source_rule: SourceRule::Negotiated,
        unix_time: Duration::from_secs(1_800_000_000),
        ..SessionConfig::new(negotiated, ssrc, signalling)
    }
}

/// An RTP packet as any peer would send it.
pub(crate) fn rtp(
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) to: SocketAddr,
    pub(crate) rtcp: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn is_rtp(&self) -> bool {
        !(192..224).contains(&self.bytes[1])
    }

    pub(crate) fn payload_type(&self) -> u8 {
        self.bytes[1] & 0x7F
    }

    pub(crate) fn marker(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    pub(crate) fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    pub(crate) fn timestamp(&self) -> u32 {
        u32::from_be_bytes(self.bytes[4..8].try_into().unwrap())
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[12..]
    }
}

/// One session, all that it sent and all that it reported.
pub(crate) struct Party {
    pub(crate) session: MediaSession,
    pub(crate) sent: Vec<Sent>,
    pub(crate) events: Vec<(Instant, Event)>,
}

impl Party {
    pub(crate) fn new(config: SessionConfig) -> Self {
        let session = MediaSession::new(epoch(), config);
        Self {
            session,
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn drain(&mut self, now: Instant) {
        while let Some(packet) = self.session.poll_transmit() {
            let bytes = packet.bytes.to_vec();
            self.sent.push(Sent {
                at: now,
                to: packet.to,
                rtcp: packet.rtcp,
                bytes,
            });
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push((now, event));
        }
    }

    /// Ticks whenever a tick is due, until `end`.
    pub(crate) fn run_until(&mut self, end: Instant) {
        while self.session.next_tick() < end {
            let now = self.session.next_tick();
            self.session.tick(now);
            self.drain(now);
        }
    }

    pub(crate) fn receive(&mut self, now: Instant, from: &str, bytes: &[u8]) {
        self.session.handle_rtp(now, address(from), bytes);
        self.drain(now);
    }

    pub(crate) fn heard(&self) -> impl Iterator<Item = (Instant, &Frame)> {
        self.events.iter().filter_map(|(at, event)| match event {
            Event::Heard(frame) => Some((*at, frame)),
            _ => None,
        })
    }

    pub(crate) fn digits(&self) -> String {
        let digits = self.events.iter().filter_map(|(_, event)| match event {
            Event::Dtmf { digit, .. } => Some(digit.as_char()),
            _ => None,
        });
        digits.collect()
    }

    pub(crate) fn rtp(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(|sent| sent.is_rtp())
    }

    pub(crate) fn play_all(&mut self, now: Instant, id: u64, samples: &[i16]) {
        let accepted = self.session.play(now, UtteranceId(id), samples);
        assert_eq!(accepted, samples.len());
        self.session.finish(now, UtteranceId(id));
    }
}

/// How bad the network is; probabilities from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) delay_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) loss: f64,
    pub(crate) copies: f64,
}

pub(crate) const CLEAN: Weather = Weather {
    delay_ms: 10,
    jitter_ms: 0,
    loss: 0.0,
    copies: 0.0,
};

/// A and B and what is on its way between them.
pub(crate) struct Call {
    pub(crate) a: Party,
    pub(crate) b: Party,
    pub(crate) now: Instant,
    pub(crate) weather: Weather,
    random: SmallRng,
    on_the_way: Vec<(Instant, bool, Sent)>,
    taken: (usize, usize),
}

impl Call {
    pub(crate) fn new(seed: u64, weather: Weather, change: impl Fn(&mut LocalMedia)) -> Self {
        let (at_a, at_b) = agreement(change);
        Self {
            a: Party::new(config(at_a, 0xAAAA_0000 ^ seed as u32)),
            b: Party::new(config(at_b, 0xBBBB_0000 ^ seed as u32)),
            now: epoch(),
            weather,
            random: SmallRng::seed_from_u64(seed),
            on_the_way: Vec::new(),
            taken: (0, 0),
        }
    }

    pub(crate) fn run(&mut self, ms: u64) {
        self.run_with(ms, |_, _, _| {});
    }

    /// Runs millisecond by millisecond, and lets `each` act on both parties in between.
    pub(crate) fn run_with(
        &mut self,
        ms: u64,
        mut each: impl FnMut(Instant, &mut Party, &mut Party),
    ) {
        for _ in 0..ms {
            each(self.now, &mut self.a, &mut self.b);
            self.step();
            self.now += Duration::from_millis(1);
        }
    }

    fn step(&mut self) {
        let now = self.now;
        let mut later = Vec::new();
        for (due, to_b, sent) in std::mem::take(&mut self.on_the_way) {
            if due > now {
                later.push((due, to_b, sent));
                continue;
            }
            let (party, from) = if to_b {
                (&mut self.b, A)
            } else {
                (&mut self.a, B)
            };
            party.session.handle_rtp(now, address(from), &sent.bytes);
            party.drain(now);
        }
        self.on_the_way = later;
        for party in [&mut self.a, &mut self.b] {
            while party.session.next_tick() <= now {
                party.session.tick(now);
                party.drain(now);
            }
            party.drain(now);
        }
        for to_b in [true, false] {
            let (party, taken) = match to_b {
                true => (&self.a, &mut self.taken.0),
                false => (&self.b, &mut self.taken.1),
            };
            for sent in &party.sent[*taken..] {
                for _ in 0..1 + usize::from(self.random.random_bool(self.weather.copies)) {
                    if !self.random.random_bool(self.weather.loss) {
                        let jitter = self.random.random_range(0..=self.weather.jitter_ms);
                        let wait = Duration::from_millis(self.weather.delay_ms + jitter);
                        self.on_the_way.push((now + wait, to_b, sent.clone()));
                    }
                }
            }
            *taken = party.sent.len();
        }
    }
}

/// Sound of which each sample can be told by its place, and which µ-law carries exactly.
pub(crate) fn telltale(place: u64) -> i16 {
    let code = (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    // Neither of the two zeros, of which µ-law keeps one.
    offhook_media::codec::g711::ulaw_to_linear(if code & 0x7F == 0x7F { 0x12 } else { code })
}

pub(crate) fn hold(negotiated: &Negotiated, direction: Direction) -> Negotiated {
    Negotiated {
        direction,
        ..negotiated.clone()
    }
}

/// Eleven seconds of speech at 16 kHz.
pub(crate) fn speech_16k() -> Vec<i16> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/corpora/speech/jfk.wav"
    );
    let file = std::fs::read(path).unwrap();
    let data = file.windows(4).position(|word| word == b"data").unwrap() + 8;
    file[data..]
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// A tone of this frequency and amplitude.
pub(crate) fn tone(rate_hz: u32, hz: f64, amplitude: f64, samples: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate_hz);
    (0..samples)
        .map(|n| (amplitude * (step * n as f64).sin()) as i16)
        .collect()
}

/// How like two sounds are at a delay of the second: 1 when they are the same but for loudness.
pub(crate) fn correlation(a: &[i16], b: &[i16], delay: usize) -> f64 {
    let (mut product, mut energy_a, mut energy_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b.iter().skip(delay)) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        product += a * b;
        energy_a += a * a;
        energy_b += b * b;
    }
    product / (energy_a * energy_b).sqrt().max(1.0)
}

/// What A may send when B's answer took everything that was offered.
pub(crate) fn taking_all(codecs: &[Codec]) -> (Negotiated, Negotiated) {
    let mut a = LocalMedia::new(address(A), 1);
    let mut b = LocalMedia::new(address(B), 2);
    a.codecs = codecs.to_vec();
    b.codecs = codecs.to_vec();
    let (ours, theirs) = (sdp::offer(&a), sdp::offer(&b));
    let at_a = Negotiated::from_answer(&ours, &theirs).unwrap();
    (at_a, Negotiated::from_answer(&theirs, &ours).unwrap())
}
