//! Digest authentication: the carriers' own digests, and client against server.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "../common/mod.rs"]
mod common;

mod client;
mod server;

use offhook_sip::digest::{Attempts, ChallengeError, Credentials, DigestClient};
use offhook_sip::message::{HeaderName, Message, MessageWriter, Method, RequestBuilder};
use rand::SeedableRng;
use rand::rngs::StdRng;

const URI: &str = "sip:+12025550123@example.com";

fn credentials() -> Credentials {
    Credentials {
        username: "trunkuser".into(),
        password: "example-password-1".into(),
    }
}

fn response(status: u16, lines: &[(HeaderName, &str)]) -> Vec<u8> {
    let mut writer = MessageWriter::response(status, "");
    for (name, value) in lines {
        writer.header(*name, value);
    }
    writer.finish()
}

/// Lets a server challenge a request that carries nothing.
fn challenge(client: &mut DigestClient, value: &str) -> Result<(), ChallengeError> {
    let bytes = response(401, &[(HeaderName::WwwAuthenticate, value)]);
    challenged_by(client, &bytes)
}

fn challenged_by(client: &mut DigestClient, response: &[u8]) -> Result<(), ChallengeError> {
    let (first, response) = (request(&[]), Message::parse(response).unwrap());
    let first = Message::parse(&first).unwrap();
    client.challenged(&first, &response, &mut Attempts::default())
}

fn authorize(client: &mut DigestClient) -> Vec<(HeaderName, String)> {
    let mut rng = StdRng::seed_from_u64(1);
    client.authorize(&credentials(), Method::Invite, URI, b"", &mut rng)
}

fn request(lines: &[(HeaderName, String)]) -> Vec<u8> {
    let mut builder = RequestBuilder::new(Method::Invite, URI).via("UDP", "h", "z9hG4bKa");
    for (name, value) in lines {
        builder = builder.header(*name, value);
    }
    builder.build()
}
