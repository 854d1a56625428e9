//! Phones that are pages: SIP over a WebSocket (RFC 7118), with media in the clear.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use offhook_media::codec::g711;
use offhook_sip::digest::{Attempts, DigestClient};
use offhook_sip::message::Message as SipMessage;
use offhook_sip::{Credentials, Transport};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::bridging::refusal;
use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::{LISTENER, body, field, hears, media};
use crate::rig::Switch;
use crate::tones::{share, tone};

const PASSWORD: &str = "correct horse battery";
const HOUSE: &str = "[sip]\nlisten = [\"udp://127.0.0.1:0\", \"ws://127.0.0.1:0\"]\n\
                     ws_origins = [\"https://phone.example.com\"]\n\
                     [[user]]\nname = \"alice\"\npassword = \"correct horse battery\"\n\
                     [[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n\
                     [[route]]\nto = \"100\"\nuser = \"alice\"\n\
                     [[route]]\nto = \"200\"\nuser = \"bob\"\n";

/// Alice's page.
struct Page {
    socket: WebSocketStream<TcpStream>,
    rtp: UdpSocket,
    sequence: u16,
}

impl Page {
    async fn open(switch: &Switch) -> Self {
        let listeners = switch.services.line.sip().listeners();
        let of_pages = |(transport, _): &&(Transport, SocketAddr)| *transport == Transport::Ws;
        let (_, address) = listeners.iter().find(of_pages).unwrap();
        let mut request = "ws://pbx.example.com/".into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Origin", "https://phone.example.com".parse().unwrap());
        headers.insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        Self {
            socket: client_async(request, stream).await.unwrap().0,
            rtp: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            sequence: 0,
        }
    }

    async fn write(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Waits for a message that begins like this.
    async fn told(&mut self, start: &str) -> String {
        loop {
            let message = self.socket.next().await.unwrap().unwrap();
            if let Message::Text(text) = message
                && text.starts_with(start)
            {
                return text.to_string();
            }
        }
    }

    /// Sends a request outside of any call, and again with the answer to its challenge.
    async fn ask(&mut self, method: &str, uri: &str, fields: &str, content: &str) {
        let request = |branch: u8, fields: &str| {
            format!(
                "{method} {uri} SIP/2.0\r\n\
                 Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK{method}{branch}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:alice@pbx.example.com>;tag=1\r\n\
                 To: <{uri}>\r\nCall-ID: {method}\r\nCSeq: {branch} {method}\r\n\
                 Contact: <sip:q7@df7jal23ls0d.invalid;transport=ws>\r\n{fields}\r\n{content}"
            )
        };
        self.write(&request(1, fields)).await;
        let challenge = self.told("SIP/2.0 401 ").await;
        let mut digest = DigestClient::new();
        let challenge = SipMessage::parse(challenge.as_bytes()).unwrap();
        let asked = request(2, fields);
        let asked = SipMessage::parse(asked.as_bytes()).unwrap();
        digest
            .challenged(&asked, &challenge, &mut Attempts::default())
            .unwrap();
        let credentials = Credentials {
            username: "alice".to_owned(),
            password: PASSWORD.to_owned(),
        };
        let mut rng = StdRng::seed_from_u64(1);
        let method = asked.method().unwrap();
        let answer = digest.authorize(&credentials, method, uri, asked.body(), &mut rng);
        let mut fields = fields.to_owned();
        for (name, value) in answer {
            fields += &format!("{}: {value}\r\n", name.as_str());
        }
        self.write(&request(2, &fields)).await;
    }

    /// Registers, and returns the answer.
    async fn register(&mut self, fields: &str) -> String {
        let (uri, fields) = (
            "sip:alice@pbx.example.com",
            format!("Expires: 600\r\n{fields}"),
        );
        self.ask("REGISTER", uri, &fields, "").await;
        let bound = self.told("SIP/2.0 200 ").await;
        assert!(bound.contains("df7jal23ls0d.invalid"), "{bound}");
        bound
    }

    fn sdp(&self) -> String {
        let port = self.rtp.local_addr().unwrap().port();
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\n"
        )
    }

