//! A call that rings here: from its INVITE to its record.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use offhook_media::{Negotiated, SrtpPolicy};
use offhook_sip::{CallHandle, Incoming, Source};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;
use uuid::Uuid;

use super::admission::{Admitted, AgentsCall, Refusal, admit};
use super::bridge::{self, Passage};
use super::codecs::Codecs;
use super::conference::{self, Guest};
use super::journal::Journal;
use super::line::{Half, LineError};
use super::services::{Place, Services};
use super::spans;
use super::talk::{Answering, Talk, end_reason_of};
use super::task::Control;
use crate::clock::{self, Epoch};
use crate::crm::identity::is_withheld;
use crate::mailbox;
use crate::meters;
use crate::net::sip::{IncomingCall, Signal, Sip};
use crate::store::{CallRecord, CallState, Direction};
use crate::switch::{Call, EndReason, Number, normalised};

/// How long an answer without SDP waits for the ACK that must bring it.
const ACK_TIMEOUT: Duration = Duration::from_secs(32);

/// Takes a call: refuses it with the status that says why, or gives it to its agent.
pub async fn take(services: Arc<Services>, incoming: Box<IncomingCall>) {
    let span = spans::call("inbound");
    admit_or_refuse(services, incoming).instrument(span).await;
}

async fn admit_or_refuse(services: Arc<Services>, incoming: Box<IncomingCall>) {
    let call = incoming.call;
    let _held = services.line.sip().hold(call);
    match admit(&services, &incoming.invite) {
        Ok(Admitted::Agent(admitted)) => serve(services, incoming, admitted).await,
        // Apart, so that an agent's call holds none of it.
        Ok(Admitted::Room(guest)) => Box::pin(join(services, incoming, guest)).await,
        Ok(Admitted::Bridge(passage)) => Box::pin(bridge(services, incoming, *passage)).await,
        Err(Refusal { status, reason }) => refuse(&services, call, status, &reason).await,
    }
}

/// Refuses a call, and says when to try again where that may help.
pub(super) async fn refuse(services: &Services, call: CallHandle, status: u16, reason: &str) {
    meters::call_refused(status);
    tracing::info!(status, %reason, "a call was refused");
    let retry = services.config.limits.retry_after_s.to_string();
    let passes = status == 503 || services.is_stopping();
    let retry = passes.then(|| ("Retry-After".to_owned(), retry));
    let headers = retry.into_iter().collect();
    let _ = services.line.sip().reject(call, status, headers).await;
}

/// Joins a call to a conference room.
async fn join(services: Arc<Services>, incoming: Box<IncomingCall>, guest: Guest) {
    let epoch = Epoch::take();
    let record = new_record(&incoming.invite, epoch.timestamp(clock::now()));
    conference::serve(services, *incoming, guest, record, epoch).await;
}

/// Bridges a call to another party.
async fn bridge(services: Arc<Services>, incoming: Box<IncomingCall>, passage: Passage) {
    let epoch = Epoch::take();
    let record = new_record(&incoming.invite, epoch.timestamp(clock::now()));
    bridge::serve(services, *incoming, passage, record, epoch).await;
}

/// The called number, without its punctuation, or name: the Request-URI's, which proxies rewrite,
/// not the To's.
pub(super) fn called_party(invite: &Incoming) -> String {
    let parsed = offhook_sip::uri::Uri::parse(&invite.request_uri);
    parsed
        .map(|uri| normalised(&uri.user_text()))
        .unwrap_or_default()
}

/// The codecs that the configuration allows to a source.
pub(super) fn codecs_of(services: &Services, source: &Source) -> Codecs {
    let mut trunks = services.config.trunks.iter();
    let trunk = match source {
        Source::Trunk(name) => trunks.find(|trunk| trunk.name == *name),
        _ => None,
    };
    Codecs::configured(&services.config, trunk)
}

/// Whether the caller's media is encrypted.
fn srtp(services: &Services, source: &Source) -> SrtpPolicy {
    match source {
        Source::Trunk(name) => services.config.trunk_srtp(name),
        Source::User(name) => services.config.user_srtp(name),
        Source::Local => services.config.media.srtp,
    }
}

