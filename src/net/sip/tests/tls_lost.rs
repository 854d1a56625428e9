//! A carrier that closes its connection while a call goes on: what we say then goes to its name.

use tokio::net::TcpListener;
use tokio_rustls::{TlsStream, server};

use super::*;

/// A carrier that has called, and been answered, over a connection which it had opened.
struct Called {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    call: Box<IncomingCall>,
}

/// Reads one message without a body.
async fn message(stream: &mut TlsStream<TcpStream>) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

fn header<'t>(message: &'t str, name: &str) -> &'t str {
    let mut lines = message.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap()
}

/// Places a call by hand; `fields` say by what name the carrier is reached.
async fn calls(us: &mut Switch, whom: &Whom, fields: &str) -> Called {
    let mut stream = TlsStream::from(connect(us.address, whom).await);
    let request = |method: &str, to: &str, rest: &str| {
        format!(
            "{method} sip:desk@us.test SIP/2.0\r\n\
             Via: SIP/2.0/TLS localhost;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:them@localhost>;tag=them\r\nTo: {to}\r\nCall-ID: call-1\r\n\
             CSeq: 1 {method}\r\n{rest}"
        )
    };
    let offer = "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";
    let invite = request("INVITE", "<sip:desk@us.test>", &format!("{fields}{offer}"));
    stream.write_all(invite.as_bytes()).await.unwrap();
    let mut call = us.incoming().await;
    assert!(us.sip.answer(call.call, b"v=0\r\n".to_vec()).await.unwrap());
    let ok = loop {
        let answer = message(&mut stream).await;
        if answer.starts_with("SIP/2.0 200 ") {
            break answer;
        }
    };
    let ack = request("ACK", header(&ok, "To"), "Content-Length: 0\r\n\r\n");
    stream.write_all(ack.as_bytes()).await.unwrap();
    loop {
        match call.signals.recv().await {
            Some(Signal::Confirmed { .. }) => break,
            Some(_) => {}
            None => panic!("the call is over"),
        }
    }
    let TlsStream::Client(stream) = stream else {
        panic!("not ours")
    };
    Called { stream, call }
}

/// Where a carrier is reached by name, with a certificate for another perhaps.
async fn carrier(authority: &Authority, name: &str) -> (TcpListener, Tls) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, Tls::new(authority.files(name, None)).unwrap())
}

async fn accepted(
    (listener, tls): &(TcpListener, Tls),
) -> std::io::Result<server::TlsStream<TcpStream>> {
    let (stream, _) = listener.accept().await.unwrap();
    tls.acceptor().unwrap().accept(stream).await
}

/// Tells us by whose word the carrier is known, as a trunk's OPTIONS does.
async fn is_known(us: &Switch, carrier: &(TcpListener, Tls), ca: &Path) {
    let whom = whom("localhost", ca);
    let remote = carrier.0.local_addr().unwrap();
    let way = us.sip.way_to(remote, Transport::Tls, Some(&whom)).await;
    way.unwrap();
}

/// Hangs a call up whose connection is gone; `fields` of the INVITE, with the port in the place of
/// `#`, say where the carrier is reached, and the BYE must come there for the target.
async fn the_bye_comes(fields: &str, target: &str) {
    let authority = Authority::new();
    let mut us = Switch::start(authority.files("us.test", None)).await;
    let carrier = carrier(&authority, "localhost").await;
    is_known(&us, &carrier, &authority.ca()).await;
    let port = carrier.0.local_addr().unwrap().port().to_string();
    let (fields, target) = (fields.replace('#', &port), target.replace('#', &port));
    let whom = whom("us.test", &authority.ca());
    let Called { stream, mut call } = calls(&mut us, &whom, &fields).await;
    drop(stream);
    // Whether we know yet that it is gone or not, it gets there.
    let asks = async {
        us.sip.hang_up(call.call, None).await.unwrap();
        while !matches!(call.signals.recv().await, Some(Signal::Ended { .. }) | None) {}
    };
    let hears = async {
        let mut stream = TlsStream::from(accepted(&carrier).await.unwrap());
        let bye = message(&mut stream).await;
        assert!(
            bye.starts_with(&format!("BYE sip:{target} SIP/2.0\r\n")),
            "{bye}"
        );
        let answer: String = ["Via", "From", "To", "Call-ID", "CSeq"]
            .map(|name| format!("{name}: {}\r\n", header(&bye, name)))
            .concat();
        let answer = format!("SIP/2.0 200 OK\r\n{answer}Content-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    };
    let ((), _stream) = tokio::join!(asks, hears);
}

#[tokio::test]
async fn a_bye_after_the_connection_is_gone_goes_to_the_name_in_the_contact() {
    let contact = "Contact: <sip:them@localhost:#;transport=tls>\r\n";
    the_bye_comes(contact, "them@localhost:#;transport=tls").await;
}

#[tokio::test]
async fn a_bye_after_the_connection_is_gone_goes_to_the_name_of_the_first_route() {
    let route = "Record-Route: <sip:localhost:#;transport=tls;lr>\r\n\
                 Contact: <sip:them@desk.invalid>\r\n";
    the_bye_comes(route, "them@desk.invalid").await;
}

#[tokio::test]
async fn who_shows_another_name_there_is_told_nothing() {
    let authority = Authority::new();
    let mut us = Switch::start(authority.files("us.test", None)).await;
    let carrier = carrier(&authority, "other.test").await;
    is_known(&us, &carrier, &authority.ca()).await;
    let remote = carrier.0.local_addr().unwrap();
    let contact = format!(
        "Contact: <sip:them@localhost:{};transport=tls>\r\n",
        remote.port()
    );
    let Called { stream, mut call } =
        calls(&mut us, &whom("us.test", &authority.ca()), &contact).await;
    drop(stream);
    let asks = async {
        us.sip.hang_up(call.call, None).await.unwrap();
        while !matches!(call.signals.recv().await, Some(Signal::Ended { .. }) | None) {}
    };
    let (_, refused) = tokio::join!(asks, accepted(&carrier));
    assert!(refused.is_err());
    let trouble = us
        .sip
        .tls_trouble(remote, &whom("localhost", &authority.ca()));
    let trouble = trouble.unwrap();
    assert!(
        trouble.contains("the certificate is for other.test"),
        "{trouble}"
    );
}
