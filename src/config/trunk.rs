//! `[[trunk]]`: the carriers and PBXs that calls come from and go to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use offhook_media::SrtpPolicy;

use super::account;
use super::codec::{self, Codec};
use super::fail_over::FailOverOn;
use super::forwarding::{DiversionHeader, FollowRedirects};
use super::headers;
use super::identity::IdentityHeader;
use super::keys::Keys;
use super::listen::Transport;
use super::network::{Network, preset};
use super::numbers::{self, NumberForm, Numbers};
use super::pattern::Pattern;
use super::reader::{Reader, Section};
use super::secret::Secret;
use super::sip::{read_ping, small};
use super::value::text_value;

/// The longest announcement, in characters.
const MAX_ANNOUNCEMENT: usize = 500;

/// How a trunk and the switch know each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrunkKind {
    /// By address and, outbound, by digest; no registration.
    Peer,
    /// The switch registers with it and keeps the binding alive (RFC 3261 section 10).
    Register,
    /// It only calls us, from networks that are listed.
    Inbound,
}

impl FromStr for TrunkKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "peer" => Ok(Self::Peer),
            "register" => Ok(Self::Register),
            "inbound" => Ok(Self::Inbound),
            _ => Err(format!(
                "{text:?} is not one of \"peer\", \"register\", \"inbound\""
            )),
        }
    }
}

impl fmt::Display for TrunkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => "peer",
            Self::Register => "register",
            Self::Inbound => "inbound",
        })
    }
}

text_value!(TrunkKind, "\"peer\", \"register\" or \"inbound\"");

/// One `[[trunk]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrunkConfig {
    /// The name that calls, routes and logs use.
    pub name: String,
    /// How it is known.
    pub kind: TrunkKind,
    /// The carrier's host; also the Request-URI's host, TLS name and realm of its numbers.
    /// Empty for an inbound trunk.
    pub host: String,
    /// The port; `None` leaves it to SRV records (RFC 3263).
    pub port: Option<u16>,
    /// The transport; `None` does not pin it (RFC 3263 section 4.1, RFC 3261 section 18.1.1).
    pub transport: Option<Transport>,
    /// The authorities that its certificate must come from; `None` is the system's.
    pub ca: Option<PathBuf>,
    /// Who we are there: the user of our address-of-record, or all of it (`user@domain`).
    pub username: Option<String>,
    /// The digest user, where that is another.
    pub auth_username: Option<String>,
    /// The digest password.
    pub password: Option<Secret>,
    /// The form in which it wants numbers.
    pub numbers: NumberForm,
    /// The form in which it sends them.
    pub incoming_numbers: NumberForm,
    /// The country that it is in, by its code (`44`).
    pub country_code: Option<String>,
    /// The callers that it may be shown; the others are its `caller_id`.
    pub caller_ids: Vec<Pattern>,
    /// The number that outgoing calls come from.
    pub caller_id: Option<String>,
    /// Networks whose calls belong to this trunk.
    pub networks: Vec<Network>,
    /// Whether calls from where the host and the outbound proxy resolve to belong to it too.
    pub networks_from_host: bool,
    /// The codecs, best first; `None` leaves them to `media.codecs`.
    pub codecs: Option<Vec<Codec>>,
    /// Whether its media is encrypted; `None` leaves it to `media.srtp`.
    pub srtp: Option<SrtpPolicy>,
    /// How keys go over it.
    pub dtmf: Keys,
    /// Whether comfort noise stands for our silence where it takes that (RFC 3389).
    pub comfort_noise: bool,
    /// Whether its calls are recorded, where `media.recordings` is set.
    pub record: bool,
    /// What is said first to who is recorded.
    pub recording_announcement: Option<String>,
    /// The most calls over it at one time, both ways; 0 is no limit of its own.
    pub max_calls: u32,
    /// The most calls that we begin over it in a second; 0 is no limit.
    pub max_cps: u32,
    /// The most calls that come in over it within a second; 0 is no limit.
    pub max_cps_in: u32,
    /// How long one of its addresses may take to its first word on a call of ours (100 Trying), in
    /// s, until the next address, or trunk, is tried.
    pub trying_timeout_s: u32,
    /// After which refusals of it a call goes to the next trunk.
    pub fail_over_on: FailOverOn,
    /// How often its addresses are asked by OPTIONS whether they are there, in s; 0 is never.
    pub ping_s: u32,
    /// The registration's lifetime to ask for, in s.
    pub expires_s: u32,
    /// Header fields that our calls over it get.
    pub headers: BTreeMap<String, String>,
    /// Header fields (`X-…`) of a caller's that go on over it.
    pub pass_headers: Vec<Pattern>,
    /// Header fields that none of our calls over it has, whoever wants them.
    pub remove_headers: Vec<Pattern>,
    /// How it is told who calls, beside From.
    pub identity: IdentityHeader,
    /// Where redirects (3xx) of our calls over it may lead.
    pub follow_redirects: FollowRedirects,
    /// How it is told whom a call was for that goes on over it.
    pub diversion: DiversionHeader,
    /// Whether those whom it leads to may transfer calls (REFER) and take over a party's place in
    /// one (Replaces).
    pub transfers: bool,
    /// Whether it transfers calls itself (REFER): an agent's to a number over the trunk is asked of it.
    pub refer: bool,
    /// `host` or `host:port` that requests go through as a preloaded Route (RFC 3261 §8.1.2).
    pub outbound_proxy: Option<String>,
}

