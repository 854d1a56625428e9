//! A call that is bridged: the caller is answered once the called party answers, and both hear each
//! other until one of them is gone. Two calls with nothing in common but their sound: neither side
//! learns the other's addresses, Call-ID or tags.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::dial::DialFailure;
use super::digits::Passing;
use super::hunt::{How, Hunt, Stage, Whose};
use super::line::{Leg, next_leg};
use super::music;
use super::outgoing::Progress;
use super::party::{News, Party};
use super::places::Permit;
use super::ringing::{Over, PickedUp, Ringing};
use super::services::Services;
use super::spans;
use super::supervise::Bridged;
use super::talk::end_reason_of;
use super::task::Wishes;
use super::trunk_load::TrunkPlace;
use crate::clock::{self, Epoch};
use crate::net::media::{Command, LegId, MediaError, Part, RoomId};
use crate::net::sip::IncomingCall;
use crate::store::{Bridge, CallRecord};
use crate::switch::EndReason;

/// A call that may be bridged.
pub(super) struct Passage {
    /// Who is called, in turn.
    pub(super) stages: Vec<Stage>,
    /// Hops that the call may still take.
    pub(super) max_forwards: u8,
    /// What the record says of who is called.
    pub(super) bridge: Bridge,
    /// How long it may ring there.
    pub(super) ring: Duration,
    pub(super) permit: Permit,
}

/// Bridges a call until it is over.
pub(super) async fn serve(
    services: Arc<Services>,
    incoming: IncomingCall,
    passage: Passage,
    (mut record, epoch): (CallRecord, Epoch),
) {
    let Passage {
        stages,
        max_forwards,
        bridge,
        ring,
        mut permit,
    } = passage;
    record.bridge = Some(bridge);
    spans::name_bridge(record.id);
    let callees = stages.iter().flat_map(|stage| &stage.callees);
    let trunks = callees.filter_map(|called| called.whose.trunk.clone());
    let trunks: Vec<String> = trunks.collect();
    let ringing = Ringing::begin(Arc::clone(&services), incoming, (record, trunks), epoch);
    let Some(ringing) = ringing.await else {
        return;
    };
    let how = How {
        codec: ringing.codec(),
        max_forwards,
        ring,
    };
    let caller = next_leg();
    let hunt = Hunt::new(Arc::clone(&services), stages, how, caller);
    let room = RoomId::next();
    let mut meeting = Meeting {
        room,
        caller,
        met: None,
    };
    if let Some(mut pair) = meeting.ring_out(ringing, hunt).await {
        permit.keep_pairs(2);
        let reason = pair.talk().await;
        pair.end(reason).await;
    }
    drop(permit);
}

/// Where the two are to hear each other.
struct Meeting {
    room: RoomId,
    caller: LegId,
    /// Whom the caller hears before the answer: both are in the room.
    met: Option<LegId>,
}

impl Meeting {
    /// Rings at the called party until it answers, and answers the caller then. None when it does
    /// not come to that, which is written down.
    async fn ring_out(&mut self, mut ringing: Ringing, mut hunt: Hunt) -> Option<Pair> {
        let mut progress = hunt.place().await;
        loop {
            match progress {
                Some(Progress::Rings(status)) => ringing.rings(status).await,
                Some(Progress::Early) => self.let_hear_early(&mut ringing, &hunt).await,
                Some(Progress::Answered(called)) => {
                    let whose = hunt.answered_by();
                    let pair = self.pick_up(ringing, *called, whose).await;
                    return pair.map(|pair| pair.over(hunt.into_trunk_place()));
                }
                Some(Progress::Failed(failure)) => {
                    fail(ringing, &failure).await;
                    return None;
                }
                None => {}
            }
            let (status, reason) = tokio::select! {
                heard = hunt.hear() => {
                    progress = hunt.take(heard).await;
                    continue;
                }
                ended = ringing.ends() => ended,
            };
            hunt.give_up_because(reason.passed_on().as_deref()).await;
            match status {
                Some(status) => ringing.refuse(status, reason).await,
                None => ringing.given_up(reason).await,
            }
            return None;
        }
    }

