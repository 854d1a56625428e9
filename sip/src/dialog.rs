//! Dialogs (RFC 3261 §12): who the two sides are, how they reach each other, in which order.

use std::net::SocketAddr;

use crate::flow::{Flow, Transport};
use crate::message::{HeaderError, HeaderName, Message, Method};
use crate::network::is_private;
use crate::uri::Uri;

/// The longest route set that is kept, in entries; a peer that writes more is refused.
pub const MAX_ROUTES: usize = 32;

/// One side's view of a dialog.
///
/// A dialog is known by its Call-ID and the two tags and nothing else: carriers change the URIs
/// of From and To on the way.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: String,
    local_tag: String,
    /// Empty for a peer of RFC 2543, which has none (§12.1.1).
    remote_tag: String,
    /// Our side as our requests write it in From, tag included.
    local: String,
    /// The peer's side as our requests write it in To, tag included.
    remote: String,
    remote_target: String,
    route_set: Vec<String>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
}

/// Where the next request goes (RFC 3261 §12.2.1.1).
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Target {
    /// The Request-URI.
    pub request_uri: String,
    /// The Route header field's values, in order.
    pub routes: Vec<String>,
}

impl Dialog {
    /// Makes the dialog that a response to our INVITE creates: the route set is the response's
    /// Record-Route in reverse (§12.1.2). A response without Contact, which may not be, leaves
    /// the Request-URI as the target.
    ///
    /// # Errors
    /// From, To, Call-ID, CSeq, Contact or Record-Route cannot be read.
    pub fn uac(request: &Message<'_>, response: &Message<'_>) -> Result<Self, HeaderError> {
        let mut route_set = record_routes(response)?;
        route_set.reverse();
        let asked = request
            .request_uri()
            .map(|uri| uri.as_str())
            .unwrap_or_default();
        let target = contact_uri(response)?.unwrap_or_else(|| asked.to_owned());
        Ok(Self {
            call_id: response.call_id()?.to_owned(),
            local_tag: response.from()?.tag().unwrap_or_default().to_owned(),
            remote_tag: response.to()?.tag().unwrap_or_default().to_owned(),
            local: raw(request, HeaderName::From)?,
            remote: raw(response, HeaderName::To)?,
            remote_target: target,
            route_set,
            local_cseq: request.cseq()?.number,
            remote_cseq: None,
        })
    }

    /// Makes the dialog that our response to an INVITE creates: the route set is the request's
    /// Record-Route as it stands (§12.1.1). A peer of RFC 2543, which its branch tells, may leave
    /// the Contact out: its requests then go to its From.
    ///
    /// # Errors
    /// From, To, Call-ID, CSeq, Contact or Record-Route is missing or cannot be read.
    pub fn uas(request: &Message<'_>, local_tag: &str) -> Result<Self, HeaderError> {
        let target = match contact_uri(request)? {
            Some(target) => target,
            None if request.top_via()?.has_rfc3261_branch() => {
                return Err(HeaderError::Missing(HeaderName::Contact));
            }
            None => request.from()?.uri.as_str().to_owned(),
        };
        Ok(Self {
            call_id: request.call_id()?.to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: request.from()?.tag().unwrap_or_default().to_owned(),
            local: format!("{};tag={local_tag}", raw(request, HeaderName::To)?),
            remote: raw(request, HeaderName::From)?,
            remote_target: target,
            route_set: record_routes(request)?,
            local_cseq: 0,
            remote_cseq: Some(request.cseq()?.number),
        })
    }

    /// Returns whether a request or response with these names belongs to the dialog.
    pub fn matches(&self, call_id: &str, local_tag: &str, remote_tag: Option<&str>) -> bool {
        self.call_id == call_id
            && self.local_tag == local_tag
            && self.remote_tag == remote_tag.unwrap_or_default()
    }

    /// Returns the Request-URI and Route of the next request: a strict router, one without `lr`,
    /// takes the Request-URI's place and pushes the target to the route's end (§12.2.1.1).
    pub fn target(&self) -> Target {
        let target = &self.remote_target;
        let first = self.route_set.first().and_then(|route| route_uri(route));
        match first {
            Some(uri) if !uri.is_loose_route() => {
                let mut routes: Vec<String> = self.route_set.iter().skip(1).cloned().collect();
                routes.push(format!("<{target}>"));
                Target {
                    request_uri: uri.as_str().to_owned(),
                    routes,
                }
            }
            _ => Target {
                request_uri: target.clone(),
                routes: self.route_set.clone(),
            },
        }
    }

    /// Returns the URI of the next hop: the first route, else the peer itself.
    pub fn next_hop(&self) -> &str {
        let first = self.route_set.first().and_then(|route| route_uri(route));
        first.map_or(self.remote_target.as_str(), |uri| uri.as_str())
    }