impl TrunkConfig {
    pub(super) fn read_all(r: &mut Reader<'_>, sections: Vec<Section>) -> Vec<Self> {
        let mut names = BTreeSet::new();
        sections
            .into_iter()
            .filter_map(|section| Self::read(r, section, &mut names))
            .collect()
    }

    fn read(r: &mut Reader<'_>, mut s: Section, names: &mut BTreeSet<String>) -> Option<Self> {
        let name = read_name(r, &mut s, names);
        let kind = s.required(r, "kind", "write \"peer\", \"register\" or \"inbound\"");
        let host = read_host(r, &mut s, "host");
        let origin = s.origin_of("port");
        let port = s
            .opt::<u64>(r, "port")
            .map(|port| u16::try_from(port).unwrap_or(0));
        if port == Some(0) {
            s.wrong(r, "port", &origin, "is not a port: from 1 to 65535");
        }
        let transport = read_transport(r, &mut s);
        let origin = s.origin_of("ca");
        let ca = s.path(r, "ca");
        if ca.is_some() && transport != Some(Transport::Tls) {
            s.wrong(r, "ca", &origin, "is for transport = \"tls\" alone");
        }
        let username = account::read_username(r, &mut s);
        let auth_username = account::read_auth_username(r, &mut s, username.is_some());
        let password: Option<Secret> = s.opt(r, "password");
        let caller_id = numbers::read_caller_id(r, &mut s, &host);
        let networks = s.list::<Network>(r, "networks");
        let codecs = codec::read(r, &mut s);
        let srtp = s.opt(r, "srtp");
        let dtmf = s.or(r, "dtmf", Keys::default());
        let comfort_noise = s.or(r, "comfort_noise", false);
        let record = s.or(r, "record", true);
        let recording_announcement = read_announcement(r, &mut s, record);
        let expires_s = small(s.number(r, "expires_s", 60..=86_400, 300));
        let outbound_proxy = read_host(r, &mut s, "outbound_proxy");
        let ping_s = read_ping(r, &mut s, "ping_s", (3_600, 30));
        let max_calls = small(s.number(r, "max_calls", 0..=100_000, 0));
        let max_cps = small(s.number(r, "max_cps", 0..=1_000, 0));
        let max_cps_in = small(s.number(r, "max_cps_in", 0..=1_000, 0));
        let trying_timeout_s = small(s.number(r, "trying_timeout_s", 1..=32, 6));
        let fail_over_on = FailOverOn::read(r, &mut s);
        let Numbers {
            wanted: numbers,
            incoming: incoming_numbers,
            country_code,
        } = numbers::read_numbers(r, &mut s);
        let caller_ids = numbers::read_caller_ids(r, &mut s, caller_id.as_deref());
        let identity = s.or(r, "identity", IdentityHeader::default());
        let headers = headers::read_added(r, &mut s, identity);
        let pass_headers = s.list::<Pattern>(r, "pass_headers").unwrap_or_default();
        let remove_headers = headers::read_removed(r, &mut s, &headers);
        let follow_redirects = s.or(r, "follow_redirects", FollowRedirects::default());
        let diversion = s.or(r, "diversion", DiversionHeader::default());
        let transfers = s.or(r, "transfers", false);
        let refer = s.or(r, "refer", false);
        let kind: TrunkKind = kind?;
        check_kind(
            r,
            &s,
            kind,
            host.as_deref(),
            username.as_deref(),
            password.is_some(),
        );
        check_networks(r, &s, kind, networks.as_deref());
        s.finish(r);
        let host = host.unwrap_or_default();
        let networks_from_host = networks.is_none() && kind != TrunkKind::Inbound;
        let networks = networks.unwrap_or_else(|| preset(&host));
        Some(Self {
            name: name?,
            kind,
            host,
            port,
            transport,
            ca,
            username,
            auth_username,
            password,
            numbers,
            incoming_numbers,
            country_code,
            caller_ids,
            caller_id,
            networks,
            networks_from_host,
            codecs,
            srtp,
            dtmf,
            comfort_noise,
            record,
            recording_announcement,
            max_calls,
            max_cps,
            max_cps_in,
            trying_timeout_s,
            fail_over_on,
            ping_s,
            expires_s,
            headers,
            pass_headers,
            remove_headers,
            identity,
            follow_redirects,
            diversion,
            transfers,
            refer,
            outbound_proxy,
        })
    }
}

