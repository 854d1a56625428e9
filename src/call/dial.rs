//! Placing a call: offer, INVITE, progress, answer. The agent's calls, the command line, the
//! demonstration caller and the benches all dial through here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_media::SrtpPolicy;
use offhook_sip::Credentials;
use offhook_sip::{CallHandle, Flow, Invite, Transport};
use tokio::sync::mpsc;

use super::codecs::Codecs;
use super::line::{Attached, Half, Leg, Line, LineError};
use crate::mailbox;
use crate::net::media::LegId;
use crate::net::sip::{PlacedCall, Signal, SipError};
use crate::switch::{Hop, Reached};

/// How long the end of a call that came to nothing is waited for.
const ENDING: Duration = Duration::from_secs(2);

/// What is dialled.
#[derive(Clone, Debug)]
pub struct Dialling {
    /// The Request-URI.
    pub request_uri: String,
    /// The From URI.
    pub from: String,
    /// Where the INVITE goes, best address first.
    pub targets: Vec<SocketAddr>,
    /// Over what.
    pub transport: Transport,
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
}

impl Dialling {
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

/// Explains why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum DialFailure {
    /// The other side refused.
    #[error("refused with {status} {reason}{explanation}")]
    Refused {
        /// The final status.
        status: u16,
        /// Its reason phrase.
        reason: String,
        /// `Retry-After`, in seconds.
        retry_after_s: Option<u32>,
        /// What the carrier's own headers add, with a leading separator.
        explanation: String,
        /// Nobody said that: no answer came at all.
        unheard: bool,
    },
    /// Nobody answered in time.
    #[error("nobody answered within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// The call was given up from here.
    #[error("given up before the answer")]
    Cancelled,
    /// Where it goes could not be found out, and why not.
    #[error("{0}")]
    Nowhere(String),
    /// There is no address to send to.
    #[error("there is no address to send the call to")]
    NoTarget,
    /// It was answered, but not with how.
    #[error("it was answered without a session description, and hung up")]
    NoDescription,
    /// The media could not be agreed upon.
    #[error(transparent)]
    Media(#[from] LineError),
    /// The SIP task did not place it.
    #[error(transparent)]
    Sip(#[from] SipError),
}

impl DialFailure {
    /// The final status that the other side gave, if it gave one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// A refusal that says nothing but its status.
    #[cfg(test)]
    pub(super) fn refused(status: u16) -> Self {
        Self::Refused {
            status,
            reason: String::new(),
            retry_after_s: None,
            explanation: String::new(),
            unheard: false,
        }
    }

    /// Whether another address of the same carrier may do better: a timeout, a transport error or
    /// an overloaded server (RFC 3263 §4.3); a busy or refusing callee would only refuse again.
    pub(super) fn worth_another_target(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 408 | 500 | 502 | 503 | 504,
                ..
            }
        )
    }
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
    let (mut next, mut last) = (0, None);
    loop {
        let (target, flow) = match next_flow(line, dialling, &mut next) {
            Ok(found) => found,
            Err(none) => return Err(last.unwrap_or(none)),
        };
        let half = line.offer(&flow, &dialling.codecs, dialling.srtp)?;
        let mut placed = line.sip().invite(invite(dialling, flow, &half)).await?;
        let answer = wait(line, dialling, &half, &mut placed, &mut progress, give_up).await;
        note(line, (dialling.transport, target), answer.as_ref().err());
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
pub(super) fn note(line: &Line, hop: Hop, failure: Option<&DialFailure>) {
    let outcome = match failure {
        None => Reached::Answered,
        Some(DialFailure::Refused { unheard: true, .. }) => Reached::Silent,
        Some(DialFailure::Refused {
            status: 503,
            retry_after_s,
            ..
        }) => {
            let asked = retry_after_s.map(|seconds| Duration::from_secs(seconds.into()));
            Reached::Overloaded(asked)
        }
        Some(DialFailure::Refused { .. }) => Reached::Answered,
        // It was given up from here, or never sent.
        Some(_) => return,
    };
    line.reach().note_call(hop, outcome);
}

/// The next of the addresses, from a place on, that a listener reaches, and the way to it: a host may
/// have addresses of a family in which we have none.
pub(super) fn next_flow(
    line: &Line,
    dialling: &Dialling,
    next: &mut usize,
) -> Result<(SocketAddr, Flow), DialFailure> {
    let mut failure = DialFailure::NoTarget;
    while let Some(target) = dialling.targets.get(*next).copied() {
        *next += 1;
        match flow(line, dialling, target) {
            Ok(flow) => return Ok((target, flow)),
            Err(unreached) => failure = unreached.into(),
        }
    }
    Err(failure)
}

/// The way to one of the addresses.
fn flow(line: &Line, dialling: &Dialling, remote: SocketAddr) -> Result<Flow, SipError> {
    let transport = dialling.transport;
    match dialling.local {
        Some(local) => Ok(Flow {
            transport,
            local,
            remote,
        }),
        None => line.sip().flow_to(remote, transport),
    }
}

pub(super) fn invite(dialling: &Dialling, flow: Flow, half: &Half) -> Invite {
    Invite {
        request_uri: dialling.request_uri.clone(),
        to: dialling.request_uri.clone(),
        from: dialling.from.clone(),
        route: dialling.route.clone(),
        flow,
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
    let mut early = None;
    let mut open = true;
    loop {
        let signal = tokio::select! {
            signal = placed.signals.recv() => signal,
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
                let explanation = explain(&headers);
                return Err(DialFailure::Refused {
                    status,
                    reason,
                    retry_after_s,
                    explanation,
                    // Whatever came has a Via.
                    unheard: headers.is_empty(),
                });
            }
            Signal::Ended { .. } => return Err(DialFailure::Cancelled),
            // There is no leg yet that could change (RFC 3311 §5.2).
            Signal::Reoffer { .. } => line.sip().answer_reoffer(placed.call, Err(488)).await?,
            _ => {}
        }
    }
}

/// What carriers say beside the status line, such as `X-Twilio-Error`.
pub(super) fn explain(headers: &[(String, String)]) -> String {
    let wanted = ["x-twilio-error", "warning", "reason", "p-error"];
    let found = headers
        .iter()
        .filter(|(name, _)| wanted.contains(&name.to_lowercase().as_str()));
    found
        .map(|(name, value)| format!("; {name}: {value}"))
        .collect()
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
    let settled = async {
        while let Some(signal) = placed.signals.recv().await {
            if matches!(signal, Signal::Ended { .. } | Signal::Rejected { .. }) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(ENDING, settled).await;
}

#[cfg(test)]
mod tests {
    use offhook_sip::{Access, Advertise, Settings};

    use super::*;
    use crate::net::media::{MediaThread, PortPool};
    use crate::net::sip::{Listen, News, Sip, Tls};

    async fn sip() -> (Sip, mpsc::Receiver<News>) {
        let listen = Listen {
            transport: Transport::Udp,
            address: "127.0.0.1:0".parse().unwrap(),
        };
        let settings = Settings {
            access: Access {
                open_loopback: true,
                ..Access::default()
            },
            ..Settings::default()
        };
        Sip::start(&[listen], Tls::default(), settings)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn an_address_of_a_family_without_a_listener_is_passed_over() {
        let ((caller, _news), (callee, mut calls)) = (sip().await, sip().await);
        let there = callee.listeners()[0].1;
        let media = MediaThread::start(None).unwrap();
        let ports = PortPool::new(44_000..=44_099, 3);
        let line = Line::new(caller, media, ports, Advertise::default());
        let mut dialling = Dialling {
            request_uri: "sip:bob@localhost".to_owned(),
            from: "sip:ann@localhost".to_owned(),
            targets: vec!["[::1]:9".parse().unwrap(), there],
            transport: Transport::Udp,
            local: None,
            route: Vec::new(),
            credentials: None,
            codecs: Codecs::default(),
            srtp: SrtpPolicy::Off,
            headers: Vec::new(),
            ring_timeout: Duration::from_secs(60),
        };
        let busy = async {
            while let Some(news) = calls.recv().await {
                if let News::Incoming(incoming) = news {
                    return callee.reject(incoming.call, 486, Vec::new()).await;
                }
            }
            Ok(())
        };
        let (_give_up, mut given_up) = mpsc::channel(1);
        let attached = Attached::default();
        let ring = dial(&line, 1, &dialling, attached, |_| {}, &mut given_up);
        let (dialled, _) = tokio::join!(ring, busy);
        assert_eq!(
            dialled.err().and_then(|failure| failure.status()),
            Some(486)
        );
        // Where no address is reached, the failure says why.
        dialling.targets.truncate(1);
        let attached = Attached::default();
        let dialled = dial(&line, 2, &dialling, attached, |_| {}, &mut given_up).await;
        let failure = dialled.map(drop).unwrap_err().to_string();
        assert!(failure.contains("sip.listen"), "{failure}");
    }
}
