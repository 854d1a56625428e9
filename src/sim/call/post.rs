//! What lies between a call's task and the tasks around it: queues that keep their order, and the
//! checks of what must hold of a call.

use std::time::Duration;

use jiff::Timestamp;

use super::{Stage, SwitchCall};
use crate::ai::Sound;
use crate::ai::hearing::Edge;
use crate::call::conversation::Work;
use crate::net::media::LegEvent;
use crate::net::sip::Signal;
use crate::sim::clock::{Input, Moment, SipCommand};
use crate::sim::invariants::Rule;
use crate::sim::world::Cx;

/// The longest call of the agent, its grace, the closing time, and how long it may ring.
const LONGEST: Duration = Duration::from_secs(30 * 60 + 20 + 20 + 60 + 62);
/// By when an offer of ours is settled: tried again after each glare, each time until nobody answers.
const SETTLED: Duration = Duration::from_secs(8 * (32 + 4));
/// What a dialog may outlive its call by: a BYE that nobody answers, after an ACK that never came.
const AFTERMATH: Duration = Duration::from_secs(2 * 32 + 2);

impl SwitchCall {
    /// Sends a command to the SIP task.
    pub(super) fn command(&mut self, cx: &mut Cx, command: SipCommand) {
        let lag = cx.lag();
        let at = self.commands.due(cx.clock.now(), lag);
        cx.clock.at(at, Moment::Sip(self.number, command));
    }

    pub(in crate::sim) fn signal(&mut self, cx: &mut Cx, signal: Signal) {
        let lag = cx.lag();
        let at = self.signals.due(cx.clock.now(), lag);
        let input = Input::Signal(signal);
        cx.clock.at(at, Moment::Task(self.number, input));
    }

    pub(in crate::sim) fn report(&mut self, cx: &mut Cx, event: LegEvent) {
        let lag = cx.lag();
        let at = self.events.due(cx.clock.now(), lag);
        cx.clock
            .at(at, Moment::Task(self.number, Input::Leg(event)));
    }

    pub(in crate::sim) fn edge(&mut self, cx: &mut Cx, edge: Edge) {
        let lag = cx.lag();
        let at = self.edges.due(cx.clock.now(), lag);
        cx.clock
            .at(at, Moment::Task(self.number, Input::Edge(edge)));
    }

    /// Checks what must hold of this call now; `in_dialog` says whether SIP still knows it.
    pub(in crate::sim) fn check(&self, cx: &mut Cx, number: usize, in_dialog: bool) {
        let now = cx.clock.now();
        if let Stage::Over { at } = self.stage {
            let after = now.saturating_duration_since(at);
            if in_dialog && after > AFTERMATH + cx.standstill() {
                let what = format!("the dialog is there {after:?} later");
                cx.violate(Rule::DialogOutlivesCall, number, what);
            }
            return;
        }
        let lasts = now.saturating_duration_since(self.begun);
        if lasts > LONGEST + cx.standstill() {
            let what = format!("{lasts:?} in {:?}", self.stage);
            cx.violate(Rule::TooLong, number, what);
        }
        let offered = self.offered.filter(|_| self.end.is_none());
        let waits = offered.map(|at| now.saturating_duration_since(at));
        if waits.is_some_and(|waits| waits > SETTLED + cx.standstill()) {
            let what = format!("an offer of ours waits for {waits:?}");
            cx.violate(Rule::OfferUnanswered, number, what);
        }
    }

    /// Whether the record is written.
    pub(in crate::sim) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over { .. })
    }

    pub(in crate::sim) fn answered_at(&self) -> Option<Timestamp> {
        self.record.answered_at
    }
}

/// Tells an input in words, without instants: they differ from run to run.
pub(super) fn brief(input: &Input) -> String {
    match input {
        Input::Leg(LegEvent::Closed { .. }) => "Closed".to_owned(),
        Input::Leg(LegEvent::PlayoutStarted { utterance, .. }) => format!("{utterance:?} starts"),
        Input::Leg(LegEvent::PlayoutFinished { utterance, .. }) => format!("{utterance:?} ends"),
        Input::Edge(Edge::SpeechStart { .. }) => "speech starts".to_owned(),
        Input::Edge(Edge::SpeechStop { .. }) => "speech stops".to_owned(),
        Input::Signal(Signal::Reoffer { .. }) => "Reoffer".to_owned(),
        Input::Signal(Signal::Progress { status, .. }) => format!("Progress {status}"),
        Input::Signal(Signal::Rejected { status, .. }) => format!("Rejected {status}"),
        Input::Signal(Signal::Answered { .. }) => "Answered".to_owned(),
        Input::Signal(Signal::ReofferAnswered { result, .. }) => {
            let status = result.as_ref().err().copied().unwrap_or(200);
            format!("our offer is answered with {status}")
        }
        Input::Work(Work::Sound(utterance, sound)) => {
            let what = match sound {
                Sound::Chunk(samples) => format!("{} samples", samples.len()),
                other => format!("{other:?}"),
            };
            format!("{utterance:?} {what}")
        }
        other => format!("{other:?}"),
    }
}
