//! The 49 torture messages of RFC 4475 over real sockets, to a user agent that lets calls in.

use std::net::SocketAddr;

use offhook_sip::message::Message;
use offhook_sip::stream::{Frame, Framer};
use offhook_sip::{Access, Settings, Transport, UserSecret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::{Listen, News, Sip, Tls};

#[path = "../../../../sip/tests/common/answers.rs"]
#[allow(dead_code, reason = "shared with the user agent's own tests")]
mod answers;
use answers::{Answer, RFC_4475, Rings, Silence, Status};

fn torture(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpora/rfc4475");
    std::fs::read(format!("{root}/{name}.dat")).unwrap()
}

/// A fresh switch, so that no message is held against the sender of the next.
async fn switch(transport: Transport) -> (Sip, mpsc::Receiver<News>, SocketAddr) {
    let user = |name: &str| UserSecret {
        name: name.to_owned(),
        password: "correct horse".to_owned(),
    };
    let settings = Settings {
        access: Access {
            users: vec![user("alice")],
            realm: "offhook.example".to_owned(),
            open_loopback: true,
            ..Access::default()
        },
        transfers: true,
        ..Settings::default()
    };
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = [Listen { transport, address }];
    let (sip, news) = Sip::start(&listen, Tls::default(), settings).await.unwrap();
    let address = sip.listeners()[0].1;
    (sip, news, address)
}

/// What is asked after a message, so that its silence need not be waited for.
fn options(transport: Transport, from: SocketAddr) -> String {
    format!(
        "OPTIONS sip:us@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bKafter\r\n\
         Max-Forwards: 70\r\nFrom: <sip:them@127.0.0.1>;tag=after\r\nTo: <sip:us@127.0.0.1>\r\n\
         Call-ID: after\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Checks the first that was said after a message: a response to it, or, where that is what is
/// expected, nothing before the response to the OPTIONS.
fn is_expected(what: &str, said: &str, expected: Answer) {
    let status = said.split(' ').nth(1).unwrap_or_default();
    let is_after = said.contains("Call-ID: after\r\n");
    let wanted = match expected {
        Status(status, _) => status.to_string(),
        Rings => "100".to_owned(),
        Silence => "200".to_owned(),
    };
    assert_eq!(
        (status, is_after),
        (wanted.as_str(), expected == Silence),
        "{what}: {said}"
    );
}

/// The port that responses to a message go to: without rport it is the one that its Via names
/// (RFC 3261 §18.2.2).
fn port_of(bytes: &[u8]) -> u16 {
    let named = |message: &Message<'_>| {
        let via = message.top_via().ok()?;
        Some(via.port.unwrap_or(5060))
    };
    let named = match Message::parse(bytes) {
        Ok(message) => named(&message),
        Err(error) => error.answerable().and_then(named),
    };
    named.unwrap_or(5060)
}

/// An address of this machine that no other process's test uses.
fn own_address() -> [u8; 4] {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    [127, 75, high, low]
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // the sockets of whoever sends the messages
async fn every_torture_message_gets_its_answer_as_a_datagram() {
    for &(name, section, expected) in RFC_4475 {
        let (_sip, _news, address) = switch(Transport::Udp).await;
        let bytes = torture(name);
        let here = SocketAddr::from((own_address(), port_of(&bytes)));
        let socket = UdpSocket::bind(here).await.unwrap();
        socket.send_to(&bytes, address).await.unwrap();
        let after = options(Transport::Udp, here);
        socket.send_to(after.as_bytes(), address).await.unwrap();
        let mut said = vec![0; 65_536];
        let length = socket.recv(&mut said).await.unwrap();
        let said = String::from_utf8_lossy(&said[..length]);
        is_expected(&format!("{name} (§{section})"), &said, expected);
    }
}

/// Whether a message is the whole of what a stream would take it for.
fn is_well_framed(bytes: &[u8]) -> bool {
    let mut framer = Framer::default();
    framer.push(bytes);
    matches!(framer.next_frame(), Ok(Some(Frame::Message(message))) if message == bytes)
}

#[tokio::test]
async fn every_torture_message_that_is_well_framed_gets_its_answer_over_tcp() {
    let framed = |(name, ..): &&(&str, &str, Answer)| is_well_framed(&torture(name));
    let framed: Vec<_> = RFC_4475.iter().filter(framed).collect();
    assert_eq!(framed.len(), 43, "{framed:?}");
    for &(name, section, expected) in framed {
        let (_sip, _news, address) = switch(Transport::Tcp).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let after = options(Transport::Tcp, stream.local_addr().unwrap());
        let both = [torture(name), after.into_bytes()].concat();
        stream.write_all(&both).await.unwrap();
        let mut said = Vec::new();
        // The first message is at the start, and its Call-ID within the header section.
        while !said.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut more = [0; 4096];
            let length = stream.read(&mut more).await.unwrap();
            assert_ne!(
                length,
                0,
                "{name}: closed after {:?}",
                String::from_utf8_lossy(&said)
            );
            said.extend(&more[..length]);
        }
        let said = String::from_utf8_lossy(&said);
        let first = said.split_once("\r\n\r\n").map(|(first, _)| first).unwrap();
        is_expected(
            &format!("{name} (§{section})"),
            &format!("{first}\r\n"),
            expected,
        );
    }
}