    /// Answers a request of the switch, without a Content-Length.
    async fn agree(&mut self, request: &str, content: &str) {
        let to = field(request, "To");
        let tag = if to.contains(";tag=") { "" } else { ";tag=2" };
        let ok = format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\n\
             CSeq: {}\r\nContact: <sip:q7@df7jal23ls0d.invalid;transport=ws>\r\n\
             Content-Type: application/sdp\r\n\r\n{content}",
            field(request, "Via"),
            field(request, "From"),
            field(request, "Call-ID"),
            field(request, "CSeq"),
        );
        self.write(&ok).await;
    }

    /// Acknowledges the answer to a call of the page's.
    async fn acknowledge(&mut self, answer: &str) {
        let ack = format!(
            "ACK {} SIP/2.0\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKack\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 2 ACK\r\n\r\n",
            field(answer, "Contact").trim_matches(['<', '>']),
            field(answer, "From"),
            field(answer, "To"),
            field(answer, "Call-ID"),
        );
        self.write(&ack).await;
    }

    /// Says a tone to where an SDP wants it until it was heard, and something else is heard here.
    async fn talks(&mut self, sdp: &str, hz: f64, heard: impl Future) {
        let (sound, to) = (tone(hz, 60), media(sdp));
        let mut clock = tokio::time::interval(std::time::Duration::from_millis(20));
        let mut frames = sound.chunks_exact(160);
        let mut heard = std::pin::pin!(heard);
        let mut both = (false, false);
        while both != (true, true) {
            let mut buffer = [0; 2048];
            tokio::select! {
                _ = &mut heard, if !both.0 => both.0 = true,
                read = self.rtp.recv(&mut buffer) => {
                    both.1 |= hears(&buffer[..read.unwrap()]);
                }
                _ = clock.tick() => {
                    self.sequence += 1;
                    let mut packet = vec![0x80, 0];
                    packet.extend(self.sequence.to_be_bytes());
                    packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
                    packet.extend(9_u32.to_be_bytes());
                    let mut payload = [0; 160];
                    g711::encode_ulaw(frames.next().unwrap(), &mut payload);
                    packet.extend(payload);
                    self.rtp.send_to(&packet, to).await.unwrap();
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_called_and_calls_over_its_websocket_and_is_gone_with_it() {
    let switch = Switch::start(LISTENER, HOUSE).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let mut page = Page::open(&switch).await;
    page.register("").await;

    let picks_up = async {
        let invite = page.told("INVITE sip:q7@df7jal23ls0d.invalid").await;
        let answer = page.sdp();
        page.agree(&invite, &answer).await;
        page.told("ACK ").await;
        body(&invite).to_owned()
    };
    let (caller, offer) = tokio::join!(Caller::dial(&uri), picks_up);
    let mut caller = caller.unwrap();
    caller.say(&tone(1_000.0, 20));
    let heard = caller.until_heard_now(|piece| share(piece, 700.0) > 0.9);
    page.talks(&offer, 700.0, heard).await;
    caller.hang_up().await;
    let bye = page.told("BYE sip:q7@df7jal23ls0d.invalid").await;
    page.agree(&bye, "").await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["bridge"]["user"], "alice", "{record:#}");

    let mut desk = Desk::open().await;
    let _bound = desk.register(&switch, "bob", PASSWORD).await;
    let offer = page.sdp();
    let fields = "Content-Type: application/sdp\r\n";
    page.ask("INVITE", "sip:200@pbx.example.com", fields, &offer)
        .await;
    let (mut called, answer) = tokio::join!(desk.answer(), page.told("SIP/2.0 200 "));
    page.acknowledge(&answer).await;
    assert_eq!(called.from, "alice");
    called.say(&tone(1_000.0, 20));
    let heard = called.until_heard(700.0);
    page.talks(body(&answer), 700.0, heard).await;

    // The switch learns by itself that the page is gone.
    drop(page);
    let services = &switch.services;
    while services.registrar().online(offhook::clock::now()) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(refusal(&uri, [127, 0, 0, 1], "+12025550143").await, 480);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_registered_by_proxies_is_called_by_them() {
    let switch = Switch::start(LISTENER, HOUSE).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let mut page = Page::open(&switch).await;
    let path = "Supported: path\r\nPath: <sip:edge.example.com;lr>, <sip:inner.example.com;lr>\r\n";
    let bound = page.register(path).await;
    assert!(bound.contains("<sip:edge.example.com;lr>"), "{bound}");
    let picks_up = async {
        let invite = page.told("INVITE sip:q7@df7jal23ls0d.invalid").await;
        let answer = page.sdp();
        page.agree(&invite, &answer).await;
        page.told("ACK ").await;
        invite
    };
    let (caller, invite) = tokio::join!(Caller::dial(&uri), picks_up);
    let routes: String = invite
        .lines()
        .filter(|line| line.starts_with("Route: "))
        .collect();
    let (edge, inner) = (
        routes.find("edge.example.com"),
        routes.find("inner.example.com"),
    );
    assert!(edge.is_some() && edge < inner, "{invite}");
    caller.unwrap().hang_up().await;
    let bye = page.told("BYE ").await;
    page.agree(&bye, "").await;
    switch.record(&mut events).await;
    switch.stop().await;
}
