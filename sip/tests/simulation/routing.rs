//! Where a proxy sends a message on, and what it writes into it (RFC 3261 §16.3 to §16.6, §16.11).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use offhook_sip::message::{HeaderName, MAGIC_COOKIE, Message, Method, NameAddr};
use offhook_sip::uri::{Host, Uri};
use offhook_sip::{Flow, Transmit, Transport};

use crate::draft::Draft;
use crate::proxy::Proxy;
use crate::registrar::{Answer, DOMAIN};

impl Proxy {
    /// Checks a request (§16.3), and finds out where it goes (§16.4, §16.5), or how it is answered
    /// here.
    pub(crate) fn targets(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        draft: &mut Draft,
    ) -> Result<Vec<String>, Answer> {
        let refuse = |status| Err((status, Vec::new()));
        if message.max_forwards() == Some(0) {
            return refuse(483);
        }
        if self.has_come_round(message) {
            self.loops += 1;
            return refuse(482);
        }
        let required: Vec<&str> = message.values(HeaderName::ProxyRequire).collect();
        if !required.is_empty() {
            return Err((420, vec![(HeaderName::Unsupported, required.join(", "))]));
        }
        self.pop_own_route(draft);
        let method = message.method().unwrap();
        if method == Method::Register {
            return Err(self.registrar.register(self.wall, message));
        }
        if flow.remote != self.address {
            self.ask(message)?;
            draft.remove(HeaderName::ProxyAuthorization);
        }
        let uri = Uri::parse(draft.uri()).unwrap();
        if draft.values(HeaderName::Route).next().is_some() || !self.is_own(&uri) {
            return Ok(vec![draft.uri().to_owned()]);
        }
        let own = self.address.to_string();
        let contacts = self.registrar.locate(self.wall, &uri.user_text(), &own);
        match contacts {
            None => refuse(404),
            Some(contacts) if contacts.is_empty() => refuse(480),
            Some(contacts) => Ok(contacts),
        }
    }

    /// Asks a caller for its password (§22.3): a callee is known by where it is.
    fn ask(&mut self, message: &Message<'_>) -> Result<(), Answer> {
        let is_within = message.to().unwrap().tag().is_some();
        let tag = message.from().unwrap().tag().unwrap_or_default();
        let caller = (message.call_id().unwrap().to_owned(), tag.to_owned());
        let asks = match is_within {
            true => self.manner.challenges_all && self.callers.contains(&caller),
            false => self.manner.challenges_calls && message.method() == Some(Method::Invite),
        };
        if asks {
            self.registrar.authenticate(self.wall, message, true)?;
            self.callers.insert(caller);
        }
        Ok(())
    }

    /// Writes what the next hop gets; returns the way there, and the branch. It is made of what the
    /// request and its CANCEL have in common (§16.11), so that a proxy that has restarted finds the
    /// branch again.
    pub(crate) fn prepare(
        &self,
        draft: &mut Draft,
        target: &str,
        message: &Message<'_>,
    ) -> (Flow, String) {
        let via = message.top_via().unwrap();
        let mut hash = DefaultHasher::new();
        (self.secret, via.branch, via.sent_by, target).hash(&mut hash);
        message.cseq().unwrap().number.hash(&mut hash);
        let (own, round) = (hash.finish(), round(message));
        let branch = format!("{MAGIC_COOKIE}{own:016x}.{round:016x}");
        draft.set_uri(target);
        let hops = message
            .max_forwards()
            .map_or(70, |hops| hops.saturating_sub(1));
        draft.set(HeaderName::MaxForwards, hops.to_string());
        let parameter = match self.manner.transport {
            Transport::Udp => "",
            _ => ";transport=tcp",
        };
        let makes_dialog = [Method::Invite, Method::Refer, Method::Subscribe];
        if makes_dialog.contains(&message.method().unwrap()) {
            let route = format!("<sip:{}{parameter};lr>", self.address);
            draft.push(HeaderName::RecordRoute, route);
        }
        let name = self.manner.transport.via_name();
        let via = format!("SIP/2.0/{name} {};branch={branch}", self.address);
        draft.push(HeaderName::Via, via);
        (self.flow_to(self.next_hop(draft)), branch)
    }

