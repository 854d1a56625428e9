//! Challenges and credentials as they stand in messages.

use std::borrow::Cow;

use super::fields::Fields;
use super::{Algorithm, Qop};
use crate::message::{HeaderName, Headers, Message, unquote};

/// One challenge of a 401 or 407.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Whether a proxy asks (407) or a server (401).
    pub proxy: bool,
    fields: Fields<'a>,
}

impl<'a> Challenge<'a> {
    /// Says whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.fields.scheme.eq_ignore_ascii_case("Digest")
    }

    /// The scheme, as it stands there.
    pub(crate) fn scheme(&self) -> &'a str {
        self.fields.scheme
    }

    /// The realm, quoted pairs resolved.
    pub fn realm(&self) -> Cow<'a, str> {
        unquote(self.fields.get("realm").unwrap_or_default())
    }

    /// The nonce as sent.
    pub fn nonce(&self) -> Option<&'a str> {
        self.fields.get("nonce")
    }

    /// The opaque as sent, to be echoed.
    pub fn opaque(&self) -> Option<&'a str> {
        self.fields.get("opaque")
    }

    /// The URIs that the nonce serves, separated by spaces.
    pub fn domain(&self) -> Option<&'a str> {
        self.fields.get("domain")
    }

    /// Says whether the server calls only the nonce wrong, not the credentials.
    pub fn stale(&self) -> bool {
        self.fields
            .get("stale")
            .is_some_and(|stale| stale.eq_ignore_ascii_case("true"))
    }

    /// The algorithm, MD5 where none is named; `None` for one that is not supported.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::new(self.fields.get("algorithm"))
    }

    /// The algorithm as it is named, whether it is known or not; an answer names it as well.
    pub(crate) fn algorithm_name(&self) -> Option<&'a str> {
        self.fields.get("algorithm")
    }

    /// The qualities of protection as sent, separated by commas; `None` in the older form.
    pub fn qop(&self) -> Option<&'a str> {
        self.fields.get("qop")
    }

    /// Says whether this challenge can be answered.
    pub fn is_supported(&self) -> bool {
        self.is_digest()
            && self.nonce().is_some()
            && self.algorithm().is_some()
            && self.qop().is_none_or(|list| Qop::choose(list).is_some())
    }
}

/// One set of credentials in a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Authorization<'a> {
    /// Whether they stand in Proxy-Authorization.
    pub proxy: bool,
    fields: Fields<'a>,
}

impl std::fmt::Debug for Authorization<'_> {
    /// Leaves the response out, from which a password could be guessed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization")
            .field("proxy", &self.proxy)
            .field("realm", &self.realm())
            .finish_non_exhaustive()
    }
}

impl<'a> Authorization<'a> {
    /// Says whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.fields.scheme.eq_ignore_ascii_case("Digest")
    }

    /// The user name, quoted pairs resolved.
    pub fn username(&self) -> Cow<'a, str> {
        unquote(self.fields.get("username").unwrap_or_default())
    }

    /// The realm, quoted pairs resolved.
    pub fn realm(&self) -> Cow<'a, str> {
        unquote(self.fields.get("realm").unwrap_or_default())
    }

    /// The nonce as sent.
    pub fn nonce(&self) -> &'a str {
        self.fields.get("nonce").unwrap_or_default()
    }

    /// The URI that the response covers.
    pub fn uri(&self) -> &'a str {
        self.fields.get("uri").unwrap_or_default()
    }

    /// The response, hexadecimal.
    pub fn response(&self) -> &'a str {
        self.fields.get("response").unwrap_or_default()
    }

    /// The algorithm, MD5 where none is named; `None` for one that is not supported.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::new(self.fields.get("algorithm"))
    }

    /// The quality of protection as sent.
    pub fn qop(&self) -> Option<&'a str> {
        self.fields.get("qop")
    }

    /// The client's nonce.
    pub fn cnonce(&self) -> Option<&'a str> {
        self.fields.get("cnonce")
    }

    /// The nonce count as sent: eight hexadecimal digits.
    pub fn nc(&self) -> Option<&'a str> {
        self.fields.get("nc")
    }

    /// The opaque as sent.
    pub fn opaque(&self) -> Option<&'a str> {
        self.fields.get("opaque")
    }
}

impl<'a> Message<'a> {
    /// The challenges of WWW-Authenticate and Proxy-Authenticate, in order.
    pub fn authenticate(&self) -> impl Iterator<Item = Challenge<'a>> + '_ {
        let server = fields(self.headers(HeaderName::WwwAuthenticate));
        let proxy = fields(self.headers(HeaderName::ProxyAuthenticate));
        server
            .map(|fields| Challenge {
                proxy: false,
                fields,
            })
            .chain(proxy.map(|fields| Challenge {
                proxy: true,
                fields,
            }))
    }

    /// The credentials in Authorization and Proxy-Authorization, in order.
    pub fn authorization(&self) -> impl Iterator<Item = Authorization<'a>> + '_ {
        let server = fields(self.headers(HeaderName::Authorization));
        let proxy = fields(self.headers(HeaderName::ProxyAuthorization));
        server
            .map(|fields| Authorization {
                proxy: false,
                fields,
            })
            .chain(proxy.map(|fields| Authorization {
                proxy: true,
                fields,
            }))
    }
}

fn fields<'m, 'a>(lines: Headers<'m, 'a>) -> impl Iterator<Item = Fields<'a>> + use<'m, 'a> {
    lines.flat_map(|line| {
        let mut rest = line;
        std::iter::from_fn(move || {
            let (fields, next) = Fields::first(rest)?;
            rest = next;
            Some(fields)
        })
    })
}