/// A call that was answered, and has yet to be talked on.
struct Answered {
    talk: Talk,
    state: Call,
    call: CallHandle,
    signals: mailbox::Receiver<Signal>,
    half: Half,
    negotiated: Negotiated,
    remote: IpAddr,
    permit: OwnedSemaphorePermit,
}

/// The two halves of a call have each a place of their own in memory, since the first is over when
/// the second, which lasts, begins.
async fn serve(services: Arc<Services>, incoming: Box<IncomingCall>, admitted: AgentsCall) {
    let sip = services.line.sip().clone();
    let answering: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(answer(services, incoming, admitted));
    if let Some(answered) = answering.await {
        answered.talk(sip).await;
    }
}

impl Answered {
    /// Talks until the call is over; all that it takes along is in the future's own memory.
    fn talk(self: Box<Self>, sip: Sip) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let Self {
            mut talk,
            state,
            call,
            signals,
            half,
            negotiated,
            remote,
            permit,
        } = *self;
        match talk.open(half, negotiated, remote) {
            Ok(leg) => {
                let talking = talk.run(state, call, signals, leg);
                Box::pin(async move {
                    talking.await;
                    drop(permit);
                })
            }
            Err(error) => Box::pin(async move {
                let _ = sip.hang_up(call, None).await;
                talk.never_answered(state, EndReason::Failed(error.to_string()))
                    .await;
                drop(permit);
            }),
        }
    }
}

/// Rings and answers; none when the call did not come about, and was written down as that.
async fn answer(
    services: Arc<Services>,
    incoming: Box<IncomingCall>,
    admitted: AgentsCall,
) -> Option<Box<Answered>> {
    let now = clock::now();
    let invite = &incoming.invite;
    let epoch = Epoch::take();
    let started_at = epoch.timestamp(now);
    let mut record = new_record(invite, started_at);
    record.agent = Some(admitted.agent.config.name.clone());
    let id = record.id;
    spans::name(id, &admitted.agent.config.name);
    let sip = services.line.sip().clone();
    let codecs = codecs_of(&services, &invite.source);
    let (half, negotiated) = match agree(&services, invite, &codecs) {
        Ok(agreed) => agreed,
        Err(error) => {
            refuse(&services, incoming.call, error.status(), &error.to_string()).await;
            return None;
        }
    };
    if let Err(error) = services.store.insert_call(record.clone()).await {
        tracing::error!(%error, "a call's record was not kept: it is refused");
        drop(half);
        refuse(&services, incoming.call, 503, "its record was not kept").await;
        return None;
    }
    let live = services.go_live(id, record.trunk.as_deref());
    let journal = Journal::start(&services, record.clone());
    journal.event(
        "call.ringing",
        started_at,
        json!({ "from": record.from, "to": record.to }),
    );
    let _ = sip.ring(incoming.call, 180, None).await;
    let Place {
        permit,
        leg,
        listening,
    } = admitted.place;
    let answering = Answering {
        services: Arc::clone(&services),
        agent: admitted.agent,
        on_box: admitted.on_box,
        leg,
        listening,
        record,
        journal,
        epoch,
        live,
        rate_hz: negotiated
            .as_ref()
            .map_or(codecs.likely_rate_hz(), Negotiated::rate_hz),
    };
    let mut talk = answering.prepare(caller_variables(invite)).await;
    let IncomingCall {
        call,
        invite,
        mut signals,
    } = *incoming;
    let call_state = Call::inbound(now);
    // The caller may have hung up while the CRM was asked.
    if let Some(Signal::Ended { .. }) = signals.try_recv() {
        drop(half);
        talk.never_answered(call_state, EndReason::Cancelled).await;
        return None;
    }
    // … or somebody has ended the call, or the switch.
    if let Some(reason) = talk.called_off() {
        drop(half);
        let _ = sip.hang_up(call, None).await;
        talk.never_answered(call_state, reason).await;
        return None;
    }
    // … or hung up since: a CANCEL that overtook the answer leaves the call unanswered.
    if !matches!(sip.answer(call, half.sdp()).await, Ok(true)) {
        drop(half);
        talk.never_answered(call_state, EndReason::Cancelled).await;
        return None;
    }
    let (negotiated, half) = match negotiated {
        Some(negotiated) => (negotiated, half),
        None => match late_answer(&half, &mut signals, talk.controls()).await {
            Ok(negotiated) => (negotiated, half),
            Err(reason) => {
                let _ = sip.hang_up(call, None).await;
                drop(half);
                talk.never_answered(call_state, reason).await;
                return None;
            }
        },
    };
    Some(Box::new(Answered {
        talk,
        state: call_state,
        call,
        signals,
        half,
        negotiated,
        remote: invite.flow.remote.ip(),
        permit,
    }))
}

