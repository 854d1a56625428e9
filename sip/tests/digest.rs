//! Digest authentication: the carriers' own digests, and client against server.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::time::Duration;

use offhook_sip::digest::{
    Algorithm, ChallengeError, Credentials, DigestClient, DigestInput, DigestServer, Ha1, Qop,
    ServerConfig, Verdict, digest_response,
};
use offhook_sip::message::{HeaderName, Message, MessageWriter, Method, RequestBuilder};
use rand::SeedableRng;
use rand::rngs::StdRng;

mod common;
use common::carrier;

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

fn challenge(client: &mut DigestClient, value: &str) -> Result<(), ChallengeError> {
    let bytes = response(401, &[(HeaderName::WwwAuthenticate, value)]);
    client.challenged(&Message::parse(&bytes).unwrap())
}

fn authorize(client: &mut DigestClient) -> Vec<(HeaderName, String)> {
    let mut rng = StdRng::seed_from_u64(1);
    client.authorize(&credentials(), Method::Invite, URI, b"", &mut rng)
}

#[test]
fn the_digests_in_the_carriers_traces_come_out() {
    for file in [
        "07_twilio_termination_invite_auth.sip",
        "14_telnyx_invite_auth.sip",
    ] {
        let bytes = carrier(file);
        let message = Message::parse(&bytes).unwrap();
        let sent = message.authorization().next().unwrap();
        assert!(sent.proxy && sent.is_digest());
        let ha1 = Ha1::new(
            Algorithm::Md5,
            "trunkuser",
            &sent.realm(),
            "example-password-1",
        );
        let input = DigestInput {
            algorithm: sent.algorithm().unwrap(),
            method: "INVITE",
            uri: sent.uri(),
            nonce: sent.nonce(),
            qop: sent.qop().and_then(Qop::choose),
            cnonce: sent.cnonce().unwrap(),
            nc: sent.nc().unwrap(),
            body: message.body(),
        };
        assert_eq!(digest_response(&ha1, &input), sent.response(), "{file}");
    }
}

#[test]
fn a_carriers_407_is_answered_with_its_realm_nonce_and_opaque() {
    for (file, realm, opaque, algorithm) in [
        (
            "05_twilio_407.sip",
            "sip.twilio.com",
            "79787547fec3e815d5590577bc77769e",
            false,
        ),
        (
            "13_telnyx_407.sip",
            "sip.telnyx.com",
            "75e5a430-bd3d-46ff-8f32-00eefa9c7b50/10.239.42.24",
            true,
        ),
    ] {
        let bytes = carrier(file);
        let message = Message::parse(&bytes).unwrap();
        let mut client = DigestClient::new();
        client.challenged(&message).unwrap();
        let lines = authorize(&mut client);
        let [(HeaderName::ProxyAuthorization, value)] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        assert!(value.contains(&format!("realm=\"{realm}\"")), "{value}");
        assert!(value.contains(&format!("opaque=\"{opaque}\"")), "{value}");
        assert!(value.contains("qop=auth, nc=00000001"), "{value}");
        assert_eq!(value.contains("algorithm=MD5"), algorithm, "{value}");
    }
}

#[test]
fn the_first_supported_challenge_is_answered() {
    let mut client = DigestClient::new();
    let values = [
        "Digest realm=\"r\", nonce=\"n512\", algorithm=SHA-512-256, qop=\"auth\"",
        "Bearer realm=\"r\"",
        "Digest realm=\"r\", nonce=\"n256\", algorithm=SHA-256, qop=\"auth\"",
        "Digest realm=\"r\", nonce=\"nmd5\", algorithm=MD5, qop=\"auth\"",
    ];
    let lines: Vec<_> = values
        .iter()
        .map(|v| (HeaderName::WwwAuthenticate, *v))
        .collect();
    let bytes = response(401, &lines);
    client.challenged(&Message::parse(&bytes).unwrap()).unwrap();
    let lines = authorize(&mut client);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].1.contains("nonce=\"n256\"") && lines[0].1.contains("algorithm=SHA-256"));
}

#[test]
fn challenges_on_one_line_are_told_apart() {
    let mut client = DigestClient::new();
    let line =
        "Digest realm=\"r\", nonce=\"a\", algorithm=token, Digest realm=\"r\", nonce=\"b=/+\"";
    challenge(&mut client, line).unwrap();
    assert!(authorize(&mut client)[0].1.contains("nonce=\"b=/+\""));
}

