//! Pages that speak SIP over WebSockets, and peers that do not keep to the rules.

use std::net::SocketAddr;
use std::sync::Arc;

use offhook_sip::digest::{Attempts, DigestClient};
use offhook_sip::message::Message as SipMessage;
use offhook_sip::stream::{MAX_HEADER_BYTES, MAX_MESSAGE_BYTES};
use offhook_sip::{Access, Credentials, Invite, Settings, Transport, UserSecret};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::super::{Listen, News, Signal, Sip, Tls, TlsFiles, Whom};
use super::*;

#[path = "ws_upgrade.rs"]
mod upgrades;

const SHORT: Duration = Duration::from_millis(50);
/// Longer than a test takes.
const LONG: Patience = Patience {
    first_message: Duration::from_secs(3600),
    message: Duration::from_secs(3600),
    write: Duration::from_secs(3600),
    idle: Duration::from_secs(3600),
    pong: Duration::from_secs(3600),
    silence: (Duration::from_secs(3600), Duration::from_secs(3600)),
};
const OWN: &str = "https://phone.example.com";
/// The page's own name, which is nobody's (RFC 7118 §5).
const CONTACT: &str = "<sip:q7@df7jal23ls0d.invalid;transport=ws>";

/// A switch that lets one page in.
async fn switch(transport: Transport, tls: Tls) -> (Sip, mpsc::Receiver<News>, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        access: Access {
            users: vec![UserSecret {
                name: "alice".to_owned(),
                password: "correct horse".to_owned(),
            }],
            open_loopback: true,
            ..Access::default()
        },
        ..Settings::default()
    };
    let origins = [OWN.to_owned()].into();
    let listen = [Listen { transport, address }];
    let started = Sip::start_for_pages(&listen, tls, origins, settings).await;
    let (sip, news) = started.unwrap();
    let address = sip.listeners()[0].1;
    (sip, news, address)
}

/// Only the listener, with what it tells the SIP task.
async fn listen(patience: Patience) -> (SocketAddr, mpsc::Receiver<Inbound>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, inbound) = mpsc::channel(8);
    let pages = Arc::new(Pages::of([OWN.to_owned()].into()));
    tokio::spawn(tcp::accept(listener, None, Some(pages), tell, patience));
    (address, inbound)
}

/// Takes in what a listener tells, until all of it is told.
fn taken(mut inbound: mpsc::Receiver<Inbound>) {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(told) = inbound.recv().await {
            kept.push(told);
        }
    });
}

/// A browser's end.
struct Page<S = TcpStream>(WebSocketStream<S>);

