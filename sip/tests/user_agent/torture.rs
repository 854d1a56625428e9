//! Messages that others wrote to break us, and ones that we break ourselves.

use std::path::PathBuf;

use offhook_sip::Event;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::*;

fn corpus(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora/");
    let mut files: Vec<PathBuf> = std::fs::read_dir(format!("{root}{folder}"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "json"))
        .collect();
    files.sort();
    assert!(files.len() > 10, "the corpus is there");
    files
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[test]
fn torture_messages_are_answered_at_most_once_and_leave_nothing_behind() {
    for folder in ["rfc4475", "rfc5118", "carriers"] {
        for (path, bytes) in corpus(folder) {
            let mut desk = Desk::new();
            desk.ua.receive(desk.now, desk.flow, &bytes);
            let sent = desk.sent_what();
            assert!(sent.len() <= 1, "{path:?}: {sent:?}");
            for event in desk.events() {
                match event {
                    Event::Incoming { call, .. } => desk.ua.reject(desk.now, call, 404, &[]),
                    other => panic!("{path:?}: {other:?}"),
                }
            }
            desk.ends_empty();
        }
    }
}

/// Changes, removes, doubles or swaps a few bytes or lines.
fn broken(text: &str, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..bytes.len().max(1));
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.random()),
            2 if at < bytes.len() => bytes[at] = rng.random(),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => {
                let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
                let (a, b) = (
                    rng.random_range(0..lines.len()),
                    rng.random_range(0..lines.len()),
                );
                lines.swap(a, b);
                bytes = lines.join(&b'\n');
            }
            _ => {
                let piece = bytes[at..(at + 20).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn broken_messages_in_any_state_of_a_call_never_break_the_user_agent() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut desk = Desk::new();
        let (call, tag) = desk.pick_up();
        let (_, invite) = desk.call(Some(credentials("p")));
        let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
        let texts = [
            request("INVITE", 2, "z9hG4bK2", &tag, CONTACT, OFFER),
            request("UPDATE", 3, "z9hG4bK3", &tag, CONTACT, OFFER),
            request("BYE", 4, "z9hG4bK4", &tag, "Reason: Q.850;cause=16\r\n", ""),
            request("ACK", 2, "z9hG4bK5", &tag, "", ANSWER),
            request("CANCEL", 2, "z9hG4bK2", &tag, "", ""),
            request("INVITE", 1, "z9hG4bK7", "", CONTACT, OFFER).replace("call-1", "call-7"),
            respond(&invite, 180, "t", CONTACT, ANSWER),
            respond(&invite, 200, "t", CONTACT, ANSWER),
            respond(&invite, 407, "t", challenge, ""),
            respond(&invite, 486, "t", "Retry-After: 5\r\n", ""),
        ];
        for _ in 0..60 {
            let text = &texts[rng.random_range(0..texts.len())];
            let bytes = broken(text, &mut rng);
            desk.ua.receive(desk.now, desk.flow, &bytes);
            if rng.random_bool(0.1) {
                desk.ua
                    .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
            }
            desk.pass(ms(rng.random_range(0..2_000)));
            for event in desk.events() {
                if let Event::Incoming { call, .. } | Event::Answered { call, .. } = event {
                    desk.ua.hang_up(desk.now, call, None);
                }
            }
        }
        desk.ua.hang_up(desk.now, call, None);
        desk.ends_empty();
    }
}
