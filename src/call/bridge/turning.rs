//! Whoever was called hands the caller over to an agent: the two come apart, and the agent has the
//! caller's call, which was answered long ago.

use std::time::Duration;

use tokio::time::timeout;

use super::pair::Pair;
use super::replacing::dismiss;
use crate::call::admission::AgentsCall;
use crate::call::inbound::numbers_told;
use crate::call::ringing::{Over, PickedUp, Written, leave_to};
use crate::call::talk::{Answering, Connected};
use crate::call::{music, services::Place};
use crate::net::media::Command;
use crate::store::CallRecord;
use crate::switch::EndReason;

/// How long the call's record may take to be read.
const READS_WITHIN: Duration = Duration::from_secs(2);

/// An agent that a caller is handed over to.
pub(super) struct Turned {
    pub(super) agents: Box<AgentsCall>,
    /// As whoever was called has named it.
    pub(super) to: String,
}

impl Pair {
    /// Lets the caller go on with an agent; whoever was called hangs up, or is hung up.
    pub(super) async fn give_to_agent(mut self, turned: Turned) {
        self.found.forget();
        let Self {
            mut answered,
            called,
            who,
            held,
            ..
        } = self;
        let leg = answered.party.leg.id;
        answered.party.ask(Command::Leave(leg));
        dismiss(&answered.services, called, None);
        if held {
            // Who held them knows nothing of the agent.
            answered.party.hold(false).await;
        }
        // The agent may have to look up who that is.
        answered.party.ask(Command::Hold(leg, music::on_hold()));
        let record = match read(&answered).await {
            Ok(record) => record,
            Err(reason) => {
                answered.party.hang_up().await;
                return answered.end(Over::because(reason)).await;
            }
        };
        let connected = answering(answered, (record, turned), who.caller).await;
        if let Some(connected) = connected {
            connected.talk().await;
        }
    }
}

async fn read(answered: &PickedUp) -> Result<CallRecord, EndReason> {
    let id = answered.written.journal.id;
    let read = timeout(READS_WITHIN, answered.services.store.call(id)).await;
    let failed = |why: String| EndReason::Failed(format!("its record could not be read: {why}"));
    match read {
        Ok(Ok(Some(record))) => Ok(record),
        Ok(Ok(None)) => Err(failed("it is not there".to_owned())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("the database does not answer".to_owned())),
    }
}

/// Has the agent take the call; none when that is over meanwhile, which is written down.
async fn answering(
    answered: PickedUp,
    (mut record, turned): (CallRecord, Turned),
    caller: super::Who,
) -> Option<Box<Connected>> {
    let PickedUp {
        services,
        party,
        written,
        controls,
        ..
    } = answered;
    let Written {
        state,
        journal,
        epoch,
        live,
    } = written;
    // An earlier agent may have given the call away.
    live.forget_wishes();
    let AgentsCall {
        agent,
        place,
        on_box,
    } = *turned.agents;
    let Place {
        permit, listening, ..
    } = place;
    leave_to(&mut record, &journal, &agent);
    let told = numbers_told(&turned.to, record.remote());
    let flow = party.flow();
    let (call, held, signals, leg) = party.into_parts();
    let answering = Answering {
        agent,
        on_box,
        leg: leg.id,
        listening,
        record,
        journal,
        epoch,
        live: (live, controls),
        rate_hz: leg.rate_hz,
        goes_on: true,
        services: std::sync::Arc::clone(&services),
    };
    let mut talk = answering.prepare(told).await;
    if let Some(reason) = talk.called_off() {
        let _ = talk.sip().hang_up(call, None).await;
        talk.never_answered(state, reason).await;
        return None;
    }
    let _ = leg.give_to_agent(&services.line, talk.attached_to_running());
    let _ = leg.media.send(Command::Unhold(leg.id));
    let super::Who { source, _trunk, .. } = caller;
    Some(Box::new(Connected {
        talk,
        state,
        call,
        held: Some(held),
        signals,
        leg,
        flow,
        source,
        // The call has its place already, and its port pair.
        permit: permit.into_pairs(0).over(_trunk),
    }))
}
