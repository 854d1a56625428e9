//! Registrations as a client (RFC 3261 §10.2): what was granted, when to refresh, how long to
//! wait after a failure.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::digest::{Attempts, Challenge};
use crate::flow::{Flow, Transport};
use crate::message::{HeaderName, Message};
use crate::uri::Uri;
use crate::user_agent::{Answerer, ClientId, Register};

/// The longest lifetime that a 423 may make us ask for, in seconds: a week.
const MAX_EXPIRES_S: u32 = 7 * 24 * 3600;
/// The longest that a Retry-After is obeyed, in seconds.
const MAX_RETRY_AFTER_S: u32 = 3600;
/// The most entries of a Service-Route that are kept.
const MAX_SERVICE_ROUTES: usize = 8;
/// The most of a header that is told to people, in characters.
const MAX_SAID_CHARS: usize = 200;

/// A binding that is kept alive.
pub(crate) struct Registration {
    pub(crate) register: Register,
    pub(crate) call_id: String,
    pub(crate) tag: String,
    pub(crate) cseq: u32,
    pub(crate) answerer: Answerer,
    pub(crate) state: RegistrationState,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// How often the REGISTER was sent anew for a challenge or a 423.
    pub(crate) attempts: Attempts,
    /// Whether `unregister` was called: the next REGISTER takes the binding back.
    pub(crate) leaving: bool,
    pub(crate) keep_alive_at: Option<Instant>,
    pub(crate) service_route: Vec<String>,
}

/// Where a registration stands.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum RegistrationState {
    /// A REGISTER is on its way, to bind or to take the binding back.
    Asking { client: ClientId, takes_back: bool },
    /// The binding stands, and is refreshed then.
    Bound { refresh_at: Instant },
    /// The last REGISTER failed; the next is sent then.
    Waiting { retry_at: Instant },
}

/// Returns the lifetime that a 200 grants, in seconds (RFC 3261 §10.2.4): our Contact's own
/// `expires` comes first, then Expires, then what was asked for.
///
/// Our Contact is told by user, host and port, since registrars add parameters; one that was
/// rewritten on the way is still ours if it is the only one.
pub(crate) fn granted_s(response: &Message<'_>, contact: &str, asked_s: u32) -> u32 {
    let contacts: Vec<_> = response.contacts().map_while(Result::ok).take(64).collect();
    let ours = Uri::parse(contact).ok().and_then(|ours| {
        contacts.iter().find(|contact| {
            contact.uri().is_some_and(|uri| {
                uri.user == ours.user
                    && uri.host == ours.host
                    && uri.port.unwrap_or(5060) == ours.port.unwrap_or(5060)
            })
        })
    });
    let only = contacts.first().filter(|_| contacts.len() == 1);
    let own_expires = ours.or(only).and_then(|contact| contact.expires());
    own_expires
        .or_else(|| response.expires())
        .unwrap_or(asked_s)
}

/// Returns the route that requests to the registrar's network are to take (RFC 3608 §5); one with a
/// strict router in it is none (§6.1).
pub(crate) fn service_route(response: &Message<'_>) -> Vec<String> {
    let routes = response
        .addresses(HeaderName::ServiceRoute)
        .map_while(Result::ok)
        .take(MAX_SERVICE_ROUTES);
    let routes: Vec<_> = routes.collect();
    if !routes.iter().all(|route| route.uri.is_loose_route()) {
        return Vec::new();
    }
    routes
        .iter()
        .map(|route| format!("<{}>", route.uri))
        .collect()
}

/// Returns the lifetime to ask for after a 423, or nothing where it asks for nothing longer.
pub(crate) fn longer_expires_s(response: &Message<'_>, asked_s: u32) -> Option<u32> {
    response
        .min_expires()
        .filter(|&least_s| least_s > asked_s && least_s <= MAX_EXPIRES_S)
}

