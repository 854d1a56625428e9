//! Placing a call: offer, INVITE, progress, answer. The agent's calls, the command line, the
//! demonstration caller and the benches all dial through here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_media::SrtpPolicy;
use offhook_sip::Credentials;
use offhook_sip::{CallHandle, Flow, Invite, Transport};
use tokio::sync::mpsc;

use super::codecs::Codecs;
use super::line::{Attached, Half, Leg, Line};
use super::redirecting::Redirecting;
use crate::mailbox;
use crate::meters;
use crate::net::media::LegId;
use crate::net::sip::{PlacedCall, Signal, SipError, Whom};
use crate::switch::{Reached, RedirectTerms};

mod failure;

pub use failure::DialFailure;

/// How long the end of a call that came to nothing is waited for.
pub(super) const ENDING: Duration = Duration::from_secs(2);

/// What is dialled.
#[derive(Clone, Debug)]
pub struct Dialling {
    /// The trunk that it goes over.
    pub trunk: Option<String>,
    /// The Request-URI.
    pub request_uri: String,
    /// The To URI, where that is another: of who was called first.
    pub to: Option<String>,
    /// The From URI.
    pub from: String,
    /// Where the INVITE goes, best address first.
    pub targets: Vec<SocketAddr>,
    /// Over what.
    pub transport: Transport,
    /// Whether it is that and no other: else what is too large for a datagram goes over TCP
    /// (RFC 3261 §18.1.1).
    pub pinned: bool,
    /// Whom it must reach, where TLS can tell; none for who has called us.
    pub whom: Option<Whom>,
    /// The listener that it leaves from; without one the first that reaches the address. A phone is
    /// called from where it registered: nothing else comes through its NAT.
    pub local: Option<SocketAddr>,
    /// Preloaded route (RFC 3261 §8.1.2).
    pub route: Vec<String>,
    /// What answers a challenge.
    pub credentials: Option<Credentials>,
    /// Codecs to offer, and to take later.
    pub codecs: Codecs,
    /// Whether media is encrypted.
    pub srtp: SrtpPolicy,
    /// Extra headers.
    pub headers: Vec<(String, String)>,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// How long each address may take to its first word; none leaves that to the transaction, 32 s.
    pub speaks_within: Option<Duration>,
    /// Where redirects may lead.
    pub redirects: RedirectTerms,
}

/// How long a call may ring where nobody says otherwise.
const RING: Duration = Duration::from_secs(60);

impl Dialling {
    /// A call between URIs, to one of these addresses, with the usual codecs in the clear; it goes over
    /// no trunk.
    #[must_use]
    pub fn new(
        request_uri: impl Into<String>,
        from: impl Into<String>,
        targets: Vec<SocketAddr>,
        transport: Transport,
    ) -> Self {
        Self {
            trunk: None,
            request_uri: request_uri.into(),
            to: None,
            from: from.into(),
            targets,
            transport,
            pinned: false,
            whom: None,
            local: None,
            route: Vec::new(),
            credentials: None,
            codecs: Codecs::default(),
            srtp: SrtpPolicy::Off,
            headers: Vec::new(),
            ring_timeout: RING,
            speaks_within: None,
            redirects: RedirectTerms::default(),
        }
    }

    /// Adds header fields; one that is there already has its new value.
    pub(super) fn add_headers(&mut self, headers: Vec<(String, String)>) {
        let is_new = |name: &str| {
            headers
                .iter()
                .any(|(new, _)| new.eq_ignore_ascii_case(name))
        };
        self.headers.retain(|(name, _)| !is_new(name));
        self.headers.extend(headers);
    }

