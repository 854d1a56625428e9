//! One call in progress: everything that happens to it, in one place, until it is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_media::OneWay;
use offhook_media::mixer::MixerError;
use offhook_sip::{CallHandle, EndCause};
use serde_json::json;
use tokio::sync::watch;

use super::clerk::{Clerk, LastWords};
use super::conversation::{Conversation, Directive, Work};
use super::digits::info_key;
use super::line::{Leg, Line};
use super::music;
use super::negotiate::{negotiate, offer};
use super::refer_out::Told;
use super::talk::end_reason_of;
use super::trouble::{self, Mend, Troubles};
use crate::agent::{CallOutcome, HangUpReason};
use crate::ai::hearing::Edge;
use crate::clock;
use crate::mailbox;
use crate::meters;
use crate::net::media::{Command, LegEvent};
use crate::net::sip::Signal;
use crate::switch::{Cause, EndReason};

/// What came of a call that somebody took over from its agent.
pub(super) const TRANSFERRED: &str = "transferred";
/// How long the flow's last requests may go on after the call.
pub(super) const CLOSING_TIME: Duration = Duration::from_secs(20);

/// Asks something of a running call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Somebody asked over the API that it end.
    HangUp,
    /// The trunk has somebody else talk with the other side.
    Transferred,
    /// The switch is being stopped.
    Shutdown,
}

/// What is wanted of a running call until something else is; the latest counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// A supervisor talks in the agent's place.
    pub aside: bool,
    /// The other side waits with music, and is told so.
    pub hold: bool,
    /// The other side waits with music, as while somebody rings whom the call is transferred to.
    pub waits: bool,
    /// The call is somebody else's: the agent is done.
    pub transferred: bool,
    /// They are here, and take the other side from its agent.
    pub taken: bool,
    /// The trunk has agreed to have somebody else talk with the other side.
    pub referred: bool,
}

/// Everything that a call in progress lives on.
pub struct Running {
    /// What places and takes calls.
    pub line: Arc<Line>,
    /// The SIP dialog.
    pub call: CallHandle,
    /// What it says.
    pub signals: mailbox::Receiver<Signal>,
    /// The media.
    pub leg: Leg,
    /// Where the caller's speech begins and ends.
    pub edges: mailbox::Receiver<Edge>,
    /// Results of models and requests.
    pub work: mailbox::Receiver<Work>,
    /// The agent's side.
    pub conversation: Box<Conversation>,
    /// Who writes down what it says.
    pub clerk: Clerk,
    /// Requests from outside.
    pub control: mailbox::Receiver<Control>,
    /// What went wrong with the call's sound so far.
    pub troubles: Troubles,
    /// What is wanted of it from outside.
    pub wishes: watch::Receiver<Wishes>,
    /// What of that is done.
    pub done: Wishes,
    /// The trunk hung up once it had agreed to have somebody else talk with the other side.
    pub left_to_trunk: bool,
    /// Told what came of bringing its leg into a room.
    pub on_joined: Option<OnJoined>,
    /// Told once nobody talks on the call any more, though its flow may still have to do.
    pub on_over: Option<OnOver>,
}

/// Hears that nobody talks on a call any more.
pub type OnOver = Box<dyn FnOnce() + Send>;

/// Hears that a call's leg is in a room, or why not.
pub type OnJoined = Box<dyn Fn(Result<(), MixerError>) + Send>;

/// How an agent's part in a call ended.
pub enum Ended {
    /// With the call.
    Over(Box<Over>),
    /// Somebody has taken it over.
    Taken(Box<Taken>),
}

/// How a call in progress ended.
pub struct Over {
    /// Why.
    pub reason: EndReason,
    /// What the agent made of it.
    pub outcome: Option<CallOutcome>,
    /// The media, closed.
    pub leg: Leg,
    /// What went wrong with its sound.
    pub troubles: Troubles,
}

/// A call that an agent has given away, with all that its other side is reached by.
pub struct Taken {
    /// The SIP dialog.
    pub call: CallHandle,
    /// What it says.
    pub signals: mailbox::Receiver<Signal>,
    /// The media.
    pub leg: Leg,
    /// Requests from outside.
    pub control: mailbox::Receiver<Control>,
    /// What went wrong with the sound so far.
    pub troubles: Troubles,
    /// What the agent has still to do.
    pub last_words: LastWords,
}

