//! Calls over paths that send back what is said: lines, rooms, and voices of several levels.

use std::collections::VecDeque;

use offhook_media::codec::g711;
use offhook_media::rtp::RtpPacket;
use offhook_media::{Event, MediaSession, SessionConfig, UtteranceId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::common::{A, address, at, config, rtp, with_peer_at};

pub(crate) const STEP: usize = 160;
/// A frame louder than this can be taken for speech.
pub(crate) const AUDIBLE_RMS: f64 = 60.0;

/// Real speech at 8 kHz: the mean of as many samples as stand for one.
pub(crate) fn read(path: &str) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap();
    let rate_hz = u32::from_le_bytes(bytes[24..28].try_into().unwrap());
    let data = bytes.windows(4).position(|name| name == b"data").unwrap() + 8;
    let fold = rate_hz as usize / 8_000;
    let samples: Vec<i32> = bytes[data..]
        .chunks_exact(2)
        .map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])))
        .collect();
    let mean = |part: &[i32]| (part.iter().sum::<i32>() / part.len() as i32) as i16;
    samples.chunks_exact(fold).map(mean).collect()
}

/// Speech of the corpora.
pub(crate) fn speech(name: &str) -> Vec<i16> {
    let corpora = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora/speech");
    read(&format!("{corpora}/{name}"))
}

fn rms(samples: &[f64]) -> f64 {
    (samples.iter().map(|s| s * s).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}

fn factor(db: f64) -> f64 {
    10f64.powf(db / 20.0)
}

/// Speech brought to a level in dB of full scale, counted over the frames that are not silent.
pub(crate) fn at_level(sound: &[i16], dbfs: f64) -> Vec<i16> {
    let frames = sound.chunks_exact(STEP);
    let levels = frames.map(|part| rms(&part.iter().map(|s| f64::from(*s)).collect::<Vec<_>>()));
    let active: Vec<f64> = levels.filter(|level| *level > 100.0).collect();
    let gain = 32_768.0 * factor(dbfs) / rms(&active);
    let scaled = sound.iter().map(|s| f64::from(*s) * gain);
    scaled
        .map(|s| s.clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

/// The way from what we send back to what we receive.
#[derive(Clone, Debug)]
pub(crate) struct EchoPath {
    pub(crate) delay_ms: usize,
    response: Vec<f32>,
}

impl EchoPath {
    pub(crate) fn none() -> Self {
        Self::line(0, f64::NEG_INFINITY)
    }

    /// A hybrid or a loop: nothing but an attenuation.
    pub(crate) fn line(delay_ms: usize, db: f64) -> Self {
        let response = vec![factor(db) as f32];
        Self { delay_ms, response }
    }

    /// A room: the direct sound, then a tail that dies away by 60 dB in `reverberation_ms` and has
    /// a quarter of its energy.
    pub(crate) fn room(delay_ms: usize, db: f64, reverberation_ms: usize) -> Self {
        let mut random = SmallRng::seed_from_u64(7 + reverberation_ms as u64);
        let fade = 6.9 / (reverberation_ms * 8) as f32;
        let mut tail: Vec<f32> = (0..reverberation_ms * 8)
            .map(|n| random.random_range(-1.0..1.0) * (-fade * n as f32).exp())
            .collect();
        let gain = factor(db) as f32;
        let energy = tail.iter().map(|t| t * t).sum::<f32>().sqrt();
        tail.iter_mut().for_each(|t| *t *= gain * 0.5 / energy);
        tail[0] += gain;
        // The newest sample last, as it meets what was sent.
        tail.reverse();
        let response = tail;
        Self { delay_ms, response }
    }

    /// The echo of the step that begins at `position`.
    fn echo(&self, sent: &[f32], position: usize) -> Vec<f64> {
        let taps = self.response.len();
        let sample = |n: usize| {
            let newest = (position + n + 1).checked_sub(self.delay_ms * 8)?;
            let taken = newest.min(taps);
            let past = sent.get(newest - taken..newest)?;
            let response = &self.response[taps - taken..];
            let products = past.iter().zip(response).map(|(s, r)| s * r);
            Some(f64::from(products.sum::<f32>()))
        };
        (0..STEP).map(|n| sample(n).unwrap_or(0.0)).collect()
    }
}

/// One frame of a call: how loud each part of it was, and what became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) echo: f64,
    pub(crate) voice: f64,
    pub(crate) silenced: bool,
}

/// A share of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub(crate) of: u32,
    pub(crate) hits: u32,
}

impl Share {
    fn count(moments: &[Moment], of: impl Fn(&Moment) -> bool, silenced: bool) -> Self {
        let counted = moments.iter().filter(|moment| of(moment));
        let mut share = Self::default();
        for moment in counted {
            share.of += 1;
            share.hits += u32::from(moment.silenced == silenced);
        }
        share
    }

    pub(crate) fn percent(self) -> f64 {
        100.0 * f64::from(self.hits) / f64::from(self.of.max(1))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            of: self.of + other.of,
            hits: self.hits + other.hits,
        }
    }
}

