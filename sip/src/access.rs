//! Who may call and register.
//!
//! A call comes from a trunk, known by its networks; from a user who proves to be one; or, only
//! where that is allowed, from this machine itself. Over a WebSocket it comes from a user alone.
//! Everyone else is challenged if there are users at all, and refused otherwise. A wrong password
//! and an unknown user are answered alike, after the same work, so that nobody learns by asking
//! who exists.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::digest::{Algorithm, DigestServer, Ha1, ServerConfig, Verdict};
use crate::flow::Flow;
use crate::message::{HeaderName, Message, Method};
use crate::network::Network;
use crate::uri::{Host, Uri};

/// How long a nonce serves before it is stale.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// How many nonces may be in use at a time; only a right password takes one.
const MAX_NONCES: usize = 8192;

/// Who may call and register.
#[derive(Clone, Default, Debug)]
pub struct Access {
    /// The trunks, known by the addresses that they call from.
    pub trunks: Vec<TrunkPeer>,
    /// The users, who prove themselves by digest.
    pub users: Vec<UserSecret>,
    /// The realm of the challenges.
    pub realm: String,
    /// The algorithms that they offer, the preferred one first; none: SHA-256, then MD5.
    pub digests: Vec<Algorithm>,
    /// Lets calls in from loopback addresses without further questions: only for a switch whose
    /// every listener is bound to loopback. Who comes over a WebSocket is asked all the same.
    pub open_loopback: bool,
}

/// A trunk that may call. Its networks alone let it in; the rest tells it from others that call from
/// the same ones, as two accounts at one carrier do.
#[derive(Clone, Default, Debug)]
pub struct TrunkPeer {
    /// Its name.
    pub name: String,
    /// The networks that it calls from.
    pub networks: Vec<Network>,
    /// The user part of the Contact that is registered with it, and that no other trunk has.
    pub contact_user: Option<String>,
    /// Hosts that its calls may be addressed to, in To or Request-URI: its own names.
    pub hosts: Vec<String>,
    /// Numbers that are reached over it, without `+`, in each form in which it may write them.
    pub numbers: Vec<String>,
}

impl TrunkPeer {
    /// What of a call says that it is this trunk's, the surest first.
    fn is_meant(&self, message: &Message<'_>) -> [bool; 3] {
        let called = message.request_uri().ok();
        let user = called.map(|uri| uri.user_text());
        let user = user.as_deref().unwrap_or_default();
        let number = user.split(';').next().unwrap_or_default();
        let number = number.trim_start_matches('+');
        let to = message.to().ok().map(|to| to.uri);
        let is_ours = |uri: Uri<'_>| self.hosts.iter().any(|own| names(own, uri.host));
        [
            self.contact_user.as_deref() == Some(user),
            [called, to].into_iter().flatten().any(is_ours),
            !number.is_empty() && self.numbers.iter().any(|own| own == number),
        ]
    }
}

/// Whether a text is the name or address of a host; an IPv6 address may lack its brackets.
fn names(text: &str, host: Host<'_>) -> bool {
    match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => host.address() == Some(address),
        Err(_) => Host::parse(text) == Some(host),
    }
}

/// A user who may call and register.
#[derive(Clone)]
pub struct UserSecret {
    /// The user name, which is also the user part of the address-of-record.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for UserSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSecret")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Whose request it is.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub enum Source {
    /// A trunk's, by its name.
    Trunk(String),
    /// A user's, by its name.
    User(String),
    /// Someone's on this machine.
    Local,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is let in.
    Admit(Source),
    /// It is answered 401 with these header fields, or with one where there is little room.
    Challenge {
        headers: Vec<(String, String)>,
        shortest: (String, String),
    },
    /// It is answered 403, and the attempt by this user name is worth a log line.
    WrongCredentials { username: String },
    /// It is answered with this status.
    Refuse(u16),
}

/// Decides by [`Access`] whom to let in.
pub(crate) struct Gate {
    trunks: Vec<TrunkPeer>,
    passwords: HashMap<String, String>,
    digest: DigestServer,
    open_loopback: bool,
    /// The moment that nonces count from: the first request.
    epoch: Option<Instant>,
}

impl Gate {
    /// Makes the gate; the secret seals its nonces.
    pub(crate) fn new(access: &Access, secret: [u8; 32], first_serial: u64) -> Self {
        let users = access.users.iter();
        let realm = if access.realm.is_empty() {
            "offhook"
        } else {
            &access.realm
        };
        Self {
            trunks: access.trunks.clone(),
            passwords: users
                .map(|user| (user.name.clone(), user.password.clone()))
                .collect(),
            digest: DigestServer::new(ServerConfig {
                realm: realm.to_owned(),
                secret,
                first_serial,
                nonce_lifetime: NONCE_LIFETIME,
                max_nonces: MAX_NONCES,
            })
            .offering(&access.digests),
            open_loopback: access.open_loopback,
            epoch: None,
        }
    }

