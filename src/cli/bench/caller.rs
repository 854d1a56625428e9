//! The caller of the benches: speech out, waveform in, with the time of each packet.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use offhook_media::{Codec, Frame, UtteranceId};
use offhook_models::vad::level_db;
use tokio::sync::mpsc;

use crate::call::codecs::Codecs;
use crate::call::dial::{Answered, Dialling, dial};
use crate::call::line::{Attached, next_leg};
use crate::clock;
use crate::net::media::{Command, FrameSink, LegEvent};
use crate::phone::{Destination, Phone};

/// A received frame louder than this is the agent's voice, in dB of full scale.
const AUDIBLE_DB: f32 = -50.0;
/// Received frames that may wait: a minute.
const FRAMES: usize = 3_000;
/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a frame arrived, and whether it can be heard.
type Heard = (Instant, bool);

struct Meter(SyncSender<Heard>);

impl FrameSink for Meter {
    fn frame(&mut self, frame: &Frame) {
        let audible = !frame.concealed && is_audible(frame.samples());
        let _ = self.0.try_send((frame.received, audible));
    }
}

pub(super) struct BenchCaller {
    phone: Arc<Phone>,
    answered: Answered,
    frames: Receiver<Heard>,
    next_utterance: u64,
}

impl BenchCaller {
    pub(super) async fn dial(phone: Arc<Phone>, uri: &str) -> anyhow::Result<Self> {
        let (sender, frames) = sync_channel(FRAMES);
        let sink = Box::new(Meter(sender));
        let answered = call(&phone, uri, "bench", sink).await?;
        Ok(Self {
            phone,
            answered,
            frames,
            next_utterance: 0,
        })
    }

    /// Begins to speak; the samples begin and end with audible sound.
    pub(super) fn speak(&mut self, samples: &Arc<[i16]>) -> UtteranceId {
        self.next_utterance += 1;
        let utterance = UtteranceId(self.next_utterance);
        let leg = self.answered.leg.id;
        let media = &self.answered.leg.media;
        let play = Command::Play {
            leg,
            utterance,
            samples: Arc::clone(samples),
        };
        let _ = media.send(play);
        let _ = media.send(Command::Finish(leg, utterance));
        utterance
    }

    /// Waits until an utterance's first audible packet left, and tells when.
    pub(super) async fn spoken_from(&mut self, wanted: UtteranceId) -> anyhow::Result<Instant> {
        self.event(|event| match event {
            LegEvent::PlayoutStarted { utterance, at } if *utterance == wanted => Some(*at),
            _ => None,
        })
        .await
        .context("the caller's own speech did not begin")
    }

    /// Waits until an utterance's last packet left, and tells when.
    pub(super) async fn spoken_until(&mut self, wanted: UtteranceId) -> anyhow::Result<Instant> {
        self.event(|event| match event {
            LegEvent::PlayoutFinished { utterance, at, .. } if *utterance == wanted => Some(*at),
            _ => None,
        })
        .await
        .context("the caller's own speech did not end")
    }

    async fn event(
        &mut self,
        mut pick: impl FnMut(&LegEvent) -> Option<Instant>,
    ) -> anyhow::Result<Instant> {
        let wait = async {
            while let Some(event) = self.answered.leg.event().await {
                if let Some(found) = pick(&event) {
                    return Ok(found);
                }
            }
            anyhow::bail!("the leg has ended")
        };
        tokio::time::timeout(PATIENCE, wait).await?
    }

    /// Waits for the first audible packet that arrived after `after`.
    pub(super) async fn heard_after(&mut self, after: Instant) -> anyhow::Result<Instant> {
        let give_up = clock::now() + PATIENCE;
        loop {
            while let Ok((at, audible)) = self.frames.try_recv() {
                if audible && at > after {
                    return Ok(at);
                }
            }
            anyhow::ensure!(clock::now() < give_up, "the agent did not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits, from `after` on, until the agent is in the middle of its speech: `run` of audible
    /// packets without one that is not.
    pub(super) async fn amid_speech(
        &mut self,
        after: Instant,
        run: Duration,
    ) -> anyhow::Result<()> {
        let give_up = clock::now() + PATIENCE;
        let mut since = None;
        loop {
            while let Ok((at, audible)) = self.frames.try_recv() {
                since = since
                    .filter(|_| audible)
                    .or((audible && at > after).then_some(at));
                if since.is_some_and(|since| at.duration_since(since) >= run) {
                    return Ok(());
                }
            }
            anyhow::ensure!(clock::now() < give_up, "the agent did not go on speaking");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the agent has been silent for `pause`, and tells when its last audible packet
    /// arrived.
    pub(super) async fn silent_for(&mut self, pause: Duration) -> anyhow::Result<Instant> {
        let give_up = clock::now() + PATIENCE;
        let mut last = clock::now();
        loop {
            while let Ok((at, audible)) = self.frames.try_recv() {
                if audible {
                    last = last.max(at);
                }
            }
            let now = clock::now();
            if now.duration_since(last) >= pause {
                return Ok(last);
            }
            anyhow::ensure!(now < give_up, "the agent did not fall silent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Listens for `time` and tells when the last audible packet arrived, before a pause.
    pub(super) async fn last_audible_before_pause(
        &mut self,
        from: Instant,
        pause: Duration,
    ) -> anyhow::Result<Instant> {
        let give_up = clock::now() + PATIENCE;
        let mut last = from;
        loop {
            while let Ok((at, audible)) = self.frames.try_recv() {
                if at.saturating_duration_since(last) >= pause {
                    return Ok(last);
                }
                if audible && at > last {
                    last = at;
                }
            }
            anyhow::ensure!(clock::now() < give_up, "the agent did not fall silent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Hangs up and gives what the media counted.
    pub(super) async fn hang_up(mut self) -> Option<Box<offhook_media::Stats>> {
        let _ = self
            .phone
            .line
            .sip()
            .hang_up(self.answered.call, None)
            .await;
        let closed = tokio::time::timeout(PATIENCE, self.answered.leg.closed()).await;
        closed.ok().flatten()
    }
}

/// Calls as that user, and hands the sound that comes to `sink`.
pub(super) async fn call(
    phone: &Phone,
    uri: &str,
    user: &str,
    sink: Box<dyn FrameSink>,
) -> anyhow::Result<Answered> {
    let destination = Destination::resolve(uri).await?;
    let dialling = Dialling {
        codecs: Codecs::in_order([Codec::Pcmu]),
        ring_timeout: PATIENCE,
        ..destination.dialling(format!("sip:{user}@127.0.0.1"))
    };
    let attached = Attached {
        sink: Some(sink),
        ..Attached::default()
    };
    let (_keep, mut give_up) = mpsc::channel(1);
    let answered = dial(
        &phone.line,
        next_leg(),
        &dialling,
        attached,
        |_| {},
        &mut give_up,
    );
    Ok(answered.await?)
}

/// Whether a frame can be heard.
pub(super) fn is_audible(samples: &[i16]) -> bool {
    level_db(samples) > AUDIBLE_DB
}

/// Cuts silence off both ends, so that the first and the last packet can be heard.
pub(super) fn trim(samples: &[i16]) -> Arc<[i16]> {
    let frames: Vec<&[i16]> = samples.chunks(160).collect();
    let audible = |frame: &&[i16]| is_audible(frame);
    let first = frames.iter().position(audible).unwrap_or(0);
    let last = frames.iter().rposition(audible).unwrap_or(0);
    let from = first * 160;
    let until = ((last + 1) * 160).min(samples.len());
    samples.get(from..until).unwrap_or_default().into()
}
