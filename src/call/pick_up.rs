//! A call that takes the place of a party of another one (RFC 3891): of a phone that wants another's
//! call, or of somebody whom that was given to at another switch.

use std::sync::Arc;

use offhook_sip::{CallHandle, Source};

use super::bridge::may_transfer;
use super::busy::Busy;
use super::dialogs::{Given, Who};
use super::inbound::{agree, codecs_of, refuse, wait_for_answer};
use super::line::{Attached, Leg};
use super::party::Party;
use super::services::Services;
use crate::net::media::LegId;
use crate::net::sip::{Held, IncomingCall};
use crate::switch::Way;

/// Why a call does not take the place of another's party.
struct Refusal(u16, String);

impl Refusal {
    fn new(status: u16, why: impl ToString) -> Self {
        Self(status, why.to_string())
    }
}

/// Puts whoever calls in the place of a call's party; who talked with that one talks on with them.
pub(super) async fn serve(
    services: Arc<Services>,
    (mut incoming, held): (IncomingCall, Held),
    replaced: CallHandle,
) {
    let mut held = Some(held);
    let taken = pick_up(&services, (&mut incoming, &mut held), replaced).await;
    if let Err(Refusal(status, why)) = taken {
        refuse(&services, incoming.call, status, &why).await;
    }
}

async fn pick_up(
    services: &Arc<Services>,
    (incoming, held): (&mut IncomingCall, &mut Option<Held>),
    replaced: CallHandle,
) -> Result<(), Refusal> {
    if !may_transfer(services, &incoming.invite.source) {
        let why = "the trunk may not take calls over: `transfers` allows it";
        return Err(Refusal::new(403, why));
    }
    let dialogs = &services.dialogs;
    dialogs.known(replaced).await;
    let other = dialogs.other_leg(replaced);
    // An agent's call, a room's, or one that rings (§3).
    let other =
        other.ok_or_else(|| Refusal::new(603, "nobody talks there who could be replaced"))?;
    let places = &services.places;
    // Until the one whose place it takes has given its own back.
    let busy = |busy: Busy| Refusal::new(503, busy);
    let pairs = places.take_pairs(1).map_err(busy)?;
    let trunk = match &incoming.invite.source {
        Source::Trunk(name) => Some(services.trunk_loads.take(name, Way::In).map_err(busy)?),
        Source::User(_) | Source::Local => None,
    };
    let Some((leg, call)) = answer(services, incoming, other).await? else {
        return Ok(());
    };
    let (sip, Some(held)) = (services.line.sip().clone(), held.take()) else {
        return Ok(());
    };
    let (_, nothing) = crate::mailbox::mailbox(1);
    let signals = std::mem::replace(&mut incoming.signals, nothing);
    let party = Party::new(sip, (call, held), incoming.invite.flow, signals, leg);
    let given = Given {
        party,
        who: Who {
            _trunk: trunk,
            ..Who::calls(services, &incoming.invite)
        },
        pairs: Some(pairs),
    };
    if !dialogs.replace(replaced, given) {
        tracing::info!("a call was over before another one could take a party's place in it");
    }
    Ok(())
}

/// Answers, and starts the media beside a leg; nothing where the caller was faster.
async fn answer(
    services: &Arc<Services>,
    incoming: &mut IncomingCall,
    beside: LegId,
) -> Result<Option<(Leg, CallHandle)>, Refusal> {
    let (invite, call) = (&incoming.invite, incoming.call);
    let codecs = codecs_of(services, &invite.source);
    let agreed = agree(services, invite, &codecs);
    let (half, negotiated) = agreed.map_err(|error| Refusal::new(error.status(), error))?;
    let sip = services.line.sip();
    if !matches!(sip.answer(call, half.sdp()).await, Ok(true)) {
        return Ok(None);
    }
    // From here on it is answered, and hung up where nothing comes of it.
    let negotiated = match negotiated {
        Some(negotiated) => Ok(negotiated),
        None => wait_for_answer(&half, &mut incoming.signals).await,
    };
    let opened = negotiated.and_then(|negotiated| {
        let attached = Attached {
            leaves_tones: true,
            ..Attached::default()
        };
        let (line, remote) = (&services.line, invite.flow.remote.ip());
        let leg = line.next_leg_beside(beside);
        let opened = line.open(leg, half, negotiated, remote, attached);
        opened.map_err(|error| error.to_string())
    });
    match opened {
        Ok(leg) => Ok(Some((leg, call))),
        Err(why) => {
            tracing::info!(%why, "a call that was to take a party's place is hung up");
            let _ = sip.hang_up(call, None).await;
            Ok(None)
        }
    }
}
