//! A call that is bridged: the caller is answered once the called party answers, and both hear each
//! other until one of them is gone. Two calls with nothing in common but their sound: neither side
//! learns the other's addresses, Call-ID or tags.

mod pair;
mod referral;
mod replacing;
mod turning;

use std::sync::Arc;
use std::time::Duration;

use offhook_sip::{Incoming, Source};
use serde_json::Value;

use self::pair::{Pair, Side};
pub(super) use self::referral::may_transfer;
use super::caller::shown_to_user;
use super::dial::DialFailure;
use super::dialogs::{Given, Who};
use super::diversion::called_before;
use super::hunt::{How, Hunt, Stage};
use super::inbound::caller_variables;
use super::line::{Leg, next_leg};
use super::outgoing::Progress;
use super::party::Party;
use super::places::Permit;
use super::ringing::{Over, PickedUp, Ringing};
use super::services::{AgentSpec, Services};
use super::spans;
use crate::clock::Epoch;
use crate::net::media::{Command, LegId, MediaError, Part, RoomId};
use crate::net::sip::{Held, IncomingCall};
use crate::store::{Bridge, CallRecord};
use crate::switch::{EndReason, Number};
use crate::switchboard::own_host;

/// How long a stage may ring that does not say it.
const RING: Duration = Duration::from_secs(60);

/// A call that may be bridged.
pub(super) struct Passage {
    /// Who is called, in turn.
    pub(super) stages: Vec<Stage>,
    /// Hops that the call may still take.
    pub(super) max_forwards: u8,
    /// What the record says of who is called.
    pub(super) bridge: Bridge,
    /// The agent that takes it where nobody else does.
    pub(super) then: Option<Arc<AgentSpec>>,
    pub(super) permit: Permit,
}

/// Bridges a call until it is over.
pub(super) async fn serve(
    services: Arc<Services>,
    incoming: (IncomingCall, Held),
    passage: Passage,
    (mut record, epoch): (CallRecord, Epoch),
) {
    let Passage {
        stages,
        max_forwards,
        bridge,
        then,
        mut permit,
    } = passage;
    record.bridge = Some(bridge);
    spans::name_bridge(record.id);
    let callees = stages.iter().flat_map(|stage| &stage.callees);
    let trunks = callees.filter_map(|called| called.whose.trunk.clone());
    let trunks: Vec<String> = trunks.collect();
    let invite = &incoming.0.invite;
    let who = Who::calls(&services, invite);
    // What an agent is told, where one comes last.
    let last = then.map(|agent| Last::of(&services, agent, invite));
    let id = record.id;
    let ringing = Ringing::begin(Arc::clone(&services), incoming, (record, trunks), epoch);
    let Some(ringing) = ringing.await else {
        return;
    };
    let how = How {
        codec: ringing.codec(),
        max_forwards,
        ring: RING,
        ring_most: Duration::MAX,
        headers: Vec::new(),
    };
    let caller = next_leg();
    let hunt = Hunt::new(Arc::clone(&services), stages, how, caller);
    let room = RoomId::next();
    let mut meeting = Meeting {
        room,
        caller,
        met: None,
        plays: last.is_none(),
    };
    match (meeting.ring_out(ringing, hunt).await, last) {
        (Came::Together(answered, called), _) => {
            permit.keep_pairs(2);
            let who = Who {
                _trunk: permit.take_trunk(),
                ..who
            };
            // Apart, so that what rings holds none of it.
            Box::pin(Pair::new(*answered, who, *called, &meeting).serve()).await;
            drop(permit);
        }
        (Came::Nobody(ringing, failure), Some(last)) => {
            tracing::info!(%failure, "nobody took the call: an agent does");
            let Last {
                agent,
                told,
                shown,
                called,
            } = last;
            services.note_shown(id, shown);
            services.note_called(id, called);
            let connected = Box::pin(ringing.leave_to(agent, told, permit)).await;
            if let Some(connected) = connected {
                connected.talk().await;
            }
        }
        (Came::Nobody(ringing, failure), None) => fail(*ringing, &failure).await,
        (Came::Over, _) => {}
    }
}

