//! Whatever is sent: no panic, no allocation while reading, bounded work, and what is printed
//! reads back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use offhook_sip::message::{
    Header, HeaderName, MAX_HEADERS, Message, MessageWriter, OwnedMessage, ParseErrorKind,
    ResponseBuilder, StartLine,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

mod common;
use common::{carrier, corpus};

/// Counts this thread's allocations.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn an_invite_is_parsed_typed_and_validated_without_allocation() {
    let bytes = carrier("03_twilio_termination_invite_noauth.sip");
    let count = allocations(|| {
        let message = Message::parse(&bytes).unwrap();
        let request = message.essentials().unwrap();
        assert_eq!(request.cseq.number, 30121);
        assert!(message.validate().is_ok());
        assert_eq!(message.vias().count(), 1);
        assert_eq!(message.contacts().count(), 1);
        assert_eq!(message.values(HeaderName::Allow).count(), 14);
        assert_eq!(message.all_headers().count(), 14);
        assert_eq!(message.header_named("X-None"), None);
    });
    assert_eq!(count, 0);
}

/// Asks a message everything that a peer's bytes could answer wrongly.
fn interrogate(message: &Message<'_>) {
    let _ = message.essentials().map(|request| {
        (
            request.from.to_string(),
            request.to.to_string(),
            request.via.to_string(),
        );
        request.uri.equivalent(&request.from.uri);
        (
            request.uri.user_text(),
            request.contact.map(|contact| contact.q_thousandths()),
        );
    });
    let _ = message.validate();
    for via in message.vias().flatten() {
        let _ = (
            via.received_address(),
            via.maddr(),
            via.has_rfc3261_branch(),
        );
    }
    message
        .contacts()
        .flatten()
        .for_each(|contact| assert!(contact.q_thousandths() <= 1000));
    message
        .routes()
        .chain(message.record_routes())
        .flatten()
        .for_each(|route| {
            let _ = (
                route.display_name(),
                route.uri.is_loose_route(),
                route.params.iter().count(),
            );
        });
    for challenge in message.authenticate() {
        let _ = (
            challenge.realm(),
            challenge.is_supported(),
            challenge.stale(),
        );
    }
    for credentials in message.authorization() {
        let _ = (
            credentials.username(),
            credentials.algorithm(),
            credentials.nc(),
        );
    }
    let _ = (
        message.expires(),
        message.min_expires(),
        message.retry_after(),
    );
    let _ = (
        message.reason().count(),
        message.supported().count(),
        message.require().count(),
    );
    for header in message.all_headers() {
        let _ = (header.value(), message.header_named(header.label));
        assert_eq!(HeaderName::new(header.label.as_bytes()), header.name);
    }
}

/// Prints a message from what was read of it.
fn print(message: &Message<'_>) -> Vec<u8> {
    let mut writer = match message.start_line() {
        StartLine::Request { method, uri } => MessageWriter::request(method, uri),
        StartLine::Response { status, reason } => MessageWriter::response(status, reason),
    };
    for header in message.all_headers() {
        match (header.name, header.value()) {
            (HeaderName::ContentLength, _) => {}
            (HeaderName::Other, Some(value)) => drop(writer.header_named(header.label, value)),
            (HeaderName::Other, None) => {}
            (name, _) => drop(writer.header_bytes(name, header.bytes)),
        }
    }
    writer.end(message.body())
}

/// What must survive printing: names in order, and values but for white space.
fn essence(message: &Message<'_>) -> Vec<(HeaderName, Vec<u8>)> {
    let survives = |header: &Header<'_>| match header.name {
        HeaderName::ContentLength => false,
        HeaderName::Other => header.value().is_some(),
        _ => true,
    };
    let solid = |bytes: &[u8]| {
        bytes
            .iter()
            .copied()
            .filter(|b| !b" \t\r\n".contains(b))
            .collect()
    };
    let headers = message.all_headers().filter(survives);
    headers
        .map(|header| (header.name, solid(header.bytes)))
        .collect()
}

fn check(bytes: &[u8]) {
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            error.partial().into_iter().for_each(interrogate);
            if let Some(message) = error.answerable() {
                let refusal = error.refusal();
                let answer = ResponseBuilder::refuse(message, &refusal)
                    .to_tag("t")
                    .build();
                assert!(Message::parse(&answer).is_ok());
            }
            return;
        }
    };
    interrogate(&message);
    let printed = print(&message);
    let again = Message::parse(&printed).unwrap_or_else(|error| panic!("{error}: {printed:?}"));
    assert_eq!(essence(&again), essence(&message));
    assert_eq!(again.body(), message.body());
    let twice = String::from_utf8_lossy(&printed);
    assert_eq!(
        String::from_utf8_lossy(&print(&again)),
        twice,
        "printed twice"
    );
    let kept = OwnedMessage::from(&message);
    assert_eq!(kept.view().start_line(), message.start_line());
    if message.is_request() {
        let source = "192.0.2.1:5060".parse().unwrap();
        let answer = ResponseBuilder::to(&message, 200, "")
            .source(source)
            .to_tag("t")
            .build();
        assert!(Message::parse(&answer).is_ok());
    }
}

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
