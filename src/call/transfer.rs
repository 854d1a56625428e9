//! An agent's call is given to a person: whoever is called rings while the caller waits with music,
//! and talks with the caller once they answer. Where nobody does, the agent goes on where it was.
//!
//! For the agent a transfer is the end of the call: its flow closes as it does when a caller hangs up,
//! and the call goes on as any that was bridged.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument;
use uuid::Uuid;

use super::briefing::{Briefed, Briefing};
use super::callee::Callees;
use super::dialogs::{Given, Who};
use super::hunt::{How, Hunt, MAX_FORWARDS};
use super::journal::Journal;
use super::outbound::Whose;
use super::outgoing::Progress;
use super::party::Party;
use super::places::Permit;
use super::refer_out::Told;
use super::services::Services;
use super::spans;
use super::supervise::{Mode, Seat, SuperviseError};
use super::task::{Control, Wishes};
use super::trunk_load::TrunkPlace;
use crate::clock;
use crate::net::media::LegId;
use crate::store::Bridge;

/// How long a trunk may take to hang up on us that has transferred a call.
const PARTING: Duration = Duration::from_secs(5);
/// Why nobody took a call any more.
const CALLED_OFF: &str = "it was called off";

/// To whom an agent's call is given.
pub struct Person {
    /// What names them.
    pub to: String,
    /// Who is rung for it.
    pub callees: Callees,
    /// How long it rings, at each stage.
    pub ring: Duration,
    /// What they are told before the caller hears them.
    pub briefing: Option<Briefing>,
    /// Hears why nobody took the call.
    pub on_failure: Option<oneshot::Sender<String>>,
}

impl Services {
    /// Who has taken an agent's call over and waits until the agent lets go.
    pub(super) fn taker_of(&self, id: Uuid) -> Option<Given> {
        let taker = self.live_calls().get_mut(&id)?.taker.take();
        taker.map(|given| *given)
    }

    /// What an agent tells a person who is to take its call; none where there is nothing to say.
    #[must_use]
    pub fn briefing(&self, agent: Option<&str>, text: &str) -> Option<Briefing> {
        let voice = self.agents.get(agent?)?.config.voice.as_deref();
        Briefing::new(text, &self.on_box.get()?.voice(voice))
    }

    /// Calls somebody and gives them an agent's call once they answer and are briefed.
    ///
    /// # Errors
    /// When the call is not in progress, is no agent's, the switch stops, or somebody else has
    /// joined it.
    pub fn transfer(self: &Arc<Self>, id: Uuid, mut person: Person) -> Result<(), SuperviseError> {
        if self.is_stopping() {
            return Err(SuperviseError::NotInProgress);
        }
        let mut calls = self.live_calls();
        let call = calls.get_mut(&id).ok_or(SuperviseError::NotInProgress)?;
        person.callees.show_phones(call.shown.clone());
        let talking = call.talking.as_mut().ok_or(SuperviseError::NotInProgress)?;
        if talking.bridge.is_some() {
            return Err(SuperviseError::NoAgent);
        }
        let goes_on = talking.take_seat(Seat::Transfer)?;
        person.callees.tell_diversion(self, &call.called);
        let transfer = Transfer {
            services: Arc::clone(self),
            id,
            to: person.to,
            caller: talking.leg,
            wishes: call.wishes.clone(),
            journal: talking.journal.clone(),
            goes_on,
            ring: person.ring,
            briefing: person.briefing,
            on_failure: person.on_failure,
            pairs: None,
            released: false,
        };
        let span = spans::call("transfer");
        self.background
            .spawn(transfer.run(person.callees).instrument(span));
        Ok(())
    }
}

/// One transfer's task. However it ends before somebody has answered, the agent goes on.
struct Transfer {
    services: Arc<Services>,
    id: Uuid,
    /// Who is called, for who watches.
    to: String,
    caller: LegId,
    wishes: watch::Sender<Wishes>,
    journal: Journal,
    /// Ends when the call does.
    goes_on: mpsc::Receiver<Mode>,
    ring: Duration,
    briefing: Option<Briefing>,
    on_failure: Option<oneshot::Sender<String>>,
    /// The port pairs of the legs that ring.
    pairs: Option<Permit>,
    released: bool,
}

