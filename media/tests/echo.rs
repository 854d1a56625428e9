//! Our own sound that comes back is silenced for whoever listens; a caller who speaks is heard.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{A, address, at, config, rtp, with_peer_at};
use offhook_media::codec::g711;
use offhook_media::rtp::RtpPacket;
use offhook_media::{Event, MediaSession, SessionConfig, UtteranceId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const STEP: usize = 160;
/// A frame louder than this can be taken for speech.
const AUDIBLE_RMS: f64 = 60.0;

/// Real speech at 8 kHz: the mean of as many samples as stand for one.
fn speech(name: &str) -> Vec<i16> {
    let path = format!(
        "{}/../tests/corpora/speech/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let bytes = std::fs::read(path).unwrap();
    let rate_hz = u32::from_le_bytes(bytes[24..28].try_into().unwrap());
    let fold = rate_hz as usize / 8_000;
    let samples: Vec<i32> = bytes[44..]
        .chunks_exact(2)
        .map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])))
        .collect();
    let mean = |part: &[i32]| (part.iter().sum::<i32>() / part.len() as i32) as i16;
    samples.chunks_exact(fold).map(mean).collect()
}

/// The way from what we send back to what we receive.
struct EchoPath {
    delay_ms: usize,
    response: Vec<f64>,
}

impl EchoPath {
    fn line(delay_ms: usize, gain: f64) -> Self {
        let response = vec![gain];
        Self { delay_ms, response }
    }

    /// A room: the direct sound, then a tail that dies away.
    fn room(delay_ms: usize, gain: f64, reverberation_ms: usize) -> Self {
        let mut random = SmallRng::seed_from_u64(7);
        let fade = 6.9 / (reverberation_ms * 8) as f64;
        let mut tail: Vec<f64> = (0..reverberation_ms * 8)
            .map(|n| random.random_range(-1.0..1.0) * (-fade * n as f64).exp())
            .collect();
        let energy = tail.iter().map(|t| t * t).sum::<f64>().sqrt();
        tail.iter_mut().for_each(|t| *t *= gain * 0.5 / energy);
        tail[0] += gain;
        let response = tail;
        Self { delay_ms, response }
    }

    fn echo(&self, sent: &[f64], position: usize) -> f64 {
        let tap = |(n, gain): (usize, &f64)| {
            let from = position.checked_sub(self.delay_ms * 8 + n)?;
            Some(sent.get(from)? * gain)
        };
        self.response.iter().enumerate().filter_map(tap).sum()
    }
}

#[derive(Debug, Default)]
struct Heard {
    /// Frames in which an echo was to be heard, and how many of them were silenced.
    echoes: (u32, u32),
    /// Frames in which the caller was at least as loud as twice the echo, and how many were not
    /// silenced.
    caller: (u32, u32),
    /// The first frames of an echo that were let through.
    let_through_first: u32,
}

fn rms(samples: &[f64]) -> f64 {
    (samples.iter().map(|s| s * s).sum::<f64>() / samples.len() as f64).sqrt()
}

