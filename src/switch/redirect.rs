//! Redirects: which of the contacts that a 3xx names are called instead, and in what order
//! (RFC 3261 §8.1.3.4).
//!
//! Whoever is called names them, and whoever calls pays for it: none is called but where the terms
//! of the call allow it.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::path::PathBuf;

use offhook_sip::Transport;
use offhook_sip::message::Contact;
use offhook_sip::uri::{Scheme, Uri};

use super::number::Number;
use crate::config::{FollowRedirects, Network, TrunkConfig};

/// Contacts that are called at most …
const CONTACTS_MAX: usize = 5;
/// … and redirects that may follow one another.
const LEVELS_MAX: u8 = 3;
/// Contacts of one response that are looked at.
const READ_MAX: usize = 20;
/// Bytes of the longest one.
const URI_MAX: usize = 512;

/// Where a call's redirects may lead. The default is nowhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RedirectTerms {
    /// How far.
    pub follow: FollowRedirects,
    /// Hosts that are the called party's own …
    pub hosts: Vec<String>,
    /// … and its addresses.
    pub networks: Vec<Network>,
    /// `host` or `host:port` at which other numbers are called too.
    pub numbers_at: Option<String>,
    /// Whether it is called over its own transport alone.
    pub pinned: bool,
    /// The name that the certificates of its own have, and the authority that they come from.
    pub certificate: Option<(String, Option<PathBuf>)>,
}

impl RedirectTerms {
    /// The terms of who is called over a trunk that has these addresses.
    #[must_use]
    pub fn of_trunk(trunk: &TrunkConfig, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let port = trunk.port.map(|port| format!(":{port}"));
        let proxy = trunk.outbound_proxy.as_deref().map(without_port);
        let mut networks = trunk.networks.clone();
        networks.extend(addresses.into_iter().map(Network::from));
        Self {
            follow: trunk.follow_redirects,
            hosts: proxy.into_iter().chain([trunk.host.clone()]).collect(),
            networks,
            numbers_at: Some(format!("{}{}", trunk.host, port.unwrap_or_default())),
            pinned: trunk.transport.is_some()
                && trunk.follow_redirects != FollowRedirects::Anywhere,
            certificate: Some((trunk.host.clone(), trunk.ca.clone())),
        }
    }

    /// The terms of who is called at one address, such as a phone: it may lead to that one alone.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        Self {
            networks: vec![Network::from(address)],
            pinned: true,
            ..Self::default()
        }
    }
}

/// The host of `host` or `host:port`.
fn without_port(place: &str) -> String {
    let parsed = Uri::parse(&format!("sip:{place}")).map(|uri| uri.host.to_string());
    parsed.unwrap_or_else(|_| place.to_owned())
}

/// Somebody who is called instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirected {
    /// The Request-URI; a proxy's URI where `is_proxy`.
    pub uri: String,
    /// Whether the same Request-URI is asked for, through a proxy (305).
    pub is_proxy: bool,
    /// The host and port to look up; none where the call first went.
    pub place: Option<(String, Option<u16>)>,
    /// Over what.
    pub transport: Transport,
    /// Whether that is somebody else's, who learns nothing that is the first one's alone.
    pub is_foreign: bool,
    level: u8,
}

/// The contacts that one call's redirects have led to.
#[derive(Debug)]
pub struct Redirects {
    terms: RedirectTerms,
    /// Over what the first one was called.
    first: Transport,
    /// Whoever was called, from the first one on.
    called: Vec<String>,
    /// Who comes next, best first.
    waiting: Vec<Redirected>,
    /// How who is called now is called.
    level: u8,
    is_sips: bool,
    transport: Transport,
}

impl Redirects {
    /// Begins with whoever is called first.
    #[must_use]
    pub fn new(terms: RedirectTerms, request_uri: &str, transport: Transport) -> Self {
        Self {
            terms,
            first: transport,
            called: vec![request_uri.to_owned()],
            waiting: Vec::new(),
            level: 0,
            is_sips: is_sips(request_uri),
            transport,
        }
    }

    /// Takes the Contact fields of a redirect by whoever is called now. They come before those that
    /// wait already, the best (`q`) first.
    pub fn handle_redirect(&mut self, status: u16, contacts: &[String]) {
        let known = matches!(status, 300 | 301 | 302 | 305 | 380);
        if !known || self.level >= LEVELS_MAX {
            return;
        }
        let values = contacts.iter().flat_map(|value| Contact::list(value));
        let mut named: Vec<Contact<'_>> = values.take(READ_MAX).collect();
        named.sort_by_key(|contact| Reverse(contact.q_thousandths()));
        let mut found: Vec<Redirected> = Vec::new();
        for uri in named.iter().filter_map(Contact::uri) {
            let redirected = match status {
                305 => self.proxy(&uri),
                _ => self.instead(&uri),
            };
            let known = found.iter().chain(&self.waiting).map(|next| &next.uri);
            let known = known.chain(&self.called);
            let is_new = |new: &Redirected| !known.clone().any(|uri| is_same(uri, &new.uri));
            found.extend(redirected.filter(is_new));
        }
        self.waiting.splice(0..0, found);
        let left = (1 + CONTACTS_MAX).saturating_sub(self.called.len());
        self.waiting.truncate(left);
    }