/// Answers the offer, or makes our own when there is none (RFC 3261 §13.2.1).
pub(super) fn agree(
    services: &Services,
    invite: &Incoming,
    codecs: &Codecs,
) -> Result<(Half, Option<Negotiated>), LineError> {
    let srtp = srtp(services, &invite.source);
    match invite.offer.as_deref().filter(|offer| !offer.is_empty()) {
        Some(offer) => {
            let (half, negotiated) = services.line.answer(&invite.flow, codecs, srtp, offer)?;
            Ok((half, Some(negotiated)))
        }
        None => Ok((services.line.offer(&invite.flow, codecs, srtp)?, None)),
    }
}

/// Waits for the ACK that answers our offer, unless somebody asks for the call's end.
pub(super) async fn late_answer(
    half: &Half,
    signals: &mut mailbox::Receiver<Signal>,
    controls: &mut mailbox::Receiver<Control>,
) -> Result<Negotiated, EndReason> {
    tokio::select! {
        agreed = wait_for_answer(half, signals) => agreed.map_err(EndReason::Lost),
        control = controls.recv() => Err(end_reason_of(control)),
    }
}

async fn wait_for_answer(
    half: &Half,
    signals: &mut mailbox::Receiver<Signal>,
) -> Result<Negotiated, String> {
    let wait = async {
        while let Some(signal) = signals.recv().await {
            match signal {
                Signal::Confirmed { body: Some(answer) } => {
                    return half.read_answer(&answer).map_err(|error| error.to_string());
                }
                Signal::Confirmed { body: None } => {
                    return Err("the ACK brought no answer to our offer".to_owned());
                }
                Signal::Ended { .. } => return Err("the caller hung up".to_owned()),
                _ => {}
            }
        }
        Err("the SIP endpoint has ended".to_owned())
    };
    let timed = tokio::time::timeout(ACK_TIMEOUT, wait).await;
    timed.unwrap_or_else(|_| Err("the answer was never acknowledged".to_owned()))
}

fn new_record(invite: &Incoming, started_at: Timestamp) -> CallRecord {
    let mut record = CallRecord::new(
        Uuid::now_v7(),
        Direction::Inbound,
        party(&invite.from.user, &invite.from.uri),
        party(&called_party(invite), &invite.to.uri),
        CallState::Ringing,
        started_at,
    );
    record.trunk = match &invite.source {
        Source::Trunk(name) => Some(name.clone()),
        _ => None,
    };
    record
}

/// A number stands for itself; a name needs its host.
#[must_use]
pub fn party(user: &str, uri: &str) -> String {
    let number = Number::parse(user);
    number.map_or_else(|| uri.to_owned(), |number| number.to_string())
}

/// What the INVITE itself says of the caller.
fn caller_variables(invite: &Incoming) -> Vec<(String, serde_json::Value)> {
    let mut variables = vec![("called".to_owned(), json!(called_party(invite)))];
    let caller = party(&invite.from.user, &invite.from.uri);
    let withheld = is_withheld(&caller);
    if !withheld {
        variables.push(("caller_phone".to_owned(), json!(caller)));
    }
    let display = invite.from.display.trim();
    if !display.is_empty() && !withheld {
        variables.push(("caller_display".to_owned(), json!(display)));
    }
    for (name, value) in &invite.headers {
        if name.eq_ignore_ascii_case("X-Twilio-CallSid") {
            variables.push(("twilio_call_sid".to_owned(), json!(value)));
        }
    }
    variables
}
