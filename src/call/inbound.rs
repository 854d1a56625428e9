//! A call that rings here: from its INVITE to its record.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use offhook_media::{Negotiated, SrtpPolicy};
use offhook_sip::{CallHandle, Flow, Incoming, Source};
use serde_json::json;
use tracing::Instrument;
use uuid::Uuid;

use super::admission::{Admitted, AgentsCall, Refusal, admit};
use super::bridge;
use super::called::{called_party, plan_of, unify_numbers};
use super::caller::{asserted_identity, shown_to_user};
use super::codecs::Codecs;
use super::conference;
use super::diversion::called_before;
use super::headers;
use super::journal::Journal;
use super::line::{Half, LineError};
use super::pick_up;
use super::places::Permit;
use super::services::{Place, Services};
use super::spans;
use super::talk::{Answering, Connected, Talk, end_reason_of};
use super::task::Control;
use crate::clock::{self, Epoch};
use crate::config::comes_from_twilio;
use crate::crm::identity::is_withheld;
use crate::mailbox;
use crate::meters;
use crate::net::sip::{Held, IncomingCall, Signal};
use crate::store::{CallRecord, CallState, Direction};
use crate::switch::{Call, EndReason, Number};
use crate::switchboard::own_host;

/// How long an answer without SDP waits for the ACK that must bring it.
const ACK_TIMEOUT: Duration = Duration::from_secs(32);

/// Takes a call: refuses it with the status that says why, or gives it to its agent.
pub async fn take(services: Arc<Services>, incoming: Box<IncomingCall>) {
    let span = spans::call("inbound");
    admit_or_refuse(services, incoming).instrument(span).await;
}

async fn admit_or_refuse(services: Arc<Services>, mut incoming: Box<IncomingCall>) {
    let call = incoming.call;
    unify_numbers(&services, &mut incoming.invite);
    let held = services.line.sip().hold(call);
    if let Err(busy) = services.count_in() {
        return refuse_as(&services, call, &busy.into()).await;
    }
    if let Some(replaced) = incoming.invite.replaces {
        return Box::pin(pick_up::serve(services, (*incoming, held), replaced)).await;
    }
    let admitted = match admit(&services, &incoming.invite) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse_as(&services, call, &refusal).await,
    };
    let epoch = Epoch::take();
    let begun = (
        new_record(&incoming.invite, epoch.timestamp(clock::now())),
        epoch,
    );
    match admitted {
        Admitted::Agent(admitted) => serve(services, incoming, admitted, begun).await,
        // Apart, so that an agent's call holds none of it.
        Admitted::Room(guest) => {
            let incoming = (*incoming, held);
            Box::pin(conference::serve(services, incoming, guest, begun)).await;
        }
        Admitted::Bridge(passage) => {
            let incoming = (*incoming, held);
            Box::pin(bridge::serve(services, incoming, *passage, begun)).await;
        }
    }
}

/// Refuses a call, and says when to try again where that may help.
pub(super) async fn refuse(services: &Services, call: CallHandle, status: u16, reason: &str) {
    let passes = status == 503 || services.is_stopping();
    let retry = passes.then_some(services.config.limits.retry_after_s);
    reject(services, call, (status, reason), retry, None).await;
}

/// Refuses a call that came to nothing, and passes on what was said of why.
pub(super) async fn refuse_because(
    services: &Services,
    call: CallHandle,
    status: u16,
    reason: &EndReason,
) {
    let passes = status == 503 || services.is_stopping();
    let retry = passes.then_some(services.config.limits.retry_after_s);
    let cause = reason.passed_on().map(|said| ("Reason".to_owned(), said));
    reject(services, call, (status, &reason.logged()), retry, cause).await;
}

/// Refuses a call for a reason of its own.
async fn refuse_as(services: &Services, call: CallHandle, refusal: &Refusal) {
    let Refusal {
        status,
        reason,
        cause,
        retry_after_s,
    } = refusal;
    let passes = *status == 503 || services.is_stopping();
    let usual = passes.then_some(services.config.limits.retry_after_s);
    let cause = cause.map(|cause| ("Reason".to_owned(), format!("Q.850;cause={cause}")));
    let retry = retry_after_s.or(usual);
    reject(services, call, (*status, reason), retry, cause).await;
}

async fn reject(
    services: &Services,
    call: CallHandle,
    (status, reason): (u16, &str),
    retry_after_s: Option<u32>,
    cause: Option<(String, String)>,
) {
    meters::call_refused(status);
    tracing::info!(status, %reason, "a call was refused");
    let retry = retry_after_s.map(|seconds| ("Retry-After".to_owned(), seconds.to_string()));
    let headers = retry.into_iter().chain(cause).collect();
    let _ = services.line.sip().reject(call, status, headers).await;
}

