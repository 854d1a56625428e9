//! The client's side: answering challenges, keeping nonces (RFC 7616 §3.4, RFC 8760 §2.4).

use std::fmt;

use rand::RngCore;
use thiserror::Error;

use super::algorithm::hex;
use super::{Algorithm, Challenge, DigestInput, Ha1, Qop, digest_response};
use crate::message::{HeaderName, Message, Method, Quoted};

/// The most realms that one client answers at a time: a server and the proxies before it.
const MAX_REALMS: usize = 4;

/// The longest nonce, opaque or realm that is kept.
const MAX_VALUE_BYTES: usize = 1024;

/// How often in a row a realm may challenge anew before the credentials count as wrong.
const MAX_ROUNDS: u8 = 2;

/// How many challenges in a row are answered at all, stale ones and those of other realms
/// included, so that no two servers can keep a client busy.
const MAX_IN_A_ROW: u8 = 6;

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
    /// The credentials have been answered with a fresh challenge too often: they are wrong.
    #[error("credentials rejected")]
    Rejected,
    /// A realm, nonce or opaque is longer than 1,024 bytes, or there are more than four realms.
    #[error("challenge over the limits")]
    TooLarge,
}

/// A challenge that has been accepted, and how often its nonce has been used.
#[derive(Clone, Debug)]
struct Session {
    proxy: bool,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    named_algorithm: bool,
    qop: Option<Qop>,
    nc: u32,
    /// Challenges in a row without a success between them.
    rounds: u8,
}

/// The digest state of one client towards one peer.
///
/// Feed every 401 and 407 to [`DigestClient::challenged`], then send the request again with the
/// lines of [`DigestClient::authorize`]; later requests take their lines from the kept nonces.
/// [`DigestClient::accepted`] notes that the peer was satisfied.
#[derive(Clone, Debug, Default)]
pub struct DigestClient {
    sessions: Vec<Session>,
    /// Challenges without a success between them, of all realms.
    in_a_row: u8,
}

impl DigestClient {
    /// Begins without any nonce.
    pub fn new() -> Self {
        DigestClient::default()
    }

    /// Takes the challenges of a response: of each realm the first that is supported.
    ///
    /// Nonces of realms that do not ask any more are dropped. A fresh nonce is tried once more
    /// even without `stale`; after that the credentials are wrong, as they are at once where
    /// the nonce is the one just used.
    ///
    /// # Errors
    /// [`ChallengeError`] where the request need not be sent again.
    pub fn challenged(&mut self, response: &Message<'_>) -> Result<(), ChallengeError> {
        if self.sessions.iter().any(Session::has_served) {
            self.in_a_row = 0;
        }
        let mut fresh: Vec<Session> = Vec::new();
        for challenge in response.authenticate().filter(Challenge::is_supported) {
            let session = Session::new(&challenge).ok_or(ChallengeError::TooLarge)?;
            if fresh.iter().any(|other| other.is_of(&session)) {
                continue;
            }
            if fresh.len() == MAX_REALMS {
                return Err(ChallengeError::TooLarge);
            }
            let old = self.sessions.iter().find(|other| other.is_of(&session));
            fresh.push(session.after(old, challenge.stale())?);
        }
        if fresh.is_empty() {
            return Err(ChallengeError::Unsupported);
        }
        if self.in_a_row >= MAX_IN_A_ROW {
            return Err(ChallengeError::Rejected);
        }
        self.in_a_row += 1;
        // A proxy's challenge says nothing of the server's nonces, nor the reverse.
        self.sessions
            .retain(|old| !fresh.iter().any(|new| new.proxy == old.proxy));
        self.sessions.extend(fresh);
        self.sessions.truncate(MAX_REALMS);
        Ok(())
    }

    /// Notes that a request with these credentials was accepted: the next challenge is a new
    /// beginning.
    pub fn accepted(&mut self) {
        self.in_a_row = 0;
        for session in &mut self.sessions {
            session.rounds = 0;
        }
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
            let name = match session.proxy {
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
            proxy: challenge.proxy,
            realm: realm.into_owned(),
            nonce: nonce.to_owned(),
            opaque: opaque.map(str::to_owned),
            algorithm: challenge.algorithm()?,
            named_algorithm: challenge.names_algorithm(),
            qop: challenge.qop().and_then(Qop::choose),
            nc: 0,
            rounds: 0,
        })
    }

    /// This challenge with what an earlier one of its realm has left behind.
    fn after(self, old: Option<&Session>, stale: bool) -> Result<Session, ChallengeError> {
        let Some(old) = old else {
            return Ok(Session { rounds: 1, ..self });
        };
        let same_nonce = old.nonce == self.nonce;
        let rounds = match () {
            () if old.has_served() => 1,
            () if stale => old.rounds.max(1),
            () if same_nonce && old.nc > 0 => return Err(ChallengeError::Rejected),
            () => old.rounds + 1,
        };
        if rounds > MAX_ROUNDS {
            return Err(ChallengeError::Rejected);
        }
        let nc = if same_nonce { old.nc } else { 0 };
        Ok(Session { rounds, nc, ..self })
    }

    /// Says whether the nonce was used more than once, and so accepted before.
    fn has_served(&self) -> bool {
        self.nc > 1
    }

    fn is_of(&self, other: &Session) -> bool {
        self.proxy == other.proxy && self.realm == other.realm
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
            &self.realm,
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
            Quoted(&self.realm),
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
