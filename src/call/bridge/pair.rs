//! Two parties who talk, until one of them is gone, and what is asked of their call meanwhile.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::Meeting;
use super::referral::Referral;
use super::replacing::Arriving;
use super::turning::Turned;
use crate::call::dialogs::{Found, Given, Who};
use crate::call::digits::{Key, Passing};
use crate::call::music;
use crate::call::party::{Heard, News, Party};
use crate::call::ringing::{Over, PickedUp};
use crate::call::supervise::Bridged;
use crate::call::talk::end_reason_of;
use crate::call::task::Wishes;
use crate::clock;
use crate::net::media::{Command, MediaError, RoomId};
use crate::switch::EndReason;

/// Two parties who talk.
pub(super) struct Pair {
    pub(super) answered: PickedUp,
    pub(super) called: Party,
    /// Who they are.
    pub(super) who: Both<Who>,
    pub(super) room: RoomId,
    /// Who is in the room, so that keys pass on with the sound.
    pub(super) joined: Both<bool>,
    /// Who waits since the other one holds the call.
    pub(super) waits: Both<bool>,
    /// Keys on their way to the other one.
    pub(super) keys: Both<Passing>,
    /// What is wanted of them from outside …
    wishes: watch::Receiver<Wishes>,
    /// … and whether the caller is held since somebody there wants it.
    pub(super) held: bool,
    /// What one of them wants to come of the other.
    pub(super) referral: Option<Referral>,
    /// Whoever is on the way here has a party's place.
    pub(super) arriving: Option<Arriving>,
    pub(super) found: Found,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Caller,
    Called,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Called,
            Self::Called => Self::Caller,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Called => "called",
        }
    }
}

/// One of each side.
#[derive(Default)]
pub(super) struct Both<T> {
    pub(super) caller: T,
    pub(super) called: T,
}

impl<T> Both<T> {
    pub(super) fn of(&mut self, side: Side) -> &mut T {
        match side {
            Side::Caller => &mut self.caller,
            Side::Called => &mut self.called,
        }
    }
}

/// How two come apart.
pub(super) enum Apart {
    /// One of them is gone, or somebody wants their end.
    Over(EndReason),
    /// One of them is done, and the other one goes on in another call.
    Given(Side, oneshot::Sender<Given>),
    /// Whoever was called is done, and the caller goes on with an agent.
    ToAgent(Box<Turned>),
}

impl Pair {
    pub(super) fn new(answered: PickedUp, caller: Who, called: Given, meeting: &Meeting) -> Self {
        let met = meeting.met;
        let wishes = answered.written.wishes();
        let held = wishes.borrow().hold;
        let joined = Both {
            caller: met.is_some(),
            called: met == Some(called.party.leg.id),
        };
        Self {
            joined,
            room: meeting.room,
            found: Found::new(Arc::clone(&answered.services)),
            held,
            wishes,
            answered,
            called: called.party,
            who: Both {
                caller,
                called: called.who,
            },
            waits: Both::default(),
            keys: Both::default(),
            referral: None,
            arriving: None,
        }
    }

    /// Lets the two talk until they come apart, and writes it down.
    pub(super) async fn serve(mut self) {
        match self.talk().await {
            Apart::Over(reason) => self.end(reason).await,
            Apart::Given(leaves, reply) => self.give(leaves, reply).await,
            Apart::ToAgent(turned) => Box::pin(self.give_to_agent(*turned)).await,
        }
    }

    /// Lets the two talk until one of them is gone, or somebody asks for their end.
    async fn talk(&mut self) -> Apart {
        for side in [Side::Caller, Side::Called] {
            self.look_at_hold(side);
        }
        self.are_two();
        self.answered.announce(&[&self.called.leg]);
        let apart = self.talk_on().await;
        self.answered.services.nobody_talks(self.id());
        apart
    }

    pub(super) fn id(&self) -> uuid::Uuid {
        self.answered.written.journal.id
    }

    /// Has the two found by whoever is to join or replace them.
    pub(super) fn are_two(&mut self) {
        self.found.by(&self.answered.party, &self.called);
        let bridge = Bridged {
            room: self.room,
            called: self.called.leg.id,
        };
        let (leg, journal) = (
            &self.answered.party.leg,
            self.answered.written.journal.clone(),
        );
        let services = &self.answered.services;
        services.in_conversation(self.id(), leg, journal, Some(bridge));
    }

    async fn talk_on(&mut self) -> Apart {
        let mut wishes_open = true;
        loop {
            let due = clock::earliest(self.keys.caller.deadline(), self.keys.called.deadline());
            let (caller_left, called_left) =
                (self.has_left(Side::Caller), self.has_left(Side::Called));
            let (side, heard) = tokio::select! {
                heard = self.answered.party.hear(), if !caller_left => (Side::Caller, heard),
                heard = self.called.hear(), if !called_left => (Side::Called, heard),
                control = self.answered.controls.recv() => {
                    return Apart::Over(end_reason_of(control));
                }
                changed = self.wishes.changed(), if wishes_open => {
                    wishes_open = changed.is_ok();
                    self.look_at_wishes().await;
                    continue;
                }
                () = clock::sleep_until(due) => {
                    self.press_what_is_due().await;
                    continue;
                }
                heard = Referral::hear(&mut self.referral) => {
                    match self.take_referral(heard).await {
                        Some(reason) => return Apart::Over(reason),
                        None => continue,
                    }
                }
                Some(claim) = self.found.claims.recv() => {
                    match self.take_claim(claim).await {
                        Some(apart) => return apart,
                        None => continue,
                    }
                }
            };
            if let Some(apart) = self.take_heard(side, heard).await {
                return apart;
            }
        }
    }

