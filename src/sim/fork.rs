//! A proxy that forks an INVITE of the switch to two phones (RFC 3261 §16.7), and what must come of
//! that: one of them is talked to, the other is let go.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use offhook_sip::EndCause;

use super::clock::Moment;
use super::invariants::Rule;
use super::plan::{Called, CallerPlan, Fork};
use super::world::Cx;

/// The second phone of a call is named by so much more than the first.
pub(super) const SECOND: usize = 100;
/// An answer that comes second is hung up so soon, over a network without faults.
const LET_GO: Duration = Duration::from_secs(1);

/// How the INVITE stands with one phone.
#[derive(Debug, Default, Clone)]
struct Branch {
    /// It said no.
    refused: bool,
    answered: Option<Instant>,
    /// The proxy has cancelled it.
    cancelled: bool,
}

/// One call's forked INVITE.
#[derive(Debug, Default, Clone)]
pub(super) struct Branches {
    invite: Option<String>,
    of: [Branch; 2],
    /// Whose answer reached the switch first.
    winner: Option<IpAddr>,
}

/// The other phone's plan: it rings and is answered, and lets the agent lead.
pub(super) fn second(plan: &CallerPlan) -> Option<CallerPlan> {
    let called = plan.called?;
    let fork = called.fork?;
    let Fork {
        rings_ms,
        early_ms,
        end,
        ..
    } = fork;
    Some(CallerPlan {
        dial_at_ms: plan.dial_at_ms,
        codecs: plan.codecs.clone(),
        ptime_ms: plan.ptime_ms,
        srtp: plan.srtp,
        called: Some(Called {
            rings_ms,
            early_ms,
            end,
            fork: None,
            ..called
        }),
        ..CallerPlan::plain()
    })
}

impl Cx {
    fn fork(&self, number: usize) -> Option<Fork> {
        let caller = self.plan.callers.get(number)?;
        caller.called?.fork
    }

    pub(super) fn is_forked(&self, number: usize) -> bool {
        self.fork(number).is_some()
    }

    /// Whether what reaches the first phone goes to the second one as well.
    pub(super) fn reaches_both(&mut self, number: usize, bytes: &[u8]) -> bool {
        if !self.is_forked(number) {
            return false;
        }
        let text = String::from_utf8_lossy(bytes);
        let within_a_call = field(&text, "To").is_some_and(|to| to.contains(";tag="));
        let invites = text.starts_with("INVITE ") && !within_a_call;
        if let Some(branches) = self.branches.get_mut(number).filter(|_| invites) {
            branches.invite.get_or_insert_with(|| text.to_string());
        }
        // The ACK of a refusal goes where the INVITE went, and concerns whom it names.
        let acknowledges = text.starts_with("ACK ") && field(&text, "CSeq") == Some("1 ACK");
        invites || acknowledges || text.starts_with("CANCEL ")
    }

    /// Whether the proxy sends a phone's message on: of two refusals only the last goes on, and none
    /// beside an answer.
    pub(super) fn proxy_passes(&mut self, number: usize, phone: usize, bytes: &[u8]) -> bool {
        let Some(fork) = self.fork(number) else {
            return true;
        };
        let text = String::from_utf8_lossy(bytes).into_owned();
        let Some(status) = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)) else {
            return true;
        };
        let at = usize::from(phone >= SECOND);
        let now = self.clock.now();
        let Some(branches) = self.branches.get_mut(number) else {
            return true;
        };
        let [ours, other] = match (at, &mut branches.of) {
            (0, [first, second]) => [first, second],
            (_, [first, second]) => [second, first],
        };
        match field(&text, "CSeq") {
            Some("1 INVITE") => {}
            Some("1 CANCEL") => return !ours.cancelled,
            _ => return true,
        }
        let other_phone = match at {
            0 => number + SECOND,
            _ => number,
        };
        if status == "200" {
            let open = other.answered.is_none() && !other.refused && !other.cancelled;
            if ours.answered.replace(now).is_none()
                && open
                && let Some(after_ms) = fork.cancels_ms
            {
                let cancel = branches
                    .invite
                    .as_deref()
                    .map(cancel_of)
                    .unwrap_or_default();
                let at = now + Duration::from_millis(after_ms);
                self.clock.at(at, Moment::FromProxy(other_phone, cancel));
            }
            return true;
        }
        if status < "300" {
            return true;
        }
        let goes_on = (other.refused && !ours.refused) && other.answered.is_none();
        ours.refused = true;
        if !goes_on {
            let ack = ack_of(&text);
            self.clock.at(now, Moment::FromProxy(phone, ack));
        }
        goes_on
    }

    /// Takes note that the proxy says something to a phone; false where that is too late.
    pub(super) fn proxy_says(&mut self, number: usize, phone: usize, bytes: &[u8]) -> bool {
        let branch = self.branches.get_mut(number);
        let branch = branch.and_then(|b| b.of.get_mut(usize::from(phone >= SECOND)));
        let Some(branch) = branch.filter(|_| bytes.starts_with(b"CANCEL ")) else {
            return true;
        };
        let open = branch.answered.is_none() && !branch.refused;
        branch.cancelled |= open;
        open
    }

    /// Takes a message that reaches the switch: the first answer is the call.
    pub(super) fn note_answer(&mut self, number: usize, from: IpAddr, bytes: &[u8]) {
        let Some(branches) = self.branches.get_mut(number) else {
            return;
        };
        let text = String::from_utf8_lossy(bytes);
        if text.starts_with("SIP/2.0 200") && field(&text, "CSeq") == Some("1 INVITE") {
            branches.winner.get_or_insert(from);
        }
    }

    /// Whether an address is of a phone that was answered too late.
    pub(super) fn has_lost(&self, number: usize, address: IpAddr) -> bool {
        let branches = self.branches.get(number).filter(|_| self.is_forked(number));
        let winner = branches.and_then(|branches| branches.winner);
        winner.is_some_and(|winner| winner != address)
    }

    /// Takes note that a phone's call is over.
    pub(super) fn phone_over(
        &mut self,
        number: usize,
        (phone, ip): (usize, IpAddr),
        cause: &EndCause,
    ) {
        let branch = self.branches.get(number);
        let branch = branch.and_then(|b| b.of.get(usize::from(phone >= SECOND)));
        let Some(answered) = branch.and_then(|branch| branch.answered) else {
            return;
        };
        if !self.has_lost(number, ip) || !self.is_faultless(number) {
            return;
        }
        let took = self.clock.now().saturating_duration_since(answered);
        // Who answers may hang up by itself.
        let hung_up = matches!(cause, EndCause::RemoteBye { .. } | EndCause::LocalBye);
        if took > LET_GO || !hung_up {
            let what = format!("after {took:?}: {cause:?}");
            self.violate(Rule::ForkLetGo, number, what);
        }
    }
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.map(str::trim)
}

/// The CANCEL of an INVITE (RFC 3261 §9.1).
fn cancel_of(invite: &str) -> Vec<u8> {
    let uri = invite.split(' ').nth(1).unwrap_or_default();
    hop_by_hop("CANCEL", uri, invite)
}

/// The ACK of a refusal (RFC 3261 §17.1.1.3).
fn ack_of(refusal: &str) -> Vec<u8> {
    hop_by_hop("ACK", "sip:phone@proxy.invalid", refusal)
}

fn hop_by_hop(method: &str, uri: &str, of: &str) -> Vec<u8> {
    let mut text = format!("{method} {uri} SIP/2.0\r\n");
    for name in ["Via", "From", "To", "Call-ID"] {
        let value = field(of, name).unwrap_or_default();
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
    text.into_bytes()
}
