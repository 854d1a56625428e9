//! A caller's INVITEs without an offer: the switch's 200 brings one, and the ACK its answer
//! (RFC 3261 §13.2.1, §14.2).

use offhook_media::{Negotiated, SessionDescription, sdp};
use offhook_sip::CallHandle;

use super::Caller;
use crate::sim::clock::Datagram;
use crate::sim::world::Cx;

/// An INVITE without an offer.
#[derive(Default)]
pub(super) struct Late {
    /// Its number.
    cseq: Option<u32>,
    /// What we answer to the offer that came.
    answer: Option<String>,
    agreed: Option<Negotiated>,
}

impl Late {
    /// Whether one was sent.
    pub(super) fn is_asked(&self) -> bool {
        self.cseq.is_some()
    }

    /// What came of it.
    pub(super) fn take(&mut self) -> Option<Negotiated> {
        self.agreed.take()
    }
}

impl Caller {
    /// Asks for an offer within the call.
    pub(super) fn ask_for_an_offer(&mut self, cx: &mut Cx, call: CallHandle) {
        let settled = self.offered.is_none() && !self.asks;
        if self.leg.is_some() && self.answered.is_some() && settled {
            self.asks = true;
            self.ua.reinvite(cx.clock.now(), call, Vec::new());
        }
    }

    /// An INVITE without an offer is answered, or refused. The next offer goes out.
    pub(super) fn late_offer_settled(&mut self, cx: &mut Cx, call: CallHandle) {
        self.asks = false;
        if let Some(negotiated) = self.late.take() {
            self.adopt(cx, negotiated);
        }
        if self.outdated {
            self.offer(cx, call);
        }
    }

    /// Takes note of an INVITE without an offer, and answers the switch's offer in the ACK.
    pub(super) fn with_late_answer(&mut self, mut datagram: Datagram) -> Datagram {
        let Ok(text) = std::str::from_utf8(&datagram.bytes) else {
            return datagram;
        };
        let Some((head, "")) = text.split_once("\r\n\r\n") else {
            return datagram;
        };
        let cseq = cseq(head);
        if text.starts_with("INVITE ") && self.late.cseq != cseq {
            self.late = Late {
                cseq,
                ..Late::default()
            };
        }
        if text.starts_with("ACK ")
            && self.late.cseq == cseq
            && let Some(answer) = &self.late.answer
        {
            let kept = head
                .lines()
                .filter(|line| !line.starts_with("Content-Length"));
            let head: Vec<&str> = kept.collect();
            let text = format!(
                "{}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{answer}",
                head.join("\r\n"),
                answer.len()
            );
            datagram.bytes = text.into_bytes();
        }
        datagram
    }

    /// Reads the offer of a 200 to an INVITE without one, before the ACK goes.
    pub(super) fn read_late_offer(&mut self, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        let awaited = self.late.cseq.is_some() && self.late.answer.is_none();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return;
        };
        let ours = head.starts_with("SIP/2.0 200") && cseq(head) == self.late.cseq;
        if !awaited || !ours {
            return;
        }
        let offer = SessionDescription::parse(body.as_bytes()).ok();
        let answer = offer.and_then(|offer| sdp::answer(&offer, &self.local).ok());
        if let Some((answer, negotiated)) = answer {
            let answer = match self.answered {
                Some(_) => answer.succeeding(&self.description),
                None => answer,
            };
            self.late.answer = Some(answer.to_string());
            self.late.agreed = Some(negotiated);
            self.description = answer;
        }
    }
}

/// The number of an INVITE, of its ACK or of an answer to it.
fn cseq(head: &str) -> Option<u32> {
    let line = head.lines().find_map(|line| line.strip_prefix("CSeq: "))?;
    let (number, method) = line.split_once(' ')?;
    matches!(method, "INVITE" | "ACK").then(|| number.parse().ok())?
}
