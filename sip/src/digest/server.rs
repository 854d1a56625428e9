//! The server's side: challenges without state, answers verified in constant time.

use std::time::Duration;

use subtle::ConstantTimeEq;

use super::nonce::{Replay, Stamp};
use super::{Algorithm, Authorization, DigestInput, Ha1, Qop, digest_response};
use crate::message::{HeaderName, Message, Quoted};
use crate::uri::{Uri, unescape};

/// The algorithms on offer where nothing else is said, the preferred one first (RFC 8760 §2.3).
const OFFERED: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

/// Who may authenticate.
pub trait Users {
    /// The hash of a user's password for a realm, or `None` where there is no such user.
    fn ha1(&self, username: &str, realm: &str, algorithm: Algorithm) -> Option<Ha1>;
}

impl<F> Users for F
where
    F: Fn(&str, &str, Algorithm) -> Option<Ha1>,
{
    fn ha1(&self, username: &str, realm: &str, algorithm: Algorithm) -> Option<Ha1> {
        self(username, realm, algorithm)
    }
}

/// How a server challenges.
#[derive(Clone)]
pub struct ServerConfig {
    /// The realm, shown to users.
    pub realm: String,
    /// The key of the nonces; random, and kept over restarts where nonces are to survive them.
    pub secret: [u8; 32],
    /// Where the nonces' serial numbers begin; random, so that restarts do not repeat them.
    pub first_serial: u64,
    /// How long a nonce serves.
    pub nonce_lifetime: Duration,
    /// The most nonces in use at a time.
    pub max_nonces: usize,
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// What a request's credentials are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are this user's, and fresh.
    Accepted {
        /// The user.
        username: String,
    },
    /// There are none for this realm: challenge.
    Missing,
    /// They are right but the nonce is too old or used up: challenge with `stale=true`.
    Stale,
    /// They are wrong: challenge again, or answer 403.
    Wrong,
}

/// A digest server: challenges and verifies for one realm.
#[derive(Clone, Debug)]
pub struct DigestServer {
    config: ServerConfig,
    offered: Vec<Algorithm>,
    serial: u64,
    /// The latest time that was told. A clock that runs back stands still until it has caught up:
    /// else every fresh nonce would be older than those that were forgotten, and stale.
    latest: Duration,
    replay: Replay,
    /// What is hashed for a user that there is not: as long as a password, and made beforehand, so
    /// that it takes as long.
    no_password: String,
}

impl DigestServer {
    /// Begins with no nonce in use.
    pub fn new(config: ServerConfig) -> Self {
        let (serial, replay) = (config.first_serial, Replay::new(config.max_nonces));
        let no_password = super::hmac::hmac_sha256(&config.secret, &[b"nobody"]);
        let no_password = super::algorithm::hex(no_password.get(..8).unwrap_or_default());
        DigestServer {
            config,
            offered: OFFERED.to_vec(),
            serial,
            latest: Duration::ZERO,
            replay,
            no_password,
        }
    }

    /// Offers these algorithms and takes no other, the preferred one first: there are phones that
    /// know MD5 alone and stop at a challenge that names another beside it. None leaves it at
    /// SHA-256 before MD5.
    #[must_use]
    pub fn offering(self, algorithms: &[Algorithm]) -> Self {
        match algorithms.is_empty() {
            true => self,
            false => Self {
                offered: algorithms.to_vec(),
                ..self
            },
        }
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.config.realm
    }

    /// The header lines of a 401, or of a 407 for a proxy, one for each algorithm on offer.
    ///
    /// `now` is a monotonic time since any moment that stays the same for the secret's life.
    pub fn challenge(
        &mut self,
        now: Duration,
        proxy: bool,
        stale: bool,
    ) -> Vec<(HeaderName, String)> {
        let nonce = self.fresh_nonce(now);
        let name = challenge_field(proxy);
        let realm = Quoted(&self.config.realm);
        let stale = if stale { ", stale=true" } else { "" };
        self.offered
            .iter()
            .map(|algorithm| {
                let value = format!(
                    "Digest realm={realm}, nonce=\"{nonce}\", algorithm={algorithm}, \
                     qop=\"auth\"{stale}"
                );
                (name, value)
            })
            .collect()
    }

    /// The one header line that every client can answer, for a response that is to be no longer
    /// than its request: MD5, which is what a challenge without an algorithm means (RFC 7616
    /// §3.3), where that is on offer.
    pub fn short_challenge(
        &mut self,
        now: Duration,
        proxy: bool,
        stale: bool,
    ) -> (HeaderName, String) {
        let nonce = self.fresh_nonce(now);
        let realm = Quoted(&self.config.realm);
        let stale = if stale { ",stale=true" } else { "" };
        let mut value = format!("Digest realm={realm},nonce=\"{nonce}\",qop=\"auth\"{stale}");
        if let Some(algorithm) = self.offered.first()
            && !self.offered.contains(&Algorithm::Md5)
        {
            value += &format!(",algorithm={algorithm}");
        }
        (challenge_field(proxy), value)
    }

