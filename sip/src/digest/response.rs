//! The digest itself (RFC 7616 §3.4).

use std::fmt;

use super::{Algorithm, Qop};

/// The hash of user name, realm and password, as good as the password within its realm.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1(String);

impl Ha1 {
    /// Hashes a password (RFC 7616 §3.4.2); `-sess` makes no difference here.
    pub fn new(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Ha1 {
        let parts = [username.as_bytes(), realm.as_bytes(), password.as_bytes()];
        Ha1(algorithm.hash(&parts))
    }

    /// Takes a hash that was stored as hexadecimal.
    pub fn from_hex(hash: impl Into<String>) -> Ha1 {
        Ha1(hash.into().to_ascii_lowercase())
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(…)")
    }
}

/// What a digest covers besides the password.
#[derive(Clone, Copy, Debug)]
pub struct DigestInput<'i> {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The method.
    pub method: &'i str,
    /// The URI, as in the `uri` parameter.
    pub uri: &'i str,
    /// The server's nonce.
    pub nonce: &'i str,
    /// The quality of protection; `None` in the form of RFC 2069.
    pub qop: Option<Qop>,
    /// The client's nonce, where there is a quality of protection or a session.
    pub cnonce: &'i str,
    /// The nonce count as eight hexadecimal digits, where there is a quality of protection.
    pub nc: &'i str,
    /// The body, which `auth-int` covers.
    pub body: &'i [u8],
}

/// Computes the `response` parameter (RFC 7616 §3.4.1).
pub fn digest_response(ha1: &Ha1, input: &DigestInput<'_>) -> String {
    let algorithm = input.algorithm;
    let (nonce, cnonce) = (input.nonce.as_bytes(), input.cnonce.as_bytes());
    let session = if algorithm.is_session() {
        algorithm.hash(&[ha1.0.as_bytes(), nonce, cnonce])
    } else {
        ha1.0.clone()
    };
    let (method, uri) = (input.method.as_bytes(), input.uri.as_bytes());
    let ha2 = match input.qop {
        Some(Qop::AuthInt) => {
            let body = algorithm.hash(&[input.body]);
            algorithm.hash(&[method, uri, body.as_bytes()])
        }
        _ => algorithm.hash(&[method, uri]),
    };
    match input.qop {
        Some(qop) => algorithm.hash(&[
            session.as_bytes(),
            nonce,
            input.nc.as_bytes(),
            cnonce,
            qop.as_str().as_bytes(),
            ha2.as_bytes(),
        ]),
        None => algorithm.hash(&[session.as_bytes(), nonce, ha2.as_bytes()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 2617 §3.5 and RFC 7616 §3.9.1 with either algorithm.
    fn example(
        algorithm: Algorithm,
        nonce: &str,
        cnonce: &str,
        password: &str,
        realm: &str,
    ) -> String {
        let ha1 = Ha1::new(algorithm, "Mufasa", realm, password);
        digest_response(
            &ha1,
            &DigestInput {
                algorithm,
                method: "GET",
                uri: "/dir/index.html",
                nonce,
                qop: Some(Qop::Auth),
                cnonce,
                nc: "00000001",
                body: b"",
            },
        )
    }

    #[test]
    fn the_example_of_rfc2617_comes_out() {
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let realm = "testrealm@host.com";
        let response = example(Algorithm::Md5, nonce, "0a4f113b", "Circle Of Life", realm);
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn the_examples_of_rfc7616_come_out() {
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let realm = "http-auth@example.org";
        let respond = |algorithm| example(algorithm, nonce, cnonce, "Circle of Life", realm);
        assert_eq!(respond(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            respond(Algorithm::Sha256),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn without_qop_the_older_form_is_computed() {
        let ha1 = Ha1::new(
            Algorithm::Md5,
            "Mufasa",
            "testrealm@host.com",
            "Circle Of Life",
        );
        let input = DigestInput {
            algorithm: Algorithm::Md5,
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            qop: None,
            cnonce: "",
            nc: "",
            body: b"",
        };
        assert_eq!(
            digest_response(&ha1, &input),
            "670fd8c2df070c60b045671b8b24ff02"
        );
    }

    #[test]
    fn a_hash_never_shows_in_debug() {
        let ha1 = Ha1::new(Algorithm::Md5, "u", "r", "p");
        assert_eq!(format!("{ha1:?}"), "Ha1(…)");
    }
}