/// Somebody has answered, and their place on the trunk that they are reached over.
struct Answered {
    party: Party,
    whose: Whose,
    trunk: Option<TrunkPlace>,
}

impl Transfer {
    async fn run(mut self, callees: Callees) {
        self.tell(json!({ "state": "ringing", "to": self.to }));
        self.wish(|wishes| wishes.waits = true);
        match self.refer_out(&callees).await {
            None => {}
            Some(Ok(trunk)) => return self.leave_to(trunk).await,
            Some(Err(why)) => return self.fail(why),
        }
        let answered = match self.ring_out(callees).await {
            Ok(answered) => self.brief(answered).await,
            Err(why) => Err(why),
        };
        let handed_over = match answered {
            Ok(answered) => self.hand_over(answered).await,
            Err(why) => Err(why),
        };
        if let Err(why) = handed_over {
            self.fail(why);
        }
    }

    fn fail(&mut self, why: String) {
        tracing::info!(%why, "a call was not transferred");
        // First the agent is back; who watches hears of it when somebody else may join.
        self.release();
        self.tell(json!({ "state": "failed", "to": self.to, "reason": why }));
        if let Some(tell) = self.on_failure.take() {
            let _ = tell.send(why);
        }
    }

    /// Has the call's trunk call somebody in our place, where it can; gives the trunk once they have
    /// answered. None where the trunk is not asked, or does not do it: they are called from here.
    async fn refer_out(&mut self, callees: &Callees) -> Option<Result<String, String>> {
        // Who is to be told something first is to be heard here.
        if self.briefing.is_some() {
            return None;
        }
        let mut told = self.services.refer_out(self.id, callees.first()?).await?;
        let trunk = callees.trunk().unwrap_or_default().to_owned();
        loop {
            let what = tokio::select! {
                what = told.recv() => what?,
                () = over(&mut self.goes_on) => return Some(Err(CALLED_OFF.to_owned())),
            };
            match what {
                Told::Answered(Ok(())) => {
                    self.wish(|wishes| wishes.referred = true);
                    self.tell(json!({ "state": "referred", "to": self.to, "trunk": trunk }));
                }
                Told::Answered(Err(status)) => {
                    tracing::info!(status, %trunk, "a trunk does not transfer: the call is bridged");
                    return None;
                }
                Told::Progress { status, .. } if (200..300).contains(&status) => {
                    return Some(Ok(trunk));
                }
                Told::Progress {
                    status,
                    is_final: true,
                } => {
                    self.wish(|wishes| wishes.referred = false);
                    return Some(Err(format!(
                        "the trunk transferred nobody: status {status}"
                    )));
                }
                Told::Progress { .. } => {}
            }
        }
    }

    /// Leaves the call to its trunk, which hangs up on us, or is hung up.
    async fn leave_to(&mut self, trunk: String) {
        self.wish(|wishes| {
            wishes.waits = false;
            wishes.transferred = true;
        });
        let to = self.to.clone();
        self.tell(json!({ "state": "answered", "to": to, "trunk": trunk, "by": "refer" }));
        self.journal.transferred(Bridge {
            to,
            trunk: Some(trunk),
            user: None,
            media: None,
        });
        let parted = tokio::time::timeout(PARTING, over(&mut self.goes_on)).await;
        if parted.is_err() {
            self.end_call(Control::Transferred);
        }
    }

    /// Tells who has answered what the call is about, while the caller waits on.
    async fn brief(&mut self, mut answered: Answered) -> Result<Answered, String> {
        let Some(briefing) = self.briefing.take() else {
            return Ok(answered);
        };
        self.tell(json!({ "state": "briefing", "to": self.to }));
        let briefed = tokio::select! {
            briefed = briefing.say(&mut answered.party) => briefed,
            () = over(&mut self.goes_on) => {
                answered.party.hang_up().await;
                let _ = answered.party.measured().await;
                return Err(CALLED_OFF.to_owned());
            }
        };
        match briefed {
            Briefed::Heard => Ok(answered),
            Briefed::Gone => Err("whoever answered hung up before the caller was heard".to_owned()),
        }
    }

