//! What a user agent reports.

use std::time::{Duration, Instant};

use super::transfer::ReferTo;
use crate::access::Source;
use crate::flow::Flow;
use crate::guard::Ban;
use crate::message::OwnedMessage;

/// Names a call of one user agent; it is never used twice.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct CallHandle(pub(crate) u64);

/// Names a registration of one user agent.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct RegistrationHandle(pub(crate) u64);

/// Names an OPTIONS ping of one user agent.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct PingHandle(pub(crate) u64);

/// Names a request that waits for [`super::UserAgent::respond`].
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct RequestHandle(pub(crate) u64);

/// What happened.
///
/// Every call ends with exactly one of [`Event::Rejected`] and [`Event::Ended`], and nothing
/// follows it.
#[derive(Clone, Debug)]
pub enum Event {
    /// Someone calls. Answered by `ring`, `answer`, `reject` or `hang_up`.
    Incoming {
        /// The new call.
        call: CallHandle,
        /// Who calls whom, and with what.
        invite: Box<Incoming>,
    },
    /// Somebody on the way took our INVITE on (100): the first word of a hop that is there.
    Trying {
        /// Our call.
        call: CallHandle,
    },
    /// The callee made progress: 180 rings, 183 may bring early media, and neither answers the call.
    /// A reliable one (RFC 3262) is told once, and has been acknowledged.
    Progress {
        /// Our call.
        call: CallHandle,
        /// 101 to 199.
        status: u16,
        /// A session description, if the response had one and none before it was an answer.
        body: Option<Vec<u8>>,
    },
    /// The callee answered; the ACK has been sent.
    Answered {
        /// Our call.
        call: CallHandle,
        /// The answer to our offer: of the callee's first reliable response that had one, which is
        /// this one or a reliable provisional one before it (RFC 3261 §13.2.1). None if no such
        /// response had any, or if the session was changed since.
        body: Option<Vec<u8>>,
    },
    /// The callee, or someone on the way, refused: the call is over.
    Rejected {
        /// Our call.
        call: CallHandle,
        /// 300 to 699; 408 stands for silence and 503 for a dead transport (RFC 3261 §8.1.3.1).
        status: u16,
        /// The reason phrase.
        reason: String,
        /// What Retry-After asks us to wait, in seconds.
        retry_after_s: Option<u32>,
        /// The response's header fields, such as `X-Twilio-Error`, `Reason` or `Contact`.
        headers: Vec<(String, String)>,
    },
    /// The caller acknowledged our answer, or our answer to a re-INVITE; or the peer agreed to the
    /// session as it is, which a re-INVITE of the session timer asks now and then (RFC 4028 §7.4).
    Confirmed {
        /// The call.
        call: CallHandle,
        /// The answer to the description that we sent last, where that was an offer.
        body: Option<Vec<u8>>,
    },
    /// The peer offers to change or refresh the session, perhaps before the call is answered
    /// (RFC 3311). Answered by `answer_reoffer`.
    Reoffer {
        /// The call.
        call: CallHandle,
        /// The offer; without one the peer asks for ours (RFC 3261 §14.2).
        offer: Option<Vec<u8>>,
    },
    /// The peer answered our `reinvite`.
    ReofferAnswered {
        /// The call.
        call: CallHandle,
        /// The offer that it answers.
        offer: Vec<u8>,
        /// The answer, or the status that refused it: the session is then as it was before.
        result: Result<Option<Vec<u8>>, u16>,
    },
    /// Our `reinvite` still waited when the peer's offer was answered: it named what no longer
    /// holds, and is to be made anew.
    ReofferOvertaken {
        /// The call.
        call: CallHandle,
    },
    /// The peer sent INFO (RFC 6086), which has been answered.
    Info {
        /// The call.
        call: CallHandle,
        /// Its media type, such as `application/dtmf-relay`.
        content_type: String,
        /// Its body.
        body: Vec<u8>,
    },
    /// The peer asks to be transferred (RFC 3515). Answered by `answer_refer`, and then told what
    /// becomes of it by `notify_refer`.
    Refer {
        /// The call.
        call: CallHandle,
        /// Where to.
        refer_to: ReferTo,
        /// The call of ours that it names to be replaced: the other call of a peer that has two
        /// and wants those at their other ends to talk. None where it names none of ours.
        replaces: Option<CallHandle>,
        /// In whose name, as a name-addr with its parameters (RFC 3892): a claim, to be carried
        /// on and not to be trusted.
        referred_by: Option<String>,
    },
    /// The peer answered our `refer`.
    ReferAnswered {
        /// The call.
        call: CallHandle,
        /// Whether it accepts, or the status that refused it: 408 stands for silence, 503 for a
        /// dead transport, and 491 also for one that came too early.
        result: Result<(), u16>,
    },
    /// The peer told what becomes of our `refer`, which it has accepted.
    ReferProgress {
        /// The call.
        call: CallHandle,
        /// The status of the call that it places. The last is at least 200: 408 also where nothing
        /// more was heard, and the status of the peer's answer where it will tell nothing.
        status: u16,
        /// Whether it is the last word.
        is_final: bool,
    },
    /// The connection that a call's requests go over is gone, and the next hop is known by a name:
    /// they wait for `reroute_call`, which must follow.
    ConnectionLost {
        /// The call.
        call: CallHandle,
        /// The URI of the next hop, the first of the route set or else the peer's own (RFC 3261
        /// §12.2.1.1).
        next_hop: String,
        /// The connection's flow.
        lost: Flow,
    },
    /// A request over a connection had no answer in time (Timer B or F): where nothing at all came
    /// over it since, it leads nowhere any more, and is better closed (RFC 5626 §4.4).
    Unanswered {
        /// The connection's flow.
        flow: Flow,
        /// When the request was sent.
        since: Instant,
    },
    /// The call is over.
    Ended {
        /// The call.
        call: CallHandle,
        /// Why.
        cause: EndCause,
    },
    /// The registrar has granted or renewed a binding.
    Registered {
        /// Our registration.
        registration: RegistrationHandle,
        /// The lifetime that was granted, in seconds.
        expires_s: u32,
    },
    /// The registration was taken back, after `unregister`; its handle is spent.
    Unregistered {
        /// Our registration.
        registration: RegistrationHandle,
    },
    /// A REGISTER failed; it is tried again.
    RegistrationFailed {
        /// Our registration.
        registration: RegistrationHandle,
        /// 300 to 699; 408 stands for silence and 503 for a dead transport.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// The header of the answer that says most of why, in short.
        said: Option<String>,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// A ping was answered, or not.
    Pong {
        /// Our ping.
        ping: PingHandle,
        /// The status of the answer: any means that the peer is there.
        result: Result<u16, PingError>,
    },
    /// An admitted request that the switch is to answer by `respond`: a phone's REGISTER.
    Request {
        /// What `respond` takes.
        handle: RequestHandle,
        /// Its method.
        method: String,
        /// Whose it is.
        source: Source,
        /// Where it came from.
        flow: Flow,
        /// The request itself.
        message: OwnedMessage,
    },
    /// Someone gave wrong credentials, for a user that exists or not, and got 403.
    AuthenticationFailed {
        /// The user name that was claimed, at most 64 characters.
        username: String,
        /// Where it came from.
        flow: Flow,
    },
    /// A source is not listened to for a while: what it sends is dropped without an answer.
    Banned(Ban),
    /// A new call was refused with 503, because a bound is reached.
    Overloaded,
}

/// An INVITE that was let in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The Request-URI as it was written.
    pub request_uri: String,
    /// The caller, from From.
    pub from: Party,
    /// The callee, from To.
    pub to: Party,
    /// The Call-ID.
    pub call_id: String,
    /// All header fields in order, names as they were written.
    pub headers: Vec<(String, String)>,
    /// The offer; without one our answer makes it (RFC 3261 §13.3.1).
    pub offer: Option<Vec<u8>>,
    /// The offer's media type.
    pub content_type: Option<String>,
    /// The call that it wants to take the place of (RFC 3891): if it may, answer this one and hang
    /// up that one; else reject it.
    pub replaces: Option<CallHandle>,
    /// Whether it wants to only while that one is not answered.
    pub replaces_is_early_only: bool,
    /// Who let them in.
    pub source: Source,
    /// Where it came from.
    pub flow: Flow,
}

