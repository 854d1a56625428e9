//! What a call hears of its dialog.

use offhook_sip::EndCause;

use super::ReferAsked;

/// Tells a call what its dialog did.
#[derive(Debug)]
pub enum Signal {
    /// Somebody on the way has taken our INVITE on (100): the next hop is there.
    Trying,
    /// A provisional answer; 183 with SDP is early media, never an answer (RFC 3261 §13.2.2.1).
    Progress {
        /// 101–199.
        status: u16,
        /// Its SDP.
        body: Option<Vec<u8>>,
    },
    /// The other side answered our INVITE.
    Answered {
        /// Its SDP.
        body: Option<Vec<u8>>,
    },
    /// The other side refused our INVITE.
    Rejected {
        /// 300–699.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// `Retry-After`, in seconds.
        retry_after_s: Option<u32>,
        /// The headers that explain the refusal.
        headers: Vec<(String, String)>,
    },
    /// The ACK to our answer came.
    Confirmed {
        /// The SDP answer, when the INVITE had no offer.
        body: Option<Vec<u8>>,
    },
    /// A re-INVITE or UPDATE wants the session refreshed or changed.
    Reoffer {
        /// Its SDP.
        offer: Option<Vec<u8>>,
    },
    /// The other side answered the re-INVITE that [`Sip::reoffer`](super::Sip::reoffer) sent.
    ReofferAnswered {
        /// The offer that it answers.
        offer: Vec<u8>,
        /// Its SDP answer, or the status that refused it: the session then goes on as it was.
        result: Result<Option<Vec<u8>>, u16>,
    },
    /// What [`Sip::reoffer`](super::Sip::reoffer) was asked to offer was not sent, since the other side's offer came
    /// through meanwhile: it is to be made anew.
    ReofferOvertaken,
    /// An INFO request (RFC 6086), such as DTMF.
    Info {
        /// Its media type.
        content_type: Option<String>,
        /// Its body.
        body: Vec<u8>,
    },
    /// The other side asks to be transferred (RFC 3515).
    Refer(ReferAsked),
    /// The other side answered our REFER ([`Sip::refer`](super::Sip::refer)).
    ReferAnswered {
        /// Whether it accepts, or the status that refused it.
        result: Result<(), u16>,
    },
    /// The other side told what became of our REFER.
    ReferProgress {
        /// The status of the call that it places.
        status: u16,
        /// Whether it is the last word.
        is_final: bool,
    },
    /// The dialog is over.
    Ended {
        /// Why.
        cause: EndCause,
    },
}
