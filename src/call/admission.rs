//! Whether a call is taken, and by whom: the route decides, then what there is room for.

use std::sync::Arc;

use offhook_sip::{Incoming, Source};

use super::bridge::Passage;
use super::busy::Busy;
use super::called::{called_party, plan_of};
use super::caller::{is_private, routed_as, shown_on_trunk, shown_to_user};
use super::conference::Guest;
use super::diversion::called_before;
use super::headers::passed_on;
use super::hunt::{Called, MAX_FORWARDS, Stage};
use super::outbound::{Whose, sent_over};
use super::room;
use super::services::{AgentSpec, Place, Services};
use crate::ai::OnBox;
use crate::clock;
use crate::config::{Asked, Hunt, Rejection, RouteTarget, WeightedTrunk};
use crate::store::Bridge;
use crate::switch::{Dial, Number, Routed, Target, Way, Why};
use crate::switchboard::own_host;

/// Says why a call is not taken.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: String,
    /// What telephone networks are told (ITU-T Q.850).
    pub(super) cause: Option<u8>,
    /// When it may be tried again, in s, where that is known.
    pub(super) retry_after_s: Option<u32>,
}

impl Refusal {
    fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            cause: None,
            retry_after_s: None,
        }
    }

    fn because(rejection: Rejection) -> Self {
        let reason = format!("its route rejects it: {}", rejection.as_str());
        Self {
            cause: Some(rejection.q850()),
            ..Self::new(rejection.status(), reason)
        }
    }
}