#[test]
fn auth_is_chosen_among_auth_and_auth_int_and_no_qop_is_fine() {
    let mut client = DigestClient::new();
    challenge(
        &mut client,
        "Digest realm=\"r\", nonce=\"a\", qop=\"auth-int,auth\"",
    )
    .unwrap();
    assert!(
        authorize(&mut client)[0]
            .1
            .contains("qop=auth, nc=00000001")
    );
    let mut client = DigestClient::new();
    challenge(&mut client, "Digest realm=\"r\", nonce=\"a\"").unwrap();
    let value = &authorize(&mut client)[0].1;
    assert!(!value.contains("qop") && !value.contains("nc=") && !value.contains("cnonce"));
}

#[test]
fn a_kept_nonce_is_counted_up() {
    let mut client = DigestClient::new();
    assert!(!client.is_ready() && authorize(&mut client).is_empty());
    challenge(&mut client, "Digest realm=\"r\", nonce=\"a\", qop=\"auth\"").unwrap();
    for count in ["nc=00000001", "nc=00000002", "nc=00000003"] {
        assert!(authorize(&mut client)[0].1.contains(count));
    }
}

#[test]
fn a_new_nonce_without_stale_is_tried_once() {
    let mut client = DigestClient::new();
    for nonce in ["a", "b"] {
        let value = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
        challenge(&mut client, &value).unwrap();
        authorize(&mut client);
    }
    let third = challenge(&mut client, "Digest realm=\"r\", nonce=\"c\", qop=\"auth\"");
    assert_eq!(third, Err(ChallengeError::Rejected));
}

#[test]
fn the_nonce_just_used_coming_back_means_wrong_credentials() {
    let mut client = DigestClient::new();
    let value = "Digest realm=\"r\", nonce=\"a\", qop=\"auth\"";
    challenge(&mut client, value).unwrap();
    authorize(&mut client);
    assert_eq!(challenge(&mut client, value), Err(ChallengeError::Rejected));
}

#[test]
fn after_a_success_a_challenge_is_a_new_beginning() {
    let mut client = DigestClient::new();
    for round in 0..10 {
        let value = format!("Digest realm=\"r\", nonce=\"{round}\", qop=\"auth\"");
        challenge(&mut client, &value).unwrap();
        authorize(&mut client);
        client.accepted();
    }
}

#[test]
fn servers_that_take_turns_cannot_keep_a_client_busy() {
    let mut client = DigestClient::new();
    let rejected = (0..20).find(|round| {
        let (realm, stale) = (round % 2, round % 3 == 0);
        let value = format!("Digest realm=\"{realm}\", nonce=\"{round}\", stale={stale}");
        let answered = challenge(&mut client, &value);
        authorize(&mut client);
        answered == Err(ChallengeError::Rejected)
    });
    assert!(rejected.is_some());
}

#[test]
fn nonces_of_other_realms_are_dropped() {
    let mut client = DigestClient::new();
    challenge(
        &mut client,
        "Digest realm=\"one\", nonce=\"a\", qop=\"auth\"",
    )
    .unwrap();
    challenge(
        &mut client,
        "Digest realm=\"two\", nonce=\"b\", qop=\"auth\"",
    )
    .unwrap();
    let lines = authorize(&mut client);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].1.contains("realm=\"two\""));
}

#[test]
fn a_server_behind_a_proxy_gets_both_answers() {
    let mut client = DigestClient::new();
    let bytes = response(
        407,
        &[(
            HeaderName::ProxyAuthenticate,
            "Digest realm=\"p\", nonce=\"a\"",
        )],
    );
    client.challenged(&Message::parse(&bytes).unwrap()).unwrap();
    challenge(&mut client, "Digest realm=\"s\", nonce=\"b\"").unwrap();
    let mut names: Vec<_> = authorize(&mut client)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        [HeaderName::Authorization, HeaderName::ProxyAuthorization]
    );
}