impl Running {
    /// Talks until the call is over, or somebody else's. The other side has been answered.
    pub async fn run(mut self) -> Ended {
        let now = clock::now();
        self.look_at_hold(now);
        self.conversation.start(now);
        let mut end: Option<EndReason> = None;
        let mut outcome = None;
        let mut closing = None;
        let (mut media_open, mut edges_open, mut wishes_open) = (true, true, true);
        loop {
            self.carry_out_directives(&mut end, &mut outcome).await;
            // What was heard of what it said last is told by the leg.
            if end.is_none() && self.done.taken && !self.conversation.awaits_playout() {
                return Ended::Taken(Box::new(self.give_away(outcome)));
            }
            if end.is_some() {
                if let Some(tell) = self.on_over.take() {
                    tell();
                }
                if outcome.is_some() {
                    break;
                }
                closing.get_or_insert_with(|| clock::now() + CLOSING_TIME);
                // What was said is known: nobody hears what would be sent from now on.
                if !self.conversation.awaits_playout() {
                    self.leg.close();
                }
            }
            tokio::select! {
                signal = self.signals.recv(), if end.is_none() => {
                    end = self.handle_signal(signal).await;
                }
                event = self.leg.event(), if media_open => {
                    media_open = event.is_some();
                    end = self.handle_leg(event, end).await;
                }
                edge = self.edges.recv(), if edges_open => match edge {
                    Some(edge) => self.conversation.handle_edge(clock::now(), edge),
                    None => edges_open = false,
                },
                Some(work) = self.work.recv() => {
                    self.conversation.handle_work(clock::now(), work);
                }
                control = self.control.recv(), if end.is_none() => {
                    end = Some(self.handle_control(control).await);
                }
                changed = self.wishes.changed(), if end.is_none() && wishes_open => {
                    wishes_open = changed.is_ok();
                    self.look_at_wishes().await;
                }
                () = clock::sleep_until(clock::earliest(self.conversation.deadline(), closing)) => {
                    let now = clock::now();
                    if closing.is_some_and(|at| at <= now) {
                        break;
                    }
                    self.conversation.handle_timeout(now);
                }
            }
        }
        self.leg.close();
        let reason = end.unwrap_or(EndReason::Agent);
        let transferred = self.wishes.borrow().transferred || self.left_to_trunk;
        if let Some(outcome) = outcome.as_mut().filter(|_| transferred) {
            outcome.outcome = TRANSFERRED.to_owned();
        }
        Ended::Over(Box::new(Over {
            reason,
            outcome,
            leg: self.leg,
            troubles: self.troubles,
        }))
    }

    fn give_away(self, outcome: Option<CallOutcome>) -> Taken {
        Taken {
            call: self.call,
            signals: self.signals,
            leg: self.leg,
            control: self.control,
            troubles: self.troubles,
            last_words: LastWords {
                conversation: self.conversation,
                work: self.work,
                clerk: self.clerk,
                is_over: outcome.is_some(),
            },
        }
    }

    /// Carries out what the conversation wants of the call.
    async fn carry_out_directives(
        &mut self,
        end: &mut Option<EndReason>,
        outcome: &mut Option<CallOutcome>,
    ) {
        for directive in self.conversation.take_directives() {
            match directive {
                Directive::HangUp(why) if end.is_none() => {
                    *end = Some(match why {
                        HangUpReason::Completed => EndReason::Agent,
                        HangUpReason::CallLimit => EndReason::TooLong,
                    });
                    self.hang_up().await;
                }
                Directive::Finished(with) => *outcome = Some(with),
                other => self.clerk.write_down(other, self.conversation.voice()),
            }
        }
    }

    /// Takes what happened on the leg, and says how the call has ended, if it has.
    async fn handle_leg(
        &mut self,
        event: Option<LegEvent>,
        end: Option<EndReason>,
    ) -> Option<EndReason> {
        let reason = match event {
            Some(LegEvent::MediaTimeout { silent_for }) => media_timeout(silent_for),
            Some(LegEvent::OneWay { why, silent_for }) => {
                self.handle_one_way(why, silent_for, end.is_none()).await;
                return end;
            }
            Some(LegEvent::TwoWay { after }) => {
                if let Some(words) = self.troubles.two_way(after) {
                    tracing::info!(trouble = %words, "a call's sound");
                    self.tell_of_sound(&words);
                }
                return end;
            }
            Some(LegEvent::Joined(joined)) => {
                if let Some(tell) = &self.on_joined {
                    tell(joined);
                }
                return end;
            }
            Some(event) => {
                self.conversation.handle_leg(clock::now(), &event);
                return end;
            }
            None => EndReason::Failed("the media thread has ended".to_owned()),
        };
        if end.is_some() {
            return end;
        }
        Some(self.give_up(reason).await)
    }

    /// Tells that one side hears nothing of the other, and mends it where that is possible.
    async fn handle_one_way(&mut self, why: OneWay, silent_for: Duration, may_mend: bool) {
        meters::one_way_audio(trouble::reason(why));
        let (words, mend) = self.troubles.one_way(why, silent_for);
        if let Some(words) = words {
            tracing::warn!(trouble = %words, "a call's sound");
            self.tell_of_sound(&words);
        }
        if mend != Mend::OfferAgain || !may_mend || self.leg.is_held() {
            return;
        }
        offer(self.line.sip(), self.call, &mut self.leg).await;
    }

