//! The client's side: answering challenges, keeping nonces (RFC 7616 §3.4, RFC 8760 §2.4).

use std::fmt;

use rand::RngCore;
use thiserror::Error;

use super::algorithm::hex;
use super::{Algorithm, Authorization, Challenge, DigestInput, Ha1, Qop, digest_response};
use crate::message::{HeaderName, Message, Method, Quoted};

/// The most realms that one client answers at a time: a server and the proxies before it.
const MAX_REALMS: usize = 4;

/// The longest nonce, opaque or realm that is kept.
const MAX_VALUE_BYTES: usize = 1024;

/// How often one request is sent again, whoever asks and whatever for, so that no two servers can
/// keep a client busy.
const MAX_ATTEMPTS: u8 = 6;

/// How many earlier nonces are kept for their counts.
const MAX_EARLIER: usize = 8;

/// A user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChallengeError {
    /// No challenge uses Digest with an algorithm and a quality of protection known here.
    #[error("no supported challenge in the response")]
    Unsupported,
    /// The credentials that the request carried are wrong, or it was sent again too often.
    #[error("credentials rejected")]
    Rejected,
    /// A realm, nonce or opaque is longer than 1,024 bytes, or there are more than four realms.
    #[error("challenge over the limits")]
    TooLarge,
}

/// What one request has been through: how often it was sent again, and which realms have refused
/// what it carried. It begins with the request and goes on with what is sent in its place.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    sent_again: u8,
    refused_by: Vec<Realm>,
}

impl Attempts {
    /// Counts that the request is sent once more; false where that would be too often.
    pub fn once_more(&mut self) -> bool {
        let may = self.sent_again < MAX_ATTEMPTS;
        self.sent_again += u8::from(may);
        may
    }

    /// Returns whether a challenge says that what the request carried is wrong: where the nonce
    /// that it carried comes back, or where it carried a fresh one before. Nothing carried is
    /// nothing refused, and neither is a stale nonce (RFC 7616 §3.3).
    fn end_with(&self, request: &Message<'_>, asked: &Session, stale: bool) -> bool {
        let tried_anew = self.refused_by.contains(&asked.realm);
        let mut carried = asked.realm.carried(request);
        !stale && carried.any(|sent| tried_anew || sent.nonce() == asked.nonce)
    }
}

/// Who asks for credentials: a proxy or a server, by the name of what it guards.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Realm {
    proxy: bool,
    name: String,
}

impl Realm {
    /// The credentials that a request carries for it.
    fn carried<'m>(&self, request: &'m Message<'_>) -> impl Iterator<Item = Authorization<'m>> {
        let sent = request.authorization();
        sent.filter(|sent| sent.proxy == self.proxy && sent.realm() == self.name)
    }
}

/// A challenge that has been accepted, and how often its nonce has been used.
#[derive(Clone, Debug)]
struct Session {
    realm: Realm,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    named_algorithm: bool,
    qop: Option<Qop>,
    nc: u32,
}

/// The digest state of one client towards one peer.
///
/// Feed every 401 and 407 to [`DigestClient::challenged`], then send the request again with the
/// lines of [`DigestClient::authorize`]; later requests take their lines from the kept nonces.
#[derive(Clone, Debug, Default)]
pub struct DigestClient {
    sessions: Vec<Session>,
    /// Nonces that are not volunteered any more, oldest first. A server may use one again, and its
    /// count goes on (RFC 7616 §3.4).
    earlier: Vec<Session>,
}

impl DigestClient {
    /// Begins without any nonce.
    pub fn new() -> Self {
        DigestClient::default()
    }

    /// Takes the challenges of a response to a request: of each realm the first that is supported.
    ///
    /// Nonces of realms that the request carried nothing for, and that do not ask, are dropped: those
    /// that it did carry credentials for are of the proxies that let it through as far as whoever
    /// asks now, and go with it again (RFC 3261 §22.3). Where it carried credentials for a realm that
    /// asks again, a fresh nonce is tried once more even without `stale`; after that the credentials
    /// are wrong, as they are at once where the nonce is the one just carried.
    ///
    /// # Errors
    /// [`ChallengeError`] where the request need not be sent again.
    pub fn challenged(
        &mut self,
        request: &Message<'_>,
        response: &Message<'_>,
        attempts: &mut Attempts,
    ) -> Result<(), ChallengeError> {
        let mut fresh: Vec<Session> = Vec::new();
        let mut refused_by = Vec::new();
        for challenge in response.authenticate().filter(Challenge::is_supported) {
            let session = Session::new(&challenge).ok_or(ChallengeError::TooLarge)?;
            if fresh.iter().any(|other| other.realm == session.realm) {
                continue;
            }
            if fresh.len() == MAX_REALMS {
                return Err(ChallengeError::TooLarge);
            }
            if attempts.end_with(request, &session, challenge.stale()) {
                // It would be refused again: the next request asks anew.
                self.retire(|old| old.realm == session.realm);
                return Err(ChallengeError::Rejected);
            }
            if !challenge.stale() && session.realm.carried(request).next().is_some() {
                refused_by.push(session.realm.clone());
            }
            fresh.push(session);
        }
        if fresh.is_empty() {
            return Err(ChallengeError::Unsupported);
        }
        if !attempts.once_more() {
            return Err(ChallengeError::Rejected);
        }
        attempts.refused_by.extend(refused_by);
        self.replace(request, fresh);
        Ok(())
    }

