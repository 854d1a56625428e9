//! Who is recorded is told so, where no agent is there to say it.

use std::sync::Arc;

use offhook_media::UtteranceId;

use super::line::Leg;
use super::recording::{PausedBy, RecordingSwitch};
use super::services::Services;
use crate::ai::{Abandon, Sound};
use crate::net::media::Command;

/// What is played to such a leg else has lower numbers.
const UTTERANCE: UtteranceId = UtteranceId(1_000);

impl Services {
    /// Says a text to a leg, over what it hears else. Where that fails, nothing is recorded from
    /// then on.
    pub(super) fn announce(self: &Arc<Self>, text: &str, leg: &Leg, recording: RecordingSwitch) {
        let Some(on_box) = self.on_box.get() else {
            recording.pause(PausedBy::Untold);
            return;
        };
        let (media, leg, rate_hz) = (leg.media.clone(), leg.id, leg.rate_hz);
        let deliver = Box::new(move |sound| {
            let command = match sound {
                Sound::Chunk(samples) => Command::Play {
                    leg,
                    utterance: UTTERANCE,
                    samples,
                },
                Sound::End => Command::Finish(leg, UTTERANCE),
                Sound::Failed(reason) => {
                    tracing::error!(%reason, "a party was not told that it is recorded, and is not");
                    recording.pause(PausedBy::Untold);
                    Command::Finish(leg, UTTERANCE)
                }
            };
            media.send(command).is_ok()
        });
        let voice = on_box.voice(None);
        voice.speak(text, rate_hz, Abandon::default(), deliver);
    }
}