    /// Lets the agent go on, and frees the place of who joins.
    fn release(&mut self) {
        if std::mem::replace(&mut self.released, true) {
            return;
        }
        self.wish(|wishes| (wishes.waits, wishes.referred) = (false, false));
        let mut calls = self.services.live_calls();
        if let Some(talking) = calls.get_mut(&self.id).and_then(|c| c.talking.as_mut()) {
            talking.free_seat();
        }
    }

    /// Rings until somebody answers or all have failed, or the call is over.
    async fn ring_out(&mut self, mut callees: Callees) -> Result<Answered, String> {
        let places = &self.services.places;
        let pairs = places.take_pairs(callees.places()).or_else(|_| {
            callees.keep_best();
            places.take_pairs(1)
        });
        let pairs = self.pairs.insert(pairs.map_err(|busy| busy.to_string())?);
        let how = How {
            codec: None,
            max_forwards: MAX_FORWARDS,
            ring: self.ring,
            ring_most: self.ring,
            headers: Vec::new(),
        };
        let services = Arc::clone(&self.services);
        let mut hunt = Hunt::new(services, callees.stages, how, self.caller);
        let mut progress = hunt.place().await;
        loop {
            match progress {
                Some(Progress::Answered(party)) => {
                    pairs.keep_pairs(1);
                    return Ok(Answered {
                        party: *party,
                        whose: hunt.answered_by(),
                        trunk: hunt.into_trunk_place(),
                    });
                }
                Some(Progress::Failed(failure)) => return Err(failure.to_string()),
                Some(Progress::Rings(_) | Progress::Early) | None => {}
            }
            progress = tokio::select! {
                heard = hunt.hear() => hunt.take(heard).await,
                () = over(&mut self.goes_on) => {
                    hunt.give_up().await;
                    return Err(CALLED_OFF.to_owned());
                }
            };
        }
    }

    /// Gives them the call, unless it was called off meanwhile: nobody can from here on.
    async fn hand_over(&mut self, answered: Answered) -> Result<(), String> {
        let Answered {
            party,
            whose,
            trunk,
        } = answered;
        let who = Who::called(&self.services, whose.clone(), &self.to, trunk);
        let given = Box::new(Given {
            party,
            who,
            pairs: self.pairs.take(),
        });
        if let Err(given) = self.take_over(given) {
            given.party.hang_up().await;
            return Err(CALLED_OFF.to_owned());
        }
        // The place of who joins is theirs who take the call now.
        self.released = true;
        let to = self.to.clone();
        let Whose { trunk, user } = whose;
        self.tell(json!({ "state": "answered", "to": to, "trunk": trunk, "user": user }));
        self.journal.transferred(Bridge {
            to,
            trunk,
            user,
            media: None,
        });
        self.wish(|wishes| (wishes.waits, wishes.transferred, wishes.taken) = (false, true, true));
        Ok(())
    }

    fn take_over(&self, given: Box<Given>) -> Result<(), Box<Given>> {
        let mut calls = self.services.live_calls();
        match calls.get_mut(&self.id) {
            Some(call) if !self.goes_on.is_closed() => {
                call.taker = Some(given);
                Ok(())
            }
            _ => Err(given),
        }
    }

    /// Ends the call, if it is not over.
    fn end_call(&self, why: Control) {
        let calls = self.services.live_calls();
        if let Some(call) = calls.get(&self.id) {
            let _ = call.control.try_send(why);
        }
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        self.wishes.send_modify(change);
    }

    fn tell(&self, data: Value) {
        self.event("call.transfer", data);
    }

    fn event(&self, kind: &'static str, data: Value) {
        let at = self.services.epoch.timestamp(clock::now());
        self.journal.event(kind, at, data);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.release();
    }
}

/// Waits until nobody is there any more who would be heard. What is wanted of supervisors is not for
/// whoever takes a call.
async fn over(goes_on: &mut mpsc::Receiver<Mode>) {
    while goes_on.recv().await.is_some() {}
}
