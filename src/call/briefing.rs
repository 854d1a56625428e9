//! What a person is told who takes a call over, before the caller hears them.

use std::sync::Arc;
use std::time::Duration;

use offhook_media::UtteranceId;
use tokio::sync::mpsc;

use super::party::{Heard, News, Party};
use crate::agent::clauses;
use crate::ai::{Abandon, Sound, TextToSpeech};
use crate::clock;
use crate::net::media::{Command, LegEvent};

/// The whole of it is one utterance.
const UTTERANCE: UtteranceId = UtteranceId(1);
/// Pieces of sound that may wait.
const SOUNDS: usize = 256;
/// How long it may take, whatever the voice does.
const LONGEST: Duration = Duration::from_secs(45);

/// A text and who says it.
pub struct Briefing {
    clauses: Vec<String>,
    voice: Arc<dyn TextToSpeech>,
}

/// How a briefing ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Briefed {
    /// The person has heard it, or wanted to hear no more of it.
    Heard,
    /// The person is gone.
    Gone,
}

impl Briefing {
    /// Makes one; none when there is nothing to say.
    pub(super) fn new(text: &str, voice: &Arc<dyn TextToSpeech>) -> Option<Self> {
        let clauses = clauses::split(text);
        let says_something = !clauses.is_empty();
        says_something.then(|| Self {
            clauses,
            voice: Arc::clone(voice),
        })
    }

    /// Says it to a person. Any key ends it.
    pub(super) async fn say(self, party: &mut Party) -> Briefed {
        let abandon = Abandon::default();
        let (sounds, mut sound) = mpsc::channel(SOUNDS);
        let mut clauses = self.clauses.into_iter();
        let rate_hz = party.leg.rate_hz;
        let speak = |clause: String| {
            let sounds = sounds.clone();
            let deliver = Box::new(move |sound| sounds.try_send(sound).is_ok());
            self.voice.speak(&clause, rate_hz, abandon.clone(), deliver);
        };
        // One after the other: each is made sooner than the one before has been said.
        clauses.next().into_iter().for_each(&speak);
        let give_up = clock::now() + LONGEST;
        let ended = loop {
            let heard = tokio::select! {
                heard = party.hear() => heard,
                Some(sound) = sound.recv() => {
                    match sound {
                        Sound::Chunk(samples) => party.ask(Command::Play {
                            leg: party.leg.id,
                            utterance: UTTERANCE,
                            samples,
                        }),
                        Sound::End | Sound::Failed(_) => match clauses.next() {
                            Some(clause) => speak(clause),
                            None => party.ask(Command::Finish(party.leg.id, UTTERANCE)),
                        },
                    }
                    continue;
                }
                () = clock::sleep_until(Some(give_up)) => break Briefed::Heard,
            };
            if let Heard::Media(Some(LegEvent::PlayoutFinished { .. })) = heard {
                break Briefed::Heard;
            }
            match party.take(clock::now(), heard).await {
                Some(News::Over(_)) => break Briefed::Gone,
                Some(News::Key { again: false, .. }) => break Briefed::Heard,
                _ => {}
            }
        };
        abandon.abandon();
        if ended == Briefed::Heard {
            party.ask(Command::Cancel(party.leg.id));
        }
        ended
    }
}
