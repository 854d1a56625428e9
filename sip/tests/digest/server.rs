//! The server's side: answers verified, and none taken twice.

use std::time::Duration;

use offhook_sip::digest::{
    Algorithm, Credentials, DigestClient, DigestServer, Ha1, ServerConfig, Verdict,
};
use offhook_sip::message::{HeaderName, Message, Method};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::{URI, authorize, challenge, challenged_by, credentials, request, response};

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
    challenged_by(&mut client, &bytes).unwrap();
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

#[test]
fn a_server_that_offers_one_algorithm_names_no_other_and_takes_no_other() {
    for (only, other) in [
        (Algorithm::Md5, Algorithm::Sha256),
        (Algorithm::Sha256, Algorithm::Md5),
    ] {
        let mut picky = server(100).offering(&[only]);
        let lines = picky.challenge(NOW, false, false);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].1.contains(&format!("algorithm={only},")),
            "{lines:?}"
        );
        let short = picky.short_challenge(NOW, false, false).1;
        let named = short.contains(&format!("algorithm={only}"));
        assert!(named || only == Algorithm::Md5, "{short}");
        let mut client = challenged(&mut picky, NOW, false);
        let right = request(&authorize(&mut client));
        assert_eq!(verify(&mut picky, NOW, &right), accepted());
        // The same secret and realm, so that only the algorithm is in the way.
        let mut client = challenged(&mut server(100).offering(&[other]), NOW, false);
        let downgraded = request(&authorize(&mut client));
        assert_eq!(verify(&mut picky, NOW, &downgraded), Verdict::Wrong);
    }
}