    /// Sets where a trunk calls from; one of another name is added.
    pub(crate) fn set_trunk_networks(&mut self, name: &str, networks: Vec<Network>) {
        match self.trunks.iter_mut().find(|trunk| trunk.name == name) {
            Some(trunk) => trunk.networks = networks,
            None => self.trunks.push(TrunkPeer {
                name: name.to_owned(),
                networks,
                ..TrunkPeer::default()
            }),
        }
    }

    /// Returns whether anyone could prove to be a user.
    pub(crate) fn has_users(&self) -> bool {
        !self.passwords.is_empty()
    }

    /// Returns whether a flow is one that calls are let in from without further questions.
    pub(crate) fn knows(&self, flow: Flow) -> bool {
        self.is_local(flow) || self.trunks_at(flow).next().is_some()
    }

    /// The trunks that call on a flow; none over a WebSocket: its other end may be any page's, or
    /// anybody's behind a proxy that has an address of ours.
    fn trunks_at(&self, flow: Flow) -> impl DoubleEndedIterator<Item = &TrunkPeer> {
        let remote = flow.remote.ip();
        let trunks = self.trunks.iter();
        let trunks = trunks.filter(move |_| !flow.transport.is_websocket());
        trunks.filter(move |trunk| trunk.networks.iter().any(|n| n.contains(remote)))
    }

    /// The trunk whose call this is. Of several that call from there it is the one whose Contact is
    /// called, else one whose host is named, and of these one whose number is called, else the first.
    fn trunk(&self, flow: Flow, message: &Message<'_>) -> Option<&TrunkPeer> {
        let mut trunks = self.trunks_at(flow);
        let first = trunks.next()?;
        if trunks.next().is_none() {
            return Some(first);
        }
        // Of equals the last is taken: the first, from behind.
        let trunks = self.trunks_at(flow).rev();
        trunks.max_by_key(|trunk| trunk.is_meant(message))
    }

    fn is_local(&self, flow: Flow) -> bool {
        self.open_loopback
            && !flow.transport.is_websocket()
            && flow.remote.ip().to_canonical().is_loopback()
    }

    /// Judges an INVITE or a REGISTER. A REGISTER binds a user's address, so that only a user may
    /// send it, wherever it comes from.
    pub(crate) fn admit(&mut self, now: Instant, flow: Flow, message: &Message<'_>) -> Admission {
        let registers = message.method() == Some(Method::Register);
        if let Some(trunk) = self.trunk(flow, message).filter(|_| !registers) {
            return Admission::Admit(Source::Trunk(trunk.name.clone()));
        }
        let local = self.is_local(flow) && !registers;
        if self.passwords.is_empty() {
            return if local {
                Admission::Admit(Source::Local)
            } else {
                Admission::Refuse(403)
            };
        }
        match self.verdict(now, message) {
            Verdict::Accepted { username } => Admission::Admit(Source::User(username)),
            Verdict::Missing if local => Admission::Admit(Source::Local),
            Verdict::Missing => self.challenge(now, false),
            Verdict::Stale => self.challenge(now, true),
            Verdict::Wrong => Admission::WrongCredentials {
                username: claimed_name(message),
            },
        }
    }

    fn verdict(&mut self, now: Instant, message: &Message<'_>) -> Verdict {
        let since = self.since_epoch(now);
        let passwords = &self.passwords;
        let users = |name: &str, realm: &str, algorithm: Algorithm| {
            passwords
                .get(name)
                .map(|password| Ha1::new(algorithm, name, realm, password))
        };
        self.digest.verify(since, message, false, &users)
    }

    fn challenge(&mut self, now: Instant, stale: bool) -> Admission {
        let since = self.since_epoch(now);
        let lines = self.digest.challenge(since, false, stale);
        let shortest = self.digest.short_challenge(since, false, stale);
        let text = |(name, value): (HeaderName, String)| (name.as_str().to_owned(), value);
        Admission::Challenge {
            headers: lines.into_iter().map(text).collect(),
            shortest: text(shortest),
        }
    }

    fn since_epoch(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.epoch.get_or_insert(now))
    }
}

/// Returns the user name that a request claims, cut to what a log line can bear.
fn claimed_name(message: &Message<'_>) -> String {
    let claimed = message
        .authorization()
        .next()
        .map(|credentials| credentials.username());
    claimed
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(64)
        .collect()
}
