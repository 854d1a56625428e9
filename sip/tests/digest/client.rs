//! The client's side: challenges answered, nonces kept, wrong credentials given up.

use offhook_sip::digest::{
    Algorithm, Attempts, ChallengeError, DigestClient, DigestInput, Ha1, Qop, digest_response,
};
use offhook_sip::message::{HeaderName, Message};

use crate::common::carrier;
use crate::{authorize, challenge, challenged_by, credentials, request, response};

/// A request that is sent again and again, with answers to what it met.
struct Asking {
    lines: Vec<(HeaderName, String)>,
    attempts: Attempts,
}

impl Asking {
    fn new() -> Self {
        Self {
            lines: Vec::new(),
            attempts: Attempts::default(),
        }
    }

    /// Lets a server challenge it, and answers.
    fn meets(&mut self, client: &mut DigestClient, value: &str) -> Result<(), ChallengeError> {
        let challenge = response(401, &[(HeaderName::WwwAuthenticate, value)]);
        let request = request(&self.lines);
        client.challenged(
            &Message::parse(&request).unwrap(),
            &Message::parse(&challenge).unwrap(),
            &mut self.attempts,
        )?;
        self.lines = authorize(client);
        Ok(())
    }
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
        let mut client = DigestClient::new();
        challenged_by(&mut client, &bytes).unwrap();
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
    challenged_by(&mut client, &bytes).unwrap();
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
    let (mut client, mut asking) = (DigestClient::new(), Asking::new());
    let value = |nonce| format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
    for nonce in ["a", "b"] {
        asking.meets(&mut client, &value(nonce)).unwrap();
    }
    let third = asking.meets(&mut client, &value("c"));
    assert_eq!(third, Err(ChallengeError::Rejected));
    assert!(authorize(&mut client).is_empty(), "nothing is volunteered");
}

#[test]
fn the_nonce_just_carried_coming_back_means_wrong_credentials() {
    let (mut client, mut asking) = (DigestClient::new(), Asking::new());
    let value = "Digest realm=\"r\", nonce=\"a\", qop=\"auth\"";
    asking.meets(&mut client, value).unwrap();
    let again = asking.meets(&mut client, value);
    assert_eq!(again, Err(ChallengeError::Rejected));
}

#[test]
fn each_request_is_a_new_beginning() {
    let mut client = DigestClient::new();
    for nonce in 0..10 {
        let value = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
        Asking::new().meets(&mut client, &value).unwrap();
    }
}

#[test]
fn a_nonce_that_served_another_request_refuses_nothing_and_is_counted_on() {
    let mut client = DigestClient::new();
    for (nonce, count) in [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2), ("a", 4)] {
        let mut asking = Asking::new();
        let value = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
        asking.meets(&mut client, &value).unwrap();
        let answer = &asking.lines[0].1;
        assert!(answer.ends_with(&format!("nc={count:08x}")), "{answer}");
    }
}

#[test]
fn a_nonce_from_before_that_is_refused_without_stale_is_replaced_once() {
    let mut client = DigestClient::new();
    let value = |nonce| format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
    Asking::new().meets(&mut client, &value("a")).unwrap();
    let mut next = Asking::new();
    next.lines = authorize(&mut client);
    next.meets(&mut client, &value("b")).unwrap();
    assert!(next.lines[0].1.contains("nonce=\"b\""));
    let third = next.meets(&mut client, &value("c"));
    assert_eq!(third, Err(ChallengeError::Rejected));
}

#[test]
fn a_stale_nonce_says_nothing_of_the_credentials_but_is_not_replaced_without_end() {
    let (mut client, mut asking) = (DigestClient::new(), Asking::new());
    let met = (0..20).find(|nonce| {
        let value = format!("Digest realm=\"r\", nonce=\"{nonce}\", stale=true");
        asking.meets(&mut client, &value).is_err()
    });
    assert_eq!(met, Some(6));
}

#[test]
fn what_one_realm_refuses_is_not_another_s_refusal() {
    let (mut client, mut asking) = (DigestClient::new(), Asking::new());
    let bytes = response(
        407,
        &[(
            HeaderName::ProxyAuthenticate,
            "Digest realm=\"r\", nonce=\"a\"",
        )],
    );
    challenged_by(&mut client, &bytes).unwrap();
    asking.lines = authorize(&mut client);
    for nonce in ["a", "b"] {
        let value = format!("Digest realm=\"r\", nonce=\"{nonce}\"");
        asking.meets(&mut client, &value).unwrap();
    }
    assert_eq!(asking.lines.len(), 2, "to the proxy as well");
}

#[test]
fn servers_that_take_turns_cannot_keep_a_client_busy() {
    // Each is answered, then once more with a fresh nonce; and all together not without end.
    for (stale, met) in [(false, 4), (true, 6)] {
        let (mut client, mut asking) = (DigestClient::new(), Asking::new());
        let rejected = (0..20).find(|round| {
            let realm = round % 2;
            let value = format!("Digest realm=\"{realm}\", nonce=\"{round}\", stale={stale}");
            asking.meets(&mut client, &value) == Err(ChallengeError::Rejected)
        });
        assert_eq!(rejected, Some(met), "stale={stale}");
    }
}

#[test]
fn proxies_in_a_row_get_an_answer_each() {
    let (mut client, mut asking) = (DigestClient::new(), Asking::new());
    for realm in ["one", "two", "three"] {
        let value = format!("Digest realm=\"{realm}\", nonce=\"{realm}\", qop=\"auth\"");
        asking.meets(&mut client, &value).unwrap();
    }
    let realms = ["three", "two", "one"];
    assert_eq!(asking.lines.len(), realms.len());
    for (line, realm) in asking.lines.iter().zip(realms) {
        assert!(line.1.contains(&format!("realm=\"{realm}\"")), "{}", line.1);
    }
    // The first asks anew: its nonce is replaced, and the others stay.
    asking
        .meets(
            &mut client,
            "Digest realm=\"one\", nonce=\"fresh\", stale=true",
        )
        .unwrap();
    assert_eq!(asking.lines.len(), 3);
    assert!(asking.lines[0].1.contains("nonce=\"fresh\""));
}

#[test]
fn answers_to_a_row_of_realms_without_end_are_bounded() {
    let (mut client, mut asking) = (DigestClient::new(), Asking::new());
    for realm in 0..6 {
        let value = format!("Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"");
        asking.meets(&mut client, &value).unwrap();
        assert!(asking.lines.len() <= 4, "{}", asking.lines.len());
    }
    assert!(asking.lines[0].1.contains("realm=\"5\""), "the last to ask");
    let once_more = asking.meets(&mut client, "Digest realm=\"6\", nonce=\"n\"");
    assert_eq!(once_more, Err(ChallengeError::Rejected));
}

#[test]
fn nonces_of_other_realms_that_were_not_carried_are_dropped() {
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
    challenged_by(&mut client, &bytes).unwrap();
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
