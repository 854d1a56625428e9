//! What somebody gets who has proven nothing: no more bytes than it sent, and nothing to learn.

use offhook_sip::digest::{Attempts, DigestClient};
use offhook_sip::message::{HeaderName, Message};
use offhook_sip::{Credentials, Event, Guard, Settings, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::access::guarded;
use crate::support::*;

pub(crate) const STRANGER: &str = "203.0.113.9:5060";

/// A request as scanners and phones send it, the `n`th of its sender.
pub(crate) fn stranger(method: &str, user: &str, n: u32) -> String {
    format!(
        "{method} sip:{user}@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.9:5060;rport;branch=z9hG4bK-{n:08}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{user}@192.0.2.1>;tag=a{n}\r\n\
         To: <sip:{user}@192.0.2.1>\r\n\
         Call-ID: {n:010}@203.0.113.9\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:{user}@203.0.113.9:5060>\r\n\
         User-Agent: Zoiper v2.10\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The same with more of it, to be `size` bytes long.
fn padded(text: &str, size: usize) -> String {
    let more = size.saturating_sub(text.len() + "Subject: \r\n".len());
    let field = format!("Subject: {}\r\nContent-Length", "x".repeat(more));
    text.replace("Content-Length", &field)
}

/// The request again with an answer to a challenge.
pub(crate) fn answering(request: &str, challenge: &Sent, user: &str, password: &str) -> String {
    let mut digest = DigestClient::new();
    let challenge = Message::parse(challenge.text.as_bytes()).unwrap();
    let message = Message::parse(request.as_bytes()).unwrap();
    digest
        .challenged(&message, &challenge, &mut Attempts::default())
        .unwrap();
    let lines = digest.authorize(
        &Credentials {
            username: user.into(),
            password: password.into(),
        },
        message.method().unwrap(),
        message.request_uri().unwrap().as_str(),
        message.body(),
        &mut StdRng::seed_from_u64(1),
    );
    let fields: String = lines
        .iter()
        .map(|(name, value)| format!("{}: {value}\r\n", name.as_str()))
        .collect();
    let again = request.replace("branch=z9hG4bK", "branch=z9hG4bKagain");
    again.replace("Content-Length", &format!("{fields}Content-Length"))
}

const METHODS: &[(&str, &str)] = &[
    ("INVITE", "401"),
    ("REGISTER", "401"),
    ("OPTIONS", "200"),
    ("SUBSCRIBE", "405"),
    ("PUBLISH", "405"),
    ("MESSAGE", "405"),
    ("NOTIFY", "481"),
    ("INFO", "481"),
    ("UPDATE", "481"),
    ("PRACK", "481"),
    ("BYE", "481"),
    ("CANCEL", "481"),
    ("REFER", "403"),
    ("NONSENSE", "501"),
];

#[test]
fn no_method_brings_a_stranger_more_bytes_than_it_sent() {
    for &(method, status) in METHODS {
        for nat in [false, true] {
            let mut desk = Desk::with(guarded()).from(STRANGER);
            let mut text = padded(&stranger(method, "alice", 1), 350);
            if nat {
                text = text.replace("UDP 203.0.113.9", "UDP 192.168.1.99");
            }
            desk.receive(&text);
            let answer = desk.one();
            assert_eq!(answer.what(), status, "{method}");
            let (sent, got) = (text.len(), answer.text.len());
            println!("{method}, NAT {nat}: {got} bytes for {sent}");
            assert!(
                sent >= 350 && got <= sent,
                "{method}: {got} for {sent}\n{}",
                answer.text
            );
            let message = Message::parse(answer.text.as_bytes()).unwrap();
            assert_eq!(message.validate(), Ok(()), "{method}");
            desk.pass(ms(60_000));
            desk.nothing_sent();
            assert!(desk.ua.is_idle(), "{method}: it is sent once");
        }
    }
    let mut desk = Desk::with(guarded()).from(STRANGER);
    desk.receive(&stranger("ACK", "alice", 1));
    desk.nothing_sent();
}

#[test]
fn what_is_wrong_with_a_strangers_request_is_told_in_as_few_bytes() {
    let options = stranger("OPTIONS", "alice", 1);
    let cases = [
        (
            "400",
            options.replace("Max-Forwards: 70", "Max-Forwards: x"),
        ),
        (
            "400",
            options.replace("Content-Length: 0", "Content-Length: 9"),
        ),
        (
            "416",
            options.replace("OPTIONS sip:alice@192.0.2.1", "OPTIONS nobody:alice"),
        ),
        ("505", options.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia")),
    ];
    for (status, text) in cases {
        let mut desk = Desk::with(guarded()).from(STRANGER);
        desk.receive(&text);
        let answer = desk.one();
        assert_eq!(answer.what(), status);
        assert!(answer.text.len() <= text.len(), "{}", answer.text);
    }
}

#[test]
fn a_flood_from_a_forged_source_never_gets_more_bytes_than_it_brings() {
    let guard = Guard {
        messages_per_s: 0,
        ..Guard::default()
    };
    let mut desk = Desk::with(Settings { guard, ..guarded() }).from(STRANGER);
    let (mut sent, mut got) = (0, 0);
    for n in 0..5_000 {
        // As short as a request can be, so that most answers would be longer.
        let (method, _) = METHODS[n as usize % METHODS.len()];
        let text = stranger(method, "a", n).replace("User-Agent: Zoiper v2.10\r\n", "");
        desk.receive(&text);
        sent += text.len();
        got += desk
            .sent()
            .iter()
            .map(|sent| sent.text.len())
            .sum::<usize>();
        assert!(n < 2 || got <= sent, "{got} for {sent} after {n}");
    }
    println!("flood of all methods: {got} bytes for {sent}");
    let (mut sent, mut got) = (0, 0);
    let mut desk = Desk::with(guarded()).from(STRANGER);
    for n in 0..5_000 {
        let text = stranger("REGISTER", "a", n).replace("User-Agent: Zoiper v2.10\r\n", "");
        desk.receive(&text);
        sent += text.len();
        got += desk
            .sent()
            .iter()
            .map(|sent| sent.text.len())
            .sum::<usize>();
        desk.now += ms(1);
    }
    println!("flood of REGISTER, limited: {got} bytes for {sent}");
    assert!(got * 3 < sent * 2, "much of it was dropped");
    let stats = desk.ua.stats();
    assert!(stats.withheld > 0 && stats.dropped_flood > 0 && stats.bans_flood == 0);
}

#[test]
fn both_challenges_go_where_there_is_room_or_the_address_is_proven() {
    let challenges = |desk: &mut Desk, text: &str| {
        desk.receive(text);
        let challenge = desk.one();
        assert_eq!(challenge.what(), "401");
        challenge.headers(HeaderName::WwwAuthenticate)
    };
    let small = stranger("INVITE", "alice", 1);
    let mut desk = Desk::with(guarded()).from(STRANGER);
    let one = challenges(&mut desk, &small);
    assert_eq!(one.len(), 1);
    assert!(!one[0].contains("algorithm"), "MD5: {one:?}");
    let large = padded(&stranger("INVITE", "alice", 2), 700);
    assert_eq!(challenges(&mut desk, &large).len(), 2);

    let mut desk = Desk::with(guarded()).from(STRANGER);
    desk.flow.transport = Transport::Tcp;
    assert_eq!(challenges(&mut desk, &small).len(), 2, "a connection");

    // An ACK with the tag of our answer: the answer has arrived.
    let mut desk = Desk::with(guarded()).from(STRANGER);
    desk.receive(&small);
    let tag = desk.one().tag(HeaderName::To);
    let ack = |tag: &str| {
        let text = small.replace("INVITE", "ACK");
        let to = "To: <sip:alice@192.0.2.1>";
        text.replace(to, &format!("{to};tag={tag}"))
    };
    desk.receive(&ack("0123456789ab"));
    let other = stranger("INVITE", "alice", 2);
    assert_eq!(challenges(&mut desk, &other).len(), 1, "not our tag");
    desk.receive(&ack(&tag));
    desk.nothing_sent();
    let other = stranger("INVITE", "alice", 3);
    assert_eq!(challenges(&mut desk, &other).len(), 2, "our tag");
}

#[test]
fn a_short_challenge_is_answered_like_the_long_one() {
    let mut desk = Desk::with(guarded()).from(STRANGER);
    let register = stranger("REGISTER", "alice", 1);
    desk.receive(&register);
    let challenge = desk.one();
    desk.receive(&answering(&register, &challenge, "alice", "alice-secret"));
    desk.nothing_sent();
    let Event::Request { handle, .. } = desk.event() else {
        panic!("no REGISTER")
    };
    desk.ua.respond(desk.now, handle, 200, &[], &[]);
    let ok = desk.one();
    assert!(
        ok.what() == "200" && ok.header("Server").is_some(),
        "in full"
    );
}

/// The answers to a request, with what differs from one moment to the next left blank.
fn answers(desk: &mut Desk, text: &str) -> Vec<String> {
    desk.receive(text);
    let blank = |sent: Sent| {
        let lines = sent.text.split("\r\n").map(|line| {
            let mut line = line.to_owned();
            for secret in ["nonce=\"", ";tag="] {
                if let Some(at) = line.find(secret) {
                    let from = at + secret.len();
                    let value = line[from..].chars();
                    let is_value = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
                    let length = value.take_while(is_value).count();
                    line.replace_range(from..from + length, &"_".repeat(length));
                }
            }
            line
        });
        lines.collect::<Vec<_>>().join("\r\n")
    };
    desk.sent().into_iter().map(blank).collect()
}

#[test]
fn nobody_learns_by_asking_which_users_there_are() {
    for method in ["REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE"] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut heard = Vec::new();
            // Alice is a user, erika is none, and nobody calls as either.
            for user in ["alice", "erika"] {
                let mut desk = Desk::with(guarded()).from(STRANGER);
                desk.flow.transport = transport;
                let mut said = Vec::new();
                let first = padded(&stranger(method, user, 1), 420);
                said.push(answers(&mut desk, &first));
                desk.receive(&padded(&stranger("INVITE", "other", 2), 420));
                let challenge = desk.one();
                for (n, password) in [(3, ""), (4, "guess"), (5, "guess")] {
                    let text = padded(&stranger(method, user, n), 420);
                    said.push(answers(
                        &mut desk,
                        &answering(&text, &challenge, user, password),
                    ));
                }
                let stale = answering(&first, &challenge, user, "guess");
                desk.now += ms(400_000);
                said.push(answers(
                    &mut desk,
                    &stale.replace("branch=z9", "branch=z9x"),
                ));
                let foreign = stale.replace("nonce=\"", "nonce=\"0");
                said.push(answers(
                    &mut desk,
                    &foreign.replace("branch=z9", "branch=z9y"),
                ));
                said.push(answers(
                    &mut desk,
                    &first.replace("branch=z9", "branch=z9z"),
                ));
                assert!(desk.ua.call_count() == 0 && desk.ua.transaction_count() == 0);
                heard.push(format!("{said:#?}").replace(user, "_____"));
            }
            assert_eq!(heard[0], heard[1], "{method} over {transport}");
        }
    }
}

#[test]
fn an_authorization_that_was_overheard_opens_nothing() {
    for method in ["INVITE", "REGISTER"] {
        let mut desk = Desk::with(guarded()).from(STRANGER);
        let request = stranger(method, "alice", 1);
        desk.receive(&request);
        let challenge = desk.one();
        let good = answering(&request, &challenge, "alice", "alice-secret");
        desk.receive(&good);
        assert_eq!(desk.events().len(), 1, "{method}");
        desk.sent();
        // The same credentials in another request, from the phone's own address and another.
        let replay = good
            .replace("0000000001", "0000000099")
            .replace("z9hG4bK", "z9hG4bKreplay");
        for remote in [STRANGER, "198.51.100.66:5060"] {
            desk.flow.remote = remote.parse().unwrap();
            desk.receive(&replay.replace("replay", &remote.replace([':', '.'], "")));
            let answer = desk.one();
            assert_eq!(answer.what(), "401", "{method} from {remote}");
            assert!(answer.text.contains("stale=true"), "{}", answer.text);
            desk.no_event();
        }
        // A count that goes up needs the password.
        let counted = replay.replace("nc=00000001", "nc=00000002");
        desk.receive(&counted.replace("replay", "counted"));
        assert_eq!(desk.one().what(), "403");
    }
}

#[test]
fn no_call_rings_for_who_guesses_forges_or_repeats() {
    let seed = 20_261_130;
    let mut rng = StdRng::seed_from_u64(seed);
    let guard = Guard::off();
    let mut desk = Desk::with(Settings { guard, ..guarded() }).from(STRANGER);
    // What a phone has sent, which was overheard.
    let invite = stranger("INVITE", "alice", 1);
    desk.receive(&invite);
    let challenge = desk.one();
    let good = answering(&invite, &challenge, "alice", "alice-secret");
    desk.receive(&good);
    assert_eq!(desk.events().len(), 1);
    let overheard = good
        .lines()
        .find(|line| line.starts_with("Authorization: "));
    let overheard = overheard.unwrap().to_owned();
    desk.sent();
    for n in 0..20_000 {
        let text = stranger("INVITE", "alice", 1_000 + n);
        let mut line = match rng.random_range(0..3) {
            0 => overheard.clone(),
            1 => overheard.replace("nc=00000001", &format!("nc={:08x}", n + 2)),
            _ => {
                let guess = answering(&text, &challenge, "alice", &format!("guess{n}"));
                let line = guess
                    .lines()
                    .find(|line| line.starts_with("Authorization: "));
                line.unwrap().to_owned()
            }
        };
        if rng.random_bool(0.5) {
            let at = rng.random_range(16..line.len());
            let other = char::from(rng.random_range(b'!'..=b'~'));
            line.replace_range(at..at + 1, &other.to_string());
        }
        desk.receive(&text.replace("Content-Length", &format!("{line}\r\nContent-Length")));
        let what = desk.sent_what();
        assert!(
            ["401", "403"].contains(&what[0].as_str()),
            "seed {seed}, {n}: {what:?}"
        );
        for event in desk.events() {
            let failed = matches!(event, Event::AuthenticationFailed { .. });
            assert!(failed, "seed {seed}, {n}: {line} {event:?}");
        }
        desk.now += ms(5);
    }
    assert_eq!(desk.ua.call_count(), 1, "the phone's own");
}
