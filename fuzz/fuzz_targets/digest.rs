//! Any bytes as a request or a response with digest fields: nobody without the password is let
//! in, whoever has it is let in once for each answer, and a client survives any challenge.
//!
//! `{auth}` in the input becomes the right answer to the server's challenge.
#![no_main]

#[path = "../answer.rs"]
mod answer;

use std::time::Duration;

use answer::Answer;
use offhook_sip::digest::{
    Algorithm, Attempts, DigestClient, DigestServer, Ha1, ServerConfig, Verdict,
};
use offhook_sip::message::{Message, MessageWriter};
use rand::SeedableRng;
use rand::rngs::StdRng;

fn users(name: &str, realm: &str, algorithm: Algorithm) -> Option<Ha1> {
    (name == "alice").then(|| Ha1::new(algorithm, name, realm, "alice-secret"))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rng = StdRng::seed_from_u64(7);
    if let Ok(response) = Message::parse(bytes)
        && response.status().is_some()
    {
        let (mut client, mut attempts) = (DigestClient::new(), Attempts::default());
        let first = Message::parse(b"INVITE sip:a@b SIP/2.0\r\n\r\n").expect("a request");
        if client.challenged(&first, &response, &mut attempts).is_ok() {
            let marked = b"INVITE sip:a@b SIP/2.0\r\n{auth}\r\n\r\n";
            let (again, _) = Answer::new(client.clone(), "alice-secret").put(marked, &mut rng);
            if let Ok(again) = Message::parse(&again) {
                let _ = client.challenged(&again, &response, &mut attempts);
            }
        }
        return;
    }
    let mut server = DigestServer::new(ServerConfig {
        realm: "fuzz".to_owned(),
        secret: [9; 32],
        first_serial: 1,
        nonce_lifetime: Duration::from_secs(300),
        max_nonces: 2,
    });
    let now = Duration::from_secs(1_000);
    let mut challenge = MessageWriter::response(401, "");
    for (name, value) in server.challenge(now, false, false) {
        challenge.header(name, &value);
    }
    let challenge = challenge.finish();
    let mut client = DigestClient::new();
    let challenge = Message::parse(&challenge).expect("our own challenge");
    let first = Message::parse(b"INVITE sip:a@b SIP/2.0\r\n\r\n").expect("a request");
    let answered = client.challenged(&first, &challenge, &mut Attempts::default());
    answered.expect("our own challenge");
    let (request, answered) = Answer::new(client, "alice-secret").put(bytes, &mut rng);
    let Ok(message) = Message::parse(&request) else {
        return;
    };
    let verdict = server.verify(now, &message, false, &users);
    if matches!(verdict, Verdict::Accepted { .. }) {
        assert!(answered, "nobody guesses a sealed nonce's answer");
        let again = server.verify(now, &message, false, &users);
        assert_eq!(again, Verdict::Stale, "an answer serves once");
    }
    // A stranger's password is never right.
    let mut server = server.clone();
    let nobody = |_: &str, _: &str, _: Algorithm| None;
    let verdict = server.verify(now, &message, false, &nobody);
    assert!(!matches!(verdict, Verdict::Accepted { .. }));
});
