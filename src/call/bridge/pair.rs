//! Two parties who talk, until one of them is gone: what is asked of their call meanwhile, and who
//! takes the place of whom.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::Meeting;
use super::referral::Referral;
use crate::call::dialogs::{Claim, Found, Given, Wants, Who};
use crate::call::digits::Passing;
use crate::call::music;
use crate::call::party::{Heard, News, Party};
use crate::call::recording::{PausedBy, RecordingSwitch};
use crate::call::ringing::{Over, PickedUp};
use crate::call::supervise::Bridged;
use crate::call::talk::end_reason_of;
use crate::call::task::{TRANSFERRED, Wishes};
use crate::clock;
use crate::net::media::{Command, Part, RoomId};
use crate::switch::EndReason;

/// How long somebody whose place another one has taken may take to hang up.
const PARTING: Duration = Duration::from_secs(5);

/// Two parties who talk.
pub(super) struct Pair {
    pub(super) answered: PickedUp,
    pub(super) called: Party,
    /// Who they are.
    pub(super) who: Both<Who>,
    room: RoomId,
    /// Who is in the room, so that keys pass on with the sound.
    joined: Both<bool>,
    /// Who waits since the other one holds the call.
    waits: Both<bool>,
    /// Keys on their way to the other one.
    keys: Both<Passing>,
    /// What is wanted of them from outside …
    wishes: watch::Receiver<Wishes>,
    /// … and whether the caller is held since somebody there wants it.
    held: bool,
    /// What one of them wants to come of the other.
    pub(super) referral: Option<Referral>,
    /// Whoever is on the way here from another media thread has this one's place.
    arriving: Option<(Side, Party)>,
    found: Found,
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
}

impl Pair {
    pub(super) fn new(answered: PickedUp, caller: Who, called: Given, meeting: &Meeting) -> Self {
        let met = meeting.met;
        let joined = Both {
            caller: met.is_some(),
            called: met == Some(called.party.leg.id),
        };
        Self {
            joined,
            room: meeting.room,
            wishes: answered.written.wishes(),
            found: Found::new(Arc::clone(&answered.services)),
            held: false,
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
    fn are_two(&mut self) {
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
            if let Some(reason) = self.take_heard(side, heard).await {
                return Apart::Over(reason);
            }
        }
    }

    /// Takes what one of them said; says why they come apart, where they do.
    async fn take_heard(&mut self, side: Side, heard: Heard) -> Option<EndReason> {
        let news = self.party_mut(side).take(clock::now(), heard).await?;
        match news {
            News::Over(reason) if self.referral.is_some() => {
                return self.one_is_gone(side, reason).await;
            }
            News::Over(reason) => return Some(ended_by(side, reason)),
            News::Joined(Err(error)) => return Some(EndReason::Failed(error.to_string())),
            News::Hold => self.look_at_hold(side),
            News::Key {
                digit,
                informed: false,
                ..
            } => self.hear_key(side, digit).await,
            News::Key {
                digit,
                again: false,
                ..
            } => self.pass_on(side, digit).await,
            News::Sound(words) => self.tell_of_sound(side, &words),
            News::Joined(Ok(())) => *self.joined.of(side) = true,
            News::Refer(asked) => self.refer(side, asked).await,
            News::Arrived => return self.arrived(side).await,
            News::Key { .. } => {}
        }
        None
    }

    /// Takes a key that came with the sound. One that came between the answer and the room has not
    /// passed.
    async fn hear_key(&mut self, side: Side, digit: char) {
        self.keys.of(side).heard(digit);
        let passes = *self.joined.of(side) && !self.party(side.other()).leg.takes_keys_by_info();
        if !passes {
            self.press(side.other(), digit.into()).await;
        }
    }

    /// Passes a key on that an INFO told of.
    async fn pass_on(&mut self, side: Side, digit: char) {
        let with_sound = self.party(side).leg.tells_keys_with_sound();
        let now = clock::now();
        let keys = self.keys.of(side).informed(now, digit, with_sound);
        self.press(side.other(), keys).await;
    }

    async fn press_what_is_due(&mut self) {
        for side in [Side::Caller, Side::Called] {
            let keys = self.keys.of(side).due(clock::now());
            self.press(side.other(), keys).await;
        }
    }

    /// Presses keys for one party.
    async fn press(&self, side: Side, keys: String) {
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

    fn party_mut(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Caller => &mut self.answered.party,
            Side::Called => &mut self.called,
        }
    }
}

/// Who takes the place of whom.
impl Pair {
    /// Puts another party in the place of one, who is told nothing of it here.
    pub(super) async fn put(&mut self, side: Side, given: Given) -> Option<EndReason> {
        let Given { party, who } = given;
        let old = std::mem::replace(self.party_mut(side), party);
        *self.who.of(side) = who;
        (*self.joined.of(side), *self.waits.of(side)) = (false, false);
        *self.keys.of(side) = Passing::default();
        old.ask(Command::Leave(old.leg.id));
        let beside = self.party(side.other()).leg.id;
        let services = Arc::clone(&self.answered.services);
        let moves = self
            .party_mut(side)
            .leg
            .settle_beside(&services.line, beside);
        self.arriving = Some((side, old));
        match moves {
            // Its commands would overtake it.
            Ok(true) => None,
            Ok(false) => self.arrived(side).await,
            Err(error) => Some(EndReason::Failed(error.to_string())),
        }
    }

