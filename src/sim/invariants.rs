//! The rules that no order of events may break, by name.

use std::time::Duration;

use offhook_media::UtteranceId;

use super::wire::Wire;
use crate::agent::TurnId;

/// Names a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// No dialog, and no transaction, outlives its call.
    DialogOutlivesCall,
    /// No sound is sent once a call is over and what was said is known.
    MediaOutlivesCall,
    /// No media port stays open without a call.
    PortLeak,
    /// Sequence numbers and timestamps of a source go on without overlap and never run back.
    RtpTime,
    /// What is said is what was asked for.
    UnaskedSpeech,
    /// No sound of a cancelled turn is sent, but for a fade of 5 ms.
    SoundOfCancelledTurn,
    /// No sound is sent while the playout is paused, but for a fade of 5 ms.
    SoundWhilePaused,
    /// Two speeches never sound at once, and no clause before its turn.
    TwoSpeeches,
    /// Nothing is sent to a peer that wants nothing.
    SoundOnHold,
    /// The agent says nothing while somebody else talks in its place, but for a fade of 5 ms.
    SoundWhileAside,
    /// In a call whose media is encrypted nothing is sent in the clear, or under another key.
    SentInTheClear,
    /// A key that was in use is never taken up again.
    KeyReused,
    /// What a stranger sends is not heard, nor what is forged, changed or sent again.
    Intruder,
    /// The flow hears of each key once, and in order.
    DigitOnce,
    /// An offer of ours is answered, or given up; an answer is taken.
    OfferUnanswered,
    /// Over a network without faults each side hears the other, whatever is agreed upon anew.
    OneWaySound,
    /// Of the phones that answer one INVITE of ours only the first is talked to and heard; any other
    /// is acknowledged and hung up at once.
    ForkLetGo,
    /// The agent remembers of a turn only what was sent.
    MemoryBeyondSent,
    /// Every call that rang is recorded, finished and told exactly once.
    RecordedOnce,
    /// A record says answered when, and only when, the call was answered on the wire: a 183 is no
    /// answer.
    AnsweredOnPaper,
    /// Nothing of either party that belongs to a pause is in a recording.
    RecordedInPause,
    /// A recording keeps the call's time, and goes on after each pause.
    RecordingInStep,
    /// `voice_to_voice_ms` says what the wire saw.
    VoiceToVoice,
    /// No call lasts longer than its bound.
    TooLong,
    /// The switch reads every message that the caller's user agent writes, and the other way.
    Malformed,
    /// What happens follows from what happened: time moves on.
    Standstill,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The number of the caller whose call it is.
    pub call: usize,
    /// When, from the beginning of the run.
    pub at: Duration,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            rule,
            call,
            at,
            what,
        } = self;
        write!(
            f,
            "{rule:?} in call {call} at {:.3} s: {what}",
            at.as_secs_f64()
        )
    }
}

/// Watches the wires of all calls.
#[derive(Default)]
pub(super) struct Watch {
    wires: Vec<Wire>,
}

impl Watch {
    pub(super) fn new(calls: usize) -> Self {
        Self {
            wires: (0..calls).map(|_| Wire::default()).collect(),
        }
    }

    pub(super) fn wire(&mut self, call: usize) -> Option<&mut Wire> {
        self.wires.get_mut(call)
    }

    pub(super) fn spoken(&mut self, call: usize, turn: TurnId, clause: u32, text: &str) {
        if let Some(wire) = self.wire(call) {
            wire.spoken(turn, clause, text);
        }
    }

    pub(super) fn synthesised(&mut self, call: usize, utterance: UtteranceId, text: &str) {
        if let Some(wire) = self.wire(call) {
            wire.synthesised(utterance, text);
        }
    }

    pub(super) fn placed(
        &mut self,
        call: usize,
        place: impl Fn(UtteranceId) -> Option<(TurnId, u32)>,
    ) {
        if let Some(wire) = self.wire(call) {
            wire.placed(place);
        }
    }

    pub(super) fn cancelling(&mut self, call: usize, turn: TurnId) {
        if let Some(wire) = self.wire(call) {
            wire.cancelling(turn);
        }
    }
}
