//! A supervisor on a running call: their phone is dialled and joined to the call's room, where it
//! listens, is heard by the person who was called alone, or talks to all.
//!
//! Who barges in on an agent talks to the caller while the agent stands aside: as on hold it says
//! nothing, hears nothing and waits, and goes on where it was once the supervisor only listens or
//! is gone.

use std::sync::Arc;
use std::time::Duration;

use offhook_sip::CallHandle;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tracing::Instrument;
use uuid::Uuid;

use super::callee::Callees;
use super::hunt::{How, Hunt, MAX_FORWARDS};
use super::journal::Journal;
use super::line::Leg;
use super::negotiate::negotiate;
use super::outgoing::Progress;
use super::party::Party;
use super::places::Permit;
use super::services::Services;
use super::spans;
use super::task::Wishes;
use super::trunk_load::TrunkPlace;
use crate::clock;
use crate::mailbox;
use crate::net::media::{Command, LegEvent, LegId, MediaError, MediaThread, Part, RoomId};
use crate::net::sip::Signal;

/// How long a supervisor's phone may ring.
const RING: Duration = Duration::from_secs(60);
/// Changes of mode that may wait.
const MODES: usize = 4;

/// What a supervisor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Hears both sides, and is heard by nobody.
    Listen,
    /// Hears both sides, and is heard by the called person alone.
    Whisper,
    /// Talks to the caller, and to the called person; an agent stands aside.
    Barge,
}

impl Mode {
    fn part(self, bridge: Option<Bridged>) -> Part {
        match (self, bridge) {
            (Self::Barge, _) => Part::Talks,
            (Self::Whisper, Some(bridge)) => Part::WhispersTo(bridge.called),
            (Self::Listen, _) | (Self::Whisper, None) => Part::Listens,
        }
    }

    /// Refuses to whisper where there is nobody to whisper to.
    fn check(self, bridge: Option<Bridged>) -> Result<(), SuperviseError> {
        match (self, bridge) {
            (Self::Whisper, None) => Err(SuperviseError::NoPerson),
            _ => Ok(()),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
        }
    }
}

/// Explains why a call is not supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuperviseError {
    /// Nobody talks there: it rings still, or is over.
    #[error("the call is not in progress: nobody talks there")]
    NotInProgress,
    /// There is one supervisor a call.
    #[error("somebody has joined the call already: a supervisor, or whom it is transferred to")]
    Taken,
    /// No agent is on the call whose place somebody could take.
    #[error("no agent talks on the call: only an agent's call is transferred")]
    NoAgent,
    /// An agent is on the call, not a person.
    #[error(
        "the agent is software: there is nobody to whisper to; listen, or barge in (a bridged \
         call has a person to whisper to)"
    )]
    NoPerson,
    /// There is no supervisor whose mode could change.
    #[error("the call has no supervisor")]
    Nobody,
}

/// A call's leg, and what its supervisor listens to.
pub(super) struct Talking {
    pub(super) leg: LegId,
    pub(super) media: MediaThread,
    pub(super) journal: Journal,
    pub(super) bridge: Option<Bridged>,
    supervisor: Option<Supervisor>,
}

impl Talking {
    /// Takes the place of whoever joins the call, of whom there is one at a time. What is returned
    /// hears of what is wanted, and ends when the call does or that is over.
    pub(super) fn take_seat(&mut self, seat: Seat) -> Result<mpsc::Receiver<Mode>, SuperviseError> {
        if self.supervisor.is_some() {
            return Err(SuperviseError::Taken);
        }
        let (sender, modes) = mpsc::channel(MODES);
        self.supervisor = Some(Supervisor {
            seat,
            modes: Some(sender),
        });
        Ok(modes)
    }

    /// Frees it again.
    pub(super) fn free_seat(&mut self) {
        self.supervisor = None;
    }
}