/// Frames of the caller's that were silenced, among those in which it is audible and louder than
/// the echo by so much.
pub(crate) fn silenced(moments: &[Moment], louder_by_db: f64) -> Share {
    let over = factor(louder_by_db);
    let caller = |m: &Moment| m.voice > AUDIBLE_RMS && m.voice > over * m.echo;
    Share::count(moments, caller, true)
}

/// Frames of echo that were let through, among those in which nothing else is to be heard; the
/// first `after` of them are left out.
pub(crate) fn let_through(moments: &[Moment], after: usize) -> Share {
    let echo = |m: &Moment| m.echo > AUDIBLE_RMS && m.voice < m.echo / 10.0;
    let echoes: Vec<Moment> = moments.iter().copied().filter(echo).skip(after).collect();
    Share::count(&echoes, |_| true, false)
}

/// The most frames of echo in a row that were let through, after the first `after`: a detector
/// wants some before it takes them for speech.
pub(crate) fn longest_run(moments: &[Moment], after: usize) -> usize {
    let audible = moments.iter().filter(|m| m.echo > AUDIBLE_RMS);
    let (mut longest, mut run) = (0, 0);
    for moment in audible.skip(after) {
        run = if moment.silenced { 0 } else { run + 1 };
        longest = longest.max(run);
    }
    longest
}

/// Plays `agent`, with `caller` and the echo coming back.
pub(crate) fn call(agent: &[i16], caller: &[i16], path: &EchoPath) -> Vec<Moment> {
    call_over(agent, caller, &[(0, path)], |_| 0)
}

/// The same over paths that follow each other, each with the sample at which it begins; packets
/// come later by so many steps.
pub(crate) fn call_over(
    agent: &[i16],
    caller: &[i16],
    paths: &[(usize, &EchoPath)],
    late: impl Fn(usize) -> usize,
) -> Vec<Moment> {
    let settings = SessionConfig {
        echo_gate: true,
        ..config(with_peer_at(A), 7)
    };
    let mut session = MediaSession::new(at(0), settings);
    let steps = agent.len().max(caller.len()) / STEP + 40;
    let mut sent: Vec<f32> = Vec::new();
    let (mut played, mut moments) = (0, Vec::new());
    let mut on_the_way: VecDeque<(usize, Vec<u8>, Moment)> = VecDeque::new();
    for n in 0..steps {
        let now = at(n as u64 * 20);
        played += session.play(now, UtteranceId(1), agent.get(played..).unwrap_or_default());
        session.tick(now);
        sent.resize((n + 1) * STEP, 0.0);
        while let Some(packet) = session.poll_transmit() {
            if packet.rtcp || (192..224).contains(&packet.bytes[1]) {
                continue;
            }
            let payload = RtpPacket::parse(packet.bytes).unwrap().payload;
            let mut sound = [0; STEP];
            g711::decode_ulaw(payload, &mut sound);
            for (to, from) in sent[n * STEP..].iter_mut().zip(sound) {
                *to = f32::from(from);
            }
        }
        let path = paths.iter().rfind(|(from, _)| *from <= n * STEP);
        let echo = path.unwrap().1.echo(&sent, n * STEP);
        let voice: Vec<f64> = (0..STEP)
            .map(|i| f64::from(caller.get(n * STEP + i).copied().unwrap_or(0)))
            .collect();
        let mixed = echo.iter().zip(&voice);
        let mixed: Vec<i16> = mixed.map(|(e, v)| (e + v) as i16).collect();
        let mut payload = [0; STEP];
        g711::encode_ulaw(&mixed, &mut payload);
        let packet = rtp(0, n as u16, n as u32 * STEP as u32, 5, &payload);
        let moment = Moment {
            echo: rms(&echo),
            voice: rms(&voice),
            silenced: false,
        };
        let due = on_the_way.back().map_or(0, |(due, ..)| *due);
        on_the_way.push_back((due.max(n + late(n)), packet, moment));
        while let Some((_, packet, moment)) = on_the_way.pop_front_if(|(due, ..)| *due <= n) {
            session.handle_rtp(at(n as u64 * 20 + 3), address(A), &packet);
            while let Some(event) = session.poll_event() {
                let Event::Heard(frame) = event else { continue };
                assert!(!frame.echo || frame.samples().iter().all(|sample| *sample == 0));
                let silenced = frame.echo;
                moments.push(Moment { silenced, ..moment });
            }
        }
    }
    moments
}
