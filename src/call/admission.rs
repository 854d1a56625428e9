//! Whether a call is taken, and by whom: the route decides, then what there is room for.

use std::sync::Arc;

use offhook_sip::{Incoming, Source};

use super::bridge::Passage;
use super::caller::{routed_as, shown_on_trunk, shown_to_user};
use super::conference::Guest;
use super::inbound::called_party;
use super::outbound::Callee;
use super::room;
use super::services::{AgentSpec, Busy, Place, Services};
use crate::ai::OnBox;
use crate::clock;
use crate::config::RouteTarget;
use crate::store::Bridge;
use crate::switch::{Dial, Number, Routed, Target};
use crate::switchboard::own_host;

/// Hops that a call may take which says nothing of them (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: u8 = 70;

/// Says why a call is not taken.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: String,
}

impl Refusal {
    fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }
}

impl From<Busy> for Refusal {
    fn from(busy: Busy) -> Self {
        let status = match busy {
            Busy::Stopping => 480,
            _ => 503,
        };
        Self::new(status, busy.to_string())
    }
}

/// Who takes a call.
pub(super) enum Admitted {
    Agent(AgentsCall),
    Room(Guest),
    Bridge(Box<Passage>),
}

pub(super) struct AgentsCall {
    pub(super) agent: Arc<AgentSpec>,
    pub(super) place: Place,
    pub(super) on_box: Arc<OnBox>,
}

/// Decides about a call.
pub(super) fn admit(services: &Services, invite: &Incoming) -> Result<Admitted, Refusal> {
    let called = called_party(invite);
    let caller = routed_as(invite);
    let trunk = match &invite.source {
        Source::Trunk(name) => Some(name.as_str()),
        Source::User(_) | Source::Local => None,
    };
    let Some(routed) = services.routes.route(&called, &caller, trunk) else {
        // Numbers are not logged above DEBUG.
        tracing::debug!(%called, "no route and no agent");
        return Err(Refusal::new(404, "no route and no agent for who is called"));
    };
    match &routed.target {
        RouteTarget::Agent(name) => admit_to_agent(services, name),
        RouteTarget::Room(name) => admit_to_room(services, name),
        RouteTarget::Trunk(name) => admit_to_trunk(services, invite, &routed, name, &called),
        RouteTarget::User(name) => admit_to_user(services, invite, &routed, name),
    }
}

fn admit_to_agent(services: &Services, name: &str) -> Result<Admitted, Refusal> {
    let Some(agent) = services.agents.get(name) else {
        let reason = format!("the route names an agent that is not there: {name:?}");
        return Err(Refusal::new(404, reason));
    };
    let (place, on_box) = services.take_place(&agent.config)?;
    Ok(Admitted::Agent(AgentsCall {
        agent: Arc::clone(agent),
        place,
        on_box,
    }))
}

fn admit_to_room(services: &Services, name: &str) -> Result<Admitted, Refusal> {
    let (room, rooms) = (services.config.room(name), &services.rooms);
    let permit = services.take_plain_place(1)?;
    let full = || Refusal::new(486, format!("room {name:?} is full"));
    let leg = room::next_leg(&services.line, name);
    let seat = match &room.pin {
        None => Some(rooms.seat(name, room.max_parties, leg).ok_or_else(full)?),
        // Who has yet to press it takes nobody's place.
        Some(_) if rooms.is_full(name, room.max_parties) => return Err(full()),
        Some(_) if rooms.is_locked(clock::now(), name) => {
            let reason = format!("too many PINs of room {name:?} were wrong lately");
            return Err(Refusal::new(480, reason));
        }
        Some(_) => None,
    };
    Ok(Admitted::Room(Guest {
        room,
        leg,
        seat,
        permit,
    }))
}

/// Lets a call out over a trunk, to the number that was routed. Who calls in over a trunk pays nothing
/// for that, and shows whatever number it likes: it may only by a route of its trunk.
fn admit_to_trunk(
    services: &Services,
    invite: &Incoming,
    routed: &Routed,
    trunk: &str,
    called: &str,
) -> Result<Admitted, Refusal> {
    let Some(number) = Number::parse(called) else {
        return Err(Refusal::new(404, "no number: a trunk takes no other"));
    };
    let mut shown = None;
    if let Source::Trunk(from) = &invite.source {
        if from == trunk {
            let reason = "it came from the trunk that its route leads to";
            return Err(Refusal::new(482, reason));
        }
        if !routed.names_trunk {
            let reason = "a trunk's call goes out over another only by a route with `from_trunk`";
            return Err(Refusal::new(403, reason));
        }
        shown = Some(shown_on_trunk(invite));
    }
    let dial = Dial {
        to: Target::Number(number),
        trunk: Some(trunk.to_owned()),
        from: shown,
    };
    let dialled = services.trunks.dial(&dial, &own_host(services));
    let dialled = dialled.map_err(|error| Refusal::new(503, error.to_string()))?;
    let bridge = Bridge {
        to: called.to_owned(),
        trunk: Some(trunk.to_owned()),
        user: None,
        media: None,
    };
    passage(
        services,
        invite,
        routed,
        (Callee::Dialled(dialled), None),
        bridge,
    )
}

fn admit_to_user(
    services: &Services,
    invite: &Incoming,
    routed: &Routed,
    user: &str,
) -> Result<Admitted, Refusal> {
    let phone = services.phones_of(user);
    let phone = phone.ok_or_else(|| Refusal::new(480, format!("no phone of {user:?} is there")))?;
    let bridge = Bridge {
        to: user.to_owned(),
        trunk: None,
        user: Some(user.to_owned()),
        media: None,
    };
    let from = shown_to_user(invite, &own_host(services));
    passage(services, invite, routed, (phone, Some(from)), bridge)
}

fn passage(
    services: &Services,
    invite: &Incoming,
    routed: &Routed,
    (mut callee, from): (Callee, Option<String>),
    bridge: Bridge,
) -> Result<Admitted, Refusal> {
    let max_forwards = hops_left(invite)?;
    // A leg a side, and while it rings one for each place where it does.
    let permit = match services.take_plain_place(1 + callee.places()) {
        Err(Busy::NoPorts) => {
            callee.keep_best();
            services.take_plain_place(2)?
        }
        taken => taken?,
    };
    Ok(Admitted::Bridge(Box::new(Passage {
        callee,
        from,
        max_forwards,
        bridge,
        ring: routed.ring,
        permit,
    })))
}

/// The hops that a call may still take beyond us (RFC 3261 §16.6 step 3): a loop over others, who
/// take our Via off, ends so too.
fn hops_left(invite: &Incoming) -> Result<u8, Refusal> {
    let mut headers = invite.headers.iter();
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("Max-Forwards"));
    let left = found.map(|(_, value)| value.trim().parse::<u8>().unwrap_or(MAX_FORWARDS));
    let left = left.unwrap_or(MAX_FORWARDS).min(MAX_FORWARDS);
    let too_many = || Refusal::new(483, "it has taken too many hops");
    left.checked_sub(1).ok_or_else(too_many)
}