    fn tell_of_sound(&self, words: &str) {
        self.clerk.event("call.sound", json!({ "trouble": words }));
    }

    async fn handle_control(&mut self, control: Option<Control>) -> EndReason {
        self.give_up(end_reason_of(control)).await
    }

    /// Does what is wanted of the call from outside, and is not done yet.
    async fn look_at_wishes(&mut self) {
        let wishes = *self.wishes.borrow_and_update();
        let done = std::mem::replace(&mut self.done, wishes);
        if wishes.aside != done.aside {
            // As on hold: the agent waits while somebody else talks in its place.
            self.ask(Command::SetAside(self.leg.id, wishes.aside));
        }
        if wishes.transferred && !done.transferred {
            // For the agent it is as if the caller had hung up.
            self.conversation.handle_hung_up(clock::now());
        }
        let (waits, waited) = (wishes.hold || wishes.waits, done.hold || done.waits);
        if waits != waited {
            let leg = self.leg.id;
            self.ask(match waits {
                true => Command::Hold(leg, music::on_hold()),
                false => Command::Unhold(leg),
            });
        }
        if wishes.hold != done.hold {
            self.hold(wishes.hold).await;
        }
        self.look_at_hold(clock::now());
    }

    /// Tells the other side that it waits, or no longer.
    async fn hold(&mut self, hold: bool) {
        self.leg.hold(hold);
        offer(self.line.sip(), self.call, &mut self.leg).await;
        let kind = if hold { "call.held" } else { "call.resumed" };
        self.clerk.event(kind, json!({ "by": "api" }));
    }

    fn ask(&self, command: Command) {
        if let Err(error) = self.leg.media.send(command) {
            tracing::error!(%error, "the media thread did not take a command");
        }
    }

    /// Tells the agent whether it is listened to.
    fn look_at_hold(&mut self, now: Instant) {
        let waits = self.done.aside || self.done.hold || self.done.waits;
        let held = self.leg.is_held() || waits;
        self.conversation.handle_hold(now, held);
    }

    /// Ends the call from here.
    async fn give_up(&mut self, reason: EndReason) -> EndReason {
        self.hang_up().await;
        self.conversation.handle_hung_up(clock::now());
        reason
    }

    async fn handle_signal(&mut self, signal: Option<Signal>) -> Option<EndReason> {
        let now = clock::now();
        let Some(signal) = signal else {
            self.conversation.handle_hung_up(now);
            return Some(EndReason::Failed("the SIP endpoint has ended".to_owned()));
        };
        match negotiate(self.line.sip(), self.call, &mut self.leg, signal).await {
            None => {
                self.look_at_hold(now);
                None
            }
            Some(Signal::Info { content_type, body }) => {
                if let Some(key) = info_key(content_type.as_deref(), &body) {
                    self.conversation.handle_info_key(now, key);
                }
                None
            }
            Some(Signal::ReferAnswered { result }) => {
                self.clerk.referred(Told::Answered(result));
                None
            }
            Some(Signal::ReferProgress { status, is_final }) => {
                self.clerk.referred(Told::Progress { status, is_final });
                None
            }
            Some(Signal::Ended { cause }) => {
                // Before anybody hears of it, and calls that off.
                self.left_to_trunk = self.wishes.borrow().referred;
                self.conversation.handle_hung_up(now);
                Some(end_reason(cause))
            }
            Some(_) => None,
        }
    }

    /// Asks for the end of the dialog; the future borrows nothing of the call.
    fn hang_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let (sip, call) = (self.line.sip().clone(), self.call);
        async move {
            if let Err(error) = sip.hang_up(call, None).await {
                tracing::warn!(%error, "a call could not be hung up");
            }
        }
    }
}

/// Why a call ends from whose other side no media comes.
pub(crate) fn media_timeout(silent_for: Duration) -> EndReason {
    let seconds = silent_for.as_secs();
    EndReason::Lost(format!(
        "no media came from the other side for {seconds} s: `media.silence_hangup_s` ends such \
         calls"
    ))
}

pub(crate) fn end_reason(cause: EndCause) -> EndReason {
    let said = |reason: Option<String>| Cause::parse(&reason?);
    match cause {
        EndCause::RemoteBye { reason } => EndReason::Remote.said(said(reason)),
        EndCause::Cancelled { reason } => EndReason::Cancelled.said(said(reason)),
        EndCause::LocalBye => EndReason::Agent,
        EndCause::NoAck => EndReason::Lost("the answer was never acknowledged".to_owned()),
        EndCause::Timeout => EndReason::Lost("the other side does not answer any more".to_owned()),
        other => EndReason::Lost(format!("the signalling was lost: {other:?}")),
    }
}