    /// Lets the caller hear what the called party plays before its answer.
    async fn let_hear_early(&mut self, ringing: &mut Ringing, hunt: &Hunt) {
        if !ringing.open_early(self.caller).await {
            return ringing.rings(180).await;
        }
        let mut playing = hunt.early_legs();
        // One at a time, until it rings no more.
        if playing.any(|leg| Some(leg.id) == self.met) {
            return;
        }
        let (Some(leg), Some(caller)) = (hunt.early_legs().next(), ringing.early_leg()) else {
            return;
        };
        match self.meet(caller, leg) {
            Ok(()) => self.met = Some(leg.id),
            Err(error) => tracing::error!(%error, "what is played before the answer is not heard"),
        }
    }

    async fn pick_up(&self, mut ringing: Ringing, called: Party, whose: Whose) -> Option<Pair> {
        ringing.answered_by(whose);
        // Where the caller was faster, the called party is hung up as it is dropped.
        let answered = ringing.answer(self.caller).await?;
        let joined = self.meet(&answered.party.leg, &called.leg);
        let pair = Pair::new(answered, called, self);
        if let Err(error) = joined {
            pair.end(EndReason::Failed(error.to_string())).await;
            return None;
        }
        Some(pair)
    }

    /// Brings the caller and a called party together, as far as they are not.
    fn meet(&self, caller: &Leg, called: &Leg) -> Result<(), MediaError> {
        if self.met.is_none() {
            self.join(caller)?;
        }
        if self.met != Some(called.id) {
            self.join(called)?;
        }
        Ok(())
    }

    fn join(&self, leg: &Leg) -> Result<(), MediaError> {
        leg.media.send(Command::Join {
            leg: leg.id,
            room: self.room,
            part: Part::Talks,
            shares_playout: false,
        })
    }
}

/// Tells the caller why it is not answered.
async fn fail(ringing: Ringing, failure: &DialFailure) {
    tracing::info!(%failure, "the called party did not answer");
    let (status, reason) = match failure {
        DialFailure::Refused { status, cause, .. } => {
            let reason = EndReason::Refused(*status).said(cause.clone());
            (status_for(*status), reason)
        }
        // It rang for longer than a transaction lasts.
        DialFailure::Cancelled | DialFailure::NoAnswer(_) => (480, EndReason::Refused(408)),
        other => (503, EndReason::Failed(other.to_string())),
    };
    ringing.refuse(status, reason).await;
}

/// The status that tells a caller what the called party's means: what is about the callee is passed
/// on, what is between us and the next hop is ours to have failed at.
fn status_for(status: u16) -> u16 {
    match status {
        403 | 404 | 410 | 480 | 484 | 486 | 488 | 600 | 603 | 604 | 606 => status,
        500..=599 | 401 | 407 => 503,
        _ => 480,
    }
}

/// Two parties who talk.
struct Pair {
    answered: PickedUp,
    called: Party,
    /// Its place on the trunk that the called party was reached over.
    _trunk: Option<TrunkPlace>,
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
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Caller,
    Called,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Caller => Self::Called,
            Self::Called => Self::Caller,
        }
    }
}

/// One of each side.
#[derive(Default)]
struct Both<T> {
    caller: T,
    called: T,
}

impl<T> Both<T> {
    fn of(&mut self, side: Side) -> &mut T {
        match side {
            Side::Caller => &mut self.caller,
            Side::Called => &mut self.called,
        }
    }
}

impl Pair {
    fn new(answered: PickedUp, called: Party, meeting: &Meeting) -> Self {
        let met = meeting.met;
        let joined = Both {
            caller: met.is_some(),
            called: met == Some(called.leg.id),
        };
        Self {
            joined,
            _trunk: None,
            room: meeting.room,
            wishes: answered.written.wishes(),
            held: false,
            answered,
            called,
            waits: Both::default(),
            keys: Both::default(),
        }
    }

    fn over(mut self, trunk: Option<TrunkPlace>) -> Self {
        self._trunk = trunk;
        self
    }

