//! Hash algorithms and qualities of protection.

use std::fmt::{self, Write};

use md5::Md5;
use sha2::{Digest, Sha256};

/// A digest algorithm (RFC 7616 §3.3, RFC 8760 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `MD5`
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
}

impl Algorithm {
    /// Names the algorithm of a parameter's value; none means MD5 (RFC 7616 §3.3).
    pub fn new(name: Option<&str>) -> Option<Algorithm> {
        let all = [
            Algorithm::Md5,
            Algorithm::Md5Sess,
            Algorithm::Sha256,
            Algorithm::Sha256Sess,
        ];
        let Some(name) = name else {
            return Some(Algorithm::Md5);
        };
        all.into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// The name as it stands in a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha256Sess => "SHA-256-sess",
        }
    }

    /// Says whether HA1 takes in the nonces.
    pub fn is_session(self) -> bool {
        matches!(self, Algorithm::Md5Sess | Algorithm::Sha256Sess)
    }

    /// The algorithm without `-sess`, whose HA1 may be stored.
    pub fn base(self) -> Algorithm {
        match self {
            Algorithm::Md5 | Algorithm::Md5Sess => Algorithm::Md5,
            Algorithm::Sha256 | Algorithm::Sha256Sess => Algorithm::Sha256,
        }
    }

    /// Hashes parts joined by colons, as lower-case hexadecimal.
    pub(crate) fn hash(self, parts: &[&[u8]]) -> String {
        match self.base() {
            Algorithm::Sha256 | Algorithm::Sha256Sess => joined::<Sha256>(parts),
            Algorithm::Md5 | Algorithm::Md5Sess => joined::<Md5>(parts),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn joined<D: Digest>(parts: &[&[u8]]) -> String {
    let mut hasher = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A quality of protection (RFC 7616 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`: the request line is covered.
    Auth,
    /// `auth-int`: the body is covered as well.
    AuthInt,
}

impl Qop {
    /// Chooses from a challenge's list: `auth` if it is there, else `auth-int`.
    pub fn choose(list: &str) -> Option<Qop> {
        let offers = |name: &str| {
            list.split(',')
                .any(|one| one.trim().eq_ignore_ascii_case(name))
        };
        if offers("auth") {
            return Some(Qop::Auth);
        }
        offers("auth-int").then_some(Qop::AuthInt)
    }

    /// The name as it stands in a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_algorithm_means_md5_and_an_unknown_one_is_none() {
        assert_eq!(Algorithm::new(None), Some(Algorithm::Md5));
        assert_eq!(Algorithm::new(Some("sha-256")), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::new(Some("SHA-512-256")), None);
    }

    #[test]
    fn auth_is_chosen_before_auth_int() {
        assert_eq!(Qop::choose("auth-int, auth"), Some(Qop::Auth));
        assert_eq!(Qop::choose("auth-int"), Some(Qop::AuthInt));
        assert_eq!(Qop::choose("token"), None);
    }
}