/// The call is bridged: both sides are people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bridged {
    /// Where they hear each other.
    pub(super) room: RoomId,
    /// Who was called.
    pub(super) called: LegId,
}

/// What somebody who joins a call is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// To supervise it.
    Supervision,
    /// To take it over.
    Transfer,
}

/// A place on a call; it is taken until the task of whoever has it has ended.
struct Supervisor {
    seat: Seat,
    /// None once the supervision is to end.
    modes: Option<mpsc::Sender<Mode>>,
}

impl Services {
    /// Notes who calls, or whom we have called, as a person may see it who takes the call over, as a
    /// name-addr.
    pub(super) fn note_shown(&self, id: Uuid, shown: String) {
        if let Some(call) = self.live_calls().get_mut(&id) {
            call.shown = Some(shown);
        }
    }

    /// What was noted of that.
    pub(super) fn shown_of(&self, id: Uuid) -> Option<String> {
        self.live_calls().get(&id)?.shown.clone()
    }

    /// Notes on which leg a call talks, and with whom if not with an agent, so that it can be
    /// listened to.
    pub(super) fn in_conversation(
        &self,
        id: Uuid,
        leg: &Leg,
        journal: Journal,
        bridge: Option<Bridged>,
    ) {
        if let Some(call) = self.live_calls().get_mut(&id) {
            call.talking = Some(Talking {
                leg: leg.id,
                media: leg.media.clone(),
                journal,
                bridge,
                supervisor: None,
            });
            call.may_be_held = true;
        }
    }

    /// Notes that nobody talks on a call any more: its supervisor is let go, and none is taken.
    pub(super) fn nobody_talks(&self, id: Uuid) {
        if let Some(call) = self.live_calls().get_mut(&id) {
            call.talking = None;
            call.may_be_held = false;
        }
    }

    /// Dials a supervisor's phone, which `to` names, and joins it to a call in progress.
    ///
    /// # Errors
    /// When the call is not in progress, the switch stops, or the call has a supervisor.
    pub fn supervise(
        self: &Arc<Self>,
        id: Uuid,
        to: String,
        phones: Callees,
        mode: Mode,
    ) -> Result<(), SuperviseError> {
        if self.is_stopping() {
            return Err(SuperviseError::NotInProgress);
        }
        let mut calls = self.live_calls();
        let call = calls.get_mut(&id).ok_or(SuperviseError::NotInProgress)?;
        let talking = call.talking.as_mut().ok_or(SuperviseError::NotInProgress)?;
        mode.check(talking.bridge)?;
        let modes = talking.take_seat(Seat::Supervision)?;
        let supervision = Supervision {
            services: Arc::clone(self),
            id,
            to,
            caller: talking.leg,
            bridge: talking.bridge,
            media: talking.media.clone(),
            wishes: call.wishes.clone(),
            journal: talking.journal.clone(),
            modes,
            mode,
            pair: None,
            trunk: None,
            released: false,
        };
        let span = spans::call("supervisor");
        // Waited for when the switch stops: the phone is hung up.
        self.background
            .spawn(supervision.run(phones).instrument(span));
        Ok(())
    }

    /// Lets the other side of a call wait with music, or no longer; what is so already stays so.
    ///
    /// # Errors
    /// When nobody talks there.
    pub fn hold(&self, id: Uuid, hold: bool) -> Result<(), SuperviseError> {
        let calls = self.live_calls();
        let call = calls.get(&id).filter(|call| call.may_be_held);
        let wishes = &call.ok_or(SuperviseError::NotInProgress)?.wishes;
        wishes.send_if_modified(|wishes| std::mem::replace(&mut wishes.hold, hold) != hold);
        Ok(())
    }