/// Returns when a granted binding is refreshed: after 80 to 90 % of its life, `jitter` being
/// between 0 and 1, so that a thousand bindings do not come back as one burst.
pub(crate) fn refresh_after(granted_s: u32, jitter: f64) -> Duration {
    let share = 0.8 + 0.1 * jitter;
    Duration::from_secs_f64((f64::from(granted_s) * share).max(1.0))
}

/// Returns the header of a refusal that says most of why, in short and on one line, for a person: what
/// the status is about, or else what the registrar adds in words.
pub(crate) fn said(response: &Message<'_>, status: u16) -> Option<String> {
    let field = |name: HeaderName| {
        let value = response.header(name)?;
        Some(format!("{}: {value}", name.as_str()))
    };
    let about = match status {
        401 | 407 => response.authenticate().next().map(asks),
        405 => field(HeaderName::Allow),
        420 => field(HeaderName::Unsupported),
        421 => field(HeaderName::Require),
        423 => field(HeaderName::MinExpires),
        _ => None,
    };
    let said = about
        .or_else(|| field(HeaderName::Warning))
        .or_else(|| field(HeaderName::Reason))
        .or_else(|| field(HeaderName::RetryAfter))?;
    let printable = said.chars().filter(|c| !c.is_control());
    Some(printable.take(MAX_SAID_CHARS).collect())
}

/// What a challenge asks for.
fn asks(challenge: Challenge<'_>) -> String {
    let name = match challenge.proxy {
        true => HeaderName::ProxyAuthenticate,
        false => HeaderName::WwwAuthenticate,
    };
    let (name, scheme, realm) = (name.as_str(), challenge.scheme(), challenge.realm());
    let algorithm = challenge.algorithm_name().unwrap_or("MD5");
    let beyond = match challenge.is_supported() {
        true => "",
        false => ", which cannot be answered",
    };
    format!("{name}: {scheme} realm=\"{realm}\", algorithm {algorithm}{beyond}")
}

/// Returns how long to wait after `failures` failures in a row: doubled each time between a base
/// and a ceiling, cut by up to half at random (RFC 5626 §4.5). What only a person can mend (a
/// wrong password, an unknown account) waits from one minute to half an hour, so that no
/// registrar locks us out; all else from 2 s to 2 min.
pub(crate) fn retry_after(
    status: u16,
    failures: u32,
    retry_after_s: Option<u32>,
    jitter: f64,
) -> Duration {
    let (base_s, ceiling_s) = match status {
        401 | 403 | 404 | 405 | 407 | 416 | 420 => (60.0, 1800.0),
        _ => (2.0, 120.0),
    };
    let doubled_s = base_s * 2_f64.powi(failures.saturating_sub(1).min(16) as i32);
    let wait_s = doubled_s.min(ceiling_s) * (0.5 + 0.5 * jitter);
    let asked_s = f64::from(retry_after_s.unwrap_or(0).min(MAX_RETRY_AFTER_S));
    Duration::from_secs_f64(wait_s.max(asked_s))
}

