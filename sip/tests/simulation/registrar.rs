//! A carrier's registrar: who is who by digest, and where they are (RFC 3261 §10.3, §22).

use std::collections::BTreeMap;
use std::time::Duration;

use offhook_sip::digest::{Algorithm, DigestServer, Ha1, ServerConfig, Verdict};
use offhook_sip::message::{HeaderName, Message};

/// The domain that the registrar is responsible for, and the realm of its challenges.
pub(crate) const DOMAIN: &str = "carrier.example";
/// Who has an account; the password is the name backwards.
pub(crate) const USERS: [&str; 3] = ["alice", "bob", "carol"];
/// The number that bob and carol answer together, each with a binding of their own.
pub(crate) const GROUP: &str = "desk";
/// A number that leads to itself, and to bob.
pub(crate) const LOOP: &str = "loop";

pub(crate) fn password(user: &str) -> String {
    user.chars().rev().collect()
}

/// What a request gets: a status, and the fields that go with it.
pub(crate) type Answer = (u16, Vec<(HeaderName, String)>);

/// How the registrar is set up.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    /// Whether it challenges with MD5 alone, as most carriers do, or offers SHA-256 before it.
    pub(crate) md5_only: bool,
    /// The least lifetime that it grants, and the most, in seconds.
    pub(crate) expires_s: (u32, u32),
    pub(crate) nonce_lifetime: Duration,
}

pub(crate) struct Registrar {
    policy: Policy,
    digest: DigestServer,
    bindings: BTreeMap<String, Vec<Binding>>,
    /// Where requests are to leave the domain by (RFC 3608), if they are told.
    service_route: Option<String>,
    pub(crate) challenged: u64,
}

struct Binding {
    contact: String,
    call_id: String,
    cseq: u32,
    /// By the wall clock, which jumps.
    expires_at: Duration,
}

impl Registrar {
    pub(crate) fn new(policy: Policy, secret: [u8; 32], service_route: Option<String>) -> Self {
        Self {
            policy,
            digest: digest(&policy, secret),
            bindings: BTreeMap::new(),
            service_route,
            challenged: 0,
        }
    }

    /// Begins anew, with another secret and, unless they are on disk, without bindings.
    pub(crate) fn restart(&mut self, secret: [u8; 32], keeps_bindings: bool) {
        self.digest = digest(&self.policy, secret);
        if !keeps_bindings {
            self.bindings.clear();
        }
    }

    /// Judges a request's credentials; who has none that are right is answered by what is returned.
    pub(crate) fn authenticate(
        &mut self,
        wall: Duration,
        request: &Message<'_>,
        proxy: bool,
    ) -> Result<String, Answer> {
        let users = |name: &str, realm: &str, algorithm: Algorithm| {
            let known = USERS.contains(&name);
            known.then(|| Ha1::new(algorithm, name, realm, &password(name)))
        };
        let stale = match self.digest.verify(wall, request, proxy, &users) {
            Verdict::Accepted { username } => return Ok(username),
            Verdict::Wrong => return Err((403, Vec::new())),
            Verdict::Missing => false,
            Verdict::Stale => true,
        };
        self.challenged += 1;
        let fields = match self.policy.md5_only {
            true => vec![self.digest.short_challenge(wall, proxy, stale)],
            false => self.digest.challenge(wall, proxy, stale),
        };
        Err((if proxy { 407 } else { 401 }, fields))
    }

    /// Takes a REGISTER (§10.3).
    pub(crate) fn register(&mut self, wall: Duration, request: &Message<'_>) -> Answer {
        let user = match self.authenticate(wall, request, false) {
            Ok(user) => user,
            Err(answer) => return answer,
        };
        let aor = request.to().unwrap().uri.user_text().into_owned();
        let is_known = USERS.contains(&aor.as_str()) || aor == GROUP;
        if !is_known {
            return (404, Vec::new());
        }
        if aor != user && aor != GROUP {
            return (403, Vec::new());
        }
        self.expire(wall);
        let bindings = self.bindings.entry(aor.clone()).or_default();
        let (call_id, cseq) = (request.call_id().unwrap(), request.cseq().unwrap().number);
        // Step 7: what comes out of order changes nothing.
        let overtaken = |binding: &Binding| binding.call_id == call_id && binding.cseq >= cseq;
        if bindings.iter().any(overtaken) {
            return (500, Vec::new());
        }
        let (least_s, most_s) = self.policy.expires_s;
        for contact in request.contacts() {
            let contact = contact.unwrap();
            let uri = contact.uri().expect("a Contact of one address");
            let uri = uri.as_str().to_owned();
            let asked_s = contact.expires().or(request.expires()).unwrap_or(3600);
            if asked_s > 0 && asked_s < least_s {
                return (423, vec![(HeaderName::MinExpires, least_s.to_string())]);
            }
            bindings.retain(|binding| binding.contact != uri);
            if asked_s > 0 {
                let granted_s = asked_s.min(most_s);
                bindings.push(Binding {
                    contact: uri,
                    call_id: call_id.to_owned(),
                    cseq,
                    expires_at: wall + Duration::from_secs(granted_s.into()),
                });
            }
        }
        (200, self.granted(wall, &aor))
    }

    /// Lists the bindings as a 200 does (step 8).
    fn granted(&self, wall: Duration, aor: &str) -> Vec<(HeaderName, String)> {
        let bindings = self.bindings.get(aor).into_iter().flatten();
        let mut fields: Vec<_> = bindings
            .map(|binding| {
                let left_s = binding.expires_at.saturating_sub(wall).as_secs();
                let value = format!("<{}>;expires={left_s}", binding.contact);
                (HeaderName::Contact, value)
            })
            .collect();
        let route = self.service_route.iter();
        fields.extend(route.map(|route| (HeaderName::ServiceRoute, route.clone())));
        fields
    }

    /// Says where a user is now; nothing where there is no such user.
    pub(crate) fn locate(
        &mut self,
        wall: Duration,
        user: &str,
        proxy: &str,
    ) -> Option<Vec<String>> {
        if user == LOOP {
            return Some(vec![
                format!("sip:{LOOP}@{proxy}"),
                format!("sip:bob@{DOMAIN}"),
            ]);
        }
        if !USERS.contains(&user) && user != GROUP {
            return None;
        }
        self.expire(wall);
        let bindings = self.bindings.get(user).into_iter().flatten();
        Some(bindings.map(|binding| binding.contact.clone()).collect())
    }

    /// Counts the bindings of an address-of-record that stand now.
    pub(crate) fn count(&mut self, wall: Duration, user: &str) -> usize {
        self.expire(wall);
        self.bindings.get(user).map_or(0, Vec::len)
    }

    fn expire(&mut self, wall: Duration) {
        for bindings in self.bindings.values_mut() {
            bindings.retain(|binding| binding.expires_at > wall);
        }
    }
}

fn digest(policy: &Policy, secret: [u8; 32]) -> DigestServer {
    DigestServer::new(ServerConfig {
        realm: DOMAIN.to_owned(),
        secret,
        first_serial: 1,
        nonce_lifetime: policy.nonce_lifetime,
        max_nonces: 8192,
    })
}