    /// Changes what a call's supervisor does.
    ///
    /// # Errors
    /// When there is none.
    pub fn set_supervision(&self, id: Uuid, mode: Mode) -> Result<(), SuperviseError> {
        let calls = self.live_calls();
        let talking = calls.get(&id).and_then(|call| call.talking.as_ref());
        let talking = talking.ok_or(SuperviseError::Nobody)?;
        mode.check(talking.bridge)?;
        let supervisor = talking.supervisor.as_ref();
        let supervisor = supervisor.filter(|s| s.seat == Seat::Supervision);
        let modes = supervisor.and_then(|s| s.modes.as_ref());
        let told = modes.ok_or(SuperviseError::Nobody)?.try_send(mode);
        told.map_err(|_| SuperviseError::Nobody)
    }

    /// Lets a call's supervisor go, or calls a transfer off that rings still.
    ///
    /// # Errors
    /// When there is none.
    pub fn end_supervision(&self, id: Uuid) -> Result<(), SuperviseError> {
        self.end_seat(id, None)
    }

    /// Calls off that somebody is called who is to take the call over.
    pub(super) fn call_off_transfer(&self, id: Uuid) {
        let _ = self.end_seat(id, Some(Seat::Transfer));
    }

    /// Ends what has the place of who joins a call, or only that.
    fn end_seat(&self, id: Uuid, only: Option<Seat>) -> Result<(), SuperviseError> {
        let mut calls = self.live_calls();
        let talking = calls.get_mut(&id).and_then(|call| call.talking.as_mut());
        let supervisor = talking.and_then(|talking| talking.supervisor.as_mut());
        let supervisor = supervisor.filter(|s| only.is_none_or(|only| s.seat == only));
        let modes = supervisor.and_then(|supervisor| supervisor.modes.take());
        modes.map(drop).ok_or(SuperviseError::Nobody)
    }
}

/// One supervisor's task. However it ends, who was supervised is as before.
struct Supervision {
    services: Arc<Services>,
    id: Uuid,
    /// Who is dialled, for who watches.
    to: String,
    caller: LegId,
    bridge: Option<Bridged>,
    media: MediaThread,
    wishes: watch::Sender<Wishes>,
    journal: Journal,
    /// Ends when the call does, or when the supervisor is to go.
    modes: mpsc::Receiver<Mode>,
    mode: Mode,
    /// The port pair of the supervisor's leg, and its place on the trunk that it is reached over.
    pair: Option<Permit>,
    trunk: Option<TrunkPlace>,
    /// The place is free again, and may be another's.
    released: bool,
}

impl Supervision {
    async fn run(mut self, phones: Callees) {
        match self.dial(phones).await {
            Ok(answered) => self.talk(answered).await,
            Err(why) => tracing::info!(%why, "a supervisor's phone was not answered"),
        }
        // First the agent is back; who watches hears of it when the place is free.
        self.release();
        self.tell(None);
    }

    /// Brings the agent back and frees the supervisor's place.
    fn release(&mut self) {
        if std::mem::replace(&mut self.released, true) {
            return;
        }
        // Those who are bridged stay in their room.
        if self.bridge.is_none() {
            self.stand_aside(false);
            let _ = self.media.send(Command::Leave(self.caller));
        }
        let mut calls = self.services.live_calls();
        if let Some(talking) = calls.get_mut(&self.id).and_then(|c| c.talking.as_mut()) {
            talking.free_seat();
        }
    }

    /// Rings until a phone answers, or the call is over.
    async fn dial(&mut self, mut phones: Callees) -> Result<Party, String> {
        let places = &self.services.places;
        self.pair = Some(places.take_pairs(1).map_err(|busy| busy.to_string())?);
        // The phone that a supervisor has registered last.
        phones.keep_best();
        let how = How {
            codec: None,
            max_forwards: MAX_FORWARDS,
            ring: RING,
            ring_most: Duration::MAX,
            headers: Vec::new(),
        };
        let services = Arc::clone(&self.services);
        let mut hunt = Hunt::new(services, phones.stages, how, self.caller);
        let mut progress = hunt.place().await;
        loop {
            match progress {
                Some(Progress::Answered(party)) => {
                    self.trunk = hunt.into_trunk_place();
                    return Ok(*party);
                }
                Some(Progress::Failed(failure)) => return Err(failure.to_string()),
                Some(Progress::Rings(_) | Progress::Early) | None => {}
            }
            progress = tokio::select! {
                heard = hunt.hear() => hunt.take(heard).await,
                mode = self.modes.recv() => match mode {
                    Some(mode) => {
                        self.mode = mode;
                        None
                    }
                    None => {
                        hunt.give_up().await;
                        return Err("it was called off".to_owned());
                    }
                },
            };
        }
    }