    /// Returns the flow that the next request takes, given the one on which the dialog was made.
    ///
    /// A connection is used while it lives (RFC 5923 §9.1). A datagram goes to the next hop's own
    /// address where the hop is written as one, and to where the peer was last heard from where
    /// it is written as a name, or as a private address that is not the peer's public one: such
    /// a peer is behind NAT.
    pub fn flow(&self, heard_on: Flow) -> Flow {
        let Some(hop) = self.next_hop_address(heard_on.transport) else {
            return heard_on;
        };
        let behind_nat = is_private(hop.ip()) && !is_private(heard_on.remote.ip());
        // A loopback address is reached from loopback only, and nothing else is.
        let (near, far) = (heard_on.local.ip().to_canonical(), hop.ip().to_canonical());
        let reachable = hop.is_ipv4() == heard_on.local.is_ipv4()
            && near.is_loopback() == far.is_loopback()
            && !far.is_unspecified()
            && hop.port() != 0;
        if heard_on.transport.is_reliable() || behind_nat || !reachable {
            return heard_on;
        }
        Flow {
            remote: hop,
            ..heard_on
        }
    }

    /// Returns the flow to fall back to when a connection is gone: to the next hop's address,
    /// where it is written as one (RFC 3261 §12.2.1.1, §8.1.2).
    pub fn flow_without_connection(&self, lost: Flow) -> Flow {
        match self.next_hop_address(lost.transport) {
            Some(remote) => Flow { remote, ..lost },
            None => lost,
        }
    }

    /// Returns the next hop's URI where it is written as a name, whose address somebody must look up
    /// to reach it by another connection (RFC 3263).
    pub fn next_hop_by_name(&self) -> Option<&str> {
        let hop = self.next_hop();
        let uri = Uri::parse(hop).ok()?;
        (uri.is_sip() && uri.host.address().is_none()).then_some(hop)
    }

    /// Returns whether the next hop's URI asks for a transport by name (RFC 3261 §19.1.1).
    pub fn wants(&self, transport: Transport) -> bool {
        let uri = Uri::parse(self.next_hop()).ok();
        let named = uri.as_ref().and_then(Uri::transport);
        named.is_some_and(|named| named.eq_ignore_ascii_case(transport.via_name()))
    }

    fn next_hop_address(&self, transport: Transport) -> Option<SocketAddr> {
        let uri = Uri::parse(self.next_hop()).ok()?;
        uri.is_sip().then_some(())?;
        Some(SocketAddr::new(
            uri.host.address()?,
            uri.port.unwrap_or(transport.default_port()),
        ))
    }

    /// Goes on counting where an early dialog with the same peer was (§13.2.2.4): a 2xx makes the
    /// dialog anew, its route set included, but not its sequence numbers.
    pub fn follow(&mut self, early: &Dialog) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = self.remote_cseq.max(early.remote_cseq);
    }

    /// Returns the sequence number of our next request, which only ever rises (§12.2.1.1).
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.local_cseq
    }

    /// Returns the sequence number of our last request.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Takes the sequence number of a request of the peer; false if it is out of order, which is
    /// answered 500 (§12.2.2).
    ///
    /// A number that repeats is let through for all but INVITE: some peers count per method, and
    /// true retransmissions never come here.
    pub fn accept_cseq(&mut self, number: u32, method: Method<'_>) -> bool {
        let in_order = match self.remote_cseq {
            Some(last) if method == Method::Invite => number > last,
            Some(last) => number >= last,
            None => true,
        };
        if in_order {
            self.remote_cseq = Some(number);
        }
        in_order
    }

    /// Takes a new target from a re-INVITE or UPDATE, or from its 2xx (§12.2).
    pub fn refresh_target(&mut self, contact: Option<String>) {
        if let Some(contact) = contact {
            self.remote_target = contact;
        }
    }

    /// Returns the Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Returns our tag.
    pub fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// Returns the peer's tag, empty if it has none.
    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// Returns From as our requests write it.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Returns To as our requests write it.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// Returns the peer's Contact.
    pub fn remote_target(&self) -> &str {
        &self.remote_target
    }

    /// Returns the route set, each entry in angle brackets.
    pub fn route_set(&self) -> &[String] {
        &self.route_set
    }
}

/// Returns the URI of a message's first Contact.
///
/// # Errors
/// The Contact cannot be read.
pub fn contact_uri(message: &Message<'_>) -> Result<Option<String>, HeaderError> {
    let first = message.contacts().next().transpose()?;
    Ok(first
        .and_then(|contact| contact.uri())
        .map(|uri| uri.as_str().to_owned()))
}

fn record_routes(message: &Message<'_>) -> Result<Vec<String>, HeaderError> {
    let mut routes = Vec::new();
    for route in message.record_routes() {
        if routes.len() == MAX_ROUTES {
            return Err(HeaderError::Malformed(HeaderName::RecordRoute));
        }
        let route = route?;
        routes.push(format!("<{}>{}", route.uri, route.params.as_str()));
    }
    Ok(routes)
}

fn route_uri(route: &str) -> Option<Uri<'_>> {
    crate::message::NameAddr::parse(route).map(|address| address.uri)
}

fn raw(message: &Message<'_>, name: HeaderName) -> Result<String, HeaderError> {
    let value = message.header(name).ok_or(HeaderError::Missing(name))?;
    Ok(value.split_whitespace().collect::<Vec<_>>().join(" "))
}