/// Returns the pause between two keep-alives on a flow, in milliseconds: NATs forget a UDP
/// mapping after 30 s, and carriers an idle connection after two minutes (RFC 5626 §4.4).
pub(crate) fn keep_alive_ms(flow: &Flow) -> RangeInclusive<u64> {
    match flow.transport {
        Transport::Udp => 24_000..=29_000,
        _ => 95_000..=115_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, fields: &str) -> Option<String> {
        let text = format!("SIP/2.0 {status} No\r\n{fields}\r\n\r\n");
        let response = Message::parse(text.as_bytes()).unwrap();
        said(&response, status)
    }

    #[test]
    fn a_refusal_is_told_with_the_header_that_says_why() {
        let challenge = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\"";
        assert_eq!(
            told(401, challenge).unwrap(),
            "WWW-Authenticate: Digest realm=\"pbx\", algorithm MD5"
        );
        let odd = "Proxy-Authenticate: Digest realm=\"a\", nonce=\"n\", algorithm=AKAv1-MD5";
        assert_eq!(
            told(407, odd).unwrap(),
            "Proxy-Authenticate: Digest realm=\"a\", algorithm AKAv1-MD5, which cannot be answered"
        );
        let brief = "Min-Expires: 900000\r\nWarning: 399 a \"b\"";
        assert_eq!(told(423, brief).unwrap(), "Min-Expires: 900000");
        let suspended = "Retry-After: 9\r\nWarning: 399 sbc \"Account suspended\"";
        assert_eq!(
            told(403, suspended).unwrap(),
            "Warning: 399 sbc \"Account suspended\""
        );
        assert_eq!(told(420, "Unsupported: path").unwrap(), "Unsupported: path");
        assert_eq!(told(503, "Retry-After: 9").unwrap(), "Retry-After: 9");
        assert_eq!(told(404, "Server: x"), None);
    }

    #[test]
    fn what_is_told_of_a_refusal_is_bounded_and_on_one_line() {
        let long = format!("Warning: 399 a \"{}\r\n b\"", "x".repeat(5_000));
        let text = told(403, &long).unwrap();
        assert_eq!(text.chars().count(), MAX_SAID_CHARS);
        assert!(!text.contains('\n'));
    }

    fn granted(fields: &str) -> u32 {
        let text = format!("SIP/2.0 200 OK\r\n{fields}\r\n\r\n");
        let response = Message::parse(text.as_bytes()).unwrap();
        granted_s(&response, "sip:gw@10.0.0.1:5060", 600)
    }

    #[test]
    fn the_grant_is_our_contacts_then_expires_then_what_was_asked() {
        assert_eq!(
            granted("Contact: <sip:gw@10.0.0.1>;expires=59\r\nExpires: 300"),
            59
        );
        assert_eq!(
            granted("Contact: <sip:gw@10.0.0.1:5060;alias=1~2>;expires=59"),
            59
        );
        let two = "Contact: <sip:other@10.0.0.2>;expires=9, <sip:gw@10.0.0.1>;expires=61";
        assert_eq!(granted(two), 61);
        assert_eq!(
            granted("Contact: <sip:gw@198.51.100.9:1024>;expires=62"),
            62,
            "rewritten"
        );
        assert_eq!(
            granted("Contact: <sip:gw@10.0.0.1:5060>\r\nExpires: 300"),
            300
        );
        assert_eq!(granted("Expires: 301"), 301);
        assert_eq!(granted("Server: x"), 600);
    }

    #[test]
    fn telnyx_grants_less_than_asked_in_the_contact_only() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/corpora/carriers/17_telnyx_register_200.sip"
        );
        let bytes = std::fs::read(path).unwrap();
        let response = Message::parse(&bytes).unwrap();
        let contact = "sip:gw+telnyx@172.18.0.2:5060;transport=tcp";
        assert_eq!(granted_s(&response, contact, 3600), 3584);
    }

    #[test]
    fn a_binding_is_refreshed_before_it_ends() {
        for granted_s in [1, 20, 60, 3584, u32::MAX] {
            for jitter in [0.0, 0.5, 1.0] {
                let after = refresh_after(granted_s, jitter);
                assert!(
                    after <= Duration::from_secs(u64::from(granted_s)),
                    "{granted_s}"
                );
                assert!(after >= Duration::from_secs(1), "{granted_s}");
            }
        }
    }

    #[test]
    fn failures_back_off_to_a_ceiling_and_retry_after_is_obeyed() {
        let wait_s = |status, failures, asked| retry_after(status, failures, asked, 1.0).as_secs();
        assert_eq!(
            [1, 2, 3, 7, 100].map(|n| wait_s(503, n, None)),
            [2, 4, 8, 120, 120]
        );
        assert_eq!(
            [1, 2, 6, 100].map(|n| wait_s(403, n, None)),
            [60, 120, 1800, 1800]
        );
        assert_eq!(wait_s(503, 1, Some(90)), 90);
        assert_eq!(wait_s(503, 1, Some(1)), 2);
        assert_eq!(wait_s(503, 1, Some(u32::MAX)), 3600);
        assert_eq!(retry_after(503, 3, None, 0.0), Duration::from_secs(4));
    }
}
