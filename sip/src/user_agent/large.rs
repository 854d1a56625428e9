//! Requests that are too large for a datagram (RFC 3261 §18.1.1): they go over TCP where the
//! transport is left open, and over UDP after all where the peer takes no connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clients::{Client, ClientId, ClientMachine, Purpose};
use super::{Transmit, UserAgent, compose};
use crate::dialog::Dialog;
use crate::flow::{Flow, Transport};
use crate::message::Message;

/// The most bytes of a request that goes over UDP, where the path MTU is not known.
const DATAGRAM_MAX: usize = 1300;
/// How long a peer that took no connection is not asked for another: one that drops what asks for
/// it would hold up every call.
const REFUSED_FOR: Duration = Duration::from_secs(600);
/// Peers that are remembered for that; where there are more, all are forgotten.
const REFUSED_MAX: usize = 1024;

/// A request as it goes over UDP, kept while it is tried over TCP.
pub(super) struct Datagram {
    flow: Flow,
    request: Arc<[u8]>,
}

/// How a request goes: its flow, its bytes, and what it would be over UDP where it does not go there.
pub(super) type BySize = (Flow, Arc<[u8]>, Option<Datagram>);

/// Peers that took no connection, and until when they are not asked for another.
#[derive(Default)]
pub(super) struct Refusals(HashMap<SocketAddr, Instant>);

impl Refusals {
    fn note(&mut self, now: Instant, remote: SocketAddr) {
        if self.0.len() >= REFUSED_MAX && !self.0.contains_key(&remote) {
            self.0.clear();
        }
        self.0.insert(remote, now + REFUSED_FOR);
    }

    fn holds(&self, now: Instant, remote: SocketAddr) -> bool {
        self.0.get(&remote).is_some_and(|&until| now < until)
    }
}

/// The ways to whom a request went: the one that it took, and the datagrams' where it only was too
/// large for one.
#[derive(Copy, Clone)]
pub(super) struct Ways {
    taken: Flow,
    datagrams: Option<Flow>,
}

impl Ways {
    /// Returns the flow of the requests in a dialog that was made there: back over UDP, unless the
    /// peer wants to be reached over TCP.
    pub(super) fn within(self, dialog: &Dialog) -> Flow {
        match self.datagrams {
            Some(datagrams) if !dialog.wants(Transport::Tcp) => dialog.flow(datagrams),
            _ => dialog.flow(self.taken),
        }
    }
}

impl Client {
    /// Returns the flow that the request would go on were it small.
    pub(super) fn datagram_flow(&self) -> Option<Flow> {
        self.datagram.as_ref().map(|datagram| datagram.flow)
    }

    /// Returns the ways to the peer.
    pub(super) fn ways(&self) -> Ways {
        Ways {
            taken: self.flow,
            datagrams: self.datagram.as_ref().map(|datagram| datagram.flow),
        }
    }
}

impl UserAgent {
    /// Chooses how a request goes.
    pub(super) fn by_size(
        &self,
        now: Instant,
        id: ClientId,
        flow: Flow,
        request: Vec<u8>,
        purpose: Purpose,
    ) -> BySize {
        let stream = match request.len() > DATAGRAM_MAX {
            true => self.stream_instead(now, flow, purpose),
            false => None,
        };
        let written = stream.and_then(|stream| {
            let parsed = Message::parse(&request).ok()?;
            let written = (id, parsed.cseq().ok()?.number);
            let bytes = compose::again(&self.settings, &stream, &parsed, written, &[])?;
            Some((stream, bytes))
        });
        match written {
            Some((stream, bytes)) => {
                let request = request.into();
                (stream, bytes.into(), Some(Datagram { flow, request }))
            }
            None => (flow, request.into(), None),
        }
    }

    /// Returns the connection that takes a large request in the place of a datagram's flow.
    fn stream_instead(&self, now: Instant, flow: Flow, purpose: Purpose) -> Option<Flow> {
        let local = match purpose {
            Purpose::Register(registration) => {
                self.registrations.get(&registration)?.register.stream
            }
            _ => self.calls.get(&purpose.call()?)?.stream,
        }?;
        let open = flow.transport == Transport::Udp
            && local.is_ipv4() == flow.remote.is_ipv4()
            && !self.refusals.holds(now, flow.remote);
        open.then_some(Flow {
            transport: Transport::Tcp,
            local,
            remote: flow.remote,
        })
    }

    /// Sends a request over UDP after all whose connection came to nothing; false where it was to go
    /// over the connection only, or nobody waits for its answer any more.
    pub(super) fn falls_back(&mut self, now: Instant, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        let Some(datagram) = client.datagram.take() else {
            return false;
        };
        let (purpose, abandoned) = (client.purpose, client.machine.is_abandoned());
        self.refusals.note(now, datagram.flow.remote);
        if abandoned || !self.is_still_wanted(purpose) {
            return false;
        }
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        // The peer has seen nothing of it: it is the same transaction (§18.1.1).
        client.machine = match client.machine {
            ClientMachine::Invite(_) => ClientMachine::invite(now, false, self.settings.timers),
            ClientMachine::NonInvite(_) => ClientMachine::other(now, false, self.settings.timers),
        };
        client.flow = datagram.flow;
        client.request = datagram.request;
        let transmit = Transmit {
            flow: client.flow,
            bytes: client.request.clone(),
        };
        self.send_again(transmit);
        self.arm_client(id);
        true
    }

    /// Whether what a request was for may still come of it.
    fn is_still_wanted(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Bye(_) | Purpose::Fork(_) | Purpose::Register(_) => true,
            Purpose::Invite(call) => {
                self.calls.contains_key(&call) && self.given_up(call).is_none()
            }
            _ => {
                let call = purpose.call().and_then(|call| self.calls.get(&call));
                call.is_some_and(|call| call.is_alive())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)] // a moment to start from
    #[test]
    fn peers_that_take_no_connection_are_remembered_for_a_while_and_in_bounded_number() {
        let (mut refusals, begun) = (Refusals::default(), Instant::now());
        let peer = |n: u16| SocketAddr::from(([192, 0, 2, 1], n));
        for n in 0..=u16::MAX {
            refusals.note(begun, peer(n));
            assert!(refusals.0.len() <= REFUSED_MAX);
        }
        assert!(refusals.holds(begun, peer(u16::MAX)));
        assert!(!refusals.holds(begun + REFUSED_FOR, peer(u16::MAX)));
    }
}