/// What a name may be made of.
pub(super) const NAME_RULE: &str =
    "use letters, digits, \"-\", \"_\" and \".\", at most 64 of them";

/// Whether a text can be a name.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 64 && name.chars().all(allowed)
}

/// Reads the name of an element, which is unique and safe in a log, a label and a URI.
pub(super) fn read_name(
    r: &mut Reader<'_>,
    s: &mut Section,
    names: &mut BTreeSet<String>,
) -> Option<String> {
    let origin = s.origin_of("name");
    let name: String = s.required(r, "name", "every one has a name of its own")?;
    if !is_name(&name) {
        s.wrong(r, "name", &origin, NAME_RULE);
        return None;
    }
    if !names.insert(name.clone()) {
        s.wrong(
            r,
            "name",
            &origin,
            format!("{name:?} is used twice; each name is used once"),
        );
        return None;
    }
    Some(name)
}

/// Whether a text can be a host, with or without a port.
pub(super) fn is_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let bare = host.trim_start_matches('[').replace(']', "");
    !bare.is_empty() && host.len() <= 255 && bare.chars().all(allowed)
}

fn read_host(r: &mut Reader<'_>, s: &mut Section, key: &'static str) -> Option<String> {
    let origin = s.origin_of(key);
    let host: String = s.opt(r, key)?;
    if !is_host(&host) {
        let message = format!("{host:?} is not a host: write a name or address, without \"sip:\"");
        s.wrong(r, key, &origin, message);
        return None;
    }
    Some(host)
}

/// Reads the transport that a trunk is pinned to: a WebSocket is opened by pages, never by us.
fn read_transport(r: &mut Reader<'_>, s: &mut Section) -> Option<Transport> {
    let origin = s.origin_of("transport");
    let transport: Transport = s.opt(r, "transport")?;
    if matches!(transport, Transport::Ws | Transport::Wss) {
        let message = "is for `sip.listen` alone: a trunk has \"udp\", \"tcp\" or \"tls\"";
        s.wrong(r, "transport", &origin, message);
        return None;
    }
    Some(transport)
}

fn read_announcement(r: &mut Reader<'_>, s: &mut Section, record: bool) -> Option<String> {
    let origin = s.origin_of("recording_announcement");
    let text: String = s.opt(r, "recording_announcement")?;
    let wrong = if !record {
        "would never be said: record = false"
    } else if text.trim().is_empty() || text.chars().count() > MAX_ANNOUNCEMENT {
        "is a sentence or two, at most 500 characters"
    } else {
        return Some(text);
    };
    s.wrong(r, "recording_announcement", &origin, wrong);
    None
}

fn check_kind(
    r: &mut Reader<'_>,
    s: &Section,
    kind: TrunkKind,
    host: Option<&str>,
    username: Option<&str>,
    has_password: bool,
) {
    let origin = s.origin.clone();
    if kind == TrunkKind::Inbound {
        if host.is_some() || username.is_some() || has_password {
            let message = "an inbound trunk only calls us: leave out host, username and password, \
                           or make it kind = \"peer\"";
            s.wrong(r, "kind", &origin, message);
        }
        return;
    }
    if host.is_none() {
        s.wrong(
            r,
            "host",
            &origin,
            "is missing or wrong: name the carrier's host",
        );
    }
    match (username, has_password) {
        (Some(_), false) => {
            s.wrong(
                r,
                "password",
                &origin,
                "is missing: a username needs its password",
            );
        }
        (None, true) => {
            s.wrong(
                r,
                "username",
                &origin,
                "is missing: a password needs its username",
            );
        }
        (None, false) if kind == TrunkKind::Register => {
            s.wrong(
                r,
                "username",
                &origin,
                "is missing: registering needs username and password",
            );
        }
        _ => {}
    }
}

fn check_networks(r: &mut Reader<'_>, s: &Section, kind: TrunkKind, networks: Option<&[Network]>) {
    let origin = s.origin.clone();
    if kind == TrunkKind::Inbound && networks.is_none_or(<[Network]>::is_empty) {
        let message = "is missing: list the networks that this trunk's calls come from";
        s.wrong(r, "networks", &origin, message);
    }
    if networks.is_some_and(|list| list.iter().any(Network::is_everything)) {
        let message = "holds the whole internet: anyone could place calls as this trunk; \
                       list the carrier's own networks";
        s.wrong(r, "networks", &origin, message);
    }
}