    /// Takes what one of them said; says how they come apart, where they do.
    async fn take_heard(&mut self, side: Side, heard: Heard) -> Option<Apart> {
        let news = self.party_mut(side).take(clock::now(), heard).await?;
        let over = match news {
            News::Over(reason) => self.one_is_gone(side, reason),
            News::Joined(Err(error)) => Some(EndReason::Failed(error.to_string())),
            News::Stayed => Some(EndReason::Failed(MediaError::Overloaded.to_string())),
            News::Arrived => self.arrived(side).await,
            News::Refer(asked) => {
                let turned = self.refer(side, asked).await?;
                return Some(Apart::ToAgent(Box::new(turned)));
            }
            other => {
                self.take_in(side, other).await;
                None
            }
        };
        over.map(Apart::Over)
    }

    /// Takes what one of them said that leaves the two together.
    async fn take_in(&mut self, side: Side, news: News) {
        match news {
            News::Hold => self.look_at_hold(side),
            News::KeyDown(digit) => self.keys.of(side).goes_down(clock::now(), digit),
            News::Key {
                digit,
                held,
                informed: false,
                ..
            } => self.hear_key(side, Key { digit, held }).await,
            News::Key {
                digit,
                held,
                again: false,
                ..
            } => self.pass_on(side, Key { digit, held }).await,
            News::Sound(words) => self.tell_of_sound(side, &words),
            News::Joined(_) => *self.joined.of(side) = true,
            _ => {}
        }
    }

    /// Takes a key that came with the sound. One that came between the answer and the room has not
    /// passed.
    async fn hear_key(&mut self, side: Side, key: Key) {
        self.keys.of(side).heard(key.digit);
        let passes = *self.joined.of(side) && !self.party(side.other()).leg.takes_keys_by_info();
        if !passes {
            self.press(side.other(), &[key]).await;
        }
    }

    /// Passes a key on that an INFO told of.
    async fn pass_on(&mut self, side: Side, key: Key) {
        let with_sound = self.party(side).leg.tells_keys_with_sound();
        let now = clock::now();
        let keys = self.keys.of(side).informed(now, key, with_sound);
        self.press(side.other(), &keys).await;
    }

    async fn press_what_is_due(&mut self) {
        for side in [Side::Caller, Side::Called] {
            let keys = self.keys.of(side).due(clock::now());
            self.press(side.other(), &keys).await;
        }
    }

    /// Presses keys for one party.
    async fn press(&self, side: Side, keys: &[Key]) {
        if !keys.is_empty() {
            self.party(side).press(keys).await;
        }
    }

    /// Lets the caller wait, or no longer, as somebody wants it over the API.
    async fn look_at_wishes(&mut self) {
        let hold = self.wishes.borrow_and_update().hold;
        if std::mem::replace(&mut self.held, hold) == hold {
            return;
        }
        self.answered.party.hold(hold).await;
        self.look_at_hold(Side::Called);
        let kind = if hold { "call.held" } else { "call.resumed" };
        self.answered.written.event(kind, json!({ "by": "api" }));
    }

    /// Lets one party wait with music while the other one holds the call, or the API the caller, or
    /// while somebody is called in the other one's place.
    pub(super) fn look_at_hold(&mut self, side: Side) {
        let by_api = self.held && side == Side::Called;
        let is_replaced = self.referral.as_ref().is_some_and(|r| r.is_by(side));
        let held = by_api || is_replaced || self.party(side).leg.is_held();
        if std::mem::replace(self.waits.of(side.other()), held) == held {
            return;
        }
        let other = self.party(side.other());
        other.ask(match held {
            true => Command::Hold(other.leg.id, music::on_hold()),
            false => Command::Unhold(other.leg.id),
        });
    }

    fn tell_of_sound(&self, side: Side, words: &str) {
        let party = side.as_str();
        tracing::info!(trouble = %words, party, "a call's sound");
        let data = json!({ "trouble": words, "party": party });
        self.event("call.sound", data);
    }

    pub(super) fn event(&self, kind: &'static str, data: Value) {
        self.answered.written.event(kind, data);
    }

    pub(super) fn party(&self, side: Side) -> &Party {
        match side {
            Side::Caller => &self.answered.party,
            Side::Called => &self.called,
        }
    }

    pub(super) fn party_mut(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Caller => &mut self.answered.party,
            Side::Called => &mut self.called,
        }
    }

    /// Hangs up on both, closes the media and writes the end down.
    async fn end(mut self, reason: EndReason) {
        self.give_up_referral().await;
        // Of the two the one who hung up has no dialog any more.
        let why = reason.passed_on();
        self.called.hang_up_because(why.as_deref()).await;
        self.answered.party.hang_up_because(why.as_deref()).await;
        let far = self.called.measured().await;
        let over = Over {
            far,
            ..Over::because(reason)
        };
        self.answered.end(over).await;
    }
}

/// Why a pair came apart of which one is over.
pub(super) fn ended_by(side: Side, reason: EndReason) -> EndReason {
    match side {
        Side::Called => reason.of_called(),
        Side::Caller => reason,
    }
}