#[test]
fn a_response_without_a_supported_challenge_is_unsupported() {
    let mut client = DigestClient::new();
    assert_eq!(
        challenge(&mut client, "Basic realm=\"r\""),
        Err(ChallengeError::Unsupported)
    );
    let huge = format!("Digest realm=\"r\", nonce=\"{}\"", "x".repeat(5000));
    assert_eq!(challenge(&mut client, &huge), Err(ChallengeError::TooLarge));
}

#[test]
fn credentials_never_show_in_debug() {
    assert!(!format!("{:?}", credentials()).contains("example-password-1"));
    let bytes = carrier("14_telnyx_invite_auth.sip");
    let message = Message::parse(&bytes).unwrap();
    let sent = message.authorization().next().unwrap();
    assert!(!format!("{sent:?}").contains(sent.response()));
}

// The server's side.

fn server(max_nonces: usize) -> DigestServer {
    DigestServer::new(ServerConfig {
        realm: "offhook".into(),
        secret: [9; 32],
        first_serial: 77,
        nonce_lifetime: Duration::from_secs(300),
        max_nonces,
    })
}

fn users(username: &str, realm: &str, algorithm: Algorithm) -> Option<Ha1> {
    (username == "trunkuser").then(|| Ha1::new(algorithm, username, realm, "example-password-1"))
}

fn request(lines: &[(HeaderName, String)]) -> Vec<u8> {
    let mut builder = RequestBuilder::new(Method::Invite, URI).via("UDP", "h", "z9hG4bKa");
    for (name, value) in lines {
        builder = builder.header(*name, value);
    }
    builder.build()
}

const NOW: Duration = Duration::from_secs(1_000);

/// A client that has taken the server's challenge.
fn challenged(server: &mut DigestServer, now: Duration, proxy: bool) -> DigestClient {
    let lines = server.challenge(now, proxy, false);
    let lines: Vec<_> = lines
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut client = DigestClient::new();
    let bytes = response(if proxy { 407 } else { 401 }, &lines);
    client.challenged(&Message::parse(&bytes).unwrap()).unwrap();
    client
}

fn verify(server: &mut DigestServer, now: Duration, bytes: &[u8]) -> Verdict {
    server.verify(now, &Message::parse(bytes).unwrap(), false, &users)
}

fn accepted() -> Verdict {
    Verdict::Accepted {
        username: "trunkuser".into(),
    }
}

#[test]
fn the_right_password_is_accepted_again_and_again_but_never_replayed() {
    let mut server = server(100);
    let mut client = challenged(&mut server, NOW, false);
    let first = request(&authorize(&mut client));
    let second = request(&authorize(&mut client));
    assert_eq!(verify(&mut server, NOW, &second), accepted());
    assert_eq!(verify(&mut server, NOW, &first), accepted());
    assert_eq!(verify(&mut server, NOW, &first), Verdict::Stale);
    assert_eq!(verify(&mut server, NOW, &second), Verdict::Stale);
}

#[test]
fn sha256_is_offered_before_md5_and_either_is_accepted() {
    let mut server = server(100);
    let lines = server.challenge(NOW, false, false);
    assert!(lines[0].1.contains("algorithm=SHA-256") && lines[1].1.contains("algorithm=MD5"));
    for (_, value) in &lines {
        let mut client = DigestClient::new();
        challenge(&mut client, value).unwrap();
        let mut server = server.clone();
        let bytes = request(&authorize(&mut client));
        assert_eq!(verify(&mut server, NOW, &bytes), accepted(), "{value}");
    }
}

#[test]
fn a_proxys_challenge_is_answered_to_the_proxy() {
    let mut server = server(100);
    let mut client = challenged(&mut server, NOW, true);
    let bytes = request(&authorize(&mut client));
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(
        server.verify(NOW, &message, false, &users),
        Verdict::Missing
    );
    assert_eq!(server.verify(NOW, &message, true, &users), accepted());
}

#[test]
fn wrong_passwords_and_unknown_users_have_one_verdict() {
    let mut server = server(100);
    let mut client = challenged(&mut server, NOW, false);
    let mut rng = StdRng::seed_from_u64(2);
    for (username, password) in [("trunkuser", "guess"), ("nobody", "example-password-1")] {
        let credentials = Credentials {
            username: username.into(),
            password: password.into(),
        };
        let lines = client.authorize(&credentials, Method::Invite, URI, b"", &mut rng);
        assert_eq!(verify(&mut server, NOW, &request(&lines)), Verdict::Wrong);
    }
}

