//! Who may use the API: whoever has a key, or, while there is none, this machine alone.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::Shared;
use super::api::Api;
use super::problem::Problem;
use crate::config::HttpKey;
use crate::observe::metrics::HTTP_AUTH_FAILED;

/// Paths that need no key: what an orchestrator probes, and what describes the API.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];

/// The address that a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The name of the key that a request was let in with; empty without keys.
#[derive(Debug, Clone)]
pub(super) struct Client(pub(super) String);

/// The keys, as digests, so that comparing them takes the same time whatever is sent.
#[derive(Clone)]
pub(super) struct Keys(Vec<(String, [u8; 32])>);

impl Keys {
    pub(super) fn new(keys: &[HttpKey]) -> Self {
        let digest = |key: &HttpKey| (key.name.clone(), sha256(key.key.expose().as_bytes()));
        Self(keys.iter().map(digest).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the name of the key that was sent; looks at every key, whichever matches.
    fn name_of(&self, sent: &[u8]) -> Option<&str> {
        let sent = sha256(sent);
        let mut found = u32::MAX;
        for (index, (_, digest)) in (0_u32..).zip(&self.0) {
            let same: Choice = digest.ct_eq(&sent);
            found.conditional_assign(&index, same);
        }
        let index = usize::try_from(found).ok()?;
        self.0.get(index).map(|(name, _)| name.as_str())
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lets a request in, or answers it with 401 or 403.
pub(super) async fn guard<A: Api>(
    State(shared): State<Shared<A>>,
    mut request: Request,
    next: Next,
) -> Response {
    let client = if shared.keys.is_empty() {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        match this_machine(peer, request.headers()) {
            Ok(()) => String::new(),
            Err(problem) => return problem.into_response(),
        }
    } else if OPEN.contains(&request.uri().path()) {
        String::new()
    } else {
        match bearer(request.headers()).and_then(|sent| shared.keys.name_of(sent)) {
            Some(name) => name.to_owned(),
            None => return unauthorized(request.headers()).into_response(),
        }
    };
    request.extensions_mut().insert(Client(client));
    next.run(request).await
}

/// Returns the token of `Authorization: Bearer` (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

fn unauthorized(headers: &HeaderMap) -> Problem {
    metrics::counter!(HTTP_AUTH_FAILED).increment(1);
    let sent = headers.contains_key(header::AUTHORIZATION);
    let (detail, challenge) = if sent {
        let detail = "the key is none of those under [[http.key]]";
        (detail, "Bearer realm=\"offhook\", error=\"invalid_token\"")
    } else {
        let detail = "send a key of [[http.key]] as \"Authorization: Bearer …\"";
        (detail, "Bearer realm=\"offhook\"")
    };
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "A key is needed",
        detail,
    )
    .with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    )
}

/// Admits only what comes from this machine and means this machine: a web page that a person here
/// opens can make a browser send requests, under its own name by DNS rebinding, and a proxy can
/// carry requests from anywhere.
fn this_machine(peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: &str| {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "This machine only",
            detail,
        ))
    };
    if !peer.is_some_and(|address| address.to_canonical().is_loopback()) {
        return refuse("without any [[http.key]] only this machine is answered; add a key");
    }
    if ["forwarded", "x-forwarded-for", "x-real-ip"]
        .iter()
        .any(|name| headers.contains_key(*name))
    {
        return refuse("a proxy sent this; to serve others, add an [[http.key]]");
    }
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    if !host.is_some_and(is_loopback_authority) {
        return refuse("the Host header must be localhost or a loopback address (or add a key)");
    }
    match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
        None => Ok(()),
        Some(Ok(origin)) if is_loopback_origin(origin) => Ok(()),
        Some(_) => refuse("pages of other origins may not use this API without a key"),
    }
}

fn is_loopback_origin(origin: &str) -> bool {
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(is_loopback_authority)
}

/// Reads `host`, `host:port` and `[v6]:port` (RFC 3986 section 3.2).
fn is_loopback_authority(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, after)) if after.is_empty() || is_port(after) => host,
            _ => return false,
        },
        None => match authority.split_once(':') {
            Some((host, port)) if is_port(&format!(":{port}")) => host,
            Some(_) => return false,
            None => authority,
        },
    };
    let address = host.parse::<IpAddr>().map(|address| address.to_canonical());
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn only_loopback_names_count_as_this_machine() {
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:80",
        ] {
            assert!(is_loopback_authority(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
        ] {
            assert!(!is_loopback_authority(bad), "{bad}");
        }
        assert!(!is_loopback_authority("localhost:80@evil.example"));
        assert!(!is_loopback_authority("[::1]evil"));
    }

    #[test]
    fn any_of_several_keys_opens_and_its_name_is_known() {
        let key = |name: &str, key: &str| HttpKey {
            name: name.into(),
            key: Secret::new(key),
        };
        let keys = Keys::new(&[key("a", "one"), key("b", "two")]);
        assert_eq!(keys.name_of(b"two"), Some("b"));
        assert_eq!(keys.name_of(b"one"), Some("a"));
        assert_eq!(keys.name_of(b"on"), None);
        assert_eq!(Keys::new(&[]).name_of(b""), None);
    }
}