impl Page {
    async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    /// Writes bytes that are no frame of anybody's library.
    async fn write_raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Page<S> {
    async fn over(stream: S) -> Self {
        let mut request = "ws://pbx.example.com/".into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Origin", "https://Phone.example.com".parse().unwrap());
        headers.insert("Sec-WebSocket-Protocol", "msrp, sip".parse().unwrap());
        let (socket, answer) = client_async(request, stream).await.unwrap();
        assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "sip");
        Self(socket)
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Waits for the next message that is no ping.
    async fn hear(&mut self) -> Message {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    /// Waits for a SIP message.
    async fn told(&mut self) -> String {
        self.hear().await.into_text().unwrap().to_string()
    }

    /// Waits for the other side's goodbye.
    async fn goodbye(&mut self) -> CloseCode {
        match self.hear().await {
            Message::Close(Some(frame)) => frame.code,
            other => panic!("{other:?}"),
        }
    }

    /// Registers as a user.
    async fn register(&mut self, password: &str) -> String {
        let request = request(
            "REGISTER",
            1,
            &format!("Contact: {CONTACT};expires=600\r\n"),
        );
        self.say(&request).await;
        let challenge = self.told().await;
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        let mut digest = DigestClient::new();
        let challenge = SipMessage::parse(challenge.as_bytes()).unwrap();
        let message = SipMessage::parse(request.as_bytes()).unwrap();
        digest
            .challenged(&message, &challenge, &mut Attempts::default())
            .unwrap();
        let credentials = Credentials {
            username: "alice".to_owned(),
            password: password.to_owned(),
        };
        let (method, uri) = (message.method().unwrap(), "sip:pbx.example.com");
        let mut rng = StdRng::seed_from_u64(1);
        let lines = digest.authorize(&credentials, method, uri, b"", &mut rng);
        let fields: String = lines
            .iter()
            .map(|(name, value)| format!("{}: {value}\r\n", name.as_str()))
            .collect();
        let again = request.replace("CSeq: 1", &format!("{fields}CSeq: 2"));
        again.replace("z9hG4bK", "z9hG4bKagain")
    }
}

/// A request as pages write it: without Content-Length.
fn request(method: &str, cseq: u32, fields: &str) -> String {
    format!(
        "{method} sip:pbx.example.com SIP/2.0\r\n\
         Via: SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@pbx.example.com>;tag=1\r\n\
         To: <sip:alice@pbx.example.com>\r\nCall-ID: call-1\r\nCSeq: {cseq} {method}\r\n\
         {fields}\r\n"
    )
}

fn invite(flow: Flow) -> Invite {
    Invite {
        request_uri: CONTACT.trim_matches(['<', '>']).to_owned(),
        to: "sip:alice@pbx.example.com".to_owned(),
        from: "<sip:+12025550143@pbx.example.com>".to_owned(),
        route: Vec::new(),
        flow,
        stream: None,
        credentials: None,
        body: b"v=0\r\n".to_vec(),
        content_type: "application/sdp".to_owned(),
        headers: Vec::new(),
    }
}

/// Writes a frame (RFC 6455 §5.2), masked by nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![first, 0x80 | length, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn a_page_registers_and_is_called_over_its_connection_until_that_is_closed() {
    let (sip, mut news, address) = switch(Transport::Ws, Tls::default()).await;
    let mut page = Page::open(address).await;
    let again = page.register("correct horse").await;
    page.say(&again).await;
    let Some(News::Request(registered)) = news.recv().await else {
        panic!("no REGISTER")
    };
    let flow = registered.flow;
    assert_eq!(flow.transport, Transport::Ws);
    sip.respond(registered, 200, Vec::new()).await.unwrap();
    assert!(page.told().await.starts_with("SIP/2.0 200 "));

    let mut placed = sip.invite(invite(flow)).await.unwrap();
    let rung = page.told().await;
    let start = "INVITE sip:q7@df7jal23ls0d.invalid;transport=ws SIP/2.0\r\n";
    assert!(rung.starts_with(start), "{rung}");
    assert!(
        rung.contains(&format!("\r\nVia: SIP/2.0/WS {address};")),
        "{rung}"
    );
    drop(page);
    match placed.signals.recv().await {
        Some(Signal::Rejected { status: 503, .. }) => {}
        other => panic!("{other:?}"),
    }
    match news.recv().await {
        Some(News::Closed(closed)) => assert_eq!(closed, flow),
        other => panic!("{other:?}"),
    }
    let mut placed = sip.invite(invite(flow)).await.unwrap();
    match placed.signals.recv().await {
        Some(Signal::Rejected { status: 503, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_password_binds_nothing() {
    let (_sip, mut news, address) = switch(Transport::Ws, Tls::default()).await;
    let mut page = Page::open(address).await;
    let again = page.register("wrong").await;
    page.say(&again).await;
    assert!(page.told().await.starts_with("SIP/2.0 403 "));
    assert!(news.try_recv().is_err());
}

#[tokio::test]
async fn a_page_on_this_machine_proves_who_it_is_like_any_other() {
    let (_sip, _news, address) = switch(Transport::Ws, Tls::default()).await;
    let mut page = Page::open(address).await;
    page.say(&request("INVITE", 1, &format!("Contact: {CONTACT}\r\n")))
        .await;
    assert!(page.told().await.starts_with("SIP/2.0 401 "));
}

#[tokio::test]
async fn over_tls_the_same_is_wss() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    let own = rcgen::generate_simple_self_signed(vec!["pbx.example.com".to_owned()]).unwrap();
    std::fs::write(&pem, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let files = TlsFiles {
        certificate: pem.clone(),
        key,
        client_ca: None,
    };
    let (_sip, _news, address) = switch(Transport::Wss, Tls::new(files).unwrap()).await;
    let whom = Whom {
        host: "pbx.example.com".to_owned(),
        ca: Some(pem),
    };
    let peer = Tls::default().peer(&whom).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = peer.connector.connect(peer.name, stream).await.unwrap();
    let mut page = Page::over(stream).await;
    page.say(&request("OPTIONS", 1, "")).await;
    let answer = page.told().await;
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert!(answer.contains("\r\nVia: SIP/2.0/WSS df7jal23ls0d.invalid;"));
}

#[tokio::test]
async fn text_and_binary_whole_or_in_pieces_are_the_same_to_sip() {
    let (_sip, _news, address) = switch(Transport::Ws, Tls::default()).await;
    let mut page = Page::open(address).await;
    let text = request("OPTIONS", 1, "");
    page.say(&text).await;
    assert!(page.told().await.contains("CSeq: 1 OPTIONS"));
    let text = request("OPTIONS", 2, "Content-Length: 0\r\n");
    page.0
        .send(Message::binary(text.into_bytes()))
        .await
        .unwrap();
    assert!(page.told().await.contains("CSeq: 2 OPTIONS"));
    let text = request("OPTIONS", 3, "");
    let mut pieces = text.as_bytes().chunks(100).peekable();
    let mut opcode = 0x1;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { 0x80 } else { 0 };
        page.write_raw(&frame(last | opcode, piece)).await;
        opcode = 0;
    }
    assert!(page.told().await.contains("CSeq: 3 OPTIONS"));
}

#[tokio::test]
async fn a_malformed_message_is_answered_and_the_connection_goes_on() {
    let (_sip, _news, address) = switch(Transport::Ws, Tls::default()).await;
    let mut page = Page::open(address).await;
    page.say("no SIP at all").await;
    page.say(&request("OPTIONS", 1, "Content-Length: 5\r\n"))
        .await;
    assert!(page.told().await.starts_with("SIP/2.0 400 "));
    page.say(&request("OPTIONS", 2, "")).await;
    assert!(page.told().await.starts_with("SIP/2.0 200 "));
}

#[tokio::test]
async fn keep_alives_of_both_kinds_are_answered_and_a_goodbye_too() {
    let (address, inbound) = listen(LONG).await;
    taken(inbound);
    let mut page = Page::open(address).await;
    page.say("\r\n\r\n").await;
    assert_eq!(page.told().await, "\r\n");
    page.say("\r\n").await;
    page.0
        .send(Message::Ping("are you there".into()))
        .await
        .unwrap();
    assert_eq!(page.hear().await, Message::Pong("are you there".into()));
    page.0.close(None).await.unwrap();
    assert!(matches!(page.hear().await, Message::Close(_)));
    assert!(page.0.next().await.is_none());
}

#[tokio::test]
async fn a_page_is_pinged_and_one_that_does_not_answer_is_gone() {
    let patience = Patience {
        silence: (SHORT, SHORT),
        ..LONG
    };
    let (address, inbound) = listen(patience).await;
    taken(inbound);
    let mut page = Page::open(address).await;
    for _ in 0..2 {
        assert!(matches!(page.0.next().await, Some(Ok(Message::Ping(_)))));
    }

    let patience = Patience {
        idle: SHORT,
        ..LONG
    };
    let (address, inbound) = listen(patience).await;
    taken(inbound);
    let mut page = Page::open(address).await;
    assert_eq!(page.goodbye().await, CloseCode::Policy);
}

#[tokio::test]
async fn whoever_says_nothing_loses_the_place_before_and_after_the_upgrade() {
    let patience = Patience {
        first_message: SHORT,
        ..LONG
    };
    let (address, inbound) = listen(patience).await;
    taken(inbound);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    assert_eq!(stream.read(&mut [0; 512]).await.unwrap_or(0), 0);

    let (address, inbound) = listen(LONG).await;
    taken(inbound);
    let flow = Flow {
        transport: Transport::Ws,
        local: address,
        remote: address,
    };
    let (tell, _told) = mpsc::channel(8);
    let now = clock::now();
    let mut talk = Talk::new(flow, Some(now + SHORT), LONG, &tell);
    assert_eq!(talk.deadline(), now + SHORT);
    talk.first_by = None;
    assert!(talk.deadline() > now + SHORT);
}

#[tokio::test]
async fn what_breaks_the_rules_of_frames_is_told_so_and_closed() {
    let long = vec![b'a'; 100];
    let mut huge = vec![0x81, 0xff];
    huge.extend((MAX_MESSAGE_BYTES as u64 + 1).to_be_bytes());
    huge.extend([0; 4]);
    for (what, bytes, code) in [
        ("no mask", vec![0x81, 2, b'a', b'b'], CloseCode::Protocol),
        ("a reserved bit", frame(0xc1, b"a"), CloseCode::Protocol),
        ("a reserved opcode", frame(0x83, b"a"), CloseCode::Protocol),
        ("a ping in pieces", frame(0x09, b"a"), CloseCode::Protocol),
        ("a piece of nothing", frame(0x80, b"a"), CloseCode::Protocol),
        (
            "a text within another",
            [frame(0x01, &long), frame(0x81, &long)].concat(),
            CloseCode::Protocol,
        ),
        ("no UTF-8", frame(0x81, b"\xff\xfe"), CloseCode::Invalid),
        ("a huge frame", huge, CloseCode::Size),
    ] {
        let (address, inbound) = listen(LONG).await;
        taken(inbound);
        let mut page = Page::open(address).await;
        page.write_raw(&bytes).await;
        assert_eq!(page.goodbye().await, code, "{what}");
    }
}

#[tokio::test]
async fn what_is_not_one_sip_message_of_a_bearable_size_is_told_so_and_closed() {
    let one = request("OPTIONS", 1, "Content-Length: 0\r\n");
    let endless = format!(
        "OPTIONS sip:a SIP/2.0\r\nX: {}",
        "x".repeat(MAX_HEADER_BYTES)
    );
    for (text, code) in [
        (one.clone() + &one, CloseCode::Policy),
        (endless, CloseCode::Size),
        ("x".repeat(MAX_MESSAGE_BYTES + 1), CloseCode::Size),
    ] {
        let (address, mut inbound) = listen(LONG).await;
        let mut page = Page::open(address).await;
        page.say(&text).await;
        let connected = inbound.recv().await;
        assert!(matches!(connected, Some(Inbound::Connected(..))));
        assert!(matches!(inbound.recv().await, Some(Inbound::Closed(_))));
        assert_eq!(page.goodbye().await, code);
    }
}

#[tokio::test]
async fn pieces_without_end_are_bounded() {
    let (address, inbound) = listen(LONG).await;
    taken(inbound);
    let mut page = Page::open(address).await;
    page.write_raw(&frame(0x01, &[b'x'; 125])).await;
    // One byte more than a message may have, in a thousand pieces.
    for _ in 0..MAX_MESSAGE_BYTES / 125 {
        page.write_raw(&frame(0x00, &[b'x'; 125])).await;
    }
    assert_eq!(page.goodbye().await, CloseCode::Size);
}

#[tokio::test]
async fn whoever_does_not_read_loses_the_connection_and_holds_up_nobody() {
    let patience = Patience {
        write: SHORT,
        ..LONG
    };
    let (address, mut inbound) = listen(patience).await;
    let _page = Page::open(address).await;
    let Some(Inbound::Connected(_, writer)) = inbound.recv().await else {
        panic!("no connection")
    };
    while writer
        .send(Order::Write(vec![b'x'; 64 * 1024]))
        .await
        .is_ok()
    {}
    assert!(matches!(inbound.recv().await, Some(Inbound::Closed(_))));
}