    fn fresh_nonce(&mut self, now: Duration) -> String {
        self.serial = self.serial.wrapping_add(1);
        Stamp::new(self.at_least(now), self.serial).seal(&self.config.secret, &self.config.realm)
    }

    fn at_least(&mut self, now: Duration) -> Duration {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Judges the credentials of a request, Authorization or (for a proxy) Proxy-Authorization.
    ///
    /// An unknown user costs the same work as a known one and has the same verdict.
    pub fn verify(
        &mut self,
        now: Duration,
        request: &Message<'_>,
        proxy: bool,
        users: &dyn Users,
    ) -> Verdict {
        let now_ms = Stamp::new(self.at_least(now), 0).issued_ms;
        let lifetime_ms = u64::try_from(self.config.nonce_lifetime.as_millis()).unwrap_or(u64::MAX);
        self.replay.expire(now_ms.saturating_sub(lifetime_ms));
        let mut offered = request.authorization().filter(|authorization| {
            authorization.proxy == proxy
                && authorization.is_digest()
                && authorization.realm() == self.config.realm.as_str()
        });
        let Some(authorization) = offered.next() else {
            return Verdict::Missing;
        };
        if !self.is_right(&authorization, request, users) {
            return Verdict::Wrong;
        }
        self.freshness(&authorization, now_ms, lifetime_ms)
    }

    /// Compares the response with the one that the user's password gives.
    fn is_right(
        &self,
        authorization: &Authorization<'_>,
        request: &Message<'_>,
        users: &dyn Users,
    ) -> bool {
        let (Some(method), Some(algorithm)) = (request.method(), authorization.algorithm()) else {
            return false;
        };
        if !self.offered.contains(&algorithm.base()) {
            return false;
        }
        let qop = match authorization.qop() {
            None => None,
            Some(name) if name.eq_ignore_ascii_case("auth") => Some(Qop::Auth),
            Some(name) if name.eq_ignore_ascii_case("auth-int") => Some(Qop::AuthInt),
            Some(_) => return false,
        };
        let username = authorization.username();
        let known = users.ha1(&username, &self.config.realm, algorithm.base());
        let is_known = known.is_some();
        // A user that there is not has a password nobody can know.
        let ha1 = known.unwrap_or_else(|| self.nobody(algorithm, &username));
        let input = DigestInput {
            algorithm,
            method: method.as_str(),
            uri: authorization.uri(),
            nonce: authorization.nonce(),
            qop,
            cnonce: authorization.cnonce().unwrap_or_default(),
            nc: authorization.nc().unwrap_or_default(),
            body: request.body(),
        };
        let expected = digest_response(&ha1, &input);
        let given = authorization.response().to_ascii_lowercase();
        let same = bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
        same & is_known & covers(authorization.uri(), request)
    }

    fn nobody(&self, algorithm: Algorithm, username: &str) -> Ha1 {
        Ha1::new(algorithm, username, &self.config.realm, &self.no_password)
    }

    /// Judges the nonce of a right answer, and takes its count.
    fn freshness(
        &mut self,
        authorization: &Authorization<'_>,
        now_ms: u64,
        lifetime_ms: u64,
    ) -> Verdict {
        let nonce = authorization.nonce();
        let Some(stamp) = Stamp::open(nonce, &self.config.secret, &self.config.realm) else {
            // Made by this server before its secret changed, or by no server of this realm.
            return Verdict::Stale;
        };
        let from_future = stamp.issued_ms > now_ms;
        if from_future || now_ms - stamp.issued_ms > lifetime_ms || self.replay.is_forgotten(stamp)
        {
            return Verdict::Stale;
        }
        // Without a count the nonce serves once.
        let count = match authorization.qop() {
            None => Some(1),
            Some(_) => authorization
                .nc()
                .and_then(|nc| u32::from_str_radix(nc, 16).ok()),
        };
        match count {
            Some(count) if self.replay.take(stamp, count) => Verdict::Accepted {
                username: authorization.username().into_owned(),
            },
            Some(_) => Verdict::Stale,
            None => Verdict::Wrong,
        }
    }
}

fn challenge_field(proxy: bool) -> HeaderName {
    match proxy {
        true => HeaderName::ProxyAuthenticate,
        false => HeaderName::WwwAuthenticate,
    }
}

/// Says whether the URI that was hashed is the request's (RFC 7616 §3.4.6).
///
/// Clients leave out its parameters, its port or, where they hash the server's address, the
/// user: host and, where given, user decide.
fn covers(uri: &str, request: &Message<'_>) -> bool {
    let (Ok(target), Ok(hashed)) = (request.request_uri(), Uri::parse(uri)) else {
        return false;
    };
    let same_user = match (hashed.user, target.user) {
        (Some(hashed), Some(target)) => unescape(hashed) == unescape(target),
        (Some(_), None) => false,
        (None, _) => target.is_sip(),
    };
    same_user && hashed.host == target.host
}