    /// Who is called next.
    pub fn next_contact(&mut self) -> Option<Redirected> {
        if self.waiting.is_empty() {
            return None;
        }
        let next = self.waiting.remove(0);
        self.called.push(next.uri.clone());
        self.level = next.level;
        self.is_sips = is_sips(&next.uri);
        self.transport = next.transport;
        Some(next)
    }

    /// How far redirects are followed.
    #[must_use]
    pub fn follow(&self) -> FollowRedirects {
        self.terms.follow
    }

    /// Whoever a contact leads to, if the call may go there.
    fn instead(&self, uri: &Uri<'_>) -> Option<Redirected> {
        if !self.may_be_called(uri) {
            return None;
        }
        let made = |uri: String, place, transport, is_foreign| Redirected {
            uri,
            is_proxy: false,
            place,
            transport,
            is_foreign,
            level: self.level + 1,
        };
        let numbers_at = self.terms.numbers_at.as_deref();
        let back = numbers_at.filter(|at| is_place(uri, at));
        let is_own = back.is_some() || self.is_own(uri);
        match self.terms.follow {
            FollowRedirects::Never => None,
            FollowRedirects::Trunk if !is_own => {
                let number = Number::parse(&uri.user_text()).filter(is_subscribers)?;
                let uri = format!("{}:{number}@{}", uri.scheme.as_str(), numbers_at?);
                (!is_sips(&uri) || self.first == Transport::Tls)
                    .then(|| made(uri, None, self.first, false))
            }
            FollowRedirects::Trunk | FollowRedirects::Anywhere => {
                let transport = self.transport_to(uri)?;
                let there = (uri.host.to_string(), uri.port);
                let back = back.filter(|_| transport == self.first);
                let place = back.is_none().then_some(there);
                Some(made(request_uri(uri, back), place, transport, !is_own))
            }
        }
    }

    /// The proxy that a contact names (§21.3.4).
    fn proxy(&self, uri: &Uri<'_>) -> Option<Redirected> {
        let is_foreign = !self.is_own(uri);
        let allowed = match self.terms.follow {
            FollowRedirects::Never => false,
            FollowRedirects::Trunk => !is_foreign,
            FollowRedirects::Anywhere => true,
        };
        let is_allowed = allowed && self.may_be_called(uri);
        let transport = self.transport_to(uri).filter(|_| is_allowed)?;
        Some(Redirected {
            uri: request_uri(uri, None),
            is_proxy: true,
            place: Some((uri.host.to_string(), uri.port)),
            transport,
            is_foreign,
            level: self.level + 1,
        })
    }

    fn is_own(&self, uri: &Uri<'_>) -> bool {
        let named = |host: &String| host.eq_ignore_ascii_case(&uri.host.to_string());
        let address = uri.host.address();
        let mut networks = self.terms.networks.iter();
        self.terms.hosts.iter().any(named)
            || address.is_some_and(|address| networks.any(|network| network.contains(address)))
    }

    /// Whether a contact is somebody who can be called, and not in the open who was in secret.
    fn may_be_called(&self, uri: &Uri<'_>) -> bool {
        // Another address to send to than the one that is shown (§19.1.1) is nobody's.
        let is_plain = uri.is_sip() && uri.param("maddr").is_none();
        let method = uri.param("method").unwrap_or("INVITE");
        is_plain
            && method.eq_ignore_ascii_case("INVITE")
            && uri.as_str().len() <= URI_MAX
            && (uri.scheme == Scheme::Sips || !self.is_sips)
    }

    /// Over what a contact is called, where that is no less safe than so far.
    fn transport_to(&self, uri: &Uri<'_>) -> Option<Transport> {
        let is_sips = uri.scheme == Scheme::Sips;
        let named = match uri.transport().map(str::to_ascii_lowercase).as_deref() {
            // The scheme says that TLS carries it (§26.2.2).
            None | Some("tcp" | "tls") if is_sips => Transport::Tls,
            Some(_) if is_sips => return None,
            None => self.transport,
            Some("udp") => Transport::Udp,
            Some("tcp") => Transport::Tcp,
            Some("tls") => Transport::Tls,
            Some(_) => return None,
        };
        let is_less = self.transport == Transport::Tls && named != Transport::Tls;
        let is_other = self.terms.pinned && named != self.first;
        (!is_less && !is_other).then_some(named)
    }
}