    /// Keeps what asks now. A proxy's challenge says nothing of the server's nonces, nor the
    /// reverse; nor does it of those of a realm that has let the request through.
    fn replace(&mut self, request: &Message<'_>, mut fresh: Vec<Session>) {
        for session in &mut fresh {
            let same = |old: &mut Session| old.realm == session.realm && old.nonce == session.nonce;
            let kept = self.sessions.extract_if(.., same);
            let known = kept.chain(self.earlier.extract_if(.., same));
            session.nc = known.map(|old| old.nc).max().unwrap_or_default();
        }
        let asks_anew = |old: &Session| fresh.iter().any(|new| new.realm == old.realm);
        let alike = |old: &Session| fresh.iter().any(|new| new.realm.proxy == old.realm.proxy);
        let let_through = |old: &Session| old.realm.carried(request).next().is_some();
        self.retire(|old| asks_anew(old) || alike(old) && !let_through(old));
        // The latest come first; where there are too many, the oldest is asked for again.
        let room = MAX_REALMS.saturating_sub(fresh.len());
        let mut kept = 0;
        self.retire(|_| {
            kept += 1;
            kept > room
        });
        fresh.append(&mut self.sessions);
        self.sessions = fresh;
    }

    /// Volunteers these nonces no more.
    fn retire(&mut self, mut is_over: impl FnMut(&Session) -> bool) {
        let over = self.sessions.extract_if(.., |session| is_over(session));
        self.earlier.extend(over.filter(|session| session.nc > 0));
        let excess = self.earlier.len().saturating_sub(MAX_EARLIER);
        self.earlier.drain(..excess);
    }

    /// Says whether there is a nonce to authorize with.
    pub fn is_ready(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// The header lines for a request, counting each nonce once more; none without a challenge.
    pub fn authorize(
        &mut self,
        credentials: &Credentials,
        method: Method<'_>,
        uri: &str,
        body: &[u8],
        rng: &mut dyn RngCore,
    ) -> Vec<(HeaderName, String)> {
        let answer = |session: &mut Session| {
            let name = match session.realm.proxy {
                true => HeaderName::ProxyAuthorization,
                false => HeaderName::Authorization,
            };
            let mut cnonce = [0u8; 16];
            rng.fill_bytes(&mut cnonce);
            (
                name,
                session.answer(credentials, method.as_str(), uri, body, &hex(&cnonce)),
            )
        };
        self.sessions.iter_mut().map(answer).collect()
    }
}

impl Session {
    fn new(challenge: &Challenge<'_>) -> Option<Session> {
        let nonce = challenge.nonce()?;
        let realm = challenge.realm();
        let opaque = challenge.opaque();
        let lengths = [nonce.len(), realm.len(), opaque.map_or(0, str::len)];
        if lengths.iter().any(|&length| length > MAX_VALUE_BYTES) {
            return None;
        }
        Some(Session {
            realm: Realm {
                proxy: challenge.proxy,
                name: realm.into_owned(),
            },
            nonce: nonce.to_owned(),
            opaque: opaque.map(str::to_owned),
            algorithm: challenge.algorithm()?,
            named_algorithm: challenge.algorithm_name().is_some(),
            qop: challenge.qop().and_then(Qop::choose),
            nc: 0,
        })
    }

    /// Builds the header's value; nonce and opaque go back as they came.
    fn answer(
        &mut self,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        body: &[u8],
        cnonce: &str,
    ) -> String {
        self.nc = self.nc.saturating_add(1);
        let nc = format!("{:08x}", self.nc);
        let ha1 = Ha1::new(
            self.algorithm,
            &credentials.username,
            &self.realm.name,
            &credentials.password,
        );
        let input = DigestInput {
            algorithm: self.algorithm,
            method,
            uri,
            nonce: &self.nonce,
            qop: self.qop,
            cnonce,
            nc: &nc,
            body,
        };
        let response = digest_response(&ha1, &input);
        let mut value = format!(
            "Digest username={}, realm={}, nonce=\"{}\", uri=\"{uri}\", response=\"{response}\"",
            Quoted(&credentials.username),
            Quoted(&self.realm.name),
            self.nonce,
        );
        if self.named_algorithm {
            value += &format!(", algorithm={}", self.algorithm);
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        match self.qop {
            Some(qop) => {
                value += &format!(", cnonce=\"{cnonce}\", qop={}, nc={nc}", qop.as_str());
            }
            // A session hash takes the client's nonce in, whatever the quality of protection.
            None if self.algorithm.is_session() => value += &format!(", cnonce=\"{cnonce}\""),
            None => {}
        }
        value
    }
}