/// One side of a call, from From or To.
#[derive(Clone, Eq, PartialEq, Default, Debug)]
pub struct Party {
    /// The display name, without its quotes; empty if there is none.
    pub display: String,
    /// The URI.
    pub uri: String,
    /// The URI's user part, unescaped, or a `tel:` URI's number; empty if there is none.
    pub user: String,
}

/// Why a call is over.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum EndCause {
    /// We hung up, and the peer agreed.
    LocalBye,
    /// The peer hung up.
    RemoteBye {
        /// Its Reason header field, such as `Q.850;cause=16` (RFC 3326).
        reason: Option<String>,
    },
    /// The caller gave up before the answer: we did, or they did.
    Cancelled {
        /// The CANCEL's Reason, such as `SIP;cause=200;text="Call completed elsewhere"`.
        reason: Option<String>,
    },
    /// We refused it with this status.
    Refused {
        /// 300 to 699.
        status: u16,
    },
    /// The caller never acknowledged our answer (RFC 3261 §13.3.1.4).
    NoAck,
    /// The peer fell silent: a request of ours within the call got no answer, or 408, or it rang
    /// for Timer C without another word.
    Timeout,
    /// The peer knows nothing of the call: 481 (RFC 3261 §12.2.1.2).
    Lost,
    /// The transport to the peer is dead.
    Transport,
    /// The peer answered in a way that no dialog can be made of.
    Protocol,
}

/// Why a ping brought no answer.
#[derive(Copy, Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub enum PingError {
    /// Nothing came back within 64×T1.
    #[error("no answer")]
    Timeout,
    /// The transport refused it.
    #[error("the transport failed")]
    Transport,
}