/// The codecs that the configuration allows to a source.
pub(super) fn codecs_of(services: &Services, source: &Source) -> Codecs {
    let trunk = match source {
        Source::Trunk(name) => services.config.trunk(name),
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

/// The two halves of a call have each a place of their own in memory ([`Connected`]).
async fn serve(
    services: Arc<Services>,
    incoming: Box<IncomingCall>,
    admitted: AgentsCall,
    begun: (CallRecord, Epoch),
) {
    let answering: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(answer(services, incoming, admitted, begun));
    if let Some(connected) = answering.await {
        connected.talk().await;
    }
}

/// Rings and answers; none when the call did not come about, and was written down as that.
async fn answer(
    services: Arc<Services>,
    incoming: Box<IncomingCall>,
    admitted: AgentsCall,
    (mut record, epoch): (CallRecord, Epoch),
) -> Option<Box<Connected>> {
    let invite = &incoming.invite;
    let state = Call::inbound(clock::now());
    record.agent = Some(admitted.agent.config.name.clone());
    let (id, started_at) = (record.id, record.started_at);
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
    services.note_shown(id, shown_to_user(invite, &own_host(&services)));
    if matches!(invite.source, Source::Trunk(_)) {
        services.note_called(id, called_before(invite));
    }
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
        goes_on: false,
    };
    let talk = answering.prepare(caller_variables(&services, invite)).await;
    let IncomingCall {
        call,
        invite,
        signals,
    } = *incoming;
    let rings = Rings {
        call,
        held: None,
        signals,
        half,
        negotiated,
        flow: invite.flow,
        source: invite.source,
    };
    rings.answer(talk, state, permit).await
}

/// A call that rings here, and that its agent is ready to take.
pub(super) struct Rings {
    pub(super) call: CallHandle,
    pub(super) held: Option<Held>,
    pub(super) signals: mailbox::Receiver<Signal>,
    pub(super) half: Half,
    /// None where the offer is ours.
    pub(super) negotiated: Option<Negotiated>,
    pub(super) flow: Flow,
    pub(super) source: Source,
}

impl Rings {
    /// Answers; none when it did not come to that, which is written down.
    pub(super) async fn answer(
        self,
        mut talk: Talk,
        state: Call,
        permit: Permit,
    ) -> Option<Box<Connected>> {
        let Self {
            call,
            held,
            mut signals,
            half,
            negotiated,
            flow,
            source,
        } = self;
        let sip = talk.sip();
        // The caller may have hung up while the CRM was asked.
        if let Some(Signal::Ended { .. }) = signals.try_recv() {
            drop(half);
            talk.never_answered(state, EndReason::Cancelled).await;
            return None;
        }
        // … or somebody has ended the call, or the switch.
        if let Some(reason) = talk.called_off() {
            drop(half);
            let _ = sip.hang_up(call, None).await;
            talk.never_answered(state, reason).await;
            return None;
        }
        // … or hung up since: a CANCEL that overtook the answer leaves the call unanswered.
        if !matches!(sip.answer(call, half.sdp()).await, Ok(true)) {
            drop(half);
            talk.never_answered(state, EndReason::Cancelled).await;
            return None;
        }
        let negotiated = match negotiated {
            Some(negotiated) => Ok(negotiated),
            None => late_answer(&half, &mut signals, talk.controls()).await,
        };
        let opened = negotiated.and_then(|negotiated| {
            let leg = talk.open(half, negotiated, flow.remote.ip());
            leg.map_err(|error| EndReason::Failed(error.to_string()))
        });
        match opened {
            Ok(leg) => Some(Box::new(Connected {
                talk,
                state,
                call,
                held,
                signals,
                leg,
                flow,
                source,
                permit,
            })),
            Err(reason) => {
                let _ = sip.hang_up(call, None).await;
                talk.never_answered(state, reason).await;
                None
            }
        }
    }
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

pub(super) async fn wait_for_answer(
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

/// Who calls, unless they withhold it, and whom.
pub(super) fn numbers_told(called: &str, caller: &str) -> Vec<(String, serde_json::Value)> {
    let mut told = vec![("called".to_owned(), json!(called))];
    if !is_withheld(caller) {
        told.push(("caller_phone".to_owned(), json!(caller)));
    }
    told
}

/// What the INVITE itself says of the caller.
pub(super) fn caller_variables(
    services: &Services,
    invite: &Incoming,
) -> Vec<(String, serde_json::Value)> {
    let caller = party(&invite.from.user, &invite.from.uri);
    let mut variables = numbers_told(&called_party(invite), &caller);
    let display = invite.from.display.trim();
    if !display.is_empty() && !is_withheld(&caller) {
        variables.push(("caller_display".to_owned(), json!(display)));
    }
    for (name, value) in &invite.headers {
        if name.eq_ignore_ascii_case("X-Twilio-CallSid") {
            variables.push(("twilio_call_sid".to_owned(), json!(value)));
        }
    }
    variables.extend(headers::told(invite, is_twilios(services, invite)));
    let plan = plan_of(services, &invite.source);
    if let Some(identity) = asserted_identity(invite, &plan) {
        variables.push(("asserted_identity".to_owned(), json!(identity)));
    }
    variables
}

/// Whether a call comes from Twilio.
fn is_twilios(services: &Services, invite: &Incoming) -> bool {
    let trunk = match &invite.source {
        Source::Trunk(name) => services.config.trunk(name),
        Source::User(_) | Source::Local => None,
    };
    trunk.is_some_and(|trunk| comes_from_twilio(&trunk.host, invite.flow.remote.ip()))
}
