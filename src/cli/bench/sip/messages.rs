//! What the generator says: the requests of the calling side, the responses of the called side.

use std::fmt::Write as _;
use std::net::SocketAddr;

use offhook_sip::message::{HeaderName, Message};

/// The number that is called, and the one that calls.
pub(super) const CALLED: &str = "+442079460123";
const CALLER: &str = "+12025550100";
/// Where the sides' media would be: they have none.
const MEDIA_PORT: u16 = 6_000;

/// The generator's two sides, and where the calling one sends to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) caller: SocketAddr,
    pub(super) called: SocketAddr,
    pub(super) subject: SocketAddr,
    /// Tells the calls of one measurement from those of the next.
    pub(super) run: u32,
}

/// A dialog of the calling side, as the answer makes it (RFC 3261 §12.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialog {
    call: u64,
    target: String,
    /// Next hop first.
    routes: Vec<String>,
    to: String,
}

impl Addresses {
    /// The INVITE of a call.
    pub(super) fn invite(&self, call: u64) -> String {
        let Self {
            caller, subject, ..
        } = self;
        let body = description(*caller);
        let mut text = format!("INVITE sip:{CALLED}@{subject} SIP/2.0\r\n");
        self.begin(&mut text, call, "i");
        let _ = write!(
            text,
            "To: <sip:{CALLED}@{subject}>\r\nCSeq: 1 INVITE\r\nContact: <sip:load@{caller}>\r\n\
             Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        text
    }

    /// The ACK of an answer (RFC 3261 §13.2.2.4).
    pub(super) fn ack(&self, dialog: &Dialog) -> String {
        self.within(dialog, "ACK", 1, "a")
    }

    /// The ACK of a refusal, in the INVITE's own transaction (RFC 3261 §17.1.1.3).
    pub(super) fn ack_of_refusal(&self, call: u64, refusal: &Message<'_>) -> String {
        let subject = self.subject;
        let mut text = format!("ACK sip:{CALLED}@{subject} SIP/2.0\r\n");
        self.begin(&mut text, call, "i");
        let to = refusal.header(HeaderName::To).unwrap_or_default();
        let _ = write!(text, "To: {to}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
        text
    }

    /// The BYE of a call.
    pub(super) fn bye(&self, dialog: &Dialog) -> String {
        self.within(dialog, "BYE", 2, "b")
    }

    fn within(&self, dialog: &Dialog, method: &str, cseq: u32, branch: &str) -> String {
        let mut text = format!("{method} {} SIP/2.0\r\n", dialog.target);
        self.begin(&mut text, dialog.call, branch);
        for route in &dialog.routes {
            let _ = write!(text, "Route: {route}\r\n");
        }
        let to = &dialog.to;
        let _ = write!(
            text,
            "To: {to}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
        );
        text
    }

    /// What all requests of a call have in common.
    fn begin(&self, text: &mut String, call: u64, branch: &str) {
        let Self { caller, run, .. } = self;
        let _ = write!(
            text,
            "Via: SIP/2.0/UDP {caller};branch=z9hG4bK{run}{branch}{call};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{CALLER}@{caller}>;tag={run}c{call}\r\n\
             Call-ID: {call}.{run}@bench\r\n"
        );
    }

    /// The call that a message to the calling side belongs to; none of another measurement's.
    pub(super) fn call_of(&self, message: &Message<'_>) -> Option<u64> {
        let (call, rest) = message.call_id().ok()?.split_once('.')?;
        let run = rest.strip_suffix("@bench")?;
        (run.parse() == Ok(self.run)).then(|| call.parse().ok())?
    }

    /// The called side's answer to a request, with its tag where the request has none yet.
    pub(super) fn respond(&self, request: &Message<'_>, status: &str, tag: u64) -> String {
        let called = self.called;
        let mut text = format!("SIP/2.0 {status}\r\n");
        for header in request.all_headers() {
            let copied = matches!(
                header.name,
                HeaderName::Via | HeaderName::RecordRoute | HeaderName::From
            ) || matches!(header.name, HeaderName::CallId | HeaderName::CSeq);
            let Some(value) = header.value() else {
                continue;
            };
            if copied {
                let _ = write!(text, "{}: {value}\r\n", header.label);
            } else if header.name == HeaderName::To {
                let tagged = request.to().is_ok_and(|to| to.tag().is_some());
                let tag = if tagged {
                    String::new()
                } else {
                    format!(";tag=d{tag}")
                };
                let _ = write!(text, "To: {value}{tag}\r\n");
            }
        }
        let answers =
            status.starts_with("200") && request.header(HeaderName::ContentType).is_some();
        let body = if answers {
            description(called)
        } else {
            String::new()
        };
        let _ = write!(text, "Contact: <sip:load@{called}>\r\n");
        if answers {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
        text
    }
}

impl Dialog {
    /// What an answer makes of a call; none where it names nobody to talk to.
    pub(super) fn of(call: u64, answer: &Message<'_>) -> Option<Self> {
        let contact = answer.header(HeaderName::Contact)?;
        let (_, target) = contact.split_once('<')?;
        let (target, _) = target.split_once('>')?;
        let mut routes: Vec<String> = answer
            .values(HeaderName::RecordRoute)
            .map(str::to_owned)
            .collect();
        routes.reverse();
        Some(Self {
            call,
            target: target.to_owned(),
            routes,
            to: answer.header(HeaderName::To)?.to_owned(),
        })
    }
}

/// A side's session description: one codec.
fn description(side: SocketAddr) -> String {
    let address = side.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {MEDIA_PORT} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses {
            caller: "127.0.0.2:7000".parse().unwrap(),
            called: "127.0.0.3:7000".parse().unwrap(),
            subject: "127.0.0.1:5060".parse().unwrap(),
            run: 7,
        }
    }

    #[test]
    fn an_invite_is_whole_and_its_answer_belongs_to_its_call() {
        let addresses = addresses();
        let text = addresses.invite(42);
        let invite = Message::parse(text.as_bytes()).unwrap();
        invite.essentials().unwrap();
        assert!(invite.body().ends_with(b"ptime:20\r\n"));
        let answer = addresses.respond(&invite, "200 OK", 9);
        let answer = Message::parse(answer.as_bytes()).unwrap();
        assert_eq!(addresses.call_of(&answer), Some(42));
        assert_eq!(answer.to().unwrap().tag(), Some("d9"));
        let other = Addresses {
            run: 8,
            ..addresses
        };
        assert_eq!(other.call_of(&answer), None, "another measurement's");
    }

    #[test]
    fn what_follows_an_answer_goes_to_its_contact_by_its_routes_in_reverse() {
        let addresses = addresses();
        let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.2:7000;branch=z9hG4bK1\r\n\
            Record-Route: <sip:b;lr>, <sip:a;lr>\r\nFrom: <sip:a@b>;tag=1\r\n\
            To: <sip:c@d>;tag=2\r\nCall-ID: 3.7@bench\r\nCSeq: 1 INVITE\r\n\
            Contact: <sip:load@127.0.0.3:7000>\r\nContent-Length: 0\r\n\r\n";
        let answer = Message::parse(answer.as_bytes()).unwrap();
        let dialog = Dialog::of(3, &answer).unwrap();
        let bye = addresses.bye(&dialog);
        assert!(bye.starts_with("BYE sip:load@127.0.0.3:7000 SIP/2.0\r\n"));
        let message = Message::parse(bye.as_bytes()).unwrap();
        message.essentials().unwrap();
        let routes: Vec<&str> = message.values(HeaderName::Route).collect();
        assert_eq!(routes, ["<sip:a;lr>", "<sip:b;lr>"]);
        assert_eq!(message.to().unwrap().tag(), Some("2"));
        assert_eq!(message.cseq().unwrap().number, 2);
        let ack = addresses.ack(&dialog);
        let ack = Message::parse(ack.as_bytes()).unwrap();
        assert_eq!(ack.cseq().unwrap().number, 1);
    }
}