/// Lets the other side of an agent's call, which was answered long ago, talk with whoever has taken
/// the call over, until it is over.
pub(super) async fn go_on(answered: PickedUp, caller: Who, taker: Option<Given>) {
    let Some(mut taker) = taker else {
        let reason = EndReason::Failed("whoever took the call is gone".to_owned());
        answered.party.hang_up().await;
        return answered.end(Over::because(reason)).await;
    };
    let meeting = Meeting {
        room: RoomId::next(),
        caller: answered.party.leg.id,
        met: None,
        plays: true,
    };
    // Theirs for as long as somebody has their place.
    let pairs = taker.pairs.take();
    if let Some((answered, taker)) = meeting.bring_together(answered, taker).await {
        let pair = Pair::new(answered, caller, taker, &meeting);
        pair.look_at_recording(Side::Called);
        pair.serve().await;
    }
    drop(pairs);
}

/// The agent that takes a call which nobody else has, and what it is told of who calls.
struct Last {
    agent: Arc<AgentSpec>,
    told: Vec<(String, Value)>,
    shown: String,
    called: Vec<Number>,
}

impl Last {
    fn of(services: &Services, agent: Arc<AgentSpec>, invite: &Incoming) -> Self {
        let over_trunk = matches!(invite.source, Source::Trunk(_));
        Self {
            agent,
            told: caller_variables(services, invite),
            shown: shown_to_user(invite, &own_host(services)),
            called: match over_trunk {
                true => called_before(invite),
                false => Vec::new(),
            },
        }
    }
}

/// What came of ringing.
enum Came {
    /// Somebody has answered, and so have we.
    Together(Box<PickedUp>, Box<Given>),
    /// Nobody has, and the caller waits.
    Nobody(Box<Ringing>, DialFailure),
    /// The call is over, and that is written down.
    Over,
}

/// Where the two are to hear each other.
struct Meeting {
    room: RoomId,
    caller: LegId,
    /// Whom the caller hears before the answer: both are in the room.
    met: Option<LegId>,
    /// Whether the caller hears what is played before the answer. An agent that comes last hears
    /// what is said on a leg that opens with its own answer.
    plays: bool,
}

impl Meeting {
    /// Rings at the called party until it answers, and answers the caller then.
    async fn ring_out(&mut self, mut ringing: Ringing, mut hunt: Hunt) -> Came {
        let mut progress = hunt.place().await;
        loop {
            match progress {
                Some(Progress::Rings(status)) => ringing.rings(status).await,
                Some(Progress::Early) if !self.plays => ringing.rings(180).await,
                Some(Progress::Early) => self.let_hear_early(&mut ringing, &hunt).await,
                Some(Progress::Answered(called)) => {
                    let picked_up = self.pick_up(ringing, *called, hunt).await;
                    return picked_up.map_or(Came::Over, |(answered, called)| {
                        Came::Together(Box::new(answered), Box::new(called))
                    });
                }
                Some(Progress::Failed(failure)) => {
                    return Came::Nobody(Box::new(ringing), failure);
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
            return Came::Over;
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

    async fn pick_up(
        &self,
        mut ringing: Ringing,
        called: Party,
        hunt: Hunt,
    ) -> Option<(PickedUp, Given)> {
        let whose = hunt.answered_by();
        let to = ringing.called();
        ringing.answered_by(whose.clone());
        let services = Arc::clone(&ringing.services);
        // Where the caller was faster, the called party is hung up as it is dropped.
        let answered = ringing.answer(self.caller).await?;
        let who = Who::called(&services, whose, &to, hunt.into_trunk_place());
        let called = Given {
            party: called,
            who,
            pairs: None,
        };
        self.bring_together(answered, called).await
    }

    /// Lets the two hear each other; where that cannot be the call is over, and written down.
    async fn bring_together(
        &self,
        answered: PickedUp,
        mut called: Given,
    ) -> Option<(PickedUp, Given)> {
        if let Err(error) = self.meet(&answered.party.leg, &called.party.leg) {
            let reason = EndReason::Failed(error.to_string());
            called.party.hang_up().await;
            answered.party.hang_up().await;
            let over = Over {
                far: called.party.measured().await,
                ..Over::because(reason)
            };
            answered.end(over).await;
            return None;
        }
        Some((answered, called))
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
