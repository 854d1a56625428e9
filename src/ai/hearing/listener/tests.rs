use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_media::codec::g711;
use offhook_models::manifest::default_dir;
use offhook_models::vad::Gate;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::mailbox::mailbox;

const RATE_HZ: u32 = 16_000;
const STEP: usize = Frame::MAX_SAMPLES;
const LEG: LegId = 1;

fn speech() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpora/speech/jfk.wav");
    let wav = hound::WavReader::open(path).unwrap();
    wav.into_samples().map(Result::unwrap).collect()
}

/// Adds white noise of so many dB of full scale.
fn with_noise(sound: &[i16], db: f64) -> Vec<i16> {
    let most = 32_768.0 * 10f64.powf(db / 20.0) * 3f64.sqrt();
    let mut random = SmallRng::seed_from_u64(5);
    let noisy = sound
        .iter()
        .map(|s| f64::from(*s) + most * random.random_range(-1.0..1.0));
    noisy.map(|s| s.round() as i16).collect()
}

/// What a leg has heard of sound: its edges, what is kept of it, and when it began.
fn listen(sound: &[i16], suppress_noise: bool) -> (Vec<Edge>, Vec<i16>, Instant) {
    let (listeners, edges, begin) = heard(sound, suppress_noise);
    (edges, kept(&listeners), begin)
}

fn kept(listeners: &Listeners) -> Vec<i16> {
    listeners.history(LEG).unwrap().recent().samples
}

fn heard(sound: &[i16], suppress_noise: bool) -> (Listeners, Vec<Edge>, Instant) {
    let mut listeners = Listeners::new(Silero::load(&default_dir()).unwrap());
    let (tell, mut told) = mailbox(64);
    let ears = Arc::new(());
    listeners.open(LEG, tell, Arc::downgrade(&ears), suppress_noise);
    let (begin, mut gate) = (crate::clock::now(), Gate::new());
    for (n, part) in sound.chunks_exact(STEP).enumerate() {
        let received = begin + Duration::from_millis(10) * n as u32;
        let frame = Frame::new(RATE_HZ, (n * STEP) as u64, received, false, part);
        let voiced = gate.is_speech(&frame);
        listeners.hear(&Heard {
            leg: LEG,
            voiced,
            frame,
        });
        listeners.finish_round();
    }
    let edges = std::iter::from_fn(|| told.try_recv()).collect();
    (listeners, edges, begin)
}

fn over_ulaw(sound: &[i16]) -> Vec<i16> {
    let (mut bytes, mut decoded) = (vec![0; sound.len()], vec![0; sound.len()]);
    g711::encode_ulaw(sound, &mut bytes);
    g711::decode_ulaw(&bytes, &mut decoded);
    decoded
}

/// The level of the quietest tenth of a second, in dB.
fn quietest_db(sound: &[i16]) -> f64 {
    let parts = sound.chunks_exact(RATE_HZ as usize / 10);
    let energies = parts.map(|part| part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>());
    10.0 * energies.fold(f64::MAX, f64::min).max(1.0).log10()
}

#[test]
fn without_noise_suppression_what_is_kept_is_what_came_bit_by_bit() {
    let sound = with_noise(&speech(), -40.0);
    let (_, kept, _) = listen(&sound, false);
    let whole = sound.len() / STEP * STEP;
    assert_eq!(kept, over_ulaw(&sound[whole - kept.len()..whole]));
}

#[test]
fn with_it_the_noise_is_gone_and_speech_keeps_its_times() {
    let sound = speech();
    let noisy = with_noise(&sound, -35.0);
    let times = |sound: &[i16], suppress_noise| {
        let (edges, kept, begin) = listen(sound, suppress_noise);
        let time = |edge: &Edge| match edge {
            Edge::SpeechStart { at } | Edge::SpeechStop { at } => *at - begin,
        };
        (edges.iter().map(time).collect::<Vec<_>>(), kept)
    };
    let (expected, _) = times(&sound, false);
    let (plain, noise) = times(&noisy, false);
    let (suppressed, clean) = times(&noisy, true);
    println!("{expected:?} without noise\n{plain:?} with it\n{suppressed:?} suppressed");
    let less = quietest_db(&noise) - quietest_db(&clean);
    assert!(less > 15.0, "{less} dB less");
    assert_eq!(suppressed.len(), expected.len());
    for (n, (is, was)) in suppressed.iter().zip(&expected).enumerate() {
        // The file has noise of its own, which is audible until Silero has decided: without it
        // an end is where the voice ends.
        let sooner = Duration::from_millis(if n.is_multiple_of(2) { 60 } else { 300 });
        let later = Duration::from_millis(60);
        assert!(
            *is + sooner >= *was && *is <= *was + later,
            "{is:?} for {was:?}"
        );
    }
}

#[test]
fn a_turn_is_forgotten_when_it_is_over_but_never_the_one_that_began_since() {
    let mut sound = speech();
    sound.resize(sound.len() + RATE_HZ as usize, 0);
    let (mut listeners, edges, _) = heard(&sound, false);
    assert!(matches!(edges.last(), Some(Edge::SpeechStop { .. })));
    let all = edges.len() as u32;
    let whole = kept(&listeners);
    // Its call has not taken the last turn's edges yet.
    listeners.end_turn(LEG, all - 2);
    assert_eq!(kept(&listeners), whole);
    listeners.end_turn(LEG, all);
    assert_eq!(kept(&listeners), &whole[whole.len() - RATE_HZ as usize..]);
}

#[test]
fn what_is_being_said_is_never_forgotten() {
    let sound = speech();
    let speaking = sound.len() - RATE_HZ as usize / 2;
    let (mut listeners, edges, _) = heard(&sound[..speaking], false);
    assert!(matches!(edges.last(), Some(Edge::SpeechStart { .. })));
    let whole = kept(&listeners);
    listeners.end_turn(LEG, edges.len() as u32);
    assert_eq!(kept(&listeners), whole);
}