    async fn talk(&mut self, answered: Party) {
        let (call, _held, mut signals, mut leg) = answered.into_parts();
        let sip = self.services.line.sip().clone();
        if let Err(error) = self.join(leg.id) {
            tracing::error!(%error, "a supervisor could not be joined to a call");
        } else {
            self.stay(call, &mut signals, &mut leg).await;
        }
        leg.close();
        let _ = sip.hang_up(call, None).await;
    }

    /// Hears, or talks, until the supervisor or the call is gone.
    async fn stay(
        &mut self,
        call: CallHandle,
        signals: &mut mailbox::Receiver<Signal>,
        leg: &mut Leg,
    ) {
        let mut joined = false;
        loop {
            tokio::select! {
                mode = self.modes.recv() => {
                    let Some(mode) = mode else { return };
                    let _ = self.media.send(Command::SetPart(leg.id, mode.part(self.bridge)));
                    self.mode = mode;
                    if joined {
                        self.adopt();
                    }
                }
                signal = signals.recv() => {
                    let Some(signal) = signal else { return };
                    let sip = self.services.line.sip();
                    let rest = negotiate(sip, call, leg, signal).await;
                    if matches!(rest, Some(Signal::Ended { .. })) {
                        return;
                    }
                }
                event = leg.event() => match event {
                    Some(LegEvent::MediaTimeout { .. } | LegEvent::Joined(Err(_))) | None => return,
                    // Before it is there, nobody stands aside for it.
                    Some(LegEvent::Joined(Ok(()))) if !joined => {
                        joined = true;
                        self.adopt();
                    }
                    Some(_) => {}
                },
            }
        }
    }

    /// Puts the supervisor's leg into the room of those who are bridged, or with the caller's into
    /// one of their own. What comes of it the call's task hears of the caller's leg, and this one
    /// of the supervisor's.
    fn join(&self, supervisor: LegId) -> Result<(), MediaError> {
        let room = self.bridge.map_or_else(RoomId::next, |bridge| bridge.room);
        let caller = (self.caller, Part::Talks, true);
        let supervisor = (supervisor, self.mode.part(self.bridge), false);
        let caller = self.bridge.is_none().then_some(caller);
        for (leg, part, shares_playout) in caller.into_iter().chain([supervisor]) {
            self.media.send(Command::Join {
                leg,
                room,
                part,
                shares_playout,
            })?;
        }
        Ok(())
    }

    /// Lets the agent stand aside or come back, and tells who watches.
    fn adopt(&self) {
        if self.bridge.is_none() {
            self.stand_aside(self.mode == Mode::Barge);
        }
        self.tell(Some(self.mode));
    }

    fn stand_aside(&self, aside: bool) {
        self.wishes
            .send_if_modified(|wishes| std::mem::replace(&mut wishes.aside, aside) != aside);
    }

    /// Tells who watches, unless the call's end was told already.
    fn tell(&self, mode: Option<Mode>) {
        let at = self.services.epoch.timestamp(clock::now());
        let data = json!({ "mode": mode.map(Mode::as_str), "to": self.to });
        self.journal.event("call.supervised", at, data);
    }
}

impl Drop for Supervision {
    fn drop(&mut self) {
        self.release();
    }
}