    /// Adds header fields of which there is none yet.
    pub(super) fn add_missing_headers(&mut self, mut headers: Vec<(String, String)>) {
        let is_there = |name: &str| {
            self.headers
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        headers.retain(|(name, _)| !is_there(name));
        self.headers.extend(headers);
    }

    /// Leaves out what is for the trunk alone, of a call that is led elsewhere.
    pub(super) fn forget_what_is_the_trunks(&mut self) {
        self.route.clear();
        self.credentials = None;
        let hops = |name: &str| name.eq_ignore_ascii_case("Max-Forwards");
        self.headers.retain(|(name, _)| hops(name));
    }
}

/// An answered call.
pub struct Answered {
    /// Its handle.
    pub call: CallHandle,
    /// Its mailbox.
    pub signals: mailbox::Receiver<Signal>,
    /// Its media.
    pub leg: Leg,
    /// The address that answered.
    pub remote: SocketAddr,
}

/// Dials and waits for the answer. `progress` hears of each provisional status; dropping the
/// sender of `give_up` has no effect, sending on it cancels the call.
///
/// # Errors
/// When the call is not answered.
pub async fn dial(
    line: &Line,
    leg: LegId,
    dialling: &Dialling,
    attached: Attached,
    mut progress: impl FnMut(u16),
    give_up: &mut mpsc::Receiver<()>,
) -> Result<Answered, DialFailure> {
    let mut attached = Some(attached);
    let (mut redirecting, mut led) = (Redirecting::new(dialling), None);
    loop {
        let dialling = led.as_ref().unwrap_or(dialling);
        let rings = dial_all(line, leg, dialling, &mut attached, &mut progress, give_up);
        match rings.await {
            Ok(answered) => return Ok(answered),
            Err(failure) => led = Some(redirecting.next(line, failure).await?),
        }
    }
}

/// Dials at one address after the other until one answers or refuses.
async fn dial_all(
    line: &Line,
    leg: LegId,
    dialling: &Dialling,
    attached: &mut Option<Attached>,
    progress: &mut impl FnMut(u16),
    give_up: &mut mpsc::Receiver<()>,
) -> Result<Answered, DialFailure> {
    let (mut next, mut last) = (0, None);
    loop {
        let (target, flow) = match next_flow(line, dialling, &mut next).await {
            Ok(found) => found,
            Err(none) => return Err(last.unwrap_or(none)),
        };
        let half = line.offer(&flow, &dialling.codecs, dialling.srtp)?;
        let mut placed = line
            .sip()
            .invite(invite(line, dialling, flow, &half))
            .await?;
        let answer = wait(line, dialling, &half, &mut placed, progress, give_up).await;
        note(line, dialling, target, answer.as_ref().err());
        match answer {
            Ok(answer) => {
                let attached = attached.take().unwrap_or_default();
                let opened = open(line, leg, half, answer, target.ip(), attached);
                let leg = match opened {
                    Ok(leg) => leg,
                    Err(failure) => {
                        // It was answered, and the user agent has acknowledged that.
                        end(line, &mut placed).await;
                        return Err(failure);
                    }
                };
                return Ok(Answered {
                    call: placed.call,
                    signals: placed.signals,
                    leg,
                    remote: target,
                });
            }
            Err(failure) => {
                drop(half);
                if !failure.worth_another_target() {
                    return Err(failure);
                }
                last = Some(failure);
            }
        }
    }
}

/// Takes note of what a call's failure, or its answer, says of the address that it went to.
pub(super) fn note(
    line: &Line,
    dialling: &Dialling,
    target: SocketAddr,
    failure: Option<&DialFailure>,
) {
    let (outcome, status) = match failure {
        None => (Reached::Answered, Some(200)),
        Some(DialFailure::Refused { unheard: true, .. }) => (Reached::Silent, None),
        Some(DialFailure::Refused {
            status: 503,
            retry_after_s,
            ..
        }) => {
            let asked = retry_after_s.map(|seconds| Duration::from_secs(seconds.into()));
            (Reached::Overloaded(asked), Some(503))
        }
        Some(DialFailure::Refused { status, .. }) => (Reached::Answered, Some(*status)),
        // It was given up from here, or never sent.
        Some(_) => return,
    };
    if let Some(trunk) = &dialling.trunk {
        meters::trunk_answered(trunk, status);
    }
    let hop = (dialling.transport, target);
    line.reach().note_call(hop, outcome);
}

/// The next of the addresses, from a place on, that a listener reaches, and the way to it: a host may
/// have addresses of a family in which we have none.
pub(super) async fn next_flow(
    line: &Line,
    dialling: &Dialling,
    next: &mut usize,
) -> Result<(SocketAddr, Flow), DialFailure> {
    let mut failure = DialFailure::NoTarget;
    while let Some(target) = dialling.targets.get(*next).copied() {
        *next += 1;
        match flow(line, dialling, target).await {
            Ok(flow) => return Ok((target, flow)),
            Err(unreached) => failure = unreached.into(),
        }
    }
    Err(failure)
}

/// The way to one of the addresses.
async fn flow(line: &Line, dialling: &Dialling, remote: SocketAddr) -> Result<Flow, SipError> {
    let transport = dialling.transport;
    match dialling.local {
        Some(local) => Ok(Flow {
            transport,
            local,
            remote,
        }),
        None => {
            let whom = dialling.whom.as_ref();
            line.sip().way_to(remote, transport, whom).await
        }
    }
}

pub(super) fn invite(line: &Line, dialling: &Dialling, flow: Flow, half: &Half) -> Invite {
    let open = !dialling.pinned;
    Invite {
        request_uri: dialling.request_uri.clone(),
        to: dialling
            .to
            .as_ref()
            .unwrap_or(&dialling.request_uri)
            .clone(),
        from: dialling.from.clone(),
        route: dialling.route.clone(),
        flow,
        stream: open.then(|| line.sip().stream_beside(&flow)).flatten(),
        credentials: dialling.credentials.clone(),
        body: half.sdp(),
        content_type: "application/sdp".to_owned(),
        headers: dialling.headers.clone(),
    }
}

/// Waits for the final answer and its SDP, or that of an earlier one.
async fn wait(
    line: &Line,
    dialling: &Dialling,
    half: &Half,
    placed: &mut PlacedCall,
    progress: &mut impl FnMut(u16),
    give_up: &mut mpsc::Receiver<()>,
) -> Result<Option<Vec<u8>>, DialFailure> {
    let deadline = tokio::time::Instant::now() + dialling.ring_timeout;
    let speaks_within = dialling.speaks_within.unwrap_or(dialling.ring_timeout);
    let speaks_by = tokio::time::Instant::now() + speaks_within;
    let mut is_silent = dialling.speaks_within.is_some();
    let mut early = None;
    let mut open = true;
    loop {
        let signal = tokio::select! {
            signal = placed.signals.recv() => signal,
            () = tokio::time::sleep_until(speaks_by), if is_silent => {
                // There is nothing to wait for.
                let _ = line.sip().hang_up(placed.call, None).await;
                return Err(DialFailure::silent(speaks_within));
            }
            asked = give_up.recv(), if open => {
                if asked.is_none() {
                    open = false;
                    continue;
                }
                end(line, placed).await;
                return Err(DialFailure::Cancelled);
            }
            () = tokio::time::sleep_until(deadline) => {
                end(line, placed).await;
                return Err(DialFailure::NoAnswer(dialling.ring_timeout));
            }
        };
        is_silent = false;
        match signal.ok_or(SipError::Gone)? {
            Signal::Progress { status, body } => {
                progress(status);
                // SDP of a 183 may be the only one when the 200 repeats it by silence
                // (RFC 3261 §13.2.1 with RFC 3262 §5).
                early = body.or(early).filter(|sdp| half.read_answer(sdp).is_ok());
            }
            Signal::Answered { body } => {
                return Ok(body.filter(|sdp| !sdp.is_empty()).or(early));
            }
            Signal::Rejected {
                status,
                reason,
                retry_after_s,
                headers,
            } => {
                let refused = DialFailure::rejected(status, reason, retry_after_s, &headers);
                return Err(refused);
            }
            Signal::Ended { .. } => return Err(DialFailure::Cancelled),
            // There is no leg yet that could change (RFC 3311 §5.2).
            Signal::Reoffer { .. } => line.sip().answer_reoffer(placed.call, Err(488)).await?,
            _ => {}
        }
    }
}

fn open(
    line: &Line,
    leg: LegId,
    half: Half,
    answer: Option<Vec<u8>>,
    remote: IpAddr,
    attached: Attached,
) -> Result<Leg, DialFailure> {
    let answer = answer.ok_or(DialFailure::NoDescription)?;
    let negotiated = half.read_answer(&answer)?;
    Ok(line.open(leg, half, negotiated, remote, attached)?)
}

/// Ends a call that comes to nothing, and waits a while until that is settled: who dialled may
/// end right after, and the SIP task with it.
async fn end(line: &Line, placed: &mut PlacedCall) {
    if line.sip().hang_up(placed.call, None).await.is_err() {
        return;
    }
    let _ = tokio::time::timeout(ENDING, settled(&mut placed.signals)).await;
}

/// Waits until a call is over.
pub(super) async fn settled(signals: &mut mailbox::Receiver<Signal>) {
    while let Some(signal) = signals.recv().await {
        if matches!(signal, Signal::Ended { .. } | Signal::Rejected { .. }) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
