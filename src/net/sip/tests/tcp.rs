//! SIP over real connections: how messages are cut, and peers that are slow, many or rude.

use offhook_sip::{Settings, stream::MAX_HEADER_BYTES};

use super::super::places::PER_ADDRESS_MAX;
use super::super::{Listen, Sip, Tls};
use super::*;

const SHORT: Duration = Duration::from_millis(50);

/// Longer than a test takes: what is to happen sooner happens for another reason.
const LONG: Patience = Patience {
    first_message: Duration::from_secs(3600),
    message: Duration::from_secs(3600),
    write: Duration::from_secs(3600),
    idle: Duration::from_secs(3600),
    pong: Duration::from_secs(3600),
    silence: (Duration::from_secs(3600), Duration::from_secs(3600)),
};

/// A switch's user agent that listens on TCP.
struct Listening {
    address: SocketAddr,
    _sip: Sip,
}

impl Listening {
    async fn start() -> Self {
        let listen = Listen {
            transport: Transport::Tcp,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let (sip, _) = Sip::start(&[listen], Tls::default(), Settings::default())
            .await
            .unwrap();
        Self {
            address: sip.listeners()[0].1,
            _sip: sip,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Only the listener, with what it tells the SIP task.
async fn listen(patience: Patience) -> (SocketAddr, mpsc::Receiver<Inbound>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, inbound) = mpsc::channel(8);
    tokio::spawn(accept(listener, None, None, tell, patience));
    (address, inbound)
}

fn options(n: u32) -> String {
    format!(
        "OPTIONS sip:us@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:them@127.0.0.1>;tag=1\r\nTo: <sip:us@127.0.0.1>\r\n\
         Call-ID: call-{n}\r\nCSeq: {n} OPTIONS\r\nContent-Length: 4\r\n\r\nbody"
    )
}

/// Reads messages without bodies until all the given ones have come.
async fn answers(stream: &mut TcpStream, count: usize) -> Vec<String> {
    let mut text = String::new();
    while text.matches("\r\n\r\n").count() < count {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        assert_ne!(length, 0, "closed after {text:?}");
        text += std::str::from_utf8(&buffer[..length]).unwrap();
    }
    text.split_terminator("\r\n\r\n")
        .map(str::to_owned)
        .collect()
}

/// Waits until the other side has closed the connection.
async fn closed(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

#[tokio::test]
async fn a_message_in_pieces_is_answered_once_it_is_whole() {
    let listening = Listening::start().await;
    let mut stream = listening.connect().await;
    stream.set_nodelay(true).unwrap();
    for piece in options(1).as_bytes().chunks(7) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let answers = answers(&mut stream, 1).await;
    assert!(answers[0].starts_with("SIP/2.0 200 "), "{answers:?}");
}

#[tokio::test]
async fn two_messages_in_one_segment_are_both_answered_over_the_same_connection() {
    let listening = Listening::start().await;
    let mut stream = listening.connect().await;
    let both = options(1) + &options(2);
    stream.write_all(both.as_bytes()).await.unwrap();
    let answers = answers(&mut stream, 2).await;
    for (n, answer) in (1..).zip(&answers) {
        assert!(
            answer.contains(&format!("CSeq: {n} OPTIONS")),
            "{answers:?}"
        );
    }
}

#[tokio::test]
async fn a_keep_alive_is_answered_and_messages_go_on_around_it() {
    let listening = Listening::start().await;
    let mut stream = listening.connect().await;
    let text = format!("\r\n\r\n{}\r\n\r\n", options(1));
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
    assert!(answers(&mut stream, 1).await[0].starts_with("SIP/2.0 200 "));
}

#[tokio::test]
async fn a_header_that_is_too_long_ends_that_connection_and_no_other() {
    let listening = Listening::start().await;
    let (mut rude, mut polite) = (listening.connect().await, listening.connect().await);
    let endless = format!(
        "OPTIONS sip:a SIP/2.0\r\nX: {}",
        "x".repeat(MAX_HEADER_BYTES)
    );
    rude.write_all(endless.as_bytes()).await.unwrap();
    closed(&mut rude).await;
    polite.write_all(options(1).as_bytes()).await.unwrap();
    assert!(answers(&mut polite, 1).await[0].starts_with("SIP/2.0 200 "));
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_message_is_forgotten() {
    let (address, mut inbound) = listen(LONG).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(&options(1).as_bytes()[..100])
        .await
        .unwrap();
    let remote = stream.local_addr().unwrap();
    drop(stream);
    assert!(matches!(inbound.recv().await, Some(Inbound::Connected(..))));
    match inbound.recv().await {
        Some(Inbound::Closed(flow)) => assert_eq!(flow.remote, remote),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_address_gets_so_many_connections_and_others_get_theirs() {
    let (address, mut inbound) = listen(LONG).await;
    // Who takes a connection keeps its queue: one that nobody writes to any more is closed.
    let taken = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(told) = inbound.recv().await {
            kept.push(told);
        }
    });
    let mut connections = Vec::new();
    for _ in 0..PER_ADDRESS_MAX {
        connections.push(TcpStream::connect(address).await.unwrap());
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    closed(&mut refused).await;
    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = elsewhere.connect(address).await.unwrap();
    other.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    other.read_exact(&mut pong).await.unwrap();
    taken.abort();
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_loses_the_place() {
    let patience = Patience {
        first_message: SHORT,
        ..LONG
    };
    let (address, _inbound) = listen(patience).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Keep-alives are no message.
    stream.write_all(b"\r\n\r\n").await.unwrap();
    closed(&mut stream).await;
}

#[tokio::test]
async fn whoever_begins_a_message_must_end_it_and_one_byte_more_buys_no_time() {
    let patience = Patience {
        message: SHORT,
        ..LONG
    };
    let (address, _inbound) = listen(patience).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"OPTIONS sip:a").await.unwrap();
    closed(&mut stream).await;

    let (_reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let (tell, _inbound) = mpsc::channel(8);
    let flow = Flow {
        transport: Transport::Tcp,
        local: address,
        remote: address,
    };
    let mut incoming = Incoming::new(flow, PATIENCE);
    let text = options(1);
    let (begun, rest) = text.as_bytes().split_at(100);
    let (more, last) = rest.split_at(1);
    let idle = incoming.deadline();
    assert!(incoming.deliver(begun, &tell, &mut writer).await);
    let due = incoming.deadline();
    assert!(due < idle);
    assert!(incoming.deliver(more, &tell, &mut writer).await);
    assert_eq!(incoming.deadline(), due);
    assert!(incoming.deliver(last, &tell, &mut writer).await);
    assert!(incoming.deadline() >= idle, "nothing is due any more");
}

#[tokio::test]
async fn whoever_does_not_read_loses_the_connection_and_holds_up_nobody() {
    let patience = Patience {
        write: SHORT,
        ..LONG
    };
    let (address, mut inbound) = listen(patience).await;
    let _stream = TcpStream::connect(address).await.unwrap();
    let Some(Inbound::Connected(_, writer)) = inbound.recv().await else {
        panic!("no connection")
    };
    // Until the kernel's buffers are full on both sides, and the connection is given up.
    while writer
        .send(Order::Write(vec![b'x'; 64 * 1024]))
        .await
        .is_ok()
    {}
    assert!(matches!(inbound.recv().await, Some(Inbound::Closed(_))));
}

/// A connection that we have opened: the peer's end, its queue, and what it tells.
async fn opened(
    patience: Patience,
) -> (
    TcpStream,
    mpsc::Sender<Order>,
    mpsc::Receiver<Inbound>,
    Flow,
) {
    let theirs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flow = Flow {
        transport: Transport::Tcp,
        local: SocketAddr::from(([127, 0, 0, 1], 5060)),
        remote: theirs.local_addr().unwrap(),
    };
    let (writer, queue) = mpsc::channel(8);
    let (tell, inbound) = mpsc::channel(8);
    tokio::spawn(connect(flow, 0, None, queue, tell, patience));
    let (stream, _) = theirs.accept().await.unwrap();
    (stream, writer, inbound, flow)
}

async fn pinged(stream: &mut TcpStream) {
    let mut ping = [0; 4];
    stream.read_exact(&mut ping).await.unwrap();
    assert_eq!(&ping, PING);
}

#[tokio::test]
async fn whoever_has_answered_a_ping_must_answer_the_next_and_who_never_has_need_not() {
    let patience = Patience {
        silence: (SHORT, SHORT),
        pong: Duration::from_millis(1),
        ..LONG
    };
    let (mut stream, _writer, _inbound, _) = opened(patience).await;
    // Each later than a pong of the one before could have been.
    for _ in 0..3 {
        pinged(&mut stream).await;
    }
    stream.write_all(b"\r\n").await.unwrap();
    closed(&mut stream).await;
}

#[tokio::test]
async fn a_ping_of_a_registration_is_one_as_well_and_anything_that_comes_answers_it() {
    let (_reader, mut writer) = tokio::io::duplex(64);
    let (tell, _inbound) = mpsc::channel(8);
    let flow = Flow {
        transport: Transport::Tcp,
        local: SocketAddr::from(([127, 0, 0, 1], 1)),
        remote: SocketAddr::from(([127, 0, 0, 1], 2)),
    };
    let mut incoming = Incoming::new(flow, PATIENCE);
    let due_soon = |incoming: &Incoming| incoming.deadline() <= clock::now() + PATIENCE.pong;
    assert!(incoming.write(&mut writer, PING).await);
    assert!(!due_soon(&incoming), "it has never answered one");
    assert!(incoming.deliver(b"\r\n", &tell, &mut writer).await);
    assert!(!due_soon(&incoming), "it is answered");
    assert!(incoming.write(&mut writer, PING).await);
    assert!(due_soon(&incoming));
    let message = options(1);
    assert!(
        incoming
            .deliver(message.as_bytes(), &tell, &mut writer)
            .await
    );
    assert!(!due_soon(&incoming), "somebody is there");
    // A pong that nobody asked for promises nothing.
    let mut incoming = Incoming::new(flow, PATIENCE);
    assert!(incoming.deliver(b"\r\n", &tell, &mut writer).await);
    assert!(incoming.write(&mut writer, PING).await);
    assert!(!due_soon(&incoming));
}

#[tokio::test]
async fn a_connection_in_doubt_is_closed_unless_something_came_since() {
    let (mut stream, writer, mut inbound, _) = opened(LONG).await;
    let asked = clock::now();
    stream.write_all(options(1).as_bytes()).await.unwrap();
    assert!(matches!(inbound.recv().await, Some(Inbound::Message(..))));
    // By the time that the next message is told, the first has long been taken note of.
    stream.write_all(options(2).as_bytes()).await.unwrap();
    assert!(matches!(inbound.recv().await, Some(Inbound::Message(..))));
    writer.send(Order::Doubt(asked)).await.unwrap();
    writer
        .send(Order::Write(b"still here".to_vec()))
        .await
        .unwrap();
    let mut said = [0; 10];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"still here");
    let later = clock::now() + Duration::from_secs(3600);
    writer.send(Order::Doubt(later)).await.unwrap();
    closed(&mut stream).await;
}

#[tokio::test]
async fn after_a_request_that_nobody_answers_the_next_opens_another_connection() {
    let theirs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = Listen {
        transport: Transport::Tcp,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let settings = Settings {
        timers: offhook_sip::Timers {
            t1: Duration::from_millis(1),
            ..offhook_sip::Timers::default()
        },
        ..Settings::default()
    };
    let (sip, _news) = Sip::start(&[listen], Tls::default(), settings)
        .await
        .unwrap();
    let remote = theirs.local_addr().unwrap();
    let ping = || offhook_sip::OptionsPing {
        uri: "sip:them@127.0.0.1".to_owned(),
        flow: sip.flow_to(remote, Transport::Tcp).unwrap(),
        route: Vec::new(),
    };
    assert_eq!(sip.ping(ping()).await.unwrap(), None);
    let (mut first, _) = theirs.accept().await.unwrap();
    closed(&mut first).await;
    // Some may come before the SIP task knows.
    let asking = async {
        loop {
            assert_eq!(sip.ping(ping()).await.unwrap(), None);
        }
    };
    tokio::select! {
        second = theirs.accept() => drop(second.unwrap()),
        () = asking => {}
    }
}

#[tokio::test]
async fn a_connection_that_we_opened_is_kept_open_and_one_that_others_opened_is_theirs_to_keep() {
    let patience = Patience {
        silence: (SHORT, SHORT),
        ..LONG
    };
    let (mut stream, writer, _inbound, flow) = opened(patience).await;
    pinged(&mut stream).await;
    pinged(&mut stream).await;

    let mut accepted = Incoming::new(flow, patience);
    accepted.spoke();
    assert_eq!(accepted.ping_at, None);
    drop(writer);
}