#[test]
fn an_old_or_foreign_nonce_is_stale_only_for_the_right_password() {
    let mut first = server(100);
    let mut client = challenged(&mut first, NOW, false);
    let bytes = request(&authorize(&mut client));
    let later = NOW + Duration::from_secs(301);
    assert_eq!(verify(&mut first, later, &bytes), Verdict::Stale);
    assert!(
        first.challenge(later, false, true)[0]
            .1
            .contains("stale=true")
    );
    let mut other = DigestServer::new(ServerConfig {
        realm: "offhook".into(),
        secret: [1; 32],
        first_serial: 0,
        nonce_lifetime: Duration::from_secs(300),
        max_nonces: 10,
    });
    assert_eq!(verify(&mut other, NOW, &bytes), Verdict::Stale);
}

#[test]
fn a_clock_that_runs_back_keeps_nobody_out() {
    let mut server = server(100);
    let ahead = NOW * 10;
    let mut client = challenged(&mut server, ahead, false);
    let old = request(&authorize(&mut client));
    assert_eq!(verify(&mut server, ahead, &old), accepted());
    let forgotten = ahead + Duration::from_secs(301);
    assert_eq!(verify(&mut server, forgotten, &old), Verdict::Stale);
    let mut client = challenged(&mut server, NOW, false);
    let fresh = request(&authorize(&mut client));
    assert_eq!(verify(&mut server, NOW, &fresh), accepted());
    assert_eq!(verify(&mut server, NOW, &fresh), Verdict::Stale, "replayed");
    assert_eq!(verify(&mut server, NOW, &old), Verdict::Stale, "replayed");
}

#[test]
fn an_answer_for_another_target_is_wrong() {
    let mut server = server(100);
    let mut client = challenged(&mut server, NOW, false);
    let mut rng = StdRng::seed_from_u64(3);
    let lines = client.authorize(
        &credentials(),
        Method::Invite,
        "sip:premium@elsewhere.net",
        b"",
        &mut rng,
    );
    assert_eq!(verify(&mut server, NOW, &request(&lines)), Verdict::Wrong);
    let lines = client.authorize(&credentials(), Method::Bye, URI, b"", &mut rng);
    assert_eq!(verify(&mut server, NOW, &request(&lines)), Verdict::Wrong);
    // Some clients hash the server's address without the user.
    let lines = client.authorize(
        &credentials(),
        Method::Invite,
        "sip:example.com:5060",
        b"",
        &mut rng,
    );
    assert_eq!(verify(&mut server, NOW, &request(&lines)), accepted());
}

#[test]
fn a_full_table_costs_the_oldest_a_new_challenge_and_nothing_else() {
    let mut server = server(4);
    let mut clients: Vec<_> = (0..8)
        .map(|_| challenged(&mut server, NOW, false))
        .collect();
    for client in &mut clients {
        let bytes = request(&authorize(client));
        assert_eq!(verify(&mut server, NOW, &bytes), accepted());
        assert_eq!(verify(&mut server, NOW, &bytes), Verdict::Stale, "replayed");
    }
    let again = request(&authorize(&mut clients[0]));
    assert_eq!(verify(&mut server, NOW, &again), Verdict::Stale);
    let again = request(&authorize(&mut clients[7]));
    assert_eq!(verify(&mut server, NOW, &again), accepted());
}

#[test]
fn credentials_that_make_no_sense_are_missing_or_wrong() {
    let mut server = server(10);
    for (value, verdict) in [
        ("NoOneKnowsThisScheme opaque-data=here", Verdict::Missing),
        (
            "Digest realm=\"another\", username=\"trunkuser\"",
            Verdict::Missing,
        ),
        ("Digest realm=\"offhook\"", Verdict::Wrong),
        (
            "Digest realm=\"offhook\", qop=token, response=\"\"",
            Verdict::Wrong,
        ),
        ("Digest", Verdict::Missing),
        ("", Verdict::Missing),
    ] {
        let bytes = request(&[(HeaderName::Authorization, value.to_owned())]);
        assert_eq!(verify(&mut server, NOW, &bytes), verdict, "{value}");
    }
}
