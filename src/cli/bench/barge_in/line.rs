//! The caller's line: it sends a sound once the agent is well under way, with what of the agent's
//! own sound a hybrid or a room sends back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_media::{Frame, UtteranceId};
use tokio::sync::mpsc;

use crate::call::dial::Answered;
use crate::cli::bench::caller::is_audible;
use crate::net::media::{Command, FrameSink};

/// Samples of a packet.
pub(super) const STEP: usize = 160;
/// Packets that may wait for the caller: two seconds.
const WAITING: usize = 100;
/// Packets that leave before any was answered, so that none is missing when the network is late.
const AHEAD: usize = 2;
/// Nothing comes for so long when the call is over.
const OVER: Duration = Duration::from_secs(2);

/// A packet of the agent's.
type Packet = (Instant, [i16; STEP]);

/// Hands the agent's packets to the line.
struct Ear(mpsc::Sender<Packet>);

impl FrameSink for Ear {
    fn frame(&mut self, frame: &Frame) {
        let mut samples = [0; STEP];
        if frame.concealed {
            return;
        }
        for (to, from) in samples.iter_mut().zip(frame.samples()) {
            *to = *from;
        }
        let _ = self.0.try_send((frame.received, samples));
    }
}

/// The two ends between media thread and line.
pub(super) fn ear() -> (Box<dyn FrameSink>, mpsc::Receiver<Packet>) {
    let (sender, packets) = mpsc::channel(WAITING);
    (Box::new(Ear(sender)), packets)
}

/// The way from what the agent says back to it.
#[derive(Clone, Debug)]
pub(super) struct EchoPath {
    delay: usize,
    /// The newest sample's weight last.
    response: Vec<f32>,
}

impl EchoPath {
    /// A hybrid, or a line that loops: later and softer, nothing else.
    pub(super) fn line(delay_ms: usize, db: f32) -> Self {
        Self {
            delay: delay_ms * 8,
            response: vec![factor(db)],
        }
    }

    /// A room: the direct sound, and a tail that dies away by 60 dB in `reverberation_ms` and has a
    /// quarter of its energy.
    pub(super) fn room(delay_ms: usize, db: f32, reverberation_ms: usize) -> Self {
        let mut random = super::sounds::Random(7 + reverberation_ms as u32);
        let fade = 6.9 / (reverberation_ms * 8) as f32;
        let mut tail: Vec<f32> = (0..reverberation_ms * 8)
            .map(|n| random.around_zero() * (-fade * n as f32).exp())
            .collect();
        let energy = tail.iter().map(|t| t * t).sum::<f32>().sqrt();
        tail.iter_mut()
            .for_each(|t| *t *= factor(db) * 0.5 / energy);
        if let Some(direct) = tail.first_mut() {
            *direct += factor(db);
        }
        tail.reverse();
        Self {
            delay: delay_ms * 8,
            response: tail,
        }
    }

    /// The newest step of the echo of what was said so far.
    fn echo(&self, said: &[f32]) -> [f32; STEP] {
        let mut step = [0.0; STEP];
        let before = said.len().saturating_sub(STEP);
        for (n, sample) in step.iter_mut().enumerate() {
            let newest = (before + n + 1).saturating_sub(self.delay);
            let taken = newest.min(self.response.len());
            let past = said.get(newest - taken..newest).unwrap_or_default();
            let weights = self.response.get(self.response.len() - taken..);
            let products = past.iter().zip(weights.unwrap_or_default());
            *sample = products.map(|(s, w)| s * w).sum();
        }
        step
    }
}

pub(super) fn factor(db: f32) -> f32 {
    10_f32.powf(db / 20.0)
}

/// What the caller does.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// What it sends, at 8 kHz.
    pub(super) sound: Arc<[i16]>,
    /// What of the agent's sound comes back.
    pub(super) path: Option<EchoPath>,
    /// How long the agent has spoken when it begins.
    pub(super) after: Duration,
    /// How long it stays after that.
    pub(super) stays: Duration,
}

/// What the caller saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When the first packet of its sound left.
    pub(super) began: Option<Instant>,
    /// Of each packet of the agent's, when it came and whether it could be heard.
    pub(super) agent: Vec<(Instant, bool)>,
}

impl Seen {
    /// For how long the agent went on after the caller's sound began.
    pub(super) fn went_on_ms(&self, silence: Duration) -> Option<f64> {
        let began = self.began?;
        let mut last = began;
        for (at, audible) in self.agent.iter().filter(|(at, _)| *at > began) {
            if at.duration_since(last) >= silence {
                return Some(last.duration_since(began).as_secs_f64() * 1_000.0);
            }
            if *audible {
                last = *at;
            }
        }
        None
    }

    /// Whether the agent had been silent for so long when the caller hung up.
    pub(super) fn silent_at_end(&self, silence: Duration) -> bool {
        let last = self.agent.iter().rfind(|(_, audible)| *audible);
        let ended = self.agent.last().map(|(at, _)| *at);
        let spoken = last.zip(ended);
        spoken.is_none_or(|((at, _), ended)| ended.duration_since(*at) >= silence)
    }

    /// The longest silence of the agent that begins within so long of the caller's sound.
    pub(super) fn stood_still_ms(&self, within: Duration) -> Option<f64> {
        let began = self.began?;
        let mut last = None;
        let mut longest = Duration::ZERO;
        let after = self.agent.iter().filter(|(at, _)| *at > began);
        for (at, _) in after.filter(|(_, audible)| *audible) {
            let from = last.replace(*at).unwrap_or(began);
            if from.duration_since(began) <= within {
                longest = longest.max(at.duration_since(from));
            }
        }
        Some(longest.as_secs_f64() * 1_000.0)
    }
}

/// Speaks and listens until the script is over or the call is.
pub(super) async fn follow(
    answered: &Answered,
    packets: &mut mpsc::Receiver<Packet>,
    script: &Script,
) -> Seen {
    let mut seen = Seen::default();
    let mut said: Vec<f32> = Vec::new();
    let mut ahead: VecDeque<i16> = VecDeque::new();
    let (mut agent_since, mut cursor, mut ends) = (None, 0, None);
    let send = |samples: &[i16]| {
        let play = Command::Play {
            leg: answered.leg.id,
            utterance: UtteranceId(1),
            samples: samples.into(),
        };
        let _ = answered.leg.media.send(play);
    };
    send(&[0; STEP * AHEAD]);
    while let Ok(Some((at, samples))) = tokio::time::timeout(OVER, packets.recv()).await {
        let audible = is_audible(&samples);
        seen.agent.push((at, audible));
        said.extend(samples.iter().map(|sample| f32::from(*sample)));
        if audible && agent_since.is_none() {
            agent_since = Some(at);
        }
        let well_under_way = agent_since.is_some_and(|since| at >= since + script.after);
        if seen.began.is_none() && well_under_way && audible {
            seen.began = Some(at + Duration::from_millis(20 * AHEAD as u64));
            ends = Some(at + script.stays);
            ahead.extend(script.sound.iter());
        }
        let echo = script.path.as_ref().map(|path| path.echo(&said));
        let echo = echo.unwrap_or([0.0; STEP]);
        let mut step = [0_i16; STEP];
        for (sample, back) in step.iter_mut().zip(echo) {
            let own = f32::from(ahead.pop_front().unwrap_or(0));
            *sample = (own + back).clamp(-32_768.0, 32_767.0) as i16;
        }
        cursor += 1;
        send(&step);
        if ends.is_some_and(|ends| at >= ends) || cursor > 3_000 {
            break;
        }
    }
    seen
}