    /// Lets the two talk until one of them is gone, or somebody asks for their end.
    async fn talk(&mut self) -> EndReason {
        for side in [Side::Caller, Side::Called] {
            self.look_at_hold(side);
        }
        let (services, written) = (&self.answered.services, &self.answered.written);
        let (services, id) = (Arc::clone(services), written.journal.id);
        let bridge = Bridged {
            room: self.room,
            called: self.called.leg.id,
        };
        let (leg, journal) = (&self.answered.party.leg, written.journal.clone());
        services.in_conversation(id, leg, journal, Some(bridge));
        self.answered.announce(&[&self.called.leg]);
        let reason = self.talk_on().await;
        services.nobody_talks(id);
        reason
    }

    async fn talk_on(&mut self) -> EndReason {
        let mut wishes_open = true;
        loop {
            let due = clock::earliest(self.keys.caller.deadline(), self.keys.called.deadline());
            let (side, heard) = tokio::select! {
                heard = self.answered.party.hear() => (Side::Caller, heard),
                heard = self.called.hear() => (Side::Called, heard),
                control = self.answered.controls.recv() => {
                    return end_reason_of(control);
                }
                changed = self.wishes.changed(), if wishes_open => {
                    wishes_open = changed.is_ok();
                    self.look_at_wishes().await;
                    continue;
                }
                () = clock::sleep_until(due) => {
                    self.press_what_is_due();
                    continue;
                }
            };
            let news = self.party_mut(side).take(clock::now(), heard).await;
            match news {
                Some(News::Over(reason)) => return ended_by(side, reason),
                Some(News::Joined(Err(error))) => {
                    return EndReason::Failed(error.to_string());
                }
                Some(News::Hold) => self.look_at_hold(side),
                Some(News::Key {
                    digit,
                    informed: false,
                    ..
                }) => self.hear_key(side, digit),
                Some(News::Key {
                    digit,
                    again: false,
                    ..
                }) => self.pass_on(side, digit),
                Some(News::Sound(words)) => self.tell_of_sound(side, &words),
                Some(News::Joined(Ok(()))) => *self.joined.of(side) = true,
                Some(News::Key { .. }) | None => {}
            }
        }
    }

    /// Takes a key that came with the sound. One that came between the answer and the room has not
    /// passed.
    fn hear_key(&mut self, side: Side, digit: char) {
        self.keys.of(side).heard(digit);
        if !*self.joined.of(side) {
            self.press(side.other(), digit.into());
        }
    }

    /// Passes a key on that an INFO told of.
    fn pass_on(&mut self, side: Side, digit: char) {
        let with_sound = self.party(side).leg.tells_keys_with_sound();
        let now = clock::now();
        let keys = self.keys.of(side).informed(now, digit, with_sound);
        self.press(side.other(), keys);
    }

    fn press_what_is_due(&mut self) {
        for side in [Side::Caller, Side::Called] {
            let keys = self.keys.of(side).due(clock::now());
            self.press(side.other(), keys);
        }
    }

    /// Presses keys for one party.
    fn press(&self, side: Side, keys: String) {
        if !keys.is_empty() {
            let party = self.party(side);
            party.ask(Command::SendDtmf(party.leg.id, keys));
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

    /// Lets one party wait with music while the other one holds the call, or the API the caller.
    fn look_at_hold(&mut self, side: Side) {
        let by_api = self.held && side == Side::Called;
        let held = by_api || self.party(side).leg.is_held();
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
        let party = match side {
            Side::Caller => "caller",
            Side::Called => "called",
        };
        tracing::info!(trouble = %words, party, "a call's sound");
        let data = json!({ "trouble": words, "party": party });
        self.answered.written.event("call.sound", data);
    }

    fn party(&self, side: Side) -> &Party {
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

    /// Hangs up on both, closes the media and writes the end down.
    async fn end(mut self, reason: EndReason) {
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
fn ended_by(side: Side, reason: EndReason) -> EndReason {
    match side {
        Side::Called => reason.of_called(),
        Side::Caller => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_callee_is_told_to_the_caller_and_what_is_ours_is_not() {
        for status in [404, 486, 603] {
            assert_eq!(status_for(status), status);
        }
        for (theirs, ours) in [
            (407, 503),
            (500, 503),
            (503, 503),
            (302, 480),
            (408, 480),
            (487, 480),
        ] {
            assert_eq!(status_for(theirs), ours, "{theirs}");
        }
    }
}