    /// Takes note that somebody who has another one's place is of the same media thread as whom
    /// they talk with.
    async fn arrived(&mut self, side: Side) -> Option<EndReason> {
        let (_, old) = self.arriving.take_if(|(arriving, _)| *arriving == side)?;
        let party = self.party(side);
        let leg = party.leg.id;
        if side == Side::Caller {
            party.ask(Command::PassRecorder {
                from: old.leg.id,
                to: leg,
            });
        }
        party.ask(Command::Join {
            leg,
            room: self.room,
            part: Part::Talks,
            shares_playout: false,
        });
        self.dismiss(old);
        if self.held && side == Side::Caller {
            self.answered.party.hold(true).await;
        }
        self.look_at_hold(side);
        self.look_at_hold(side.other());
        self.are_two();
        self.look_at_recording(side);
        None
    }

    /// Whether somebody is on the way here from another media thread.
    pub(super) fn has_arriving(&self) -> bool {
        self.arriving.is_some()
    }

    /// Looks whether the call may be recorded with somebody new, and tells them where they are to
    /// be told.
    fn look_at_recording(&self, side: Side) {
        let services = &self.answered.services;
        let who = match side {
            Side::Caller => &self.who.caller,
            Side::Called => &self.who.called,
        };
        let recording = services.recording_switch(self.id());
        let recording = recording.filter(RecordingSwitch::is_recorded);
        let (Some(trunk), Some(recording)) = (who.trunk_name(), recording) else {
            return;
        };
        if !services.may_record(trunk) {
            tracing::info!(%trunk, "a transferred call is not recorded any more");
            recording.pause(PausedBy::Transfer);
        } else if let Some(text) = services.announcement(trunk) {
            services.announce(&text, &self.party(side).leg, recording);
        }
    }

    /// Lets somebody go whose place another one has: they hang up themselves, or are hung up.
    fn dismiss(&self, mut old: Party) {
        self.answered.services.background.spawn(async move {
            let parts = async {
                loop {
                    let heard = old.hear().await;
                    if let Some(News::Over(_)) = old.take(clock::now(), heard).await {
                        return;
                    }
                }
            };
            if timeout(PARTING, parts).await.is_err() {
                old.hang_up().await;
            }
            let _ = old.measured().await;
        });
    }

    /// Takes something that another call, or somebody who calls, wants of this one.
    async fn take_claim(&mut self, claim: Claim) -> Option<Apart> {
        let sides = [Side::Caller, Side::Called];
        let mut sides = sides.into_iter();
        let side = sides.find(|side| self.party(*side).call() == claim.dialog)?;
        // One thing at a time; what is dropped is refused.
        if self.referral.is_some() || self.arriving.is_some() {
            return None;
        }
        match claim.wants {
            Wants::Other(reply) => Some(Apart::Given(side, reply)),
            Wants::Replacement(given) => {
                self.tell_of_transfer("replaced", given.who.name(), side);
                self.put(side, *given).await.map(Apart::Over)
            }
        }
    }

    /// Gives the one who stays to another call, and ends this one.
    async fn give(mut self, leaves: Side, reply: oneshot::Sender<Given>) {
        let stays = leaves.other();
        self.found.forget();
        let (stayer, leaver) = (self.party(stays), self.party(leaves));
        if stays == Side::Caller {
            // What is recorded is this call.
            stayer.ask(Command::PassRecorder {
                from: stayer.leg.id,
                to: leaver.leg.id,
            });
        }
        if *self.waits.of(stays) {
            let stayer = self.party(stays);
            stayer.ask(Command::Unhold(stayer.leg.id));
        }
        if stays == Side::Caller {
            std::mem::swap(&mut self.answered.party, &mut self.called);
            std::mem::swap(&mut self.who.caller, &mut self.who.called);
        }
        self.event(
            "call.transfer",
            json!({ "state": "merged", "by": leaves.as_str() }),
        );
        let given = Given {
            party: self.called,
            who: self.who.called,
        };
        if let Err(given) = reply.send(given) {
            given.party.hang_up().await;
        }
        self.answered.party.hang_up().await;
        let over = Over {
            outcome: Some(TRANSFERRED),
            ..Over::because(EndReason::Transferred)
        };
        self.answered.end(over).await;
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