/// Whether two URIs name the same (§19.1.4).
fn is_same(one: &str, other: &str) -> bool {
    let parsed = Uri::parse(one).ok().zip(Uri::parse(other).ok());
    one == other || parsed.is_some_and(|(one, other)| one.equivalent(&other))
}

fn is_sips(uri: &str) -> bool {
    Uri::parse(uri).is_ok_and(|uri| uri.scheme == Scheme::Sips)
}

/// Whether a URI names a place, `host` or `host:port`. One that leaves the port to whoever reads it
/// names it too.
fn is_place(uri: &Uri<'_>, place: &str) -> bool {
    let text = format!("sip:{place}");
    let Ok(place) = Uri::parse(&text) else {
        return false;
    };
    let same_host = place
        .host
        .to_string()
        .eq_ignore_ascii_case(&uri.host.to_string());
    same_host && (uri.port.is_none() || uri.port == place.port)
}

/// Whether a number is one of a telephone, and no service code of the network.
fn is_subscribers(number: &Number) -> bool {
    let mut bytes = number.as_str().bytes();
    bytes.all(|b| b == b'+' || b.is_ascii_digit())
}

/// A contact as a Request-URI, which has neither a method nor header fields (§19.1.1), perhaps at
/// another place.
fn request_uri(uri: &Uri<'_>, place: Option<&str>) -> String {
    let kept = uri
        .params()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("method"));
    let written = kept.map(|(name, value)| match value {
        Some(value) => format!(";{name}={value}"),
        None => format!(";{name}"),
    });
    let params: String = written.collect();
    let Some(place) = place else {
        return format!("{}{params}", uri.without_params());
    };
    let user = uri.user.map(|user| format!("{user}@")).unwrap_or_default();
    format!("{}:{user}{place}{params}", uri.scheme.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "sip:+442079460123@carrier.example";

    fn terms(follow: FollowRedirects) -> RedirectTerms {
        RedirectTerms {
            follow,
            hosts: vec!["carrier.example".to_owned(), "proxy.example".to_owned()],
            networks: vec!["192.0.2.0/29".parse().unwrap()],
            numbers_at: Some("carrier.example".to_owned()),
            pinned: false,
            certificate: None,
        }
    }

    fn redirects(follow: FollowRedirects) -> Redirects {
        Redirects::new(terms(follow), FIRST, Transport::Udp)
    }

    fn led(redirects: &mut Redirects, status: u16, contacts: &[&str]) -> Vec<String> {
        let contacts: Vec<String> = contacts.iter().map(|&contact| contact.to_owned()).collect();
        redirects.handle_redirect(status, &contacts);
        let mut led = Vec::new();
        while let Some(next) = redirects.next_contact() {
            led.push(next.uri);
        }
        led
    }

    #[test]
    fn the_best_contacts_are_called_first_and_of_two_alike_the_first_that_is_named() {
        let contacts = [
            "<sip:a@carrier.example>;q=0.1, <sip:b@carrier.example;method=INVITE;user=x?Via=y>",
            "sip:c@carrier.example;q=0.5",
            "<sip:d@carrier.example>",
        ];
        let led = led(&mut redirects(FollowRedirects::Trunk), 300, &contacts);
        let of = |user: &str| format!("sip:{user}@carrier.example");
        let b = "sip:b@carrier.example;user=x".to_owned();
        assert_eq!(led, [b, of("d"), of("c"), of("a")]);
    }

    #[test]
    fn a_trunk_leads_to_its_own_addresses_and_to_numbers_over_itself_and_nowhere_else() {
        for (contact, wanted) in [
            ("<sip:desk@192.0.2.3:5070>", Some("sip:desk@192.0.2.3:5070")),
            ("<sip:desk@PROXY.example>", Some("sip:desk@PROXY.example")),
            (
                "<sip:+44-20-7946-0999@evil.example:9>",
                Some("sip:+442079460999@carrier.example"),
            ),
            ("<sip:desk@evil.example>", None),
            ("<sip:*72900@evil.example>", None),
            ("<sip:desk@192.0.2.9>", None),
            ("<sip:+442079460999@192.0.2.3;maddr=198.51.100.1>", None),
            ("<tel:+442079460999>", None),
            ("<http://carrier.example>", None),
            ("<sip:+442079460999@carrier.example;method=BYE>", None),
            ("*", None),
            ("<sip:", None),
        ] {
            let led = led(&mut redirects(FollowRedirects::Trunk), 302, &[contact]);
            let wanted: Vec<&str> = wanted.into_iter().collect();
            assert_eq!(led, wanted, "{contact}");
        }
        let own = "<sip:+442079460999@carrier.example>";
        for status in [301, 302, 380] {
            let led = led(&mut redirects(FollowRedirects::Trunk), status, &[own]);
            assert_eq!(led.len(), 1, "{status}");
        }
        assert!(led(&mut redirects(FollowRedirects::Trunk), 399, &[own]).is_empty());
        assert!(led(&mut redirects(FollowRedirects::Never), 302, &[own]).is_empty());
        let mut nobodys = Redirects::new(RedirectTerms::default(), FIRST, Transport::Udp);
        assert!(led(&mut nobodys, 302, &[own]).is_empty());
    }

    #[test]
    fn where_it_may_lead_anywhere_others_learn_that_they_are() {
        let mut redirects = redirects(FollowRedirects::Anywhere);
        let contact = "<sip:desk@else.example:5070;transport=tcp>".to_owned();
        redirects.handle_redirect(302, &[contact]);
        let next = redirects.next_contact().unwrap();
        assert!(next.is_foreign && !next.is_proxy);
        assert_eq!(next.place, Some(("else.example".to_owned(), Some(5070))));
        assert_eq!(next.transport, Transport::Tcp);
    }

    #[test]
    fn a_proxy_is_one_of_the_trunks_own() {
        let mut asked = redirects(FollowRedirects::Trunk);
        let named = [
            "<sip:+442079460999@evil.example>",
            "<sip:192.0.2.2:5080;lr>",
        ];
        asked.handle_redirect(305, &named.map(str::to_owned));
        let next = asked.next_contact().unwrap();
        assert!(next.is_proxy && !next.is_foreign);
        assert_eq!(next.uri, "sip:192.0.2.2:5080;lr");
        assert_eq!(asked.next_contact(), None);
    }

    #[test]
    fn nobody_is_called_twice_and_no_more_than_five_in_all() {
        let mut turns = redirects(FollowRedirects::Trunk);
        let again = format!("<{FIRST}>, <sip:%61@carrier.example>, <sip:a@CARRIER.example>");
        assert_eq!(led(&mut turns, 302, &[&again]), ["sip:%61@carrier.example"]);
        let many: Vec<String> = (0..30).map(|n| format!("<sip:{n}@192.0.2.1>")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(led(&mut turns, 302, &many).len(), 4);
        assert!(led(&mut turns, 302, &["<sip:z@192.0.2.1>"]).is_empty());
    }

    #[test]
    fn three_redirects_may_follow_one_another() {
        let mut turns = redirects(FollowRedirects::Trunk);
        for level in 0..3 {
            let contact = format!("<sip:{level}@192.0.2.1>");
            assert_eq!(led(&mut turns, 302, &[&contact]).len(), 1, "{level}");
        }
        assert!(led(&mut turns, 302, &["<sip:z@192.0.2.1>"]).is_empty());
    }

    #[test]
    fn those_whom_a_contact_names_come_before_those_who_waited() {
        let mut turns = redirects(FollowRedirects::Trunk);
        let two = "<sip:a@192.0.2.1>, <sip:b@192.0.2.1>".to_owned();
        turns.handle_redirect(302, &[two]);
        turns.next_contact().unwrap();
        let more = led(&mut turns, 302, &["<sip:c@192.0.2.1>, <sip:b@192.0.2.1>"]);
        assert_eq!(more, ["sip:c@192.0.2.1", "sip:b@192.0.2.1"]);
    }

    #[test]
    fn who_was_called_in_secret_is_not_called_in_the_open() {
        let over = |transport, first: &str, pinned, contact: &str| {
            let terms = RedirectTerms {
                pinned,
                ..terms(FollowRedirects::Trunk)
            };
            let mut redirects = Redirects::new(terms, first, transport);
            redirects.handle_redirect(302, &[contact.to_owned()]);
            redirects.next_contact().map(|next| next.transport)
        };
        let (udp, tcp, tls) = (Transport::Udp, Transport::Tcp, Transport::Tls);
        let sips = "sips:+442079460123@carrier.example";
        for (transport, first, contact, wanted) in [
            (tls, FIRST, "<sip:a@192.0.2.1>", Some(tls)),
            (tls, FIRST, "<sip:a@192.0.2.1;transport=tcp>", None),
            (tls, sips, "<sip:a@192.0.2.1>", None),
            (tls, sips, "<sips:a@192.0.2.1>", Some(tls)),
            (udp, FIRST, "<sips:a@192.0.2.1;transport=udp>", None),
            (udp, FIRST, "<sips:a@192.0.2.1>", Some(tls)),
            (udp, FIRST, "<sip:a@192.0.2.1;transport=TCP>", Some(tcp)),
            (udp, FIRST, "<sip:a@192.0.2.1;transport=sctp>", None),
        ] {
            assert_eq!(over(transport, first, false, contact), wanted, "{contact}");
        }
        assert_eq!(over(udp, FIRST, true, "<sips:a@192.0.2.1>"), None);
        assert_eq!(over(udp, FIRST, true, "<sip:a@192.0.2.1>"), Some(udp));
    }
}