/// Plays `agent`, with `caller` and the echo coming back.
fn call(agent: &[i16], caller: &[i16], path: &EchoPath) -> Heard {
    let settings = SessionConfig {
        echo_gate: true,
        ..config(with_peer_at(A), 7)
    };
    let mut session = MediaSession::new(at(0), settings);
    let steps = agent.len().max(caller.len()) / STEP + 40;
    let mut sent: Vec<f64> = Vec::new();
    let (mut played, mut heard, mut locked) = (0, Heard::default(), false);
    for n in 0..steps {
        let now = at(n as u64 * 20);
        played += session.play(now, UtteranceId(1), agent.get(played..).unwrap_or_default());
        session.tick(now);
        sent.resize((n + 1) * STEP, 0.0);
        while let Some(packet) = session.poll_transmit() {
            if packet.rtcp {
                continue;
            }
            let payload = RtpPacket::parse(packet.bytes).unwrap().payload;
            let mut sound = [0; STEP];
            g711::decode_ulaw(payload, &mut sound);
            for (to, from) in sent[n * STEP..].iter_mut().zip(sound) {
                *to = f64::from(from);
            }
        }
        let echo: Vec<f64> = (0..STEP).map(|i| path.echo(&sent, n * STEP + i)).collect();
        let voice: Vec<f64> = (0..STEP)
            .map(|i| f64::from(caller.get(n * STEP + i).copied().unwrap_or(0)))
            .collect();
        let mixed: Vec<i16> = echo
            .iter()
            .zip(&voice)
            .map(|(e, v)| (e + v) as i16)
            .collect();
        let mut payload = [0; STEP];
        g711::encode_ulaw(&mixed, &mut payload);
        let packet = rtp(0, n as u16, n as u32 * STEP as u32, 5, &payload);
        session.handle_rtp(at(n as u64 * 20 + 3), address(A), &packet);
        while let Some(event) = session.poll_event() {
            let Event::Heard(frame) = event else { continue };
            let (echo, voice) = (rms(&echo), rms(&voice));
            assert!(!frame.echo || frame.samples().iter().all(|sample| *sample == 0));
            if voice < echo / 10.0 && echo > AUDIBLE_RMS {
                heard.echoes.0 += 1;
                heard.echoes.1 += u32::from(frame.echo);
                locked |= frame.echo;
                heard.let_through_first += u32::from(!locked);
            }
            if voice > 2.0 * echo && voice > AUDIBLE_RMS {
                heard.caller.0 += 1;
                heard.caller.1 += u32::from(!frame.echo);
            }
        }
    }
    heard
}

#[test]
fn a_lines_echo_is_silenced_at_every_delay_and_level() {
    let agent = speech("weather_question.wav");
    for delay_ms in [0, 20, 45, 100, 250, 400] {
        for gain in [1.0, 0.3, 0.1] {
            let heard = call(&agent, &[], &EchoPath::line(delay_ms, gain));
            let (all, silenced) = heard.echoes;
            assert!(
                all > 20 && silenced * 100 >= all * 95,
                "{delay_ms} ms, {gain}: {heard:?}"
            );
            assert!(
                heard.let_through_first <= 2,
                "{delay_ms} ms, {gain}: {heard:?}"
            );
        }
    }
}

#[test]
fn the_echo_of_a_room_is_silenced() {
    let agent = speech("jfk.wav");
    for (delay_ms, reverberation_ms) in [(60, 100), (150, 200), (300, 300)] {
        let path = EchoPath::room(delay_ms, 0.3, reverberation_ms);
        let heard = call(&agent, &[], &path);
        let (all, silenced) = heard.echoes;
        assert!(silenced * 100 >= all * 90, "{delay_ms} ms: {heard:?}");
        assert!(heard.let_through_first <= 4, "{delay_ms} ms: {heard:?}");
    }
}

#[test]
fn a_caller_who_speaks_while_the_agent_does_is_heard() {
    let (one, other) = (speech("jfk.wav"), speech("weather_question.wav"));
    let silent = EchoPath::line(0, 0.0);
    for (agent, caller) in [(&one, &other), (&other, &one)] {
        let heard = call(agent, caller, &silent);
        let (all, kept) = heard.caller;
        assert!(kept * 100 >= all * 98, "{heard:?}");
    }
}

#[test]
fn a_caller_is_heard_over_the_echo() {
    let (agent, caller) = (speech("jfk.wav"), speech("weather_question.wav"));
    for delay_ms in [30, 200] {
        let heard = call(&agent, &caller, &EchoPath::line(delay_ms, 0.1));
        let (all, kept) = heard.caller;
        assert!(kept * 100 >= all * 85, "{delay_ms} ms: {heard:?}");
    }
}

#[test]
fn nothing_is_silenced_while_nothing_is_said() {
    let heard = call(&[], &speech("jfk.wav"), &EchoPath::line(0, 1.0));
    assert_eq!(heard.caller.0, heard.caller.1, "{heard:?}");
}