    /// Sends a request on without keeping anything of it (§16.11).
    pub(crate) fn pass_on(&mut self, flow: Flow, message: &Message<'_>) {
        if message.max_forwards() == Some(0) || self.has_come_round(message) {
            return;
        }
        let mut draft = Draft::of(message);
        draft.stamp(message, flow.remote);
        self.pop_own_route(&mut draft);
        let uri = Uri::parse(draft.uri()).unwrap();
        let own = self.address.to_string();
        let is_routed = draft.values(HeaderName::Route).next().is_some();
        let target = match is_routed || !self.is_own(&uri) {
            true => Some(draft.uri().to_owned()),
            false => {
                let contacts = self.registrar.locate(self.wall, &uri.user_text(), &own);
                contacts.and_then(|contacts| contacts.first().cloned())
            }
        };
        let Some(target) = target else { return };
        let (flow, _) = self.prepare(&mut draft, &target, message);
        let bytes = draft.write().into();
        self.transmits.push_back(Transmit { flow, bytes });
    }

    /// Sends a response back that belongs to nothing, if that is to be.
    pub(crate) fn pass_back(&mut self, message: &Message<'_>) {
        let Some(Ok(via)) = message
            .vias()
            .nth(1)
            .filter(|_| self.manner.forwards_strays)
        else {
            return;
        };
        let address = via.received_address().or(via.host.address()).unwrap();
        let flow = self.flow_to(SocketAddr::new(address, via.port.unwrap_or(5060)));
        let mut draft = Draft::of(message);
        draft.pop(HeaderName::Via);
        let bytes = draft.write().into();
        self.transmits.push_back(Transmit { flow, bytes });
    }

    /// Whether a request was here before, unchanged (RFC 5393 §4.2).
    fn has_come_round(&self, message: &Message<'_>) -> bool {
        let (own, round) = (
            self.address.to_string(),
            format!(".{:016x}", round(message)),
        );
        let mut vias = message.vias().flatten();
        vias.any(|via| via.sent_by == own && via.branch.is_some_and(|b| b.ends_with(&round)))
    }

    fn pop_own_route(&self, draft: &mut Draft) {
        let first = draft.values(HeaderName::Route).next();
        if first
            .and_then(NameAddr::parse)
            .is_some_and(|route| self.is_own(&route.uri))
        {
            draft.pop(HeaderName::Route);
        }
    }

    fn is_own(&self, uri: &Uri<'_>) -> bool {
        match uri.host {
            Host::Name(name) => name.eq_ignore_ascii_case(DOMAIN),
            host => host.address() == Some(self.address.ip()),
        }
    }

    fn next_hop(&self, draft: &Draft) -> SocketAddr {
        let route = draft.values(HeaderName::Route).next();
        let route = route.map(|route| NameAddr::parse(route).unwrap().uri);
        let uri = route.unwrap_or_else(|| Uri::parse(draft.uri()).unwrap());
        match uri.host.address() {
            Some(address) => SocketAddr::new(address, uri.port.unwrap_or(5060)),
            None => self.address,
        }
    }

    fn flow_to(&self, remote: SocketAddr) -> Flow {
        Flow {
            transport: self.manner.transport,
            local: self.address,
            remote,
        }
    }
}

/// What matches a request to its context (§17.2.3): an ACK and a CANCEL to their INVITE's.
pub(crate) fn key_of(message: &Message<'_>, method: Method<'_>) -> String {
    let via = message.top_via().unwrap();
    let method = match method {
        Method::Ack | Method::Cancel => Method::Invite,
        other => other,
    };
    let branch = via.branch.unwrap_or_default();
    format!("{branch}|{}|{}", via.sent_by, method.as_str())
}

/// What is the same when a request comes round (RFC 5393 §4.2.2).
pub(crate) fn round(message: &Message<'_>) -> u64 {
    let mut hash = DefaultHasher::new();
    message.request_uri().unwrap().as_str().hash(&mut hash);
    message.call_id().unwrap().hash(&mut hash);
    message.from().unwrap().tag().hash(&mut hash);
    message.to().unwrap().tag().hash(&mut hash);
    message.cseq().unwrap().number.hash(&mut hash);
    for route in message.values(HeaderName::Route) {
        route.hash(&mut hash);
    }
    hash.finish()
}