impl From<Busy> for Refusal {
    fn from(busy: Busy) -> Self {
        let status = match busy {
            Busy::Stopping => 480,
            _ => 503,
        };
        Self {
            retry_after_s: busy.retry_after_s(),
            ..Self::new(status, busy.to_string())
        }
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
    // What a trunk asserts is written as it writes numbers.
    let caller = plan_of(services, &invite.source).read(&routed_as(invite));
    let trunk = came_over(invite).map(|(trunk, _)| trunk);
    let asked = Asked {
        to: &called,
        from: &caller,
        trunk,
        headers: &invite.headers,
        at: services.epoch.timestamp(clock::now()),
    };
    let Some(routed) = services.routes.route(&asked) else {
        // Numbers are not logged above DEBUG.
        tracing::debug!(%called, "no route and no agent");
        return Err(Refusal::new(404, "no route and no agent for who is called"));
    };
    match &routed.target {
        RouteTarget::Agent(name) => admit_to_agent(services, invite, name),
        RouteTarget::Room(name) => admit_to_room(services, invite, name),
        RouteTarget::Trunks(_) | RouteTarget::Users { .. } => {
            admit_to_bridge(services, invite, &routed, &called)
        }
        RouteTarget::Reject(cause) => Err(Refusal::because(*cause)),
    }
}

/// The trunk that a call comes in over.
fn came_over(invite: &Incoming) -> Option<(&str, Way)> {
    match &invite.source {
        Source::Trunk(name) => Some((name.as_str(), Way::In)),
        Source::User(_) | Source::Local => None,
    }
}

fn admit_to_agent(services: &Services, invite: &Incoming, name: &str) -> Result<Admitted, Refusal> {
    let Some(agent) = services.agents.get(name) else {
        let reason = format!("the route names an agent that is not there: {name:?}");
        return Err(Refusal::new(404, reason));
    };
    let (place, on_box) = services.take_place(&agent.config, 1, came_over(invite))?;
    Ok(Admitted::Agent(AgentsCall {
        agent: Arc::clone(agent),
        place,
        on_box,
    }))
}

fn admit_to_room(services: &Services, invite: &Incoming, name: &str) -> Result<Admitted, Refusal> {
    let (room, rooms) = (services.config.room(name), &services.rooms);
    let permit = services.take_plain_place(1, came_over(invite))?;
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

/// Lets a call ring at those to whom its route leads, one after the other, and gives it to the agent
/// that comes last, at once where nobody else can be called.
fn admit_to_bridge(
    services: &Services,
    invite: &Incoming,
    routed: &Routed,
    called: &str,
) -> Result<Admitted, Refusal> {
    let (mut all, mut agent, mut refused) = (Vec::new(), None, None);
    for (step, target) in routed.targets().enumerate() {
        let stages = match target.whom {
            RouteTarget::Users { names, hunt } => at_users(services, invite, (names, *hunt)),
            RouteTarget::Trunks(trunks) => {
                over_trunks(services, invite, (routed, trunks), (called, target.to))
            }
            RouteTarget::Agent(name) => {
                agent = Some(name);
                break;
            }
            RouteTarget::Room(_) | RouteTarget::Reject(_) => break,
        };
        match stages {
            Ok(stages) => all.extend(Stage::of_step(stages, step, target.ring)),
            // Who may not call there finds out so.
            Err(refusal) if step == 0 && refusal.status != 480 => return Err(refusal),
            Err(refusal) => {
                refused.get_or_insert(refusal);
            }
        }
    }
    match (refused.filter(|_| all.is_empty()), agent) {
        (Some(_), Some(agent)) => admit_to_agent(services, invite, agent),
        (Some(refusal), None) => Err(refusal),
        (None, agent) => {
            let to = match &routed.target {
                RouteTarget::Users { names, .. } if names.len() == 1 => names.join(""),
                _ => called.to_owned(),
            };
            let agent = agent.and_then(|name| services.agents.get(name)).cloned();
            passage(services, invite, all, (to, agent))
        }
    }
}

/// Lets a call out over trunks, to the number that was routed or that its route names: those that
/// can be reached first. Who calls in over a trunk pays nothing for that, and shows whatever number it
/// likes: it may only by a route of its trunk, and back over that one only to a number that the route
/// names.
fn over_trunks(
    services: &Services,
    invite: &Incoming,
    (routed, trunks): (&Routed, &[WeightedTrunk]),
    (called, named): (&str, Option<&str>),
) -> Result<Vec<Stage>, Refusal> {
    let Some(number) = Number::parse(named.unwrap_or(called)) else {
        return Err(Refusal::new(404, "no number: a trunk takes no other"));
    };
    let mut order = services.trunk_states.order_of(trunks);
    let (mut shown, mut before) = (None, None);
    if let Source::Trunk(from) = &invite.source {
        order.retain(|trunk| trunk != from || named.is_some());
        if order.is_empty() {
            let reason = "it came from the trunk that its route leads to";
            return Err(Refusal::new(482, reason));
        }
        if !routed.names_trunk {
            let reason = "a trunk's call goes out over another only by a route with `from_trunk`";
            return Err(Refusal::new(403, reason));
        }
        shown = Some(shown_on_trunk(invite));
        before = Some(called_before(invite));
    } else if is_private(invite) {
        shown = Some(shown_on_trunk(invite));
    }
    let why = match named {
        Some(_) => Why::NoAnswer,
        None => Why::Unconditional,
    };
    order.sort_by_key(|trunk| services.trunk_is_down(trunk));
    let own_host = own_host(services);
    let stage = |trunk: &str| {
        let dial = Dial {
            to: Target::Number(number.clone()),
            trunk: Some(trunk.to_owned()),
            from: shown.clone(),
        };
        let dialled = services.trunks.dial(&dial, &own_host);
        let dialled = dialled.map_err(|error| Refusal::new(503, error.to_string()))?;
        let diversion = before
            .as_ref()
            .and_then(|called| services.diversion(&dialled, called, why));
        let mut stage = Stage::over(dialled);
        let config = services.config.trunk(trunk);
        let wanted = config.map(|trunk| &trunk.pass_headers[..]);
        for called in &mut stage.callees {
            let passed = passed_on(invite, wanted.unwrap_or_default());
            called.headers = sent_over(config, passed);
            called.headers.extend(diversion.clone());
        }
        Ok(stage)
    };
    order.into_iter().map(stage).collect()
}

/// The phones of users, all at once or of one user after the other; who has none there is left out.
fn at_users(
    services: &Services,
    invite: &Incoming,
    (users, hunt): (&[String], Hunt),
) -> Result<Vec<Stage>, Refusal> {
    let from = shown_to_user(invite, &own_host(services));
    let phones = |user: &String| {
        let callee = services.phones_of(user)?;
        Some(Called::new(callee, user, Some(from.clone())))
    };
    let there: Vec<Called> = users.iter().filter_map(phones).collect();
    if there.is_empty() {
        let users = users.join(", ");
        return Err(Refusal::new(480, format!("no phone of {users} is there")));
    }
    Ok(Stage::of_users(there, hunt))
}

fn passage(
    services: &Services,
    invite: &Incoming,
    mut stages: Vec<Stage>,
    (to, then): (String, Option<Arc<AgentSpec>>),
) -> Result<Admitted, Refusal> {
    let max_forwards = hops_left(invite)?;
    let most = stages.iter().map(Stage::places).max().unwrap_or(1);
    // A leg a side, and while it rings one for each place where it does.
    let permit = match services.take_plain_place(1 + most, came_over(invite)) {
        Err(Busy::NoPorts) => {
            stages.iter_mut().for_each(Stage::keep_best);
            services.take_plain_place(2, came_over(invite))?
        }
        taken => taken?,
    };
    let first = stages.first().and_then(|stage| stage.callees.first());
    let Whose { trunk, user } = first.map(|called| called.whose.clone()).unwrap_or_default();
    Ok(Admitted::Bridge(Box::new(Passage {
        stages,
        max_forwards,
        bridge: Bridge {
            to,
            trunk,
            user,
            media: None,
        },
        then,
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
