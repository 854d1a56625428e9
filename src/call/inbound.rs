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

use super::codecs::Codecs;
use super::journal::Journal;
use super::line::{Half, LineError};
use super::services::{AgentSpec, Busy, Place, Services};
use super::spans;
use super::talk::{Answering, Talk, end_reason_of};
use crate::ai::OnBox;
use crate::clock::{self, Epoch};
use crate::crm::identity::is_withheld;
use crate::mailbox;
use crate::meters;
use crate::net::sip::{IncomingCall, Signal, Sip};
use crate::store::{CallRecord, CallState, Direction};
use crate::switch::{Call, EndReason};

/// How long an answer without SDP waits for the ACK that must bring it.
const ACK_TIMEOUT: Duration = Duration::from_secs(32);

/// Takes a call: refuses it with the status that says why, or gives it to its agent.
pub async fn take(services: Arc<Services>, incoming: Box<IncomingCall>) {
    let span = spans::call("inbound");
    admit_or_refuse(services, incoming).instrument(span).await;
}

async fn admit_or_refuse(services: Arc<Services>, incoming: Box<IncomingCall>) {
    let sip = services.line.sip().clone();
    let call = incoming.call;
    let _held = sip.hold(call);
    match admit(&services, &incoming.invite) {
        Ok(admitted) => serve(services, incoming, admitted).await,
        Err(refusal) => {
            meters::call_refused(refusal.status);
            tracing::info!(status = refusal.status, reason = %refusal.reason, "a call was refused");
            let headers = refusal
                .retry_after_s
                .map(|s| ("Retry-After".to_owned(), s.to_string()))
                .into_iter()
                .collect();
            let _ = sip.reject(call, refusal.status, headers).await;
        }
    }
}

struct Refusal {
    status: u16,
    reason: String,
    retry_after_s: Option<u32>,
}

struct Admitted {
    agent: Arc<AgentSpec>,
    place: Place,
    on_box: Arc<OnBox>,
}

fn admit(services: &Services, invite: &Incoming) -> Result<Admitted, Refusal> {
    let called = called_party(invite);
    let Some(name) = services.routes.agent_for(&called, &invite.from.user) else {
        // Numbers are not logged above DEBUG.
        tracing::debug!(%called, "no route and no agent");
        let reason = "no route and no agent for who is called".to_owned();
        return Err(Refusal {
            status: 404,
            reason,
            retry_after_s: None,
        });
    };
    let Some(agent) = services.agents.get(name) else {
        let reason = format!("the route names an agent that is not there: {name:?}");
        return Err(Refusal {
            status: 404,
            reason,
            retry_after_s: None,
        });
    };
    let (place, on_box) = services.take_place(&agent.config).map_err(|busy| Refusal {
        status: if matches!(busy, Busy::Stopping) {
            480
        } else {
            503
        },
        reason: busy.to_string(),
        retry_after_s: Some(services.config.limits.retry_after_s),
    })?;
    Ok(Admitted {
        agent: Arc::clone(agent),
        place,
        on_box,
    })
}

/// The called number or name: the Request-URI's, which proxies rewrite, not the To's.
fn called_party(invite: &Incoming) -> String {
    let parsed = offhook_sip::uri::Uri::parse(&invite.request_uri);
    parsed
        .map(|uri| uri.user_text().into_owned())
        .unwrap_or_default()
}

/// The codecs that the configuration allows to a source.
fn codecs(services: &Services, source: &Source) -> Codecs {
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
async fn serve(services: Arc<Services>, incoming: Box<IncomingCall>, admitted: Admitted) {
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
    admitted: Admitted,
) -> Option<Box<Answered>> {
    let now = clock::now();
    let invite = &incoming.invite;
    let epoch = Epoch::take();
    let started_at = epoch.timestamp(now);
    let record = new_record(invite, &admitted.agent, started_at);
    let id = record.id;
    spans::name(id, &admitted.agent.config.name);
    let sip = services.line.sip().clone();
    let codecs = codecs(&services, &invite.source);
    let (half, negotiated) = match agree(&services, invite, &codecs) {
        Ok(agreed) => agreed,
        Err(error) => {
            meters::call_refused(error.status());
            tracing::info!(%error, "a call was refused");
            let retry = services.config.limits.retry_after_s.to_string();
            let retry = (error.status() == 503).then(|| ("Retry-After".to_owned(), retry));
            let headers = retry.into_iter().collect();
            let _ = sip.reject(incoming.call, error.status(), headers).await;
            return None;
        }
    };
    if let Err(error) = services.store.insert_call(record.clone()).await {
        tracing::error!(%error, "a call's record was not kept: it is refused");
        drop(half);
        let retry = services.config.limits.retry_after_s.to_string();
        let _ = sip
            .reject(incoming.call, 503, vec![("Retry-After".to_owned(), retry)])
            .await;
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
        None => match late_answer(&half, &mut signals, &mut talk).await {
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
fn agree(
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
async fn late_answer(
    half: &Half,
    signals: &mut mailbox::Receiver<Signal>,
    talk: &mut Talk,
) -> Result<Negotiated, EndReason> {
    tokio::select! {
        agreed = wait_for_answer(half, signals) => agreed.map_err(EndReason::Lost),
        control = talk.controls().recv() => Err(end_reason_of(control)),
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

fn new_record(invite: &Incoming, agent: &AgentSpec, started_at: Timestamp) -> CallRecord {
    let mut record = CallRecord::new(
        Uuid::now_v7(),
        Direction::Inbound,
        party(&invite.from.user, &invite.from.uri),
        party(&called_party(invite), &invite.to.uri),
        CallState::Ringing,
        started_at,
    );
    record.agent = Some(agent.config.name.clone());
    record.trunk = match &invite.source {
        Source::Trunk(name) => Some(name.clone()),
        _ => None,
    };
    record
}

/// A number stands for itself; a name needs its host.
#[must_use]
pub fn party(user: &str, uri: &str) -> String {
    let digits = user.strip_prefix('+').unwrap_or(user);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        user.to_owned()
    } else {
        uri.to_owned()
    }
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
