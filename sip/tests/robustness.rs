//! Whatever is sent: no panic, bounded work, and what is printed reads back.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use offhook_sip::message::{MAX_HEADERS, Message, ParseErrorKind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

mod common;
use common::check::check;
use common::corpus;

#[test]
fn every_corpus_message_reads_back_from_print() {
    for folder in ["rfc4475", "rfc5118", "carriers"] {
        corpus(folder).iter().for_each(|(_, bytes)| check(bytes));
    }
}

/// Bytes that mean something to the grammar.
const TELLING: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n ",
    b"\r\n\r\n",
    b"\0",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"=",
    b"@",
    b"?",
    b"&",
    b"%",
    b"%00",
    b"[",
    b"]",
    b"::",
    b"*",
    b"\xff",
    b"\xc3\xbc",
    b"sip:",
    b"tel:",
    b"SIP/2.0",
    b";tag=",
    b";branch=z9hG4bK",
    b"99999999999999999999",
    b"-1",
    b"Via: ",
    b"v:",
    b"l: 5\r\n",
    b"Contact: *\r\n",
    b"Digest realm=",
    b" ",
    b"\t",
];

fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..20)).min(bytes.len());
        match rng.random_range(0..6) {
            0 => bytes.splice(at..end, []).for_each(drop),
            1 => {
                let piece = TELLING[rng.random_range(0..TELLING.len())];
                bytes.splice(at..at, piece.iter().copied()).for_each(drop);
            }
            2 => bytes[at..end]
                .iter_mut()
                .for_each(|byte| *byte = rng.random()),
            3 => {
                let piece: Vec<u8> = bytes[at..end].to_vec();
                bytes.splice(at..at, piece).for_each(drop);
            }
            4 => {
                let from = rng.random_range(0..other.len());
                let to = (from + rng.random_range(0..200)).min(other.len());
                bytes
                    .splice(at..end, other[from..to].iter().copied())
                    .for_each(drop);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
}

#[test]
fn two_hundred_thousand_mutations_neither_panic_nor_print_what_does_not_read_back() {
    let seeds: Vec<Vec<u8>> = ["rfc4475", "rfc5118", "carriers"]
        .iter()
        .flat_map(|folder| corpus(folder).into_iter().map(|(_, bytes)| bytes))
        .collect();
    let mut rng = StdRng::seed_from_u64(0x0ff_400c);
    for _ in 0..200_000 {
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        let other = &seeds[rng.random_range(0..seeds.len())];
        mutate(&mut bytes, other, &mut rng);
        check(&bytes);
    }
}

/// 64 KB that repeat a piece after a head that makes a request of it.
fn flood(piece: &[u8]) -> Vec<u8> {
    let mut bytes = b"INVITE sip:a@b SIP/2.0\r\n".to_vec();
    while bytes.len() + piece.len() < 65_000 {
        bytes.extend_from_slice(piece);
    }
    bytes
}

#[test]
fn floods_of_any_kind_are_read_or_refused() {
    for piece in TELLING {
        check(&flood(piece));
        check(&flood(
            &[b"Via: SIP/2.0/UDP h".as_slice(), &piece.repeat(3000)].concat(),
        ));
        check(&flood(
            &[b"To: <sip:a@b>".as_slice(), &piece.repeat(3000)].concat(),
        ));
    }
}

#[test]
fn a_message_over_the_limits_is_refused() {
    let kind = |bytes: &[u8]| Message::parse(bytes).err().map(|error| error.kind());
    assert_eq!(kind(&vec![b'x'; 65_536]), Some(ParseErrorKind::TooLarge));
    assert_eq!(kind(b"\r\n\r\n"), Some(ParseErrorKind::Empty));
    let with = |lines: usize| {
        let mut bytes = b"OPTIONS sip:a@b SIP/2.0\r\n".to_vec();
        bytes.extend(b"Subject: x\r\n".repeat(lines));
        bytes.extend(b"\r\n");
        kind(&bytes)
    };
    assert_eq!(with(MAX_HEADERS), None);
    assert_eq!(with(MAX_HEADERS + 1), Some(ParseErrorKind::TooManyHeaders));
}

#[test]
fn a_request_is_answerable_only_with_what_a_response_copies() {
    let head = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nno colon here\r\n\r\n";
    let answerable = |text: &str| {
        Message::parse(text.as_bytes())
            .unwrap_err()
            .answerable()
            .is_some()
    };
    assert!(answerable(head));
    assert!(
        !answerable(&head.replace("INVITE", "ACK")),
        "an ACK is never answered"
    );
    for line in ["Via", "From", "To", "Call-ID", "CSeq"] {
        assert!(
            !answerable(&head.replace(&format!("{line}: "), "X-None: ")),
            "{line}"
        );
    }
    assert!(!answerable("SIP/2.0 200 OK\r\nno colon here\r\n\r\n"));
}
